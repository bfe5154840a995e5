/*
 * commit.c: doris_commit: all rows together, or surely none, or "unknown" (I7).
 *
 * All rows in one vnode and one message: committed once all judges hold it, and acknowledged once every target does:
 * one round trip. So is a small one over a few vnodes, which its staged rows name; its decision row follows (decide.c).
 * Else, when every target holds everything, the decision row "C" is staged in the vnode of the
 * first key; the transaction is committed exactly when that row is. Nothing is acknowledged unless all write targets
 * answered "held" under one topology (I1); when one answers STALE_EPOCH everything is sent again under the new one, with the
 * same ids (I3), so that what is held already stays held and nothing is done twice.
 *
 * How one ends that does not get there (rules *close*, *not done*):
 * - nothing of it can have arrived anywhere: not done.
 * - over several vnodes, and its decision row was never sent: it can never commit. What is staged is dropped.
 * - one vnode: a judge must have refused it for good, or never have got it, and every other target must have dropped it:
 *   if the placement changed while one still holds it, that one might be the only judge, and then it would be committed.
 * - a named one: as with one vnode, in any of its vnodes. Meanwhile it is sent under no other topology (rule *named once*).
 * - else it is closed as anybody would; when that cannot be decided either, the outcome is unknown.
 */
#include <stdlib.h>
#include <string.h>

#include "txn.h"

#define UNNAMED_MS 1000	  /* no named transaction after one had to be closed */
#define DROP_WAIT_MS 500  /* for dropping what can never commit; the rest goes in the background */
#define END_GRACE_MS 3000 /* closing may take so long beyond other limits, within the deadline */

/* The vnodes touched at a target. False: no memory. */
static bool touched_list(const Txn *x, const StageTarget *t, uint32_t **out)
{
	uint32_t n = 0;
	uint32_t w;

	*out = malloc((t->ntouched + 1) * sizeof(uint32_t));
	if (*out == NULL)
		return false;
	for (w = 0; w < TXN_TOUCHED_WORDS(x); w++)
	{
		uint64_t bits = t->touched[w];

		while (bits != 0)
		{
			(*out)[n++] = w * 64 + (uint32_t) __builtin_ctzll(bits);
			bits &= bits - 1;
		}
	}
	return true;
}

/* Tells all targets, without waiting (rule *finish*). */
static void finish_all(Txn *x)
{
	DorisClient *c = x->c;
	FinishGroup *group = NULL;
	uint32_t i;

	if (x->named != NULL)
	{
		decide_start(x);
		finish_pump(c);
		return;
	}
	recent_add(c, x->id);
	if (x->mode == TXN_DECISION)
	{
		recent_add(c, decision_txn(x->id));
		group = finish_group_new(decision_txn(x->id), x->vnode, x->topo);
	}
	for (i = 0; i < x->ntargets; i++)
	{
		StageTarget *t = x->targets[i];
		uint32_t *vnodes;

		if (t->failed)
		{
			/* its copies are made complete by a pass, which brings the outcome: the decision row waits for no answer */
			Peer *log = hint_peer(c, x->topo, t->node, 0);

			if (log != NULL && t->kept)
				finish_queue_hint(c, log, t->node, x->id);
			continue;
		}
		if (!t->call.maybe_arrived)
			continue;
		if (x->mode == TXN_SINGLE)
			finish_queue(c, t->peer, x->id, true, &x->vnode, 1, NULL);
		else if (touched_list(x, t, &vnodes))
		{
			finish_queue(c, t->peer, x->id, true, vnodes, t->ntouched, group);
			free(vnodes);
		}
		else
			finish_queue(c, t->peer, x->id, true, NULL, 0, group); /* the node has its own list */
		FAULT_POINT("client-finishing");
	}
	finish_group_sealed(c, group);
	finish_pump(c);
}

/*
 * Drops what can never commit. Waits a moment for the answers, so that the user's next try does not meet our own
 * remains; who does not answer is told in the background, or finds out by closing it.
 */
