/*
 * functions.c: doris_create_namespace, doris_drop_namespace, doris_route, doris_verify.
 */
#include "doris_fdw.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parse_type.h"
#include "parser/parser.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

/* An error's position is one in our text, not in the user's. */
static void parse_error(void *arg)
{
	errcontext("invalid definition of a column \"%s\"", (const char *) arg);
	errposition(0);
}

/* "id bigint", "\"Name\" text COLLATE \"C\" NOT NULL": as in CREATE TABLE, and parsed by its parser. */
static ColumnDef *parse_column(const char *text)
{
	char *sql = psprintf("CREATE TABLE t (%s\n)", text);
	List *statements;
	CreateStmt *create = NULL;
	ErrorContextCallback callback = {
		.previous = error_context_stack, .callback = parse_error, .arg = (void *) text};

	error_context_stack = &callback;
	statements = raw_parser(sql, RAW_PARSE_DEFAULT);
	error_context_stack = callback.previous;
	if (list_length(statements) == 1)
		create = (CreateStmt *) linitial_node(RawStmt, statements)->stmt;
	if (create == NULL || !IsA(create, CreateStmt) || list_length(create->tableElts) != 1 ||
		!IsA(linitial(create->tableElts), ColumnDef) || create->inhRelations != NIL ||
		create->options != NIL)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("\"%s\" is not the definition of one column", text),
				errhint("Give a column as its name and its type: 'id bigint'."));
	return linitial_node(ColumnDef, create->tableElts);
}

/* Describes the column in *col; position > 0: in the key. */
static void describe_column(NsColumn *col, const char *text, int position)
{
	ColumnDef *def = parse_column(text);
	ColumnCodec codec;
	Oid type;
	int32 typmod;
	Oid collation;
	bool not_null = def->is_not_null;
	ListCell *lc;

	foreach (lc, def->constraints)
	{
		Constraint *constraint = lfirst_node(Constraint, lc);

		if (constraint->contype == CONSTR_NOTNULL)
			not_null = true;
		else if (constraint->contype != CONSTR_NULL)
			ereport(
				ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("column \"%s\" of a namespace cannot have this constraint", def->colname),
				errhint("Only NOT NULL is possible."));
	}
	typenameTypeIdAndMod(NULL, def->typeName, &type, &typmod);
	if (get_typtype(type) == TYPTYPE_PSEUDO)
		ereport(ERROR, errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				errmsg("column \"%s\" has pseudo-type %s", def->colname, format_type_be(type)));
	collation = GetColumnDefCollation(NULL, def, type);
	/* an error for a type that cannot be stored */
	codec_init(&codec, type, typmod, collation, CurrentMemoryContext);
	namespace_describe(col, def->colname, type, typmod, collation, not_null);
	if (position > 0)
		namespace_describe_key(col, type, typmod, collation, position);
}

static void change_namespace(Oid serverid, NamespaceVerb verb, const NsDef *def)
{
	DorisClient *client = connection_get(serverid, GetUserId());
	NamespaceChange change = {.verb = verb, .def = *def};
	DorisError err = {0};

	if (doris_namespace_change(client, &change, &err) != DORIS_OK)
		doris_ereport(&err, def->name, (DorisBytes){0});
}

static void set_name(NsDef *def, const char *name)
{
	if (name[0] == '\0' || strlcpy(def->name, name, sizeof(def->name)) >= sizeof(def->name))
		ereport(ERROR, errcode(ERRCODE_INVALID_NAME),
				errmsg("invalid name of a namespace: \"%s\"", name),
				errhint("A name has 1 to %d bytes.", DORIS_NAME_MAX - 1));
}

PG_FUNCTION_INFO_V1(doris_create_namespace);

