/*
 * replay.c: the replayer of a log node: sends what is kept for nodes that are up again (rule hints).
 *
 * One thread. For each target that the topology calls up and that has hints there is a Drain: messages of REPLAY, oldest
 * hints first, one in flight for each target, all targets side by side; nobody waits for one that hangs. What was answered is
 * deleted; what a crash on either side leaves is sent again. After an error a target is left alone for a while, longer each
 * time. Hints of targets that are dead or unknown are dropped.
 *
 * Foreground work goes first: the sending of all targets together is paced (--replay-rate), each target gets a pause after
 * each message, and a long one when its answers become slow.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ask.h"
#include "fault.h"
#include "hints.h"

#define IDLE_MS 100		 /* between looks when there is nothing to do */
#define BUSY_MS 10		 /* ... when answers are awaited */
#define MAX_DRAINS 64	 /* targets at a time (I6: each holds about 2 MiB) */
#define DEADLINE_MS 5000 /* of one message, and ... */
#define DEADLINE_MS_PER_MB 500
#define PAUSE_FIRST_MS 100 /* after an error, doubled each time up to ... */
#define PAUSE_LAST_MS 5000
#define NOTHING_PAUSE_MS 200 /* counted, but not in the store yet */
#define PAUSE_SHARE 2		 /* of the time the target took: its rest after each message */
#define SLOW_FACTOR 3		 /* so much slower than it can be: it rests as long as it took */
#define SLOW_PAUSE_MS 250
#define DROP_STEP 1000
#define DROP_STEPS 20 /* each round: others drain meanwhile */
#define RATE_MS 2000  /* the rate is measured over */

typedef enum DrainState
{
	DRAIN_IDLE,
	DRAIN_REPLAY,	/* REPLAY is under way */
	DRAIN_TOPOLOGY, /* the target was behind: TOPOLOGY_PUT is under way */
	DRAIN_SETTLE	/* answered; not out of the store yet */
} DrainState;

typedef struct Drain
{
	uint32_t target;
	bool wanted; /* still up and with hints, as of this round */
	DrainState state;
	Ask ask;
	HintBatch batch;
	uint8_t results[HINTS_BATCH];
	uint64_t from;	  /* sequences below it have been sent; 0: from the start */
	uint32_t single;  /* so many hints are sent one by one: a message with them was refused */
	uint64_t next_us; /* monotonic: not before */
	uint64_t sent_us; /* monotonic: when the message went out */
	uint64_t
		best_us; /* what the target takes for a KiB or an item when it has nothing else to do, about */
	int errors;						  /* in a row */
	uint64_t began_us;				  /* for the log */
	uint64_t done[REPLAY_POISON + 1]; /* hints by ReplayResult, for the log */
	struct Drain *next;
} Drain;

typedef struct Replayer
{
	Worker w;
	Drain *drains;
	uint32_t ndrains;
	uint64_t epoch;		 /* as of the last round */
	uint64_t send_us;	 /* monotonic: the next message may go (the rate) */
	uint64_t rate_us;	 /* the present measurement began */
	uint64_t rate_bytes; /* settled since */
} Replayer;

static uint64_t mono_us(void)
{
	struct timespec ts;

	(void) clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t) ts.tv_sec * 1000000u + (uint64_t) ts.tv_nsec / 1000u;
}

/* ---- one target ---- */

static void drain_free(Drain *d)
{
	ask_free(&d->ask);
	hint_batch_free(&d->batch);
	free(d);
}

static void drain_pause(Drain *d, uint64_t ms)
{
	d->next_us = mono_us() + ms * 1000;
}

/* Left alone for a while; what was under way is asked again then. */
static void drain_failed(Replayer *r, Drain *d, const DorisError *err)
{
	uint64_t pause = PAUSE_FIRST_MS << (d->errors < 6 ? d->errors : 6);

	if (pause > PAUSE_LAST_MS)
		pause = PAUSE_LAST_MS;
	node_count(r->w.node, COUNT_REPLAY_ERRORS, 1);
	/* told once, then only when it lasts: the admin finds out by itself that a node is down */
	log_line(d->errors == 3 ? LOG_WARNING : LOG_DEBUG,
			 "replaying hints to node %u: %s; again in %llu ms", d->target, err->message,
			 (unsigned long long) pause);
	d->errors++;
	d->state = DRAIN_IDLE;
	drain_pause(d, pause);
}

