/*
 * epoch.c: the topology this node goes by, and what it allows (I3).
 *
 * Workers hold the epoch lock for reading from the check of a request's epoch until its store transaction is
 * committed. Taking a topology holds it for writing: so every request admitted under the old one is finished, then
 * the new one is persisted and put in force, and only then acknowledged. A node never goes back.
 */
#include "node.h"

#include <stdlib.h>
#include <string.h>

void placement_free(Placement *p)
{
	if (p == NULL)
		return;
	topology_unref(p->topo);
	free(p->changed);
	free(p->place);
	free(p->namespaces);
	free(p);
}

static int by_id(const void *a, const void *b)
{
	const NsDef *x = *(const NsDef *const *) a;
	const NsDef *y = *(const NsDef *const *) b;

	return (x->id > y->id) - (x->id < y->id);
}

/* Is the node to own a complete copy of v that it has not yet: its own, or one that moves to it? */
static uint8_t place_to_recover(const Topology *t, uint32_t node, uint32_t v)
{
	for (uint32_t g = 1; g <= t->groups; g++)
	{
		const TopoCopy *c = topology_copy(t, g, v);

		if (c->incoming == node)
			return PLACE_RECOVER | PLACE_MOVING;
		if (c->owner == node && !c->complete)
			return PLACE_RECOVER;
	}
	return 0;
}

DorisStatus placement_make(Topology *t, uint32_t node, Placement **out, DorisError *err)
{
	Placement *p = calloc(1, sizeof(*p));
	const TopoNode *me;

	*out = NULL;
	if (p != NULL)
	{
		p->changed = calloc(t->vnodes, sizeof(*p->changed));
		p->place = calloc(t->vnodes, sizeof(*p->place));
		p->namespaces = calloc(t->nnamespaces + 1, sizeof(*p->namespaces));
	}
	if (p == NULL || p->changed == NULL || p->place == NULL || p->namespaces == NULL)
	{
		placement_free(p);
		return doris_error(err, DORIS_NO_MEMORY, "taking a topology: out of memory");
	}
	p->topo = topology_ref(t);
	me = topology_node(t, node);
	for (uint32_t v = 0; v < t->vnodes; v++)
	{
		p->changed[v] = topology_changed(t, v);
		if (topology_is_target(t, node, v))
		{
			p->place[v] |= PLACE_TARGET;
			p->targets++;
		}
		if (topology_is_judge(t, node, v))
			p->place[v] |= PLACE_JUDGE;
		else if (me != NULL && me->condition == NODE_UP)
			p->place[v] |= place_to_recover(t, node, v);
	}
	for (uint32_t i = 0; i < t->nnamespaces; i++)
		p->namespaces[i] = &t->namespaces[i];
	qsort(p->namespaces, t->nnamespaces, sizeof(*p->namespaces), by_id);
	p->dead = me != NULL && me->condition == NODE_DEAD;
	*out = p;
	return DORIS_OK;
}

DorisStatus epoch_admit(const Node *n, uint64_t epoch, DorisError *err)
{
	const Placement *p = n->placement;

	if (p == NULL)
	{
		(void) doris_error(err, DORIS_UNAVAILABLE, "%s has no topology yet", node_name(n));
		return doris_hint(err, "It waits for an admin to register it and to send one.");
	}
	if (p->dead)
	{
		(void) doris_error(err, DORIS_DENIED, "%s is dead: it was replaced or removed",
						   node_name(n));
		return doris_hint(err, "Its data is on other nodes; delete its home.");
	}
	/* also while it starts: the topology it is handed may be the one that it waits for */
	if (epoch > p->topo->epoch)
		return doris_error(err, DORIS_BEHIND, "%s has epoch %llu, the request has %llu",
						   node_name(n), (unsigned long long) p->topo->epoch,
						   (unsigned long long) epoch);
	/* rule start: an admin has compared what is here with what was acknowledged */
	if (!p->named || !atomic_load(&n->serving))
		return doris_error(err, DORIS_UNAVAILABLE, "%s is starting", node_name(n));
	return DORIS_OK;
}

bool epoch_stale(const Node *n, uint64_t epoch, uint32_t vnode)
{
	return vnode >= n->placement->topo->vnodes || epoch < n->placement->changed[vnode];
}

/* Also a copy that is being made complete judges, from a step on (rule complete). It serves no reads (I2). */
bool epoch_judges(const Node *n, uint32_t vnode)
{
	return (n->placement->place[vnode] & PLACE_JUDGE) != 0 ||
		   atomic_load(&n->recovery.state[vnode]) >= COPY_JUDGING;
}

bool epoch_is_named(Node *n)
{
	bool named;

	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	named = n->placement != NULL && n->placement->named;
	(void) pthread_rwlock_unlock(&n->epoch_lock);
	return named;
}

