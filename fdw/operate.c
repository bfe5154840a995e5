/*
 * operate.c: what operators ask about nodes, and plans that move vnodes: SQL functions that the leading admin answers.
 *
 * What they change takes effect at once and is not undone by ROLLBACK. Waiting for a plan asks the admins again and again,
 * not the tables of schema doris, which may be another database's; whatever ends the wait, the plan goes on.
 */
#include "doris_fdw.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/wait_event.h"

#define POLL_FIRST_MS 20 /* then longer and longer */
#define POLL_MAX_MS 500
#define NOTICE_MS 1000
#define REPEAT_MS 10000 /* after which the same words are said again */

static void set_node(char out[DORIS_NAME_MAX], const char *name)
{
	if (name[0] == '\0' || strlcpy(out, name, DORIS_NAME_MAX) >= DORIS_NAME_MAX)
		ereport(ERROR, errcode(ERRCODE_INVALID_NAME),
				errmsg("invalid name of a node: \"%s\"", name),
				errhint("See the view doris_nodes."));
}

/* Names of nodes, each once, into op (palloc'ed). */
static void set_nodes(FunctionCallInfo fcinfo, int arg, Operate *op)
{
	List *names;
	ListCell *lc;

	if (PG_ARGISNULL(arg))
		ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("the list of nodes must not be NULL"));
	names = argument_text_list(PG_GETARG_ARRAYTYPE_P(arg), "the list of nodes");
	if (names == NIL)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the list of nodes is empty"),
				errhint("Give names of the view doris_nodes: ARRAY['spare1', 'spare2']."));
	if (list_length(names) > DORIS_MAX_NODES)
		ereport(ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("a doris cluster has at most %d nodes", DORIS_MAX_NODES));
	op->names = palloc0(sizeof(*op->names) * list_length(names));
	foreach (lc, names)
	{
		set_node(op->names[op->nnames], lfirst(lc));
		for (uint32 i = 0; i < op->nnames; i++)
		{
			if (strcmp(op->names[i], op->names[op->nnames]) == 0)
				ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("node \"%s\" is named more than once", op->names[i]));
		}
		op->nnames++;
	}
}

static void set_replace(FunctionCallInfo fcinfo, Operate *op)
{
	set_node(op->node, argument_text(fcinfo, 0, "the name of the node to be replaced"));
	set_node(op->by, argument_text(fcinfo, 1, "the name of the node that takes its place"));
	if (strcmp(op->node, op->by) == 0)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("node \"%s\" cannot take its own place", op->node));
}

/* The caller frees *reply. */
static void operate(DorisClient *client, const Operate *op, OperateReply *reply)
{
	DorisError err = {0};

	if (doris_operate(client, op, reply, &err) == DORIS_OK)
		return;
	/* Nothing that trying the transaction again would help with, as it does with rows. */
	if (err.code == DORIS_CONFLICT)
		ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("%s", err.message),
				err.hint[0] ? errhint("%s", err.hint) : 0);
	doris_ereport(&err, NULL, (DorisBytes){0});
}

/* The number of the plan that goes on; 0: none. */
static uint32 operate_plan(DorisClient *client, const Operate *op)
{
	OperateReply reply;
	uint32 plan;

	operate(client, op, &reply);
	plan = reply.plan;
	operate_reply_free(&reply);
	return plan;
}

/* ---- nodes ---- */

PG_FUNCTION_INFO_V1(doris_failover);

