/*
 * test_node_bodies.h: bodies of messages that log nodes keep, for the tests of both sides.
 */
#ifndef TEST_NODE_BODIES_H
#define TEST_NODE_BODIES_H

#include "hints.h"
#include "test_node_fixture.h"

static inline DorisBytes view(const DorisBuf *b)
{
	DorisBytes v = {b->data, b->len};

	assert_false(b->failed);
	return v;
}

static inline void put_stage(DorisBuf *b, DorisTxnId txn, uint64_t clock, TxnMode mode,
							 StageRow *rows, uint32_t n)
{
	StageRequest m = {.txn = txn,
					  .version = version_of(clock),
					  .mode = mode,
					  .expires_ms = clock_wall_ms() + 1000,
					  .nrows = n,
					  .rows = rows};

	buf_reset(b);
	stage_request_encode(b, &m);
}

static inline void put_apply(DorisBuf *b, uint32_t vnode, const char *key, DorisVersion version,
							 const char *value, bool from_client)
{
	ApplyRow row = {{DORIS_SPACE_ROWS, NS, vnode, bytes_of(key)}, false, version, bytes_of(value)};
	ApplyRequest m = {.from_client = from_client, .nrows = 1, .rows = &row};

	buf_reset(b);
	apply_request_encode(b, &m);
}

static inline void put_finish(DorisBuf *b, DorisTxnId txn, bool commit, uint32_t vnode)
{
	uint32_t vnodes[1] = {vnode};
	FinishItem item = {txn, commit, 1, vnodes};
	FinishRequest m = {1, &item};

	buf_reset(b);
	finish_request_encode(b, &m);
}

/* A record as it is stored, whoever may read it. */
static inline Record stored(Fixture *f, uint32_t vnode, const char *key)
{
	DorisBytes k;

	buf_reset(&f->w.key);
	record_key(&f->w.key, DORIS_SPACE_ROWS, NS, bytes_of(key));
	k = view(&f->w.key);
	assert_int_equal(rows_load(&f->w, vnode, k, &f->w.row, &f->err), DORIS_OK);
	return f->w.row;
}

#endif
