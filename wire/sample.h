/*
 * sample.h: which rows of a namespace are in a random sample: those whose key's hash under the sample's seed is small enough.
 *
 * The hash is SipHash, so whether a row is in says nothing of its key or of other rows: each is in with the same
 * probability, share / 2^64, on its own. And it does not depend on who looks when: a scan that goes on elsewhere has the same
 * sample, and with the same seed a larger share has a smaller one in it.
 */
#ifndef DORIS_SAMPLE_H
#define DORIS_SAMPLE_H

#include <sodium.h>
#include <stdint.h>

#include "buf.h"

static inline bool sample_takes(uint64_t seed, uint64_t share, DorisBytes key)
{
	unsigned char seeds[crypto_shorthash_KEYBYTES] = {0};
	unsigned char out[crypto_shorthash_BYTES];
	uint64_t hash = 0;
	int i;

	/* byte by byte: the same on every machine */
	for (i = 0; i < 8; i++)
		seeds[i] = (unsigned char) (seed >> (8 * i));
	(void) crypto_shorthash(out, key.data, key.len, seeds);
	for (i = 0; i < 8; i++)
		hash = hash << 8 | out[i];
	return hash < share;
}

#endif