static void drop_all(Txn *x, const DorisTxnId *closer)
{
	DorisClient *c = x->c;
	/* the row "A" that closed it, when we staged it, may be forgotten after that */
	FinishGroup *group = closer != NULL && closer->clock != 0
							 ? finish_group_new(*closer, x->vnode, x->topo)
							 : finish_group_new((DorisTxnId){.clock = 0}, 0, NULL);
	uint32_t i;

	for (i = 0; i < x->ntargets; i++)
	{
		StageTarget *t = x->targets[i];
		uint32_t *vnodes;

		if (!t->call.maybe_arrived)
			continue;
		if (!touched_list(x, t, &vnodes))
		{
			finish_group_failed(group);
			continue;
		}
		finish_queue(c, t->peer, x->id, false, vnodes, t->ntouched, group);
		free(vnodes);
	}
	finish_pump(c);
	if (!c->cancelled && group != NULL)
		finish_flush(c, group, 0, DROP_WAIT_MS);
	finish_group_sealed(c, group);
}

static bool is_clean(const Txn *x, uint32_t node)
{
	for (uint32_t i = 0; i < x->ntargets; i++)
		if (x->targets[i]->node == node)
			return !x->targets[i]->call.maybe_arrived || x->targets[i]->clean;
	return true;
}

/* One vnode of a named one, as close_single. to_ack: COMMITTED only when it can be acknowledged as it is (I1). */
static Outcome end_vnode(Txn *x, uint32_t vnode, bool to_ack, bool only_refused, uint64_t until,
						 DorisError *err)
{
	TopoTarget targets[DORIS_MAX_TARGETS];
	static const uint32_t none;
	uint32_t never[DORIS_MAX_TARGETS];
	CloseHint hint = {.never = never,
					  .kept = to_ack ? &none : NULL,
					  .changed = topology_changed(x->named, vnode)};
	int n = topology_targets(x->named, vnode, targets);

	for (int i = 0; i < n; i++)
		if (is_clean(x, targets[i].node->id))
			never[hint.nnever++] = targets[i].node->id;
	if (only_refused && hint.nnever == 0)
		return TXN_PENDING;
	return close_single(x->c, x->id, vnode, &hint, until, err);
}

/*
 * Rule named close, by its own client: in the vnodes first where a target is known not to hold it. That costs more than dropping one
 * whose decision row was never sent: where transactions meet each other the next ones go the longer way.
 */
static Outcome end_named(Txn *x, bool to_ack, uint64_t until, DorisError *err)
{
	Outcome o = TXN_COMMITTED;

	x->c->unnamed_until = clock_mono_ms() + UNNAMED_MS;
	for (int lap = 0; lap < 2 && o != TXN_ABORTED; lap++)
	{
		o = TXN_COMMITTED;
		for (int i = 0; i <= x->others.n && o != TXN_ABORTED; i++)
		{
			uint32_t vnode = i == 0 ? x->vnode : x->others.vnodes[i - 1];
			Outcome one = end_vnode(x, vnode, to_ack, lap == 0,
									client_share(until, x->others.n + 2 - i), err);

			/* one that does not answer does not keep the others from refusing it */
			if (one == TXN_OPEN || one == TXN_ABORTED)
				o = one;
		}
	}
	if (o == TXN_ABORTED)
		drop_all(x, NULL);
	return o;
}

/* Ends the transaction: COMMITTED (after all; to_ack: and it may be told), ABORTED (surely not done), OPEN. */
static Outcome txn_end(Txn *x, bool to_ack, DorisError *err)
{
	DorisClient *c = x->c;
	uint64_t now = clock_mono_ms();
	uint64_t until = x->until;
	uint32_t never[DORIS_MAX_TARGETS];
	uint32_t kept[DORIS_MAX_TARGETS];
	CloseHint hint = {.never = never, .kept = kept, .changed = x->changed};
	bool arrived = false;
	bool unclean = false;
	uint32_t i;
	Outcome o;

	for (i = 0; i < x->ntargets; i++)
	{
		StageTarget *t = x->targets[i];

		/* a message on the way, or an answer nobody has looked at: target_send has made it unclean */
		t->doubt |= t->call.state != CALL_IDLE;
		call_abandon(c, &t->call);
		arrived |= t->call.maybe_arrived;
		unclean |= t->call.maybe_arrived && !t->clean;
	}
	if (x->sure)
	{
		/* what it was closed as stands, whatever was answered since */
		doris_error(err, DORIS_UNAVAILABLE, "it is held, but not kept for every copy that is down");
		return TXN_OPEN;
	}
	if (!x->decision_sent && !unclean)
		/* every message that arrived was refused and none is on the way: nobody holds anything */
		return TXN_ABORTED;
	if (!arrived)
		return TXN_ABORTED;
	/* the deadline bounds this too, but for a moment to learn what became of it; a cancel leaves only that moment */
	if (c->cancelled)
		until = now + CLIENT_LEARN_MS;
	else if (until > now + END_GRACE_MS)
		until = now + END_GRACE_MS;
	else if (until < now + CLIENT_LEARN_MS)
		until = now + CLIENT_LEARN_MS;
	c->no_cancel = true;
	if (x->named != NULL)
		o = end_named(x, to_ack, until, err);
	else if (x->mode == TXN_SINGLE)
	{
		for (i = 0; i < x->ntargets && hint.nnever < DORIS_MAX_TARGETS; i++)
			if (!x->targets[i]->call.maybe_arrived || x->targets[i]->clean)
				never[hint.nnever++] = x->targets[i]->node;
		for (i = 0; i < x->ntargets && hint.nkept < DORIS_MAX_TARGETS; i++)
			if (x->targets[i]->failed && x->targets[i]->kept)
				kept[hint.nkept++] = x->targets[i]->node;
		o = close_single(c, x->id, x->vnode, &hint, until, err);
	}
	else if (!x->decision_sent)
	{
		drop_all(x, NULL);
		o = TXN_ABORTED;
	}
	else
	{
		DorisTxnId closer = {.clock = 0};
		StagedInfo mine = {
			.txn = x->id, .mode = TXN_DECISION, .decision_vnode = x->vnode, .version = x->version};

		o = close_decision(c, &mine, until, &closer, err);
		if (o == TXN_ABORTED)
			drop_all(x, &closer);
	}
	c->no_cancel = false;
	return o;
}

