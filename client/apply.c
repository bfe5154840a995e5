/*
 * apply.c: plain writes (rule *plain*): applied at once by I4, each row for itself.
 *
 * A row is acknowledged when every write target of its vnode has it under one topology (I1). One that met a higher
 * version somewhere is not: the clock is moved on and the row sent again under a new stamp, to all its targets, until the deadline;
 * after a few times with pauses of random length in between, or writers of one hot row keep each other from ending. Rows may be left on some copies when this ends with an error: that is told as UNKNOWN (I7), and
 * whoever writes them next brings the copies together.
 *
 * In two halves for callers who have something to do meanwhile: from start on each node has a message under way, poll
 * sends the next ones, end waits. Nothing is acknowledged before end has said so (I1). Writes of a batch and of the next
 * one to the same key keep their order only if the first has ended before the second starts.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define APPLY_RESTAMPS 3 /* at once */
#define APPLY_SLICE_MS 2000
#define APPLY_PAUSE_MS 50

/* One node and the rows that go there, by index. */
typedef struct ApplyTarget
{
	const TopoNode *node;
	Peer *peer;
	uint32_t *rows;
	uint32_t n;
	uint32_t cap;
	uint32_t at;   /* held there so far */
	uint32_t sent; /* in the message under way */
	int tries;
	uint64_t slice;
	bool started;
	bool failed; /* a log node keeps what goes there (rule hints) */
	Call call;
} ApplyTarget;

typedef struct ApplyRun
{
	DorisClient *c;
	Topology *topo;
	const DorisWrite *writes;
	DorisVersion version;
	ApplyTarget *targets;
	Call **waiting;
	uint32_t ntargets;
	uint32_t cap;
	bool *higher; /* rows that met a higher version in this round */
	bool arrived; /* something may have, in any round */
	bool moved;
	bool down; /* a target is down by our topology */
} ApplyRun;

struct DorisApply
{
	ApplyRun run;
	uint32_t n;
	bool *wanted; /* rows of this round */
	int restamps;
	bool open;	   /* a round is under way */
	uint64_t used; /* the epoch it goes by */
	DorisStatus st;
	DorisError err; /* st is not OK */
};

static void run_clear(ApplyRun *r)
{
	uint32_t i;

	for (i = 0; i < r->ntargets; i++)
	{
		ApplyTarget *t = &r->targets[i];

		if (t->started)
		{
			r->arrived |= t->call.maybe_arrived;
			call_free(r->c, &t->call);
		}
		free(t->rows);
	}
	free(r->targets);
	free(r->waiting);
	r->targets = NULL;
	r->waiting = NULL;
	r->ntargets = r->cap = 0;
	topology_unref(r->topo);
	r->topo = NULL;
}

static DorisStatus run_add(ApplyRun *r, uint32_t row, DorisError *err)
{
	TopoTarget targets[DORIS_MAX_TARGETS];
	uint32_t vnode = route_vnode(r->writes[row].route, r->topo->vnodes);
	int n = topology_targets(r->topo, vnode, targets);
	int i;

	if (n == 0)
		return doris_error(err, DORIS_UNAVAILABLE, "vnode %u has no copy to write to", vnode);
	for (i = 0; i < n; i++)
	{
		ApplyTarget *t;
		uint32_t k;

		if (targets[i].node->condition != NODE_UP && !targets[i].failed)
		{
			r->down = true;
			doris_error(err, DORIS_UNAVAILABLE,
						"node %s, which holds the last complete copy of vnode %u, is down",
						targets[i].node->name, vnode);
			return doris_hint(err, "Writes to its vnodes go on when it is back; see doris_nodes.");
		}
		for (k = 0; k < r->ntargets && r->targets[k].node->id != targets[i].node->id; k++)
			;
		if (k == r->cap)
		{
			uint32_t cap = r->cap > 0 ? r->cap * 2 : 4;
			ApplyTarget *grown = realloc(r->targets, cap * sizeof(*grown));

			if (grown == NULL)
				return client_no_memory(err);
			r->targets = grown;
			r->cap = cap;
		}
		t = &r->targets[k];
		if (k == r->ntargets)
		{
			memset(t, 0, sizeof(*t));
			t->node = targets[i].node;
			t->failed = targets[i].failed;
			r->ntargets++;
		}
		if (t->n == t->cap)
		{
			uint32_t cap = t->cap > 0 ? t->cap * 2 : 16;
			uint32_t *rows = realloc(t->rows, cap * sizeof(*rows));

			if (rows == NULL)
				return client_no_memory(err);
			t->rows = rows;
			t->cap = cap;
		}
		t->rows[t->n++] = row;
	}
	return DORIS_OK;
}

