/*
 * compat.h: the differences between PostgreSQL versions (14 to 18), in one place.
 */
#ifndef DORIS_COMPAT_H
#define DORIS_COMPAT_H

#include "postgres.h"

#include "catalog/pg_attribute.h"
#include "catalog/pg_collation.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parse_type.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pg_locale.h"

/* Do strings under this collation order as their bytes do? */
static inline bool compat_collation_is_c(Oid collation)
{
	if (!OidIsValid(collation))
		return false;
#if PG_VERSION_NUM >= 180000
	return pg_newlocale_from_collation(collation)->collate_is_c;
#else
	return lc_collate_is_c(collation);
#endif
}

/* Are strings under this collation equal exactly when their bytes are? */
static inline bool compat_collation_is_deterministic(Oid collation)
{
	return !OidIsValid(collation) || collation == DEFAULT_COLLATION_OID ||
		   get_collation_isdeterministic(collation);
}

/* Is the column computed when it is read, and so not stored? */
static inline bool compat_is_virtual(Form_pg_attribute att)
{
#if PG_VERSION_NUM >= 180000
	return att->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL;
#else
	(void) att;
	return false;
#endif
}

/* A set that lives as long as the backend. */
static inline WaitEventSet *compat_create_wait_event_set(int nevents)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(NULL, nevents);
#else
	return CreateWaitEventSet(TopMemoryContext, nevents);
#endif
}

/* 14 has no way to reserve a prefix, but warns of unknown settings under it */
#if PG_VERSION_NUM < 150000
#define MarkGUCPrefixReserved(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/* Up to 15, ALTER TABLE marks the commands that go to child tables by subtypes of their own. */
static inline AlterTableType compat_alter_subtype(const AlterTableCmd *cmd)
{
#if PG_VERSION_NUM < 160000
	if (cmd->subtype == AT_AddColumnRecurse)
		return AT_AddColumn;
	if (cmd->subtype == AT_DropColumnRecurse)
		return AT_DropColumn;
#endif
	return cmd->subtype;
}

/* Raises an error for a text that is no type. */
static inline void compat_parse_type(const char *text, Oid *type, int32 *typmod)
{
#if PG_VERSION_NUM >= 160000
	(void) parseTypeString(text, type, typmod, NULL);
#else
	parseTypeString(text, type, typmod, false);
#endif
}

#if PG_VERSION_NUM < 150000
/* As 15's: the function's rows go to a tuplestore in rsinfo. */
static inline void InitMaterializedSRF(FunctionCallInfo fcinfo, bits32 flags)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;
	TupleDesc desc;

	(void) flags;
	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo) || !(rsinfo->allowedModes & SFRM_Materialize))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("set-valued function called in context that cannot accept a set")));
	old = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	rsinfo->returnMode = SFRM_Materialize;
	rsinfo->setResult = tuplestore_begin_heap(false, false, work_mem);
	rsinfo->setDesc = CreateTupleDescCopy(desc);
	MemoryContextSwitchTo(old);
}
#endif

/* Up to 14, a preloaded library asks for shared memory while it is loaded; from 15 on in a hook. */
#if PG_VERSION_NUM >= 150000
typedef shmem_request_hook_type compat_shmem_request;
#define compat_on_shmem_request(request, previous) \
	((previous) = shmem_request_hook, shmem_request_hook = (request))
#else
typedef void (*compat_shmem_request)(void);
#define compat_on_shmem_request(request, previous) ((previous) = NULL, (request) ())
#endif

/* ---- planner and executor ---- */
#if PG_VERSION_NUM >= 150000
#define compat_make_boolean(b) ((Node *) makeBoolean(b))
#define compat_bool_val(node) boolVal(node)
#else
#define compat_make_boolean(b) ((Node *) makeInteger(b))
#define compat_bool_val(node) (intVal(node) != 0)
#endif

#if PG_VERSION_NUM >= 170000
#define compat_estimate_array_length(root, node) estimate_array_length(root, node)
#else
#define compat_estimate_array_length(root, node) ((double) estimate_array_length(node))
#endif

#if PG_VERSION_NUM >= 180000
#define compat_create_foreignscan_path(root, rel, rows, startup, total, outer, priv) \
	create_foreignscan_path(root, rel, NULL, rows, 0, startup, total, NIL, outer, NULL, NIL, priv)
