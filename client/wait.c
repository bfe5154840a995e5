/*
 * wait.c: waiting for calls, connections and time, always through the owner's wait callback, never beyond a limit (I6).
 *
 * What comes back with TIMEOUT or CANCELLED has changed nothing: the calls are still under way, and who started them
 * decides to go on, to leave them or to cut them off.
 */
#include <poll.h>
#include <sched.h>
#include <stdlib.h>

#include "client.h"

#define WAIT_STEP_MS 10 /* lost connections show only when asked for */
#define SPIN_US 130		/* a round trip on a quiet machine, and a little */
#define SPIN_REST_MAX 256

static int wait_poll(const int *fds, int nfds, struct pollfd *p, int timeout_ms)
{
	int i;

	for (i = 0; i < nfds; i++)
		p[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
	return poll(p, (nfds_t) nfds, timeout_ms) > 0;
}

/* One turn of the owner's wait callback. *idle, when wanted: it ended without anything to read. */
static DorisStatus wait_turn(DorisClient *c, int nfds, int timeout_ms, bool *idle, DorisError *err)
{
	int r;

	if (c->wait == NULL || c->no_cancel)
		r = wait_poll(c->fds, nfds, c->pollfds, timeout_ms);
	else
		r = c->wait(c->wait_arg, c->fds, nfds, timeout_ms);
	if (r < 0)
	{
		c->cancelled = true;
		return doris_error(err, DORIS_CANCELLED, "stopped while waiting for the cluster");
	}
	if (idle != NULL)
		*idle = r == 0;
	return DORIS_OK;
}

static bool fds_room(DorisClient *c, int n)
{
	int cap = c->nfds_cap;

	if (n <= cap)
		return true;
	while (cap < n)
		cap = cap > 0 ? cap * 2 : 16;
	int *fds = realloc(c->fds, (size_t) cap * sizeof(*fds));

	if (fds == NULL)
		return false;
	c->fds = fds;
	struct pollfd *pollfds = realloc(c->pollfds, (size_t) cap * sizeof(*pollfds));

	if (pollfds == NULL)
		return false;
	c->pollfds = pollfds;
	c->nfds_cap = cap;
	return true;
}

/*
 * A lone request is usually answered within a tenth of a millisecond, less than a sleep and a wake-up cost. When
 * spinning did not pay, the next calls do without, more of them each time: false.
 */
static bool call_spin(DorisClient *c, Call *call)
{
	uint64_t end;

	if (c->spin_rest > 0)
	{
		c->spin_rest--;
		return false;
	}
	end = clock_mono_us() + SPIN_US;
	do
	{
		call_pump(c, call, false);
		if (call->state == CALL_DONE)
		{
			c->spin_penalty = 1;
			return true;
		}
		(void) sched_yield(); /* the thread that brings the answer may want this very processor */
	} while (clock_mono_us() < end);
	c->spin_penalty = c->spin_penalty * 2 > SPIN_REST_MAX ? SPIN_REST_MAX : c->spin_penalty * 2 + 1;
	c->spin_rest = c->spin_penalty;
	return true;
}

DorisStatus calls_wait(DorisClient *c, Call **calls, int n, bool all, uint64_t until,
					   DorisError *err)
{
	bool spun = false;
	bool idle = false; /* nothing came: are the connections still there? */

	for (;;)
	{
		int pending = 0;
		int done = 0;
		int nfds = 0;
		int sent = 0;
		int i;
		Call *last = NULL;

		if (!fds_room(c, n))
			return client_no_memory(err);
		/* before anything is looked at: it may take answers, and close connections */
		if (c->nwork > 0)
			finish_pump(c);
		for (i = 0; i < n; i++)
		{
			Call *call = calls[i];

			if (call == NULL || call->state == CALL_IDLE)
				continue;
			if (call->state != CALL_DONE)
				call_pump(c, call, idle);
			if (call->state == CALL_DONE)
			{
				done++;
				continue;
			}
			pending++;
			last = call;
			if (all && call->state == CALL_SENT && sent++ > 0)
				continue; /* while one is waited for the others come, too: a wake-up for each is a waste */
			if (call->line->channel != NULL)
				c->fds[nfds++] = call->line->in_flight ? channel_receive_fd(call->line->channel)
													   : channel_send_fd(call->line->channel);
		}
		if (pending == 0 || (!all && done > 0))
			return DORIS_OK;
		uint64_t now = clock_mono_ms();

		if (now >= until)
			return doris_error(err, DORIS_TIMEOUT, "no answer from %s in time",
							   peer_name(c, last->peer));
		if (!spun && pending == 1)
		{
			spun = true;
			if (last->state == CALL_SENT && call_spin(c, last))
				continue;
		}
		int timeout = until - now < WAIT_STEP_MS ? (int) (until - now) : WAIT_STEP_MS;
		DorisStatus st = wait_turn(c, nfds, timeout, &idle, err);

		if (st != DORIS_OK)
			return st;
	}
}

DorisStatus client_pause(DorisClient *c, int ms, DorisError *err)
{
	uint64_t end = clock_mono_ms() + (uint64_t) ms;

	for (;;)
	{
		uint64_t now = clock_mono_ms();
		DorisStatus st;

		peers_pump(c);
		if (now >= end)
			return DORIS_OK;
		if (!fds_room(c, 1))
			return client_no_memory(err);
		st = wait_turn(c, 0, (int) (end - now), NULL, err);
		if (st != DORIS_OK)
			return st;
	}
}

DorisStatus call_run(DorisClient *c, Call *call, Peer *peer, MsgType type, Topology *topo,
					 uint64_t until, DorisError *err)
{
	DorisStatus st;

	call_start(c, call, peer, type, topo, until);
	st = calls_wait(c, &call, 1, true, until, err);
	if (st == DORIS_TIMEOUT)
		call_cut(c, call);
	else if (st != DORIS_OK)
		call_abandon(c, call);
	if (st != DORIS_OK)
		return st;
	if (call->status != DORIS_OK)
		*err = call->err;
	return call->status;
}

DorisStatus peers_connect(DorisClient *c, Peer **peers, int n, uint64_t until, Peer **bad,
						  DorisError *err)
{
	int tries = 0;

	for (;;)
	{
		int connected = 0;
		int nfds = 0;
		int i;
		Peer *refused = NULL;
		Peer *waiting = NULL;

		if (!fds_room(c, n))
			return client_no_memory(err);
		for (i = 0; i < n; i++)
		{
			int state = peers[i]->line.in_flight ? 1 : peer_state(c, peers[i]);

			if (state > 0)
				connected++;
			else if (state < 0)
				refused = peers[i];
			else
			{
				waiting = peers[i];
				c->fds[nfds++] = channel_send_fd(peers[i]->line.channel);
			}
		}
		if (connected == n)
			return DORIS_OK;
		*bad = refused != NULL ? refused : waiting;
		uint64_t now = clock_mono_ms();
		DorisStatus st;

		if (now >= until || (refused != NULL && tries >= CLIENT_TRIES))
			return doris_error(err, DORIS_UNREACHABLE, "%s %s", peer_name(c, *bad),
							   refused != NULL ? "refuses connections" : "cannot be connected to");
		if (refused != NULL)
		{
			/* the connection may just have been lost and the node be back: short growing pauses */
			st = client_pause(c, 60 << tries, err);
			tries++;
			count_retry(c, refused);
			peer_revive(c, refused);
		}
		else
			st = wait_turn(c, nfds, until - now < 20 ? (int) (until - now) : 20, NULL, err);
		if (st != DORIS_OK)
			return st;
	}
}
