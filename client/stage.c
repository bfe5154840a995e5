/*
 * stage.c: a transaction's rows on their way to their targets (rule *stage*).
 *
 * One message per node with all its rows, to all nodes at once; when there are more rows than a message takes, they
 * are streamed: while one message is under way to a node the next is filled. One attempt goes by one topology:
 * a write counts as held only when every target of its vnode in that placement answered (I1), and the first STALE_EPOCH
 * voids all of it (I3).
 */
#include <stdlib.h>
#include <string.h>

#include "txn.h"

#define STAGE_PAUSE_MS 50 /* before a try is repeated, doubled each time */
#define STAGE_PAUSE_MAX_MS 200
#define STAGE_LOOK_MS 500	 /* of silence: then the newest topology is looked at */
#define STAGE_PATIENCE_MS 20 /* that an answer may wait for the others */
#define STAGE_SLICE_MS 2000	 /* the first try waits so long for its answer, the next twice that */
#define FEW_PLACES 8
#define STAGE_RIDERS 64 /* earlier transactions that a STAGE finishes */
#define NAMED_ROWS 64	/* of a named transaction, which must go into one message to each node */
#define NAMED_BYTES (256u << 10)

void txn_begin(Txn *x)
{
	DorisClient *c = x->c;
	int left = client_left_ms(c, x->until);
	uint32_t i;

	x->id = client_txnid(c);
	x->version = client_version(c);
	x->expires_ms =
		clock_wall_ms() + (uint64_t) (left < CLIENT_EXPIRES_MAX_MS ? left : CLIENT_EXPIRES_MAX_MS);
	x->decision_sent = false;
	x->sure = false;
	topology_unref(x->named);
	x->named = NULL;
	x->changed = 0;
	for (i = 0; i < x->ntargets; i++)
	{
		StageTarget *t = x->targets[i];

		t->call.maybe_arrived = false;
		t->clean = true;
		t->doubt = false;
		memset(t->touched, 0, TXN_TOUCHED_WORDS(x) * sizeof(uint64_t));
		t->ntouched = 0;
	}
}

void txn_init(Txn *x, DorisClient *c, DorisCommitResult *result)
{
	memset(x, 0, sizeof(*x));
	x->c = c;
	x->until = c->until;
	x->result = result;
	x->tries_named = clock_mono_ms() >= c->unnamed_until;
	txn_begin(x);
}

void txn_free(Txn *x)
{
	uint32_t i;

	for (i = 0; i < x->ntargets; i++)
	{
		StageTarget *t = x->targets[i];

		call_free(x->c, &t->call);
		buf_free(&t->bytes);
		free(t->items);
		free(t->touched);
		free(t);
	}
	free(x->targets);
	free(x->where);
	free(x->places);
	topology_unref(x->topo);
	topology_unref(x->named);
}

void txn_attempt(Txn *x)
{
	uint32_t i;

	/* the number of vnodes is the cluster's for ever */
	topology_unref(x->topo);
	x->topo = topology_ref(x->c->topo);
	free(x->where);
	x->where = NULL;
	x->nplaces = 0;
	x->mode = TXN_SINGLE;
	x->one_vnode = true;
	x->one_ns = true;
	x->nrows = 0;
	x->flushed = false;
	for (i = 0; i < x->ntargets; i++)
	{
		StageTarget *t = x->targets[i];

		if (t->call.state != CALL_IDLE)
			t->doubt = true;
		call_abandon(x->c, &t->call);
		t->nitems = 0;
		t->failed = t->kept = false;
		buf_reset(&t->bytes);
	}
}

