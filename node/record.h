/*
 * record.h: what a copy stores under a row's key: the committed version and what is staged beside it.
 *
 * u8 format=1, u8 flags (1: has a committed part, 2: that is a tombstone, 4: something is staged), version, varint length and value;
 * u8 number of staged writes, each: transaction id, u8 kind, u8 mode, u32 decision vnode, with TXN_NAMED u16 number of other vnodes and
 * those, u64 expires_ms, base, version, u32 nrows, varint length and value.
 *
 * A Record's values are views into what it was read from.
 */
#ifndef DORIS_NODE_RECORD_H
#define DORIS_NODE_RECORD_H

#include "msg.h"

/* A judging copy holds at most one staged write for each row, one that does not judge yet several. */
#define RECORD_MAX_STAGED 16

#define RECORD_FORMAT 1
#define RECORD_FLAG_COMMITTED 1
#define RECORD_FLAG_TOMBSTONE 2
#define RECORD_FLAG_STAGED 4 /* older ones have it not, but their number of staged writes */

typedef struct RecordStaged
{
	DorisTxnId txn;
	WriteKind kind;
	TxnMode mode;
	uint32_t decision_vnode;
	OtherVnodes others;
	uint64_t expires_ms;
	DorisVersion base;
	DorisVersion version;
	uint32_t nrows; /* TXN_SINGLE: rows of the whole transaction */
	DorisBytes value;
} RecordStaged;

typedef struct Record
{
	bool committed; /* has a committed part; if not, version is none and value empty */
	bool tombstone;
	DorisVersion version;
	DorisBytes value;
	uint8_t nstaged;
	RecordStaged staged[RECORD_MAX_STAGED];
} Record;

extern void record_clear(Record *r);
extern DORIS_MUST_CHECK bool record_decode_any(DorisBytes data, Record *r); /* record_decode's */

/*
 * Nearly all records are of a row with nothing staged beside it, and scans decode millions: those are read in the header. False:
 * another, or a damaged one; then only r->nstaged and what stands before it may have been written to.
 *
 * One byte behind the value is a number of staged writes, 0 by the flags. It is not looked at: where the row's first columns are
 * all that a scan needs, its end would be one more miss of the cache: 3 to 4 % of a sum.
 */
static inline bool record_decode_settled(DorisBytes data, Record *r)
{
	const uint8_t *p = data.data;
	DorisCursor c;

	if (data.len < 3 || p[0] != RECORD_FORMAT || p[1] != RECORD_FLAG_COMMITTED)
		return false;
	c = cursor_of(p + 2, data.len - 3);
	r->committed = true;
	r->tombstone = false;
	r->version = cursor_version(&c);
	r->value = cursor_bytes(&c);
	r->nstaged = 0;
	return cursor_at_end(&c);
}

/* False: not a record (the store is damaged). */
static inline DORIS_MUST_CHECK bool record_decode(DorisBytes data, Record *r)
{
	return record_decode_settled(data, r) || record_decode_any(data, r);
}
extern void record_encode(DorisBuf *b, const Record *r); /* appends; check b->failed */
/* Nothing committed, nothing staged: the key can go. */
static inline bool record_is_empty(const Record *r)
{
	return !r->committed && r->nstaged == 0;
}
/* A committed row that is not a tombstone. */
static inline bool record_is_live(const Record *r)
{
	return r->committed && !r->tombstone;
}
/* The staged write of a transaction; -1: none. */
extern int record_find_staged(const Record *r, DorisTxnId txn);
extern void record_remove_staged(Record *r, int i);
/*
 * Applies a committed write by I4: the higher version stays; tie: delete wins, then the larger bytes. False: what
 * is there stays.
 */
extern bool record_apply(Record *r, DorisVersion version, bool deleted, DorisBytes value);
/* Applies staged write i as committed and takes it off. */
extern void record_commit_staged(Record *r, int i);

/* Keys in a vnode's table: u8 space, for rows u32 namespace id (big-endian), then the key. */
extern void record_key(DorisBuf *b, uint8_t space, uint32_t ns, DorisBytes key); /* appends */
/* Takes a stored key apart. False: not one. */
extern DORIS_MUST_CHECK bool record_key_split(DorisBytes stored, uint8_t *space, uint32_t *ns,
											  DorisBytes *key);

#endif
