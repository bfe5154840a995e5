/*
 * admin.c: what only admins do: judging a node that a client cannot reach, changing namespaces, what operators want.
 *
 * Admins are those of the hosts that are not nodes of the topology. The leader is found by asking one after
 * the other: the others answer "not leader".
 */
#include <stdio.h>
#include <string.h>

#include "client.h"

#define REPORT_SLICE_MS 1500 /* an admin probes the node before it answers */
#define LEADER_PAUSE_MS 50

static bool is_admin(const DorisClient *c, const Peer *p)
{
	return p->host && client_node_at(c, p->address) == NULL;
}

ReportVerdict client_report(DorisClient *c, uint32_t node, const char *what, uint64_t until)
{
	Report r = {.node = node};
	ReportVerdict v = VERDICT_UNSURE;
	Peer *p;
	DorisError err;

	snprintf(r.what, sizeof(r.what), "%.120s", what);
	for (p = c->peers; p != NULL && v == VERDICT_UNSURE; p = p->next)
	{
		uint64_t slice = clock_mono_ms() + REPORT_SLICE_MS;
		Call call;
		DorisStatus st;

		if (!is_admin(c, p) || clock_mono_ms() >= until)
			continue;
		call_init(&call);
		report_encode(&call.body, &r);
		st = call_run(c, &call, p, MSG_REPORT, c->topo, slice < until ? slice : until, &err);
		if (st == DORIS_OK)
		{
			uint8_t said = cursor_u8(&call.reply);

			if (!call.reply.bad && (said == VERDICT_HEALTHY || said == VERDICT_FAILED))
				v = (ReportVerdict) said;
		}
		call_free(c, &call);
		if (st == DORIS_CANCELLED)
			break;
	}
	/* the verdict is in a new topology; without it the next call finds out the hard way */
	if (v == VERDICT_FAILED && client_refresh(c, 0, until, &err) != DORIS_OK)
		v = VERDICT_UNSURE;
	return v;
}

/* Something that the leading admin changes, as its message. */
typedef struct Change
{
	uint16_t type;
	DorisBuf body;
	char what[DORIS_NAME_MAX + 32];	  /* namespace "x", node "y" */
	const NamespaceChange *namespace; /* NULL: an operator's request, which may be repeated */
	OperateReply *reply;			  /* answer to that */
	bool only_asks; /* it changes nothing: there is no doubt about what became of it (I7) */
} Change;

/* Asks one admin. maybe: the change may have been made though no answer came. */
static DorisStatus change_ask(DorisClient *c, Peer *p, Change *change, bool *maybe, DorisError *err)
{
	Call call;
	DorisStatus st;

	call_init(&call);
	buf_put_raw(&call.body, change->body.data, change->body.len);
	st = call_run(c, &call, p, change->type, c->topo, c->until, err);
	if (st == DORIS_OK)
	{
		DorisBytes encoded = {NULL, 0};

		if (change->namespace != NULL)
			encoded = cursor_bytes(&call.reply);
		else if (operate_reply_decode(&call.reply, change->reply, err) == DORIS_OK)
		{
			encoded = change->reply->topology;
			change->reply->topology = (DorisBytes){NULL, 0}; /* it goes with the message */
		}
		if (call.reply.bad || encoded.len == 0)
			st = doris_error(err, DORIS_BAD_MESSAGE, "%s sent a malformed answer", peer_name(c, p));
		else
			st = client_take_topology(c, encoded, err);
		*maybe = !change->only_asks;
	}
	else if ((st == DORIS_UNREACHABLE || st == DORIS_TIMEOUT || st == DORIS_CANCELLED) &&
			 call.maybe_arrived)
		*maybe = !change->only_asks;
	call_free(c, &call);
	return st;
}

