/* links: admin client wire */
/*
 * test_admin_moves.c: the edits of a topology that move vnodes, add a group and drop one; and what a failure, a return, a start and
 * a replacement do to moves under way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moves.h"
#include "verdict.h"

#define VNODES 6
#define LOG 5
#define SPARE 6

static const Silent nobody = {NULL, 0};

static NodeRow row(uint32_t id, const char *name, NodeRole role, uint8_t group)
{
	NodeRow r = {.id = id, .role = role, .group = group, .condition = NODE_UP};

	snprintf(r.name, sizeof(r.name), "%s", name);
	snprintf(r.address, sizeof(r.address), "tcp://127.0.0.1:%u", 7000 + id);
	memset(r.home, (int) id, sizeof(r.home));
	r.incarnation = 100 + id;
	return r;
}

/* Group 1: nodes 1 and 2; group 2: 3 and 4; a log node, a spare. Epoch 1. */
static Topology *cluster(void)
{
	ClusterRow c = {.vnodes = VNODES, .groups = 2};
	NodeRow rows[] = {row(1, "g1n1", NODE_DATA, 1),	 row(2, "g1n2", NODE_DATA, 1),
					  row(3, "g2n1", NODE_DATA, 2),	 row(4, "g2n2", NODE_DATA, 2),
					  row(LOG, "log1", NODE_LOG, 0), row(SPARE, "spare1", NODE_SPARE, 0)};
	Topology *t = place_first(&c, rows, 6);

	assert_non_null(t);
	return t;
}

/* What each node has acknowledged, by its id. */
typedef struct Acks
{
	uint64_t epoch[8];
} Acks;

static uint64_t acked(void *arg, uint32_t node)
{
	return ((const Acks *) arg)->epoch[node];
}

static Acks all_at(uint64_t epoch)
{
	Acks a;

	for (int i = 0; i < 8; i++)
		a.epoch[i] = epoch;
	return a;
}

/* Whatever is done to it, it must be one that can be sealed and sent. */
static void check_sound(Topology *t, uint64_t epoch)
{
	Topology *copy = topology_clone(t);
	DorisError err;

	assert_non_null(copy);
	copy->epoch = epoch;
	if (topology_seal(copy, NULL, &err) != DORIS_OK)
		fail_msg("%s", err.message);
	topology_unref(copy);
}

/* A move of vnode v of group 1 from its owner to the spare. */
static Move to_spare(const Topology *t, uint32_t v)
{
	return (Move){.group = 1, .vnode = v, .from = topology_copy(t, 1, v)->owner, .to = SPARE};
}

static uint32_t say_ready(Topology *t, uint32_t node, uint32_t v, uint64_t epoch, uint32_t dropped)
{
	ReadyCopy ready = {v, topology_changed(t, v)};
	Topology *now = topology_clone(t);
	uint32_t n;

	assert_non_null(now);
	n = verdict_ready(t, now, node, topology_node(t, node)->incarnation, &ready, 1, epoch, dropped);
	topology_unref(now);
	return n;
}

static void a_move_goes_through_its_states(void **state)
{
	Topology *t = cluster();
	Move m = to_spare(t, 0);
	TopoCopy *copy = topology_copy(t, 1, 0);
	Acks acks = all_at(1);

	(void) state;
	assert_false(moves_any(t));
	assert_int_equal(move_state(t, &m), MOVE_WAITS);
	assert_int_equal(move_may_open(t, &m, acked, &acks), MOVE_MAY);
	move_open(t, &m, 2);
	assert_int_equal(move_state(t, &m), MOVE_FILLS);
	assert_true(moves_any(t));
	/* the old one serves meanwhile, and the new one takes every write */
	assert_true(copy->complete && copy->owner == m.from && copy->incoming == SPARE);
	assert_int_equal(topology_changed(t, 0), 2);
	assert_true(topology_is_target(t, SPARE, 0));
	assert_false(topology_is_judge(t, SPARE, 0));
	check_sound(t, 2);

	assert_int_equal(say_ready(t, SPARE, 0, 3, 0), 1);
	assert_int_equal(move_state(t, &m), MOVE_RETIRES);
	assert_true(copy->complete && copy->owner == SPARE && copy->incoming == 0);
	assert_int_equal(copy->retiring, m.from);
	assert_int_equal(topology_changed(t, 0), 3);
	assert_true(topology_is_target(t, m.from, 0));
	assert_false(topology_is_judge(t, m.from, 0));
	check_sound(t, 3);

	/* rule retire: not before the old one knows */
	acks = all_at(9);
	acks.epoch[m.from] = 2;
	assert_int_equal(moves_release(t, 4, acked, &acks), 0);
	acks.epoch[m.from] = 0;
	assert_int_equal(moves_release(t, 4, acked, &acks), 0);
	assert_int_equal(move_state(t, &m), MOVE_RETIRES);
	acks.epoch[m.from] = 3;
	assert_int_equal(moves_release(t, 4, acked, &acks), 1);
	assert_int_equal(move_state(t, &m), MOVE_DONE);
	assert_false(topology_is_target(t, m.from, 0));
	assert_int_equal(topology_changed(t, 0), 4);
	assert_int_equal(moves_release(t, 5, acked, &acks), 0);
	assert_false(moves_any(t));

	/* the new one fails later: the copy fills again */
	copy->complete = false;
	assert_int_equal(move_state(t, &m), MOVE_FILLS);
	topology_unref(t);
}

