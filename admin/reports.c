/*
 * reports.c: what nodes say of themselves, on the lead thread: kept, stored, and copies that are ready made complete.
 *
 * The heart thread hands over each report once; the latest of each node is kept here, with its lists.
 */
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "plans.h"
#include "version.h"

static Seen *find(const Lead *l, uint32_t node)
{
	for (int i = 0; i < l->nseen; i++)
		if (l->seen[i].latest.node == node)
			return &l->seen[i];
	return NULL;
}

const HeartReport *reports_of(const Lead *l, uint32_t node)
{
	const Seen *s = find(l, node);

	return s != NULL ? &s->latest : NULL;
}

bool reports_current(const Lead *l, const HeartReport *r)
{
	const TopoNode *n = l->stored != NULL ? topology_node(l->stored, r->node) : NULL;

	return n != NULL && n->incarnation == r->report.incarnation &&
		   memcmp(n->home, r->report.home, DORIS_UUID_SIZE) == 0;
}

static Seen *add(Lead *l, uint32_t node)
{
	if (l->nseen == l->seen_cap)
	{
		int cap = l->seen_cap > 0 ? 2 * l->seen_cap : 16;
		Seen *list = realloc(l->seen, (size_t) cap * sizeof(*list));

		if (list == NULL)
			return NULL;
		l->seen = list;
		l->seen_cap = cap;
	}
	memset(&l->seen[l->nseen], 0, sizeof(Seen));
	l->seen[l->nseen].latest.node = node;
	return &l->seen[l->nseen++];
}

/* ---- hints, as log nodes tell of them ---- */

static const Backlog *backlog_of(const NodeReport *r, uint32_t target)
{
	for (uint32_t i = 0; i < r->nbacklogs; i++)
		if (r->backlogs[i].target == target && r->backlogs[i].hints > 0)
			return &r->backlogs[i];
	return NULL;
}

static const char *name_of(const Lead *l, uint32_t node)
{
	const TopoNode *n = l->stored != NULL ? topology_node(l->stored, node) : NULL;

	return n != NULL ? n->name : "";
}

static void tell_hints(Lead *l, Seen *s, const NodeReport *new)
{
	const NodeReport *old = &s->latest.report;
	const char *name = name_of(l, s->latest.node);
	uint64_t percent = new->hint_budget > 0 ? new->hint_bytes * 100 / new->hint_budget : 0;

	for (uint32_t i = 0; i < new->nbacklogs; i++)
		if (new->backlogs[i].hints > 0 && backlog_of(old, new->backlogs[i].target) == NULL)
			admin_event(l->admin, "hints_kept", name, "writes for node \"%s\" are kept",
						name_of(l, new->backlogs[i].target));
	for (uint32_t i = 0; i < old->nbacklogs; i++)
		if (old->backlogs[i].hints > 0 && backlog_of(new, old->backlogs[i].target) == NULL)
			admin_event(l->admin, "hints_gone", name, "keeps none for node \"%s\" any more",
						name_of(l, old->backlogs[i].target));
	if (!s->hints_high && percent >= LEAD_HINTS_HIGH)
	{
		s->hints_high = true;
		admin_event(
			l->admin, "hints_high", name,
			"%llu of %llu bytes for hints are used (%llu %%); at the limit writes for nodes "
			"that are down are refused",
			(unsigned long long) new->hint_bytes, (unsigned long long) new->hint_budget,
			(unsigned long long) percent);
	}
	else if (s->hints_high && percent < LEAD_HINTS_LOW)
	{
		s->hints_high = false;
		admin_event(l->admin, "hints_ok", name, "%llu %% of the bytes for hints are used",
					(unsigned long long) percent);
	}
}

void reports_take(Lead *l)
{
	int n;
	HeartReport *list = heart_collect(l->admin, &n);

	for (int i = 0; i < n; i++)
	{
		Seen *s = find(l, list[i].node);

		if (s == NULL)
			s = add(l, list[i].node);
		if (s == NULL)
		{
			node_report_free(&list[i].report);
			continue;
		}
		tell_hints(l, s, &list[i].report);
		node_report_free(&s->latest.report);
		s->latest = list[i];
		s->stored = false;
		s->ready = list[i].report.nready > 0;
	}
	free(list);
}

void reports_free(Lead *l)
{
	for (int i = 0; i < l->nseen; i++)
		node_report_free(&l->seen[i].latest.report);
	free(l->seen);
	free(l->lost);
	l->seen = NULL;
	l->nseen = l->seen_cap = 0;
}

