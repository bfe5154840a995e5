/* links: admin client wire */
/*
 * test_admin_names.c: creating, altering, dropping and truncating namespaces in a topology.
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

static NsColumn column(const char *name, const char *type, uint8_t key_position)
{
	NsColumn c = {.key_position = key_position, .in_value = key_position == 0};

	snprintf(c.name, sizeof(c.name), "%s", name);
	snprintf(c.type, sizeof(c.type), "%s", type);
	c.key_width = key_position > 0 ? 4 : 0;
	return c;
}

static NamespaceChange change(NamespaceVerb verb, const char *name, NsColumn *columns, uint16_t n,
							  uint8_t key)
{
	NamespaceChange c = {.verb = verb};

	snprintf(c.def.name, sizeof(c.def.name), "%s", name);
	c.def.columns = columns;
	c.def.ncolumns = n;
	c.def.key_columns = key;
	return c;
}

static void lifecycle(void **state)
{
	Topology *t = topology_new(8, 1);
	NsColumn cols[] = {column("tenant", "integer", 1), column("id", "integer", 2),
					   column("v", "text", 0)};
	NsColumn turned[] = {column("v", "text", 0), column("id", "integer", 2),
						 column("tenant", "integer", 1)};
	NsColumn more[] = {column("v", "text", 0), column("w", "numeric", 0), column("x", "text", 0)};
	NamespaceChange c = change(NAMESPACE_CREATE, "orders", cols, 3, 2);
	bool changed;
	DorisError err;
	uint32_t id;

	(void) state;
	assert_non_null(t);
	assert_int_equal(names_change(t, &c, &changed, &err), DORIS_OK);
	assert_true(changed);
	assert_int_equal(t->nnamespaces, 1);
	id = t->namespaces[0].id;
	assert_int_not_equal(id, 0);
	assert_int_equal(t->namespaces[0].version, 1);
	assert_int_equal(t->namespaces[0].columns[2].id, 3);
	assert_int_equal(nsdef_check(&t->namespaces[0], false, &err), DORIS_OK);

	/* again, in another order of columns, and saying that the whole key routes: it stands */
	assert_int_equal(names_change(t, &c, &changed, &err), DORIS_OK);
	assert_false(changed);
	c = change(NAMESPACE_CREATE, "orders", turned, 3, 2);
	c.def.route_columns = 2;
	assert_int_equal(names_change(t, &c, &changed, &err), DORIS_OK);
	assert_false(changed);

	/* another shape: what differs is said */
	c.def.route_columns = 1;
	assert_int_equal(names_change(t, &c, &changed, &err), DORIS_EXISTS);
	assert_non_null(strstr(err.message, "distributed"));
	c = change(NAMESPACE_CREATE, "orders", cols, 3, 2);
	snprintf(cols[2].type, sizeof(cols[2].type), "integer");
	assert_int_equal(names_change(t, &c, &changed, &err), DORIS_EXISTS);
	assert_non_null(strstr(err.message, "\"v\" is text there, integer here"));
	snprintf(cols[2].type, sizeof(cols[2].type), "text");
	c = change(NAMESPACE_CREATE, "orders", cols, 2, 2);
	assert_int_equal(names_change(t, &c, &changed, &err), DORIS_EXISTS);

	/* columns added: ids go on, present ones are skipped */
	c = change(NAMESPACE_ADD_COLUMNS, "orders", more, 3, 0);
	assert_int_equal(names_change(t, &c, &changed, &err), DORIS_OK);
	assert_true(changed);
	assert_int_equal(t->namespaces[0].ncolumns, 5);
	assert_int_equal(t->namespaces[0].columns[4].id, 5);
	assert_int_equal(t->namespaces[0].version, 2);
	assert_int_equal(names_change(t, &c, &changed, &err), DORIS_OK);
	assert_false(changed);
	assert_int_equal(t->namespaces[0].version, 2);
	snprintf(more[1].type, sizeof(more[1].type), "text");
	assert_int_equal(names_change(t, &c, &changed, &err), DORIS_EXISTS);
	more[0] = column("y", "text", 0);
	more[0].not_null = true;
	c.def.ncolumns = 1;
	assert_int_equal(names_change(t, &c, &changed, &err), DORIS_BAD_ARGUMENT);

	/* truncate: a new id; what was meant for the old one is refused */
	c = change(NAMESPACE_TRUNCATE, "orders", NULL, 0, 0);
	c.def.id = id;
	assert_int_equal(names_change(t, &c, &changed, &err), DORIS_OK);
	assert_true(t->namespaces[0].id > id);
	assert_int_equal(names_change(t, &c, &changed, &err), DORIS_CONFLICT);
	c.verb = NAMESPACE_DROP;
	assert_int_equal(names_change(t, &c, &changed, &err), DORIS_CONFLICT);
	id = t->namespaces[0].id;
	c.def.id = 0;
	assert_int_equal(names_change(t, &c, &changed, &err), DORIS_OK);
	assert_int_equal(t->nnamespaces, 0);
	assert_int_equal(names_change(t, &c, &changed, &err), DORIS_NOT_FOUND);

	/* an id is never used again */
	c = change(NAMESPACE_CREATE, "orders", cols, 3, 2);
	assert_int_equal(names_change(t, &c, &changed, &err), DORIS_OK);
	assert_true(t->namespaces[0].id > id);
	topology_unref(t);
}

