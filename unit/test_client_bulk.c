/* links: client rig */
/*
 * test_client_bulk.c: much at once through libdoris: commits and plain writes of many messages, big values, scans with filter,
 * projection and range, scans that lose a node in the middle, copies that differ and are brought together.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "client.h"
#include "filter.h"
#include "rig.h"
#include "row.h"

#define VNODES 16
#define MANY 30000

static const DorisVersion none = {0, 0};

static Rig *the_rig(void **state)
{
	return *state;
}

static int up(void **state)
{
	*state = rig_up(2, 2, VNODES);
	return 0;
}

static int down(void **state)
{
	rig_down(*state);
	return 0;
}

static void settle(DorisClient *c)
{
	int i;

	for (i = 0; i < 5000 && c->nwork > 0; i++)
	{
		doris_pump(c);
		usleep(2000);
	}
	RIG_CHECK(c->nwork == 0, "%u items are not finished", c->nwork);
}

/* ---- a source of many rows ---- */
typedef struct ManySource
{
	int from;
	int to;
	int at;
	int fail_at; /* the source itself fails there; -1: never */
	WriteKind kind;
} ManySource;

static DorisStatus many_next(void *arg, DorisWrite *out, DorisError *err)
{
	ManySource *s = arg;
	char key[32];
	char value[128];

	if (s->at == s->to)
		return DORIS_NOT_FOUND;
	if (s->at == s->fail_at)
		return doris_error(err, DORIS_IO, "the source has failed");
	snprintf(key, sizeof(key), "many-%06d", s->at);
	snprintf(value, sizeof(value), "%06d-%080d", s->at, s->at);
	*out = rig_write(s->kind, key, value, none);
	s->at++;
	return DORIS_OK;
}

static DorisStatus many_rewind(void *arg, DorisError *err)
{
	ManySource *s = arg;

	(void) err;
	s->at = s->from;
	return DORIS_OK;
}

static DorisStatus commit_many(DorisClient *c, ManySource *s, DorisCommitResult *result,
							   DorisError *err)
{
	DorisWriteSource source = {.arg = s, .next = many_next, .rewind = many_rewind};

	s->at = s->from;
	return doris_commit(c, &source, result, err);
}

static int child_bulk(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 60000);
	ManySource s = {.from = 0, .to = MANY, .fail_at = -1, .kind = WRITE_INSERT};
	DorisCommitResult result;
	DorisError err;
	uint64_t began = clock_mono_ms();

	(void) arg;
	/* nothing stays of one whose source fails in the middle */
	s.fail_at = MANY - 5;
	RIG_CHECK(commit_many(c, &s, &result, &err) == DORIS_IO, "%s", err.message);
	RIG_CHECK(rig_count(c) == 0, "%llu rows", (unsigned long long) rig_count(c));
	s.fail_at = -1;
	RIG_CHECK(commit_many(c, &s, &result, &err) == DORIS_OK, "%s", err.message);
	fprintf(stderr, "two commits of %d rows and a count: %llu ms\n", MANY,
			(unsigned long long) (clock_mono_ms() - began));
	RIG_CHECK(rig_count(c) == MANY, "%llu rows", (unsigned long long) rig_count(c));
	/* one duplicate among many: none of the others */
	s = (ManySource){.from = MANY - 1, .to = 2 * MANY, .fail_at = -1, .kind = WRITE_INSERT};
	RIG_CHECK(commit_many(c, &s, &result, &err) == DORIS_DUPLICATE, "%s", err.message);
	RIG_CHECK(memcmp(result.key, "many-029999", 11) == 0, "%.11s", (const char *) result.key);
	RIG_CHECK(rig_count(c) == MANY, "%llu rows", (unsigned long long) rig_count(c));
	settle(c);
	RIG_CHECK(rig_copies_equal(c, true), "the copies differ");
	doris_disconnect(c);
	return 0;
}

static void test_bulk(void **state)
{
	assert_int_equal(rig_run(the_rig(state), child_bulk, NULL), 0);
}

