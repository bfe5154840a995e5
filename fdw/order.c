/*
 * order.c: ORDER BY the key, and LIMIT, as far as the nodes can help with them.
 *
 * A node's rows come in the order of their keys' bytes when they are asked for so, from all nodes merged (libdoris), in
 * either direction. That is an SQL order where the bytes of a key column order as the default operators of its type do, under
 * the collation that is asked for. Keys are never NULL, so NULLS FIRST and LAST are the same; and they are unique,
 * so what stands behind the whole key in an ORDER BY changes nothing.
 *
 * A LIMIT stays in PostgreSQL's hands. What it lets through is told to the scan (SCAN_LIMIT), which asks the nodes for no
 * more: only where nothing between the two can drop a row. A scan that is asked for more all the same goes on.
 */
#include "executor.h"

#include "access/stratnum.h"
#include "nodes/makefuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "optimizer/planner.h"
#include "utils/typcache.h"

/* ---- orders ---- */

/* Do the segments of the key column order as the operator family does under the collation? */
static bool column_orders(const ColumnCodec *codec, Oid opfamily, Oid collation)
{
	TypeCacheEntry *type = lookup_type_cache(codec->type, TYPECACHE_BTREE_OPFAMILY);

	return type->btree_opf == opfamily && codec_key_orders(codec, collation);
}

static bool is_column(RelOptInfo *rel, Expr *e, AttrNumber attnum)
{
	while (IsA(e, RelabelType))
		e = ((RelabelType *) e)->arg;
	return IsA(e, Var) && ((Var *) e)->varno == (int) rel->relid &&
		   ((Var *) e)->varattno == attnum && ((Var *) e)->varlevelsup == 0;
}

/* Is something of this table equal to what the pathkey sorts by? attnum 0: anything, else that column. */
static bool pathkey_has(RelOptInfo *rel, PathKey *pk, AttrNumber attnum)
{
	EquivalenceClass *ec = pk->pk_eclass;
	ListCell *lc;

	while (ec->ec_merged)
		ec = ec->ec_merged;
	if (ec->ec_has_volatile)
		return false;
	foreach (lc, ec->ec_members)
	{
		EquivalenceMember *em = lfirst_node(EquivalenceMember, lc);

		if (em->em_is_const || !bms_equal(em->em_relids, rel->relids))
			continue;
		if (attnum == 0 || is_column(rel, em->em_expr, attnum))
			return true;
	}
	return false;
}

/* How many of the pathkeys, from the first on, a scan in key order gives; *back: from the last key down. */
static int pathkeys_given(RelOptInfo *rel, DorisTable *t, const bool *constant, List *pathkeys,
						  bool *back)
{
	int at = 0;
	int n = 0;
	bool any = false;
	ListCell *lc;

	*back = false;
	foreach (lc, pathkeys)
	{
		PathKey *pk = lfirst_node(PathKey, lc);
		bool down = pk->pk_strategy == BTGreaterStrategyNumber;
		EquivalenceClass *ec = pk->pk_eclass;
		const ColumnCodec *codec;

		/* a column of which there is one value only does not stand between the others */
		while (at < t->nkey && constant[at] && !pathkey_has(rel, pk, t->key_attnums[at]))
			at++;
		if (at == t->nkey)
		{
			if (!pathkey_has(rel, pk, 0))
				break;
			n++;
			continue;
		}
		codec = &t->columns[t->key_attnums[at] - 1].codec;
		if (!pathkey_has(rel, pk, t->key_attnums[at]) ||
			!column_orders(codec, pk->pk_opfamily, ec->ec_collation) || (any && down != *back))
			break;
		*back = down;
		any = true;
		at++;
		n++;
	}
	return n;
}

/* The whole key in rising order as pathkeys, as far as the query has a use for them. */
static List *key_pathkeys(PlannerInfo *root, RelOptInfo *rel, DorisTable *t, const bool *constant)
{
	List *pathkeys = NIL;

	for (int i = 0; i < t->nkey; i++)
	{
		DorisColumn *col = &t->columns[t->key_attnums[i] - 1];
		TypeCacheEntry *type = lookup_type_cache(col->codec.type, TYPECACHE_LT_OPR);
		Oid vartype;
		int32 typmod;
		Oid collation;
		Var *v;
		List *one;

		if (constant[i])
			continue;
		if (!col->codec.key_ordered || !OidIsValid(type->lt_opr))
			break;
		get_atttypetypmodcoll(t->relid, t->key_attnums[i], &vartype, &typmod, &collation);
		v = makeVar((int) rel->relid, t->key_attnums[i], vartype, typmod, collation, 0);
		one = compat_build_expression_pathkey(root, (Expr *) v, type->lt_opr, rel->relids);
		if (one == NIL)
			break;
		if (!list_member_ptr(pathkeys, linitial(one)))
			pathkeys = lappend(pathkeys, linitial(one));
	}
	return truncate_useless_pathkeys(root, rel, pathkeys);
}

