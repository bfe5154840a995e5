/* links: wire */
/*
 * test_wire_aggregate.c: aggregates: exact sums, NULL, floats' oddities, groups, tables merged, and what must not get in.
 */
#include "test_wire.h"

#include <float.h>
#include <math.h>

#include "aggregate.h"
#include "row.h"

#define NOTE 5
#define AMOUNT 7
#define TENANT 1
#define NAME 2 /* in the key and in the value */
#define SEQ 3

static NsDef def;
static AggregateProgram *program;
static DorisError err;

static int setup(void **state)
{
	(void) state;
	def = sample_nsdef(1, "orders");
	program = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void) state;
	aggregate_free(program);
	nsdef_free(&def);
	return 0;
}

static DorisStatus decode(const void *data, size_t len)
{
	uint8_t *memory = exact_copy(data, len);
	DorisStatus st;

	aggregate_free(program);
	st = aggregate_decode((DorisBytes){memory, len}, &def, &program, &err);
	free(memory);
	return st;
}

static AggregateTable *table_of(const uint16_t *groups, uint32_t ngroups,
								const AggregateStep *steps, uint32_t nsteps)
{
	AggregateTable *t;
	DorisBuf b;

	buf_init(&b);
	aggregate_put_program(&b, groups, ngroups, steps, nsteps);
	assert_int_equal(decode(b.data, b.len), DORIS_OK);
	buf_free(&b);
	t = aggregate_table_create(program);
	assert_non_null(t);
	return t;
}

/* A table with the same content, by way of its encoding, merged in `times` times. */
static AggregateTable *merged(const AggregateTable *from, int times)
{
	AggregateTable *t = aggregate_table_create(program);
	DorisBuf b;
	uint8_t *memory;

	assert_non_null(t);
	buf_init(&b);
	aggregate_encode(from, &b);
	memory = exact_copy(b.data, b.len);
	for (int i = 0; i < times; i++)
		assert_int_equal(aggregate_merge(t, (DorisBytes){memory, b.len}, &err), DORIS_OK);
	free(memory);
	buf_free(&b);
	return t;
}

static void put_ordered(uint8_t *out, uint64_t v, int width)
{
	for (int i = 0; i < width; i++)
		out[i] = (uint8_t) (v >> (8 * (width - 1 - i)));
}

/* A row of tenant and seq, and a value column of the given bytes; NULL: none. */
static DorisStatus add(AggregateTable *t, int tenant, uint16_t column, const void *data, size_t len)
{
	uint8_t key[16];
	DorisBuf value;
	uint8_t *key_copy;
	uint8_t *value_copy;
	DorisStatus st;

	put_ordered(key, (uint64_t) tenant ^ 0x80000000u, 4);
	memcpy(key + 4, "bo\0\1", 4);
	put_ordered(key + 8, (uint64_t) tenant * 10 ^ UINT64_C(1) << 63, 8);
	buf_init(&value);
	if (data != NULL)
		row_put(&value, column, data, len);
	key_copy = exact_copy(key, sizeof(key));
	value_copy = exact_copy(value.data, value.len);
	st = aggregate_row(t, (DorisBytes){key_copy, sizeof(key)}, (DorisBytes){value_copy, value.len},
					   &err);
	free(key_copy);
	free(value_copy);
	buf_free(&value);
	return st;
}

static void add_int(AggregateTable *t, int tenant, int64_t v, int width)
{
	uint8_t data[8];

	put_ordered(data, (uint64_t) v ^ UINT64_C(1) << (8 * width - 1), width);
	assert_int_equal(add(t, tenant, AMOUNT, data, (size_t) width), DORIS_OK);
}

static void add_float8(AggregateTable *t, double v)
{
	uint8_t data[8];
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	put_ordered(data, isnan(v) ? UINT64_MAX : bits >> 63 ? ~bits : bits | UINT64_C(1) << 63, 8);
	assert_int_equal(add(t, 1, AMOUNT, data, 8), DORIS_OK);
}

static void add_float4(AggregateTable *t, float v)
{
	uint8_t data[4];
	uint32_t bits;

	memcpy(&bits, &v, sizeof(bits));
	put_ordered(data, isnan(v) ? UINT32_MAX : bits >> 31 ? ~bits : bits | UINT32_C(1) << 31, 4);
	assert_int_equal(add(t, 1, AMOUNT, data, 4), DORIS_OK);
}

