/*
 * store_wiredtiger.c: the storage driver over WiredTiger 3.2 (store.h).
 *
 * One table is one file (file:v00042.wt, file:meta.wt, ...), all logged, so that a transaction over several is
 * not torn by a crash. Commits do not sync; flush does, for all of them at once (group commit).
 *
 * Assumptions
 * - A session keeps its cursors open (twice as fast as opening a cached one for each operation), at most
 *   MAX_OPEN_CURSORS. An open cursor keeps its file from being dropped: a drop raises a generation that
 *   the other sessions see at their next transaction or idle call, and is tried again later by its caller.
 * - At most one cursor of a session is positioned, and only within a transaction: a position pins a page and a snapshot,
 *   and a session that waits for a lock meanwhile keeps the lock's holder, whose commit waits for room in the cache, waiting for
 *   ever. Callers take their locks before they begin.
 */
#include "store_wiredtiger.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wiredtiger.h>

#include "log.h"

#define TABLE_COUNT (STORE_TABLE_HINTS + 1)
/* A session has two cursors for a table: one that overwrites, and one, which only add uses, that does not. */
#define SLOT(table) ((uint32_t) (table))
#define SLOT_ADD(table) (TABLE_COUNT + (uint32_t) (table))
#define SLOT_COUNT (2 * TABLE_COUNT)
#define MAX_OPEN_CURSORS 4096
#define KEEP_VALUE (1024 * 1024) /* a copy that held more gives its memory back */
#define CACHE_PATIENCE_MS \
	15000 /* for room in the cache; then the operation fails, and is tried again */

/*
 * allocation_size 512B: the only one whose files WT_SESSION.import of 3.2.1 takes.
 */
#define TABLE_CONFIG                                                                   \
	"key_format=u,value_format=u,allocation_size=512B,leaf_page_max=32KB,checksum=on," \
	"memory_page_max=2MB,log=(enabled=true)"

struct Store
{
	WT_CONNECTION *conn;
	char *home;
	uint64_t cache_bytes;
	Checkpoints *checkpoints;
	_Atomic uint64_t drops; /* generation: raised before each drop */
	pthread_mutex_t backup; /* WiredTiger allows one backup cursor */
};

struct StoreSession
{
	Store *store;
	WT_SESSION *wt;
	WT_CURSOR **cursors; /* by slot; NULL: not open */
	uint32_t *open;		 /* slots with an open cursor, nopen of them */
	uint32_t nopen;
	uint32_t hand; /* which is closed next when there are too many */
	WT_CURSOR
	*positioned;	/* in a transaction: stands on what get returned; reset before the next call */
	DorisBuf value; /* outside: the copy that get returned */
	uint64_t seen_drops; /* generation of drops up to which cursors were let go */
	bool in_transaction;
	uint64_t written; /* bytes, by the transaction so far */
};

void table_uri(StoreTable t, char out[32])
{
	switch (t)
	{
		case STORE_TABLE_META:
			strcpy(out, "file:meta.wt");
			break;
		case STORE_TABLE_STAGED:
			strcpy(out, "file:staged.wt");
			break;
		case STORE_TABLE_MEMORY:
			strcpy(out, "file:memory.wt");
			break;
		case STORE_TABLE_HINTS:
			strcpy(out, "file:hints.wt");
			break;
		default:
			(void) snprintf(out, 32, "file:v%05u.wt", (unsigned) t);
			break;
	}
}

DorisStatus wt_error(int rc, const char *what, DorisError *err)
{
	switch (rc)
	{
		case WT_ROLLBACK:
			return doris_error(err, DORIS_CONFLICT, "%s: another transaction wrote the same key",
							   what);
		case ENOSPC:
		case EDQUOT:
			return doris_error(err, DORIS_DISK_FULL, "%s: no space left on the disk", what);
		case ENOMEM:
			return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory", what);
		case EBUSY:
			return doris_error(err, DORIS_LIMIT, "%s: in use", what);
		case EMFILE:
		case ENFILE:
			(void) doris_error(err, DORIS_LIMIT, "%s: too many open files", what);
			return doris_hint(err, "Raise the limit of open files (ulimit -n) of the node.");
		case WT_CACHE_FULL:
			(void) doris_error(err, DORIS_LIMIT, "%s: no room in the cache for %d s", what,
							   CACHE_PATIENCE_MS / 1000);
			return doris_hint(err, "Give the node a larger cache, see its option --cache.");
		case WT_PANIC:
			/* nothing can be done with the engine any more; the log has all that was promised */
			log_line(LOG_ERROR, "%s: the storage engine gave up; stopping", what);
			_exit(1);
		default:
			return doris_error(err, DORIS_IO, "%s: %s", what, wiredtiger_strerror(rc));
	}
}