static void kept_in_name_order(void **state)
{
	Topology *t = topology_new(8, 1);
	static const char *const names[] = {"m", "z", "a", "n", "b"};
	static const char *const sorted[] = {"a", "b", "m", "n", "z"};
	bool changed;
	DorisError err;

	(void) state;
	assert_non_null(t);
	for (int i = 0; i < 5; i++)
	{
		NsColumn col = column("id", "integer", 1);
		NamespaceChange c = change(NAMESPACE_CREATE, names[i], &col, 1, 1);

		assert_int_equal(names_change(t, &c, &changed, &err), DORIS_OK);
	}
	for (int i = 0; i < 5; i++)
	{
		assert_string_equal(t->namespaces[i].name, sorted[i]);
		assert_ptr_equal(topology_namespace(t, sorted[i]), &t->namespaces[i]);
	}
	topology_unref(t);
}

static void nonsense_is_refused(void **state)
{
	Topology *t = topology_new(8, 1);
	NsColumn cols[] = {column("id", "integer", 1), column("id", "text", 0)};
	NamespaceChange c = change(NAMESPACE_CREATE, "", cols, 1, 1);
	bool changed;
	DorisError err;

	(void) state;
	assert_non_null(t);
	assert_int_equal(names_change(t, &c, &changed, &err), DORIS_BAD_ARGUMENT);
	c = change(NAMESPACE_CREATE, "t", cols, 2, 1);
	assert_int_equal(names_change(t, &c, &changed, &err), DORIS_BAD_ARGUMENT); /* id twice */
	c = change(NAMESPACE_CREATE, "t", cols, 1, 2);
	assert_int_equal(names_change(t, &c, &changed, &err), DORIS_BAD_ARGUMENT); /* no position 2 */
	c = change(NAMESPACE_CREATE, "t", NULL, 0, 0);
	assert_int_equal(names_change(t, &c, &changed, &err), DORIS_BAD_ARGUMENT);
	c = change((NamespaceVerb) 9, "t", cols, 1, 1);
	assert_int_equal(names_change(t, &c, &changed, &err), DORIS_BAD_ARGUMENT);
	c = change(NAMESPACE_ADD_COLUMNS, "none", cols, 1, 0);
	assert_int_equal(names_change(t, &c, &changed, &err), DORIS_NOT_FOUND);
	assert_int_equal(t->nnamespaces, 0);
	topology_unref(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(lifecycle),
									   cmocka_unit_test(kept_in_name_order),
									   cmocka_unit_test(nonsense_is_refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