/* ---- scans over what test_bulk left ---- */
typedef struct ScanResult
{
	int rows;
	int first;
	int last;
	uint8_t seen[MANY];
} ScanResult;

static int victim = 3;

static void scan_all(DorisClient *c, DorisScanSpec *spec, ScanResult *out, Rig *kill_one)
{
	DorisScan *s;
	DorisRow row;
	DorisError err;
	DorisStatus st;

	memset(out, 0, sizeof(*out));
	spec->ns = rig_ns(c);
	RIG_CHECK(doris_scan_open(c, spec, &s, &err) == DORIS_OK, "%s", err.message);
	while ((st = doris_scan_next(s, &row, &err)) == DORIS_OK)
	{
		int i = atoi((const char *) row.key.data + 5);

		RIG_CHECK(row.key.len == 13 && memcmp(row.key.data, "many-", 5) == 0 && i >= 0 && i < MANY,
				  "%.5s", (const char *) row.key.data);
		RIG_CHECK(out->seen[i] == 0, "row %d comes twice", i);
		out->seen[i] = 1;
		RIG_CHECK(spec->order == DORIS_ANY_ORDER || out->rows == 0 ||
					  (spec->order == DORIS_KEY_ORDER ? i > out->last : i < out->last),
				  "row %d comes after row %d", i, out->last);
		if (out->rows == 0)
			out->first = i;
		out->last = i;
		if (spec->columns == NULL)
			RIG_CHECK(atoi(rig_text(row.value)) == i, "row %d has \"%s\"", i, rig_text(row.value));
		else
			RIG_CHECK(row.value.len == 0, "a column that was not asked for");
		out->rows++;
		if (kill_one != NULL && out->rows == MANY / 10)
			(void) kill(kill_one->pids[victim], SIGKILL);
	}
	RIG_CHECK(st == DORIS_NOT_FOUND, "%s: %s", doris_status_name(st), err.message);
	doris_scan_close(s);
}

/* A scan that makes each row a group of its own: too many for one reply of a node. */
static DorisScan *open_groups(DorisClient *c)
{
	static const uint16_t column = RIG_COLUMN;
	static const AggregateStep rows = {AGGREGATE_COUNT_ROWS, 0};
	DorisScanSpec spec = {.ns = rig_ns(c)};
	DorisScan *s;
	DorisBuf program;
	DorisError err;

	buf_init(&program);
	aggregate_put_program(&program, &column, 1, &rows, 1);
	spec.aggregate = (DorisBytes){program.data, program.len};
	RIG_CHECK(doris_scan_open(c, &spec, &s, &err) == DORIS_OK, "%s", err.message);
	buf_free(&program);
	return s;
}

/* Every row once: as many groups as rows, of one row each. */
static void check_groups(DorisScan *s)
{
	const AggregateTable *groups;
	DorisError err;

	RIG_CHECK(doris_scan_groups(s, &groups, &err) == DORIS_OK, "%s", err.message);
	RIG_CHECK(aggregate_groups(groups) == MANY, "%u groups", aggregate_groups(groups));
	for (uint32_t g = 0; g < MANY; g++)
		RIG_CHECK(aggregate_state(groups, g, 0)->count == 1, "group %u: %llu rows", g,
				  (unsigned long long) aggregate_state(groups, g, 0)->count);
	doris_scan_close(s);
}

