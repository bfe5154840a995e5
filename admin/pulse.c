/*
 * pulse.c: watching one node: heartbeats, the probe before a verdict, handing it topologies.
 *
 * Slow is not dead: silence counts only after `misses` heartbeats and a probe on a fresh connection. A killed process
 * is quick all the same, because its connection breaks at once and a new one is refused.
 * The verdict itself is the lead thread's: it is a new topology.
 */
#include "pulse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "version.h"

Pulse *pulse_new(const TopoNode *node)
{
	Pulse *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->node = *node;
	talk_init(&p->beat);
	talk_init(&p->probe);
	talk_init(&p->put);
	return p;
}

static void answer_waiters(Admin *a, Pulse *p, ReportVerdict verdict, const char *why)
{
	for (int i = 0; i < p->nwaiters; i++)
		request_verdict(a, &p->waiters[i], verdict, why);
	free(p->waiters);
	p->waiters = NULL;
	p->nwaiters = 0;
}

static void refuse_operator(Admin *a, Pulse *p)
{
	DorisError err;

	if (!p->has_operator)
		return;
	p->has_operator = false;
	(void) doris_error(&err, DORIS_NOT_LEADER, "admin \"%s\" does not lead any more",
					   a->options.name);
	request_refuse(a, &p->operator_request, &err);
}

void pulse_reset(Admin *a, Pulse *p)
{
	talk_drop(&p->beat);
	talk_drop(&p->probe);
	talk_drop(&p->put);
	p->next_beat = p->next_probe = p->next_down = p->next_up = p->next_seen = p->next_put = 0;
	p->misses = p->good = p->probe_tries = 0;
	p->probing = p->down_asked = p->heard = p->alarmed = p->foreign_told = false;
	p->epoch = 0;
	p->answered_at = p->report_at = p->report_clock = p->report_incarnation = 0;
	p->echoed_at = p->good_since = p->judge_at = p->next_told = 0;
	p->condemned = p->by_operator = p->sentenced = false;
	refuse_operator(a, p);
	answer_waiters(a, p, VERDICT_UNSURE, "this admin does not lead any more");
}

void pulse_free(Admin *a, Pulse *p)
{
	answer_waiters(a, p, VERDICT_UNSURE, "the node is not in the topology any more");
	refuse_operator(a, p);
	talk_free(&p->beat);
	talk_free(&p->probe);
	talk_free(&p->put);
	free(p);
}

bool pulse_busy(const Pulse *p)
{
	return p->probing || (p->condemned && !p->sentenced) || p->beat.state == CALL_CONNECTING ||
		   p->put.state == CALL_CONNECTING;
}

/*
 * Rule *lease*: only a leader that knew a moment ago that it leads, and has asked all nodes for the newest epoch, gives a
 * lease; only to a node that is up and answers, in the start that the topology names, and about which no verdict is under
 * way. A probe gives none: it would put off the verdict that it may lead to.
 */
static bool may_lease(const Heart *h, const Pulse *p, uint64_t now)
{
	Admin *a = h->admin;

	return p->node.condition == NODE_UP && !p->condemned && p->misses == 0 &&
		   p->report_clock != 0 && p->report_incarnation == p->node.incarnation &&
		   atomic_load(&a->settled) == h->term && !atomic_load(&a->halted) &&
		   now < atomic_load(&a->confirmed) + admin_confirm_ms(a);
}

static DorisStatus send_heartbeat(Heart *h, Pulse *p, Talk *c, DorisError *err)
{
	Heartbeat m = {0};

	m.term = h->term;
	m.epoch = h->topology->epoch;
	memcpy(m.hash, h->topology->hash, DORIS_HASH_SIZE);
	memcpy(m.cluster, h->topology->cluster, DORIS_UUID_SIZE);
	m.node = p->node.id;
	m.move_rate_mb = atomic_load(&h->admin->move_rate_mb);
	if (c == &p->beat && may_lease(h, p, clock_mono_ms()))
	{
		m.incarnation = p->report_incarnation;
		m.echo_ms = p->report_clock;
		m.lease_ms = (uint32_t) admin_lease_ms(h->admin);
		p->echoed_at = p->report_at;
	}
	buf_reset(&h->beat_head);
	heartbeat_encode(&h->beat_head, &m);
	return talk_start(h->admin, c, p->node.address, MSG_HEARTBEAT, &h->beat_head,
					  h->admin->options.heartbeat_ms, err);
}

