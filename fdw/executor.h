/*
 * executor.h: what the planner's and the executor's files of the extension share among themselves.
 *
 * plan.c chooses how a foreign table is read and writes it down in fdw_private (enum ScanPrivate); shippable.c
 * says which conditions a node can judge; scan.c reads, by key with lookup.c, modify.c and direct_modify.c write into
 * buffer.c, whose rows live in spill.c's log; xact.c hands the buffers to libdoris when the transaction commits.
 */
#ifndef DORIS_EXECUTOR_H
#define DORIS_EXECUTOR_H

#include "doris_fdw.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "commands/explain.h"
#include "foreign/fdwapi.h"
#include "lib/ilist.h"
#include "nodes/execnodes.h"
#include "nodes/extensible.h"
#include "nodes/pathnodes.h"

/* ---- shippable.c: conditions ---- */
/* "column op other", where other does not look at the table: all that keys, ranges and filters are made of. */
typedef struct ShipCompare
{
	AttrNumber attnum;
	int strategy;	/* BTEqualStrategyNumber ..., or SHIP_NOT_EQUAL */
	bool array;		/* = ANY (other), or <> ALL (other) */
	Expr *other;	/* not to be changed */
	Oid other_type; /* int2, int4 or int8 when it differs from the column's own; else InvalidOid */
} ShipCompare;

#define SHIP_NOT_EQUAL 100

/* The table's column that the expression is, perhaps under a relabelling; NULL: it is something else. */
extern Var *ship_column(DorisTable *t, Index varno, Expr *e);
extern bool ship_compare(PlannerInfo *root, DorisTable *t, Index varno, Expr *clause,
						 ShipCompare *out);

/* The column of the table that the expression is, perhaps under a relabelling; NULL: it is something else. */
extern Var *ship_column(DorisTable *t, Index varno, Expr *e);
/* Can the expression be evaluated once, before the table is read? */
extern bool ship_other(PlannerInfo *root, Index varno, Node *e);

/* ---- pattern.c: how a string begins ---- */
typedef struct ShipPattern
{
	AttrNumber attnum;
	bool like;	 /* other is a pattern of LIKE, else a prefix */
	Expr *other; /* not to be changed */
	bool exact;	 /* bytes tell all of the condition; else it has to be judged here, too */
} ShipPattern;

extern bool pattern_match(PlannerInfo *root, DorisTable *t, Index varno, Expr *clause,
						  ShipPattern *out);
/* What the stored bytes of all strings that match begin with; *whole: nothing else matches. palloc'ed. */
extern DorisBytes pattern_prefix(const ColumnCodec *codec, bool like, Datum pattern, bool *whole);

/* ---- bounds.c: from which key to which one ---- */
typedef enum BoundKind
{
	BOUND_COMPARE = 1, /* of one column, or row-wise of several */
	BOUND_PREFIX,
	BOUND_LIKE
} BoundKind;

typedef struct KeyBound
{
	BoundKind kind;
	int strategy;						 /* BOUND_COMPARE: BTLessStrategyNumber ... */
	int n;								 /* key columns */
	Expr *others[DORIS_MAX_KEY_COLUMNS]; /* not to be changed */
	Oid types[DORIS_MAX_KEY_COLUMNS];	 /* see ShipCompare.other_type */
	bool
		exact; /* the keys within it are those for which the clause is true; else it is judged here, too */
} KeyBound;

typedef struct KeyRange
{
	DorisBytes low;	 /* inclusive */
	DorisBytes high; /* exclusive; empty: to the end */
} KeyRange;

/* Does the clause bound the key columns from position next (0..) on? */
extern bool bound_match(PlannerInfo *root, DorisTable *t, Index varno, Expr *clause, int next,
						KeyBound *out);
/* As the plan keeps it; appends its expressions to exprs. */
extern List *bound_private(const KeyBound *b, List **exprs);
/*
 * The range that all bounds (as by bound_private) leave of the keys that begin with prefix, which holds `next` columns. False:
 * none of them. palloc'ed.
 */
extern bool bounds_apply(DorisTable *t, int next, List *bounds, const Datum *values,
						 const bool *nulls, DorisBytes prefix, KeyRange *out);
