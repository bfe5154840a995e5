/* links: wire */
/*
 * test_wire_buf.c: buffers and cursors, statuses, versions, transaction ids and the hybrid clock.
 */
#include "test_wire.h"

#include <pthread.h>

#include "status.h"
#include "version.h"

static const uint64_t numbers[] = {0,		   1,		   127,		   128,
								   300,		   16383,	   16384,	   UINT32_MAX,
								   1ull << 32, 1ull << 63, UINT64_MAX, UINT64_MAX - 1};
#define NNUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static void everything_comes_back(void **state)
{
	DorisBuf b;
	DorisCursor c;
	DorisBytes v;
	char s[16];

	(void) state;
	buf_init(&b);
	buf_put_u8(&b, 0xab);
	buf_put_u16(&b, 0xabcd);
	buf_put_u32(&b, 0xdeadbeef);
	buf_put_u64(&b, 0x0123456789abcdefull);
	for (size_t i = 0; i < NNUMBERS; i++)
		buf_put_varint(&b, numbers[i]);
	buf_put_bytes(&b, "a\0b", 3);
	buf_put_view(&b, (DorisBytes){0});
	buf_put_str(&b, "hello");
	buf_put_str(&b, NULL);
	assert_false(b.failed);

	c = cursor_of(b.data, b.len);
	assert_int_equal(cursor_u8(&c), 0xab);
	assert_int_equal(cursor_u16(&c), 0xabcd);
	assert_int_equal(cursor_u32(&c), 0xdeadbeef);
	assert_true(cursor_u64(&c) == 0x0123456789abcdefull);
	for (size_t i = 0; i < NNUMBERS; i++)
		assert_true(cursor_varint(&c) == numbers[i]);
	v = cursor_bytes(&c);
	assert_int_equal(v.len, 3);
	assert_memory_equal(v.data, "a\0b", 3);
	assert_int_equal(cursor_bytes(&c).len, 0);
	cursor_str(&c, s, sizeof(s));
	assert_string_equal(s, "hello");
	cursor_str(&c, s, sizeof(s));
	assert_string_equal(s, "");
	assert_true(cursor_at_end(&c));
	buf_free(&b);
}

static void integers_are_little_endian(void **state)
{
	static const uint8_t want[] = {0x44, 0x33, 0x22, 0x11, 0xac, 0x02};
	DorisBuf b;

	(void) state;
	buf_init(&b);
	buf_put_u32(&b, 0x11223344);
	buf_put_varint(&b, 300);
	assert_int_equal(b.len, sizeof(want));
	assert_memory_equal(b.data, want, sizeof(want));
	buf_free(&b);
}

static void a_bad_read_sticks(void **state)
{
	uint8_t *data = exact_copy("\x01\x02\x03", 3);
	DorisCursor c = cursor_of(data, 3);

	(void) state;
	assert_int_equal(cursor_u32(&c), 0);
	assert_true(c.bad);
	assert_int_equal(cursor_u8(&c), 0);
	assert_int_equal(cursor_varint(&c), 0);
	assert_null(cursor_raw(&c, 0));
	assert_int_equal(cursor_bytes(&c).len, 0);
	assert_int_equal(cursor_left(&c), 0);
	assert_false(cursor_at_end(&c));
	free(data);

	c = cursor_of(NULL, 0);
	assert_true(cursor_at_end(&c));
	assert_int_equal(cursor_u8(&c), 0);
	assert_true(c.bad);
}

