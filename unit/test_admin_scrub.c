/* links: admin client wire */
/*
 * test_admin_scrub.c: when a difference is told, which vnode comes next, and what tombstones are said to wait for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scrub.h"

#define VNODES 4

static Admin admin;
static Scrub scrub;
static ScrubVnode vnodes[VNODES];

static int setup(void **state)
{
	DorisError err;

	(void) state;
	memset(&admin, 0, sizeof(admin));
	memset(&scrub, 0, sizeof(scrub));
	memset(vnodes, 0, sizeof(vnodes));
	log_level = LOG_ERROR;
	if (admin_init(&admin, &err) != DORIS_OK)
		return 1;
	atomic_store(&admin.leader, true);
	scrub.admin = &admin;
	scrub.vnodes = vnodes;
	scrub.nvnodes = VNODES;
	return 0;
}

static int teardown(void **state)
{
	(void) state;
	admin_free(&admin);
	return 0;
}

static void note(uint32_t vnode, DorisVerdict verdict, ScrubWait wait, uint64_t tombstones,
				 uint64_t now)
{
	DorisVnodeCheck check = {.vnode = vnode,
							 .verdict = verdict,
							 .tombstones = tombstones,
							 .different = verdict == DORIS_COPIES_DIFFERENT ? 3 : 0};

	scrub_note(&scrub, &check, wait, now);
}

/* How many events of the kind wait for the database. */
static int events(const char *kind)
{
	Event list[ADMIN_MAX_EVENTS];
	int n = events_peek(&admin, list, ADMIN_MAX_EVENTS);
	int found = 0;

	for (int i = 0; i < n; i++)
		found += strcmp(list[i].kind, kind) == 0;
	return found;
}

static uint64_t stat_of(ScrubStat s)
{
	return atomic_load(&admin.scrub[s]);
}

/* Told when it survives two looks, once; and when it is gone. */
static void test_two_looks(void **state)
{
	uint32_t v;

	(void) state;
	scrub.next_at = UINT64_MAX;
	note(2, DORIS_COPIES_DIFFERENT, WAIT_NOTHING, 0, 1000);
	assert_int_equal(events("difference_found"), 0);
	assert_int_equal(stat_of(SCRUB_DIFFERENT), 0);
	assert_false(scrub_choose(&scrub, 2000, &v));
	assert_true(scrub_choose(&scrub, 20000, &v));
	assert_int_equal(v, 2);
	/* it was a write after all */
	note(2, DORIS_COPIES_EQUAL, WAIT_NOTHING, 0, 20000);
	assert_int_equal(events("difference_found") + events("difference_gone"), 0);
	assert_false(scrub_choose(&scrub, 40000, &v));

	note(2, DORIS_COPIES_DIFFERENT, WAIT_NOTHING, 0, 50000);
	/* a second look that could not be taken says nothing: neither equal nor different */
	assert_true(scrub_choose(&scrub, 60000, &v));
	note(2, DORIS_COPIES_UNKNOWN, WAIT_COPIES, 0, 60000);
	assert_int_equal(events("difference_found"), 0);
	assert_int_equal(stat_of(SCRUB_UNKNOWN), 1);
	assert_true(scrub_choose(&scrub, 70000, &v));
	assert_int_equal(v, 2);
	note(2, DORIS_COPIES_DIFFERENT, WAIT_NOTHING, 0, 70000);
	assert_int_equal(events("difference_found"), 1);
	assert_int_equal(stat_of(SCRUB_DIFFERENT), 1);
	assert_int_equal(stat_of(SCRUB_FOUND), 1);
	note(2, DORIS_COPIES_DIFFERENT, WAIT_NOTHING, 0, 90000);
	note(2, DORIS_COPIES_UNKNOWN, WAIT_NOTHING, 0, 95000);
	assert_int_equal(events("difference_found"), 1);
	assert_int_equal(events("difference_gone"), 0);
	note(2, DORIS_COPIES_EQUAL, WAIT_NOTHING, 0, 99000);
	assert_int_equal(events("difference_gone"), 1);
	assert_int_equal(stat_of(SCRUB_DIFFERENT), 0);
}

static void test_laps(void **state)
{
	uint32_t v;

	(void) state;
	for (uint32_t i = 0; i < 2 * VNODES; i++)
	{
		assert_true(scrub_choose(&scrub, 1, &v));
		assert_int_equal(v, i % VNODES);
		note(v, DORIS_COPIES_EQUAL, WAIT_NOTHING, 0, 1);
	}
	assert_int_equal(stat_of(SCRUB_LAPS), 2);
	assert_int_equal(stat_of(SCRUB_LAP_VNODES), 0);
	scrub.next_at = 100;
	assert_false(scrub_choose(&scrub, 99, &v));
	assert_true(scrub_choose(&scrub, 100, &v));
}

static void test_waits(void **state)
{
	(void) state;
	note(0, DORIS_COPIES_EQUAL, WAIT_AGE, 5, 1);
	note(1, DORIS_COPIES_EQUAL, WAIT_AGE, 7, 1);
	note(2, DORIS_COPIES_EQUAL, WAIT_HINTS, 2, 1);
	assert_int_equal(stat_of(SCRUB_TOMBSTONES_AGE), 12);
	assert_int_equal(stat_of(SCRUB_TOMBSTONES_HINTS), 2);
	/* a copy that cannot be asked: as many as were known */
	note(1, DORIS_COPIES_UNKNOWN, WAIT_COPIES, 0, 1);
	assert_int_equal(stat_of(SCRUB_TOMBSTONES_AGE), 5);
	assert_int_equal(stat_of(SCRUB_TOMBSTONES_COPIES), 7);
	note(1, DORIS_COPIES_EQUAL, WAIT_NOTHING, 7, 1);
	assert_int_equal(stat_of(SCRUB_TOMBSTONES_COPIES), 0);
	assert_int_equal(stat_of(SCRUB_TOMBSTONES_AGE), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_two_looks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_laps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waits, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
