/*
 * verdict.c: what failure, return, start, completeness and replacement do to a topology. See verdict.h.
 *
 * Whatever changes who judges a vnode, or who takes its writes, makes changed(v) the new epoch: requests that were
 * under way are voided and begin again at the new placement (I3).
 */
#include "verdict.h"

#include <stdio.h>
#include <string.h>

TopoNode *verdict_node(Topology *t, uint32_t node)
{
	for (uint32_t i = 0; i < t->nnodes; i++)
		if (t->nodes[i].id == node)
			return &t->nodes[i];
	return NULL;
}

static bool is_silent(const Silent *silent, uint32_t node)
{
	for (int i = 0; silent != NULL && i < silent->n; i++)
		if (silent->ids[i] == node)
			return true;
	return false;
}

static bool is_up(const Topology *t, uint32_t node)
{
	const TopoNode *n = topology_node(t, node);

	return n != NULL && n->condition == NODE_UP;
}

uint32_t verdict_owned(const Topology *t, uint32_t node)
{
	size_t all = (size_t) t->groups * t->vnodes;
	uint32_t n = 0;

	for (size_t i = 0; i < all; i++)
		n += t->copies[i].owner == node;
	return n;
}

uint32_t verdict_incomplete(const Topology *t, uint32_t node)
{
	size_t all = (size_t) t->groups * t->vnodes;
	uint32_t n = 0;

	for (size_t i = 0; i < all; i++)
		n += t->copies[i].owner == node && !t->copies[i].complete;
	return n;
}

bool verdict_elsewhere(const Topology *t, uint32_t group, uint32_t vnode, const Silent *silent)
{
	for (uint32_t g = 1; g <= t->groups; g++)
	{
		const TopoCopy *copy = topology_copy(t, g, vnode);

		if (g != group && copy->complete && is_up(t, copy->owner) &&
			!is_silent(silent, copy->owner))
			return true;
	}
	return false;
}

/* Is there another complete copy at all, if only on a node that is down? */
static bool complete_anywhere(const Topology *t, uint32_t group, uint32_t vnode)
{
	for (uint32_t g = 1; g <= t->groups; g++)
		if (g != group && topology_copy(t, g, vnode)->complete)
			return true;
	return false;
}

static void set_complete(TopoCopy *copy, bool complete, uint64_t epoch)
{
	copy->complete = complete;
	copy->changed = epoch;
}

uint32_t verdict_excuse(Topology *t, uint64_t epoch, const Silent *silent)
{
	uint32_t n = 0;

	for (uint32_t g = 1; g <= t->groups; g++)
		for (uint32_t v = 0; v < t->vnodes; v++)
		{
			TopoCopy *copy = topology_copy(t, g, v);

			if (!copy->complete || is_up(t, copy->owner) || !verdict_elsewhere(t, g, v, silent))
				continue;
			set_complete(copy, false, epoch);
			n++;
		}
	return n;
}

static void count(const Topology *t, uint32_t node, const Silent *silent, VerdictCount *out)
{
	memset(out, 0, sizeof(*out));
	for (uint32_t g = 1; g <= t->groups; g++)
		for (uint32_t v = 0; v < t->vnodes; v++)
		{
			const TopoCopy *copy = topology_copy(t, g, v);

			if (copy->owner != node)
				continue;
			if (!copy->complete)
				out->incomplete++;
			else if (!verdict_elsewhere(t, g, v, silent))
			{
				out->last_vnode = v;
				out->last++;
			}
		}
}

/* What was on its way there, or only just left there, ends: nobody waits for a node that is down. */
static void leave_moves(Topology *t, uint32_t node, uint64_t epoch)
{
	size_t all = (size_t) t->groups * t->vnodes;

	for (size_t i = 0; i < all; i++)
	{
		TopoCopy *copy = &t->copies[i];

		if (copy->incoming != node && copy->retiring != node)
			continue;
		if (copy->incoming == node)
			copy->incoming = 0;
		if (copy->retiring == node)
			copy->retiring = 0;
		copy->changed = epoch;
	}
}

void verdict_down(Topology *t, uint32_t node, uint64_t epoch, const Silent *silent,
				  VerdictCount *out)
{
	TopoNode *n = verdict_node(t, node);
	size_t all = (size_t) t->groups * t->vnodes;

	memset(out, 0, sizeof(*out));
	if (n == NULL)
		return;
	n->condition = NODE_DOWN;
	leave_moves(t, node, epoch);
	for (size_t i = 0; i < all; i++)
	{
		TopoCopy *copy = &t->copies[i];

		/* Its writes go to hints from now on. */
		if (copy->owner == node && !copy->complete)
			copy->changed = epoch;
	}
	(void) verdict_excuse(t, epoch, silent);
	count(t, node, silent, out);
}

