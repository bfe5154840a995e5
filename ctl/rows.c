/*
 * rows.c: dorisctl's verbs on rows and namespaces.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

/* The rows of one command: keys, and for put their values. */
typedef struct Rows
{
	uint32_t n;
	DorisBuf *keys;	   /* owned */
	DorisBuf *values;  /* owned */
	DorisBytes *views; /* of the keys */
} Rows;

static bool rows_init(Rows *r, int most)
{
	r->n = 0;
	r->keys = calloc((size_t) most, sizeof(*r->keys));
	r->values = calloc((size_t) most, sizeof(*r->values));
	r->views = calloc((size_t) most, sizeof(*r->views));
	if (r->keys != NULL && r->values != NULL && r->views != NULL)
		return true;
	fputs("dorisctl: out of memory\n", stderr);
	return false;
}

static void rows_free(Rows *r)
{
	for (uint32_t i = 0; i < r->n; i++)
	{
		buf_free(&r->keys[i]);
		buf_free(&r->values[i]);
	}
	free(r->keys);
	free(r->values);
	free(r->views);
}

static bool rows_add_key(Ctl *ctl, const NsDef *ns, const char *text, Rows *r)
{
	DorisBuf *key = &r->keys[r->n];

	buf_init(key);
	buf_init(&r->values[r->n]);
	if (!text_key(ctl, ns, text, key))
	{
		buf_free(key);
		return false;
	}
	r->views[r->n++] = (DorisBytes){key->data, key->len};
	return true;
}

int verb_get(Ctl *ctl)
{
	NsDef ns;
	Rows rows;
	DorisRows *got = NULL;
	DorisError err;
	int code = CTL_USAGE;

	if (doris_namespace(ctl->client, ctl->args[0], &ns, &err) != DORIS_OK)
		return ctl_fail(&err);
	if (!rows_init(&rows, ctl->nargs))
		code = CTL_FAILED;
	else
	{
		int i = 1;

		while (i < ctl->nargs && rows_add_key(ctl, &ns, ctl->args[i], &rows))
			i++;
		if (i == ctl->nargs)
		{
			code = CTL_OK;
			if (doris_get(ctl->client, &ns, rows.views, rows.n, NULL, &got, &err) != DORIS_OK)
				code = ctl_fail(&err);
		}
	}
	if (got != NULL)
	{
		uint32_t n;
		const DorisRow *row = doris_rows(got, &n);

		for (uint32_t i = 0; i < n; i++)
		{
			DorisRow shown = row[i];

			shown.key = rows.views[i];
			if (row[i].found)
				text_show_row(ctl, &ns, &shown);
			else
			{
				fprintf(stderr, "dorisctl: namespace %s has no row %s\n", ns.name,
						ctl->args[1 + i]);
				code = CTL_NOT_FOUND;
			}
		}
		doris_rows_free(got);
	}
	rows_free(&rows);
	nsdef_free(&ns);
	return code;
}

/* Hands libdoris the prepared writes, from the start as often as it likes. */
typedef struct WriteList
{
	DorisWrite *writes;
	uint32_t n;
	uint32_t at;
} WriteList;

static DorisStatus list_next(void *arg, DorisWrite *out, DorisError *err)
{
	WriteList *l = arg;

	(void) err;
	if (l->at == l->n)
		return DORIS_NOT_FOUND;
	*out = l->writes[l->at++];
	return DORIS_OK;
}

static DorisStatus list_rewind(void *arg, DorisError *err)
{
	(void) err;
	((WriteList *) arg)->at = 0;
	return DORIS_OK;
}

/* Reads what is there, then writes over it in one transaction. */
static int write_rows(Ctl *ctl, const NsDef *ns, const Rows *rows, bool deletes)
{
	WriteList list = {.writes = calloc((size_t) rows->n + 1, sizeof(DorisWrite))};
	DorisWriteSource source = {.arg = &list, .next = list_next, .rewind = list_rewind};
	DorisCommitResult result;
	DorisRows *there = NULL;
	DorisError err;
	uint32_t n;
	static const DorisGetSpec versions = {.no_values = true};
	int code = CTL_OK;

	if (list.writes == NULL)
	{
		fputs("dorisctl: out of memory\n", stderr);
		return CTL_FAILED;
	}
	if (doris_get(ctl->client, ns, rows->views, rows->n, &versions, &there, &err) != DORIS_OK)
		code = ctl_fail(&err);
	else
	{
		const DorisRow *row = doris_rows(there, &n);

		for (uint32_t i = 0; i < n && code == CTL_OK; i++)
		{
			DorisWrite *w = &list.writes[list.n];

			if (deletes && !row[i].found)
				continue;
			w->ns = ns->id;
			w->kind = deletes ? WRITE_DELETE : row[i].found ? WRITE_UPDATE : WRITE_INSERT;
			w->key = rows->views[i];
			w->base = row[i].version;
			w->value = (DorisBytes){rows->values[i].data, rows->values[i].len};
			if (!nsdef_route_key(ns, w->key, &w->route))
				code = ctl_usage("the key does not have the form of namespace %s's", ns->name);
			list.n++;
		}
		if (code == CTL_OK && list.n == 0)
		{
			fputs("dorisctl: no such row\n", stderr);
			code = CTL_NOT_FOUND;
		}
		if (code == CTL_OK && doris_commit(ctl->client, &source, &result, &err) != DORIS_OK)
			code = ctl_fail(&err);
	}
	doris_rows_free(there);
	free(list.writes);
	return code;
}

