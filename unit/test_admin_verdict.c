/* links: admin client wire */
/*
 * test_admin_verdict.c: what failure, return, start, completeness and replacement do to a topology.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verdict.h"

#define VNODES 8

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

/* 1, 2: group 1; 3, 4: group 2; 5: log; 6: spare; with three groups 7: all of group 3. */
static Topology *cluster(uint32_t groups)
{
	ClusterRow c = {.vnodes = VNODES, .groups = groups};
	NodeRow rows[] = {row(1, "g1n1", NODE_DATA, 1), row(2, "g1n2", NODE_DATA, 1),
					  row(3, "g2n1", NODE_DATA, 2), row(4, "g2n2", NODE_DATA, 2),
					  row(5, "log1", NODE_LOG, 0),	row(6, "spare1", NODE_SPARE, 0),
					  row(7, "g3n1", NODE_DATA, 3)};
	Topology *t = place_first(&c, rows, groups == 3 ? 7 : 6);

	assert_non_null(t);
	return t;
}

/* One group: 1 and 2. */
static Topology *one_group(void)
{
	ClusterRow c = {.vnodes = VNODES, .groups = 1};
	NodeRow rows[] = {row(1, "g1n1", NODE_DATA, 1), row(2, "g1n2", NODE_DATA, 1)};
	Topology *t = place_first(&c, rows, 2);

	assert_non_null(t);
	return t;
}

/* Of every vnode, at least one copy is complete, whatever happens. */
static void check_last_copy(const Topology *t)
{
	for (uint32_t v = 0; v < t->vnodes; v++)
	{
		bool any = false;

		for (uint32_t g = 1; g <= t->groups; g++)
			any = any || topology_copy(t, g, v)->complete;
		assert_true(any);
	}
}

static void copies_fail_and_return(void **state)
{
	Topology *t = cluster(2);
	VerdictCount n;

	(void) state;
	verdict_down(t, 1, 2, &nobody, &n);
	assert_int_equal(topology_node(t, 1)->condition, NODE_DOWN);
	assert_int_equal(n.incomplete, VNODES / 2);
	assert_int_equal(n.last, 0);
	for (uint32_t v = 0; v < VNODES; v++)
	{
		const TopoCopy *copy = topology_copy(t, 1, v);

		assert_int_equal(copy->complete, copy->owner != 1);
		assert_int_equal(copy->changed, copy->owner == 1 ? 2 : 1);
		assert_true(topology_copy(t, 2, v)->complete);
		assert_int_equal(topology_copy(t, 2, v)->changed, 1);
	}
	/* its writes go to itself again: in a new epoch, still incomplete */
	verdict_up(t, 1, 3, &nobody, &n);
	assert_int_equal(topology_node(t, 1)->condition, NODE_UP);
	assert_int_equal(n.incomplete, VNODES / 2);
	for (uint32_t v = 0; v < VNODES; v++)
		if (topology_copy(t, 1, v)->owner == 1)
			assert_int_equal(topology_changed(t, v), 3);
	/* failing once more, the incomplete ones are voided, too */
	verdict_down(t, 1, 4, &nobody, &n);
	for (uint32_t v = 0; v < VNODES; v++)
		if (topology_copy(t, 1, v)->owner == 1)
			assert_int_equal(topology_changed(t, v), 4);
	topology_unref(t);
}

static void last_copies_stay_complete(void **state)
{
	Topology *t = cluster(2);
	VerdictCount n;
	uint32_t shared = 0;

	(void) state;
	verdict_down(t, 1, 2, &nobody, &n);
	verdict_down(t, 3, 3, &nobody, &n);
	check_last_copy(t);
	for (uint32_t v = 0; v < VNODES; v++)
		if (topology_copy(t, 1, v)->owner == 1 && topology_copy(t, 2, v)->owner == 3)
		{
			assert_true(topology_copy(t, 2, v)->complete);
			assert_int_equal(topology_copy(t, 2, v)->changed, 1); /* nothing was voided */
			shared++;
		}
	assert_true(shared > 0);
	assert_int_equal(n.last, shared);
	assert_int_equal(topology_node(t, 3)->condition, NODE_DOWN); /* all the same */
	/* the first one's return does not make the last copies incomplete */
	verdict_up(t, 1, 4, &nobody, &n);
	check_last_copy(t);
	for (uint32_t v = 0; v < VNODES; v++)
		if (topology_copy(t, 1, v)->owner == 1)
			assert_false(topology_copy(t, 1, v)->complete);
	topology_unref(t);

	t = one_group();
	verdict_down(t, 1, 2, &nobody, &n);
	assert_int_equal(n.incomplete, 0);
	assert_int_equal(n.last, VNODES / 2);
	check_last_copy(t);
	assert_int_equal(verdict_incomplete(t, 1), 0);
	verdict_up(t, 1, 3, &nobody, &n);
	assert_int_equal(n.incomplete, 0);
	for (uint32_t v = 0; v < VNODES; v++)
		assert_int_equal(topology_changed(t, v), 1); /* a restart is simply waited for */
	topology_unref(t);
}

