/*
 * hints.c: what a log node keeps for copies that are down (rule hints), within a budget (I6): taking it in, and counting.
 *
 * Counters by target are in memory, counted anew at each start. A hint is counted before it is written and taken out after
 * it was deleted, under one lock: so the budget is exact whatever workers do side by side.
 */
#include "hints.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"

#define ALARM_PERCENT 80
#define CALM_PERCENT 70 /* the alarm ends below it */
#define POISON_SHARE 16 /* poison is kept up to this part of the budget, beside it */

typedef struct Target
{
	uint32_t node;
	uint64_t hints;
	uint64_t bytes;
	uint64_t oldest_ms; /* wall clock of the oldest, about: not above it */
	uint64_t poison;
	uint64_t poison_bytes;
} Target;

struct Hints
{
	pthread_mutex_t lock; /* guards all of this; nothing else is locked under it */
	Target *targets;	  /* those that have anything */
	uint32_t ntargets;
	uint32_t cap;
	uint64_t hints;
	uint64_t bytes;
	uint64_t poison;
	uint64_t poison_bytes;
	bool alarm; /* told: ALARM_PERCENT reached */
	bool full;	/* told: a hint was refused */
};

static uint64_t budget_of(const Node *n)
{
	return n->config.hint_budget_mb << 20;
}

/* ---- counters, with the lock held ---- */

static Target *target_find(Hints *h, uint32_t node, bool make)
{
	for (uint32_t i = 0; i < h->ntargets; i++)
	{
		if (h->targets[i].node == node)
			return &h->targets[i];
	}
	if (!make)
		return NULL;
	if (h->ntargets == h->cap)
	{
		uint32_t cap = h->cap == 0 ? 16 : h->cap * 2;
		Target *p = realloc(h->targets, cap * sizeof(*p));

		if (p == NULL)
			return NULL;
		h->targets = p;
		h->cap = cap;
	}
	memset(&h->targets[h->ntargets], 0, sizeof(*h->targets));
	h->targets[h->ntargets].node = node;
	return &h->targets[h->ntargets++];
}

static void target_forget_empty(Hints *h, Target *t)
{
	if (t->hints == 0 && t->poison == 0)
		*t = h->targets[--h->ntargets];
}

static void count_in(Hints *h, Target *t, uint64_t bytes, uint64_t at_ms)
{
	if (t->hints == 0 || at_ms < t->oldest_ms)
		t->oldest_ms = at_ms;
	t->hints++;
	t->bytes += bytes;
	h->hints++;
	h->bytes += bytes;
}

/* oldest_ms: of the last one taken out; 0: unchanged. */
static void count_out(Hints *h, uint32_t node, uint64_t hints, uint64_t bytes, uint64_t oldest_ms)
{
	Target *t = target_find(h, node, false);

	if (t == NULL)
		return;
	t->hints -= hints;
	t->bytes -= bytes;
	h->hints -= hints;
	h->bytes -= bytes;
	if (oldest_ms > t->oldest_ms)
		t->oldest_ms = oldest_ms;
	target_forget_empty(h, t);
}

static void poison_in(Hints *h, Target *t, uint64_t bytes)
{
	t->poison++;
	t->poison_bytes += bytes;
	h->poison++;
	h->poison_bytes += bytes;
}

static void watch_budget(Node *n)
{
	Hints *h = n->hints;
	uint64_t budget = budget_of(n);

	if (!h->alarm && h->bytes > budget / 100 * ALARM_PERCENT)
	{
		h->alarm = true;
		log_line(LOG_WARNING,
				 "ALARM: hints take %llu of %llu MB (%d%%); at the limit writes for the nodes that "
				 "are down are refused",
				 (unsigned long long) (h->bytes >> 20), (unsigned long long) (budget >> 20),
				 ALARM_PERCENT);
	}
	else if (h->alarm && h->bytes < budget / 100 * CALM_PERCENT)
	{
		h->alarm = false;
		h->full = false;
		log_line(LOG_INFO, "hints take %llu of %llu MB again",
				 (unsigned long long) (h->bytes >> 20), (unsigned long long) (budget >> 20));
	}
}

/* ---- counters, for who deletes (hint_store.c) ---- */

void hints_count_out(Node *n, uint32_t target, uint64_t hints, uint64_t bytes, uint64_t oldest_ms)
{
	(void) pthread_mutex_lock(&n->hints->lock);
	count_out(n->hints, target, hints, bytes, oldest_ms);
	watch_budget(n);
	(void) pthread_mutex_unlock(&n->hints->lock);
}

