/* links: wire */
/*
 * test_wire_filter.c: filters: comparisons, SQL's three values, and programs that must not get in.
 */
#include "test_wire.h"

#include "filter.h"
#include "row.h"

#define TENANT "\x80\0\0\x07"
#define SEQ "\x80\0\0\0\0\0\0\x01"

static NsDef def;	   /* key: tenant(1) name(2) seq(3); value: note(5) amount(7) */
static DorisBuf steps; /* of the program being built */
static DorisBuf row;   /* note = "hello", amount NULL */
static DorisBytes key;

static int setup(void **state)
{
	(void) state;
	def = sample_nsdef(1, "orders");
	buf_init(&steps);
	buf_init(&row);
	row_put(&row, 5, "hello", 5);
	key = BYTES(TENANT "bob\0\x01" SEQ);
	return 0;
}

static int teardown(void **state)
{
	(void) state;
	nsdef_free(&def);
	buf_free(&steps);
	buf_free(&row);
	return 0;
}

static DorisStatus decode(uint32_t nsteps, Filter **f, uint8_t **memory)
{
	DorisBuf program;
	DorisError err;
	DorisStatus status;

	buf_init(&program);
	filter_finish(&program, nsteps, &steps);
	*memory = exact_copy(program.data, program.len);
	status = filter_decode((DorisBytes){*memory, program.len}, &def, f, &err);
	buf_free(&program);
	buf_reset(&steps);
	return status;
}

/* Does the row pass the program of nsteps built in `steps`? */
static bool passes_row(uint32_t nsteps, DorisBytes k, DorisBytes value)
{
	Filter *f;
	uint8_t *memory;
	bool pass;

	assert_int_equal(decode(nsteps, &f, &memory), DORIS_OK);
	assert_non_null(f);
	pass = filter_pass(f, &def, k, value);
	filter_free(f);
	free(memory);
	return pass;
}

static bool passes(uint32_t nsteps)
{
	return passes_row(nsteps, key, (DorisBytes){row.data, row.len});
}

static void expect_malformed(uint32_t nsteps)
{
	Filter *f;
	uint8_t *memory;

	assert_int_equal(decode(nsteps, &f, &memory), DORIS_BAD_MESSAGE);
	assert_null(f);
	free(memory);
}

static void no_filter_passes_all(void **state)
{
	Filter *f = (Filter *) 1;
	DorisError err;

	(void) state;
	assert_int_equal(filter_decode((DorisBytes){0}, &def, &f, &err), DORIS_OK);
	assert_null(f);
	assert_true(filter_pass(NULL, &def, key, (DorisBytes){0}));
	filter_free(NULL);
}

static void comparisons_are_bytewise(void **state)
{
	static const struct
	{
		FilterOp op;
		bool below, same, above; /* hello against jelly, hello, goodbye */
	} cases[] = {{FILTER_EQ, false, true, false}, {FILTER_NE, true, false, true},
				 {FILTER_LT, true, false, false}, {FILTER_LE, true, true, false},
				 {FILTER_GT, false, false, true}, {FILTER_GE, false, true, true}};

	(void) state;
	for (int i = 0; i < 6; i++)
	{
		filter_put_compare(&steps, cases[i].op, 5, "jelly", 5);
		assert_int_equal(passes(1), cases[i].below);
		filter_put_compare(&steps, cases[i].op, 5, "hello", 5);
		assert_int_equal(passes(1), cases[i].same);
		filter_put_compare(&steps, cases[i].op, 5, "goodbye", 7);
		assert_int_equal(passes(1), cases[i].above);
	}
}

static void key_columns_are_segments(void **state)
{
	(void) state;
	filter_put_compare(&steps, FILTER_EQ, 1, TENANT, 4);
	assert_true(passes(1));
	filter_put_compare(&steps, FILTER_EQ, 2, "bob\0\x01", 5);
	assert_true(passes(1));
	filter_put_compare(&steps, FILTER_LT, 3, "\x80\0\0\0\0\0\0\x02", 8);
	assert_true(passes(1));
	filter_put_is_null(&steps, 2);
	assert_false(passes(1));
}

static void put_truth(int truth) /* 0 false, 1 true, 2 unknown: one step each */
{
	if (truth == 2)
		filter_put_compare(&steps, FILTER_EQ, 7, "x", 1); /* amount is NULL */
	else if (truth == 1)
		filter_put_op(&steps, FILTER_TRUE);
	else
		filter_put_is_null(&steps, 5);
}

