/*
 * recovery.c: how a copy becomes complete again (rule complete, I2), and how an up copy gets what a judge holds.
 *
 * The copy, R, does it: fence, pass over a complete copy S row by row, S's memory of commits, from then on R judges, S's
 * list of staged writes, then S is asked about each that R holds; ready. Any change of changed(v) that R or S
 * learns voids it. Between a request to S and what R does with the answer, anything may happen.
 */
#include <string.h>

#include "model.h"

static uint8_t opened(const State *s, int v)
{
	return s->changed[s->newest][v];
}

static bool is_recovering(Place p)
{
	return p == PLACE_RECOVERING || p == PLACE_INCOMING;
}

/* ---- which steps are possible ---- */
static void begin_steps(const State *s, StepList *l, int v)
{
	uint8_t e = opened(s, v);
	int n;
	int from;

	for (n = 0; n < NDATA; n++)
	{
		if (s->recovery[v][n].step != RECOVERY_NONE && s->recovery[v][n].epoch == e)
			continue;
		if (!is_recovering(place_now(s, v, n)) || s->node[n].epoch < e || s->node[n].cold)
			continue;
		for (from = 0; from < NDATA; from++)
		{
			if (place_now(s, v, from) != PLACE_COMPLETE || s->node[from].cold)
				continue;
			/* I2: the source too has acknowledged the epoch that opened it */
			if (rule(RULE_WAIT_ACKS) && s->node[from].epoch < e)
				continue;
			add_step(l, STEP_RECOVER, v, n, from);
		}
	}
}

static void go_on_steps(const State *s, StepList *l, int v, int n)
{
	const Recovery *r = &s->recovery[v][n];
	int t;

	if (r->step == RECOVERY_NONE || r->step == RECOVERY_READY || s->node[n].cold)
		return;
	if (r->step != RECOVERY_SETTLE || r->todo == 0)
		add_step(l, STEP_RECOVER_NEXT, v, n, 0);
	else
		for (t = 1; t <= MAX_TXN; t++)
			if (HAS(r->todo, t))
				add_step(l, STEP_RECOVER_ASK, v, n, t);
}

static void fetch_steps(const State *s, StepList *l, int v)
{
	int n;
	int from;

	for (n = 0; n < NDATA; n++)
	{
		Place p = place_known(s, v, n);

		if (s->node[n].cold)
			continue;
		if (s->fetch[n][v].active)
		{
			add_step(l, STEP_FETCHED, v, n, 0);
			continue;
		}
		if (!is_recovering(p) && p != PLACE_RETIRING)
			continue;
		for (from = 0; from < NDATA; from++)
			if (from != n && place_known(s, v, from) == PLACE_COMPLETE && !s->node[from].cold &&
				(node_staged(s, from, v) & ~node_staged(s, n, v)) != 0)
				add_step(l, STEP_FETCH, v, n, from);
	}
}

static void replay_steps(const State *s, StepList *l)
{
	int n;
	int v;
	int t;

	for (n = 0; n < NDATA; n++)
		for (v = 0; v < NVNODES; v++)
			for (t = 1; t <= MAX_TXN; t++)
				if (HAS(s->log.hints[n][v], t) && place_at(s, s->log.epoch, v, n) != PLACE_FAILED &&
					!s->node[n].cold && place_known(s, v, n) != PLACE_FAILED &&
					place_known(s, v, n) != PLACE_NONE)
					add_step(l, STEP_REPLAY, v, n, t);
}

void recovery_steps(const State *s, StepList *l)
{
	int v;
	int n;

	for (v = 0; v < NVNODES; v++)
	{
		begin_steps(s, l, v);
		for (n = 0; n < NDATA; n++)
			go_on_steps(s, l, v, n);
		fetch_steps(s, l, v);
	}
	replay_steps(s, l);
}

/* ---- doing them ---- */
static int next_row(int v, int row)
{
	for (row++; row < NROWS; row++)
		if (row_vnode(row) == v && txns_on(row) != 0)
			return row;
	return NROWS;
}

static void void_it(Recovery *r)
{
	memset(r, 0, sizeof(*r));
}

/* What R takes of S's memory. */
static void take_memory(State *s, const Recovery *r, int v, int who)
{
	Node *to = &s->node[who];
	Mask known = s->node[r->source].remembered;
	int t;

	if (!rule(RULE_PASS_MEMORY))
		return;
	to->remembered |= known;
	for (t = 1; t <= MAX_TXN; t++)
		for (int row = 0; row < NROWS && HAS(known, t); row++)
			if (row_vnode(row) == v && HAS(to->staged[row], t))
				node_apply(s, who, row, t);
}

