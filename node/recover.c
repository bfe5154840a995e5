/*
 * recover.c: bringing this node's incomplete copies to the point where they may be called complete (I2, rule complete).
 *
 * A thread of its own. In rounds: each copy that is not ready gets a source, the owner of a complete copy that is up; from one
 * source, all copies are passed (pass.c), then its memory is taken, then they judge, in small groups, and settle with the source
 * what is staged (agree.c); they are compared (confirm.c); what is ready is named in the node's reports until the leader publishes it. Equal copies cost one
 * look at sums that are kept.
 *
 * The state of each copy is in memory only. A topology that changes the vnode voids it (recover_void, under the epoch
 * lock), and so does a restart: then it begins again, and what has been taken over before makes it short.
 */
#include "recover.h"

#include <stdlib.h>
#include <string.h>

#include "fault.h"

#define IDLE_MS 200
#define RETRY_MS 100	 /* between rounds that left something to do */
#define ROUND_MS 20000	 /* then the memory is taken and what is passed made ready */
#define DIGEST_BATCH 64	 /* vnodes in one request */
#define JUDGE_BATCH 64	 /* copies that judge but are not settled yet, at most */
#define RECORD_BYTES 200 /* guessed, until some were seen */

/* ---- state of the copies ---- */

DorisStatus recover_open(Node *n, DorisError *err)
{
	Recovery *v = &n->recovery;
	pthread_condattr_t attr;

	(void) pthread_mutex_init(&v->lock, NULL);
	(void) pthread_condattr_init(&attr);
	(void) pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void) pthread_cond_init(&v->wake, &attr);
	(void) pthread_condattr_destroy(&attr);
	v->state = calloc(DORIS_MAX_VNODES, sizeof(*v->state));
	v->wanted = calloc(DORIS_MAX_VNODES, sizeof(*v->wanted));
	if (v->state == NULL || v->wanted == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory");
	return learned_open(n, err);
}

void recover_close(Node *n)
{
	free(n->recovery.state);
	free(n->recovery.wanted);
	learned_close(n);
	n->recovery.state = NULL;
	n->recovery.wanted = NULL;
}

static void wake(Node *n)
{
	Recovery *v = &n->recovery;

	(void) pthread_mutex_lock(&v->lock);
	v->woken = true;
	(void) pthread_cond_signal(&v->wake);
	(void) pthread_mutex_unlock(&v->lock);
}

void recover_void(Node *n, const Placement *old, const Placement *p)
{
	Recovery *r = &n->recovery;
	uint32_t open = 0;

	for (uint32_t v = 0; v < p->topo->vnodes; v++)
	{
		bool wanted = (p->place[v] & PLACE_RECOVER) != 0;

		if (!wanted || old == NULL || (old->place[v] & PLACE_RECOVER) == 0 ||
			old->changed[v] != p->changed[v])
			atomic_store(&r->state[v], COPY_NONE);
		if (wanted && atomic_load(&r->state[v]) != COPY_READY)
			open++;
	}
	if (open > 0 && atomic_load(&r->open) == 0)
	{
		atomic_store(&r->bytes, 0);
		atomic_store(&r->expected, 0);
	}
	atomic_store(&r->open, open);
	if (open > 0)
		wake(n);
}

void recover_want(Node *n, uint32_t vnode)
{
	Recovery *r = &n->recovery;

	if (atomic_exchange(&r->wanted[vnode], 1) != 0)
		return;
	atomic_fetch_add(&r->nwanted, 1);
	wake(n);
}

static bool is_still(const Node *n, uint32_t vnode, uint64_t changed)
{
	const Placement *p = n->placement;

	return p != NULL && vnode < p->topo->vnodes && p->changed[vnode] == changed &&
		   (p->place[vnode] & PLACE_RECOVER) != 0;
}

bool recover_still(Node *n, uint32_t vnode, uint64_t changed, uint64_t *epoch)
{
	bool still;

	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	still = is_still(n, vnode, changed);
	*epoch = n->placement == NULL ? 0 : n->placement->topo->epoch;
	(void) pthread_rwlock_unlock(&n->epoch_lock);
	return still;
}

/* False: void. A STAGE that is under way is either before or after the step to judging: the vnode's lock parts them. */
static bool move_to(Recoverer *r, const Todo *t, CopyState to)
{
	Worker *w = &r->w;
	Node *n = w->node;
	bool still;

	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	still = is_still(n, t->vnode, t->changed);
	if (still)
	{
		locks_clear(w);
		locks_add(w, t->vnode);
		locks_take(w);
		atomic_store(&n->recovery.state[t->vnode], (uint8_t) to);
		locks_release(w);
		if (to == COPY_READY)
			atomic_fetch_sub(&n->recovery.open, 1);
	}
	(void) pthread_rwlock_unlock(&n->epoch_lock);
	return still;
}

