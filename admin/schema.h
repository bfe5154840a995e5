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
/* Says that the leader lives, and stores what heartbeats brought. */
extern DORIS_MUST_CHECK DorisStatus schema_heartbeats(Db *db, uint64_t term,
													  const HeartReport *reports, int n,
													  DorisError *err);
extern DORIS_MUST_CHECK DorisStatus schema_events(Db *db, uint64_t term, const Event *events, int n,
												  DorisError *err);
/* Forgets the oldest events. */
extern DORIS_MUST_CHECK DorisStatus schema_trim(Db *db, uint64_t term, DorisError *err);

#endif
