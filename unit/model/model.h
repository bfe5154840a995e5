/*
 * model.h: a small model of the cluster, to be explored step by step.
 *
 * What is modelled: rows with their committed version and staged writes, what nodes remember and refuse, epochs, clients that
 * write, read and close, the admin's verdicts and a copy's way back to complete. What one process does under its own
 * locks is one step. Messages are not kept: one that was sent may be carried out at any later time, any
 * number of times, with its reply lost; that covers delay, retries and duplicates.
 *
 * Every rule of the protocol is a switch (rules.c). With all of them no property (check.c) may be broken by any schedule.
 *
 * Versions: a write's version is its transaction's id, 1 to 7; 0 is "never written". A state holds no pointers
 * and no padding that matters: it is copied, compared and hashed as bytes.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "rules.h"

#define MAX_TXN 7
#define NROWS 3 /* row 0 in vnode 0, row 1 in vnode 1, row 2: the decision row, in vnode 0 */
#define DECISION_ROW 2
#define NVNODES 2
#define NDATA 3 /* nodes A and B: group 1; C: group 2 */
#define NODE_A 0
#define NODE_B 1
#define NODE_C 2
#define NODE_L 3 /* the log node */
#define MAX_EPOCHS 16
#define ROOM_FOR_EPOCHS 8 /* what is needed to come to rest after one more fault */

typedef uint8_t Mask; /* of transaction ids */
typedef uint8_t
	Set; /* of write targets: bit n: node n; bit NDATA + n: the log node's hints for n */

#define BIT(i) (1u << (i))
#define HAS(m, i) (((m) >> (i) &1) != 0)
#define HINT_FOR(n) ((n) + NDATA)

/* What a node is for a vnode in one epoch. */
typedef enum Place
{
	PLACE_NONE,
	PLACE_COMPLETE, /* the owner; judges and serves */
	PLACE_FAILED,	/* the owner, down and incomplete: gets hints */
	PLACE_RECOVERING,
	PLACE_INCOMING,
	PLACE_RETIRING
} Place;

/* ---- scenarios (scenario.c) ---- */
typedef enum TxnKind
{
	TXN_NONE,
	TXN_WRITE,
	TXN_DELETE,
	TXN_PLAIN,	 /* a plain write */
	TXN_RESTAMP, /* the plain write `of`, sent again with a higher version */
	TXN_NAMED, /* over both vnodes, which its staged rows name: committed once all judges of both hold it */
	TXN_COMMIT_ROW,	 /* the decision row "commit" of transaction `of` */
	TXN_ABORT_ROW,	 /* the same row, saying "abort", written by who closes `of` */
	TXN_SPARE_ABORT, /* another such, used only to see that everything comes to rest */
	TXN_HELP_ROW,	 /* "commit" of a named one, written by who has found it committed */
	TXN_SPARE_HELP	 /* another such, used only to see that everything comes to rest */
} TxnKind;

typedef struct TxnDef
{
	TxnKind kind;
	uint8_t rows; /* mask */
	uint8_t base; /* version it read; 0: none there */
	uint8_t of;	  /* over two vnodes: its commit row; PLAIN: its restamp; others: see the kind */
} TxnDef;

typedef struct Budgets
{
	uint8_t fails[NDATA];	 /* verdicts "failed" on a node */
	uint8_t restarts[NDATA]; /* returns with an older disk or having lost its last epoch */
	uint8_t moves;			 /* of vnode 0's copy from A to B, or back */
	uint8_t replaces;		 /* of failed A by B for good */
	uint8_t cancels;		 /* of a move or replacement */
	uint8_t leader_changes;	 /* with the last topology rolled back */
	uint8_t purges;
	uint8_t expiries; /* a node's memory forgets a transaction */
	uint8_t log_losses;
	uint8_t log_full; /* the hint budget is used up at some time */
	uint8_t deaths;	  /* of clients */
	uint8_t losses;	  /* of C for good; then hints alone complete A (operator's declaration) */
} Budgets;

