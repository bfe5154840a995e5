/*
 * codec.c: one column's datums as bytes, in row values and in keys.
 *
 * kind            value                                     key segment
 * bool, "char"    one byte                                  the same
 * int2/4/8, date, time, timestamp(tz), money
 *                 big-endian, sign flipped                  the same
 * oid             big-endian                                the same
 * float4/8        big-endian, order-preserving; one NaN     the same, -0 as 0; datum also in the value
 * uuid, macaddr   their bytes                               the same
 * text, varchar, name
 *                 their bytes in UTF-8                      escaped
 * bpchar(n)       without trailing blanks                   escaped
 * bpchar          as it is                                  escaped, without trailing blanks; datum also in the value
 * bytea           its bytes                                 escaped
 * enum            the label                                 escaped (equality only)
 * numeric(p,s)    ordered form (codec_numeric.c)            escaped
 * numeric         ordered form, u16 display scale           escaped ordered form; datum also in the value
 * timetz          big-endian UTC time, then zone            the same (codec_time.c, as other dates and times)
 * interval        binary send                               128-bit compare value; datum also in the value
 * inet, cidr      ordered form (codec_net.c)                the same
 * arrays, composites   element by element (codec_nested.c)  -
 * all else        binary send                               -
 *
 * Domains are encoded as their base type. Stored bytes are checked when they are read, for they come from
 * outside: what does not decode is an error and never a wrong datum.
 */
#include "codec.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "tsearch/ts_type.h"
#include "utils/builtins.h"
#include "utils/cash.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#define UUID_WIDTH 16
#define MACADDR_WIDTH 6
#define MACADDR8_WIDTH 8
#define TIMETZ_WIDTH 12

void codec_malformed(const ColumnCodec *c)
{
	ereport(
		ERROR, errcode(ERRCODE_DATA_CORRUPTED),
		errmsg("a stored row holds bytes that are no value of type %s", format_type_be(c->type)),
		errhint("The row was written by another program, or the type was changed."));
	pg_unreachable();
}

/* ---- small encoders ---- */

void codec_put_varint(StringInfo out, uint64 v)
{
	enlargeStringInfo(out, 10);
	while (v >= 0x80)
	{
		out->data[out->len++] = (char) (v | 0x80);
		v >>= 7;
	}
	/* no terminator: table.c writes a length in front of bytes that are there already */
	out->data[out->len++] = (char) v;
}

void codec_put_escaped(StringInfo out, const void *data, size_t len)
{
	const char *p = data;
	const char *end = p + len;

	while (p < end)
	{
		const char *zero = memchr(p, 0, (size_t) (end - p));
		size_t run = (size_t) ((zero ? zero : end) - p);

		appendBinaryStringInfo(out, p, (int) run);
		p += run;
		if (zero != NULL)
		{
			appendBinaryStringInfo(out, "\x00\xFF", 2);
			p++;
		}
	}
	appendBinaryStringInfo(out, "\x00\x01", 2);
}

int codec_unescape(const uint8 *segment, size_t len, uint8 *out)
{
	uint8 *to = out;

	if (len < 2 || segment[len - 2] != 0 || segment[len - 1] != 1)
		return -1;
	for (size_t i = 0; i < len - 2; i++)
	{
		*to++ = segment[i];
		if (segment[i] == 0 && segment[++i] != 0xFF)
			return -1;
	}
	return (int) (to - out);
}

static inline uint64 float_ordered(float8 v, bool keep_minus_zero)
{
	uint64 bits;

	if (isnan(v))
		return PG_UINT64_MAX;
	if (v == 0 && !keep_minus_zero)
		v = 0;
	memcpy(&bits, &v, sizeof(bits));
	return bits >> 63 ? ~bits : bits | (UINT64CONST(1) << 63);
}

static inline float8 float_from_ordered(uint64 bits)
{
	float8 v;

	if (bits == PG_UINT64_MAX)
		return get_float8_nan();
	bits = bits >> 63 ? bits & ~(UINT64CONST(1) << 63) : ~bits;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

static inline uint32 float4_ordered(float4 v, bool keep_minus_zero)
{
	uint32 bits;

	if (isnan(v))
		return PG_UINT32_MAX;
	if (v == 0 && !keep_minus_zero)
		v = 0;
	memcpy(&bits, &v, sizeof(bits));
	return bits >> 31 ? ~bits : bits | (1U << 31);
}

static inline float4 float4_from_ordered(uint32 bits)
{
	float4 v;

	if (bits == PG_UINT32_MAX)
		return get_float4_nan();
	bits = bits >> 31 ? bits & ~(1U << 31) : ~bits;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

/* ---- what a type can do ---- */

static void binary_init(ColumnCodec *c, MemoryContext context)
{
	HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(c->type));
	Form_pg_type type;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", c->type);
	type = (Form_pg_type) GETSTRUCT(tuple);
	if (!OidIsValid(type->typsend) || !OidIsValid(type->typreceive))
		ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("type %s cannot be stored", format_type_be(c->type)),
				errdetail("It has no binary send and receive functions."));
	fmgr_info_cxt(type->typsend, &c->send, context);
	fmgr_info_cxt(type->typreceive, &c->receive, context);
	c->receive_ioparam = getTypeIOParam(tuple);
	ReleaseSysCache(tuple);
}