/* Its answer tells how much the target has to do besides. */
static void drain_rest(Drain *d)
{
	uint64_t took = mono_us() - d->sent_us;
	uint64_t unit = took / (d->batch.bytes / 1024 + d->batch.n + 1) + 1;
	bool slow;

	if (d->best_us == 0 || unit < d->best_us)
		d->best_us = unit;
	else
		d->best_us += (unit - d->best_us) / 64; /* what was good once is forgotten slowly */
	slow = unit > SLOW_FACTOR * d->best_us;
	d->next_us = mono_us() + (slow ? (took < SLOW_PAUSE_MS * 1000 ? took : SLOW_PAUSE_MS * 1000)
								   : took / PAUSE_SHARE);
}

static DorisStatus send_batch(Replayer *r, Drain *d, DorisError *err)
{
	ReplayRequest m = {d->batch.n, d->batch.items};
	DorisBuf *body = &r->w.body;
	DorisBytes bytes;
	int deadline = DEADLINE_MS + DEADLINE_MS_PER_MB * (int) (d->batch.bytes >> 20);

	buf_reset(body);
	replay_request_encode(body, &m);
	if (body->failed)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory");
	bytes.data = body->data;
	bytes.len = body->len;
	d->state = DRAIN_REPLAY;
	d->sent_us = mono_us();
	return ask_begin(&d->ask, MSG_REPLAY, bytes, deadline, err);
}

static DorisStatus send_topology(Replayer *r, Drain *d, DorisError *err)
{
	DorisBuf *body = &r->w.body;
	DorisBytes bytes;

	buf_reset(body);
	if (!ask_put_topology(r->w.node, body))
		return doris_error(err, DORIS_NO_MEMORY, "out of memory");
	bytes.data = body->data;
	bytes.len = body->len;
	d->state = DRAIN_TOPOLOGY;
	return ask_begin(&d->ask, MSG_TOPOLOGY_PUT, bytes, DEADLINE_MS, err);
}

/* The next hints, when the target and the rate allow. */
static void drain_begin(Replayer *r, Drain *d)
{
	Node *n = r->w.node;
	uint64_t now = mono_us();
	DorisError err = {0};
	DorisStatus st;

	if (now < d->next_us || now < r->send_us)
		return;
	st = hints_load(&r->w, d->target, d->from, d->single > 0 ? 1 : HINTS_BATCH, &d->batch, &err);
	if (st == DORIS_OK && d->batch.n == 0)
	{
		/* one whose commit came later than that of a higher sequence is found from the start */
		if (d->from == 0)
			drain_pause(d, NOTHING_PAUSE_MS);
		d->from = 0;
		return;
	}
	if (st == DORIS_OK && d->batch.damaged)
	{
		d->results[0] = REPLAY_POISON;
		d->state = DRAIN_SETTLE;
		return;
	}
	if (st == DORIS_OK)
		st = send_batch(r, d, &err);
	if (st != DORIS_OK)
	{
		drain_failed(r, d, &err);
		return;
	}
	node_count(n, COUNT_REPLAY_SENT, d->batch.n);
	r->send_us = (r->send_us > now ? r->send_us : now) +
				 d->batch.bytes * 1000000u / (n->config.replay_rate_mb << 20);
}

static DorisStatus read_results(Drain *d, DorisCursor *c, DorisError *err)
{
	uint32_t n = cursor_u32(c);

	for (uint32_t i = 0; i < d->batch.n && n == d->batch.n; i++)
	{
		d->results[i] = cursor_u8(c);
		if (d->results[i] < REPLAY_APPLIED || d->results[i] > REPLAY_POISON)
			c->bad = true;
	}
	if (n != d->batch.n || !cursor_at_end(c))
		return doris_error(err, DORIS_IO, "%s answers something else", d->ask.who);
	return DORIS_OK;
}

/*
 * The target took nothing of the message: it cannot even be read there. Sent one by one the others pass, and the
 * one that still does not is poison.
 */
static void drain_refused(Drain *d)
{
	if (d->batch.n > 1)
	{
		d->single = d->batch.n;
		d->state = DRAIN_IDLE;
		return;
	}
	d->results[0] = REPLAY_POISON;
	d->state = DRAIN_SETTLE;
}

