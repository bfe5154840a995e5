/* links: wire node */
/*
 * test_node_purge.c: tombstones go (rule purge), and nothing brings their rows back: late writes, hints, repairs, a node that
 * returns with an older disk.
 */
#include "test_recover_pair.h"

#include "hints.h"

/* ---- steps ---- */

/* Everything written so far is behind what nodes remember. */
static uint64_t forget(void)
{
	uint64_t ms;

	(void) usleep(3000);
	ms = clock_ms_of(stamp_now(&source.f));
	atomic_store(&mine.f.node->horizon_ms, ms);
	atomic_store(&source.f.node->horizon_ms, ms);
	clock_observe(&mine.f.node->clock, ms << 16);
	return ms << 16;
}

static PurgeReply purge_at(Side *s, PurgeStep step, uint32_t vnode, uint64_t upto, uint64_t ignore)
{
	PurgeRequest m = {.step = step, .vnode = vnode, .upto = upto, .ignore = ignore};
	PurgeReply reply;

	assert_int_equal(purge_execute(&s->f.w, s->f.topo->epoch, &m, &reply, &s->f.err), DORIS_OK);
	assert_false(s->f.w.locked);
	return reply;
}

/* Both steps at both nodes, which are found equal. */
static void purge_both(uint32_t vnode, uint64_t upto)
{
	PurgeReply a = purge_at(&mine, PURGE_FENCE, vnode, upto, 0);
	PurgeReply b = purge_at(&source, PURGE_FENCE, vnode, upto, 0);

	assert_int_equal(a.result, PURGE_DONE);
	assert_int_equal(b.result, PURGE_DONE);
	assert_true(a.digest == b.digest);
	assert_int_equal(a.records, b.records);
	assert_int_equal(a.tombstones, b.tombstones);
	assert_int_equal(a.staged + b.staged, 0);
	assert_int_equal(purge_at(&mine, PURGE_RELEASE, vnode, upto, 0).result, PURGE_DONE);
	assert_int_equal(purge_at(&source, PURGE_RELEASE, vnode, upto, 0).result, PURGE_DONE);
}

static void delete_tombstones(Side *s)
{
	PurgeWalk walk = {0};

	for (int i = 0; i < 3; i++)
		assert_int_equal(purge_tombstones(&s->f.w, &walk, 1000, &s->f.err), DORIS_OK);
	purge_walk_free(&walk);
}

static bool is_gone(Side *s, uint32_t vnode, const char *key)
{
	Look l = look(s, vnode, key);

	return !l.committed && l.nstaged == 0;
}

/* OK, and what it met in *higher. */
static void apply_at(Side *s, bool from_client, uint32_t vnode, const char *key,
					 DorisVersion version, const char *value, const uint64_t *purged,
					 DorisVersion *higher)
{
	ApplyRow row = {
		{DORIS_SPACE_ROWS, NS, vnode, bytes_of(key)}, value == NULL, version, {NULL, 0}};
	ApplyRequest m = {.from_client = from_client,
					  .nrows = 1,
					  .rows = &row,
					  .has_purged = purged != NULL,
					  .purged = purged != NULL ? *purged : 0};
	ApplyReply reply;

	if (value != NULL)
		row.value = bytes_of(value);
	assert_int_equal(plain_execute(&s->f.w, s->f.topo->epoch, &m, &reply, &s->f.err), DORIS_OK);
	memset(higher, 0, sizeof(*higher));
	if (reply.nhigher > 0)
		*higher = reply.versions[0];
	apply_reply_free(&reply);
}

/* ---- tests ---- */

