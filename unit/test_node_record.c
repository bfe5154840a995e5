/* links: wire node */
/*
 * test_node_record.c: the record of a row: round trips, damage, and merging by I4.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"

static DorisBytes b(const char *s)
{
	DorisBytes v = {(const uint8_t *) s, strlen(s)};

	return v;
}

static RecordStaged staged_of(uint32_t nonce, uint64_t clock, WriteKind kind, const char *value)
{
	RecordStaged s = {.txn = {clock, 1, nonce},
					  .kind = kind,
					  .mode = TXN_DECISION,
					  .decision_vnode = 4711,
					  .expires_ms = 1234567890123,
					  .base = {clock - 1, 9},
					  .version = {clock, 1},
					  .nrows = 3,
					  .value = b(value)};

	return s;
}

static void test_round_trip(void **state)
{
	Record r;
	Record back;
	DorisBuf buf;
	DorisBytes data;

	(void) state;
	record_clear(&r);
	r.committed = true;
	r.version.clock = 1000;
	r.version.origin = 7;
	r.value = b("the value");
	r.nstaged = 2;
	r.staged[0] = staged_of(1, 2000, WRITE_UPDATE, "next");
	r.staged[1] = staged_of(2, 3000, WRITE_DELETE, "");
	r.staged[1].mode = TXN_NAMED;
	r.staged[1].others = (OtherVnodes){2, {0, 65535}};
	buf_init(&buf);
	record_encode(&buf, &r);
	assert_false(buf.failed);
	data.data = buf.data;
	data.len = buf.len;
	assert_true(record_decode(data, &back));
	assert_true(back.committed);
	assert_false(back.tombstone);
	assert_int_equal(version_compare(back.version, r.version), 0);
	assert_int_equal(bytes_compare(back.value, r.value), 0);
	assert_int_equal(back.nstaged, 2);
	for (int i = 0; i < 2; i++)
	{
		assert_int_equal(txnid_compare(back.staged[i].txn, r.staged[i].txn), 0);
		assert_int_equal(back.staged[i].kind, r.staged[i].kind);
		assert_int_equal(back.staged[i].mode, i == 0 ? TXN_DECISION : TXN_NAMED);
		assert_int_equal(back.staged[i].others.n, i == 0 ? 0 : 2);
		assert_int_equal(back.staged[i].decision_vnode, 4711);
		assert_true(back.staged[i].expires_ms == 1234567890123);
		assert_int_equal(version_compare(back.staged[i].base, r.staged[i].base), 0);
		assert_int_equal(version_compare(back.staged[i].version, r.staged[i].version), 0);
		assert_int_equal(back.staged[i].nrows, 3);
		assert_int_equal(bytes_compare(back.staged[i].value, r.staged[i].value), 0);
	}
	assert_int_equal(back.staged[1].others.vnodes[0], 0);
	assert_int_equal(back.staged[1].others.vnodes[1], 65535);
	assert_int_equal(record_find_staged(&back, r.staged[1].txn), 1);
	record_remove_staged(&back, 0);
	assert_int_equal(record_find_staged(&back, r.staged[1].txn), 0);
	assert_int_equal(record_find_staged(&back, r.staged[0].txn), -1);
	/* every shorter or longer one is damaged */
	for (size_t len = 0; len < buf.len; len++)
	{
		data.len = len;
		assert_false(record_decode(data, &back));
	}
	buf_put_u8(&buf, 0);
	data.data = buf.data;
	data.len = buf.len;
	assert_false(record_decode(data, &back));
	/* one of a time without the flag for staged writes */
	data.len--;
	buf.data[1] &= (uint8_t) ~RECORD_FLAG_STAGED;
	assert_true(record_decode(data, &back));
	assert_int_equal(back.nstaged, 2);
	buf_free(&buf);
}

static void test_random_bytes(void **state)
{
	uint8_t noise[200];
	Record r;

	(void) state;
	srand(7);
	for (int i = 0; i < 200000; i++)
	{
		size_t len = (size_t) rand() % sizeof(noise);
		DorisBytes data = {noise, len};

		for (size_t k = 0; k < len; k++)
			noise[k] = (uint8_t) rand();
		noise[0] = 1;
		if (record_decode(data, &r))
			assert_true(r.nstaged <= RECORD_MAX_STAGED);
	}
}

