/*
 * peer.c: channels to nodes and admins, and the calls on them.
 *
 * A line is a channel with a queue: one request is under way, the others wait. A request that nobody
 * waits for any more is left on the line until its reply comes (its owner is gone, the line is not); one whose peer
 * does not answer is cut: the channel is closed, because a second request on a busy connection could
 * lose its reply (the raw REP of the other end drops silently).
 *
 * Nothing here decides about outcomes. What the rules need is kept per call: maybe_arrived tells whether a
 * single byte of it may have reached the peer (I7), and every reply's epoch is noted (I3).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define LINE_REVIVE_MS 50	/* a refused connection is not tried again sooner */
#define LINE_ORPHAN_MS 1000 /* a forgotten request may hold up others no longer */
#define SUSPECT_REFUSED_MS 200
#define SUSPECT_SILENT_MS 2000
#define ROUND_TRIP_BYTES 4096 /* longer messages tell more than the way there and back */

/* ---- peers ---- */
Peer *peer_of_address(DorisClient *c, const char *address)
{
	Peer *p;

	for (p = c->peers; p != NULL; p = p->next)
		if (strcmp(p->address, address) == 0)
			return p;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	snprintf(p->address, sizeof(p->address), "%s", address);
	p->next = c->peers;
	c->peers = p;
	return p;
}

Peer *peer_of_node(DorisClient *c, const TopoNode *n)
{
	Peer *p;
	bool elsewhere = false;

	for (p = c->peers; p != NULL; p = p->next)
	{
		if (p->node != n->id)
			continue;
		if (strcmp(p->address, n->address) == 0)
			return p;
		elsewhere = true;
	}
	p = peer_of_address(c, n->address);
	if (p != NULL)
	{
		p->node = n->id;
		p->count.node = n->id;
		c->readdressed |= elsewhere;
	}
	return p;
}

const char *peer_name(DorisClient *c, const Peer *p)
{
	static _Thread_local char name[DORIS_NAME_MAX + DORIS_ADDRESS_MAX + 16];
	const TopoNode *n = p->node != 0 && c->topo != NULL ? topology_node(c->topo, p->node) : NULL;

	if (n != NULL)
		snprintf(name, sizeof(name), "node %s (%s)", n->name, p->address);
	else
		snprintf(name, sizeof(name), "%s", p->address);
	return name;
}

/* ---- lines ---- */
static void call_done(Call *call, DorisStatus st)
{
	call->state = CALL_DONE;
	call->handing_on = false;
	call->status = st;
}

static void line_pop(Line *l)
{
	Call *call = l->queue;

	l->queue = call->next;
	call->next = NULL;
}

/* Closes the channel; what was under way is lost to us, though not always to the peer. */
static void line_close(Line *l)
{
	channel_close(l->channel);
	l->channel = NULL;
	l->in_flight = false;
	l->orphan = false;
}

static DorisStatus line_open(Line *l, const Peer *p, DorisError *err)
{
	DorisStatus st = DORIS_OK;

	if (l->channel == NULL)
	{
		st = channel_open(p->address, &l->channel, err);
		if (st != DORIS_OK)
			l->channel = NULL;
		l->opened_ms = clock_mono_ms();
	}
	return st;
}

static void line_revive(Line *l)
{
	if (l->channel != NULL && !l->in_flight && clock_mono_ms() - l->opened_ms >= LINE_REVIVE_MS &&
		channel_state(l->channel) < 0)
		line_close(l);
}

int peer_state(DorisClient *c, Peer *p)
{
	DorisError err;

	(void) c;
	if (line_open(&p->line, p, &err) != DORIS_OK)
		return -1;
	return channel_state(p->line.channel);
}

void peer_open_background(Peer *p)
{
	DorisError ignored;

	(void) !line_open(&p->background, p, &ignored);
}

void peer_revive(DorisClient *c, Peer *p)
{
	(void) c;
	line_revive(&p->line);
}

void peer_suspect(Peer *p, DorisStatus st)
{
	p->suspect_until =
		clock_mono_ms() + (st == DORIS_TIMEOUT ? SUSPECT_SILENT_MS : SUSPECT_REFUSED_MS);
}

void peer_free(DorisClient *c, Peer *p)
{
	finish_forget(c, p);
	while (p->line.queue != NULL)
		call_abandon(c, p->line.queue);
	line_close(&p->line);
	line_close(&p->background);
	free(p);
}

