/*
 * pulse.h: the parts of the heart thread: what it keeps for each node (pulse.c), and the thread itself (heart.c).
 */
#ifndef DORIS_ADMIN_PULSE_H
#define DORIS_ADMIN_PULSE_H

#include "admin.h"
#include "talk.h"

#define PULSE_TICK_MS 50	  /* how often lost connections are looked for */
#define PULSE_BUSY_TICK_MS 10 /* while something connects or is probed */
#define PULSE_AGAIN_MS 1000	  /* before the same job is posted again */
#define PULSE_SEEN_MS 3000	  /* a HELLO has so long to come before a start is judged without one */
#define PULSE_REFUSED_TRIES 3 /* refused connections in a row that make a probe fail... */
#define PULSE_REFUSED_PAUSE_MS 50 /* ...with this between them */
#define PULSE_PUT_MS 10000		  /* a node may take this long to take a topology */
#define PULSE_RECOVER_MS \
	200 /* between heartbeats while it recovers: ready copies are not kept waiting */
#define PULSE_TOLD_MS 10000 /* what clients say about a node is an event once in this time */
#define PULSE_CLOCK_MS 20	/* two clocks may differ by this much over a lease */

/* One node, as the heart thread sees it. */
typedef struct Pulse
{
	TopoNode node; /* as the topology has it */
	bool present;  /* still in the topology */

	Talk beat;
	uint64_t next_beat; /* clock_mono_ms, as all times here */
	int misses;			/* heartbeats in a row without a proper answer */
	int good;			/* answers in a row while it is down */
	char trouble[160];	/* why the last one was missed */

	Talk probe;
	bool probing;
	int probe_tries;
	uint64_t next_probe;
	uint64_t next_down; /* no verdict is asked for before */
	bool down_asked;	/* asked for since it last answered */
	uint64_t next_up;
	uint64_t next_seen;
	uint64_t next_outranked;

	Talk put;
	uint64_t putting; /* the epoch on its way */
	uint64_t next_put;
	bool heard;		/* has answered this leader */
	uint64_t epoch; /* of the node's topology as last heard */
	bool alarmed;
	bool foreign_told;

	/* rule *lease* */
	uint64_t answered_at;  /* when it last answered at all; 0: never to this leader */
	uint64_t report_at;	   /* when its latest report came */
	uint64_t report_clock; /* the node's clock in that; 0: none yet */
	uint64_t report_incarnation;
	uint64_t
		echoed_at; /* when the latest report came that was echoed: its lease ends one lease later */
	uint64_t good_since; /* while it is down: answers since */

	/* from a probe that failed, or an operator's word, to the verdict: no leases are given any more */
	bool condemned;
	bool by_operator;
	bool sentenced;	   /* the verdict is with lead */
	uint64_t judge_at; /* not before: a lease may still stand */
	bool has_operator; /* who waits for it */
	Request operator_request;

	char reporter[80]; /* the client that complained last, and when that was told */
	uint64_t next_told;

	Request *waiters; /* clients that want to know about it */
	int nwaiters;
} Pulse;

/* A client's report, or an operator's word, on its way to the heart thread. */
typedef struct Reported
{
	struct Reported *next;
	bool fail; /* an operator wants the node out */
	bool has_request;
	Request request;
	Report report;
} Reported;

/* An answer that waits for the nodes. */
typedef struct Awaited
{
	struct Awaited *next;
	Request request;
	DorisBuf body;
	uint64_t epoch;
	uint64_t deadline;
} Awaited;

struct Heart
{
	Admin *admin;
	int kick_fd; /* eventfd */

	/* the heart thread's own */
	Topology *topology; /* the one that the pulses follow */
	DorisBuf put_body;	/* it, as TOPOLOGY_PUT */
	DorisBuf beat_head; /* scratch for heartbeats */
	Pulse **pulses;		/* in no order */
	int npulses;
	uint64_t term;					  /* the term it beats for; 0: does not lead */
	uint64_t since;					  /* leads since */
	uint64_t judge_after;			  /* before that a lease of the leader before may still stand */
	Talk ask;						  /* for a newer topology */
	char ask_next[DORIS_ADDRESS_MAX]; /* a node that has one */
	uint64_t next_ask;
	uint32_t ask_turn;
	Awaited *awaited;

	pthread_mutex_t lock; /* what other threads hand in or take out */
	Reported *reported;
	int nreported;
	Awaited *handed_in;
	int nawaited; /* both lists */
	HeartReport *reports;
	int nreports;
	int reports_cap;
	uint32_t *silent; /* nodes that are up and do not answer, as of the last round */
	int nsilent;
	int silent_cap;
	uint32_t acquitted[16]; /* whose verdict was not published */
	int nacquitted;
};

extern Pulse *pulse_new(const TopoNode *node);
extern void pulse_free(Admin *a, Pulse *p);
/* Forgets what is under way: this admin has just begun, or ceased, to lead. */
extern void pulse_reset(Admin *a, Pulse *p);
/* Does what is due. */
extern void pulse_step(Heart *h, Pulse *p, uint64_t now);
/* Should it be looked at again very soon? */
extern bool pulse_busy(const Pulse *p);
/* Takes the request. */
extern void pulse_report(Heart *h, Pulse *p, const Report *report, Request *r);
/* An operator wants it out: ends its leases, then asks for the verdict. Takes the request (NULL: nobody waits). */
extern void pulse_fail(Heart *h, Pulse *p, Request *r);
/* The verdict was not published: watch it as before. */
extern void pulse_acquit(Pulse *p, uint64_t now);
/* The topology says something new about it. */
extern void pulse_follow(Pulse *p, const TopoNode *node);
/* Takes the report's arrays. */
extern void heart_keep_report(Heart *h, uint32_t node, NodeReport *report);

#endif