/* The least byte string above all that begin with the prefix; empty: there is none. */
extern DorisBytes bytes_after(DorisBytes prefix);
extern DorisBytes bytes_join(DorisBytes a, DorisBytes b);

/* ---- shippable.c again: filters ---- */
/*
 * A filter as the plan keeps it: a flat integer list of steps in postfix order, SHIP_STEP_INTS a step
 * (operation, attnum, index into exprs, other_type), and the expressions that give its constants when it runs.
 */
#define SHIP_STEP_INTS 4
typedef struct ShipFilter
{
	List *steps;
	List *exprs;
} ShipFilter;

/* Appends the clause to the filter, ANDed to what is there; false and nothing appended when it must be judged here. */
extern bool ship_filter_add(PlannerInfo *root, DorisTable *t, Index varno, Expr *clause,
							ShipFilter *f);
/* Of one that must be judged here: appends what the nodes can tell of it all the same. False: nothing. */
extern bool ship_filter_narrow(PlannerInfo *root, DorisTable *t, Index varno, Expr *clause,
							   ShipFilter *f);

typedef enum ShipResult
{
	SHIP_FILTER,  /* out holds the program; empty: everything passes */
	SHIP_NO_ROWS, /* it cannot be true: nothing to read */
	SHIP_HERE	  /* too large for a message, or NULL below a NOT: judge the rows here */
} ShipResult;
/* Builds the program (palloc'ed) from the values of the filter's expressions. */
extern ShipResult ship_filter_build(DorisTable *t, List *steps, const Datum *values,
									const bool *nulls, DorisBytes *out);
/* Brings an integer to the column's type: 0; -1, 1: it is below, above all of that type. */
extern int ship_coerce(Oid from, Oid to, Datum *d);

/* ---- plan.c ---- */
typedef enum DorisAccess
{
	ACCESS_SCAN = 1, /* every vnode */
	ACCESS_RANGE,	 /* a prefix of the key and perhaps bounds: one vnode when the prefix routes */
	ACCESS_POINT,	 /* one key */
	ACCESS_MULTI,	 /* keys from arrays */
	ACCESS_JOINED	 /* keys from the batched join above */
} DorisAccess;

/* ForeignPath.fdw_private */
enum PathPrivate
{
	PATH_ACCESS, /* Integer: DorisAccess */
	PATH_ORDER,	 /* Integer: DorisOrder */
	PATH_LIMIT	 /* list: what LIMIT and OFFSET (or NULL) say; NIL: none is told to the scan */
};

/* ForeignScan.fdw_private */
enum ScanPrivate
{
	SCAN_ACCESS, /* Integer: DorisAccess */
	SCAN_KEYS, /* for each bound key column in order an integer list: index into fdw_exprs, is an array, other_type */
	SCAN_BOUNDS, /* integer lists: kind, strategy, n, then index and type n times: see KeyBound */
	SCAN_FILTER, /* integer list: the steps, see ShipFilter */
	SCAN_NKEY_QUALS, /* Integer: so many of fdw_recheck_quals are upheld by keys and bounds, the others by the filter */
	SCAN_WANTED,	   /* integer list: attnums to fetch; a 0 means all */
	SCAN_RECHECK,	   /* integer list: attnums that fdw_recheck_quals need beyond these */
	SCAN_WITH_VERSION, /* Boolean: system columns (the row's version) are asked for */
	SCAN_NAMESPACE,	   /* String: for EXPLAIN */
	SCAN_ORDER, /* integer list: DorisOrder, then the attnums of the key columns that may differ: for EXPLAIN */
	SCAN_LIMIT, /* integer list: indexes in fdw_exprs of what LIMIT and OFFSET say, -1 without OFFSET; NIL: no limit */
	SCAN_ONE_VNODE, /* Boolean: the bound columns route: for EXPLAIN */
	SCAN_WHOLE,		/* Boolean: all its rows are wanted, as far as the planner knows */
	SCAN_ARMS /* integer lists, one for each key that an OR gives: index into fdw_exprs and other_type of each key column */
};