void recover_report(Node *n, NodeReport *out)
{
	Recovery *r = &n->recovery;
	uint32_t vnodes;
	uint32_t from;

	out->recovering = atomic_load(&r->open);
	out->recovered_bytes = atomic_load(&r->bytes);
	out->recover_bytes = atomic_load(&r->expected);
	if (out->recover_bytes < out->recovered_bytes)
		out->recover_bytes = out->recovered_bytes;
	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	vnodes = n->placement == NULL ? 0 : n->placement->topo->vnodes;
	from = vnodes == 0 ? 0 : atomic_load(&r->next_ready) % vnodes;
	for (uint32_t i = 0; i < vnodes && out->nready < DORIS_MAX_READY; i++)
	{
		uint32_t v = (from + i) % vnodes;

		if (atomic_load(&r->state[v]) != COPY_READY)
			continue;
		if (out->ready == NULL)
			out->ready = calloc(DORIS_MAX_READY, sizeof(*out->ready));
		if (out->ready == NULL)
			break; /* the next report tells */
		out->ready[out->nready].vnode = v;
		out->ready[out->nready].changed = n->placement->changed[v];
		out->nready++;
		atomic_store(&r->next_ready, v + 1);
	}
	(void) pthread_rwlock_unlock(&n->epoch_lock);
}

/* ---- sources ---- */

DorisStatus recoverer_init(Recoverer *r, Node *n, DorisError *err)
{
	memset(r, 0, sizeof(*r));
	return worker_init(&r->w, n, err);
}

void recoverer_free(Recoverer *r)
{
	for (uint32_t i = 0; i < r->nsources; i++)
	{
		source_free(r->sources[i]);
		free(r->sources[i]);
	}
	free(r->sources);
	free(r->todo);
	worker_free(&r->w);
}

/* The source for a node of the topology; NULL: no memory. */
static Source *source_of(Recoverer *r, const TopoNode *node)
{
	Source **p;
	Source *s;

	for (uint32_t i = 0; i < r->nsources; i++)
	{
		s = r->sources[i];
		if (s->id != node->id)
			continue;
		if (!ask_is_for(&s->quick, node->address))
		{
			source_free(s);
			source_init(s, &r->w, node);
		}
		return s;
	}
	s = malloc(sizeof(*s));
	p = s == NULL ? NULL : realloc(r->sources, (r->nsources + 1) * sizeof(Source *));
	if (p == NULL)
	{
		free(s);
		return NULL;
	}
	source_init(s, &r->w, node);
	r->sources = p;
	r->sources[r->nsources++] = s;
	return s;
}

static Source *find_source(Recoverer *r, uint32_t id)
{
	for (uint32_t i = 0; i < r->nsources; i++)
	{
		if (r->sources[i]->id == id)
			return r->sources[i];
	}
	return NULL;
}

/* The first owner of a complete copy that is up and not left alone for now. With the epoch lock held for reading. */
static Source *choose_source(Recoverer *r, uint32_t vnode)
{
	const Node *n = r->w.node;
	const TopoNode *readers[DORIS_MAX_GROUPS];
	int count = topology_readers(n->placement->topo, vnode, 0, readers);

	for (int i = 0; i < count; i++)
	{
		Source *s;

		if (readers[i]->condition != NODE_UP || readers[i]->id == atomic_load(&n->node_id))
			continue;
		s = source_of(r, readers[i]);
		if (s != NULL && s->not_before <= clock_mono_ms())
			return s;
	}
	return NULL;
}

/* ---- what others have missed here ---- */

static void serve_want(Recoverer *r, uint32_t vnode)
{
	Node *n = r->w.node;
	Source *s = NULL;
	uint64_t changed = 0;
	bool judges = false;
	DorisError err = {0};
	DorisStatus st;

	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	if (vnode < n->placement->topo->vnodes && (n->placement->place[vnode] & PLACE_RECOVER) != 0)
	{
		changed = n->placement->changed[vnode];
		judges = atomic_load(&n->recovery.state[vnode]) >= COPY_JUDGING;
		s = choose_source(r, vnode);
	}
	(void) pthread_rwlock_unlock(&n->epoch_lock);
	if (s == NULL)
		return; /* complete by now, or no source: whoever missed it asks again */
	st = agree_want(r, s, vnode, changed, judges, &err);
	if (st != DORIS_OK)
		log_line(LOG_DEBUG, "taking what is staged in vnode %u: %s", vnode, err.message);
}

