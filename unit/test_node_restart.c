/* links: wire node */
/*
 * test_node_restart.c: what a home keeps over clean stops and crashes, and who may open it.
 */
#include "test_node_fixture.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static char home[FIXTURE_HOME_SIZE];

static int setup(void **state)
{
	(void) state;
	return !fixture_home_make(home);
}

static int teardown(void **state)
{
	(void) state;
	return fixture_home_remove(home);
}

static void test_clean_stop(void **state)
{
	Fixture f;
	uint8_t home_id[DORIS_UUID_SIZE];
	uint64_t stamp;
	DorisTxnId held;
	DorisTxnId refused;
	Heartbeat beat = {.term = 9, .node = 1};
	NodeReport report;

	(void) state;
	fixture_open_on(&f, &store_wiredtiger, home, true);
	memcpy(home_id, f.node->identity.home, sizeof(home_id));
	memcpy(beat.cluster, f.topo->cluster, DORIS_UUID_SIZE);
	(void) put_row(&f, 1, "a", "one");
	(void) put_row(&f, 2, "b", "two");
	stamp = stamp_now(&f);
	held = txn_of(stamp, 1);
	refused = txn_of(stamp, 2);
	assert_int_equal(stage_one(&f, held, stamp, 3, "c", WRITE_INSERT, no_version, "three"), 0);
	assert_int_equal(outcome(&f, refused, 3, true), OUTCOME_REFUSED);
	assert_int_equal(control_heartbeat(&f.w, &beat, &report, &f.err), DORIS_OK);
	fixture_close(&f);

	fixture_open_on(&f, &store_wiredtiger, home, false);
	assert_false(f.node->recount);
	assert_memory_equal(f.node->identity.home, home_id, sizeof(home_id));
	assert_int_equal(f.node->identity.node, 1);
	assert_int_equal(atomic_load(&f.node->epoch), 1);
	assert_int_equal(rows_counted(&f), 2);
	assert_int_equal(atomic_load(&f.node->staged), 1);
	assert_true(stamp_now(&f) > stamp); /* also with the clock set back: the ceiling */
	assert_true(clock_ms_of(stamp_now(&f)) >=
				clock_ms_of(atomic_load(&f.node->ceiling)) - 2 * NODE_CEILING_AHEAD_MS);
	assert_string_equal(get(&f, 1, "a").value, "one");
	assert_int_equal(outcome(&f, held, 3, false), OUTCOME_HELD);
	assert_int_equal(outcome(&f, refused, 3, false), OUTCOME_REFUSED);
	beat.term = 8;
	assert_int_equal(control_heartbeat(&f.w, &beat, &report, &f.err), DORIS_NOT_LEADER);
	assert_int_equal(finish(&f, 0, held, true, 3), FINISHED);
	assert_int_equal(rows_counted(&f), 3);
	fixture_close(&f);
}

