/*
 * memory.c: outcomes that are remembered (table MEMORY) and the index of staged writes (table STAGED).
 *
 * MEMORY: key = transaction id + u32 vnode (big-endian; 0xFFFFFFFF: of the whole transaction), value = u8 what + u64 epoch. what:
 * 1 committed; 2 refused (of one vnode), or some vnode refused (of the whole). So one lookup tells the common case.
 * STAGED: key = transaction id + u32 entry number from 0, without holes.
 *
 * Only single keys are looked up: a range search among the many keys that have just been deleted would walk over all of them.
 */
#include "node.h"

#include <stdlib.h>
#include <string.h>

#define WHAT_COMMITTED 1
#define WHAT_REFUSED 2

#define NUMBERED_SIZE (DORIS_TXNID_SIZE + 4)

static DorisBytes txn_key(DorisTxnId txn, uint32_t number, uint8_t out[NUMBERED_SIZE])
{
	DorisBytes key = {out, NUMBERED_SIZE};

	txnid_to_key(txn, out);
	out[DORIS_TXNID_SIZE] = (uint8_t) (number >> 24);
	out[DORIS_TXNID_SIZE + 1] = (uint8_t) (number >> 16);
	out[DORIS_TXNID_SIZE + 2] = (uint8_t) (number >> 8);
	out[DORIS_TXNID_SIZE + 3] = (uint8_t) number;
	return key;
}

static DorisStatus memory_get(Worker *w, DorisTxnId txn, uint32_t vnode, uint8_t *what,
							  uint64_t *epoch, DorisError *err)
{
	uint8_t key[NUMBERED_SIZE];
	DorisBytes value;
	DorisCursor c;
	DorisStatus st =
		w->node->driver->get(w->ss, STORE_TABLE_MEMORY, txn_key(txn, vnode, key), &value, err);

	*what = 0;
	*epoch = 0;
	if (st == DORIS_NOT_FOUND)
		return DORIS_OK;
	if (st != DORIS_OK)
		return st;
	c = cursor_of(value.data, value.len);
	*what = cursor_u8(&c);
	*epoch = cursor_u64(&c);
	if (!cursor_at_end(&c))
		return doris_error(err, DORIS_IO, "%s: an entry of the memory of outcomes is damaged",
						   node_name(w->node));
	return DORIS_OK;
}

static DorisStatus memory_put(Worker *w, DorisTxnId txn, uint32_t vnode, uint8_t what,
							  uint64_t epoch, DorisError *err)
{
	uint8_t key[NUMBERED_SIZE];
	uint8_t data[9] = {what};
	DorisBytes value = {data, sizeof(data)};

	store_little_endian(data + 1, epoch, 8);
	return w->node->driver->put(w->ss, STORE_TABLE_MEMORY, txn_key(txn, vnode, key), value, err);
}

DorisStatus memory_load(Worker *w, DorisTxnId txn, Remembered *out, DorisError *err)
{
	uint8_t what;
	uint64_t epoch;
	DorisStatus st = memory_get(w, txn, NODE_ALL_VNODES, &what, &epoch, err);

	out->committed = what == WHAT_COMMITTED;
	out->some_refused = what == WHAT_REFUSED;
	return st;
}

DorisStatus memory_refused(Worker *w, DorisTxnId txn, uint32_t vnode, bool *out, DorisError *err)
{
	uint8_t what;
	uint64_t epoch;
	DorisStatus st = memory_get(w, txn, vnode, &what, &epoch, err);

	/* rule refusals end: those noted before the copy became incomplete have lapsed */
	*out = what == WHAT_REFUSED && epoch >= atomic_load(&w->node->lapsed[vnode]);
	return st;
}

DorisStatus memory_put_committed(Worker *w, DorisTxnId txn, DorisError *err)
{
	learned_add(w->node, txn);
	return memory_put(w, txn, NODE_ALL_VNODES, WHAT_COMMITTED, atomic_load(&w->node->epoch), err);
}

DorisStatus memory_put_refused(Worker *w, DorisTxnId txn, uint32_t vnode, uint64_t epoch,
							   DorisError *err)
{
	DorisStatus st = memory_put(w, txn, vnode, WHAT_REFUSED, epoch, err);

	if (st == DORIS_OK)
		st = memory_put(w, txn, NODE_ALL_VNODES, WHAT_REFUSED, epoch, err);
	return st;
}

/* ---- the horizon ---- */

static uint64_t horizon_at(const Node *n, uint64_t now_ms)
{
	uint64_t span = (uint64_t) n->config.memory_minutes * 60000;

	return now_ms > span ? now_ms - span : 0;
}

DorisStatus memory_load_horizon(Worker *w, DorisError *err)
{
	Node *n = w->node;
	DorisStatus st = meta_get_u64(w, "horizon", &n->horizon_kept_ms, err);

	/* a home from before it was kept: no further than the clock can have been */
	if (st == DORIS_NOT_FOUND)
	{
		n->horizon_kept_ms = horizon_at(n, clock_ms_of(atomic_load(&n->ceiling)));
		st = DORIS_OK;
	}
	atomic_store(&n->horizon_ms, n->horizon_kept_ms);
	return st;
}

