/*
 * node.h: the state of a doris_node and the calls between its parts.
 *
 * Threads: N workers (serve.c) take requests from one listener, each with its own store session; one greeter
 * (greet.c) says hello to the admins; one background thread (background.c) purges, watches the disk and the
 * clock. All share the Node.
 *
 * Locks, in the order in which they are taken:
 *   epoch lock (reading: a request until its store transaction is committed; writing: taking a topology; I3)
 *   a transaction's lock (by hash of its id): steps of STAGE, FINISH, OUTCOME of one transaction do not overlap
 *   vnode locks (by vnode modulo, rising): check, apply and commit of a row are one step
 *   tables lock: creating and dropping vnode tables
 *   rows locks (by vnode modulo): the arrays of kept_rows.c; nothing is taken while one is held
 */
#ifndef DORIS_NODE_H
#define DORIS_NODE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "envelope.h"
#include "log.h"
#include "msg.h"
#include "record.h"
#include "seal.h"
#include "store.h"
#include "topology.h"
#include "transport.h"
#include "version.h"

#define NODE_VNODE_LOCKS 4096
#define NODE_TXN_LOCKS 256
#define NODE_ROWS_LOCKS 64
#define NODE_CEILING_AHEAD_MS \
	10000 /* how far ahead the clock's ceiling and the memory's horizon are persisted */
#define NODE_ALL_VNODES 0xFFFFFFFFu

/* ---- counters of events: names in stats.c, in this order ---- */
typedef enum NodeCounter
{
	COUNT_PING,
	COUNT_TOPOLOGY_GET,
	COUNT_TOPOLOGY_PUT,
	COUNT_STATS,
	COUNT_HEARTBEAT,
	COUNT_GET,
	COUNT_SCAN,
	COUNT_STAGE,
	COUNT_FINISH,
	COUNT_OUTCOME,
	COUNT_APPLY,
	COUNT_DIGEST,
	COUNT_HINT,
	COUNT_REPLAY,
	COUNT_PULL,
	COUNT_PURGE,
	COUNT_OTHER,		/* types a node does not know */
	COUNT_BAD,			/* bytes that are no message of ours, or not sealed with our key */
	COUNT_CLOCK,		/* sealed, but stamped outside the window */
	COUNT_ERRORS,		/* requests answered with an error */
	COUNT_ROWS_READ,	/* by GET */
	COUNT_ROWS_SCANNED, /* looked at by SCAN */
	COUNT_ROWS_STAGED,
	COUNT_ROWS_FINISHED,
	COUNT_ROWS_APPLIED,
	COUNT_CONFLICTS, /* stage requests refused */
	COUNT_BATCHES,	 /* groups of requests answered together */
	COUNT_FLUSHES,	 /* of the log */
	COUNT_RETRIES,	 /* store transactions begun again */
	COUNT_PURGED,	 /* memory entries and decision rows past the horizon */
	COUNT_DROPPED,	 /* rows of dropped namespaces deleted */
	COUNT_ALARMS,	 /* topologies of the same epoch that differ */
	/* a log node */
	COUNT_HINTS_KEPT,	   /* taken in */
	COUNT_HINTS_REFUSED,   /* the budget was full */
	COUNT_HINTS_DROPPED,   /* of nodes that are gone for good */
	COUNT_REPLAY_SENT,	   /* hints sent; again after an error counts again */
	COUNT_REPLAY_APPLIED,  /* ... and taken by their target */
	COUNT_REPLAY_OBSOLETE, /* ... no longer wanted there */
	COUNT_REPLAY_POISON,   /* ... set aside */
	COUNT_REPLAY_ERRORS,   /* messages with hints that failed */
	/* the target of hints */
	COUNT_REHELD_APPLIED,
	COUNT_REHELD_OBSOLETE,
	COUNT_REHELD_POISON,
	COUNT_PULLED,	 /* records taken over from another copy */
	COUNT_SETTLED,	 /* staged writes settled with another copy */
	COUNT_READY,	 /* copies made ready to be published as complete */
	COUNT_UNEQUAL,	 /* ... whose sums differed from the source's before: passed again */
	COUNT_DIFFERENT, /* ... and still did: made ready all the same */
	COUNT_MISSED, /* records that the first pass should have brought: none, or some on their way */
	COUNT_TOMBSTONES, /* deleted (rule purge) */
	COUNT_RETURNED,	  /* records of an older disk that had been deleted and purged elsewhere */
	COUNT_CLOSED,	  /* transactions ended by the settler */
	COUNT_LAST
} NodeCounter;

typedef struct Hints Hints; /* hints.c */

/* ---- the topology, unpacked for this node; replaced under the epoch lock ---- */
#define PLACE_TARGET 1	/* the node takes writes of the vnode */
#define PLACE_JUDGE 2	/* it owns a complete copy: reads and judges */
#define PLACE_RECOVER 4 /* the node is up and its copy is to be made complete: see recover.c (I2) */
#define PLACE_MOVING 8	/* with PLACE_RECOVER: it moves here from a node that serves meanwhile */

