/*
 * msg_operate.c: what operators ask of the leading admin about nodes and plans, and what it answers.
 */
#include <stdlib.h>
#include <string.h>

#include "msg_codec.h"

void operate_encode(DorisBuf *b, const Operate *m)
{
	buf_put_u8(b, (uint8_t) m->verb);
	buf_put_str(b, m->node);
	buf_put_str(b, m->by);
	buf_put_u8(b, m->accept_loss ? 1 : 0);
	buf_put_u8(b, m->dry ? 1 : 0);
	buf_put_varint(b, m->group);
	buf_put_varint(b, m->plan);
	buf_put_varint(b, m->nnames);
	for (uint32_t i = 0; i < m->nnames; i++)
		buf_put_str(b, m->names[i]);
}

DorisStatus operate_decode(DorisBytes body, Operate *out, DorisError *err)
{
	DorisCursor c = cursor_of(body.data, body.len);
	bool no_memory = false;
	DorisStatus status;

	memset(out, 0, sizeof(*out));
	out->verb = msg_read_enum(&c, OPERATE_REMOVE);
	cursor_str(&c, out->node, sizeof(out->node));
	cursor_str(&c, out->by, sizeof(out->by));
	out->accept_loss = msg_read_bool(&c);
	out->dry = msg_read_bool(&c);
	out->group = msg_read_u32(&c);
	out->plan = msg_read_u32(&c);
	out->names =
		msg_read_array(&c, 1, DORIS_MAX_NODES, sizeof(*out->names), &out->nnames, &no_memory);
	for (uint32_t i = 0; i < out->nnames; i++)
		cursor_str(&c, out->names[i], sizeof(out->names[i]));
	status = msg_end(&c, no_memory, "operator's request", err);
	if (status != DORIS_OK)
		operate_free(out);
	return status;
}

void operate_free(Operate *m)
{
	free(m->names);
	m->names = NULL;
	m->nnames = 0;
}

void operate_reply_encode(DorisBuf *b, const OperateReply *m)
{
	buf_put_varint(b, m->plan);
	buf_put_view(b, m->topology);
	buf_put_varint(b, m->minimum);
	buf_put_varint(b, m->nmoves);
	for (uint32_t i = 0; i < m->nmoves; i++)
	{
		const PlanMove *move = &m->moves[i];

		buf_put_varint(b, move->group);
		buf_put_str(b, move->from);
		buf_put_str(b, move->to);
		buf_put_varint(b, move->vnodes);
		buf_put_varint(b, move->done);
		buf_put_u64(b, move->rows);
		buf_put_u64(b, move->bytes);
		buf_put_u64(b, move->needed);
		buf_put_u64(b, move->free);
	}
	buf_put_varint(b, m->nplans);
	for (uint32_t i = 0; i < m->nplans; i++)
	{
		const PlanInfo *plan = &m->plans[i];

		buf_put_varint(b, plan->id);
		buf_put_str(b, plan->kind);
		buf_put_str(b, plan->state);
		buf_put_varint(b, plan->group);
		buf_put_varint(b, plan->vnodes_total);
		buf_put_varint(b, plan->vnodes_done);
		buf_put_u64(b, plan->bytes_total);
		buf_put_u64(b, plan->bytes_done);
		buf_put_u64(b, plan->bytes_per_s);
		buf_put_u64(b, plan->started_ms);
		buf_put_u64(b, plan->eta_ms);
		buf_put_str(b, plan->error);
	}
}

static void read_move(DorisCursor *c, PlanMove *move)
{
	move->group = msg_read_u32(c);
	cursor_str(c, move->from, sizeof(move->from));
	cursor_str(c, move->to, sizeof(move->to));
	move->vnodes = msg_read_u32(c);
	move->done = msg_read_u32(c);
	move->rows = cursor_u64(c);
	move->bytes = cursor_u64(c);
	move->needed = cursor_u64(c);
	move->free = cursor_u64(c);
}

static void read_plan(DorisCursor *c, PlanInfo *plan)
{
	plan->id = msg_read_u32(c);
	cursor_str(c, plan->kind, sizeof(plan->kind));
	cursor_str(c, plan->state, sizeof(plan->state));
	plan->group = msg_read_u32(c);
	plan->vnodes_total = msg_read_u32(c);
	plan->vnodes_done = msg_read_u32(c);
	plan->bytes_total = cursor_u64(c);
	plan->bytes_done = cursor_u64(c);
	plan->bytes_per_s = cursor_u64(c);
	plan->started_ms = cursor_u64(c);
	plan->eta_ms = cursor_u64(c);
	cursor_str(c, plan->error, sizeof(plan->error));
}

DorisStatus operate_reply_decode(DorisCursor *c, OperateReply *out, DorisError *err)
{
	bool no_memory = false;
	DorisStatus status;

	memset(out, 0, sizeof(*out));
	out->plan = msg_read_u32(c);
	out->topology = cursor_bytes(c);
	out->minimum = msg_read_u32(c);
	out->moves =
		msg_read_array(c, 35, DORIS_MAX_PLAN_MOVES, sizeof(*out->moves), &out->nmoves, &no_memory);
	for (uint32_t i = 0; i < out->nmoves; i++)
		read_move(c, &out->moves[i]);
	out->plans =
		msg_read_array(c, 45, DORIS_MAX_PLANS_TOLD, sizeof(*out->plans), &out->nplans, &no_memory);
	for (uint32_t i = 0; i < out->nplans; i++)
		read_plan(c, &out->plans[i]);
	status = msg_end(c, no_memory, "answer to an operator", err);
	if (status != DORIS_OK)
		operate_reply_free(out);
	return status;
}

void operate_reply_free(OperateReply *m)
{
	free(m->moves);
	free(m->plans);
	m->moves = NULL;
	m->plans = NULL;
	m->nmoves = m->nplans = 0;
}
