/*
 * lead.c: the thread that owns the database connection: who leads, and what is published.
 *
 * One admin leads: the one whose connection holds the advisory lock. Its term, which grows with every change of leader, is
 * checked in every transaction that writes, so that a leader that was stopped for a while, and woke up after another took
 * over, writes nothing. When the connection breaks, the lock is gone with it: this admin then serves what it has, goes on
 * with heartbeats, and publishes nothing until it has the lock and a new term.
 */
#include "fault.h"
#include "plans.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "version.h"

static void database_lost(Lead *l, const char *why)
{
	Admin *a = l->admin;

	db_close(&l->db);
	l->leading = false;
	atomic_store(&a->database_up, false);
	/* Once, not every half second. */
	if (l->away[0] == '\0')
	{
		log_write(LOG_WARNING, "%s; serving what is known, nothing can be changed until it is back",
				  why);
		snprintf(l->away, sizeof(l->away), "%s", why);
	}
	l->next_try = clock_mono_ms() + LEAD_RETRY_MS;
}

/* Another admin may lead now: let go of the lock and everything that comes with it. */
static void step_down(Lead *l, const char *why)
{
	Admin *a = l->admin;

	if (atomic_exchange(&a->leader, false))
		log_write(LOG_WARNING, "does not lead any more: %s", why);
	l->leading = false;
	db_close(&l->db);
	l->next_try = clock_mono_ms() + LEAD_RETRY_MS / 5;
	heart_kick(a);
}

DorisStatus lead_failed(Lead *l, DorisStatus status, const DorisError *err)
{
	if (status == DORIS_NOT_LEADER)
		step_down(l, err->message);
	else if (!db_up(&l->db))
		database_lost(l, err->message);
	else if (clock_mono_ms() >= l->said_at + LEAD_REFUSED_MS ||
			 strncmp(l->said, err->message, sizeof(l->said) - 1) != 0)
	{
		log_write(LOG_WARNING, "%s", err->message);
		snprintf(l->said, sizeof(l->said), "%.*s", (int) sizeof(l->said) - 1, err->message);
		l->said_at = clock_mono_ms();
	}
	return status;
}

DorisStatus lead_publish(Lead *l, Topology *t, const Event *events, int n, DorisError *err)
{
	Admin *a = l->admin;
	DorisStatus status;

	if (atomic_load(&a->halted))
	{
		topology_unref(t);
		(void) doris_error(
			err, DORIS_UNAVAILABLE,
			"two different topologies of one epoch exist: nothing is published any more");
		return doris_hint(err, "See the alarm in doris_events, and the operations manual.");
	}
	t->epoch = l->stored != NULL ? l->stored->epoch + 1 : 1;
	t->term = l->term;
	if (l->stored != NULL)
		memcpy(t->previous, l->stored->hash, DORIS_HASH_SIZE);
	status = topology_seal(t, a->keys.present ? a->keys.secret : NULL, err);
	if (status == DORIS_OK && t->encoded_len > DORIS_MAX_MESSAGE - 4096)
		status = doris_error(err, DORIS_TOO_BIG,
							 "the topology would have %zu bytes, too many to send", t->encoded_len);
	if (status != DORIS_OK)
	{
		topology_unref(t);
		return status;
	}
	status = schema_publish(&l->db, l->term, l->stored, t, events, n, err);
	if (status != DORIS_OK)
	{
		topology_unref(t);
		return lead_failed(l, status, err);
	}
	/* in the schema, and nobody has seen it */
	FAULT_POINT("admin-published");
	for (int i = 0; i < n; i++)
		log_write(LOG_INFO, "%s%s%s: %s", events[i].kind, events[i].node[0] != '\0' ? " " : "",
				  events[i].node, events[i].detail);
	log_write(LOG_DEBUG, "epoch %llu is published", (unsigned long long) t->epoch);
	admin_count(a, COUNT_PUBLISHED);
	topology_unref(l->stored);
	l->stored = topology_ref(t);
	l->cluster.groups = t->groups;
	/* Rule *publish*: only now, committed, does anybody get to see it. */
	(void) admin_set_topology(a, t);
	return DORIS_OK;
}

static DorisStatus read_cluster(Lead *l, DorisError *err)
{
	Admin *a = l->admin;
	DorisStatus status;

	if (l->have_cluster)
		return DORIS_OK;
	status = schema_cluster(&l->db, &l->cluster, &l->have_cluster, err);
	if (status != DORIS_OK || !l->have_cluster)
		return status;
	pthread_mutex_lock(&a->lock);
	memcpy(a->cluster, l->cluster.id, DORIS_UUID_SIZE);
	pthread_mutex_unlock(&a->lock);
	return DORIS_OK;
}

