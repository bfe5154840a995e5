/*
 * client.c: a writer: collects "held" from all targets, acknowledges, or closes its own transaction and says so.
 *
 * Rules stage, outcome, decision row, finish, close, not done, plain of the client's side. A commit row has a client
 * of its own here: it begins when the transaction is held everywhere, and the transaction ends as it does.
 */
#include "model.h"

/* The vnode in which it is being closed: its only one, or of a named one the one it is at. */
static int closing_vnode(const State *s, int t)
{
	if (txn_is_named(t))
		return s->client[t].closing;
	return txn_in_vnode(t, 0) ? 0 : 1;
}

/* What an acknowledgement needs (I1). */
static Set needed(const Targets *t)
{
	return rule(RULE_ACK_ALL) ? t->judges | t->others | t->hints : t->judges;
}

static bool all_held(const State *s, int t)
{
	const Client *c = &s->client[t];
	int v;

	for (v = 0; v < NVNODES; v++)
	{
		Targets g = targets_of(s, c->epoch, v);

		if (txn_in_vnode(t, v) && (g.judges == 0 || (needed(&g) & ~c->held[v]) != 0))
			return false;
	}
	return true;
}

/*
 * Judges to which nothing was ever sent: nothing of it is on the way there. That counts as a refusal, but only under
 * the placement under which everything was sent: later a judge may have got it from another copy.
 */
static Set never_sent(const State *s, int t)
{
	const Client *c = &s->client[t];
	int v = closing_vnode(s, t);
	int e;

	for (e = 0; e <= s->newest && rule(RULE_NEVER_SENT); e++)
		if (HAS(c->sent, e) && s->changed[e][v] != s->changed[c->epoch][v])
			return 0;
	return (Set) ~c->to[v];
}

static Set refusals(const State *s, int t)
{
	const Client *c = &s->client[t];
	Targets g = targets_of(s, c->epoch, closing_vnode(s, t));

	return (c->dropped | never_sent(s, t)) & g.judges;
}

/* Whom the drop has to reach before "not done" may be told. */
static Set to_drop(const State *s, int t)
{
	const Client *c = &s->client[t];
	Targets g = targets_of(s, c->epoch, closing_vnode(s, t));
	Set never = never_sent(s, t);

	return (g.judges & ~never) | (rule(RULE_TELL_ALL) ? g.others : g.others & ~never);
}

/* Rule named close: who knows a vnode that has refused it for good may write "abort". */
static bool may_be_aborted(const State *s, int t)
{
	return !txn_is_named(t) || !rule(RULE_NAMED_CLOSE) ||
		   (s->truth.named_out && !s->truth.decision_dropped);
}

/* Somebody has found that all judges of each named vnode hold it, not so long ago that the decision row could be gone. */
static bool found_committed(const State *s)
{
	return s->truth.named_held == BIT(NVNODES) - 1 && !s->truth.decision_dropped;
}

/* A complete copy holds it: somebody may come across it. What an incomplete one still has is settled first. */
static bool is_met(const State *s, int t)
{
	int n;
	int v;

	for (n = 0; n < NDATA; n++)
		for (v = 0; v < NVNODES; v++)
			if (place_now(s, v, n) == PLACE_COMPLETE && HAS(node_staged(s, n, v), t))
				return true;
	return false;
}

/* ---- which steps are possible ---- */
static bool may_begin(const State *s, int t, bool calm)
{
	const TxnDef *d = &scene->txn[t];

	switch (d->kind)
	{
		case TXN_WRITE:
		case TXN_DELETE:
		case TXN_NAMED:
		case TXN_PLAIN:
			return !calm && (d->base == 0 || HAS(s->truth.committed | s->truth.acked, d->base));
		case TXN_ABORT_ROW:
			return !calm && is_met(s, d->of) && may_be_aborted(s, d->of);
		case TXN_SPARE_ABORT:
			return calm && is_met(s, d->of) && !HAS(s->truth.aborted, d->of) &&
				   may_be_aborted(s, d->of);
		case TXN_HELP_ROW:
			return !calm && found_committed(s);
		case TXN_SPARE_HELP:
			return calm && found_committed(s) && !is_decided(s, d->of);
		default:
			return false; /* commit rows and restamps are begun by their transaction */
	}
}