typedef struct Scenario
{
	const char *name;
	const char *about;
	TxnDef txn[MAX_TXN + 1];
	uint8_t place[NVNODES][NDATA];
	Budgets budget;
	bool reader;
	bool closer;	 /* others close transactions; without it no client gives up either */
	bool duplicates; /* messages come late and again */
	int length;		 /* of a random walk */
	bool exhaust;	 /* breadth first ends */
} Scenario;
extern const Scenario scenarios[];
extern const int nscenarios;
extern const Scenario *scene; /* the one being explored */
extern int scenario_find(const char *name);

static inline int row_vnode(int row)
{
	return row == 1 ? 1 : 0;
}

static inline bool txn_is_plain(int t)
{
	return scene->txn[t].kind == TXN_PLAIN || scene->txn[t].kind == TXN_RESTAMP;
}

static inline bool txn_is_multi(int t) /* over two vnodes: decided by its decision row */
{
	return (scene->txn[t].kind == TXN_WRITE || scene->txn[t].kind == TXN_DELETE ||
			scene->txn[t].kind == TXN_NAMED) &&
		   scene->txn[t].of != 0;
}

static inline bool txn_is_named(int t)
{
	return scene->txn[t].kind == TXN_NAMED;
}

static inline bool txn_is_commit_row(int t)
{
	TxnKind k = scene->txn[t].kind;

	return k == TXN_COMMIT_ROW || k == TXN_HELP_ROW || k == TXN_SPARE_HELP;
}

/* Used only to come to rest: tries on with fresh ids. */
static inline bool txn_is_spare(int t)
{
	return scene->txn[t].kind == TXN_SPARE_ABORT || scene->txn[t].kind == TXN_SPARE_HELP;
}

static inline bool txn_is_delete(int t)
{
	return scene->txn[t].kind == TXN_DELETE;
}

extern bool txn_in_vnode(int t, int v);
extern Mask txns_on(int row);

/* ---- the state ---- */
typedef struct Targets
{
	Set judges;
	Set others; /* up, not judging: recovering, incoming, retiring */
	Set hints;
} Targets;

typedef struct Node
{
	uint8_t epoch;
	uint8_t value[NROWS]; /* committed version of the row */
	Mask staged[NROWS];
	Mask remembered; /* known as committed */
	Mask refused[NVNODES];
	Mask forgotten; /* before the memory's horizon */
	Mask admitted;	/* its STAGE passed the epoch check, is not applied yet (one-section off) */
	uint8_t admitted_in[MAX_TXN + 1]; /* under which epoch */
	uint8_t judging;				  /* mask of vnodes: incomplete, but judges already */
	uint8_t floor[NVNODES];			  /* purged up to this version */
	uint8_t cold;					  /* started, not matched by the leader yet */
	uint8_t behind;					  /* lost something at its last start */
	uint8_t term;					  /* has answered a leader of this term */
	uint8_t incarnation;			  /* which start this is */
} Node;

typedef struct LogNode
{
	uint8_t epoch;
	uint8_t term;
	uint8_t full;
	Mask hints[NDATA][NVNODES]; /* for whom, of which vnode */
} LogNode;

typedef enum Phase
{
	PHASE_IDLE,
	PHASE_COLLECT, /* asks all targets to hold it */
	PHASE_DECIDE,  /* over two vnodes: everything is held, the commit row is being written */
	PHASE_CLOSE,   /* closes itself */
	PHASE_ACKED,
	PHASE_NOT_DONE,
	PHASE_GONE /* died, or told "outcome unknown" */
} Phase;

typedef struct Client /* of one transaction */
{
	uint16_t sent;			  /* epochs under which STAGE (or the plain write) was sent */
	uint16_t aborts[NVNODES]; /* epochs under which FINISH(abort) was sent for this vnode */
	uint8_t phase;
	uint8_t epoch;
	Set held[NVNODES];
	uint8_t closing; /* CLOSE: which vnode */
	uint8_t sure;	 /* CLOSE, named: vnodes found held by all */
	Set dropped;
	Set to[NVNODES]; /* targets it ever sent anything to */
	Mask floor;		 /* plain: what was acknowledged when it began */
} Client;