bool hints_poison_fits(Node *n, uint64_t bytes)
{
	bool fits;

	(void) pthread_mutex_lock(&n->hints->lock);
	fits = n->hints->poison_bytes + bytes <= budget_of(n) / POISON_SHARE;
	(void) pthread_mutex_unlock(&n->hints->lock);
	return fits;
}

void hints_poison_in(Node *n, uint32_t target, uint64_t bytes)
{
	Target *t;

	(void) pthread_mutex_lock(&n->hints->lock);
	t = target_find(n->hints, target, true);
	if (t != NULL)
		poison_in(n->hints, t, bytes);
	(void) pthread_mutex_unlock(&n->hints->lock);
}

void hints_poison_out(Node *n, uint32_t target, uint64_t poison, uint64_t bytes)
{
	Hints *h = n->hints;
	Target *t;

	(void) pthread_mutex_lock(&h->lock);
	t = target_find(h, target, false);
	if (t != NULL)
	{
		t->poison -= poison;
		t->poison_bytes -= bytes;
		h->poison -= poison;
		h->poison_bytes -= bytes;
		target_forget_empty(h, t);
	}
	(void) pthread_mutex_unlock(&h->lock);
}

/* ---- at start ---- */

static DorisStatus count_one(Worker *w, DorisBytes key, DorisBytes value, uint64_t *highest,
							 DorisError *err)
{
	Hints *h = w->node->hints;
	bool poison = key.len == HINT_POISON_KEY_SIZE && load_big_endian(key.data, 4) == 0;
	uint64_t sequence;
	Target *t;

	if (key.len != HINT_KEY_SIZE && !poison)
		return doris_error(err, DORIS_IO, "%s: a key of the hints is damaged", node_name(w->node));
	sequence = load_big_endian(key.data + key.len - 8, 8);
	if (sequence > *highest)
		*highest = sequence;
	t = target_find(h, (uint32_t) load_big_endian(key.data + key.len - HINT_KEY_SIZE, 4), true);
	if (t == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "counting the hints: out of memory");
	if (poison)
		poison_in(h, t, key.len + value.len);
	else
		count_in(h, t, key.len + value.len, clock_ms_of(sequence));
	return DORIS_OK;
}

