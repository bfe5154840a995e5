/* links: wire */
/*
 * test_wire_envelope.c: the frame of messages, plain and sealed, and key files.
 */
#include "test_wire.h"

#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "envelope.h"
#include "version.h"

#define STAMP_OFFSET 32 /* of the sender's clock in the header */

static char directory[] = "/tmp/test_wire_envelope.XXXXXX";
static char cluster_path[64];
static char admin_path[64];
static char other_path[64];
static DorisKeys keys;
static DorisKeys plain;

static int setup(void **state)
{
	DorisError err;

	(void) state;
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(cluster_path, sizeof(cluster_path), "%s/cluster.key", directory);
	snprintf(admin_path, sizeof(admin_path), "%s/admin.key", directory);
	snprintf(other_path, sizeof(other_path), "%s/other.key", directory);
	return keys_make(directory, &err) == DORIS_OK &&
				   keys_load(cluster_path, &keys, &err) == DORIS_OK
			   ? 0
			   : -1;
}

static int teardown(void **state)
{
	(void) state;
	unlink(cluster_path);
	unlink(admin_path);
	unlink(other_path);
	return rmdir(directory);
}

static Envelope sample(void)
{
	Envelope e = {.format = DORIS_FORMAT,
				  .type = 13 | DORIS_REPLY,
				  .request = 0x1122334455667788ull,
				  .sender = 0xaabbccdd,
				  .epoch = 77,
				  .deadline_ms = 30000};

	return e;
}

static void write_sample(const DorisKeys *k, DorisBytes body, DorisBuf *out)
{
	Envelope e = sample();
	DorisError err;

	buf_init(out);
	assert_int_equal(envelope_write(k, &e, body, out, &err), DORIS_OK);
}

static DorisStatus read_bytes(const DorisKeys *k, const void *data, size_t len, Envelope *e)
{
	uint8_t *copy = exact_copy(data, len);
	DorisBuf scratch;
	DorisBytes body;
	DorisError err;
	DorisStatus status;

	buf_init(&scratch);
	status = envelope_read(k, copy, len, e, &body, &scratch, &err);
	if (status != DORIS_OK)
	{
		assert_int_equal(err.code, status);
		assert_int_equal(body.len, 0);
	}
	buf_free(&scratch);
	free(copy);
	return status;
}

static void check_round_trip(const DorisKeys *k, DorisBytes want)
{
	Envelope sent = sample();
	Envelope e;
	DorisBuf message;
	DorisBuf scratch;
	DorisBytes body;
	DorisError err;

	buf_init(&scratch);
	write_sample(k, want, &message);
	assert_int_equal(message.len,
					 DORIS_HEADER_SIZE + want.len + (k->present ? DORIS_SEAL_OVERHEAD : 0));
	assert_int_equal(envelope_read(k, message.data, message.len, &e, &body, &scratch, &err),
					 DORIS_OK);
	assert_int_equal(e.format, DORIS_FORMAT);
	assert_int_equal(e.type, sent.type);
	assert_true(e.request == sent.request);
	assert_int_equal(e.sender, sent.sender);
	assert_true(e.epoch == sent.epoch);
	assert_int_equal(e.deadline_ms, sent.deadline_ms);
	assert_true(e.stamp_ms + 5000 > clock_wall_ms() && e.stamp_ms <= clock_wall_ms());
	assert_int_equal(bytes_compare(body, want), 0);
	if (k->present && want.len > 8)
		assert_null(memmem(message.data, message.len, want.data, want.len));
	buf_free(&message);
	buf_free(&scratch);
}

static void messages_come_back(void **state)
{
	(void) state;
	check_round_trip(&plain, BYTES("the body of a message"));
	check_round_trip(&plain, (DorisBytes){0});
	check_round_trip(&keys, BYTES("the body of a message"));
	check_round_trip(&keys, (DorisBytes){0});
}