/* An earlier try whose answer was lost may explain this answer to a repeated one. */
static DorisStatus change_repeated(const NamespaceChange *change, DorisStatus st, DorisError *err)
{
	if (st == DORIS_NOT_FOUND && change->verb == NAMESPACE_DROP)
		return DORIS_OK;
	if (st == DORIS_CONFLICT && change->verb == NAMESPACE_TRUNCATE)
	{
		DorisError why = *err;

		return doris_error(err, DORIS_UNKNOWN,
						   "it is unknown whether namespace \"%s\" was truncated: %.350s",
						   change->def.name, why.message);
	}
	return st;
}

/* Finds the leader, and has it make the change. */
static DorisStatus change_run(DorisClient *c, Change *change, DorisError *err)
{
	bool maybe = false;
	int pause = LEADER_PAUSE_MS;

	if (change->body.failed)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory");
	client_begin(c);
	for (;;)
	{
		Peer *p;
		bool any = false;
		DorisError last;
		DorisStatus st;

		doris_error(&last, DORIS_UNAVAILABLE, "no admin answers");
		for (p = c->peers; p != NULL; p = p->next)
		{
			bool before = maybe;

			if (!is_admin(c, p))
				continue;
			any = true;
			st = change_ask(c, p, change, &maybe, err);
			if (before && change->namespace != NULL)
				st = change_repeated(change->namespace, st, err);
			if (st != DORIS_NOT_LEADER && st != DORIS_UNREACHABLE && st != DORIS_UNAVAILABLE &&
				st != DORIS_TIMEOUT && st != DORIS_CANCELLED)
				return st;
			if (st == DORIS_CANCELLED)
				return maybe ? doris_error(err, DORIS_UNKNOWN, "stopped while %s was being changed",
										   change->what)
							 : st;
			last = *err;
		}
		if (!any)
		{
			doris_error(err, DORIS_UNAVAILABLE,
						"an admin must be asked about %s, and hosts names none", change->what);
			return doris_hint(err, "Add the admins' addresses to the hosts option.");
		}
		if (clock_mono_ms() + (uint64_t) pause >= c->until)
		{
			doris_error(err, maybe ? DORIS_UNKNOWN : DORIS_UNAVAILABLE,
						"%s could not be %s in time: %.350s", change->what,
						change->only_asks ? "asked about" : "changed", last.message);
			return doris_hint(err, "A leading admin with its database is needed for that.");
		}
		st = client_pause(c, pause, err);
		if (st != DORIS_OK)
			return maybe ? doris_error(err, DORIS_UNKNOWN, "stopped while %s was being changed",
									   change->what)
						 : st;
		pause = pause < 400 ? pause * 2 : 400;
	}
}

DorisStatus doris_namespace_change(DorisClient *c, const NamespaceChange *namespace,
								   DorisError *err)
{
	Change change = {.type = MSG_NAMESPACE, .namespace = namespace};
	DorisStatus st;

	buf_init(&change.body);
	namespace_change_encode(&change.body, namespace);
	snprintf(change.what, sizeof(change.what), "namespace \"%s\"", namespace->def.name);
	st = change_run(c, &change, err);
	buf_free(&change.body);
	return st;
}

DorisStatus doris_operate(DorisClient *c, const Operate *operate, OperateReply *reply,
						  DorisError *err)
{
	Change change = {.type = MSG_OPERATE,
					 .reply = reply,
					 .only_asks = operate->dry || operate->verb == OPERATE_PLANS};
	DorisStatus st;

	memset(reply, 0, sizeof(*reply));
	buf_init(&change.body);
	operate_encode(&change.body, operate);
	if (operate->node[0] != '\0')
		snprintf(change.what, sizeof(change.what), "node \"%s\"", operate->node);
	else if (operate->plan != 0)
		snprintf(change.what, sizeof(change.what), "plan %u", operate->plan);
	else if (operate->verb == OPERATE_PLANS)
		snprintf(change.what, sizeof(change.what), "the plans");
	else
		snprintf(change.what, sizeof(change.what), "the placement");
	st = change_run(c, &change, err);
	buf_free(&change.body);
	if (st != DORIS_OK)
		operate_reply_free(reply);
	return st;
}