static void collect_steps(const State *s, StepList *l, int t)
{
	const Client *c = &s->client[t];
	int v;
	int i;

	for (v = 0; v < NVNODES; v++)
	{
		Targets g = targets_of(s, c->epoch, v);
		Set open = (g.judges | g.others | g.hints) & (Set) ~c->held[v];

		if (!txn_in_vnode(t, v))
			continue;
		/* rule stage: the hint is stored before the judges are asked */
		if (rule(RULE_HINT_FIRST) && (open & g.hints) != 0)
			open &= g.hints;
		for (i = 0; i < 2 * NDATA; i++)
			if (HAS(open, i))
				add_step(l, STEP_SEND, t, i, v);
	}
	if (all_held(s, t))
		add_step(l, STEP_ACK, t, 0, 0);
}

static void close_steps(const State *s, StepList *l, int t)
{
	const Client *c = &s->client[t];
	int v = closing_vnode(s, t);
	Targets g = targets_of(s, c->epoch, v);
	bool refused = refusals(s, t) != 0;
	int n;

	for (n = 0; n < NDATA; n++)
	{
		if (!refused && HAS(g.judges & ~c->held[v], n) && rule(RULE_REFUSE_FIRST))
			add_step(l, STEP_REFUSE, t, n, 0);
		if ((refused || !rule(RULE_REFUSE_FIRST)) && HAS(to_drop(s, t) & ~c->dropped, n))
			add_step(l, STEP_DROP, t, n, 0);
	}
	if (refused && ((to_drop(s, t) & ~c->dropped) == 0 || !rule(RULE_NOT_DONE)))
		add_step(l, STEP_TELL_NOT_DONE, t, 0, 0);
}

static void late_steps(const State *s, StepList *l, int t)
{
	const Client *c = &s->client[t];
	int v;
	int e;
	int i;

	for (v = 0; v < NVNODES && (c->sent | c->aborts[0] | c->aborts[1]) != 0; v++)
	{
		if (!txn_in_vnode(t, v))
			continue;
		for (e = 0; e <= s->newest; e++)
		{
			Targets g = targets_of(s, e, v);

			if (!HAS(c->sent | c->aborts[v], e))
				continue;
			for (i = 0; i < 2 * NDATA && HAS(c->sent, e); i++)
			{
				if (!HAS((g.judges | g.others | g.hints) & c->to[v], i))
					continue;
				if (i < NDATA ? node_holds(s, i, t, v) || s->node[i].cold ||
									(is_stale(s, i, e, v) && rule(RULE_EPOCH_FENCE))
							  : HAS(s->log.hints[i - NDATA][v], t))
					continue;
				add_step(l, STEP_LATE_SEND, t, i | v << 4, e);
			}
			for (i = 0; i < NDATA && HAS(c->aborts[v], e); i++)
			{
				if (!HAS(g.judges | g.others, i) || s->node[i].cold ||
					(is_stale(s, i, e, v) && rule(RULE_DROP_FENCE)))
					continue;
				if (HAS(node_staged(s, i, v), t) || !HAS(s->node[i].refused[v], t))
					add_step(l, STEP_LATE_DROP, t, i | v << 4, e);
			}
		}
	}
}

void client_steps(const State *s, StepList *l, bool calm)
{
	int t;

	for (t = 1; t <= MAX_TXN; t++)
	{
		const Client *c = &s->client[t];
		bool runs = c->phase == PHASE_COLLECT || c->phase == PHASE_CLOSE;

		if (scene->txn[t].kind == TXN_NONE)
			continue;
		if (c->phase == PHASE_IDLE && may_begin(s, t, calm))
		{
			add_step(l, STEP_BEGIN, t, s->newest, 0);
			if (s->newest > 0 && !calm)
				add_step(l, STEP_BEGIN, t, s->newest - 1, 0);
			if (s->newest > 1 && !calm && scene->budget.moves > 0)
				add_step(l, STEP_BEGIN, t, 0, 0); /* a client with an old map */
		}
		if (calm && !txn_is_spare(t))
		{
			/* FINISH(abort) of what is closed still arrives */
			if (txn_is_multi(t) && HAS(s->truth.aborted, t))
				late_steps(s, l, t);
			continue;
		}
		if (c->phase == PHASE_COLLECT)
			collect_steps(s, l, t);
		if (c->phase == PHASE_CLOSE)
			close_steps(s, l, t);
		if (runs && c->epoch < s->newest)
			add_step(l, STEP_NEWER, t, 0, 0);
		if (c->phase == PHASE_COLLECT && scene->closer && !calm)
			for (int v = 0; v <= txn_is_named(t); v++)
				add_step(l, STEP_GIVE_UP, t, v, 0);
		if (runs && s->left.deaths > 0 && !calm)
			add_step(l, STEP_DIE, t, 0, 0);
		if (scene->duplicates && !calm)
			late_steps(s, l, t);
	}
}

