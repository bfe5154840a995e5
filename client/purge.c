/*
 * purge.c: lets the owners of a vnode delete its old tombstones (rule purge; docs/decisions/0008-purge.md).
 *
 * Two steps, each at all owners at once: FENCE, after which what an owner has behind the clock can only become less; then, if all
 * told the same, RELEASE. Whoever does this may stop at any point, or do it twice, or two may do it at the same time: each
 * node checks for itself what a step rests on.
 */
#include <string.h>

#include "client.h"

typedef struct Owners
{
	const TopoNode *nodes[DORIS_MAX_GROUPS];
	PurgeReply replies[DORIS_MAX_GROUPS];
	int n;
} Owners;

/* False: not all of them are complete, in place and up. */
static bool find_owners(const Topology *t, uint32_t vnode, Owners *o)
{
	o->n = 0;
	for (uint32_t g = 1; g <= t->groups; g++)
	{
		const TopoCopy *copy = topology_copy(t, g, vnode);
		const TopoNode *node = topology_node(t, copy->owner);

		if (node == NULL || !copy->complete || copy->incoming != 0 || copy->retiring != 0 ||
			node->condition != NODE_UP)
			return false;
		o->nodes[o->n++] = node;
	}
	return true;
}

/* OK: every owner has answered. */
static DorisStatus ask_all(DorisClient *c, Topology *t, Owners *o, const PurgeRequest *m,
						   DorisError *err)
{
	Call calls[DORIS_MAX_GROUPS];
	Call *waiting[DORIS_MAX_GROUPS];
	DorisStatus st = DORIS_OK;

	for (int i = 0; i < o->n; i++)
	{
		call_init(&calls[i]);
		waiting[i] = &calls[i];
	}
	for (int i = 0; i < o->n && st == DORIS_OK; i++)
	{
		Peer *p = peer_of_node(c, o->nodes[i]);

		if (p == NULL)
			st = client_no_memory(err);
		else
		{
			purge_request_encode(&calls[i].body, m);
			call_start(c, &calls[i], p, MSG_PURGE, t, c->until);
		}
	}
	if (st == DORIS_OK)
		st = calls_wait(c, waiting, o->n, true, c->until, err);
	for (int i = 0; i < o->n && st == DORIS_OK; i++)
	{
		st = calls[i].status;
		if (st != DORIS_OK)
			*err = calls[i].err;
		else
			st = purge_reply_decode(&calls[i].reply, &o->replies[i], err);
	}
	for (int i = 0; i < o->n; i++)
	{
		if (calls[i].state != CALL_IDLE && calls[i].state != CALL_DONE)
			call_cut(c, &calls[i]);
		call_free(c, &calls[i]);
	}
	return st;
}

/* Have all taken the step? Else *out says what is against it. */
static bool all_done(const Owners *o, DorisPurge *out)
{
	for (int i = 0; i < o->n; i++)
		switch (o->replies[i].result)
		{
			case PURGE_DONE:
				break;
			case PURGE_YOUNG:
				*out = DORIS_PURGE_YOUNG;
				return false;
			case PURGE_UNREST:
			case PURGE_UNFENCED:
				*out = DORIS_PURGE_INCOMPLETE;
				return false;
		}
	return true;
}

/* What they have behind the clock: the same, and nothing undecided? */
static bool all_equal(const Owners *o, DorisPurge *out)
{
	for (int i = 0; i < o->n; i++)
		if (o->replies[i].staged > 0)
		{
			*out = DORIS_PURGE_STAGED;
			return false;
		}
	for (int i = 1; i < o->n; i++)
		if (o->replies[i].digest != o->replies[0].digest ||
			o->replies[i].records != o->replies[0].records ||
			o->replies[i].tombstones != o->replies[0].tombstones)
		{
			*out = DORIS_PURGE_DIFFERENT;
			return false;
		}
	return true;
}

static DorisStatus purge(DorisClient *c, Topology *t, const DorisVnodeCheck *check, uint64_t upto,
						 DorisPurge *out, DorisError *err)
{
	PurgeRequest m = {
		.step = PURGE_FENCE, .vnode = check->vnode, .upto = upto, .ignore = check->purged};
	Owners o;
	DorisStatus st;

	if (!find_owners(t, check->vnode, &o))
	{
		*out = DORIS_PURGE_INCOMPLETE;
		return DORIS_OK;
	}
	for (int again = 0; again < 2; again++)
	{
		uint64_t purged = 0;

		st = ask_all(c, t, &o, &m, err);
		if (st != DORIS_OK || !all_done(&o, out))
			return st;
		/* what one of them has released all were once equal in; what is left of it there means nothing */
		for (int i = 0; i < o.n; i++)
			if (o.replies[i].purged > purged)
				purged = o.replies[i].purged;
		if (purged <= m.ignore)
			break;
		m.ignore = purged;
	}
	if (!all_equal(&o, out))
		return DORIS_OK;
	FAULT_POINT("client-purge-fenced");
	m.step = PURGE_RELEASE;
	st = ask_all(c, t, &o, &m, err);
	if (st == DORIS_OK && all_done(&o, out))
		*out = DORIS_PURGED;
	return st;
}

DorisStatus doris_purge(DorisClient *c, const DorisVnodeCheck *check, uint64_t upto,
						DorisPurge *out, DorisError *err)
{
	Topology *t;
	DorisStatus st;

	*out = DORIS_PURGE_UNREACHABLE;
	client_begin(c);
	if (check->vnode >= c->topo->vnodes)
		return doris_error(err, DORIS_BAD_ARGUMENT, "there is no vnode %u", check->vnode);
	t = topology_ref(c->topo);
	st = purge(c, t, check, upto, out, err);
	/* under the one topology or not at all: the next time is soon enough */
	if (status_is_moved(st))
	{
		*out = DORIS_PURGE_INCOMPLETE;
		st = DORIS_OK;
	}
	else if (st != DORIS_OK && st != DORIS_CANCELLED && st != DORIS_NO_MEMORY)
	{
		*out = DORIS_PURGE_UNREACHABLE;
		st = DORIS_OK;
	}
	topology_unref(t);
	return st;
}
