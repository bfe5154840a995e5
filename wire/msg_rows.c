/*
 * msg_rows.c: reading rows: GET and SCAN, and plain writes: APPLY.
 */
#include <stdlib.h>
#include <string.h>

#include "msg_codec.h"

#define KEYREF_MIN_SIZE 4
#define ROW_STATE_MIN_SIZE 16
#define APPLY_ROW_MIN_SIZE (KEYREF_MIN_SIZE + 14)

/* Where an APPLY comes from. */
#define APPLY_PLAIN 0
#define APPLY_CLIENT 1
#define APPLY_PURGED 2 /* a repair that says what the target had purged */

#define FLAG_ALL_COLUMNS 1
#define FLAG_NO_VALUES 2
#define FLAG_RESUME 4
#define FLAG_ORDERED 8
#define FLAG_REVERSE 16
#define FLAG_SAMPLE 32
#define FLAG_FILTER 64

static uint8_t read_flags(DorisCursor *c, uint8_t possible)
{
	uint8_t flags = cursor_u8(c);

	if ((flags & ~possible) != 0)
		c->bad = true;
	return flags;
}

/* ---- get ---- */

void get_request_encode(DorisBuf *b, const GetRequest *m)
{
	buf_put_u8(b, (uint8_t) ((m->all_columns ? FLAG_ALL_COLUMNS : 0) |
							 (m->no_values ? FLAG_NO_VALUES : 0) |
							 (m->filter.len > 0 ? FLAG_FILTER : 0)));
	buf_put_varint(b, m->max_bytes);
	msg_put_columns(b, m->columns, m->ncolumns);
	if (m->filter.len > 0)
		buf_put_view(b, m->filter);
	buf_put_varint(b, m->nkeys);
	for (uint32_t i = 0; i < m->nkeys; i++)
		msg_put_keyref(b, &m->keys[i]);
}

DorisStatus get_request_decode(DorisBytes body, GetRequest *out, DorisError *err)
{
	DorisCursor c = cursor_of(body.data, body.len);
	bool no_memory = false;
	uint8_t flags;

	memset(out, 0, sizeof(*out));
	flags = read_flags(&c, FLAG_ALL_COLUMNS | FLAG_NO_VALUES | FLAG_FILTER);
	out->all_columns = (flags & FLAG_ALL_COLUMNS) != 0;
	out->no_values = (flags & FLAG_NO_VALUES) != 0;
	out->max_bytes = msg_read_u32(&c);
	out->columns = msg_read_columns(&c, &out->ncolumns, &no_memory);
	if ((flags & FLAG_FILTER) != 0)
	{
		out->filter = cursor_bytes(&c);
		if (out->filter.len == 0)
			c.bad = true;
	}
	out->keys = msg_read_array(&c, KEYREF_MIN_SIZE, DORIS_MAX_KEYS, sizeof(KeyRef), &out->nkeys,
							   &no_memory);
	for (uint32_t i = 0; i < out->nkeys && !c.bad; i++)
		msg_read_keyref(&c, &out->keys[i]);
	if (msg_end(&c, no_memory, "get request", err) != DORIS_OK)
	{
		get_request_free(out);
		return err->code;
	}
	return DORIS_OK;
}

void get_request_free(GetRequest *m)
{
	free(m->keys);
	free(m->columns);
	memset(m, 0, sizeof(*m));
}

DorisStatus get_reply_decode(DorisCursor *c, GetReply *out, DorisError *err)
{
	bool no_memory = false;
	uint32_t n;

	memset(out, 0, sizeof(*out));
	n = cursor_u32(c);
	if (n > DORIS_MAX_KEYS || n > cursor_left(c) / ROW_STATE_MIN_SIZE)
		c->bad = true;
	if (!c->bad && n > 0)
	{
		out->rows = calloc(n, sizeof(RowState));
		if (out->rows == NULL)
			no_memory = true;
		else
			out->nrows = n;
	}
	for (uint32_t i = 0; i < out->nrows && !c->bad; i++)
		msg_read_row_state(c, &out->rows[i]);
	if (msg_end(c, no_memory, "get reply", err) != DORIS_OK)
	{
		get_reply_free(out);
		return err->code;
	}
	return DORIS_OK;
}

void get_reply_free(GetReply *m)
{
	free(m->rows);
	memset(m, 0, sizeof(*m));
}

/* ---- scan ---- */

