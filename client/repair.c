/*
 * repair.c: *repair what you read*: copies of one row that differ are brought together.
 *
 * Copies come to differ when a plain write reached only some of them before its client gave up. The highest committed
 * version is what all get, as a plain write of its own (I4: whoever has a higher one by then keeps it). A copy
 * that only has not finished yet what the others have is told to. Two contents of one version, which only a damaged disk makes, come
 * together by I4, too.
 */
#include <string.h>

#include "client.h"

#define REPAIR_SLICE_MS 1000

static DorisStatus repair_copy(DorisClient *c, Topology *t, const ComparedCopy *copy, KeyRef at,
							   bool knows_purged, const RowState *newest, uint64_t until,
							   DorisError *err)
{
	ApplyRow row = {.at = at,
					.deleted = !newest->present,
					.version = newest->version,
					.value = newest->present ? newest->value : (DorisBytes){NULL, 0}};
	ApplyRequest req = {.from_client = false,
						.nrows = 1,
						.rows = &row,
						.has_purged = knows_purged,
						.purged = copy->purged};
	Peer *p = peer_of_node(c, copy->node);
	ApplyReply reply = {0};
	Call call;
	DorisStatus st;

	if (p == NULL)
		return client_no_memory(err);
	call_init(&call);
	apply_request_encode(&call.body, &req);
	st = call_run(c, &call, p, MSG_APPLY, t, until, err);
	if (st == DORIS_OK)
		st = apply_reply_decode(&call.reply, &reply, err);
	call_free(c, &call);
	if (st == DORIS_OK && reply.nhigher > 0)
	{
		doris_error(err, DORIS_CONFLICT,
					"node %s lacks key %s, and takes no version as old as that", copy->node->name,
					key_text(at.key));
		st = doris_hint(err, "doris_verify(repair => true) brings its copies together.");
	}
	apply_reply_free(&reply);
	return st;
}

const RowState *repair_newest(const RawGet *gets, int n)
{
	const RowState *newest = &gets[0].row;

	for (int i = 1; i < n; i++)
	{
		const RowState *r = &gets[i].row;
		int order = version_compare(r->version, newest->version);

		if (order == 0 && r->present != newest->present)
			order = r->present ? -1 : 1;
		else if (order == 0 && r->present)
			order = bytes_compare(r->value, newest->value);
		if (order > 0)
			newest = r;
	}
	return newest;
}

/* Of what was read; the rows of all copies are there. */
static DorisStatus bring_together(DorisClient *c, Topology *t, KeyRef at,
								  const ComparedCopy *copies, int n, bool knows_purged,
								  const RawGet *gets, bool *repaired, uint64_t until,
								  DorisError *err)
{
	const RowState *newest = repair_newest(gets, n);
	DorisStatus st = DORIS_OK;

	for (int i = 0; i < n && st == DORIS_OK; i++)
	{
		const RowState *r = &gets[i].row;

		if (version_compare(r->version, newest->version) == 0 && r->present == newest->present &&
			(!r->present || bytes_compare(r->value, newest->value) == 0))
			continue;
		if (r->nstaged > 0 && version_compare(r->staged.version, newest->version) == 0)
			(void) finish_vnode(c, t, r->staged.txn, true, at.vnode, NULL, until, err);
		else
			st = repair_copy(c, t, &copies[i], at, knows_purged, newest, until, err);
		*repaired = true;
	}
	return st;
}

static DorisStatus repair(DorisClient *c, Topology *t, KeyRef at, const ComparedCopy *copies, int n,
						  bool knows_purged, DorisVersion *version, bool *present, bool *repaired,
						  uint64_t until, DorisError *err)
{
	static const Projection whole = {.all_columns = true};
	RawGet gets[DORIS_MAX_GROUPS];
	Arena a = {NULL};
	DorisStatus st;

	*repaired = false;
	memset(gets, 0, sizeof(gets));
	for (int i = 0; i < n; i++)
		gets[i] = (RawGet){.at = at, .node = copies[i].node};
	st = raw_get(c, t, gets, (uint32_t) n, &whole, &a, REPAIR_SLICE_MS, until, err);
	for (int i = 0; i < n && st == DORIS_OK; i++)
		if (gets[i].status != DORIS_OK)
			st = doris_error(err, DORIS_UNAVAILABLE,
							 "the copies of key %s cannot be compared: node %s did not answer",
							 key_text(at.key), copies[i].node->name);
	if (st == DORIS_OK && n > 0)
	{
		const RowState *newest = repair_newest(gets, n);

		st = bring_together(c, t, at, copies, n, knows_purged, gets, repaired, until, err);
		*version = newest->version;
		*present = newest->present;
	}
	arena_free(&a);
	return st;
}

DorisStatus repair_row(DorisClient *c, Topology *t, KeyRef at, DorisVersion *version, bool *present,
					   bool *repaired, uint64_t until, DorisError *err)
{
	const TopoNode *nodes[DORIS_MAX_GROUPS];
	ComparedCopy copies[DORIS_MAX_GROUPS];
	int n = topology_readers(t, at.vnode, 0, nodes);

	for (int i = 0; i < n; i++)
		copies[i] = (ComparedCopy){.node = nodes[i]};
	return repair(c, t, at, copies, n, false, version, present, repaired, until, err);
}

DorisStatus repair_copies(DorisClient *c, Topology *t, KeyRef at, const ComparedCopy *copies, int n,
						  DorisVersion *version, bool *present, bool *repaired, uint64_t until,
						  DorisError *err)
{
	return repair(c, t, at, copies, n, true, version, present, repaired, until, err);
}
