/*
 * namespace.c: data definition. CREATE and ALTER FOREIGN TABLE define and check the namespace behind the table.
 *
 * An event trigger (doris_ddl_end) looks at each command once the catalogs are final. A new table creates its
 * namespace, or attaches to one of that name: a table may have fewer columns than its namespace, by name and with the
 * same types and the same key. ADD COLUMN adds to the namespace; what cannot be carried out is an error, which
 * undoes the command. The cluster does not take part in PostgreSQL's transactions: a namespace created by a
 * command that is rolled back later stays, empty, and the same definition attaches to it.
 */
#include "doris_fdw.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "commands/event_trigger.h"
#include "executor/spi.h"
#include "foreign/fdwapi.h"
#include "miscadmin.h"
#include "tcop/deparse_utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

bool namespace_is_ours(Oid serverid)
{
	ForeignDataWrapper *wrapper = GetForeignDataWrapper(GetForeignServer(serverid)->fdwid);

	return OidIsValid(wrapper->fdwhandler) &&
		   GetFdwRoutine(wrapper->fdwhandler)->ImportForeignSchema == doris_import_foreign_schema;
}

/* ---- describing columns ---- */

/* Names in pg_catalog go without their schema, all others with it, whatever the search_path. */
static const char *portable_name(const char *qualified)
{
	const char *prefix = "pg_catalog.";

	return strncmp(qualified, prefix, strlen(prefix)) == 0 ? qualified + strlen(prefix) : qualified;
}

static const char *collation_name(Oid collation)
{
	HeapTuple tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	Form_pg_collation form;
	const char *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for collation %u", collation);
	form = (Form_pg_collation) GETSTRUCT(tuple);
	name = quote_qualified_identifier(get_namespace_name(form->collnamespace),
									  NameStr(form->collname));
	ReleaseSysCache(tuple);
	return portable_name(name);
}

static void set_text(char *out, size_t size, const char *text, const char *column)
{
	if (strlcpy(out, text, size) >= size)
		ereport(ERROR, errcode(ERRCODE_NAME_TOO_LONG),
				errmsg("name \"%s\" of column \"%s\" is longer than %d bytes", text, column,
					   (int) size - 1));
}

void namespace_describe(NsColumn *col, const char *name, Oid type, int32 typmod, Oid collation,
						bool not_null)
{
	Oid base = getBaseTypeAndTypmod(type, &typmod);

	memset(col, 0, sizeof(*col));
	set_text(col->name, sizeof(col->name), name, name);
	set_text(col->type, sizeof(col->type),
			 portable_name(format_type_extended(
				 base, typmod, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY)),
			 name);
	if (OidIsValid(collation) && collation != get_typcollation(base))
		set_text(col->collation, sizeof(col->collation), collation_name(collation), name);
	col->in_value = true;
	col->not_null = not_null;
}

void namespace_describe_key(NsColumn *col, Oid type, int32 typmod, Oid collation, int position)
{
	ColumnCodec codec;

	codec_init(&codec, type, typmod, collation, CurrentMemoryContext);
	if (!codec.key_supported)
	{
		if (!compat_collation_is_deterministic(collation))
			ereport(
				ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("key column \"%s\" has nondeterministic collation %s", col->name,
					   collation_name(collation)),
				errhint("Give the column a deterministic collation, for example COLLATE \"C\"."));
		ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("type %s of column \"%s\" is not supported in a key",
					   format_type_be(codec.type), col->name),
				errhint("Use a type with a plain order: numbers, text, bytea, uuid, dates and "
						"times, enums."));
	}
	col->key_position = (uint8) position;
	col->key_width = codec.key_width;
	col->in_value = !codec.key_exact;
	col->not_null = true;
}

/* ---- the namespace that a table wants ---- */

static NsColumn *draft_column(NsDef *draft, const char *name)
{
	return (NsColumn *) nsdef_column_by_name(draft, name);
}

