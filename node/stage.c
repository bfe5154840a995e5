/*
 * stage.c: STAGE: a transaction's writes are judged and held beside the committed rows (rules stage, meet).
 *
 * All rows of one message or none. A copy that is complete judges; one that is not holds without judging. The
 * caller holds the epoch lock for reading (I3).
 */
#include "node.h"

#include <stdlib.h>
#include <string.h>

#include "fault.h"

#define MAX_CONFLICTS 64
#define ROW_OVERHEAD 100 /* bytes stored with a staged row, about */

typedef struct StageJob
{
	Worker *w;
	const StageRequest *m;
	StageReply *out;
	bool committed; /* the transaction is known as committed: its rows are applied */
	bool some_refused;
	bool ahead;		/* stamped too far ahead of this node's clock */
	bool forgotten; /* begun before the memory's horizon */
	uint32_t fresh; /* rows written by this message */
	uint64_t now_ms;
} StageJob;

DorisStatus stage_check_mode(const Node *n, const StageRequest *m, DorisError *err)
{
	uint32_t vnodes = n->placement->topo->vnodes;

	if (m->mode != TXN_SINGLE && m->mode != TXN_DECISION && m->mode != TXN_NAMED)
		return doris_error(err, DORIS_BAD_MESSAGE, "stage: mode %d is unknown", (int) m->mode);
	if (m->mode == TXN_SINGLE)
		return DORIS_OK;
	for (int i = 0; i <= m->others.n; i++)
	{
		uint32_t v = i == 0 ? m->decision_vnode : m->others.vnodes[i - 1];

		if (v >= vnodes)
			return doris_error(err, DORIS_BAD_MESSAGE,
							   "stage: its decision is in vnode %u, or it names it, but the "
							   "cluster has %u",
							   v, vnodes);
	}
	return DORIS_OK;
}

static DorisStatus check_request(Worker *w, uint64_t epoch, const StageRequest *m, DorisError *err)
{
	Node *n = w->node;
	DorisStatus st = epoch_admit(n, epoch, err);
	uint32_t known_ns = 0;
	const NsDef *def;

	if (st != DORIS_OK)
		return st;
	st = stage_check_mode(n, m, err);
	if (st != DORIS_OK)
		return st;
	if (m->nrows == 0 || version_is_none(m->version))
		return doris_error(err, DORIS_BAD_MESSAGE, "stage: without rows or without a version");
	locks_clear(w);
	for (uint32_t i = 0; i < m->nrows; i++)
	{
		const StageRow *r = &m->rows[i];

		st = rows_check(n, &r->at, r->value.len, err);
		if (st == DORIS_OK)
			st = epoch_check(n, epoch, r->at.vnode, PLACE_TARGET, err);
		if (st == DORIS_OK && r->at.space == DORIS_SPACE_ROWS && r->at.ns != known_ns)
		{
			st = epoch_namespace(n, r->at.ns, &def, err);
			known_ns = r->at.ns;
		}
		if (st != DORIS_OK)
			return st;
		if (r->kind != WRITE_INSERT && r->kind != WRITE_UPDATE && r->kind != WRITE_DELETE)
			return doris_error(err, DORIS_BAD_MESSAGE, "stage: kind of write %d is unknown",
							   (int) r->kind);
		if (m->mode == TXN_SINGLE && r->at.vnode != m->rows[0].at.vnode)
			return doris_error(err, DORIS_BAD_MESSAGE,
							   "stage: a transaction of one vnode has rows in vnodes %u and %u",
							   m->rows[0].at.vnode, r->at.vnode);
		st = tables_need(w, r->at.vnode, err);
		if (st != DORIS_OK)
			return st;
		locks_add(w, r->at.vnode);
	}
	return DORIS_OK;
}

static StageConflict *add_conflict(StageJob *j, uint32_t row, StageRefusal why)
{
	StageReply *out = j->out;
	StageConflict *c;

	if (out->conflicts == NULL)
		out->conflicts = calloc(MAX_CONFLICTS, sizeof(*out->conflicts));
	if (out->conflicts == NULL || out->nconflicts == MAX_CONFLICTS)
		return NULL;
	c = &out->conflicts[out->nconflicts++];
	c->row = row;
	c->why = why;
	commit_need_vnode(j->w, j->m->rows[row].at.vnode);
	return c;
}

static DorisStatus no_memory(StageJob *j, DorisError *err)
{
	return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory staging rows",
					   node_name(j->w->node));
}

static bool is_told(const StageRequest *m, DorisTxnId txn)
{
	for (uint32_t i = 0; i < m->nfinished; i++)
	{
		if (txnid_compare(m->finished[i], txn) == 0)
			return true;
	}
	return false;
}

/*
 * Judges one row (rule stage). A staged write of another whose version is our base was read as
 * committed by us: it is committed (rule meet), is applied here, and *proved names it. A named one is only when the
 * sender says that its decision row is there (rule decided first).
 * *good: nothing is in the way.
 */