typedef struct Placement
{
	Topology *topo;
	uint64_t *changed;		  /* by vnode: topology_changed */
	uint8_t *place;			  /* by vnode: PLACE_* */
	const NsDef **namespaces; /* by id, rising */
	uint32_t targets;		  /* vnodes with PLACE_TARGET */
	bool dead;				  /* the topology calls this node dead: it refuses everything */
	bool named;				  /* it names this start: an admin has matched it (rule start) */
} Placement;

/* ---- copies that are being made complete (recover.c), by vnode ---- */
typedef enum CopyState
{
	COPY_NONE = 0, /* nothing done yet for changed(v), or nothing to do */
	COPY_PASSING,  /* what the source had committed is being taken over, or has been */
	COPY_JUDGING,  /* it judges; what is staged is being settled with the source */
	COPY_READY	   /* may be published as complete */
} CopyState;

typedef struct Recovery
{
	_Atomic uint8_t *state; /* CopyState; back to COPY_NONE only under the epoch lock for writing */
	_Atomic uint8_t *wanted; /* somebody met a staged write that this copy lacks */
	_Atomic uint32_t nwanted;
	_Atomic uint32_t open;		 /* copies not ready yet */
	_Atomic uint64_t bytes;		 /* pulled since the recovery began */
	_Atomic uint64_t expected;	 /* in all; an estimate */
	_Atomic uint32_t next_ready; /* where the next report's list begins */
	_Atomic uint32_t
		move_rate_mb; /* told by the leader: limits what is pulled for PLACE_MOVING; 0: no limit */
	pthread_mutex_t lock; /* guards woken */
	pthread_cond_t wake;
	bool woken;
} Recovery;

/* ---- rows and bytes of one namespace on this node ---- */
typedef struct NsCount
{
	uint32_t ns;
	_Atomic int64_t rows;  /* live ones */
	_Atomic int64_t bytes; /* of their keys and values */
	struct NsCount *next;
} NsCount;

#define NODE_NS_BUCKETS 1024

/* ---- what is kept of a vnode's records (kept.c); changed under the vnode's lock ---- */
typedef struct KeptRows KeptRows; /* kept_rows.c */

typedef struct Kept
{
	_Atomic uint64_t digest; /* XOR over the committed records */
	_Atomic int64_t records; /* committed ones, tombstones included */
	_Atomic int64_t staged;	 /* staged writes */
	KeptRows *rows; /* live rows by namespace; malloc'ed; guarded by a rows lock; NULL: none */
} Kept;

/* The same sums of a vnode or a run of records, as values. */
typedef struct KeptSum
{
	uint64_t digest;
	uint64_t records;
	uint64_t staged;
} KeptSum;

typedef struct KeptDelta
{
	uint32_t vnode;
	uint64_t digest;
	int64_t records;
	int64_t staged;
	uint32_t ns;  /* of the rows; 0: another space */
	int64_t rows; /* live ones */
	bool counts;  /* it has a place in the vnode's KeptRows */
} KeptDelta;

/*
 * Rule purge: how far back a vnode's history still counts. Clocks; a version is behind one when its own clock is lower.
 * Changed under the vnode's lock.
 */
typedef struct Floor
{
	_Atomic uint64_t fence;	 /* nothing new behind it is taken */
	_Atomic uint64_t purged; /* tombstones behind it may be gone */
	_Atomic uint8_t due;	 /* there may be some left */
} Floor;

/* What a record was before it was changed. */
typedef struct RowWas
{
	bool committed;
	bool tombstone;
	uint8_t nstaged;
	DorisVersion version;
	size_t bytes; /* of the value */
} RowWas;

/* How far a vnode's rows are counted: changes are booked unless it is TALLY_NONE. */
typedef enum Tally
{
	TALLY_NONE = 0,
	TALLY_RUNNING, /* booked, but what was there before is not added yet */
	TALLY_KNOWN
} Tally;

typedef struct Identity
{
	uint8_t home[DORIS_UUID_SIZE];	  /* made with the home */
	uint8_t cluster[DORIS_UUID_SIZE]; /* zero: not welcomed yet */
	uint32_t node;					  /* 0: not welcomed yet */
	char name[DORIS_NAME_MAX];
} Identity;

/* State of a vnode's table. */
typedef enum TableState
{
	TABLE_NONE = 0,
	TABLE_READY,
	TABLE_DROP /* to be dropped before anything else is done with it (rule leftovers) */
} TableState;

/* Transactions by hash of their id. */
typedef struct TxnSlot
{
	pthread_mutex_t lock; /* STAGE, FINISH and OUTCOME of one transaction do not overlap */
	DorisTxnId last;	  /* the one that staged last; guarded by lock */
	uint32_t entries;	  /* it has in STAGED; 0: not known */
} TxnSlot;

typedef struct Learned
{
	pthread_mutex_t lock;
	uint64_t head;	 /* number of the next one */
	DorisTxnId *ids; /* a ring */
} Learned;

