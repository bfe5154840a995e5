/*
 * rehold.c: REPLAY at the target: takes what log nodes kept for this node while it was down (rule hints).
 *
 * Each item by itself, in any order, twice: I4 and the transactions' ids make that harmless. STAGE and APPLY are taken only
 * for copies that do not judge yet; one that judges has been made complete from another copy, which had it all. So nothing
 * depends on a hint's being taken: what is left out here comes with the pass (rule complete).
 */
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "hints.h"

#define ITEM_RETRIES 20
#define ROW_OVERHEAD 100 /* bytes stored with a staged row, about */

/* With the epoch lock held for reading: is the row still wanted here? */
static bool is_wanted(const Node *n, const KeyRef *at)
{
	const NsDef *def;
	DorisError err;

	if ((n->placement->place[at->vnode] & PLACE_TARGET) == 0 || epoch_judges(n, at->vnode))
		return false;
	return at->space != DORIS_SPACE_ROWS || epoch_namespace(n, at->ns, &def, &err) == DORIS_OK;
}

/* What no copy will ever take: BAD_MESSAGE or TOO_BIG. */
static DorisStatus check_row(const Node *n, const KeyRef *at, size_t value_len, DorisError *err)
{
	if (at->vnode >= n->placement->topo->vnodes)
		return doris_error(err, DORIS_BAD_MESSAGE, "%s: vnode %u, but the cluster has %u",
						   node_name(n), at->vnode, n->placement->topo->vnodes);
	return rows_check(n, at, value_len, err);
}

/* ---- STAGE ---- */

/*
 * A row that is full of staged writes of which the ends were lost: one whose version another was based on was read
 * as committed, so it is (rule meet). Their ids go into proved.
 */
static int fold_proved(const Node *node, Record *r, const StageRow *row,
					   DorisTxnId proved[RECORD_MAX_STAGED])
{
	DorisVersion bases[RECORD_MAX_STAGED + 1];
	int nbases = r->nstaged;
	int n = 0;

	for (int i = 0; i < nbases; i++)
		bases[i] = r->staged[i].base;
	bases[nbases++] = row->base;
	for (int b = 0; b < nbases; b++)
	{
		for (int k = 0; k < r->nstaged && !version_is_none(bases[b]); k++)
		{
			/* rule decided first: a named one is told */
			if (version_compare(r->staged[k].version, bases[b]) != 0 ||
				r->staged[k].mode == TXN_NAMED)
				continue;
			proved[n++] = r->staged[k].txn;
			purge_commit_staged(node, row->at.vnode, row->at.space, r, k);
			break;
		}
	}
	return n;
}

/* *fresh: it was written. *full: there is no room for one more staged write. */
static DorisStatus hold_row(Worker *w, const StageRequest *m, const StageRow *row, bool committed,
							bool *fresh, bool *full, DorisError *err)
{
	Record *r = &w->row;
	DorisTxnId proved[RECORD_MAX_STAGED];
	int nproved = 0;
	DorisBytes key;
	int mine;
	DorisStatus st;

	*fresh = false;
	*full = false;
	buf_reset(&w->key);
	record_key(&w->key, row->at.space, row->at.ns, row->at.key);
	if (w->key.failed)
		return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory", node_name(w->node));
	key.data = w->key.data;
	key.len = w->key.len;
	st = rows_load(w, row->at.vnode, key, r, err);
	if (st != DORIS_OK)
		return st;
	mine = record_find_staged(r, m->txn);
	if (committed)
	{
		/* a node that knows an id as committed still applies its value (rule finish) */
		if (mine >= 0)
			purge_commit_staged(w->node, row->at.vnode, row->at.space, r, mine);
		else if (purge_refuses(w->node, row->at.vnode, row->at.space, m->version))
			return DORIS_OK;
		else if (!record_apply(r, m->version, row->kind == WRITE_DELETE, row->value))
			return DORIS_OK;
	}
	else if (mine >= 0 || (r->committed && version_compare(r->version, m->version) == 0))
		return DORIS_OK;
	else if (purge_refuses(w->node, row->at.vnode, row->at.space, m->version))
		return DORIS_OK; /* rule purge: from before all copies were found equal */
	else
	{
		if (r->nstaged >= RECORD_MAX_STAGED)
			nproved = fold_proved(w->node, r, row, proved);
		if (r->nstaged >= RECORD_MAX_STAGED)
		{
			*full = true;
			return DORIS_OK;
		}
		stage_put(m, row, r);
	}
	*fresh = true;
	st = rows_save(w, row->at.vnode, key, r, err);
	for (int i = 0; st == DORIS_OK && i < nproved; i++)
		st = memory_put_committed(w, proved[i], err);
	return st;
}

