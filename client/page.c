/*
 * page.c: one reply of a scan: rows with a staged write are settled by *meet*, a page's at a time, and only then filtered
 * and projected, here; then the rows are handed out.
 */
#include <stdlib.h>

#include "scan.h"

/* Puts the answer in the row's place, filtered and projected. */
static DorisStatus page_put(DorisScan *s, Page *p, uint32_t i, bool found, DorisVersion version,
							DorisBytes value, DorisError *err)
{
	RowState *r = &p->reply.rows[i];

	r->nstaged = 0;
	r->present = found;
	r->version = version;
	if (!found || !filter_pass(s->filter, s->ns, r->key, value))
	{
		p->skip[i] = true;
		return DORIS_OK;
	}
	s->passed++;
	if (s->groups != NULL)
	{
		p->skip[i] = true;
		return aggregate_row(s->groups, r->key, value, err);
	}
	r->value = value;
	if (s->spec.columns == NULL)
		return DORIS_OK;
	return value_project(&p->arena, r->key, value, s->spec.columns, s->spec.ncolumns, &r->value,
						 err);
}

DorisStatus page_settle(DorisScan *s, Page *p, Topology *t, uint32_t node, uint32_t nstaged,
						DorisError *err)
{
	static const Projection whole = {.all_columns = true};
	DorisClient *c = s->c;
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
			st = page_put(s, p, which[i], rows[i].found, rows[i].version, rows[i].value, err);
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
		st = page_put(s, p, which[i], keys[i].found, keys[i].version, keys[i].value, err);
done:
	free(rows);
	free(which);
	free(keys);
	return st;
}

const RowState *page_peek(Page *p)
{
	while (p->at < p->reply.nrows && p->skip != NULL && p->skip[p->at])
		p->at++;
	return p->at < p->reply.nrows ? &p->reply.rows[p->at] : NULL;
}

void page_give(DorisScan *s, Page *p, DorisRow *row)
{
	const RowState *r = &p->reply.rows[p->at++];

	*row = (DorisRow){.found = true, .key = r->key, .version = r->version, .value = r->value};
	s->given++;
	if (p->stream != NULL && p->at >= p->ask_at)
		stream_ask(s, p->stream);
}

void page_remove(DorisScan *s, Page *p)
{
	Page **at;

	for (at = &s->pages; *at != p; at = &(*at)->next)
		;
	*at = p->next;
	if (p->stream != NULL)
		p->stream->after = NULL;
	if (s->current == p)
		s->current = NULL;
	scan_reply_free(&p->reply);
	channel_free_reply(&p->raw);
	buf_free(&p->scratch);
	free(p->skip);
	arena_free(&p->arena);
	free(p);
}
