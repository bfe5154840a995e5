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
extern void buf_reset(DorisBuf *b); /* empty, memory kept */
/* Room for n more bytes; false (and failed set) when out of memory. */
extern bool buf_reserve(DorisBuf *b, size_t n);
extern void buf_put_u8(DorisBuf *b, uint8_t v);
extern void buf_put_u16(DorisBuf *b, uint16_t v);
extern void buf_put_u32(DorisBuf *b, uint32_t v);
extern void buf_put_u64(DorisBuf *b, uint64_t v);
extern void buf_put_varint(DorisBuf *b, uint64_t v);
extern void buf_put_raw(DorisBuf *b, const void *data, size_t len);
/* varint length, then the bytes */
extern void buf_put_bytes(DorisBuf *b, const void *data, size_t len);
extern void buf_put_view(DorisBuf *b, DorisBytes v);
extern void buf_put_str(DorisBuf *b, const char *s);
/* Overwrites 4 bytes at an offset written before (a count known only later). */
extern void buf_set_u32(DorisBuf *b, size_t at, uint32_t v);

extern DorisCursor cursor_of(const void *data, size_t len);
extern uint8_t cursor_u8(DorisCursor *c);
extern uint16_t cursor_u16(DorisCursor *c);
extern uint32_t cursor_u32(DorisCursor *c);
extern uint64_t cursor_u64(DorisCursor *c);
extern uint64_t cursor_varint(DorisCursor *c);
extern const uint8_t *cursor_raw(DorisCursor *c, size_t len); /* NULL and bad when short */
extern DorisBytes cursor_bytes(DorisCursor *c);				  /* a view into the input */
/* Copies a string with its terminator into out; bad when it has a zero byte or does not fit. */
extern void cursor_str(DorisCursor *c, char *out, size_t size);
/*
 * A count of things of at least min_size bytes each: bad when that many cannot be left in the input,
 * so that nobody allocates by a length an attacker chose.
 */
extern uint32_t cursor_count(DorisCursor *c, size_t min_size);
extern size_t cursor_left(const DorisCursor *c);
extern bool cursor_at_end(const DorisCursor *c); /* nothing left, nothing bad */

extern int bytes_compare(DorisBytes a, DorisBytes b); /* memcmp order, shorter first */

#endif
