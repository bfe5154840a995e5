/*
 * filter.h: a condition on rows that a node can judge without knowing types.
 *
 * A filter is a postfix program of at most DORIS_FILTER_MAX_OPS steps over SQL's three values.
 * A comparison looks at a column's bytes as encoded (value column: row.h; key column: its segment of the
 * row key) and a constant encoded the same way, by memcmp. A NULL column makes any comparison
 * unknown; a row passes when the program ends with true.
 *
 * Encoding: varint number of steps, then each step: u8 op; COMPARE ops: varint column id, bytes constant;
 * IN: varint column id, varint n, n × bytes in rising order; IS_NULL: varint column id; AND, OR, NOT,
 * TRUE: nothing more.
 */
#ifndef DORIS_FILTER_H
#define DORIS_FILTER_H

#include "buf.h"
#include "nsdef.h"
#include "status.h"

#define DORIS_FILTER_MAX_OPS 4096
#define DORIS_FILTER_MAX_CONSTANTS 65536 /* of all comparisons and IN lists together */
#define DORIS_FILTER_MAX_DEPTH 64		 /* of the stack of truth values */

typedef enum FilterOp
{
	FILTER_EQ = 1,
	FILTER_NE,
	FILTER_LT,
	FILTER_LE,
	FILTER_GT,
	FILTER_GE,
	FILTER_IN,
	FILTER_IS_NULL,
	FILTER_AND, /* two values off the stack, one on */
	FILTER_OR,
	FILTER_NOT,
	FILTER_TRUE
} FilterOp;

/* Building: append steps to a DorisBuf, count them, then prefix: see filter_finish. */
extern void filter_put_compare(DorisBuf *steps, FilterOp op, uint16_t column, const void *data,
							   size_t len);
extern void filter_put_op(DorisBuf *steps, FilterOp op);
extern void filter_put_is_null(DorisBuf *steps, uint16_t column);
/* constants must be sorted by bytes_compare, without doubles */
extern void filter_put_in(DorisBuf *steps, uint16_t column, const DorisBytes *constants, size_t n);
extern void filter_finish(DorisBuf *out, uint32_t nsteps, const DorisBuf *steps);

typedef struct Filter Filter; /* decoded; its constants point into the program's bytes */

/* An empty program gives *out = NULL: everything passes. Columns must exist in the definition. */
extern DORIS_MUST_CHECK DorisStatus filter_decode(DorisBytes program, const NsDef *def,
												  Filter **out, DorisError *err);
extern void filter_free(Filter *f); /* NULL is fine */
/* Does the row pass? f NULL: yes. A malformed row does not. */
extern bool filter_pass(const Filter *f, const NsDef *def, DorisBytes key, DorisBytes value);

#endif