/* The definition by the table's columns and options; everything that can be wrong about it is an error. */
static NsDef *namespace_draft(Relation rel, DorisTableOptions *options)
{
	TupleDesc desc = RelationGetDescr(rel);
	NsDef *draft = palloc0(sizeof(NsDef));
	AttrNumber *attnums = palloc0(sizeof(AttrNumber) * (desc->natts + 1));
	int position = 0;
	ListCell *lc;

	strlcpy(draft->name, options->ns, sizeof(draft->name));
	draft->columns = palloc0(sizeof(NsColumn) * (desc->natts + 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const char *name;
		ColumnCodec codec;

		if (att->attisdropped || compat_is_virtual(att))
			continue;
		name = options_column_name(RelationGetRelid(rel), att->attnum);
		if (draft_column(draft, name) != NULL)
			ereport(ERROR, errcode(ERRCODE_DUPLICATE_COLUMN),
					errmsg("two columns of foreign table \"%s\" are column \"%s\" of its namespace",
						   RelationGetRelationName(rel), name));
		/* an error for a type that cannot be stored */
		codec_init(&codec, att->atttypid, att->atttypmod, att->attcollation, CurrentMemoryContext);
		namespace_describe(&draft->columns[draft->ncolumns], name, att->atttypid, att->atttypmod,
						   att->attcollation, att->attnotnull);
		attnums[draft->ncolumns++] = att->attnum;
	}
	foreach (lc, options->key)
	{
		const char *name = options_resolve_column(rel, lfirst(lc));
		NsColumn *column = name ? draft_column(draft, name) : NULL;
		Form_pg_attribute att;

		if (column == NULL)
			ereport(ERROR, errcode(ERRCODE_UNDEFINED_COLUMN),
					errmsg("key column \"%s\" of foreign table \"%s\" does not exist",
						   (char *) lfirst(lc), RelationGetRelationName(rel)));
		if (column->key_position > 0)
			ereport(ERROR, errcode(ERRCODE_DUPLICATE_COLUMN),
					errmsg("key of foreign table \"%s\" has column \"%s\" twice",
						   RelationGetRelationName(rel), name));
		att = TupleDescAttr(desc, attnums[column - draft->columns] - 1);
		namespace_describe_key(column, att->atttypid, att->atttypmod, att->attcollation,
							   ++position);
	}
	draft->key_columns = (uint8) position;
	/* the validator has checked that it is a prefix */
	draft->route_columns = (uint8) list_length(options->distribute_by);
	if (draft->route_columns == draft->key_columns)
		draft->route_columns = 0;
	return draft;
}

/* ---- comparing with the namespace that is there ---- */

/* What a comparison is about, for its errors. */
typedef struct Comparison
{
	Relation rel;
	const NsDef *have;
	bool altered; /* the table was there before the command */
} Comparison;

static void namespace_differs(const Comparison *c, const char *detail)
{
	ereport(ERROR, errcode(ERRCODE_DUPLICATE_OBJECT),
			errmsg("namespace \"%s\" exists with another definition than foreign table \"%s\"",
				   c->have->name, RelationGetRelationName(c->rel)),
			errdetail_internal("%s", detail),
			c->altered ? errhint("Key and types are fixed once rows are stored by them; a new "
								 "column can be added.")
					   : errhint("IMPORT FOREIGN SCHEMA makes a table that fits it; "
								 "doris_drop_namespace('%s') drops it with all its rows.",
								 c->have->name));
}

static int routing_columns(const NsDef *ns)
{
	return ns->route_columns > 0 ? ns->route_columns : ns->key_columns;
}

/* The first n key columns. */
static char *key_text(const NsDef *ns, int n)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 1; i <= n; i++)
		appendStringInfo(&text, "%s%s", i > 1 ? ", " : "",
						 quote_identifier(nsdef_key_column(ns, i)->name));
	return text.data;
}

static const char *or_default(const char *collation)
{
	return collation[0] != '\0' ? collation : "\"default\"";
}

