/*
 * test_node_fixture.h: a node on the memory store with a hand-made topology, for the tests that call its requests directly.
 *
 * One cluster of 8 vnodes and two groups; the node under test is number 1 and owns group 1. Vnode 7's
 * copy in group 1 belongs to node 3: not ours. Vnode 6's copy is ours but incomplete.
 */
#ifndef TEST_NODE_FIXTURE_H
#define TEST_NODE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node.h"
#include "row.h"

#define VNODES 8
#define VNODE_INCOMPLETE 6
#define VNODE_FOREIGN 7
#define NS 5

typedef struct Fixture
{
	Node *node;
	Worker w;
	Topology *topo; /* in force */
	DorisError err;
} Fixture;

static inline DorisBytes bytes_of(const char *s)
{
	DorisBytes b = {(const uint8_t *) s, strlen(s)};

	return b;
}

static inline Topology *fixture_topology(void)
{
	static const uint8_t cluster[DORIS_UUID_SIZE] = {1, 2, 3, 4};
	Topology *t = topology_new(VNODES, 2);
	NsDef *d;

	assert_non_null(t);
	memcpy(t->cluster, cluster, sizeof(cluster));
	t->epoch = 1;
	t->term = 1;
	t->nnodes = 3;
	t->nodes = calloc(3, sizeof(*t->nodes));
	assert_non_null(t->nodes);
	for (uint32_t i = 0; i < 3; i++)
	{
		TopoNode *n = &t->nodes[i];

		n->id = i + 1;
		(void) snprintf(n->name, sizeof(n->name), "n%u", i + 1);
		(void) snprintf(n->address, sizeof(n->address), "tcp://127.0.0.1:%u", 7001 + i);
		n->role = NODE_DATA;
		n->condition = NODE_UP;
		n->group = i == 1 ? 2 : 1;
	}
	for (uint32_t v = 0; v < VNODES; v++)
	{
		TopoCopy *mine = topology_copy(t, 1, v);
		TopoCopy *other = topology_copy(t, 2, v);

		mine->owner = v == VNODE_FOREIGN ? 3 : 1;
		mine->complete = v != VNODE_INCOMPLETE;
		mine->changed = 1;
		other->owner = 2;
		other->complete = true;
		other->changed = 1;
	}
	t->nnamespaces = 1;
	t->namespaces = calloc(1, sizeof(*t->namespaces));
	assert_non_null(t->namespaces);
	d = &t->namespaces[0];
	d->id = NS;
	d->version = 1;
	(void) snprintf(d->name, sizeof(d->name), "items");
	d->key_columns = 1;
	d->ncolumns = 3;
	d->columns = calloc(3, sizeof(*d->columns));
	assert_non_null(d->columns);
	for (int i = 0; i < 3; i++)
	{
		d->columns[i].id = (uint16_t) (i + 1);
		(void) snprintf(d->columns[i].name, sizeof(d->columns[i].name), "c%d", i + 1);
		(void) snprintf(d->columns[i].type, sizeof(d->columns[i].type), "text");
	}
	d->columns[0].key_position = 1;
	d->columns[0].key_width = DORIS_KEY_ESCAPED;
	t->next_namespace_id = NS + 1;
	return t;
}

/* Seals it and gives it to the node. */
static inline DorisStatus fixture_take(Fixture *f, Topology *t)
{
	DorisBytes encoded;
	DorisStatus st = topology_seal(t, NULL, &f->err);

	assert_int_equal(st, DORIS_OK);
	encoded.data = t->encoded;
	encoded.len = t->encoded_len;
	st = epoch_take(&f->w, encoded, &f->err);
	if (st == DORIS_OK)
	{
		topology_unref(f->topo);
		f->topo = topology_ref(t);
	}
	return st;
}

/* A copy of the one in force with the next epoch, to be changed and taken. */
static inline Topology *fixture_next(Fixture *f)
{
	Topology *t = topology_clone(f->topo);

	assert_non_null(t);
	memcpy(t->previous, f->topo->hash, DORIS_HASH_SIZE);
	t->epoch = f->topo->epoch + 1;
	return t;
}

static inline Config fixture_config(const char *home)
{
	Config config;

	memset(&config, 0, sizeof(config));
	(void) snprintf(config.home, sizeof(config.home), "%s", home);
	(void) snprintf(config.name, sizeof(config.name), "n1");
	(void) snprintf(config.listen, sizeof(config.listen), "tcp://127.0.0.1:7001");
	config.memory_minutes = 15;
	config.workers = 1;
	config.cache_mb = 64;
	return config;
}

