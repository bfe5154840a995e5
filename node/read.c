/*
 * read.c: GET: rows by key, as this copy has them, staged writes marked.
 *
 * A filter passes over committed rows only: what is staged may be committed already, which the asker has to find out (rule
 * *meet*), so such a row goes out whole and is judged there.
 *
 * Only complete copies serve (I2). The caller holds the epoch lock for reading (I3).
 */
#include "node.h"

#include <string.h>

#include "filter.h"
#include "row.h"

#define MAX_REPLY (16u << 20) /* whatever the asker allows; one row may be bigger */
#define MANY_KEYS \
	8 /* from here on one snapshot for all costs less than one, and a copy of the value, for each */

typedef struct Get
{
	Worker *w;
	const GetRequest *m;
	Filter *filter; /* of def's rows; NULL: all pass */
	const NsDef *def;
	uint64_t now_ms;
	DorisBuf *reply;
} Get;

static DorisStatus project(const Get *g, const KeyRef *at, DorisBytes *value, DorisBuf *into,
						   DorisError *err)
{
	const GetRequest *m = g->m;

	if (m->no_values)
	{
		value->data = NULL;
		value->len = 0;
		return DORIS_OK;
	}
	if (m->all_columns || at->space == DORIS_SPACE_DECISIONS || value->len == 0)
		return DORIS_OK;
	buf_reset(into);
	if (!row_project(*value, m->columns, m->ncolumns, into))
		return doris_error(err, DORIS_IO, "%s: a value of namespace %u in vnode %u does not decode",
						   node_name(g->w->node), at->ns, at->vnode);
	value->data = into->data;
	value->len = into->len;
	return DORIS_OK;
}

static DorisStatus read_row(Get *g, const KeyRef *at, DorisError *err)
{
	Worker *w = g->w;
	Record *r = &w->row;
	RowState row;
	DorisBytes key;
	DorisStatus st;

	buf_reset(&w->key);
	record_key(&w->key, at->space, at->ns, at->key);
	if (w->key.failed)
		return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory reading", node_name(w->node));
	key.data = w->key.data;
	key.len = w->key.len;
	st = rows_load(w, at->vnode, key, r, err);
	if (st != DORIS_OK)
		return st;
	commit_need_vnode(w, at->vnode);
	memset(&row, 0, sizeof(row));
	row.present = record_is_live(r);
	row.version = r->version;
	row.value = r->value;
	row.nstaged = r->nstaged;
	if (row.nstaged > 0)
	{
		rows_staged_info(&r->staged[0], g->now_ms, &row.staged);
		row.staged.value = r->staged[0].value;
	}
	else if (row.present && !filter_pass(g->filter, g->def, at->key, row.value))
	{
		row.present = false;
		row.value = (DorisBytes){NULL, 0};
	}
	if (row.nstaged == 0 || g->filter == NULL)
		st = project(g, at, &row.value, &w->projected[0], err);
	if (st == DORIS_OK && row.nstaged > 0 && g->filter == NULL)
		st = project(g, at, &row.staged.value, &w->projected[1], err);
	if (st == DORIS_OK)
		row_state_encode(g->reply, &row);
	return st;
}

/* def: of the rows' namespace; a filter is for rows of one. */
static DorisStatus check_request(Get *g, uint64_t epoch, DorisError *err)
{
	Worker *w = g->w;
	const GetRequest *m = g->m;
	Node *n = w->node;
	DorisStatus st = epoch_admit(n, epoch, err);
	uint32_t known_ns = 0;

	for (uint32_t i = 0; st == DORIS_OK && i < m->nkeys; i++)
	{
		const KeyRef *at = &m->keys[i];

		st = rows_check(n, at, 0, err);
		if (st == DORIS_OK)
			st = epoch_check(n, epoch, at->vnode, PLACE_JUDGE, err);
		if (st == DORIS_OK && at->space == DORIS_SPACE_ROWS && at->ns != known_ns)
		{
			st = epoch_namespace(n, at->ns, &g->def, err);
			known_ns = at->ns;
		}
		if (st == DORIS_OK)
			st = tables_need(w, at->vnode, err);
		if (st == DORIS_OK && m->filter.len > 0 &&
			(at->space != DORIS_SPACE_ROWS || at->ns != m->keys[0].ns))
			st = doris_error(err, DORIS_BAD_MESSAGE, "get: a filter for keys of several kinds");
	}
	if (st == DORIS_OK && g->def != NULL)
		st = filter_decode(m->filter, g->def, &g->filter, err);
	return st;
}

DorisStatus read_execute(Worker *w, uint64_t epoch, const GetRequest *m, DorisBuf *reply,
						 DorisError *err)
{
	Get g = {.w = w, .m = m, .now_ms = clock_wall_ms(), .reply = reply};
	Node *n = w->node;
	DorisStatus st = check_request(&g, epoch, err);
	size_t start = reply->len;
	size_t limit = m->max_bytes == 0 ? DORIS_BATCH_BYTES : m->max_bytes;
	bool many = m->nkeys >= MANY_KEYS;
	uint32_t nrows = 0;

	if (st != DORIS_OK)
		return st;
	if (limit > MAX_REPLY)
		limit = MAX_REPLY;
	buf_put_u32(reply, 0);
	if (many)
	{
		locks_clear(w);
		st = commit_begin(w, err);
	}
	while (st == DORIS_OK && nrows < m->nkeys && (nrows == 0 || reply->len - start < limit))
		st = read_row(&g, &m->keys[nrows++], err);
	if (many)
		commit_abandon(w);
	filter_free(g.filter);
	if (st != DORIS_OK)
		return st;
	if (reply->failed)
		return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory reading", node_name(n));
	buf_set_u32(reply, start, nrows);
	node_count(n, COUNT_ROWS_READ, nrows);
	return DORIS_OK;
}
