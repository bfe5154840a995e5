/* links: wire node */
/*
 * test_node_stage.c: the staging protocol on one copy, rule by rule, by direct calls on the memory store.
 */
#include "test_node_fixture.h"

static void test_insert_commit(void **state)
{
	Fixture *f = *state = &fix;
	uint64_t c = stamp_now(f);
	DorisTxnId t = txn_of(c, 1);
	Seen s;

	assert_int_equal(stage_one(f, t, c, 1, "a", WRITE_INSERT, no_version, "one"), 0);
	assert_true(f->w.need > 0); /* held means on disk */
	s = get(f, 1, "a");
	assert_false(s.row.present);
	assert_int_equal(s.row.nstaged, 1);
	assert_string_equal(s.staged, "one");
	assert_int_equal(version_compare(s.row.staged.version, version_of(c)), 0);
	assert_int_equal(atomic_load(&f->node->staged), 1);
	assert_int_equal(rows_counted(f), 0);
	assert_int_equal(outcome(f, t, 1, false), OUTCOME_HELD);
	assert_int_equal(finish(f, 0, t, true, 1), FINISHED);
	s = get(f, 1, "a");
	assert_true(s.row.present);
	assert_int_equal(s.row.nstaged, 0);
	assert_string_equal(s.value, "one");
	assert_int_equal(atomic_load(&f->node->staged), 0);
	assert_int_equal(rows_counted(f), 1);
	assert_int_equal(outcome(f, t, 1, true), OUTCOME_COMMITTED);
}

static void test_insert_duplicate(void **state)
{
	Fixture *f = *state = &fix;
	DorisVersion v = put_row(f, 1, "a", "one");
	uint64_t c = stamp_now(f);
	StageRow row = stage_row_of(1, "a", WRITE_INSERT, no_version, "two");
	StageConflict conflict = {0};

	assert_int_equal(stage(f, 1, txn_of(c, 2), version_of(c), TXN_SINGLE, &row, 1, &conflict),
					 REFUSAL_BASE);
	assert_true(conflict.present);
	assert_int_equal(version_compare(conflict.stored, v), 0);
	assert_string_equal(get(f, 1, "a").value, "one");
}

static void test_update_delete_bases(void **state)
{
	Fixture *f = *state = &fix;
	DorisVersion v = put_row(f, 1, "a", "one");
	DorisVersion v2;
	uint64_t c = stamp_now(f);
	DorisTxnId t = txn_of(c, 3);
	Seen s;

	v2 = put_row(f, 1, "a", "two");
	/* what was read is not what is there any more */
	assert_int_equal(stage_one(f, t, stamp_now(f), 1, "a", WRITE_UPDATE, v, "x"), REFUSAL_BASE);
	assert_int_equal(stage_one(f, t, stamp_now(f), 1, "a", WRITE_DELETE, v, ""), REFUSAL_BASE);
	/* a stamp not above the stored one */
	assert_int_equal(stage_one(f, t, c, 1, "a", WRITE_UPDATE, v2, "x"), REFUSAL_LOW);
	c = stamp_now(f);
	assert_int_equal(stage_one(f, t, c, 1, "a", WRITE_DELETE, v2, ""), 0);
	s = get(f, 1, "a");
	assert_true(s.row.present);
	assert_true(s.row.staged.deleted);
	assert_int_equal(finish(f, 0, t, true, 1), FINISHED);
	s = get(f, 1, "a");
	assert_false(s.row.present);
	assert_int_equal(version_compare(s.row.version, version_of(c)), 0); /* the tombstone's */
	assert_int_equal(rows_counted(f), 0);
	/* an insert over the tombstone; an update of it is refused by its base */
	assert_int_equal(
		stage_one(f, txn_of(c, 4), stamp_now(f), 1, "a", WRITE_INSERT, no_version, "new"), 0);
}

