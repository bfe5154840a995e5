/*
 * kept.c: what is kept in memory of each vnode, so that copies are compared without being read: the number of
 * committed records, the XOR of a hash over (store key, version, tombstone) of each, the number of staged writes. And, for who counts
 * rows, the live ones of each namespace (kept_rows.c).
 *
 * A version names one write, so two copies with the same sums hold the same committed records. Rows of both spaces
 * count. The sums are changed under the vnode's lock, together with the commit that changes the rows; counters.c counts them
 * anew after an unclean stop, or when a copy that is being made complete asks first.
 *
 * The hash is SipHash keyed by the cluster's id: the same in all its nodes.
 */
#include "node.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(crypto_shorthash_KEYBYTES == DORIS_UUID_SIZE, "the cluster's id is the hash's key");
_Static_assert(crypto_shorthash_BYTES == 8, "a digest has 64 bits");

static uint64_t short_hash(const Node *n, const void *data, size_t len)
{
	uint8_t out[crypto_shorthash_BYTES];
	uint64_t v = 0;

	(void) crypto_shorthash(out, data, len, n->identity.cluster);
	for (int i = 0; i < 8; i++)
		v |= (uint64_t) out[i] << (8 * i);
	return v;
}

/* The part of a record that depends on its version. */
static uint64_t version_hash(const Node *n, uint64_t key_hash, DorisVersion version, bool tombstone)
{
	uint8_t data[8 + 12 + 1];

	store_little_endian(data, key_hash, 8);
	store_little_endian(data + 8, version.clock, 8);
	store_little_endian(data + 16, version.origin, 4);
	data[20] = tombstone ? 1 : 0;
	return short_hash(n, data, sizeof(data));
}

void kept_sum(const Node *n, DorisBytes stored_key, const Record *r, KeptSum *sum)
{
	sum->staged += r->nstaged;
	if (!r->committed)
		return;
	sum->records++;
	sum->digest ^=
		version_hash(n, short_hash(n, stored_key.data, stored_key.len), r->version, r->tombstone);
}

RowWas row_was(const Record *r)
{
	RowWas was = {.committed = r->committed,
				  .tombstone = r->tombstone,
				  .nstaged = r->nstaged,
				  .version = r->version,
				  .bytes = r->value.len};

	return was;
}

/* ---- changes: gathered with the store transaction, booked when it is committed ---- */

/* How the change changes the number of live rows of d->ns. */
static DorisStatus note_rows(Node *n, DorisBytes stored_key, const RowWas *was, const Record *now,
							 KeptDelta *d, DorisError *err)
{
	bool was_live = was->committed && !was->tombstone;
	uint8_t space;
	DorisBytes key;

	if (!record_key_split(stored_key, &space, &d->ns, &key) || space != DORIS_SPACE_ROWS)
		d->ns = 0;
	else if (was_live != record_is_live(now))
	{
		d->rows = was_live ? -1 : 1;
		d->counts = true;
		return kept_rows_reserve(n, d->vnode, d->ns, err);
	}
	return DORIS_OK;
}

