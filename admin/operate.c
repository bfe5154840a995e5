/*
 * operate.c: what operators ask about nodes: take one out, let it in, have it replaced, remove it.
 *
 * What they want is in the schema before anything is done about it, so that the next leader goes on with it (I5).
 */
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "plans.h"
#include "version.h"

void operate_answer(Lead *l, Job *job, uint32_t plan)
{
	OperateReply reply = {.plan = plan};
	DorisBuf body;

	if (!job->has_request)
		return;
	reply.topology = (DorisBytes){l->stored->encoded, l->stored->encoded_len};
	buf_init(&body);
	reply_put_ok(&body);
	operate_reply_encode(&body, &reply);
	heart_await(l->admin, &job->request, &body, l->stored->epoch);
	job->has_request = false;
}

static DorisStatus find_node(const Lead *l, const char *name, const TopoNode **out, DorisError *err)
{
	*out = topology_node_by_name(l->stored, name);
	if (*out == NULL)
		return verdict_no_node(name, err);
	if ((*out)->condition == NODE_DEAD)
	{
		(void) doris_error(err, DORIS_CONFLICT, "node \"%s\" is dead: it was replaced or removed",
						   name);
		return doris_hint(err, "Register a new node with another name and an empty home.");
	}
	return DORIS_OK;
}

/* The running plan about the node; id 0: none. */
static DorisStatus find_plan(Lead *l, uint32_t node, PlanRow *out, DorisError *err)
{
	PlanRow *plans;
	int n;
	DorisStatus status = schema_plans(&l->db, &plans, &n, err);

	memset(out, 0, sizeof(*out));
	for (int i = 0; i < n; i++)
		if (plans[i].node == node)
			*out = plans[i];
	free(plans);
	return status == DORIS_OK ? status : lead_failed(l, status, err);
}

static DorisStatus hold(Lead *l, uint32_t node, bool held, bool accept_loss, DorisError *err)
{
	DorisStatus status = schema_hold(&l->db, l->term, node, held, accept_loss, err);

	return status == DORIS_OK ? status : lead_failed(l, status, err);
}

static DorisStatus fail_over(Lead *l, Job *job, DorisError *err)
{
	const TopoNode *node;
	uint32_t vnode;
	DorisStatus status = find_node(l, job->operate.node, &node, err);

	if (status != DORIS_OK)
		return status;
	/* Rule *last copy*: nobody may be cut off from rows by an operator's slip. */
	if (node->condition == NODE_UP && !place_may_fail(l->stored, node->id, &vnode))
	{
		(void) doris_error(err, DORIS_CONFLICT,
						   "node \"%s\" holds the last complete copy of vnode %u", node->name,
						   vnode);
		return doris_hint(err, "Wait until the other copies are complete; see doris_vnodes.");
	}
	status = hold(l, node->id, true, false, err);
	if (status != DORIS_OK)
		return status;
	if (node->condition == NODE_UP)
	{
		heart_fail(l->admin, node->id, &job->request);
		job->has_request = false;
		return DORIS_OK;
	}
	admin_event(l->admin, "node_held", node->name, "stays down until doris_recover()");
	operate_answer(l, job, 0);
	return DORIS_OK;
}

/* How many hints log nodes keep for the node, as far as they have said. */
static uint64_t hints_for(const Lead *l, uint32_t node)
{
	uint64_t n = 0;

	for (int i = 0; i < l->nseen; i++)
	{
		const NodeReport *r = &l->seen[i].latest.report;

		for (uint32_t j = 0; j < r->nbacklogs; j++)
			if (r->backlogs[j].target == node)
				n += r->backlogs[j].hints;
	}
	return n;
}

/* The peers of an up node's incomplete copies are lost: what it has is all there is. */
static DorisStatus declare(Lead *l, const TopoNode *node, DorisError *err)
{
	Topology *t;
	uint32_t n;
	Event e;

	if (hints_for(l, node->id) > 0)
	{
		(void) doris_error(err, DORIS_CONFLICT, "log nodes still keep %llu hints for node \"%s\"",
						   (unsigned long long) hints_for(l, node->id), node->name);
		return doris_hint(err, "Wait until they are replayed; see doris_nodes.hints.");
	}
	t = jobs_next(l, err);
	if (t == NULL)
		return err->code;
	n = verdict_declare(t, node->id, l->stored->epoch + 1);
	if (n == 0)
	{
		topology_unref(t);
		return DORIS_OK;
	}
	e = event_of("loss_accepted", node->name,
				 "an operator declared %u copies complete whose other copies are lost", n);
	return lead_publish(l, t, &e, 1, err);
}

