/*
 * finish.c: FINISH and OUTCOME: how staged writes end on a copy (rules finish, outcome, close, refusals end).
 *
 * OUTCOME: the caller holds the epoch lock for reading (I3). FINISH takes it step by step.
 */
#include "node.h"

#include <stdlib.h>
#include <string.h>

#include "fault.h"

/* What ending a transaction's staged rows here came to. */
typedef struct Pass
{
	uint32_t entries; /* in STAGED when it began */
	uint32_t found;	  /* rows that held its staged write */
	bool decision;	  /* one of them waited for a decision row */
	uint64_t number;  /* of the last commit */
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

/* Is the row to be ended: all of them (commit), or those in the listed vnodes (abort)? */
static bool is_meant(const FinishItem *item, uint32_t vnode)
{
	return item->commit || in_list(item->vnodes, item->nvnodes, vnode);
}

/* Ends the staged writes of w->index, one message's, in the open transaction. */
static DorisStatus end_rows(Worker *w, const FinishItem *item, Pass *pass, DorisError *err)
{
	DorisCursor c = cursor_of(w->index.data, w->index.len);
	uint32_t vnode;
	DorisBytes key;
	DorisStatus st = DORIS_OK;
	Record *r = &w->row;

	while (st == DORIS_OK && next_indexed(&c, &vnode, &key))
	{
		int i;

		if (atomic_load(&w->node->tables[vnode]) != TABLE_READY)
			continue; /* the copy has gone elsewhere */
		if (!is_meant(item, vnode))
			continue;
		st = rows_load(w, vnode, key, r, err);
		if (st != DORIS_OK)
			break;
		i = record_find_staged(r, item->txn);
		if (i < 0)
			continue; /* proved committed by a later writer, or its namespace is gone */
		pass->found++;
		pass->decision = pass->decision || r->staged[i].mode != TXN_SINGLE;
		if (item->commit)
			purge_commit_staged(w->node, vnode, key.data[0], r, i);
		else
			record_remove_staged(r, i);
		st = rows_save(w, vnode, key, r, err);
	}
	return st;
}

/*
 * Takes the rows that were ended out of the index: the entry goes when nothing of it is left and it
 * is the last one, so that the numbers keep without holes.
 */
static DorisStatus shrink_entry(Worker *w, const FinishItem *item, uint32_t entry, bool is_last,
								bool *gone, DorisError *err)
{
	DorisCursor c = cursor_of(w->index.data, w->index.len);
	DorisBuf rest;
	DorisBytes bytes;
	DorisStatus st;
	uint32_t vnode;
	DorisBytes key;

	buf_init(&rest);
	while (next_indexed(&c, &vnode, &key))
	{
		if (is_meant(item, vnode))
			continue;
		buf_put_u32(&rest, vnode);
		buf_put_view(&rest, key);
	}
	bytes.data = rest.data;
	bytes.len = rest.len;
	*gone = rest.len == 0 && is_last;
	if (rest.failed)
		st = doris_error(err, DORIS_NO_MEMORY, "finish: out of memory");
	else if (*gone)
		st = index_del(w, item->txn, entry, err);
	else
		st = index_put(w, item->txn, entry, bytes, err);
	buf_free(&rest);
	return st;
}

static void lock_indexed(Worker *w, const FinishItem *item)
{
	DorisCursor c = cursor_of(w->index.data, w->index.len);
	uint32_t vnode;
	DorisBytes key;

	locks_clear(w);
	while (next_indexed(&c, &vnode, &key))
	{
		if (is_meant(item, vnode))
			locks_add(w, vnode);
	}
	locks_take(w);
}

/* The locks under which one step is taken: no topology and no other request of the transaction in between. */
static void enter(Node *n, TxnSlot *slot)
{
	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	(void) pthread_mutex_lock(&slot->lock);
}

static void leave(Node *n, TxnSlot *slot)
{
	(void) pthread_mutex_unlock(&slot->lock);
	(void) pthread_rwlock_unlock(&n->epoch_lock);
}

/*
 * Copies entry `entry` of the index into w->index. *there: it exists. *is_last: none is behind it; is looked up unless it is
 * true already.
 */
static DorisStatus load_entry(Worker *w, DorisTxnId txn, uint32_t entry, bool *there, bool *is_last,
							  DorisError *err)
{
	DorisBytes bytes;
	DorisStatus st = DORIS_NOT_FOUND;

	buf_reset(&w->index);
	if (!*is_last)
		st = index_get(w, txn, entry + 1, &bytes, err);
	*is_last = st == DORIS_NOT_FOUND;
	if (st == DORIS_OK || st == DORIS_NOT_FOUND)
		st = index_get(w, txn, entry, &bytes, err);
	*there = st == DORIS_OK;
	if (st == DORIS_OK)
		buf_put_raw(&w->index, bytes.data, bytes.len);
	if (w->index.failed)
		return doris_error(err, DORIS_NO_MEMORY, "finish: out of memory");
	return st == DORIS_NOT_FOUND ? DORIS_OK : st;
}

/*
 * Ends the rows of one message (an entry of the index) in a store transaction of their own: a big transaction in
 * one piece would pin more than the cache holds, and keep its vnodes locked for seconds. is_last: it is known that none is
 * behind it. remember: also remembers the commit, which holds for the rest too. Between enter and leave.
 */
static DorisStatus end_entry(Worker *w, TxnSlot *slot, const FinishItem *item, uint32_t entry,
							 bool is_last, bool remember, Pass *pass, DorisError *err)
{
	bool there;
	bool gone = false;
	DorisStatus st = load_entry(w, item->txn, entry, &there, &is_last, err);

	if (st != DORIS_OK || (!there && !remember))
		return st; /* the same FINISH, sent twice, was here before */
	slot->entries = 0;
	lock_indexed(w, item);
	st = commit_begin(w, err);
	if (st == DORIS_OK)
		st = end_rows(w, item, pass, err);
	if (st == DORIS_OK && there)
		st = shrink_entry(w, item, entry, is_last, &gone, err);
	if (st == DORIS_OK && remember)
		st = memory_put_committed(w, item->txn, err);
	if (st != DORIS_OK)
	{
		commit_abandon(w);
		return st;
	}
	/*
	 * Dropped: whoever looks must not build on it before it is on disk. Committed: no reader concludes anything
	 * from it that the staged write would not have told it as well.
	 */
	st = commit_end(w, !item->commit, &pass->number, err);
	if (st == DORIS_OK && gone && entry == 0)
		atomic_fetch_sub(&w->node->staged, 1);
	return st;
}

/* How many entries the index has. Between enter and leave. */
static DorisStatus count_entries(Worker *w, const TxnSlot *slot, DorisTxnId txn, uint32_t *n,
								 DorisError *err)
{
	DorisBytes bytes;
	DorisStatus st;

	*n = txnid_compare(slot->last, txn) == 0 ? slot->entries : 0;
	while ((st = index_get(w, txn, *n, &bytes, err)) == DORIS_OK)
		(*n)++;
	return st == DORIS_NOT_FOUND ? DORIS_OK : st;
}

/* Others must not wait for a big transaction to end: what can be answered is answered first. */
static void let_others_go(Worker *w, const Pass *pass)
{
	if (pass->entries <= 1)
		return;
	if (w->hurry != NULL)
		w->hurry(w);
	listener_pass(w->node->listener);
}

static DorisStatus finish_commit(Worker *w, TxnSlot *slot, const FinishItem *item, DorisError *err)
{
	Node *n = w->node;
	Pass pass = {0};
	Remembered known = {0};
	DorisStatus st;

	enter(n, slot);
	st = count_entries(w, slot, item->txn, &pass.entries, err);
	if (st == DORIS_OK && pass.entries == 0)
		st = memory_load(w, item->txn, &known, err);
	/* from the last on, so that what is left of the index after a crash has no hole */
	if (st == DORIS_OK && !known.committed)
		st = end_entry(w, slot, item, pass.entries > 0 ? pass.entries - 1 : 0, true, true, &pass,
					   err);
	leave(n, slot);
	if (st != DORIS_OK)
		return st;
	let_others_go(w, &pass);
	for (uint32_t left = pass.entries; st == DORIS_OK && left > 1; left--)
	{
		enter(n, slot);
		st = end_entry(w, slot, item, left - 2, false, false, &pass, err);
		leave(n, slot);
	}
	if (st != DORIS_OK)
		return st;
	node_count(n, COUNT_ROWS_FINISHED, pass.found);
	/*
	 * The decision row goes away after every target acknowledged: so that must be on disk. What waits
	 * for no decision row is found out from its judges again, should a crash bring it back.
	 */
	if (pass.decision)
		commit_need(w, pass.number);
	else if (pass.found == 0)
		commit_need(w, atomic_load(&n->commits));
	return DORIS_OK;
}

/* ---- abort ---- */

/*
 * May a drop of a transaction begun before the horizon be told? Only where it is held or known as refused: elsewhere its
 * commit may have been forgotten.
 */
static DorisStatus drop_is_known(Worker *w, const FinishItem *item, bool some_refused, bool *out,
								 DorisError *err)
{
	uint32_t entries;
	DorisStatus st;

	*out = true;
	buf_reset(&w->index);
	st = index_gather(w, item->txn, &w->index, &entries, err);
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

/* Drops are fenced (rule close). With the epoch lock held for reading. */
static DorisStatus check_fence(const Node *n, uint64_t epoch, const FinishItem *item, bool *stale,
							   DorisError *err)
{
	DorisStatus st = epoch_admit(n, epoch, err);

	*stale = false;
	for (uint32_t i = 0; st == DORIS_OK && i < item->nvnodes && !*stale; i++)
	{
		uint32_t v = item->vnodes[i];

		*stale = epoch_stale(n, epoch, v) || (n->placement->place[v] & PLACE_TARGET) == 0;
	}
	return st;
}

/* Notes the refusals, unless the outcome is known otherwise (*result says so, then *go is false). */
static DorisStatus refuse_all(Worker *w, const FinishItem *item, FinishResult *result, bool *go,
							  Pass *pass, DorisError *err)
{
	Node *n = w->node;
	Remembered known;
	bool is_known = true;
	DorisStatus st;

	*go = false;
	locks_clear(w);
	for (uint32_t i = 0; i < item->nvnodes; i++)
		locks_add(w, item->vnodes[i]);
	locks_take(w);
	st = memory_load(w, item->txn, &known, err);
	if (st == DORIS_OK && !known.committed &&
		clock_ms_of(item->txn.clock) < atomic_load(&n->horizon_ms))
		st = drop_is_known(w, item, known.some_refused, &is_known, err);
	if (st == DORIS_OK && known.committed)
		*result = FINISH_COMMITTED;
	else if (st == DORIS_OK && !is_known)
		*result = FINISH_STALE;
	else if (st == DORIS_OK)
		*go = true;
	if (*go)
		st = commit_begin(w, err);
	for (uint32_t i = 0; *go && st == DORIS_OK && i < item->nvnodes; i++)
		st = memory_put_refused(w, item->txn, item->vnodes[i], atomic_load(&n->epoch), err);
	if (st != DORIS_OK || !*go)
	{
		commit_abandon(w);
		return st;
	}
	return commit_end(w, true, &pass->number, err);
}

/*
 * First the refusals, so that nothing is staged any more; then the rows, message by message. A topology that
 * comes in between and changes one of the vnodes voids the rest.
 */
static DorisStatus finish_abort(Worker *w, TxnSlot *slot, uint64_t epoch, const FinishItem *item,
								FinishResult *out, DorisError *err)
{
	Node *n = w->node;
	Pass pass = {0};
	bool stale;
	bool go = false;
	DorisStatus st;

	enter(n, slot);
	st = check_fence(n, epoch, item, &stale, err);
	FAULT_HOLD("node_admitted", "finish");
	if (st == DORIS_OK && !stale)
		st = refuse_all(w, item, out, &go, &pass, err);
	if (st == DORIS_OK && go)
		st = count_entries(w, slot, item->txn, &pass.entries, err);
	leave(n, slot);
	if (st == DORIS_OK && go)
		let_others_go(w, &pass);
	for (uint32_t left = pass.entries; st == DORIS_OK && go && !stale && left > 0; left--)
	{
		enter(n, slot);
		st = check_fence(n, epoch, item, &stale, err);
		if (st == DORIS_OK && !stale)
			st = end_entry(w, slot, item, left - 1, false, false, &pass, err);
		leave(n, slot);
	}
	if (st != DORIS_OK)
		return st;
	if (stale)
		*out = FINISH_STALE;
	node_count(n, COUNT_ROWS_FINISHED, pass.found);
	commit_need(w, go ? atomic_load(&n->commits) : 0);
	return DORIS_OK;
}

DorisStatus finish_execute(Worker *w, uint64_t epoch, const FinishItem *item, FinishResult *out,
						   DorisError *err)
{
	TxnSlot *slot = txn_slot(w->node, item->txn);
	DorisStatus st = disk_take_end(w->node, err);

	*out = FINISHED;
	if (st == DORIS_OK && !item->commit && item->nvnodes == 0)
		st = doris_error(err, DORIS_BAD_MESSAGE, "finish: an abort names no vnodes");
	if (st != DORIS_OK)
		return st;
	/* FINISH(commit) is good in any epoch */
	return item->commit ? finish_commit(w, slot, item, err)
						: finish_abort(w, slot, epoch, item, out, err);
}

/* ---- rows that are ended, but still in the index ---- */

/* Takes out of one entry what no row holds. Between enter and leave. */
static DorisStatus forget_in_entry(Worker *w, TxnSlot *slot, DorisTxnId txn, uint32_t entry,
								   DorisError *err)
{
	static const FinishItem all = {.commit = true};
	DorisBuf rest;
	DorisCursor c;
	uint32_t vnode;
	DorisBytes key;
	bool there;
	bool is_last = false;
	DorisStatus st = load_entry(w, txn, entry, &there, &is_last, err);

	if (st != DORIS_OK || !there)
		return st;
	buf_init(&rest);
	lock_indexed(w, &all);
	st = commit_begin(w, err);
	c = cursor_of(w->index.data, w->index.len);
	while (st == DORIS_OK && next_indexed(&c, &vnode, &key))
	{
		if (atomic_load(&w->node->tables[vnode]) != TABLE_READY)
			continue; /* the copy has gone elsewhere */
		st = rows_load(w, vnode, key, &w->row, err);
		if (st == DORIS_OK && record_find_staged(&w->row, txn) >= 0)
		{
			buf_put_u32(&rest, vnode);
			buf_put_view(&rest, key);
		}
	}
	if (st == DORIS_OK && rest.failed)
		st = doris_error(err, DORIS_NO_MEMORY, "clearing an index: out of memory");
	if (st != DORIS_OK || rest.len == w->index.len)
		commit_abandon(w);
	else
	{
		DorisBytes bytes = {rest.data, rest.len};
		bool gone = rest.len == 0 && is_last;

		slot->entries = 0;
		st = gone ? index_del(w, txn, entry, err) : index_put(w, txn, entry, bytes, err);
		if (st == DORIS_OK)
			st = commit_end(w, false, NULL, err);
		else
			commit_abandon(w);
		if (st == DORIS_OK && gone && entry == 0)
			atomic_fetch_sub(&w->node->staged, 1);
	}
	buf_free(&rest);
	return st;
}

DorisStatus finish_clear_index(Worker *w, DorisTxnId txn, DorisError *err)
{
	TxnSlot *slot = txn_slot(w->node, txn);
	uint32_t entries;
	DorisStatus st;

	enter(w->node, slot);
	st = count_entries(w, slot, txn, &entries, err);
	for (uint32_t left = entries; st == DORIS_OK && left > 0; left--)
		st = forget_in_entry(w, slot, txn, left - 1, err);
	leave(w->node, slot);
	return st;
}

/* ---- later ---- */

#define LATER_MAX 4096

void finish_note(Worker *w, DorisTxnId txn)
{
	if (w->later == NULL)
		w->later = malloc(LATER_MAX * sizeof(*w->later));
	if (w->later != NULL && w->nlater < LATER_MAX)
		w->later[w->nlater++] = txn;
	/* else it stays staged until somebody meets it: nothing depends on its end (rule finish) */
}

bool finish_later(Worker *w, uint32_t limit)
{
	while (w->nlater > 0 && limit-- > 0)
	{
		FinishItem item = {.txn = w->later[--w->nlater], .commit = true};
		FinishResult result;
		DorisError err;
		DorisStatus st = DORIS_CONFLICT;

		for (int tries = 0; tries < 3 && st == DORIS_CONFLICT; tries++)
			st = finish_execute(w, 0, &item, &result, &err);
		if (st != DORIS_OK)
			log_line(LOG_DEBUG, "a committed transaction stays staged: %s", err.message);
	}
	return w->nlater > 0;
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
	{
		*out = OUTCOME_NOT_HELD;
		/* rule meet: an up copy that does not judge yet learns from being asked that it lacks something */
		if ((n->placement->place[m->vnode] & PLACE_RECOVER) != 0)
			recover_want(n, m->vnode);
	}
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
	TxnSlot *slot = txn_slot(n, m->txn);
	DorisStatus st = epoch_admit(n, epoch, err);

	if (st == DORIS_OK)
		st = epoch_check(n, epoch, m->vnode, PLACE_TARGET, err);
	if (st == DORIS_OK)
		st = tables_need(w, m->vnode, err);
	if (st != DORIS_OK)
		return st;
	FAULT_HOLD("node_admitted", "outcome");
	(void) pthread_mutex_lock(&slot->lock);
	locks_clear(w);
	locks_add(w, m->vnode);
	locks_take(w);
	st = outcome_locked(w, m, out, err);
	commit_abandon(w);
	(void) pthread_mutex_unlock(&slot->lock);
	return st;
}
