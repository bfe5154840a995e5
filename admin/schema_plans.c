/*
 * schema_plans.c: doris.plans: replacements of nodes that are down; those are the plans with a by_id.
 *
 * A plan is journalled before anything of it is done (I5). All its steps can be told from the topology, so that the row holds
 * only whom it is about.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema.h"

DorisStatus schema_plans(Db *db, PlanRow **out, int *n, DorisError *err)
{
	PGresult *r;
	DorisStatus status = db_query(db,
								  "SELECT plan_id, node_id, by_id FROM doris.plans "
								  "WHERE by_id IS NOT NULL AND state = 'running' ORDER BY plan_id",
								  NULL, false, &r, err);

	*out = NULL;
	*n = 0;
	if (status != DORIS_OK)
		return status;
	*out = calloc((size_t) PQntuples(r) + 1, sizeof(PlanRow));
	if (*out == NULL)
		status = doris_error(err, DORIS_NO_MEMORY, "out of memory for %d plans", PQntuples(r));
	else
	{
		*n = PQntuples(r);
		for (int i = 0; i < *n; i++)
		{
			(*out)[i].id = (uint32_t) strtoul(PQgetvalue(r, i, 0), NULL, 10);
			(*out)[i].node = (uint32_t) strtoul(PQgetvalue(r, i, 1), NULL, 10);
			(*out)[i].by = (uint32_t) strtoul(PQgetvalue(r, i, 2), NULL, 10);
		}
	}
	PQclear(r);
	return status;
}

DorisStatus schema_plan_begin(Db *db, uint64_t term, uint32_t node, uint32_t by, uint32_t group,
							  uint32_t vnodes, uint32_t *plan, DorisError *err)
{
	PGresult *r;
	DbParams p;
	DorisStatus status;

	*plan = 0;
	params_init(&p);
	params_int(&p, (int64_t) term);
	params_int(&p, node);
	params_int(&p, by);
	params_int(&p, group);
	params_int(&p, vnodes);
	/* What the new node was to take over before is its successor's business now. */
	status = db_query(
		db,
		"WITH l AS (SELECT FROM doris.leader WHERE term = $1::int8 FOR UPDATE), "
		"h AS (UPDATE doris.nodes SET held = true WHERE node_id = $2::int4 "
		"AND EXISTS (SELECT FROM l)), "
		"c AS (UPDATE doris.plans SET state = 'cancelled', eta = NULL, "
		"error = 'the new node was itself replaced' "
		"WHERE state = 'running' AND by_id = $2::int4 AND EXISTS (SELECT FROM l)) "
		"INSERT INTO doris.plans (kind, state, group_id, node_id, by_id, vnodes_total, started) "
		"SELECT 'replace', 'running', $4::int4, $2::int4, $3::int4, $5::int4, clock_timestamp() "
		"FROM l RETURNING plan_id",
		&p, false, &r, err);
	params_free(&p);
	if (status != DORIS_OK)
		return status;
	if (PQntuples(r) == 1)
		*plan = (uint32_t) strtoul(PQgetvalue(r, 0, 0), NULL, 10);
	PQclear(r);
	if (*plan == 0)
		return doris_error(err, DORIS_NOT_LEADER, "another admin leads: term %llu is over",
						   (unsigned long long) term);
	return DORIS_OK;
}

DorisStatus schema_plan_progress(Db *db, uint64_t term, uint32_t plan, uint32_t done,
								 uint64_t bytes, uint64_t bytes_total, DorisError *err)
{
	DbParams p;

	params_init(&p);
	params_int(&p, (int64_t) term);
	params_int(&p, plan);
	params_int(&p, done);
	params_int(&p, (int64_t) bytes);
	params_int(&p, (int64_t) bytes_total);
	/* The rate is the average since the start, the rest by bytes where their number is known, else by vnodes. */
	return schema_guarded(
		db,
		"WITH l AS (SELECT FROM doris.leader WHERE term = $1::int8 FOR UPDATE), "
		"s AS (SELECT greatest(extract(epoch FROM clock_timestamp() - started), 0.001) AS run, "
		"CASE WHEN $5::int8 > 0 THEN least($4::int8::float8 / $5::int8, 1) "
		"WHEN vnodes_total > 0 THEN $3::int4::float8 / vnodes_total ELSE 0 END AS part "
		"FROM doris.plans WHERE plan_id = $2::int4), "
		"u AS (UPDATE doris.plans SET vnodes_done = $3::int4, bytes_done = $4::int8, "
		"bytes_total = $5::int8, bytes_per_s = ($4::int8 / s.run)::int8, "
		"eta = CASE WHEN s.part > 0 THEN clock_timestamp() + interval '1 s' * s.run * "
		"(1 - s.part) / s.part END "
		"FROM s WHERE plan_id = $2::int4 AND state = 'running' AND EXISTS (SELECT FROM l)) "
		"SELECT count(*) FROM l",
		&p, term, err);
}

DorisStatus schema_plan_end(Db *db, uint64_t term, uint32_t plan, const char *state,
							const char *error, DorisError *err)
{
	DbParams p;

	params_init(&p);
	params_int(&p, (int64_t) term);
	params_int(&p, plan);
	params_text(&p, state);
	params_text(&p, error);
	return schema_guarded(
		db,
		"WITH l AS (SELECT FROM doris.leader WHERE term = $1::int8 FOR UPDATE), "
		"u AS (UPDATE doris.plans SET state = $3, error = $4, "
		"vnodes_done = CASE WHEN $3 = 'done' THEN vnodes_total ELSE vnodes_done END, "
		"eta = CASE WHEN $3 = 'done' THEN clock_timestamp() END "
		"WHERE plan_id = $2::int4 AND EXISTS (SELECT FROM l) RETURNING node_id), "
		"h AS (UPDATE doris.nodes SET held = false WHERE $3 = 'cancelled' "
		"AND node_id IN (SELECT node_id FROM u)) "
		"SELECT count(*) FROM l",
		&p, term, err);
}