static DorisStatus recover(Lead *l, Job *job, DorisError *err)
{
	const TopoNode *node;
	const HeartReport *r;
	PlanRow plan;
	bool known;
	DorisStatus status = find_node(l, job->operate.node, &node, err);

	if (status == DORIS_OK)
		status = find_plan(l, node->id, &plan, err);
	if (status != DORIS_OK)
		return status;
	if (plan.id != 0)
		return doris_error(err, DORIS_CONFLICT, "node \"%s\" is being replaced, by plan %u",
						   node->name, plan.id);
	r = reports_of(l, node->id);
	known = r != NULL && clock_mono_ms() < r->at_mono + admin_lease_ms(l->admin) &&
			reports_current(l, r);
	/* What its next start may lack: only where the start that it has now is not one that is known already. */
	status = hold(l, node->id, false,
				  job->operate.accept_loss && node->condition == NODE_DOWN && !known, err);
	if (status == DORIS_OK && node->condition == NODE_UP && job->operate.accept_loss)
		status = declare(l, node, err);
	else if (status == DORIS_OK && node->condition == NODE_DOWN && known)
		status = judge_let_in(l, node->id, "let in by an operator", err);
	else if (status == DORIS_OK && node->condition == NODE_DOWN)
		admin_event(l->admin, "node_released", node->name, "%s",
					job->operate.accept_loss ? "an operator accepts what its next start lacks"
											 : "is let in as soon as it answers");
	if (status == DORIS_OK)
		operate_answer(l, job, 0);
	return status;
}

DorisStatus operate_replace(Lead *l, const TopoNode *node, const TopoNode *by, uint32_t *plan,
							DorisError *err)
{
	PlanRow row = {.node = node->id, .by = by->id};
	DorisStatus status;
	Event e;

	status = schema_plan_begin(&l->db, l->term, node->id, by->id, node->group,
							   verdict_owned(l->stored, node->id), &row.id, err);
	if (status != DORIS_OK)
		return lead_failed(l, status, err);
	*plan = row.id;
	FAULT_POINT("admin-plan-begun");
	/* At once, so that it comes before what the plan does. */
	e = event_of("plan_started", node->name, "plan %u: \"%s\" takes its place", row.id, by->name);
	log_write(LOG_INFO, "%s %s: %s", e.kind, e.node, e.detail);
	status = schema_events(&l->db, l->term, &e, 1, err);
	if (status != DORIS_OK)
		return lead_failed(l, status, err);
	chores_plan(l, &row);
	return DORIS_OK;
}

static DorisStatus replace(Lead *l, Job *job, DorisError *err)
{
	const Operate *o = &job->operate;
	const TopoNode *node = topology_node_by_name(l->stored, o->node);
	const TopoNode *by = topology_node_by_name(l->stored, o->by);
	PlanRow plan = {0};
	uint32_t id = 0;
	DorisStatus status = DORIS_OK;

	if (node != NULL)
		status = find_plan(l, node->id, &plan, err);
	if (status != DORIS_OK)
		return status;
	/* Asked again, because the answer was lost. */
	if (plan.id != 0 && by != NULL && plan.by == by->id)
	{
		operate_answer(l, job, plan.id);
		return DORIS_OK;
	}
	if (plan.id != 0)
		return doris_error(err, DORIS_CONFLICT, "node \"%s\" is being replaced already, by plan %u",
						   o->node, plan.id);
	status = verdict_may_replace(l->stored, o->node, o->by, err);
	if (status == DORIS_OK && node != NULL && by != NULL)
		status = operate_replace(l, node, by, &id, err);
	if (status == DORIS_OK)
	{
		/* It is in the schema, whatever became of the leadership since. */
		operate_answer(l, job, id);
	}
	return status;
}

/*
 * A node that is down is replaced in one epoch, its copies are filled afterwards; one that is up goes on until the last
 * of its vnodes has moved.
 */
static bool is_down(const Lead *l, const char *name)
{
	const TopoNode *node = topology_node_by_name(l->stored, name);

	return node != NULL && node->condition == NODE_DOWN;
}