/* The schema must tell the same story as what we and the nodes know. */
static DorisStatus check_history(Lead *l, const Topology *mine, DorisError *err)
{
	const Topology *t = l->stored;

	if (mine != NULL && l->have_cluster &&
		memcmp(mine->cluster, l->cluster.id, DORIS_UUID_SIZE) != 0)
		return doris_error(err, DORIS_UNAVAILABLE,
						   "the database holds another cluster than before");
	if (t == NULL)
		return DORIS_OK;
	if (!l->have_cluster || memcmp(t->cluster, l->cluster.id, DORIS_UUID_SIZE) != 0 ||
		t->vnodes != l->cluster.vnodes || t->groups != l->cluster.groups)
		return doris_error(err, DORIS_UNAVAILABLE,
						   "doris.cluster and doris.topologies do not agree");
	return DORIS_OK;
}

/* With the lock: begin a term on what the schema holds. */
static DorisStatus take_over(Lead *l, DorisError *err)
{
	Admin *a = l->admin;
	Topology *mine = admin_topology(a);
	uint64_t floor = atomic_load(&a->term);
	uint64_t began = 0;
	Topology *stored = NULL;
	DorisStatus status;

	l->have_cluster = false; /* another leader may have added a group, or dropped one */
	status = read_cluster(l, err);
	if (status == DORIS_OK)
		status = schema_topology(&l->db, &a->keys, 0, &stored, err);
	topology_unref(l->stored);
	l->stored = stored;
	if (status == DORIS_OK)
		status = schema_hashes(&l->db, a, err);
	if (status == DORIS_OK)
		status = check_history(l, mine, err);
	if (mine != NULL && mine->term > floor)
		floor = mine->term;
	if (stored != NULL && stored->term > floor)
		floor = stored->term;
	began = clock_mono_ms();
	if (status == DORIS_OK)
		status = schema_begin_term(&l->db, &a->options, floor, &l->term, err);
	if (status != DORIS_OK)
	{
		topology_unref(mine);
		return status;
	}
	if (stored != NULL)
		(void) admin_set_topology(a, topology_ref(stored));
	atomic_store(&a->term, l->term);
	atomic_store(&a->confirmed, began);
	atomic_store(&a->database_up, true);
	atomic_store(&a->leader, true);
	l->leading = true;
	l->greeted_at = 0;
	l->next_seen = l->next_trim = l->next_first = l->next_events = 0;
	l->next_confirm = l->next_ready = l->next_chores = l->next_plans = 0;
	l->nlost = 0;
	plans_forget(l); /* another leader may have gone on with them */
	admin_event(a, "leader", NULL, "admin \"%s\" leads, term %llu, epoch %llu", a->options.name,
				(unsigned long long) l->term,
				(unsigned long long) (stored != NULL ? stored->epoch : 0));
	if (mine != NULL &&
		(stored == NULL || mine->epoch > stored->epoch ||
		 (mine->epoch == stored->epoch && memcmp(mine->hash, stored->hash, DORIS_HASH_SIZE) != 0)))
	{
		/* The database has forgotten, or changed, what was published. */
		bool same = stored != NULL && mine->epoch == stored->epoch;
		Job *job = job_new(same ? JOB_ALARM : JOB_TOPOLOGY);

		if (job != NULL)
		{
			snprintf(job->what, sizeof(job->what), "the schema has another topology of epoch %llu",
					 (unsigned long long) mine->epoch);
			job->topology = topology_ref(mine);
			job_post(a, job);
		}
	}
	topology_unref(mine);
	heart_kick(a);
	return DORIS_OK;
}

/*
 * The lock is on this connection, so nobody else leads: the node's term is of a past that the database has lost (a restored
 * backup). How far it went we are not told: go on in steps until the nodes are content.
 */
void lead_outranked(Lead *l, uint32_t node)
{
	Admin *a = l->admin;
	DorisError err;
	uint64_t before = l->term;
	DorisStatus status =
		schema_begin_term(&l->db, &a->options, before + LEAD_TERM_STEP, &l->term, &err);

	if (status != DORIS_OK)
	{
		l->term = before;
		(void) lead_failed(l, status, &err);
		return;
	}
	atomic_store(&a->term, l->term);
	admin_event(a, "leader", NULL, "node %u knows a later term than %llu: goes on with term %llu",
				node, (unsigned long long) before, (unsigned long long) l->term);
	heart_kick(a);
}

/* Without the lock: keep what we serve fresh. */
static DorisStatus follow(Lead *l, DorisError *err)
{
	Admin *a = l->admin;
	char address[DORIS_ADDRESS_MAX];
	Topology *t = NULL;
	DorisStatus status = read_cluster(l, err);

	if (status == DORIS_OK)
		status = schema_topology(&l->db, &a->keys, admin_epoch(a), &t, err);
	if (status == DORIS_OK && t != NULL)
	{
		log_write(LOG_DEBUG, "follows to epoch %llu", (unsigned long long) t->epoch);
		(void) admin_set_topology(a, t);
	}
	if (status == DORIS_OK)
		status = schema_leader(&l->db, address, err);
	if (status != DORIS_OK)
		return status;
	pthread_mutex_lock(&a->lock);
	snprintf(a->leader_address, sizeof(a->leader_address), "%s", address);
	pthread_mutex_unlock(&a->lock);
	atomic_store(&a->database_up, true);
	return DORIS_OK;
}