static void what_keeps_a_move_from_opening(void **state)
{
	Topology *t = cluster();
	Move m = to_spare(t, 1);
	Move beyond = {.group = 3, .vnode = 1, .to = SPARE};
	Move unknown = {.group = 1, .vnode = 1, .from = m.from, .to = 7};
	Acks acks = all_at(1);
	TopoCopy *copy = topology_copy(t, 1, 1);
	TopoCopy *other = topology_copy(t, 2, 1);

	(void) state;
	/* the new node */
	acks.epoch[SPARE] = 0;
	assert_int_equal(move_may_open(t, &m, acked, &acks), MOVE_DOWN);
	acks.epoch[SPARE] = 1;
	verdict_node(t, SPARE)->condition = NODE_DOWN;
	assert_int_equal(move_may_open(t, &m, acked, &acks), MOVE_DOWN);
	verdict_node(t, SPARE)->condition = NODE_DEAD;
	assert_int_equal(move_may_open(t, &m, acked, &acks), MOVE_DOWN);
	verdict_node(t, SPARE)->condition = NODE_UP;
	acks = all_at(1);
	assert_int_equal(move_may_open(t, &beyond, acked, &acks), MOVE_BEHIND);
	assert_int_equal(move_may_open(t, &unknown, acked, &acks), MOVE_DOWN);

	/* rule leftovers: the vnode has changed since what it has acknowledged */
	other->changed = 2;
	assert_int_equal(move_may_open(t, &m, acked, &acks), MOVE_BEHIND);
	acks.epoch[SPARE] = 2;
	assert_int_equal(move_may_open(t, &m, acked, &acks), MOVE_MAY);

	/* another move of the copy; the new node has a part in the vnode already */
	copy->incoming = 2;
	assert_int_equal(move_may_open(t, &m, acked, &acks), MOVE_OCCUPIED);
	copy->incoming = 0;
	copy->retiring = 2;
	assert_int_equal(move_may_open(t, &m, acked, &acks), MOVE_OCCUPIED);
	copy->retiring = 0;
	other->retiring = SPARE;
	assert_int_equal(move_may_open(t, &m, acked, &acks), MOVE_OCCUPIED);
	other->retiring = 0;

	/* the other group's copy is incomplete, or its node is down: no move beside that */
	other->complete = false;
	assert_int_equal(move_may_open(t, &m, acked, &acks), MOVE_UNHEALTHY);
	other->complete = true;
	verdict_node(t, other->owner)->condition = NODE_DOWN;
	assert_int_equal(move_may_open(t, &m, acked, &acks), MOVE_UNHEALTHY);
	verdict_node(t, other->owner)->condition = NODE_UP;
	/* the copy itself is incomplete, or its owner is down: the other group has all of it */
	copy->complete = false;
	assert_int_equal(move_may_open(t, &m, acked, &acks), MOVE_MAY);
	copy->complete = true;
	verdict_node(t, copy->owner)->condition = NODE_DOWN;
	assert_int_equal(move_may_open(t, &m, acked, &acks), MOVE_MAY);
	/* nobody has */
	verdict_node(t, other->owner)->condition = NODE_DOWN;
	assert_int_equal(move_may_open(t, &m, acked, &acks), MOVE_UNHEALTHY);
	topology_unref(t);
}

