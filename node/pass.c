/*
 * pass.c: the pass: taking over what a complete copy has committed (rule complete, I2).
 *
 * Order matters. First the staged writes of the source: a transaction of an earlier epoch may be staged there and missing here, and its
 * FINISH may come between two looks at the source; held here, it is settled later. Then the sums: equal ones end it.
 * Else the sums of runs are compared and only records of runs that differ are pulled. The source's memory comes after the last pass: a
 * transaction that was staged when its row was looked at is held here, one that was committed then is remembered there
 * by now.
 *
 * Rule purge: an older disk may hold rows whose tombstones are gone everywhere. So before anything else the source's floor is taken
 * over, and what is committed here behind its `purged`, and not there, is dropped. The source's floor stands still meanwhile: it is
 * not raised while a copy is incomplete.
 */
#include "recover.h"

#include <string.h>

#define MEMORY_BYTES (2u << 20)
#define RANGES_BYTES (256u << 10)

static DorisBytes view_of(const DorisBuf *b)
{
	DorisBytes v = {b->data, b->len};

	return v;
}

/* Keys from `low` on that are committed here behind `purged`, and not on the page, which ends before `high` (empty: nowhere). */
static DorisStatus find_absent(Recoverer *r, const Todo *t, DorisBytes low, DorisBytes high,
							   const SourcePage *page, DorisBuf *out, DorisError *err)
{
	Worker *w = &r->w;
	const StoreDriver *d = w->node->driver;
	DorisCursor items = page->items;
	uint32_t left = page->n;
	Record theirs;
	DorisBytes their_key = {NULL, 0};
	DorisBytes key;
	DorisBytes value;
	StoreScan *sc;
	DorisStatus st;

	locks_clear(w);
	st = commit_begin(w, err);
	if (st == DORIS_OK)
		st = d->scan_once(w->ss, t->vnode, low, high, &sc, err);
	if (st != DORIS_OK)
	{
		commit_abandon(w);
		return st;
	}
	record_clear(&theirs);
	while ((st = d->next(sc, &key, &value, err)) == DORIS_OK)
	{
		if (!record_decode(value, &w->row))
		{
			st = doris_error(err, DORIS_IO, "%s: a record of vnode %u is damaged",
							 node_name(w->node), t->vnode);
			break;
		}
		while (left > 0 && (their_key.data == NULL || bytes_compare(their_key, key) < 0))
		{
			their_key = cursor_bytes(&items);
			left--;
			/* it was merged already: it decodes */
			if (!record_decode(cursor_bytes(&items), &theirs))
				record_clear(&theirs);
		}
		if (w->row.committed && purge_is_behind(w->node, t->vnode, key.data[0], w->row.version) &&
			(their_key.data == NULL || bytes_compare(their_key, key) != 0 || !theirs.committed))
			buf_put_view(out, key);
	}
	d->scan_close(sc);
	commit_abandon(w);
	if (st == DORIS_NOT_FOUND)
		st = DORIS_OK;
	if (st == DORIS_OK && out->failed)
		st = doris_error(err, DORIS_NO_MEMORY, "pulling: out of memory");
	return st;
}

static DorisStatus drop_absent(Recoverer *r, const Todo *t, DorisBytes low, DorisBytes high,
							   const SourcePage *page, DorisError *err)
{
	DorisBuf keys;
	DorisStatus st;

	if (t->theirs.purged == 0)
		return DORIS_OK;
	buf_init(&keys);
	st = find_absent(r, t, low, high, page, &keys, err);
	if (st == DORIS_OK && keys.len > 0)
		st = purge_drop(&r->w, t->vnode, t->changed, view_of(&keys), err);
	buf_free(&keys);
	return st;
}

