/*
 * serve.c: the worker threads and group commit.
 *
 * A worker waits for a request, executes it, and goes on with what is queued. Answers that promise nothing about the disk
 * leave at once. The others wait until the queue is empty or a limit is reached; then one flush of the log serves them all,
 * with those of the other workers. A request that comes alone waits for nobody.
 */
#include "node.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define BATCH_REQUESTS 64
#define BATCH_BYTES (4u << 20)
#define BATCH_MS 5
#define IDLE_MS 250
#define SHORT_BYTES 4096
#define LOOK_AT_EACH 8 /* short requests */
#define WAITS_OF 16	   /* looks */
#define WAITED 1600	   /* all of them waited */
#define OFTEN 300
#define LONG_FLUSH_US 2000
#define LATER_PRESSING 512 /* transactions to be finished that cannot wait for a quiet moment */
#define LATER_STEP 8

/* A request whose answer waits for the flush. */
typedef struct Waiting
{
	Incoming in;
	DorisBuf reply;
} Waiting;

typedef struct Batch
{
	Waiting waiting[BATCH_REQUESTS];
	int n;
	size_t bytes;
	uint64_t need;	   /* highest commit that must be on disk */
	uint64_t since_ms; /* when the first began to wait */
} Batch;

/*
 * The flush failed: what was promised cannot be. Each is told so, and must take its outcome as open. Not with the
 * worker's buffers: a request may be in hand.
 */
static void spoil(Worker *w, Waiting *x, const DorisError *why)
{
	Envelope e;
	Envelope back;
	DorisBytes bytes;
	DorisBuf scratch;
	DorisBuf body;
	DorisError err;

	buf_init(&scratch);
	buf_init(&body);
	buf_reset(&x->reply);
	if (envelope_read(&w->node->keys, x->in.message.data, x->in.message.len, &e, &bytes, &scratch,
					  &err) == DORIS_OK)
	{
		memset(&back, 0, sizeof(back));
		back.format = e.format;
		back.type = e.type | DORIS_REPLY;
		back.request = e.request;
		back.sender = atomic_load(&w->node->node_id);
		back.epoch = atomic_load(&w->node->epoch);
		reply_put_error(&body, why);
		bytes.data = body.data;
		bytes.len = body.len;
		if (envelope_write(&w->node->keys, &back, bytes, &x->reply, &err) != DORIS_OK)
			buf_reset(&x->reply);
	}
	buf_free(&scratch);
	buf_free(&body);
}

static void batch_answer(Worker *w, Batch *b)
{
	Node *n = w->node;
	DorisError err = {0};

	if (b->n == 0)
		return;
	/* without a processor for it, waking another thread costs more than it brings while a flush is short */
	if (listener_spreads(n->listener) || atomic_load(&n->flush_us) > LONG_FLUSH_US)
		listener_pass(n->listener);
	if (commit_flush(w, b->need, &err) != DORIS_OK)
	{
		log_line(LOG_ERROR, "%s", err.message);
		for (int i = 0; i < b->n; i++)
			spoil(w, &b->waiting[i], &err);
	}
	node_count(n, COUNT_BATCHES, 1);
	for (int i = 0; i < b->n; i++)
	{
		DorisBytes reply = {b->waiting[i].reply.data, b->waiting[i].reply.len};

		if (reply.len > 0)
			listener_reply(n->listener, &b->waiting[i].in, reply);
		else
			listener_drop(n->listener, &b->waiting[i].in);
		if (b->waiting[i].reply.cap > DORIS_BATCH_BYTES)
			buf_free(&b->waiting[i].reply);
	}
	b->n = 0;
	b->bytes = 0;
	b->need = 0;
}

static void batch_hurry(Worker *w)
{
	batch_answer(w, w->hurry_arg);
}

/* A buffer that served a huge message does not keep its memory. */
static void trim(DorisBuf *b)
{
	if (b->cap > 2 * DORIS_BATCH_BYTES)
		buf_free(b);
}

static uint64_t times_waited(void)
{
	struct rusage u;

	return getrusage(RUSAGE_THREAD, &u) == 0 ? (uint64_t) u.ru_nvcsw : 0;
}

/*
 * A row of short requests is served best by one thread that does not sleep in between. Another must lead during a long one,
 * and when the short ones wait for something, be it the disk that rows come from; a sample of them tells how often.
 */