static void test_one_staged_write_per_row(void **state)
{
	Fixture *f = *state = &fix;
	DorisVersion v = put_row(f, 1, "a", "one");
	uint64_t c = stamp_now(f);
	DorisTxnId t = txn_of(c, 1);
	StageRow row = stage_row_of(1, "a", WRITE_UPDATE, v, "mine");
	StageConflict conflict = {0};
	uint64_t c2;

	assert_int_equal(stage_one(f, t, c, 1, "a", WRITE_UPDATE, v, "theirs"), 0);
	c2 = stamp_now(f);
	assert_int_equal(stage(f, 1, txn_of(c2, 2), version_of(c2), TXN_SINGLE, &row, 1, &conflict),
					 REFUSAL_STAGED);
	assert_int_equal(txnid_compare(conflict.staged.txn, t), 0);
	assert_int_equal(conflict.staged.mode, TXN_SINGLE);
	assert_true(conflict.staged.expires_ms > conflict.staged.now_ms);
	/* the first one dropped: the other may go on */
	assert_int_equal(finish(f, 1, t, false, 1), FINISHED);
	assert_int_equal(stage(f, 1, txn_of(c2, 2), version_of(c2), TXN_SINGLE, &row, 1, NULL), 0);
}

static void test_base_proves_commit(void **state)
{
	Fixture *f = *state = &fix;
	DorisVersion v = put_row(f, 1, "a", "one");
	uint64_t c = stamp_now(f);
	uint64_t c2;
	DorisTxnId t = txn_of(c, 1);
	Seen s;

	assert_int_equal(stage_one(f, t, c, 1, "a", WRITE_UPDATE, v, "two"), 0);
	/* somebody read it elsewhere as committed and builds on it (rule meet) */
	c2 = stamp_now(f);
	assert_int_equal(stage_one(f, txn_of(c2, 2), c2, 1, "a", WRITE_UPDATE, version_of(c), "three"),
					 0);
	s = get(f, 1, "a");
	assert_string_equal(s.value, "two");
	assert_string_equal(s.staged, "three");
	assert_int_equal(outcome(f, t, 1, true), OUTCOME_COMMITTED);
	/* the late FINISH of the first changes nothing */
	assert_int_equal(finish(f, 0, t, true, 1), FINISHED);
	assert_string_equal(get(f, 1, "a").staged, "three");
	assert_int_equal(finish(f, 1, t, false, 1), FINISH_COMMITTED);
}

/* Rule decided first: of a named one a base proves nothing; that its decision row is there is to be said. */
static void test_named_is_told(void **state)
{
	Fixture *f = *state = &fix;
	DorisVersion v = put_row(f, 1, "a", "one");
	uint64_t c = stamp_now(f);
	DorisTxnId t = txn_of(c, 1);
	StageRow row = stage_row_of(1, "a", WRITE_UPDATE, v, "two");
	StageRow next = stage_row_of(1, "a", WRITE_UPDATE, version_of(c), "three");
	StageRequest m = {.txn = t,
					  .version = version_of(c),
					  .mode = TXN_NAMED,
					  .decision_vnode = 1,
					  .others = {1, {3}},
					  .expires_ms = clock_wall_ms() + 1000,
					  .nrows = 1,
					  .rows = &row};
	StageReply reply;
	StageConflict conflict = {0};
	uint64_t c2;

	assert_int_equal(stage_execute(&f->w, 1, &m, &reply, &f->err), DORIS_OK);
	assert_true(reply.held);
	assert_int_equal(outcome(f, t, 1, false), OUTCOME_HELD);
	c2 = stamp_now(f);
	assert_int_equal(stage(f, 1, txn_of(c2, 2), version_of(c2), TXN_SINGLE, &next, 1, &conflict),
					 REFUSAL_STAGED);
	assert_int_equal(conflict.staged.mode, TXN_NAMED);
	assert_int_equal(conflict.staged.decision_vnode, 1);
	assert_int_equal(conflict.staged.others.n, 1);
	assert_int_equal(conflict.staged.others.vnodes[0], 3);
	assert_string_equal(get(f, 1, "a").value, "one");
	m = (StageRequest){.txn = txn_of(c2, 2),
					   .version = version_of(c2),
					   .mode = TXN_SINGLE,
					   .expires_ms = clock_wall_ms() + 1000,
					   .nrows = 1,
					   .rows = &next,
					   .nfinished = 1,
					   .finished = &t};
	assert_int_equal(stage_execute(&f->w, 1, &m, &reply, &f->err), DORIS_OK);
	assert_true(reply.held);
	assert_string_equal(get(f, 1, "a").value, "two");
	assert_string_equal(get(f, 1, "a").staged, "three");
	assert_int_equal(outcome(f, t, 1, true), OUTCOME_COMMITTED);
}