/* Without memory for it they go as they are. */
static void target_sort(ApplyRun *r, ApplyTarget *t)
{
	RowPlace *places = t->n > 1 ? malloc(t->n * sizeof(*places)) : NULL;
	uint32_t i;

	if (places == NULL)
		return;
	for (i = 0; i < t->n; i++)
	{
		const DorisWrite *w = &r->writes[t->rows[i]];

		places[i] = (RowPlace){
			.vnode = route_vnode(w->route, r->topo->vnodes), .row = t->rows[i], .key = w->key};
	}
	places_sort(places, t->n);
	for (i = 0; i < t->n; i++)
		t->rows[i] = places[i].row;
	free(places);
}

/* Fills the next message to a target. */
static DorisStatus target_fill(ApplyRun *r, ApplyTarget *t, DorisError *err)
{
	uint32_t max = t->n - t->at < STAGE_MAX_ROWS ? t->n - t->at : STAGE_MAX_ROWS;
	ApplyRequest req = {.from_client = true};
	size_t bytes = 0;

	req.rows = malloc(max * sizeof(ApplyRow));
	if (req.rows == NULL)
		return client_no_memory(err);
	while (req.nrows < max)
	{
		const DorisWrite *w = &r->writes[t->rows[t->at + req.nrows]];
		bool deleted = w->kind == WRITE_DELETE;

		bytes += w->key.len + w->value.len + 32;
		if (req.nrows > 0 && bytes > DORIS_BATCH_BYTES)
			break;
		req.rows[req.nrows++] = (ApplyRow){.at = {.space = DORIS_SPACE_ROWS,
												  .ns = w->ns,
												  .vnode = route_vnode(w->route, r->topo->vnodes),
												  .key = w->key},
										   .deleted = deleted,
										   .version = r->version,
										   .value = deleted ? (DorisBytes){NULL, 0} : w->value};
	}
	t->sent = req.nrows;
	t->tries = 0;
	buf_reset(&t->call.body);
	apply_request_encode(&t->call.body, &req);
	free(req.rows);
	return DORIS_OK;
}

/* Has all of a failed target's rows kept by a log node. */
static DorisStatus target_keep(ApplyRun *r, ApplyTarget *t, DorisError *err)
{
	DorisStatus st = DORIS_OK;

	while (st == DORIS_OK && t->at < t->n)
	{
		st = target_fill(r, t, err);
		if (st == DORIS_OK)
			st = hint_keep(r->c, r->topo, t->node, MSG_APPLY, &t->call.body, r->c->until, err);
		t->at += t->sent;
	}
	r->moved |= status_is_moved(st);
	return st;
}

/* Sends the next message to a target. */
static DorisStatus target_send(ApplyRun *r, ApplyTarget *t, DorisError *err)
{
	DorisStatus st = target_fill(r, t, err);

	if (st != DORIS_OK)
		return st;
	t->slice = clock_mono_ms() + APPLY_SLICE_MS;
	call_start(r->c, &t->call, t->peer, MSG_APPLY, r->topo, r->c->until);
	return DORIS_OK;
}

