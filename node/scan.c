/*
 * scan.c: SCAN: one page of a namespace's rows in some vnodes, from a resume token on.
 *
 * Vnode after vnode, or in the order of the keys over all of them (ordered.c). Nothing is kept between pages. A page ends at its limits of rows and bytes, or after MAX_MS of
 * looking, so that a filter that nothing passes cannot hold the worker (I6). Only complete copies serve (I2). The
 * caller holds the epoch lock for reading (I3).
 *
 * Rows that are to be aggregated are added to the page's own groups, which go out with its token: whoever takes both or
 * neither has every row once. A page also ends when its groups are many.
 *
 * When all that is wanted is the number of a namespace's rows, a vnode that knows it tells it without being read (kept_rows.c).
 * That is what reading it at that moment would give, since what is kept changes under the vnode's lock together with the rows. In
 * particular no row of an acknowledged transaction is missed: a complete copy has it staged, and then the vnode has
 * staged writes, is read, and whoever asked meets the row and settles it (rule meet); or it is ended, and then it is in the number.
 * Staged writes of transactions that are open still have the vnode read likewise. Such a vnode is told whole, so no token
 * is in it; one that a token is in has been told in part, and is read on.
 */
#include "node.h"

#include <string.h>

#include "aggregate.h"
#include "filter.h"
#include "ordered.h"
#include "row.h"
#include "sample.h"

#define DEFAULT_ROWS 10000
#define MAX_ROWS 65536
#define MAX_BYTES (16u << 20)
#define MAX_MS 100
#define LOOK_AT_CLOCK 512 /* rows between two looks */

typedef struct ScanPage
{
	Worker *w;
	const ScanRequest *m;
	const NsDef *def;
	Filter *filter;
	AggregateProgram *aggregate;
	AggregateTable *groups; /* NULL: rows are sent */
	bool only_count;		/* all that is wanted is the number of the namespace's rows */
	DorisBuf *reply;
	size_t start;
	uint32_t max_rows;
	size_t max_bytes;
	uint64_t now_ms;
	uint64_t until_ms; /* monotonic */
	uint64_t passed;   /* of which a sample is taken */
	uint32_t nrows;
	uint64_t looked;
	uint32_t last_vnode; /* the token */
	DorisBuf last_key;
} ScanPage;

static DorisStatus send_row(ScanPage *p, uint32_t vnode, const RowState *row)
{
	buf_put_varint(p->reply, vnode);
	row_state_encode(p->reply, row);
	p->nrows++;
	return DORIS_OK;
}

static DorisStatus scan_row(ScanPage *p, uint32_t vnode, DorisBytes key, DorisError *err)
{
	const Record *r = &p->w->row;
	const ScanRequest *m = p->m;
	bool sampled = m->share == 0 || sample_takes(m->seed, m->share, key);
	RowState row;

	if (r->nstaged == 0 || !sampled)
	{
		if (!record_is_live(r) || !filter_pass(p->filter, p->def, key, r->value))
			return DORIS_OK;
		if (p->groups != NULL)
			return aggregate_row(p->groups, key, r->value, err);
		p->passed += m->share > 0;
		if (!sampled)
			return DORIS_OK;
	}
	memset(&row, 0, sizeof(row));
	row.key = key;
	row.present = record_is_live(r);
	row.version = r->version;
	row.value = r->value;
	row.nstaged = r->nstaged;
	if (r->nstaged > 0)
	{
		/* the asker settles it before it filters: so all columns, whether it passes or not */
		rows_staged_info(&r->staged[0], p->now_ms, &row.staged);
		row.staged.value = r->staged[0].value;
	}
	else if (!p->m->all_columns && r->value.len > 0)
	{
		DorisBuf *into = &p->w->projected[0];

		buf_reset(into);
		if (!row_project(r->value, p->m->columns, p->m->ncolumns, into))
			return doris_error(err, DORIS_IO,
							   "%s: a value of namespace %s in vnode %u does not decode",
							   node_name(p->w->node), p->def->name, vnode);
		row.value.data = into->data;
		row.value.len = into->len;
	}
	return send_row(p, vnode, &row);
}

static bool page_is_full(const ScanPage *p)
{
	return p->nrows >= p->max_rows || p->reply->len - p->start >= p->max_bytes ||
		   (p->groups != NULL && aggregate_exceeds(p->groups, DORIS_AGGREGATE_PAGE_GROUPS,
												   DORIS_AGGREGATE_PAGE_BYTES)) ||
		   (p->looked % LOOK_AT_CLOCK == 0 && clock_mono_ms() > p->until_ms);
}