/* doris_failover(node text, server name) */
Datum doris_failover(PG_FUNCTION_ARGS)
{
	Operate op = {.verb = OPERATE_FAILOVER};

	set_node(op.node, argument_text(fcinfo, 0, "the name of a node"));
	(void) operate_plan(connection_get(argument_server(fcinfo, 1), GetUserId()), &op);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(doris_recover);

/* doris_recover(node text, accept_loss boolean, server name) */
Datum doris_recover(PG_FUNCTION_ARGS)
{
	Operate op = {.verb = OPERATE_RECOVER};

	set_node(op.node, argument_text(fcinfo, 0, "the name of a node"));
	op.accept_loss = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	(void) operate_plan(connection_get(argument_server(fcinfo, 2), GetUserId()), &op);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(doris_remove_node);

/* doris_remove_node(node text, server name) */
Datum doris_remove_node(PG_FUNCTION_ARGS)
{
	Operate op = {.verb = OPERATE_REMOVE};

	set_node(op.node, argument_text(fcinfo, 0, "the name of a node"));
	(void) operate_plan(connection_get(argument_server(fcinfo, 1), GetUserId()), &op);
	PG_RETURN_VOID();
}

/* ---- waiting for a plan ---- */

typedef struct PlanWait
{
	uint32 plan;
	TimestampTz told; /* when the last NOTICE was given */
	char words[512];  /* and what it said */
} PlanWait;

/* Whoever cancels the wait must not believe that he has cancelled the plan. */
static void wait_error(void *arg)
{
	const PlanWait *wait = arg;

	if (geterrcode() == ERRCODE_SUCCESSFUL_COMPLETION || geterrcode() == ERRCODE_WARNING ||
		geterrcode() == ERRCODE_UNDEFINED_OBJECT)
		return;
	errcontext("waiting for plan %u, which goes on", wait->plan);
	if (geterrcode() == ERRCODE_QUERY_CANCELED || geterrcode() == ERRCODE_ADMIN_SHUTDOWN)
		errhint("Plan %u goes on. doris_wait(%u) waits for it again, doris_cancel(%u) ends it.",
				wait->plan, wait->plan, wait->plan);
}

/* As the leading admin knows it. */
static PlanInfo wait_ask(DorisClient *client, uint32 plan)
{
	Operate op = {.verb = OPERATE_PLANS, .plan = plan, .dry = true};
	PlanInfo info = {0};
	OperateReply reply;

	operate(client, &op, &reply);
	if (reply.nplans > 0)
		info = reply.plans[0];
	operate_reply_free(&reply);
	if (info.id != plan)
		ereport(ERROR, errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("there is no plan %u", plan),
				errhint("See the view doris_plans."));
	return info;
}

static void wait_tell(PlanWait *wait, const PlanInfo *info, TimestampTz now)
{
	char words[sizeof(wait->words)];

	if (!TimestampDifferenceExceeds(wait->told, now, NOTICE_MS))
		return;
	doris_plan_progress(info, clock_wall_ms(), words, sizeof(words));
	if (strcmp(words, wait->words) == 0 && !TimestampDifferenceExceeds(wait->told, now, REPEAT_MS))
		return;
	ereport(NOTICE, errmsg("plan %u: %s", wait->plan, words));
	strlcpy(wait->words, words, sizeof(wait->words));
	wait->told = now;
}

/* Sleeps unless something wants the backend's attention. */
static void wait_sleep(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* True: it is done. False: the time is over. An error when it was cancelled. */
static bool plan_wait(DorisClient *client, uint32 plan, TimestampTz until)
{
	PlanWait wait = {.plan = plan, .told = GetCurrentTimestamp()};
	ErrorContextCallback callback = {
		.previous = error_context_stack, .callback = wait_error, .arg = &wait};
	long pause = POLL_FIRST_MS;
	bool over = false;
	PlanInfo info;

	error_context_stack = &callback;
	for (;;)
	{
		TimestampTz now;

		info = wait_ask(client, plan);
		now = GetCurrentTimestamp();
		over = now >= until;
		if (doris_plan_ended(&info) || over)
			break;
		wait_tell(&wait, &info, now);
		wait_sleep(Min(pause, TimestampDifferenceMilliseconds(now, until) + 1));
		pause = Min(pause * 2, POLL_MAX_MS);
	}
	error_context_stack = callback.previous;
	if (strcmp(info.state, "cancelled") == 0)
		ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("plan %u was cancelled: %s", plan,
					   info.error[0] != '\0' ? info.error : "by an operator"),
				errhint("What had moved by then stays where it is."));
	return doris_plan_ended(&info);
}

PG_FUNCTION_INFO_V1(doris_wait);

/* doris_wait(plan_id int, timeout interval, server name): true: done, false: the timeout has passed */
Datum doris_wait(PG_FUNCTION_ARGS)
{
	uint32 plan = argument_id(fcinfo, 0, "plan");
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz until = DT_NOEND;

	if (!PG_ARGISNULL(1))
	{
		until = DatumGetTimestampTz(DirectFunctionCall2(
			timestamptz_pl_interval, TimestampTzGetDatum(now), PG_GETARG_DATUM(1)));
		if (until < now)
			ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("the timeout must not be negative"));
	}
	PG_RETURN_BOOL(plan_wait(connection_get(argument_server(fcinfo, 2), GetUserId()), plan, until));
}

/* ---- plans ---- */

static void forbid_read_only(FunctionCallInfo fcinfo)
{
	PreventCommandIfReadOnly(psprintf("%s()", get_func_name(fcinfo->flinfo->fn_oid)));
}

/* Starts a plan, and waits for it if argument `wait` says so; the server is the argument behind that. */
static Datum plan_run(FunctionCallInfo fcinfo, const Operate *op, int wait)
{
	DorisClient *client;
	uint32 plan;

	if (PG_ARGISNULL(wait))
		ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("wait must not be NULL"),
				errhint("Say true or false."));
	forbid_read_only(fcinfo);
	client = connection_get(argument_server(fcinfo, wait + 1), GetUserId());
	plan = operate_plan(client, op);
	if (plan == 0)
	{
		ereport(NOTICE, errmsg("there is nothing to move"));
		PG_RETURN_NULL();
	}
	if (PG_GETARG_BOOL(wait))
		(void) plan_wait(client, plan, DT_NOEND);
	PG_RETURN_INT32((int32) plan);
}

