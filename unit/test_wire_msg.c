/* links: wire */
/*
 * test_wire_msg.c: message bodies: each comes back as it was, and nothing but that is accepted.
 */
#include "test_wire.h"

#include "../fuzz/messages.h"
#include "route.h"

static const DorisTxnId txn = {0x1122334455667788ull, 0x99aabbcc, 0xddeeff00};
static const DorisVersion base = {1000, 7};
static const DorisVersion version = {2000, 8};

static StagedInfo staged_info(void)
{
	StagedInfo s = {.txn = txn,
					.mode = TXN_NAMED,
					.decision_vnode = 65535,
					.others = {2, {0, 65534}},
					.expires_ms = 123456789,
					.now_ms = 123456780,
					.deleted = false,
					.base = base,
					.version = version,
					.value = BYTES("\x05\x05hello")};

	return s;
}

/* ---- a sample of each, in the order of message_codecs ---- */

static void put_topology_get(DorisBuf *b)
{
	topology_get_encode(b, &(TopologyGet){42});
}

static void put_heartbeat(DorisBuf *b)
{
	Heartbeat m = {.term = 3, .epoch = 44, .node = 300, .move_rate_mb = 2000};

	memset(m.hash, 0xab, sizeof(m.hash));
	memset(m.cluster, 0xcd, sizeof(m.cluster));
	heartbeat_encode(b, &m);
}

static void put_node_report(DorisBuf *b)
{
	ReadyCopy ready[2] = {{5, 40}, {65535, UINT64_MAX}};
	Backlog backlog = {7, 12, 900, 1234567890123ull};
	NodeReport m = {.epoch = 44,
					.incarnation = UINT64_MAX,
					.rows = 1000000,
					.bytes = 1ull << 40,
					.vnodes = 1024,
					.hints = 1,
					.staged = 2,
					.disk_free = UINT64_MAX,
					.disk_full = true,
					.clock_ms = 123456,
					.mark = 77,
					.recovering = 3,
					.recovered_bytes = 1000,
					.recover_bytes = 4000,
					.nready = 2,
					.ready = ready,
					.hint_bytes = 900,
					.hint_budget = 1ull << 30,
					.nbacklogs = 1,
					.backlogs = &backlog,
					.build = "1.0-3-gabcdef"};

	memset(m.hash, 0xab, sizeof(m.hash));
	memset(m.home, 0xef, sizeof(m.home));
	node_report_encode(b, &m);
}

static void put_hello(DorisBuf *b)
{
	Hello m = {.name = "g1n1",
			   .address = "tcp://127.0.0.1:5001",
			   .node = 7,
			   .incarnation = 99,
			   .epoch = 12,
			   .build = "release",
			   .mark = 76,
			   .clean = true};

	memset(m.home, 0xef, sizeof(m.home));
	hello_encode(b, &m);
}

static void put_welcome(DorisBuf *b)
{
	Welcome m = {.node = 7, .topology = BYTES("signed bytes")};

	memset(m.cluster, 0xcd, sizeof(m.cluster));
	welcome_encode(b, &m);
}

static void put_report(DorisBuf *b)
{
	report_encode(b, &(Report){9, "no answer in 1000 ms"});
}

static void put_operate(DorisBuf *b)
{
	char names[2][DORIS_NAME_MAX] = {"spare1", "spare2"};

	operate_encode(b, &(Operate){.verb = OPERATE_EXPAND,
								 .node = "g1n1",
								 .by = "spare1",
								 .accept_loss = true,
								 .dry = true,
								 .group = 2,
								 .plan = 300,
								 .nnames = 2,
								 .names = names});
}

