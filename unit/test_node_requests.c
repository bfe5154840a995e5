/* links: wire node */
/*
 * test_node_requests.c: scans, digests, topologies and messages, by direct calls on the memory
 * store.
 */
#include "test_node_fixture.h"

#include "filter.h"
#include "sample.h"

/* ---- scans ---- */

/* A program: no group columns, one aggregate: the number of rows. */
static const DorisBytes count_rows = {(const uint8_t *) "\0\1\1", 3};

typedef struct Scanned
{
	char keys[4096];  /* with commas; staged ones with a star */
	uint64_t counted; /* by count_rows */
	uint64_t passed;  /* of a sample */
	int pages;
} Scanned;

static Scanned scan_all(Fixture *f, ScanRequest m)
{
	Scanned out = {.pages = 0};
	uint8_t token[256];
	DorisBuf reply;

	buf_init(&reply);
	for (;;)
	{
		ScanReply page;
		DorisCursor c;

		buf_reset(&reply);
		assert_int_equal(scan_execute(&f->w, f->topo->epoch, &m, &reply, &f->err), DORIS_OK);
		c = cursor_of(reply.data, reply.len);
		assert_int_equal(scan_reply_decode(&c, &page, &f->err), DORIS_OK);
		out.pages++;
		out.passed += page.passed;
		if (page.groups.len > 0)
		{
			DorisCursor groups = cursor_of(page.groups.data, page.groups.len);

			assert_int_equal(cursor_varint(&groups), 1);
			out.counted += cursor_varint(&groups);
			assert_true(cursor_at_end(&groups));
		}
		for (uint32_t i = 0; i < page.nrows; i++)
		{
			strncat(out.keys, (const char *) page.rows[i].key.data, page.rows[i].key.len);
			strcat(out.keys, page.rows[i].nstaged > 0 ? "*," : ",");
		}
		if (page.done)
		{
			scan_reply_free(&page);
			break;
		}
		m.resume = true;
		m.resume_vnode = page.next_vnode;
		assert_true(page.next_key.len < sizeof(token));
		memcpy(token, page.next_key.data, page.next_key.len);
		m.resume_key.data = token;
		m.resume_key.len = page.next_key.len;
		scan_reply_free(&page);
		assert_true(out.pages < 1000);
	}
	buf_free(&reply);
	return out;
}

static void fill(Fixture *f)
{
	static const char *const names[] = {"a", "b", "c", "d", "e"};

	for (uint32_t v = 0; v < 3; v++)
	{
		for (int i = 0; i < 5; i++)
		{
			char key[8];

			(void) snprintf(key, sizeof(key), "%s%u", names[i], v);
			(void) put_row(f, v, key, "");
		}
	}
}

static void test_scan_pages(void **state)
{
	Fixture *f = *state = &fix;
	uint32_t vnodes[] = {0, 1, 2, 3};
	ScanRequest m = {
		.ns = NS, .def_version = 1, .nvnodes = 4, .vnodes = vnodes, .all_columns = true};
	static const char *const all = "a0,b0,c0,d0,e0,a1,b1,c1,d1,e1,a2,b2,c2,d2,e2,";
	Scanned s;

	fill(f);
	s = scan_all(f, m);
	assert_string_equal(s.keys, all);
	assert_int_equal(s.pages, 1);
	/* whatever the page size, every key once */
	for (uint32_t rows = 1; rows < 18; rows++)
	{
		m.max_rows = rows;
		assert_string_equal(scan_all(f, m).keys, all);
	}
	m.max_rows = 0;
	m.max_bytes = 1;
	assert_string_equal(scan_all(f, m).keys, all);
	m.max_bytes = 0;
	m.aggregate = count_rows;
	assert_int_equal(scan_all(f, m).counted, 15);
	m.aggregate.len = 0;
	m.low = bytes_of("b");
	m.high = bytes_of("d");
	for (uint32_t rows = 0; rows < 7; rows++)
	{
		m.max_rows = rows;
		assert_string_equal(scan_all(f, m).keys, "b0,c0,b1,c1,b2,c2,");
	}
	m.low = bytes_of("d1");
	m.high = bytes_of("");
	m.nvnodes = 1;
	m.vnodes = vnodes + 1;
	assert_string_equal(scan_all(f, m).keys, "d1,e1,");
	m.high = bytes_of("a");
	assert_string_equal(scan_all(f, m).keys, "");
}

