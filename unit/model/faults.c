/*
 * faults.c: what happens to nodes: restarts with and without loss, memory that expires, a log node's troubles.
 *
 * A crash that loses nothing needs no step: everything that was answered is on disk, and messages get lost anyway.
 */
#include <string.h>

#include "model.h"

/*
 * Would losing n's disk now be losing the last copy's? A copy that has said that it is ready may be published at any moment, and
 * the one it takes the place of goes: then only another group's counts.
 */
static bool counts_as_last(const State *s, int n)
{
	return place_now(s, 0, n) == PLACE_INCOMING && s->report[0][n].valid &&
		   s->report[0][n].changed == s->changed[s->newest][0] &&
		   (place_now(s, 0, NODE_C) != PLACE_COMPLETE || s->node[NODE_C].cold);
}

void fault_steps(const State *s, StepList *l, bool calm)
{
	int n;
	int t;

	for (n = 0; n < NDATA; n++)
		for (t = 1; t <= MAX_TXN; t++)
			if (HAS(s->node[n].admitted, t))
				add_step(l, STEP_APPLY_ADMITTED, n, t, 0);
	if (calm)
		return;
	for (n = 0; n < NDATA; n++)
	{
		const Node *node = &s->node[n];
		bool may_restart = s->left.restarts[n] > 0 && !s->leader.changing &&
						   s->newest + ROOM_FOR_EPOCHS < MAX_EPOCHS && !node->cold &&
						   !is_last_copy(s, 0, n);

		for (t = 0; may_restart && t <= 2 + (s->backup_of == n + 1); t++)
			if (t == 0 || !counts_as_last(s, n))

				add_step(l, STEP_RESTART, n, t, 0);
		for (t = 1; t <= MAX_TXN && s->left.expiries > 0; t++)
			if (HAS(node->remembered | node->refused[0] | node->refused[1], t) &&
				s->closer.txn != t)
				add_step(l, STEP_EXPIRE, n, t, 0);
	}
	for (n = 0; n < NDATA; n++)
		if (s->left.restarts[n] > 0 && s->backup_of == 0)
			add_step(l, STEP_BACKUP, n, 0, 0);
	if (s->left.log_losses > 0)
		add_step(l, STEP_LOG_LOST, 0, 0, 0);
	if (s->left.log_full > 0)
		add_step(l, STEP_LOG_FULL, 0, 0, 0);
}

/* Comes back: with everything; having lost its last epoch; with an empty disk; with one from a backup. */
static void restart(State *s, int n, int lost)
{
	Node *node = &s->node[n];
	State fresh;
	int v;

	s->left.restarts[n]--;
	node->judging = 0;
	node->incarnation++;
	if (lost == 1 && node->epoch > 0)
	{
		node->epoch--;
		node->behind = 1;
	}
	if (lost >= 2)
	{
		uint8_t term = node->term;
		uint8_t incarnation = node->incarnation;

		state_init(&fresh);
		memcpy(node, lost == 2 ? &fresh.node[n] : &s->backup, sizeof(*node));
		node->term = term;
		node->incarnation = incarnation;
		node->behind = 1;
	}
	for (v = 0; v < NVNODES; v++)
	{
		memset(&s->fetch[n][v], 0, sizeof(s->fetch[n][v]));
		memset(&s->recovery[v][n], 0, sizeof(s->recovery[v][n]));
	}
	/* rule start: answers nothing until the leader has matched it */
	node->cold = rule(RULE_START) ? 1 : 0;
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

bool fault_do(State *s, Step x)
{
	switch (x.kind)
	{
		case STEP_BACKUP:
			s->backup = s->node[x.a];
			s->backup_of = (uint8_t) (x.a + 1);
			break;
		case STEP_RESTART:
			restart(s, x.a, x.b);
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
		case STEP_APPLY_ADMITTED:
			apply_admitted(s, x.a, x.b);
			break;
		default:
			return false;
	}
	return true;
}
