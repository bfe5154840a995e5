/*
 * finish.c: FINISH and OUTCOME: how staged writes end on a copy (rules finish, outcome, close, refusals end).
 *
 * The caller holds the epoch lock for reading (I3).
 */
#include "node.h"

#include <string.h>

/* What a pass over a transaction's staged rows here came to. */
typedef struct Pass
{
	uint32_t entries; /* in STAGED */
	uint32_t found;	  /* rows that hold its staged write */
	bool decision;	  /* one of them waits for a decision row */
} Pass;

static bool next_indexed(DorisCursor *c, uint32_t *vnode, DorisBytes *key)
{
	if (cursor_left(c) == 0)
		return false;
	*vnode = cursor_u32(c);
	*key = cursor_bytes(c);
	return !c->bad && *vnode < DORIS_MAX_VNODES && key->len > 0;
}

static bool in_list(const uint32_t *vnodes, uint32_t n, uint32_t vnode)
{
	for (uint32_t i = 0; i < n; i++)
	{
		if (vnodes[i] == vnode)
			return true;
	}
	return false;
}

/*
 * Ends the staged writes of w->index: all of them (commit), or those in the listed vnodes (abort). In the open
 * transaction.
 */
static DorisStatus end_rows(Worker *w, const FinishItem *item, Pass *pass, DorisError *err)
{
	DorisCursor c = cursor_of(w->index.data, w->index.len);
	uint32_t vnode;
	DorisBytes key;
	DorisStatus st = DORIS_OK;
	Record *r = &w->row;

	while (st == DORIS_OK && next_indexed(&c, &vnode, &key))
	{
		bool was_live;
		size_t was_bytes;
		int i;

		if (atomic_load(&w->node->tables[vnode]) != TABLE_READY)
			continue; /* the copy has gone elsewhere */
		if (!item->commit && !in_list(item->vnodes, item->nvnodes, vnode))
			continue;
		st = rows_load(w, vnode, key, r, err);
		if (st != DORIS_OK)
			break;
		i = record_find_staged(r, item->txn);
		if (i < 0)
			continue; /* proved committed by a later writer, or its namespace is gone */
		was_live = record_is_live(r);
		was_bytes = r->value.len;
		pass->found++;
		pass->decision = pass->decision || r->staged[i].mode == TXN_DECISION;
		if (item->commit)
			record_commit_staged(r, i);
		else
			record_remove_staged(r, i);
		st = rows_save(w, vnode, key, r, was_live, was_bytes, err);
	}
	return st;
}

static DorisStatus delete_index(Worker *w, DorisTxnId txn, uint32_t entries, DorisError *err)
{
	DorisStatus st = DORIS_OK;

	for (uint32_t i = 0; st == DORIS_OK && i < entries; i++)
		st = index_del(w, txn, i, err);
	return st;
}

static void lock_indexed(Worker *w)
{
	DorisCursor c = cursor_of(w->index.data, w->index.len);
	uint32_t vnode;
	DorisBytes key;

	while (next_indexed(&c, &vnode, &key))
		locks_add(w, vnode);
}

/*
 * Ends the rows of one message of the transaction (`entry` of the index) as committed, in a store transaction of their own:
 * a big transaction in one piece would pin more than the cache holds, and keep its vnodes locked for seconds. first: also
 * remembers the outcome, which holds for the rest too.
 */
static DorisStatus commit_entry(Worker *w, const FinishItem *item, uint32_t entry, bool first,
								Pass *pass, uint64_t *number, DorisError *err)
{
	DorisBytes bytes;
	DorisStatus st = DORIS_OK;

	buf_reset(&w->index);
	if (entry < pass->entries)
	{
		st = index_get(w, item->txn, entry, &bytes, err);
		if (st == DORIS_OK)
			buf_put_raw(&w->index, bytes.data, bytes.len);
		if (st == DORIS_OK && w->index.failed)
			st = doris_error(err, DORIS_NO_MEMORY, "finish: out of memory");
		if (st != DORIS_OK)
			return st;
	}
	locks_clear(w);
	lock_indexed(w);
	locks_take(w);
	st = commit_begin(w, err);
	if (st == DORIS_OK)
		st = end_rows(w, item, pass, err);
	if (st == DORIS_OK && entry < pass->entries)
		st = index_del(w, item->txn, entry, err);
	if (st == DORIS_OK && first)
		st = memory_put_committed(w, item->txn, err);
	if (st != DORIS_OK)
	{
		commit_abandon(w);
		return st;
	}
	/* no reader concludes anything from it that its staged write would not have told it as well */
	return commit_end(w, false, number, err);
}