/*
 * Errors unless the table can use the namespace. Returns the table's columns that the namespace is to be
 * given (those of `added` that it does not have); others that are missing are an error.
 */
static List *namespace_attach(const Comparison *c, const NsDef *draft, List *added)
{
	const NsDef *have = c->have;
	List *missing = NIL;

	if (strcmp(key_text(draft, draft->key_columns), key_text(have, have->key_columns)) != 0)
		namespace_differs(c,
						  psprintf("Its key is (%s), not (%s).", key_text(have, have->key_columns),
								   key_text(draft, draft->key_columns)));
	if (routing_columns(draft) != routing_columns(have))
		namespace_differs(c, psprintf("It is distributed by (%s), not (%s).",
									  key_text(have, routing_columns(have)),
									  key_text(draft, routing_columns(draft))));
	for (int i = 0; i < draft->ncolumns; i++)
	{
		NsColumn *want = &draft->columns[i];
		const NsColumn *is = nsdef_column_by_name(have, want->name);

		if (is == NULL)
		{
			bool is_added = false;
			ListCell *lc;

			foreach (lc, added)
				is_added = is_added || strcmp(lfirst(lc), want->name) == 0;
			if (!is_added)
				namespace_differs(c, psprintf("It has no column \"%s\".", want->name));
			missing = lappend(missing, want);
			continue;
		}
		if (strcmp(want->type, is->type) != 0)
			namespace_differs(c, psprintf("Its column \"%s\" has type %s, not %s.", is->name,
										  is->type, want->type));
		if (strcmp(want->collation, is->collation) != 0)
			namespace_differs(c, psprintf("Its column \"%s\" has collation %s, not %s.", is->name,
										  or_default(is->collation), or_default(want->collation)));
		if (want->key_width != is->key_width ||
			(want->key_position > 0 && want->in_value != is->in_value))
			namespace_differs(c, psprintf("Its column \"%s\" is stored in another way.", is->name));
	}
	return missing;
}

/* In the current context; NULL: there is none. */
static NsDef *namespace_lookup(DorisClient *client, const char *name)
{
	NsDef found;
	DorisError err = {0};
	DorisStatus status = doris_namespace(client, name, &found, &err);
	NsDef *copy;

	if (status == DORIS_NOT_FOUND || status == DORIS_NO_NAMESPACE)
		return NULL;
	if (status != DORIS_OK)
		doris_ereport(&err, name, (DorisBytes){0});
	copy = palloc(sizeof(NsDef));
	*copy = found;
	copy->columns = palloc(sizeof(NsColumn) * Max(found.ncolumns, 1));
	memcpy(copy->columns, found.columns, sizeof(NsColumn) * found.ncolumns);
	nsdef_free(&found);
	return copy;
}

static void namespace_add_columns(DorisClient *client, const char *name, List *columns)
{
	NamespaceChange change = {.verb = NAMESPACE_ADD_COLUMNS};
	DorisError err = {0};
	ListCell *lc;

	strlcpy(change.def.name, name, sizeof(change.def.name));
	change.def.columns = palloc0(sizeof(NsColumn) * list_length(columns));
	foreach (lc, columns)
	{
		NsColumn *column = &change.def.columns[change.def.ncolumns++];

		*column = *(NsColumn *) lfirst(lc);
		/* rows that are there already read as NULL */
		column->not_null = false;
	}
	if (doris_namespace_change(client, &change, &err) != DORIS_OK)
		doris_ereport(&err, name, (DorisBytes){0});
}

/*
 * Makes sure that the namespace is there and fits the table. altered: the table was there before; may_create:
 * the table, or its options, are new. added: names of columns that the command adds.
 */
