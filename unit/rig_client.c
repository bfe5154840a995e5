/*
 * rig_client.c: what a child of the rig does as a client: its connection, rows of the rig's namespace, copies compared; see rig.h.
 */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "row.h"

DorisClient *rig_connect(Rig *r, int deadline_ms)
{
	DorisOptions o = {.hosts = r->hosts, .deadline_ms = deadline_ms};
	DorisClient *c;
	DorisError err;

	RIG_CHECK(doris_connect(&o, &c, &err) == DORIS_OK, "%s", err.message);
	return c;
}

const NsDef *rig_ns(DorisClient *c)
{
	static NsDef def;
	DorisError err;

	if (def.id == 0)
		RIG_CHECK(doris_namespace(c, "t", &def, &err) == DORIS_OK, "%s", err.message);
	return &def;
}

DorisBytes rig_key(const char *text)
{
	static uint8_t keys[16][300];
	static int turn;
	uint8_t *k = keys[turn++ & 15];
	size_t n = strlen(text);

	memcpy(k, text, n);
	k[n] = 0;
	k[n + 1] = 1;
	return (DorisBytes){k, n + 2};
}

DorisBytes rig_value(const char *text)
{
	static DorisBuf values[16];
	static int turn;
	DorisBuf *v = &values[turn++ & 15];

	buf_reset(v);
	row_put(v, RIG_COLUMN, text, strlen(text));
	return (DorisBytes){v->data, v->len};
}

const char *rig_text(DorisBytes value)
{
	static char text[512];
	DorisBytes data;

	text[0] = '\0';
	if (row_column(value, RIG_COLUMN, &data))
		snprintf(text, sizeof(text), "%.*s", (int) data.len, (const char *) data.data);
	return text;
}

typedef struct ArraySource
{
	const DorisWrite *writes;
	uint32_t n;
	uint32_t at;
} ArraySource;

static DorisStatus array_next(void *arg, DorisWrite *out, DorisError *err)
{
	ArraySource *s = arg;

	(void) err;
	if (s->at == s->n)
		return DORIS_NOT_FOUND;
	*out = s->writes[s->at++];
	return DORIS_OK;
}

static DorisStatus array_rewind(void *arg, DorisError *err)
{
	(void) err;
	((ArraySource *) arg)->at = 0;
	return DORIS_OK;
}

DorisStatus rig_commit(DorisClient *c, const DorisWrite *writes, uint32_t n,
					   DorisCommitResult *result, DorisError *err)
{
	ArraySource s = {.writes = writes, .n = n};
	DorisWriteSource source = {.arg = &s, .next = array_next, .rewind = array_rewind};

	return doris_commit(c, &source, result, err);
}

DorisWrite rig_write(WriteKind kind, const char *key, const char *value, DorisVersion base)
{
	DorisWrite w = {.ns = RIG_NS, .kind = kind, .key = rig_key(key), .base = base};

	w.route = w.key;
	if (value != NULL)
		w.value = rig_value(value);
	return w;
}

DorisStatus rig_read(DorisClient *c, const char *key, char *out, size_t size, DorisVersion *version,
					 DorisError *err)
{
	DorisBytes k = rig_key(key);
	DorisRows *rows;
	const DorisRow *row;
	uint32_t n;
	DorisStatus st = doris_get(c, rig_ns(c), &k, 1, NULL, &rows, err);

	out[0] = '\0';
	if (st != DORIS_OK)
		return st;
	row = doris_rows(rows, &n);
	if (version != NULL)
		*version = row->version;
	if (row->found)
		snprintf(out, size, "%s", rig_text(row->value));
	st = row->found ? DORIS_OK : DORIS_NOT_FOUND;
	doris_rows_free(rows);
	return st;
}

bool rig_copies_equal(DorisClient *c, bool nothing_staged)
{
	Topology *t = doris_topology(c);
	uint32_t v;
	bool equal = true;

	for (v = 0; v < t->vnodes && equal; v++)
	{
		uint32_t g;
		VnodeDigest first;

		for (g = 1; g <= t->groups; g++)
		{
			DigestReply reply;
			DorisError err;
			uint32_t owner = topology_copy(t, g, v)->owner;

			RIG_CHECK(doris_digest(c, owner, 0, &v, 1, &reply, &err) == DORIS_OK, "%s",
					  err.message);
			RIG_CHECK(reply.n == 1, "%u digests", reply.n);
			if (g == 1)
				first = reply.vnodes[0];
			if (reply.vnodes[0].digest != first.digest || reply.vnodes[0].rows != first.rows ||
				(nothing_staged && reply.vnodes[0].staged > 0))
			{
				fprintf(stderr, "vnode %u group %u: rows %llu, %llu; staged %llu\n", v, g,
						(unsigned long long) first.rows, (unsigned long long) reply.vnodes[0].rows,
						(unsigned long long) reply.vnodes[0].staged);
				equal = false;
			}
			digest_reply_free(&reply);
		}
	}
	topology_unref(t);
	return equal;
}

uint64_t rig_count(DorisClient *c)
{
	DorisScanSpec spec = {.ns = rig_ns(c)};
	uint64_t n;
	DorisError err;

	RIG_CHECK(doris_count(c, &spec, &n, &err) == DORIS_OK, "%s", err.message);
	return n;
}
