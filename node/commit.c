/*
 * commit.c: locks, store transactions, and when an answer may leave (group commit).
 *
 * Commits are numbered. An answer that promises durability waits until its commit is flushed; one flush serves all
 * commits before it, of all workers. An answer that only tells what is stored leaves at once, unless
 * what it tells was committed but not flushed yet: whoever is told "staged here" may conclude from it that a
 * transaction is committed (rule outcome), so it must survive a crash. `dirty` knows that for each vnode lock.
 */
#include "node.h"

#include <string.h>

/* A commit is under way: whoever sees its rows has to flush by itself. */
#define IN_PROGRESS UINT64_MAX

void locks_clear(Worker *w)
{
	memset(&w->locks, 0, sizeof(w->locks));
}

void locks_add(Worker *w, uint32_t vnode)
{
	uint32_t i = vnode % NODE_VNODE_LOCKS;

	w->locks.bits[i / 64] |= (uint64_t) 1 << (i % 64);
}

/* Calls body for the number `i` of each lock in the set, rising. */
#define FOR_EACH_LOCK(w, i, body)                                                     \
	for (uint32_t word_ = 0; word_ < NODE_VNODE_LOCKS / 64; word_++)                  \
	{                                                                                 \
		for (uint64_t bits_ = (w)->locks.bits[word_]; bits_ != 0; bits_ &= bits_ - 1) \
		{                                                                             \
			uint32_t i = word_ * 64 + (uint32_t) __builtin_ctzll(bits_);              \
			body;                                                                     \
		}                                                                             \
	}

void locks_take(Worker *w)
{
	Node *n = w->node;

	FOR_EACH_LOCK(w, i, {
		if (pthread_mutex_trylock(&n->vnode_locks[i]) != 0)
		{
			/* its holder may be at a long request */
			listener_pass(n->listener);
			(void) pthread_mutex_lock(&n->vnode_locks[i]);
		}
	});
	w->locked = true;
}

void locks_release(Worker *w)
{
	Node *n = w->node;

	if (!w->locked)
		return;
	w->locked = false;
	FOR_EACH_LOCK(w, i, (void) pthread_mutex_unlock(&n->vnode_locks[i]));
}

bool locks_try_one(Node *n, uint32_t vnode)
{
	return pthread_mutex_trylock(&n->vnode_locks[vnode % NODE_VNODE_LOCKS]) == 0;
}

void locks_release_one(Node *n, uint32_t vnode)
{
	(void) pthread_mutex_unlock(&n->vnode_locks[vnode % NODE_VNODE_LOCKS]);
}

TxnSlot *txn_slot(Node *n, DorisTxnId txn)
{
	uint64_t h = (txn.clock ^ ((uint64_t) txn.origin << 32) ^ txn.nonce) * 0x9E3779B97F4A7C15u;

	return &n->txns[(h >> 32) % NODE_TXN_LOCKS];
}

DorisStatus commit_begin(Worker *w, DorisError *err)
{
	counters_forget(w);
	return w->node->driver->begin(w->ss, err);
}

DorisStatus commit_end(Worker *w, bool builds, uint64_t *number, DorisError *err)
{
	Node *n = w->node;
	DorisStatus st;
	uint64_t mine;

	builds = builds && w->locked;
	if (builds)
		FOR_EACH_LOCK(w, i, atomic_store(&n->dirty[i], IN_PROGRESS));
	st = n->driver->commit(w->ss, err);
	if (st == DORIS_OK)
	{
		mine = atomic_fetch_add(&n->commits, 1) + 1;
		counters_book(w);
	}
	else
	{
		mine = atomic_load(&n->commits);
		counters_forget(w);
	}
	if (builds)
		FOR_EACH_LOCK(w, i, atomic_store(&n->dirty[i], mine));
	locks_release(w);
	if (number != NULL)
		*number = mine;
	return st;
}

void commit_abandon(Worker *w)
{
	w->node->driver->rollback(w->ss);
	counters_forget(w);
	locks_release(w);
}

void commit_need(Worker *w, uint64_t number)
{
	if (number > w->need)
		w->need = number;
}

void commit_need_vnode(Worker *w, uint32_t vnode)
{
	uint64_t number = atomic_load(&w->node->dirty[vnode % NODE_VNODE_LOCKS]);

	if (number > atomic_load(&w->node->flushed))
		commit_need(w, number);
}

static DorisStatus flush_locked(Worker *w, DorisError *err)
{
	Node *n = w->node;
	uint64_t upto = atomic_load(&n->commits);
	uint64_t since = clock_mono_us();
	DorisStatus st = n->driver->flush(w->ss, err);

	if (st == DORIS_OK)
	{
		uint64_t usual = atomic_load(&n->flush_us);

		atomic_store(&n->flush_us, usual - usual / 8 + (clock_mono_us() - since) / 8);
		node_count(n, COUNT_FLUSHES, 1);
		if (upto > atomic_load(&n->flushed))
			atomic_store(&n->flushed, upto);
	}
	return st;
}

DorisStatus commit_flush(Worker *w, uint64_t number, DorisError *err)
{
	Node *n = w->node;
	DorisStatus st = DORIS_OK;

	if (number == 0 || atomic_load(&n->sync_interval))
		return DORIS_OK;
	if (number <= atomic_load(&n->flushed))
		return DORIS_OK;
	(void) pthread_mutex_lock(&n->flush_lock);
	if (number > atomic_load(&n->flushed)) /* else the one before us flushed ours too */
		st = flush_locked(w, err);
	(void) pthread_mutex_unlock(&n->flush_lock);
	return st;
}

DorisStatus commit_flush_all(Worker *w, DorisError *err)
{
	DorisStatus st;

	listener_pass(w->node->listener);
	(void) pthread_mutex_lock(&w->node->flush_lock);
	st = flush_locked(w, err);
	(void) pthread_mutex_unlock(&w->node->flush_lock);
	return st;
}
