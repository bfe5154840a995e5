/*
 * stats.c: STATS: the node's counters by name.
 */
#include "node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hints.h"

static const char *const counter_names[COUNT_LAST] = {
	[COUNT_PING] = "requests_ping",
	[COUNT_TOPOLOGY_GET] = "requests_topology_get",
	[COUNT_TOPOLOGY_PUT] = "requests_topology_put",
	[COUNT_STATS] = "requests_stats",
	[COUNT_HEARTBEAT] = "requests_heartbeat",
	[COUNT_GET] = "requests_get",
	[COUNT_SCAN] = "requests_scan",
	[COUNT_STAGE] = "requests_stage",
	[COUNT_FINISH] = "requests_finish",
	[COUNT_OUTCOME] = "requests_outcome",
	[COUNT_APPLY] = "requests_apply",
	[COUNT_DIGEST] = "requests_digest",
	[COUNT_HINT] = "requests_hint",
	[COUNT_REPLAY] = "requests_replay",
	[COUNT_PULL] = "requests_pull",
	[COUNT_PURGE] = "requests_purge",
	[COUNT_OTHER] = "requests_other",
	[COUNT_BAD] = "bad_messages",
	[COUNT_CLOCK] = "refused_clock",
	[COUNT_ERRORS] = "errors",
	[COUNT_ROWS_READ] = "rows_read",
	[COUNT_ROWS_SCANNED] = "rows_scanned",
	[COUNT_ROWS_STAGED] = "rows_staged",
	[COUNT_ROWS_FINISHED] = "rows_finished",
	[COUNT_ROWS_APPLIED] = "rows_applied",
	[COUNT_CONFLICTS] = "conflicts",
	[COUNT_BATCHES] = "batches",
	[COUNT_FLUSHES] = "flushes",
	[COUNT_RETRIES] = "store_retries",
	[COUNT_PURGED] = "purged",
	[COUNT_DROPPED] = "rows_dropped",
	[COUNT_ALARMS] = "alarms",
	[COUNT_HINTS_KEPT] = "hints_kept",
	[COUNT_HINTS_REFUSED] = "hints_refused",
	[COUNT_HINTS_DROPPED] = "hints_dropped",
	[COUNT_REPLAY_SENT] = "replay_sent",
	[COUNT_REPLAY_APPLIED] = "replay_applied",
	[COUNT_REPLAY_OBSOLETE] = "replay_obsolete",
	[COUNT_REPLAY_POISON] = "replay_poison",
	[COUNT_REPLAY_ERRORS] = "replay_errors",
	[COUNT_REHELD_APPLIED] = "reheld_applied",
	[COUNT_REHELD_OBSOLETE] = "reheld_obsolete",
	[COUNT_REHELD_POISON] = "reheld_poison",
	[COUNT_PULLED] = "records_pulled",
	[COUNT_SETTLED] = "staged_settled",
	[COUNT_READY] = "copies_ready",
	[COUNT_UNEQUAL] = "copies_unequal",
	[COUNT_DIFFERENT] = "copies_different",
	[COUNT_MISSED] = "records_missed",
	[COUNT_CLOSED] = "transactions_closed",
	[COUNT_TOMBSTONES] = "tombstones_purged",
	[COUNT_RETURNED] = "records_outdated",
};

/* Names of namespaces' counters that can be told at once (I6). */
#define MAX_ITEMS 65536

static void add(StatsReply *r, const char *name, uint64_t value)
{
	if (r->n >= MAX_ITEMS)
		return;
	(void) snprintf(r->items[r->n].name, sizeof(r->items[r->n].name), "%s", name);
	r->items[r->n].value = value;
	r->n++;
}

static uint64_t not_negative(int64_t v)
{
	return v < 0 ? 0 : (uint64_t) v;
}

/* What a log node keeps, in all and for each target. */
static void add_hints(Node *n, StatsReply *r, const Backlog *list, uint32_t nlist)
{
	HintsTotal t;
	char name[64];

	hints_total(n, &t);
	add(r, "hints", t.hints);
	add(r, "hint_bytes", t.bytes);
	add(r, "hint_budget", t.budget);
	add(r, "hints_poison", t.poison);
	add(r, "hint_bytes_poison", t.poison_bytes);
	add(r, "replay_rate", atomic_load(&n->replay_rate));
	for (uint32_t i = 0; i < nlist; i++)
	{
		(void) snprintf(name, sizeof(name), "hints_node_%u", list[i].target);
		add(r, name, list[i].hints);
		(void) snprintf(name, sizeof(name), "hint_bytes_node_%u", list[i].target);
		add(r, name, list[i].bytes);
	}
}

void stats_execute(Node *n, DorisBuf *reply)
{
	StatsReply r = {0};
	uint64_t rows;
	uint64_t bytes;
	size_t namespaces = 0;
	uint32_t targets = 0;
	Backlog *backlogs;
	uint32_t nbacklogs;
	DorisError err;

	for (int b = 0; b < NODE_NS_BUCKETS; b++)
	{
		for (NsCount *c = atomic_load(&n->ns_counts[b]); c != NULL; c = c->next)
			namespaces++;
	}
	if (hints_backlogs(n, &backlogs, &nbacklogs, &err) != DORIS_OK)
	{
		reply->failed = true;
		return;
	}
	r.items = calloc(COUNT_LAST + 48 + 2 * (namespaces + nbacklogs), sizeof(*r.items));
	if (r.items == NULL)
	{
		free(backlogs);
		reply->failed = true;
		return;
	}
	for (int i = 0; i < COUNT_LAST; i++)
		add(&r, counter_names[i], atomic_load(&n->counters[i]));
	counters_total(n, &rows, &bytes);
	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	if (n->placement != NULL)
		targets = n->placement->targets;
	(void) pthread_rwlock_unlock(&n->epoch_lock);
	add(&r, "ready", atomic_load(&n->serving) ? 1 : 0);
	add(&r, "epoch", atomic_load(&n->epoch));
	add(&r, "vnodes", targets);
	add(&r, "rows", rows);
	add(&r, "bytes", bytes);
	add(&r, "staged", not_negative(atomic_load(&n->staged)));
	add(&r, "commits", atomic_load(&n->commits));
	add(&r, "disk_free", atomic_load(&n->disk_free));
	add(&r, "disk_full", atomic_load(&n->disk_full) ? 1 : 0);
	add(&r, "recovering", atomic_load(&n->recovery.open));
	add(&r, "recovered_bytes", atomic_load(&n->recovery.bytes));
	add(&r, "move_rate_mb", atomic_load(&n->recovery.move_rate_mb));
	add(&r, "lease_ms", control_lease_ms(n));
	add(&r, "horizon_ms", atomic_load(&n->horizon_ms));
	for (int b = 0; b < NODE_NS_BUCKETS; b++)
	{
		NsCount *c = atomic_load(&n->ns_counts[b]);

		for (; c != NULL && namespaces > 0; c = c->next, namespaces--)
		{
			char name[64];

			(void) snprintf(name, sizeof(name), "rows_ns_%u", c->ns);
			add(&r, name, not_negative(atomic_load(&c->rows)));
			(void) snprintf(name, sizeof(name), "bytes_ns_%u", c->ns);
			add(&r, name, not_negative(atomic_load(&c->bytes)));
		}
	}
	add_hints(n, &r, backlogs, nbacklogs);
	free(backlogs);
	stats_reply_encode(reply, &r);
	free(r.items);
}