static int child_scans(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 20000);
	ScanResult *result = malloc(sizeof(*result));
	DorisScanSpec spec = {.fetch_rows = 0};
	DorisBuf steps;
	DorisBuf program;
	uint16_t no_columns[1] = {0};
	DorisBytes low = rig_key("many-001000");
	DorisBytes high = rig_key("many-001500");
	DorisBytes one = rig_key("many-000007");
	DorisScan *scan;
	DorisRow row;
	DorisError err;
	uint64_t n;
	uint64_t bytes;

	(void) arg;
	scan_all(c, &spec, result, NULL);
	RIG_CHECK(result->rows == MANY, "%d rows", result->rows);
	/* small pages */
	spec.fetch_rows = 777;
	scan_all(c, &spec, result, NULL);
	RIG_CHECK(result->rows == MANY, "%d rows", result->rows);
	/* a range, no columns */
	spec = (DorisScanSpec){.low = low, .high = high, .columns = no_columns, .ncolumns = 0};
	scan_all(c, &spec, result, NULL);
	RIG_CHECK(result->rows == 500 && result->seen[1000] && result->seen[1499], "%d rows",
			  result->rows);
	/* one vnode, by route */
	spec = (DorisScanSpec){.route = one};
	scan_all(c, &spec, result, NULL);
	RIG_CHECK(result->rows > MANY / VNODES / 2 && result->rows < MANY / VNODES * 2 &&
				  result->seen[7],
			  "%d rows", result->rows);
	/* a filter on the value */
	buf_init(&steps);
	buf_init(&program);
	filter_put_compare(&steps, FILTER_LT, RIG_COLUMN, "000100", 6);
	filter_finish(&program, 1, &steps);
	spec = (DorisScanSpec){.filter = {program.data, program.len}};
	scan_all(c, &spec, result, NULL);
	RIG_CHECK(result->rows == 100 && result->seen[99], "%d rows", result->rows);
	spec.ns = rig_ns(c);
	RIG_CHECK(doris_count(c, &spec, &n, &err) == DORIS_OK, "%s", err.message);
	RIG_CHECK(n == 100, "%llu rows", (unsigned long long) n);
	/* closed in the middle, and the client goes on */
	spec = (DorisScanSpec){.ns = rig_ns(c)};
	RIG_CHECK(doris_scan_open(c, &spec, &scan, &err) == DORIS_OK, "%s", err.message);
	RIG_CHECK(doris_scan_next(scan, &row, &err) == DORIS_OK, "%s", err.message);
	doris_scan_close(scan);
	RIG_CHECK(rig_count(c) == MANY, "%llu rows", (unsigned long long) rig_count(c));
	RIG_CHECK(doris_estimate(c, rig_ns(c), &n, &bytes, &err) == DORIS_OK, "%s", err.message);
	RIG_CHECK(n == MANY && bytes > MANY * 90, "%llu rows, %llu bytes", (unsigned long long) n,
			  (unsigned long long) bytes);
	/* many keys at once, some of them absent */
	{
		DorisBytes keys[1000];
		char text[1000][16];
		DorisRows *rows;
		const DorisRow *got;
		uint32_t ngot;
		int i;

		for (i = 0; i < 1000; i++)
		{
			int len = snprintf(text[i], sizeof(text[i]), "many-%06d", i * 40);

			text[i][len] = 0;
			text[i][len + 1] = 1;
			keys[i] = (DorisBytes){(uint8_t *) text[i], (size_t) len + 2};
		}
		RIG_CHECK(doris_get(c, rig_ns(c), keys, 1000, NULL, &rows, &err) == DORIS_OK, "%s",
				  err.message);
		got = doris_rows(rows, &ngot);
		RIG_CHECK(ngot == 1000, "%u", ngot);
		for (i = 0; i < 1000; i++)
			RIG_CHECK(got[i].found == (i * 40 < MANY) &&
						  (!got[i].found || atoi(rig_text(got[i].value)) == i * 40),
					  "row %d", i * 40);
		doris_rows_free(rows);
	}
	check_groups(open_groups(c));
	/*
	 * A node dies in the middle: every row all the same, once. The groups' first pages are asked for before, and what the
	 * dead node had left goes on at another copy.
	 */
	scan = open_groups(c);
	spec = (DorisScanSpec){.fetch_rows = 500};
	scan_all(c, &spec, result, r);
	RIG_CHECK(result->rows == MANY, "%d rows", result->rows);
	check_groups(scan);
	free(result);
	buf_free(&steps);
	buf_free(&program);
	doris_disconnect(c);
	return 0;
}

static void test_scans(void **state)
{
	Rig *r = the_rig(state);

	assert_int_equal(rig_run(r, child_scans, NULL), 0);
	rig_signal(r, 3, SIGKILL);
	rig_start(r, 3);
}

