/*
 * jobs.c: what the lead thread does for others: greetings, verdicts, namespaces, the first topology.
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

static DorisStatus no_memory(DorisError *err)
{
	return doris_error(err, DORIS_NO_MEMORY, "out of memory for a topology");
}

static void refuse(Lead *l, Job *job, const DorisError *err)
{
	if (!job->has_request)
		return;
	request_refuse(l->admin, &job->request, err);
	job->has_request = false;
}

static void answer(Lead *l, Job *job, const DorisBuf *body)
{
	request_answer(l->admin, &job->request, body);
	job->has_request = false;
}

static void answer_waiters(Lead *l, Job *job, ReportVerdict verdict, const char *why)
{
	for (int i = 0; i < job->nwaiters; i++)
		request_verdict(l->admin, &job->waiters[i], verdict, why);
	job->nwaiters = 0;
}

/* ---- greetings ---- */

/* The same refusal comes every time the node asks again: one event in a while is enough. */
static bool refusal_is_new(Lead *l, const char *name, DorisStatus code)
{
	uint64_t now = clock_mono_ms();
	Refused *slot = NULL;

	for (int i = 0; i < LEAD_REFUSED_KEPT && slot == NULL; i++)
		if (l->refused[i].code == code && strcmp(l->refused[i].name, name) == 0)
			slot = &l->refused[i];
	if (slot != NULL && now < slot->at + LEAD_REFUSED_MS)
		return false;
	if (slot == NULL)
	{
		slot = &l->refused[l->next_refused];
		l->next_refused = (l->next_refused + 1) % LEAD_REFUSED_KEPT;
	}
	snprintf(slot->name, sizeof(slot->name), "%s", name);
	slot->code = code;
	slot->at = now;
	return true;
}

static void welcome(Lead *l, Job *job, uint32_t node)
{
	Welcome w = {.node = node};
	DorisBuf body;

	memcpy(w.cluster, l->cluster.id, DORIS_UUID_SIZE);
	/* A node that has a topology gets ours after a heartbeat has shown that its own is of the same history. */
	if (l->stored != NULL && job->hello.epoch == 0)
		w.topology = (DorisBytes){l->stored->encoded, l->stored->encoded_len};
	buf_init(&body);
	reply_put_ok(&body);
	welcome_encode(&body, &w);
	answer(l, job, &body);
	buf_free(&body);
}

/* A welcome node enters the topology, or what the topology says of it is brought up to date. */
static DorisStatus enter(Lead *l, const NodeRow *row, DorisError *err)
{
	Topology *t = topology_clone(l->stored);
	bool changed;
	bool joined;
	Event e;
	DorisStatus status;

	if (t == NULL)
		return no_memory(err);
	status = place_enter(t, row, &changed, &joined, err);
	if (status != DORIS_OK || !changed)
	{
		topology_unref(t);
		return status;
	}
	e = event_of(joined ? "node_registered" : "node_started", row->name, "at %s", row->address);
	return lead_publish(l, t, &e, 1, err);
}

static DorisStatus greet(Lead *l, Job *job, uint32_t *node, DorisError *err)
{
	const Hello *h = &job->hello;
	NodeRow row;
	bool found;
	DorisStatus status;

	if (!l->have_cluster)
	{
		(void) doris_error(err, DORIS_NOT_FOUND, "there is no cluster yet for node \"%s\"",
						   h->name);
		return doris_hint(err, "Call doris_create_cluster() and doris_add_node().");
	}
	status = schema_node(&l->db, h->name, &row, &found, err);
	if (status != DORIS_OK)
		return lead_failed(l, status, err);
	status = place_greet(l->cluster.id, found ? &row : NULL, h, err);
	if (status != DORIS_OK)
		return status;
	if (!l->admin->keys.present && !transport_is_loopback(h->address))
	{
		(void) doris_error(err, DORIS_DENIED,
						   "node \"%s\" listens on %s, but the cluster has no key", h->name,
						   h->address);
		return doris_hint(err, "Without a key file every process listens on loopback only.");
	}
	memcpy(row.home, h->home, DORIS_UUID_SIZE);
	row.incarnation = h->incarnation;
	snprintf(row.address, sizeof(row.address), "%s", h->address);
	*node = row.id;
	if (l->stored != NULL)
		return enter(l, &row, err);
	status = schema_greet(&l->db, l->term, &row, h->build, err);
	if (status != DORIS_OK)
		return lead_failed(l, status, err);
	l->next_first = 0;
	return DORIS_OK;
}

