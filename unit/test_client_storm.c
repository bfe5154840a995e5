/* links: client rig */
/*
 * test_client_storm.c: many clients move amounts between accounts, at random and from a seed, while clients or nodes are
 * killed and stopped: the sum stays what it was, and the copies agree in the end.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "client.h"
#include "rig.h"

#define VNODES 16

static const DorisVersion none = {0, 0};

static int up(void **state)
{
	*state = rig_up(2, 2, VNODES);
	return 0;
}

static int down(void **state)
{
	rig_down(*state);
	return 0;
}

static DorisVersion version_of(DorisClient *c, const char *key)
{
	char text[256];
	DorisError err;
	DorisVersion v;

	RIG_CHECK(rig_read(c, key, text, sizeof(text), &v, &err) == DORIS_OK, "%s", err.message);
	return v;
}

static void must_commit(DorisClient *c, const DorisWrite *w, uint32_t n)
{
	DorisCommitResult result;
	DorisError err;
	DorisStatus st = rig_commit(c, w, n, &result, &err);

	RIG_CHECK(st == DORIS_OK, "%s: %s", doris_status_name(st), err.message);
}

static void settle(DorisClient *c)
{
	finish_flush(c, NULL, 0, 2000);
}

#define ACCOUNTS 12
#define MOVERS 5
#define STORM_MS 10000
#define START 100

static unsigned seed;

/* What the clients of a storm do. */
typedef struct Mover
{
	unsigned id;
	int ms; /* for so long */
	int deadline_ms;
	bool nodes_fail; /* reads and writes may fail for that */
} Mover;

static int child_open_accounts(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 5000);
	int i;

	(void) arg;
	for (i = 0; i < ACCOUNTS; i++)
	{
		char key[32];
		DorisWrite w;

		snprintf(key, sizeof(key), "account-%d", i);
		w = rig_write(WRITE_INSERT, key, "100", none);
		must_commit(c, &w, 1);
	}
	settle(c);
	doris_disconnect(c);
	return 0;
}

/* May it come to this when nodes fail? */
static bool is_trouble(DorisStatus st)
{
	return st == DORIS_UNAVAILABLE || st == DORIS_TIMEOUT || st == DORIS_UNREACHABLE;
}

static int child_transfers(Rig *r, void *arg)
{
	const Mover *m = arg;
	unsigned mine = seed * 31 + m->id;
	DorisClient *c = rig_connect(r, m->deadline_ms);
	uint64_t until = clock_mono_ms() + (uint64_t) m->ms;
	int count[DORIS_STATUS_LAST + 1] = {0};

	while (clock_mono_ms() < until)
	{
		int n = 2 + rand_r(&mine) % 3;
		int first = rand_r(&mine) % ACCOUNTS;
		int step = 1 + rand_r(&mine) % 2;
		int i;
		char keys[4][32];
		char values[4][32];
		DorisVersion versions[4];
		DorisWrite w[4];
		DorisError err;
		DorisCommitResult result;
		DorisStatus st = DORIS_OK;

		for (i = 0; i < n && st == DORIS_OK; i++)
		{
			char text[32];

			snprintf(keys[i], sizeof(keys[i]), "account-%d", (first + i * step) % ACCOUNTS);
			st = rig_read(c, keys[i], text, sizeof(text), &versions[i], &err);
			RIG_CHECK(st == DORIS_OK || (m->nodes_fail && is_trouble(st)), "%s: %s",
					  doris_status_name(st), err.message);
			snprintf(values[i], sizeof(values[i]), "%d", atoi(text) + (i == 0 ? -(n - 1) : 1));
		}
		if (st != DORIS_OK)
			continue;
		for (i = 0; i < n; i++)
			w[i] = rig_write(WRITE_UPDATE, keys[i], values[i], versions[i]);
		st = rig_commit(c, w, (uint32_t) n, &result, &err);
		RIG_CHECK(st == DORIS_OK || st == DORIS_CONFLICT || st == DORIS_UNKNOWN ||
					  (m->nodes_fail && is_trouble(st)),
				  "%s: %s", doris_status_name(st), err.message);
		count[st]++;
	}
	RIG_CHECK(count[DORIS_OK] > 0, "nobody ever let it through");
	fprintf(stderr, "client %u: %d done, %d conflicts, %d unavailable, %d unknown\n", m->id,
			count[DORIS_OK], count[DORIS_CONFLICT], count[DORIS_UNAVAILABLE] + count[DORIS_TIMEOUT],
			count[DORIS_UNKNOWN]);
	settle(c);
	doris_disconnect(c);
	return 0;
}

