/*
 * msg.h: the bodies of all messages: shapes, encoding, decoding.
 *
 * Encoders append to a DorisBuf (check its `failed` at the end). Decoders check everything, point
 * into the input, and allocate arrays with malloc: `msg_free(x)` frees what a decoder of x allocated
 * (safe on a zeroed struct and after a failed decode). They return BAD_MESSAGE for anything odd.
 *
 * A reply's body starts with u8 status; unless that is OK a message and hint follow (strings), and nothing else:
 * reply_put_error / reply_read_status. Results that a transaction has to weigh (a conflict, a row that is
 * not held) are not errors: they are in the reply's own fields.
 */
#ifndef DORIS_MSG_H
#define DORIS_MSG_H

#include "buf.h"
#include "envelope.h"
#include "nsdef.h"
#include "status.h"
#include "topology.h"
#include "version.h"

typedef enum MsgType
{
	/* any process */
	MSG_PING = 1,		  /* empty → empty */
	MSG_TOPOLOGY_GET = 2, /* → the topology it has, when newer than `have_epoch` */
	MSG_TOPOLOGY_PUT = 3, /* hands a topology on */
	MSG_STATS = 4,		  /* empty → named counters */

	/* to nodes */
	MSG_HEARTBEAT = 10, /* from the leading admin */
	MSG_GET = 11,
	MSG_SCAN = 12,
	MSG_STAGE = 13,
	MSG_FINISH = 14,
	MSG_OUTCOME = 15, /* ask, or refuse if not held */
	MSG_APPLY = 16,	  /* plain writes */
	MSG_DIGEST = 17,  /* count and digest per vnode */
	MSG_HINT = 18,	  /* to a log node: keep a request for a copy that is down */
	MSG_REPLAY = 19,  /* from a log node to the target that is back: kept requests, oldest first */
	MSG_PULL = 20,	  /* from a copy that is being made complete to a complete one */
	MSG_PURGE = 21,	  /* what of a vnode is behind everybody may lose its tombstones */

	/* to admins */
	MSG_HELLO = 30,		/* a node registers its start */
	MSG_REPORT = 31,	/* a client could not reach a node */
	MSG_NAMESPACE = 32, /* create, alter, drop, truncate: the leader only */
	MSG_OPERATE = 33	/* what an operator asks about a node: the leader only */
} MsgType;

/* ---- replies ---- */
extern void reply_put_ok(DorisBuf *b);
extern void reply_put_error(DorisBuf *b, const DorisError *err);
/* OK, or the peer's error copied into err (its code returned). */
extern DORIS_MUST_CHECK DorisStatus reply_read_status(DorisCursor *c, DorisError *err);

/* ---- topology ---- */
typedef struct TopologyGet
{
	uint64_t have_epoch; /* 0: nothing yet */
} TopologyGet;
extern void topology_get_encode(DorisBuf *b, const TopologyGet *m);
extern DORIS_MUST_CHECK DorisStatus topology_get_decode(DorisBytes body, TopologyGet *out,
														DorisError *err);
/* Reply after the status, and the body of TOPOLOGY_PUT: bytes, empty when the asker's is not older. */

/* ---- heartbeat, hello, report ---- */
typedef struct Heartbeat
{
	uint64_t term; /* nodes refuse a lower one than they have seen */
	uint64_t epoch;
	uint8_t hash[DORIS_HASH_SIZE];
	uint32_t node; /* whom the admin believes to talk to; another node answers DENIED */
	uint8_t cluster[DORIS_UUID_SIZE];
	/*
	 * Rule lease: `clock_ms` of the latest report that this admin got from this incarnation (0: none). The node's lease
	 * ends `lease_ms` after that moment by its own clock, however late this message arrives.
	 */
	uint64_t incarnation;
	uint64_t echo_ms;
	uint32_t lease_ms;
	uint32_t
		move_rate_mb; /* what the node may pull per second for copies that move to it; 0: no limit */
} Heartbeat;

#define DORIS_MAX_READY 4096 /* copies named in one report; the rest follow in the next ones */
#define DORIS_MAX_BACKLOGS DORIS_MAX_NODES

/* A copy that is ready to be published as complete (rule complete): only while changed(v) is still this. */
typedef struct ReadyCopy
{
	uint32_t vnode;
	uint64_t changed;
} ReadyCopy;

