/* links: wire node */
/*
 * test_node_recover.c: a node whose copies missed writes takes them over from another node (rule complete), in bounded pages and
 * at a bounded rate; marks and leases.
 */
#include "test_recover_pair.h"

#define MANY_VNODES 512

static int setup_many(void **state)
{
	(void) state;
	return make_pair(MANY_VNODES);
}

/* ---- the pass ---- */

static void test_missed(void **state)
{
	Look l;
	DorisTxnId inserted;

	(void) state;
	(void) put_at(EVERYWHERE, 1, "same", "1");
	(void) put_at(EVERYWHERE, 1, "changed", "1");
	(void) put_at(EVERYWHERE, 1, "deleted", "1");
	go_down();
	(void) put_at(AT_SOURCE, 1, "changed", "2");
	(void) put_at(AT_SOURCE, 1, "deleted", NULL);
	inserted = put_at(AT_SOURCE, 2, "new", "2");
	come_back();
	assert_int_equal(atomic_load(&mine.f.node->recovery.open), VNODES);
	assert_int_equal(recover_all(1), 0);
	check_equal(VNODES);
	l = look(&mine, 1, "changed");
	assert_string_equal(l.value, "2");
	l = look(&mine, 1, "deleted");
	assert_true(l.tombstone);
	l = look(&mine, 2, "new");
	assert_string_equal(l.value, "2");
	/* it judges, it knows what was committed meanwhile, but it serves no reads yet (I2) */
	assert_true(epoch_judges(mine.f.node, 1));
	assert_int_equal(outcome(&mine.f, inserted, 2, false), OUTCOME_COMMITTED);
	{
		Seen s;

		assert_int_equal(get_space(&mine.f, DORIS_SPACE_ROWS, NS, 1, bytes_of("changed"), &s),
						 DORIS_NOT_OWNER);
	}
	publish_complete();
	assert_string_equal(get(&mine.f, 1, "changed").value, "2");
	assert_int_equal(atomic_load(&mine.f.node->recovery.open), 0);
	check_sums(&mine, 1);
	check_sums(&source, 1);
}

/* Runs that are equal are not pulled. */
static void test_runs(void **state)
{
	static char value[200];
	char key[32];
	uint64_t bytes;

	(void) state;
	memset(value, 'x', sizeof(value) - 1);
	for (int i = 0; i < 6000; i++)
	{
		(void) snprintf(key, sizeof(key), "k%05d", i);
		(void) put_at(EVERYWHERE, 3, key, value);
	}
	go_down();
	(void) put_at(AT_SOURCE, 3, "k00000", "first");
	(void) put_at(AT_SOURCE, 3, "k03000", "middle");
	(void) put_at(AT_SOURCE, 3, "k03001", NULL);
	(void) put_at(AT_SOURCE, 3, "k99999", "last");
	come_back();
	assert_int_equal(recover_all(1), 0);
	check_equal(VNODES);
	bytes = atomic_load(&mine.f.node->recovery.bytes);
	print_message("pulled %llu of 1.5 MB\n", (unsigned long long) bytes);
	assert_true(bytes < 500000);
}

/* A new home takes everything. */
static void test_new_home(void **state)
{
	static char value[1000];
	char key[32];
	uint64_t began;
	uint64_t ms;
	uint64_t bytes;
	Topology *t;
	int rows = 40000;

	(void) state;
	go_down();
	memset(value, 'x', sizeof(value) - 1);
	for (int i = 0; i < rows; i++)
	{
		ApplyRow row = {.at = {DORIS_SPACE_ROWS, NS, (uint32_t) i % VNODES, {NULL, 0}},
						.version = version_of(stamp_now(&source.f)),
						.value = bytes_of(value)};
		ApplyRequest m = {.nrows = 1, .rows = &row};
		ApplyReply reply;

		(void) snprintf(key, sizeof(key), "k%07d", i);
		row.at.key = bytes_of(key);
		assert_int_equal(
			plain_execute(&source.f.w, source.f.topo->epoch, &m, &reply, &source.f.err), DORIS_OK);
	}
	come_back();
	began = clock_mono_ms();
	assert_int_equal(recover_all(1), 0);
	ms = clock_mono_ms() - began;
	bytes = atomic_load(&mine.f.node->recovery.bytes);
	print_message("%d rows, %llu MB in %llu ms: %llu MB/s\n", rows,
				  (unsigned long long) (bytes / 1000000), (unsigned long long) ms,
				  (unsigned long long) (bytes / 1000 / (ms + 1)));
	check_equal(VNODES);
	assert_int_equal(rows_counted(&mine.f), rows);
	for (uint32_t v = 0; v < VNODES; v++)
		check_sums(&mine, v);
	/* a namespace that is gone is not brought back */
	t = next_topology();
	t->namespaces[0].id = NS + 1;
	t->next_namespace_id = NS + 2;
	publish(t, true);
	assert_int_equal(background_purge(&mine.f.w, &mine.f.err), DORIS_OK);
	assert_int_equal(sums(&mine, 1).records, 0);
	come_back();
	assert_int_equal(recover_all(1), 0);
	assert_int_equal(sums(&mine, 1).records, 0);
}

