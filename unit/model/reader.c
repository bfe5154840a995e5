/*
 * reader.c: one read: asks a complete copy, settles a staged write that it meets (rule meet), confirms an
 * answer that came without a lease (rule lease). It never waits for a transaction, and never guesses.
 */
#include <string.h>

#include "model.h"

static Targets read_targets(const State *s)
{
	const Reader *r = &s->reader;
	int v = r->phase == READ_MET ? row_vnode(r->met == r->first ? r->row : DECISION_ROW)
								 : row_vnode(r->row);

	if (r->phase == READ_DECISION)
		v = row_vnode(DECISION_ROW);
	if (r->phase == READ_NAMED)
		v = r->vnode;
	return targets_of(s, r->epoch, v);
}

void reader_steps(const State *s, StepList *l)
{
	const Reader *r = &s->reader;
	Targets g;
	int n;
	int row;

	if (!scene->reader)
		return;
	if (r->phase == READ_IDLE)
	{
		for (row = 0; row < DECISION_ROW; row++)
		{
			if (txns_on(row) == 0)
				continue;
			add_step(l, STEP_READ, row, s->newest, 0);
			if (s->newest > 0)
				add_step(l, STEP_READ, row, s->newest - 1, 0);
			if (s->newest > 1 && scene->budget.moves > 0)
				add_step(l, STEP_READ, row, 0, 0);
		}
		return;
	}
	g = read_targets(s);
	for (n = 0; n < NDATA; n++)
	{
		if (r->phase == READ_ASK && HAS(g.judges, n))
			add_step(l, STEP_READ_ASK, n, 0, 0);
		if (r->phase == READ_CONFIRM && HAS(g.judges & ~r->held, n))
			add_step(l, STEP_READ_CONFIRM, n, 0, 0);
		if (r->phase == READ_DECISION && HAS(g.judges, n))
			add_step(l, STEP_READ_DECISION, n, 0, 0);
		if (r->phase == READ_MET && HAS(g.judges & ~r->held, n))
			add_step(l, STEP_READ_JUDGE, n, 0, 0);
		if (r->phase == READ_MET && (g.judges & ~r->held) == 0 && HAS(g.others & ~r->held, n))
			add_step(l, STEP_READ_OTHER, n, 0, 0);
		if (r->phase == READ_NAMED && HAS(g.judges & ~r->held, n))
			add_step(l, STEP_READ_NAMED, n, 0, 0);
		if (r->phase == READ_NAMED && !r->missing && (g.judges & ~r->held) == 0 &&
			HAS(g.others & ~r->held, n))
			add_step(l, STEP_READ_NAMED, n, 0, 0);
	}
	add_step(l, STEP_READ_END, 0, 0, 0);
}

static void end(State *s)
{
	memset(&s->reader, 0, sizeof(s->reader));
}

static void answer(State *s, int value)
{
	Reader *r = &s->reader;

	if (r->marked != 0)
	{
		/* whatever was found out about a staged write says nothing about the row's own placement */
		r->phase = READ_CONFIRM;
		r->value = (uint8_t) value;
		r->held = r->marked;
		return;
	}
	act_read(s, r->row, value, r->floor);
	end(s);
}

/*
 * Rule lease: n was judged down after the epoch it knows; by then its lease was over, and its replies say so.
 */
static bool lease_is_over(const State *s, int n)
{
	int e;

	for (e = s->node[n].epoch + 1; e <= s->newest; e++)
		if (HAS(s->down[e], n))
			return rule(RULE_LEASE);
	return false;
}

/* Serves only a copy that is complete as far as it knows itself. */
static bool serves(State *s, int n, int v)
{
	last_reply = node_admit(s, n, s->reader.epoch, v);
	return last_reply == REPLY_HELD && place_known(s, v, n) == PLACE_COMPLETE;
}

static int lowest(Mask m)
{
	int t = 1;

	while (!HAS(m, t))
		t++;
	return t;
}

/* Everybody who has to holds the met write: it is committed (rule outcome). */
static void all_hold(State *s)
{
	Reader *r = &s->reader;

	act_committed(s, r->met);
	answer(s, r->first > r->value ? r->first : r->value);
}

static bool everybody_holds(const State *s)
{
	Targets g = read_targets(s);
	Set needed = rule(RULE_ACT_ALL) ? g.judges | g.others : g.judges;

	return g.judges != 0 && (needed & ~s->reader.held) == 0;
}

/* The first copy's answer. */
static void ask(State *s, int n)
{
	Reader *r = &s->reader;
	int v = row_vnode(r->row);
	const Node *node = &s->node[n];
	Mask staged;
	bool lone = (targets_of(s, r->epoch, v).judges & ~BIT(n)) == 0;

	if (!serves(s, n, v))
	{
		end(s);
		return;
	}
	r->marked = lease_is_over(s, n) ? (Set) BIT(n) : 0;
	r->value = node->value[r->row];
	/* a staged write below the committed version makes no difference */
	staged = node->staged[r->row] & (Mask) ~(BIT(r->value + 1) - 1);
	r->held = (Set) BIT(n);
	if (r->marked != 0 && lone)
		end(s);
	else if (staged == 0)
		answer(s, r->value);
	else
	{
		r->met = r->first = (uint8_t) lowest(staged);
		r->phase = READ_MET;
		if (txn_is_multi(r->met))
		{
			r->phase = READ_DECISION;
			r->held = 0;
		}
		else if (everybody_holds(s))
			all_hold(s);
	}
}