static CodecKind kind_of(Oid type, Oid *element)
{
	switch (type)
	{
		case BOOLOID:
			return CODEC_BOOL;
		case CHAROID:
			return CODEC_CHAR;
		case INT2OID:
			return CODEC_INT2;
		case INT4OID:
			return CODEC_INT4;
		case DATEOID:
			return CODEC_DATE;
		case INT8OID:
		case CASHOID:
			return CODEC_INT8;
		case TIMEOID:
			return CODEC_TIME;
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return CODEC_TIMESTAMP;
		case OIDOID:
			return CODEC_OID;
		case FLOAT4OID:
			return CODEC_FLOAT4;
		case FLOAT8OID:
			return CODEC_FLOAT8;
		case UUIDOID:
			return CODEC_UUID;
		case MACADDROID:
			return CODEC_MACADDR;
		case MACADDR8OID:
			return CODEC_MACADDR8;
		case TEXTOID:
		case VARCHAROID:
			return CODEC_TEXT;
		case BPCHAROID:
			return CODEC_BPCHAR;
		case NAMEOID:
			return CODEC_NAME;
		case BYTEAOID:
			return CODEC_BYTEA;
		case NUMERICOID:
			return CODEC_NUMERIC;
		case TIMETZOID:
			return CODEC_TIMETZ;
		case INTERVALOID:
			return CODEC_INTERVAL;
		case INETOID:
		case CIDROID:
			return CODEC_INET;
		default:
			break;
	}
	*element = get_element_type(type);
	if (OidIsValid(*element))
		return CODEC_ARRAY;
	switch (get_typtype(type))
	{
		case TYPTYPE_ENUM:
			return CODEC_ENUM;
		case TYPTYPE_COMPOSITE:
			return CODEC_COMPOSITE;
		default:
			return CODEC_BINARY;
	}
}

/* A type whose key segment is its value, a fixed number of bytes in order. */
static void fixed_width(ColumnCodec *c, int width)
{
	c->value_equal = c->value_ordered = c->value_bounded = true;
	c->key_supported = c->key_ordered = c->key_exact = true;
	c->key_width = (uint8) width;
}