typedef struct Node
{
	Config config;
	DorisKeys keys;
	int lock_fd; /* of the home's lock file */
	const StoreDriver *driver;
	Store *store;
	Listener *listener;
	atomic_bool stopping;
	_Atomic int exit_code;

	/* identity_lock: written once by the greeter */
	pthread_mutex_t identity_lock;
	Identity identity;
	_Atomic uint32_t node_id; /* of identity, to be read without the lock */
	Learned learned;
	uint64_t incarnation; /* random for each start */
	atomic_bool serving;  /* its start was matched and its tables are there */

	pthread_rwlock_t epoch_lock; /* guards placement; writers first */
	Placement *placement;		 /* NULL: no topology yet */
	_Atomic uint64_t epoch;		 /* of placement, to be read without the lock */
	_Atomic uint64_t
		*lapsed; /* by vnode (DORIS_MAX_VNODES): refusals noted before this epoch count no more */

	pthread_mutex_t term_lock; /* guards term and raising the ceiling */
	uint64_t term;			   /* highest leader term seen; persisted */

	DorisClock clock;
	_Atomic uint64_t ceiling;	 /* persisted: stamps up to this may have been seen */
	_Atomic uint64_t horizon_ms; /* transactions begun before it may have been forgotten */
	uint64_t horizon_kept_ms; /* persisted: the horizon goes no further; of the background thread */
	_Atomic uint64_t heard_ms; /* time of day when a leader was last heard; 0: not yet */

	pthread_mutex_t vnode_locks[NODE_VNODE_LOCKS];
	/* of each vnode lock: number of its last commit that a reader must not build on before it is flushed */
	_Atomic uint64_t dirty[NODE_VNODE_LOCKS];
	TxnSlot txns[NODE_TXN_LOCKS]; /* by hash of the id */

	_Atomic uint64_t commits;  /* numbers commits */
	_Atomic uint64_t flushed;  /* commits up to this number are on disk */
	_Atomic uint64_t flush_us; /* what a flush takes: a running average */
	pthread_mutex_t flush_lock;
	atomic_bool
		sync_interval; /* the cluster's sync: answered before the flush, flushed each second */

	pthread_mutex_t tables_lock;
	_Atomic uint8_t tables[DORIS_MAX_VNODES]; /* TableState */
	_Atomic bool no_strays;					  /* this start has looked for files without an entry */

	_Atomic uint8_t counted[DORIS_MAX_VNODES]; /* Tally */
	Kept *kept;								   /* by vnode (DORIS_MAX_VNODES) */
	Floor *floors;							   /* likewise */
	_Atomic(NsCount *) ns_counts[NODE_NS_BUCKETS];
	pthread_mutex_t ns_lock; /* adding to ns_counts */
	pthread_mutex_t rows_locks[NODE_ROWS_LOCKS];
	_Atomic int64_t staged; /* transactions in STAGED */
	bool recount;			/* the counters were not saved at the last stop */
	bool was_clean;			/* the last stop was clean */

	/* rules start, lease; guarded by term_lock */
	uint64_t mark;				  /* durable; only grows */
	uint64_t mark_found;		  /* on disk at this start */
	uint64_t marked;			  /* n->commits when it was raised last */
	_Atomic uint64_t lease_until; /* monotonic ms; to be read without the lock */

	Recovery recovery;

	_Atomic uint64_t disk_free;
	atomic_bool disk_full;	  /* below the reserve: new writes are refused */
	atomic_bool disk_starved; /* below half of it: finishing is refused too */
	_Atomic uint64_t written; /* bytes taken since the last look at the disk */
	pthread_mutex_t disk_lock;
	bool ballast; /* half of the reserve is held by a file; guarded by disk_lock */

	Hints *hints;				  /* what a log node keeps for others (hints.h) */
	_Atomic uint64_t replay_rate; /* bytes of hints per second, lately */

	_Atomic uint64_t counters[COUNT_LAST];
} Node;

/* Changes of one namespace's counters, gathered in a store transaction and booked when it is committed. */
typedef struct CountDelta
{
	uint32_t ns;
	int64_t rows;
	int64_t bytes;
} CountDelta;

/* The vnode locks a request holds: a bit for each. */
typedef struct VnodeLocks
{
	uint64_t bits[NODE_VNODE_LOCKS / 64];
} VnodeLocks;

/* What a thread needs to execute requests: one thread at a time. */
typedef struct Worker
{
	Node *node;
	StoreSession *ss;
	pthread_t thread;
	bool running;  /* thread was started */
	uint64_t need; /* this commit must be on disk before the request is answered; 0: none */
	VnodeLocks locks;
	bool locked;
	CountDelta *deltas; /* by namespace; owned */
	int ndeltas;
	int delta_cap;
	KeptDelta *kept; /* in order of the changes; owned */
	int nkept;
	int kept_cap;
	RowWas was;		 /* the record that rows_load found last */
	bool guess_new;	 /* plain.c: the next row is not there yet, as the last one was not */
	DorisBuf key;	 /* a store key */
	DorisBuf record; /* an encoded record */
	DorisBuf index;	 /* an entry of STAGED */
	DorisBuf projected[2];
	DorisBuf scratch; /* an opened message */
	DorisBuf body;	  /* a reply before it is enveloped */
	DorisBuf out;	  /* a whole reply */
	/* Rule finish: what STAGEs have told to be committed, ended when nothing else is to be done. */
	DorisTxnId *later;
	uint32_t nlater;
	/* serve.c: how often short requests wait for something */
	uint64_t served;
	uint32_t waits;					 /* running average */
	void (*hurry)(struct Worker *w); /* answers what waits for a flush; NULL: nothing does */
	void *hurry_arg;
	Record row; /* too big for a stack frame that is entered for each row */
} Worker;