/* The quick way to read a record takes what the whole one takes, and reads the same of it; but it does not look at the last byte. */
static void test_settled_as_any(void **state)
{
	uint8_t bytes[64];
	int taken = 0;

	(void) state;
	srand(11);
	for (int i = 0; i < 300000; i++)
	{
		size_t len = (size_t) rand() % sizeof(bytes);
		DorisBytes data = {bytes, len};
		Record quick;
		Record whole;

		for (size_t k = 0; k < len; k++)
			bytes[k] = (uint8_t) rand();
		bytes[0] = 1;
		bytes[1] = (uint8_t) (rand() % 4);
		if (len > 15)
		{
			bytes[14] = (uint8_t) (len - 16 + (size_t) (rand() % 3 == 0));
			bytes[len - 1] = (uint8_t) (rand() % 4 == 0);
		}
		if (!record_decode_settled(data, &quick))
			continue;
		taken++;
		if (bytes[len - 1] != 0)
		{
			assert_false(record_decode_any(data, &whole));
			bytes[len - 1] = 0;
		}
		assert_true(record_decode_any(data, &whole));
		assert_true(whole.committed && quick.committed);
		assert_false(whole.tombstone || quick.tombstone);
		assert_int_equal(whole.nstaged, 0);
		assert_int_equal(quick.nstaged, 0);
		assert_int_equal(version_compare(whole.version, quick.version), 0);
		assert_ptr_equal(whole.value.data, quick.value.data);
		assert_int_equal(whole.value.len, quick.value.len);
	}
	assert_true(taken > 10000);
}

static void test_one_order(void **state)
{
	/* I4: the higher version; tie: delete, then the larger bytes; in any order, twice */
	struct
	{
		uint64_t clock;
		bool deleted;
		const char *value;
	} writes[] = {
		{5, false, "five"}, {7, false, "aaa"}, {7, false, "zzz"}, {7, true, ""}, {6, false, "six"}};
	const int n = 5;

	(void) state;
	srand(3);
	for (int round = 0; round < 500; round++)
	{
		Record r;
		bool seen_delete = false;
		int seen = 0;

		record_clear(&r);
		for (int k = 0; k < 12; k++)
		{
			int i = rand() % n;
			DorisVersion v = {writes[i].clock, 1};

			(void) record_apply(&r, v, writes[i].deleted, b(writes[i].value));
			seen |= 1 << i;
			seen_delete = seen_delete || writes[i].deleted;
		}
		assert_true(r.committed);
		if (seen_delete)
			assert_true(r.tombstone && r.value.len == 0);
		else if (seen & 4)
			assert_int_equal(bytes_compare(r.value, b("zzz")), 0);
		else if (seen & 2)
			assert_int_equal(bytes_compare(r.value, b("aaa")), 0);
	}
}

static void test_commit_staged(void **state)
{
	Record r;

	(void) state;
	record_clear(&r);
	assert_true(record_is_empty(&r));
	r.nstaged = 1;
	r.staged[0] = staged_of(1, 2000, WRITE_INSERT, "new");
	assert_false(record_is_empty(&r));
	record_commit_staged(&r, 0);
	assert_true(record_is_live(&r));
	assert_int_equal(bytes_compare(r.value, b("new")), 0);
	r.nstaged = 1;
	r.staged[0] = staged_of(2, 3000, WRITE_DELETE, "");
	record_commit_staged(&r, 0);
	assert_false(record_is_live(&r));
	assert_true(r.committed && r.version.clock == 3000);
	/* one that a plain write has overtaken */
	r.nstaged = 1;
	r.staged[0] = staged_of(3, 2500, WRITE_UPDATE, "old");
	record_commit_staged(&r, 0);
	assert_false(record_is_live(&r));
	assert_int_equal(r.nstaged, 0);
}

static void test_keys(void **state)
{
	DorisBuf buf;
	DorisBytes stored;
	DorisBytes key;
	uint8_t space;
	uint32_t ns;

	(void) state;
	buf_init(&buf);
	record_key(&buf, DORIS_SPACE_ROWS, 0x01020304, b("key"));
	stored.data = buf.data;
	stored.len = buf.len;
	assert_int_equal(stored.len, 8);
	assert_memory_equal(stored.data, "\x01\x01\x02\x03\x04key", 8);
	assert_true(record_key_split(stored, &space, &ns, &key));
	assert_int_equal(ns, 0x01020304);
	assert_int_equal(bytes_compare(key, b("key")), 0);
	stored.len = 4;
	assert_false(record_key_split(stored, &space, &ns, &key));
	stored.len = 0;
	assert_false(record_key_split(stored, &space, &ns, &key));
	buf_reset(&buf);
	record_key(&buf, DORIS_SPACE_DECISIONS, 0, b("0123456789abcdef"));
	assert_int_equal(buf.len, 17);
	buf_free(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),	   cmocka_unit_test(test_random_bytes),
		cmocka_unit_test(test_settled_as_any), cmocka_unit_test(test_one_order),
		cmocka_unit_test(test_commit_staged),  cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
