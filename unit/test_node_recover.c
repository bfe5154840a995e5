/* links: wire node */
/*
 * test_node_recover.c: a node whose copies missed writes, brought to ready from another node (rule complete), and what
 * starts, marks and leases have to do with it.
 *
 * Two nodes in one process, each on a WiredTiger home: "mine" is node 1 (group 1), which recovers; "source" is node 2 (group 2), with
 * workers behind a real listener. Writes are put directly on either of them, as a client whose message to the other was
 * lost would leave them; on_step puts some between the steps.
 */
#include "test_node_fixture.h"

#include <unistd.h>

#include "recover.h"

#define MANY_VNODES 512

typedef struct Side
{
	Fixture f;
	char home[64];
	uint32_t id;
	Worker *workers;
} Side;

static Side mine;
static Side source;
static Recoverer rec;
static int port;

/* ---- topologies ---- */

static Topology *two_nodes(uint32_t vnodes)
{
	Topology *t = fixture_topology();
	Topology *u = topology_new(vnodes, 2);

	assert_non_null(u);
	memcpy(u->cluster, t->cluster, DORIS_UUID_SIZE);
	u->epoch = 1;
	u->term = 1;
	u->nnodes = 2;
	u->nodes = t->nodes;
	u->nnamespaces = 1;
	u->namespaces = t->namespaces;
	u->next_namespace_id = t->next_namespace_id;
	t->nodes = NULL;
	t->nnodes = 0;
	t->namespaces = NULL;
	t->nnamespaces = 0;
	topology_unref(t);
	for (uint32_t i = 0; i < 2; i++)
		(void) snprintf(u->nodes[i].address, sizeof(u->nodes[i].address), "tcp://127.0.0.1:%d",
						port + (int) i);
	for (uint32_t v = 0; v < vnodes; v++)
	{
		for (uint32_t g = 1; g <= 2; g++)
			*topology_copy(u, g, v) = (TopoCopy){.owner = g, .complete = true, .changed = 1};
	}
	return u;
}

/* A copy of the one in force at the source with the next epoch, in which both starts are named. */
static Topology *next_topology(void)
{
	Topology *t = fixture_next(&source.f);

	t->nodes[0].incarnation = mine.f.node == NULL ? 0 : mine.f.node->incarnation;
	t->nodes[1].incarnation = source.f.node->incarnation;
	return t;
}

static void publish(Topology *t, bool to_mine)
{
	assert_int_equal(fixture_take(&source.f, t), DORIS_OK);
	if (to_mine)
		assert_int_equal(fixture_take(&mine.f, t), DORIS_OK);
	topology_unref(t);
}

/* Node 1 is up or down, its copies are incomplete: changed in this epoch. */
static void publish_incomplete(NodeCondition condition, bool to_mine)
{
	Topology *t = next_topology();

	t->nodes[0].condition = condition;
	for (uint32_t v = 0; v < t->vnodes; v++)
	{
		topology_copy(t, 1, v)->complete = false;
		topology_copy(t, 1, v)->changed = t->epoch;
	}
	publish(t, to_mine);
}

static void publish_complete(void)
{
	Topology *t = next_topology();

	for (uint32_t v = 0; v < t->vnodes; v++)
	{
		topology_copy(t, 1, v)->complete = true;
		topology_copy(t, 1, v)->changed = t->epoch;
	}
	publish(t, true);
}

/* ---- nodes ---- */

static void side_open(Side *s, uint32_t id, bool first, bool serves)
{
	Config config = fixture_config(s->home);
	Fixture *f = &s->f;

	memset(f, 0, sizeof(*f));
	s->id = id;
	(void) snprintf(config.name, sizeof(config.name), "n%u", id);
	(void) snprintf(config.listen, sizeof(config.listen), "tcp://127.0.0.1:%d",
					port + (int) id - 1);
	config.workers = 2;
	log_set_level(getenv("DORIS_TEST_LOG") != NULL ? LOG_DEBUG : LOG_ERROR);
	f->node = calloc(1, sizeof(*f->node));
	assert_non_null(f->node);
	assert_int_equal(node_open(f->node, &config, &store_wiredtiger, &f->err), DORIS_OK);
	assert_int_equal(worker_init(&f->w, f->node, &f->err), DORIS_OK);
	if (first)
	{
		static const uint8_t cluster[DORIS_UUID_SIZE] = {1, 2, 3, 4};

		f->node->identity.node = id;
		memcpy(f->node->identity.cluster, cluster, DORIS_UUID_SIZE);
		atomic_store(&f->node->node_id, id);
		assert_int_equal(meta_save_identity(&f->w, &f->node->identity, &f->err), DORIS_OK);
	}
	else
		f->topo = topology_ref(f->node->placement->topo);
	atomic_store(&f->node->serving, true);
	if (serves)
	{
		assert_int_equal(listener_open(config.listen, &f->node->listener, &f->err), DORIS_OK);
		assert_int_equal(serve_start(f->node, &s->workers, &f->err), DORIS_OK);
	}
}