/* ---- node.c: opening and closing ---- */
extern DORIS_MUST_CHECK DorisStatus node_open(Node *n, const Config *config,
											  const StoreDriver *driver, DorisError *err);
extern void node_close(Node *n, bool clean);
/* Ends the process cleanly with this exit code. Any thread. */
extern void node_stop(Node *n, int exit_code);
extern DORIS_MUST_CHECK DorisStatus worker_init(Worker *w, Node *n, DorisError *err);
extern void worker_free(Worker *w);
/* "node g1n2" for messages. */
extern const char *node_name(const Node *n);
extern void node_count(Node *n, NodeCounter c, uint64_t by);

/* ---- meta.c: table META ---- */
extern DORIS_MUST_CHECK DorisStatus meta_get(Worker *w, const char *name, DorisBuf *out,
											 DorisError *err);
extern DORIS_MUST_CHECK DorisStatus meta_put(Worker *w, const char *name, DorisBytes value,
											 DorisError *err);
extern DORIS_MUST_CHECK DorisStatus meta_del(Worker *w, const char *name, DorisError *err);
extern DORIS_MUST_CHECK DorisStatus meta_get_u64(Worker *w, const char *name, uint64_t *out,
												 DorisError *err);
extern DORIS_MUST_CHECK DorisStatus meta_put_u64(Worker *w, const char *name, uint64_t value,
												 DorisError *err);
/* Names "prefix" + u32 big-endian: one u64 for each vnode or namespace. */
extern DORIS_MUST_CHECK DorisStatus meta_put_numbered(Worker *w, const char *prefix,
													  uint32_t number, uint64_t value,
													  DorisError *err);
extern DORIS_MUST_CHECK DorisStatus meta_del_numbered(Worker *w, const char *prefix,
													  uint32_t number, DorisError *err);
typedef DorisStatus (*MetaNumberedFn)(void *arg, uint32_t number, uint64_t value, DorisError *err);
extern DORIS_MUST_CHECK DorisStatus meta_each_numbered(Worker *w, const char *prefix,
													   MetaNumberedFn fn, void *arg,
													   DorisError *err);
extern DORIS_MUST_CHECK DorisStatus meta_save_identity(Worker *w, const Identity *id,
													   DorisError *err);
extern DORIS_MUST_CHECK DorisStatus meta_load_identity(Worker *w, Identity *id, DorisError *err);
/* Persists a higher clock ceiling when stamp is above it. Not within a store transaction. */
extern DORIS_MUST_CHECK DorisStatus meta_raise_ceiling(Worker *w, uint64_t stamp, DorisError *err);

/* ---- epoch.c: the topology and what it allows (I3) ---- */
extern void placement_free(Placement *p);
extern DORIS_MUST_CHECK DorisStatus placement_make(Topology *t, uint32_t node, Placement **out,
												   DorisError *err);
/* All of these: the caller holds the epoch lock for reading. */
extern DORIS_MUST_CHECK DorisStatus epoch_admit(const Node *n, uint64_t epoch, DorisError *err);
extern DORIS_MUST_CHECK DorisStatus epoch_check(const Node *n, uint64_t epoch, uint32_t vnode,
												uint8_t place, DorisError *err);
extern bool epoch_stale(const Node *n, uint64_t epoch, uint32_t vnode);
extern bool epoch_judges(const Node *n, uint32_t vnode);
/* Does the topology in force name this start (rule start)? Takes the epoch lock for reading. */
extern bool epoch_is_named(Node *n);
extern DORIS_MUST_CHECK DorisStatus epoch_namespace(const Node *n, uint32_t ns, const NsDef **out,
													DorisError *err);
/*
 * Takes a topology handed on by anybody: checks, persists, flushes, then puts it in force. An older one is
 * ignored. Takes the epoch lock for writing.
 */
extern DORIS_MUST_CHECK DorisStatus epoch_take(Worker *w, DorisBytes encoded, DorisError *err);
/* At start: what was persisted. */
extern DORIS_MUST_CHECK DorisStatus epoch_load(Worker *w, DorisError *err);

