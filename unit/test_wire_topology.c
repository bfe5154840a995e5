/* links: wire */
/*
 * test_wire_topology.c: topologies: round trip, signature, shape, and who holds and reads what.
 */
#include "test_wire.h"

#include <sodium.h>

#include "topology.h"

static uint8_t public_key[32];
static uint8_t secret[64];

static int setup(void **state)
{
	(void) state;
	if (sodium_init() < 0)
		return -1;
	crypto_sign_keypair(public_key, secret);
	return 0;
}

static void set_node(TopoNode *n, uint32_t id, const char *name, NodeRole role, uint8_t group)
{
	memset(n, 0, sizeof(*n));
	n->id = id;
	snprintf(n->name, sizeof(n->name), "%s", name);
	snprintf(n->address, sizeof(n->address), "tcp://127.0.0.1:%u", 5000 + id);
	n->role = role;
	n->condition = NODE_UP;
	n->group = group;
	n->incarnation = 1000 + id;
	memset(n->home, (int) id, sizeof(n->home));
}

/* 8 vnodes, 2 groups of 2 nodes (ids 1, 2 and 3, 5), a log node 9, namespaces "a" (id 7) and "b" (id 4). */
static Topology *sample(void)
{
	Topology *t = topology_new(8, 2);

	assert_non_null(t);
	memset(t->cluster, 0xc1, sizeof(t->cluster));
	t->epoch = 41;
	t->term = 6;
	memset(t->previous, 0x11, sizeof(t->previous));
	t->nnodes = 5;
	t->nodes = calloc(5, sizeof(TopoNode));
	assert_non_null(t->nodes);
	set_node(&t->nodes[0], 1, "g1n1", NODE_DATA, 1);
	set_node(&t->nodes[1], 2, "g1n2", NODE_DATA, 1);
	set_node(&t->nodes[2], 3, "g2n1", NODE_DATA, 2);
	set_node(&t->nodes[3], 5, "g2n2", NODE_DATA, 2);
	set_node(&t->nodes[4], 9, "log1", NODE_LOG, 0);
	for (uint32_t v = 0; v < 8; v++)
	{
		*topology_copy(t, 1, v) = (TopoCopy){1 + v % 2, 0, 0, true, 30};
		*topology_copy(t, 2, v) = (TopoCopy){v % 2 ? 5 : 3, 0, 0, true, 31 + v};
	}
	topology_copy(t, 1, 3)->incoming = 1;
	topology_copy(t, 2, 3)->retiring = 3;
	topology_copy(t, 2, 4)->complete = false;
	t->nnamespaces = 2;
	t->namespaces = calloc(2, sizeof(NsDef));
	assert_non_null(t->namespaces);
	t->namespaces[0] = sample_nsdef(7, "a");
	t->namespaces[1] = sample_nsdef(4, "b");
	t->next_namespace_id = 8;
	t->sync_interval = true;
	return t;
}

static Topology *sealed_sample(const uint8_t *key)
{
	Topology *t = sample();
	DorisError err;

	assert_int_equal(topology_seal(t, key, &err), DORIS_OK);
	return t;
}

static DorisStatus decode(const void *data, size_t len, const uint8_t *key, Topology **out)
{
	uint8_t *copy = exact_copy(data, len);
	DorisError err;
	DorisStatus status = topology_decode(copy, len, key, out, &err);

	free(copy);
	if (status != DORIS_OK)
		assert_null(*out);
	return status;
}

