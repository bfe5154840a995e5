/* links: client */
/*
 * test_client_progress.c: how far a plan is, in words.
 */
#include "test_wire.h"

#include "doris.h"

static const char *words(const PlanInfo *plan)
{
	static char out[512];

	doris_plan_progress(plan, 1000000, out, sizeof(out));
	return out;
}

static void running_plans_tell_rate_and_time(void **state)
{
	PlanInfo plan = {
		.state = "running", .bytes_total = 1000, .bytes_done = 425, .bytes_per_s = 85400000};

	(void) state;
	assert_string_equal(words(&plan), "42 %, 85 MB/s");
	plan.eta_ms = 1000000 + 11001;
	assert_string_equal(words(&plan), "42 %, 85 MB/s, 12 s left");
	plan.eta_ms = 1000000 + 1000 * 60 * 59;
	plan.bytes_per_s = 1260000;
	assert_string_equal(words(&plan), "42 %, 1.3 MB/s, 59 min left");
	plan.eta_ms = 1000000 + 1000ull * 3600 * 30;
	assert_string_equal(words(&plan), "42 %, 1.3 MB/s, 30 h left");
	/* should have ended already: nothing is said about it */
	plan.eta_ms = 999999;
	plan.bytes_per_s = 0;
	assert_string_equal(words(&plan), "42 %");
	assert_false(doris_plan_ended(&plan));
}

static void others_tell_why(void **state)
{
	PlanInfo plan = {.state = "waiting",
					 .vnodes_total = 4,
					 .vnodes_done = 1,
					 .bytes_per_s = 5,
					 .error = "node \"n\" is down"};

	(void) state;
	assert_string_equal(words(&plan), "25 %, waiting: node \"n\" is down");
	assert_false(doris_plan_ended(&plan));
	plan = (PlanInfo){.state = "paused", .vnodes_total = 4};
	assert_string_equal(words(&plan), "0 %, paused");
	plan = (PlanInfo){.state = "cancelled", .vnodes_total = 4, .vnodes_done = 2};
	assert_string_equal(words(&plan), "50 %, cancelled");
	assert_true(doris_plan_ended(&plan));
}

static void hundred_is_the_end(void **state)
{
	PlanInfo plan = {.state = "running",
					 .bytes_total = 10,
					 .bytes_done = 10,
					 .vnodes_total = 4,
					 .vnodes_done = 3};

	(void) state;
	assert_int_equal(doris_plan_percent(&plan), 99);
	plan.bytes_done = 11; /* estimated too low */
	assert_int_equal(doris_plan_percent(&plan), 99);
	plan = (PlanInfo){.state = "running"};
	assert_int_equal(doris_plan_percent(&plan), 0);
	plan = (PlanInfo){.state = "done"};
	assert_int_equal(doris_plan_percent(&plan), 100);
	assert_string_equal(words(&plan), "100 %, done");
	assert_true(doris_plan_ended(&plan));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(running_plans_tell_rate_and_time),
		cmocka_unit_test(others_tell_why),
		cmocka_unit_test(hundred_is_the_end),
	};

	return cmocka_run_group_tests_name("client: progress of plans", tests, NULL, NULL);
}
