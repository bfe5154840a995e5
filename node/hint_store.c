/*
 * hint_store.c: table HINTS of a log node: keys, and reading and deleting in batches.
 *
 * Key: target (4, big-endian), sequence (8, big-endian); value: u16 type of the message, its body. The sequence is
 * the node's clock as the hint came: rising, never used twice, and it tells the hint's age. Hints that can never be applied lie
 * under 0 (4; no node has that id), target, sequence, until their target is gone.
 */
#include "hints.h"

#include <stdio.h>
#include <string.h>

#define DESCRIPTION_SIZE 160

/* ---- keys ---- */

DorisBytes hint_key(uint32_t target, uint64_t sequence, uint8_t out[HINT_KEY_SIZE])
{
	DorisBytes key = {out, HINT_KEY_SIZE};

	store_big_endian(out, target, 4);
	store_big_endian(out + 4, sequence, 8);
	return key;
}

static DorisBytes poison_key(uint32_t target, uint64_t sequence, uint8_t out[HINT_POISON_KEY_SIZE])
{
	DorisBytes key = {out, HINT_POISON_KEY_SIZE};

	store_big_endian(out, 0, 4);
	store_big_endian(out + 4, target, 4);
	store_big_endian(out + 8, sequence, 8);
	return key;
}

/* ---- batches ---- */

void hint_batch_free(HintBatch *b)
{
	buf_free(&b->kept);
	b->n = 0;
}

/* One from the store into the batch. False: it does not fit any more. */
static bool batch_add(HintBatch *b, DorisBytes key, DorisBytes value)
{
	uint16_t type =
		value.len < HINT_TYPE_SIZE ? 0 : (uint16_t) (value.data[0] | value.data[1] << 8);
	bool good = type == MSG_STAGE || type == MSG_FINISH || type == MSG_APPLY;

	if (b->n > 0 && (!good || b->bytes + key.len + value.len > DORIS_BATCH_BYTES))
		return false;
	b->sequences[b->n] = load_big_endian(key.data + 4, 8);
	b->items[b->n].type = type;
	b->items[b->n].body.len = good ? value.len - HINT_TYPE_SIZE : value.len;
	b->damaged = !good;
	buf_put_raw(&b->kept, value.data, value.len);
	b->bytes += key.len + value.len;
	b->n++;
	return good;
}

DorisStatus hints_load(Worker *w, uint32_t target, uint64_t from, uint32_t limit, HintBatch *b,
					   DorisError *err)
{
	const StoreDriver *d = w->node->driver;
	uint8_t low[HINT_KEY_SIZE];
	uint8_t high[HINT_KEY_SIZE];
	DorisBytes key;
	DorisBytes value;
	StoreScan *sc;
	size_t at = 0;
	DorisStatus st;

	b->target = target;
	b->n = 0;
	b->bytes = 0;
	b->damaged = false;
	buf_reset(&b->kept);
	st = d->scan(w->ss, STORE_TABLE_HINTS, hint_key(target, from, low),
				 hint_key(target, UINT64_MAX, high), &sc, err);
	if (st != DORIS_OK)
		return st;
	while (b->n < limit && b->n < HINTS_BATCH && (st = d->next(sc, &key, &value, err)) == DORIS_OK)
	{
		if (key.len != HINT_KEY_SIZE)
			st =
				doris_error(err, DORIS_IO, "%s: a key of the hints is damaged", node_name(w->node));
		if (st != DORIS_OK || !batch_add(b, key, value))
			break;
	}
	d->scan_close(sc);
	if (st != DORIS_OK && st != DORIS_NOT_FOUND)
		return st;
	if (b->kept.failed)
		return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory replaying hints",
						   node_name(w->node));
	for (uint32_t i = 0; i < b->n; i++)
	{
		at += b->damaged ? 0 : HINT_TYPE_SIZE;
		b->items[i].body.data = b->kept.data + at;
		at += b->items[i].body.len;
	}
	return DORIS_OK;
}

static void describe(const ReplayItem *item, char out[DESCRIPTION_SIZE])
{
	StageRequest stage = {0};
	ApplyRequest apply = {0};
	FinishRequest finish = {0};
	DorisError err;

	if (item->type == MSG_STAGE && stage_request_decode(item->body, &stage, &err) == DORIS_OK &&
		stage.nrows > 0)
		(void) snprintf(out, DESCRIPTION_SIZE,
						"transaction %llx.%x.%x, %u rows, the first in vnode %u, namespace %u",
						(unsigned long long) stage.txn.clock, stage.txn.origin, stage.txn.nonce,
						stage.nrows, stage.rows[0].at.vnode, stage.rows[0].at.ns);
	else if (item->type == MSG_APPLY &&
			 apply_request_decode(item->body, &apply, &err) == DORIS_OK && apply.nrows > 0)
		(void) snprintf(out, DESCRIPTION_SIZE,
						"%u plain writes, the first in vnode %u, namespace %u", apply.nrows,
						apply.rows[0].at.vnode, apply.rows[0].at.ns);
	else if (item->type == MSG_FINISH &&
			 finish_request_decode(item->body, &finish, &err) == DORIS_OK)
		(void) snprintf(out, DESCRIPTION_SIZE, "the end of %u transactions", finish.nitems);
	else
		(void) snprintf(out, DESCRIPTION_SIZE, "%zu bytes that do not decode, type %u",
						item->body.len, item->type);
	stage_request_free(&stage);
	apply_request_free(&apply);
	finish_request_free(&finish);
}

