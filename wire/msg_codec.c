/*
 * msg_codec.c: what the message decoders share, and the head of replies.
 */
#include "msg_codec.h"

#include <stdlib.h>
#include <string.h>

#include "route.h"

#define STAGED_DELETED 1

#define ROW_PRESENT 1

uint32_t msg_read_u32(DorisCursor *c)
{
	uint64_t v = cursor_varint(c);

	if (v > UINT32_MAX)
		c->bad = true;
	return c->bad ? 0 : (uint32_t) v;
}

uint32_t msg_read_vnode(DorisCursor *c)
{
	uint32_t v = msg_read_u32(c);

	if (v >= DORIS_MAX_VNODES)
		c->bad = true;
	return c->bad ? 0 : v;
}

bool msg_read_bool(DorisCursor *c)
{
	uint8_t v = cursor_u8(c);

	if (v > 1)
		c->bad = true;
	return v == 1;
}

uint8_t msg_read_enum(DorisCursor *c, uint8_t last)
{
	uint8_t v = cursor_u8(c);

	if (v < 1 || v > last)
		c->bad = true;
	return v;
}

void msg_read_fixed(DorisCursor *c, void *out, size_t len)
{
	const uint8_t *p = cursor_raw(c, len);

	if (p != NULL)
		memcpy(out, p, len);
}

static DorisBytes read_limited(DorisCursor *c, size_t limit)
{
	DorisBytes v = cursor_bytes(c);

	if (v.len > limit)
		c->bad = true;
	return v;
}

DorisBytes msg_read_key(DorisCursor *c)
{
	return read_limited(c, DORIS_MAX_KEY);
}

DorisBytes msg_read_value(DorisCursor *c)
{
	return read_limited(c, DORIS_MAX_VALUE);
}

void msg_put_keyref(DorisBuf *b, const KeyRef *k)
{
	buf_put_u8(b, k->space);
	buf_put_varint(b, k->ns);
	buf_put_varint(b, k->vnode);
	buf_put_view(b, k->key);
}

void msg_read_keyref(DorisCursor *c, KeyRef *out)
{
	out->space = cursor_u8(c);
	out->ns = msg_read_u32(c);
	out->vnode = msg_read_vnode(c);
	out->key = msg_read_key(c);
	switch (out->space)
	{
		case DORIS_SPACE_ROWS:
			if (out->ns == 0)
				c->bad = true;
			break;
		case DORIS_SPACE_DECISIONS:
			if (out->ns != 0 || out->key.len != DORIS_TXNID_SIZE)
				c->bad = true;
			break;
		default:
			c->bad = true;
	}
}

void msg_put_mode(DorisBuf *b, TxnMode mode, uint32_t decision_vnode, const OtherVnodes *others)
{
	buf_put_u8(b, (uint8_t) mode);
	buf_put_varint(b, decision_vnode);
	if (mode != TXN_NAMED)
		return;
	buf_put_varint(b, others->n);
	for (int i = 0; i < others->n; i++)
		buf_put_varint(b, others->vnodes[i]);
}

void msg_read_mode(DorisCursor *c, TxnMode *mode, uint32_t *decision_vnode, OtherVnodes *others)
{
	uint32_t n = 0;

	*mode = msg_read_enum(c, TXN_NAMED);
	*decision_vnode = msg_read_vnode(c);
	if (*mode == TXN_NAMED)
		n = msg_read_u32(c);
	if (n > DORIS_MAX_OTHERS || (*mode == TXN_NAMED && n == 0))
		c->bad = true;
	others->n = 0;
	while (others->n < n && !c->bad)
	{
		uint16_t v = (uint16_t) msg_read_vnode(c);

		if (txn_names(*decision_vnode, others, v))
			c->bad = true; /* none twice */
		others->vnodes[others->n++] = v;
	}
}

void msg_put_staged(DorisBuf *b, const StagedInfo *s)
{
	buf_put_txnid(b, s->txn);
	msg_put_mode(b, s->mode, s->decision_vnode, &s->others);
	buf_put_u64(b, s->expires_ms);
	buf_put_u64(b, s->now_ms);
	buf_put_u8(b, s->deleted ? STAGED_DELETED : 0);
	buf_put_version(b, s->base);
	buf_put_version(b, s->version);
	buf_put_view(b, s->value);
}

