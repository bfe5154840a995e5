/*
 * node_aggregate.h: what the planner's and the executor's side of aggregates on the nodes share.
 *
 * Beside the plan that has the nodes aggregate lies the one that reads the rows and aggregates them here (its outer plan): the
 * scan at its bottom says which rows are meant, and it is what runs when the nodes cannot do it after all.
 */
#ifndef DORIS_NODE_AGGREGATE_H
#define DORIS_NODE_AGGREGATE_H

#include "executor.h"

/* ForeignScan.fdw_private of an upper relation */
enum AggregatePrivate
{
	AGGREGATE_GROUPS, /* integer list: attnums of the group columns */
	AGGREGATE_STEPS,  /* integer list: AggregateOp and attnum (0: none) of each step */
	AGGREGATE_OUTPUT /* integer list: for each entry of fdw_scan_tlist AggregateResult and group column or step */
};

/* What becomes of a group column or of a step's state. */
typedef enum AggregateResult
{
	RESULT_GROUP = 1,
	RESULT_COUNT,
	RESULT_BEST, /* min, max */
	RESULT_INT8,
	RESULT_NUMERIC,
	RESULT_NUMERIC_AVERAGE,
	RESULT_FLOAT4,
	RESULT_FLOAT8,
	RESULT_FLOAT8_AVERAGE
} AggregateResult;

#endif