/* I4: the higher committed version stays, staged writes come along. */
static void merge_row(State *s, const Recovery *r, int v, int who)
{
	Node *to = &s->node[who];
	int t;

	if (to->floor[v] < r->floor)
		to->floor[v] = r->floor;
	/* rule purge: what S has purged and R still has goes */
	if (r->value == 0 && to->value[r->row] <= r->floor && rule(RULE_PASS_FLOOR))
		to->value[r->row] = 0;
	if (r->value != 0)
		node_apply(s, who, r->row, r->value);
	for (t = 1; t <= MAX_TXN && rule(RULE_PASS_STAGED); t++)
		if (HAS(r->staged, t))
			node_take(s, who, r->row, t);
}

static void take_list(State *s, int n, int v, const Mask staged[NROWS])
{
	int row;
	int t;

	for (row = 0; row < NROWS; row++)
		for (t = 1; t <= MAX_TXN; t++)
			if (row_vnode(row) == v && HAS(staged[row], t))
				node_take(s, n, row, t);
}

static void copy_list(const State *s, int from, Mask staged[NROWS])
{
	memcpy(staged, s->node[from].staged, NROWS);
}

/* S answers a pull only under the epoch that opened this. */
static bool source_answers(State *s, const Recovery *r, int v)
{
	if (!rule(RULE_WAIT_ACKS) && r->step < RECOVERY_LIST)
		return true;
	last_reply = node_admit(s, r->source, r->epoch, v);
	return last_reply == REPLY_HELD && place_known(s, v, r->source) == PLACE_COMPLETE;
}

static void settle_answer(State *s, Recovery *r, int v, int who)
{
	int t = r->txn;
	int row;

	switch ((Reply) r->answer)
	{
		case REPLY_COMMITTED:
			for (row = 0; row < NROWS; row++)
				if (row_vnode(row) == v && HAS(s->node[who].staged[row], t))
					node_apply(s, who, row, t);
			s->node[who].remembered |= (Mask) BIT(t);
			break;
		case REPLY_REFUSED:
		case REPLY_NOT_HELD:
		case REPLY_HORIZON:
			/* forgotten there and not above the row's version: it makes no difference */
			node_unstage(s, who, t, v);
			break;
		default:
			break; /* held: stays */
	}
	r->txn = 0;
}

/* What comes after the memory: with a rule off, one of the steps is left out or comes too early. */
static RecoveryStep after(RecoveryStep step)
{
	switch (step)
	{
		case RECOVERY_MEMORY:
			return rule(RULE_JUDGE_SETTLE) ? RECOVERY_JUDGE : RECOVERY_LIST;
		case RECOVERY_JUDGE:
			if (!rule(RULE_JUDGE_SETTLE))
				return RECOVERY_READY;
			return rule(RULE_SETTLE_PUBLISH) ? RECOVERY_LIST : RECOVERY_READY;
		case RECOVERY_SETTLE:
			return rule(RULE_JUDGE_SETTLE) ? RECOVERY_READY : RECOVERY_JUDGE;
		default:
			return RECOVERY_NONE;
	}
}

static void go_on(State *s, int v, int who)
{
	Recovery *r = &s->recovery[v][who];
	Mask list[NROWS];

	/* R has learned of a change of v: begin again */
	if (s->changed[s->node[who].epoch][v] != r->epoch && rule(RULE_VOID_PASS))
	{
		void_it(r);
		return;
	}
	switch ((RecoveryStep) r->step)
	{
		case RECOVERY_PASS:
			if (!source_answers(s, r, v))
			{
				void_it(r);
				return;
			}
			r->value = s->node[r->source].value[r->row];
			r->staged = s->node[r->source].staged[r->row];
			r->floor = s->node[r->source].floor[v];
			r->step = RECOVERY_PAGE;
			break;
		case RECOVERY_PAGE:
			merge_row(s, r, v, who);
			r->value = r->staged = r->floor = 0;
			r->row = (uint8_t) next_row(v, r->row);
			r->step = r->row < NROWS ? RECOVERY_PASS : RECOVERY_MEMORY;
			break;
		case RECOVERY_MEMORY:
			/* after the last row: what was committed while the pass went on is in it */
			if (!source_answers(s, r, v))
			{
				void_it(r);
				return;
			}
			if (rule(RULE_MEMORY_LAST))
				take_memory(s, r, v, who);
			r->row = 0;
			r->step = (uint8_t) after(RECOVERY_MEMORY);
			break;
		case RECOVERY_JUDGE:
			s->node[who].judging |= (uint8_t) BIT(v);
			r->step = (uint8_t) after(RECOVERY_JUDGE);
			break;
		case RECOVERY_LIST:
			if (!source_answers(s, r, v))
			{
				void_it(r);
				return;
			}
			r->staged = node_staged(s, r->source, v);
			r->step = RECOVERY_LISTED;
			break;
		case RECOVERY_LISTED:
			for (int row = 0; row < NROWS; row++)
				list[row] = r->staged & txns_on(row);
			take_list(s, who, v, list);
			r->staged = 0;
			r->todo = node_staged(s, who, v);
			r->step = RECOVERY_SETTLE;
			break;
		case RECOVERY_SETTLE:
			r->step = (uint8_t) after(RECOVERY_SETTLE);
			break;
		case RECOVERY_ANSWER:
			settle_answer(s, r, v, who);
			r->step = RECOVERY_SETTLE;
			break;
		default:
			break;
	}
	if (r->step == RECOVERY_READY)
		s->report[v][who] = (Report){1, r->epoch, s->node[who].incarnation};
}

