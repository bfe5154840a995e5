/*
 * transport.h: how bytes get from one process to another, behind a small interface.
 *
 * A Channel carries one request at a time to one peer; whoever wants more in flight opens more channels. A Listener
 * takes requests of many peers for many threads. The implementation in use is nanomsg
 * (transport_nanomsg.c): REQ/REP, receive limits set on both ends, sizes checked before sending, its own
 * resending off. Nothing here knows messages.
 *
 * Plain (no cluster key) processes may bind and connect to loopback addresses only:
 * transport_is_loopback() is for the callers' checks.
 */
#ifndef DORIS_TRANSPORT_H
#define DORIS_TRANSPORT_H

#include "buf.h"
#include "status.h"

typedef struct Channel Channel;	  /* one thread at a time */
typedef struct Listener Listener; /* receive and reply from any thread */

/* Starts connecting; does not wait. Address: tcp://host:port. */
extern DORIS_MUST_CHECK DorisStatus channel_open(const char *address, Channel **out,
												 DorisError *err);
extern void channel_close(Channel *ch); /* NULL is fine; drops what is in flight */
/*
 * Where the connection stands, at once: 1 connected, 0 still connecting, -1 refused or lost since (a killed peer
 * shows here within milliseconds).
 */
extern int channel_state(Channel *ch);
/*
 * Sends one request if the peer is connected. UNREACHABLE: no connection now and *nothing was
 * sent* (callers rely on that); wait for channel_send_fd to become readable or give up.
 */
extern DORIS_MUST_CHECK DorisStatus channel_send(Channel *ch, DorisBytes message, DorisError *err);
/* DORIS_OK and the reply; or DORIS_TIMEOUT: none yet. Free with channel_free_reply. */
extern DORIS_MUST_CHECK DorisStatus channel_receive(Channel *ch, DorisBytes *reply,
													DorisError *err);
extern void channel_free_reply(DorisBytes *reply);
/* File descriptors that poll readable when a reply is there / when a request can be sent. */
extern int channel_receive_fd(Channel *ch);
extern int channel_send_fd(Channel *ch);

extern DORIS_MUST_CHECK DorisStatus listener_open(const char *address, Listener **out,
												  DorisError *err);
/* After this, listener_receive in every thread returns DORIS_CANCELLED; then close. */
extern void listener_shutdown(Listener *l);
extern void listener_close(Listener *l);

typedef struct Incoming
{
	DorisBytes message;
	void *route; /* back to the asker: the listener's own */
} Incoming;

/*
 * Waits up to timeout_ms (-1: for ever, 0: not at all). DORIS_TIMEOUT when nothing came. Of the threads that
 * wait one leads: messages wake only that one, and it keeps the lead while it works, so that a row of short requests is one
 * thread's, without switching (leader and followers: Schmidt et al., Pattern-Oriented Software Architecture 2). A leader that is away
 * for more than some milliseconds, while messages lie there, loses it.
 */
extern DORIS_MUST_CHECK DorisStatus listener_receive(Listener *l, int timeout_ms, Incoming *out,
													 DorisError *err);
/* Before something that takes longer than waking a thread: lets another lead. Nothing, when the calling thread does not. */
extern void listener_pass(Listener *l);
/* Is waking a second thread cheap on this machine, because there is a processor for it? */
extern bool listener_spreads(const Listener *l);
/* Sends the reply and frees the incoming. A vanished asker is no error. */
extern void listener_reply(Listener *l, Incoming *in, DorisBytes reply);
extern void listener_drop(Listener *l, Incoming *in); /* no reply: frees only */

extern bool transport_is_loopback(const char *address);
/* tcp://host:port with a port in 1..65535? */
extern bool transport_address_valid(const char *address);

#endif
