/*
 * client.h: what the files of libdoris share. Not installed.
 *
 * From the outside in: client.c (connect, topology, entry of every public call), peer.c (channels and calls to one
 * process each), wait.c, raw.c (rows as one given copy has them), places.c, meet.c (outcomes of staged writes), read.c, scan.c, page.c and
 * order.c (reading), hint.c (for copies that are down), stage.c (rows on their way to their targets), commit.c (transactions), close.c (how one ends when it
 * cannot go straight on), finish.c (FINISH in the background), apply.c, repair.c (plain writes), verify.c and compare.c
 * (comparing copies), purge.c, admin.c and stats.c (the rest).
 *
 * Times: `until` is always clock_mono_ms() milliseconds. Everything belongs to the client's one thread.
 */
#ifndef DORIS_CLIENT_H
#define DORIS_CLIENT_H

#include "doris.h"
#include "envelope.h"
#include "fault.h"
#include "filter.h"
#include "seal.h"
#include "transport.h"

#define CLIENT_TRIES 3			  /* of a request to one node, with the same ids */
#define CLIENT_READ_SLICE_MS 1000 /* then a reader asks another copy */
#define CLIENT_SCAN_SLICE_MS 2000 /* the same for a scan's reply, which may take reading much */
#define CLIENT_LEARN_MS \
	500 /* after a cancel: how long a commit under way tries to learn its outcome */
#define CLIENT_CONNECT_MS 5000		 /* doris_connect tries no longer */
#define CLIENT_IDLE_REFRESH_MS 10000 /* the timer on which a topology is asked for */
#define CLIENT_MAX_FINISH 1000		 /* FINISH items waiting (I6) */
#define CLIENT_EXPIRES_MAX_MS 60000	 /* after it began, anybody may close a transaction */
#define CLIENT_RECENT 64			 /* own committed transactions remembered */
#define CLIENT_TOLD 16				 /* named ones known to be decided */
#define CLIENT_MAX_ROUNDS 20		 /* of a transaction that starts again */
#define STAGE_MAX_ROWS 4096			 /* rows of one STAGE or APPLY message */

/* ---- memory that is freed together ---- */
typedef struct ArenaChunk ArenaChunk;
typedef struct Arena
{
	ArenaChunk *chunks; /* newest first */
} Arena;
extern void *arena_alloc(Arena *a, size_t n); /* zeroed, aligned to 8; NULL: no memory */
extern bool arena_copy(Arena *a, DorisBytes from, DorisBytes *to);
extern void arena_free(Arena *a);

/* ---- peers and calls (peer.c) ---- */
typedef struct Call Call;
typedef struct FinishWork FinishWork;
typedef struct Deciding Deciding;

/* A named transaction whose decision row is there. */
typedef struct ToldTxn
{
	DorisTxnId txn;
	DorisVersion version;
} ToldTxn;

/* A channel with the calls on it: one is under way, the others wait their turn. */
typedef struct Line
{
	Channel *channel; /* NULL: not open */
	uint64_t opened_ms;
	Call *queue;	  /* first: under way or next */
	bool in_flight;	  /* a request was sent and not answered yet */
	bool orphan;	  /* in_flight, but nobody waits for it any more */
	uint64_t request; /* in_flight: its id */
	uint64_t sent_us; /* in_flight: since when */
	size_t sent_bytes;
} Line;

typedef struct Peer
{
	struct Peer *next;
	char address[DORIS_ADDRESS_MAX];
	uint32_t node;			/* 0: known only from the hosts option */
	bool host;				/* named in the hosts option */
	Line line;				/* requests that somebody waits for */
	Line background;		/* FINISH */
	uint64_t suspect_until; /* it failed a moment ago: readers ask others first */
	uint64_t passed_by;		/* the latest of the client's rounds that did so */
	FinishWork *work;		/* FINISH items to be sent (finish.c) */
	FinishWork *work_last;
	uint32_t nwork;
	uint32_t nsent;			 /* the first of them are in the call under way */
	Call *finishing;		 /* for FINISH on the background line; made when first needed */
	uint64_t rest_until;	 /* no FINISH before this */
	uint64_t finish_sent_ms; /* when the latest was sent */
	bool urgent;			 /* an item is not to wait for others */
	DorisNodeCounters count;
} Peer;

