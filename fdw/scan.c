/*
 * scan.c: reading a foreign table: lookups by key, ranges, scans, with the transaction's own writes merged in.
 *
 * A lookup asks the write buffer first, then the cluster for the keys that are not in it. A scan passes over the keys that are
 * in the buffer and, when the cluster has no more, gives the buffered rows, judged here by all conditions; in key order each
 * comes in its place (overlay.c). All of them see the buffer as it was before their own command, so no statement meets its own writes.
 *
 * Rows that an UPDATE or DELETE will change carry the version read in their system columns: xmin and xmax are the two halves
 * of its clock, cmin is its origin (see modify.c).
 *
 * SELECT FOR UPDATE takes no locks: that another transaction was faster is found out at commit.
 */
#include "scan_state.h"

#include "access/htup_details.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#define KEYS_PER_GET 1000 /* bounds what one multi get holds in memory */
#define FEW_KEYS 8		  /* of a get: to judge their rows here costs less than a filter */

static Bitmapset *attnum_set(List *attnums, bool *all)
{
	Bitmapset *s = NULL;
	ListCell *lc;

	foreach (lc, attnums)
	{
		if (lfirst_int(lc) == 0)
			*all = true;
		else
			s = bms_add_member(s, lfirst_int(lc));
	}
	return s;
}

void scan_begin(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	EState *estate = node->ss.ps.state;
	Relation rel = node->ss.ss_currentRelation;
	DorisScanState *s;
	Oid userid;
	static const uint16 none = 0;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	s = palloc0(sizeof(DorisScanState));
	userid = compat_scan_user(node);
	s->client = connection_get(GetForeignTable(RelationGetRelid(rel))->serverid,
							   OidIsValid(userid) ? userid : GetUserId());
	s->table = doris_table_open(rel, s->client);
	s->access = (DorisAccess) intVal(list_nth(plan->fdw_private, SCAN_ACCESS));
	s->keys = list_nth(plan->fdw_private, SCAN_KEYS);
	s->arms = list_nth(plan->fdw_private, SCAN_ARMS);
	s->bounds = list_nth(plan->fdw_private, SCAN_BOUNDS);
	s->steps = list_nth(plan->fdw_private, SCAN_FILTER);
	s->order = (DorisOrder) linitial_int(list_nth(plan->fdw_private, SCAN_ORDER));
	s->limit = list_nth(plan->fdw_private, SCAN_LIMIT);
	s->whole = compat_bool_val(list_nth(plan->fdw_private, SCAN_WHOLE));
	s->with_version = compat_bool_val(list_nth(plan->fdw_private, SCAN_WITH_VERSION));
	s->wanted = attnum_set(list_nth(plan->fdw_private, SCAN_WANTED), &s->wanted_all);
	s->wanted_recheck =
		bms_union(s->wanted, attnum_set(list_nth(plan->fdw_private, SCAN_RECHECK), &s->wanted_all));
	if (!s->wanted_all)
	{
		s->columns = table_projection(s->table, s->wanted, &s->ncolumns);
		s->columns_recheck = table_projection(s->table, s->wanted_recheck, &s->ncolumns_recheck);
		/* libdoris takes NULL for all columns */
		if (s->ncolumns == 0)
			s->columns = unconstify(uint16 *, &none);
		if (s->ncolumns_recheck == 0)
			s->columns_recheck = unconstify(uint16 *, &none);
	}
	s->exprs = ExecInitExprList(direct_scan_exprs(plan), (PlanState *) node);
	if (s->access != ACCESS_SCAN && s->access != ACCESS_RANGE)
		s->filter_quals =
			ExecInitQual(list_copy_tail(plan->fdw_recheck_quals,
										intVal(list_nth(plan->fdw_private, SCAN_NKEY_QUALS))),
						 (PlanState *) node);
	initStringInfo(&s->own);
	s->before = estate->es_snapshot->curcid;
	s->context = AllocSetContextCreate(estate->es_query_cxt, "doris scan", ALLOCSET_SMALL_SIZES);
	s->batch = AllocSetContextCreate(s->context, "doris lookup", ALLOCSET_SMALL_SIZES);
	if (estate->es_instrument != 0) /* the node has no instrument yet */
		s->work = work_create();
	s->handle = handle_create();
	s->handle->table = s->table;
	node->fdw_state = s;
}