/* ---- doing them ---- */
static void begin(State *s, int t, int epoch)
{
	Client *c = &s->client[t];

	c->phase = PHASE_COLLECT;
	c->epoch = (uint8_t) epoch;
	c->floor = s->truth.acked;
}

static void forget_collected(Client *c)
{
	int v;

	for (v = 0; v < NVNODES; v++)
		c->held[v] = 0;
	c->dropped = 0;
}

/* Its own client is to find out what became of it, vnode by vnode. */
static void close_named(State *s, int t, int v)
{
	Client *c = &s->client[t];

	forget_collected(c);
	c->phase = PHASE_CLOSE;
	c->closing = (uint8_t) v;
	c->sure = 0;
}

static void newer(State *s, int t)
{
	Client *c = &s->client[t];

	c->epoch = s->newest;
	/* I1: what was collected under another placement does not count */
	if (rule(RULE_VOID_COLLECTED) || c->phase == PHASE_CLOSE)
		forget_collected(c);
	/*
	 * Rule named once: it is sent under one epoch only, so that a refusal of that epoch or a later one is for good. Under another
	 * it is closed, and sent again as another transaction; or when it turns out committed, to who lacks it.
	 */
	if (txn_is_named(t) && c->phase == PHASE_COLLECT && c->sent != 0 &&
		c->sure != BIT(NVNODES) - 1 && rule(RULE_NAMED_ONCE))
		close_named(s, t, 0);
}

/* One vnode has it refused for good: what the others hold is dropped, too. */
static void drop_everywhere(State *s, int t)
{
	Client *c = &s->client[t];
	int v;

	for (v = 0; v < NVNODES; v++)
		c->aborts[v] |= (uint16_t) BIT(c->epoch);
}

static void not_done(State *s, int t)
{
	s->client[t].phase = PHASE_NOT_DONE;
	act_not_done(s, t);
	if (txn_is_named(t))
		drop_everywhere(s, t);
	if (txn_is_commit_row(t) && !txn_is_named(scene->txn[t].of))
	{
		int whole = scene->txn[t].of;

		s->client[whole].phase = PHASE_NOT_DONE;
		act_not_done(s, whole);
	}
}

static void give_up(State *s, int t, int v)
{
	Client *c = &s->client[t];

	forget_collected(c);
	if (txn_is_plain(t))
		c->phase = PHASE_GONE;
	else if (txn_is_named(t))
		close_named(s, t, v);
	else if (txn_is_multi(t))
	{
		/* its decision row was never sent, so it can never commit: what is staged is dropped */
		drop_everywhere(s, t);
		not_done(s, t);
	}
	else
		c->phase = PHASE_CLOSE;
}

static Reply deliver(State *s, int t, int target, int v, int epoch)
{
	if (target >= NDATA)
		return log_keep(s, target - NDATA, t, v, epoch);
	if (txn_is_plain(t))
		return node_plain(s, target, t, v, epoch);
	if (!rule(RULE_ONE_SECTION) && node_admit(s, target, epoch, v) == REPLY_HELD &&
		!node_holds(s, target, t, v))
	{
		/* carried out later, whatever the node has learned by then (admin.c) */
		s->node[target].admitted |= (Mask) BIT(t);
		s->node[target].admitted_in[t] = (uint8_t) epoch;
		return REPLY_NONE;
	}
	return node_stage(s, target, t, v, epoch);
}

/* Whoever closes tries on; after a refusal with a fresh id, for which this one stands from then on. */
static void spare_answer(State *s, int t)
{
	Mask others = (Mask) ~BIT(t);
	int n;
	int v;
	int row;

	if (last_reply == REPLY_CONFLICT)
		return;
	forget_collected(&s->client[t]);
	for (v = 0; v < NVNODES; v++)
	{
		for (n = 0; n < NDATA; n++)
		{
			s->recovery[v][n].todo &= others;
			s->recovery[v][n].staged &= others;
			if (s->recovery[v][n].txn == t)
				s->recovery[v][n].answer = REPLY_HELD;
			s->node[n].forgotten &= others;
			s->node[n].refused[v] &= others;
			s->log.hints[n][v] &= others;
			node_unstage(s, n, t, v);
			for (row = 0; row < NROWS; row++)
				s->fetch[n][v].staged[row] &= others;
		}
	}
}

