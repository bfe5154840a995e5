/*
 * counters.c: live rows and bytes of each namespace on this node, in memory.
 *
 * Kept up with every committed change, saved at a clean stop. After any other stop they are counted anew in the
 * background, or when somebody needs a vnode's digest (kept.c), vnode by vnode: under the vnode's lock a snapshot is
 * begun and `counted` is set; from then on changes are booked, and what the snapshot holds is added when it has been read: to
 * what kept.c keeps under the lock again, with which it is known.
 */
#include "node.h"

#include <stdlib.h>
#include <string.h>

void counters_note(Worker *w, uint32_t vnode, uint32_t ns, int64_t rows, int64_t bytes)
{
	CountDelta *d = NULL;

	if ((rows == 0 && bytes == 0) || atomic_load(&w->node->counted[vnode]) == TALLY_NONE)
		return;
	for (int i = 0; i < w->ndeltas; i++)
	{
		if (w->deltas[i].ns == ns)
			d = &w->deltas[i];
	}
	if (d == NULL && w->ndeltas == w->delta_cap)
	{
		int cap = w->delta_cap == 0 ? 8 : w->delta_cap * 2;
		CountDelta *p = realloc(w->deltas, (size_t) cap * sizeof(*p));

		if (p == NULL)
			return; /* an estimate: it may miss a row when memory is out */
		w->deltas = p;
		w->delta_cap = cap;
	}
	if (d == NULL)
	{
		d = &w->deltas[w->ndeltas++];
		d->ns = ns;
		d->rows = 0;
		d->bytes = 0;
	}
	d->rows += rows;
	d->bytes += bytes;
}

NsCount *counters_find(Node *n, uint32_t ns, bool make)
{
	_Atomic(NsCount *) *bucket = &n->ns_counts[ns % NODE_NS_BUCKETS];
	NsCount *c;

	for (c = atomic_load(bucket); c != NULL; c = c->next)
	{
		if (c->ns == ns)
			return c;
	}
	if (!make)
		return NULL;
	(void) pthread_mutex_lock(&n->ns_lock);
	for (c = atomic_load(bucket); c != NULL && c->ns != ns; c = c->next)
		;
	if (c == NULL && (c = calloc(1, sizeof(*c))) != NULL)
	{
		c->ns = ns;
		c->next = atomic_load(bucket);
		atomic_store(bucket, c);
	}
	(void) pthread_mutex_unlock(&n->ns_lock);
	return c;
}

static void counters_add(Node *n, uint32_t ns, int64_t rows, int64_t bytes)
{
	NsCount *c = rows == 0 && bytes == 0 ? NULL : counters_find(n, ns, true);

	if (c == NULL)
		return;
	atomic_fetch_add(&c->rows, rows);
	atomic_fetch_add(&c->bytes, bytes);
}

void counters_book(Worker *w)
{
	for (int i = 0; i < w->ndeltas; i++)
		counters_add(w->node, w->deltas[i].ns, w->deltas[i].rows, w->deltas[i].bytes);
	w->ndeltas = 0;
	kept_book(w);
}

void counters_forget(Worker *w)
{
	w->ndeltas = 0;
	kept_forget(w);
}

static uint64_t not_negative(int64_t v)
{
	return v < 0 ? 0 : (uint64_t) v;
}

void counters_total(Node *n, uint64_t *rows, uint64_t *bytes)
{
	*rows = 0;
	*bytes = 0;
	for (int b = 0; b < NODE_NS_BUCKETS; b++)
	{
		for (NsCount *c = atomic_load(&n->ns_counts[b]); c != NULL; c = c->next)
		{
			*rows += not_negative(atomic_load(&c->rows));
			*bytes += not_negative(atomic_load(&c->bytes));
		}
	}
}

