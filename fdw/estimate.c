/*
 * estimate.c: what the planner is told of a cluster: how large a table is, how many rows pass a filter, what a round trip costs.
 *
 * The size comes from the nodes' counters, asked for at most every ESTIMATE_MS, sooner when this backend has changed many rows.
 *
 * With use_remote_estimate the nodes are also asked, at each planning, how many rows a condition leaves: they count in some
 * vnodes, always the same ones, so that a plan does not change with the choice. Where distribute_by's columns are known it is
 * the one vnode concerned. It takes about REMOTE_MS at most; when that does not suffice the local statistics have the word.
 *
 * Costs of round trips are measured (peer.c in client/). What a local tuple takes is taken as TUPLE_US, so a round trip costs as
 * many tuples as would be read meanwhile. Measures go up and down, plans should not: the running median that they
 * come from does not care about outliers; it is rounded to a power of two; and it has to leave its step clearly, by more
 * than half a step beyond the edge, before another is taken. So an unsteady network changes no plan, and one that has
 * become twice as slow does. A backend that has not measured yet takes what others found (stats.c), else the default.
 */
#include "executor.h"

#include <math.h>

#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "utils/float.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#define ESTIMATE_MS 10000
#define CHANGED_ROWS 100 /* and a tenth of those known: an estimate is given up */
#define CHANGED_MS \
	500 /* then it is asked for again that soon: nodes count a row when its write is finished */
#define TUPLE_US 0.1		/* a tuple of a sequential scan, with cpu_tuple_cost's default */
#define ROUND_TRIP_US 100.0 /* when nobody has measured; the middle of step 0 */
#define STEP_LOW (-4)
#define STEP_HIGH 14
#define STEP_LEAVE 0.85		/* of a step, in its middle's logarithm */
#define REMOTE_ROWS 50000.0 /* looked at, about */
#define REMOTE_MS 100

typedef struct EstimateKey
{
	Oid serverid;
	uint32 ns;
} EstimateKey;

typedef struct Estimate
{
	EstimateKey key;
	TimestampTz at;
	double rows;
	double bytes;
	double changed; /* rows written since, by this backend */
} Estimate;

static HTAB *estimates = NULL;

void estimate_changed(Oid serverid, uint32 ns, double rows)
{
	EstimateKey key = {serverid, ns};
	Estimate *e = estimates != NULL ? hash_search(estimates, &key, HASH_FIND, NULL) : NULL;

	if (e != NULL)
		e->changed += rows;
}

void estimate_forget(Oid serverid, uint32 ns)
{
	estimate_changed(serverid, ns, get_float8_infinity());
}

