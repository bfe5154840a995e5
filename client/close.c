/*
 * close.c: how a transaction ends that cannot go straight on: one's own after trouble, or another's found expired.
 *
 * Rule *close*: first the judges are asked to refuse what they do not hold. When all hold it, it is
 * committed and nothing changes that. Once a judge has refused for good, the others are told to drop; when every one of them
 * has, the transaction is surely not done. A refusal counts under one epoch only (I3): STALE_EPOCH voids
 * what was gathered. Whatever cannot be found out is OPEN, and told as unknown (I7).
 *
 * A transaction over several vnodes is closed through its decision row: the transaction that would
 * stage "C" is closed, then "A" is committed under the same key. A named one is closed vnode by vnode before: when all of it
 * is held "C" is written, once a vnode has refused and dropped it "A" (rules named, named close).
 */
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define CLOSE_SLICE_MS 1000
#define CLOSE_EXPIRES_MS 5000 /* a closer's own "A" is up for closing after this */

/* One target of a vnode and what it answered. */
typedef struct Asked
{
	const TopoNode *node;
	bool judge;
	bool failed; /* down and no judge: nobody to ask */
	bool never;	 /* it surely does not hold it: not asked */
	Call call;
	DorisStatus status;
	uint8_t result; /* OutcomeResult or FinishResult */
} Asked;

/*
 * "Never sent there" stands for a refusal only in the placement in which it was not sent: once the vnode has changed, the
 * node may have got it from another copy.
 */
static bool hint_counts(const Topology *t, uint32_t vnode, const CloseHint *hint)
{
	return hint->changed == topology_changed(t, vnode);
}

static bool hint_never(const Topology *t, uint32_t vnode, const CloseHint *hint, uint32_t node)
{
	uint32_t i;

	if (hint == NULL || !hint_counts(t, vnode, hint))
		return false;
	for (i = 0; i < hint->nnever; i++)
		if (hint->never[i] == node)
			return true;
	return false;
}

static int asked_plan(Topology *t, uint32_t vnode, const CloseHint *hint,
					  Asked asked[DORIS_MAX_TARGETS])
{
	TopoTarget targets[DORIS_MAX_TARGETS];
	int n = topology_targets(t, vnode, targets);
	int i;

	for (i = 0; i < n; i++)
	{
		memset(&asked[i], 0, sizeof(asked[i]));
		asked[i].node = targets[i].node;
		asked[i].judge = targets[i].judge;
		asked[i].failed = targets[i].failed;
		asked[i].never = hint_never(t, vnode, hint, targets[i].node->id);
		call_init(&asked[i].call);
	}
	return n;
}

/* When an answer to a question asked now has to be there. */
static uint64_t asked_until(uint64_t until)
{
	uint64_t slice = clock_mono_ms() + CLOSE_SLICE_MS;

	return slice < until ? slice : until;
}

/* Sends to all that want it: their call has a body. */
static DorisStatus asked_send(DorisClient *c, Topology *t, MsgType type, Asked *asked, int n,
							  uint64_t until, DorisError *err)
{
	for (int i = 0; i < n; i++)
	{
		Peer *p = peer_of_node(c, asked[i].node);

		if (asked[i].call.body.len == 0)
			continue;
		if (p == NULL)
			return client_no_memory(err);
		call_start(c, &asked[i].call, p, type, t, until);
	}
	return DORIS_OK;
}

/* Waits for all answers. OK: each has a status. */
static DorisStatus asked_take(DorisClient *c, MsgType type, Asked *asked, int n, uint64_t until,
							  DorisError *err)
{
	Call *calls[DORIS_MAX_TARGETS];
	DorisStatus st;
	int i;

	for (i = 0; i < n; i++)
		calls[i] = asked[i].call.body.len > 0 ? &asked[i].call : NULL;
	st = calls_wait(c, calls, n, true, until, err);
	if (st != DORIS_OK && st != DORIS_TIMEOUT)
		return st;
	for (i = 0; i < n; i++)
	{
		Call *call = calls[i];

		if (call == NULL)
			continue;
		if (call->state != CALL_DONE)
		{
			asked[i].status = DORIS_TIMEOUT;
			doris_error(err, DORIS_TIMEOUT, "%s does not answer", peer_name(c, call->peer));
			call_cut(c, call);
			continue;
		}
		asked[i].status = call->status;
		if (call->status != DORIS_OK)
		{
			*err = call->err;
			continue;
		}
		if (type == MSG_FINISH && cursor_u32(&call->reply) != 1)
			call->reply.bad = true;
		asked[i].result = cursor_u8(&call->reply);
		if (!cursor_at_end(&call->reply))
			asked[i].status = doris_error(err, DORIS_BAD_MESSAGE, "%s sent a malformed reply",
										  peer_name(c, call->peer));
	}
	return DORIS_OK;
}

