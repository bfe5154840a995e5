/*
 * pulse.h: the parts of the heart thread: what it keeps for each node (pulse.c), and the thread itself (heart.c).
 */
#ifndef DORIS_ADMIN_PULSE_H
#define DORIS_ADMIN_PULSE_H

#include "admin.h"
#include "call.h"

#define PULSE_TICK_MS 50		  /* how often lost connections are looked for */
#define PULSE_BUSY_TICK_MS 10	  /* while something connects or is probed */
#define PULSE_AGAIN_MS 1000		  /* before the same job is posted again */
#define PULSE_REFUSED_TRIES 3	  /* refused connections in a row that make a probe fail... */
#define PULSE_REFUSED_PAUSE_MS 50 /* ...with this between them */
#define PULSE_PUT_MS 10000		  /* a node may take this long to take a topology */

/* One node, as the heart thread sees it. */
typedef struct Pulse
{
	TopoNode node; /* as the topology has it */
	bool present;  /* still in the topology */

	Call beat;
	uint64_t next_beat; /* clock_mono_ms, as all times here */
	int misses;			/* heartbeats in a row without a proper answer */
	int good;			/* answers in a row while it is down */
	char trouble[160];	/* why the last one was missed */

	Call probe;
	bool probing;
	int probe_tries;
	uint64_t next_probe;
	uint64_t next_down; /* no verdict is asked for before */
	bool down_asked;	/* asked for since it last answered */
	uint64_t next_up;
	uint64_t next_seen;
	uint64_t next_outranked;

	Call put;
	uint64_t putting; /* the epoch on its way */
	uint64_t next_put;
	bool heard;		/* has answered this leader */
	uint64_t epoch; /* of the node's topology as last heard */
	bool alarmed;
	bool foreign_told;

	Request *waiters; /* clients that want to know about it */
	int nwaiters;
} Pulse;

/* A client's report on its way to the heart thread. */
typedef struct Reported
{
	struct Reported *next;
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
	Call ask;						  /* for a newer topology */
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
extern void pulse_report(Heart *h, Pulse *p, Request *r);
extern void heart_keep_report(Heart *h, uint32_t node, const NodeReport *report);

#endif