static void the_header_is_as_documented(void **state)
{
	static const uint8_t want[] = {'D',	 'R',  'I',	 'S',  1,	 0,	   13,	 0x80, 0x88, 0x77, 0x66,
								   0x55, 0x44, 0x33, 0x22, 0x11, 0xdd, 0xcc, 0xbb, 0xaa, 77,   0,
								   0,	 0,	   0,	 0,	   0,	 0,	   0x30, 0x75, 0,	 0};
	static const uint8_t tail[] = {0, 3, 0, 0, 0, 'a', 'b', 'c'};
	DorisBuf message;

	(void) state;
	write_sample(&plain, BYTES("abc"), &message);
	assert_memory_equal(message.data, want, sizeof(want));
	assert_memory_equal(message.data + STAMP_OFFSET + 8, tail, sizeof(tail));
	buf_free(&message);
}

static void too_big_is_not_written(void **state)
{
	DorisBytes body = {calloc(1, DORIS_MAX_MESSAGE), DORIS_MAX_MESSAGE};
	Envelope e = sample();
	DorisBuf out;
	DorisError err;

	(void) state;
	assert_non_null(body.data);
	buf_init(&out);
	assert_int_equal(envelope_write(&plain, &e, body, &out, &err), DORIS_TOO_BIG);
	body.len = DORIS_MAX_MESSAGE - DORIS_HEADER_SIZE;
	assert_int_equal(envelope_write(&plain, &e, body, &out, &err), DORIS_OK);
	assert_int_equal(envelope_write(&keys, &e, body, &out, &err), DORIS_TOO_BIG);
	body.len -= DORIS_SEAL_OVERHEAD;
	assert_int_equal(envelope_write(&keys, &e, body, &out, &err), DORIS_OK);
	assert_int_equal(out.len, DORIS_MAX_MESSAGE);
	buf_free(&out);
	free((void *) body.data);
}

static void truncated_ones_are_refused(void **state)
{
	const DorisKeys *both[2] = {&plain, &keys};
	DorisBuf message;
	Envelope e;

	(void) state;
	for (int i = 0; i < 2; i++)
	{
		write_sample(both[i], BYTES("the body"), &message);
		for (size_t len = 0; len < message.len; len++)
			assert_int_equal(read_bytes(both[i], message.data, len, &e), DORIS_BAD_MESSAGE);
		buf_put_u8(&message, 0); /* and one byte too many */
		assert_int_equal(read_bytes(both[i], message.data, message.len, &e), DORIS_BAD_MESSAGE);
		buf_free(&message);
	}
}

static void tampering_is_noticed(void **state)
{
	DorisBuf message;
	Envelope e;

	(void) state;
	write_sample(&keys, BYTES("the body"), &message);
	for (size_t i = 0; i < message.len; i++)
	{
		for (int bit = 0; bit < 8; bit++)
		{
			DorisStatus status;

			message.data[i] ^= (uint8_t) (1 << bit);
			status = read_bytes(&keys, message.data, message.len, &e);
			assert_true(status == DORIS_DENIED || status == DORIS_BAD_MESSAGE);
			assert_int_equal(e.request, 0); /* nothing of it is told as authentic */
			message.data[i] ^= (uint8_t) (1 << bit);
		}
	}
	assert_int_equal(read_bytes(&keys, message.data, message.len, &e), DORIS_OK);
	buf_free(&message);
}

static void wrong_keys_are_refused(void **state)
{
	DorisKeys other = keys;
	DorisBuf message;
	Envelope e;

	(void) state;
	other.cluster[5] ^= 1;
	write_sample(&keys, BYTES("the body"), &message);
	assert_int_equal(read_bytes(&other, message.data, message.len, &e), DORIS_DENIED);
	assert_int_equal(read_bytes(&plain, message.data, message.len, &e), DORIS_DENIED);
	buf_free(&message);
	write_sample(&plain, BYTES("the body"), &message);
	assert_int_equal(read_bytes(&keys, message.data, message.len, &e), DORIS_DENIED);
	buf_free(&message);
}