/* ---- tables.c: the vnodes' tables ---- */
extern DORIS_MUST_CHECK DorisStatus tables_load(Worker *w, DorisError *err);
/* Makes sure the vnode's table can be used. Not within a store transaction. */
extern DORIS_MUST_CHECK DorisStatus tables_need(Worker *w, uint32_t vnode, DorisError *err);
/* Creates those the node is a target of, drops the others, at most so many (0: all); in the background. LIMIT: not all yet. */
extern DORIS_MUST_CHECK DorisStatus tables_settle(Worker *w, uint32_t most, DorisError *err);
/* Notes in META, within the caller's transaction, which tables a new placement makes leftovers. old: the one in force. */
extern DORIS_MUST_CHECK DorisStatus tables_note_leftovers(Worker *w, const Placement *old,
														  const Placement *p, DorisError *err);
extern void tables_mark_leftovers(Node *n, const Placement *old, const Placement *p);

/* ---- commit.c: locks, store transactions, group commit ---- */
extern void locks_clear(Worker *w);
extern void locks_add(Worker *w, uint32_t vnode);
extern void locks_take(Worker *w);
extern void locks_release(Worker *w);
/* One vnode's lock for a moment, beside the set; false: another has it. */
extern bool locks_try_one(Node *n, uint32_t vnode);
extern void locks_release_one(Node *n, uint32_t vnode);
extern TxnSlot *txn_slot(Node *n, DorisTxnId txn);
extern DORIS_MUST_CHECK DorisStatus commit_begin(Worker *w, DorisError *err);
/*
 * Commits, books the counters, releases the vnode locks. builds: readers must not build on it before it is on
 * disk (staged and plain writes, refusals). Returns its number in *number when given.
 */
extern DORIS_MUST_CHECK DorisStatus commit_end(Worker *w, bool builds, uint64_t *number,
											   DorisError *err);
/* Rolls back (if a transaction is open) and releases the vnode locks. */
extern void commit_abandon(Worker *w);
/* The answer must wait until this commit is on disk. */
extern void commit_need(Worker *w, uint64_t number);
/* The answer tells what is stored for the vnode: it must wait for commits of it that are not on disk. */
extern void commit_need_vnode(Worker *w, uint32_t vnode);
/* Returns when commit `number` and everything visible before the call are on disk. */
extern DORIS_MUST_CHECK DorisStatus commit_flush(Worker *w, uint64_t number, DorisError *err);
/* Flushes everything, whatever the cluster's sync. */
extern DORIS_MUST_CHECK DorisStatus commit_flush_all(Worker *w, DorisError *err);

/* ---- rows.c: records in the store, within the caller's transaction ---- */
/* Fills w->key; the record's views live until the session's next call. Absent: an empty record. */
extern DORIS_MUST_CHECK DorisStatus rows_load(Worker *w, uint32_t vnode, DorisBytes stored_key,
											  Record *r, DorisError *err);
/* Writes it (or deletes it when empty). It must be the record that rows_load gave last, changed. */
extern DORIS_MUST_CHECK DorisStatus rows_save(Worker *w, uint32_t vnode, DorisBytes stored_key,
											  const Record *r, DorisError *err);
/* Writes a record that is not empty without rows_load before. DUPLICATE: there is one already, nothing was done. */
extern DORIS_MUST_CHECK DorisStatus rows_add(Worker *w, uint32_t vnode, DorisBytes stored_key,
											 const Record *r, DorisError *err);
/* Shape of a row's address: space, sizes. */
extern DORIS_MUST_CHECK DorisStatus rows_check(const Node *n, const KeyRef *at, size_t value_len,
											   DorisError *err);
extern void rows_staged_info(const RecordStaged *s, uint64_t now_ms, StagedInfo *out);

/* ---- counters.c: rows and bytes by namespace ---- */
extern void counters_note(Worker *w, uint32_t vnode, uint32_t ns, int64_t rows, int64_t bytes);
extern void counters_book(Worker *w);
extern void counters_forget(Worker *w); /* rolled back */
extern NsCount *counters_find(Node *n, uint32_t ns, bool make);
extern void counters_total(Node *n, uint64_t *rows, uint64_t *bytes);
extern DORIS_MUST_CHECK DorisStatus counters_save(Worker *w, DorisError *err);
extern DORIS_MUST_CHECK DorisStatus counters_load(Worker *w, DorisError *err);
/* Counts the vnode's rows anew while writes go on, unless they are counted or another thread does it. */
extern DORIS_MUST_CHECK DorisStatus counters_recount(Worker *w, uint32_t vnode, DorisError *err);
/* The vnode's table is about to be dropped: takes its rows out of the counters. LIMIT: being counted. */
extern DORIS_MUST_CHECK DorisStatus counters_uncount(Worker *w, uint32_t vnode, DorisError *err);
extern void counters_free(Node *n);

/* ---- kept.c: sums by which copies are compared ---- */
extern RowWas row_was(const Record *r);
/* Adds a record to sums. */
extern void kept_sum(const Node *n, DorisBytes stored_key, const Record *r, KeptSum *sum);
/* Notes a change, to be booked at commit (counters_book). rows_save does it; who deletes by himself must. */
extern DORIS_MUST_CHECK DorisStatus kept_note(Worker *w, uint32_t vnode, DorisBytes stored_key,
											  const RowWas *was, const Record *now,
											  DorisError *err);
