/* links: wire node */
/*
 * test_node_plain.c: plain writes by direct calls: on the memory store, and long random ones on both against a model of I4.
 */
#include "test_node_fixture.h"

#include <time.h>

static char home[FIXTURE_HOME_SIZE];

static int home_setup(void **state)
{
	(void) state;
	return !fixture_home_make(home);
}

static int home_teardown(void **state)
{
	(void) state;
	return fixture_home_remove(home);
}

static void test_plain(void **state)
{
	Fixture *f = *state = &fix;
	uint64_t c = stamp_now(f);
	DorisVersion higher;

	assert_int_equal(apply(f, true, 1, "a", false, version_of(c), "one", &higher), DORIS_OK);
	assert_true(version_is_none(higher));
	assert_true(f->w.need > 0);
	assert_string_equal(get(f, 1, "a").value, "one");
	assert_int_equal(rows_counted(f), 1);
	/* an older one is not applied, and its writer is told */
	assert_int_equal(apply(f, true, 1, "a", false, version_of(c - 5), "old", &higher), DORIS_OK);
	assert_int_equal(version_compare(higher, version_of(c)), 0);
	assert_string_equal(get(f, 1, "a").value, "one");
	/* a repair is not told */
	assert_int_equal(apply(f, false, 1, "a", false, version_of(c - 5), "old", &higher), DORIS_OK);
	assert_true(version_is_none(higher));
	/* a delete that is repeated */
	c = stamp_now(f);
	assert_int_equal(apply(f, true, 1, "a", true, version_of(c), "", &higher), DORIS_OK);
	assert_int_equal(apply(f, true, 1, "a", true, version_of(c), "", &higher), DORIS_OK);
	assert_true(version_is_none(higher));
	assert_false(get(f, 1, "a").row.present);
	assert_int_equal(rows_counted(f), 0);
}

static void test_plain_meets_staged(void **state)
{
	Fixture *f = *state = &fix;
	uint64_t before = stamp_now(f);
	uint64_t c = stamp_now(f);
	DorisTxnId t = txn_of(c, 1);
	DorisVersion higher;

	assert_int_equal(stage_one(f, t, c, 1, "a", WRITE_INSERT, no_version, "staged"), 0);
	/* below the staged one: not acknowledged (rule plain) */
	assert_int_equal(apply(f, true, 1, "a", false, version_of(before), "plain", &higher), DORIS_OK);
	assert_int_equal(version_compare(higher, version_of(c)), 0);
	assert_false(get(f, 1, "a").row.present);
	/* the staged write itself, as committed elsewhere */
	assert_int_equal(apply(f, false, 1, "a", false, version_of(c), "staged", &higher), DORIS_OK);
	assert_string_equal(get(f, 1, "a").value, "staged");
	assert_int_equal(get(f, 1, "a").row.nstaged, 0);
	assert_int_equal(outcome(f, t, 1, true), OUTCOME_COMMITTED);
	/* above a staged one: applied, and what is committed later stays below it */
	c = stamp_now(f);
	t = txn_of(c, 2);
	assert_int_equal(stage_one(f, t, c, 1, "b", WRITE_INSERT, no_version, "staged"), 0);
	assert_int_equal(apply(f, true, 1, "b", false, version_of(stamp_now(f)), "plain", &higher),
					 DORIS_OK);
	assert_true(version_is_none(higher));
	assert_int_equal(finish(f, 0, t, true, 1), FINISHED);
	assert_string_equal(get(f, 1, "b").value, "plain");
	assert_int_equal(rows_counted(f), 2);
}

static void test_plain_refusals(void **state)
{
	Fixture *f = *state = &fix;
	uint64_t far = stamp_now(f) + ((uint64_t) 60000 << 16);

	assert_int_equal(apply(f, true, 1, "a", false, version_of(far), "x", NULL), DORIS_CLOCK_AHEAD);
	assert_int_equal(apply(f, true, VNODE_FOREIGN, "a", false, version_of(1), "x", NULL),
					 DORIS_NOT_OWNER);
	assert_int_equal(apply(f, true, 1, "a", false, no_version, "x", NULL), DORIS_BAD_MESSAGE);
	/* repairs are never refused for their stamp */
	assert_int_equal(apply(f, false, 1, "a", false, version_of(far), "x", NULL), DORIS_OK);
	assert_true(stamp_now(f) > far);
	atomic_store(&f->node->disk_full, true);
	assert_int_equal(apply(f, true, 1, "a", false, version_of(stamp_now(f)), "x", NULL),
					 DORIS_DISK_FULL);
}

