/*
 * node.c: what a storage node and the log node do with a request, each in one critical section.
 *
 * Rules stage, outcome, finish, close, plain, hints of the node's side.
 */
#include "model.h"

static int base_of(int t)
{
	return scene->txn[t].base;
}

/* The rows of transaction t in vnode v. */
static bool writes(int t, int v, int row)
{
	return HAS(scene->txn[t].rows, row) && row_vnode(row) == v;
}

const char *reply_text(Reply r)
{
	static const char *const text[] = {"no answer", "stale epoch",	   "held",	 "committed",
									   "refused",	"conflict",		   "higher", "not held",
									   "forgotten", "hint budget full"};

	return text[r];
}

/* I3: the epoch check. A newer epoch is taken first; the client hands the topology on. */
Reply node_admit(State *s, int n, int epoch, int v)
{
	if (n != NODE_L && s->node[n].cold)
		return REPLY_NONE;
	if (!node_learn(s, n, epoch))
		return REPLY_STALE;
	return is_stale(s, n, epoch, v) ? REPLY_STALE : REPLY_HELD;
}

bool node_judges(const State *s, int n, int v)
{
	return place_known(s, v, n) == PLACE_COMPLETE || HAS(s->node[n].judging, v);
}

Mask node_staged(const State *s, int n, int v)
{
	Mask m = 0;
	int row;

	for (row = 0; row < NROWS; row++)
		if (row_vnode(row) == v)
			m |= s->node[n].staged[row];
	return m;
}

Set staged_at(const State *s, int t)
{
	Set where = 0;
	int n;
	int row;

	for (n = 0; n < NDATA; n++)
		for (row = 0; row < NROWS; row++)
			if (HAS(s->node[n].staged[row], t))
				where |= BIT(n);
	return where;
}

/* All of t's rows in v are staged here, or applied and still there. */
bool node_holds(const State *s, int n, int t, int v)
{
	const Node *node = &s->node[n];
	int row;

	for (row = 0; row < NROWS; row++)
		if (writes(t, v, row) && !HAS(node->staged[row], t) && node->value[row] != t)
			return false;
	return true;
}

/* I4: the higher version stays. */
void node_apply(State *s, int n, int row, int t)
{
	Node *node = &s->node[n];

	node->staged[row] &= (Mask) ~BIT(t);
	if (t <= node->value[row] || t <= node->floor[row_vnode(row)])
		return;
	act_applied(s, t);
	node->value[row] = (uint8_t) t;
	if (txn_is_delete(t) && !rule(RULE_TOMBSTONES))
		node->value[row] = 0;
}

static void apply_all(State *s, int n, int t, int v)
{
	int row;

	for (row = 0; row < NROWS; row++)
		if (writes(t, v, row))
			node_apply(s, n, row, t);
}

void node_unstage(State *s, int n, int t, int v)
{
	int row;

	for (row = 0; row < NROWS; row++)
		if (row_vnode(row) == v)
			s->node[n].staged[row] &= (Mask) ~BIT(t);
}

/*
 * A row with t's version proves that t is committed: whoever brought the value knew it. It is remembered, as OUTCOME goes by
 * the memory.
 */
static void learn_from_value(Node *node, int row, int t)
{
	if (node->value[row] == t && rule(RULE_VALUE_PROVES))
		node->remembered |= (Mask) BIT(t);
}

/*
 * Rule decided first: that a writer has read it as committed does not do for a named one. Who knows that its decision
 * row is there says so in its own STAGE.
 */
static bool may_be_proved(const State *s, int t)
{
	return t == 0 || !txn_is_named(t) || is_decided(s, t) || !rule(RULE_DECIDED_FIRST);
}

/*
 * Holds a staged write. Rule meet: a base that is staged was read as committed, so it is; that holds on copies that
 * do not judge as well, whichever of the two came first.
 */
static void hold(State *s, int n, int row, int t)
{
	Node *node = &s->node[n];
	int u;

	node->staged[row] |= (Mask) BIT(t);
	for (u = 1; u <= MAX_TXN && rule(RULE_BASE_PROVES); u++)
	{
		int base = base_of(u);

		if (!HAS(node->staged[row], u) || base == 0 || !HAS(node->staged[row], base) ||
			!may_be_proved(s, base))
			continue;
		node_apply(s, n, row, base);
		node->remembered |= (Mask) BIT(base);
	}
}

