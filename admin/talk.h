/*
 * talk.h: one request to one peer, as a small state machine that never waits.
 *
 * A Talk belongs to one thread. It keeps its channel between calls as long as all goes well, and opens
 * a fresh one after any trouble, so that a late reply can never be taken for another's.
 */
#ifndef DORIS_ADMIN_TALK_H
#define DORIS_ADMIN_TALK_H

#include "admin.h"

typedef enum CallState
{
	CALL_IDLE,
	CALL_CONNECTING, /* the message is not sent yet */
	CALL_WAITING	 /* for the reply */
} CallState;

typedef struct Talk
{
	CallState state;
	Channel *channel; /* NULL: none open */
	char address[DORIS_ADDRESS_MAX];
	DorisBuf message;
	DorisBuf scratch; /* the opened body of the last reply */
	DorisBytes reply; /* the last reply as received */
	uint16_t type;
	uint64_t request;
	uint64_t deadline; /* clock_mono_ms */
	bool refused;	   /* the last failure was a refused or lost connection, not silence */
} Talk;

extern void talk_init(Talk *c);
extern void talk_free(Talk *c);
/* Gives up what is in flight and closes the channel. */
extern void talk_drop(Talk *c);
/* Starts; the Talk must be idle. An error leaves it idle. */
extern DORIS_MUST_CHECK DorisStatus talk_start(Admin *a, Talk *c, const char *address,
											   uint16_t type, const DorisBuf *body, int timeout_ms,
											   DorisError *err);
/*
 * Goes on as far as that goes at once. OK: *envelope and *body (behind them; valid until the next start) are the reply, the
 * call is idle. TIMEOUT: still under way. Else it failed (UNREACHABLE: refused, lost or late; see c->refused) and is idle.
 */
extern DORIS_MUST_CHECK DorisStatus talk_step(Admin *a, Talk *c, Envelope *envelope,
											  DorisBytes *body, DorisError *err);
/* The fd to poll for reading while it is under way, or -1. */
extern int talk_fd(const Talk *c);
/* Is the kept channel's connection gone? Only meaningful when idle. */
extern bool talk_lost(const Talk *c);
/* A whole call, waiting up to timeout_ms. The reply's body lives until the Talk is used again. */
extern DORIS_MUST_CHECK DorisStatus talk_wait(Admin *a, Talk *c, const char *address, uint16_t type,
											  const DorisBuf *body, int timeout_ms,
											  Envelope *envelope, DorisBytes *reply,
											  DorisError *err);

#endif
