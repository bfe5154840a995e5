/*
 * lead.h: the parts of the lead thread: leadership (lead.c) and what it does with it (jobs.c).
 */
#ifndef DORIS_ADMIN_LEAD_H
#define DORIS_ADMIN_LEAD_H

#include "admin.h"
#include "schema.h"

#define LEAD_RETRY_MS 500	  /* between tries for the database, and for the lock */
#define LEAD_SEEN_MS 1000	  /* between writes of what heartbeats brought */
#define LEAD_TRIM_MS 600000	  /* between clean-ups of doris.events */
#define LEAD_REFUSED_MS 60000 /* the same refusal is an event once in this time */
#define LEAD_TERM_STEP 1000	  /* how far to go on when a node knows a later term */
#define LEAD_REFUSED_KEPT 32

/* A refused greeting that was reported. */
typedef struct Refused
{
	char name[DORIS_NAME_MAX];
	DorisStatus code;
	uint64_t at;
} Refused;

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

/* ---- jobs.c ---- */
/* Carries a job out and frees it. */
extern void jobs_run(Lead *l, Job *job);
/* The first topology, when it is time. */
extern void jobs_first_topology(Lead *l);
extern Event event_of(const char *kind, const char *node, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
