/*
 * join_plan.c: when a join with a foreign table becomes a batched one.
 *
 * A nested loop asks the cluster once for each outer row. A batched join (join.c) gathers outer rows, asks for all
 * their keys at once, and gives the joined rows in the outer side's order. The planner is offered one wherever the inner side is one
 * foreign table and the conditions bind its whole key, each column to one value computed from the outer side, constants and
 * parameters: then an outer row has at most one partner, which makes inner, left, semi and anti joins alike but
 * for what is done with a row that has none. Costs decide between this, a hash join over a whole scan, and the others.
 *
 * The custom path has two children: the outer path, and a foreign path of the inner table which gets its keys from the join
 * (ACCESS_JOINED), and which judges what is asked of the inner table alone. The planner thinks of it as a scan
 * without parameters; it can run only below this join, and is in no list of paths.
 *
 * Refused: keys bound by conditions that may not be judged before the inner table's own (security levels), by
 * volatile expressions or subplans (ship_compare); pseudoconstant conditions; an inner side with lateral references.
 */
#include "executor.h"

#include <math.h>

#include "nodes/makefuncs.h"
#include "optimizer/appendinfo.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"

static set_join_pathlist_hook_type previous_hook = NULL;

/* CustomPath.custom_private */
enum JoinPathPrivate
{
	JOIN_PATH_TYPE,	  /* Integer: JoinType */
	JOIN_PATH_CLAUSES /* of RestrictInfo: what the join upholds */
};

/* ---- the path ---- */

/* Does the condition filter the result of an outer join, instead of saying which inner row belongs to an outer one? */
static bool is_filter(RelOptInfo *joinrel, JoinType jointype, RestrictInfo *ri)
{
	return IS_OUTER_JOIN(jointype) && RINFO_IS_PUSHED_DOWN(ri, joinrel->relids);
}

/* Do the clauses and those of the inner table bind its key, by the outer side? */
static bool bind_key(PlannerInfo *root, RelOptInfo *joinrel, RelOptInfo *inner, JoinType jointype,
					 List *clauses, KeyBinding *key)
{
	List *l = NIL;
	ListCell *lc;

	foreach (lc, clauses)
	{
		RestrictInfo *ri = lfirst_node(RestrictInfo, lc);

		if (!is_filter(joinrel, jointype, ri) && restriction_is_securely_promotable(ri, inner))
			l = lappend(l, ri);
	}
	if (l == NIL || !plan_bind_key(root, inner, list_concat(l, inner->baserestrictinfo), key))
		return false;
	for (int i = 0; i < key->n; i++)
		if (!list_member_ptr(inner->baserestrictinfo, key->rinfos[i]))
			return true;
	return false;
}

static double batches_for(double rows)
{
	double size = JOIN_BATCH_FIRST;
	double n = 1;

	while (rows > size && size < JOIN_BATCH_MAX)
	{
		rows -= size;
		size = Min(size * JOIN_BATCH_GROWTH, JOIN_BATCH_MAX);
		n++;
	}
	return n + floor(rows / size);
}

static Plan *plan_join(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *tlist,
					   List *clauses, List *custom_plans);
static List *path_for_child(PlannerInfo *root, List *custom_private, RelOptInfo *child);

static const CustomPathMethods join_path_methods = {
	.CustomName = "Doris Batched Join",
	.PlanCustomPath = plan_join,
	.ReparameterizeCustomPathByChild = path_for_child,
};

static void add_join_path(PlannerInfo *root, RelOptInfo *joinrel, Path *outer, RelOptInfo *inner,
						  JoinType jointype, JoinPathExtraData *extra)
{
	Relids required = PATH_REQ_OUTER(outer);
	List *clauses = list_copy(extra->restrictlist);
	double keys = outer->rows;
	CustomPath *path;
	ForeignPath *inner_path;
	ParamPathInfo *info;
	KeyBinding key;
	QualCost qual_cost;
	PathTarget *target = joinrel->reltarget;

	if (!bms_is_subset(joinrel->lateral_relids, required) || bms_overlap(required, inner->relids) ||
		(!bms_is_empty(required) && !bms_overlap(required, extra->param_source_rels)))
		return;
	inner_path = plan_joined_path(root, inner, keys, batches_for(keys));
	/* an inner path without parameters leaves all conditions between the sides to the join */
	info = get_joinrel_parampathinfo(root, joinrel, outer, (Path *) inner_path, extra->sjinfo,
									 required, &clauses);
	if (!bind_key(root, joinrel, inner, jointype, clauses, &key))
		return;

	path = makeNode(CustomPath);
	path->path.pathtype = T_CustomScan;
	path->path.parent = joinrel;
	path->path.pathtarget = target;
	path->path.param_info = info;
	path->path.parallel_safe = false;
	path->path.rows = info != NULL ? info->ppi_rows : joinrel->rows;
	path->path.pathkeys = build_join_pathkeys(root, joinrel, jointype, outer->pathkeys);
	path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
	path->custom_paths = list_make2(outer, inner_path);
	path->custom_private = list_make2(makeInteger((int) jointype), clauses);
	compat_set_custom_clauses(path, clauses);
	path->methods = &join_path_methods;

	/* gathering a row costs about as much as putting it into a hash table; then the conditions see it with its partner */
	cost_qual_eval(&qual_cost, clauses, root);
	path->path.startup_cost = outer->startup_cost + inner_path->path.startup_cost +
							  qual_cost.startup + target->cost.startup;
	path->path.total_cost = outer->total_cost + inner_path->path.total_cost + qual_cost.startup +
							target->cost.startup +
							keys * (cpu_tuple_cost + cpu_operator_cost + qual_cost.per_tuple) +
							path->path.rows * (cpu_tuple_cost + target->cost.per_tuple);
	add_path(joinrel, (Path *) path);
}