typedef enum CallState
{
	CALL_IDLE = 0,
	CALL_QUEUED, /* waits for its line */
	CALL_SENT,
	CALL_DONE
} CallState;

/*
 * One request and its reply. call_init, fill `body`, call_start, wait, look at `status`, call_free. A request
 * that met BEHIND is repeated by itself after handing the topology on.
 */
struct Call
{
	Call *next; /* in the line's queue */
	Peer *peer;
	Line *line;
	MsgType type;
	DorisBuf body;	/* of the request; kept for repeating */
	Topology *topo; /* its epoch is the request's; held */
	uint64_t until; /* tells the node how long we wait */
	CallState state;
	bool handing_on;	/* a TOPOLOGY_PUT is under way in its place */
	bool maybe_arrived; /* sent at least once since call_init: the peer may have acted on it */
	int behind;			/* times BEHIND was met */
	DorisStatus status; /* done: the peer's, or UNREACHABLE, BAD_MESSAGE, DENIED, NO_MEMORY */
	DorisError err;		/* unless OK */
	DorisBytes raw;		/* the reply's message */
	DorisBuf scratch;	/* unsealed body */
	DorisCursor reply;	/* after the status; valid until call_free or call_start */
	uint64_t epoch;		/* of the replier */
	bool leased;		/* it had a lease as it answered (rule lease) */
};

extern void call_init(Call *call);
/* Queues the request; never waits. The call must not be under way. topo NULL: epoch 0. */
extern void call_start(DorisClient *c, Call *call, Peer *peer, MsgType type, Topology *topo,
					   uint64_t until);
/* Forgets the reply or, when under way, leaves it to be thrown away; the body stays. */
extern void call_abandon(DorisClient *c, Call *call);
/* The same, and drops the connection: for a peer that did not answer in time. */
extern void call_cut(DorisClient *c, Call *call);
extern void call_free(DorisClient *c, Call *call);
/* Moves its line on without waiting; look: also notices a lost connection. */
extern void call_pump(DorisClient *c, Call *call, bool look);
/*
 * Waits until all (or any) of the calls are done: DORIS_OK. TIMEOUT: not by `until`. CANCELLED: the owner says stop.
 * NULL entries and calls that were not started are skipped.
 */
extern DORIS_MUST_CHECK DorisStatus calls_wait(DorisClient *c, Call **calls, int n, bool all,
											   uint64_t until, DorisError *err);
/* Waits without calls (a pause), letting background work go on. OK or CANCELLED. */
extern DORIS_MUST_CHECK DorisStatus client_pause(DorisClient *c, int ms, DorisError *err);
/* Start, wait, give up by cutting: the call's status, or TIMEOUT, CANCELLED. */
extern DORIS_MUST_CHECK DorisStatus call_run(DorisClient *c, Call *call, Peer *peer, MsgType type,
											 Topology *topo, uint64_t until, DorisError *err);
extern void peers_pump(DorisClient *c);						  /* what goes without waiting */
extern Peer *peer_of_node(DorisClient *c, const TopoNode *n); /* made when new; NULL: no memory */
extern Peer *peer_of_address(DorisClient *c, const char *address);
/* 1 connected, 0 connecting, -1 refused or lost; opens when needed. */
extern int peer_state(DorisClient *c, Peer *p);
/* What is about to be sent in the background shall find a connection, without anybody waiting for it. */
extern void peer_open_background(Peer *p);
/* Opens anew when the connection was refused or lost a while ago. */
extern void peer_revive(DorisClient *c, Peer *p);
/*
 * Waits until all are connected. UNREACHABLE: the one in *bad was refused CLIENT_TRIES times, or not connected by `until`.
 */
extern DORIS_MUST_CHECK DorisStatus peers_connect(DorisClient *c, Peer **peers, int n,
												  uint64_t until, Peer **bad, DorisError *err);
extern void peer_suspect(Peer *p, DorisStatus st); /* after UNREACHABLE or TIMEOUT */
extern void peer_free(DorisClient *c, Peer *p);
extern const char *peer_name(DorisClient *c,
							 const Peer *p); /* "node g1n1 (tcp://…)", static buffer */

