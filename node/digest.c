/*
 * digest.c: DIGEST: count and digest of the committed rows of whole vnodes (I4).
 *
 * A row's part: the first 8 bytes, little-endian, of BLAKE2b over u32 length and bytes of the store key, version,
 * u8 deleted, value. It takes the epoch lock only to check: a long reading must not hold up a new
 * topology, and a table that is being read cannot be dropped.
 */
#include "node.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static uint64_t row_digest(DorisBytes key, const Record *r)
{
	crypto_generichash_state state;
	uint8_t head[4] = {(uint8_t) key.len, (uint8_t) (key.len >> 8), (uint8_t) (key.len >> 16),
					   (uint8_t) (key.len >> 24)};
	uint8_t mid[13];
	uint8_t hash[crypto_generichash_BYTES_MIN];
	uint64_t out = 0;

	for (int i = 0; i < 8; i++)
		mid[i] = (uint8_t) (r->version.clock >> (8 * i));
	for (int i = 0; i < 4; i++)
		mid[8 + i] = (uint8_t) (r->version.origin >> (8 * i));
	mid[12] = r->tombstone ? 1 : 0;
	(void) crypto_generichash_init(&state, NULL, 0, sizeof(hash));
	(void) crypto_generichash_update(&state, head, sizeof(head));
	(void) crypto_generichash_update(&state, key.data, key.len);
	(void) crypto_generichash_update(&state, mid, sizeof(mid));
	(void) crypto_generichash_update(&state, r->value.data, r->value.len);
	(void) crypto_generichash_final(&state, hash, sizeof(hash));
	for (int i = 0; i < 8; i++)
		out |= (uint64_t) hash[i] << (8 * i);
	return out;
}

static DorisStatus digest_vnode(Worker *w, uint32_t ns, VnodeDigest *out, DorisError *err)
{
	const StoreDriver *d = w->node->driver;
	uint8_t low[5] = {DORIS_SPACE_ROWS, (uint8_t) (ns >> 24), (uint8_t) (ns >> 16),
					  (uint8_t) (ns >> 8), (uint8_t) ns};
	uint32_t after = ns + 1;
	uint8_t high[5] = {DORIS_SPACE_ROWS, (uint8_t) (after >> 24), (uint8_t) (after >> 16),
					   (uint8_t) (after >> 8), (uint8_t) after};
	DorisBytes from = {low, sizeof(low)};
	DorisBytes to = {high, sizeof(high)};
	DorisBytes key;
	DorisBytes value;
	StoreScan *sc;
	DorisStatus st;

	if (ns == 0 || ns == UINT32_MAX)
	{
		high[0] = DORIS_SPACE_ROWS + 1;
		to.len = 1;
	}
	st = d->scan(w->ss, out->vnode, from, to, &sc, err);
	if (st != DORIS_OK)
		return st;
	while ((st = d->next(sc, &key, &value, err)) == DORIS_OK)
	{
		const Record *r = &w->row;

		if (!record_decode(value, &w->row))
		{
			st = doris_error(err, DORIS_IO, "%s: a record of vnode %u is damaged",
							 node_name(w->node), out->vnode);
			break;
		}
		out->staged += r->nstaged;
		if (!r->committed)
			continue;
		if (r->tombstone)
			out->tombstones++;
		else
		{
			out->rows++;
			out->bytes += key.len - 5 + r->value.len;
		}
		out->digest ^= row_digest(key, r);
	}
	d->scan_close(sc);
	commit_need_vnode(w, out->vnode);
	return st == DORIS_NOT_FOUND ? DORIS_OK : st;
}

DorisStatus digest_execute(Worker *w, uint64_t epoch, const DigestRequest *m, DigestReply *out,
						   DorisError *err)
{
	Node *n = w->node;
	DorisStatus st = DORIS_OK;

	memset(out, 0, sizeof(*out));
	out->vnodes = calloc(m->nvnodes + 1, sizeof(*out->vnodes));
	if (out->vnodes == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory", node_name(n));
	for (uint32_t i = 0; st == DORIS_OK && i < m->nvnodes; i++)
	{
		const NsDef *def;

		(void) pthread_rwlock_rdlock(&n->epoch_lock);
		st = epoch_admit(n, epoch, err);
		if (st == DORIS_OK)
			st = epoch_check(n, epoch, m->vnodes[i], PLACE_TARGET, err);
		if (st == DORIS_OK && m->ns != 0)
			st = epoch_namespace(n, m->ns, &def, err);
		if (st == DORIS_OK)
			st = tables_need(w, m->vnodes[i], err);
		(void) pthread_rwlock_unlock(&n->epoch_lock);
		if (st != DORIS_OK)
			break;
		out->vnodes[i].vnode = m->vnodes[i];
		locks_clear(w);
		st = commit_begin(w, err);
		if (st == DORIS_OK)
			st = digest_vnode(w, m->ns, &out->vnodes[i], err);
		commit_abandon(w);
		out->n++;
	}
	if (st != DORIS_OK)
		digest_reply_free(out);
	return st;
}
