/*
 * ask.c: requests that a node makes itself, of admins and of other nodes (ask.h).
 */
#include "ask.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "node.h"

#define LOOK_MS 50	  /* a stop of the node, a lost connection are noticed within */
#define CONNECT_MS 10 /* a refused one: no descriptor tells */

void ask_init(Ask *a, Node *n, const char *what, const char *address)
{
	memset(a, 0, sizeof(*a));
	a->node = n;
	(void) snprintf(a->address, sizeof(a->address), "%s", address);
	(void) snprintf(a->who, sizeof(a->who), "the %.70s at %s", what, a->address);
	buf_init(&a->message);
	buf_init(&a->scratch);
}

/* What served a huge message does not keep its memory. */
static void trim(Ask *a)
{
	if (a->message.cap > 2 * DORIS_BATCH_BYTES)
		buf_free(&a->message);
}

void ask_close(Ask *a)
{
	channel_free_reply(&a->reply);
	channel_close(a->channel);
	a->channel = NULL;
	a->busy = false;
	trim(a);
}

void ask_free(Ask *a)
{
	ask_close(a);
	buf_free(&a->message);
	buf_free(&a->scratch);
}

bool ask_is_for(const Ask *a, const char *address)
{
	return strcmp(a->address, address) == 0;
}

DorisStatus ask_begin(Ask *a, uint16_t type, DorisBytes body, int deadline_ms, DorisError *err)
{
	Node *n = a->node;
	Envelope e;
	DorisStatus st;

	channel_free_reply(&a->reply);
	if (a->busy)
		ask_close(a);
	memset(&e, 0, sizeof(e));
	e.format = DORIS_FORMAT_SENT;
	e.type = type;
	e.request = clock_next(&n->clock);
	e.sender = atomic_load(&n->node_id);
	e.epoch = atomic_load(&n->epoch);
	e.deadline_ms = (uint32_t) deadline_ms;
	st = envelope_write(&n->keys, &e, body, &a->message, err);
	/* a kept connection that was lost meanwhile is made anew, not reported */
	if (st == DORIS_OK && a->channel != NULL && channel_state(a->channel) != 1)
		ask_close(a);
	if (st == DORIS_OK && a->channel == NULL)
		st = channel_open(a->address, &a->channel, err);
	if (st != DORIS_OK)
		return st;
	a->type = type;
	a->request = e.request;
	a->busy = true;
	a->sent = false;
	a->until = clock_mono_ms() + (uint64_t) deadline_ms;
	a->connect_until =
		clock_mono_ms() + (uint64_t) (deadline_ms < ASK_CONNECT_MS ? deadline_ms : ASK_CONNECT_MS);
	return DORIS_OK;
}

/* DORIS_TIMEOUT: not sent yet. */
static DorisStatus try_send(Ask *a, DorisError *err)
{
	DorisBytes message = {a->message.data, a->message.len};
	int state = channel_state(a->channel);
	DorisStatus st = DORIS_TIMEOUT;

	if (state == 1)
	{
		st = channel_send(a->channel, message, err);
		a->sent = st == DORIS_OK;
		/* the connection may just be going: the state says so next time, until the time is up */
		if (st == DORIS_UNREACHABLE && clock_mono_ms() < a->connect_until)
			st = DORIS_TIMEOUT;
	}
	else if (state < 0 || clock_mono_ms() >= a->connect_until)
		st = doris_error(err, DORIS_UNREACHABLE, "cannot reach %s", a->who);
	return st;
}

/* DORIS_TIMEOUT: no answer yet. */
static DorisStatus try_receive(Ask *a, DorisCursor *body, DorisError *err)
{
	Node *n = a->node;
	Envelope answer;
	DorisBytes bytes;
	DorisStatus st = channel_receive(a->channel, &a->reply, err);

	if (st == DORIS_TIMEOUT)
	{
		if (channel_state(a->channel) != 1)
			st = doris_error(err, DORIS_UNREACHABLE, "%s went away", a->who);
		return st;
	}
	if (st == DORIS_OK)
		st =
			envelope_read(&n->keys, a->reply.data, a->reply.len, &answer, &bytes, &a->scratch, err);
	if (st != DORIS_OK)
		return st;
	if (answer.type != (a->type | DORIS_REPLY) || answer.request != a->request)
		return doris_error(err, DORIS_BAD_MESSAGE, "%s answers something else", a->who);
	a->epoch = answer.epoch;
	a->busy = false; /* from here on the channel is good, whatever the answer says */
	trim(a);
	*body = cursor_of(bytes.data, bytes.len);
	return reply_read_status(body, err);
}

bool ask_look(Ask *a, int wait_ms, DorisStatus *st, DorisCursor *body, DorisError *err)
{
	uint64_t now = clock_mono_ms();
	uint64_t until = now + (uint64_t) wait_ms;

	for (;;)
	{
		struct pollfd p = {-1, POLLIN, 0};
		bool was_sent = a->sent;
		uint64_t pause;

		*st = a->sent ? try_receive(a, body, err) : try_send(a, err);
		if (a->sent && !was_sent)
			*st = try_receive(a, body, err);
		if (!a->busy)
			return true;
		if (*st == DORIS_TIMEOUT)
		{
			if (atomic_load(&a->node->stopping))
				*st = doris_error(err, DORIS_CANCELLED, "%s is stopping", node_name(a->node));
			else if (clock_mono_ms() >= a->until)
				*st = doris_error(err, DORIS_TIMEOUT, "%s does not answer", a->who);
			else
			{
				now = clock_mono_ms();
				if (now >= until)
					return false;
				p.fd = a->sent ? channel_receive_fd(a->channel) : channel_send_fd(a->channel);
				pause = a->sent ? LOOK_MS : CONNECT_MS;
				(void) poll(&p, 1, until - now < pause ? (int) (until - now) : (int) pause);
				continue;
			}
		}
		ask_close(a);
		return true;
	}
}

DorisStatus ask_wait(Ask *a, uint16_t type, DorisBytes body, int deadline_ms, DorisCursor *out,
					 DorisError *err)
{
	DorisStatus st = ask_begin(a, type, body, deadline_ms, err);

	if (st != DORIS_OK)
		return st;
	while (!ask_look(a, deadline_ms, &st, out, err))
		;
	return st;
}

bool ask_put_topology(Node *n, DorisBuf *out)
{
	bool there;

	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	there = n->placement != NULL;
	if (there)
		buf_put_bytes(out, n->placement->topo->encoded, n->placement->topo->encoded_len);
	(void) pthread_rwlock_unlock(&n->epoch_lock);
	return there && !out->failed;
}

DorisStatus ask_node(Ask *a, uint16_t type, DorisBytes body, int deadline_ms, DorisCursor *out,
					 DorisError *err)
{
	DorisBuf topology;
	DorisStatus st = ask_wait(a, type, body, deadline_ms, out, err);

	if (st != DORIS_BEHIND)
		return st;
	buf_init(&topology);
	if (ask_put_topology(a->node, &topology))
	{
		DorisBytes put = {topology.data, topology.len};

		st = ask_wait(a, MSG_TOPOLOGY_PUT, put, deadline_ms, out, err);
		if (st == DORIS_OK)
			st = ask_wait(a, type, body, deadline_ms, out, err);
	}
	buf_free(&topology);
	return st;
}