static void test_purge(void **state)
{
	DorisTxnId old;
	DorisVersion higher;
	uint64_t upto;
	PurgeReply r;
	Look l;

	(void) state;
	old = put_at(EVERYWHERE, 1, "gone", "1");
	(void) put_at(EVERYWHERE, 1, "gone", NULL);
	(void) put_at(EVERYWHERE, 1, "stays", "1");
	upto = forget();
	(void) put_at(EVERYWHERE, 1, "young", "1");
	(void) put_at(EVERYWHERE, 1, "young", NULL);
	r = purge_at(&mine, PURGE_FENCE, 1, upto, 0);
	assert_int_equal(r.result, PURGE_DONE);
	assert_int_equal(r.records, 2);
	assert_int_equal(r.tombstones, 1);
	assert_int_equal(r.purged, 0);
	purge_both(1, upto);
	delete_tombstones(&mine);
	delete_tombstones(&source);
	assert_true(is_gone(&mine, 1, "gone"));
	assert_true(is_gone(&source, 1, "gone"));
	assert_true(look(&mine, 1, "young").tombstone);
	assert_string_equal(look(&mine, 1, "stays").value, "1");
	check_equal(VNODES);
	assert_int_equal(rows_counted(&mine.f), 1);
	check_sums(&mine, 1);

	/* what is late does not bring it back: STAGEs, known as committed or not, a repair, a client whose clock is behind */
	assert_int_equal(stage_one(&mine.f, old, old.clock, 1, "gone", WRITE_INSERT, no_version, "1"),
					 0);
	assert_int_equal(stage_one(&mine.f, txn_of(old.clock, 999), old.clock, 1, "gone", WRITE_INSERT,
							   no_version, "1"),
					 REFUSAL_HORIZON);
	assert_int_equal(finish(&mine.f, 0, old, true, 1), FINISHED);
	apply_at(&mine, false, 1, "gone", version_of(old.clock), "1", NULL, &higher);
	assert_true(higher.clock == upto);
	apply_at(&mine, true, 1, "gone", version_of(old.clock), "1", NULL, &higher);
	assert_true(higher.clock == upto);
	assert_true(is_gone(&mine, 1, "gone"));
	/* even when the node is told to remember longer than it did */
	atomic_store(&mine.f.node->horizon_ms, 0);
	assert_int_equal(stage_one(&mine.f, txn_of(old.clock, 999), old.clock, 1, "gone", WRITE_INSERT,
							   no_version, "1"),
					 REFUSAL_HORIZON);

	/* and the key can be used anew */
	(void) put_at(EVERYWHERE, 1, "gone", "2");
	l = look(&mine, 1, "gone");
	assert_string_equal(l.value, "2");
	/* the floor outlives the process, clean stop or not */
	restart_mine(false);
	assert_true(atomic_load(&mine.f.node->floors[1].fence) == upto);
	assert_true(atomic_load(&mine.f.node->floors[1].purged) == upto);
	assert_true(atomic_load(&mine.f.node->floors[2].fence) == 0);
}