static void test_repeats_are_harmless(void **state)
{
	Fixture *f = *state = &fix;
	uint64_t c = stamp_now(f);
	DorisTxnId t = txn_of(c, 1);

	assert_int_equal(stage_one(f, t, c, 1, "a", WRITE_INSERT, no_version, "one"), 0);
	assert_int_equal(stage_one(f, t, c, 1, "a", WRITE_INSERT, no_version, "one"), 0);
	assert_int_equal(atomic_load(&f->node->staged), 1);
	assert_int_equal(finish(f, 0, t, true, 1), FINISHED);
	assert_int_equal(finish(f, 0, t, true, 1), FINISHED);
	/* a late STAGE after the end is held, and stages nothing */
	assert_int_equal(stage_one(f, t, c, 1, "a", WRITE_INSERT, no_version, "one"), 0);
	assert_int_equal(get(f, 1, "a").row.nstaged, 0);
	/* also when others have written since */
	(void) put_row(f, 1, "a", "newer");
	assert_int_equal(stage_one(f, t, c, 1, "a", WRITE_INSERT, no_version, "one"), 0);
	assert_string_equal(get(f, 1, "a").value, "newer");
	assert_int_equal(rows_counted(f), 1);
	assert_int_equal(atomic_load(&f->node->staged), 0);
}

static void test_finish_before_stage(void **state)
{
	Fixture *f = *state = &fix;
	uint64_t c = stamp_now(f);
	DorisTxnId t = txn_of(c, 1);

	assert_int_equal(finish(f, 0, t, true, 1), FINISHED);
	assert_true(f->w.need > 0); /* remembered on disk before it is acknowledged */
	assert_int_equal(stage_one(f, t, c, 1, "a", WRITE_INSERT, no_version, "late"), 0);
	assert_string_equal(get(f, 1, "a").value, "late");
	assert_int_equal(get(f, 1, "a").row.nstaged, 0);
	assert_int_equal(rows_counted(f), 1);
}

static void test_refusals_last(void **state)
{
	Fixture *f = *state = &fix;
	uint64_t c = stamp_now(f);
	DorisTxnId t = txn_of(c, 1);

	assert_int_equal(outcome(f, t, 1, false), OUTCOME_NOT_HELD);
	assert_int_equal(outcome(f, t, 1, true), OUTCOME_REFUSED);
	assert_true(f->w.need > 0); /* durably */
	assert_int_equal(outcome(f, t, 1, false), OUTCOME_REFUSED);
	assert_int_equal(stage_one(f, t, c, 1, "a", WRITE_INSERT, no_version, "x"), REFUSAL_REFUSED);
	/* of one vnode only */
	assert_int_equal(outcome(f, t, 2, false), OUTCOME_NOT_HELD);
	assert_int_equal(stage_one(f, t, c, 2, "b", WRITE_INSERT, no_version, "x"), 0);
	/* asked to refuse what is held: it stays held */
	assert_int_equal(outcome(f, t, 2, true), OUTCOME_HELD);
}

static void test_abort(void **state)
{
	Fixture *f = *state = &fix;
	uint64_t c = stamp_now(f);
	DorisTxnId t = txn_of(c, 1);

	assert_int_equal(stage_one(f, t, c, 1, "a", WRITE_INSERT, no_version, "x"), 0);
	assert_int_equal(finish(f, 1, t, false, 1), FINISHED);
	assert_true(f->w.need > 0);
	assert_int_equal(get(f, 1, "a").row.nstaged, 0);
	assert_int_equal(atomic_load(&f->node->staged), 0);
	assert_int_equal(outcome(f, t, 1, false), OUTCOME_REFUSED);
	/* the late STAGE is refused, repeating the drop is harmless */
	assert_int_equal(stage_one(f, t, c, 1, "a", WRITE_INSERT, no_version, "x"), REFUSAL_REFUSED);
	assert_int_equal(finish(f, 1, t, false, 1), FINISHED);
	/* a drop that meets a commit is told so */
	assert_int_equal(finish(f, 0, txn_of(c, 2), true, 1), FINISHED);
	assert_int_equal(finish(f, 1, txn_of(c, 2), false, 1), FINISH_COMMITTED);
}