/* Opens a node on a store. first: it is a new home, and gets its identity and topology. */
static inline void fixture_open_on(Fixture *f, const StoreDriver *driver, const char *home,
								   bool first)
{
	Config config = fixture_config(home);

	memset(f, 0, sizeof(*f));
	log_set_level(LOG_ERROR);
	f->node = calloc(1, sizeof(*f->node));
	assert_non_null(f->node);
	assert_int_equal(node_open(f->node, &config, driver, &f->err), DORIS_OK);
	assert_int_equal(worker_init(&f->w, f->node, &f->err), DORIS_OK);
	if (first)
	{
		Topology *t = fixture_topology();

		t->nodes[0].incarnation = f->node->incarnation;
		f->node->identity.node = 1;
		memcpy(f->node->identity.cluster, t->cluster, DORIS_UUID_SIZE);
		atomic_store(&f->node->node_id, 1);
		assert_int_equal(meta_save_identity(&f->w, &f->node->identity, &f->err), DORIS_OK);
		assert_int_equal(fixture_take(f, t), DORIS_OK);
		topology_unref(t);
	}
	else
	{
		/* as if this start had been matched in the epoch of the last one (rule start) */
		f->topo = topology_ref(f->node->placement->topo);
		f->node->incarnation = f->topo->nodes[0].incarnation;
		f->node->placement->named = true;
	}
	atomic_store(&f->node->serving, true);
}

static inline void fixture_open(Fixture *f)
{
	fixture_open_on(f, &store_memory, "/", true);
}

#define FIXTURE_HOME_SIZE 64

/* A new, empty directory for a node on disk; false: it cannot be made. */
static inline bool fixture_home_make(char home[FIXTURE_HOME_SIZE])
{
	(void) snprintf(home, FIXTURE_HOME_SIZE, "/tmp/doris-unit-node-XXXXXX");
	return mkdtemp(home) != NULL;
}

static inline int fixture_home_remove(const char *home)
{
	char command[FIXTURE_HOME_SIZE + 16];

	(void) snprintf(command, sizeof(command), "rm -rf '%s'", home);
	return system(command);
}

static inline void fixture_close(Fixture *f)
{
	worker_free(&f->w);
	node_close(f->node, true);
	free(f->node);
	topology_unref(f->topo);
}

/* The node that a program's tests share one after the other; these two are cmocka's, for one on the memory store. */
static Fixture fix;

static inline int fixture_setup(void **state)
{
	(void) state;
	fixture_open(&fix);
	return 0;
}

static inline int fixture_teardown(void **state)
{
	(void) state;
	fixture_close(&fix);
	return 0;
}

static inline uint64_t stamp_now(Fixture *f)
{
	return clock_next(&f->node->clock);
}

static inline DorisTxnId txn_of(uint64_t clock, uint32_t nonce)
{
	DorisTxnId id = {clock, 77, nonce};

	return id;
}

static inline DorisVersion version_of(uint64_t clock)
{
	DorisVersion v = {clock, 77};

	return v;
}

static const DorisVersion no_version = {0, 0};

static inline StageRow stage_row_of(uint32_t vnode, const char *key, WriteKind kind,
									DorisVersion base, const char *value)
{
	StageRow r = {{DORIS_SPACE_ROWS, NS, vnode, bytes_of(key)}, kind, base, bytes_of(value)};

	return r;
}

/* Stages rows under one id; the reply's first conflict, or 0 when held. */
static inline int stage(Fixture *f, uint64_t epoch, DorisTxnId txn, DorisVersion version,
						TxnMode mode, StageRow *rows, uint32_t n, StageConflict *first)
{
	StageRequest m = {.txn = txn,
					  .version = version,
					  .mode = mode,
					  .expires_ms = clock_wall_ms() + 1000,
					  .nrows = n,
					  .rows = rows};
	StageReply reply;
	int why;
	DorisStatus st;

	f->w.need = 0;
	st = stage_execute(&f->w, epoch, &m, &reply, &f->err);
	if (st != DORIS_OK)
		return -(int) st;
	assert_true(reply.held == (reply.nconflicts == 0));
	why = reply.held ? 0 : (int) reply.conflicts[0].why;
	if (first != NULL && !reply.held)
		*first = reply.conflicts[0];
	stage_reply_free(&reply);
	assert_false(f->w.locked);
	return why;
}

static inline int stage_one(Fixture *f, DorisTxnId txn, uint64_t clock, uint32_t vnode,
							const char *key, WriteKind kind, DorisVersion base, const char *value)
{
	StageRow row = stage_row_of(vnode, key, kind, base, value);

	return stage(f, f->topo->epoch, txn, version_of(clock), TXN_SINGLE, &row, 1, NULL);
}