void recover_serve_wants(Recoverer *r)
{
	Recovery *v = &r->w.node->recovery;

	if (r->serving_wants || atomic_load(&v->nwanted) == 0)
		return;
	r->serving_wants = true;
	for (uint32_t i = 0; i < DORIS_MAX_VNODES && atomic_load(&v->nwanted) > 0; i++)
	{
		if (atomic_load(&v->wanted[i]) == 0)
			continue;
		/* taken off first: who asks from now on sets it again */
		atomic_store(&v->wanted[i], 0);
		atomic_fetch_sub(&v->nwanted, 1);
		serve_want(r, i);
	}
	r->serving_wants = false;
}

/* ---- a round ---- */

/* Copies of this node's own first: until they are complete, less than was promised is there; what moves is only growth. */
static int by_source(const void *a, const void *b)
{
	const Todo *x = a;
	const Todo *y = b;

	if (x->moving != y->moving)
		return x->moving ? 1 : -1;
	if (x->source != y->source)
		return x->source < y->source ? -1 : 1;
	return x->vnode < y->vnode ? -1 : x->vnode > y->vnode;
}

/* Fills r->todo with the copies that are not ready and have a source; *open: all that are not ready. */
static DorisStatus plan(Recoverer *r, uint32_t *open, DorisError *err)
{
	Node *n = r->w.node;
	uint32_t cap = 0;
	DorisStatus st = DORIS_OK;

	r->ntodo = 0;
	*open = 0;
	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	for (uint32_t v = 0; st == DORIS_OK && v < n->placement->topo->vnodes; v++)
	{
		Source *s;

		if ((n->placement->place[v] & PLACE_RECOVER) == 0 ||
			atomic_load(&n->recovery.state[v]) == COPY_READY)
			continue;
		(*open)++;
		s = choose_source(r, v);
		if (s == NULL)
			continue;
		if (r->ntodo == cap)
		{
			Todo *p;

			cap = cap == 0 ? 64 : cap * 2;
			p = realloc(r->todo, cap * sizeof(*p));
			if (p == NULL)
			{
				st = doris_error(err, DORIS_NO_MEMORY, "%s: out of memory", node_name(n));
				break;
			}
			r->todo = p;
		}
		r->todo[r->ntodo++] = (Todo){.vnode = v,
									 .changed = n->placement->changed[v],
									 .source = s->id,
									 .moving = (n->placement->place[v] & PLACE_MOVING) != 0};
	}
	(void) pthread_rwlock_unlock(&n->epoch_lock);
	if (r->ntodo > 1)
		qsort(r->todo, r->ntodo, sizeof(*r->todo), by_source);
	return st;
}

bool recover_may_go_on(Source *s, Todo *t, DorisStatus st, const DorisError *err)
{
	t->failed = true;
	t->passed = false;
	if (source_is_down(st))
	{
		if (st != DORIS_CANCELLED)
			log_line(s->failures == 0 ? LOG_WARNING : LOG_DEBUG, "recovering from %s: %s",
					 s->quick.who, err->message);
		source_failed(s);
		return false;
	}
	log_line(st == DORIS_STALE_EPOCH || st == DORIS_NOT_OWNER ? LOG_DEBUG : LOG_WARNING,
			 "recovering vnode %u from %s: %s", t->vnode, s->quick.who, err->message);
	return st != DORIS_DISK_FULL && st != DORIS_NO_MEMORY && st != DORIS_IO;
}

/* What is to come, by the records that the source has more. */
static void estimate(Recoverer *r)
{
	Node *n = r->w.node;
	uint64_t rows;
	uint64_t bytes;
	uint64_t each = RECORD_BYTES;
	uint64_t missing = 0;

	counters_total(n, &rows, &bytes);
	if (rows > 0)
		each = bytes / rows + 40;
	for (uint32_t i = 0; i < r->ntodo; i++)
	{
		if (!r->todo[i].passed)
			missing += r->todo[i].missing;
	}
	atomic_store(&n->recovery.expected, atomic_load(&n->recovery.bytes) + missing * each);
}