DorisStatus kept_note(Worker *w, uint32_t vnode, DorisBytes stored_key, const RowWas *was,
					  const Record *now, DorisError *err)
{
	Node *n = w->node;
	KeptDelta d = {.vnode = vnode, .staged = now->nstaged - was->nstaged};
	KeptDelta *last = w->nkept > 0 ? &w->kept[w->nkept - 1] : NULL;
	DorisStatus st;

	if (atomic_load(&n->counted[vnode]) == TALLY_NONE)
		return DORIS_OK;
	st = note_rows(n, stored_key, was, now, &d, err);
	if (st != DORIS_OK)
		return st;
	if (was->committed != now->committed || was->tombstone != now->tombstone ||
		version_compare(was->version, now->version) != 0)
	{
		uint64_t key_hash = short_hash(n, stored_key.data, stored_key.len);

		if (was->committed)
			d.digest ^= version_hash(n, key_hash, was->version, was->tombstone);
		if (now->committed)
			d.digest ^= version_hash(n, key_hash, now->version, now->tombstone);
		d.records = (now->committed ? 1 : 0) - (was->committed ? 1 : 0);
	}
	if (d.digest == 0 && d.records == 0 && d.staged == 0 && !d.counts)
		return DORIS_OK;
	if (last != NULL && last->vnode == vnode && last->ns == d.ns)
	{
		last->digest ^= d.digest;
		last->records += d.records;
		last->staged += d.staged;
		last->rows += d.rows;
		last->counts = last->counts || d.counts;
		return DORIS_OK;
	}
	if (w->kept == NULL || w->nkept == w->kept_cap)
	{
		int cap = w->kept_cap == 0 ? 16 : w->kept_cap * 2;
		KeptDelta *p = realloc(w->kept, (size_t) cap * sizeof(*p));

		/* not an estimate: a digest that misses a row would hide a difference */
		if (p == NULL)
			return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory writing rows",
							   node_name(n));
		w->kept = p;
		w->kept_cap = cap;
	}
	w->kept[w->nkept++] = d;
	return DORIS_OK;
}

void kept_book(Worker *w)
{
	for (int i = 0; i < w->nkept; i++)
	{
		const KeptDelta *d = &w->kept[i];
		Kept *k = &w->node->kept[d->vnode];

		(void) atomic_fetch_xor(&k->digest, d->digest);
		(void) atomic_fetch_add(&k->records, d->records);
		(void) atomic_fetch_add(&k->staged, d->staged);
		if (d->rows != 0)
			kept_rows_add(w->node, d->vnode, d->ns, d->rows);
	}
	kept_forget(w);
}

void kept_forget(Worker *w)
{
	/* after all are booked: until then another one may want the place */
	for (int i = 0; i < w->nkept; i++)
	{
		if (w->kept[i].counts)
			kept_rows_tidy(w->node, w->kept[i].vnode, w->kept[i].ns);
	}
	w->nkept = 0;
}

void kept_add(Node *n, uint32_t vnode, const KeptSum *sum)
{
	Kept *k = &n->kept[vnode];

	(void) atomic_fetch_xor(&k->digest, sum->digest);
	(void) atomic_fetch_add(&k->records, (int64_t) sum->records);
	(void) atomic_fetch_add(&k->staged, (int64_t) sum->staged);
}

void kept_clear(Node *n, uint32_t vnode)
{
	Kept *k = &n->kept[vnode];

	atomic_store(&k->digest, 0);
	atomic_store(&k->records, 0);
	atomic_store(&k->staged, 0);
	kept_rows_clear(n, vnode);
}

void kept_free(Node *n)
{
	for (uint32_t v = 0; n->kept != NULL && v < DORIS_MAX_VNODES; v++)
		free(n->kept[v].rows);
	free(n->kept);
	n->kept = NULL;
}

/* ---- reading ---- */

/* Sums of a vnode by reading it, in a snapshot of its own. */
static DorisStatus sum_by_reading(Worker *w, uint32_t vnode, KeptSum *out, DorisError *err)
{
	const StoreDriver *d = w->node->driver;
	DorisBytes none = {NULL, 0};
	DorisBytes key;
	DorisBytes value;
	StoreScan *sc;
	DorisStatus st;

	locks_clear(w);
	st = commit_begin(w, err);
	if (st == DORIS_OK)
		st = d->scan_once(w->ss, vnode, none, none, &sc, err);
	if (st == DORIS_OK)
	{
		while ((st = d->next(sc, &key, &value, err)) == DORIS_OK)
		{
			if (!record_decode(value, &w->row))
			{
				st = doris_error(err, DORIS_IO, "%s: a record of vnode %u is damaged",
								 node_name(w->node), vnode);
				break;
			}
			kept_sum(w->node, key, &w->row, out);
		}
		d->scan_close(sc);
	}
	commit_abandon(w);
	return st == DORIS_NOT_FOUND ? DORIS_OK : st;
}