/* What a step rests on is looked at by each node itself. */
static void test_refusals(void **state)
{
	uint64_t upto;
	DorisTxnId txn = new_txn();
	Topology *t;
	PurgeRequest m = {.step = PURGE_FENCE, .vnode = 1};
	PurgeReply reply;

	(void) state;
	assert_int_equal(stage_at(EVERYWHERE, txn, 1, "open", WRITE_INSERT, no_version, "1"), 0);
	assert_int_equal(purge_at(&mine, PURGE_FENCE, 1, stamp_now(&mine.f), 0).result, PURGE_YOUNG);
	upto = forget();
	assert_int_equal(purge_at(&mine, PURGE_RELEASE, 1, upto, 0).result, PURGE_UNFENCED);
	assert_true(atomic_load(&mine.f.node->floors[1].purged) == 0);
	/* somebody's old staged write is told; and still ends as it should */
	assert_int_equal(purge_at(&mine, PURGE_FENCE, 1, upto, 0).staged, 1);
	finish_at(EVERYWHERE, txn, true, 1);
	assert_string_equal(look(&mine, 1, "open").value, "1");
	assert_int_equal(purge_at(&mine, PURGE_FENCE, 1, upto, 0).staged, 0);
	/* never lowered by a step */
	assert_int_equal(purge_at(&mine, PURGE_FENCE, 1, upto - 5, 0).result, PURGE_DONE);
	assert_true(atomic_load(&mine.f.node->floors[1].fence) == upto);

	/* a copy that is not complete, or moves: by this node's own topology, whatever the asker's */
	t = next_topology();
	topology_copy(t, 2, 1)->complete = false;
	publish(t, true);
	assert_int_equal(purge_at(&mine, PURGE_FENCE, 1, upto, 0).result, PURGE_UNREST);
	assert_int_equal(purge_at(&mine, PURGE_RELEASE, 1, upto, 0).result, PURGE_UNREST);
	t = next_topology();
	topology_copy(t, 2, 1)->complete = true;
	topology_copy(t, 2, 1)->incoming = 1;
	publish(t, true);
	assert_int_equal(purge_at(&mine, PURGE_FENCE, 1, upto, 0).result, PURGE_UNREST);
	t = next_topology();
	topology_copy(t, 2, 1)->incoming = 0;
	t->nodes[1].condition = NODE_DOWN;
	publish(t, true);
	assert_int_equal(purge_at(&mine, PURGE_RELEASE, 1, upto, 0).result, PURGE_UNREST);
	/* what was begun under an older placement ends there */
	m.upto = upto;
	t = next_topology();
	t->nodes[1].condition = NODE_UP;
	topology_copy(t, 2, 1)->changed = t->epoch;
	publish(t, true);
	assert_int_equal(purge_execute(&mine.f.w, mine.f.topo->epoch - 1, &m, &reply, &mine.f.err),
					 DORIS_STALE_EPOCH);
	assert_int_equal(purge_at(&mine, PURGE_RELEASE, 1, upto, 0).result, PURGE_DONE);
}

/* Differences show in what the step tells, however old. */
static void test_different(void **state)
{
	uint64_t upto;
	PurgeReply a;
	PurgeReply b;
	DorisVersion higher;

	(void) state;
	(void) put_at(EVERYWHERE, 1, "k", "1");
	(void) put_at(EVERYWHERE, 1, "k", NULL);
	apply_at(&mine, false, 1, "other", version_of(stamp_now(&mine.f)), "x", NULL, &higher);
	upto = forget();
	a = purge_at(&mine, PURGE_FENCE, 1, upto, 0);
	b = purge_at(&source, PURGE_FENCE, 1, upto, 0);
	assert_true(a.digest != b.digest);
	/* what only came after the clock does not */
	apply_at(&source, false, 1, "other", look(&mine, 1, "other").version, "x", NULL, &higher);
	assert_true(higher.clock == upto);
	{
		uint64_t purged = 0;

		/* a repair that knows what was purged may bring it, one that is late may not */
		apply_at(&source, false, 1, "other", look(&mine, 1, "other").version, "x", &purged,
				 &higher);
		assert_true(version_is_none(higher));
		(void) put_at(AT_SOURCE, 1, "later", "1");
		b = purge_at(&source, PURGE_FENCE, 1, upto, 0);
		assert_true(a.digest == b.digest);
		purge_both(1, upto);
		apply_at(&source, false, 1, "k", version_of(upto - 1), "back", &purged, &higher);
		assert_true(higher.clock == upto);
		/* the tombstone itself does no harm, and is not taken */
		purged = upto;
		apply_at(&source, false, 1, "nobody", version_of(upto - 1), NULL, &purged, &higher);
		assert_true(version_is_none(higher));
		assert_true(is_gone(&source, 1, "nobody"));
	}
	delete_tombstones(&source);
	assert_true(is_gone(&source, 1, "k"));
	/* one has deleted, the other not yet: the same to who leaves out what was released */
	b = purge_at(&source, PURGE_FENCE, 1, upto, upto);
	a = purge_at(&mine, PURGE_FENCE, 1, upto, upto);
	assert_true(a.digest == b.digest);
	assert_int_equal(a.records, b.records);
}