/*
 * It follows the time of day at which a leader was last heard, never the clock that stamps are made of: that one starts at its
 * ceiling, so each start moves it ahead, and a horizon ahead of its time takes new transactions for forgotten ones. A
 * leader that shares a cluster key does not hear a node whose time of day is far off (wire/envelope.h).
 */
void memory_watch_horizon(Worker *w)
{
	Node *n = w->node;
	uint64_t horizon = horizon_at(n, atomic_load(&n->heard_ms));
	DorisError err;

	if (horizon <= atomic_load(&n->horizon_ms))
		return;
	/* on record before anything behind it is forgotten, and some seconds ahead, so that this is rare */
	if (horizon > n->horizon_kept_ms)
	{
		uint64_t kept = horizon + NODE_CEILING_AHEAD_MS;

		if (atomic_load(&n->disk_starved))
			return;
		if (meta_put_u64(w, "horizon", kept, &err) != DORIS_OK)
		{
			log_line(LOG_WARNING, "keeping the memory's horizon: %s", err.message);
			return;
		}
		n->horizon_kept_ms = kept;
	}
	atomic_store(&n->horizon_ms, horizon);
}

DorisStatus memory_purge(Worker *w, uint64_t horizon_ms, uint32_t limit, DorisTxnId *from,
						 bool *done, DorisError *err)
{
	const StoreDriver *d = w->node->driver;
	DorisTxnId end = {.clock = horizon_ms << 16};
	uint8_t low[NUMBERED_SIZE];
	uint8_t high[NUMBERED_SIZE];
	DorisBytes from_key = txn_key(*from, 0, low);
	DorisBytes end_key = txn_key(end, 0, high);
	DorisBytes key;
	DorisBytes value;
	StoreScan *sc;
	uint32_t n = 0;
	DorisStatus st;

	*done = true;
	if (bytes_compare(from_key, end_key) >= 0)
		return DORIS_OK;
	/* gathered first: the scan does not stand while its keys are deleted */
	st = d->scan(w->ss, STORE_TABLE_MEMORY, from_key, end_key, &sc, err);
	if (st != DORIS_OK)
		return st;
	buf_reset(&w->index);
	while (n < limit && (st = d->next(sc, &key, &value, err)) == DORIS_OK)
	{
		if (key.len == NUMBERED_SIZE)
		{
			buf_put_raw(&w->index, key.data, key.len);
			n++;
		}
	}
	d->scan_close(sc);
	if (st != DORIS_OK && st != DORIS_NOT_FOUND)
		return st;
	if (w->index.failed)
		return doris_error(err, DORIS_NO_MEMORY, "purging the memory: out of memory");
	*done = st == DORIS_NOT_FOUND;
	locks_clear(w);
	st = commit_begin(w, err);
	for (uint32_t i = 0; st == DORIS_OK && i < n; i++)
	{
		DorisBytes k = {w->index.data + (size_t) i * NUMBERED_SIZE, NUMBERED_SIZE};

		st = d->del(w->ss, STORE_TABLE_MEMORY, k, err);
	}
	if (st != DORIS_OK)
	{
		commit_abandon(w);
		return st;
	}
	st = commit_end(w, false, NULL, err);
	if (st == DORIS_OK && n > 0)
	{
		*from = txnid_from_key(w->index.data + (size_t) (n - 1) * NUMBERED_SIZE);
		node_count(w->node, COUNT_PURGED, n);
	}
	return st;
}

/* ---- reading it in order ---- */

struct MemoryScan
{
	Worker *w;
	StoreScan *scan;
};

