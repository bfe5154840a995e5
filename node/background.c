/*
 * background.c: the node's housekeeping thread: a look at the disk, the clock's ceiling, the memory's horizon, tables and rows
 * that are leftovers, counting after an unclean stop, flushes when the cluster's sync is an interval.
 *
 * Everything is bounded for each round (I6), so that it never gets in the way of requests for long.
 */
#include "node.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUND_MS 1000
#define SETTLE_BUSY 4 /* tables made or dropped in a tenth of a second while rows are asked for */
#define PURGE_MEMORY 50000	 /* entries for each round */
#define PURGE_STEP 1000		 /* entries, rows for each store transaction */
#define TOMBSTONES_MS 100	 /* of each round */
#define PURGE_DECISIONS 2000 /* decision rows for each round */
#define DROP_ROWS 50000		 /* rows of dropped namespaces for each round */
#define RECOUNT_MS 300		 /* of each round */
#define MEMORY_AGAIN_MS 600000

/* The ceiling stays ahead of the clock, so that after a start no stamp is below one seen before. */
void background_watch_clock(Worker *w)
{
	Node *n = w->node;
	uint64_t now = clock_next(&n->clock);
	DorisError err = {0};

	if (now + ((uint64_t) NODE_CEILING_AHEAD_MS << 15) > atomic_load(&n->ceiling) &&
		!atomic_load(&n->disk_starved))
	{
		uint64_t want = now + ((uint64_t) NODE_CEILING_AHEAD_MS << 15);

		if (meta_raise_ceiling(w, want, &err) != DORIS_OK)
			log_line(LOG_WARNING, "keeping the clock's ceiling: %s", err.message);
	}
	memory_watch_horizon(w);
}

/* ---- decision rows past the horizon ---- */

typedef struct Purge
{
	DorisTxnId memory_from; /* outcomes before it are gone already */
	uint64_t memory_again;	/* monotonic ms: old ones that came since (hints) are looked for then */
	uint32_t decision_vnode; /* where the next round goes on */
	PurgeWalk tombstones;
	uint32_t drop_vnode;
} Purge;

/*
 * Deletes decision rows older than the horizon that have no staged part: every target has acknowledged finishing (the
 * client finishes the decision row only then; rule decision row).
 */
static DorisStatus purge_decisions(Worker *w, uint32_t vnode, uint32_t *budget, DorisError *err)
{
	Node *n = w->node;
	const StoreDriver *d = n->driver;
	DorisTxnId end = {.clock = atomic_load(&n->horizon_ms) << 16};
	uint8_t low[1] = {DORIS_SPACE_DECISIONS};
	uint8_t high[1 + DORIS_TXNID_SIZE] = {DORIS_SPACE_DECISIONS};
	DorisBytes from = {low, sizeof(low)};
	DorisBytes to = {high, sizeof(high)};
	DorisBytes key;
	DorisBytes value;
	StoreScan *sc;
	uint32_t found = 0;
	DorisStatus st;

	txnid_to_key(end, high + 1);
	locks_clear(w);
	locks_add(w, vnode);
	locks_take(w);
	st = commit_begin(w, err);
	if (st == DORIS_OK)
		st = d->scan(w->ss, vnode, from, to, &sc, err);
	if (st != DORIS_OK)
	{
		commit_abandon(w);
		return st;
	}
	buf_reset(&w->index);
	while (found < *budget && found < PURGE_STEP &&
		   (st = d->next(sc, &key, &value, err)) == DORIS_OK)
	{
		if (key.len == sizeof(high) && record_decode(value, &w->row) && w->row.nstaged == 0)
		{
			RowWas was = row_was(&w->row);

			buf_put_raw(&w->index, key.data, key.len);
			found++;
			record_clear(&w->row);
			st = kept_note(w, vnode, key, &was, &w->row, err);
			if (st != DORIS_OK)
				break;
		}
	}
	d->scan_close(sc);
	if (st == DORIS_NOT_FOUND)
		st = DORIS_OK;
	if (st == DORIS_OK && w->index.failed)
		st = doris_error(err, DORIS_NO_MEMORY, "purging decision rows: out of memory");
	for (uint32_t i = 0; st == DORIS_OK && i < found; i++)
	{
		DorisBytes k = {w->index.data + (size_t) i * sizeof(high), sizeof(high)};

		st = d->del(w->ss, vnode, k, err);
	}
	if (st != DORIS_OK || found == 0)
	{
		commit_abandon(w);
		return st;
	}
	*budget -= found;
	node_count(n, COUNT_PURGED, found);
	return commit_end(w, false, NULL, err);
}

/* ---- rows of namespaces that are gone ---- */

typedef struct Gone
{
	uint32_t ids[256];
	uint32_t n;
} Gone;