static void integers_are_exact(void **state)
{
	static const AggregateStep steps[] = {
		{AGGREGATE_SUM_INT, AMOUNT}, {AGGREGATE_COUNT_ROWS, 0}, {AGGREGATE_COUNT, AMOUNT}};
	AggregateTable *t = table_of(NULL, 0, steps, 3);
	AggregateTable *twice;

	(void) state;
	/* nothing yet: a group all the same */
	assert_int_equal(aggregate_groups(t), 1);
	assert_int_equal(aggregate_state(t, 0, 0)->count, 0);
	add_int(t, 1, INT64_MAX, 8);
	add_int(t, 1, INT64_MAX, 8);
	add_int(t, 1, -5, 2);
	add_int(t, 1, INT32_MIN, 4);
	assert_int_equal(add(t, 1, AMOUNT, NULL, 0), DORIS_OK);
	assert_true(aggregate_state(t, 0, 0)->sum == (__int128) INT64_MAX * 2 - 5 + INT32_MIN);
	assert_int_equal(aggregate_state(t, 0, 0)->count, 4);
	assert_int_equal(aggregate_state(t, 0, 1)->count, 5);
	assert_int_equal(aggregate_state(t, 0, 2)->count, 4);
	twice = merged(t, 2);
	assert_true(aggregate_state(twice, 0, 0)->sum == 2 * aggregate_state(t, 0, 0)->sum);
	assert_int_equal(aggregate_state(twice, 0, 1)->count, 10);
	aggregate_table_free(twice);
	aggregate_table_free(t);
	/* below zero across 64 bits */
	t = table_of(NULL, 0, steps, 1);
	add_int(t, 1, INT64_MIN, 8);
	add_int(t, 1, INT64_MIN, 8);
	twice = merged(t, 1);
	assert_true(aggregate_state(twice, 0, 0)->sum == (__int128) INT64_MIN * 2);
	aggregate_table_free(twice);
	aggregate_table_free(t);
}

static void floats_are_postgres(void **state)
{
	static const AggregateStep eight[] = {{AGGREGATE_SUM_FLOAT8, AMOUNT}};
	static const AggregateStep four[] = {{AGGREGATE_SUM_FLOAT4, AMOUNT},
										 {AGGREGATE_SUM_FLOAT8, AMOUNT}};
	AggregateTable *t = table_of(NULL, 0, eight, 1);
	AggregateTable *twice;

	(void) state;
	add_float8(t, -0.0);
	assert_true(signbit(aggregate_state(t, 0, 0)->number));
	twice = merged(t, 1);
	assert_true(signbit(aggregate_state(twice, 0, 0)->number));
	aggregate_table_free(twice);
	add_float8(t, 1.5);
	add_float8(t, -4);
	assert_true(aggregate_state(t, 0, 0)->number == -2.5);
	add_float8(t, INFINITY);
	add_float8(t, DBL_MAX);
	assert_true(isinf(aggregate_state(t, 0, 0)->number));
	assert_false(aggregate_state(t, 0, 0)->overflowed);
	add_float8(t, -INFINITY);
	assert_true(isnan(aggregate_state(t, 0, 0)->number));
	assert_int_equal(aggregate_state(t, 0, 0)->count, 6);
	aggregate_table_free(t);
	/* finite numbers whose sum is not: here, and when tables are merged */
	t = table_of(NULL, 0, eight, 1);
	add_float8(t, DBL_MAX);
	assert_false(aggregate_state(t, 0, 0)->overflowed);
	twice = merged(t, 2);
	assert_true(aggregate_state(twice, 0, 0)->overflowed);
	aggregate_table_free(twice);
	add_float8(t, DBL_MAX);
	twice = merged(t, 1);
	assert_true(aggregate_state(twice, 0, 0)->overflowed);
	aggregate_table_free(twice);
	aggregate_table_free(t);
	/* a sum of floats is rounded to a float each time, one for an average is not */
	t = table_of(NULL, 0, four, 2);
	add_float4(t, 16777216);
	for (int i = 0; i < 4; i++)
		add_float4(t, 1);
	assert_true(aggregate_state(t, 0, 0)->number == 16777216);
	assert_true(aggregate_state(t, 0, 1)->number == 16777220);
	add_float4(t, -FLT_MAX);
	add_float4(t, -FLT_MAX);
	assert_true(aggregate_state(t, 0, 0)->overflowed);
	assert_false(aggregate_state(t, 0, 1)->overflowed);
	add_float4(t, NAN);
	assert_true(isnan(aggregate_state(t, 0, 1)->number));
	aggregate_table_free(t);
}

