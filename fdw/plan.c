/*
 * plan.c: how a foreign table will be read.
 *
 * Three kinds of paths. A lookup (point or multi get), when every column of the key is bound by equality, by = ANY, or by every arm of
 * an OR, to something that does not look at this table: a constant, a run-time parameter, or in a parameterized path a
 * column of another table (key_plan.c). A range, when a prefix of the key is bound, or the column after it bounded: it reads one
 * vnode if the prefix routes. Else a scan of all vnodes. What the nodes can judge beyond that goes to them as a filter; for
 * one row it stays here, where it costs less than to send it (and for few keys, see scan.c).
 *
 * Where a scan in key order is of use (order.c) it is a path of its own: the nodes merge their vnodes, which costs a cursor
 * for each of them and each page.
 *
 * The access of a path is worked out again from its clauses when it becomes a plan: the same function over the same
 * clauses gives the same answer.
 *
 * Scans of all vnodes can be shared with workers (parallel.c). These divide the work that is done here for each row; a worker's start, 6 ms,
 * takes 10 ms more for its connections.
 *
 * Assumptions behind the costs: what a round trip costs is measured (estimate.c); beside one of 116 us a row of 100 bytes costs
 * 0.5 us in a scan and 2.1 us in a multi get (docs/decisions/0012-batched-joins.md); a row sent costs three times what a row
 * costs that a node reads and passes over. An estimate of the rows comes from ANALYZE, else from the nodes' counters.
 */
#include "key_plan.h"

#include <math.h>

#include "access/relation.h"
#include "access/stratnum.h"
#include "access/sysattr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "utils/selfuncs.h"

#define COST_ROW_READ 0.01
#define COST_KEY 0.2 /* of a multi get beside its round trips */
#define KEYS_PER_ROUND_TRIP 1000.0
#define COST_CURSOR 0.5	 /* opened in a vnode, for a page in key order */
#define COST_MERGED 0.01 /* a row of it */
#define ROWS_PER_PAGE 10000.0
#define CONNECT_SETUPS \
	1.5 /* a worker is a new process, which knows nobody: in parallel_setup_cost */
#define MAX_OUTER_SETS 12	/* sets of other tables tried for parameterized paths */
#define ROWS_UNKNOWN 1000.0 /* when nobody can say */

/* RelOptInfo.fdw_private */
typedef struct RelPlan
{
	DorisTable *table;
	List *filter_rinfos; /* base restrictions that the nodes can judge */
	double filter_selectivity;
	QualCost local_cost; /* of the others */
	double vnodes_per_node;
	double round_trip; /* cost */
	BlockNumber pages; /* what the table would have, were it local */
} RelPlan;

static double vnodes_per_node(DorisClient *client)
{
	Topology *t = doris_topology(client);
	uint32 n = 0;
	double per;

	for (uint32 i = 0; i < t->nnodes; i++)
		n += t->nodes[i].role == NODE_DATA;
	per = (double) t->vnodes / Max(n, 1);
	topology_unref(t);
	return Max(per, 1);
}

bool plan_bind_key(PlannerInfo *root, RelOptInfo *rel, List *clauses, KeyBinding *out)
{
	RelPlan *p = rel->fdw_private;
	KeyPlan kp;

	key_plan_match(root, rel, p->table, clauses, &kp);
	if (!kp.complete || kp.multi)
		return false;
	out->n = kp.nbound;
	memcpy(out->rinfos, kp.rinfos, sizeof(out->rinfos));
	memcpy(out->by, kp.bound, sizeof(out->by));
	return true;
}

/* ---- GetForeignRelSize ---- */

/* The route key, where the clauses and what planning knows give it; empty: they do not. */
static DorisBytes known_route(PlannerInfo *root, DorisTable *t, const KeyPlan *kp)
{
	Datum *values = palloc(t->nroute * sizeof(Datum));
	StringInfoData key;

	if (kp->nbound < t->nroute)
		return EMPTY_BYTES;
	for (int i = 0; i < t->nroute; i++)
	{
		const ShipCompare *cmp = &kp->bound[i];
		DorisColumn *column = &t->columns[t->key_attnums[i] - 1];
		bool isnull;

		if (cmp->array || !estimate_known(root, cmp->other, &values[i], &isnull) || isnull ||
			(OidIsValid(cmp->other_type) &&
			 ship_coerce(cmp->other_type, column->codec.type, &values[i]) != 0))
			return EMPTY_BYTES;
	}
	initStringInfo(&key);
	table_put_key_prefix(t, values, t->nroute, &key);
	return (DorisBytes){(const uint8 *) key.data, (size_t) key.len};
}