static DorisStatus on_gone(void *arg, uint32_t ns, uint64_t epoch, DorisError *err)
{
	Gone *g = arg;

	(void) epoch;
	(void) err;
	if (g->n < 256)
		g->ids[g->n++] = ns;
	return DORIS_OK;
}

/* Deletes up to PURGE_STEP rows; *done: none is left in the vnode. */
static DorisStatus drop_rows(Worker *w, uint32_t vnode, uint32_t ns, uint32_t *dropped, bool *done,
							 DorisError *err)
{
	Node *n = w->node;
	const StoreDriver *d = n->driver;
	DorisBytes none = {NULL, 0};
	DorisBytes key;
	DorisBytes value;
	StoreScan *sc;
	DorisBuf high;
	DorisStatus st;
	DorisCursor c;

	*dropped = 0;
	*done = true;
	buf_init(&high);
	buf_reset(&w->key);
	record_key(&w->key, DORIS_SPACE_ROWS, ns, none);
	record_key(&high, DORIS_SPACE_ROWS, ns + 1, none);
	locks_clear(w);
	locks_add(w, vnode);
	locks_take(w);
	st = commit_begin(w, err);
	if (st == DORIS_OK)
	{
		DorisBytes from = {w->key.data, w->key.len};
		DorisBytes to = {high.data, high.len};

		st = d->scan(w->ss, vnode, from, to, &sc, err);
	}
	buf_free(&high);
	if (st != DORIS_OK)
	{
		commit_abandon(w);
		return st;
	}
	buf_reset(&w->index);
	while (*dropped < PURGE_STEP && (st = d->next(sc, &key, &value, err)) == DORIS_OK)
	{
		RowWas was;

		if (!record_decode(value, &w->row))
			record_clear(&w->row);
		was = row_was(&w->row);
		if (record_is_live(&w->row))
			counters_note(w, vnode, ns, -1, -(int64_t) (key.len - 5 + was.bytes));
		buf_put_view(&w->index, key);
		record_clear(&w->row);
		st = kept_note(w, vnode, key, &was, &w->row, err);
		if (st != DORIS_OK)
			break;
		(*dropped)++;
	}
	*done = st == DORIS_NOT_FOUND;
	d->scan_close(sc);
	if (st == DORIS_NOT_FOUND)
		st = DORIS_OK;
	if (st == DORIS_OK && w->index.failed)
		st = doris_error(err, DORIS_NO_MEMORY, "dropping rows: out of memory");
	c = cursor_of(w->index.data, w->index.len);
	while (st == DORIS_OK && cursor_left(&c) > 0)
	{
		DorisBytes k = cursor_bytes(&c);

		st = d->del(w->ss, vnode, k, err);
	}
	if (st != DORIS_OK || *dropped == 0)
	{
		commit_abandon(w);
		return st;
	}
	node_count(n, COUNT_DROPPED, *dropped);
	return commit_end(w, false, NULL, err);
}

/* Of one namespace; *done: nothing of it is left. */
static DorisStatus drop_namespace(Worker *w, Purge *p, uint32_t ns, uint32_t *budget, bool *done,
								  DorisError *err)
{
	Node *n = w->node;
	DorisStatus st = DORIS_OK;

	while (st == DORIS_OK && *budget > 0 && p->drop_vnode < DORIS_MAX_VNODES &&
		   !atomic_load(&n->stopping))
	{
		uint32_t dropped = 0;
		bool empty = true;

		if (atomic_load(&n->tables[p->drop_vnode]) == TABLE_READY)
			st = drop_rows(w, p->drop_vnode, ns, &dropped, &empty, err);
		*budget -= dropped < *budget ? dropped : *budget;
		if (empty)
			p->drop_vnode++;
	}
	*done = st == DORIS_OK && p->drop_vnode == DORIS_MAX_VNODES;
	return st;
}

static DorisStatus drop_gone(Worker *w, Purge *p, DorisError *err)
{
	Gone gone = {.n = 0};
	uint32_t budget = DROP_ROWS;
	DorisStatus st = meta_each_numbered(w, "gone/", on_gone, &gone, err);

	for (uint32_t i = 0; st == DORIS_OK && i < gone.n && budget > 0; i++)
	{
		bool done = false;

		st = drop_namespace(w, p, gone.ids[i], &budget, &done, err);
		if (st != DORIS_OK || !done)
			break;
		p->drop_vnode = 0;
		st = meta_del_numbered(w, "gone/", gone.ids[i], err);
		log_line(LOG_INFO, "the rows of dropped namespace %u are deleted", gone.ids[i]);
	}
	return st;
}

/* ---- rounds ---- */

