/*
 * source.c: asking a node with complete copies (source.h).
 */
#include "source.h"

#include <stdio.h>
#include <string.h>

#define REQUEST_MS 5000
#define PAUSE_MS 100 /* after the first error; doubled with each up to 64 times that */
#define MAX_PAUSES 6

void source_init(Source *s, Worker *w, const TopoNode *node)
{
	char what[DORIS_NAME_MAX + 8];

	memset(s, 0, sizeof(*s));
	s->node = w->node;
	s->w = w;
	s->id = node->id;
	(void) snprintf(what, sizeof(what), "node %s", node->name);
	ask_init(&s->pages[0], w->node, what, node->address);
	ask_init(&s->pages[1], w->node, what, node->address);
	ask_init(&s->quick, w->node, what, node->address);
}

void source_free(Source *s)
{
	ask_free(&s->pages[0]);
	ask_free(&s->pages[1]);
	ask_free(&s->quick);
}

bool source_is_down(DorisStatus st)
{
	return st == DORIS_UNREACHABLE || st == DORIS_TIMEOUT || st == DORIS_UNAVAILABLE ||
		   st == DORIS_CANCELLED || st == DORIS_DENIED || st == DORIS_BEHIND;
}

void source_failed(Source *s)
{
	uint32_t doublings = s->failures < MAX_PAUSES ? s->failures : MAX_PAUSES;

	s->failures++;
	s->not_before = clock_mono_ms() + ((uint64_t) PAUSE_MS << doublings);
	ask_close(&s->pages[0]);
	ask_close(&s->pages[1]);
	ask_close(&s->quick);
}

void source_worked(Source *s)
{
	s->failures = 0;
	s->not_before = 0;
}

/* The source has a newer topology: the vnodes of this one may have changed in it. */
static void catch_up(Source *s)
{
	TopologyGet get = {.have_epoch = atomic_load(&s->node->epoch)};
	DorisBuf b;
	DorisCursor c;
	DorisBytes body;
	DorisError err;
	DorisStatus st;

	buf_init(&b);
	topology_get_encode(&b, &get);
	body.data = b.data;
	body.len = b.len;
	st = b.failed ? DORIS_NO_MEMORY
				  : ask_wait(&s->quick, MSG_TOPOLOGY_GET, body, REQUEST_MS, &c, &err);
	if (st == DORIS_OK)
	{
		DorisBytes topology = cursor_bytes(&c);

		if (!c.bad && topology.len > 0 && epoch_take(s->w, topology, &err) != DORIS_OK)
			log_line(LOG_WARNING, "taking the topology of %s: %s", s->quick.who, err.message);
	}
	buf_free(&b);
}

static bool is_ahead(const Source *s, const Ask *a)
{
	return a->epoch > atomic_load(&s->node->epoch);
}

DorisStatus source_quick(Source *s, uint16_t type, DorisBytes body, DorisCursor *out,
						 DorisError *err)
{
	DorisStatus st = ask_node(&s->quick, type, body, REQUEST_MS, out, err);

	/* an answer is good as it is; an error may be explained by the newer topology */
	if ((st == DORIS_STALE_EPOCH || st == DORIS_NOT_OWNER) && is_ahead(s, &s->quick))
	{
		DorisError kept = *err;

		catch_up(s);
		*err = kept;
	}
	return st;
}

