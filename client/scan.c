/*
 * scan.c: all rows of a namespace, from all nodes at once.
 *
 * A stream reads some vnodes from one node, page by page; while the rows of a page are handed out, the next is already
 * under way. Nothing is kept on the nodes: a page ends with a token, from which the same or another complete copy goes on
 * (I2), so that every key comes once though nodes fail and vnodes move. Rows with a staged write are settled by *meet*,
 * a page's at a time, and only then filtered and projected, here.
 */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "filter.h"
#include "row.h"

#define SCAN_PAUSE_MAX_MS 200

/* Some vnodes read from one node. */
typedef struct Stream
{
	struct Stream *next;
	uint32_t node;
	Peer *peer;
	uint32_t *vnodes; /* rising; those before `first` are done */
	uint32_t n;
	uint32_t first;
	bool resume; /* go on behind resume_key of vnodes[first] */
	DorisBuf resume_key;
	uint32_t bad[DORIS_MAX_GROUPS]; /* nodes that failed these vnodes */
	uint32_t nbad;
	Call call; /* the next page */
	uint64_t slice;
} Stream;

/* A page being handed out. */
typedef struct Page
{
	DorisBytes raw; /* the reply's memory */
	DorisBuf scratch;
	ScanReply reply;
	bool *skip;	 /* by row: not to be handed out; NULL: none */
	Arena arena; /* settled rows */
	uint32_t at;
} Page;

struct DorisScan
{
	DorisClient *c;
	const NsDef *ns;
	DorisScanSpec spec; /* its bytes are in the arena */
	Arena arena;
	Filter *filter;
	Stream *streams;
	Page page;
	bool has_page;
	uint64_t counted;
	bool failed; /* an error was returned: only closing is left */
	int pause_ms;
};

static void page_free(DorisScan *s)
{
	Page *p = &s->page;

	if (!s->has_page)
		return;
	scan_reply_free(&p->reply);
	channel_free_reply(&p->raw);
	buf_free(&p->scratch);
	free(p->skip);
	arena_free(&p->arena);
	memset(p, 0, sizeof(*p));
	s->has_page = false;
}

static void stream_free(DorisScan *s, Stream *st)
{
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

static void stream_ask(DorisScan *s, Stream *st)
{
	DorisClient *c = s->c;
	ScanRequest req = {.ns = s->ns->id,
					   .def_version = s->ns->version,
					   .nvnodes = st->n - st->first,
					   .vnodes = st->vnodes + st->first,
					   .low = s->spec.low,
					   .high = s->spec.high,
					   .filter = s->spec.filter,
					   .all_columns = s->spec.columns == NULL,
					   .count_only = s->spec.count_only,
					   .ncolumns = s->spec.columns == NULL ? 0 : s->spec.ncolumns,
					   .columns = (uint16_t *) (uintptr_t) s->spec.columns,
					   .max_rows = s->spec.fetch_rows,
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
	call_start(c, &st->call, st->peer, MSG_SCAN, c->topo, st->slice);
}

/* ---- which vnode is read from whom ---- */

/* The copy to read from: not one that failed, rather not one that is suspected. NULL: none is left. */
static const TopoNode *vnode_reader(DorisScan *s, uint32_t vnode, const uint32_t *bad,
									uint32_t nbad, bool *none)
{
	const TopoNode *readers[DORIS_MAX_GROUPS];
	int n = topology_readers(s->c->topo, vnode, s->c->read_group, readers);
	const TopoNode *suspect = NULL;
	uint64_t now = clock_mono_ms();
	int i;

	*none = n == 0;
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
				suspect = readers[i];
			continue;
		}
		return readers[i];
	}
	return suspect;
}

/*
 * Spreads vnodes (rising) over streams, one for each node; the first goes on from the token. EXHAUSTED (NOT_FOUND): all copies
 * of some vnode have failed: nothing was made.
 */
static DorisStatus streams_make(DorisScan *s, const uint32_t *vnodes, uint32_t n, bool resume,
								DorisBytes resume_key, const uint32_t *bad, uint32_t nbad,
								DorisError *err)
{
	Stream *made = NULL;
	uint32_t i;
	DorisStatus status = DORIS_OK;

	for (i = 0; i < n && status == DORIS_OK; i++)
	{
		bool none;
		const TopoNode *node = vnode_reader(s, vnodes[i], bad, nbad, &none);
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
		for (st = made; st != NULL && st->node != node->id; st = st->next)
			;
		if (st == NULL)
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
		if (i == 0 && resume)
		{
			st->resume = true;
			buf_put_raw(&st->resume_key, resume_key.data, resume_key.len);
			if (st->resume_key.failed)
				status = client_no_memory(err);
		}
		st->vnodes[st->n++] = vnodes[i];
	}
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
		stream_ask(s, st);
	}
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
		st->peer->count.failovers++;
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

/* ---- staged rows of a page ---- */