/* ---- scans in key order ---- */
static uint64_t rows_received(DorisClient *c)
{
	uint32_t n;
	const DorisNodeCounters *counters = doris_counters(c, &n);
	uint64_t rows = 0;

	for (uint32_t i = 0; i < n; i++)
		rows += counters[i].rows;
	return rows;
}

static uint64_t requests_sent(DorisClient *c)
{
	uint32_t n;
	const DorisNodeCounters *counters = doris_counters(c, &n);
	uint64_t requests = 0;

	for (uint32_t i = 0; i < n; i++)
		requests += counters[i].requests;
	return requests;
}

static void take_some(DorisClient *c, DorisScanSpec *spec, int n, int first, int step)
{
	DorisScan *scan;
	DorisRow row;
	DorisError err;

	spec->ns = rig_ns(c);
	RIG_CHECK(doris_scan_open(c, spec, &scan, &err) == DORIS_OK, "%s", err.message);
	for (int i = 0; i < n; i++)
	{
		RIG_CHECK(doris_scan_next(scan, &row, &err) == DORIS_OK, "%s", err.message);
		if (step != 0)
			RIG_CHECK(atoi((const char *) row.key.data + 5) == first + i * step, "row %d is %.13s",
					  i, (const char *) row.key.data);
	}
	doris_scan_close(scan);
}

static int child_ordered(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 20000);
	ScanResult *result = malloc(sizeof(*result));
	DorisOrder order = *(DorisOrder *) arg;
	bool up = order == DORIS_KEY_ORDER;
	DorisScanSpec spec = {.order = order};
	DorisError err;
	DorisScan *scan;
	uint64_t before;

	scan_all(c, &spec, result, NULL);
	RIG_CHECK(result->rows == MANY && result->first == (up ? 0 : MANY - 1), "%d rows, first %d",
			  result->rows, result->first);
	/* small pages; a range; one vnode */
	spec.fetch_rows = 77;
	scan_all(c, &spec, result, NULL);
	RIG_CHECK(result->rows == MANY, "%d rows", result->rows);
	spec = (DorisScanSpec){
		.order = order, .low = rig_key("many-001000"), .high = rig_key("many-001500")};
	scan_all(c, &spec, result, NULL);
	RIG_CHECK(result->rows == 500 && result->first == (up ? 1000 : 1499), "%d rows, first %d",
			  result->rows, result->first);
	spec = (DorisScanSpec){.order = order, .route = rig_key("many-000007")};
	scan_all(c, &spec, result, NULL);
	RIG_CHECK(result->rows > MANY / VNODES / 2 && result->seen[7], "%d rows", result->rows);

	/* who takes a few does not make the nodes send many, whether they know it or not */
	spec = (DorisScanSpec){.order = order, .limit = 10};
	before = rows_received(c);
	take_some(c, &spec, 10, up ? 0 : MANY - 1, up ? 1 : -1);
	RIG_CHECK(rows_received(c) - before <= 10 * (uint64_t) r->nodes, "%llu rows for 10",
			  (unsigned long long) (rows_received(c) - before));
	spec.limit = 0;
	before = rows_received(c);
	take_some(c, &spec, 10, up ? 0 : MANY - 1, up ? 1 : -1);
	RIG_CHECK(rows_received(c) - before <= 100 * (uint64_t) r->nodes, "%llu rows for 10",
			  (unsigned long long) (rows_received(c) - before));
	spec.order = DORIS_ANY_ORDER;
	before = rows_received(c);
	take_some(c, &spec, 10, 0, 0);
	RIG_CHECK(rows_received(c) - before <= 100 * (uint64_t) r->nodes, "%llu rows for 10",
			  (unsigned long long) (rows_received(c) - before));
	/* who takes all of them asks less often */
	{
		uint64_t requests[2];

		for (int whole = 0; whole < 2; whole++)
		{
			spec = (DorisScanSpec){.order = order, .whole = whole == 1};
			requests[whole] = requests_sent(c);
			scan_all(c, &spec, result, NULL);
			requests[whole] = requests_sent(c) - requests[whole];
		}
		RIG_CHECK(requests[1] < requests[0], "%llu requests, %llu for the whole",
				  (unsigned long long) requests[0], (unsigned long long) requests[1]);
	}
	/* a limit that turns out too low is no limit */
	spec = (DorisScanSpec){.order = order, .limit = 10};
	scan_all(c, &spec, result, NULL);
	RIG_CHECK(result->rows == MANY, "%d rows", result->rows);

	/* a node dies in the middle: every row all the same, once, in its place; so it does once more */
	spec = (DorisScanSpec){.order = order, .fetch_rows = 100};
	scan_all(c, &spec, result, r);
	RIG_CHECK(result->rows == MANY, "%d rows", result->rows);
	scan_all(c, &spec, result, NULL);
	RIG_CHECK(result->rows == MANY, "%d rows", result->rows);
	/* closed before its first row */
	RIG_CHECK(doris_scan_open(c, &spec, &scan, &err) == DORIS_OK, "%s", err.message);
	doris_scan_close(scan);
	free(result);
	doris_disconnect(c);
	return 0;
}

