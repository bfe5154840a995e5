/* links: client rig */
/*
 * test_client_fail.c: libdoris when nodes are killed, stopped or called down, when the topology changes under it, and when it is
 * told to stop: reads go on, writes end as done, not done or unknown, and then that is what is there.
 */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "client.h"
#include "rig.h"

#define VNODES 16
#define ROWS 40

static const DorisVersion none = {0, 0};

static Rig *the_rig(void **state)
{
	return *state;
}

static int child_fill(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 5000);
	int i;

	(void) arg;
	for (i = 0; i < ROWS; i++)
	{
		char key[32];
		DorisWrite w;
		DorisCommitResult result;
		DorisError err;

		snprintf(key, sizeof(key), "row-%d", i);
		w = rig_write(WRITE_INSERT, key, "x", none);
		RIG_CHECK(rig_commit(c, &w, 1, &result, &err) == DORIS_OK, "%s", err.message);
	}
	for (i = 0; i < 100 && c->nwork > 0; i++)
	{
		doris_pump(c);
		usleep(2000);
	}
	doris_disconnect(c);
	return 0;
}

static int up(void **state)
{
	Rig *r = rig_up(2, 2, VNODES);

	*state = r;
	return rig_run(r, child_fill, NULL);
}

static int down(void **state)
{
	rig_down(*state);
	return 0;
}

/* ---- what children do ---- */
typedef struct Work
{
	int deadline_ms;
	int reads_within_ms; /* each of them, on the average over all rows */
	const char *tag;
	bool may_write; /* else every write must fail, as not done or unknown */
	bool known;		/* none may be unknown */
	int writes_within_ms;
} Work;

/* All rows are read, by key and by scan, quickly enough. */
static int child_reads(Rig *r, void *arg)
{
	const Work *w = arg;
	DorisClient *c = rig_connect(r, w->deadline_ms);
	uint64_t began = clock_mono_ms();
	int i;

	for (i = 0; i < ROWS; i++)
	{
		char key[32];
		char text[32];
		DorisError err;

		snprintf(key, sizeof(key), "row-%d", i);
		RIG_CHECK(rig_read(c, key, text, sizeof(text), NULL, &err) == DORIS_OK, "%s: %s", key,
				  err.message);
	}
	RIG_CHECK(clock_mono_ms() - began < (uint64_t) (ROWS * w->reads_within_ms), "%llu ms",
			  (unsigned long long) (clock_mono_ms() - began));
	RIG_CHECK(rig_count(c) >= ROWS, "%llu rows", (unsigned long long) rig_count(c));
	doris_disconnect(c);
	return 0;
}

/*
 * Writes rows one by one and three at a time, each to the value "new-<tag>"; remembers in files what it was told, for
 * child_checks.
 */
static int child_writes(Rig *r, void *arg)
{
	const Work *work = arg;
	DorisClient *c = rig_connect(r, work->deadline_ms);
	char path[400];
	FILE *told;
	int i;

	snprintf(path, sizeof(path), "%s/told-%s", r->dir, work->tag);
	told = fopen(path, "w");
	RIG_CHECK(told != NULL, "%s", path);
	for (i = 0; i < 6; i++)
	{
		int n = i % 2 == 0 ? 1 : 3;
		int k;
		DorisWrite w[3];
		char value[64];
		DorisError err;
		DorisCommitResult result;
		uint64_t began = clock_mono_ms();
		DorisStatus st;

		snprintf(value, sizeof(value), "new-%s", work->tag);
		for (k = 0; k < n; k++)
		{
			char key[64];

			snprintf(key, sizeof(key), "w-%s-%d-%d", work->tag, i, k);
			w[k] = rig_write(WRITE_INSERT, key, value, none);
		}
		st = rig_commit(c, w, (uint32_t) n, &result, &err);
		fprintf(told, "%d %d %d\n", i, n, st);
		if (getenv("DORIS_RIG_VERBOSE") != NULL)
			fprintf(stderr, "%s %d: %s in %llu ms: %s (%s)\n", work->tag, i, doris_status_name(st),
					(unsigned long long) (clock_mono_ms() - began),
					st != DORIS_OK ? err.message : "", st != DORIS_OK ? err.hint : "");
		RIG_CHECK(work->may_write || st != DORIS_OK || n == 1, "write %d was acknowledged", i);
		RIG_CHECK(st == DORIS_OK || st == DORIS_UNAVAILABLE || st == DORIS_TIMEOUT ||
					  (st == DORIS_UNKNOWN && !work->known),
				  "%s: %s", doris_status_name(st), err.message);
		RIG_CHECK(work->writes_within_ms == 0 ||
					  clock_mono_ms() - began < (uint64_t) work->writes_within_ms,
				  "write %d took %llu ms (%s)", i, (unsigned long long) (clock_mono_ms() - began),
				  st != DORIS_OK ? err.message : "ok");
	}
	fclose(told);
	doris_disconnect(c);
	return 0;
}

