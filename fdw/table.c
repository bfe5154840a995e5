/*
 * table.c: a foreign table and its namespace: which column is which, rows to bytes and back.
 *
 * What a table is in terms of its namespace is worked out once and kept for the backend, until the table, its server
 * or the namespace's definition changes. It is shared by all who opened it: each opening holds a
 * reference that ends with the memory context it was made in, so an invalidation in the middle of a statement takes
 * nothing away from under it.
 */
#include "codec.h"
#include "executor.h"

#include "access/htup_details.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define TEXT_SHOWN 200 /* bytes of a key column in a message */

typedef struct CachedTable
{
	DorisTable t; /* first: a DorisTable handed out is one of these */
	MemoryContext context;
	int refs;
	bool kept;		 /* in the cache; false: goes with its last reference */
	bool has_nested; /* depends on other types' definitions */
} CachedTable;

typedef struct CacheEntry
{
	Oid relid; /* hash key */
	CachedTable *table;
} CacheEntry;

typedef struct Reference
{
	MemoryContextCallback callback;
	CachedTable *table;
} Reference;

static HTAB *cache = NULL; /* by relid; in CacheMemoryContext */
static uint64 generation =
	0; /* counts invalidations: one that comes while a table is worked out must not get lost */

/* ---- the cache ---- */

static void table_release(CachedTable *table)
{
	if (table->refs == 0 && !table->kept)
		MemoryContextDelete(table->context);
}

static void reference_end(void *arg)
{
	Reference *ref = arg;

	ref->table->refs--;
	table_release(ref->table);
}

static void cache_drop(CacheEntry *entry)
{
	CachedTable *table = entry->table;

	(void) hash_search(cache, &entry->relid, HASH_REMOVE, NULL);
	table->kept = false;
	table_release(table);
}

/* Relcache callback: relid changed; InvalidOid: anything may have. */
static void relation_changed(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS seq;
	CacheEntry *entry;

	(void) arg;
	generation++;
	hash_seq_init(&seq, cache);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		if (relid == InvalidOid || entry->relid == relid || entry->table->has_nested)
			cache_drop(entry);
	}
}

void table_forget(void)
{
	if (cache != NULL)
		relation_changed((Datum) 0, InvalidOid);
}

static void cache_init(void)
{
	HASHCTL ctl = {
		.keysize = sizeof(Oid), .entrysize = sizeof(CacheEntry), .hcxt = CacheMemoryContext};

	cache = hash_create("doris_fdw tables", 32, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
}

/* ---- working a table out ---- */

static void table_misfit(Relation rel, const NsDef *ns, const char *detail)
{
	ereport(ERROR, errcode(ERRCODE_WRONG_OBJECT_TYPE),
			errmsg("foreign table \"%s\" does not fit namespace \"%s\"",
				   RelationGetRelationName(rel), ns->name),
			errdetail_internal("%s", detail),
			errhint("IMPORT FOREIGN SCHEMA makes a table that fits."));
}

/* NULL: the table's column is the namespace's; else what is wrong. */
static const char *column_differs(const NsColumn *want, const NsColumn *have)
{
	if (strcmp(want->type, have->type) != 0)
		return psprintf("Column \"%s\" has type %s in the table and %s in the namespace.",
						have->name, want->type, have->type);
	if (strcmp(want->collation, have->collation) != 0)
		return psprintf("Column \"%s\" has collation %s in the table and %s in the namespace.",
						have->name, want->collation[0] ? want->collation : "\"default\"",
						have->collation[0] ? have->collation : "\"default\"");
	return NULL;
}

static NsDef *copy_nsdef(const NsDef *from)
{
	NsDef *to = palloc(sizeof(NsDef));

	*to = *from;
	to->columns = palloc(sizeof(NsColumn) * Max(from->ncolumns, 1));
	memcpy(to->columns, from->columns, sizeof(NsColumn) * from->ncolumns);
	return to;
}

/* Fills columns and key_attnums; returns what does not fit, or NULL. */
static const char *match_columns(CachedTable *table, Relation rel)
{
	DorisTable *t = &table->t;
	TupleDesc desc = RelationGetDescr(rel);
	int found = 0;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		DorisColumn *column = &t->columns[i];
		const NsColumn *ns_column;
		NsColumn want = {0};
		const char *name;
		const char *wrong;

		if (att->attisdropped || compat_is_virtual(att))
			continue;
		name = options_column_name(RelationGetRelid(rel), att->attnum);
		ns_column = nsdef_column_by_name(t->ns, name);
		if (ns_column == NULL)
			return psprintf("The namespace has no column \"%s\".", name);
		namespace_describe(&want, name, att->atttypid, att->atttypmod, att->attcollation,
						   att->attnotnull);
		wrong = column_differs(&want, ns_column);
		if (wrong != NULL)
			return wrong;
		if (t->attnum_of[ns_column->id] != 0)
			return psprintf("Two columns are column \"%s\" of the namespace.", name);
		codec_init(&column->codec, att->atttypid, att->atttypmod, att->attcollation,
				   table->context);
		if (column->codec.parts != NULL)
			table->has_nested = true;
		column->id = ns_column->id;
		column->key_position = ns_column->key_position;
		column->in_value = ns_column->in_value || ns_column->key_position == 0;
		t->attnum_of[ns_column->id] = att->attnum;
		if (column->key_position > 0)
		{
			if (!column->codec.key_supported || column->codec.key_width != ns_column->key_width)
				return psprintf("Column \"%s\" cannot be a key column here.", name);
			t->key_attnums[column->key_position - 1] = att->attnum;
			found++;
		}
	}
	if (found < t->nkey)
	{
		for (int i = 0; i < t->nkey; i++)
		{
			if (t->key_attnums[i] == 0)
				return psprintf("The table has no column for key column \"%s\".",
								nsdef_key_column(t->ns, i + 1)->name);
		}
	}
	return NULL;
}

