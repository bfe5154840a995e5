/*
 * balance.h: which vnodes of a group go where, so that every node has its weighted share and as few as possible move.
 *
 * Pure functions over plain arrays: same input, same output; nothing is kept. docs/decisions/0010-placement.md says why the
 * number of moves is the minimum.
 */
#ifndef DORIS_BALANCE_H
#define DORIS_BALANCE_H

#include <stdint.h>

#include "status.h"

/* One group as it is. */
typedef struct BalanceMap
{
	const uint32_t *owner; /* [vnodes]: node ids; 0 or a node that is not listed: must get one */
	uint32_t vnodes;	   /* V, 1..DORIS_MAX_VNODES */
	uint32_t groups;	   /* G of the cluster: the lead copy of v is that of group v mod G */
	uint32_t group;		   /* this one, 1..G */
} BalanceMap;

typedef struct BalanceNode
{
	uint32_t id;	 /* not 0; in any order, each once */
	uint32_t weight; /* its share is V × weight / sum of weights; 0: it is to be emptied */
} BalanceNode;

typedef struct BalanceMove
{
	uint32_t vnode;
	uint32_t from; /* the owner as the map has it: may be 0 */
	uint32_t to;
} BalanceMove;

/* What one node has and is to have. */
typedef struct BalanceShare
{
	uint32_t has;  /* vnodes */
	uint32_t want; /* vnodes: floor or ceiling of V × weight / sum of weights */
} BalanceShare;

/*
 * The shares of nodes[0..n-1], in their order. Which nodes get the ceiling is chosen so that the fewest vnodes move.
 * BAD_ARGUMENT: no node has a weight, a node is listed twice, or the map is impossible.
 */
extern DORIS_MUST_CHECK DorisStatus balance_shares(const BalanceMap *map, const BalanceNode *nodes,
												   uint32_t n, BalanceShare *shares,
												   DorisError *err);
/*
 * The moves to these shares, by vnode: none between nodes that keep their number. The vnodes that move are spread over the
 * whole range and, from each source, over all destinations; and chosen so that each node's part of the lead copies
 * is as even as it can be with so few moves. *moves is the caller's to free; NULL when there are none.
 */
extern DORIS_MUST_CHECK DorisStatus balance_moves(const BalanceMap *map, const BalanceNode *nodes,
												  uint32_t n, BalanceMove **moves, uint32_t *nmoves,
												  DorisError *err);
/* How few moves any map with such shares takes, by the closed formula: for plans to show beside their own number. */
extern DORIS_MUST_CHECK DorisStatus balance_minimum(const BalanceMap *map, const BalanceNode *nodes,
													uint32_t n, uint32_t *minimum, DorisError *err);
/* Every vnode of one node to another, by vnode. *moves as above. */
extern DORIS_MUST_CHECK DorisStatus balance_replace(const BalanceMap *map, uint32_t old,
													uint32_t by, BalanceMove **moves,
													uint32_t *nmoves, DorisError *err);

#endif
