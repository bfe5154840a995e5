/*
 * state.c: what the threads of an admin share: the newest topology, the queue of jobs, the events to be stored.
 *
 * Everything here is bounded (I6): requests in the queue by ADMIN_MAX_JOBS, events by ADMIN_MAX_EVENTS. The other kinds of jobs are
 * bounded by who posts them: heart posts one of a kind for a node and waits a second before it does so again.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <sodium.h>

#include "admin.h"

DorisStatus admin_init(Admin *a, DorisError *err)
{
	pthread_mutex_init(&a->lock, NULL);
	pthread_mutex_init(&a->jobs_lock, NULL);
	a->started = clock_mono_ms();
	randombytes_buf(&a->sender, sizeof(a->sender));
	a->events = calloc(ADMIN_MAX_EVENTS, sizeof(Event));
	if (a->events == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory");
	a->jobs_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (a->jobs_fd < 0)
		return doris_error(err, DORIS_IO, "cannot create an eventfd: %m");
	return heart_new(a, &a->heart, err);
}

void admin_free(Admin *a)
{
	Job *job;

	while ((job = job_take(a)) != NULL)
		job_free(a, job);
	heart_free(a, a->heart);
	topology_unref(a->topology);
	free(a->events);
	if (a->jobs_fd >= 0)
		close(a->jobs_fd);
	keys_wipe(&a->keys);
	pthread_mutex_destroy(&a->lock);
	pthread_mutex_destroy(&a->jobs_lock);
}

Topology *admin_topology(Admin *a)
{
	Topology *t;

	pthread_mutex_lock(&a->lock);
	t = a->topology != NULL ? topology_ref(a->topology) : NULL;
	pthread_mutex_unlock(&a->lock);
	return t;
}

uint64_t admin_epoch(Admin *a)
{
	uint64_t epoch;

	pthread_mutex_lock(&a->lock);
	epoch = a->topology != NULL ? a->topology->epoch : 0;
	pthread_mutex_unlock(&a->lock);
	return epoch;
}

void admin_keep_hash(Admin *a, uint64_t epoch, const uint8_t hash[DORIS_HASH_SIZE])
{
	KnownHash *slot = &a->hashes[epoch % ADMIN_KEPT_TOPOLOGIES];

	pthread_mutex_lock(&a->lock);
	if (epoch >= slot->epoch)
	{
		slot->epoch = epoch;
		memcpy(slot->hash, hash, DORIS_HASH_SIZE);
	}
	pthread_mutex_unlock(&a->lock);
}

bool admin_hash_differs(Admin *a, uint64_t epoch, const uint8_t hash[DORIS_HASH_SIZE])
{
	const KnownHash *slot = &a->hashes[epoch % ADMIN_KEPT_TOPOLOGIES];
	bool differs;

	pthread_mutex_lock(&a->lock);
	differs = epoch > 0 && slot->epoch == epoch && memcmp(slot->hash, hash, DORIS_HASH_SIZE) != 0;
	pthread_mutex_unlock(&a->lock);
	return differs;
}

bool admin_set_topology(Admin *a, Topology *t)
{
	Topology *drop = t;
	bool newer;

	admin_keep_hash(a, t->epoch, t->hash);
	pthread_mutex_lock(&a->lock);
	newer = a->topology == NULL || t->epoch > a->topology->epoch; /* I3: never back */
	if (newer)
	{
		drop = a->topology;
		a->topology = t;
		memcpy(a->cluster, t->cluster, DORIS_UUID_SIZE);
	}
	pthread_mutex_unlock(&a->lock);
	topology_unref(drop);
	if (newer)
		heart_kick(a);
	return newer;
}

Job *job_new(JobKind kind)
{
	Job *job = calloc(1, sizeof(*job));

	if (job != NULL)
		job->kind = kind;
	return job;
}

void job_free(Admin *a, Job *job)
{
	if (job->has_request)
		listener_drop(a->listener, &job->request.in);
	for (int i = 0; i < job->nwaiters; i++)
		listener_drop(a->listener, &job->waiters[i].in);
	free(job->waiters);
	namespace_change_free(&job->change);
	operate_free(&job->operate);
	topology_unref(job->topology);
	free(job);
}

