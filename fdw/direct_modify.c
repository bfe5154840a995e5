/*
 * direct_modify.c: UPDATE and DELETE of one table, made by the scan itself.
 *
 * When nothing but the rows themselves decides what is changed and how, the scan needs no executor node above it: its rows
 * come with their versions, one request to each node, judged there; new values are computed here and put into the
 * write buffer, encoded, columns that stay as the bytes that came. A DELETE fetches keys and versions, no columns.
 *
 * Everything that is promised of the ordinary path (modify.c) holds here: the scan merges the transaction's own writes in as
 * they were before this command, the base of each row is the version read, constraints are checked, columns that the
 * table does not have are carried over.
 *
 * The ordinary path it is for joins, conditions or subqueries that are judged here, row triggers, stored generated columns,
 * WITH CHECK OPTION (core sees to these three), changes of key columns, and system columns in RETURNING.
 */
#include "modify.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/appendinfo.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/ruleutils.h"

/* The last item of fdw_private of such a scan. */
enum DirectPrivate
{
	DIRECT_EXPRS,	/* Integer: so many of fdw_exprs are the scan's, the others new values */
	DIRECT_ATTNUMS, /* integer list: the columns of the new values */
	DIRECT_COUNTED	/* Boolean: its rows count as the statement's */
};

/* DorisModify.change */
typedef struct DirectModify
{
	bool update;
	bool counted;
	bool check; /* constraints, on all columns of the new row */
	bool done;
	List *exprs; /* ExprStates of the new values */
	List *attnums;
	bool *changed; /* by attnum - 1 */
	Datum *values; /* new, by attnum - 1 */
	bool *nulls;
	StringInfoData key;
	StringInfoData old;
	StringInfoData value;
	uint64 rows;
} DirectModify;

/* ---- planning ---- */

/* The scan that gives the result relation's rows and nothing else; NULL: there is more to it. */
static ForeignScan *scan_of(ModifyTable *plan, Index rti, int subplan)
{
	Plan *p = outerPlan(plan);

	if (IsA(p, Append))
	{
		List *l = ((Append *) p)->appendplans;

		if (subplan >= list_length(l))
			return NULL;
		p = list_nth(l, subplan);
	}
	if (!IsA(p, ForeignScan) || ((ForeignScan *) p)->scan.scanrelid != rti)
		return NULL;
	return (ForeignScan *) p;
}

/* Does somebody above collect the rows of this child? */
static bool has_transition_table(PlannerInfo *root, ModifyTable *plan, Index rti)
{
	Relation rel;
	bool any;

	if (plan->rootRelation == 0 || plan->rootRelation == rti)
		return false;
	rel = table_open(planner_rt_fetch(plan->rootRelation, root)->relid, NoLock);
	any = rel->trigdesc != NULL &&
		  (plan->operation == CMD_UPDATE
			   ? rel->trigdesc->trig_update_old_table || rel->trigdesc->trig_update_new_table
			   : rel->trigdesc->trig_delete_old_table);
	table_close(rel, NoLock);
	return any;
}

/*
 * Nobody needs what the scan's own projection would give: new values are computed in the loop, and RETURNING looks at
 * the row. But core looks for the junk columns, and tells the relations of an inheritance tree by tableoid.
 */
static List *empty_targets(List *targets)
{
	List *l = NIL;
	ListCell *lc;

	foreach (lc, targets)
	{
		TargetEntry *tle = flatCopyTargetEntry(lfirst_node(TargetEntry, lc));
		Node *e = (Node *) tle->expr;

		if (!IsA(e, Var) || ((Var *) e)->varattno != TableOidAttributeNumber)
			tle->expr = (Expr *) makeNullConst(exprType(e), exprTypmod(e), exprCollation(e));
		l = lappend(l, tle);
	}
	return l;
}

