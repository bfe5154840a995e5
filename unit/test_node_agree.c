/* links: wire node */
/*
 * test_node_agree.c: what is staged on a node that recovers and on its source comes into agreement, whatever happens between
 * the steps: writes, lost ends, rivals, refusals, changes of the epoch, restarts; random histories by a seed (DORIS_SEED).
 */
#include "test_recover_pair.h"

/* ---- staged writes ---- */

/* Held by both when node 1 went; ended while it was down, or not. */
static void test_ended_meanwhile(void **state)
{
	DorisTxnId committed = new_txn();
	DorisTxnId overwritten = new_txn();
	DorisTxnId dropped = new_txn();
	DorisTxnId open = new_txn();

	(void) state;
	assert_int_equal(stage_at(EVERYWHERE, committed, 1, "c", WRITE_INSERT, no_version, "c"), 0);
	assert_int_equal(stage_at(EVERYWHERE, overwritten, 1, "o", WRITE_INSERT, no_version, "o"), 0);
	assert_int_equal(stage_at(EVERYWHERE, dropped, 1, "d", WRITE_INSERT, no_version, "d"), 0);
	assert_int_equal(stage_at(EVERYWHERE, open, 1, "p", WRITE_INSERT, no_version, "p"), 0);
	go_down();
	finish_at(AT_SOURCE, committed, true, 1);
	finish_at(AT_SOURCE, overwritten, true, 1);
	(void) put_at(AT_SOURCE, 1, "o", "newer");
	finish_at(AT_SOURCE, dropped, false, 1);
	come_back();
	assert_int_equal(recover_all(1), 0);
	check_equal(VNODES);
	assert_string_equal(look(&mine, 1, "c").value, "c");
	assert_string_equal(look(&mine, 1, "o").value, "newer");
	assert_int_equal(look(&mine, 1, "o").nstaged, 0);
	assert_int_equal(look(&mine, 1, "d").nstaged, 0);
	assert_int_equal(look(&mine, 1, "p").nstaged, 1);
	assert_int_equal(outcome(&mine.f, committed, 1, false), OUTCOME_COMMITTED);
	assert_int_equal(outcome(&mine.f, overwritten, 1, false), OUTCOME_COMMITTED);
	assert_int_equal(outcome(&mine.f, dropped, 1, false), OUTCOME_REFUSED);
	assert_int_equal(outcome(&mine.f, open, 1, false), OUTCOME_HELD);
	assert_int_equal(atomic_load(&mine.f.node->staged), 1);
	finish_at(EVERYWHERE, open, true, 1);
	assert_int_equal(atomic_load(&mine.f.node->staged), 0);
	check_equal(VNODES);
}

/* Staged on one side only. */
static void test_one_sided(void **state)
{
	DorisTxnId at_source = new_txn();
	DorisTxnId at_mine = new_txn();
	StageRow rows[2] = {stage_row_of(1, "a", WRITE_INSERT, no_version, "a"),
						stage_row_of(2, "b", WRITE_INSERT, no_version, "b")};
	DorisTxnId big = new_txn();

	(void) state;
	assert_int_equal(stage_at(AT_MINE, at_mine, 1, "m", WRITE_INSERT, no_version, "m"), 0);
	go_down();
	assert_int_equal(stage_at(AT_SOURCE, at_source, 1, "s", WRITE_INSERT, no_version, "s"), 0);
	assert_int_equal(stage(&source.f, source.f.topo->epoch, big, version_of(big.clock),
						   TXN_DECISION, rows, 2, NULL),
					 0);
	come_back();
	assert_int_equal(recover_all(1), 0);
	check_equal(VNODES);
	assert_int_equal(look(&mine, 1, "m").nstaged, 0);
	assert_int_equal(look(&mine, 1, "s").nstaged, 1);
	/* the source has refused what it did not hold: it cannot be committed any more */
	assert_int_equal(outcome(&source.f, at_mine, 1, false), OUTCOME_REFUSED);
	assert_int_equal(stage_at(AT_SOURCE, at_mine, 1, "m", WRITE_INSERT, no_version, "m"),
					 REFUSAL_REFUSED);
	/* what was taken can be ended: the index has it */
	assert_int_equal(atomic_load(&mine.f.node->staged), 2);
	finish_at(EVERYWHERE, at_source, true, 1);
	finish_at(EVERYWHERE, big, true, 1);
	assert_int_equal(atomic_load(&mine.f.node->staged), 0);
	check_equal(VNODES);
	assert_string_equal(look(&mine, 2, "b").value, "b");
	check_sums(&mine, 1);
}

