/* figures.c: how long statements took and how many failed, by windows of time; the load's lines of output. */
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "load.h"

#define BUCKETS 400 /* of 5 % each, from 10 microseconds on */
#define STATES 24
#define SLOW_S 1.0 /* statements that are named */
#define SAID 40	   /* failures and slow statements named in a window */

typedef struct Kind
{
	uint64_t n;
	uint64_t bucket[BUCKETS];
	double max;
	char slowest[80];
} Kind;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct Window
{
	char name[80];
	double began;
	Kind kinds[2]; /* reads, writes */
	struct
	{
		char state[8];
		uint32_t reads;
		uint32_t writes;
		bool expected;
	} failed[STATES];
	int nstates;
	int said;
} window = {.name = "start"};
static int nviolations;
static double started;

double now_s(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) != 0)
		abort();
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static void say_locked(const char *text)
{
	struct timespec ts;
	struct tm tm;

	/* wall clock, as the logs of the cluster have it */
	if (clock_gettime(CLOCK_REALTIME, &ts) != 0 || gmtime_r(&ts.tv_sec, &tm) == NULL)
		abort();
	printf("%02d:%02d:%02d.%03ld %s\n", tm.tm_hour, tm.tm_min, tm.tm_sec, ts.tv_nsec / 1000000,
		   text);
	fflush(stdout);
}

void say(const char *format, ...)
{
	char text[2000];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	pthread_mutex_lock(&lock);
	say_locked(text);
	pthread_mutex_unlock(&lock);
}

void violation(const char *format, ...)
{
	char text[1000] = "violation ";
	size_t n = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + n, sizeof(text) - n, format, args);
	va_end(args);
	pthread_mutex_lock(&lock);
	/* one fault may show in thousands of rows */
	if (nviolations++ < 100)
		say_locked(text);
	pthread_mutex_unlock(&lock);
}

int violations(void)
{
	int n;

	pthread_mutex_lock(&lock);
	n = nviolations;
	pthread_mutex_unlock(&lock);
	return n;
}

static int bucket_of(double seconds)
{
	double b = seconds <= 1e-5 ? 0 : log(seconds / 1e-5) / log(1.05);

	return b >= BUCKETS ? BUCKETS - 1 : (int) b;
}

void figures_statement(bool writes, double seconds, const char *what)
{
	Kind *k = &window.kinds[writes];
	char text[300];

	pthread_mutex_lock(&lock);
	k->n++;
	k->bucket[bucket_of(seconds)]++;
	if (seconds > k->max)
	{
		k->max = seconds;
		snprintf(k->slowest, sizeof(k->slowest), "%s", what);
	}
	if (seconds > SLOW_S && window.said < SAID)
	{
		window.said++;
		snprintf(text, sizeof(text), "slow %.2f s: %s", seconds, what);
		say_locked(text);
	}
	pthread_mutex_unlock(&lock);
}

void figures_failure(const char *what, const char *state, bool expected, const char *message)
{
	char text[700];
	bool writes = strncmp(what, "SELECT", 6) != 0;
	int i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < window.nstates; i++)
	{
		if (strcmp(window.failed[i].state, state) == 0 && window.failed[i].expected == expected)
			break;
	}
	if (i == window.nstates && i < STATES)
	{
		window.nstates++;
		memset(&window.failed[i], 0, sizeof(window.failed[i]));
		snprintf(window.failed[i].state, sizeof(window.failed[i].state), "%s", state);
		window.failed[i].expected = expected;
	}
	if (i < STATES)
	{
		if (writes)
			window.failed[i].writes++;
		else
			window.failed[i].reads++;
	}
	if (!expected && window.said < SAID)
	{
		window.said++;
		snprintf(text, sizeof(text), "failed %s: %s: %s", state, what, message);
		say_locked(text);
	}
	pthread_mutex_unlock(&lock);
}

static double quantile(const Kind *k, double q)
{
	uint64_t seen = 0;
	int i;

	for (i = 0; i < BUCKETS && k->n > 0; i++)
	{
		seen += k->bucket[i];
		if ((double) seen >= q * (double) k->n)
		{
			double upper = 1e-5 * pow(1.05, i + 1);

			return upper < k->max ? upper : k->max;
		}
	}
	return 0;
}

void figures_window(const char *next)
{
	static const char *const kind_names[] = {"read", "write"};
	char text[1500];
	size_t n;
	uint32_t reads = 0, writes = 0, expected = 0;
	int i;

	pthread_mutex_lock(&lock);
	if (started == 0)
		started = window.began = now_s();
	n = (size_t) snprintf(text, sizeof(text), "window name=%s seconds=%.2f", window.name,
						  now_s() - window.began);
	for (i = 0; i < 2; i++)
	{
		const Kind *k = &window.kinds[i];

		n += (size_t) snprintf(text + n, sizeof(text) - n,
							   " %s_n=%llu %s_p50=%.4f %s_p99=%.4f %s_max=%.3f", kind_names[i],
							   (unsigned long long) k->n, kind_names[i], quantile(k, 0.5),
							   kind_names[i], quantile(k, 0.99), kind_names[i], k->max);
	}
	for (i = 0; i < window.nstates; i++)
	{
		if (window.failed[i].expected)
			expected += window.failed[i].reads + window.failed[i].writes;
		else
		{
			reads += window.failed[i].reads;
			writes += window.failed[i].writes;
		}
	}
	n += (size_t) snprintf(text + n, sizeof(text) - n,
						   " failed_reads=%u failed_writes=%u expected=%u states=", reads, writes,
						   expected);
	for (i = 0; i < window.nstates; i++)
		n += (size_t) snprintf(text + n, sizeof(text) - n, "%s%s%s:%u", i > 0 ? "," : "",
							   window.failed[i].expected ? "expected-" : "", window.failed[i].state,
							   window.failed[i].reads + window.failed[i].writes);
	say_locked(text);
	memset(&window, 0, sizeof(window));
	snprintf(window.name, sizeof(window.name), "%s", next);
	window.began = now_s();
	pthread_mutex_unlock(&lock);
}
