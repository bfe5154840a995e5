/*
 * fuzz_envelope.c: the frame of messages. The first byte says whether this process has a key, and whether
 * the rest is a message as it came or a body to seal first (so that the inside of the seal is reached too).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "envelope.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a peer would have written comes back. */
static void check_round_trip(const DorisKeys *k, DorisBytes body)
{
	Envelope sent = {DORIS_FORMAT, 11, 22, 33, 44, 55, 0};
	Envelope e;
	DorisBytes back;
	DorisBuf message;
	DorisBuf scratch;
	DorisError err;

	buf_init(&message);
	buf_init(&scratch);
	if (envelope_write(k, &sent, body, &message, &err) != DORIS_OK ||
		envelope_read(k, message.data, message.len, &e, &back, &scratch, &err) != DORIS_OK ||
		bytes_compare(body, back) != 0 || e.request != 22)
		abort();
	/* one byte turned over, the place chosen by the body: never accepted under a key */
	if (k->present)
	{
		message.data[body.len % message.len] ^= 1;
		if (envelope_read(k, message.data, message.len, &e, &back, &scratch, &err) == DORIS_OK)
			abort();
	}
	buf_free(&message);
	buf_free(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DorisKeys k;
	Envelope e;
	DorisBytes body;
	DorisBuf scratch;
	DorisError err;

	if (size == 0)
		return 0;
	memset(&k, 0, sizeof(k));
	k.present = (data[0] & 1) != 0;
	if (data[0] & 2)
	{
		check_round_trip(&k, (DorisBytes){data + 1, size - 1});
		return 0;
	}
	buf_init(&scratch);
	if (envelope_read(&k, data + 1, size - 1, &e, &body, &scratch, &err) == DORIS_OK)
	{
		volatile uint8_t sum = 0;

		if (k.present)
			abort(); /* nobody guesses a seal */
		for (size_t i = 0; i < body.len; i++)
			sum = (uint8_t) (sum + body.data[i]);
	}
	buf_free(&scratch);
	return 0;
}
