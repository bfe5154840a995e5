/*
 * options.c: the options of servers, tables and columns: which there are, what they may be, reading them.
 */
#include "doris_fdw.h"
#include "transport.h"

#include <math.h>

#include "access/reloptions.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#define FETCH_SIZE_MAX 1000000
#define BATCH_SIZE_MAX DORIS_MAX_KEYS
#define BATCH_SIZE_DEFAULT 1000
#define COST_MAX 1e9

typedef struct OptionDef
{
	const char *name;
	Oid catalog; /* of the objects that take it */
	void (*check)(const char *name, const char *value);
} OptionDef;

static void option_invalid(const char *name, const char *value, const char *hint)
{
	ereport(ERROR, errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
			errmsg("invalid value for option \"%s\": \"%s\"", name, value), errhint("%s", hint));
}

/* "host:port,host:port": each as the transport takes it. */
static void check_hosts(const char *name, const char *value)
{
	char *copy = pstrdup(value);
	char *rest = copy;
	char *host;
	int n = 0;

	while ((host = strsep(&rest, ",")) != NULL)
	{
		while (*host == ' ')
			host++;
		for (size_t len = strlen(host); len > 0 && host[len - 1] == ' ';)
			host[--len] = '\0';
		if (strlen(host) + 7 > DORIS_ADDRESS_MAX ||
			!transport_address_valid(psprintf("tcp://%s", host)))
			option_invalid(
				name, value,
				"Give admins and nodes as host:port, separated by commas, with ports from 1 to "
				"65535.");
		n++;
	}
	if (n == 0)
		option_invalid(name, value, "Name at least one admin or node as host:port.");
	pfree(copy);
}

static void check_key_file(const char *name, const char *value)
{
	if (!superuser())
		ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("permission denied to set option \"%s\"", name),
				errhint("Only superusers may name the file with the cluster's key."));
	if (!is_absolute_path(value))
		option_invalid(name, value, "It must be an absolute path.");
}

static int parse_count(const char *name, const char *value, int low, int high)
{
	int n;

	if (!parse_int(value, &n, 0, NULL) || n < low || n > high)
		option_invalid(name, value, psprintf("It must be a number from %d to %d.", low, high));
	return n;
}

static void check_fetch_size(const char *name, const char *value)
{
	(void) parse_count(name, value, 0, FETCH_SIZE_MAX);
}

static void check_batch_size(const char *name, const char *value)
{
	(void) parse_count(name, value, 1, BATCH_SIZE_MAX);
}

static void check_boolean(const char *name, const char *value)
{
	bool b;

	if (!parse_bool(value, &b))
		option_invalid(name, value, "It is a boolean: true or false.");
}

static double parse_cost(const char *name, const char *value)
{
	double d;

	if (!parse_real(value, &d, 0, NULL) || isnan(d) || d < 0 || d > COST_MAX)
		option_invalid(name, value, "It must be a number from 0 to 1000000000.");
	return d;
}

static void check_cost(const char *name, const char *value)
{
	(void) parse_cost(name, value);
}

static void check_name(const char *name, const char *value)
{
	if (value[0] == '\0' || strlen(value) >= DORIS_NAME_MAX)
		option_invalid(name, value, psprintf("It must have 1 to %d bytes.", DORIS_NAME_MAX - 1));
}

/* "tenant, id", "\"Mixed Case\"": a list of names; NIL when it is none. */
static List *parse_names(const char *value)
{
	List *views;
	List *names = NIL;
	ListCell *lc;

	if (!SplitIdentifierString(pstrdup(value), ',', &views))
		return NIL;
	foreach (lc, views)
		names = lappend(names, pstrdup(lfirst(lc)));
	return names;
}

static void check_names(const char *name, const char *value)
{
	List *names = parse_names(value);

	if (names == NIL || list_length(names) > DORIS_MAX_KEY_COLUMNS)
		option_invalid(name, value,
					   psprintf("It must be a list of 1 to %d column names, separated by commas.",
								DORIS_MAX_KEY_COLUMNS));
	for (int i = 0; i < list_length(names); i++)
	{
		for (int j = 0; j < i; j++)
		{
			if (strcmp(list_nth(names, i), list_nth(names, j)) == 0)
				option_invalid(
					name, value,
					psprintf("Column \"%s\" is in it twice.", (char *) list_nth(names, i)));
		}
	}
}