static int change_rows(Ctl *ctl, bool deletes)
{
	NsDef ns;
	Rows rows;
	DorisError err;
	bool ok = true;
	int code = CTL_USAGE;

	if (doris_namespace(ctl->client, ctl->args[0], &ns, &err) != DORIS_OK)
		return ctl_fail(&err);
	if (!rows_init(&rows, ctl->nargs))
		code = CTL_FAILED;
	else
	{
		for (int i = 1; ok && i < ctl->nargs; i++)
		{
			ok = rows_add_key(ctl, &ns, ctl->args[i], &rows);
			if (ok && !deletes)
			{
				int used;

				ok = text_value(ctl, &ns, ctl->args + i + 1, ctl->nargs - i - 1,
								&rows.values[rows.n - 1], &used);
				i += used + 1; /* and the "--" behind it */
			}
		}
		if (ok)
			code = write_rows(ctl, &ns, &rows, deletes);
	}
	rows_free(&rows);
	nsdef_free(&ns);
	return code;
}

int verb_put(Ctl *ctl)
{
	return change_rows(ctl, false);
}

int verb_del(Ctl *ctl)
{
	return change_rows(ctl, true);
}

static DorisStatus count_rows(Ctl *ctl, const DorisScanSpec *spec, DorisError *err)
{
	uint64_t count;
	DorisStatus st = doris_count(ctl->client, spec, &count, err);

	if (st == DORIS_OK)
		printf("%llu\n", (unsigned long long) count);
	return st;
}

static DorisStatus show_rows(Ctl *ctl, const DorisScanSpec *spec, DorisError *err)
{
	DorisScan *scan;
	DorisRow row;
	DorisStatus st = doris_scan_open(ctl->client, spec, &scan, err);

	if (st != DORIS_OK)
		return st;
	for (long i = 0; st == DORIS_OK && i != ctl->limit; i++)
	{
		st = doris_scan_next(scan, &row, err);
		if (st == DORIS_OK)
			text_show_row(ctl, spec->ns, &row);
	}
	doris_scan_close(scan);
	return st == DORIS_NOT_FOUND ? DORIS_OK : st;
}

int verb_scan(Ctl *ctl)
{
	DorisScanSpec spec = {.limit = ctl->limit > 0 ? (uint64_t) ctl->limit : 0,
						  .whole = ctl->limit < 0};
	NsDef ns;
	DorisError err;
	DorisStatus st;

	if (doris_namespace(ctl->client, ctl->args[0], &ns, &err) != DORIS_OK)
		return ctl_fail(&err);
	spec.ns = &ns;
	st = ctl->count ? count_rows(ctl, &spec, &err) : show_rows(ctl, &spec, &err);
	nsdef_free(&ns);
	return st == DORIS_OK ? CTL_OK : ctl_fail(&err);
}

int verb_create(Ctl *ctl)
{
	NamespaceChange change = {.verb = NAMESPACE_CREATE};
	int n = ctl->nargs - 1;
	NsColumn *columns = calloc((size_t) n, sizeof(*columns));
	DorisError err;
	int code = CTL_OK;

	if (columns == NULL)
		return CTL_FAILED;
	for (int i = 0; i <= n; i++)
	{
		if (strlen(ctl->args[i]) >= DORIS_NAME_MAX)
			code = ctl_usage("\"%s\" is longer than %d bytes", ctl->args[i], DORIS_NAME_MAX - 1);
	}
	if (code == CTL_OK)
	{
		snprintf(change.def.name, sizeof(change.def.name), "%s", ctl->args[0]);
		change.def.key_columns = 1;
		change.def.ncolumns = (uint16_t) n;
		change.def.columns = columns;
		for (int i = 0; i < n; i++)
		{
			columns[i].id = (uint16_t) (i + 1);
			snprintf(columns[i].name, sizeof(columns[i].name), "%s", ctl->args[1 + i]);
			snprintf(columns[i].type, sizeof(columns[i].type), "text");
			columns[i].in_value = i > 0;
			columns[i].key_position = i == 0;
			columns[i].not_null = i == 0;
		}
		if (doris_namespace_change(ctl->client, &change, &err) != DORIS_OK)
			code = ctl_fail(&err);
	}
	free(columns);
	return code;
}

int verb_drop(Ctl *ctl)
{
	NamespaceChange change = {.verb = NAMESPACE_DROP};
	DorisError err;

	if (strlen(ctl->args[0]) >= DORIS_NAME_MAX)
		return ctl_usage("\"%s\" is longer than %d bytes", ctl->args[0], DORIS_NAME_MAX - 1);
	snprintf(change.def.name, sizeof(change.def.name), "%s", ctl->args[0]);
	if (doris_namespace_change(ctl->client, &change, &err) != DORIS_OK)
		return ctl_fail(&err);
	return CTL_OK;
}