/* doris_create_namespace(name text, key text[], columns text[], distribute_by text[], server name) */
Datum doris_create_namespace(PG_FUNCTION_ARGS)
{
	NsDef def = {0};
	List *key;
	List *columns = NIL;
	List *distribute_by = NIL;
	ListCell *lc;

	set_name(&def, argument_text(fcinfo, 0, "the name of a namespace"));
	if (PG_ARGISNULL(1))
		ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("the key must not be NULL"));
	key = argument_text_list(PG_GETARG_ARRAYTYPE_P(1), "the key");
	if (!PG_ARGISNULL(2))
		columns = argument_text_list(PG_GETARG_ARRAYTYPE_P(2), "the list of columns");
	if (!PG_ARGISNULL(3))
		distribute_by = argument_text_list(PG_GETARG_ARRAYTYPE_P(3), "distribute_by");
	if (key == NIL || list_length(key) > DORIS_MAX_KEY_COLUMNS)
		ereport(
			ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("a key has 1 to %d columns, not %d", DORIS_MAX_KEY_COLUMNS, list_length(key)));
	if (list_length(key) + list_length(columns) > DORIS_MAX_COLUMNS)
		ereport(ERROR, errcode(ERRCODE_TOO_MANY_COLUMNS),
				errmsg("a namespace has at most %d columns", DORIS_MAX_COLUMNS));

	def.columns = palloc0(sizeof(NsColumn) * (list_length(key) + list_length(columns)));
	foreach (lc, key)
		describe_column(&def.columns[def.ncolumns++], lfirst(lc), foreach_current_index(lc) + 1);
	foreach (lc, columns)
		describe_column(&def.columns[def.ncolumns++], lfirst(lc), 0);
	for (int i = 0; i < def.ncolumns; i++)
	{
		if (nsdef_column_by_name(&def, def.columns[i].name) != &def.columns[i])
			ereport(ERROR, errcode(ERRCODE_DUPLICATE_COLUMN),
					errmsg("column \"%s\" specified more than once", def.columns[i].name));
	}
	def.key_columns = (uint8) list_length(key);
	foreach (lc, distribute_by)
	{
		int i = foreach_current_index(lc);

		if (i >= def.key_columns || strcmp(def.columns[i].name, lfirst(lc)) != 0)
			ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("distribute_by must be a prefix of the key"),
					errdetail("Column \"%s\" is not key column %d.", (char *) lfirst(lc), i + 1));
	}
	if (list_length(distribute_by) < def.key_columns)
		def.route_columns = (uint8) list_length(distribute_by);
	change_namespace(argument_server(fcinfo, 4), NAMESPACE_CREATE, &def);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(doris_drop_namespace);

/* doris_drop_namespace(name text, server name) */
Datum doris_drop_namespace(PG_FUNCTION_ARGS)
{
	NsDef def = {0};

	set_name(&def, argument_text(fcinfo, 0, "the name of a namespace"));
	change_namespace(argument_server(fcinfo, 1), NAMESPACE_DROP, &def);
	PG_RETURN_VOID();
}

/* Encodes the routing columns, given as text, by the types that the namespace says. */
static void put_route_key(const NsDef *ns, List *values, StringInfo out)
{
	int nroute = ns->route_columns > 0 ? ns->route_columns : ns->key_columns;

	if (list_length(values) < nroute || list_length(values) > ns->key_columns)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("%d key values given, but namespace \"%s\" has %d key columns",
					   list_length(values), ns->name, ns->key_columns),
				errhint("Give all of them, or at least the first %d, which the route depends on.",
						nroute));
	for (int i = 0; i < nroute; i++)
	{
		const NsColumn *column = nsdef_key_column(ns, i + 1);
		ColumnCodec codec;
		Oid type;
		int32 typmod;
		Oid input;
		Oid ioparam;

		compat_parse_type(column->type, &type, &typmod);
		codec_init(&codec, type, typmod, get_typcollation(type), CurrentMemoryContext);
		if (!codec.key_supported || codec.key_width != column->key_width)
			ereport(ERROR, errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("type %s of key column \"%s\" is another one in this database",
						   column->type, column->name));
		getTypeInputInfo(type, &input, &ioparam);
		codec_put_key(&codec, OidInputFunctionCall(input, list_nth(values, i), ioparam, typmod),
					  out);
	}
}

PG_FUNCTION_INFO_V1(doris_route);