static void closing(void **state)
{
	Topology *t = cluster();
	Move m = to_spare(t, 2);
	Move other = {.group = 1, .vnode = 2, .from = m.from, .to = 3};
	Move dropped = {.group = 2, .vnode = 2, .from = 3, .to = 0};
	Move beyond = {.group = 3, .vnode = 2, .from = 0, .to = SPARE};

	(void) state;
	move_open(t, &m, 2);
	/* not theirs */
	move_close(t, &other, 3);
	move_close(t, &dropped, 3);
	move_close(t, &beyond, 3);
	assert_int_equal(topology_changed(t, 2), 2);
	move_close(t, &m, 3);
	assert_int_equal(move_state(t, &m), MOVE_WAITS);
	assert_int_equal(topology_copy(t, 1, 2)->owner, m.from);
	assert_true(topology_copy(t, 1, 2)->complete);
	assert_int_equal(topology_changed(t, 2), 3);
	/* what the node did until then is void */
	assert_int_equal(say_ready(t, SPARE, 2, 4, 0), 0);
	/* once flipped there is nothing to close */
	move_open(t, &m, 4);
	assert_int_equal(say_ready(t, SPARE, 2, 5, 0), 1);
	move_close(t, &m, 6);
	assert_int_equal(move_state(t, &m), MOVE_RETIRES);
	assert_int_equal(topology_changed(t, 2), 5);
	topology_unref(t);
}

static bool wants_vnode_4(void *arg, uint32_t group, uint32_t vnode, uint32_t node)
{
	(void) arg;
	return group == 1 && vnode == 4 && node == SPARE;
}

static void orphans(void **state)
{
	Topology *t = cluster();

	(void) state;
	for (uint32_t v = 3; v < VNODES; v++)
	{
		Move m = to_spare(t, v);

		move_open(t, &m, 2);
	}
	assert_int_equal(moves_drop_orphans(t, 3, wants_vnode_4, NULL), 2);
	for (uint32_t v = 3; v < VNODES; v++)
	{
		assert_int_equal(topology_copy(t, 1, v)->incoming, v == 4 ? SPARE : 0);
		assert_int_equal(topology_changed(t, v), v == 4 ? 2 : 3);
	}
	assert_int_equal(moves_drop_orphans(t, 4, wants_vnode_4, NULL), 0);
	topology_unref(t);
}

/* ---- groups ---- */

static void leads(const Topology *t, uint32_t *of_group)
{
	memset(of_group, 0, (DORIS_MAX_GROUPS + 1) * sizeof(*of_group));
	for (uint32_t v = 0; v < t->vnodes; v++)
	{
		const TopoNode *readers[DORIS_MAX_GROUPS];

		assert_true(topology_readers(t, v, 0, readers) > 0);
		for (uint32_t g = 1; g <= t->groups; g++)
			of_group[g] += topology_copy(t, g, v)->owner == readers[0]->id;
	}
}

/* Group 3 on the spare, complete. */
static Topology *three_groups(uint64_t *epoch)
{
	Topology *t = cluster();

	assert_true(moves_add_group(t, 2));
	verdict_node(t, SPARE)->role = NODE_DATA;
	verdict_node(t, SPARE)->group = 3;
	for (uint32_t v = 0; v < VNODES; v++)
	{
		Move m = {.group = 3, .vnode = v, .to = SPARE};

		move_open(t, &m, 3);
		assert_int_equal(say_ready(t, SPARE, v, 4, 0), 1);
		assert_int_equal(move_state(t, &m), MOVE_DONE);
	}
	*epoch = 4;
	return t;
}