/* use_remote_estimate: asks the nodes how many rows pass what they can judge and whose values are known. */
static void ask_size(PlannerInfo *root, RelOptInfo *rel, DorisClient *client, const KeyPlan *kp)
{
	RelPlan *p = rel->fdw_private;
	ShipFilter f = {NIL, NIL};
	List *shipped = NIL; /* that the filter has; of the others, the statistics tell */
	List *unknown = NIL;
	double rows;
	ListCell *lc;

	foreach (lc, p->filter_rinfos)
	{
		RestrictInfo *ri = lfirst_node(RestrictInfo, lc);
		ShipFilter one = {NIL, NIL};
		bool known = ship_filter_add(root, p->table, rel->relid, ri->clause, &one);
		ListCell *expr;
		Datum value;
		bool isnull;

		foreach (expr, one.exprs)
			known = known && estimate_known(root, lfirst(expr), &value, &isnull);
		if (known && ship_filter_add(root, p->table, rel->relid, ri->clause, &f))
			shipped = lappend(shipped, ri);
		else
			unknown = lappend(unknown, ri);
	}
	if (shipped == NIL || !estimate_condition(root, p->table, client, &f,
											  known_route(root, p->table, kp), rel->tuples, &rows))
		return;
	p->filter_selectivity = Min(rows / rel->tuples, 1) *
							clauselist_selectivity(root, unknown, rel->relid, JOIN_INNER, NULL);
	rel->rows = clamp_row_est(
		rows * clauselist_selectivity(root, list_difference_ptr(rel->baserestrictinfo, shipped),
									  rel->relid, JOIN_INNER, NULL));
}

void plan_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid relid)
{
	RelPlan *p = palloc0(sizeof(RelPlan));
	Oid userid = OidIsValid(rel->userid) ? rel->userid : GetUserId();
	Relation r = relation_open(relid, NoLock);
	DorisClient *client = connection_get(GetForeignTable(relid)->serverid, userid);
	List *local = NIL;
	KeyPlan kp;
	ListCell *lc;

	p->table = doris_table_open(r, client);
	p->round_trip = estimate_round_trip(p->table, client);
	relation_close(r, NoLock);
	rel->fdw_private = p;
	p->vnodes_per_node = vnodes_per_node(client);

	foreach (lc, rel->baserestrictinfo)
	{
		RestrictInfo *ri = lfirst_node(RestrictInfo, lc);
		ShipFilter scratch = {NIL, NIL};

		if (ship_filter_add(root, p->table, rel->relid, ri->clause, &scratch))
			p->filter_rinfos = lappend(p->filter_rinfos, ri);
		else
			local = lappend(local, ri);
	}
	cost_qual_eval(&p->local_cost, local, root);

	p->pages = rel->pages;
	key_plan_match(root, rel, p->table, rel->baserestrictinfo, &kp);
	if (rel->tuples < 0 || (rel->tuples == 0 && rel->pages == 0) ||
		p->table->options->remote_estimate)
	{
		double rows = rel->tuples > 0 ? rel->tuples : ROWS_UNKNOWN;
		double bytes = 0;

		/* a lookup that is cheaper than the start of any scan needs no round trip to choose it */
		if (!kp.complete || bms_membership(root->all_baserels) != BMS_SINGLETON ||
			key_plan_keys(root, &kp) * (COST_KEY + cpu_tuple_cost) > p->round_trip)
			(void) estimate_table(p->table->serverid, client, p->table->ns, &rows, &bytes);
		rel->tuples = Max(rows, 1);
		p->pages = estimate_pages(bytes);
	}
	p->filter_selectivity =
		clauselist_selectivity(root, p->filter_rinfos, rel->relid, JOIN_INNER, NULL);
	set_baserel_size_estimates(root, rel);
	if (p->table->options->remote_estimate && !kp.complete)
		ask_size(root, rel, client, &kp);
	if (kp.complete)
		rel->rows = clamp_row_est(Min(rel->rows, key_plan_keys(root, &kp)));
	if (kp.complete && !kp.multi)
		rel->rows = 1;
}