/* Both fail at once: whichever returns first may go on, as nothing was written without the other. */
static void silent_nodes_are_not_relied_on(void **state)
{
	Topology *t = cluster(2);
	const uint32_t three[] = {3};
	const Silent silent = {three, 1};
	VerdictCount n;
	uint32_t shared = 0;

	(void) state;
	verdict_down(t, 1, 2, &silent, &n);
	for (uint32_t v = 0; v < VNODES; v++)
		if (topology_copy(t, 1, v)->owner == 1)
		{
			bool only = topology_copy(t, 2, v)->owner == 3;

			assert_int_equal(topology_copy(t, 1, v)->complete, only);
			shared += only;
		}
	assert_int_equal(n.last, shared);
	verdict_down(t, 3, 3, &nobody, &n);
	for (uint32_t v = 0; v < VNODES; v++)
		if (topology_copy(t, 1, v)->owner == 1 && topology_copy(t, 2, v)->owner == 3)
			assert_true(topology_copy(t, 1, v)->complete && topology_copy(t, 2, v)->complete);
	verdict_up(t, 3, 4, &nobody, &n);
	for (uint32_t v = 0; v < VNODES; v++)
		if (topology_copy(t, 1, v)->owner == 1 && topology_copy(t, 2, v)->owner == 3)
		{
			assert_false(topology_copy(t, 1, v)->complete);
			assert_true(topology_copy(t, 2, v)->complete);
			assert_int_equal(topology_changed(t, v), 4);
		}
	check_last_copy(t);
	topology_unref(t);

	/* the silence was short: the copies of the one that is down are waited for no longer */
	t = cluster(2);
	verdict_down(t, 1, 2, &silent, &n);
	assert_int_equal(verdict_excuse(t, 3, &silent), 0);
	assert_int_equal(verdict_excuse(t, 3, &nobody), shared);
	assert_int_equal(verdict_incomplete(t, 1), VNODES / 2);
	assert_int_equal(verdict_excuse(t, 4, &nobody), 0);
	topology_unref(t);
}

