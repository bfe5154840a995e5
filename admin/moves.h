/*
 * moves.h: how a vnode moves from one node of a group to another, as edits of a topology. Pure functions.
 *
 * A move goes through four states, all of which can be told from the topology (I5): it waits; it fills, while the new node
 * is incoming and takes every write; it retires, when the new node owns the copy and the old one still takes writes
 * (rule *retire*); it is done. Filling ends in verdict_ready. `epoch` is the one that the topology is going to be.
 *
 * A group that is added begins with copies that nobody owns; they are filled by moves like any other, from the other groups. One
 * that is dropped is always the last.
 */
#ifndef DORIS_ADMIN_MOVES_H
#define DORIS_ADMIN_MOVES_H

#include "topology.h"

typedef struct Move
{
	uint32_t group;
	uint32_t vnode;
	uint32_t from; /* who owned it when the plan was made; 0: nobody, the group is a new one */
	uint32_t to;   /* 0: nobody, the group is dropped */
	uint64_t rows; /* about, when the plan was made */
	uint64_t bytes;
} Move;

typedef enum MoveState
{
	MOVE_WAITS,
	MOVE_FILLS, /* or is incomplete again */
	MOVE_RETIRES,
	MOVE_DONE
} MoveState;

/* What a node has acknowledged: the epoch that its present start said last; 0: nothing yet. */
typedef uint64_t (*MoveAckedFn)(void *arg, uint32_t node);

typedef enum MoveMay
{
	MOVE_MAY,
	MOVE_DOWN,	   /* the new node is down, or has not said anything yet */
	MOVE_BEHIND,   /* it may not know yet that it holds nothing of the vnode */
	MOVE_OCCUPIED, /* another move of the copy is not over */
	MOVE_UNHEALTHY /* a copy of the vnode is incomplete: first things first */
} MoveMay;

/* A group that is dropped: it waits while the copy is complete, and retires from then on. */
extern MoveState move_state(const Topology *t, const Move *m);
/*
 * May a move that waits begin? Rule *leftovers*: only once the new node's present start has acknowledged an epoch in which it
 * was no target of the vnode: then it has dropped whatever an earlier stay left there.
 */
extern MoveMay move_may_open(const Topology *t, const Move *m, MoveAckedFn acked, void *arg);
extern void move_open(Topology *t, const Move *m, uint64_t epoch);
/* Ends the filling without effect; the new node drops what it has. */
extern void move_close(Topology *t, const Move *m, uint64_t epoch);
/* Rule *retire*: lets go of old owners that have acknowledged that they are. Returns how many copies. */
extern uint32_t moves_release(Topology *t, uint64_t epoch, MoveAckedFn acked, void *arg);
/* Ends fillings that nobody wants: is wanted for (group, vnode, node) asked of each. Returns how many copies. */
typedef bool (*MoveWantedFn)(void *arg, uint32_t group, uint32_t vnode, uint32_t node);
extern uint32_t moves_drop_orphans(Topology *t, uint64_t epoch, MoveWantedFn wanted, void *arg);
/* One more group, whose copies nobody owns yet. False: no memory. */
extern bool moves_add_group(Topology *t, uint64_t epoch);
/*
 * The steps of dropping the last group: first none of its copies serves reads or judges any more, though all still take writes;
 * then, once its nodes have acknowledged that (rule *retire*), it goes.
 */
extern void moves_retire_group(Topology *t, uint64_t epoch);
extern bool moves_may_drop_group(const Topology *t, MoveAckedFn acked, void *arg);
extern bool moves_drop_group(Topology *t, uint64_t epoch); /* false: no memory */
/* Has the topology copies that are moving? */
extern bool moves_any(const Topology *t);

#endif
