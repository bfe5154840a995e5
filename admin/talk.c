/*
 * talk.c: one request to one peer. See talk.h.
 */
#include "talk.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "version.h"

void talk_init(Talk *c)
{
	memset(c, 0, sizeof(*c));
	buf_init(&c->message);
	buf_init(&c->scratch);
}

static void free_reply(Talk *c)
{
	if (c->reply.data != NULL)
		channel_free_reply(&c->reply);
	memset(&c->reply, 0, sizeof(c->reply));
}

void talk_drop(Talk *c)
{
	channel_close(c->channel);
	c->channel = NULL;
	c->state = CALL_IDLE;
}

void talk_free(Talk *c)
{
	talk_drop(c);
	free_reply(c);
	buf_free(&c->message);
	buf_free(&c->scratch);
}

DorisStatus talk_start(Admin *a, Talk *c, const char *address, uint16_t type, const DorisBuf *body,
					   int timeout_ms, DorisError *err)
{
	static _Atomic uint64_t requests;
	Envelope e = {0};
	DorisStatus status;

	free_reply(c);
	c->refused = false;
	if (body->failed)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for a message to %s", address);
	if (!a->keys.present && !transport_is_loopback(address))
	{
		(void) doris_error(err, DORIS_DENIED,
						   "%s is not a loopback address, and there is no key file", address);
		return doris_hint(err, "Give every process of the cluster its key file.");
	}
	e.format = DORIS_FORMAT_SENT;
	e.type = type;
	e.request = atomic_fetch_add(&requests, 1) + 1;
	e.sender = a->sender;
	e.epoch = admin_epoch(a);
	e.deadline_ms = (uint32_t) timeout_ms;
	status = envelope_write(&a->keys, &e, (DorisBytes){body->data, body->len}, &c->message, err);
	if (status != DORIS_OK)
		return status;
	if (c->channel != NULL && strcmp(c->address, address) != 0)
		talk_drop(c);
	if (c->channel == NULL)
	{
		status = channel_open(address, &c->channel, err);
		if (status != DORIS_OK)
		{
			c->channel = NULL;
			return status;
		}
		snprintf(c->address, sizeof(c->address), "%s", address);
	}
	c->type = type;
	c->request = e.request;
	c->deadline = clock_mono_ms() + (uint64_t) timeout_ms;
	c->state = CALL_CONNECTING;
	return DORIS_OK;
}

static DorisStatus read_reply(Admin *a, Talk *c, Envelope *envelope, DorisBytes *body,
							  DorisError *err)
{
	DorisStatus status;

	c->state = CALL_IDLE;
	status = envelope_read(&a->keys, c->reply.data, c->reply.len, envelope, body, &c->scratch, err);
	if (status == DORIS_OK &&
		(envelope->request != c->request || envelope->type != (c->type | DORIS_REPLY)))
		status = doris_error(err, DORIS_BAD_MESSAGE, "%s answered another question", c->address);
	if (status != DORIS_OK)
		talk_drop(c);
	return status;
}

DorisStatus talk_step(Admin *a, Talk *c, Envelope *envelope, DorisBytes *body, DorisError *err)
{
	DorisStatus status;

	if (c->state == CALL_CONNECTING)
	{
		status = channel_send(c->channel, (DorisBytes){c->message.data, c->message.len}, err);
		if (status == DORIS_OK)
			c->state = CALL_WAITING;
		else if (status != DORIS_UNREACHABLE)
		{
			talk_drop(c);
			return status;
		}
	}
	if (c->state == CALL_WAITING)
	{
		status = channel_receive(c->channel, &c->reply, err);
		if (status == DORIS_OK)
			return read_reply(a, c, envelope, body, err);
		if (status != DORIS_TIMEOUT)
		{
			c->refused = status == DORIS_UNREACHABLE;
			talk_drop(c);
			return status;
		}
	}
	if (channel_state(c->channel) < 0)
	{
		c->refused = true;
		talk_drop(c);
		return doris_error(err, DORIS_UNREACHABLE, "%s refused or lost the connection", c->address);
	}
	if (clock_mono_ms() >= c->deadline)
	{
		bool sent = c->state == CALL_WAITING;

		talk_drop(c);
		return doris_error(err, DORIS_UNREACHABLE, "%s %s in time", c->address,
						   sent ? "did not answer" : "did not accept a connection");
	}
	return doris_error(err, DORIS_TIMEOUT, "%s has not answered yet", c->address);
}

int talk_fd(const Talk *c)
{
	if (c->state == CALL_CONNECTING)
		return channel_send_fd(c->channel);
	if (c->state == CALL_WAITING)
		return channel_receive_fd(c->channel);
	return -1;
}

bool talk_lost(const Talk *c)
{
	return c->channel != NULL && channel_state(c->channel) < 0;
}

DorisStatus talk_wait(Admin *a, Talk *c, const char *address, uint16_t type, const DorisBuf *body,
					  int timeout_ms, Envelope *envelope, DorisBytes *reply, DorisError *err)
{
	DorisStatus status = talk_start(a, c, address, type, body, timeout_ms, err);

	while (status == DORIS_OK)
	{
		struct pollfd p;

		status = talk_step(a, c, envelope, reply, err);
		if (status != DORIS_TIMEOUT)
			return status;
		p.fd = talk_fd(c);
		p.events = POLLIN;
		(void) poll(&p, 1, 20); /* short: a refused connection shows only when asked for */
		status = DORIS_OK;
	}
	return status;
}
