/*
 * merge.c: taking what another copy of a vnode holds into this one (merge.h; rule complete, I4).
 *
 * Committed versions first, in batches under the vnode's lock; then the staged writes, one transaction after the other
 * under that transaction's lock, so that STAGE, FINISH and OUTCOME of it do not come in between. Every step is its own
 * store transaction, under the epoch lock and only while changed(v) is what the pass began with (I3): what was taken
 * before stays and harms nothing.
 */
#include "merge.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH_RECORDS 512
#define BATCH_BYTES (1u << 20)
#define MEMORY_BATCH 256
#define MAX_RETRIES 30

/* A staged write of the page. */
typedef struct Item
{
	DorisBytes key;
	RecordStaged staged;
} Item;

/* ---- lists of transactions ---- */

bool txn_list_add(TxnList *l, DorisTxnId txn)
{
	if (l->n == l->cap)
	{
		uint32_t cap = l->cap == 0 ? 16 : l->cap * 2;
		DorisTxnId *p = realloc(l->txns, cap * sizeof(*p));

		if (p == NULL)
			return false;
		l->txns = p;
		l->cap = cap;
	}
	l->txns[l->n++] = txn;
	return true;
}

static int by_txn(const void *a, const void *b)
{
	return txnid_compare(*(const DorisTxnId *) a, *(const DorisTxnId *) b);
}

void txn_list_sort(TxnList *l)
{
	uint32_t kept = 0;

	if (l->n > 1)
		qsort(l->txns, l->n, sizeof(*l->txns), by_txn);
	for (uint32_t i = 0; i < l->n; i++)
	{
		if (kept == 0 || txnid_compare(l->txns[kept - 1], l->txns[i]) != 0)
			l->txns[kept++] = l->txns[i];
	}
	l->n = kept;
}

void txn_list_free(TxnList *l)
{
	free(l->txns);
	memset(l, 0, sizeof(*l));
}

void merge_init(Merge *m, Worker *w, uint32_t vnode, uint64_t changed)
{
	memset(m, 0, offsetof(Merge, in));
	m->w = w;
	m->vnode = vnode;
	m->changed = changed;
}

void merge_free(Merge *m)
{
	txn_list_free(&m->proved);
	txn_list_free(&m->rivals);
}

static DorisStatus no_memory(const Merge *m, DorisError *err)
{
	return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory recovering vnode %u",
					   node_name(m->w->node), m->vnode);
}

/* A short pause that grows: two store transactions met on a key, or the cache is under pressure. */
static bool again(int *tries)
{
	struct timespec pause = {0, 500000L << (*tries < 6 ? *tries : 6)};

	if (++*tries > MAX_RETRIES)
		return false;
	(void) nanosleep(&pause, NULL);
	return true;
}

static void leave(Merge *m)
{
	(void) pthread_rwlock_unlock(&m->w->node->epoch_lock);
}

/* With DORIS_OK the epoch lock is held for reading, and the copy is still the one that the pass began for. */
static DorisStatus enter(Merge *m, DorisError *err)
{
	Node *n = m->w->node;
	const Placement *p;
	DorisStatus st = DORIS_OK;

	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	p = n->placement;
	if (p == NULL || m->vnode >= p->topo->vnodes || p->changed[m->vnode] != m->changed ||
		(p->place[m->vnode] & PLACE_RECOVER) == 0)
		st = doris_error(err, DORIS_STALE_EPOCH, "%s: the placement of vnode %u has changed",
						 node_name(n), m->vnode);
	else
		st = tables_need(m->w, m->vnode, err);
	if (st != DORIS_OK)
		leave(m);
	return st;
}

