/* links: wire node */
/*
 * test_node_hints.c: hints: what a log node keeps and refuses, and how they drain to their targets over real channels.
 *
 * Node 1 is a log node and owns nothing; node 2 is down, its copies are incomplete but that of vnode WHOLE.
 */
#include "test_node_bodies.h"

#include <unistd.h>

#define WHOLE 5
#define TARGET 2
#define MB (1u << 20)
#define PORT 21001

static char home[FIXTURE_HOME_SIZE];

/* ---- topologies ---- */

/* Node 1 becomes a log node, node 2 goes down. */
static void become_log_node(Fixture *f)
{
	Topology *t = fixture_next(f);

	t->nodes[0].role = NODE_LOG;
	t->nodes[0].group = 0;
	t->nodes[1].condition = NODE_DOWN;
	t->nodes[1].incarnation = 22;
	for (uint32_t v = 0; v < VNODES; v++)
	{
		topology_copy(t, 1, v)->owner = 3;
		topology_copy(t, 1, v)->complete = true;
		topology_copy(t, 1, v)->changed = t->epoch;
		topology_copy(t, 2, v)->complete = v == WHOLE;
		topology_copy(t, 2, v)->changed = t->epoch;
	}
	f->node->config.hint_budget_mb = 4;
	f->node->config.replay_rate_mb = 64;
	assert_int_equal(fixture_take(f, t), DORIS_OK);
	topology_unref(t);
}

/* The next epoch, in which `node` (from 0) is in this condition. */
static void set_condition(Fixture *f, int node, NodeCondition condition)
{
	Topology *t = fixture_next(f);

	t->nodes[node].condition = condition;
	assert_int_equal(fixture_take(f, t), DORIS_OK);
	topology_unref(t);
}

static int setup_data(void **state)
{
	(void) state;
	fixture_open(&fix);
	return 0;
}

static int setup_log(void **state)
{
	(void) state;
	fixture_open(&fix);
	become_log_node(&fix);
	return 0;
}

static int setup_disk(void **state)
{
	(void) state;
	if (!fixture_home_make(home))
		return 1;
	fixture_open_on(&fix, &store_wiredtiger, home, true);
	become_log_node(&fix);
	return 0;
}

static int teardown(void **state)
{
	(void) state;
	fixture_close(&fix);
	return 0;
}

static int teardown_disk(void **state)
{
	(void) state;
	fixture_close(&fix);
	return fixture_home_remove(home);
}

static DorisStatus hint(Fixture *f, uint64_t epoch, uint32_t target, uint16_t type,
						const DorisBuf *body)
{
	HintRequest m = {target, type, view(body)};

	f->w.need = 0;
	return hints_execute(&f->w, epoch, &m, &f->err);
}

/* A staged row for the target as a hint. */
static DorisStatus hint_row(Fixture *f, uint64_t epoch, uint32_t vnode, const char *key,
							const char *value)
{
	uint64_t clock = stamp_now(f);
	StageRow row = stage_row_of(vnode, key, WRITE_INSERT, no_version, value);
	DorisBuf b;
	DorisStatus st;

	buf_init(&b);
	put_stage(&b, txn_of(clock, 1), clock, TXN_SINGLE, &row, 1);
	st = hint(f, epoch, TARGET, MSG_STAGE, &b);
	buf_free(&b);
	return st;
}

static HintsTotal total(Fixture *f)
{
	HintsTotal t;

	hints_total(f->node, &t);
	return t;
}

/* ---- what a log node takes ---- */

