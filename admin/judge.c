/*
 * judge.c: nodes that start, fail and return, on the lead thread: what is decided about them is a new topology.
 *
 * Rule *start*: a start is entered only after it was compared with what the node said before. Rule *lease*: a verdict comes
 * here only after the heart thread has let the node's leases run out. The edits are in verdict.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "lead.h"
#include "version.h"

/* The same refusal comes every time the node asks again: one event in a while is enough. */
bool judge_is_news(Lead *l, const char *name, DorisStatus code)
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
	jobs_answer(l, job, &body);
	buf_free(&body);
}

/* A node that is new to the topology enters it. */
static DorisStatus join(Lead *l, const NodeRow *row, DorisError *err)
{
	Topology *t = jobs_next(l, err);
	bool changed;
	bool joined;
	Event e;
	DorisStatus status;

	if (t == NULL)
		return err->code;
	status = place_enter(t, row, &changed, &joined, err);
	if (status != DORIS_OK || !changed)
	{
		topology_unref(t);
		return status;
	}
	e = event_of("node_registered", row->name, "at %s", row->address);
	return lead_publish(l, t, &e, 1, err);
}

/* ---- starts ---- */

/*
 * A start at another address, or of another home: the start before it may still be alive and hold a lease. OK: it is not.
 * UNAVAILABLE: not known yet. DENIED: it answers.
 */
static DorisStatus check_predecessor(Lead *l, const TopoNode *node, const Hello *h, DorisError *err)
{
	const HeartReport *r = reports_of(l, node->id);
	uint64_t now = clock_mono_ms();
	uint64_t lease = admin_lease_ms(l->admin);
	Stranger *s = NULL;

	if (strcmp(node->address, h->address) == 0 && memcmp(node->home, h->home, DORIS_UUID_SIZE) == 0)
		return DORIS_OK; /* a home is locked by one process at a time */
	for (size_t i = 0; i < sizeof(l->strangers) / sizeof(l->strangers[0]) && s == NULL; i++)
		if (l->strangers[i].node == node->id && l->strangers[i].incarnation == h->incarnation)
			s = &l->strangers[i];
	if (s == NULL)
	{
		s = &l->strangers[l->next_stranger++ % (int) (sizeof(l->strangers) / sizeof(*s))];
		*s = (Stranger){.node = node->id, .incarnation = h->incarnation, .since = now};
	}
	if (r != NULL && r->report.incarnation != h->incarnation && r->at_mono > s->since + lease / 2)
		return doris_error(err, DORIS_DENIED,
						   "node \"%s\" is running already, at %s with another home", node->name,
						   node->address);
	/* Whoever led before us may have given it a lease as well: wait for one of ours in any case. */
	if (now < s->since + lease + admin_confirm_ms(l->admin) / 2)
		return doris_error(err, DORIS_UNAVAILABLE,
						   "it is being made sure that node \"%s\" does not run elsewhere, at %s",
						   node->name, node->address);
	return DORIS_OK;
}

/* Does the node lack what it said that it had? why: what is not good about it. */
static bool is_behind(const Lead *l, const TopoNode *node, const NodeRow *row, const Hello *h,
					  char *why, size_t size)
{
	const HeartReport *r = reports_of(l, node->id);
	uint64_t mark = row->mark;
	uint64_t epoch = row->epoch;

	if (memcmp(node->home, h->home, DORIS_UUID_SIZE) != 0)
	{
		snprintf(why, size, "it has a new home");
		return true;
	}
	/* The latest word of the start that is in force, which the database may not have yet. */
	if (r != NULL && reports_current(l, r))
	{
		mark = r->report.mark;
		epoch = r->report.epoch;
	}
	if (h->mark < mark)
		snprintf(why, size, "its data is of mark %llu, it had reported %llu",
				 (unsigned long long) h->mark, (unsigned long long) mark);
	else if (h->epoch < epoch)
		snprintf(why, size, "it knows epoch %llu, it had acknowledged %llu",
				 (unsigned long long) h->epoch, (unsigned long long) epoch);
	else if (l->stored->sync_interval && !h->clean) /* the map's word: it is what nodes go by */
		snprintf(why, size, "it was not stopped cleanly, and sync is 'interval'");
	else
		return false;
	return true;
}

