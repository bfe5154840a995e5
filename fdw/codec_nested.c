/*
 * codec_nested.c: arrays and composites, element by element.
 *
 * Their own binary format carries the OIDs of element types, which differ from one database to the next for types
 * that users made; a cluster serves many databases, so the elements are encoded by their codecs instead.
 *
 * Array: varint number of dimensions (0: empty), for each dimension u32 length and u32 lower bound (big-endian), then the
 * elements. Composite: varint number of attributes, then the attributes by number (a dropped one as NULL); those
 * that a type gained later read as NULL. An element is varint 0 for NULL, or varint length plus one, and its bytes.
 */
#include "codec.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

void nested_init(ColumnCodec *c, Oid element, MemoryContext context)
{
	CodecParts *parts = MemoryContextAllocZero(context, sizeof(CodecParts));

	check_stack_depth();
	c->parts = parts;
	if (c->kind == CODEC_ARRAY)
	{
		parts->n = 1;
		parts->element = element;
		parts->codecs = MemoryContextAllocZero(context, sizeof(ColumnCodec));
		codec_init(&parts->codecs[0], element, -1, c->collation, context);
		/* of the element as declared: a domain has the layout of its base type */
		get_typlenbyvalalign(parts->codecs[0].type, &parts->typlen, &parts->typbyval,
							 &parts->typalign);
	}
	else
	{
		TupleDesc shared = lookup_rowtype_tupdesc(c->type, -1);
		MemoryContext old = MemoryContextSwitchTo(context);

		parts->tupdesc = CreateTupleDescCopy(shared);
		MemoryContextSwitchTo(old);
		ReleaseTupleDesc(shared);
		parts->n = parts->tupdesc->natts;
		parts->codecs = MemoryContextAllocZero(context, sizeof(ColumnCodec) * Max(parts->n, 1));
		for (int i = 0; i < parts->n; i++)
		{
			Form_pg_attribute att = TupleDescAttr(parts->tupdesc, i);

			if (!att->attisdropped)
				codec_init(&parts->codecs[i], att->atttypid, att->atttypmod, att->attcollation,
						   context);
		}
	}
}

static void put_element(ColumnCodec *c, Datum d, bool isnull, StringInfo out)
{
	StringInfoData element;

	if (isnull)
	{
		codec_put_varint(out, 0);
		return;
	}
	initStringInfo(&element);
	codec_put_value(c, d, &element);
	codec_put_varint(out, (uint64) element.len + 1);
	appendBinaryStringInfo(out, element.data, element.len);
	pfree(element.data);
}

static Datum get_element(const ColumnCodec *outer, ColumnCodec *c, DorisCursor *in, bool *isnull)
{
	uint64 len = cursor_varint(in);
	const uint8 *data;

	*isnull = len == 0;
	if (*isnull)
		return (Datum) 0;
	data = cursor_raw(in, (size_t) (len - 1));
	if (in->bad)
		codec_malformed(outer);
	return codec_get_value(c, data, (size_t) (len - 1));
}

