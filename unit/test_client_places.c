/* links: client */
/*
 * places_sort: rows for one node in the order in which its store has them.
 */
#include "test_wire.h"

#include "client.h"

static RowPlace place(uint32_t vnode, uint32_t row, const char *key)
{
	return (RowPlace){.vnode = vnode, .row = row, .key = {(const uint8_t *) key, strlen(key)}};
}

static void orders_by_vnode_then_key(void **state)
{
	RowPlace p[] = {place(7, 0, "b"), place(2, 1, "z"), place(7, 2, ""), place(7, 3, "ab"),
					place(0, 4, "q"), place(7, 5, "a"), place(2, 6, "y")};
	static const uint32_t want[] = {4, 6, 1, 2, 5, 3, 0};

	(void) state;
	places_sort(p, 7);
	for (int i = 0; i < 7; i++)
		assert_int_equal(p[i].row, want[i]);
	places_sort(p, 7); /* in order already */
	for (int i = 0; i < 7; i++)
		assert_int_equal(p[i].row, want[i]);
}

static void takes_few(void **state)
{
	RowPlace one = place(1, 9, "k");

	(void) state;
	places_sort(&one, 0);
	places_sort(&one, 1);
	assert_int_equal(one.row, 9);
}

/* A thousand rows in a scrambled order: all there, each above the one before. */
static void keeps_all(void **state)
{
	enum
	{
		N = 1000
	};
	static RowPlace p[N];
	static char keys[N][8];
	static bool seen[N];

	(void) state;
	for (uint32_t i = 0; i < N; i++)
	{
		uint32_t k = i * 617 % N;

		(void) snprintf(keys[i], sizeof(keys[i]), "%04u", k);
		p[i] = place(k % 13, i, keys[i]);
	}
	places_sort(p, N);
	for (uint32_t i = 0; i < N; i++)
	{
		assert_false(seen[p[i].row]);
		seen[p[i].row] = true;
		if (i > 0)
			assert_true(p[i - 1].vnode < p[i].vnode || (p[i - 1].vnode == p[i].vnode &&
														bytes_compare(p[i - 1].key, p[i].key) < 0));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(orders_by_vnode_then_key),
									   cmocka_unit_test(takes_few), cmocka_unit_test(keeps_all)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
