/*
 * msg_repair.c: messages that bring copies back: HINT, REPLAY, PULL; and PURGE.
 */
#include <stdlib.h>
#include <string.h>

#include "msg_codec.h"

#define REPLAY_ITEM_MIN_SIZE 3

/* Only what a copy that is down misses: writes. */
static bool may_be_kept(uint16_t type)
{
	return type == MSG_STAGE || type == MSG_FINISH || type == MSG_APPLY;
}

void hint_request_encode(DorisBuf *b, const HintRequest *m)
{
	buf_put_varint(b, m->target);
	buf_put_u16(b, m->type);
	buf_put_view(b, m->body);
}

DorisStatus hint_request_decode(DorisBytes body, HintRequest *out, DorisError *err)
{
	DorisCursor c = cursor_of(body.data, body.len);

	memset(out, 0, sizeof(*out));
	out->target = msg_read_u32(&c);
	out->type = cursor_u16(&c);
	out->body = cursor_bytes(&c);
	if (!may_be_kept(out->type))
		c.bad = true;
	return msg_end(&c, false, "hint", err);
}

void replay_request_encode(DorisBuf *b, const ReplayRequest *m)
{
	buf_put_varint(b, m->nitems);
	for (uint32_t i = 0; i < m->nitems; i++)
	{
		buf_put_u16(b, m->items[i].type);
		buf_put_view(b, m->items[i].body);
	}
}

DorisStatus replay_request_decode(DorisBytes body, ReplayRequest *out, DorisError *err)
{
	DorisCursor c = cursor_of(body.data, body.len);
	bool no_memory = false;

	memset(out, 0, sizeof(*out));
	out->items = msg_read_array(&c, REPLAY_ITEM_MIN_SIZE, DORIS_MAX_REPLAY, sizeof(ReplayItem),
								&out->nitems, &no_memory);
	for (uint32_t i = 0; i < out->nitems && !c.bad; i++)
	{
		out->items[i].type = cursor_u16(&c);
		out->items[i].body = cursor_bytes(&c);
		if (!may_be_kept(out->items[i].type))
			c.bad = true;
	}
	if (msg_end(&c, no_memory, "replay", err) != DORIS_OK)
	{
		replay_request_free(out);
		return err->code;
	}
	return DORIS_OK;
}

void replay_request_free(ReplayRequest *m)
{
	free(m->items);
	memset(m, 0, sizeof(*m));
}

void pull_request_encode(DorisBuf *b, const PullRequest *m)
{
	buf_put_u8(b, (uint8_t) m->what);
	buf_put_varint(b, m->vnode);
	buf_put_view(b, m->low);
	buf_put_view(b, m->high);
	buf_put_varint(b, m->max_bytes);
}

DorisStatus pull_request_decode(DorisBytes body, PullRequest *out, DorisError *err)
{
	DorisCursor c = cursor_of(body.data, body.len);

	memset(out, 0, sizeof(*out));
	out->what = msg_read_enum(&c, PULL_HASHES);
	out->vnode = msg_read_vnode(&c);
	out->low = cursor_bytes(&c);
	out->high = cursor_bytes(&c);
	out->max_bytes = msg_read_u32(&c);
	return msg_end(&c, false, "pull", err);
}

void purge_request_encode(DorisBuf *b, const PurgeRequest *m)
{
	buf_put_u8(b, (uint8_t) m->step);
	buf_put_varint(b, m->vnode);
	buf_put_u64(b, m->upto);
	buf_put_u64(b, m->ignore);
}

DorisStatus purge_request_decode(DorisBytes body, PurgeRequest *out, DorisError *err)
{
	DorisCursor c = cursor_of(body.data, body.len);

	memset(out, 0, sizeof(*out));
	out->step = msg_read_enum(&c, PURGE_RELEASE);
	out->vnode = msg_read_vnode(&c);
	out->upto = cursor_u64(&c);
	out->ignore = cursor_u64(&c);
	return msg_end(&c, false, "purge", err);
}

void purge_reply_encode(DorisBuf *b, const PurgeReply *m)
{
	buf_put_u8(b, (uint8_t) m->result);
	buf_put_u64(b, m->purged);
	buf_put_varint(b, m->records);
	buf_put_varint(b, m->tombstones);
	buf_put_varint(b, m->staged);
	buf_put_u64(b, m->digest);
}

DorisStatus purge_reply_decode(DorisCursor *c, PurgeReply *out, DorisError *err)
{
	memset(out, 0, sizeof(*out));
	out->result = msg_read_enum(c, PURGE_UNFENCED);
	out->purged = cursor_u64(c);
	out->records = cursor_varint(c);
	out->tombstones = cursor_varint(c);
	out->staged = cursor_varint(c);
	out->digest = cursor_u64(c);
	return msg_end(c, false, "purge reply", err);
}