/* Puts the answer in the row's place, filtered and projected. */
static DorisStatus page_put(DorisScan *s, uint32_t i, bool found, DorisVersion version,
							DorisBytes value, DorisError *err)
{
	Page *p = &s->page;
	RowState *r = &p->reply.rows[i];

	r->nstaged = 0;
	r->present = found;
	r->version = version;
	if (!found || !filter_pass(s->filter, s->ns, r->key, value))
	{
		p->skip[i] = true;
		return DORIS_OK;
	}
	if (s->spec.count_only)
	{
		p->skip[i] = true;
		s->counted++;
		return DORIS_OK;
	}
	r->value = value;
	if (s->spec.columns != NULL && value.len > 0)
	{
		DorisBuf out;
		bool good;

		buf_init(&out);
		good = row_project(value, s->spec.columns, s->spec.ncolumns, &out) && !out.failed &&
			   arena_copy(&p->arena, (DorisBytes){out.data, out.len}, &r->value);
		buf_free(&out);
		if (!good)
			return doris_error(err, DORIS_IO,
							   "the value at key %s of namespace \"%s\" does not decode",
							   key_text(r->key), s->ns->name);
	}
	return DORIS_OK;
}

static DorisStatus page_settle(DorisScan *s, Topology *t, uint32_t node, uint32_t nstaged,
							   DorisError *err)
{
	static const Projection whole = {.all_columns = true};
	DorisClient *c = s->c;
	Page *p = &s->page;
	MeetRow *rows = calloc(nstaged, sizeof(*rows));
	uint32_t *which = calloc(nstaged, sizeof(*which));
	GetKey *keys = calloc(nstaged, sizeof(*keys));
	uint32_t nkeys = 0;
	uint32_t n = 0;
	uint32_t i;
	DorisStatus st;
	DorisError why;

	p->skip = calloc(p->reply.nrows, sizeof(bool));
	if (rows == NULL || which == NULL || keys == NULL || p->skip == NULL)
	{
		st = client_no_memory(err);
		goto done;
	}
	for (i = 0; i < p->reply.nrows; i++)
	{
		RowState *r = &p->reply.rows[i];

		if (r->nstaged == 0)
			continue;
		clock_observe(&c->clock, r->staged.version.clock);
		rows[n] = (MeetRow){.at = {.space = DORIS_SPACE_ROWS,
								   .ns = s->ns->id,
								   .vnode = p->reply.vnodes[i],
								   .key = r->key},
							.node = node,
							.row = *r};
		which[n++] = i;
	}
	st = meet_rows(c, t, rows, n, &whole, &p->arena, c->until, &why);
	if (st != DORIS_OK)
		*err = why;
	for (i = 0; i < n && st == DORIS_OK; i++)
	{
		if (rows[i].outcome != TXN_OPEN)
		{
			st = page_put(s, which[i], rows[i].found, rows[i].version, rows[i].value, err);
			continue;
		}
		/* who knows could not be asked: read the row again, until the deadline */
		keys[nkeys].at = rows[i].at;
		if (!nsdef_route_key(s->ns, rows[i].at.key, &keys[nkeys].route))
			st = doris_error(err, DORIS_IO, "key %s does not fit namespace \"%s\"",
							 key_text(rows[i].at.key), s->ns->name);
		which[nkeys++] = which[i];
	}
	if (st == DORIS_OK && nkeys > 0)
		st = get_keys(c, keys, nkeys, &whole, &p->arena, c->until, err);
	for (i = 0; i < nkeys && st == DORIS_OK; i++)
		st = page_put(s, which[i], keys[i].found, keys[i].version, keys[i].value, err);
done:
	free(rows);
	free(which);
	free(keys);
	return st;
}

/* ---- pages ---- */

/* Moves the stream behind the page. False: the token makes no sense. */
static bool stream_advance(Stream *st, const ScanReply *reply)
{
	if (reply->done)
	{
		st->first = st->n;
		return true;
	}
	while (st->first < st->n && st->vnodes[st->first] != reply->next_vnode)
		st->first++;
	st->resume = true;
	buf_reset(&st->resume_key);
	buf_put_raw(&st->resume_key, reply->next_key.data, reply->next_key.len);
	return st->first < st->n && !st->resume_key.failed;
}

/* Rule lease: are the vnodes of the page still to be read where it came from? */
static DorisStatus page_confirm(DorisScan *s, const Stream *st, DorisError *err)
{
	const ScanReply *reply = &s->page.reply;
	uint32_t end = st->first;

	while (end < st->n && (reply->done || st->vnodes[end] != reply->next_vnode))
		end++;
	if (end < st->n)
		end++;
	return lease_confirm(s->c, st->call.topo, st->node, st->vnodes + st->first, end - st->first,
						 s->c->until, err);
}