static void drain_look(Replayer *r, Drain *d)
{
	DorisError err = {0};
	DorisCursor c;
	DorisStatus st;

	if (!ask_look(&d->ask, 0, &st, &c, &err))
		return;
	if (d->state == DRAIN_TOPOLOGY)
	{
		if (st == DORIS_OK)
			st = send_batch(r, d, &err);
	}
	else if (st == DORIS_BEHIND)
		st = send_topology(r, d, &err);
	else if (st == DORIS_BAD_MESSAGE || st == DORIS_TOO_BIG)
	{
		drain_refused(d);
		return;
	}
	else if (st == DORIS_OK)
	{
		drain_rest(d);
		st = read_results(d, &c, &err);
		if (st == DORIS_OK)
			d->state = DRAIN_SETTLE;
	}
	if (st != DORIS_OK)
		drain_failed(r, d, &err);
}

static void drain_settle(Replayer *r, Drain *d)
{
	DorisError err = {0};
	DorisStatus st;

	FAULT_POINT("node_replay_answered");
	st = hints_settle(&r->w, &d->batch, d->results, &err);
	if (st != DORIS_OK)
	{
		/* sent again: harmless */
		drain_failed(r, d, &err);
		return;
	}
	FAULT_POINT("node_replay_settled");
	r->rate_bytes += d->batch.bytes;
	d->from = d->batch.sequences[d->batch.n - 1] + 1;
	for (uint32_t i = 0; i < d->batch.n; i++)
		d->done[d->results[i]]++;
	d->single -= d->single > 0 ? 1 : 0;
	d->errors = 0;
	d->state = DRAIN_IDLE;
	if (d->batch.kept.cap > 2 * DORIS_BATCH_BYTES)
		buf_free(&d->batch.kept);
}

static void drain_step(Replayer *r, Drain *d)
{
	if (d->state == DRAIN_REPLAY || d->state == DRAIN_TOPOLOGY)
		drain_look(r, d);
	if (d->state == DRAIN_SETTLE)
		drain_settle(r, d);
	if (d->state == DRAIN_IDLE)
		drain_begin(r, d);
}

/* ---- which targets ---- */

typedef enum TargetFate
{
	TARGET_WAIT, /* down: its hints are kept */
	TARGET_UP,
	TARGET_GONE
} TargetFate;

/* With the epoch lock held for reading. */
static TargetFate fate_of(const Node *n, uint32_t target, const TopoNode **out)
{
	*out = topology_node(n->placement->topo, target);
	if (n->placement->dead || !atomic_load(&n->serving))
		return TARGET_WAIT;
	if (*out == NULL || (*out)->condition == NODE_DEAD)
		return TARGET_GONE;
	/* down, and its vnodes have moved away, or its group was dropped: if ever one comes back to it, all of it does */
	if ((*out)->condition == NODE_DOWN && (*out)->role == NODE_SPARE)
		return TARGET_GONE;
	return (*out)->condition == NODE_UP ? TARGET_UP : TARGET_WAIT;
}

static void drain_want(Replayer *r, const TopoNode *node, uint64_t hints)
{
	Drain *d = r->drains;

	while (d != NULL && d->target != node->id)
		d = d->next;
	if (d != NULL && !ask_is_for(&d->ask, node->address))
		return; /* it moved: this drain ends, the next round makes another */
	if (d == NULL)
	{
		char who[DORIS_NAME_MAX + 8];

		if (r->ndrains >= MAX_DRAINS)
			return;
		d = calloc(1, sizeof(*d));
		if (d == NULL)
			return; /* the next round tries again */
		(void) snprintf(who, sizeof(who), "node %s", node->name);
		ask_init(&d->ask, r->w.node, who, node->address);
		d->target = node->id;
		d->began_us = mono_us();
		d->next = r->drains;
		r->drains = d;
		r->ndrains++;
		log_line(LOG_INFO, "node %s is up: replaying %llu hints", node->name,
				 (unsigned long long) hints);
	}
	d->wanted = true;
}

static void drop_gone(Replayer *r, uint32_t target)
{
	DorisError err = {0};
	bool done;

	for (int i = 0; i < DROP_STEPS; i++)
	{
		if (hints_drop(&r->w, target, DROP_STEP, &done, &err) != DORIS_OK)
		{
			log_line(LOG_WARNING, "dropping the hints of node %u: %s", target, err.message);
			return;
		}
		if (done)
		{
			log_line(LOG_INFO, "node %u has no copies any more: its hints are dropped", target);
			return;
		}
	}
}