/* What was told is what is there, all of a transaction or nothing; and the copies agree. */
static int child_checks(Rig *r, void *arg)
{
	const Work *work = arg;
	DorisClient *c = rig_connect(r, 20000);
	char path[400];
	FILE *told;
	int i;
	int n;
	int st;

	snprintf(path, sizeof(path), "%s/told-%s", r->dir, work->tag);
	told = fopen(path, "r");
	RIG_CHECK(told != NULL, "%s", path);
	while (fscanf(told, "%d %d %d", &i, &n, &st) == 3)
	{
		int found = 0;
		int k;

		for (k = 0; k < n; k++)
		{
			char key[64];
			char text[64];
			DorisError err;
			DorisStatus got;

			snprintf(key, sizeof(key), "w-%s-%d-%d", work->tag, i, k);
			got = rig_read(c, key, text, sizeof(text), NULL, &err);
			RIG_CHECK(got == DORIS_OK || got == DORIS_NOT_FOUND, "%s: %s", key, err.message);
			found += got == DORIS_OK;
		}
		RIG_CHECK(found == 0 || found == n, "write %d: %d of %d rows", i, found, n);
		if (st == DORIS_OK)
			RIG_CHECK(found == n, "write %d was acknowledged and is not there", i);
		else if (st != DORIS_UNKNOWN)
			RIG_CHECK(found == 0, "write %d was told as not done and is there", i);
		/* the way is clear for others, at the latest when what is left has expired */
		for (k = 0; k < n; k++)
		{
			char key[64];
			char text[64];
			DorisVersion version;
			DorisError err;
			DorisCommitResult result;
			DorisStatus got;
			DorisWrite w;

			snprintf(key, sizeof(key), "w-%s-%d-%d", work->tag, i, k);
			got = rig_read(c, key, text, sizeof(text), &version, &err);
			w = rig_write(got == DORIS_OK ? WRITE_UPDATE : WRITE_INSERT, key, "end", version);
			if (got != DORIS_OK)
				w.base = none;
			got = rig_commit(c, &w, 1, &result, &err);
			RIG_CHECK(got == DORIS_OK, "%s: %s: %s", key, doris_status_name(got), err.message);
		}
	}
	fclose(told);
	for (i = 0; i < 200 && c->nwork > 0; i++)
	{
		doris_pump(c);
		usleep(2000);
	}
	RIG_CHECK(rig_copies_equal(c, false), "the copies differ");
	doris_disconnect(c);
	return 0;
}

/* ---- a killed node ---- */
static void test_killed(void **state)
{
	Rig *r = the_rig(state);
	Work w = {.deadline_ms = 2000,
			  .reads_within_ms = 20,
			  .tag = "killed",
			  .may_write = true,
			  .known = true,
			  .writes_within_ms = 3000};

	rig_signal(r, 1, SIGKILL);
	assert_int_equal(rig_run(r, child_reads, &w), 0);
	assert_int_equal(rig_run(r, child_writes, &w), 0);
	rig_start(r, 1);
	assert_int_equal(rig_run(r, child_checks, &w), 0);
}

/* ---- a stopped node: connected, and silent ---- */
static void test_stopped(void **state)
{
	Rig *r = the_rig(state);
	Work w = {.deadline_ms = 3000,
			  .reads_within_ms = 200,
			  .tag = "stopped",
			  .may_write = true,
			  .writes_within_ms = 8000};

	rig_signal(r, 0, SIGSTOP);
	assert_int_equal(rig_run(r, child_reads, &w), 0);
	assert_int_equal(rig_run(r, child_writes, &w), 0);
	rig_signal(r, 0, SIGCONT);
	assert_int_equal(rig_run(r, child_checks, &w), 0);
}

