/*
 * key_plan.c: what binds a table's key: equalities of its columns, bounds of the column after these, or an OR of which each
 * arm gives a whole key, as (a, b) IN ((1, 2), (3, 4)) is one to the planner.
 *
 * The same clauses give the same answer at any time: a path's is worked out again when it becomes a plan.
 */
#include "key_plan.h"

#include "access/stratnum.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/restrictinfo.h"
#include "utils/selfuncs.h"

/*
 * What one arm of an OR binds of the columns that nothing else does, each to one value; NULL: not all of them. *exact: and it
 * says nothing else.
 */
static ShipCompare *arm_match(PlannerInfo *root, RelOptInfo *rel, DorisTable *t, Expr *arm,
							  const KeyPlan *kp, bool *exact)
{
	ShipCompare *by = palloc0(t->nkey * sizeof(ShipCompare));
	ListCell *lc;

	foreach (lc, make_ands_implicit(arm))
	{
		ShipCompare cmp;
		int pos = 0;

		if (ship_compare(root, t, rel->relid, lfirst(lc), &cmp) && !cmp.array &&
			cmp.strategy == BTEqualStrategyNumber)
			pos = t->columns[cmp.attnum - 1].key_position;
		if (pos > 0 && kp->rinfos[pos - 1] == NULL && by[pos - 1].other == NULL)
			by[pos - 1] = cmp;
		else
			*exact = false;
	}
	for (int i = 0; i < t->nkey; i++)
		if (kp->rinfos[i] != NULL)
			by[i] = kp->bound[i];
		else if (by[i].other == NULL)
			return NULL;
	return by;
}

/* Does the clause give whole keys, together with the equalities there are? */
static bool arms_match(PlannerInfo *root, RelOptInfo *rel, DorisTable *t, RestrictInfo *ri,
					   KeyPlan *kp)
{
	ListCell *lc;

	kp->arms = NIL;
	kp->or_exact = true;
	if (ri->pseudoconstant || !is_orclause(ri->clause))
		return false;
	foreach (lc, ((BoolExpr *) ri->clause)->args)
	{
		ShipCompare *by = arm_match(root, rel, t, lfirst(lc), kp, &kp->or_exact);

		if (by == NULL)
		{
			kp->arms = NIL;
			return false;
		}
		kp->arms = lappend(kp->arms, by);
	}
	kp->or_rinfo = ri;
	return true;
}

void key_plan_match(PlannerInfo *root, RelOptInfo *rel, DorisTable *t, List *clauses, KeyPlan *kp)
{
	ListCell *lc;

	memset(kp, 0, sizeof(*kp));
	foreach (lc, clauses)
	{
		RestrictInfo *ri = lfirst_node(RestrictInfo, lc);
		ShipCompare cmp;
		int pos;

		if (ri->pseudoconstant || !ship_compare(root, t, rel->relid, ri->clause, &cmp) ||
			cmp.strategy != BTEqualStrategyNumber)
			continue;
		pos = t->columns[cmp.attnum - 1].key_position;
		if (pos == 0 || (kp->rinfos[pos - 1] != NULL && (cmp.array || !kp->bound[pos - 1].array)))
			continue;
		kp->rinfos[pos - 1] = ri;
		kp->bound[pos - 1] = cmp;
	}
	kp->complete = true;
	for (int i = 0; i < t->nkey; i++)
	{
		kp->complete &= kp->rinfos[i] != NULL;
		kp->multi |= kp->rinfos[i] != NULL && kp->bound[i].array;
	}
	if (kp->complete)
	{
		kp->nbound = t->nkey;
		return;
	}
	if (!kp->multi)
		foreach (lc, clauses)
			if (arms_match(root, rel, t, lfirst_node(RestrictInfo, lc), kp))
			{
				kp->complete = kp->multi = true;
				return;
			}

	while (kp->rinfos[kp->nbound] != NULL && !kp->bound[kp->nbound].array)
		kp->nbound++;
	foreach (lc, clauses)
	{
		RestrictInfo *ri = lfirst_node(RestrictInfo, lc);

		if (kp->nbounds == MAX_BOUNDS)
			break;
		if (ri->pseudoconstant ||
			!bound_match(root, t, rel->relid, ri->clause, kp->nbound, &kp->bounds[kp->nbounds]))
			continue;
		kp->bound_rinfos[kp->nbounds++] = ri;
	}
}

DorisAccess key_plan_access(const KeyPlan *kp)
{
	if (kp->complete)
		return kp->multi ? ACCESS_MULTI : ACCESS_POINT;
	return kp->nbound > 0 || kp->nbounds > 0 ? ACCESS_RANGE : ACCESS_SCAN;
}

List *key_plan_rinfos(const KeyPlan *kp)
{
	List *l = NIL;

	for (int i = 0; i < (kp->arms != NIL ? DORIS_MAX_KEY_COLUMNS : kp->nbound); i++)
		if (kp->rinfos[i] != NULL)
			l = lappend(l, kp->rinfos[i]);
	if (kp->arms != NIL)
		l = lappend(l, kp->or_rinfo);
	for (int i = 0; i < kp->nbounds; i++)
		l = lappend(l, kp->bound_rinfos[i]);
	return l;
}

bool key_plan_upholds(const KeyPlan *kp, const RestrictInfo *ri)
{
	if (kp->arms != NIL && kp->or_rinfo == ri)
		return kp->or_exact;
	for (int i = 0; i < (kp->arms != NIL ? DORIS_MAX_KEY_COLUMNS : kp->nbound); i++)
		if (kp->rinfos[i] == ri)
			return true;
	for (int i = 0; i < kp->nbounds; i++)
		if (kp->bound_rinfos[i] == ri)
			return kp->bounds[i].exact;
	return false;
}

double key_plan_keys(PlannerInfo *root, const KeyPlan *kp)
{
	double n = 1;

	if (kp->arms != NIL)
		return list_length(kp->arms);
	for (int i = 0; i < kp->nbound; i++)
		if (kp->bound[i].array)
			n *= compat_estimate_array_length(root, (Node *) kp->bound[i].other);
	return n;
}
