/*
 * msg_stats.c: what nodes tell about themselves: DIGEST and STATS.
 */
#include <stdlib.h>
#include <string.h>

#include "msg_codec.h"
#include "route.h"

#define VNODE_DIGEST_MIN_SIZE 15
#define STAT_MIN_SIZE 2
#define MAX_STATS 262144 /* a few per namespace */

void digest_request_encode(DorisBuf *b, const DigestRequest *m)
{
	buf_put_varint(b, m->ns);
	msg_put_vnodes(b, m->vnodes, m->nvnodes);
}

DorisStatus digest_request_decode(DorisBytes body, DigestRequest *out, DorisError *err)
{
	DorisCursor c = cursor_of(body.data, body.len);
	bool no_memory = false;

	memset(out, 0, sizeof(*out));
	out->ns = msg_read_u32(&c);
	out->vnodes = msg_read_vnodes(&c, false, &out->nvnodes, &no_memory);
	if (msg_end(&c, no_memory, "digest request", err) != DORIS_OK)
	{
		digest_request_free(out);
		return err->code;
	}
	return DORIS_OK;
}

void digest_request_free(DigestRequest *m)
{
	free(m->vnodes);
	memset(m, 0, sizeof(*m));
}

void digest_reply_encode(DorisBuf *b, const DigestReply *m)
{
	buf_put_varint(b, m->n);
	for (uint32_t i = 0; i < m->n; i++)
	{
		const VnodeDigest *d = &m->vnodes[i];

		buf_put_varint(b, d->vnode);
		buf_put_varint(b, d->rows);
		buf_put_varint(b, d->tombstones);
		buf_put_varint(b, d->staged);
		buf_put_varint(b, d->bytes);
		buf_put_u64(b, d->digest);
		buf_put_varint(b, d->purged);
		buf_put_varint(b, d->oldest);
	}
}

DorisStatus digest_reply_decode(DorisCursor *c, DigestReply *out, DorisError *err)
{
	bool no_memory = false;

	memset(out, 0, sizeof(*out));
	out->vnodes = msg_read_array(c, VNODE_DIGEST_MIN_SIZE, DORIS_MAX_VNODES, sizeof(VnodeDigest),
								 &out->n, &no_memory);
	for (uint32_t i = 0; i < out->n && !c->bad; i++)
	{
		VnodeDigest *d = &out->vnodes[i];

		d->vnode = msg_read_vnode(c);
		d->rows = cursor_varint(c);
		d->tombstones = cursor_varint(c);
		d->staged = cursor_varint(c);
		d->bytes = cursor_varint(c);
		d->digest = cursor_u64(c);
		d->purged = cursor_varint(c);
		d->oldest = cursor_varint(c);
	}
	if (msg_end(c, no_memory, "digest reply", err) != DORIS_OK)
	{
		digest_reply_free(out);
		return err->code;
	}
	return DORIS_OK;
}

void digest_reply_free(DigestReply *m)
{
	free(m->vnodes);
	memset(m, 0, sizeof(*m));
}

void stats_reply_encode(DorisBuf *b, const StatsReply *m)
{
	buf_put_varint(b, m->n);
	for (uint32_t i = 0; i < m->n; i++)
	{
		buf_put_str(b, m->items[i].name);
		buf_put_varint(b, m->items[i].value);
	}
}

DorisStatus stats_reply_decode(DorisCursor *c, StatsReply *out, DorisError *err)
{
	bool no_memory = false;

	memset(out, 0, sizeof(*out));
	out->items = msg_read_array(c, STAT_MIN_SIZE, MAX_STATS, sizeof(StatItem), &out->n, &no_memory);
	for (uint32_t i = 0; i < out->n && !c->bad; i++)
	{
		cursor_str(c, out->items[i].name, sizeof(out->items[i].name));
		out->items[i].value = cursor_varint(c);
	}
	if (msg_end(c, no_memory, "stats reply", err) != DORIS_OK)
	{
		stats_reply_free(out);
		return err->code;
	}
	return DORIS_OK;
}

void stats_reply_free(StatsReply *m)
{
	free(m->items);
	memset(m, 0, sizeof(*m));
}
