/*
 * recover.h: the parts of a recovery (rule complete): recover.c leads, pass.c takes over what is committed, agree.c settles what
 * is staged, confirm.c compares.
 *
 * All by one thread, which may wait for a source at any step; no lock is held while it does. Whatever a step finds or
 * writes is void once changed(v) has moved on, and every step looks (STALE_EPOCH).
 */
#ifndef DORIS_NODE_RECOVER_H
#define DORIS_NODE_RECOVER_H

#include "merge.h"
#include "node.h"
#include "source.h"

/* A copy to be made complete. */
typedef struct Todo
{
	uint32_t vnode;
	uint64_t changed; /* the changed(v) for which it is done */
	uint32_t source;  /* node id */
	SourceSum theirs; /* what the source told last */
	uint64_t missing; /* records that the source has more: for the estimate */
	bool moving;	  /* PLACE_MOVING */
	bool judges;	  /* it judges by now */
	uint64_t missed;  /* records that a pass brought and that were not even staged here */
	bool unwanted;	  /* the source still has rows of namespaces that are gone */
	bool passed;
	bool failed; /* in this round */
} Todo;

/* Keeps what is pulled to a rate: each page pushes `next_us` on by the time that it may take. */
/* How much of the time something on this machine waits for a processor (pace.c). */
typedef struct Pressure
{
	uint64_t at_us;	   /* monotonic: when it was looked at; 0: never */
	uint64_t total_us; /* the kernel's sum by then */
	uint32_t percent;  /* since the time before */
} Pressure;

typedef struct Pace
{
	uint64_t next_us; /* monotonic: the next page may be merged then */
	uint64_t rate_mb; /* in force when it was set */
} Pace;

typedef struct Recoverer
{
	Worker w;
	Source **sources; /* those asked so far; owned */
	uint32_t nsources;
	Todo *todo; /* of this round, by source */
	uint32_t ntodo;
	uint64_t round_until;  /* monotonic ms: no new vnode is begun after it */
	Pace pace;			   /* of all that is pulled: --recover-rate */
	Pace move_pace;		   /* of what is pulled for copies that move here: setting move_rate */
	bool moving;		   /* the copy under way is one */
	bool gives_way;		   /* rows were asked for or written here while the last page was merged */
	uint64_t rows_served;  /* by then */
	uint64_t page_from_us; /* monotonic: when that page was begun */
	Pressure pressure;
	uint64_t began_ms;	 /* of the recovery under way; 0: none */
	uint32_t made_ready; /* since it began */
	bool serving_wants;	 /* no wants within wants */
	/* Called between the steps, if set: tests put writes and topologies there. */
	void (*on_step)(void *arg, const char *step);
	void *step_arg;
	bool told_waiting; /* the log has said that no source is up */
} Recoverer;

extern DORIS_MUST_CHECK DorisStatus recoverer_init(Recoverer *r, Node *n, DorisError *err);
extern void recoverer_free(Recoverer *r);
/*
 * One round over all copies that are not ready. *left: how many are not ready after it. Errors of single copies and sources
 * are logged; an error returned is this node's own.
 */
extern DORIS_MUST_CHECK DorisStatus recover_round(Recoverer *r, uint32_t *left, DorisError *err);
/* Takes what others have missed here (recover_want). */
extern void recover_serve_wants(Recoverer *r);
/* Is the copy still to be recovered, for this changed(v)? *epoch: the one in force. */
extern bool recover_still(Node *n, uint32_t vnode, uint64_t changed, uint64_t *epoch);
/* Between pages: accounts for what came, keeps to the rates, serves wants. CANCELLED: the node stops. */
extern DORIS_MUST_CHECK DorisStatus recover_between(Recoverer *r, size_t bytes, DorisError *err);
/* Asks for the sums of some copies. Those that fail by themselves are marked. False: the source is down. */
extern bool recover_digests(Recoverer *r, Source *s, Todo *todo, uint32_t n);
/*
 * After an error with one copy: may the round go on with the next? A source that cannot be asked, and this node's own
 * trouble, end it.
 */
extern bool recover_may_go_on(Source *s, Todo *t, DorisStatus st, const DorisError *err);
/* How big a page of records may be, so that a limited rate is kept in small steps. */
extern uint32_t recover_page_bytes(const Recoverer *r);

/* ---- pass.c ---- */
/* Takes over what the source has committed, and what is staged there. t->theirs: told by the source before. */
extern DORIS_MUST_CHECK DorisStatus pass_vnode(Recoverer *r, Source *s, Todo *t, DorisError *err);
/* The copy judges: what differs from the source is passed once more. t->missed: what that brought. */
extern DORIS_MUST_CHECK DorisStatus pass_again(Recoverer *r, Source *s, Todo *t, DorisError *err);
/* Takes over the ids of transactions that the source remembers as committed. */
extern DORIS_MUST_CHECK DorisStatus pass_memory(Recoverer *r, Source *s, DorisError *err);

/* ---- agree.c ---- */
/* The copy judges: settles with the source which staged writes it keeps. t->theirs: told since it judges. */
extern DORIS_MUST_CHECK DorisStatus agree_vnode(Recoverer *r, Source *s, const Todo *t,
												DorisError *err);
/* Takes what is staged at the source and not here. judges: this copy does. */
extern DORIS_MUST_CHECK DorisStatus agree_want(Recoverer *r, Source *s, uint32_t vnode,
											   uint64_t changed, bool judges, DorisError *err);

/* ---- confirm.c ---- */
/*
 * Settled copies, about to be called ready, are compared with their source; what differs is passed again. They may come in
 * another order. False: the source is down.
 */
extern bool confirm_copies(Recoverer *r, Source *s, Todo *todo, uint32_t n);

#endif