extern void kept_book(Worker *w);
extern void kept_forget(Worker *w); /* rolled back; the vnodes' locks are held still */
extern void kept_add(Node *n, uint32_t vnode, const KeptSum *sum);
extern void kept_clear(Node *n, uint32_t vnode);
extern void kept_free(Node *n);
/* The sums of a vnode, all of one moment; counts it first when that has not been done. No transaction, no locks. */
extern DORIS_MUST_CHECK DorisStatus kept_read(Worker *w, uint32_t vnode, KeptSum *out,
											  DorisError *err);
extern DORIS_MUST_CHECK DorisStatus kept_save(Worker *w, DorisError *err);
/* NOT_FOUND: none were saved, or by a release that kept less. */
extern DORIS_MUST_CHECK DorisStatus kept_load(Worker *w, DorisError *err);

/* ---- kept_rows.c: live rows of each namespace in each vnode; changed under the vnode's lock ---- */
/* Makes the place that kept_rows_add needs. */
extern DORIS_MUST_CHECK DorisStatus kept_rows_reserve(Node *n, uint32_t vnode, uint32_t ns,
													  DorisError *err);
extern void kept_rows_add(Node *n, uint32_t vnode, uint32_t ns, int64_t rows);
/* Takes the place away again if there are no rows. */
extern void kept_rows_tidy(Node *n, uint32_t vnode, uint32_t ns);
extern void kept_rows_clear(Node *n, uint32_t vnode);
/*
 * The rows of a namespace in a vnode as a scan of it would count them now, when that is known and no write is staged in the
 * vnode; false: it must be read. Takes the vnode's lock: no other is held. An answer that tells it waits for what it tells.
 */
extern DORIS_MUST_CHECK bool kept_rows_read(Worker *w, uint32_t vnode, uint32_t ns, uint64_t *rows);
/* Appends those of a vnode, for kept_save. */
extern void kept_rows_save(Node *n, uint32_t vnode, DorisBuf *b);

/* ---- pace.c ---- */
/* Rows that were asked for or written here, ever: when it grows, somebody is at work. */
extern uint64_t pace_rows_served(const Node *n);

/* ---- learned.c: outcomes noted lately, in the order in which they were ---- */
extern DORIS_MUST_CHECK DorisStatus learned_open(Node *n, DorisError *err);
extern void learned_close(Node *n);
extern void learned_add(Node *n, DorisTxnId txn);
/* Where the next one goes: never 0. */
extern uint64_t learned_head(Node *n);
/*
 * At most max of those noted from `since` on, malloc'ed, by id; *head: where to go on. NULL: they are not kept any more (or
 * there is no memory); then *head is where the next one goes.
 */
extern DorisTxnId *learned_since(Node *n, uint64_t since, uint32_t max, uint32_t *count,
								 uint64_t *head);

/* ---- memory.c: outcomes remembered, index of staged writes ---- */
typedef struct Remembered
{
	bool committed;
	bool some_refused; /* in some vnodes: ask memory_refused for each */
} Remembered;
extern DORIS_MUST_CHECK DorisStatus memory_load(Worker *w, DorisTxnId txn, Remembered *out,
												DorisError *err);
extern DORIS_MUST_CHECK DorisStatus memory_refused(Worker *w, DorisTxnId txn, uint32_t vnode,
												   bool *out, DorisError *err);
extern DORIS_MUST_CHECK DorisStatus memory_put_committed(Worker *w, DorisTxnId txn,
														 DorisError *err);
extern DORIS_MUST_CHECK DorisStatus memory_put_refused(Worker *w, DorisTxnId txn, uint32_t vnode,
													   uint64_t epoch, DorisError *err);
/* At start: the horizon as it was kept, before any request is answered. */
extern DORIS_MUST_CHECK DorisStatus memory_load_horizon(Worker *w, DorisError *err);
/* Moves the horizon on; of the background thread, each second. */
extern void memory_watch_horizon(Worker *w);
/* Forgets outcomes older than the horizon, at most `limit`; *done: none is left. from: where to go on (state). */
extern DORIS_MUST_CHECK DorisStatus memory_purge(Worker *w, uint64_t horizon_ms, uint32_t limit,
												 DorisTxnId *from, bool *done, DorisError *err);
/*
 * Transactions whose outcome is remembered, in the order of their ids, from one on; within the caller's transaction. A
 * transaction may come more than once. NOT_FOUND: no more. At most one scan at a time.
 */
typedef struct MemoryScan MemoryScan;
extern DORIS_MUST_CHECK DorisStatus memory_scan(Worker *w, DorisTxnId from, MemoryScan **out,
												DorisError *err);
extern DORIS_MUST_CHECK DorisStatus memory_next(MemoryScan *sc, DorisTxnId *txn, bool *committed,
												DorisError *err);
extern void memory_scan_close(MemoryScan *sc);
/* STAGED: entry `number` (0, 1, ...) of a transaction: a run of (u32 vnode, bytes store key). NOT_FOUND: no more. */
extern DORIS_MUST_CHECK DorisStatus index_get(Worker *w, DorisTxnId txn, uint32_t number,
											  DorisBytes *out, DorisError *err);