void verdict_up(Topology *t, uint32_t node, uint64_t epoch, const Silent *silent, VerdictCount *out)
{
	TopoNode *n = verdict_node(t, node);
	size_t all = (size_t) t->groups * t->vnodes;

	memset(out, 0, sizeof(*out));
	if (n == NULL)
		return;
	n->condition = NODE_UP;
	/* Its writes go to itself again, and the pass begins after that (rule *complete*). */
	for (size_t i = 0; i < all; i++)
		if (t->copies[i].owner == node && !t->copies[i].complete)
			t->copies[i].changed = epoch;
	/* Others that are down may have waited for it. */
	(void) verdict_excuse(t, epoch, silent);
	count(t, node, silent, out);
}

/* Takes from the node what others have complete as well; counts what it has left. True: something changed. */
static bool doubt_copies(Topology *t, uint32_t node, uint64_t epoch, VerdictCount *out)
{
	bool changed = false;

	for (uint32_t g = 1; g <= t->groups; g++)
		for (uint32_t v = 0; v < t->vnodes; v++)
		{
			TopoCopy *copy = topology_copy(t, g, v);

			/* What it has of a move may be of an earlier stay (rule *leftovers*): the move begins anew. */
			if (copy->incoming == node)
			{
				copy->incoming = 0;
				copy->changed = epoch;
				changed = true;
			}
			if (copy->owner != node)
				continue;
			if (copy->complete && !complete_anywhere(t, g, v))
			{
				out->last_vnode = v;
				out->last++;
				continue;
			}
			if (copy->complete)
			{
				set_complete(copy, false, epoch);
				changed = true;
			}
			out->incomplete++;
		}
	return changed;
}

/* Voids what was going on at the node's copies: at the incomplete ones, or at all. */
static void void_copies(Topology *t, uint32_t node, uint64_t epoch, bool all)
{
	size_t n = (size_t) t->groups * t->vnodes;

	for (size_t i = 0; i < n; i++)
		if (t->copies[i].incoming == node ||
			(t->copies[i].owner == node && (all || !t->copies[i].complete)))
			t->copies[i].changed = epoch;
}

StartResult verdict_start(Topology *t, uint32_t node, const StartFacts *facts, uint64_t epoch,
						  bool *changed, VerdictCount *out)
{
	TopoNode *n = verdict_node(t, node);

	memset(out, 0, sizeof(*out));
	*changed = false;
	if (n == NULL || (n->incarnation == facts->incarnation &&
					  memcmp(n->home, facts->home, DORIS_UUID_SIZE) == 0 &&
					  strcmp(n->address, facts->address) == 0))
		return START_KNOWN;
	if (!facts->behind)
		out->incomplete = verdict_incomplete(t, node);
	else
		*changed = doubt_copies(t, node, epoch, out);
	if (out->last > 0 && !facts->accept_loss)
	{
		/* Rule *last copy*: nothing could make these complete again. */
		if (n->condition == NODE_UP)
		{
			n->condition = NODE_DOWN;
			leave_moves(t, node, epoch);
			void_copies(t, node, epoch, false);
			*changed = true;
		}
		return START_HELD_BACK;
	}
	/* The pass of a copy that was being recovered begins again with the new start; a loss is new to all. */
	if (n->condition == NODE_UP || facts->accept_loss)
		void_copies(t, node, epoch, facts->accept_loss);
	memcpy(n->home, facts->home, DORIS_UUID_SIZE);
	n->incarnation = facts->incarnation;
	snprintf(n->address, sizeof(n->address), "%s", facts->address);
	*changed = true;
	return START_ENTERED;
}

uint32_t verdict_ready(Topology *t, const Topology *now, uint32_t node, uint64_t incarnation,
					   const ReadyCopy *ready, uint32_t n, uint64_t epoch, uint32_t dropped)
{
	const TopoNode *owner = topology_node(t, node);
	uint32_t done = 0;

	if (owner == NULL || owner->condition != NODE_UP || owner->incarnation != incarnation)
		return 0;
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t v = ready[i].vnode;

		/* I2: a change of changed(v) since then, in any group, voids what the node did. */
		if (v >= t->vnodes || topology_changed(now, v) != ready[i].changed)
			continue;
		for (uint32_t g = 1; g <= t->groups; g++)
		{
			TopoCopy *copy = topology_copy(t, g, v);

			if (g == dropped)
				continue;
			if (copy->incoming == node)
			{
				/* Rule *retire*: the old owner still takes writes, until it knows that it is none. */
				copy->retiring = is_up(t, copy->owner) ? copy->owner : 0;
				copy->owner = node;
				copy->incoming = 0;
			}
			else if (copy->owner != node || copy->complete)
				continue;
			set_complete(copy, true, epoch);
			done++;
		}
	}
	return done;
}

uint32_t verdict_declare(Topology *t, uint32_t node, uint64_t epoch)
{
	uint32_t n = 0;

	if (!is_up(t, node))
		return 0;
	for (uint32_t g = 1; g <= t->groups; g++)
		for (uint32_t v = 0; v < t->vnodes; v++)
		{
			TopoCopy *copy = topology_copy(t, g, v);

			if (copy->owner != node || copy->complete || verdict_elsewhere(t, g, v, NULL))
				continue;
			set_complete(copy, true, epoch);
			n++;
		}
	if (n > 0)
		(void) verdict_excuse(t, epoch, NULL);
	return n;
}

