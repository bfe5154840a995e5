/* links: client rig */
/*
 * test_client_txn.c: transactions through libdoris against real nodes: what is acknowledged is there, on every copy; what is not
 * is told honestly; a client that dies at any step leaves all or nothing.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "filter.h"
#include "rig.h"
#include "txn.h"

#define VNODES 32

static const DorisVersion none = {0, 0};

static Rig *the_rig(void **state)
{
	return *state;
}

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

/* ---- helpers of the children ---- */
static void expect(DorisClient *c, const char *key, const char *value)
{
	char text[256];
	DorisError err;
	DorisStatus st = rig_read(c, key, text, sizeof(text), NULL, &err);

	if (value == NULL)
		RIG_CHECK(st == DORIS_NOT_FOUND, "%s is \"%s\" (%s)", key, text, doris_status_name(st));
	else
	{
		RIG_CHECK(st == DORIS_OK, "%s: %s %s", key, doris_status_name(st),
				  st == DORIS_NOT_FOUND ? "" : err.message);
		RIG_CHECK(strcmp(text, value) == 0, "%s is \"%s\", not \"%s\"", key, text, value);
	}
}

static DorisVersion version_of(DorisClient *c, const char *key)
{
	char text[256];
	DorisError err;
	DorisVersion v;

	(void) !rig_read(c, key, text, sizeof(text), &v, &err);
	return v;
}

static void must_commit(DorisClient *c, const DorisWrite *w, uint32_t n)
{
	DorisCommitResult result;
	DorisError err;
	DorisStatus st = rig_commit(c, w, n, &result, &err);

	RIG_CHECK(st == DORIS_OK, "%s: %s", doris_status_name(st), err.message);
}

static void insert(DorisClient *c, const char *key, const char *value)
{
	DorisWrite w = rig_write(WRITE_INSERT, key, value, none);

	must_commit(c, &w, 1);
}

/* Delivers all FINISH messages. */
static void settle(DorisClient *c)
{
	int i;

	for (i = 0; i < 200; i++)
	{
		doris_pump(c);
		usleep(2000);
		if (c->nwork == 0)
			break;
	}
	RIG_CHECK(c->nwork == 0, "%u items are not finished", c->nwork);
}

/* ---- the life of a few rows ---- */
static int child_life(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 5000);
	DorisWrite w[3];
	DorisCommitResult result;
	DorisError err;
	DorisVersion v;

	(void) arg;
	expect(c, "life", NULL);
	insert(c, "life", "one");
	expect(c, "life", "one");
	v = version_of(c, "life");
	w[0] = rig_write(WRITE_UPDATE, "life", "two", v);
	must_commit(c, w, 1);
	expect(c, "life", "two");
	/* the version read is the base: an old one is a conflict and names the key */
	w[0] = rig_write(WRITE_UPDATE, "life", "three", v);
	RIG_CHECK(rig_commit(c, w, 1, &result, &err) == DORIS_CONFLICT, "%s", err.message);
	RIG_CHECK(result.key_len == strlen("life") + 2 && memcmp(result.key, "life", 4) == 0, "%zu",
			  result.key_len);
	RIG_CHECK(result.ns == RIG_NS, "%u", result.ns);
	w[0] = rig_write(WRITE_INSERT, "life", "four", none);
	RIG_CHECK(rig_commit(c, w, 1, &result, &err) == DORIS_DUPLICATE, "%s", err.message);
	expect(c, "life", "two");
	w[0] = rig_write(WRITE_DELETE, "life", NULL, version_of(c, "life"));
	must_commit(c, w, 1);
	expect(c, "life", NULL);
	insert(c, "life", "again");
	expect(c, "life", "again");

	/* several vnodes together, or none of them */
	w[0] = rig_write(WRITE_INSERT, "m1", "a", none);
	w[1] = rig_write(WRITE_INSERT, "m2", "b", none);
	w[2] = rig_write(WRITE_INSERT, "m3", "c", none);
	must_commit(c, w, 3);
	expect(c, "m1", "a");
	expect(c, "m2", "b");
	expect(c, "m3", "c");
	w[0] = rig_write(WRITE_INSERT, "m4", "a", none);
	w[1] = rig_write(WRITE_INSERT, "m5", "b", none);
	w[2] = rig_write(WRITE_INSERT, "m3", "x", none);
	RIG_CHECK(rig_commit(c, w, 3, &result, &err) == DORIS_DUPLICATE, "%s", err.message);
	RIG_CHECK(memcmp(result.key, "m3", 2) == 0, "%.2s", (const char *) result.key);
	expect(c, "m4", NULL);
	expect(c, "m5", NULL);
	w[2] = rig_write(WRITE_UPDATE, "m3", "x", version_of(c, "m3"));
	must_commit(c, w, 3);
	expect(c, "m3", "x");
	expect(c, "m5", "b");
	RIG_CHECK(rig_commit(c, w, 0, &result, &err) == DORIS_OK, "%s", err.message);
	settle(c);
	RIG_CHECK(rig_copies_equal(c, true), "the copies differ");
	doris_disconnect(c);
	return 0;
}