static int on_error(WT_EVENT_HANDLER *h, WT_SESSION *session, int error, const char *message)
{
	(void) h;
	(void) session;
	log_line(error == EBUSY ? LOG_DEBUG : LOG_ERROR, "wiredtiger: %s", message);
	return 0;
}

static int on_message(WT_EVENT_HANDLER *h, WT_SESSION *session, const char *message)
{
	(void) h;
	(void) session;
	log_line(LOG_DEBUG, "wiredtiger: %s", message);
	return 0;
}

static WT_EVENT_HANDLER event_handler = {on_error, on_message, NULL, NULL};

/* Closes the engine, if it is open. */
static void store_free(Store *s)
{
	int rc;

	checkpoints_stop(s->checkpoints);
	rc = s->conn != NULL ? s->conn->close(s->conn, NULL) : 0;
	if (rc != 0)
		log_line(LOG_ERROR, "closing the store: %s", wiredtiger_strerror(rc));
	(void) pthread_mutex_destroy(&s->backup);
	free(s->home);
	free(s);
}

static DorisStatus wt_open(const StoreOptions *o, Store **out, DorisError *err)
{
	DorisStatus st;
	char config[768];
	Store *s = calloc(1, sizeof(*s));
	int rc;

	*out = NULL;
	if (s == NULL || (s->home = strdup(o->home)) == NULL)
	{
		free(s);
		return doris_error(err, DORIS_NO_MEMORY, "opening %s: out of memory", o->home);
	}
	s->cache_bytes = o->cache_bytes;
	(void) pthread_mutex_init(&s->backup, NULL);
	(void) snprintf(
		config, sizeof(config),
		"create,cache_size=%lluB,cache_max_wait_ms=%d,session_max=512,statistics=(none),"
		"log=(enabled=true,archive=true,file_max=32MB,prealloc=false),"
		"transaction_sync=(enabled=false),"
		/* said aloud: a home remembers what it was made with (WiredTiger.basecfg) */
		"checkpoint=(wait=0,log_size=0),"
		"file_manager=(close_idle_time=3600,close_handle_minimum=20000),"
		"eviction=(threads_min=1,threads_max=2)," STORE_DIRTY_TARGET ",eviction_dirty_trigger=40",
		(unsigned long long) o->cache_bytes, CACHE_PATIENCE_MS);
	rc = wiredtiger_open(o->home, &event_handler, config, &s->conn);
	if (rc == 0)
	{
		st = files_remove_unknown(s->conn, s->home, err);
		if (st == DORIS_OK)
			st = checkpoints_start(s->conn, o, &s->checkpoints, err);
	}
	else
		st = doris_error(err, rc == ENOSPC ? DORIS_DISK_FULL : DORIS_IO,
						 "opening the store in %s: %s", o->home, wiredtiger_strerror(rc));
	if (st == DORIS_OK)
		*out = s;
	else
		store_free(s);
	return st;
}

static void wt_close(Store *s)
{
	if (s != NULL)
		store_free(s);
}

static DorisStatus wt_session(Store *s, StoreSession **out, DorisError *err)
{
	StoreSession *ss = calloc(1, sizeof(*ss));
	int rc;

	*out = NULL;
	if (ss != NULL)
	{
		ss->cursors = calloc(SLOT_COUNT, sizeof(*ss->cursors));
		ss->open = malloc(MAX_OPEN_CURSORS * sizeof(*ss->open));
	}
	if (ss == NULL || ss->cursors == NULL || ss->open == NULL)
	{
		if (ss != NULL)
		{
			free(ss->cursors);
			free(ss->open);
		}
		free(ss);
		return doris_error(err, DORIS_NO_MEMORY, "opening a store session: out of memory");
	}
	ss->store = s;
	rc = s->conn->open_session(s->conn, NULL, "isolation=snapshot", &ss->wt);
	if (rc != 0)
	{
		free(ss->cursors);
		free(ss->open);
		free(ss);
		return wt_error(rc, "opening a store session", err);
	}
	*out = ss;
	return DORIS_OK;
}

/* ---- cursors ---- */

static void release_position(StoreSession *ss)
{
	if (ss->positioned != NULL)
	{
		(void) ss->positioned->reset(ss->positioned);
		ss->positioned = NULL;
	}
}

