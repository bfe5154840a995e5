/*
 * chores.c: what the leader does by the clock, every second: settings, nodes that an operator holds down, plans, permanent
 * failures, vnodes that need not wait any more.
 *
 * All of it starts from what the schema and the newest topology say, so that a new leader goes on where the last one was
 * (I5), and a step that was done already is seen to be done.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "lead.h"
#include "version.h"

/* ---- plans ---- */

static void end_plan(Lead *l, const PlanRow *plan, const char *state, const char *error,
					 const char *node)
{
	DorisError err;
	DorisStatus status = schema_plan_end(&l->db, l->term, plan->id, state, error, &err);

	if (status != DORIS_OK)
		(void) lead_failed(l, status, &err);
	else
		admin_event(l->admin, error == NULL ? "plan_done" : "plan_cancelled", node, "plan %u%s%s",
					plan->id, error != NULL ? ": " : "", error != NULL ? error : "");
}

/* Its copies go to the new node, in one epoch, incomplete. */
static void hand_over(Lead *l, const PlanRow *plan, const TopoNode *node, const TopoNode *by)
{
	DorisError err;
	Topology *t;
	uint32_t n;
	Event e;

	if (verdict_may_replace(l->stored, node->name, by->name, &err) != DORIS_OK)
	{
		end_plan(l, plan, "cancelled", err.message, node->name);
		return;
	}
	if (node->condition == NODE_UP)
	{
		/* It serves reads under a lease: it has to be out first (rule *lease*). */
		heart_fail(l->admin, node->id, NULL);
		return;
	}
	t = jobs_next(l, &err);
	if (t == NULL)
		return;
	n = verdict_replace(t, node->id, by->id, l->stored->epoch + 1);
	FAULT_POINT("admin-handing-over");
	e = event_of("node_replaced", node->name, "plan %u: \"%s\" owns its %u copies and fills them",
				 plan->id, by->name, n);
	if (lead_publish(l, t, &e, 1, &err) != DORIS_OK)
		log_write(LOG_DEBUG, "plan %u waits: %s", plan->id, err.message);
	FAULT_POINT("admin-handed-over");
}

/* All copies are complete at the new node: the old one is dead. */
static void bury(Lead *l, const PlanRow *plan, const TopoNode *node, const TopoNode *by)
{
	char name[DORIS_NAME_MAX]; /* node points into the topology before this one */
	DorisError err;

	snprintf(name, sizeof(name), "%s", node->name);
	if (node->condition != NODE_DEAD)
	{
		Topology *t = jobs_next(l, &err);
		Event e = event_of("node_dead", node->name, "\"%s\" has taken its place", by->name);

		if (t == NULL)
			return;
		verdict_node(t, node->id)->condition = NODE_DEAD;
		FAULT_POINT("admin-burying");
		if (lead_publish(l, t, &e, 1, &err) != DORIS_OK)
			return;
	}
	FAULT_POINT("admin-buried");
	end_plan(l, plan, "done", NULL, name);
	FAULT_POINT("admin-plan-ended");
}

void chores_plan(Lead *l, const PlanRow *plan)
{
	const TopoNode *node = topology_node(l->stored, plan->node);
	const TopoNode *by = topology_node(l->stored, plan->by);
	const HeartReport *r = reports_of(l, plan->by);
	uint32_t owned = verdict_owned(l->stored, plan->by);
	uint32_t left = verdict_incomplete(l->stored, plan->by);
	DorisError err;
	DorisStatus status;

	if (node == NULL || by == NULL)
		end_plan(l, plan, "cancelled", "one of the nodes is not in the cluster any more", NULL);
	else if (verdict_owned(l->stored, plan->node) > 0)
		hand_over(l, plan, node, by);
	else if (owned == 0)
		end_plan(l, plan, "cancelled", "the new node lost what it had taken over", node->name);
	else
	{
		status = schema_plan_progress(&l->db, l->term, plan->id, owned - left,
									  r != NULL ? r->report.recovered_bytes : 0,
									  r != NULL ? r->report.recover_bytes : 0, &err);
		if (status != DORIS_OK)
			(void) lead_failed(l, status, &err);
		else if (left == 0)
			bury(l, plan, node, by);
	}
}

static void step_plans(Lead *l, const PlanRow *plans, int n)
{
	for (int i = 0; i < n && l->leading; i++)
		chores_plan(l, &plans[i]);
}

/* ---- permanent failures ---- */

static bool is_planned(const PlanRow *plans, int n, uint32_t node)
{
	for (int i = 0; i < n; i++)
		if (plans[i].node == node)
			return true;
	return false;
}

/* Once for each leader is enough. */
static bool tell_once(Lead *l, uint32_t node)
{
	uint32_t *list;

	for (int i = 0; i < l->nlost; i++)
		if (l->lost[i] == node)
			return false;
	list = realloc(l->lost, ((size_t) l->nlost + 1) * sizeof(*list));
	if (list == NULL)
		return false;
	l->lost = list;
	l->lost[l->nlost++] = node;
	return true;
}

static void tell_back(Lead *l, uint32_t node)
{
	for (int i = 0; i < l->nlost; i++)
		if (l->lost[i] == node)
			l->lost[i] = l->lost[--l->nlost];
}

