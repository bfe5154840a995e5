/*
 * dispatch.c: from a message to its reply: open, decode, execute, encode.
 *
 * Bytes that are no message of ours, or are not sealed with our key, are counted and dropped. A good envelope
 * with a body that does not decode gets a BAD_MESSAGE reply.
 */
#include "node.h"

#include <string.h>
#include <time.h>

#include "fault.h"
#include "hints.h"

#define MAX_RETRIES 20

typedef DorisStatus (*Handler)(Worker *w, const Envelope *e, DorisBytes body, DorisError *err);

/* ---- handlers: write the reply's body, status first, into w->body ---- */

static DorisStatus handle_ping(Worker *w, const Envelope *e, DorisBytes body, DorisError *err)
{
	(void) e;
	(void) body;
	(void) err;
	reply_put_ok(&w->body);
	return DORIS_OK;
}

static DorisStatus handle_stats(Worker *w, const Envelope *e, DorisBytes body, DorisError *err)
{
	(void) e;
	(void) body;
	(void) err;
	reply_put_ok(&w->body);
	stats_execute(w->node, &w->body);
	return DORIS_OK;
}

static DorisStatus handle_topology_get(Worker *w, const Envelope *e, DorisBytes body,
									   DorisError *err)
{
	Node *n = w->node;
	TopologyGet m;
	DorisBytes none = {NULL, 0};
	DorisStatus st = topology_get_decode(body, &m, err);

	(void) e;
	if (st != DORIS_OK)
		return st;
	reply_put_ok(&w->body);
	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	if (n->placement != NULL && n->placement->topo->epoch > m.have_epoch)
		buf_put_bytes(&w->body, n->placement->topo->encoded, n->placement->topo->encoded_len);
	else
		buf_put_view(&w->body, none);
	(void) pthread_rwlock_unlock(&n->epoch_lock);
	return DORIS_OK;
}

static DorisStatus handle_topology_put(Worker *w, const Envelope *e, DorisBytes body,
									   DorisError *err)
{
	DorisCursor c = cursor_of(body.data, body.len);
	DorisBytes encoded = cursor_bytes(&c);
	DorisStatus st;

	(void) e;
	if (!cursor_at_end(&c))
		return doris_error(err, DORIS_BAD_MESSAGE, "a topology that does not decode");
	st = epoch_take(w, encoded, err);
	if (st == DORIS_OK)
		reply_put_ok(&w->body);
	return st;
}

static DorisStatus handle_heartbeat(Worker *w, const Envelope *e, DorisBytes body, DorisError *err)
{
	Heartbeat m;
	NodeReport report;
	DorisStatus st = heartbeat_decode(body, &m, err);

	(void) e;
	if (st == DORIS_OK)
		st = control_heartbeat(w, &m, &report, err);
	if (st != DORIS_OK)
		return st;
	reply_put_ok(&w->body);
	node_report_encode(&w->body, &report);
	node_report_free(&report);
	return DORIS_OK;
}

static DorisStatus handle_get(Worker *w, const Envelope *e, DorisBytes body, DorisError *err)
{
	GetRequest m;
	DorisStatus st = get_request_decode(body, &m, err);

	if (st != DORIS_OK)
		return st;
	reply_put_ok(&w->body);
	st = read_execute(w, e->epoch, &m, &w->body, err);
	get_request_free(&m);
	return st;
}

static DorisStatus handle_scan(Worker *w, const Envelope *e, DorisBytes body, DorisError *err)
{
	ScanRequest m;
	DorisStatus st = scan_request_decode(body, &m, err);

	if (st != DORIS_OK)
		return st;
	reply_put_ok(&w->body);
	st = scan_execute(w, e->epoch, &m, &w->body, err);
	scan_request_free(&m);
	return st;
}

