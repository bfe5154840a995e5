/* links: client rig */
/*
 * test_client_named.c: transactions that name their vnodes (docs/decisions/0021) while the map changes: what is acknowledged is
 * found by those who have an old map, and no id is used in two modes.
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

#include "rig.h"
#include "txn.h"

#define VNODES 32

static const DorisVersion none = {0, 0};

/* Of an even vnode (nodes 1 and 2) and of an odd one (nodes 3 and 4). */
static char even[32];
static char odd[32];

/* The rig's process and one child, in turns. */
static int says[2];
static int hears[2];

static int setup(void **state)
{
	for (int i = 0; even[0] == '\0' || odd[0] == '\0'; i++)
	{
		char key[32];

		snprintf(key, sizeof(key), "key-%d", i);
		strcpy(route_vnode(rig_key(key), VNODES) % 2 == 0 ? even : odd, key);
	}
	*state = rig_up(2, 2, VNODES);
	return pipe(says) != 0 || pipe(hears) != 0;
}

static int teardown(void **state)
{
	rig_down(*state);
	return 0;
}

/* Of the child: it has come so far, and waits. */
static void stand(void)
{
	char b = 's';

	RIG_CHECK(write(says[1], &b, 1) == 1 && read(hears[0], &b, 1) == 1, "the other process");
}

static void await_child(void)
{
	char b;

	assert_int_equal(read(says[0], &b, 1), 1);
}

static void let_go(void)
{
	assert_int_equal(write(hears[1], "g", 1), 1);
}

/* The copies of all odd (or even) vnodes in a group are changed in the epoch that is published next. */
static void change_copies(Rig *r, uint32_t parity, uint32_t group, uint32_t owner, bool complete)
{
	for (uint32_t v = parity; v < VNODES; v += 2)
	{
		TopoCopy *copy = topology_copy(r->topo, group, v);

		copy->owner = owner != 0 ? owner : copy->owner;
		copy->complete = complete;
		copy->changed = r->topo->epoch + 1;
	}
}

/* Stages one row of each kind, which commits them, and dies before anybody is told. */
static int child_commits_and_dies(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 30000);
	DorisCommitResult result;
	DorisError err;
	Txn x;

	(void) arg;
	client_begin(c);
	txn_init(&x, c, &result);
	txn_attempt(&x);
	for (int i = 0; i < 2; i++)
	{
		DorisWrite w = rig_write(WRITE_INSERT, i == 0 ? even : odd, "new", none);

		RIG_CHECK(txn_add(&x, &w, &err) == STAGE_GO, "%s", err.message);
	}
	RIG_CHECK(txn_hold(&x, &err) == STAGE_GO, "%s", err.message);
	RIG_CHECK(x.mode == TXN_NAMED, "mode %d", (int) x.mode);
	(void) kill(getpid(), SIGKILL);
	return 1;
}

/* ---- a hint of an earlier attempt ---- */
typedef struct Source
{
	DorisWrite rows[2];
	int at;
	int attempts;
} Source;

static DorisStatus source_next(void *arg, DorisWrite *out, DorisError *err)
{
	Source *s = arg;

	(void) err;
	if (s->at == 0 && s->attempts < 3)
		stand(); /* by the map that this attempt has taken */
	if (s->at == 2)
		return DORIS_NOT_FOUND;
	*out = s->rows[s->at++];
	return DORIS_OK;
}

static DorisStatus source_rewind(void *arg, DorisError *err)
{
	Source *s = arg;

	(void) err;
	s->at = 0;
	s->attempts++;
	return DORIS_OK;
}

static int child_follows_the_map(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 30000);
	Source s = {.at = 0};
	DorisWriteSource source = {.arg = &s, .next = source_next, .rewind = source_rewind};
	DorisCommitResult result;
	DorisError err;

	(void) arg;
	s.rows[0] = rig_write(WRITE_INSERT, even, "new", none);
	s.rows[1] = rig_write(WRITE_INSERT, odd, "new", none);
	RIG_CHECK(doris_commit(c, &source, &result, &err) == DORIS_OK, "%s", err.message);
	RIG_CHECK(s.attempts == 2, "%d attempts", s.attempts);
	/* the log node may hold a hint under this id that points to a decision row: so that has to be the way */
	RIG_CHECK(c->deciding == NULL, "the rows named their vnodes");
	doris_disconnect(c);
	return 0;
}