/* ---- the database ---- */

void reports_store(Lead *l, uint64_t now)
{
	uint64_t began = clock_mono_ms();
	HeartReport *list = NULL;
	bool *current = NULL;
	int n = 0;
	DorisError err;
	DorisStatus status;

	if (now < l->next_confirm && now < l->next_seen)
		return;
	l->next_confirm = now + admin_confirm_ms(l->admin) / 2;
	if (now >= l->next_seen)
	{
		l->next_seen = now + LEAD_SEEN_MS;
		list = calloc((size_t) l->nseen + 1, sizeof(*list));
		current = calloc((size_t) l->nseen + 1, sizeof(*current));
	}
	for (int i = 0; list != NULL && current != NULL && i < l->nseen; i++)
		if (!l->seen[i].stored)
		{
			current[n] = reports_current(l, &l->seen[i].latest);
			list[n++] = l->seen[i].latest; /* its lists are only lent */
			l->seen[i].stored = true;
		}
	status = schema_heartbeats(&l->db, l->term, list, current, n, &err);
	free(list);
	free(current);
	if (status == DORIS_OK)
		atomic_store(&l->admin->confirmed, began); /* rule *lease* */
	else
		(void) lead_failed(l, status, &err);
}

/* ---- rule *complete* ---- */

/* Tells whose last copy is complete now, and how long it took. */
static int tell_recovered(Lead *l, const Topology *t, Event *events, int max)
{
	int n = 0;

	for (int i = 0; i < l->nseen && n < max; i++)
	{
		const HeartReport *r = &l->seen[i].latest;
		const TopoNode *node = topology_node(t, r->node);
		uint32_t before = verdict_incomplete(l->stored, r->node);
		NodeRow row;
		bool found = false;
		DorisError err;

		if (node == NULL || before == 0 || verdict_incomplete(t, r->node) > 0)
			continue;
		if (schema_node(&l->db, node->name, &row, &found, &err) != DORIS_OK || !found)
			row.recover_s = -1;
		if (row.recover_s >= 0)
			events[n++] = event_of(
				"node_ok", node->name, "all its copies are complete, after %lld s and %llu bytes",
				(long long) row.recover_s, (unsigned long long) r->report.recovered_bytes);
		else
			events[n++] = event_of("node_ok", node->name, "all its copies are complete");
	}
	return n;
}

static bool any_ready(const Lead *l)
{
	for (int i = 0; i < l->nseen; i++)
		if (l->seen[i].ready)
			return true;
	return false;
}

uint32_t reports_edit_ready(Lead *l, Topology *t, Event *events, int max, int *n)
{
	uint64_t epoch = l->stored->epoch + 1;
	uint32_t done = 0;
	Silent silent;
	uint32_t *ids;

	*n = 0;
	if (!any_ready(l))
		return 0;
	/* All of them against the same epochs: none voids another. */
	for (int i = 0; i < l->nseen; i++)
	{
		Seen *s = &l->seen[i];

		if (s->ready && reports_current(l, &s->latest))
			done += verdict_ready(t, l->stored, s->latest.node, s->latest.report.incarnation,
								  s->latest.report.ready, s->latest.report.nready, epoch,
								  plans_dropped_group(l));
		s->ready = false;
	}
	if (done == 0)
		return 0;
	ids = heart_silent(l->admin, &silent.n);
	silent.ids = ids;
	(void) verdict_excuse(t, epoch, &silent);
	free(ids);
	*n = tell_recovered(l, t, events, max);
	return done;
}

void reports_ready(Lead *l, uint64_t now)
{
	Topology *t;
	uint32_t done;
	Event events[16];
	int n;
	DorisError err;

	/* while there are plans, their steps carry it */
	if (l->nplans > 0 || !any_ready(l) || now < l->next_ready)
		return;
	l->next_ready = now + LEAD_READY_MS;
	t = jobs_next(l, &err);
	if (t == NULL)
		return;
	done = reports_edit_ready(l, t, events, 16, &n);
	FAULT_POINT("admin-completing");
	if (done == 0 || !l->leading)
		topology_unref(t);
	else if (lead_publish(l, t, events, n, &err) != DORIS_OK)
		log_write(LOG_DEBUG, "%u copies are not made complete yet: %s", done, err.message);
	else
		log_write(LOG_INFO, "%u copies are complete, epoch %llu", done,
				  (unsigned long long) l->stored->epoch);
	FAULT_POINT("admin-completed");
}