static void close_cursor_at(StoreSession *ss, uint32_t i)
{
	uint32_t slot = ss->open[i];
	WT_CURSOR *c = ss->cursors[slot];

	if (c == ss->positioned)
		ss->positioned = NULL;
	if (c != NULL)
		(void) c->close(c);
	ss->cursors[slot] = NULL;
	ss->open[i] = ss->open[--ss->nopen];
}

static void close_cursors(StoreSession *ss)
{
	while (ss->nopen > 0)
		close_cursor_at(ss, ss->nopen - 1);
}

static void close_cursors_of(StoreSession *ss, StoreTable t)
{
	if (ss->cursors[SLOT(t)] == NULL && ss->cursors[SLOT_ADD(t)] == NULL)
		return;
	for (uint32_t i = ss->nopen; i-- > 0;)
		if (ss->open[i] == SLOT(t) || ss->open[i] == SLOT_ADD(t))
			close_cursor_at(ss, i);
}

static void wt_idle(StoreSession *ss)
{
	uint64_t drops = atomic_load(&ss->store->drops);

	if (ss->in_transaction)
		return;
	release_position(ss);
	if (ss->seen_drops != drops)
	{
		close_cursors(ss);
		ss->seen_drops = drops;
	}
}

static void wt_session_close(StoreSession *ss)
{
	if (ss == NULL)
		return;
	close_cursors(ss);
	(void) ss->wt->close(ss->wt, NULL);
	buf_free(&ss->value);
	free(ss->cursors);
	free(ss->open);
	free(ss);
}

static DorisStatus cursor_for(StoreSession *ss, StoreTable t, bool add, WT_CURSOR **out,
							  DorisError *err)
{
	uint32_t slot = add ? SLOT_ADD(t) : SLOT(t);
	char uri[32];
	int rc;

	if (t >= TABLE_COUNT)
		return doris_error(err, DORIS_INTERNAL, "no table has number %u", t);
	if (!ss->in_transaction && ss->seen_drops != atomic_load(&ss->store->drops))
		wt_idle(ss);
	*out = ss->cursors[slot];
	if (*out != NULL)
		return DORIS_OK;
	if (ss->nopen >= MAX_OPEN_CURSORS)
	{
		ss->hand = (ss->hand + 1) % ss->nopen;
		close_cursor_at(ss, ss->hand);
	}
	table_uri(t, uri);
	rc = ss->wt->open_cursor(ss->wt, uri, NULL, add ? "overwrite=false" : NULL, out);
	if (rc == ENOENT)
		return doris_error(err, DORIS_IO, "the table %s does not exist", uri);
	if (rc != 0 || *out == NULL)
		return wt_error(rc, uri, err);
	ss->cursors[slot] = *out;
	ss->open[ss->nopen++] = slot;
	return DORIS_OK;
}

/* ---- tables ---- */

static DorisStatus wt_create(StoreSession *ss, StoreTable t, DorisError *err)
{
	char uri[32];
	int rc;

	release_position(ss);
	table_uri(t, uri);
	rc = ss->wt->create(ss->wt, uri, TABLE_CONFIG);
	return rc == 0 ? DORIS_OK : wt_error(rc, uri, err);
}

static DorisStatus wt_drop(StoreSession *ss, StoreTable t, DorisError *err)
{
	char uri[32];
	int rc;

	release_position(ss);
	close_cursors_of(ss, t);
	atomic_fetch_add(&ss->store->drops, 1);
	table_uri(t, uri);
	rc = ss->wt->drop(ss->wt, uri, "force=true");
	return rc == 0 || rc == ENOENT ? DORIS_OK : wt_error(rc, uri, err);
}

static DorisStatus wt_exists(StoreSession *ss, StoreTable t, bool *out, DorisError *err)
{
	char uri[32];
	WT_CURSOR *c;
	int rc;

	release_position(ss);
	table_uri(t, uri);
	rc = ss->wt->open_cursor(ss->wt, "metadata:", NULL, NULL, &c);
	if (rc != 0)
		return wt_error(rc, "reading the store's catalogue", err);
	c->set_key(c, uri);
	rc = c->search(c);
	(void) c->close(c);
	if (rc != 0 && rc != WT_NOTFOUND)
		return wt_error(rc, uri, err);
	*out = rc == 0;
	return DORIS_OK;
}

/* ---- transactions ---- */

