/*
 * groups.c: scans that give aggregates (aggregate.h) instead of rows.
 *
 * They go the way of every scan. A page brings the groups of the rows up to its token, and these are added exactly when the token
 * is taken, so that no row counts twice and none is left out, whoever sends the next page (I2: a complete copy). Rows with a staged write come
 * as rows; page.c settles them and adds those that are there and pass.
 */
#include "scan.h"

DorisStatus groups_open(DorisScan *s, DorisError *err)
{
	DorisStatus st = DORIS_OK;

	if (s->spec.aggregate.len > 0)
		st = aggregate_decode(s->spec.aggregate, s->ns, &s->aggregate, err);
	if (st != DORIS_OK || s->aggregate == NULL)
		return st;
	s->groups = aggregate_table_create(s->aggregate);
	return s->groups != NULL ? DORIS_OK : client_no_memory(err);
}

DorisStatus groups_take(DorisScan *s, const ScanReply *reply, DorisError *err)
{
	if (s->groups == NULL)
		return DORIS_OK;
	return aggregate_merge(s->groups, reply->groups, err);
}

DorisStatus groups_check(const DorisScan *s, DorisError *err)
{
	if (s->groups == NULL ||
		!aggregate_exceeds(s->groups, DORIS_AGGREGATE_MAX_GROUPS, DORIS_AGGREGATE_MAX_BYTES))
		return DORIS_OK;
	return doris_error(err, DORIS_TOO_BIG,
					   "the rows of namespace \"%s\" have more than %d groups, or %u bytes of them",
					   s->ns->name, DORIS_AGGREGATE_MAX_GROUPS, DORIS_AGGREGATE_MAX_BYTES);
}

void groups_close(DorisScan *s)
{
	aggregate_table_free(s->groups);
	aggregate_free(s->aggregate);
}

DorisStatus doris_scan_groups(DorisScan *s, const AggregateTable **out, DorisError *err)
{
	DorisStatus st;
	DorisRow row;

	*out = s->groups;
	if (s->groups == NULL)
		return doris_error(err, DORIS_BAD_ARGUMENT, "the scan has no aggregates");
	st = doris_scan_next(s, &row, err); /* no row comes out */
	return st == DORIS_NOT_FOUND ? DORIS_OK : st;
}

DorisStatus doris_count(DorisClient *c, const DorisScanSpec *spec, uint64_t *count, DorisError *err)
{
	static const AggregateStep rows = {AGGREGATE_COUNT_ROWS, 0};
	DorisScanSpec counting = *spec;
	const AggregateTable *groups;
	DorisScan *s;
	DorisBuf program;
	DorisStatus st;

	*count = 0;
	buf_init(&program);
	aggregate_put_program(&program, NULL, 0, &rows, 1);
	counting.aggregate = (DorisBytes){program.data, program.len};
	st = program.failed ? client_no_memory(err) : doris_scan_open(c, &counting, &s, err);
	buf_free(&program);
	if (st != DORIS_OK)
		return st;
	st = doris_scan_groups(s, &groups, err);
	if (st == DORIS_OK)
		*count = aggregate_state(groups, 0, 0)->count;
	doris_scan_close(s);
	return st;
}