/* How clauses bind the whole key of a table, each of its columns to one value. By key position - 1. */
typedef struct KeyBinding
{
	int n;
	RestrictInfo *rinfos[DORIS_MAX_KEY_COLUMNS];
	ShipCompare by[DORIS_MAX_KEY_COLUMNS];
} KeyBinding;

/* False when the clauses do not bind all of the key; rel is one of this wrapper's. */
extern bool plan_bind_key(PlannerInfo *root, RelOptInfo *rel, List *clauses, KeyBinding *out);
/* The inner side of a batched join, which gives it so many keys in so many batches. Not to be used otherwise. */
extern ForeignPath *plan_joined_path(PlannerInfo *root, RelOptInfo *rel, double keys,
									 double batches);

extern void plan_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid relid);
extern void plan_paths(PlannerInfo *root, RelOptInfo *rel, Oid relid);
/* Is nothing judged here of what the path's scan reads, so that a limit above it may be told to the scan? */
extern bool plan_limits(PlannerInfo *root, Path *path);
extern bool plan_is_ours(RelOptInfo *rel); /* a table of this wrapper that plan_rel_size has seen */
/* Of such a one. */
extern DorisTable *plan_table(RelOptInfo *rel);
/* Changes what a scan gives: these columns (as pull_varattnos has them), and no versions in system columns. */
extern void plan_scan_wants(ForeignScan *scan, DorisTable *t, Bitmapset *attrs);
extern ForeignScan *plan_scan(PlannerInfo *root, RelOptInfo *rel, Oid relid, ForeignPath *path,
							  List *tlist, List *clauses, Plan *outer);
#define COST_ROW_SENT 0.03 /* by a node: a row of a scan, a group */
/*
 * What the path would cost if no row were sent; false: it is none of which the nodes alone could aggregate the rows: they do
 * not judge all conditions, or it looks keys up.
 */
extern bool plan_unsent_cost(PlannerInfo *root, RelOptInfo *rel, Path *path, Cost *cost);

/* ---- estimate.c: what the planner is told of the cluster ---- */
/* Rows and bytes as the nodes count them, remembered for some seconds; false: could not ask. */
extern bool estimate_table(Oid serverid, DorisClient *client, const NsDef *ns, double *rows,
						   double *bytes);
/* This backend has written so many rows: an estimate that they change much is not used again. forget: none is. */
extern void estimate_changed(Oid serverid, uint32 ns, double rows);
extern void estimate_forget(Oid serverid, uint32 ns);
extern BlockNumber estimate_pages(double bytes);
/* What a request and its answer cost the planner. */
extern double estimate_round_trip(DorisTable *t, DorisClient *client);
/* The value of an expression, if planning can know it: the parameters of a custom plan are known. */
extern bool estimate_known(PlannerInfo *root, Expr *expr, Datum *value, bool *isnull);
/*
 * Has the nodes count rows that pass the filter, of table_rows in all; route: only where that leads. False: not all of its
 * values are known, or it takes too long.
 */
extern bool estimate_condition(PlannerInfo *root, DorisTable *t, DorisClient *client,
							   const ShipFilter *f, DorisBytes route, double table_rows,
							   double *rows);

/* ---- order.c ---- */
typedef struct UsefulOrder
{
	List *pathkeys;
	DorisOrder order;
} UsefulOrder;

/*
 * The orders that a scan by key can give and that the query has a use for: UsefulOrder *. constant: by key position - 1, the
 * columns of which the scan gives one value only.
 */
extern List *order_useful(PlannerInfo *root, RelOptInfo *rel, DorisTable *t, const bool *constant);
extern void order_init(void); /* from _PG_init: has limits told to the scans below them */

/* ---- what a statement made libdoris do: for EXPLAIN ANALYZE ---- */
typedef struct DorisWork
{
	uint32 n;
	uint32 cap;
	DorisNodeCounters *before; /* at work_begin */
	uint32 nbefore;
	DorisNodeCounters *sum; /* by node */
	uint64 activity;		/* doris_activity when before was taken */
} DorisWork;

