/*
 * aggregate.c: running aggregates on the nodes, and giving their groups as rows.
 *
 * The outer plan's scan says which rows are meant (see node_aggregate.h). When the nodes cannot have it - this transaction has written to the
 * table, the conditions are too large for a message or have a NULL below a NOT, there are too many groups - the outer plan runs instead and its
 * rows are given: it reads the rows and is right in any case. Nothing has been given before that is known.
 *
 * What a sum is in PostgreSQL is made here of the exact sum: its type, its errors when it does not fit.
 */
#include "node_aggregate.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/ruleutils.h"

typedef struct AggregateScan
{
	ForeignScanState *rows; /* the scan that says which rows */
	DorisTable *table;		/* its */
	List *groups;			/* see AggregatePrivate */
	List *steps;
	List *output;
	bool started;
	bool by_rows; /* the outer plan runs; for the rest of the statement */
	const char *why;
	const AggregateTable *table_of_groups; /* NULL: there are no rows at all */
	uint32 n;							   /* groups, and which one comes next */
	uint32 at;
} AggregateScan;

void aggregate_begin(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	PlanState *below = outerPlanState(node);
	AggregateScan *a;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	a = palloc0(sizeof(AggregateScan));
	while (below != NULL && !IsA(below, ForeignScanState))
		below = outerPlanState(below);
	if (below == NULL)
		elog(ERROR, "aggregates on the nodes have no scan below them");
	a->rows = (ForeignScanState *) below;
	a->table = scan_table(a->rows);
	a->groups = list_nth(plan->fdw_private, AGGREGATE_GROUPS);
	a->steps = list_nth(plan->fdw_private, AGGREGATE_STEPS);
	a->output = list_nth(plan->fdw_private, AGGREGATE_OUTPUT);
	node->fdw_state = a;
}

/* ---- results ---- */

static Datum numeric_of_sum(__int128 sum)
{
	/* three parts of 18 digits, the first of fewer */
	const int64 part = INT64CONST(1000000000000000000);
	Datum base = NumericGetDatum(int64_to_numeric(part));
	Datum n = NumericGetDatum(int64_to_numeric((int64) (sum / part / part)));

	for (int i = 0; i < 2; i++)
	{
		int64 digits = (int64) (i == 0 ? sum / part % part : sum % part);

		n = DirectFunctionCall2(numeric_add, DirectFunctionCall2(numeric_mul, n, base),
								NumericGetDatum(int64_to_numeric(digits)));
	}
	return n;
}

static Datum sum_result(const AggregateState *s, AggregateResult result)
{
	switch (result)
	{
		case RESULT_INT8:
			if (s->sum < PG_INT64_MIN || s->sum > PG_INT64_MAX)
				ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
								errmsg("bigint out of range")));
			return Int64GetDatum((int64) s->sum);
		case RESULT_NUMERIC:
			return numeric_of_sum(s->sum);
		case RESULT_NUMERIC_AVERAGE:
			return DirectFunctionCall2(numeric_div, numeric_of_sum(s->sum),
									   NumericGetDatum(int64_to_numeric((int64) s->count)));
		default:
			break;
	}
	if (s->overflowed)
		float_overflow_error();
	if (result == RESULT_FLOAT4)
		return Float4GetDatum((float4) s->number);
	if (result == RESULT_FLOAT8)
		return Float8GetDatum(s->number);
	/* PostgreSQL adds to 0, so that there is no average -0 */
	return Float8GetDatum((s->number + 0.0) / (float8) s->count);
}

/* A column's bytes as the table says they are stored. */
static Datum column_datum(DorisColumn *col, DorisBytes data)
{
	return column_is_in_key(col) ? codec_get_key(&col->codec, data.data, data.len)
								 : codec_get_value(&col->codec, data.data, data.len);
}

static DorisColumn *group_column(AggregateScan *a, int i)
{
	return &a->table->columns[list_nth_int(a->groups, i) - 1];
}

static void store_group(AggregateScan *a, uint32 group, TupleTableSlot *slot)
{
	static const AggregateState none = {0};
	int natts = slot->tts_tupleDescriptor->natts;

	ExecClearTuple(slot);
	for (int i = 0; i < natts; i++)
	{
		AggregateResult result = (AggregateResult) list_nth_int(a->output, 2 * i);
		int index = list_nth_int(a->output, 2 * i + 1);
		const AggregateState *s;

		slot->tts_isnull[i] = true;
		if (result == RESULT_GROUP)
		{
			DorisBytes data;

			if (!aggregate_group_column(a->table_of_groups, group, (uint32) index, &data))
				continue;
			slot->tts_isnull[i] = false;
			slot->tts_values[i] = column_datum(group_column(a, index), data);
			continue;
		}
		s = a->table_of_groups != NULL ? aggregate_state(a->table_of_groups, group, (uint32) index)
									   : &none;
		if (result != RESULT_COUNT && s->count == 0)
			continue;
		slot->tts_isnull[i] = false;
		if (result == RESULT_COUNT)
			slot->tts_values[i] = Int64GetDatum((int64) s->count);
		else if (result == RESULT_BEST)
			slot->tts_values[i] = column_datum(
				&a->table->columns[list_nth_int(a->steps, 2 * index + 1) - 1], s->best);
		else
			slot->tts_values[i] = sum_result(s, result);
	}
	ExecStoreVirtualTuple(slot);
}

