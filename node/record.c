/*
 * record.c: encoding, decoding and merging of what a copy stores for a row.
 */
#include "record.h"

#include <string.h>

void record_clear(Record *r)
{
	/* the staged slots above nstaged are never read */
	memset(r, 0, offsetof(Record, staged));
}

static void read_others(DorisCursor *c, RecordStaged *s)
{
	uint16_t n = s->mode == TXN_NAMED ? cursor_u16(c) : 0;

	if (n > DORIS_MAX_OTHERS)
		c->bad = true;
	s->others.n = 0;
	while (s->others.n < n && !c->bad)
		s->others.vnodes[s->others.n++] = cursor_u16(c);
}

bool record_decode_any(DorisBytes data, Record *r)
{
	DorisCursor c = cursor_of(data.data, data.len);
	uint8_t format = cursor_u8(&c);
	uint8_t flags = cursor_u8(&c);

	record_clear(r);
	r->committed = (flags & RECORD_FLAG_COMMITTED) != 0;
	r->tombstone = (flags & RECORD_FLAG_TOMBSTONE) != 0;
	r->version = cursor_version(&c);
	r->value = cursor_bytes(&c);
	r->nstaged = cursor_u8(&c);
	if (c.bad || format != RECORD_FORMAT || r->nstaged > RECORD_MAX_STAGED ||
		(r->nstaged == 0 && (flags & RECORD_FLAG_STAGED) != 0))
	{
		r->nstaged = 0;
		return false;
	}
	for (int i = 0; i < r->nstaged; i++)
	{
		RecordStaged *s = &r->staged[i];

		s->txn = cursor_txnid(&c);
		s->kind = (WriteKind) cursor_u8(&c);
		s->mode = (TxnMode) cursor_u8(&c);
		s->decision_vnode = cursor_u32(&c);
		read_others(&c, s);
		s->expires_ms = cursor_u64(&c);
		s->base = cursor_version(&c);
		s->version = cursor_version(&c);
		s->nrows = cursor_u32(&c);
		s->value = cursor_bytes(&c);
	}
	return cursor_at_end(&c);
}

void record_encode(DorisBuf *b, const Record *r)
{
	size_t need = 32 + r->value.len;

	for (int i = 0; i < r->nstaged; i++)
		need += 80 + sizeof(OtherVnodes) + r->staged[i].value.len;
	if (!buf_reserve(b, need))
		return;
	buf_put_u8(b, RECORD_FORMAT);
	buf_put_u8(b, (uint8_t) ((r->committed ? RECORD_FLAG_COMMITTED : 0) |
							 (r->committed && r->tombstone ? RECORD_FLAG_TOMBSTONE : 0) |
							 (r->nstaged > 0 ? RECORD_FLAG_STAGED : 0)));
	buf_put_version(b, r->version);
	buf_put_view(b, r->value);
	buf_put_u8(b, r->nstaged);
	for (int i = 0; i < r->nstaged; i++)
	{
		const RecordStaged *s = &r->staged[i];

		buf_put_txnid(b, s->txn);
		buf_put_u8(b, (uint8_t) s->kind);
		buf_put_u8(b, (uint8_t) s->mode);
		buf_put_u32(b, s->decision_vnode);
		for (int k = 0; s->mode == TXN_NAMED && k <= s->others.n; k++)
			buf_put_u16(b, k == 0 ? s->others.n : s->others.vnodes[k - 1]);
		buf_put_u64(b, s->expires_ms);
		buf_put_version(b, s->base);
		buf_put_version(b, s->version);
		buf_put_u32(b, s->nrows);
		buf_put_view(b, s->value);
	}
}

int record_find_staged(const Record *r, DorisTxnId txn)
{
	for (int i = 0; i < r->nstaged; i++)
	{
		if (txnid_compare(r->staged[i].txn, txn) == 0)
			return i;
	}
	return -1;
}

void record_remove_staged(Record *r, int i)
{
	memmove(&r->staged[i], &r->staged[i + 1], (size_t) (r->nstaged - i - 1) * sizeof(r->staged[0]));
	r->nstaged--;
}

bool record_apply(Record *r, DorisVersion version, bool deleted, DorisBytes value)
{
	if (r->committed)
	{
		int c = version_compare(version, r->version);

		if (c < 0)
			return false;
		if (c == 0)
		{
			if (r->tombstone)
				return false;
			if (!deleted && bytes_compare(value, r->value) <= 0)
				return false;
		}
	}
	r->committed = true;
	r->tombstone = deleted;
	r->version = version;
	r->value = value;
	if (deleted)
		r->value.len = 0;
	return true;
}

void record_commit_staged(Record *r, int i)
{
	RecordStaged s = r->staged[i];

	record_remove_staged(r, i);
	(void) record_apply(r, s.version, s.kind == WRITE_DELETE, s.value);
}

void record_key(DorisBuf *b, uint8_t space, uint32_t ns, DorisBytes key)
{
	uint8_t head[5] = {space, (uint8_t) (ns >> 24), (uint8_t) (ns >> 16), (uint8_t) (ns >> 8),
					   (uint8_t) ns};

	buf_put_raw(b, head, space == DORIS_SPACE_ROWS ? 5 : 1);
	buf_put_raw(b, key.data, key.len);
}

bool record_key_split(DorisBytes stored, uint8_t *space, uint32_t *ns, DorisBytes *key)
{
	const uint8_t *p = stored.data;
	size_t head = 1;

	if (stored.len < 1)
		return false;
	*space = p[0];
	*ns = 0;
	if (*space == DORIS_SPACE_ROWS)
	{
		if (stored.len < 5)
			return false;
		*ns = (uint32_t) load_big_endian(p + 1, 4);
		head = 5;
	}
	key->data = p + head;
	key->len = stored.len - head;
	return true;
}