static inline FinishResult finish(Fixture *f, uint64_t epoch, DorisTxnId txn, bool commit,
								  uint32_t vnode)
{
	uint32_t vnodes[1] = {vnode};
	FinishItem item = {txn, commit, 1, vnodes};
	FinishResult result = 0;

	f->w.need = 0;
	assert_int_equal(finish_execute(&f->w, epoch, &item, &result, &f->err), DORIS_OK);
	assert_false(f->w.locked);
	return result;
}

static inline OutcomeResult outcome(Fixture *f, DorisTxnId txn, uint32_t vnode, bool refuse)
{
	OutcomeRequest m = {txn, vnode, refuse};
	OutcomeResult result = 0;

	f->w.need = 0;
	assert_int_equal(outcome_execute(&f->w, f->topo->epoch, &m, &result, &f->err), DORIS_OK);
	assert_false(f->w.locked);
	return result;
}

/* One row by GET; its values are copied into `value`, so that it can be looked at. */
typedef struct Seen
{
	RowState row;
	char value[256];
	char staged[256];
} Seen;

static inline DorisStatus get_space(Fixture *f, uint8_t space, uint32_t ns, uint32_t vnode,
									DorisBytes key, Seen *out)
{
	KeyRef at = {space, ns, vnode, key};
	GetRequest m = {.nkeys = 1, .keys = &at, .all_columns = true};
	GetReply reply;
	DorisBuf b;
	DorisCursor c;
	DorisStatus st;

	memset(out, 0, sizeof(*out));
	buf_init(&b);
	f->w.need = 0;
	st = read_execute(&f->w, f->topo->epoch, &m, &b, &f->err);
	if (st == DORIS_OK)
	{
		c = cursor_of(b.data, b.len);
		assert_int_equal(get_reply_decode(&c, &reply, &f->err), DORIS_OK);
		assert_int_equal(reply.nrows, 1);
		out->row = reply.rows[0];
		(void) snprintf(out->value, sizeof(out->value), "%.*s", (int) out->row.value.len,
						(const char *) out->row.value.data);
		(void) snprintf(out->staged, sizeof(out->staged), "%.*s", (int) out->row.staged.value.len,
						(const char *) out->row.staged.value.data);
		get_reply_free(&reply);
	}
	buf_free(&b);
	return st;
}

static inline Seen get(Fixture *f, uint32_t vnode, const char *key)
{
	Seen s;

	assert_int_equal(get_space(f, DORIS_SPACE_ROWS, NS, vnode, bytes_of(key), &s), DORIS_OK);
	return s;
}

/* A committed row, by stage and finish. Returns its version. */
static inline DorisVersion put_row(Fixture *f, uint32_t vnode, const char *key, const char *value)
{
	uint64_t clock = stamp_now(f);
	DorisTxnId txn = txn_of(clock, 1);
	Seen s = get(f, vnode, key);

	assert_int_equal(stage_one(f, txn, clock, vnode, key,
							   s.row.present ? WRITE_UPDATE : WRITE_INSERT,
							   s.row.present ? s.row.version : no_version, value),
					 0);
	assert_int_equal(finish(f, 0, txn, true, vnode), FINISHED);
	return version_of(clock);
}

/* A plain write of one row; *higher: the version that is there and higher, or none. */
static inline DorisStatus apply(Fixture *f, bool from_client, uint32_t vnode, const char *key,
								bool deleted, DorisVersion version, const char *value,
								DorisVersion *higher)
{
	ApplyRow row = {
		{DORIS_SPACE_ROWS, NS, vnode, bytes_of(key)}, deleted, version, bytes_of(value)};
	ApplyRequest m = {.from_client = from_client, .nrows = 1, .rows = &row};
	ApplyReply reply;
	DorisStatus st;

	if (deleted)
		row.value.len = 0;
	f->w.need = 0;
	st = plain_execute(&f->w, f->topo->epoch, &m, &reply, &f->err);
	assert_false(f->w.locked);
	if (st != DORIS_OK)
		return st;
	if (higher != NULL)
		*higher = reply.nhigher > 0 ? reply.versions[0] : no_version;
	apply_reply_free(&reply);
	return DORIS_OK;
}

static inline int64_t rows_counted(Fixture *f)
{
	NsCount *c = counters_find(f->node, NS, false);

	return c == NULL ? 0 : atomic_load(&c->rows);
}

#endif
