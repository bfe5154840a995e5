/*
 * settle.c: the settler: staged writes that nobody has ended long after their deadline are closed by this node, as any client would
 * that met them (rules meet, close).
 *
 * A thread of its own, with a client of its own. Bounded (I6): so many entries of the index are looked at in a round, so many are
 * settled, each with a deadline; what cannot be settled now comes again when the round has been through all. Decision rows are
 * left alone: whoever closes their transaction closes them, and they may be finished only by who knows all its targets.
 */
#include "settle.h"

#include <poll.h>
#include <string.h>
#include <time.h>

#include "doris.h"

#define ROUND_MS 1000
#define GRACE_MS 2000	  /* beyond its deadline: its own client may still be closing it */
#define LOOK_ENTRIES 1000 /* of the index in a round */
#define SETTLE_EACH 50	  /* transactions in a round */
#define SETTLE_MS 3000	  /* for each */
#define SETTLE_FAILURES 3 /* in a row: the rest waits for the next round */
#define WAIT_FDS 64
#define WAIT_STEP_MS 200

typedef struct Settler
{
	Worker w;
	DorisClient *client; /* NULL: not connected */
	DorisTxnId from;	 /* where the next round goes on in the index */
} Settler;

/* The wait of the settler's client: ends when the node stops. */
static int settle_wait(void *arg, const int *fds, int nfds, int timeout_ms)
{
	Node *n = arg;
	struct pollfd p[WAIT_FDS];
	nfds_t count = 0;

	if (atomic_load(&n->stopping))
		return -1;
	while ((int) count < nfds && count < WAIT_FDS)
	{
		p[count] = (struct pollfd){.fd = fds[count], .events = POLLIN};
		count++;
	}
	return poll(p, count, timeout_ms < WAIT_STEP_MS ? timeout_ms : WAIT_STEP_MS) > 0;
}

static DorisStatus connect_client(Settler *s, DorisError *err)
{
	Node *n = s->w.node;
	DorisOptions o = {.key_file = n->config.key_file,
					  .deadline_ms = SETTLE_MS,
					  .wait = settle_wait,
					  .wait_arg = n};
	DorisBuf hosts;
	DorisStatus st;

	if (s->client != NULL)
		return DORIS_OK;
	buf_init(&hosts);
	for (int i = 0; i < n->config.nadmins; i++)
	{
		if (i > 0)
			buf_put_u8(&hosts, ',');
		buf_put_raw(&hosts, n->config.admins[i] + 6, strlen(n->config.admins[i]) - 6);
	}
	/* this node itself knows the topology when no admin answers */
	buf_put_u8(&hosts, ',');
	buf_put_raw(&hosts, n->config.listen + 6, strlen(n->config.listen) - 6 + 1);
	if (hosts.failed)
		st = doris_error(err, DORIS_NO_MEMORY, "out of memory");
	else
	{
		o.hosts = (const char *) hosts.data;
		st = doris_connect(&o, &s->client, err);
	}
	buf_free(&hosts);
	return st;
}

/* What is to be settled of one transaction: the first of its rows here that still has its staged write. */
typedef struct Found
{
	DorisTxnId txn;
	KeyRef at; /* key in `key` */
	DorisBuf key;
	StagedInfo staged;
} Found;

/* The store key's parts. False: not a row (a decision row, or damaged). */
static bool split_key(DorisBytes stored, KeyRef *at)
{
	DorisCursor c = cursor_of(stored.data, stored.len);

	at->space = cursor_u8(&c);
	if (at->space != DORIS_SPACE_ROWS || cursor_left(&c) < 4)
		return false;
	at->ns = 0;
	for (int i = 0; i < 4; i++)
		at->ns = at->ns << 8 | cursor_u8(&c);
	at->key = (DorisBytes){stored.data + 5, stored.len - 5};
	return true;
}

typedef enum Looked
{
	LOOKED_NONE,  /* no row here holds its staged write */
	LOOKED_YOUNG, /* its client may still end it */
	LOOKED_OLD	  /* long past its deadline */
} Looked;

/* Looks through what the index says of a transaction. */
static Looked look_at(Settler *s, DorisBytes entry, uint64_t now_ms, Found *out)
{
	Worker *w = &s->w;
	DorisCursor c = cursor_of(entry.data, entry.len);

	while (cursor_left(&c) > 0)
	{
		uint32_t vnode = cursor_u32(&c);
		DorisBytes stored = cursor_bytes(&c);
		DorisError err;
		KeyRef at = {.vnode = vnode};
		int i;

		if (c.bad || vnode >= DORIS_MAX_VNODES)
			return LOOKED_YOUNG;
		if (atomic_load(&w->node->tables[vnode]) != TABLE_READY || !split_key(stored, &at))
			continue;
		if (rows_load(w, vnode, stored, &w->row, &err) != DORIS_OK)
			continue;
		i = record_find_staged(&w->row, out->txn);
		if (i < 0)
			continue;
		/* a named one was committed long ago, as a rule, and its client has not come to tell (rule decided first) */
		if (w->row.staged[i].expires_ms + GRACE_MS >= now_ms && w->row.staged[i].mode != TXN_NAMED)
			return LOOKED_YOUNG;
		rows_staged_info(&w->row.staged[i], now_ms, &out->staged);
		buf_reset(&out->key);
		buf_put_raw(&out->key, at.key.data, at.key.len);
		out->at = at;
		out->at.key = (DorisBytes){out->key.data, out->key.len};
		return out->key.failed ? LOOKED_YOUNG : LOOKED_OLD;
	}
	return LOOKED_NONE;
}

