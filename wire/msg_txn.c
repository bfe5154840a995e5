/*
 * msg_txn.c: transactions: STAGE, FINISH and OUTCOME.
 */
#include <stdlib.h>
#include <string.h>

#include "msg_codec.h"

#define STAGE_ROW_MIN_SIZE 18
#define CONFLICT_MIN_SIZE 15
#define FINISH_ITEM_MIN_SIZE (DORIS_TXNID_SIZE + 2)
#define MAX_CONFLICTS 64
#define MAX_FINISH_ITEMS 1024

/* ---- stage ---- */

void stage_request_encode(DorisBuf *b, const StageRequest *m)
{
	buf_put_txnid(b, m->txn);
	buf_put_version(b, m->version);
	msg_put_mode(b, m->mode, m->decision_vnode, &m->others);
	buf_put_u64(b, m->expires_ms);
	buf_put_varint(b, m->nrows);
	for (uint32_t i = 0; i < m->nrows; i++)
	{
		const StageRow *r = &m->rows[i];

		msg_put_keyref(b, &r->at);
		buf_put_u8(b, (uint8_t) r->kind);
		buf_put_version(b, r->base);
		buf_put_view(b, r->value);
	}
	buf_put_varint(b, m->nfinished);
	for (uint32_t i = 0; i < m->nfinished; i++)
		buf_put_txnid(b, m->finished[i]);
}

/*
 * A TXN_SINGLE's rows are all in one vnode: its outcome is that vnode's judges' to say (rule
 * *outcome*), so one that is spread over several must not get in; nor a row of a TXN_NAMED in a vnode that it does not name.
 */
static bool stage_row_fits(const StageRequest *m, const StageRow *r)
{
	if (r->kind == WRITE_DELETE && r->value.len > 0)
		return false;
	if (m->mode == TXN_NAMED)
		return txn_names(m->decision_vnode, &m->others, r->at.vnode);
	return m->mode != TXN_SINGLE || r->at.vnode == m->rows[0].at.vnode;
}

DorisStatus stage_request_decode(DorisBytes body, StageRequest *out, DorisError *err)
{
	DorisCursor c = cursor_of(body.data, body.len);
	bool no_memory = false;

	memset(out, 0, sizeof(*out));
	out->txn = cursor_txnid(&c);
	out->version = cursor_version(&c);
	msg_read_mode(&c, &out->mode, &out->decision_vnode, &out->others);
	out->expires_ms = cursor_u64(&c);
	out->rows = msg_read_array(&c, STAGE_ROW_MIN_SIZE, DORIS_MAX_KEYS, sizeof(StageRow),
							   &out->nrows, &no_memory);
	for (uint32_t i = 0; i < out->nrows && !c.bad; i++)
	{
		StageRow *r = &out->rows[i];

		msg_read_keyref(&c, &r->at);
		r->kind = msg_read_enum(&c, WRITE_DELETE);
		r->base = cursor_version(&c);
		r->value = msg_read_value(&c);
		if (!stage_row_fits(out, r))
			c.bad = true;
	}
	out->finished = msg_read_array(&c, DORIS_TXNID_SIZE, DORIS_MAX_FINISHED, sizeof(DorisTxnId),
								   &out->nfinished, &no_memory);
	for (uint32_t i = 0; i < out->nfinished && !c.bad; i++)
		out->finished[i] = cursor_txnid(&c);
	if (version_is_none(out->version))
		c.bad = true;
	if (msg_end(&c, no_memory, "stage request", err) != DORIS_OK)
	{
		stage_request_free(out);
		return err->code;
	}
	return DORIS_OK;
}

void stage_request_free(StageRequest *m)
{
	free(m->rows);
	free(m->finished);
	memset(m, 0, sizeof(*m));
}

