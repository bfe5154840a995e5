/* links: wire node */
/*
 * test_node_count.c: the rows that each vnode knows to be there (kept_rows.c) are those that reading it finds, whatever happened
 * to it, and a scan that only counts reads no more than it must.
 */
#include "test_node_fixture.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#define OTHER (NS + 1) /* a second namespace */
#define USED 4		   /* vnodes 0.. in which rows are written */
#define KEYS 6		   /* in each of them and each namespace */
#define OPEN 5		   /* transactions, at most */
#define STEPS 4000

static char home[FIXTURE_HOME_SIZE];

static int setup(void **state)
{
	(void) state;
	return !fixture_home_make(home);
}

static int teardown(void **state)
{
	(void) state;
	return fixture_home_remove(home);
}

static void take(Fixture *f, Topology *next)
{
	assert_int_equal(fixture_take(f, next), DORIS_OK);
	topology_unref(next);
}

/* A node with both namespaces. */
static void open_first(Fixture *f, const StoreDriver *driver)
{
	Topology *next;
	NsDef *defs;

	fixture_open_on(f, driver, driver == &store_memory ? "/" : home, true);
	next = fixture_next(f);
	defs = realloc(next->namespaces, 2 * sizeof(*defs));
	assert_non_null(defs);
	next->namespaces = defs;
	defs[1] = defs[0];
	defs[1].columns = malloc((size_t) defs[0].ncolumns * sizeof(*defs[0].columns));
	assert_non_null(defs[1].columns);
	memcpy(defs[1].columns, defs[0].columns, (size_t) defs[0].ncolumns * sizeof(*defs[0].columns));
	defs[1].id = OTHER;
	(void) snprintf(defs[1].name, sizeof(defs[1].name), "others");
	next->nnamespaces = 2;
	next->next_namespace_id = OTHER + 1;
	take(f, next);
	assert_int_equal(tables_settle(&f->w, 0, &f->err), DORIS_OK);
}

/* The live rows, and the staged writes of whatever namespace, that are in the vnode's table. */
static uint64_t by_reading(Fixture *f, uint32_t vnode, uint32_t ns, uint64_t *staged)
{
	const StoreDriver *d = f->node->driver;
	DorisBytes none = {NULL, 0};
	DorisBytes key;
	DorisBytes value;
	uint64_t rows = 0;
	StoreScan *sc;

	*staged = 0;
	assert_int_equal(d->begin(f->w.ss, &f->err), DORIS_OK);
	assert_int_equal(d->scan(f->w.ss, vnode, none, none, &sc, &f->err), DORIS_OK);
	while (d->next(sc, &key, &value, &f->err) == DORIS_OK)
	{
		static Record r;
		uint8_t space;
		uint32_t of;
		DorisBytes row;

		assert_true(record_decode(value, &r));
		assert_true(record_key_split(key, &space, &of, &row));
		*staged += r.nstaged;
		rows += space == DORIS_SPACE_ROWS && of == ns && record_is_live(&r);
	}
	d->scan_close(sc);
	d->rollback(f->w.ss);
	return rows;
}

typedef struct Counted
{
	uint64_t rows;
	uint32_t sent; /* staged ones, to be settled by who asked */
	uint64_t read; /* records */
} Counted;

