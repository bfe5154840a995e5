/*
 * topology.c: what each node is for each vnode, epoch by epoch, and how nodes take a new epoch.
 *
 * Every topology that was ever made stays in the state: an old client may still go by it.
 */
#include <string.h>

#include "model.h"

bool place_is_incomplete(Place p)
{
	return p == PLACE_FAILED || p == PLACE_RECOVERING || p == PLACE_INCOMING;
}

void targets_set(State *s, int epoch, int v)
{
	Targets t = {0, 0, 0};
	int n;

	for (n = 0; n < NDATA; n++)
	{
		switch (place_at(s, epoch, v, n))
		{
			case PLACE_COMPLETE:
				t.judges |= BIT(n);
				break;
			case PLACE_RECOVERING:
				t.others |= BIT(n);
				break;
			case PLACE_INCOMING:
				if (rule(RULE_INCOMING_WRITES))
					t.others |= BIT(n);
				break;
			case PLACE_RETIRING:
				if (rule(RULE_RETIRE_WRITES))
					t.others |= BIT(n);
				break;
			case PLACE_FAILED:
				t.hints |= BIT(HINT_FOR(n));
				break;
			case PLACE_NONE:
				break;
		}
	}
	s->targets[epoch][v] = t;
}

uint8_t *epoch_of(State *s, int n)
{
	return n == NODE_L ? &s->log.epoch : &s->node[n].epoch;
}

int node_epoch(const State *s, int n)
{
	return n == NODE_L ? s->log.epoch : s->node[n].epoch;
}

/* I3: is a request of this epoch older than changed(v), as node n knows it? */
bool is_stale(const State *s, int n, int epoch, int v)
{
	return epoch < s->changed[node_epoch(s, n)][v];
}

/*
 * What taking an epoch does to a copy of vnode v. The node compares it with the one it had: of those between, which it never
 * saw, it knows only that v has changed.
 */
static void copy_changes(State *s, int n, int v, int epoch)
{
	Node *node = &s->node[n];
	Place p = place_at(s, epoch, v, n);

	if (s->changed[epoch][v] <= s->changed[node->epoch][v])
		return;
	/* rule refusals end: with completeness, and while incomplete with every change */
	if (p != PLACE_COMPLETE && rule(RULE_REFUSALS_LAPSE))
		node->refused[v] = 0;
	if (rule(RULE_VOID_PASS) || !place_is_incomplete(p))
		node->judging &= (uint8_t) ~BIT(v);
	if (p == PLACE_NONE)
	{
		int row;

		/* the file is deleted */
		for (row = 0; row < NROWS; row++)
			if (row_vnode(row) == v)
				node->value[row] = node->staged[row] = 0;
		node->refused[v] = 0;
		node->floor[v] = 0;
	}
}

/*
 * Rule publish: a node that has answered a new leader takes no topology made before that it does not have yet,
 * from whomever.
 */
bool node_learn(State *s, int n, int epoch)
{
	uint8_t *mine = epoch_of(s, n);
	uint8_t term = n == NODE_L ? s->log.term : s->node[n].term;
	int v;

	if (epoch <= *mine)
		return true;
	if ((epoch == s->leader.orphan || (s->leader.changing && epoch == s->newest)) && term > 0 &&
		rule(RULE_TERM))
		return false;
	for (v = 0; v < NVNODES && n != NODE_L; v++)
		copy_changes(s, n, v, epoch);
	*mine = (uint8_t) epoch;
	return true;
}

/* The leader's next topology. force: vnodes whose changed(v) moves on though the places stay. */
void topology_publish(State *s, uint8_t next[NVNODES][NDATA], unsigned force)
{
	int e = s->newest + 1;
	int v;

	for (v = 0; v < NVNODES; v++)
	{
		bool moved = memcmp(next[v], s->place[e - 1][v], NDATA) != 0 || HAS(force, v);

		memcpy(s->place[e][v], next[v], NDATA);
		targets_set(s, e, v);
		s->changed[e][v] = moved ? (uint8_t) e : s->changed[e - 1][v];
	}
	s->down[e] = s->down[e - 1];
	s->newest = (uint8_t) e;
}