static void malformed_varints_are_refused(void **state)
{
	static const DorisBytes bad[] = {
		{(const uint8_t *) "", 0},
		{(const uint8_t *) "\x80", 1},
		{(const uint8_t *) "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10},
		{(const uint8_t *) "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		uint8_t *data = exact_copy(bad[i].data, bad[i].len);
		DorisCursor c = cursor_of(data, bad[i].len);

		assert_int_equal(cursor_varint(&c), 0);
		assert_true(c.bad);
		free(data);
	}
}

static void lengths_and_counts_are_bounded(void **state)
{
	DorisBuf b;
	DorisCursor c;
	char s[4];

	(void) state;
	buf_init(&b);
	buf_put_varint(&b, UINT64_MAX); /* a length */
	buf_put_raw(&b, "abcdefgh", 8);
	c = cursor_of(b.data, b.len);
	assert_int_equal(cursor_bytes(&c).len, 0);
	assert_true(c.bad);
	c = cursor_of(b.data, b.len);
	assert_int_equal(cursor_count(&c, 1), 0);
	assert_true(c.bad);

	buf_reset(&b);
	buf_put_varint(&b, 4); /* 4 things of 2 bytes: just possible; of 3: not */
	buf_put_raw(&b, "abcdefgh", 8);
	c = cursor_of(b.data, b.len);
	assert_int_equal(cursor_count(&c, 2), 4);
	assert_false(c.bad);
	c = cursor_of(b.data, b.len);
	assert_int_equal(cursor_count(&c, 3), 0);
	assert_true(c.bad);

	buf_reset(&b);
	buf_put_str(&b, "abcd"); /* no room for the terminator */
	c = cursor_of(b.data, b.len);
	cursor_str(&c, s, sizeof(s));
	assert_true(c.bad);
	assert_string_equal(s, "");
	buf_reset(&b);
	buf_put_bytes(&b, "a\0b", 3);
	c = cursor_of(b.data, b.len);
	cursor_str(&c, s, sizeof(s));
	assert_true(c.bad);
	buf_free(&b);
}

static void an_impossible_reserve_sticks(void **state)
{
	DorisBuf b;

	(void) state;
	buf_init(&b);
	buf_put_u32(&b, 1);
	assert_false(buf_reserve(&b, SIZE_MAX - 2));
	assert_true(b.failed);
	buf_put_u32(&b, 2);
	assert_int_equal(b.len, 4);
	buf_reset(&b);
	assert_false(b.failed);
	buf_put_u32(&b, 0);
	buf_set_u32(&b, 0, 77);
	buf_set_u32(&b, 1, 99); /* does not fit: nothing happens */
	assert_int_equal(b.len, 4);
	assert_int_equal(b.data[0], 77);
	assert_int_equal(b.data[1], 0);
	buf_free(&b);
}

static void bytes_sort_as_memcmp_does(void **state)
{
	(void) state;
	assert_true(bytes_compare(BYTES("a"), BYTES("b")) < 0);
	assert_true(bytes_compare(BYTES("b"), BYTES("a")) > 0);
	assert_true(bytes_compare(BYTES("a"), BYTES("aa")) < 0);
	assert_true(bytes_compare(BYTES("aa"), BYTES("a")) > 0);
	assert_int_equal(bytes_compare(BYTES("aa"), BYTES("aa")), 0);
	assert_true(bytes_compare(BYTES("\x7f"), BYTES("\x80")) < 0);
	assert_true(bytes_compare((DorisBytes){0}, BYTES("\0")) < 0);
	assert_int_equal(bytes_compare((DorisBytes){0}, BYTES("")), 0);
	/* the first bytes are compared as numbers, by the lengths of both */
	for (size_t na = 1; na < 20; na++)
		for (size_t nb = 1; nb < 20; nb++)
			for (size_t at = 0; at < na && at < nb; at++)
			{
				uint8_t x[20];
				uint8_t y[20];
				DorisBytes a = {x, na};
				DorisBytes b = {y, nb};

				memset(x, 0x7f, sizeof(x));
				memset(y, 0x7f, sizeof(y));
				assert_int_equal(bytes_compare(a, b), (na > nb) - (na < nb));
				y[at] = 0x80;
				memset(y + at + 1, 0, sizeof(y) - at - 1);
				assert_true(bytes_compare(a, b) < 0);
				assert_true(bytes_compare(b, a) > 0);
			}
}

static void numbers_come_back_in_both_orders(void **state)
{
	const uint64_t v = UINT64_C(0x0102030405060708);
	uint8_t out[8];

	(void) state;
#define CHECK_ORDERS(bytes)                                                               \
	store_big_endian(out, v, bytes);                                                      \
	assert_int_equal(out[0], 9 - (bytes));                                                \
	assert_int_equal(out[(bytes) -1], 8);                                                 \
	assert_true(load_big_endian(out, bytes) == (v & (UINT64_MAX >> (64 - 8 * (bytes))))); \
	store_little_endian(out, v, bytes);                                                   \
	assert_int_equal(out[0], 8);                                                          \
	assert_int_equal(out[(bytes) -1], 9 - (bytes));                                       \
	assert_true(load_little_endian(out, bytes) == (v & (UINT64_MAX >> (64 - 8 * (bytes)))))
	CHECK_ORDERS(1);
	CHECK_ORDERS(2);
	CHECK_ORDERS(4);
	CHECK_ORDERS(8);
#undef CHECK_ORDERS
}

static void versions_are_totally_ordered(void **state)
{
	DorisVersion a = {5, 1};
	DorisVersion b = {5, 2};
	DorisVersion c = {6, 0};

	(void) state;
	assert_int_equal(version_compare(a, a), 0);
	assert_int_equal(version_compare(a, b), -1);
	assert_int_equal(version_compare(b, a), 1);
	assert_int_equal(version_compare(b, c), -1);
	assert_true(version_is_none((DorisVersion){0, 0}));
	assert_false(version_is_none((DorisVersion){0, 1}));
}

/* Keys sort as the ids do: STAGED and MEMORY are read oldest first. */
static void transaction_ids_sort_by_age(void **state)
{
	static const DorisTxnId ids[] = {
		{1, 0xffffffff, 0xffffffff}, {2, 0, 0}, {2, 0, 1}, {2, 1, 0}, {0x100, 0, 0},
		{1ull << 56, 0, 0}};
	const int n = sizeof(ids) / sizeof(ids[0]);

	(void) state;
	for (int i = 0; i < n; i++)
	{
		uint8_t x[DORIS_TXNID_SIZE];
		DorisTxnId back;

		txnid_to_key(ids[i], x);
		back = txnid_from_key(x);
		assert_int_equal(txnid_compare(ids[i], back), 0);
		for (int j = 0; j < n; j++)
		{
			uint8_t y[DORIS_TXNID_SIZE];
			int order = (i > j) - (i < j);
			int bytes;

			txnid_to_key(ids[j], y);
			bytes = memcmp(x, y, sizeof(x));
			assert_int_equal(txnid_compare(ids[i], ids[j]), order);
			assert_int_equal((bytes > 0) - (bytes < 0), order);
		}
	}
}

static void versions_and_ids_come_back(void **state)
{
	DorisVersion v = {0x0102030405060708ull, 0x0a0b0c0d};
	DorisTxnId id = {0x1112131415161718ull, 0x21222324, 0x31323334};
	DorisBuf b;
	DorisCursor c;

	(void) state;
	buf_init(&b);
	buf_put_version(&b, v);
	assert_int_equal(b.len, 12);
	buf_put_txnid(&b, id);
	assert_int_equal(b.len, 12 + DORIS_TXNID_SIZE);
	c = cursor_of(b.data, b.len);
	assert_int_equal(version_compare(cursor_version(&c), v), 0);
	assert_int_equal(txnid_compare(cursor_txnid(&c), id), 0);
	assert_true(cursor_at_end(&c));
	assert_int_equal(cursor_txnid(&c).clock, 0);
	assert_true(c.bad);
	buf_free(&b);
}

static void the_clock_only_rises(void **state)
{
	DorisClock clock;
	uint64_t last = 0;
	uint64_t wall = clock_wall_ms();

	(void) state;
	clock_init(&clock, 0);
	for (int i = 0; i < 100000; i++)
	{
		uint64_t stamp = clock_next(&clock);

		assert_true(stamp > last);
		last = stamp;
	}
	assert_true(clock_ms_of(last) >= wall);
	assert_true(clock_ms_of(last) <= clock_wall_ms() + 2);
}

static void the_clock_goes_on_above_what_it_saw(void **state)
{
	DorisClock clock;
	uint64_t ahead = (clock_wall_ms() + 5000) << 16;
	uint64_t stamp;

	(void) state;
	clock_init(&clock, 0);
	clock_observe(&clock, ahead);
	stamp = clock_next(&clock);
	assert_true(stamp == ahead + 1);
	clock_observe(&clock, ahead - 100); /* the past changes nothing */
	assert_true(clock_next(&clock) == ahead + 2);
	clock_init(&clock, ahead + 7); /* the floor: a persisted ceiling */
	assert_true(clock_next(&clock) == ahead + 8);
}

#define STAMPS 20000

typedef struct StampRun
{
	DorisClock *clock;
	uint64_t *stamps;
} StampRun;

static void *take_stamps(void *arg)
{
	StampRun *run = arg;

	for (int i = 0; i < STAMPS; i++)
		run->stamps[i] = clock_next(run->clock);
	return NULL;
}

static int compare_stamps(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *) a;
	uint64_t y = *(const uint64_t *) b;

	return (x > y) - (x < y);
}

static void threads_never_share_a_stamp(void **state)
{
	static uint64_t stamps[4 * STAMPS];
	pthread_t threads[4];
	StampRun runs[4];
	DorisClock clock;

	(void) state;
	clock_init(&clock, 0);
	for (int i = 0; i < 4; i++)
	{
		runs[i] = (StampRun){&clock, stamps + i * STAMPS};
		assert_int_equal(pthread_create(&threads[i], NULL, take_stamps, &runs[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	qsort(stamps, 4 * STAMPS, sizeof(stamps[0]), compare_stamps);
	for (int i = 1; i < 4 * STAMPS; i++)
		assert_true(stamps[i - 1] < stamps[i]);
}

static void errors_say_what_and_how(void **state)
{
	DorisError err;
	char longer[2000];

	(void) state;
	assert_int_equal(doris_error(&err, DORIS_IO, "node %d", 7), DORIS_IO);
	assert_string_equal(err.message, "node 7");
	assert_string_equal(err.hint, "");
	assert_int_equal(doris_hint(&err, "Do %s.", "that"), DORIS_IO);
	assert_string_equal(err.hint, "Do that.");
	/* wrapping its own message */
	assert_int_equal(doris_error(&err, DORIS_TIMEOUT, "while asking: %s", err.message),
					 DORIS_TIMEOUT);
	assert_string_equal(err.message, "while asking: node 7");
	assert_string_equal(err.hint, "");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	doris_error(&err, DORIS_IO, "%s", longer);
	assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
	for (int i = 0; i <= DORIS_STATUS_LAST; i++)
		for (int j = 0; j < i; j++)
			assert_string_not_equal(doris_status_name((DorisStatus) i),
									doris_status_name((DorisStatus) j));
	assert_non_null(doris_status_name((DorisStatus) 999));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_comes_back),
		cmocka_unit_test(integers_are_little_endian),
		cmocka_unit_test(a_bad_read_sticks),
		cmocka_unit_test(malformed_varints_are_refused),
		cmocka_unit_test(lengths_and_counts_are_bounded),
		cmocka_unit_test(an_impossible_reserve_sticks),
		cmocka_unit_test(bytes_sort_as_memcmp_does),
		cmocka_unit_test(numbers_come_back_in_both_orders),
		cmocka_unit_test(versions_are_totally_ordered),
		cmocka_unit_test(transaction_ids_sort_by_age),
		cmocka_unit_test(versions_and_ids_come_back),
		cmocka_unit_test(the_clock_only_rises),
		cmocka_unit_test(the_clock_goes_on_above_what_it_saw),
		cmocka_unit_test(threads_never_share_a_stamp),
		cmocka_unit_test(errors_say_what_and_how),
	};

	return cmocka_run_group_tests_name("wire: buf, version, status", tests, NULL, NULL);
}
