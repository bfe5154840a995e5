/*
 * overlay.c: the rows that the transaction has written itself, in the key order of a scan that they are merged into.
 *
 * Their keys are sorted once, when the scan begins, by PostgreSQL's own sort, which goes to a temporary file beyond work_mem;
 * the rows stay in the write buffer and are looked up one by one.
 */
#include "executor.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/tuplesort.h"
#include "utils/typcache.h"

struct Overlay
{
	WriteBuffer *buffer;
	CommandId before;
	Tuplesortstate *sort;
	MemoryContext context; /* the next key's */
	bool any;
	DorisBytes key; /* the next one, when there is any */
};

static void advance(Overlay *o)
{
	MemoryContext old;
	Datum d;
	bool isnull;

	MemoryContextReset(o->context);
	old = MemoryContextSwitchTo(o->context);
	o->any = compat_tuplesort_getdatum(o->sort, &d, &isnull);
	if (o->any)
	{
		bytea *b = DatumGetByteaPP(d);

		o->key = (DorisBytes){(const uint8 *) VARDATA_ANY(b), (size_t) VARSIZE_ANY_EXHDR(b)};
	}
	MemoryContextSwitchTo(old);
}

Overlay *overlay_create(WriteBuffer *buffer, CommandId before, const DorisScanSpec *spec)
{
	TypeCacheEntry *type = lookup_type_cache(BYTEAOID, TYPECACHE_LT_OPR | TYPECACHE_GT_OPR);
	Overlay *o = palloc0(sizeof(Overlay));
	BufferedRow row;
	uint32 pos = 0;

	o->buffer = buffer;
	o->before = before;
	o->sort = tuplesort_begin_datum(
		BYTEAOID, spec->order == DORIS_KEY_ORDER_BACK ? type->gt_opr : type->lt_opr, InvalidOid,
		false, work_mem, NULL, compat_TUPLESORT_NONE);
	o->context = AllocSetContextCreate(CurrentMemoryContext, "doris overlay", ALLOCSET_SMALL_SIZES);
	while (buffer_next(buffer, &pos, before, &row))
	{
		MemoryContext old;
		bytea *b;

		if (row.deleted || bytes_compare(row.key, spec->low) < 0 ||
			(spec->high.len > 0 && bytes_compare(row.key, spec->high) >= 0))
			continue;
		MemoryContextReset(o->context);
		old = MemoryContextSwitchTo(o->context);
		b = palloc(VARHDRSZ + row.key.len);
		SET_VARSIZE(b, VARHDRSZ + row.key.len);
		memcpy(VARDATA(b), row.key.data, row.key.len);
		MemoryContextSwitchTo(old);
		tuplesort_putdatum(o->sort, PointerGetDatum(b), false);
		CHECK_FOR_INTERRUPTS();
	}
	tuplesort_performsort(o->sort);
	advance(o);
	return o;
}

const DorisBytes *overlay_peek(const Overlay *o)
{
	return o->any ? &o->key : NULL;
}

bool overlay_take(Overlay *o, BufferedRow *row)
{
	/* a savepoint may have been rolled back since: then it is not there any more */
	bool found = buffer_lookup(o->buffer, o->key, o->before, row) && !row->deleted;

	advance(o);
	return found;
}

void overlay_free(Overlay *o)
{
	if (o != NULL)
		tuplesort_end(o->sort);
}