/* Takes an answered stream's page and asks for the next one. */
static DorisStatus page_take(DorisScan *s, Stream *st, DorisError *err)
{
	DorisClient *c = s->c;
	Page *p = &s->page;
	Topology *t;
	uint32_t node = st->node;
	uint32_t nstaged = 0;
	uint32_t i;
	DorisStatus status = st->call.status;

	if (status == DORIS_OK)
		status = scan_reply_decode(&st->call.reply, &p->reply, &st->call.err);
	if (status == DORIS_OK && !st->call.leased)
	{
		status = page_confirm(s, st, &st->call.err);
		if (status != DORIS_OK)
			scan_reply_free(&p->reply);
	}
	if (status != DORIS_OK)
	{
		*err = st->call.err;
		call_abandon(c, &st->call);
		return stream_failed(s, st, status, err);
	}
	/* the reply's memory is the page's now */
	s->has_page = true;
	p->raw = st->call.raw;
	p->scratch = st->call.scratch;
	st->call.raw = (DorisBytes){NULL, 0};
	buf_init(&st->call.scratch);
	t = topology_ref(st->call.topo);
	call_abandon(c, &st->call);
	st->peer->count.rows += p->reply.nrows;
	s->counted += p->reply.counted;
	s->pause_ms = 5;
	st->nbad = 0;
	for (i = 0; i < p->reply.nrows; i++)
	{
		clock_observe(&c->clock, p->reply.rows[i].version.clock);
		nstaged += p->reply.rows[i].nstaged > 0;
	}
	if (!stream_advance(st, &p->reply))
		status =
			doris_error(err, DORIS_BAD_MESSAGE, "%s sent a resume token that was not asked for",
						peer_name(c, st->peer));
	else if (nstaged > 0)
		status = page_settle(s, t, node, nstaged, err);
	if (status == DORIS_OK && st->first == st->n)
		stream_remove(s, st);
	else if (status == DORIS_OK)
		stream_ask(s, st); /* one page ahead */
	topology_unref(t);
	return status;
}

/* The next page of any stream; NOT_FOUND: there is none. */
static DorisStatus scan_page(DorisScan *s, DorisError *err)
{
	DorisClient *c = s->c;
	Stream *st;
	uint64_t began;

	page_free(s);
	if (s->streams == NULL)
		return DORIS_NOT_FOUND;
	began = clock_mono_ms();
	/* replies may have been waiting while nobody looked: the slices count from now */
	for (st = s->streams; st != NULL; st = st->next)
		st->slice = began + CLIENT_SCAN_SLICE_MS;
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

/* page_take may also have failed over without a page: DORIS_OK and no page. */
static DorisStatus scan_more(DorisScan *s, DorisError *err)
{
	DorisStatus st;

	client_begin(s->c);
	do
		st = scan_page(s, err);
	while (st == DORIS_OK && !s->has_page);
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
		!arena_copy(&s->arena, columns, &columns))
		st = client_no_memory(err);
	if (spec->columns != NULL)
		s->spec.columns = (const uint16_t *) (const void *) columns.data;
	if (st == DORIS_OK)
		st = filter_decode(s->spec.filter, s->ns, &s->filter, err);
	n = spec->route.len > 0 ? 1 : c->topo->vnodes;
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
			vnodes[i] = i;
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

DorisStatus doris_scan_next(DorisScan *s, DorisRow *row, DorisError *err)
{
	DorisStatus st;

	if (s->failed)
		return doris_error(err, DORIS_INTERNAL, "the scan has failed before");
	for (;;)
	{
		Page *p = &s->page;

		while (s->has_page && p->at < p->reply.nrows)
		{
			const RowState *r = &p->reply.rows[p->at];

			if (p->skip != NULL && p->skip[p->at])
			{
				p->at++;
				continue;
			}
			p->at++;
			*row =
				(DorisRow){.found = true, .key = r->key, .version = r->version, .value = r->value};
			return DORIS_OK;
		}
		st = scan_more(s, err);
		if (st != DORIS_OK)
			return st;
	}
}

DorisStatus doris_scan_count(DorisScan *s, uint64_t *count, DorisError *err)
{
	DorisStatus st;
	DorisRow row;

	*count = 0;
	if (s->failed)
		return doris_error(err, DORIS_INTERNAL, "the scan has failed before");
	if (!s->spec.count_only)
	{
		while ((st = doris_scan_next(s, &row, err)) == DORIS_OK)
			(*count)++;
		return st == DORIS_NOT_FOUND ? DORIS_OK : st;
	}
	do
		st = scan_more(s, err);
	while (st == DORIS_OK);
	*count = s->counted;
	return st == DORIS_NOT_FOUND ? DORIS_OK : st;
}

void doris_scan_close(DorisScan *s)
{
	if (s == NULL)
		return;
	page_free(s);
	while (s->streams != NULL)
		stream_remove(s, s->streams);
	filter_free(s->filter);
	arena_free(&s->arena);
	free(s);
}
