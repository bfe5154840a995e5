/* links: wire node */
/*
 * test_node_move.c: the nodes' side of moving a vnode: a copy on its way here is filled and compared, takes writes without judging
 * until it may, serves nothing before the flip; the old owner holds writes, then drops its table; what a cancelled or an earlier
 * move has left is not used (rules complete, retire, leftovers).
 *
 * One group: all vnodes belong to "source" and move to "mine".
 */
#include "test_recover_pair.h"

/* ---- topologies ---- */

static int setup_move(void **state)
{
	Topology *t;

	(void) state;
	port = 23000 + (int) (getpid() % 400) * 2;
	strcpy(mine.home, "/tmp/test_move_XXXXXX");
	strcpy(source.home, "/tmp/test_move_XXXXXX");
	if (mkdtemp(mine.home) == NULL || mkdtemp(source.home) == NULL)
		return 1;
	side_open(&mine, 1, true, false);
	side_open(&source, 2, true, true);
	t = two_nodes(VNODES);
	assert_true(topology_set_groups(t, 1));
	t->nodes[0].group = t->nodes[1].group = 1;
	t->nodes[0].incarnation = mine.f.node->incarnation;
	t->nodes[1].incarnation = source.f.node->incarnation;
	for (uint32_t v = 0; v < VNODES; v++)
		topology_copy(t, 1, v)->owner = 2;
	publish(t, true);
	assert_int_equal(recoverer_init(&rec, mine.f.node, &mine.f.err), DORIS_OK);
	return 0;
}

static void publish_copies(uint32_t owner, uint32_t incoming, uint32_t retiring, bool to_mine)
{
	Topology *t = next_topology();

	for (uint32_t v = 0; v < t->vnodes; v++)
		*topology_copy(t, 1, v) = (TopoCopy){.owner = owner,
											 .incoming = incoming,
											 .retiring = retiring,
											 .complete = true,
											 .changed = t->epoch};
	publish(t, to_mine);
}

static void publish_incoming(void)
{
	publish_copies(2, 1, 0, true);
}

static void settle_tables(Side *s)
{
	DorisStatus st = DORIS_LIMIT;

	for (int i = 0; i < 100 && st == DORIS_LIMIT; i++)
	{
		if (s == &mine)
			s->f.node->driver->idle(rec.w.ss);
		st = tables_settle(&s->f.w, 0, &s->f.err);
		usleep(20000); /* the workers let go of their cursors */
	}
	assert_int_equal(st, DORIS_OK);
}

static bool has_table(Side *s, uint32_t vnode)
{
	bool there;

	assert_int_equal(s->f.node->driver->exists(s->f.w.ss, vnode, &there, &s->f.err), DORIS_OK);
	return there;
}

/* A record vanishes without a trace, as after its purge, or by a mistake. */
static void vanish(Side *s, uint32_t vnode, const char *key)
{
	Fixture *f = &s->f;
	DorisBytes k;

	buf_reset(&f->w.key);
	record_key(&f->w.key, DORIS_SPACE_ROWS, NS, bytes_of(key));
	k.data = f->w.key.data;
	k.len = f->w.key.len;
	assert_int_equal(f->node->driver->del(f->w.ss, vnode, k, &f->err), DORIS_OK);
	atomic_store(&f->node->counted[vnode], TALLY_NONE);
	(void) sums(s, vnode);
}

static uint64_t counter(Side *s, NodeCounter c)
{
	return atomic_load(&s->f.node->counters[c]);
}

static uint32_t ready_reported(void)
{
	NodeReport r = {0};
	uint32_t n;

	recover_report(mine.f.node, &r);
	n = r.nready;
	node_report_free(&r);
	return n;
}

static DorisStatus try_get(Side *s, uint32_t vnode, const char *key)
{
	Seen seen;

	return get_space(&s->f, DORIS_SPACE_ROWS, NS, vnode, bytes_of(key), &seen);
}

/* ---- a whole move ---- */

static DorisTxnId staged_between;

static void write_between(void *arg, const char *step)
{
	(void) arg;
	if (strcmp(step, "recover_passed") == 0)
	{
		(void) put_at(EVERYWHERE, 1, "a", "2");
		(void) put_at(EVERYWHERE, 1, "late", "1");
		assert_int_equal(ready_reported(), 0);
		assert_false(epoch_judges(mine.f.node, 1));
	}
	else if (strcmp(step, "recover_judging") == 0)
	{
		(void) put_at(EVERYWHERE, 2, "c", NULL);
		staged_between = new_txn();
		assert_int_equal(
			stage_at(EVERYWHERE, staged_between, 3, "between", WRITE_INSERT, no_version, "1"), 0);
	}
}

