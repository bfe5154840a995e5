/*
 * moves.c: the edits that carry a move out. See moves.h.
 *
 * Each changes who takes a vnode's writes, so each makes changed(v) the new epoch: requests by the placement before
 * are refused where the new one is known, and begin again (I3).
 */
#include "moves.h"

MoveState move_state(const Topology *t, const Move *m)
{
	const TopoCopy *copy = m->group <= t->groups ? topology_copy(t, m->group, m->vnode) : NULL;

	if (copy == NULL)
		return m->to == 0 ? MOVE_DONE : MOVE_WAITS;
	if (m->to == 0)
		return copy->complete ? MOVE_WAITS : MOVE_RETIRES;
	if (copy->owner == m->to && !copy->complete)
		return MOVE_FILLS;
	if (copy->owner == m->to)
		return copy->retiring != 0 ? MOVE_RETIRES : MOVE_DONE;
	return copy->incoming == m->to ? MOVE_FILLS : MOVE_WAITS;
}

MoveMay move_may_open(const Topology *t, const Move *m, MoveAckedFn acked, void *arg)
{
	const TopoCopy *copy;
	const TopoNode *to = topology_node(t, m->to);
	uint64_t known = acked(arg, m->to);
	bool source = false;

	if (m->group > t->groups)
		return MOVE_BEHIND; /* its group is not there yet */
	copy = topology_copy(t, m->group, m->vnode);
	if (to == NULL || to->condition != NODE_UP || known == 0)
		return MOVE_DOWN;
	if (copy->incoming != 0 || copy->retiring != 0 || topology_is_target(t, m->to, m->vnode))
		return MOVE_OCCUPIED;
	if (known < topology_changed(t, m->vnode))
		return MOVE_BEHIND;
	for (uint32_t g = 1; g <= t->groups; g++)
	{
		const TopoCopy *c = topology_copy(t, g, m->vnode);
		const TopoNode *owner = topology_node(t, c->owner);

		if (owner != NULL && owner->condition == NODE_UP && c->complete)
			source = true;
		else if (g != m->group)
			return MOVE_UNHEALTHY;
	}
	return source ? MOVE_MAY : MOVE_UNHEALTHY;
}

void move_open(Topology *t, const Move *m, uint64_t epoch)
{
	TopoCopy *copy = topology_copy(t, m->group, m->vnode);

	copy->incoming = m->to;
	copy->changed = epoch;
}

void move_close(Topology *t, const Move *m, uint64_t epoch)
{
	TopoCopy *copy;

	if (m->to == 0 || m->group > t->groups)
		return;
	copy = topology_copy(t, m->group, m->vnode);
	if (copy->incoming != m->to)
		return;
	copy->incoming = 0;
	copy->changed = epoch;
}

uint32_t moves_release(Topology *t, uint64_t epoch, MoveAckedFn acked, void *arg)
{
	size_t all = (size_t) t->groups * t->vnodes;
	uint32_t n = 0;

	for (size_t i = 0; i < all; i++)
	{
		TopoCopy *copy = &t->copies[i];

		if (copy->retiring == 0 || acked(arg, copy->retiring) < copy->changed)
			continue;
		copy->retiring = 0;
		copy->changed = epoch;
		n++;
	}
	return n;
}

uint32_t moves_drop_orphans(Topology *t, uint64_t epoch, MoveWantedFn wanted, void *arg)
{
	uint32_t n = 0;

	for (uint32_t g = 1; g <= t->groups; g++)
		for (uint32_t v = 0; v < t->vnodes; v++)
		{
			TopoCopy *copy = topology_copy(t, g, v);

			if (copy->incoming == 0 || wanted(arg, g, v, copy->incoming))
				continue;
			copy->incoming = 0;
			copy->changed = epoch;
			n++;
		}
	return n;
}

bool moves_add_group(Topology *t, uint64_t epoch)
{
	if (t->groups >= DORIS_MAX_GROUPS || !topology_set_groups(t, t->groups + 1))
		return false;
	/* rule *lead*: the reading order is another one: of every vnode something has changed */
	for (uint32_t v = 0; v < t->vnodes; v++)
		topology_copy(t, t->groups, v)->changed = epoch;
	return true;
}

void moves_retire_group(Topology *t, uint64_t epoch)
{
	for (uint32_t v = 0; v < t->vnodes; v++)
	{
		TopoCopy *copy = topology_copy(t, t->groups, v);

		copy->complete = false;
		copy->changed = epoch;
	}
}

bool moves_may_drop_group(const Topology *t, MoveAckedFn acked, void *arg)
{
	uint64_t since = 0;

	for (uint32_t v = 0; v < t->vnodes; v++)
	{
		const TopoCopy *copy = topology_copy(t, t->groups, v);

		if (copy->complete)
			return false;
		if (copy->changed > since)
			since = copy->changed;
	}
	/* one that is down has no lease any more (rule *lease*) */
	for (uint32_t i = 0; i < t->nnodes; i++)
		if (t->nodes[i].group == t->groups && t->nodes[i].condition == NODE_UP &&
			acked(arg, t->nodes[i].id) < since)
			return false;
	return true;
}

bool moves_drop_group(Topology *t, uint64_t epoch)
{
	if (t->groups <= 1 || !topology_set_groups(t, t->groups - 1))
		return false;
	/* rule *lead*: the reading order is another one: of every vnode something has changed */
	for (uint32_t v = 0; v < t->vnodes; v++)
		topology_copy(t, 1, v)->changed = epoch;
	for (uint32_t i = 0; i < t->nnodes; i++)
		if (t->nodes[i].group > t->groups)
		{
			t->nodes[i].role = NODE_SPARE;
			t->nodes[i].group = 0;
		}
	return true;
}

bool moves_any(const Topology *t)
{
	size_t all = (size_t) t->groups * t->vnodes;

	for (size_t i = 0; i < all; i++)
		if (t->copies[i].incoming != 0 || t->copies[i].retiring != 0)
			return true;
	return false;
}