DorisStatus counters_save(Worker *w, DorisError *err)
{
	Node *n = w->node;
	DorisBuf b;
	DorisStatus st;

	for (uint32_t v = 0; v < DORIS_MAX_VNODES; v++)
	{
		uint8_t table = atomic_load(&n->tables[v]);

		/* still counting, or half way out: they would be wrong */
		if (table == TABLE_DROP ||
			(table == TABLE_READY && atomic_load(&n->counted[v]) != TALLY_KNOWN))
			return DORIS_OK;
	}
	buf_init(&b);
	for (int i = 0; i < NODE_NS_BUCKETS; i++)
	{
		for (NsCount *c = atomic_load(&n->ns_counts[i]); c != NULL; c = c->next)
		{
			if (atomic_load(&c->rows) == 0 && atomic_load(&c->bytes) == 0)
				continue;
			buf_put_u32(&b, c->ns);
			buf_put_u64(&b, not_negative(atomic_load(&c->rows)));
			buf_put_u64(&b, not_negative(atomic_load(&c->bytes)));
		}
	}
	if (b.failed)
		st = doris_error(err, DORIS_NO_MEMORY, "saving the counters: out of memory");
	else
	{
		DorisBytes value = {b.data, b.len};

		st = meta_put(w, "counters", value, err);
	}
	buf_free(&b);
	return st == DORIS_OK ? kept_save(w, err) : st;
}

DorisStatus counters_load(Worker *w, DorisError *err)
{
	Node *n = w->node;
	DorisBuf b;
	DorisCursor c;
	DorisStatus st;

	buf_init(&b);
	st = meta_get(w, "counters", &b, err);
	n->recount = st == DORIS_NOT_FOUND;
	if (st == DORIS_OK)
	{
		c = cursor_of(b.data, b.len);
		while (cursor_left(&c) > 0 && !c.bad)
		{
			uint32_t ns = cursor_u32(&c);
			uint64_t rows = cursor_u64(&c);
			uint64_t bytes = cursor_u64(&c);

			if (!c.bad)
				counters_add(n, ns, (int64_t) rows, (int64_t) bytes);
		}
		/* true only until the first write: taken away before any is accepted */
		st = meta_del(w, "counters", err);
		if (st == DORIS_OK)
		{
			st = kept_load(w, err);
			n->recount = st == DORIS_NOT_FOUND; /* saved by a release that kept none */
			if (n->recount)
				counters_free(n); /* or they would be counted twice */
		}
	}
	else if (st == DORIS_NOT_FOUND)
	{
		/* if they are there, then from an older stop than the next one; they must not be taken for its own */
		DorisStatus gone = meta_del(w, "digests", err);

		if (gone != DORIS_OK)
			st = gone;
	}
	buf_free(&b);
	if (st == DORIS_OK || st == DORIS_NOT_FOUND)
	{
		for (uint32_t v = 0; v < DORIS_MAX_VNODES; v++)
			atomic_store(&n->counted[v], n->recount ? TALLY_NONE : TALLY_KNOWN);
		return DORIS_OK;
	}
	return st;
}

/* What a vnode's table holds. */
typedef struct Found
{
	KeptSum sum;	  /* of all records */
	CountDelta *runs; /* live rows, by namespace; owned */
	uint32_t nruns;
	uint32_t cap;
} Found;

/* Rows come in the order of their namespaces. */
static DorisStatus found_row(const Node *n, Found *f, uint32_t ns, size_t bytes, DorisError *err)
{
	CountDelta *run = f->nruns > 0 ? &f->runs[f->nruns - 1] : NULL;

	if (run == NULL || run->ns != ns)
	{
		if (f->runs == NULL || f->nruns == f->cap)
		{
			uint32_t cap = f->cap == 0 ? 8 : f->cap * 2;
			CountDelta *p = realloc(f->runs, cap * sizeof(*p));

			if (p == NULL)
				return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory counting rows",
								   node_name(n));
			f->runs = p;
			f->cap = cap;
		}
		run = &f->runs[f->nruns++];
		*run = (CountDelta){.ns = ns};
	}
	run->rows++;
	run->bytes += (int64_t) bytes;
	return DORIS_OK;
}

/* In the transaction that is open. f: empty. */
static DorisStatus counters_scan(Worker *w, uint32_t vnode, Found *f, DorisError *err)
{
	const StoreDriver *d = w->node->driver;
	DorisBytes none = {NULL, 0};
	DorisBytes key;
	DorisBytes value;
	StoreScan *sc;
	DorisStatus st = d->scan_once(w->ss, vnode, none, none, &sc, err);

	if (st != DORIS_OK)
		return st;
	while ((st = d->next(sc, &key, &value, err)) == DORIS_OK)
	{
		uint8_t space;
		uint32_t ns;
		DorisBytes row_key;

		if (!record_decode(value, &w->row))
			continue;
		kept_sum(w->node, key, &w->row, &f->sum);
		if (!record_key_split(key, &space, &ns, &row_key) || space != DORIS_SPACE_ROWS ||
			!record_is_live(&w->row))
			continue;
		st = found_row(w->node, f, ns, row_key.len + w->row.value.len, err);
		if (st != DORIS_OK)
			break;
	}
	d->scan_close(sc);
	return st == DORIS_NOT_FOUND ? DORIS_OK : st;
}