void scan_request_encode(DorisBuf *b, const ScanRequest *m)
{
	buf_put_u8(b, (uint8_t) ((m->all_columns ? FLAG_ALL_COLUMNS : 0) |
							 (m->resume ? FLAG_RESUME : 0) | (m->ordered ? FLAG_ORDERED : 0) |
							 (m->reverse ? FLAG_REVERSE : 0) | (m->share > 0 ? FLAG_SAMPLE : 0)));
	buf_put_varint(b, m->ns);
	buf_put_varint(b, m->def_version);
	msg_put_vnodes(b, m->vnodes, m->nvnodes);
	buf_put_view(b, m->low);
	buf_put_view(b, m->high);
	buf_put_view(b, m->filter);
	buf_put_view(b, m->aggregate);
	msg_put_columns(b, m->columns, m->ncolumns);
	buf_put_varint(b, m->max_rows);
	buf_put_varint(b, m->max_bytes);
	buf_put_varint(b, m->resume_vnode);
	buf_put_view(b, m->resume_key);
	if (m->share > 0)
	{
		buf_put_u64(b, m->share);
		buf_put_u64(b, m->seed);
	}
}

DorisStatus scan_request_decode(DorisBytes body, ScanRequest *out, DorisError *err)
{
	DorisCursor c = cursor_of(body.data, body.len);
	bool no_memory = false;
	uint8_t flags;

	memset(out, 0, sizeof(*out));
	flags =
		read_flags(&c, FLAG_ALL_COLUMNS | FLAG_RESUME | FLAG_ORDERED | FLAG_REVERSE | FLAG_SAMPLE);
	out->all_columns = (flags & FLAG_ALL_COLUMNS) != 0;
	out->resume = (flags & FLAG_RESUME) != 0;
	out->ordered = (flags & FLAG_ORDERED) != 0;
	out->reverse = (flags & FLAG_REVERSE) != 0;
	out->ns = msg_read_u32(&c);
	out->def_version = msg_read_u32(&c);
	out->vnodes = msg_read_vnodes(&c, true, &out->nvnodes, &no_memory);
	out->low = msg_read_key(&c);
	out->high = msg_read_key(&c);
	out->filter = cursor_bytes(&c);
	out->aggregate = cursor_bytes(&c);
	out->columns = msg_read_columns(&c, &out->ncolumns, &no_memory);
	out->max_rows = msg_read_u32(&c);
	out->max_bytes = msg_read_u32(&c);
	out->resume_vnode = msg_read_vnode(&c);
	out->resume_key = msg_read_key(&c);
	if ((flags & FLAG_SAMPLE) != 0)
	{
		out->share = cursor_u64(&c);
		out->seed = cursor_u64(&c);
		if (out->share == 0 || out->aggregate.len > 0)
			c.bad = true;
	}
	if (out->ns == 0 || (out->reverse && !out->ordered) ||
		(out->ordered && out->nvnodes > DORIS_MAX_ORDERED_VNODES))
		c.bad = true;
	if (msg_end(&c, no_memory, "scan request", err) != DORIS_OK)
	{
		scan_request_free(out);
		return err->code;
	}
	return DORIS_OK;
}

void scan_request_free(ScanRequest *m)
{
	free(m->vnodes);
	free(m->columns);
	memset(m, 0, sizeof(*m));
}

void scan_reply_encode_end(DorisBuf *b, DorisBytes groups, uint64_t passed, bool done,
						   uint32_t next_vnode, DorisBytes next_key)
{
	buf_put_view(b, groups);
	buf_put_varint(b, passed);
	buf_put_u8(b, done ? 1 : 0);
	buf_put_varint(b, next_vnode);
	buf_put_view(b, next_key);
}

static void read_scan_rows(DorisCursor *c, ScanReply *out, uint32_t n, bool *no_memory)
{
	out->rows = calloc(n, sizeof(RowState));
	out->vnodes = calloc(n, sizeof(uint32_t));
	if (out->rows == NULL || out->vnodes == NULL)
	{
		*no_memory = true;
		return;
	}
	out->nrows = n;
	for (uint32_t i = 0; i < n && !c->bad; i++)
	{
		out->vnodes[i] = msg_read_vnode(c);
		msg_read_row_state(c, &out->rows[i]);
	}
}

