/*
 * row.c: a row's value, column by column.
 */
#include "row.h"

void row_put(DorisBuf *b, uint16_t column, const void *data, size_t len)
{
	buf_put_varint(b, column);
	buf_put_bytes(b, data, len);
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
