/*
 * scan.c: all rows of a namespace, from all nodes at once.
 *
 * A stream reads some vnodes from one node, page by page; while the rows of a page are handed out, the next is already
 * under way. Nothing is kept on the nodes: a page ends with a token, from which the same or another complete copy goes on
 * (I2), so that every key comes once though nodes fail and vnodes move. Pages begin small and grow, so that who takes only
 * some rows does not make the nodes read many. What a page holds: page.c; merging streams that are in key order: order.c.
 */
#include <stdlib.h>
#include <string.h>

#include "filter.h"
#include "scan.h"

#define SCAN_PAUSE_MAX_MS 200
#define SCAN_FIRST_ROWS 100 /* of a stream, when nobody knows how many will be taken */
#define SCAN_GROWTH 8
#define SCAN_FULL_ROWS 10000 /* from here on the nodes choose */

/* The page before does not have to ask for the next one any more. */
static void stream_unlink(Stream *st)
{
	if (st->after != NULL)
		st->after->stream = NULL;
	st->after = NULL;
}

static void stream_free(DorisScan *s, Stream *st)
{
	stream_unlink(st);
	call_free(s->c, &st->call);
	buf_free(&st->resume_key);
	free(st->vnodes);
	free(st);
}

static void stream_remove(DorisScan *s, Stream *st)
{
	Stream **at;

	for (at = &s->streams; *at != st; at = &(*at)->next)
		;
	*at = st->next;
	stream_free(s, st);
}

/* How many rows the next page of one of n streams should have; 0: as many as the node thinks best. */
static uint32_t page_rows(const DorisScan *s, const Stream *st, uint32_t n)
{
	uint64_t rows;

	if (s->groups != NULL || s->spec.whole)
		return s->spec.fetch_rows;
	if (s->spec.limit > s->given)
	{
		/* keys are spread evenly, but for some luck, and what one stream has less another has more */
		uint64_t left = s->spec.limit - s->given;

		rows = left / n + left / (2 * n) + 8;
		if (n == 1 || rows > left)
			rows = left;
	}
	else
		rows = st->rows == 0 ? SCAN_FIRST_ROWS : (uint64_t) st->rows * SCAN_GROWTH;
	if (s->spec.fetch_rows > 0 && rows > s->spec.fetch_rows)
		rows = s->spec.fetch_rows;
	return rows < SCAN_FULL_ROWS ? (uint32_t) rows : s->spec.fetch_rows;
}

void stream_ask(DorisScan *s, Stream *st)
{
	DorisClient *c = s->c;
	uint32_t n = 0;

	for (const Stream *other = s->streams; other != NULL; other = other->next)
		n++;
	st->rows = page_rows(s, st, n);
	ScanRequest req = {.ns = s->ns->id,
					   .def_version = s->ns->version,
					   .nvnodes = st->n - st->first,
					   .vnodes = st->vnodes + st->first,
					   .low = s->spec.low,
					   .high = s->spec.high,
					   .filter = s->spec.filter,
					   .aggregate = s->spec.aggregate,
					   .share = s->spec.share,
					   .seed = s->spec.seed,
					   .all_columns = s->spec.columns == NULL,
					   .ncolumns = s->spec.columns == NULL ? 0 : s->spec.ncolumns,
					   .columns = (uint16_t *) (uintptr_t) s->spec.columns,
					   .ordered = s->spec.order != DORIS_ANY_ORDER,
					   .reverse = s->spec.order == DORIS_KEY_ORDER_BACK,
					   .max_rows = st->rows,
					   .max_bytes = DORIS_BATCH_BYTES,
					   .resume = st->resume};

	if (st->resume)
	{
		req.resume_vnode = st->vnodes[st->first];
		req.resume_key = (DorisBytes){st->resume_key.data, st->resume_key.len};
	}
	buf_reset(&st->call.body);
	scan_request_encode(&st->call.body, &req);
	st->slice = clock_mono_ms() + CLIENT_SCAN_SLICE_MS;
	st->asked = true;
	stream_unlink(st);
	call_start(c, &st->call, st->peer, MSG_SCAN, c->topo, st->slice);
}

/* ---- which vnode is read from whom ---- */

/*
 * The copy to read from: not one that failed, rather not one that is suspected. NULL: none is left. *passed: a suspected one
 * that would have been it, or NULL.
 */
