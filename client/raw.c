/*
 * raw.c: rows as given copies have them: the step under every read.
 *
 * All nodes are asked at once, each with one message at a time of at most DORIS_BATCH_BYTES of keys; a node may answer
 * only the first of the keys (its reply has a limit too), then it is asked for the rest. Who is asked and what a
 * failure means is the caller's business.
 */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "row.h"

#define RAW_MAX_KEYS 8192				/* of one message */
#define RAW_MAX_REPLY DORIS_BATCH_BYTES /* bytes of one reply, unless one row is bigger */

/* What goes to one node. */
typedef struct Ask
{
	const TopoNode *node;
	Peer *peer;
	uint32_t *which; /* indexes into gets */
	uint32_t n;
	uint32_t cap;
	uint32_t at;	/* answered so far */
	uint32_t sent;	/* keys in the message under way */
	uint64_t slice; /* when we stop waiting for it */
	bool started;	/* the call is initialized */
	Call call;
} Ask;

typedef struct RawRun
{
	DorisClient *c;
	Topology *topo;
	RawGet *gets;
	const Projection *projection;
	Arena *arena;
	int slice_ms;
	uint64_t until;
	Ask *asks;
	uint32_t nasks;
	uint32_t cap;
	Call **waiting;
} RawRun;

DorisStatus value_project(Arena *a, DorisBytes key, DorisBytes value, const uint16_t *columns,
						  uint32_t ncolumns, DorisBytes *out, DorisError *err)
{
	DorisBuf b;
	DorisStatus st = DORIS_OK;

	*out = value;
	if (value.len == 0)
		return DORIS_OK;
	buf_init(&b);
	if (!row_project(value, columns, ncolumns, &b))
		st = doris_error(err, DORIS_BAD_MESSAGE, "the value at key %s does not decode",
						 key_text(key));
	else if (b.failed || !arena_copy(a, (DorisBytes){b.data, b.len}, out))
		st = client_no_memory(err);
	buf_free(&b);
	return st;
}

static void ask_fail(RawRun *r, Ask *a, DorisStatus st)
{
	while (a->at < a->n)
	{
		RawGet *g = &r->gets[a->which[a->at++]];

		g->status = st;
		g->done = true;
	}
}

/* Without memory for it they go as they are. */
static void ask_sort(RawRun *r, Ask *a)
{
	RowPlace *places = a->n > 1 ? malloc(a->n * sizeof(*places)) : NULL;
	uint32_t i;

	if (places == NULL)
		return;
	for (i = 0; i < a->n; i++)
	{
		const KeyRef *at = &r->gets[a->which[i]].at;

		places[i] = (RowPlace){.vnode = at->vnode, .row = a->which[i], .key = at->key};
	}
	places_sort(places, a->n);
	for (i = 0; i < a->n; i++)
		a->which[i] = places[i].row;
	free(places);
}

static DorisStatus run_plan(RawRun *r, uint32_t n, DorisError *err)
{
	uint32_t i;
	Ask *a = NULL;

	for (i = 0; i < n; i++)
	{
		const TopoNode *node = r->gets[i].node;

		if (a == NULL || a->node->id != node->id)
		{
			uint32_t k;

			for (k = 0; k < r->nasks && r->asks[k].node->id != node->id; k++)
				;
			if (k == r->nasks)
			{
				if (k == r->cap)
				{
					uint32_t cap = r->cap > 0 ? r->cap * 2 : 4;
					Ask *asks = realloc(r->asks, cap * sizeof(*asks));

					if (asks == NULL)
						return client_no_memory(err);
					r->asks = asks;
					r->cap = cap;
				}
				r->asks[k] = (Ask){.node = node};
				r->nasks++;
			}
			a = &r->asks[k];
		}
		if (a->n == a->cap)
		{
			uint32_t cap = a->cap > 0 ? a->cap * 2 : 4;
			uint32_t *which = realloc(a->which, cap * sizeof(*which));

			if (which == NULL)
				return client_no_memory(err);
			a->which = which;
			a->cap = cap;
		}
		a->which[a->n++] = i;
		r->gets[i].done = false;
		r->gets[i].status = DORIS_OK;
	}
	for (i = 0; i < r->nasks; i++)
	{
		r->asks[i].peer = peer_of_node(r->c, r->asks[i].node);
		if (r->asks[i].peer == NULL)
			return client_no_memory(err);
		ask_sort(r, &r->asks[i]);
	}
	r->waiting = calloc(r->nasks + 1, sizeof(*r->waiting));
	if (r->waiting == NULL)
		return client_no_memory(err);
	for (i = 0; i < r->nasks; i++)
	{
		call_init(&r->asks[i].call);
		r->asks[i].started = true;
	}
	return DORIS_OK;
}