/* To the namespaces' counters. */
static void count_found(Node *n, const Found *f, int64_t sign)
{
	for (uint32_t i = 0; i < f->nruns; i++)
		counters_add(n, f->runs[i].ns, sign * f->runs[i].rows, sign * f->runs[i].bytes);
}

/* To what is kept of the vnode, with its lock. */
static DorisStatus keep_found(Node *n, uint32_t vnode, const Found *f, DorisError *err)
{
	DorisStatus st = DORIS_OK;

	for (uint32_t i = 0; st == DORIS_OK && i < f->nruns; i++)
		st = kept_rows_reserve(n, vnode, f->runs[i].ns, err);
	if (st != DORIS_OK)
		return st;
	kept_add(n, vnode, &f->sum);
	for (uint32_t i = 0; i < f->nruns; i++)
	{
		kept_rows_add(n, vnode, f->runs[i].ns, f->runs[i].rows);
		kept_rows_tidy(n, vnode, f->runs[i].ns); /* deleted since */
	}
	return DORIS_OK;
}

DorisStatus counters_recount(Worker *w, uint32_t vnode, DorisError *err)
{
	Node *n = w->node;
	static const uint8_t zero = 0;
	DorisBytes nothing = {&zero, 1};
	DorisBytes value;
	Found found = {.nruns = 0};
	bool mine = false;
	DorisStatus st;

	if (atomic_load(&n->counted[vnode]) != TALLY_NONE)
		return DORIS_OK;
	locks_clear(w);
	locks_add(w, vnode);
	locks_take(w);
	st = commit_begin(w, err);
	if (st == DORIS_OK)
	{
		/* a read fixes the snapshot; after it, what others commit is booked by them */
		st = n->driver->get(w->ss, vnode, nothing, &value, err);
		if (st == DORIS_NOT_FOUND)
			st = DORIS_OK;
	}
	if (st == DORIS_OK && atomic_load(&n->counted[vnode]) == TALLY_NONE)
	{
		mine = true; /* else another thread was quicker */
		kept_clear(n, vnode);
		atomic_store(&n->counted[vnode], TALLY_RUNNING);
	}
	locks_release(w);
	if (mine)
		st = counters_scan(w, vnode, &found, err);
	commit_abandon(w);
	if (!mine)
		return st;
	locks_take(w);
	if (st == DORIS_OK)
		st = keep_found(n, vnode, &found, err);
	atomic_store(&n->counted[vnode], st == DORIS_OK ? TALLY_KNOWN : TALLY_NONE);
	locks_release(w);
	if (st == DORIS_OK)
		count_found(n, &found, 1);
	free(found.runs);
	return st;
}

DorisStatus counters_uncount(Worker *w, uint32_t vnode, DorisError *err)
{
	uint8_t known = TALLY_KNOWN;
	Found found = {.nruns = 0};
	DorisStatus st;

	if (!atomic_compare_exchange_strong(&w->node->counted[vnode], &known, TALLY_NONE))
		return known == TALLY_RUNNING
				   ? doris_error(err, DORIS_LIMIT, "vnode %u is being counted", vnode)
				   : DORIS_OK;
	locks_clear(w);
	st = commit_begin(w, err);
	if (st == DORIS_OK)
		st = counters_scan(w, vnode, &found, err);
	commit_abandon(w);
	if (st == DORIS_OK)
		count_found(w->node, &found, -1);
	free(found.runs);
	kept_clear(w->node, vnode);
	return st;
}

void counters_free(Node *n)
{
	for (int b = 0; b < NODE_NS_BUCKETS; b++)
	{
		NsCount *c = atomic_load(&n->ns_counts[b]);

		while (c != NULL)
		{
			NsCount *next = c->next;

			free(c);
			c = next;
		}
		atomic_store(&n->ns_counts[b], NULL);
	}
}
