/*
 * hints.h: hints: writes that a log node keeps for copies that are down, and how they come back.
 *
 * hints.c takes them in and counts them, hint_store.c is their table, replay.c sends them to targets that are up again, rehold.c is the target's side.
 */
#ifndef DORIS_NODE_HINTS_H
#define DORIS_NODE_HINTS_H

#include "node.h"

#define HINTS_BATCH 512 /* in one REPLAY */

/* ---- hints.c: at a log node ---- */
/* Counts what the store holds. At start, before requests are taken. */
extern DORIS_MUST_CHECK DorisStatus hints_open(Worker *w, DorisError *err);
extern void hints_close(Node *n);
/*
 * HINT. The caller holds the epoch lock for reading (I3): so when this node acknowledges an epoch in which the target is up
 * no hint for it is under way any more. LIMIT: the budget is full; nothing was kept.
 */
extern DORIS_MUST_CHECK DorisStatus hints_execute(Worker *w, uint64_t epoch, const HintRequest *m,
												  DorisError *err);

/* Is this a log node by its topology, or does it still keep hints? */
extern bool hints_are_kept(Node *n);

typedef struct HintsTotal
{
	uint64_t hints; /* to be replayed */
	uint64_t bytes; /* of them, as the budget counts */
	uint64_t budget;
	uint64_t poison; /* set aside */
	uint64_t poison_bytes;
} HintsTotal;
extern void hints_total(Node *n, HintsTotal *out);
/* What is kept for each target, in no order; malloced. Targets that only have poison: hints 0. */
extern DORIS_MUST_CHECK DorisStatus hints_backlogs(Node *n, Backlog **out, uint32_t *nout,
												   DorisError *err);

/* For hint_store.c: what it deleted or set aside. oldest_ms: of the last one deleted; 0: unknown. */
extern void hints_count_out(Node *n, uint32_t target, uint64_t hints, uint64_t bytes,
							uint64_t oldest_ms);
/* Poison is kept to be looked at, not counted on: up to a share of the budget, beside it. */
extern bool hints_poison_fits(Node *n, uint64_t bytes);
extern void hints_poison_in(Node *n, uint32_t target, uint64_t bytes);
extern void hints_poison_out(Node *n, uint32_t target, uint64_t poison, uint64_t bytes);

/* ---- hint_store.c ---- */
#define HINT_KEY_SIZE 12
#define HINT_POISON_KEY_SIZE 16
#define HINT_TYPE_SIZE 2 /* before the body in a value */
extern DorisBytes hint_key(uint32_t target, uint64_t sequence, uint8_t out[HINT_KEY_SIZE]);

/* Some hints of one target, oldest first, read from the store to be sent. */
typedef struct HintBatch
{
	uint32_t target;
	uint32_t n;
	uint64_t sequences[HINTS_BATCH];
	ReplayItem items[HINTS_BATCH]; /* bodies point into kept */
	DorisBuf kept;
	size_t bytes; /* as the budget counts them */
	bool damaged; /* the only one is no hint at all: nothing to send */
} HintBatch;
extern void hint_batch_free(HintBatch *b);
/* Those from a sequence on: up to `limit`, about 1 MiB, at least one when there is any (n 0: none). */
extern DORIS_MUST_CHECK DorisStatus hints_load(Worker *w, uint32_t target, uint64_t from,
											   uint32_t limit, HintBatch *b, DorisError *err);
/* Takes them out of the backlog; those answered REPLAY_POISON are set aside and logged. */
extern DORIS_MUST_CHECK DorisStatus hints_settle(Worker *w, const HintBatch *b,
												 const uint8_t *results, DorisError *err);
/* Forgets up to `limit` of the target's, poison too; *done: none is left. */
extern DORIS_MUST_CHECK DorisStatus hints_drop(Worker *w, uint32_t target, uint32_t limit,
											   bool *done, DorisError *err);

/* ---- replay.c: at a log node ---- */
/* A thread that replays while there are hints; it sleeps on nodes that have none. */
extern DORIS_MUST_CHECK DorisStatus replay_start(Node *n, pthread_t *thread, DorisError *err);

/* ---- rehold.c: at the target ---- */
/* REPLAY: writes u32 n and a ReplayResult for each item behind the status. Takes the epoch lock step by step. */
extern DORIS_MUST_CHECK DorisStatus rehold_execute(Worker *w, uint64_t epoch,
												   const ReplayRequest *m, DorisBuf *reply,
												   DorisError *err);

#endif
