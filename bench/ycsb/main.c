/*
 * main.c: loads rows, or runs one mix with some threads for some seconds, and prints what came of it as one line of JSON. For bench/kv.
 */
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "ycsb.h"

#define LOAD_BATCH 500		  /* rows in one call */
#define NEW_WINDOW (1u << 16) /* rows that may be inserted and not acknowledged */

typedef enum Kind
{
	READ,
	UPDATE,
	INSERT,
	SCAN,
	MODIFY,
	KINDS
} Kind;

static const char *const kind_names[KINDS] = {"read", "update", "insert", "scan", "modify"};

/* Parts of a hundred, and whether reads prefer the latest rows. YCSB's workloads a to f. */
typedef struct Mix
{
	char name;
	bool latest;
	int percent[KINDS];
} Mix;

static const Mix mixes[] = {
	{'A', false, {[READ] = 50, [UPDATE] = 50}},
	{'B', false, {[READ] = 95, [UPDATE] = 5}},
	{'C', false, {[READ] = 100}},
	{'D', true, {[READ] = 95, [INSERT] = 5}},
	{'E', false, {[SCAN] = 95, [INSERT] = 5}},
	{'F', false, {[READ] = 50, [MODIFY] = 50}},
};

/* What the threads share. */
typedef struct Run
{
	const YcsbDriver *driver;
	const Mix *mix; /* NULL: load */
	uint64_t rows;	/* load: how many; else: how many there are, at first */
	double seconds;
	int threads;
	pthread_barrier_t ready;
	uint64_t start_ns;
	uint64_t next; /* the row to load or insert next; atomic */
	pthread_mutex_t lock;
	uint64_t acknowledged; /* all rows below are there; under lock, read atomically */
	uint8_t done[NEW_WINDOW];
} Run;

typedef struct Thread
{
	pthread_t id;
	Run *run;
	YcsbTarget target;
	YcsbLatest latest;
	YcsbHistogram took[KINDS];
	uint64_t missing;
	bool failed;
} Thread;

