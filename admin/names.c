/*
 * names.c: changes of the data definition, carried out on a topology in the making. Pure.
 *
 * Assumption: the lead thread makes one change at a time, so that what a change was checked against is what it is added to.
 * Ids of namespaces and columns are never used again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin.h"

static int find(const Topology *t, const char *name)
{
	for (uint32_t i = 0; i < t->nnamespaces; i++)
		if (strcmp(t->namespaces[i].name, name) == 0)
			return (int) i;
	return -1;
}

static DorisStatus next_id(Topology *t, uint32_t *id, DorisError *err)
{
	if (t->next_namespace_id == 0)
		t->next_namespace_id = 1;
	if (t->next_namespace_id == UINT32_MAX)
		return doris_error(err, DORIS_LIMIT, "the cluster has used up its namespace ids");
	*id = t->next_namespace_id++;
	return DORIS_OK;
}

/* Puts the definition in its place in name order; takes its columns over. */
static DorisStatus insert(Topology *t, NsDef *def, DorisError *err)
{
	NsDef *list = realloc(t->namespaces, (t->nnamespaces + 1) * sizeof(*list));
	uint32_t at = 0;

	if (list == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for namespace \"%s\"", def->name);
	t->namespaces = list;
	while (at < t->nnamespaces && strcmp(list[at].name, def->name) < 0)
		at++;
	memmove(&list[at + 1], &list[at], (t->nnamespaces - at) * sizeof(*list));
	list[at] = *def;
	t->nnamespaces++;
	memset(def, 0, sizeof(*def));
	return DORIS_OK;
}

/*
 * Brings the columns of a request into the order of an existing definition, by name, so that two tables that list the same
 * columns differently have the same shape. False: they cannot match.
 */
static bool align(NsDef *def, const NsDef *existing)
{
	uint16_t at = 0;

	for (int i = 0; i < existing->ncolumns; i++)
	{
		const NsColumn *want = &existing->columns[i];
		uint16_t j;

		if (want->dropped)
			continue;
		for (j = at; j < def->ncolumns; j++)
			if (strcmp(def->columns[j].name, want->name) == 0)
				break;
		if (j >= def->ncolumns)
			return false;
		if (j != at)
		{
			NsColumn swap = def->columns[at];

			def->columns[at] = def->columns[j];
			def->columns[j] = swap;
		}
		at++;
	}
	return at == def->ncolumns;
}

/* What differs, for the message: the first column that does. */
static void explain_difference(const NsDef *have, const NsDef *want, char *out, size_t size)
{
	for (int i = 0; i < want->ncolumns; i++)
	{
		const NsColumn *w = &want->columns[i];
		const NsColumn *h = nsdef_column_by_name(have, w->name);

		if (h == NULL)
			snprintf(out, size, "it has no column \"%s\"", w->name);
		else if (strcmp(h->type, w->type) != 0)
			snprintf(out, size, "column \"%s\" is %s there, %s here", w->name, h->type, w->type);
		else if (h->key_position != w->key_position)
			snprintf(out, size, "column \"%s\" has another place in the key", w->name);
		else if (strcmp(h->collation, w->collation) != 0 || h->not_null != w->not_null ||
				 h->key_width != w->key_width || h->in_value != w->in_value)
			snprintf(out, size, "column \"%s\" has another collation or constraint", w->name);
		else
			continue;
		return;
	}
	for (int i = 0; i < have->ncolumns; i++)
		if (!have->columns[i].dropped && nsdef_column_by_name(want, have->columns[i].name) == NULL)
		{
			snprintf(out, size, "column \"%s\" is missing here", have->columns[i].name);
			return;
		}
	snprintf(out, size, "it is distributed otherwise");
}

static DorisStatus create(Topology *t, const NsDef *request, bool *changed, DorisError *err)
{
	NsDef def;
	DorisStatus status = nsdef_check(request, true, err);
	int at = find(t, request->name);

	if (status != DORIS_OK)
		return status;
	for (int i = 0; i < request->ncolumns; i++)
		if (request->columns[i].dropped)
			return doris_error(err, DORIS_BAD_ARGUMENT,
							   "namespace \"%s\": column \"%s\" is to be created as dropped",
							   request->name, request->columns[i].name);
	status = nsdef_copy(request, &def, err);
	if (status != DORIS_OK)
		return status;

	/* All the key's columns routing, and none named, are the same thing. */
	if (def.route_columns == def.key_columns)
		def.route_columns = 0;

	if (at >= 0)
	{
		const NsDef *have = &t->namespaces[at];

		if (align(&def, have) && nsdef_same_shape(have, &def))
		{
			*changed = false;
			nsdef_free(&def);
			return DORIS_OK;
		}
		char difference[400];

		explain_difference(have, request, difference, sizeof(difference));
		nsdef_free(&def);
		(void) doris_error(err, DORIS_EXISTS,
						   "namespace \"%s\" already exists with another definition: %s",
						   request->name, difference);
		return doris_hint(err, "Use another name, or the same columns and key; IMPORT FOREIGN "
							   "SCHEMA makes a table that fits.");
	}
	if (t->nnamespaces >= DORIS_MAX_NAMESPACES)
	{
		nsdef_free(&def);
		return doris_error(err, DORIS_LIMIT, "the cluster has %d namespaces, the most it can hold",
						   DORIS_MAX_NAMESPACES);
	}
	for (int i = 0; i < def.ncolumns; i++)
		def.columns[i].id = (uint16_t) (i + 1);
	def.version = 1;
	status = next_id(t, &def.id, err);
	if (status == DORIS_OK)
		status = insert(t, &def, err);
	nsdef_free(&def);
	*changed = status == DORIS_OK;
	return status;
}