static void array_put(ColumnCodec *c, Datum d, StringInfo out)
{
	CodecParts *parts = c->parts;
	ArrayType *array = DatumGetArrayTypeP(d);
	Datum *elements;
	bool *nulls;
	int n;

	codec_put_varint(out, (uint64) ARR_NDIM(array));
	for (int i = 0; i < ARR_NDIM(array); i++)
	{
		codec_put_be(out, (uint32) ARR_DIMS(array)[i], 4);
		codec_put_be(out, (uint32) ARR_LBOUND(array)[i], 4);
	}
	deconstruct_array(array, ARR_ELEMTYPE(array), parts->typlen, parts->typbyval, parts->typalign,
					  &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
		put_element(&parts->codecs[0], elements[i], nulls[i], out);
	pfree(elements);
	pfree(nulls);
	if ((Pointer) array != DatumGetPointer(d))
		pfree(array);
}

static Datum array_get(ColumnCodec *c, const uint8 *data, size_t len)
{
	CodecParts *parts = c->parts;
	DorisCursor in = cursor_of(data, len);
	uint64 ndim = cursor_varint(&in);
	int dims[MAXDIM];
	int bounds[MAXDIM];
	Datum *elements;
	bool *nulls;
	int n;

	if (in.bad || ndim > MAXDIM)
		codec_malformed(c);
	if (ndim == 0)
		return PointerGetDatum(construct_empty_array(parts->element));
	for (uint64 i = 0; i < ndim; i++)
	{
		const uint8 *p = cursor_raw(&in, 8);

		if (p == NULL)
			codec_malformed(c);
		dims[i] = (int) load_big_endian(p, 4);
		bounds[i] = (int) load_big_endian(p + 4, 4);
	}
	/* raises an error when the dimensions overflow */
	n = ArrayGetNItems((int) ndim, dims);
	/* these two are never without dimensions */
	if (n == 0 && c->type == INT2VECTOROID)
		return PointerGetDatum(buildint2vector(NULL, 0));
	if (n == 0 && c->type == OIDVECTOROID)
		return PointerGetDatum(buildoidvector(NULL, 0));
	if ((size_t) n > cursor_left(&in))
		codec_malformed(c);
	elements = palloc(sizeof(Datum) * Max(n, 1));
	nulls = palloc(sizeof(bool) * Max(n, 1));
	for (int i = 0; i < n; i++)
		elements[i] = get_element(c, &parts->codecs[0], &in, &nulls[i]);
	if (!cursor_at_end(&in))
		codec_malformed(c);
	return PointerGetDatum(construct_md_array(elements, nulls, (int) ndim, dims, bounds,
											  parts->element, parts->typlen, parts->typbyval,
											  parts->typalign));
}

static void composite_put(ColumnCodec *c, Datum d, StringInfo out)
{
	CodecParts *parts = c->parts;
	HeapTupleHeader header = DatumGetHeapTupleHeader(d);
	HeapTupleData tuple;
	Datum *values = palloc(sizeof(Datum) * Max(parts->n, 1));
	bool *nulls = palloc(sizeof(bool) * Max(parts->n, 1));

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	heap_deform_tuple(&tuple, parts->tupdesc, values, nulls);
	codec_put_varint(out, (uint64) parts->n);
	for (int i = 0; i < parts->n; i++)
	{
		bool dropped = TupleDescAttr(parts->tupdesc, i)->attisdropped;

		put_element(&parts->codecs[i], values[i], dropped || nulls[i], out);
	}
	pfree(values);
	pfree(nulls);
	if ((Pointer) header != DatumGetPointer(d))
		pfree(header);
}

static Datum composite_get(ColumnCodec *c, const uint8 *data, size_t len)
{
	CodecParts *parts = c->parts;
	DorisCursor in = cursor_of(data, len);
	uint64 n = cursor_varint(&in);
	Datum *values = palloc0(sizeof(Datum) * Max(parts->n, 1));
	bool *nulls = palloc(sizeof(bool) * Max(parts->n, 1));

	if (in.bad || n > (uint64) parts->n)
		codec_malformed(c);
	for (int i = 0; i < parts->n; i++)
	{
		nulls[i] = true;
		if ((uint64) i >= n)
			continue;
		if (TupleDescAttr(parts->tupdesc, i)->attisdropped)
			(void) cursor_raw(&in, (size_t) Max(cursor_varint(&in), 1) - 1);
		else
			values[i] = get_element(c, &parts->codecs[i], &in, &nulls[i]);
	}
	if (!cursor_at_end(&in))
		codec_malformed(c);
	return HeapTupleGetDatum(heap_form_tuple(parts->tupdesc, values, nulls));
}

void nested_put(ColumnCodec *c, Datum d, StringInfo out)
{
	if (c->kind == CODEC_ARRAY)
		array_put(c, d, out);
	else
		composite_put(c, d, out);
}

Datum nested_get(ColumnCodec *c, const uint8 *data, size_t len)
{
	if (c->kind == CODEC_ARRAY)
		return array_get(c, data, len);
	return composite_get(c, data, len);
}