void stage_reply_encode(DorisBuf *b, const StageReply *m)
{
	buf_put_u8(b, m->held ? 1 : 0);
	buf_put_varint(b, m->nconflicts);
	for (uint32_t i = 0; i < m->nconflicts; i++)
	{
		const StageConflict *conflict = &m->conflicts[i];

		buf_put_varint(b, conflict->row);
		buf_put_u8(b, (uint8_t) conflict->why);
		buf_put_u8(b, conflict->present ? 1 : 0);
		buf_put_version(b, conflict->stored);
		if (conflict->why == REFUSAL_STAGED)
			msg_put_staged(b, &conflict->staged);
	}
}

static void read_conflict(DorisCursor *c, StageConflict *out)
{
	out->row = msg_read_u32(c);
	out->why = msg_read_enum(c, REFUSAL_HORIZON);
	out->present = msg_read_bool(c);
	out->stored = cursor_version(c);
	if (out->why == REFUSAL_STAGED)
		msg_read_staged(c, &out->staged);
	if (out->row >= DORIS_MAX_KEYS)
		c->bad = true;
}

DorisStatus stage_reply_decode(DorisCursor *c, StageReply *out, DorisError *err)
{
	bool no_memory = false;

	memset(out, 0, sizeof(*out));
	out->held = msg_read_bool(c);
	out->conflicts = msg_read_array(c, CONFLICT_MIN_SIZE, MAX_CONFLICTS, sizeof(StageConflict),
									&out->nconflicts, &no_memory);
	for (uint32_t i = 0; i < out->nconflicts && !c->bad; i++)
		read_conflict(c, &out->conflicts[i]);
	if (out->held != (out->nconflicts == 0))
		c->bad = true; /* held, or the reasons why not */
	if (msg_end(c, no_memory, "stage reply", err) != DORIS_OK)
	{
		stage_reply_free(out);
		return err->code;
	}
	return DORIS_OK;
}

void stage_reply_free(StageReply *m)
{
	free(m->conflicts);
	memset(m, 0, sizeof(*m));
}

/* ---- finish ---- */

void finish_request_encode(DorisBuf *b, const FinishRequest *m)
{
	buf_put_varint(b, m->nitems);
	for (uint32_t i = 0; i < m->nitems; i++)
	{
		buf_put_txnid(b, m->items[i].txn);
		buf_put_u8(b, m->items[i].commit ? 1 : 0);
		msg_put_vnodes(b, m->items[i].vnodes, m->items[i].nvnodes);
	}
}

DorisStatus finish_request_decode(DorisBytes body, FinishRequest *out, DorisError *err)
{
	DorisCursor c = cursor_of(body.data, body.len);
	bool no_memory = false;

	memset(out, 0, sizeof(*out));
	out->items = msg_read_array(&c, FINISH_ITEM_MIN_SIZE, MAX_FINISH_ITEMS, sizeof(FinishItem),
								&out->nitems, &no_memory);
	for (uint32_t i = 0; i < out->nitems && !c.bad; i++)
	{
		FinishItem *item = &out->items[i];

		item->txn = cursor_txnid(&c);
		item->commit = msg_read_bool(&c);
		item->vnodes = msg_read_vnodes(&c, false, &item->nvnodes, &no_memory);
	}
	if (msg_end(&c, no_memory, "finish request", err) != DORIS_OK)
	{
		finish_request_free(out);
		return err->code;
	}
	return DORIS_OK;
}

void finish_request_free(FinishRequest *m)
{
	for (uint32_t i = 0; i < m->nitems; i++)
		free(m->items[i].vnodes);
	free(m->items);
	memset(m, 0, sizeof(*m));
}

/* ---- outcome ---- */

void outcome_request_encode(DorisBuf *b, const OutcomeRequest *m)
{
	buf_put_txnid(b, m->txn);
	buf_put_varint(b, m->vnode);
	buf_put_u8(b, m->refuse ? 1 : 0);
}

DorisStatus outcome_request_decode(DorisBytes body, OutcomeRequest *out, DorisError *err)
{
	DorisCursor c = cursor_of(body.data, body.len);

	memset(out, 0, sizeof(*out));
	out->txn = cursor_txnid(&c);
	out->vnode = msg_read_vnode(&c);
	out->refuse = msg_read_bool(&c);
	return msg_end(&c, false, "outcome request", err);
}