static void test_all_or_nothing(void **state)
{
	Fixture *f = *state = &fix;
	uint64_t c;
	StageRow rows[3];
	DorisTxnId t;
	StageConflict conflict = {0};

	(void) put_row(f, 2, "b", "there");
	c = stamp_now(f);
	t = txn_of(c, 1);
	rows[0] = stage_row_of(1, "a", WRITE_INSERT, no_version, "x");
	rows[1] = stage_row_of(2, "b", WRITE_INSERT, no_version, "x");
	rows[2] = stage_row_of(3, "c", WRITE_INSERT, no_version, "x");
	assert_int_equal(stage(f, 1, t, version_of(c), TXN_DECISION, rows, 3, &conflict), REFUSAL_BASE);
	assert_int_equal(conflict.row, 1);
	assert_int_equal(get(f, 1, "a").row.nstaged, 0);
	assert_int_equal(get(f, 3, "c").row.nstaged, 0);
	assert_int_equal(atomic_load(&f->node->staged), 0);
	assert_int_equal(rows_counted(f), 1);
}

static void test_several_messages(void **state)
{
	Fixture *f = *state = &fix;
	uint64_t c = stamp_now(f);
	DorisTxnId t = txn_of(c, 1);
	StageRow rows[2];
	uint32_t vnodes[3] = {1, 2, 3};
	FinishItem item = {t, true, 3, vnodes};
	FinishResult result;

	rows[0] = stage_row_of(1, "a", WRITE_INSERT, no_version, "1");
	rows[1] = stage_row_of(2, "b", WRITE_INSERT, no_version, "2");
	assert_int_equal(stage(f, 1, t, version_of(c), TXN_DECISION, rows, 2, NULL), 0);
	rows[0] = stage_row_of(3, "c", WRITE_INSERT, no_version, "3");
	assert_int_equal(stage(f, 1, t, version_of(c), TXN_DECISION, rows, 1, NULL), 0);
	assert_int_equal(atomic_load(&f->node->staged), 1);
	f->w.need = 0;
	assert_int_equal(finish_execute(&f->w, 0, &item, &result, &f->err), DORIS_OK);
	assert_true(f->w.need > 0); /* the decision row may go once this is acknowledged */
	assert_string_equal(get(f, 1, "a").value, "1");
	assert_string_equal(get(f, 2, "b").value, "2");
	assert_string_equal(get(f, 3, "c").value, "3");
	assert_int_equal(rows_counted(f), 3);
	assert_int_equal(atomic_load(&f->node->staged), 0);
}

static void test_partial_abort(void **state)
{
	Fixture *f = *state = &fix;
	uint64_t c = stamp_now(f);
	DorisTxnId t = txn_of(c, 1);
	StageRow rows[2];

	rows[0] = stage_row_of(1, "a", WRITE_INSERT, no_version, "1");
	rows[1] = stage_row_of(2, "b", WRITE_INSERT, no_version, "2");
	assert_int_equal(stage(f, 1, t, version_of(c), TXN_DECISION, rows, 2, NULL), 0);
	assert_int_equal(finish(f, 1, t, false, 1), FINISHED);
	assert_int_equal(get(f, 1, "a").row.nstaged, 0);
	assert_int_equal(get(f, 2, "b").row.nstaged, 1);
	assert_int_equal(outcome(f, t, 2, false), OUTCOME_HELD);
	assert_int_equal(atomic_load(&f->node->staged), 1);
	assert_int_equal(finish(f, 1, t, false, 2), FINISHED);
	assert_int_equal(get(f, 2, "b").row.nstaged, 0);
	assert_int_equal(atomic_load(&f->node->staged), 0);
}