/*
 * Its rows are ended, but the index still lists them: a later writer proved the commit, and the FINISH was lost; or the
 * copy has gone elsewhere, and its table was dropped.
 */
static void clear_leftover(Settler *s, DorisTxnId txn)
{
	DorisError err;

	if (finish_clear_index(&s->w, txn, &err) != DORIS_OK)
		log_line(LOG_DEBUG, "clearing the index of staged writes: %s", err.message);
}

/* The transactions of the next part of the index. */
static DorisStatus gather(Settler *s, DorisBuf *ids, uint32_t *n, DorisError *err)
{
	DorisStatus st = index_list(&s->w, s->from, LOOK_ENTRIES, ids, n, err);

	if (st != DORIS_OK)
		return st;
	if (*n == LOOK_ENTRIES)
		s->from = txnid_from_key(ids->data + (size_t) (*n - 1) * DORIS_TXNID_SIZE);
	else
		memset(&s->from, 0, sizeof(s->from));
	return DORIS_OK;
}

static DorisStatus settle(Settler *s, const Found *f, bool *ended, DorisError *err)
{
	DorisStatus st = connect_client(s, err);

	*ended = false;
	if (st == DORIS_OK)
		st = doris_settle(s->client, &f->at, &f->staged, atomic_load(&s->w.node->node_id), ended,
						  err);
	return st;
}

static void settle_round(Settler *s)
{
	Node *n = s->w.node;
	DorisBuf ids;
	Found f;
	DorisError err = {0};
	uint32_t count = 0;
	uint32_t settled = 0;
	int failures = 0;

	buf_init(&ids);
	buf_init(&f.key);
	if (gather(s, &ids, &count, &err) != DORIS_OK)
		log_line(LOG_WARNING, "looking for old staged writes: %s", err.message);
	for (uint32_t i = 0; i < count && settled < SETTLE_EACH && failures < SETTLE_FAILURES &&
						 !atomic_load(&n->stopping);
		 i++)
	{
		DorisBuf entry;
		uint32_t entries;
		bool ended = false;
		Looked looked = LOOKED_YOUNG;

		f.txn = txnid_from_key(ids.data + (size_t) i * DORIS_TXNID_SIZE);
		/* ids are in order of time: nothing from here on can be old enough */
		if (clock_ms_of(f.txn.clock) + GRACE_MS > clock_wall_ms())
			break;
		buf_init(&entry);
		if (index_gather(&s->w, f.txn, &entry, &entries, &err) != DORIS_OK)
			log_line(LOG_WARNING, "looking for old staged writes: %s", err.message);
		else
			looked = look_at(s, (DorisBytes){entry.data, entry.len}, clock_wall_ms(), &f);
		if (looked == LOOKED_NONE)
			clear_leftover(s, f.txn);
		else if (looked == LOOKED_OLD)
		{
			if (settle(s, &f, &ended, &err) != DORIS_OK)
			{
				/* the next round goes on behind it: what cannot be settled now must not keep the rest waiting */
				if (++failures == SETTLE_FAILURES)
					s->from = f.txn;
				log_line(LOG_DEBUG, "settling an old staged write: %s", err.message);
			}
			else
				failures = 0;
			settled += ended;
		}
		buf_free(&entry);
	}
	if (settled > 0)
		node_count(n, COUNT_CLOSED, settled);
	buf_free(&ids);
	buf_free(&f.key);
}

static void *settle_main(void *arg)
{
	Node *n = arg;
	Settler s = {.client = NULL};
	uint64_t next = clock_mono_ms() + ROUND_MS;
	DorisError err = {0};

	if (worker_init(&s.w, n, &err) != DORIS_OK)
	{
		log_line(LOG_ERROR, "%s", err.message);
		node_stop(n, 1);
		return NULL;
	}
	while (!atomic_load(&n->stopping))
	{
		struct timespec pause = {0, 100 * 1000000L};

		(void) nanosleep(&pause, NULL);
		if (clock_mono_ms() < next)
			continue;
		next = clock_mono_ms() + ROUND_MS;
		if (atomic_load(&n->serving) && epoch_is_named(n) && atomic_load(&n->staged) > 0 &&
			!atomic_load(&n->disk_starved))
			settle_round(&s);
		n->driver->idle(s.w.ss);
	}
	doris_disconnect(s.client);
	worker_free(&s.w);
	return NULL;
}

DorisStatus settle_start(Node *n, pthread_t *thread, DorisError *err)
{
	int rc = pthread_create(thread, NULL, settle_main, n);

	if (rc != 0)
		return doris_error(err, DORIS_NO_MEMORY, "starting the settler: %s", strerror(rc));
	return DORIS_OK;
}