/* Does the table's key option still say what the namespace's key is? */
static const char *match_key(const DorisTable *t, Relation rel)
{
	int nroute = t->options->distribute_by ? list_length(t->options->distribute_by) : t->nkey;

	if (list_length(t->options->key) != t->nkey)
		return psprintf("The table's key has %d columns, the namespace's %d.",
						list_length(t->options->key), t->nkey);
	for (int i = 0; i < t->nkey; i++)
	{
		const char *name = nsdef_key_column(t->ns, i + 1)->name;
		const char *ours = options_resolve_column(rel, list_nth(t->options->key, i));

		if (ours == NULL || strcmp(ours, name) != 0)
			return psprintf("Key column %d is \"%s\" in the table and \"%s\" in the namespace.",
							i + 1, (char *) list_nth(t->options->key, i), name);
	}
	if (nroute != t->nroute)
		return psprintf("The table is distributed by %d key columns, the namespace by %d.", nroute,
						t->nroute);
	return NULL;
}

static void order_value_columns(DorisTable *t)
{
	t->value_attnums = palloc(sizeof(AttrNumber) * Max(t->natts, 1));
	for (uint32 id = 0; id < t->nids; id++)
	{
		AttrNumber attnum = t->attnum_of[id];

		if (attnum != 0 && t->columns[attnum - 1].in_value)
			t->value_attnums[t->nvalue++] = attnum;
	}
	for (int i = 0; i < t->ns->ncolumns; i++)
	{
		const NsColumn *column = &t->ns->columns[i];

		if (!column->dropped && t->attnum_of[column->id] == 0)
			t->partial = true;
	}
}

/* In a context of its own; *wrong says why it does not fit, or NULL. */
static CachedTable *table_build(Relation rel, const NsDef *ns, const char **wrong)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "doris_fdw table", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	CachedTable *table = palloc0(sizeof(CachedTable));
	DorisTable *t = &table->t;

	table->context = context;
	MemoryContextCopyAndSetIdentifier(context, RelationGetRelationName(rel));
	t->relid = RelationGetRelid(rel);
	t->serverid = GetForeignTable(t->relid)->serverid;
	t->ns = copy_nsdef(ns);
	t->options = options_table(t->relid);
	t->natts = RelationGetDescr(rel)->natts;
	t->columns = palloc0(sizeof(DorisColumn) * Max(t->natts, 1));
	t->nkey = ns->key_columns;
	t->nroute = ns->route_columns > 0 ? ns->route_columns : ns->key_columns;
	t->key_attnums = palloc0(sizeof(AttrNumber) * t->nkey);
	t->nids = ns->ncolumns > 0 ? ns->columns[ns->ncolumns - 1].id + 1 : 1;
	t->attnum_of = palloc0(sizeof(AttrNumber) * t->nids);
	*wrong = match_key(t, rel);
	if (*wrong == NULL)
		*wrong = match_columns(table, rel);
	if (*wrong == NULL)
		order_value_columns(t);
	MemoryContextSwitchTo(old);
	return table;
}

