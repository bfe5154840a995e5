/*
 * explain.c: EXPLAIN of foreign scans and modifications: the access, what is judged where, and with ANALYZE
 * the work that libdoris did for it, per node.
 */
#include "executor.h"

#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/ruleutils.h"

/* ---- work ---- */

DorisWork *work_create(void)
{
	return palloc0(sizeof(DorisWork));
}

/* The counters are copied, because they stand still only until the client's next call. */
void work_begin(DorisWork *w, DorisClient *client)
{
	const DorisNodeCounters *now;
	uint32_t n;

	/* called for each row: most come from a page that is here already */
	if (w == NULL || (w->before != NULL && w->activity == doris_activity(client)))
		return;
	w->activity = doris_activity(client);
	now = doris_counters(client, &n);
	if (n > w->cap)
	{
		MemoryContext context = GetMemoryChunkContext(w);
		DorisNodeCounters *before = MemoryContextAllocZero(context, n * sizeof(*before));
		DorisNodeCounters *sum = MemoryContextAllocZero(context, n * sizeof(*sum));

		if (w->n > 0)
			memcpy(sum, w->sum, w->n * sizeof(*sum));
		w->before = before;
		w->sum = sum;
		w->cap = n;
	}
	if (n > 0 && w->before != NULL)
		memcpy(w->before, now, n * sizeof(*now));
	w->nbefore = n;
}

static DorisNodeCounters *work_of_node(DorisWork *w, uint32 node)
{
	for (uint32 i = 0; i < w->n; i++)
		if (w->sum[i].node == node)
			return &w->sum[i];
	if (w->n == w->cap)
	{
		uint32 cap = w->cap + 16;
		MemoryContext context = GetMemoryChunkContext(w);
		DorisNodeCounters *before = MemoryContextAllocZero(context, cap * sizeof(*before));
		DorisNodeCounters *sum = MemoryContextAllocZero(context, cap * sizeof(*sum));

		if (w->cap > 0)
		{
			memcpy(before, w->before, w->nbefore * sizeof(*before));
			memcpy(sum, w->sum, w->n * sizeof(*sum));
		}
		w->before = before;
		w->sum = sum;
		w->cap = cap;
	}
	w->sum[w->n].node = node;
	return &w->sum[w->n++];
}

void work_add_counters(DorisNodeCounters *to, const DorisNodeCounters *c)
{
	to->requests += c->requests;
	to->rows += c->rows;
	to->bytes += c->bytes;
	to->retries += c->retries;
	to->failovers += c->failovers;
	to->time_us += c->time_us;
}

void work_add(DorisWork *w, const DorisNodeCounters *c)
{
	work_add_counters(work_of_node(w, c->node), c);
}

void work_end(DorisWork *w, DorisClient *client)
{
	const DorisNodeCounters *now;
	uint32_t n;

	if (w == NULL || w->activity == doris_activity(client))
		return;
	now = doris_counters(client, &n);
	for (uint32_t i = 0; i < n; i++)
	{
		DorisNodeCounters was = {0};

		for (uint32 j = 0; j < w->nbefore; j++)
			if (w->before[j].node == now[i].node)
				was = w->before[j];
		if (now[i].requests == was.requests && now[i].rows == was.rows &&
			now[i].bytes == was.bytes && now[i].retries == was.retries &&
			now[i].failovers == was.failovers)
			continue;
		work_add(w, &(DorisNodeCounters){.node = now[i].node,
										 .requests = now[i].requests - was.requests,
										 .rows = now[i].rows - was.rows,
										 .bytes = now[i].bytes - was.bytes,
										 .retries = now[i].retries - was.retries,
										 .failovers = now[i].failovers - was.failovers,
										 .time_us = now[i].time_us - was.time_us});
	}
}

void work_explain(DorisWork *w, DorisClient *client, ExplainState *es)
{
	Topology *t;

	if (w == NULL || !es->analyze)
		return;
	t = doris_topology(client);
	ExplainOpenGroup("Nodes", "Nodes", false, es);
	for (uint32 i = 0; i < w->n; i++)
	{
		const DorisNodeCounters *c = &w->sum[i];
		const TopoNode *node = topology_node(t, c->node);
		const char *name = node ? node->name : psprintf("node %u", c->node);

		if (es->format == EXPLAIN_FORMAT_TEXT)
		{
			StringInfoData s;

			initStringInfo(&s);
			appendStringInfo(
				&s, "requests=" UINT64_FORMAT " rows=" UINT64_FORMAT " bytes=" UINT64_FORMAT,
				c->requests, c->rows, c->bytes);
			if (c->retries > 0)
				appendStringInfo(&s, " retries=" UINT64_FORMAT, c->retries);
			if (c->failovers > 0)
				appendStringInfo(&s, " failovers=" UINT64_FORMAT, c->failovers);
			if (es->timing)
				appendStringInfo(&s, " time=%.3f", (double) c->time_us / 1000.0);
			ExplainPropertyText(psprintf("Node %s", name), s.data, es);
			continue;
		}
		ExplainOpenGroup("Node", NULL, true, es);
		ExplainPropertyText("Name", name, es);
		ExplainPropertyUInteger("Requests", NULL, c->requests, es);
		ExplainPropertyUInteger("Rows", NULL, c->rows, es);
		ExplainPropertyUInteger("Bytes", "B", c->bytes, es);
		ExplainPropertyUInteger("Retries", NULL, c->retries, es);
		ExplainPropertyUInteger("Failovers", NULL, c->failovers, es);
		if (es->timing)
			ExplainPropertyFloat("Time", "ms", (double) c->time_us / 1000.0, 3, es);
		ExplainCloseGroup("Node", NULL, true, es);
	}
	ExplainCloseGroup("Nodes", "Nodes", false, es);
	topology_unref(t);
}