/* ---- targets ---- */
static StageTarget *target_of(Txn *x, const TopoNode *node)
{
	StageTarget *t;
	uint32_t i;

	for (i = 0; i < x->ntargets; i++)
		if (x->targets[i]->node == node->id)
		{
			x->targets[i]->peer = peer_of_node(x->c, node);
			return x->targets[i]->peer != NULL ? x->targets[i] : NULL;
		}
	if (x->ntargets == x->cap)
	{
		uint32_t cap = x->cap > 0 ? x->cap * 2 : 8;
		StageTarget **targets = realloc(x->targets, cap * sizeof(*targets));

		if (targets == NULL)
			return NULL;
		x->targets = targets;
		x->cap = cap;
	}
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	t->node = node->id;
	t->clean = true;
	t->peer = peer_of_node(x->c, node);
	t->touched = calloc(TXN_TOUCHED_WORDS(x), sizeof(uint64_t));
	if (t->peer == NULL || t->touched == NULL)
	{
		free(t->touched);
		free(t);
		return NULL;
	}
	call_init(&t->call);
	buf_init(&t->bytes);
	x->targets[x->ntargets++] = t;
	return t;
}

static TxnPlace *place_find(Txn *x, uint32_t vnode)
{
	uint32_t i;

	if (x->where == NULL && x->nplaces > FEW_PLACES)
	{
		/* without memory for it we go on looking through them */
		x->where = calloc(x->topo->vnodes, sizeof(*x->where));
		for (i = 0; x->where != NULL && i < x->nplaces; i++)
			x->where[x->places[i].vnode] = i + 1;
	}
	if (x->where != NULL)
		return x->where[vnode] > 0 ? &x->places[x->where[vnode] - 1] : NULL;
	for (i = 0; i < x->nplaces; i++)
		if (x->places[i].vnode == vnode)
			return &x->places[i];
	return NULL;
}

/*
 * A judge is down: the last complete copy, else it would not be one any more. Waits for a topology in which that has changed: the
 * statement succeeds later rather than never.
 */
static StageVerdict await_judge(Txn *x, uint32_t vnode, const TopoNode *node, DorisError *err)
{
	DorisClient *c = x->c;
	int pause = STAGE_PAUSE_MS;

	for (;;)
	{
		uint64_t now = clock_mono_ms();
		uint64_t slice = now + CLIENT_READ_SLICE_MS;
		DorisError why;

		if (client_refresh(c, 0, slice < x->until ? slice : x->until, &why) == DORIS_CANCELLED)
		{
			*err = why;
			return STAGE_FAIL;
		}
		doris_error(err, DORIS_UNAVAILABLE,
					"node %s, which holds the last complete copy of vnode %u, is down", node->name,
					vnode);
		doris_hint(err, "Writes to its vnodes go on when it is back; see doris_nodes.");
		if (c->topo->epoch > x->topo->epoch)
			return STAGE_AGAIN;
		if (now + (uint64_t) pause >= x->until)
			return STAGE_FAIL;
		if (client_pause(c, pause, &why) != DORIS_OK)
		{
			*err = why;
			return STAGE_FAIL;
		}
		pause = pause * 2 > STAGE_PAUSE_MAX_MS ? STAGE_PAUSE_MAX_MS : pause * 2;
	}
}

/* Where the vnode's rows go: to every write target, or for a failed one to a log node (I1). */
static StageVerdict place_of(Txn *x, uint32_t vnode, TxnPlace **out, DorisError *err)
{
	TopoTarget targets[DORIS_MAX_TARGETS];
	TxnPlace *place;
	int judges = 0;
	int n;
	int i;

	*out = place_find(x, vnode);
	if (*out != NULL)
		return STAGE_GO;
	n = topology_targets(x->topo, vnode, targets);
	for (i = 0; i < n; i++)
	{
		judges += targets[i].judge;
		if (targets[i].node->condition != NODE_UP && !targets[i].failed)
			return await_judge(x, vnode, targets[i].node, err);
	}
	if (judges == 0)
	{
		doris_error(err, DORIS_UNAVAILABLE, "vnode %u has no complete copy to write to", vnode);
		doris_hint(err, "Look at doris_vnodes.");
		return STAGE_FAIL;
	}
	if (x->nplaces == x->places_cap)
	{
		uint32_t cap = x->places_cap > 0 ? x->places_cap * 2 : 4;
		TxnPlace *places = realloc(x->places, cap * sizeof(*places));

		if (places == NULL)
		{
			client_no_memory(err);
			return STAGE_FAIL;
		}
		x->places = places;
		x->places_cap = cap;
	}
	place = &x->places[x->nplaces];
	place->vnode = vnode;
	place->n = (uint8_t) n;
	for (i = 0; i < n; i++)
	{
		place->targets[i] = target_of(x, targets[i].node);
		if (place->targets[i] == NULL)
		{
			client_no_memory(err);
			return STAGE_FAIL;
		}
		place->targets[i]->failed = targets[i].failed;
	}
	if (x->where != NULL)
		x->where[vnode] = x->nplaces + 1;
	x->nplaces++;
	*out = place;
	return STAGE_GO;
}