static void test_life(void **state)
{
	assert_int_equal(rig_run(the_rig(state), child_life, NULL), 0);
}

/* ---- many clients, one row: one winner for each version read ---- */
#define RACERS 6
#define RACES 40

static int child_racer(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 10000);
	int *seed = arg;
	int wins = 0;
	int tries = 0;

	while (wins < RACES)
	{
		char text[64];
		char next[64];
		DorisVersion v;
		DorisError err;
		DorisCommitResult result;
		DorisWrite w[2];
		DorisStatus st;
		/* every other client takes a second row along: a decision row, and locks in another order */
		int n = *seed % 2 + 1;

		st = rig_read(c, "race", text, sizeof(text), &v, &err);
		RIG_CHECK(st == DORIS_OK, "%s: %s", doris_status_name(st), err.message);
		snprintf(next, sizeof(next), "%d", atoi(text) + 1);
		w[0] = rig_write(WRITE_UPDATE, "race", next, v);
		if (n == 2)
		{
			char other[32];

			snprintf(other, sizeof(other), "race-%d-%d", *seed, wins);
			w[1] = rig_write(WRITE_INSERT, other, next, none);
		}
		st = rig_commit(c, w, (uint32_t) n, &result, &err);
		RIG_CHECK(st == DORIS_OK || st == DORIS_CONFLICT, "%s: %s (%s)", doris_status_name(st),
				  err.message, err.hint);
		wins += st == DORIS_OK;
		RIG_CHECK(++tries < RACES * 200, "no progress: %d wins", wins);
	}
	settle(c);
	doris_disconnect(c);
	return 0;
}

static int child_race_begin(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 5000);

	(void) arg;
	insert(c, "race", "0");
	doris_disconnect(c);
	return 0;
}

static int child_race_end(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 5000);
	char total[32];

	(void) arg;
	snprintf(total, sizeof(total), "%d", RACERS * RACES);
	expect(c, "race", total);
	RIG_CHECK(rig_copies_equal(c, true), "the copies differ");
	doris_disconnect(c);
	return 0;
}

static void test_race(void **state)
{
	Rig *r = the_rig(state);
	pid_t pids[RACERS];
	int seeds[RACERS];
	int i;

	assert_int_equal(rig_run(r, child_race_begin, NULL), 0);
	for (i = 0; i < RACERS; i++)
	{
		seeds[i] = i;
		pids[i] = rig_child(r, child_racer, &seeds[i]);
	}
	for (i = 0; i < RACERS; i++)
		assert_int_equal(rig_wait(pids[i]), 0);
	assert_int_equal(rig_run(r, child_race_end, NULL), 0);
}

/* ---- a client that dies at a given step ---- */
typedef enum Step
{
	STEP_ONE,	   /* only one target has its rows */
	STEP_STAGED,   /* all hold everything, no decision */
	STEP_DECIDING, /* the decision row is at one of its targets */
	STEP_DECIDED   /* the decision is held by all, nothing finished */
} Step;

#define MAX_ROWS 8

typedef struct Death
{
	Step step;
	int rows; /* 1: one vnode; 3: several; MAX_ROWS: more than may be named */
	const char *tag;
	bool committed; /* what the survivors must find; deciding: either */
	bool either;
	bool named; /* it may name its vnodes: then what all hold is committed */
} Death;

static void death_key(const Death *d, int i, char *out, size_t size)
{
	snprintf(out, size, "dead-%s-%d-%d", d->tag, d->rows, i);
}