/* ---- GetForeignPaths ---- */

/* Does it read all vnodes? */
static bool reads_all(const RelPlan *p, DorisAccess access, const KeyPlan *kp)
{
	return access == ACCESS_SCAN || (access == ACCESS_RANGE && kp->nbound < p->table->nroute);
}

/* Among how many participants the work of the rows is divided: as core reckons for its own parallel scans. */
static double participants(int workers)
{
	double leader = 1.0 - 0.3 * workers;

	return workers + (workers == 0 ? 1 : parallel_leader_participation && leader > 0 ? leader : 0);
}

/* Of the conditions that are judged here: an OR that gives the keys is not, though it be too large for a filter. */
static QualCost local_cost(PlannerInfo *root, const RelPlan *p, const KeyPlan *kp)
{
	QualCost cost = p->local_cost;
	QualCost upheld;

	if (kp->arms == NIL || !kp->or_exact || list_member_ptr(p->filter_rinfos, kp->or_rinfo))
		return cost;
	cost_qual_eval_node(&upheld, (Node *) kp->or_rinfo, root);
	cost.startup -= upheld.startup;
	cost.per_tuple -= upheld.per_tuple;
	return cost;
}

/* workers: that share it; 0: it is read by one process. */
static ForeignPath *access_path(PlannerInfo *root, RelOptInfo *rel, DorisAccess access,
								const KeyPlan *kp, Relids outer, double rows,
								const UsefulOrder *order, int workers)
{
	RelPlan *p = rel->fdw_private;
	QualCost local = local_cost(root, p, kp);
	Cost startup = p->round_trip + local.startup;
	Cost run;
	Cost sent = 0;
	double fetched; /* rows that come here */
	ForeignPath *path;

	switch (access)
	{
		case ACCESS_POINT:
			fetched = 1;
			run = 0;
			break;
		case ACCESS_MULTI:
		{
			double keys = key_plan_keys(root, kp);

			fetched = keys * clauselist_selectivity(
								 root, list_difference_ptr(p->filter_rinfos, key_plan_rinfos(kp)),
								 rel->relid, JOIN_INNER, NULL);
			run = floor(keys / KEYS_PER_ROUND_TRIP) * p->round_trip + keys * COST_KEY;
			break;
		}
		default:
		{
			double read = rel->tuples;

			if (access == ACCESS_RANGE)
				read = clamp_row_est(read * clauselist_selectivity(root, key_plan_rinfos(kp),
																   rel->relid, JOIN_INNER, NULL));
			fetched = clamp_row_est(Min(read, rel->tuples * p->filter_selectivity));
			/* a scan of all vnodes opens with a request to every node */
			if (reads_all(p, access, kp))
				startup += p->round_trip;
			run = read * COST_ROW_READ;
			sent = fetched * COST_ROW_SENT;
			if (order != NULL && reads_all(p, access, kp))
			{
				Cost page = p->vnodes_per_node * COST_CURSOR;

				startup += page;
				run += floor(fetched / ROWS_PER_PAGE) * page + read * COST_MERGED;
			}
			break;
		}
	}
	if (workers > 0)
		startup += CONNECT_SETUPS * parallel_setup_cost;
	/* the nodes read as fast as they can for one process, too */
	run += (sent + fetched * (cpu_tuple_cost + local.per_tuple)) / participants(workers);
	path = compat_create_foreignscan_path(
		root, rel, clamp_row_est(rows / participants(workers)), startup, startup + run, outer,
		list_make3(makeInteger((int) access),
				   makeInteger((int) (order != NULL ? order->order : DORIS_ANY_ORDER)), NIL));
	if (order != NULL)
		path->path.pathkeys = order->pathkeys;
	path->path.parallel_aware = path->path.parallel_safe = workers > 0;
	path->path.parallel_workers = workers;
	return path;
}

