/*
 * analyze.c: ANALYZE of a foreign table: a random sample of its rows and their number, from one scan.
 *
 * The scan reads every row (the nodes have no way to sample yet), keeps those of a reservoir, and can be cancelled at
 * any moment. The transaction's own writes are not looked at.
 */
#include "executor.h"

#include "access/htup_details.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/sampling.h"

static int acquire_sample(Relation rel, int elevel, HeapTuple *rows, int target, double *total,
						  double *dead)
{
	DorisClient *client =
		connection_get(GetForeignTable(RelationGetRelid(rel))->serverid, GetUserId());
	DorisTable *t = doris_table_open(rel, client);
	TupleDesc desc = RelationGetDescr(rel);
	Datum *values = palloc(desc->natts * sizeof(Datum));
	bool *nulls = palloc(desc->natts * sizeof(bool));
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "doris sample", ALLOCSET_DEFAULT_SIZES);
	DorisHandle *handle = handle_create();
	DorisScanSpec spec = {.ns = t->ns, .fetch_rows = (uint32) t->options->fetch_size};
	ReservoirStateData reservoir;
	DorisError err = {0};
	DorisStatus status;
	double skip = -1; /* rows to pass over before the next one taken */
	double seen = 0;
	int n = 0;

	reservoir_init_selection_state(&reservoir, target);
	status = doris_scan_open(client, &spec, &handle->scan, &err);
	while (status == DORIS_OK)
	{
		DorisRow row;
		int at = -1;

		status = doris_scan_next(handle->scan, &row, &err);
		if (status != DORIS_OK)
			break;
		CHECK_FOR_INTERRUPTS();
		if (n < target)
			at = n++;
		else
		{
			if (skip < 0)
				skip = reservoir_get_next_S(&reservoir, seen, target);
			if (skip <= 0)
			{
				at = (int) (target * sampler_random_fract(&reservoir.randstate));
				heap_freetuple(rows[at]);
			}
			skip -= 1;
		}
		seen += 1;
		if (at >= 0)
		{
			MemoryContext old = MemoryContextSwitchTo(scratch);

			table_get_row(t, row.key, row.value, NULL, values, nulls);
			MemoryContextSwitchTo(old);
			rows[at] = heap_form_tuple(desc, values, nulls);
			MemoryContextReset(scratch);
		}
	}
	if (status != DORIS_NOT_FOUND)
		doris_ereport(&err, t->ns->name, EMPTY_BYTES);
	handle_free(handle);
	MemoryContextDelete(scratch);
	*total = seen;
	*dead = 0;
	ereport(elevel, (errmsg("\"%s\": read %.0f rows of namespace \"%s\", %d rows in sample",
							RelationGetRelationName(rel), seen, t->ns->name, n)));
	return n;
}

bool analyze_table(Relation rel, AcquireSampleRowsFunc *func, BlockNumber *pages)
{
	DorisClient *client =
		connection_get(GetForeignTable(RelationGetRelid(rel))->serverid, GetUserId());
	DorisTable *t = doris_table_open(rel, client);
	double rows = 0;
	double bytes = 0;

	(void) plan_estimate(t->serverid, client, t->ns, &rows, &bytes);
	*func = acquire_sample;
	*pages = (BlockNumber) Min(bytes / BLCKSZ + 1, (double) MaxBlockNumber);
	return true;
}