static Event start_event(const TopoNode *node, const NodeRow *row, const StartFacts *f,
						 StartResult result, const VerdictCount *n, const char *why)
{
	const char *kind =
		memcmp(node->home, f->home, DORIS_UUID_SIZE) != 0 ? "node_new_home" : "node_behind";

	if (result == START_HELD_BACK)
		return event_of(
			kind, row->name,
			"%s, and it holds the last complete copy of %u vnodes, %u for one: it stays "
			"down. Restore its disk, or accept the loss: doris_recover('%s', "
			"accept_loss => true)",
			why, n->last, n->last_vnode, row->name);
	if (!f->behind)
		return event_of("node_started", row->name, "at %s", f->address);
	return event_of(kind, row->name, "%s: %u of its copies have to be made complete again%s", why,
					n->incomplete,
					n->last > 0 ? "; what it has of the others is all there is, as accepted" : "");
}

/* A start of a node that the topology knows. UNAVAILABLE: it has to stay down. */
static DorisStatus start(Lead *l, const TopoNode *node, const NodeRow *row, const StartFacts *f,
						 const char *why, DorisError *err)
{
	Topology *t = jobs_next(l, err);
	VerdictCount n;
	bool changed;
	StartResult result;
	DorisStatus status = DORIS_OK;
	Event events[2];
	int nevents = 1;

	if (t == NULL)
		return err->code;
	result = verdict_start(t, node->id, f, l->stored->epoch + 1, &changed, &n);
	if (result == START_KNOWN)
	{
		topology_unref(t);
		return DORIS_OK;
	}
	events[0] = start_event(node, row, f, result, &n, why);
	if (result == START_ENTERED && node->condition == NODE_UP && n.incomplete > 0)
		events[nevents++] = event_of("node_recovering", row->name, "%u copies", n.incomplete);
	if (changed)
	{
		FAULT_POINT("admin-starting");
		status = lead_publish(l, t, events, nevents, err);
		FAULT_POINT("admin-started");
	}
	else
	{
		if (judge_is_news(l, row->name, DORIS_STALE_EPOCH))
			admin_event(l->admin, events[0].kind, row->name, "%s", events[0].detail);
		topology_unref(t);
	}
	if (status == DORIS_OK && result == START_HELD_BACK)
	{
		(void) doris_error(err, DORIS_UNAVAILABLE,
						   "node \"%s\" is not let in: %s, and it holds the last complete copy of "
						   "vnode %u",
						   row->name, why, n.last_vnode);
		return doris_hint(err,
						  "Restore its disk, or call doris_recover(node, accept_loss => true).");
	}
	return status;
}

static DorisStatus greet(Lead *l, Job *job, uint32_t *id, DorisError *err)
{
	const Hello *h = &job->hello;
	const TopoNode *node;
	StartFacts f = {.incarnation = h->incarnation};
	char why[160] = "";
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
	*id = row.id;
	node = l->stored != NULL ? topology_node(l->stored, row.id) : NULL;
	if (node != NULL && !uuid_is_zero(node->home))
	{
		memcpy(f.home, h->home, DORIS_UUID_SIZE);
		snprintf(f.address, sizeof(f.address), "%s", h->address);
		f.accept_loss = row.accept_loss;
		status = check_predecessor(l, node, h, err);
		if (status != DORIS_OK)
			return status;
		f.behind = is_behind(l, node, &row, h, why, sizeof(why));
		return start(l, node, &row, &f, why, err);
	}
	memcpy(row.home, h->home, DORIS_UUID_SIZE);
	row.incarnation = h->incarnation;
	snprintf(row.address, sizeof(row.address), "%s", h->address);
	if (l->stored != NULL)
		return join(l, &row, err);
	status = schema_greet(&l->db, l->term, &row, h->build, err);
	if (status != DORIS_OK)
		return lead_failed(l, status, err);
	l->next_first = 0;
	return DORIS_OK;
}