void codec_init(ColumnCodec *c, Oid type, int32 typmod, Oid collation, MemoryContext context)
{
	Oid element = InvalidOid;
	bool bytewise;

	memset(c, 0, sizeof(*c));
	c->typmod = typmod;
	c->type = getBaseTypeAndTypmod(type, &c->typmod);
	c->collation = collation;
	c->kind = kind_of(c->type, &element);
	c->key_width = DORIS_KEY_ESCAPED;
	bytewise = text_is_stored_as_is();

	switch ((CodecKind) c->kind)
	{
		case CODEC_BOOL:
		case CODEC_CHAR:
			fixed_width(c, 1);
			break;
		case CODEC_INT2:
			fixed_width(c, 2);
			break;
		case CODEC_INT4:
		case CODEC_DATE:
		case CODEC_OID:
			fixed_width(c, 4);
			break;
		case CODEC_INT8:
		case CODEC_TIME:
		case CODEC_TIMESTAMP:
			fixed_width(c, 8);
			break;
		case CODEC_FLOAT4:
		case CODEC_FLOAT8:
			fixed_width(c, c->kind == CODEC_FLOAT4 ? 4 : 8);
			c->value_equal = c->value_ordered = false; /* -0 */
			c->key_exact = false;
			break;
		case CODEC_UUID:
			fixed_width(c, UUID_WIDTH);
			break;
		case CODEC_MACADDR:
			fixed_width(c, MACADDR_WIDTH);
			break;
		case CODEC_MACADDR8:
			fixed_width(c, MACADDR8_WIDTH);
			break;
		case CODEC_TIMETZ:
			fixed_width(c, TIMETZ_WIDTH);
			break;
		case CODEC_INET:
			fixed_width(c, CODEC_INET_WIDTH);
			break;
		case CODEC_INTERVAL:
			binary_init(c, context);
			c->key_supported = c->key_ordered = true;
			c->key_width = INTERVAL_KEY_WIDTH;
			break;
		case CODEC_TEXT:
		case CODEC_NAME:
		case CODEC_BPCHAR:
			c->key_supported = c->value_equal = compat_collation_is_deterministic(collation);
			c->value_ordered = bytewise && compat_collation_is_c(collation);
			c->key_ordered = c->value_ordered;
			c->key_exact = true;
			if (c->kind == CODEC_BPCHAR && bpchar_length(c) < 0)
			{
				/* trailing blanks are kept, and do not count */
				c->value_equal = c->value_ordered = false;
				c->key_exact = false;
			}
			c->value_bounded = c->value_ordered;
			break;
		case CODEC_BYTEA:
			c->value_equal = c->value_ordered = c->value_bounded = true;
			c->key_supported = c->key_ordered = c->key_exact = true;
			break;
		case CODEC_ENUM:
			c->value_equal = true;
			c->key_supported = c->key_exact = true;
			break;
		case CODEC_NUMERIC:
			c->value_bounded = true;
			c->key_supported = c->key_ordered = true;
			/* with a modifier the display scale is known, and the stored form canonical */
			c->key_exact = c->value_equal = c->value_ordered =
				numeric_typmod_dscale(c->typmod) >= 0;
			break;
		case CODEC_ARRAY:
			nested_init(c, element, context);
			c->value_equal = c->parts->codecs[0].value_equal;
			break;
		case CODEC_COMPOSITE:
			nested_init(c, InvalidOid, context);
			break;
		case CODEC_BINARY:
			binary_init(c, context);
			break;
	}
}

bool codec_key_orders(const ColumnCodec *c, Oid collation)
{
	if (!OidIsValid(collation) || collation == c->collation)
		return c->key_ordered;
	switch ((CodecKind) c->kind)
	{
		case CODEC_TEXT:
		case CODEC_NAME:
		case CODEC_BPCHAR:
			return c->key_supported && text_is_stored_as_is() && compat_collation_is_c(collation);
		default:
			return false;
	}
}

bool codec_has_prefixes(const ColumnCodec *c)
{
	switch ((CodecKind) c->kind)
	{
		case CODEC_TEXT:
		case CODEC_NAME:
		case CODEC_BPCHAR:
			return c->key_supported && text_is_stored_as_is();
		case CODEC_BYTEA:
			return true;
		default:
			return false;
	}
}

bool codec_pads(const ColumnCodec *c)
{
	return c->kind == CODEC_BPCHAR;
}

DorisBytes codec_segment(ColumnCodec *c, Datum d)
{
	StringInfoData b;

	initStringInfo(&b);
	codec_put_key(c, d, &b);
	return (DorisBytes){(const uint8 *) b.data, (size_t) b.len};
}

DorisBytes codec_prefix_segment(DorisBytes prefix, bool whole)
{
	StringInfoData b;

	initStringInfo(&b);
	codec_put_escaped(&b, prefix.data, prefix.len);
	return (DorisBytes){(const uint8 *) b.data, (size_t) b.len - (whole ? 0 : 2)};
}

/* ---- values ---- */

static void binary_put(ColumnCodec *c, Datum d, StringInfo out)
{
	bytea *sent = SendFunctionCall(&c->send, d);

	appendBinaryStringInfo(out, VARDATA(sent), (int) (VARSIZE(sent) - VARHDRSZ));
	pfree(sent);
}