/* ---- running ---- */

static uint16 column_id(AggregateScan *a, int attnum)
{
	return attnum == 0 ? 0 : a->table->columns[attnum - 1].id;
}

static DorisBytes program_of(AggregateScan *a)
{
	uint16_t groups[DORIS_AGGREGATE_MAX_COLUMNS];
	AggregateStep steps[DORIS_AGGREGATE_MAX_COLUMNS];
	int ngroups = list_length(a->groups);
	int nsteps = list_length(a->steps) / 2;
	DorisBuf b;
	DorisBytes program = EMPTY_BYTES;
	uint8 *copy;

	for (int i = 0; i < ngroups; i++)
		groups[i] = column_id(a, list_nth_int(a->groups, i));
	for (int i = 0; i < nsteps; i++)
		steps[i] = (AggregateStep){.op = (AggregateOp) list_nth_int(a->steps, 2 * i),
								   .column = column_id(a, list_nth_int(a->steps, 2 * i + 1))};
	buf_init(&b);
	aggregate_put_program(&b, groups, (uint32) ngroups, steps, (uint32) nsteps);
	copy = b.failed ? NULL : palloc_extended(b.len, MCXT_ALLOC_NO_OOM);
	if (copy != NULL)
	{
		memcpy(copy, b.data, b.len);
		program = (DorisBytes){copy, b.len};
	}
	buf_free(&b);
	if (copy == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return program;
}

static void ask_nodes(AggregateScan *a)
{
	a->at = a->n = 0;
	switch (scan_groups(a->rows, program_of(a), &a->table_of_groups))
	{
		case SCAN_GROUPS_HERE:
			a->n = aggregate_groups(a->table_of_groups);
			break;
		case SCAN_GROUPS_NO_ROWS:
			a->table_of_groups = NULL;
			a->n = a->groups == NIL ? 1 : 0;
			break;
		case SCAN_GROUPS_OWN_WRITES:
			a->why = "rows written by this transaction";
			break;
		case SCAN_GROUPS_FILTER:
			a->why = "conditions that cannot be sent";
			break;
		case SCAN_GROUPS_TOO_MANY:
			a->why = "too many groups";
			break;
	}
	a->by_rows = a->why != NULL;
}

TupleTableSlot *aggregate_iterate(ForeignScanState *node)
{
	AggregateScan *a = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	if (!a->started && !a->by_rows)
		ask_nodes(a);
	a->started = true;
	if (a->by_rows)
	{
		/* plan nodes do not expect to be run in a context that is reset with each row */
		MemoryContext old = MemoryContextSwitchTo(node->ss.ps.state->es_query_cxt);

		slot = ExecProcNode(outerPlanState(node));
		MemoryContextSwitchTo(old);
		return slot;
	}
	if (a->at == a->n)
		return ExecClearTuple(slot);
	store_group(a, a->at++, slot);
	return slot;
}

/* The outer plan is rescanned by the executor. */
void aggregate_rescan(ForeignScanState *node)
{
	AggregateScan *a = node->fdw_state;

	a->started = false;
}

/* ---- EXPLAIN ---- */

static char *expressions_text(ForeignScanState *node, ExplainState *es, bool aggregates)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	List *context = set_deparse_context_plan(es->deparse_cxt, (Plan *) plan, NIL);
	StringInfoData s;
	ListCell *lc;

	initStringInfo(&s);
	foreach (lc, plan->fdw_scan_tlist)
	{
		Expr *e = lfirst_node(TargetEntry, lc)->expr;

		if (IsA(e, Aggref) == aggregates)
			appendStringInfo(&s, "%s%s", s.len > 0 ? ", " : "",
							 deparse_expression((Node *) e, context,
												list_length(es->rtable) > 1 || es->verbose, false));
	}
	return s.len > 0 ? s.data : NULL;
}

void aggregate_explain(ForeignScanState *node, ExplainState *es)
{
	AggregateScan *a = node->fdw_state;
	char *aggregates = expressions_text(node, es, true);
	char *groups = expressions_text(node, es, false);

	if (aggregates != NULL)
		ExplainPropertyText("Node Aggregates", aggregates, es);
	if (groups != NULL)
		ExplainPropertyText("Node Group Key", groups, es);
	if (a == NULL || !es->analyze || !a->started)
		return;
	ExplainPropertyText("Computed", a->by_rows ? psprintf("here: %s", a->why) : "on the nodes", es);
	if (!a->by_rows)
	{
		DorisClient *client;
		DorisWork *work = scan_work(a->rows, &client);

		work_explain(work, client, es);
	}
}