static void adding_a_group(void **state)
{
	Topology *t = cluster();
	Move m = {.group = 3, .vnode = 2, .from = 0, .to = SPARE};
	uint32_t of_group[DORIS_MAX_GROUPS + 1];
	uint64_t epoch;
	Acks acks = all_at(1);
	VerdictCount n;

	(void) state;
	assert_int_equal(move_state(t, &m), MOVE_WAITS); /* not there yet */
	assert_true(moves_add_group(t, 2));
	assert_int_equal(t->groups, 3);
	/* nobody owns it, nothing relies on it; rule lead: of every vnode something has changed */
	for (uint32_t v = 0; v < VNODES; v++)
	{
		TopoTarget targets[DORIS_MAX_TARGETS];

		assert_int_equal(topology_copy(t, 3, v)->owner, 0);
		assert_false(topology_copy(t, 3, v)->complete);
		assert_int_equal(topology_changed(t, v), 2);
		assert_int_equal(topology_targets(t, v, targets), 2);
	}
	leads(t, of_group);
	assert_int_equal(of_group[1] + of_group[2], VNODES);
	check_sound(t, 2);
	assert_int_equal(move_state(t, &m), MOVE_WAITS);
	assert_int_equal(move_may_open(t, &m, acked, &acks), MOVE_BEHIND);
	acks = all_at(2);
	assert_int_equal(move_may_open(t, &m, acked, &acks), MOVE_MAY);
	move_open(t, &m, 3);
	assert_int_equal(move_state(t, &m), MOVE_FILLS);
	/* its node fails: the move begins anew, and the copy is nobody's again */
	verdict_down(t, SPARE, 4, &nobody, &n);
	assert_int_equal(move_state(t, &m), MOVE_WAITS);
	assert_int_equal(topology_changed(t, 2), 4);
	verdict_up(t, SPARE, 5, &nobody, &n);
	move_open(t, &m, 5);
	assert_int_equal(say_ready(t, SPARE, 2, 6, 0), 1);
	assert_int_equal(move_state(t, &m), MOVE_DONE); /* nobody to retire */
	check_sound(t, 6);
	topology_unref(t);

	t = three_groups(&epoch);
	leads(t, of_group);
	for (uint32_t g = 1; g <= 3; g++)
		assert_int_equal(of_group[g], VNODES / 3);
	/* four are the most */
	assert_true(moves_add_group(t, 5));
	assert_false(moves_add_group(t, 6));
	assert_int_equal(t->groups, DORIS_MAX_GROUPS);
	topology_unref(t);
}

static void dropping_a_group(void **state)
{
	uint64_t epoch;
	Topology *t = three_groups(&epoch);
	Move m = {.group = 3, .vnode = 0, .from = SPARE, .to = 0};
	uint32_t of_group[DORIS_MAX_GROUPS + 1];
	Acks acks = all_at(4);

	(void) state;
	assert_int_equal(move_state(t, &m), MOVE_WAITS);
	assert_false(moves_may_drop_group(t, acked, &acks));
	/* first it serves no reads and judges nothing, and takes the writes on */
	moves_retire_group(t, 5);
	assert_int_equal(move_state(t, &m), MOVE_RETIRES);
	for (uint32_t v = 0; v < VNODES; v++)
	{
		assert_true(topology_is_target(t, SPARE, v));
		assert_false(topology_is_judge(t, SPARE, v));
		assert_int_equal(topology_changed(t, v), 5);
	}
	check_sound(t, 5);
	/* it recovers, as everything that is incomplete; but stays what it is while it is on its way out */
	assert_int_equal(say_ready(t, SPARE, 0, 6, 3), 0);
	/* then, once it knows, it goes */
	assert_false(moves_may_drop_group(t, acked, &acks));
	acks.epoch[SPARE] = 0;
	assert_false(moves_may_drop_group(t, acked, &acks));
	acks = all_at(4);
	acks.epoch[SPARE] = 5;
	assert_true(moves_may_drop_group(t, acked, &acks));
	/* rule lease: one that is down serves nothing any more */
	acks.epoch[SPARE] = 0;
	verdict_node(t, SPARE)->condition = NODE_DOWN;
	assert_true(moves_may_drop_group(t, acked, &acks));
	verdict_node(t, SPARE)->condition = NODE_UP;
	assert_true(moves_drop_group(t, 6));
	assert_int_equal(t->groups, 2);
	assert_int_equal(move_state(t, &m), MOVE_DONE);
	assert_int_equal(topology_node(t, SPARE)->role, NODE_SPARE);
	assert_int_equal(topology_node(t, SPARE)->group, 0);
	for (uint32_t v = 0; v < VNODES; v++)
	{
		assert_int_equal(topology_changed(t, v), 6);
		assert_false(topology_is_target(t, SPARE, v));
	}
	leads(t, of_group);
	assert_int_equal(of_group[1], VNODES / 2);
	assert_int_equal(of_group[2], VNODES / 2);
	check_sound(t, 6);
	/* down to one, and no further */
	moves_retire_group(t, 7);
	assert_true(moves_drop_group(t, 8));
	assert_false(moves_drop_group(t, 9));
	assert_int_equal(t->groups, 1);
	check_sound(t, 9);
	topology_unref(t);
}