static DorisStatus asked_run(DorisClient *c, Topology *t, MsgType type, Asked *asked, int n,
							 uint64_t until, DorisError *err)
{
	uint64_t slice = asked_until(until);
	DorisStatus st = asked_send(c, t, type, asked, n, slice, err);

	return st == DORIS_OK ? asked_take(c, type, asked, n, slice, err) : st;
}

static void asked_free(DorisClient *c, Asked *asked, int n)
{
	int i;

	for (i = 0; i < n; i++)
		call_free(c, &asked[i].call);
}

/* ---- FINISH with an answer ---- */
Outcome finish_vnode(DorisClient *c, Topology *t, DorisTxnId txn, bool commit, uint32_t vnode,
					 const CloseHint *hint, uint64_t until, DorisError *err)
{
	Asked asked[DORIS_MAX_TARGETS];
	int n = asked_plan(t, vnode, hint, asked);
	FinishItem item = {.txn = txn, .commit = commit, .nvnodes = 1, .vnodes = &vnode};
	FinishRequest req = {.nitems = 1, .items = &item};
	Outcome o = commit ? TXN_COMMITTED : TXN_ABORTED;
	int i;

	/* one that does not judge may get it yet from the copy it is made complete by: it is told in any case */
	for (i = 0; i < n; i++)
		if (!asked[i].failed && !(asked[i].judge && asked[i].never))
			finish_request_encode(&asked[i].call.body, &req);
	if (asked_run(c, t, MSG_FINISH, asked, n, until, err) != DORIS_OK)
		o = TXN_OPEN;
	for (i = 0; i < n && o != TXN_OPEN; i++)
	{
		if (asked[i].call.body.len == 0 || commit)
			continue;
		if (status_is_moved(asked[i].status) ||
			(asked[i].status == DORIS_OK && asked[i].result == FINISH_STALE))
			o = o == TXN_COMMITTED ? o : TXN_PENDING;
		else if (asked[i].status == DORIS_OK && asked[i].result == FINISH_COMMITTED)
			o = TXN_COMMITTED;
		else if (asked[i].status != DORIS_OK && o == TXN_ABORTED)
		{
			o = TXN_OPEN;
			break;
		}
	}
	asked_free(c, asked, n);
	return o;
}

/* ---- one vnode ---- */

/*
 * A judge's memory does not reach back to the transaction and it holds nothing of it. Its row tells: with that version
 * the write was applied; with a higher one it makes no difference any more; with a lower one it was never there, and
 * never will be, as the judge refuses what is older than its memory.
 */
static OutcomeResult horizon_outcome(DorisClient *c, Topology *t, const CloseHint *hint,
									 const TopoNode *node, uint64_t until, DorisError *err)
{
	static const Projection versions = {.all_columns = true, .no_values = true};
	RawGet get = {.node = node};
	Arena a = {NULL};
	OutcomeResult r = OUTCOME_HORIZON;

	if (hint == NULL || hint->at == NULL)
		return r;
	get.at = *hint->at;
	if (raw_get(c, t, &get, 1, &versions, &a, CLOSE_SLICE_MS, until, err) == DORIS_OK &&
		get.status == DORIS_OK)
		r = version_compare(get.row.version, hint->version) >= 0 ? OUTCOME_COMMITTED
																 : OUTCOME_REFUSED;
	arena_free(&a);
	return r;
}

/* I1, for one's own: what a failed copy misses has to be kept before success is told. */
static bool all_kept(const Topology *t, uint32_t vnode, const CloseHint *hint, DorisError *err)
{
	TopoTarget targets[DORIS_MAX_TARGETS];
	int n = topology_targets(t, vnode, targets);

	for (int i = 0; i < n && hint != NULL && hint->kept != NULL; i++)
	{
		uint32_t k = 0;

		while (k < hint->nkept && hint->kept[k] != targets[i].node->id)
			k++;
		if (!targets[i].failed || (k < hint->nkept && hint_counts(t, vnode, hint)))
			continue;
		doris_error(err, DORIS_UNAVAILABLE, "no log node has kept it for node %s, which is down",
					targets[i].node->name);
		return false;
	}
	return true;
}