/* A sealed message as another clock would have stamped it. */
static void sealed_at(uint64_t stamp_ms, DorisBuf *out)
{
	DorisBuf first;

	write_sample(&keys, (DorisBytes){0}, &first);
	for (int i = 0; i < 8; i++)
		first.data[STAMP_OFFSET + i] = (uint8_t) (stamp_ms >> (8 * i));
	buf_init(out);
	buf_put_raw(out, first.data, DORIS_HEADER_SIZE);
	assert_true(seal_put(&keys, (DorisBytes){first.data, DORIS_HEADER_SIZE}, (DorisBytes){0}, out));
	buf_free(&first);
}

static void replays_are_refused(void **state)
{
	uint64_t now = clock_wall_ms();
	uint64_t old = now - DORIS_CLOCK_WINDOW_MS - 60000;
	DorisBuf message;
	Envelope e;

	(void) state;
	sealed_at(old, &message);
	assert_int_equal(read_bytes(&keys, message.data, message.len, &e), DORIS_DENIED);
	assert_true(e.stamp_ms == old); /* authentic: the sender can be told about its clock */
	assert_true(e.request == sample().request);
	buf_free(&message);
	sealed_at(now + DORIS_CLOCK_WINDOW_MS + 60000, &message);
	assert_int_equal(read_bytes(&keys, message.data, message.len, &e), DORIS_DENIED);
	buf_free(&message);
	sealed_at(0, &message);
	assert_int_equal(read_bytes(&keys, message.data, message.len, &e), DORIS_DENIED);
	buf_free(&message);
	sealed_at(UINT64_MAX, &message);
	assert_int_equal(read_bytes(&keys, message.data, message.len, &e), DORIS_DENIED);
	buf_free(&message);
	sealed_at(now - DORIS_CLOCK_WINDOW_MS / 2, &message);
	assert_int_equal(read_bytes(&keys, message.data, message.len, &e), DORIS_OK);
	buf_free(&message);
}

static void other_formats_and_flags_are_refused(void **state)
{
	DorisBuf message;
	Envelope e;

	(void) state;
	write_sample(&plain, BYTES("abc"), &message);
	message.data[4] = DORIS_FORMAT + 1;
	assert_int_equal(read_bytes(&plain, message.data, message.len, &e), DORIS_BAD_MESSAGE);
	message.data[4] = 0;
	assert_int_equal(read_bytes(&plain, message.data, message.len, &e), DORIS_BAD_MESSAGE);
	message.data[4] = DORIS_FORMAT;
	message.data[40] = 2; /* a flag of no meaning */
	assert_int_equal(read_bytes(&plain, message.data, message.len, &e), DORIS_BAD_MESSAGE);
	message.data[40] = 0;
	message.data[0] = 'd';
	assert_int_equal(read_bytes(&plain, message.data, message.len, &e), DORIS_BAD_MESSAGE);
	buf_free(&message);
}

/* ---- key files ---- */

