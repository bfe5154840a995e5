/*
 * repair.c: *repair what you read*: copies of one row that differ are brought together.
 *
 * Copies come to differ when a plain write reached only some of them before its client gave up. The highest committed
 * version is what all get, as a plain write of its own (I4: whoever has a higher one by then keeps it). A copy
 * that only has not finished yet what the others have is told to.
 */
#include <string.h>

#include "client.h"

#define REPAIR_SLICE_MS 1000

static DorisStatus repair_copy(DorisClient *c, Topology *t, const TopoNode *node, KeyRef at,
							   const RowState *newest, uint64_t until, DorisError *err)
{
	ApplyRow row = {.at = at,
					.deleted = !newest->present,
					.version = newest->version,
					.value = newest->present ? newest->value : (DorisBytes){NULL, 0}};
	ApplyRequest req = {.from_client = false, .nrows = 1, .rows = &row};
	Peer *p = peer_of_node(c, node);
	Call call;
	DorisStatus st;

	if (p == NULL)
		return client_no_memory(err);
	call_init(&call);
	apply_request_encode(&call.body, &req);
	st = call_run(c, &call, p, MSG_APPLY, t, until, err);
	call_free(c, &call);
	return st;
}

DorisStatus repair_row(DorisClient *c, Topology *t, KeyRef at, DorisVersion *version, bool *present,
					   bool *repaired, uint64_t until, DorisError *err)
{
	static const Projection whole = {.all_columns = true};
	const TopoNode *nodes[DORIS_MAX_GROUPS];
	RawGet gets[DORIS_MAX_GROUPS];
	Arena a = {NULL};
	int n = topology_readers(t, at.vnode, 0, nodes);
	const RowState *newest = NULL;
	DorisStatus st;
	int i;

	*repaired = false;
	memset(gets, 0, sizeof(gets));
	for (i = 0; i < n; i++)
		gets[i] = (RawGet){.at = at, .node = nodes[i]};
	st = raw_get(c, t, gets, (uint32_t) n, &whole, &a, REPAIR_SLICE_MS, until, err);
	for (i = 0; i < n && st == DORIS_OK; i++)
	{
		if (gets[i].status != DORIS_OK)
			st = doris_error(err, DORIS_UNAVAILABLE,
							 "the copies of key %s cannot be compared: node %s did not answer",
							 key_text(at.key), nodes[i]->name);
		else if (newest == NULL || version_compare(gets[i].row.version, newest->version) > 0)
			newest = &gets[i].row;
	}
	for (i = 0; i < n && st == DORIS_OK; i++)
	{
		const RowState *r = &gets[i].row;

		if (version_compare(r->version, newest->version) >= 0)
			continue;
		if (r->nstaged > 0 && version_compare(r->staged.version, newest->version) == 0)
			(void) finish_vnode(c, t, r->staged.txn, true, at.vnode, NULL, until, err);
		else
			st = repair_copy(c, t, nodes[i], at, newest, until, err);
		*repaired = true;
	}
	if (st == DORIS_OK && newest != NULL)
	{
		*version = newest->version;
		*present = newest->present;
	}
	arena_free(&a);
	return st;
}