/* Many copies that are equal cost next to nothing. */
static void test_many_equal(void **state)
{
	char key[32];
	uint64_t began;
	uint64_t ms;

	(void) state;
	for (uint32_t v = 0; v < MANY_VNODES; v++)
	{
		for (int i = 0; i < 3; i++)
		{
			(void) snprintf(key, sizeof(key), "k%d", i);
			(void) put_at(EVERYWHERE, v, key, "1");
		}
	}
	go_down();
	come_back();
	began = clock_mono_ms();
	assert_int_equal(recover_all(1), 0);
	ms = clock_mono_ms() - began;
	print_message("%d equal copies in %llu ms\n", MANY_VNODES, (unsigned long long) ms);
	assert_true(ms < 2000);
	/* after a kill they are counted first */
	restart_mine(false);
	come_back();
	began = clock_mono_ms();
	assert_int_equal(recover_all(1), 0);
	print_message("%d equal copies after a kill in %llu ms\n", MANY_VNODES,
				  (unsigned long long) (clock_mono_ms() - began));
	assert_int_equal(atomic_load(&mine.f.node->counters[COUNT_PULLED]), 0);
}
/* ---- pulls ---- */

static DorisStatus pull(PullWhat what, uint32_t vnode, DorisBytes low, uint32_t max, DorisBuf *out,
						SourcePage *page)
{
	static Source s;
	PullRequest m = {.what = what, .vnode = vnode, .low = low, .max_bytes = max};
	DorisStatus st;

	buf_reset(out);
	source.f.w.need = 0;
	st = pull_execute(&source.f.w, source.f.topo->epoch, &m, out, &source.f.err);
	if (st == DORIS_OK)
		st = source_read_page(&s, &m, cursor_of(out->data, out->len), page, &source.f.err);
	return st;
}

static void test_pages(void **state)
{
	static char value[3000];
	static const PullWhat kinds[] = {PULL_RECORDS, PULL_RANGES, PULL_STAGED, PULL_MEMORY};
	char key[32];
	DorisBuf out;
	DorisBuf low;
	SourcePage page;

	(void) state;
	memset(value, 'x', sizeof(value) - 1);
	for (int i = 0; i < 2000; i++)
	{
		(void) snprintf(key, sizeof(key), "k%05d", i);
		(void) put_at(AT_SOURCE, 1, key, i % 50 == 0 ? value : "small");
		if (i % 10 == 0)
		{
			DorisVersion base = look(&source, 1, key).version;

			assert_int_equal(stage_at(AT_SOURCE, new_txn(), 1, key, WRITE_UPDATE, base, "staged"),
							 0);
		}
	}
	buf_init(&out);
	buf_init(&low);
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
	{
		static const uint32_t counts[] = {2000, 4, 200, 2000};
		uint32_t total = 0;
		uint32_t pages = 0;
		bool done = false;

		buf_reset(&low);
		while (!done)
		{
			DorisBytes from = {low.data, low.len};

			assert_int_equal(pull(kinds[k], 1, from, 500, &out, &page), DORIS_OK);
			assert_true(out.len < 500 + 3200);
			assert_true(page.n > 0 || page.done);
			total += page.n;
			pages++;
			done = page.done;
			buf_reset(&low);
			buf_put_raw(&low, page.next.data, page.next.len);
		}
		assert_int_equal(total, counts[k]);
		assert_true(kinds[k] == PULL_RANGES || pages > 10);
	}
	/* what is told has to be on disk: the answer waits for it */
	(void) put_at(AT_SOURCE, 2, "fresh", "1");
	assert_int_equal(stage_at(AT_SOURCE, new_txn(), 2, "fresh2", WRITE_INSERT, no_version, "1"), 0);
	assert_int_equal(pull(PULL_STAGED, 2, (DorisBytes){NULL, 0}, 0, &out, &page), DORIS_OK);
	assert_true(source.f.w.need > atomic_load(&source.f.node->flushed));
	/* incomplete copies are no source (I2), an older epoch is fenced off (I3) */
	go_down();
	come_back();
	{
		PullRequest m = {.what = PULL_RECORDS, .vnode = 1};

		buf_reset(&out);
		assert_int_equal(pull_execute(&mine.f.w, mine.f.topo->epoch, &m, &out, &mine.f.err),
						 DORIS_NOT_OWNER);
		assert_int_equal(
			pull_execute(&source.f.w, source.f.topo->epoch - 1, &m, &out, &source.f.err),
			DORIS_STALE_EPOCH);
		assert_int_equal(
			pull_execute(&source.f.w, source.f.topo->epoch + 1, &m, &out, &source.f.err),
			DORIS_BEHIND);
	}
	buf_free(&out);
	buf_free(&low);
}