static void test_move(void **state)
{
	DorisTxnId open;
	DorisTxnId done;
	Look l;

	(void) state;
	(void) put_at(AT_SOURCE, 1, "a", "1");
	(void) put_at(AT_SOURCE, 1, "b", "1");
	done = put_at(AT_SOURCE, 2, "c", "1");
	open = new_txn();
	assert_int_equal(stage_at(AT_SOURCE, open, 1, "open", WRITE_INSERT, no_version, "1"), 0);
	/* no part in it yet */
	assert_true(stage_at(AT_MINE, new_txn(), 1, "x", WRITE_INSERT, no_version, "1") < 0);
	publish_incoming();
	assert_int_equal(atomic_load(&mine.f.node->recovery.open), VNODES);
	assert_false(epoch_judges(mine.f.node, 1));
	/* it holds without judging: the base is not looked at */
	assert_int_equal(stage_at(AT_MINE, new_txn(), 4, "held", WRITE_UPDATE, version_of(1), "1"), 0);
	(void) put_at(EVERYWHERE, 1, "b", "2");
	rec.on_step = write_between;
	assert_int_equal(recover_all(3), 0);
	rec.on_step = NULL;
	check_equal(VNODES);
	assert_int_equal(ready_reported(), VNODES);
	assert_int_equal(counter(&mine, COUNT_MISSED), 0);
	assert_int_equal(counter(&mine, COUNT_DIFFERENT), 0);
	l = look(&mine, 1, "open");
	assert_int_equal(l.nstaged, 1);
	l = look(&mine, 4, "held");
	assert_int_equal(l.nstaged, 0); /* the source never held it */
	assert_int_equal(outcome(&mine.f, done, 2, false), OUTCOME_COMMITTED);
	/* before the flip: reads at the old owner only (I2) */
	assert_int_equal(try_get(&mine, 1, "a"), DORIS_NOT_OWNER);
	assert_string_equal(get(&source.f, 1, "a").value, "2");
	/* flip */
	publish_copies(1, 0, 2, true);
	assert_string_equal(get(&mine.f, 1, "a").value, "2");
	assert_string_equal(get(&mine.f, 1, "b").value, "2");
	assert_string_equal(get(&mine.f, 1, "late").value, "1");
	assert_int_equal(try_get(&source, 1, "a"), DORIS_NOT_OWNER);
	assert_false(epoch_judges(source.f.node, 1));
	assert_true(epoch_judges(mine.f.node, 1));
	/* the old owner holds writes, and judges none */
	assert_int_equal(stage_at(AT_SOURCE, new_txn(), 1, "a", WRITE_UPDATE, version_of(1), "3"), 0);
	assert_true(stage_at(AT_MINE, new_txn(), 1, "a", WRITE_UPDATE, version_of(1), "3") > 0);
	(void) put_at(EVERYWHERE, 1, "after", "1");
	finish_at(AT_MINE, open, true, 1);
	assert_true(rows_counted(&source.f) > 0);
	/* out */
	publish_copies(1, 0, 0, true);
	assert_int_equal(try_get(&source, 1, "a"), DORIS_NOT_OWNER);
	settle_tables(&source);
	for (uint32_t v = 0; v < VNODES; v++)
		assert_false(has_table(&source, v));
	assert_int_equal(rows_counted(&source.f), 0);
	assert_true(rows_counted(&mine.f) == 5); /* a, b, late, open, after */
	/* the index of what was staged there goes too */
	assert_true(atomic_load(&source.f.node->staged) > 0);
	for (;;)
	{
		DorisBuf ids;
		DorisTxnId from = {0};
		uint32_t n;

		buf_init(&ids);
		assert_int_equal(index_list(&source.f.w, from, 1, &ids, &n, &source.f.err), DORIS_OK);
		if (n > 0)
			assert_int_equal(
				finish_clear_index(&source.f.w, txnid_from_key(ids.data), &source.f.err), DORIS_OK);
		buf_free(&ids);
		if (n == 0)
			break;
	}
	assert_int_equal(atomic_load(&source.f.node->staged), 0);
	/* at the new owner nothing of the index goes that is held */
	assert_int_equal(finish_clear_index(&mine.f.w, staged_between, &mine.f.err), DORIS_OK);
	assert_int_equal(outcome(&mine.f, staged_between, 3, false), OUTCOME_HELD);
	for (uint32_t v = 0; v < VNODES; v++)
		check_sums(&mine, v);
}

/* ---- cancelled, restarted, an earlier stay ---- */