extern DORIS_MUST_CHECK DorisStatus index_put(Worker *w, DorisTxnId txn, uint32_t number,
											  DorisBytes entry, DorisError *err);
extern DORIS_MUST_CHECK DorisStatus index_del(Worker *w, DorisTxnId txn, uint32_t number,
											  DorisError *err);
/*
 * Adds rows (a run of u32 vnode, bytes store key) of a transaction to its entries, within the caller's transaction and
 * under the transaction's lock. *is_new: it had none.
 */
extern DORIS_MUST_CHECK DorisStatus index_add(Worker *w, TxnSlot *slot, DorisTxnId txn,
											  TxnMode mode, DorisBytes rows, bool *is_new,
											  DorisError *err);
/* Appends all entries of the transaction to out; *n: how many. */
extern DORIS_MUST_CHECK DorisStatus index_gather(Worker *w, DorisTxnId txn, DorisBuf *out,
												 uint32_t *n, DorisError *err);
/* Appends the ids of up to `limit` transactions with staged writes after that one, oldest first. */
extern DORIS_MUST_CHECK DorisStatus index_list(Worker *w, DorisTxnId after, uint32_t limit,
											   DorisBuf *ids, uint32_t *n, DorisError *err);
extern DORIS_MUST_CHECK DorisStatus index_count(Worker *w, int64_t *transactions, DorisError *err);

/* ---- requests: each leaves no transaction and no vnode lock behind; CONFLICT: call again ---- */
extern DORIS_MUST_CHECK DorisStatus stage_execute(Worker *w, uint64_t epoch, const StageRequest *m,
												  StageReply *out, DorisError *err);
/* Puts the row's staged write into its record; there must be room. */
extern void stage_put(const StageRequest *m, const StageRow *row, Record *r);
/* BAD_MESSAGE: its mode is unknown, or it names vnodes that the cluster has not. */
extern DORIS_MUST_CHECK DorisStatus stage_check_mode(const Node *n, const StageRequest *m,
													 DorisError *err);
/*
 * Notes in STAGED where this message's rows are, for FINISH and OUTCOME, in the open transaction; *used: the entry. The
 * caller has the transaction's lock, and keeps slot->last and slot->entries.
 */
extern DORIS_MUST_CHECK DorisStatus stage_index(Worker *w, const StageRequest *m,
												const TxnSlot *slot, uint32_t *used,
												DorisError *err);
extern DORIS_MUST_CHECK DorisStatus finish_execute(Worker *w, uint64_t epoch,
												   const FinishItem *item, FinishResult *out,
												   DorisError *err);
/* Takes out of a transaction's entries in STAGED what no row here holds any more. */
extern DORIS_MUST_CHECK DorisStatus finish_clear_index(Worker *w, DorisTxnId txn, DorisError *err);
/* Notes a transaction known as committed, to be ended by finish_later. Full: ends some at once. */
extern void finish_note(Worker *w, DorisTxnId txn);
/* Ends up to `limit` of them; false: none is left. */
extern bool finish_later(Worker *w, uint32_t limit);
extern DORIS_MUST_CHECK DorisStatus outcome_execute(Worker *w, uint64_t epoch,
													const OutcomeRequest *m, OutcomeResult *out,
													DorisError *err);
extern DORIS_MUST_CHECK DorisStatus plain_execute(Worker *w, uint64_t epoch, const ApplyRequest *m,
												  ApplyReply *out, DorisError *err);
/* These write the reply's body after the status. */
extern DORIS_MUST_CHECK DorisStatus read_execute(Worker *w, uint64_t epoch, const GetRequest *m,
												 DorisBuf *reply, DorisError *err);
extern DORIS_MUST_CHECK DorisStatus scan_execute(Worker *w, uint64_t epoch, const ScanRequest *m,
												 DorisBuf *reply, DorisError *err);
/* Which records of a vnode are summed up. */
typedef struct DigestRange
{
	uint32_t ns;	 /* 0: all namespaces that there are, as digest_namespaces found them */
	uint64_t below;	 /* only versions whose clock is lower; 0: all */
	uint64_t ignore; /* tombstones whose clock is lower are left out */
	uint32_t *ids;	 /* of the namespaces, rising; owned */
	uint32_t nids;
} DigestRange;
/* Takes the epoch lock for reading. */
extern DORIS_MUST_CHECK DorisStatus digest_namespaces(Node *n, DigestRange *r, DorisError *err);
extern void digest_range_free(DigestRange *r);
/* Of the vnode in out->vnode, in a snapshot of its own; its table is there. No transaction, no locks. */
extern DORIS_MUST_CHECK DorisStatus digest_vnode(Worker *w, const DigestRange *r, VnodeDigest *out,
												 DorisError *err);
/* What tells a committed record from any other one. */
extern uint64_t digest_record(DorisBytes stored_key, const Record *r);
extern DORIS_MUST_CHECK DorisStatus digest_execute(Worker *w, uint64_t epoch,
												   const DigestRequest *m, DigestReply *out,
												   DorisError *err);
extern void stats_execute(Node *n, DorisBuf *reply);