/* A scan of some vnodes by a program that only counts, twice over; pages of `max` rows. after: a key of the second vnode; NULL: all. */
static Counted count_after(Fixture *f, uint32_t ns, uint32_t *vnodes, uint32_t n, uint32_t max,
						   const char *after)
{
	ScanRequest m = {.ns = ns,
					 .def_version = 1,
					 .nvnodes = n,
					 .vnodes = vnodes,
					 .max_rows = max,
					 .aggregate = {(const uint8_t *) "\0\2\1\1", 4}};
	uint64_t before = atomic_load(&f->node->counters[COUNT_ROWS_SCANNED]);
	Counted out = {0};
	uint8_t token[256];
	bool done = false;
	DorisBuf reply;

	if (after != NULL)
	{
		m.resume = true;
		m.resume_vnode = vnodes[1];
		m.resume_key = bytes_of(after);
	}
	buf_init(&reply);
	while (!done)
	{
		ScanReply page;
		DorisCursor c;
		uint64_t rows;

		buf_reset(&reply);
		assert_int_equal(scan_execute(&f->w, f->topo->epoch, &m, &reply, &f->err), DORIS_OK);
		assert_false(f->w.locked);
		c = cursor_of(reply.data, reply.len);
		assert_int_equal(scan_reply_decode(&c, &page, &f->err), DORIS_OK);
		c = cursor_of(page.groups.data, page.groups.len);
		assert_int_equal(cursor_varint(&c), 1);
		rows = cursor_varint(&c);
		assert_int_equal(cursor_varint(&c), rows);
		assert_true(cursor_at_end(&c));
		out.rows += rows;
		out.sent += page.nrows;
		done = page.done;
		m.resume = true;
		m.resume_vnode = page.next_vnode;
		assert_true(page.next_key.len < sizeof(token));
		if (page.next_key.len > 0)
			memcpy(token, page.next_key.data, page.next_key.len);
		m.resume_key = (DorisBytes){token, page.next_key.len};
		scan_reply_free(&page);
	}
	buf_free(&reply);
	out.read = atomic_load(&f->node->counters[COUNT_ROWS_SCANNED]) - before;
	return out;
}

static Counted count(Fixture *f, uint32_t ns, uint32_t *vnodes, uint32_t n, uint32_t max)
{
	return count_after(f, ns, vnodes, n, max, NULL);
}

/* Rows with a staged write, live or not, of the vnode: a scan leaves counting them to who asked. */
static uint64_t live_and_staged(Fixture *f, uint32_t vnode, uint32_t ns)
{
	uint64_t n = 0;

	for (int k = 0; k < KEYS; k++)
	{
		char key[8];
		Seen s;

		(void) snprintf(key, sizeof(key), "k%d", k);
		assert_int_equal(get_space(f, DORIS_SPACE_ROWS, ns, vnode, bytes_of(key), &s), DORIS_OK);
		n += s.row.present && s.row.nstaged > 0;
	}
	return n;
}

static void check(Fixture *f, uint32_t ns)
{
	for (uint32_t v = 0; v < USED; v++)
	{
		uint64_t staged;
		uint64_t rows = by_reading(f, v, ns, &staged);
		uint64_t told = 0;
		bool known = atomic_load(&f->node->counted[v]) == TALLY_KNOWN;
		Counted c = count(f, ns, &v, 1, 0);

		assert_int_equal(kept_rows_read(&f->w, v, ns, &told), known && staged == 0);
		if (known && staged == 0)
		{
			assert_int_equal(told, rows);
			assert_int_equal(c.read, 0);
		}
		assert_int_equal(c.rows, rows - live_and_staged(f, v, ns));
		/* whatever is staged: without it, the same number is known */
		if (known)
		{
			int64_t kept = atomic_exchange(&f->node->kept[v].staged, 0);

			assert_int_equal(kept, staged);
			assert_true(kept_rows_read(&f->w, v, ns, &told));
			assert_int_equal(told, rows);
			atomic_store(&f->node->kept[v].staged, kept);
		}
	}
}

/* ---- what happens to rows ---- */

typedef struct Open
{
	DorisTxnId txn; /* clock 0: none */
	uint32_t vnode;
} Open;

static unsigned seed;

static uint32_t below(uint32_t n)
{
	return (uint32_t) rand_r(&seed) % n;
}

static void step_stage(Fixture *f, Open *o, uint32_t ns, const char *key)
{
	uint32_t vnode = below(USED);
	uint64_t clock = stamp_now(f);
	StageRow row;
	Seen s;

	assert_int_equal(get_space(f, DORIS_SPACE_ROWS, ns, vnode, bytes_of(key), &s), DORIS_OK);
	row = stage_row_of(vnode, key,
					   s.row.present ? below(2) == 0 ? WRITE_DELETE : WRITE_UPDATE : WRITE_INSERT,
					   s.row.present ? s.row.version : no_version, "value");
	row.at.ns = ns;
	/* refused when another one has the row */
	if (stage(f, f->topo->epoch, txn_of(clock, 1), version_of(clock), TXN_SINGLE, &row, 1, NULL) ==
		0)
		*o = (Open){txn_of(clock, 1), vnode};
}