static void check_write_mode(const char *name, const char *value)
{
	if (strcmp(value, "transactional") != 0 && strcmp(value, "direct") != 0)
		option_invalid(name, value, "It is \"transactional\" or \"direct\".");
}

static const OptionDef option_defs[] = {
	{"hosts", ForeignServerRelationId, check_hosts},
	{"key_file", ForeignServerRelationId, check_key_file},
	{"fetch_size", ForeignServerRelationId, check_fetch_size},
	{"use_remote_estimate", ForeignServerRelationId, check_boolean},
	{"round_trip_cost", ForeignServerRelationId, check_cost},
	{"namespace", ForeignTableRelationId, check_name},
	{"key", ForeignTableRelationId, check_names},
	{"distribute_by", ForeignTableRelationId, check_names},
	{"write_mode", ForeignTableRelationId, check_write_mode},
	{"fetch_size", ForeignTableRelationId, check_fetch_size},
	{"batch_size", ForeignTableRelationId, check_batch_size},
	{"use_remote_estimate", ForeignTableRelationId, check_boolean},
	{"column_name", AttributeRelationId, check_name},
};

static void option_unknown(const char *name, Oid catalog)
{
	const char *closest = NULL;
	int least = 4; /* mistakes beyond which a name is no likely meaning */
	StringInfoData valid;

	initStringInfo(&valid);
	for (int i = 0; i < (int) lengthof(option_defs); i++)
	{
		const char *candidate = option_defs[i].name;
		int distance;

		if (option_defs[i].catalog != catalog)
			continue;
		appendStringInfo(&valid, "%s%s", valid.len > 0 ? ", " : "", candidate);
		/* the function raises an error for longer ones */
		if (strlen(name) > 200)
			continue;
		distance = varstr_levenshtein_less_equal(name, (int) strlen(name), candidate,
												 (int) strlen(candidate), 1, 1, 1, least - 1, true);
		if (distance < least && distance <= (int) strlen(name) / 2)
		{
			least = distance;
			closest = candidate;
		}
	}
	ereport(ERROR, errcode(ERRCODE_FDW_INVALID_OPTION_NAME), errmsg("invalid option \"%s\"", name),
			closest			? errhint("Perhaps you meant the option \"%s\".", closest)
			: valid.len > 0 ? errhint("Valid options in this context are: %s.", valid.data)
							: errhint("There are no valid options in this context."));
}

PG_FUNCTION_INFO_V1(doris_fdw_validator);

/* doris_fdw_validator(options text[], catalog oid) */
Datum doris_fdw_validator(PG_FUNCTION_ARGS)
{
	List *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid catalog = PG_GETARG_OID(1);
	bool has_hosts = false;
	bool has_key = false;
	List *key = NIL;
	List *distribute_by = NIL;
	ListCell *lc;

	foreach (lc, options)
	{
		DefElem *def = lfirst_node(DefElem, lc);
		const OptionDef *known = NULL;
		const char *value;

		for (int i = 0; i < (int) lengthof(option_defs) && known == NULL; i++)
		{
			if (option_defs[i].catalog == catalog && strcmp(option_defs[i].name, def->defname) == 0)
				known = &option_defs[i];
		}
		if (known == NULL)
			option_unknown(def->defname, catalog);
		value = defGetString(def);
		known->check(def->defname, value);
		if (strcmp(def->defname, "hosts") == 0)
			has_hosts = true;
		else if (strcmp(def->defname, "key") == 0)
		{
			has_key = true;
			key = parse_names(value);
		}
		else if (strcmp(def->defname, "distribute_by") == 0)
			distribute_by = parse_names(value);
	}

	if (catalog == ForeignServerRelationId && !has_hosts)
		ereport(ERROR, errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				errmsg("option \"hosts\" is required"),
				errhint("Name some admins and nodes of the cluster: OPTIONS (hosts "
						"'host:port,host:port')."));
	if (catalog == ForeignTableRelationId && !has_key)
		ereport(ERROR, errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				errmsg("option \"key\" is required"),
				errhint("Name the columns that identify a row: OPTIONS (key 'tenant,id')."));
	for (int i = 0; i < list_length(distribute_by); i++)
	{
		if (i >= list_length(key) || strcmp(list_nth(key, i), list_nth(distribute_by, i)) != 0)
			ereport(ERROR, errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
					errmsg("distribute_by must be a prefix of the key"),
					errdetail("Column \"%s\" is not key column %d.",
							  (char *) list_nth(distribute_by, i), i + 1));
	}
	PG_RETURN_VOID();
}