static void test_decision_rows(void **state)
{
	Fixture *f = *state = &fix;
	uint64_t c = stamp_now(f);
	DorisTxnId t = txn_of(c, 1);
	DorisTxnId d = txn_of(c, 0x80000001u);
	uint8_t id[DORIS_TXNID_SIZE];
	DorisBytes key = {id, sizeof(id)};
	StageRow row = {{DORIS_SPACE_DECISIONS, 0, 3, key}, WRITE_INSERT, {0, 0}, bytes_of("C")};
	StageRow abort_row = row;
	Seen s;

	txnid_to_key(t, id);
	assert_int_equal(stage(f, 1, d, version_of(c), TXN_SINGLE, &row, 1, NULL), 0);
	/* whoever closes it inserts "A" under the same key: too late */
	abort_row.value = bytes_of("A");
	c = stamp_now(f);
	assert_int_equal(stage(f, 1, txn_of(c, 9), version_of(c), TXN_SINGLE, &abort_row, 1, NULL),
					 REFUSAL_STAGED);
	assert_int_equal(finish(f, 0, d, true, 3), FINISHED);
	assert_int_equal(stage(f, 1, txn_of(c, 9), version_of(c), TXN_SINGLE, &abort_row, 1, NULL),
					 REFUSAL_BASE);
	assert_int_equal(get_space(f, DORIS_SPACE_DECISIONS, 0, 3, key, &s), DORIS_OK);
	assert_true(s.row.present);
	assert_string_equal(s.value, "C");
	assert_int_equal(rows_counted(f), 0); /* not a user's row */
	/* it goes when its id is older than the horizon */
	assert_int_equal(background_purge(&f->w, &f->err), DORIS_OK);
	assert_int_equal(get_space(f, DORIS_SPACE_DECISIONS, 0, 3, key, &s), DORIS_OK);
	assert_true(s.row.present);
	atomic_store(&f->node->horizon_ms, clock_ms_of(c) + 10);
	assert_int_equal(background_purge(&f->w, &f->err), DORIS_OK);
	assert_int_equal(get_space(f, DORIS_SPACE_DECISIONS, 0, 3, key, &s), DORIS_OK);
	assert_false(s.row.present);
}

static void test_horizon(void **state)
{
	Fixture *f = *state = &fix;
	uint64_t c = stamp_now(f);
	DorisTxnId held = txn_of(c, 1);
	DorisTxnId done = txn_of(c, 2);
	DorisTxnId refused = txn_of(c, 3);
	DorisTxnId unseen = txn_of(c, 4);

	assert_int_equal(stage_one(f, held, c, 1, "a", WRITE_INSERT, no_version, "x"), 0);
	assert_int_equal(stage_one(f, done, c, 1, "b", WRITE_INSERT, no_version, "x"), 0);
	assert_int_equal(finish(f, 0, done, true, 1), FINISHED);
	assert_int_equal(outcome(f, refused, 1, true), OUTCOME_REFUSED);
	atomic_store(&f->node->horizon_ms, clock_ms_of(c) + 1);
	/* what is remembered still counts until it is purged */
	assert_int_equal(outcome(f, done, 1, false), OUTCOME_COMMITTED);
	assert_int_equal(background_purge(&f->w, &f->err), DORIS_OK);
	assert_int_equal(outcome(f, done, 1, true), OUTCOME_HORIZON);
	assert_int_equal(outcome(f, refused, 1, true), OUTCOME_HORIZON);
	assert_int_equal(stage_one(f, unseen, c, 1, "c", WRITE_INSERT, no_version, "x"),
					 REFUSAL_HORIZON);
	assert_int_equal(stage_one(f, refused, c, 1, "c", WRITE_INSERT, no_version, "x"),
					 REFUSAL_HORIZON);
	/* the row itself proves it */
	assert_int_equal(stage_one(f, done, c, 1, "b", WRITE_INSERT, no_version, "x"), 0);
	/* what is held is known, however old */
	assert_int_equal(outcome(f, held, 1, true), OUTCOME_HELD);
	assert_int_equal(stage_one(f, held, c, 1, "a", WRITE_INSERT, no_version, "x"), 0);
	/* a drop of something that may have been forgotten as committed is no evidence */
	assert_int_equal(finish(f, 1, unseen, false, 1), FINISH_STALE);
	assert_int_equal(finish(f, 1, held, false, 1), FINISHED);
}