/* What a log node holds for one target. */
typedef struct Backlog
{
	uint32_t target;
	uint64_t hints;
	uint64_t bytes;
	uint64_t oldest_ms; /* wall clock of the oldest */
} Backlog;

typedef struct NodeReport /* reply to HEARTBEAT */
{
	uint64_t epoch;
	uint8_t hash[DORIS_HASH_SIZE];
	uint64_t incarnation; /* random per start */
	uint8_t home[DORIS_UUID_SIZE];
	uint64_t rows;
	uint64_t bytes;
	uint32_t vnodes;
	uint64_t hints;
	uint64_t staged; /* transactions with staged rows */
	uint64_t disk_free;
	bool disk_full;
	char build[64];
	uint64_t clock_ms; /* the node's monotonic clock as it answered: to be echoed (rule lease) */
	uint64_t mark;	   /* high-water mark: durable, only ever grows in one home (rule start) */
	/* recovery of this node's copies */
	uint32_t recovering;	  /* copies that are not ready yet */
	uint64_t recovered_bytes; /* pulled since the recovery began */
	uint64_t recover_bytes;	  /* expected in all; an estimate */
	uint32_t nready;
	ReadyCopy *ready; /* malloced by the decoder */
	/* log nodes */
	uint64_t hint_bytes;
	uint64_t hint_budget;
	uint32_t nbacklogs;
	Backlog *backlogs; /* malloced by the decoder */
} NodeReport;
extern void node_report_free(NodeReport *m);
extern void heartbeat_encode(DorisBuf *b, const Heartbeat *m);
extern DORIS_MUST_CHECK DorisStatus heartbeat_decode(DorisBytes body, Heartbeat *out,
													 DorisError *err);
extern void node_report_encode(DorisBuf *b, const NodeReport *m);
extern DORIS_MUST_CHECK DorisStatus node_report_decode(DorisCursor *c, NodeReport *out,
													   DorisError *err);

typedef struct Hello /* node → admin, at every start until welcome */
{
	char name[DORIS_NAME_MAX];
	char address[DORIS_ADDRESS_MAX];
	uint8_t home[DORIS_UUID_SIZE];	  /* made when the home was; never zero */
	uint8_t cluster[DORIS_UUID_SIZE]; /* zero: a new home */
	uint32_t node;					  /* 0: a new home */
	uint64_t incarnation;
	uint64_t epoch; /* highest it knows */
	char build[64];
	uint64_t mark; /* high-water mark as it was found on disk at this start (rule start) */
	bool clean;	   /* the last stop was clean */
} Hello;

typedef struct
	Welcome /* reply: OK with this; NOT_FOUND: not registered yet, ask again; DENIED: never */
{
	uint8_t cluster[DORIS_UUID_SIZE];
	uint32_t node;
	DorisBytes topology; /* may be empty when none is published yet */
} Welcome;
extern void hello_encode(DorisBuf *b, const Hello *m);
extern DORIS_MUST_CHECK DorisStatus hello_decode(DorisBytes body, Hello *out, DorisError *err);
extern void welcome_encode(DorisBuf *b, const Welcome *m);
extern DORIS_MUST_CHECK DorisStatus welcome_decode(DorisCursor *c, Welcome *out, DorisError *err);

typedef struct Report /* client → admin */
{
	uint32_t node;
	char what[128]; /* "refused", "no answer in 1000 ms", ... */
} Report;

typedef enum ReportVerdict
{
	VERDICT_HEALTHY = 1, /* the admin reaches it: the trouble is the client's own */
	VERDICT_FAILED = 2,	 /* it is (now) judged failed: fetch the topology */
	VERDICT_UNSURE = 3	 /* the admin cannot judge now (no database, not the leader, last copy) */
} ReportVerdict;
extern void report_encode(DorisBuf *b, const Report *m);
extern DORIS_MUST_CHECK DorisStatus report_decode(DorisBytes body, Report *out, DorisError *err);
/* Reply after the status: u8 verdict, string explanation. */

