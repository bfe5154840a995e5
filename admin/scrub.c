/*
 * scrub.c: the leading admin compares the copies of all vnodes, one after the other and for ever, at the rate that it was given; and lets
 * old tombstones go where all copies are equal (rule purge).
 *
 * The comparing is libdoris': writes in flight are no differences. One that is found is looked at a second time after a while, and
 * told as an event only when it is still there. Nothing is repaired: that is for an operator, who may want to know first how it came about.
 *
 * What was found is in memory; a new leader begins anew.
 */
#include "scrub.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "version.h"

#define IDLE_MS 100
#define WAIT_STEP_MS 100
#define WAIT_FDS 64
#define CONNECT_AGAIN_MS 2000
#define DEADLINE_MS 20000
#define AGAIN_MS 5000		   /* before the second look at a difference */
#define ASK_MS 5000			   /* how long what nodes told of hints and horizons is good */
#define HORIZON_MARGIN_MS 2000 /* behind the lowest one; clocks may differ */
#define HOSTS_MAX 8

/* ---- statistics ---- */

static void stat_set(Admin *a, ScrubStat which, uint64_t value)
{
	atomic_store_explicit(&a->scrub[which], value, memory_order_relaxed);
}

static void stat_add(Admin *a, ScrubStat which, uint64_t by)
{
	(void) atomic_fetch_add_explicit(&a->scrub[which], by, memory_order_relaxed);
}

/* What all vnodes come to. */
static void sum_up(Scrub *s)
{
	uint64_t verdicts[DORIS_COPIES_UNKNOWN + 1] = {0};
	uint64_t waits[SCRUB_WAITS] = {0};
	uint64_t told = 0;

	for (uint32_t v = 0; v < s->nvnodes; v++)
	{
		const ScrubVnode *k = &s->vnodes[v];

		verdicts[k->verdict]++;
		waits[k->wait] += k->tombstones;
		told += k->told;
	}
	stat_set(s->admin, SCRUB_DIFFERENT, told);
	stat_set(s->admin, SCRUB_UNSETTLED, verdicts[DORIS_COPIES_UNSETTLED]);
	stat_set(s->admin, SCRUB_UNKNOWN, verdicts[DORIS_COPIES_UNKNOWN]);
	stat_set(s->admin, SCRUB_TOMBSTONES_AGE, waits[WAIT_AGE]);
	stat_set(s->admin, SCRUB_TOMBSTONES_COPIES, waits[WAIT_COPIES]);
	stat_set(s->admin, SCRUB_TOMBSTONES_HINTS, waits[WAIT_HINTS]);
	stat_set(s->admin, SCRUB_TOMBSTONES_STAGED, waits[WAIT_STAGED]);
	stat_set(s->admin, SCRUB_TOMBSTONES_DIFFERENCE, waits[WAIT_DIFFERENCE]);
}

/* ---- the client ---- */

static int wait_fds(void *arg, const int *fds, int nfds, int timeout_ms)
{
	Admin *a = arg;
	struct pollfd p[WAIT_FDS];
	nfds_t count = 0;

	if (atomic_load(&a->stopping) || !atomic_load(&a->leader))
		return -1;
	while ((int) count < nfds && count < WAIT_FDS)
	{
		p[count] = (struct pollfd){.fd = fds[count], .events = POLLIN};
		count++;
	}
	return poll(p, count, timeout_ms < WAIT_STEP_MS ? timeout_ms : WAIT_STEP_MS) > 0;
}

static bool connected(Scrub *s, uint64_t now)
{
	Admin *a = s->admin;
	char hosts[(HOSTS_MAX + 1) * (DORIS_ADDRESS_MAX + 1)];
	DorisOptions o = {.hosts = hosts,
					  .key_file = a->options.key_file,
					  .deadline_ms = DEADLINE_MS,
					  .wait = wait_fds,
					  .wait_arg = a};
	Topology *t;
	size_t at;
	DorisError err;

	if (s->client != NULL)
		return true;
	if (now < s->next_connect)
		return false;
	s->next_connect = now + CONNECT_AGAIN_MS;
	t = admin_topology(a);
	if (t == NULL)
		return false;
	/* this admin itself has the newest map; the nodes are there in case it is not asked in time */
	at = (size_t) snprintf(hosts, sizeof(hosts), "%s", a->options.listen);
	for (uint32_t i = 0, n = 0; i < t->nnodes && n < HOSTS_MAX; i++)
	{
		if (t->nodes[i].condition != NODE_UP)
			continue;
		at += (size_t) snprintf(hosts + at, sizeof(hosts) - at, ",%s", t->nodes[i].address);
		n++;
	}
	topology_unref(t);
	if (doris_connect(&o, &s->client, &err) != DORIS_OK)
	{
		log_write(LOG_DEBUG, "scrub: %s", err.message);
		s->client = NULL;
	}
	return s->client != NULL;
}