DorisStatus source_digests(Source *s, const uint32_t *vnodes, uint32_t n, SourceSum *out,
						   uint32_t *got, DorisError *err)
{
	PullRequest m = {.what = PULL_DIGEST, .vnode = vnodes[0]};
	DorisBuf more;
	DorisBuf body;
	DorisCursor c;
	DorisStatus st;

	*got = 0;
	buf_init(&more);
	buf_init(&body);
	for (uint32_t i = 1; i < n; i++)
		buf_put_u32(&more, vnodes[i]);
	m.low.data = more.data;
	m.low.len = more.len;
	pull_request_encode(&body, &m);
	if (more.failed || body.failed)
		st = doris_error(err, DORIS_NO_MEMORY, "asking for digests: out of memory");
	else
	{
		DorisBytes bytes = {body.data, body.len};

		st = source_quick(s, MSG_PULL, bytes, &c, err);
	}
	if (st == DORIS_OK)
	{
		*got = cursor_u32(&c);
		for (uint32_t i = 0; i < *got && i < n; i++)
		{
			out[i].kept.digest = cursor_u64(&c);
			out[i].kept.records = cursor_u64(&c);
			out[i].kept.staged = cursor_u64(&c);
			out[i].fence = cursor_u64(&c);
			out[i].purged = cursor_u64(&c);
		}
		if (*got == 0 || *got > n || !cursor_at_end(&c))
			st = doris_error(err, DORIS_BAD_MESSAGE, "%s answers with odd digests", s->quick.who);
	}
	buf_free(&more);
	buf_free(&body);
	return st;
}

DorisStatus source_ask_page(Source *s, const PullRequest *m, DorisError *err)
{
	DorisBuf body;
	DorisStatus st;

	buf_init(&body);
	pull_request_encode(&body, m);
	if (body.failed)
		st = doris_error(err, DORIS_NO_MEMORY, "asking for a page: out of memory");
	else
	{
		DorisBytes bytes = {body.data, body.len};

		s->turn ^= 1;
		st = ask_begin(&s->pages[s->turn], MSG_PULL, bytes, REQUEST_MS, err);
	}
	buf_free(&body);
	return st;
}

/* Reads over the page's items to what stands behind them. */
DorisStatus source_read_page(const Source *s, const PullRequest *m, DorisCursor c, SourcePage *out,
							 DorisError *err)
{
	out->bytes = cursor_left(&c);
	out->n = cursor_u32(&c);
	out->items = c;
	for (uint32_t i = 0; i < out->n && !c.bad; i++)
	{
		switch (m->what)
		{
			case PULL_RANGES:
				(void) cursor_bytes(&c);
				(void) cursor_u64(&c);
				(void) cursor_varint(&c);
				break;
			case PULL_MEMORY:
				(void) cursor_raw(&c, DORIS_TXNID_SIZE);
				break;
			default:
				(void) cursor_bytes(&c);
				(void) cursor_bytes(&c);
				break;
		}
	}
	out->done = cursor_u8(&c) != 0;
	out->next = cursor_bytes(&c);
	/* a page that does not go on would be asked for for ever */
	if (!cursor_at_end(&c) ||
		(!out->done && (out->next.len == 0 || bytes_compare(out->next, m->low) <= 0)))
		return doris_error(err, DORIS_BAD_MESSAGE, "%s answers with an odd page", s->quick.who);
	return DORIS_OK;
}

DorisStatus source_page(Source *s, const PullRequest *m, SourcePage *out, DorisError *err)
{
	Ask *a = &s->pages[s->turn];
	DorisCursor c;
	DorisStatus st;

	while (!ask_look(a, REQUEST_MS, &st, &c, err))
		;
	/* the slow way, once: it hands the topology on, or takes the source's */
	if (st == DORIS_BEHIND ||
		((st == DORIS_STALE_EPOCH || st == DORIS_NOT_OWNER) && is_ahead(s, a)))
	{
		DorisBuf body;
		DorisError kept = *err;

		if (st != DORIS_BEHIND)
		{
			catch_up(s);
			*err = kept;
			return st;
		}
		buf_init(&body);
		pull_request_encode(&body, m);
		if (!body.failed)
		{
			DorisBytes bytes = {body.data, body.len};

			st = ask_node(a, MSG_PULL, bytes, REQUEST_MS, &c, err);
		}
		buf_free(&body);
	}
	return st == DORIS_OK ? source_read_page(s, m, c, out, err) : st;
}
