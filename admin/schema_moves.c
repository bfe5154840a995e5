/*
 * schema_moves.c: the journal of plans that move vnodes (I5): doris.plans and doris.moves.
 *
 * A plan stands there with all its moves before the first of them begins. How far each move is the topology tells, so
 * that the journal holds no step that could disagree with it; the numbers in doris.plans are for the views.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plans.h"

static uint64_t number(const PGresult *r, int row, int column)
{
	return PQgetisnull(r, row, column) ? 0 : strtoull(PQgetvalue(r, row, column), NULL, 10);
}

void plan_free(MovePlan *p)
{
	free(p->moves);
	p->moves = NULL;
	p->nmoves = 0;
}

DorisStatus schema_moves_begin(Db *db, uint64_t term, MovePlan *p, uint32_t minimum,
							   DorisError *err)
{
	DorisBuf a[6];
	DbParams params;
	PGresult *r;
	uint32_t group = p->nmoves > 0 ? p->moves[0].group : 0;
	DorisStatus status;

	for (int i = 0; i < 6; i++)
		buf_init(&a[i]);
	for (uint32_t i = 0; i < p->nmoves; i++)
	{
		const Move *m = &p->moves[i];

		if (m->group != group)
			group = 0;
		array_int(&a[0], m->group);
		array_int(&a[1], m->vnode);
		array_int(&a[2], m->from);
		array_int(&a[3], m->to);
		array_int(&a[4], (int64_t) m->rows);
		array_int(&a[5], (int64_t) m->bytes);
	}
	params_init(&params);
	params_int(&params, (int64_t) term);
	params_text(&params, p->kind);
	params_int(&params, p->node);
	params_int(&params, group);
	params_int(&params, p->nmoves);
	params_int(&params, (int64_t) p->bytes_total);
	params_int(&params, minimum);
	for (int i = 0; i < 6; i++)
		params_array(&params, &a[i]);
	status = db_query(
		db,
		"WITH l AS (SELECT FROM doris.leader WHERE term = $1::int8 FOR UPDATE), "
		"p AS (INSERT INTO doris.plans (kind, state, node_id, group_id, vnodes_total, bytes_total, "
		"minimum, started) SELECT $2, 'running', nullif($3::int4, 0), nullif($4::int4, 0), "
		"$5::int4, $6::int8, $7::int4, clock_timestamp() FROM l RETURNING plan_id), "
		"m AS (INSERT INTO doris.moves (plan_id, group_id, vnode, from_id, to_id, rows, bytes) "
		"SELECT p.plan_id, x.* FROM p, unnest($8::int4[], $9::int4[], $10::int4[], $11::int4[], "
		"$12::int8[], $13::int8[]) x) "
		"SELECT plan_id FROM p",
		&params, false, &r, err);
	params_free(&params);
	if (status != DORIS_OK)
		return status;
	p->id = PQntuples(r) == 1 ? (uint32_t) number(r, 0, 0) : 0;
	PQclear(r);
	if (p->id == 0)
		return doris_error(err, DORIS_NOT_LEADER, "another admin leads: term %" PRIu64 " is over",
						   term);
	return DORIS_OK;
}

DorisStatus schema_moves_of(Db *db, uint32_t plan, Move **out, uint32_t *n, DorisError *err)
{
	DbParams p;
	PGresult *r;
	DorisStatus status;

	*out = NULL;
	*n = 0;
	params_init(&p);
	params_int(&p, plan);
	status = db_query(db,
					  "SELECT group_id, vnode, from_id, to_id, rows, bytes FROM doris.moves "
					  "WHERE plan_id = $1::int4 ORDER BY vnode, group_id",
					  &p, false, &r, err);
	params_free(&p);
	if (status != DORIS_OK)
		return status;
	*out = calloc((size_t) PQntuples(r) + 1, sizeof(Move));
	if (*out == NULL)
		status = doris_error(err, DORIS_NO_MEMORY, "out of memory for %d moves", PQntuples(r));
	else
		*n = (uint32_t) PQntuples(r);
	for (int i = 0; status == DORIS_OK && i < PQntuples(r); i++)
		(*out)[i] = (Move){.group = (uint32_t) number(r, i, 0),
						   .vnode = (uint32_t) number(r, i, 1),
						   .from = (uint32_t) number(r, i, 2),
						   .to = (uint32_t) number(r, i, 3),
						   .rows = number(r, i, 4),
						   .bytes = number(r, i, 5)};
	PQclear(r);
	return status;
}

DorisStatus schema_moves_active(Db *db, MovePlan **out, int *n, DorisError *err)
{
	PGresult *r;
	DorisStatus status =
		db_query(db,
				 "SELECT plan_id, kind, state, node_id, bytes_total, error FROM doris.plans p "
				 "WHERE state IN ('running', 'waiting', 'paused') "
				 "AND EXISTS (SELECT FROM doris.moves m WHERE m.plan_id = p.plan_id) "
				 "ORDER BY plan_id",
				 NULL, false, &r, err);

	*out = NULL;
	*n = 0;
	if (status != DORIS_OK)
		return status;
	*out = calloc((size_t) PQntuples(r) + 1, sizeof(MovePlan));
	if (*out == NULL)
		status = doris_error(err, DORIS_NO_MEMORY, "out of memory for %d plans", PQntuples(r));
	for (int i = 0; status == DORIS_OK && i < PQntuples(r); i++)
	{
		MovePlan *p = &(*out)[(*n)++];

		p->id = (uint32_t) number(r, i, 0);
		snprintf(p->kind, sizeof(p->kind), "%s", PQgetvalue(r, i, 1));
		p->paused = strcmp(PQgetvalue(r, i, 2), "paused") == 0;
		snprintf(p->told_state, sizeof(p->told_state), "%s", PQgetvalue(r, i, 2));
		p->node = (uint32_t) number(r, i, 3);
		p->bytes_total = number(r, i, 4);
		snprintf(p->told_why, sizeof(p->told_why), "%s", PQgetvalue(r, i, 5));
		snprintf(p->why, sizeof(p->why), "%s", p->told_why);
		status = schema_moves_of(db, p->id, &p->moves, &p->nmoves, err);
	}
	PQclear(r);
	if (status != DORIS_OK)
	{
		for (int i = 0; i < *n; i++)
			plan_free(&(*out)[i]);
		free(*out);
		*out = NULL;
		*n = 0;
	}
	return status;
}

DorisStatus schema_moves_state(Db *db, uint64_t term, uint32_t plan, const char *state,
							   const char *why, DorisError *err)
{
	DbParams p;

	params_init(&p);
	params_int(&p, (int64_t) term);
	params_int(&p, plan);
	params_text(&p, state);
	params_text(&p, why != NULL && why[0] != '\0' ? why : NULL);
	/* a plan that is over stays over, whatever a leader still believes */
	return schema_guarded(
		db,
		"WITH l AS (SELECT FROM doris.leader WHERE term = $1::int8 FOR UPDATE), "
		"u AS (UPDATE doris.plans SET state = $3, error = $4, "
		"vnodes_done = CASE WHEN $3 = 'done' THEN vnodes_total ELSE vnodes_done END, "
		"bytes_done = CASE WHEN $3 = 'done' THEN bytes_total ELSE bytes_done END, "
		"eta = CASE WHEN $3 = 'done' THEN clock_timestamp() WHEN $3 = 'running' THEN eta END "
		"WHERE plan_id = $2::int4 AND state IN ('running', 'waiting', 'paused') "
		"AND EXISTS (SELECT FROM l)) "
		"SELECT count(*) FROM l",
		&p, term, err);
}