/* Rule *publish*: two histories of one epoch, the newest or one before it, stop everything. */
static void compare_epochs(Heart *h, Pulse *p, const NodeReport *r)
{
	Admin *a = h->admin;

	if (r->epoch > h->topology->epoch && h->ask_next[0] == '\0')
		snprintf(h->ask_next, sizeof(h->ask_next), "%s", p->node.address);
	if (!p->alarmed && admin_hash_differs(a, r->epoch, r->hash))
	{
		Job *job = job_new(JOB_ALARM);

		p->alarmed = true;
		if (job == NULL)
			return;
		job->node = p->node.id;
		snprintf(job->what, sizeof(job->what), "node \"%s\" has another topology of epoch %llu",
				 p->node.name, (unsigned long long) r->epoch);
		job_post(a, job);
	}
}

static Job *node_job(const Heart *h, const Pulse *p, JobKind kind)
{
	Job *job = job_new(kind);

	if (job == NULL)
		return NULL;
	job->node = p->node.id;
	job->term = h->term;
	return job;
}

/* A start that the topology does not name: lead has to compare it (rule *start*). */
static void see_start(Heart *h, Pulse *p, const NodeReport *report, uint64_t now)
{
	if (report->incarnation == p->node.incarnation)
		p->next_seen = 0;
	else if (now >= p->next_seen)
	{
		/* Its HELLO is perhaps on its way: give it the time. */
		Job *job = p->next_seen != 0 ? node_job(h, p, JOB_SEEN) : NULL;

		if (job != NULL)
		{
			job->incarnation = report->incarnation;
			job_post(h->admin, job);
		}
		p->next_seen = now + PULSE_SEEN_MS;
	}
}

static void take_report(Heart *h, Pulse *p, NodeReport *report, uint64_t now)
{
	p->report_at = now;
	p->report_clock = report->clock_ms;
	p->report_incarnation = report->incarnation;
	compare_epochs(h, p, report);
	see_start(h, p, report, now);
	if (p->node.condition == NODE_UP && (report->recovering > 0 || report->nready > 0) &&
		p->next_beat > now + PULSE_RECOVER_MS)
		p->next_beat = now + PULSE_RECOVER_MS;
	heart_keep_report(h, p->node.id, report);
}

/* The node has answered properly. report NULL: without a report (it is behind). */
static void alive(Heart *h, Pulse *p, NodeReport *report, uint64_t epoch, uint64_t now)
{
	p->misses = 0;
	p->down_asked = false;
	p->heard = true;
	p->epoch = epoch;
	p->answered_at = now;
	if (report != NULL)
		take_report(h, p, report, now);
	if (p->condemned && !p->sentenced && !p->by_operator)
	{
		p->condemned = false;
		answer_waiters(h->admin, p, VERDICT_HEALTHY, "the admin reaches the node again");
	}
	if (p->node.condition != NODE_DOWN)
	{
		p->good = 0;
		return;
	}
	if (p->good++ == 0)
		p->good_since = now;
	if (p->good == 1)
		p->next_beat = now + PULSE_TICK_MS;
	else if (now >= p->next_up && p->report_incarnation == p->node.incarnation)
	{
		Job *job = node_job(h, p, JOB_UP);

		p->next_up = now + PULSE_AGAIN_MS;
		if (job == NULL)
			return;
		job->incarnation = p->report_incarnation;
		job->for_ms = now - p->good_since;
		job_post(h->admin, job);
	}
}

static void missed(Heart *h, Pulse *p, DorisStatus status, const char *why, bool refused)
{
	p->good = 0;
	if (status == DORIS_NOT_LEADER)
		return; /* it is not the node that is in trouble */
	p->misses++;
	admin_count(h->admin, COUNT_MISSED_HEARTBEATS);
	/* A broken connection needs no patience: the probe tells a restart or a hiccup from a death. */
	if (refused && p->misses < h->admin->options.misses)
		p->misses = h->admin->options.misses;
	snprintf(p->trouble, sizeof(p->trouble), "%.*s", (int) sizeof(p->trouble) - 1, why);
}