static void least_and_greatest(void **state)
{
	static const AggregateStep steps[] = {
		{AGGREGATE_MIN, NOTE}, {AGGREGATE_MAX, NOTE}, {AGGREGATE_MAX, SEQ}};
	static const char *const notes[] = {"m", "", "a longer note than sixteen bytes", "zz", "b"};
	AggregateTable *t = table_of(NULL, 0, steps, 3);
	AggregateTable *twice;
	const AggregateState *s;

	(void) state;
	assert_int_equal(add(t, 1, NOTE, NULL, 0), DORIS_OK);
	assert_int_equal(aggregate_state(t, 0, 0)->count, 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(add(t, i, NOTE, notes[i], strlen(notes[i])), DORIS_OK);
	twice = merged(t, 2);
	s = aggregate_state(twice, 0, 0);
	assert_int_equal(s->count, 1);
	assert_int_equal(s->best.len, 0);
	s = aggregate_state(twice, 0, 1);
	assert_int_equal(bytes_compare(s->best, BYTES("zz")), 0);
	s = aggregate_state(twice, 0, 2);
	assert_int_equal(bytes_compare(s->best, BYTES("\x80\0\0\0\0\0\0\x28")), 0);
	aggregate_table_free(twice);
	aggregate_table_free(t);
}

static void groups(void **state)
{
	static const uint16_t by[] = {AMOUNT, TENANT};
	static const AggregateStep steps[] = {{AGGREGATE_COUNT_ROWS, 0}, {AGGREGATE_SUM_INT, AMOUNT}};
	AggregateTable *t = table_of(by, 2, steps, 2);
	AggregateTable *twice;
	uint64_t nulls = 0;
	uint64_t rows = 0;
	DorisBytes data;

	(void) state;
	assert_int_equal(aggregate_groups(t), 0);
	for (int i = 0; i < 3000; i++)
		if (i % 3 == 0)
			assert_int_equal(add(t, i % 100, AMOUNT, NULL, 0), DORIS_OK);
		else
			add_int(t, i % 100, i % 7, 4);
	/* 100 with NULL, 700 without */
	assert_int_equal(aggregate_groups(t), 800);
	assert_true(aggregate_exceeds(t, 799, SIZE_MAX));
	assert_false(aggregate_exceeds(t, 800, SIZE_MAX));
	assert_true(aggregate_exceeds(t, 800, 800 * 6));
	twice = merged(t, 2);
	assert_int_equal(aggregate_groups(twice), 800);
	for (uint32_t g = 0; g < 800; g++)
	{
		const AggregateState *s = aggregate_state(twice, g, 0);

		rows += s->count;
		assert_true(aggregate_group_column(twice, g, 1, &data));
		assert_int_equal(data.len, 4);
		if (!aggregate_group_column(twice, g, 0, &data))
		{
			nulls += s->count;
			assert_int_equal(aggregate_state(twice, g, 1)->count, 0);
		}
		else
			assert_true(aggregate_state(twice, g, 1)->sum == (__int128) s->count * data.data[3]);
	}
	assert_int_equal(rows, 6000);
	assert_int_equal(nulls, 2000);
	aggregate_table_free(twice);
	aggregate_table_free(t);
	/* groups alone; a key column that is in the value as well is taken from there */
	t = table_of((const uint16_t[]){NAME}, 1, NULL, 0);
	assert_int_equal(add(t, 1, NAME, "Bob", 3), DORIS_OK);
	assert_int_equal(add(t, 1, NAME, "bob", 3), DORIS_OK);
	assert_int_equal(aggregate_groups(t), 2);
	assert_true(aggregate_group_column(t, 0, 0, &data));
	assert_int_equal(bytes_compare(data, BYTES("Bob")), 0);
	aggregate_table_free(t);
}

static void rows_that_do_not_decode(void **state)
{
	static const AggregateStep steps[] = {{AGGREGATE_SUM_INT, AMOUNT}};
	static const AggregateStep four[] = {{AGGREGATE_SUM_FLOAT4, AMOUNT}};
	static const AggregateStep from_key[] = {{AGGREGATE_MIN, SEQ}};
	AggregateTable *t = table_of(NULL, 0, steps, 1);

	(void) state;
	assert_int_equal(add(t, 1, AMOUNT, "abc", 3), DORIS_IO);
	assert_int_equal(add(t, 1, AMOUNT, "", 0), DORIS_IO);
	assert_int_equal(aggregate_row(t, BYTES(""), BYTES("\x07\x09x"), &err), DORIS_IO);
	aggregate_table_free(t);
	t = table_of(NULL, 0, four, 1);
	assert_int_equal(add(t, 1, AMOUNT, "12345678", 8), DORIS_IO);
	aggregate_table_free(t);
	t = table_of(NULL, 0, from_key, 1);
	assert_int_equal(aggregate_row(t, BYTES("\x80\0\0\1bo"), BYTES(""), &err), DORIS_IO);
	aggregate_table_free(t);
}

static void bad_programs(void **state)
{
	static const struct
	{
		const char *bytes;
		size_t len;
	} bad[] = {
		{"", 0},
		{"\0\0", 2},				 /* neither groups nor aggregates */
		{"\0\1", 2},				 /* cut off */
		{"\0\1\0", 3},				 /* no such operation */
		{"\0\1\x08\x07", 4},		 /* likewise */
		{"\0\1\x02", 3},			 /* no column */
		{"\0\1\x02\x04", 4},		 /* no such column */
		{"\1\x09\1\1", 4},			 /* likewise */
		{"\0\1\x01\x07", 4},		 /* too long */
		{"\xff\xff\xff\xff\x0f", 5}, /* more columns than bytes */
	};
	DorisBuf b;

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(decode(bad[i].bytes, bad[i].len), DORIS_BAD_MESSAGE);
	/* one too many */
	buf_init(&b);
	buf_put_varint(&b, 0);
	buf_put_varint(&b, DORIS_AGGREGATE_MAX_COLUMNS + 1);
	for (int i = 0; i <= DORIS_AGGREGATE_MAX_COLUMNS; i++)
		buf_put_u8(&b, AGGREGATE_COUNT_ROWS);
	assert_int_equal(decode(b.data, b.len), DORIS_BAD_MESSAGE);
	buf_free(&b);
}

static void bad_tables(void **state)
{
	static const uint16_t by[] = {NOTE};
	static const AggregateStep steps[] = {
		{AGGREGATE_SUM_INT, AMOUNT}, {AGGREGATE_MIN, NOTE}, {AGGREGATE_SUM_FLOAT8, AMOUNT}};
	AggregateTable *t = table_of(by, 1, steps, 1);
	DorisBuf b;

	(void) state;
	add_int(t, 1, 7, 4);
	assert_int_equal(add(t, 1, NOTE, "note", 4), DORIS_OK);
	aggregate_table_free(t);
	t = table_of(by, 1, steps, 2);
	assert_int_equal(add(t, 1, NOTE, "note", 4), DORIS_OK);
	assert_int_equal(add(t, 1, NOTE, NULL, 0), DORIS_OK);
	buf_init(&b);
	aggregate_encode(t, &b);
	for (size_t n = 0; n < b.len; n++)
	{
		AggregateTable *into = aggregate_table_create(program);
		uint8_t *memory = exact_copy(b.data, n);

		assert_int_equal(aggregate_merge(into, (DorisBytes){memory, n}, &err), DORIS_BAD_MESSAGE);
		free(memory);
		aggregate_table_free(into);
	}
	/* a count beyond what is there, a boolean that is none, something behind the end */
	assert_int_equal(aggregate_merge(t, BYTES("\xff\xff\xff\xff\x0f"), &err), DORIS_BAD_MESSAGE);
	assert_int_equal(aggregate_merge(t, BYTES("\1\2"), &err), DORIS_BAD_MESSAGE);
	buf_put_u8(&b, 0);
	assert_int_equal(aggregate_merge(t, (DorisBytes){b.data, b.len}, &err), DORIS_BAD_MESSAGE);
	buf_free(&b);
	aggregate_table_free(t);
}

/* Rows may be added by their number only where nothing else is wanted. */
static void test_only_counts(void **state)
{
	static const uint16_t group = AMOUNT;
	static const AggregateStep steps[] = {
		{AGGREGATE_COUNT_ROWS, 0}, {AGGREGATE_COUNT_ROWS, 0}, {AGGREGATE_COUNT, AMOUNT}};
	AggregateTable *t = table_of(&group, 1, steps, 1);

	(void) state;
	assert_false(aggregate_only_counts(program));
	aggregate_table_free(t);
	t = table_of(NULL, 0, steps, 3);
	assert_false(aggregate_only_counts(program));
	aggregate_table_free(t);
	t = table_of(NULL, 0, steps, 2);
	assert_true(aggregate_only_counts(program));
	assert_int_equal(add(t, 1, AMOUNT, NULL, 0), DORIS_OK);
	aggregate_add_rows(t, UINT64_C(1) << 40);
	aggregate_add_rows(t, 0);
	assert_int_equal(aggregate_groups(t), 1);
	for (uint32_t i = 0; i < 2; i++)
		assert_true(aggregate_state(t, 0, i)->count == (UINT64_C(1) << 40) + 1);
	aggregate_table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_only_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(integers_are_exact, setup, teardown),
		cmocka_unit_test_setup_teardown(floats_are_postgres, setup, teardown),
		cmocka_unit_test_setup_teardown(least_and_greatest, setup, teardown),
		cmocka_unit_test_setup_teardown(groups, setup, teardown),
		cmocka_unit_test_setup_teardown(rows_that_do_not_decode, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_programs, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_tables, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