/* A refusal of the present epoch stands against what a pass brings. */
static void test_refused_stays(void **state)
{
	DorisTxnId txn = new_txn();
	DorisTxnId before = new_txn();

	(void) state;
	go_down();
	assert_int_equal(stage_at(AT_SOURCE, txn, 1, "r", WRITE_INSERT, no_version, "r"), 0);
	assert_int_equal(stage_at(AT_SOURCE, before, 1, "b", WRITE_INSERT, no_version, "b"), 0);
	publish_incomplete(NODE_UP, true);
	assert_int_equal(outcome(&mine.f, before, 1, true), OUTCOME_REFUSED);
	come_back(); /* the refusal before it has lapsed (rule refusals end) */
	assert_int_equal(outcome(&mine.f, txn, 1, true), OUTCOME_REFUSED);
	assert_int_equal(recover_all(1), 0);
	assert_int_equal(look(&mine, 1, "r").nstaged, 0);
	assert_int_equal(look(&mine, 1, "b").nstaged, 1);
	/* whoever closes it finds the refusal and drops it at the source */
	finish_at(AT_SOURCE, txn, false, 1);
	check_equal(VNODES);
}

/* Committed by everybody's knowledge but the FINISH, and older than anybody's memory. */
static void test_older_than_memory(void **state)
{
	DorisTxnId committed = new_txn();
	DorisTxnId dropped = new_txn();

	(void) state;
	assert_int_equal(stage_at(EVERYWHERE, committed, 1, "c", WRITE_INSERT, no_version, "c"), 0);
	assert_int_equal(stage_at(EVERYWHERE, dropped, 1, "d", WRITE_INSERT, no_version, "d"), 0);
	go_down();
	finish_at(AT_SOURCE, committed, true, 1);
	finish_at(AT_SOURCE, dropped, false, 1);
	atomic_store(&source.f.node->horizon_ms, clock_wall_ms() + 60000);
	assert_int_equal(background_purge(&source.f.w, &source.f.err), DORIS_OK);
	come_back();
	assert_int_equal(recover_all(1), 0);
	assert_string_equal(look(&mine, 1, "c").value, "c");
	assert_int_equal(look(&mine, 1, "c").nstaged, 0);
	assert_int_equal(look(&mine, 1, "d").nstaged, 0);
	check_equal(VNODES);
}

/* ---- between the steps ---- */

typedef struct Between
{
	const char *step;
	void (*fn)(void);
	int calls;
} Between;

static DorisTxnId kept[4];

static void on_step(void *arg, const char *name)
{
	Between *b = arg;

	if (strcmp(b->step, name) == 0 && b->calls++ == 0)
		b->fn();
}

static void with_step(Between *b)
{
	rec.on_step = on_step;
	rec.step_arg = b;
}

static void write_lost_finish(void)
{
	kept[0] = new_txn();
	assert_int_equal(stage_at(EVERYWHERE, kept[0], 1, "w", WRITE_INSERT, no_version, "w"), 0);
	finish_at(AT_SOURCE, kept[0], true, 1);
	kept[1] = put_at(EVERYWHERE, 1, "row", "2");
	/* staged before at both; ends now, and the FINISH to node 1 is lost */
	finish_at(AT_SOURCE, kept[2], true, 1);
}

