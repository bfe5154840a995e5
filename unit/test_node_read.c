/* links: wire node */
/*
 * test_node_read.c: GET, by direct calls on the memory store.
 */
#include "test_node_fixture.h"

#include "filter.h"

static void test_get_projection(void **state)
{
	Fixture *f = *state = &fix;
	DorisBuf value;
	DorisBuf reply;
	uint64_t c = stamp_now(f);
	KeyRef at[2] = {{DORIS_SPACE_ROWS, NS, 1, bytes_of("a")},
					{DORIS_SPACE_ROWS, NS, 2, bytes_of("b")}};
	uint16_t column = 3;
	GetRequest m = {.nkeys = 2, .keys = at, .ncolumns = 1, .columns = &column};
	GetReply got;
	DorisBytes data;
	DorisCursor cursor;
	StageRow row;

	buf_init(&value);
	buf_init(&reply);
	row_put(&value, 2, "two", 3);
	row_put(&value, 3, "three", 5);
	row = stage_row_of(1, "a", WRITE_INSERT, no_version, "");
	row.value.data = value.data;
	row.value.len = value.len;
	assert_int_equal(stage(f, 1, txn_of(c, 1), version_of(c), TXN_SINGLE, &row, 1, NULL), 0);
	assert_int_equal(finish(f, 0, txn_of(c, 1), true, 1), FINISHED);
	assert_int_equal(read_execute(&f->w, 1, &m, &reply, &f->err), DORIS_OK);
	cursor = cursor_of(reply.data, reply.len);
	assert_int_equal(get_reply_decode(&cursor, &got, &f->err), DORIS_OK);
	assert_int_equal(got.nrows, 2);
	assert_true(got.rows[0].present);
	assert_false(row_column(got.rows[0].value, 2, &data));
	assert_true(row_column(got.rows[0].value, 3, &data));
	assert_memory_equal(data.data, "three", 5);
	assert_false(got.rows[1].present);
	assert_true(version_is_none(got.rows[1].version));
	get_reply_free(&got);
	/* versions only; and a limit of bytes cuts after one row */
	m.no_values = true;
	m.max_bytes = 1;
	buf_reset(&reply);
	assert_int_equal(read_execute(&f->w, 1, &m, &reply, &f->err), DORIS_OK);
	cursor = cursor_of(reply.data, reply.len);
	assert_int_equal(get_reply_decode(&cursor, &got, &f->err), DORIS_OK);
	assert_int_equal(got.nrows, 1);
	assert_int_equal(got.rows[0].value.len, 0);
	assert_int_equal(version_compare(got.rows[0].version, version_of(c)), 0);
	get_reply_free(&got);
	buf_free(&value);
	buf_free(&reply);
}

static void put_note(Fixture *f, uint64_t nonce, const char *key, const char *note, bool finished)
{
	uint64_t c = stamp_now(f);
	StageRow row = stage_row_of(1, key, WRITE_INSERT, no_version, "");
	DorisBuf value;

	buf_init(&value);
	row_put(&value, 2, note, strlen(note));
	row_put(&value, 3, "three", 5);
	row.value.data = value.data;
	row.value.len = value.len;
	assert_int_equal(stage(f, 1, txn_of(c, nonce), version_of(c), TXN_SINGLE, &row, 1, NULL), 0);
	if (finished)
		assert_int_equal(finish(f, 0, txn_of(c, nonce), true, 1), FINISHED);
	buf_free(&value);
}

static void test_get_filter(void **state)
{
	Fixture *f = *state = &fix;
	static const char *const names[] = {"a", "b", "c", "d"};
	KeyRef at[8];
	uint16_t column = 3;
	GetRequest m = {.nkeys = 4, .keys = at, .ncolumns = 1, .columns = &column};
	uint8_t noise[] = {1, 99};
	DorisBuf steps;
	DorisBuf program;
	DorisBuf reply;
	DorisBytes data;
	DorisCursor cursor;
	GetReply got;

	for (int i = 0; i < 8; i++)
		at[i] = (KeyRef){DORIS_SPACE_ROWS, NS, 1, bytes_of(names[i % 4])};
	put_note(f, 1, "a", "yes", true);
	put_note(f, 2, "b", "no", true);
	put_note(f, 3, "c", "no", false); /* staged, no row below */
	buf_init(&steps);
	buf_init(&program);
	buf_init(&reply);
	filter_put_compare(&steps, FILTER_EQ, 2, "yes", 3);
	filter_finish(&program, 1, &steps);
	m.filter = (DorisBytes){program.data, program.len};
	/* one by one, and from 8 keys on in one snapshot */
	for (m.nkeys = 4; m.nkeys <= 8; m.nkeys += 4)
	{
		buf_reset(&reply);
		assert_int_equal(read_execute(&f->w, 1, &m, &reply, &f->err), DORIS_OK);
		cursor = cursor_of(reply.data, reply.len);
		assert_int_equal(get_reply_decode(&cursor, &got, &f->err), DORIS_OK);
		assert_int_equal(got.nrows, m.nkeys);
		for (uint32_t i = 0; i < got.nrows; i += 4)
		{
			/* judged by a column that is not sent */
			assert_true(got.rows[i].present);
			assert_false(row_column(got.rows[i].value, 2, &data));
			assert_true(row_column(got.rows[i].value, 3, &data));
			assert_false(got.rows[i + 1].present);
			assert_int_equal(got.rows[i + 1].value.len, 0);
			/* what is staged comes whole, for the asker to judge */
			assert_int_equal(got.rows[i + 2].nstaged, 1);
			assert_true(row_column(got.rows[i + 2].staged.value, 2, &data));
			assert_false(got.rows[i + 3].present);
		}
		get_reply_free(&got);
	}
	/* a filter is for rows of one namespace */
	at[1] = (KeyRef){DORIS_SPACE_DECISIONS, 0, 1, bytes_of("0123456789abcdef")};
	m.nkeys = 2;
	assert_int_equal(read_execute(&f->w, 1, &m, &reply, &f->err), DORIS_BAD_MESSAGE);
	m.nkeys = 1;
	m.filter = (DorisBytes){noise, sizeof(noise)};
	assert_int_equal(read_execute(&f->w, 1, &m, &reply, &f->err), DORIS_BAD_MESSAGE);
	buf_free(&steps);
	buf_free(&program);
	buf_free(&reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_get_projection, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_get_filter, fixture_setup, fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