static void assert_same(const Topology *a, const Topology *b)
{
	assert_memory_equal(a->cluster, b->cluster, DORIS_UUID_SIZE);
	assert_true(a->epoch == b->epoch);
	assert_true(a->term == b->term);
	assert_memory_equal(a->previous, b->previous, DORIS_HASH_SIZE);
	assert_int_equal(a->vnodes, b->vnodes);
	assert_int_equal(a->groups, b->groups);
	assert_int_equal(a->next_namespace_id, b->next_namespace_id);
	assert_int_equal(a->sync_interval, b->sync_interval);
	assert_int_equal(a->nnodes, b->nnodes);
	for (uint32_t i = 0; i < a->nnodes; i++)
	{
		assert_int_equal(a->nodes[i].id, b->nodes[i].id);
		assert_string_equal(a->nodes[i].name, b->nodes[i].name);
		assert_string_equal(a->nodes[i].address, b->nodes[i].address);
		assert_int_equal(a->nodes[i].role, b->nodes[i].role);
		assert_int_equal(a->nodes[i].condition, b->nodes[i].condition);
		assert_int_equal(a->nodes[i].group, b->nodes[i].group);
		assert_memory_equal(a->nodes[i].home, b->nodes[i].home, DORIS_UUID_SIZE);
		assert_true(a->nodes[i].incarnation == b->nodes[i].incarnation);
	}
	for (size_t i = 0; i < (size_t) a->groups * a->vnodes; i++)
	{
		assert_int_equal(a->copies[i].owner, b->copies[i].owner);
		assert_int_equal(a->copies[i].incoming, b->copies[i].incoming);
		assert_int_equal(a->copies[i].retiring, b->copies[i].retiring);
		assert_int_equal(a->copies[i].complete, b->copies[i].complete);
		assert_true(a->copies[i].changed == b->copies[i].changed);
	}
	assert_int_equal(a->nnamespaces, b->nnamespaces);
	for (uint32_t i = 0; i < a->nnamespaces; i++)
	{
		assert_int_equal(a->namespaces[i].id, b->namespaces[i].id);
		assert_string_equal(a->namespaces[i].name, b->namespaces[i].name);
		assert_true(nsdef_same_shape(&a->namespaces[i], &b->namespaces[i]));
	}
}

static void a_topology_comes_back(void **state)
{
	Topology *t = sealed_sample(secret);
	Topology *back;
	Topology *clone;
	DorisError err;

	(void) state;
	assert_int_equal(decode(t->encoded, t->encoded_len, public_key, &back), DORIS_OK);
	assert_same(t, back);
	assert_memory_equal(t->hash, back->hash, DORIS_HASH_SIZE);
	assert_int_equal(t->encoded_len, back->encoded_len);
	assert_memory_equal(t->encoded, back->encoded, t->encoded_len);
	/* sealed again it is the same bytes: nothing was lost */
	clone = topology_clone(back);
	assert_non_null(clone);
	assert_null(clone->encoded);
	assert_same(t, clone);
	assert_int_equal(topology_seal(clone, secret, &err), DORIS_OK);
	assert_int_equal(clone->encoded_len, t->encoded_len);
	assert_memory_equal(clone->encoded, t->encoded, t->encoded_len);
	topology_unref(clone);
	topology_unref(back);
	topology_unref(t);
}

static void any_change_changes_the_hash(void **state)
{
	Topology *t = sealed_sample(NULL);
	Topology *other = topology_clone(t);
	DorisError err;

	(void) state;
	other->epoch++;
	assert_int_equal(topology_seal(other, NULL, &err), DORIS_OK);
	assert_memory_not_equal(t->hash, other->hash, DORIS_HASH_SIZE);
	topology_unref(other);
	topology_unref(t);
}

static void a_cluster_without_keys_signs_nothing(void **state)
{
	static const uint8_t zero[DORIS_SIGNATURE_SIZE];
	Topology *t = sealed_sample(NULL);
	Topology *back;

	(void) state;
	assert_memory_equal(t->encoded + t->encoded_len - sizeof(zero), zero, sizeof(zero));
	assert_int_equal(decode(t->encoded, t->encoded_len, NULL, &back), DORIS_OK);
	topology_unref(back);
	assert_int_equal(decode(t->encoded, t->encoded_len, public_key, &back), DORIS_DENIED);
	topology_unref(t);
}