static void test_writes_between(void **state)
{
	static const char *const steps[] = {"recover_passed", "recover_memory", "recover_judging"};

	(void) state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
	{
		Between b = {.step = steps[i], .fn = write_lost_finish};
		char key[16];

		(void) snprintf(key, sizeof(key), "s%zu", i);
		(void) put_at(EVERYWHERE, 1, "row", "1");
		if (i > 0)
			(void) put_at(EVERYWHERE, 1, "w", NULL);
		go_down();
		kept[2] = new_txn();
		assert_int_equal(stage_at(AT_SOURCE, kept[2], 1, key, WRITE_INSERT, no_version, "s"), 0);
		come_back();
		with_step(&b);
		assert_int_equal(recover_all(1), 0);
		assert_int_equal(b.calls, 1);
		check_equal(VNODES);
		assert_string_equal(look(&mine, 1, "w").value, "w");
		assert_string_equal(look(&mine, 1, "row").value, "2");
		assert_string_equal(look(&mine, 1, key).value, "s");
		/* the memory was read after the pass: nothing that was committed meanwhile is unknown */
		for (int k = 0; k < 3; k++)
			assert_int_equal(outcome(&mine.f, kept[k], 1, false), OUTCOME_COMMITTED);
		publish_complete();
	}
}

/* Rivals: the source holds one, node 1, judging by then, has let another in. */
static void let_rival_in(void)
{
	kept[1] = new_txn();
	assert_int_equal(stage_at(AT_MINE, kept[1], 1, "row", WRITE_INSERT, no_version, "rival"), 0);
	kept[0] = new_txn();
	assert_int_equal(stage_at(AT_SOURCE, kept[0], 1, "row", WRITE_INSERT, no_version, "held"), 0);
	/* node 1 judges: it takes no second one from a client */
	assert_int_equal(stage_at(AT_MINE, kept[0], 1, "row", WRITE_INSERT, no_version, "held"),
					 REFUSAL_STAGED);
}

static void test_rivals(void **state)
{
	Between b = {.step = "recover_judging", .fn = let_rival_in};

	(void) state;
	go_down();
	come_back();
	with_step(&b);
	assert_int_equal(recover_all(1), 0);
	assert_int_equal(look(&mine, 1, "row").nstaged, 1);
	assert_int_equal(txnid_compare(look(&mine, 1, "row").staged, kept[0]), 0);
	assert_int_equal(outcome(&source.f, kept[1], 1, false), OUTCOME_REFUSED);
	/* the same when the copy is ready: asked for, it takes the source's, and the rival goes */
	kept[2] = new_txn();
	kept[3] = new_txn();
	assert_int_equal(stage_at(AT_MINE, kept[3], 2, "row", WRITE_INSERT, no_version, "rival"), 0);
	assert_int_equal(stage_at(AT_SOURCE, kept[2], 2, "row", WRITE_INSERT, no_version, "held"), 0);
	assert_int_equal(outcome(&mine.f, kept[2], 2, false), OUTCOME_NOT_HELD);
	recover_serve_wants(&rec);
	assert_int_equal(outcome(&mine.f, kept[2], 2, false), OUTCOME_HELD);
	assert_int_equal(look(&mine, 2, "row").nstaged, 1);
	assert_int_equal(outcome(&mine.f, kept[3], 2, false), OUTCOME_REFUSED);
	check_equal(VNODES);
	/* asked with "refuse" it refuses, as ever */
	assert_int_equal(outcome(&mine.f, new_txn(), 2, true), OUTCOME_REFUSED);
}

/* Before the pass, too: who meets a staged write makes the copy take it. */
static void test_wanted_early(void **state)
{
	DorisTxnId txn = new_txn();
	DorisTxnId other = new_txn();

	(void) state;
	go_down();
	assert_int_equal(stage_at(AT_SOURCE, txn, 1, "t", WRITE_INSERT, no_version, "t"), 0);
	come_back();
	assert_int_equal(stage_at(AT_MINE, other, 1, "t", WRITE_INSERT, no_version, "o"), 0);
	assert_int_equal(outcome(&mine.f, txn, 1, false), OUTCOME_NOT_HELD);
	recover_serve_wants(&rec);
	assert_int_equal(outcome(&mine.f, txn, 1, false), OUTCOME_HELD);
	assert_int_equal(look(&mine, 1, "t").nstaged, 2); /* it does not judge yet */
	assert_int_equal(recover_all(1), 0);
	assert_int_equal(look(&mine, 1, "t").nstaged, 1);
	assert_int_equal(txnid_compare(look(&mine, 1, "t").staged, txn), 0);
}