/* doris_route(namespace text, VARIADIC key text[]): vnode, group_id, owner */
Datum doris_route(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char *name = argument_text(fcinfo, 0, "the name of a namespace");
	DorisClient *client;
	DorisError err = {0};
	DorisStatus status;
	NsDef ns;
	StringInfoData key;
	Topology *topology;
	Datum rows[DORIS_MAX_GROUPS][3];
	bool nulls[3] = {false, false, false};
	char owners[DORIS_MAX_GROUPS][DORIS_NAME_MAX];
	uint32 groups;

	if (PG_ARGISNULL(1))
		ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("the key must not be NULL"));
	InitMaterializedSRF(fcinfo, 0);
	client = connection_get(connection_default_server(), GetUserId());
	status = doris_namespace(client, name, &ns, &err);
	if (status != DORIS_OK)
		doris_ereport(&err, name, (DorisBytes){0});
	initStringInfo(&key);
	PG_TRY();
	{
		put_route_key(&ns, argument_text_list(PG_GETARG_ARRAYTYPE_P(1), "the key"), &key);
	}
	PG_FINALLY();
	{
		nsdef_free(&ns);
	}
	PG_END_TRY();

	topology = doris_topology(client);
	groups = Min(topology->groups, DORIS_MAX_GROUPS);
	for (uint32 g = 1; g <= groups; g++)
	{
		DorisBytes route = {(uint8_t *) key.data, (size_t) key.len};
		uint32 vnode = route_vnode(route, topology->vnodes);
		const TopoNode *node = topology_node(topology, topology_copy(topology, g, vnode)->owner);

		strlcpy(owners[g - 1], node ? node->name : "", DORIS_NAME_MAX);
		rows[g - 1][0] = Int32GetDatum((int32) vnode);
		rows[g - 1][1] = Int32GetDatum((int32) g);
	}
	topology_unref(topology);
	for (uint32 i = 0; i < groups; i++)
	{
		nulls[2] = owners[i][0] == '\0';
		rows[i][2] = nulls[2] ? (Datum) 0 : CStringGetTextDatum(owners[i]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, rows[i], nulls);
	}
	return (Datum) 0;
}

/* Vnodes compared in one call: each call has the statement's deadline. */
#define VERIFY_BATCH 32

static uint32_t namespace_id(DorisClient *client, const char *name)
{
	DorisError err = {0};
	NsDef ns;
	uint32_t id;

	if (doris_namespace(client, name, &ns, &err) != DORIS_OK)
		doris_ereport(&err, name, (DorisBytes){0});
	id = ns.id;
	nsdef_free(&ns);
	return id;
}

static void put_check(ReturnSetInfo *rsinfo, const DorisVnodeCheck *check)
{
	bool unknown = check->verdict == DORIS_COPIES_UNKNOWN;
	Datum values[6];
	bool nulls[6] = {false, false, unknown, unknown, unknown, true};

	values[0] = Int32GetDatum((int32) check->vnode);
	values[1] = CStringGetTextDatum(doris_verdict_name(check->verdict));
	values[2] = Int64GetDatum((int64) check->rows);
	values[3] = Int64GetDatum((int64) check->different);
	values[4] = Int64GetDatum((int64) check->repaired);
	values[5] = (Datum) 0;
	if (unknown)
		values[5] = CStringGetTextDatum(check->why);
	else if (check->unsettled > 0)
		values[5] = CStringGetTextDatum(
			psprintf("%llu rows have a write whose outcome could not be found out",
					 (unsigned long long) check->unsettled));
	nulls[5] = values[5] == (Datum) 0;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(doris_verify_copies);

/* doris_verify(namespace text, repair boolean, server name): vnode, state, rows, different, repaired, detail */
Datum doris_verify_copies(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	bool repair = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	DorisClient *client;
	Topology *topology;
	uint32_t vnodes;
	uint32_t ns = 0;

	if (repair)
		PreventCommandIfReadOnly("doris_verify() with repair");
	InitMaterializedSRF(fcinfo, 0);
	client = connection_get(argument_server(fcinfo, 2), GetUserId());
	if (!PG_ARGISNULL(0))
		ns = namespace_id(client, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	topology = doris_topology(client);
	vnodes = topology->vnodes;
	topology_unref(topology);
	for (uint32_t v = 0; v < vnodes;)
	{
		DorisVnodeCheck checks[VERIFY_BATCH];
		uint32_t list[VERIFY_BATCH];
		uint32_t n = 0;
		DorisError err = {0};

		CHECK_FOR_INTERRUPTS();
		while (n < VERIFY_BATCH && v < vnodes)
			list[n++] = v++;
		if (doris_verify(client, ns, list, n, repair, checks, &err) != DORIS_OK)
			doris_ereport(&err, NULL, (DorisBytes){0});
		for (uint32_t i = 0; i < n; i++)
			put_check(rsinfo, &checks[i]);
	}
	return (Datum) 0;
}