/* Writes the head's request (or the topology in its place) and hands it to the channel. */
static DorisStatus line_send(DorisClient *c, Line *l, Call *call, DorisError *err)
{
	Envelope e = {.format = DORIS_FORMAT_SENT, .sender = c->origin};
	DorisBytes body = {call->body.data, call->body.len};
	DorisBuf put;
	DorisStatus st;

	buf_init(&put);
	e.type = (uint16_t) call->type;
	e.request = ++c->request;
	e.epoch = call->topo != NULL ? call->topo->epoch : 0;
	e.deadline_ms = (uint32_t) client_left_ms(c, call->until);
	if (call->handing_on)
	{
		buf_put_bytes(&put, c->topo->encoded, c->topo->encoded_len);
		if (put.failed)
			return client_no_memory(err);
		e.type = MSG_TOPOLOGY_PUT;
		e.epoch = c->topo->epoch;
		body = (DorisBytes){put.data, put.len};
	}
	buf_reset(&c->out);
	st = envelope_write(&c->keys, &e, body, &c->out, err);
	buf_free(&put);
	if (st == DORIS_OK)
		st = channel_send(l->channel, (DorisBytes){c->out.data, c->out.len}, err);
	if (st == DORIS_OK)
	{
		l->in_flight = true;
		l->orphan = false;
		l->request = e.request;
		l->sent_us = clock_mono_us();
		l->sent_bytes = c->out.len;
		call->state = CALL_SENT;
		if (!call->handing_on)
			call->maybe_arrived = true;
		if (l != &call->peer->background)
		{
			call->peer->count.requests++;
			call->peer->count.bytes += c->out.len;
			c->activity++;
		}
	}
	/* one big message must not keep its memory for ever */
	if (c->out.cap > 4 * DORIS_BATCH_BYTES)
		buf_free(&c->out);
	return st;
}

static void fail_unreachable(DorisClient *c, Call *call, const char *what)
{
	call_done(call,
			  doris_error(&call->err, DORIS_UNREACHABLE, "%s %s", peer_name(c, call->peer), what));
}

/*
 * Books a reply. A short question with a short answer tells the peer's round trip, as a running median: a sample
 * moves it by a sixteenth at most, however late it is.
 */
static void count_reply(DorisClient *c, Peer *p, const Line *l, const Call *call, size_t len)
{
	DorisNodeCounters *n = &p->count;
	uint64_t took = clock_mono_us() - l->sent_us;
	uint64_t step = n->round_trip_ns / 16;

	c->activity++;
	n->bytes += len;
	n->time_us += took;
	if ((call->type != MSG_GET && call->type != MSG_STATS) || call->handing_on ||
		l->sent_bytes > ROUND_TRIP_BYTES || len > ROUND_TRIP_BYTES)
		return;
	took *= 1000;
	if (n->round_trips++ == 0)
		n->round_trip_ns = took;
	else if (took > n->round_trip_ns)
		n->round_trip_ns += took - n->round_trip_ns < step ? took - n->round_trip_ns : step;
	else
		n->round_trip_ns -= n->round_trip_ns - took < step ? n->round_trip_ns - took : step;
}

/* A reply for the head of the line. False: it is not over (handed a topology on, asks again). */
static void call_take(DorisClient *c, Peer *p, Line *l, Call *call, DorisBytes raw)
{
	Envelope e;
	DorisBytes body;
	DorisStatus st;

	l->in_flight = false;
	if (l != &p->background)
		count_reply(c, p, l, call, raw.len);
	st = envelope_read(&c->keys, raw.data, raw.len, &e, &body, &call->scratch, &call->err);
	if (st == DORIS_OK && (e.request != l->request || (e.type & DORIS_REPLY) == 0))
		st = doris_error(&call->err, DORIS_BAD_MESSAGE, "%s answered another request",
						 peer_name(c, p));
	if (st != DORIS_OK)
	{
		channel_free_reply(&raw);
		line_pop(l);
		line_close(l);
		call_done(call, st);
		return;
	}
	client_note_epoch(c, p, e.epoch);
	call->raw = raw;
	call->epoch = e.epoch;
	call->leased = e.deadline_ms > 0;
	call->reply = cursor_of(body.data, body.len);
	st = reply_read_status(&call->reply, &call->err);
	if (call->handing_on)
	{
		call->handing_on = false;
		if (st == DORIS_OK)
		{
			channel_free_reply(&call->raw);
			call->state = CALL_QUEUED; /* still the head: asks again */
			return;
		}
	}
	/* I3: a node that is behind first gets the newer topology */
	else if (st == DORIS_BEHIND && c->topo != NULL && e.epoch < c->topo->epoch &&
			 call->behind++ < CLIENT_TRIES)
	{
		channel_free_reply(&call->raw);
		call->handing_on = true;
		call->state = CALL_QUEUED;
		count_retry(c, p);
		return;
	}
	line_pop(l);
	call_done(call, st);
}

