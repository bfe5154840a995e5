/*
 * store_checkpoint.c: when a WiredTiger store writes a checkpoint, and what it does before.
 *
 * WiredTiger's own thread would do the first, but not the second. A page that a checkpoint writes stays in memory as it came
 * to be, each row in a list, and counts as clean from then on, so that nobody makes it compact any more. Evicting a changed page does,
 * and keeps it ("scrub"), as long as there is room in the cache. So before a checkpoint the limit above which changed pages are evicted is
 * lowered to almost nothing: the checkpoint itself waits for eviction, as long as that gets on, and has little left to write. What it costs
 * and brings: docs/decisions/0001-wiredtiger-settings.md.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "store_wiredtiger.h"
#include "version.h"

#define EVERY_MS 30000
#define LOOK_MS UINT64_C(1000)
/* Written since the last one: what a start has to replay from the log at most, but for what the engine adds to it. */
#define EVERY_BYTES (200u << 20)
#define SCRUB_MIN_BYTES (1u << 20) /* written: less is not worth it */
/* Until the engine's eviction thread looks at its settings: it sleeps no longer than this. */
#define SCRUB_MS 1000

struct Checkpoints
{
	WT_CONNECTION *conn;
	uint64_t every_ms;
	uint64_t every_bytes;
	WT_SESSION *wt;			  /* the thread's */
	_Atomic uint64_t written; /* since the last one */
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t wake; /* stopping */
	bool stopping;
	_Atomic bool failed; /* the last one */
};

void checkpoints_wrote(Checkpoints *c, uint64_t bytes)
{
	(void) atomic_fetch_add_explicit(&c->written, bytes, memory_order_relaxed);
}

/* Sleeps; false: it is to stop. */
static bool pause_ms(Checkpoints *c, uint64_t ms)
{
	struct timespec until;
	bool go_on;

	(void) clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t) (ms / 1000);
	until.tv_nsec += (long) (ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000)
	{
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	(void) pthread_mutex_lock(&c->mutex);
	while (!c->stopping && pthread_cond_timedwait(&c->wake, &c->mutex, &until) == 0)
		;
	go_on = !c->stopping;
	(void) pthread_mutex_unlock(&c->mutex);
	return go_on;
}

static void evict_changed_above(Checkpoints *c, const char *setting)
{
	int rc = c->conn->reconfigure(c->conn, setting);

	if (rc != 0)
		log_line(LOG_WARNING, "%s: %s", setting, wiredtiger_strerror(rc));
}

DorisStatus checkpoints_make(Checkpoints *c, WT_SESSION *wt, DorisError *err)
{
	uint64_t written = atomic_exchange(&c->written, 0);
	/* a disk that is full fails a checkpoint, but makes the engine give up when it evicts */
	bool scrub = written >= SCRUB_MIN_BYTES && !atomic_load(&c->failed);
	int rc;

	if (scrub)
	{
		evict_changed_above(c, "eviction_dirty_target=1");
		if (!pause_ms(c, SCRUB_MS))
			return DORIS_OK; /* closing the store makes one */
	}
	rc = wt->checkpoint(wt, NULL);
	if (scrub)
		evict_changed_above(c, STORE_DIRTY_TARGET);
	atomic_store(&c->failed, rc != 0);
	if (rc == 0)
		return DORIS_OK;
	checkpoints_wrote(c, written);
	return wt_error(rc, "checkpoint", err);
}

static void checkpoints_free(Checkpoints *c)
{
	if (c->wt != NULL)
		(void) c->wt->close(c->wt, NULL);
	(void) pthread_cond_destroy(&c->wake);
	(void) pthread_mutex_destroy(&c->mutex);
	free(c);
}

static void *checkpoints_main(void *arg)
{
	Checkpoints *c = arg;
	uint64_t next = clock_mono_ms() + c->every_ms;

	while (pause_ms(c, c->every_ms < LOOK_MS ? c->every_ms : LOOK_MS))
	{
		uint64_t written = atomic_load(&c->written);
		DorisError err;

		if (written == 0 || (written < c->every_bytes && clock_mono_ms() < next))
			continue;
		if (checkpoints_make(c, c->wt, &err) != DORIS_OK)
			log_line(LOG_ERROR, "%s", err.message);
		next = clock_mono_ms() + c->every_ms;
	}
	return NULL;
}

DorisStatus checkpoints_start(WT_CONNECTION *conn, const StoreOptions *o, Checkpoints **out,
							  DorisError *err)
{
	Checkpoints *c = calloc(1, sizeof(*c));
	pthread_condattr_t monotonic;
	int rc;

	*out = NULL;
	if (c == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "checkpoints: out of memory");
	c->conn = conn;
	c->every_ms = o->checkpoint_ms > 0 ? o->checkpoint_ms : EVERY_MS;
	c->every_bytes = EVERY_BYTES;
	(void) pthread_mutex_init(&c->mutex, NULL);
	(void) pthread_condattr_init(&monotonic);
	(void) pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void) pthread_cond_init(&c->wake, &monotonic);
	(void) pthread_condattr_destroy(&monotonic);
	rc = conn->open_session(conn, NULL, NULL, &c->wt);
	if (rc == 0)
		rc = pthread_create(&c->thread, NULL, checkpoints_main, c);
	if (rc != 0)
	{
		checkpoints_free(c);
		return wt_error(rc, "starting the thread of checkpoints", err);
	}
	*out = c;
	return DORIS_OK;
}

void checkpoints_stop(Checkpoints *c)
{
	if (c == NULL)
		return;
	(void) pthread_mutex_lock(&c->mutex);
	c->stopping = true;
	(void) pthread_cond_signal(&c->wake);
	(void) pthread_mutex_unlock(&c->mutex);
	(void) pthread_join(c->thread, NULL);
	checkpoints_free(c);
}
