/*
 * aggregate_plan.c: which aggregates the nodes can compute, and the path that has them do it.
 *
 * Nodes see bytes. Rows are grouped by columns of which equal values have equal bytes and nothing else has; min and max are
 * those of types whose bytes order as their default btree family does; sums are those of integers and floats, whose bytes are
 * known. The conditions must all be judged by the nodes. What stands above that is computed here, from the groups:
 * HAVING, expressions over aggregates, ORDER BY, LIMIT.
 *
 * Every such path carries the one that reads the rows (see node_aggregate.h), made of the relation's own path.
 */
#include "node_aggregate.h"

#include "access/stratnum.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/planmain.h"
#include "optimizer/prep.h"
#include "optimizer/tlist.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* RelOptInfo.fdw_private of an upper relation */
typedef struct AggregatePlan
{
	DorisTable *table;
	Index varno;
	List *groups; /* see AggregatePrivate */
	List *steps;
	List *output;
	PathTarget *
		target; /* what the nodes' groups give: group columns and aggregates, without expressions over them */
	List *having;
} AggregatePlan;

/* ---- single aggregates ---- */

/* Min or max by the column's default btree family; 0: neither. */
static AggregateOp best_of(const Aggref *agg, const ColumnCodec *codec)
{
	HeapTuple tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(agg->aggfnoid));
	TypeCacheEntry *type = lookup_type_cache(codec->type, TYPECACHE_BTREE_OPFAMILY);
	Oid sortop;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for aggregate %u", agg->aggfnoid);
	sortop = ((Form_pg_aggregate) GETSTRUCT(tuple))->aggsortop;
	ReleaseSysCache(tuple);
	if (!OidIsValid(sortop) || !OidIsValid(type->btree_opf))
		return 0;
	if (OidIsValid(agg->inputcollid) && agg->inputcollid != codec->collation)
		return 0;
	switch (get_op_opfamily_strategy(sortop, type->btree_opf))
	{
		case BTLessStrategyNumber:
			return AGGREGATE_MIN;
		case BTGreaterStrategyNumber:
			return AGGREGATE_MAX;
		default:
			return 0;
	}
}

typedef struct SumKind
{
	Oid function;
	Oid type;
	AggregateOp op;
	AggregateResult result;
} SumKind;

static const SumKind sums[] = {
	{F_SUM_INT2, INT2OID, AGGREGATE_SUM_INT, RESULT_INT8},
	{F_SUM_INT4, INT4OID, AGGREGATE_SUM_INT, RESULT_INT8},
	{F_SUM_INT8, INT8OID, AGGREGATE_SUM_INT, RESULT_NUMERIC},
	{F_AVG_INT2, INT2OID, AGGREGATE_SUM_INT, RESULT_NUMERIC_AVERAGE},
	{F_AVG_INT4, INT4OID, AGGREGATE_SUM_INT, RESULT_NUMERIC_AVERAGE},
	{F_AVG_INT8, INT8OID, AGGREGATE_SUM_INT, RESULT_NUMERIC_AVERAGE},
	{F_SUM_FLOAT4, FLOAT4OID, AGGREGATE_SUM_FLOAT4, RESULT_FLOAT4},
	{F_SUM_FLOAT8, FLOAT8OID, AGGREGATE_SUM_FLOAT8, RESULT_FLOAT8},
	{F_AVG_FLOAT4, FLOAT4OID, AGGREGATE_SUM_FLOAT8, RESULT_FLOAT8_AVERAGE},
	{F_AVG_FLOAT8, FLOAT8OID, AGGREGATE_SUM_FLOAT8, RESULT_FLOAT8_AVERAGE},
};

