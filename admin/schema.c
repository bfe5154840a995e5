/*
 * schema.c: reading schema doris, leadership, events and heartbeats. Publishing is in publish.c.
 */
#include "schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "version.h"

/* The advisory lock that the leader's connection holds: "doris" in ASCII, then 1. */
#define LEADER_LOCK "x'646f72697301'::pg_catalog.int8"

/*
 * Terms follow the time, so that one that is begun on an older copy of the database is above all that the lost part of it
 * had: topologies of the two histories can be told apart by their terms (rule *publish*).
 */
#define NOW_MS "(extract(epoch FROM clock_timestamp()) * 1000)::int8"

/* Column of the first row as text; "" for NULL. */
static const char *field(const PGresult *r, int row, int column)
{
	return PQgetisnull(r, row, column) ? "" : PQgetvalue(r, row, column);
}

DorisStatus schema_cluster(Db *db, ClusterRow *out, bool *found, DorisError *err)
{
	PGresult *r;
	DorisStatus status =
		db_query(db, "SELECT id, vnodes, groups, sync FROM doris.cluster", NULL, false, &r, err);

	*found = false;
	if (status != DORIS_OK)
		return status;
	memset(out, 0, sizeof(*out));
	if (PQntuples(r) == 1)
	{
		*found = uuid_parse(field(r, 0, 0), out->id);
		out->vnodes = (uint32_t) strtoul(field(r, 0, 1), NULL, 10);
		out->groups = (uint32_t) strtoul(field(r, 0, 2), NULL, 10);
		out->sync_interval = strcmp(field(r, 0, 3), "interval") == 0;
		if (!*found || out->vnodes < 1 || out->vnodes > DORIS_MAX_VNODES || out->groups < 1 ||
			out->groups > DORIS_MAX_GROUPS)
			status = doris_error(err, DORIS_UNAVAILABLE, "doris.cluster holds impossible values");
	}
	PQclear(r);
	return status;
}

#define NODE_COLUMNS                                                                            \
	"node_id, name, address, role, group_id, condition, home, incarnation, mark, epoch, held, " \
	"accept_loss, coalesce(extract(epoch FROM clock_timestamp() - down_since)::int8, -1), "     \
	"coalesce(extract(epoch FROM clock_timestamp() - recovering_since)::int8, -1), weight"

static void read_node(const PGresult *r, int i, NodeRow *out)
{
	const char *role = field(r, i, 3);
	const char *condition = field(r, i, 5);

	memset(out, 0, sizeof(*out));
	out->id = (uint32_t) strtoul(field(r, i, 0), NULL, 10);
	snprintf(out->name, sizeof(out->name), "%s", field(r, i, 1));
	snprintf(out->address, sizeof(out->address), "%s", field(r, i, 2));
	out->role = strcmp(role, "data") == 0  ? NODE_DATA
				: strcmp(role, "log") == 0 ? NODE_LOG
										   : NODE_SPARE;
	out->group = (uint8_t) strtoul(field(r, i, 4), NULL, 10);
	out->condition = strcmp(condition, "dead") == 0	  ? NODE_DEAD
					 : strcmp(condition, "down") == 0 ? NODE_DOWN
													  : NODE_UP;
	if (!uuid_parse(field(r, i, 6), out->home))
		memset(out->home, 0, sizeof(out->home));
	out->incarnation = (uint64_t) strtoll(field(r, i, 7), NULL, 10);
	out->mark = (uint64_t) strtoll(field(r, i, 8), NULL, 10);
	out->epoch = (uint64_t) strtoll(field(r, i, 9), NULL, 10);
	out->held = field(r, i, 10)[0] == 't';
	out->accept_loss = field(r, i, 11)[0] == 't';
	out->down_s = strtoll(field(r, i, 12), NULL, 10);
	out->recover_s = strtoll(field(r, i, 13), NULL, 10);
	out->weight = (uint32_t) strtoul(field(r, i, 14), NULL, 10);
}

