/*
 * hint.c: what a copy misses that is down and incomplete goes to a log node (rule *hints*).
 *
 * The message that the copy would have got is kept durably there before any judge is asked to hold the same, so a full
 * budget is a clean refusal. The log nodes share the work: which one is asked first goes by target and client.
 */
#include <string.h>

#include "client.h"

#define HINT_SLICE_MS 1500
#define HINT_PAUSE_MS 50

static uint32_t count_logs(const Topology *t, bool up_only)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->nnodes; i++)
		n += t->nodes[i].role == NODE_LOG && t->nodes[i].condition != NODE_DEAD &&
			 (!up_only || t->nodes[i].condition == NODE_UP);
	return n;
}

Peer *hint_peer(DorisClient *c, const Topology *t, uint32_t target, uint32_t nth)
{
	uint32_t n = count_logs(t, true);
	uint32_t at = n > 0 ? (target + c->origin + nth) % n : 0;

	for (uint32_t i = 0; i < t->nnodes; i++)
	{
		const TopoNode *node = &t->nodes[i];

		if (node->role == NODE_LOG && node->condition == NODE_UP && at-- == 0)
			return peer_of_node(c, node);
	}
	return NULL;
}

void hint_wrap(DorisBuf *out, uint32_t target, MsgType type, const DorisBuf *body)
{
	HintRequest m = {
		.target = target, .type = (uint16_t) type, .body = {.data = body->data, .len = body->len}};

	if (body->failed)
		out->failed = true;
	hint_request_encode(out, &m);
}

/* Is there a newer topology than t? STALE_EPOCH: yes; OK: nobody who answers has one. */
static DorisStatus look_for_newer(DorisClient *c, const Topology *t, uint64_t until,
								  DorisError *err)
{
	DorisError ignored;
	uint64_t slice = clock_mono_ms() + CLIENT_READ_SLICE_MS;

	if (client_refresh(c, 0, slice < until ? slice : until, &ignored) == DORIS_CANCELLED)
	{
		*err = ignored;
		return DORIS_CANCELLED;
	}
	if (c->topo->epoch > t->epoch)
		return doris_error(err, DORIS_STALE_EPOCH, "the topology has changed");
	return DORIS_OK;
}

/* No log node can be asked now. OK: try again; STALE_EPOCH: the topology has moved. */
static DorisStatus await_log(DorisClient *c, Topology *t, const TopoNode *target, uint64_t until,
							 DorisError *err)
{
	DorisStatus st = look_for_newer(c, t, until, err);

	if (st == DORIS_OK)
		st = client_pause(c, HINT_PAUSE_MS, err);
	if (st != DORIS_OK)
		return st;
	if (clock_mono_ms() < until)
		return DORIS_OK;
	doris_error(err, DORIS_UNAVAILABLE, "node %s is down and no log node keeps writes for it",
				target->name);
	return doris_hint(err, "The log nodes are down, too; see doris_nodes.");
}

DorisStatus hint_keep(DorisClient *c, Topology *t, const TopoNode *target, MsgType type,
					  const DorisBuf *body, uint64_t until, DorisError *err)
{
	DorisStatus st = DORIS_OK;
	uint32_t full = 0;
	Call call;

	if (count_logs(t, false) == 0)
	{
		if (t->degraded_writes)
			return DORIS_OK;
		/* nobody is asked who would know better: the node may be up again, or the setting on */
		st = look_for_newer(c, t, until, err);
		if (st != DORIS_OK)
			return st;
		doris_error(err, DORIS_UNAVAILABLE,
					"node %s is down and the cluster has no log node to keep writes for it",
					target->name);
		return doris_hint(err, "Add a log node, or set degraded_writes.");
	}
	call_init(&call);
	hint_wrap(&call.body, target->id, type, body);
	for (uint32_t nth = 0;; nth++)
	{
		Peer *p = hint_peer(c, t, target->id, nth);
		uint64_t slice = clock_mono_ms() + HINT_SLICE_MS;

		if (p == NULL)
			st = await_log(c, t, target, until, err);
		else
		{
			st = call_run(c, &call, p, MSG_HINT, t, slice < until ? slice : until, err);
			if (st == DORIS_OK || st == DORIS_CANCELLED || st == DORIS_NO_MEMORY ||
				status_is_moved(st))
				break;
			if (st == DORIS_LIMIT || st == DORIS_DISK_FULL)
			{
				if (++full >= count_logs(t, true))
					break;
				st = DORIS_OK;
			}
			else
			{
				DorisError why = *err;

				count_retry(c, p);
				/* its verdict is a new topology, in which another is asked */
				if (nth > 0 && client_report(c, p->node, why.message, until) == VERDICT_FAILED)
					st = doris_error(err, DORIS_STALE_EPOCH, "%.400s", why.message);
				else if (clock_mono_ms() >= until)
				{
					doris_error(err, DORIS_UNAVAILABLE,
								"a write for node %s, which is down, could not be kept: %.300s",
								target->name, why.message);
					st = doris_hint(err, "See doris_nodes.");
				}
				else
					st = client_pause(c, HINT_PAUSE_MS, err);
			}
		}
		if (st != DORIS_OK)
			break;
	}
	call_free(c, &call);
	return st;
}