static DorisStatus wt_begin(StoreSession *ss, DorisError *err)
{
	int rc;

	wt_idle(ss);
	rc = ss->wt->begin_transaction(ss->wt, NULL);
	if (rc != 0)
		return wt_error(rc, "beginning a transaction", err);
	ss->in_transaction = true;
	return DORIS_OK;
}

static void note_written(StoreSession *ss, size_t bytes)
{
	ss->written += bytes;
	if (ss->in_transaction)
		return;
	checkpoints_wrote(ss->store->checkpoints, ss->written);
	ss->written = 0;
}

static DorisStatus wt_commit(StoreSession *ss, DorisError *err)
{
	int rc;

	release_position(ss);
	ss->in_transaction = false;
	rc = ss->wt->commit_transaction(ss->wt, NULL);
	if (rc == 0)
		note_written(ss, 0);
	return rc == 0 ? DORIS_OK : wt_error(rc, "committing to the store", err);
}

static void wt_rollback(StoreSession *ss)
{
	if (!ss->in_transaction)
		return;
	release_position(ss);
	ss->in_transaction = false;
	ss->written = 0;
	(void) ss->wt->rollback_transaction(ss->wt, NULL);
}

/* ---- single keys ---- */

/* The table's cursor with the key set, nothing positioned. */
static DorisStatus cursor_with_key(StoreSession *ss, StoreTable t, bool add, DorisBytes key,
								   WT_CURSOR **out, DorisError *err)
{
	WT_ITEM item = {.data = key.data, .size = key.len};
	DorisStatus st;

	release_position(ss);
	st = cursor_for(ss, t, add, out, err);
	if (st == DORIS_OK)
		(*out)->set_key(*out, &item);
	return st;
}

static DorisStatus wt_get(StoreSession *ss, StoreTable t, DorisBytes key, DorisBytes *value,
						  DorisError *err)
{
	WT_CURSOR *c;
	WT_ITEM item = {0};
	DorisStatus st;
	int rc;

	st = cursor_with_key(ss, t, false, key, &c, err);
	if (st != DORIS_OK)
		return st;
	rc = c->search(c);
	if (rc == WT_NOTFOUND)
	{
		err->code = DORIS_NOT_FOUND;
		return DORIS_NOT_FOUND;
	}
	if (rc != 0)
		return wt_error(rc, "reading from the store", err);
	ss->positioned = c;
	rc = c->get_value(c, &item);
	if (rc != 0)
		return wt_error(rc, "reading from the store", err);
	value->data = item.data;
	value->len = item.size;
	if (ss->in_transaction)
		return DORIS_OK;
	if (ss->value.cap > KEEP_VALUE)
		buf_free(&ss->value);
	buf_reset(&ss->value);
	buf_put_raw(&ss->value, item.data, item.size);
	release_position(ss);
	if (ss->value.failed)
		return doris_error(err, DORIS_NO_MEMORY, "reading from the store: out of memory");
	value->data = ss->value.data;
	return DORIS_OK;
}

static DorisStatus wt_put(StoreSession *ss, StoreTable t, DorisBytes key, DorisBytes value,
						  DorisError *err)
{
	WT_CURSOR *c;
	WT_ITEM item = {0};
	WT_ITEM at = {0};
	DorisStatus st;
	int rc;

	st = cursor_for(ss, t, false, &c, err);
	if (st != DORIS_OK)
		return st;
	item.data = value.data;
	item.size = value.len;
	/* just read: the cursor stands on the key, no second search */
	if (ss->positioned == c && c->get_key(c, &at) == 0 && at.size == key.len &&
		memcmp(at.data, key.data, key.len) == 0)
	{
		c->set_value(c, &item);
		rc = c->update(c);
	}
	else
	{
		release_position(ss);
		at.data = key.data;
		at.size = key.len;
		c->set_key(c, &at);
		c->set_value(c, &item);
		rc = c->insert(c);
	}
	if (rc != 0)
	{
		(void) c->reset(c);
		if (ss->positioned == c)
			ss->positioned = NULL;
		return wt_error(rc, "writing to the store", err);
	}
	note_written(ss, key.len + value.len);
	return DORIS_OK;
}