/* A plan that drops a group is cancelled: the copies are made complete again, by rule complete. */
static void a_drop_that_is_called_off(void **state)
{
	uint64_t epoch;
	Topology *t = three_groups(&epoch);

	(void) state;
	moves_retire_group(t, 5);
	for (uint32_t v = 0; v < VNODES; v++)
		assert_int_equal(say_ready(t, SPARE, v, 6, 0), 1);
	assert_int_equal(verdict_incomplete(t, SPARE), 0);
	check_sound(t, 6);
	topology_unref(t);
}

/* A node that was registered for a group, and starts when that is gone. */
static void a_member_of_no_group_is_a_spare(void **state)
{
	Topology *t = cluster();
	NodeRow late = row(7, "g3n1", NODE_DATA, 3);
	DorisError err;
	bool changed;
	bool joined;

	(void) state;
	assert_int_equal(place_enter(t, &late, &changed, &joined, &err), DORIS_OK);
	assert_true(joined);
	assert_int_equal(topology_node(t, 7)->role, NODE_SPARE);
	assert_int_equal(topology_node(t, 7)->group, 0);
	check_sound(t, 2);
	topology_unref(t);
}

/* ---- failures meanwhile ---- */

static void flips(void **state)
{
	Topology *t = cluster();
	Move m = to_spare(t, 0);
	VerdictCount n;

	(void) state;
	/* the old owner is down: nobody waits for what it acknowledges (rule lease) */
	move_open(t, &m, 2);
	verdict_down(t, m.from, 3, &nobody, &n);
	assert_int_equal(move_state(t, &m), MOVE_FILLS);
	assert_int_equal(topology_copy(t, 1, 0)->incoming, SPARE);
	assert_int_equal(say_ready(t, SPARE, 0, 4, 0), 1);
	assert_int_equal(topology_copy(t, 1, 0)->owner, SPARE);
	assert_int_equal(topology_copy(t, 1, 0)->retiring, 0);
	assert_int_equal(move_state(t, &m), MOVE_DONE);
	topology_unref(t);

	/* it fails while it retires: it is let go of */
	t = cluster();
	m = to_spare(t, 0);
	move_open(t, &m, 2);
	assert_int_equal(say_ready(t, SPARE, 0, 3, 0), 1);
	verdict_down(t, m.from, 4, &nobody, &n);
	assert_int_equal(move_state(t, &m), MOVE_DONE);
	assert_int_equal(topology_changed(t, 0), 4);
	check_sound(t, 4);
	topology_unref(t);
}

static StartFacts facts_of(const Topology *t, uint32_t node, bool behind)
{
	const TopoNode *n = topology_node(t, node);
	StartFacts f = {.incarnation = n->incarnation + 1000, .behind = behind};

	memcpy(f.home, n->home, sizeof(f.home));
	snprintf(f.address, sizeof(f.address), "%s", n->address);
	return f;
}

