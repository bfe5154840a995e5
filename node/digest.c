/*
 * digest.c: DIGEST: count and digest of the committed rows of whole vnodes (I4); for PURGE, of those with old versions.
 *
 * A row's part: the first 8 bytes, little-endian, of BLAKE2b over u32 length and bytes of the store key, version,
 * u8 deleted, value. It takes the epoch lock only to check: a long reading must not hold up a new
 * topology, and a table that is being read cannot be dropped.
 */
#include "node.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MS 1000 /* of one request; the rest is asked for again (I6) */

uint64_t digest_record(DorisBytes key, const Record *r)
{
	crypto_generichash_state state;
	uint8_t head[4];
	uint8_t mid[13];
	uint8_t hash[crypto_generichash_BYTES_MIN];

	store_little_endian(head, key.len, 4);
	store_little_endian(mid, r->version.clock, 8);
	store_little_endian(mid + 8, r->version.origin, 4);
	mid[12] = r->tombstone ? 1 : 0;
	(void) crypto_generichash_init(&state, NULL, 0, sizeof(hash));
	(void) crypto_generichash_update(&state, head, sizeof(head));
	(void) crypto_generichash_update(&state, key.data, key.len);
	(void) crypto_generichash_update(&state, mid, sizeof(mid));
	(void) crypto_generichash_update(&state, r->value.data, r->value.len);
	(void) crypto_generichash_final(&state, hash, sizeof(hash));
	return load_little_endian(hash, 8);
}

DorisStatus digest_namespaces(Node *n, DigestRange *r, DorisError *err)
{
	const Placement *p;

	if (r->ns != 0)
		return DORIS_OK;
	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	p = n->placement;
	r->nids = p == NULL ? 0 : p->topo->nnamespaces;
	r->ids = malloc((r->nids + 1) * sizeof(*r->ids));
	for (uint32_t i = 0; r->ids != NULL && i < r->nids; i++)
		r->ids[i] = p->namespaces[i]->id;
	(void) pthread_rwlock_unlock(&n->epoch_lock);
	return r->ids == NULL ? doris_error(err, DORIS_NO_MEMORY, "%s: out of memory", node_name(n))
						  : DORIS_OK;
}

void digest_range_free(DigestRange *r)
{
	free(r->ids);
	r->ids = NULL;
	r->nids = 0;
}