static void replace_lost(Lead *l, const NodeRow *row, const PlanRow *plans, int nplans)
{
	const TopoNode *node = topology_node(l->stored, row->id);
	uint32_t *taken = calloc((size_t) nplans + 1, sizeof(*taken));
	Silent silent;
	uint32_t *ids = heart_silent(l->admin, &silent.n);
	uint32_t spare = 0;
	uint32_t plan;
	DorisError err;

	silent.ids = ids;
	if (taken != NULL)
	{
		for (int i = 0; i < nplans; i++)
			taken[i] = plans[i].by;
		spare = verdict_spare(l->stored, &silent, taken, nplans);
	}
	free(taken);
	free(ids);
	if (spare == 0)
	{
		if (tell_once(l, row->id))
			admin_event(l->admin, "node_lost", row->name,
						"down for %lld s, and there is no spare that is up to take its place",
						(long long) row->down_s);
		return;
	}
	if (verdict_may_replace(l->stored, row->name, topology_node(l->stored, spare)->name, &err) !=
		DORIS_OK)
	{
		if (tell_once(l, row->id))
			admin_event(l->admin, "node_lost", row->name, "down for %lld s, but: %s",
						(long long) row->down_s, err.message);
		return;
	}
	if (operate_replace(l, node, topology_node(l->stored, spare), &plan, &err) != DORIS_OK)
		log_write(LOG_DEBUG, "node %u is not replaced yet: %s", row->id, err.message);
}

static void check_permanent(Lead *l, const Settings *s, const NodeRow *rows, int n,
							const PlanRow *plans, int nplans)
{
	for (int i = 0; i < n && l->leading; i++)
	{
		const NodeRow *row = &rows[i];
		const TopoNode *node = topology_node(l->stored, row->id);

		if (node == NULL || node->condition != NODE_DOWN)
		{
			tell_back(l, row->id);
			continue;
		}
		if (row->held || row->down_s < s->permanent_after_s || node->role != NODE_DATA ||
			is_planned(plans, nplans, row->id) || verdict_owned(l->stored, row->id) == 0)
			continue;
		if (s->auto_replace)
			/* One at a time: the next one in a second, by plans that show this one's spare. */
			return replace_lost(l, row, plans, nplans);
		if (tell_once(l, row->id))
			admin_event(l->admin, "node_lost", row->name,
						"down for %lld s: replace it with doris_replace('%s', spare), or start it",
						(long long) row->down_s, row->name);
	}
}

/* ---- the rest ---- */

static void follow_settings(Lead *l, const Settings *s)
{
	DorisError err;
	Topology *t;
	Event e;

	/* nodes are told with the next heartbeat */
	atomic_store(&l->admin->move_rate_mb, s->move_rate_mb);
	if (s->degraded_writes == l->stored->degraded_writes)
		return;
	t = jobs_next(l, &err);
	if (t == NULL)
		return;
	t->degraded_writes = s->degraded_writes;
	e = event_of("setting", NULL, "degraded_writes is %s", s->degraded_writes ? "on" : "off");
	if (lead_publish(l, t, &e, 1, &err) != DORIS_OK)
		log_write(LOG_DEBUG, "degraded_writes is not changed yet: %s", err.message);
}

/* An operator's word that the leader before did not get to. */
static void hold_down(Lead *l, const NodeRow *rows, int n)
{
	for (int i = 0; i < n; i++)
	{
		const TopoNode *node = topology_node(l->stored, rows[i].id);
		uint32_t vnode;

		if (rows[i].held && node != NULL && node->condition == NODE_UP &&
			place_may_fail(l->stored, node->id, &vnode))
			heart_fail(l->admin, node->id, NULL);
	}
}

/* Vnodes wait for nodes that are down though another complete copy answers again. */
static void excuse(Lead *l)
{
	bool any = false;
	Silent silent;
	uint32_t *ids;
	Topology *t;
	uint32_t n;
	Event e;
	DorisError err;

	for (uint32_t i = 0; i < l->stored->nnodes && !any; i++)
	{
		const TopoNode *node = &l->stored->nodes[i];

		any = node->condition == NODE_DOWN &&
			  verdict_owned(l->stored, node->id) > verdict_incomplete(l->stored, node->id);
	}
	if (!any)
		return;
	t = jobs_next(l, &err);
	if (t == NULL)
		return;
	ids = heart_silent(l->admin, &silent.n);
	silent.ids = ids;
	n = verdict_excuse(t, l->stored->epoch + 1, &silent);
	free(ids);
	if (n == 0)
	{
		topology_unref(t);
		return;
	}
	e = event_of("copies_excused", NULL,
				 "%u copies on nodes that are down are waited for no longer: others have all of it",
				 n);
	if (lead_publish(l, t, &e, 1, &err) != DORIS_OK)
		log_write(LOG_DEBUG, "vnodes wait on: %s", err.message);
}

void chores_run(Lead *l, uint64_t now)
{
	Settings settings;
	NodeRow *rows = NULL;
	PlanRow *plans = NULL;
	int n = 0;
	int nplans = 0;
	DorisError err;
	DorisStatus status = schema_settings(&l->db, &settings, &err);

	l->next_chores = now + LEAD_CHORES_MS;
	if (status == DORIS_OK)
		status = schema_nodes(&l->db, &rows, &n, &err);
	if (status == DORIS_OK)
		status = schema_plans(&l->db, &plans, &nplans, &err);
	if (status != DORIS_OK)
		(void) lead_failed(l, status, &err);
	if (status == DORIS_OK)
	{
		follow_settings(l, &settings);
		if (l->leading)
			hold_down(l, rows, n);
		if (l->leading)
			step_plans(l, plans, nplans);
		if (l->leading)
			check_permanent(l, &settings, rows, n, plans, nplans);
		if (l->leading)
			excuse(l);
	}
	free(rows);
	free(plans);
}