static void add_access_path(PlannerInfo *root, RelOptInfo *rel, DorisAccess access,
							const KeyPlan *kp, Relids outer, double rows, const UsefulOrder *order)
{
	add_path(rel, (Path *) access_path(root, rel, access, kp, outer, rows, order, 0));
}

/*
 * With workers, who share the vnodes. A scan that they do not share must not run in one: the transaction's own writes are the
 * leader's.
 */
static void add_parallel_path(PlannerInfo *root, RelOptInfo *rel, DorisAccess access,
							  const KeyPlan *kp)
{
	RelPlan *p = rel->fdw_private;
	int workers;

	if (!rel->consider_parallel || !bms_is_empty(rel->lateral_relids) || !reads_all(p, access, kp))
		return;
	workers = compute_parallel_worker(rel, p->pages, -1, max_parallel_workers_per_gather);
	if (workers > 0)
		add_partial_path(
			rel, (Path *) access_path(root, rel, access, kp, NULL, rel->rows, NULL, workers));
}

/* The access as it is, and in each order that is of use. */
static void add_base_paths(PlannerInfo *root, RelOptInfo *rel, DorisAccess access,
						   const KeyPlan *kp)
{
	RelPlan *p = rel->fdw_private;
	bool constant[DORIS_MAX_KEY_COLUMNS] = {false};
	ListCell *lc;

	add_access_path(root, rel, access, kp, rel->lateral_relids, rel->rows, NULL);
	add_parallel_path(root, rel, access, kp);
	if (!bms_is_empty(rel->lateral_relids))
		return; /* nobody looks at the order of a parameterized path */
	for (int i = 0; i < p->table->nkey; i++)
		constant[i] = kp->rinfos[i] != NULL && !kp->bound[i].array;
	foreach (lc, order_useful(root, rel, p->table, constant))
		add_access_path(root, rel, access, kp, NULL, rel->rows, lfirst(lc));
}

ForeignPath *plan_joined_path(PlannerInfo *root, RelOptInfo *rel, double keys, double batches)
{
	const RelPlan *p = rel->fdw_private;
	Cost startup = p->round_trip + p->local_cost.startup;
	Cost run = (batches - 1) * p->round_trip + keys * COST_KEY +
			   keys * p->filter_selectivity * (cpu_tuple_cost + p->local_cost.per_tuple);

	ForeignPath *path = compat_create_foreignscan_path(
		root, rel, clamp_row_est(keys * Min(rel->rows / Max(rel->tuples, 1), 1)), startup,
		startup + run, NULL,
		list_make3(makeInteger((int) ACCESS_JOINED), makeInteger((int) DORIS_ANY_ORDER), NIL));

	path->path.parallel_safe = false;
	return path;
}

/* Is it a scan or range of which the nodes judge every condition? */
static bool judged_by_nodes(PlannerInfo *root, RelOptInfo *rel, Path *path)
{
	RelPlan *p = rel->fdw_private;
	DorisAccess access =
		(DorisAccess) intVal(list_nth(((ForeignPath *) path)->fdw_private, PATH_ACCESS));
	KeyPlan kp = {0};
	ListCell *lc;

	/* a lookup is one round trip anyway */
	if (access != ACCESS_SCAN && access != ACCESS_RANGE)
		return false;
	if (access == ACCESS_RANGE)
		key_plan_match(root, rel, p->table, rel->baserestrictinfo, &kp);
	foreach (lc, rel->baserestrictinfo)
	{
		RestrictInfo *ri = lfirst_node(RestrictInfo, lc);

		if (!ri->pseudoconstant && !list_member_ptr(p->filter_rinfos, ri) &&
			!key_plan_upholds(&kp, ri))
			return false;
	}
	return true;
}