static DorisStatus finish_commit(Worker *w, const FinishItem *item, DorisError *err)
{
	Node *n = w->node;
	Pass pass = {0};
	Remembered known;
	DorisBytes bytes;
	uint64_t number = 0;
	uint32_t left;
	DorisStatus st;

	st = memory_load(w, item->txn, &known, err);
	while (st == DORIS_OK)
	{
		st = index_get(w, item->txn, pass.entries, &bytes, err);
		pass.entries += st == DORIS_OK;
	}
	if (st != DORIS_NOT_FOUND)
		return st;
	if (known.committed && pass.entries == 0)
	{
		commit_need(w, atomic_load(&n->commits));
		return DORIS_OK;
	}
	/* from the last on, so that what is left of the index after a crash has no gap */
	left = pass.entries;
	do
	{
		bool first = left == pass.entries;

		left -= left > 0;
		st = commit_entry(w, item, left, first, &pass, &number, err);
		if (st != DORIS_OK)
			return st;
	} while (left > 0);
	if (pass.entries > 0)
		atomic_fetch_sub(&n->staged, 1);
	node_count(n, COUNT_ROWS_FINISHED, pass.found);
	/*
	 * The decision row goes away after every target acknowledged: so that must be on disk. What waits
	 * for no decision row is found out from its judges again, should a crash bring it back.
	 */
	if (pass.decision || pass.found == 0)
		commit_need(w, number);
	return DORIS_OK;
}

/* What is left of the index after the rows in some vnodes were dropped. */
static DorisStatus shrink_index(Worker *w, const FinishItem *item, uint32_t entries, bool *empty,
								DorisError *err)
{
	DorisCursor c = cursor_of(w->index.data, w->index.len);
	DorisBuf rest;
	DorisStatus st;
	uint32_t vnode;
	DorisBytes key;

	buf_init(&rest);
	while (next_indexed(&c, &vnode, &key))
	{
		if (in_list(item->vnodes, item->nvnodes, vnode))
			continue;
		buf_put_u32(&rest, vnode);
		buf_put_view(&rest, key);
	}
	*empty = rest.len == 0;
	st = delete_index(w, item->txn, entries, err);
	if (st == DORIS_OK && rest.failed)
		st = doris_error(err, DORIS_NO_MEMORY, "finish: out of memory");
	if (st == DORIS_OK && rest.len > 0)
	{
		DorisBytes entry = {rest.data, rest.len};

		st = index_put(w, item->txn, 0, entry, err);
	}
	buf_free(&rest);
	return st;
}

/*
 * May a drop of a transaction begun before the horizon be told? Only where it is held or known as refused: elsewhere its
 * commit may have been forgotten.
 */
static DorisStatus drop_is_known(Worker *w, const FinishItem *item, bool some_refused, bool *out,
								 DorisError *err)
{
	DorisStatus st = DORIS_OK;

	*out = true;
	for (uint32_t i = 0; st == DORIS_OK && *out && i < item->nvnodes; i++)
	{
		DorisCursor c = cursor_of(w->index.data, w->index.len);
		bool held = false;
		uint32_t vnode;
		DorisBytes key;

		while (!held && next_indexed(&c, &vnode, &key))
			held = vnode == item->vnodes[i];
		if (!held && some_refused)
			st = memory_refused(w, item->txn, item->vnodes[i], &held, err);
		*out = held;
	}
	return st;
}

static DorisStatus finish_abort(Worker *w, const FinishItem *item, FinishResult *out,
								DorisError *err)
{
	Node *n = w->node;
	Pass pass = {0};
	Remembered known;
	bool empty = false;
	bool is_known = true;
	uint64_t number;
	DorisStatus st;

	locks_clear(w);
	for (uint32_t i = 0; i < item->nvnodes; i++)
		locks_add(w, item->vnodes[i]);
	locks_take(w);
	buf_reset(&w->index);
	st = memory_load(w, item->txn, &known, err);
	if (st == DORIS_OK && !known.committed)
		st = index_gather(w, item->txn, &w->index, &pass.entries, err);
	if (st == DORIS_OK && !known.committed &&
		clock_ms_of(item->txn.clock) < atomic_load(&n->horizon_ms))
		st = drop_is_known(w, item, known.some_refused, &is_known, err);
	if (st != DORIS_OK || known.committed || !is_known)
	{
		commit_abandon(w);
		*out = known.committed ? FINISH_COMMITTED : FINISH_STALE;
		return st;
	}
	st = commit_begin(w, err);
	if (st == DORIS_OK)
		st = end_rows(w, item, &pass, err);
	if (st == DORIS_OK && pass.entries > 0)
		st = shrink_index(w, item, pass.entries, &empty, err);
	for (uint32_t i = 0; st == DORIS_OK && i < item->nvnodes; i++)
		st = memory_put_refused(w, item->txn, item->vnodes[i], atomic_load(&n->epoch), err);
	if (st != DORIS_OK)
	{
		commit_abandon(w);
		return st;
	}
	st = commit_end(w, true, &number, err);
	if (st != DORIS_OK)
		return st;
	if (pass.entries > 0 && empty)
		atomic_fetch_sub(&n->staged, 1);
	node_count(n, COUNT_ROWS_FINISHED, pass.found);
	commit_need(w, number);
	return DORIS_OK;
}