static void test_crash(void **state)
{
	Fixture f;
	pid_t pid;
	int status;

	(void) state;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
	{
		fixture_open_on(&f, &store_wiredtiger, home, true);
		(void) put_row(&f, 1, "a", "one");
		(void) put_row(&f, 2, "b", "two");
		if (commit_flush_all(&f.w, &f.err) != DORIS_OK)
			_exit(1);
		(void) kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	fixture_open_on(&f, &store_wiredtiger, home, false);
	assert_true(f.node->recount);
	assert_string_equal(get(&f, 1, "a").value, "one");
	assert_string_equal(get(&f, 2, "b").value, "two");
	assert_int_equal(rows_counted(&f), 0);
	for (uint32_t v = 0; v < VNODES; v++)
	{
		if (atomic_load(&f.node->tables[v]) == TABLE_READY)
			assert_int_equal(counters_recount(&f.w, v, &f.err), DORIS_OK);
	}
	assert_int_equal(rows_counted(&f), 2);
	fixture_close(&f);
}

static void test_dropped_while_down(void **state)
{
	Fixture f;
	Topology *next;
	bool there;

	(void) state;
	fixture_open_on(&f, &store_wiredtiger, home, true);
	(void) put_row(&f, 1, "a", "one");
	next = fixture_next(&f);
	topology_copy(next, 1, 1)->owner = 3;
	topology_copy(next, 1, 1)->changed = 2;
	next->namespaces[0].id = NS + 1;
	next->next_namespace_id = NS + 2;
	assert_int_equal(fixture_take(&f, next), DORIS_OK);
	topology_unref(next);
	fixture_close(&f);
	/* stopped before it was cleared: it is still known as a leftover */
	fixture_open_on(&f, &store_wiredtiger, home, false);
	assert_int_equal(atomic_load(&f.node->tables[1]), TABLE_DROP);
	assert_int_equal(tables_settle(&f.w, 0, &f.err), DORIS_OK);
	assert_int_equal(f.node->driver->exists(f.w.ss, 1, &there, &f.err), DORIS_OK);
	assert_false(there);
	assert_int_equal(background_purge(&f.w, &f.err), DORIS_OK);
	assert_int_equal(rows_counted(&f), 0);
	/* a file whose maker died before anything said that it is in use */
	assert_int_equal(f.node->driver->create(f.w.ss, 1, &f.err), DORIS_OK);
	fixture_close(&f);
	fixture_open_on(&f, &store_wiredtiger, home, false);
	assert_int_equal(tables_settle(&f.w, 0, &f.err), DORIS_OK);
	assert_int_equal(f.node->driver->exists(f.w.ss, 1, &there, &f.err), DORIS_OK);
	assert_false(there);
	fixture_close(&f);
}

static void test_one_node_per_home(void **state)
{
	Fixture f;
	Node *other = calloc(1, sizeof(*other));
	Config config = fixture_config(home);
	DorisError err = {0};

	(void) state;
	assert_non_null(other);
	fixture_open_on(&f, &store_wiredtiger, home, true);
	assert_int_equal(node_open(other, &config, &store_wiredtiger, &err), DORIS_UNAVAILABLE);
	assert_non_null(strstr(err.message, "in use by another node"));
	node_close(other, false);
	fixture_close(&f);
	/* and under its own name only */
	(void) snprintf(config.name, sizeof(config.name), "n2");
	assert_int_equal(node_open(other, &config, &store_wiredtiger, &err), DORIS_DENIED);
	assert_non_null(strstr(err.message, "n1"));
	node_close(other, false);
	free(other);
}

static void heard(Fixture *f)
{
	Heartbeat beat = {.term = 9, .node = 1};
	NodeReport report;

	memcpy(beat.cluster, f->topo->cluster, DORIS_UUID_SIZE);
	assert_int_equal(control_heartbeat(&f->w, &beat, &report, &f->err), DORIS_OK);
	node_report_free(&report);
	background_watch_clock(&f->w);
}

/*
 * The clock starts at its ceiling, each time 10 s further ahead of the time of day. The horizon must not go with it: a node that
 * has crashed a hundred times in a row would take new transactions for long forgotten ones.
 */
static void test_horizon_after_many_starts(void **state)
{
	const uint64_t span = (uint64_t) fixture_config(home).memory_minutes * 60000;
	Fixture f;
	uint64_t horizon;

	(void) state;
	fixture_open_on(&f, &store_wiredtiger, home, true);
	background_watch_clock(&f.w);
	assert_int_equal(atomic_load(&f.node->horizon_ms), 0); /* no leader has taken this clock yet */
	heard(&f);
	horizon = atomic_load(&f.node->horizon_ms);
	assert_in_range(clock_wall_ms() - span - horizon, 0, 5000);
	for (int i = 0; i < 5; i++)
	{
		fixture_close(&f);
		fixture_open_on(&f, &store_wiredtiger, home, false);
		/* known from the start, before anybody is heard: what is behind it may have been forgotten */
		assert_true(atomic_load(&f.node->horizon_ms) >= horizon);
		clock_observe(&f.node->clock, stamp_now(&f) + ((uint64_t) 60000 << 16));
		heard(&f);
		assert_true(atomic_load(&f.node->horizon_ms) >= horizon);
		horizon = atomic_load(&f.node->horizon_ms);
		assert_true(horizon <= clock_wall_ms() - span + NODE_CEILING_AHEAD_MS);
	}
	assert_true(clock_ms_of(stamp_now(&f)) > clock_wall_ms() + 240000);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_clean_stop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crash, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dropped_while_down, setup, teardown),
		cmocka_unit_test_setup_teardown(test_horizon_after_many_starts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_node_per_home, setup, teardown),
	};

	return cmocka_run_group_tests_name("restart", tests, NULL, NULL);
}
