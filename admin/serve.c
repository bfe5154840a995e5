/*
 * serve.c: the threads that take requests. They answer from memory at once and hand the rest on, so that a slow
 * database or node never keeps a client from its topology.
 *
 * Assumption: a listener may be used by many threads, and a request answered by any of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin.h"
#include "version.h"

void request_answer(Admin *a, Request *r, const DorisBuf *body)
{
	Envelope e = {0};
	DorisBuf out;
	DorisError err;

	buf_init(&out);
	e.format = r->envelope.format;
	e.type = r->envelope.type | DORIS_REPLY;
	e.request = r->envelope.request;
	e.sender = a->sender;
	e.epoch = admin_epoch(a);
	if (!body->failed &&
		envelope_write(&a->keys, &e, (DorisBytes){body->data, body->len}, &out, &err) == DORIS_OK)
		listener_reply(a->listener, &r->in, (DorisBytes){out.data, out.len});
	else
	{
		log_write(LOG_ERROR, "cannot answer a request of %u: out of memory or too big",
				  r->envelope.sender);
		listener_drop(a->listener, &r->in);
	}
	buf_free(&out);
}

void request_refuse(Admin *a, Request *r, const DorisError *err)
{
	DorisBuf body;

	buf_init(&body);
	reply_put_error(&body, err);
	request_answer(a, r, &body);
	buf_free(&body);
}

void request_verdict(Admin *a, Request *r, ReportVerdict verdict, const char *why)
{
	DorisBuf body;

	buf_init(&body);
	reply_put_ok(&body);
	buf_put_u8(&body, (uint8_t) verdict);
	buf_put_str(&body, why);
	request_answer(a, r, &body);
	buf_free(&body);
}

void serve_topology(const Topology *t, uint64_t have_epoch, DorisBuf *body)
{
	reply_put_ok(body);
	if (t != NULL && t->epoch > have_epoch)
		buf_put_bytes(body, t->encoded, t->encoded_len);
	else
		buf_put_bytes(body, NULL, 0);
}

static void answer_topology(Admin *a, Request *r, DorisBytes in)
{
	TopologyGet get;
	DorisError err;
	DorisBuf body;
	Topology *t;

	admin_count(a, COUNT_TOPOLOGY_GET);
	if (topology_get_decode(in, &get, &err) != DORIS_OK)
	{
		request_refuse(a, r, &err);
		return;
	}
	t = admin_topology(a);
	if (t == NULL)
	{
		(void) doris_error(&err, DORIS_UNAVAILABLE, "admin \"%s\" has no topology%s",
						   a->options.name,
						   atomic_load(&a->database_up) ? " yet" : ", and its database is away");
		(void) doris_hint(&err, "It is made once every group has a data node that has started.");
		request_refuse(a, r, &err);
		return;
	}
	buf_init(&body);
	serve_topology(t, get.have_epoch, &body);
	topology_unref(t);
	request_answer(a, r, &body);
	buf_free(&body);
}

/* Somebody hands us a topology. Only lead may take it: it may have to go into the schema first. */
static void take_topology(Admin *a, Request *r, DorisBytes in)
{
	DorisCursor c = cursor_of(in.data, in.len);
	DorisBytes encoded = cursor_bytes(&c);
	Topology *t = NULL;
	Topology *mine;
	DorisError err;
	DorisBuf body;

	admin_count(a, COUNT_TOPOLOGY_PUT);
	if (!cursor_at_end(&c))
		(void) doris_error(&err, DORIS_BAD_MESSAGE, "malformed topology message");
	else if (topology_decode(encoded.data, encoded.len, a->keys.present ? a->keys.public_key : NULL,
							 &t, &err) == DORIS_OK)
	{
		mine = admin_topology(a);
		if (mine != NULL && memcmp(mine->cluster, t->cluster, DORIS_UUID_SIZE) != 0)
			(void) doris_error(&err, DORIS_DENIED, "the topology is of another cluster");
		else
		{
			if (mine == NULL || t->epoch > mine->epoch)
			{
				Job *job = job_new(JOB_TOPOLOGY);

				if (job != NULL)
				{
					job->topology = topology_ref(t);
					job_post(a, job);
				}
			}
			buf_init(&body);
			serve_topology(mine, t->epoch, &body);
			request_answer(a, r, &body);
			buf_free(&body);
			topology_unref(mine);
			topology_unref(t);
			return;
		}
		topology_unref(mine);
		topology_unref(t);
	}
	request_refuse(a, r, &err);
}

static void put_stat(StatsReply *s, const char *name, uint64_t value)
{
	snprintf(s->items[s->n].name, sizeof(s->items[s->n].name), "%s", name);
	s->items[s->n++].value = value;
}

