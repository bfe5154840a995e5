/*
 * admin.c: the leader's verdicts and plans, changes of the leader, purges, restarts of nodes, and how epochs reach nodes.
 *
 * Rules last copy, retire, start, publish, purge, lease (the leader's side: "failed" takes effect only after the lease).
 */
#include <string.h>

#include "model.h"

static int complete_copies(const State *s, int v)
{
	int n;
	int k = 0;

	for (n = 0; n < NDATA; n++)
		k += place_now(s, v, n) == PLACE_COMPLETE;
	return k;
}

/* Another complete copy of v than n's, on a node that serves. */
static bool is_last_copy(const State *s, int v, int n)
{
	int m;

	for (m = 0; m < NDATA; m++)
		if (m != n && place_now(s, v, m) == PLACE_COMPLETE && !s->node[m].cold)
			return false;
	return true;
}

/* Does n have a copy that a verdict would take from it? */
static bool can_fail(const State *s, int n)
{
	int v;

	for (v = 0; v < NVNODES; v++)
	{
		Place p = place_now(s, v, n);

		if (p == PLACE_RECOVERING || p == PLACE_INCOMING)
			return true;
		if (p == PLACE_COMPLETE && (!is_last_copy(s, v, n) || !rule(RULE_LAST_COPY)))
			return true;
	}
	return false;
}

static bool somewhere(const State *s, int n, Place p)
{
	int v;

	for (v = 0; v < NVNODES; v++)
		if (place_now(s, v, n) == p)
			return true;
	return false;
}

static bool is_recovered(const State *s, int v)
{
	const Recovery *r = &s->recovery[v];

	return r->step == RECOVERY_READY &&
		   (place_now(s, v, r->who) == PLACE_RECOVERING ||
			place_now(s, v, r->who) == PLACE_INCOMING) &&
		   (r->epoch == s->changed[s->newest][v] || !rule(RULE_VOID_PASS));
}

/* Without the rule last copy: nothing complete is left, so what answers is called complete. */
static int made_up(const State *s, int v)
{
	int n;

	if (rule(RULE_LAST_COPY) || complete_copies(s, v) > 0)
		return -1;
	for (n = 0; n < NDATA; n++)
		if (place_now(s, v, n) == PLACE_RECOVERING)
			return n;
	return -1;
}

/* ---- which steps are possible ---- */

static bool equal_copies(const State *s, int v, uint8_t *h)
{
	Targets g = targets_of(s, s->newest, v);
	int row;
	int n;
	int first = -1;

	*h = 0;
	if (g.others != 0 || g.hints != 0)
		return false;
	for (n = 0; n < NDATA; n++)
	{
		if (s->log.hints[n][v] != 0)
			return false;
		if (!HAS(g.judges, n))
			continue;
		if (s->node[n].epoch < s->changed[s->newest][v] || s->node[n].cold)
			return false;
		if (first < 0)
			first = n;
		for (row = 0; row < NROWS; row++)
		{
			if (row_vnode(row) != v)
				continue;
			if (s->node[n].value[row] != s->node[first].value[row])
				return false;
			if (txn_is_delete(s->node[n].value[row]) && s->node[n].value[row] > *h)
				*h = s->node[n].value[row];
		}
	}
	for (n = 0; n < NDATA; n++)
		if (HAS(g.judges, n) && (node_staged(s, n, v) & (BIT(*h + 1) - 1)) != 0)
			return false;
	return *h > s->purge[v];
}

static bool has_tombstone(const State *s, int n, int v, int upto)
{
	int row;

	for (row = 0; row < NROWS; row++)
		if (row_vnode(row) == v && txn_is_delete(s->node[n].value[row]) &&
			s->node[n].value[row] <= upto)
			return true;
	return false;
}

static void purge_steps(const State *s, StepList *l)
{
	int v;
	int n;
	uint8_t h;

	for (v = 0; v < NVNODES; v++)
	{
		if (s->left.purges > 0 && rule(RULE_PURGE_COMPLETE) && equal_copies(s, v, &h))
			add_step(l, STEP_PURGE_APPROVE, v, h, 0);
		for (n = 0; n < NDATA; n++)
		{
			int upto = rule(RULE_PURGE_COMPLETE) ? s->purge[v] : MAX_TXN;

			if ((s->purge[v] > 0 || s->left.purges > 0) && has_tombstone(s, n, v, upto) &&
				place_known(s, v, n) == PLACE_COMPLETE &&
				(s->reader.phase == READ_IDLE || !rule(RULE_PURGE_HORIZON)))
				add_step(l, STEP_PURGE, n, v, 0);
		}
	}
}