static DorisStatus judge_row(StageJob *j, uint32_t i, Record *r, DorisTxnId *proved,
							 bool *any_proved, bool *good, DorisError *err)
{
	const StageRow *row = &j->m->rows[i];
	StageConflict *c = NULL;

	*good = false;
	if (!version_is_none(row->base))
	{
		for (int k = 0; k < r->nstaged; k++)
		{
			if (version_compare(r->staged[k].version, row->base) == 0 &&
				(r->staged[k].mode != TXN_NAMED || is_told(j->m, r->staged[k].txn)))
			{
				*proved = r->staged[k].txn;
				*any_proved = true;
				purge_commit_staged(j->w->node, row->at.vnode, row->at.space, r, k);
				break;
			}
		}
	}
	if (r->nstaged > 0)
	{
		c = add_conflict(j, i, REFUSAL_STAGED);
		if (c == NULL)
			return no_memory(j, err);
		rows_staged_info(&r->staged[0], j->now_ms, &c->staged);
	}
	else if (row->kind == WRITE_INSERT ? record_is_live(r)
									   : version_compare(r->version, row->base) != 0)
	{
		c = add_conflict(j, i, REFUSAL_BASE);
		if (c == NULL)
			return no_memory(j, err);
		c->present = record_is_live(r);
		c->stored = r->version;
	}
	else if (r->committed && version_compare(j->m->version, r->version) <= 0)
	{
		c = add_conflict(j, i, REFUSAL_LOW);
		if (c == NULL)
			return no_memory(j, err);
		c->stored = r->version;
	}
	else
		*good = true;
	return DORIS_OK;
}

void stage_put(const StageRequest *m, const StageRow *row, Record *r)
{
	RecordStaged *s = &r->staged[r->nstaged++];

	s->txn = m->txn;
	s->kind = row->kind;
	s->mode = m->mode;
	s->decision_vnode = m->decision_vnode;
	s->others = m->others;
	s->expires_ms = m->expires_ms;
	s->base = row->base;
	s->version = m->version;
	s->nrows = m->nrows;
	s->value = row->value;
	if (row->kind == WRITE_DELETE)
		s->value.len = 0;
}

static DorisStatus stage_row(StageJob *j, uint32_t i, DorisError *err)
{
	Worker *w = j->w;
	const StageRow *row = &j->m->rows[i];
	Record *r = &w->row;
	DorisBytes key;
	DorisTxnId proved;
	bool any_proved = false;
	int mine;
	DorisStatus st;

	buf_reset(&w->key);
	record_key(&w->key, row->at.space, row->at.ns, row->at.key);
	if (w->key.failed)
		return no_memory(j, err);
	key.data = w->key.data;
	key.len = w->key.len;
	st = rows_load(w, row->at.vnode, key, r, err);
	if (st != DORIS_OK)
		return st;
	mine = record_find_staged(r, j->m->txn);
	if (j->committed)
	{
		/* a node that knows an id as committed still applies its value (rule finish) */
		if (mine >= 0)
			purge_commit_staged(w->node, row->at.vnode, row->at.space, r, mine);
		else if (purge_refuses(w->node, row->at.vnode, row->at.space, j->m->version))
			return DORIS_OK; /* long applied, perhaps deleted since */
		else if (!record_apply(r, j->m->version, row->kind == WRITE_DELETE, row->value))
			return DORIS_OK;
	}
	else if (mine >= 0 || (r->committed && version_compare(r->version, j->m->version) == 0))
		return DORIS_OK; /* held already: repeating is harmless */
	else
	{
		bool good = true;

		if (j->forgotten || purge_refuses(w->node, row->at.vnode, row->at.space, j->m->version))
			return add_conflict(j, i, REFUSAL_HORIZON) == NULL ? no_memory(j, err) : DORIS_OK;
		if (j->some_refused)
		{
			bool refused;

			st = memory_refused(w, j->m->txn, row->at.vnode, &refused, err);
			if (st != DORIS_OK)
				return st;
			if (refused)
				return add_conflict(j, i, REFUSAL_REFUSED) == NULL ? no_memory(j, err) : DORIS_OK;
			st = rows_load(w, row->at.vnode, key, r, err); /* its views ended with the lookup */
			if (st != DORIS_OK)
				return st;
		}
		if (j->ahead)
			return doris_error(err, DORIS_CLOCK_AHEAD,
							   "%s: the stamp is %llu ms ahead of the node's clock",
							   node_name(w->node),
							   (unsigned long long) (clock_ms_of(j->m->version.clock) - j->now_ms));
		if (epoch_judges(w->node, row->at.vnode))
		{
			st = judge_row(j, i, r, &proved, &any_proved, &good, err);
			if (st != DORIS_OK)
				return st;
		}
		else if (r->nstaged >= RECORD_MAX_STAGED)
			return doris_error(err, DORIS_LIMIT, "%s: a row of vnode %u has %d staged writes",
							   node_name(w->node), row->at.vnode, r->nstaged);
		/* a message with a conflict is undone: nothing of it needs writing any more */
		if (!good || j->out->nconflicts > 0)
			return DORIS_OK;
		stage_put(j->m, row, r);
	}
	st = rows_save(w, row->at.vnode, key, r, err);
	if (st == DORIS_OK && any_proved)
		st = memory_put_committed(w, proved, err);
	if (st == DORIS_OK)
		j->fresh++;
	return st;
}