/* ---- epochs, restarts, sources ---- */

static void change_epoch(void)
{
	come_back();
}

static void change_at_source(void)
{
	publish_incomplete(NODE_UP, false);
}

static void test_epoch_moves(void **state)
{
	static const char *const steps[] = {"recover_passed", "recover_memory", "recover_judging",
										"recover_settled"};

	(void) state;
	go_down();
	(void) put_at(AT_SOURCE, 1, "a", "1");
	for (size_t i = 0; i < 2 * sizeof(steps) / sizeof(steps[0]); i++)
	{
		Between b = {.step = steps[i / 2], .fn = i % 2 == 0 ? change_epoch : change_at_source};
		NodeReport report = {0};
		uint64_t epoch;

		come_back();
		with_step(&b);
		epoch = source.f.topo->epoch;
		assert_int_equal(b.calls, 0);
		(void) recover_all(1);
		assert_int_equal(b.calls, 1);
		/* nothing done for the old epoch counts in the new one */
		recover_report(mine.f.node, &report);
		for (uint32_t k = 0; k < report.nready; k++)
			assert_true(i % 2 == 1 && report.ready[k].changed == epoch);
		free(report.ready);
		if (i % 2 == 0)
		{
			assert_int_equal(atomic_load(&mine.f.node->recovery.open), VNODES);
			assert_false(epoch_judges(mine.f.node, 1));
		}
		/* from the source it learns of the newer topology, at the latest when it asks for more */
		rec.on_step = NULL;
		if (i % 2 == 1 && atomic_load(&mine.f.node->epoch) < source.f.topo->epoch)
		{
			assert_int_equal(fixture_take(&mine.f, topology_ref(source.f.topo)), DORIS_OK);
			topology_unref(source.f.topo);
		}
		topology_unref(mine.f.topo);
		mine.f.topo = topology_ref(mine.f.node->placement->topo);
		assert_int_equal(recover_all(3), 0);
		memset(&report, 0, sizeof(report));
		recover_report(mine.f.node, &report);
		assert_int_equal(report.nready, VNODES);
		for (uint32_t k = 0; k < report.nready; k++)
			assert_int_equal(report.ready[k].changed, source.f.topo->epoch);
		free(report.ready);
		check_equal(VNODES);
	}
}

/* The source has not heard of the epoch that node 1 recovers in: it is handed on (the fence). */
static void test_source_behind(void **state)
{
	Topology *t;
	DorisBytes encoded;

	(void) state;
	go_down();
	(void) put_at(AT_SOURCE, 1, "a", "1");
	come_back();
	t = next_topology();
	for (uint32_t v = 0; v < t->vnodes; v++)
		topology_copy(t, 1, v)->changed = t->epoch;
	assert_int_equal(topology_seal(t, NULL, &mine.f.err), DORIS_OK);
	encoded.data = t->encoded;
	encoded.len = t->encoded_len;
	assert_int_equal(epoch_take(&mine.f.w, encoded, &mine.f.err), DORIS_OK);
	assert_true(atomic_load(&source.f.node->epoch) < t->epoch);
	assert_int_equal(recover_all(2), 0);
	assert_int_equal(atomic_load(&source.f.node->epoch), t->epoch);
	topology_unref(source.f.topo);
	source.f.topo = topology_ref(t);
	topology_unref(mine.f.topo);
	mine.f.topo = t;
	check_equal(VNODES);
}

static void test_source_away(void **state)
{
	Topology *t;

	(void) state;
	go_down();
	(void) put_at(AT_SOURCE, 1, "a", "1");
	come_back();
	/* no complete copy is up: the copy waits */
	t = next_topology();
	t->nodes[1].condition = NODE_DOWN;
	publish(t, true);
	assert_int_equal(recover_all(2), VNODES);
	t = next_topology();
	t->nodes[1].condition = NODE_UP;
	publish(t, true);
	/* up, but it starts anew and was not matched yet */
	side_close(&source, false);
	side_open(&source, 2, false, true);
	assert_int_equal(recover_all(1), VNODES);
	assert_int_equal(recover_all(1), VNODES); /* left alone for a moment */
	t = next_topology();
	publish(t, true);
	usleep(300000);
	assert_int_equal(recover_all(2), 0);
	check_equal(VNODES);
}