static int child_sums(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 20000);
	int total = 0;
	int i;

	(void) arg;
	for (i = 0; i < ACCOUNTS; i++)
	{
		char key[32];
		char text[32];
		DorisError err;
		DorisWrite w;

		snprintf(key, sizeof(key), "account-%d", i);
		RIG_CHECK(rig_read(c, key, text, sizeof(text), NULL, &err) == DORIS_OK, "%s", err.message);
		total += atoi(text);
		/* writing over it ends whatever a dead client left there */
		w = rig_write(WRITE_UPDATE, key, text, version_of(c, key));
		must_commit(c, &w, 1);
	}
	RIG_CHECK(total == ACCOUNTS * START, "the sum is %d", total);
	settle(c);
	RIG_CHECK(rig_copies_equal(c, false), "the copies differ");
	doris_disconnect(c);
	return 0;
}

/* Lets the clients go; after it the sum is checked. */
static void storm(Rig *r, int ms, bool nodes_fail, void (*trouble)(Rig *, pid_t *), int killed)
{
	pid_t pids[MOVERS];
	Mover movers[MOVERS];
	int i;

	for (i = 0; i < MOVERS; i++)
	{
		/* what a client leaves that dies expires soon; where nothing fails, a machine that stands still is no failure */
		movers[i] = (Mover){.id = (unsigned) i,
							.ms = ms,
							.deadline_ms = nodes_fail || i < killed ? 2000 : 10000,
							.nodes_fail = nodes_fail};
		pids[i] = rig_child(r, child_transfers, &movers[i]);
	}
	trouble(r, pids);
	for (i = 0; i < MOVERS; i++)
		assert_int_equal(rig_wait(pids[i]), i < killed ? -1 : 0);
	assert_int_equal(rig_run(r, child_sums, NULL), 0);
}

/* Two clients die in the middle of something. */
static void kill_clients(Rig *r, pid_t *pids)
{
	int i;

	(void) r;
	for (i = 0; i < 2; i++)
	{
		usleep((unsigned) (500000 + rand() % 700000));
		(void) kill(pids[i], SIGKILL);
	}
}

/* One node after the other is killed and started again, or stops for a while. */
static void fail_nodes(Rig *r, pid_t *pids)
{
	uint64_t until = clock_mono_ms() + STORM_MS - 1000;

	(void) pids;
	while (clock_mono_ms() < until)
	{
		int node = rand() % r->nodes;

		usleep((unsigned) (200000 + rand() % 500000));
		if (rand() % 2 == 0)
		{
			rig_signal(r, node, SIGKILL);
			usleep((unsigned) (rand() % 300000));
			rig_start(r, node);
		}
		else
		{
			rig_signal(r, node, SIGSTOP);
			usleep((unsigned) (100000 + rand() % 1500000));
			rig_signal(r, node, SIGCONT);
		}
	}
}

static void test_clients_die(void **state)
{
	Rig *r = *state;

	assert_int_equal(rig_run(r, child_open_accounts, NULL), 0);
	/* only clients fail here: to one that finds a node slow the admin says so */
	r->verdict = VERDICT_HEALTHY;
	rig_publish(r, true);
	storm(r, 4000, false, kill_clients, 2);
	r->verdict = VERDICT_UNSURE;
	rig_publish(r, true);
}

static void test_nodes_fail(void **state)
{
	storm(*state, STORM_MS, true, fail_nodes, 0);
}

#define PUTTERS 16
#define PUTS 60

static int child_put_hot(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 20000);

	(void) arg;
	for (int i = 0; i < PUTS; i++)
	{
		DorisWrite w = rig_write(WRITE_PUT, "hot", "put", none);
		DorisError err;
		DorisStatus st = doris_apply(c, &w, 1, &err);

		RIG_CHECK(st == DORIS_OK, "%s: %s", doris_status_name(st), err.message);
	}
	doris_disconnect(c);
	return 0;
}

static int child_look(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 5000);

	(void) arg;
	RIG_CHECK(rig_copies_equal(c, true), "the copies differ");
	doris_disconnect(c);
	return 0;
}

/* Rule plain: whoever writes one row without reading it gets through beside all the others. */
static void test_hot_row(void **state)
{
	pid_t pids[PUTTERS];

	for (int i = 0; i < PUTTERS; i++)
		pids[i] = rig_child(*state, child_put_hot, NULL);
	for (int i = 0; i < PUTTERS; i++)
		assert_int_equal(rig_wait(pids[i]), 0);
	assert_int_equal(rig_run(*state, child_look, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hot_row),
		cmocka_unit_test(test_clients_die),
		cmocka_unit_test(test_nodes_fail),
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	seed = getenv("DORIS_SEED") != NULL ? (unsigned) atoi(getenv("DORIS_SEED"))
										: (unsigned) time(NULL);
	srand(seed);
	print_message("seed %u (DORIS_SEED)\n", seed);
	return cmocka_run_group_tests(tests, up, down);
}
