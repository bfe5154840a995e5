/*
 * analyze.c: ANALYZE of a foreign table: a random sample of its rows and their number, chosen by the nodes.
 *
 * Each row is in the sample with the same probability, by its key's hash under a seed of this ANALYZE (wire/sample.h); the
 * nodes pass over the others and count them, so what travels is the sample. The probability comes from the nodes' counters,
 * with some to spare: what is too much, a reservoir drops at random. When the counters said far too much, the scan is made
 * a second time by the number it has counted; when they are not to be had, all rows come.
 *
 * A node still has to look at every row. So of a namespace that is much larger than the sample only some vnodes are read,
 * chosen at random: where a row lives is a hash of its key, which makes the rows of a vnode a random sample
 * themselves. Not where distribute_by keeps rows together: whole groups would be in or out, and their number
 * could not be told.
 *
 * It can be cancelled at any moment. The transaction's own writes are not looked at.
 */
#include "executor.h"

#include <math.h>

#include "access/htup_details.h"
#include "commands/progress.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"
#include "utils/sampling.h"

#define SPARE 1.1		   /* that much more than is wanted, and */
#define SPARE_DEVIATIONS 4 /* so many standard deviations of that number */
#define LOOKS 100		   /* rows looked at for each one wanted, before vnodes are left out */
#define LEAST_VNODES 16

typedef struct Sample
{
	DorisTable *table;
	DorisClient *client;
	DorisHandle *handle;
	TupleDesc desc;
	MemoryContext scratch;
	Datum *values;
	bool *nulls;
	HeapTuple *rows; /* the reservoir */
	int target;
	int n;
	uint64 seed;
	uint32 *vnodes; /* that are read, rising */
	uint32 nvnodes;
	uint32 of_vnodes; /* all there are */
	double expected;  /* live rows in these, by the counters; 0: not known */
	double counted;	  /* live rows in these */
	BlockNumber pages;
} Sample;

static void sample_keep(Sample *s, int at, const DorisRow *row)
{
	MemoryContext old = MemoryContextSwitchTo(s->scratch);

	table_get_row(s->table, row->key, row->value, NULL, s->values, s->nulls);
	MemoryContextSwitchTo(old);
	s->rows[at] = heap_form_tuple(s->desc, s->values, s->nulls);
	MemoryContextReset(s->scratch);
}

/* pg_stat_progress_analyze counts pages: as many of them as there are of the rows. */
static void sample_progress(const Sample *s, double counted)
{
	double part = s->expected > 0 ? Min(counted / s->expected, 1) : 0;

	pgstat_progress_update_param(PROGRESS_ANALYZE_BLOCKS_DONE, (int64) (part * s->pages));
}

/* One scan with that share of the rows; what comes goes to the reservoir. */
static void sample_scan(Sample *s, uint64 share)
{
	DorisScanSpec spec = {.ns = s->table->ns,
						  .fetch_rows = (uint32) s->table->options->fetch_size,
						  .vnodes = s->vnodes,
						  .nvnodes = s->nvnodes,
						  .share = share,
						  .seed = s->seed};
	ReservoirStateData reservoir;
	DorisError err = {0};
	DorisStatus status;
	double skip = -1; /* rows to pass over before the next one taken */
	double seen = 0;
	uint64 counted = 0;

	for (int i = 0; i < s->n; i++)
		heap_freetuple(s->rows[i]);
	s->n = 0;
	handle_clear(s->handle);
	reservoir_init_selection_state(&reservoir, s->target);
	status = doris_scan_open(s->client, &spec, &s->handle->scan, &err);
	while (status == DORIS_OK)
	{
		DorisRow row;

		status = doris_scan_next(s->handle->scan, &row, &err);
		CHECK_FOR_INTERRUPTS();
		if (counted != doris_scan_passed(s->handle->scan))
		{
			counted = doris_scan_passed(s->handle->scan);
			sample_progress(s, (double) counted);
		}
		if (status != DORIS_OK)
			break;
		if (s->n < s->target)
			sample_keep(s, s->n++, &row);
		else
		{
			if (skip < 0)
				skip = reservoir_get_next_S(&reservoir, seen, s->target);
			if (skip <= 0)
			{
				int at = (int) (s->target * sampler_random_fract(&reservoir.randstate));

				heap_freetuple(s->rows[at]);
				sample_keep(s, at, &row);
			}
			skip -= 1;
		}
		seen += 1;
	}
	if (status != DORIS_NOT_FOUND)
		doris_ereport(&err, s->table->ns->name, EMPTY_BYTES);
	s->counted = (double) counted;
}