/* One round under one topology. PENDING: it has moved, go round again. */
static Outcome close_round(DorisClient *c, Topology *t, DorisTxnId txn, uint32_t vnode,
						   const CloseHint *hint, uint64_t until, DorisError *err)
{
	Asked asked[DORIS_MAX_TARGETS];
	int n = asked_plan(t, vnode, hint, asked);
	OutcomeRequest req = {.txn = txn, .vnode = vnode, .refuse = true};
	OutcomeRequest ask = {.txn = txn, .vnode = vnode};
	bool missing = false; /* at a copy that is up and does not judge */
	bool refused = false;
	bool committed = false;
	bool moved = false;
	bool open = false;
	int judges = 0;
	int i;
	uint32_t never[2 * DORIS_MAX_TARGETS]; /* the hint's, and who turns out to be as sure */
	CloseHint drop = {.never = never};

	drop.changed = topology_changed(t, vnode);
	if (hint != NULL && hint_counts(t, vnode, hint))
		for (i = 0; (uint32_t) i < hint->nnever && i < DORIS_MAX_TARGETS; i++)
			never[drop.nnever++] = hint->never[i];
	for (i = 0; i < n; i++)
	{
		judges += asked[i].judge;
		if (asked[i].judge && asked[i].never)
			refused = true; /* as good as a refusal: nothing of it is on the way there */
		else if (asked[i].judge)
			outcome_request_encode(&asked[i].call.body, &req);
		else if (!asked[i].failed)
			outcome_request_encode(&asked[i].call.body, &ask);
	}
	if (asked_run(c, t, MSG_OUTCOME, asked, n, until, err) != DORIS_OK)
		open = true;
	for (i = 0; i < n && !open; i++)
	{
		if (asked[i].call.body.len == 0)
			continue;
		if (!asked[i].judge)
		{
			/* rule outcome: nobody acts on it before this copy has it, too; being asked makes it fetch it */
			moved |= status_is_moved(asked[i].status);
			committed |= asked[i].status == DORIS_OK && asked[i].result == OUTCOME_COMMITTED;
			missing |= asked[i].status != DORIS_OK || asked[i].result != OUTCOME_HELD;
			continue;
		}
		if (asked[i].status == DORIS_OK && asked[i].result == OUTCOME_HORIZON)
		{
			/* nobody applies what nobody was told of: it was never there, and is too old to come */
			asked[i].result = hint != NULL && hint->untold
								  ? OUTCOME_REFUSED
								  : horizon_outcome(c, t, hint, asked[i].node, until, err);
			if (asked[i].result == OUTCOME_REFUSED)
				never[drop.nnever++] = asked[i].node->id;
			if (asked[i].result == OUTCOME_HORIZON)
				asked[i].status = doris_error(err, DORIS_UNKNOWN,
											  "transaction %s is older than what node %s remembers",
											  txn_text(txn), asked[i].node->name);
		}
		if (status_is_moved(asked[i].status))
			moved = true;
		else if (asked[i].status != DORIS_OK)
			continue;
		else if (asked[i].result == OUTCOME_COMMITTED)
			committed = true;
		else if (asked[i].result == OUTCOME_REFUSED)
			refused = true;
	}
	if (!open && !committed && !moved && !refused)
	{
		/* all have to hold it; who did not answer leaves it open */
		for (i = 0; i < n; i++)
			if (asked[i].judge && asked[i].status != DORIS_OK)
				open = true;
		if (judges == 0)
		{
			open = true;
			doris_error(err, DORIS_UNAVAILABLE, "vnode %u has no complete copy", vnode);
		}
	}
	asked_free(c, asked, n);
	if (committed)
		return TXN_COMMITTED;
	if (moved)
		return TXN_PENDING;
	if (open)
		return TXN_OPEN;
	if (!refused && (missing || !all_kept(t, vnode, hint, err)))
	{
		if (err->code == DORIS_OK)
			doris_error(err, DORIS_UNAVAILABLE,
						"a copy of vnode %u that is being made complete lacks transaction %s",
						vnode, txn_text(txn));
		return TXN_OPEN;
	}
	if (!refused)
		return TXN_COMMITTED;
	FAULT_POINT("client-refused");
	/* every target drops it, under the epoch of the refusal */
	return finish_vnode(c, t, txn, false, vnode, &drop, until, err);
}

