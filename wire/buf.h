/*
 * buf.h: bytes out and bytes in.
 *
 * DorisBuf grows and remembers a failed allocation; DorisCursor reads and remembers the first
 * length that did not fit, after which every read gives zero: decoders check `bad` once at the end.
 * Integers are little-endian; varint is LEB128 (at most 10 bytes).
 */
#ifndef DORIS_BUF_H
#define DORIS_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DORIS_VARINT_MAX_BYTES 10

/* A borrowed run of bytes: whoever made the view says how long it lives. */
typedef struct DorisBytes
{
	const uint8_t *data;
	size_t len;
} DorisBytes;

typedef struct DorisBuf
{
	uint8_t *data; /* malloc'ed; NULL while empty */
	size_t len;
	size_t cap;
	bool failed; /* out of memory: what was put since then is lost */
} DorisBuf;

typedef struct DorisCursor
{
	const uint8_t *p;
	const uint8_t *end;
	bool bad; /* a read went past the end, or a varint was malformed */
} DorisCursor;

extern void buf_init(DorisBuf *b);
extern void buf_free(DorisBuf *b);
extern void buf_reset(DorisBuf *b);			 /* empty, memory kept */
extern bool buf_grow(DorisBuf *b, size_t n); /* buf_reserve's, when there is no room yet */

/*
 * Reading and writing. In the header, because for each row that a scan reads, filters, adds up or sends, a dozen of
 * these run: as calls they were a third of what a row cost.
 */

/*
 * Integers of 1 to 8 bytes. Those of a known size are one move: compilers make that of a copy, but of a loop over the bytes only
 * when they unroll it, which gcc does not at -O2. (endian.h has the like, but not for who compiles by plain C11.)
 */
static inline uint64_t swap_to_little_endian(uint64_t v)
{
	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? v : __builtin_bswap64(v);
}

static inline uint64_t swap_to_big_endian(uint64_t v)
{
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? v : __builtin_bswap64(v);
}

static inline uint64_t load_little_endian(const uint8_t *p, size_t bytes)
{
	uint64_t v = 0;

	memcpy(&v, p, bytes);
	return swap_to_little_endian(v);
}

static inline uint64_t load_big_endian(const uint8_t *p, size_t bytes)
{
	uint64_t v = 0;

	memcpy((uint8_t *) &v + (8 - bytes), p, bytes);
	return swap_to_big_endian(v);
}

static inline void store_little_endian(uint8_t *p, uint64_t v, size_t bytes)
{
	v = swap_to_little_endian(v);
	memcpy(p, &v, bytes);
}

static inline void store_big_endian(uint8_t *p, uint64_t v, size_t bytes)
{
	v = swap_to_big_endian(v);
	memcpy(p, (const uint8_t *) &v + (8 - bytes), bytes);
}

/* Room for n more bytes; false (and failed set) when out of memory. */
static inline bool buf_reserve(DorisBuf *b, size_t n)
{
	return (!b->failed && n <= b->cap - b->len) || buf_grow(b, n);
}