DorisStatus finish_execute(Worker *w, uint64_t epoch, const FinishItem *item, FinishResult *out,
						   DorisError *err)
{
	Node *n = w->node;
	pthread_mutex_t *txn_lock = txn_lock_of(n, item->txn);
	DorisStatus st;

	*out = FINISHED;
	if (atomic_load(&n->disk_starved))
		return background_disk_full(n, err);
	if (!item->commit)
	{
		/* drops are fenced (rule close) */
		st = epoch_admit(n, epoch, err);
		if (st != DORIS_OK)
			return st;
		if (item->nvnodes == 0)
			return doris_error(err, DORIS_BAD_MESSAGE, "finish: an abort names no vnodes");
		for (uint32_t i = 0; i < item->nvnodes; i++)
		{
			uint32_t v = item->vnodes[i];

			if (epoch_stale(n, epoch, v) || (n->placement->place[v] & PLACE_TARGET) == 0)
			{
				*out = FINISH_STALE;
				return DORIS_OK;
			}
		}
	}
	(void) pthread_mutex_lock(txn_lock);
	st = item->commit ? finish_commit(w, item, err) : finish_abort(w, item, out, err);
	(void) pthread_mutex_unlock(txn_lock);
	return st;
}

/* ---- outcome ---- */

/* Does a row of the vnode hold the transaction's staged write? All rows of a message do, or none. */
static DorisStatus is_held(Worker *w, DorisTxnId txn, uint32_t wanted, bool *out, DorisError *err)
{
	DorisCursor c;
	uint32_t entries;
	uint32_t vnode;
	DorisBytes key;
	DorisStatus st;

	*out = false;
	buf_reset(&w->index);
	st = index_gather(w, txn, &w->index, &entries, err);
	c = cursor_of(w->index.data, w->index.len);
	while (st == DORIS_OK && !*out && next_indexed(&c, &vnode, &key))
	{
		if (vnode != wanted)
			continue;
		st = rows_load(w, vnode, key, &w->row, err);
		*out = st == DORIS_OK && record_find_staged(&w->row, txn) >= 0;
	}
	return st;
}

static DorisStatus outcome_locked(Worker *w, const OutcomeRequest *m, OutcomeResult *out,
								  DorisError *err)
{
	Node *n = w->node;
	Remembered known;
	bool held = false;
	bool refused = false;
	uint64_t number;
	DorisStatus st = memory_load(w, m->txn, &known, err);

	if (st == DORIS_OK && !known.committed)
		st = is_held(w, m->txn, m->vnode, &held, err);
	if (st == DORIS_OK && known.some_refused)
		st = memory_refused(w, m->txn, m->vnode, &refused, err);
	if (st != DORIS_OK)
		return st;
	commit_need_vnode(w, m->vnode);
	if (known.committed)
		*out = OUTCOME_COMMITTED;
	else if (held)
		*out = OUTCOME_HELD;
	else if (refused)
		*out = OUTCOME_REFUSED;
	else if (clock_ms_of(m->txn.clock) < atomic_load(&n->horizon_ms))
		*out = OUTCOME_HORIZON;
	else if (!m->refuse)
		*out = OUTCOME_NOT_HELD;
	else
	{
		if (atomic_load(&n->disk_starved))
			return background_disk_full(n, err);
		st = commit_begin(w, err);
		if (st == DORIS_OK)
			st = memory_put_refused(w, m->txn, m->vnode, atomic_load(&n->epoch), err);
		if (st == DORIS_OK)
			st = commit_end(w, true, &number, err);
		if (st != DORIS_OK)
			return st;
		commit_need(w, number);
		*out = OUTCOME_REFUSED;
	}
	return DORIS_OK;
}

DorisStatus outcome_execute(Worker *w, uint64_t epoch, const OutcomeRequest *m, OutcomeResult *out,
							DorisError *err)
{
	Node *n = w->node;
	pthread_mutex_t *txn_lock = txn_lock_of(n, m->txn);
	DorisStatus st = epoch_admit(n, epoch, err);

	if (st == DORIS_OK)
		st = epoch_check(n, epoch, m->vnode, PLACE_TARGET, err);
	if (st == DORIS_OK)
		st = tables_need(w, m->vnode, err);
	if (st != DORIS_OK)
		return st;
	(void) pthread_mutex_lock(txn_lock);
	locks_clear(w);
	locks_add(w, m->vnode);
	locks_take(w);
	st = outcome_locked(w, m, out, err);
	commit_abandon(w);
	(void) pthread_mutex_unlock(txn_lock);
	return st;
}