/* A sample has the rows of its hash, whatever the pages; all that are live are counted. */
static void test_scan_sample(void **state)
{
	Fixture *f = *state = &fix;
	uint32_t vnodes[] = {0, 1, 2, 3};
	ScanRequest m = {.ns = NS,
					 .def_version = 1,
					 .nvnodes = 4,
					 .vnodes = vnodes,
					 .all_columns = true,
					 .share = UINT64_MAX / 3};
	int sampled = 0;
	uint64_t c;

	fill(f);
	for (m.seed = 0; m.seed < 200; m.seed++)
	{
		Scanned s;
		char expect[256] = "";

		for (uint32_t v = 0; v < 3; v++)
		{
			for (char n = 'a'; n <= 'e'; n++)
			{
				const char key[] = {n, (char) ('0' + v), '\0'};

				if (!sample_takes(m.seed, m.share, bytes_of(key)))
					continue;
				strcat(strcat(expect, key), ",");
				sampled++;
			}
		}
		m.max_rows = (uint32_t) (m.seed % 5);
		s = scan_all(f, m);
		assert_string_equal(s.keys, expect);
		assert_int_equal(s.passed, 15);
	}
	/* 3000 rows, each in with probability 1/3: 1000, give or take 5 standard deviations */
	assert_in_range(sampled, 870, 1130);

	/* a staged row that is in comes to be settled, and is not counted; one that is not counts as it is without it */
	c = stamp_now(f);
	assert_int_equal(stage_one(f, txn_of(c, 1), c, 0, "f0", WRITE_INSERT, no_version, "x"), 0);
	m.share = UINT64_MAX;
	m.max_rows = 0;
	assert_true(strstr(scan_all(f, m).keys, "f0*,") != NULL);
	assert_int_equal(scan_all(f, m).passed, 15);
	m.share = 1;
	assert_string_equal(scan_all(f, m).keys, "");
	assert_int_equal(scan_all(f, m).passed, 15);
}

static void test_scan_in_order(void **state)
{
	Fixture *f = *state = &fix;
	uint32_t vnodes[] = {0, 1, 2, 3};
	ScanRequest m = {.ns = NS,
					 .def_version = 1,
					 .nvnodes = 4,
					 .vnodes = vnodes,
					 .all_columns = true,
					 .ordered = true};
	static const char *const up = "a0,a1,a2,b0,b1,b2,c0,c1,c2,d0,d1,d2,e0,e1,e2,";
	static const char *const down = "e2,e1,e0,d2,d1,d0,c2,c1,c0,b2,b1,b0,a2,a1,a0,";
	uint64_t c;

	fill(f);
	/* whatever the page size, every key once and in its place, in both directions */
	for (uint32_t rows = 0; rows < 18; rows++)
	{
		m.max_rows = rows;
		m.reverse = false;
		assert_string_equal(scan_all(f, m).keys, up);
		m.reverse = true;
		assert_string_equal(scan_all(f, m).keys, down);
	}
	/* a range, and a token outside of it */
	m.low = bytes_of("b1");
	m.high = bytes_of("d1");
	for (uint32_t rows = 0; rows < 10; rows++)
	{
		m.max_rows = rows;
		m.reverse = false;
		assert_string_equal(scan_all(f, m).keys, "b1,b2,c0,c1,c2,d0,");
		m.reverse = true;
		assert_string_equal(scan_all(f, m).keys, "d0,c2,c1,c0,b2,b1,");
	}
	m.resume = true;
	m.resume_key = bytes_of("e");
	assert_string_equal(scan_all(f, m).keys, "d0,c2,c1,c0,b2,b1,");
	m.reverse = false;
	assert_string_equal(scan_all(f, m).keys, "");
	m.resume_key = bytes_of("a");
	assert_string_equal(scan_all(f, m).keys, "b1,b2,c0,c1,c2,d0,");
	m.reverse = true;
	assert_string_equal(scan_all(f, m).keys, "");
	/* some vnodes only, from a key that is in none of them: as after a failover */
	m.resume_key = bytes_of("c1");
	m.low = m.high = bytes_of("");
	m.nvnodes = 2;
	m.vnodes = vnodes + 2;
	assert_string_equal(scan_all(f, m).keys, "b2,a2,");
	m.reverse = false;
	assert_string_equal(scan_all(f, m).keys, "c2,d2,e2,");
	/* staged rows and tombstones have their places, too */
	m.resume = false;
	m.nvnodes = 3;
	m.vnodes = vnodes;
	c = stamp_now(f);
	assert_int_equal(stage_one(f, txn_of(c, 6), c, 2, "bb", WRITE_INSERT, no_version, ""), 0);
	c = stamp_now(f);
	assert_int_equal(
		stage_one(f, txn_of(c, 7), c, 0, "a0", WRITE_DELETE, get(f, 0, "a0").row.version, ""), 0);
	assert_int_equal(finish(f, 0, txn_of(c, 7), true, 0), FINISHED);
	for (uint32_t rows = 0; rows < 4; rows++)
	{
		m.max_rows = rows;
		m.reverse = false;
		assert_string_equal(scan_all(f, m).keys, "a1,a2,b0,b1,b2,bb*,c0,c1,c2,d0,d1,d2,e0,e1,e2,");
		m.reverse = true;
		assert_string_equal(scan_all(f, m).keys, "e2,e1,e0,d2,d1,d0,c2,c1,c0,bb*,b2,b1,b0,a2,a1,");
	}
}