static DorisStatus target_silent(ApplyRun *r, ApplyTarget *t, DorisError *err)
{
	DorisError why = *err;
	DorisStatus st;

	count_retry(r->c, t->peer);
	if (++t->tries >= CLIENT_TRIES || clock_mono_ms() >= r->c->until)
	{
		/* whatever the verdict: again as the topology then says, to the deadline */
		(void) client_report(r->c, t->node->id, why.message, r->c->until);
		r->moved = true;
		doris_error(err, DORIS_UNAVAILABLE, "cannot write: %.400s", why.message);
		return doris_hint(err, "Writes to its vnodes go on when it is back; see doris_nodes.");
	}
	st = client_pause(r->c, APPLY_PAUSE_MS << t->tries, err);
	if (st != DORIS_OK)
		return st;
	t->slice = clock_mono_ms() + ((uint64_t) APPLY_SLICE_MS << t->tries);
	call_start(r->c, &t->call, t->peer, MSG_APPLY, r->topo, r->c->until);
	return DORIS_OK;
}

static DorisStatus target_answer(ApplyRun *r, ApplyTarget *t, DorisError *err)
{
	ApplyReply reply;
	uint32_t i;
	DorisStatus st = t->call.status;

	if (st == DORIS_OK)
		st = apply_reply_decode(&t->call.reply, &reply, &t->call.err);
	if (st != DORIS_OK)
	{
		*err = t->call.err;
		call_abandon(r->c, &t->call);
		/* a node that has just started waits for an admin (rule start) */
		if (st == DORIS_UNREACHABLE || st == DORIS_UNAVAILABLE)
			return target_silent(r, t, err);
		r->moved = status_is_moved(st) || st == DORIS_UNAVAILABLE;
		return st;
	}
	for (i = 0; i < reply.nhigher; i++)
		if (reply.rows[i] < t->sent)
		{
			r->higher[t->rows[t->at + reply.rows[i]]] = true;
			clock_observe(&r->c->clock, reply.versions[i].clock);
		}
	apply_reply_free(&reply);
	call_abandon(r->c, &t->call);
	t->at += t->sent;
	count_rows(r->c, t->peer, t->sent);
	return DORIS_OK;
}

/* Finds the targets of the rows that are wanted, and connects to them. */
static DorisStatus round_open(ApplyRun *r, const bool *wanted, uint32_t n, DorisError *err)
{
	DorisStatus st = DORIS_OK;
	Peer **peers;
	Peer *bad;
	int npeers = 0;
	uint32_t i;

	r->topo = topology_ref(r->c->topo);
	for (i = 0; i < n && st == DORIS_OK; i++)
		if (wanted[i])
			st = run_add(r, i, err);
	if (st != DORIS_OK)
		return st;
	r->waiting = calloc(r->ntargets + 1, sizeof(*r->waiting));
	peers = calloc(r->ntargets + 1, sizeof(*peers));
	if (r->waiting == NULL || peers == NULL)
	{
		free(peers);
		return client_no_memory(err);
	}
	for (i = 0; i < r->ntargets; i++)
	{
		ApplyTarget *t = &r->targets[i];

		call_init(&t->call);
		t->started = true;
		target_sort(r, t);
		t->peer = peer_of_node(r->c, t->node);
		if (t->peer == NULL)
			st = client_no_memory(err);
		else if (t->failed)
			st = st == DORIS_OK ? target_keep(r, t, err) : st;
		else
			peers[npeers++] = t->peer;
	}
	if (st == DORIS_OK)
	{
		uint64_t slice = clock_mono_ms() + APPLY_SLICE_MS;

		st = peers_connect(r->c, peers, npeers, slice < r->c->until ? slice : r->c->until, &bad,
						   err);
		if (st == DORIS_UNREACHABLE)
		{
			DorisError why = *err;

			r->moved = true;
			if (bad->node != 0)
				(void) client_report(r->c, bad->node, why.message, r->c->until);
			doris_error(err, DORIS_UNAVAILABLE, "cannot write: %.400s", why.message);
			st = doris_hint(err, "Writes to its vnodes go on when it is back; see doris_nodes.");
		}
	}
	free(peers);
	return st;
}