static void test_rate(void **state)
{
	static char value[1000];
	char key[32];
	uint64_t began;
	uint64_t ms;

	(void) state;
	memset(value, 'x', sizeof(value) - 1);
	go_down();
	for (int i = 0; i < 8000; i++)
	{
		(void) snprintf(key, sizeof(key), "%d", i);
		(void) put_at(AT_SOURCE, 1, key, value);
	}
	come_back();
	mine.f.node->config.recover_rate_mb = 8;
	began = clock_mono_ms();
	assert_int_equal(recover_all(1), 0);
	ms = clock_mono_ms() - began;
	assert_true(ms >= 900 && ms < 4000);
	check_equal(VNODES);
}
/* ---- marks and leases ---- */

static void beat(Heartbeat *m, NodeReport *out)
{
	assert_int_equal(control_heartbeat(&mine.f.w, m, out, &mine.f.err), DORIS_OK);
	node_report_free(out);
}

static void test_mark(void **state)
{
	Heartbeat m = {.term = 9, .node = 1, .epoch = 1};
	NodeReport r;
	uint64_t mark;

	(void) state;
	memcpy(m.cluster, mine.f.topo->cluster, DORIS_UUID_SIZE);
	beat(&m, &r);
	beat(&m, &r);
	mark = r.mark;
	(void) put_at(EVERYWHERE, 1, "a", "1");
	beat(&m, &r);
	assert_true(r.mark > mark);
	assert_int_equal(atomic_load(&mine.f.node->commits), atomic_load(&mine.f.node->flushed));
	mark = r.mark;
	beat(&m, &r);
	assert_true(r.mark == mark); /* nothing new */
	restart_mine(true);
	assert_true(mine.f.node->mark_found == mark);
	assert_true(mine.f.node->was_clean);
	restart_mine(false);
	assert_false(mine.f.node->was_clean);
	assert_true(mine.f.node->mark_found >= mark);
}

static void test_lease(void **state)
{
	Heartbeat m = {.term = 9, .node = 1, .epoch = 1, .lease_ms = 1500};
	NodeReport r;

	(void) state;
	memcpy(m.cluster, mine.f.topo->cluster, DORIS_UUID_SIZE);
	memcpy(m.hash, mine.f.topo->hash, DORIS_HASH_SIZE);
	beat(&m, &r);
	assert_true(r.clock_ms > 0 && r.incarnation == mine.f.node->incarnation);
	assert_int_equal(control_lease_ms(mine.f.node), 0);
	/* of another start, of an epoch that is not taken yet */
	m.echo_ms = r.clock_ms;
	m.incarnation = r.incarnation + 1;
	beat(&m, &r);
	m.incarnation = r.incarnation;
	m.epoch = 2;
	beat(&m, &r);
	assert_int_equal(control_lease_ms(mine.f.node), 0);
	m.epoch = 1;
	m.hash[0] ^= 1;
	beat(&m, &r);
	assert_int_equal(control_lease_ms(mine.f.node), 0);
	m.hash[0] ^= 1;
	/* it ends by the echoed moment, however late the message is */
	usleep(50000);
	beat(&m, &r);
	assert_in_range(control_lease_ms(mine.f.node), 1000, 1450);
	m.echo_ms = clock_mono_ms() + 100000;
	beat(&m, &r);
	assert_in_range(control_lease_ms(mine.f.node), 1400, 1500);
	m.echo_ms = clock_mono_ms() - 1490;
	beat(&m, &r);
	assert_in_range(control_lease_ms(mine.f.node), 1300, 1500); /* an older one shortens nothing */
}

