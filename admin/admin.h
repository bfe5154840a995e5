/*
 * admin.h: what the files of doris_admin share.
 *
 * Threads: *main* waits for signals. *serve* (a few) answer from memory and hand the rest on as jobs. *lead* owns the
 * database connection: leadership, new topologies, events. *heart* owns all traffic to nodes: heartbeats, probes,
 * handing topologies on. *scrub* compares the copies of vnodes with each other. What they share lies in Admin: the topology under its lock, a bounded queue of jobs, flags.
 * Nobody waits for the network or the database while holding a lock.
 */
#ifndef DORIS_ADMIN_H
#define DORIS_ADMIN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "envelope.h"
#include "msg.h"
#include "seal.h"
#include "status.h"
#include "topology.h"
#include "transport.h"

#define ADMIN_SERVE_THREADS 4
#define ADMIN_MAX_JOBS 512	  /* requests waiting for lead; more are refused with LIMIT (I6) */
#define ADMIN_MAX_EVENTS 256  /* events waiting for the database; the oldest are dropped, counted */
#define ADMIN_MAX_WAITERS 64  /* clients waiting for the probe of one node */
#define ADMIN_MAX_AWAITED 512 /* answers held back until a topology is handed out */
#define ADMIN_DB_LIMIT_MS 5000	/* of each statement */
#define ADMIN_DB_IDLE_MS 3000	/* the server ends the connection of a leader that hangs as long */
#define ADMIN_PUSH_WAIT_MS 1000 /* an answer waits this long for the nodes to take its topology */
#define ADMIN_FIRST_WAIT_MS \
	10000					 /* from the first greeting to a first topology without the absent */
#define ADMIN_SETTLE_MS 1000 /* a new leader waits this long for the nodes' epochs */
#define ADMIN_KEPT_TOPOLOGIES 100
#define ADMIN_KEPT_EVENTS 100000
#define ADMIN_KEPT_PLANS 100  /* that are over, with their moves */
#define ADMIN_LEASE_BEATS 3	  /* a lease is this many heartbeats long (rule *lease*) */
#define ADMIN_CONFIRM_MS 1000 /* leases are given so long after the database said that we lead */

typedef struct AdminOptions
{
	const char *database; /* libpq connection string */
	const char *listen;	  /* tcp://host:port */
	const char *name;
	const char *key_file; /* NULL: plain */
	int heartbeat_ms;
	int misses;		   /* heartbeats without answer before a probe */
	int scrub_rate_mb; /* a second, of each copy; 0: copies are not compared */
	int scrub_lap_s;   /* all vnodes are not compared more often than that */
	int plan_stall_s;  /* a plan without progress for so long is told */
} AdminOptions;

/* ---- log.c ---- */
typedef enum LogLevel
{
	LOG_DEBUG,
	LOG_INFO,
	LOG_WARNING,
	LOG_ERROR
} LogLevel;