static DorisStatus handle_stage(Worker *w, const Envelope *e, DorisBytes body, DorisError *err)
{
	StageRequest m;
	StageReply reply;
	DorisStatus st = stage_request_decode(body, &m, err);

	if (st != DORIS_OK)
		return st;
	st = stage_execute(w, e->epoch, &m, &reply, err);
	if (st == DORIS_OK)
	{
		reply_put_ok(&w->body);
		stage_reply_encode(&w->body, &reply);
		stage_reply_free(&reply);
		for (uint32_t i = 0; i < m.nfinished; i++)
			finish_note(w, m.finished[i]);
	}
	stage_request_free(&m);
	return st;
}

static DorisStatus handle_finish(Worker *w, const Envelope *e, DorisBytes body, DorisError *err)
{
	FinishRequest m;
	DorisStatus st = finish_request_decode(body, &m, err);

	if (st != DORIS_OK)
		return st;
	reply_put_ok(&w->body);
	buf_put_u32(&w->body, m.nitems);
	for (uint32_t i = 0; st == DORIS_OK && i < m.nitems; i++)
	{
		FinishResult result;

		/* items are independent, each is its own store transaction: tried again one by one */
		for (int tries = 0; tries < MAX_RETRIES; tries++)
		{
			st = finish_execute(w, e->epoch, &m.items[i], &result, err);
			if (st != DORIS_CONFLICT)
				break;
			node_count(w->node, COUNT_RETRIES, 1);
		}
		if (st == DORIS_OK)
			buf_put_u8(&w->body, (uint8_t) result);
	}
	finish_request_free(&m);
	return st;
}

static DorisStatus handle_outcome(Worker *w, const Envelope *e, DorisBytes body, DorisError *err)
{
	OutcomeRequest m;
	OutcomeResult result;
	DorisStatus st = outcome_request_decode(body, &m, err);

	if (st == DORIS_OK)
		st = outcome_execute(w, e->epoch, &m, &result, err);
	if (st != DORIS_OK)
		return st;
	reply_put_ok(&w->body);
	buf_put_u8(&w->body, (uint8_t) result);
	return DORIS_OK;
}

static DorisStatus handle_apply(Worker *w, const Envelope *e, DorisBytes body, DorisError *err)
{
	ApplyRequest m;
	ApplyReply reply;
	DorisStatus st = apply_request_decode(body, &m, err);

	if (st != DORIS_OK)
		return st;
	st = plain_execute(w, e->epoch, &m, &reply, err);
	if (st == DORIS_OK)
	{
		reply_put_ok(&w->body);
		apply_reply_encode(&w->body, &reply);
		apply_reply_free(&reply);
	}
	apply_request_free(&m);
	return st;
}

static DorisStatus handle_digest(Worker *w, const Envelope *e, DorisBytes body, DorisError *err)
{
	DigestRequest m;
	DigestReply reply;
	DorisStatus st = digest_request_decode(body, &m, err);

	if (st != DORIS_OK)
		return st;
	st = digest_execute(w, e->epoch, &m, &reply, err);
	if (st == DORIS_OK)
	{
		reply_put_ok(&w->body);
		digest_reply_encode(&w->body, &reply);
		digest_reply_free(&reply);
	}
	digest_request_free(&m);
	return st;
}

static DorisStatus handle_pull(Worker *w, const Envelope *e, DorisBytes body, DorisError *err)
{
	PullRequest m;
	DorisStatus st = pull_request_decode(body, &m, err);

	if (st != DORIS_OK)
		return st;
	reply_put_ok(&w->body);
	return pull_execute(w, e->epoch, &m, &w->body, err);
}

static DorisStatus handle_purge(Worker *w, const Envelope *e, DorisBytes body, DorisError *err)
{
	PurgeRequest m;
	PurgeReply reply;
	DorisStatus st = purge_request_decode(body, &m, err);

	if (st == DORIS_OK)
		st = purge_execute(w, e->epoch, &m, &reply, err);
	if (st != DORIS_OK)
		return st;
	reply_put_ok(&w->body);
	purge_reply_encode(&w->body, &reply);
	return DORIS_OK;
}