/* ---- sending ---- */

static void cannot_write(ReportVerdict verdict, const DorisError *why, DorisError *err)
{
	doris_error(err, DORIS_UNAVAILABLE, "cannot write: %.400s", why->message);
	doris_hint(err, "%s",
			   verdict == VERDICT_HEALTHY
				   ? "An admin reaches the node: the trouble is between this client and it."
				   : "Writes to its vnodes go on when it is back; see doris_nodes.");
}

/* All targets known so far are connected before the first message goes: the usual trouble leaves nothing behind. */
static StageVerdict connect_first(Txn *x, DorisError *err)
{
	Peer *few[DORIS_MAX_TARGETS];
	Peer **peers = x->ntargets <= DORIS_MAX_TARGETS ? few : malloc(x->ntargets * sizeof(*peers));
	Peer *bad = NULL;
	uint32_t n = 0;
	uint32_t i;
	StageVerdict v = STAGE_GO;
	DorisStatus st;

	if (peers == NULL)
	{
		client_no_memory(err);
		return STAGE_FAIL;
	}
	for (i = 0; i < x->ntargets; i++)
		if (x->targets[i]->nitems > 0 && !x->targets[i]->failed)
			peers[n++] = x->targets[i]->peer;
	for (;;)
	{
		uint64_t slice = clock_mono_ms() + STAGE_SLICE_MS;
		ReportVerdict verdict;
		DorisError why;

		st = peers_connect(x->c, peers, (int) n, slice < x->until ? slice : x->until, &bad, err);
		if (st == DORIS_OK)
			break;
		v = STAGE_FAIL;
		if (st != DORIS_UNREACHABLE || bad->node == 0)
			break;
		why = *err;
		verdict = client_report(x->c, bad->node, why.message, x->until);
		cannot_write(verdict, &why, err);
		if (verdict == VERDICT_FAILED)
		{
			v = STAGE_AGAIN;
			break;
		}
		/* slow is not dead: the deadline decides, as it does once something was sent */
		if (clock_mono_ms() >= x->until)
			break;
		if (client_pause(x->c, STAGE_PAUSE_MS, &why) != DORIS_OK)
		{
			*err = why;
			break;
		}
		v = STAGE_GO;
	}
	if (peers != few)
		free(peers);
	return v;
}

/* The rows of the next message, in the order of the node's files. False: no memory. */
static bool target_rows(StageTarget *t, StageRow **out)
{
	RowPlace *places = malloc(t->nitems * sizeof(*places));
	StageRow *rows = malloc(t->nitems * sizeof(*rows));
	uint32_t i;

	if (places == NULL || rows == NULL)
	{
		free(places);
		free(rows);
		return false;
	}
	for (i = 0; i < t->nitems; i++)
		places[i] = (RowPlace){.vnode = t->items[i].vnode,
							   .row = i,
							   .key = {t->bytes.data + t->items[i].key, t->items[i].key_len}};
	places_sort(places, t->nitems);
	for (i = 0; i < t->nitems; i++)
	{
		const StageItem *it = &t->items[places[i].row];

		rows[i] = (StageRow){.at = {.space = DORIS_SPACE_ROWS,
									.ns = it->ns,
									.vnode = it->vnode,
									.key = places[i].key},
							 .kind = it->kind,
							 .base = it->base,
							 .value = {t->bytes.data + it->value, it->value_len}};
		if ((t->touched[it->vnode / 64] >> (it->vnode % 64) & 1) == 0)
		{
			t->touched[it->vnode / 64] |= UINT64_C(1) << (it->vnode % 64);
			t->ntouched++;
		}
	}
	free(places);
	*out = rows;
	return true;
}