/* Keeps those rows that do not judge, now that nobody can change that, and were not refused here. */
static DorisStatus drop_unwanted(Worker *w, StageRequest *m, const Remembered *known,
								 DorisError *err)
{
	uint32_t kept = 0;
	DorisStatus st = DORIS_OK;

	for (uint32_t i = 0; st == DORIS_OK && i < m->nrows; i++)
	{
		bool refused = false;

		if (epoch_judges(w->node, m->rows[i].at.vnode))
			continue;
		/* rule refusals end: those that have lapsed do not count */
		if (!known->committed && known->some_refused)
			st = memory_refused(w, m->txn, m->rows[i].at.vnode, &refused, err);
		if (!refused)
			m->rows[kept++] = m->rows[i];
	}
	m->nrows = kept;
	return st;
}

/* With the transaction's lock and the vnode locks held; m->nrows: those taken. */
static DorisStatus hold_locked(Worker *w, StageRequest *m, TxnSlot *slot, DorisError *err)
{
	Node *n = w->node;
	Remembered known = {0};
	uint32_t nfresh = 0;
	uint32_t entry = UINT32_MAX;
	bool was_indexed = false;
	bool full = false;
	uint64_t number;
	DorisStatus st = commit_begin(w, err);

	if (st == DORIS_OK)
		st = memory_load(w, m->txn, &known, err);
	if (st == DORIS_OK)
		st = drop_unwanted(w, m, &known, err);
	for (uint32_t i = 0; st == DORIS_OK && i < m->nrows && !full; i++)
	{
		bool fresh;

		st = hold_row(w, m, &m->rows[i], known.committed, &fresh, &full, err);
		nfresh += fresh ? 1 : 0;
	}
	if (full)
		m->nrows = 0; /* all of a message or nothing: who asks for one row is told about all */
	if (st == DORIS_OK && nfresh > 0 && m->nrows > 0 && !known.committed)
	{
		DorisBytes bytes;

		st = index_get(w, m->txn, 0, &bytes, err);
		was_indexed = st == DORIS_OK;
		if (st == DORIS_OK || st == DORIS_NOT_FOUND)
			st = stage_index(w, m, slot, &entry, err);
	}
	if (st != DORIS_OK || nfresh == 0 || m->nrows == 0)
	{
		commit_abandon(w);
		return st;
	}
	st = commit_end(w, true, &number, err);
	if (st != DORIS_OK)
		return st;
	if (entry != UINT32_MAX)
	{
		if (!was_indexed)
			atomic_fetch_add(&n->staged, 1);
		slot->last = m->txn;
		slot->entries = entry + 1;
	}
	node_count(n, COUNT_ROWS_STAGED, nfresh);
	return DORIS_OK;
}

/*
 * Holds those of the rows that are wanted here, without judging: stamp and age were looked at on first receipt. m->rows is
 * overwritten; m->nrows: those taken. With the epoch lock held for reading.
 */
static DorisStatus hold(Worker *w, StageRequest *m, DorisError *err)
{
	Node *n = w->node;
	TxnSlot *slot = txn_slot(n, m->txn);
	uint32_t kept = 0;
	uint64_t bytes = 0;
	DorisStatus st = DORIS_OK;

	st = stage_check_mode(n, m, err);
	if (st != DORIS_OK)
		return st;
	locks_clear(w);
	for (uint32_t i = 0; st == DORIS_OK && i < m->nrows; i++)
	{
		const StageRow *r = &m->rows[i];

		st = check_row(n, &r->at, r->value.len, err);
		if (st != DORIS_OK || !is_wanted(n, &r->at))
			continue;
		st = tables_need(w, r->at.vnode, err);
		locks_add(w, r->at.vnode);
		bytes += r->at.key.len + r->value.len + ROW_OVERHEAD;
		m->rows[kept++] = *r;
	}
	if (st != DORIS_OK)
		return st;
	m->nrows = kept;
	if (kept == 0)
		return DORIS_OK;
	st = disk_take(n, bytes, err);
	if (st == DORIS_OK)
	{
		clock_observe(&n->clock, m->version.clock);
		st = meta_raise_ceiling(w, m->version.clock, err);
	}
	if (st != DORIS_OK)
		return st;
	(void) pthread_mutex_lock(&slot->lock);
	locks_take(w);
	st = hold_locked(w, m, slot, err);
	(void) pthread_mutex_unlock(&slot->lock);
	return st;
}

static DorisStatus end_committed(Worker *w, const FinishItem *item, DorisError *err)
{
	FinishResult result;

	/* good in any epoch (rule finish); takes the epoch lock by itself */
	return finish_execute(w, 0, item, &result, err);
}

static DorisStatus replay_stage(Worker *w, DorisBytes body, ReplayResult *out, DorisError *err)
{
	Node *n = w->node;
	StageRequest m;
	DorisStatus st = stage_request_decode(body, &m, err);

	/* those that ended before it first: they make room in its rows */
	for (uint32_t i = 0; st == DORIS_OK && i < m.nfinished; i++)
	{
		FinishItem item = {.txn = m.finished[i], .commit = true};

		st = end_committed(w, &item, err);
	}
	if (st == DORIS_OK)
	{
		(void) pthread_rwlock_rdlock(&n->epoch_lock);
		st = hold(w, &m, err);
		(void) pthread_rwlock_unlock(&n->epoch_lock);
	}
	*out = st == DORIS_OK && m.nrows > 0 ? REPLAY_APPLIED : REPLAY_OBSOLETE;
	stage_request_free(&m);
	return st;
}

