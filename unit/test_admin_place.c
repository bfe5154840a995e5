/* links: admin client wire */
/*
 * test_admin_place.c: where the first topology puts vnodes, who is welcome, who may be judged failed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin.h"

static NodeRow row(uint32_t id, const char *name, NodeRole role, uint8_t group, bool greeted)
{
	NodeRow r = {.id = id, .role = role, .group = group, .condition = NODE_UP};

	snprintf(r.name, sizeof(r.name), "%s", name);
	snprintf(r.address, sizeof(r.address), "tcp://127.0.0.1:%u", 7000 + id);
	if (greeted)
		memset(r.home, (int) id, sizeof(r.home));
	return r;
}

static ClusterRow cluster_of(uint32_t vnodes, uint32_t groups)
{
	ClusterRow c = {.vnodes = vnodes, .groups = groups};

	memset(c.id, 0xCC, sizeof(c.id));
	return c;
}

static void first_topology_is_even(void **state)
{
	ClusterRow c = cluster_of(10, 2);
	/* not in id order, groups of different size, nodes of all kinds */
	NodeRow rows[] = {row(7, "g1n3", NODE_DATA, 1, true), row(1, "g1n1", NODE_DATA, 1, true),
					  row(2, "g2n1", NODE_DATA, 2, true), row(3, "log1", NODE_LOG, 0, true),
					  row(4, "g1n2", NODE_DATA, 1, true), row(5, "spare1", NODE_SPARE, 0, false),
					  row(6, "g2n2", NODE_DATA, 2, false)};
	static const uint32_t g1[] = {1, 4, 7};
	Topology *t;
	Topology *back;
	DorisError err;

	(void) state;
	t = place_first(&c, rows, 7);
	assert_non_null(t);
	assert_int_equal(t->nnodes, 7);
	for (uint32_t v = 0; v < 10; v++)
	{
		assert_int_equal(topology_copy(t, 1, v)->owner, g1[(v + v / 3) % 3]);
		assert_int_equal(topology_copy(t, 2, v)->owner, 2); /* 6 has not greeted */
		assert_true(topology_copy(t, 1, v)->complete && topology_copy(t, 2, v)->complete);
		assert_int_equal(topology_changed(t, v), 1);
	}
	assert_int_equal(topology_node(t, 6)->condition, NODE_DOWN);
	assert_int_equal(topology_node(t, 3)->condition, NODE_UP);
	assert_int_equal(topology_node(t, 3)->group, 0);

	/* and it travels */
	assert_int_equal(topology_seal(t, NULL, &err), DORIS_OK);
	assert_int_equal(topology_decode(t->encoded, t->encoded_len, NULL, &back, &err), DORIS_OK);
	assert_int_equal(topology_copy(back, 1, 5)->owner, 1);
	topology_unref(back);
	topology_unref(t);
}

static void first_topology_waits(void **state)
{
	ClusterRow c = cluster_of(8, 2);
	NodeRow rows[] = {row(1, "g1n1", NODE_DATA, 1, true), row(2, "g2n1", NODE_DATA, 2, false),
					  row(3, "g1n2", NODE_DATA, 1, false), row(4, "log1", NODE_LOG, 0, false)};

	(void) state;
	assert_false(place_ready(&c, rows, 4, 1000000)); /* group 2 has nobody */
	memset(rows[1].home, 2, DORIS_UUID_SIZE);
	assert_false(place_ready(&c, rows, 4, 0));
	assert_true(place_ready(&c, rows, 4, ADMIN_FIRST_WAIT_MS)); /* without g1n2 then */
	memset(rows[2].home, 3, DORIS_UUID_SIZE);
	assert_true(place_ready(&c, rows, 4, 0)); /* log nodes are not waited for */
	assert_false(place_ready(&c, NULL, 0, 0));
}

