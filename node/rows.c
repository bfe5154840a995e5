/*
 * rows.c: records in the store, for the requests that read and write rows.
 */
#include "node.h"

#include <string.h>

DorisStatus rows_load(Worker *w, uint32_t vnode, DorisBytes stored_key, Record *r, DorisError *err)
{
	DorisBytes value;
	DorisStatus st = w->node->driver->get(w->ss, vnode, stored_key, &value, err);

	if (st == DORIS_NOT_FOUND)
		record_clear(r);
	else if (st != DORIS_OK)
		return st;
	else if (!record_decode(value, r))
		return doris_error(err, DORIS_IO, "%s: a record of vnode %u is damaged", node_name(w->node),
						   vnode);
	w->was = row_was(r);
	return DORIS_OK;
}

static DorisStatus record_bytes(Worker *w, const Record *r, DorisBytes *out, DorisError *err)
{
	buf_reset(&w->record);
	record_encode(&w->record, r);
	if (w->record.failed)
		return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory for a row of %zu bytes",
						   node_name(w->node), r->value.len);
	*out = (DorisBytes){w->record.data, w->record.len};
	return DORIS_OK;
}

/* The record is in the store: notes what that changes in what is counted and kept of it. */
static DorisStatus saved(Worker *w, uint32_t vnode, DorisBytes stored_key, const Record *r,
						 DorisError *err)
{
	bool was_live = w->was.committed && !w->was.tombstone;
	bool live = record_is_live(r);

	if ((live || was_live) && stored_key.data[0] == DORIS_SPACE_ROWS)
	{
		uint32_t ns = (uint32_t) load_big_endian(stored_key.data + 1, 4);
		int64_t key = (int64_t) stored_key.len - 5;

		counters_note(w, vnode, ns, (live ? 1 : 0) - (was_live ? 1 : 0),
					  (live ? key + (int64_t) r->value.len : 0) -
						  (was_live ? key + (int64_t) w->was.bytes : 0));
	}
	return kept_note(w, vnode, stored_key, &w->was, r, err);
}

DorisStatus rows_save(Worker *w, uint32_t vnode, DorisBytes stored_key, const Record *r,
					  DorisError *err)
{
	const StoreDriver *d = w->node->driver;
	DorisBytes value;
	DorisStatus st;

	if (record_is_empty(r))
		st = d->del(w->ss, vnode, stored_key, err);
	else
	{
		st = record_bytes(w, r, &value, err);
		if (st == DORIS_OK)
			st = d->put(w->ss, vnode, stored_key, value, err);
	}
	return st == DORIS_OK ? saved(w, vnode, stored_key, r, err) : st;
}

DorisStatus rows_add(Worker *w, uint32_t vnode, DorisBytes stored_key, const Record *r,
					 DorisError *err)
{
	DorisBytes value;
	DorisStatus st = record_bytes(w, r, &value, err);

	if (st == DORIS_OK)
		st = w->node->driver->add(w->ss, vnode, stored_key, value, err);
	if (st != DORIS_OK)
		return st;
	w->was = (RowWas){0}; /* nothing */
	return saved(w, vnode, stored_key, r, err);
}

DorisStatus rows_check(const Node *n, const KeyRef *at, size_t value_len, DorisError *err)
{
	if (at->space != DORIS_SPACE_ROWS && at->space != DORIS_SPACE_DECISIONS)
		return doris_error(err, DORIS_BAD_MESSAGE, "%s: key space %u is unknown", node_name(n),
						   at->space);
	if (at->space == DORIS_SPACE_DECISIONS && (at->ns != 0 || at->key.len != DORIS_TXNID_SIZE))
		return doris_error(err, DORIS_BAD_MESSAGE, "%s: malformed key of a decision row",
						   node_name(n));
	if (at->key.len > DORIS_MAX_KEY)
		return doris_error(err, DORIS_TOO_BIG, "a key of %zu bytes is over the limit of %d",
						   at->key.len, DORIS_MAX_KEY);
	if (value_len > DORIS_MAX_VALUE)
		return doris_error(err, DORIS_TOO_BIG, "a row of %zu bytes is over the limit of %u",
						   value_len, DORIS_MAX_VALUE);
	return DORIS_OK;
}

void rows_staged_info(const RecordStaged *s, uint64_t now_ms, StagedInfo *out)
{
	memset(out, 0, sizeof(*out));
	out->txn = s->txn;
	out->mode = s->mode;
	out->decision_vnode = s->decision_vnode;
	out->others = s->others;
	out->expires_ms = s->expires_ms;
	out->now_ms = now_ms;
	out->deleted = s->kind == WRITE_DELETE;
	out->base = s->base;
	out->version = s->version;
}
