/*
 * jobs.c: what the lead thread does for others: namespaces, topologies from elsewhere, the first one; the rest is handed on.
 *
 * Each job is decided against the newest topology in the schema, alone, so that decisions never cross. Without the leadership
 * or the database a job is answered honestly and nothing is changed.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lead.h"
#include "version.h"

Event event_of(const char *kind, const char *node, const char *fmt, ...)
{
	Event e;
	va_list args;

	memset(&e, 0, sizeof(e));
	snprintf(e.kind, sizeof(e.kind), "%s", kind);
	snprintf(e.node, sizeof(e.node), "%s", node != NULL ? node : "");
	va_start(args, fmt);
	vsnprintf(e.detail, sizeof(e.detail), fmt, args);
	va_end(args);
	return e;
}

Topology *jobs_next(Lead *l, DorisError *err)
{
	Topology *t = topology_clone(l->stored);

	if (t == NULL)
	{
		(void) doris_error(err, DORIS_NO_MEMORY, "out of memory for a topology");
		log_write(LOG_ERROR, "%s", err->message);
	}
	return t;
}

void jobs_refuse(Lead *l, Job *job, const DorisError *err)
{
	if (!job->has_request)
		return;
	request_refuse(l->admin, &job->request, err);
	job->has_request = false;
}

void jobs_answer(Lead *l, Job *job, const DorisBuf *body)
{
	request_answer(l->admin, &job->request, body);
	job->has_request = false;
}

void jobs_waiters(Lead *l, Job *job, ReportVerdict verdict, const char *why)
{
	for (int i = 0; i < job->nwaiters; i++)
		request_verdict(l->admin, &job->waiters[i], verdict, why);
	job->nwaiters = 0;
}

/* ---- the first topology ---- */

void jobs_first_topology(Lead *l)
{
	NodeRow *rows;
	int n;
	DorisError err;
	uint64_t now = clock_mono_ms();
	DorisStatus status = schema_nodes(&l->db, &rows, &n, &err);
	Topology *t;
	Event e;

	if (status != DORIS_OK)
	{
		(void) lead_failed(l, status, &err);
		return;
	}
	for (int i = 0; i < n && l->greeted_at == 0; i++)
		if (!uuid_is_zero(rows[i].home))
			l->greeted_at = now;
	if (l->greeted_at != 0 && place_ready(&l->cluster, rows, n, now - l->greeted_at))
	{
		t = place_first(&l->cluster, rows, n);
		if (t == NULL)
			log_write(LOG_ERROR, "out of memory for the first topology");
		else
		{
			e = event_of("topology", NULL, "the first: %u vnodes, %u groups, %d nodes", t->vnodes,
						 t->groups, n);
			status = lead_publish(l, t, &e, 1, &err);
			if (status != DORIS_OK)
				log_write(LOG_DEBUG, "the first topology was not published: %s", err.message);
		}
	}
	free(rows);
}

/* ---- namespaces ---- */

static void run_namespace(Lead *l, Job *job)
{
	static const char *const kinds[] = {"namespace_created", "namespace_altered",
										"namespace_dropped", "namespace_truncated"};
	const NamespaceChange *change = &job->change;
	DorisError err;
	DorisStatus status;
	Topology *t;
	bool changed;

	if (l->stored == NULL)
	{
		(void) doris_error(&err, DORIS_UNAVAILABLE, "the cluster has no topology yet");
		(void) doris_hint(&err, "It is made once every group has a data node that has started.");
		jobs_refuse(l, job, &err);
		return;
	}
	t = jobs_next(l, &err);
	if (t == NULL)
	{
		jobs_refuse(l, job, &err);
		return;
	}
	status = names_change(t, change, &changed, &err);
	if (status != DORIS_OK || !changed)
		topology_unref(t);
	else
	{
		Event e =
			event_of(kinds[change->verb - NAMESPACE_CREATE], NULL, "\"%s\"", change->def.name);

		status = lead_publish(l, t, &e, 1, &err);
	}
	if (status != DORIS_OK)
		jobs_refuse(l, job, &err);
	else
	{
		DorisBuf body;

		buf_init(&body);
		serve_topology(l->stored, 0, &body);
		heart_await(l->admin, &job->request, &body, l->stored->epoch);
		job->has_request = false;
	}
}

/* ---- topologies from elsewhere ---- */

static void run_alarm(Lead *l, const Job *job)
{
	if (!atomic_exchange(&l->admin->halted, true))
		admin_event(l->admin, "alarm", NULL, "%s: nothing is published any more", job->what);
}

