/*
 * tables.c: the vnodes' tables: made when the node becomes a target, dropped when it is one no more.
 *
 * META has an entry table/<v> (the epoch that created it) for each table in use and drop/<v> for each that is a
 * leftover: written with the topology that made it one, so that a crash does not bring it back (rule leftovers).
 * A leftover is dropped before the vnode may be used again. So is a file without an entry (whoever created it died before it could
 * make one; those of vnodes that go elsewhere are dropped soon after the start), and one that may be of an earlier
 * stay: the node is to get the vnode, and has not seen all epochs since it was to get it before.
 */
#include "node.h"

#include <stdlib.h>
#include <string.h>

static DorisStatus on_table(void *arg, uint32_t vnode, uint64_t epoch, DorisError *err)
{
	Node *n = arg;

	(void) epoch;
	if (vnode >= DORIS_MAX_VNODES)
		return doris_error(err, DORIS_IO, "the store's entry table/%u is damaged", vnode);
	atomic_store(&n->tables[vnode], TABLE_READY);
	return DORIS_OK;
}

static DorisStatus on_drop(void *arg, uint32_t vnode, uint64_t epoch, DorisError *err)
{
	Node *n = arg;

	(void) epoch;
	if (vnode >= DORIS_MAX_VNODES)
		return doris_error(err, DORIS_IO, "the store's entry drop/%u is damaged", vnode);
	atomic_store(&n->tables[vnode], TABLE_DROP);
	return DORIS_OK;
}

DorisStatus tables_load(Worker *w, DorisError *err)
{
	Node *n = w->node;
	DorisStatus st = meta_each_numbered(w, "table/", on_table, n, err);

	if (st == DORIS_OK)
		st = meta_each_numbered(w, "drop/", on_drop, n, err);
	for (uint32_t v = 0; st == DORIS_OK && v < DORIS_MAX_VNODES; v++)
	{
		bool there = true;

		if (atomic_load(&n->tables[v]) != TABLE_READY)
			continue;
		st = n->driver->exists(w->ss, v, &there, err);
		if (st == DORIS_OK && !there)
			st = doris_error(err, DORIS_IO, "the table of vnode %u is missing in %s", v,
							 n->config.home);
	}
	return st;
}

/* With the tables lock held. */
static DorisStatus table_create(Worker *w, uint32_t vnode, DorisError *err)
{
	Node *n = w->node;
	bool there = false;
	DorisStatus st = n->driver->exists(w->ss, vnode, &there, err);

	/* no entry says which epoch created it */
	if (st == DORIS_OK && there)
		st = n->driver->drop(w->ss, vnode, err);
	if (st == DORIS_OK)
		st = n->driver->create(w->ss, vnode, err);
	if (st == DORIS_OK)
		st = meta_put_numbered(w, "table/", vnode, atomic_load(&n->epoch), err);
	if (st == DORIS_OK)
	{
		kept_clear(n, vnode);
		atomic_store(&n->counted[vnode], TALLY_KNOWN);
		atomic_store(&n->tables[vnode], TABLE_READY);
	}
	return st;
}

/* With the tables lock held. */
static DorisStatus table_drop(Worker *w, uint32_t vnode, DorisError *err)
{
	Node *n = w->node;
	bool there;
	DorisStatus st = n->driver->exists(w->ss, vnode, &there, err);

	if (st == DORIS_OK && there)
		st = counters_uncount(w, vnode, err);
	if (st == DORIS_OK)
		st = n->driver->drop(w->ss, vnode, err);
	if (st == DORIS_OK)
		st = meta_del_numbered(w, "table/", vnode, err);
	if (st == DORIS_OK)
		st = meta_del_numbered(w, "drop/", vnode, err);
	if (st == DORIS_OK)
	{
		atomic_store(&n->tables[vnode], TABLE_NONE);
		log_line(LOG_INFO, "dropped the leftover table of vnode %u", vnode);
	}
	return st;
}

DorisStatus tables_need(Worker *w, uint32_t vnode, DorisError *err)
{
	Node *n = w->node;
	DorisStatus st = DORIS_OK;

	if (atomic_load_explicit(&n->tables[vnode], memory_order_acquire) == TABLE_READY)
		return DORIS_OK;
	listener_pass(n->listener);
	(void) pthread_mutex_lock(&n->tables_lock);
	switch ((TableState) atomic_load(&n->tables[vnode]))
	{
		case TABLE_READY:
			break;
		case TABLE_NONE:
			st = table_create(w, vnode, err);
			break;
		case TABLE_DROP:
			st = doris_error(err, DORIS_UNAVAILABLE, "%s still clears an older copy of vnode %u",
							 node_name(n), vnode);
			break;
	}
	(void) pthread_mutex_unlock(&n->tables_lock);
	return st;
}

/*
 * The vnode moves here, its copy has changed, and between the two topologies there are some that this node has not seen: in one
 * of them it may have had no part in the vnode, and rows may have been deleted and forgotten then. What it has of an incomplete
 * copy that others can do without is dropped; one that lost its owner's role by failing is not: hints and a pass bring it on.
 */
