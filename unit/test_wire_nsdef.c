/* links: wire */
/*
 * test_wire_nsdef.c: definitions of namespaces, the segments of keys, the columns of values.
 */
#include "test_wire.h"

#include "row.h"

static NsDef def; /* sample_nsdef: tenant 4 bytes | name escaped | seq 8 bytes; routed by tenant */

static int setup(void **state)
{
	(void) state;
	def = sample_nsdef(12, "orders");
	return 0;
}

static int teardown(void **state)
{
	(void) state;
	nsdef_free(&def);
	return 0;
}

static DorisStatus decode_bytes(const DorisBuf *b, size_t len, NsDef *out)
{
	uint8_t *data = exact_copy(b->data, len);
	DorisCursor c = cursor_of(data, len);
	DorisError err;
	DorisStatus status = nsdef_decode(&c, out, &err);

	if (status == DORIS_OK)
		assert_true(cursor_at_end(&c));
	free(data);
	return status;
}

static void a_definition_comes_back(void **state)
{
	DorisBuf b;
	DorisBuf again;
	NsDef back;

	(void) state;
	buf_init(&b);
	buf_init(&again);
	def.columns[3].dropped = true;
	nsdef_encode(&b, &def);
	assert_int_equal(decode_bytes(&b, b.len, &back), DORIS_OK);
	assert_int_equal(back.id, 12);
	assert_int_equal(back.version, 3);
	assert_string_equal(back.name, "orders");
	assert_int_equal(back.ncolumns, 5);
	assert_string_equal(back.columns[1].collation, "pg_catalog.\"C\"");
	assert_true(back.columns[1].in_value);
	assert_true(back.columns[0].not_null);
	assert_true(back.columns[3].dropped);
	assert_true(nsdef_same_shape(&def, &back));
	nsdef_encode(&again, &back);
	assert_int_equal(again.len, b.len);
	assert_memory_equal(again.data, b.data, b.len);
	nsdef_free(&back);
	for (size_t len = 0; len < b.len; len++)
		assert_int_equal(decode_bytes(&b, len, &back), DORIS_BAD_MESSAGE);
	buf_free(&b);
	buf_free(&again);
}

/* Encodes def as it stands, which is wrong in one way. */
static void expect_refused(void)
{
	DorisBuf b;
	NsDef back;

	buf_init(&b);
	nsdef_encode(&b, &def);
	assert_int_equal(decode_bytes(&b, b.len, &back), DORIS_BAD_MESSAGE);
	assert_null(back.columns);
	buf_free(&b);
	nsdef_free(&def);
	def = sample_nsdef(12, "orders");
}

static void odd_definitions_are_refused(void **state)
{
	(void) state;
	def.name[0] = '\0';
	expect_refused();
	def.id = 0;
	expect_refused();
	def.version = 0;
	expect_refused();
	def.columns[2].id = 2; /* ids must rise */
	expect_refused();
	def.columns[0].id = 0;
	expect_refused();
	def.columns[4].name[0] = '\0';
	expect_refused();
	def.columns[4].type[0] = '\0';
	expect_refused();
	strcpy(def.columns[4].name, "note"); /* twice */
	expect_refused();
	def.columns[2].key_position = 2; /* 1, 2, 2 */
	expect_refused();
	def.columns[2].key_position = 4; /* 1, 2, 4 */
	expect_refused();
	def.columns[2].key_position = 0; /* 1, 2 of 3 */
	expect_refused();
	def.columns[2].dropped = true; /* of the key */
	expect_refused();
	def.key_columns = 0;
	expect_refused();
	def.key_columns = 33;
	expect_refused();
	def.route_columns = 4;
	expect_refused();
}

static void a_dropped_name_may_be_used_again(void **state)
{
	DorisError err;

	(void) state;
	strcpy(def.columns[4].name, "note");
	def.columns[3].dropped = true;
	assert_int_equal(nsdef_check(&def, false, &err), DORIS_OK);
	assert_int_equal(nsdef_column_by_name(&def, "note")->id, 7);
}

static void a_draft_needs_no_ids(void **state)
{
	DorisError err;

	(void) state;
	def.id = def.version = 0;
	for (int i = 0; i < def.ncolumns; i++)
		def.columns[i].id = 0;
	assert_int_equal(nsdef_check(&def, true, &err), DORIS_OK);
	assert_int_equal(nsdef_check(&def, false, &err), DORIS_BAD_ARGUMENT);
	def.columns[0].key_position = 2;
	assert_int_equal(nsdef_check(&def, true, &err), DORIS_BAD_ARGUMENT);
	assert_non_null(strstr(err.message, "orders"));
}

