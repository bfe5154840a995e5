/*
 * settle.c: ending a staged write whose client is gone (rules *meet*, *close*), for the nodes' settlers.
 */
#include "client.h"

DorisStatus doris_settle(DorisClient *c, const KeyRef *at, const StagedInfo *s, uint32_t node,
						 bool *ended, DorisError *err)
{
	Topology *t;
	Outcome o;

	*ended = false;
	err->code = DORIS_OK;
	client_begin(c);
	o = meet_writer(c, s, at, node, c->until, err);
	if (c->cancelled)
		return doris_error(err, DORIS_CANCELLED, "stopped while settling");
	if (o == TXN_OPEN)
		return err->code != DORIS_OK
				   ? err->code
				   : doris_error(err, DORIS_UNAVAILABLE, "the outcome of transaction %s is open",
								 txn_text(s->txn));
	if (o == TXN_PENDING)
		return DORIS_OK;
	t = topology_ref(c->topo);
	/* of one vnode and aborted: closing it has told every target */
	if (o == TXN_COMMITTED || s->mode != TXN_SINGLE)
		*ended =
			finish_vnode(c, t, s->txn, o == TXN_COMMITTED, at->vnode, NULL, c->until, err) == o;
	else
		*ended = true;
	topology_unref(t);
	return DORIS_OK;
}