/* A tombstone beside a staged write waits for its end. */
static void test_staged(void **state)
{
	uint64_t upto;
	DorisTxnId txn;

	(void) state;
	(void) put_at(EVERYWHERE, 1, "k", "1");
	(void) put_at(EVERYWHERE, 1, "k", NULL);
	upto = forget();
	txn = new_txn();
	assert_int_equal(stage_at(EVERYWHERE, txn, 1, "k", WRITE_INSERT, no_version, "2"), 0);
	purge_both(1, upto);
	delete_tombstones(&mine);
	assert_true(look(&mine, 1, "k").tombstone);
	finish_at(EVERYWHERE, txn, false, 1);
	delete_tombstones(&mine);
	assert_true(is_gone(&mine, 1, "k"));
	check_sums(&mine, 1);
}

/* ---- older disks ---- */

static void shell(const char *what, const char *a, const char *b)
{
	char command[300];

	(void) snprintf(command, sizeof(command), "rm -rf '%s' && %s '%s' '%s'", b, what, a, b);
	assert_int_equal(system(command), 0);
}

/* The disk as it is now, for older_disk. */
static void copy_disk(char *copy)
{
	recoverer_free(&rec);
	side_close(&mine, true);
	(void) sprintf(copy, "%s.old", mine.home);
	shell("cp -a", mine.home, copy);
	side_open(&mine, 1, false, false);
	/* as if this start had been matched */
	mine.f.node->incarnation = mine.f.topo->nodes[0].incarnation;
	mine.f.node->placement->named = true;
	assert_int_equal(recoverer_init(&rec, mine.f.node, &mine.f.err), DORIS_OK);
}

/* Its node comes back with the copy. */
static void older_disk(const char *copy)
{
	recoverer_free(&rec);
	side_close(&mine, false);
	shell("mv", copy, mine.home);
	side_open(&mine, 1, false, false);
	assert_int_equal(recoverer_init(&rec, mine.f.node, &mine.f.err), DORIS_OK);
	assert_true(atomic_load(&mine.f.node->floors[1].fence) == 0);
	go_down();
	come_back();
}

/* Rows whose tombstones are gone everywhere lie on it. */
static void test_older_disk(void **state)
{
	char copy[100];
	char key[32];
	uint64_t upto;

	(void) state;
	for (int i = 0; i < 3000; i++)
	{
		(void) snprintf(key, sizeof(key), "k%05d", i);
		(void) put_at(EVERYWHERE, 1, key, "1");
	}
	(void) put_at(EVERYWHERE, 2, "only", "1");
	(void) put_at(EVERYWHERE, 3, "both", "1");
	copy_disk(copy);
	/* within a run, a whole run, the end; the only row of a vnode; all but one */
	(void) put_at(EVERYWHERE, 1, "k00100", NULL);
	for (int i = 1000; i < 1600; i++)
	{
		(void) snprintf(key, sizeof(key), "k%05d", i);
		(void) put_at(EVERYWHERE, 1, key, NULL);
	}
	for (int i = 2990; i < 3000; i++)
	{
		(void) snprintf(key, sizeof(key), "k%05d", i);
		(void) put_at(EVERYWHERE, 1, key, NULL);
	}
	(void) put_at(EVERYWHERE, 2, "only", NULL);
	upto = forget();
	for (uint32_t v = 1; v <= 3; v++)
		purge_both(v, upto);
	delete_tombstones(&mine);
	delete_tombstones(&source);
	assert_true(is_gone(&source, 1, "k00100"));
	assert_true(is_gone(&source, 2, "only"));

	older_disk(copy);
	assert_string_equal(look(&mine, 2, "only").value, "1");
	assert_int_equal(recover_all(2), 0);
	check_equal(VNODES);
	assert_true(is_gone(&mine, 1, "k00100"));
	assert_true(is_gone(&mine, 1, "k01200"));
	assert_true(is_gone(&mine, 1, "k02999"));
	assert_true(is_gone(&mine, 2, "only"));
	assert_string_equal(look(&mine, 1, "k00101").value, "1");
	assert_string_equal(look(&mine, 3, "both").value, "1");
	assert_true(atomic_load(&mine.f.node->floors[1].fence) == upto);
	assert_true(atomic_load(&mine.f.node->floors[1].purged) == upto);
	assert_int_equal(atomic_load(&mine.f.node->counters[COUNT_RETURNED]), 1 + 600 + 10 + 1);
	publish_complete();
	check_sums(&mine, 1);
	check_sums(&mine, 2);
}