static void test_ordered_scans(void **state)
{
	Rig *r = the_rig(state);
	DorisOrder orders[] = {DORIS_KEY_ORDER, DORIS_KEY_ORDER_BACK};

	for (int i = 0; i < 2; i++)
	{
		victim = i;
		assert_int_equal(rig_run(r, child_ordered, &orders[i]), 0);
		rig_signal(r, victim, SIGKILL);
		rig_start(r, victim);
	}
	victim = 3;
}

/* ---- staged rows in scans ---- */
static int child_leaves_staged(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 60000);
	ManySource s = {.from = 0, .to = 2000, .fail_at = -1, .kind = WRITE_PUT};
	DorisCommitResult result;
	DorisError err;
	DorisWrite w;

	(void) arg;
	/* committed, and its client dies before it has told anybody to finish */
	s = (ManySource){.from = MANY, .to = MANY + 2000, .fail_at = -1, .kind = WRITE_INSERT};
	c->nwork = 0;
	for (Peer *p = c->peers; p != NULL; p = p->next)
		p->rest_until = clock_mono_ms() + 1000000;
	RIG_CHECK(rig_count(c) == MANY, "%llu rows",
			  (unsigned long long) rig_count(c)); /* all peers are known now */
	for (Peer *p = c->peers; p != NULL; p = p->next)
		p->rest_until = clock_mono_ms() + 1000000;
	RIG_CHECK(commit_many(c, &s, &result, &err) == DORIS_OK, "%s", err.message);
	w = rig_write(WRITE_INSERT, "many-single", "x", none);
	RIG_CHECK(rig_commit(c, &w, 1, &result, &err) == DORIS_OK, "%s", err.message);
	(void) kill(getpid(), SIGKILL);
	return 1;
}

static int child_sees_staged(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 20000);
	DorisScanSpec spec = {.ns = rig_ns(c)};
	DorisScan *scan;
	DorisRow row;
	DorisError err;
	uint64_t began = clock_mono_ms();
	int n = 0;
	char text[200];

	(void) arg;
	RIG_CHECK(rig_count(c) == MANY + 2001, "%llu rows", (unsigned long long) rig_count(c));
	RIG_CHECK(doris_scan_open(c, &spec, &scan, &err) == DORIS_OK, "%s", err.message);
	while (doris_scan_next(scan, &row, &err) == DORIS_OK)
		n++;
	RIG_CHECK(err.code != DORIS_UNAVAILABLE, "%s", err.message);
	doris_scan_close(scan);
	RIG_CHECK(n == MANY + 2001, "%d rows", n);
	RIG_CHECK(rig_read(c, "many-030100", text, sizeof(text), NULL, &err) == DORIS_OK, "%s",
			  err.message);
	RIG_CHECK(clock_mono_ms() - began < 5000, "%llu ms",
			  (unsigned long long) (clock_mono_ms() - began));
	doris_disconnect(c);
	return 0;
}

