/*
 * finish.c: FINISH and OUTCOME: how staged writes end on a copy (rules finish, outcome, close, refusals end).
 *
 * OUTCOME: the caller holds the epoch lock for reading (I3). FINISH takes it step by step.
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

/*
 * One step of a commit: the rows of the last message. From the last on, so that what is left of the index after a
 * crash has no gap.
 */
static DorisStatus commit_step(Worker *w, const FinishItem *item, Pass *pass, bool *done,
							   DorisError *err)
{
	Node *n = w->node;
	Remembered known;
	DorisBytes bytes;
	uint64_t number;
	DorisStatus st = memory_load(w, item->txn, &known, err);

	pass->entries = 0;
	while (st == DORIS_OK)
	{
		st = index_get(w, item->txn, pass->entries, &bytes, err);
		pass->entries += st == DORIS_OK;
	}
	if (st != DORIS_NOT_FOUND)
		return st;
	*done = pass->entries <= 1;
	if (known.committed && pass->entries == 0)
	{
		commit_need(w, atomic_load(&n->commits));
		return DORIS_OK;
	}
	st = commit_entry(w, item, pass->entries > 0 ? pass->entries - 1 : 0, !known.committed, pass,
					  &number, err);
	if (st != DORIS_OK)
		return st;
	if (pass->entries == 1)
		atomic_fetch_sub(&n->staged, 1);
	/*
	 * The decision row goes away after every target acknowledged: so that must be on disk. What waits
	 * for no decision row is found out from its judges again, should a crash bring it back.
	 */
	if (*done && (pass->decision || pass->found == 0))
		commit_need(w, number);
	return DORIS_OK;
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

/*
 * An abort's first step: the refusals, on which everything else rests: from here on no message of the transaction
 * is accepted in these vnodes. *left: how many messages the index holds.
 */
static DorisStatus abort_refuse(Worker *w, const FinishItem *item, uint32_t *left,
								FinishResult *out, DorisError *err)
{
	Node *n = w->node;
	Remembered known;
	bool is_known = true;
	uint64_t number;
	DorisStatus st;

	*left = 0;
	locks_clear(w);
	for (uint32_t i = 0; i < item->nvnodes; i++)
		locks_add(w, item->vnodes[i]);
	locks_take(w);
	buf_reset(&w->index);
	st = memory_load(w, item->txn, &known, err);
	if (st == DORIS_OK && !known.committed)
		st = index_gather(w, item->txn, &w->index, left, err);
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
	for (uint32_t i = 0; st == DORIS_OK && i < item->nvnodes; i++)
		st = memory_put_refused(w, item->txn, item->vnodes[i], atomic_load(&n->epoch), err);
	if (st != DORIS_OK)
	{
		commit_abandon(w);
		return st;
	}
	st = commit_end(w, true, &number, err);
	if (st == DORIS_OK)
		commit_need(w, number);
	return st;
}

/* What an index entry still lists after the rows in the item's vnodes were dropped. */
static void index_rest(Worker *w, const FinishItem *item, DorisBuf *rest)
{
	DorisCursor c = cursor_of(w->index.data, w->index.len);
	uint32_t vnode;
	DorisBytes key;

	while (next_indexed(&c, &vnode, &key))
	{
		if (in_list(item->vnodes, item->nvnodes, vnode))
			continue;
		buf_put_u32(rest, vnode);
		buf_put_view(rest, key);
	}
}

/* Writes what is left of entry `at`. An empty one goes away: the last entry takes its place, so that no gap is left. */
static DorisStatus index_replace(Worker *w, DorisTxnId txn, uint32_t at, uint32_t last,
								 DorisBuf *rest, DorisError *err)
{
	DorisStatus st = DORIS_OK;
	DorisBytes bytes;

	if (rest->len == 0 && at != last)
	{
		st = index_get(w, txn, last, &bytes, err);
		if (st == DORIS_OK)
			buf_put_raw(rest, bytes.data, bytes.len);
		if (st == DORIS_OK)
			st = index_del(w, txn, last, err);
	}
	else if (rest->len == 0)
		return index_del(w, txn, at, err);
	if (st == DORIS_OK && rest->failed)
		st = doris_error(err, DORIS_NO_MEMORY, "finish: out of memory");
	bytes = (DorisBytes){rest->data, rest->len};
	if (st == DORIS_OK)
		st = index_put(w, txn, at, bytes, err);
	return st;
}

/* Drops the rows of one message, entry `at` of the index, whose last entry is *last (-1: none is left). */
static DorisStatus abort_entry(Worker *w, const FinishItem *item, uint32_t at, int64_t *last,
							   DorisError *err)
{
	Node *n = w->node;
	Pass pass = {0};
	DorisBytes bytes;
	DorisBuf rest;
	uint64_t number;
	DorisStatus st = index_get(w, item->txn, at, &bytes, err);

	if (st == DORIS_NOT_FOUND)
		return DORIS_OK; /* another worker was quicker */
	if (st != DORIS_OK)
		return st;
	buf_reset(&w->index);
	buf_put_raw(&w->index, bytes.data, bytes.len);
	buf_init(&rest);
	index_rest(w, item, &rest);
	locks_clear(w);
	lock_indexed(w);
	locks_take(w);
	st = commit_begin(w, err);
	if (st == DORIS_OK && w->index.failed)
		st = doris_error(err, DORIS_NO_MEMORY, "finish: out of memory");
	if (st == DORIS_OK)
		st = end_rows(w, item, &pass, err);
	if (st == DORIS_OK && rest.len < w->index.len)
	{
		bool gone = rest.len == 0;

		st = index_replace(w, item->txn, at, (uint32_t) *last, &rest, err);
		*last -= gone;
	}
	buf_free(&rest);
	if (st != DORIS_OK)
	{
		commit_abandon(w);
		return st;
	}
	st = commit_end(w, true, &number, err);
	if (st != DORIS_OK)
		return st;
	node_count(n, COUNT_ROWS_FINISHED, pass.found);
	if (*last < 0)
		atomic_fetch_sub(&n->staged, 1);
	commit_need(w, number);
	return DORIS_OK;
}

/* May the abort go on? Drops are fenced (rule close). */
static DorisStatus abort_fence(Worker *w, uint64_t epoch, const FinishItem *item, bool *stale,
							   DorisError *err)
{
	Node *n = w->node;
	DorisStatus st = epoch_admit(n, epoch, err);

	*stale = false;
	for (uint32_t i = 0; st == DORIS_OK && i < item->nvnodes; i++)
	{
		uint32_t v = item->vnodes[i];

		if (epoch_stale(n, epoch, v) || (n->placement->place[v] & PLACE_TARGET) == 0)
			*stale = true;
	}
	return st;
}

/* One step of the item, under the epoch lock and the transaction's. step counts them from 0. */
static DorisStatus abort_step(Worker *w, uint64_t epoch, const FinishItem *item, uint32_t step,
							  uint32_t *left, int64_t *last, FinishResult *out, DorisError *err)
{
	bool stale;
	DorisStatus st = abort_fence(w, epoch, item, &stale, err);

	if (st != DORIS_OK || stale)
	{
		*out = FINISH_STALE;
		*left = 0;
		return st;
	}
	if (step == 0)
	{
		st = abort_refuse(w, item, left, out, err);
		*last = (int64_t) *left - 1;
		if (*out != FINISHED)
			*left = 0;
		return st;
	}
	(*left)--;
	return abort_entry(w, item, *left, last, err);
}

/*
 * Takes the epoch lock itself, for one step at a time: a big transaction takes seconds to end, and neither a new
 * topology nor a heartbeat may wait for all of it.
 */
DorisStatus finish_execute(Worker *w, uint64_t epoch, const FinishItem *item, FinishResult *out,
						   DorisError *err)
{
	Node *n = w->node;
	pthread_mutex_t *txn_lock = txn_lock_of(n, item->txn);
	Pass pass = {0};
	uint32_t left = 0;
	int64_t last = -1;
	bool done = false;
	DorisStatus st = DORIS_OK;

	*out = FINISHED;
	if (!item->commit && item->nvnodes == 0)
		return doris_error(err, DORIS_BAD_MESSAGE, "finish: an abort names no vnodes");
	st = disk_take_end(n, err);
	for (uint32_t step = 0; st == DORIS_OK && !done; step++)
	{
		(void) pthread_rwlock_rdlock(&n->epoch_lock);
		(void) pthread_mutex_lock(txn_lock);
		if (item->commit)
			st = commit_step(w, item, &pass, &done, err);
		else
		{
			st = abort_step(w, epoch, item, step, &left, &last, out, err);
			done = left == 0;
		}
		(void) pthread_mutex_unlock(txn_lock);
		(void) pthread_rwlock_unlock(&n->epoch_lock);
	}
	if (st == DORIS_OK && item->commit)
		node_count(n, COUNT_ROWS_FINISHED, pass.found);
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
		st = disk_take_end(n, err);
		if (st == DORIS_OK)
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
