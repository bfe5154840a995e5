/*
 * join.c: a batched join: outer rows are gathered, the rows of their keys fetched with one multi get, and the joined
 * rows given in the outer side's order. What it joins is chosen in join_plan.c.
 *
 * The scan tuple (custom_scan_tlist) is the outer side's columns followed by the inner side's; keys and conditions are expressions over it.
 * A key is asked for once in a batch, however many rows have it; a key with a NULL, or one that is out of the column's type, is not
 * asked for. The inner side is a foreign scan that this node gives the keys and then tells whose row comes next: it
 * merges the transaction's own writes, judges the inner table's own conditions and projects.
 *
 * Bounds (I6): a batch holds at most JOIN_BATCH_MAX outer rows, and no more than fit into work_mem; the first is small
 * and each is at most JOIN_BATCH_GROWTH times as large as the one before, and so that what comes for it, judged by the one before, fits into
 * work_mem, too. Each get has the client's deadline and can be cancelled.
 *
 * Within EvalPlanQual the children return the rows that are judged again whatever their keys, so there a batch is one row,
 * and the conditions on the key are judged like the others.
 */
#include "executor.h"

#include "common/hashfn.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/memutils.h"
#include "utils/ruleutils.h"

/* ---- the keys of a batch ---- */
typedef struct JoinKey
{
	DorisBytes key;
	uint32 index; /* in DorisJoinState.keys */
	uint32 hash;
	char status; /* simplehash's */
} JoinKey;

#define SH_PREFIX joinkeys
#define SH_ELEMENT_TYPE JoinKey
#define SH_KEY_TYPE DorisBytes
#define SH_KEY key
#define SH_HASH_KEY(tb, k) hash_bytes((k).data, (int) (k).len)
#define SH_EQUAL(tb, a, b) ((a).len == (b).len && memcmp((a).data, (b).data, (a).len) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, e) ((e)->hash)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* ---- the state ---- */
#define NO_KEY PG_UINT32_MAX

typedef struct JoinRow
{
	MinimalTuple outer;
	uint32 key; /* index in keys, or NO_KEY */
} JoinRow;

typedef struct DorisJoinState
{
	CustomScanState css;
	JoinType jointype;
	PlanState *outer;
	ForeignScanState *inner;
	int nouter;			   /* columns of the scan tuple that are the outer side's */
	int ninner;			   /* and the inner's */
	DorisTable *table;	   /* NULL: only explained */
	List *keys_exprs;	   /* ExprState */
	List *widened;		   /* other_type of each */
	ExprState *key_quals;  /* for EvalPlanQual */
	ExprState *join_quals; /* the others */
	bool recheck;		   /* within EvalPlanQual */

	/* the batch; in context */
	MemoryContext context;
	TupleTableSlot *outer_slot; /* its rows, one after the other */
	StringInfoData key;			/* being made */
	JoinRow *rows;
	uint32 nrows;
	uint32 at;
	DorisBytes *keys; /* all different */
	uint32 nkeys;
	bool outer_done;
	uint32 size; /* rows that the next batch may have */

	/* EXPLAIN ANALYZE */
	uint64 batches;
	uint64 total_keys;
	uint32 largest; /* batch, rows */
} DorisJoinState;

static Node *join_create(CustomScan *scan);
static void join_begin(CustomScanState *node, EState *estate, int eflags);
static TupleTableSlot *join_next(CustomScanState *node);
static void join_end(CustomScanState *node);
static void join_rescan(CustomScanState *node);
static void join_explain(CustomScanState *node, List *ancestors, ExplainState *es);

const CustomScanMethods join_scan_methods = {
	.CustomName = "Doris Batched Join",
	.CreateCustomScanState = join_create,
};

static const CustomExecMethods join_exec_methods = {
	.CustomName = "Doris Batched Join",
	.BeginCustomScan = join_begin,
	.ExecCustomScan = join_next,
	.EndCustomScan = join_end,
	.ReScanCustomScan = join_rescan,
	.ExplainCustomScan = join_explain,
};

/* ---- start and end ---- */

static Node *join_create(CustomScan *scan)
{
	DorisJoinState *s = (DorisJoinState *) newNode(sizeof(DorisJoinState), T_CustomScanState);

	s->css.methods = &join_exec_methods;
	return (Node *) s;
}