/* What a heartbeat's reply says: OK and filled, or why it does not count. */
static DorisStatus read_beat(Heart *h, Pulse *p, DorisBytes body, NodeReport *report,
							 bool *has_report, DorisError *err)
{
	DorisCursor c = cursor_of(body.data, body.len);
	DorisStatus status = reply_read_status(&c, err);

	*has_report = false;
	if (status == DORIS_BEHIND)
		return DORIS_OK; /* alive, and about to be handed our topology */
	if (status == DORIS_NOT_LEADER)
	{
		/* Alive, but has seen a later term: of another leader, or of a past that the database has lost. */
		uint64_t now = clock_mono_ms();

		if (now >= p->next_outranked)
		{
			Job *job = node_job(h, p, JOB_OUTRANKED);

			p->next_outranked = now + PULSE_AGAIN_MS;
			if (job != NULL)
				job_post(h->admin, job);
		}
		return status;
	}
	if (status == DORIS_OK)
		status = node_report_decode(&c, report, err);
	if (status != DORIS_OK)
		return status;
	if (memcmp(report->home, p->node.home, DORIS_UUID_SIZE) != 0)
	{
		if (!p->foreign_told)
			admin_event(h->admin, "node_refused", p->node.name,
						"another home answers at %s: its data is not there", p->node.address);
		p->foreign_told = true;
		node_report_free(report);
		return doris_error(err, DORIS_DENIED, "another home answers at %s", p->node.address);
	}
	for (char *b = report->build; *b != '\0'; b++)
		if ((unsigned char) *b < ' ' || (unsigned char) *b > '~')
			*b = '?';
	p->foreign_told = false;
	*has_report = true;
	return DORIS_OK;
}

static void step_beat(Heart *h, Pulse *p, uint64_t now)
{
	Admin *a = h->admin;
	DorisError err;
	DorisStatus status;

	if (p->beat.state == CALL_IDLE && talk_lost(&p->beat))
	{
		talk_drop(&p->beat);
		if (p->node.condition == NODE_UP)
			missed(h, p, DORIS_UNREACHABLE, "it dropped the connection", true);
	}
	if (p->beat.state == CALL_IDLE)
	{
		if (now < p->next_beat)
			return;
		p->next_beat = now + (uint64_t) a->options.heartbeat_ms;
		admin_count(a, COUNT_HEARTBEATS);
		status = send_heartbeat(h, p, &p->beat, &err);
		if (status != DORIS_OK)
			missed(h, p, status, err.message, false);
	}
	if (p->beat.state != CALL_IDLE)
	{
		Envelope e;
		DorisBytes body;
		NodeReport report;
		bool has_report;

		status = talk_step(a, &p->beat, &e, &body, &err);
		if (status == DORIS_TIMEOUT)
			return;
		if (status == DORIS_OK)
			status = read_beat(h, p, body, &report, &has_report, &err);
		if (status == DORIS_OK)
			alive(h, p, has_report ? &report : NULL, has_report ? report.epoch : e.epoch, now);
		else
			missed(h, p, status, err.message, p->beat.refused);
	}
}

/* No leases from here on; the verdict follows when the last one is over (rule *lease*). */
static void condemn(Heart *h, Pulse *p)
{
	uint64_t over = p->echoed_at > 0 ? p->echoed_at + admin_lease_ms(h->admin) + PULSE_CLOCK_MS : 0;

	p->condemned = true;
	p->judge_at = over > h->judge_after ? over : h->judge_after;
}

/* The probe has failed. */
static void ask_verdict(Heart *h, Pulse *p, uint64_t now)
{
	Admin *a = h->admin;

	p->probing = false;
	p->next_down = now + PULSE_AGAIN_MS;
	if (!atomic_load(&a->database_up))
	{
		answer_waiters(a, p, VERDICT_UNSURE,
					   "the node does not answer, but the admin database is away");
		return;
	}
	condemn(h, p);
}

