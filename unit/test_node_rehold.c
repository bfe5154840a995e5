/* links: wire node */
/*
 * test_node_rehold.c: REPLAY: what a node that is back takes of the hints that were kept for it.
 *
 * The node's copy of vnode 6 does not judge, the others do (but that of vnode 7, which is not here).
 */
#include "test_node_bodies.h"

static DorisStatus replay_at(Fixture *f, uint64_t epoch, uint16_t type, DorisBytes body,
							 ReplayResult *out)
{
	ReplayItem item = {type, body};
	ReplayRequest m = {1, &item};
	DorisBuf reply;
	DorisStatus st;

	buf_init(&reply);
	f->w.need = 0;
	st = rehold_execute(&f->w, epoch, &m, &reply, &f->err);
	assert_false(f->w.locked);
	if (st == DORIS_OK)
	{
		DorisCursor c = cursor_of(reply.data, reply.len);

		assert_int_equal(cursor_u32(&c), 1);
		*out = (ReplayResult) cursor_u8(&c);
		assert_true(cursor_at_end(&c));
		assert_true(f->w.need > 0);
	}
	buf_free(&reply);
	return st;
}

static ReplayResult replay(Fixture *f, uint16_t type, const DorisBuf *body)
{
	ReplayResult out = 0;

	assert_int_equal(replay_at(f, f->topo->epoch, type, view(body), &out), DORIS_OK);
	return out;
}

static ReplayResult replay_stage(Fixture *f, DorisTxnId txn, uint64_t clock, uint32_t vnode,
								 const char *key, DorisVersion base, const char *value)
{
	StageRow row =
		stage_row_of(vnode, key, version_is_none(base) ? WRITE_INSERT : WRITE_UPDATE, base, value);
	DorisBuf b;
	ReplayResult out;

	buf_init(&b);
	put_stage(&b, txn, clock, TXN_SINGLE, &row, 1);
	out = replay(f, MSG_STAGE, &b);
	buf_free(&b);
	return out;
}

static void test_rehold_stage(void **state)
{
	Fixture *f = &fix;
	uint64_t far = stamp_now(f) + ((uint64_t) 60000 << 16);
	uint64_t old = stamp_now(f) - ((uint64_t) 3600000 << 16);
	uint64_t clock = stamp_now(f);
	DorisTxnId t = txn_of(clock, 1);
	Record r;

	(void) state;
	atomic_store(&f->node->horizon_ms, clock_ms_of(clock) - 1000);
	/* held without judging: whatever is there, twice, old, ahead */
	assert_int_equal(replay_stage(f, t, clock, 6, "a", version_of(5), "one"), REPLAY_APPLIED);
	assert_int_equal(outcome(f, t, 6, false), OUTCOME_HELD);
	assert_int_equal(atomic_load(&f->node->staged), 1);
	assert_int_equal(replay_stage(f, t, clock, 6, "a", version_of(5), "one"), REPLAY_APPLIED);
	r = stored(f, 6, "a");
	assert_int_equal(r.nstaged, 1);
	assert_int_equal(atomic_load(&f->node->staged), 1);
	assert_int_equal(replay_stage(f, txn_of(old, 1), old, 6, "a", no_version, "old"),
					 REPLAY_APPLIED);
	assert_int_equal(replay_stage(f, txn_of(clock, 2), far, 6, "a", no_version, "ahead"),
					 REPLAY_APPLIED);
	assert_true(stamp_now(f) > far);
	assert_int_equal(stored(f, 6, "a").nstaged, 3);
	assert_int_equal(finish(f, 0, t, true, 6), FINISHED);
	assert_int_equal(stored(f, 6, "a").nstaged, 2);
	assert_int_equal(version_compare(stored(f, 6, "a").version, version_of(clock)), 0);
	/* not for a copy that judges, nor one that is elsewhere, nor a namespace that is gone */
	clock = stamp_now(f);
	assert_int_equal(replay_stage(f, txn_of(clock, 3), clock, 1, "a", no_version, "x"),
					 REPLAY_OBSOLETE);
	assert_int_equal(get(f, 1, "a").row.nstaged, 0);
	assert_int_equal(replay_stage(f, txn_of(clock, 3), clock, VNODE_FOREIGN, "a", no_version, "x"),
					 REPLAY_OBSOLETE);
	{
		StageRow row = stage_row_of(6, "a", WRITE_INSERT, no_version, "x");
		DorisBuf b;

		buf_init(&b);
		row.at.ns = NS + 10;
		put_stage(&b, txn_of(clock, 3), clock, TXN_SINGLE, &row, 1);
		assert_int_equal(replay(f, MSG_STAGE, &b), REPLAY_OBSOLETE);
		buf_free(&b);
	}
	assert_int_equal(outcome(f, txn_of(clock, 3), 6, false), OUTCOME_NOT_HELD);
}