/* The share that gives the wanted number of rows, and some to spare, out of so many. */
static uint64 share_for(double wanted, double of)
{
	double p = of > 0 ? (wanted * SPARE + SPARE_DEVIATIONS * sqrt(wanted)) / of : 1;

	/* the double next below 2^64 is 2^64 - 2048 */
	return p >= 1 ? UINT64_MAX : (uint64) Max(p * 18446744073709549568.0, 1);
}

/* Which vnodes are read: all, or so many, chosen at random, that they have LOOKS rows for each one wanted. */
static void sample_choose(Sample *s, double rows)
{
	Topology *topology = doris_topology(s->client);
	uint32 all = topology->vnodes;
	uint32 wanted = all;
	ReservoirStateData random;

	topology_unref(topology);
	reservoir_init_selection_state(&random, s->target);
	if (s->table->nroute == s->table->nkey && rows > (double) s->target * LOOKS)
		wanted = (uint32) Max(ceil(all * (s->target * (double) LOOKS / rows)), LEAST_VNODES);
	wanted = Min(wanted, all);
	s->vnodes = palloc(all * sizeof(uint32));
	s->of_vnodes = all;
	/* each with the probability that makes it as many as are still wanted */
	for (uint32 v = 0; v < all; v++)
		if (sampler_random_fract(&random.randstate) * (all - v) < wanted - s->nvnodes)
			s->vnodes[s->nvnodes++] = v;
	s->expected = rows * s->nvnodes / all;
}

static int acquire_sample(Relation rel, int elevel, HeapTuple *rows, int target, double *total,
						  double *dead)
{
	DorisClient *client =
		connection_get(GetForeignTable(RelationGetRelid(rel))->serverid, GetUserId());
	DorisTable *t = doris_table_open(rel, client);
	Sample s = {.table = t,
				.client = client,
				.desc = RelationGetDescr(rel),
				.rows = rows,
				.target = target};
	double counted_rows = 0;
	double bytes = 0;

	if (!pg_strong_random(&s.seed, sizeof(s.seed)))
		ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not get random numbers"));
	s.values = palloc(s.desc->natts * sizeof(Datum));
	s.nulls = palloc(s.desc->natts * sizeof(bool));
	s.scratch = AllocSetContextCreate(CurrentMemoryContext, "doris sample", ALLOCSET_DEFAULT_SIZES);
	s.handle = handle_create();
	(void) estimate_table(t->serverid, client, t->ns, &counted_rows, &bytes);
	sample_choose(&s, counted_rows);
	s.pages = estimate_pages(bytes);
	pgstat_progress_update_param(PROGRESS_ANALYZE_BLOCKS_TOTAL, s.pages);
	sample_scan(&s, share_for(target, s.expected));
	if (s.n < target && s.n < s.counted)
	{
		/* the counters said too much: now the number is known */
		s.expected = s.counted;
		sample_scan(&s, share_for(target, s.counted));
	}
	sample_progress(&s, s.expected);
	handle_free(s.handle);
	MemoryContextDelete(s.scratch);
	*total = s.counted * s.of_vnodes / s.nvnodes;
	*dead = 0;
	ereport(elevel, (errmsg("\"%s\": looked at %u of %u vnodes of namespace \"%s\", containing "
							"%.0f rows; %d rows in sample, %.0f estimated total rows",
							RelationGetRelationName(rel), s.nvnodes, s.of_vnodes, t->ns->name,
							s.counted, s.n, *total)));
	return s.n;
}

bool analyze_table(Relation rel, AcquireSampleRowsFunc *func, BlockNumber *pages)
{
	DorisClient *client =
		connection_get(GetForeignTable(RelationGetRelid(rel))->serverid, GetUserId());
	DorisTable *t = doris_table_open(rel, client);
	double rows = 0;
	double bytes = 0;

	estimate_forget(t->serverid, t->ns->id);
	(void) estimate_table(t->serverid, client, t->ns, &rows, &bytes);
	*func = acquire_sample;
	*pages = estimate_pages(bytes);
	return true;
}