DorisStatus epoch_check(const Node *n, uint64_t epoch, uint32_t vnode, uint8_t place,
						DorisError *err)
{
	const Placement *p = n->placement;

	if (vnode >= p->topo->vnodes)
		return doris_error(err, DORIS_BAD_MESSAGE, "%s: vnode %u, but the cluster has %u",
						   node_name(n), vnode, p->topo->vnodes);
	if (epoch < p->changed[vnode])
		return doris_error(
			err, DORIS_STALE_EPOCH,
			"%s: the placement of vnode %u changed in epoch %llu, the request has %llu",
			node_name(n), vnode, (unsigned long long) p->changed[vnode],
			(unsigned long long) epoch);
	if ((p->place[vnode] & place) != place)
	{
		if ((p->place[vnode] & PLACE_TARGET) != 0)
			return doris_error(err, DORIS_NOT_OWNER,
							   "%s: its copy of vnode %u is not complete and serves no reads",
							   node_name(n), vnode);
		return doris_error(err, DORIS_NOT_OWNER, "%s has no copy of vnode %u in epoch %llu",
						   node_name(n), vnode, (unsigned long long) p->topo->epoch);
	}
	return DORIS_OK;
}

DorisStatus epoch_namespace(const Node *n, uint32_t ns, const NsDef **out, DorisError *err)
{
	const Placement *p = n->placement;
	uint32_t low = 0;
	uint32_t high = p->topo->nnamespaces;

	while (low < high)
	{
		uint32_t mid = low + (high - low) / 2;

		if (p->namespaces[mid]->id == ns)
		{
			*out = p->namespaces[mid];
			return DORIS_OK;
		}
		if (p->namespaces[mid]->id < ns)
			low = mid + 1;
		else
			high = mid;
	}
	*out = NULL;
	(void) doris_error(err, DORIS_NO_NAMESPACE, "%s: no namespace has id %u in epoch %llu",
					   node_name(n), ns, (unsigned long long) p->topo->epoch);
	return doris_hint(err, "It was dropped or truncated.");
}

/* ---- taking a topology ---- */

/* Notes which refusals lapse and which namespaces are gone, in the transaction that persists the topology. */
static DorisStatus note_changes(Worker *w, const Placement *old, const Placement *p,
								DorisError *err)
{
	const Topology *t = p->topo;
	DorisStatus st = DORIS_OK;

	/*
	 * Rule refusals end: of a copy that becomes incomplete, and of an incomplete one whose vnode
	 * changes. No epoch in which a copy became incomplete is skipped unseen: it is completed only after
	 * it acknowledged that epoch (I2).
	 */
	for (uint32_t v = 0; st == DORIS_OK && v < t->vnodes; v++)
	{
		bool judged = (old->place[v] & PLACE_JUDGE) != 0;

		if ((p->place[v] & PLACE_JUDGE) == 0 && (judged || old->changed[v] != p->changed[v]) &&
			((old->place[v] | p->place[v]) & PLACE_TARGET) != 0)
			st = meta_put_numbered(w, "lapse/", v, t->epoch, err);
	}
	for (uint32_t i = 0; st == DORIS_OK && i < old->topo->nnamespaces; i++)
	{
		uint32_t id = old->topo->namespaces[i].id;

		if (topology_namespace_by_id(t, id) == NULL)
			st = meta_put_numbered(w, "gone/", id, t->epoch, err);
	}
	return st;
}

static DorisStatus apply_lapse(void *arg, uint32_t vnode, uint64_t epoch, DorisError *err)
{
	Node *n = arg;

	if (vnode >= DORIS_MAX_VNODES)
		return doris_error(err, DORIS_IO, "the store's entry lapse/%u is damaged", vnode);
	atomic_store(&n->lapsed[vnode], epoch);
	return DORIS_OK;
}

static DorisStatus persist(Worker *w, const Placement *old, const Placement *p, DorisError *err)
{
	DorisBytes encoded = {p->topo->encoded, p->topo->encoded_len};
	DorisStatus st;

	locks_clear(w);
	st = commit_begin(w, err);
	if (st == DORIS_OK)
		st = meta_put(w, "topology", encoded, err);
	if (st == DORIS_OK && old != NULL)
		st = note_changes(w, old, p, err);
	if (st == DORIS_OK)
		st = tables_note_leftovers(w, old, p, err);
	if (st != DORIS_OK)
	{
		commit_abandon(w);
		return st;
	}
	st = commit_end(w, false, NULL, err);
	if (st == DORIS_OK)
		st = commit_flush_all(w, err);
	return st;
}