static void stop_here(void)
{
	atomic_store(&mine.f.node->stopping, true);
}

static void test_restart(void **state)
{
	static const char *const steps[] = {"recover_passed", "recover_memory", "recover_judging",
										"recover_settled"};

	(void) state;
	go_down();
	for (int i = 0; i < 3000; i++)
	{
		char key[16];

		(void) snprintf(key, sizeof(key), "%d", i);
		(void) put_at(AT_SOURCE, (uint32_t) i % VNODES, key, "1");
	}
	kept[0] = new_txn();
	assert_int_equal(stage_at(AT_SOURCE, kept[0], 1, "t", WRITE_INSERT, no_version, "t"), 0);
	come_back();
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
	{
		Between b = {.step = steps[i], .fn = stop_here};

		with_step(&b);
		(void) recover_all(1);
		restart_mine(i % 2 == 0);
		/* nothing of it is ready, nothing judges, and no request is let in (rule start) */
		assert_false(epoch_judges(mine.f.node, 1));
		assert_int_equal(epoch_admit(mine.f.node, 1, &mine.f.err), DORIS_UNAVAILABLE);
		assert_non_null(strstr(mine.f.err.message, "is starting"));
		publish(next_topology(), true);
		assert_int_equal(epoch_admit(mine.f.node, 1, &mine.f.err), DORIS_OK);
	}
	assert_int_equal(recover_all(1), 0);
	check_equal(VNODES);
	assert_int_equal(outcome(&mine.f, kept[0], 1, false), OUTCOME_HELD);
}
/* ---- random histories ---- */

static uint64_t seed;

static uint32_t draw(uint32_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t) (seed >> 33) % n;
}

typedef struct Open
{
	DorisTxnId txn;
	uint32_t vnode;
} Open;

static Open opened[64];
static int nopened;

/* One write to both or, when node 1 misses messages, to the source for sure and to node 1 perhaps. */
static void random_write(bool lossy)
{
	char key[16];
	uint32_t vnode = draw(VNODES);
	DorisTxnId txn = new_txn();
	Look was;
	int where = AT_SOURCE | (!lossy || draw(2) == 0 ? AT_MINE : 0);
	WriteKind kind;
	int why;

	(void) snprintf(key, sizeof(key), "k%u", draw(40));
	was = look(&source, vnode, key);
	kind = was.committed && !was.tombstone ? (draw(3) == 0 ? WRITE_DELETE : WRITE_UPDATE)
										   : WRITE_INSERT;
	why = stage_one(&source.f, txn, txn.clock, vnode, key, kind,
					kind == WRITE_INSERT ? no_version : was.version, "v");
	if (why == 0 && (where & AT_MINE) != 0)
		why = stage_one(&mine.f, txn, txn.clock, vnode, key, kind,
						kind == WRITE_INSERT ? no_version : was.version, "v");
	if (why != 0)
	{
		/* refused somewhere: dropped, and the drop may be lost as well */
		(void) finish(&source.f, source.f.topo->epoch, txn, false, vnode);
		if (draw(2) == 0)
			(void) finish(&mine.f, mine.f.topo->epoch, txn, false, vnode);
		return;
	}
	if (nopened < 64 && draw(4) == 0)
	{
		opened[nopened].txn = txn;
		opened[nopened++].vnode = vnode;
		return;
	}
	(void) finish(&source.f, 0, txn, true, vnode);
	if (!lossy || draw(2) == 0)
		(void) finish(&mine.f, 0, txn, true, vnode);
}

/* Ends some of those that were left open. Only what both hold, or must not hold, may be committed. */
static void random_end(bool lossy)
{
	int i;
	bool commit;
	Open o;

	if (nopened == 0)
		return;
	i = (int) draw((uint32_t) nopened);
	o = opened[i];
	opened[i] = opened[--nopened];
	commit = draw(2) == 0;
	if (outcome(&source.f, o.txn, o.vnode, false) != OUTCOME_HELD)
		return;
	if (commit && !lossy && outcome(&mine.f, o.txn, o.vnode, false) != OUTCOME_HELD)
		return; /* not committed: an up copy does not hold it (rule outcome) */
	(void) finish(&source.f, source.f.topo->epoch, o.txn, commit, o.vnode);
	if (draw(2) == 0)
		(void) finish(&mine.f, mine.f.topo->epoch, o.txn, commit, o.vnode);
}