static void offer_join(PlannerInfo *root, RelOptInfo *joinrel, RelOptInfo *outer, RelOptInfo *inner,
					   JoinType jointype, JoinPathExtraData *extra)
{
	ListCell *lc;

	if (!doris_enable_batched_join || !plan_is_ours(inner) ||
		!bms_is_empty(inner->lateral_relids) ||
		has_pseudoconstant_clauses(root, extra->restrictlist) ||
		has_pseudoconstant_clauses(root, inner->baserestrictinfo))
		return;
	switch (jointype)
	{
		case JOIN_INNER:
		case JOIN_LEFT:
		case JOIN_SEMI:
		case JOIN_ANTI:
			foreach (lc, outer->pathlist)
				add_join_path(root, joinrel, lfirst(lc), inner, jointype, extra);
			break;
		case JOIN_UNIQUE_OUTER:
		{
			/* a semi join the other way round: its rows, made unique, look for ours */
			Path *unique;

			if (bms_overlap(PATH_REQ_OUTER(outer->cheapest_total_path), inner->relids))
				break;
			unique =
				(Path *) create_unique_path(root, outer, outer->cheapest_total_path, extra->sjinfo);
			if (unique != NULL)
				add_join_path(root, joinrel, unique, inner, JOIN_INNER, extra);
			break;
		}
		default:
			break; /* rows of the inner side without a partner would be asked for: not found by keys */
	}
}

static void join_hook(PlannerInfo *root, RelOptInfo *joinrel, RelOptInfo *outer, RelOptInfo *inner,
					  JoinType jointype, JoinPathExtraData *extra)
{
	if (previous_hook != NULL)
		previous_hook(root, joinrel, outer, inner, jointype, extra);
	offer_join(root, joinrel, outer, inner, jointype, extra);
}

void join_plan_init(void)
{
	RegisterCustomScanMethods(&join_scan_methods);
	previous_hook = set_join_pathlist_hook;
	set_join_pathlist_hook = join_hook;
}

/* ---- the plan ---- */

static List *path_for_child(PlannerInfo *root, List *custom_private, RelOptInfo *child)
{
	return list_make2(
		list_nth(custom_private, JOIN_PATH_TYPE),
		compat_for_child(root, (Node *) list_nth(custom_private, JOIN_PATH_CLAUSES), child));
}

static Plan *plan_join(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *tlist,
					   List *scan_clauses, List *custom_plans)
{
	Path *inner_path = lsecond(path->custom_paths);
	Plan *outer_plan = linitial(custom_plans);
	Plan *inner_plan = lsecond(custom_plans);
	JoinType jointype = (JoinType) intVal(list_nth(path->custom_private, JOIN_PATH_TYPE));
	List *clauses = list_nth(path->custom_private, JOIN_PATH_CLAUSES);
	CustomScan *scan = makeNode(CustomScan);
	KeyBinding key;
	List *keys = NIL;
	List *widened = NIL;
	List *key_quals = NIL;
	List *join_quals = NIL;
	List *filter = NIL;
	List *columns = NIL;
	ListCell *lc;

	if (!bind_key(root, rel, inner_path->parent, jointype, clauses, &key) ||
		!IsA(inner_plan, ForeignScan))
		elog(ERROR,
			 "the clauses of a batched doris join bind its key otherwise than when it was made");
	for (int i = 0; i < key.n; i++)
	{
		keys = lappend(keys, key.by[i].other);
		widened = lappend_oid(widened, key.by[i].other_type);
		/* the inner side judges its own; the columns in them need not be known here */
		if (!list_member_ptr(inner_path->parent->baserestrictinfo, key.rinfos[i]))
			key_quals = list_append_unique_ptr(key_quals, key.rinfos[i]->clause);
	}
	for (Index level = 0; level <= root->qual_security_level; level++)
		foreach (lc, clauses)
		{
			RestrictInfo *ri = lfirst_node(RestrictInfo, lc);

			if (ri->security_level != level || list_member_ptr(key_quals, ri->clause))
				continue;
			if (is_filter(rel, jointype, ri))
				filter = lappend(filter, ri->clause);
			else
				join_quals = lappend(join_quals, ri->clause);
		}
	foreach (lc, outer_plan->targetlist)
		columns = lappend(columns, makeTargetEntry(copyObject(lfirst_node(TargetEntry, lc)->expr),
												   list_length(columns) + 1, NULL, false));
	foreach (lc, inner_plan->targetlist)
		columns = lappend(columns, makeTargetEntry(copyObject(lfirst_node(TargetEntry, lc)->expr),
												   list_length(columns) + 1, NULL, false));

	scan->scan.plan.targetlist = tlist;
	scan->scan.plan.qual = filter;
	scan->flags = path->flags;
	scan->custom_plans = custom_plans;
	scan->custom_exprs = list_make3(keys, key_quals, join_quals);
	scan->custom_private = list_make3(makeInteger((int) jointype), widened,
									  makeInteger(list_length(outer_plan->targetlist)));
	scan->custom_scan_tlist = columns;
	scan->methods = &join_scan_methods;
	return &scan->scan.plan;
}