void job_post(Admin *a, Job *job)
{
	uint64_t one = 1;
	bool full;

	pthread_mutex_lock(&a->jobs_lock);
	full = job->has_request && a->njobs >= ADMIN_MAX_JOBS;
	if (!full)
	{
		/* Rule *publish*: what a node knows beyond us comes before anything that would be built on ours. */
		bool first = job->kind == JOB_TOPOLOGY || job->kind == JOB_ALARM;

		if (first || a->jobs_head == NULL)
		{
			job->next = a->jobs_head;
			a->jobs_head = job;
			if (job->next == NULL)
				a->jobs_tail = job;
		}
		else
		{
			a->jobs_tail->next = job;
			a->jobs_tail = job;
		}
		a->njobs++;
	}
	pthread_mutex_unlock(&a->jobs_lock);
	if (full)
	{
		DorisError err;

		(void) doris_error(&err, DORIS_LIMIT, "admin \"%s\" has %d requests waiting already",
						   a->options.name, ADMIN_MAX_JOBS);
		(void) doris_hint(&err, "Try again in a moment.");
		request_refuse(a, &job->request, &err);
		job->has_request = false;
		job_free(a, job);
		return;
	}
	if (write(a->jobs_fd, &one, sizeof(one)) < 0)
		log_write(LOG_DEBUG,
				  "jobs are waiting already"); /* the counter is full: lead is awake anyway */
}

Job *job_take(Admin *a)
{
	Job *job;

	pthread_mutex_lock(&a->jobs_lock);
	job = a->jobs_head;
	if (job != NULL)
	{
		a->jobs_head = job->next;
		if (a->jobs_head == NULL)
			a->jobs_tail = NULL;
		a->njobs--;
		job->next = NULL;
	}
	pthread_mutex_unlock(&a->jobs_lock);
	return job;
}

void admin_event(Admin *a, const char *kind, const char *node, const char *fmt, ...)
{
	Event e;
	va_list args;
	uint64_t one = 1;

	memset(&e, 0, sizeof(e));
	snprintf(e.kind, sizeof(e.kind), "%s", kind);
	snprintf(e.node, sizeof(e.node), "%s", node != NULL ? node : "");
	va_start(args, fmt);
	vsnprintf(e.detail, sizeof(e.detail), fmt, args);
	va_end(args);
	log_write(strcmp(kind, "alarm") == 0 ? LOG_ERROR : LOG_INFO, "%s%s%s: %s", e.kind,
			  e.node[0] != '\0' ? " " : "", e.node, e.detail);
	if (!atomic_load(&a->leader))
		return;

	pthread_mutex_lock(&a->jobs_lock);
	if (a->nevents == ADMIN_MAX_EVENTS)
	{
		memmove(a->events, a->events + 1, (ADMIN_MAX_EVENTS - 1) * sizeof(Event));
		a->nevents--;
		admin_count(a, COUNT_EVENTS_LOST);
	}
	a->events[a->nevents++] = e;
	pthread_mutex_unlock(&a->jobs_lock);
	if (write(a->jobs_fd, &one, sizeof(one)) < 0)
		log_write(LOG_DEBUG, "events are waiting already");
}

int events_peek(Admin *a, Event *out, int max)
{
	int n;

	pthread_mutex_lock(&a->jobs_lock);
	n = a->nevents < max ? a->nevents : max;
	if (n > 0)
		memcpy(out, a->events, (size_t) n * sizeof(Event));
	pthread_mutex_unlock(&a->jobs_lock);
	return n;
}

void events_drop(Admin *a, int n)
{
	pthread_mutex_lock(&a->jobs_lock);
	/* Some may have been pushed out meanwhile; storing an event twice is worse than losing one of a flood. */
	if (n > a->nevents)
		n = a->nevents;
	memmove(a->events, a->events + n, (size_t) (a->nevents - n) * sizeof(Event));
	a->nevents -= n;
	pthread_mutex_unlock(&a->jobs_lock);
}
