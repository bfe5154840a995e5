/*
 * fdw.c: the extension's entry: the module's start and the handler that names the callbacks.
 *
 * Nothing is opened here: the postmaster may load the library, and libdoris must not be carried through a fork.
 */
#include "executor.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(doris_fdw_handler);

void _PG_init(void);

void _PG_init(void)
{
	settings_init();
	stats_init();
	xact_init();
	join_plan_init();
	order_init();
}

/* ---- scans of a table, or of an upper relation: aggregates on the nodes ---- */

static bool aggregates(const ForeignScanState *node)
{
	return ((ForeignScan *) node->ss.ps.plan)->scan.scanrelid == 0;
}

static ForeignScan *any_plan(PlannerInfo *root, RelOptInfo *rel, Oid relid, ForeignPath *path,
							 List *tlist, List *clauses, Plan *outer)
{
	return IS_UPPER_REL(rel) ? aggregate_plan(root, rel, tlist, outer)
							 : plan_scan(root, rel, relid, path, tlist, clauses, outer);
}

static void any_begin(ForeignScanState *node, int eflags)
{
	if (aggregates(node))
		aggregate_begin(node, eflags);
	else
		scan_begin(node, eflags);
}

static TupleTableSlot *any_iterate(ForeignScanState *node)
{
	return aggregates(node) ? aggregate_iterate(node) : scan_iterate(node);
}

static void any_rescan(ForeignScanState *node)
{
	if (aggregates(node))
		aggregate_rescan(node);
	else
		scan_rescan(node);
}

static void any_end(ForeignScanState *node)
{
	if (!aggregates(node))
		scan_end(node);
}

/* That a path is: plan.c says of each. */
static bool any_parallel_safe(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte)
{
	(void) root;
	(void) rel;
	(void) rte;
	return true;
}

static void any_shutdown(ForeignScanState *node)
{
	if (!aggregates(node))
		scan_shutdown(node);
}

static void any_explain(ForeignScanState *node, ExplainState *es)
{
	if (aggregates(node))
		aggregate_explain(node, es);
	else
		explain_scan(node, es);
}

static void upper_paths(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *input,
						RelOptInfo *output, void *extra)
{
	if (stage == UPPERREL_GROUP_AGG)
		aggregate_paths(root, input, output, extra);
}

Datum doris_fdw_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *r = makeNode(FdwRoutine);

	r->GetForeignRelSize = plan_rel_size;
	r->GetForeignPaths = plan_paths;
	r->GetForeignPlan = any_plan;
	r->GetForeignUpperPaths = upper_paths;

	r->BeginForeignScan = any_begin;
	r->IterateForeignScan = any_iterate;
	r->ReScanForeignScan = any_rescan;
	r->EndForeignScan = any_end;
	r->ShutdownForeignScan = any_shutdown;

	r->IsForeignScanParallelSafe = any_parallel_safe;
	r->EstimateDSMForeignScan = scan_estimate_dsm;
	r->InitializeDSMForeignScan = scan_init_dsm;
	r->ReInitializeDSMForeignScan = scan_reinit_dsm;
	r->InitializeWorkerForeignScan = scan_init_worker;

	r->AddForeignUpdateTargets = modify_add_targets;
	r->PlanForeignModify = modify_plan;
	r->BeginForeignModify = modify_begin;
	r->ExecForeignInsert = modify_insert;
	r->ExecForeignBatchInsert = modify_batch_insert;
	r->GetForeignModifyBatchSize = modify_batch_size;
	r->ExecForeignUpdate = modify_update;
	r->ExecForeignDelete = modify_delete;
	r->EndForeignModify = modify_end;
	r->BeginForeignInsert = modify_begin_insert;
	r->EndForeignInsert = modify_end;
	r->IsForeignRelUpdatable = modify_updatable;
	r->PlanDirectModify = direct_plan;
	r->BeginDirectModify = direct_begin;
	r->IterateDirectModify = direct_iterate;
	r->EndDirectModify = direct_end;
	r->ExecForeignTruncate = truncate_tables;

	r->ExplainForeignScan = any_explain;
	r->ExplainForeignModify = explain_modify;
	r->ExplainDirectModify = direct_explain;
	r->AnalyzeForeignTable = analyze_table;
	r->ImportForeignSchema = doris_import_foreign_schema;

	PG_RETURN_POINTER(r);
}