static void columns_are_found(void **state)
{
	(void) state;
	assert_string_equal(nsdef_column(&def, 5)->name, "note");
	assert_null(nsdef_column(&def, 0));
	assert_null(nsdef_column(&def, 4));
	assert_null(nsdef_column(&def, 8));
	assert_int_equal(nsdef_column_by_name(&def, "amount")->id, 7);
	assert_null(nsdef_column_by_name(&def, "amounts"));
	assert_string_equal(nsdef_key_column(&def, 2)->name, "name");
	assert_null(nsdef_key_column(&def, 0));
	assert_null(nsdef_key_column(&def, 4));
	def.columns[3].dropped = true;
	assert_null(nsdef_column_by_name(&def, "note"));
}

static void shapes_are_compared(void **state)
{
	NsDef other;
	DorisError err;

	(void) state;
	assert_int_equal(nsdef_copy(&def, &other, &err), DORIS_OK);
	other.id = 99;
	other.version = 1;
	strcpy(other.name, "elsewhere");
	assert_true(nsdef_same_shape(&def, &other));
	strcpy(other.columns[4].type, "bigint");
	assert_false(nsdef_same_shape(&def, &other));
	strcpy(other.columns[4].type, "integer");
	other.columns[4].dropped = true;
	assert_false(nsdef_same_shape(&def, &other));
	def.columns[4].dropped = true;
	assert_true(nsdef_same_shape(&def, &other));
	other.route_columns = 0;
	assert_false(nsdef_same_shape(&def, &other));
	nsdef_free(&other);
}

#define TENANT "\x80\0\0\x07"
#define SEQ "\x80\0\0\0\0\0\0\x01"

static void expect_segment(DorisBytes key, int position, DorisBytes want)
{
	uint8_t *data = exact_copy(key.data, key.len);
	DorisBytes got;

	assert_true(nsdef_key_segment(&def, (DorisBytes){data, key.len}, position, &got));
	assert_int_equal(bytes_compare(got, want), 0);
	free(data);
}

static void keys_come_apart(void **state)
{
	(void) state;
	expect_segment(BYTES(TENANT "bob\0\x01" SEQ), 1, BYTES(TENANT));
	expect_segment(BYTES(TENANT "bob\0\x01" SEQ), 2, BYTES("bob\0\x01"));
	expect_segment(BYTES(TENANT "bob\0\x01" SEQ), 3, BYTES(SEQ));
	expect_segment(BYTES(TENANT "\0\x01" SEQ), 2, BYTES("\0\x01")); /* '' */
	expect_segment(BYTES(TENANT "a\0\xff\0\xff\x01\0\x01" SEQ), 2,
				   BYTES("a\0\xff\0\xff\x01\0\x01"));
	expect_segment(BYTES(TENANT "a\0\xff\0\x01" SEQ), 3, BYTES(SEQ));
}

static void expect_no_segment(DorisBytes key, int position)
{
	uint8_t *data = exact_copy(key.data, key.len);
	DorisBytes got;

	assert_false(nsdef_key_segment(&def, (DorisBytes){data, key.len}, position, &got));
	free(data);
}

static void malformed_keys_are_told(void **state)
{
	DorisBytes whole = BYTES(TENANT "bob\0\x01" SEQ);
	DorisBytes got;

	(void) state;
	expect_no_segment(whole, 0);
	expect_no_segment(whole, 4);
	expect_no_segment(BYTES("\x80\0\0"), 1);
	expect_no_segment(BYTES(TENANT "bob"), 2);
	expect_no_segment(BYTES(TENANT "bob\0"), 2);
	expect_no_segment(BYTES(TENANT "bob\0\x02" SEQ), 2);
	expect_no_segment(BYTES(TENANT "bob\0\xff" SEQ), 3);
	for (size_t len = 0; len < whole.len; len++)
	{
		uint8_t *data = exact_copy(whole.data, len);

		assert_false(nsdef_route_key(&def, (DorisBytes){data, len}, &got));
		free(data);
	}
	assert_false(nsdef_route_key(&def, BYTES(TENANT "bob\0\x01" SEQ "x"), &got));
}