static void fault_steps(const State *s, StepList *l)
{
	int n;
	int t;

	for (n = 0; n < NDATA; n++)
	{
		if (s->left.fails[n] > 0 && s->newest + 5 < MAX_EPOCHS && can_fail(s, n))
			add_step(l, STEP_FAIL, n, 0, 0);
		if (s->left.restarts[n] > 0 && s->newest + 5 < MAX_EPOCHS && !s->node[n].cold &&
			!is_last_copy(s, 0, n))
			for (t = 0; t <= 2 + (n == 0 && s->has_backup); t++)
				add_step(l, STEP_RESTART, n, t, 0);
		for (t = 1; t <= MAX_TXN && s->left.expiries > 0; t++)
			if (HAS(s->node[n].remembered | s->node[n].refused[0] | s->node[n].refused[1], t))
				add_step(l, STEP_EXPIRE, n, t, 0);
	}
	if (s->left.restarts[0] > 0 && !s->has_backup)
		add_step(l, STEP_BACKUP, 0, 0, 0);
	if (s->left.moves > 0 && s->newest + 5 < MAX_EPOCHS && place_now(s, 0, 0) == PLACE_COMPLETE &&
		place_now(s, 0, 1) == PLACE_NONE)
		add_step(l, STEP_MOVE, 0, 0, 0);
	if (s->left.replaces > 0 && s->newest + 5 < MAX_EPOCHS && place_now(s, 0, 0) == PLACE_FAILED &&
		place_now(s, 0, 1) == PLACE_NONE)
		add_step(l, STEP_REPLACE, 0, 0, 0);
	if (s->left.cancels > 0 && s->newest + 5 < MAX_EPOCHS && place_now(s, 0, 1) == PLACE_INCOMING)
		add_step(l, STEP_CANCEL, 0, 0, 0);
	if (s->left.leader_changes > 0 && s->newest > 0 && s->newest + 5 < MAX_EPOCHS)
		add_step(l, STEP_LEADER_DIES, 0, 0, 0);
	if (s->left.log_losses > 0)
		add_step(l, STEP_LOG_LOST, 0, 0, 0);
	if (s->left.log_full > 0)
		add_step(l, STEP_LOG_FULL, 0, 0, 0);
	if (s->left.losses > 0 && place_now(s, 0, NODE_C) == PLACE_COMPLETE &&
		place_now(s, 0, 0) == PLACE_RECOVERING)
		add_step(l, STEP_LOSE_C, 0, 0, 0);
}

static bool may_declare(const State *s)
{
	return complete_copies(s, 0) == 0 && place_now(s, 0, 0) == PLACE_RECOVERING &&
		   s->log.epoch == s->newest && s->node[0].epoch == s->newest && s->log.hints[0][0] == 0;
}

static void plan_steps(const State *s, StepList *l)
{
	int n;
	int v;

	if (s->newest + 1 >= MAX_EPOCHS)
		return;
	for (n = 0; n < NDATA; n++)
	{
		/* one that is being replaced for good stays out */
		if (somewhere(s, n, PLACE_FAILED) && place_now(s, 0, 1) != PLACE_INCOMING)
			add_step(l, STEP_UP, n, 0, 0);
		if (s->node[n].cold)
			add_step(l, STEP_MATCH, n, 0, 0);
	}
	for (v = 0; v < NVNODES; v++)
	{
		if (is_recovered(s, v) || made_up(s, v) >= 0)
			add_step(l, STEP_COMPLETE, v, 0, 0);
		for (n = 0; n < NDATA; n++)
			if (place_now(s, v, n) == PLACE_RETIRING &&
				s->node[n].epoch >= s->changed[s->newest][v])
				add_step(l, STEP_REMOVE, v, n, 0);
	}
	if (s->left.losses == 0 && scene->budget.losses > 0 && may_declare(s))
		add_step(l, STEP_DECLARE, 0, 0, 0);
}

void admin_steps(const State *s, StepList *l, bool calm)
{
	int n;
	int t;

	for (n = 0; n <= NODE_L; n++)
	{
		if (s->leader.changing && !HAS(s->leader.asked, n) && !(n < NDATA && s->node[n].cold))
			add_step(l, STEP_LEADER_ASKS, n, 0, 0);
		if (!s->leader.changing && node_epoch(s, n) < s->newest && !(n < NDATA && s->node[n].cold))
			add_step(l, STEP_LEARN, n, 0, 0);
		for (t = 1; t <= MAX_TXN && n < NDATA; t++)
			if (HAS(s->node[n].admitted, t))
				add_step(l, STEP_APPLY_ADMITTED, n, t, 0);
	}
	if (s->leader.changing)
	{
		if (s->leader.asked == BIT(NODE_L + 1) - 1 || !rule(RULE_LEADER_ASKS))
			add_step(l, STEP_LEADER_GOES_ON, 0, 0, 0);
		return;
	}
	plan_steps(s, l);
	purge_steps(s, l);
	if (!calm)
		fault_steps(s, l);
}