typedef enum OperateVerb
{
	OPERATE_FAILOVER = 1, /* take a node out: judged failed though it may answer, until RECOVER */
	OPERATE_RECOVER = 2,  /* let it back in; accept_loss: even as the last copy of an older home */
	OPERATE_REPLACE = 3,  /* `by` takes over the copies of `node` */
	/* Plans that move vnodes (`dry`: only what they would move); `names`: their nodes. */
	OPERATE_EXPAND = 4,	   /* the nodes join group `group` and get their share of it */
	OPERATE_SHRINK = 5,	   /* the nodes give away what they hold, and are spares then */
	OPERATE_REBALANCE = 6, /* the nodes of group `group` get their shares, by their weights */
	OPERATE_PAUSE = 7,	   /* plan `plan` begins nothing new */
	OPERATE_RESUME = 8,
	OPERATE_CANCEL = 9,		 /* what has moved stays where it is, what is under way is dropped */
	OPERATE_PLANS = 10,		 /* changes nothing: plan `plan`; 0: the latest ones */
	OPERATE_ADD_GROUP = 11,	 /* the nodes become one more group: another copy of everything */
	OPERATE_DROP_GROUP = 12, /* the last group, `group`, goes; its nodes are spares then */
	OPERATE_REMOVE = 13		 /* the node, which holds nothing, is dead from now on */
} OperateVerb;

typedef struct Operate
{
	OperateVerb verb;
	char node[DORIS_NAME_MAX];
	char by[DORIS_NAME_MAX]; /* REPLACE: the spare */
	bool accept_loss;
	bool dry; /* PLANS: without the moves */
	uint32_t group;
	uint32_t plan;
	uint32_t nnames;
	char (*names)[DORIS_NAME_MAX];
} Operate;
extern void operate_encode(DorisBuf *b, const Operate *m);
extern DORIS_MUST_CHECK DorisStatus operate_decode(DorisBytes body, Operate *out, DorisError *err);
extern void operate_free(Operate *m);

/* What a plan moves, or moved, from one node to another. */
typedef struct PlanMove
{
	uint32_t group;
	char from[DORIS_NAME_MAX];
	char to[DORIS_NAME_MAX];
	uint32_t vnodes;
	uint32_t done;	 /* of them, at the new owner */
	uint64_t rows;	 /* about: by what the nodes said last */
	uint64_t bytes;	 /* about */
	uint64_t needed; /* bytes of disk that the plan needs at `to`, for all that comes there */
	uint64_t free;	 /* bytes of disk that are free there, as it said last; PLAN_FREE_UNKNOWN */
} PlanMove;

#define PLAN_FREE_UNKNOWN UINT64_MAX /* it has said nothing yet, or nothing comes there */

/* A plan, as in the view doris_plans. */
typedef struct PlanInfo
{
	uint32_t id;
	char kind[16];	/* expand, shrink, rebalance, replace, add_group, drop_group */
	char state[16]; /* running, waiting (goes on by itself), paused, done, cancelled */
	uint32_t group; /* 0: several */
	uint32_t vnodes_total;
	uint32_t vnodes_done;
	uint64_t bytes_total;
	uint64_t bytes_done;
	uint64_t bytes_per_s;
	uint64_t started_ms; /* wall clock; 0: not yet */
	uint64_t eta_ms;	 /* wall clock; 0: unknown */
	char error[256];	 /* why it waits, or was cancelled */
} PlanInfo;

#define DORIS_MAX_PLANS_TOLD 100
#define DORIS_MAX_PLAN_MOVES 65536 /* pairs of nodes */

/* The reply after the status. */
typedef struct OperateReply
{
	uint32_t plan;		 /* 0: done already, or nothing to do */
	DorisBytes topology; /* in which it stands; a view */
	uint32_t minimum;	 /* the fewest vnodes that any plan to this end could move */
	uint32_t nmoves;
	PlanMove *moves; /* `dry`, and PLANS of one plan */
	uint32_t nplans;
	PlanInfo *plans; /* PLANS: the latest first */
} OperateReply;
extern void operate_reply_encode(DorisBuf *b, const OperateReply *m);
extern DORIS_MUST_CHECK DorisStatus operate_reply_decode(DorisCursor *c, OperateReply *out,
														 DorisError *err);
extern void operate_reply_free(OperateReply *m);

typedef enum NamespaceVerb
{
	NAMESPACE_CREATE = 1, /* def without ids; the same shape under the same name is a success */
	NAMESPACE_ADD_COLUMNS =
		2, /* def.columns: those to add, by name; present ones of the same type are skipped */
	NAMESPACE_DROP = 3,
	NAMESPACE_TRUNCATE = 4 /* a new id */
} NamespaceVerb;

