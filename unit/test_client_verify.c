/* links: client rig */
/*
 * test_client_verify.c: doris_verify: finds and repairs what differs between copies, finds nothing under load, and says "unknown" of
 * what it cannot ask.
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
#include "rig.h"

#define VNODES 16
#define ROWS 400
#define LOAD_S 6

static const DorisVersion none = {0, 0};

static Rig *the_rig(void **state)
{
	return *state;
}

static int child_fill(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 10000);

	(void) arg;
	for (int i = 0; i < ROWS; i++)
	{
		char key[32];
		DorisWrite w;
		DorisCommitResult result;
		DorisError err;

		snprintf(key, sizeof(key), "row-%d", i);
		w = rig_write(WRITE_INSERT, key, "x", none);
		RIG_CHECK(rig_commit(c, &w, 1, &result, &err) == DORIS_OK, "%s", err.message);
	}
	doris_disconnect(c);
	return 0;
}

static int up(void **state)
{
	Rig *r = rig_up(2, 2, VNODES);

	*state = r;
	return rig_run(r, child_fill, NULL);
}

static int down(void **state)
{
	rig_down(*state);
	return 0;
}

/* ---- for the children ---- */

/* What all vnodes come to. */
typedef struct Sum
{
	uint32_t verdicts[DORIS_COPIES_UNKNOWN + 1];
	uint64_t rows;
	uint64_t different;
	uint64_t repaired;
	char why[256];
} Sum;

static Sum verify(DorisClient *c, bool repair)
{
	DorisVnodeCheck checks[VNODES];
	uint32_t vnodes[VNODES];
	DorisError err;
	Sum s = {.rows = 0};

	for (uint32_t v = 0; v < VNODES; v++)
		vnodes[v] = v;
	RIG_CHECK(doris_verify(c, 0, vnodes, VNODES, repair, checks, &err) == DORIS_OK, "%s",
			  err.message);
	for (uint32_t v = 0; v < VNODES; v++)
	{
		RIG_CHECK(checks[v].vnode == v && checks[v].verdict != 0, "vnode %u", v);
		s.verdicts[checks[v].verdict]++;
		s.rows += checks[v].rows;
		s.different += checks[v].different;
		s.repaired += checks[v].repaired;
		if (checks[v].why[0] != '\0')
			strcpy(s.why, checks[v].why);
	}
	return s;
}

/* As a repair would, to the copy of one group only. value NULL: a tombstone. */
static void corrupt(DorisClient *c, const char *key, const char *value, DorisVersion version,
					uint32_t group)
{
	DorisWrite w = rig_write(WRITE_PUT, key, value == NULL ? "" : value, none);
	uint32_t vnode = route_vnode(w.route, VNODES);
	ApplyRow row = {.at = {.space = DORIS_SPACE_ROWS, .ns = RIG_NS, .vnode = vnode, .key = w.key},
					.deleted = value == NULL,
					.version = version};
	ApplyRequest req = {.nrows = 1, .rows = &row};
	const TopoNode *node = topology_node(c->topo, topology_copy(c->topo, group, vnode)->owner);
	Call call;
	DorisError err;

	if (value != NULL)
		row.value = w.value;
	client_begin(c);
	call_init(&call);
	apply_request_encode(&call.body, &req);
	RIG_CHECK(call_run(c, &call, peer_of_node(c, node), MSG_APPLY, c->topo, c->until, &err) ==
				  DORIS_OK,
			  "%s", err.message);
	call_free(c, &call);
}

static void expect(DorisClient *c, const char *key, const char *value)
{
	for (uint32_t group = 1; group <= 2; group++)
	{
		char text[200];
		DorisError err;
		DorisStatus st;

		doris_set_read_group(c, group);
		st = rig_read(c, key, text, sizeof(text), NULL, &err);
		RIG_CHECK(st == (value == NULL ? DORIS_NOT_FOUND : DORIS_OK), "%s in group %u: %s", key,
				  group, doris_status_name(st));
		RIG_CHECK(value == NULL || strcmp(text, value) == 0, "%s is \"%s\" in group %u", key, text,
				  group);
	}
	doris_set_read_group(c, 0);
}