/* Up, and with nothing of its own: a spare, or a data node that was added after the layout. */
static bool can_take_over(const Topology *t, const TopoNode *n)
{
	return n->role != NODE_LOG && n->condition == NODE_UP && !uuid_is_zero(n->home) &&
		   verdict_owned(t, n->id) == 0;
}

DorisStatus verdict_no_node(const char *name, DorisError *err)
{
	(void) doris_error(err, DORIS_NOT_FOUND, "there is no node \"%s\" in the cluster", name);
	return doris_hint(err, "Register it with doris_add_node() and start it. One that was never "
						   "started is removed with doris_remove_node().");
}

DorisStatus verdict_may_remove(const Topology *t, const TopoNode *node, DorisError *err)
{
	size_t all = (size_t) t->groups * t->vnodes;
	uint32_t n = 0;

	for (size_t i = 0; i < all; i++)
		n += t->copies[i].owner == node->id || t->copies[i].incoming == node->id ||
			 t->copies[i].retiring == node->id;
	if (n > 0)
	{
		(void) doris_error(err, DORIS_CONFLICT, "node \"%s\" has copies of %u vnodes", node->name,
						   n);
		return doris_hint(err, "Use doris_shrink() or doris_replace() first.");
	}
	/* Clients that do not know of it yet would go on leaving hints there, which nobody replays (I1). */
	if (node->role == NODE_LOG && !uuid_is_zero(node->home))
	{
		(void) doris_error(err, DORIS_CONFLICT, "node \"%s\" is a log node that has been in use",
						   node->name);
		return doris_hint(err, "Only a log node that was never started can be removed.");
	}
	return DORIS_OK;
}

DorisStatus verdict_may_follow(const Topology *t, const char *node, const char *by, DorisError *err)
{
	const TopoNode *old = topology_node_by_name(t, node);
	const TopoNode *new = topology_node_by_name(t, by);

	if (old == NULL)
		return verdict_no_node(node, err);
	if (new == NULL)
	{
		(void) doris_error(err, DORIS_NOT_FOUND, "there is no node \"%s\" in the cluster", by);
		return doris_hint(err, "Register a spare with doris_add_node() and start it.");
	}
	if (old->condition == NODE_DEAD)
		return doris_error(err, DORIS_CONFLICT, "node \"%s\" is dead already", node);
	if (old->role != NODE_DATA || verdict_owned(t, old->id) == 0)
	{
		(void) doris_error(err, DORIS_CONFLICT, "node \"%s\" holds no vnodes to be taken over",
						   node);
		return doris_hint(err, "doris_remove_node() removes it.");
	}
	if (new->role == NODE_LOG || verdict_owned(t, new->id) > 0)
	{
		(void) doris_error(err, DORIS_CONFLICT, "node \"%s\" is not a spare", by);
		return doris_hint(err, "Register a spare with doris_add_node() and start it.");
	}
	if (!can_take_over(t, new))
		return doris_error(err, DORIS_CONFLICT, "node \"%s\" is not up", by);
	return DORIS_OK;
}

DorisStatus verdict_may_replace(const Topology *t, const char *node, const char *by,
								DorisError *err)
{
	const TopoNode *old = topology_node_by_name(t, node);
	DorisStatus status = verdict_may_follow(t, node, by, err);
	uint32_t vnode;

	if (status != DORIS_OK || old == NULL)
		return status;
	/* Rule *last copy*. */
	if (!place_may_fail(t, old->id, &vnode))
	{
		(void) doris_error(err, DORIS_CONFLICT,
						   "node \"%s\" holds the last complete copy of vnode %u", node, vnode);
		return doris_hint(err, "Start it, or wait until the other copies are complete.");
	}
	return DORIS_OK;
}

uint32_t verdict_replace(Topology *t, uint32_t node, uint32_t by, uint64_t epoch)
{
	TopoNode *old = verdict_node(t, node);
	TopoNode *new = verdict_node(t, by);
	size_t all = (size_t) t->groups * t->vnodes;
	uint32_t n = 0;

	if (old == NULL || new == NULL)
		return 0;
	new->role = NODE_DATA;
	new->group = old->group;
	for (size_t i = 0; i < all; i++)
	{
		TopoCopy *copy = &t->copies[i];

		if (copy->owner != node)
			continue;
		copy->owner = by;
		copy->incoming = 0;
		/* rule *retire*: one that may not know yet that it serves no reads takes the writes on */
		if (copy->retiring == by)
			copy->retiring = 0;
		set_complete(copy, false, epoch);
		n++;
	}
	return n;
}

uint32_t verdict_spare(const Topology *t, const Silent *silent, const uint32_t *taken, int ntaken)
{
	const Silent others = {taken, ntaken};

	for (uint32_t i = 0; i < t->nnodes; i++)
	{
		const TopoNode *n = &t->nodes[i];

		if (n->role == NODE_SPARE && can_take_over(t, n) && !is_silent(silent, n->id) &&
			!is_silent(&others, n->id))
			return n->id;
	}
	return 0;
}