/* Goes as far as doris_commit would and is killed there. */
static int child_dies(Rig *r, void *arg)
{
	const Death *d = arg;
	DorisClient *c = rig_connect(r, 1500); /* its transactions expire after this */
	DorisCommitResult result;
	DorisError err;
	Txn x;
	int i;
	uint32_t k;

	client_begin(c);
	txn_init(&x, c, &result);
	x.tries_named = d->named;
	txn_attempt(&x);
	for (i = 0; i < d->rows; i++)
	{
		char key[64];
		DorisWrite w;

		death_key(d, i, key, sizeof(key));
		w = rig_write(WRITE_UPDATE, key, "new", version_of(c, key));
		RIG_CHECK(txn_add(&x, &w, &err) == STAGE_GO, "%s", err.message);
	}
	if (d->step == STEP_ONE)
		for (k = 1; k < x.ntargets; k++)
			x.targets[k]->nitems = 0;
	RIG_CHECK(txn_hold(&x, &err) == STAGE_GO, "%s", err.message);
	if (d->step >= STEP_DECIDING && d->rows > 1)
	{
		uint8_t id[DORIS_TXNID_SIZE];
		KeyRef at = {.space = DORIS_SPACE_DECISIONS, .vnode = x.vnode, .key = {id, sizeof(id)}};
		StageOne one;
		Topology *t = topology_clone(x.topo);

		txnid_to_key(x.id, id);
		if (d->step == STEP_DECIDING)
		{
			/* as if the message to the second copy were lost */
			topology_copy(t, 2, x.vnode)->owner = topology_copy(t, 1, x.vnode)->owner;
		}
		RIG_CHECK(stage_one(c, t, decision_txn(x.id), x.version, x.expires_ms, &at,
							(DorisBytes){(const uint8_t *) "C", 1}, c->until, &one,
							&err) == TXN_COMMITTED,
				  "%s", err.message);
	}
	(void) kill(getpid(), SIGKILL);
	return 1;
}

static int child_prepare_death(Rig *r, void *arg)
{
	const Death *d = arg;
	DorisClient *c = rig_connect(r, 5000);
	int i;

	for (i = 0; i < d->rows; i++)
	{
		char key[64];

		death_key(d, i, key, sizeof(key));
		insert(c, key, "old");
	}
	settle(c);
	doris_disconnect(c);
	return 0;
}

/* How many of the rows a GET finds whose filter asks for the value. */
static int found_with(DorisClient *c, const Death *d, const char *value, bool no_values)
{
	static const uint16_t column = RIG_COLUMN;
	DorisGetSpec spec = {.columns = &column, .ncolumns = 1, .no_values = no_values};
	DorisBytes keys[MAX_ROWS];
	DorisBuf steps;
	DorisBuf program;
	DorisRows *rows;
	const DorisRow *got;
	DorisError err;
	uint32_t n;
	int found = 0;

	for (int i = 0; i < d->rows; i++)
	{
		char key[64];

		death_key(d, i, key, sizeof(key));
		keys[i] = rig_key(key);
	}
	buf_init(&steps);
	buf_init(&program);
	filter_put_compare(&steps, FILTER_EQ, RIG_COLUMN, value, strlen(value));
	filter_finish(&program, 1, &steps);
	spec.filter = (DorisBytes){program.data, program.len};
	RIG_CHECK(doris_get(c, rig_ns(c), keys, (uint32_t) d->rows, &spec, &rows, &err) == DORIS_OK,
			  "%s", err.message);
	got = doris_rows(rows, &n);
	for (uint32_t i = 0; i < n; i++)
	{
		RIG_CHECK(!got[i].found || strcmp(rig_text(got[i].value), no_values ? "" : value) == 0,
				  "a row with \"%s\"", rig_text(got[i].value));
		RIG_CHECK(got[i].found || got[i].value.len == 0, "a value of a row that is not found");
		found += got[i].found;
	}
	doris_rows_free(rows);
	buf_free(&steps);
	buf_free(&program);
	return found;
}

/* Readers see all or nothing at once; a writer gets through, at the latest when the dead one has expired. */
static int child_survives(Rig *r, void *arg)
{
	const Death *d = arg;
	DorisClient *c = rig_connect(r, 10000);
	const char *seen = NULL;
	int news = found_with(c, d, "new", false);
	int olds = found_with(c, d, "old", true);
	int i;

	RIG_CHECK(news + olds == d->rows && (news == 0 || olds == 0), "%d new, %d old", news, olds);
	for (i = 0; i < d->rows; i++)
	{
		char key[64];
		char text[64];
		DorisError err;

		death_key(d, i, key, sizeof(key));
		RIG_CHECK(rig_read(c, key, text, sizeof(text), NULL, &err) == DORIS_OK, "%s", err.message);
		if (seen == NULL)
			seen = news > 0 ? "new" : "old";
		RIG_CHECK(strcmp(text, seen) == 0, "%s is %s, the first was %s", key, text, seen);
	}
	if (!d->either)
		RIG_CHECK(strcmp(seen, d->committed ? "new" : "old") == 0, "they are %s", seen);
	for (i = 0; i < d->rows; i++)
	{
		char key[64];
		DorisWrite w;

		death_key(d, i, key, sizeof(key));
		w = rig_write(WRITE_UPDATE, key, "after", version_of(c, key));
		must_commit(c, &w, 1);
		expect(c, key, "after");
	}
	settle(c);
	RIG_CHECK(rig_copies_equal(c, false), "the copies differ");
	doris_disconnect(c);
	return 0;
}

