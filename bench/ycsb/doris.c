/*
 * doris.c: YCSB's operations by libdoris: gets, plain writes, scans within one route, and commits that name the version read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doris.h"
#include "row.h"
#include "ycsb.h"

#define CLIENT_DEADLINE_MS 20000

typedef struct Doris
{
	DorisClient *client;
	NsDef ns;
	bool has_ns;
	uint16_t fields[YCSB_FIELDS]; /* column ids */
	DorisBuf buf;				  /* keys and values of one call */
} Doris;

static YcsbResult failed(YcsbTarget *t, const DorisError *err)
{
	snprintf(t->error, sizeof(t->error), "%s", err->message);
	return YCSB_FAILED;
}

static void doris_close(YcsbTarget *t)
{
	Doris *d = t->own;

	if (d == NULL)
		return;
	doris_disconnect(d->client);
	if (d->has_ns)
		nsdef_free(&d->ns);
	buf_free(&d->buf);
	free(d);
	t->own = NULL;
}

static YcsbResult doris_open(YcsbTarget *t)
{
	DorisOptions options = {.hosts = t->config->hosts,
							.key_file = t->config->key_file,
							.deadline_ms = CLIENT_DEADLINE_MS};
	Doris *d = calloc(1, sizeof(*d));
	DorisError err;

	t->own = d;
	if (d == NULL)
	{
		snprintf(t->error, sizeof(t->error), "out of memory");
		return YCSB_FAILED;
	}
	if (doris_connect(&options, &d->client, &err) != DORIS_OK ||
		doris_namespace(d->client, t->config->ns, &d->ns, &err) != DORIS_OK)
		return failed(t, &err);
	d->has_ns = true;
	for (int i = 0; i < YCSB_FIELDS; i++)
	{
		char name[16];
		const NsColumn *c;

		snprintf(name, sizeof(name), "field%d", i);
		c = nsdef_column_by_name(&d->ns, name);
		if (c == NULL)
		{
			snprintf(t->error, sizeof(t->error), "namespace %s has no column %s", t->config->ns,
					 name);
			return YCSB_FAILED;
		}
		d->fields[i] = c->id;
	}
	return YCSB_OK;
}

/* A text segment of a key; `last`: what its terminator ends with (1; 2 makes the successor of all keys that begin so). */
static void put_segment(DorisBuf *b, const char *text, uint8_t last)
{
	buf_put_raw(b, text, strlen(text));
	buf_put_u8(b, 0);
	buf_put_u8(b, last);
}

static void put_key(YcsbTarget *t, uint64_t row, DorisBuf *b)
{
	char text[24];

	if (t->config->ranges)
	{
		ycsb_part(row, text);
		put_segment(b, text, 1);
	}
	ycsb_key(row, text);
	put_segment(b, text, 1);
}

static void put_value(YcsbTarget *t, DorisBuf *b)
{
	Doris *d = t->own;

	for (int i = 0; i < YCSB_FIELDS; i++)
		row_put(b, d->fields[i], ycsb_field(&t->seed), YCSB_FIELD_BYTES);
}

/* Is it a whole row? */
static YcsbResult check(YcsbTarget *t, DorisBytes value)
{
	RowReader r = row_reader(value);
	uint16_t id;
	DorisBytes data;
	int n = 0;

	while (row_next(&r, &id, &data))
		n += data.len == YCSB_FIELD_BYTES;
	if (n == YCSB_FIELDS)
		return YCSB_OK;
	snprintf(t->error, sizeof(t->error), "a row has %d fields", n);
	return YCSB_FAILED;
}

static YcsbResult get(YcsbTarget *t, DorisBytes key, DorisVersion *version)
{
	Doris *d = t->own;
	DorisRows *rows;
	DorisError err;
	const DorisRow *row;
	uint32_t n;
	YcsbResult result = YCSB_MISSING;

	if (doris_get(d->client, &d->ns, &key, 1, NULL, &rows, &err) != DORIS_OK)
		return failed(t, &err);
	row = doris_rows(rows, &n);
	if (n == 1 && row->found)
	{
		*version = row->version;
		result = check(t, row->value);
	}
	doris_rows_free(rows);
	return result;
}

static YcsbResult doris_read(YcsbTarget *t, uint64_t row)
{
	Doris *d = t->own;
	DorisVersion version;

	buf_reset(&d->buf);
	put_key(t, row, &d->buf);
	return get(t, (DorisBytes){d->buf.data, d->buf.len}, &version);
}