static void reset(DorisJoinState *s)
{
	s->nrows = s->at = s->nkeys = 0;
	s->outer_done = false;
	s->size = s->recheck ? 1 : JOIN_BATCH_FIRST;
}

static void join_begin(CustomScanState *node, EState *estate, int eflags)
{
	DorisJoinState *s = (DorisJoinState *) node;
	CustomScan *plan = (CustomScan *) node->ss.ps.plan;
	PlanState *self = &node->ss.ps;

	s->jointype = (JoinType) intVal(list_nth(plan->custom_private, JOIN_TYPE));
	s->widened = list_nth(plan->custom_private, JOIN_WIDENED);
	s->nouter = intVal(list_nth(plan->custom_private, JOIN_OUTER_COLUMNS));
	s->ninner = list_length(plan->custom_scan_tlist) - s->nouter;
	s->outer = ExecInitNode(linitial(plan->custom_plans), estate, eflags);
	s->inner =
		castNode(ForeignScanState, ExecInitNode(lsecond(plan->custom_plans), estate, eflags));
	node->custom_ps = list_make2(s->outer, s->inner);
	s->keys_exprs = ExecInitExprList(list_nth(plan->custom_exprs, JOIN_KEYS), self);
	s->key_quals = ExecInitQual(list_nth(plan->custom_exprs, JOIN_KEY_QUALS), self);
	s->join_quals = ExecInitQual(list_nth(plan->custom_exprs, JOIN_QUALS), self);
	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	s->table = scan_table(s->inner);
	s->recheck = estate->es_epq_active != NULL;
	s->context =
		AllocSetContextCreate(estate->es_query_cxt, "doris join batch", ALLOCSET_DEFAULT_SIZES);
	s->outer_slot =
		ExecInitExtraTupleSlot(estate, ExecGetResultType(s->outer), &TTSOpsMinimalTuple);
	initStringInfo(&s->key);
	reset(s);
}

static void join_end(CustomScanState *node)
{
	DorisJoinState *s = (DorisJoinState *) node;

	ExecEndNode(s->outer);
	ExecEndNode(&s->inner->ss.ps);
}

static void join_rescan(CustomScanState *node)
{
	DorisJoinState *s = (DorisJoinState *) node;
	ListCell *lc;

	/* those whose parameters have changed start anew by themselves */
	foreach (lc, node->custom_ps)
	{
		PlanState *child = lfirst(lc);

		if (node->ss.ps.chgParam != NULL)
			UpdateChangedParamSet(child, node->ss.ps.chgParam);
		if (child->chgParam == NULL)
			ExecReScan(child);
	}
	ExecClearTuple(s->outer_slot);
	MemoryContextReset(s->context);
	reset(s);
}

/* ---- a batch ---- */

/* The outer side's columns of the scan tuple; the inner's are left as they are. */
static void put_outer(DorisJoinState *s, TupleTableSlot *from)
{
	TupleTableSlot *to = s->css.ss.ss_ScanTupleSlot;

	slot_getallattrs(from);
	ExecClearTuple(to);
	memcpy(to->tts_values, from->tts_values, s->nouter * sizeof(Datum));
	memcpy(to->tts_isnull, from->tts_isnull, s->nouter * sizeof(bool));
	ExecStoreVirtualTuple(to);
}

/* The inner side's; from NULL: it has no row. */
static void put_inner(DorisJoinState *s, TupleTableSlot *from)
{
	TupleTableSlot *to = s->css.ss.ss_ScanTupleSlot;

	if (from == NULL)
	{
		memset(to->tts_isnull + s->nouter, true, s->ninner * sizeof(bool));
		return;
	}
	slot_getallattrs(from);
	memcpy(to->tts_values + s->nouter, from->tts_values, s->ninner * sizeof(Datum));
	memcpy(to->tts_isnull + s->nouter, from->tts_isnull, s->ninner * sizeof(bool));
}

