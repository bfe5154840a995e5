/*
 * meet.c: what readers are to see of a row with a staged write of somebody else (rule *meet*).
 *
 * A staged write of a transaction within one vnode is committed once all judges hold it, so the other judges are
 * asked for the row; one of several vnodes is committed exactly when its decision row "C" is; a named one also when it is
 * held in all of its vnodes (rule *named*). A reader never waits for
 * the transaction: what is not committed now may be left unseen. But a copy that cannot be asked leaves the outcome
 * open, and then there is no answer (I7): never a guess.
 */
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define MEET_SLICE_MS 1000 /* for one attempt; the readers above try again to their deadline */
#define MEET_ABANDONED_MS \
	1000 /* a committed write unfinished for so long has lost its client: finish it */

DorisTxnId decision_txn(DorisTxnId t)
{
	t.nonce ^= 0x80000000u;
	return t;
}

bool recent_committed(const DorisClient *c, DorisTxnId id)
{
	uint32_t n = c->nrecent < CLIENT_RECENT ? c->nrecent : CLIENT_RECENT;
	uint32_t i;

	for (i = 0; i < n; i++)
		if (txnid_compare(c->recent[i], id) == 0)
			return true;
	return false;
}

void recent_add(DorisClient *c, DorisTxnId id)
{
	c->recent[c->nrecent++ % CLIENT_RECENT] = id;
}

/* The answer is the committed value of one of the copies asked. */
static void answer_committed(MeetRow *m, const RowState *best, Outcome outcome)
{
	m->outcome = outcome;
	m->found = best->present;
	m->version = best->version;
	m->value = best->value;
}

/* The answer is the staged write: it is committed. */
static DorisStatus answer_staged(MeetRow *m, const Projection *p, Arena *a, DorisError *err)
{
	const StagedInfo *s = &m->row.staged;

	if (version_compare(m->row.version, s->version) > 0)
	{
		/* a plain write above it has been applied meanwhile (I4) */
		answer_committed(m, &m->row, TXN_COMMITTED);
		return DORIS_OK;
	}
	m->outcome = TXN_COMMITTED;
	m->found = !s->deleted;
	m->version = s->version;
	m->value = s->deleted || p->no_values ? (DorisBytes){NULL, 0} : s->value;
	if (m->at.space != DORIS_SPACE_ROWS || p->all_columns)
		return DORIS_OK;
	return value_project(a, m->at.key, m->value, p->columns, p->ncolumns, &m->value, err);
}

/* ---- decision rows ---- */

/* A named one without a decision row. ABORTED: not committed as of now. */
static Outcome named_answer(DorisClient *c, Topology *t, const StagedInfo *s, uint64_t slice,
							uint64_t until, DorisError *err)
{
	DorisError why = {.code = DORIS_OK};
	Outcome o = clock_mono_ms() >= slice
					? TXN_OPEN /* asking without time would cut connections that work */
					: named_state(c, t, s, slice < until ? slice : until, &why);

	if (o == TXN_OPEN)
		doris_error(err, DORIS_UNAVAILABLE,
					"whether a transaction met is committed cannot be found out: %.300s",
					why.message);
	return o == TXN_PENDING ? TXN_ABORTED : o;
}