/* The namespace as the client knows it now, in the current context; NULL: it knows none of this name. */
static NsDef *known_namespace(DorisClient *client, const char *name, uint64 *epoch)
{
	Topology *topology = doris_topology(client);
	const NsDef *ns = topology_namespace(topology, name);
	NsDef *copy = NULL;

	*epoch = topology->epoch;
	/* nothing between the reference and its end may raise an error: the copy is made with care for that */
	if (ns != NULL)
	{
		copy = palloc_extended(sizeof(NsDef), MCXT_ALLOC_NO_OOM);
		if (copy != NULL)
		{
			*copy = *ns;
			copy->columns =
				palloc_extended(sizeof(NsColumn) * Max(ns->ncolumns, 1), MCXT_ALLOC_NO_OOM);
			if (copy->columns != NULL)
				memcpy(copy->columns, ns->columns, sizeof(NsColumn) * ns->ncolumns);
		}
	}
	topology_unref(topology);
	if (ns != NULL && (copy == NULL || copy->columns == NULL))
		ereport(ERROR, errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"));
	return copy;
}

static void table_gone(const char *ns, const char *table)
{
	ereport(ERROR, errcode(ERRCODE_UNDEFINED_TABLE),
			errmsg("namespace \"%s\" of foreign table \"%s\" does not exist", ns, table),
			errhint("It was dropped. DROP FOREIGN TABLE and create it again, or set its option "
					"namespace."));
}

/* Asks the cluster. Does not return without a namespace. */
static NsDef *fetch_namespace(Relation rel, DorisClient *client, const char *name, uint64 *epoch)
{
	NsDef found;
	DorisError err = {0};
	DorisStatus status = doris_namespace(client, name, &found, &err);
	NsDef *ns;

	if (status == DORIS_NOT_FOUND || status == DORIS_NO_NAMESPACE)
		table_gone(name, RelationGetRelationName(rel));
	if (status != DORIS_OK)
		doris_ereport(&err, name, (DorisBytes){0});
	nsdef_free(&found);
	ns = known_namespace(client, name, epoch);
	if (ns == NULL)
		ereport(ERROR, errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("namespace \"%s\" was just dropped", name));
	return ns;
}

static bool still_current(const CachedTable *table, DorisClient *client)
{
	Topology *topology = doris_topology(client);
	const NsDef *ns = topology_namespace(topology, table->t.ns->name);
	bool same = ns != NULL && ns->id == table->t.ns->id && ns->version == table->t.ns->version;

	if (same)
		((CachedTable *) table)->t.epoch = topology->epoch;
	topology_unref(topology);
	return same;
}

static DorisTable *table_share(CachedTable *table)
{
	Reference *ref = palloc(sizeof(Reference));

	ref->table = table;
	ref->callback.func = reference_end;
	ref->callback.arg = ref;
	table->refs++;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &ref->callback);
	return &table->t;
}

