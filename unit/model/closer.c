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
	return txn_in_vnode(s->closer.txn, 0) ? 0 : 1;
}

static bool can_be_closed(int t)
{
	TxnKind k = scene->txn[t].kind;

	return !txn_is_multi(t) && !txn_is_plain(t) && k != TXN_NONE &&
		   k != TXN_SPARE_ABORT; /* at rest this one is what closes */
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

		for (n = 0; n < NDATA; n++)
			staged |= node_staged(s, n, 0) | node_staged(s, n, 1);
		for (t = 1; t <= MAX_TXN; t++)
			if (HAS(staged, t) && can_be_closed(t))
				add_step(l, STEP_CLOSE, t, 0, 0);
		return;
	}
	g = targets_of(s, z->epoch, closer_vnode(s));
	refused = (z->dropped & g.judges) != 0;
	for (n = 0; n < NDATA; n++)
	{
		Set done = z->held | z->dropped;

		if (!refused && HAS(g.judges & ~done, n))
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
		case REPLY_REFUSED:
			if (z->dropped == 0 && !HAS(g.judges, n))
				break; /* only a judge's refusal counts */
			z->dropped |= (Set) BIT(n);
			s->client[z->txn].aborts |= (uint16_t) BIT(z->epoch);
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
		act_committed(s, z->txn);
		end(s);
	}
	else if (z->dropped != 0 && ((g.judges | g.others) & ~z->dropped) == 0)
		end(s);
}

bool closer_do(State *s, Step x)
{
	Closer *z = &s->closer;

	switch (x.kind)
	{
		case STEP_CLOSE:
			z->txn = x.a;
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
