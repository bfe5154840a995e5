/*
 * schema.h: what the admin reads from and writes to schema doris. Lead thread only.
 *
 * Every write checks, in its own transaction, that the term is still ours, and returns NOT_LEADER when it is not
 * (rule *publish*). Errors besides that: UNREACHABLE (the connection is gone), UNAVAILABLE (the database refused), NO_MEMORY.
 */
#ifndef DORIS_ADMIN_SCHEMA_H
#define DORIS_ADMIN_SCHEMA_H

#include "admin.h"
#include "db.h"

extern DORIS_MUST_CHECK DorisStatus schema_cluster(Db *db, ClusterRow *out, bool *found,
												   DorisError *err);
extern DORIS_MUST_CHECK DorisStatus schema_nodes(Db *db, NodeRow **out, int *n, DorisError *err);
extern DORIS_MUST_CHECK DorisStatus schema_node(Db *db, const char *name, NodeRow *out, bool *found,
												DorisError *err);
/* The newest topology above the epoch, checked; *out NULL: none. */
extern DORIS_MUST_CHECK DorisStatus schema_topology(Db *db, const DorisKeys *keys, uint64_t above,
													Topology **out, DorisError *err);
/* Hands the hashes of the kept topologies to admin_keep_hash. */
extern DORIS_MUST_CHECK DorisStatus schema_hashes(Db *db, Admin *a, DorisError *err);
/* Tries the leader's lock, which the connection holds from then on. */
extern DORIS_MUST_CHECK DorisStatus schema_lock(Db *db, bool *got, DorisError *err);
/* Holding the lock: begins a term above all before, and above floor. */
extern DORIS_MUST_CHECK DorisStatus schema_begin_term(Db *db, const AdminOptions *o, uint64_t floor,
													  uint64_t *term, DorisError *err);
/* Where the leader listens; empty when there never was one. */
extern DORIS_MUST_CHECK DorisStatus schema_leader(Db *db, char out[DORIS_ADDRESS_MAX],
												  DorisError *err);
/*
 * Stores a sealed topology with the events, in one transaction. old: what the schema holds now (NULL: nothing). UNKNOWN: the
 * connection broke at COMMIT.
 */
extern DORIS_MUST_CHECK DorisStatus schema_publish(Db *db, uint64_t term, const Topology *old,
												   const Topology *t, const Event *events,
												   int nevents, DorisError *err);
/* Records a greeting while there is no topology yet. */
extern DORIS_MUST_CHECK DorisStatus schema_greet(Db *db, uint64_t term, const NodeRow *row,
												 const char *build, DorisError *err);
/* Runs a statement that returns how many leader rows of our term it found. Frees the parameters. */
extern DORIS_MUST_CHECK DorisStatus schema_guarded(Db *db, const char *sql, DbParams *p,
												   uint64_t term, DorisError *err);
/* Says that the leader lives, and stores what heartbeats brought. current: which are of the start that the topology names. */
extern DORIS_MUST_CHECK DorisStatus schema_heartbeats(Db *db, uint64_t term,
													  const HeartReport *reports,
													  const bool *current, int n, DorisError *err);
/* Notes that an operator holds the node down (or does not), and accepts what its next start may lack. */
extern DORIS_MUST_CHECK DorisStatus schema_hold(Db *db, uint64_t term, uint32_t node, bool held,
												bool accept_loss, DorisError *err);
/* How often the node was judged failed in the last two minutes. */
extern DORIS_MUST_CHECK DorisStatus schema_failures(Db *db, const char *name, int *n,
													DorisError *err);

typedef struct Settings /* of doris.cluster */
{
	bool degraded_writes;
	bool auto_replace;
	int64_t permanent_after_s;
	uint32_t move_rate_mb; /* 0: no limit */
} Settings;
extern DORIS_MUST_CHECK DorisStatus schema_settings(Db *db, Settings *out, DorisError *err);

/* ---- schema_plans.c ---- */
typedef struct PlanRow /* a plan that is running */
{
	uint32_t id;
	uint32_t node; /* replaced by... */
	uint32_t by;
} PlanRow;
/* The running plans, malloc'ed. */
extern DORIS_MUST_CHECK DorisStatus schema_plans(Db *db, PlanRow **out, int *n, DorisError *err);
/* Journals a replacement that is to be carried out, and holds the node down. */
extern DORIS_MUST_CHECK DorisStatus schema_plan_begin(Db *db, uint64_t term, uint32_t node,
													  uint32_t by, uint32_t group, uint32_t vnodes,
													  uint32_t *plan, DorisError *err);
extern DORIS_MUST_CHECK DorisStatus schema_plan_progress(Db *db, uint64_t term, uint32_t plan,
														 uint32_t done, uint64_t bytes,
														 uint64_t bytes_total, DorisError *err);
/* state done or cancelled; error may be NULL. A cancelled plan does not hold its node down any more. */
extern DORIS_MUST_CHECK DorisStatus schema_plan_end(Db *db, uint64_t term, uint32_t plan,
													const char *state, const char *error,
													DorisError *err);

extern DORIS_MUST_CHECK DorisStatus schema_events(Db *db, uint64_t term, const Event *events, int n,
												  DorisError *err);
/* Forgets the oldest events, and the moves of plans that were over long ago. */
extern DORIS_MUST_CHECK DorisStatus schema_trim(Db *db, uint64_t term, DorisError *err);

#endif
