/*
 * stats.c: what backends have asked of each server's nodes: doris_fdw_stats.
 *
 * libdoris counts for each node since it was connected. stats_note adds what is new to this backend's sums and, when the
 * library was preloaded, to those in shared memory: after each transaction and before a connection goes. Which costs a
 * look at one number when nothing was asked, and a look into two hash tables for each node that was.
 *
 * Shared memory: a table of fixed size under one lock, taken exclusively only to enter a node and to reset; sums are
 * atomic. A node that finds no room is not counted, and the server's log says so once. Without shared_preload_libraries
 * there is nothing but the backend's own.
 *
 * Sums of all backends tell what others do, so they are for members of pg_read_all_stats.
 */
#include "doris_fdw.h"

#include "catalog/pg_authid.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#define STATS_NODES 2048 /* of all servers and databases */
#define STATS_TRANCHE "doris_fdw_stats"
#define STATS_COLUMNS 16

typedef struct StatsKey
{
	Oid database;
	Oid server;
	uint32 node;
} StatsKey;

/* What is summed up. */
enum
{
	SUM_REQUESTS,
	SUM_ROWS,
	SUM_BYTES,
	SUM_RETRIES,
	SUM_FAILOVERS,
	SUM_TIME, /* µs */
	NSUMS
};

typedef struct SharedNode
{
	StatsKey key;
	char name[DORIS_NAME_MAX];
	pg_atomic_uint64 sums[NSUMS];
	pg_atomic_uint64 round_trip; /* ns, as a backend measured it last */
} SharedNode;

typedef struct SharedStats
{
	LWLock *lock; /* of the table and of since */
	TimestampTz since;
	pg_atomic_uint32 full; /* a node has found no room */
} SharedStats;

/* This backend's. */
typedef struct LocalNode
{
	StatsKey key;
	char name[DORIS_NAME_MAX];
	uint64 sums[NSUMS];
	uint64 client[NSUMS]; /* of the present connection, as already added to sums */
	uint64 round_trip;	  /* ns; 0: not measured */
	uint64 round_trips;
} LocalNode;

static SharedStats *shared = NULL; /* NULL: not preloaded */
static HTAB *shared_nodes = NULL;
static HTAB *local_nodes = NULL;
static compat_shmem_request next_request = NULL;
static shmem_startup_hook_type next_startup = NULL;

/* ---- shared memory ---- */

static void stats_request(void)
{
	if (next_request)
		next_request();
	RequestAddinShmemSpace(add_size(MAXALIGN(sizeof(SharedStats)),
									hash_estimate_size(STATS_NODES, sizeof(SharedNode))));
	RequestNamedLWLockTranche(STATS_TRANCHE, 1);
}

static void stats_startup(void)
{
	HASHCTL ctl = {.keysize = sizeof(StatsKey), .entrysize = sizeof(SharedNode)};
	bool found;

	if (next_startup)
		next_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("doris_fdw statistics", sizeof(SharedStats), &found);
	if (!found)
	{
		shared->lock = &GetNamedLWLockTranche(STATS_TRANCHE)->lock;
		shared->since = GetCurrentTimestamp();
		pg_atomic_init_u32(&shared->full, 0);
	}
	shared_nodes = ShmemInitHash("doris_fdw nodes", STATS_NODES, STATS_NODES, &ctl,
								 HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
	LWLockRelease(AddinShmemInitLock);
}

void stats_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	next_startup = shmem_startup_hook;
	shmem_startup_hook = stats_startup;
	compat_on_shmem_request(stats_request, next_request);
}

/* Adds to the sums of all backends. May run where nothing can be raised. */
static void shared_add(const LocalNode *l, const uint64 *more)
{
	SharedNode *s;

	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_SHARED);
	s = hash_search(shared_nodes, &l->key, HASH_FIND, NULL);
	if (s == NULL)
	{
		bool found;

		LWLockRelease(shared->lock);
		LWLockAcquire(shared->lock, LW_EXCLUSIVE);
		s = hash_search(shared_nodes, &l->key, HASH_ENTER_NULL, &found);
		if (s != NULL && !found)
		{
			strlcpy(s->name, l->name, sizeof(s->name));
			for (int i = 0; i < NSUMS; i++)
				pg_atomic_init_u64(&s->sums[i], 0);
			pg_atomic_init_u64(&s->round_trip, 0);
		}
	}
	if (s != NULL)
	{
		for (int i = 0; i < NSUMS; i++)
			if (more[i] > 0)
				pg_atomic_fetch_add_u64(&s->sums[i], (int64) more[i]);
		if (l->round_trips >= ROUND_TRIPS_ENOUGH)
			pg_atomic_write_u64(&s->round_trip, l->round_trip);
	}
	LWLockRelease(shared->lock);
	if (s == NULL && pg_atomic_exchange_u32(&shared->full, 1) == 0)
		ereport(LOG,
				(errmsg("doris_fdw_stats counts no more than %d nodes for all backends together",
						STATS_NODES),
				 errhint("doris_fdw_stats_reset() lets go of those that are not used any more.")));
}