/* Connected, not leading: try for the lock, else follow. */
static void stand_by(Lead *l)
{
	Admin *a = l->admin;
	DorisError err;
	bool got = false;
	DorisStatus status = schema_lock(&l->db, &got, &err);

	l->next_try = clock_mono_ms() + LEAD_RETRY_MS;
	if (status == DORIS_OK && got)
	{
		status = take_over(l, &err);
		if (status != DORIS_OK)
		{
			/* Cannot lead on this: another admin may fare better with the lock. */
			if (atomic_exchange(&a->leader, false))
				heart_kick(a);
			database_lost(l, err.message);
			return;
		}
	}
	else if (status == DORIS_OK)
	{
		if (atomic_exchange(&a->leader, false))
		{
			log_write(LOG_WARNING, "does not lead any more: another admin has the lock");
			heart_kick(a);
		}
		status = follow(l, &err);
	}
	if (status != DORIS_OK)
	{
		(void) lead_failed(l, status, &err);
		/* The database answers but refuses, say because the extension is not there yet. */
		if (db_up(&l->db))
			database_lost(l, err.message);
		return;
	}
	if (l->away[0] != '\0')
		log_write(LOG_INFO, "the admin database is back");
	l->away[0] = '\0';
}

static void store_events(Lead *l, uint64_t now)
{
	Event list[64];
	DorisError err;
	DorisStatus status;
	int n = now >= l->next_events ? events_peek(l->admin, list, 64) : 0;

	if (n == 0)
		return;
	status = schema_events(&l->db, l->term, list, n, &err);
	if (status == DORIS_OK)
		events_drop(l->admin, n);
	else
	{
		l->next_events = now + LEAD_SEEN_MS;
		(void) lead_failed(l, status, &err);
	}
}

static void trim_events(Lead *l, uint64_t now)
{
	DorisError err;
	DorisStatus status;

	if (now < l->next_trim)
		return;
	l->next_trim = now + LEAD_TRIM_MS;
	status = schema_trim(&l->db, l->term, &err);
	if (status != DORIS_OK)
		(void) lead_failed(l, status, &err);
}

/* One turn of a leader's work. Any of it may end the leadership or lose the database. */
static void lead(Lead *l, uint64_t now)
{
	Admin *a = l->admin;

	reports_take(l);
	if (atomic_load(&a->settled) == l->term)
	{
		Job *job;

		while (l->leading && atomic_load(&a->settled) == l->term && (job = job_take(a)) != NULL)
			jobs_run(l, job);
		if (l->leading && l->stored == NULL && now >= l->next_first)
		{
			DorisError err;
			DorisStatus status = read_cluster(l, &err);

			l->next_first = now + LEAD_RETRY_MS / 2;
			if (status != DORIS_OK)
				(void) lead_failed(l, status, &err);
			else if (l->have_cluster)
				jobs_first_topology(l);
		}
		if (l->leading && l->stored != NULL)
			reports_ready(l, now);
		if (l->leading && l->stored != NULL && now >= l->next_chores)
			chores_run(l, now);
		if (l->leading && l->stored != NULL)
			plans_run(l, now);
	}
	if (l->leading)
		reports_store(l, now);
	if (l->leading)
		trim_events(l, now);
	if (l->leading)
		store_events(l, now);
}

static void rest(Lead *l)
{
	Admin *a = l->admin;
	struct pollfd fds[2] = {{.fd = a->jobs_fd, .events = POLLIN},
							{.fd = db_fd(&l->db), .events = POLLIN}};
	uint64_t drain;

	(void) poll(fds, 2, 100);
	if (fds[0].revents != 0 && read(a->jobs_fd, &drain, sizeof(drain)) < 0)
		log_write(LOG_DEBUG, "spurious wake-up");
	if (fds[1].revents != 0)
	{
		if (db_notified(&l->db))
			l->next_try = l->next_first = l->next_chores = 0;
		else if (!db_up(&l->db))
			database_lost(l, "lost the connection to the admin database");
	}
}

void *lead_thread(void *arg)
{
	Lead l = {.admin = arg};
	Admin *a = arg;
	DorisError err;

	while (!atomic_load(&a->stopping))
	{
		uint64_t now = clock_mono_ms();

		if (!db_up(&l.db) && now >= l.next_try)
		{
			if (db_connect(&l.db, a->options.database, &err) == DORIS_OK)
				l.next_try = 0;
			else
				database_lost(&l, err.message);
		}
		if (db_up(&l.db) && !l.leading && now >= l.next_try)
			stand_by(&l);
		if (l.leading)
			lead(&l, now);
		else
		{
			Job *job;

			while ((job = job_take(a)) != NULL)
				jobs_run(&l, job);
		}
		if (!atomic_load(&a->stopping))
			rest(&l);
	}
	db_close(&l.db); /* frees the lock: a standby takes over at once */
	topology_unref(l.stored);
	plans_forget(&l);
	reports_free(&l);
	return NULL;
}