static YcsbResult doris_put(YcsbTarget *t, uint64_t first, uint32_t n)
{
	Doris *d = t->own;
	DorisWrite *writes = calloc(n, sizeof(*writes));
	size_t *at = calloc(2 * (size_t) n + 1, sizeof(*at));
	YcsbResult result = YCSB_OK;
	DorisStatus st;
	DorisError err;

	buf_reset(&d->buf);
	for (uint32_t i = 0; writes != NULL && at != NULL && i < n; i++)
	{
		put_key(t, first + i, &d->buf);
		at[2 * i + 1] = d->buf.len;
		put_value(t, &d->buf);
		at[2 * i + 2] = d->buf.len;
	}
	if (writes == NULL || at == NULL || d->buf.failed)
	{
		snprintf(t->error, sizeof(t->error), "out of memory");
		result = YCSB_FAILED;
	}
	for (uint32_t i = 0; result == YCSB_OK && i < n; i++)
	{
		DorisWrite *w = &writes[i];

		w->ns = d->ns.id;
		w->kind = WRITE_PUT;
		w->key = (DorisBytes){d->buf.data + at[2 * i], at[2 * i + 1] - at[2 * i]};
		w->value = (DorisBytes){d->buf.data + at[2 * i + 1], at[2 * i + 2] - at[2 * i + 1]};
		if (!nsdef_route_key(&d->ns, w->key, &w->route))
		{
			snprintf(t->error, sizeof(t->error), "namespace %s has other keys", t->config->ns);
			result = YCSB_FAILED;
		}
	}
	if (result == YCSB_OK)
	{
		st = doris_apply(d->client, writes, n, &err);
		if (st != DORIS_OK)
			result = failed(t, &err);
	}
	free(writes);
	free(at);
	return result;
}

static YcsbResult doris_scan(YcsbTarget *t, uint64_t row, uint32_t n)
{
	Doris *d = t->own;
	DorisScanSpec spec = {.ns = &d->ns, .limit = n, .order = DORIS_KEY_ORDER};
	DorisScan *scan;
	DorisRow found;
	DorisError err;
	DorisStatus st;
	char part[24];
	size_t key_end;
	uint32_t got = 0;
	YcsbResult result = YCSB_OK;

	buf_reset(&d->buf);
	put_key(t, row, &d->buf);
	key_end = d->buf.len;
	ycsb_part(row, part);
	put_segment(&d->buf, part, 2);
	spec.low = (DorisBytes){d->buf.data, key_end};
	spec.high = (DorisBytes){d->buf.data + key_end, d->buf.len - key_end};
	if (!nsdef_route_key(&d->ns, spec.low, &spec.route))
	{
		snprintf(t->error, sizeof(t->error), "namespace %s has other keys", t->config->ns);
		return YCSB_FAILED;
	}
	st = doris_scan_open(d->client, &spec, &scan, &err);
	if (st != DORIS_OK)
		return failed(t, &err);
	while (result == YCSB_OK && got < n && (st = doris_scan_next(scan, &found, &err)) == DORIS_OK)
	{
		result = check(t, found.value);
		got++;
	}
	if (st != DORIS_OK && st != DORIS_NOT_FOUND)
		result = failed(t, &err);
	doris_scan_close(scan);
	return result == YCSB_OK && got == 0 ? YCSB_MISSING : result;
}

/* The one write of a transaction. */
typedef struct One
{
	DorisWrite write;
	bool given;
} One;

static DorisStatus one_next(void *arg, DorisWrite *out, DorisError *err)
{
	One *one = arg;

	(void) err;
	if (one->given)
		return DORIS_NOT_FOUND;
	one->given = true;
	*out = one->write;
	return DORIS_OK;
}

static DorisStatus one_rewind(void *arg, DorisError *err)
{
	(void) err;
	((One *) arg)->given = false;
	return DORIS_OK;
}

static YcsbResult doris_modify(YcsbTarget *t, uint64_t row)
{
	Doris *d = t->own;

	for (;;)
	{
		One one = {.write = {.ns = d->ns.id, .kind = WRITE_UPDATE}};
		DorisWriteSource source = {.arg = &one, .next = one_next, .rewind = one_rewind};
		DorisWrite *w = &one.write;
		DorisCommitResult result;
		DorisError err;
		DorisStatus st;
		size_t key_end;
		YcsbResult there;

		buf_reset(&d->buf);
		put_key(t, row, &d->buf);
		key_end = d->buf.len;
		put_value(t, &d->buf);
		w->key = (DorisBytes){d->buf.data, key_end};
		w->value = (DorisBytes){d->buf.data + key_end, d->buf.len - key_end};
		if (!nsdef_route_key(&d->ns, w->key, &w->route))
		{
			snprintf(t->error, sizeof(t->error), "namespace %s has other keys", t->config->ns);
			return YCSB_FAILED;
		}
		there = get(t, w->key, &w->base);
		if (there != YCSB_OK)
			return there;
		st = doris_commit(d->client, &source, &result, &err);
		if (st == DORIS_OK)
			return YCSB_OK;
		if (st != DORIS_CONFLICT)
			return failed(t, &err);
		t->conflicts++;
	}
}

const YcsbDriver ycsb_doris = {"doris",	  doris_open, doris_close, doris_read,
							   doris_put, doris_scan, doris_modify};
