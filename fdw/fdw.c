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
}

/* One callback for every stage: each file knows its own. */
static void upper_paths(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *input,
						RelOptInfo *output, void *extra)
{
	(void) input;
	(void) extra;
	order_upper_paths(root, stage, output);
}

Datum doris_fdw_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *r = makeNode(FdwRoutine);

	r->GetForeignRelSize = plan_rel_size;
	r->GetForeignPaths = plan_paths;
	r->GetForeignPlan = plan_scan;
	r->GetForeignUpperPaths = upper_paths;

	r->BeginForeignScan = scan_begin;
	r->IterateForeignScan = scan_iterate;
	r->ReScanForeignScan = scan_rescan;
	r->EndForeignScan = scan_end;

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

	r->ExplainForeignScan = explain_scan;
	r->ExplainForeignModify = explain_modify;
	r->ExplainDirectModify = direct_explain;
	r->AnalyzeForeignTable = analyze_table;
	r->ImportForeignSchema = doris_import_foreign_schema;

	PG_RETURN_POINTER(r);
}
