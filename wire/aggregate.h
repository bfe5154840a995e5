/*
 * aggregate.h: counts, sums, least and greatest values of rows, which a node computes without knowing types.
 *
 * A program names the columns that make the groups and what is wanted of each group. A column is taken as it is stored: from the
 * row's value (row.h), or from the key when only the key has it (then its segment, nsdef.h). Rows in which the group columns
 * have the same bytes, or are NULL alike, are one group; without group columns all rows are.
 *
 * Whoever reads rows gathers them in a table, one for each reply. Encoded, tables are merged in any order by who asked: a
 * group that is in several of them is the sum of its parts. Integers are summed exactly, in 128 bits; floats in the order they come in.
 *
 * Program: varint number of group columns, each: varint column id; varint number of aggregates, each: u8 op, varint column id
 * (COUNT_ROWS: none).
 * Table: varint number of groups, each: for each group column u8 present and, when it is, its bytes; then for each aggregate its
 * state: COUNT_ROWS, COUNT: varint; MIN, MAX: u8 present and, when it is, the bytes; sums: varint count, u8 overflowed,
 * then u64 low and u64 high of the sum in two's complement (SUM_INT) or its IEEE bits in an u64 (SUM_FLOAT4, SUM_FLOAT8).
 */
#ifndef DORIS_AGGREGATE_H
#define DORIS_AGGREGATE_H

#include "buf.h"
#include "nsdef.h"
#include "status.h"

#define DORIS_AGGREGATE_MAX_COLUMNS 64	 /* of groups; aggregates */
#define DORIS_AGGREGATE_PAGE_GROUPS 4096 /* a node's reply ends with so many */
#define DORIS_AGGREGATE_PAGE_BYTES \
	(1u << 20)							 /* of groups and states of variable length; likewise */
#define DORIS_AGGREGATE_MAX_GROUPS 65536 /* then whoever asked gives up, and reads rows */
#define DORIS_AGGREGATE_MAX_BYTES (32u << 20)

typedef enum AggregateOp
{
	AGGREGATE_COUNT_ROWS = 1,
	AGGREGATE_COUNT, /* rows in which the column is not NULL; the others pass over NULL likewise */
	AGGREGATE_MIN,	 /* by memcmp */
	AGGREGATE_MAX,	 /* by memcmp */
	AGGREGATE_SUM_INT,	  /* column: big-endian with the sign flipped, of 2, 4 or 8 bytes */
	AGGREGATE_SUM_FLOAT4, /* column: 4 bytes that order as floats do; added as floats are */
	AGGREGATE_SUM_FLOAT8  /* column: 4 or 8 such bytes; added as doubles are */
} AggregateOp;

typedef struct AggregateStep
{
	AggregateOp op;
	uint16_t column; /* COUNT_ROWS: 0 */
} AggregateStep;

extern void aggregate_put_program(DorisBuf *out, const uint16_t *groups, uint32_t ngroups,
								  const AggregateStep *steps, uint32_t nsteps);

typedef struct AggregateProgram AggregateProgram;

/* BAD_MESSAGE: malformed, or a column that the definition does not have. */
extern DORIS_MUST_CHECK DorisStatus aggregate_decode(DorisBytes program, const NsDef *def,
													 AggregateProgram **out, DorisError *err);
extern void aggregate_free(AggregateProgram *p); /* NULL is fine */
/* Is nothing wanted but the number of rows? Then aggregate_add_rows will do. */
extern bool aggregate_only_counts(const AggregateProgram *p);

/* ---- groups of rows ---- */
typedef struct AggregateState
{
	uint64_t count;	 /* COUNT_ROWS, COUNT; sums: how many values */
	bool overflowed; /* a sum of finite floats that is none */
	__int128 sum;	 /* SUM_INT; cannot overflow: 2^64 values of 64 bits */
	double number;	 /* SUM_FLOAT8, and SUM_FLOAT4, rounded to a float at each step */
	DorisBytes best; /* MIN, MAX: when count > 0; the table's memory */
	size_t cap;		 /* of best */
} AggregateState;

typedef struct AggregateTable AggregateTable;

/* Starts empty; without group columns with its one group. The program must outlive it. NULL: no memory. */
extern AggregateTable *aggregate_table_create(const AggregateProgram *p);
extern void aggregate_table_free(AggregateTable *t); /* NULL is fine */
/* Adds a row. IO: a value that is no number of the sum's kind, or a malformed row; NO_MEMORY. */
extern DORIS_MUST_CHECK DorisStatus aggregate_row(AggregateTable *t, DorisBytes key,
												  DorisBytes value, DorisError *err);
/* Adds so many rows to a table whose program only counts them. */
extern void aggregate_add_rows(AggregateTable *t, uint64_t rows);
/* Has it more groups, or bytes of variable length, than that? Rows that do not make new groups may still be added. */
extern bool aggregate_exceeds(const AggregateTable *t, uint32_t groups, size_t bytes);
/* Appends the table as encoded. */
extern void aggregate_encode(const AggregateTable *t, DorisBuf *out);
/* Adds an encoded table of the same program. After BAD_MESSAGE or NO_MEMORY the table is of no use. */
extern DORIS_MUST_CHECK DorisStatus aggregate_merge(AggregateTable *t, DorisBytes encoded,
													DorisError *err);

extern uint32_t aggregate_groups(const AggregateTable *t);
/* Group column `column` (0.. in the program's order) of a group: true and its bytes, or false: NULL. */
extern bool aggregate_group_column(const AggregateTable *t, uint32_t group, uint32_t column,
								   DorisBytes *data);
extern const AggregateState *aggregate_state(const AggregateTable *t, uint32_t group,
											 uint32_t step);

#endif