static void test_epochs(void **state)
{
	Fixture *f = *state = &fix;
	uint64_t c = stamp_now(f);
	DorisTxnId t = txn_of(c, 1);
	StageRow row = stage_row_of(1, "a", WRITE_INSERT, no_version, "x");
	StageRow foreign = stage_row_of(VNODE_FOREIGN, "a", WRITE_INSERT, no_version, "x");
	StageRow gone = row;
	Topology *next;

	assert_int_equal(stage(f, 2, t, version_of(c), TXN_SINGLE, &row, 1, NULL), -DORIS_BEHIND);
	assert_int_equal(stage(f, 0, t, version_of(c), TXN_SINGLE, &row, 1, NULL), -DORIS_STALE_EPOCH);
	assert_int_equal(stage(f, 1, t, version_of(c), TXN_SINGLE, &foreign, 1, NULL),
					 -DORIS_NOT_OWNER);
	gone.at.ns = NS + 7;
	assert_int_equal(stage(f, 1, t, version_of(c), TXN_SINGLE, &gone, 1, NULL),
					 -DORIS_NO_NAMESPACE);
	row.at.vnode = VNODES;
	assert_int_equal(stage(f, 1, t, version_of(c), TXN_SINGLE, &row, 1, NULL), -DORIS_BAD_MESSAGE);
	row.at.vnode = 1;
	assert_int_equal(stage(f, 1, t, version_of(c), TXN_SINGLE, &row, 1, NULL), 0);
	/* vnode 1 changes in epoch 2, vnode 2 does not */
	next = fixture_next(f);
	topology_copy(next, 2, 1)->changed = 2;
	assert_int_equal(fixture_take(f, next), DORIS_OK);
	topology_unref(next);
	assert_int_equal(stage(f, 1, t, version_of(c), TXN_SINGLE, &row, 1, NULL), -DORIS_STALE_EPOCH);
	assert_int_equal(finish(f, 1, t, false, 1), FINISH_STALE);
	assert_int_equal(get(f, 1, "a").row.nstaged, 1);
	row = stage_row_of(2, "b", WRITE_INSERT, no_version, "x");
	assert_int_equal(stage(f, 1, txn_of(c, 2), version_of(c), TXN_SINGLE, &row, 1, NULL), 0);
	/* FINISH(commit) is good in any epoch */
	assert_int_equal(finish(f, 0, t, true, 1), FINISHED);
	assert_true(get(f, 1, "a").row.present);
}

static void test_refusals_lapse(void **state)
{
	Fixture *f = *state = &fix;
	uint64_t c = stamp_now(f);
	DorisTxnId t = txn_of(c, 1);
	Topology *next;

	assert_int_equal(outcome(f, t, 1, true), OUTCOME_REFUSED);
	assert_int_equal(outcome(f, t, 2, true), OUTCOME_REFUSED);
	/* the placement changes, the copy stays complete: the refusal stands */
	next = fixture_next(f);
	topology_copy(next, 2, 1)->changed = 2;
	assert_int_equal(fixture_take(f, next), DORIS_OK);
	topology_unref(next);
	assert_int_equal(outcome(f, t, 1, false), OUTCOME_REFUSED);
	/* it becomes incomplete: they have ended, of this vnode only */
	next = fixture_next(f);
	topology_copy(next, 1, 1)->complete = false;
	topology_copy(next, 1, 1)->changed = 3;
	assert_int_equal(fixture_take(f, next), DORIS_OK);
	topology_unref(next);
	assert_int_equal(outcome(f, t, 1, false), OUTCOME_NOT_HELD);
	assert_int_equal(outcome(f, t, 2, false), OUTCOME_REFUSED);
	assert_int_equal(outcome(f, t, 1, true), OUTCOME_REFUSED);
	/* those of an incomplete copy lapse with each change */
	next = fixture_next(f);
	topology_copy(next, 2, 1)->changed = 4;
	assert_int_equal(fixture_take(f, next), DORIS_OK);
	topology_unref(next);
	assert_int_equal(outcome(f, t, 1, false), OUTCOME_NOT_HELD);
}

static void test_incomplete_copy_holds_unjudged(void **state)
{
	Fixture *f = *state = &fix;
	uint64_t c = stamp_now(f);
	DorisVersion unknown = {c - 10, 5};
	Seen s;
	StageRow row = stage_row_of(VNODE_INCOMPLETE, "a", WRITE_UPDATE, unknown, "x");

	assert_int_equal(stage(f, 1, txn_of(c, 1), version_of(c), TXN_SINGLE, &row, 1, NULL), 0);
	row.value = bytes_of("y");
	assert_int_equal(stage(f, 1, txn_of(c, 2), version_of(stamp_now(f)), TXN_SINGLE, &row, 1, NULL),
					 0);
	/* and serves no reads (I2) */
	assert_int_equal(get_space(f, DORIS_SPACE_ROWS, NS, VNODE_INCOMPLETE, bytes_of("a"), &s),
					 DORIS_NOT_OWNER);
	assert_int_equal(finish(f, 0, txn_of(c, 1), true, VNODE_INCOMPLETE), FINISHED);
	assert_int_equal(outcome(f, txn_of(c, 2), VNODE_INCOMPLETE, false), OUTCOME_HELD);
}