/* In the open transaction. *kept: bytes now held as poison. */
static DorisStatus set_aside(Worker *w, const HintBatch *b, uint32_t i, uint64_t *kept,
							 DorisError *err)
{
	Node *n = w->node;
	const ReplayItem *item = &b->items[i];
	uint64_t bytes = HINT_POISON_KEY_SIZE + HINT_TYPE_SIZE + item->body.len;
	uint8_t key[HINT_POISON_KEY_SIZE];
	DorisBytes value;

	*kept = 0;
	if (!hints_poison_fits(n, bytes))
		return DORIS_OK;
	buf_reset(&w->record);
	buf_put_u16(&w->record, item->type);
	buf_put_raw(&w->record, item->body.data, item->body.len);
	if (w->record.failed)
		return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory", node_name(n));
	value.data = w->record.data;
	value.len = w->record.len;
	*kept = bytes;
	return n->driver->put(w->ss, STORE_TABLE_HINTS, poison_key(b->target, b->sequences[i], key),
						  value, err);
}

static void tell_poison(Node *n, const HintBatch *b, uint32_t i, bool kept)
{
	char what[DESCRIPTION_SIZE];

	describe(&b->items[i], what);
	log_line(LOG_ERROR, "a hint for node %u cannot be applied and is %s: %s", b->target,
			 kept ? "set aside" : "dropped, too many are set aside already", what);
	node_count(n, COUNT_REPLAY_POISON, 1);
}

DorisStatus hints_settle(Worker *w, const HintBatch *b, const uint8_t *results, DorisError *err)
{
	Node *n = w->node;
	uint8_t key[HINT_KEY_SIZE];
	uint64_t kept[HINTS_BATCH];
	DorisStatus st;

	if (b->n == 0)
		return DORIS_OK;
	locks_clear(w);
	st = commit_begin(w, err);
	for (uint32_t i = 0; st == DORIS_OK && i < b->n; i++)
	{
		st = n->driver->del(w->ss, STORE_TABLE_HINTS, hint_key(b->target, b->sequences[i], key),
							err);
		if (st == DORIS_OK && results[i] == REPLAY_POISON)
			st = set_aside(w, b, i, &kept[i], err);
	}
	if (st != DORIS_OK)
	{
		commit_abandon(w);
		return st;
	}
	/* not flushed: after a crash they are sent once more, which is harmless */
	st = commit_end(w, false, NULL, err);
	if (st != DORIS_OK)
		return st;
	for (uint32_t i = 0; i < b->n; i++)
	{
		if (results[i] == REPLAY_POISON)
		{
			tell_poison(n, b, i, kept[i] > 0);
			if (kept[i] > 0)
				hints_poison_in(n, b->target, kept[i]);
		}
		else
			node_count(
				n, results[i] == REPLAY_APPLIED ? COUNT_REPLAY_APPLIED : COUNT_REPLAY_OBSOLETE, 1);
	}
	hints_count_out(n, b->target, b->n, b->bytes, clock_ms_of(b->sequences[b->n - 1]));
	return DORIS_OK;
}

/* Deletes up to `limit` from low to high in one transaction. */
static DorisStatus drop_range(Worker *w, DorisBytes low, DorisBytes high, uint32_t limit,
							  uint32_t *dropped, uint64_t *bytes, DorisError *err)
{
	const StoreDriver *d = w->node->driver;
	DorisBytes key;
	DorisBytes value;
	StoreScan *sc;
	DorisCursor c;
	DorisStatus st = d->scan(w->ss, STORE_TABLE_HINTS, low, high, &sc, err);

	*dropped = 0;
	*bytes = 0;
	if (st != DORIS_OK)
		return st;
	buf_reset(&w->index);
	while (*dropped < limit && (st = d->next(sc, &key, &value, err)) == DORIS_OK)
	{
		buf_put_view(&w->index, key);
		*bytes += key.len + value.len;
		(*dropped)++;
	}
	d->scan_close(sc);
	if (st != DORIS_OK && st != DORIS_NOT_FOUND)
		return st;
	if (w->index.failed)
		return doris_error(err, DORIS_NO_MEMORY, "dropping hints: out of memory");
	if (*dropped == 0)
		return DORIS_OK;
	c = cursor_of(w->index.data, w->index.len);
	locks_clear(w);
	st = commit_begin(w, err);
	while (st == DORIS_OK && cursor_left(&c) > 0)
		st = d->del(w->ss, STORE_TABLE_HINTS, cursor_bytes(&c), err);
	if (st != DORIS_OK)
	{
		commit_abandon(w);
		return st;
	}
	return commit_end(w, false, NULL, err);
}

DorisStatus hints_drop(Worker *w, uint32_t target, uint32_t limit, bool *done, DorisError *err)
{
	Node *n = w->node;
	uint8_t low[HINT_POISON_KEY_SIZE];
	uint8_t high[HINT_POISON_KEY_SIZE];
	uint32_t dropped;
	uint32_t poison = 0;
	uint64_t bytes;
	DorisStatus st;

	*done = false;
	st = drop_range(w, hint_key(target, 0, low), hint_key(target, UINT64_MAX, high), limit,
					&dropped, &bytes, err);
	if (st != DORIS_OK)
		return st;
	if (dropped > 0)
		hints_count_out(n, target, dropped, bytes, 0);
	if (dropped < limit)
	{
		st = drop_range(w, poison_key(target, 0, low), poison_key(target, UINT64_MAX, high),
						limit - dropped, &poison, &bytes, err);
		if (st != DORIS_OK)
			return st;
		hints_poison_out(n, target, poison, bytes);
	}
	node_count(n, COUNT_HINTS_DROPPED, dropped + poison);
	*done = dropped + poison < limit;
	return DORIS_OK;
}