static bool execute(Worker *w, DorisBytes message)
{
	bool is_short = message.len <= SHORT_BYTES && !dispatch_is_long(message);
	bool looks = is_short && w->served++ % LOOK_AT_EACH == 0;
	uint64_t before;
	bool has_reply;

	if (!is_short || w->waits > OFTEN)
		listener_pass(w->node->listener);
	if (!looks)
		return dispatch_message(w, message, &w->out);
	before = times_waited();
	has_reply = dispatch_message(w, message, &w->out);
	w->waits -= w->waits / WAITS_OF;
	if (times_waited() > before)
		w->waits += WAITED / WAITS_OF;
	return has_reply;
}

static void serve_one(Worker *w, Batch *b, Incoming *in)
{
	Node *n = w->node;

	if (b->n > 0 && dispatch_is_long(in->message))
		batch_answer(w, b);
	if (!execute(w, in->message))
		listener_drop(n->listener, in);
	else if (w->need == 0 || w->need <= atomic_load(&n->flushed) || atomic_load(&n->sync_interval))
	{
		DorisBytes bytes = {w->out.data, w->out.len};

		listener_reply(n->listener, in, bytes);
	}
	else
	{
		Waiting *x = &b->waiting[b->n];
		DorisBuf spare = x->reply;

		if (b->n == 0)
			b->since_ms = clock_mono_ms();
		x->in = *in;
		x->reply = w->out;
		w->out = spare;
		b->n++;
		b->bytes += in->message.len;
		if (w->need > b->need)
			b->need = w->need;
	}
	trim(&w->out);
	trim(&w->scratch);
	trim(&w->body);
	trim(&w->record);
	trim(&w->index);
	trim(&w->projected[0]);
	trim(&w->projected[1]);
}

static void *worker_main(void *arg)
{
	Worker *w = arg;
	Node *n = w->node;
	Batch *b = calloc(1, sizeof(*b));
	DorisError err;

	if (b == NULL)
	{
		log_line(LOG_ERROR, "out of memory starting a worker");
		node_stop(n, 1);
		return NULL;
	}
	w->hurry = batch_hurry;
	w->hurry_arg = b;
	for (;;)
	{
		Incoming in;
		bool busy = b->n > 0 || w->nlater > 0;
		DorisStatus st = listener_receive(n->listener, busy ? 0 : IDLE_MS, &in, &err);

		if (st == DORIS_OK)
			serve_one(w, b, &in);
		else if (st == DORIS_TIMEOUT && !busy)
			n->driver->idle(w->ss);
		else if (st != DORIS_TIMEOUT && st != DORIS_CANCELLED)
			log_line(LOG_ERROR, "%s", err.message);
		if (b->n > 0 && (st != DORIS_OK || b->n == BATCH_REQUESTS || b->bytes >= BATCH_BYTES ||
						 clock_mono_ms() - b->since_ms >= BATCH_MS))
			batch_answer(w, b);
		/* what nobody waits for: when nobody waits, or before it becomes too much */
		if (b->n == 0 && w->nlater > (st == DORIS_OK ? LATER_PRESSING : 0))
			(void) finish_later(w, LATER_STEP);
		if (st == DORIS_CANCELLED)
			break;
	}
	for (int i = 0; i < BATCH_REQUESTS; i++)
		buf_free(&b->waiting[i].reply);
	free(b);
	return NULL;
}

DorisStatus serve_start(Node *n, Worker **workers, DorisError *err)
{
	Worker *w = calloc((size_t) n->config.workers, sizeof(*w));
	DorisStatus st = DORIS_OK;

	*workers = w;
	if (w == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "starting the workers: out of memory");
	for (int i = 0; st == DORIS_OK && i < n->config.workers; i++)
		st = worker_init(&w[i], n, err);
	if (st != DORIS_OK)
		return st;
	for (int i = 0; i < n->config.workers; i++)
	{
		int rc = pthread_create(&w[i].thread, NULL, worker_main, &w[i]);

		if (rc != 0)
			return doris_error(err, DORIS_NO_MEMORY, "starting a worker thread: %s", strerror(rc));
		w[i].running = true;
	}
	return DORIS_OK;
}

void serve_join(Node *n, Worker *workers)
{
	if (workers == NULL)
		return;
	if (n->listener != NULL)
		listener_shutdown(n->listener);
	for (int i = 0; i < n->config.workers; i++)
	{
		if (workers[i].running)
			(void) pthread_join(workers[i].thread, NULL);
		worker_free(&workers[i]);
	}
	free(workers);
}