/* The same with connections made before: messages do arrive in its socket, and are acted on when it goes on. */
static int child_stops(Rig *r, void *arg)
{
	const Work *work = arg;
	DorisClient *c = rig_connect(r, work->deadline_ms);
	int i;
	int next = 0;
	int names[4];
	char path[400];
	FILE *told;

	(void) rig_count(c); /* connects to all */
	for (i = 0; i < 6; i++)
	{
		DorisWrite w;
		char key[64];
		DorisCommitResult result;
		DorisError err;

		snprintf(key, sizeof(key), "warm-%s-%d", work->tag, i);
		w = rig_write(WRITE_INSERT, key, "x", none);
		RIG_CHECK(rig_commit(c, &w, 1, &result, &err) == DORIS_OK, "%s", err.message);
	}
	snprintf(path, sizeof(path), "%s/told-%s", r->dir, work->tag);
	told = fopen(path, "w");
	RIG_CHECK(told != NULL, "%s", path);
	for (i = 0; i < 4; i++)
	{
		char key[64];

		do
		{
			snprintf(key, sizeof(key), "w-%s-%d-0", work->tag, ++next);
			names[i] = next;
		} while (
			!topology_is_target(c->topo, c->topo->nodes[0].id, route_vnode(rig_key(key), VNODES)));
	}
	(void) kill(r->pids[0], SIGSTOP);
	for (i = 0; i < 4; i++)
	{
		DorisWrite w[3];
		char key[64];
		int n = i % 2 == 0 ? 1 : 3;
		int k;
		DorisCommitResult result;
		DorisError err;
		DorisStatus st;

		for (k = 0; k < n; k++)
		{
			/* even ones alone, and the stopped node has a copy of it; see names */
			snprintf(key, sizeof(key), "w-%s-%d-%d", work->tag, names[i], k);
			w[k] = rig_write(WRITE_INSERT, key, "x", none);
		}
		st = rig_commit(c, w, (uint32_t) n, &result, &err);
		if (getenv("DORIS_RIG_VERBOSE") != NULL)
			fprintf(stderr, "%s %d: %s: %s\n", work->tag, i, doris_status_name(st),
					st != DORIS_OK ? err.message : "");
		RIG_CHECK(st == DORIS_OK || st == DORIS_UNAVAILABLE || st == DORIS_TIMEOUT ||
					  st == DORIS_UNKNOWN,
				  "%s: %s", doris_status_name(st), err.message);
		RIG_CHECK(n == 3 || st != DORIS_OK, "acknowledged without a copy");
		fprintf(told, "%d %d %d\n", names[i], n, st);
	}
	fclose(told);
	(void) kill(r->pids[0], SIGCONT);
	doris_disconnect(c);
	return 0;
}

static void test_stopped_later(void **state)
{
	Rig *r = the_rig(state);
	Work w = {.deadline_ms = 2500, .tag = "later"};

	assert_int_equal(rig_run(r, child_stops, &w), 0);
	assert_int_equal(rig_run(r, child_checks, &w), 0);
}

/* ---- a node that the topology calls down ---- */
static int child_down(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 400);
	const char *name = r->topo->nodes[1].name;
	int refused = 0;
	int done = 0;
	int i;

	(void) arg;
	for (i = 0; i < 20; i++)
	{
		char key[32];
		DorisWrite w;
		DorisCommitResult result;
		DorisError err;
		uint64_t began = clock_mono_ms();
		DorisStatus st;

		snprintf(key, sizeof(key), "down-%d", i);
		w = rig_write(WRITE_INSERT, key, "x", none);
		st = rig_commit(c, &w, 1, &result, &err);
		RIG_CHECK(st == DORIS_OK || st == DORIS_UNAVAILABLE, "%s: %s", doris_status_name(st),
				  err.message);
		RIG_CHECK(st == DORIS_OK || strstr(err.message, name) != NULL, "the node is not named: %s",
				  err.message);
		/* the last complete copies are waited for, to the deadline */
		RIG_CHECK(clock_mono_ms() - began < 1000, "%llu ms",
				  (unsigned long long) (clock_mono_ms() - began));
		if (st == DORIS_OK)
			done++;
		else
			refused++;
	}
	RIG_CHECK(done > 0 && refused > 0, "%d done, %d refused", done, refused);
	RIG_CHECK(rig_count(c) >= ROWS, "rows are missing");
	doris_disconnect(c);
	return 0;
}