static void namespace_define(Relation rel, bool altered, bool may_create, List *added)
{
	Oid serverid = GetForeignTable(RelationGetRelid(rel))->serverid;
	DorisTableOptions *options = options_table(RelationGetRelid(rel));
	NsDef *draft = namespace_draft(rel, options);
	DorisClient *client = connection_get(serverid, GetUserId());
	NsDef *have = namespace_lookup(client, options->ns);
	Comparison comparison;
	List *missing;

	if (have == NULL)
	{
		NamespaceChange change = {.verb = NAMESPACE_CREATE, .def = *draft};
		DorisError err = {0};
		DorisStatus status;

		if (!may_create)
			ereport(ERROR, errcode(ERRCODE_UNDEFINED_TABLE),
					errmsg("namespace \"%s\" of foreign table \"%s\" does not exist", options->ns,
						   RelationGetRelationName(rel)),
					errhint("It was dropped. DROP FOREIGN TABLE and create it again."));
		status = doris_namespace_change(client, &change, &err);
		if (status == DORIS_OK)
			return;
		/* another was first with the name: then this table must fit that one's */
		if (status == DORIS_EXISTS)
			have = namespace_lookup(client, options->ns);
		if (have == NULL)
			doris_ereport(&err, options->ns, (DorisBytes){0});
	}
	comparison = (Comparison){.rel = rel, .have = have, .altered = altered};
	missing = namespace_attach(&comparison, draft, added);
	if (missing != NIL)
		namespace_add_columns(client, options->ns, missing);
}

/* ---- the event trigger ---- */

/* One command that pg_event_trigger_ddl_commands tells of. */
typedef struct DdlCommand
{
	Oid relid;
	CollectedCommand *command;
} DdlCommand;