typedef struct NamespaceChange
{
	NamespaceVerb verb;
	NsDef def; /* name always; DROP, TRUNCATE: id = the one meant, else CONFLICT (0: whichever) */
} NamespaceChange;
extern void namespace_change_encode(DorisBuf *b, const NamespaceChange *m);
extern DORIS_MUST_CHECK DorisStatus namespace_change_decode(DorisBytes body, NamespaceChange *out,
															DorisError *err);
extern void namespace_change_free(NamespaceChange *m);
/* Reply after the status: the topology (bytes) in which the change stands. */

/* ---- rows ---- */
#define DORIS_SPACE_ROWS 1 /* namespaces' rows */
#define DORIS_SPACE_DECISIONS \
	2 /* decision rows: namespace 0, key = transaction id, value "C" or "A" */

/*
 * How a transaction's outcome is found. Within one vnode and message: committed once all judges
 * of that vnode hold it. Over a few vnodes, one message to each node, each staged row naming all of them: once all judges
 * of all of them hold it (rule *named*). Else: committed exactly when its decision row "C" is.
 */
typedef enum TxnMode
{
	TXN_SINGLE = 1,
	TXN_DECISION = 2,
	TXN_NAMED = 3
} TxnMode;

/* TXN_NAMED: the vnodes of its rows beside the one of its decision row; none twice. Else n is 0. */
#define DORIS_MAX_OTHERS 5
typedef struct OtherVnodes
{
	uint16_t n;
	uint16_t vnodes[DORIS_MAX_OTHERS];
} OtherVnodes;

/* Does it have rows in the vnode? */
static inline bool txn_names(uint32_t decision_vnode, const OtherVnodes *others, uint32_t vnode)
{
	bool is_named = vnode == decision_vnode;

	for (int i = 0; i < others->n && !is_named; i++)
		is_named = others->vnodes[i] == vnode;
	return is_named;
}

/* What a copy knows of a staged write, as it tells others. */
typedef struct StagedInfo
{
	DorisTxnId txn;
	TxnMode mode;
	uint32_t decision_vnode; /* not TXN_SINGLE: where its decision row lives */
	OtherVnodes others;		 /* TXN_NAMED */
	uint64_t expires_ms;	 /* wall clock: after this anybody may close it */
	uint64_t now_ms; /* the node's wall clock as it answered: judge expiry by the same clock */
	bool deleted;	 /* a staged tombstone */
	DorisVersion base;
	DorisVersion version;
	DorisBytes value; /* GET, SCAN: its value; in conflicts empty */
} StagedInfo;

/* A row as a copy has it. present: has a committed version that is not a tombstone. */
typedef struct RowState
{
	DorisBytes key; /* GET: empty (order of the request); SCAN: the row key */
	bool present;
	DorisVersion version; /* committed: of the row or tombstone; none: never here */
	DorisBytes value;
	uint8_t nstaged;   /* judging copies: 0 or 1 */
	StagedInfo staged; /* the first */
} RowState;

typedef struct KeyRef
{
	uint8_t space;
	uint32_t ns;
	uint32_t vnode;
	DorisBytes key;
} KeyRef;

#define DORIS_MAX_KEYS 65536 /* keys in a GET, rows in a STAGE or APPLY */
#define DORIS_MAX_PROJECTION 1601
#define DORIS_MAX_ORDERED_VNODES \
	1024 /* of an ordered scan: each has a cursor open for every page */

typedef struct GetRequest
{
	uint32_t nkeys;
	KeyRef *keys;
	bool all_columns;
	bool no_values; /* versions and staged marks only (INSERT's look before) */
	uint32_t ncolumns;
	uint16_t *columns;	/* rising ids */
	uint32_t max_bytes; /* the reply may stop after this much: fewer rows than keys, at least one */
	DorisBytes filter;	/* filter.h program, for rows of one namespace; empty: all */
} GetRequest;

typedef struct GetReply
{
	/* the first nrows keys. With a filter: rows that it does not pass are not present; staged ones come unfiltered and
	   with all columns: the asker settles them, then filters */
	uint32_t nrows;
	RowState *rows;
} GetReply;
extern void get_request_encode(DorisBuf *b, const GetRequest *m);
extern DORIS_MUST_CHECK DorisStatus get_request_decode(DorisBytes body, GetRequest *out,
													   DorisError *err);