static void test_scan_staged_and_filter(void **state)
{
	Fixture *f = *state = &fix;
	uint32_t vnodes[] = {0, 1, 2};
	ScanRequest m = {
		.ns = NS, .def_version = 1, .nvnodes = 3, .vnodes = vnodes, .all_columns = true};
	DorisBuf steps;
	DorisBuf program;
	DorisVersion v;
	uint64_t c;
	Scanned s;

	fill(f);
	buf_init(&steps);
	buf_init(&program);
	/* column 1 is the key, taken from the key's bytes: escaped, so nothing of fill() decodes as "b" */
	filter_put_is_null(&steps, 2);
	filter_put_op(&steps, FILTER_NOT);
	filter_finish(&program, 2, &steps);
	m.filter.data = program.data;
	m.filter.len = program.len;
	assert_string_equal(scan_all(f, m).keys, "");
	/* rows with a staged write come whatever the filter says, also when only staged */
	v = put_row(f, 1, "c1", "");
	c = stamp_now(f);
	assert_int_equal(stage_one(f, txn_of(c, 5), c, 1, "c1", WRITE_UPDATE, v, ""), 0);
	assert_int_equal(stage_one(f, txn_of(c, 6), c, 2, "zz", WRITE_INSERT, no_version, ""), 0);
	assert_string_equal(scan_all(f, m).keys, "c1*,zz*,");
	m.aggregate = count_rows;
	s = scan_all(f, m);
	assert_string_equal(s.keys, "c1*,zz*,");
	assert_int_equal(s.counted, 0);
	m.filter.len = 0;
	s = scan_all(f, m);
	assert_int_equal(s.counted, 14);
	/* tombstones are not seen */
	assert_int_equal(finish(f, 0, txn_of(c, 5), true, 1), FINISHED);
	c = stamp_now(f);
	assert_int_equal(
		stage_one(f, txn_of(c, 7), c, 0, "a0", WRITE_DELETE, get(f, 0, "a0").row.version, ""), 0);
	assert_int_equal(finish(f, 0, txn_of(c, 7), true, 0), FINISHED);
	s = scan_all(f, m);
	assert_int_equal(s.counted, 14);
	assert_string_equal(s.keys, "zz*,");
	buf_free(&steps);
	buf_free(&program);
}

