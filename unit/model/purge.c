/*
 * purge.c: tombstones go when nothing can bring their rows back (rule purge).
 */
#include "model.h"

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

void purge_steps(const State *s, StepList *l)
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

bool purge_do(State *s, Step x)
{
	switch (x.kind)
	{
		case STEP_PURGE_APPROVE:
			s->left.purges--;
			s->purge[x.a] = x.b;
			break;
		case STEP_PURGE:
			purge(s, x.a, x.b);
			break;
		default:
			return false;
	}
	return true;
}