extern void get_request_free(GetRequest *m);
/* One row at a time into the reply: first reply_put_ok and a u32 count (buf_set_u32 later). */
extern void row_state_encode(DorisBuf *b, const RowState *r);
extern DORIS_MUST_CHECK DorisStatus get_reply_decode(DorisCursor *c, GetReply *out,
													 DorisError *err);
extern void get_reply_free(GetReply *m);

typedef struct ScanRequest
{
	uint32_t ns;
	uint32_t def_version;
	uint32_t nvnodes;
	uint32_t *vnodes;  /* rising; read in this order, unless: */
	bool ordered;	   /* the rows of all vnodes come merged, by rising keys */
	bool reverse;	   /* ... by falling keys */
	DorisBytes low;	   /* row keys: low inclusive, empty: from the start */
	DorisBytes high;   /* exclusive, empty: to the end */
	DorisBytes filter; /* filter.h program, empty: all */
	/*
	 * aggregate.h program; empty: rows are sent. Rows that pass and have no staged write are only aggregated; those
	 * with one are sent, for the asker to settle and to add.
	 */
	DorisBytes aggregate;
	/*
	 * Not with aggregates: only the rows that are in this sample (sample.h) are sent. The others that pass are told as a number,
	 * those with a staged write as they are without it. share 0: no sample.
	 */
	uint64_t share;
	uint64_t seed;
	bool all_columns;
	uint32_t ncolumns;
	uint16_t *columns;
	uint32_t max_rows; /* limits of one reply; 0: the node's own */
	uint32_t max_bytes;
	/* go on after this key of this vnode, and all vnodes before it are done; ordered: after this key of every vnode */
	uint32_t resume_vnode;
	bool resume;
	DorisBytes resume_key;
} ScanRequest;

typedef struct ScanReply
{
	DorisBytes
		groups; /* aggregates of the rows up to the token, as aggregate.h encodes them; empty: none were asked for */
	uint64_t
		passed; /* of a sample: the rows that passed and have not been sent with a staged write */
	uint32_t nrows;
	RowState *
		rows; /* staged ones unfiltered and with all columns: the asker settles them, then filters */
	uint32_t *vnodes;	 /* of each row */
	bool done;			 /* all vnodes read to the end */
	uint32_t next_vnode; /* not done: the resume token */
	DorisBytes next_key;
} ScanReply;
extern void scan_request_encode(DorisBuf *b, const ScanRequest *m);
extern DORIS_MUST_CHECK DorisStatus scan_request_decode(DorisBytes body, ScanRequest *out,
														DorisError *err);
extern void scan_request_free(ScanRequest *m);
/*
 * Layout: u32 nrows (buf_set_u32 later) and each row: varint vnode, row_state; then, as they are known last,
 * bytes groups, varint passed, u8 done, varint next_vnode, bytes next_key.
 */
/* What stands behind the rows of a SCAN's reply. */
extern void scan_reply_encode_end(DorisBuf *b, DorisBytes groups, uint64_t passed, bool done,
								  uint32_t next_vnode, DorisBytes next_key);
extern DORIS_MUST_CHECK DorisStatus scan_reply_decode(DorisCursor *c, ScanReply *out,
													  DorisError *err);
extern void scan_reply_free(ScanReply *m);

/* ---- transactions ---- */
typedef enum WriteKind
{
	WRITE_INSERT = 1, /* stored must be absent or a tombstone */
	WRITE_UPDATE = 2, /* stored version must be base */
	WRITE_DELETE = 3, /* stored version must be base */
	WRITE_PUT = 4	  /* plain only: whatever is there */
} WriteKind;

typedef struct StageRow
{
	KeyRef at;
	WriteKind kind;
	DorisVersion base;
	DorisBytes value; /* empty for DELETE */
} StageRow;