static void test_clock_ahead(void **state)
{
	Fixture *f = *state = &fix;
	uint64_t now = stamp_now(f);
	uint64_t ahead = now + ((uint64_t) 60000 << 16);
	StageRow row = stage_row_of(1, "a", WRITE_INSERT, no_version, "x");

	assert_int_equal(stage(f, 1, txn_of(now, 1), version_of(ahead), TXN_SINGLE, &row, 1, NULL),
					 -DORIS_CLOCK_AHEAD);
	/* a little ahead is taken, moves the clock on, and the ceiling is kept above it */
	ahead = now + ((uint64_t) 8000 << 16);
	assert_int_equal(stage(f, 1, txn_of(now, 1), version_of(ahead), TXN_SINGLE, &row, 1, NULL), 0);
	assert_true(stamp_now(f) > ahead);
	assert_true(atomic_load(&f->node->ceiling) >= ahead);
}

static void test_bad_requests(void **state)
{
	Fixture *f = *state = &fix;
	uint64_t c = stamp_now(f);
	StageRow rows[2];
	FinishItem item = {txn_of(c, 1), false, 0, NULL};
	FinishResult result;

	rows[0] = stage_row_of(1, "a", WRITE_INSERT, no_version, "x");
	rows[1] = stage_row_of(2, "b", WRITE_INSERT, no_version, "x");
	assert_int_equal(stage(f, 1, txn_of(c, 1), version_of(c), TXN_SINGLE, rows, 2, NULL),
					 -DORIS_BAD_MESSAGE);
	assert_int_equal(stage(f, 1, txn_of(c, 1), no_version, TXN_SINGLE, rows, 1, NULL),
					 -DORIS_BAD_MESSAGE);
	rows[0].kind = WRITE_PUT;
	assert_int_equal(stage(f, 1, txn_of(c, 1), version_of(c), TXN_SINGLE, rows, 1, NULL),
					 -DORIS_BAD_MESSAGE);
	assert_int_equal(finish_execute(&f->w, 1, &item, &result, &f->err), DORIS_BAD_MESSAGE);
}

static void test_full_disk(void **state)
{
	Fixture *f = *state = &fix;
	uint64_t c = stamp_now(f);
	DorisTxnId t = txn_of(c, 1);
	StageRow row = stage_row_of(1, "b", WRITE_INSERT, no_version, "x");

	assert_int_equal(stage_one(f, t, c, 1, "a", WRITE_INSERT, no_version, "x"), 0);
	atomic_store(&f->node->disk_full, true);
	assert_int_equal(stage(f, 1, txn_of(c, 2), version_of(c), TXN_SINGLE, &row, 1, NULL),
					 -DORIS_DISK_FULL);
	assert_non_null(strstr(f->err.message, "n1"));
	/* reads go on, and what was staged can end */
	assert_int_equal(get(f, 1, "a").row.nstaged, 1);
	assert_int_equal(finish(f, 0, t, true, 1), FINISHED);
	atomic_store(&f->node->disk_full, false);
	assert_int_equal(stage(f, 1, txn_of(c, 2), version_of(c), TXN_SINGLE, &row, 1, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_insert_commit, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_insert_duplicate, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_update_delete_bases, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_one_staged_write_per_row, fixture_setup,
										fixture_teardown),
		cmocka_unit_test_setup_teardown(test_base_proves_commit, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_named_is_told, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_repeats_are_harmless, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_finish_before_stage, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_refusals_last, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_abort, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_all_or_nothing, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_several_messages, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_partial_abort, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_decision_rows, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_horizon, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_epochs, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_refusals_lapse, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_incomplete_copy_holds_unjudged, fixture_setup,
										fixture_teardown),
		cmocka_unit_test_setup_teardown(test_clock_ahead, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_bad_requests, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_full_disk, fixture_setup, fixture_teardown),
	};

	return cmocka_run_group_tests_name("stage", tests, NULL, NULL);
}