static void leave(Scrub *s)
{
	doris_disconnect(s->client);
	s->client = NULL;
	free(s->vnodes);
	s->vnodes = NULL;
	s->nvnodes = s->next = 0;
	s->next_at = s->asked_at = 0;
	for (int i = 0; i < SCRUB_STATS; i++)
		stat_set(s->admin, (ScrubStat) i, 0);
}

/* ---- what tombstones wait for ---- */

static uint64_t stat_of(const StatsReply *r, const char *name)
{
	for (uint32_t i = 0; i < r->n; i++)
		if (strcmp(r->items[i].name, name) == 0)
			return r->items[i].value;
	return 0;
}

/* For whom does the log node keep hints? */
static void note_kept(Scrub *s, const StatsReply *r)
{
	static const char prefix[] = "hints_node_";

	for (uint32_t i = 0; i < r->n; i++)
		if (strncmp(r->items[i].name, prefix, sizeof(prefix) - 1) == 0 && r->items[i].value > 0 &&
			s->nkept_for < DORIS_MAX_NODES)
			s->kept_for[s->nkept_for++] =
				(uint32_t) strtoul(r->items[i].name + sizeof(prefix) - 1, NULL, 10);
}

/* Asks every node how far back it remembers, and log nodes what they keep. */
static void ask_nodes(Scrub *s, uint64_t now)
{
	Topology *t;
	uint64_t lowest = UINT64_MAX;

	if (s->asked_at != 0 && now < s->asked_at + ASK_MS)
		return;
	s->asked_at = now;
	s->nkept_for = 0;
	s->log_nodes = true;
	t = doris_topology(s->client);
	doris_set_deadline(s->client, ASK_MS / 2);
	for (uint32_t i = 0; i < t->nnodes; i++)
	{
		const TopoNode *n = &t->nodes[i];
		StatsReply r;
		DorisError err;

		if (n->condition == NODE_DEAD || n->role == NODE_SPARE)
			continue;
		if (n->condition != NODE_UP || doris_node_stats(s->client, n->id, &r, &err) != DORIS_OK)
		{
			/* a data node that is not asked refuses what is too young for it by itself */
			s->log_nodes = s->log_nodes && n->role != NODE_LOG;
			continue;
		}
		if (n->role == NODE_LOG)
			note_kept(s, &r);
		else if (stat_of(&r, "horizon_ms") < lowest)
			lowest = stat_of(&r, "horizon_ms");
		stats_reply_free(&r);
	}
	doris_set_deadline(s->client, DEADLINE_MS);
	topology_unref(t);
	s->horizon = lowest == UINT64_MAX || lowest <= HORIZON_MARGIN_MS
					 ? 0
					 : (lowest - HORIZON_MARGIN_MS) << 16;
}

static bool hints_wait(const Scrub *s, uint32_t vnode)
{
	Topology *t = doris_topology(s->client);
	bool wait = !s->log_nodes;

	for (uint32_t g = 1; g <= t->groups && vnode < t->vnodes; g++)
		for (int i = 0; i < s->nkept_for; i++)
			wait = wait || topology_copy(t, g, vnode)->owner == s->kept_for[i];
	topology_unref(t);
	return wait;
}

/* Lets old tombstones of the vnode go if that may be; what they wait for, if not. */
static ScrubWait purge(Scrub *s, const DorisVnodeCheck *check, uint64_t now)
{
	DorisPurge result;
	DorisError err;

	if (check->verdict == DORIS_COPIES_UNKNOWN)
		return WAIT_COPIES;
	if (check->oldest == 0)
		return WAIT_NOTHING;
	if (check->verdict != DORIS_COPIES_EQUAL)
		return check->verdict == DORIS_COPIES_UNSETTLED ? WAIT_STAGED : WAIT_DIFFERENCE;
	ask_nodes(s, now);
	if (check->oldest >= s->horizon)
		return WAIT_AGE;
	if (hints_wait(s, check->vnode))
		return WAIT_HINTS;
	if (doris_purge(s->client, check, s->horizon, &result, &err) != DORIS_OK)
		return WAIT_COPIES;
	switch (result)
	{
		case DORIS_PURGED:
			stat_add(s->admin, SCRUB_PURGED_VNODES, 1);
			return WAIT_NOTHING;
		case DORIS_PURGE_DIFFERENT:
			return WAIT_DIFFERENCE;
		case DORIS_PURGE_STAGED:
			return WAIT_STAGED;
		case DORIS_PURGE_YOUNG:
			return WAIT_AGE;
		case DORIS_PURGE_INCOMPLETE:
		case DORIS_PURGE_UNREACHABLE:
			break;
	}
	return WAIT_COPIES;
}