static void forgeries_are_refused(void **state)
{
	Topology *t = sealed_sample(secret);
	uint8_t other_public[32];
	uint8_t other_secret[64];
	Topology *back;
	Topology *forged;

	(void) state;
	for (size_t i = 0; i < t->encoded_len; i++)
	{
		t->encoded[i] ^= 0x40;
		assert_int_equal(decode(t->encoded, t->encoded_len, public_key, &back), DORIS_DENIED);
		t->encoded[i] ^= 0x40;
	}
	crypto_sign_keypair(other_public, other_secret);
	forged = sealed_sample(other_secret);
	assert_int_equal(decode(forged->encoded, forged->encoded_len, public_key, &back), DORIS_DENIED);
	topology_unref(forged);
	topology_unref(t);
}

static void truncated_ones_are_refused(void **state)
{
	Topology *t = sealed_sample(secret);
	size_t body = t->encoded_len - DORIS_SIGNATURE_SIZE;
	uint8_t *cut = malloc(t->encoded_len);
	Topology *back;

	(void) state;
	for (size_t len = 0; len < t->encoded_len; len++)
		assert_int_not_equal(decode(t->encoded, len, public_key, &back), DORIS_OK);
	/* the body cut short under a signature-sized tail */
	for (size_t len = 0; len < body; len++)
	{
		memcpy(cut, t->encoded, len);
		memset(cut + len, 0, DORIS_SIGNATURE_SIZE);
		assert_int_equal(decode(cut, len + DORIS_SIGNATURE_SIZE, NULL, &back), DORIS_BAD_MESSAGE);
	}
	free(cut);
	topology_unref(t);
}

/* Every bit of the body turned over, unsigned: decoded or refused, never a crash. */
static void damaged_ones_do_no_harm(void **state)
{
	Topology *t = sealed_sample(NULL);

	(void) state;
	for (size_t i = 0; i < t->encoded_len - DORIS_SIGNATURE_SIZE; i++)
	{
		for (int bit = 0; bit < 8; bit++)
		{
			Topology *back;

			t->encoded[i] ^= (uint8_t) (1 << bit);
			(void) decode(t->encoded, t->encoded_len, NULL, &back);
			topology_unref(back);
			t->encoded[i] ^= (uint8_t) (1 << bit);
		}
	}
	topology_unref(t);
}

/* Seals what a test has made wrong in a sample. */
static void expect_unsealable(Topology *t)
{
	DorisError err;

	assert_int_equal(topology_seal(t, secret, &err), DORIS_BAD_ARGUMENT);
	assert_string_not_equal(err.message, "");
	topology_unref(t);
}

static void odd_shapes_are_refused(void **state)
{
	Topology *t;

	(void) state;
	t = sample();
	t->epoch = 0;
	expect_unsealable(t);
	t = sample();
	t->nodes[3].id = 3; /* twice */
	expect_unsealable(t);
	t = sample();
	t->nodes[0].id = 0;
	expect_unsealable(t);
	t = sample();
	strcpy(t->nodes[1].name, "g1n1");
	expect_unsealable(t);
	t = sample();
	strcpy(t->nodes[1].name, "g1 n2");
	expect_unsealable(t);
	t = sample();
	t->nodes[1].address[0] = '\0';
	expect_unsealable(t);
	t = sample();
	t->nodes[1].group = 3;
	expect_unsealable(t);
	t = sample();
	t->nodes[4].group = 1; /* a log node */
	expect_unsealable(t);
	t = sample();
	t->nodes[1].role = 7;
	expect_unsealable(t);
	t = sample();
	t->nodes[1].condition = 0;
	expect_unsealable(t);
	t = sample();
	topology_copy(t, 1, 0)->owner = 4; /* no such node */
	expect_unsealable(t);
	t = sample();
	topology_copy(t, 2, 7)->incoming = 99;
	expect_unsealable(t);
	t = sample();
	topology_copy(t, 2, 7)->retiring = 99;
	expect_unsealable(t);
	t = sample();
	topology_copy(t, 1, 0)->owner = 0; /* complete, but nowhere */
	expect_unsealable(t);
	t = sample();
	topology_copy(t, 1, 0)->changed = 42; /* after its own epoch */
	expect_unsealable(t);
	t = sample();
	strcpy(t->namespaces[0].name, "c"); /* out of order */
	expect_unsealable(t);
	t = sample();
	strcpy(t->namespaces[0].name, "b"); /* twice */
	expect_unsealable(t);
	t = sample();
	t->namespaces[0].id = 4; /* twice */
	expect_unsealable(t);
	t = sample();
	t->next_namespace_id = 7; /* would be given again */
	expect_unsealable(t);
	t = sample();
	t->namespaces[1].key_columns = 0;
	expect_unsealable(t);
	assert_null(topology_new(0, 1));
	assert_null(topology_new(65537, 1));
	assert_null(topology_new(1, 0));
	assert_null(topology_new(1, 5));
}

