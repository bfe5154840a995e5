/*
 * codec_time.c: dates, times, timestamps and intervals.
 *
 * Dates and times have bounds that the rest of PostgreSQL relies on: they are checked when they are read.
 */
#include "codec.h"

#include <math.h>

#include "common/int128.h"
#include "datatype/timestamp.h"
#include "utils/timestamp.h"

/* ---- interval: what interval_cmp compares ---- */

void interval_put_key(const Interval *v, StringInfo out)
{
	int64 days = (int64) v->month * DAYS_PER_MONTH + v->day;
	INT128 span = int64_to_int128(v->time);
	uint64 high;
	uint64 low;

	int128_add_int64_mul_int64(&span, days, USECS_PER_DAY);
#if defined(USE_NATIVE_INT128)
	high = (uint64) (span >> 64);
	low = (uint64) span;
#else
	high = (uint64) span.hi;
	low = span.lo;
#endif
	codec_put_be(out, high ^ (UINT64CONST(1) << 63), 8);
	codec_put_be(out, low, 8);
}

Datum interval_get_key(const uint8 *data)
{
	uint64 high = load_big_endian(data, 8) ^ (UINT64CONST(1) << 63);
	uint64 low = load_big_endian(data + 8, 8);
	Interval *v = palloc0(sizeof(Interval));
	float8 span = (float8) (int64) high * 18446744073709551616.0 + (float8) low;
	float8 days = trunc(span / USECS_PER_DAY);

	if ((high == 0 && low <= (uint64) PG_INT64_MAX) ||
		(high == PG_UINT64_MAX && low > (uint64) PG_INT64_MAX))
	{
		v->day = (int32) ((int64) low / USECS_PER_DAY);
		v->time = (int64) low % USECS_PER_DAY;
	}
	else
	{
		/* over 292,000 years: months first; good to a few hours, which is all that a message needs */
		v->month = (int32) Max(Min(days / DAYS_PER_MONTH, PG_INT32_MAX), PG_INT32_MIN);
	}
	return IntervalPGetDatum(v);
}

/* ---- the others ---- */

void timetz_put(const TimeTzADT *v, StringInfo out)
{
	/* as timetz_cmp: the time in UTC first, then the zone, greater zones first */
	codec_put_be(out, (uint64) (v->time + v->zone * USECS_PER_SEC) ^ (UINT64CONST(1) << 63), 8);
	codec_put_be(out, (uint32) v->zone ^ (1U << 31), 4);
}

Datum moment_get(const ColumnCodec *c, const uint8 *data)
{
	int64 v;
	TimeTzADT *timetz;

	if (c->kind == CODEC_DATE)
	{
		DateADT date = (DateADT) ((uint32) load_big_endian(data, 4) ^ (1U << 31));

		if (!DATE_NOT_FINITE(date) && !IS_VALID_DATE(date))
			codec_malformed(c);
		return DateADTGetDatum(date);
	}
	v = (int64) (load_big_endian(data, 8) ^ (UINT64CONST(1) << 63));
	if (c->kind == CODEC_TIMESTAMP)
	{
		if (!TIMESTAMP_NOT_FINITE(v) && !IS_VALID_TIMESTAMP(v))
			codec_malformed(c);
		return TimestampGetDatum(v);
	}
	if (c->kind == CODEC_TIME)
	{
		if (v < 0 || v > USECS_PER_DAY)
			codec_malformed(c);
		return TimeADTGetDatum(v);
	}
	timetz = palloc(sizeof(TimeTzADT));
	timetz->zone = (int32) ((uint32) load_big_endian(data + 8, 4) ^ (1U << 31));
	if (timetz->zone <= -TZDISP_LIMIT || timetz->zone >= TZDISP_LIMIT || v < -USECS_PER_DAY ||
		v > 2 * USECS_PER_DAY)
		codec_malformed(c);
	timetz->time = v - timetz->zone * USECS_PER_SEC;
	if (timetz->time < 0 || timetz->time > USECS_PER_DAY)
		codec_malformed(c);
	return TimeTzADTPGetDatum(timetz);
}