bool estimate_table(Oid serverid, DorisClient *client, const NsDef *ns, double *rows, double *bytes)
{
	EstimateKey key = {serverid, ns->id};
	TimestampTz now = GetCurrentTimestamp();
	Estimate *e;
	bool found;

	if (estimates == NULL)
	{
		HASHCTL ctl = {.keysize = sizeof(EstimateKey), .entrysize = sizeof(Estimate)};

		estimates = hash_create("doris estimates", 16, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	e = hash_search(estimates, &key, HASH_FIND, NULL);
	if (e == NULL || TimestampDifferenceExceeds(e->at, now, ESTIMATE_MS) ||
		e->changed > CHANGED_ROWS + e->rows / 10)
	{
		uint64_t nrows;
		uint64_t nbytes;
		bool changed = e != NULL && !TimestampDifferenceExceeds(e->at, now, ESTIMATE_MS);
		DorisError err = {0};
		DorisStatus status = doris_estimate(client, ns, &nrows, &nbytes, &err);

		if (status == DORIS_CANCELLED)
			doris_ereport(&err, ns->name, EMPTY_BYTES);
		if (status != DORIS_OK && e == NULL)
			return false;
		if (status != DORIS_OK)
		{
			/* a node is down: what was known will do, and nobody is asked again for each plan */
			nrows = (uint64_t) e->rows;
			nbytes = (uint64_t) e->bytes;
		}
		e = hash_search(estimates, &key, HASH_ENTER, &found);
		e->at = changed ? TimestampTzPlusMilliseconds(now, CHANGED_MS - ESTIMATE_MS) : now;
		e->rows = (double) nrows;
		e->bytes = (double) nbytes;
		e->changed = 0;
	}
	*rows = e->rows;
	*bytes = e->bytes;
	return true;
}

BlockNumber estimate_pages(double bytes)
{
	return (BlockNumber) Min(bytes / BLCKSZ + 1, (double) MaxBlockNumber);
}

/* ---- round trips ---- */

typedef struct ServerStep
{
	Oid serverid; /* hash key */
	int step;
} ServerStep;

/* The mean of the nodes' medians, µs; 0: none yet. */
static double measured_us(DorisClient *client)
{
	uint32_t n;
	const DorisNodeCounters *c = doris_counters(client, &n);
	double sum = 0;
	int measured = 0;

	for (uint32_t i = 0; i < n; i++)
		if (c[i].round_trips >= ROUND_TRIPS_ENOUGH)
		{
			sum += (double) c[i].round_trip_ns / 1000.0;
			measured++;
		}
	return measured > 0 ? sum / measured : 0;
}

double estimate_round_trip(DorisTable *t, DorisClient *client)
{
	static HTAB *steps = NULL;
	ServerStep *s;
	double us;
	bool found;

	if (t->options->round_trip_cost > 0)
		return t->options->round_trip_cost;
	if (steps == NULL)
	{
		HASHCTL ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(ServerStep)};

		steps = hash_create("doris round trips", 8, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	s = hash_search(steps, &t->serverid, HASH_ENTER, &found);
	if (!found)
		s->step = 0;
	us = measured_us(client);
	if (us <= 0)
		us = stats_round_trip_us(t->serverid);
	if (us > 0)
	{
		double exact = log2(us / ROUND_TRIP_US);

		if (fabs(exact - s->step) > STEP_LEAVE)
			s->step = (int) Min(Max(rint(exact), STEP_LOW), STEP_HIGH);
	}
	return ldexp(ROUND_TRIP_US, s->step) / TUPLE_US * cpu_tuple_cost;
}

/* ---- conditions ---- */

bool estimate_known(PlannerInfo *root, Expr *expr, Datum *value, bool *isnull)
{
	Node *node = estimate_expression_value(root, (Node *) expr);

	if (!IsA(node, Const))
		return false;
	*value = ((Const *) node)->constvalue;
	*isnull = ((Const *) node)->constisnull;
	return true;
}

/* k of the vnodes, evenly spread. */
static uint32 *some_vnodes(uint32 all, uint32 k)
{
	uint32 *vnodes = palloc(k * sizeof(uint32));

	for (uint32 i = 0; i < k; i++)
		vnodes[i] = (uint32) ((uint64) i * all / k);
	return vnodes;
}

bool estimate_condition(PlannerInfo *root, DorisTable *t, DorisClient *client, const ShipFilter *f,
						DorisBytes route, double table_rows, double *rows)
{
	int n = list_length(f->exprs);
	Datum *values = palloc(Max(n, 1) * sizeof(Datum));
	bool *nulls = palloc(Max(n, 1) * sizeof(bool));
	DorisScanSpec spec = {.ns = t->ns, .route = route, .max_ms = REMOTE_MS};
	DorisError err = {0};
	DorisStatus status;
	Topology *topology;
	uint32 all;
	uint32 k = 1;
	uint64 counted = 0;

	for (int i = 0; i < n; i++)
		if (!estimate_known(root, list_nth(f->exprs, i), &values[i], &nulls[i]))
			return false;
	switch (ship_filter_build(t, f->steps, values, nulls, &spec.filter))
	{
		case SHIP_NO_ROWS:
			*rows = 0;
			return true;
		case SHIP_HERE:
			return false;
		case SHIP_FILTER:
			break;
	}
	topology = doris_topology(client);
	all = topology->vnodes;
	topology_unref(topology);
	if (route.len == 0)
	{
		k = table_rows <= REMOTE_ROWS ? all : (uint32) Max(all * (REMOTE_ROWS / table_rows), 1);
		spec.vnodes = some_vnodes(all, k);
		spec.nvnodes = k;
	}
	status = doris_count(client, &spec, &counted, &err);
	if (status == DORIS_CANCELLED)
		doris_ereport(&err, t->ns->name, EMPTY_BYTES);
	*rows = route.len > 0 ? (double) counted : (double) counted * all / k;
	return status == DORIS_OK;
}