static void test_scan_refusals(void **state)
{
	Fixture *f = *state = &fix;
	uint32_t vnodes[] = {0, VNODE_FOREIGN};
	ScanRequest m = {.ns = NS, .nvnodes = 2, .vnodes = vnodes, .all_columns = true};
	uint8_t noise[] = {1, 99};
	DorisBuf reply;

	buf_init(&reply);
	assert_int_equal(scan_execute(&f->w, 1, &m, &reply, &f->err), DORIS_NOT_OWNER);
	m.nvnodes = 1;
	vnodes[0] = VNODE_INCOMPLETE;
	assert_int_equal(scan_execute(&f->w, 1, &m, &reply, &f->err), DORIS_NOT_OWNER);
	vnodes[0] = 0;
	assert_int_equal(scan_execute(&f->w, 2, &m, &reply, &f->err), DORIS_BEHIND);
	assert_int_equal(scan_execute(&f->w, 0, &m, &reply, &f->err), DORIS_STALE_EPOCH);
	m.ns = NS + 1;
	assert_int_equal(scan_execute(&f->w, 1, &m, &reply, &f->err), DORIS_NO_NAMESPACE);
	m.ns = NS;
	m.filter.data = noise;
	m.filter.len = sizeof(noise);
	assert_int_equal(scan_execute(&f->w, 1, &m, &reply, &f->err), DORIS_BAD_MESSAGE);
	m.filter.len = 0;
	m.resume = true;
	m.resume_vnode = 3;
	assert_int_equal(scan_execute(&f->w, 1, &m, &reply, &f->err), DORIS_BAD_MESSAGE);
	buf_free(&reply);
}

/* ---- digests ---- */

static VnodeDigest digest_of(Fixture *f, uint32_t vnode)
{
	DigestRequest m = {NS, 1, &vnode};
	DigestReply r;
	VnodeDigest d;

	assert_int_equal(digest_execute(&f->w, f->topo->epoch, &m, &r, &f->err), DORIS_OK);
	assert_int_equal(r.n, 1);
	d = r.vnodes[0];
	digest_reply_free(&r);
	return d;
}

static void test_digest(void **state)
{
	Fixture *f = *state = &fix;
	VnodeDigest empty = digest_of(f, 1);
	VnodeDigest one;
	VnodeDigest two;
	uint64_t c = stamp_now(f);

	assert_int_equal(empty.rows, 0);
	assert_true(empty.digest == 0);
	assert_int_equal(apply(f, true, 1, "a", false, version_of(c), "x", NULL), DORIS_OK);
	assert_int_equal(apply(f, true, 1, "b", false, version_of(c), "y", NULL), DORIS_OK);
	one = digest_of(f, 1);
	assert_int_equal(one.rows, 2);
	assert_int_equal(one.bytes, 4);
	/* the same rows elsewhere in another order */
	assert_int_equal(apply(f, true, 2, "b", false, version_of(c), "y", NULL), DORIS_OK);
	assert_int_equal(apply(f, true, 2, "a", false, version_of(c - 1), "old", NULL), DORIS_OK);
	assert_int_equal(apply(f, true, 2, "a", false, version_of(c), "x", NULL), DORIS_OK);
	assert_true(digest_of(f, 2).digest == one.digest);
	/* a staged write is counted, not digested */
	assert_int_equal(
		stage_one(f, txn_of(c, 9), stamp_now(f), 1, "c", WRITE_INSERT, no_version, "z"), 0);
	two = digest_of(f, 1);
	assert_int_equal(two.staged, 1);
	assert_true(two.digest == one.digest);
	/* a tombstone is */
	assert_int_equal(apply(f, true, 1, "a", true, version_of(stamp_now(f)), "", NULL), DORIS_OK);
	two = digest_of(f, 1);
	assert_int_equal(two.rows, 1);
	assert_int_equal(two.tombstones, 1);
	assert_true(two.digest != one.digest);
}

/* ---- topologies ---- */