/* ---- doing them ---- */
typedef uint8_t Places[NVNODES][NDATA];

static void publish(State *s, Places next)
{
	topology_publish(s, next, 0);
}

static void fail(State *s, int n, Places next)
{
	int v;

	for (v = 0; v < NVNODES; v++)
	{
		Place p = place_now(s, v, n);

		if (p == PLACE_RECOVERING ||
			(p == PLACE_COMPLETE && (!is_last_copy(s, v, n) || !rule(RULE_LAST_COPY))))
			next[v][n] = PLACE_FAILED;
		else if (p == PLACE_INCOMING)
			next[v][n] = PLACE_NONE; /* the destination failed: the move is cancelled */
	}
	s->left.fails[n]--;
	publish(s, next);
}

static void complete(State *s, int v, Places next)
{
	int who = made_up(s, v) >= 0 ? made_up(s, v) : s->recovery[v].who;

	if (place_now(s, v, who) == PLACE_INCOMING)
	{
		Place old = place_now(s, v, 0);

		/* rule retire: the old owner stays a write target without reads for one epoch more */
		next[v][0] = old == PLACE_COMPLETE && rule(RULE_RETIRE) ? PLACE_RETIRING : PLACE_NONE;
	}
	next[v][who] = PLACE_COMPLETE;
	memset(&s->recovery[v], 0, sizeof(s->recovery[v]));
	publish(s, next);
}

/* Comes back: with everything; having lost its last epoch; with an empty disk; with one from a backup. */
static void restart(State *s, int n, int lost)
{
	Node *node = &s->node[n];
	State fresh;
	int v;

	s->left.restarts[n]--;
	node->judging = 0;
	if (lost == 1 && node->epoch > 0)
	{
		node->epoch--;
		node->behind = 1;
	}
	if (lost >= 2)
	{
		uint8_t term = node->term;

		state_init(&fresh);
		memcpy(node, lost == 2 ? &fresh.node[n] : &s->backup, sizeof(*node));
		node->term = term;
		node->behind = 1;
	}
	for (v = 0; v < NVNODES; v++)
	{
		memset(&s->fetch[n][v], 0, sizeof(s->fetch[n][v]));
		if (s->recovery[v].who == n)
			memset(&s->recovery[v], 0, sizeof(s->recovery[v]));
	}
	/* rule start: answers nothing until the leader has matched it */
	node->cold = rule(RULE_START) ? 1 : 0;
}

/* The leader compares what the node has with what it should have; what is behind is incomplete from here on. */
static void match(State *s, int n, Places next)
{
	Node *node = &s->node[n];
	unsigned force = 0;
	int v;

	for (v = 0; v < NVNODES && node->behind; v++)
	{
		Place p = place_now(s, v, n);

		if (p == PLACE_COMPLETE && !is_last_copy(s, v, n))
			next[v][n] = PLACE_RECOVERING;
		else if (p == PLACE_RECOVERING || p == PLACE_INCOMING)
			force |= BIT(v);
	}
	if (node->behind)
		topology_publish(s, next, force);
	node->cold = node->behind = 0;
	node_learn(s, n, s->newest);
}

/*
 * Rule publish. The database has lost the newest topology. When a node knows it the new leader goes on from
 * it; else it is given up, and its number is not used again.
 */
static void leader_goes_on(State *s, Places next)
{
	int lost = s->newest;
	unsigned both = 0;
	int v;

	if (!s->leader.found)
	{
		for (v = 0; v < NVNODES; v++)
		{
			memcpy(next[v], s->place[lost - 1][v], NDATA);
			if (s->changed[lost][v] == lost)
				both |= BIT(v);
		}
		s->leader.orphan = (uint8_t) lost;
		topology_publish(s, next, both);
	}
	s->leader.changing = s->leader.asked = s->leader.found = 0;
}

static void leader_asks(State *s, int n)
{
	s->leader.asked |= (uint8_t) BIT(n);
	if (node_epoch(s, n) == s->newest)
		s->leader.found = 1;
	if (n == NODE_L)
		s->log.term = 1;
	else
		s->node[n].term = 1;
}

