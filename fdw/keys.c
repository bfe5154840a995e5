/*
 * keys.c: the keys that a scan's equalities give: what each column may be, and all combinations of these, in key order.
 */
#include "executor.h"

#include "utils/array.h"
#include "utils/lsyscache.h"

int bytes_compare_items(const void *a, const void *b)
{
	return bytes_compare(*(const DorisBytes *) a, *(const DorisBytes *) b);
}

static void sort_unique(KeyColumn *k)
{
	int n = k->n;

	qsort(k->segments, k->n, sizeof(DorisBytes), bytes_compare_items);
	k->n = 0;
	for (int i = 0; i < n; i++)
		if (k->n == 0 || bytes_compare(k->segments[k->n - 1], k->segments[i]) != 0)
			k->segments[k->n++] = k->segments[i];
}

/* What the key column may be; k->n is 0 when nothing can be equal (NULL, or out of the type's range). */
static void key_column_values(DorisColumn *col, Datum d, bool isnull, bool array, Oid other_type,
							  KeyColumn *k)
{
	ArrayType *a;
	int16 typlen;
	bool typbyval;
	char typalign;
	Datum *elements;
	bool *nulls;
	int n;

	k->n = k->at = 0;
	if (isnull)
		return;
	if (!array)
	{
		if (OidIsValid(other_type) && ship_coerce(other_type, col->codec.type, &d) != 0)
			return;
		k->segments = palloc(sizeof(DorisBytes));
		k->segments[k->n++] = codec_segment(&col->codec, d);
		return;
	}
	a = DatumGetArrayTypeP(d);
	get_typlenbyvalalign(ARR_ELEMTYPE(a), &typlen, &typbyval, &typalign);
	deconstruct_array(a, ARR_ELEMTYPE(a), typlen, typbyval, typalign, &elements, &nulls, &n);
	k->segments = palloc(Max(n, 1) * sizeof(DorisBytes));
	for (int i = 0; i < n; i++)
		if (!nulls[i] && (!OidIsValid(other_type) ||
						  ship_coerce(other_type, col->codec.type, &elements[i]) == 0))
			k->segments[k->n++] = codec_segment(&col->codec, elements[i]);
	sort_unique(k);
}

static void reverse(KeyColumn *k)
{
	for (int a = 0, b = k->n - 1; a < b; a++, b--)
	{
		DorisBytes segment = k->segments[a];

		k->segments[a] = k->segments[b];
		k->segments[b] = segment;
	}
}

bool keys_start(KeyList *k, DorisTable *t, List *keys, const Datum *values, const bool *nulls,
				bool back)
{
	ListCell *lc;

	k->n = 0;
	k->more = false;
	k->columns = palloc0(Max(list_length(keys), 1) * sizeof(KeyColumn));
	foreach (lc, keys)
	{
		List *l = lfirst(lc);
		int index = linitial_int(l);
		KeyColumn *column = &k->columns[k->n];

		key_column_values(&t->columns[t->key_attnums[k->n] - 1], values[index], nulls[index],
						  lsecond_int(l) != 0, (Oid) lthird_int(l), column);
		if (column->n == 0)
			return false;
		if (back)
			reverse(column);
		k->n++;
	}
	k->more = true;
	return true;
}

/* The key that an arm gives; empty: nothing can be equal to it. */
static DorisBytes arm_key(DorisTable *t, List *arm, const Datum *values, const bool *nulls)
{
	DorisBytes key = EMPTY_BYTES;

	for (int i = 0; i < t->nkey; i++)
	{
		int index = list_nth_int(arm, 2 * i);
		KeyColumn column;

		key_column_values(&t->columns[t->key_attnums[i] - 1], values[index], nulls[index], false,
						  (Oid) list_nth_int(arm, 2 * i + 1), &column);
		if (column.n == 0)
			return EMPTY_BYTES;
		key = bytes_join(key, column.segments[0]);
	}
	return key;
}

bool keys_start_arms(KeyList *k, DorisTable *t, List *arms, const Datum *values, const bool *nulls,
					 bool back)
{
	KeyColumn *all = palloc0(sizeof(KeyColumn));
	ListCell *lc;

	k->n = 1;
	k->columns = all;
	all->segments = palloc(list_length(arms) * sizeof(DorisBytes));
	foreach (lc, arms)
	{
		DorisBytes key = arm_key(t, lfirst(lc), values, nulls);

		if (key.len > 0)
			all->segments[all->n++] = key;
	}
	sort_unique(all);
	if (back)
		reverse(all);
	k->more = all->n > 0;
	return k->more;
}

DorisBytes keys_prefix(const KeyList *k, int nroute, DorisBytes *route)
{
	DorisBytes prefix = EMPTY_BYTES;

	*route = EMPTY_BYTES;
	for (int i = 0; i < k->n; i++)
	{
		prefix = bytes_join(prefix, k->columns[i].segments[0]);
		if (i + 1 == nroute)
			*route = prefix;
	}
	return prefix;
}

DorisBytes keys_next(KeyList *k)
{
	StringInfoData b;

	initStringInfo(&b);
	for (int i = 0; i < k->n; i++)
	{
		const DorisBytes *segment = &k->columns[i].segments[k->columns[i].at];

		appendBinaryStringInfo(&b, (const char *) segment->data, (int) segment->len);
	}
	/* the last column turns fastest */
	for (int i = k->n - 1; i >= 0; i--)
	{
		KeyColumn *column = &k->columns[i];

		if (++column->at < column->n)
			return (DorisBytes){(const uint8 *) b.data, (size_t) b.len};
		column->at = 0;
	}
	k->more = false;
	return (DorisBytes){(const uint8 *) b.data, (size_t) b.len};
}