void msg_read_staged(DorisCursor *c, StagedInfo *out)
{
	out->txn = cursor_txnid(c);
	msg_read_mode(c, &out->mode, &out->decision_vnode, &out->others);
	out->expires_ms = cursor_u64(c);
	out->now_ms = cursor_u64(c);
	out->deleted = msg_read_bool(c);
	out->base = cursor_version(c);
	out->version = cursor_version(c);
	out->value = msg_read_value(c);
}

void row_state_encode(DorisBuf *b, const RowState *r)
{
	buf_put_u8(b, r->present ? ROW_PRESENT : 0);
	buf_put_view(b, r->key);
	buf_put_version(b, r->version);
	buf_put_view(b, r->value);
	buf_put_u8(b, r->nstaged);
	if (r->nstaged > 0)
		msg_put_staged(b, &r->staged);
}

void msg_read_row_state(DorisCursor *c, RowState *out)
{
	out->present = msg_read_bool(c);
	out->key = msg_read_key(c);
	out->version = cursor_version(c);
	out->value = msg_read_value(c);
	out->nstaged = cursor_u8(c);
	if (out->nstaged > 0)
		msg_read_staged(c, &out->staged);
	if (out->present ? version_is_none(out->version) : out->value.len > 0)
		c->bad = true;
}

void msg_put_vnodes(DorisBuf *b, const uint32_t *vnodes, uint32_t n)
{
	buf_put_varint(b, n);
	for (uint32_t i = 0; i < n; i++)
		buf_put_varint(b, vnodes[i]);
}

void msg_put_columns(DorisBuf *b, const uint16_t *columns, uint32_t n)
{
	buf_put_varint(b, n);
	for (uint32_t i = 0; i < n; i++)
		buf_put_varint(b, columns[i]);
}

void *msg_read_array(DorisCursor *c, size_t min_size, uint32_t max, size_t item_size, uint32_t *n,
					 bool *no_memory)
{
	uint32_t count = cursor_count(c, min_size);
	void *items;

	*n = 0;
	if (count > max)
		c->bad = true;
	if (c->bad || count == 0)
		return NULL;
	items = calloc(count, item_size);
	if (items == NULL)
		*no_memory = c->bad = true;
	else
		*n = count;
	return items;
}

uint32_t *msg_read_vnodes(DorisCursor *c, bool rising, uint32_t *n, bool *no_memory)
{
	uint32_t *vnodes = msg_read_array(c, 1, DORIS_MAX_VNODES, sizeof(*vnodes), n, no_memory);

	for (uint32_t i = 0; i < *n && !c->bad; i++)
	{
		vnodes[i] = msg_read_vnode(c);
		if (rising && i > 0 && vnodes[i] <= vnodes[i - 1])
			c->bad = true;
	}
	return vnodes;
}

uint16_t *msg_read_columns(DorisCursor *c, uint32_t *n, bool *no_memory)
{
	uint16_t *columns = msg_read_array(c, 1, DORIS_MAX_PROJECTION, sizeof(*columns), n, no_memory);

	for (uint32_t i = 0; i < *n && !c->bad; i++)
	{
		uint32_t id = msg_read_u32(c);

		if (id > UINT16_MAX || (i > 0 && id <= columns[i - 1]))
			c->bad = true;
		columns[i] = (uint16_t) id;
	}
	return columns;
}

DorisStatus msg_end(const DorisCursor *c, bool no_memory, const char *what, DorisError *err)
{
	if (no_memory)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for a %s", what);
	if (!cursor_at_end(c))
		return doris_error(err, DORIS_BAD_MESSAGE, "malformed %s", what);
	return DORIS_OK;
}

/* ---- replies ---- */

void reply_put_ok(DorisBuf *b)
{
	buf_put_u8(b, DORIS_OK);
}

void reply_put_error(DorisBuf *b, const DorisError *err)
{
	/* an error that says OK would be read as a success: a defect of the sender, told as one */
	buf_put_u8(b, (uint8_t) (err->code != DORIS_OK ? err->code : DORIS_INTERNAL));
	buf_put_str(b, err->message);
	buf_put_str(b, err->hint);
}

DorisStatus reply_read_status(DorisCursor *c, DorisError *err)
{
	uint8_t status = cursor_u8(c);
	DorisError peer;

	if (!c->bad && status == DORIS_OK)
		return DORIS_OK;
	cursor_str(c, peer.message, sizeof(peer.message));
	cursor_str(c, peer.hint, sizeof(peer.hint));
	if (!cursor_at_end(c) || status > DORIS_STATUS_LAST)
		return doris_error(err, DORIS_BAD_MESSAGE, "malformed reply");
	peer.code = status;
	*err = peer;
	return peer.code;
}