bool recover_digests(Recoverer *r, Source *s, Todo *todo, uint32_t n)
{
	uint32_t vnodes[DIGEST_BATCH];
	SourceSum sums[DIGEST_BATCH];
	DorisError err = {0};
	uint32_t batch = DIGEST_BATCH;

	for (uint32_t i = 0; i < n;)
	{
		uint32_t count = n - i < batch ? n - i : batch;
		uint32_t got;
		DorisStatus st;

		for (uint32_t k = 0; k < count; k++)
			vnodes[k] = todo[i + k].vnode;
		st = source_digests(s, vnodes, count, sums, &got, &err);
		for (uint32_t k = 0; st == DORIS_OK && k < got; k++)
			todo[i + k].theirs = sums[k];
		if (st == DORIS_OK)
			i += got;
		else if (count > 1 && !source_is_down(st))
			batch = 1; /* one of them is the reason */
		else if (!recover_may_go_on(s, &todo[i], st, &err))
			return false;
		else
			i++;
		if (st == DORIS_OK && batch == 1 && count == 1 && n - i > DIGEST_BATCH)
			batch = DIGEST_BATCH;
		recover_serve_wants(r);
	}
	return true;
}

/* False: void by now, or an older copy is still being cleared. Not for a vnode that has just gone elsewhere. */
static bool make_table(Recoverer *r, const Todo *t)
{
	Node *n = r->w.node;
	DorisError err;
	bool made;

	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	made = is_still(n, t->vnode, t->changed) && tables_need(&r->w, t->vnode, &err) == DORIS_OK;
	(void) pthread_rwlock_unlock(&n->epoch_lock);
	return made;
}

static bool pass_one(Recoverer *r, Source *s, Todo *t)
{
	DorisError err = {0};
	DorisStatus st;

	if (!move_to(r, t, COPY_PASSING) || !make_table(r, t))
	{
		t->failed = true;
		return true;
	}
	r->moving = t->moving;
	st = pass_vnode(r, s, t, &err);
	r->moving = false;
	if (st == DORIS_OK)
		st = recover_between(r, 0, &err);
	if (st == DORIS_OK)
		t->passed = true;
	return st == DORIS_OK || recover_may_go_on(s, t, st, &err);
}

/* A place where tests kill the process or put something in between. */
static void step(Recoverer *r, const char *name)
{
	FAULT_POINT(name);
	if (r->on_step != NULL)
		r->on_step(r->step_arg, name);
}

/* Some passed copies: they judge, settle, and are ready. */
static bool settle_some(Recoverer *r, Source *s, Todo *todo, uint32_t n)
{
	Node *node = r->w.node;
	DorisError err = {0};
	bool good = true;
	DorisStatus st;

	for (uint32_t i = 0; i < n; i++)
	{
		todo[i].failed = !move_to(r, &todo[i], COPY_JUDGING);
		todo[i].passed = !todo[i].failed;
	}
	step(r, "recover_judging");
	/* only now: what was staged before at the source is in these lists, what comes later is judged here too */
	good = recover_digests(r, s, todo, n);
	for (uint32_t i = 0; good && i < n; i++)
	{
		if (todo[i].failed)
			continue;
		st = agree_vnode(r, s, &todo[i], &err);
		if (st != DORIS_OK)
			good = recover_may_go_on(s, &todo[i], st, &err);
		else
			todo[i].theirs.kept.staged = 0; /* settled */
	}
	step(r, "recover_settled");
	if (!good || !confirm_copies(r, s, todo, n))
		return false;
	/* who hears "ready" builds on it */
	st = commit_flush_all(&r->w, &err);
	if (st != DORIS_OK)
	{
		log_line(LOG_WARNING, "recovering: %s", err.message);
		return false;
	}
	for (uint32_t i = 0; i < n; i++)
	{
		if (!todo[i].failed && move_to(r, &todo[i], COPY_READY))
		{
			r->made_ready++;
			node_count(node, COUNT_READY, 1);
		}
	}
	return true;
}