static DorisStatus ask_send(RawRun *r, Ask *a, DorisError *err)
{
	const Projection *p = r->projection;
	uint32_t max = a->n - a->at < RAW_MAX_KEYS ? a->n - a->at : RAW_MAX_KEYS;
	size_t bytes = 0;
	KeyRef one;
	GetRequest req = {.all_columns = p->all_columns,
					  .no_values = p->no_values,
					  .ncolumns = p->ncolumns,
					  .columns = (uint16_t *) (uintptr_t) p->columns,
					  .filter = p->filter,
					  .max_bytes = RAW_MAX_REPLY};

	req.keys = max == 1 ? &one : malloc(max * sizeof(KeyRef));
	if (req.keys == NULL)
		return client_no_memory(err);
	while (req.nkeys < max && (req.nkeys == 0 || bytes < DORIS_BATCH_BYTES))
	{
		const KeyRef *k = &r->gets[a->which[a->at + req.nkeys]].at;

		bytes += k->key.len + 16;
		req.keys[req.nkeys++] = *k;
	}
	a->sent = req.nkeys;
	buf_reset(&a->call.body);
	get_request_encode(&a->call.body, &req);
	if (req.keys != &one)
		free(req.keys);
	a->slice = clock_mono_ms() + (uint64_t) r->slice_ms;
	if (a->slice > r->until)
		a->slice = r->until;
	call_start(r->c, &a->call, a->peer, MSG_GET, r->topo, a->slice);
	return DORIS_OK;
}

static DorisStatus ask_take(RawRun *r, Ask *a, DorisError *err)
{
	GetReply reply;
	uint32_t i;
	DorisStatus st = a->call.status;

	memset(&reply, 0, sizeof(reply));
	if (st != DORIS_OK)
		*err = a->call.err;
	else
	{
		st = get_reply_decode(&a->call.reply, &reply, err);
		if (st == DORIS_OK && (reply.nrows == 0 || reply.nrows > a->sent))
			st = doris_error(err, DORIS_BAD_MESSAGE, "%s answered %u of %u keys",
							 peer_name(r->c, a->peer), reply.nrows, a->sent);
	}
	if (st == DORIS_NO_MEMORY)
		return st;
	if (st != DORIS_OK)
	{
		if (st == DORIS_UNREACHABLE)
			peer_suspect(a->peer, st);
		ask_fail(r, a, st);
		get_reply_free(&reply);
		return DORIS_OK;
	}
	for (i = 0; i < reply.nrows; i++)
	{
		RawGet *g = &r->gets[a->which[a->at + i]];

		g->row = reply.rows[i];
		/* what is read moves the clock on, so that what we write later is above it */
		clock_observe(&r->c->clock, g->row.version.clock);
		if (!arena_copy(r->arena, reply.rows[i].value, &g->row.value) ||
			(g->row.nstaged > 0 &&
			 !arena_copy(r->arena, reply.rows[i].staged.value, &g->row.staged.value)))
		{
			get_reply_free(&reply);
			return client_no_memory(err);
		}
		if (g->row.nstaged > 0)
			clock_observe(&r->c->clock, g->row.staged.version.clock);
		g->row.key = g->at.key;
		g->leased = a->call.leased;
		g->done = true;
	}
	a->at += reply.nrows;
	count_rows(r->c, a->peer, reply.nrows);
	get_reply_free(&reply);
	call_abandon(r->c, &a->call);
	return DORIS_OK;
}

static DorisStatus run_loop(RawRun *r, DorisError *err)
{
	for (;;)
	{
		uint64_t slice = r->until;
		uint32_t open = 0;
		uint32_t i;
		DorisError timeout;
		DorisStatus st;

		for (i = 0; i < r->nasks; i++)
		{
			Ask *a = &r->asks[i];

			r->waiting[i] = NULL;
			if (a->call.state == CALL_DONE)
			{
				st = ask_take(r, a, err);
				if (st != DORIS_OK)
					return st;
				call_abandon(r->c, &a->call);
			}
			if (a->at == a->n)
				continue;
			if (a->call.state == CALL_IDLE)
			{
				st = ask_send(r, a, err);
				if (st != DORIS_OK)
					return st;
			}
			else if (clock_mono_ms() >= a->slice)
			{
				doris_error(err, DORIS_TIMEOUT, "%s does not answer", peer_name(r->c, a->peer));
				call_cut(r->c, &a->call);
				peer_suspect(a->peer, DORIS_TIMEOUT);
				ask_fail(r, a, DORIS_TIMEOUT);
				continue;
			}
			r->waiting[i] = &a->call;
			if (a->slice < slice)
				slice = a->slice;
			open++;
		}
		if (open == 0)
			return DORIS_OK;
		st = calls_wait(r->c, r->waiting, (int) r->nasks, false, slice, &timeout);
		if (st != DORIS_OK && st != DORIS_TIMEOUT)
		{
			*err = timeout;
			return st;
		}
	}
}

DorisStatus raw_get(DorisClient *c, Topology *t, RawGet *gets, uint32_t n, const Projection *p,
					Arena *a, int slice_ms, uint64_t until, DorisError *err)
{
	RawRun r = {.c = c,
				.topo = t,
				.gets = gets,
				.projection = p,
				.arena = a,
				.slice_ms = slice_ms,
				.until = until};
	DorisStatus st = run_plan(&r, n, err);
	uint32_t i;

	if (st == DORIS_OK)
		st = run_loop(&r, err);
	for (i = 0; i < r.nasks; i++)
	{
		if (r.asks[i].started)
			call_free(c, &r.asks[i].call);
		free(r.asks[i].which);
	}
	free(r.asks);
	free(r.waiting);
	return st;
}