static uint64_t now_ns(void)
{
	struct timespec t;

	(void) clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

/* Row `row` is there: readers may ask for it as soon as all before it are. */
static void acknowledge(Run *run, uint64_t row)
{
	uint64_t upto;

	pthread_mutex_lock(&run->lock);
	run->done[row % NEW_WINDOW] = 1;
	for (upto = run->acknowledged; run->done[upto % NEW_WINDOW]; upto++)
		run->done[upto % NEW_WINDOW] = 0;
	__atomic_store_n(&run->acknowledged, upto, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&run->lock);
}

static Kind choose(const Mix *mix, uint64_t *state)
{
	int at = (int) (ycsb_random(state) % 100);
	int k = 0;

	while (at >= mix->percent[k])
		at -= mix->percent[k++];
	return (Kind) k;
}

static YcsbResult operate(Thread *t, Kind kind)
{
	Run *run = t->run;
	const YcsbDriver *d = run->driver;
	YcsbTarget *target = &t->target;
	uint64_t row;
	YcsbResult result;

	if (kind == INSERT)
	{
		row = __atomic_fetch_add(&run->next, 1, __ATOMIC_RELAXED);
		result = d->put(target, row, 1);
		if (result == YCSB_OK)
			acknowledge(run, row);
		return result;
	}
	row = run->mix->latest ? ycsb_latest(&t->latest, &target->seed,
										 __atomic_load_n(&run->acknowledged, __ATOMIC_RELAXED))
						   : ycsb_scrambled(&target->seed, run->rows);
	switch (kind)
	{
		case READ:
			return d->read(target, row);
		case UPDATE:
			return d->put(target, row, 1);
		case SCAN:
			return d->scan(target, row,
						   1 + (uint32_t) (ycsb_random(&target->seed) % YCSB_SCAN_MAX));
		default:
			return d->modify(target, row);
	}
}

static void run_mix(Thread *t)
{
	uint64_t from = now_ns();
	uint64_t until = t->run->start_ns + (uint64_t) (t->run->seconds * 1e9);

	while (from < until)
	{
		Kind kind = choose(t->run->mix, &t->target.seed);
		YcsbResult result = operate(t, kind);
		uint64_t to = now_ns();

		if (result == YCSB_FAILED)
		{
			t->failed = true;
			return;
		}
		t->missing += result == YCSB_MISSING;
		ycsb_note(&t->took[kind], to - from);
		from = to;
	}
}

static void run_load(Thread *t)
{
	for (;;)
	{
		uint64_t first = __atomic_fetch_add(&t->run->next, LOAD_BATCH, __ATOMIC_RELAXED);
		uint64_t n = t->run->rows - first;

		if (first >= t->run->rows)
			return;
		if (t->run->driver->put(&t->target, first, n < LOAD_BATCH ? (uint32_t) n : LOAD_BATCH) !=
			YCSB_OK)
		{
			t->failed = true;
			return;
		}
	}
}

static void *thread_main(void *arg)
{
	Thread *t = arg;
	Run *run = t->run;

	t->failed = run->driver->open(&t->target) != YCSB_OK;
	if (!t->failed && run->mix != NULL && run->mix->latest)
		(void) ycsb_latest(&t->latest, &t->target.seed, run->rows); /* sums up beforehand */
	if (pthread_barrier_wait(&run->ready) == PTHREAD_BARRIER_SERIAL_THREAD)
		run->start_ns = now_ns();
	pthread_barrier_wait(&run->ready);
	if (!t->failed && run->mix != NULL)
		run_mix(t);
	else if (!t->failed)
		run_load(t);
	pthread_barrier_wait(&run->ready); /* main takes the time */
	run->driver->close(&t->target);
	return NULL;
}

static double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double) (u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		   (double) (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int report(Run *run, const Thread *threads, double seconds, double cpu)
{
	static YcsbHistogram took[KINDS];
	uint64_t ops = 0;
	uint64_t missing = 0;
	uint64_t conflicts = 0;
	const char *comma = "";

	for (int i = 0; i < run->threads; i++)
	{
		const Thread *t = &threads[i];

		if (t->failed)
		{
			fprintf(stderr, "ycsb: %s\n", t->target.error);
			return 1;
		}
		missing += t->missing;
		conflicts += t->target.conflicts;
		for (int k = 0; k < KINDS; k++)
		{
			ycsb_merge(&took[k], &t->took[k]);
			ops += t->took[k].count;
		}
	}
	if (run->mix == NULL)
		ops = run->rows;
	printf("{\"ops\":%llu,\"seconds\":%.4f,\"missing\":%llu,\"conflicts\":%llu,\"cpu\":%.4f,"
		   "\"rows\":%llu,\"kinds\":{",
		   (unsigned long long) ops, seconds, (unsigned long long) missing,
		   (unsigned long long) conflicts, cpu,
		   (unsigned long long) (run->mix == NULL ? run->rows : run->acknowledged));
	for (int k = 0; k < KINDS; k++)
	{
		if (took[k].count == 0)
			continue;
		printf("%s\"%s\":{\"n\":%llu,\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f}", comma,
			   kind_names[k], (unsigned long long) took[k].count, ycsb_percentile(&took[k], 0.5),
			   ycsb_percentile(&took[k], 0.99), ycsb_percentile(&took[k], 0.999));
		comma = ",";
	}
	puts("}}");
	return 0;
}

static int run_threads(Run *run, const YcsbConfig *config, uint64_t seed)
{
	Thread *threads = calloc((size_t) run->threads, sizeof(*threads));
	double cpu;
	double seconds;
	int code;

	if (threads == NULL ||
		pthread_barrier_init(&run->ready, NULL, (unsigned) run->threads + 1) != 0 ||
		pthread_mutex_init(&run->lock, NULL) != 0)
	{
		fputs("ycsb: out of memory\n", stderr);
		return 1;
	}
	for (int i = 0; i < run->threads; i++)
	{
		threads[i].run = run;
		threads[i].target.config = config;
		threads[i].target.seed = seed * 1000 + (uint64_t) i;
		if (pthread_create(&threads[i].id, NULL, thread_main, &threads[i]) != 0)
		{
			fputs("ycsb: cannot start that many threads\n", stderr);
			exit(1); /* those that were started wait for the others */
		}
	}
	if (pthread_barrier_wait(&run->ready) == PTHREAD_BARRIER_SERIAL_THREAD)
		run->start_ns = now_ns();
	cpu = cpu_seconds();
	pthread_barrier_wait(&run->ready);
	pthread_barrier_wait(&run->ready);
	seconds = (double) (now_ns() - run->start_ns) / 1e9;
	cpu = cpu_seconds() - cpu;
	for (int i = 0; i < run->threads; i++)
		(void) pthread_join(threads[i].id, NULL);
	code = report(run, threads, seconds, cpu);
	free(threads);
	return code;
}

static const char usage[] =
	"usage: ycsb --target doris --hosts LIST [--key-file FILE] --namespace NS | --target redis "
	"--port P\n"
	"            --load | --mix A..F  --rows N [--ranges] [--threads N] [--seconds S] [--seed N]\n"
	"  --load       writes rows 0..N-1; else --rows says how many there are\n"
	"  --ranges     rows are grouped: needed by mix E (the namespace has key part, id and is "
	"distributed by part)\n"
	"Fields of the namespace: field0 to field9, and key id, all of type text. Rows of 1 kB.\n";

static int misused(void)
{
	fputs(usage, stderr);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"target", required_argument, NULL, 't'},	{"hosts", required_argument, NULL, 'h'},
		{"key-file", required_argument, NULL, 'k'}, {"namespace", required_argument, NULL, 'n'},
		{"port", required_argument, NULL, 'p'},		{"load", no_argument, NULL, 'l'},
		{"mix", required_argument, NULL, 'm'},		{"rows", required_argument, NULL, 'r'},
		{"ranges", no_argument, NULL, 'g'},			{"threads", required_argument, NULL, 'j'},
		{"seconds", required_argument, NULL, 's'},	{"seed", required_argument, NULL, 'e'},
		{"help", no_argument, NULL, '?'},			{NULL, 0, NULL, 0}};
	static Run run = {.threads = 1, .seconds = 5};
	YcsbConfig config = {.ns = "bench_kv"};
	uint64_t seed = 1;
	bool load = false;
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		switch (o)
		{
			case 't':
				run.driver = strcmp(optarg, "doris") == 0	? &ycsb_doris
							 : strcmp(optarg, "redis") == 0 ? &ycsb_redis
															: NULL;
				break;
			case 'h':
				config.hosts = optarg;
				break;
			case 'k':
				config.key_file = optarg;
				break;
			case 'n':
				config.ns = optarg;
				break;
			case 'p':
				config.port = atoi(optarg);
				break;
			case 'l':
				load = true;
				break;
			case 'm':
				for (size_t i = 0; i < sizeof(mixes) / sizeof(mixes[0]); i++)
					if (optarg[0] == mixes[i].name && optarg[1] == '\0')
						run.mix = &mixes[i];
				break;
			case 'r':
				run.rows = strtoull(optarg, NULL, 10);
				break;
			case 'g':
				config.ranges = true;
				break;
			case 'j':
				run.threads = atoi(optarg);
				break;
			case 's':
				run.seconds = atof(optarg);
				break;
			case 'e':
				seed = strtoull(optarg, NULL, 10);
				break;
			default:
				return misused();
		}
	}
	if (optind < argc || run.driver == NULL || load == (run.mix != NULL) || run.rows == 0 ||
		run.threads < 1 || run.threads > 256 || run.seconds <= 0 ||
		(run.mix != NULL && run.mix->percent[SCAN] > 0 && !config.ranges))
		return misused();
	run.next = load ? 0 : run.rows;
	run.acknowledged = run.next;
	return run_threads(&run, &config, seed);
}
