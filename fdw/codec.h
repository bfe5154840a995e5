/*
 * codec.h: what the codec*.c files share.
 *
 * How each kind is stored is a format: rows on disk outlive the release that wrote them, so the encoding of a
 * kind never changes. See the table in codec.c.
 */
#ifndef DORIS_CODEC_H
#define DORIS_CODEC_H

#include "doris_fdw.h"

#include <sys/socket.h>

#include "utils/date.h"
#include "utils/inet.h"

typedef enum CodecKind
{
	CODEC_BOOL,
	CODEC_CHAR, /* "char" */
	CODEC_INT2,
	CODEC_INT4,
	CODEC_INT8, /* and money */
	CODEC_DATE,
	CODEC_TIME,
	CODEC_TIMESTAMP,
	CODEC_OID,
	CODEC_FLOAT4,
	CODEC_FLOAT8,
	CODEC_UUID,
	CODEC_MACADDR,
	CODEC_MACADDR8,
	CODEC_TEXT, /* and varchar */
	CODEC_BPCHAR,
	CODEC_NAME,
	CODEC_BYTEA,
	CODEC_ENUM,
	CODEC_NUMERIC,
	CODEC_TIMETZ,
	CODEC_INTERVAL,
	CODEC_INET, /* and cidr */
	CODEC_ARRAY,
	CODEC_COMPOSITE,
	CODEC_BINARY /* by the type's own send and receive functions */
} CodecKind;

/* What codec_nested.c keeps for an array (one element codec) or a composite (one for each attribute). */
typedef struct CodecParts
{
	int n;
	ColumnCodec *codecs;
	Oid element; /* arrays: the element type, a domain as such */
	int16 typlen;
	bool typbyval;
	char typalign;
	TupleDesc tupdesc; /* composites */
} CodecParts;

/* Raises XX001: the stored bytes are no value of the type. */
extern void codec_malformed(const ColumnCodec *c) pg_attribute_noreturn();

/* Big-endian integers: memcmp orders them as unsigned numbers. */
static inline void codec_put_be(StringInfo out, uint64 v, int width)
{
	enlargeStringInfo(out, width);
	store_big_endian((uint8 *) out->data + out->len, v, (size_t) width);
	out->len += width;
	out->data[out->len] = '\0';
}

extern void codec_put_varint(StringInfo out, uint64 v);

/* Zero bytes as 00 FF, the end as 00 01: memcmp orders segments as it does the plain bytes. */
extern void codec_put_escaped(StringInfo out, const void *data, size_t len);
/* Into out, which has room for len bytes; returns the plain length, or -1 when malformed. */
extern int codec_unescape(const uint8 *segment, size_t len, uint8 *out);

/* codec_text.c */
extern bool
text_is_stored_as_is(void); /* else it is converted to UTF-8, and orders in another way */
extern int
bpchar_length(const ColumnCodec *c); /* characters of a bpchar(n); -1 without a modifier */
/*
 * The bytes of a string or bytea as stored, for a key or for a value: part of the datum, or of *copy, which is
 * to be freed when it is not NULL.
 */
extern const char *text_bytes(const ColumnCodec *c, Datum d, bool key, int *len,
							  struct varlena **copy);
extern Datum text_get(const ColumnCodec *c, const uint8 *data, size_t len);
extern void enum_put(Datum d, StringInfo out, bool key);
extern Datum enum_get(const ColumnCodec *c, const uint8 *data, size_t len);

/*
 * codec_numeric.c. The memcomparable form is canonical (equal numerics, whatever their scale, give the
 * same bytes) and delimits itself; the display scale is told apart.
 */
extern void numeric_put_ordered(Datum d, StringInfo out, uint16 *dscale);
/* Length of the ordered form that data begins with; 0 when malformed. */
extern size_t numeric_ordered_length(const uint8 *data, size_t len);
/* dscale < 0: as few decimals as the number needs. len is the ordered form's exact length. */
extern Datum numeric_get_ordered(const ColumnCodec *c, const uint8 *data, size_t len, int dscale);
/* The scale that the modifier gives to every value; -1 when there is no modifier. */
extern int numeric_typmod_dscale(int32 typmod);

/* codec_net.c: inet and cidr, a fixed 34 bytes that order as network_cmp does. */
#define CODEC_INET_WIDTH 34
extern void inet_put_ordered(inet *addr, StringInfo out);
extern Datum inet_get_ordered(const ColumnCodec *c, const uint8 *data, bool is_cidr);

/* codec_time.c */
#define INTERVAL_KEY_WIDTH 16
extern void interval_put_key(const Interval *v, StringInfo out); /* what interval_cmp compares */
extern Datum
interval_get_key(const uint8 *data); /* compares equal: whole days and the rest of a day */
extern void timetz_put(const TimeTzADT *v, StringInfo out);
extern Datum moment_get(const ColumnCodec *c, const uint8 *data); /* of the kinds with bounds */

/* codec_nested.c */
extern void nested_init(ColumnCodec *c, Oid element, MemoryContext context);
extern void nested_put(ColumnCodec *c, Datum d, StringInfo out);
extern Datum nested_get(ColumnCodec *c, const uint8 *data, size_t len);

#endif