extern DorisWork *work_create(void);
extern void work_begin(DorisWork *w, DorisClient *client); /* w NULL: nothing */
extern void work_end(DorisWork *w, DorisClient *client);
extern void work_add(DorisWork *w, const DorisNodeCounters *c);
extern void work_add_counters(DorisNodeCounters *to, const DorisNodeCounters *c);
extern void work_explain(DorisWork *w, DorisClient *client, ExplainState *es);

/* ---- handle.c: what a statement holds outside of PostgreSQL's memory ---- */
struct DorisModify;
/* Freed by the statement's end, or when the (sub)transaction in which it began ends without that. */
typedef struct DorisHandle
{
	dlist_node node; /* in handles */
	SubTransactionId subid;
	const DorisTable *table; /* a scan's */
	DorisScan *scan;
	DorisRows *rows;
	struct DorisModify *modify; /* that may hold rows back; NULL for scans */
	DorisApply *apply;			/* its batch of plain writes that is under way */
	MemoryContext sent;			/* that batch; not below anything that an error frees first */
} DorisHandle;

extern dlist_head handles; /* newest first */
extern DorisHandle *handle_create(void);
extern void handle_clear(DorisHandle *h); /* closes scan and rows */
extern void handle_free(DorisHandle *h);
extern void handle_free_since(SubTransactionId subid);

/* ---- table.c ---- */
/*
 * After NO_NAMESPACE: has another session truncated the namespace, or dropped and created it with the same shape?
 * Then the table stands for the new one from here on, and the caller may ask again. False when it has not, or when
 * this transaction has written to the old one or is still reading it in another scan. An error when there is none
 * of its name.
 */
extern bool table_follow(DorisTable *t, DorisClient *client, const DorisHandle *asking);

/* ---- scan.c ---- */
extern void scan_begin(ForeignScanState *node, int eflags);
extern TupleTableSlot *scan_iterate(ForeignScanState *node);
extern void scan_rescan(ForeignScanState *node);
extern void scan_end(ForeignScanState *node);
/* Before the first row: fetch rows as they are stored; decode: all of their columns, not only those wanted. */
extern void scan_whole_rows(ForeignScanState *node, bool decode);
/* The row that the scan has given last, encoded; its views live until the next one. */
extern const DorisRow *scan_row(ForeignScanState *node);
extern DorisTable *scan_table(ForeignScanState *node);
typedef enum ScanGroups
{
	SCAN_GROUPS_HERE,
	SCAN_GROUPS_NO_ROWS, /* the conditions cannot hold: nobody was asked */
	/* nobody has aggregated anything; the rows must be read: */
	SCAN_GROUPS_OWN_WRITES, /* this transaction has written to the table */
	SCAN_GROUPS_FILTER,		/* the conditions cannot be sent: SHIP_HERE */
	SCAN_GROUPS_TOO_MANY
} ScanGroups;
/*
 * Has the nodes aggregate the rows that the scan would give. The groups live until the scan is rescanned or ended; it
 * can give its rows afterwards.
 */
extern ScanGroups scan_groups(ForeignScanState *node, DorisBytes program,
							  const AggregateTable **out);
extern bool scan_gave_groups(ForeignScanState *node);
extern DorisWork *scan_work(ForeignScanState *node, DorisClient **client);
/*
 * ACCESS_JOINED. The keys, all different, and their bytes must live until the next call; they are asked for when the first row is.
 * Then scan_choose(i) makes the scan go on with the row of the i-th key: it returns that or nothing.
 */
extern void scan_give_keys(ForeignScanState *node, const DorisBytes *keys, uint32 n);
extern void scan_choose(ForeignScanState *node, uint32 i);
/* Bytes of the values that came for the latest keys, of so many rows; 0: not asked yet. */
extern uint64 scan_received(ForeignScanState *node, uint32 *rows);

/* ---- scan_shared.c: of a scan that workers share, see FdwRoutine ---- */
extern Size scan_estimate_dsm(ForeignScanState *node, ParallelContext *pcxt);
extern void scan_init_dsm(ForeignScanState *node, ParallelContext *pcxt, void *coordinate);
extern void scan_reinit_dsm(ForeignScanState *node, ParallelContext *pcxt, void *coordinate);
extern void scan_init_worker(ForeignScanState *node, shm_toc *toc, void *coordinate);
extern void scan_shutdown(ForeignScanState *node);

