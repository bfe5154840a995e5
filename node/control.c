/*
 * control.c: HEARTBEAT: what the leading admin asks, and what the node says of itself.
 */
#include "node.h"

#include <stdio.h>
#include <string.h>

#include "hints.h"

/* Rule publish: a leader with a lower term than one seen before leads no more. */
static DorisStatus check_term(Worker *w, uint64_t term, DorisError *err)
{
	Node *n = w->node;
	DorisStatus st = DORIS_OK;

	(void) pthread_mutex_lock(&n->term_lock);
	if (term < n->term)
		st = doris_error(err, DORIS_NOT_LEADER, "%s knows a leader of term %llu, this one has %llu",
						 node_name(n), (unsigned long long) n->term, (unsigned long long) term);
	else if (term > n->term)
	{
		st = meta_put_u64(w, "term", term, err);
		if (st == DORIS_OK)
			st = commit_flush_all(w, err);
		if (st == DORIS_OK)
			n->term = term;
	}
	(void) pthread_mutex_unlock(&n->term_lock);
	return st;
}

/*
 * Rule start: the mark says how far this home has come. It is raised and on disk before a report tells of new commits,
 * so a home that comes back with a lower one has lost something.
 */
static uint64_t raise_mark(Worker *w)
{
	Node *n = w->node;
	DorisError err;
	uint64_t commits;
	uint64_t mark;

	(void) pthread_mutex_lock(&n->term_lock);
	commits = atomic_load(&n->commits);
	mark = n->mark;
	if (commits != n->marked)
	{
		uint64_t now = clock_next(&n->clock);
		DorisStatus st;

		mark = now > mark ? now : mark + 1;
		st = meta_put_u64(w, "mark", mark, &err);
		if (st == DORIS_OK)
			st = commit_flush_all(w, &err);
		if (st == DORIS_OK)
		{
			n->mark = mark;
			n->marked = commits;
		}
		else
			log_line(LOG_DEBUG, "raising the mark: %s", err.message);
		mark = n->mark;
	}
	(void) pthread_mutex_unlock(&n->term_lock);
	return mark;
}

/*
 * Rule lease: it ends a fixed time after a moment of this node's own clock that the leader has echoed, however long the
 * heartbeat was under way. Only a node that has the leader's epoch gets one.
 */
static void take_lease(Node *n, const Heartbeat *m, const NodeReport *r)
{
	uint64_t now = clock_mono_ms();
	uint64_t until = (m->echo_ms < now ? m->echo_ms : now) + m->lease_ms;
	uint64_t had = atomic_load(&n->lease_until);

	if (m->incarnation != n->incarnation || m->echo_ms == 0 || r->epoch < m->epoch)
		return;
	if (r->epoch == m->epoch && memcmp(r->hash, m->hash, DORIS_HASH_SIZE) != 0)
		return;
	while (until > had && !atomic_compare_exchange_weak(&n->lease_until, &had, until))
		;
}

uint32_t control_lease_ms(const Node *n)
{
	uint64_t until = atomic_load(&n->lease_until);
	uint64_t now = clock_mono_ms();

	return until > now ? (uint32_t) (until - now) : 0;
}

/* What a log node keeps; other nodes keep nothing. */
static DorisStatus report_hints(Node *n, NodeReport *out, DorisError *err)
{
	HintsTotal t;

	hints_total(n, &t);
	if (!hints_are_kept(n))
		return DORIS_OK;
	out->hints = t.hints;
	out->hint_bytes = t.bytes;
	out->hint_budget = t.budget;
	return hints_backlogs(n, &out->backlogs, &out->nbacklogs, err);
}

DorisStatus control_heartbeat(Worker *w, const Heartbeat *m, NodeReport *out, DorisError *err)
{
	Node *n = w->node;
	Identity id;
	DorisStatus st;

	memset(out, 0, sizeof(*out));
	(void) pthread_mutex_lock(&n->identity_lock);
	id = n->identity;
	(void) pthread_mutex_unlock(&n->identity_lock);
	if (id.node == 0)
		return doris_error(err, DORIS_DENIED, "%s is not registered yet", node_name(n));
	if (memcmp(id.cluster, m->cluster, DORIS_UUID_SIZE) != 0)
		return doris_error(err, DORIS_DENIED, "%s belongs to another cluster", node_name(n));
	if (id.node != m->node)
		return doris_error(err, DORIS_DENIED, "%s is node %u, not node %u", node_name(n), id.node,
						   m->node);
	st = check_term(w, m->term, err);
	if (st != DORIS_OK)
		return st;
	atomic_store(&n->heard_ms, clock_wall_ms());
	atomic_store(&n->recovery.move_rate_mb, m->move_rate_mb);
	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	if (n->placement != NULL)
	{
		out->epoch = n->placement->topo->epoch;
		memcpy(out->hash, n->placement->topo->hash, DORIS_HASH_SIZE);
		out->vnodes = n->placement->targets;
		if (m->epoch == out->epoch && memcmp(m->hash, out->hash, DORIS_HASH_SIZE) != 0)
		{
			node_count(n, COUNT_ALARMS, 1);
			log_line(LOG_ERROR, "ALARM: the leader has another topology of epoch %llu",
					 (unsigned long long) m->epoch);
		}
	}
	(void) pthread_rwlock_unlock(&n->epoch_lock);
	take_lease(n, m, out);
	out->incarnation = n->incarnation;
	memcpy(out->home, id.home, DORIS_UUID_SIZE);
	counters_total(n, &out->rows, &out->bytes);
	out->staged = atomic_load(&n->staged) < 0 ? 0 : (uint64_t) atomic_load(&n->staged);
	st = report_hints(n, out, err);
	if (st != DORIS_OK)
	{
		node_report_free(out);
		return st;
	}
	out->disk_free = atomic_load(&n->disk_free);
	out->disk_full = atomic_load(&n->disk_full);
	(void) snprintf(out->build, sizeof(out->build), "%s", DORIS_BUILD);
	/* what is ready was flushed before it was called so; the mark covers it, as it is raised after */
	recover_report(n, out);
	out->mark = raise_mark(w);
	out->clock_ms = clock_mono_ms();
	return DORIS_OK;
}