DorisStatus hints_open(Worker *w, DorisError *err)
{
	Node *n = w->node;
	const StoreDriver *d = n->driver;
	DorisBytes none = {NULL, 0};
	DorisBytes key;
	DorisBytes value;
	StoreScan *sc;
	uint64_t highest = 0;
	DorisStatus st;

	n->hints = calloc(1, sizeof(*n->hints));
	if (n->hints == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory");
	(void) pthread_mutex_init(&n->hints->lock, NULL);
	st = d->scan(w->ss, STORE_TABLE_HINTS, none, none, &sc, err);
	if (st != DORIS_OK)
		return st;
	while ((st = d->next(sc, &key, &value, err)) == DORIS_OK)
	{
		st = count_one(w, key, value, &highest, err);
		if (st != DORIS_OK)
			break;
	}
	d->scan_close(sc);
	if (st != DORIS_NOT_FOUND)
		return st;
	clock_observe(&n->clock, highest);
	if (n->hints->hints > 0)
		log_line(LOG_INFO, "%llu hints for %u nodes are kept here, %llu MB",
				 (unsigned long long) n->hints->hints, n->hints->ntargets,
				 (unsigned long long) (n->hints->bytes >> 20));
	watch_budget(n);
	return DORIS_OK;
}

void hints_close(Node *n)
{
	if (n->hints == NULL)
		return;
	(void) pthread_mutex_destroy(&n->hints->lock);
	free(n->hints->targets);
	free(n->hints);
	n->hints = NULL;
}

/* ---- HINT ---- */

/* Rule hints: only for a copy that this node's topology, at the request's epoch, calls failed. */
static DorisStatus check_vnode(const Node *n, uint64_t epoch, uint32_t target, uint32_t vnode,
							   DorisError *err)
{
	const Topology *t = n->placement->topo;
	/* the epoch's check only: a log node is no target of anything */
	DorisStatus st = epoch_check(n, epoch, vnode, 0, err);

	if (st != DORIS_OK)
		return st;
	if (!topology_is_target(t, target, vnode) || topology_is_judge(t, target, vnode))
		return doris_error(err, DORIS_NOT_OWNER,
						   "%s: node %u has no incomplete copy of vnode %u in epoch %llu",
						   node_name(n), target, vnode, (unsigned long long) t->epoch);
	return DORIS_OK;
}

/* Rule plain: a stamp too far ahead is refused on first receipt, which this is: it is taken as it is later. */
static DorisStatus check_stamp(Node *n, uint64_t stamp, DorisError *err)
{
	uint64_t now_ms = clock_ms_of(clock_next(&n->clock));

	if (clock_ms_of(stamp) <= now_ms + DORIS_CLOCK_AHEAD_MS)
		return DORIS_OK;
	return doris_error(err, DORIS_CLOCK_AHEAD, "%s: the stamp is %llu ms ahead of the node's clock",
					   node_name(n), (unsigned long long) (clock_ms_of(stamp) - now_ms));
}

static DorisStatus check_stage(Node *n, uint64_t epoch, const HintRequest *m, DorisError *err)
{
	StageRequest body;
	DorisStatus st = stage_request_decode(m->body, &body, err);

	if (st == DORIS_OK)
		st = check_stamp(n, body.version.clock, err);
	for (uint32_t i = 0; st == DORIS_OK && i < body.nrows; i++)
	{
		if (i == 0 || body.rows[i].at.vnode != body.rows[i - 1].at.vnode)
			st = check_vnode(n, epoch, m->target, body.rows[i].at.vnode, err);
	}
	stage_request_free(&body);
	return st;
}

static DorisStatus check_apply(Node *n, uint64_t epoch, const HintRequest *m, DorisError *err)
{
	ApplyRequest body;
	DorisStatus st = apply_request_decode(m->body, &body, err);

	for (uint32_t i = 0; st == DORIS_OK && i < body.nrows; i++)
	{
		st = check_vnode(n, epoch, m->target, body.rows[i].at.vnode, err);
		if (st == DORIS_OK && body.from_client)
			st = check_stamp(n, body.rows[i].version.clock, err);
	}
	apply_request_free(&body);
	return st;
}

/* FINISH(commit) is good in any epoch, and for any copy (rule finish). */
static DorisStatus check_finish(Node *n, const HintRequest *m, DorisError *err)
{
	FinishRequest body;
	DorisStatus st = finish_request_decode(m->body, &body, err);

	for (uint32_t i = 0; st == DORIS_OK && i < body.nitems; i++)
	{
		if (!body.items[i].commit)
			st = doris_error(err, DORIS_BAD_MESSAGE, "%s: an abort is not kept as a hint",
							 node_name(n));
	}
	finish_request_free(&body);
	return st;
}

static DorisStatus check_request(Node *n, uint64_t epoch, const HintRequest *m, DorisError *err)
{
	DorisStatus st = epoch_admit(n, epoch, err);
	const Topology *t;
	const TopoNode *me;
	const TopoNode *target;

	if (st != DORIS_OK)
		return st;
	t = n->placement->topo;
	me = topology_node(t, atomic_load(&n->node_id));
	if (me == NULL || me->role != NODE_LOG)
	{
		(void) doris_error(err, DORIS_NOT_OWNER, "%s is no log node and keeps no hints",
						   node_name(n));
		return doris_hint(err, "Hints go to nodes of role log.");
	}
	target = topology_node(t, m->target);
	if (target == NULL || target->condition != NODE_DOWN)
		return doris_error(err, DORIS_NOT_OWNER, "%s: node %u %s in epoch %llu: no hints for it",
						   node_name(n), m->target,
						   target == NULL				  ? "does not exist"
						   : target->condition == NODE_UP ? "is up"
														  : "was declared dead",
						   (unsigned long long) t->epoch);
	switch (m->type)
	{
		case MSG_STAGE:
			return check_stage(n, epoch, m, err);
		case MSG_APPLY:
			return check_apply(n, epoch, m, err);
		case MSG_FINISH:
			return check_finish(n, m, err);
		default:
			return doris_error(err, DORIS_BAD_MESSAGE, "%s: a request of type %u is no hint",
							   node_name(n), m->type);
	}
}

/* Counts it in, if the budget allows. */
static DorisStatus reserve(Node *n, uint32_t target, uint64_t bytes, uint64_t sequence,
						   DorisError *err)
{
	Hints *h = n->hints;
	uint64_t budget = budget_of(n);
	DorisStatus st = DORIS_OK;
	bool tell = false;
	Target *t;

	(void) pthread_mutex_lock(&h->lock);
	if (h->bytes + bytes > budget)
	{
		(void) doris_error(err, DORIS_LIMIT,
						   "%s: the budget for hints is full (%llu of %llu MB, %llu hints)",
						   node_name(n), (unsigned long long) (h->bytes >> 20),
						   (unsigned long long) (budget >> 20), (unsigned long long) h->hints);
		st = doris_hint(err, "Start the nodes that are down, or replace them (doris_replace); or "
							 "give the log node more with --hint-budget.");
		tell = !h->full;
		h->full = true;
	}
	else
	{
		t = target_find(h, target, true);
		if (t == NULL)
			st = doris_error(err, DORIS_NO_MEMORY, "%s: out of memory", node_name(n));
		else
			count_in(h, t, bytes, clock_ms_of(sequence));
		watch_budget(n);
	}
	(void) pthread_mutex_unlock(&h->lock);
	if (tell)
		log_line(LOG_ERROR, "ALARM: %s", err->message);
	if (st == DORIS_LIMIT)
		node_count(n, COUNT_HINTS_REFUSED, 1);
	return st;
}

DorisStatus hints_execute(Worker *w, uint64_t epoch, const HintRequest *m, DorisError *err)
{
	Node *n = w->node;
	uint64_t bytes = HINT_KEY_SIZE + HINT_TYPE_SIZE + m->body.len;
	uint8_t key[HINT_KEY_SIZE];
	uint64_t sequence;
	uint64_t number;
	DorisBytes value;
	DorisStatus st = check_request(n, epoch, m, err);

	if (st == DORIS_OK)
		st = disk_take(n, bytes, err);
	if (st != DORIS_OK)
		return st;
	buf_reset(&w->record);
	buf_put_u16(&w->record, m->type);
	buf_put_raw(&w->record, m->body.data, m->body.len);
	if (w->record.failed)
		return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory keeping a hint", node_name(n));
	value.data = w->record.data;
	value.len = w->record.len;
	sequence = clock_next(&n->clock);
	FAULT_HOLD("node_admitted", "hint");
	st = reserve(n, m->target, bytes, sequence, err);
	if (st != DORIS_OK)
		return st;
	locks_clear(w);
	st = commit_begin(w, err);
	if (st == DORIS_OK)
		st = n->driver->put(w->ss, STORE_TABLE_HINTS, hint_key(m->target, sequence, key), value,
							err);
	if (st == DORIS_OK)
		st = commit_end(w, false, &number, err);
	else
		commit_abandon(w);
	if (st != DORIS_OK)
	{
		hints_count_out(n, m->target, 1, bytes, 0);
		return st;
	}
	/* I1: the hint counts in the place of the copy, so it is on disk before it is acknowledged */
	commit_need(w, number);
	node_count(n, COUNT_HINTS_KEPT, 1);
	return DORIS_OK;
}

/* ---- what is told ---- */

bool hints_are_kept(Node *n)
{
	bool kept;

	(void) pthread_mutex_lock(&n->hints->lock);
	kept = n->hints->ntargets > 0;
	(void) pthread_mutex_unlock(&n->hints->lock);
	if (kept)
		return true;
	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	if (n->placement != NULL)
	{
		const TopoNode *me = topology_node(n->placement->topo, atomic_load(&n->node_id));

		kept = me != NULL && me->role == NODE_LOG;
	}
	(void) pthread_rwlock_unlock(&n->epoch_lock);
	return kept;
}

void hints_total(Node *n, HintsTotal *out)
{
	Hints *h = n->hints;

	memset(out, 0, sizeof(*out));
	(void) pthread_mutex_lock(&h->lock);
	out->hints = h->hints;
	out->bytes = h->bytes;
	out->poison = h->poison;
	out->poison_bytes = h->poison_bytes;
	(void) pthread_mutex_unlock(&h->lock);
	out->budget = budget_of(n);
}

DorisStatus hints_backlogs(Node *n, Backlog **out, uint32_t *nout, DorisError *err)
{
	Hints *h = n->hints;
	Backlog *list = NULL;
	uint32_t count = 0;
	bool no_memory = false;

	(void) pthread_mutex_lock(&h->lock);
	if (h->ntargets > 0)
	{
		list = calloc(h->ntargets, sizeof(*list));
		no_memory = list == NULL;
	}
	for (uint32_t i = 0; list != NULL && i < h->ntargets && i < DORIS_MAX_BACKLOGS; i++)
	{
		const Target *t = &h->targets[i];

		list[count++] = (Backlog){t->node, t->hints, t->bytes, t->oldest_ms};
	}
	(void) pthread_mutex_unlock(&h->lock);
	*out = list;
	*nout = count;
	if (no_memory)
		return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory listing hints", node_name(n));
	return DORIS_OK;
}