/* ---- parallel.c: what the participants of one scan share ---- */
typedef struct ParallelScan ParallelScan; /* in dynamic shared memory */

#define PARALLEL_NEW_NODES 16 /* that may appear while the scan runs */

extern Size parallel_size(uint32 nodes); /* whose work it has room for */
/* ns: the namespace's id; participants: as planned, with the leader. */
extern void parallel_init(ParallelScan *p, uint32 ns, uint32 vnodes, int participants,
						  uint32 nodes);
extern void parallel_restart(ParallelScan *p); /* while no worker runs */
/* An error (40001) when this process knows the table's namespace by another number than the leader. */
extern void parallel_check(const ParallelScan *p, const DorisTable *t);
extern void parallel_changed(const DorisTable *t) pg_attribute_noreturn();
/* The next vnodes to read, from *first on: so many; 0: all are handed out. */
extern uint32 parallel_claim(ParallelScan *p, uint32 *first);
extern void parallel_put_work(ParallelScan *p, const DorisWork *w); /* a worker's, at its end */
extern void parallel_take_work(ParallelScan *p, DorisWork *w);		/* the leader, that of all */

/* ---- join_plan.c, join.c: batched joins ---- */
/* CustomScan.custom_exprs */
enum JoinExprs
{
	JOIN_KEYS,		/* what the key columns are bound to, in key order */
	JOIN_KEY_QUALS, /* the clauses that say so, in the same order */
	JOIN_QUALS		/* the other join conditions */
};

/* CustomScan.custom_private */
enum JoinPrivate
{
	JOIN_TYPE,	  /* Integer: JoinType */
	JOIN_WIDENED, /* oid list: other_type of each key column, see ShipCompare */
	JOIN_OUTER_COLUMNS /* Integer: so many of custom_scan_tlist are the outer side's, the others the inner's */
};

#define JOIN_BATCH_FIRST 50 /* rows: small, so that a LIMIT above does not read far ahead */
#define JOIN_BATCH_GROWTH 4
#define JOIN_BATCH_MAX 10000

extern const CustomScanMethods join_scan_methods;
extern void join_plan_init(void); /* from _PG_init */

/* ---- buffer.c: a transaction's writes, before they are staged ---- */
/*
 * For each (server, namespace): rows by key, each with what it was when first touched (base version, or absent)
 * and its states since. States carry the command that made them, so that a statement does not see its own writes, and the
 * subtransaction, so that savepoints undo.
 *
 * Memory: 40 to 60 bytes a row, beyond which keys and values spill to a temporary file when they exceed doris_fdw.write_buffer.
 */
typedef struct BufferedRow
{
	bool deleted;
	bool was_absent;   /* before this transaction */
	DorisVersion base; /* the version read; was_absent: of the tombstone, or none */
	DorisBytes key;
	size_t route_len;
	DorisBytes value;
	CommandId cid; /* that made this state */
} BufferedRow;

typedef struct WriteBuffer WriteBuffer;

#define BUFFER_NEWEST InvalidCommandId /* above all commands */

/* Made when absent. Error 0A000 when the transaction has written to another server. */
extern WriteBuffer *buffer_open(Relation rel, DorisClient *client, DorisTable *t);
extern WriteBuffer *buffer_find(DorisTable *t); /* NULL: nothing written */
/*
 * Rows are written by ON CONFLICT DO NOTHING into a buffer that is open: one that somebody else inserts before the commit is no
 * duplicate then, but a conflict: tried again, the statement skips it.
 */
extern void buffer_skips(DorisTable *t);
/* Empty buffers of the table are for namespace `to` from here on; false: there are writes. */
extern bool buffer_follow(DorisTable *t, uint32 to);
/* Truncated by this transaction: there are no rows but those buffered. */
extern bool buffer_truncated(const WriteBuffer *b);
/* The row's newest state made before command `before`. Views live until the next call on any buffer. */
extern bool buffer_lookup(WriteBuffer *b, DorisBytes key, CommandId before, BufferedRow *out);
/* The next row in that sense after *pos (0 at first), deleted ones included. */
extern bool buffer_next(WriteBuffer *b, uint32 *pos, CommandId before, BufferedRow *out);
/*
 * A row's new state. base and was_absent count only for a row that is not in the buffer. The newest
 * state is replaced when the same command made it. subid: the subtransaction that writes; states must
 * come in rising order of it, except that a subtransaction may go on after its children.
 */