static void test_staged_rows(void **state)
{
	Rig *r = the_rig(state);

	assert_int_equal(rig_run(r, child_leaves_staged, NULL), -1);
	assert_int_equal(rig_run(r, child_sees_staged, NULL), 0);
	/* the readers have helped to finish what they met */
	assert_int_equal(rig_run(r, child_sees_staged, NULL), 0);
}

/* ---- big values ---- */
static int child_big(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 30000);
	size_t size = 15u << 20;
	char *big = malloc(size + 10);
	DorisWrite w[3];
	DorisBuf value[3];
	DorisCommitResult result;
	DorisError err;
	DorisBytes key;
	DorisRows *rows;
	uint32_t n;
	int i;

	(void) arg;
	memset(big, 'b', size);
	for (i = 0; i < 3; i++)
	{
		char name[16];

		buf_init(&value[i]);
		row_put(&value[i], RIG_COLUMN, big, size - (size_t) i);
		snprintf(name, sizeof(name), "big-%d", i);
		w[i] = rig_write(WRITE_INSERT, name, NULL, none);
		w[i].value = (DorisBytes){value[i].data, value[i].len};
	}
	RIG_CHECK(rig_commit(c, w, 3, &result, &err) == DORIS_OK, "%s", err.message);
	key = rig_key("big-1");
	RIG_CHECK(doris_get(c, rig_ns(c), &key, 1, NULL, &rows, &err) == DORIS_OK, "%s", err.message);
	RIG_CHECK(doris_rows(rows, &n)[0].value.len == value[1].len, "%zu",
			  doris_rows(rows, &n)[0].value.len);
	doris_rows_free(rows);
	/* over the limit: refused, naming the key */
	free(big);
	size = (16u << 20) + 1;
	big = calloc(1, size);
	w[0] = rig_write(WRITE_INSERT, "too-big", NULL, none);
	w[0].value = (DorisBytes){(uint8_t *) big, size};
	RIG_CHECK(rig_commit(c, w, 1, &result, &err) == DORIS_TOO_BIG, "%s", err.message);
	RIG_CHECK(memcmp(result.key, "too-big", 7) == 0, "another key");
	for (i = 0; i < 3; i++)
	{
		w[i] = rig_write(WRITE_DELETE,
						 i == 0	  ? "big-0"
						 : i == 1 ? "big-1"
								  : "big-2",
						 NULL, result.version);
		buf_free(&value[i]);
	}
	free(big);
	settle(c);
	doris_disconnect(c);
	return 0;
}

static void test_big(void **state)
{
	assert_int_equal(rig_run(the_rig(state), child_big, NULL), 0);
}

/* ---- plain writes ---- */
static void expect(DorisClient *c, const char *key, const char *value)
{
	char text[200];
	DorisError err;
	DorisStatus st = rig_read(c, key, text, sizeof(text), NULL, &err);

	RIG_CHECK(st == (value == NULL ? DORIS_NOT_FOUND : DORIS_OK), "%s: %s", key,
			  doris_status_name(st));
	RIG_CHECK(value == NULL || strcmp(text, value) == 0, "%s is \"%s\"", key, text);
}

/* Writes a row to the copy of one group only, as a client that dies between two messages would. */
static void write_one_copy(DorisClient *c, const char *key, const char *value, uint32_t group)
{
	DorisWrite w = rig_write(WRITE_PUT, key, value, none);
	uint32_t vnode = route_vnode(w.route, VNODES);
	ApplyRow row = {.at = {.space = DORIS_SPACE_ROWS, .ns = RIG_NS, .vnode = vnode, .key = w.key},
					.version = client_version(c),
					.value = w.value};
	ApplyRequest req = {.from_client = true, .nrows = 1, .rows = &row};
	Call call;
	DorisError err;

	client_begin(c);
	call_init(&call);
	apply_request_encode(&call.body, &req);
	RIG_CHECK(call_run(c, &call,
					   peer_of_node(
						   c, topology_node(c->topo, topology_copy(c->topo, group, vnode)->owner)),
					   MSG_APPLY, c->topo, c->until, &err) == DORIS_OK,
			  "%s", err.message);
	call_free(c, &call);
}