bool plan_unsent_cost(PlannerInfo *root, RelOptInfo *rel, Path *path, Cost *cost)
{
	for (;;)
	{
		if (IsA(path, ProjectionPath))
			path = ((ProjectionPath *) path)->subpath;
		else if (IsA(path, GatherPath))
			path = ((GatherPath *) path)->subpath;
		else
			break;
	}
	/* conditions without columns are judged above the scan */
	if (!IsA(path, ForeignPath) || path->param_info != NULL || path->pathkeys != NIL ||
		root->hasPseudoConstantQuals || !judged_by_nodes(root, rel, path))
		return false;
	*cost = path->total_cost - path->rows * (COST_ROW_SENT + cpu_tuple_cost);
	if (path->parallel_aware)
		*cost -= CONNECT_SETUPS * parallel_setup_cost;
	return true;
}

typedef struct MemberArg
{
	DorisTable *table;
	AttrNumber attnum;
} MemberArg;

/* Is the equivalence member the key column? */
static bool member_is_key(PlannerInfo *root, RelOptInfo *rel, EquivalenceClass *ec,
						  EquivalenceMember *em, void *arg)
{
	MemberArg *m = arg;
	Expr *e = em->em_expr;

	while (IsA(e, RelabelType))
		e = ((RelabelType *) e)->arg;
	return IsA(e, Var) && ((Var *) e)->varno == (int) rel->relid &&
		   ((Var *) e)->varattno == m->attnum;
}

static List *add_outer_set(List *sets, RelOptInfo *rel, Relids relids)
{
	Relids outer = bms_difference(relids, rel->relids);
	ListCell *lc;

	if (bms_is_empty(outer) || list_length(sets) >= MAX_OUTER_SETS)
		return sets;
	foreach (lc, sets)
		if (bms_equal(lfirst(lc), outer))
			return sets;
	return lappend(sets, outer);
}

static bool shares_clause(List *a, List *b)
{
	ListCell *lc;

	foreach (lc, a)
		if (list_member_ptr(b, lfirst(lc)))
			return true;
	return false;
}

/* Could the clause bind or bound a key column? */
static bool restricts_key(PlannerInfo *root, RelOptInfo *rel, DorisTable *t, Expr *clause)
{
	ShipCompare cmp;
	KeyBound bound;

	if (ship_compare(root, t, rel->relid, clause, &cmp) && cmp.strategy == BTEqualStrategyNumber &&
		t->columns[cmp.attnum - 1].key_position > 0)
		return true;
	for (int i = 0; i < t->nkey; i++)
		if (bound_match(root, t, rel->relid, clause, i, &bound))
			return true;
	return false;
}

/* Sets of other tables whose columns the key is compared with, and their unions two by two. */
static List *outer_sets(PlannerInfo *root, RelOptInfo *rel, DorisTable *t)
{
	List *sets = NIL;
	ListCell *lc;
	int nsingle;

	foreach (lc, rel->joininfo)
	{
		RestrictInfo *ri = lfirst_node(RestrictInfo, lc);

		if (join_clause_is_movable_to(ri, rel) && restricts_key(root, rel, t, ri->clause))
			sets = add_outer_set(sets, rel, ri->clause_relids);
	}
	if (rel->has_eclass_joins)
		for (int i = 0; i < t->nkey; i++)
		{
			MemberArg arg = {t, t->key_attnums[i]};
			List *clauses = generate_implied_equalities_for_column(root, rel, member_is_key, &arg,
																   rel->lateral_referencers);

			foreach (lc, clauses)
			{
				RestrictInfo *ri = lfirst_node(RestrictInfo, lc);
				ShipCompare cmp;

				if (join_clause_is_movable_to(ri, rel) &&
					ship_compare(root, t, rel->relid, ri->clause, &cmp))
					sets = add_outer_set(sets, rel, ri->clause_relids);
			}
		}
	nsingle = list_length(sets);
	if (t->nkey > 1)
		for (int i = 0; i < nsingle; i++)
			for (int j = i + 1; j < nsingle; j++)
				sets = add_outer_set(sets, rel, bms_union(list_nth(sets, i), list_nth(sets, j)));
	return sets;
}