/*
 * Transactions that the node is told of as committed: named ones under the rows' bases first, which the judge must know as decided (rule
 * decided first), then earlier ones of our own.
 */
static uint32_t riders(const Txn *x, const StageTarget *t, const StageRow *rows, uint32_t nrows,
					   DorisTxnId out[STAGE_RIDERS])
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < nrows && x->c->ntold > 0 && n < STAGE_RIDERS; i++)
	{
		uint32_t k = 0;

		if (version_is_none(rows[i].base) || !told_by_version(x->c, rows[i].base, &out[n]))
			continue;
		while (txnid_compare(out[k], out[n]) != 0)
			k++;
		n += k == n;
	}
	return n + finish_ride(x->c, t->peer, out + n, STAGE_RIDERS - n);
}

static StageVerdict target_send(Txn *x, StageTarget *t, DorisError *err)
{
	StageRequest req = {.txn = x->id,
						.version = x->version,
						.mode = x->mode,
						.decision_vnode = x->vnode,
						.others = x->others,
						.expires_ms = x->expires_ms,
						.nrows = t->nitems};
	DorisTxnId finished[STAGE_RIDERS];

	if (!x->flushed)
	{
		StageVerdict v = connect_first(x, err);

		if (v != STAGE_GO)
			return v;
		x->flushed = true;
		if (x->changed == 0)
			x->changed = topology_changed(x->topo, x->vnode);
	}
	if (!target_rows(t, &req.rows))
	{
		client_no_memory(err);
		return STAGE_FAIL;
	}
	req.finished = finished;
	if (!t->failed)
		req.nfinished = riders(x, t, req.rows, req.nrows, finished);
	buf_reset(&t->call.body);
	stage_request_encode(&t->call.body, &req);
	free(req.rows);
	t->sent = t->nitems;
	t->nitems = 0;
	if (t->bytes.cap > 4 * DORIS_BATCH_BYTES)
		buf_free(&t->bytes); /* one big row must not keep its memory */
	buf_reset(&t->bytes);
	if (t->failed)
	{
		DorisStatus st = hint_keep(x->c, x->topo, topology_node(x->topo, t->node), MSG_STAGE,
								   &t->call.body, x->until, err);

		t->kept = st == DORIS_OK;
		FAULT_POINT("client-hinted");
		return st == DORIS_OK ? STAGE_GO : status_is_moved(st) ? STAGE_AGAIN : STAGE_FAIL;
	}
	t->tries = 0;
	t->repairs = 0;
	t->pause = 0;
	t->slice = clock_mono_ms() + STAGE_SLICE_MS;
	t->clean = false;
	call_start(x->c, &t->call, t->peer, MSG_STAGE, x->topo, x->until);
	return STAGE_GO;
}

/* The same message once more. */
static void target_again(Txn *x, StageTarget *t)
{
	call_abandon(x->c, &t->call);
	t->slice = clock_mono_ms() + ((uint64_t) STAGE_SLICE_MS << t->tries);
	t->clean = false;
	call_start(x->c, &t->call, t->peer, MSG_STAGE, x->topo, x->until);
}