/* The key of the outer row in the scan tuple, in s->key; false: nothing can be equal to it. */
static bool make_key(DorisJoinState *s)
{
	ExprContext *econtext = s->css.ss.ps.ps_ExprContext;
	MemoryContext old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	bool found = true;
	ListCell *lc;
	ListCell *lc2;
	int i = 0;

	econtext->ecxt_scantuple = s->css.ss.ss_ScanTupleSlot;
	resetStringInfo(&s->key);
	forboth(lc, s->keys_exprs, lc2, s->widened)
	{
		ColumnCodec *codec = &s->table->columns[s->table->key_attnums[i++] - 1].codec;
		bool isnull;
		Datum d = ExecEvalExpr((ExprState *) lfirst(lc), econtext, &isnull);

		if (isnull ||
			(OidIsValid(lfirst_oid(lc2)) && ship_coerce(lfirst_oid(lc2), codec->type, &d) != 0))
		{
			found = false;
			break;
		}
		codec_put_key(codec, d, &s->key);
	}
	MemoryContextSwitchTo(old);
	ResetExprContext(econtext);
	return found;
}

/* The index of s->key among the batch's keys, where it is put if it is new. */
static uint32 add_key(DorisJoinState *s, joinkeys_hash *hash)
{
	DorisBytes key = {(const uint8 *) s->key.data, (size_t) s->key.len};
	bool found;
	JoinKey *e = joinkeys_insert(hash, key, &found);

	if (!found)
	{
		uint8 *copy = MemoryContextAlloc(s->context, Max(key.len, 1));

		memcpy(copy, key.data, key.len);
		e->key = (DorisBytes){copy, key.len};
		e->index = s->nkeys;
		s->keys[s->nkeys++] = e->key;
	}
	return e->index;
}

/* How many rows the next batch may have: more than this one, as long as what they bring fits into memory, if each has a partner that passes. */
static void choose_size(DorisJoinState *s)
{
	uint32 found = 0;
	uint64 received = s->nkeys > 0 ? scan_received(s->inner, &found) : 0;
	uint64 limit = (uint64) work_mem * 1024;
	uint64 size;

	if (s->nrows == 0 || s->recheck)
		return;
	size = Min((uint64) s->size * JOIN_BATCH_GROWTH, JOIN_BATCH_MAX);
	if (received > 0)
		size = Min(size, Max(limit * found / received, 1));
	s->size = (uint32) size;
}

/* Gathers outer rows; false: there are no more. */
static bool next_batch(DorisJoinState *s)
{
	joinkeys_hash *hash;
	bool keep_all = s->jointype == JOIN_LEFT || s->jointype == JOIN_ANTI;
	Size limit = (Size) work_mem * 1024;
	Size bytes = 0;

	if (s->outer_done)
		return false;
	choose_size(s);
	ExecClearTuple(s->outer_slot);
	MemoryContextReset(s->context);
	s->nrows = s->at = s->nkeys = 0;
	s->rows = MemoryContextAlloc(s->context, s->size * sizeof(JoinRow));
	s->keys = MemoryContextAlloc(s->context, s->size * sizeof(DorisBytes));
	hash = joinkeys_create(s->context, s->size, NULL);
	while (s->nrows < s->size && bytes < limit)
	{
		TupleTableSlot *slot = ExecProcNode(s->outer);
		JoinRow *row = &s->rows[s->nrows];
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		if (TupIsNull(slot))
		{
			s->outer_done = true;
			break;
		}
		put_outer(s, slot);
		row->key = make_key(s) ? add_key(s, hash) : NO_KEY;
		if (row->key == NO_KEY && !keep_all)
			continue;
		old = MemoryContextSwitchTo(s->context);
		row->outer = ExecCopySlotMinimalTuple(slot);
		MemoryContextSwitchTo(old);
		bytes += GetMemoryChunkSpace(row->outer) + (size_t) s->key.len;
		s->nrows++;
	}
	if (s->nkeys > 0)
	{
		/* so that the inner side gives the row that is judged again another time */
		if (s->recheck)
			ExecReScan(&s->inner->ss.ps);
		scan_give_keys(s->inner, s->keys, s->nkeys);
		s->batches++;
		s->total_keys += s->nkeys;
		s->largest = Max(s->largest, s->nrows);
	}
	return s->nrows > 0;
}