static void test_rehold_outcomes(void **state)
{
	Fixture *f = &fix;
	uint64_t clock = stamp_now(f);
	DorisTxnId refused = txn_of(clock, 1);
	DorisTxnId committed = txn_of(clock, 2);
	DorisBuf b;
	Topology *t;

	(void) state;
	buf_init(&b);
	/* refused in the present epoch: not taken; once that has lapsed: taken (rule refusals end) */
	assert_int_equal(outcome(f, refused, 6, true), OUTCOME_REFUSED);
	assert_int_equal(replay_stage(f, refused, clock, 6, "a", no_version, "x"), REPLAY_OBSOLETE);
	assert_int_equal(outcome(f, refused, 6, false), OUTCOME_REFUSED);
	t = fixture_next(f);
	topology_copy(t, 1, 6)->changed = t->epoch;
	assert_int_equal(fixture_take(f, t), DORIS_OK);
	topology_unref(t);
	assert_int_equal(replay_stage(f, refused, clock, 6, "a", no_version, "x"), REPLAY_APPLIED);
	assert_int_equal(outcome(f, refused, 6, false), OUTCOME_HELD);
	/* the end came first: its value is applied when it comes */
	put_finish(&b, committed, true, 6);
	assert_int_equal(replay(f, MSG_FINISH, &b), REPLAY_APPLIED);
	assert_int_equal(replay(f, MSG_FINISH, &b), REPLAY_APPLIED);
	clock = stamp_now(f);
	assert_int_equal(replay_stage(f, committed, clock, 6, "b", no_version, "two"), REPLAY_APPLIED);
	assert_int_equal(stored(f, 6, "b").nstaged, 0);
	assert_int_equal(version_compare(stored(f, 6, "b").version, version_of(clock)), 0);
	assert_int_equal(rows_counted(f), 1);
	/* a message for several vnodes: the part that is wanted; and those that ended ride along */
	{
		uint64_t c = stamp_now(f);
		StageRow rows[3] = {stage_row_of(1, "m", WRITE_INSERT, no_version, "x"),
							stage_row_of(6, "m", WRITE_INSERT, no_version, "x"),
							stage_row_of(VNODE_FOREIGN, "m", WRITE_INSERT, no_version, "x")};
		StageRequest m = {.txn = txn_of(c, 5),
						  .version = version_of(c),
						  .mode = TXN_DECISION,
						  .expires_ms = clock_wall_ms(),
						  .nrows = 3,
						  .rows = rows,
						  .nfinished = 1,
						  .finished = &refused};

		buf_reset(&b);
		stage_request_encode(&b, &m);
		assert_int_equal(replay(f, MSG_STAGE, &b), REPLAY_APPLIED);
		assert_int_equal(outcome(f, m.txn, 6, false), OUTCOME_HELD);
		assert_int_equal(outcome(f, m.txn, 1, false), OUTCOME_NOT_HELD);
		assert_int_equal(outcome(f, refused, 6, false), OUTCOME_COMMITTED);
		assert_int_equal(finish(f, 0, m.txn, true, 6), FINISHED);
		assert_int_equal(stored(f, 6, "m").nstaged, 0);
		assert_int_equal(atomic_load(&f->node->staged), 0);
	}
	buf_free(&b);
}

/* A chain of updates of one row, all ends lost: what a later one was based on is committed (rule meet). */
static void test_rehold_full_row(void **state)
{
	Fixture *f = &fix;
	DorisVersion base = no_version;
	DorisVersion last = no_version;
	uint64_t clock;

	(void) state;
	for (uint32_t i = 0; i < 3 * RECORD_MAX_STAGED; i++)
	{
		clock = stamp_now(f);
		assert_int_equal(replay_stage(f, txn_of(clock, i), clock, 6, "hot", base, "v"),
						 REPLAY_APPLIED);
		last = base;
		base = version_of(clock);
	}
	assert_true(stored(f, 6, "hot").committed);
	assert_true(version_compare(stored(f, 6, "hot").version, last) <= 0);
	/* writes that prove nothing of each other: the last one is left to the pass, none of its message is held */
	for (uint32_t i = 0; i < RECORD_MAX_STAGED; i++)
	{
		clock = stamp_now(f);
		assert_int_equal(replay_stage(f, txn_of(clock, i), clock, 6, "full", no_version, "v"),
						 REPLAY_APPLIED);
	}
	{
		StageRow rows[2] = {stage_row_of(6, "empty", WRITE_INSERT, no_version, "x"),
							stage_row_of(6, "full", WRITE_INSERT, no_version, "x")};
		DorisBuf b;

		buf_init(&b);
		clock = stamp_now(f);
		put_stage(&b, txn_of(clock, 1), clock, TXN_SINGLE, rows, 2);
		assert_int_equal(replay(f, MSG_STAGE, &b), REPLAY_OBSOLETE);
		assert_int_equal(outcome(f, txn_of(clock, 1), 6, false), OUTCOME_NOT_HELD);
		assert_int_equal(stored(f, 6, "empty").nstaged, 0);
		buf_free(&b);
	}
}