static void end_drains(Replayer *r, bool stopping)
{
	Drain **p = &r->drains;

	while (*p != NULL)
	{
		Drain *d = *p;

		if (d->wanted && !stopping)
		{
			p = &d->next;
			continue;
		}
		if (!stopping)
			log_line(
				LOG_INFO,
				"replayed hints to node %u for %.1f s: %llu taken, %llu no longer wanted, %llu "
				"set aside",
				d->target, (double) (mono_us() - d->began_us) / 1e6,
				(unsigned long long) d->done[REPLAY_APPLIED],
				(unsigned long long) d->done[REPLAY_OBSOLETE],
				(unsigned long long) d->done[REPLAY_POISON]);
		*p = d->next;
		r->ndrains--;
		drain_free(d);
	}
	if (r->w.body.cap > 2 * DORIS_BATCH_BYTES)
		buf_free(&r->w.body);
}

/* Compares what is kept with the topology. False: nothing to do at all. */
static bool look_around(Replayer *r)
{
	Node *n = r->w.node;
	Backlog *list = NULL;
	uint32_t nlist = 0;
	uint64_t epoch = atomic_load(&n->epoch);
	DorisError err = {0};
	bool any;

	if (hints_backlogs(n, &list, &nlist, &err) != DORIS_OK)
		return false;
	for (Drain *d = r->drains; d != NULL; d = d->next)
	{
		d->wanted = false;
		if (epoch != r->epoch) /* perhaps it is only now that the target can take them */
		{
			d->errors = 0;
			d->next_us = 0;
		}
	}
	r->epoch = epoch;
	for (uint32_t i = 0; i < nlist; i++)
	{
		const TopoNode *node;
		TargetFate fate = TARGET_WAIT;

		(void) pthread_rwlock_rdlock(&n->epoch_lock);
		if (n->placement != NULL)
			fate = fate_of(n, list[i].target, &node);
		if (fate == TARGET_UP && list[i].hints > 0)
			drain_want(r, node, list[i].hints);
		(void) pthread_rwlock_unlock(&n->epoch_lock);
		if (fate == TARGET_GONE)
			drop_gone(r, list[i].target);
	}
	free(list);
	any = nlist > 0;
	end_drains(r, false);
	return any;
}

/* ---- the thread ---- */

static void measure(Replayer *r)
{
	uint64_t now = mono_us();

	if (now - r->rate_us < RATE_MS * 1000)
		return;
	atomic_store(&r->w.node->replay_rate, r->rate_bytes * 1000000u / (now - r->rate_us));
	r->rate_us = now;
	r->rate_bytes = 0;
}

/* Until an answer comes, or it is time for the next message. */
static void rest(const Replayer *r)
{
	struct pollfd fds[MAX_DRAINS];
	nfds_t nfds = 0;
	uint64_t now = mono_us();
	uint64_t until = now + IDLE_MS * 1000;

	for (const Drain *d = r->drains; d != NULL; d = d->next)
	{
		uint64_t at = d->next_us > r->send_us ? d->next_us : r->send_us;

		if (d->state == DRAIN_REPLAY || d->state == DRAIN_TOPOLOGY)
		{
			at = now + BUSY_MS * 1000;
			if (d->ask.sent)
				fds[nfds++] = (struct pollfd){channel_receive_fd(d->ask.channel), POLLIN, 0};
		}
		if (at < until)
			until = at;
	}
	if (until > now)
		(void) poll(fds, nfds, (int) ((until - now + 999) / 1000));
}

static void *replay_main(void *arg)
{
	Node *n = arg;
	Replayer r = {.rate_us = mono_us()};
	DorisError err = {0};

	if (worker_init(&r.w, n, &err) != DORIS_OK)
	{
		log_line(LOG_ERROR, "%s", err.message);
		node_stop(n, 1);
		return NULL;
	}
	while (!atomic_load(&n->stopping))
	{
		if (!look_around(&r))
			n->driver->idle(r.w.ss);
		for (Drain *d = r.drains; d != NULL; d = d->next)
			drain_step(&r, d);
		measure(&r);
		rest(&r);
	}
	end_drains(&r, true);
	worker_free(&r.w);
	return NULL;
}

DorisStatus replay_start(Node *n, pthread_t *thread, DorisError *err)
{
	int rc = pthread_create(thread, NULL, replay_main, n);

	if (rc != 0)
		return doris_error(err, DORIS_NO_MEMORY, "starting the replayer: %s", strerror(rc));
	return DORIS_OK;
}