static void test_keeps(void **state)
{
	Fixture *f = &fix;
	uint64_t epoch = f->topo->epoch;
	uint64_t clock = stamp_now(f);
	DorisBuf b;
	Heartbeat beat = {.term = 1, .node = 1};
	NodeReport report;
	HintBatch *batch = calloc(1, sizeof(*batch));
	StageRequest first;

	(void) state;
	assert_non_null(batch);
	buf_init(&b);
	assert_int_equal(hint_row(f, epoch, 1, "a", "one"), DORIS_OK);
	assert_true(f->w.need > 0); /* answered after the flush (I1) */
	put_apply(&b, 2, "b", version_of(clock), "two", true);
	assert_int_equal(hint(f, epoch, TARGET, MSG_APPLY, &b), DORIS_OK);
	assert_true(f->w.need > 0);
	put_finish(&b, txn_of(clock, 7), true, 1);
	assert_int_equal(hint(f, epoch, TARGET, MSG_FINISH, &b), DORIS_OK);
	assert_true(f->w.need > 0);
	assert_int_equal(total(f).hints, 3);

	/* oldest first, as they came */
	assert_int_equal(hints_load(&f->w, TARGET, 0, HINTS_BATCH, batch, &f->err), DORIS_OK);
	assert_int_equal(batch->n, 3);
	assert_int_equal(batch->items[0].type, MSG_STAGE);
	assert_int_equal(batch->items[1].type, MSG_APPLY);
	assert_int_equal(batch->items[2].type, MSG_FINISH);
	assert_true(batch->sequences[0] < batch->sequences[1]);
	assert_int_equal(batch->bytes, total(f).bytes);
	assert_int_equal(stage_request_decode(batch->items[0].body, &first, &f->err), DORIS_OK);
	assert_int_equal(first.nrows, 1);
	assert_int_equal(first.rows[0].at.vnode, 1);
	stage_request_free(&first);
	assert_int_equal(hints_load(&f->w, TARGET, batch->sequences[1], 1, batch, &f->err), DORIS_OK);
	assert_int_equal(batch->n, 1);
	assert_int_equal(batch->items[0].type, MSG_APPLY);
	assert_int_equal(hints_load(&f->w, 3, 0, HINTS_BATCH, batch, &f->err), DORIS_OK);
	assert_int_equal(batch->n, 0);

	/* what the admin is told */
	memcpy(beat.cluster, f->topo->cluster, DORIS_UUID_SIZE);
	assert_int_equal(control_heartbeat(&f->w, &beat, &report, &f->err), DORIS_OK);
	assert_int_equal(report.hints, 3);
	assert_int_equal(report.hint_bytes, total(f).bytes);
	assert_int_equal(report.hint_budget, 4 * MB);
	assert_int_equal(report.nbacklogs, 1);
	assert_int_equal(report.backlogs[0].target, TARGET);
	assert_int_equal(report.backlogs[0].hints, 3);
	assert_true(report.backlogs[0].oldest_ms <= clock_wall_ms() + 1);
	assert_true(report.backlogs[0].oldest_ms + 10000 > clock_wall_ms());
	node_report_free(&report);
	hint_batch_free(batch);
	free(batch);
	buf_free(&b);
}