/* ---- scans ---- */

static void explain_quals(const char *label, List *quals, ForeignScanState *node, ExplainState *es)
{
	List *context;

	if (quals == NIL)
		return;
	context = set_deparse_context_plan(es->deparse_cxt, node->ss.ps.plan, NIL);
	ExplainPropertyText(label,
						deparse_expression((Node *) make_ands_explicit(list_copy(quals)), context,
										   list_length(es->rtable) > 1 || es->verbose, false),
						es);
}

/* What the nodes send, as names; the key always comes along. */
static char *columns_text(ForeignScanState *node)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	TupleDesc desc = RelationGetDescr(node->ss.ss_currentRelation);
	StringInfoData s;
	ListCell *lc;

	/* what an UPDATE does not change is written back as it came */
	if (plan->operation == CMD_UPDATE)
		return pstrdup("all");
	initStringInfo(&s);
	foreach (lc, (List *) list_nth(plan->fdw_private, SCAN_WANTED))
	{
		if (lfirst_int(lc) == 0)
			return pstrdup("all");
		appendStringInfo(&s, "%s%s", s.len > 0 ? ", " : "",
						 NameStr(TupleDescAttr(desc, lfirst_int(lc) - 1)->attname));
	}
	return s.len > 0 ? s.data : pstrdup("none");
}

/* Which key columns the rows are ordered by, and what is known of how many will be taken. */
static void explain_order(ForeignScanState *node, ExplainState *es)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	List *order = list_nth(plan->fdw_private, SCAN_ORDER);
	List *limit = list_nth(plan->fdw_private, SCAN_LIMIT);
	TupleDesc desc = RelationGetDescr(node->ss.ss_currentRelation);
	bool back = linitial_int(order) == DORIS_KEY_ORDER_BACK;
	static const char *const labels[] = {"Limit", "Offset"};
	StringInfoData s;

	if (linitial_int(order) != DORIS_ANY_ORDER && list_length(order) > 1)
	{
		initStringInfo(&s);
		for (int i = 1; i < list_length(order); i++)
			appendStringInfo(&s, "%s%s%s", i > 1 ? ", " : "",
							 NameStr(TupleDescAttr(desc, list_nth_int(order, i) - 1)->attname),
							 back ? " DESC" : "");
		ExplainPropertyText("Order", s.data, es);
	}
	for (int i = 0; i < Min(list_length(limit), (int) lengthof(labels)); i++)
	{
		int index = list_nth_int(limit, i);
		Node *e = index >= 0 ? list_nth(plan->fdw_exprs, index) : NULL;

		if (e != NULL && IsA(e, Const) && !((Const *) e)->constisnull)
			ExplainPropertyInteger(labels[i], NULL, DatumGetInt64(((Const *) e)->constvalue), es);
		else if (e != NULL)
			explain_quals(labels[i], list_make1(e), node, es);
	}
}

void explain_scan(ForeignScanState *node, ExplainState *es)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	DorisAccess access = (DorisAccess) intVal(list_nth(plan->fdw_private, SCAN_ACCESS));
	int nkey = intVal(list_nth(plan->fdw_private, SCAN_NKEY_QUALS));
	static const char *const names[] = {[ACCESS_SCAN] = "scan",
										[ACCESS_RANGE] = "range",
										[ACCESS_POINT] = "point get",
										[ACCESS_MULTI] = "multi get",
										[ACCESS_JOINED] = "multi get of the join's keys"};
	DorisClient *client;
	DorisWork *work;

	ExplainPropertyText("Access", names[access], es);
	explain_quals("Key Cond", list_truncate(list_copy(plan->fdw_recheck_quals), nkey), node, es);
	explain_quals("Node Filter", list_copy_tail(plan->fdw_recheck_quals, nkey), node, es);
	explain_order(node, es);
	if (es->verbose && access == ACCESS_RANGE)
		ExplainPropertyText(
			"Vnodes", compat_bool_val(list_nth(plan->fdw_private, SCAN_ONE_VNODE)) ? "one" : "all",
			es);
	if (es->verbose)
	{
		ExplainPropertyText("Namespace", strVal(list_nth(plan->fdw_private, SCAN_NAMESPACE)), es);
		ExplainPropertyText("Columns", columns_text(node), es);
	}
	work = scan_work(node, &client);
	if (work != NULL && !scan_gave_groups(node))
		work_explain(work, client, es);
}

/* ---- modifications ---- */

void explain_write_mode(const DorisTableOptions *options, ExplainState *es)
{
	ExplainPropertyText("Write Mode", options->direct ? "direct" : "transactional", es);
}

void explain_modify(ModifyTableState *mt, ResultRelInfo *rri, List *fdw_private, int subplan,
					ExplainState *es)
{
	DorisTableOptions *options = options_table(RelationGetRelid(rri->ri_RelationDesc));
	DorisClient *client;
	DorisWork *work;

	if (es->verbose)
	{
		ExplainPropertyText("Namespace", options->ns, es);
		explain_write_mode(options, es);
		if (mt->operation == CMD_INSERT)
			ExplainPropertyInteger("Batch Size", NULL, rri->ri_BatchSize, es);
	}
	work = modify_work(rri, &client);
	if (work != NULL)
	{
		modify_flush_all();
		work_explain(work, client, es);
	}
}
