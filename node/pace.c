/*
 * pace.c: how fast a node pulls what it recovers: --recover-rate for all of it, the setting move_rate for copies that move here.
 *
 * A limited rate is kept in small pages, so that it is even, and a change holds at once. Between pages the thread also serves
 * who waits for what a copy lacks.
 *
 * Without a limit, too, copies that move give way to requests for rows: while some come, pages are small, and after each, and
 * after each copy, the thread rests for longer than it took: three times as long while the machine has processors to spare, ten
 * times when they are what everybody waits for. The kernel says which (pressure stall information, Linux 4.20; where there is
 * none the machine counts as busy). That bounds what both ends spend, and no lock is held in between.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "recover.h"

#define RATE_BURST_US 200000 /* of a limited rate may be made up for */
#define RATE_SLICE_US 1000
#define PAGES_PER_SECOND 10 /* at a limited rate */
#define PAGE_BYTES_MAX (2u << 20)
#define PAGE_BYTES_BUSY (256u << 10)
#define GIVE_WAY_REST 3		   /* times as long as it worked, at no pressure */
#define GIVE_WAY_REST_BUSY 10  /* from PRESSURE_BUSY on */
#define GIVE_WAY_MAX_US 300000 /* at once */
#define PRESSURE_BUSY 50	   /* percent */
#define PRESSURE_EVERY_US 500000
#define PAGE_BYTES_MIN (64u << 10)

/* MB per second that may be pulled now for the copy under way; 0: no limit. */
static uint64_t move_rate(const Recoverer *r)
{
	return r->moving ? atomic_load(&r->w.node->recovery.move_rate_mb) : 0;
}

static uint64_t mono_us(void)
{
	struct timespec t;

	(void) clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

/* So many bytes came. A MB per second is a byte per microsecond. */
static void pace_take(Pace *p, uint64_t rate_mb, size_t bytes)
{
	uint64_t now = mono_us();

	/* what was slower than allowed is made up for only in part: no bursts */
	if (p->rate_mb != rate_mb || p->next_us + RATE_BURST_US < now)
		p->next_us = p->rate_mb != rate_mb ? now : now - RATE_BURST_US;
	p->rate_mb = rate_mb;
	if (rate_mb > 0)
		p->next_us += bytes / rate_mb;
}

/* Is it too early for more? A rate that has changed forgets what was owed under the old one. */
static bool pace_waits(const Pace *p, uint64_t rate_mb)
{
	return p->rate_mb == rate_mb && rate_mb > 0 && p->next_us > mono_us();
}

uint32_t recover_page_bytes(const Recoverer *r)
{
	uint64_t all = r->w.node->config.recover_rate_mb;
	uint64_t moves = move_rate(r);
	uint64_t rate = moves > 0 && (all == 0 || moves < all) ? moves : all;
	uint64_t bytes = rate * 1000000 / PAGES_PER_SECOND;
	uint32_t most = r->moving && r->gives_way ? PAGE_BYTES_BUSY : PAGE_BYTES_MAX;

	if (rate == 0 || bytes > most)
		return most;
	return bytes < PAGE_BYTES_MIN ? PAGE_BYTES_MIN : (uint32_t) bytes;
}

uint64_t pace_rows_served(const Node *n)
{
	static const NodeCounter kinds[] = {COUNT_ROWS_READ, COUNT_ROWS_SCANNED, COUNT_ROWS_STAGED,
										COUNT_ROWS_APPLIED};
	uint64_t rows = 0;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		rows += atomic_load_explicit(&n->counters[kinds[i]], memory_order_relaxed);
	return rows;
}

/* The time (us) in which something waited for a processor, since the machine's start; false: this kernel does not tell. */
static bool read_pressure(uint64_t *total_us)
{
	char text[256];
	int fd = open("/proc/pressure/cpu", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	const char *total;
	unsigned long long us;

	if (fd >= 0)
		(void) close(fd);
	text[n > 0 ? n : 0] = '\0';
	total = strstr(text, "total=");
	if (strncmp(text, "some ", 5) != 0 || total == NULL || sscanf(total, "total=%llu", &us) != 1)
		return false;
	*total_us = us;
	return true;
}

/* How many times as long as it worked is the thread to rest? */
static uint64_t rest_factor(Pressure *p, uint64_t now_us)
{
	uint64_t total;

	if (p->at_us == 0 || now_us >= p->at_us + PRESSURE_EVERY_US)
	{
		bool told = read_pressure(&total);

		if (told && p->at_us != 0)
			p->percent = (uint32_t) ((total - p->total_us) * 100 / (now_us - p->at_us));
		else
			p->percent = PRESSURE_BUSY;
		p->total_us = told ? total : 0;
		p->at_us = now_us;
	}
	return GIVE_WAY_REST + (uint64_t) (GIVE_WAY_REST_BUSY - GIVE_WAY_REST) *
							   (p->percent < PRESSURE_BUSY ? p->percent : PRESSURE_BUSY) /
							   PRESSURE_BUSY;
}

/* A page of a copy that moves is merged, or all of it. Until when does the thread rest? */
static uint64_t give_way(Recoverer *r)
{
	uint64_t rows = pace_rows_served(r->w.node);
	uint64_t now = mono_us();
	uint64_t rest;

	r->gives_way = rows != r->rows_served;
	r->rows_served = rows;
	if (!r->gives_way || r->page_from_us == 0)
		return now;
	rest = rest_factor(&r->pressure, now) * (now - r->page_from_us);
	return now + (rest < GIVE_WAY_MAX_US ? rest : GIVE_WAY_MAX_US);
}

DorisStatus recover_between(Recoverer *r, size_t bytes, DorisError *err)
{
	Node *n = r->w.node;
	uint64_t rate = n->config.recover_rate_mb;
	uint64_t rest_until = 0;

	atomic_fetch_add(&n->recovery.bytes, bytes);
	if (bytes > 0)
		pace_take(&r->pace, rate, bytes);
	if (bytes > 0 && r->moving)
		pace_take(&r->move_pace, move_rate(r), bytes);
	if (r->moving)
		rest_until = give_way(r);
	recover_serve_wants(r);
	while (!atomic_load(&n->stopping) &&
		   (pace_waits(&r->pace, rate) || pace_waits(&r->move_pace, move_rate(r)) ||
			mono_us() < rest_until))
	{
		struct timespec pause = {0, RATE_SLICE_US * 1000L};

		(void) nanosleep(&pause, NULL);
		/* somebody waits for what this copy lacks (rule meet) */
		recover_serve_wants(r);
	}
	r->page_from_us = mono_us();
	if (atomic_load(&n->stopping))
		return doris_error(err, DORIS_CANCELLED, "%s is stopping", node_name(n));
	return DORIS_OK;
}