static void put_operate_reply(DorisBuf *b)
{
	PlanMove moves[2] = {{1, "g1n1", "g1n3", 21, 4, 1000, 123456, 400000, 1ull << 40},
						 {1, "g1n2", "g1n3", 300, 0, 1, 2, 3, 4}};
	PlanInfo plans[1] = {{.id = 7,
						  .kind = "expand",
						  .state = "waiting",
						  .group = 1,
						  .vnodes_total = 321,
						  .vnodes_done = 4,
						  .bytes_total = 123458,
						  .bytes_done = 5,
						  .bytes_per_s = 6,
						  .started_ms = 7,
						  .eta_ms = 8,
						  .error = "node g1n3 is down"}};

	operate_reply_encode(b, &(OperateReply){.plan = 7,
											.topology = BYTES("topology"),
											.minimum = 321,
											.nmoves = 2,
											.moves = moves,
											.nplans = 1,
											.plans = plans});
}

static void put_namespace_change(DorisBuf *b)
{
	NamespaceChange m = {NAMESPACE_CREATE, sample_nsdef(0, "orders")};

	namespace_change_encode(b, &m);
	namespace_change_free(&m);
}

static void put_get_request(DorisBuf *b)
{
	KeyRef keys[2] = {{DORIS_SPACE_ROWS, 7, 65535, BYTES("key")},
					  {DORIS_SPACE_DECISIONS, 0, 3, BYTES("0123456789abcdef")}};
	uint16_t columns[2] = {2, 65535};
	GetRequest m = {.nkeys = 2,
					.keys = keys,
					.no_values = true,
					.ncolumns = 2,
					.columns = columns,
					.max_bytes = 1,
					.filter = BYTES("filter")};

	get_request_encode(b, &m);
}

static const RowState *sample_rows(void)
{
	static RowState rows[3];

	memset(rows, 0, sizeof(rows));
	rows[0] = (RowState){
		.key = BYTES("k1"), .present = true, .version = version, .value = BYTES("\x05\x01v")};
	rows[1] = (RowState){.key = BYTES("k2"), .version = base}; /* a tombstone */
	rows[2] = (RowState){.key = BYTES("k3"), .nstaged = 1, .staged = staged_info()};
	return rows;
}

static void put_get_reply(DorisBuf *b)
{
	GetReply m = {3, (RowState *) sample_rows()};

	get_reply_encode(b, &m);
}

static void put_scan_request(DorisBuf *b)
{
	uint32_t vnodes[3] = {1, 2, 65535};
	uint16_t columns[1] = {4};
	ScanRequest m = {.ns = 7,
					 .def_version = 2,
					 .nvnodes = 3,
					 .vnodes = vnodes,
					 .ordered = true,
					 .reverse = true,
					 .low = BYTES("a"),
					 .high = BYTES("b"),
					 .filter = BYTES("\x01\x0c"),
					 .aggregate = {(const uint8_t *) "\0\1\1", 3},
					 .ncolumns = 1,
					 .columns = columns,
					 .max_rows = 100,
					 .max_bytes = 1 << 20,
					 .resume = true,
					 .resume_vnode = 2,
					 .resume_key = BYTES("aaa")};

	scan_request_encode(b, &m);
}

static void put_scan_reply(DorisBuf *b)
{
	uint32_t vnodes[3] = {1, 1, 2};
	ScanReply m = {.groups = BYTES("groups"),
				   .passed = 12345678901ull,
				   .nrows = 3,
				   .rows = (RowState *) sample_rows(),
				   .vnodes = vnodes,
				   .next_vnode = 2,
				   .next_key = BYTES("k3")};

	scan_reply_encode(b, &m);
}

static void put_stage_request(DorisBuf *b)
{
	StageRow rows[3] = {
		{{DORIS_SPACE_ROWS, 7, 5, BYTES("k1")}, WRITE_INSERT, {0, 0}, BYTES("value")},
		{{DORIS_SPACE_ROWS, 7, 6, BYTES("k2")}, WRITE_UPDATE, base, BYTES("")},
		{{DORIS_SPACE_ROWS, 8, 6, BYTES("k3")}, WRITE_DELETE, base, BYTES("")}};
	DorisTxnId finished[2] = {txn, {.clock = 9, .origin = 8, .nonce = 7}};
	StageRequest m = {.txn = txn,
					  .version = version,
					  .mode = TXN_NAMED,
					  .decision_vnode = 5,
					  .others = {1, {6}},
					  .expires_ms = 987654321,
					  .nrows = 3,
					  .rows = rows,
					  .nfinished = 2,
					  .finished = finished};

	stage_request_encode(b, &m);
}