/* The step that computes it and what becomes of its state; false: nodes cannot. */
static bool ship_aggregate(const AggregatePlan *p, const Aggref *agg, AggregateOp *op,
						   AttrNumber *attnum, AggregateResult *result)
{
	Expr *arg;
	Var *v;
	DorisColumn *col;

	if (agg->aggkind != AGGKIND_NORMAL || agg->aggfilter != NULL || agg->aggdistinct != NIL ||
		agg->aggorder != NIL || agg->aggvariadic || agg->agglevelsup != 0)
		return false;
	*attnum = 0;
	*result = RESULT_COUNT;
	*op = AGGREGATE_COUNT_ROWS;
	if (agg->aggfnoid == F_COUNT_)
		return true;
	if (list_length(agg->args) != 1)
		return false;
	arg = linitial_node(TargetEntry, agg->args)->expr;
	if (agg->aggfnoid == F_COUNT_ANY && IsA(arg, Const) && !((Const *) arg)->constisnull)
		return true;
	v = ship_column(p->table, p->varno, arg);
	if (v == NULL)
		return false;
	*attnum = v->varattno;
	col = &p->table->columns[v->varattno - 1];
	if (agg->aggfnoid == F_COUNT_ANY)
	{
		*op = AGGREGATE_COUNT;
		return true;
	}
	for (size_t i = 0; i < lengthof(sums); i++)
		if (agg->aggfnoid == sums[i].function)
		{
			*op = sums[i].op;
			*result = sums[i].result;
			return col->codec.type == sums[i].type;
		}
	*result = RESULT_BEST;
	*op = best_of(agg, &col->codec);
	return *op != 0 && (column_is_in_key(col) ? col->codec.key_ordered : col->codec.value_bounded);
}

/* The step's place in the program; it is added when it is new. */
static int add_step(AggregatePlan *p, AggregateOp op, AttrNumber attnum)
{
	int n = list_length(p->steps) / 2;

	for (int i = 0; i < n; i++)
		if (list_nth_int(p->steps, 2 * i) == (int) op &&
			list_nth_int(p->steps, 2 * i + 1) == attnum)
			return i;
	p->steps = lappend_int(lappend_int(p->steps, (int) op), attnum);
	return n;
}

/* ---- what a query wants of its groups ---- */

static void add_output(AggregatePlan *p, Expr *e, Index sortgroupref, AggregateResult result,
					   int index)
{
	add_column_to_pathtarget(p->target, e, sortgroupref);
	p->output = lappend_int(lappend_int(p->output, (int) result), index);
}

/* Group columns: plain columns whose bytes tell equality. */
static bool add_group(AggregatePlan *p, Expr *e, const SortGroupClause *clause, Index sortgroupref)
{
	Var *v = IsA(e, Var) ? ship_column(p->table, p->varno, e) : NULL;
	TypeCacheEntry *type;
	DorisColumn *col;

	if (v == NULL)
		return false;
	col = &p->table->columns[v->varattno - 1];
	type = lookup_type_cache(col->codec.type, TYPECACHE_BTREE_OPFAMILY);
	if (!(column_is_in_key(col) || col->codec.value_equal) || !OidIsValid(type->btree_opf) ||
		get_op_opfamily_strategy(clause->eqop, type->btree_opf) != BTEqualStrategyNumber)
		return false;
	add_output(p, e, sortgroupref, RESULT_GROUP, list_length(p->groups));
	p->groups = lappend_int(p->groups, v->varattno);
	return true;
}

/* Aggregates of an expression; its columns must be group columns. */
static bool add_aggregates(AggregatePlan *p, Node *expr)
{
	List *found = pull_var_clause(expr, PVC_INCLUDE_AGGREGATES | PVC_RECURSE_WINDOWFUNCS |
											PVC_INCLUDE_PLACEHOLDERS);
	ListCell *lc;

	foreach (lc, found)
	{
		Expr *e = lfirst(lc);
		AggregateOp op;
		AttrNumber attnum;
		AggregateResult result;

		if (list_member(p->target->exprs, e))
			continue;
		if (!IsA(e, Aggref) || !ship_aggregate(p, (Aggref *) e, &op, &attnum, &result))
			return false;
		add_output(p, e, 0, result, add_step(p, op, attnum));
	}
	return list_length(p->steps) / 2 <= DORIS_AGGREGATE_MAX_COLUMNS;
}

static bool ship_query(PlannerInfo *root, AggregatePlan *p, const PathTarget *wanted, List *having)
{
	List *clauses = compat_group_clause(root);
	List *others = NIL;
	ListCell *lc;
	int i = 0;

	foreach (lc, wanted->exprs)
	{
		Index ref = get_pathtarget_sortgroupref(wanted, i);
		SortGroupClause *clause = ref > 0 ? get_sortgroupref_clause_noerr(ref, clauses) : NULL;

		i++;
		if (clause == NULL)
			others = lappend(others, lfirst(lc));
		else if (!add_group(p, lfirst(lc), clause, ref))
			return false;
	}
	return list_length(p->groups) == list_length(clauses) &&
		   list_length(p->groups) <= DORIS_AGGREGATE_MAX_COLUMNS &&
		   add_aggregates(p, (Node *) others) && add_aggregates(p, (Node *) having);
}