/* Stages the decision row. GO: the transaction is committed. */
static StageVerdict decide(Txn *x, DorisError *err)
{
	DorisClient *c = x->c;
	uint8_t id[DORIS_TXNID_SIZE];
	KeyRef at = {.space = DORIS_SPACE_DECISIONS, .vnode = x->vnode, .key = {id, sizeof(id)}};
	StageOne one;
	Outcome o;

	txnid_to_key(x->id, id);
	o = stage_one(c, x->topo, decision_txn(x->id), x->version, x->expires_ms, &at,
				  (DorisBytes){(const uint8_t *) "C", 1}, x->until, &one, err);
	x->decision_sent |= one.sent;
	if (o == TXN_COMMITTED)
	{
		FAULT_POINT("client-decided");
		return STAGE_GO;
	}
	if (o == TXN_OPEN && one.moved)
		return STAGE_AGAIN;
	if (o == TXN_OPEN && one.node != 0 && clock_mono_ms() < x->until && !c->cancelled)
	{
		/* whatever the verdict: everything again, with the same ids, as the topology then says */
		DorisError why = *err;

		(void) client_report(c, one.node, why.message, x->until);
		return STAGE_AGAIN;
	}
	/* closed by a copy that was being made complete, and not because it has expired: again, as another */
	if (o == TXN_ABORTED && one.conflict.why == REFUSAL_REFUSED && clock_mono_ms() < x->until)
		return STAGE_ANEW;
	if (o == TXN_ABORTED)
	{
		doris_error(err, DORIS_CONFLICT,
					"the transaction took too long and was ended by another client");
		doris_hint(err, "Try again, with a longer deadline or fewer rows.");
	}
	else if (err->code != DORIS_CANCELLED && err->code != DORIS_NO_MEMORY &&
			 err->code != DORIS_DISK_FULL)
	{
		DorisError why = *err;

		doris_error(err, DORIS_UNAVAILABLE, "the decision could not be written: %.400s",
					why.message);
	}
	return STAGE_FAIL;
}

/* One attempt under one topology. GO: committed. */
static StageVerdict attempt(Txn *x, const DorisWriteSource *source, DorisError *err)
{
	StageVerdict v = STAGE_GO;
	DorisWrite w;
	DorisStatus st;

	txn_attempt(x);
	while ((st = source->next(source->arg, &w, err)) == DORIS_OK)
	{
		v = txn_add(x, &w, err);
		if (v != STAGE_GO)
			return v;
	}
	if (st != DORIS_NOT_FOUND)
	{
		if (err->code == DORIS_OK)
			doris_error(err, st, "the transaction's writes could not be read");
		return STAGE_FAIL;
	}
	v = txn_hold(x, err);
	if (v != STAGE_GO)
		return v;
	FAULT_POINT("client-staged");
	return x->mode != TXN_DECISION || x->nrows == 0 ? STAGE_GO : decide(x, err);
}