/* A try without an answer: with the same ids again, CLIENT_TRIES times, then an admin is told. */
static StageVerdict target_silent(Txn *x, StageTarget *t, const DorisError *why, DorisError *err)
{
	DorisClient *c = x->c;
	ReportVerdict v;

	if (t->call.maybe_arrived && !t->clean)
		t->doubt = true; /* it may be acted on any time */
	t->tries++;
	count_retry(c, t->peer);
	if (t->tries < CLIENT_TRIES && clock_mono_ms() < x->until)
	{
		if (client_pause(c, STAGE_PAUSE_MS << t->tries, err) != DORIS_OK)
			return STAGE_FAIL;
		target_again(x, t);
		return STAGE_GO;
	}
	v = client_report(c, t->node, why->message, x->until);
	cannot_write(v, why, err);
	if (clock_mono_ms() >= x->until)
		return STAGE_FAIL;
	if (v == VERDICT_FAILED)
		return STAGE_AGAIN; /* the next topology has hints in its place */
	/* slow is not dead, and an admin may be away: the deadline decides */
	t->tries = CLIENT_TRIES - 1;
	if (client_pause(c, STAGE_PAUSE_MS << t->tries, err) != DORIS_OK)
		return STAGE_FAIL;
	target_again(x, t);
	return STAGE_GO;
}

static StageVerdict target_answer(Txn *x, StageTarget *t, DorisError *err)
{
	DorisStatus st = t->call.status;
	StageReply reply;
	StageVerdict v;

	/* a node that has just started waits for an admin (rule start): it has done nothing, and will answer */
	if (st == DORIS_UNREACHABLE || st == DORIS_UNAVAILABLE)
	{
		DorisError why = t->call.err;

		t->clean = st == DORIS_UNAVAILABLE && !t->doubt;
		return target_silent(x, t, &why, err);
	}
	/* UNAVAILABLE: it has just started, or waits for a topology */
	if (status_is_moved(st) || st == DORIS_UNAVAILABLE)
	{
		t->clean = !t->doubt;
		*err = t->call.err;
		call_abandon(x->c, &t->call);
		return STAGE_AGAIN;
	}
	if (st == DORIS_OK)
		st = stage_reply_decode(&t->call.reply, &reply, &t->call.err);
	if (st != DORIS_OK)
	{
		/* a node that failed in the middle may hold it all the same */
		if (st == DORIS_IO || st == DORIS_INTERNAL || st == DORIS_NO_MEMORY ||
			st == DORIS_BAD_MESSAGE || st == DORIS_TIMEOUT || st == DORIS_UNKNOWN)
			t->doubt = true;
		t->clean = !t->doubt;
		*err = t->call.err;
		call_abandon(x->c, &t->call);
		return STAGE_FAIL;
	}
	if (!reply.held)
	{
		t->clean = !t->doubt;
		v = txn_conflict(x, t, &reply, err);
		if (v == STAGE_GO)
			target_again(x, t);
		else
			call_abandon(x->c, &t->call);
		stage_reply_free(&reply);
		return v;
	}
	stage_reply_free(&reply);
	t->doubt = true;
	count_rows(x->c, t->peer, t->sent);
	call_abandon(x->c, &t->call);
	FAULT_POINT("client-staged-one");
	return STAGE_GO;
}

/* Nobody has answered for a while: has one of those we wait for been judged failed meanwhile? */
static bool silent_is_failed(Txn *x, DorisError *err)
{
	DorisClient *c = x->c;
	uint64_t slice = clock_mono_ms() + STAGE_LOOK_MS;
	DorisError ignored;

	if (client_refresh(c, 0, slice < x->until ? slice : x->until, &ignored) != DORIS_OK ||
		c->topo->epoch == x->topo->epoch)
		return false;
	for (uint32_t i = 0; i < x->ntargets; i++)
	{
		const StageTarget *t = x->targets[i];
		const TopoNode *node = topology_node(c->topo, t->node);

		if (t->call.state == CALL_IDLE || t->call.state == CALL_DONE ||
			(node != NULL && node->condition == NODE_UP))
			continue;
		doris_error(err, DORIS_UNAVAILABLE, "cannot write: %s does not answer",
					peer_name(c, t->peer));
		return true;
	}
	return false;
}