static void step_plain(Fixture *f, uint32_t ns, const char *key)
{
	uint32_t vnode = below(USED);
	ApplyRow row = {.at = {DORIS_SPACE_ROWS, ns, vnode, bytes_of(key)},
					.deleted = below(2) == 0,
					.version = version_of(stamp_now(f)),
					.value = bytes_of("plain")};
	ApplyRequest m = {.nrows = 1, .rows = &row};
	ApplyReply reply;

	assert_int_equal(plain_execute(&f->w, f->topo->epoch, &m, &reply, &f->err), DORIS_OK);
	apply_reply_free(&reply);
}

/* Tombstones go; or rows that a source has purged, as a copy that is made complete drops them. */
static void step_purge(Fixture *f, uint32_t ns, const char *key)
{
	uint32_t vnode = below(USED);
	Floor *floor = &f->node->floors[vnode];
	PurgeWalk walk = {0};
	DorisBuf stored;
	DorisBuf keys;

	atomic_store(&floor->purged, stamp_now(f));
	if (below(2) == 0)
	{
		atomic_store(&floor->due, 1);
		assert_int_equal(purge_tombstones(&f->w, &walk, 1000, &f->err), DORIS_OK);
		purge_walk_free(&walk);
	}
	else
	{
		buf_init(&stored);
		buf_init(&keys);
		record_key(&stored, DORIS_SPACE_ROWS, ns, bytes_of(key));
		buf_put_view(&keys, (DorisBytes){stored.data, stored.len});
		f->node->placement->place[vnode] |= PLACE_RECOVER;
		assert_int_equal(purge_drop(&f->w, vnode, f->node->placement->changed[vnode],
									(DorisBytes){keys.data, keys.len}, &f->err),
						 DORIS_OK);
		f->node->placement->place[vnode] &= (uint8_t) ~PLACE_RECOVER;
		buf_free(&stored);
		buf_free(&keys);
	}
	atomic_store(&floor->purged, 0);
}

static void step(Fixture *f, Open *open)
{
	uint32_t ns = below(2) == 0 ? NS : OTHER;
	Open *o = &open[below(OPEN)];
	uint32_t vnode = below(USED);
	char key[8];

	(void) snprintf(key, sizeof(key), "k%u", below(KEYS));
	switch (below(16))
	{
		case 0:
			/* as after an unclean stop; until it is counted, changes are nobody's */
			atomic_store(&f->node->counted[vnode], TALLY_NONE);
			break;
		case 1:
		case 2:
			assert_int_equal(counters_recount(&f->w, vnode, &f->err), DORIS_OK);
			break;
		case 3:
			step_purge(f, ns, key);
			break;
		case 4:
		case 5:
		case 6:
			step_plain(f, ns, key);
			break;
		default:
			if (o->txn.clock == 0)
				step_stage(f, o, ns, key);
			else
			{
				assert_int_equal(finish(f, f->topo->epoch, o->txn, below(3) > 0, o->vnode),
								 FINISHED);
				o->txn.clock = 0;
			}
	}
}

static void many_steps(Fixture *f, Open *open)
{
	for (int i = 0; i < STEPS; i++)
	{
		step(f, open);
		if (i % 5 == 0)
		{
			check(f, NS);
			check(f, OTHER);
		}
	}
	for (uint32_t v = 0; v < USED; v++)
		assert_int_equal(counters_recount(&f->w, v, &f->err), DORIS_OK);
	check(f, NS);
	check(f, OTHER);
}

static void take_seed(void)
{
	const char *given = getenv("DORIS_SEED");

	seed = given != NULL ? (unsigned) strtoul(given, NULL, 10) : (unsigned) time(NULL);
	print_message("DORIS_SEED=%u\n", seed);
}