static void test_rehold_apply(void **state)
{
	Fixture *f = &fix;
	uint64_t clock = stamp_now(f);
	uint64_t far = clock + ((uint64_t) 60000 << 16);
	DorisBuf b;

	(void) state;
	buf_init(&b);
	put_apply(&b, 6, "a", version_of(clock), "one", true);
	assert_int_equal(replay(f, MSG_APPLY, &b), REPLAY_APPLIED);
	assert_int_equal(version_compare(stored(f, 6, "a").version, version_of(clock)), 0);
	/* I4: an older one, after a newer, changes nothing; a stamp is not looked at */
	put_apply(&b, 6, "a", version_of(clock - 1), "old", true);
	assert_int_equal(replay(f, MSG_APPLY, &b), REPLAY_APPLIED);
	assert_int_equal(version_compare(stored(f, 6, "a").version, version_of(clock)), 0);
	put_apply(&b, 6, "a", version_of(far), "ahead", true);
	assert_int_equal(replay(f, MSG_APPLY, &b), REPLAY_APPLIED);
	assert_int_equal(version_compare(stored(f, 6, "a").version, version_of(far)), 0);
	/* not where it judges, not where it is not */
	put_apply(&b, 1, "a", version_of(clock), "one", true);
	assert_int_equal(replay(f, MSG_APPLY, &b), REPLAY_OBSOLETE);
	assert_false(get(f, 1, "a").row.present);
	put_apply(&b, VNODE_FOREIGN, "a", version_of(clock), "one", true);
	assert_int_equal(replay(f, MSG_APPLY, &b), REPLAY_OBSOLETE);
	buf_free(&b);
}

static void test_rehold_poison(void **state)
{
	Fixture *f = &fix;
	uint64_t clock = stamp_now(f);
	ReplayResult out;
	StageRow row = stage_row_of(VNODES + 1, "a", WRITE_INSERT, no_version, "x");
	DorisBuf b;

	(void) state;
	buf_init(&b);
	assert_int_equal(replay_at(f, f->topo->epoch, MSG_STAGE, bytes_of("rubbish"), &out), DORIS_OK);
	assert_int_equal(out, REPLAY_POISON);
	assert_int_equal(replay_at(f, f->topo->epoch, MSG_GET, bytes_of("rubbish"), &out), DORIS_OK);
	assert_int_equal(out, REPLAY_POISON);
	put_stage(&b, txn_of(clock, 1), clock, TXN_SINGLE, &row, 1);
	assert_int_equal(replay(f, MSG_STAGE, &b), REPLAY_POISON);
	put_finish(&b, txn_of(clock, 1), false, 6);
	assert_int_equal(replay(f, MSG_FINISH, &b), REPLAY_POISON);
	/* what may pass is no poison: the log node asks again */
	put_apply(&b, 6, "a", version_of(clock), "one", true);
	assert_int_equal(replay_at(f, f->topo->epoch + 1, MSG_APPLY, view(&b), &out), DORIS_BEHIND);
	/* a start that an admin has not matched yet: it wants the topology that does */
	f->node->placement->named = false;
	assert_int_equal(replay_at(f, f->topo->epoch, MSG_APPLY, view(&b), &out), DORIS_UNAVAILABLE);
	assert_int_equal(replay_at(f, f->topo->epoch + 1, MSG_APPLY, view(&b), &out), DORIS_BEHIND);
	f->node->placement->named = true;
	atomic_store(&f->node->disk_full, true);
	assert_int_equal(replay_at(f, f->topo->epoch, MSG_APPLY, view(&b), &out), DORIS_DISK_FULL);
	atomic_store(&f->node->disk_full, false);
	assert_int_equal(replay_at(f, f->topo->epoch, MSG_APPLY, view(&b), &out), DORIS_OK);
	assert_int_equal(out, REPLAY_APPLIED);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rehold_stage, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_rehold_outcomes, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_rehold_full_row, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_rehold_apply, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_rehold_poison, fixture_setup, fixture_teardown),
	};

	return cmocka_run_group_tests_name("rehold", tests, NULL, NULL);
}