/* Rows of namespaces that are gone are not brought back (rule leftovers). With the epoch lock held. */
static bool is_wanted(const Merge *m, DorisBytes key, bool *damaged)
{
	uint8_t space;
	uint32_t ns;
	DorisBytes row_key;
	const NsDef *def;
	DorisError err;

	*damaged = !record_key_split(key, &space, &ns, &row_key) ||
			   (space != DORIS_SPACE_ROWS && space != DORIS_SPACE_DECISIONS);
	if (*damaged)
		return false;
	return space == DORIS_SPACE_DECISIONS ||
		   epoch_namespace(m->w->node, ns, &def, &err) == DORIS_OK;
}

static DorisStatus bad_page(const Merge *m, DorisError *err)
{
	return doris_error(err, DORIS_BAD_MESSAGE, "%s: a page of vnode %u does not decode",
					   node_name(m->w->node), m->vnode);
}

/* ---- committed versions ---- */

/* Staged writes here that the page proves to be committed: it has them applied, or somebody has read them. */
static bool find_proved(Merge *m, const Record *mine)
{
	const Record *in = &m->in;

	for (int k = 0; k < mine->nstaged; k++)
	{
		DorisVersion v = mine->staged[k].version;
		bool proved = in->committed && version_compare(in->version, v) == 0;

		for (int i = 0; i < in->nstaged && !proved; i++)
			proved = version_compare(in->staged[i].base, v) == 0 &&
					 mine->staged[k].mode != TXN_NAMED; /* rule decided first */
		if (proved && !txn_list_add(&m->proved, mine->staged[k].txn))
			return false;
	}
	return true;
}

static bool holds_version(const Record *r, DorisVersion version)
{
	for (int k = 0; k < r->nstaged; k++)
	{
		if (version_compare(r->staged[k].version, version) == 0)
			return true;
	}
	return false;
}

static DorisStatus merge_record(Merge *m, DorisBytes key, DorisBytes value, DorisError *err)
{
	Worker *w = m->w;
	bool damaged;
	bool is_held;
	DorisStatus st;

	if (!is_wanted(m, key, &damaged))
	{
		m->unwanted = true;
		return damaged ? bad_page(m, err) : DORIS_OK;
	}
	if (!record_decode(value, &m->in))
		return bad_page(m, err);
	st = rows_load(w, m->vnode, key, &w->row, err);
	if (st != DORIS_OK)
		return st;
	if (!find_proved(m, &w->row))
		return no_memory(m, err);
	is_held = holds_version(&w->row, m->in.version);
	if (!m->in.committed || !record_apply(&w->row, m->in.version, m->in.tombstone, m->in.value))
		return DORIS_OK;
	m->records++;
	m->missed += is_held ? 0 : 1;
	return rows_save(w, m->vnode, key, &w->row, err);
}

/* The next records of the page in one store transaction; *c moves on when that is committed. */
static DorisStatus merge_batch(Merge *m, DorisCursor *c, uint32_t *left, DorisError *err)
{
	Worker *w = m->w;
	DorisCursor at = *c;
	uint32_t n = 0;
	uint64_t records = m->records;
	uint64_t missed = m->missed;
	DorisStatus st = enter(m, err);

	if (st != DORIS_OK)
		return st;
	locks_clear(w);
	locks_add(w, m->vnode);
	locks_take(w);
	st = commit_begin(w, err);
	while (st == DORIS_OK && n < *left && n < BATCH_RECORDS && (size_t) (at.p - c->p) < BATCH_BYTES)
	{
		DorisBytes key = cursor_bytes(&at);
		DorisBytes value = cursor_bytes(&at);

		st = at.bad ? bad_page(m, err) : merge_record(m, key, value, err);
		n++;
	}
	if (st != DORIS_OK)
		commit_abandon(w);
	else if (m->records == records)
		commit_abandon(w); /* nothing new */
	else
		st = commit_end(w, false, NULL, err); /* all is flushed before the copy is called ready */
	leave(m);
	if (st == DORIS_OK)
	{
		*c = at;
		*left -= n;
	}
	else
	{
		m->records = records;
		m->missed = missed;
	}
	return st;
}