static const TopoNode *vnode_reader(DorisScan *s, uint32_t vnode, const uint32_t *bad,
									uint32_t nbad, bool *none, Peer **passed)
{
	const TopoNode *readers[DORIS_MAX_GROUPS];
	int n = topology_readers(s->c->topo, vnode, s->c->read_group, readers);
	const TopoNode *suspect = NULL;
	uint64_t now = clock_mono_ms();
	int i;

	*none = n == 0;
	*passed = NULL;
	for (i = 0; i < n; i++)
	{
		Peer *p = peer_of_node(s->c, readers[i]);
		uint32_t k;

		for (k = 0; k < nbad && bad[k] != readers[i]->id; k++)
			;
		if (k < nbad)
			continue;
		if (p != NULL && p->suspect_until > now)
		{
			if (suspect == NULL)
			{
				suspect = readers[i];
				*passed = p;
			}
			continue;
		}
		return readers[i];
	}
	*passed = NULL;
	return suspect;
}

/*
 * Spreads vnodes (rising) over streams, one for each node (more when they are too many for an ordered one); the first goes
 * on from the token, ordered ones all do. EXHAUSTED (NOT_FOUND): all copies of some vnode have failed: nothing was made.
 */
static DorisStatus streams_make(DorisScan *s, const uint32_t *vnodes, uint32_t n, bool resume,
								DorisBytes resume_key, const uint32_t *bad, uint32_t nbad,
								DorisError *err)
{
	Stream *made = NULL;
	Stream *made_before;
	bool ordered = s->spec.order != DORIS_ANY_ORDER;
	uint64_t round = ++s->c->rounds;
	uint32_t i;
	DorisStatus status = DORIS_OK;

	for (i = 0; i < n && status == DORIS_OK; i++)
	{
		bool none;
		bool fresh;
		Peer *passed;
		const TopoNode *node = vnode_reader(s, vnodes[i], bad, nbad, &none, &passed);
		Stream *st;

		if (none)
		{
			doris_error(err, DORIS_UNAVAILABLE, "vnode %u has no complete copy", vnodes[i]);
			status = doris_hint(err, "Look at doris_vnodes.");
			break;
		}
		if (node == NULL)
		{
			status = DORIS_NOT_FOUND;
			break;
		}
		/* once for the node, not for each of its vnodes */
		if (passed != NULL && passed->passed_by != round)
		{
			passed->passed_by = round;
			count_failover(s->c, passed);
		}
		for (st = made;
			 st != NULL && (st->node != node->id || (ordered && st->n == DORIS_MAX_ORDERED_VNODES));
			 st = st->next)
			;
		fresh = st == NULL;
		if (fresh)
		{
			st = calloc(1, sizeof(*st));
			if (st != NULL)
				st->vnodes = malloc((size_t) (n - i) * sizeof(uint32_t));
			if (st == NULL || st->vnodes == NULL)
			{
				free(st);
				status = client_no_memory(err);
				break;
			}
			st->node = node->id;
			st->needed = true; /* as the one was whose place it takes */
			st->peer = peer_of_node(s->c, node);
			call_init(&st->call);
			buf_init(&st->resume_key);
			st->nbad = nbad;
			memcpy(st->bad, bad, nbad * sizeof(uint32_t));
			st->next = made;
			made = st;
			if (st->peer == NULL)
			{
				status = client_no_memory(err);
				break;
			}
		}
		if (resume && (ordered ? fresh : i == 0))
		{
			st->resume = true;
			buf_put_raw(&st->resume_key, resume_key.data, resume_key.len);
			if (st->resume_key.failed)
				status = client_no_memory(err);
		}
		st->vnodes[st->n++] = vnodes[i];
	}
	made_before = s->streams;
	while (made != NULL)
	{
		Stream *st = made;

		made = st->next;
		if (status != DORIS_OK)
		{
			stream_free(s, st);
			continue;
		}
		st->next = s->streams;
		s->streams = st;
	}
	/* when all are known, for their pages are sized by how many there are */
	for (Stream *st = s->streams; st != made_before; st = st->next)
		stream_ask(s, st);
	return status;
}

