/*
 * publish.c: a new topology into the schema, with what the views show of it, in one transaction (rule *publish*).
 *
 * doris.copies, doris.namespaces and doris.nodes repeat what the newest topology says. Only what differs from
 * the one before is written, so that an epoch costs what it changes, however many vnodes there are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema.h"

#define MAX_ARRAYS 8
#define COPIES_AT_ONCE 16384 /* rows in one statement, so that each stays far within its limit */

/* Runs one statement over arrays, which it takes over; none when they are empty. */
static DorisStatus write_arrays(Db *db, const char *sql, DorisBuf *a, int n, DorisError *err)
{
	DbParams p;
	DorisStatus status;

	if (a[0].len == 0)
	{
		for (int i = 0; i < n; i++)
			buf_free(&a[i]);
		return DORIS_OK;
	}
	params_init(&p);
	for (int i = 0; i < n; i++)
		params_array(&p, &a[i]);
	status = db_query(db, sql, &p, false, NULL, err);
	params_free(&p);
	return status;
}

static void arrays_init(DorisBuf a[MAX_ARRAYS])
{
	for (int i = 0; i < MAX_ARRAYS; i++)
		buf_init(&a[i]);
}

static void array_node(DorisBuf *b, uint32_t node)
{
	if (node == 0)
		array_text(b, NULL);
	else
		array_int(b, node);
}

static bool same_copy(const TopoCopy *x, const TopoCopy *y)
{
	return x->owner == y->owner && x->incoming == y->incoming && x->retiring == y->retiring &&
		   x->complete == y->complete && x->changed == y->changed;
}

static DorisStatus write_copies(Db *db, const Topology *old, const Topology *t, DorisError *err)
{
	size_t total = (size_t) t->groups * t->vnodes;
	size_t at = 0;
	DorisStatus status = DORIS_OK;

	while (at < total && status == DORIS_OK)
	{
		DorisBuf a[MAX_ARRAYS];

		arrays_init(a);
		for (int n = 0; at < total && n < COPIES_AT_ONCE; at++)
		{
			const TopoCopy *copy = &t->copies[at];

			if (old != NULL && at < (size_t) old->groups * old->vnodes &&
				same_copy(&old->copies[at], copy))
				continue;
			array_int(&a[0], (int64_t) (at / t->vnodes) + 1);
			array_int(&a[1], (int64_t) (at % t->vnodes));
			array_int(&a[2], copy->owner);
			array_node(&a[3], copy->incoming);
			array_node(&a[4], copy->retiring);
			array_text(&a[5], copy->complete ? "t" : "f");
			array_int(&a[6], (int64_t) copy->changed);
			n++;
		}
		status = write_arrays(
			db,
			"INSERT INTO doris.copies (group_id, vnode, owner, incoming, retiring, complete, "
			"changed) "
			"SELECT * FROM unnest($1::int4[], $2::int4[], $3::int4[], $4::int4[], $5::int4[], "
			"$6::bool[], $7::int8[]) "
			"ON CONFLICT (group_id, vnode) DO UPDATE SET owner = excluded.owner, "
			"incoming = excluded.incoming, retiring = excluded.retiring, "
			"complete = excluded.complete, changed = excluded.changed",
			a, 7, err);
	}
	return status;
}

static const char *condition_text(NodeCondition c)
{
	return c == NODE_DEAD ? "dead" : c == NODE_DOWN ? "down" : "up";
}

static const char *role_text(NodeRole r)
{
	return r == NODE_DATA ? "data" : r == NODE_LOG ? "log" : "spare";
}

static bool same_node(const TopoNode *x, const TopoNode *y)
{
	return strcmp(x->address, y->address) == 0 && x->role == y->role && x->group == y->group &&
		   x->condition == y->condition && memcmp(x->home, y->home, DORIS_UUID_SIZE) == 0 &&
		   x->incarnation == y->incarnation;
}

static DorisStatus write_nodes(Db *db, const Topology *old, const Topology *t, DorisError *err)
{
	DorisBuf a[MAX_ARRAYS];

	arrays_init(a);
	for (uint32_t i = 0; i < t->nnodes; i++)
	{
		const TopoNode *node = &t->nodes[i];
		const TopoNode *before = old != NULL ? topology_node(old, node->id) : NULL;
		char home[37];

		if (uuid_is_zero(node->home) && node->condition != NODE_DEAD)
			continue; /* laid out without it; it is a member once it greets */
		if (before != NULL && same_node(before, node))
			continue;
		uuid_text(node->home, home);
		array_int(&a[0], node->id);
		array_text(&a[1], node->address);
		array_text(&a[2], role_text(node->role));
		array_node(&a[3], node->group);
		array_text(&a[4], condition_text(node->condition));
		array_text(&a[5], home);
		array_int(&a[6], (int64_t) node->incarnation);
	}
	return write_arrays(db,
						"UPDATE doris.nodes n SET address = t.address, role = t.role, "
						"group_id = t.group_id, condition = t.condition, home = t.home, "
						"incarnation = t.incarnation, state = 'member', "
						"mark = CASE WHEN n.home IS DISTINCT FROM t.home THEN 0 ELSE n.mark END, "
						"epoch = CASE WHEN n.home IS DISTINCT FROM t.home THEN 0 ELSE n.epoch END, "
						"accept_loss = n.accept_loss AND n.incarnation = t.incarnation, "
						"down_since = CASE WHEN t.condition = 'down' "
						"THEN coalesce(n.down_since, clock_timestamp()) END "
						"FROM unnest($1::int4[], $2::text[], $3::text[], $4::int4[], "
						"$5::text[], $6::uuid[], $7::int8[]) "
						"AS t(node_id, address, role, group_id, condition, home, incarnation) "
						"WHERE n.node_id = t.node_id",
						a, 7, err);
}