static DorisBytes bytes_in(const DorisBuf *b)
{
	DorisBytes v = {b->data, b->len};

	return v;
}

static ReplayResult replay_one(uint16_t type, const DorisBuf *body)
{
	ReplayItem item = {.type = type, .body = bytes_in(body)};
	ReplayRequest m = {.nitems = 1, .items = &item};
	DorisBuf reply;
	ReplayResult r;

	buf_init(&reply);
	assert_int_equal(rehold_execute(&mine.f.w, mine.f.topo->epoch, &m, &reply, &mine.f.err),
					 DORIS_OK);
	assert_int_equal(reply.len, 5);
	r = reply.data[4];
	buf_free(&reply);
	return r;
}

/* An older disk with a staged write, hints from long ago, their end: before the pass and after it. */
static void test_old_hints(void **state)
{
	char copy[100];
	uint64_t upto;
	DorisTxnId staged;
	DorisTxnId hinted;
	StageRow row;
	StageRequest stage_hint;
	ApplyRow plain_row = {
		{DORIS_SPACE_ROWS, NS, 1, bytes_of("plain")}, false, {0, 0}, bytes_of("1")};
	ApplyRequest plain_hint = {.from_client = true, .nrows = 1, .rows = &plain_row};
	FinishItem ends[2];
	FinishRequest end_hint = {.nitems = 2, .items = ends};
	uint32_t vnode = 1;
	DorisBuf stage_body;
	DorisBuf plain_body;
	DorisBuf end_body;

	(void) state;
	buf_init(&stage_body);
	buf_init(&plain_body);
	buf_init(&end_body);
	staged = new_txn();
	assert_int_equal(stage_at(EVERYWHERE, staged, 1, "staged", WRITE_INSERT, no_version, "1"), 0);
	copy_disk(copy);
	finish_at(EVERYWHERE, staged, true, 1);
	hinted = put_at(EVERYWHERE, 1, "hinted", "1");
	row = stage_row_of(1, "hinted", WRITE_INSERT, no_version, "1");
	stage_hint = (StageRequest){.txn = hinted,
								.version = version_of(hinted.clock),
								.mode = TXN_SINGLE,
								.expires_ms = clock_wall_ms(),
								.nrows = 1,
								.rows = &row};
	stage_request_encode(&stage_body, &stage_hint);
	plain_row.version = version_of(put_at(EVERYWHERE, 1, "plain", "1").clock);
	apply_request_encode(&plain_body, &plain_hint);
	ends[0] = (FinishItem){staged, true, 1, &vnode};
	ends[1] = (FinishItem){hinted, true, 1, &vnode};
	finish_request_encode(&end_body, &end_hint);
	(void) put_at(EVERYWHERE, 1, "staged", NULL);
	(void) put_at(EVERYWHERE, 1, "hinted", NULL);
	(void) put_at(EVERYWHERE, 1, "plain", NULL);
	upto = forget();
	purge_both(1, upto);
	delete_tombstones(&mine);
	delete_tombstones(&source);

	older_disk(copy);
	assert_int_equal(look(&mine, 1, "staged").nstaged, 1);
	/* this disk knows nothing of the purge yet */
	assert_int_equal(replay_one(MSG_STAGE, &stage_body), REPLAY_APPLIED);
	assert_int_equal(replay_one(MSG_APPLY, &plain_body), REPLAY_APPLIED);
	assert_string_equal(look(&mine, 1, "plain").value, "1");
	assert_int_equal(look(&mine, 1, "hinted").nstaged, 1);
	assert_int_equal(recover_all(2), 0);
	/* and again, with the ends that were not told before */
	(void) replay_one(MSG_STAGE, &stage_body);
	(void) replay_one(MSG_APPLY, &plain_body);
	assert_int_equal(replay_one(MSG_FINISH, &end_body), REPLAY_APPLIED);
	(void) replay_one(MSG_STAGE, &stage_body);
	assert_true(is_gone(&mine, 1, "staged"));
	assert_true(is_gone(&mine, 1, "hinted"));
	assert_true(is_gone(&mine, 1, "plain"));
	check_equal(VNODES);
	publish_complete();
	check_sums(&mine, 1);
	buf_free(&stage_body);
	buf_free(&plain_body);
	buf_free(&end_body);
}