/* Has the outer row, which is in the scan tuple, a partner? Then that is in the scan tuple, too. */
static bool find_inner(DorisJoinState *s, const JoinRow *row)
{
	ExprContext *econtext = s->css.ss.ps.ps_ExprContext;
	TupleTableSlot *slot;

	if (row->key == NO_KEY)
		return false;
	scan_choose(s->inner, row->key);
	slot = ExecProcNode(&s->inner->ss.ps);
	if (TupIsNull(slot))
		return false;
	put_inner(s, slot);
	econtext->ecxt_scantuple = s->css.ss.ss_ScanTupleSlot;
	if ((s->recheck && !ExecQual(s->key_quals, econtext)) || !ExecQual(s->join_quals, econtext))
	{
		InstrCountFiltered2(&s->css.ss.ps, 1);
		return false;
	}
	return true;
}

static TupleTableSlot *join_next(CustomScanState *node)
{
	DorisJoinState *s = (DorisJoinState *) node;
	ExprContext *econtext = node->ss.ps.ps_ExprContext;

	for (;;)
	{
		JoinRow *row;
		bool found;

		ResetExprContext(econtext);
		CHECK_FOR_INTERRUPTS();
		if (s->at == s->nrows)
		{
			if (!next_batch(s))
				return ExecClearTuple(node->ss.ss_ScanTupleSlot);
			continue;
		}
		row = &s->rows[s->at++];
		ExecStoreMinimalTuple(row->outer, s->outer_slot, false);
		put_outer(s, s->outer_slot);
		found = find_inner(s, row);
		if (s->jointype == JOIN_ANTI ? found : !found && s->jointype != JOIN_LEFT)
			continue;
		if (!found)
			put_inner(s, NULL);
		econtext->ecxt_scantuple = node->ss.ss_ScanTupleSlot;
		if (!ExecQual(node->ss.ps.qual, econtext))
		{
			InstrCountFiltered1(&node->ss.ps, 1);
			continue;
		}
		return node->ss.ps.ps_ProjInfo != NULL ? ExecProject(node->ss.ps.ps_ProjInfo)
											   : node->ss.ss_ScanTupleSlot;
	}
}

/* ---- EXPLAIN ---- */

static const char *join_name(JoinType jointype)
{
	switch (jointype)
	{
		case JOIN_LEFT:
			return "Left";
		case JOIN_SEMI:
			return "Semi";
		case JOIN_ANTI:
			return "Anti";
		default:
			return "Inner";
	}
}

static void explain_quals(const char *label, List *quals, List *context, ExplainState *es)
{
	if (quals != NIL)
		ExplainPropertyText(
			label,
			deparse_expression((Node *) make_ands_explicit(list_copy(quals)), context, true, false),
			es);
}

static void join_explain(CustomScanState *node, List *ancestors, ExplainState *es)
{
	DorisJoinState *s = (DorisJoinState *) node;
	CustomScan *plan = (CustomScan *) node->ss.ps.plan;
	List *context = set_deparse_context_plan(es->deparse_cxt, &plan->scan.plan, ancestors);

	ExplainPropertyText("Join Type", join_name(s->jointype), es);
	explain_quals("Key Cond", list_nth(plan->custom_exprs, JOIN_KEY_QUALS), context, es);
	explain_quals("Join Filter", list_nth(plan->custom_exprs, JOIN_QUALS), context, es);
	if (es->analyze && list_nth(plan->custom_exprs, JOIN_QUALS) != NIL &&
		node->ss.ps.instrument != NULL &&
		(node->ss.ps.instrument->nfiltered2 > 0 || es->format != EXPLAIN_FORMAT_TEXT))
		ExplainPropertyFloat(
			"Rows Removed by Join Filter", NULL,
			node->ss.ps.instrument->nfiltered2 / Max(node->ss.ps.instrument->nloops, 1), 0, es);
	if (!es->analyze)
	{
		ExplainPropertyInteger("Batch Size", NULL, JOIN_BATCH_MAX, es);
		return;
	}
	ExplainPropertyInteger("Batch Size", NULL, s->largest, es);
	ExplainPropertyInteger("Batches", NULL, (int64) s->batches, es);
	ExplainPropertyInteger("Keys", NULL, (int64) s->total_keys, es);
}
