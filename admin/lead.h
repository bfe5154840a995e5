/*
 * lead.h: the parts of the lead thread: leadership (lead.c), and what it does with it: for others (jobs.c), about nodes that
 * start, fail and return (judge.c), for operators (operate.c), by the clock (chores.c); what nodes report (reports.c).
 */
#ifndef DORIS_ADMIN_LEAD_H
#define DORIS_ADMIN_LEAD_H

#include "admin.h"
#include "schema.h"
#include "verdict.h"

#define LEAD_RETRY_MS 500	  /* between tries for the database, and for the lock */
#define LEAD_SEEN_MS 1000	  /* between writes of what heartbeats brought */
#define LEAD_TRIM_MS 600000	  /* between clean-ups of doris.events */
#define LEAD_REFUSED_MS 60000 /* the same refusal is an event once in this time */
#define LEAD_TERM_STEP 1000	  /* how far to go on when a node knows a later term */
#define LEAD_REFUSED_KEPT 32
#define LEAD_READY_MS 200 /* between topologies that make copies complete */
#define LEAD_CHORES_MS 1000
/*
 * Between steps of plans. Each is a new topology, which every node takes and persists with its requests held up, and clients
 * begin again with: few large steps cost users less.
 */
#define LEAD_PLANS_MS 500
#define LEAD_FLAPS 3	  /* failures in two minutes before a node waits to be let back in... */
#define LEAD_FLAP_MS 1000 /* ...so long, and twice as long with each one more... */
#define LEAD_FLAP_MAX_MS 10000 /* ...at most this */
#define LEAD_HINTS_HIGH 80	   /* percent of a log node's budget: an alarm... */
#define LEAD_HINTS_LOW 60	   /* ...which is over below this */

/* A refused greeting that was reported. */
typedef struct Refused
{
	char name[DORIS_NAME_MAX];
	DorisStatus code;
	uint64_t at;
} Refused;

/* What a node said last. */
typedef struct Seen
{
	HeartReport latest;
	bool stored; /* in the database */
	bool ready;	 /* its ready copies were not looked at yet */
	bool hints_high;
} Seen;

/* A home that greets in the place of another one. */
typedef struct Stranger
{
	uint32_t node; /* 0: none */
	uint64_t incarnation;
	uint64_t since;
} Stranger;

typedef struct Lead
{
	Admin *admin;
	Db db;
	bool leading; /* holds the lock on this connection, under this term */
	uint64_t term;
	Topology *stored; /* the newest in the schema, as this leader knows it; NULL: none */
	bool have_cluster;
	ClusterRow cluster;
	uint64_t greeted_at; /* when a home was first seen while there was no topology; 0: not yet */
	uint64_t next_try;	 /* clock_mono_ms, as the others */
	uint64_t next_seen;
	uint64_t next_trim;
	uint64_t next_first;
	uint64_t next_events;
	uint64_t next_confirm;
	uint64_t next_ready;
	uint64_t next_chores;
	uint64_t next_plans;
	struct MovePlan *plans; /* that move vnodes and are not over (plans.h) */
	int nplans;
	bool plans_known;	  /* they were read from the journal */
	uint64_t still_epoch; /* up to this epoch nothing moves */
	Seen *seen;
	int nseen;
	int seen_cap;
	Stranger strangers[8];
	int next_stranger;
	uint32_t *lost; /* nodes whose permanent failure was told, by this leader */
	int nlost;
	char away[256]; /* what was last said about the database being away; empty: it is there */
	char said[256]; /* the last complaint of the database in the log, and when */
	uint64_t said_at;
	Refused refused[LEAD_REFUSED_KEPT];
	int next_refused;
} Lead;

/* ---- lead.c ---- */
/* Makes what follows from a failed call on the database: the connection may be gone, or the leadership. Returns status. */
extern DorisStatus lead_failed(Lead *l, DorisStatus status, const DorisError *err);
/*
 * Seals the topology as the next epoch, stores it with the events, and publishes it. Takes the reference. Errors: UNAVAILABLE,
 * NOT_LEADER, UNKNOWN (the database may have it, nobody was told), TOO_BIG, NO_MEMORY.
 */
extern DORIS_MUST_CHECK DorisStatus lead_publish(Lead *l, Topology *t, const Event *events, int n,
												 DorisError *err);

/* Begins a later term, because a node knows a later one than ours. */
extern void lead_outranked(Lead *l, uint32_t node);

/* ---- reports.c ---- */
/* Takes in what came since the last call. */
extern void reports_take(Lead *l);
/* What the node said last; NULL: nothing to this admin. */
extern const HeartReport *reports_of(const Lead *l, uint32_t node);
/* Is it of the start that the newest topology names? */
extern bool reports_current(const Lead *l, const HeartReport *r);
/* Says to the database that this admin leads, and what nodes said if it is time. */
extern void reports_store(Lead *l, uint64_t now);
/* Rule *complete*: publishes the copies that are ready, when no plan's step does. */
extern void reports_ready(Lead *l, uint64_t now);
/* Makes the copies that are ready complete in a topology being made: how many, with events about it. */
extern uint32_t reports_edit_ready(Lead *l, Topology *t, Event *events, int max, int *n);
extern void reports_free(Lead *l);

/* ---- judge.c ---- */
extern void judge_hello(Lead *l, Job *job);
extern void judge_down(Lead *l, Job *job);
extern void judge_up(Lead *l, const Job *job);
extern void judge_seen(Lead *l, const Job *job);
/* Lets the node in that is down, whatever it has done before. *up: it is. */
extern DORIS_MUST_CHECK DorisStatus judge_let_in(Lead *l, uint32_t node, const char *why,
												 DorisError *err);
/* The same refusal comes again and again: one event in a while is enough. */
extern bool judge_is_news(Lead *l, const char *name, DorisStatus code);

/* ---- operate.c ---- */
extern void operate_run(Lead *l, Job *job);
/* Answers an operator whose wish stands in the newest topology. */
extern void operate_answer(Lead *l, Job *job, uint32_t plan);
/* Journals and begins a replacement. */
extern DORIS_MUST_CHECK DorisStatus operate_replace(Lead *l, const TopoNode *node,
													const TopoNode *by, uint32_t *plan,
													DorisError *err);

/* ---- chores.c ---- */
/* What is due by the clock: settings, nodes held down, plans, permanent failures. */
extern void chores_run(Lead *l, uint64_t now);
/* The next step of a plan. */
extern void chores_plan(Lead *l, const PlanRow *plan);

/* ---- jobs.c ---- */
/* Carries a job out and frees it. */
extern void jobs_run(Lead *l, Job *job);
extern void jobs_refuse(Lead *l, Job *job, const DorisError *err);
extern void jobs_answer(Lead *l, Job *job, const DorisBuf *body);
extern void jobs_waiters(Lead *l, Job *job, ReportVerdict verdict, const char *why);
/* A copy of the newest topology, to make the next one of. NULL: no memory, which is logged and in err. */
extern Topology *jobs_next(Lead *l, DorisError *err);
/* The first topology, when it is time. */
extern void jobs_first_topology(Lead *l);
extern Event event_of(const char *kind, const char *node, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