void codec_put_value(ColumnCodec *c, Datum d, StringInfo out)
{
	switch ((CodecKind) c->kind)
	{
		case CODEC_BOOL:
			appendStringInfoChar(out, DatumGetBool(d) ? 1 : 0);
			break;
		case CODEC_CHAR:
			appendStringInfoChar(out, DatumGetChar(d));
			break;
		case CODEC_INT2:
			codec_put_be(out, (uint16) DatumGetInt16(d) ^ (1U << 15), 2);
			break;
		case CODEC_INT4:
		case CODEC_DATE:
			codec_put_be(out, (uint32) DatumGetInt32(d) ^ (1U << 31), 4);
			break;
		case CODEC_INT8:
		case CODEC_TIME:
		case CODEC_TIMESTAMP:
			codec_put_be(out, (uint64) DatumGetInt64(d) ^ (UINT64CONST(1) << 63), 8);
			break;
		case CODEC_OID:
			codec_put_be(out, DatumGetObjectId(d), 4);
			break;
		case CODEC_FLOAT4:
			codec_put_be(out, float4_ordered(DatumGetFloat4(d), true), 4);
			break;
		case CODEC_FLOAT8:
			codec_put_be(out, float_ordered(DatumGetFloat8(d), true), 8);
			break;
		case CODEC_UUID:
			appendBinaryStringInfo(out, (char *) DatumGetUUIDP(d)->data, UUID_WIDTH);
			break;
		case CODEC_MACADDR:
		case CODEC_MACADDR8:
			appendBinaryStringInfo(out, DatumGetPointer(d), c->key_width);
			break;
		case CODEC_TEXT:
		case CODEC_NAME:
		case CODEC_BPCHAR:
		case CODEC_BYTEA:
		{
			struct varlena *copy;
			int len;
			const char *s = text_bytes(c, d, false, &len, &copy);

			appendBinaryStringInfo(out, s, len);
			if (copy != NULL)
				pfree(copy);
			break;
		}
		case CODEC_ENUM:
			enum_put(d, out, false);
			break;
		case CODEC_NUMERIC:
		{
			uint16 dscale;

			numeric_put_ordered(d, out, &dscale);
			if (numeric_typmod_dscale(c->typmod) < 0)
				codec_put_be(out, dscale, 2);
			break;
		}
		case CODEC_TIMETZ:
			timetz_put(DatumGetTimeTzADTP(d), out);
			break;
		case CODEC_INET:
			inet_put_ordered(DatumGetInetPP(d), out);
			break;
		case CODEC_ARRAY:
		case CODEC_COMPOSITE:
			nested_put(c, d, out);
			break;
		case CODEC_INTERVAL:
		case CODEC_BINARY:
			binary_put(c, d, out);
			break;
	}
}

void codec_put_bounds(ColumnCodec *c, Datum d, StringInfo low, StringInfo high)
{
	Assert(c->value_bounded);
	if (!c->value_ordered && c->kind == CODEC_NUMERIC)
	{
		uint16 dscale;

		/* all display scales */
		numeric_put_ordered(d, low, &dscale);
		appendBinaryStringInfo(high, low->data, low->len);
		codec_put_be(low, 0, 2);
		codec_put_be(high, PG_UINT16_MAX, 2);
		return;
	}
	if (c->kind == CODEC_FLOAT8 && DatumGetFloat8(d) == 0)
	{
		codec_put_be(low, float_ordered(-0.0, true), 8);
		codec_put_be(high, float_ordered(0.0, true), 8);
		return;
	}
	if (c->kind == CODEC_FLOAT4 && DatumGetFloat4(d) == 0)
	{
		codec_put_be(low, float4_ordered(-0.0f, true), 4);
		codec_put_be(high, float4_ordered(0.0f, true), 4);
		return;
	}
	codec_put_value(c, d, low);
	appendBinaryStringInfo(high, low->data, low->len);
}

/* Bytes that a value of fixed width must have; 0: any number. */
static size_t value_width(const ColumnCodec *c)
{
	switch ((CodecKind) c->kind)
	{
		case CODEC_INTERVAL:
			return 0; /* the receive function's business */
		default:
			return c->key_width;
	}
}

static Datum fixed_get(const ColumnCodec *c, const uint8 *data)
{
	switch ((CodecKind) c->kind)
	{
		case CODEC_BOOL:
			return BoolGetDatum(data[0] != 0);
		case CODEC_CHAR:
			return CharGetDatum((char) data[0]);
		case CODEC_INT2:
			return Int16GetDatum((int16) (load_big_endian(data, 2) ^ (1U << 15)));
		case CODEC_INT4:
			return Int32GetDatum((int32) (load_big_endian(data, 4) ^ (1U << 31)));
		case CODEC_INT8:
			return Int64GetDatum((int64) (load_big_endian(data, 8) ^ (UINT64CONST(1) << 63)));
		case CODEC_OID:
			return ObjectIdGetDatum((Oid) load_big_endian(data, 4));
		case CODEC_FLOAT4:
			return Float4GetDatum(float4_from_ordered((uint32) load_big_endian(data, 4)));
		case CODEC_FLOAT8:
			return Float8GetDatum(float_from_ordered(load_big_endian(data, 8)));
		case CODEC_UUID:
		case CODEC_MACADDR:
		case CODEC_MACADDR8:
		{
			char *copy = palloc(c->key_width);

			memcpy(copy, data, c->key_width);
			return PointerGetDatum(copy);
		}
		case CODEC_DATE:
		case CODEC_TIME:
		case CODEC_TIMESTAMP:
		case CODEC_TIMETZ:
			return moment_get(c, data);
		case CODEC_INET:
			return inet_get_ordered(c, data, c->type == CIDROID);
		default:
			codec_malformed(c);
	}
}

