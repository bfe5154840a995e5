/*
 * stats.c: what nodes say about themselves: counters, estimates, digests.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define ESTIMATE_SLICE_MS 500

/* A call to one node by id. */
static DorisStatus node_call(DorisClient *c, uint32_t node, MsgType type, Call *call,
							 DorisError *err)
{
	const TopoNode *n = topology_node(c->topo, node);
	Peer *p;

	if (n == NULL)
		return doris_error(err, DORIS_NOT_FOUND, "there is no node %u", node);
	p = peer_of_node(c, n);
	if (p == NULL)
		return client_no_memory(err);
	return call_run(c, call, p, type, c->topo, c->until, err);
}

DorisStatus doris_node_stats(DorisClient *c, uint32_t node, StatsReply *out, DorisError *err)
{
	Call call;
	DorisStatus st;

	memset(out, 0, sizeof(*out));
	client_begin(c);
	call_init(&call);
	st = node_call(c, node, MSG_STATS, &call, err);
	if (st == DORIS_OK)
		st = stats_reply_decode(&call.reply, out, err);
	call_free(c, &call);
	return st;
}

DorisStatus doris_digest(DorisClient *c, uint32_t node, uint32_t ns, const uint32_t *vnodes,
						 uint32_t n, DigestReply *out, DorisError *err)
{
	DigestRequest req = {.ns = ns, .nvnodes = n, .vnodes = (uint32_t *) (uintptr_t) vnodes};
	Call call;
	DorisStatus st;

	memset(out, 0, sizeof(*out));
	client_begin(c);
	for (;;)
	{
		uint64_t used = c->topo->epoch;

		call_init(&call);
		digest_request_encode(&call.body, &req);
		st = node_call(c, node, MSG_DIGEST, &call, err);
		if (st == DORIS_OK)
			st = digest_reply_decode(&call.reply, out, err);
		call_free(c, &call);
		/* the caller asks this very node: only an old epoch of ours is worth another try */
		if (st != DORIS_STALE_EPOCH || clock_mono_ms() >= c->until)
			return st;
		st = client_moved(c, used, c->until, err);
		if (st != DORIS_OK)
			return st;
	}
}

/* Sums one group's counters. False: not all of its nodes answered, soon: an estimate is worth no more. */
static bool estimate_group(DorisClient *c, uint32_t group, uint32_t ns, uint64_t *rows,
						   uint64_t *bytes, DorisError *err)
{
	Topology *t = topology_ref(c->topo);
	Call *calls = calloc(t->nnodes + 1, sizeof(*calls));
	Call **waiting = calloc(t->nnodes + 1, sizeof(*waiting));
	char rows_name[32];
	char bytes_name[32];
	uint64_t now = clock_mono_ms();
	uint64_t slice = now + ESTIMATE_SLICE_MS < c->until ? now + ESTIMATE_SLICE_MS : c->until;
	bool good = calls != NULL && waiting != NULL;
	int n = 0;
	uint32_t i;
	int k;

	*rows = *bytes = 0;
	snprintf(rows_name, sizeof(rows_name), "rows_ns_%u", ns);
	snprintf(bytes_name, sizeof(bytes_name), "bytes_ns_%u", ns);
	for (i = 0; i < t->nnodes && good; i++)
	{
		const TopoNode *node = &t->nodes[i];
		Peer *p;

		if (node->role != NODE_DATA || node->group != group || node->condition == NODE_DEAD)
			continue;
		p = peer_of_node(c, node);
		if (p == NULL || node->condition != NODE_UP || p->suspect_until > now)
		{
			doris_error(err, DORIS_UNAVAILABLE, "node %s does not answer", node->name);
			good = false;
			break;
		}
		waiting[n] = &calls[n];
		call_init(&calls[n]);
		call_start(c, &calls[n], p, MSG_STATS, t, slice);
		n++;
	}
	if (good && calls_wait(c, waiting, n, true, slice, err) != DORIS_OK)
		good = false;
	for (k = 0; k < n; k++)
	{
		StatsReply reply;

		if (calls[k].state == CALL_SENT && clock_mono_ms() >= slice)
		{
			peer_suspect(calls[k].peer, DORIS_TIMEOUT);
			call_cut(c, &calls[k]);
		}
		if (good && calls[k].status != DORIS_OK)
		{
			*err = calls[k].err;
			good = false;
		}
		if (good && stats_reply_decode(&calls[k].reply, &reply, err) != DORIS_OK)
			good = false;
		else if (good)
		{
			for (i = 0; i < reply.n; i++)
				if (strcmp(reply.items[i].name, rows_name) == 0)
					*rows += reply.items[i].value;
				else if (strcmp(reply.items[i].name, bytes_name) == 0)
					*bytes += reply.items[i].value;
			stats_reply_free(&reply);
		}
		call_free(c, &calls[k]);
	}
	free(calls);
	free(waiting);
	topology_unref(t);
	return good && n > 0;
}

DorisStatus doris_estimate(DorisClient *c, const NsDef *ns, uint64_t *rows, uint64_t *bytes,
						   DorisError *err)
{
	uint32_t g;

	client_begin(c);
	doris_error(err, DORIS_UNAVAILABLE, "no group has all its nodes up");
	for (g = 1; g <= c->topo->groups; g++)
	{
		if (estimate_group(c, g, ns->id, rows, bytes, err))
			return DORIS_OK;
		if (err->code == DORIS_CANCELLED)
			break;
	}
	return err->code;
}