/* ---- what was noted lately ---- */

static uint64_t told_to(void)
{
	DorisCursor c = cursor_of(rec.sources[0]->told, SOURCE_TOLD_SIZE);

	assert_true(rec.sources[0]->has_told);
	(void) cursor_u64(&c);
	return cursor_u64(&c);
}

/* A node that recovers again and again takes only what is new of the memory, and still all of it. */
static void test_memory_again(void **state)
{
	DorisTxnId txns[4];
	uint64_t before = 0;

	(void) state;
	for (int i = 0; i < 3; i++)
	{
		publish_incomplete(NODE_UP, true);
		txns[i] = put_at(AT_SOURCE, 1, i % 2 == 0 ? "a" : "b", "1");
		assert_int_equal(recover_all(2), 0);
		assert_int_equal(outcome(&mine.f, txns[i], 1, false), OUTCOME_COMMITTED);
		if (i > 0)
			assert_int_equal(told_to(), before + 1);
		before = told_to();
		publish_complete();
	}
	/* more than the source keeps in its memory of late: everything is asked for */
	for (int i = 0; i < 70000; i++)
		learned_add(source.f.node, txns[0]);
	publish_incomplete(NODE_UP, true);
	txns[3] = put_at(AT_SOURCE, 1, "c", "1");
	assert_int_equal(recover_all(2), 0);
	assert_int_equal(outcome(&mine.f, txns[3], 1, false), OUTCOME_COMMITTED);
	assert_int_equal(told_to(), before + 70001);
	publish_complete();
	/* this node starts again: it has been told nothing, and asks for everything */
	restart_mine(true);
	publish_incomplete(NODE_UP, true);
	assert_int_equal(recover_all(2), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(outcome(&mine.f, txns[i], 1, false), OUTCOME_COMMITTED);
	check_equal(VNODES);
}

static void test_learned(void **state)
{
	Node *n = source.f.node;
	uint64_t start = learned_head(n);
	uint64_t head;
	uint32_t count;
	DorisTxnId *ids;

	(void) state;
	assert_true(start > 0);
	for (uint32_t i = 0; i < 3; i++)
		learned_add(n, txn_of(100 - i, i));
	ids = learned_since(n, start, 10, &count, &head);
	assert_non_null(ids);
	assert_int_equal(count, 3);
	assert_int_equal(head, start + 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(ids[i].clock, 98 + i); /* as a merge wants them */
	free(ids);
	ids = learned_since(n, start, 2, &count, &head);
	assert_int_equal(count, 2);
	assert_int_equal(head, start + 2);
	free(ids);
	ids = learned_since(n, start + 3, 10, &count, &head);
	assert_non_null(ids);
	assert_int_equal(count, 0);
	free(ids);
	assert_null(learned_since(n, 0, 10, &count, &head));
	assert_null(learned_since(n, start + 4, 10, &count, &head));
	for (int i = 0; i < 65534; i++)
		learned_add(n, txn_of(1, 1));
	assert_null(learned_since(n, start, 10, &count, &head));
	assert_int_equal(head, learned_head(n));
}

/* An argument names one test. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_NODES(test_missed),
		WITH_NODES(test_runs),
		WITH_NODES(test_new_home),
		cmocka_unit_test_setup_teardown(test_many_equal, setup_many, teardown),
		WITH_NODES(test_pages),
		WITH_NODES(test_rate),
		WITH_NODES(test_memory_again),
		WITH_NODES(test_learned),
		WITH_NODES(test_mark),
		WITH_NODES(test_lease),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("recover", tests, NULL, NULL);
}