/* ---- the client ---- */
struct DorisClient
{
	DorisKeys keys;
	int deadline_ms;
	uint32_t read_group;
	DorisWaitFn wait;
	void *wait_arg;
	uint32_t origin; /* random: this client in versions and ids */
	DorisClock clock;
	uint64_t request;	 /* last request id given */
	Topology *topo;		 /* the newest known */
	uint64_t epoch_seen; /* highest in any reply */
	Peer *epoch_peer;	 /* who showed it */
	uint64_t asked_ms;	 /* when a topology was last asked for */
	Call timer_call;	 /* the timer's TOPOLOGY_GET */
	Peer *peers;
	uint32_t nhosts;
	uint32_t timer_host; /* whose turn it is on the timer */
	uint64_t until;		 /* end of the public call in progress */
	bool no_cancel;		 /* the wait callback is not to be asked (bounded by CLIENT_LEARN_MS) */
	bool cancelled;		 /* the public call in progress was told to stop */
	uint32_t nwork;		 /* FINISH items waiting, all peers, and decision rows on their way */
	bool flushing;		 /* none of them is to wait for others */
	DorisTxnId recent[CLIENT_RECENT]; /* own, committed */
	uint32_t nrecent;				  /* ever put there */
	ToldTxn told[CLIENT_TOLD];
	uint32_t ntold;			/* ever put there */
	Deciding *deciding;		/* decision rows on their way (decide.c) */
	uint64_t unnamed_until; /* a named transaction met another: the next ones go the longer way */
	DorisBuf out;			/* the message being sent */
	int spin_rest;			/* calls that will not spin */
	int spin_penalty;
	DorisNodeCounters *counters; /* what doris_counters returned last */
	uint64_t activity;			 /* grows whenever a counter does */
	uint64_t rounds;			 /* in which scans chose copies to read */
	bool readdressed;			 /* a node has counters under two addresses */
	struct pollfd *pollfds;
	int *fds;
	int nfds_cap;
};

/* Begins a public call: deadline, timer, background work. */
extern void client_begin(DorisClient *c);
/* The node with this address; NULL: none, so perhaps an admin. */
extern const TopoNode *client_node_at(const DorisClient *c, const char *address);
extern int client_left_ms(const DorisClient *c, uint64_t until);
/* Of the time that is left until then, an nth: when it ends. */
extern uint64_t client_share(uint64_t until, int n);
extern void client_note_epoch(DorisClient *c, Peer *p, uint64_t epoch);
/* Takes a topology when it is newer and of the same cluster. */
extern DORIS_MUST_CHECK DorisStatus client_take_topology(DorisClient *c, DorisBytes encoded,
														 DorisError *err);
/*
 * Fetches a topology of at least min_epoch (and in any case asks somebody once). UNAVAILABLE when none is
 * to be had by `until`.
 */
extern DORIS_MUST_CHECK DorisStatus client_refresh(DorisClient *c, uint64_t min_epoch,
												   uint64_t until, DorisError *err);
/*
 * After STALE_EPOCH, NOT_OWNER or NO_NAMESPACE: brings the newest topology; when it is the one in
 * use already, pauses a little (two nodes may disagree for a moment).
 */
extern DORIS_MUST_CHECK DorisStatus client_moved(DorisClient *c, uint64_t used_epoch,
												 uint64_t until, DorisError *err);
extern bool status_is_moved(DorisStatus st); /* STALE_EPOCH, NOT_OWNER, NO_NAMESPACE, BEHIND */
/* Tells an admin that a node does not answer. What it said, or VERDICT_UNSURE. */
extern ReportVerdict client_report(DorisClient *c, uint32_t node, const char *what, uint64_t until);
extern DorisVersion client_version(DorisClient *c);
extern DorisTxnId client_txnid(DorisClient *c);
static inline DorisStatus client_no_memory(DorisError *err)
{
	return doris_error(err, DORIS_NO_MEMORY, "out of memory in the client library");
}
/* "key \x0102ff of namespace orders": for messages. Static buffers, four in turn. */
extern const char *key_text(DorisBytes key);
extern const char *txn_text(DorisTxnId id);

/* ---- places.c ---- */
typedef struct RowPlace
{
	uint32_t vnode;
	uint32_t row; /* whatever the caller calls it */
	DorisBytes key;
} RowPlace;
/* By vnode, then by key: the order in which a node's store has them. */
extern void places_sort(RowPlace *places, uint32_t n);