/* Waits until the target (NULL: every target) holds what was sent to it. */
static StageVerdict targets_wait(Txn *x, StageTarget *only, DorisError *err)
{
	Call *few[DORIS_MAX_TARGETS];
	Call **calls = x->ntargets <= DORIS_MAX_TARGETS ? few : malloc(x->ntargets * sizeof(*calls));
	StageVerdict v = STAGE_GO;
	bool patient = only == NULL; /* at first all are waited for, with one wake-up */

	if (calls == NULL)
	{
		client_no_memory(err);
		return STAGE_FAIL;
	}
	for (;;)
	{
		uint64_t slice = x->until;
		uint64_t look;
		bool wanted = false;
		uint32_t i;
		DorisError why;
		DorisStatus st;

		for (i = 0; i < x->ntargets && v == STAGE_GO; i++)
		{
			StageTarget *t = x->targets[i];

			if (t->call.state == CALL_DONE)
				v = target_answer(x, t, err);
			else if (t->call.state != CALL_IDLE &&
					 clock_mono_ms() >= (t->slice < x->until ? t->slice : x->until))
			{
				doris_error(&why, DORIS_TIMEOUT, "%s does not answer", peer_name(x->c, t->peer));
				call_cut(x->c, &t->call);
				v = target_silent(x, t, &why, err);
			}
			calls[i] = NULL;
			if (t->call.state == CALL_IDLE)
				continue;
			calls[i] = &t->call;
			if (only == NULL || only == t)
				wanted = true;
			if (t->slice < slice)
				slice = t->slice;
		}
		if (v != STAGE_GO || !wanted)
			break;
		look = clock_mono_ms() + (patient ? STAGE_PATIENCE_MS : STAGE_LOOK_MS);
		st = calls_wait(x->c, calls, (int) x->ntargets, patient, look < slice ? look : slice, &why);
		if (st == DORIS_TIMEOUT && !patient && silent_is_failed(x, err))
			v = STAGE_AGAIN;
		patient = false;
		if (st != DORIS_OK && st != DORIS_TIMEOUT)
		{
			*err = why;
			v = STAGE_FAIL;
			break;
		}
	}
	if (calls != few)
		free(calls);
	return v;
}

/* ---- rows in ---- */
static bool target_put(StageTarget *t, const DorisWrite *w, uint32_t vnode)
{
	StageItem *it;

	if (t->nitems == t->cap)
	{
		uint32_t cap = t->cap > 0 ? t->cap * 2 : 4;
		StageItem *items = realloc(t->items, cap * sizeof(*items));

		if (items == NULL)
			return false;
		t->items = items;
		t->cap = cap;
	}
	it = &t->items[t->nitems++];
	*it = (StageItem){.ns = w->ns,
					  .vnode = vnode,
					  .kind = w->kind,
					  .base = w->base,
					  .key = t->bytes.len,
					  .key_len = w->key.len};
	buf_put_raw(&t->bytes, w->key.data, w->key.len);
	it->value = t->bytes.len;
	it->value_len = w->kind == WRITE_DELETE ? 0 : w->value.len;
	buf_put_raw(&t->bytes, w->value.data, it->value_len);
	return !t->bytes.failed;
}

static StageVerdict row_check(Txn *x, const DorisWrite *w, DorisError *err)
{
	if (w->key.len > DORIS_MAX_KEY || w->value.len > DORIS_MAX_VALUE)
	{
		txn_refuse(x, DORIS_TOO_BIG, w->ns, w->key,
				   "is too big a row: a key may have 64 KiB, a value 16 MiB", err);
		return STAGE_FAIL;
	}
	if (w->kind != WRITE_INSERT && w->kind != WRITE_UPDATE && w->kind != WRITE_DELETE)
	{
		doris_error(err, DORIS_BAD_ARGUMENT, "a transaction inserts, updates and deletes, not %d",
					w->kind);
		return STAGE_FAIL;
	}
	return STAGE_GO;
}

