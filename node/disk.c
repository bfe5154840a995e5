/*
 * disk.c: free space. A full disk refuses writes, keeps serving reads, and recovers without a restart.
 *
 * The storage engine gives up for good when it cannot write a page, so writes are refused while there is still room for
 * what its cache holds: below the reserve. Half of the reserve is a file of the node's own (ballast), which is given up
 * when others fill the disk, so that the engine finds room even then; it is made again when there is space.
 *
 * Looked at ten times a second, at the start, and by writers after each megabyte.
 */
#include "node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LOOK_AFTER (256u << 10) /* bytes; looking costs a system call */
#define WRITTEN_AGAIN 4			/* a row goes to the log and a page, staged and finished */

static bool ballast_path(const Node *n, char out[CONFIG_PATH_MAX + 16])
{
	(void) snprintf(out, CONFIG_PATH_MAX + 16, "%s/ballast", n->config.home);
	return n->driver == &store_wiredtiger && n->config.reserve_mb > 0;
}

static void ballast_release(Node *n)
{
	char path[CONFIG_PATH_MAX + 16];

	if (!n->ballast || !ballast_path(n, path))
		return;
	if (unlink(path) == 0)
		log_line(LOG_WARNING, "%s: given up, to have room for what is in memory", path);
	n->ballast = false;
}

static void ballast_make(Node *n)
{
	char path[CONFIG_PATH_MAX + 16];
	int fd;

	if (n->ballast || !ballast_path(n, path))
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	/* without support for it in the file system there is none: the reserve counts all the same */
	n->ballast = fallocate(fd, 0, 0, (off_t) (n->config.reserve_mb << 19)) == 0;
	(void) close(fd);
	if (!n->ballast)
		(void) unlink(path);
}

/* With disk_lock held. */
static void look(Node *n)
{
	struct statvfs sv;
	uint64_t reserve = n->config.reserve_mb << 20;
	uint64_t available;
	bool was = atomic_load(&n->disk_full);
	bool full;

	if (statvfs(n->config.home, &sv) != 0)
		return;
	available = (uint64_t) sv.f_bavail * sv.f_frsize;
	if (available < reserve / 4 && n->ballast)
	{
		ballast_release(n);
		if (statvfs(n->config.home, &sv) != 0)
			return;
		available = (uint64_t) sv.f_bavail * sv.f_frsize;
	}
	else if (available > reserve + reserve / 4)
		ballast_make(n);
	atomic_store(&n->disk_free, available);
	if (n->ballast)
		available += reserve / 2;
	/* a little more before writes are taken again */
	full = available < (was ? reserve + reserve / 8 : reserve);
	atomic_store(&n->disk_starved, available < reserve / 2);
	atomic_store(&n->disk_full, full);
	if (full != was)
		log_line(full ? LOG_ERROR : LOG_INFO, "%s: %llu MB free on the disk, %s", n->config.home,
				 (unsigned long long) (atomic_load(&n->disk_free) >> 20),
				 full ? "writes are refused" : "writes are taken again");
}

void disk_watch(Node *n)
{
	(void) pthread_mutex_lock(&n->disk_lock);
	look(n);
	(void) pthread_mutex_unlock(&n->disk_lock);
}

void disk_open(Node *n)
{
	char path[CONFIG_PATH_MAX + 16];
	struct stat sb;

	n->ballast = ballast_path(n, path) && stat(path, &sb) == 0 && sb.st_size > 0;
	disk_watch(n);
}

static DorisStatus disk_refuse(const Node *n, DorisError *err)
{
	(void) doris_error(err, DORIS_DISK_FULL,
					   "%s: no space left for %s (%llu MB free, %llu MB kept)", node_name(n),
					   n->config.home, (unsigned long long) (atomic_load(&n->disk_free) >> 20),
					   (unsigned long long) n->config.reserve_mb);
	return doris_hint(err, "Free space on that disk; writes go on by themselves then.");
}

DorisStatus disk_take(Node *n, uint64_t bytes, DorisError *err)
{
	if (atomic_fetch_add(&n->written, bytes) + bytes >= LOOK_AFTER)
	{
		atomic_store(&n->written, 0);
		disk_watch(n);
	}
	if (atomic_load(&n->disk_full) ||
		(n->config.reserve_mb > 0 && atomic_load(&n->disk_free) < bytes * WRITTEN_AGAIN))
		return disk_refuse(n, err);
	return DORIS_OK;
}

DorisStatus disk_take_end(Node *n, DorisError *err)
{
	if (atomic_load(&n->disk_starved))
		return disk_refuse(n, err);
	return DORIS_OK;
}