static inline void count_rows(DorisClient *c, Peer *p, uint64_t n)
{
	p->count.rows += n;
	c->activity++;
}
static inline void count_retry(DorisClient *c, Peer *p)
{
	p->count.retries++;
	c->activity++;
}
static inline void count_failover(DorisClient *c, Peer *p)
{
	p->count.failovers++;
	c->activity++;
}

/* ---- raw.c: rows as given copies have them ---- */
typedef struct Projection
{
	bool all_columns;
	bool no_values;
	uint32_t ncolumns;
	const uint16_t *columns;
	DorisBytes
		filter; /* filter.h program: what it does not pass counts as not there; empty: all rows */
	const Filter *judge; /* the same, of ns's rows */
	const NsDef *ns;
} Projection;

/* The columns of a whole value, in the arena; key: for the error. */
extern DORIS_MUST_CHECK DorisStatus value_project(Arena *a, DorisBytes key, DorisBytes value,
												  const uint16_t *columns, uint32_t ncolumns,
												  DorisBytes *out, DorisError *err);

typedef struct RawGet
{
	KeyRef at;
	const TopoNode *node; /* whom to ask */
	DorisStatus status;	  /* OK, or why there is no row state */
	bool done;
	bool leased;  /* the node had a lease */
	RowState row; /* in the arena */
} RawGet;

/*
 * Asks for all rows, all nodes at once. OK: every entry has its own status; err then holds the last failure.
 * Else CANCELLED or NO_MEMORY. A node that does not answer within slice_ms gives TIMEOUT. With a filter, rows with a
 * staged write come whole and unfiltered.
 */
extern DORIS_MUST_CHECK DorisStatus raw_get(DorisClient *c, Topology *t, RawGet *gets, uint32_t n,
											const Projection *p, Arena *a, int slice_ms,
											uint64_t until, DorisError *err);

/* ---- lease.c ---- */
/*
 * Rows of these vnodes were read from the node while it had no lease: may they be used? OK; a status that is_moved: the
 * placement has changed; UNAVAILABLE: nobody can say so.
 */
extern DORIS_MUST_CHECK DorisStatus lease_confirm(DorisClient *c, Topology *t, uint32_t node,
												  const uint32_t *vnodes, uint32_t n,
												  uint64_t until, DorisError *err);

/* ---- read.c ---- */
typedef struct GetKey
{
	KeyRef at; /* vnode 0 is filled in from the route key for rows; as given for decision rows */
	DorisBytes route;
	bool done;
	bool found;
	DorisVersion version;
	DorisBytes value; /* in the arena */
	/* progress */
	uint32_t bad[DORIS_MAX_GROUPS]; /* nodes that failed this key in this round */
	uint32_t nbad;
} GetKey;
/* What doris_get does, for keys of any space. */
extern DORIS_MUST_CHECK DorisStatus get_keys(DorisClient *c, GetKey *keys, uint32_t n,
											 const Projection *p, Arena *a, uint64_t until,
											 DorisError *err);

/* ---- meet.c ---- */
typedef enum Outcome
{
	TXN_PENDING = 0, /* not committed as of the asking; may still be */
	TXN_COMMITTED,
	TXN_ABORTED, /* can never commit */
	TXN_OPEN	 /* somebody who has to be asked cannot be */
} Outcome;

typedef struct MeetRow
{
	KeyRef at;
	uint32_t node; /* the copy that showed it */
	RowState row;  /* as it did; nstaged > 0 */
	/* result */
	Outcome outcome; /* COMMITTED, PENDING: found, version, value are the answer; OPEN: none */
	bool found;
	DorisVersion version;
	DorisBytes value;
} MeetRow;

/*
 * What readers are to see of rows with a staged write (rule *meet*). OK: every row has its outcome; err says why
 * when one is OPEN. Else CANCELLED, NO_MEMORY.
 */
extern DORIS_MUST_CHECK DorisStatus meet_rows(DorisClient *c, Topology *t, MeetRow *rows,
											  uint32_t n, const Projection *p, Arena *a,
											  uint64_t until, DorisError *err);
extern bool recent_committed(const DorisClient *c, DorisTxnId id);
extern void recent_add(DorisClient *c, DorisTxnId id);
/* The id of the transaction that stages T's decision row "C". */
extern DorisTxnId decision_txn(DorisTxnId t);