/* How many vnodes each node owns, and since when it recovers, for doris.nodes. Only when copies changed. */
static DorisStatus write_counts(Db *db, DorisError *err)
{
	return db_query(
		db,
		"UPDATE doris.nodes n SET vnodes = c.owned, "
		"recovering_since = CASE WHEN c.recovers THEN coalesce(n.recovering_since, "
		"clock_timestamp()) END "
		"FROM (SELECT m.node_id, count(o.owner)::int4 AS owned, "
		"m.condition = 'up' AND count(*) FILTER (WHERE NOT o.complete) > 0 AS recovers "
		"FROM doris.nodes m LEFT JOIN doris.copies o ON o.owner = m.node_id GROUP BY m.node_id) c "
		"WHERE c.node_id = n.node_id AND (n.vnodes IS DISTINCT FROM c.owned "
		"OR c.recovers IS DISTINCT FROM (n.recovering_since IS NOT NULL))",
		NULL, false, NULL, err);
}

static void put_text(DorisBuf *b, const char *text)
{
	buf_put_raw(b, text, strlen(text));
}

/* "id bigint, name text": the columns of a key (in its order), or all that are not dropped. */
static void describe(const NsDef *d, bool key, DorisBuf *out)
{
	buf_reset(out);
	if (key)
		for (int i = 1; i <= d->key_columns; i++)
		{
			const NsColumn *col = nsdef_key_column(d, i);

			put_text(out, i > 1 ? ", " : "");
			put_text(out, col != NULL ? col->name : "?");
		}
	else
	{
		bool first = true;

		for (int i = 0; i < d->ncolumns; i++)
		{
			const NsColumn *col = &d->columns[i];

			if (col->dropped)
				continue;
			put_text(out, first ? "" : ", ");
			put_text(out, col->name);
			put_text(out, " ");
			put_text(out, col->type);
			first = false;
		}
	}
	buf_put_u8(out, '\0');
}

static void describe_options(const NsDef *d, DorisBuf *out)
{
	buf_reset(out);
	if (d->route_columns > 0 && d->route_columns < d->key_columns)
	{
		put_text(out, "distribute_by '");
		for (int i = 1; i <= d->route_columns; i++)
		{
			const NsColumn *col = nsdef_key_column(d, i);

			put_text(out, i > 1 ? "," : "");
			put_text(out, col != NULL ? col->name : "?");
		}
		put_text(out, "'");
	}
	buf_put_u8(out, '\0');
}

static DorisStatus write_namespaces(Db *db, const Topology *old, const Topology *t, DorisError *err)
{
	DorisBuf a[MAX_ARRAYS];
	DorisBuf text;
	DorisBuf gone[MAX_ARRAYS];
	DorisStatus status;

	arrays_init(a);
	arrays_init(gone);
	buf_init(&text);
	for (uint32_t i = 0; old != NULL && i < old->nnamespaces; i++)
		if (topology_namespace_by_id(t, old->namespaces[i].id) == NULL)
			array_int(&gone[0], old->namespaces[i].id);
	for (uint32_t i = 0; i < t->nnamespaces; i++)
	{
		const NsDef *d = &t->namespaces[i];
		const NsDef *before = old != NULL ? topology_namespace_by_id(old, d->id) : NULL;

		if (before != NULL && before->version == d->version)
			continue;
		array_int(&a[0], d->id);
		array_text(&a[1], d->name);
		array_int(&a[2], d->version);
		describe(d, true, &text);
		array_text(&a[3], text.failed ? "" : (const char *) text.data);
		describe(d, false, &text);
		array_text(&a[4], text.failed ? "" : (const char *) text.data);
		describe_options(d, &text);
		array_text(&a[5], text.failed ? "" : (const char *) text.data);
	}
	buf_free(&text);
	status = write_arrays(db, "DELETE FROM doris.namespaces WHERE ns_id = ANY ($1::int8[])", gone,
						  1, err);
	if (status != DORIS_OK)
	{
		for (int i = 0; i < MAX_ARRAYS; i++)
			buf_free(&a[i]);
		return status;
	}
	return write_arrays(
		db,
		"INSERT INTO doris.namespaces (ns_id, name, version, key, columns, options) "
		"SELECT * FROM unnest($1::int8[], $2::text[], $3::int8[], $4::text[], "
		"$5::text[], $6::text[]) "
		"ON CONFLICT (ns_id) DO UPDATE SET name = excluded.name, "
		"version = excluded.version, key = excluded.key, columns = excluded.columns, "
		"options = excluded.options",
		a, 6, err);
}

