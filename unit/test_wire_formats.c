/* links: wire */
/*
 * test_wire_formats.c: this release and the next one, which knows one format more, talk to each other (envelope.h).
 *
 * The next release is the same source, compiled once more in here with a higher DORIS_FORMAT.
 */
#include "test_wire.h"

#define DORIS_FORMAT 2
#define envelope_write next_envelope_write
#define envelope_read next_envelope_read
#include "../wire/envelope.c"
#undef envelope_write
#undef envelope_read
#undef DORIS_ENVELOPE_H

/* What the linked library has: this release. */
extern DorisStatus envelope_write(const DorisKeys *k, const Envelope *e, DorisBytes body,
								  DorisBuf *out, DorisError *err);
extern DorisStatus envelope_read(const DorisKeys *k, const void *data, size_t len, Envelope *e,
								 DorisBytes *body, DorisBuf *scratch, DorisError *err);

typedef DorisStatus (*WriteFn)(const DorisKeys *, const Envelope *, DorisBytes, DorisBuf *,
							   DorisError *);
typedef DorisStatus (*ReadFn)(const DorisKeys *, const void *, size_t, Envelope *, DorisBytes *,
							  DorisBuf *, DorisError *);

static const DorisKeys plain = {.present = false};

/* A question in the format that releases ask in, and its answer in the format of the question. */
static void talk(WriteFn ask, ReadFn hear, WriteFn answer, ReadFn take)
{
	Envelope e = {.format = DORIS_FORMAT_SENT, .type = 11, .request = 22};
	Envelope seen;
	Envelope back;
	DorisBuf message;
	DorisBuf scratch;
	DorisBytes body;
	DorisError err;

	buf_init(&message);
	buf_init(&scratch);
	assert_int_equal(ask(&plain, &e, BYTES("question"), &message, &err), DORIS_OK);
	assert_int_equal(hear(&plain, message.data, message.len, &seen, &body, &scratch, &err),
					 DORIS_OK);
	assert_int_equal(body.len, 8);
	back = (Envelope){.format = seen.format, .type = seen.type | DORIS_REPLY, .request = 22};
	assert_int_equal(answer(&plain, &back, BYTES("answer"), &message, &err), DORIS_OK);
	assert_int_equal(take(&plain, message.data, message.len, &seen, &body, &scratch, &err),
					 DORIS_OK);
	assert_memory_equal(body.data, "answer", 6);
	buf_free(&message);
	buf_free(&scratch);
}

static void neighbours_talk(void **state)
{
	(void) state;
	talk(envelope_write, next_envelope_read, next_envelope_write, envelope_read);
	talk(next_envelope_write, envelope_read, envelope_write, next_envelope_read);
}

static void what_is_too_new_is_refused(void **state)
{
	Envelope e = {.format = 2, .type = 11};
	Envelope seen;
	DorisBuf message;
	DorisBuf scratch;
	DorisBytes body;
	DorisError err;

	(void) state;
	buf_init(&message);
	buf_init(&scratch);
	assert_int_equal(next_envelope_write(&plain, &e, BYTES("x"), &message, &err), DORIS_OK);
	assert_int_equal(
		next_envelope_read(&plain, message.data, message.len, &seen, &body, &scratch, &err),
		DORIS_OK);
	assert_int_equal(envelope_read(&plain, message.data, message.len, &seen, &body, &scratch, &err),
					 DORIS_BAD_MESSAGE);
	assert_non_null(strstr(err.message, "format"));
	buf_free(&message);
	buf_free(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(neighbours_talk),
									   cmocka_unit_test(what_is_too_new_is_refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