List *order_useful(PlannerInfo *root, RelOptInfo *rel, DorisTable *t, const bool *constant)
{
	List *orders = NIL;
	List *candidates[2];

	candidates[0] = root->query_pathkeys;
	candidates[1] = key_pathkeys(root, rel, t, constant);
	for (int i = 0; i < 2; i++)
	{
		bool back;
		int n = pathkeys_given(rel, t, constant, candidates[i], &back);
		UsefulOrder *o;

		if (n == 0)
			continue;
		o = palloc(sizeof(UsefulOrder));
		o->pathkeys = list_truncate(list_copy(candidates[i]), n);
		o->order = back ? DORIS_KEY_ORDER_BACK : DORIS_KEY_ORDER;
		if (orders == NIL ||
			!pathkeys_contained_in(o->pathkeys, ((UsefulOrder *) linitial(orders))->pathkeys))
			orders = lappend(orders, o);
	}
	return orders;
}

/* ---- LIMIT ---- */

static create_upper_paths_hook_type previous_hook = NULL;

static Path *path_with_limit(PlannerInfo *root, Path *path, Query *q);

static List *paths_with_limit(PlannerInfo *root, List *paths, Query *q)
{
	List *l = NIL;
	ListCell *lc;

	foreach (lc, paths)
		l = lappend(l, path_with_limit(root, lfirst(lc), q));
	return l;
}

/* The path with the limit told to the scans in it, of which none can give more; the path itself when there are none. */
static Path *path_with_limit(PlannerInfo *root, Path *path, Query *q)
{
	if (IsA(path, MergeAppendPath))
	{
		MergeAppendPath *p = makeNode(MergeAppendPath);

		*p = *(MergeAppendPath *) path;
		p->subpaths = paths_with_limit(root, p->subpaths, q);
		return (Path *) p;
	}
	if (IsA(path, AppendPath) && !path->parallel_aware)
	{
		AppendPath *p = makeNode(AppendPath);

		*p = *(AppendPath *) path;
		p->subpaths = paths_with_limit(root, p->subpaths, q);
		return (Path *) p;
	}
	if (IsA(path, ProjectionPath))
	{
		ProjectionPath *old = (ProjectionPath *) path;
		Path *sub = path_with_limit(root, old->subpath, q);
		ProjectionPath *p;

		if (sub == old->subpath)
			return path;
		p = makeNode(ProjectionPath);
		*p = *old;
		p->subpath = sub;
		return (Path *) p;
	}
	if (IsA(path, ForeignPath) && plan_limits(root, path))
	{
		ForeignPath *p = makeNode(ForeignPath);

		*p = *(ForeignPath *) path;
		p->fdw_private = list_copy(p->fdw_private);
		lfirst(list_nth_cell(p->fdw_private, PATH_LIMIT)) =
			list_make2(q->limitCount, q->limitOffset);
		return (Path *) p;
	}
	return path;
}

static void tell_limits(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *output)
{
	Query *q = root->parse;
	ListCell *lc;

	/* WITH TIES needs rows beyond the limit; FOR UPDATE may drop some before it */
	if (stage != UPPERREL_FINAL || q->limitCount == NULL || q->limitOption != LIMIT_OPTION_COUNT ||
		q->rowMarks != NIL || contain_volatile_functions(q->limitCount) ||
		contain_volatile_functions(q->limitOffset) || contain_subplans(q->limitCount) ||
		contain_subplans(q->limitOffset))
		return;
	foreach (lc, output->pathlist)
	{
		LimitPath *p = lfirst(lc);

		/* its own: made for this relation a moment ago */
		if (IsA(p, LimitPath))
			p->subpath = path_with_limit(root, p->subpath, q);
	}
}

/* A hook and not the wrapper's callback, which is not called for the children of other relations. */
static void upper_paths_hook(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *input,
							 RelOptInfo *output, void *extra)
{
	if (previous_hook != NULL)
		previous_hook(root, stage, input, output, extra);
	tell_limits(root, stage, output);
}

void order_init(void)
{
	previous_hook = create_upper_paths_hook;
	create_upper_paths_hook = upper_paths_hook;
}