DorisStatus schema_nodes(Db *db, NodeRow **out, int *n, DorisError *err)
{
	PGresult *r;
	DorisStatus status;

	*out = NULL;
	*n = 0;
	status = db_query(db, "SELECT " NODE_COLUMNS " FROM doris.nodes ORDER BY node_id", NULL, false,
					  &r, err);
	if (status != DORIS_OK)
		return status;
	*out = calloc((size_t) PQntuples(r) + 1, sizeof(NodeRow));
	if (*out == NULL)
		status = doris_error(err, DORIS_NO_MEMORY, "out of memory for %d nodes", PQntuples(r));
	else
	{
		*n = PQntuples(r);
		for (int i = 0; i < *n; i++)
			read_node(r, i, &(*out)[i]);
	}
	PQclear(r);
	return status;
}

DorisStatus schema_node(Db *db, const char *name, NodeRow *out, bool *found, DorisError *err)
{
	PGresult *r;
	DbParams p;
	DorisStatus status;

	*found = false;
	params_init(&p);
	params_text(&p, name);
	status = db_query(db, "SELECT " NODE_COLUMNS " FROM doris.nodes WHERE name = $1", &p, false, &r,
					  err);
	params_free(&p);
	if (status != DORIS_OK)
		return status;
	if (PQntuples(r) == 1)
	{
		read_node(r, 0, out);
		*found = true;
	}
	PQclear(r);
	return DORIS_OK;
}

DorisStatus schema_topology(Db *db, const DorisKeys *keys, uint64_t above, Topology **out,
							DorisError *err)
{
	PGresult *r;
	DbParams p;
	DorisStatus status;

	*out = NULL;
	params_init(&p);
	params_int(&p, (int64_t) above);
	status =
		db_query(db,
				 "SELECT data FROM doris.topologies WHERE epoch > $1::int8 ORDER BY epoch DESC "
				 "LIMIT 1",
				 &p, true, &r, err);
	params_free(&p);
	if (status != DORIS_OK)
		return status;
	if (PQntuples(r) == 1)
	{
		status = topology_decode(PQgetvalue(r, 0, 0), (size_t) PQgetlength(r, 0, 0),
								 keys->present ? keys->public_key : NULL, out, err);
		if (status != DORIS_OK)
			status = err->code = DORIS_UNAVAILABLE;
	}
	PQclear(r);
	return status;
}

DorisStatus schema_hashes(Db *db, Admin *a, DorisError *err)
{
	PGresult *r;
	DorisStatus status =
		db_query(db, "SELECT int8send(epoch), hash FROM doris.topologies", NULL, true, &r, err);

	if (status != DORIS_OK)
		return status;
	for (int i = 0; i < PQntuples(r); i++)
	{
		const uint8_t *e = (const uint8_t *) PQgetvalue(r, i, 0);
		uint64_t epoch = load_big_endian(e, 8);

		if (PQgetlength(r, i, 1) == DORIS_HASH_SIZE)
			admin_keep_hash(a, epoch, (const uint8_t *) PQgetvalue(r, i, 1));
	}
	PQclear(r);
	return DORIS_OK;
}

DorisStatus schema_lock(Db *db, bool *got, DorisError *err)
{
	PGresult *r;
	DorisStatus status = db_query(db, "SELECT pg_catalog.pg_try_advisory_lock(" LEADER_LOCK ")",
								  NULL, false, &r, err);

	*got = false;
	if (status != DORIS_OK)
		return status;
	*got = PQntuples(r) == 1 && field(r, 0, 0)[0] == 't';
	PQclear(r);
	return DORIS_OK;
}

DorisStatus schema_begin_term(Db *db, const AdminOptions *o, uint64_t floor, uint64_t *term,
							  DorisError *err)
{
	PGresult *r;
	DbParams p;
	DorisStatus status;

	params_init(&p);
	params_int(&p, (int64_t) floor);
	params_text(&p, o->name);
	params_text(&p, o->listen);
	status = db_query(
		db,
		"INSERT INTO doris.leader AS l (term, name, address, since, seen) "
		"VALUES (greatest($1::int8 + 1, " NOW_MS "), $2, $3, clock_timestamp(), "
		"clock_timestamp()) "
		"ON CONFLICT (one) DO UPDATE SET term = greatest(l.term + 1, $1::int8 + 1, " NOW_MS "), "
		"name = $2, address = $3, since = clock_timestamp(), seen = clock_timestamp() "
		"RETURNING term",
		&p, false, &r, err);
	params_free(&p);
	if (status != DORIS_OK)
		return status;
	*term = PQntuples(r) == 1 ? (uint64_t) strtoll(field(r, 0, 0), NULL, 10) : 0;
	PQclear(r);
	if (*term == 0)
		return doris_error(err, DORIS_UNAVAILABLE, "the admin database gave no term");
	return DORIS_OK;
}

