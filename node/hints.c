/*
 * hints.c: table HINTS of a log node: what is kept for copies that are down (rule hints), within a budget (I6).
 *
 * Key: target (4, big-endian), sequence (8, big-endian); value: u16 type of the message, its body. The sequence is
 * the node's clock as the hint came: rising, never used twice, and it tells the hint's age. Hints that can never be applied lie
 * under 0 (4; no node has that id), target, sequence, until their target is gone.
 *
 * Counters by target are in memory, counted anew at each start. A hint is counted before it is written and taken out after
 * it was deleted, under one lock: so the budget is exact whatever workers do side by side.
 */
#include "hints.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIZE 12
#define POISON_KEY_SIZE 16
#define TYPE_SIZE 2
#define ALARM_PERCENT 80
#define CALM_PERCENT 70 /* the alarm ends below it */
#define POISON_SHARE 16 /* poison is kept up to this part of the budget, beside it */
#define DESCRIPTION_SIZE 160

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

/* ---- keys ---- */

static void put_big(uint8_t *out, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		out[i] = (uint8_t) (v >> (8 * (bytes - 1 - i)));
}

static uint64_t get_big(const uint8_t *p, int bytes)
{
	uint64_t v = 0;

	for (int i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

static DorisBytes hint_key(uint32_t target, uint64_t sequence, uint8_t out[KEY_SIZE])
{
	DorisBytes key = {out, KEY_SIZE};

	put_big(out, target, 4);
	put_big(out + 4, sequence, 8);
	return key;
}

static DorisBytes poison_key(uint32_t target, uint64_t sequence, uint8_t out[POISON_KEY_SIZE])
{
	DorisBytes key = {out, POISON_KEY_SIZE};

	put_big(out, 0, 4);
	put_big(out + 4, target, 4);
	put_big(out + 8, sequence, 8);
	return key;
}

/* ---- at start ---- */

static DorisStatus count_one(Worker *w, DorisBytes key, DorisBytes value, uint64_t *highest,
							 DorisError *err)
{
	Hints *h = w->node->hints;
	bool poison = key.len == POISON_KEY_SIZE && get_big(key.data, 4) == 0;
	uint64_t sequence;
	Target *t;

	if (key.len != KEY_SIZE && !poison)
		return doris_error(err, DORIS_IO, "%s: a key of the hints is damaged", node_name(w->node));
	sequence = get_big(key.data + key.len - 8, 8);
	if (sequence > *highest)
		*highest = sequence;
	t = target_find(h, (uint32_t) get_big(key.data + key.len - KEY_SIZE, 4), true);
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

static void give_back(Node *n, uint32_t target, uint64_t hints, uint64_t bytes, uint64_t oldest_ms)
{
	(void) pthread_mutex_lock(&n->hints->lock);
	count_out(n->hints, target, hints, bytes, oldest_ms);
	watch_budget(n);
	(void) pthread_mutex_unlock(&n->hints->lock);
}

DorisStatus hints_execute(Worker *w, uint64_t epoch, const HintRequest *m, DorisError *err)
{
	Node *n = w->node;
	uint64_t bytes = KEY_SIZE + TYPE_SIZE + m->body.len;
	uint8_t key[KEY_SIZE];
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
		give_back(n, m->target, 1, bytes, 0);
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

/* ---- for the replayer ---- */

void hint_batch_free(HintBatch *b)
{
	buf_free(&b->kept);
	b->n = 0;
}

/* One from the store into the batch. False: it does not fit any more. */
static bool batch_add(HintBatch *b, DorisBytes key, DorisBytes value)
{
	uint16_t type = value.len < TYPE_SIZE ? 0 : (uint16_t) (value.data[0] | value.data[1] << 8);
	bool good = type == MSG_STAGE || type == MSG_FINISH || type == MSG_APPLY;

	if (b->n > 0 && (!good || b->bytes + key.len + value.len > DORIS_BATCH_BYTES))
		return false;
	b->sequences[b->n] = get_big(key.data + 4, 8);
	b->items[b->n].type = type;
	b->items[b->n].body.len = good ? value.len - TYPE_SIZE : value.len;
	b->damaged = !good;
	buf_put_raw(&b->kept, value.data, value.len);
	b->bytes += key.len + value.len;
	b->n++;
	return good;
}

DorisStatus hints_load(Worker *w, uint32_t target, uint64_t from, uint32_t limit, HintBatch *b,
					   DorisError *err)
{
	const StoreDriver *d = w->node->driver;
	uint8_t low[KEY_SIZE];
	uint8_t high[KEY_SIZE];
	DorisBytes key;
	DorisBytes value;
	StoreScan *sc;
	size_t at = 0;
	DorisStatus st;

	b->target = target;
	b->n = 0;
	b->bytes = 0;
	b->damaged = false;
	buf_reset(&b->kept);
	st = d->scan(w->ss, STORE_TABLE_HINTS, hint_key(target, from, low),
				 hint_key(target, UINT64_MAX, high), &sc, err);
	if (st != DORIS_OK)
		return st;
	while (b->n < limit && b->n < HINTS_BATCH && (st = d->next(sc, &key, &value, err)) == DORIS_OK)
	{
		if (key.len != KEY_SIZE)
			st =
				doris_error(err, DORIS_IO, "%s: a key of the hints is damaged", node_name(w->node));
		if (st != DORIS_OK || !batch_add(b, key, value))
			break;
	}
	d->scan_close(sc);
	if (st != DORIS_OK && st != DORIS_NOT_FOUND)
		return st;
	if (b->kept.failed)
		return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory replaying hints",
						   node_name(w->node));
	for (uint32_t i = 0; i < b->n; i++)
	{
		at += b->damaged ? 0 : TYPE_SIZE;
		b->items[i].body.data = b->kept.data + at;
		at += b->items[i].body.len;
	}
	return DORIS_OK;
}

static void describe(const ReplayItem *item, char out[DESCRIPTION_SIZE])
{
	StageRequest stage = {0};
	ApplyRequest apply = {0};
	FinishRequest finish = {0};
	DorisError err;

	if (item->type == MSG_STAGE && stage_request_decode(item->body, &stage, &err) == DORIS_OK &&
		stage.nrows > 0)
		(void) snprintf(out, DESCRIPTION_SIZE,
						"transaction %llx.%x.%x, %u rows, the first in vnode %u, namespace %u",
						(unsigned long long) stage.txn.clock, stage.txn.origin, stage.txn.nonce,
						stage.nrows, stage.rows[0].at.vnode, stage.rows[0].at.ns);
	else if (item->type == MSG_APPLY &&
			 apply_request_decode(item->body, &apply, &err) == DORIS_OK && apply.nrows > 0)
		(void) snprintf(out, DESCRIPTION_SIZE,
						"%u plain writes, the first in vnode %u, namespace %u", apply.nrows,
						apply.rows[0].at.vnode, apply.rows[0].at.ns);
	else if (item->type == MSG_FINISH &&
			 finish_request_decode(item->body, &finish, &err) == DORIS_OK)
		(void) snprintf(out, DESCRIPTION_SIZE, "the end of %u transactions", finish.nitems);
	else
		(void) snprintf(out, DESCRIPTION_SIZE, "%zu bytes that do not decode, type %u",
						item->body.len, item->type);
	stage_request_free(&stage);
	apply_request_free(&apply);
	finish_request_free(&finish);
}

/* Poison is kept to be looked at, not counted on: beyond its share it is only logged. */
static bool poison_fits(Node *n, uint64_t bytes)
{
	bool fits;

	(void) pthread_mutex_lock(&n->hints->lock);
	fits = n->hints->poison_bytes + bytes <= budget_of(n) / POISON_SHARE;
	(void) pthread_mutex_unlock(&n->hints->lock);
	return fits;
}

/* In the open transaction. *kept: bytes now held as poison. */
static DorisStatus set_aside(Worker *w, const HintBatch *b, uint32_t i, uint64_t *kept,
							 DorisError *err)
{
	Node *n = w->node;
	const ReplayItem *item = &b->items[i];
	uint64_t bytes = POISON_KEY_SIZE + TYPE_SIZE + item->body.len;
	uint8_t key[POISON_KEY_SIZE];
	DorisBytes value;

	*kept = 0;
	if (!poison_fits(n, bytes))
		return DORIS_OK;
	buf_reset(&w->record);
	buf_put_u16(&w->record, item->type);
	buf_put_raw(&w->record, item->body.data, item->body.len);
	if (w->record.failed)
		return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory", node_name(n));
	value.data = w->record.data;
	value.len = w->record.len;
	*kept = bytes;
	return n->driver->put(w->ss, STORE_TABLE_HINTS, poison_key(b->target, b->sequences[i], key),
						  value, err);
}

static void tell_poison(Node *n, const HintBatch *b, uint32_t i, bool kept)
{
	char what[DESCRIPTION_SIZE];

	describe(&b->items[i], what);
	log_line(LOG_ERROR, "a hint for node %u cannot be applied and is %s: %s", b->target,
			 kept ? "set aside" : "dropped, too many are set aside already", what);
	node_count(n, COUNT_REPLAY_POISON, 1);
}

DorisStatus hints_settle(Worker *w, const HintBatch *b, const uint8_t *results, DorisError *err)
{
	Node *n = w->node;
	uint8_t key[KEY_SIZE];
	uint64_t kept[HINTS_BATCH];
	DorisStatus st;

	if (b->n == 0)
		return DORIS_OK;
	locks_clear(w);
	st = commit_begin(w, err);
	for (uint32_t i = 0; st == DORIS_OK && i < b->n; i++)
	{
		st = n->driver->del(w->ss, STORE_TABLE_HINTS, hint_key(b->target, b->sequences[i], key),
							err);
		if (st == DORIS_OK && results[i] == REPLAY_POISON)
			st = set_aside(w, b, i, &kept[i], err);
	}
	if (st != DORIS_OK)
	{
		commit_abandon(w);
		return st;
	}
	/* not flushed: after a crash they are sent once more, which is harmless */
	st = commit_end(w, false, NULL, err);
	if (st != DORIS_OK)
		return st;
	for (uint32_t i = 0; i < b->n; i++)
	{
		Target *t;

		if (results[i] != REPLAY_POISON)
		{
			node_count(
				n, results[i] == REPLAY_APPLIED ? COUNT_REPLAY_APPLIED : COUNT_REPLAY_OBSOLETE, 1);
			continue;
		}
		tell_poison(n, b, i, kept[i] > 0);
		(void) pthread_mutex_lock(&n->hints->lock);
		t = kept[i] > 0 ? target_find(n->hints, b->target, true) : NULL;
		if (t != NULL)
			poison_in(n->hints, t, kept[i]);
		(void) pthread_mutex_unlock(&n->hints->lock);
	}
	give_back(n, b->target, b->n, b->bytes, clock_ms_of(b->sequences[b->n - 1]));
	return DORIS_OK;
}

/* Deletes up to `limit` from low to high in one transaction. */
static DorisStatus drop_range(Worker *w, DorisBytes low, DorisBytes high, uint32_t limit,
							  uint32_t *dropped, uint64_t *bytes, DorisError *err)
{
	const StoreDriver *d = w->node->driver;
	DorisBytes key;
	DorisBytes value;
	StoreScan *sc;
	DorisCursor c;
	DorisStatus st = d->scan(w->ss, STORE_TABLE_HINTS, low, high, &sc, err);

	*dropped = 0;
	*bytes = 0;
	if (st != DORIS_OK)
		return st;
	buf_reset(&w->index);
	while (*dropped < limit && (st = d->next(sc, &key, &value, err)) == DORIS_OK)
	{
		buf_put_view(&w->index, key);
		*bytes += key.len + value.len;
		(*dropped)++;
	}
	d->scan_close(sc);
	if (st != DORIS_OK && st != DORIS_NOT_FOUND)
		return st;
	if (w->index.failed)
		return doris_error(err, DORIS_NO_MEMORY, "dropping hints: out of memory");
	if (*dropped == 0)
		return DORIS_OK;
	c = cursor_of(w->index.data, w->index.len);
	locks_clear(w);
	st = commit_begin(w, err);
	while (st == DORIS_OK && cursor_left(&c) > 0)
		st = d->del(w->ss, STORE_TABLE_HINTS, cursor_bytes(&c), err);
	if (st != DORIS_OK)
	{
		commit_abandon(w);
		return st;
	}
	return commit_end(w, false, NULL, err);
}

DorisStatus hints_drop(Worker *w, uint32_t target, uint32_t limit, bool *done, DorisError *err)
{
	Node *n = w->node;
	Hints *h = n->hints;
	uint8_t low[POISON_KEY_SIZE];
	uint8_t high[POISON_KEY_SIZE];
	uint32_t dropped;
	uint32_t poison = 0;
	uint64_t bytes;
	DorisStatus st;

	*done = false;
	st = drop_range(w, hint_key(target, 0, low), hint_key(target, UINT64_MAX, high), limit,
					&dropped, &bytes, err);
	if (st != DORIS_OK)
		return st;
	if (dropped > 0)
		give_back(n, target, dropped, bytes, 0);
	if (dropped < limit)
	{
		Target *t;

		st = drop_range(w, poison_key(target, 0, low), poison_key(target, UINT64_MAX, high),
						limit - dropped, &poison, &bytes, err);
		if (st != DORIS_OK)
			return st;
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
	node_count(n, COUNT_HINTS_DROPPED, dropped + poison);
	*done = dropped + poison < limit;
	return DORIS_OK;
}