/* What a plan would move: a row for each pair of nodes. Changes nothing. */
static Datum plan_show(FunctionCallInfo fcinfo, Operate *op, int server)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	bool nulls[9] = {false};
	OperateReply reply;

	op->dry = true;
	InitMaterializedSRF(fcinfo, 0);
	operate(connection_get(argument_server(fcinfo, server), GetUserId()), op, &reply);
	PG_TRY();
	{
		for (uint32 i = 0; i < reply.nmoves; i++)
		{
			const PlanMove *move = &reply.moves[i];
			Datum values[9];

			/* a new group comes from nowhere, one that is dropped goes nowhere */
			nulls[1] = move->from[0] == '\0';
			nulls[2] = move->to[0] == '\0';
			nulls[8] = move->free == PLAN_FREE_UNKNOWN;
			values[0] = Int32GetDatum((int32) move->group);
			values[1] = CStringGetTextDatum(move->from);
			values[2] = CStringGetTextDatum(move->to);
			values[3] = Int32GetDatum((int32) move->vnodes);
			values[4] = Int64GetDatum((int64) move->rows);
			values[5] = Int64GetDatum((int64) move->bytes);
			values[6] = Int32GetDatum((int32) reply.minimum);
			values[7] = Int64GetDatum((int64) move->needed);
			values[8] = Int64GetDatum((int64) move->free);
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		}
	}
	PG_FINALLY();
	{
		operate_reply_free(&reply);
	}
	PG_END_TRY();
	return (Datum) 0;
}

static Operate expand_arguments(FunctionCallInfo fcinfo)
{
	Operate op = {.verb = OPERATE_EXPAND, .group = argument_id(fcinfo, 0, "group")};

	set_nodes(fcinfo, 1, &op);
	return op;
}

static Operate shrink_arguments(FunctionCallInfo fcinfo)
{
	Operate op = {.verb = OPERATE_SHRINK};

	set_nodes(fcinfo, 0, &op);
	return op;
}

static Operate replace_arguments(FunctionCallInfo fcinfo)
{
	Operate op = {.verb = OPERATE_REPLACE};

	set_replace(fcinfo, &op);
	return op;
}

static Operate rebalance_arguments(FunctionCallInfo fcinfo)
{
	return (Operate){.verb = OPERATE_REBALANCE, .group = argument_id(fcinfo, 0, "group")};
}

static Operate add_group_arguments(FunctionCallInfo fcinfo)
{
	Operate op = {.verb = OPERATE_ADD_GROUP};

	set_nodes(fcinfo, 0, &op);
	return op;
}

static Operate drop_group_arguments(FunctionCallInfo fcinfo)
{
	return (Operate){.verb = OPERATE_DROP_GROUP, .group = argument_id(fcinfo, 0, "group")};
}

PG_FUNCTION_INFO_V1(doris_plan_expand);

/* doris_plan_expand(group_id int, nodes text[], server name) */
Datum doris_plan_expand(PG_FUNCTION_ARGS)
{
	Operate op = expand_arguments(fcinfo);

	return plan_show(fcinfo, &op, 2);
}

PG_FUNCTION_INFO_V1(doris_plan_shrink);