static DorisStatus purge_round(Worker *w, Purge *p, DorisError *err)
{
	Node *n = w->node;
	uint32_t budget = PURGE_DECISIONS;
	DorisStatus st = DORIS_OK;
	bool done = false;

	if (clock_mono_ms() >= p->memory_again)
	{
		memset(&p->memory_from, 0, sizeof(p->memory_from));
		p->memory_again = clock_mono_ms() + MEMORY_AGAIN_MS;
	}
	for (uint32_t i = 0; st == DORIS_OK && !done && i < PURGE_MEMORY / PURGE_STEP; i++)
		st = memory_purge(w, atomic_load(&n->horizon_ms), PURGE_STEP, &p->memory_from, &done, err);
	/* a slice of the vnodes each round: all within about a minute */
	for (uint32_t i = 0; st == DORIS_OK && i < DORIS_MAX_VNODES / 64 && budget > 0; i++)
	{
		uint32_t v = p->decision_vnode;

		p->decision_vnode = (v + 1) % DORIS_MAX_VNODES;
		if (atomic_load(&n->tables[v]) == TABLE_READY)
			st = purge_decisions(w, v, &budget, err);
	}
	if (st == DORIS_OK)
		st = purge_tombstones(w, &p->tombstones, TOMBSTONES_MS, err);
	if (st == DORIS_OK)
		st = drop_gone(w, p, err);
	return st;
}

DorisStatus background_purge(Worker *w, DorisError *err)
{
	DorisStatus st = DORIS_OK;
	Purge p = {.drop_vnode = 0};

	for (int i = 0; st == DORIS_OK && i < 64; i++)
		st = purge_round(w, &p, err);
	purge_walk_free(&p.tombstones);
	return st;
}

static void recount_some(Worker *w, uint32_t *next)
{
	Node *n = w->node;
	uint64_t until = clock_mono_ms() + RECOUNT_MS;
	DorisError err = {0};

	while (*next < DORIS_MAX_VNODES && clock_mono_ms() < until && !atomic_load(&n->stopping))
	{
		uint32_t v = (*next)++;

		/* a table made since is counted from its first row on */
		if (atomic_load(&n->tables[v]) == TABLE_READY && counters_recount(w, v, &err) != DORIS_OK)
			log_line(LOG_WARNING, "counting the rows of vnode %u: %s", v, err.message);
		if (*next == DORIS_MAX_VNODES)
			log_line(LOG_INFO, "the rows are counted");
	}
}

static void settle_tables(Worker *w, uint64_t *settled_epoch, uint64_t *rows_seen)
{
	Node *n = w->node;
	uint64_t epoch = atomic_load(&n->epoch);
	uint64_t rows;
	DorisError err = {0};
	DorisStatus st;

	if (!atomic_load(&n->serving) || epoch == *settled_epoch)
		return;
	rows = pace_rows_served(n);
	/* opening, syncing and deleting files holds others up: a few at a time while rows are asked for */
	st = tables_settle(w, rows != *rows_seen ? SETTLE_BUSY : 0, &err);
	*rows_seen = rows;
	if (st == DORIS_OK)
		*settled_epoch = epoch;
	else if (st != DORIS_LIMIT)
		log_line(LOG_WARNING, "tables of vnodes: %s", err.message);
}

static void *background_main(void *arg)
{
	Node *n = arg;
	Worker w;
	Purge purge = {.drop_vnode = 0};
	uint32_t recount = n->recount ? 0 : DORIS_MAX_VNODES;
	uint64_t settled_epoch = 0;
	uint64_t rows_seen = 0;
	uint64_t next = 0;
	DorisError err = {0};

	if (worker_init(&w, n, &err) != DORIS_OK)
	{
		log_line(LOG_ERROR, "%s", err.message);
		node_stop(n, 1);
		return NULL;
	}
	while (!atomic_load(&n->stopping))
	{
		struct timespec pause = {0, 100 * 1000000L};

		(void) nanosleep(&pause, NULL);
		disk_watch(n);
		settle_tables(&w, &settled_epoch, &rows_seen);
		if (clock_mono_ms() < next)
			continue;
		next = clock_mono_ms() + ROUND_MS;
		background_watch_clock(&w);
		if (atomic_load(&n->commits) > atomic_load(&n->flushed) &&
			commit_flush_all(&w, &err) != DORIS_OK)
			log_line(LOG_ERROR, "%s", err.message);
		if (!atomic_load(&n->disk_starved) && purge_round(&w, &purge, &err) != DORIS_OK)
			log_line(LOG_WARNING, "purging: %s", err.message);
		recount_some(&w, &recount);
		n->driver->idle(w.ss);
	}
	purge_walk_free(&purge.tombstones);
	worker_free(&w);
	return NULL;
}

DorisStatus background_start(Node *n, pthread_t *thread, DorisError *err)
{
	int rc = pthread_create(thread, NULL, background_main, n);

	if (rc != 0)
		return doris_error(err, DORIS_NO_MEMORY, "starting the background thread: %s",
						   strerror(rc));
	return DORIS_OK;
}