DorisServerOptions *options_server(Oid serverid)
{
	DorisServerOptions *result = palloc0(sizeof(DorisServerOptions));
	ListCell *lc;

	foreach (lc, GetForeignServer(serverid)->options)
	{
		DefElem *def = lfirst_node(DefElem, lc);
		char *value = defGetString(def);

		if (strcmp(def->defname, "hosts") == 0)
			result->hosts = value;
		else if (strcmp(def->defname, "key_file") == 0)
			result->key_file = value;
		else if (strcmp(def->defname, "fetch_size") == 0)
			result->fetch_size = parse_count("fetch_size", value, 0, FETCH_SIZE_MAX);
		else if (strcmp(def->defname, "use_remote_estimate") == 0)
			result->remote_estimate = defGetBoolean(def);
		else if (strcmp(def->defname, "round_trip_cost") == 0)
			result->round_trip_cost = parse_cost("round_trip_cost", value);
	}
	return result;
}

DorisTableOptions *options_table(Oid relid)
{
	DorisTableOptions *result = palloc0(sizeof(DorisTableOptions));
	ForeignTable *table = GetForeignTable(relid);
	DorisServerOptions *server = options_server(table->serverid);
	ListCell *lc;

	result->batch_size = BATCH_SIZE_DEFAULT;
	result->fetch_size = server->fetch_size;
	result->remote_estimate = server->remote_estimate;
	result->round_trip_cost = server->round_trip_cost;
	foreach (lc, table->options)
	{
		DefElem *def = lfirst_node(DefElem, lc);
		char *value = defGetString(def);

		if (strcmp(def->defname, "namespace") == 0)
			result->ns = value;
		else if (strcmp(def->defname, "key") == 0)
			result->key = parse_names(value);
		else if (strcmp(def->defname, "distribute_by") == 0)
			result->distribute_by = parse_names(value);
		else if (strcmp(def->defname, "write_mode") == 0)
			result->direct = strcmp(value, "direct") == 0;
		else if (strcmp(def->defname, "fetch_size") == 0)
			result->fetch_size = parse_count("fetch_size", value, 0, FETCH_SIZE_MAX);
		else if (strcmp(def->defname, "batch_size") == 0)
			result->batch_size = parse_count("batch_size", value, 1, BATCH_SIZE_MAX);
		else if (strcmp(def->defname, "use_remote_estimate") == 0)
			result->remote_estimate = defGetBoolean(def);
	}
	if (result->ns == NULL)
		result->ns = get_rel_name(relid);
	return result;
}

const char *options_column_name(Oid relid, AttrNumber attnum)
{
	ListCell *lc;

	foreach (lc, GetForeignColumnOptions(relid, attnum))
	{
		DefElem *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, "column_name") == 0)
			return defGetString(def);
	}
	return get_attname(relid, attnum, false);
}

const char *options_resolve_column(Relation rel, const char *name)
{
	TupleDesc desc = RelationGetDescr(rel);
	const char *local = NULL;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const char *column;

		if (att->attisdropped)
			continue;
		column = options_column_name(RelationGetRelid(rel), att->attnum);
		if (strcmp(column, name) == 0)
			return column;
		if (strcmp(NameStr(att->attname), name) == 0)
			local = column;
	}
	return local;
}
