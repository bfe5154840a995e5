/*
 * check.c: what must never happen.
 *
 * - nothing acknowledged or acted on as committed is missing from a complete copy
 * - at most one winner for each version read; no plain write is overtaken unseen
 * - no outcome turns: committed, "not done", aborted
 * - all or none of a transaction's rows; nothing uncommitted is applied
 * - no read below what was acknowledged or read before it began; no deleted row is back
 * - when no more faults come the cluster comes to rest: all copies complete and equal, nothing left staged
 */
#include <stddef.h>

#include "model.h"

const char *violation;

static void broken(const char *what)
{
	if (violation == NULL)
		violation = what;
}

static Mask counted(const State *s)
{
	return s->truth.committed | s->truth.acked;
}

/* What a copy's "nothing there" stands for: the last delete. */
static int effective(const State *s, int row, int value, int floor)
{
	Mask m = counted(s) & txns_on(row);
	int t;
	int best = floor;

	if (value != 0)
		return value;
	for (t = 1; t <= MAX_TXN; t++)
		if (HAS(m, t) && txn_is_delete(t) && t > best)
			best = t;
	return best;
}

/* A write that counts must have been made on top of the one that counts before it. */
static void check_winner(const State *s, int t)
{
	Mask others = counted(s) & (Mask) ~BIT(t);
	int u;

	for (u = 1; u <= MAX_TXN; u++)
	{
		int high = t > u ? t : u;
		int low = t > u ? u : t;

		if (!HAS(others, u) || (scene->txn[t].rows & scene->txn[u].rows) == 0)
			continue;
		if (!txn_is_plain(high) && scene->txn[high].base < low)
			broken(txn_is_plain(low)
					   ? "LOST UPDATE: a plain write overtaken by one that has not seen it"
					   : "TWO WINNERS on one version read");
	}
}

static void check_told(const State *s, int t)
{
	if (HAS(s->truth.not_done, t) && HAS(counted(s), t))
		broken("TURNED: told \"not done\", and committed");
	if (HAS(s->truth.aborted, t) && HAS(counted(s), t))
		broken("TURNED: aborted, and committed");
}

void act_committed(State *s, int t)
{
	const TxnDef *d = &scene->txn[t];

	if (HAS(s->truth.committed, t))
		return;
	s->truth.committed |= (Mask) BIT(t);
	check_winner(s, t);
	check_told(s, t);
	if (txn_is_commit_row(t))
		act_committed(s, d->of);
	if (d->kind == TXN_ABORT_ROW || d->kind == TXN_SPARE_ABORT)
	{
		s->truth.aborted |= (Mask) BIT(d->of);
		check_told(s, d->of);
	}
}

void act_acked(State *s, int t)
{
	Mask newer = s->client[t].floor & txns_on(0) & (Mask) ~(BIT(t + 1) - 1);

	s->truth.acked |= (Mask) BIT(t);
	if (!txn_is_plain(t))
	{
		act_committed(s, t);
		return;
	}
	check_winner(s, t);
	if (newer != 0)
		broken(
			"LOST UPDATE: a plain write acknowledged below what was acknowledged before it began");
}

void act_not_done(State *s, int t)
{
	s->truth.not_done |= (Mask) BIT(t);
	check_told(s, t);
}

void act_applied(const State *s, int t)
{
	if (!txn_is_plain(t) && !HAS(counted(s), t))
		broken("APPLIED what nobody has found committed");
}

void act_read(State *s, int row, int value, Mask floor)
{
	int seen = effective(s, row, value, 0);
	int t;

	for (t = seen + 1; t <= MAX_TXN; t++)
		if (HAS(floor, t))
			broken(txn_is_delete(t) ? "STALE READ: a deleted row is back"
									: "STALE READ: below what was acknowledged or read before");
	if (value != 0 && !txn_is_plain(value))
		s->truth.read |= (Mask) BIT(value);
}

/* Does the copy have version t of the row, a later one, or it staged? */
static bool has(const State *s, int n, int row, int t)
{
	const Node *node = &s->node[n];
	int u;

	if (effective(s, row, node->value[row], node->floor[row_vnode(row)]) >= t)
		return true;
	if (HAS(node->staged[row], t))
		return true;
	for (u = 1; u <= MAX_TXN; u++)
		if (HAS(node->staged[row], u) && scene->txn[u].base == t)
			return true;
	return false;
}

static bool is_checked(const State *s, int n, int v)
{
	return place_now(s, v, n) == PLACE_COMPLETE && s->node[n].epoch == s->newest &&
		   !s->node[n].cold;
}

void check_state(const State *s)
{
	Mask all = counted(s);
	int n;
	int row;
	int t;

	for (n = 0; n < NDATA && all != 0; n++)
		for (row = 0; row < NROWS; row++)
		{
			Mask m = all & txns_on(row);

			if (m == 0 || !is_checked(s, n, row_vnode(row)) ||
				(row == DECISION_ROW && s->truth.decision_dropped))
				continue;
			for (t = 1; t <= MAX_TXN; t++)
				if (HAS(m, t) && !has(s, n, row, t))
					broken(HAS(s->truth.acked, t)
							   ? "LOST: an acknowledged write is missing from a complete copy"
							   : "LOST: a committed write is missing from a complete copy");
		}
}

/* A plain write that was not acknowledged may be on some copies only, until it is repaired. */
static bool may_differ(const State *s, int row)
{
	int t;

	if (row == DECISION_ROW && s->truth.decision_dropped)
		return true;
	for (t = 1; t <= MAX_TXN; t++)
		if (HAS(txns_on(row), t) && txn_is_plain(t) && s->client[t].sent != 0 &&
			!HAS(s->truth.acked, t))
			return true;
	return false;
}

void check_rest(const State *s)
{
	int v;
	int n;
	int row;

	for (row = 0; row < NROWS; row++)
	{
		int value = -1;

		if (txns_on(row) == 0)
			continue;
		v = row_vnode(row);
		for (n = 0; n < NDATA; n++)
		{
			Place p = place_now(s, v, n);
			int mine;

			if (s->node[n].cold)
				broken("STUCK: a node is never matched");
			if (p != PLACE_NONE && p != PLACE_COMPLETE)
				broken("STUCK: a copy never becomes complete");
			if (p != PLACE_COMPLETE)
				continue;
			if (s->node[n].staged[row] != 0)
				broken("STUCK: a staged write is never finished");
			mine = effective(s, row, s->node[n].value[row], s->node[n].floor[v]);
			if (value >= 0 && mine != value && !may_differ(s, row))
				broken("COPIES DIFFER at rest");
			value = mine;
		}
	}
}