static void test_hint_of_an_earlier_attempt(void **state)
{
	Rig *r = *state;
	pid_t pid;

	/* nodes 1 and 3, the lead copies, are down; node 4 keeps hints, and node 2 has all vnodes of its group */
	r->topo->nodes[3].role = NODE_LOG;
	r->topo->nodes[3].group = 0;
	for (uint32_t parity = 0; parity < 2; parity++)
	{
		change_copies(r, parity, 1, 0, false);
		change_copies(r, parity, 2, 2, true);
	}
	rig_set_down(r, 0, true);
	rig_set_down(r, 2, true);
	rig_publish(r, true);
	pid = rig_child(r, child_follows_the_map, NULL);
	await_child();
	/* the hint for node 1 is kept, the one for node 3 refused */
	rig_set_down(r, 2, false);
	change_copies(r, 1, 1, 0, false);
	rig_publish(r, true);
	let_go();
	await_child();
	rig_set_down(r, 0, false);
	change_copies(r, 0, 1, 0, false);
	rig_publish(r, true);
	let_go();
	await_child();
	let_go();
	assert_int_equal(rig_wait(pid), 0);
}

/* ---- who meets one by an old map ---- */
static int child_reads_by_the_old_map(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 10000);
	char text[64];
	DorisError err;
	DorisStatus st;

	(void) arg;
	stand();
	st = rig_read(c, even, text, sizeof(text), NULL, &err);
	RIG_CHECK(st == DORIS_OK && strcmp(text, "new") == 0, "%s \"%s\"", doris_status_name(st), text);
	doris_disconnect(c);
	return 0;
}

/*
 * The only judge of one vnode has been replaced without knowing: it says that it has nothing, and only the copy that did not judge
 * knows that there is a newer map.
 */
static void test_reader_with_an_old_map(void **state)
{
	Rig *r = *state;
	pid_t pid;

	change_copies(r, 1, 1, 0, false);
	rig_publish(r, true);
	usleep(500000);
	pid = rig_child(r, child_reads_by_the_old_map, NULL);
	await_child();
	rig_signal(r, 3, SIGSTOP);
	change_copies(r, 1, 1, 0, true);
	change_copies(r, 1, 2, 2, true);
	rig_set_down(r, 3, true);
	rig_publish(r, false);
	assert_int_equal(rig_run(r, child_commits_and_dies, NULL), -1);
	rig_signal(r, 3, SIGCONT);
	let_go();
	assert_int_equal(rig_wait(pid), 0);
}

static int child_writes_by_the_old_map(Rig *r, void *arg)
{
	DorisClient *c = rig_connect(r, 10000);
	DorisWrite w = rig_write(WRITE_INSERT, even, "rival", none);
	DorisCommitResult result;
	DorisError err;
	uint64_t began;

	(void) arg;
	stand();
	began = clock_mono_ms();
	RIG_CHECK(rig_commit(c, &w, 1, &result, &err) == DORIS_DUPLICATE, "%s", err.message);
	/* the nodes' settlers would end it after two seconds */
	RIG_CHECK(clock_mono_ms() - began < 1500, "%u ms", (unsigned) (clock_mono_ms() - began));
	doris_disconnect(c);
	return 0;
}

/* Only the vnode that the writer does not write has changed. */
static void test_writer_with_an_old_map(void **state)
{
	Rig *r = *state;
	pid_t pid = rig_child(r, child_writes_by_the_old_map, NULL);

	await_child();
	change_copies(r, 1, 2, 2, true);
	rig_publish(r, true);
	assert_int_equal(rig_run(r, child_commits_and_dies, NULL), -1);
	let_go();
	assert_int_equal(rig_wait(pid), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_hint_of_an_earlier_attempt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reader_with_an_old_map, setup, teardown),
		cmocka_unit_test_setup_teardown(test_writer_with_an_old_map, setup, teardown),
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