/* A staged write that comes from another copy. */
void node_take(State *s, int n, int row, int t)
{
	Node *node = &s->node[n];
	int v = row_vnode(row);

	learn_from_value(node, row, t);
	if (t == node->value[row] || t <= node->floor[v] || HAS(node->staged[row], t))
		return;
	if (HAS(node->remembered, t))
	{
		if (rule(RULE_KNOWN_APPLIES))
			node_apply(s, n, row, t);
	}
	else if (!HAS(node->refused[v], t) || !rule(RULE_PASS_REFUSED))
		hold(s, n, row, t);
}

/* Rule stage: a judge's check of one row. A base that is staged here was read as committed, so it is. */
static bool judge_row(State *s, int n, int row, int t)
{
	Node *node = &s->node[n];
	int base = base_of(t);
	bool absent_base = base == 0 || txn_is_delete(base);

	if (!rule(RULE_JUDGE))
		return true;
	if (!may_be_proved(s, base))
		return false;
	if (base != 0 && HAS(node->staged[row], base))
	{
		node_apply(s, n, row, base);
		node->remembered |= (Mask) BIT(base);
	}
	/* rule repair what you read: the writer brings the base it read */
	else if (base > node->value[row] && !absent_base)
		node_apply(s, n, row, base);
	if (node->staged[row] != 0)
		return false;
	return node->value[row] == base || (node->value[row] == 0 && absent_base);
}

static Reply stage_here(State *s, int n, int t, int v)
{
	Node *node = &s->node[n];
	int row;

	if (HAS(node->remembered, t))
	{
		/* rule finish: what is known as committed is applied when it comes */
		if (rule(RULE_KNOWN_APPLIES))
			apply_all(s, n, t, v);
		return REPLY_HELD;
	}
	if (node_holds(s, n, t, v))
	{
		for (row = 0; row < NROWS; row++)
			if (writes(t, v, row))
				learn_from_value(node, row, t);
		return REPLY_HELD;
	}
	if (HAS(node->forgotten, t))
		return REPLY_HORIZON;
	if (HAS(node->refused[v], t))
		return REPLY_REFUSED;
	if (t <= node->floor[v])
		return REPLY_CONFLICT;
	if (node_judges(s, n, v))
		for (row = 0; row < NROWS; row++)
			if (writes(t, v, row) && !judge_row(s, n, row, t))
				return REPLY_CONFLICT;
	for (row = 0; row < NROWS; row++)
		if (writes(t, v, row))
			hold(s, n, row, t);
	return REPLY_HELD;
}

static bool is_up_target(const State *s, int n, int v)
{
	Place p = place_known(s, v, n);

	return p != PLACE_NONE && p != PLACE_FAILED;
}

Reply node_stage(State *s, int n, int t, int v, int epoch)
{
	Reply r = node_admit(s, n, epoch, v);

	if (r == REPLY_STALE && !rule(RULE_EPOCH_FENCE))
		r = REPLY_HELD;
	if (r != REPLY_HELD)
		return r;
	if (!is_up_target(s, n, v))
		return REPLY_STALE;
	return stage_here(s, n, t, v);
}

/* Without the one critical section: admitted some time ago, carried out now, whatever the epoch is by now. */
Reply node_stage_admitted(State *s, int n, int t, int v)
{
	return is_up_target(s, n, v) ? stage_here(s, n, t, v) : REPLY_STALE;
}

/* Rule plain. It is applied even when it is not acknowledged. */
static Reply plain_here(State *s, int n, int t)
{
	Node *node = &s->node[n];
	bool higher = false;
	int row;

	for (row = 0; row < NROWS; row++)
	{
		if (!HAS(scene->txn[t].rows, row))
			continue;
		if (node->value[row] > t || node->staged[row] >> (t + 1) != 0 ||
			t <= node->floor[row_vnode(row)])
			higher = true;
		node_apply(s, n, row, t);
	}
	return higher && rule(RULE_RESTAMP) ? REPLY_HIGHER : REPLY_HELD;
}

Reply node_plain(State *s, int n, int t, int v, int epoch)
{
	Reply r = node_admit(s, n, epoch, v);

	if (r != REPLY_HELD)
		return r;
	return is_up_target(s, n, v) ? plain_here(s, n, t) : REPLY_STALE;
}