static void test_deaths(void **state)
{
	Rig *r = the_rig(state);
	static const Death deaths[] = {
		{STEP_ONE, 1, "one", false, false, false},
		{STEP_STAGED, 1, "staged", true, false, false},
		{STEP_ONE, 3, "one", false, false, false},
		{STEP_STAGED, 3, "staged", false, false, false},
		{STEP_DECIDING, 3, "deciding", false, false, false},
		{STEP_DECIDED, 3, "decided", true, false, false},
		{STEP_ONE, 3, "named-one", false, false, true},
		{STEP_STAGED, 3, "named-staged", true, false, true},
		{STEP_DECIDING, 3, "named-deciding", true, false, true},
		{STEP_DECIDED, 3, "named-decided", true, false, true},
	};
	size_t i;

	for (i = 0; i < sizeof(deaths) / sizeof(deaths[0]); i++)
	{
		Death d = deaths[i];

		assert_int_equal(rig_run(r, child_prepare_death, &d), 0);
		assert_int_equal(rig_run(r, child_dies, &d), -1);
		assert_int_equal(rig_run(r, child_survives, &d), 0);
	}
}

#ifdef DORIS_FAULT_POINTS
/* ---- the same by fault points, in builds that have them: doris_commit itself is killed at each ---- */
static int child_hits_fault(Rig *r, void *arg)
{
	const Death *d = arg;
	DorisClient *c = rig_connect(r, 1500);
	DorisWrite w[MAX_ROWS];
	DorisCommitResult result;
	DorisError err;
	char fault[64];
	int i;

	snprintf(fault, sizeof(fault), "%s=kill", d->tag);
	RIG_CHECK(setenv("DORIS_FAULT", fault, 1) == 0, "setenv");
	for (i = 0; i < d->rows; i++)
	{
		char key[64];

		death_key(d, i, key, sizeof(key));
		w[i] = rig_write(WRITE_UPDATE, key, "new", version_of(c, key));
	}
	RIG_CHECK(rig_commit(c, w, (uint32_t) d->rows, &result, &err) == DORIS_OK, "%s", err.message);
	doris_disconnect(c); /* what goes on in the background ends here */
	return 0;			 /* the point is not on this way */
}

static void test_fault_points(void **state)
{
	Rig *r = the_rig(state);
	static const Death deaths[] = {
		{STEP_ONE, 1, "client-staged-one", false, true, false},
		{STEP_ONE, 3, "client-staged-one", false, true, false},
		{STEP_ONE, 1, "client-staged", true, false, false},
		{STEP_ONE, 3, "client-staged", true, false, false},
		{STEP_ONE, MAX_ROWS, "client-staged", false, false, false},
		{STEP_ONE, 3, "client-named", true, false, false},
		{STEP_ONE, 3, "client-deciding", true, false, false},
		{STEP_ONE, 3, "client-decided", true, false, false},
		{STEP_ONE, MAX_ROWS, "client-decided", true, false, false},
		{STEP_ONE, 1, "client-finishing", true, false, false},
		{STEP_ONE, 3, "client-finishing", true, false, false},
		{STEP_ONE, MAX_ROWS, "client-finishing", true, false, false},
	};
	size_t i;

	for (i = 0; i < sizeof(deaths) / sizeof(deaths[0]); i++)
	{
		Death d = deaths[i];

		assert_int_equal(rig_run(r, child_prepare_death, &d), 0);
		assert_int_equal(rig_run(r, child_hits_fault, &d), -1);
		assert_int_equal(rig_run(r, child_survives, &d), 0);
	}
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_deaths),
#ifdef DORIS_FAULT_POINTS
		cmocka_unit_test(test_fault_points),
#endif
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	return cmocka_run_group_tests(tests, up, down);
}