static DorisStatus handle_hint(Worker *w, const Envelope *e, DorisBytes body, DorisError *err)
{
	HintRequest m;
	DorisStatus st = hint_request_decode(body, &m, err);

	if (st == DORIS_OK)
		st = hints_execute(w, e->epoch, &m, err);
	if (st == DORIS_OK)
		reply_put_ok(&w->body);
	return st;
}

static DorisStatus handle_replay(Worker *w, const Envelope *e, DorisBytes body, DorisError *err)
{
	ReplayRequest m;
	DorisStatus st = replay_request_decode(body, &m, err);

	if (st != DORIS_OK)
		return st;
	reply_put_ok(&w->body);
	st = rehold_execute(w, e->epoch, &m, &w->body, err);
	replay_request_free(&m);
	return st;
}

/* ---- choosing ---- */

typedef struct Route
{
	uint16_t type;
	const char *name;
	NodeCounter counter;
	bool fenced; /* runs with the epoch lock held for reading (I3) */
	Handler handler;
} Route;

static const Route routes[] = {
	{MSG_GET, "get", COUNT_GET, true, handle_get},
	{MSG_STAGE, "stage", COUNT_STAGE, true, handle_stage},
	{MSG_FINISH, "finish", COUNT_FINISH, false, handle_finish}, /* locks by itself */
	{MSG_SCAN, "scan", COUNT_SCAN, true, handle_scan},
	{MSG_OUTCOME, "outcome", COUNT_OUTCOME, true, handle_outcome},
	{MSG_APPLY, "apply", COUNT_APPLY, true, handle_apply},
	{MSG_DIGEST, "digest", COUNT_DIGEST, false, handle_digest},
	{MSG_PULL, "pull", COUNT_PULL, false, handle_pull},
	{MSG_PURGE, "purge", COUNT_PURGE, false, handle_purge}, /* locks by itself */
	{MSG_HINT, "hint", COUNT_HINT, true, handle_hint},
	{MSG_REPLAY, "replay", COUNT_REPLAY, false, handle_replay}, /* locks by itself */
	{MSG_PING, "ping", COUNT_PING, false, handle_ping},
	{MSG_STATS, "stats", COUNT_STATS, false, handle_stats},
	{MSG_TOPOLOGY_GET, "topology_get", COUNT_TOPOLOGY_GET, false, handle_topology_get},
	{MSG_TOPOLOGY_PUT, "topology_put", COUNT_TOPOLOGY_PUT, false, handle_topology_put},
	{MSG_HEARTBEAT, "heartbeat", COUNT_HEARTBEAT, false, handle_heartbeat},
};

static const Route *find_route(uint16_t type)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
	{
		if (routes[i].type == type)
			return &routes[i];
	}
	return NULL;
}

static const char *route_name(uint16_t type)
{
	const Route *route = find_route(type);

	return route != NULL ? route->name : "unknown";
}

static DorisStatus execute(Worker *w, const Envelope *e, DorisBytes body, DorisError *err)
{
	Node *n = w->node;
	const Route *route = find_route(e->type);
	DorisStatus st = DORIS_INTERNAL;

	if (route == NULL)
	{
		node_count(n, COUNT_OTHER, 1);
		(void) doris_error(err, DORIS_BAD_MESSAGE, "%s knows no request of type %u", node_name(n),
						   e->type);
		return doris_hint(err, "This is a storage node, not an admin.");
	}
	node_count(n, route->counter, 1);
	for (int tries = 0; tries < MAX_RETRIES; tries++)
	{
		buf_reset(&w->body);
		if (route->fenced && pthread_rwlock_tryrdlock(&n->epoch_lock) != 0)
		{
			listener_pass(n->listener);
			(void) pthread_rwlock_rdlock(&n->epoch_lock);
		}
		st = route->handler(w, e, body, err);
		if (route->fenced)
			(void) pthread_rwlock_unlock(&n->epoch_lock);
		if (st != DORIS_CONFLICT)
			break;
		/* two store transactions met on one key, or the cache was under pressure */
		node_count(n, COUNT_RETRIES, 1);
		if (tries > 3)
		{
			struct timespec pause = {0, 500000L << (tries < 8 ? tries - 4 : 4)};

			listener_pass(n->listener);
			(void) nanosleep(&pause, NULL);
		}
	}
	if (st == DORIS_CONFLICT)
	{
		(void) doris_error(err, DORIS_LIMIT, "%s: the store refused the write %d times",
						   node_name(n), MAX_RETRIES);
		st = doris_hint(err, "Its cache may be too small: see --cache.");
	}
	return st;
}