static DorisStatus wt_add(StoreSession *ss, StoreTable t, DorisBytes key, DorisBytes value,
						  DorisError *err)
{
	WT_CURSOR *c;
	WT_ITEM item = {.data = value.data, .size = value.len};
	DorisStatus st;
	int rc;

	if (!ss->in_transaction)
		return doris_error(err, DORIS_INTERNAL, "adding to the store without a transaction");
	st = cursor_with_key(ss, t, true, key, &c, err);
	if (st != DORIS_OK)
		return st;
	c->set_value(c, &item);
	rc = c->insert(c);
	if (rc == 0)
	{
		note_written(ss, key.len + value.len);
		return DORIS_OK;
	}
	(void) c->reset(c);
	if (rc != WT_DUPLICATE_KEY)
		return wt_error(rc, "writing to the store", err);
	err->code = DORIS_DUPLICATE;
	return DORIS_DUPLICATE;
}

static DorisStatus wt_del(StoreSession *ss, StoreTable t, DorisBytes key, DorisError *err)
{
	WT_CURSOR *c;
	DorisStatus st;
	int rc;

	st = cursor_with_key(ss, t, false, key, &c, err);
	if (st != DORIS_OK)
		return st;
	rc = c->remove(c);
	(void) c->reset(c);
	if (rc != 0 && rc != WT_NOTFOUND)
		return wt_error(rc, "deleting from the store", err);
	note_written(ss, key.len);
	return DORIS_OK;
}

/* ---- ranges ---- */

/* Nothing stays positioned beside a scan; and whoever opens one between transactions has let go of dropped tables. */
static WT_SESSION *before_scan(StoreSession *ss)
{
	release_position(ss);
	if (!ss->in_transaction)
		wt_idle(ss);
	return ss->wt;
}

static DorisStatus wt_scan(StoreSession *ss, StoreTable t, DorisBytes low, DorisBytes high,
						   StoreScan **out, DorisError *err)
{
	return scan_open(before_scan(ss), NULL, false, t, low, high, out, err);
}

static DorisStatus wt_scan_back(StoreSession *ss, StoreTable t, DorisBytes low, DorisBytes high,
								StoreScan **out, DorisError *err)
{
	return scan_open(before_scan(ss), NULL, true, t, low, high, out, err);
}

static DorisStatus wt_scan_once(StoreSession *ss, StoreTable t, DorisBytes low, DorisBytes high,
								StoreScan **out, DorisError *err)
{
	return scan_open(before_scan(ss), "read_once=true", false, t, low, high, out, err);
}

static DorisStatus wt_bulk(StoreSession *ss, StoreTable t, StoreScan **out, DorisError *err)
{
	release_position(ss);
	close_cursors_of(ss, t);
	return bulk_open(ss->wt, t, out, err);
}

/* ---- the whole ---- */

static DorisStatus wt_flush(StoreSession *ss, DorisError *err)
{
	int rc = ss->wt->log_flush(ss->wt, "sync=on");

	return rc == 0 ? DORIS_OK : wt_error(rc, "flushing the log", err);
}

static DorisStatus wt_checkpoint(StoreSession *ss, DorisError *err)
{
	release_position(ss);
	return checkpoints_make(ss->store->checkpoints, ss->wt, err);
}

static DorisStatus wt_backup(StoreSession *ss, const char *directory, DorisError *err)
{
	DorisStatus st;

	release_position(ss);
	(void) pthread_mutex_lock(&ss->store->backup);
	st = files_copy(ss->wt, ss->store->home, directory, err);
	(void) pthread_mutex_unlock(&ss->store->backup);
	return st;
}

static DorisStatus wt_usage(StoreSession *ss, StoreUsage *out, DorisError *err)
{
	memset(out, 0, sizeof(*out));
	out->cache_bytes = ss->store->cache_bytes;
	return files_usage(ss->store->home, &out->disk_bytes, err);
}

const StoreDriver store_wiredtiger = {
	.name = "wiredtiger",
	.open = wt_open,
	.close = wt_close,
	.session = wt_session,
	.session_close = wt_session_close,
	.idle = wt_idle,
	.create = wt_create,
	.drop = wt_drop,
	.exists = wt_exists,
	.begin = wt_begin,
	.commit = wt_commit,
	.rollback = wt_rollback,
	.get = wt_get,
	.put = wt_put,
	.add = wt_add,
	.del = wt_del,
	.scan = wt_scan,
	.scan_back = wt_scan_back,
	.scan_once = wt_scan_once,
	.next = scan_next,
	.scan_close = scan_close,
	.bulk = wt_bulk,
	.bulk_put = bulk_put,
	.bulk_end = bulk_end,
	.flush = wt_flush,
	.checkpoint = wt_checkpoint,
	.backup = wt_backup,
	.usage = wt_usage,
};
