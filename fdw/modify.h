/*
 * modify.h: what modify.c, direct_modify.c and pending.c share: a modification in progress and the rows it has gathered.
 */
#ifndef DORIS_MODIFY_H
#define DORIS_MODIFY_H

#include "executor.h"

#define BATCH_BYTES (4 * 1024 * 1024) /* of keys and values gathered before they are looked up */

/* A row gathered; its key and value are in DorisModify.bytes. */
typedef struct NewRow
{
	Size at;
	Size key_len;
	Size route_len;
	Size value_len;
	WriteKind kind; /* INSERT; direct: also PUT, DELETE */
	bool skip;		/* ON CONFLICT DO NOTHING, or a second change of the same row */
} NewRow;

/* ResultRelInfo.ri_FdwState */
typedef struct DorisModify
{
	Relation rel;
	DorisClient *client;
	DorisTable *table;
	WriteBuffer *buffer; /* NULL until the first write */
	DorisHandle *handle;
	CommandId cid;
	SubTransactionId subid;
	bool direct;
	bool do_nothing;
	bool hold_back; /* ExecForeignInsert may keep rows for a batch */
	bool alone;		/* the statement is its whole transaction: the commit may look for duplicates */
	bool flushed;	/* rows were sent on before */
	int batch_size;
	AttrNumber *key_junk; /* UPDATE, DELETE: by key position - 1 */
	AttrNumber version_junk[3];
	AttrNumber row_junk; /* 0: none */
	MemoryContext context;
	MemoryContext scratch;		 /* of one row or flush */
	DorisWork *work;			 /* EXPLAIN ANALYZE only */
	struct DirectModify *change; /* direct_modify.c: the scan makes the changes itself */

	NewRow *rows; /* gathered */
	int nrows;
	int cap;
	StringInfoData bytes;
	TupleTableSlot **done; /* batch inserts: the slots whose rows went in */
	int done_cap;
} DorisModify;

/* Makes the relation's ri_FdwState. planned: not a COPY. */
extern DorisModify *modify_create(EState *estate, ResultRelInfo *rri, bool planned);
/* NOT NULL, CHECK and partition bounds. */
extern void modify_check_constraints(DorisModify *m, EState *estate, ResultRelInfo *rri,
									 TupleTableSlot *slot);
/*
 * Is the row still the statement's to change? No, when this command has changed it before: it was joined more than once,
 * and the first change stands, as in a local table. A trigger or function called by it must not have.
 */
extern bool modify_may_change(DorisModify *m, DorisBytes key);

/* Gathers a row. */
extern void pending_add(DorisModify *m, WriteKind kind, DorisBytes key, Size route_len,
						DorisBytes value);
/* Gathers an INSERT's row, encoded straight into the gathered bytes. */
extern void pending_insert(DorisModify *m, const Datum *values, const bool *nulls);
extern bool pending_full(const DorisModify *m);
/* Sends on what is gathered. Afterwards, until the next row comes, rows[].skip tells which were left out. */
extern void pending_flush(DorisModify *m);
/* Waits for a direct table's batch that is under way, and reports what went wrong with it. */
extern void pending_await(DorisModify *m);
/* Looks at keys in the cluster: found and version only. In the handle's rows, until its next use. */
extern const DorisRow *pending_look(DorisModify *m, const DorisBytes *keys, uint32 n);
/* Looks at keys that were inserted without a look, because something is about to read or to go on. */
extern void pending_verify(void);
/* The table's write buffer, made when absent. */
extern WriteBuffer *pending_buffer(DorisModify *m);

#endif