DorisStatus schema_leader(Db *db, char out[DORIS_ADDRESS_MAX], DorisError *err)
{
	PGresult *r;
	DorisStatus status = db_query(db, "SELECT address FROM doris.leader", NULL, false, &r, err);

	out[0] = '\0';
	if (status != DORIS_OK)
		return status;
	if (PQntuples(r) == 1)
		snprintf(out, DORIS_ADDRESS_MAX, "%s", field(r, 0, 0));
	PQclear(r);
	return DORIS_OK;
}

static DorisStatus not_leader(DorisError *err, uint64_t term)
{
	return doris_error(err, DORIS_NOT_LEADER, "another admin leads: term %llu is over",
					   (unsigned long long) term);
}

DorisStatus schema_guarded(Db *db, const char *sql, DbParams *p, uint64_t term, DorisError *err)
{
	PGresult *r;
	DorisStatus status = db_query(db, sql, p, false, &r, err);
	bool ours;

	params_free(p);
	if (status != DORIS_OK)
		return status;
	ours = PQntuples(r) == 1 && strcmp(field(r, 0, 0), "1") == 0;
	PQclear(r);
	return ours ? DORIS_OK : not_leader(err, term);
}

DorisStatus schema_greet(Db *db, uint64_t term, const NodeRow *row, const char *build,
						 DorisError *err)
{
	DbParams p;
	char home[37];

	uuid_text(row->home, home);
	params_init(&p);
	params_int(&p, (int64_t) term);
	params_int(&p, row->id);
	params_text(&p, row->address);
	params_text(&p, home);
	params_int(&p, (int64_t) row->incarnation);
	params_text(&p, build);
	return schema_guarded(db,
						  "WITH l AS (SELECT FROM doris.leader WHERE term = $1::int8 FOR UPDATE), "
						  "u AS (UPDATE doris.nodes SET address = $3, home = $4::uuid, "
						  "incarnation = $5::int8, build = $6, last_heartbeat = clock_timestamp(), "
						  "state = CASE state WHEN 'registered' THEN 'greeted' ELSE state END "
						  "WHERE node_id = $2::int4 AND EXISTS (SELECT FROM l)) "
						  "SELECT count(*) FROM l",
						  &p, term, err);
}

/* What log nodes keep for others: their rows of doris.backlogs, anew. */
static void put_backlogs(const HeartReport *reports, int n, DorisBuf *logs, DorisBuf *a)
{
	for (int i = 0; i < n; i++)
	{
		const NodeReport *r = &reports[i].report;

		array_int(logs, reports[i].node);
		for (uint32_t j = 0; j < r->nbacklogs; j++)
		{
			array_int(&a[0], reports[i].node);
			array_int(&a[1], r->backlogs[j].target);
			array_int(&a[2], (int64_t) r->backlogs[j].hints);
			array_int(&a[3], (int64_t) r->backlogs[j].bytes);
			array_int(&a[4], (int64_t) (r->backlogs[j].oldest_ms / 1000));
		}
	}
}