static void the_largest_fits_a_message(void **state)
{
	Topology *t = topology_new(DORIS_MAX_VNODES, DORIS_MAX_GROUPS);
	Topology *back;
	DorisError err;

	(void) state;
	assert_non_null(t);
	t->epoch = UINT64_MAX;
	t->nnodes = DORIS_MAX_NODES;
	t->nodes = calloc(t->nnodes, sizeof(TopoNode));
	assert_non_null(t->nodes);
	for (uint32_t i = 0; i < t->nnodes; i++)
	{
		char name[16];

		snprintf(name, sizeof(name), "n%u", i + 1);
		set_node(&t->nodes[i], i + 1, name, NODE_DATA, (uint8_t) (1 + i % 4));
	}
	for (uint32_t g = 1; g <= 4; g++)
		for (uint32_t v = 0; v < DORIS_MAX_VNODES; v++)
			*topology_copy(t, g, v) = (TopoCopy){1 + v % 4096, 4096, 4095, true, UINT64_MAX - v};
	assert_int_equal(topology_seal(t, secret, &err), DORIS_OK);
	assert_in_range(t->encoded_len, 1, 8 << 20);
	assert_int_equal(decode(t->encoded, t->encoded_len, public_key, &back), DORIS_OK);
	assert_same(t, back);
	topology_unref(back);
	topology_unref(t);
}

static void things_are_found(void **state)
{
	Topology *made = sample(); /* neither sealed nor decoded: no index yet */
	Topology *sealed = sealed_sample(NULL);

	(void) state;
	for (int i = 0; i < 2; i++)
	{
		const Topology *t = i == 0 ? made : sealed;

		assert_string_equal(topology_node(t, 2)->name, "g1n2");
		assert_string_equal(topology_node(t, 5)->name, "g2n2");
		assert_string_equal(topology_node(t, 9)->name, "log1");
		assert_null(topology_node(t, 0));
		assert_null(topology_node(t, 4));
		assert_null(topology_node(t, 10));
		assert_int_equal(topology_node_by_name(t, "g2n1")->id, 3);
		assert_null(topology_node_by_name(t, "g2n9"));
		assert_int_equal(topology_namespace(t, "b")->id, 4);
		assert_null(topology_namespace(t, "c"));
		assert_string_equal(topology_namespace_by_id(t, 7)->name, "a");
		assert_null(topology_namespace_by_id(t, 5));
	}
	topology_unref(made);
	topology_unref(sealed);
}

static void the_latest_change_counts(void **state)
{
	Topology *t = sample();

	(void) state;
	assert_true(topology_changed(t, 0) == 31);
	assert_true(topology_changed(t, 7) == 38);
	topology_copy(t, 1, 7)->changed = 40;
	assert_true(topology_changed(t, 7) == 40);
	topology_unref(t);
}