/* Somebody has a newer topology, signed by an admin: the database has lost it, or cannot be asked. */
static void run_topology(Lead *l, Job *job)
{
	Admin *a = l->admin;
	Topology *t = job->topology;
	Topology *mine = admin_topology(a);
	const Topology *base = l->leading ? l->stored : mine;
	bool known = base != NULL && t->epoch <= base->epoch;
	bool foreign = mine != NULL && memcmp(mine->cluster, t->cluster, DORIS_UUID_SIZE) != 0;
	DorisError err;

	topology_unref(mine);
	if (l->have_cluster && memcmp(l->cluster.id, t->cluster, DORIS_UUID_SIZE) != 0)
		foreign = true;
	if (known || foreign)
		return;
	if (!l->leading)
	{
		(void) admin_set_topology(a, topology_ref(t));
		return;
	}
	if (l->stored != NULL && t->term < l->stored->term)
	{
		/* In one history terms grow with epochs: ours goes on from a database that had lost this one. */
		snprintf(job->what, sizeof(job->what),
				 "a topology of epoch %llu exists that was made before the newest one here, %llu",
				 (unsigned long long) t->epoch, (unsigned long long) l->stored->epoch);
		run_alarm(l, job);
		return;
	}
	if (t->term > l->term)
	{
		/* Of a leader after us: serve it, and begin a term above its own. */
		(void) admin_set_topology(a, topology_ref(t));
		(void) doris_error(&err, DORIS_NOT_LEADER, "a topology of the later term %llu exists",
						   (unsigned long long) t->term);
		(void) lead_failed(l, DORIS_NOT_LEADER, &err);
		return;
	}
	if (!atomic_load(&a->halted))
	{
		Event e = event_of("topology_recovered", NULL,
						   "epoch %llu was published, but the schema did not have it",
						   (unsigned long long) t->epoch);
		/* All of it: what the tables of the views say may be of yet another state. */
		DorisStatus status = schema_publish(&l->db, l->term, NULL, t, &e, 1, &err);

		if (status != DORIS_OK)
		{
			(void) lead_failed(l, status, &err);
			return;
		}
		topology_unref(l->stored);
		l->stored = topology_ref(t);
		(void) admin_set_topology(a, topology_ref(t));
	}
}

/* ---- all of them ---- */

static void refuse_idle(Lead *l, Job *job)
{
	DorisError err;

	if (atomic_load(&l->admin->leader))
	{
		(void) doris_error(&err, DORIS_UNAVAILABLE, "admin \"%s\" cannot reach the admin database",
						   l->admin->options.name);
		(void) doris_hint(&err, "Changes of the cluster wait until the database is back.");
	}
	else
	{
		(void) doris_error(&err, DORIS_NOT_LEADER, "admin \"%s\" does not lead",
						   l->admin->options.name);
		(void) doris_hint(&err, "Ask the other admins.");
	}
	jobs_refuse(l, job, &err);
	jobs_waiters(l, job, VERDICT_UNSURE, err.message);
	if (job->kind == JOB_DOWN)
		heart_acquit(l->admin, job->node);
}

void jobs_run(Lead *l, Job *job)
{
	DorisError err;

	if (job->kind == JOB_TOPOLOGY)
		run_topology(l, job);
	else if (!l->leading)
		refuse_idle(l, job);
	else if (job->has_request && job->kind != JOB_DOWN && clock_mono_ms() >= job->request.deadline)
	{
		/* Nobody listens any more: doing it now would surprise them (I7). */
		(void) doris_error(&err, DORIS_TIMEOUT, "the request waited too long at admin \"%s\"",
						   l->admin->options.name);
		jobs_refuse(l, job, &err);
	}
	else
		switch (job->kind)
		{
			case JOB_HELLO:
				judge_hello(l, job);
				break;
			case JOB_NAMESPACE:
				run_namespace(l, job);
				break;
			case JOB_OPERATE:
				operate_run(l, job);
				break;
			case JOB_DOWN:
				judge_down(l, job);
				break;
			case JOB_UP:
				judge_up(l, job);
				break;
			case JOB_SEEN:
				judge_seen(l, job);
				break;
			case JOB_OUTRANKED:
				if (job->term == l->term)
					lead_outranked(l, job->node);
				break;
			case JOB_ALARM:
				run_alarm(l, job);
				break;
			case JOB_TOPOLOGY:
				break;
		}
	job_free(l->admin, job);
}