static void test_refuses(void **state)
{
	Fixture *f = &fix;
	uint64_t epoch = f->topo->epoch;
	uint64_t clock = stamp_now(f);
	uint64_t far = clock + ((uint64_t) 60000 << 16);
	StageRow rows[2] = {stage_row_of(1, "a", WRITE_INSERT, no_version, "x"),
						stage_row_of(WHOLE, "b", WRITE_INSERT, no_version, "x")};
	DorisBuf b;
	Seen s;

	(void) state;
	buf_init(&b);
	/* rule hints: the epoch, the target's condition, each copy */
	assert_int_equal(hint_row(f, epoch + 1, 1, "a", "x"), DORIS_BEHIND);
	assert_int_equal(hint_row(f, epoch - 1, 1, "a", "x"), DORIS_STALE_EPOCH);
	put_stage(&b, txn_of(clock, 1), clock, TXN_DECISION, rows, 1);
	assert_int_equal(hint(f, epoch, 3, MSG_STAGE, &b), DORIS_NOT_OWNER);  /* up */
	assert_int_equal(hint(f, epoch, 99, MSG_STAGE, &b), DORIS_NOT_OWNER); /* nobody */
	put_stage(&b, txn_of(clock, 1), clock, TXN_DECISION, rows, 2);
	assert_int_equal(hint(f, epoch, TARGET, MSG_STAGE, &b), DORIS_NOT_OWNER); /* a complete copy */
	put_apply(&b, WHOLE, "a", version_of(clock), "x", true);
	assert_int_equal(hint(f, epoch, TARGET, MSG_APPLY, &b), DORIS_NOT_OWNER);
	put_apply(&b, VNODES, "a", version_of(clock), "x", true);
	assert_int_equal(hint(f, epoch, TARGET, MSG_APPLY, &b), DORIS_BAD_MESSAGE);
	/* rule plain: first receipt of a stamp */
	put_apply(&b, 1, "a", version_of(far), "x", true);
	assert_int_equal(hint(f, epoch, TARGET, MSG_APPLY, &b), DORIS_CLOCK_AHEAD);
	put_stage(&b, txn_of(clock, 1), far, TXN_SINGLE, rows, 1);
	assert_int_equal(hint(f, epoch, TARGET, MSG_STAGE, &b), DORIS_CLOCK_AHEAD);
	put_apply(&b, 1, "a", version_of(far), "x", false); /* a repair has no limit */
	assert_int_equal(hint(f, epoch, TARGET, MSG_APPLY, &b), DORIS_OK);
	/* shapes */
	put_finish(&b, txn_of(clock, 1), false, 1);
	assert_int_equal(hint(f, epoch, TARGET, MSG_FINISH, &b), DORIS_BAD_MESSAGE);
	buf_put_u8(&b, 1);
	assert_int_equal(hint(f, epoch, TARGET, MSG_FINISH, &b), DORIS_BAD_MESSAGE);
	assert_int_equal(hint(f, epoch, TARGET, MSG_STAGE, &b), DORIS_BAD_MESSAGE);
	assert_int_equal(hint(f, epoch, TARGET, MSG_GET, &b), DORIS_BAD_MESSAGE);
	/* FINISH(commit) is good in any epoch, for any copy, of a node that is down */
	put_finish(&b, txn_of(clock, 1), true, WHOLE);
	assert_int_equal(hint(f, 1, TARGET, MSG_FINISH, &b), DORIS_OK);
	assert_int_equal(hint(f, epoch, 3, MSG_FINISH, &b), DORIS_NOT_OWNER);
	assert_int_equal(total(f).hints, 2);
	/* a full disk */
	atomic_store(&f->node->disk_full, true);
	assert_int_equal(hint_row(f, epoch, 1, "a", "x"), DORIS_DISK_FULL);
	atomic_store(&f->node->disk_full, false);
	assert_int_equal(total(f).hints, 2);
	/* a log node has no rows */
	assert_int_equal(get_space(f, DORIS_SPACE_ROWS, NS, 1, bytes_of("a"), &s), DORIS_NOT_OWNER);
	assert_int_equal(stage_one(f, txn_of(clock, 1), clock, 1, "a", WRITE_INSERT, no_version, "x"),
					 -DORIS_NOT_OWNER);
	/* once the target is up there are no more hints for it */
	set_condition(f, TARGET - 1, NODE_UP);
	assert_int_equal(hint_row(f, f->topo->epoch, 1, "a", "x"), DORIS_NOT_OWNER);
	buf_free(&b);
}

static void test_data_node_refuses(void **state)
{
	Fixture *f = &fix;
	Topology *t = fixture_next(f);

	(void) state;
	t->nodes[1].condition = NODE_DOWN;
	for (uint32_t v = 0; v < VNODES; v++)
		topology_copy(t, 2, v)->complete = false;
	assert_int_equal(fixture_take(f, t), DORIS_OK);
	topology_unref(t);
	assert_int_equal(hint_row(f, f->topo->epoch, 1, "a", "x"), DORIS_NOT_OWNER);
	assert_non_null(strstr(f->err.message, "no log node"));
	assert_int_equal(total(f).hints, 0);
}

/* ---- the budget ---- */

static char *big_value(size_t len)
{
	char *p = malloc(len + 1);

	assert_non_null(p);
	memset(p, 'x', len);
	p[len] = '\0';
	return p;
}

static void settle_all(Fixture *f, uint8_t result, HintBatch *b)
{
	uint8_t results[HINTS_BATCH];

	memset(results, result, sizeof(results));
	assert_int_equal(hints_settle(&f->w, b, results, &f->err), DORIS_OK);
}

