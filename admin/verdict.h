/*
 * verdict.h: what failure, return, start, completeness and replacement do to a topology. Pure functions.
 *
 * Each edits a topology that is being made; `epoch` is the one that it is going to be. Whoever calls has made sure
 * that the time for it has come: a verdict only after the leases of the node are over (rule *lease*).
 */
#ifndef DORIS_ADMIN_VERDICT_H
#define DORIS_ADMIN_VERDICT_H

#include "admin.h"

/* Nodes that are up in the topology, but do not answer the leader at the moment. */
typedef struct Silent
{
	const uint32_t *ids;
	int n;
} Silent;

typedef struct VerdictCount
{
	uint32_t incomplete; /* copies of the node that are incomplete now */
	uint32_t last; /* down, start: complete ones without another complete copy to go on with */
	uint32_t last_vnode; /* one of those */
} VerdictCount;

/* A start, and how it compares with what is known of the node (rule *start*). */
typedef struct StartFacts
{
	uint8_t home[DORIS_UUID_SIZE];
	uint64_t incarnation;
	char address[DORIS_ADDRESS_MAX];
	bool behind;	  /* it may lack something that it acknowledged, or its home is a new one */
	bool accept_loss; /* an operator said: what it has is all there is */
} StartFacts;

typedef enum StartResult
{
	START_KNOWN,	/* nothing to do: it stands already */
	START_ENTERED,	/* the incarnation is entered; its incomplete copies are recovered */
	START_HELD_BACK /* it is behind and has the last complete copy of a vnode: it stays down */
} StartResult;

/* The node in a topology being made; NULL: none. */
extern TopoNode *verdict_node(Topology *t, uint32_t node);
extern uint32_t verdict_incomplete(const Topology *t, uint32_t node);
extern uint32_t verdict_owned(const Topology *t, uint32_t node);

/* Is another copy of v than group g's complete, on a node that is up and answers? */
extern bool verdict_elsewhere(const Topology *t, uint32_t group, uint32_t vnode,
							  const Silent *silent);
/*
 * Complete copies on nodes that are down become incomplete where another complete copy is on a node that is up and
 * answers: from then on that one is enough (rule *last copy*). Returns how many.
 */
extern uint32_t verdict_excuse(Topology *t, uint64_t epoch, const Silent *silent);
/* The node is judged failed. */
extern void verdict_down(Topology *t, uint32_t node, uint64_t epoch, const Silent *silent,
						 VerdictCount *out);
/* The node answers again: it takes writes from this epoch on. */
extern void verdict_up(Topology *t, uint32_t node, uint64_t epoch, const Silent *silent,
					   VerdictCount *out);
/* A start of a node that the topology knows. *changed: the topology is another now. */
extern StartResult verdict_start(Topology *t, uint32_t node, const StartFacts *facts,
								 uint64_t epoch, bool *changed, VerdictCount *out);
/*
 * Rule *complete*: the copies that the node says are ready, and by the newest topology `now` still may be. Returns how
 * many. Nodes that are ready at the same time do not void each other; verdict_excuse comes after all of them. dropped: a
 * group that is on its way out: its copies stay incomplete; 0: none.
 */
extern uint32_t verdict_ready(Topology *t, const Topology *now, uint32_t node, uint64_t incarnation,
							  const ReadyCopy *ready, uint32_t n, uint64_t epoch, uint32_t dropped);
/*
 * The node is up, and the peers that its incomplete copies wait for are lost: an operator declares these complete.
 * Returns how many.
 */
extern uint32_t verdict_declare(Topology *t, uint32_t node, uint64_t epoch);
/* "There is no node" of that name in the topology; says what to do. */
extern DORIS_MUST_CHECK DorisStatus verdict_no_node(const char *name, DorisError *err);
/* May the node go for good? Not while it has anything to do with a copy, nor a log node that may keep hints: CONFLICT. */
extern DORIS_MUST_CHECK DorisStatus verdict_may_remove(const Topology *t, const TopoNode *node,
													   DorisError *err);
/* Can `by` take the place of the node? NOT_FOUND or CONFLICT, saying why not. */
extern DORIS_MUST_CHECK DorisStatus verdict_may_follow(const Topology *t, const char *node,
													   const char *by, DorisError *err);
/* May it at once, though the node's copies are then incomplete (rule *last copy*)? */
extern DORIS_MUST_CHECK DorisStatus verdict_may_replace(const Topology *t, const char *node,
														const char *by, DorisError *err);
/* `by` owns what the node, which is down, owned; incomplete. Returns how many copies. */
extern uint32_t verdict_replace(Topology *t, uint32_t node, uint32_t by, uint64_t epoch);
/* A spare to take a node's place; 0: none. taken: nodes that are meant for another already. */
extern uint32_t verdict_spare(const Topology *t, const Silent *silent, const uint32_t *taken,
							  int ntaken);

#endif
