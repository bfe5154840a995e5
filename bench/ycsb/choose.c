/*
 * choose.c: which row is next, as YCSB chooses it, and what a row is made of.
 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>

#include "ycsb.h"

#define THETA 0.99
/* ScrambledZipfianGenerator's: zipfian over so many items, whose zeta is known, then hashed onto the rows. */
#define SCRAMBLED_ITEMS 10000000000.0
#define SCRAMBLED_ZETA 26.46902820178302

#define POOL_BYTES 65536

uint64_t ycsb_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u); /* splitmix64 */

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

double ycsb_uniform(uint64_t *state)
{
	return (double) (ycsb_random(state) >> 11) / 9007199254740992.0;
}

/* Gray et al., "Quickly generating billion-record synthetic databases". */
static double zipfian(double u, double n, double zeta)
{
	double zeta2 = 1 + pow(0.5, THETA);
	double eta = (1 - pow(2 / n, 1 - THETA)) / (1 - zeta2 / zeta);
	double uz = u * zeta;

	if (uz < 1)
		return 0;
	if (uz < zeta2)
		return 1;
	return n * pow(eta * u - eta + 1, 1 / (1 - THETA));
}

uint64_t ycsb_scrambled(uint64_t *state, uint64_t n)
{
	uint64_t item = (uint64_t) zipfian(ycsb_uniform(state), SCRAMBLED_ITEMS, SCRAMBLED_ZETA);
	uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a of its eight bytes */

	for (int i = 0; i < 8; i++)
		hash = (hash ^ (item >> (8 * i) & 0xff)) * 1099511628211u;
	return hash % n;
}

uint64_t ycsb_latest(YcsbLatest *l, uint64_t *state, uint64_t n)
{
	uint64_t back;

	for (; l->n < n; l->n++)
		l->zeta += 1 / pow((double) l->n + 1, THETA);
	if (n < 3)
		return n - 1;
	back = (uint64_t) zipfian(ycsb_uniform(state), (double) n, l->zeta);
	return back >= n ? 0 : n - 1 - back;
}

void ycsb_key(uint64_t row, char out[24])
{
	snprintf(out, 24, "user%012llu", (unsigned long long) row);
}

void ycsb_part(uint64_t row, char out[24])
{
	snprintf(out, 24, "part%09llu", (unsigned long long) (row / YCSB_PART));
}

static char pool[POOL_BYTES];

static void pool_fill(void)
{
	uint64_t state = 42;

	for (int i = 0; i < POOL_BYTES; i++)
		pool[i] = (char) (' ' + 1 + ycsb_random(&state) % 94);
}

const char *ycsb_field(uint64_t *state)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, pool_fill);
	return pool + ycsb_random(state) % (POOL_BYTES - YCSB_FIELD_BYTES);
}