static DorisStatus store_backlogs(Db *db, uint64_t term, const HeartReport *reports, int n,
								  DorisError *err)
{
	enum
	{
		COLUMNS = 5
	};
	DorisBuf logs;
	DorisBuf a[COLUMNS];
	DbParams p;

	buf_init(&logs);
	for (int i = 0; i < COLUMNS; i++)
		buf_init(&a[i]);
	put_backlogs(reports, n, &logs, a);
	params_init(&p);
	params_int(&p, (int64_t) term);
	params_array(&p, &logs);
	for (int i = 0; i < COLUMNS; i++)
		params_array(&p, &a[i]);
	return schema_guarded(
		db,
		"WITH l AS (SELECT FROM doris.leader WHERE term = $1::int8 FOR UPDATE), "
		"b AS (SELECT * FROM unnest($3::int4[], $4::int4[], $5::int8[], $6::int8[], $7::int8[]) "
		"AS b(log_node, target, hints, bytes, oldest_s)), "
		"d AS (DELETE FROM doris.backlogs o WHERE o.log_node = ANY ($2::int4[]) AND NOT EXISTS "
		"(SELECT FROM b WHERE b.log_node = o.log_node AND b.target = o.target) "
		"AND EXISTS (SELECT FROM l)), "
		"i AS (INSERT INTO doris.backlogs (log_node, target, hints, bytes, oldest) "
		"SELECT b.log_node, b.target, b.hints, b.bytes, to_timestamp(b.oldest_s) FROM b "
		"WHERE EXISTS (SELECT FROM l) "
		"ON CONFLICT (log_node, target) DO UPDATE SET hints = excluded.hints, "
		"bytes = excluded.bytes, oldest = excluded.oldest) "
		"SELECT count(*) FROM l",
		&p, term, err);
}

DorisStatus schema_heartbeats(Db *db, uint64_t term, const HeartReport *reports,
							  const bool *current, int n, DorisError *err)
{
	enum
	{
		COLUMNS = 10
	};
	DorisBuf a[COLUMNS];
	DbParams p;
	uint64_t now = clock_wall_ms();
	DorisStatus status;

	for (int i = 0; i < COLUMNS; i++)
		buf_init(&a[i]);
	for (int i = 0; i < n; i++)
	{
		const NodeReport *r = &reports[i].report;

		array_int(&a[0], reports[i].node);
		array_int(&a[1], (int64_t) (now > reports[i].at ? now - reports[i].at : 0));
		array_int(&a[2], (int64_t) r->rows);
		array_int(&a[3], (int64_t) r->bytes);
		array_int(&a[4], (int64_t) r->hints);
		array_int(&a[5], (int64_t) r->disk_free);
		array_text(&a[6], r->build);
		array_text(&a[7], r->disk_full ? "disk full: refuses writes" : NULL);
		/* Rule *start*: what a start said that was not matched yet must not count as what was known before it. */
		if (current[i])
		{
			array_int(&a[8], (int64_t) r->epoch);
			array_int(&a[9], (int64_t) r->mark);
		}
		else
		{
			array_text(&a[8], NULL);
			array_text(&a[9], NULL);
		}
	}
	params_init(&p);
	params_int(&p, (int64_t) term);
	for (int i = 0; i < COLUMNS; i++)
		params_array(&p, &a[i]);
	status = schema_guarded(
		db,
		"WITH l AS (UPDATE doris.leader SET seen = clock_timestamp() WHERE term = $1::int8 "
		"RETURNING 1), "
		"u AS (UPDATE doris.nodes n SET last_heartbeat = clock_timestamp() - h.age * "
		"interval '1 ms', rows = h.rows, bytes = h.bytes, hints = h.hints, "
		"disk_free = h.disk_free, build = h.build, detail = h.detail, "
		"epoch = coalesce(h.epoch, n.epoch), mark = coalesce(h.mark, n.mark) "
		"FROM unnest($2::int4[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], "
		"$8::text[], $9::text[], $10::int8[], $11::int8[]) "
		"AS h(node_id, age, rows, bytes, hints, disk_free, build, detail, epoch, mark) "
		"WHERE n.node_id = h.node_id AND EXISTS (SELECT FROM l)) "
		"SELECT count(*) FROM l",
		&p, term, err);
	if (status == DORIS_OK && n > 0)
		status = store_backlogs(db, term, reports, n, err);
	return status;
}