static void test_topology_rules(void **state)
{
	Fixture *f = *state = &fix;
	Topology *next = fixture_next(f);
	Topology *twin;
	Topology *other;
	Topology *first = topology_ref(f->topo);
	DorisBytes encoded;
	uint64_t c = stamp_now(f);

	assert_int_equal(fixture_take(f, next), DORIS_OK);
	assert_int_equal(atomic_load(&f->node->epoch), 2);
	/* again, and an older one: nothing happens */
	encoded.data = next->encoded;
	encoded.len = next->encoded_len;
	assert_int_equal(epoch_take(&f->w, encoded, &f->err), DORIS_OK);
	encoded.data = first->encoded;
	encoded.len = first->encoded_len;
	assert_int_equal(epoch_take(&f->w, encoded, &f->err), DORIS_OK);
	assert_int_equal(atomic_load(&f->node->epoch), 2);
	/* the same epoch, another content: an alarm */
	twin = fixture_next(f);
	twin->epoch = 2;
	twin->term = 9;
	log_set_level((LogLevel) LOG_ERROR);
	assert_int_equal(fixture_take(f, twin), DORIS_DENIED);
	assert_int_equal(atomic_load(&f->node->counters[COUNT_ALARMS]), 1);
	/* another cluster, noise, truncation */
	other = fixture_next(f);
	other->cluster[0] ^= 1;
	assert_int_equal(fixture_take(f, other), DORIS_DENIED);
	encoded.data = next->encoded;
	encoded.len = next->encoded_len - 1;
	assert_int_equal(epoch_take(&f->w, encoded, &f->err), DORIS_BAD_MESSAGE);
	topology_unref(other);
	topology_unref(twin);
	topology_unref(next);
	topology_unref(first);
	/* declared dead: everything is refused */
	next = fixture_next(f);
	next->nodes[0].condition = NODE_DEAD;
	assert_int_equal(fixture_take(f, next), DORIS_OK);
	topology_unref(next);
	assert_int_equal(stage_one(f, txn_of(c, 1), c, 1, "a", WRITE_INSERT, no_version, "x"),
					 -DORIS_DENIED);
}

static void test_leftover_tables(void **state)
{
	Fixture *f = *state = &fix;
	Topology *next;
	bool there;
	StageRow row = stage_row_of(1, "a", WRITE_INSERT, no_version, "again");
	uint64_t c;

	(void) put_row(f, 1, "a", "x");
	(void) put_row(f, 2, "b", "x");
	assert_int_equal(rows_counted(f), 2);
	next = fixture_next(f);
	topology_copy(next, 1, 1)->owner = 3;
	topology_copy(next, 1, 1)->changed = 2;
	assert_int_equal(fixture_take(f, next), DORIS_OK);
	topology_unref(next);
	assert_int_equal(tables_settle(&f->w, 0, &f->err), DORIS_OK);
	assert_int_equal(f->node->driver->exists(f->w.ss, 1, &there, &f->err), DORIS_OK);
	assert_false(there);
	assert_int_equal(rows_counted(f), 1);
	/* back again before it was dropped: not used until it is */
	next = fixture_next(f);
	topology_copy(next, 1, 2)->owner = 3;
	topology_copy(next, 1, 2)->changed = 3;
	assert_int_equal(fixture_take(f, next), DORIS_OK);
	topology_unref(next);
	next = fixture_next(f);
	topology_copy(next, 1, 2)->owner = 1;
	topology_copy(next, 1, 2)->changed = 4;
	assert_int_equal(fixture_take(f, next), DORIS_OK);
	topology_unref(next);
	c = stamp_now(f);
	row.at.vnode = 2;
	assert_int_equal(stage(f, 4, txn_of(c, 1), version_of(c), TXN_SINGLE, &row, 1, NULL),
					 -DORIS_UNAVAILABLE);
	assert_int_equal(tables_settle(&f->w, 0, &f->err), DORIS_OK);
	assert_int_equal(stage(f, 4, txn_of(c, 1), version_of(c), TXN_SINGLE, &row, 1, NULL), 0);
	assert_false(get(f, 2, "b").row.present);
	assert_int_equal(rows_counted(f), 0);
}