#elif PG_VERSION_NUM >= 170000
#define compat_create_foreignscan_path(root, rel, rows, startup, total, outer, priv) \
	create_foreignscan_path(root, rel, NULL, rows, startup, total, NIL, outer, NULL, NIL, priv)
#else
#define compat_create_foreignscan_path(root, rel, rows, startup, total, outer, priv) \
	create_foreignscan_path(root, rel, NULL, rows, startup, total, NIL, outer, NULL, priv)
#endif

/* Paths that stand for joins: from 17 on they name the conditions they uphold. */
#if PG_VERSION_NUM >= 170000
#define compat_set_custom_clauses(cpath, clauses) ((cpath)->custom_restrictinfo = (clauses))
#else
#define compat_set_custom_clauses(cpath, clauses) ((void) 0)
#endif

/* A path's private data, made for a parent table, for one of its children. */
#if PG_VERSION_NUM >= 160000
#define compat_for_child(root, node, child) \
	adjust_appendrel_attrs_multilevel(root, node, child, (child)->top_parent)
#else
#define compat_for_child(root, node, child) \
	adjust_appendrel_attrs_multilevel(root, node, (child)->relids, (child)->top_parent_relids)
#endif

/* One pathkey, when there is a use for it; else NIL. */
#if PG_VERSION_NUM >= 160000
#define compat_build_expression_pathkey(root, expr, opno, relids) \
	build_expression_pathkey(root, expr, opno, relids, false)
#else
#define compat_build_expression_pathkey(root, expr, opno, relids) \
	build_expression_pathkey(root, expr, NULL, opno, relids, false)
#endif

#if PG_VERSION_NUM >= 160000
#define compat_tuplesort_getdatum(sort, d, isnull) \
	tuplesort_getdatum(sort, true, true, d, isnull, NULL)
#else
#define compat_tuplesort_getdatum(sort, d, isnull) tuplesort_getdatum(sort, true, d, isnull, NULL)
#endif
#if PG_VERSION_NUM >= 150000
#define compat_TUPLESORT_NONE TUPLESORT_NONE
#else
#define compat_TUPLESORT_NONE false
#endif

/* GROUP BY without what is redundant */
#if PG_VERSION_NUM >= 160000
#define compat_group_clause(root) ((root)->processed_groupClause)
#else
#define compat_group_clause(root) ((root)->parse->groupClause)
#endif

#if PG_VERSION_NUM >= 180000
#define compat_create_foreign_upper_path(root, rel, target, rows, startup, total, outer, priv) \
	create_foreign_upper_path(root, rel, target, rows, 0, startup, total, NIL, outer, NIL, priv)
#elif PG_VERSION_NUM >= 170000
#define compat_create_foreign_upper_path(root, rel, target, rows, startup, total, outer, priv) \
	create_foreign_upper_path(root, rel, target, rows, startup, total, NIL, outer, NIL, priv)
#else
#define compat_create_foreign_upper_path(root, rel, target, rows, startup, total, outer, priv) \
	create_foreign_upper_path(root, rel, target, rows, startup, total, NIL, outer, priv)
#endif

/* The role whose rights count for a scan and for a result relation; InvalidOid: the current one. */
#if PG_VERSION_NUM >= 160000
#define compat_scan_user(node) (((ForeignScan *) (node)->ss.ps.plan)->checkAsUser)
#define compat_result_user(rri, estate) ExecGetResultRelCheckAsUser(rri, estate)
#define compat_rte_user(root, rte) \
	getRTEPermissionInfo((root)->parse->rteperminfos, rte)->checkAsUser
#else
#define compat_scan_user(node)                                                                \
	(exec_rt_fetch(((ForeignScan *) (node)->ss.ps.plan)->scan.scanrelid, (node)->ss.ps.state) \
		 ->checkAsUser)
#define compat_result_user(rri, estate)                                   \
	(exec_rt_fetch((rri)->ri_RangeTableIndex != 0                         \
					   ? (rri)->ri_RangeTableIndex                        \
					   : (rri)->ri_RootResultRelInfo->ri_RangeTableIndex, \
				   estate)                                                \
		 ->checkAsUser)
#define compat_rte_user(root, rte) ((rte)->checkAsUser)
#endif

#endif