static void cancel_between(void *arg, const char *step)
{
	(void) arg;
	if (strcmp(step, "recover_memory") == 0)
		publish_copies(2, 0, 0, true);
}

static void test_cancel(void **state)
{
	(void) state;
	(void) put_at(AT_SOURCE, 1, "a", "1");
	publish_incoming();
	rec.on_step = cancel_between;
	(void) recover_all(2);
	rec.on_step = NULL;
	assert_int_equal(ready_reported(), 0);
	assert_int_equal(rows_counted(&mine.f), 1);
	settle_tables(&mine);
	for (uint32_t v = 0; v < VNODES; v++)
		assert_false(has_table(&mine, v));
	assert_int_equal(rows_counted(&mine.f), 0);
	assert_string_equal(get(&source.f, 1, "a").value, "1");
	(void) put_at(AT_SOURCE, 1, "a", NULL);
	publish_incoming();
	assert_int_equal(recover_all(2), 0);
	check_equal(VNODES);
	assert_true(look(&mine, 1, "a").tombstone);
}

static void restart_between(bool clean)
{
	restart_mine(clean);
	/* its start is named; no copy changes */
	publish(next_topology(), true);
	assert_int_equal(atomic_load(&mine.f.node->recovery.open), VNODES);
	assert_int_equal(ready_reported(), 0);
	assert_false(epoch_judges(mine.f.node, 1));
}

static void test_restart(void **state)
{
	char key[32];

	(void) state;
	for (int i = 0; i < 500; i++)
	{
		(void) snprintf(key, sizeof(key), "k%d", i);
		(void) put_at(AT_SOURCE, (uint32_t) i % VNODES, key, "1");
	}
	publish_incoming();
	assert_int_equal(recover_all(2), 0);
	(void) put_at(EVERYWHERE, 1, "a", "1");
	restart_between(false);
	(void) put_at(EVERYWHERE, 1, "a", "2");
	assert_int_equal(recover_all(2), 0);
	check_equal(VNODES);
	restart_between(true);
	assert_int_equal(recover_all(2), 0);
	check_equal(VNODES);
	publish_copies(1, 0, 2, true);
	assert_string_equal(get(&mine.f, 1, "a").value, "2");
	assert_int_equal(rows_counted(&mine.f), 501);
}

static void test_earlier_stay(void **state)
{
	(void) state;
	(void) put_at(AT_SOURCE, 1, "ghost", "1");
	(void) put_at(AT_SOURCE, 1, "a", "1");
	publish_incoming();
	assert_int_equal(recover_all(2), 0);
	assert_true(look(&mine, 1, "ghost").committed);
	/* an epoch follows that it sees, in which its copy has changed: what it has is good */
	publish_incoming();
	assert_int_equal(atomic_load(&mine.f.node->tables[1]), TABLE_READY);
	assert_int_equal(recover_all(2), 0);
	/* it misses the end of the move; the row is deleted and forgotten */
	publish_copies(2, 0, 0, false);
	vanish(&source, 1, "ghost");
	publish_incoming();
	assert_int_equal(atomic_load(&mine.f.node->tables[1]), TABLE_DROP);
	assert_true(stage_at(AT_MINE, new_txn(), 1, "x", WRITE_INSERT, no_version, "1") < 0);
	/* a crash does not bring it back */
	restart_between(false);
	assert_int_equal(atomic_load(&mine.f.node->tables[1]), TABLE_DROP);
	settle_tables(&mine);
	assert_int_equal(recover_all(2), 0);
	check_equal(VNODES);
	assert_false(look(&mine, 1, "ghost").committed);
	assert_true(look(&mine, 1, "a").committed);
}

/* ---- compared before it is called ready ---- */

static void lose_between(void *arg, const char *step)
{
	(void) arg;
	if (strcmp(step, "recover_settled") == 0)
		vanish(&mine, 1, "lost");
}

static void test_net(void **state)
{
	(void) state;
	(void) put_at(AT_SOURCE, 1, "lost", "1");
	(void) put_at(AT_SOURCE, 1, "a", "1");
	publish_incoming();
	rec.on_step = lose_between;
	assert_int_equal(recover_all(1), 0);
	rec.on_step = NULL;
	check_equal(VNODES);
	assert_int_equal(counter(&mine, COUNT_UNEQUAL), 1);
	assert_int_equal(counter(&mine, COUNT_MISSED), 1);
	assert_int_equal(counter(&mine, COUNT_DIFFERENT), 0);
}

static atomic_bool writer_stop;