static void put_stage_reply(DorisBuf *b)
{
	StageConflict conflicts[3] = {
		{.row = 0, .why = REFUSAL_BASE, .present = true, .stored = version},
		{.row = 65535, .why = REFUSAL_STAGED, .staged = staged_info()},
		{.row = 2, .why = REFUSAL_HORIZON}};

	stage_reply_encode(b, &(StageReply){false, 3, conflicts});
}

static void put_finish_request(DorisBuf *b)
{
	uint32_t vnodes[2] = {9, 4};
	FinishItem items[2] = {{txn, true, 0, NULL}, {txn, false, 2, vnodes}};

	finish_request_encode(b, &(FinishRequest){2, items});
}

static void put_outcome_request(DorisBuf *b)
{
	outcome_request_encode(b, &(OutcomeRequest){txn, 77, true});
}

static void put_apply_request(DorisBuf *b)
{
	ApplyRow rows[2] = {{{DORIS_SPACE_ROWS, 7, 5, BYTES("k1")}, false, version, BYTES("value")},
						{{DORIS_SPACE_ROWS, 7, 6, BYTES("k2")}, true, version, BYTES("")}};

	apply_request_encode(b, &(ApplyRequest){.from_client = true, .nrows = 2, .rows = rows});
}

static void put_repair(DorisBuf *b)
{
	ApplyRow rows[1] = {{{DORIS_SPACE_ROWS, 7, 5, BYTES("k1")}, false, version, BYTES("value")}};

	apply_request_encode(
		b, &(ApplyRequest){.nrows = 1, .rows = rows, .has_purged = true, .purged = 77 << 16});
}

static void put_apply_reply(DorisBuf *b)
{
	uint32_t rows[2] = {0, 65535};
	DorisVersion versions[2] = {base, version};

	apply_reply_encode(b, &(ApplyReply){2, rows, versions});
}

static void put_digest_request(DorisBuf *b)
{
	uint32_t vnodes[2] = {3, 65535};

	digest_request_encode(b, &(DigestRequest){7, 2, vnodes});
}

static void put_digest_reply(DorisBuf *b)
{
	VnodeDigest vnodes[2] = {{3, 10, 1, 0, 1000, 0x1234567890abcdefull, 5, 6},
							 {4, UINT64_MAX, 0, 2, 0, 0, 0, UINT64_MAX}};

	digest_reply_encode(b, &(DigestReply){2, vnodes});
}

static void put_hint_request(DorisBuf *b)
{
	hint_request_encode(b, &(HintRequest){4, MSG_STAGE, BYTES("a body")});
}

static void put_replay_request(DorisBuf *b)
{
	ReplayItem items[2] = {{MSG_FINISH, BYTES("one")}, {MSG_APPLY, BYTES("")}};

	replay_request_encode(b, &(ReplayRequest){2, items});
}

static void put_pull_request(DorisBuf *b)
{
	pull_request_encode(b, &(PullRequest){PULL_RECORDS, 65535, BYTES("low"), BYTES("high"), 4096});
}

static void put_stats_reply(DorisBuf *b)
{
	StatItem items[2] = {{"requests_get", 12}, {"rows_ns_7", UINT64_MAX}};

	stats_reply_encode(b, &(StatsReply){2, items});
}

static void put_purge_request(DorisBuf *b)
{
	purge_request_encode(b, &(PurgeRequest){PURGE_RELEASE, 65535, 1ull << 60, 1ull << 50});
}

static void put_purge_reply(DorisBuf *b)
{
	purge_reply_encode(b, &(PurgeReply){PURGE_UNFENCED, 1ull << 60, 5, 4, 3, UINT64_MAX});
}

static void put_reply(DorisBuf *b)
{
	DorisError err;

	doris_error(&err, DORIS_DISK_FULL, "node 7 has 3 MB left");
	doris_hint(&err, "Make room.");
	reply_put_error(b, &err);
}