/* passes(x) tells true from the rest; passes(NOT x) false from the rest. */
static int truth_of(FilterOp op, int a, int b, int n)
{
	for (int negated = 0; negated < 2; negated++)
	{
		put_truth(a);
		if (n == 2)
			put_truth(b);
		if (op != 0)
			filter_put_op(&steps, op);
		if (negated)
			filter_put_op(&steps, FILTER_NOT);
		if (passes((uint32_t) (n + (op != 0) + negated)))
			return negated ? 0 : 1;
	}
	return 2;
}

static void three_values_as_in_sql(void **state)
{
	static const int and_table[3][3] = {{0, 0, 0}, {0, 1, 2}, {0, 2, 2}};
	static const int or_table[3][3] = {{0, 1, 2}, {1, 1, 1}, {2, 1, 2}};
	static const int not_table[3] = {1, 0, 2};

	(void) state;
	for (int a = 0; a < 3; a++)
	{
		assert_int_equal(truth_of(0, a, 0, 1), a);
		assert_int_equal(truth_of(FILTER_NOT, a, 0, 1), not_table[a]);
		for (int b = 0; b < 3; b++)
		{
			assert_int_equal(truth_of(FILTER_AND, a, b, 2), and_table[a][b]);
			assert_int_equal(truth_of(FILTER_OR, a, b, 2), or_table[a][b]);
		}
	}
}

static void null_makes_comparisons_unknown(void **state)
{
	(void) state;
	for (int op = FILTER_EQ; op <= FILTER_GE; op++)
	{
		filter_put_compare(&steps, (FilterOp) op, 7, "x", 1);
		assert_false(passes(1));
		filter_put_compare(&steps, (FilterOp) op, 7, "x", 1);
		filter_put_op(&steps, FILTER_NOT);
		assert_false(passes(2));
	}
	filter_put_is_null(&steps, 7);
	assert_true(passes(1));
	filter_put_is_null(&steps, 7);
	assert_true(passes_row(1, key, (DorisBytes){0})); /* no columns at all */
}

static void lists(void **state)
{
	DorisBytes constants[3] = {BYTES("abc"), BYTES("hello"), BYTES("xyz")};

	(void) state;
	filter_put_in(&steps, 5, constants, 3);
	assert_true(passes(1));
	filter_put_in(&steps, 5, constants, 1);
	assert_false(passes(1));
	filter_put_in(&steps, 7, constants, 3); /* NULL IN (...) */
	filter_put_op(&steps, FILTER_NOT);
	assert_false(passes(2));
	filter_put_in(&steps, 7, constants, 0); /* NULL IN (): false, not unknown */
	filter_put_op(&steps, FILTER_NOT);
	assert_true(passes(2));
	/* several steps with constants: each finds its own */
	filter_put_in(&steps, 5, constants, 3);
	filter_put_compare(&steps, FILTER_GT, 5, "aaa", 3);
	filter_put_op(&steps, FILTER_AND);
	filter_put_in(&steps, 2, constants, 1);
	filter_put_op(&steps, FILTER_OR);
	assert_true(passes(5));
	constants[0] = constants[1]; /* a double */
	filter_put_in(&steps, 5, constants, 2);
	expect_malformed(1);
	constants[0] = constants[2]; /* out of order */
	filter_put_in(&steps, 5, constants, 2);
	expect_malformed(1);
}

static void malformed_programs_are_refused(void **state)
{
	(void) state;
	filter_put_op(&steps, FILTER_TRUE);
	expect_malformed(0);
	expect_malformed(1); /* a step that is not there */
	filter_put_op(&steps, FILTER_TRUE);
	filter_put_op(&steps, FILTER_TRUE);
	expect_malformed(1); /* one too many in the bytes */
	filter_put_op(&steps, FILTER_TRUE);
	filter_put_op(&steps, FILTER_TRUE);
	expect_malformed(2); /* two values left */
	filter_put_op(&steps, FILTER_AND);
	expect_malformed(1);
	filter_put_op(&steps, FILTER_NOT);
	expect_malformed(1);
	filter_put_op(&steps, FILTER_TRUE);
	filter_put_op(&steps, FILTER_OR);
	expect_malformed(2);
	filter_put_op(&steps, (FilterOp) 0);
	expect_malformed(1);
	filter_put_op(&steps, (FilterOp) 13);
	expect_malformed(1);
	filter_put_compare(&steps, FILTER_EQ, 4, "x", 1); /* no such column */
	expect_malformed(1);
	filter_put_is_null(&steps, 0);
	expect_malformed(1);
	buf_put_u8(&steps, FILTER_EQ);
	buf_put_varint(&steps, 65536 + 5); /* must not wrap round to 5 */
	buf_put_bytes(&steps, "x", 1);
	expect_malformed(1);
	filter_put_compare(&steps, FILTER_EQ, 5, "hello", 5);
	steps.len--; /* a constant cut short */
	expect_malformed(1);
	buf_put_u8(&steps, FILTER_IN);
	buf_put_varint(&steps, 5);
	buf_put_varint(&steps, 1u << 30); /* more constants than bytes */
	expect_malformed(1);
}

