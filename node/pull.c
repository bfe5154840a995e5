/*
 * pull.c: PULL: what a copy that is being made complete takes from a complete one (rule complete).
 *
 * Only complete copies answer (I2), and only a request of the epoch in which the vnode last changed or later: both sides
 * have then finished every request of earlier epochs, and every later write goes to both (the fence, I3). As in DIGEST, the
 * epoch lock is held for the check only: should the copy stop being complete meanwhile, changed(v) has moved on, and what the
 * asker took under the old one is void.
 *
 * Nothing is kept between pages. A page ends at its bytes or after MAX_MS of looking (I6). What is staged is told only
 * once it is on disk: who is told builds on it.
 */
#include "node.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_BYTES (1u << 20)
#define MAX_BYTES (4u << 20)
#define MAX_MS 100
#define LOOK_AT_CLOCK 256	   /* records between two looks */
#define RUN_RECORDS 512		   /* committed records whose sum is told as one */
#define MAX_DIGEST_VNODES 1024 /* in one request */

typedef struct Page
{
	Worker *w;
	const PullRequest *m;
	DorisBuf *reply;
	size_t start; /* of the page: its count */
	size_t limit;
	uint64_t until_ms; /* monotonic */
	uint64_t looked;
	uint32_t n;
} Page;

static void page_begin(Page *p, Worker *w, const PullRequest *m, DorisBuf *reply)
{
	memset(p, 0, sizeof(*p));
	p->w = w;
	p->m = m;
	p->reply = reply;
	p->start = reply->len;
	p->limit = m->max_bytes == 0 ? DEFAULT_BYTES : m->max_bytes;
	if (p->limit > MAX_BYTES)
		p->limit = MAX_BYTES;
	p->until_ms = clock_mono_ms() + MAX_MS;
	buf_put_u32(reply, 0);
}

/* Would `more` bytes be too much? A page holds at least one thing, whatever its size. */
static bool page_is_full(const Page *p, size_t more)
{
	return p->n > 0 && p->reply->len - p->start + more > p->limit;
}

static bool page_is_late(Page *p)
{
	return ++p->looked % LOOK_AT_CLOCK == 0 && clock_mono_ms() > p->until_ms;
}

static DorisStatus page_end(const Page *p, bool done, DorisBytes next, DorisError *err)
{
	static const DorisBytes none = {NULL, 0};

	buf_set_u32(p->reply, p->start, p->n);
	buf_put_u8(p->reply, done ? 1 : 0);
	buf_put_view(p->reply, done ? none : next);
	if (p->reply->failed)
		return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory for a page",
						   node_name(p->w->node));
	return DORIS_OK;
}

/* The fence: see the top. */
static DorisStatus check_vnode(Worker *w, uint64_t epoch, uint32_t vnode, DorisError *err)
{
	Node *n = w->node;
	DorisStatus st;

	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	st = epoch_admit(n, epoch, err);
	if (st == DORIS_OK)
		st = epoch_check(n, epoch, vnode, PLACE_JUDGE, err);
	if (st == DORIS_OK)
		st = tables_need(w, vnode, err);
	(void) pthread_rwlock_unlock(&n->epoch_lock);
	return st;
}

static DorisStatus damaged(Worker *w, uint32_t vnode, DorisError *err)
{
	return doris_error(err, DORIS_IO, "%s: a record of vnode %u is damaged", node_name(w->node),
					   vnode);
}

/* ---- DIGEST ---- */

static DorisStatus put_digest(Page *p, uint64_t epoch, uint32_t vnode, DorisError *err)
{
	KeptSum sum;
	DorisStatus st = check_vnode(p->w, epoch, vnode, err);

	if (st == DORIS_OK)
		st = kept_read(p->w, vnode, &sum, err);
	if (st != DORIS_OK)
		return st;
	commit_need_vnode(p->w, vnode);
	buf_put_u64(p->reply, sum.digest);
	buf_put_u64(p->reply, sum.records);
	buf_put_u64(p->reply, sum.staged);
	buf_put_u64(p->reply, atomic_load(&p->w->node->floors[vnode].fence));
	buf_put_u64(p->reply, atomic_load(&p->w->node->floors[vnode].purged));
	p->n++;
	return DORIS_OK;
}

static DorisStatus pull_digest(Page *p, uint64_t epoch, DorisError *err)
{
	DorisCursor more = cursor_of(p->m->low.data, p->m->low.len);
	DorisStatus st;

	if (p->m->low.len % 4 != 0 || p->m->low.len > 4 * MAX_DIGEST_VNODES)
		return doris_error(err, DORIS_BAD_MESSAGE, "pull: a malformed list of vnodes");
	st = put_digest(p, epoch, p->m->vnode, err);
	while (st == DORIS_OK && cursor_left(&more) > 0 && clock_mono_ms() <= p->until_ms)
		st = put_digest(p, epoch, cursor_u32(&more), err);
	if (st == DORIS_OK)
		buf_set_u32(p->reply, p->start, p->n);
	return st;
}