/* Sends what can be sent and takes the answers that have come, without waiting. What went wrong is left to round_wait. */
static DorisStatus round_poll(ApplyRun *r, DorisError *err)
{
	DorisStatus st = DORIS_OK;
	uint32_t i;

	peers_pump(r->c);
	for (i = 0; i < r->ntargets && st == DORIS_OK; i++)
	{
		ApplyTarget *t = &r->targets[i];

		if (t->call.state == CALL_DONE && t->call.status == DORIS_OK)
			st = target_answer(r, t, err);
		if (st == DORIS_OK && t->call.state == CALL_IDLE && t->at < t->n)
			st = target_send(r, t, err);
	}
	return st;
}

/* Nobody looked for a while: an answer may be there, and silence counts from now on. */
static void round_resume(ApplyRun *r)
{
	uint32_t i;

	peers_pump(r->c);
	for (i = 0; i < r->ntargets; i++)
		r->targets[i].slice = clock_mono_ms() + APPLY_SLICE_MS;
}

/* Waits until all targets have their rows. */
static DorisStatus round_wait(ApplyRun *r, DorisError *err)
{
	DorisStatus st = DORIS_OK;
	uint32_t i;

	while (st == DORIS_OK)
	{
		uint64_t slice = r->c->until;
		uint32_t open = 0;

		for (i = 0; i < r->ntargets && st == DORIS_OK; i++)
		{
			ApplyTarget *t = &r->targets[i];

			r->waiting[i] = NULL;
			if (t->call.state == CALL_DONE)
				st = target_answer(r, t, err);
			else if (t->call.state != CALL_IDLE &&
					 clock_mono_ms() >= (t->slice < r->c->until ? t->slice : r->c->until))
			{
				doris_error(err, DORIS_TIMEOUT, "%s does not answer", peer_name(r->c, t->peer));
				call_cut(r->c, &t->call);
				st = target_silent(r, t, err);
			}
			if (st == DORIS_OK && t->call.state == CALL_IDLE && t->at < t->n)
				st = target_send(r, t, err);
			if (st != DORIS_OK || t->call.state == CALL_IDLE)
				continue;
			r->waiting[i] = &t->call;
			open++;
			if (t->slice < slice)
				slice = t->slice;
		}
		if (st != DORIS_OK || open == 0)
			break;
		st = calls_wait(r->c, r->waiting, (int) r->ntargets, false, slice, err);
		if (st == DORIS_TIMEOUT)
			st = DORIS_OK;
	}
	return st;
}

static DorisStatus check_rows(const DorisWrite *writes, uint32_t n, DorisError *err)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		if (writes[i].key.len > DORIS_MAX_KEY || writes[i].value.len > DORIS_MAX_VALUE)
			return doris_error(
				err, DORIS_TOO_BIG,
				"the row of key %s is too big: a key may have 64 KiB, a value 16 MiB",
				key_text(writes[i].key));
	return DORIS_OK;
}

static void apply_open(DorisApply *a)
{
	ApplyRun *r = &a->run;

	r->moved = r->down = false;
	memset(r->higher, false, a->n);
	a->used = r->c->topo->epoch;
	a->open = true;
	a->st = round_open(r, a->wanted, a->n, &a->err);
	if (a->st == DORIS_OK)
		a->st = round_poll(r, &a->err);
}

static void apply_free(DorisApply *a)
{
	run_clear(&a->run);
	free(a->run.higher);
	free(a->wanted);
	free(a);
}