DorisTable *doris_table_open(Relation rel, DorisClient *client)
{
	Oid relid = RelationGetRelid(rel);
	CacheEntry *entry;
	CachedTable *table;
	DorisTableOptions *options;
	NsDef *ns;
	uint64 epoch;
	uint64 before;
	const char *wrong;
	bool found;

	if (cache == NULL)
		cache_init();
	entry = hash_search(cache, &relid, HASH_FIND, NULL);
	if (entry != NULL && still_current(entry->table, client))
		return table_share(entry->table);
	if (entry != NULL)
		cache_drop(entry);

	before = generation;
	options = options_table(relid);
	ns = known_namespace(client, options->ns, &epoch);
	if (ns == NULL)
		ns = fetch_namespace(rel, client, options->ns, &epoch);
	table = table_build(rel, ns, &wrong);
	if (wrong != NULL)
	{
		/* perhaps another backend has changed both, and this client has not heard of it */
		DorisError err = {0};

		MemoryContextDelete(table->context);
		if (doris_refresh(client, 0, &err) != DORIS_OK)
			doris_ereport(&err, options->ns, (DorisBytes){0});
		ns = fetch_namespace(rel, client, options->ns, &epoch);
		table = table_build(rel, ns, &wrong);
		if (wrong != NULL)
			table_misfit(rel, ns, wrong);
	}
	table->t.epoch = epoch;
	(void) table_share(table);
	MemoryContextSetParent(table->context, CacheMemoryContext);
	if (generation == before)
	{
		entry = hash_search(cache, &relid, HASH_ENTER, &found);
		if (found)
		{
			entry->table->kept = false;
			table_release(entry->table);
		}
		entry->table = table;
		table->kept = true;
	}
	return &table->t;
}

bool table_follow(DorisTable *t, DorisClient *client, const DorisHandle *asking)
{
	Topology *topology;
	const NsDef *now;
	dlist_iter it;
	bool gone;
	bool follow;

	dlist_foreach(it, &handles)
	{
		const DorisHandle *h = dlist_container(DorisHandle, node, it.cur);

		if (h != asking && h->table == t && h->scan != NULL)
			return false;
	}
	/* the client has fetched the newest topology before it said so */
	topology = doris_topology(client);
	now = topology_namespace(topology, t->ns->name);
	gone = now == NULL;
	follow = now != NULL && now->id != t->ns->id && nsdef_same_shape(now, t->ns) &&
			 buffer_follow(t, now->id);
	if (follow)
	{
		t->ns->id = now->id;
		t->ns->version = now->version;
		t->epoch = topology->epoch;
	}
	topology_unref(topology);
	if (gone)
		table_gone(t->ns->name, get_rel_name(t->relid));
	return follow;
}

/* ---- rows to bytes ---- */

static void check_key_size(const DorisTable *t, int len)
{
	if (len > DORIS_MAX_KEY)
		ereport(ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("key of %d bytes in foreign table \"%s\" is longer than the limit of %d",
					   len, get_rel_name(t->relid), DORIS_MAX_KEY));
}

void table_put_key(DorisTable *t, const Datum *values, const bool *nulls, StringInfo out,
				   size_t *route_len)
{
	int start = out->len;

	for (int i = 0; i < t->nkey; i++)
	{
		AttrNumber attnum = t->key_attnums[i];

		if (nulls[attnum - 1])
			ereport(ERROR, errcode(ERRCODE_NOT_NULL_VIOLATION),
					errmsg("null value in key column \"%s\" of foreign table \"%s\"",
						   get_attname(t->relid, attnum, false), get_rel_name(t->relid)));
		codec_put_key(&t->columns[attnum - 1].codec, values[attnum - 1], out);
		if (i + 1 == t->nroute && route_len != NULL)
			*route_len = (size_t) (out->len - start);
	}
	check_key_size(t, out->len - start);
}

void table_put_key_prefix(DorisTable *t, const Datum *key_values, int nsegments, StringInfo out)
{
	for (int i = 0; i < nsegments; i++)
		codec_put_key(&t->columns[t->key_attnums[i] - 1].codec, key_values[i], out);
}

/* Bytes that a varint takes. */
static inline int varint_size(uint64 v)
{
	int n = 1;

	while (v >= 0x80)
	{
		v >>= 7;
		n++;
	}
	return n;
}

static void put_column(DorisTable *t, AttrNumber attnum, Datum value, StringInfo out)
{
	DorisColumn *column = &t->columns[attnum - 1];
	int at;
	int len;
	int size;

	codec_put_varint(out, column->id);
	/* the length comes first but is known last: most take one byte */
	at = out->len;
	appendStringInfoChar(out, 0);
	codec_put_value(&column->codec, value, out);
	len = out->len - at - 1;
	size = varint_size((uint64) len);
	if (size > 1)
	{
		enlargeStringInfo(out, size);
		memmove(out->data + at + size, out->data + at + 1, (size_t) len);
	}
	out->len = at;
	codec_put_varint(out, (uint64) len);
	out->len = at + size + len;
	out->data[out->len] = '\0';
}