static void side_close(Side *s, bool clean)
{
	Fixture *f = &s->f;

	atomic_store(&f->node->stopping, true);
	serve_join(f->node, s->workers);
	s->workers = NULL;
	if (f->node->listener != NULL)
		listener_close(f->node->listener);
	f->node->listener = NULL;
	worker_free(&f->w);
	node_close(f->node, clean);
	free(f->node);
	f->node = NULL;
	topology_unref(f->topo);
	f->topo = NULL;
}

static void open_both(uint32_t vnodes)
{
	Topology *t = two_nodes(vnodes);

	side_open(&mine, 1, true, false);
	side_open(&source, 2, true, true);
	t->nodes[0].incarnation = mine.f.node->incarnation;
	t->nodes[1].incarnation = source.f.node->incarnation;
	publish(t, true);
	assert_int_equal(recoverer_init(&rec, mine.f.node, &mine.f.err), DORIS_OK);
}

static int setup(void **state)
{
	(void) state;
	port = 22000 + (int) (getpid() % 400) * 2;
	strcpy(mine.home, "/tmp/test_recover_XXXXXX");
	strcpy(source.home, "/tmp/test_recover_XXXXXX");
	if (mkdtemp(mine.home) == NULL || mkdtemp(source.home) == NULL)
		return 1;
	open_both(VNODES);
	return 0;
}

static int setup_many(void **state)
{
	int rc = setup(state);

	recoverer_free(&rec);
	side_close(&mine, true);
	side_close(&source, true);
	(void) !system("rm -rf /tmp/test_recover_none");
	strcpy(mine.home, "/tmp/test_recover_XXXXXX");
	strcpy(source.home, "/tmp/test_recover_XXXXXX");
	if (rc != 0 || mkdtemp(mine.home) == NULL || mkdtemp(source.home) == NULL)
		return 1;
	open_both(MANY_VNODES);
	return 0;
}

static int teardown(void **state)
{
	char command[160];

	(void) state;
	recoverer_free(&rec);
	side_close(&mine, true);
	side_close(&source, true);
	(void) snprintf(command, sizeof(command), "rm -rf '%s' '%s'", mine.home, source.home);
	return system(command);
}

/* The recovering node ends and starts again; clean: not killed. */
static void restart_mine(bool clean)
{
	recoverer_free(&rec);
	side_close(&mine, clean);
	side_open(&mine, 1, false, false);
	assert_int_equal(recoverer_init(&rec, mine.f.node, &mine.f.err), DORIS_OK);
}

/* ---- writes and looks ---- */

#define EVERYWHERE 3
#define AT_MINE 1
#define AT_SOURCE 2

static int stage_at(int where, DorisTxnId txn, uint32_t vnode, const char *key, WriteKind kind,
					DorisVersion base, const char *value)
{
	int why = 0;

	if ((where & AT_SOURCE) != 0)
		why = stage_one(&source.f, txn, txn.clock, vnode, key, kind, base, value);
	if ((where & AT_MINE) != 0 && why == 0)
		why = stage_one(&mine.f, txn, txn.clock, vnode, key, kind, base, value);
	return why;
}

static void finish_at(int where, DorisTxnId txn, bool commit, uint32_t vnode)
{
	if ((where & AT_SOURCE) != 0)
		assert_int_equal(finish(&source.f, source.f.topo->epoch, txn, commit, vnode), FINISHED);
	if ((where & AT_MINE) != 0)
		assert_int_equal(finish(&mine.f, mine.f.topo->epoch, txn, commit, vnode), FINISHED);
}

static DorisTxnId new_txn(void)
{
	static uint32_t nonce;
	uint64_t clock = stamp_now(&source.f);

	clock_observe(&mine.f.node->clock, clock);
	return txn_of(clock, ++nonce & 0x7FFFFFFFu);
}

/* What a copy has stored, complete or not. */
typedef struct Look
{
	bool committed;
	bool tombstone;
	DorisVersion version;
	int nstaged;
	DorisTxnId staged;
	char value[64];
} Look;

