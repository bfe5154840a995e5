/*
 * plan_requests.c: what operators ask of plans that move vnodes: show one, begin one, pause, go on, cancel, tell.
 *
 * A plan is made from the newest topology by the placement function (balance.h), shown, or journalled and handed to plans.c. One
 * plan at a time in each group: a second one would be made for a map that the first is changing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "balance.h"
#include "fault.h"
#include "plans.h"

typedef struct Draft
{
	MovePlan plan;
	uint32_t minimum;
	uint32_t cap; /* of plan.moves */
} Draft;

/* The weights of all nodes, from the schema. */
typedef struct Weights
{
	NodeRow *rows;
	int n;
} Weights;

static uint32_t weight_of(const Weights *w, uint32_t node)
{
	for (int i = 0; i < w->n; i++)
		if (w->rows[i].id == node)
			return w->rows[i].weight;
	return 100;
}

/* ---- drafts ---- */

static DorisStatus add_move(Lead *l, Draft *d, uint32_t group, const BalanceMove *m,
							DorisError *err)
{
	const HeartReport *r = reports_of(l, m->from);
	uint32_t owned = m->from != 0 ? verdict_owned(l->stored, m->from) : 0;
	Move *move;

	if (d->plan.nmoves == d->cap)
	{
		uint32_t cap = d->cap == 0 ? 256 : 2 * d->cap;
		Move *list = realloc(d->plan.moves, cap * sizeof(*list));

		if (list == NULL)
			return doris_error(err, DORIS_NO_MEMORY, "out of memory for a plan");
		d->plan.moves = list;
		d->cap = cap;
	}
	move = &d->plan.moves[d->plan.nmoves++];
	*move = (Move){.group = group, .vnode = m->vnode, .from = m->from, .to = m->to};
	if (r != NULL && owned > 0)
	{
		move->rows = r->report.rows / owned;
		move->bytes = r->report.bytes / owned;
	}
	d->plan.bytes_total += move->bytes;
	return DORIS_OK;
}

static int by_vnode(const void *a, const void *b)
{
	const Move *x = a;
	const Move *y = b;

	if (x->vnode != y->vnode)
		return x->vnode < y->vnode ? -1 : 1;
	return x->group < y->group ? -1 : x->group > y->group;
}

/* A copy of a new group, whose size is that of the others. */
static void size_like_others(const Lead *l, Draft *d)
{
	uint64_t rows = 0;
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < l->stored->nnodes; i++)
	{
		const TopoNode *node = &l->stored->nodes[i];
		const HeartReport *r = node->group == 1 ? reports_of(l, node->id) : NULL;

		if (r != NULL)
		{
			rows += r->report.rows;
			bytes += r->report.bytes;
		}
	}
	for (uint32_t i = 0; i < d->plan.nmoves; i++)
	{
		d->plan.moves[i].rows = rows / l->stored->vnodes;
		d->plan.moves[i].bytes = bytes / l->stored->vnodes;
		d->plan.bytes_total += d->plan.moves[i].bytes;
	}
}