/* The plan that names the node, and is not over; 0: none. */
static DorisStatus plan_naming(Lead *l, uint32_t node, uint32_t *plan, DorisError *err)
{
	PlanRow *rows;
	int n;
	DorisStatus status = plans_load(l, err);

	*plan = 0;
	if (status != DORIS_OK)
		return status;
	for (int i = 0; i < l->nplans; i++)
		for (uint32_t k = 0; k < l->plans[i].nmoves; k++)
			if (l->plans[i].moves[k].from == node || l->plans[i].moves[k].to == node)
				*plan = l->plans[i].id;
	status = schema_plans(&l->db, &rows, &n, err);
	for (int i = 0; i < n; i++)
		if (rows[i].node == node || rows[i].by == node)
			*plan = rows[i].id;
	free(rows);
	return status == DORIS_OK ? status : lead_failed(l, status, err);
}

/*
 * A node that holds nothing is dead from now on, as if it had been replaced: it is refused when it greets, and its name is not
 * used again. One that never started enters the topology for that, so that it stays dead when an older database is put back.
 *
 * Whatever could give it vnodes or let it in is decided on this thread, too, or under another term: one of the two publishes
 * first, the other sees it.
 */
static DorisStatus remove_node(Lead *l, const char *name, DorisError *err)
{
	const TopoNode *node;
	Topology *t;
	NodeRow row;
	uint32_t plan;
	bool found;
	bool ignored;
	Event e;
	DorisStatus status = schema_node(&l->db, name, &row, &found, err);

	if (status != DORIS_OK)
		return lead_failed(l, status, err);
	if (!found)
	{
		(void) doris_error(err, DORIS_NOT_FOUND, "there is no node \"%s\"", name);
		return doris_hint(err, "See the view doris_nodes.");
	}
	node = topology_node(l->stored, row.id);
	if (node != NULL && node->condition == NODE_DEAD)
		return DORIS_OK; /* asked again, because the answer was lost */
	status = plan_naming(l, row.id, &plan, err);
	if (status != DORIS_OK)
		return status;
	if (plan != 0)
	{
		(void) doris_error(err, DORIS_CONFLICT, "plan %u has to do with node \"%s\"", plan, name);
		return doris_hint(err, "Wait for it with doris_wait(%u), or doris_cancel(%u).", plan, plan);
	}
	status = node != NULL ? verdict_may_remove(l->stored, node, err) : DORIS_OK;
	if (status != DORIS_OK)
		return status;
	t = jobs_next(l, err);
	if (t == NULL)
		return err->code;
	if (node == NULL)
		status = place_enter(t, &row, &ignored, &ignored, err);
	if (status != DORIS_OK)
	{
		topology_unref(t);
		return status;
	}
	verdict_node(t, row.id)->condition = NODE_DEAD;
	e = event_of("node_removed", row.name, "by an operator; it held nothing");
	return lead_publish(l, t, &e, 1, err);
}

void operate_run(Lead *l, Job *job)
{
	DorisError err;
	DorisStatus status;

	if (l->stored == NULL)
	{
		(void) doris_error(&err, DORIS_UNAVAILABLE, "the cluster has no topology yet");
		(void) doris_hint(&err, "It is made once every group has a data node that has started.");
		jobs_refuse(l, job, &err);
		return;
	}
	switch (job->operate.verb)
	{
		case OPERATE_FAILOVER:
			status = fail_over(l, job, &err);
			break;
		case OPERATE_RECOVER:
			status = recover(l, job, &err);
			break;
		case OPERATE_REMOVE:
			status = remove_node(l, job->operate.node, &err);
			if (status == DORIS_OK)
				operate_answer(l, job, 0);
			break;
		case OPERATE_REPLACE:
			status = is_down(l, job->operate.node) && !job->operate.dry
						 ? replace(l, job, &err)
						 : plan_request(l, job, &err);
			break;
		case OPERATE_EXPAND:
		case OPERATE_SHRINK:
		case OPERATE_REBALANCE:
		case OPERATE_ADD_GROUP:
		case OPERATE_DROP_GROUP:
			status = plan_request(l, job, &err);
			break;
		case OPERATE_PAUSE:
		case OPERATE_RESUME:
		case OPERATE_CANCEL:
		case OPERATE_PLANS:
			status = plan_control(l, job, &err);
			break;
		default:
			status = doris_error(&err, DORIS_BAD_ARGUMENT, "unknown operation %d",
								 (int) job->operate.verb);
	}
	if (status != DORIS_OK)
		jobs_refuse(l, job, &err);
}
