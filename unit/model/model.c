/*
 * model.c: all steps that are possible in a state, and doing one.
 */
#include <string.h>

#include "model.h"

Reply last_reply;

bool txn_in_vnode(int t, int v)
{
	unsigned rows = scene->txn[t].rows;

	return v == 1 ? HAS(rows, 1) : (rows & (BIT(0) | BIT(DECISION_ROW))) != 0;
}

Mask txns_on(int row)
{
	Mask m = 0;
	int t;

	for (t = 1; t <= MAX_TXN; t++)
		if (HAS(scene->txn[t].rows, row))
			m |= (Mask) BIT(t);
	return m;
}

bool is_decided(const State *s, int t)
{
	int u;

	for (u = 1; u <= MAX_TXN; u++)
		if (txn_is_commit_row(u) && scene->txn[u].of == t && HAS(s->truth.committed, u))
			return true;
	return false;
}

void state_init(State *s)
{
	int v;

	memset(s, 0, sizeof(*s));
	memcpy(s->place[0], scene->place, sizeof(scene->place));
	for (v = 0; v < NVNODES; v++)
		targets_set(s, 0, v);
	s->left = scene->budget;
}

void add_step(StepList *l, StepKind kind, int a, int b, int c)
{
	if (l->n < (int) (sizeof(l->step) / sizeof(l->step[0])))
		l->step[l->n++] = (Step){(uint8_t) kind, (uint8_t) a, (uint8_t) b, (uint8_t) c};
}

void model_steps(const State *s, StepList *l, bool calm)
{
	l->n = 0;
	client_steps(s, l, calm);
	finish_steps(s, l);
	if (!calm)
		reader_steps(s, l);
	closer_steps(s, l, calm);
	recovery_steps(s, l);
	admin_steps(s, l, calm);
	purge_steps(s, l);
	fault_steps(s, l, calm);
}

void model_do(State *s, Step x)
{
	last_reply = REPLY_NONE;
	(void) (client_do(s, x) || finish_do(s, x) || reader_do(s, x) || closer_do(s, x) ||
			recovery_do(s, x) || admin_do(s, x) || purge_do(s, x) || fault_do(s, x));
	check_state(s);
}