/* Writes to the source only, all the time: the sums never agree. */
static void *writer(void *arg)
{
	static char value[100];
	Worker w;
	DorisError err;
	uint64_t i = 0;

	(void) arg;
	memset(value, 'x', sizeof(value) - 1);
	if (worker_init(&w, source.f.node, &err) != DORIS_OK)
		return NULL;
	while (!atomic_load(&writer_stop))
	{
		char key[32];
		ApplyRow row = {.at = {DORIS_SPACE_ROWS, NS, 1, {NULL, 0}},
						.version = version_of(clock_next(&source.f.node->clock)),
						.value = bytes_of(value)};
		ApplyRequest m = {.nrows = 1, .rows = &row};
		ApplyReply reply;

		(void) snprintf(key, sizeof(key), "w%llu", (unsigned long long) (i++ % 2000));
		row.at.key = bytes_of(key);
		if (plain_execute(&w, source.f.topo->epoch, &m, &reply, &err) != DORIS_OK)
			break;
	}
	worker_free(&w);
	return NULL;
}

static void test_written_all_the_time(void **state)
{
	pthread_t thread;
	uint64_t began;

	(void) state;
	(void) put_at(AT_SOURCE, 1, "a", "1");
	publish_incoming();
	atomic_store(&writer_stop, false);
	assert_int_equal(pthread_create(&thread, NULL, writer, NULL), 0);
	usleep(200000);
	began = clock_mono_ms();
	assert_int_equal(recover_all(1), 0);
	print_message("ready in %llu ms\n", (unsigned long long) (clock_mono_ms() - began));
	assert_true(clock_mono_ms() - began < 5000);
	atomic_store(&writer_stop, true);
	(void) pthread_join(thread, NULL);
	assert_int_equal(counter(&mine, COUNT_DIFFERENT), 1);
}

/* ---- pace ---- */

static void fill(int rows)
{
	static char value[1000];
	ApplyRow many[100];
	char keys[100][16];

	memset(value, 'x', sizeof(value) - 1);
	for (int i = 0; i < rows; i += 100)
	{
		ApplyRequest m = {.nrows = 100, .rows = many};
		ApplyReply reply;

		for (int k = 0; k < 100; k++)
		{
			(void) snprintf(keys[k], sizeof(keys[k]), "k%07d", i + k);
			many[k] = (ApplyRow){
				.at = {DORIS_SPACE_ROWS, NS, (uint32_t) (i / 100) % VNODES, bytes_of(keys[k])},
				.version = version_of(stamp_now(&source.f)),
				.value = bytes_of(value)};
		}
		assert_int_equal(
			plain_execute(&source.f.w, source.f.topo->epoch, &m, &reply, &source.f.err), DORIS_OK);
	}
}

static void *change_rate(void *arg)
{
	(void) arg;
	usleep(400000);
	atomic_store(&mine.f.node->recovery.move_rate_mb, 0);
	return NULL;
}

static void test_pace(void **state)
{
	const int rows = 30000;
	uint64_t began;
	uint64_t ms;
	double rate;
	pthread_t thread;

	(void) state;
	fill(rows);
	publish_incoming();
	atomic_store(&mine.f.node->recovery.move_rate_mb, 20);
	began = clock_mono_ms();
	assert_int_equal(recover_all(1), 0);
	ms = clock_mono_ms() - began;
	rate = (double) rows * 1000 / 1000 / (double) ms;
	print_message("%d rows of 1 kB in %llu ms: %.1f MB/s\n", rows, (unsigned long long) ms, rate);
	assert_true(rate > 17 && rate < 22);
	check_equal(VNODES);
	/* a change holds at once */
	publish_copies(2, 0, 0, true);
	settle_tables(&mine);
	publish_incoming();
	atomic_store(&mine.f.node->recovery.move_rate_mb, 1);
	assert_int_equal(pthread_create(&thread, NULL, change_rate, NULL), 0);
	began = clock_mono_ms();
	assert_int_equal(recover_all(1), 0);
	ms = clock_mono_ms() - began;
	(void) pthread_join(thread, NULL);
	print_message("and in %llu ms without a limit since 400 ms\n", (unsigned long long) ms);
	assert_true(ms > 400 && ms < 2500);
	check_equal(VNODES);
}

#define MOVES(test) cmocka_unit_test_setup_teardown(test, setup_move, teardown)

/* An argument names one test. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		MOVES(test_move),		  MOVES(test_cancel), MOVES(test_restart),
		MOVES(test_earlier_stay), MOVES(test_net),	  MOVES(test_written_all_the_time),
		MOVES(test_pace),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("move", tests, NULL, NULL);
}