static DorisStatus meet_decisions(DorisClient *c, Topology *t, MeetRow *rows, uint32_t n,
								  const Projection *p, Arena *a, uint64_t until, DorisError *err)
{
	static const Projection whole = {.all_columns = true};
	GetKey *keys = calloc(n, sizeof(*keys));
	uint32_t *of = calloc(n, sizeof(*of));		/* row → its decision row's index + 1 */
	Outcome *named = calloc(n, sizeof(*named)); /* by that index: PENDING: not asked yet */
	uint32_t nkeys = 0;
	uint32_t i;
	uint64_t slice = clock_mono_ms() + MEET_SLICE_MS;
	DorisStatus st = DORIS_OK;
	DorisError why;

	if (keys == NULL || of == NULL || named == NULL)
	{
		st = client_no_memory(err);
		goto done;
	}
	for (i = 0; i < n && st == DORIS_OK; i++)
	{
		const StagedInfo *s = &rows[i].row.staged;
		uint8_t id[DORIS_TXNID_SIZE];
		uint32_t k;

		if (rows[i].outcome != TXN_OPEN || s->mode == TXN_SINGLE)
			continue;
		txnid_to_key(s->txn, id);
		/* the rows of one transaction mostly come together */
		for (k = nkeys; k > 0; k--)
			if (memcmp(keys[k - 1].at.key.data, id, sizeof(id)) == 0)
				break;
		if (k == 0)
		{
			KeyRef *at = &keys[nkeys].at;

			*at = (KeyRef){.space = DORIS_SPACE_DECISIONS, .vnode = s->decision_vnode};
			if (!arena_copy(a, (DorisBytes){id, sizeof(id)}, &at->key))
				st = client_no_memory(err);
			k = ++nkeys;
		}
		of[i] = k;
	}
	if (st != DORIS_OK || nkeys == 0)
		goto done;
	st = get_keys(c, keys, nkeys, &whole, a, slice < until ? slice : until, &why);
	if (st == DORIS_CANCELLED || st == DORIS_NO_MEMORY)
	{
		*err = why;
		goto done;
	}
	if (st != DORIS_OK)
		doris_error(err, DORIS_UNAVAILABLE,
					"whether a transaction met is committed cannot be found out: %.300s",
					why.message);
	st = DORIS_OK;
	for (i = 0; i < n && st == DORIS_OK; i++)
	{
		GetKey *k = of[i] > 0 ? &keys[of[i] - 1] : NULL;

		if (k == NULL || !k->done)
			continue; /* stays OPEN */
		if (k->found && k->value.len == 1 && k->value.data[0] == 'C')
		{
			if (rows[i].row.staged.mode == TXN_NAMED)
				told_add(c, rows[i].row.staged.txn, rows[i].row.staged.version);
			st = answer_staged(&rows[i], p, a, err);
			continue;
		}
		if (!k->found && rows[i].row.staged.mode == TXN_NAMED)
		{
			if (named[of[i] - 1] == TXN_PENDING)
				named[of[i] - 1] = named_answer(c, t, &rows[i].row.staged, slice, until, err);
			if (named[of[i] - 1] == TXN_COMMITTED)
				st = answer_staged(&rows[i], p, a, err);
			if (named[of[i] - 1] != TXN_ABORTED)
				continue; /* OPEN stays so */
		}
		answer_committed(&rows[i], &rows[i].row, TXN_PENDING);
	}
done:
	free(keys);
	free(of);
	free(named);
	return st;
}

/* ---- transactions within one vnode: the other judges ---- */

/* Weighs what the other judges said of one row. */
static DorisStatus weigh_single(DorisClient *c, Topology *t, MeetRow *m, const RawGet *others,
								uint32_t n, const Projection *p, Arena *a, uint64_t until,
								DorisError *err)
{
	const StagedInfo *s = &m->row.staged;
	const RowState *best = &m->row;
	bool committed = false;
	bool missing = false;
	bool open = false;
	uint32_t i;

	for (i = 0; i < n; i++)
	{
		const RowState *r = &others[i].row;

		if (others[i].status != DORIS_OK)
		{
			open = true;
			continue;
		}
		if (version_compare(r->version, best->version) > 0)
			best = r;
		/* applied there; or a later write was judged by it: a base equal to its version proves it */
		if (version_compare(r->version, s->version) == 0 ||
			(r->nstaged > 0 && version_compare(r->staged.base, s->version) == 0))
			committed = true;
		else if (r->nstaged == 0 || txnid_compare(r->staged.txn, s->txn) != 0)
			missing = true;
	}
	if (!committed && !missing && !open && !others_hold(c, t, s->txn, m->at.vnode, until, err))
		return DORIS_OK; /* stays OPEN */
	if (committed || (!missing && !open))
	{
		if (version_compare(best->version, s->version) > 0)
			answer_committed(m, best, TXN_COMMITTED);
		else
			return answer_staged(m, p, a, err);
	}
	else if (missing)
		/* not all judges hold it, so it was not committed when they were asked */
		answer_committed(m, best, TXN_PENDING);
	return DORIS_OK;
}