static void test_budget(void **state)
{
	Fixture *f = &fix;
	uint64_t epoch = f->topo->epoch;
	char *value = big_value(MB / 4);
	HintBatch *batch = calloc(1, sizeof(*batch));
	int n = 0;
	uint64_t one;

	(void) state;
	assert_non_null(batch);
	while (hint_row(f, epoch, 1, "a", value) == DORIS_OK)
		n++;
	assert_int_equal(f->err.code, DORIS_LIMIT);
	assert_non_null(strstr(f->err.message, "budget"));
	assert_non_null(strstr(f->err.hint, "--hint-budget"));
	assert_int_equal(n, 15);
	assert_int_equal(total(f).hints, 15);
	one = total(f).bytes / 15;
	assert_true(total(f).bytes <= 4 * MB && total(f).bytes + one > 4 * MB);
	assert_int_equal(atomic_load(&f->node->counters[COUNT_HINTS_REFUSED]), 1);
	/* a small one still has room, exactly up to the last byte */
	assert_int_equal(hint_row(f, epoch, 1, "b", "small"), DORIS_OK);
	/* what is replayed makes room */
	assert_int_equal(hints_load(&f->w, TARGET, 0, HINTS_BATCH, batch, &f->err), DORIS_OK);
	assert_int_equal(batch->n, 3); /* about a MiB in one message */
	settle_all(f, REPLAY_APPLIED, batch);
	assert_int_equal(total(f).hints, 13);
	assert_int_equal(hint_row(f, epoch, 1, "a", value), DORIS_OK);
	/* none at all */
	f->node->config.hint_budget_mb = 0;
	assert_int_equal(hint_row(f, epoch, 1, "b", "small"), DORIS_LIMIT);
	hint_batch_free(batch);
	free(batch);
	free(value);
}

#define THREADS 4

static void *filler(void *arg)
{
	Worker w;
	DorisError err = {0};
	char *value = big_value(20000 + (size_t) (uintptr_t) arg * 3000);
	uint64_t kept = 0;
	DorisBuf b;
	DorisStatus st;

	buf_init(&b);
	if (worker_init(&w, fix.node, &err) != DORIS_OK)
		abort();
	do
	{
		uint64_t clock = clock_next(&fix.node->clock);
		StageRow row = stage_row_of(1, "a", WRITE_INSERT, no_version, value);
		HintRequest m = {TARGET, MSG_STAGE, {NULL, 0}};

		put_stage(&b, txn_of(clock, 1), clock, TXN_SINGLE, &row, 1);
		m.body = view(&b);
		(void) pthread_rwlock_rdlock(&fix.node->epoch_lock);
		st = hints_execute(&w, fix.topo->epoch, &m, &err);
		(void) pthread_rwlock_unlock(&fix.node->epoch_lock);
		if (st == DORIS_OK)
			kept++;
	} while (st == DORIS_OK || st == DORIS_CONFLICT);
	if (st != DORIS_LIMIT)
		fprintf(stderr, "filler: %s\n", err.message);
	worker_free(&w);
	buf_free(&b);
	free(value);
	return (void *) (uintptr_t) kept;
}

/* Workers side by side stay within the budget to the byte, and a start counts the same. */
static void test_budget_threads(void **state)
{
	Fixture *f = &fix;
	pthread_t threads[THREADS];
	uint64_t kept = 0;
	HintsTotal before;
	uint64_t clock;

	(void) state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, filler, (void *) (uintptr_t) i), 0);
	for (int i = 0; i < THREADS; i++)
	{
		void *n;

		assert_int_equal(pthread_join(threads[i], &n), 0);
		kept += (uint64_t) (uintptr_t) n;
	}
	before = total(f);
	assert_int_equal(before.hints, kept);
	assert_true(before.bytes <= 4 * MB);
	assert_true(before.bytes > 4 * MB - 40000);
	clock = stamp_now(f);
	fixture_close(f);
	fixture_open_on(f, &store_wiredtiger, home, false);
	f->node->config.hint_budget_mb = 4;
	assert_int_equal(total(f).hints, before.hints);
	assert_int_equal(total(f).bytes, before.bytes);
	assert_true(stamp_now(f) > clock); /* sequences go on above those that are there */
	assert_int_equal(hint_row(f, f->topo->epoch, 1, "b", "small"), DORIS_OK);
	assert_int_equal(total(f).hints, before.hints + 1);
}

/* ---- after the answer ---- */