static DorisStatus write_events(Db *db, const Event *events, int n, DorisError *err)
{
	DorisBuf a[MAX_ARRAYS];

	arrays_init(a);
	for (int i = 0; i < n; i++)
	{
		array_text(&a[0], events[i].kind);
		array_text(&a[1], events[i].node[0] != '\0' ? events[i].node : NULL);
		array_text(&a[2], events[i].detail);
	}
	return write_arrays(db,
						"INSERT INTO doris.events (kind, node, detail) "
						"SELECT * FROM unnest($1::text[], $2::text[], $3::text[])",
						a, 3, err);
}

static DorisStatus write_topology(Db *db, uint64_t term, const Topology *t, DorisError *err)
{
	DbParams p;
	PGresult *r;
	DorisStatus status;
	bool ours;

	params_init(&p);
	params_int(&p, (int64_t) term);
	status = db_query(db, "SELECT FROM doris.leader WHERE term = $1::int8 FOR UPDATE", &p, false,
					  &r, err);
	params_free(&p);
	if (status != DORIS_OK)
		return status;
	ours = PQntuples(r) == 1;
	PQclear(r);
	if (!ours)
		return doris_error(err, DORIS_NOT_LEADER, "another admin leads: term %llu is over",
						   (unsigned long long) term);

	params_init(&p);
	params_int(&p, (int64_t) t->epoch);
	params_bytes(&p, t->hash, sizeof(t->hash));
	params_int(&p, (int64_t) t->term);
	params_bytes(&p, t->encoded, t->encoded_len);
	status = db_query(db,
					  "INSERT INTO doris.topologies (epoch, hash, term, data) "
					  "VALUES ($1::int8, $2::bytea, $3::int8, $4::bytea)",
					  &p, false, NULL, err);
	params_free(&p);
	if (status != DORIS_OK)
		return status;
	params_init(&p);
	params_int(&p, (int64_t) t->epoch - ADMIN_KEPT_TOPOLOGIES);
	status =
		db_query(db, "DELETE FROM doris.topologies WHERE epoch <= $1::int8", &p, false, NULL, err);
	params_free(&p);
	return status;
}

static bool copies_differ(const Topology *old, const Topology *t)
{
	size_t n = (size_t) t->groups * t->vnodes;

	if (old == NULL || old->groups != t->groups)
		return true;
	for (size_t i = 0; i < n; i++)
		if (!same_copy(&old->copies[i], &t->copies[i]))
			return true;
	return false;
}

/* One more group, or one fewer; or the database has forgotten how many there are. */
static DorisStatus write_groups(Db *db, const Topology *t, DorisError *err)
{
	DbParams p;
	DorisStatus status;

	params_init(&p);
	params_int(&p, t->groups);
	status = db_query(db, "UPDATE doris.cluster SET groups = $1::int4", &p, false, NULL, err);
	if (status == DORIS_OK)
		status = db_query(db, "DELETE FROM doris.copies WHERE group_id > $1::int4", &p, false, NULL,
						  err);
	params_free(&p);
	return status;
}

DorisStatus schema_publish(Db *db, uint64_t term, const Topology *old, const Topology *t,
						   const Event *events, int nevents, DorisError *err)
{
	DorisStatus status = db_query(db, "BEGIN", NULL, false, NULL, err);

	if (status == DORIS_OK)
		status = write_topology(db, term, t, err);
	if (status == DORIS_OK && old == NULL)
		status = db_query(db, "DELETE FROM doris.copies", NULL, false, NULL, err);
	if (status == DORIS_OK && old == NULL)
		status = db_query(db, "DELETE FROM doris.namespaces", NULL, false, NULL, err);
	if (status == DORIS_OK && (old == NULL || old->groups != t->groups))
		status = write_groups(db, t, err);
	if (status == DORIS_OK)
		status = write_copies(db, old, t, err);
	if (status == DORIS_OK)
		status = write_nodes(db, old, t, err);
	if (status == DORIS_OK && copies_differ(old, t))
		status = write_counts(db, err);
	if (status == DORIS_OK)
		status = write_namespaces(db, old, t, err);
	if (status == DORIS_OK)
		status = write_events(db, events, nevents, err);
	if (status == DORIS_OK)
		status = db_query(db, "SELECT pg_catalog.pg_notify('doris', 'topology')", NULL, false, NULL,
						  err);
	if (status != DORIS_OK)
	{
		db_rollback(db);
		return status;
	}
	status = db_query(db, "COMMIT", NULL, false, NULL, err);
	/* I7: whether it stands, only the database knows. */
	if (status == DORIS_UNREACHABLE)
		status = err->code = DORIS_UNKNOWN;
	return status;
}