static Look look(Side *s, uint32_t vnode, const char *key)
{
	Fixture *f = &s->f;
	Look l = {0};
	DorisBytes k;

	assert_int_equal(tables_need(&f->w, vnode, &f->err), DORIS_OK);
	buf_reset(&f->w.key);
	record_key(&f->w.key, DORIS_SPACE_ROWS, NS, bytes_of(key));
	k.data = f->w.key.data;
	k.len = f->w.key.len;
	assert_int_equal(rows_load(&f->w, vnode, k, &f->w.row, &f->err), DORIS_OK);
	l.committed = f->w.row.committed;
	l.tombstone = f->w.row.tombstone;
	l.version = f->w.row.version;
	l.nstaged = f->w.row.nstaged;
	if (l.nstaged > 0)
		l.staged = f->w.row.staged[0].txn;
	(void) snprintf(l.value, sizeof(l.value), "%.*s", (int) f->w.row.value.len,
					(const char *) f->w.row.value.data);
	f->node->driver->idle(f->w.ss);
	return l;
}

/* A row written and finished. */
static DorisTxnId put_at(int where, uint32_t vnode, const char *key, const char *value)
{
	DorisTxnId txn = new_txn();
	Look was = look(&source, vnode, key);
	WriteKind kind = value == NULL					   ? WRITE_DELETE
					 : was.committed && !was.tombstone ? WRITE_UPDATE
													   : WRITE_INSERT;

	assert_int_equal(stage_at(where, txn, vnode, key, kind,
							  kind == WRITE_INSERT ? no_version : was.version,
							  value == NULL ? "" : value),
					 0);
	finish_at(where, txn, true, vnode);
	return txn;
}

static KeptSum sums(Side *s, uint32_t vnode)
{
	KeptSum sum;

	assert_int_equal(tables_need(&s->f.w, vnode, &s->f.err), DORIS_OK);
	assert_int_equal(kept_read(&s->f.w, vnode, &sum, &s->f.err), DORIS_OK);
	return sum;
}

/* The sums are what counting says. */
static void check_sums(Side *s, uint32_t vnode)
{
	KeptSum kept = sums(s, vnode);
	KeptSum counted;

	atomic_store(&s->f.node->counted[vnode], TALLY_NONE);
	counted = sums(s, vnode);
	assert_true(kept.digest == counted.digest);
	assert_true(kept.records == counted.records);
	assert_true(kept.staged == counted.staged);
}

static void check_equal(uint32_t vnodes)
{
	for (uint32_t v = 0; v < vnodes; v++)
	{
		KeptSum a = sums(&mine, v);
		KeptSum b = sums(&source, v);

		if (a.digest != b.digest || a.records != b.records || a.staged != b.staged)
			fail_msg("vnode %u: %llu records, %llu staged; the source: %llu, %llu", v,
					 (unsigned long long) a.records, (unsigned long long) a.staged,
					 (unsigned long long) b.records, (unsigned long long) b.staged);
	}
}

/* Rounds until all is ready, at most `rounds`. Returns what is left. */
static uint32_t recover_all(int rounds)
{
	uint32_t left = 1;

	while (rounds-- > 0 && left > 0)
		assert_int_equal(recover_round(&rec, &left, &mine.f.err), DORIS_OK);
	return left;
}

/* Node 1 is down, then up again: in between it has missed what the test puts at the source only. */
static void go_down(void)
{
	publish_incomplete(NODE_DOWN, false);
}

static void come_back(void)
{
	publish_incomplete(NODE_UP, true);
	assert_false(epoch_judges(mine.f.node, 0));
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
	kept[0] = new_txn();
	assert_int_equal(stage_at(AT_SOURCE, kept[0], 2, "fresh2", WRITE_INSERT, no_version, "1"), 0);
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

#define WITH_NODES(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

/* An argument names one test. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_NODES(test_missed),
		WITH_NODES(test_runs),
		WITH_NODES(test_new_home),
		cmocka_unit_test_setup_teardown(test_many_equal, setup_many, teardown),
		WITH_NODES(test_ended_meanwhile),
		WITH_NODES(test_one_sided),
		WITH_NODES(test_refused_stays),
		WITH_NODES(test_older_than_memory),
		WITH_NODES(test_writes_between),
		WITH_NODES(test_rivals),
		WITH_NODES(test_wanted_early),
		WITH_NODES(test_epoch_moves),
		WITH_NODES(test_source_behind),
		WITH_NODES(test_source_away),
		WITH_NODES(test_restart),
		WITH_NODES(test_pages),
		WITH_NODES(test_rate),
		WITH_NODES(test_random),
		WITH_NODES(test_mark),
		WITH_NODES(test_lease),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("recover", tests, NULL, NULL);
}