static void test_dropped_namespace(void **state)
{
	Fixture *f = *state = &fix;
	Topology *next;
	uint64_t c;

	fill(f);
	c = stamp_now(f);
	assert_int_equal(stage_one(f, txn_of(c, 9), c, 1, "zz", WRITE_INSERT, no_version, "x"), 0);
	assert_int_equal(rows_counted(f), 15);
	next = fixture_next(f);
	next->namespaces[0].id = NS + 1; /* truncated */
	next->next_namespace_id = NS + 2;
	assert_int_equal(fixture_take(f, next), DORIS_OK);
	topology_unref(next);
	assert_int_equal(stage_one(f, txn_of(c, 3), c, 1, "a", WRITE_INSERT, no_version, "x"),
					 -DORIS_NO_NAMESPACE);
	assert_int_equal(background_purge(&f->w, &f->err), DORIS_OK);
	assert_int_equal(rows_counted(f), 0);
	/* the end of what was staged finds nothing, and does no harm */
	assert_int_equal(finish(f, 0, txn_of(c, 9), true, 1), FINISHED);
	assert_int_equal(rows_counted(f), 0);
	assert_int_equal(atomic_load(&f->node->staged), 0);
}

static void test_recount(void **state)
{
	Fixture *f = *state = &fix;
	NsCount *c;

	fill(f);
	c = counters_find(f->node, NS, false);
	assert_non_null(c);
	atomic_store(&c->rows, 0);
	atomic_store(&c->bytes, 0);
	for (int v = 0; v < VNODES; v++)
		atomic_store(&f->node->counted[v], 0);
	(void) put_row(f, 0, "new", ""); /* not counted yet: not booked */
	assert_int_equal(counters_recount(&f->w, 0, &f->err), DORIS_OK);
	(void) put_row(f, 0, "newer", "");
	assert_int_equal(counters_recount(&f->w, 1, &f->err), DORIS_OK);
	assert_int_equal(counters_recount(&f->w, 2, &f->err), DORIS_OK);
	assert_int_equal(counters_recount(&f->w, 2, &f->err), DORIS_OK);
	assert_int_equal(rows_counted(f), 17);
}

static void test_heartbeat(void **state)
{
	Fixture *f = *state = &fix;
	Heartbeat m = {.term = 5, .epoch = 1, .node = 1};
	NodeReport r;

	memcpy(m.hash, f->topo->hash, DORIS_HASH_SIZE);
	memcpy(m.cluster, f->topo->cluster, DORIS_UUID_SIZE);
	fill(f);
	assert_int_equal(control_heartbeat(&f->w, &m, &r, &f->err), DORIS_OK);
	assert_int_equal(r.epoch, 1);
	assert_int_equal(r.rows, 15);
	assert_int_equal(r.vnodes, VNODES - 1);
	m.term = 4;
	assert_int_equal(control_heartbeat(&f->w, &m, &r, &f->err), DORIS_NOT_LEADER);
	m.term = 6;
	m.node = 2;
	assert_int_equal(control_heartbeat(&f->w, &m, &r, &f->err), DORIS_DENIED);
	m.node = 1;
	m.cluster[3] ^= 1;
	assert_int_equal(control_heartbeat(&f->w, &m, &r, &f->err), DORIS_DENIED);
}

/* ---- messages ---- */

static bool send(Fixture *f, uint16_t type, uint64_t epoch, DorisBytes body, DorisBuf *reply,
				 DorisStatus *status)
{
	Envelope e = {.format = DORIS_FORMAT, .type = type, .request = 42, .sender = 9, .epoch = epoch};
	DorisBuf message;
	DorisBytes bytes;
	DorisBytes reply_body;
	DorisBuf scratch;
	DorisCursor c;
	bool answered;

	buf_init(&message);
	buf_init(&scratch);
	assert_int_equal(envelope_write(&f->node->keys, &e, body, &message, &f->err), DORIS_OK);
	bytes.data = message.data;
	bytes.len = message.len;
	answered = dispatch_message(&f->w, bytes, reply);
	if (answered)
	{
		assert_int_equal(envelope_read(&f->node->keys, reply->data, reply->len, &e, &reply_body,
									   &scratch, &f->err),
						 DORIS_OK);
		assert_int_equal(e.type, type | DORIS_REPLY);
		assert_int_equal(e.request, 42);
		assert_int_equal(e.epoch, f->topo->epoch);
		assert_int_equal(e.sender, 1);
		c = cursor_of(reply_body.data, reply_body.len);
		*status = reply_read_status(&c, &f->err);
	}
	buf_free(&message);
	buf_free(&scratch);
	return answered;
}