static void run_hello(Lead *l, Job *job)
{
	DorisError err;
	uint32_t node = 0;
	DorisStatus status = greet(l, job, &node, &err);

	if (status == DORIS_OK)
	{
		welcome(l, job, node);
		return;
	}
	if (status == DORIS_DENIED || status == DORIS_BAD_ARGUMENT)
	{
		admin_count(l->admin, COUNT_REFUSED);
		if (refusal_is_new(l, job->hello.name, status))
			admin_event(l->admin, "node_refused", job->hello.name, "%s", err.message);
	}
	else if (status == DORIS_UNKNOWN)
		err.code = DORIS_UNAVAILABLE; /* it greets again, and greetings may be repeated */
	refuse(l, job, &err);
}

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
		refuse(l, job, &err);
		return;
	}
	t = topology_clone(l->stored);
	if (t == NULL)
	{
		(void) no_memory(&err);
		refuse(l, job, &err);
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
		refuse(l, job, &err);
	else
	{
		DorisBuf body;

		buf_init(&body);
		serve_topology(l->stored, 0, &body);
		heart_await(l->admin, &job->request, &body, l->stored->epoch);
		job->has_request = false;
	}
}

/* ---- verdicts ---- */

static TopoNode *edit_node(Topology *t, uint32_t id)
{
	for (uint32_t i = 0; i < t->nnodes; i++)
		if (t->nodes[i].id == id)
			return &t->nodes[i];
	return NULL;
}

static void run_down(Lead *l, Job *job)
{
	Admin *a = l->admin;
	const TopoNode *node = l->stored != NULL ? topology_node(l->stored, job->node) : NULL;
	DorisError err;
	uint32_t vnode;
	Topology *t;
	Event e;

	if (node == NULL || node->condition != NODE_UP)
	{
		answer_waiters(l, job, VERDICT_FAILED, "the node is judged failed");
		return;
	}
	if (!place_may_fail(l->stored, node->id, &vnode))
	{
		/* Rule *last copy*. */
		if (!job->again)
			admin_event(a, "node_kept", node->name,
						"does not answer (%s), but holds the last complete copy of vnode %u",
						job->what, vnode);
		answer_waiters(l, job, VERDICT_UNSURE,
					   "the node does not answer, but holds the last complete copy of a vnode");
		return;
	}
	t = topology_clone(l->stored);
	if (t == NULL)
	{
		log_write(LOG_ERROR, "out of memory for a topology");
		return;
	}
	/* Placement and completeness stay, and changed(v) with them: requests in flight are not voided. */
	edit_node(t, node->id)->condition = NODE_DOWN;
	e = event_of("node_failed", node->name, "%s", job->what);
	if (lead_publish(l, t, &e, 1, &err) == DORIS_OK)
	{
		admin_count(a, COUNT_FAILED);
		answer_waiters(l, job, VERDICT_FAILED, "the node is judged failed");
	}
	else
		answer_waiters(l, job, VERDICT_UNSURE, err.message);
}

static void run_up(Lead *l, const Job *job)
{
	const TopoNode *node = l->stored != NULL ? topology_node(l->stored, job->node) : NULL;
	DorisError err;
	Topology *t;
	Event e;

	if (node == NULL || node->condition != NODE_DOWN)
		return;
	t = topology_clone(l->stored);
	if (t == NULL)
	{
		log_write(LOG_ERROR, "out of memory for a topology");
		return;
	}
	edit_node(t, node->id)->condition = NODE_UP;
	e = event_of("node_ok", node->name, "answers again");
	if (lead_publish(l, t, &e, 1, &err) == DORIS_OK)
		admin_count(l->admin, COUNT_RECOVERED);
}

/* A start whose HELLO nobody could enter, because the database was away. */
static void run_seen(Lead *l, const Job *job)
{
	const TopoNode *node = l->stored != NULL ? topology_node(l->stored, job->node) : NULL;
	DorisError err;
	Topology *t;
	Event e;

	if (node == NULL || node->incarnation == job->incarnation)
		return;
	t = topology_clone(l->stored);
	if (t == NULL)
	{
		log_write(LOG_ERROR, "out of memory for a topology");
		return;
	}
	edit_node(t, node->id)->incarnation = job->incarnation;
	e = event_of("node_started", node->name, "at %s", node->address);
	if (lead_publish(l, t, &e, 1, &err) != DORIS_OK)
		log_write(LOG_DEBUG, "the start of node %u is not entered yet: %s", job->node, err.message);
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
		DorisStatus status = schema_publish(&l->db, l->term, l->stored, t, &e, 1, &err);

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
	refuse(l, job, &err);
	answer_waiters(l, job, VERDICT_UNSURE, err.message);
}

void jobs_run(Lead *l, Job *job)
{
	DorisError err;

	if (job->kind == JOB_TOPOLOGY)
		run_topology(l, job);
	else if (!l->leading)
		refuse_idle(l, job);
	else if (job->has_request && clock_mono_ms() >= job->request.deadline)
	{
		/* Nobody listens any more: doing it now would surprise them (I7). */
		(void) doris_error(&err, DORIS_TIMEOUT, "the request waited too long at admin \"%s\"",
						   l->admin->options.name);
		refuse(l, job, &err);
	}
	else
		switch (job->kind)
		{
			case JOB_HELLO:
				run_hello(l, job);
				break;
			case JOB_NAMESPACE:
				run_namespace(l, job);
				break;
			case JOB_DOWN:
				run_down(l, job);
				break;
			case JOB_UP:
				run_up(l, job);
				break;
			case JOB_SEEN:
				run_seen(l, job);
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