/* A stream's page failed: its vnodes go on from the token elsewhere. */
static DorisStatus stream_failed(DorisScan *s, Stream *st, DorisStatus why, DorisError *err)
{
	DorisClient *c = s->c;
	uint32_t bad[DORIS_MAX_GROUPS];
	uint32_t nbad = st->nbad;
	uint64_t used = st->call.topo != NULL ? st->call.topo->epoch : c->topo->epoch;
	DorisError last = *err;
	DorisStatus status;

	memcpy(bad, st->bad, sizeof(bad));
	if (why == DORIS_BAD_ARGUMENT || why == DORIS_DENIED || why == DORIS_TOO_BIG ||
		why == DORIS_NO_MEMORY)
		return why;
	if (status_is_moved(why))
	{
		status = client_moved(c, used, c->until, err);
		if (status != DORIS_OK)
			return status;
		if (why == DORIS_NO_NAMESPACE && topology_namespace_by_id(c->topo, s->ns->id) == NULL)
		{
			*err = last;
			return why;
		}
	}
	else
	{
		if (why == DORIS_UNREACHABLE || why == DORIS_TIMEOUT)
			peer_suspect(st->peer, why);
		count_failover(c, st->peer);
		if (nbad < DORIS_MAX_GROUPS)
			bad[nbad++] = st->node;
	}
	for (;;)
	{
		DorisError ignored;
		uint64_t slice;

		status =
			streams_make(s, st->vnodes + st->first, st->n - st->first, st->resume,
						 (DorisBytes){st->resume_key.data, st->resume_key.len}, bad, nbad, err);
		if (status == DORIS_OK)
		{
			stream_remove(s, st);
			return DORIS_OK;
		}
		if (status != DORIS_NOT_FOUND)
			return status;
		if (clock_mono_ms() >= c->until)
		{
			doris_error(err, DORIS_UNAVAILABLE,
						"the scan of namespace \"%s\" cannot go on at any complete copy: %.300s",
						s->ns->name, last.message);
			return doris_hint(err, "Look at doris_nodes.");
		}
		/* all copies failed: perhaps the cluster has moved on; a little later they are asked again */
		slice = clock_mono_ms() + CLIENT_READ_SLICE_MS;
		status = client_refresh(c, 0, slice < c->until ? slice : c->until, &ignored);
		if (status == DORIS_CANCELLED)
		{
			*err = ignored;
			return status;
		}
		status = client_pause(c, s->pause_ms, err);
		if (status != DORIS_OK)
			return status;
		s->pause_ms = s->pause_ms * 2 > SCAN_PAUSE_MAX_MS ? SCAN_PAUSE_MAX_MS : s->pause_ms * 2;
		nbad = 0;
	}
}

/* ---- pages ---- */

/* Moves the stream behind the page. False: the token makes no sense. */
static bool stream_advance(const DorisScan *s, Stream *st, const ScanReply *reply)
{
	if (reply->done)
	{
		st->first = st->n;
		return true;
	}
	if (s->spec.order != DORIS_ANY_ORDER)
	{
		if (st->resume && order_compare(s, reply->next_key, stream_token(st)) <= 0)
			return false;
		st->resume = true;
		buf_reset(&st->resume_key);
		buf_put_raw(&st->resume_key, reply->next_key.data, reply->next_key.len);
		return !st->resume_key.failed;
	}
	while (st->first < st->n && st->vnodes[st->first] != reply->next_vnode)
		st->first++;
	st->resume = true;
	buf_reset(&st->resume_key);
	buf_put_raw(&st->resume_key, reply->next_key.data, reply->next_key.len);
	return st->first < st->n && !st->resume_key.failed;
}

/* Rule lease: are the vnodes of the page still to be read where it came from? */
static DorisStatus page_confirm(DorisScan *s, const Page *p, const Stream *st, DorisError *err)
{
	const ScanReply *reply = &p->reply;
	uint32_t end = s->spec.order != DORIS_ANY_ORDER ? st->n : st->first;

	while (end < st->n && (reply->done || st->vnodes[end] != reply->next_vnode))
		end++;
	if (end < st->n)
		end++;
	return lease_confirm(s->c, st->call.topo, st->node, st->vnodes + st->first, end - st->first,
						 s->c->until, err);
}

/* Is there reason to ask for the stream's next page before the rows at hand are used up? */
static bool reads_ahead(const DorisScan *s)
{
	uint64_t at_hand = s->given;

	if (s->spec.limit <= s->given)
		return true;
	for (const Page *p = s->pages; p != NULL; p = p->next)
		at_hand += p->reply.nrows - p->at;
	return at_hand < s->spec.limit;
}

