/*
 * plans.c: plans that move vnodes, carried out step by step, on the lead thread.
 *
 * The journal says what is to move, the topology how far it is: each step starts from these two alone, so that a new leader goes
 * on where the last one was and a step that was done already is seen to be done (I5). Steps of all plans, and the old owners that
 * have acknowledged that they are (rule *retire*), go into one new topology. A plan that cannot go on says what it waits for, and
 * goes on by itself.
 */
#include "plans.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "version.h"

/*
 * Vnodes that fill one node at a time: enough that it never waits for us, not so many that pausing, or a node's failure, costs
 * much, or that many vnodes take their writes at three nodes.
 */
#define FILL_VNODES 128
#define FILL_BYTES (512ull << 20)
#define DISK_SPARE (64ull << 20) /* to be left free at a new node, besides a tenth of what comes */
#define NUMBERS_MS 1000			 /* between updates of the view's numbers */

/* What comes to one node by one plan. */
typedef struct Dest
{
	uint32_t filling; /* vnodes */
	uint32_t waiting;
	uint64_t filling_bytes;
	uint64_t left_bytes;
	bool closed; /* nothing begins there now */
} Dest;

/* ---- the plans that there are ---- */

void plans_forget(Lead *l)
{
	for (int i = 0; i < l->nplans; i++)
		plan_free(&l->plans[i]);
	free(l->plans);
	l->plans = NULL;
	l->nplans = 0;
	l->plans_known = false;
	l->still_epoch = 0;
}

DorisStatus plans_load(Lead *l, DorisError *err)
{
	DorisStatus status;

	if (l->plans_known)
		return DORIS_OK;
	status = schema_moves_active(&l->db, &l->plans, &l->nplans, err);
	if (status != DORIS_OK)
		return lead_failed(l, status, err);
	l->plans_known = true;
	for (int i = 0; i < l->nplans; i++)
		l->plans[i].progress_ms = clock_mono_ms();
	return DORIS_OK;
}

void plans_add(Lead *l, MovePlan *p)
{
	MovePlan *list = realloc(l->plans, ((size_t) l->nplans + 1) * sizeof(*list));

	if (list == NULL)
	{
		plan_free(p);
		plans_forget(l); /* it is in the journal */
		return;
	}
	p->progress_ms = clock_mono_ms();
	snprintf(p->told_state, sizeof(p->told_state), "running");
	l->plans = list;
	l->plans[l->nplans++] = *p;
	l->next_plans = 0;
}

static bool is_kind(const MovePlan *p, const char *kind)
{
	return strcmp(p->kind, kind) == 0;
}

MovePlan *plans_find(Lead *l, uint32_t id)
{
	for (int i = 0; i < l->nplans; i++)
		if (l->plans[i].id == id)
			return &l->plans[i];
	return NULL;
}

MovePlan *plans_in_group(Lead *l, uint32_t group)
{
	for (int i = 0; i < l->nplans; i++)
	{
		MovePlan *p = &l->plans[i];

		/* another number of groups is everybody's business */
		if (is_kind(p, "add_group") || is_kind(p, "drop_group"))
			return p;
		for (uint32_t k = 0; k < p->nmoves; k++)
			if (p->moves[k].group == group)
				return p;
	}
	return NULL;
}

static void forget(Lead *l, MovePlan *p)
{
	plan_free(p);
	memmove(p, p + 1, (size_t) (&l->plans[l->nplans] - (p + 1)) * sizeof(*p));
	l->nplans--;
}

uint64_t plans_acked(void *arg, uint32_t node)
{
	const Lead *l = arg;
	const HeartReport *r = reports_of(l, node);

	return r != NULL && reports_current(l, r) ? r->report.epoch : 0;
}

/* For moves_drop_orphans: by the journal. */
static bool is_wanted(void *arg, uint32_t group, uint32_t vnode, uint32_t node)
{
	const Lead *l = arg;

	for (int i = 0; i < l->nplans; i++)
	{
		const MovePlan *p = &l->plans[i];
		uint32_t low = 0;
		uint32_t high = p->nmoves;

		while (low < high)
		{
			uint32_t mid = low + (high - low) / 2;

			if (p->moves[mid].vnode < vnode)
				low = mid + 1;
			else
				high = mid;
		}
		for (; low < p->nmoves && p->moves[low].vnode == vnode; low++)
			if (p->moves[low].group == group && p->moves[low].to == node)
				return true;
	}
	return false;
}

