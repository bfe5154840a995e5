/*
 * modify.c: INSERT, UPDATE, DELETE and COPY FROM.
 *
 * Rows go into the transaction's write buffer and to the cluster when it commits. An INSERT first looks at the
 * keys, a whole batch in one round trip: a row that is there is a duplicate key now; one that comes in between is found at
 * commit. (When the statement is its whole transaction the commit finds both, and there is no look.) UPDATE and DELETE take the row's old key and the version read from junk columns of the scan: the key columns, and
 * the version in xmin, xmax and cmin (see scan.c).
 *
 * write_mode 'direct' sends rows in batches as plain writes instead: no conflicts, no ROLLBACK, visible at once. An INSERT
 * checks for duplicates all the same.
 *
 * COPY and direct tables hold rows back until a batch is full, the statement ends or something reads (modify_flush_all).
 *
 * The cluster knows no constraints but its keys, so NOT NULL, CHECK and partition bounds are checked here.
 */
#include "modify.h"

#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/appendinfo.h"
#include "tcop/pquery.h"
#include "utils/memutils.h"

#define ROW_COLUMN "doris_row" /* junk: the old row, for DELETE RETURNING */

/* ModifyTable's fdw_private */
enum ModifyPrivate
{
	MODIFY_DO_NOTHING /* Boolean: ON CONFLICT DO NOTHING */
};

int modify_updatable(Relation rel)
{
	return (1 << CMD_INSERT) | (1 << CMD_UPDATE) | (1 << CMD_DELETE);
}

/* ---- planning ---- */

static const struct
{
	AttrNumber attnum;
	Oid type;
	const char *name;
} version_columns[3] = {{MinTransactionIdAttributeNumber, XIDOID, "doris_xmin"},
						{MaxTransactionIdAttributeNumber, XIDOID, "doris_xmax"},
						{MinCommandIdAttributeNumber, CIDOID, "doris_cmin"}};

/* Partitions share a junk column when theirs is the same in all respects; so the name says them all. */
static char *key_column_name(Form_pg_attribute att)
{
	return psprintf("doris_key_%d_%u_%d_%u", att->attnum, att->atttypid, att->atttypmod,
					att->attcollation);
}

void modify_add_targets(PlannerInfo *root, Index rti, RangeTblEntry *rte, Relation rel)
{
	Oid userid = compat_rte_user(root, rte);
	DorisTable *t =
		doris_table_open(rel, connection_get(GetForeignTable(RelationGetRelid(rel))->serverid,
											 OidIsValid(userid) ? userid : GetUserId()));

	for (int i = 0; i < t->nkey; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), t->key_attnums[i] - 1);

		add_row_identity_var(
			root, makeVar(rti, att->attnum, att->atttypid, att->atttypmod, att->attcollation, 0),
			rti, key_column_name(att));
	}
	for (int i = 0; i < 3; i++)
		add_row_identity_var(
			root,
			makeVar(rti, version_columns[i].attnum, version_columns[i].type, -1, InvalidOid, 0),
			rti, version_columns[i].name);
	if (root->parse->commandType == CMD_DELETE && root->parse->returningList != NIL)
		add_row_identity_var(root, makeVar(rti, InvalidAttrNumber, RECORDOID, -1, InvalidOid, 0),
							 rti, ROW_COLUMN);
}

List *modify_plan(PlannerInfo *root, ModifyTable *plan, Index rti, int subplan)
{
	/* core refuses ON CONFLICT with a target: it finds no index on a foreign table */
	return list_make1(compat_make_boolean(plan->onConflictAction == ONCONFLICT_NOTHING));
}

/* ---- begin ---- */

/*
 * Is the statement a transaction of its own, with nothing that could act on its rows before the commit? Then a duplicate
 * key found by the commit is the statement's error all the same, and looking before is a round trip for nothing. Who
 * reads all the same (a deferred trigger, the next statement of a pipeline) has the keys looked at first: pending_verify.
 */
static bool is_alone(ModifyTableState *mt, ResultRelInfo *rri)
{
	PlannedStmt *stmt = mt->ps.state->es_plannedstmt;

	return mt->ps.plan != NULL && ActivePortal != NULL && list_length(ActivePortal->stmts) == 1 &&
		   linitial(ActivePortal->stmts) == stmt && stmt->commandType == CMD_INSERT &&
		   !stmt->hasModifyingCTE && !IsTransactionBlock() &&
		   GetCurrentTransactionNestLevel() == 1 && rri->ri_RelationDesc->trigdesc == NULL;
}

