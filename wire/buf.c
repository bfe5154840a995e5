/*
 * buf.c: growing output buffers and bounds-checked input cursors.
 *
 * Both remember their first failure, so that encoders and decoders check once, at the end.
 */
#include "buf.h"

#include <stdlib.h>
#include <string.h>

#define BUF_FIRST_CAPACITY 256

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

bool buf_grow(DorisBuf *b, size_t n)
{
	size_t cap;
	uint8_t *data;

	if (b->failed)
		return false;
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

const uint8_t *varint_read_long(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
	*v = 0;
	for (int shift = 0; shift < 7 * DORIS_VARINT_MAX_BYTES && p < end; shift += 7)
	{
		uint8_t byte = *p++;

		if (shift == 63 && byte > 1)
			break; /* more than 64 bits */
		*v |= (uint64_t) (byte & 0x7f) << shift;
		if ((byte & 0x80) == 0)
			return p;
	}
	return NULL;
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

int bytes_compare_whole(DorisBytes a, DorisBytes b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int order = n > 0 ? memcmp(a.data, b.data, n) : 0;

	if (order != 0)
		return order;
	return (a.len > b.len) - (a.len < b.len);
}
