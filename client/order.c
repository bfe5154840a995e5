/*
 * order.c: the rows of a scan's streams merged in the order of their keys, in either direction.
 *
 * Each stream's rows come in order, and its token says up to where it has been read: what is still to come from it lies
 * behind the token. So a row may be handed out when it comes first of all rows at hand and no stream's token is before
 * it. That needs nothing of the streams' past: when one fails, those that take its place begin behind its token, and its
 * last page stays where it is; so no row is lost or comes twice (I2).
 */
#include "scan.h"

int order_compare(const DorisScan *s, DorisBytes a, DorisBytes b)
{
	int c = bytes_compare(a, b);

	return s->spec.order == DORIS_KEY_ORDER_BACK ? -c : c;
}

bool order_holds(const DorisScan *s, const Stream *st, const ScanReply *reply)
{
	if (s->spec.order == DORIS_ANY_ORDER || reply->nrows == 0)
		return true;
	if (st->resume && order_compare(s, reply->rows[0].key, stream_token(st)) <= 0)
		return false;
	for (uint32_t i = 1; i < reply->nrows; i++)
		if (order_compare(s, reply->rows[i].key, reply->rows[i - 1].key) <= 0)
			return false;
	return reply->done || order_compare(s, reply->next_key, reply->rows[reply->nrows - 1].key) >= 0;
}

/* The page whose row comes first; used up ones go. NULL: there is none. */
static Page *first_page(DorisScan *s)
{
	Page *first = NULL;
	Page *next;

	for (Page *p = s->pages; p != NULL; p = next)
	{
		const RowState *r = page_peek(p);

		next = p->next;
		if (r == NULL)
			page_remove(s, p);
		else if (first == NULL || order_compare(s, r->key, page_peek(first)->key) < 0)
			first = p;
	}
	return first;
}

/* Marks the streams that may have a row before this one (NULL: before the end). False: there are none. */
static bool need_streams(DorisScan *s, const RowState *row)
{
	bool any = false;

	for (Stream *st = s->streams; st != NULL; st = st->next)
	{
		st->needed = !st->resume || row == NULL || order_compare(s, stream_token(st), row->key) < 0;
		any = any || st->needed;
	}
	return any;
}

static void lower_bound(DorisScan *s, DorisBytes key)
{
	if (!s->has_bound || order_compare(s, key, s->bound) < 0)
		s->bound = key;
	s->has_bound = true;
}

/* Up to where the page's rows come one after the other without another look at the others. */
static void set_current(DorisScan *s, Page *page)
{
	s->current = page;
	s->has_bound = false;
	for (Page *p = s->pages; p != NULL; p = p->next)
		if (p != page)
			lower_bound(s, page_peek(p)->key);
	for (const Stream *st = s->streams; st != NULL; st = st->next)
		lower_bound(s, stream_token(st));
}

DorisStatus order_next(DorisScan *s, DorisRow *row, DorisError *err)
{
	for (;;)
	{
		const RowState *r = s->current != NULL ? page_peek(s->current) : NULL;
		Page *page;
		DorisStatus st;

		if (r != NULL && (!s->has_bound || order_compare(s, r->key, s->bound) <= 0))
		{
			page_give(s, s->current, row);
			return DORIS_OK;
		}
		page = first_page(s);
		if (!need_streams(s, page != NULL ? page_peek(page) : NULL))
		{
			if (page == NULL)
				return DORIS_NOT_FOUND;
			set_current(s, page);
			continue;
		}
		s->current = NULL;
		st = scan_more(s, err);
		if (st != DORIS_OK)
			return st;
	}
}