/* ---- disk.c: free space ---- */
extern void disk_open(Node *n); /* before the store is opened */
extern void disk_watch(Node *n);
/* May this many bytes of rows be written? Else DISK_FULL, naming node and path. */
extern DORIS_MUST_CHECK DorisStatus disk_take(Node *n, uint64_t bytes, DorisError *err);
/* May what is staged be ended? There is room kept for that. */
extern DORIS_MUST_CHECK DorisStatus disk_take_end(Node *n, DorisError *err);

/* ---- recover.c: making this node's incomplete copies complete; what others see of it ---- */
extern DORIS_MUST_CHECK DorisStatus recover_open(Node *n, DorisError *err);
extern void recover_close(Node *n);
extern DORIS_MUST_CHECK DorisStatus recover_start(Node *n, pthread_t *thread, DorisError *err);
/* A placement is about to be put in force; with the epoch lock held for writing. old: NULL at start. */
extern void recover_void(Node *n, const Placement *old, const Placement *p);
/* Somebody looked here for a staged write of the vnode that this incomplete copy does not hold (rule meet). */
extern void recover_want(Node *n, uint32_t vnode);
/* Fills what a report tells of it; ready: malloced. */
extern void recover_report(Node *n, NodeReport *out);

/* ---- pull.c: PULL, at a complete copy ---- */
extern DORIS_MUST_CHECK DorisStatus pull_execute(Worker *w, uint64_t epoch, const PullRequest *m,
												 DorisBuf *reply, DorisError *err);

/* ---- purge.c: tombstones that go (rule purge) ---- */
extern DORIS_MUST_CHECK DorisStatus purge_open(Node *n, DorisError *err);
extern void purge_close(Node *n);
/* At start: what was persisted. */
extern DORIS_MUST_CHECK DorisStatus purge_load(Worker *w, DorisError *err);
/* These with the vnode's lock held. Is a write of this version not to be taken any more, unless it is here already? */
extern bool purge_refuses(const Node *n, uint32_t vnode, uint8_t space, DorisVersion version);
/* Is what it was before its deletion perhaps forgotten? */
extern bool purge_is_behind(const Node *n, uint32_t vnode, uint8_t space, DorisVersion version);
/* record_commit_staged; but what is behind is taken off without being applied. */
extern void purge_commit_staged(const Node *n, uint32_t vnode, uint8_t space, Record *r, int i);
extern DORIS_MUST_CHECK DorisStatus purge_execute(Worker *w, uint64_t epoch, const PurgeRequest *m,
												  PurgeReply *out, DorisError *err);
/* A copy that is being made complete takes its source's floor, before anything else of it. STALE_EPOCH: void. */
extern DORIS_MUST_CHECK DorisStatus purge_adopt(Worker *w, uint32_t vnode, uint64_t changed,
												uint64_t fence, uint64_t purged, DorisError *err);
/* Drops what it has committed behind `purged` of these keys (a run of bytes store key), which its source has not. */
extern DORIS_MUST_CHECK DorisStatus purge_drop(Worker *w, uint32_t vnode, uint64_t changed,
											   DorisBytes keys, DorisError *err);
/* Deletes tombstones for some ms, from where it stopped. */
typedef struct PurgeWalk
{
	uint32_t vnode;
	DorisBuf from; /* store key in it; empty: its start */
	bool skipped;  /* some of it must be looked at again */
} PurgeWalk;
extern DORIS_MUST_CHECK DorisStatus purge_tombstones(Worker *w, PurgeWalk *p, int ms,
													 DorisError *err);
extern void purge_walk_free(PurgeWalk *p);

/* ---- control.c: what admins ask ---- */
/* The report is freed by the caller: node_report_free. */
extern DORIS_MUST_CHECK DorisStatus control_heartbeat(Worker *w, const Heartbeat *m,
													  NodeReport *out, DorisError *err);
/* How long the node may still serve reads without a mark (rule lease); 0: not. */
extern uint32_t control_lease_ms(const Node *n);

/* ---- dispatch.c, serve.c ---- */
/* Executes one message and writes the whole reply into `reply`. False: drop it without a reply. */
extern bool dispatch_message(Worker *w, DorisBytes message, DorisBuf *reply);
/* SCAN and DIGEST: worth answering what waits before beginning on it. */
extern bool dispatch_is_long(DorisBytes message);
extern DORIS_MUST_CHECK DorisStatus serve_start(Node *n, Worker **workers, DorisError *err);
extern void serve_join(Node *n, Worker *workers);

/* ---- greet.c, background.c: threads ---- */
extern DORIS_MUST_CHECK DorisStatus greet_start(Node *n, pthread_t *thread, DorisError *err);
extern DORIS_MUST_CHECK DorisStatus background_start(Node *n, pthread_t *thread, DorisError *err);
/* One look at the clock; each second, and once at start. */
extern void background_watch_clock(Worker *w);
/* One bounded round of purging; tests call it directly. */
extern DORIS_MUST_CHECK DorisStatus background_purge(Worker *w, DorisError *err);

#endif