void plan_paths(PlannerInfo *root, RelOptInfo *rel, Oid relid)
{
	RelPlan *p = rel->fdw_private;
	KeyPlan kp;
	ListCell *lc;

	key_plan_match(root, rel, p->table, rel->baserestrictinfo, &kp);
	if (key_plan_access(&kp) != ACCESS_SCAN)
		add_base_paths(root, rel, key_plan_access(&kp), &kp);
	if (!kp.complete || kp.multi)
		add_base_paths(root, rel, ACCESS_SCAN, &kp);

	foreach (lc, outer_sets(root, rel, p->table))
	{
		Relids outer = bms_union(lfirst(lc), rel->lateral_relids);
		ParamPathInfo *info = get_baserel_parampathinfo(root, rel, outer);
		double rows;

		key_plan_match(root, rel, p->table,
					   list_concat_copy(rel->baserestrictinfo, info->ppi_clauses), &kp);
		/* what does not come from the others is a path without them */
		if (!shares_clause(key_plan_rinfos(&kp), info->ppi_clauses))
			continue;
		rows = kp.complete && !kp.multi ? 1 : clamp_row_est(info->ppi_rows);
		info->ppi_rows = rows;
		add_access_path(root, rel, key_plan_access(&kp), &kp, outer, rows, NULL);
	}
}

bool plan_is_ours(RelOptInfo *rel)
{
	return IS_SIMPLE_REL(rel) && rel->rtekind == RTE_RELATION && rel->fdwroutine != NULL &&
		   rel->fdwroutine->GetForeignPaths == plan_paths && rel->fdw_private != NULL &&
		   !IS_DUMMY_REL(rel);
}

bool plan_limits(PlannerInfo *root, Path *path)
{
	return plan_is_ours(path->parent) && path->param_info == NULL &&
		   judged_by_nodes(root, path->parent, path);
}

/* ---- GetForeignPlan ---- */

static List *attnums_of(Bitmapset *attrs, DorisTable *t, bool *system)
{
	List *l = NIL;
	int bit = -1;

	while ((bit = bms_next_member(attrs, bit)) >= 0)
	{
		AttrNumber attnum = (AttrNumber) (bit + FirstLowInvalidHeapAttributeNumber);

		if (attnum == 0)
			l = lcons_int(0, l);
		else if (attnum > 0 && t->columns[attnum - 1].id != 0)
			l = lappend_int(l, attnum);
		else if (attnum < 0 && attnum != TableOidAttributeNumber)
			*system = true;
	}
	return l;
}

DorisTable *plan_table(RelOptInfo *rel)
{
	return ((RelPlan *) rel->fdw_private)->table;
}

void plan_scan_wants(ForeignScan *scan, DorisTable *t, Bitmapset *attrs)
{
	bool system = false;

	lfirst(list_nth_cell(scan->fdw_private, SCAN_WANTED)) = attnums_of(attrs, t, &system);
	lfirst(list_nth_cell(scan->fdw_private, SCAN_WITH_VERSION)) = compat_make_boolean(false);
}

/* The keys of an OR for SCAN_ARMS; what all of them share is in exprs once. */
static List *private_arms(const DorisTable *t, const KeyPlan *kp, List **exprs)
{
	int shared[DORIS_MAX_KEY_COLUMNS];
	List *arms = NIL;
	ListCell *lc;

	for (int i = 0; i < t->nkey; i++)
		if (kp->rinfos[i] != NULL)
		{
			shared[i] = list_length(*exprs);
			*exprs = lappend(*exprs, kp->bound[i].other);
		}
	foreach (lc, kp->arms)
	{
		const ShipCompare *by = lfirst(lc);
		List *arm = NIL;

		for (int i = 0; i < t->nkey; i++)
		{
			arm = lappend_int(arm, kp->rinfos[i] != NULL ? shared[i] : list_length(*exprs));
			arm = lappend_int(arm, (int) by[i].other_type);
			if (kp->rinfos[i] == NULL)
				*exprs = lappend(*exprs, by[i].other);
		}
		arms = lappend(arms, arm);
	}
	return arms;
}