/* ---- staged writes ---- */

static int by_item_txn(const void *a, const void *b)
{
	const Item *x = a;
	const Item *y = b;

	return txnid_compare(x->staged.txn, y->staged.txn);
}

/* The staged writes of the page, by transaction; *highest: of all stamps in it. */
static DorisStatus gather(Merge *m, DorisCursor c, uint32_t n, Item **out, uint32_t *count,
						  uint64_t *highest, DorisError *err)
{
	Item *items = NULL;
	uint32_t cap = 0;

	*count = 0;
	*highest = 0;
	for (uint32_t i = 0; i < n; i++)
	{
		DorisBytes key = cursor_bytes(&c);
		DorisBytes value = cursor_bytes(&c);

		if (c.bad || !record_decode(value, &m->in))
		{
			free(items);
			return bad_page(m, err);
		}
		if (m->in.version.clock > *highest)
			*highest = m->in.version.clock;
		for (int k = 0; k < m->in.nstaged; k++)
		{
			if (*count == cap)
			{
				Item *p;

				cap = cap == 0 ? 16 : cap * 2;
				p = realloc(items, cap * sizeof(*p));
				if (p == NULL)
				{
					free(items);
					return no_memory(m, err);
				}
				items = p;
			}
			items[*count].key = key;
			items[*count].staged = m->in.staged[k];
			if (m->in.staged[k].version.clock > *highest)
				*highest = m->in.staged[k].version.clock;
			(*count)++;
		}
	}
	if (*count > 1)
		qsort(items, *count, sizeof(*items), by_item_txn);
	*out = items;
	return DORIS_OK;
}

static DorisStatus note_rivals(Merge *m, const Record *r, DorisError *err)
{
	for (int k = 0; k < r->nstaged; k++)
	{
		if (!txn_list_add(&m->rivals, r->staged[k].txn))
			return no_memory(m, err);
	}
	return DORIS_OK;
}

/* One staged write of a transaction whose end is known here only as `committed` says. *added: it is held now. */
static DorisStatus take_one(Merge *m, const Item *item, bool committed, bool *added, bool *written,
							DorisError *err)
{
	Worker *w = m->w;
	Record *r = &w->row;
	const RecordStaged *s = &item->staged;
	int mine;
	DorisStatus st = rows_load(w, m->vnode, item->key, r, err);

	*added = false;
	if (st != DORIS_OK)
		return st;
	mine = record_find_staged(r, s->txn);
	if (committed)
	{
		/* a node that knows an id as committed still applies its value (rule finish) */
		if (mine >= 0)
			return txn_list_add(&m->proved, s->txn) ? DORIS_OK : no_memory(m, err);
		if (!record_apply(r, s->version, s->kind == WRITE_DELETE, s->value))
			return DORIS_OK;
	}
	else if (mine >= 0 || (r->committed && version_compare(r->version, s->version) == 0))
		return DORIS_OK; /* held already */
	else if (r->nstaged > 0 && (m->strict || r->nstaged >= RECORD_MAX_STAGED))
		return note_rivals(m, r, err);
	else
	{
		r->staged[r->nstaged++] = *s;
		*added = true;
	}
	*written = true;
	return rows_save(w, m->vnode, item->key, r, err);
}