StageVerdict txn_add(Txn *x, const DorisWrite *w, DorisError *err)
{
	uint32_t vnode = route_vnode(w->route, x->topo->vnodes);
	size_t size = w->key.len + w->value.len + 64;
	TxnPlace *place;
	StageVerdict v = row_check(x, w, err);
	int i;

	/* a version is above all bases it replaces */
	clock_observe(&x->c->clock, w->base.clock);
	if (v == STAGE_GO && x->c->deciding != NULL && !version_is_none(w->base) &&
		decide_await(x->c, w->base, x->until, err) != DORIS_OK)
		return STAGE_FAIL;
	if (v == STAGE_GO)
		v = place_of(x, vnode, &place, err);
	if (v != STAGE_GO)
		return v;
	if (x->nrows++ == 0)
	{
		x->vnode = vnode;
		x->ns = w->ns;
	}
	x->one_vnode &= x->vnode == vnode;
	x->one_ns &= x->ns == w->ns;
	for (i = 0; i < place->n && v == STAGE_GO; i++)
	{
		StageTarget *t = place->targets[i];

		if (t->nitems > 0 && (t->nitems >= STAGE_MAX_ROWS ||
							  t->bytes.len + t->nitems * 32 + size > DORIS_BATCH_BYTES))
		{
			/* more than one message: only a decision row can commit them together */
			x->mode = TXN_DECISION;
			v = targets_wait(x, t, err);
			if (v == STAGE_GO)
				v = target_send(x, t, err);
			if (v != STAGE_GO)
				return v;
		}
		if (!target_put(t, w, vnode))
		{
			client_no_memory(err);
			return STAGE_FAIL;
		}
	}
	return v;
}

/*
 * Is it small enough to name its vnodes, and nothing in the way? One message to each node is what rule *named* rests on; what goes
 * to log nodes is more work to close than it saves, and a hint that an earlier attempt has left under these ids says that a
 * decision row speaks for them (x->changed: something was sent). Rows of several namespaces: one of them may be truncated, and
 * its nodes then say that they hold nothing of a transaction whose other rows are to stay. A node that may hang: until it is
 * judged, whoever meets the rows at others could not tell what they are.
 */
static bool may_be_named(const Txn *x)
{
	uint64_t now = clock_mono_ms();
	size_t bytes = 0;

	if (!x->tries_named || !x->one_ns || x->mode != TXN_SINGLE || x->changed != 0 ||
		x->nplaces > 1 + DORIS_MAX_OTHERS || x->nrows > NAMED_ROWS)
		return false;
	for (uint32_t i = 0; i < x->ntargets; i++)
	{
		const StageTarget *t = x->targets[i];

		if (t->failed || t->call.maybe_arrived || t->peer->suspect_until > now)
			return false;
		bytes += t->bytes.len;
	}
	return bytes <= NAMED_BYTES;
}

static void name_vnodes(Txn *x)
{
	x->others.n = 0;
	for (uint32_t i = 0; i < x->nplaces; i++)
		if (x->places[i].vnode != x->vnode)
			x->others.vnodes[x->others.n++] = (uint16_t) x->places[i].vnode;
	if (x->named == NULL)
		x->named = topology_ref(x->topo);
	for (uint32_t i = 0; i < x->ntargets; i++)
		peer_open_background(x->targets[i]->peer);
}

StageVerdict txn_hold(Txn *x, DorisError *err)
{
	StageVerdict v = STAGE_GO;
	uint32_t i;

	if (!x->one_vnode)
		x->mode = x->sure || may_be_named(x) ? TXN_NAMED : TXN_DECISION;
	if (x->mode == TXN_NAMED)
		name_vnodes(x);
	/* rule hints: kept before a judge is asked, so that a full budget is a clean refusal */
	for (i = 0; i < x->ntargets && v == STAGE_GO; i++)
		if (x->targets[i]->failed && x->targets[i]->nitems > 0)
			v = target_send(x, x->targets[i], err);
	for (i = 0; i < x->ntargets && v == STAGE_GO; i++)
	{
		StageTarget *t = x->targets[i];

		if (t->nitems == 0)
			continue;
		if (t->call.state != CALL_IDLE)
			v = targets_wait(x, t, err);
		if (v == STAGE_GO)
			v = target_send(x, t, err);
	}
	if (v == STAGE_GO)
		v = targets_wait(x, NULL, err);
	return v;
}