DorisModify *modify_create(EState *estate, ResultRelInfo *rri, bool planned)
{
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
	DorisModify *m = palloc0(sizeof(DorisModify));
	Relation rel = rri->ri_RelationDesc;
	Oid userid = compat_result_user(rri, estate);

	m->rel = rel;
	m->client = connection_get(GetForeignTable(RelationGetRelid(rel))->serverid,
							   OidIsValid(userid) ? userid : GetUserId());
	m->table = doris_table_open(rel, m->client);
	m->direct = m->table->options->direct;
	m->batch_size = m->table->options->batch_size;
	/* COPY has no plan, and has not said which command it is */
	m->cid = planned ? estate->es_output_cid : GetCurrentCommandId(true);
	m->subid = GetCurrentSubTransactionId();
	m->context = estate->es_query_cxt;
	m->scratch =
		AllocSetContextCreate(estate->es_query_cxt, "doris modify", ALLOCSET_DEFAULT_SIZES);
	initStringInfo(&m->bytes);
	if (estate->es_instrument != 0)
		m->work = work_create();
	m->handle = handle_create();
	m->handle->modify = m;
	rri->ri_FdwState = m;
	MemoryContextSwitchTo(old);
	return m;
}

void modify_begin(ModifyTableState *mt, ResultRelInfo *rri, List *fdw_private, int subplan,
				  int eflags)
{
	DorisModify *m;
	List *targets;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	m = modify_create(mt->ps.state, rri, true);
	m->do_nothing = compat_bool_val(list_nth(fdw_private, MODIFY_DO_NOTHING));
	if (mt->operation == CMD_INSERT)
	{
		m->alone = !m->do_nothing && !m->direct && is_alone(mt, rri);
		return;
	}
	targets = outerPlanState(mt)->plan->targetlist;
	m->key_junk = MemoryContextAlloc(m->context, m->table->nkey * sizeof(AttrNumber));
	for (int i = 0; i < m->table->nkey; i++)
	{
		char *name =
			key_column_name(TupleDescAttr(RelationGetDescr(m->rel), m->table->key_attnums[i] - 1));

		m->key_junk[i] = ExecFindJunkAttributeInTlist(targets, name);
		if (!AttributeNumberIsValid(m->key_junk[i]))
			elog(ERROR, "could not find junk column \"%s\"", name);
	}
	for (int i = 0; i < 3; i++)
	{
		m->version_junk[i] = ExecFindJunkAttributeInTlist(targets, version_columns[i].name);
		if (!AttributeNumberIsValid(m->version_junk[i]))
			elog(ERROR, "could not find junk column \"%s\"", version_columns[i].name);
	}
	m->row_junk = ExecFindJunkAttributeInTlist(targets, ROW_COLUMN);
}

void modify_begin_insert(ModifyTableState *mt, ResultRelInfo *rri)
{
	ModifyTable *plan = (ModifyTable *) mt->ps.plan;
	Relation rel = rri->ri_RelationDesc;
	DorisModify *m;

	/* a partition that this UPDATE also scans: commands do not see their own rows, so one state serves both */
	if (rri->ri_FdwState != NULL)
		return;
	m = modify_create(mt->ps.state, rri, plan != NULL);
	m->do_nothing = plan != NULL && plan->onConflictAction == ONCONFLICT_NOTHING;
	m->hold_back =
		plan == NULL && (rel->trigdesc == NULL || (!rel->trigdesc->trig_insert_before_row &&
												   !rel->trigdesc->trig_insert_after_row));
}

int modify_batch_size(ResultRelInfo *rri)
{
	DorisModify *m = rri->ri_FdwState;

	/* a trigger or RETURNING wants each row done before the next one */
	if (rri->ri_projectReturning != NULL || rri->ri_WithCheckOptions != NIL ||
		(rri->ri_TrigDesc &&
		 (rri->ri_TrigDesc->trig_insert_before_row || rri->ri_TrigDesc->trig_insert_after_row)))
		return 1;
	return m != NULL ? m->batch_size
					 : options_table(RelationGetRelid(rri->ri_RelationDesc))->batch_size;
}

DorisWork *modify_work(ResultRelInfo *rri, DorisClient **client)
{
	DorisModify *m = rri->ri_FdwState;

	if (m == NULL)
		return NULL;
	*client = m->client;
	return m->work;
}

/* ---- the rows of a statement ---- */

void modify_check_constraints(DorisModify *m, EState *estate, ResultRelInfo *rri,
							  TupleTableSlot *slot)
{
	if (m->rel->rd_att->constr != NULL)
		ExecConstraints(rri, slot, estate);
	if (m->rel->rd_rel->relispartition)
		(void) ExecPartitionCheck(rri, slot, estate, true);
}