/* All of one transaction in this page, in the open store transaction. *is_new: it had nothing staged here. */
static DorisStatus take_rows(Merge *m, TxnSlot *slot, const Item *items, uint32_t n, bool *is_new,
							 bool *written, DorisError *err)
{
	Worker *w = m->w;
	DorisTxnId txn = items[0].staged.txn;
	Remembered known;
	bool refused = false;
	DorisBuf rows;
	DorisStatus st = memory_load(w, txn, &known, err);

	if (st == DORIS_OK && known.some_refused)
		st = memory_refused(w, txn, m->vnode, &refused, err);
	if (st != DORIS_OK || refused)
		return st; /* a pass never brings back what was refused in the present epoch */
	buf_init(&rows);
	for (uint32_t i = 0; st == DORIS_OK && i < n; i++)
	{
		bool damaged;
		bool added = false;

		if (is_wanted(m, items[i].key, &damaged))
			st = take_one(m, &items[i], known.committed, &added, written, err);
		else if (damaged)
			st = bad_page(m, err);
		if (added)
		{
			buf_put_u32(&rows, m->vnode);
			buf_put_view(&rows, items[i].key);
		}
	}
	if (st == DORIS_OK && rows.failed)
		st = no_memory(m, err);
	if (st == DORIS_OK && rows.len > 0)
	{
		DorisBytes bytes = {rows.data, rows.len};

		st = index_add(w, slot, txn, items[0].staged.mode, bytes, is_new, err);
	}
	buf_free(&rows);
	return st;
}

static DorisStatus take_txn(Merge *m, const Item *items, uint32_t n, DorisError *err)
{
	Worker *w = m->w;
	TxnSlot *slot = txn_slot(w->node, items[0].staged.txn);
	bool is_new = false;
	bool written = false;
	DorisStatus st = enter(m, err);

	if (st != DORIS_OK)
		return st;
	(void) pthread_mutex_lock(&slot->lock);
	locks_clear(w);
	locks_add(w, m->vnode);
	locks_take(w);
	st = commit_begin(w, err);
	if (st == DORIS_OK)
		st = take_rows(m, slot, items, n, &is_new, &written, err);
	if (st == DORIS_OK && written)
		st = commit_end(w, true, NULL, err); /* OUTCOME tells of it: only when it is on disk */
	else
		commit_abandon(w);
	if (st == DORIS_OK && is_new)
		atomic_fetch_add(&w->node->staged, 1);
	(void) pthread_mutex_unlock(&slot->lock);
	leave(m);
	return st;
}

static DorisStatus take_staged(Merge *m, const Item *items, uint32_t n, DorisError *err)
{
	DorisStatus st = DORIS_OK;

	for (uint32_t i = 0; st == DORIS_OK && i < n;)
	{
		uint32_t end = i + 1;
		int tries = 0;

		while (end < n && by_item_txn(&items[i], &items[end]) == 0)
			end++;
		do
			st = take_txn(m, &items[i], end - i, err);
		while (st == DORIS_CONFLICT && again(&tries));
		i = end;
	}
	return st;
}

DorisStatus merge_page(Merge *m, DorisCursor c, uint32_t n, DorisError *err)
{
	Node *node = m->w->node;
	uint64_t highest;
	Item *items = NULL;
	uint32_t count;
	uint32_t left = n;
	int tries = 0;
	size_t bytes = cursor_left(&c);
	DorisStatus st = gather(m, c, n, &items, &count, &highest, err);

	if (st == DORIS_OK && n > 0)
	{
		clock_observe(&node->clock, highest);
		st = meta_raise_ceiling(m->w, highest, err);
		if (st == DORIS_OK)
			st = disk_take(node, bytes, err);
	}
	while (st == DORIS_OK && left > 0)
	{
		st = merge_batch(m, &c, &left, err);
		if (st == DORIS_CONFLICT && again(&tries))
			st = DORIS_OK;
		else
			tries = 0;
	}
	if (st == DORIS_OK)
		st = take_staged(m, items, count, err);
	free(items);
	return st;
}

/* ---- what is known as committed ---- */

DorisStatus merge_end(Worker *w, uint64_t epoch, DorisTxnId txn, bool commit, uint32_t vnode,
					  FinishResult *out, DorisError *err)
{
	FinishItem item = {.txn = txn, .commit = commit, .nvnodes = commit ? 0 : 1, .vnodes = &vnode};
	int tries = 0;
	DorisStatus st;

	do
		st = finish_execute(w, epoch, &item, out, err);
	while (st == DORIS_CONFLICT && again(&tries));
	return st;
}