typedef struct StageRequest
{
	DorisTxnId txn;
	DorisVersion version; /* of all its rows */
	TxnMode mode;
	uint32_t decision_vnode;
	OtherVnodes
		others; /* TXN_NAMED: with decision_vnode, the vnodes of all its rows, here or elsewhere */
	uint64_t expires_ms; /* wall clock */
	uint32_t nrows;		 /* TXN_SINGLE: all rows of the transaction, all in one vnode */
	StageRow *rows;
	/*
	 * Rule finish: transactions that the sender knows as committed and that this node may hold staged. Ended after the
	 * answer, without one of their own: a FINISH that costs no message. Of named ones: their decision rows are there.
	 */
	uint32_t nfinished;
	DorisTxnId *finished;
} StageRequest;

#define DORIS_MAX_FINISHED 256

typedef enum StageRefusal
{
	REFUSAL_BASE = 1,	/* stored version is not base (INSERT: a live row is there) */
	REFUSAL_STAGED = 2, /* another transaction's staged write is on the row */
	REFUSAL_REFUSED =
		3, /* this transaction was refused or dropped here: it cannot commit under this epoch */
	REFUSAL_LOW =
		4, /* the new version is not above the stored one: move the clock on, stage anew */
	REFUSAL_HORIZON = 5 /* stamped before the memory's horizon and not held: unknown → 08007 */
} StageRefusal;

typedef struct StageConflict
{
	uint32_t row; /* index in the request */
	StageRefusal why;
	bool present;		 /* BASE: a live row is there */
	DorisVersion stored; /* BASE, LOW */
	StagedInfo staged;	 /* STAGED */
} StageConflict;

typedef struct StageReply
{
	bool held;			 /* every row is held durably (staged, or applied as committed) */
	uint32_t nconflicts; /* !held: up to 64 of them; no row of the message was staged */
	StageConflict *conflicts;
} StageReply;
extern void stage_request_encode(DorisBuf *b, const StageRequest *m);
extern DORIS_MUST_CHECK DorisStatus stage_request_decode(DorisBytes body, StageRequest *out,
														 DorisError *err);
extern void stage_request_free(StageRequest *m);
extern void stage_reply_encode(DorisBuf *b, const StageReply *m);
extern DORIS_MUST_CHECK DorisStatus stage_reply_decode(DorisCursor *c, StageReply *out,
													   DorisError *err);
extern void stage_reply_free(StageReply *m);

typedef struct FinishItem
{
	DorisTxnId txn;
	bool commit; /* commit: good in any epoch. abort: the drop, fenced by the request's epoch */
	uint32_t
		nvnodes; /* the vnodes that the transaction touches on this node (abort is refused for those) */
	uint32_t *vnodes;
} FinishItem;

typedef struct FinishRequest
{
	uint32_t nitems; /* at most 1024 */
	FinishItem *items;
} FinishRequest;

/* Reply after the status: u32 n, then for each item u8 FinishResult. */
typedef enum FinishResult
{
	FINISHED = 1, /* committed: applied and remembered; abort: dropped and durably refused */
	FINISH_COMMITTED =
		2,			 /* an abort met a transaction known here as committed: evidence of commit */
	FINISH_STALE = 3 /* abort under a stale epoch: nothing done */
} FinishResult;
extern void finish_request_encode(DorisBuf *b, const FinishRequest *m);
extern DORIS_MUST_CHECK DorisStatus finish_request_decode(DorisBytes body, FinishRequest *out,
														  DorisError *err);
extern void finish_request_free(FinishRequest *m);

typedef struct OutcomeRequest
{
	DorisTxnId txn;
	uint32_t vnode;
	bool refuse; /* durably refuse it here if it is not held */
} OutcomeRequest;

/* Reply after the status: u8 OutcomeResult. */
typedef enum OutcomeResult
{
	OUTCOME_HELD = 1,	   /* staged here */
	OUTCOME_COMMITTED = 2, /* known as committed */
	OUTCOME_REFUSED = 3,   /* durably refused or dropped here */
	OUTCOME_NOT_HELD = 4,  /* not here (only without `refuse`) */
	OUTCOME_HORIZON = 5	   /* older than the memory: nothing can be said */
} OutcomeResult;
extern void outcome_request_encode(DorisBuf *b, const OutcomeRequest *m);
extern DORIS_MUST_CHECK DorisStatus outcome_request_decode(DorisBytes body, OutcomeRequest *out,
														   DorisError *err);

/* ---- plain writes ---- */
typedef struct ApplyRow
{
	KeyRef at;
	bool deleted;
	DorisVersion version;
	DorisBytes value;
} ApplyRow;