/* The commands about relations, in the current context. */
static List *ddl_commands(void)
{
	MemoryContext context = CurrentMemoryContext;
	List *result = NIL;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute(
			"SELECT classid, objid, command FROM pg_catalog.pg_event_trigger_ddl_commands()", true,
			0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the commands of an event trigger");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool no_class;
		bool no_object;
		bool no_command;
		Oid classid = DatumGetObjectId(SPI_getbinval(tuple, desc, 1, &no_class));
		Oid relid = DatumGetObjectId(SPI_getbinval(tuple, desc, 2, &no_object));
		Datum command = SPI_getbinval(tuple, desc, 3, &no_command);
		MemoryContext old;
		DdlCommand *c;

		if (no_class || no_object || no_command || classid != RelationRelationId)
			continue;
		old = MemoryContextSwitchTo(context);
		c = palloc(sizeof(DdlCommand));
		c->relid = relid;
		/* it lives until the event trigger is done */
		c->command = (CollectedCommand *) DatumGetPointer(command);
		result = lappend(result, c);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return result;
}

/* Our foreign tables among the relation and its children, for what is done to a parent is done to all. */
static List *foreign_tables(Oid relid)
{
	List *result = NIL;
	ListCell *lc;

	foreach (lc, find_all_inheritors(relid, NoLock, NULL))
	{
		Oid child = lfirst_oid(lc);

		if (get_rel_relkind(child) == RELKIND_FOREIGN_TABLE &&
			namespace_is_ours(GetForeignTable(child)->serverid))
			result = lappend_oid(result, child);
	}
	return result;
}

static bool has_option(List *options, const char *name)
{
	ListCell *lc;

	foreach (lc, options)
	{
		if (strcmp(lfirst_node(DefElem, lc)->defname, name) == 0)
			return true;
	}
	return false;
}

/* A new name must not silently become another namespace, or another column. */
static void check_rename(Oid relid, const RenameStmt *stmt)
{
	if (stmt->renameType == OBJECT_FOREIGN_TABLE || stmt->renameType == OBJECT_TABLE)
	{
		if (!has_option(GetForeignTable(relid)->options, "namespace"))
			ereport(
				ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("foreign table \"%s\" takes its namespace from its name",
					   stmt->relation->relname),
				errhint("First say which it is: ALTER FOREIGN TABLE %s OPTIONS (ADD namespace %s).",
						quote_identifier(stmt->relation->relname),
						quote_literal_cstr(stmt->relation->relname)));
	}
	else if (stmt->renameType == OBJECT_COLUMN)
	{
		AttrNumber attnum = get_attnum(relid, stmt->newname);

		if (attnum != InvalidAttrNumber &&
			!has_option(GetForeignColumnOptions(relid, attnum), "column_name"))
			ereport(
				ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg(
					"column \"%s\" of foreign table \"%s\" is found in the namespace by its name",
					stmt->subname, get_rel_name(relid)),
				errhint(
					"First say which it is: ALTER FOREIGN TABLE %s ALTER COLUMN %s OPTIONS (ADD "
					"column_name %s).",
					quote_identifier(get_rel_name(relid)), quote_identifier(stmt->subname),
					quote_literal_cstr(stmt->subname)));
	}
}

/* What an ALTER TABLE did, as far as it matters here. */
typedef struct AlterSummary
{
	bool dropped; /* columns are gone */
	bool retyped;
	bool options; /* of the table or of columns */
	List *added;  /* char *: names of new columns */
} AlterSummary;

static AlterSummary alter_summary(const CollectedCommand *command)
{
	AlterSummary result = {0};
	ListCell *lc;

	foreach (lc, command->d.alterTable.subcmds)
	{
		CollectedATSubcmd *sub = lfirst(lc);
		AlterTableCmd *cmd = (AlterTableCmd *) sub->parsetree;

		if (!IsA(cmd, AlterTableCmd))
			continue;
		switch (compat_alter_subtype(cmd))
		{
			case AT_AddColumn:
				result.added = lappend(result.added, castNode(ColumnDef, cmd->def)->colname);
				break;
			case AT_DropColumn:
				result.dropped = true;
				break;
			case AT_AlterColumnType:
				result.retyped = true;
				break;
			case AT_GenericOptions:
			case AT_AlterColumnGenericOptions:
				result.options = true;
				break;
			default:
				break;
		}
	}
	return result;
}

/* The names that added columns have in the namespace. */
static List *names_in_namespace(Oid relid, List *columns)
{
	List *result = NIL;
	ListCell *lc;

	foreach (lc, columns)
	{
		AttrNumber attnum = get_attnum(relid, lfirst(lc));

		if (attnum > 0)
			result = lappend(result, (char *) options_column_name(relid, attnum));
	}
	return result;
}

static void check_command(const DdlCommand *ddl)
{
	Node *parsetree = ddl->command->parsetree;
	AlterSummary alter = {0};
	bool create = parsetree != NULL && IsA(parsetree, CreateForeignTableStmt);
	ListCell *lc;

	if (ddl->command->type == SCT_AlterTable)
	{
		alter = alter_summary(ddl->command);
		if (!alter.dropped && !alter.retyped && !alter.options && alter.added == NIL)
			return;
	}
	else if (!create && (parsetree == NULL || !IsA(parsetree, RenameStmt)))
		return;

	foreach (lc, foreign_tables(ddl->relid))
	{
		Oid relid = lfirst_oid(lc);
		Relation rel;

		if (parsetree != NULL && IsA(parsetree, RenameStmt))
		{
			const RenameStmt *stmt = (const RenameStmt *) parsetree;

			/* children keep their names when their parent gets another */
			if (relid == ddl->relid || stmt->renameType == OBJECT_COLUMN)
				check_rename(relid, stmt);
			continue;
		}
		rel = relation_open(relid, AccessShareLock);
		if (create || alter.retyped || alter.options || alter.added != NIL)
			namespace_define(rel, !create, create || alter.options,
							 names_in_namespace(relid, alter.added));
		else
			/* the key must still be there; the namespace keeps its columns */
			(void) namespace_draft(rel, options_table(relid));
		relation_close(rel, NoLock);
	}
}

PG_FUNCTION_INFO_V1(doris_ddl_end);

/* Event trigger on ddl_command_end. */
Datum doris_ddl_end(PG_FUNCTION_ARGS)
{
	ListCell *lc;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		elog(ERROR, "doris_ddl_end: not called as an event trigger");
	foreach (lc, ddl_commands())
		check_command(lfirst(lc));
	PG_RETURN_NULL();
}