#define UNKNOWN_HINT "Read the rows again to find out, when the nodes answer."

/* It ended badly: which status is the honest one? */
static DorisStatus failed(Txn *x, DorisCommitResult *result, DorisError *err)
{
	DorisError how;
	Outcome o;

	how.code = DORIS_OK;
	o = txn_end(x, true, &how);
	if (o == TXN_COMMITTED)
	{
		/* all judges hold it, though an answer was lost */
		result->version = x->version;
		finish_all(x);
		return DORIS_OK;
	}
	if (err->code == DORIS_STALE_EPOCH || err->code == DORIS_NOT_OWNER || err->code == DORIS_BEHIND)
	{
		DorisError why = *err;

		doris_error(err, DORIS_UNAVAILABLE, "the placement keeps changing: %.350s", why.message);
	}
	if (o == TXN_ABORTED && err->code != DORIS_UNKNOWN && err->code != DORIS_OK)
		return err->code;
	DorisError why = *err;

	doris_error(err, DORIS_UNKNOWN,
				"it is unknown whether transaction %s committed: %.200s; %.150s", txn_text(x->id),
				why.message, how.code != DORIS_OK ? how.message : "it could not be closed");
	return doris_hint(err, UNKNOWN_HINT);
}

DorisStatus doris_commit(DorisClient *c, const DorisWriteSource *source, DorisCommitResult *result,
						 DorisError *err)
{
	Txn x;
	StageVerdict v;
	DorisStatus st;
	int rounds = 0;

	memset(result, 0, sizeof(*result));
	err->code = DORIS_OK;
	client_begin(c);
	if (c->nwork > CLIENT_MAX_FINISH)
		finish_flush(c, NULL, CLIENT_MAX_FINISH / 2, 1000);
	txn_init(&x, c, result);
	for (;;)
	{
		Outcome o = TXN_ABORTED;
		uint64_t used;
		bool moved;

		v = attempt(&x, source, err);
		moved = v == STAGE_AGAIN;
		if (v == STAGE_GO)
		{
			if (x.nrows > 0)
			{
				result->version = x.version;
				finish_all(&x);
			}
			st = DORIS_OK;
			break;
		}
		used = x.topo->epoch;
		if (moved)
		{
			DorisError why = *err;

			/* a namespace that is gone stays gone */
			st = client_moved(c, used, x.until, err);
			if (st == DORIS_OK && why.code == DORIS_NO_NAMESPACE && c->topo->epoch == used)
			{
				*err = why;
				st = why.code;
			}
			if (st != DORIS_OK)
				v = STAGE_FAIL;
			else if (x.named != NULL && !x.sure)
				v = STAGE_ANEW; /* rule named once */
		}
		if (v == STAGE_ANEW || v == STAGE_YIELD)
		{
			DorisError why;

			why.code = DORIS_OK;
			x.tries_named = false;
			o = txn_end(&x, false, &why);
			if (o == TXN_COMMITTED && x.named != NULL)
			{
				/* to be told it has to be kept for those that are down, too: once more, to who lacks it */
				x.sure = true;
				v = STAGE_AGAIN;
			}
			else if (o == TXN_COMMITTED)
			{
				result->version = x.version;
				finish_all(&x);
				st = DORIS_OK;
				break;
			}
			if (o == TXN_OPEN)
			{
				st = doris_error(err, DORIS_UNKNOWN,
								 "it is unknown whether transaction %s committed: %.350s",
								 txn_text(x.id), why.message);
				doris_hint(err, UNKNOWN_HINT);
				break;
			}
			if (v == STAGE_YIELD)
				v = txn_await_rival(&x, err);
			if (!x.sure)
				txn_begin(&x);
		}
		/* a placement that moves is followed to the deadline */
		rounds += !moved;
		if (v != STAGE_FAIL && (rounds > CLIENT_MAX_ROUNDS || clock_mono_ms() >= x.until))
		{
			if (err->code == DORIS_OK || !moved)
				doris_error(err, DORIS_CONFLICT,
							"gave up after %d attempts: other transactions were always faster",
							rounds);
			v = STAGE_FAIL;
		}
		if (v != STAGE_FAIL)
		{
			st = source->rewind(source->arg, err);
			if (st != DORIS_OK)
				v = STAGE_FAIL;
		}
		if (v == STAGE_FAIL)
		{
			st = failed(&x, result, err);
			break;
		}
	}
	txn_free(&x);
	return st;
}