TupleTableSlot *modify_insert(EState *estate, ResultRelInfo *rri, TupleTableSlot *slot,
							  TupleTableSlot *plan_slot)
{
	DorisModify *m = rri->ri_FdwState;

	modify_check_constraints(m, estate, rri, slot);
	slot_getallattrs(slot);
	if (m->hold_back)
	{
		pending_insert(m, slot->tts_values, slot->tts_isnull);
		if (pending_full(m))
			pending_flush(m);
		return slot;
	}
	pending_flush(m);
	pending_insert(m, slot->tts_values, slot->tts_isnull);
	pending_flush(m);
	pending_await(m);
	return m->rows[0].skip ? NULL : slot;
}

TupleTableSlot **modify_batch_insert(EState *estate, ResultRelInfo *rri, TupleTableSlot **slots,
									 TupleTableSlot **plan_slots, int *nslots)
{
	DorisModify *m = rri->ri_FdwState;
	int ndone = 0;
	int first = 0; /* the slot that the first gathered row came from */

	if (m->direct && !m->do_nothing)
	{
		/* nobody waits for these one by one: larger batches still, for each ends on disk */
		for (int i = 0; i < *nslots; i++)
		{
			modify_check_constraints(m, estate, rri, slots[i]);
			slot_getallattrs(slots[i]);
			pending_insert(m, slots[i]->tts_values, slots[i]->tts_isnull);
			if (pending_full(m))
				pending_flush(m);
		}
		return slots;
	}
	pending_flush(m);
	if (*nslots > m->done_cap)
	{
		m->done = m->done ? repalloc(m->done, *nslots * sizeof(TupleTableSlot *))
						  : MemoryContextAlloc(m->context, *nslots * sizeof(TupleTableSlot *));
		m->done_cap = *nslots;
	}
	for (int i = 0; i < *nslots; i++)
	{
		modify_check_constraints(m, estate, rri, slots[i]);
		slot_getallattrs(slots[i]);
		pending_insert(m, slots[i]->tts_values, slots[i]->tts_isnull);
		if (i + 1 == *nslots || m->bytes.len >= BATCH_BYTES)
		{
			pending_flush(m);
			for (int j = first; j <= i; j++)
				if (!m->rows[j - first].skip)
					m->done[ndone++] = slots[j];
			first = i + 1;
		}
	}
	*nslots = ndone;
	return m->done;
}

/* Key and version of the row that an UPDATE or DELETE is about. */
static DorisBytes old_key(DorisModify *m, TupleTableSlot *plan_slot, Size *route_len,
						  DorisVersion *version)
{
	Datum values[DORIS_MAX_KEY_COLUMNS];
	StringInfoData b;
	uint32 v[3];
	bool isnull;

	initStringInfo(&b);
	*route_len = 0;
	for (int i = 0; i < m->table->nkey; i++)
	{
		values[i] = ExecGetJunkAttribute(plan_slot, m->key_junk[i], &isnull);
		if (isnull)
			elog(ERROR, "a key column of the row to change is NULL");
		codec_put_key(&m->table->columns[m->table->key_attnums[i] - 1].codec, values[i], &b);
		if (i + 1 == m->table->nroute)
			*route_len = b.len;
	}
	for (int i = 0; i < 3; i++)
	{
		v[i] = DatumGetUInt32(ExecGetJunkAttribute(plan_slot, m->version_junk[i], &isnull));
		if (isnull)
			elog(ERROR, "the row to change has no version");
	}
	version->clock = (uint64) v[0] << 32 | v[1];
	version->origin = v[2];
	return (DorisBytes){(const uint8 *) b.data, (size_t) b.len};
}

bool modify_may_change(DorisModify *m, DorisBytes key)
{
	BufferedRow own;

	if (!buffer_lookup(pending_buffer(m), key, BUFFER_NEWEST, &own) || own.cid < m->cid)
		return true;
	if (own.cid > m->cid)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("row to be changed was already modified by an operation triggered by the "
						"current command"),
				 errhint("Consider using an AFTER trigger instead of a BEFORE trigger to propagate "
						 "changes to other rows.")));
	return false;
}

/* The whole old value, for a table that does not show all columns of its namespace. */
static DorisBytes old_value(DorisModify *m, DorisBytes key)
{
	DorisError err = {0};
	DorisStatus status;
	BufferedRow own;
	uint32_t n;
	const DorisRow *rows;

	if (!m->direct && buffer_lookup(pending_buffer(m), key, BUFFER_NEWEST, &own))
		return own.value;
	handle_clear(m->handle);
	work_begin(m->work, m->client);
	status = doris_get(m->client, m->table->ns, &key, 1, NULL, &m->handle->rows, &err);
	work_end(m->work, m->client);
	if (status != DORIS_OK)
		doris_ereport(&err, m->table->ns->name, key);
	rows = doris_rows(m->handle->rows, &n);
	/* gone or changed since it was read: the commit finds out by the version */
	return rows[0].found ? rows[0].value : EMPTY_BYTES;
}

