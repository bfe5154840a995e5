/*
 * doris.h: libdoris, the client library of a doris cluster.
 *
 * A DorisClient belongs to one thread. Every call may wait, never longer than the client's deadline,
 * and always through the wait callback, so that the owner can cancel. Statuses and what they mean: status.h. Nothing
 * is ever half-told (I7): a write comes back as DORIS_OK (done, durably on every copy), as any
 * other status but one (not done), or as DORIS_UNKNOWN.
 */
#ifndef DORIS_H
#define DORIS_H

#ifdef __cplusplus
#define DORIS_C_BEGIN \
	extern "C"        \
	{
#define DORIS_C_END }
#else
#define DORIS_C_BEGIN
#define DORIS_C_END
#endif

DORIS_C_BEGIN

#include "aggregate.h"
#include "buf.h"
#include "msg.h"
#include "nsdef.h"
#include "status.h"
#include "topology.h"
#include "version.h"

#define DORIS_DEFAULT_DEADLINE_MS 30000

typedef struct DorisClient DorisClient;

/*
 * Waits until one of the fds is readable or the time is over. Returns 1 (something is readable), 0 (time over; may
 * also be returned early), -1 (stop: the call in progress ends with DORIS_CANCELLED, or DORIS_UNKNOWN when a
 * commit was already under way). nfds may be 0. Called from the client's own thread only.
 */
typedef int (*DorisWaitFn)(void *arg, const int *fds, int nfds, int timeout_ms);

typedef struct DorisOptions
{
	const char *hosts;	  /* "host:port,host:port": admins and nodes alike */
	const char *key_file; /* NULL or "": plain, loopback only */
	int deadline_ms;	  /* of each call; 0: the default */
	uint32_t read_group;  /* 0: the lead copy; 1..: that group's copy first */
	DorisWaitFn wait;	  /* NULL: poll(2) */
	void *wait_arg;
} DorisOptions;

/* Fetches a topology from any of the hosts. */
extern DORIS_MUST_CHECK DorisStatus doris_connect(const DorisOptions *options, DorisClient **out,
												  DorisError *err);
/* Tries for at most 200 ms to deliver what is still to be finished, then closes. NULL is fine. */
extern void doris_disconnect(DorisClient *c);
extern void doris_set_deadline(DorisClient *c, int deadline_ms);
extern void doris_set_read_group(DorisClient *c, uint32_t group);
/* Delivers waiting FINISH messages as far as that goes without waiting. Call when idle. */
extern void doris_pump(DorisClient *c);

/* The newest topology known; a reference for the caller to topology_unref. Never waits. */
extern Topology *doris_topology(DorisClient *c);
/* Asks the hosts and nodes for a newer one (at least as new as min_epoch, else UNAVAILABLE). */
extern DORIS_MUST_CHECK DorisStatus doris_refresh(DorisClient *c, uint64_t min_epoch,
												  DorisError *err);
/* Looks a namespace up; asks for a newer topology once before NOT_FOUND. Free with nsdef_free. */
extern DORIS_MUST_CHECK DorisStatus doris_namespace(DorisClient *c, const char *name, NsDef *out,
													DorisError *err);
/* Creates, alters, drops or truncates through the leading admin; DORIS_OK: stands in a published topology. */
extern DORIS_MUST_CHECK DorisStatus doris_namespace_change(DorisClient *c,
														   const NamespaceChange *change,
														   DorisError *err);
/*
 * Has the leading admin take a node out, let it in, have it replaced, move vnodes by a plan, or tell about plans; may be
 * repeated. DORIS_OK: it stands in a published topology; reply->plan: the plan that goes on from there, 0: none. The
 * caller frees *reply with operate_reply_free (its topology is empty: the client has taken it).
 */
extern DORIS_MUST_CHECK DorisStatus doris_operate(DorisClient *c, const Operate *operate,
												  OperateReply *reply, DorisError *err);

/* ---- how far a plan is ---- */
extern bool doris_plan_ended(const PlanInfo *plan); /* done or cancelled */
/* Of 100; less until it is done. */
extern uint32_t doris_plan_percent(const PlanInfo *plan);
/* "42 %, 85 MB/s, 12 s left", or its state and the reason: "42 %, waiting: ...". now_ms: wall clock. */
extern void doris_plan_progress(const PlanInfo *plan, uint64_t now_ms, char *out, size_t len);

/*
 * Ends a staged write that was met at `node` after its deadline (rules meet, close). *ended: it was finished or dropped; else it is
 * undecided. UNAVAILABLE: somebody who has to be asked cannot be.
 */
extern DORIS_MUST_CHECK DorisStatus doris_settle(DorisClient *c, const KeyRef *at,
												 const StagedInfo *s, uint32_t node, bool *ended,
												 DorisError *err);

/* ---- reading ---- */
typedef struct DorisRow
{
	bool found; /* GET: false when there is no such row */
	DorisBytes key;
	DorisVersion version; /* found: of the row; else of the tombstone, or none */
	DorisBytes value;	  /* the projected columns, row.h */
} DorisRow;

typedef struct DorisRows DorisRows; /* owns the memory that rows point into */

typedef struct DorisGetSpec
{
	const uint16_t *columns; /* rising ids; NULL: all */
	uint32_t ncolumns;
	bool no_values; /* found and version only */
	DorisBytes
		filter; /* filter.h program: a row that it does not pass is not found; empty: all rows */
} DorisGetSpec;

/*
 * Reads keys, each at its lead copy, all nodes at once; settles staged writes by *meet*. Rows in
 * the order of the keys; no row has a key longer than DORIS_MAX_KEY. spec NULL: whole rows.
 */
extern DORIS_MUST_CHECK DorisStatus doris_get(DorisClient *c, const NsDef *ns,
											  const DorisBytes *keys, uint32_t nkeys,
											  const DorisGetSpec *spec, DorisRows **out,
											  DorisError *err);
extern const DorisRow *doris_rows(const DorisRows *r, uint32_t *n);
extern void doris_rows_free(DorisRows *r);

typedef enum DorisOrder
{
	DORIS_ANY_ORDER = 0,
	DORIS_KEY_ORDER,	 /* of the row keys' bytes */
	DORIS_KEY_ORDER_BACK /* from the last one down */
} DorisOrder;

typedef struct DorisScanSpec
{
	const NsDef *ns;		 /* must live until the scan is closed */
	DorisBytes low;			 /* row keys, inclusive; empty: from the start */
	DorisBytes high;		 /* exclusive; empty: to the end */
	DorisBytes route;		 /* a route key: only its vnode; empty: all vnodes */
	DorisBytes filter;		 /* filter.h program; empty: all rows */
	const uint16_t *columns; /* NULL: all */
	uint32_t ncolumns;
	uint32_t
		fetch_rows; /* most rows per reply, 0: as the nodes think best; the first replies have fewer */
	uint64_t
		limit; /* so many rows will be taken, about: nodes need not read beyond them; 0: nobody knows */
	bool whole;			  /* all rows will be taken: the first replies need not be small */
	DorisOrder order;	  /* over all vnodes; not with aggregates */
	DorisBytes aggregate; /* aggregate.h program: only groups are asked for; empty: rows */
	/* without route: only these, rising; NULL: all. For a part of the rows: keys spread over vnodes at random */
	const uint32_t *vnodes;
	uint32_t nvnodes;
	/* not with aggregates: only a random sample, each row with probability share / 2^64 (sample.h); 0: all */
	uint64_t share;
	uint64_t seed;
	uint32_t
		max_ms; /* from opening: later no more is waited for, and TIMEOUT is the end; 0: no limit. In any order only */
} DorisScanSpec;

typedef struct DorisScan DorisScan;

/*
 * Every row of the namespace that was there throughout, once; not a snapshot. All nodes are asked at once and read ahead by one
 * reply each. When a node fails or a vnode moves, the scan goes on from its token at another complete copy, in the same order.
 */
extern DORIS_MUST_CHECK DorisStatus doris_scan_open(DorisClient *c, const DorisScanSpec *spec,
													DorisScan **out, DorisError *err);
/* DORIS_OK and a row (valid until the next call on this scan), or DORIS_NOT_FOUND at the end. */
extern DORIS_MUST_CHECK DorisStatus doris_scan_next(DorisScan *s, DorisRow *row, DorisError *err);
/* With a sample: the rows that pass the filter, in the sample or not, up to the page being handed out. */
extern uint64_t doris_scan_passed(const DorisScan *s);
/*
 * Reads a scan with aggregates to its end. The groups are the scan's and stay until it is closed. TOO_BIG: there are more than
 * DORIS_AGGREGATE_MAX_GROUPS, or too large ones: read the rows instead.
 */
extern DORIS_MUST_CHECK DorisStatus doris_scan_groups(DorisScan *s, const AggregateTable **out,
													  DorisError *err);
extern void doris_scan_close(DorisScan *s);

/* Counts the rows that such a scan would give. */
extern DORIS_MUST_CHECK DorisStatus doris_count(DorisClient *c, const DorisScanSpec *spec,
												uint64_t *count, DorisError *err);

/* Rows and bytes of a namespace, summed from the nodes' counters: an estimate, one round trip. */
extern DORIS_MUST_CHECK DorisStatus doris_estimate(DorisClient *c, const NsDef *ns, uint64_t *rows,
												   uint64_t *bytes, DorisError *err);

/* ---- writing ---- */
typedef struct DorisWrite
{
	uint32_t ns;
	WriteKind kind;
	DorisBytes key;	   /* the row key */
	DorisBytes route;  /* its route prefix */
	DorisVersion base; /* UPDATE, DELETE: the version read */
	DorisBytes value;
} DorisWrite;

/* Where a transaction's writes come from. Read from the start again after every rewind. */
typedef struct DorisWriteSource
{
	void *arg;
	/* DORIS_OK and a write (views valid until the next call), DORIS_NOT_FOUND at the end */
	DorisStatus (*next)(void *arg, DorisWrite *out, DorisError *err);
	DorisStatus (*rewind)(void *arg, DorisError *err);
} DorisWriteSource;

typedef struct DorisCommitResult
{
	DorisVersion version; /* done: what all its rows now carry */
	uint32_t ns;		  /* CONFLICT, DUPLICATE: whose key was in the way */
	uint8_t key[256];	  /* its first bytes */
	size_t key_len;
} DorisCommitResult;

/*
 * Commits all writes of the source together (rules *stage* to *not done*): DORIS_OK; CONFLICT,
 * DUPLICATE or another status: surely not done; UNKNOWN. A key may appear once. Rows are streamed in messages of
 * DORIS_BATCH_BYTES; memory stays within a few of these per target node.
 */
extern DORIS_MUST_CHECK DorisStatus doris_commit(DorisClient *c, const DorisWriteSource *source,
												 DorisCommitResult *result, DorisError *err);
/*
 * Plain writes (rule *plain*): WRITE_PUT and WRITE_DELETE, applied at once and in any order, not together. DORIS_OK: all
 * are durable on every write target. UNKNOWN: some may be.
 */
extern DORIS_MUST_CHECK DorisStatus doris_apply(DorisClient *c, const DorisWrite *writes,
												uint32_t n, DorisError *err);

/*
 * The same in two halves. After start each node has a message under way; other calls on the client may come before end, which
 * waits for all of it and frees *out. The writes and what they point to must stay until then. Trouble on the way is end's to
 * handle and tell; start fails for rows that are too big, or without memory.
 */
typedef struct DorisApply DorisApply;
extern DORIS_MUST_CHECK DorisStatus doris_apply_start(DorisClient *c, const DorisWrite *writes,
													  uint32_t n, DorisApply **out,
													  DorisError *err);
extern void doris_apply_poll(DorisApply *a); /* sends what can be sent, never waits */
extern DORIS_MUST_CHECK DorisStatus doris_apply_end(DorisApply *a, DorisError *err);
/* Instead of end, when nobody wants to know: waits half a second at most. Any of the rows may have been written. */
extern void doris_apply_abandon(DorisApply *a);

/* ---- what the client did for its callers, FINISH in the background aside: for EXPLAIN and statistics ---- */
typedef struct DorisNodeCounters
{
	uint32_t node;
	uint64_t requests;
	uint64_t rows;	/* sent in writes, received in reads */
	uint64_t bytes; /* both ways */
	uint64_t retries;
	uint64_t failovers; /* reads that were this node's and went on, or began, at another copy */
	uint64_t
		time_us; /* from sending each request to taking its reply; those under way at once count each */
	/* a running median over short requests; those that it is made of (0: not measured yet) */
	uint64_t round_trip_ns;
	uint64_t round_trips;
} DorisNodeCounters;
/* An array of *n, each node once, valid until the next call; since connect. */
extern const DorisNodeCounters *doris_counters(const DorisClient *c, uint32_t *n);
/* A number that has changed whenever a counter has. */
extern uint64_t doris_activity(const DorisClient *c);

/* One node's counters by name. Free with stats_reply_free. */
extern DORIS_MUST_CHECK DorisStatus doris_node_stats(DorisClient *c, uint32_t node, StatsReply *out,
													 DorisError *err);
/* Count and digest of the vnodes at one node, perhaps only of the first of them. Free with digest_reply_free. */
extern DORIS_MUST_CHECK DorisStatus doris_digest(DorisClient *c, uint32_t node, uint32_t ns,
												 const uint32_t *vnodes, uint32_t n,
												 DigestReply *out, DorisError *err);

/* ---- comparing copies ---- */
typedef enum DorisVerdict
{
	DORIS_COPIES_EQUAL = 1,
	DORIS_COPIES_DIFFERENT, /* there were rows that differ; `repaired` of them do not any more */
	DORIS_COPIES_UNSETTLED, /* rows differ, but have a staged write that could not be settled: it may explain that */
	DORIS_COPIES_UNKNOWN /* a copy could not be asked */
} DorisVerdict;

typedef struct DorisVnodeCheck
{
	uint32_t vnode;
	DorisVerdict verdict;
	uint32_t copies; /* compared */
	uint64_t rows;	 /* these, and what follows, of the first group's copy */
	uint64_t bytes;
	uint64_t tombstones;
	uint64_t oldest;	/* clock of the oldest tombstone at any copy; 0: none */
	uint64_t purged;	/* tombstones with a lower clock may be gone at a copy (rule purge) */
	uint64_t different; /* rows */
	uint64_t unsettled;
	uint64_t repaired;
	char why[256]; /* UNKNOWN */
} DorisVnodeCheck;

extern const char *doris_verdict_name(DorisVerdict v); /* "equal", ... */
/*
 * Compares all copies of n vnodes while writes go on, by their digests, then those that differ row by row; ns 0: all
 * namespaces. A write in flight is no difference. repair: brings rows that differ together, the higher version wins. OK:
 * each vnode has its verdict. One deadline for all: give it vnodes by the dozen.
 */
extern DORIS_MUST_CHECK DorisStatus doris_verify(DorisClient *c, uint32_t ns,
												 const uint32_t *vnodes, uint32_t n, bool repair,
												 DorisVnodeCheck *out, DorisError *err);

/* ---- for admins ---- */
typedef enum DorisPurge
{
	DORIS_PURGED = 1,		/* the owners delete the tombstones now */
	DORIS_PURGE_DIFFERENT,	/* the copies are not equal behind that clock */
	DORIS_PURGE_STAGED,		/* somebody's write behind it is still staged */
	DORIS_PURGE_YOUNG,		/* a node remembers transactions from before that clock */
	DORIS_PURGE_INCOMPLETE, /* a copy is not complete, moves, or its node is down */
	DORIS_PURGE_UNREACHABLE /* an owner could not be asked; err says why */
} DorisPurge;

/*
 * Rule purge, for one vnode: has its owners refuse writes behind the clock `upto`, compares what they have behind it, and if
 * that is equal lets them delete its tombstones. check: what doris_verify said of the vnode. The caller has made sure that
 * no hints wait for the owners.
 */
extern DORIS_MUST_CHECK DorisStatus doris_purge(DorisClient *c, const DorisVnodeCheck *check,
												uint64_t upto, DorisPurge *out, DorisError *err);

DORIS_C_END

#endif