/* The range of store keys to read; resumes: only what the token leaves of it. */
static bool range_of(const ScanPage *p, bool resumes, DorisBuf *low, DorisBuf *high)
{
	const ScanRequest *m = p->m;
	DorisBytes none = {NULL, 0};
	bool cut_low = resumes && !m->reverse && bytes_compare(m->resume_key, m->low) >= 0;
	bool cut_high =
		resumes && m->reverse && (m->high.len == 0 || bytes_compare(m->resume_key, m->high) < 0);

	buf_reset(low);
	buf_reset(high);
	record_key(low, DORIS_SPACE_ROWS, m->ns, cut_low ? m->resume_key : m->low);
	if (cut_low)
		buf_put_u8(low, 0); /* the first key after it */
	if (cut_high)
		record_key(high, DORIS_SPACE_ROWS, m->ns, m->resume_key);
	else if (m->high.len > 0)
		record_key(high, DORIS_SPACE_ROWS, m->ns, m->high);
	else if (m->ns == UINT32_MAX)
		buf_put_u8(high, DORIS_SPACE_ROWS + 1);
	else
		record_key(high, DORIS_SPACE_ROWS, m->ns + 1, none);
	return !low->failed && !high->failed;
}

/* *full: the page ends with this record. */
static DorisStatus scan_record(ScanPage *p, uint32_t vnode, DorisBytes key, DorisBytes value,
							   bool *full, DorisError *err)
{
	Worker *w = p->w;
	DorisBytes row_key = {key.data + 5, key.len - 5};
	DorisStatus st;

	if (key.len < 5 || !record_decode(value, &w->row))
		return doris_error(err, DORIS_IO, "%s: a record of vnode %u is damaged", node_name(w->node),
						   vnode);
	p->looked++;
	st = scan_row(p, vnode, row_key, err);
	if (st == DORIS_OK && page_is_full(p))
	{
		*full = true;
		p->last_vnode = vnode;
		buf_reset(&p->last_key);
		buf_put_raw(&p->last_key, row_key.data, row_key.len);
	}
	return st;
}

/* *full: the page ended within this vnode. */
static DorisStatus scan_vnode(ScanPage *p, uint32_t vnode, bool *full, DorisError *err)
{
	Worker *w = p->w;
	const StoreDriver *d = w->node->driver;
	DorisBuf *low = &w->key;
	DorisBuf *high = &w->index;
	DorisBytes key;
	DorisBytes value;
	StoreScan *sc;
	DorisStatus st;

	if (!range_of(p, p->m->resume && p->m->resume_vnode == vnode, low, high))
		return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory scanning", node_name(w->node));
	{
		DorisBytes from = {low->data, low->len};
		DorisBytes to = {high->data, high->len};

		if (bytes_compare(from, to) >= 0)
			return DORIS_OK;
		st = d->scan(w->ss, vnode, from, to, &sc, err);
	}
	if (st != DORIS_OK)
		return st;
	while (!*full && (st = d->next(sc, &key, &value, err)) == DORIS_OK)
	{
		st = scan_record(p, vnode, key, value, full, err);
		if (st != DORIS_OK)
			break;
	}
	d->scan_close(sc);
	commit_need_vnode(w, vnode);
	return st == DORIS_NOT_FOUND ? DORIS_OK : st;
}

/*
 * All vnodes at once, by their keys. The token is the last key looked at: all that come before it, in any of the vnodes, have
 * been looked at, so whoever goes on behind it, here or at other copies, meets every other key once.
 */
static DorisStatus scan_ordered(ScanPage *p, bool *full, DorisError *err)
{
	Worker *w = p->w;
	const ScanRequest *m = p->m;
	DorisBuf *low = &w->key;
	DorisBuf *high = &w->index;
	DorisBytes key;
	DorisBytes value;
	uint32_t vnode;
	Ordered *o;
	DorisStatus st;

	if (!range_of(p, m->resume, low, high))
		return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory scanning", node_name(w->node));
	{
		DorisBytes from = {low->data, low->len};
		DorisBytes to = {high->data, high->len};

		if (bytes_compare(from, to) >= 0)
			return DORIS_OK;
		st = ordered_open(w, m->vnodes, m->nvnodes, from, to, m->reverse, &o, err);
	}
	if (st != DORIS_OK)
		return st;
	while (!*full && (st = ordered_next(o, &vnode, &key, &value, err)) == DORIS_OK)
	{
		st = scan_record(p, vnode, key, value, full, err);
		if (st != DORIS_OK)
			break;
	}
	ordered_close(o);
	for (uint32_t i = 0; i < m->nvnodes; i++)
		commit_need_vnode(w, m->vnodes[i]);
	return st == DORIS_NOT_FOUND ? DORIS_OK : st;
}