/* The page is good: counts it, settles it and has the next one asked for. */
static DorisStatus page_accept(DorisScan *s, Stream *st, Page *p, Topology *t, DorisError *err)
{
	DorisClient *c = s->c;
	bool first = !st->paged;
	uint32_t nstaged = 0;
	DorisStatus status = DORIS_OK;

	count_rows(s->c, st->peer, p->reply.nrows);
	s->passed += p->reply.passed;
	s->pause_ms = 5;
	st->nbad = 0;
	st->paged = true;
	for (uint32_t i = 0; i < p->reply.nrows; i++)
	{
		clock_observe(&c->clock, p->reply.rows[i].version.clock);
		nstaged += p->reply.rows[i].nstaged > 0;
	}
	if (!order_holds(s, st, &p->reply) || !stream_advance(s, st, &p->reply))
		return doris_error(err, DORIS_BAD_MESSAGE,
						   "%s sent rows or a resume token that were not asked for",
						   peer_name(c, st->peer));
	status = groups_take(s, &p->reply, err);
	if (status == DORIS_OK && nstaged > 0)
		status = page_settle(s, p, t, st->node, nstaged, err);
	if (status == DORIS_OK)
		status = groups_check(s, err);
	if (status != DORIS_OK)
		return status;
	if (st->first == st->n)
		stream_remove(s, st);
	else if (reads_ahead(s))
	{
		/* whoever stops within the first rows has not made the node read on */
		p->stream = st;
		p->ask_at = first && s->groups == NULL && !s->spec.whole ? p->reply.nrows / 2 : 0;
		st->after = p;
		if (p->ask_at == 0)
			stream_ask(s, st);
	}
	return DORIS_OK;
}

/* Takes an answered stream's page. */
static DorisStatus page_take(DorisScan *s, Stream *st, DorisError *err)
{
	DorisClient *c = s->c;
	Page *p = calloc(1, sizeof(*p));
	Topology *t;
	DorisStatus status = st->call.status;

	if (p == NULL)
		return client_no_memory(err);
	if (status == DORIS_OK)
		status = scan_reply_decode(&st->call.reply, &p->reply, &st->call.err);
	if (status == DORIS_OK && !st->call.leased)
		status = page_confirm(s, p, st, &st->call.err);
	if (status != DORIS_OK)
	{
		scan_reply_free(&p->reply);
		free(p);
		*err = st->call.err;
		call_abandon(c, &st->call);
		return stream_failed(s, st, status, err);
	}
	/* the reply's memory is the page's now */
	p->raw = st->call.raw;
	p->scratch = st->call.scratch;
	st->call.raw = (DorisBytes){NULL, 0};
	buf_init(&st->call.scratch);
	t = topology_ref(st->call.topo);
	call_abandon(c, &st->call);
	st->asked = false;
	p->next = s->pages;
	s->pages = p;
	s->taken++;
	status = page_accept(s, st, p, t, err);
	topology_unref(t);
	return status;
}

/* The next page of any stream that is needed; NOT_FOUND: there is none. */
static DorisStatus scan_page(DorisScan *s, DorisError *err)
{
	DorisClient *c = s->c;
	Stream *st;
	uint64_t began;

	if (s->streams == NULL)
		return DORIS_NOT_FOUND;
	began = clock_mono_ms();
	for (st = s->streams; st != NULL; st = st->next)
	{
		if (!st->needed)
			continue;
		if (!st->asked)
			stream_ask(s, st);
		/* replies may have been waiting while nobody looked: the slices count from now */
		st->slice = began + CLIENT_SCAN_SLICE_MS;
	}
	for (;;)
	{
		Call *few[64];
		Call **calls = few;
		int n = 0;
		uint64_t slice = c->until;
		DorisStatus status;
		DorisError why;

		for (st = s->streams; st != NULL; st = st->next, n++)
		{
			if (!st->needed)
				continue;
			call_pump(c, &st->call, true);
			if (st->call.state == CALL_DONE)
				return page_take(s, st, err);
			if (clock_mono_ms() >= st->slice || clock_mono_ms() >= c->until)
			{
				doris_error(err, DORIS_TIMEOUT, "%s does not answer", peer_name(c, st->peer));
				call_cut(c, &st->call);
				status = stream_failed(s, st, DORIS_TIMEOUT, err);
				if (status != DORIS_OK)
					return status;
				break;
			}
			if (st->slice < slice)
				slice = st->slice;
		}
		if (st != NULL)
			continue; /* the list has changed */
		if (n > 64)
			calls = malloc((size_t) n * sizeof(*calls));
		if (calls == NULL)
			return client_no_memory(err);
		for (st = s->streams, n = 0; st != NULL; st = st->next)
			if (st->needed)
				calls[n++] = &st->call;
		status = calls_wait(c, calls, n, false, slice, &why);
		if (calls != few)
			free(calls);
		if (status != DORIS_OK && status != DORIS_TIMEOUT)
		{
			*err = why;
			return status;
		}
	}
}

DorisStatus scan_more(DorisScan *s, DorisError *err)
{
	uint64_t taken = s->taken;
	DorisStatus st;

	/* one deadline until there is a page: streams that go on elsewhere do not begin another one (I6) */
	client_begin(s->c);
	do
		st = scan_page(s, err);
	while (st == DORIS_OK && s->taken == taken);
	if (st != DORIS_OK && st != DORIS_NOT_FOUND)
		s->failed = true;
	return st;
}