DorisStatus schema_moves_numbers(Db *db, uint64_t term, const MovePlan *plan, DorisError *err)
{
	uint64_t left = plan->bytes_total > plan->bytes_done ? plan->bytes_total - plan->bytes_done : 0;
	DbParams p;

	params_init(&p);
	params_int(&p, (int64_t) term);
	params_int(&p, plan->id);
	params_int(&p, plan->done);
	params_int(&p, (int64_t) plan->bytes_done);
	params_int(&p, (int64_t) plan->rate);
	params_int(&p, plan->rate > 0 && plan->why[0] == '\0' && !plan->paused
					   ? (int64_t) (left * 1000 / plan->rate)
					   : -1);
	return schema_guarded(
		db,
		"WITH l AS (SELECT FROM doris.leader WHERE term = $1::int8 FOR UPDATE), "
		"u AS (UPDATE doris.plans SET vnodes_done = $3::int4, bytes_done = $4::int8, "
		"bytes_per_s = $5::int8, "
		"eta = CASE WHEN $6::int8 >= 0 THEN clock_timestamp() + $6::int8 * interval '1 ms' END "
		"WHERE plan_id = $2::int4 AND EXISTS (SELECT FROM l)) "
		"SELECT count(*) FROM l",
		&p, term, err);
}

DorisStatus schema_plans_told(Db *db, uint32_t plan, PlanInfo **out, uint32_t *n, uint32_t *minimum,
							  DorisError *err)
{
	DbParams p;
	PGresult *r;
	DorisStatus status;

	*out = NULL;
	*n = 0;
	*minimum = 0;
	params_init(&p);
	params_int(&p, plan);
	params_int(&p, DORIS_MAX_PLANS_TOLD);
	status = db_query(db,
					  "SELECT plan_id, kind, state, group_id, vnodes_total, vnodes_done, "
					  "bytes_total, bytes_done, "
					  "bytes_per_s, (extract(epoch FROM started) * 1000)::int8, "
					  "(extract(epoch FROM eta) * 1000)::int8, error, minimum FROM doris.plans "
					  "WHERE $1::int4 IN (0, plan_id) ORDER BY plan_id DESC LIMIT $2::int8",
					  &p, false, &r, err);
	params_free(&p);
	if (status != DORIS_OK)
		return status;
	*out = calloc((size_t) PQntuples(r) + 1, sizeof(PlanInfo));
	if (*out == NULL)
		status = doris_error(err, DORIS_NO_MEMORY, "out of memory for %d plans", PQntuples(r));
	else
		*n = (uint32_t) PQntuples(r);
	for (int i = 0; status == DORIS_OK && i < PQntuples(r); i++)
	{
		PlanInfo *info = &(*out)[i];

		info->id = (uint32_t) number(r, i, 0);
		snprintf(info->kind, sizeof(info->kind), "%s", PQgetvalue(r, i, 1));
		snprintf(info->state, sizeof(info->state), "%s", PQgetvalue(r, i, 2));
		info->group = (uint32_t) number(r, i, 3);
		info->vnodes_total = (uint32_t) number(r, i, 4);
		info->vnodes_done = (uint32_t) number(r, i, 5);
		info->bytes_total = number(r, i, 6);
		info->bytes_done = number(r, i, 7);
		info->bytes_per_s = number(r, i, 8);
		info->started_ms = number(r, i, 9);
		info->eta_ms = number(r, i, 10);
		snprintf(info->error, sizeof(info->error), "%s", PQgetvalue(r, i, 11));
		if (plan != 0)
			*minimum = (uint32_t) number(r, i, 12);
	}
	PQclear(r);
	return status;
}
