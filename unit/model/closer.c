/*
 * closer.c: somebody else closes a transaction: a node's settler, or a writer in whose way it is (rules meet, close).
 *
 * First the judges are asked to refuse what they do not hold. All hold it, and every up copy that does not judge as well: it is
 * committed. Once a judge has refused, the others drop it. It may stop anywhere. A transaction over two
 * vnodes is closed through its decision row, by writing "abort" there (client.c).
 */
#include <string.h>

#include "model.h"

static int closer_vnode(const State *s)
{
	return s->closer.vnode;
}

/* At rest the spare ones are what closes. A named one is closed by who has found no decision row. */
static bool can_be_closed(const State *s, int t, int v)
{
	if (!txn_in_vnode(t, v) || txn_is_plain(t) || txn_is_spare(t))
		return false;
	return txn_is_named(t) ? !is_decided(s, t) : !txn_is_multi(t);
}

/* Of a named one: what is known of this vnode. All held: committed. One that has refused it: it can never be. */
static void found(State *s, bool held)
{
	const Closer *z = &s->closer;

	if (!held)
	{
		s->truth.named_out = 1;
		act_not_done(s, z->txn);
		return;
	}
	s->truth.named_held |= (uint8_t) BIT(z->vnode);
	if (!rule(RULE_NAMED_ALL))
		s->truth.named_held = BIT(NVNODES) - 1;
	if (s->truth.named_held == BIT(NVNODES) - 1)
		act_committed(s, z->txn);
}

void closer_steps(const State *s, StepList *l, bool calm)
{
	const Closer *z = &s->closer;
	Targets g;
	bool refused;
	int before = l->n;
	int n;

	if (!scene->closer && !calm)
		return;
	if (z->txn == 0)
	{
		Mask staged = 0;
		int t;
		int v;

		for (n = 0; n < NDATA; n++)
			staged |= node_staged(s, n, 0) | node_staged(s, n, 1);
		for (t = 1; t <= MAX_TXN; t++)
			for (v = 0; v < NVNODES; v++)
				if (HAS(staged, t) && can_be_closed(s, t, v))
					add_step(l, STEP_CLOSE, t, v, 0);
		return;
	}
	g = targets_of(s, z->epoch, closer_vnode(s));
	refused = (z->dropped & g.judges) != 0;
	for (n = 0; n < NDATA; n++)
	{
		Set done = z->held | z->dropped;

		if ((!refused || txn_is_named(z->txn)) && HAS(g.judges & ~done, n))
			add_step(l, STEP_CLOSE_REFUSE, n, 0, 0);
		if (!refused && g.judges != 0 && (g.judges & ~z->held) == 0 && HAS(g.others & ~z->held, n))
			add_step(l, STEP_CLOSE_OTHER, n, 0, 0);
		if (refused && HAS((g.judges | g.others) & ~z->dropped, n))
			add_step(l, STEP_CLOSE_DROP, n, 0, 0);
	}
	if (!calm || l->n == before)
		add_step(l, STEP_CLOSE_END, 0, 0, 0);
}

static void end(State *s)
{
	memset(&s->closer, 0, sizeof(s->closer));
}

static void answered(State *s, int n)
{
	Closer *z = &s->closer;
	Targets g = targets_of(s, z->epoch, closer_vnode(s));
	Set needed = rule(RULE_ACT_ALL) ? g.judges | g.others : g.judges;

	switch (last_reply)
	{
		case REPLY_HELD:
			z->held |= (Set) BIT(n);
			break;
		case REPLY_HORIZON:
			/* with no decision row there nobody has told it that it is committed */
			if (!txn_is_named(z->txn))
			{
				end(s);
				break;
			}
			/* fall through */
		case REPLY_REFUSED:
			if (z->dropped == 0 && !HAS(g.judges, n))
				break; /* only a judge's refusal counts */
			z->dropped |= (Set) BIT(n);
			s->client[z->txn].aborts[z->vnode] |= (uint16_t) BIT(z->epoch);
			break;
		case REPLY_COMMITTED:
			if (HAS(g.judges, n))
				end(s); /* somebody acted on it already */
			else
				z->held |= (Set) BIT(n);
			break;
		case REPLY_NOT_HELD:
			break; /* it fetches it from its source; asked again later */
		default:
			end(s);
			break;
	}
	if (z->txn != 0 && g.judges != 0 && z->dropped == 0 && (needed & ~z->held) == 0)
	{
		if (txn_is_named(z->txn))
			found(s, true);
		else
			act_committed(s, z->txn);
		end(s);
	}
	else if (z->dropped != 0 && ((g.judges | g.others) & ~z->dropped) == 0)
	{
		if (txn_is_named(z->txn))
			found(s, false);
		end(s);
	}
}

bool closer_do(State *s, Step x)
{
	Closer *z = &s->closer;

	switch (x.kind)
	{
		case STEP_CLOSE:
			z->txn = x.a;
			z->vnode = x.b;
			z->epoch = s->newest;
			break;
		case STEP_CLOSE_REFUSE:
			last_reply = node_outcome(s, x.a, z->txn, closer_vnode(s), z->epoch, true);
			answered(s, x.a);
			break;
		case STEP_CLOSE_OTHER:
			last_reply = node_outcome(s, x.a, z->txn, closer_vnode(s), z->epoch, false);
			answered(s, x.a);
			break;
		case STEP_CLOSE_DROP:
			last_reply = node_drop(s, x.a, z->txn, closer_vnode(s), z->epoch);
			answered(s, x.a);
			break;
		case STEP_CLOSE_END:
			end(s);
			break;
		default:
			return false;
	}
	return true;
}