/* Raises the error of a duplicate when the key is there. Returns a tombstone's version. */
static DorisVersion check_absent(DorisModify *m, DorisBytes key)
{
	WriteBuffer *b = pending_buffer(m);
	DorisVersion version = {0, 0};
	BufferedRow own;
	const DorisRow *found;

	if (buffer_lookup(b, key, BUFFER_NEWEST, &own))
	{
		if (!own.deleted)
			modify_duplicate(m->table, key);
		return version;
	}
	if (buffer_truncated(b))
		return version;
	found = pending_look(m, &key, 1);
	if (found->found)
		modify_duplicate(m->table, key);
	return found->version;
}

TupleTableSlot *modify_update(EState *estate, ResultRelInfo *rri, TupleTableSlot *slot,
							  TupleTableSlot *plan_slot)
{
	DorisModify *m = rri->ri_FdwState;
	MemoryContext old;
	StringInfoData key;
	StringInfoData value;
	size_t route_len;
	DorisVersion version;
	Size was_route_len;
	DorisBytes was;
	bool same_key;
	BufferedRow row = {0};

	modify_check_constraints(m, estate, rri, slot);
	slot_getallattrs(slot);
	if (!m->direct)
		pending_flush(m); /* rows routed here */
	MemoryContextReset(m->scratch);
	old = MemoryContextSwitchTo(m->scratch);
	was = old_key(m, plan_slot, &was_route_len, &version);
	if (!m->direct && !modify_may_change(m, was))
	{
		MemoryContextSwitchTo(old);
		return NULL;
	}
	initStringInfo(&key);
	initStringInfo(&value);
	table_put_key(m->table, slot->tts_values, slot->tts_isnull, &key, &route_len);
	if (m->table->partial)
		table_put_value_over(m->table, slot->tts_values, slot->tts_isnull, NULL, old_value(m, was),
							 &value);
	else
		table_put_value(m->table, slot->tts_values, slot->tts_isnull, &value);
	row.key = (DorisBytes){(const uint8 *) key.data, (size_t) key.len};
	row.route_len = route_len;
	row.value = (DorisBytes){(const uint8 *) value.data, (size_t) value.len};
	row.cid = m->cid;
	same_key = bytes_compare(row.key, was) == 0;

	if (m->direct)
	{
		if (!same_key)
			ereport(
				ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot change the key of a row of table \"%s\" with write_mode 'direct'",
						RelationGetRelationName(m->rel)),
				 errhint("Delete the row and insert another, or set write_mode "
						 "'transactional'.")));
		pending_add(m, WRITE_PUT, row.key, row.route_len, row.value);
		MemoryContextSwitchTo(old);
		if (pending_full(m))
			pending_flush(m);
		return slot;
	}
	if (same_key)
		row.base = version;
	else
	{
		BufferedRow gone = {.deleted = true,
							.base = version,
							.key = was,
							.route_len = was_route_len,
							.cid = m->cid};

		row.base = check_absent(m, row.key);
		row.was_absent = true;
		buffer_put(m->buffer, &gone, m->subid);
	}
	buffer_put(m->buffer, &row, m->subid);
	MemoryContextSwitchTo(old);
	return slot;
}

TupleTableSlot *modify_delete(EState *estate, ResultRelInfo *rri, TupleTableSlot *slot,
							  TupleTableSlot *plan_slot)
{
	DorisModify *m = rri->ri_FdwState;
	BufferedRow row = {.deleted = true, .cid = m->cid};
	MemoryContext old;
	Size route_len;

	if (!m->direct)
		pending_flush(m);
	MemoryContextReset(m->scratch);
	old = MemoryContextSwitchTo(m->scratch);
	row.key = old_key(m, plan_slot, &route_len, &row.base);
	row.route_len = route_len;
	if (!m->direct && !modify_may_change(m, row.key))
	{
		MemoryContextSwitchTo(old);
		return NULL;
	}
	if (m->direct)
		pending_add(m, WRITE_DELETE, row.key, row.route_len, EMPTY_BYTES);
	else
		buffer_put(m->buffer, &row, m->subid);
	MemoryContextSwitchTo(old);
	if (m->direct && pending_full(m))
		pending_flush(m);
	if (AttributeNumberIsValid(m->row_junk))
	{
		bool isnull;
		Datum d = ExecGetJunkAttribute(plan_slot, m->row_junk, &isnull);

		if (!isnull)
			ExecStoreHeapTupleDatum(d, slot);
	}
	return slot;
}

void modify_end(EState *estate, ResultRelInfo *rri)
{
	DorisModify *m = rri->ri_FdwState;

	/* a partition that an UPDATE both scans and routes rows to is ended twice */
	if (m == NULL || m->handle == NULL)
		return;
	pending_flush(m);
	pending_await(m);
	handle_free(m->handle);
	m->handle = NULL;
}
