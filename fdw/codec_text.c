/*
 * codec_text.c: strings and enums.
 *
 * Text is UTF-8 in the cluster, whatever the database's encoding. Enums go by their labels, for their numbers
 * differ from one database to the next.
 */
#include "codec.h"

#include "access/htup_details.h"
#include "catalog/pg_enum.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

bool text_is_stored_as_is(void)
{
	int encoding = GetDatabaseEncoding();

	return encoding == PG_UTF8 || encoding == PG_SQL_ASCII;
}

/* The string as it is stored: s itself, or a palloc'ed conversion. */
static const char *text_to_stored(const char *s, int *len)
{
	char *converted;

	if (text_is_stored_as_is())
		return s;
	converted = pg_server_to_any(s, *len, PG_UTF8);
	if (converted != s)
		*len = (int) strlen(converted);
	return converted;
}

/* Checks, and converts where that is needed: stored bytes that are no text must not get into a datum. */
static const char *text_from_stored(const uint8 *data, int *len)
{
	char *converted;

	if (text_is_stored_as_is())
	{
		(void) pg_verify_mbstr(GetDatabaseEncoding(), (const char *) data, *len, false);
		return (const char *) data;
	}
	converted = pg_any_to_server((const char *) data, *len, PG_UTF8);
	if (converted != (const char *) data)
		*len = (int) strlen(converted);
	return converted;
}

/* Characters of a bpchar(n); -1 without a modifier. */
int bpchar_length(const ColumnCodec *c)
{
	return c->typmod >= (int32) VARHDRSZ ? c->typmod - (int32) VARHDRSZ : -1;
}

static Datum bpchar_from(const ColumnCodec *c, const char *s, int len)
{
	int want = bpchar_length(c);
	int pad = 0;
	text *result;

	if (want >= 0)
		pad =
			Max(0, want - (pg_database_encoding_max_length() == 1 ? len
																  : pg_mbstrlen_with_len(s, len)));
	result = palloc(VARHDRSZ + len + pad);
	SET_VARSIZE(result, VARHDRSZ + len + pad);
	memcpy(VARDATA(result), s, len);
	memset(VARDATA(result) + len, ' ', pad);
	return PointerGetDatum(result);
}

static inline int without_blanks(const char *s, int len)
{
	while (len > 0 && s[len - 1] == ' ')
		len--;
	return len;
}

Datum text_get(const ColumnCodec *c, const uint8 *data, size_t len)
{
	int n = (int) len;
	const char *s = text_from_stored(data, &n);

	if (c->kind == CODEC_BPCHAR)
		return bpchar_from(c, s, n);
	if (c->kind == CODEC_NAME)
	{
		Name name = palloc0(NAMEDATALEN);

		if (n >= NAMEDATALEN)
			codec_malformed(c);
		memcpy(NameStr(*name), s, n);
		return NameGetDatum(name);
	}
	return PointerGetDatum(cstring_to_text_with_len(s, n));
}

/* ---- enums: by label, for the numbers differ from one database to the next ---- */

void enum_put(Datum d, StringInfo out, bool key)
{
	HeapTuple tuple = SearchSysCache1(ENUMOID, d);
	const char *label;
	const char *stored;
	int len;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				errmsg("invalid internal value for enum: %u", DatumGetObjectId(d)));
	label = NameStr(((Form_pg_enum) GETSTRUCT(tuple))->enumlabel);
	len = (int) strlen(label);
	stored = text_to_stored(label, &len);
	if (key)
		codec_put_escaped(out, stored, (size_t) len);
	else
		appendBinaryStringInfo(out, stored, len);
	ReleaseSysCache(tuple);
}

Datum enum_get(const ColumnCodec *c, const uint8 *data, size_t len)
{
	int n = (int) len;
	const char *s = text_from_stored(data, &n);
	char label[NAMEDATALEN];
	HeapTuple tuple;
	Oid oid;

	if (n >= NAMEDATALEN)
		codec_malformed(c);
	memcpy(label, s, n);
	label[n] = '\0';
	tuple = SearchSysCache2(ENUMTYPOIDNAME, ObjectIdGetDatum(c->type), CStringGetDatum(label));
	if (!HeapTupleIsValid(tuple))
		ereport(
			ERROR, errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			errmsg("a stored row holds the label \"%s\", which enum %s does not have", label,
				   format_type_be(c->type)),
			errhint("ALTER TYPE ... ADD VALUE '%s' makes it readable in this database.", label));
	oid = ((Form_pg_enum) GETSTRUCT(tuple))->oid;
	ReleaseSysCache(tuple);
	return ObjectIdGetDatum(oid);
}

const char *text_bytes(const ColumnCodec *c, Datum d, bool key, int *len, struct varlena **copy)
{
	struct varlena *v;
	const char *s;

	*copy = NULL;
	if (c->kind == CODEC_NAME)
	{
		*len = (int) strnlen(NameStr(*DatumGetName(d)), NAMEDATALEN);
		return text_to_stored(NameStr(*DatumGetName(d)), len);
	}
	v = PG_DETOAST_DATUM_PACKED(d);
	if ((Pointer) v != DatumGetPointer(d))
		*copy = v;
	*len = (int) VARSIZE_ANY_EXHDR(v);
	if (c->kind == CODEC_BYTEA)
		return VARDATA_ANY(v);
	s = text_to_stored(VARDATA_ANY(v), len);
	if (c->kind == CODEC_BPCHAR && (key || bpchar_length(c) >= 0))
		*len = without_blanks(s, *len);
	return s;
}