DorisWork *scan_work(ForeignScanState *node, DorisClient **client)
{
	DorisScanState *s = node->fdw_state;

	if (s == NULL)
		return NULL;
	*client = s->client;
	return s->work;
}

void scan_whole_rows(ForeignScanState *node, bool decode)
{
	DorisScanState *s = node->fdw_state;

	s->wanted_all |= decode;
	s->columns = s->columns_recheck = NULL;
}

const DorisRow *scan_row(ForeignScanState *node)
{
	return &((DorisScanState *) node->fdw_state)->row;
}

void scan_rescan(ForeignScanState *node)
{
	DorisScanState *s = node->fdw_state;

	handle_clear(s->handle);
	overlay_free(s->overlay);
	s->overlay = NULL;
	s->started = false;
}

void scan_end(ForeignScanState *node)
{
	DorisScanState *s = node->fdw_state;

	if (s == NULL)
		return;
	overlay_free(s->overlay);
	handle_free(s->handle);
}

/* ---- a row into the slot ---- */

/* The row as a heap tuple with the version in its system columns. */
static void store_with_version(TupleTableSlot *slot, DorisVersion version)
{
	HeapTuple tuple =
		heap_form_tuple(slot->tts_tupleDescriptor, slot->tts_values, slot->tts_isnull);

	HeapTupleHeaderSetXmin(tuple->t_data, (TransactionId) (version.clock >> 32));
	HeapTupleHeaderSetXmax(tuple->t_data, (TransactionId) version.clock);
	tuple->t_data->t_choice.t_heap.t_field3.t_cid = version.origin;
	/* heap_form_tuple made the header of a composite value, which newer minor releases check: no longer */
	tuple->t_data->t_infomask &= (uint16) ~(HEAP_XMAX_COMMITTED | HEAP_XMAX_INVALID);
	ItemPointerSetInvalid(&tuple->t_data->t_ctid);
	ItemPointerSetInvalid(&tuple->t_self);
	ExecStoreHeapTuple(tuple, slot, false);
}

static TupleTableSlot *store_row(ForeignScanState *node, DorisBytes key, DorisBytes value,
								 DorisVersion version, bool recheck)
{
	DorisScanState *s = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	Bitmapset *wanted = s->wanted_all ? NULL : recheck ? s->wanted_recheck : s->wanted;

	s->row = (DorisRow){.found = true, .key = key, .version = version, .value = value};
	ExecClearTuple(slot);
	if (wanted == NULL && !s->wanted_all)
		memset(slot->tts_isnull, true, slot->tts_tupleDescriptor->natts * sizeof(bool));
	else
		table_get_row(s->table, key, value, wanted, slot->tts_values, slot->tts_isnull);
	if (s->with_version)
		store_with_version(slot, version);
	else
		ExecStoreVirtualTuple(slot);
	return slot;
}

/*
 * A row of the transaction's own into the slot, all its columns. What the buffer gives are views that end with the next call on
 * any buffer, and a function in a condition may make one: so this is a copy.
 */
static void store_own(ForeignScanState *node, const BufferedRow *row, bool judged)
{
	DorisScanState *s = node->fdw_state;
	const uint8 *copy;

	resetStringInfo(&s->own);
	appendBinaryStringInfo(&s->own, (const char *) row->key.data, (int) row->key.len);
	if (row->value.len > 0)
		appendBinaryStringInfo(&s->own, (const char *) row->value.data, (int) row->value.len);
	copy = (const uint8 *) s->own.data;
	(void) store_row(node, (DorisBytes){copy, row->key.len},
					 (DorisBytes){copy + row->key.len, row->value.len}, row->base, judged);
}