ForeignScan *plan_scan(PlannerInfo *root, RelOptInfo *rel, Oid relid, ForeignPath *path,
					   List *tlist, List *clauses, Plan *outer)
{
	RelPlan *p = rel->fdw_private;
	DorisAccess access = (DorisAccess) intVal(list_nth(path->fdw_private, PATH_ACCESS));
	List *path_limit = list_nth(path->fdw_private, PATH_LIMIT);
	List *order = list_make1_int(intVal(list_nth(path->fdw_private, PATH_ORDER)));
	List *limit = NIL;
	KeyPlan kp = {0};
	List *key_rinfos = NIL;
	ShipFilter f = {NIL, NIL};
	List *keys = NIL;
	List *bounds = NIL;
	List *arms = NIL;
	List *exprs = NIL;
	List *recheck = NIL;
	List *local = NIL;
	Bitmapset *attrs = NULL;
	Bitmapset *recheck_attrs = NULL;
	List *wanted;
	List *private;
	bool system = false;
	bool ignored = false;
	bool ships = access != ACCESS_POINT;
	int nkey_quals;
	ListCell *lc;

	if (access != ACCESS_SCAN && access != ACCESS_JOINED)
	{
		key_plan_match(root, rel, p->table, clauses, &kp);
		if (key_plan_access(&kp) != access)
			elog(ERROR, "the clauses of a doris path bind its key otherwise than when it was made");
		key_rinfos = key_plan_rinfos(&kp);
	}
	foreach (lc, key_rinfos)
		recheck = lappend(recheck, ((RestrictInfo *) lfirst(lc))->clause);
	nkey_quals = list_length(recheck);

	foreach (lc, clauses)
	{
		RestrictInfo *ri = lfirst_node(RestrictInfo, lc);

		if (ri->pseudoconstant || key_plan_upholds(&kp, ri))
			continue;
		if (ships && ship_filter_add(root, p->table, rel->relid, ri->clause, &f))
		{
			recheck = lappend(recheck, ri->clause);
			continue;
		}
		local = lappend(local, ri->clause);
		if (ships && !list_member_ptr(key_rinfos, ri) &&
			ship_filter_narrow(root, p->table, rel->relid, ri->clause, &f))
			recheck = lappend(recheck, ri->clause);
	}

	/* the filter's expressions come first, so that its steps' indexes hold */
	exprs = list_copy(f.exprs);
	for (int i = 0; i < kp.nbound; i++)
	{
		keys = lappend(keys, list_make3_int(list_length(exprs), kp.bound[i].array,
											(int) kp.bound[i].other_type));
		exprs = lappend(exprs, kp.bound[i].other);
	}
	if (kp.arms != NIL)
		arms = private_arms(p->table, &kp, &exprs);
	for (int i = 0; i < kp.nbounds; i++)
		bounds = lappend(bounds, bound_private(&kp.bounds[i], &exprs));
	for (int i = 0; i < p->table->nkey; i++)
		if (kp.arms != NIL ? kp.rinfos[i] == NULL : i >= kp.nbound || kp.bound[i].array)
			order = lappend_int(order, p->table->key_attnums[i]);
	foreach (lc, path_limit)
	{
		limit = lappend_int(limit, lfirst(lc) != NULL ? list_length(exprs) : -1);
		if (lfirst(lc) != NULL)
			exprs = lappend(exprs, lfirst(lc));
	}

	pull_varattnos((Node *) rel->reltarget->exprs, rel->relid, &attrs);
	pull_varattnos((Node *) local, rel->relid, &attrs);
	pull_varattnos((Node *) recheck, rel->relid, &recheck_attrs);
	wanted = attnums_of(attrs, p->table, &system);

	private = list_make5(makeInteger((int) access), keys, bounds, f.steps, makeInteger(nkey_quals));
	private = lappend(private, wanted);
	private = lappend(private, attnums_of(recheck_attrs, p->table, &ignored));
	private = lappend(private, compat_make_boolean(system));
	private = lappend(private, makeString(pstrdup(p->table->ns->name)));
	private = lappend(private, order);
	private = lappend(private, limit);
	private = lappend(private, compat_make_boolean(kp.nbound >= p->table->nroute));
	/* the inner side of a join may be left after its first row */
	private = lappend(
		private, compat_make_boolean(root->tuple_fraction <= 0 && path->path.param_info == NULL));
	private = lappend(private, arms);
	return make_foreignscan(tlist, local, rel->relid, exprs, private, NIL, recheck, outer);
}
