/*
 * finish.c: telling targets how a transaction ended, and when its decision row may be forgotten.
 *
 * Rules finish, decision row. Nothing depends on FINISH arriving: it is sent by whoever knows, at any time, or never.
 */
#include "model.h"

/* The commit row is finished, and so forgotten in the end, only when every target has acknowledged FINISH(commit). */
static bool finish_acknowledged(const State *s, int t)
{
	int e = rule(RULE_FINISH_NEWEST) ? s->newest : s->client[t].epoch;
	int v;
	int n;

	if (!rule(RULE_DECISION_KEPT))
		return true;
	for (v = 0; v < NVNODES; v++)
	{
		Targets g = targets_of(s, e, v);

		for (n = 0; n < NDATA && txn_in_vnode(t, v); n++)
			if (HAS(g.judges | g.others, n) && !HAS(s->truth.finish_acks[t], n) &&
				(!HAS(s->node[n].remembered | s->node[n].forgotten, t) ||
				 HAS(node_staged(s, n, v), t)))
				return false;
	}
	return true;
}

/* Beyond the memory's horizon nobody is at work any more who began while the decision was open. */
static bool horizon_passed(const State *s)
{
	int t;

	if (!rule(RULE_DECISION_HORIZON))
		return true;
	for (t = 1; t <= MAX_TXN; t++)
		if ((HAS(txns_on(DECISION_ROW), t) || txn_is_named(t)) &&
			(s->client[t].phase == PHASE_COLLECT || s->client[t].phase == PHASE_CLOSE))
			return false;
	return s->reader.phase == READ_IDLE && s->closer.txn == 0;
}

/* The node forgets the decision row; what was sent before the horizon it does not take any more. */
static void drop_decision(State *s, int n)
{
	int t;

	s->node[n].value[DECISION_ROW] = 0;
	s->truth.decision_dropped = 1;
	for (t = 1; t <= MAX_TXN && rule(RULE_DECISION_HORIZON); t++)
		if (HAS(txns_on(DECISION_ROW), t) && s->client[t].phase != PHASE_IDLE)
			s->node[n].forgotten |= (Mask) BIT(t);
}

/* Rule decided first: else a node might forget it as committed while another holds it undecided. */
static bool may_be_told(const State *s, int t)
{
	return is_decided(s, t) || !rule(RULE_DECIDED_FIRST);
}

static bool aborts_sent(const State *s, int t)
{
	int v;

	for (v = 0; v < NVNODES; v++)
		if (!HAS(s->client[t].aborts[v], s->newest))
			return false;
	return true;
}

static void steps_of(const State *s, StepList *l, int t)
{
	const TxnDef *d = &scene->txn[t];
	int n;

	if (HAS(s->truth.committed, t) && !txn_is_plain(t))
	{
		bool may = txn_is_commit_row(t) ? finish_acknowledged(s, d->of)
										: !txn_is_named(t) || may_be_told(s, t);

		for (n = 0; n < NDATA && may; n++)
			if (!s->node[n].cold && !HAS(s->truth.finish_acks[t], n) &&
				(HAS(staged_at(s, t), n) || !HAS(s->node[n].remembered | s->node[n].forgotten, t)))
				add_step(l, STEP_FINISH, t, n, 0);
	}
	if (txn_is_multi(t) && (HAS(s->truth.aborted, t) || !rule(RULE_ABORT_ROW)) &&
		!aborts_sent(s, t) && staged_at(s, t) != 0)
		add_step(l, STEP_ABORT, t, 0, 0);
	if (!txn_is_commit_row(t))
		return;
	for (n = 0; n < NDATA; n++)
		if (s->node[n].value[DECISION_ROW] == t && horizon_passed(s))
			add_step(l, STEP_DROP_DECISION, n, t, 0);
}

void finish_steps(const State *s, StepList *l)
{
	int t;

	for (t = 1; t <= MAX_TXN; t++)
		if (scene->txn[t].kind != TXN_NONE)
			steps_of(s, l, t);
}

static void finish(State *s, int t, int n)
{
	last_reply = node_finish(s, n, t, s->client[t].epoch);
	/* who takes "stale" for an answer drops the decision row too early */
	if (last_reply == REPLY_STALE)
		s->truth.finish_acks[t] |= (uint8_t) BIT(n);
}

bool finish_do(State *s, Step x)
{
	int v;

	switch (x.kind)
	{
		case STEP_FINISH:
			finish(s, x.a, x.b);
			break;
		case STEP_ABORT:
			for (v = 0; v < NVNODES; v++)
				s->client[x.a].aborts[v] |= (uint16_t) BIT(s->newest);
			break;
		case STEP_DROP_DECISION:
			drop_decision(s, x.a);
			break;
		default:
			return false;
	}
	return true;
}