extern void buffer_put(WriteBuffer *b, const BufferedRow *row, SubTransactionId subid);
extern void buffer_truncate(Relation rel, DorisClient *client, DorisTable *t);
extern void buffer_undo(SubTransactionId subid);
/*
 * Commits what is buffered; raises an error when it is not done, or not known to be. blind: nothing was read before, so
 * that rows of a namespace that was truncated meanwhile may go into the new one.
 */
extern void buffer_commit(bool blind);
extern void buffer_discard(void);

/* ---- overlay.c: the transaction's own rows in the order of a scan ---- */
typedef struct Overlay Overlay;

/* Those between spec's low and high; allocates in the current context. */
extern Overlay *overlay_create(WriteBuffer *buffer, CommandId before, const DorisScanSpec *spec);
extern const DorisBytes *overlay_peek(const Overlay *o); /* the next key; NULL: there is none */
/* The next row; false: it is gone. Views live until the next call on any buffer. */
extern bool overlay_take(Overlay *o, BufferedRow *row);
extern void overlay_free(Overlay *o); /* what is outside of memory contexts; NULL is fine */

/* ---- keys.c: the keys that equalities give ---- */
/* What one key column may be: segments as encoded, in order, without doubles. */
typedef struct KeyColumn
{
	int n;
	DorisBytes *segments;
	int at; /* which one comes next */
} KeyColumn;

typedef struct KeyList
{
	int n; /* bound columns, from the first on */
	KeyColumn *columns;
	bool more; /* keys_next has another one */
} KeyList;

/* For qsort: DorisBytes in memcmp order. */
extern int bytes_compare_items(const void *a, const void *b);
/* keys as in SCAN_KEYS; back: from the last key down. False: there are none. Allocates in the current context. */
extern bool keys_start(KeyList *k, DorisTable *t, List *keys, const Datum *values,
					   const bool *nulls, bool back);
/* The same of arms as in SCAN_ARMS: as if the key were one column. */
extern bool keys_start_arms(KeyList *k, DorisTable *t, List *arms, const Datum *values,
							const bool *nulls, bool back);
/* Of columns that may be one value only: their bytes; *route: of the first nroute columns, empty when there are fewer. */
extern DorisBytes keys_prefix(const KeyList *k, int nroute, DorisBytes *route);
extern DorisBytes keys_next(KeyList *k); /* the next combination, while there are more */

/* ---- lookup.c: rows by key ---- */
/* One key of the lookup in progress. */
typedef struct LookupKey
{
	DorisBytes key;
	bool buffered; /* the transaction has written it */
	uint32 row;	   /* not buffered: index in the rows received */
} LookupKey;

typedef struct DorisLookup
{
	/* the caller's, before each fetch */
	DorisTable *table;
	DorisClient *client;
	DorisHandle *handle;   /* takes the rows received */
	const uint16 *columns; /* to fetch; NULL: all */
	uint32 ncolumns;
	DorisBytes filter;	 /* of what is not the transaction's own; see DorisGetSpec */
	WriteBuffer *buffer; /* NULL: nothing written */
	CommandId before;	 /* sees states older than this */
	DorisWork *work;

	/* of the latest fetch */
	LookupKey *keys;
	uint32 n;
	uint64 bytes;  /* of the values received */
	uint32 nfound; /* with rows that were received */
} DorisLookup;

typedef struct LookupRow
{
	bool own; /* from the write buffer: with all its columns */
	DorisBytes key;
	DorisBytes value;
	DorisVersion version;
} LookupRow;

/* Asks for n keys, which must live until the next fetch; allocates in the current context. Raises errors. */
extern void lookup_fetch(DorisLookup *l, const DorisBytes *keys, uint32 n);
/* The row of the latest fetch's i-th key; false: there is none. Views live until the next call on any write buffer. */
extern bool lookup_row(DorisLookup *l, uint32 i, LookupRow *out);