DorisStatus memory_scan(Worker *w, DorisTxnId from, MemoryScan **out, DorisError *err)
{
	MemoryScan *sc = malloc(sizeof(*sc));
	DorisBytes none = {NULL, 0};
	uint8_t key[NUMBERED_SIZE];
	DorisStatus st;

	*out = NULL;
	if (sc == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory", node_name(w->node));
	sc->w = w;
	st = w->node->driver->scan(w->ss, STORE_TABLE_MEMORY, txn_key(from, 0, key), none, &sc->scan,
							   err);
	if (st != DORIS_OK)
	{
		free(sc);
		return st;
	}
	*out = sc;
	return DORIS_OK;
}

DorisStatus memory_next(MemoryScan *sc, DorisTxnId *txn, bool *committed, DorisError *err)
{
	DorisBytes key;
	DorisBytes value;
	DorisStatus st = sc->w->node->driver->next(sc->scan, &key, &value, err);

	if (st != DORIS_OK)
		return st;
	if (key.len != NUMBERED_SIZE || value.len == 0)
		return doris_error(err, DORIS_IO, "%s: an entry of the memory of outcomes is damaged",
						   node_name(sc->w->node));
	*txn = txnid_from_key(key.data);
	*committed = value.data[0] == WHAT_COMMITTED;
	return DORIS_OK;
}

void memory_scan_close(MemoryScan *sc)
{
	if (sc == NULL)
		return;
	sc->w->node->driver->scan_close(sc->scan);
	free(sc);
}

/* ---- the index of staged writes ---- */

DorisStatus index_get(Worker *w, DorisTxnId txn, uint32_t number, DorisBytes *out, DorisError *err)
{
	uint8_t key[NUMBERED_SIZE];

	return w->node->driver->get(w->ss, STORE_TABLE_STAGED, txn_key(txn, number, key), out, err);
}

DorisStatus index_put(Worker *w, DorisTxnId txn, uint32_t number, DorisBytes entry, DorisError *err)
{
	uint8_t key[NUMBERED_SIZE];

	return w->node->driver->put(w->ss, STORE_TABLE_STAGED, txn_key(txn, number, key), entry, err);
}

DorisStatus index_del(Worker *w, DorisTxnId txn, uint32_t number, DorisError *err)
{
	uint8_t key[NUMBERED_SIZE];

	return w->node->driver->del(w->ss, STORE_TABLE_STAGED, txn_key(txn, number, key), err);
}

DorisStatus index_add(Worker *w, TxnSlot *slot, DorisTxnId txn, TxnMode mode, DorisBytes rows,
					  bool *is_new, DorisError *err)
{
	uint32_t number = 0;
	DorisBytes entry;
	DorisBytes whole;
	DorisStatus st;

	slot->entries = 0; /* what it knew of this or another transaction is not true any more */
	buf_reset(&w->index);
	while ((st = index_get(w, txn, number, &entry, err)) == DORIS_OK)
	{
		/* one message to each node, so always entry 0 (STAGE writes it whole): dropped in one piece, never held in part */
		if (mode != TXN_DECISION)
		{
			buf_put_raw(&w->index, entry.data, entry.len);
			break;
		}
		number++;
	}
	if (st != DORIS_OK && st != DORIS_NOT_FOUND)
		return st;
	*is_new = number == 0 && st == DORIS_NOT_FOUND;
	buf_put_raw(&w->index, rows.data, rows.len);
	if (w->index.failed)
		return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory for a list of staged rows",
						   node_name(w->node));
	whole.data = w->index.data;
	whole.len = w->index.len;
	return index_put(w, txn, number, whole, err);
}

DorisStatus index_gather(Worker *w, DorisTxnId txn, DorisBuf *out, uint32_t *n, DorisError *err)
{
	DorisBytes entry;
	DorisStatus st;

	*n = 0;
	while ((st = index_get(w, txn, *n, &entry, err)) == DORIS_OK)
	{
		buf_put_raw(out, entry.data, entry.len);
		(*n)++;
	}
	if (st != DORIS_NOT_FOUND)
		return st;
	if (out->failed)
		return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory for a list of staged rows",
						   node_name(w->node));
	return DORIS_OK;
}

DorisStatus index_list(Worker *w, DorisTxnId after, uint32_t limit, DorisBuf *ids, uint32_t *n,
					   DorisError *err)
{
	const StoreDriver *d = w->node->driver;
	uint8_t low[NUMBERED_SIZE];
	DorisBytes none = {NULL, 0};
	DorisBytes key;
	DorisBytes value;
	StoreScan *sc;
	DorisStatus st =
		d->scan(w->ss, STORE_TABLE_STAGED, txn_key(after, UINT32_MAX, low), none, &sc, err);

	*n = 0;
	if (st != DORIS_OK)
		return st;
	while (*n < limit && (st = d->next(sc, &key, &value, err)) == DORIS_OK)
	{
		static const uint8_t zero[4] = {0};

		if (key.len != NUMBERED_SIZE || memcmp(key.data + DORIS_TXNID_SIZE, zero, 4) != 0)
			continue;
		buf_put_raw(ids, key.data, DORIS_TXNID_SIZE);
		(*n)++;
	}
	d->scan_close(sc);
	if (ids->failed)
		return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory for a list of transactions",
						   node_name(w->node));
	return st == DORIS_NOT_FOUND ? DORIS_OK : st;
}

DorisStatus index_count(Worker *w, int64_t *transactions, DorisError *err)
{
	const StoreDriver *d = w->node->driver;
	DorisBytes none = {NULL, 0};
	DorisBytes key;
	DorisBytes value;
	StoreScan *sc;
	DorisStatus st = d->scan(w->ss, STORE_TABLE_STAGED, none, none, &sc, err);

	*transactions = 0;
	if (st != DORIS_OK)
		return st;
	while ((st = d->next(sc, &key, &value, err)) == DORIS_OK)
	{
		static const uint8_t zero[4] = {0};

		if (key.len == NUMBERED_SIZE && memcmp(key.data + DORIS_TXNID_SIZE, zero, 4) == 0)
			(*transactions)++;
	}
	d->scan_close(sc);
	return st == DORIS_NOT_FOUND ? DORIS_OK : st;
}