/* All leases are over: ask lead for the verdict. */
static void step_verdict(Heart *h, Pulse *p, uint64_t now)
{
	Job *job;

	/* An operator's word about a node that is down meanwhile is for lead to answer. */
	if (p->node.condition == NODE_UP ? !p->condemned || p->sentenced || now < p->judge_at
									 : !p->has_operator)
		return;
	job = node_job(h, p, JOB_DOWN);
	if (job == NULL)
		return;
	job->again = p->down_asked;
	job->by_operator = p->by_operator;
	job->for_ms = p->answered_at > 0 ? now - p->answered_at : 0;
	snprintf(job->what, sizeof(job->what), "%s%s%s", p->trouble,
			 p->nwaiters > 0 ? "; reported by " : "", p->nwaiters > 0 ? p->reporter : "");
	job->waiters = p->waiters;
	job->nwaiters = p->nwaiters;
	p->waiters = NULL;
	p->nwaiters = 0;
	if (p->has_operator)
	{
		job->has_request = true;
		job->request = p->operator_request;
		p->has_operator = false;
	}
	p->down_asked = true;
	p->sentenced = true;
	job_post(h->admin, job);
}

void pulse_fail(Heart *h, Pulse *p, Request *r)
{
	if (r != NULL)
	{
		refuse_operator(h->admin, p);
		p->operator_request = *r;
		p->has_operator = true;
	}
	p->by_operator = true;
	if (!p->condemned)
		condemn(h, p);
	p->probing = false;
	talk_drop(&p->probe);
	snprintf(p->trouble, sizeof(p->trouble), "an operator took it out");
}

void pulse_acquit(Pulse *p, uint64_t now)
{
	p->condemned = p->by_operator = p->has_operator;
	p->sentenced = false;
	p->next_down = now + PULSE_AGAIN_MS;
}

void pulse_follow(Pulse *p, const TopoNode *node)
{
	if (p->node.condition != node->condition)
	{
		p->good = p->misses = 0;
		p->condemned = p->sentenced = p->by_operator = false;
		p->next_up = 0;
	}
	/* A start that was just entered: it waits for the topology that says so, on new connections. */
	if (p->node.incarnation != node->incarnation)
	{
		talk_drop(&p->beat);
		talk_drop(&p->put);
		p->next_put = 0;
		p->misses = 0;
	}
	if (p->node.condition != node->condition || p->node.incarnation != node->incarnation)
		p->next_beat = 0;
	p->node = *node;
}

static void probe_failed(Heart *h, Pulse *p, const char *why, bool refused, uint64_t now)
{
	bool patience = p->misses < h->admin->options.misses; /* only a client complains so far */

	snprintf(p->trouble, sizeof(p->trouble), "%.*s", (int) sizeof(p->trouble) - 1, why);
	p->probe_tries++;
	if (p->probe_tries < (refused ? PULSE_REFUSED_TRIES : patience ? 2 : 1))
		p->next_probe = now + (refused ? PULSE_REFUSED_PAUSE_MS : 0);
	else
		ask_verdict(h, p, now);
}

static void step_probe(Heart *h, Pulse *p, uint64_t now)
{
	Admin *a = h->admin;
	DorisError err;
	DorisStatus status;
	Envelope e;
	DorisBytes body;
	NodeReport report;
	bool has_report;

	if (p->condemned)
		return;
	if (!p->probing)
	{
		bool suspect = p->node.condition == NODE_UP && p->misses >= a->options.misses;

		if ((!suspect && p->nwaiters == 0) || now < p->next_down)
			return;
		p->probing = true;
		p->probe_tries = 0;
		p->next_probe = now;
	}
	if (p->probe.state == CALL_IDLE)
	{
		if (now < p->next_probe)
			return;
		talk_drop(&p->probe); /* a fresh channel, whatever became of the last */
		admin_count(a, COUNT_PROBES);
		status = send_heartbeat(h, p, &p->probe, &err);
		if (status != DORIS_OK)
		{
			probe_failed(h, p, err.message, false, now);
			return;
		}
	}
	status = talk_step(a, &p->probe, &e, &body, &err);
	if (status == DORIS_TIMEOUT)
		return;
	if (status == DORIS_OK)
		status = read_beat(h, p, body, &report, &has_report, &err);
	if (status != DORIS_OK && status != DORIS_NOT_LEADER)
	{
		probe_failed(h, p, err.message, p->probe.refused, now);
		return;
	}
	p->probing = false;
	talk_drop(&p->probe);
	if (status == DORIS_NOT_LEADER)
	{
		p->misses = 0;
		answer_waiters(a, p, VERDICT_UNSURE, "another admin leads");
		return;
	}
	alive(h, p, has_report ? &report : NULL, has_report ? report.epoch : e.epoch, now);
	if (p->nwaiters > 0 && now >= p->next_told)
	{
		p->next_told = now + PULSE_TOLD_MS;
		admin_event(a, "report_dismissed", p->node.name,
					"reported by %s; it answers the admin: the trouble is the client's own",
					p->reporter);
	}
	answer_waiters(a, p, VERDICT_HEALTHY, "the admin reaches the node");
}

