/*
 * import.c: IMPORT FOREIGN SCHEMA: a CREATE FOREIGN TABLE for each namespace of the cluster.
 *
 * A cluster has no schemas; any name is taken, the documents say doris. The tables made attach to
 * their namespaces (namespace.c), for they have the same columns and key.
 */
#include "doris_fdw.h"

#include "miscadmin.h"
#include "utils/builtins.h"

static bool is_wanted(const ImportForeignSchemaStmt *stmt, const char *name)
{
	bool listed = false;
	ListCell *lc;

	foreach (lc, stmt->table_list)
		listed = listed || strcmp(lfirst_node(RangeVar, lc)->relname, name) == 0;
	switch (stmt->list_type)
	{
		case FDW_IMPORT_SCHEMA_ALL:
			return true;
		case FDW_IMPORT_SCHEMA_LIMIT_TO:
			return listed;
		case FDW_IMPORT_SCHEMA_EXCEPT:
			return !listed;
	}
	return false;
}

/* The first n key columns as an option's value: quoted names with commas. */
static char *key_list(const NsDef *ns, int n)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 1; i <= n; i++)
		appendStringInfo(&list, "%s%s", i > 1 ? "," : "",
						 quote_identifier(nsdef_key_column(ns, i)->name));
	return list.data;
}

static char *create_command(const NsDef *ns, const char *server)
{
	StringInfoData cmd;
	bool first = true;

	initStringInfo(&cmd);
	appendStringInfo(&cmd, "CREATE FOREIGN TABLE %s (", quote_identifier(ns->name));
	for (int i = 0; i < ns->ncolumns; i++)
	{
		const NsColumn *column = &ns->columns[i];

		if (column->dropped)
			continue;
		/* type and collation are quoted as they came */
		appendStringInfo(&cmd, "%s\n\t%s %s", first ? "" : ",", quote_identifier(column->name),
						 column->type);
		if (column->collation[0] != '\0')
			appendStringInfo(&cmd, " COLLATE %s", column->collation);
		if (column->not_null)
			appendStringInfoString(&cmd, " NOT NULL");
		first = false;
	}
	appendStringInfo(&cmd, "\n) SERVER %s OPTIONS (namespace %s, key %s", quote_identifier(server),
					 quote_literal_cstr(ns->name),
					 quote_literal_cstr(key_list(ns, ns->key_columns)));
	if (ns->route_columns > 0 && ns->route_columns < ns->key_columns)
		appendStringInfo(&cmd, ", distribute_by %s",
						 quote_literal_cstr(key_list(ns, ns->route_columns)));
	appendStringInfoString(&cmd, ")");
	return cmd.data;
}

List *doris_import_foreign_schema(ImportForeignSchemaStmt *stmt, Oid serverOid)
{
	ForeignServer *server = GetForeignServer(serverOid);
	DorisClient *client = connection_get(serverOid, GetUserId());
	DorisError err = {0};
	Topology *topology;
	List *volatile commands = NIL;

	if (stmt->options != NIL)
		ereport(ERROR, errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				errmsg("invalid option \"%s\"", linitial_node(DefElem, stmt->options)->defname),
				errhint("IMPORT FOREIGN SCHEMA takes no options here."));
	if (doris_refresh(client, 0, &err) != DORIS_OK)
		doris_ereport(&err, NULL, (DorisBytes){0});
	topology = doris_topology(client);
	PG_TRY();
	{
		for (uint32 i = 0; i < topology->nnamespaces; i++)
		{
			const NsDef *ns = &topology->namespaces[i];

			if (is_wanted(stmt, ns->name))
				commands = lappend(commands, create_command(ns, server->servername));
		}
	}
	PG_FINALLY();
	{
		topology_unref(topology);
	}
	PG_END_TRY();
	return commands;
}