bool direct_plan(PlannerInfo *root, ModifyTable *plan, Index rti, int subplan)
{
	ForeignScan *scan = scan_of(plan, rti, subplan);
	Relids own = bms_make_singleton((int) rti);
	Bitmapset *attrs = NULL;
	List *exprs = NIL;
	List *attnums = NIL;
	DorisTable *t;
	int bit = -1;

	if ((plan->operation != CMD_UPDATE && plan->operation != CMD_DELETE) || scan == NULL ||
		scan->scan.plan.qual != NIL || contain_subplans((Node *) scan->scan.plan.targetlist) ||
		has_transition_table(root, plan, rti))
		return false;
	t = plan_table(find_base_rel(root, (int) rti));
	if (plan->returningLists != NIL)
		pull_varattnos((Node *) list_nth(plan->returningLists, subplan), rti, &attrs);
	while ((bit = bms_next_member(attrs, bit)) >= 0)
	{
		AttrNumber attnum = (AttrNumber) (bit + FirstLowInvalidHeapAttributeNumber);

		if (attnum < 0 && attnum != TableOidAttributeNumber)
			return false;
	}
	if (plan->operation == CMD_UPDATE)
	{
		List *targets;
		ListCell *lc;
		ListCell *lc2;

		get_translated_update_targetlist(root, rti, &targets, &attnums);
		forboth(lc, targets, lc2, attnums)
		{
			TargetEntry *tle = lfirst_node(TargetEntry, lc);
			DorisColumn *col = &t->columns[lfirst_int(lc2) - 1];

			if (col->id == 0 || col->key_position > 0 || contain_subplans((Node *) tle->expr) ||
				!bms_is_subset(pull_varnos(root, (Node *) tle->expr), own))
				return false;
			exprs = lappend(exprs, tle->expr);
		}
		pull_varattnos((Node *) exprs, rti, &attrs);
	}

	plan_scan_wants(scan, t, attrs);
	scan->operation = plan->operation;
	scan->resultRelation = rti;
	scan->scan.plan.targetlist = empty_targets(scan->scan.plan.targetlist);
	scan->fdw_private = lappend(
		scan->fdw_private, list_make3(makeInteger(list_length(scan->fdw_exprs)),
									  copyObject(attnums), compat_make_boolean(plan->canSetTag)));
	scan->fdw_exprs = list_concat_copy(scan->fdw_exprs, copyObject(exprs));
	return true;
}

static int scan_exprs(const ForeignScan *plan)
{
	return intVal(list_nth(llast(plan->fdw_private), DIRECT_EXPRS));
}

List *direct_scan_exprs(ForeignScan *plan)
{
	if (plan->operation == CMD_SELECT)
		return plan->fdw_exprs;
	return list_truncate(list_copy(plan->fdw_exprs), scan_exprs(plan));
}

/* ---- execution ---- */

/* Has the table constraints that a row with an unchanged key could violate? */
static bool has_constraints(Relation rel, const DorisTable *t)
{
	TupleConstr *constr = RelationGetDescr(rel)->constr;

	if (rel->rd_rel->relispartition || (constr != NULL && constr->num_check > 0))
		return true;
	for (int i = 0; constr != NULL && constr->has_not_null && i < t->natts; i++)
		if (TupleDescAttr(RelationGetDescr(rel), i)->attnotnull && t->columns[i].key_position == 0)
			return true;
	return false;
}

void direct_begin(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	List *private = llast(plan->fdw_private);
	DirectModify *d;
	DorisModify *m;
	ListCell *lc;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	scan_begin(node, eflags);
	m = modify_create(node->ss.ps.state, node->resultRelInfo, true);
	m->work = scan_work(node, &m->client);
	d = m->change = palloc0(sizeof(DirectModify));
	d->update = plan->operation == CMD_UPDATE;
	d->counted = compat_bool_val(list_nth(private, DIRECT_COUNTED));
	d->attnums = list_nth(private, DIRECT_ATTNUMS);
	initStringInfo(&d->key);
	if (!d->update)
		return;
	initStringInfo(&d->old);
	initStringInfo(&d->value);
	d->check = has_constraints(m->rel, m->table);
	d->exprs =
		ExecInitExprList(list_copy_tail(plan->fdw_exprs, scan_exprs(plan)), (PlanState *) node);
	d->changed = palloc0(m->table->natts * sizeof(bool));
	d->values = palloc0(m->table->natts * sizeof(Datum));
	d->nulls = palloc0(m->table->natts * sizeof(bool));
	foreach (lc, d->attnums)
		d->changed[lfirst_int(lc) - 1] = true;
	/* what is not changed is written back as it came */
	scan_whole_rows(node, d->check);
}

/* The new row into d->value, and into the slot when somebody looks at it. */
static void make_value(ForeignScanState *node, DorisModify *m, TupleTableSlot *slot, bool shown)
{
	DirectModify *d = m->change;
	ExprContext *econtext = node->ss.ps.ps_ExprContext;
	DorisBytes old = {(const uint8 *) d->old.data, (size_t) d->old.len};
	ListCell *lc;
	ListCell *lc2;

	econtext->ecxt_scantuple = slot;
	forboth(lc, d->exprs, lc2, d->attnums)
	{
		int i = lfirst_int(lc2) - 1;

		d->values[i] = ExecEvalExpr((ExprState *) lfirst(lc), econtext, &d->nulls[i]);
	}
	if (shown || d->check)
	{
		foreach (lc, d->attnums)
		{
			int i = lfirst_int(lc) - 1;

			slot->tts_values[i] = d->values[i];
			slot->tts_isnull[i] = d->nulls[i];
		}
		if (d->check)
			modify_check_constraints(m, node->ss.ps.state, node->resultRelInfo, slot);
	}
	resetStringInfo(&d->value);
	table_put_value_over(m->table, d->values, d->nulls, d->changed, old, &d->value);
}