static void random_some(bool lossy, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (draw(4) == 0)
			random_end(lossy);
		else
			random_write(lossy);
	}
}

static void on_random_step(void *arg, const char *name)
{
	(void) arg;
	(void) name;
	random_some(false, 5);
}

static void test_random(void **state)
{
	const char *given = getenv("DORIS_SEED");
	uint64_t first = given != NULL ? strtoull(given, NULL, 10) : clock_wall_ms();

	(void) state;
	print_message("seed %llu\n", (unsigned long long) first);
	seed = first;
	for (int round = 0; round < 12; round++)
	{
		random_some(false, 60);
		/* messages to node 1 get lost, then it is called down, then nothing reaches it */
		random_some(true, 60);
		go_down();
		topology_unref(mine.f.topo);
		mine.f.topo = topology_ref(source.f.topo);
		assert_int_equal(fixture_take(&mine.f, mine.f.topo), DORIS_OK);
		random_some(true, 60);
		if (draw(2) == 0)
		{
			restart_mine(draw(2) == 0);
			publish(next_topology(), true);
		}
		come_back();
		random_some(false, 20);
		rec.on_step = on_random_step;
		if (recover_all(10) != 0)
			fail_msg("seed %llu, round %d: not ready", (unsigned long long) first, round);
		rec.on_step = NULL;
		for (uint32_t v = 0; v < VNODES; v++)
		{
			check_sums(&mine, v);
			check_sums(&source, v);
		}
		publish_complete();
		/* at rest: what the source holds staged is ended on both sides; lost messages are sent again by whoever meets it */
		while (nopened > 0)
		{
			Open o = opened[--nopened];
			bool commit = outcome(&source.f, o.txn, o.vnode, true) == OUTCOME_HELD &&
						  outcome(&mine.f, o.txn, o.vnode, true) == OUTCOME_HELD;
			bool known = outcome(&source.f, o.txn, o.vnode, false) == OUTCOME_COMMITTED ||
						 outcome(&mine.f, o.txn, o.vnode, false) == OUTCOME_COMMITTED;

			(void) finish(&source.f, source.f.topo->epoch, o.txn, commit || known, o.vnode);
			(void) finish(&mine.f, mine.f.topo->epoch, o.txn, commit || known, o.vnode);
		}
		for (uint32_t v = 0; v < VNODES; v++)
		{
			for (uint32_t k = 0; k < 40; k++)
			{
				char key[16];
				Look a;
				Look b;

				(void) snprintf(key, sizeof(key), "k%u", k);
				a = look(&mine, v, key);
				b = look(&source, v, key);
				/* the last copy to hear of a commit may still have it staged */
				if (a.nstaged > 0 && b.nstaged == 0)
				{
					(void) finish(&mine.f, mine.f.topo->epoch, a.staged,
								  outcome(&source.f, a.staged, v, true) == OUTCOME_COMMITTED, v);
					a = look(&mine, v, key);
				}
				if (a.committed != b.committed || a.tombstone != b.tombstone ||
					version_compare(a.version, b.version) != 0 || a.nstaged > 1)
					fail_msg("seed %llu, round %d: vnode %u key %s differ",
							 (unsigned long long) first, round, v, key);
			}
		}
	}
}
/* An argument names one test. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_NODES(test_ended_meanwhile), WITH_NODES(test_one_sided),
		WITH_NODES(test_refused_stays),	  WITH_NODES(test_older_than_memory),
		WITH_NODES(test_writes_between),  WITH_NODES(test_rivals),
		WITH_NODES(test_wanted_early),	  WITH_NODES(test_epoch_moves),
		WITH_NODES(test_source_behind),	  WITH_NODES(test_source_away),
		WITH_NODES(test_restart),		  WITH_NODES(test_random),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("agree", tests, NULL, NULL);
}