static void test_steps(void **state)
{
	Fixture *f = &fix;
	Open open[OPEN] = {0};
	Topology *next;
	uint32_t all[USED] = {0, 1, 2, 3};
	uint64_t other = 0;

	(void) state;
	take_seed();
	open_first(f, &store_memory);
	many_steps(f, open);
	/* one namespace is dropped, with what is staged in it, and the other one's rows are as they were */
	next = fixture_next(f);
	nsdef_free(&next->namespaces[0]);
	next->namespaces[0] = next->namespaces[1];
	next->nnamespaces = 1;
	take(f, next);
	check(f, OTHER);
	assert_int_equal(background_purge(&f->w, &f->err), DORIS_OK);
	for (uint32_t v = 0; v < USED; v++)
	{
		uint64_t staged;

		assert_int_equal(by_reading(f, v, NS, &staged), 0);
		other += by_reading(f, v, OTHER, &staged);
	}
	check(f, OTHER);
	for (int i = 0; i < OPEN; i++)
		if (open[i].txn.clock != 0)
			assert_int_equal(finish(f, f->topo->epoch, open[i].txn, false, open[i].vnode),
							 FINISHED);
	check(f, OTHER);
	assert_int_equal(count(f, OTHER, all, USED, 0).rows, other);
	assert_int_equal(count(f, OTHER, all, USED, 0).read, 0);
	/* and a table is given away, and comes again */
	next = fixture_next(f);
	topology_copy(next, 1, 1)->owner = 3;
	topology_copy(next, 1, 1)->changed = next->epoch;
	take(f, next);
	assert_int_equal(tables_settle(&f->w, 0, &f->err), DORIS_OK);
	next = fixture_next(f);
	topology_copy(next, 1, 1)->owner = 1;
	topology_copy(next, 1, 1)->changed = next->epoch;
	take(f, next);
	assert_int_equal(tables_settle(&f->w, 0, &f->err), DORIS_OK);
	assert_int_equal(count(f, OTHER, all + 1, 1, 0).rows, 0);
	check(f, OTHER);
	fixture_close(f);
}

static void test_stops(void **state)
{
	Fixture *f = &fix;
	Open open[OPEN] = {0};
	DorisBuf saved;
	DorisBytes value;
	uint64_t staged;
	uint64_t rows;

	(void) state;
	take_seed();
	open_first(f, &store_wiredtiger);
	many_steps(f, open);
	fixture_close(f);
	fixture_open_on(f, &store_wiredtiger, home, false);
	assert_false(f->node->recount);
	for (uint32_t v = 0; v < USED; v++)
		assert_int_equal(atomic_load(&f->node->counted[v]), TALLY_KNOWN);
	check(f, NS);
	check(f, OTHER);
	many_steps(f, open);

	/* saved by a release that kept no rows: those are counted anew, and once */
	assert_int_equal(counters_save(&f->w, &f->err), DORIS_OK);
	buf_init(&saved);
	assert_int_equal(meta_get(&f->w, "digests", &saved, &f->err), DORIS_OK);
	value = (DorisBytes){saved.data + 28, saved.len - 28};
	assert_int_equal(meta_put(&f->w, "digests", value, &f->err), DORIS_OK);
	buf_free(&saved);
	rows = 0;
	for (uint32_t v = 0; v < USED; v++)
		rows += by_reading(f, v, NS, &staged);
	assert_int_equal(commit_flush_all(&f->w, &f->err), DORIS_OK);
	worker_free(&f->w);
	node_close(f->node, false);
	free(f->node);
	topology_unref(f->topo);
	fixture_open_on(f, &store_wiredtiger, home, false);
	assert_true(f->node->recount);
	check(f, NS);
	for (uint32_t v = 0; v < VNODES; v++)
		if (atomic_load(&f->node->tables[v]) == TABLE_READY)
			assert_int_equal(counters_recount(&f->w, v, &f->err), DORIS_OK);
	check(f, NS);
	check(f, OTHER);
	assert_int_equal(rows_counted(f), rows);
	fixture_close(f);
}