/* doris_plan_shrink(nodes text[], server name) */
Datum doris_plan_shrink(PG_FUNCTION_ARGS)
{
	Operate op = shrink_arguments(fcinfo);

	return plan_show(fcinfo, &op, 1);
}

PG_FUNCTION_INFO_V1(doris_plan_replace);

/* doris_plan_replace(old text, new text, server name) */
Datum doris_plan_replace(PG_FUNCTION_ARGS)
{
	Operate op = replace_arguments(fcinfo);

	return plan_show(fcinfo, &op, 2);
}

PG_FUNCTION_INFO_V1(doris_plan_rebalance);

/* doris_plan_rebalance(group_id int, server name) */
Datum doris_plan_rebalance(PG_FUNCTION_ARGS)
{
	Operate op = rebalance_arguments(fcinfo);

	return plan_show(fcinfo, &op, 1);
}

PG_FUNCTION_INFO_V1(doris_plan_add_group);

/* doris_plan_add_group(nodes text[], server name) */
Datum doris_plan_add_group(PG_FUNCTION_ARGS)
{
	Operate op = add_group_arguments(fcinfo);

	return plan_show(fcinfo, &op, 1);
}

PG_FUNCTION_INFO_V1(doris_plan_drop_group);

/* doris_plan_drop_group(group_id int, server name) */
Datum doris_plan_drop_group(PG_FUNCTION_ARGS)
{
	Operate op = drop_group_arguments(fcinfo);

	return plan_show(fcinfo, &op, 1);
}

PG_FUNCTION_INFO_V1(doris_expand);

/* doris_expand(group_id int, nodes text[], wait boolean, server name) */
Datum doris_expand(PG_FUNCTION_ARGS)
{
	Operate op = expand_arguments(fcinfo);

	return plan_run(fcinfo, &op, 2);
}

PG_FUNCTION_INFO_V1(doris_shrink);

/* doris_shrink(nodes text[], wait boolean, server name) */
Datum doris_shrink(PG_FUNCTION_ARGS)
{
	Operate op = shrink_arguments(fcinfo);

	return plan_run(fcinfo, &op, 1);
}

PG_FUNCTION_INFO_V1(doris_replace);

/* doris_replace(old text, new text, wait boolean, server name) */
Datum doris_replace(PG_FUNCTION_ARGS)
{
	Operate op = replace_arguments(fcinfo);

	return plan_run(fcinfo, &op, 2);
}

PG_FUNCTION_INFO_V1(doris_rebalance);

/* doris_rebalance(group_id int, wait boolean, server name) */
Datum doris_rebalance(PG_FUNCTION_ARGS)
{
	Operate op = rebalance_arguments(fcinfo);

	return plan_run(fcinfo, &op, 1);
}

PG_FUNCTION_INFO_V1(doris_add_group);

/* doris_add_group(nodes text[], wait boolean, server name) */
Datum doris_add_group(PG_FUNCTION_ARGS)
{
	Operate op = add_group_arguments(fcinfo);

	return plan_run(fcinfo, &op, 1);
}

PG_FUNCTION_INFO_V1(doris_drop_group);

/* doris_drop_group(group_id int, wait boolean, server name) */
Datum doris_drop_group(PG_FUNCTION_ARGS)
{
	Operate op = drop_group_arguments(fcinfo);

	return plan_run(fcinfo, &op, 1);
}

/* doris_pause, _resume, _cancel(plan_id int, server name) */
static Datum plan_tell(FunctionCallInfo fcinfo, OperateVerb verb)
{
	Operate op = {.verb = verb, .plan = argument_id(fcinfo, 0, "plan")};

	forbid_read_only(fcinfo);
	(void) operate_plan(connection_get(argument_server(fcinfo, 1), GetUserId()), &op);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(doris_pause);

Datum doris_pause(PG_FUNCTION_ARGS)
{
	return plan_tell(fcinfo, OPERATE_PAUSE);
}

PG_FUNCTION_INFO_V1(doris_resume);

Datum doris_resume(PG_FUNCTION_ARGS)
{
	return plan_tell(fcinfo, OPERATE_RESUME);
}

PG_FUNCTION_INFO_V1(doris_cancel);

Datum doris_cancel(PG_FUNCTION_ARGS)
{
	return plan_tell(fcinfo, OPERATE_CANCEL);
}