static void limits_hold(void **state)
{
	(void) state;
	for (int i = 0; i < DORIS_FILTER_MAX_DEPTH; i++)
		filter_put_op(&steps, FILTER_TRUE);
	for (int i = 1; i < DORIS_FILTER_MAX_DEPTH; i++)
		filter_put_op(&steps, FILTER_AND);
	assert_true(passes(2 * DORIS_FILTER_MAX_DEPTH - 1));
	for (int i = 0; i <= DORIS_FILTER_MAX_DEPTH; i++)
		filter_put_op(&steps, FILTER_TRUE);
	for (int i = 0; i < DORIS_FILTER_MAX_DEPTH; i++)
		filter_put_op(&steps, FILTER_AND);
	expect_malformed(2 * DORIS_FILTER_MAX_DEPTH + 1);

	filter_put_op(&steps, FILTER_TRUE);
	for (int i = 1; i < DORIS_FILTER_MAX_OPS; i++)
		filter_put_op(&steps, FILTER_NOT);
	assert_false(passes(DORIS_FILTER_MAX_OPS));
	filter_put_op(&steps, FILTER_TRUE);
	for (int i = 0; i < DORIS_FILTER_MAX_OPS; i++)
		filter_put_op(&steps, FILTER_NOT);
	expect_malformed(DORIS_FILTER_MAX_OPS + 1);
}

static void put_many_constants(uint32_t n)
{
	buf_put_u8(&steps, FILTER_IN);
	buf_put_varint(&steps, 5);
	buf_put_varint(&steps, n);
	for (uint32_t i = 0; i < n; i++)
	{
		uint8_t c[4] = {(uint8_t) (i >> 24), (uint8_t) (i >> 16), (uint8_t) (i >> 8), (uint8_t) i};

		buf_put_bytes(&steps, c, sizeof(c));
	}
}

static void a_list_is_bounded(void **state)
{
	(void) state;
	put_many_constants(DORIS_FILTER_MAX_CONSTANTS);
	assert_false(passes(1));
	put_many_constants(DORIS_FILTER_MAX_CONSTANTS + 1);
	expect_malformed(1);
}

static void malformed_rows_do_not_pass(void **state)
{
	(void) state;
	filter_put_is_null(&steps, 7);
	assert_false(passes_row(1, key, BYTES("\x05\x09zz")));
	filter_put_is_null(&steps, 7);
	assert_false(passes_row(1, key, BYTES("\x05")));
	filter_put_compare(&steps, FILTER_NE, 2, "alice\0\x01", 7);
	assert_false(passes_row(1, BYTES(TENANT "bob"), (DorisBytes){row.data, row.len}));
	filter_put_compare(&steps, FILTER_NE, 3, "", 0);
	assert_false(passes_row(1, BYTES(TENANT "bob\0\x01\x80"), (DorisBytes){row.data, row.len}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(no_filter_passes_all, setup, teardown),
		cmocka_unit_test_setup_teardown(comparisons_are_bytewise, setup, teardown),
		cmocka_unit_test_setup_teardown(key_columns_are_segments, setup, teardown),
		cmocka_unit_test_setup_teardown(three_values_as_in_sql, setup, teardown),
		cmocka_unit_test_setup_teardown(null_makes_comparisons_unknown, setup, teardown),
		cmocka_unit_test_setup_teardown(lists, setup, teardown),
		cmocka_unit_test_setup_teardown(malformed_programs_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(limits_hold, setup, teardown),
		cmocka_unit_test_setup_teardown(a_list_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(malformed_rows_do_not_pass, setup, teardown),
	};

	return cmocka_run_group_tests_name("wire: filter", tests, NULL, NULL);
}