DorisStatus merge_finish(Merge *m, DorisError *err)
{
	FinishResult result;
	DorisStatus st = DORIS_OK;

	txn_list_sort(&m->proved);
	for (uint32_t i = 0; st == DORIS_OK && i < m->proved.n; i++)
		st = merge_end(m->w, 0, m->proved.txns[i], true, m->vnode, &result, err);
	m->proved.n = 0;
	return st;
}

/* Those of the page that are not remembered here as committed; both are read in the order of the ids. */
static DorisStatus find_missing(Worker *w, DorisCursor c, uint32_t n, TxnList *missing,
								DorisError *err)
{
	MemoryScan *sc = NULL;
	DorisTxnId mine = {0};
	bool committed = false;
	bool more = true;
	DorisStatus st;

	locks_clear(w);
	st = commit_begin(w, err);
	for (uint32_t i = 0; st == DORIS_OK && i < n; i++)
	{
		DorisTxnId id = txnid_from_key(cursor_raw(&c, DORIS_TXNID_SIZE));
		bool known = false;

		if (sc == NULL)
		{
			st = memory_scan(w, id, &sc, err);
			if (st == DORIS_OK)
				st = memory_next(sc, &mine, &committed, err);
		}
		while (st == DORIS_OK && more && txnid_compare(mine, id) <= 0)
		{
			known = known || (committed && txnid_compare(mine, id) == 0);
			st = memory_next(sc, &mine, &committed, err);
		}
		if (st == DORIS_NOT_FOUND)
		{
			more = false;
			st = DORIS_OK;
		}
		if (st == DORIS_OK && !known && !txn_list_add(missing, id))
			st = doris_error(err, DORIS_NO_MEMORY, "%s: out of memory", node_name(w->node));
	}
	memory_scan_close(sc);
	commit_abandon(w);
	return st;
}

/*
 * Each is noted under its transaction's lock, or an OUTCOME that looks at the same time would refuse it; as there are
 * few locks, all are taken for a batch.
 */
static DorisStatus remember_batch(Worker *w, const DorisTxnId *txns, uint32_t n, DorisError *err)
{
	Node *node = w->node;
	DorisStatus st;

	(void) pthread_rwlock_rdlock(&node->epoch_lock);
	for (int i = 0; i < NODE_TXN_LOCKS; i++)
		(void) pthread_mutex_lock(&node->txns[i].lock);
	locks_clear(w);
	st = commit_begin(w, err);
	for (uint32_t i = 0; st == DORIS_OK && i < n; i++)
		st = memory_put_committed(w, txns[i], err);
	if (st == DORIS_OK)
		st = commit_end(w, false, NULL, err);
	else
		commit_abandon(w);
	for (int i = NODE_TXN_LOCKS - 1; i >= 0; i--)
		(void) pthread_mutex_unlock(&node->txns[i].lock);
	(void) pthread_rwlock_unlock(&node->epoch_lock);
	return st;
}

DorisStatus merge_memory(Worker *w, DorisCursor c, uint32_t n, DorisError *err)
{
	TxnList missing = {0};
	DorisStatus st;

	if (cursor_left(&c) < (size_t) n * DORIS_TXNID_SIZE)
		return doris_error(err, DORIS_BAD_MESSAGE, "%s: a page of outcomes does not decode",
						   node_name(w->node));
	st = find_missing(w, c, n, &missing, err);
	for (uint32_t i = 0; st == DORIS_OK && i < missing.n; i += MEMORY_BATCH)
	{
		uint32_t batch = missing.n - i < MEMORY_BATCH ? missing.n - i : MEMORY_BATCH;
		int tries = 0;

		do
			st = remember_batch(w, &missing.txns[i], batch, err);
		while (st == DORIS_CONFLICT && again(&tries));
	}
	txn_list_free(&missing);
	return st;
}