/* Pulls and merges RECORDS or STAGED of a range; the next page is on its way while one is merged. */
static DorisStatus pull_range(Recoverer *r, Source *s, Todo *t, PullWhat what, DorisBytes low,
							  DorisBytes high, DorisError *err)
{
	PullRequest m = {.what = what,
					 .vnode = t->vnode,
					 .low = low,
					 .high = high,
					 .max_bytes = recover_page_bytes(r)};
	DorisBuf lows[2];
	int turn = 0;
	Merge merge;
	bool done = false;
	DorisStatus st = source_ask_page(s, &m, err);

	merge_init(&merge, &r->w, t->vnode, t->changed);
	merge.strict = t->judges;
	buf_init(&lows[0]);
	buf_init(&lows[1]);
	while (st == DORIS_OK && !done)
	{
		SourcePage page;
		DorisBytes from = m.low;

		st = source_page(s, &m, &page, err);
		if (st != DORIS_OK)
			break;
		done = page.done;
		if (!done)
		{
			DorisBuf *next = &lows[turn];

			turn ^= 1;
			buf_reset(next);
			buf_put_raw(next, page.next.data, page.next.len);
			if (next->failed)
				st = doris_error(err, DORIS_NO_MEMORY, "pulling: out of memory");
			m.low = view_of(next);
			m.max_bytes = recover_page_bytes(r);
			if (st == DORIS_OK)
				st = source_ask_page(s, &m, err);
		}
		if (st == DORIS_OK)
			st = merge_page(&merge, page.items, page.n, err);
		if (st == DORIS_OK)
			st = merge_finish(&merge, err);
		if (st == DORIS_OK && what == PULL_RECORDS)
			st = drop_absent(r, t, from, done ? high : m.low, &page, err);
		/* of a row that is full something has to go before more is taken */
		if (st == DORIS_OK && merge.rivals.n > 0)
			st = agree_want(r, s, t->vnode, t->changed, t->judges, err);
		merge.rivals.n = 0;
		if (st == DORIS_OK)
			st = recover_between(r, page.bytes, err);
	}
	node_count(r->w.node, COUNT_PULLED, merge.records);
	t->missed += merge.missed;
	t->unwanted = t->unwanted || merge.unwanted;
	merge_free(&merge);
	buf_free(&lows[0]);
	buf_free(&lows[1]);
	return st;
}

/* ---- comparing runs ---- */

typedef struct Compare
{
	Recoverer *r;
	const Todo *t;
	StoreScan *scan;
	DorisBytes key; /* where this node's scan stands */
	DorisBytes value;
	bool more;
	bool started;
} Compare;

static DorisStatus compare_next(Compare *c, DorisError *err)
{
	DorisStatus st = c->r->w.node->driver->next(c->scan, &c->key, &c->value, err);

	c->started = true;
	c->more = st == DORIS_OK;
	return st == DORIS_NOT_FOUND ? DORIS_OK : st;
}

/* The sums of this node's records up to `last`. */
static DorisStatus sum_upto(Compare *c, DorisBytes last, KeptSum *sum, DorisError *err)
{
	Worker *w = &c->r->w;
	DorisStatus st = c->started ? DORIS_OK : compare_next(c, err);

	memset(sum, 0, sizeof(*sum));
	while (st == DORIS_OK && c->more && bytes_compare(c->key, last) <= 0)
	{
		if (!record_decode(c->value, &w->row))
			return doris_error(err, DORIS_IO, "%s: a record of vnode %u is damaged",
							   node_name(w->node), c->t->vnode);
		kept_sum(w->node, c->key, &w->row, sum);
		st = compare_next(c, err);
	}
	return st;
}