static inline void buf_put_raw(DorisBuf *b, const void *data, size_t len)
{
	if (len == 0 || !buf_reserve(b, len))
		return;
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

static inline void buf_put_little_endian(DorisBuf *b, uint64_t v, size_t bytes)
{
	if (!buf_reserve(b, bytes))
		return;
	store_little_endian(b->data + b->len, v, bytes);
	b->len += bytes;
}

static inline void buf_put_u8(DorisBuf *b, uint8_t v)
{
	buf_put_little_endian(b, v, 1);
}

static inline void buf_put_u16(DorisBuf *b, uint16_t v)
{
	buf_put_little_endian(b, v, 2);
}

static inline void buf_put_u32(DorisBuf *b, uint32_t v)
{
	buf_put_little_endian(b, v, 4);
}

static inline void buf_put_u64(DorisBuf *b, uint64_t v)
{
	buf_put_little_endian(b, v, 8);
}

static inline void buf_put_varint(DorisBuf *b, uint64_t v)
{
	if (!buf_reserve(b, DORIS_VARINT_MAX_BYTES))
		return;
	while (v >= 0x80)
	{
		b->data[b->len++] = (uint8_t) (v | 0x80);
		v >>= 7;
	}
	b->data[b->len++] = (uint8_t) v;
}

/* varint length, then the bytes */
static inline void buf_put_bytes(DorisBuf *b, const void *data, size_t len)
{
	buf_put_varint(b, len);
	buf_put_raw(b, data, len);
}

static inline void buf_put_view(DorisBuf *b, DorisBytes v)
{
	buf_put_bytes(b, v.data, v.len);
}

extern void buf_put_str(DorisBuf *b, const char *s);
/* Overwrites 4 bytes at an offset written before (a count known only later). */
extern void buf_set_u32(DorisBuf *b, size_t at, uint32_t v);

static inline DorisCursor cursor_of(const void *data, size_t len)
{
	static const uint8_t nothing[1] = {0};
	DorisCursor c;

	/* never NULL, so that pointer arithmetic on an empty input stays defined */
	c.p = data != NULL ? (const uint8_t *) data : nothing;
	c.end = c.p + (data != NULL ? len : 0);
	c.bad = false;
	return c;
}

static inline size_t cursor_left(const DorisCursor *c)
{
	return (size_t) (c->end - c->p);
}

/* Nothing left, nothing bad? */
static inline bool cursor_at_end(const DorisCursor *c)
{
	return !c->bad && c->p == c->end;
}

static inline void cursor_fail(DorisCursor *c)
{
	c->bad = true;
	c->p = c->end;
}

/* NULL and bad when short */
static inline const uint8_t *cursor_raw(DorisCursor *c, size_t len)
{
	const uint8_t *p = c->p;

	if (c->bad || len > cursor_left(c))
	{
		cursor_fail(c);
		return NULL;
	}
	c->p += len;
	return p;
}

static inline uint64_t cursor_little_endian(DorisCursor *c, size_t bytes)
{
	const uint8_t *p = cursor_raw(c, bytes);

	return p != NULL ? load_little_endian(p, bytes) : 0;
}

static inline uint8_t cursor_u8(DorisCursor *c)
{
	return (uint8_t) cursor_little_endian(c, 1);
}

static inline uint16_t cursor_u16(DorisCursor *c)
{
	return (uint16_t) cursor_little_endian(c, 2);
}

static inline uint32_t cursor_u32(DorisCursor *c)
{
	return (uint32_t) cursor_little_endian(c, 4);
}

static inline uint64_t cursor_u64(DorisCursor *c)
{
	return cursor_little_endian(c, 8);
}

/* cursor_varint's, of any length: what follows it; NULL: malformed, or more than 64 bits. */
extern const uint8_t *varint_read_long(const uint8_t *p, const uint8_t *end, uint64_t *v);

/* No function of another file sees the cursor, so that compilers can keep it in registers. */
static inline uint64_t cursor_varint(DorisCursor *c)
{
	const uint8_t *next;
	uint64_t v;

	if (c->p < c->end && *c->p < 0x80)
		return *c->p++;
	next = varint_read_long(c->p, c->end, &v);
	if (next == NULL)
	{
		cursor_fail(c);
		return 0;
	}
	c->p = next;
	return v;
}

/* A view into the input. */
static inline DorisBytes cursor_bytes(DorisCursor *c)
{
	DorisBytes v = {NULL, 0};
	uint64_t len = cursor_varint(c);

	if (c->bad || len > cursor_left(c))
	{
		cursor_fail(c);
		return v;
	}
	v.data = c->p;
	v.len = (size_t) len;
	c->p += len;
	return v;
}

/* Copies a string with its terminator into out; bad when it has a zero byte or does not fit. */
extern void cursor_str(DorisCursor *c, char *out, size_t size);
/*
 * A count of things of at least min_size bytes each: bad when that many cannot be left in the input,
 * so that nobody allocates by a length an attacker chose.
 */
extern uint32_t cursor_count(DorisCursor *c, size_t min_size);

extern int bytes_compare_whole(DorisBytes a, DorisBytes b); /* bytes_compare's, of any length */

/* memcmp order, shorter first */
static inline int bytes_compare(DorisBytes a, DorisBytes b)
{
	if (a.len >= 8 && b.len >= 8)
	{
		uint64_t x = load_big_endian(a.data, 8);
		uint64_t y = load_big_endian(b.data, 8);

		if (x != y)
			return x < y ? -1 : 1;
	}
	else if (a.len == 4 && b.len == 4)
	{
		uint64_t x = load_big_endian(a.data, 4);
		uint64_t y = load_big_endian(b.data, 4);

		return (x > y) - (x < y);
	}
	return bytes_compare_whole(a, b);
}

#endif