typedef struct ApplyRequest
{
	bool from_client; /* stamps are checked against the clock, meeting a higher version is told */
	uint32_t nrows;
	ApplyRow *rows;
	/*
	 * Rule purge, of a repair: what the target called purged (VnodeDigest) before the rows were read at another copy. Only
	 * while that is still so does it take versions behind its fence.
	 */
	bool has_purged;
	uint64_t purged;
} ApplyRequest;

/*
 * Reply after the status: u32 n, then (u32 row, version) for rows that met a higher version (staged included), or are behind
 * the vnode's fence (rule purge; not only from clients).
 */
typedef struct ApplyReply
{
	uint32_t nhigher;
	uint32_t *rows;
	DorisVersion *versions;
} ApplyReply;
extern void apply_request_encode(DorisBuf *b, const ApplyRequest *m);
extern DORIS_MUST_CHECK DorisStatus apply_request_decode(DorisBytes body, ApplyRequest *out,
														 DorisError *err);
extern void apply_request_free(ApplyRequest *m);
extern void apply_reply_encode(DorisBuf *b, const ApplyReply *m);
extern DORIS_MUST_CHECK DorisStatus apply_reply_decode(DorisCursor *c, ApplyReply *out,
													   DorisError *err);
extern void apply_reply_free(ApplyReply *m);

/* ---- count and digest ---- */
typedef struct DigestRequest
{
	uint32_t ns; /* 0: all namespaces */
	uint32_t nvnodes;
	uint32_t *vnodes;
} DigestRequest;

/*
 * digest: XOR of the first 8 bytes of BLAKE2b(key, version, deleted, value) over committed rows and tombstones (I4), those
 * tombstones left out that are behind `purged` (rule purge).
 */
typedef struct VnodeDigest
{
	uint32_t vnode;
	uint64_t rows;
	uint64_t tombstones;
	uint64_t staged;
	uint64_t bytes;
	uint64_t digest;
	uint64_t purged; /* clock: tombstones below it may be gone */
	uint64_t oldest; /* clock of the oldest tombstone that is counted; 0: none */
} VnodeDigest;

typedef struct DigestReply
{
	uint32_t n; /* at least 1; fewer than asked when it takes long */
	VnodeDigest *vnodes;
} DigestReply;
extern void digest_request_encode(DorisBuf *b, const DigestRequest *m);
extern DORIS_MUST_CHECK DorisStatus digest_request_decode(DorisBytes body, DigestRequest *out,
														  DorisError *err);
extern void digest_request_free(DigestRequest *m);
extern void digest_reply_encode(DorisBuf *b, const DigestReply *m);
extern DORIS_MUST_CHECK DorisStatus digest_reply_decode(DorisCursor *c, DigestReply *out,
														DorisError *err);
extern void digest_reply_free(DigestReply *m);

/* ---- hints (rule hints) ---- */
/*
 * A write for a copy that the topology of the request's epoch calls down and incomplete, as the body of the
 * message that the copy would have got. Kept durably before the reply. LIMIT: the budget is full.
 */
typedef struct HintRequest
{
	uint32_t target; /* node id */
	uint16_t type;	 /* MSG_STAGE, MSG_FINISH (commit only) or MSG_APPLY */
	DorisBytes body;
} HintRequest;
extern void hint_request_encode(DorisBuf *b, const HintRequest *m);
extern DORIS_MUST_CHECK DorisStatus hint_request_decode(DorisBytes body, HintRequest *out,
														DorisError *err);

#define DORIS_MAX_REPLAY 4096

typedef struct ReplayItem
{
	uint16_t type;
	DorisBytes body;
} ReplayItem;

typedef struct ReplayRequest
{
	uint32_t nitems;
	ReplayItem *items; /* oldest first */
} ReplayRequest;

/* Reply after the status: u32 n, then for each item u8 ReplayResult. */
typedef enum ReplayResult
{
	REPLAY_APPLIED = 1,
	REPLAY_OBSOLETE =
		2,			  /* no such namespace, or the copy is no longer here, or it judges already */
	REPLAY_POISON = 3 /* cannot be applied, ever: set aside */
} ReplayResult;
extern void replay_request_encode(DorisBuf *b, const ReplayRequest *m);
extern DORIS_MUST_CHECK DorisStatus replay_request_decode(DorisBytes body, ReplayRequest *out,
														  DorisError *err);