extern LogLevel log_level; /* set before the threads start */
extern bool log_parse_level(const char *text, LogLevel *out);
extern void log_write(LogLevel level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- requests: who asked, so that any thread may answer ---- */
typedef struct Request
{
	Incoming in;
	Envelope envelope;
	uint64_t deadline; /* clock_mono_ms: nobody listens after it */
} Request;

struct Admin;
/* Seals and sends; frees the request. */
extern void request_answer(struct Admin *a, Request *r, const DorisBuf *body);
extern void request_refuse(struct Admin *a, Request *r, const DorisError *err);
extern void request_verdict(struct Admin *a, Request *r, ReportVerdict verdict, const char *why);

/* ---- jobs for the lead thread ---- */
typedef enum JobKind
{
	JOB_HELLO = 1, /* request, hello */
	JOB_NAMESPACE, /* request, change */
	JOB_OPERATE,   /* request, operate */
	JOB_DOWN, /* node, what, waiters: the probe failed, or an operator said so; its leases are over */
	JOB_UP,	  /* node, incarnation, for_ms: answers again */
	JOB_SEEN,	   /* node, incarnation: a start that no HELLO told us of */
	JOB_TOPOLOGY,  /* topology: somebody handed us a newer one */
	JOB_OUTRANKED, /* node, term: it knows a later term than that */
	JOB_ALARM	   /* node, what: the same epoch with another hash */
} JobKind;

typedef struct Job
{
	struct Job *next;
	JobKind kind;
	bool has_request;
	Request request;
	Hello hello;
	NamespaceChange change;
	Operate operate;
	uint32_t node;
	uint64_t incarnation;
	uint64_t term;
	uint64_t for_ms; /* UP: answers since so long; DOWN: has not answered for so long */
	char what[280];
	bool again;		  /* DOWN: not the first since the node last answered */
	bool by_operator; /* DOWN */
	Request *waiters; /* owned */
	int nwaiters;
	Topology *topology; /* a reference */
} Job;

/* ---- events ---- */
typedef struct Event
{
	char kind[32];
	char node[DORIS_NAME_MAX]; /* may be empty */
	char detail[400];
} Event;

typedef enum Counter
{
	COUNT_MESSAGES,
	COUNT_BAD_MESSAGES,
	COUNT_PING,
	COUNT_TOPOLOGY_GET,
	COUNT_TOPOLOGY_PUT,
	COUNT_STATS,
	COUNT_HELLO,
	COUNT_REPORT,
	COUNT_NAMESPACE,
	COUNT_OPERATE,
	COUNT_HEARTBEATS,
	COUNT_MISSED_HEARTBEATS,
	COUNT_PROBES,
	COUNT_FAILED,
	COUNT_RECOVERED,
	COUNT_REFUSED,
	COUNT_PUBLISHED,
	COUNT_EVENTS_LOST,
	COUNTERS
} Counter;

/* What the scrub tells, of this leadership (scrub.c). */
typedef enum ScrubStat
{
	SCRUB_VNODES,
	SCRUB_LAPS,		  /* times that all vnodes were compared */
	SCRUB_LAP_VNODES, /* compared in the lap under way */
	SCRUB_BYTES,
	SCRUB_FOUND,	 /* differences told */
	SCRUB_DIFFERENT, /* vnodes with one that is told and still there */
	SCRUB_UNSETTLED, /* by the last look at each */
	SCRUB_UNKNOWN,
	SCRUB_PURGED_VNODES,  /* times that a vnode's old tombstones were let go */
	SCRUB_TOMBSTONES_AGE, /* how many wait, and for what: see ScrubWait */
	SCRUB_TOMBSTONES_COPIES,
	SCRUB_TOMBSTONES_HINTS,
	SCRUB_TOMBSTONES_STAGED,
	SCRUB_TOMBSTONES_DIFFERENCE,
	SCRUB_STATS
} ScrubStat;

typedef struct Heart Heart;

typedef struct KnownHash
{
	uint64_t epoch; /* 0: none */
	uint8_t hash[DORIS_HASH_SIZE];
} KnownHash;

typedef struct Admin
{
	AdminOptions options;
	DorisKeys keys;
	uint32_t sender;  /* in envelopes: random per start */
	uint64_t started; /* clock_mono_ms */
	Listener *listener;

	pthread_mutex_t lock;					/* the four below */
	Topology *topology;						/* the newest known, or NULL; only ever a newer one */
	char leader_address[DORIS_ADDRESS_MAX]; /* of the admin that leads, as the schema said last */
	uint8_t cluster[DORIS_UUID_SIZE];		/* zero until known */
	KnownHash
		hashes[ADMIN_KEPT_TOPOLOGIES]; /* of the latest epochs, by epoch modulo their number */

	_Atomic uint64_t term; /* mine; 0: never led */
	atomic_bool leader;	   /* I lead (perhaps without database just now) */
	atomic_bool database_up;
	_Atomic uint64_t confirmed; /* when the database was last asked with success whether I lead */
	_Atomic uint64_t
		settled; /* the term in which all nodes were asked for their epoch: topologies may be made */
	atomic_bool halted; /* two topologies of one epoch were seen: nothing is published any more */
	atomic_bool stopping;
	_Atomic uint32_t move_rate_mb; /* setting move_rate, as it was last read; 0: no limit */
	_Atomic uint64_t counters[COUNTERS];
	_Atomic uint64_t scrub[SCRUB_STATS];

	pthread_mutex_t jobs_lock; /* the queue, and the events below */
	Job *jobs_head;
	Job *jobs_tail;
	int njobs;
	int jobs_fd; /* eventfd: readable when there is something for lead */
	Event *events;
	int nevents;

	Heart *heart;
} Admin;

#define admin_count(a, c) \
	((void) atomic_fetch_add_explicit(&(a)->counters[c], 1, memory_order_relaxed))

/* ---- state.c ---- */
extern DORIS_MUST_CHECK DorisStatus admin_init(Admin *a, DorisError *err);
extern void admin_free(Admin *a);
extern Topology *admin_topology(Admin *a); /* a reference, or NULL */
/* Takes the reference when it is newer than what there is; else drops it and returns false. */
extern bool admin_set_topology(Admin *a, Topology *t);
extern uint64_t admin_epoch(Admin *a);
/* Remembers that this epoch, of those published lately, has this hash; and is there another one known for it? */
extern void admin_keep_hash(Admin *a, uint64_t epoch, const uint8_t hash[DORIS_HASH_SIZE]);
extern bool admin_hash_differs(Admin *a, uint64_t epoch, const uint8_t hash[DORIS_HASH_SIZE]);
/* Rule *lease*: how long a lease is, and how long after `confirmed` they are given. */
static inline uint64_t admin_lease_ms(const Admin *a)
{
	return (uint64_t) ADMIN_LEASE_BEATS * (uint64_t) a->options.heartbeat_ms;
}
static inline uint64_t admin_confirm_ms(const Admin *a)
{
	uint64_t beats = 2 * (uint64_t) a->options.heartbeat_ms;

	return beats > ADMIN_CONFIRM_MS ? beats : ADMIN_CONFIRM_MS;
}
/* Queues a job, taking it over: TOPOLOGY and ALARM first, the rest in order. Requests beyond ADMIN_MAX_JOBS are refused with LIMIT and freed. */
extern void job_post(Admin *a, Job *job);
extern Job *job_new(JobKind kind);		  /* NULL: no memory */
extern Job *job_take(Admin *a);			  /* NULL: none */
extern void job_free(Admin *a, Job *job); /* unanswered requests are dropped */
/* Logs it, and when this admin leads keeps it for the database. */
extern void admin_event(Admin *a, const char *kind, const char *node, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Copies up to max waiting events; events_drop forgets the first n once they are stored. */
extern int events_peek(Admin *a, Event *out, int max);
extern void events_drop(Admin *a, int n);

/* ---- serve.c ---- */
extern void *serve_thread(void *arg);
/* An OK reply with the topology, when it is newer than have_epoch. t may be NULL. */
extern void serve_topology(const Topology *t, uint64_t have_epoch, DorisBuf *body);

/* ---- lead.c ---- */
extern void *lead_thread(void *arg);

/* ---- heart.c (its parts: pulse.h) ---- */
typedef struct HeartReport
{
	uint32_t node;
	uint64_t at;	  /* clock_wall_ms of the reply */
	uint64_t at_mono; /* clock_mono_ms */
	NodeReport report;
} HeartReport;

extern DORIS_MUST_CHECK DorisStatus heart_new(Admin *a, Heart **out, DorisError *err);
extern void heart_free(Admin *a, Heart *h);
extern void *heart_thread(void *arg);
extern void heart_kick(Admin *a); /* look at the topology and the flags now */
/* A client could not reach the node: probe it, then answer. Takes the request. */
extern void heart_report(Admin *a, Request *r, const Report *report);
/* Answers with body once every node that is up has the epoch, at the latest after ADMIN_PUSH_WAIT_MS. Takes the request. */
extern void heart_await(Admin *a, Request *r, DorisBuf *body, uint64_t epoch);
/* An operator wants the node out: its leases end, then JOB_DOWN comes. Takes the request (NULL: nobody waits). */
extern void heart_fail(Admin *a, uint32_t node, Request *r);
/* The verdict of a JOB_DOWN was certainly not published. */
extern void heart_acquit(Admin *a, uint32_t node);
/* The nodes that are up and do not answer now, malloc'ed (NULL: no memory, *n is 0). */
extern uint32_t *heart_silent(Admin *a, int *n);
/* The replies that came since the last call, malloc'ed, for heart_reports_free; NULL: none. */
extern HeartReport *heart_collect(Admin *a, int *n);
extern void heart_reports_free(HeartReport *list, int n);

/* ---- place.c: decisions that depend on nothing but their arguments ---- */
typedef struct NodeRow /* a row of doris.nodes */
{
	uint32_t id;
	char name[DORIS_NAME_MAX];
	char address[DORIS_ADDRESS_MAX];
	NodeRole role;
	uint8_t group;
	NodeCondition condition;
	uint8_t home[DORIS_UUID_SIZE]; /* zero: never greeted */
	uint64_t incarnation;
	uint64_t mark; /* high-water mark and epoch that its home last reported (rule *start*) */
	uint64_t epoch;
	bool held; /* taken out by an operator, or being replaced: stays down though it answers */
	bool accept_loss;  /* its next start is let in, whatever it lacks */
	int64_t down_s;	   /* since so many seconds; -1: is not down */
	int64_t recover_s; /* recovering since; -1: is not */
	uint32_t weight;   /* of its share of its group's vnodes */
} NodeRow;

typedef struct ClusterRow
{
	uint8_t id[DORIS_UUID_SIZE];
	uint32_t vnodes;
	uint32_t groups;
	bool sync_interval;
} ClusterRow;

extern bool uuid_is_zero(const uint8_t u[DORIS_UUID_SIZE]);
extern void uuid_text(const uint8_t u[DORIS_UUID_SIZE], char out[37]);
extern bool uuid_parse(const char *text, uint8_t out[DORIS_UUID_SIZE]);
/*
 * May the cluster be laid out over the rows now? Every group needs a data node with a home; those without are waited for
 * until waited_ms is over the limit.
 */
extern bool place_ready(const ClusterRow *c, const NodeRow *rows, int n, uint64_t waited_ms);
/* The first topology, epoch 1, not sealed: vnode i of a group with m greeted nodes is at node i mod m. NULL: no memory. */
extern Topology *place_first(const ClusterRow *c, const NodeRow *rows, int n);
/*
 * Rule *last copy*: may the node be judged failed? False, and *vnode says where, when a vnode would be left without a
 * complete copy on a node that is up.
 */
extern bool place_may_fail(const Topology *t, uint32_t node, uint32_t *vnode);
/* Is this HELLO welcome? OK, NOT_FOUND (row NULL) or DENIED, saying why. */
extern DORIS_MUST_CHECK DorisStatus place_greet(const uint8_t cluster[DORIS_UUID_SIZE],
												const NodeRow *row, const Hello *h,
												DorisError *err);
/* Enters or updates the node in a topology being made; *changed: anything differs. *joined: it was not there. */
extern DORIS_MUST_CHECK DorisStatus place_enter(Topology *t, const NodeRow *row, bool *changed,
												bool *joined, DorisError *err);

/* ---- names.c ---- */
/*
 * Carries out the change on a topology being made. changed false: it stands already. Errors: BAD_ARGUMENT, EXISTS, NOT_FOUND,
 * CONFLICT (another id), LIMIT.
 */
extern DORIS_MUST_CHECK DorisStatus names_change(Topology *t, const NamespaceChange *change,
												 bool *changed, DorisError *err);

#endif
