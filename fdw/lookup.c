/*
 * lookup.c: rows by key: the transaction's write buffer first, then one get for all keys that are not in it.
 *
 * Whoever looks up (scan.c for its own keys or for those of a batched join) decides how many keys go into one get, and so
 * what it holds in memory.
 */
#include "executor.h"

void lookup_fetch(DorisLookup *l, const DorisBytes *keys, uint32 n)
{
	DorisBytes *ask = palloc(Max(n, 1) * sizeof(DorisBytes));
	uint32 nask = 0;

	handle_clear(l->handle);
	l->keys = palloc(Max(n, 1) * sizeof(LookupKey));
	l->n = n;
	l->bytes = 0;
	l->nfound = 0;
	for (uint32 i = 0; i < n; i++)
	{
		LookupKey *k = &l->keys[i];
		BufferedRow row;

		k->key = keys[i];
		k->buffered = l->buffer != NULL && (buffer_truncated(l->buffer) ||
											buffer_lookup(l->buffer, k->key, l->before, &row));
		if (!k->buffered)
		{
			k->row = nask;
			ask[nask++] = k->key;
		}
	}
	if (nask > 0)
	{
		DorisGetSpec spec = {.columns = l->columns,
							 .ncolumns = l->ncolumns,
							 .no_values = l->columns != NULL && l->ncolumns == 0,
							 .filter = l->filter};
		DorisError err = {0};
		DorisStatus status;
		const DorisRow *rows;
		uint32_t nrows;

		work_begin(l->work, l->client);
		do
			status = doris_get(l->client, l->table->ns, ask, nask, &spec, &l->handle->rows, &err);
		while (status == DORIS_NO_NAMESPACE && table_follow(l->table, l->client, l->handle));
		work_end(l->work, l->client);
		if (status != DORIS_OK)
			doris_ereport(&err, l->table->ns->name, nask == 1 ? ask[0] : EMPTY_BYTES);
		rows = doris_rows(l->handle->rows, &nrows);
		for (uint32_t i = 0; i < nrows; i++)
		{
			l->bytes += rows[i].value.len;
			l->nfound += rows[i].found;
		}
	}
	pfree(ask);
}

bool lookup_row(DorisLookup *l, uint32 i, LookupRow *out)
{
	const LookupKey *k = &l->keys[i];
	const DorisRow *rows;
	uint32_t n;

	Assert(i < l->n);
	out->own = k->buffered;
	out->key = k->key;
	if (k->buffered)
	{
		BufferedRow row;

		if (!buffer_lookup(l->buffer, k->key, l->before, &row) || row.deleted)
			return false;
		out->value = row.value;
		out->version = row.base;
		return true;
	}
	rows = doris_rows(l->handle->rows, &n);
	Assert(k->row < n);
	out->value = rows[k->row].value;
	out->version = rows[k->row].version;
	return rows[k->row].found;
}