static void test_settle(void **state)
{
	Fixture *f = &fix;
	uint64_t epoch = f->topo->epoch;
	HintBatch *batch = calloc(1, sizeof(*batch));
	uint8_t results[3] = {REPLAY_APPLIED, REPLAY_POISON, REPLAY_OBSOLETE};
	uint8_t junk_key[12] = {0, 0, 0, TARGET, 0, 0, 0, 0, 0, 0, 0, 9};
	DorisBytes junk = {junk_key, sizeof(junk_key)};
	Backlog *list;
	uint32_t n;
	bool done;

	(void) state;
	assert_non_null(batch);
	for (int i = 0; i < 4; i++)
		assert_int_equal(hint_row(f, epoch, 1, "a", "one"), DORIS_OK);
	assert_int_equal(hints_load(&f->w, TARGET, 0, 3, batch, &f->err), DORIS_OK);
	assert_int_equal(batch->n, 3);
	assert_int_equal(hints_settle(&f->w, batch, results, &f->err), DORIS_OK);
	assert_int_equal(total(f).hints, 1);
	assert_int_equal(total(f).poison, 1);
	assert_int_equal(atomic_load(&f->node->counters[COUNT_REPLAY_APPLIED]), 1);
	assert_int_equal(atomic_load(&f->node->counters[COUNT_REPLAY_OBSOLETE]), 1);
	assert_int_equal(atomic_load(&f->node->counters[COUNT_REPLAY_POISON]), 1);
	/* bytes that are no hint: by themselves, and never in a message */
	assert_int_equal(f->node->driver->put(f->w.ss, STORE_TABLE_HINTS, junk, bytes_of("?"), &f->err),
					 DORIS_OK);
	assert_int_equal(hints_load(&f->w, TARGET, 0, HINTS_BATCH, batch, &f->err), DORIS_OK);
	assert_int_equal(batch->n, 1);
	assert_true(batch->damaged);
	assert_int_equal(
		hints_load(&f->w, TARGET, batch->sequences[0] + 1, HINTS_BATCH, batch, &f->err), DORIS_OK);
	assert_int_equal(batch->n, 1);
	assert_false(batch->damaged);

	/* counted again at a start: what is there, poison apart */
	{
		HintsTotal t = total(f);

		hints_close(f->node);
		assert_int_equal(hints_open(&f->w, &f->err), DORIS_OK);
		assert_int_equal(total(f).hints, 2);
		assert_int_equal(total(f).poison, t.poison);
		assert_int_equal(total(f).poison_bytes, t.poison_bytes);
	}
	/* the target is gone for good */
	assert_int_equal(hints_drop(&f->w, TARGET, 2, &done, &f->err), DORIS_OK);
	assert_false(done);
	assert_int_equal(hints_drop(&f->w, TARGET, 2, &done, &f->err), DORIS_OK);
	assert_true(done);
	assert_int_equal(total(f).hints, 0);
	assert_int_equal(total(f).bytes, 0);
	assert_int_equal(total(f).poison, 0);
	assert_int_equal(total(f).poison_bytes, 0);
	assert_int_equal(hints_backlogs(f->node, &list, &n, &f->err), DORIS_OK);
	assert_int_equal(n, 0);
	free(list);
	hint_batch_free(batch);
	free(batch);
}

/* ---- from a log node to its targets, over real channels ---- */

typedef struct Peer
{
	Fixture f;
	char home[FIXTURE_HOME_SIZE];
	Worker *workers;
} Peer;

/* A second node in this process, number `id`, that serves at its address. */
static void peer_up(Peer *p, const Fixture *log, uint32_t id)
{
	const TopoNode *me = topology_node(log->topo, id);
	DorisBytes encoded = {log->topo->encoded, log->topo->encoded_len};
	Config config;
	Node *n;

	assert_true(fixture_home_make(p->home));
	config = fixture_config(p->home);
	(void) snprintf(config.name, sizeof(config.name), "%s", me->name);
	(void) snprintf(config.listen, sizeof(config.listen), "%s", me->address);
	config.workers = 2;
	n = p->f.node = calloc(1, sizeof(*n));
	assert_non_null(n);
	assert_int_equal(node_open(n, &config, &store_wiredtiger, &p->f.err), DORIS_OK);
	assert_int_equal(worker_init(&p->f.w, n, &p->f.err), DORIS_OK);
	n->identity.node = id;
	memcpy(n->identity.cluster, log->topo->cluster, DORIS_UUID_SIZE);
	atomic_store(&n->node_id, id);
	n->incarnation = me->incarnation; /* the admin has matched this start */
	assert_int_equal(epoch_take(&p->f.w, encoded, &p->f.err), DORIS_OK);
	p->f.topo = topology_ref(log->topo);
	atomic_store(&n->serving, true);
	assert_int_equal(listener_open(config.listen, &n->listener, &p->f.err), DORIS_OK);
	assert_int_equal(serve_start(n, &p->workers, &p->f.err), DORIS_OK);
}

