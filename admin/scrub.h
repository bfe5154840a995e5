/*
 * scrub.h: the thread of the leading admin that compares all copies over and over, and lets old tombstones go.
 */
#ifndef DORIS_ADMIN_SCRUB_H
#define DORIS_ADMIN_SCRUB_H

#include "admin.h"
#include "doris.h"

/* Why tombstones of a vnode are still there, by the last look. */
typedef enum ScrubWait
{
	WAIT_NOTHING = 0, /* there are none, or they are being deleted */
	WAIT_AGE,		  /* younger than what nodes remember of transactions */
	WAIT_COPIES,	  /* a copy is not complete, moves, its node is down or does not answer */
	WAIT_HINTS,		  /* a log node keeps writes for an owner, or cannot be asked */
	WAIT_STAGED,	  /* an old write is still staged */
	WAIT_DIFFERENCE,  /* the copies differ */
	SCRUB_WAITS
} ScrubWait;

/* What is known of a vnode. */
typedef struct ScrubVnode
{
	uint8_t verdict; /* DorisVerdict of the last look; 0: not looked at yet */
	uint8_t wait;	 /* ScrubWait */
	bool told;		 /* its difference is an event */
	uint64_t
		again; /* clock_mono_ms: when a difference is looked at for the second time; 0: none is */
	uint64_t tombstones;
} ScrubVnode;

typedef struct Scrub
{
	Admin *admin;
	DorisClient *client; /* NULL: not connected */
	ScrubVnode *vnodes;	 /* nvnodes; owned */
	uint32_t nvnodes;
	uint32_t next;		   /* vnode of this lap */
	uint64_t next_at;	   /* clock_mono_ms: not before */
	uint64_t next_connect; /* likewise */
	/* rule purge, as nodes told them a moment ago */
	uint64_t asked_at; /* clock_mono_ms; 0: not yet */
	uint64_t
		horizon; /* clock behind which every data node that answers remembers nothing; 0: not known */
	bool log_nodes;						/* all of them have told what they keep */
	uint32_t kept_for[DORIS_MAX_NODES]; /* node ids */
	int nkept_for;
} Scrub;

extern void *scrub_thread(void *arg); /* of the Admin */

/* ---- for tests ---- */
/* Takes in what a look at a vnode showed; tells what is to be told. */
extern void scrub_note(Scrub *s, const DorisVnodeCheck *check, ScrubWait wait, uint64_t now);
/* The vnode to be looked at now; false: none before s->next_at. */
extern bool scrub_choose(Scrub *s, uint64_t now, uint32_t *vnode);

#endif