typedef enum ReadPhase
{
	READ_IDLE,
	READ_ASK,
	READ_CONFIRM,  /* the answer came without a lease */
	READ_MET,	   /* a staged write: asking the other copies */
	READ_DECISION, /* a staged write of two vnodes: asking for the decision row */
	READ_NAMED	   /* there is none: asking the judges of each vnode that it names */
} ReadPhase;

typedef struct Reader
{
	uint8_t phase;
	uint8_t row;
	uint8_t epoch;
	uint8_t met;	 /* transaction whose outcome is asked for */
	uint8_t first;	 /* the one it met on the row; with two vnodes `met` becomes its commit row */
	uint8_t value;	 /* best committed version seen */
	uint8_t vnode;	 /* NAMED: being asked */
	uint8_t missing; /* NAMED: one of its judges does not hold it */
	Set marked;		 /* the first copy, when its answer came without a lease */
	Set held;
	Mask floor; /* acknowledged or read before it began */
} Reader;

typedef struct Closer /* a settler, or a writer in whose way a staged write is */
{
	uint8_t txn;
	uint8_t vnode;
	uint8_t epoch;
	Set held;
	Set dropped;
} Closer;

typedef enum RecoveryStep
{
	RECOVERY_NONE,
	RECOVERY_PASS, /* before reading row `row` */
	RECOVERY_PAGE, /* row read from the source, not merged yet */
	RECOVERY_MEMORY,
	RECOVERY_JUDGE,
	RECOVERY_LIST,	 /* before reading the source's staged writes */
	RECOVERY_LISTED, /* read, not taken yet */
	RECOVERY_SETTLE, /* asks for each of todo */
	RECOVERY_ANSWER, /* the source's answer for `txn` is on its way */
	RECOVERY_READY
} RecoveryStep;

typedef struct Recovery /* of one copy */
{
	uint8_t step;
	uint8_t source;
	uint8_t epoch; /* changed(v) that opened it */
	uint8_t row;
	uint8_t value; /* page */
	Mask staged;   /* page or list */
	uint8_t floor; /* page */
	Mask todo;
	uint8_t txn;
	uint8_t answer;
} Recovery;

typedef struct Report /* "my copy of v is ready", on its way to the leader or known there */
{
	uint8_t valid;
	uint8_t changed;	 /* changed(v) under which the copy was made complete */
	uint8_t incarnation; /* of the node that says so */
} Report;

typedef struct Fetch /* of the source's staged writes, by an up copy that does not judge */
{
	uint8_t active;
	uint8_t source;
	uint8_t epoch;
	Mask staged[NROWS];
} Fetch;

typedef struct Leader /* a change of leader that found the last topology rolled back */
{
	uint8_t changing;
	uint8_t asked;	/* nodes, mask */
	uint8_t found;	/* one knows the newest topology */
	uint8_t orphan; /* the epoch that was given up; 0: none */
} Leader;

typedef struct Truth /* what has been told and done: nobody in the cluster sees it */
{
	Mask committed; /* somebody acted on it as committed */
	Mask acked;
	Mask not_done; /* told to the user */
	Mask aborted;  /* over two vnodes: its abort row is committed */
	Mask read;	   /* values readers returned */
	uint8_t
		finish_acks[MAX_TXN + 1]; /* over two vnodes: nodes whose "stale" was taken for an answer */
	uint8_t decision_dropped;
	uint8_t named_held; /* of the named one: vnodes that a closer has found held by all */
	uint8_t named_out;	/* ... a vnode that has refused it for good is known */
} Truth;

typedef struct State
{
	Client client[MAX_TXN + 1];
	uint8_t newest; /* epoch */
	uint8_t place[MAX_EPOCHS][NVNODES][NDATA];
	uint8_t changed[MAX_EPOCHS][NVNODES];
	Targets targets[MAX_EPOCHS][NVNODES]; /* follows from place */
	uint8_t down[MAX_EPOCHS];			  /* nodes, mask: judged down */
	uint8_t replacing; /* what comes to B (or A) is to replace the owner for good */
	Node node[NDATA];
	Node backup;	   /* of one node's disk */
	uint8_t backup_of; /* node + 1; 0: there is none */
	LogNode log;
	Reader reader;
	Closer closer;
	Recovery recovery[NVNODES][NDATA]; /* by the copy that is made complete */
	Report report[NVNODES][NDATA];
	Fetch fetch[NDATA][NVNODES];
	Leader leader;
	uint8_t purge[NVNODES]; /* h(v) the leader has approved */
	Budgets left;
	Truth truth;
} State;