DorisStatus schema_hold(Db *db, uint64_t term, uint32_t node, bool held, bool accept_loss,
						DorisError *err)
{
	DbParams p;

	params_init(&p);
	params_int(&p, (int64_t) term);
	params_int(&p, node);
	params_text(&p, held ? "t" : "f");
	params_text(&p, accept_loss ? "t" : "f");
	return schema_guarded(db,
						  "WITH l AS (SELECT FROM doris.leader WHERE term = $1::int8 FOR UPDATE), "
						  "u AS (UPDATE doris.nodes SET held = $3::bool, accept_loss = $4::bool "
						  "WHERE node_id = $2::int4 AND EXISTS (SELECT FROM l)) "
						  "SELECT count(*) FROM l",
						  &p, term, err);
}

DorisStatus schema_failures(Db *db, const char *name, int *n, DorisError *err)
{
	PGresult *r;
	DbParams p;
	DorisStatus status;

	*n = 0;
	params_init(&p);
	params_text(&p, name);
	status = db_query(db,
					  "SELECT count(*) FROM doris.events "
					  "WHERE id > (SELECT max(id) - 2000 FROM doris.events) "
					  "AND kind = 'node_failed' AND node = $1 "
					  "AND at > clock_timestamp() - interval '2 minutes'",
					  &p, false, &r, err);
	params_free(&p);
	if (status != DORIS_OK)
		return status;
	if (PQntuples(r) == 1)
		*n = (int) strtol(field(r, 0, 0), NULL, 10);
	PQclear(r);
	return DORIS_OK;
}

DorisStatus schema_settings(Db *db, Settings *out, DorisError *err)
{
	PGresult *r;
	DorisStatus status =
		db_query(db,
				 "SELECT degraded_writes, auto_replace, extract(epoch FROM permanent_after)::int8, "
				 "move_rate_mb FROM doris.cluster",
				 NULL, false, &r, err);

	memset(out, 0, sizeof(*out));
	if (status != DORIS_OK)
		return status;
	if (PQntuples(r) == 1)
	{
		out->degraded_writes = field(r, 0, 0)[0] == 't';
		out->auto_replace = field(r, 0, 1)[0] == 't';
		out->permanent_after_s = strtoll(field(r, 0, 2), NULL, 10);
		out->move_rate_mb = (uint32_t) strtoul(field(r, 0, 3), NULL, 10);
	}
	PQclear(r);
	return DORIS_OK;
}

DorisStatus schema_events(Db *db, uint64_t term, const Event *events, int n, DorisError *err)
{
	DorisBuf a[3];
	DbParams p;

	for (int i = 0; i < 3; i++)
		buf_init(&a[i]);
	for (int i = 0; i < n; i++)
	{
		array_text(&a[0], events[i].kind);
		array_text(&a[1], events[i].node[0] != '\0' ? events[i].node : NULL);
		array_text(&a[2], events[i].detail);
	}
	params_init(&p);
	params_int(&p, (int64_t) term);
	for (int i = 0; i < 3; i++)
		params_array(&p, &a[i]);
	return schema_guarded(
		db,
		"WITH l AS (SELECT FROM doris.leader WHERE term = $1::int8 FOR UPDATE), "
		"i AS (INSERT INTO doris.events (kind, node, detail) SELECT e.kind, e.node, e.detail "
		"FROM unnest($2::text[], $3::text[], $4::text[]) AS e(kind, node, detail) "
		"WHERE EXISTS (SELECT FROM l)) "
		"SELECT count(*) FROM l",
		&p, term, err);
}

DorisStatus schema_trim(Db *db, uint64_t term, DorisError *err)
{
	DbParams p;

	params_init(&p);
	params_int(&p, (int64_t) term);
	params_int(&p, ADMIN_KEPT_EVENTS);
	params_int(&p, ADMIN_KEPT_PLANS);
	return schema_guarded(
		db,
		"WITH l AS (SELECT FROM doris.leader WHERE term = $1::int8 FOR UPDATE), "
		"d AS (DELETE FROM doris.events WHERE id <= (SELECT max(id) FROM doris.events) - "
		"$2::int8 AND EXISTS (SELECT FROM l)), "
		"m AS (DELETE FROM doris.moves WHERE EXISTS (SELECT FROM l) AND plan_id IN "
		"(SELECT plan_id FROM doris.plans WHERE state IN ('done', 'cancelled') "
		"ORDER BY plan_id DESC OFFSET $3::int8)) "
		"SELECT count(*) FROM l",
		&p, term, err);
}