static void (*const samples[])(DorisBuf *) = {
	put_topology_get,	put_heartbeat,		 put_node_report,
	put_hello,			put_welcome,		 put_report,
	put_operate,		put_operate_reply,	 put_namespace_change,
	put_get_request,	put_get_reply,		 put_scan_request,
	put_scan_reply,		put_stage_request,	 put_stage_reply,
	put_finish_request, put_outcome_request, put_apply_request,
	put_apply_reply,	put_digest_request,	 put_digest_reply,
	put_hint_request,	put_replay_request,	 put_pull_request,
	put_purge_request,	put_purge_reply,	 put_repair,
	put_stats_reply,	put_reply,
};

_Static_assert(sizeof(samples) / sizeof(samples[0]) == NMESSAGE_CODECS,
			   "a sample for each message");

static DorisStatus recode(size_t i, const uint8_t *data, size_t len, DorisBuf *out)
{
	uint8_t *copy = exact_copy(data, len);
	DorisStatus status = message_codecs[i].recode((DorisBytes){copy, len}, out);

	free(copy);
	return status;
}

static void all_come_back(void **state)
{
	DorisBuf b;
	DorisBuf again;

	(void) state;
	buf_init(&b);
	buf_init(&again);
	for (size_t i = 0; i < NMESSAGE_CODECS; i++)
	{
		buf_reset(&b);
		buf_reset(&again);
		samples[i](&b);
		if (recode(i, b.data, b.len, &again) != DORIS_OK)
			fail_msg("a %s is refused", message_codecs[i].name);
		assert_int_equal(again.len, b.len);
		assert_memory_equal(again.data, b.data, b.len);
	}
	buf_free(&b);
	buf_free(&again);
}

static void all_are_refused_when_cut_or_longer(void **state)
{
	DorisBuf b;
	DorisBuf out;

	(void) state;
	buf_init(&b);
	buf_init(&out);
	for (size_t i = 0; i < NMESSAGE_CODECS; i++)
	{
		buf_reset(&b);
		samples[i](&b);
		for (size_t len = 0; len < b.len; len++)
			if (recode(i, b.data, len, &out) != DORIS_BAD_MESSAGE)
				fail_msg("a %s of %zu bytes, cut to %zu, is accepted", message_codecs[i].name,
						 b.len, len);
		buf_put_u8(&b, 0);
		if (recode(i, b.data, b.len, &out) != DORIS_BAD_MESSAGE)
			fail_msg("a %s with a byte behind it is accepted", message_codecs[i].name);
	}
	buf_free(&b);
	buf_free(&out);
}

/* Every byte set to every value: decoded or refused, never a crash, and as every other decoder too. */
static void damage_does_no_harm(void **state)
{
	DorisBuf b;
	DorisBuf out;

	(void) state;
	buf_init(&b);
	buf_init(&out);
	for (size_t i = 0; i < NMESSAGE_CODECS; i++)
	{
		buf_reset(&b);
		samples[i](&b);
		for (size_t at = 0; at < b.len; at++)
		{
			uint8_t was = b.data[at];

			for (int value = 0; value < 256; value += 1 + (at > 64) * 4)
			{
				buf_reset(&out);
				b.data[at] = (uint8_t) value;
				(void) recode(i, b.data, b.len, &out);
			}
			b.data[at] = was;
		}
		for (size_t other = 0; other < NMESSAGE_CODECS; other++)
		{
			buf_reset(&out);
			(void) recode(other, b.data, b.len, &out);
		}
	}
	buf_free(&b);
	buf_free(&out);
}

/* ---- contents, field by field, of the messages that carry rows ---- */