extern void state_init(State *s);
extern bool is_decided(const State *s, int t); /* a commit row of t is committed */

/* ---- places and epochs (topology.c) ---- */
static inline Place place_at(const State *s, int epoch, int v, int n)
{
	return (Place) s->place[epoch][v][n];
}

static inline Place place_now(const State *s, int v, int n) /* in the newest epoch */
{
	return place_at(s, s->newest, v, n);
}

static inline Place place_known(const State *s, int v, int n) /* as node n knows it */
{
	return place_at(s, s->node[n].epoch, v, n);
}

extern bool place_is_incomplete(Place p);
static inline Targets targets_of(const State *s, int epoch, int v)
{
	return s->targets[epoch][v];
}
extern void targets_set(State *s, int epoch, int v); /* after a change of place */
extern bool is_last_copy(const State *s, int v, int n);
extern bool is_stale(const State *s, int n, int epoch, int v);
extern uint8_t *epoch_of(State *s, int n);
extern int node_epoch(const State *s, int n);
extern bool node_learn(State *s, int n, int epoch); /* false: refuses it */
extern void topology_publish(State *s, uint8_t next[NVNODES][NDATA], unsigned force);
static inline bool is_down(const State *s, int n) /* in the newest epoch */
{
	return HAS(s->down[s->newest], n);
}

/* ---- what nodes do (node.c) ---- */
typedef enum Reply
{
	REPLY_NONE, /* does not answer */
	REPLY_STALE,
	REPLY_HELD,
	REPLY_COMMITTED,
	REPLY_REFUSED,
	REPLY_CONFLICT,
	REPLY_HIGHER, /* a plain write met a higher version */
	REPLY_NOT_HELD,
	REPLY_HORIZON,
	REPLY_FULL
} Reply;
extern const char *reply_text(Reply r);
extern Reply node_admit(State *s, int n, int epoch, int v);
extern Reply node_stage(State *s, int n, int t, int v, int epoch);
extern Reply node_stage_admitted(State *s, int n, int t, int v);
extern Reply node_plain(State *s, int n, int t, int v, int epoch);
extern Reply node_outcome(State *s, int n, int t, int v, int epoch, bool refuse);
extern Reply node_drop(State *s, int n, int t, int v, int epoch);
extern Reply node_finish(State *s, int n, int t, int epoch);
extern void node_apply(State *s, int n, int row, int t);
extern void node_unstage(State *s, int n, int t, int v);
extern bool node_holds(const State *s, int n, int t, int v);
extern Set staged_at(const State *s, int t); /* nodes */
extern void node_take(State *s, int n, int row, int t);
extern bool node_judges(const State *s, int n, int v);
extern Mask node_staged(const State *s, int n, int v);
extern Reply log_keep(State *s, int target, int t, int v, int epoch);
extern Reply log_replay(State *s, int target, int t, int v);

/* ---- steps ---- */
typedef struct Step
{
	uint8_t kind;
	uint8_t a, b, c;
} Step;

typedef struct StepList
{
	int n;
	Step step[400];
} StepList;

