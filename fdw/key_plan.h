/*
 * key_plan.h: how the clauses of a path bind the key of its table. For the planner's files.
 */
#ifndef DORIS_KEY_PLAN_H
#define DORIS_KEY_PLAN_H

#include "executor.h"

#define MAX_BOUNDS 16 /* more of them become filters */

typedef struct KeyPlan
{
	int nbound;	   /* leading key columns that are bound; with arms 0 */
	bool complete; /* all of them */
	bool multi;	   /* there may be several keys */
	RestrictInfo *rinfos[DORIS_MAX_KEY_COLUMNS];
	ShipCompare bound[DORIS_MAX_KEY_COLUMNS];
	int nbounds; /* not complete: bounds of the columns after these */
	RestrictInfo *bound_rinfos[MAX_BOUNDS];
	KeyBound bounds[MAX_BOUNDS];
	List *
		arms; /* arrays of ShipCompare by key position - 1: keys by an OR, and what rinfos bind beside it */
	RestrictInfo *or_rinfo; /* that OR */
	bool or_exact;			/* it says nothing else */
} KeyPlan;

extern void key_plan_match(PlannerInfo *root, RelOptInfo *rel, DorisTable *t, List *clauses,
						   KeyPlan *kp);
extern DorisAccess key_plan_access(const KeyPlan *kp);
/* The clauses that keys and bounds come from. */
extern List *key_plan_rinfos(const KeyPlan *kp);
/* Does the access uphold the clause by itself? */
extern bool key_plan_upholds(const KeyPlan *kp, const RestrictInfo *ri);
/* How many keys a multi get has, for planning. */
extern double key_plan_keys(PlannerInfo *root, const KeyPlan *kp);

#endif