static void put_error(Worker *w, const DorisError *err)
{
	node_count(w->node, COUNT_ERRORS, 1);
	buf_reset(&w->body);
	reply_put_error(&w->body, err);
}

/* A request was begun whose store error is about the disk: watched at once, not only at the next second. */
static void note_error(Worker *w, const DorisError *err, uint16_t type)
{
	if (err->code == DORIS_IO || err->code == DORIS_INTERNAL || err->code == DORIS_NO_MEMORY)
		log_line(LOG_ERROR, "request %s: %s", route_name(type), err->message);
	else
		log_line(LOG_DEBUG, "request %s: %s: %s", route_name(type), doris_status_name(err->code),
				 err->message);
	if (err->code == DORIS_DISK_FULL)
		disk_watch(w->node);
}

bool dispatch_message(Worker *w, DorisBytes message, DorisBuf *reply)
{
	Node *n = w->node;
	Envelope e;
	Envelope back;
	DorisBytes body;
	DorisError err = {0};
	DorisStatus st =
		envelope_read(&n->keys, message.data, message.len, &e, &body, &w->scratch, &err);

	w->need = 0;
	if (st != DORIS_OK && e.format == 0)
	{
		node_count(n, COUNT_BAD, 1);
		log_line(LOG_DEBUG, "dropped: %s", err.message);
		return false;
	}
	if ((e.type & DORIS_REPLY) != 0)
	{
		node_count(n, COUNT_BAD, 1);
		return false;
	}
	/* a message that is late, or lost on the way */
	if (FAULT_DROPS("node_receiving", route_name(e.type)))
		return false;
	if (st != DORIS_OK)
		node_count(n, COUNT_CLOCK, 1);
	else
		st = execute(w, &e, body, &err);
	if (st == DORIS_OK && w->body.failed)
		st = doris_error(&err, DORIS_NO_MEMORY, "%s: out of memory for a reply", node_name(n));
	if (st != DORIS_OK)
	{
		note_error(w, &err, e.type);
		put_error(w, &err);
	}
	memset(&back, 0, sizeof(back));
	back.format = e.format;
	back.type = e.type | DORIS_REPLY;
	back.request = e.request;
	back.sender = atomic_load(&n->node_id);
	back.epoch = atomic_load(&n->epoch);
	back.deadline_ms = control_lease_ms(n); /* after what it tells was read */
	body.data = w->body.data;
	body.len = w->body.len;
	st = envelope_write(&n->keys, &back, body, reply, &err);
	if (st != DORIS_OK)
	{
		put_error(w, &err);
		body.data = w->body.data;
		body.len = w->body.len;
		st = envelope_write(&n->keys, &back, body, reply, &err);
	}
	return st == DORIS_OK && !FAULT_DROPS("node_replying", route_name(e.type));
}

bool dispatch_is_long(DorisBytes message)
{
	DorisCursor c = cursor_of(message.data, message.len);
	uint16_t type;

	(void) cursor_u32(&c);
	(void) cursor_u16(&c);
	type = cursor_u16(&c);
	return !c.bad && (type == MSG_SCAN || type == MSG_DIGEST || type == MSG_REPLAY ||
					  type == MSG_PULL || type == MSG_PURGE);
}