Outcome close_single(DorisClient *c, DorisTxnId txn, uint32_t vnode, const CloseHint *hint,
					 uint64_t until, DorisError *err)
{
	int pause = 5;

	err->code = DORIS_OK;
	for (;;)
	{
		Topology *t = topology_ref(c->topo);
		uint64_t used = t->epoch;
		Outcome o = close_round(c, t, txn, vnode, hint, until, err);
		DorisError ignored;

		topology_unref(t);
		if (o == TXN_COMMITTED || o == TXN_ABORTED)
			return o;
		if (c->cancelled && !c->no_cancel)
			return TXN_OPEN;
		if (o == TXN_OPEN && err->code == DORIS_UNKNOWN)
			return TXN_OPEN; /* asking again does not bring memory back */
		if (clock_mono_ms() >= until)
			break;
		if (o == TXN_PENDING)
		{
			if (client_moved(c, used, until, &ignored) == DORIS_CANCELLED)
				break;
			if (err->code == DORIS_OK)
				*err = ignored;
		}
		else if (client_pause(c, pause, &ignored) != DORIS_OK)
			break;
		pause = pause < 200 ? pause * 2 : 200;
	}
	if (err->code == DORIS_OK)
		doris_error(err, DORIS_TIMEOUT, "the placement of vnode %u keeps changing", vnode);
	return TXN_OPEN;
}

bool others_hold(DorisClient *c, Topology *t, DorisTxnId txn, uint32_t vnode, uint64_t until,
				 DorisError *err)
{
	Asked asked[DORIS_MAX_TARGETS];
	int n = asked_plan(t, vnode, NULL, asked);
	OutcomeRequest req = {.txn = txn, .vnode = vnode};
	bool hold = true;
	bool any = false;

	for (int i = 0; i < n; i++)
		if (!asked[i].judge && !asked[i].failed)
		{
			outcome_request_encode(&asked[i].call.body, &req);
			any = true;
		}
	if (any && asked_run(c, t, MSG_OUTCOME, asked, n, until, err) != DORIS_OK)
		hold = false;
	for (int i = 0; i < n && hold && any; i++)
	{
		if (asked[i].call.body.len == 0)
			continue;
		hold = asked[i].status == DORIS_OK &&
			   (asked[i].result == OUTCOME_HELD || asked[i].result == OUTCOME_COMMITTED);
		if (!hold && asked[i].status == DORIS_OK)
			doris_error(err, DORIS_UNAVAILABLE,
						"node %s, whose copy of vnode %u is being made "
						"complete, lacks transaction %s",
						asked[i].node->name, vnode, txn_text(txn));
	}
	asked_free(c, asked, n);
	return hold;
}

/* ---- several vnodes ---- */

/* The decision row as readers see it: 'C', 'A', 0 (none), or -1: cannot be read (err). */
static int decision_read(DorisClient *c, DorisBytes id, uint32_t vnode, uint64_t until,
						 DorisError *err)
{
	static const Projection whole = {.all_columns = true};
	GetKey key = {.at = {.space = DORIS_SPACE_DECISIONS, .vnode = vnode, .key = id}};
	Arena a = {NULL};
	uint64_t slice = clock_mono_ms() + CLOSE_SLICE_MS;
	int r = -1;

	if (get_keys(c, &key, 1, &whole, &a, slice < until ? slice : until, err) == DORIS_OK)
		r = key.found && key.value.len == 1 ? key.value.data[0] : 0;
	arena_free(&a);
	return r;
}