/* Adds the moves of one group. */
static DorisStatus draft_group(Lead *l, Draft *d, uint32_t group, const BalanceNode *nodes,
							   uint32_t n, uint32_t replaced, uint32_t by, DorisError *err)
{
	const Topology *t = l->stored;
	BalanceMap map = {.vnodes = t->vnodes, .groups = t->groups, .group = group};
	uint32_t *owner = calloc(t->vnodes, sizeof(*owner));
	BalanceMove *moves = NULL;
	uint32_t nmoves = 0;
	uint32_t minimum = 0;
	DorisStatus status = DORIS_OK;

	if (owner == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for a plan");
	for (uint32_t v = 0; v < t->vnodes; v++)
		owner[v] = group <= t->groups ? topology_copy(t, group, v)->owner : 0;
	if (group > t->groups)
		map.groups = group;
	map.owner = owner;
	if (replaced != 0)
	{
		status = balance_replace(&map, replaced, by, &moves, &nmoves, err);
		minimum = nmoves;
	}
	else
	{
		status = balance_moves(&map, nodes, n, &moves, &nmoves, err);
		if (status == DORIS_OK)
			status = balance_minimum(&map, nodes, n, &minimum, err);
	}
	for (uint32_t i = 0; i < nmoves && status == DORIS_OK; i++)
		status = add_move(l, d, group, &moves[i], err);
	d->minimum += minimum;
	free(owner);
	free(moves);
	return status;
}

static bool is_named(const Operate *o, const char *name)
{
	for (uint32_t i = 0; i < o->nnames; i++)
		if (strcmp(o->names[i], name) == 0)
			return true;
	return false;
}

static DorisStatus check_names(const Lead *l, const Operate *o, DorisError *err)
{
	if (o->nnames == 0)
		return doris_error(err, DORIS_BAD_ARGUMENT, "no node is named");
	for (uint32_t i = 0; i < o->nnames; i++)
	{
		const TopoNode *node = topology_node_by_name(l->stored, o->names[i]);

		if (node == NULL)
			return verdict_no_node(o->names[i], err);
		if (node->condition == NODE_DEAD)
			return doris_error(err, DORIS_CONFLICT,
							   "node \"%s\" is dead: it was replaced or removed", node->name);
		if (node->role == NODE_LOG)
			return doris_error(err, DORIS_CONFLICT, "node \"%s\" is a log node", node->name);
		for (uint32_t k = 0; k < i; k++)
			if (strcmp(o->names[i], o->names[k]) == 0)
				return doris_error(err, DORIS_BAD_ARGUMENT, "node \"%s\" is named twice",
								   node->name);
	}
	return DORIS_OK;
}

static DorisStatus check_group(const Lead *l, uint32_t group, DorisError *err)
{
	if (group >= 1 && group <= l->stored->groups)
		return DORIS_OK;
	(void) doris_error(err, DORIS_BAD_ARGUMENT, "there is no group %u", group);
	return doris_hint(err, "The groups of this cluster are numbered 1 to %u.", l->stored->groups);
}

static DorisStatus check_new(const TopoNode *node, DorisError *err)
{
	if (node->condition == NODE_UP && !uuid_is_zero(node->home))
		return DORIS_OK;
	(void) doris_error(err, DORIS_CONFLICT, "node \"%s\" is not up", node->name);
	return doris_hint(err, "Start it; see doris_nodes.");
}

/* The members of a group with their weights; leaving: those that are named get none. */
static DorisStatus members(const Lead *l, const Weights *w, const Operate *o, uint32_t group,
						   bool leaving, BalanceNode **out, uint32_t *n, DorisError *err)
{
	const Topology *t = l->stored;
	BalanceNode *list = calloc((size_t) t->nnodes + 1, sizeof(*list));
	bool left = false;

	*out = list;
	*n = 0;
	if (list == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for a plan");
	for (uint32_t i = 0; i < t->nnodes; i++)
	{
		const TopoNode *node = &t->nodes[i];
		bool named = is_named(o, node->name);
		bool in = node->role == NODE_DATA && node->group == group && node->condition != NODE_DEAD;
		BalanceNode *b = &list[*n];

		if (!leaving && named)
			in = true;
		/* one that has nothing gets nothing, unless it is named, or all are to be balanced */
		if (in && !named && verdict_owned(t, node->id) == 0 &&
			(o->verb != OPERATE_REBALANCE || node->condition != NODE_UP))
			in = false;
		if (!in)
			continue;
		b->id = node->id;
		b->weight = leaving && named ? 0 : weight_of(w, node->id);
		left |= b->weight > 0;
		(*n)++;
	}
	if (left)
		return DORIS_OK;
	(void) doris_error(err, DORIS_CONFLICT, "group %u would have no node left", group);
	return doris_hint(err,
					  "Expand the group by other nodes first, or drop it: doris_drop_group().");
}

static DorisStatus draft_one(Lead *l, Draft *d, const Weights *w, const Operate *o, uint32_t group,
							 bool leaving, DorisError *err)
{
	BalanceNode *nodes;
	uint32_t n;
	DorisStatus status = members(l, w, o, group, leaving, &nodes, &n, err);

	if (status == DORIS_OK)
		status = draft_group(l, d, group, nodes, n, 0, 0, err);
	free(nodes);
	return status;
}

static DorisStatus draft_expand(Lead *l, Draft *d, const Weights *w, const Operate *o,
								DorisError *err)
{
	DorisStatus status = check_group(l, o->group, err);

	if (status == DORIS_OK)
		status = check_names(l, o, err);
	for (uint32_t i = 0; i < o->nnames && status == DORIS_OK; i++)
	{
		const TopoNode *node = topology_node_by_name(l->stored, o->names[i]);

		status = check_new(node, err);
		if (status == DORIS_OK && node->role == NODE_DATA && node->group != o->group)
			status = doris_error(err, DORIS_CONFLICT, "node \"%s\" is in group %u", node->name,
								 node->group);
		else if (status == DORIS_OK && verdict_owned(l->stored, node->id) > 0)
		{
			(void) doris_error(err, DORIS_CONFLICT, "node \"%s\" is in group %u already",
							   node->name, o->group);
			status = doris_hint(err, "See doris_rebalance().");
		}
	}
	return status == DORIS_OK ? draft_one(l, d, w, o, o->group, false, err) : status;
}

static DorisStatus draft_shrink(Lead *l, Draft *d, const Weights *w, const Operate *o,
								DorisError *err)
{
	DorisStatus status = check_names(l, o, err);

	for (uint32_t i = 0; i < o->nnames && status == DORIS_OK; i++)
	{
		const TopoNode *node = topology_node_by_name(l->stored, o->names[i]);

		if (node->role != NODE_DATA || verdict_owned(l->stored, node->id) == 0)
		{
			(void) doris_error(err, DORIS_CONFLICT, "node \"%s\" holds no vnodes", node->name);
			status = doris_hint(err, "doris_remove_node() removes it.");
		}
	}
	for (uint32_t g = 1; g <= l->stored->groups && status == DORIS_OK; g++)
		for (uint32_t i = 0; i < o->nnames; i++)
			if (topology_node_by_name(l->stored, o->names[i])->group == g)
			{
				status = draft_one(l, d, w, o, g, true, err);
				break;
			}
	return status;
}

static DorisStatus draft_replace(Lead *l, Draft *d, const Operate *o, DorisError *err)
{
	const TopoNode *node = topology_node_by_name(l->stored, o->node);
	const TopoNode *by = topology_node_by_name(l->stored, o->by);
	DorisStatus status = verdict_may_follow(l->stored, o->node, o->by, err);

	if (status != DORIS_OK || node == NULL || by == NULL)
		return status;
	d->plan.node = node->id;
	return draft_group(l, d, node->group, NULL, 0, node->id, by->id, err);
}

/* Every vnode gets one more copy, on the named nodes. */
static DorisStatus draft_add_group(Lead *l, Draft *d, const Weights *w, const Operate *o,
								   DorisError *err)
{
	BalanceNode *nodes = calloc((size_t) o->nnames + 1, sizeof(*nodes));
	DorisStatus status = check_names(l, o, err);

	if (nodes == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for a plan");
	if (status == DORIS_OK && l->stored->groups == DORIS_MAX_GROUPS)
		status = doris_error(err, DORIS_LIMIT, "the cluster has %d groups, the most it can have",
							 DORIS_MAX_GROUPS);
	for (uint32_t i = 0; i < o->nnames && status == DORIS_OK; i++)
	{
		const TopoNode *node = topology_node_by_name(l->stored, o->names[i]);

		status = check_new(node, err);
		if (status == DORIS_OK &&
			(node->role == NODE_DATA || verdict_owned(l->stored, node->id) > 0))
			status = doris_error(err, DORIS_CONFLICT, "node \"%s\" is in group %u already",
								 node->name, node->group);
		nodes[i] = (BalanceNode){.id = node->id, .weight = weight_of(w, node->id)};
	}
	if (status == DORIS_OK)
		status = draft_group(l, d, l->stored->groups + 1, nodes, o->nnames, 0, 0, err);
	if (status == DORIS_OK)
		size_like_others(l, d);
	free(nodes);
	return status;
}

static DorisStatus draft_drop_group(Lead *l, Draft *d, const Operate *o, DorisError *err)
{
	DorisStatus status = check_group(l, o->group, err);

	if (status != DORIS_OK)
		return status;
	if (l->stored->groups == 1)
		return doris_error(err, DORIS_CONFLICT, "group 1 is the only one");
	if (o->group != l->stored->groups)
	{
		(void) doris_error(err, DORIS_CONFLICT, "group %u is not the last one", o->group);
		return doris_hint(err, "Only the last group, %u, can be dropped.", l->stored->groups);
	}
	for (uint32_t v = 0; v < l->stored->vnodes && status == DORIS_OK; v++)
	{
		BalanceMove m = {.vnode = v, .from = topology_copy(l->stored, o->group, v)->owner};

		status = add_move(l, d, o->group, &m, err);
	}
	d->minimum = d->plan.nmoves;
	return status;
}

static DorisStatus draft(Lead *l, Draft *d, const Operate *o, DorisError *err)
{
	Weights w = {NULL, 0};
	const char *kind = "replace";
	DorisStatus status = schema_nodes(&l->db, &w.rows, &w.n, err);

	memset(d, 0, sizeof(*d));
	if (status != DORIS_OK)
		return lead_failed(l, status, err);
	switch (o->verb)
	{
		case OPERATE_EXPAND:
			kind = "expand";
			status = draft_expand(l, d, &w, o, err);
			break;
		case OPERATE_SHRINK:
			kind = "shrink";
			status = draft_shrink(l, d, &w, o, err);
			break;
		case OPERATE_REBALANCE:
			kind = "rebalance";
			status = check_group(l, o->group, err);
			if (status == DORIS_OK)
				status = draft_one(l, d, &w, o, o->group, false, err);
			break;
		case OPERATE_ADD_GROUP:
			kind = "add_group";
			status = draft_add_group(l, d, &w, o, err);
			break;
		case OPERATE_DROP_GROUP:
			kind = "drop_group";
			status = draft_drop_group(l, d, o, err);
			break;
		default:
			status = draft_replace(l, d, o, err);
	}
	free(w.rows);
	snprintf(d->plan.kind, sizeof(d->plan.kind), "%s", kind);
	if (d->plan.nmoves > 1)
		qsort(d->plan.moves, d->plan.nmoves, sizeof(Move), by_vnode);
	return status;
}

/* ---- what is told ---- */

static int by_nodes(const void *a, const void *b)
{
	const Move *x = a;
	const Move *y = b;

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return x->to < y->to ? -1 : x->to > y->to;
}

static void set_name(const Topology *t, uint32_t id, char out[DORIS_NAME_MAX])
{
	const TopoNode *node = topology_node(t, id);

	snprintf(out, DORIS_NAME_MAX, "%s", node != NULL ? node->name : "");
}

/* Sums moves up by pairs of nodes; sorts them. */
static DorisStatus sum_up(Lead *l, Move *moves, uint32_t n, OperateReply *reply, DorisError *err)
{
	uint64_t needed = 0;

	if (n > 0)
		qsort(moves, n, sizeof(*moves), by_nodes);
	reply->moves = calloc((size_t) n + 1, sizeof(*reply->moves));
	if (reply->moves == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for a plan");
	for (uint32_t i = 0; i < n; i++)
	{
		const Move *m = &moves[i];
		PlanMove *out;

		if (i == 0 || by_nodes(&moves[i - 1], m) != 0)
		{
			out = &reply->moves[reply->nmoves++];
			out->group = m->group;
			set_name(l->stored, m->from, out->from);
			set_name(l->stored, m->to, out->to);
		}
		out = &reply->moves[reply->nmoves - 1];
		out->vnodes++;
		out->done += move_state(l->stored, m) == MOVE_DONE;
		out->rows += m->rows;
		out->bytes += m->bytes;
	}
	for (uint32_t i = 0; i < reply->nmoves; i++)
	{
		PlanMove *out = &reply->moves[i];
		const TopoNode *node = topology_node_by_name(l->stored, out->to);
		const HeartReport *r = node != NULL ? reports_of(l, node->id) : NULL;

		needed = 0;
		for (uint32_t k = 0; k < reply->nmoves; k++)
			if (strcmp(reply->moves[k].to, out->to) == 0)
				needed += reply->moves[k].bytes;
		out->needed = node != NULL ? plan_disk_needed(needed) : 0; /* none: the group is dropped */
		out->free = r != NULL && r->at != 0 ? r->report.disk_free : PLAN_FREE_UNKNOWN;
	}
	return DORIS_OK;
}

static void answer(Lead *l, Job *job, OperateReply *reply)
{
	DorisBuf body;

	reply->topology = (DorisBytes){l->stored->encoded, l->stored->encoded_len};
	buf_init(&body);
	reply_put_ok(&body);
	operate_reply_encode(&body, reply);
	jobs_answer(l, job, &body);
	buf_free(&body);
}

/* ---- beginning one ---- */

static bool in_group(const Draft *d, uint32_t group)
{
	for (uint32_t i = 0; i < d->plan.nmoves; i++)
		if (d->plan.moves[i].group == group)
			return true;
	return false;
}

static bool same_moves(const MovePlan *a, const MovePlan *b, const Operate *o, const Topology *t)
{
	if (strcmp(a->kind, b->kind) != 0 || a->node != b->node)
		return false;
	/* the answer was lost: what is asked for is on its way */
	for (uint32_t i = 0; i < a->nmoves; i++)
	{
		const Move *m = &a->moves[i];
		const TopoNode *node = topology_node(t, o->verb == OPERATE_SHRINK ? m->from : m->to);

		if ((o->verb == OPERATE_EXPAND || o->verb == OPERATE_SHRINK ||
			 o->verb == OPERATE_ADD_GROUP) &&
			(node == NULL || !is_named(o, node->name)))
			return false;
		if (o->verb == OPERATE_REPLACE && (node == NULL || strcmp(node->name, o->by) != 0))
			return false;
	}
	return true;
}

/* An active plan that is what is asked for. */
static MovePlan *find_same(Lead *l, const Operate *o)
{
	static const char *const kinds[] = {
		[OPERATE_REPLACE] = "replace",	   [OPERATE_EXPAND] = "expand",
		[OPERATE_SHRINK] = "shrink",	   [OPERATE_REBALANCE] = "rebalance",
		[OPERATE_ADD_GROUP] = "add_group", [OPERATE_DROP_GROUP] = "drop_group"};
	const TopoNode *node = topology_node_by_name(l->stored, o->node);
	MovePlan like = {.node = o->verb == OPERATE_REPLACE && node != NULL ? node->id : 0};

	snprintf(like.kind, sizeof(like.kind), "%s", kinds[o->verb]);
	for (int i = 0; i < l->nplans; i++)
		if (same_moves(&l->plans[i], &like, o, l->stored) &&
			((o->verb != OPERATE_EXPAND && o->verb != OPERATE_REBALANCE) ||
			 l->plans[i].moves[0].group == o->group))
			return &l->plans[i];
	return NULL;
}

/* Another number of groups changes something of every vnode. */
static bool changes_groups(const Draft *d)
{
	return strcmp(d->plan.kind, "add_group") == 0 || strcmp(d->plan.kind, "drop_group") == 0;
}

static DorisStatus check_alone(Lead *l, const Draft *d, DorisError *err)
{
	PlanRow *rows;
	int n;
	DorisStatus status;

	for (uint32_t g = 1; g <= l->stored->groups; g++)
	{
		const MovePlan *other = in_group(d, g) || changes_groups(d) ? plans_in_group(l, g) : NULL;

		if (other == NULL)
			continue;
		(void) doris_error(err, DORIS_CONFLICT, "plan %u moves vnodes of group %u", other->id, g);
		return doris_hint(err, "Wait for it with doris_wait(%u), or doris_cancel(%u).", other->id,
						  other->id);
	}
	status = schema_plans(&l->db, &rows, &n, err);
	if (status != DORIS_OK)
		return lead_failed(l, status, err);
	for (int i = 0; i < n && status == DORIS_OK; i++)
	{
		const TopoNode *by = topology_node(l->stored, rows[i].by);

		if (by != NULL && in_group(d, by->group))
			status = doris_error(err, DORIS_CONFLICT, "plan %u replaces a node of group %u",
								 rows[i].id, by->group);
	}
	free(rows);
	return status;
}

static DorisStatus begin(Lead *l, Draft *d, OperateReply *reply, DorisError *err)
{
	DorisStatus status = check_alone(l, d, err);
	Event e;

	if (status != DORIS_OK)
		return status;
	status = schema_moves_begin(&l->db, l->term, &d->plan, d->minimum, err);
	if (status != DORIS_OK)
		return lead_failed(l, status, err);
	FAULT_POINT("admin-moves-journalled");
	reply->plan = d->plan.id;
	e = event_of("plan_started", NULL, "plan %u, %s: %u vnodes, about %llu MB", d->plan.id,
				 d->plan.kind, d->plan.nmoves, (unsigned long long) (d->plan.bytes_total >> 20));
	admin_event(l->admin, e.kind, NULL, "%s", e.detail);
	plans_add(l, &d->plan);
	memset(&d->plan, 0, sizeof(d->plan)); /* taken over */
	return DORIS_OK;
}

DorisStatus plan_request(Lead *l, Job *job, DorisError *err)
{
	const Operate *o = &job->operate;
	OperateReply reply = {0};
	Draft d = {0};
	MovePlan *same;
	DorisStatus status = plans_load(l, err);

	if (status != DORIS_OK)
		return status;
	same = o->dry ? NULL : find_same(l, o);
	if (same != NULL)
		reply.plan = same->id;
	else
	{
		status = draft(l, &d, o, err);
		reply.minimum = d.minimum;
		if (status == DORIS_OK && o->dry)
			status = sum_up(l, d.plan.moves, d.plan.nmoves, &reply, err);
		else if (status == DORIS_OK && d.plan.nmoves > 0)
			status = begin(l, &d, &reply, err);
	}
	if (status == DORIS_OK)
		answer(l, job, &reply);
	plan_free(&d.plan);
	operate_reply_free(&reply);
	return status;
}

/* ---- one that is there ---- */

/* state_only: without the moves, for those who ask again and again. */
static DorisStatus tell(Lead *l, uint32_t plan, bool state_only, OperateReply *reply,
						DorisError *err)
{
	Move *moves = NULL;
	uint32_t n = 0;
	DorisStatus status =
		schema_plans_told(&l->db, plan, &reply->plans, &reply->nplans, &reply->minimum, err);

	if (status == DORIS_OK && plan != 0 && reply->nplans == 0)
	{
		(void) doris_error(err, DORIS_NOT_FOUND, "there is no plan %u", plan);
		return doris_hint(err, "See the view doris_plans.");
	}
	if (status == DORIS_OK && plan != 0 && !state_only)
		status = schema_moves_of(&l->db, plan, &moves, &n, err);
	if (status == DORIS_OK && plan != 0 && !state_only)
		status = sum_up(l, moves, n, reply, err);
	free(moves);
	return status == DORIS_OK || status == DORIS_NO_MEMORY ? status : lead_failed(l, status, err);
}

static DorisStatus not_running(Lead *l, uint32_t plan, DorisError *err)
{
	PlanInfo *info;
	uint32_t n;
	uint32_t minimum;
	DorisStatus status = schema_plans_told(&l->db, plan, &info, &n, &minimum, err);

	if (status != DORIS_OK)
		return lead_failed(l, status, err);
	if (n == 0 || plan == 0)
		status = doris_error(err, DORIS_NOT_FOUND, "there is no plan %u", plan);
	else if (strcmp(info[0].state, "running") == 0)
	{
		(void) doris_error(err, DORIS_CONFLICT,
						   "plan %u replaces a node that has failed, and cannot be stopped", plan);
		status = doris_hint(err, "Until it is done the rows there have one copy less.");
	}
	else
		status = doris_error(err, DORIS_CONFLICT, "plan %u is %s already", plan, info[0].state);
	free(info);
	return status;
}

DorisStatus plan_control(Lead *l, Job *job, DorisError *err)
{
	const Operate *o = &job->operate;
	OperateReply reply = {.plan = o->plan};
	DorisStatus status = plans_load(l, err);
	MovePlan *p;

	if (status != DORIS_OK)
		return status;
	p = plans_find(l, o->plan);
	if (o->verb == OPERATE_PLANS)
		status = tell(l, o->plan, o->dry, &reply, err);
	else if (p == NULL)
		status = not_running(l, o->plan, err);
	else if (o->verb == OPERATE_CANCEL && strcmp(p->kind, "drop_group") == 0 &&
			 p->moves[0].group > l->stored->groups)
		status = doris_error(err, DORIS_CONFLICT, "plan %u has dropped group %u already", p->id,
							 p->moves[0].group);
	else if (o->verb == OPERATE_CANCEL)
		status = plans_cancel(l, p, NULL, err);
	else
		status = plans_pause(l, p, o->verb == OPERATE_PAUSE, err);
	if (status == DORIS_OK)
		answer(l, job, &reply);
	operate_reply_free(&reply);
	return status;
}