static void answer_stats(Admin *a, Request *r)
{
	static const char *const names[COUNTERS] = {
		[COUNT_MESSAGES] = "messages",
		[COUNT_BAD_MESSAGES] = "bad_messages",
		[COUNT_PING] = "requests_ping",
		[COUNT_TOPOLOGY_GET] = "requests_topology_get",
		[COUNT_TOPOLOGY_PUT] = "requests_topology_put",
		[COUNT_STATS] = "requests_stats",
		[COUNT_HELLO] = "requests_hello",
		[COUNT_REPORT] = "requests_report",
		[COUNT_NAMESPACE] = "requests_namespace",
		[COUNT_OPERATE] = "requests_operate",
		[COUNT_HEARTBEATS] = "heartbeats",
		[COUNT_MISSED_HEARTBEATS] = "heartbeats_missed",
		[COUNT_PROBES] = "probes",
		[COUNT_FAILED] = "verdicts_failed",
		[COUNT_RECOVERED] = "verdicts_ok",
		[COUNT_REFUSED] = "nodes_refused",
		[COUNT_PUBLISHED] = "topologies_published",
		[COUNT_EVENTS_LOST] = "events_lost",
	};
	static const char *const scrub_names[SCRUB_STATS] = {
		[SCRUB_VNODES] = "scrub_vnodes",
		[SCRUB_LAPS] = "scrub_laps",
		[SCRUB_LAP_VNODES] = "scrub_lap_vnodes",
		[SCRUB_BYTES] = "scrub_bytes",
		[SCRUB_FOUND] = "scrub_differences_found",
		[SCRUB_DIFFERENT] = "scrub_different",
		[SCRUB_UNSETTLED] = "scrub_unsettled",
		[SCRUB_UNKNOWN] = "scrub_unknown",
		[SCRUB_PURGED_VNODES] = "scrub_vnodes_purged",
		[SCRUB_TOMBSTONES_AGE] = "tombstones_wait_age",
		[SCRUB_TOMBSTONES_COPIES] = "tombstones_wait_copies",
		[SCRUB_TOMBSTONES_HINTS] = "tombstones_wait_hints",
		[SCRUB_TOMBSTONES_STAGED] = "tombstones_wait_staged",
		[SCRUB_TOMBSTONES_DIFFERENCE] = "tombstones_wait_difference",
	};
	StatItem items[COUNTERS + SCRUB_STATS + 10];
	StatsReply s = {.n = 0, .items = items};
	Topology *t = admin_topology(a);
	uint64_t up = 0;
	DorisBuf body;

	admin_count(a, COUNT_STATS);
	for (uint32_t i = 0; t != NULL && i < t->nnodes; i++)
		if (t->nodes[i].condition == NODE_UP)
			up++;
	put_stat(&s, "leader", atomic_load(&a->leader));
	put_stat(&s, "term", atomic_load(&a->term));
	put_stat(&s, "epoch", t != NULL ? t->epoch : 0);
	put_stat(&s, "database_up", atomic_load(&a->database_up));
	put_stat(&s, "halted", atomic_load(&a->halted));
	put_stat(&s, "nodes", t != NULL ? t->nnodes : 0);
	put_stat(&s, "nodes_up", up);
	put_stat(&s, "namespaces", t != NULL ? t->nnamespaces : 0);
	put_stat(&s, "uptime_s", (clock_mono_ms() - a->started) / 1000);
	for (int i = 0; i < COUNTERS; i++)
		put_stat(&s, names[i], atomic_load(&a->counters[i]));
	for (int i = 0; i < SCRUB_STATS; i++)
		put_stat(&s, scrub_names[i], atomic_load(&a->scrub[i]));
	topology_unref(t);

	buf_init(&body);
	reply_put_ok(&body);
	stats_reply_encode(&body, &s);
	request_answer(a, r, &body);
	buf_free(&body);
}

static void refuse_not_leader(Admin *a, Request *r)
{
	DorisError err;

	(void) doris_error(&err, DORIS_NOT_LEADER, "admin \"%s\" does not lead", a->options.name);
	(void) doris_hint(&err, "Ask the other admins.");
	request_refuse(a, r, &err);
}

static void refuse_no_database(Admin *a, Request *r)
{
	DorisError err;

	(void) doris_error(&err, DORIS_UNAVAILABLE, "admin \"%s\" cannot reach the admin database",
					   a->options.name);
	(void) doris_hint(&err,
					  "Reads and writes go on; changes of the cluster wait until the database is "
					  "back.");
	request_refuse(a, r, &err);
}

/* The database is away: a start that the topology names may go on; any other has to be compared first (rule *start*). */
static void greet_from_memory(Admin *a, Request *r, const Hello *h)
{
	Topology *t = admin_topology(a);
	const TopoNode *node = t != NULL ? topology_node_by_name(t, h->name) : NULL;

	if (node == NULL || node->condition == NODE_DEAD || uuid_is_zero(node->home) ||
		memcmp(node->home, h->home, DORIS_UUID_SIZE) != 0 ||
		(h->node != 0 && h->node != node->id) || h->incarnation != node->incarnation ||
		(!uuid_is_zero(h->cluster) && memcmp(h->cluster, t->cluster, DORIS_UUID_SIZE) != 0))
		refuse_no_database(a, r);
	else
	{
		Welcome w = {.node = node->id, .topology = {t->encoded, t->encoded_len}};
		DorisBuf body;

		memcpy(w.cluster, t->cluster, DORIS_UUID_SIZE);
		buf_init(&body);
		reply_put_ok(&body);
		welcome_encode(&body, &w);
		request_answer(a, r, &body);
		buf_free(&body);
	}
	topology_unref(t);
}