/* ---- RANGES ---- */

typedef struct Run
{
	KeptSum sum;
	DorisBuf last; /* its last key */
} Run;

static void put_run(Page *p, Run *r)
{
	if (r->sum.records == 0)
		return;
	buf_put_bytes(p->reply, r->last.data, r->last.len);
	buf_put_u64(p->reply, r->sum.digest);
	buf_put_varint(p->reply, r->sum.records);
	p->n++;
	memset(&r->sum, 0, sizeof(r->sum));
}

static DorisStatus pull_ranges(Page *p, DorisError *err)
{
	Worker *w = p->w;
	const StoreDriver *d = w->node->driver;
	Run run = {.sum = {0}};
	DorisBytes key;
	DorisBytes value;
	DorisBytes next;
	StoreScan *sc;
	bool done = true;
	DorisStatus st = d->scan_once(w->ss, p->m->vnode, p->m->low, p->m->high, &sc, err);

	if (st != DORIS_OK)
		return st;
	buf_init(&run.last);
	while ((st = d->next(sc, &key, &value, err)) == DORIS_OK)
	{
		if (!record_decode(value, &w->row))
		{
			st = damaged(w, p->m->vnode, err);
			break;
		}
		if (w->row.committed)
		{
			kept_sum(w->node, key, &w->row, &run.sum);
			buf_reset(&run.last);
			buf_put_raw(&run.last, key.data, key.len);
		}
		if (run.sum.records >= RUN_RECORDS)
			put_run(p, &run);
		/* the run that was begun is told too: the next page goes on behind it */
		if (page_is_late(p) || page_is_full(p, key.len))
		{
			done = false;
			buf_reset(&run.last);
			buf_put_raw(&run.last, key.data, key.len);
			break;
		}
	}
	d->scan_close(sc);
	if (st == DORIS_OK || st == DORIS_NOT_FOUND)
	{
		put_run(p, &run);
		buf_put_u8(&run.last, 0); /* the first key after it */
		next.data = run.last.data;
		next.len = run.last.len;
		st = run.last.failed ? doris_error(err, DORIS_NO_MEMORY, "%s: out of memory for a page",
										   node_name(w->node))
							 : page_end(p, done, next, err);
	}
	buf_free(&run.last);
	return st;
}

/* ---- RECORDS, STAGED, HASHES ---- */

/* HASHES: what is committed, in short. */
static void put_hash(Page *p, DorisBytes key, const Record *r)
{
	if (!r->committed)
		return;
	buf_put_view(p->reply, key);
	buf_put_version(p->reply, r->version);
	buf_put_u8(p->reply, r->tombstone ? 1 : 0);
	buf_put_u64(p->reply, digest_record(key, r));
	p->n++;
}

static DorisStatus pull_records(Page *p, DorisError *err)
{
	Worker *w = p->w;
	const StoreDriver *d = w->node->driver;
	static const DorisBytes none = {NULL, 0};
	DorisBytes key = {NULL, 0};
	DorisBytes value;
	StoreScan *sc;
	bool done = true;
	DorisStatus st = d->scan_once(w->ss, p->m->vnode, p->m->low, p->m->high, &sc, err);

	if (st != DORIS_OK)
		return st;
	while ((st = d->next(sc, &key, &value, err)) == DORIS_OK)
	{
		bool hash = p->m->what == PULL_HASHES;

		if (page_is_late(p) || page_is_full(p, key.len + (hash ? 32 : value.len)))
		{
			done = false;
			st = DORIS_NOT_FOUND; /* the end of the page */
			break;
		}
		if (p->m->what != PULL_RECORDS && !record_decode(value, &w->row))
		{
			st = damaged(w, p->m->vnode, err);
			break;
		}
		if (hash)
			put_hash(p, key, &w->row);
		else if (p->m->what == PULL_RECORDS || w->row.nstaged > 0)
		{
			buf_put_view(p->reply, key);
			buf_put_view(p->reply, value);
			p->n++;
		}
	}
	if (st == DORIS_NOT_FOUND)
		st = page_end(p, done, done ? none : key, err); /* before the key's view ends */
	d->scan_close(sc);
	return st;
}

/* Most vnodes have nothing staged: then there is nothing to read. */
static DorisStatus pull_staged(Page *p, bool *answered, DorisError *err)
{
	static const DorisBytes none = {NULL, 0};
	KeptSum sum;
	DorisStatus st;

	*answered = false;
	if (atomic_load(&p->w->node->counted[p->m->vnode]) != TALLY_KNOWN)
		return DORIS_OK;
	st = kept_read(p->w, p->m->vnode, &sum, err);
	if (st != DORIS_OK || sum.staged > 0)
		return st;
	*answered = true;
	return page_end(p, true, none, err);
}

