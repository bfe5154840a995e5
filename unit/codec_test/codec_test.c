/*
 * codec_test.c: the codecs of fdw/codec*.c as SQL functions, so that PostgreSQL's own types, comparisons and random
 * values test them. Built and run by unit/codec_test/run.
 */
#include "codec.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

PG_MODULE_MAGIC;

/* The codec of the type of argument arg; kept while the calling expression stays. typmod: argument arg + 1. */
static ColumnCodec *codec_of_argument(FunctionCallInfo fcinfo, int arg)
{
	ColumnCodec *c = fcinfo->flinfo->fn_extra;

	if (c == NULL)
	{
		c = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(ColumnCodec));
		codec_init(c, get_fn_expr_argtype(fcinfo->flinfo, arg), PG_GETARG_INT32(arg + 1),
				   PG_GET_COLLATION(), fcinfo->flinfo->fn_mcxt);
		fcinfo->flinfo->fn_extra = c;
	}
	return c;
}

static Datum bytea_of(StringInfo s)
{
	bytea *result = palloc(VARHDRSZ + s->len);

	SET_VARSIZE(result, VARHDRSZ + s->len);
	memcpy(VARDATA(result), s->data, s->len);
	return PointerGetDatum(result);
}

PG_FUNCTION_INFO_V1(doris_test_key);
PG_FUNCTION_INFO_V1(doris_test_value);
PG_FUNCTION_INFO_V1(doris_test_bounds);
PG_FUNCTION_INFO_V1(doris_test_key_back);
PG_FUNCTION_INFO_V1(doris_test_value_back);
PG_FUNCTION_INFO_V1(doris_test_flags);

/* (anyelement, typmod) → bytea */
Datum doris_test_key(PG_FUNCTION_ARGS)
{
	StringInfoData s;

	initStringInfo(&s);
	codec_put_key(codec_of_argument(fcinfo, 0), PG_GETARG_DATUM(0), &s);
	return bytea_of(&s);
}

/* (anyelement, typmod) → bytea */
Datum doris_test_value(PG_FUNCTION_ARGS)
{
	StringInfoData s;

	initStringInfo(&s);
	codec_put_value(codec_of_argument(fcinfo, 0), PG_GETARG_DATUM(0), &s);
	return bytea_of(&s);
}

/* (anyelement, typmod) → bytea[]: low, high */
Datum doris_test_bounds(PG_FUNCTION_ARGS)
{
	StringInfoData low;
	StringInfoData high;
	Datum elements[2];

	initStringInfo(&low);
	initStringInfo(&high);
	codec_put_bounds(codec_of_argument(fcinfo, 0), PG_GETARG_DATUM(0), &low, &high);
	elements[0] = bytea_of(&low);
	elements[1] = bytea_of(&high);
	return PointerGetDatum(construct_array(elements, 2, BYTEAOID, -1, false, TYPALIGN_INT));
}

/* (bytea, anyelement, typmod) → anyelement */
Datum doris_test_key_back(PG_FUNCTION_ARGS)
{
	bytea *b = PG_GETARG_BYTEA_PP(0);

	return codec_get_key(codec_of_argument(fcinfo, 1), (const uint8 *) VARDATA_ANY(b),
						 VARSIZE_ANY_EXHDR(b));
}

/* (bytea, anyelement, typmod) → anyelement */
Datum doris_test_value_back(PG_FUNCTION_ARGS)
{
	bytea *b = PG_GETARG_BYTEA_PP(0);

	return codec_get_value(codec_of_argument(fcinfo, 1), (const uint8 *) VARDATA_ANY(b),
						   VARSIZE_ANY_EXHDR(b));
}

/* (anyelement, typmod) → text[]: names of the flags that are set */
Datum doris_test_flags(PG_FUNCTION_ARGS)
{
	ColumnCodec *c = codec_of_argument(fcinfo, 0);
	Datum names[8];
	int n = 0;

#define FLAG(name) \
	if (c->name)   \
	names[n++] = CStringGetTextDatum(#name)
	FLAG(value_equal);
	FLAG(value_ordered);
	FLAG(value_bounded);
	FLAG(key_supported);
	FLAG(key_ordered);
	FLAG(key_exact);
#undef FLAG
	return PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}