DorisStatus stage_index(Worker *w, const StageRequest *m, const TxnSlot *slot, uint32_t *used,
						DorisError *err)
{
	uint32_t number = 0;
	DorisBytes entry;
	DorisStatus st = DORIS_OK;

	/* the hint saves a walk over all entries of a big transaction */
	if (txnid_compare(slot->last, m->txn) == 0)
		number = slot->entries;

	/* of one vnode: one message, so always entry 0; else the first free one */
	while (m->mode != TXN_SINGLE && st == DORIS_OK)
	{
		st = index_get(w, m->txn, number, &entry, err);
		if (st == DORIS_OK)
			number++;
	}
	if (st != DORIS_OK && st != DORIS_NOT_FOUND)
		return st;
	buf_reset(&w->index);
	for (uint32_t i = 0; i < m->nrows; i++)
	{
		const KeyRef *at = &m->rows[i].at;
		size_t head = at->space == DORIS_SPACE_ROWS ? 5 : 1;

		buf_put_u32(&w->index, at->vnode);
		buf_put_varint(&w->index, head + at->key.len);
		record_key(&w->index, at->space, at->ns, at->key);
	}
	if (w->index.failed)
		return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory staging rows",
						   node_name(w->node));
	*used = number;
	entry.data = w->index.data;
	entry.len = w->index.len;
	return index_put(w, m->txn, number, entry, err);
}

static DorisStatus stage_locked(StageJob *j, TxnSlot *slot, DorisError *err)
{
	Worker *w = j->w;
	Node *n = w->node;
	Remembered known;
	uint64_t number;
	uint32_t entry = UINT32_MAX;
	DorisStatus st = commit_begin(w, err);

	if (st == DORIS_OK)
		st = memory_load(w, j->m->txn, &known, err);
	if (st == DORIS_OK)
	{
		j->committed = known.committed;
		j->some_refused = known.some_refused;
	}
	for (uint32_t i = 0; st == DORIS_OK && i < j->m->nrows; i++)
	{
		st = stage_row(j, i, err);
		if (j->out->nconflicts >= MAX_CONFLICTS)
			break;
	}
	if (st == DORIS_OK && j->out->nconflicts == 0 && j->fresh > 0 && !j->committed)
		st = stage_index(w, j->m, slot, &entry, err);
	if (st != DORIS_OK || j->out->nconflicts > 0 || j->fresh == 0)
	{
		commit_abandon(w);
		if (st == DORIS_OK && j->out->nconflicts == 0)
		{
			/* all held already: but perhaps by a commit that is not on disk yet */
			for (uint32_t i = 0; i < j->m->nrows; i++)
				commit_need_vnode(w, j->m->rows[i].at.vnode);
			j->out->held = true;
		}
		return st;
	}
	st = commit_end(w, true, &number, err);
	if (st != DORIS_OK)
		return st;
	if (entry == 0)
		atomic_fetch_add(&n->staged, 1);
	if (entry != UINT32_MAX)
	{
		slot->last = j->m->txn;
		slot->entries = entry + 1;
	}
	commit_need(w, number);
	j->out->held = true;
	node_count(n, COUNT_ROWS_STAGED, j->fresh);
	return DORIS_OK;
}

DorisStatus stage_execute(Worker *w, uint64_t epoch, const StageRequest *m, StageReply *out,
						  DorisError *err)
{
	Node *n = w->node;
	StageJob j = {.w = w, .m = m, .out = out};
	TxnSlot *slot;
	uint64_t bytes = 0;
	DorisStatus st;

	memset(out, 0, sizeof(*out));
	st = check_request(w, epoch, m, err);
	if (st != DORIS_OK)
		return st;
	for (uint32_t i = 0; i < m->nrows; i++)
		bytes += m->rows[i].at.key.len + m->rows[i].value.len + ROW_OVERHEAD;
	st = disk_take(n, bytes, err);
	if (st != DORIS_OK)
		return st;
	j.now_ms = clock_wall_ms();
	j.ahead =
		clock_ms_of(m->version.clock) > clock_ms_of(clock_next(&n->clock)) + DORIS_CLOCK_AHEAD_MS;
	j.forgotten = clock_ms_of(m->txn.clock) < atomic_load(&n->horizon_ms);
	if (!j.ahead)
	{
		clock_observe(&n->clock, m->version.clock);
		st = meta_raise_ceiling(w, m->version.clock, err);
		if (st != DORIS_OK)
			return st;
	}
	FAULT_HOLD("node_admitted", "stage");
	slot = txn_slot(n, m->txn);
	(void) pthread_mutex_lock(&slot->lock);
	locks_take(w);
	st = stage_locked(&j, slot, err);
	(void) pthread_mutex_unlock(&slot->lock);
	if (st != DORIS_OK)
		stage_reply_free(out);
	else if (out->nconflicts > 0)
		node_count(n, COUNT_CONFLICTS, 1);
	return st;
}