/* What the targets of one vnode have answered a reader. *known: one remembers it as committed. */
static Outcome vnode_said(const Asked *asked, int n, bool *known)
{
	bool open = true;	  /* until a judge has answered */
	bool missing = false; /* at a judge */
	bool lacking = false; /* at a copy that is up and does not judge */
	int silent = 0;

	for (int i = 0; i < n; i++)
	{
		bool answered = asked[i].status == DORIS_OK && asked[i].result != OUTCOME_HORIZON;
		bool held = asked[i].status == DORIS_OK && asked[i].result == OUTCOME_HELD;

		if (asked[i].failed)
			continue;
		*known |= asked[i].status == DORIS_OK && asked[i].result == OUTCOME_COMMITTED;
		lacking |= !asked[i].judge && !held;
		missing |= asked[i].judge && answered && !held;
		silent += asked[i].judge ? !answered : asked[i].status != DORIS_OK;
		open &= !asked[i].judge;
	}
	/* rule named pending: one that lacks it says little unless all have answered: who does not judge may know of a newer map */
	if (*known)
		return TXN_COMMITTED;
	return open || silent > 0 ? TXN_OPEN
		   : missing		  ? TXN_PENDING
		   : lacking		  ? TXN_OPEN
							  : TXN_COMMITTED;
}

Outcome named_state(DorisClient *c, Topology *t, const StagedInfo *s, uint64_t until,
					DorisError *err)
{
	Asked(*asked)[DORIS_MAX_TARGETS] = calloc(1 + DORIS_MAX_OTHERS, sizeof(*asked));
	OutcomeRequest req = {.txn = s->txn};
	int n[1 + DORIS_MAX_OTHERS] = {0};
	uint64_t slice = asked_until(until);
	DorisStatus st = asked != NULL ? DORIS_OK : client_no_memory(err);
	bool known = false;
	Outcome o = TXN_COMMITTED;

	for (int v = 0; v <= s->others.n && st == DORIS_OK; v++)
	{
		req.vnode = v == 0 ? s->decision_vnode : s->others.vnodes[v - 1];
		n[v] = asked_plan(t, req.vnode, NULL, asked[v]);
		for (int i = 0; i < n[v]; i++)
			if (!asked[v][i].failed)
				outcome_request_encode(&asked[v][i].call.body, &req);
		st = asked_send(c, t, MSG_OUTCOME, asked[v], n[v], slice, err);
	}
	for (int v = 0; v <= s->others.n && st == DORIS_OK; v++)
	{
		Outcome one;

		st = asked_take(c, MSG_OUTCOME, asked[v], n[v], slice, err);
		one = st == DORIS_OK ? vnode_said(asked[v], n[v], &known) : TXN_OPEN;
		if (one != TXN_COMMITTED && o != TXN_PENDING)
			o = one;
	}
	for (int v = 0; v <= s->others.n && asked != NULL; v++)
		asked_free(c, asked[v], n[v]);
	free(asked);
	if (known)
		return TXN_COMMITTED;
	if (st != DORIS_OK)
		return TXN_OPEN;
	if (o == TXN_OPEN && err->code == DORIS_OK)
		doris_error(err, DORIS_UNAVAILABLE,
					"not all copies that have to hold transaction %s do, or could say so",
					txn_text(s->txn));
	return o;
}

/*
 * What is older than the nodes' memory and held by nobody was never there, when there is no decision row: with one committed and
 * forgotten nothing would be staged any more; and a named one is applied nowhere before.
 */
static const CloseHint untold = {.untold = true};

/* Rule named close: COMMITTED: every vnode holds it. ABORTED: one of them has refused and dropped it for good. */
static Outcome close_named(DorisClient *c, const StagedInfo *s, uint64_t until, DorisError *err)
{
	Outcome o = TXN_COMMITTED;

	for (int i = 0; i <= s->others.n && o != TXN_ABORTED; i++)
	{
		uint32_t vnode = i == 0 ? s->decision_vnode : s->others.vnodes[i - 1];
		Outcome one =
			close_single(c, s->txn, vnode, &untold, client_share(until, s->others.n + 1 - i), err);

		/* one that does not answer does not keep the others from refusing it */
		if (one != TXN_COMMITTED)
			o = one;
	}
	return o;
}