/* ---- spill.c: an append-only log of records, in memory and beyond a limit in a temporary file ---- */
typedef struct SpillLog SpillLog;
typedef struct SpillPlace
{
	uint32 chunk;
	uint32 offset;
} SpillPlace;

extern SpillLog *spill_create(MemoryContext context, Size limit);
/* Room for a record of len bytes, to be filled before the next call. */
extern uint8 *spill_append(SpillLog *log, Size len, SpillPlace *place);
/* The record; valid until the next call. */
extern const uint8 *spill_read(SpillLog *log, SpillPlace place);
extern void spill_close(SpillLog *log);

/* ---- modify.c ---- */
extern void modify_add_targets(PlannerInfo *root, Index rti, RangeTblEntry *rte, Relation rel);
extern List *modify_plan(PlannerInfo *root, ModifyTable *plan, Index rti, int subplan);
extern void modify_begin(ModifyTableState *mt, ResultRelInfo *rri, List *fdw_private, int subplan,
						 int eflags);
extern void modify_begin_insert(ModifyTableState *mt, ResultRelInfo *rri);
extern TupleTableSlot *modify_insert(EState *estate, ResultRelInfo *rri, TupleTableSlot *slot,
									 TupleTableSlot *plan_slot);
extern TupleTableSlot **modify_batch_insert(EState *estate, ResultRelInfo *rri,
											TupleTableSlot **slots, TupleTableSlot **plan_slots,
											int *nslots);
extern int modify_batch_size(ResultRelInfo *rri);
extern TupleTableSlot *modify_update(EState *estate, ResultRelInfo *rri, TupleTableSlot *slot,
									 TupleTableSlot *plan_slot);
extern TupleTableSlot *modify_delete(EState *estate, ResultRelInfo *rri, TupleTableSlot *slot,
									 TupleTableSlot *plan_slot);
extern void modify_end(EState *estate, ResultRelInfo *rri);
extern int modify_updatable(Relation rel);
/* Rows that a COPY or a direct table holds back to send them together: before anything reads. */
extern void modify_flush_all(void);
/* The commit is next: it finds duplicates among the rows that went in without a look. True: there are such rows. */
extern bool pending_forget(void);
extern DorisWork *modify_work(ResultRelInfo *rri, DorisClient **client);
extern void modify_duplicate(DorisTable *t, DorisBytes key) pg_attribute_noreturn();

/* ---- direct_modify.c: UPDATE and DELETE that the scan makes itself ---- */
extern bool direct_plan(PlannerInfo *root, ModifyTable *plan, Index rti, int subplan);
extern void direct_begin(ForeignScanState *node, int eflags);
extern TupleTableSlot *direct_iterate(ForeignScanState *node);
extern void direct_end(ForeignScanState *node);
extern void direct_explain(ForeignScanState *node, ExplainState *es);
/* The expressions of the plan that are the scan's. */
extern List *direct_scan_exprs(ForeignScan *plan);

/* ---- aggregate_plan.c, aggregate.c: on the nodes ---- */
extern void aggregate_paths(PlannerInfo *root, RelOptInfo *input, RelOptInfo *output, void *extra);
extern ForeignScan *aggregate_plan(PlannerInfo *root, RelOptInfo *rel, List *tlist, Plan *outer);
extern void aggregate_begin(ForeignScanState *node, int eflags);
extern TupleTableSlot *aggregate_iterate(ForeignScanState *node);
extern void aggregate_rescan(ForeignScanState *node);
extern void aggregate_explain(ForeignScanState *node, ExplainState *es);

/* ---- the others ---- */
extern void xact_init(void);
extern void explain_scan(ForeignScanState *node, ExplainState *es);
extern void explain_write_mode(const DorisTableOptions *options, ExplainState *es);
extern void explain_modify(ModifyTableState *mt, ResultRelInfo *rri, List *fdw_private, int subplan,
						   ExplainState *es);
extern void truncate_tables(List *rels, DropBehavior behavior, bool restart_seqs);
extern bool analyze_table(Relation rel, AcquireSampleRowsFunc *func, BlockNumber *pages);

#define EMPTY_BYTES ((DorisBytes){NULL, 0})

#endif
