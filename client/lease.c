/*
 * lease.c: rows read from a node that has no lease (rule *lease*).
 *
 * Such a node may have been judged failed without knowing it. If it has, then whoever writes now needs an answer of
 * every copy that is up, so one of the copies we know must know of it too: each of them is asked whether it still goes by our
 * placement. Their answers need no lease. A vnode of which nobody else is up has nobody who could have taken its place without
 * this node's help. Who a copy moves to is asked, too: it may be the owner by now, and the only one besides this node.
 */
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define LEASE_SLICE_MS 1000

typedef struct Question
{
	const TopoNode *node;
	uint32_t vnode;
} Question;

/* An up copy that is not complete answers no GET; that it answers at all about the vnode, under our epoch, is enough. */
static DorisStatus ask_incomplete(DorisClient *c, Topology *t, const Question *q, uint64_t until,
								  DorisError *err)
{
	OutcomeRequest req = {.vnode = q->vnode};
	uint64_t slice = clock_mono_ms() + LEASE_SLICE_MS;
	Peer *p = peer_of_node(c, q->node);
	DorisStatus st;
	Call call;

	if (p == NULL)
		return client_no_memory(err);
	call_init(&call);
	outcome_request_encode(&call.body, &req);
	st = call_run(c, &call, p, MSG_OUTCOME, t, slice < until ? slice : until, err);
	call_free(c, &call);
	return st;
}

/* The node, unless it is the one that is asked about, or none, or down. */
static const TopoNode *other_up(const Topology *t, uint32_t id, uint32_t node)
{
	const TopoNode *n = topology_node(t, id);

	return n != NULL && n->id != node && n->condition == NODE_UP ? n : NULL;
}

static DorisStatus ask_complete(DorisClient *c, Topology *t, const Question *qs, uint32_t n,
								uint64_t until, DorisError *err)
{
	static const uint8_t nobody[DORIS_TXNID_SIZE];
	static const Projection none = {.all_columns = true, .no_values = true};
	RawGet *gets = calloc(n, sizeof(*gets));
	Arena a = {NULL};
	DorisStatus st = DORIS_OK;
	uint32_t i;

	if (gets == NULL)
		return client_no_memory(err);
	for (i = 0; i < n; i++)
		gets[i] = (RawGet){.at = {.space = DORIS_SPACE_DECISIONS,
								  .vnode = qs[i].vnode,
								  .key = {.data = nobody, .len = sizeof(nobody)}},
						   .node = qs[i].node};
	st = raw_get(c, t, gets, n, &none, &a, LEASE_SLICE_MS, until, err);
	for (i = 0; i < n && st == DORIS_OK; i++)
		st = gets[i].status;
	arena_free(&a);
	free(gets);
	return st;
}

DorisStatus lease_confirm(DorisClient *c, Topology *t, uint32_t node, const uint32_t *vnodes,
						  uint32_t n, uint64_t until, DorisError *err)
{
	Question *complete = calloc((size_t) n * DORIS_MAX_GROUPS, sizeof(*complete));
	uint32_t ncomplete = 0;
	DorisStatus st = DORIS_OK;
	uint32_t i;
	uint32_t g;

	if (complete == NULL)
		return client_no_memory(err);
	for (i = 0; i < n && st == DORIS_OK; i++)
		for (g = 1; g <= t->groups && st == DORIS_OK; g++)
		{
			const TopoCopy *copy = topology_copy(t, g, vnodes[i]);
			Question owner = {.node = other_up(t, copy->owner, node), .vnode = vnodes[i]};
			Question incoming = {.node = other_up(t, copy->incoming, node), .vnode = vnodes[i]};

			if (owner.node != NULL && copy->complete)
				complete[ncomplete++] = owner;
			else if (owner.node != NULL)
				st = ask_incomplete(c, t, &owner, until, err);
			if (st == DORIS_OK && incoming.node != NULL)
				st = ask_incomplete(c, t, &incoming, until, err);
		}
	if (st == DORIS_OK && ncomplete > 0)
		st = ask_complete(c, t, complete, ncomplete, until, err);
	free(complete);
	if (st != DORIS_OK && st != DORIS_NO_MEMORY && st != DORIS_CANCELLED && !status_is_moved(st))
	{
		DorisError why = *err;

		doris_error(err, DORIS_UNAVAILABLE,
					"node %s answered without a lease, and that it may still be read cannot be "
					"confirmed: %.300s",
					topology_node(t, node)->name, why.message);
		st = doris_hint(err, "It has lost touch with the admins; see doris_nodes.");
	}
	return st;
}
