/*
 * pending.c: rows gathered for a batch, and their way on: into the write buffer, or at once to the cluster.
 *
 * A batch costs one round trip to look at its keys. Rows are kept encoded, so nothing of the executor's is needed to send
 * them on: whoever reads, or begins a savepoint, can have them sent first.
 *
 * A direct table's batch is written while the next one is gathered: one is under way at most. It has ended before the keys
 * of the next are looked at, so that a key that is in both is found; what went wrong with it is an error of the same statement.
 */
#include "modify.h"

#include "utils/memutils.h"

#define DIRECT_BATCHES 10 /* a direct batch is so many times batch_size */
#define MAX_UNVERIFIED 100
#define ROWS_PER_POLL 256 /* gathered before the batch under way is looked after */

/* Keys of the transaction's first batch of inserted rows that nobody has looked at: the commit is to find duplicates. */
static struct
{
	DorisClient *client;
	DorisTable *table;
	DorisBytes *keys; /* in the transaction's memory */
	int nkeys;
} unverified;

void modify_duplicate(DorisTable *t, DorisBytes key)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("duplicate key value violates unique key of namespace \"%s\"", t->ns->name),
			 errdetail("Key %s already exists.", table_key_text(t, key))));
}

static DorisBytes pending_key(const DorisModify *m, const NewRow *r)
{
	return (DorisBytes){(const uint8 *) m->bytes.data + r->at, r->key_len};
}

static DorisBytes pending_value(const DorisModify *m, const NewRow *r)
{
	return (DorisBytes){(const uint8 *) m->bytes.data + r->at + r->key_len, r->value_len};
}

static NewRow *new_row(DorisModify *m)
{
	if (m->handle->apply != NULL && m->nrows % ROWS_PER_POLL == 0)
	{
		work_begin(m->work, m->client);
		doris_apply_poll(m->handle->apply);
		work_end(m->work, m->client);
	}
	if (m->nrows == m->cap)
	{
		int cap = m->cap ? m->cap * 2 : 16;

		m->rows = m->rows ? repalloc(m->rows, cap * sizeof(NewRow))
						  : MemoryContextAlloc(m->context, cap * sizeof(NewRow));
		m->cap = cap;
	}
	memset(&m->rows[m->nrows], 0, sizeof(NewRow));
	return &m->rows[m->nrows];
}

void pending_add(DorisModify *m, WriteKind kind, DorisBytes key, Size route_len, DorisBytes value)
{
	NewRow *r = new_row(m);

	r->at = m->bytes.len;
	r->kind = kind;
	r->key_len = key.len;
	r->route_len = route_len;
	r->value_len = value.len;
	appendBinaryStringInfo(&m->bytes, (const char *) key.data, (int) key.len);
	if (value.len > 0)
		appendBinaryStringInfo(&m->bytes, (const char *) value.data, (int) value.len);
	m->nrows++;
}

/* Encodes a row straight into the gathered bytes. */
void pending_insert(DorisModify *m, const Datum *values, const bool *nulls)
{
	NewRow *r = new_row(m);
	size_t route_len;
	Size at = m->bytes.len;
	MemoryContext old = MemoryContextSwitchTo(m->scratch);

	table_put_key(m->table, values, nulls, &m->bytes, &route_len);
	r->at = at;
	r->kind = WRITE_INSERT;
	r->key_len = m->bytes.len - at;
	r->route_len = route_len;
	table_put_value(m->table, values, nulls, &m->bytes);
	r->value_len = m->bytes.len - at - r->key_len;
	m->nrows++;
	MemoryContextSwitchTo(old);
}

static const DorisGetSpec versions = {.no_values = true};

/* Looks at keys in the cluster: found and version only. Into the handle's rows. */
const DorisRow *pending_look(DorisModify *m, const DorisBytes *keys, uint32 n)
{
	DorisError err = {0};
	DorisStatus status;
	uint32_t got;
	const DorisRow *rows;

	handle_clear(m->handle);
	work_begin(m->work, m->client);
	do
		status = doris_get(m->client, m->table->ns, keys, n, &versions, &m->handle->rows, &err);
	while (status == DORIS_NO_NAMESPACE && table_follow(m->table, m->client, m->handle));
	work_end(m->work, m->client);
	if (status != DORIS_OK)
		doris_ereport(&err, m->table->ns->name, n == 1 ? keys[0] : EMPTY_BYTES);
	rows = doris_rows(m->handle->rows, &got);
	Assert(got == n);
	return rows;
}

static void conflict(DorisModify *m, NewRow *r)
{
	if (!m->do_nothing)
		modify_duplicate(m->table, pending_key(m, r));
	r->skip = true;
}