static void purge(State *s, int n, int v)
{
	Node *node = &s->node[n];
	int upto = rule(RULE_PURGE_COMPLETE) ? s->purge[v] : MAX_TXN;
	int row;

	if (s->purge[v] == 0)
		s->left.purges--;
	for (row = 0; row < NROWS; row++)
	{
		if (row_vnode(row) != v || !txn_is_delete(node->value[row]) || node->value[row] > upto)
			continue;
		if (rule(RULE_PURGE_FLOOR) && node->value[row] > node->floor[v])
			node->floor[v] = node->value[row];
		node->value[row] = 0;
	}
	if (rule(RULE_PURGE_FLOOR) && rule(RULE_PURGE_COMPLETE) && node->floor[v] < s->purge[v])
		node->floor[v] = s->purge[v];
}

static void expire(State *s, int n, int t)
{
	Node *node = &s->node[n];
	int v;

	s->left.expiries--;
	node->remembered &= (Mask) ~BIT(t);
	for (v = 0; v < NVNODES; v++)
		node->refused[v] &= (Mask) ~BIT(t);
	if (rule(RULE_MEMORY_HORIZON))
		node->forgotten |= (Mask) BIT(t);
}

/* Without the one critical section: a STAGE admitted some time ago is carried out, and its client gets the answer. */
static void apply_admitted(State *s, int n, int t)
{
	Client *c = &s->client[t];
	int v = txn_in_vnode(t, 0) ? 0 : 1;

	s->node[n].admitted &= (Mask) ~BIT(t);
	last_reply = node_stage_admitted(s, n, t, v);
	if (last_reply == REPLY_HELD && c->phase == PHASE_COLLECT &&
		c->epoch == s->node[n].admitted_in[t])
		c->held[v] |= (Set) BIT(n);
}

bool admin_do(State *s, Step x)
{
	Places next;
	int v;

	memcpy(next, s->place[s->newest], sizeof(next));
	switch (x.kind)
	{
		case STEP_LEARN:
			node_learn(s, x.a, s->newest);
			break;
		case STEP_FAIL:
			fail(s, x.a, next);
			break;
		case STEP_UP:
			for (v = 0; v < NVNODES; v++)
				if (next[v][x.a] == PLACE_FAILED)
					next[v][x.a] = PLACE_RECOVERING;
			publish(s, next);
			break;
		case STEP_MOVE:
			s->left.moves--;
			next[0][1] = PLACE_INCOMING;
			publish(s, next);
			break;
		case STEP_REPLACE:
			s->left.replaces--;
			next[0][1] = PLACE_INCOMING;
			publish(s, next);
			break;
		case STEP_CANCEL:
			s->left.cancels--;
			next[0][1] = PLACE_NONE;
			publish(s, next);
			break;
		case STEP_COMPLETE:
			complete(s, x.a, next);
			break;
		case STEP_REMOVE:
			next[x.a][x.b] = PLACE_NONE;
			publish(s, next);
			break;
		case STEP_BACKUP:
			s->backup = s->node[0];
			s->has_backup = 1;
			break;
		case STEP_RESTART:
			restart(s, x.a, x.b);
			break;
		case STEP_MATCH:
			match(s, x.a, next);
			break;
		case STEP_LEADER_DIES:
			s->left.leader_changes--;
			s->leader.changing = 1;
			break;
		case STEP_LEADER_ASKS:
			leader_asks(s, x.a);
			break;
		case STEP_LEADER_GOES_ON:
			leader_goes_on(s, next);
			break;
		case STEP_PURGE_APPROVE:
			s->left.purges--;
			s->purge[x.a] = x.b;
			break;
		case STEP_PURGE:
			purge(s, x.a, x.b);
			break;
		case STEP_EXPIRE:
			expire(s, x.a, x.b);
			break;
		case STEP_LOG_LOST:
			s->left.log_losses--;
			memset(s->log.hints, 0, sizeof(s->log.hints));
			break;
		case STEP_LOG_FULL:
			s->left.log_full--;
			s->log.full = 1;
			break;
		case STEP_LOSE_C:
			s->left.losses--;
			next[0][NODE_C] = PLACE_NONE;
			publish(s, next);
			break;
		case STEP_DECLARE:
			next[0][0] = PLACE_COMPLETE;
			publish(s, next);
			break;
		case STEP_APPLY_ADMITTED:
			apply_admitted(s, x.a, x.b);
			break;
		default:
			return false;
	}
	return true;
}
