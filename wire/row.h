/*
 * row.h: a row's value: for each column that is not NULL, in rising id order, varint column id,
 * varint length, bytes. What the bytes mean is the FDW's business (fdw/codec.h); for types that
 * order bytewise they are memcomparable, so that filters compare them blindly.
 */
#ifndef DORIS_ROW_H
#define DORIS_ROW_H

#include "buf.h"

typedef struct RowReader
{
	DorisCursor c;
	uint16_t last; /* highest id seen: ids must rise */
} RowReader;

extern void row_put(DorisBuf *b, uint16_t column, const void *data, size_t len);
static inline RowReader row_reader(DorisBytes value)
{
	RowReader r = {cursor_of(value.data, value.len), 0};

	return r;
}

/* The next column; false at the end, or when the value is malformed (then r->c.bad). */
static inline bool row_next(RowReader *r, uint16_t *column, DorisBytes *data)
{
	uint64_t id;

	if (r->c.bad || r->c.p == r->c.end)
		return false;
	id = cursor_varint(&r->c);
	*data = cursor_bytes(&r->c);
	if (id > UINT16_MAX || id <= r->last)
		r->c.bad = true; /* ids start at 1 and rise */
	if (r->c.bad)
		return false;
	r->last = (uint16_t) id;
	*column = (uint16_t) id;
	return true;
}

/* One column by id: true and the bytes, or false: NULL (or malformed). */
extern bool row_column(DorisBytes value, uint16_t column, DorisBytes *data);
/* Copies only the listed columns (rising ids). False when the value is malformed or no memory. */
extern bool row_project(DorisBytes value, const uint16_t *columns, size_t n, DorisBuf *out);

#endif
