/*
 * version.h: the stamp of a write and the clock that gives it.
 *
 * A hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014): 48 bits of wall-clock
 * milliseconds above 16 bits of counter. With 32 bits of origin the versions of all writers are
 * totally ordered (I4).
 */
#ifndef DORIS_VERSION_H
#define DORIS_VERSION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "buf.h"

typedef struct DorisVersion
{
	uint64_t clock; /* hybrid logical clock; 0 with origin 0: no version (the row was never here) */
	uint32_t origin; /* who stamped it: random per client process */
} DorisVersion;

/* A transaction's name: the clock at its start comes first, so that names sort by age. */
typedef struct DorisTxnId
{
	uint64_t clock;
	uint32_t origin;
	uint32_t nonce;
} DorisTxnId;

#define DORIS_TXNID_SIZE 16		   /* as key bytes: big-endian, so that bytes sort as ids do */
#define DORIS_CLOCK_AHEAD_MS 10000 /* stamps further ahead are refused from clients */

typedef struct DorisClock
{
	pthread_mutex_t lock;
	uint64_t last; /* highest stamp given or observed */
} DorisClock;

extern void clock_init(DorisClock *c, uint64_t floor);
extern uint64_t clock_next(DorisClock *c);				  /* above all given and observed before */
extern void clock_observe(DorisClock *c, uint64_t stamp); /* move on so that next is above stamp */
extern uint64_t clock_wall_ms(void);					  /* CLOCK_REALTIME in ms */
extern uint64_t clock_mono_ms(void);					  /* CLOCK_MONOTONIC in ms, for deadlines */
extern uint64_t clock_mono_us(void);					  /* the same in µs, for measuring */
static inline uint64_t clock_ms_of(uint64_t stamp)
{
	return stamp >> 16;
}

extern int version_compare(DorisVersion a, DorisVersion b);
static inline bool version_is_none(DorisVersion v)
{
	return v.clock == 0 && v.origin == 0;
}
extern int txnid_compare(DorisTxnId a, DorisTxnId b);
extern void txnid_to_key(DorisTxnId id, uint8_t out[DORIS_TXNID_SIZE]);
extern DorisTxnId txnid_from_key(const uint8_t in[DORIS_TXNID_SIZE]);

extern void buf_put_version(DorisBuf *b, DorisVersion v);
static inline DorisVersion cursor_version(DorisCursor *c)
{
	DorisVersion v;

	v.clock = cursor_u64(c);
	v.origin = cursor_u32(c);
	return v;
}
extern void buf_put_txnid(DorisBuf *b, DorisTxnId id);
extern DorisTxnId cursor_txnid(DorisCursor *c);

#endif