static void peer_down(Peer *p)
{
	atomic_store(&p->f.node->stopping, true);
	serve_join(p->f.node, p->workers);
	listener_close(p->f.node->listener);
	p->f.node->listener = NULL;
	fixture_close(&p->f);
	assert_int_equal(fixture_home_remove(p->home), 0);
}

static void await_hints(Fixture *f, uint32_t target, uint64_t hints)
{
	uint64_t until = clock_mono_ms() + 20000;

	for (;;)
	{
		Backlog *list;
		uint32_t n;
		uint64_t left = 0;

		assert_int_equal(hints_backlogs(f->node, &list, &n, &f->err), DORIS_OK);
		for (uint32_t i = 0; i < n; i++)
		{
			if (list[i].target == target)
				left = list[i].hints;
		}
		free(list);
		if (left == hints)
			return;
		if (clock_mono_ms() > until)
			fail_msg("%llu hints are left for node %u", (unsigned long long) left, target);
		(void) usleep(2000);
	}
}

/*
 * Node 2 takes its hints while node 3, whose process stands still, does not; then it is gone for good. Node 2
 * first has an older topology: it gets the newer one from the log node.
 */
static void test_drain(void **state)
{
	Fixture *f = &fix;
	Topology *t = fixture_next(f);
	Listener *standing;
	pthread_t replayer;
	Peer p;
	uint64_t began;
	DorisBuf b;
	uint64_t epoch;
	int rows = 3000;

	(void) state;
	buf_init(&b);
	/* node 3 is down too; two groups' copies of every vnode incomplete: only what is kept matters here */
	for (uint32_t i = 0; i < 3; i++)
		(void) snprintf(t->nodes[i].address, sizeof(t->nodes[i].address), "tcp://127.0.0.1:%u",
						PORT + i);
	t->nodes[2].condition = NODE_DOWN;
	for (uint32_t v = 0; v < VNODES; v++)
	{
		topology_copy(t, 1, v)->complete = false;
		topology_copy(t, 2, v)->complete = false;
	}
	assert_int_equal(fixture_take(f, t), DORIS_OK);
	topology_unref(t);
	epoch = f->topo->epoch;
	for (int i = 0; i < rows; i++)
	{
		uint64_t clock = stamp_now(f);
		char key[32];
		StageRow row;

		(void) snprintf(key, sizeof(key), "key-%d", i % 500);
		row = stage_row_of((uint32_t) i % 4, key, WRITE_UPDATE, version_of(5), "some value");
		put_stage(&b, txn_of(clock, 1), clock, TXN_SINGLE, &row, 1);
		assert_int_equal(hint(f, epoch, TARGET, MSG_STAGE, &b), DORIS_OK);
		assert_int_equal(hint(f, epoch, 3, MSG_STAGE, &b), DORIS_OK);
		put_finish(&b, txn_of(clock, 1), true, (uint32_t) i % 4);
		assert_int_equal(hint(f, epoch, TARGET, MSG_FINISH, &b), DORIS_OK);
	}
	assert_int_equal(total(f).hints, 3 * rows);
	peer_up(&p, f, TARGET);
	assert_int_equal(replay_start(f->node, &replayer, &f->err), DORIS_OK);
	(void) usleep(300000);
	assert_int_equal(total(f).hints, 3 * rows); /* nobody is up */

	assert_int_equal(listener_open(topology_node(f->topo, 3)->address, &standing, &f->err),
					 DORIS_OK);
	set_condition(f, 2, NODE_UP);
	(void) usleep(100000);
	began = clock_mono_ms();
	set_condition(f, TARGET - 1, NODE_UP);
	await_hints(f, TARGET, 0);
	print_message("drained %d hints in %llu ms\n", 2 * rows,
				  (unsigned long long) (clock_mono_ms() - began));
	/* each transaction in its turn: one staged, and ended, after another */
	assert_int_equal(atomic_load(&p.f.node->counters[COUNT_REHELD_APPLIED]), 2 * rows);
	assert_int_equal(atomic_load(&f->node->counters[COUNT_REPLAY_APPLIED]), 2 * rows);
	assert_int_equal(atomic_load(&f->node->counters[COUNT_REPLAY_POISON]), 0);
	assert_int_equal(atomic_load(&p.f.node->staged), 0);
	for (int i = 0; i < 500; i++)
	{
		char key[32];
		Record r;

		(void) snprintf(key, sizeof(key), "key-%d", i);
		r = stored(&p.f, (uint32_t) i % 4, key);
		assert_true(record_is_live(&r));
		assert_int_equal(r.nstaged, 0);
	}
	/* the other target stood still all the while */
	await_hints(f, 3, (uint64_t) rows);
	set_condition(f, 2, NODE_DEAD);
	await_hints(f, 3, 0);
	assert_int_equal(total(f).bytes, 0);
	assert_int_equal(atomic_load(&f->node->counters[COUNT_HINTS_DROPPED]), rows);

	atomic_store(&f->node->stopping, true);
	assert_int_equal(pthread_join(replayer, NULL), 0);
	atomic_store(&f->node->stopping, false);
	listener_close(standing);
	peer_down(&p);
	buf_free(&b);
}

