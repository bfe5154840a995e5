/*
 * codec_numeric.c: numerics as bytes that memcmp orders.
 *
 * u8 class (rising: -Infinity, negative, zero, positive, Infinity, NaN), and for finite numbers other than zero u16
 * weight (sign flipped), each digit of base 10000 as u16 plus one, and u16 zero as the end; for
 * negative numbers all of it inverted, so that greater magnitudes come first. Trailing zero digits are left out,
 * so the form does not depend on the display scale.
 *
 * Assumes the layout of numeric_send and numeric_recv, which is PostgreSQL's public binary format.
 */
#include "codec.h"

#include "libpq/pqformat.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#define SIGN_POSITIVE 0x0000
#define SIGN_NEGATIVE 0x4000
#define SIGN_NAN 0xC000
#define SIGN_INFINITY 0xD000
#define SIGN_MINUS_INFINITY 0xF000

#define CLASS_MINUS_INFINITY 0x10
#define CLASS_NEGATIVE 0x20
#define CLASS_ZERO 0x30
#define CLASS_POSITIVE 0x40
#define CLASS_INFINITY 0x50
#define CLASS_NAN 0x60

#define DIGIT_DECIMALS 4 /* decimal digits in a digit of base 10000 */

int numeric_typmod_dscale(int32 typmod)
{
	int scale;

	if (typmod < (int32) VARHDRSZ)
		return -1;
	/* as numeric_typmod_scale: 11 bits, signed (14 has no negative scales, and the same bits) */
	scale = (((typmod - VARHDRSZ) & 0x7ff) ^ 1024) - 1024;
	return Max(scale, 0);
}

void numeric_put_ordered(Datum d, StringInfo out, uint16 *dscale)
{
	bytea *sent = DatumGetByteaPP(DirectFunctionCall1(numeric_send, d));
	const uint8 *p = (const uint8 *) VARDATA_ANY(sent);
	int ndigits = (int) load_big_endian(p, 2);
	int16 weight = (int16) load_big_endian(p + 2, 2);
	uint16 sign = (uint16) load_big_endian(p + 4, 2);
	uint16 invert;

	*dscale = (uint16) load_big_endian(p + 6, 2);
	p += 8;

	if (sign != SIGN_POSITIVE && sign != SIGN_NEGATIVE)
	{
		*dscale = 0;
		codec_put_be(out,
					 sign == SIGN_NAN		 ? CLASS_NAN
					 : sign == SIGN_INFINITY ? CLASS_INFINITY
											 : CLASS_MINUS_INFINITY,
					 1);
		pfree(sent);
		return;
	}
	while (ndigits > 0 && p[0] == 0 && p[1] == 0)
	{
		p += 2;
		ndigits--;
		weight--;
	}
	while (ndigits > 0 && p[2 * ndigits - 2] == 0 && p[2 * ndigits - 1] == 0)
		ndigits--;
	if (ndigits == 0)
	{
		codec_put_be(out, CLASS_ZERO, 1);
		pfree(sent);
		return;
	}
	invert = sign == SIGN_NEGATIVE ? 0xFFFF : 0;
	codec_put_be(out, sign == SIGN_NEGATIVE ? CLASS_NEGATIVE : CLASS_POSITIVE, 1);
	codec_put_be(out, (uint16) (((uint16) weight ^ 0x8000) ^ invert), 2);
	for (int i = 0; i < ndigits; i++)
		codec_put_be(out, (uint16) ((load_big_endian(p + 2 * i, 2) + 1) ^ invert), 2);
	codec_put_be(out, invert, 2);
	pfree(sent);
}

size_t numeric_ordered_length(const uint8 *data, size_t len)
{
	uint16 end;

	if (len < 1)
		return 0;
	switch (data[0])
	{
		case CLASS_MINUS_INFINITY:
		case CLASS_ZERO:
		case CLASS_INFINITY:
		case CLASS_NAN:
			return 1;
		case CLASS_NEGATIVE:
			end = 0xFFFF;
			break;
		case CLASS_POSITIVE:
			end = 0;
			break;
		default:
			return 0;
	}
	for (size_t at = 3; at + 2 <= len; at += 2)
	{
		if (load_big_endian(data + at, 2) == end)
			return at > 3 ? at + 2 : 0;
	}
	return 0;
}

/* Decimals that the last digit needs: 4 less its trailing zeros. */
static int digit_decimals(uint16 digit)
{
	int n = DIGIT_DECIMALS;

	while (n > 0 && digit % 10 == 0)
	{
		digit /= 10;
		n--;
	}
	return n;
}

Datum numeric_get_ordered(const ColumnCodec *c, const uint8 *data, size_t len, int dscale)
{
	StringInfoData in;
	Datum result;
	uint16 sign = SIGN_POSITIVE;
	int16 weight = 0;
	int ndigits = 0;
	uint16 invert = 0;

	if (numeric_ordered_length(data, len) != len)
		codec_malformed(c);
	switch (data[0])
	{
		case CLASS_MINUS_INFINITY:
			sign = SIGN_MINUS_INFINITY;
			break;
		case CLASS_INFINITY:
			sign = SIGN_INFINITY;
			break;
		case CLASS_NAN:
			sign = SIGN_NAN;
			break;
		case CLASS_ZERO:
			break;
		default:
			if (data[0] == CLASS_NEGATIVE)
			{
				sign = SIGN_NEGATIVE;
				invert = 0xFFFF;
			}
			weight = (int16) ((uint16) (load_big_endian(data + 1, 2) ^ invert) ^ 0x8000);
			ndigits = (int) (len - 5) / 2;
	}

	initStringInfo(&in);
	codec_put_be(&in, (uint16) ndigits, 2);
	codec_put_be(&in, (uint16) weight, 2);
	codec_put_be(&in, sign, 2);
	codec_put_be(&in, 0, 2);
	for (int i = 0; i < ndigits; i++)
	{
		uint16 digit = (uint16) ((uint16) (load_big_endian(data + 3 + 2 * i, 2) ^ invert) - 1);

		if (digit >= 10000)
			codec_malformed(c);
		codec_put_be(&in, digit, 2);
		if (i == ndigits - 1 && dscale < 0)
			dscale = Max(0, (ndigits - weight - 2) * DIGIT_DECIMALS + digit_decimals(digit));
	}
	if (dscale < 0)
		dscale = 0;
	in.data[6] = (char) (dscale >> 8);
	in.data[7] = (char) dscale;
	result = DirectFunctionCall3(numeric_recv, PointerGetDatum(&in), ObjectIdGetDatum(InvalidOid),
								 Int32GetDatum(-1));
	pfree(in.data);
	return result;
}