static void fields_arrive(void **state)
{
	DorisBuf b;
	DorisCursor c;
	DorisError err;
	GetRequest get;
	ScanReply scan;
	StageReply staged;
	ApplyReply applied;

	(void) state;
	buf_init(&b);
	put_get_request(&b);
	assert_int_equal(get_request_decode((DorisBytes){b.data, b.len}, &get, &err), DORIS_OK);
	assert_int_equal(get.nkeys, 2);
	assert_int_equal(get.keys[0].vnode, 65535);
	assert_int_equal(get.keys[1].space, DORIS_SPACE_DECISIONS);
	assert_true(get.no_values);
	assert_false(get.all_columns);
	assert_int_equal(get.columns[1], 65535);
	assert_int_equal(bytes_compare(get.filter, BYTES("filter")), 0);
	get_request_free(&get);

	buf_reset(&b);
	put_scan_reply(&b);
	c = cursor_of(b.data, b.len);
	assert_int_equal(scan_reply_decode(&c, &scan, &err), DORIS_OK);
	assert_int_equal(bytes_compare(scan.groups, BYTES("groups")), 0);
	assert_int_equal(scan.nrows, 3);
	assert_int_equal(scan.vnodes[2], 2);
	assert_true(scan.rows[0].present);
	assert_int_equal(bytes_compare(scan.rows[0].key, BYTES("k1")), 0);
	assert_false(scan.rows[1].present);
	assert_int_equal(version_compare(scan.rows[1].version, base), 0);
	assert_int_equal(scan.rows[2].nstaged, 1);
	assert_int_equal(scan.rows[2].staged.decision_vnode, 65535);
	assert_int_equal(scan.rows[2].staged.others.n, 2);
	assert_int_equal(scan.rows[2].staged.others.vnodes[1], 65534);
	assert_int_equal(txnid_compare(scan.rows[2].staged.txn, txn), 0);
	assert_false(scan.done);
	assert_int_equal(bytes_compare(scan.next_key, BYTES("k3")), 0);
	scan_reply_free(&scan);

	buf_reset(&b);
	put_stage_reply(&b);
	c = cursor_of(b.data, b.len);
	assert_int_equal(stage_reply_decode(&c, &staged, &err), DORIS_OK);
	assert_false(staged.held);
	assert_int_equal(staged.nconflicts, 3);
	assert_int_equal(staged.conflicts[1].why, REFUSAL_STAGED);
	assert_true(staged.conflicts[1].staged.expires_ms == 123456789);
	stage_reply_free(&staged);

	buf_reset(&b);
	put_apply_reply(&b);
	c = cursor_of(b.data, b.len);
	assert_int_equal(apply_reply_decode(&c, &applied, &err), DORIS_OK);
	assert_int_equal(applied.rows[1], 65535);
	assert_int_equal(version_compare(applied.versions[1], version), 0);
	apply_reply_free(&applied);
	buf_free(&b);
}

static void errors_arrive_as_themselves(void **state)
{
	DorisBuf b;
	DorisCursor c;
	DorisError err;

	(void) state;
	buf_init(&b);
	put_reply(&b);
	c = cursor_of(b.data, b.len);
	assert_int_equal(reply_read_status(&c, &err), DORIS_DISK_FULL);
	assert_int_equal(err.code, DORIS_DISK_FULL);
	assert_string_equal(err.message, "node 7 has 3 MB left");
	assert_string_equal(err.hint, "Make room.");
	buf_reset(&b);
	reply_put_ok(&b);
	buf_put_u8(&b, 9);
	c = cursor_of(b.data, b.len);
	assert_int_equal(reply_read_status(&c, &err), DORIS_OK);
	assert_int_equal(cursor_u8(&c), 9);
	/* the longest error fits */
	memset(err.message, 'm', sizeof(err.message) - 1);
	memset(err.hint, 'h', sizeof(err.hint) - 1);
	err.message[sizeof(err.message) - 1] = err.hint[sizeof(err.hint) - 1] = '\0';
	err.code = DORIS_IO;
	buf_reset(&b);
	reply_put_error(&b, &err);
	c = cursor_of(b.data, b.len);
	assert_int_equal(reply_read_status(&c, &err), DORIS_IO);
	assert_int_equal(strlen(err.hint), sizeof(err.hint) - 1);
	b.data[0] = DORIS_STATUS_LAST + 1;
	c = cursor_of(b.data, b.len);
	assert_int_equal(reply_read_status(&c, &err), DORIS_BAD_MESSAGE);
	/* an error that claims to be none must not be taken for a success */
	memset(&err, 0, sizeof(err));
	buf_reset(&b);
	reply_put_error(&b, &err);
	c = cursor_of(b.data, b.len);
	assert_int_equal(reply_read_status(&c, &err), DORIS_INTERNAL);
	buf_free(&b);
}