static int child_plain(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 20000);
	DorisWrite *w = calloc(MANY, sizeof(*w));
	DorisError err;
	DorisCommitResult result;
	DorisVersion version;
	char text[200];
	static char keys[10000][24];
	int i;
	uint32_t g;

	(void) arg;
	for (i = 0; i < 10000; i++)
	{
		int len = snprintf(keys[i], sizeof(keys[i]), "plain-%d", i);

		keys[i][len] = 0;
		keys[i][len + 1] = 1;
		w[i] = rig_write(WRITE_PUT, "x", "plain", none);
		w[i].key = w[i].route = (DorisBytes){(uint8_t *) keys[i], (size_t) len + 2};
	}
	for (i = 0; i < 10000; i++)
		w[i].value = w[9999].value;
	RIG_CHECK(doris_apply(c, w, 10000, &err) == DORIS_OK, "%s", err.message);
	expect(c, "plain-77", "plain");
	w[0] = rig_write(WRITE_PUT, "plain-77", "again", none);
	w[1] = rig_write(WRITE_DELETE, "plain-78", NULL, none);
	RIG_CHECK(doris_apply(c, w, 2, &err) == DORIS_OK, "%s", err.message);
	expect(c, "plain-77", "again");
	expect(c, "plain-78", NULL);
	/* a clock that is behind: the row has a higher version; restamped, and above it */
	w[0] = rig_write(WRITE_PUT, "plain-79", "before", none);
	clock_observe(&c->clock, (clock_wall_ms() + 8000) << 16);
	RIG_CHECK(doris_apply(c, w, 1, &err) == DORIS_OK, "%s", err.message);
	doris_disconnect(c);
	c = rig_connect(r, 20000);
	w[0] = rig_write(WRITE_PUT, "plain-79", "after", none);
	RIG_CHECK(doris_apply(c, w, 1, &err) == DORIS_OK, "%s", err.message);
	expect(c, "plain-79", "after");

	/* repair what you read: whichever copy has it alone, a writer gets through and the copies agree */
	for (g = 1; g <= 2; g++)
	{
		char key[32];

		snprintf(key, sizeof(key), "differ-%u", g);
		w[0] = rig_write(WRITE_PUT, key, "old", none);
		RIG_CHECK(doris_apply(c, w, 1, &err) == DORIS_OK, "%s", err.message);
		write_one_copy(c, key, "alone", g);
		for (i = 0;; i++)
		{
			DorisStatus st;

			RIG_CHECK(i < 3, "never gets through");
			RIG_CHECK(rig_read(c, key, text, sizeof(text), &version, &err) == DORIS_OK, "%s",
					  err.message);
			w[0] = rig_write(WRITE_UPDATE, key, "healed", version);
			st = rig_commit(c, w, 1, &result, &err);
			RIG_CHECK(st == DORIS_OK || st == DORIS_CONFLICT, "%s: %s", doris_status_name(st),
					  err.message);
			if (st == DORIS_OK)
				break;
		}
		expect(c, key, "healed");
		/* and one that only one copy has heard of */
		snprintf(key, sizeof(key), "insert-%u", g);
		write_one_copy(c, key, "alone", g);
		w[0] = rig_write(WRITE_INSERT, key, "mine", none);
		RIG_CHECK(rig_commit(c, w, 1, &result, &err) == DORIS_DUPLICATE, "%s", err.message);
		expect(c, key, "alone");
	}
	settle(c);
	RIG_CHECK(rig_copies_equal(c, false), "the copies differ");
	free(w);
	doris_disconnect(c);
	return 0;
}

static void test_plain(void **state)
{
	assert_int_equal(rig_run(the_rig(state), child_plain, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bulk),		  cmocka_unit_test(test_scans),
		cmocka_unit_test(test_ordered_scans), cmocka_unit_test(test_staged_rows),
		cmocka_unit_test(test_big),			  cmocka_unit_test(test_plain),
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	return cmocka_run_group_tests(tests, up, down);
}