/* ---- vnodes ---- */

void scrub_note(Scrub *s, const DorisVnodeCheck *check, ScrubWait wait, uint64_t now)
{
	ScrubVnode *v = &s->vnodes[check->vnode];
	bool second = v->again != 0;

	v->verdict = (uint8_t) check->verdict;
	v->wait = (uint8_t) wait;
	if (check->verdict != DORIS_COPIES_UNKNOWN)
		v->tombstones = wait == WAIT_NOTHING ? 0 : check->tombstones;
	v->again = 0;
	if (check->verdict == DORIS_COPIES_DIFFERENT && !v->told && !second)
		v->again = now + AGAIN_MS;
	else if (check->verdict == DORIS_COPIES_DIFFERENT && !v->told)
	{
		v->told = true;
		stat_add(s->admin, SCRUB_FOUND, 1);
		admin_event(s->admin, "difference_found", "",
					"%llu rows of vnode %u differ between its copies; "
					"doris_verify(repair => true) brings them together",
					(unsigned long long) check->different, check->vnode);
	}
	else if (check->verdict == DORIS_COPIES_EQUAL && v->told)
	{
		v->told = false;
		admin_event(s->admin, "difference_gone", "", "the copies of vnode %u are equal",
					check->vnode);
	}
	else if (check->verdict == DORIS_COPIES_UNKNOWN && second)
		v->again = now + AGAIN_MS;
	sum_up(s);
}

bool scrub_choose(Scrub *s, uint64_t now, uint32_t *vnode)
{
	for (uint32_t v = 0; v < s->nvnodes; v++)
		if (s->vnodes[v].again != 0 && now >= s->vnodes[v].again)
		{
			*vnode = v;
			return true;
		}
	if (now < s->next_at)
		return false;
	*vnode = s->next;
	if (++s->next == s->nvnodes)
	{
		s->next = 0;
		stat_add(s->admin, SCRUB_LAPS, 1);
	}
	stat_set(s->admin, SCRUB_LAP_VNODES, s->next);
	return true;
}

/* When the next vnode may be read: by the rate, and not faster than one lap in its time. */
static void pace(Scrub *s, uint64_t bytes, uint64_t began)
{
	const AdminOptions *o = &s->admin->options;
	uint64_t by_rate = bytes / ((uint64_t) o->scrub_rate_mb * 1000);
	uint64_t by_lap = (uint64_t) o->scrub_lap_s * 1000 / s->nvnodes;

	s->next_at = began + (by_rate > by_lap ? by_rate : by_lap);
}

/* The first look at this cluster. */
static bool vnodes_made(Scrub *s)
{
	Topology *t;

	if (s->vnodes != NULL)
		return true;
	t = doris_topology(s->client);
	s->vnodes = calloc(t->vnodes, sizeof(*s->vnodes));
	s->nvnodes = s->vnodes != NULL ? t->vnodes : 0;
	topology_unref(t);
	stat_set(s->admin, SCRUB_VNODES, s->nvnodes);
	return s->vnodes != NULL;
}

static void scrub_step(Scrub *s, uint64_t now)
{
	DorisVnodeCheck check;
	DorisError err;
	uint32_t vnode;

	if (!vnodes_made(s) || !scrub_choose(s, now, &vnode))
		return;
	if (doris_verify(s->client, 0, &vnode, 1, false, &check, &err) != DORIS_OK)
	{
		/* told to stop, or out of memory */
		log_write(LOG_DEBUG, "scrub: %s", err.message);
		s->next_at = now + CONNECT_AGAIN_MS;
		return;
	}
	stat_add(s->admin, SCRUB_BYTES, check.bytes);
	scrub_note(s, &check, purge(s, &check, now), clock_mono_ms());
	pace(s, check.bytes, now);
}

void *scrub_thread(void *arg)
{
	Scrub *s = calloc(1, sizeof(*s));
	Admin *a = arg;

	if (s == NULL)
	{
		log_write(LOG_ERROR, "out of memory: copies are not compared");
		return NULL;
	}
	s->admin = a;
	while (!atomic_load(&a->stopping))
	{
		uint64_t now = clock_mono_ms();

		if (!atomic_load(&a->leader) || a->options.scrub_rate_mb == 0)
		{
			if (s->client != NULL)
				leave(s);
		}
		else if (connected(s, now))
			scrub_step(s, now);
		if (s->client != NULL)
			doris_pump(s->client);
		(void) poll(NULL, 0,
					s->client != NULL && s->next_at < clock_mono_ms() + IDLE_MS ? 10 : IDLE_MS);
	}
	leave(s);
	free(s);
	return NULL;
}
