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
extern RowReader row_reader(DorisBytes value);
/* The next column; false at the end, or when the value is malformed (then r->c.bad). */
extern bool row_next(RowReader *r, uint16_t *column, DorisBytes *data);
/* One column by id: true and the bytes, or false: NULL (or malformed). */
extern bool row_column(DorisBytes value, uint16_t column, DorisBytes *data);
/* Copies only the listed columns (rising ids). False when the value is malformed or no memory. */
extern bool row_project(DorisBytes value, const uint16_t *columns, size_t n, DorisBuf *out);

#endif