/* ---- paths ---- */

/* The cheapest way to read the rows that the nodes can take alone; NULL: none. */
static Path *scan_of(PlannerInfo *root, RelOptInfo *input, Cost *unsent)
{
	Path *best = NULL;
	ListCell *lc;

	foreach (lc, input->pathlist)
	{
		Path *path = lfirst(lc);
		Cost cost;

		if (plan_unsent_cost(root, input, path, &cost) && (best == NULL || cost < *unsent))
		{
			best = path;
			*unsent = cost;
		}
	}
	return best;
}

/* Nothing but the number of all rows, which the nodes know? */
static bool is_known(const AggregatePlan *p, const RelOptInfo *input)
{
	return p->groups == NIL && list_length(p->steps) == 2 &&
		   linitial_int(p->steps) == (int) AGGREGATE_COUNT_ROWS && input->baserestrictinfo == NIL;
}

void aggregate_paths(PlannerInfo *root, RelOptInfo *input, RelOptInfo *output, void *extra)
{
	const GroupPathExtraData *data = extra;
	Query *parse = root->parse;
	List *clauses = compat_group_clause(root);
	AggregatePlan *p;
	AggClauseCosts costs = {0};
	double ngroups = 1;
	double rows;
	Cost total = 0;
	Path *scan;
	Path *local;
	ForeignPath *path;

	if (!IS_SIMPLE_REL(input) || output->fdw_private != NULL || parse->groupingSets != NIL ||
		(data->patype != PARTITIONWISE_AGGREGATE_NONE &&
		 data->patype != PARTITIONWISE_AGGREGATE_FULL) ||
		!grouping_is_hashable(clauses))
		return;
	scan = scan_of(root, input, &total);
	if (scan == NULL)
		return;
	p = palloc0(sizeof(AggregatePlan));
	p->table = plan_table(input);
	p->varno = input->relid;
	p->target = create_empty_pathtarget();
	p->having = (List *) data->havingQual;
	if (!ship_query(root, p, output->reltarget, p->having))
		return;
	if (clauses != NIL)
		ngroups = estimate_num_groups(root, get_sortgrouplist_exprs(clauses, data->targetList),
									  scan->rows, NULL, NULL);
	if (ngroups > DORIS_AGGREGATE_MAX_GROUPS)
		return;
	output->fdw_private = p;
	set_pathtarget_cost_width(root, p->target);

	get_agg_clause_costs(root, AGGSPLIT_SIMPLE, &costs);
	local = (Path *) create_agg_path(root, output, scan, p->target,
									 clauses == NIL ? AGG_PLAIN : AGG_HASHED, AGGSPLIT_SIMPLE,
									 clauses, NIL, &costs, ngroups);
	rows = clamp_row_est(ngroups * clauselist_selectivity(root, p->having, 0, JOIN_INNER, NULL));
	if (is_known(p, input))
		total = scan->startup_cost;
	else
		total +=
			scan->rows * cpu_operator_cost * (list_length(p->groups) + list_length(p->steps) / 2.0);
	total += ngroups * (COST_ROW_SENT + cpu_tuple_cost);
	path = compat_create_foreign_upper_path(root, output, output->reltarget, rows, total, total,
											local, NIL);
	path->path.parallel_safe = false; /* it asks all nodes at once as it is */
	add_path(output, (Path *) path);
}

ForeignScan *aggregate_plan(PlannerInfo *root, RelOptInfo *rel, List *tlist, Plan *outer)
{
	const AggregatePlan *p = rel->fdw_private;

	const Plan *below = outer;

	(void) root;
	while (below != NULL && !IsA(below, ForeignScan))
		below = below->lefttree;
	if (below == NULL || below->qual != NIL)
		elog(ERROR, "the rows that the nodes are to aggregate are judged here");
	return make_foreignscan(tlist, p->having, 0, NIL, list_make3(p->groups, p->steps, p->output),
							make_tlist_from_pathtarget(p->target), NIL, outer);
}