static void check_value_size(const DorisTable *t, int len)
{
	if (len > (int) DORIS_MAX_VALUE)
		ereport(ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("row of %d bytes in foreign table \"%s\" is larger than the limit of %u",
					   len, get_rel_name(t->relid), DORIS_MAX_VALUE));
}

void table_put_value(DorisTable *t, const Datum *values, const bool *nulls, StringInfo out)
{
	int start = out->len;

	for (int i = 0; i < t->nvalue; i++)
	{
		AttrNumber attnum = t->value_attnums[i];

		if (nulls[attnum - 1])
			continue;
		put_column(t, attnum, values[attnum - 1], out);
		check_value_size(t, out->len - start);
	}
}

void table_put_value_over(DorisTable *t, const Datum *values, const bool *nulls,
						  const bool *changed, DorisBytes old, StringInfo out)
{
	int start = out->len;
	int next = 0;
	RowReader reader = row_reader(old);
	uint16_t id = 0;
	DorisBytes data = {0};
	bool more = row_next(&reader, &id, &data);

	/* both are in rising id order */
	while (more || next < t->nvalue)
	{
		AttrNumber attnum = next < t->nvalue ? t->value_attnums[next] : 0;

		if (attnum != 0 && changed != NULL && !changed[attnum - 1])
		{
			next++;
			continue;
		}
		if (more && (attnum == 0 || id < t->columns[attnum - 1].id))
		{
			AttrNumber own = id < t->nids ? t->attnum_of[id] : 0;

			if (own == 0 || (changed != NULL && !changed[own - 1]))
			{
				codec_put_varint(out, id);
				codec_put_varint(out, data.len);
				appendBinaryStringInfo(out, (const char *) data.data, (int) data.len);
			}
			more = row_next(&reader, &id, &data);
			continue;
		}
		if (more && id == t->columns[attnum - 1].id)
			more = row_next(&reader, &id, &data);
		if (!nulls[attnum - 1])
			put_column(t, attnum, values[attnum - 1], out);
		next++;
		check_value_size(t, out->len - start);
	}
	check_value_size(t, out->len - start);
	if (reader.c.bad)
		ereport(ERROR, errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("malformed row in namespace \"%s\"", t->ns->name));
}

/* ---- bytes to rows ---- */

static void row_malformed(const DorisTable *t, const char *part)
{
	ereport(ERROR, errcode(ERRCODE_DATA_CORRUPTED),
			errmsg("malformed %s in namespace \"%s\"", part, t->ns->name));
}

/* The segment that begins at *at, which moves past it; NULL when it does not end within the key. */
static const uint8 *next_segment(const ColumnCodec *codec, const uint8 **at, const uint8 *end,
								 size_t *len)
{
	const uint8 *start = *at;
	const uint8 *p = start;

	if (codec->key_width != DORIS_KEY_ESCAPED)
	{
		if ((size_t) (end - p) < codec->key_width)
			return NULL;
		p += codec->key_width;
	}
	else
	{
		for (;;)
		{
			p = memchr(p, 0, (size_t) (end - p));
			if (p == NULL || p + 1 >= end)
				return NULL;
			p += 2;
			if (p[-1] == 0x01)
				break;
		}
	}
	*at = p;
	*len = (size_t) (p - start);
	return start;
}

size_t table_route_len(DorisTable *t, DorisBytes key)
{
	const uint8 *at = key.data;
	size_t len;

	for (int i = 0; i < t->nroute; i++)
		if (next_segment(&t->columns[t->key_attnums[i] - 1].codec, &at, key.data + key.len, &len) ==
			NULL)
			row_malformed(t, "key");
	return (size_t) (at - key.data);
}