/* OUTCOME. refuse: what is not held is refused for good. Epoch-fenced as refusals are. */
Reply node_outcome(State *s, int n, int t, int v, int epoch, bool refuse)
{
	Node *node = &s->node[n];
	Reply r = node_admit(s, n, epoch, v);
	int row;

	if (r != REPLY_HELD)
		return r;
	if (!is_up_target(s, n, v))
		return REPLY_STALE;
	/* by transaction, not by row: what is applied is known from the memory only */
	if (HAS(node->remembered, t))
		return REPLY_COMMITTED;
	if (HAS(node_staged(s, n, v), t))
		return REPLY_HELD;
	if (HAS(node->refused[v], t))
		return REPLY_REFUSED;
	if (HAS(node->forgotten, t))
	{
		/*
		 * Who asks looks at the row: it tells. A lower version: t was never there and never will be. A higher one: t makes
		 * no difference any more.
		 */
		for (row = 0; row < NROWS; row++)
			if (writes(t, v, row) && node->value[row] >= t)
				return node->value[row] == t ? REPLY_COMMITTED : REPLY_HORIZON;
		return REPLY_REFUSED;
	}
	if (!refuse)
		return REPLY_NOT_HELD;
	node->refused[v] |= (Mask) BIT(t);
	return REPLY_REFUSED;
}

/* FINISH(abort) of t's rows in v. Rule close: epoch-fenced. */
Reply node_drop(State *s, int n, int t, int v, int epoch)
{
	Node *node = &s->node[n];
	Reply r = node_admit(s, n, epoch, v);

	if (r == REPLY_STALE && !rule(RULE_DROP_FENCE))
		r = REPLY_HELD;
	if (r != REPLY_HELD)
		return r;
	if (!is_up_target(s, n, v))
		return REPLY_STALE;
	if (HAS(node->remembered, t))
		return REPLY_COMMITTED;
	if (HAS(node->forgotten, t) && !HAS(node_staged(s, n, v), t) && !HAS(node->refused[v], t))
		return REPLY_STALE;
	node_unstage(s, n, t, v);
	node->refused[v] |= (Mask) BIT(t);
	return REPLY_REFUSED;
}

/* FINISH(commit): good in any epoch. */
Reply node_finish(State *s, int n, int t, int epoch)
{
	Node *node = &s->node[n];
	int v;

	if (node->cold)
		return REPLY_NONE;
	if (!rule(RULE_FINISH_ANY))
		for (v = 0; v < NVNODES; v++)
			if (txn_in_vnode(t, v) && is_stale(s, n, epoch, v))
				return REPLY_STALE;
	for (v = 0; v < NVNODES; v++)
		for (int row = 0; row < NROWS; row++)
			if (writes(t, v, row) && HAS(node->staged[row], t))
				node_apply(s, n, row, t);
	node->remembered |= (Mask) BIT(t);
	return REPLY_COMMITTED;
}

/* ---- the log node ---- */

/* Rule hints: only for a copy that the log node's topology, at the request's epoch, calls failed. */
Reply log_keep(State *s, int target, int t, int v, int epoch)
{
	LogNode *log = &s->log;
	Reply r = node_admit(s, NODE_L, epoch, v);

	if (rule(RULE_HINT_FAILED_ONLY))
	{
		if (r != REPLY_HELD)
			return r;
		if (place_at(s, log->epoch, v, target) != PLACE_FAILED)
			return REPLY_STALE;
	}
	if (HAS(log->hints[target][v], t))
		return REPLY_HELD;
	if (log->full)
		return REPLY_FULL;
	log->hints[target][v] |= (Mask) BIT(t);
	return REPLY_HELD;
}

/* Replays one hint to its target, as STAGE or as a plain write. */
Reply log_replay(State *s, int target, int t, int v)
{
	Node *node = &s->node[target];

	s->log.hints[target][v] &= (Mask) ~BIT(t);
	if (txn_is_plain(t))
		return plain_here(s, target, t);
	if (node_judges(s, target, v) && rule(RULE_HINT_DISCARD))
		return REPLY_STALE;
	if (node->value[0] != t && HAS(node->forgotten, t) && !HAS(node->remembered, t))
		return REPLY_HORIZON;
	if (!rule(RULE_HINT_DISCARD) && !HAS(node->refused[v], t) && !HAS(node->remembered, t))
	{
		/* held as if it had been judged */
		for (int row = 0; row < NROWS; row++)
			if (writes(t, v, row) && t > node->value[row])
				node->staged[row] |= (Mask) BIT(t);
		return REPLY_HELD;
	}
	return stage_here(s, target, t, v);
}