static DorisStatus pull_vnode(Page *p, uint64_t epoch, DorisError *err)
{
	Worker *w = p->w;
	bool answered = false;
	DorisStatus st = check_vnode(w, epoch, p->m->vnode, err);

	if (st == DORIS_OK && p->m->what == PULL_STAGED)
		st = pull_staged(p, &answered, err);
	if (st == DORIS_OK && !answered)
	{
		locks_clear(w);
		st = commit_begin(w, err);
		if (st == DORIS_OK)
			st = p->m->what == PULL_RANGES ? pull_ranges(p, err) : pull_records(p, err);
		commit_abandon(w);
	}
	commit_need_vnode(w, p->m->vnode);
	return st;
}

/* ---- MEMORY ---- */

/*
 * What was noted since the asker was told last, if that is still known: else no ids, "not done", and the mark that holds
 * for all that a whole scan from now on tells.
 */
static DorisStatus pull_learned(Page *p, DorisError *err)
{
	Worker *w = p->w;
	Node *n = w->node;
	DorisCursor c = cursor_of(p->m->high.data, p->m->high.len);
	bool same = cursor_u64(&c) == n->incarnation;
	uint64_t since = cursor_u64(&c);
	uint64_t head;
	uint32_t count = 0;
	DorisTxnId *ids = NULL;
	DorisBuf mark;
	DorisStatus st;

	if (!cursor_at_end(&c))
		return doris_error(err, DORIS_BAD_MESSAGE, "pull: a malformed mark");
	if (same)
		ids = learned_since(n, since, UINT32_MAX, &count, &head);
	else
		head = learned_head(n);
	for (uint32_t i = 0; i < count; i++)
	{
		uint8_t key[DORIS_TXNID_SIZE];

		txnid_to_key(ids[i], key);
		buf_put_raw(p->reply, key, sizeof(key));
	}
	p->n = count;
	buf_init(&mark);
	buf_put_u64(&mark, n->incarnation);
	buf_put_u64(&mark, head);
	buf_set_u32(p->reply, p->start, p->n);
	buf_put_u8(p->reply, ids != NULL ? 1 : 0);
	buf_put_bytes(p->reply, mark.data, mark.len);
	st = mark.failed || p->reply->failed
			 ? doris_error(err, DORIS_NO_MEMORY, "%s: out of memory for a page", node_name(n))
			 : DORIS_OK;
	buf_free(&mark);
	free(ids);
	/* they may not be on disk yet */
	commit_need(w, atomic_load(&n->commits));
	return st;
}

static DorisStatus pull_memory(Page *p, uint64_t epoch, DorisError *err)
{
	Worker *w = p->w;
	Node *n = w->node;
	DorisTxnId from = {0};
	DorisTxnId txn = {0};
	uint8_t key[DORIS_TXNID_SIZE];
	DorisBytes next = {key, sizeof(key)};
	bool committed;
	MemoryScan *sc;
	bool done = true;
	DorisStatus st;

	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	st = epoch_admit(n, epoch, err);
	(void) pthread_rwlock_unlock(&n->epoch_lock);
	if (st == DORIS_OK && p->m->low.len != 0 && p->m->low.len != DORIS_TXNID_SIZE)
		st = doris_error(err, DORIS_BAD_MESSAGE, "pull: a malformed transaction id");
	if (st != DORIS_OK)
		return st;
	if (p->m->high.len > 0)
		return pull_learned(p, err);
	if (p->m->low.len > 0)
		from = txnid_from_key(p->m->low.data);
	locks_clear(w);
	st = commit_begin(w, err);
	if (st == DORIS_OK)
		st = memory_scan(w, from, &sc, err);
	if (st == DORIS_OK)
	{
		while ((st = memory_next(sc, &txn, &committed, err)) == DORIS_OK)
		{
			if (page_is_late(p) || page_is_full(p, sizeof(key)))
			{
				done = false;
				break;
			}
			if (!committed)
				continue;
			txnid_to_key(txn, key);
			buf_put_raw(p->reply, key, sizeof(key));
			p->n++;
		}
		memory_scan_close(sc);
		txnid_to_key(txn, key);
		if (st == DORIS_OK || st == DORIS_NOT_FOUND)
			st = page_end(p, done, next, err);
	}
	commit_abandon(w);
	/* a commit that is remembered here may not be on disk yet */
	commit_need(w, atomic_load(&n->commits));
	return st;
}

DorisStatus pull_execute(Worker *w, uint64_t epoch, const PullRequest *m, DorisBuf *reply,
						 DorisError *err)
{
	Page p;

	page_begin(&p, w, m, reply);
	switch (m->what)
	{
		case PULL_DIGEST:
			return pull_digest(&p, epoch, err);
		case PULL_RANGES:
		case PULL_RECORDS:
		case PULL_STAGED:
		case PULL_HASHES:
			return pull_vnode(&p, epoch, err);
		case PULL_MEMORY:
			return pull_memory(&p, epoch, err);
	}
	return doris_error(err, DORIS_BAD_MESSAGE, "pull: there is no kind %d", (int) m->what);
}