/* ---- requests that decode as bytes but must not be taken ---- */

static void expect_stage_refused(TxnMode mode, StageRow a, StageRow b)
{
	StageRow rows[2] = {a, b};
	StageRequest m = {.txn = txn,
					  .version = version,
					  .mode = mode,
					  .decision_vnode = 5,
					  .others = {1, {7}},
					  .nrows = 2,
					  .rows = rows};
	StageRequest out;
	DorisBuf buf;
	DorisError err;

	buf_init(&buf);
	stage_request_encode(&buf, &m);
	assert_int_equal(stage_request_decode((DorisBytes){buf.data, buf.len}, &out, &err),
					 DORIS_BAD_MESSAGE);
	assert_null(out.rows);
	buf_free(&buf);
}

static void odd_stages_are_refused(void **state)
{
	StageRow good = {{DORIS_SPACE_ROWS, 7, 5, BYTES("k1")}, WRITE_INSERT, {0, 0}, BYTES("value")};
	StageRow odd;

	(void) state;
	odd = good;
	odd.at.vnode = 6;
	expect_stage_refused(TXN_SINGLE, good, odd); /* SINGLE: all in one vnode */
	expect_stage_refused(TXN_NAMED, good, odd);	 /* in a vnode that it does not name */
	odd = good;
	odd.kind = WRITE_PUT;
	expect_stage_refused(TXN_DECISION, good, odd); /* plain only */
	odd = good;
	odd.kind = WRITE_DELETE;
	expect_stage_refused(TXN_DECISION, good, odd); /* with a value */
	odd = good;
	odd.at.space = 3;
	expect_stage_refused(TXN_DECISION, good, odd);
	odd = good;
	odd.at.ns = 0;
	expect_stage_refused(TXN_DECISION, good, odd);
	odd = good;
	odd.at.vnode = DORIS_MAX_VNODES;
	expect_stage_refused(TXN_DECISION, good, odd);
	odd = good;
	odd.at.space = DORIS_SPACE_DECISIONS; /* with a namespace, and not a transaction's id */
	expect_stage_refused(TXN_DECISION, good, odd);
	expect_stage_refused((TxnMode) 4, good, good);
}

static void sizes_are_limited(void **state)
{
	uint8_t *big = calloc(1, DORIS_MAX_VALUE + 1);
	ApplyRow row = {{DORIS_SPACE_ROWS, 7, 5, BYTES("k1")}, false, version, {big, DORIS_MAX_VALUE}};
	ApplyRequest m = {.from_client = true, .nrows = 1, .rows = &row};
	ApplyRequest out;
	DorisBuf b;
	DorisError err;

	(void) state;
	assert_non_null(big);
	buf_init(&b);
	apply_request_encode(&b, &m);
	assert_int_equal(apply_request_decode((DorisBytes){b.data, b.len}, &out, &err), DORIS_OK);
	apply_request_free(&out);
	row.value.len++;
	buf_reset(&b);
	apply_request_encode(&b, &m);
	assert_int_equal(apply_request_decode((DorisBytes){b.data, b.len}, &out, &err),
					 DORIS_BAD_MESSAGE);
	row.value.len = 0;
	row.at.key = (DorisBytes){big, DORIS_MAX_KEY};
	buf_reset(&b);
	apply_request_encode(&b, &m);
	assert_int_equal(apply_request_decode((DorisBytes){b.data, b.len}, &out, &err), DORIS_OK);
	apply_request_free(&out);
	row.at.key.len++;
	buf_reset(&b);
	apply_request_encode(&b, &m);
	assert_int_equal(apply_request_decode((DorisBytes){b.data, b.len}, &out, &err),
					 DORIS_BAD_MESSAGE);
	buf_free(&b);
	free(big);
}

