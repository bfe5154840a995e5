/*
 * bench.c: how fast single rows are read and written, by threads with a client each.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl.h"
#include "row.h"

#define BENCH_NAMESPACE "dorisctl_bench"
#define BENCH_KEYS 10000
#define BENCH_VALUE 100			 /* bytes */
#define BENCH_SAMPLES (1u << 20) /* latencies kept per thread */

typedef struct Bencher
{
	const Ctl *ctl;
	const NsDef *ns;
	pthread_t thread;
	uint32_t seed;
	int write_percent;
	uint64_t until_ns;
	uint64_t done;
	uint32_t nsamples;
	uint32_t *samples; /* microseconds; owned */
	DorisError err;	   /* code DORIS_OK: went well */
} Bencher;

static uint64_t now_ns(void)
{
	struct timespec t;

	(void) clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

static DorisStatus one(Bencher *b, DorisClient *c, DorisBuf *key, DorisBuf *value)
{
	DorisBytes k = {key->data, key->len};

	if ((int) (rand_r(&b->seed) % 100) < b->write_percent)
	{
		DorisWrite w = {.ns = b->ns->id,
						.kind = WRITE_PUT,
						.key = k,
						.route = k,
						.value = {value->data, value->len}};

		return doris_apply(c, &w, 1, &b->err);
	}
	DorisRows *rows;
	DorisStatus st = doris_get(c, b->ns, &k, 1, NULL, &rows, &b->err);

	if (st == DORIS_OK)
		doris_rows_free(rows);
	return st;
}

static void *bench_run(void *arg)
{
	Bencher *b = arg;
	DorisClient *c;
	DorisBuf key;
	DorisBuf value;
	char filler[BENCH_VALUE];
	DorisStatus st;

	buf_init(&key);
	buf_init(&value);
	memset(filler, 'x', sizeof(filler));
	row_put(&value, 2, filler, sizeof(filler));
	b->err.code = DORIS_OK;
	st = ctl_connect(b->ctl, &c, &b->err);
	if (st != DORIS_OK)
		return NULL;
	while (st == DORIS_OK && now_ns() < b->until_ns)
	{
		char text[32];
		uint64_t start = now_ns();

		snprintf(text, sizeof(text), "key%d", rand_r(&b->seed) % BENCH_KEYS);
		buf_reset(&key);
		(void) text_key(b->ctl, b->ns, text, &key);
		st = one(b, c, &key, &value);
		if (st == DORIS_OK && b->nsamples < BENCH_SAMPLES)
			b->samples[b->nsamples++] = (uint32_t) ((now_ns() - start) / 1000);
		b->done += st == DORIS_OK;
	}
	if (st == DORIS_OK)
		b->err.code = DORIS_OK;
	doris_disconnect(c);
	buf_free(&key);
	buf_free(&value);
	return NULL;
}

static int compare_samples(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *) a;
	uint32_t y = *(const uint32_t *) b;

	return x < y ? -1 : x > y;
}

static int bench_report(Bencher *all, int n, int seconds)
{
	uint32_t total = 0;
	uint32_t at = 0;
	uint64_t done = 0;
	uint32_t *samples;

	for (int i = 0; i < n; i++)
	{
		if (all[i].err.code != DORIS_OK)
			return ctl_fail(&all[i].err);
		total += all[i].nsamples;
		done += all[i].done;
	}
	samples = malloc((total + 1) * sizeof(*samples));
	if (samples == NULL || total == 0)
	{
		free(samples);
		fputs("dorisctl: nothing was measured\n", stderr);
		return CTL_FAILED;
	}
	for (int i = 0; i < n; i++)
	{
		memcpy(samples + at, all[i].samples, all[i].nsamples * sizeof(*samples));
		at += all[i].nsamples;
	}
	qsort(samples, total, sizeof(*samples), compare_samples);
	printf("%llu operations in %d s: %llu/s; p50 %u us, p99 %u us, max %u us\n",
		   (unsigned long long) done, seconds, (unsigned long long) done / (unsigned) seconds,
		   samples[total / 2], samples[(uint64_t) total * 99 / 100], samples[total - 1]);
	free(samples);
	return CTL_OK;
}

int verb_bench(Ctl *ctl)
{
	char *create[] = {(char *) BENCH_NAMESPACE, (char *) "k", (char *) "v"};
	int percent = strcmp(ctl->mix, "read") == 0	   ? 0
				  : strcmp(ctl->mix, "write") == 0 ? 100
				  : strcmp(ctl->mix, "mixed") == 0 ? 50
												   : -1;
	uint32_t seed = (uint32_t) clock_wall_ms();
	Bencher *all;
	NsDef ns;
	DorisError err;
	int started = 0;
	int code;

	if (percent < 0)
		return ctl_usage("--mix must be read, write or mixed, not \"%s\"", ctl->mix);
	if (ctl_connect(ctl, &ctl->client, &err) != DORIS_OK)
		return ctl_fail(&err);
	ctl->args = create;
	ctl->nargs = 3;
	code = verb_create(ctl);
	if (code != CTL_OK)
		return code;
	if (doris_namespace(ctl->client, BENCH_NAMESPACE, &ns, &err) != DORIS_OK)
		return ctl_fail(&err);
	all = calloc((size_t) ctl->clients, sizeof(*all));
	printf("%d clients, mix %s, %d keys, values of %d bytes, seed %u\n", ctl->clients, ctl->mix,
		   BENCH_KEYS, BENCH_VALUE, seed);
	for (int i = 0; all != NULL && i < ctl->clients; i++)
	{
		all[i].ctl = ctl;
		all[i].ns = &ns;
		all[i].seed = seed + (uint32_t) i;
		all[i].write_percent = percent;
		all[i].until_ns = now_ns() + (uint64_t) ctl->seconds * 1000000000u;
		all[i].samples = malloc(BENCH_SAMPLES * sizeof(uint32_t));
		if (all[i].samples == NULL || pthread_create(&all[i].thread, NULL, bench_run, &all[i]) != 0)
		{
			free(all[i].samples);
			break;
		}
		started++;
	}
	for (int i = 0; i < started; i++)
		(void) pthread_join(all[i].thread, NULL);
	code = bench_report(all, started, ctl->seconds);
	for (int i = 0; i < started; i++)
		free(all[i].samples);
	free(all);
	nsdef_free(&ns);
	ctl->nargs = 1;
	if (verb_drop(ctl) != CTL_OK)
		code = CTL_FAILED;
	return code;
}