Outcome close_decision(DorisClient *c, const StagedInfo *s, uint64_t until, DorisTxnId *closer,
					   DorisError *err)
{
	DorisTxnId txn = s->txn;
	uint32_t decision_vnode = s->decision_vnode;
	uint8_t id[DORIS_TXNID_SIZE];
	KeyRef at = {.space = DORIS_SPACE_DECISIONS,
				 .vnode = decision_vnode,
				 .key = {.data = id, .len = sizeof(id)}};
	DorisTxnId mine = client_txnid(c);
	DorisVersion version = client_version(c);
	uint64_t expires = clock_wall_ms() + CLOSE_EXPIRES_MS;
	Outcome found = s->mode == TXN_NAMED ? TXN_PENDING : TXN_ABORTED; /* what is to be written */
	int pause = 3;

	err->code = DORIS_OK;
	txnid_to_key(txn, id);
	while (clock_mono_ms() < until && (!c->cancelled || c->no_cancel))
	{
		StageOne one;
		Outcome o;
		Topology *t;
		uint64_t used;
		DorisError ignored;
		int said = decision_read(c, at.key, decision_vnode, until, err);

		if (said == 'C')
			return TXN_COMMITTED;
		if (said == 'A')
			return TXN_ABORTED;
		if (said < 0)
			continue; /* decision_read has waited */
		if (found == TXN_PENDING)
		{
			found = close_named(c, s, until, err);
			if (found == TXN_OPEN)
				return found;
			if (found == TXN_COMMITTED)
			{
				/* as its own client would: what that has sent already counts */
				mine = decision_txn(txn);
				version = s->version;
			}
		}
		if (s->mode != TXN_NAMED)
		{
			/* nobody is to stage "C" any more. Its row would still be there if it had been committed and forgotten. */
			o = close_single(c, decision_txn(txn), decision_vnode, &untold, until, err);
			if (o == TXN_COMMITTED || o == TXN_OPEN)
				return o;
		}
		t = topology_ref(c->topo);
		used = t->epoch;
		o = stage_one(c, t, mine, version, expires, &at,
					  (DorisBytes){(const uint8_t *) (found == TXN_COMMITTED ? "C" : "A"), 1},
					  until, &one, err);
		topology_unref(t);
		if (o == TXN_COMMITTED)
		{
			/* stays staged: it may be forgotten only when all targets of the transaction have ended it */
			recent_add(c, mine);
			if (closer != NULL && found == TXN_ABORTED)
				*closer = mine;
			return found;
		}
		if (o == TXN_OPEN)
		{
			if (one.moved && client_moved(c, used, until, &ignored) != DORIS_OK)
				break;
			if (client_pause(c, pause, &ignored) != DORIS_OK)
				break;
			continue; /* the same ids again: repeating is harmless */
		}
		/* somebody else closes it too, or was faster: out of the way, wait a little and look again */
		if (one.conflict.why == REFUSAL_BASE || one.conflict.why == REFUSAL_LOW)
			clock_observe(&c->clock, one.conflict.stored.clock);
		o = close_single(c, mine, decision_vnode, &untold, until, err);
		if (o == TXN_COMMITTED)
		{
			if (closer != NULL && found == TXN_ABORTED)
				*closer = mine;
			return found;
		}
		if (o == TXN_OPEN)
			return o;
		if (one.conflict.why == REFUSAL_STAGED &&
			txnid_compare(one.conflict.staged.txn, decision_txn(txn)) != 0 &&
			meet_writer(c, &one.conflict.staged, &at, one.node, until, err) == TXN_OPEN)
			return TXN_OPEN;
		mine = client_txnid(c);
		version = client_version(c);
		expires = clock_wall_ms() + CLOSE_EXPIRES_MS;
		/* two closers must not stay in step */
		if (client_pause(c, pause + (int) (mine.nonce % (unsigned) pause), &ignored) != DORIS_OK)
			break;
		pause = pause < 100 ? pause * 2 : 100;
	}
	if (err->code == DORIS_OK)
		doris_error(err, DORIS_TIMEOUT,
					"the decision of transaction %s could not be settled in time", txn_text(txn));
	return TXN_OPEN;
}

/* ---- a writer meets another's staged write ---- */