static int child_repairs(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 20000);
	DorisVersion version;
	char text[100];
	DorisError err;
	Sum s = verify(c, false);

	(void) arg;
	RIG_CHECK(s.verdicts[DORIS_COPIES_EQUAL] == VNODES, "%u vnodes are equal",
			  s.verdicts[DORIS_COPIES_EQUAL]);
	RIG_CHECK(s.rows == ROWS, "%llu rows", (unsigned long long) s.rows);

	/* a newer value, a newer deletion, a row that only one has, another value of the same version, an older one */
	corrupt(c, "row-1", "newer", client_version(c), 2);
	corrupt(c, "row-2", NULL, client_version(c), 1);
	corrupt(c, "only", "one", client_version(c), 2);
	RIG_CHECK(rig_read(c, "row-3", text, sizeof(text), &version, &err) == DORIS_OK, "%s",
			  err.message);
	corrupt(c, "row-3", "yyy", version, 1);
	corrupt(c, "row-4", "old", (DorisVersion){1, 1}, 1);
	s = verify(c, false);
	RIG_CHECK(s.different == 4 && s.repaired == 0, "%llu rows differ",
			  (unsigned long long) s.different);
	RIG_CHECK(s.verdicts[DORIS_COPIES_UNKNOWN] + s.verdicts[DORIS_COPIES_UNSETTLED] == 0, "%s",
			  s.why);
	s = verify(c, true);
	RIG_CHECK(s.different == 4 && s.repaired == 4, "%llu of %llu repaired",
			  (unsigned long long) s.repaired, (unsigned long long) s.different);
	s = verify(c, true);
	RIG_CHECK(s.verdicts[DORIS_COPIES_EQUAL] == VNODES, "%u vnodes are equal",
			  s.verdicts[DORIS_COPIES_EQUAL]);
	expect(c, "row-1", "newer");
	expect(c, "row-2", NULL);
	expect(c, "only", "one");
	expect(c, "row-3", "yyy");
	expect(c, "row-4", "x");
	doris_disconnect(c);
	return 0;
}

/* Many rows of a vnode at once, more than are looked at together; from long ago, so that nothing is waited for. */
static int child_many(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 60000);
	uint64_t began = clock_mono_ms();
	Sum s;

	(void) arg;
	for (int i = 0; i < 6000; i++)
	{
		char key[32];

		snprintf(key, sizeof(key), "many-%d", i);
		corrupt(c, key, "one", (DorisVersion){(clock_wall_ms() - 3600000) << 16, 7},
				1 + (uint32_t) i % 2);
	}
	began = clock_mono_ms();
	s = verify(c, true);
	RIG_CHECK(s.different == 6000 && s.repaired == 6000, "%llu of %llu repaired",
			  (unsigned long long) s.repaired, (unsigned long long) s.different);
	printf("6000 rows found and repaired in %llu ms\n",
		   (unsigned long long) (clock_mono_ms() - began));
	s = verify(c, false);
	RIG_CHECK(s.verdicts[DORIS_COPIES_EQUAL] == VNODES, "%u vnodes are equal",
			  s.verdicts[DORIS_COPIES_EQUAL]);
	doris_disconnect(c);
	return 0;
}