/* ---- close.c ---- */
/* What is known of a write met or made, for closing its transaction. */
typedef struct CloseHint
{
	const uint32_t *never; /* nodes that surely do not hold it and never will */
	uint32_t nnever;
	/* one's own: to be told as committed it needs a hint for each failed copy, too (I1). NULL: somebody else's */
	const uint32_t *kept; /* nodes for which there is one */
	uint32_t nkept;
	uint64_t
		changed; /* never and kept count only while this is changed(v): what v was when the first message was sent */
	bool
		untold; /* no decision row was there: nobody was told that it, or what it decides, is committed */
	const KeyRef *at; /* one of its rows, with */
	DorisVersion
		version; /* its version: settles what is older than the nodes' memory. NULL: not known */
} CloseHint;

/*
 * Ends a transaction of one vnode for good (rule *close*): COMMITTED, ABORTED (a judge refused, all others have dropped or
 * refused), or OPEN when that cannot be decided by `until` (err says why).
 */
extern Outcome close_single(DorisClient *c, DorisTxnId txn, uint32_t vnode, const CloseHint *hint,
							uint64_t until, DorisError *err);
/*
 * The same for one of several vnodes, by its decision row; s: its txn, mode, decision_vnode, others and version. Its rows are not dropped yet. closer (or NULL): the transaction
 * that staged "A", when it was ours (else untouched): to be finished when all targets have dropped the rows. COMMITTED of a
 * named one says that its decision row is there (rule decided first).
 */
extern Outcome close_decision(DorisClient *c, const StagedInfo *s, uint64_t until,
							  DorisTxnId *closer, DorisError *err);
/*
 * A writer's question about the staged write s met at `node`: closes it when it has expired. ABORTED also: it is not
 * there any more. COMMITTED: FINISH may be sent; a named one's decision row is there. Nothing is finished yet.
 */
extern Outcome meet_writer(DorisClient *c, const StagedInfo *s, const KeyRef *at, uint32_t node,
						   uint64_t until, DorisError *err);
/*
 * FINISH at all targets of a vnode (but those in hint->never), waiting for the answers. Of an abort: ABORTED: all have
 * dropped it; COMMITTED: one knows it as committed; PENDING: the placement has moved, ask anew; OPEN: some did not answer.
 */
extern Outcome finish_vnode(DorisClient *c, Topology *t, DorisTxnId txn, bool commit,
							uint32_t vnode, const CloseHint *hint, uint64_t until, DorisError *err);

/*
 * Rule outcome: do all up copies of the vnode that do not judge hold the transaction (or know it as committed)? Before that
 * nobody acts on its commit. One that is asked and lacks it fetches it: ask again. False: err says who does not.
 */
extern bool others_hold(DorisClient *c, Topology *t, DorisTxnId txn, uint32_t vnode, uint64_t until,
						DorisError *err);

/*
 * A named one without a decision row, for a reader: COMMITTED: everybody who has to holds it. PENDING: it was not when they
 * were asked. OPEN: err says why.
 */
extern Outcome named_state(DorisClient *c, Topology *t, const StagedInfo *s, uint64_t until,
						   DorisError *err);

/* ---- decide.c ---- */
extern bool told_known(const DorisClient *c, DorisTxnId txn);
extern void told_add(DorisClient *c, DorisTxnId txn, DorisVersion version);
extern bool told_by_version(const DorisClient *c, DorisVersion version, DorisTxnId *out);
extern void decide_pump(DorisClient *c);
/*
 * Whoever writes on top of what this client has just committed waits here until it is decided. OK: it is, or nothing of that version is on
 * its way any more (the judges will say).
 */
extern DORIS_MUST_CHECK DorisStatus decide_await(DorisClient *c, DorisVersion version,
												 uint64_t until, DorisError *err);
extern void decide_forget(DorisClient *c); /* at the end */

/* ---- finish.c ---- */
/* The targets of one transaction: for its decision row (t NULL: there is none), or to wait for. */
typedef struct FinishGroup FinishGroup;

extern FinishGroup *finish_group_new(DorisTxnId decision, uint32_t vnode, Topology *t);
/* Queues FINISH for one node. vnodes is copied. group may be NULL. Never waits; drops on no memory (harmless). */
extern void finish_queue(DorisClient *c, Peer *p, DorisTxnId txn, bool commit,
						 const uint32_t *vnodes, uint32_t n, FinishGroup *group);
