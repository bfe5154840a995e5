/*
 * envelope.c: the frame of every message, plain or sealed.
 */
#include "envelope.h"

#include <string.h>

#include "nsdef.h"
#include "version.h"

#define FLAG_SEALED 1

DorisStatus envelope_write(const DorisKeys *k, const Envelope *e, DorisBytes body, DorisBuf *out,
						   DorisError *err)
{
	size_t total = DORIS_HEADER_SIZE + body.len + (k->present ? DORIS_SEAL_OVERHEAD : 0);
	uint8_t header[DORIS_HEADER_SIZE]; /* a copy: sealing may move out's memory */

	buf_reset(out);
	if (body.len > DORIS_MAX_MESSAGE || total > DORIS_MAX_MESSAGE)
	{
		doris_error(err, DORIS_TOO_BIG, "a message of %zu bytes is over the limit of %u", total,
					DORIS_MAX_MESSAGE);
		return doris_hint(err, "Rows may have up to %u bytes each.", DORIS_MAX_VALUE);
	}
	if (!buf_reserve(out, total))
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for a message of %zu bytes", total);
	buf_put_u32(out, DORIS_MAGIC);
	buf_put_u16(out, e->format != 0 ? e->format : DORIS_FORMAT_SENT);
	buf_put_u16(out, e->type);
	buf_put_u64(out, e->request);
	buf_put_u32(out, e->sender);
	buf_put_u64(out, e->epoch);
	buf_put_u32(out, e->deadline_ms);
	buf_put_u64(out, clock_wall_ms());
	buf_put_u8(out, k->present ? FLAG_SEALED : 0);
	buf_put_u32(out, (uint32_t) body.len);
	if (k->present)
	{
		memcpy(header, out->data, sizeof(header));
		if (!seal_put(k, (DorisBytes){header, sizeof(header)}, body, out))
			return doris_error(err, DORIS_NO_MEMORY, "out of memory for sealing %zu bytes",
							   body.len);
	}
	else
		buf_put_raw(out, body.data, body.len);
	if (out->failed)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for a message of %zu bytes", total);
	return DORIS_OK;
}

static DorisStatus check_stamp(const Envelope *e, DorisError *err)
{
	uint64_t now = clock_wall_ms();
	uint64_t off = e->stamp_ms > now ? e->stamp_ms - now : now - e->stamp_ms;

	if (off <= DORIS_CLOCK_WINDOW_MS)
		return DORIS_OK;
	doris_error(err, DORIS_DENIED, "a message was stamped %llu ms %s this clock",
				(unsigned long long) off, e->stamp_ms > now ? "ahead of" : "behind");
	return doris_hint(err,
					  "Set the clocks of both machines (NTP): sealed messages more than %d s "
					  "off are refused as replays.",
					  DORIS_CLOCK_WINDOW_MS / 1000);
}

static DorisStatus refuse_unsealed(DorisError *err)
{
	doris_error(err, DORIS_DENIED, "a message is not sealed, but this cluster has a key");
	return doris_hint(err, "Give the sender the cluster's key file.");
}

DorisStatus envelope_read(const DorisKeys *k, const void *data, size_t len, Envelope *e,
						  DorisBytes *body, DorisBuf *scratch, DorisError *err)
{
	DorisCursor c = cursor_of(data, len);
	DorisBytes header = {data, DORIS_HEADER_SIZE};
	DorisBytes rest;
	Envelope seen;
	uint32_t magic;
	uint32_t body_len;
	uint8_t flags;
	bool sealed;

	memset(e, 0, sizeof(*e));
	memset(body, 0, sizeof(*body));
	if (len > DORIS_MAX_MESSAGE)
		return doris_error(err, DORIS_BAD_MESSAGE, "a message of %zu bytes is over the limit of %u",
						   len, DORIS_MAX_MESSAGE);
	magic = cursor_u32(&c);
	seen.format = cursor_u16(&c);
	seen.type = cursor_u16(&c);
	seen.request = cursor_u64(&c);
	seen.sender = cursor_u32(&c);
	seen.epoch = cursor_u64(&c);
	seen.deadline_ms = cursor_u32(&c);
	seen.stamp_ms = cursor_u64(&c);
	flags = cursor_u8(&c);
	body_len = cursor_u32(&c);
	if (c.bad || magic != DORIS_MAGIC)
		return doris_error(err, DORIS_BAD_MESSAGE, "%zu bytes that are not a doris message", len);
	if (seen.format < DORIS_FORMAT_OLDEST || seen.format > DORIS_FORMAT)
		return doris_error(err, DORIS_BAD_MESSAGE,
						   "a message in format %u, this build reads %d to %d", seen.format,
						   DORIS_FORMAT_OLDEST, DORIS_FORMAT);
	rest.data = c.p;
	rest.len = cursor_left(&c);
	sealed = (flags & FLAG_SEALED) != 0;
	if ((flags & ~FLAG_SEALED) != 0 ||
		rest.len != (uint64_t) body_len + (sealed ? DORIS_SEAL_OVERHEAD : 0))
		return doris_error(err, DORIS_BAD_MESSAGE, "a damaged message of %zu bytes", len);
	if (!sealed)
	{
		if (k->present)
			return refuse_unsealed(err);
		*e = seen;
		*body = rest;
		return DORIS_OK;
	}
	if (!k->present)
	{
		doris_error(err, DORIS_DENIED, "a message is sealed, but this process has no key");
		return doris_hint(err, "Set key_file to the cluster's key file.");
	}
	if (!seal_open(k, header, rest, scratch))
	{
		if (scratch->failed)
			return doris_error(err, DORIS_NO_MEMORY, "out of memory for a message of %zu bytes",
							   len);
		return doris_error(err, DORIS_DENIED, "a message is sealed with another key, or forged");
	}
	*e = seen; /* authentic from here on */
	if (check_stamp(e, err) != DORIS_OK)
		return err->code;
	body->data = scratch->data;
	body->len = scratch->len;
	return DORIS_OK;
}