/* Do the conditions that were left to the nodes hold for the row in the slot? If not, the row is gone. */
static bool recheck(ForeignScanState *node, ExprState *quals)
{
	ExprContext *econtext = node->ss.ps.ps_ExprContext;

	econtext->ecxt_scantuple = node->ss.ss_ScanTupleSlot;
	if (ExecQual(quals, econtext))
		return true;
	ExecClearTuple(node->ss.ss_ScanTupleSlot);
	ResetExprContext(econtext);
	CHECK_FOR_INTERRUPTS();
	return false;
}

/* ---- start ---- */

static void evaluate(ForeignScanState *node)
{
	DorisScanState *s = node->fdw_state;
	ExprContext *econtext = node->ss.ps.ps_ExprContext;
	int i = 0;
	ListCell *lc;

	s->values = palloc0(Max(list_length(s->exprs), 1) * sizeof(Datum));
	s->nulls = palloc0(Max(list_length(s->exprs), 1) * sizeof(bool));
	foreach (lc, s->exprs)
	{
		s->values[i] = ExecEvalExpr((ExprState *) lfirst(lc), econtext, &s->nulls[i]);
		i++;
	}
}

static bool start_keys(DorisScanState *s)
{
	bool back = s->order == DORIS_KEY_ORDER_BACK;

	return s->arms != NIL
			   ? keys_start_arms(&s->key_list, s->table, s->arms, s->values, s->nulls, back)
			   : keys_start(&s->key_list, s->table, s->keys, s->values, s->nulls, back);
}

/* Low, high and route of a range; false: nothing can be found. */
static bool start_range(DorisScanState *s)
{
	DorisBytes prefix;
	KeyRange range;

	if (!start_keys(s))
		return false;
	prefix = keys_prefix(&s->key_list, s->table->nroute, &s->spec.route);
	if (!bounds_apply(s->table, s->key_list.n, s->bounds, s->values, s->nulls, prefix, &range))
		return false;
	s->spec.low = range.low;
	s->spec.high = range.high;
	return true;
}

/* What LIMIT and OFFSET together let through; 0: no limit that would be of use. */
static uint64 start_limit(const DorisScanState *s)
{
	uint64 rows = 0;

	for (int i = 0; i < list_length(s->limit); i++)
	{
		int index = list_nth_int(s->limit, i);
		int64 n;

		if (index < 0)
			continue;
		n = s->nulls[index] ? 0 : DatumGetInt64(s->values[index]);
		if (i == 0 && s->nulls[index])
			return 0;				/* LIMIT NULL */
		rows += (uint64) Max(n, 0); /* a negative one is an error that PostgreSQL raises */
	}
	return rows;
}

/* The next vnodes of a shared scan; false: all are handed out. */
static bool claim_vnodes(DorisScanState *s)
{
	uint32 first;

	s->spec.nvnodes = parallel_claim(s->shared, &first);
	if (s->vnodes == NULL) /* later runs are not larger */
		s->vnodes = MemoryContextAlloc(s->context, (s->spec.nvnodes + 1) * sizeof(uint32));
	for (uint32 i = 0; i < s->spec.nvnodes; i++)
		s->vnodes[i] = first + i;
	s->spec.vnodes = s->vnodes;
	return s->spec.nvnodes > 0;
}

static void open_scan(DorisScanState *s)
{
	DorisError err = {0};
	DorisStatus status;

	work_begin(s->work, s->client);
	status = doris_scan_open(s->client, &s->spec, &s->handle->scan, &err);
	work_end(s->work, s->client);
	if (status != DORIS_OK)
		doris_ereport(&err, s->table->ns->name, EMPTY_BYTES);
}

/* The filter for the nodes; *here: they cannot judge it. False: no row can pass. */
static bool make_filter(DorisScanState *s, DorisBytes *out, bool *here)
{
	ShipResult result = ship_filter_build(s->table, s->steps, s->values, s->nulls, out);

	*here = result == SHIP_HERE;
	return result != SHIP_NO_ROWS;
}

static void start_lookup(DorisScanState *s)
{
	s->lookup = (DorisLookup){.table = s->table,
							  .client = s->client,
							  .handle = s->handle,
							  .buffer = s->buffer,
							  .before = s->before,
							  .work = s->work};
}