/* A vnode with staged writes is read, whatever the pages, and what is staged is sent. */
static void test_staged(void **state)
{
	Fixture *f = &fix;
	uint32_t vnodes[] = {0, 1, 2};
	uint64_t c;
	Counted got;

	(void) state;
	open_first(f, &store_memory);
	for (uint32_t v = 0; v < 3; v++)
	{
		(void) put_row(f, v, "a", "1");
		(void) put_row(f, v, "b", "2");
		(void) put_row(f, v, "c", "3");
	}
	got = count(f, NS, vnodes, 3, 0);
	assert_int_equal(got.rows, 9);
	assert_int_equal(got.read, 0);
	c = stamp_now(f);
	assert_int_equal(stage_one(f, txn_of(c, 1), c, 1, "bb", WRITE_INSERT, no_version, "x"), 0);
	for (uint32_t max = 0; max < 4; max++)
	{
		got = count(f, NS, vnodes, 3, max);
		assert_int_equal(got.rows, 9);
		assert_int_equal(got.sent, 1);
		assert_int_equal(got.read, 4); /* vnode 1 only */
	}
	/* what is told must be on disk */
	f->w.need = 0;
	(void) count(f, NS, vnodes, 3, 0);
	assert_true(f->w.need > 0);
	assert_int_equal(finish(f, 0, txn_of(c, 1), true, 1), FINISHED);
	got = count(f, NS, vnodes, 3, 0);
	assert_int_equal(got.rows, 10);
	assert_int_equal(got.sent, 0);
	assert_int_equal(got.read, 0);
	/* a page had ended within the vnode, before the write did: the rest of it is read */
	got = count_after(f, NS, vnodes, 3, 0, "bb");
	assert_int_equal(got.rows, 4);
	assert_int_equal(got.read, 1);
	f->w.need = 0;
	assert_int_equal(count(f, NS, vnodes + 1, 1, 0).read, 0);
	assert_true(f->w.need > 0);
	fixture_close(f);
}

/* ---- side by side ---- */

static atomic_bool stop;

static void *writer(void *arg)
{
	uint32_t me = (uint32_t) (uintptr_t) arg;
	DorisError err = {0};
	Worker w;

	if (worker_init(&w, fix.node, &err) != DORIS_OK)
		abort();
	for (uint32_t i = 0; !atomic_load(&stop); i++)
	{
		char key[32];
		ApplyRow row = {.at = {DORIS_SPACE_ROWS, i % 3 == 0 ? OTHER : NS, i % 2, {NULL, 0}},
						.deleted = i % 5 == 4,
						.version = {clock_next(&fix.node->clock), me},
						.value = bytes_of("x")};
		ApplyRequest m = {.nrows = 1, .rows = &row};
		ApplyReply reply;
		DorisStatus st;

		(void) snprintf(key, sizeof(key), "%u-%u", me, (i * 7919) % 300);
		row.at.key = bytes_of(key);
		(void) pthread_rwlock_rdlock(&fix.node->epoch_lock);
		do
			st = plain_execute(&w, fix.topo->epoch, &m, &reply, &err);
		while (st == DORIS_CONFLICT);
		(void) pthread_rwlock_unlock(&fix.node->epoch_lock);
		if (st != DORIS_OK)
			abort();
		apply_reply_free(&reply);
	}
	worker_free(&w);
	return NULL;
}

/* Vnodes are counted again and again while rows are written there. */
static void test_counted_meanwhile(void **state)
{
	Fixture *f = &fix;
	pthread_t threads[2];

	(void) state;
	open_first(f, &store_wiredtiger);
	atomic_store(&stop, false);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, writer, (void *) (uintptr_t) (i + 1)),
						 0);
	for (int i = 0; i < 200; i++)
	{
		uint32_t v = (uint32_t) i % 2;

		locks_clear(&f->w);
		locks_add(&f->w, v);
		locks_take(&f->w);
		atomic_store(&f->node->counted[v], TALLY_NONE);
		locks_release(&f->w);
		(void) usleep(1000);
		assert_int_equal(counters_recount(&f->w, v, &f->err), DORIS_OK);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	check(f, NS);
	check(f, OTHER);
	fixture_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_steps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stops, setup, teardown),
		cmocka_unit_test_setup_teardown(test_staged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_counted_meanwhile, setup, teardown),
	};

	return cmocka_run_group_tests_name("count", tests, NULL, NULL);
}
