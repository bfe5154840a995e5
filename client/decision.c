/*
 * decision.c: staging a decision row: one row, under a transaction of its own, at all targets of its vnode (rule *decision row*).
 */
#include <string.h>

#include "client.h"

#define DECISION_PAUSE_MS 50 /* before a try is repeated, doubled each time */
#define DECISION_SLICE_MS \
	2000 /* the first try waits so long for its answers, the next twice that */

Outcome stage_one(DorisClient *c, Topology *t, DorisTxnId txn, DorisVersion version,
				  uint64_t expires_ms, const KeyRef *at, DorisBytes value, uint64_t until,
				  StageOne *out, DorisError *err)
{
	TopoTarget targets[DORIS_MAX_TARGETS];
	StageRow row = {.at = *at, .kind = WRITE_INSERT, .value = value};
	StageRequest req = {.txn = txn,
						.version = version,
						.mode = TXN_SINGLE,
						.decision_vnode = at->vnode,
						.expires_ms = expires_ms,
						.nrows = 1,
						.rows = &row};
	Call calls[DORIS_MAX_TARGETS];
	Call *waiting[DORIS_MAX_TARGETS];
	int n = topology_targets(t, at->vnode, targets);
	int open = n;
	int tries;
	int i;
	Outcome o = TXN_COMMITTED;

	memset(out, 0, sizeof(*out));
	err->code = DORIS_OK;
	for (i = 0; i < n; i++)
	{
		call_init(&calls[i]);
		stage_request_encode(&calls[i].body, &req);
		waiting[i] = targets[i].failed ? NULL : &calls[i];
		open -= targets[i].failed;
	}
	/* rule hints: kept before a judge is asked */
	for (i = 0; i < n && o == TXN_COMMITTED; i++)
	{
		DorisStatus st;

		if (!targets[i].failed)
			continue;
		st = hint_keep(c, t, targets[i].node, MSG_STAGE, &calls[i].body, until, err);
		out->moved = st != DORIS_OK && status_is_moved(st);
		if (st != DORIS_OK)
			o = TXN_OPEN;
	}
	for (tries = 0; tries < CLIENT_TRIES && open > 0 && o == TXN_COMMITTED; tries++)
	{
		uint64_t slice = clock_mono_ms() + ((uint64_t) DECISION_SLICE_MS << tries);
		DorisStatus st = DORIS_OK;

		if (slice > until)
			slice = until;
		if (tries > 0)
			st = client_pause(c, DECISION_PAUSE_MS << tries, err);
		for (i = 0; i < n && st == DORIS_OK; i++)
		{
			Peer *p = peer_of_node(c, targets[i].node);

			if (p == NULL)
				st = client_no_memory(err);
			else if (waiting[i] != NULL)
				call_start(c, waiting[i], p, MSG_STAGE, t, slice);
		}
		if (st == DORIS_OK)
			st = calls_wait(c, waiting, n, true, slice, err);
		if (st != DORIS_OK && st != DORIS_TIMEOUT)
		{
			o = TXN_OPEN;
			break;
		}
		for (i = 0; i < n && o == TXN_COMMITTED; i++)
		{
			Call *call = waiting[i];
			StageReply reply;

			if (call == NULL)
				continue;
			if (call->state != CALL_DONE)
			{
				call_cut(c, call);
				continue;
			}
			/* unavailable: it has just started and waits for an admin (rule start) */
			if (call->status == DORIS_UNREACHABLE || call->status == DORIS_UNAVAILABLE)
			{
				*err = call->err;
				continue;
			}
			if (call->status != DORIS_OK ||
				stage_reply_decode(&call->reply, &reply, &call->err) != DORIS_OK)
			{
				*err = call->err;
				out->moved = status_is_moved(call->status) || call->status == DORIS_UNAVAILABLE;
				o = TXN_OPEN;
				break;
			}
			if (!reply.held)
			{
				o = TXN_ABORTED;
				out->node = targets[i].node->id;
				out->conflict = reply.conflicts[0];
				out->conflict.staged.value = (DorisBytes){NULL, 0};
				doris_error(err, DORIS_CONFLICT, "node %s refused the decision of transaction %s",
							targets[i].node->name, txn_text(txn));
			}
			stage_reply_free(&reply);
			waiting[i] = NULL;
			open--;
		}
		if (clock_mono_ms() >= until)
			break;
	}
	if (o == TXN_COMMITTED && open > 0)
	{
		o = TXN_OPEN;
		for (i = 0; i < n; i++)
			if (waiting[i] != NULL)
				out->node = targets[i].node->id;
		if (err->code == DORIS_OK || err->code == DORIS_TIMEOUT)
			doris_error(err, DORIS_TIMEOUT,
						"no answer about the decision of transaction %s in time", txn_text(txn));
	}
	for (i = 0; i < n; i++)
	{
		out->sent |= calls[i].maybe_arrived;
		call_free(c, &calls[i]);
	}
	return o;
}
