/*
 * admin.c: the leader's verdicts and plans, changes of the leader, and how epochs reach nodes.
 *
 * Rules last copy, retire, start, publish, lease (the leader's side: "failed" takes effect only after the lease).
 *
 * A move of vnode 0 in group 1: E1, the other of A and B is incoming; its recovery (recovery.c); it says that it is ready; E2, it is
 * the owner and the old one retires; E3, that is out. A replacement is the same with an owner that is down and stays so.
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

/* Is there no other complete copy of v than n's, on a node that serves? */
bool is_last_copy(const State *s, int v, int n)
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

	if (is_down(s, n))
		return false;
	for (v = 0; v < NVNODES; v++)
	{
		Place p = place_now(s, v, n);

		if (p == PLACE_RECOVERING || p == PLACE_INCOMING || p == PLACE_RETIRING)
			return true;
		if (p == PLACE_COMPLETE && (!is_last_copy(s, v, n) || !rule(RULE_LAST_COPY)))
			return true;
	}
	return false;
}

/* The node, of A and B, that vnode 0 of group 1 is coming to; -1: none. */
static int comes_to(const State *s)
{
	int n;

	for (n = NODE_A; n <= NODE_B; n++)
		if (place_now(s, 0, n) == PLACE_INCOMING)
			return n;
	return -1;
}

static int other_of_group(int n)
{
	return n == NODE_A ? NODE_B : NODE_A;
}

/* One that is being replaced for good stays out. */
static bool may_come_up(const State *s, int n)
{
	return is_down(s, n) && !(s->replacing && n != NODE_C && comes_to(s) == other_of_group(n));
}

/*
 * A new file is made there: the node has acknowledged that it is no target of v, so it has dropped an older one. The owner
 * may be in any state: the new copy is made from any complete one.
 */
static bool may_come_to(const State *s, int n)
{
	Place owner = place_now(s, 0, other_of_group(n));

	if (is_down(s, n) || s->node[n].cold || place_now(s, 0, n) != PLACE_NONE)
		return false;
	if (place_known(s, 0, n) != PLACE_NONE && rule(RULE_FRESH_TARGET))
		return false;
	return owner == PLACE_COMPLETE || owner == PLACE_FAILED || owner == PLACE_RECOVERING;
}

/*
 * May n's copy be published as complete? The report is of the present start: node and leader have just spoken. That
 * the node loses its disk between that and the epoch is, for the data, losing it right after.
 */
static bool is_ready(const State *s, int v, int n)
{
	const Report *r = &s->report[v][n];
	Place p = place_now(s, v, n);

	if (!r->valid || (p != PLACE_RECOVERING && p != PLACE_INCOMING))
		return false;
	if (r->changed != s->changed[s->newest][v] && rule(RULE_FLIP_CHANGED) && rule(RULE_VOID_PASS))
		return false;
	return !rule(RULE_FLIP_START) || (r->incarnation == s->node[n].incarnation && !s->node[n].cold);
}

/* Without the rule last copy: nothing complete is left, so what answers is called complete. */
static bool is_made_up(const State *s, int v, int n)
{
	return !rule(RULE_LAST_COPY) && complete_copies(s, v) == 0 &&
		   place_now(s, v, n) == PLACE_RECOVERING;
}

/* Rule retire: the old owner is out when it has acknowledged that it is none, by its present start. */
static bool may_remove(const State *s, int v, int n)
{
	return place_now(s, v, n) == PLACE_RETIRING &&
		   (!rule(RULE_RETIRE_ACK) ||
			(s->node[n].epoch >= s->changed[s->newest][v] && !s->node[n].cold));
}

/* ---- which steps are possible ---- */

/* Verdicts and plans that may begin at any time. */
static void plan_begins(const State *s, StepList *l)
{
	int n;

	if (s->newest + ROOM_FOR_EPOCHS < MAX_EPOCHS)
	{
		for (n = 0; n < NDATA; n++)
			if (s->left.fails[n] > 0 && can_fail(s, n))
				add_step(l, STEP_FAIL, n, 0, 0);
		for (n = NODE_A; n <= NODE_B; n++)
			if (s->left.moves > 0 && may_come_to(s, n))
				add_step(l, STEP_MOVE, n, 0, 0);
		if (s->left.replaces > 0 && place_now(s, 0, NODE_A) == PLACE_FAILED &&
			may_come_to(s, NODE_B))
			add_step(l, STEP_REPLACE, 0, 0, 0);
		if (s->left.cancels > 0 && comes_to(s) >= 0)
			add_step(l, STEP_CANCEL, 0, 0, 0);
		if (s->left.leader_changes > 0 && s->newest > 0)
			add_step(l, STEP_LEADER_DIES, 0, 0, 0);
	}
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
		if (may_come_up(s, n))
			add_step(l, STEP_UP, n, 0, 0);
		if (s->node[n].cold)
			add_step(l, STEP_MATCH, n, 0, 0);
	}
	for (v = 0; v < NVNODES; v++)
	{
		for (n = 0; n < NDATA; n++)
		{
			if (is_ready(s, v, n) || is_made_up(s, v, n))
				add_step(l, STEP_COMPLETE, v, n, 0);
			if (may_remove(s, v, n))
				add_step(l, STEP_REMOVE, v, n, 0);
		}
	}
	if (s->left.losses == 0 && scene->budget.losses > 0 && may_declare(s))
		add_step(l, STEP_DECLARE, 0, 0, 0);
}