/* The ends come between the source's floor and the pass. */
static void test_ends_meanwhile(void **state)
{
	char copy[100];
	uint64_t upto;
	DorisTxnId staged;

	(void) state;
	staged = new_txn();
	assert_int_equal(stage_at(EVERYWHERE, staged, 1, "staged", WRITE_INSERT, no_version, "1"), 0);
	copy_disk(copy);
	finish_at(EVERYWHERE, staged, true, 1);
	(void) put_at(EVERYWHERE, 1, "staged", NULL);
	upto = forget();
	purge_both(1, upto);
	delete_tombstones(&source);
	older_disk(copy);
	assert_int_equal(
		purge_adopt(&mine.f.w, 1, mine.f.node->placement->changed[1], upto, upto, &mine.f.err),
		DORIS_OK);
	assert_int_equal(finish(&mine.f, 0, staged, true, 1), FINISHED);
	assert_true(is_gone(&mine, 1, "staged"));
	assert_int_equal(recover_all(2), 0);
	check_equal(VNODES);
}

/*
 * The source is behind: it did not hear of the release, or its own disk is an older one that an operator accepted. What it says
 * holds, and all it has is taken.
 */
static void test_lower_floor(void **state)
{
	uint64_t upto;

	(void) state;
	(void) put_at(EVERYWHERE, 1, "k", "1");
	(void) put_at(EVERYWHERE, 1, "k", NULL);
	(void) put_at(EVERYWHERE, 1, "live", "1");
	upto = forget();
	purge_both(1, upto);
	delete_tombstones(&mine);
	assert_true(is_gone(&mine, 1, "k"));
	atomic_store(&source.f.node->floors[1].purged, 0);
	atomic_store(&source.f.node->floors[1].fence, 0);
	go_down();
	come_back();
	assert_int_equal(recover_all(2), 0);
	assert_true(atomic_load(&mine.f.node->floors[1].fence) == 0);
	assert_true(look(&mine, 1, "k").tombstone);
	check_equal(VNODES);
	publish_complete();
	/* and it goes for good the next time */
	purge_both(1, upto);
	delete_tombstones(&mine);
	delete_tombstones(&source);
	assert_true(is_gone(&mine, 1, "k"));
	assert_true(is_gone(&source, 1, "k"));
	check_equal(VNODES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_NODES(test_purge),			 WITH_NODES(test_refusals),	   WITH_NODES(test_different),
		WITH_NODES(test_staged),		 WITH_NODES(test_older_disk),  WITH_NODES(test_old_hints),
		WITH_NODES(test_ends_meanwhile), WITH_NODES(test_lower_floor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