static void take_hello(Admin *a, Request *r, DorisBytes in)
{
	DorisError err;
	Hello hello;
	Job *job;

	admin_count(a, COUNT_HELLO);
	if (hello_decode(in, &hello, &err) != DORIS_OK)
		request_refuse(a, r, &err);
	else if (!atomic_load(&a->leader))
		refuse_not_leader(a, r);
	else if (!atomic_load(&a->database_up))
		greet_from_memory(a, r, &hello);
	else if ((job = job_new(JOB_HELLO)) == NULL)
		listener_drop(a->listener, &r->in);
	else
	{
		job->hello = hello;
		job->request = *r;
		job->has_request = true;
		job_post(a, job);
	}
}

static void take_namespace(Admin *a, Request *r, DorisBytes in)
{
	DorisError err;
	Job *job = job_new(JOB_NAMESPACE);

	admin_count(a, COUNT_NAMESPACE);
	if (job == NULL)
	{
		listener_drop(a->listener, &r->in);
		return;
	}
	if (namespace_change_decode(in, &job->change, &err) != DORIS_OK)
		request_refuse(a, r, &err);
	else if (!atomic_load(&a->leader))
		refuse_not_leader(a, r);
	else if (!atomic_load(&a->database_up))
		refuse_no_database(a, r);
	else
	{
		job->request = *r;
		job->has_request = true;
		job_post(a, job);
		return;
	}
	job_free(a, job);
}

static void take_operate(Admin *a, Request *r, DorisBytes in)
{
	DorisError err;
	Job *job = job_new(JOB_OPERATE);

	admin_count(a, COUNT_OPERATE);
	if (job == NULL)
	{
		listener_drop(a->listener, &r->in);
		return;
	}
	if (operate_decode(in, &job->operate, &err) != DORIS_OK)
		request_refuse(a, r, &err);
	else if (!atomic_load(&a->leader))
		refuse_not_leader(a, r);
	else if (!atomic_load(&a->database_up))
		refuse_no_database(a, r);
	else
	{
		job->request = *r;
		job->has_request = true;
		job_post(a, job);
		return;
	}
	job_free(a, job);
}

static void take_report(Admin *a, Request *r, DorisBytes in)
{
	DorisError err;
	Report report;

	admin_count(a, COUNT_REPORT);
	if (report_decode(in, &report, &err) != DORIS_OK)
		request_refuse(a, r, &err);
	else if (!atomic_load(&a->leader))
		request_verdict(a, r, VERDICT_UNSURE, "this admin does not lead");
	else
		heart_report(a, r, &report);
}

static void dispatch(Admin *a, Request *r, DorisBytes body)
{
	DorisError err;

	switch (r->envelope.type)
	{
		case MSG_PING:
		{
			DorisBuf reply;

			admin_count(a, COUNT_PING);
			buf_init(&reply);
			reply_put_ok(&reply);
			request_answer(a, r, &reply);
			buf_free(&reply);
			return;
		}
		case MSG_TOPOLOGY_GET:
			answer_topology(a, r, body);
			return;
		case MSG_TOPOLOGY_PUT:
			take_topology(a, r, body);
			return;
		case MSG_STATS:
			answer_stats(a, r);
			return;
		case MSG_HELLO:
			take_hello(a, r, body);
			return;
		case MSG_REPORT:
			take_report(a, r, body);
			return;
		case MSG_NAMESPACE:
			take_namespace(a, r, body);
			return;
		case MSG_OPERATE:
			take_operate(a, r, body);
			return;
		default:
			admin_count(a, COUNT_BAD_MESSAGES);
			(void) doris_error(&err, DORIS_BAD_MESSAGE,
							   "admin \"%s\" does not take messages of type %u", a->options.name,
							   r->envelope.type);
			(void) doris_hint(&err, "Keys are read and written at the nodes.");
			request_refuse(a, r, &err);
			return;
	}
}

void *serve_thread(void *arg)
{
	Admin *a = arg;
	DorisBuf scratch;

	buf_init(&scratch);
	for (;;)
	{
		Request r;
		DorisBytes body;
		DorisError err;
		DorisStatus status = listener_receive(a->listener, -1, &r.in, &err);

		if (status == DORIS_CANCELLED)
			break;
		if (status != DORIS_OK)
			continue;
		admin_count(a, COUNT_MESSAGES);
		status = envelope_read(&a->keys, r.in.message.data, r.in.message.len, &r.envelope, &body,
							   &scratch, &err);
		if (status == DORIS_OK)
		{
			r.deadline = clock_mono_ms() + r.envelope.deadline_ms;
			dispatch(a, &r, body);
			continue;
		}
		admin_count(a, COUNT_BAD_MESSAGES);
		log_write(LOG_DEBUG, "bad message: %s", err.message);
		/* An authentic sender whose clock is off is told; all others get nothing. */
		if (r.envelope.format != 0)
			request_refuse(a, &r, &err);
		else
			listener_drop(a->listener, &r.in);
	}
	buf_free(&scratch);
	return NULL;
}
