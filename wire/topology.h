/*
 * topology.h: the cluster's map as one immutable, signed value.
 *
 * Made by the leading admin only, kept in the schema, handed on by anybody: the signature (Ed25519,
 * over everything before it) tells a forged one. Reference counted, because readers (workers,
 * a client's calls) hold the one they began with.
 */
#ifndef DORIS_TOPOLOGY_H
#define DORIS_TOPOLOGY_H

#include "nsdef.h"
#include "route.h"
#include "status.h"
#include "version.h"

#define DORIS_MAX_GROUPS 4
#define DORIS_MAX_NODES 4096
#define DORIS_MAX_NAMESPACES 65536
#define DORIS_HASH_SIZE 32
#define DORIS_UUID_SIZE 16
#define DORIS_ADDRESS_MAX 128
#define DORIS_SIGNATURE_SIZE 64

typedef enum NodeRole
{
	NODE_DATA = 1,
	NODE_LOG = 2,
	NODE_SPARE = 3
} NodeRole;

typedef enum NodeCondition
{
	NODE_UP = 1,
	NODE_DOWN = 2, /* judged failed: not asked first, not waited for */
	NODE_DEAD = 3  /* replaced or removed for good: refused when it comes back */
} NodeCondition;

typedef struct TopoNode
{
	uint32_t id; /* from 1; never used again */
	char name[DORIS_NAME_MAX];
	char address[DORIS_ADDRESS_MAX]; /* tcp://host:port */
	NodeRole role;
	NodeCondition condition;
	uint8_t group;				   /* 1..groups for data nodes, else 0 */
	uint8_t home[DORIS_UUID_SIZE]; /* the home it registered with; zero before that */
	uint64_t incarnation;		   /* of its latest start that an admin has seen */
} TopoNode;

/* What group g has of vnode v: DESIGN's copy. Node ids; 0: none. */
typedef struct TopoCopy
{
	uint32_t owner;
	uint32_t incoming;
	uint32_t retiring;
	bool complete;
	uint64_t changed; /* epoch of the last change of placement or completeness */
} TopoCopy;

typedef struct Topology
{
	int refs; /* atomic */
	uint8_t cluster[DORIS_UUID_SIZE];
	uint64_t epoch;
	uint64_t term;					   /* of the leader that made it */
	uint8_t previous[DORIS_HASH_SIZE]; /* hash of the predecessor; zero for the first */
	uint8_t hash[DORIS_HASH_SIZE]; /* of this one's encoding without the signature (BLAKE2b-256) */
	uint32_t vnodes;			   /* V */
	uint32_t groups;			   /* G */
	uint32_t nnodes;
	TopoNode *nodes;  /* in id order */
	TopoCopy *copies; /* groups × vnodes: copies[(g - 1) * vnodes + v] */
	uint32_t nnamespaces;
	NsDef *namespaces;			/* in name order; dropped ones are gone */
	uint32_t *namespaces_by_id; /* their indexes in id order; NULL until sealed or decoded */
	uint32_t next_namespace_id;
	bool sync_interval;	  /* cluster's sync: false = commit, true = interval */
	bool degraded_writes; /* without a log node: a write may go on with fewer copies */
	uint8_t *encoded;	  /* exactly what was signed, with the signature: to hand on */
	size_t encoded_len;
} Topology;

/* An empty one with refs 1 and copies allocated (all zero). NULL: no memory. */
extern Topology *topology_new(uint32_t vnodes, uint32_t groups);
/* A deep copy to make the next epoch from: refs 1, epoch and previous not yet advanced, no encoding. */
extern Topology *topology_clone(const Topology *t);
/* More groups, whose copies are all zero, or fewer: the last ones go. For a topology that is being made. False: no memory. */
extern bool topology_set_groups(Topology *t, uint32_t groups);
extern Topology *topology_ref(Topology *t);
extern void topology_unref(Topology *t); /* NULL is fine */

/*
 * Encodes, hashes and signs: fills hash, encoded. secret: 64-byte Ed25519 key, or NULL for a
 * cluster without keys (the signature is then zero).
 */
extern DORIS_MUST_CHECK DorisStatus topology_seal(Topology *t, const uint8_t *secret,
												  DorisError *err);
/*
 * Decodes and checks shape and, when public_key (32 bytes) is given, the signature. Trusts nothing.
 */
extern DORIS_MUST_CHECK DorisStatus topology_decode(const void *data, size_t len,
													const uint8_t *public_key, Topology **out,
													DorisError *err);

extern const TopoNode *topology_node(const Topology *t, uint32_t id); /* NULL: none */
extern const TopoNode *topology_node_by_name(const Topology *t, const char *name);
extern const NsDef *topology_namespace(const Topology *t, const char *name);
extern const NsDef *topology_namespace_by_id(const Topology *t, uint32_t id);
static inline TopoCopy *topology_copy(const Topology *t, uint32_t group, uint32_t vnode)
{
	return &t->copies[(size_t) (group - 1) * t->vnodes + vnode];
}
/* The epoch in which anything about v last changed, over all groups (I3). 0: there is no such vnode. */
extern uint64_t topology_changed(const Topology *t, uint32_t vnode);
/* Is the node owner, incoming or retiring of v in any group? */
extern bool topology_is_target(const Topology *t, uint32_t node, uint32_t vnode);
/* Does the node hold a complete copy of v as owner: may it serve reads and judge? */
extern bool topology_is_judge(const Topology *t, uint32_t node, uint32_t vnode);

#define DORIS_MAX_TARGETS (3 * DORIS_MAX_GROUPS)

/* Write targets of v: every node once. */
typedef struct TopoTarget
{
	const TopoNode *node;
	bool judge;	 /* owner of a complete copy */
	bool failed; /* down and no judge: a log node keeps what it misses (rule hints) */
} TopoTarget;
extern int topology_targets(const Topology *t, uint32_t vnode, TopoTarget out[DORIS_MAX_TARGETS]);
/*
 * Owners of complete copies of v in reading order: from group v mod G on (the lead copy first),
 * nodes that are down last. group > 0: that group's copy first, when complete.
 */
extern int topology_readers(const Topology *t, uint32_t vnode, uint32_t group,
							const TopoNode *out[DORIS_MAX_GROUPS]);

#endif
