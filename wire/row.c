/*
 * row.c: a row's value, column by column.
 */
#include "row.h"

void row_put(DorisBuf *b, uint16_t column, const void *data, size_t len)
{
	buf_put_varint(b, column);
	buf_put_bytes(b, data, len);
}

RowReader row_reader(DorisBytes value)
{
	RowReader r = {cursor_of(value.data, value.len), 0};

	return r;
}

bool row_next(RowReader *r, uint16_t *column, DorisBytes *data)
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

bool row_column(DorisBytes value, uint16_t column, DorisBytes *data)
{
	RowReader r = row_reader(value);
	uint16_t id;

	while (row_next(&r, &id, data))
	{
		if (id == column)
			return true;
		if (id > column)
			break;
	}
	return false;
}

bool row_project(DorisBytes value, const uint16_t *columns, size_t n, DorisBuf *out)
{
	RowReader r = row_reader(value);
	DorisBytes data;
	uint16_t id;
	size_t i = 0;

	while (i < n && row_next(&r, &id, &data))
	{
		while (i < n && columns[i] < id)
			i++;
		if (i < n && columns[i] == id)
		{
			row_put(out, id, data.data, data.len);
			i++;
		}
	}
	return !r.c.bad && !out->failed;
}