static void moves_end_with_the_node(void **state)
{
	Topology *t = cluster(2);
	VerdictCount n;

	(void) state;
	topology_copy(t, 1, 0)->incoming = 6;
	topology_copy(t, 2, 1)->retiring = 6;
	verdict_down(t, 6, 2, &nobody, &n);
	assert_int_equal(topology_copy(t, 1, 0)->incoming, 0);
	assert_int_equal(topology_copy(t, 1, 0)->changed, 2);
	assert_true(topology_copy(t, 1, 0)->complete);
	assert_int_equal(topology_copy(t, 2, 1)->retiring, 0);
	assert_int_equal(topology_copy(t, 2, 1)->changed, 2);
	assert_int_equal(topology_changed(t, 2), 1);
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

static void good_starts(void **state)
{
	Topology *t = cluster(2);
	StartFacts f = facts_of(t, 1, false);
	VerdictCount n;
	bool changed;

	(void) state;
	assert_int_equal(verdict_start(t, 1, &f, 2, &changed, &n), START_ENTERED);
	assert_true(changed);
	assert_int_equal(topology_node(t, 1)->incarnation, f.incarnation);
	assert_int_equal(verdict_incomplete(t, 1), 0);
	for (uint32_t v = 0; v < VNODES; v++)
		assert_int_equal(topology_changed(t, v), 1); /* nothing is voided */
	assert_int_equal(verdict_start(t, 1, &f, 3, &changed, &n), START_KNOWN);
	assert_false(changed);

	/* one that recovers begins anew */
	verdict_down(t, 1, 3, &nobody, &n);
	verdict_up(t, 1, 4, &nobody, &n);
	f.incarnation++;
	assert_int_equal(verdict_start(t, 1, &f, 5, &changed, &n), START_ENTERED);
	assert_int_equal(n.incomplete, VNODES / 2);
	for (uint32_t v = 0; v < VNODES; v++)
		if (topology_copy(t, 1, v)->owner == 1)
			assert_int_equal(topology_changed(t, v), 5);
	topology_unref(t);
}

static void bad_starts(void **state)
{
	Topology *t = cluster(2);
	StartFacts f = facts_of(t, 1, true);
	VerdictCount n;
	bool changed;

	(void) state;
	memset(f.home, 0x77, sizeof(f.home)); /* a new home */
	assert_int_equal(verdict_start(t, 1, &f, 2, &changed, &n), START_ENTERED);
	assert_int_equal(n.incomplete, VNODES / 2);
	assert_int_equal(n.last, 0);
	assert_memory_equal(topology_node(t, 1)->home, f.home, sizeof(f.home));
	assert_int_equal(topology_node(t, 1)->condition, NODE_UP);
	for (uint32_t v = 0; v < VNODES; v++)
		if (topology_copy(t, 1, v)->owner == 1)
		{
			assert_false(topology_copy(t, 1, v)->complete);
			assert_int_equal(topology_changed(t, v), 2);
		}
	check_last_copy(t);
	topology_unref(t);
}

static void last_copy_is_not_let_in_behind(void **state)
{
	Topology *t = cluster(2);
	StartFacts f;
	VerdictCount n;
	bool changed;
	uint32_t last;

	(void) state;
	verdict_down(t, 1, 2, &nobody, &n);
	f = facts_of(t, 3, true);
	assert_int_equal(verdict_start(t, 3, &f, 3, &changed, &n), START_HELD_BACK);
	assert_true(changed);
	assert_true(n.last > 0);
	last = n.last;
	assert_int_equal(n.incomplete + n.last, VNODES / 2);
	assert_int_equal(topology_node(t, 3)->condition, NODE_DOWN);
	assert_int_not_equal(topology_node(t, 3)->incarnation, f.incarnation);
	check_last_copy(t);
	/* it asks again: nothing changes any more */
	assert_int_equal(verdict_start(t, 3, &f, 4, &changed, &n), START_HELD_BACK);
	assert_false(changed);
	/* an operator accepts the loss: all its copies are fenced anew */
	f.accept_loss = true;
	assert_int_equal(verdict_start(t, 3, &f, 5, &changed, &n), START_ENTERED);
	assert_int_equal(n.last, last);
	assert_int_equal(topology_node(t, 3)->incarnation, f.incarnation);
	for (uint32_t v = 0; v < VNODES; v++)
		if (topology_copy(t, 2, v)->owner == 3)
			assert_int_equal(topology_changed(t, v), 5);
	check_last_copy(t);
	topology_unref(t);
}

/* Behind, while the other complete copy is on a node that is down: that one is waited for. */
static void behind_beside_a_node_that_is_down(void **state)
{
	Topology *t = cluster(2);
	const uint32_t all[] = {1, 2, 3, 4};
	const Silent silent = {all, 4};
	StartFacts f;
	VerdictCount n;
	bool changed;

	(void) state;
	for (uint32_t id = 1; id <= 4; id++)
		verdict_down(t, id, 1 + id, &silent, &n);
	for (uint32_t id = 1; id <= 4; id++)
		assert_int_equal(verdict_incomplete(t, id), 0);
	f = facts_of(t, 1, true);
	assert_int_equal(verdict_start(t, 1, &f, 6, &changed, &n), START_ENTERED);
	assert_int_equal(verdict_incomplete(t, 1), VNODES / 2);
	check_last_copy(t);
	f = facts_of(t, 3, true);
	assert_int_equal(verdict_start(t, 3, &f, 7, &changed, &n), START_HELD_BACK);
	check_last_copy(t);
	topology_unref(t);
}

static void ready_copies(void **state)
{
	Topology *t = cluster(2);
	Topology *now;
	VerdictCount n;
	ReadyCopy ready[VNODES + 1];
	uint32_t nready = 0;

	(void) state;
	verdict_down(t, 1, 2, &nobody, &n);
	verdict_up(t, 1, 3, &nobody, &n);
	for (uint32_t v = 0; v < VNODES; v++)
		if (topology_copy(t, 1, v)->owner == 1)
			ready[nready++] = (ReadyCopy){v, 3};
	ready[nready++] = (ReadyCopy){99, 3}; /* nonsense */
	now = topology_clone(t);
	assert_non_null(now);
	/* of another start, of another epoch, of another node */
	assert_int_equal(verdict_ready(t, now, 1, 5, ready, nready, 4, 0), 0);
	assert_int_equal(verdict_ready(t, now, 2, 102, ready, nready, 4, 0), 0);
	ready[0].changed = 2;
	assert_int_equal(verdict_ready(t, now, 1, 101, ready, nready, 4, 0), VNODES / 2 - 1);
	assert_int_equal(verdict_incomplete(t, 1), 1);
	ready[0].changed = 3;
	assert_int_equal(verdict_ready(t, t, 1, 101, ready, nready, 5, 0), 1);
	assert_int_equal(verdict_incomplete(t, 1), 0);
	assert_int_equal(topology_copy(t, 1, ready[0].vnode)->changed, 5);
	assert_int_equal(topology_copy(t, 1, ready[1].vnode)->changed, 4);
	/* a node that is down is not ready, whatever it said */
	verdict_down(t, 1, 6, &nobody, &n);
	for (uint32_t i = 0; i < nready; i++)
		ready[i].changed = 6;
	assert_int_equal(verdict_ready(t, t, 1, 101, ready, nready, 7, 0), 0);
	topology_unref(now);
	topology_unref(t);
}

/* Two copies of a vnode become complete together; a failure in between voids both. */
static void ready_copies_of_three_groups(void **state)
{
	Topology *t = cluster(3);
	Topology *now;
	VerdictCount n;
	uint32_t v = 0;
	ReadyCopy ready;

	(void) state;
	assert_int_equal(topology_copy(t, 1, v)->owner, 1);
	assert_int_equal(topology_copy(t, 2, v)->owner, 3);
	verdict_down(t, 1, 2, &nobody, &n);
	verdict_down(t, 3, 3, &nobody, &n);
	verdict_up(t, 1, 4, &nobody, &n);
	verdict_up(t, 3, 5, &nobody, &n);
	ready = (ReadyCopy){v, 4};
	assert_int_equal(verdict_ready(t, t, 1, 101, &ready, 1, 6, 0),
					 0); /* the other's return voided it */
	ready.changed = 5;
	now = topology_clone(t);
	assert_int_equal(verdict_ready(t, now, 1, 101, &ready, 1, 6, 0), 1);
	assert_int_equal(verdict_ready(t, now, 3, 103, &ready, 1, 6, 0), 1);
	assert_int_equal(topology_changed(t, v), 6);
	topology_unref(now);
	topology_unref(t);
}

static void losses_are_declared(void **state)
{
	Topology *t = cluster(2);
	VerdictCount n;
	uint32_t shared = 0;

	(void) state;
	verdict_down(t, 1, 2, &nobody, &n);
	verdict_up(t, 1, 3, &nobody, &n);
	verdict_down(t, 3, 4, &nobody, &n);
	for (uint32_t v = 0; v < VNODES; v++)
		shared += topology_copy(t, 1, v)->owner == 1 && topology_copy(t, 2, v)->owner == 3;
	assert_int_equal(verdict_declare(t, 1, 5), shared);
	/* only what nobody else has; and the lost copies are waited for no more */
	assert_int_equal(verdict_incomplete(t, 1), VNODES / 2 - shared);
	for (uint32_t v = 0; v < VNODES; v++)
		if (topology_copy(t, 1, v)->owner == 1 && topology_copy(t, 2, v)->owner == 3)
			assert_false(topology_copy(t, 2, v)->complete);
	check_last_copy(t);
	topology_unref(t);
}

static void removing(void **state)
{
	Topology *t = cluster(2);
	DorisError err;

	(void) state;
	assert_int_equal(verdict_may_remove(t, topology_node(t, 1), &err), DORIS_CONFLICT);
	assert_non_null(strstr(err.hint, "doris_shrink"));
	assert_int_equal(verdict_may_remove(t, topology_node_by_name(t, "log1"), &err), DORIS_CONFLICT);
	assert_int_equal(verdict_may_remove(t, topology_node(t, 6), &err), DORIS_OK);
	/* what comes there, or has just left, counts */
	topology_copy(t, 1, 0)->incoming = 6;
	assert_int_equal(verdict_may_remove(t, topology_node(t, 6), &err), DORIS_CONFLICT);
	topology_copy(t, 1, 0)->incoming = 0;
	topology_copy(t, 2, 1)->retiring = 6;
	assert_int_equal(verdict_may_remove(t, topology_node(t, 6), &err), DORIS_CONFLICT);
	topology_unref(t);
}

static void replacing(void **state)
{
	Topology *t = cluster(2);
	VerdictCount n;
	DorisError err;

	(void) state;
	assert_int_equal(verdict_may_replace(t, "g1n1", "nobody", &err), DORIS_NOT_FOUND);
	assert_int_equal(verdict_may_replace(t, "nobody", "spare1", &err), DORIS_NOT_FOUND);
	assert_int_equal(verdict_may_replace(t, "g1n1", "g2n1", &err), DORIS_CONFLICT);
	assert_int_equal(verdict_may_replace(t, "g1n1", "log1", &err), DORIS_CONFLICT);
	assert_int_equal(verdict_may_replace(t, "log1", "spare1", &err), DORIS_CONFLICT);
	assert_int_equal(verdict_may_replace(t, "g1n1", "spare1", &err), DORIS_OK);
	verdict_node(t, 6)->condition = NODE_DOWN;
	assert_int_equal(verdict_may_replace(t, "g1n1", "spare1", &err), DORIS_CONFLICT);
	assert_int_equal(verdict_spare(t, &nobody, NULL, 0), 0);
	verdict_node(t, 6)->condition = NODE_UP;
	assert_int_equal(verdict_spare(t, &nobody, NULL, 0), 6);
	assert_int_equal(verdict_spare(t, &nobody, (const uint32_t[]){6}, 1), 0);

	verdict_down(t, 1, 2, &nobody, &n);
	assert_int_equal(verdict_may_replace(t, "g1n1", "spare1", &err), DORIS_OK);
	/* the last complete copies are not given away */
	verdict_down(t, 3, 3, &nobody, &n);
	assert_int_equal(verdict_may_replace(t, "g2n1", "spare1", &err), DORIS_CONFLICT);
	assert_non_null(strstr(err.message, "last complete"));

	assert_int_equal(verdict_replace(t, 1, 6, 4), VNODES / 2);
	assert_int_equal(verdict_owned(t, 1), 0);
	assert_int_equal(verdict_incomplete(t, 6), VNODES / 2);
	assert_int_equal(topology_node(t, 6)->role, NODE_DATA);
	assert_int_equal(topology_node(t, 6)->group, 1);
	for (uint32_t v = 0; v < VNODES; v++)
		if (topology_copy(t, 1, v)->owner == 6)
			assert_int_equal(topology_changed(t, v), 4);
	check_last_copy(t);
	t->epoch = 4;
	assert_int_equal(topology_seal(t, NULL, &err), DORIS_OK);
	topology_unref(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(copies_fail_and_return),
									   cmocka_unit_test(last_copies_stay_complete),
									   cmocka_unit_test(silent_nodes_are_not_relied_on),
									   cmocka_unit_test(moves_end_with_the_node),
									   cmocka_unit_test(good_starts),
									   cmocka_unit_test(bad_starts),
									   cmocka_unit_test(last_copy_is_not_let_in_behind),
									   cmocka_unit_test(behind_beside_a_node_that_is_down),
									   cmocka_unit_test(ready_copies),
									   cmocka_unit_test(ready_copies_of_three_groups),
									   cmocka_unit_test(losses_are_declared),
									   cmocka_unit_test(removing),
									   cmocka_unit_test(replacing)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