static Datum bytea_from(const uint8 *data, size_t len)
{
	bytea *v = palloc(VARHDRSZ + len);

	SET_VARSIZE(v, VARHDRSZ + len);
	memcpy(VARDATA(v), data, len);
	return PointerGetDatum(v);
}

static Datum numeric_from(const ColumnCodec *c, const uint8 *data, size_t len)
{
	int dscale = numeric_typmod_dscale(c->typmod);

	if (dscale < 0)
	{
		if (len < 3)
			codec_malformed(c);
		len -= 2;
		dscale = (int) load_big_endian(data + len, 2);
	}
	return numeric_get_ordered(c, data, len, dscale);
}

Datum codec_get_value(ColumnCodec *c, const uint8 *data, size_t len)
{
	size_t width = value_width(c);

	if (width != 0)
	{
		if (len != width)
			codec_malformed(c);
		return fixed_get(c, data);
	}
	switch ((CodecKind) c->kind)
	{
		case CODEC_TEXT:
		case CODEC_NAME:
		case CODEC_BPCHAR:
			return text_get(c, data, len);
		case CODEC_BYTEA:
			return bytea_from(data, len);
		case CODEC_ENUM:
			return enum_get(c, data, len);
		case CODEC_NUMERIC:
			return numeric_from(c, data, len);
		case CODEC_ARRAY:
		case CODEC_COMPOSITE:
			return nested_get(c, data, len);
		default:
		{
			StringInfoData in;
			Datum d;

			/* some minor releases, 15.18 among them, refuse the binary form of an empty tsquery that they send */
			if (c->type == TSQUERYOID && len == 4 && memcmp(data, "\0\0\0", 4) == 0)
			{
				TSQuery empty = palloc0(HDRSIZETQ);

				SET_VARSIZE(empty, HDRSIZETQ);
				return TSQueryGetDatum(empty);
			}
			/* receive functions may want the terminator that a StringInfo has */
			initStringInfo(&in);
			appendBinaryStringInfo(&in, (const char *) data, (int) len);
			d = ReceiveFunctionCall(&c->receive, &in, c->receive_ioparam, c->typmod);
			if (in.cursor != in.len)
				codec_malformed(c);
			pfree(in.data);
			return d;
		}
	}
}

/* ---- keys ---- */

void codec_put_key(ColumnCodec *c, Datum d, StringInfo out)
{
	struct varlena *copy;
	const char *s;
	int len;

	Assert(c->key_supported);
	switch ((CodecKind) c->kind)
	{
		case CODEC_FLOAT4:
			codec_put_be(out, float4_ordered(DatumGetFloat4(d), false), 4);
			break;
		case CODEC_FLOAT8:
			codec_put_be(out, float_ordered(DatumGetFloat8(d), false), 8);
			break;
		case CODEC_TEXT:
		case CODEC_NAME:
		case CODEC_BPCHAR:
		case CODEC_BYTEA:
			s = text_bytes(c, d, true, &len, &copy);
			codec_put_escaped(out, s, (size_t) len);
			if (copy != NULL)
				pfree(copy);
			break;
		case CODEC_ENUM:
			enum_put(d, out, true);
			break;
		case CODEC_NUMERIC:
		{
			StringInfoData plain;
			uint16 dscale;

			initStringInfo(&plain);
			numeric_put_ordered(d, &plain, &dscale);
			codec_put_escaped(out, plain.data, (size_t) plain.len);
			pfree(plain.data);
			break;
		}
		case CODEC_INTERVAL:
			interval_put_key(DatumGetIntervalP(d), out);
			break;
		default:
			codec_put_value(c, d, out);
	}
}

Datum codec_get_key(ColumnCodec *c, const uint8 *segment, size_t len)
{
	uint8 *plain;
	int n;
	Datum d;

	if (c->key_width != DORIS_KEY_ESCAPED)
	{
		if (len != c->key_width)
			codec_malformed(c);
		return c->kind == CODEC_INTERVAL ? interval_get_key(segment) : fixed_get(c, segment);
	}
	plain = palloc(len + 1);
	n = codec_unescape(segment, len, plain);
	if (n < 0)
		codec_malformed(c);
	if (c->kind == CODEC_NUMERIC)
		d = numeric_get_ordered(c, plain, (size_t) n, numeric_typmod_dscale(c->typmod));
	else
		d = codec_get_value(c, plain, (size_t) n);
	pfree(plain);
	return d;
}
