/*
 * node.c: opening and closing a node: home, lock, store, identity, state.
 */
#include "node.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hints.h"

const char *node_name(const Node *n)
{
	return n->config.name;
}

void node_count(Node *n, NodeCounter c, uint64_t by)
{
	atomic_fetch_add_explicit(&n->counters[c], by, memory_order_relaxed);
}

void node_stop(Node *n, int exit_code)
{
	int none = -1;

	(void) atomic_compare_exchange_strong(&n->exit_code, &none, exit_code);
	atomic_store(&n->stopping, true);
	(void) kill(getpid(), SIGTERM); /* blocked everywhere: the main thread's sigwait gets it */
}

DorisStatus worker_init(Worker *w, Node *n, DorisError *err)
{
	memset(w, 0, sizeof(*w));
	w->node = n;
	return n->driver->session(n->store, &w->ss, err);
}

void worker_free(Worker *w)
{
	if (w->ss != NULL)
		w->node->driver->session_close(w->ss);
	buf_free(&w->key);
	buf_free(&w->record);
	buf_free(&w->index);
	buf_free(&w->projected[0]);
	buf_free(&w->projected[1]);
	buf_free(&w->scratch);
	buf_free(&w->body);
	buf_free(&w->out);
	free(w->deltas);
	free(w->kept);
	free(w->later);
	w->ss = NULL;
}

static void init_locks(Node *n)
{
	pthread_rwlockattr_t attr;

	(void) pthread_rwlockattr_init(&attr);
	/* else a steady stream of requests would keep a new topology out for ever */
	(void) pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	(void) pthread_rwlock_init(&n->epoch_lock, &attr);
	(void) pthread_rwlockattr_destroy(&attr);
	(void) pthread_mutex_init(&n->identity_lock, NULL);
	(void) pthread_mutex_init(&n->term_lock, NULL);
	(void) pthread_mutex_init(&n->flush_lock, NULL);
	(void) pthread_mutex_init(&n->tables_lock, NULL);
	(void) pthread_mutex_init(&n->ns_lock, NULL);
	(void) pthread_mutex_init(&n->disk_lock, NULL);
	for (int i = 0; i < NODE_VNODE_LOCKS; i++)
		(void) pthread_mutex_init(&n->vnode_locks[i], NULL);
	for (int i = 0; i < NODE_TXN_LOCKS; i++)
		(void) pthread_mutex_init(&n->txns[i].lock, NULL);
	for (int i = 0; i < NODE_ROWS_LOCKS; i++)
		(void) pthread_mutex_init(&n->rows_locks[i], NULL);
}

/* One process for each home: the lock goes with the process, however it ends. */
static DorisStatus lock_home(Node *n, DorisError *err)
{
	char path[CONFIG_PATH_MAX + 16];
	char pid[32];
	int len;

	if (mkdir(n->config.home, 0700) != 0 && errno != EEXIST)
		return doris_error(err, DORIS_IO, "cannot create the home %s: %s", n->config.home,
						   strerror(errno));
	(void) snprintf(path, sizeof(path), "%s/lock", n->config.home);
	n->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (n->lock_fd < 0)
		return doris_error(err, DORIS_IO, "cannot open %s: %s", path, strerror(errno));
	if (flock(n->lock_fd, LOCK_EX | LOCK_NB) != 0)
	{
		ssize_t got = read(n->lock_fd, pid, sizeof(pid) - 1);

		pid[got > 0 ? got : 0] = '\0';
		pid[strcspn(pid, "\n")] = '\0';
		(void) doris_error(err, DORIS_UNAVAILABLE,
						   "the home %s is in use by another node (process %s)", n->config.home,
						   pid[0] != '\0' ? pid : "unknown");
		return doris_hint(err, "Give each node a home of its own.");
	}
	len = snprintf(pid, sizeof(pid), "%ld\n", (long) getpid());
	if (ftruncate(n->lock_fd, 0) != 0 || pwrite(n->lock_fd, pid, (size_t) len, 0) != len)
		return doris_error(err, errno == ENOSPC ? DORIS_DISK_FULL : DORIS_IO, "cannot write %s: %s",
						   path, strerror(errno));
	return DORIS_OK;
}

static DorisStatus open_store(Node *n, DorisError *err)
{
	char path[CONFIG_PATH_MAX + 16];
	StoreOptions o = {.home = path, .cache_bytes = n->config.cache_mb << 20};

	(void) snprintf(path, sizeof(path), "%s/store", n->config.home);
	if (n->driver == &store_wiredtiger && mkdir(path, 0700) != 0 && errno != EEXIST)
		return doris_error(err, errno == ENOSPC ? DORIS_DISK_FULL : DORIS_IO,
						   "cannot create %s: %s", path, strerror(errno));
	return n->driver->open(&o, &n->store, err);
}

static DorisStatus load_identity(Worker *w, DorisError *err)
{
	Node *n = w->node;
	DorisStatus st = meta_load_identity(w, &n->identity, err);

	if (st == DORIS_NOT_FOUND)
	{
		memset(&n->identity, 0, sizeof(n->identity));
		(void) snprintf(n->identity.name, sizeof(n->identity.name), "%s", n->config.name);
		do
		{
			randombytes_buf(n->identity.home, sizeof(n->identity.home));
		} while (sodium_is_zero(n->identity.home, sizeof(n->identity.home)));
		st = meta_save_identity(w, &n->identity, err);
		if (st == DORIS_OK)
			st = commit_flush_all(w, err);
	}
	else if (st == DORIS_OK && strcmp(n->identity.name, n->config.name) != 0)
	{
		(void) doris_error(err, DORIS_DENIED, "the home %s belongs to node %s, not to %s",
						   n->config.home, n->identity.name, n->config.name);
		st = doris_hint(err, "Start it with --name %s, or with another home.", n->identity.name);
	}
	atomic_store(&n->node_id, n->identity.node);
	return st;
}