static void send_to(State *s, int t, int target, int v)
{
	Client *c = &s->client[t];
	bool clean = c->to[0] == 0 && c->to[1] == 0;
	int next = scene->txn[t].of;

	c->sent |= (uint16_t) BIT(c->epoch);
	c->to[v] |= (Set) BIT(target);
	last_reply = deliver(s, t, target, v, c->epoch);
	switch (last_reply)
	{
		case REPLY_HELD:
			c->held[v] |= (Set) BIT(target);
			break;
		case REPLY_STALE:
			newer(s, t);
			break;
		case REPLY_FULL:
			/*
			 * A clean refusal, when no judge was asked. A client that asks all at once takes it for one as well.
			 */
			if (scene->closer && !txn_is_plain(t) && (clean || !rule(RULE_HINT_FIRST)))
				not_done(s, t);
			break;
		case REPLY_HIGHER:
			if (scene->txn[next].kind == TXN_RESTAMP)
			{
				begin(s, next, c->epoch);
				s->client[next].floor = c->floor;
			}
			c->phase = PHASE_GONE;
			break;
		case REPLY_REFUSED:
		case REPLY_CONFLICT:
		case REPLY_HORIZON:
			if (txn_is_spare(t))
				spare_answer(s, t);
			else if (scene->closer)
				give_up(s, t, v);
			break;
		default:
			break;
	}
}

static void acknowledge(State *s, int t)
{
	Client *c = &s->client[t];

	if (txn_is_multi(t) && !txn_is_named(t))
	{
		c->phase = PHASE_DECIDE;
		begin(s, scene->txn[t].of, c->epoch);
		return;
	}
	c->phase = PHASE_ACKED;
	act_acked(s, t);
	if (txn_is_named(t))
		begin(s, scene->txn[t].of,
			  c->epoch); /* the decision row follows, without anybody waiting */
	if (txn_is_commit_row(t) && !txn_is_named(scene->txn[t].of))
	{
		int whole = scene->txn[t].of;

		s->client[whole].phase = PHASE_ACKED;
		act_acked(s, whole);
	}
}

/* An answer to the closing of one's own transaction. */
static void closing_answer(State *s, int t, int n)
{
	Client *c = &s->client[t];
	int v = closing_vnode(s, t);
	Targets g = targets_of(s, c->epoch, v);

	switch (last_reply)
	{
		case REPLY_HELD:
			c->held[v] |= (Set) BIT(n);
			break;
		case REPLY_REFUSED:
			c->dropped |= (Set) BIT(n);
			c->aborts[v] |= (uint16_t) BIT(c->epoch);
			break;
		case REPLY_STALE:
			newer(s, t);
			return;
		case REPLY_COMMITTED:
			/* success is told only when everything that I1 asks for is there */
			forget_collected(c);
			c->phase = PHASE_COLLECT;
			return;
		case REPLY_HORIZON:
			c->phase = PHASE_GONE;
			return;
		default:
			return;
	}
	if (refusals(s, t) == 0 && (g.judges & ~c->held[v]) == 0)
	{
		/* all judges hold it: committed, once the other targets hold it too, and of a named one the other vnode's */
		forget_collected(c);
		c->sure |= (uint8_t) BIT(v);
		if (txn_is_named(t) && c->sure != BIT(NVNODES) - 1)
			c->closing = (uint8_t) (1 - v);
		else
			c->phase = PHASE_COLLECT;
	}
}

bool client_do(State *s, Step x)
{
	Client *c = &s->client[x.a];

	switch (x.kind)
	{
		case STEP_BEGIN:
			begin(s, x.a, x.b);
			break;
		case STEP_NEWER:
			newer(s, x.a);
			break;
		case STEP_SEND:
			send_to(s, x.a, x.b, x.c);
			break;
		case STEP_ACK:
			acknowledge(s, x.a);
			break;
		case STEP_GIVE_UP:
			give_up(s, x.a, x.b);
			break;
		case STEP_REFUSE:
			last_reply = node_outcome(s, x.b, x.a, closing_vnode(s, x.a), c->epoch, true);
			closing_answer(s, x.a, x.b);
			break;
		case STEP_DROP:
			c->aborts[closing_vnode(s, x.a)] |= (uint16_t) BIT(c->epoch);
			last_reply = node_drop(s, x.b, x.a, closing_vnode(s, x.a), c->epoch);
			closing_answer(s, x.a, x.b);
			break;
		case STEP_TELL_NOT_DONE:
			not_done(s, x.a);
			break;
		case STEP_DIE:
			c->phase = PHASE_GONE;
			s->left.deaths--;
			break;
		case STEP_LATE_SEND:
			last_reply = deliver(s, x.a, x.b & 15, x.b >> 4, x.c);
			break;
		case STEP_LATE_DROP:
			last_reply = node_drop(s, x.b & 15, x.a, x.b >> 4, x.c);
			break;
		default:
			return false;
	}
	return true;
}