/* Moves a line on as far as it goes without waiting. */
static void line_pump(DorisClient *c, Peer *p, Line *l, bool look)
{
	for (;;)
	{
		DorisError err;
		DorisStatus st;
		Call *call = l->queue;

		if (l->in_flight)
		{
			DorisBytes raw;

			st = channel_receive(l->channel, &raw, &err);
			if (st == DORIS_OK && l->orphan)
			{
				channel_free_reply(&raw);
				l->in_flight = l->orphan = false;
				continue;
			}
			if (st == DORIS_OK)
			{
				call_take(c, p, l, call, raw);
				continue;
			}
			if (st == DORIS_TIMEOUT && look && channel_state(l->channel) >= 0)
			{
				if (l->orphan && call != NULL &&
					clock_mono_us() - l->sent_us > LINE_ORPHAN_MS * 1000)
				{
					line_close(l);
					continue;
				}
				return;
			}
			if (st == DORIS_TIMEOUT && !look)
				return;
			/* the connection is gone: the request may have arrived, its reply will not */
			bool orphan = l->orphan;

			line_close(l);
			if (!orphan)
			{
				line_pop(l);
				fail_unreachable(c, call, "closed the connection before answering");
			}
			continue;
		}
		if (call == NULL)
			return;
		st = line_open(l, p, &err);
		if (st == DORIS_OK)
			st = line_send(c, l, call, &err);
		if (st == DORIS_OK)
			return;
		if (st == DORIS_UNREACHABLE)
		{
			if (l->channel != NULL && channel_state(l->channel) >= 0)
				return; /* still connecting */
			line_pop(l);
			fail_unreachable(c, call, "refuses connections");
			continue;
		}
		line_pop(l);
		call->err = err;
		call_done(call, st);
	}
}

void peers_pump(DorisClient *c)
{
	Peer *p;

	for (p = c->peers; p != NULL; p = p->next)
	{
		if (p->line.in_flight || p->line.queue != NULL)
			line_pump(c, p, &p->line, true);
		if (p->background.in_flight || p->background.queue != NULL)
			line_pump(c, p, &p->background, true);
	}
	finish_pump(c);
}

/* ---- calls ---- */
void call_init(Call *call)
{
	memset(call, 0, sizeof(*call));
	buf_init(&call->body);
	buf_init(&call->scratch);
}

static void call_forget_reply(Call *call)
{
	if (call->raw.data != NULL)
		channel_free_reply(&call->raw);
	call->raw = (DorisBytes){NULL, 0};
}

void call_start(DorisClient *c, Call *call, Peer *peer, MsgType type, Topology *topo,
				uint64_t until)
{
	Call **at;

	call_forget_reply(call);
	if (call->topo != topo)
	{
		topology_unref(call->topo);
		call->topo = topo != NULL ? topology_ref(topo) : NULL;
	}
	call->peer = peer;
	if (call->line == NULL || call->line != &peer->background)
		call->line = &peer->line;
	call->type = type;
	call->until = until;
	call->behind = 0;
	call->next = NULL;
	call->state = CALL_QUEUED;
	if (call->body.failed)
	{
		call_done(call, client_no_memory(&call->err));
		return;
	}
	if (call->line->queue == NULL)
		line_revive(call->line);
	for (at = &call->line->queue; *at != NULL; at = &(*at)->next)
		;
	*at = call;
	line_pump(c, peer, call->line, false);
}

void call_pump(DorisClient *c, Call *call, bool look)
{
	if (call->state == CALL_QUEUED || call->state == CALL_SENT)
		line_pump(c, call->peer, call->line, look);
}

void call_abandon(DorisClient *c, Call *call)
{
	Call **at;

	(void) c;
	call_forget_reply(call);
	if (call->state == CALL_QUEUED || call->state == CALL_SENT)
	{
		Line *l = call->line;

		if (call->state == CALL_SENT && l->queue == call && l->in_flight)
			l->orphan = true;
		for (at = &l->queue; *at != NULL; at = &(*at)->next)
			if (*at == call)
			{
				*at = call->next;
				break;
			}
	}
	call->next = NULL;
	call->handing_on = false;
	call->state = CALL_IDLE;
}

void call_cut(DorisClient *c, Call *call)
{
	bool sent = call->state == CALL_SENT;
	Line *l = call->line;

	call_abandon(c, call);
	if (sent)
		line_close(l);
}

void call_free(DorisClient *c, Call *call)
{
	call_abandon(c, call);
	buf_free(&call->body);
	buf_free(&call->scratch);
	topology_unref(call->topo);
	call->topo = NULL;
}