static void made_keys_load(void **state)
{
	static const uint8_t message[] = "signed";
	uint8_t signature[64];
	struct stat st;
	DorisKeys admin;
	DorisError err;

	(void) state;
	assert_int_equal(keys_load(admin_path, &admin, &err), DORIS_OK);
	assert_true(keys.present);
	assert_false(keys.has_secret);
	assert_true(admin.has_secret);
	assert_memory_equal(keys.cluster, admin.cluster, 32);
	assert_memory_equal(keys.public_key, admin.public_key, 32);
	crypto_sign_detached(signature, NULL, message, sizeof(message), admin.secret);
	assert_int_equal(
		crypto_sign_verify_detached(signature, message, sizeof(message), keys.public_key), 0);
	assert_int_equal(stat(cluster_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(admin_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	keys_wipe(&admin);
	assert_false(admin.present);
	assert_int_equal(keys_load(NULL, &admin, &err), DORIS_OK);
	assert_false(admin.present);
	assert_int_equal(keys_load("", &admin, &err), DORIS_OK);
	assert_false(admin.present);
}

static void keys_are_not_overwritten(void **state)
{
	DorisKeys again;
	DorisError err;

	(void) state;
	assert_int_equal(keys_make(directory, &err), DORIS_EXISTS);
	assert_int_equal(unlink(cluster_path), 0); /* now only the admin's is there */
	assert_int_equal(keys_make(directory, &err), DORIS_EXISTS);
	assert_int_equal(access(cluster_path, F_OK), -1);
	assert_int_equal(unlink(admin_path), 0);
	assert_int_equal(keys_make(directory, &err), DORIS_OK);
	assert_int_equal(keys_load(cluster_path, &again, &err), DORIS_OK);
	assert_memory_not_equal(again.cluster, keys.cluster, 32);
	assert_int_equal(keys_make("/nonexistent", &err), DORIS_IO);
}

static DorisStatus load_text(const char *text, mode_t mode)
{
	FILE *f = fopen(other_path, "w");
	DorisKeys k;
	DorisError err;

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(other_path, mode), 0);
	return keys_load(other_path, &k, &err);
}

#define HEX32 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static void odd_key_files_are_refused(void **state)
{
	DorisKeys k;
	DorisError err;

	(void) state;
	assert_int_equal(
		load_text("# a key file\n\n  cluster=" HEX32 "\r\n public = " HEX32 "  ", 0640), DORIS_OK);
	assert_int_equal(load_text("cluster = " HEX32 "\npublic = " HEX32 "\n", 0644), DORIS_DENIED);
	assert_int_equal(load_text("cluster = " HEX32 "\npublic = " HEX32 "\n", 0602), DORIS_DENIED);
	assert_int_equal(load_text("", 0600), DORIS_BAD_ARGUMENT);
	assert_int_equal(load_text("cluster = " HEX32 "\n", 0600), DORIS_BAD_ARGUMENT);
	assert_int_equal(load_text("public = " HEX32 "\n", 0600), DORIS_BAD_ARGUMENT);
	assert_int_equal(load_text("cluster " HEX32 "\n", 0600), DORIS_BAD_ARGUMENT);
	assert_int_equal(load_text("clusters = " HEX32 "\n", 0600), DORIS_BAD_ARGUMENT);
	assert_int_equal(load_text("cluster = " HEX32 "00\npublic = " HEX32, 0600), DORIS_BAD_ARGUMENT);
	assert_int_equal(load_text("cluster = zz\npublic = " HEX32, 0600), DORIS_BAD_ARGUMENT);
	/* a secret that belongs to another public key */
	assert_int_equal(load_text("cluster = " HEX32 "\npublic = " HEX32 "\nsecret = 00" HEX32
							   "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
							   0600),
					 DORIS_BAD_ARGUMENT);
	assert_int_equal(keys_load("/nonexistent/key", &k, &err), DORIS_BAD_ARGUMENT);
	assert_non_null(strstr(err.message, "/nonexistent/key"));
	assert_int_equal(keys_load("/tmp", &k, &err), DORIS_BAD_ARGUMENT);
	assert_false(k.present);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_come_back),
		cmocka_unit_test(the_header_is_as_documented),
		cmocka_unit_test(too_big_is_not_written),
		cmocka_unit_test(truncated_ones_are_refused),
		cmocka_unit_test(tampering_is_noticed),
		cmocka_unit_test(wrong_keys_are_refused),
		cmocka_unit_test(replays_are_refused),
		cmocka_unit_test(other_formats_and_flags_are_refused),
		cmocka_unit_test(made_keys_load),
		cmocka_unit_test(keys_are_not_overwritten),
		cmocka_unit_test(odd_key_files_are_refused),
	};

	return cmocka_run_group_tests_name("wire: envelope, seal", tests, setup, teardown);
}
