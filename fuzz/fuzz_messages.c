/*
 * fuzz_messages.c: all message bodies; the first byte picks the decoder.
 */
#include <stdint.h>
#include <stdlib.h>

#include "messages.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const MessageCodec *codec;
	DorisBuf once;
	DorisBuf twice;

	if (size == 0)
		return 0;
	codec = &message_codecs[data[0] % NMESSAGE_CODECS];
	buf_init(&once);
	buf_init(&twice);
	if (codec->recode((DorisBytes){data + 1, size - 1}, &once) == DORIS_OK)
	{
		/* accepted: then it was understood, and its encoding says the same */
		if (codec->recode((DorisBytes){once.data, once.len}, &twice) != DORIS_OK)
			abort();
		if (once.len != twice.len || (once.len > 0 && memcmp(once.data, twice.data, once.len) != 0))
			abort();
	}
	buf_free(&once);
	buf_free(&twice);
	return 0;
}