typedef enum StepKind
{
	/* client.c, finish.c: a: transaction */
	STEP_BEGIN, /* b: epoch */
	STEP_NEWER, /* the client learns the newest epoch */
	STEP_SEND,	/* b: target, c: vnode */
	STEP_ACK,
	STEP_GIVE_UP, /* b: which vnode it closes */
	STEP_REFUSE,  /* b: node: refuse if not held */
	STEP_DROP,	  /* b: node */
	STEP_TELL_NOT_DONE,
	STEP_DIE,
	STEP_LATE_SEND,		/* b: target and vnode, c: epoch */
	STEP_LATE_DROP,		/* b: node and vnode, c: epoch */
	STEP_FINISH,		/* b: node: FINISH(commit) */
	STEP_ABORT,			/* over two vnodes: who knows it aborted begins to send FINISH(abort) */
	STEP_DROP_DECISION, /* a: node */
	/* reader.c */
	STEP_READ, /* a: row, b: epoch */
	STEP_READ_ASK,
	STEP_READ_CONFIRM,
	STEP_READ_JUDGE,
	STEP_READ_OTHER,
	STEP_READ_DECISION,
	STEP_READ_NAMED,
	STEP_READ_END,
	/* closer.c */
	STEP_CLOSE, /* a: transaction, b: vnode */
	STEP_CLOSE_REFUSE,
	STEP_CLOSE_OTHER,
	STEP_CLOSE_DROP,
	STEP_CLOSE_END,
	/* recovery.c: a: vnode */
	STEP_RECOVER,	   /* b: who, c: source */
	STEP_RECOVER_NEXT, /* b: who */
	STEP_RECOVER_ASK,  /* b: who, c: transaction */
	STEP_FETCH,		   /* b: who, c: source */
	STEP_FETCHED,	   /* b: who */
	STEP_REPLAY,	   /* b: target, c: transaction */
	/* admin.c, purge.c, faults.c: a: node or vnode */
	STEP_LEARN,
	STEP_FAIL,
	STEP_UP,
	STEP_MOVE, /* a: to which node */
	STEP_REPLACE,
	STEP_CANCEL,
	STEP_COMPLETE,
	STEP_REMOVE,
	STEP_BACKUP,
	STEP_RESTART, /* b: 0 nothing lost, 1 last epoch lost, 2 empty disk, 3 disk from the backup */
	STEP_MATCH,
	STEP_LEADER_DIES,
	STEP_LEADER_ASKS,
	STEP_LEADER_GOES_ON,
	STEP_PURGE_APPROVE,
	STEP_PURGE,	 /* a: node, b: vnode */
	STEP_EXPIRE, /* a: node, b: transaction */
	STEP_LOG_LOST,
	STEP_LOG_FULL,
	STEP_LOSE_C,
	STEP_DECLARE,
	STEP_APPLY_ADMITTED, /* a: node, b: transaction */
	NSTEPS
} StepKind;

extern void add_step(StepList *l, StepKind kind, int a, int b, int c);
/* calm: no new faults, no new work: only what brings the cluster to rest */
extern void client_steps(const State *s, StepList *l, bool calm);
extern void finish_steps(const State *s, StepList *l);
extern void reader_steps(const State *s, StepList *l);
extern void closer_steps(const State *s, StepList *l, bool calm);
extern void recovery_steps(const State *s, StepList *l);
extern void admin_steps(const State *s, StepList *l, bool calm);
extern void purge_steps(const State *s, StepList *l);
extern void fault_steps(const State *s, StepList *l, bool calm);
extern bool client_do(State *s, Step x);
extern bool finish_do(State *s, Step x);
extern bool reader_do(State *s, Step x);
extern bool closer_do(State *s, Step x);
extern bool recovery_do(State *s, Step x);
extern bool admin_do(State *s, Step x);
extern bool purge_do(State *s, Step x);
extern bool fault_do(State *s, Step x);

extern void model_steps(const State *s, StepList *l, bool calm);
extern void model_do(State *s, Step x);
extern void step_say(const State *before, const State *after, Step x, char *out,
					 int size); /* right after model_do: it says last_reply */
extern const char *txn_name(int t);
extern const char *node_name(int n);

/* What the last step was answered, for the printed schedule. */
extern Reply last_reply;

/* ---- properties (check.c) ---- */
extern bool rest_checked;	  /* else what does not come to rest is let pass */
extern const char *violation; /* set by the step that breaks a property */
extern void act_committed(State *s, int t);
extern void act_acked(State *s, int t);
extern void act_not_done(State *s, int t);
extern void act_read(State *s, int row, int value, Mask floor);
extern void act_applied(const State *s, int t);
extern void check_state(const State *s);
extern void check_rest(const State *s); /* nothing goes on any more */

#endif