static DorisStatus check_request(Worker *w, uint64_t epoch, const ScanRequest *m, const NsDef **def,
								 DorisError *err)
{
	Node *n = w->node;
	DorisStatus st = epoch_admit(n, epoch, err);
	bool found = !m->resume || m->ordered;

	if (st == DORIS_OK)
		st = epoch_namespace(n, m->ns, def, err);
	for (uint32_t i = 0; st == DORIS_OK && i < m->nvnodes; i++)
	{
		st = epoch_check(n, epoch, m->vnodes[i], PLACE_JUDGE, err);
		if (st == DORIS_OK)
			st = tables_need(w, m->vnodes[i], err);
		if (st == DORIS_OK && i > 0 && m->vnodes[i] <= m->vnodes[i - 1])
			st = doris_error(err, DORIS_BAD_MESSAGE, "scan: the vnodes do not rise");
		found = found || m->vnodes[i] == m->resume_vnode;
	}
	if (st == DORIS_OK && !found)
		st = doris_error(err, DORIS_BAD_MESSAGE,
						 "scan: the resume token's vnode %u is not asked for", m->resume_vnode);
	return st;
}

/* The filter and the aggregates of the request. */
static DorisStatus take_programs(ScanPage *p, DorisError *err)
{
	const ScanRequest *m = p->m;
	DorisStatus st = filter_decode(m->filter, p->def, &p->filter, err);

	if (st != DORIS_OK || m->aggregate.len == 0)
		return st;
	st = aggregate_decode(m->aggregate, p->def, &p->aggregate, err);
	if (st != DORIS_OK)
		return st;
	p->groups = aggregate_table_create(p->aggregate);
	if (p->groups == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory scanning",
						   node_name(p->w->node));
	p->only_count = aggregate_only_counts(p->aggregate) && p->filter == NULL && m->share == 0 &&
					m->low.len == 0 && m->high.len == 0 && !m->ordered;
	return DORIS_OK;
}

/* The vnode's rows have been added without reading it. */
static bool is_counted(ScanPage *p, uint32_t vnode)
{
	const ScanRequest *m = p->m;
	uint64_t rows;

	if (!p->only_count || (m->resume && m->resume_vnode == vnode) ||
		!kept_rows_read(p->w, vnode, m->ns, &rows))
		return false;
	aggregate_add_rows(p->groups, rows);
	return true;
}

static DorisStatus end_page(ScanPage *p, bool full, DorisError *err)
{
	DorisBytes last_key = {p->last_key.data, p->last_key.len};
	DorisStatus st = DORIS_OK;
	DorisBuf groups;

	buf_init(&groups);
	if (p->groups != NULL)
		aggregate_encode(p->groups, &groups);
	buf_set_u32(p->reply, p->start, p->nrows);
	scan_reply_encode_end(p->reply, (DorisBytes){groups.data, groups.len}, p->passed, !full,
						  p->last_vnode, last_key);
	if (p->reply->failed || groups.failed || p->last_key.failed)
		st = doris_error(err, DORIS_NO_MEMORY, "%s: out of memory scanning", node_name(p->w->node));
	buf_free(&groups);
	return st;
}

DorisStatus scan_execute(Worker *w, uint64_t epoch, const ScanRequest *m, DorisBuf *reply,
						 DorisError *err)
{
	ScanPage p = {.w = w, .m = m, .reply = reply, .start = reply->len};
	bool full = false;
	DorisStatus st = check_request(w, epoch, m, &p.def, err);

	if (st == DORIS_OK)
		st = take_programs(&p, err);
	p.max_rows = m->max_rows == 0 ? DEFAULT_ROWS : m->max_rows;
	if (p.max_rows > MAX_ROWS)
		p.max_rows = MAX_ROWS;
	p.max_bytes = m->max_bytes == 0 ? DORIS_BATCH_BYTES : m->max_bytes;
	if (p.max_bytes > MAX_BYTES)
		p.max_bytes = MAX_BYTES;
	p.now_ms = clock_wall_ms();
	p.until_ms = clock_mono_ms() + MAX_MS;
	buf_init(&p.last_key);
	if (st == DORIS_OK)
	{
		buf_put_u32(reply, 0);
		locks_clear(w);
		st = commit_begin(w, err); /* one snapshot for the page */
		if (st == DORIS_OK && m->ordered)
			st = scan_ordered(&p, &full, err);
		for (uint32_t i = 0; st == DORIS_OK && !m->ordered && !full && i < m->nvnodes; i++)
		{
			if (m->resume && m->vnodes[i] < m->resume_vnode)
				continue;
			if (!is_counted(&p, m->vnodes[i]))
				st = scan_vnode(&p, m->vnodes[i], &full, err);
		}
		commit_abandon(w);
	}
	if (st == DORIS_OK)
		st = end_page(&p, full, err);
	if (st == DORIS_OK)
		node_count(w->node, COUNT_ROWS_SCANNED, p.looked);
	filter_free(p.filter);
	aggregate_table_free(p.groups);
	aggregate_free(p.aggregate);
	buf_free(&p.last_key);
	return st;
}