/* Rows of namespaces that are gone are deleted by each node in its own time. */
static bool is_there(const DigestRange *r, uint32_t ns)
{
	uint32_t low = 0;
	uint32_t high = r->nids;

	while (low < high)
	{
		uint32_t mid = low + (high - low) / 2;

		if (r->ids[mid] == ns)
			return true;
		if (r->ids[mid] < ns)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

static void add_record(const DigestRange *r, DorisBytes key, const Record *rec, VnodeDigest *out)
{
	for (int i = 0; i < rec->nstaged; i++)
		out->staged += r->below == 0 || rec->staged[i].version.clock < r->below;
	if (!rec->committed || (r->below != 0 && rec->version.clock >= r->below) ||
		(rec->tombstone && rec->version.clock < r->ignore))
		return;
	if (rec->tombstone)
	{
		out->tombstones++;
		if (out->oldest == 0 || rec->version.clock < out->oldest)
			out->oldest = rec->version.clock;
	}
	else
	{
		out->rows++;
		out->bytes += key.len - 5 + rec->value.len;
	}
	out->digest ^= digest_record(key, rec);
}

/* In the open transaction. */
static DorisStatus digest_scan(Worker *w, const DigestRange *r, VnodeDigest *out, DorisError *err)
{
	const StoreDriver *d = w->node->driver;
	uint32_t after = r->ns + 1;
	uint8_t low[5] = {DORIS_SPACE_ROWS, (uint8_t) (r->ns >> 24), (uint8_t) (r->ns >> 16),
					  (uint8_t) (r->ns >> 8), (uint8_t) r->ns};
	uint8_t high[5] = {DORIS_SPACE_ROWS, (uint8_t) (after >> 24), (uint8_t) (after >> 16),
					   (uint8_t) (after >> 8), (uint8_t) after};
	DorisBytes from = {low, sizeof(low)};
	DorisBytes to = {high, sizeof(high)};
	DorisBytes key;
	DorisBytes value;
	uint32_t known_ns = 0;
	bool wanted = true;
	StoreScan *sc;
	DorisStatus st;

	if (r->ns == 0 || r->ns == UINT32_MAX)
	{
		high[0] = DORIS_SPACE_ROWS + 1;
		to.len = 1;
	}
	st = d->scan_once(w->ss, out->vnode, from, to, &sc, err);
	if (st != DORIS_OK)
		return st;
	while ((st = d->next(sc, &key, &value, err)) == DORIS_OK)
	{
		uint8_t space;
		uint32_t ns;
		DorisBytes row_key;

		if (!record_key_split(key, &space, &ns, &row_key) || !record_decode(value, &w->row))
		{
			st = doris_error(err, DORIS_IO, "%s: a record of vnode %u is damaged",
							 node_name(w->node), out->vnode);
			break;
		}
		if (ns != known_ns)
		{
			wanted = r->ns != 0 || is_there(r, ns);
			known_ns = ns;
		}
		if (wanted)
			add_record(r, key, &w->row, out);
	}
	d->scan_close(sc);
	return st == DORIS_NOT_FOUND ? DORIS_OK : st;
}

DorisStatus digest_vnode(Worker *w, const DigestRange *r, VnodeDigest *out, DorisError *err)
{
	DorisStatus st;

	locks_clear(w);
	st = commit_begin(w, err);
	if (st == DORIS_OK)
		st = digest_scan(w, r, out, err);
	commit_abandon(w);
	commit_need_vnode(w, out->vnode);
	return st;
}

/* As the asker's topology has it (I3). */
static DorisStatus check_vnode(Worker *w, uint64_t epoch, uint32_t ns, uint32_t vnode,
							   DorisError *err)
{
	Node *n = w->node;
	const NsDef *def;
	DorisStatus st;

	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	st = epoch_admit(n, epoch, err);
	if (st == DORIS_OK)
		st = epoch_check(n, epoch, vnode, PLACE_TARGET, err);
	if (st == DORIS_OK && ns != 0)
		st = epoch_namespace(n, ns, &def, err);
	if (st == DORIS_OK)
		st = tables_need(w, vnode, err);
	(void) pthread_rwlock_unlock(&n->epoch_lock);
	return st;
}

DorisStatus digest_execute(Worker *w, uint64_t epoch, const DigestRequest *m, DigestReply *out,
						   DorisError *err)
{
	Node *n = w->node;
	DigestRange range = {.ns = m->ns};
	uint64_t until = clock_mono_ms() + MAX_MS;
	DorisStatus st;

	memset(out, 0, sizeof(*out));
	out->vnodes = calloc(m->nvnodes + 1, sizeof(*out->vnodes));
	if (out->vnodes == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory", node_name(n));
	st = digest_namespaces(n, &range, err);
	for (uint32_t i = 0; st == DORIS_OK && i < m->nvnodes && (i == 0 || clock_mono_ms() < until);
		 i++)
	{
		VnodeDigest *v = &out->vnodes[i];

		v->vnode = m->vnodes[i];
		st = check_vnode(w, epoch, m->ns, v->vnode, err);
		if (st != DORIS_OK)
			break;
		v->purged = atomic_load(&n->floors[v->vnode].purged);
		range.ignore = v->purged;
		st = digest_vnode(w, &range, v, err);
		out->n++;
	}
	digest_range_free(&range);
	if (st != DORIS_OK)
		digest_reply_free(out);
	return st;
}