WriteBuffer *pending_buffer(DorisModify *m)
{
	if (m->buffer == NULL)
		m->buffer = buffer_open(m->rel, m->client, m->table);
	return m->buffer;
}

bool pending_forget(void)
{
	bool any = unverified.nkeys > 0;

	unverified.nkeys = 0;
	return any;
}

void pending_verify(void)
{
	uint32 n = (uint32) unverified.nkeys;
	DorisRows *got = NULL;
	DorisError err = {0};
	DorisStatus status;
	uint32_t nrows;
	const DorisRow *rows;
	DorisHandle *h;

	if (n == 0)
		return;
	unverified.nkeys = 0;
	h = handle_create();
	status = doris_get(unverified.client, unverified.table->ns, unverified.keys, n, &versions, &got,
					   &err);
	h->rows = got;
	if (status != DORIS_OK)
		doris_ereport(&err, unverified.table->ns->name, EMPTY_BYTES);
	rows = doris_rows(got, &nrows);
	for (uint32 i = 0; i < nrows; i++)
		if (rows[i].found)
			modify_duplicate(unverified.table, unverified.keys[i]);
	handle_free(h);
}

/* Puts the rows of a statement that is alone into the buffer without a look. */
static void trust(DorisModify *m, WriteBuffer *b)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

	unverified.client = m->client;
	unverified.table = m->table;
	unverified.keys = palloc(m->nrows * sizeof(DorisBytes));
	for (int i = 0; i < m->nrows; i++)
	{
		DorisBytes key = pending_key(m, &m->rows[i]);
		uint8 *copy = palloc(key.len);

		memcpy(copy, key.data, key.len);
		unverified.keys[i] = (DorisBytes){copy, key.len};
	}
	MemoryContextSwitchTo(old);
	for (int i = 0; i < m->nrows; i++)
	{
		NewRow *r = &m->rows[i];
		BufferedRow row = {.was_absent = true,
						   .key = pending_key(m, r),
						   .route_len = r->route_len,
						   .value = pending_value(m, r),
						   .cid = m->cid};
		BufferedRow own;

		if (buffer_lookup(b, row.key, BUFFER_NEWEST, &own))
			modify_duplicate(m->table, row.key);
		buffer_put(b, &row, m->subid);
	}
	unverified.nkeys = m->nrows;
}

static void flush_buffered(DorisModify *m)
{
	WriteBuffer *b = pending_buffer(m);
	bool first = !m->flushed;
	DorisBytes *ask;
	int *answer;
	const DorisRow *found = NULL;
	uint32 nask = 0;
	BufferedRow own;

	m->flushed = true;
	if (m->alone && first && m->nrows <= MAX_UNVERIFIED && !buffer_any())
	{
		trust(m, b);
		return;
	}
	pending_verify();
	ask = palloc(m->nrows * sizeof(DorisBytes));
	answer = palloc(m->nrows * sizeof(int));

	for (int i = 0; i < m->nrows; i++)
	{
		DorisBytes key = pending_key(m, &m->rows[i]);

		answer[i] = -1;
		if (!buffer_truncated(b) && !buffer_lookup(b, key, BUFFER_NEWEST, &own))
		{
			answer[i] = (int) nask;
			ask[nask++] = key;
		}
	}
	if (m->do_nothing)
		buffer_skips(m->table);
	if (nask > 0)
		found = pending_look(m, ask, nask);
	for (int i = 0; i < m->nrows; i++)
	{
		NewRow *r = &m->rows[i];
		const DorisRow *there = answer[i] >= 0 ? &found[answer[i]] : NULL;
		BufferedRow row = {.was_absent = true,
						   .key = pending_key(m, r),
						   .route_len = r->route_len,
						   .value = pending_value(m, r),
						   .cid = m->cid};

		/* look again: the batch itself may hold a key twice */
		if (buffer_lookup(b, row.key, BUFFER_NEWEST, &own) ? !own.deleted : there && there->found)
			conflict(m, r);
		else
		{
			if (there != NULL)
				row.base = there->version;
			buffer_put(b, &row, m->subid);
		}
	}
}

static DorisModify *sorted; /* qsort has no argument */

static int compare_rows(const void *a, const void *b)
{
	int x = *(const int *) a;
	int y = *(const int *) b;
	int c =
		bytes_compare(pending_key(sorted, &sorted->rows[x]), pending_key(sorted, &sorted->rows[y]));

	return c != 0 ? c : x - y;
}

void pending_await(DorisModify *m)
{
	DorisApply *apply = m->handle->apply;
	DorisError err = {0};
	DorisStatus status;

	if (apply == NULL)
		return;
	m->handle->apply = NULL;
	work_begin(m->work, m->client);
	status = doris_apply_end(apply, &err);
	work_end(m->work, m->client);
	if (status != DORIS_OK)
		doris_ereport(&err, m->table->ns->name, EMPTY_BYTES);
	MemoryContextReset(m->handle->sent);
}