static void test_messages(void **state)
{
	Fixture *f = *state = &fix;
	DorisBytes none = {NULL, 0};
	DorisBytes noise = bytes_of("this is no body of anything at all");
	DorisBuf reply;
	DorisStatus st;
	uint64_t bad = atomic_load(&f->node->counters[COUNT_BAD]);

	buf_init(&reply);
	assert_true(send(f, MSG_PING, 0, none, &reply, &st));
	assert_int_equal(st, DORIS_OK);
	assert_true(send(f, MSG_STATS, 0, none, &reply, &st));
	assert_int_equal(st, DORIS_OK);
	assert_true(send(f, MSG_HELLO, 0, none, &reply, &st));
	assert_int_equal(st, DORIS_BAD_MESSAGE);
	for (uint16_t type = MSG_HEARTBEAT; type <= MSG_DIGEST; type++)
	{
		assert_true(send(f, type, 1, noise, &reply, &st));
		assert_int_equal(st, DORIS_BAD_MESSAGE);
	}
	assert_true(send(f, MSG_TOPOLOGY_PUT, 1, noise, &reply, &st));
	assert_int_equal(st, DORIS_BAD_MESSAGE);
	/* no envelope: dropped and counted */
	assert_false(dispatch_message(&f->w, noise, &reply));
	assert_false(dispatch_message(&f->w, none, &reply));
	assert_false(send(f, MSG_PING | DORIS_REPLY, 0, none, &reply, &st));
	assert_int_equal(atomic_load(&f->node->counters[COUNT_BAD]), bad + 3);
	buf_free(&reply);
}

static void test_mutated_messages(void **state)
{
	Fixture *f = *state = &fix;
	uint64_t c = stamp_now(f);
	StageRow rows[2];
	uint32_t vnodes[] = {0, 1, 2};
	StageRequest stage_request = {.txn = txn_of(c, 1),
								  .version = version_of(c),
								  .mode = TXN_DECISION,
								  .decision_vnode = 1,
								  .nrows = 2,
								  .rows = rows};
	ScanRequest scan = {.ns = NS, .nvnodes = 3, .vnodes = vnodes, .all_columns = true};
	FinishItem item = {txn_of(c, 1), false, 3, vnodes};
	FinishRequest finish_request = {1, &item};
	DorisBuf bodies[3];
	static const uint16_t types[3] = {MSG_STAGE, MSG_SCAN, MSG_FINISH};
	DorisBuf reply;

	rows[0] = stage_row_of(1, "a", WRITE_INSERT, no_version, "x");
	rows[1] = stage_row_of(2, "b", WRITE_INSERT, no_version, "y");
	buf_init(&reply);
	for (int i = 0; i < 3; i++)
		buf_init(&bodies[i]);
	stage_request_encode(&bodies[0], &stage_request);
	scan_request_encode(&bodies[1], &scan);
	finish_request_encode(&bodies[2], &finish_request);
	srand(11);
	/* damaged in every way: an answer or none, never a crash, and no lock or transaction left behind */
	for (int round = 0; round < 30000; round++)
	{
		int which = rand() % 3;
		uint8_t copy[512];
		size_t len = bodies[which].len;
		DorisBytes body = {copy, len};
		DorisStatus st;

		assert_true(len < sizeof(copy));
		memcpy(copy, bodies[which].data, len);
		for (int k = rand() % 4; k >= 0; k--)
			copy[(size_t) rand() % len] = (uint8_t) rand();
		if (rand() % 4 == 0)
			body.len = (size_t) rand() % len;
		assert_true(send(f, types[which], f->topo->epoch, body, &reply, &st));
		assert_false(f->w.locked);
	}
	for (int i = 0; i < 3; i++)
		buf_free(&bodies[i]);
	buf_free(&reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_scan_pages, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_scan_sample, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_scan_in_order, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_scan_staged_and_filter, fixture_setup,
										fixture_teardown),
		cmocka_unit_test_setup_teardown(test_scan_refusals, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_digest, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_topology_rules, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_leftover_tables, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_dropped_namespace, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_recount, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_heartbeat, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_messages, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_mutated_messages, fixture_setup, fixture_teardown),
	};

	return cmocka_run_group_tests_name("requests", tests, NULL, NULL);
}
