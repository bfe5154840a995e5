/*
 * admin.c: the leader's verdicts and plans, changes of the leader, and how epochs reach nodes.
 *
 * Rules last copy, retire, start, publish, lease (the leader's side: "failed" takes effect only after the lease).
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

/* Verdicts and plans that may begin at any time. */
static void plan_begins(const State *s, StepList *l)
{
	int n;

	if (s->newest + ROOM_FOR_EPOCHS < MAX_EPOCHS)
	{
		for (n = 0; n < NDATA; n++)
			if (s->left.fails[n] > 0 && can_fail(s, n))
				add_step(l, STEP_FAIL, n, 0, 0);
		if (s->left.moves > 0 && place_now(s, 0, 0) == PLACE_COMPLETE &&
			place_now(s, 0, 1) == PLACE_NONE)
			add_step(l, STEP_MOVE, 0, 0, 0);
		if (s->left.replaces > 0 && place_now(s, 0, 0) == PLACE_FAILED &&
			place_now(s, 0, 1) == PLACE_NONE)
			add_step(l, STEP_REPLACE, 0, 0, 0);
		if (s->left.cancels > 0 && place_now(s, 0, 1) == PLACE_INCOMING)
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
