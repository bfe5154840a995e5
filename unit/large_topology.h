/*
 * large_topology.h: the largest topology that the project promises figures for: 2 groups of 300 nodes, V = 65536, laid out
 * by admin/balance.c. For a test and for bench/topology.
 */
#ifndef DORIS_LARGE_TOPOLOGY_H
#define DORIS_LARGE_TOPOLOGY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "balance.h"
#include "topology.h"

#define LARGE_GROUPS 2
#define LARGE_NODES 300 /* in each group */
#define LARGE_VNODES DORIS_MAX_VNODES

static inline bool large_name_nodes(Topology *t)
{
	t->nodes = calloc((size_t) LARGE_GROUPS * LARGE_NODES, sizeof(TopoNode));
	if (t->nodes == NULL)
		return false;
	t->nnodes = LARGE_GROUPS * LARGE_NODES;
	for (uint32_t i = 0; i < t->nnodes; i++)
	{
		TopoNode *node = &t->nodes[i];

		node->id = i + 1;
		node->role = NODE_DATA;
		node->condition = NODE_UP;
		node->group = (uint8_t) (1 + i / LARGE_NODES);
		node->incarnation = 1700000000000u + i;
		memset(node->home, (int) (i % 251) + 1, sizeof(node->home));
		snprintf(node->name, sizeof(node->name), "g%un%u", node->group, 1 + i % LARGE_NODES);
		snprintf(node->address, sizeof(node->address), "tcp://10.20.%u.%u:%u", node->group, i % 250,
				 7000 + i);
	}
	return true;
}

/*
 * Not sealed. moving: every copy has its incoming and retiring node and an epoch of its own, which is as long as its
 * encoding gets. NULL: *err says why.
 */
static inline Topology *large_topology(bool moving, DorisError *err)
{
	static const uint32_t nobody[LARGE_VNODES];
	Topology *t = topology_new(LARGE_VNODES, LARGE_GROUPS);

	if (t == NULL || !large_name_nodes(t))
	{
		(void) doris_error(err, DORIS_NO_MEMORY, "out of memory for %u vnodes", LARGE_VNODES);
		topology_unref(t);
		return NULL;
	}
	memset(t->cluster, 0xC1, sizeof(t->cluster));
	t->epoch = 1000000;
	for (uint32_t g = 1; g <= LARGE_GROUPS; g++)
	{
		BalanceMap map = {nobody, LARGE_VNODES, LARGE_GROUPS, g};
		BalanceNode nodes[LARGE_NODES];
		BalanceMove *moves;
		uint32_t nmoves;

		for (uint32_t i = 0; i < LARGE_NODES; i++)
			nodes[i] = (BalanceNode){1 + (g - 1) * LARGE_NODES + i, 1};
		if (balance_moves(&map, nodes, LARGE_NODES, &moves, &nmoves, err) != DORIS_OK)
		{
			topology_unref(t);
			return NULL;
		}
		for (uint32_t i = 0; i < nmoves; i++)
		{
			TopoCopy *copy = topology_copy(t, g, moves[i].vnode);

			copy->owner = moves[i].to;
			copy->complete = true;
			copy->changed = moving ? t->epoch - moves[i].vnode : 1;
			copy->incoming = moving ? (g - 1) * LARGE_NODES + 1 + moves[i].to % LARGE_NODES : 0;
			copy->retiring =
				moving ? (g - 1) * LARGE_NODES + 1 + (moves[i].to + 1) % LARGE_NODES : 0;
		}
		free(moves);
	}
	return t;
}

#endif