/* Changes the row in the slot; false: this command has changed it before. */
static bool change_row(ForeignScanState *node, DorisModify *m, TupleTableSlot *slot, bool shown)
{
	DirectModify *d = m->change;
	const DorisRow *from = scan_row(node);
	BufferedRow row = {.deleted = !d->update, .base = from->version, .cid = m->cid};

	/* an expression's function may use the buffers that these point into */
	resetStringInfo(&d->key);
	appendBinaryStringInfo(&d->key, (const char *) from->key.data, (int) from->key.len);
	row.key = (DorisBytes){(const uint8 *) d->key.data, (size_t) d->key.len};
	row.route_len = table_route_len(m->table, row.key);
	if (d->update)
	{
		resetStringInfo(&d->old);
		if (from->value.len > 0)
			appendBinaryStringInfo(&d->old, (const char *) from->value.data, (int) from->value.len);
		make_value(node, m, slot, shown);
		row.value = (DorisBytes){(const uint8 *) d->value.data, (size_t) d->value.len};
	}
	if (m->direct)
	{
		pending_add(m, d->update ? WRITE_PUT : WRITE_DELETE, row.key, row.route_len, row.value);
		if (pending_full(m))
			pending_flush(m);
		return true;
	}
	pending_flush(m); /* rows routed here */
	if (!modify_may_change(m, row.key))
		return false;
	buffer_put(pending_buffer(m), &row, m->subid);
	return true;
}

TupleTableSlot *direct_iterate(ForeignScanState *node)
{
	ResultRelInfo *rri = node->resultRelInfo;
	DorisModify *m = rri->ri_FdwState;
	DirectModify *d = m->change;
	EState *estate = node->ss.ps.state;
	bool returning = rri->ri_projectReturning != NULL;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	while (!d->done)
	{
		slot = scan_iterate(node);
		if (TupIsNull(slot))
		{
			d->done = true;
			break;
		}
		if (change_row(node, m, slot, returning))
		{
			if (d->counted)
				estate->es_processed++;
			d->rows++;
			if (returning)
			{
				rri->ri_projectReturning->pi_exprContext->ecxt_scantuple = slot;
				return slot;
			}
		}
		ResetExprContext(node->ss.ps.ps_ExprContext);
		ResetPerTupleExprContext(estate);
		CHECK_FOR_INTERRUPTS();
	}
	/* as the rows of a scan that gives them are counted */
	if (!returning && node->ss.ps.instrument != NULL)
		node->ss.ps.instrument->tuplecount += (double) d->rows;
	d->rows = 0;
	return ExecClearTuple(slot);
}

void direct_end(ForeignScanState *node)
{
	if (node->fdw_state == NULL)
		return;
	modify_end(node->ss.ps.state, node->resultRelInfo);
	scan_end(node);
}

/* ---- EXPLAIN ---- */

/* "v = (v + 1), note = NULL::text" */
static char *assignments_text(ForeignScanState *node, ExplainState *es)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	List *context = set_deparse_context_plan(es->deparse_cxt, (Plan *) plan, NIL);
	TupleDesc desc = RelationGetDescr(node->ss.ss_currentRelation);
	int i = scan_exprs(plan);
	StringInfoData s;
	ListCell *lc;

	initStringInfo(&s);
	foreach (lc, (List *) list_nth(llast(plan->fdw_private), DIRECT_ATTNUMS))
		appendStringInfo(
			&s, "%s%s = %s", s.len > 0 ? ", " : "",
			quote_identifier(NameStr(TupleDescAttr(desc, lfirst_int(lc) - 1)->attname)),
			deparse_expression(list_nth(plan->fdw_exprs, i++), context, es->verbose, false));
	return s.data;
}

void direct_explain(ForeignScanState *node, ExplainState *es)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;

	if (plan->operation == CMD_UPDATE)
		ExplainPropertyText("Direct Update", assignments_text(node, es), es);
	else
		ExplainPropertyText("Direct Delete", "by key and version", es);
	if (node->fdw_state != NULL)
		modify_flush_all(); /* what is to be counted */
	explain_scan(node, es);
	if (es->verbose)
		explain_write_mode(options_table(RelationGetRelid(node->ss.ss_currentRelation)), es);
}