void judge_hello(Lead *l, Job *job)
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
		if (judge_is_news(l, job->hello.name, status))
			admin_event(l->admin, "node_refused", job->hello.name, "%s", err.message);
	}
	else if (status == DORIS_UNKNOWN)
		err.code = DORIS_UNAVAILABLE; /* it greets again, and greetings may be repeated */
	jobs_refuse(l, job, &err);
}

/*
 * A start that answers, but whose HELLO does not come. How it stopped, and what it had when it began, nobody has said: its
 * mark may have grown since. So it counts as behind.
 */
void judge_seen(Lead *l, const Job *job)
{
	const TopoNode *node = l->stored != NULL ? topology_node(l->stored, job->node) : NULL;
	StartFacts f = {.incarnation = job->incarnation, .behind = true};
	NodeRow row;
	bool found;
	DorisError err;
	DorisStatus status;

	if (node == NULL || node->incarnation == job->incarnation || node->condition == NODE_DEAD)
		return;
	status = schema_node(&l->db, node->name, &row, &found, &err);
	if (status != DORIS_OK)
	{
		(void) lead_failed(l, status, &err);
		return;
	}
	if (!found)
		return;
	memcpy(f.home, node->home, DORIS_UUID_SIZE);
	snprintf(f.address, sizeof(f.address), "%s", node->address);
	f.accept_loss = row.accept_loss;
	if (start(l, node, &row, &f, "it was started, and does not say with what", &err) != DORIS_OK)
		log_write(LOG_DEBUG, "the start of node %u is not entered: %s", job->node, err.message);
}

/* ---- verdicts ---- */

static Event failed_event(const Job *job, const TopoNode *node, const VerdictCount *n)
{
	const char *kind = job->by_operator ? "node_taken_out" : "node_failed";
	char since[64] = "";

	if (job->for_ms > 0 && !job->by_operator)
		snprintf(since, sizeof(since), "; has not answered for %llu.%llu s",
				 (unsigned long long) (job->for_ms / 1000),
				 (unsigned long long) (job->for_ms / 100 % 10));
	if (n->last > 0)
		return event_of(kind, node->name,
						"%s%s; %u copies are incomplete; %u vnodes wait for it, %u for one: it has "
						"their last complete copy",
						job->what, since, n->incomplete, n->last, n->last_vnode);
	return event_of(kind, node->name, "%s%s; %u copies are incomplete", job->what, since,
					n->incomplete);
}

/* An operator may not take the last copy away. False: refused. */
static bool operator_may(Lead *l, Job *job, const TopoNode *node)
{
	DorisError err;
	uint32_t vnode;

	if (!job->by_operator || place_may_fail(l->stored, node->id, &vnode))
		return true;
	(void) doris_error(&err, DORIS_CONFLICT, "node \"%s\" holds the last complete copy of vnode %u",
					   node->name, vnode);
	(void) doris_hint(&err, "Wait until the other copies are complete; see doris_vnodes.");
	if (schema_hold(&l->db, l->term, node->id, false, false, &err) != DORIS_OK)
		(void) lead_failed(l, err.code, &err);
	jobs_refuse(l, job, &err);
	return false;
}