static void test_down(void **state)
{
	Rig *r = the_rig(state);

	rig_set_down(r, 1, true);
	rig_publish(r, true);
	assert_int_equal(rig_run(r, child_down, NULL), 0);
	rig_set_down(r, 1, false);
	rig_publish(r, true);
}

/* ---- epochs ---- */
static int child_epochs(Rig *r, void *arg)
{
	int *fds = arg;
	DorisClient *c = rig_connect(r, 5000);
	DorisWrite w[3];
	DorisCommitResult result;
	DorisError err;
	char byte = 'x';
	Topology *t = doris_topology(c);
	uint64_t before = t->epoch;

	topology_unref(t);
	w[0] = rig_write(WRITE_INSERT, "epoch-1", "x", none);
	RIG_CHECK(rig_commit(c, w, 1, &result, &err) == DORIS_OK, "%s", err.message);
	/* the parent publishes a topology in which every vnode has changed: what we send next is stale */
	RIG_CHECK(write(fds[1], &byte, 1) == 1, "pipe");
	RIG_CHECK(read(fds[2], &byte, 1) == 1, "pipe");
	w[0] = rig_write(WRITE_INSERT, "epoch-2", "x", none);
	w[1] = rig_write(WRITE_INSERT, "epoch-3", "x", none);
	w[2] = rig_write(WRITE_INSERT, "epoch-4", "x", none);
	RIG_CHECK(rig_commit(c, w, 3, &result, &err) == DORIS_OK, "%s", err.message);
	t = doris_topology(c);
	RIG_CHECK(t->epoch > before, "still epoch %llu", (unsigned long long) t->epoch);
	topology_unref(t);
	doris_disconnect(c);
	return 0;
}

static int child_ahead(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 5000);
	DorisWrite w[3];
	DorisCommitResult result;
	DorisError err;
	Topology *t = doris_topology(c);

	(void) arg;
	/* the admin has given us what it has not given the nodes: they get it from us */
	RIG_CHECK(t->epoch == r->topo->epoch, "epoch %llu", (unsigned long long) t->epoch);
	topology_unref(t);
	w[0] = rig_write(WRITE_INSERT, "ahead-1", "x", none);
	w[1] = rig_write(WRITE_INSERT, "ahead-2", "x", none);
	w[2] = rig_write(WRITE_INSERT, "ahead-3", "x", none);
	RIG_CHECK(rig_commit(c, w, 3, &result, &err) == DORIS_OK, "%s", err.message);
	RIG_CHECK(rig_count(c) >= ROWS, "rows are missing");
	doris_disconnect(c);
	return 0;
}

static void change_all(Rig *r)
{
	uint32_t i;

	for (i = 0; i < r->topo->groups * r->topo->vnodes; i++)
		r->topo->copies[i].changed = r->topo->epoch + 1;
}

static void test_epochs(void **state)
{
	Rig *r = the_rig(state);
	int fds[4];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(&fds[0]), 0);
	assert_int_equal(pipe(&fds[2]), 0);
	pid = rig_child(r, child_epochs, fds);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	change_all(r);
	rig_publish(r, true);
	assert_int_equal(write(fds[3], &byte, 1), 1);
	assert_int_equal(rig_wait(pid), 0);
	change_all(r);
	rig_publish(r, false);
	assert_int_equal(rig_run(r, child_ahead, NULL), 0);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
}

/* ---- stopping ---- */
static uint64_t stop_at;