extern void replay_request_free(ReplayRequest *m);

/* ---- pulling a copy (rule complete) ---- */
typedef enum PullWhat
{
	PULL_DIGEST = 1,  /* kept sums of the vnode; low: more vnodes (u32 each), answered in order */
	PULL_RANGES = 2,  /* the same for runs of records, so that equal ones need not be pulled */
	PULL_RECORDS = 3, /* records as stored: committed value or tombstone, and staged writes */
	PULL_STAGED = 4,  /* only records that have a staged write */
	PULL_MEMORY = 5,  /* ids of committed transactions, of the whole node; low: from this id on */
	PULL_HASHES =
		6 /* of each committed record, what tells it from another: to find those that differ */
} PullWhat;

typedef struct PullRequest
{
	PullWhat what;
	uint32_t vnode;
	DorisBytes low;	 /* store keys (MEMORY: a transaction id), inclusive; empty: from the start */
	DorisBytes high; /* exclusive; empty: to the end */
	uint32_t max_bytes; /* of the reply, about */
} PullRequest;
extern void pull_request_encode(DorisBuf *b, const PullRequest *m);
extern DORIS_MUST_CHECK DorisStatus pull_request_decode(DorisBytes body, PullRequest *out,
														DorisError *err);
/*
 * Replies after the status.
 * DIGEST: u32 n (at least 1; fewer than asked when it takes long), each: u64 digest, u64 records, u64 staged writes, u64
 * fence, u64 purged (rule purge).
 * RANGES: u32 n (set later), each: bytes last key (inclusive), u64 digest, varint records; then u8 done, bytes next key.
 * RECORDS, STAGED: u32 n, each: bytes store key, bytes record; then u8 done, bytes next key.
 * MEMORY: u32 n, each: transaction id (16); then u8 done, bytes next id.
 * HASHES: u32 n, each: bytes store key, version, u8 deleted, u64 digest as in DIGEST; then u8 done, bytes next key.
 */

/* ---- tombstones (rule purge) ---- */
typedef enum PurgeStep
{
	PURGE_FENCE = 1, /* take no new write below `upto` any more, and tell what is there below it */
	PURGE_RELEASE =
		2 /* all copies are fenced and were found equal below `upto`: tombstones may go */
} PurgeStep;

typedef struct PurgeRequest
{
	PurgeStep step;
	uint32_t vnode;
	uint64_t upto;	 /* a clock: versions below it are meant */
	uint64_t ignore; /* FENCE: tombstones below it are left out of the sums */
} PurgeRequest;
extern void purge_request_encode(DorisBuf *b, const PurgeRequest *m);
extern DORIS_MUST_CHECK DorisStatus purge_request_decode(DorisBytes body, PurgeRequest *out,
														 DorisError *err);

typedef enum PurgeResult
{
	PURGE_DONE = 1,
	PURGE_YOUNG = 2, /* not older than what this node remembers of transactions */
	PURGE_UNREST =
		3, /* by this node's topology a copy is not complete, moves, or its node is not up */
	PURGE_UNFENCED = 4 /* RELEASE without the fence */
} PurgeResult;

typedef struct PurgeReply
{
	PurgeResult result;
	uint64_t purged; /* as it stands now */
	/* FENCE done: of the rows with versions below upto */
	uint64_t records;
	uint64_t tombstones; /* of these */
	uint64_t staged;	 /* staged writes */
	uint64_t digest;
} PurgeReply;
extern void purge_reply_encode(DorisBuf *b, const PurgeReply *m);
extern DORIS_MUST_CHECK DorisStatus purge_reply_decode(DorisCursor *c, PurgeReply *out,
													   DorisError *err);

/* ---- statistics: reply to STATS ---- */
typedef struct StatItem
{
	char name[64]; /* "requests_get", "rows_ns_7", "bytes_ns_7", ... */
	uint64_t value;
} StatItem;

typedef struct StatsReply
{
	uint32_t n;
	StatItem *items;
} StatsReply;
extern void stats_reply_encode(DorisBuf *b, const StatsReply *m);
extern DORIS_MUST_CHECK DorisStatus stats_reply_decode(DorisCursor *c, StatsReply *out,
													   DorisError *err);
extern void stats_reply_free(StatsReply *m);

#endif
