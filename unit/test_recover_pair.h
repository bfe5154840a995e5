/*
 * test_recover_pair.h: two nodes in one process, each on a WiredTiger home, for the tests of recovery.
 *
 * "mine" is node 1 (group 1), which recovers; "source" is node 2 (group 2), with workers behind a real listener. Writes are put
 * directly on either of them, as a client whose message to the other was lost would leave them; on_step puts some between
 * the steps.
 */
#ifndef TEST_RECOVER_PAIR_H
#define TEST_RECOVER_PAIR_H

#include "test_node_fixture.h"

#include <unistd.h>

#include "recover.h"

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

static inline Topology *two_nodes(uint32_t vnodes)
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
static inline Topology *next_topology(void)
{
	Topology *t = fixture_next(&source.f);

	t->nodes[0].incarnation = mine.f.node == NULL ? 0 : mine.f.node->incarnation;
	t->nodes[1].incarnation = source.f.node->incarnation;
	return t;
}

static inline void publish(Topology *t, bool to_mine)
{
	assert_int_equal(fixture_take(&source.f, t), DORIS_OK);
	if (to_mine)
		assert_int_equal(fixture_take(&mine.f, t), DORIS_OK);
	topology_unref(t);
}

/* Node 1 is up or down, its copies are incomplete: changed in this epoch. */
static inline void publish_incomplete(NodeCondition condition, bool to_mine)
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

static inline void publish_complete(void)
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

static inline void side_open(Side *s, uint32_t id, bool first, bool serves)
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

static inline void side_close(Side *s, bool clean)
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

static inline void open_both(uint32_t vnodes)
{
	Topology *t = two_nodes(vnodes);

	side_open(&mine, 1, true, false);
	side_open(&source, 2, true, true);
	t->nodes[0].incarnation = mine.f.node->incarnation;
	t->nodes[1].incarnation = source.f.node->incarnation;
	publish(t, true);
	assert_int_equal(recoverer_init(&rec, mine.f.node, &mine.f.err), DORIS_OK);
}

static inline int make_pair(uint32_t vnodes)
{
	port = 22000 + (int) (getpid() % 400) * 2;
	strcpy(mine.home, "/tmp/test_recover_XXXXXX");
	strcpy(source.home, "/tmp/test_recover_XXXXXX");
	if (mkdtemp(mine.home) == NULL || mkdtemp(source.home) == NULL)
		return 1;
	open_both(vnodes);
	return 0;
}

static inline int setup(void **state)
{
	(void) state;
	return make_pair(VNODES);
}

static inline int teardown(void **state)
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
static inline void restart_mine(bool clean)
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

static inline int stage_at(int where, DorisTxnId txn, uint32_t vnode, const char *key,
						   WriteKind kind, DorisVersion base, const char *value)
{
	int why = 0;

	if ((where & AT_SOURCE) != 0)
		why = stage_one(&source.f, txn, txn.clock, vnode, key, kind, base, value);
	if ((where & AT_MINE) != 0 && why == 0)
		why = stage_one(&mine.f, txn, txn.clock, vnode, key, kind, base, value);
	return why;
}

static inline void finish_at(int where, DorisTxnId txn, bool commit, uint32_t vnode)
{
	if ((where & AT_SOURCE) != 0)
		assert_int_equal(finish(&source.f, source.f.topo->epoch, txn, commit, vnode), FINISHED);
	if ((where & AT_MINE) != 0)
		assert_int_equal(finish(&mine.f, mine.f.topo->epoch, txn, commit, vnode), FINISHED);
}

static inline DorisTxnId new_txn(void)
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

static inline Look look(Side *s, uint32_t vnode, const char *key)
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
static inline DorisTxnId put_at(int where, uint32_t vnode, const char *key, const char *value)
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

static inline KeptSum sums(Side *s, uint32_t vnode)
{
	KeptSum sum;

	assert_int_equal(tables_need(&s->f.w, vnode, &s->f.err), DORIS_OK);
	assert_int_equal(kept_read(&s->f.w, vnode, &sum, &s->f.err), DORIS_OK);
	return sum;
}

/* The sums are what counting says. */
static inline void check_sums(Side *s, uint32_t vnode)
{
	KeptSum kept = sums(s, vnode);
	KeptSum counted;

	atomic_store(&s->f.node->counted[vnode], TALLY_NONE);
	counted = sums(s, vnode);
	assert_true(kept.digest == counted.digest);
	assert_true(kept.records == counted.records);
	assert_true(kept.staged == counted.staged);
}

static inline void check_equal(uint32_t vnodes)
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
static inline uint32_t recover_all(int rounds)
{
	uint32_t left = 1;

	while (rounds-- > 0 && left > 0)
		assert_int_equal(recover_round(&rec, &left, &mine.f.err), DORIS_OK);
	return left;
}

/* Node 1 is down, then up again: in between it has missed what the test puts at the source only. */
static inline void go_down(void)
{
	publish_incomplete(NODE_DOWN, false);
}

static inline void come_back(void)
{
	publish_incomplete(NODE_UP, true);
	assert_false(epoch_judges(mine.f.node, 0));
}

#define WITH_NODES(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