static void put_in_force(Node *n, Placement *p)
{
	const TopoNode *me = topology_node(p->topo, atomic_load(&n->node_id));

	p->named = me != NULL && me->incarnation == n->incarnation;
	recover_void(n, n->placement, p);
	placement_free(n->placement);
	n->placement = p;
	atomic_store(&n->sync_interval, p->topo->sync_interval);
	atomic_store(&n->epoch, p->topo->epoch);
}

/* With the epoch lock held for writing. *taken: it is in force now. */
static DorisStatus take_locked(Worker *w, Topology *t, uint32_t node, bool *taken, DorisError *err)
{
	Node *n = w->node;
	Placement *old = n->placement;
	Placement *p;
	DorisStatus st;

	*taken = false;
	if (old != NULL && t->epoch < old->topo->epoch)
		return DORIS_OK; /* never back; whoever sent it learns our epoch from the reply */
	if (old != NULL && t->epoch == old->topo->epoch)
	{
		if (memcmp(t->hash, old->topo->hash, DORIS_HASH_SIZE) == 0)
			return DORIS_OK;
		node_count(n, COUNT_ALARMS, 1);
		log_line(LOG_ERROR, "ALARM: two different topologies have epoch %llu; keeping the first",
				 (unsigned long long) t->epoch);
		return doris_error(err, DORIS_DENIED, "%s has another topology of epoch %llu", node_name(n),
						   (unsigned long long) t->epoch);
	}
	if (old != NULL && t->vnodes != old->topo->vnodes)
		return doris_error(err, DORIS_DENIED, "%s: a topology of %u vnodes, but the cluster has %u",
						   node_name(n), t->vnodes, old->topo->vnodes);
	st = placement_make(t, node, &p, err);
	if (st != DORIS_OK)
		return st;
	for (int tries = 0; tries < 10; tries++)
	{
		st = persist(w, old, p, err);
		if (st != DORIS_CONFLICT)
			break;
	}
	if (st != DORIS_OK)
	{
		placement_free(p);
		return st;
	}
	if (old != NULL)
	{
		for (uint32_t v = 0; v < t->vnodes; v++)
		{
			bool judged = (old->place[v] & PLACE_JUDGE) != 0;

			if ((p->place[v] & PLACE_JUDGE) == 0 && (judged || old->changed[v] != p->changed[v]) &&
				((old->place[v] | p->place[v]) & PLACE_TARGET) != 0)
				atomic_store(&n->lapsed[v], t->epoch);
		}
	}
	tables_mark_leftovers(n, old, p);
	put_in_force(n, p);
	*taken = true;
	return DORIS_OK;
}

DorisStatus epoch_take(Worker *w, DorisBytes encoded, DorisError *err)
{
	Node *n = w->node;
	Topology *t;
	Identity id;
	bool taken = false;
	DorisStatus st = topology_decode(encoded.data, encoded.len,
									 n->keys.present ? n->keys.public_key : NULL, &t, err);

	if (st != DORIS_OK)
		return st;
	(void) pthread_mutex_lock(&n->identity_lock);
	id = n->identity;
	(void) pthread_mutex_unlock(&n->identity_lock);
	if (id.node == 0)
		st = doris_error(err, DORIS_UNAVAILABLE, "%s is not registered with an admin yet",
						 node_name(n));
	else if (memcmp(id.cluster, t->cluster, DORIS_UUID_SIZE) != 0)
		st = doris_error(err, DORIS_DENIED, "%s belongs to another cluster", node_name(n));
	else
	{
		(void) pthread_rwlock_wrlock(&n->epoch_lock);
		st = take_locked(w, t, id.node, &taken, err);
		(void) pthread_rwlock_unlock(&n->epoch_lock);
	}
	if (taken)
		log_line(LOG_INFO, "epoch %llu in force (leader term %llu)", (unsigned long long) t->epoch,
				 (unsigned long long) t->term);
	topology_unref(t);
	return st;
}

DorisStatus epoch_load(Worker *w, DorisError *err)
{
	Node *n = w->node;
	Topology *t;
	Placement *p;
	DorisStatus st;

	st = meta_each_numbered(w, "lapse/", apply_lapse, n, err);
	if (st != DORIS_OK)
		return st;
	st = meta_get(w, "topology", &w->index, err);
	if (st == DORIS_NOT_FOUND)
		return DORIS_OK;
	if (st != DORIS_OK)
		return st;
	st = topology_decode(w->index.data, w->index.len, n->keys.present ? n->keys.public_key : NULL,
						 &t, err);
	if (st != DORIS_OK)
	{
		DorisError why = *err;

		(void) doris_error(err, st, "the topology kept in %s: %.380s", n->config.home, why.message);
		return doris_hint(err, "Is the key file the one of the cluster that the home belongs to?");
	}
	st = placement_make(t, n->identity.node, &p, err);
	topology_unref(t);
	if (st == DORIS_OK)
		put_in_force(n, p);
	return st;
}