/* The ranges (low, high) of the page that differ, one after the other into `out`. */
static DorisStatus compare_page(Compare *c, DorisBytes low, const SourcePage *page, DorisBuf *out,
								DorisError *err)
{
	static const DorisBytes none = {NULL, 0};
	DorisCursor items = page->items;
	DorisBuf from; /* the end of the run before */
	DorisBuf open; /* where the range that differs begins */
	DorisBuf end;
	bool differs = false;
	DorisStatus st = DORIS_OK;

	buf_init(&from);
	buf_init(&open);
	buf_init(&end);
	buf_put_raw(&from, low.data, low.len);
	for (uint32_t i = 0; st == DORIS_OK && i <= page->n; i++)
	{
		bool last = i == page->n;
		DorisBytes key = {NULL, 0};
		KeptSum mine = {0};
		uint64_t digest = 0;
		uint64_t records = 0;
		bool equal = true;

		if (!last)
		{
			key = cursor_bytes(&items);
			digest = cursor_u64(&items);
			records = cursor_varint(&items);
			st = sum_upto(c, key, &mine, err);
			equal = mine.digest == digest && mine.records == records;
		}
		if (st == DORIS_OK && equal && differs)
		{
			buf_put_view(out, view_of(&open));
			buf_put_view(out, view_of(&from));
			differs = false;
		}
		if (!equal && !differs)
		{
			buf_reset(&open);
			buf_put_raw(&open, from.data, from.len);
			differs = true;
		}
		if (!last)
		{
			buf_reset(&from);
			buf_put_raw(&from, key.data, key.len);
			buf_put_u8(&from, 0); /* the first key after the run */
		}
		if (open.failed || from.failed || out->failed)
			st = doris_error(err, DORIS_NO_MEMORY, "comparing runs: out of memory");
	}
	/* what is here behind the source's last record it has not: to be dropped, if that was purged there */
	if (st == DORIS_OK && page->done && c->t->theirs.purged > 0)
	{
		st = c->started ? DORIS_OK : compare_next(c, err);
		if (st == DORIS_OK && c->more)
		{
			buf_put_view(out, view_of(&from));
			buf_put_view(out, none);
		}
		if (st == DORIS_OK && out->failed)
			st = doris_error(err, DORIS_NO_MEMORY, "comparing runs: out of memory");
	}
	buf_free(&from);
	buf_free(&open);
	buf_free(&end);
	return st;
}

static DorisStatus pull_ranges(Recoverer *r, Source *s, Todo *t, DorisCursor ranges,
							   DorisError *err)
{
	DorisStatus st = DORIS_OK;

	while (st == DORIS_OK && cursor_left(&ranges) > 0)
	{
		DorisBytes low = cursor_bytes(&ranges);
		DorisBytes high = cursor_bytes(&ranges);

		st = pull_range(r, s, t, PULL_RECORDS, low, high, err);
	}
	return st;
}

static DorisStatus pass_by_runs(Recoverer *r, Source *s, Todo *t, DorisError *err)
{
	Worker *w = &r->w;
	DorisBytes none = {NULL, 0};
	DorisBuf low;
	DorisBuf ranges;
	bool done = false;
	DorisStatus st = DORIS_OK;

	buf_init(&low);
	buf_init(&ranges);
	while (st == DORIS_OK && !done)
	{
		PullRequest m = {.what = PULL_RANGES,
						 .vnode = t->vnode,
						 .low = view_of(&low),
						 .max_bytes = RANGES_BYTES};
		SourcePage page;

		st = source_ask_page(s, &m, err);
		if (st == DORIS_OK)
			st = source_page(s, &m, &page, err);
		if (st != DORIS_OK)
			break;
		done = page.done;
		buf_reset(&ranges);
		if (page.n > 0 || t->theirs.purged > 0)
		{
			Compare c = {.r = r, .t = t};

			locks_clear(w);
			st = commit_begin(w, err);
			if (st == DORIS_OK)
				st = w->node->driver->scan_once(w->ss, t->vnode, m.low, none, &c.scan, err);
			if (st == DORIS_OK)
			{
				st = compare_page(&c, m.low, &page, &ranges, err);
				w->node->driver->scan_close(c.scan);
			}
			commit_abandon(w);
		}
		/* copied before the page's memory is used again */
		buf_reset(&low);
		buf_put_raw(&low, page.next.data, page.next.len);
		if (st == DORIS_OK && low.failed)
			st = doris_error(err, DORIS_NO_MEMORY, "comparing runs: out of memory");
		if (st == DORIS_OK)
			st = pull_ranges(r, s, t, cursor_of(ranges.data, ranges.len), err);
		if (st == DORIS_OK)
			st = recover_between(r, page.bytes, err);
	}
	buf_free(&low);
	buf_free(&ranges);
	return st;
}

/* ---- a vnode ---- */