static void start_scan(DorisScanState *s)
{
	if (!make_filter(s, &s->spec.filter, &s->recheck_all))
	{
		s->done = true;
		return;
	}
	if (s->program.len > 0 && (s->recheck_all || s->buffer != NULL))
		return;
	s->spec.order = s->order;
	if (s->order != DORIS_ANY_ORDER && s->buffer != NULL)
		s->overlay = overlay_create(s->buffer, s->before, &s->spec);
	if ((s->buffer != NULL && buffer_truncated(s->buffer)) ||
		(s->shared != NULL && s->program.len == 0 && !claim_vnodes(s)))
	{
		s->cluster_done = true;
		return;
	}
	s->spec.aggregate = s->program;
	s->spec.limit = s->recheck_all ? 0 : start_limit(s);
	s->spec.whole = s->whole;
	s->spec.ns = s->table->ns;
	s->spec.columns = s->recheck_all ? s->columns_recheck : s->columns;
	s->spec.ncolumns = s->recheck_all ? s->ncolumns_recheck : s->ncolumns;
	s->spec.fetch_rows = (uint32) s->table->options->fetch_size;
	open_scan(s);
	s->any = false;
}

static void start(ForeignScanState *node)
{
	DorisScanState *s = node->fdw_state;
	MemoryContext old;

	modify_flush_all();
	MemoryContextReset(s->batch);
	MemoryContextReset(s->context);
	s->batch = AllocSetContextCreate(s->context, "doris lookup", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(s->context);
	s->started = true;
	s->done = s->recheck_all = s->cluster_done = s->held = s->filter_made = false;
	s->at = s->ngiven = 0;
	s->asked = s->chosen = false;
	s->buffer_pos = 0;
	s->vnodes = NULL;
	memset(&s->spec, 0, sizeof(s->spec));
	s->buffer = buffer_find(s->table);
	evaluate(node);
	switch (s->access)
	{
		case ACCESS_POINT:
		case ACCESS_MULTI:
			s->key_list.more = start_keys(s);
			start_lookup(s);
			break;
		case ACCESS_JOINED:
			start_lookup(s);
			break;
		case ACCESS_RANGE:
			if (!start_range(s))
				s->done = true;
			else
				start_scan(s);
			break;
		case ACCESS_SCAN:
			start_scan(s);
			break;
	}
	MemoryContextSwitchTo(old);
}

/* ---- lookups ---- */

/* Asks for the keys. False: no row can pass the conditions, nobody was asked. */
static bool fetch(DorisScanState *s, const DorisBytes *keys, uint32 n)
{
	DorisLookup *l = &s->lookup;

	if (s->steps != NIL && n >= FEW_KEYS && !s->filter_made)
	{
		MemoryContext old = MemoryContextSwitchTo(s->context);

		s->filter_made = true;
		s->done = !make_filter(s, &s->filter, &s->filter_here);
		MemoryContextSwitchTo(old);
	}
	if (s->done)
		return false;
	s->recheck_all = s->steps != NIL && (n < FEW_KEYS || s->filter_here);
	l->filter = s->recheck_all ? EMPTY_BYTES : s->filter;
	l->columns = s->recheck_all ? s->columns_recheck : s->columns;
	l->ncolumns = s->recheck_all ? s->ncolumns_recheck : s->ncolumns;
	lookup_fetch(l, keys, n);
	return true;
}

/* Asks for the next keys; false: see fetch. */
static bool next_batch(DorisScanState *s)
{
	uint32 cap = s->access == ACCESS_POINT ? 1 : KEYS_PER_GET;
	DorisBytes *keys;
	uint32 n = 0;
	MemoryContext old;
	bool asked;

	MemoryContextReset(s->batch);
	old = MemoryContextSwitchTo(s->batch);
	keys = palloc(cap * sizeof(DorisBytes));
	while (s->key_list.more && n < cap)
		keys[n++] = keys_next(&s->key_list);
	s->at = 0;
	asked = fetch(s, keys, n);
	MemoryContextSwitchTo(old);
	return asked;
}

/* The row of the lookup's i-th key; NULL: there is none that its conditions let through. */
static TupleTableSlot *store_lookup(ForeignScanState *node, uint32 i)
{
	DorisScanState *s = node->fdw_state;
	bool judge;
	LookupRow row;

	if (!lookup_row(&s->lookup, i, &row))
		return NULL;
	judge = s->steps != NIL && (row.own || s->recheck_all);
	if (row.own)
		store_own(node, &(BufferedRow){.key = row.key, .value = row.value, .base = row.version},
				  judge);
	else
		(void) store_row(node, row.key, row.value, row.version, judge);
	return !judge || recheck(node, s->filter_quals) ? node->ss.ss_ScanTupleSlot : NULL;
}

static TupleTableSlot *iterate_lookup(ForeignScanState *node)
{
	DorisScanState *s = node->fdw_state;

	for (;;)
	{
		if (s->at < s->lookup.n)
		{
			TupleTableSlot *slot = store_lookup(node, s->at++);

			if (slot != NULL)
				return slot;
			continue;
		}
		if (!s->key_list.more || !next_batch(s))
			return NULL;
	}
}

/* ---- keys from the join above ---- */

void scan_give_keys(ForeignScanState *node, const DorisBytes *keys, uint32 n)
{
	DorisScanState *s = node->fdw_state;

	Assert(s->access == ACCESS_JOINED);
	/* a changed parameter would otherwise have the scan start anew, and without keys, when it is asked for a row */
	if (node->ss.ps.chgParam != NULL)
		ExecReScan(&node->ss.ps);
	if (!s->started)
		start(node);
	s->given = keys;
	s->ngiven = n;
	s->asked = s->chosen = false;
}

void scan_choose(ForeignScanState *node, uint32 i)
{
	DorisScanState *s = node->fdw_state;

	Assert(i < s->ngiven);
	s->at = i;
	s->chosen = true;
}

uint64 scan_received(ForeignScanState *node, uint32 *rows)
{
	DorisScanState *s = node->fdw_state;

	*rows = s->asked ? s->lookup.nfound : 0;
	return s->asked ? s->lookup.bytes : 0;
}

DorisTable *scan_table(ForeignScanState *node)
{
	return ((DorisScanState *) node->fdw_state)->table;
}

static TupleTableSlot *iterate_joined(ForeignScanState *node)
{
	DorisScanState *s = node->fdw_state;

	if (!s->chosen)
		return NULL;
	s->chosen = false;
	if (!s->asked)
	{
		MemoryContext old;

		MemoryContextReset(s->batch);
		old = MemoryContextSwitchTo(s->batch);
		s->asked = fetch(s, s->given, s->ngiven);
		MemoryContextSwitchTo(old);
		if (!s->asked)
			return NULL;
	}
	return store_lookup(node, s->at);
}

/* ---- ranges and scans ---- */

/* Holds the cluster's next row that the transaction has not written itself; false: there is none. */
static bool hold_next(DorisScanState *s)
{
	BufferedRow own;

	while (!s->held && !s->cluster_done)
	{
		DorisError err;
		DorisStatus status;

		work_begin(s->work, s->client);
		status = doris_scan_next(s->handle->scan, &s->next, &err);
		work_end(s->work, s->client);
		if (status == DORIS_NOT_FOUND)
		{
			if (s->shared != NULL && claim_vnodes(s))
			{
				handle_clear(s->handle);
				open_scan(s);
				continue;
			}
			s->cluster_done = true;
			break;
		}
		/* rows of the old one may have been given by another participant */
		if (status == DORIS_NO_NAMESPACE && s->shared != NULL)
			parallel_changed(s->table);
		if (status == DORIS_NO_NAMESPACE && !s->any && table_follow(s->table, s->client, s->handle))
		{
			MemoryContext old = MemoryContextSwitchTo(s->context);

			handle_clear(s->handle);
			overlay_free(s->overlay);
			s->overlay = NULL;
			start_scan(s);
			MemoryContextSwitchTo(old);
			continue;
		}
		if (status != DORIS_OK)
			doris_ereport(&err, s->table->ns->name, EMPTY_BYTES);
		s->any = true;
		s->held = s->buffer == NULL || !buffer_lookup(s->buffer, s->next.key, s->before, &own);
		if (!s->held)
			CHECK_FOR_INTERRUPTS();
	}
	return s->held;
}

/* The transaction's next row, if it comes before the row that is held. */
static bool own_next(DorisScanState *s, BufferedRow *own)
{
	const DorisBytes *key;

	if (s->order == DORIS_ANY_ORDER)
	{
		while (!s->held && s->buffer != NULL &&
			   buffer_next(s->buffer, &s->buffer_pos, s->before, own))
			if (!own->deleted)
				return true;
		return false;
	}
	while (s->overlay != NULL && (key = overlay_peek(s->overlay)) != NULL)
	{
		int c = s->held ? bytes_compare(*key, s->next.key) : -1;

		if (s->held && (s->order == DORIS_KEY_ORDER_BACK ? c < 0 : c > 0))
			return false;
		if (overlay_take(s->overlay, own))
			return true;
	}
	return false;
}

static TupleTableSlot *iterate_scan(ForeignScanState *node)
{
	DorisScanState *s = node->fdw_state;

	for (;;)
	{
		bool cluster = hold_next(s);
		BufferedRow own;

		if (own_next(s, &own))
		{
			store_own(node, &own, true);
			if (recheck(node, node->fdw_recheck_quals))
				return node->ss.ss_ScanTupleSlot;
			continue;
		}
		if (!cluster)
			return NULL;
		s->held = false;
		(void) store_row(node, s->next.key, s->next.value, s->next.version, s->recheck_all);
		if (!s->recheck_all || recheck(node, node->fdw_recheck_quals))
			return node->ss.ss_ScanTupleSlot;
	}
}

/* ---- aggregates ---- */

bool scan_gave_groups(ForeignScanState *node)
{
	return ((DorisScanState *) node->fdw_state)->gave_groups;
}

ScanGroups scan_groups(ForeignScanState *node, DorisBytes program, const AggregateTable **out)
{
	DorisScanState *s = node->fdw_state;
	DorisError err = {0};
	DorisStatus status;
	MemoryContext old;

	scan_rescan(node);
	s->program = program;
	start(node);
	s->started = false; /* whoever wants the rows begins anew */
	for (;;)
	{
		if (s->done)
			break;
		if (s->handle->scan == NULL)
			break;
		work_begin(s->work, s->client);
		status = doris_scan_groups(s->handle->scan, out, &err);
		work_end(s->work, s->client);
		if (status != DORIS_NO_NAMESPACE || !table_follow(s->table, s->client, s->handle))
			break;
		handle_clear(s->handle);
		old = MemoryContextSwitchTo(s->context);
		start_scan(s);
		MemoryContextSwitchTo(old);
	}
	s->program = EMPTY_BYTES;
	if (s->done)
		return SCAN_GROUPS_NO_ROWS;
	if (s->handle->scan == NULL)
		return s->buffer != NULL ? SCAN_GROUPS_OWN_WRITES : SCAN_GROUPS_FILTER;
	if (status == DORIS_TOO_BIG)
	{
		handle_clear(s->handle);
		return SCAN_GROUPS_TOO_MANY;
	}
	if (status != DORIS_OK)
		doris_ereport(&err, s->table->ns->name, EMPTY_BYTES);
	s->gave_groups = true;
	return SCAN_GROUPS_HERE;
}

TupleTableSlot *scan_iterate(ForeignScanState *node)
{
	DorisScanState *s = node->fdw_state;
	TupleTableSlot *slot = NULL;

	if (!s->started)
		start(node);
	if (!s->done)
		switch (s->access)
		{
			case ACCESS_POINT:
			case ACCESS_MULTI:
				slot = iterate_lookup(node);
				s->done = slot == NULL;
				break;
			case ACCESS_JOINED:
				slot = iterate_joined(node);
				break;
			case ACCESS_RANGE:
			case ACCESS_SCAN:
				slot = iterate_scan(node);
				s->done = slot == NULL;
				break;
		}
	return slot != NULL ? slot : ExecClearTuple(node->ss.ss_ScanTupleSlot);
}
