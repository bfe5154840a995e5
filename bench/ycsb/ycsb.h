/*
 * ycsb.h: the parts of ycsb, the program behind bench/kv: mixes A to F of the Yahoo! Cloud Serving Benchmark against one store.
 *
 * A row has a number from 0; its key is made of that number, its value is YCSB_FIELDS fields of YCSB_FIELD_BYTES bytes. With `ranges`
 * rows are grouped: YCSB_PART rows that follow each other live together, so that a short scan asks one place.
 */
#ifndef YCSB_H
#define YCSB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define YCSB_FIELDS 10
#define YCSB_FIELD_BYTES 100
#define YCSB_PART 1000
#define YCSB_SCAN_MAX 100 /* rows; at least 1, all as likely */

typedef struct YcsbConfig
{
	const char *hosts;	  /* doris */
	const char *key_file; /* doris; NULL: plain */
	const char *ns;		  /* doris: the namespace */
	int port;			  /* redis, at 127.0.0.1 */
	bool ranges;
} YcsbConfig;

/* One thread's way to the store; what failed is in `error`. */
typedef struct YcsbTarget
{
	const YcsbConfig *config;
	uint64_t seed;		/* state of its random numbers, never 0 */
	uint64_t conflicts; /* writes that were tried again, because others wrote the row */
	char error[512];
	void *own; /* the driver's */
} YcsbTarget;

typedef enum YcsbResult
{
	YCSB_OK,
	YCSB_MISSING, /* no such row */
	YCSB_FAILED
} YcsbResult;

/* A store. Calls block, each on a target of its own thread. */
typedef struct YcsbDriver
{
	const char *name;
	YcsbResult (*open)(YcsbTarget *t);
	void (*close)(YcsbTarget *t);
	YcsbResult (*read)(YcsbTarget *t, uint64_t row);
	YcsbResult (*put)(YcsbTarget *t, uint64_t first, uint32_t n); /* whole rows, durably */
	YcsbResult (*scan)(YcsbTarget *t, uint64_t row, uint32_t n);  /* up to n rows of one part */
	YcsbResult (*modify)(YcsbTarget *t, uint64_t row); /* reads and writes it as a transaction */
} YcsbDriver;

extern const YcsbDriver ycsb_doris;
extern const YcsbDriver ycsb_redis;

/* ---- choose.c: numbers ---- */
extern uint64_t ycsb_random(uint64_t *state);
extern double ycsb_uniform(uint64_t *state); /* 0 <= x < 1 */
/* YCSB's scrambled zipfian, constant 0.99, over rows 0..n-1. */
extern uint64_t ycsb_scrambled(uint64_t *state, uint64_t n);

/* YCSB's "latest": zipfian backwards from the last row. Zeroed at first; of one thread. */
typedef struct YcsbLatest
{
	uint64_t n; /* what zeta was summed up to */
	double zeta;
} YcsbLatest;
extern uint64_t ycsb_latest(YcsbLatest *l, uint64_t *state, uint64_t n);

/* Key and part of a row, with their terminators; field: YCSB_FIELD_BYTES printable bytes. */
extern void ycsb_key(uint64_t row, char out[24]);
extern void ycsb_part(uint64_t row, char out[24]);
extern const char *ycsb_field(uint64_t *state);

/* ---- histogram.c ---- */
#define YCSB_BUCKETS (40 * 64)
typedef struct YcsbHistogram
{
	uint64_t count;
	uint64_t buckets[YCSB_BUCKETS]; /* of nanoseconds, within 1/64 */
} YcsbHistogram;
extern void ycsb_note(YcsbHistogram *h, uint64_t ns);
extern void ycsb_merge(YcsbHistogram *to, const YcsbHistogram *from);
extern double ycsb_percentile(const YcsbHistogram *h, double part); /* microseconds */

#endif