void table_get_row(DorisTable *t, DorisBytes key, DorisBytes value, const Bitmapset *wanted,
				   Datum *values, bool *nulls)
{
	const uint8 *at = key.data;
	const uint8 *end = key.data + key.len;
	RowReader reader = row_reader(value);
	uint16_t id;
	DorisBytes data;

	memset(values, 0, sizeof(Datum) * t->natts);
	memset(nulls, true, t->natts);
	for (int i = 0; i < t->nkey; i++)
	{
		AttrNumber attnum = t->key_attnums[i];
		DorisColumn *column = &t->columns[attnum - 1];
		size_t len;
		const uint8 *segment = next_segment(&column->codec, &at, end, &len);

		if (segment == NULL)
			row_malformed(t, "key");
		if (column->in_value || (wanted != NULL && !bms_is_member(attnum, wanted)))
			continue;
		values[attnum - 1] = codec_get_key(&column->codec, segment, len);
		nulls[attnum - 1] = false;
	}
	while (row_next(&reader, &id, &data))
	{
		AttrNumber attnum = id < t->nids ? t->attnum_of[id] : 0;

		if (attnum == 0 || (wanted != NULL && !bms_is_member(attnum, wanted)))
			continue;
		if (!t->columns[attnum - 1].in_value)
			row_malformed(t, "row");
		values[attnum - 1] = codec_get_value(&t->columns[attnum - 1].codec, data.data, data.len);
		nulls[attnum - 1] = false;
	}
	if (reader.c.bad)
		row_malformed(t, "row");
}

uint16 *table_projection(DorisTable *t, const Bitmapset *wanted, uint32 *ncolumns)
{
	uint16 *ids = palloc(sizeof(uint16) * (t->nvalue + 1));

	*ncolumns = 0;
	for (int i = 0; i < t->nvalue; i++)
	{
		AttrNumber attnum = t->value_attnums[i];

		if (wanted == NULL || bms_is_member(attnum, wanted))
			ids[(*ncolumns)++] = t->columns[attnum - 1].id;
	}
	return ids;
}

/* ---- keys in messages ---- */

/* What there is of a string whose key was cut short. */
static char *partial_text(const ColumnCodec *codec, const uint8 *data, size_t len)
{
	uint8 *copy;
	int n;

	if (codec->kind != CODEC_TEXT || GetDatabaseEncoding() != PG_UTF8)
		return "";
	/* a zero byte cut off from what follows it */
	while (len > 0 && data[len - 1] == 0)
		len--;
	copy = palloc(len + 3);
	memcpy(copy, data, len);
	memcpy(copy + len, "\0\1", 2);
	n = codec_unescape(copy, len + 2, copy);
	if (n <= 0)
		return "";
	n = pg_encoding_mbcliplen(PG_UTF8, (char *) copy, n, n);
	if (!pg_verifymbstr((char *) copy, n, true))
		return "";
	copy[n] = '\0';
	return (char *) copy;
}

char *table_key_text(DorisTable *t, DorisBytes key)
{
	const uint8 *at = key.data;
	const uint8 *end = key.data + key.len;
	StringInfoData names;
	StringInfoData texts;

	initStringInfo(&names);
	initStringInfo(&texts);
	for (int i = 0; i < t->nkey; i++)
	{
		AttrNumber attnum = t->key_attnums[i];
		ColumnCodec *codec = &t->columns[attnum - 1].codec;
		size_t len;
		const uint8 *segment = next_segment(codec, &at, end, &len);
		const char *text;
		int shown;

		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", get_attname(t->relid, attnum, false));
		appendStringInfoString(&texts, i > 0 ? ", " : "");
		if (segment == NULL)
		{
			text = partial_text(codec, at, (size_t) (end - at));
			appendBinaryStringInfo(&texts, text,
								   pg_mbcliplen(text, (int) strlen(text), TEXT_SHOWN));
			appendStringInfoString(&texts, "...");
			at = end;
			continue;
		}
		else
		{
			Oid output;
			bool varlena;

			getTypeOutputInfo(codec->type, &output, &varlena);
			text = OidOutputFunctionCall(output, codec_get_key(codec, segment, len));
		}
		shown = pg_mbcliplen(text, (int) strlen(text), TEXT_SHOWN);
		appendBinaryStringInfo(&texts, text, shown);
		if (text[shown] != '\0')
			appendStringInfoString(&texts, "...");
	}
	return psprintf("(%s)=(%s)", names.data, texts.data);
}