static int stop_wait(void *arg, const int *fds, int nfds, int timeout_ms)
{
	struct pollfd p[64];
	int i;

	(void) arg;
	if (clock_mono_ms() >= stop_at)
		return -1;
	for (i = 0; i < nfds && i < 64; i++)
		p[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
	return poll(p, (nfds_t) i, timeout_ms < 20 ? timeout_ms : 20) > 0;
}

static int child_cancels(Rig *r, void *arg)
{
	DorisOptions o = {.hosts = r->hosts, .deadline_ms = 20000, .wait = stop_wait};
	DorisClient *c;
	DorisError err;
	int i;

	(void) arg;
	stop_at = UINT64_MAX;
	RIG_CHECK(doris_connect(&o, &c, &err) == DORIS_OK, "%s", err.message);
	(void) rig_count(c);
	for (i = 0; i < 8; i++)
	{
		char key[32];
		char text[32];
		DorisWrite w;
		DorisCommitResult result;
		uint64_t began = clock_mono_ms();
		DorisStatus st;

		snprintf(key, sizeof(key), "w-cancel-%d-0", i);
		stop_at = began + 300;
		w = rig_write(WRITE_INSERT, key, "x", none);
		st = i % 2 == 0 ? rig_commit(c, &w, 1, &result, &err)
						: rig_read(c, key, text, sizeof(text), NULL, &err);
		RIG_CHECK(st == DORIS_OK || st == DORIS_NOT_FOUND || st == DORIS_CANCELLED ||
					  st == DORIS_UNKNOWN,
				  "%s: %s", doris_status_name(st), err.message);
		RIG_CHECK(clock_mono_ms() - began < 1500, "%llu ms",
				  (unsigned long long) (clock_mono_ms() - began));
	}
	doris_disconnect(c);
	return 0;
}

static void test_cancel(void **state)
{
	Rig *r = the_rig(state);

	rig_signal(r, 2, SIGSTOP);
	assert_int_equal(rig_run(r, child_cancels, NULL), 0);
	rig_signal(r, 2, SIGCONT);
}

/* ---- nobody there ---- */
static int child_nobody(Rig *r, void *arg)
{
	DorisOptions o = {.hosts = "127.0.0.1:1", .deadline_ms = 1000};
	DorisClient *c;
	DorisError err;
	uint64_t began = clock_mono_ms();

	(void) r;
	(void) arg;
	RIG_CHECK(doris_connect(&o, &c, &err) == DORIS_UNAVAILABLE, "%s", err.message);
	RIG_CHECK(clock_mono_ms() - began < 2000, "too slow");
	o.hosts = "nonsense";
	RIG_CHECK(doris_connect(&o, &c, &err) == DORIS_BAD_ARGUMENT, "%s", err.message);
	o.hosts = "192.0.2.1:5000";
	RIG_CHECK(doris_connect(&o, &c, &err) == DORIS_BAD_ARGUMENT, "%s", err.message);
	o.hosts = "";
	RIG_CHECK(doris_connect(&o, &c, &err) == DORIS_BAD_ARGUMENT, "%s", err.message);
	return 0;
}

static void test_nobody(void **state)
{
	assert_int_equal(rig_run(the_rig(state), child_nobody, NULL), 0);
}

/* ---- a read without a lease, of a copy beside which there is only one that it moves to ---- */
static int child_confirms(Rig *r, void *arg)
{
	const DorisStatus *expected = arg;
	DorisClient *c = rig_connect(r, 5000);
	uint32_t vnode = 0;
	const TopoCopy *copy;
	DorisError err = {0};
	Topology *t = doris_topology(c);
	DorisStatus st;

	copy = topology_copy(t, 1, vnode);
	RIG_CHECK(t->epoch == r->topo->epoch, "epoch %llu", (unsigned long long) t->epoch);
	st = lease_confirm(c, t, copy->owner, &vnode, 1, clock_mono_ms() + 3000, &err);
	RIG_CHECK(st == *expected, "%d: %s", (int) st, err.message);
	topology_unref(t);
	doris_disconnect(c);
	return 0;
}

static void test_unleased(void **state)
{
	Rig *r = the_rig(state);
	TopoCopy *copy = topology_copy(r->topo, 2, 0);
	int to = (int) copy->owner - 1;
	DorisStatus expected = DORIS_OK;

	/* a group that is being added */
	copy->owner = 0;
	copy->complete = false;
	copy->incoming = (uint32_t) to + 1;
	copy->changed = r->topo->epoch + 1;
	rig_publish(r, true);
	assert_int_equal(rig_run(r, child_confirms, &expected), 0);
	/* it alone could know that it is the only owner by now */
	rig_signal(r, to, SIGKILL);
	expected = DORIS_UNAVAILABLE;
	assert_int_equal(rig_run(r, child_confirms, &expected), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody),	cmocka_unit_test(test_killed),
		cmocka_unit_test(test_stopped), cmocka_unit_test(test_stopped_later),
		cmocka_unit_test(test_down),	cmocka_unit_test(test_epochs),
		cmocka_unit_test(test_cancel),	cmocka_unit_test(test_unleased),
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	return cmocka_run_group_tests(tests, up, down);
}