DorisStatus scan_reply_decode(DorisCursor *c, ScanReply *out, DorisError *err)
{
	bool no_memory = false;
	uint32_t n;

	memset(out, 0, sizeof(*out));
	n = cursor_u32(c);
	if (n > cursor_left(c) / (ROW_STATE_MIN_SIZE + 1))
		c->bad = true;
	if (!c->bad && n > 0)
		read_scan_rows(c, out, n, &no_memory);
	out->groups = cursor_bytes(c);
	out->passed = cursor_varint(c);
	out->done = msg_read_bool(c);
	out->next_vnode = msg_read_vnode(c);
	out->next_key = msg_read_key(c);
	if (msg_end(c, no_memory, "scan reply", err) != DORIS_OK)
	{
		scan_reply_free(out);
		return err->code;
	}
	return DORIS_OK;
}

void scan_reply_free(ScanReply *m)
{
	free(m->rows);
	free(m->vnodes);
	memset(m, 0, sizeof(*m));
}

/* ---- apply ---- */

void apply_request_encode(DorisBuf *b, const ApplyRequest *m)
{
	buf_put_u8(b, m->from_client ? APPLY_CLIENT : m->has_purged ? APPLY_PURGED : APPLY_PLAIN);
	if (!m->from_client && m->has_purged)
		buf_put_u64(b, m->purged);
	buf_put_varint(b, m->nrows);
	for (uint32_t i = 0; i < m->nrows; i++)
	{
		const ApplyRow *r = &m->rows[i];

		msg_put_keyref(b, &r->at);
		buf_put_u8(b, r->deleted ? 1 : 0);
		buf_put_version(b, r->version);
		buf_put_view(b, r->value);
	}
}

DorisStatus apply_request_decode(DorisBytes body, ApplyRequest *out, DorisError *err)
{
	DorisCursor c = cursor_of(body.data, body.len);
	bool no_memory = false;
	uint8_t from;

	memset(out, 0, sizeof(*out));
	from = cursor_u8(&c);
	if (from > APPLY_PURGED)
		c.bad = true;
	out->from_client = from == APPLY_CLIENT;
	out->has_purged = from == APPLY_PURGED;
	out->purged = out->has_purged ? cursor_u64(&c) : 0;
	out->rows = msg_read_array(&c, APPLY_ROW_MIN_SIZE, DORIS_MAX_KEYS, sizeof(ApplyRow),
							   &out->nrows, &no_memory);
	for (uint32_t i = 0; i < out->nrows && !c.bad; i++)
	{
		ApplyRow *r = &out->rows[i];

		msg_read_keyref(&c, &r->at);
		r->deleted = msg_read_bool(&c);
		r->version = cursor_version(&c);
		r->value = msg_read_value(&c);
		if (version_is_none(r->version) || (r->deleted && r->value.len > 0))
			c.bad = true;
	}
	if (msg_end(&c, no_memory, "apply request", err) != DORIS_OK)
	{
		apply_request_free(out);
		return err->code;
	}
	return DORIS_OK;
}

void apply_request_free(ApplyRequest *m)
{
	free(m->rows);
	memset(m, 0, sizeof(*m));
}

void apply_reply_encode(DorisBuf *b, const ApplyReply *m)
{
	buf_put_u32(b, m->nhigher);
	for (uint32_t i = 0; i < m->nhigher; i++)
	{
		buf_put_u32(b, m->rows[i]);
		buf_put_version(b, m->versions[i]);
	}
}

DorisStatus apply_reply_decode(DorisCursor *c, ApplyReply *out, DorisError *err)
{
	bool no_memory = false;
	uint32_t n;

	memset(out, 0, sizeof(*out));
	n = cursor_u32(c);
	if (n > DORIS_MAX_KEYS || n > cursor_left(c) / 16)
		c->bad = true;
	if (!c->bad && n > 0)
	{
		out->rows = calloc(n, sizeof(uint32_t));
		out->versions = calloc(n, sizeof(DorisVersion));
		no_memory = out->rows == NULL || out->versions == NULL;
		out->nhigher = no_memory ? 0 : n;
	}
	for (uint32_t i = 0; i < out->nhigher; i++)
	{
		out->rows[i] = cursor_u32(c);
		out->versions[i] = cursor_version(c);
		if (out->rows[i] >= DORIS_MAX_KEYS)
			c->bad = true;
	}
	if (msg_end(c, no_memory, "apply reply", err) != DORIS_OK)
	{
		apply_reply_free(out);
		return err->code;
	}
	return DORIS_OK;
}

void apply_reply_free(ApplyReply *m)
{
	free(m->rows);
	free(m->versions);
	memset(m, 0, sizeof(*m));
}