static Topology *two_by_two(void)
{
	ClusterRow c = cluster_of(8, 2);
	NodeRow rows[] = {row(1, "g1n1", NODE_DATA, 1, true), row(2, "g1n2", NODE_DATA, 1, true),
					  row(3, "g2n1", NODE_DATA, 2, true), row(4, "g2n2", NODE_DATA, 2, true),
					  row(5, "log1", NODE_LOG, 0, true)};

	return place_first(&c, rows, 5);
}

/* Reads go to the lead copy of each vnode: every node gets its share of them. */
static void lead_copies_are_spread(void **state)
{
	Topology *t = two_by_two();
	uint32_t reads[8] = {0};

	(void) state;
	assert_non_null(t);
	for (uint32_t v = 0; v < t->vnodes; v++)
	{
		const TopoNode *readers[DORIS_MAX_GROUPS];

		assert_int_equal(topology_readers(t, v, 0, readers), 2);
		reads[readers[0]->id]++;
	}
	for (uint32_t id = 1; id <= 4; id++)
		assert_int_equal(reads[id], t->vnodes / 4);
	topology_unref(t);
}

static void last_copy_is_kept(void **state)
{
	Topology *t = two_by_two();
	uint32_t v = 99;

	(void) state;
	assert_non_null(t);
	assert_true(place_may_fail(t, 1, &v));
	t->nodes[0].condition = NODE_DOWN;
	/* node 3 holds the vnodes of group 2 whose other copies are on node 1, vnode 0 first */
	assert_false(place_may_fail(t, 3, &v));
	assert_int_equal(v, 0);
	assert_true(place_may_fail(t, 4, &v));
	assert_true(place_may_fail(t, 2, &v));
	assert_true(place_may_fail(t, 5, &v)); /* a log node holds no copy */
	t->nodes[0].condition = NODE_UP;
	/* an incomplete copy elsewhere is none */
	topology_copy(t, 2, 4)->complete = false;
	assert_false(place_may_fail(t, 1, &v));
	assert_int_equal(v, 4);
	assert_true(place_may_fail(t, 3, &v));
	topology_unref(t);
}

static void one_group_never_fails(void **state)
{
	ClusterRow c = cluster_of(4, 1);
	NodeRow rows[] = {row(1, "g1n1", NODE_DATA, 1, true), row(2, "g1n2", NODE_DATA, 1, true)};
	Topology *t = place_first(&c, rows, 2);
	uint32_t v;

	(void) state;
	assert_non_null(t);
	assert_false(place_may_fail(t, 1, &v));
	assert_false(place_may_fail(t, 2, &v));
	topology_unref(t);
}

static void greetings(void **state)
{
	uint8_t cluster[DORIS_UUID_SIZE];
	NodeRow r = row(3, "g1n1", NODE_DATA, 1, true);
	Hello h = {.node = 3, .name = "g1n1", .address = "tcp://127.0.0.1:7003"};
	DorisError err;

	(void) state;
	memset(cluster, 0xCC, sizeof(cluster));
	memset(h.home, 3, sizeof(h.home));
	memcpy(h.cluster, cluster, sizeof(cluster));
	assert_int_equal(place_greet(cluster, &r, &h, &err), DORIS_OK);
	assert_int_equal(place_greet(cluster, NULL, &h, &err), DORIS_NOT_FOUND);

	/* a home that was just made, of this registration's first start */
	memset(h.cluster, 0, sizeof(h.cluster));
	h.node = 0;
	assert_int_equal(place_greet(cluster, &r, &h, &err),
					 DORIS_OK); /* killed before it noted the welcome */
	memset(h.home, 9, sizeof(h.home));
	assert_int_equal(place_greet(cluster, &r, &h, &err), DORIS_OK); /* a wiped disk, filled again */
	snprintf(h.address, sizeof(h.address), "tcp://127.0.0.1:7004");
	assert_int_equal(place_greet(cluster, &r, &h, &err), DORIS_DENIED); /* a stranger */
	assert_non_null(strstr(err.message, "g1n1"));
	assert_true(err.hint[0] != '\0');
	snprintf(h.address, sizeof(h.address), "tcp://127.0.0.1:7003");
	memset(r.home, 0, sizeof(r.home));
	assert_int_equal(place_greet(cluster, &r, &h, &err), DORIS_OK); /* never greeted before */

	h.node = 4;
	assert_int_equal(place_greet(cluster, &r, &h, &err), DORIS_DENIED); /* another node's home */
	h.node = 3;
	memset(h.cluster, 0xDD, sizeof(h.cluster));
	assert_int_equal(place_greet(cluster, &r, &h, &err), DORIS_DENIED); /* another cluster's */
	memcpy(h.cluster, cluster, sizeof(cluster));
	r.condition = NODE_DEAD;
	assert_int_equal(place_greet(cluster, &r, &h, &err), DORIS_DENIED);
	r.condition = NODE_UP;
	snprintf(h.address, sizeof(h.address), "nowhere");
	assert_int_equal(place_greet(cluster, &r, &h, &err), DORIS_BAD_ARGUMENT);
}