/* No decision row: the judges of each named vnode are asked. */
static void begin_named(State *s)
{
	Reader *r = &s->reader;

	r->phase = READ_NAMED;
	r->met = r->first;
	r->vnode = 0;
	r->held = 0;
	r->missing = 0;
}

/* Another judge of the met write. */
static void ask_judge(State *s, int n)
{
	Reader *r = &s->reader;
	int row = r->met == r->first ? r->row : DECISION_ROW;
	const Node *node = &s->node[n];
	int value;
	Mask later;

	if (!serves(s, n, row_vnode(row)))
	{
		end(s);
		return;
	}
	if (r->met == r->first)
		r->marked = 0; /* it has admitted the reader's epoch, so the placement stands */
	value = node->value[row];
	later = node->staged[row];
	if (value == r->met || (later != 0 && scene->txn[lowest(later)].base == r->met))
	{
		/* applied there, or a later write was judged by it */
		last_reply = REPLY_COMMITTED;
		all_hold(s);
		return;
	}
	if (HAS(later, r->met) && value < r->met)
	{
		r->held |= (Set) BIT(n);
		if (everybody_holds(s))
			all_hold(s);
		return;
	}
	last_reply = REPLY_NOT_HELD;
	if (row == r->row && value > r->value)
		r->value = (uint8_t) value;
	if (txn_is_named(r->first))
		begin_named(s);
	else
		answer(s, r->value);
}

/* An up copy that does not judge: it has to hold it before anybody acts on it. */
static void ask_other(State *s, int n)
{
	Reader *r = &s->reader;
	int v = row_vnode(r->met == r->first ? r->row : DECISION_ROW);

	last_reply = node_outcome(s, n, r->met, v, r->epoch, false);
	if (last_reply == REPLY_STALE || last_reply == REPLY_NONE)
		end(s);
	else if (last_reply == REPLY_HELD || last_reply == REPLY_COMMITTED)
	{
		r->held |= (Set) BIT(n);
		if (everybody_holds(s))
			all_hold(s);
	}
}

/* A write of a transaction over two vnodes counts when its decision row says "commit". */
static void ask_decision(State *s, int n)
{
	Reader *r = &s->reader;
	const Node *node = &s->node[n];
	int decides = scene->txn[r->first].of;
	int value = node->value[DECISION_ROW];

	if (!serves(s, n, row_vnode(DECISION_ROW)) || lease_is_over(s, n))
	{
		end(s);
		return;
	}
	if (value != 0 && txn_is_commit_row(value))
	{
		r->met = (uint8_t) value;
		all_hold(s);
	}
	else if (HAS(node->staged[DECISION_ROW], decides))
	{
		r->met = (uint8_t) decides;
		r->phase = READ_MET;
		r->held = (Set) BIT(n);
		if (everybody_holds(s))
			all_hold(s);
	}
	else if (txn_is_named(r->first) && value == 0)
		begin_named(s);
	else
		answer(s, r->value);
}

/* A named one without a decision row: do all who have to, of each vnode, hold it? */
static void ask_named(State *s, int n)
{
	Reader *r = &s->reader;
	Targets g = read_targets(s);

	last_reply = node_outcome(s, n, r->met, r->vnode, r->epoch, false);
	switch (last_reply)
	{
		case REPLY_COMMITTED:
			all_hold(s);
			return;
		case REPLY_HELD:
			r->held |= (Set) BIT(n);
			break;
		case REPLY_NOT_HELD:
		case REPLY_REFUSED:
			if (!HAS(g.judges, n))
				return; /* it fetches it from its source */
			r->held |= (Set) BIT(n);
			r->missing = 1;
			break;
		default:
			end(s);
			return;
	}
	/* one that does not hold it says little alone: it may be no judge any more without knowing it */
	if (r->missing && ((g.judges & ~r->held) == 0 || !rule(RULE_NAMED_PENDING)))
		answer(s, r->value);
	else if (!r->missing && everybody_holds(s))
	{
		r->vnode++;
		r->held = 0;
		if (r->vnode == NVNODES || !rule(RULE_NAMED_ALL))
			all_hold(s);
	}
}

bool reader_do(State *s, Step x)
{
	Reader *r = &s->reader;

	switch (x.kind)
	{
		case STEP_READ:
			r->phase = READ_ASK;
			r->row = x.a;
			r->epoch = x.b;
			r->floor = (s->truth.acked | s->truth.read) & txns_on(x.a);
			break;
		case STEP_READ_ASK:
			ask(s, x.a);
			break;
		case STEP_READ_CONFIRM:
			/* does the placement still stand? */
			if (serves(s, x.a, row_vnode(r->row)) && !lease_is_over(s, x.a))
			{
				r->marked = 0;
				answer(s, r->value);
			}
			else
				end(s);
			break;
		case STEP_READ_JUDGE:
			ask_judge(s, x.a);
			break;
		case STEP_READ_OTHER:
			ask_other(s, x.a);
			break;
		case STEP_READ_DECISION:
			ask_decision(s, x.a);
			break;
		case STEP_READ_NAMED:
			ask_named(s, x.a);
			break;
		case STEP_READ_END:
			end(s);
			break;
		default:
			return false;
	}
	return true;
}