/* ---- many rows in a message, some of them there, some not ---- */

#define KEYS 40
#define MESSAGES 3000
#define ROWS 12

typedef struct Model
{
	bool there;
	bool deleted;
	DorisVersion version;
	char value[16];
} Model;

static unsigned seed;

static uint32_t below(uint32_t n)
{
	return (uint32_t) rand_r(&seed) % n;
}

/* I4; false: what is there stays. */
static bool model_apply(Model *k, bool deleted, DorisVersion version, const char *value)
{
	int order = k->there ? version_compare(version, k->version) : 1;

	if (order < 0 || (order == 0 && (k->deleted || (!deleted && strcmp(value, k->value) <= 0))))
		return false;
	*k = (Model){true, deleted, version, ""};
	if (!deleted)
		(void) snprintf(k->value, sizeof(k->value), "%s", value);
	return true;
}

static void model_check(Fixture *f, const Model model[KEYS])
{
	int64_t live = 0;

	for (int i = 0; i < KEYS; i++)
	{
		const Model *k = &model[i];
		char key[8];
		Seen s;

		(void) snprintf(key, sizeof(key), "k%d", i);
		s = get(f, (uint32_t) i % 4, key);
		assert_int_equal(s.row.present, k->there && !k->deleted);
		assert_int_equal(version_compare(s.row.version, k->there ? k->version : no_version), 0);
		if (s.row.present)
			assert_string_equal(s.value, k->value);
		live += s.row.present;
	}
	assert_int_equal(rows_counted(f), live);
}

/* A few new keys at first, so that a load of new rows is guessed, then meets rows that are there. */
static void many_messages(Fixture *f)
{
	static Model model[KEYS];
	uint64_t start = stamp_now(f);

	memset(model, 0, sizeof(model));
	for (int i = 0; i < MESSAGES; i++)
	{
		ApplyRow rows[ROWS];
		char keys[ROWS][8];
		char values[ROWS][16];
		DorisVersion higher[ROWS];
		ApplyRequest m = {.from_client = below(2) == 0, .nrows = 1 + below(ROWS), .rows = rows};
		uint32_t nhigher = 0;
		uint32_t keys_yet = 1 + (uint32_t) i * KEYS / MESSAGES;
		ApplyReply reply;

		for (uint32_t r = 0; r < m.nrows; r++)
		{
			uint32_t k = below(keys_yet);
			Model *known = &model[k];

			(void) snprintf(keys[r], sizeof(keys[r]), "k%u", k);
			(void) snprintf(values[r], sizeof(values[r]), "v%u", below(1000));
			rows[r] = (ApplyRow){{DORIS_SPACE_ROWS, NS, k % 4, bytes_of(keys[r])},
								 below(4) == 0,
								 version_of(stamp_now(f)),
								 bytes_of(values[r])};
			if (known->there && below(3) == 0) /* the same again, or an older one */
				rows[r].version.clock = known->version.clock - (below(2) == 0 ? 1 : 0);
			if (rows[r].version.clock <= start)
				rows[r].version.clock = start + 1;
			if (rows[r].deleted)
				rows[r].value.len = 0;
			if (known->there && m.from_client &&
				version_compare(known->version, rows[r].version) > 0)
				higher[nhigher++] = known->version;
			else
				(void) model_apply(known, rows[r].deleted, rows[r].version, values[r]);
		}
		assert_int_equal(plain_execute(&f->w, f->topo->epoch, &m, &reply, &f->err), DORIS_OK);
		assert_int_equal(reply.nhigher, nhigher);
		for (uint32_t r = 0; r < nhigher; r++)
			assert_int_equal(version_compare(reply.versions[r], higher[r]), 0);
		apply_reply_free(&reply);
		if (i % 10 == 0)
			model_check(f, model);
	}
	model_check(f, model);
}

static void test_many(void **state)
{
	const char *given = getenv("DORIS_SEED");

	(void) state;
	seed = given != NULL ? (unsigned) strtoul(given, NULL, 10) : (unsigned) time(NULL);
	print_message("DORIS_SEED=%u\n", seed);
	fixture_open(&fix);
	many_messages(&fix);
	fixture_close(&fix);
	fixture_open_on(&fix, &store_wiredtiger, home, true);
	many_messages(&fix);
	fixture_close(&fix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_plain, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_plain_meets_staged, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_plain_refusals, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_many, home_setup, home_teardown),
	};

	return cmocka_run_group_tests_name("plain", tests, NULL, NULL);
}