/* The target ends in the middle and comes back: what it did not acknowledge is sent again. A poisoned one is set aside. */
static void test_drain_interrupted(void **state)
{
	Fixture *f = &fix;
	Topology *t = fixture_next(f);
	uint8_t type[2] = {MSG_STAGE, 0};
	uint8_t key[12] = {0, 0, 0, TARGET, 0, 0, 0, 0, 0, 0, 0, 9};
	DorisBytes junk = {key, sizeof(key)};
	DorisBytes undecodable = {type, sizeof(type)};
	pthread_t replayer;
	Peer p;
	int rows = 2000;

	(void) state;
	for (uint32_t i = 0; i < 3; i++)
		(void) snprintf(t->nodes[i].address, sizeof(t->nodes[i].address), "tcp://127.0.0.1:%u",
						PORT + i);
	assert_int_equal(fixture_take(f, t), DORIS_OK);
	topology_unref(t);
	for (int i = 0; i < rows; i++)
	{
		char k[32];

		(void) snprintf(k, sizeof(k), "key-%d", i);
		assert_int_equal(hint_row(f, f->topo->epoch, (uint32_t) i % 4, k, "some value"), DORIS_OK);
	}
	/* the first of all cannot be read */
	assert_int_equal(f->node->driver->put(f->w.ss, STORE_TABLE_HINTS, junk, undecodable, &f->err),
					 DORIS_OK);
	hints_close(f->node);
	assert_int_equal(hints_open(&f->w, &f->err), DORIS_OK);
	set_condition(f, TARGET - 1, NODE_UP);
	assert_int_equal(replay_start(f->node, &replayer, &f->err), DORIS_OK);
	peer_up(&p, f, TARGET);
	while (total(f).hints > (uint64_t) rows - 500)
		(void) usleep(500);
	peer_down(&p);
	(void) usleep(100000);
	/* another home, as if it had lost everything: it takes the rest */
	peer_up(&p, f, TARGET);
	await_hints(f, TARGET, 0);
	assert_int_equal(total(f).poison, 1);
	assert_int_equal(atomic_load(&f->node->counters[COUNT_REPLAY_APPLIED]), rows);
	assert_int_equal(atomic_load(&f->node->counters[COUNT_REPLAY_POISON]), 1);
	atomic_store(&f->node->stopping, true);
	assert_int_equal(pthread_join(replayer, NULL), 0);
	atomic_store(&f->node->stopping, false);
	peer_down(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_keeps, setup_log, teardown),
		cmocka_unit_test_setup_teardown(test_refuses, setup_log, teardown),
		cmocka_unit_test_setup_teardown(test_data_node_refuses, setup_data, teardown),
		cmocka_unit_test_setup_teardown(test_budget, setup_log, teardown),
		cmocka_unit_test_setup_teardown(test_budget_threads, setup_disk, teardown_disk),
		cmocka_unit_test_setup_teardown(test_settle, setup_log, teardown),
		cmocka_unit_test_setup_teardown(test_drain, setup_disk, teardown_disk),
		cmocka_unit_test_setup_teardown(test_drain_interrupted, setup_disk, teardown_disk),
	};

	return cmocka_run_group_tests_name("hints", tests, NULL, NULL);
}