/* Asks the source about one staged write: what it does not hold it refuses. */
static void settle_ask(State *s, int v, int who, int t)
{
	Recovery *r = &s->recovery[v][who];

	r->todo &= (Mask) ~BIT(t);
	last_reply = node_outcome(s, r->source, t, v, r->epoch, rule(RULE_SETTLE_REFUSES));
	if (last_reply == REPLY_STALE || last_reply == REPLY_NONE)
	{
		void_it(r);
		return;
	}
	r->txn = (uint8_t) t;
	r->answer = (uint8_t) last_reply;
	r->step = RECOVERY_ANSWER;
}

/*
 * A copy that judges already may hold a rival of what the source holds. The rival cannot be committed: the source is a
 * judge and holds another. It is refused there and dropped here first; two staged writes that both count would be two
 * winners. False: S says otherwise by now, the list is out of date.
 */
static bool settle_rivals(State *s, int n, int v, const Fetch *f)
{
	int row;
	int t;

	for (row = 0; row < NROWS; row++)
	{
		if (row_vnode(row) != v || (f->staged[row] & ~s->node[n].staged[row]) == 0)
			continue;
		for (t = 1; t <= MAX_TXN; t++)
		{
			Reply r;

			if (!HAS(s->node[n].staged[row] & ~f->staged[row], t))
				continue;
			r = node_outcome(s, f->source, t, v, f->epoch, true);
			if (r == REPLY_COMMITTED)
				node_finish(s, n, t, f->epoch);
			else if (r == REPLY_REFUSED)
				node_unstage(s, n, t, v);
			else
				return false;
		}
	}
	return true;
}

static void fetched(State *s, int v, int n)
{
	Fetch *f = &s->fetch[n][v];
	bool stands = s->changed[s->node[n].epoch][v] == f->epoch;

	if (stands && node_judges(s, n, v) && rule(RULE_FETCH_RIVALS))
		stands = settle_rivals(s, n, v, f);
	if (stands)
		take_list(s, n, v, f->staged);
	memset(f, 0, sizeof(*f));
}

bool recovery_do(State *s, Step x)
{
	Recovery *r;
	Fetch *f;

	switch (x.kind)
	{
		case STEP_RECOVER:
			r = &s->recovery[x.a][x.b];
			void_it(r);
			r->source = x.c;
			r->epoch = opened(s, x.a);
			r->row = (uint8_t) next_row(x.a, -1);
			r->step = r->row < NROWS ? RECOVERY_PASS : RECOVERY_MEMORY;
			if (!rule(RULE_MEMORY_LAST))
				take_memory(s, r, x.a, x.b);
			break;
		case STEP_RECOVER_NEXT:
			go_on(s, x.a, x.b);
			break;
		case STEP_RECOVER_ASK:
			settle_ask(s, x.a, x.b, x.c);
			break;
		case STEP_FETCH:
			f = &s->fetch[x.b][x.a];
			f->epoch = s->changed[s->node[x.b].epoch][x.a];
			last_reply = node_admit(s, x.c, f->epoch, x.a);
			if (last_reply != REPLY_HELD || place_known(s, x.a, x.c) != PLACE_COMPLETE)
			{
				/* what it has just learned may be that it is not complete itself */
				f->epoch = 0;
				break;
			}
			f->active = 1;
			f->source = x.c;
			copy_list(s, x.c, f->staged);
			break;
		case STEP_FETCHED:
			fetched(s, x.a, x.b);
			break;
		case STEP_REPLAY:
			/* sent under the log node's epoch, which the target takes first */
			(void) node_learn(s, x.b, s->log.epoch);
			last_reply = log_replay(s, x.b, x.c, x.a);
			break;
		default:
			return false;
	}
	return true;
}