static void nodes_enter(void **state)
{
	Topology *t = two_by_two();
	NodeRow r = row(3, "g2n1", NODE_DATA, 2, true);
	bool changed;
	bool joined;
	DorisError err;

	(void) state;
	assert_non_null(t);
	r.incarnation = t->nodes[2].incarnation;
	assert_int_equal(place_enter(t, &r, &changed, &joined, &err), DORIS_OK);
	assert_false(changed);
	r.incarnation = 77;
	assert_int_equal(place_enter(t, &r, &changed, &joined, &err), DORIS_OK);
	assert_true(changed && !joined);
	assert_int_equal(topology_node(t, 3)->incarnation, 77);

	/* new ones keep the id order; owning nothing */
	r = row(9, "spare1", NODE_SPARE, 0, true);
	assert_int_equal(place_enter(t, &r, &changed, &joined, &err), DORIS_OK);
	assert_true(changed && joined);
	r = row(8, "g1n3", NODE_DATA, 1, true);
	assert_int_equal(place_enter(t, &r, &changed, &joined, &err), DORIS_OK);
	assert_int_equal(t->nnodes, 7);
	assert_string_equal(t->nodes[5].name, "g1n3");
	assert_string_equal(t->nodes[6].name, "spare1");
	assert_int_equal(t->nodes[5].condition, NODE_UP);
	for (uint32_t v = 0; v < t->vnodes; v++)
		assert_false(topology_is_target(t, 8, v));
	topology_unref(t);
}

static void uuids(void **state)
{
	uint8_t u[DORIS_UUID_SIZE];
	uint8_t back[DORIS_UUID_SIZE];
	char text[37];

	(void) state;
	for (int i = 0; i < DORIS_UUID_SIZE; i++)
		u[i] = (uint8_t) (i * 16 + 15);
	uuid_text(u, text);
	assert_string_equal(text, "0f1f2f3f-4f5f-6f7f-8f9f-afbfcfdfefff");
	assert_true(uuid_parse(text, back));
	assert_memory_equal(u, back, sizeof(u));
	assert_false(uuid_parse("", back));
	assert_false(uuid_parse("0f1f", back));
	assert_false(uuid_parse("0f1f2f3f-4f5f-6f7f-8f9f-afbfcfdfefff00", back));
	assert_false(uuid_parse("0f1f2f3f-4f5f-6f7f-8f9f-afbfcfdfeffg", back));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(first_topology_is_even),
									   cmocka_unit_test(lead_copies_are_spread),
									   cmocka_unit_test(first_topology_waits),
									   cmocka_unit_test(last_copy_is_kept),
									   cmocka_unit_test(one_group_never_fails),
									   cmocka_unit_test(greetings),
									   cmocka_unit_test(nodes_enter),
									   cmocka_unit_test(uuids)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