/* All copies that are to come from one source, moving ones or not. */
static void recover_from(Recoverer *r, Source *s, Todo *todo, uint32_t n)
{
	DorisError err = {0};
	uint32_t passed = 0;
	DorisStatus st;

	if (!recover_digests(r, s, todo, n))
		return;
	for (uint32_t i = 0; i < n; i++)
	{
		const Kept *mine = &r->w.node->kept[todo[i].vnode];
		int64_t records = atomic_load(&mine->records);

		if (!todo[i].failed && (int64_t) todo[i].theirs.kept.records > records)
			todo[i].missing = todo[i].theirs.kept.records - (uint64_t) records;
	}
	estimate(r);
	for (uint32_t i = 0; i < n && clock_mono_ms() < r->round_until; i++)
	{
		if (todo[i].failed)
			continue;
		if (!pass_one(r, s, &todo[i]))
			return;
		if (todo[i].missing > 0)
			estimate(r);
	}
	for (uint32_t i = 0; i < n; i++)
	{
		if (todo[i].passed)
			todo[passed++] = todo[i];
	}
	if (passed == 0)
		return;
	step(r, "recover_passed");
	st = pass_memory(r, s, &err);
	if (st != DORIS_OK)
	{
		(void) recover_may_go_on(s, &todo[0], st, &err);
		return;
	}
	step(r, "recover_memory");
	for (uint32_t i = 0; i < passed; i += JUDGE_BATCH)
	{
		uint32_t count = passed - i < JUDGE_BATCH ? passed - i : JUDGE_BATCH;

		if (!settle_some(r, s, &todo[i], count))
			return;
	}
	step(r, "recover_ready");
	source_worked(s);
}

DorisStatus recover_round(Recoverer *r, uint32_t *left, DorisError *err)
{
	DorisStatus st = plan(r, left, err);

	if (st != DORIS_OK || *left == 0)
		return st;
	if (r->ntodo == 0)
	{
		if (!r->told_waiting)
			log_line(LOG_INFO, "%u copies wait for a complete copy that is up", *left);
		r->told_waiting = true;
		return DORIS_OK;
	}
	r->told_waiting = false;
	r->round_until = clock_mono_ms() + ROUND_MS;
	for (uint32_t i = 0; i < r->ntodo && !atomic_load(&r->w.node->stopping);)
	{
		uint32_t end = i + 1;
		Source *s = find_source(r, r->todo[i].source);

		while (end < r->ntodo && r->todo[end].source == r->todo[i].source &&
			   r->todo[end].moving == r->todo[i].moving)
			end++;
		if (s != NULL)
			recover_from(r, s, &r->todo[i], end - i);
		i = end;
	}
	*left = atomic_load(&r->w.node->recovery.open);
	return DORIS_OK;
}

/* ---- the thread ---- */

static void tell_begin(Recoverer *r)
{
	if (r->began_ms != 0)
		return;
	r->began_ms = clock_mono_ms();
	r->made_ready = 0;
	log_line(LOG_INFO, "recovering %u copies", atomic_load(&r->w.node->recovery.open));
}

static void tell_end(Recoverer *r)
{
	uint64_t ms = clock_mono_ms() - r->began_ms;
	uint64_t bytes = atomic_load(&r->w.node->recovery.bytes);

	if (r->began_ms == 0)
		return;
	r->began_ms = 0;
	log_line(LOG_INFO, "%u copies are ready after %llu.%03llu s, %llu kB pulled", r->made_ready,
			 (unsigned long long) (ms / 1000), (unsigned long long) (ms % 1000),
			 (unsigned long long) (bytes / 1000));
}

/* Until something is to do, or `ms` have passed. */
static void wait_for_work(Node *n, int ms)
{
	Recovery *v = &n->recovery;
	struct timespec until;

	(void) clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long) ms * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	(void) pthread_mutex_lock(&v->lock);
	while (!v->woken && pthread_cond_timedwait(&v->wake, &v->lock, &until) == 0)
		;
	v->woken = false;
	(void) pthread_mutex_unlock(&v->lock);
}

static void *recover_main(void *arg)
{
	Node *n = arg;
	Recoverer r;
	DorisError err = {0};

	if (recoverer_init(&r, n, &err) != DORIS_OK)
	{
		log_line(LOG_ERROR, "%s", err.message);
		node_stop(n, 1);
		return NULL;
	}
	while (!atomic_load(&n->stopping))
	{
		uint32_t left = 0;

		if (atomic_load(&n->serving) && epoch_is_named(n))
		{
			recover_serve_wants(&r);
			if (atomic_load(&n->recovery.open) > 0)
			{
				tell_begin(&r);
				if (recover_round(&r, &left, &err) != DORIS_OK)
					log_line(LOG_WARNING, "recovering: %s", err.message);
			}
			if (left == 0)
				tell_end(&r);
			n->driver->idle(r.w.ss);
		}
		wait_for_work(n, left > 0 ? RETRY_MS : IDLE_MS);
	}
	recoverer_free(&r);
	return NULL;
}

DorisStatus recover_start(Node *n, pthread_t *thread, DorisError *err)
{
	int rc = pthread_create(thread, NULL, recover_main, n);

	if (rc != 0)
		return doris_error(err, DORIS_NO_MEMORY, "starting the recovery thread: %s", strerror(rc));
	return DORIS_OK;
}