static void starts_of_the_new_node(void **state)
{
	Topology *t = cluster();
	Move m = to_spare(t, 0);
	StartFacts f = facts_of(t, SPARE, false);
	ReadyCopy ready = {0, 2};
	VerdictCount n;
	bool changed;

	(void) state;
	/* a clean start goes on with the move, but what the start before did is void */
	move_open(t, &m, 2);
	assert_int_equal(verdict_start(t, SPARE, &f, 3, &changed, &n), START_ENTERED);
	assert_true(changed);
	assert_int_equal(move_state(t, &m), MOVE_FILLS);
	assert_int_equal(topology_changed(t, 0), 3);
	assert_int_equal(verdict_ready(t, t, SPARE, f.incarnation, &ready, 1, 4, 0), 0);
	assert_int_equal(verdict_ready(t, t, SPARE, f.incarnation - 1000, &ready, 1, 4, 0), 0);
	assert_int_equal(say_ready(t, SPARE, 0, 4, 0), 1);
	topology_unref(t);

	/* one that is behind begins anew (rule leftovers) */
	t = cluster();
	m = to_spare(t, 0);
	move_open(t, &m, 2);
	f = facts_of(t, SPARE, true);
	assert_int_equal(verdict_start(t, SPARE, &f, 3, &changed, &n), START_ENTERED);
	assert_int_equal(move_state(t, &m), MOVE_WAITS);
	assert_int_equal(topology_changed(t, 0), 3);
	assert_true(topology_copy(t, 1, 0)->complete);
	topology_unref(t);
}

/* One that is not let in, as it has the last complete copy of something and is behind, has no part in moves either. */
static void held_back(void **state)
{
	Topology *t = cluster();
	VerdictCount n;
	StartFacts f;
	bool changed;
	uint32_t filling = VNODES;
	uint32_t retiring = VNODES;

	(void) state;
	verdict_down(t, 3, 2, &nobody, &n);
	verdict_down(t, 4, 3, &nobody, &n);
	for (uint32_t v = 0; v < VNODES; v++)
		if (topology_copy(t, 1, v)->owner == 2)
		{
			retiring = filling < VNODES ? v : retiring;
			filling = filling < VNODES ? filling : v;
		}
	assert_true(filling < VNODES && retiring < VNODES);
	topology_copy(t, 1, filling)->incoming = 1;
	topology_copy(t, 1, retiring)->retiring = 1;
	f = facts_of(t, 1, true);
	assert_int_equal(verdict_start(t, 1, &f, 4, &changed, &n), START_HELD_BACK);
	assert_true(n.last > 0);
	assert_int_equal(topology_node(t, 1)->condition, NODE_DOWN);
	assert_int_equal(topology_copy(t, 1, filling)->incoming, 0);
	assert_int_equal(topology_copy(t, 1, filling)->changed, 4);
	assert_int_equal(topology_copy(t, 1, retiring)->retiring, 0);
	assert_int_equal(topology_copy(t, 1, retiring)->changed, 4);
	check_sound(t, 4);
	topology_unref(t);
}

/* The new owner is lost right after the flip: the old one still takes writes until it knows that it serves no reads. */
static void replaced_while_another_retires(void **state)
{
	Topology *t = cluster();
	Move m = to_spare(t, 0);
	NodeRow late = row(7, "spare2", NODE_SPARE, 0);
	VerdictCount n;
	DorisError err;
	Acks acks = all_at(2);
	bool changed;
	bool joined;

	(void) state;
	assert_int_equal(place_enter(t, &late, &changed, &joined, &err), DORIS_OK);
	verdict_node(t, SPARE)->role = NODE_DATA;
	verdict_node(t, SPARE)->group = 1;
	move_open(t, &m, 2);
	assert_int_equal(say_ready(t, SPARE, 0, 3, 0), 1);
	verdict_down(t, SPARE, 4, &nobody, &n);
	assert_int_equal(verdict_replace(t, SPARE, 7, 5), 1);
	assert_int_equal(topology_copy(t, 1, 0)->owner, 7);
	assert_int_equal(topology_copy(t, 1, 0)->retiring, m.from);
	assert_int_equal(moves_release(t, 6, acked, &acks), 0);
	acks = all_at(5);
	assert_int_equal(moves_release(t, 6, acked, &acks), 1);
	check_sound(t, 6);
	topology_unref(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_move_goes_through_its_states),
									   cmocka_unit_test(what_keeps_a_move_from_opening),
									   cmocka_unit_test(closing),
									   cmocka_unit_test(orphans),
									   cmocka_unit_test(adding_a_group),
									   cmocka_unit_test(dropping_a_group),
									   cmocka_unit_test(a_drop_that_is_called_off),
									   cmocka_unit_test(a_member_of_no_group_is_a_spare),
									   cmocka_unit_test(flips),
									   cmocka_unit_test(starts_of_the_new_node),
									   cmocka_unit_test(held_back),
									   cmocka_unit_test(replaced_while_another_retires)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