static DorisStatus meet_singles(DorisClient *c, Topology *t, MeetRow *rows, uint32_t n,
								const Projection *p, Arena *a, uint64_t until, DorisError *err)
{
	RawGet *gets = calloc((size_t) n * DORIS_MAX_GROUPS, sizeof(*gets));
	uint32_t *first = calloc((size_t) n + 1, sizeof(*first));
	uint32_t ngets = 0;
	uint32_t i;
	uint64_t slice = clock_mono_ms() + MEET_SLICE_MS;
	DorisStatus st = DORIS_OK;
	DorisError why = {.code = DORIS_OK};

	if (gets == NULL || first == NULL)
	{
		st = client_no_memory(err);
		goto done;
	}
	for (i = 0; i < n; i++)
	{
		TopoTarget targets[DORIS_MAX_TARGETS];
		int nt;
		int k;

		first[i] = ngets;
		if (rows[i].outcome != TXN_OPEN || rows[i].row.staged.mode != TXN_SINGLE)
			continue;
		nt = topology_targets(t, rows[i].at.vnode, targets);
		for (k = 0; k < nt; k++)
			if (targets[k].judge && targets[k].node->id != rows[i].node)
				gets[ngets++] = (RawGet){.at = rows[i].at, .node = targets[k].node};
	}
	first[n] = ngets;
	if (ngets > 0)
		st = raw_get(c, t, gets, ngets, p, a, MEET_SLICE_MS, until, &why);
	if (st != DORIS_OK)
		*err = why;
	else if (why.code != DORIS_OK)
		doris_error(err, DORIS_UNAVAILABLE,
					"whether a transaction met is committed cannot be found out: %.300s",
					why.message);
	for (i = 0; i < n && st == DORIS_OK; i++)
		if (rows[i].outcome == TXN_OPEN && rows[i].row.staged.mode == TXN_SINGLE)
			st = weigh_single(c, t, &rows[i], &gets[first[i]], first[i + 1] - first[i], p, a,
							  slice < until ? slice : until, err);
done:
	free(gets);
	free(first);
	return st;
}

/* Finishes what is committed and whose client is gone, so that the next reader has it easier. */
static void help_finish(DorisClient *c, Topology *t, const MeetRow *rows, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n && c->nwork < CLIENT_MAX_FINISH; i++)
	{
		const StagedInfo *s = &rows[i].row.staged;
		const TopoNode *node;
		Peer *peer;

		/* a decision row is finished by nobody but who knows all targets of its transaction */
		if (rows[i].outcome != TXN_COMMITTED || rows[i].at.space != DORIS_SPACE_ROWS ||
			(s->mode == TXN_NAMED && !told_known(c, s->txn)) ||
			s->now_ms < clock_ms_of(s->txn.clock) + MEET_ABANDONED_MS)
			continue;
		if (i > 0 && rows[i - 1].node == rows[i].node && rows[i - 1].at.vnode == rows[i].at.vnode &&
			txnid_compare(rows[i - 1].row.staged.txn, s->txn) == 0)
			continue;
		node = topology_node(t, rows[i].node);
		peer = node != NULL ? peer_of_node(c, node) : NULL;
		if (peer != NULL)
			finish_queue(c, peer, s->txn, true, &rows[i].at.vnode, 1, NULL);
	}
}

DorisStatus meet_rows(DorisClient *c, Topology *t, MeetRow *rows, uint32_t n, const Projection *p,
					  Arena *a, uint64_t until, DorisError *err)
{
	uint32_t singles = 0;
	uint32_t decisions = 0;
	uint32_t i;
	DorisStatus st = DORIS_OK;

	for (i = 0; i < n && st == DORIS_OK; i++)
	{
		rows[i].outcome = TXN_OPEN;
		if (recent_committed(c, rows[i].row.staged.txn))
			st = answer_staged(&rows[i], p, a, err);
		else if (rows[i].row.staged.mode == TXN_SINGLE)
			singles++;
		else
			decisions++;
	}
	if (st == DORIS_OK && singles > 0)
		st = meet_singles(c, t, rows, n, p, a, until, err);
	if (st == DORIS_OK && decisions > 0)
		st = meet_decisions(c, t, rows, n, p, a, until, err);
	if (st == DORIS_OK)
		help_finish(c, t, rows, n);
	return st;
}