static void lists_must_rise(void **state)
{
	static uint32_t falling[2] = {5, 4};
	static uint32_t twice[2] = {5, 5};
	static uint16_t columns[2] = {5, 5};
	ScanRequest m = {.ns = 1, .nvnodes = 2, .vnodes = falling};
	ScanRequest out;
	DorisBuf b;
	DorisError err;

	(void) state;
	buf_init(&b);
	scan_request_encode(&b, &m);
	assert_int_equal(scan_request_decode((DorisBytes){b.data, b.len}, &out, &err),
					 DORIS_BAD_MESSAGE);
	m.vnodes = twice;
	buf_reset(&b);
	scan_request_encode(&b, &m);
	assert_int_equal(scan_request_decode((DorisBytes){b.data, b.len}, &out, &err),
					 DORIS_BAD_MESSAGE);
	m.nvnodes = 1;
	m.ncolumns = 2;
	m.columns = columns;
	buf_reset(&b);
	scan_request_encode(&b, &m);
	assert_int_equal(scan_request_decode((DorisBytes){b.data, b.len}, &out, &err),
					 DORIS_BAD_MESSAGE);
	columns[1] = 6;
	buf_reset(&b);
	scan_request_encode(&b, &m);
	assert_int_equal(scan_request_decode((DorisBytes){b.data, b.len}, &out, &err), DORIS_OK);
	scan_request_free(&out);
	buf_free(&b);
}

static void samples_say_how_large(void **state)
{
	static uint32_t vnodes[1] = {3};
	ScanRequest m = {.ns = 1, .nvnodes = 1, .vnodes = vnodes, .share = 5, .seed = 6};
	ScanRequest out;
	DorisBuf b;
	DorisError err;

	(void) state;
	buf_init(&b);
	scan_request_encode(&b, &m);
	assert_int_equal(scan_request_decode((DorisBytes){b.data, b.len}, &out, &err), DORIS_OK);
	assert_int_equal(out.share, 5);
	assert_int_equal(out.seed, 6);
	scan_request_free(&out);
	/* none of the rows, and a count of a sample, are nothing to ask for */
	memset(b.data + b.len - 16, 0, 8);
	assert_int_equal(scan_request_decode((DorisBytes){b.data, b.len}, &out, &err),
					 DORIS_BAD_MESSAGE);
	m.aggregate = (DorisBytes){(const uint8_t *) "\0\1\1", 3};
	buf_reset(&b);
	scan_request_encode(&b, &m);
	assert_int_equal(scan_request_decode((DorisBytes){b.data, b.len}, &out, &err),
					 DORIS_BAD_MESSAGE);
	buf_free(&b);
}

static void orders_are_bounded(void **state)
{
	static uint32_t vnodes[DORIS_MAX_ORDERED_VNODES + 1];
	ScanRequest m = {.ns = 1, .nvnodes = DORIS_MAX_ORDERED_VNODES, .vnodes = vnodes};
	ScanRequest out;
	DorisBuf b;
	DorisError err;

	(void) state;
	for (uint32_t i = 0; i <= DORIS_MAX_ORDERED_VNODES; i++)
		vnodes[i] = i;
	m.ordered = m.reverse = true;
	buf_init(&b);
	scan_request_encode(&b, &m);
	assert_int_equal(scan_request_decode((DorisBytes){b.data, b.len}, &out, &err), DORIS_OK);
	assert_true(out.ordered && out.reverse);
	scan_request_free(&out);
	m.nvnodes++;
	buf_reset(&b);
	scan_request_encode(&b, &m);
	assert_int_equal(scan_request_decode((DorisBytes){b.data, b.len}, &out, &err),
					 DORIS_BAD_MESSAGE);
	/* backwards means something only in an order */
	m.ordered = false;
	buf_reset(&b);
	scan_request_encode(&b, &m);
	assert_int_equal(scan_request_decode((DorisBytes){b.data, b.len}, &out, &err),
					 DORIS_BAD_MESSAGE);
	m.reverse = false;
	buf_reset(&b);
	scan_request_encode(&b, &m);
	assert_int_equal(scan_request_decode((DorisBytes){b.data, b.len}, &out, &err), DORIS_OK);
	scan_request_free(&out);
	buf_free(&b);
}

