/*
 * histogram.c: latencies in buckets that are 1/64 of their value wide.
 */
#include "ycsb.h"

static uint32_t bucket_of(uint64_t ns)
{
	int shift;
	uint32_t b;

	if (ns < 64)
		return (uint32_t) ns;
	shift = 63 - __builtin_clzll(ns) - 6;
	b = (uint32_t) (shift + 1) * 64 + ((uint32_t) (ns >> shift) & 63);
	return b < YCSB_BUCKETS ? b : YCSB_BUCKETS - 1;
}

static double middle_of(uint32_t b)
{
	if (b < 64)
		return b;
	return ((double) (64 + b % 64) + 0.5) * (double) (1ull << (b / 64 - 1));
}

void ycsb_note(YcsbHistogram *h, uint64_t ns)
{
	h->count++;
	h->buckets[bucket_of(ns)]++;
}

void ycsb_merge(YcsbHistogram *to, const YcsbHistogram *from)
{
	to->count += from->count;
	for (uint32_t b = 0; b < YCSB_BUCKETS; b++)
		to->buckets[b] += from->buckets[b];
}

double ycsb_percentile(const YcsbHistogram *h, double part)
{
	uint64_t wanted = (uint64_t) ((double) h->count * part);
	uint64_t seen = 0;

	for (uint32_t b = 0; b < YCSB_BUCKETS; b++)
	{
		seen += h->buckets[b];
		if (seen > wanted)
			return middle_of(b) / 1000;
	}
	return 0;
}
