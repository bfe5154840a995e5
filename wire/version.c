/*
 * version.c: the hybrid logical clock, and versions and transaction ids as bytes (I4).
 */
#include "version.h"

#include <string.h>
#include <time.h>

static uint64_t read_clock_ms(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) != 0)
		return 0; /* cannot happen for these two clocks */
	return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}

uint64_t clock_wall_ms(void)
{
	return read_clock_ms(CLOCK_REALTIME);
}

uint64_t clock_mono_ms(void)
{
	return read_clock_ms(CLOCK_MONOTONIC);
}

uint64_t clock_mono_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}

void clock_init(DorisClock *c, uint64_t floor)
{
	pthread_mutex_init(&c->lock, NULL);
	c->last = floor;
}

uint64_t clock_next(DorisClock *c)
{
	uint64_t wall = clock_wall_ms() << 16;
	uint64_t stamp;

	pthread_mutex_lock(&c->lock);
	stamp = wall > c->last ? wall : c->last + 1;
	c->last = stamp;
	pthread_mutex_unlock(&c->lock);
	return stamp;
}

void clock_observe(DorisClock *c, uint64_t stamp)
{
	pthread_mutex_lock(&c->lock);
	if (stamp > c->last)
		c->last = stamp;
	pthread_mutex_unlock(&c->lock);
}

int version_compare(DorisVersion a, DorisVersion b)
{
	if (a.clock != b.clock)
		return a.clock < b.clock ? -1 : 1;
	return (a.origin > b.origin) - (a.origin < b.origin);
}

int txnid_compare(DorisTxnId a, DorisTxnId b)
{
	if (a.clock != b.clock)
		return a.clock < b.clock ? -1 : 1;
	if (a.origin != b.origin)
		return a.origin < b.origin ? -1 : 1;
	return (a.nonce > b.nonce) - (a.nonce < b.nonce);
}

void txnid_to_key(DorisTxnId id, uint8_t out[DORIS_TXNID_SIZE])
{
	store_big_endian(out, id.clock, 8);
	store_big_endian(out + 8, id.origin, 4);
	store_big_endian(out + 12, id.nonce, 4);
}

DorisTxnId txnid_from_key(const uint8_t in[DORIS_TXNID_SIZE])
{
	DorisTxnId id;

	id.clock = load_big_endian(in, 8);
	id.origin = (uint32_t) load_big_endian(in + 8, 4);
	id.nonce = (uint32_t) load_big_endian(in + 12, 4);
	return id;
}

void buf_put_version(DorisBuf *b, DorisVersion v)
{
	buf_put_u64(b, v.clock);
	buf_put_u32(b, v.origin);
}

void buf_put_txnid(DorisBuf *b, DorisTxnId id)
{
	uint8_t key[DORIS_TXNID_SIZE];

	txnid_to_key(id, key);
	buf_put_raw(b, key, sizeof(key));
}

DorisTxnId cursor_txnid(DorisCursor *c)
{
	const uint8_t *p = cursor_raw(c, DORIS_TXNID_SIZE);
	DorisTxnId none;

	if (p != NULL)
		return txnid_from_key(p);
	memset(&none, 0, sizeof(none));
	return none;
}