/* Was the last stop clean? True only once: before anything is written, that it was is taken away. */
static DorisStatus load_clean(Worker *w, DorisError *err)
{
	uint64_t clean;
	DorisStatus st = meta_get_u64(w, "clean", &clean, err);

	w->node->was_clean = st == DORIS_OK;
	if (st == DORIS_OK)
		st = meta_del(w, "clean", err);
	return st == DORIS_NOT_FOUND ? DORIS_OK : st;
}

static DorisStatus load_state(Worker *w, DorisError *err)
{
	static const StoreTable own[] = {STORE_TABLE_META, STORE_TABLE_STAGED, STORE_TABLE_MEMORY,
									 STORE_TABLE_HINTS};
	Node *n = w->node;
	uint64_t ceiling;
	int64_t staged;
	DorisStatus st = DORIS_OK;

	for (size_t i = 0; st == DORIS_OK && i < sizeof(own) / sizeof(own[0]); i++)
		st = n->driver->create(w->ss, own[i], err);
	if (st == DORIS_OK)
		st = load_identity(w, err);
	if (st != DORIS_OK)
		return st;
	st = meta_get_u64(w, "ceiling", &ceiling, err);
	if (st != DORIS_OK && st != DORIS_NOT_FOUND)
		return st;
	atomic_store(&n->ceiling, ceiling);
	clock_init(&n->clock, ceiling);
	st = meta_get_u64(w, "term", &n->term, err);
	if (st == DORIS_OK || st == DORIS_NOT_FOUND)
		st = meta_get_u64(w, "mark", &n->mark, err);
	n->mark_found = n->mark;
	if (st == DORIS_OK || st == DORIS_NOT_FOUND)
		st = load_clean(w, err);
	if (st == DORIS_OK)
		st = memory_load_horizon(w, err);
	if (st != DORIS_OK)
		return st;
	st = tables_load(w, err);
	if (st == DORIS_OK)
		st = purge_load(w, err);
	if (st == DORIS_OK)
		st = epoch_load(w, err);
	if (st == DORIS_OK)
		st = counters_load(w, err);
	if (st == DORIS_OK)
		st = index_count(w, &staged, err);
	if (st == DORIS_OK)
		st = hints_open(w, err);
	if (st == DORIS_OK)
	{
		atomic_store(&n->staged, staged);
		background_watch_clock(w);
		st = commit_flush_all(w, err);
	}
	return st;
}

DorisStatus node_open(Node *n, const Config *config, const StoreDriver *driver, DorisError *err)
{
	Worker w;
	DorisStatus st;

	memset(n, 0, sizeof(*n));
	n->config = *config;
	n->driver = driver;
	n->lock_fd = -1;
	atomic_store(&n->exit_code, -1);
	init_locks(n);
	if (sodium_init() < 0)
		return doris_error(err, DORIS_INTERNAL, "libsodium cannot start");
	n->lapsed = calloc(DORIS_MAX_VNODES, sizeof(*n->lapsed));
	n->kept = calloc(DORIS_MAX_VNODES, sizeof(*n->kept));
	if (n->lapsed == NULL || n->kept == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory");
	do
	{
		randombytes_buf(&n->incarnation, sizeof(n->incarnation));
	} while (n->incarnation == 0); /* in a topology: none seen yet */
	st = recover_open(n, err);
	if (st == DORIS_OK)
		st = purge_open(n, err);
	if (st == DORIS_OK)
		st = keys_load(config->key_file, &n->keys, err);
	if (st == DORIS_OK && driver == &store_wiredtiger)
		st = lock_home(n, err);
	if (st == DORIS_OK)
		disk_open(n);
	if (st == DORIS_OK)
		st = open_store(n, err);
	if (st != DORIS_OK)
		return st;
	st = worker_init(&w, n, err);
	if (st != DORIS_OK)
		return st;
	st = load_state(&w, err);
	worker_free(&w);
	return st;
}

void node_close(Node *n, bool clean)
{
	DorisError err = {0};

	if (n->store != NULL)
	{
		Worker w;

		if (clean && worker_init(&w, n, &err) == DORIS_OK)
		{
			DorisStatus st = counters_save(&w, &err);

			if (st == DORIS_OK)
				st = meta_put_u64(&w, "clean", 1, &err);
			if (st == DORIS_OK)
				st = commit_flush_all(&w, &err);
			if (st != DORIS_OK)
				log_line(LOG_WARNING, "saving the counters: %s", err.message);
			worker_free(&w);
		}
		n->driver->close(n->store);
		n->store = NULL;
	}
	placement_free(n->placement);
	n->placement = NULL;
	counters_free(n);
	hints_close(n);
	recover_close(n);
	purge_close(n);
	keys_wipe(&n->keys);
	free(n->lapsed);
	n->lapsed = NULL;
	kept_free(n);
	if (n->lock_fd >= 0)
		(void) close(n->lock_fd);
	n->lock_fd = -1;
}