/* The same for a node that is failed: a log node p keeps it. A commit only. */
extern void finish_queue_hint(DorisClient *c, Peer *p, uint32_t target, DorisTxnId txn);
/* A target cannot be told: the decision row has to stay. */
extern void finish_group_failed(FinishGroup *group);
/* All items of the group are queued: when they are acknowledged, the decision row is finished. */
extern void finish_group_sealed(DorisClient *c, FinishGroup *group);
extern void finish_pump(DorisClient *c);
/*
 * Takes up to max transactions off the peer's queue that a STAGE may carry: committed, and nobody waits for the answer.
 * Returns how many; their ids are in out.
 */
extern uint32_t finish_ride(DorisClient *c, Peer *p, DorisTxnId *out, uint32_t max);
/* Waits until at most `left` items (of the group, or NULL: of all) are not acknowledged, no longer than ms. */
extern void finish_flush(DorisClient *c, const FinishGroup *group, uint32_t left, int ms);
extern void finish_forget(DorisClient *c, Peer *p); /* at the end */

/* ---- hint.c ---- */
/* The log node to ask at the nth try about a target; NULL: none is up. */
extern Peer *hint_peer(DorisClient *c, const Topology *t, uint32_t target, uint32_t nth);
/* The body of a HINT: a message of that type, kept for that node. */
extern void hint_wrap(DorisBuf *out, uint32_t target, MsgType type, const DorisBuf *body);
/*
 * Has a message kept for a failed copy. OK: it is on a log node's disk (or there is none and degraded_writes is on). A
 * status that is_moved: everything again under a newer topology. LIMIT: the budgets are full. UNAVAILABLE: not by `until`.
 */
extern DORIS_MUST_CHECK DorisStatus hint_keep(DorisClient *c, Topology *t, const TopoNode *target,
											  MsgType type, const DorisBuf *body, uint64_t until,
											  DorisError *err);

/* ---- decision.c ---- */
/* One row staged under a transaction of its own: a decision row. */
typedef struct StageOne
{
	bool sent;				/* it may have arrived somewhere */
	bool moved;				/* a target answered STALE_EPOCH or the like */
	uint32_t node;			/* ABORTED: who refused; OPEN and not moved: who did not answer, or 0 */
	StageConflict conflict; /* ABORTED: how; no values */
} StageOne;
/*
 * Stages it at all targets of its vnode, trying CLIENT_TRIES times. COMMITTED: all hold it. ABORTED: one refused (others
 * may hold it: close it). OPEN: one did not answer, or has moved.
 */
extern Outcome stage_one(DorisClient *c, Topology *t, DorisTxnId txn, DorisVersion version,
						 uint64_t expires_ms, const KeyRef *at, DorisBytes value, uint64_t until,
						 StageOne *out, DorisError *err);

/* ---- repair.c ---- */
/* A complete copy of a vnode; purged: as its node told it before any row was read (rule purge). */
typedef struct ComparedCopy
{
	const TopoNode *node;
	uint64_t purged;
} ComparedCopy;
/* By I4, of n rows read: the version, then the deletion, then the larger bytes. */
extern const RowState *repair_newest(const RawGet *gets, int n);
/* repair_row for these copies, also of versions that are behind their fences. */
extern DORIS_MUST_CHECK DorisStatus repair_copies(DorisClient *c, Topology *t, KeyRef at,
												  const ComparedCopy *copies, int n,
												  DorisVersion *version, bool *present,
												  bool *repaired, uint64_t until, DorisError *err);
/*
 * Compares the copies of a row and writes the newest committed one to the others. *version: that newest (none: never
 * written); *present: it is a row. UNAVAILABLE when a copy could not be asked.
 */
extern DORIS_MUST_CHECK DorisStatus repair_row(DorisClient *c, Topology *t, KeyRef at,
											   DorisVersion *version, bool *present, bool *repaired,
											   uint64_t until, DorisError *err);

/* ---- compare.c ---- */
/*
 * Finds the rows of vnode out->vnode in which its copies differ (n of them; ns 0: all namespaces), while writes go on, and
 * repairs them when asked to: different, unsettled and repaired of *out. Other statuses than OK: a copy could not be asked
 * (is_moved: under this topology).
 */
extern DORIS_MUST_CHECK DorisStatus compare_rows(DorisClient *c, Topology *t, uint32_t ns,
												 const ComparedCopy *copies, int n, bool repair,
												 DorisVnodeCheck *out, uint64_t until,
												 DorisError *err);

#endif