static void verdicts_have_reasons(void **state)
{
	StageConflict conflict = {.row = 1, .why = REFUSAL_BASE};
	StageReply m = {true, 1, &conflict};
	StageReply out;
	DorisBuf b;
	DorisCursor c;
	DorisError err;

	(void) state;
	buf_init(&b);
	stage_reply_encode(&b, &m); /* held, and yet a conflict */
	c = cursor_of(b.data, b.len);
	assert_int_equal(stage_reply_decode(&c, &out, &err), DORIS_BAD_MESSAGE);
	buf_reset(&b);
	m.held = false;
	m.nconflicts = 0;
	stage_reply_encode(&b, &m); /* refused for nothing */
	c = cursor_of(b.data, b.len);
	assert_int_equal(stage_reply_decode(&c, &out, &err), DORIS_BAD_MESSAGE);
	buf_free(&b);
}

static DorisStatus change(NamespaceVerb verb, const NsDef *def)
{
	NamespaceChange m = {verb, *def};
	NamespaceChange out;
	DorisBuf b;
	DorisError err;
	DorisStatus status;

	buf_init(&b);
	namespace_change_encode(&b, &m);
	status = namespace_change_decode((DorisBytes){b.data, b.len}, &out, &err);
	buf_free(&b);
	namespace_change_free(&out);
	return status;
}

static void namespace_changes_are_checked(void **state)
{
	NsDef def = sample_nsdef(0, "orders");
	NsDef name_only = {.name = "orders"};

	(void) state;
	def.version = 0;
	for (int i = 0; i < def.ncolumns; i++)
		def.columns[i].id = 0; /* ids are the admin's to give */
	assert_int_equal(change(NAMESPACE_CREATE, &def), DORIS_OK);
	assert_int_equal(change(NAMESPACE_DROP, &name_only), DORIS_OK);
	assert_int_equal(change(NAMESPACE_TRUNCATE, &name_only), DORIS_OK);
	assert_int_equal(change(NAMESPACE_CREATE, &name_only), DORIS_BAD_ARGUMENT); /* no key */
	assert_int_equal(change((NamespaceVerb) 5, &def), DORIS_BAD_MESSAGE);
	def.columns[1].key_position = 1;
	assert_int_equal(change(NAMESPACE_CREATE, &def), DORIS_BAD_ARGUMENT);
	def.columns[1].key_position = 2;
	/* columns to add: no key */
	def.ncolumns = 1;
	def.columns[0] = def.columns[4];
	def.key_columns = def.route_columns = 0;
	assert_int_equal(change(NAMESPACE_ADD_COLUMNS, &def), DORIS_OK);
	def.name[0] = '\0';
	assert_int_equal(change(NAMESPACE_ADD_COLUMNS, &def), DORIS_BAD_ARGUMENT);
	nsdef_free(&def);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_come_back),
		cmocka_unit_test(all_are_refused_when_cut_or_longer),
		cmocka_unit_test(damage_does_no_harm),
		cmocka_unit_test(fields_arrive),
		cmocka_unit_test(errors_arrive_as_themselves),
		cmocka_unit_test(odd_stages_are_refused),
		cmocka_unit_test(sizes_are_limited),
		cmocka_unit_test(lists_must_rise),
		cmocka_unit_test(samples_say_how_large),
		cmocka_unit_test(orders_are_bounded),
		cmocka_unit_test(verdicts_have_reasons),
		cmocka_unit_test(namespace_changes_are_checked),
	};

	return cmocka_run_group_tests_name("wire: messages", tests, NULL, NULL);
}