void judge_down(Lead *l, Job *job)
{
	Admin *a = l->admin;
	const TopoNode *node = l->stored != NULL ? topology_node(l->stored, job->node) : NULL;
	VerdictCount n;
	DorisError err;
	DorisStatus status;
	Topology *t;
	Silent silent;
	uint32_t *ids;
	Event e;

	if (node == NULL || node->condition != NODE_UP)
	{
		jobs_waiters(l, job, VERDICT_FAILED, "the node is judged failed");
		operate_answer(l, job, 0);
		return;
	}
	if (!operator_may(l, job, node))
	{
		jobs_waiters(l, job, VERDICT_HEALTHY, "the admin reaches the node");
		heart_acquit(a, job->node);
		return;
	}
	t = jobs_next(l, &err);
	if (t == NULL)
	{
		jobs_refuse(l, job, &err);
		jobs_waiters(l, job, VERDICT_UNSURE, err.message);
		heart_acquit(a, job->node);
		return;
	}
	ids = heart_silent(a, &silent.n);
	silent.ids = ids;
	verdict_down(t, node->id, l->stored->epoch + 1, &silent, &n);
	free(ids);
	e = failed_event(job, node, &n);
	FAULT_POINT("admin-judging");
	status = lead_publish(l, t, &e, 1, &err);
	FAULT_POINT("admin-judged");
	if (status == DORIS_OK)
	{
		admin_count(a, COUNT_FAILED);
		jobs_waiters(l, job, VERDICT_FAILED, "the node is judged failed");
		operate_answer(l, job, 0);
		if (job->by_operator)
			l->next_chores = 0; /* a plan may have waited for it */
		return;
	}
	jobs_waiters(l, job, VERDICT_UNSURE, err.message);
	jobs_refuse(l, job, &err);
	/*
	 * Rule *lease*: UNKNOWN may stand in the database, for the next leader to publish. The node gets no leases from this one
	 * until it has led anew.
	 */
	if (status != DORIS_UNKNOWN)
		heart_acquit(a, job->node);
}

DorisStatus judge_let_in(Lead *l, uint32_t id, const char *why, DorisError *err)
{
	const TopoNode *node = topology_node(l->stored, id);
	Topology *t = jobs_next(l, err);
	VerdictCount n;
	Silent silent;
	uint32_t *ids;
	Event e;
	DorisStatus status;

	if (t == NULL)
		return err->code;
	ids = heart_silent(l->admin, &silent.n);
	silent.ids = ids;
	verdict_up(t, id, l->stored->epoch + 1, &silent, &n);
	free(ids);
	if (n.incomplete > 0)
		e = event_of("node_recovering", node->name, "%s; %u copies have to be made complete", why,
					 n.incomplete);
	else
		e = event_of("node_ok", node->name, "%s", why);
	FAULT_POINT("admin-letting-in");
	status = lead_publish(l, t, &e, 1, err);
	FAULT_POINT("admin-let-in");
	if (status == DORIS_OK)
		admin_count(l->admin, COUNT_RECOVERED);
	return status;
}

/* How long a node that has failed so often lately has to answer before it is let in. */
static uint64_t patience_ms(int failures)
{
	uint64_t ms = LEAD_FLAP_MS;

	if (failures <= LEAD_FLAPS)
		return 0;
	for (int i = LEAD_FLAPS + 1; i < failures && ms < LEAD_FLAP_MAX_MS; i++)
		ms *= 2;
	return ms < LEAD_FLAP_MAX_MS ? ms : LEAD_FLAP_MAX_MS;
}

void judge_up(Lead *l, const Job *job)
{
	const TopoNode *node = l->stored != NULL ? topology_node(l->stored, job->node) : NULL;
	NodeRow row;
	bool found;
	int failures = 0;
	DorisError err;
	DorisStatus status;

	/* Rule *start*: what answers must be the start that was compared. */
	if (node == NULL || node->condition != NODE_DOWN || node->incarnation != job->incarnation)
		return;
	status = schema_node(&l->db, node->name, &row, &found, &err);
	if (status == DORIS_OK && found && !row.held)
		status = schema_failures(&l->db, node->name, &failures, &err);
	if (status != DORIS_OK)
	{
		(void) lead_failed(l, status, &err);
		return;
	}
	if (!found || row.held)
		return;
	/* Where vnodes wait for it, it is better there for a moment than not at all. */
	if (verdict_owned(l->stored, node->id) == verdict_incomplete(l->stored, node->id) &&
		job->for_ms < patience_ms(failures))
	{
		if (judge_is_news(l, node->name, DORIS_LIMIT))
			admin_event(
				l->admin, "node_waits", node->name,
				"answers again, but has failed %d times in two minutes: it is let in when it "
				"has answered for %llu s",
				failures, (unsigned long long) (patience_ms(failures) / 1000));
		return;
	}
	if (judge_let_in(l, node->id, "answers again", &err) != DORIS_OK)
		log_write(LOG_DEBUG, "node %u is not let in yet: %s", job->node, err.message);
}