DorisStatus pass_vnode(Recoverer *r, Source *s, Todo *t, DorisError *err)
{
	DorisBytes none = {NULL, 0};
	KeptSum mine;
	uint32_t got;
	DorisStatus st = DORIS_OK;

	st = purge_adopt(&r->w, t->vnode, t->changed, t->theirs.fence, t->theirs.purged, err);
	if (st == DORIS_OK && t->theirs.kept.staged > 0)
	{
		st = pull_range(r, s, t, PULL_STAGED, none, none, err);
		if (st == DORIS_OK)
			st = source_digests(s, &t->vnode, 1, &t->theirs, &got, err);
	}
	if (st == DORIS_OK)
		st = kept_read(&r->w, t->vnode, &mine, err);
	if (st != DORIS_OK)
		return st;
	if (mine.digest == t->theirs.kept.digest && mine.records == t->theirs.kept.records)
		return DORIS_OK;
	/* with nothing here there is nothing to compare */
	return mine.records == 0 ? pull_range(r, s, t, PULL_RECORDS, none, none, err)
							 : pass_by_runs(r, s, t, err);
}

DorisStatus pass_again(Recoverer *r, Source *s, Todo *t, DorisError *err)
{
	t->judges = true;
	t->missed = 0;
	return pass_by_runs(r, s, t, err);
}

/* ---- the memory ---- */

/*
 * Only what the source has noted since it was asked last; *whole: it does not know any more, everything has to be asked for, and
 * mark will then hold.
 */
static DorisStatus pass_learned(Recoverer *r, Source *s, bool *whole,
								uint8_t mark[SOURCE_TOLD_SIZE], DorisError *err)
{
	static const uint8_t never[SOURCE_TOLD_SIZE] = {0};
	PullRequest m = {.what = PULL_MEMORY, .max_bytes = MEMORY_BYTES};
	SourcePage page;
	DorisStatus st;

	m.high = (DorisBytes){s->has_told ? s->told : never, SOURCE_TOLD_SIZE};
	st = source_ask_page(s, &m, err);
	if (st == DORIS_OK)
		st = source_page(s, &m, &page, err);
	if (st == DORIS_OK && page.next.len != SOURCE_TOLD_SIZE)
		st = doris_error(err, DORIS_BAD_MESSAGE, "%s answers with an odd page", s->quick.who);
	if (st != DORIS_OK)
		return st;
	*whole = !page.done;
	memcpy(mark, page.next.data, SOURCE_TOLD_SIZE);
	st = merge_memory(&r->w, page.items, page.n, err);
	return st == DORIS_OK ? recover_between(r, page.bytes, err) : st;
}

static DorisStatus pass_whole_memory(Recoverer *r, Source *s, DorisError *err)
{
	DorisTxnId from = {.clock = atomic_load(&r->w.node->horizon_ms) << 16};
	uint8_t lows[2][DORIS_TXNID_SIZE];
	int turn = 0;
	PullRequest m = {.what = PULL_MEMORY, .max_bytes = MEMORY_BYTES};
	bool done = false;
	DorisStatus st;

	/* what is older is remembered by nobody: "unknown" */
	txnid_to_key(from, lows[0]);
	m.low.data = lows[0];
	m.low.len = DORIS_TXNID_SIZE;
	st = source_ask_page(s, &m, err);
	while (st == DORIS_OK && !done)
	{
		SourcePage page;

		st = source_page(s, &m, &page, err);
		if (st != DORIS_OK)
			break;
		done = page.done;
		if (!done)
		{
			turn ^= 1;
			if (page.next.len != DORIS_TXNID_SIZE)
				return doris_error(err, DORIS_BAD_MESSAGE, "%s answers with an odd page",
								   s->quick.who);
			memcpy(lows[turn], page.next.data, DORIS_TXNID_SIZE);
			m.low.data = lows[turn];
			st = source_ask_page(s, &m, err);
		}
		if (st == DORIS_OK)
			st = merge_memory(&r->w, page.items, page.n, err);
		if (st == DORIS_OK)
			st = recover_between(r, page.bytes, err);
	}
	return st;
}

DorisStatus pass_memory(Recoverer *r, Source *s, DorisError *err)
{
	uint8_t mark[SOURCE_TOLD_SIZE];
	bool whole = false;
	DorisStatus st = pass_learned(r, s, &whole, mark, err);

	if (st == DORIS_OK && whole)
		st = pass_whole_memory(r, s, err);
	if (st != DORIS_OK)
		return st;
	memcpy(s->told, mark, sizeof(mark));
	s->has_told = true;
	return DORIS_OK;
}