DorisStatus doris_apply_start(DorisClient *c, const DorisWrite *writes, uint32_t n,
							  DorisApply **out, DorisError *err)
{
	DorisApply *a = calloc(1, sizeof(*a));
	DorisStatus st = check_rows(writes, n, err);

	*out = NULL;
	client_begin(c);
	if (a != NULL)
	{
		a->run.c = c;
		a->run.writes = writes;
		a->n = n;
		a->run.higher = calloc(n + 1, sizeof(bool));
		a->wanted = malloc(n + 1);
	}
	if (a == NULL || a->run.higher == NULL || a->wanted == NULL)
		st = client_no_memory(err);
	if (st != DORIS_OK)
	{
		if (a != NULL)
			apply_free(a);
		return st;
	}
	memset(a->wanted, true, n);
	if (n > 0)
	{
		a->run.version = client_version(c);
		apply_open(a);
	}
	*out = a;
	return DORIS_OK;
}

void doris_apply_poll(DorisApply *a)
{
	if (a->open && a->st == DORIS_OK)
		a->st = round_poll(&a->run, &a->err);
}

/* Rounds until every row is acknowledged under one topology, or it cannot be. */
static DorisStatus apply_rounds(DorisApply *a, DorisError *err)
{
	ApplyRun *r = &a->run;
	DorisClient *c = r->c;
	DorisStatus st;

	for (;;)
	{
		if (!a->open)
			apply_open(a);
		st = a->st;
		if (st == DORIS_OK)
			st = round_wait(r, err);
		else
			*err = a->err;
		run_clear(r);
		a->open = false;
		if (st != DORIS_OK && (r->moved || r->down) && clock_mono_ms() < c->until)
		{
			/* what was collected is void (I3): all again, the same stamp, to the new targets */
			bool gone = st == DORIS_NO_NAMESPACE;
			DorisError why = *err;

			st = client_moved(c, a->used, c->until, err);
			if (st == DORIS_OK && gone && c->topo->epoch == a->used)
			{
				*err = why;
				st = why.code;
			}
			if (st != DORIS_OK)
				return st;
			continue;
		}
		if (st != DORIS_OK || memchr(r->higher, true, a->n) == NULL)
			return st;
		if (a->restamps++ >= APPLY_RESTAMPS)
		{
			int over = a->restamps - APPLY_RESTAMPS;
			int most = 1 << (over < 5 ? over : 5);

			if (clock_mono_ms() >= c->until)
				return doris_error(err, DORIS_UNKNOWN,
								   "other writers of the same keys were faster %d times",
								   a->restamps);
			st = client_pause(c, 1 + (int) randombytes_uniform((uint32_t) most), err);
			if (st != DORIS_OK)
				return st;
		}
		memcpy(a->wanted, r->higher, a->n);
		r->version = client_version(c);
	}
}

DorisStatus doris_apply_end(DorisApply *a, DorisError *err)
{
	DorisStatus st = DORIS_OK;

	err->code = DORIS_OK;
	if (a->n > 0)
	{
		client_begin(a->run.c);
		round_resume(&a->run);
		st = apply_rounds(a, err);
	}
	if (st != DORIS_OK && st != DORIS_UNKNOWN && a->run.arrived)
	{
		DorisError why = *err;

		doris_error(err, DORIS_UNKNOWN, "some of the rows may have been written: %.400s",
					why.message);
		st = doris_hint(err, "%.250s",
						why.hint[0] != '\0' ? why.hint : "Writing them again is harmless.");
	}
	apply_free(a);
	return st;
}

void doris_apply_abandon(DorisApply *a)
{
	DorisClient *c = a->run.c;
	DorisError ignored;

	/* its copies should not be left different: the rest goes out, if that takes a moment only */
	if (a->open && a->st == DORIS_OK)
	{
		client_begin(c);
		c->until = clock_mono_ms() + CLIENT_LEARN_MS;
		c->no_cancel = true;
		round_resume(&a->run);
		(void) round_wait(&a->run, &ignored);
		c->no_cancel = false;
	}
	apply_free(a);
}

DorisStatus doris_apply(DorisClient *c, const DorisWrite *writes, uint32_t n, DorisError *err)
{
	DorisApply *a;
	DorisStatus st = doris_apply_start(c, writes, n, &a, err);

	return st == DORIS_OK ? doris_apply_end(a, err) : st;
}