/* Transactions and plain writes, on few rows that are hot and on many. */
static int child_load(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 20000);
	uint64_t until = clock_mono_ms() + LOAD_S * 1000;
	int kind = *(int *) arg;
	int n = 0;

	srand((unsigned) getpid());
	while (clock_mono_ms() < until)
	{
		DorisWrite w[3];
		DorisError err;
		char key[32];
		char value[32];
		int rows = kind == 2 ? 3 : 1;

		snprintf(value, sizeof(value), "v%d-%d", kind, n++);
		for (int i = 0; i < rows; i++)
		{
			snprintf(key, sizeof(key), "%s-%d", kind == 0 ? "plain" : "hot",
					 rand() % (n % 2 == 0 ? 3 : 200));
			w[i] = rig_write(WRITE_PUT, key, value, none);
			if (kind > 0)
			{
				char text[100];
				DorisStatus st = rig_read(c, key, text, sizeof(text), &w[i].base, &err);

				RIG_CHECK(st == DORIS_OK || st == DORIS_NOT_FOUND, "%s", err.message);
				w[i].kind = st != DORIS_OK	   ? WRITE_INSERT
							: rand() % 10 == 0 ? WRITE_DELETE
											   : WRITE_UPDATE;
			}
			else if (rand() % 10 == 0)
				w[i].kind = WRITE_DELETE;
		}
		if (kind == 0)
			RIG_CHECK(doris_apply(c, w, 1, &err) == DORIS_OK, "%s", err.message);
		else
		{
			DorisCommitResult result;
			DorisStatus st = DORIS_OK;

			/* a key may come only once in a transaction */
			if (rows == 1 ||
				(bytes_compare(w[0].key, w[1].key) != 0 && bytes_compare(w[0].key, w[2].key) != 0 &&
				 bytes_compare(w[1].key, w[2].key) != 0))
				st = rig_commit(c, w, (uint32_t) rows, &result, &err);
			RIG_CHECK(st == DORIS_OK || st == DORIS_CONFLICT || st == DORIS_DUPLICATE, "%s",
					  err.message);
		}
	}
	doris_disconnect(c);
	return 0;
}

static int child_watch(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 20000);
	uint64_t until = clock_mono_ms() + LOAD_S * 1000;
	int laps = 0;

	(void) arg;
	while (clock_mono_ms() < until)
	{
		Sum s = verify(c, laps % 2 == 1);

		RIG_CHECK(s.different == 0, "%llu rows differ", (unsigned long long) s.different);
		RIG_CHECK(s.verdicts[DORIS_COPIES_UNKNOWN] == 0, "%s", s.why);
		laps++;
	}
	printf("compared all vnodes %d times under load\n", laps);
	RIG_CHECK(laps > 0, "never");
	doris_disconnect(c);
	return 0;
}

static int child_unknown(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, *(int *) arg);
	uint64_t began = clock_mono_ms();
	Sum s = verify(c, true);

	RIG_CHECK(s.verdicts[DORIS_COPIES_UNKNOWN] == VNODES / 2, "%u vnodes are unknown",
			  s.verdicts[DORIS_COPIES_UNKNOWN]);
	RIG_CHECK(s.verdicts[DORIS_COPIES_EQUAL] == VNODES / 2, "%u vnodes are equal",
			  s.verdicts[DORIS_COPIES_EQUAL]);
	printf("unknown after %llu ms: %s\n", (unsigned long long) (clock_mono_ms() - began), s.why);
	doris_disconnect(c);
	return 0;
}

/* ---- tests ---- */

static void test_repairs(void **state)
{
	assert_int_equal(rig_run(the_rig(state), child_repairs, NULL), 0);
}

static void test_many(void **state)
{
	assert_int_equal(rig_run(the_rig(state), child_many, NULL), 0);
}

static void test_load(void **state)
{
	Rig *r = the_rig(state);
	static int kinds[] = {0, 0, 1, 1, 2};
	pid_t pids[5];
	pid_t watcher;

	for (int i = 0; i < 5; i++)
		pids[i] = rig_child(r, child_load, &kinds[i]);
	watcher = rig_child(r, child_watch, NULL);
	assert_int_equal(rig_wait(watcher), 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(rig_wait(pids[i]), 0);
}

static void test_unknown(void **state)
{
	Rig *r = the_rig(state);
	int deadline_ms = 1500;

	/* killed, and hanging, before anybody has judged it */
	rig_signal(r, 3, SIGKILL);
	assert_int_equal(rig_run(r, child_unknown, &deadline_ms), 0);
	rig_start(r, 3);
	rig_signal(r, 3, SIGSTOP);
	assert_int_equal(rig_run(r, child_unknown, &deadline_ms), 0);
	/* and after that */
	rig_set_down(r, 3, true);
	rig_publish(r, true);
	assert_int_equal(rig_run(r, child_unknown, &deadline_ms), 0);
	rig_signal(r, 3, SIGCONT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_repairs),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_unknown),
	};

	return cmocka_run_group_tests(tests, up, down);
}