/* ---- steps ---- */

static const char *name_of(const Topology *t, uint32_t node)
{
	const TopoNode *n = topology_node(t, node);

	return n != NULL ? n->name : "?";
}

static void set_why(MovePlan *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void set_why(MovePlan *p, const char *fmt, ...)
{
	va_list args;

	if (p->why[0] != '\0')
		return; /* the first reason is told */
	va_start(args, fmt);
	vsnprintf(p->why, sizeof(p->why), fmt, args);
	va_end(args);
}

uint32_t plans_dropped_group(const Lead *l)
{
	for (int i = 0; i < l->nplans; i++)
		if (is_kind(&l->plans[i], "drop_group") && !l->plans[i].paused)
			return l->plans[i].moves[0].group;
	return 0;
}

/* New nodes become members of the group, which may be a new one. Returns how many edits. */
static uint32_t enter(MovePlan *p, Topology *t, uint64_t epoch)
{
	uint32_t n = 0;

	if (is_kind(p, "add_group") && p->moves[0].group > t->groups)
	{
		if (!moves_add_group(t, epoch))
		{
			set_why(p, "out of memory");
			return 0;
		}
		n++;
	}
	for (uint32_t i = 0; i < p->nmoves; i++)
	{
		TopoNode *node = verdict_node(t, p->moves[i].to);

		if (node == NULL || node->role == NODE_DATA)
			continue; /* also those that a dropped group leaves */
		node->role = NODE_DATA;
		node->group = (uint8_t) p->moves[i].group;
		n++;
	}
	return n;
}

static bool holds_anything(const Topology *t, uint32_t node)
{
	size_t all = (size_t) t->groups * t->vnodes;

	for (size_t i = 0; i < all; i++)
		if (t->copies[i].owner == node || t->copies[i].incoming == node ||
			t->copies[i].retiring == node)
			return true;
	return false;
}

/* Nodes that gave everything away are spares again; the one that was replaced is dead. Returns how many. */
static uint32_t leave(const MovePlan *p, Topology *t)
{
	uint32_t last = 0;
	uint32_t n = 0;

	for (uint32_t i = 0; i < 2 * p->nmoves; i++)
	{
		const Move *m = &p->moves[i / 2];
		uint32_t id = i % 2 == 0 ? m->from : m->to;
		TopoNode *node;

		if (id == last)
			continue;
		last = id;
		node = verdict_node(t, id);
		if (node == NULL || node->role != NODE_DATA || node->condition == NODE_DEAD ||
			holds_anything(t, id))
			continue;
		if (id == p->node)
			node->condition = NODE_DEAD;
		else
		{
			node->role = NODE_SPARE;
			node->group = 0;
		}
		n++;
	}
	return n;
}

/* Looks where every move is. Returns how many wait. */
static uint32_t look(Lead *l, MovePlan *p, const Topology *t, Dest *dests)
{
	uint32_t waiting = 0;
	uint32_t done = 0;
	uint64_t pulled = 0;

	p->under_way = 0;
	p->alive = 0;
	p->bytes_done = 0;
	for (uint32_t i = 0; i < p->nmoves; i++)
	{
		const Move *m = &p->moves[i];
		const TopoNode *node = topology_node(t, m->to);
		Dest *d = node != NULL ? &dests[node - t->nodes] : NULL;

		switch (move_state(t, m))
		{
			case MOVE_DONE:
				done++;
				p->bytes_done += m->bytes;
				break;
			case MOVE_RETIRES:
				p->under_way++;
				p->alive++;
				p->bytes_done += m->bytes;
				break;
			case MOVE_FILLS:
				p->under_way++;
				p->alive += node != NULL && node->condition == NODE_UP;
				if (d != NULL)
				{
					d->filling++;
					d->filling_bytes += m->bytes;
					d->left_bytes += m->bytes;
				}
				break;
			case MOVE_WAITS:
				waiting++;
				if (d != NULL)
				{
					d->waiting++;
					d->left_bytes += m->bytes;
				}
				break;
		}
	}
	for (uint32_t i = 0; i < t->nnodes; i++)
		if (dests[i].filling > 0)
		{
			const HeartReport *r = reports_of(l, t->nodes[i].id);

			pulled += r != NULL ? r->report.recovered_bytes : 0;
		}
	if (done != p->done || pulled != p->pulled)
	{
		p->progress_ms = clock_mono_ms();
		p->stalled = false;
	}
	p->done = done;
	p->pulled = pulled;
	return waiting;
}

uint64_t plan_disk_needed(uint64_t bytes)
{
	return bytes + bytes / 10 + DISK_SPARE;
}

/* Where nothing can begin now, and why. */
static void check_dests(Lead *l, MovePlan *p, const Topology *t, Dest *dests)
{
	for (uint32_t i = 0; i < t->nnodes; i++)
	{
		const TopoNode *node = &t->nodes[i];
		Dest *d = &dests[i];
		const HeartReport *r;
		uint64_t needed = plan_disk_needed(d->left_bytes);

		if (d->waiting == 0 && d->filling == 0)
			continue;
		if (node->condition != NODE_UP)
			set_why(p, "node \"%s\" is down", node->name);
		if (plans_acked(l, node->id) == 0 || node->condition != NODE_UP)
		{
			d->closed = true;
			continue;
		}
		if (d->waiting == 0)
			continue;
		r = reports_of(l, node->id);
		if (r->at == 0)
		{
			d->closed = true;
			set_why(p, "node \"%s\" has not told yet how much disk it has free", node->name);
		}
		else if (r->report.disk_full || r->report.disk_free < needed)
		{
			d->closed = true;
			set_why(p, "node \"%s\" has %llu MB of disk free, and needs %llu MB", node->name,
					(unsigned long long) (r->report.disk_free >> 20),
					(unsigned long long) (needed >> 20));
		}
	}
}

/* Rule *last copy*: each vnode of a group that is to go must be complete elsewhere, on a node that answers. */
static bool group_is_spare(Lead *l, MovePlan *p, const Topology *t)
{
	Silent silent;
	uint32_t *ids = heart_silent(l->admin, &silent.n);
	bool spare = true;

	silent.ids = ids;
	for (uint32_t v = 0; v < t->vnodes && spare; v++)
		if (!verdict_elsewhere(t, t->groups, v, &silent))
		{
			set_why(p, "no other copy of vnode %u is complete on a node that is up", v);
			spare = false;
		}
	free(ids);
	return spare;
}

static uint32_t step_drop_group(Lead *l, MovePlan *p, Topology *t, uint64_t epoch, uint32_t waiting)
{
	if (p->paused || t->groups != p->moves[0].group || !group_is_spare(l, p, t))
		return 0;
	if (waiting > 0)
		moves_retire_group(t, epoch);
	else if (!moves_may_drop_group(t, plans_acked, l))
		return 0;
	else if (!moves_drop_group(t, epoch))
	{
		set_why(p, "out of memory");
		return 0;
	}
	return 1;
}

/* The plan's next moves, as edits of the topology. Returns how many edits. */
static uint32_t step(Lead *l, MovePlan *p, Topology *t, uint64_t epoch)
{
	Dest *dests = calloc(t->nnodes + 1, sizeof(*dests));
	uint32_t waiting;
	uint32_t edits = 0;

	if (dests == NULL)
	{
		set_why(p, "out of memory");
		return 0;
	}
	p->why[0] = '\0';
	if (!p->entered && !p->paused)
		edits += enter(p, t, epoch);
	waiting = look(l, p, t, dests);
	if (is_kind(p, "drop_group"))
	{
		edits += step_drop_group(l, p, t, epoch, waiting);
		waiting = 0;
	}
	else if (waiting == 0 && p->under_way == 0)
		edits += leave(p, t);
	if (!p->paused)
		check_dests(l, p, t, dests);
	for (uint32_t i = 0; i < p->nmoves && waiting > 0 && !p->paused; i++)
	{
		const Move *m = &p->moves[i];
		const TopoNode *node = topology_node(t, m->to);
		Dest *d;

		if (move_state(t, m) != MOVE_WAITS)
			continue;
		waiting--;
		if (node == NULL || node->condition == NODE_DEAD)
			continue;
		d = &dests[node - t->nodes];
		if (d->closed || d->filling >= FILL_VNODES ||
			(d->filling > 0 && d->filling_bytes + m->bytes > FILL_BYTES))
			continue;
		switch (move_may_open(t, m, plans_acked, l))
		{
			case MOVE_MAY:
				move_open(t, m, epoch);
				d->filling++;
				d->filling_bytes += m->bytes;
				p->under_way++;
				p->alive++;
				edits++;
				break;
			case MOVE_UNHEALTHY:
				set_why(p, "a copy of vnode %u is not complete, or its node is down", m->vnode);
				break;
			case MOVE_DOWN:
			case MOVE_BEHIND:
			case MOVE_OCCUPIED:
				break; /* in a moment */
		}
	}
	free(dests);
	return edits;
}

/* A plan cannot be carried out any more; NULL: it can. */
static const char *lost_node(const MovePlan *p, const Topology *t)
{
	uint32_t last = 0;

	for (uint32_t i = 0; i < p->nmoves; i++)
	{
		const TopoNode *node;

		if (p->moves[i].to == last || p->moves[i].to == 0)
			continue;
		last = p->moves[i].to;
		node = topology_node(t, last);
		if (node == NULL || node->condition == NODE_DEAD)
			return name_of(t, last);
	}
	return NULL;
}

/* ---- what is told ---- */

static void tell_state(Lead *l, MovePlan *p)
{
	bool waits = p->why[0] != '\0' && p->alive == 0;
	const char *state = p->paused ? "paused" : waits ? "waiting" : "running";
	const char *why = waits && !p->paused ? p->why : "";
	bool news = strcmp(state, p->told_state) != 0;
	DorisError err;
	DorisStatus status;

	if (!news && strcmp(why, p->told_why) == 0)
		return;
	status = schema_moves_state(&l->db, l->term, p->id, state, why, &err);
	if (status != DORIS_OK)
	{
		(void) lead_failed(l, status, &err);
		return;
	}
	if (news && waits && !p->paused)
		admin_event(l->admin, "plan_waits", NULL, "plan %u: %s", p->id, why);
	else if (news && strcmp(state, "running") == 0)
		admin_event(l->admin, "plan_goes_on", NULL, "plan %u", p->id);
	snprintf(p->told_state, sizeof(p->told_state), "%s", state);
	snprintf(p->told_why, sizeof(p->told_why), "%s", why);
}

static void tell_numbers(Lead *l, MovePlan *p, uint64_t now)
{
	uint64_t ms = now - p->stored_ms;
	int stall_s = l->admin->options.plan_stall_s;
	DorisError err;
	DorisStatus status;

	if (p->stored_ms != 0 && ms < NUMBERS_MS)
		return;
	if (p->stored_ms != 0 && p->bytes_done >= p->stored_bytes)
	{
		uint64_t now_rate = (p->bytes_done - p->stored_bytes) * 1000 / ms;

		/* moved by whole vnodes: smoothed over some seconds */
		p->rate = p->rate == 0 ? now_rate : (7 * p->rate + 3 * now_rate) / 10;
	}
	p->stored_ms = now;
	p->stored_bytes = p->bytes_done;
	tell_state(l, p);
	if (!l->leading)
		return;
	status = schema_moves_numbers(&l->db, l->term, p, &err);
	if (status != DORIS_OK)
	{
		(void) lead_failed(l, status, &err);
		return;
	}
	if (!p->stalled && !p->paused && now > p->progress_ms + (uint64_t) stall_s * 1000)
	{
		p->stalled = true;
		admin_event(l->admin, "plan_stalled", NULL, "plan %u: nothing has moved for %d s: %s",
					p->id, stall_s, p->why[0] != '\0' ? p->why : "the new nodes do not get ready");
	}
}

/* Everything has moved: over. */
static void end(Lead *l, MovePlan *p)
{
	uint64_t began = clock_mono_ms();
	DorisError err;
	DorisStatus status;

	FAULT_POINT("admin-moves-ending");
	status = schema_moves_state(&l->db, l->term, p->id, "done", NULL, &err);
	if (status != DORIS_OK)
	{
		(void) lead_failed(l, status, &err);
		return;
	}
	FAULT_POINT("admin-moves-ended");
	admin_event(l->admin, "plan_done", NULL, "plan %u: %u vnodes have moved", p->id, p->nmoves);
	log_write(LOG_DEBUG, "plan %u ended in %llu ms", p->id,
			  (unsigned long long) (clock_mono_ms() - began));
	forget(l, p);
}

/* ---- all of them ---- */

static uint32_t step_all(Lead *l, Topology *t, uint64_t epoch)
{
	uint32_t edits = moves_release(t, epoch, plans_acked, l);

	edits += moves_drop_orphans(t, epoch, is_wanted, l);
	for (int i = 0; i < l->nplans; i++)
	{
		l->plans[i].edits = step(l, &l->plans[i], t, epoch);
		edits += l->plans[i].edits;
	}
	return edits;
}

static void cancel_lost(Lead *l)
{
	for (int i = l->nplans - 1; i >= 0 && l->leading; i--)
	{
		const char *name = lost_node(&l->plans[i], l->stored);
		char why[128];
		DorisError err;

		if (name == NULL)
			continue;
		snprintf(why, sizeof(why), "node \"%s\" is dead", name);
		if (plans_cancel(l, &l->plans[i], why, &err) != DORIS_OK)
			log_write(LOG_DEBUG, "plan not cancelled yet: %s", err.message);
	}
}

void plans_run(Lead *l, uint64_t now)
{
	DorisError err;
	Topology *t;
	uint32_t edits;
	Event events[16];
	int nevents;

	if (now < l->next_plans)
		return;
	l->next_plans = now + LEAD_PLANS_MS;
	if (plans_load(l, &err) != DORIS_OK)
		return;
	if (l->nplans == 0 && l->still_epoch == l->stored->epoch)
		return;
	if (l->nplans == 0 && !moves_any(l->stored))
	{
		l->still_epoch = l->stored->epoch;
		return;
	}
	cancel_lost(l);
	t = l->leading ? jobs_next(l, &err) : NULL;
	if (t == NULL)
		return;
	edits = reports_edit_ready(l, t, events, 16, &nevents);
	edits += step_all(l, t, l->stored->epoch + 1);
	FAULT_POINT("admin-moves-stepping");
	if (edits == 0 || !l->leading)
		topology_unref(t);
	else if (lead_publish(l, t, events, nevents, &err) != DORIS_OK)
	{
		log_write(LOG_DEBUG, "plans wait: %s", err.message);
		return;
	}
	FAULT_POINT("admin-moves-stepped");
	for (int i = l->nplans - 1; i >= 0 && l->leading; i--)
	{
		MovePlan *p = &l->plans[i];

		p->entered = !p->paused;
		/* with nothing left to edit: what its last step did stands in the topology */
		if (p->done == p->nmoves && p->edits == 0)
			end(l, p);
		else
			tell_numbers(l, p, now);
	}
}

/* ---- what operators want ---- */

DorisStatus plans_pause(Lead *l, MovePlan *p, bool pause, DorisError *err)
{
	DorisStatus status;

	if (p->paused == pause)
		return DORIS_OK;
	status = schema_moves_state(&l->db, l->term, p->id, pause ? "paused" : "running", NULL, err);
	if (status != DORIS_OK)
		return lead_failed(l, status, err);
	p->paused = pause;
	p->progress_ms = clock_mono_ms();
	snprintf(p->told_state, sizeof(p->told_state), "%s", pause ? "paused" : "running");
	p->told_why[0] = '\0';
	admin_event(l->admin, pause ? "plan_paused" : "plan_resumed", NULL, "plan %u", p->id);
	l->next_plans = 0;
	return DORIS_OK;
}

DorisStatus plans_cancel(Lead *l, MovePlan *p, const char *why, DorisError *err)
{
	Topology *t = jobs_next(l, err);
	uint64_t epoch = l->stored->epoch + 1;
	uint32_t id = p->id;
	DorisStatus status = DORIS_OK;

	if (t == NULL)
		return err->code;
	/* First the map, then the journal: a leader that dies in between leaves a plan that goes on, not moves without one. */
	for (uint32_t i = 0; i < p->nmoves; i++)
		move_close(t, &p->moves[i], epoch);
	(void) leave(p, t);
	FAULT_POINT("admin-moves-cancelling");
	status = lead_publish(l, t, NULL, 0, err);
	if (status != DORIS_OK)
		return status;
	FAULT_POINT("admin-moves-cancelled");
	status = schema_moves_numbers(&l->db, l->term, p, err);
	if (status == DORIS_OK)
		status = schema_moves_state(&l->db, l->term, id, "cancelled", why, err);
	if (status != DORIS_OK)
		return lead_failed(l, status, err);
	admin_event(l->admin, "plan_cancelled", NULL, "plan %u: %s", id,
				why != NULL ? why : "by an operator");
	forget(l, p);
	return DORIS_OK;
}