/* ---- APPLY ---- */

/* By I4, as from a repair: nothing is told of higher versions, no stamp is too far ahead. */
static DorisStatus apply(Worker *w, ApplyRequest *m, DorisError *err)
{
	Node *n = w->node;
	ApplyReply reply;
	uint32_t kept = 0;
	DorisStatus st = DORIS_OK;

	for (uint32_t i = 0; st == DORIS_OK && i < m->nrows; i++)
	{
		const ApplyRow *r = &m->rows[i];

		st = check_row(n, &r->at, r->value.len, err);
		if (st == DORIS_OK && version_is_none(r->version))
			st = doris_error(err, DORIS_BAD_MESSAGE, "apply: a row without a version");
		if (st == DORIS_OK && is_wanted(n, &r->at))
			m->rows[kept++] = *r;
	}
	if (st != DORIS_OK)
		return st;
	m->nrows = kept;
	if (kept == 0)
		return DORIS_OK;
	m->from_client = false;
	st = plain_execute(w, n->placement->topo->epoch, m, &reply, err);
	if (st == DORIS_OK)
		apply_reply_free(&reply);
	return st;
}

static DorisStatus replay_apply(Worker *w, DorisBytes body, ReplayResult *out, DorisError *err)
{
	Node *n = w->node;
	ApplyRequest m;
	DorisStatus st = apply_request_decode(body, &m, err);

	if (st == DORIS_OK)
	{
		(void) pthread_rwlock_rdlock(&n->epoch_lock);
		st = apply(w, &m, err);
		(void) pthread_rwlock_unlock(&n->epoch_lock);
	}
	*out = st == DORIS_OK && m.nrows > 0 ? REPLAY_APPLIED : REPLAY_OBSOLETE;
	apply_request_free(&m);
	return st;
}

/* ---- FINISH ---- */

static DorisStatus replay_finish(Worker *w, DorisBytes body, ReplayResult *out, DorisError *err)
{
	FinishRequest m;
	DorisStatus st = finish_request_decode(body, &m, err);

	*out = REPLAY_APPLIED;
	for (uint32_t i = 0; st == DORIS_OK && i < m.nitems; i++)
	{
		if (m.items[i].commit)
			st = end_committed(w, &m.items[i], err);
		else
			st = doris_error(err, DORIS_BAD_MESSAGE, "an abort is no hint");
	}
	finish_request_free(&m);
	return st;
}

/* ---- REPLAY ---- */

static DorisStatus replay_item(Worker *w, const ReplayItem *item, ReplayResult *out,
							   DorisError *err)
{
	DorisStatus st = DORIS_CONFLICT;

	for (int tries = 0; tries < ITEM_RETRIES && st == DORIS_CONFLICT; tries++)
	{
		switch (item->type)
		{
			case MSG_STAGE:
				st = replay_stage(w, item->body, out, err);
				break;
			case MSG_APPLY:
				st = replay_apply(w, item->body, out, err);
				break;
			case MSG_FINISH:
				st = replay_finish(w, item->body, out, err);
				break;
			default:
				st = doris_error(err, DORIS_BAD_MESSAGE, "a request of type %u is no hint",
								 item->type);
				break;
		}
	}
	if (st == DORIS_BAD_MESSAGE || st == DORIS_TOO_BIG)
	{
		log_line(LOG_WARNING, "a hint that cannot be applied: %s", err->message);
		*out = REPLAY_POISON;
		st = DORIS_OK;
	}
	return st;
}

DorisStatus rehold_execute(Worker *w, uint64_t epoch, const ReplayRequest *m, DorisBuf *reply,
						   DorisError *err)
{
	static const NodeCounter counters[] = {[REPLAY_APPLIED] = COUNT_REHELD_APPLIED,
										   [REPLAY_OBSOLETE] = COUNT_REHELD_OBSOLETE,
										   [REPLAY_POISON] = COUNT_REHELD_POISON};
	Node *n = w->node;
	DorisStatus st;

	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	st = epoch_admit(n, epoch, err);
	(void) pthread_rwlock_unlock(&n->epoch_lock);
	buf_put_u32(reply, m->nitems);
	for (uint32_t i = 0; st == DORIS_OK && i < m->nitems; i++)
	{
		ReplayResult result = REPLAY_OBSOLETE;

		st = replay_item(w, &m->items[i], &result, err);
		if (st != DORIS_OK)
			break;
		FAULT_POINT("node_rehold");
		buf_put_u8(reply, (uint8_t) result);
		node_count(n, counters[result], 1);
	}
	/* the log node forgets them on this answer: all is on disk before, also what others committed for them */
	commit_need(w, atomic_load(&n->commits));
	return st;
}