static void step_put(Heart *h, Pulse *p, uint64_t now)
{
	Admin *a = h->admin;
	DorisError err;
	DorisStatus status;
	Envelope e;
	DorisBytes body;

	if (p->put.state == CALL_IDLE)
	{
		if (!p->heard || p->epoch >= h->topology->epoch || now < p->next_put || p->alarmed ||
			atomic_load(&a->halted) || (p->node.condition == NODE_DOWN && p->good == 0) ||
			FAULT_DROPS("admin_push", p->node.name))
			return;
		p->putting = h->topology->epoch;
		p->next_put = now + (uint64_t) a->options.heartbeat_ms;
		status = talk_start(a, &p->put, p->node.address, MSG_TOPOLOGY_PUT, &h->put_body,
							PULSE_PUT_MS, &err);
		if (status != DORIS_OK)
		{
			log_write(LOG_WARNING, "cannot hand node \"%s\" the topology: %s", p->node.name,
					  err.message);
			return;
		}
	}
	status = talk_step(a, &p->put, &e, &body, &err);
	if (status == DORIS_TIMEOUT)
		return;
	if (status == DORIS_OK)
	{
		DorisCursor c = cursor_of(body.data, body.len);

		status = reply_read_status(&c, &err);
	}
	if (status == DORIS_OK)
	{
		if (p->putting > p->epoch)
			p->epoch = p->putting;
		p->next_put = 0;
	}
	else
	{
		if (p->put.refused)
			p->next_put = now + PULSE_TICK_MS;
		log_write(LOG_DEBUG, "node \"%s\" did not take epoch %llu: %s", p->node.name,
				  (unsigned long long) p->putting, err.message);
	}
}

void pulse_step(Heart *h, Pulse *p, uint64_t now)
{
	if (p->node.condition == NODE_DEAD || uuid_is_zero(p->node.home))
	{
		answer_waiters(h->admin, p, VERDICT_FAILED, "the node is no member of the cluster");
		return;
	}
	if (p->node.condition == NODE_DOWN && p->nwaiters > 0)
		answer_waiters(h->admin, p, VERDICT_FAILED, "the node is judged failed");
	step_beat(h, p, now);
	step_probe(h, p, now);
	step_verdict(h, p, now);
	step_put(h, p, now);
}

void pulse_report(Heart *h, Pulse *p, const Report *report, Request *r)
{
	Request *list;

	if (p->node.condition != NODE_UP)
	{
		request_verdict(h->admin, r, VERDICT_FAILED, "the node is judged failed");
		return;
	}
	list = p->nwaiters < ADMIN_MAX_WAITERS
			   ? realloc(p->waiters, ((size_t) p->nwaiters + 1) * sizeof(*list))
			   : NULL;
	if (list == NULL)
	{
		request_verdict(h->admin, r, VERDICT_UNSURE, "too many reports about the node are waiting");
		return;
	}
	snprintf(p->reporter, sizeof(p->reporter), "client %08x (%.56s)", r->envelope.sender,
			 report->what);
	p->waiters = list;
	p->waiters[p->nwaiters++] = *r;
}