DorisStatus kept_read(Worker *w, uint32_t vnode, KeptSum *out, DorisError *err)
{
	Node *n = w->node;
	Kept *k = &n->kept[vnode];
	DorisStatus st;

	memset(out, 0, sizeof(*out));
	st = counters_recount(w, vnode, err);
	if (st != DORIS_OK)
		return st;
	if (atomic_load(&n->counted[vnode]) != TALLY_KNOWN)
		return sum_by_reading(w, vnode, out, err); /* another thread is counting it */
	locks_clear(w);
	locks_add(w, vnode);
	locks_take(w);
	out->digest = atomic_load(&k->digest);
	out->records = (uint64_t) atomic_load(&k->records);
	out->staged = (uint64_t) atomic_load(&k->staged);
	locks_release(w);
	return DORIS_OK;
}

/*
 * ---- over a clean stop; counters.c says when ----
 *
 * The entry "digests" is a run of u32, u64, u64, u64: a vnode, its digest, records, staged writes. Behind SAVED_ROWS, that the
 * vnodes' rows are there too: DORIS_MAX_VNODES + vnode, namespace, rows, 0. One entry for both, which a release that knows no
 * rows reads and replaces too: whichever release stopped last, what the next one finds is of that stop, and all of it.
 */
#define SAVED_ROWS 0xFFFFFFFFu
#define SAVED_MAX (64u << 20) /* bytes; with more the node counts anew */

DorisStatus kept_save(Worker *w, DorisError *err)
{
	Node *n = w->node;
	DorisBuf b;
	DorisStatus st;

	buf_init(&b);
	buf_put_u32(&b, SAVED_ROWS);
	buf_put_u64(&b, 0);
	buf_put_u64(&b, 0);
	buf_put_u64(&b, 0);
	for (uint32_t v = 0; v < DORIS_MAX_VNODES && b.len <= SAVED_MAX; v++)
	{
		const Kept *k = &n->kept[v];

		if (atomic_load(&n->tables[v]) != TABLE_READY)
			continue;
		kept_rows_save(n, v, &b);
		buf_put_u32(&b, v);
		buf_put_u64(&b, atomic_load(&k->digest));
		buf_put_u64(&b, (uint64_t) atomic_load(&k->records));
		buf_put_u64(&b, (uint64_t) atomic_load(&k->staged));
	}
	if (b.failed)
		st = doris_error(err, DORIS_NO_MEMORY, "saving the digests: out of memory");
	else if (b.len > SAVED_MAX)
		st = DORIS_OK;
	else
	{
		DorisBytes value = {b.data, b.len};

		st = meta_put(w, "digests", value, err);
	}
	buf_free(&b);
	return st;
}

DorisStatus kept_load(Worker *w, DorisError *err)
{
	Node *n = w->node;
	bool rows = false;
	DorisBuf b;
	DorisCursor c;
	DorisStatus st;

	buf_init(&b);
	st = meta_get(w, "digests", &b, err);
	if (st == DORIS_OK)
	{
		c = cursor_of(b.data, b.len);
		while (st == DORIS_OK && cursor_left(&c) > 0 && !c.bad)
		{
			uint32_t v = cursor_u32(&c);
			uint64_t first = cursor_u64(&c);
			uint64_t second = cursor_u64(&c);
			uint64_t third = cursor_u64(&c);

			if (c.bad)
				break;
			if (v == SAVED_ROWS)
				rows = true;
			else if (v < DORIS_MAX_VNODES)
				kept_add(n, v, &(KeptSum){first, second, third});
			else if (v < 2 * DORIS_MAX_VNODES && first <= UINT32_MAX)
			{
				st = kept_rows_reserve(n, v - DORIS_MAX_VNODES, (uint32_t) first, err);
				if (st == DORIS_OK)
					kept_rows_add(n, v - DORIS_MAX_VNODES, (uint32_t) first, (int64_t) second);
			}
		}
		if (c.bad)
			st = doris_error(err, DORIS_IO, "the store's entry digests is damaged");
		if (st == DORIS_OK)
			st = meta_del(w, "digests", err);
		if (st == DORIS_OK && !rows)
			st = DORIS_NOT_FOUND;
	}
	buf_free(&b);
	return st;
}