static bool may_be_of_earlier_stay(const Node *n, const Placement *old, const Placement *p,
								   uint32_t vnode)
{
	uint32_t node = atomic_load(&n->node_id);

	if (old == NULL || vnode >= old->topo->vnodes || (p->place[vnode] & PLACE_JUDGE) != 0 ||
		memcmp(p->topo->previous, old->topo->hash, DORIS_HASH_SIZE) == 0)
		return false;
	for (uint32_t g = 1; g <= p->topo->groups; g++)
	{
		const TopoCopy *now = topology_copy(p->topo, g, vnode);

		if (now->incoming == node)
			return now->changed != topology_copy(old->topo, g, vnode)->changed;
	}
	return false;
}

static bool is_leftover(const Node *n, const Placement *old, const Placement *p, uint32_t vnode)
{
	return atomic_load(&n->tables[vnode]) == TABLE_READY &&
		   (vnode >= p->topo->vnodes || (p->place[vnode] & PLACE_TARGET) == 0 ||
			may_be_of_earlier_stay(n, old, p, vnode));
}

DorisStatus tables_note_leftovers(Worker *w, const Placement *old, const Placement *p,
								  DorisError *err)
{
	DorisStatus st = DORIS_OK;

	for (uint32_t v = 0; st == DORIS_OK && v < DORIS_MAX_VNODES; v++)
	{
		if (is_leftover(w->node, old, p, v))
			st = meta_put_numbered(w, "drop/", v, p->topo->epoch, err);
	}
	return st;
}

void tables_mark_leftovers(Node *n, const Placement *old, const Placement *p)
{
	for (uint32_t v = 0; v < DORIS_MAX_VNODES; v++)
	{
		if (is_leftover(n, old, p, v))
			atomic_store(&n->tables[v], TABLE_DROP);
	}
}

/* A topology came while the table was being made, and this node has no part in the vnode any more. */
static DorisStatus mark_orphan(Worker *w, uint32_t vnode, DorisError *err)
{
	Node *n = w->node;
	DorisStatus st = DORIS_OK;

	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	(void) pthread_mutex_lock(&n->tables_lock);
	if (is_leftover(n, NULL, n->placement, vnode))
	{
		st = meta_put_numbered(w, "drop/", vnode, n->placement->topo->epoch, err);
		if (st == DORIS_OK)
			atomic_store(&n->tables[vnode], TABLE_DROP);
	}
	(void) pthread_mutex_unlock(&n->tables_lock);
	(void) pthread_rwlock_unlock(&n->epoch_lock);
	return st;
}

/* A file that no entry knows. With the tables lock held. */
static DorisStatus drop_stray(Worker *w, uint32_t vnode, DorisError *err)
{
	bool there = false;
	DorisStatus st = w->node->driver->exists(w->ss, vnode, &there, err);

	if (st != DORIS_OK || !there)
		return st;
	log_line(LOG_INFO, "dropping the file of vnode %u, which was never in use", vnode);
	return w->node->driver->drop(w->ss, vnode, err);
}

DorisStatus tables_settle(Worker *w, uint32_t most, DorisError *err)
{
	Node *n = w->node;
	uint32_t vnodes = 0;
	uint8_t *place = NULL;
	uint32_t done = 0;
	bool busy = false;
	bool look = !atomic_load(&n->no_strays); /* only an end at the wrong moment leaves them */
	DorisStatus st = DORIS_OK;

	/* a copy: creating and dropping may wait for a checkpoint, and a new topology must not wait with it */
	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	if (n->placement != NULL)
	{
		vnodes = n->placement->topo->vnodes;
		place = malloc(vnodes);
		if (place != NULL)
			memcpy(place, n->placement->place, vnodes);
	}
	(void) pthread_rwlock_unlock(&n->epoch_lock);
	if (vnodes > 0 && place == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "creating tables: out of memory");
	for (uint32_t v = 0; v < vnodes && st == DORIS_OK && !atomic_load(&n->stopping); v++)
	{
		TableState state = (TableState) atomic_load(&n->tables[v]);
		bool target = (place[v] & PLACE_TARGET) != 0;

		if (state == TABLE_READY && !target)
			st = mark_orphan(w, v, err);
		if (st != DORIS_OK || (state == TABLE_READY && target) ||
			(state == TABLE_NONE && !target && !look))
			continue;
		/* looking for a stray takes no time; if it counted, those after it would never have their turn */
		if (most > 0 && (target || state != TABLE_NONE) && done++ == most)
		{
			busy = true;
			break;
		}
		(void) pthread_mutex_lock(&n->tables_lock);
		if (atomic_load(&n->tables[v]) == TABLE_DROP)
			st = table_drop(w, v, err);
		if (st == DORIS_OK && atomic_load(&n->tables[v]) == TABLE_NONE)
			st = target ? table_create(w, v, err) : look ? drop_stray(w, v, err) : DORIS_OK;
		(void) pthread_mutex_unlock(&n->tables_lock);
		if (st == DORIS_LIMIT)
		{
			busy = true;
			st = DORIS_OK;
		}
	}
	free(place);
	if (look && vnodes > 0 && st == DORIS_OK && !busy && !atomic_load(&n->stopping))
		atomic_store(&n->no_strays, true);
	return st == DORIS_OK && busy ? DORIS_LIMIT : st;
}