/* What its judges say of a transaction within one vnode, and the node where it was met. */
static Outcome judges_say(DorisClient *c, Topology *t, const StagedInfo *s, const KeyRef *at,
						  uint32_t node, uint64_t until, DorisError *err)
{
	Asked asked[DORIS_MAX_TARGETS];
	int n = asked_plan(t, at->vnode, NULL, asked);
	OutcomeRequest req = {.txn = s->txn, .vnode = at->vnode};
	bool all = true;
	bool gone = false;
	bool ran;
	bool open;
	bool refused = false;
	bool moved = false;
	bool missing = false; /* at a copy that is up and does not judge */
	Outcome o = TXN_PENDING;
	DorisError ignored;
	int i;

	for (i = 0; i < n; i++)
		if (!asked[i].failed && (s->mode == TXN_SINGLE || asked[i].node->id == node))
			outcome_request_encode(&asked[i].call.body, &req);
	ran = asked_run(c, t, MSG_OUTCOME, asked, n, until, err) == DORIS_OK;
	open = !ran;
	for (i = 0; i < n && ran; i++)
	{
		if (asked[i].call.body.len == 0)
			continue;
		if (asked[i].status != DORIS_OK)
		{
			moved |= status_is_moved(asked[i].status);
			open = true;
			continue;
		}
		if (asked[i].result == OUTCOME_COMMITTED)
			o = TXN_COMMITTED;
		else if (asked[i].result == OUTCOME_REFUSED && asked[i].judge)
			refused = true;
		if (asked[i].result != OUTCOME_HELD && asked[i].judge)
			all = false;
		else if (asked[i].result != OUTCOME_HELD)
			missing = true;
		if (asked[i].node->id == node && asked[i].result != OUTCOME_HELD)
			gone = true;
	}
	asked_free(c, asked, n);
	if (o == TXN_COMMITTED)
		return o;
	/* I3: whoever asks again asks by the newer map */
	if (moved)
		(void) !client_moved(c, t->epoch, until, &ignored);
	if (open)
		return TXN_OPEN;
	if (gone)
		return TXN_ABORTED; /* not in the way any more */
	if (s->mode != TXN_SINGLE)
		return TXN_PENDING;
	if (all && missing)
	{
		doris_error(err, DORIS_UNAVAILABLE,
					"a copy of vnode %u that is being made complete lacks transaction %s",
					at->vnode, txn_text(s->txn));
		return TXN_OPEN;
	}
	if (all)
		return TXN_COMMITTED;
	if (refused)
	{
		/* it can never commit, and whoever began to close it is at it or gone */
		CloseHint hint = {.at = at, .version = s->version};

		return close_single(c, s->txn, at->vnode, &hint, until, err);
	}
	return TXN_PENDING;
}

Outcome meet_writer(DorisClient *c, const StagedInfo *s, const KeyRef *at, uint32_t node,
					uint64_t until, DorisError *err)
{
	bool expired = s->now_ms > s->expires_ms; /* both by the node's own clock */
	Topology *t;
	Outcome o;
	uint8_t id[DORIS_TXNID_SIZE];
	int said;

	if (s->mode == TXN_NAMED ? told_known(c, s->txn) : recent_committed(c, s->txn))
		return TXN_COMMITTED;
	if (s->mode == TXN_SINGLE && expired)
	{
		CloseHint hint = {.at = at, .version = s->version};

		return close_single(c, s->txn, at->vnode, &hint, until, err);
	}
	t = topology_ref(c->topo);
	o = judges_say(c, t, s, at, node, until, err);
	topology_unref(t);
	if (o != TXN_PENDING || s->mode == TXN_SINGLE)
		return o;
	txnid_to_key(s->txn, id);
	said = decision_read(c, (DorisBytes){id, sizeof(id)}, s->decision_vnode, until, err);
	if (said == 'C' && s->mode == TXN_NAMED)
		told_add(c, s->txn, s->version);
	if (said == 'C')
		return TXN_COMMITTED;
	if (said == 'A')
		return TXN_ABORTED;
	if (said < 0)
		return TXN_OPEN;
	if (s->mode == TXN_NAMED && !expired)
	{
		uint64_t used;
		DorisError ignored;

		t = topology_ref(c->topo);
		used = t->epoch;
		o = named_state(c, t, s, until, err);
		topology_unref(t);
		/* nothing else that this writer sends need show that the map of the other vnodes is old */
		if (o == TXN_OPEN && c->epoch_seen > used &&
			client_moved(c, used, until, &ignored) == DORIS_CANCELLED)
			*err = ignored;
		if (o != TXN_COMMITTED)
			return o;
	}
	else if (!expired)
		return TXN_PENDING;
	o = close_decision(c, s, until, NULL, err);
	if (o == TXN_COMMITTED && s->mode == TXN_NAMED)
		told_add(c, s->txn, s->version);
	return o;
}