static void write_targets(void **state)
{
	Topology *t = sample();
	TopoTarget targets[DORIS_MAX_TARGETS];

	(void) state;
	assert_int_equal(topology_targets(t, 0, targets), 2);
	assert_int_equal(targets[0].node->id, 1);
	assert_true(targets[0].judge);
	assert_int_equal(targets[1].node->id, 3);
	assert_true(targets[1].judge);
	/* vnode 3: owner 2, incoming 1; owner 5, retiring 3 */
	assert_int_equal(topology_targets(t, 3, targets), 4);
	assert_int_equal(targets[0].node->id, 2);
	assert_true(targets[0].judge);
	assert_int_equal(targets[1].node->id, 1);
	assert_false(targets[1].judge);
	assert_int_equal(targets[2].node->id, 5);
	assert_int_equal(targets[3].node->id, 3);
	assert_false(targets[3].judge);
	/* vnode 4: group 2's copy is not complete: it holds, but does not judge */
	assert_int_equal(topology_targets(t, 4, targets), 2);
	assert_false(targets[1].judge);
	assert_true(topology_is_target(t, 3, 4));
	assert_false(topology_is_judge(t, 3, 4));
	assert_true(topology_is_judge(t, 1, 4));
	assert_true(topology_is_target(t, 1, 3));
	assert_false(topology_is_judge(t, 1, 3));
	assert_false(topology_is_target(t, 9, 3));
	assert_false(topology_is_target(t, 0, 3));
	assert_false(topology_is_target(t, 1, 8));
	assert_int_equal(topology_targets(t, 8, targets), 0);
	/* in both groups at once: named once, a judge if either copy is complete */
	topology_copy(t, 2, 4)->owner = 1;
	assert_int_equal(topology_targets(t, 4, targets), 1);
	assert_true(targets[0].judge);
	topology_unref(t);
}

static void expect_readers(const Topology *t, uint32_t v, uint32_t group, uint32_t first,
						   uint32_t second)
{
	const TopoNode *out[DORIS_MAX_GROUPS];
	int n = topology_readers(t, v, group, out);

	assert_int_equal(n, (first != 0) + (second != 0));
	if (n > 0)
		assert_int_equal(out[0]->id, first);
	if (n > 1)
		assert_int_equal(out[1]->id, second);
}

static void readers_begin_with_the_lead_copy(void **state)
{
	Topology *t = sample();

	(void) state;
	expect_readers(t, 0, 0, 1, 3); /* v mod G = 0: group 1 leads */
	expect_readers(t, 1, 0, 5, 2); /* 1: group 2 */
	expect_readers(t, 4, 0, 1, 0); /* group 2's copy is not complete (I2) */
	expect_readers(t, 0, 2, 3, 1);
	expect_readers(t, 1, 1, 2, 5);
	expect_readers(t, 4, 2, 1, 0);
	expect_readers(t, 8, 0, 0, 0);
	t->nodes[0].condition = NODE_DOWN;
	expect_readers(t, 0, 0, 3, 1); /* down: asked last */
	expect_readers(t, 0, 1, 3, 1);
	expect_readers(t, 4, 0, 1, 0);
	t->nodes[0].condition = NODE_DEAD;
	expect_readers(t, 0, 0, 3, 0);
	topology_unref(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_topology_comes_back),
		cmocka_unit_test(any_change_changes_the_hash),
		cmocka_unit_test(a_cluster_without_keys_signs_nothing),
		cmocka_unit_test(forgeries_are_refused),
		cmocka_unit_test(truncated_ones_are_refused),
		cmocka_unit_test(damaged_ones_do_no_harm),
		cmocka_unit_test(odd_shapes_are_refused),
		cmocka_unit_test(the_largest_fits_a_message),
		cmocka_unit_test(things_are_found),
		cmocka_unit_test(the_latest_change_counts),
		cmocka_unit_test(write_targets),
		cmocka_unit_test(readers_begin_with_the_lead_copy),
	};

	return cmocka_run_group_tests_name("wire: topology", tests, setup, NULL);
}