/* Has the rows that are not to be skipped on their way. They are copied: a statement that fails frees its own memory first. */
static void send_direct(DorisModify *m)
{
	DorisError err = {0};
	DorisStatus status;
	DorisWrite *writes;
	uint8 *bytes;
	uint32 n = 0;

	if (m->handle->sent == NULL)
		m->handle->sent =
			AllocSetContextCreate(TopMemoryContext, "doris batch", ALLOCSET_DEFAULT_SIZES);
	writes = MemoryContextAlloc(m->handle->sent, m->nrows * sizeof(DorisWrite));
	bytes = MemoryContextAlloc(m->handle->sent, Max(m->bytes.len, 1));
	memcpy(bytes, m->bytes.data, m->bytes.len);
	for (int i = 0; i < m->nrows; i++)
	{
		const NewRow *r = &m->rows[i];

		if (r->skip)
			continue;
		writes[n].ns = m->table->ns->id;
		writes[n].kind = r->kind == WRITE_DELETE ? WRITE_DELETE : WRITE_PUT;
		writes[n].key = (DorisBytes){bytes + r->at, r->key_len};
		writes[n].route = (DorisBytes){bytes + r->at, r->route_len};
		writes[n].base = (DorisVersion){0, 0};
		writes[n].value = (DorisBytes){bytes + r->at + r->key_len, r->value_len};
		n++;
	}
	if (n == 0)
		return;
	work_begin(m->work, m->client);
	status = doris_apply_start(m->client, writes, n, &m->handle->apply, &err);
	work_end(m->work, m->client);
	if (status != DORIS_OK)
		doris_ereport(&err, m->table->ns->name, n == 1 ? writes[0].key : EMPTY_BYTES);
	estimate_changed(m->table->serverid, m->table->ns->id, n);
}

static void flush_direct(DorisModify *m)
{
	int *order = palloc(m->nrows * sizeof(int));
	DorisBytes *ask = palloc(m->nrows * sizeof(DorisBytes));
	uint32 nask = 0;

	/* a key at most once in a batch: the first change of a row stands, a second INSERT is a duplicate */
	for (int i = 0; i < m->nrows; i++)
		order[i] = i;
	sorted = m;
	qsort(order, m->nrows, sizeof(int), compare_rows);
	for (int i = 1; i < m->nrows; i++)
	{
		NewRow *r = &m->rows[order[i]];

		if (bytes_compare(pending_key(m, &m->rows[order[i - 1]]), pending_key(m, r)) != 0)
			continue;
		if (r->kind == WRITE_INSERT)
			conflict(m, r);
		r->skip = true;
	}

	/* the batch before may have the same keys: it comes first (I4), and is seen by the look */
	pending_await(m);
	for (int i = 0; i < m->nrows; i++)
		if (!m->rows[i].skip && m->rows[i].kind == WRITE_INSERT)
			ask[nask++] = pending_key(m, &m->rows[i]);
	if (nask > 0)
	{
		const DorisRow *found = pending_look(m, ask, nask);

		nask = 0;
		for (int i = 0; i < m->nrows; i++)
			if (!m->rows[i].skip && m->rows[i].kind == WRITE_INSERT && found[nask++].found)
				conflict(m, &m->rows[i]);
	}
	send_direct(m);
}

/* Sends on what is gathered; afterwards rows[].skip tells which were left out. */
void pending_flush(DorisModify *m)
{
	MemoryContext old;

	if (m->nrows == 0)
		return;
	old = MemoryContextSwitchTo(m->scratch);
	if (m->direct)
		flush_direct(m);
	else
		flush_buffered(m);
	handle_clear(m->handle);
	MemoryContextSwitchTo(old);
	MemoryContextReset(m->scratch);
	m->nrows = 0;
	if (m->bytes.maxlen > 2 * BATCH_BYTES)
	{
		old = MemoryContextSwitchTo(m->context);
		pfree(m->bytes.data);
		initStringInfo(&m->bytes);
		MemoryContextSwitchTo(old);
	}
	else
		resetStringInfo(&m->bytes);
}

void modify_flush_all(void)
{
	dlist_iter it;

	dlist_foreach(it, &handles)
	{
		DorisHandle *h = dlist_container(DorisHandle, node, it.cur);

		if (h->modify != NULL)
		{
			pending_flush(h->modify);
			pending_await(h->modify);
		}
	}
	pending_verify();
}

bool pending_full(const DorisModify *m)
{
	return m->nrows >= (m->direct ? DIRECT_BATCHES : 1) * m->batch_size ||
		   m->bytes.len >= BATCH_BYTES;
}
