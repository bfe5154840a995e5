/*
 * buf.c: growing output buffers and bounds-checked input cursors.
 *
 * Both remember their first failure, so that encoders and decoders check once, at the end.
 */
#include "buf.h"

#include <stdlib.h>
#include <string.h>

#define BUF_FIRST_CAPACITY 256
#define VARINT_MAX_BYTES 10

void buf_init(DorisBuf *b)
{
	memset(b, 0, sizeof(*b));
}

void buf_free(DorisBuf *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

void buf_reset(DorisBuf *b)
{
	b->len = 0;
	b->failed = false;
}

bool buf_reserve(DorisBuf *b, size_t n)
{
	size_t cap;
	uint8_t *data;

	if (b->failed)
		return false;
	if (n <= b->cap - b->len)
		return true;
	if (n > SIZE_MAX / 2 - b->len)
	{
		b->failed = true;
		return false;
	}
	cap = b->cap > 0 ? b->cap : BUF_FIRST_CAPACITY;
	while (cap < b->len + n)
		cap *= 2;
	data = realloc(b->data, cap);
	if (data == NULL)
	{
		b->failed = true;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

void buf_put_raw(DorisBuf *b, const void *data, size_t len)
{
	if (len == 0 || !buf_reserve(b, len))
		return;
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

static void put_little_endian(DorisBuf *b, uint64_t v, int bytes)
{
	if (!buf_reserve(b, (size_t) bytes))
		return;
	for (int i = 0; i < bytes; i++)
		b->data[b->len++] = (uint8_t) (v >> (8 * i));
}

void buf_put_u8(DorisBuf *b, uint8_t v)
{
	put_little_endian(b, v, 1);
}

void buf_put_u16(DorisBuf *b, uint16_t v)
{
	put_little_endian(b, v, 2);
}

void buf_put_u32(DorisBuf *b, uint32_t v)
{
	put_little_endian(b, v, 4);
}

void buf_put_u64(DorisBuf *b, uint64_t v)
{
	put_little_endian(b, v, 8);
}

void buf_put_varint(DorisBuf *b, uint64_t v)
{
	if (!buf_reserve(b, VARINT_MAX_BYTES))
		return;
	while (v >= 0x80)
	{
		b->data[b->len++] = (uint8_t) (v | 0x80);
		v >>= 7;
	}
	b->data[b->len++] = (uint8_t) v;
}

void buf_put_bytes(DorisBuf *b, const void *data, size_t len)
{
	buf_put_varint(b, len);
	buf_put_raw(b, data, len);
}

void buf_put_view(DorisBuf *b, DorisBytes v)
{
	buf_put_bytes(b, v.data, v.len);
}

void buf_put_str(DorisBuf *b, const char *s)
{
	buf_put_bytes(b, s, s != NULL ? strlen(s) : 0);
}

void buf_set_u32(DorisBuf *b, size_t at, uint32_t v)
{
	if (b->failed || b->len < 4 || at > b->len - 4)
		return;
	for (int i = 0; i < 4; i++)
		b->data[at + (size_t) i] = (uint8_t) (v >> (8 * i));
}

DorisCursor cursor_of(const void *data, size_t len)
{
	static const uint8_t nothing[1];
	DorisCursor c = {0};

	/* never NULL, so that pointer arithmetic on an empty input stays defined */
	c.p = data != NULL ? data : nothing;
	c.end = c.p + (data != NULL ? len : 0);
	return c;
}

static void cursor_fail(DorisCursor *c)
{
	c->bad = true;
	c->p = c->end;
}

const uint8_t *cursor_raw(DorisCursor *c, size_t len)
{
	const uint8_t *p = c->p;

	if (c->bad || len > (size_t) (c->end - c->p))
	{
		cursor_fail(c);
		return NULL;
	}
	c->p += len;
	return p;
}

static uint64_t get_little_endian(DorisCursor *c, int bytes)
{
	const uint8_t *p = cursor_raw(c, (size_t) bytes);
	uint64_t v = 0;

	if (p == NULL)
		return 0;
	for (int i = 0; i < bytes; i++)
		v |= (uint64_t) p[i] << (8 * i);
	return v;
}

uint8_t cursor_u8(DorisCursor *c)
{
	return (uint8_t) get_little_endian(c, 1);
}

uint16_t cursor_u16(DorisCursor *c)
{
	return (uint16_t) get_little_endian(c, 2);
}

uint32_t cursor_u32(DorisCursor *c)
{
	return (uint32_t) get_little_endian(c, 4);
}

uint64_t cursor_u64(DorisCursor *c)
{
	return get_little_endian(c, 8);
}

uint64_t cursor_varint(DorisCursor *c)
{
	uint64_t v = 0;

	for (int shift = 0; shift < 7 * VARINT_MAX_BYTES; shift += 7)
	{
		uint8_t byte;

		if (c->p >= c->end)
			break;
		byte = *c->p++;
		if (shift == 63 && byte > 1)
			break; /* more than 64 bits */
		v |= (uint64_t) (byte & 0x7f) << shift;
		if ((byte & 0x80) == 0)
			return v;
	}
	cursor_fail(c);
	return 0;
}

DorisBytes cursor_bytes(DorisCursor *c)
{
	DorisBytes v = {0};
	uint64_t len = cursor_varint(c);

	if (len > cursor_left(c))
	{
		cursor_fail(c);
		return v;
	}
	v.data = cursor_raw(c, (size_t) len);
	v.len = v.data != NULL ? (size_t) len : 0;
	return v;
}

void cursor_str(DorisCursor *c, char *out, size_t size)
{
	DorisBytes v = cursor_bytes(c);

	if (v.len >= size || (v.len > 0 && memchr(v.data, 0, v.len) != NULL))
	{
		cursor_fail(c);
		v.len = 0;
	}
	if (v.len > 0)
		memcpy(out, v.data, v.len);
	memset(out + v.len, 0, size - v.len);
}

uint32_t cursor_count(DorisCursor *c, size_t min_size)
{
	uint64_t n = cursor_varint(c);

	if (n > UINT32_MAX || n > cursor_left(c) / (min_size > 0 ? min_size : 1))
	{
		cursor_fail(c);
		return 0;
	}
	return (uint32_t) n;
}

size_t cursor_left(const DorisCursor *c)
{
	return (size_t) (c->end - c->p);
}

bool cursor_at_end(const DorisCursor *c)
{
	return !c->bad && c->p == c->end;
}

int bytes_compare(DorisBytes a, DorisBytes b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int order = n > 0 ? memcmp(a.data, b.data, n) : 0;

	if (order != 0)
		return order;
	return (a.len > b.len) - (a.len < b.len);
}
