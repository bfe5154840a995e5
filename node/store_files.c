/*
 * store_files.c: a WiredTiger store seen as files: those that its catalogue does not know, a copy of all, their size.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "store_wiredtiger.h"

/* Is the name that of a vnode's file? */
static bool names_vnode_file(const char *name, StoreTable *t)
{
	char *end;

	if (name[0] != 'v' || name[1] < '0' || name[1] > '9')
		return false;
	*t = (StoreTable) strtoul(name + 1, &end, 10);
	return *t < STORE_TABLE_META && strcmp(end, ".wt") == 0;
}

DorisStatus files_remove_unknown(WT_CONNECTION *conn, const char *home, DorisError *err)
{
	WT_SESSION *session = NULL;
	WT_CURSOR *catalogue = NULL;
	DIR *d = opendir(home);
	struct dirent *e;
	char uri[32];
	int rc = 0;

	if (d == NULL)
		return doris_error(err, DORIS_IO, "reading %s: %s", home, strerror(errno));
	rc = conn->open_session(conn, NULL, NULL, &session);
	if (rc == 0)
		rc = session->open_cursor(session, "metadata:", NULL, NULL, &catalogue);
	while (rc == 0 && (e = readdir(d)) != NULL)
	{
		StoreTable t;

		if (!names_vnode_file(e->d_name, &t))
			continue;
		table_uri(t, uri);
		catalogue->set_key(catalogue, uri);
		rc = catalogue->search(catalogue);
		if (rc == WT_NOTFOUND)
		{
			log_line(LOG_INFO, "removing the file %s, which is not in the store's catalogue",
					 e->d_name);
			rc = unlinkat(dirfd(d), e->d_name, 0) == 0 ? 0 : errno;
		}
	}
	(void) closedir(d);
	if (session != NULL)
		(void) session->close(session, NULL);
	return rc == 0 ? DORIS_OK
				   : wt_error(rc, "removing files that the catalogue does not know", err);
}

static DorisStatus copy_file(const char *from, const char *to, DorisError *err)
{
	static const size_t chunk = 1 << 20;
	char *buf = malloc(chunk);
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n = -1;
	bool ok = buf != NULL && in >= 0 && out >= 0;

	while (ok && (n = read(in, buf, chunk)) > 0)
	{
		for (ssize_t done = 0; ok && done < n;)
		{
			ssize_t w = write(out, buf + done, (size_t) (n - done));

			if (w < 0)
				ok = false;
			else
				done += w;
		}
	}
	ok = ok && n == 0 && fsync(out) == 0;
	if (!ok)
		(void) doris_error(err, errno == ENOSPC ? DORIS_DISK_FULL : DORIS_IO,
						   "copying %s to %s: %s", from, to, strerror(errno));
	if (in >= 0)
		(void) close(in);
	if (out >= 0)
		(void) close(out);
	free(buf);
	return ok ? DORIS_OK : err->code;
}

DorisStatus files_copy(WT_SESSION *wt, const char *home, const char *directory, DorisError *err)
{
	WT_CURSOR *c = NULL;
	DorisStatus st = DORIS_OK;
	int rc = wt->open_cursor(wt, "backup:", NULL, NULL, &c);

	while (rc == 0 && st == DORIS_OK && (rc = c->next(c)) == 0)
	{
		const char *name;
		char from[1024];
		char to[1024];

		rc = c->get_key(c, &name);
		if (rc != 0)
			break;
		if (snprintf(from, sizeof(from), "%s/%s", home, name) >= (int) sizeof(from) ||
			snprintf(to, sizeof(to), "%s/%s", directory, name) >= (int) sizeof(to))
			st = doris_error(err, DORIS_BAD_ARGUMENT, "backup: the path %s is too long", directory);
		else
			st = copy_file(from, to, err);
	}
	if (c != NULL)
		(void) c->close(c);
	if (st == DORIS_OK && rc != 0 && rc != WT_NOTFOUND)
		st = wt_error(rc, "backup", err);
	return st;
}

DorisStatus files_usage(const char *home, uint64_t *bytes, DorisError *err)
{
	DIR *d = opendir(home);
	struct dirent *e;

	*bytes = 0;
	if (d == NULL)
		return doris_error(err, DORIS_IO, "reading %s: %s", home, strerror(errno));
	while ((e = readdir(d)) != NULL)
	{
		struct stat sb;

		if (fstatat(dirfd(d), e->d_name, &sb, 0) == 0 && S_ISREG(sb.st_mode))
			*bytes += (uint64_t) sb.st_blocks * 512;
	}
	(void) closedir(d);
	return DORIS_OK;
}