static DorisStatus add_columns(Topology *t, const NsDef *request, bool *changed, DorisError *err)
{
	int at = find(t, request->name);
	NsDef *have;
	uint16_t added = 0;

	if (at < 0)
		return doris_error(err, DORIS_NOT_FOUND, "namespace \"%s\" does not exist", request->name);
	have = &t->namespaces[at];
	for (int i = 0; i < request->ncolumns; i++)
	{
		const NsColumn *col = &request->columns[i];
		const NsColumn *old = nsdef_column_by_name(have, col->name);
		uint16_t last = have->ncolumns > 0 ? have->columns[have->ncolumns - 1].id : 0;
		NsColumn *list;

		if (old != NULL)
		{
			if (strcmp(old->type, col->type) == 0 && strcmp(old->collation, col->collation) == 0)
				continue;
			(void) doris_error(
				err, DORIS_EXISTS,
				"column \"%s\" of namespace \"%s\" already exists with type %s, not %s", col->name,
				have->name, old->type, col->type);
			return doris_hint(err, "The type of a stored column cannot change; add a column of "
								   "another name.");
		}
		if (col->name[0] == '\0' || col->type[0] == '\0')
			return doris_error(err, DORIS_BAD_ARGUMENT,
							   "namespace \"%s\": a column to be added has no name or type",
							   have->name);
		if (col->key_position != 0 || col->dropped)
			return doris_error(err, DORIS_BAD_ARGUMENT,
							   "column \"%s\" cannot be added to the key of namespace \"%s\"",
							   col->name, have->name);
		if (col->not_null)
		{
			(void) doris_error(err, DORIS_BAD_ARGUMENT,
							   "column \"%s\" added to namespace \"%s\" cannot be NOT NULL",
							   col->name, have->name);
			return doris_hint(err, "Rows that are already there read it as NULL.");
		}
		if (have->ncolumns >= DORIS_MAX_COLUMNS || last == UINT16_MAX)
			return doris_error(err, DORIS_LIMIT, "namespace \"%s\" has %d columns, the most it can",
							   have->name, have->ncolumns);
		list = realloc(have->columns, (have->ncolumns + 1u) * sizeof(*list));
		if (list == NULL)
			return doris_error(err, DORIS_NO_MEMORY, "out of memory for namespace \"%s\"",
							   have->name);
		have->columns = list;
		list[have->ncolumns] = *col;
		list[have->ncolumns].id = (uint16_t) (last + 1);
		list[have->ncolumns].in_value = true;
		list[have->ncolumns].key_width = 0;
		have->ncolumns++;
		added++;
	}
	*changed = added > 0;
	if (added > 0)
		have->version++;
	return nsdef_check(have, false, err);
}

static DorisStatus drop(Topology *t, const NamespaceChange *change, bool *changed, DorisError *err)
{
	const NsDef *request = &change->def;
	int at = find(t, request->name);
	NsDef *have;

	if (at < 0)
		return doris_error(err, DORIS_NOT_FOUND, "namespace \"%s\" does not exist", request->name);
	have = &t->namespaces[at];
	if (request->id != 0 && request->id != have->id)
		return doris_error(err, DORIS_CONFLICT,
						   "namespace \"%s\" was dropped or truncated by somebody else meanwhile",
						   request->name);
	*changed = true;
	/* Rule *leftovers*: a new id, so that nothing that still carries the old one can touch a row. */
	if (change->verb == NAMESPACE_TRUNCATE)
		return next_id(t, &have->id, err);
	nsdef_free(have);
	memmove(have, have + 1, (t->nnamespaces - (uint32_t) at - 1) * sizeof(*have));
	t->nnamespaces--;
	return DORIS_OK;
}

DorisStatus names_change(Topology *t, const NamespaceChange *change, bool *changed, DorisError *err)
{
	*changed = false;
	if (change->def.name[0] == '\0')
		return doris_error(err, DORIS_BAD_ARGUMENT, "a namespace has no name");
	switch (change->verb)
	{
		case NAMESPACE_CREATE:
			return create(t, &change->def, changed, err);
		case NAMESPACE_ADD_COLUMNS:
			return add_columns(t, &change->def, changed, err);
		case NAMESPACE_DROP:
		case NAMESPACE_TRUNCATE:
			return drop(t, change, changed, err);
	}
	return doris_error(err, DORIS_BAD_ARGUMENT, "unknown namespace change %d", (int) change->verb);
}