/* ---- counting ---- */

static void local_init(void)
{
	HASHCTL ctl = {
		.keysize = sizeof(StatsKey), .entrysize = sizeof(LocalNode), .hcxt = CacheMemoryContext};

	local_nodes = hash_create("doris_fdw statistics of this backend", 16, &ctl,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void stats_prepare(void)
{
	if (local_nodes == NULL)
		local_init();
}

/* NULL: no memory; then its sums come with a later call. */
static LocalNode *local_node(DorisClient *client, const StatsKey *key)
{
	LocalNode *l = hash_search(local_nodes, key, HASH_FIND, NULL);
	Topology *t;
	const TopoNode *node;
	bool found;

	if (l != NULL)
		return l;
	l = hash_search(local_nodes, key, HASH_ENTER_NULL, &found);
	if (l == NULL)
		return NULL;
	memset((char *) l + sizeof(StatsKey), 0, sizeof(LocalNode) - sizeof(StatsKey));
	t = doris_topology(client);
	node = topology_node(t, key->node);
	if (node != NULL)
		strlcpy(l->name, node->name, sizeof(l->name));
	else
		snprintf(l->name, sizeof(l->name), "node %u", key->node);
	topology_unref(t);
	return l;
}

void stats_note(Oid serverid, DorisClient *client, uint64 *activity)
{
	const DorisNodeCounters *now;
	uint32_t n;

	if (*activity == doris_activity(client))
		return;
	*activity = doris_activity(client);
	now = doris_counters(client, &n);
	for (uint32_t i = 0; i < n; i++)
	{
		const DorisNodeCounters *c = &now[i];
		StatsKey key = {MyDatabaseId, serverid, c->node};
		const uint64 sums[NSUMS] = {c->requests, c->rows,	   c->bytes,
									c->retries,	 c->failovers, c->time_us};
		uint64 more[NSUMS];
		bool any = false;
		LocalNode *l;

		l = local_node(client, &key);
		if (l == NULL)
			continue;
		for (int k = 0; k < NSUMS; k++)
		{
			more[k] = sums[k] - l->client[k];
			any |= more[k] > 0;
			l->sums[k] += more[k];
			l->client[k] = sums[k];
		}
		if (c->round_trips > 0)
		{
			l->round_trip = c->round_trip_ns;
			l->round_trips = c->round_trips;
		}
		if (any)
			shared_add(l, more);
	}
}

void stats_disconnected(Oid serverid)
{
	HASH_SEQ_STATUS seq;
	LocalNode *l;

	hash_seq_init(&seq, local_nodes);
	while ((l = hash_seq_search(&seq)) != NULL)
		if (l->key.server == serverid)
			memset(l->client, 0, sizeof(l->client));
}

double stats_round_trip_us(Oid serverid)
{
	HASH_SEQ_STATUS seq;
	SharedNode *s;
	double sum = 0;
	int n = 0;

	if (shared == NULL)
		return 0;
	LWLockAcquire(shared->lock, LW_SHARED);
	hash_seq_init(&seq, shared_nodes);
	while ((s = hash_seq_search(&seq)) != NULL)
	{
		uint64 ns = pg_atomic_read_u64(&s->round_trip);

		if (s->key.database != MyDatabaseId || s->key.server != serverid || ns == 0)
			continue;
		sum += (double) ns / 1000.0;
		n++;
	}
	LWLockRelease(shared->lock);
	return n > 0 ? sum / n : 0;
}

/* ---- showing ---- */

/* Milliseconds; NULL when there is no measure. */
static void put_ms(uint64 value, double per_ms, bool known, Datum *out, bool *isnull)
{
	*isnull = !known;
	*out = Float8GetDatum((double) value / per_ms);
}

static void put_sums(const uint64 *sums, Datum *values, bool *nulls)
{
	for (int i = 0; i < SUM_TIME; i++)
	{
		values[i] = Int64GetDatum((int64) sums[i]);
		nulls[i] = false;
	}
	put_ms(sums[SUM_TIME], 1000.0, true, &values[SUM_TIME], &nulls[SUM_TIME]);
}

static void put_row(ReturnSetInfo *rsinfo, const LocalNode *l, const SharedNode *s)
{
	const StatsKey *key = l != NULL ? &l->key : &s->key;
	ForeignServer *server = GetForeignServerExtended(key->server, FSV_MISSING_OK);
	Datum values[STATS_COLUMNS] = {0};
	bool nulls[STATS_COLUMNS];
	NameData name = {0};
	int at = 0;

	memset(nulls, true, sizeof(nulls));
	if (server != NULL)
	{
		namestrcpy(&name, server->servername);
		values[at] = NameGetDatum(&name);
		nulls[at] = false;
	}
	at++;
	values[at] = CStringGetTextDatum(l != NULL ? l->name : s->name);
	nulls[at++] = false;
	if (l != NULL)
	{
		put_sums(l->sums, values + at, nulls + at);
		put_ms(l->round_trip, 1e6, l->round_trips > 0, &values[at + NSUMS], &nulls[at + NSUMS]);
	}
	else
	{
		const uint64 none[NSUMS] = {0};

		put_sums(none, values + at, nulls + at);
	}
	at += NSUMS + 1;
	if (s != NULL)
	{
		uint64 sums[NSUMS];

		for (int i = 0; i < NSUMS; i++)
			sums[i] = pg_atomic_read_u64(unconstify(pg_atomic_uint64 *, &s->sums[i]));
		put_sums(sums, values + at, nulls + at);
		values[at + NSUMS] = TimestampTzGetDatum(shared->since);
		nulls[at + NSUMS] = false;
	}
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(doris_fdw_stats);

/* doris_fdw_stats() */
Datum doris_fdw_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	bool all = shared != NULL && has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
	SharedNode *copies = NULL;
	HASH_SEQ_STATUS seq;
	LocalNode *l;
	SharedNode *s;
	long n = 0;

	InitMaterializedSRF(fcinfo, 0);
	stats_prepare();
	connection_note_all();
	if (all)
	{
		/* copied, so that nothing else is done under the lock */
		LWLockAcquire(shared->lock, LW_SHARED);
		copies = palloc(hash_get_num_entries(shared_nodes) * sizeof(SharedNode) + 1);
		hash_seq_init(&seq, shared_nodes);
		while ((s = hash_seq_search(&seq)) != NULL)
			if (s->key.database == MyDatabaseId)
				copies[n++] = *s;
		LWLockRelease(shared->lock);
	}
	for (long i = 0; i < n; i++)
		put_row(rsinfo, hash_search(local_nodes, &copies[i].key, HASH_FIND, NULL), &copies[i]);
	hash_seq_init(&seq, local_nodes);
	while ((l = hash_seq_search(&seq)) != NULL)
	{
		long i = 0;

		while (i < n && memcmp(&copies[i].key, &l->key, sizeof(StatsKey)) != 0)
			i++;
		if (i == n)
			put_row(rsinfo, l, NULL);
	}
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(doris_fdw_stats_reset);

/* doris_fdw_stats_reset() */
Datum doris_fdw_stats_reset(PG_FUNCTION_ARGS)
{
	HASH_SEQ_STATUS seq;
	LocalNode *l;
	SharedNode *s;

	stats_prepare();
	connection_note_all();
	hash_seq_init(&seq, local_nodes);
	while ((l = hash_seq_search(&seq)) != NULL)
		memset(l->sums, 0, sizeof(l->sums));
	if (shared != NULL)
	{
		LWLockAcquire(shared->lock, LW_EXCLUSIVE);
		hash_seq_init(&seq, shared_nodes);
		while ((s = hash_seq_search(&seq)) != NULL)
			(void) hash_search(shared_nodes, &s->key, HASH_REMOVE, NULL);
		shared->since = GetCurrentTimestamp();
		LWLockRelease(shared->lock);
		pg_atomic_write_u32(&shared->full, 0);
	}
	PG_RETURN_VOID();
}