void admin_steps(const State *s, StepList *l, bool calm)
{
	int n;

	for (n = 0; n <= NODE_L; n++)
	{
		if (s->leader.changing && !HAS(s->leader.asked, n) && !(n < NDATA && s->node[n].cold))
			add_step(l, STEP_LEADER_ASKS, n, 0, 0);
		if (!s->leader.changing && node_epoch(s, n) < s->newest && !(n < NDATA && s->node[n].cold))
			add_step(l, STEP_LEARN, n, 0, 0);
	}
	if (s->leader.changing)
	{
		if (s->leader.asked == BIT(NODE_L + 1) - 1 || !rule(RULE_LEADER_ASKS))
			add_step(l, STEP_LEADER_GOES_ON, 0, 0, 0);
		return;
	}
	plan_steps(s, l);
	if (!calm)
		plan_begins(s, l);
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
		else if (p == PLACE_INCOMING || p == PLACE_RETIRING)
			next[v][n] =
				PLACE_NONE; /* the destination: the move is cancelled; the old owner: out */
	}
	s->left.fails[n]--;
	publish(s, next);
	s->down[s->newest] |= (uint8_t) BIT(n);
}

static void complete(State *s, int v, int n, Places next)
{
	if (place_now(s, v, n) == PLACE_INCOMING)
	{
		int old = other_of_group(n);

		/* rule retire: the old owner stays a write target without reads for one epoch more */
		next[v][old] = !is_down(s, old) && rule(RULE_RETIRE) ? PLACE_RETIRING : PLACE_NONE;
	}
	next[v][n] = PLACE_COMPLETE;
	memset(&s->recovery[v][n], 0, sizeof(s->recovery[v][n]));
	memset(&s->report[v][n], 0, sizeof(s->report[v][n]));
	publish(s, next);
}

/* The leader compares what the node has with what it should have; what is behind is incomplete from here on. */
static void match(State *s, int n, Places next)
{
	Node *node = &s->node[n];
	unsigned force = 0;
	int v;

	for (v = 0; v < NVNODES; v++)
	{
		Place p = place_now(s, v, n);

		if (node->behind && p == PLACE_COMPLETE && !is_last_copy(s, v, n))
			next[v][n] = PLACE_RECOVERING;
		else if ((p == PLACE_RECOVERING || p == PLACE_INCOMING) && rule(RULE_MOVE_START))
			force |= BIT(v);
		/* the destination of a move lost something: there is nothing to go on from */
		if (node->behind && p == PLACE_INCOMING && rule(RULE_MOVE_START))
			next[v][n] = PLACE_NONE;
	}
	if (node->behind || force != 0)
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
		s->down[s->newest] = s->down[lost - 1];
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
			s->down[s->newest] &= (uint8_t) ~BIT(x.a);
			break;
		case STEP_MOVE:
			s->left.moves--;
			s->replacing = 0;
			next[0][x.a] = PLACE_INCOMING;
			publish(s, next);
			break;
		case STEP_REPLACE:
			s->left.replaces--;
			s->replacing = 1;
			next[0][NODE_B] = PLACE_INCOMING;
			publish(s, next);
			break;
		case STEP_CANCEL:
			s->left.cancels--;
			next[0][comes_to(s)] = PLACE_NONE;
			publish(s, next);
			break;
		case STEP_COMPLETE:
			complete(s, x.a, x.b, next);
			break;
		case STEP_REMOVE:
			next[x.a][x.b] = PLACE_NONE;
			publish(s, next);
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
		case STEP_LOSE_C:
			s->left.losses--;
			next[0][NODE_C] = PLACE_NONE;
			publish(s, next);
			break;
		case STEP_DECLARE:
			next[0][0] = PLACE_COMPLETE;
			publish(s, next);
			break;
		default:
			return false;
	}
	return true;
}
