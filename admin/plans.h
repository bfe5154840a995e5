/*
 * plans.h: plans that move vnodes: kept by the leader, journalled in doris.plans and doris.moves.
 */
#ifndef DORIS_ADMIN_PLANS_H
#define DORIS_ADMIN_PLANS_H

#include "lead.h"
#include "moves.h"

typedef struct MovePlan
{
	uint32_t id;
	char kind[16]; /* expand, shrink, rebalance, replace, add_group, drop_group */
	bool paused;
	uint32_t node; /* replace: who is dead at the end; else 0 */
	Move *moves;   /* in vnode order */
	uint32_t nmoves;
	uint64_t bytes_total;
	/* of this leadership */
	bool entered;		 /* its new nodes are members of their group */
	char why[256];		 /* it waits: what for; empty: it goes on */
	char told_state[16]; /* as the journal has them */
	char told_why[256];
	uint32_t done; /* moves, when last looked at */
	uint32_t under_way;
	uint32_t alive; /* of those: not at a node that is down */
	uint64_t bytes_done;
	uint64_t pulled;	  /* bytes, as the new nodes said last */
	uint64_t progress_ms; /* when something was last done, clock_mono_ms */
	uint64_t stored_ms;	  /* when numbers were last stored */
	uint64_t stored_bytes;
	uint64_t rate;	/* bytes a second, of late */
	bool stalled;	/* told */
	uint32_t edits; /* of the step before */
} MovePlan;

extern void plan_free(MovePlan *p);

/* ---- schema_moves.c ---- */
/* Journals a plan with its moves; p->id is filled in. CONFLICT: there is one in a group of it already. */
extern DORIS_MUST_CHECK DorisStatus schema_moves_begin(Db *db, uint64_t term, MovePlan *p,
													   uint32_t minimum, DorisError *err);
/* The plans with moves that are not over, malloc'ed, in order. */
extern DORIS_MUST_CHECK DorisStatus schema_moves_active(Db *db, MovePlan **out, int *n,
														DorisError *err);
/* running, waiting (why says for what), paused, done, cancelled. */
extern DORIS_MUST_CHECK DorisStatus schema_moves_state(Db *db, uint64_t term, uint32_t plan,
													   const char *state, const char *why,
													   DorisError *err);
extern DORIS_MUST_CHECK DorisStatus schema_moves_numbers(Db *db, uint64_t term, const MovePlan *p,
														 DorisError *err);
/* Plans of all kinds, the latest first; plan 0: the latest DORIS_MAX_PLANS_TOLD. malloc'ed. minimum: of the one asked for. */
extern DORIS_MUST_CHECK DorisStatus schema_plans_told(Db *db, uint32_t plan, PlanInfo **out,
													  uint32_t *n, uint32_t *minimum,
													  DorisError *err);
/* The moves of any plan, malloc'ed. */
extern DORIS_MUST_CHECK DorisStatus schema_moves_of(Db *db, uint32_t plan, Move **out, uint32_t *n,
													DorisError *err);

/* ---- plans.c ---- */
/* The next step of every plan, if it is time. */
extern void plans_run(Lead *l, uint64_t now);
/* Takes a plan over that was journalled, and begins it. */
extern void plans_add(Lead *l, MovePlan *p);
/* The plan, if it is not over; NULL: none. */
extern MovePlan *plans_find(Lead *l, uint32_t id);
/* A plan that moves vnodes of the group; NULL: none. */
extern MovePlan *plans_in_group(Lead *l, uint32_t group);
extern DORIS_MUST_CHECK DorisStatus plans_pause(Lead *l, MovePlan *p, bool pause, DorisError *err);
extern DORIS_MUST_CHECK DorisStatus plans_cancel(Lead *l, MovePlan *p, const char *why,
												 DorisError *err);
/* The group that a plan is dropping; 0: none. */
extern uint32_t plans_dropped_group(const Lead *l);
/* Forgets what this leader knew of plans: the journal has it. */
extern void plans_forget(Lead *l);
/* Reads them again if they were forgotten. */
extern DORIS_MUST_CHECK DorisStatus plans_load(Lead *l, DorisError *err);
/* Bytes of disk that must be free where so many are to come. */
extern uint64_t plan_disk_needed(uint64_t bytes);
/* What the node's present start has acknowledged (MoveAckedFn; arg is the Lead). */
extern uint64_t plans_acked(void *arg, uint32_t node);

/* ---- plan_requests.c ---- */
/* EXPAND, SHRINK, REBALANCE, and REPLACE of a node that is up; dry or not. */
extern DORIS_MUST_CHECK DorisStatus plan_request(Lead *l, Job *job, DorisError *err);
/* PAUSE, RESUME, CANCEL, PLANS. */
extern DORIS_MUST_CHECK DorisStatus plan_control(Lead *l, Job *job, DorisError *err);

#endif
