/* links: wire */
/*
 * test_wire_route.c: vectors that every release must give for ever: a changed one would lose rows.
 * (Made with another implementation: Python's hashlib and its integers.)
 */
#include "test_wire.h"

#include "route.h"

#define NMODULI 7

static const uint32_t moduli[NMODULI] = {1, 7, 1000, 1024, 4099, 65521, 65536};

typedef struct RouteVector
{
	DorisBytes key;
	const char *md5;
	uint32_t vnodes[NMODULI];
} RouteVector;

#define KEY(literal)                                     \
	{                                                    \
		(const uint8_t *) (literal), sizeof(literal) - 1 \
	}

static const RouteVector vectors[] = {
	{KEY(""), "d41d8cd98f00b204e9800998ecf8427e", {0, 1, 366, 638, 2439, 4615, 17022}},
	{KEY("a"), "0cc175b9c0f1b6a831c399e269772661", {0, 0, 497, 609, 1133, 34000, 9825}},
	{KEY("abc"), "900150983cd24fb0d6963f7d28e17f72", {0, 0, 570, 882, 1999, 13539, 32626}},
	{KEY("\0"), "93b885adfe0da089cdf634904fd59f71", {0, 6, 137, 881, 885, 53170, 40817}},
	{KEY("doris"), "1bec52f7fccc9524493d8fae117a0bc8", {0, 3, 304, 968, 1895, 40665, 3016}},
	{KEY("The quick brown fox jumps over the lazy dog"),
	 "9e107d9d372bb6826bd81d3542a419d6",
	 {0, 1, 510, 470, 3436, 41774, 6614}},
	{KEY("\x80\0\0\0\0\0\0\x2a\0\x01"),
	 "99bde101876c888dcf55ebc6bd2d841d",
	 {0, 5, 533, 29, 3724, 57965, 33821}},
};

static void check_vector(const RouteVector *v)
{
	uint8_t digest[16];
	char hex[33];

	route_md5(v->key.data, v->key.len, digest);
	for (int i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	assert_string_equal(hex, v->md5);
	for (int i = 0; i < NMODULI; i++)
		assert_int_equal(route_vnode(v->key, moduli[i]), v->vnodes[i]);
}

static void vectors_hold(void **state)
{
	uint8_t all[256];
	RouteVector long_key = {{all, sizeof(all)},
							"e2c865db4162bed963bfaa9ef6ac18f0",
							{0, 1, 736, 240, 2640, 45047, 6384}};

	(void) state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		check_vector(&vectors[i]);
	for (int i = 0; i < 256; i++)
		all[i] = (uint8_t) i;
	check_vector(&long_key);
	assert_int_equal(route_vnode((DorisBytes){0}, 1024), 638); /* no data at all: the empty key */
}

static void keys_spread_evenly(void **state)
{
	enum
	{
		VNODES = 100,
		KEYS = 100000
	};
	int counts[VNODES] = {0};

	(void) state;
	for (uint32_t i = 0; i < KEYS; i++)
	{
		uint8_t key[4] = {(uint8_t) (i >> 24), (uint8_t) (i >> 16), (uint8_t) (i >> 8),
						  (uint8_t) i};
		uint32_t v = route_vnode((DorisBytes){key, 4}, VNODES);

		assert_in_range(v, 0, VNODES - 1);
		counts[v]++;
	}
	/* 1000 expected in each, standard deviation 32: six of them either way */
	for (int v = 0; v < VNODES; v++)
		assert_in_range(counts[v], 800, 1200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_hold),
		cmocka_unit_test(keys_spread_evenly),
	};

	return cmocka_run_group_tests_name("wire: route", tests, NULL, NULL);
}