/* ---- the public face ---- */
DorisStatus doris_scan_open(DorisClient *c, const DorisScanSpec *spec, DorisScan **out,
							DorisError *err)
{
	DorisScan *s = calloc(1, sizeof(*s));
	uint32_t *vnodes = NULL;
	uint32_t n;
	DorisStatus st = DORIS_OK;
	DorisBytes columns;

	*out = NULL;
	if (s == NULL)
		return client_no_memory(err);
	if (spec->low.len > DORIS_MAX_KEY || spec->high.len > DORIS_MAX_KEY)
	{
		free(s);
		return doris_error(err, DORIS_TOO_BIG,
						   "a bound of a scan of namespace \"%s\" is longer than a key can be, "
						   "which is %d bytes",
						   spec->ns->name, DORIS_MAX_KEY);
	}
	client_begin(c);
	s->c = c;
	s->ns = spec->ns;
	s->spec = *spec;
	s->pause_ms = 5;
	columns = (DorisBytes){(const uint8_t *) spec->columns,
						   spec->columns != NULL ? spec->ncolumns * sizeof(uint16_t) : 0};
	if (!arena_copy(&s->arena, spec->low, &s->spec.low) ||
		!arena_copy(&s->arena, spec->high, &s->spec.high) ||
		!arena_copy(&s->arena, spec->filter, &s->spec.filter) ||
		!arena_copy(&s->arena, spec->aggregate, &s->spec.aggregate) ||
		!arena_copy(&s->arena, columns, &columns))
		st = client_no_memory(err);
	if (spec->columns != NULL)
		s->spec.columns = (const uint16_t *) (const void *) columns.data;
	if (st == DORIS_OK)
		st = filter_decode(s->spec.filter, s->ns, &s->filter, err);
	if (st == DORIS_OK)
		st = groups_open(s, err);
	if (spec->max_ms > 0)
		s->stop_ms = clock_mono_ms() + spec->max_ms;
	n = spec->route.len > 0 ? 1 : spec->vnodes != NULL ? spec->nvnodes : c->topo->vnodes;
	if (st == DORIS_OK)
	{
		vnodes = malloc(n * sizeof(*vnodes));
		if (vnodes == NULL)
			st = client_no_memory(err);
	}
	if (st == DORIS_OK)
	{
		DorisBytes none = {NULL, 0};
		uint32_t no_bad[DORIS_MAX_GROUPS] = {0};
		uint32_t i;

		for (i = 0; i < n; i++)
			vnodes[i] = spec->vnodes != NULL ? spec->vnodes[i] : i;
		if (spec->route.len > 0)
			vnodes[0] = route_vnode(spec->route, c->topo->vnodes);
		st = streams_make(s, vnodes, n, false, none, no_bad, 0, err);
	}
	free(vnodes);
	if (st != DORIS_OK)
	{
		doris_scan_close(s);
		return st;
	}
	*out = s;
	return DORIS_OK;
}

/* The next row in no order; NOT_FOUND: there is none. */
static DorisStatus any_next(DorisScan *s, DorisRow *row, DorisError *err)
{
	for (;;)
	{
		Stream *stream;
		DorisStatus st;

		if (s->pages != NULL && page_peek(s->pages))
		{
			page_give(s, s->pages, row);
			return DORIS_OK;
		}
		if (s->pages != NULL)
			page_remove(s, s->pages);
		for (stream = s->streams; stream != NULL; stream = stream->next)
			stream->needed = true;
		if (s->stop_ms != 0 && clock_mono_ms() >= s->stop_ms)
			return doris_error(err, DORIS_TIMEOUT, "the scan takes longer than it may");
		st = scan_more(s, err);
		if (st != DORIS_OK)
			return st;
	}
}

DorisStatus doris_scan_next(DorisScan *s, DorisRow *row, DorisError *err)
{
	if (s->failed)
		return doris_error(err, DORIS_INTERNAL, "the scan has failed before");
	return s->spec.order == DORIS_ANY_ORDER ? any_next(s, row, err) : order_next(s, row, err);
}

uint64_t doris_scan_passed(const DorisScan *s)
{
	return s->passed;
}

void doris_scan_close(DorisScan *s)
{
	if (s == NULL)
		return;
	while (s->pages != NULL)
		page_remove(s, s->pages);
	while (s->streams != NULL)
		stream_remove(s, s->streams);
	filter_free(s->filter);
	groups_close(s);
	arena_free(&s->arena);
	free(s);
}
