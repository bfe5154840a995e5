/*
 * purge.c: tombstones that go (rule purge); why this is safe: docs/decisions/0008-purge.md.
 *
 * Each vnode has a floor of two clocks, in META and in memory. Nothing new whose version is behind the *fence* is taken: no
 * STAGE, plain write, hint. Tombstones behind *purged* may be gone here, so whoever compares copies leaves them out, a
 * staged write behind it is never applied, and a copy that is made complete drops what it has behind it and its source has not.
 *
 * PURGE, from whoever coordinates: FENCE raises the fence and then tells what is behind it; when all owners have
 * told the same, RELEASE raises `purged`. Each step is refused unless this node's own topology calls all copies of the vnode
 * complete and at rest. A floor is written together with everything else under the vnode's lock, and is on disk before it is told.
 */
#include "node.h"

#include <stdlib.h>
#include <string.h>

#define STEP_KEYS 500 /* tombstones deleted in one store transaction */
#define STEP_MS 10	  /* of looking for them */
#define ADOPT_TRIES 10

DorisStatus purge_open(Node *n, DorisError *err)
{
	n->floors = calloc(DORIS_MAX_VNODES, sizeof(*n->floors));
	if (n->floors == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory");
	return DORIS_OK;
}

void purge_close(Node *n)
{
	free(n->floors);
	n->floors = NULL;
}

static DorisStatus load_fence(void *arg, uint32_t vnode, uint64_t clock, DorisError *err)
{
	Node *n = arg;

	if (vnode >= DORIS_MAX_VNODES)
		return doris_error(err, DORIS_IO, "the store's entry fence/%u is damaged", vnode);
	atomic_store(&n->floors[vnode].fence, clock);
	return DORIS_OK;
}

static DorisStatus load_purged(void *arg, uint32_t vnode, uint64_t clock, DorisError *err)
{
	Node *n = arg;

	if (vnode >= DORIS_MAX_VNODES)
		return doris_error(err, DORIS_IO, "the store's entry purged/%u is damaged", vnode);
	atomic_store(&n->floors[vnode].purged, clock);
	atomic_store(&n->floors[vnode].due, 1);
	return DORIS_OK;
}

DorisStatus purge_load(Worker *w, DorisError *err)
{
	DorisStatus st = meta_each_numbered(w, "fence/", load_fence, w->node, err);

	return st == DORIS_OK ? meta_each_numbered(w, "purged/", load_purged, w->node, err) : st;
}

/* ---- what the floor means for writes ---- */

bool purge_refuses(const Node *n, uint32_t vnode, uint8_t space, DorisVersion version)
{
	return space == DORIS_SPACE_ROWS && version.clock < atomic_load(&n->floors[vnode].fence);
}

bool purge_is_behind(const Node *n, uint32_t vnode, uint8_t space, DorisVersion version)
{
	return space == DORIS_SPACE_ROWS && version.clock < atomic_load(&n->floors[vnode].purged);
}

void purge_commit_staged(const Node *n, uint32_t vnode, uint8_t space, Record *r, int i)
{
	if (purge_is_behind(n, vnode, space, r->staged[i].version))
		record_remove_staged(r, i);
	else
		record_commit_staged(r, i);
}

/* ---- changing it ---- */

/* raise: it is never lowered. With the epoch lock held for reading, and no vnode lock. CONFLICT: again. */
static DorisStatus set_floor(Worker *w, uint32_t vnode, bool raise, uint64_t fence, uint64_t purged,
							 DorisError *err)
{
	Floor *f = &w->node->floors[vnode];
	uint64_t old;
	DorisStatus st;

	locks_clear(w);
	locks_add(w, vnode);
	locks_take(w);
	old = atomic_load(&f->fence);
	if (raise && fence < old)
		fence = old;
	if (raise && purged < atomic_load(&f->purged))
		purged = atomic_load(&f->purged);
	st = commit_begin(w, err);
	if (st == DORIS_OK && fence != old)
		st = meta_put_numbered(w, "fence/", vnode, fence, err);
	if (st == DORIS_OK && purged != atomic_load(&f->purged))
		st = meta_put_numbered(w, "purged/", vnode, purged, err);
	if (st != DORIS_OK)
	{
		commit_abandon(w);
		return st;
	}
	/* before the lock goes: who comes next must meet it. One that is higher than on disk only refuses more. */
	atomic_store(&f->fence, fence);
	st = commit_end(w, false, NULL, err);
	if (st != DORIS_OK)
	{
		if (old > fence)
			atomic_store(&f->fence, old);
		return st;
	}
	atomic_store(&f->purged, purged);
	if (purged > 0)
		atomic_store(&f->due, 1);
	return DORIS_OK;
}

DorisStatus purge_adopt(Worker *w, uint32_t vnode, uint64_t changed, uint64_t fence,
						uint64_t purged, DorisError *err)
{
	Node *n = w->node;
	const Floor *f = &n->floors[vnode];
	DorisStatus st = DORIS_CONFLICT;

	/* what the pass brings may be behind it */
	if (purged > 0)
		atomic_store(&n->floors[vnode].due, 1);
	if (atomic_load(&f->fence) == fence && atomic_load(&f->purged) == purged)
		return DORIS_OK;
	for (int tries = 0; tries < ADOPT_TRIES && st == DORIS_CONFLICT; tries++)
	{
		const Placement *p;

		(void) pthread_rwlock_rdlock(&n->epoch_lock);
		p = n->placement;
		if (p == NULL || vnode >= p->topo->vnodes || p->changed[vnode] != changed ||
			(p->place[vnode] & PLACE_RECOVER) == 0)
			st = doris_error(err, DORIS_STALE_EPOCH, "%s: the placement of vnode %u has changed",
							 node_name(n), vnode);
		else
			st = set_floor(w, vnode, false, fence, purged, err);
		(void) pthread_rwlock_unlock(&n->epoch_lock);
	}
	return st;
}

/* ---- PURGE ---- */

/* Every copy of the vnode complete, its node up, and none on the move. With the epoch lock held. */
static bool is_at_rest(const Node *n, uint32_t vnode)
{
	const Topology *t = n->placement->topo;

	for (uint32_t g = 1; g <= t->groups; g++)
	{
		const TopoCopy *c = topology_copy(t, g, vnode);
		const TopoNode *owner = topology_node(t, c->owner);

		if (!c->complete || c->incoming != 0 || c->retiring != 0 || owner == NULL ||
			owner->condition != NODE_UP)
			return false;
	}
	return true;
}

static DorisStatus step(Worker *w, uint64_t epoch, const PurgeRequest *m, PurgeResult *out,
						DorisError *err)
{
	Node *n = w->node;
	DorisStatus st = epoch_admit(n, epoch, err);
	const Floor *f = &n->floors[m->vnode];

	*out = PURGE_DONE;
	if (st == DORIS_OK)
		st = epoch_check(n, epoch, m->vnode, PLACE_JUDGE, err);
	if (st == DORIS_OK)
		st = tables_need(w, m->vnode, err);
	if (st != DORIS_OK)
		return st;
	if (!is_at_rest(n, m->vnode))
		*out = PURGE_UNREST;
	else if (clock_ms_of(m->upto) > atomic_load(&n->horizon_ms))
		*out = PURGE_YOUNG;
	else if (m->step == PURGE_RELEASE && atomic_load(&f->fence) < m->upto)
		*out = PURGE_UNFENCED;
	else if (m->step == PURGE_FENCE && atomic_load(&f->fence) < m->upto)
		st = set_floor(w, m->vnode, true, m->upto, 0, err);
	else if (m->step == PURGE_RELEASE && atomic_load(&f->purged) < m->upto)
		st = set_floor(w, m->vnode, true, 0, m->upto, err);
	return st;
}

/* What is here behind the fence. Nothing new comes there any more: what is not told now never will be. */
static DorisStatus sum_up(Worker *w, const PurgeRequest *m, PurgeReply *out, DorisError *err)
{
	DigestRange range = {.below = m->upto, .ignore = m->ignore};
	VnodeDigest sum = {.vnode = m->vnode};
	DorisStatus st = digest_namespaces(w->node, &range, err);

	if (st == DORIS_OK)
		st = digest_vnode(w, &range, &sum, err);
	digest_range_free(&range);
	out->records = sum.rows + sum.tombstones;
	out->tombstones = sum.tombstones;
	out->staged = sum.staged;
	out->digest = sum.digest;
	return st;
}

DorisStatus purge_execute(Worker *w, uint64_t epoch, const PurgeRequest *m, PurgeReply *out,
						  DorisError *err)
{
	Node *n = w->node;
	DorisStatus st;

	memset(out, 0, sizeof(*out));
	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	st = step(w, epoch, m, &out->result, err);
	(void) pthread_rwlock_unlock(&n->epoch_lock);
	/* whatever the cluster's sync: others build on it */
	if (st == DORIS_OK && out->result == PURGE_DONE)
		st = commit_flush_all(w, err);
	if (st == DORIS_OK && out->result == PURGE_DONE && m->step == PURGE_FENCE)
		st = sum_up(w, m, out, err);
	if (st == DORIS_OK)
		out->purged = atomic_load(&n->floors[m->vnode].purged);
	return st;
}

/* ---- deleting ---- */

typedef enum Doomed
{
	DOOMED_TOMBSTONE, /* what is purged */
	DOOMED_ANYTHING	  /* committed here, and a source that has purged so far does not have it */
} Doomed;

/*
 * Takes the committed part off those of the records (a run of bytes store key) that are behind `purged`, in one store
 * transaction. *skipped: one has a staged write. The caller has the vnode's lock; it is released.
 */
static DorisStatus delete_keys(Worker *w, uint32_t vnode, DorisBytes keys, uint64_t purged,
							   Doomed which, bool *skipped, DorisError *err)
{
	DorisCursor c = cursor_of(keys.data, keys.len);
	Record *r = &w->row;
	uint32_t deleted = 0;
	DorisStatus st = commit_begin(w, err);

	while (st == DORIS_OK && cursor_left(&c) > 0)
	{
		DorisBytes key = cursor_bytes(&c);

		st = rows_load(w, vnode, key, r, err);
		if (st != DORIS_OK || !r->committed || r->version.clock >= purged ||
			(which == DOOMED_TOMBSTONE && !r->tombstone))
			continue;
		if (which == DOOMED_TOMBSTONE && r->nstaged > 0)
		{
			*skipped = true;
			continue;
		}
		r->committed = r->tombstone = false;
		memset(&r->version, 0, sizeof(r->version));
		r->value.len = 0;
		st = rows_save(w, vnode, key, r, err);
		deleted++;
	}
	if (st != DORIS_OK || deleted == 0)
	{
		commit_abandon(w);
		return st;
	}
	node_count(w->node, which == DOOMED_TOMBSTONE ? COUNT_TOMBSTONES : COUNT_RETURNED, deleted);
	return commit_end(w, false, NULL, err);
}

DorisStatus purge_drop(Worker *w, uint32_t vnode, uint64_t changed, DorisBytes keys,
					   DorisError *err)
{
	Node *n = w->node;
	DorisStatus st = DORIS_CONFLICT;
	bool skipped;

	for (int tries = 0; tries < ADOPT_TRIES && st == DORIS_CONFLICT; tries++)
	{
		const Placement *p;

		(void) pthread_rwlock_rdlock(&n->epoch_lock);
		p = n->placement;
		if (p->changed[vnode] != changed || (p->place[vnode] & PLACE_RECOVER) == 0)
			st = doris_error(err, DORIS_STALE_EPOCH, "%s: the placement of vnode %u has changed",
							 node_name(n), vnode);
		else
		{
			locks_clear(w);
			locks_add(w, vnode);
			locks_take(w);
			st = delete_keys(w, vnode, keys, atomic_load(&n->floors[vnode].purged), DOOMED_ANYTHING,
							 &skipped, err);
		}
		(void) pthread_rwlock_unlock(&n->epoch_lock);
	}
	return st;
}

/* Looks for some from p->from on. *done: the vnode's end was reached. */
static DorisStatus find_tombstones(Worker *w, PurgeWalk *p, DorisBuf *keys, bool *done,
								   DorisError *err)
{
	const StoreDriver *d = w->node->driver;
	uint64_t purged = atomic_load(&w->node->floors[p->vnode].purged);
	uint64_t until = clock_mono_ms() + STEP_MS;
	static const uint8_t first[1] = {DORIS_SPACE_ROWS};
	static const uint8_t last[1] = {DORIS_SPACE_ROWS + 1};
	DorisBytes low = {first, sizeof(first)};
	DorisBytes high = {last, sizeof(last)};
	DorisBytes key = {NULL, 0};
	DorisBytes value;
	StoreScan *sc;
	uint32_t found = 0;
	uint32_t looked = 0;
	DorisStatus st;

	if (p->from.len > 0)
		low = (DorisBytes){p->from.data, p->from.len};
	locks_clear(w);
	st = commit_begin(w, err);
	if (st == DORIS_OK)
		st = d->scan_once(w->ss, p->vnode, low, high, &sc, err);
	if (st != DORIS_OK)
	{
		commit_abandon(w);
		return st;
	}
	while ((st = d->next(sc, &key, &value, err)) == DORIS_OK)
	{
		if (found == STEP_KEYS || (++looked % 64 == 0 && clock_mono_ms() > until))
			break;
		if (!record_decode(value, &w->row))
		{
			st = doris_error(err, DORIS_IO, "%s: a record of vnode %u is damaged",
							 node_name(w->node), p->vnode);
			break;
		}
		if (w->row.committed && w->row.tombstone && w->row.version.clock < purged)
		{
			buf_put_view(keys, key);
			found++;
		}
	}
	*done = st == DORIS_NOT_FOUND;
	buf_reset(&p->from);
	if (st == DORIS_OK)
		buf_put_raw(&p->from, key.data, key.len);
	d->scan_close(sc);
	commit_abandon(w);
	if (st == DORIS_NOT_FOUND)
		st = DORIS_OK;
	if (keys->failed || p->from.failed)
		st = doris_error(err, DORIS_NO_MEMORY, "purging tombstones: out of memory");
	return st;
}

static DorisStatus purge_some(Worker *w, PurgeWalk *p, bool *done, DorisError *err)
{
	DorisBuf keys;
	DorisStatus st;

	buf_init(&keys);
	st = find_tombstones(w, p, &keys, done, err);
	if (st == DORIS_OK && keys.len > 0)
	{
		DorisBytes list = {keys.data, keys.len};

		locks_clear(w);
		locks_add(w, p->vnode);
		locks_take(w);
		st = delete_keys(w, p->vnode, list, atomic_load(&w->node->floors[p->vnode].purged),
						 DOOMED_TOMBSTONE, &p->skipped, err);
		/* those that were missed are found in the next round */
		if (st == DORIS_CONFLICT)
		{
			p->skipped = true;
			st = DORIS_OK;
		}
	}
	buf_free(&keys);
	return st;
}

DorisStatus purge_tombstones(Worker *w, PurgeWalk *p, int ms, DorisError *err)
{
	Node *n = w->node;
	uint64_t until = clock_mono_ms() + (uint64_t) ms;
	DorisStatus st = DORIS_OK;

	for (uint32_t i = 0; st == DORIS_OK && i < DORIS_MAX_VNODES && clock_mono_ms() < until; i++)
	{
		Floor *f = &n->floors[p->vnode];
		bool done = true;

		if (p->from.len == 0)
		{
			p->skipped = false;
			/* taken off first: whoever raises the floor meanwhile sets it again */
			if (atomic_exchange(&f->due, 0) == 0)
			{
				p->vnode = (p->vnode + 1) % DORIS_MAX_VNODES;
				continue;
			}
		}
		if (atomic_load(&n->tables[p->vnode]) == TABLE_READY)
			do
				st = purge_some(w, p, &done, err);
			while (st == DORIS_OK && !done && clock_mono_ms() < until);
		if (st != DORIS_OK || p->skipped)
			atomic_store(&f->due, 1);
		if (st != DORIS_OK || done)
		{
			buf_reset(&p->from);
			p->vnode = (p->vnode + 1) % DORIS_MAX_VNODES;
		}
	}
	return st;
}

void purge_walk_free(PurgeWalk *p)
{
	buf_free(&p->from);
}