static void a_prefix_routes(void **state)
{
	DorisBytes key = BYTES(TENANT "bob\0\x01" SEQ);
	DorisBytes got;

	(void) state;
	assert_true(nsdef_route_key(&def, key, &got));
	assert_int_equal(bytes_compare(got, BYTES(TENANT)), 0);
	def.route_columns = 2;
	assert_true(nsdef_route_key(&def, key, &got));
	assert_int_equal(bytes_compare(got, BYTES(TENANT "bob\0\x01")), 0);
	def.route_columns = 0;
	assert_true(nsdef_route_key(&def, key, &got));
	assert_int_equal(bytes_compare(got, key), 0);
}

/* ---- values ---- */

static void columns_come_back(void **state)
{
	static const uint16_t some[] = {2, 5, 300};
	DorisBuf b;
	DorisBuf projected;
	DorisBytes value;
	DorisBytes data;
	RowReader r;
	uint16_t id;

	(void) state;
	buf_init(&b);
	buf_init(&projected);
	row_put(&b, 1, "one", 3);
	row_put(&b, 5, "", 0); /* empty is not NULL */
	row_put(&b, 300, "three\0hundred", 13);
	value = (DorisBytes){b.data, b.len};
	r = row_reader(value);
	assert_true(row_next(&r, &id, &data));
	assert_int_equal(id, 1);
	assert_true(row_next(&r, &id, &data));
	assert_int_equal(id, 5);
	assert_int_equal(data.len, 0);
	assert_true(row_next(&r, &id, &data));
	assert_int_equal(id, 300);
	assert_false(row_next(&r, &id, &data));
	assert_false(r.c.bad);
	assert_true(row_column(value, 300, &data));
	assert_int_equal(bytes_compare(data, BYTES("three\0hundred")), 0);
	assert_false(row_column(value, 2, &data));
	assert_false(row_column(value, 301, &data));
	assert_false(row_column((DorisBytes){0}, 1, &data));

	assert_true(row_project(value, some, 3, &projected));
	r = row_reader((DorisBytes){projected.data, projected.len});
	assert_true(row_next(&r, &id, &data));
	assert_int_equal(id, 5);
	assert_true(row_next(&r, &id, &data));
	assert_int_equal(id, 300);
	assert_false(row_next(&r, &id, &data));
	buf_reset(&projected);
	assert_true(row_project(value, NULL, 0, &projected));
	assert_int_equal(projected.len, 0);
	buf_free(&b);
	buf_free(&projected);
}

static void expect_malformed_value(DorisBytes value)
{
	static const uint16_t all[] = {1, 2, 3, 4, 5, 65535};
	uint8_t *copy = exact_copy(value.data, value.len);
	DorisBytes v = {copy, value.len};
	RowReader r = row_reader(v);
	DorisBuf out;
	DorisBytes data;
	uint16_t id;

	while (row_next(&r, &id, &data))
		;
	assert_true(r.c.bad);
	buf_init(&out);
	assert_false(row_project(v, all, 6, &out));
	buf_free(&out);
	free(copy);
}

static void malformed_values_are_told(void **state)
{
	(void) state;
	expect_malformed_value(BYTES("\x01"));
	expect_malformed_value(BYTES("\x01\x05"
								 "abc"));
	expect_malformed_value(BYTES("\0\0"));			 /* id 0 */
	expect_malformed_value(BYTES("\x02\0\x01\0"));	 /* falls */
	expect_malformed_value(BYTES("\x02\0\x02\0"));	 /* stays */
	expect_malformed_value(BYTES("\x80\x80\x04\0")); /* 65536 */
	expect_malformed_value(BYTES("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_definition_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(odd_definitions_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_dropped_name_may_be_used_again, setup, teardown),
		cmocka_unit_test_setup_teardown(a_draft_needs_no_ids, setup, teardown),
		cmocka_unit_test_setup_teardown(columns_are_found, setup, teardown),
		cmocka_unit_test_setup_teardown(shapes_are_compared, setup, teardown),
		cmocka_unit_test_setup_teardown(keys_come_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(malformed_keys_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(a_prefix_routes, setup, teardown),
		cmocka_unit_test(columns_come_back),
		cmocka_unit_test(malformed_values_are_told),
	};

	return cmocka_run_group_tests_name("wire: nsdef, row", tests, NULL, NULL);
}
