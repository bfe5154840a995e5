/*
 * nsdef.c: encoding, checking and using the data definition of a namespace.
 */
#include "nsdef.h"

#include <stdlib.h>
#include <string.h>

#define COLUMN_IN_VALUE 1
#define COLUMN_NOT_NULL 2
#define COLUMN_DROPPED 4
#define COLUMN_MIN_SIZE 7 /* bytes of the shortest encoded column */

void nsdef_encode(DorisBuf *b, const NsDef *d)
{
	buf_put_varint(b, d->id);
	buf_put_varint(b, d->version);
	buf_put_str(b, d->name);
	buf_put_u8(b, d->route_columns);
	buf_put_u8(b, d->key_columns);
	buf_put_varint(b, d->ncolumns);
	for (int i = 0; i < d->ncolumns; i++)
	{
		const NsColumn *col = &d->columns[i];

		buf_put_varint(b, col->id);
		buf_put_str(b, col->name);
		buf_put_str(b, col->type);
		buf_put_str(b, col->collation);
		buf_put_u8(b, col->key_position);
		buf_put_u8(b, col->key_width);
		buf_put_u8(b, (uint8_t) ((col->in_value ? COLUMN_IN_VALUE : 0) |
								 (col->not_null ? COLUMN_NOT_NULL : 0) |
								 (col->dropped ? COLUMN_DROPPED : 0)));
	}
}

static void decode_column(DorisCursor *c, NsColumn *col)
{
	uint64_t id = cursor_varint(c);
	uint8_t flags;

	cursor_str(c, col->name, sizeof(col->name));
	cursor_str(c, col->type, sizeof(col->type));
	cursor_str(c, col->collation, sizeof(col->collation));
	col->key_position = cursor_u8(c);
	col->key_width = cursor_u8(c);
	flags = cursor_u8(c);
	if (id > UINT16_MAX || flags > (COLUMN_IN_VALUE | COLUMN_NOT_NULL | COLUMN_DROPPED))
		c->bad = true;
	col->id = (uint16_t) id;
	col->in_value = (flags & COLUMN_IN_VALUE) != 0;
	col->not_null = (flags & COLUMN_NOT_NULL) != 0;
	col->dropped = (flags & COLUMN_DROPPED) != 0;
}

DorisStatus nsdef_decode_draft(DorisCursor *c, NsDef *out, DorisError *err)
{
	uint64_t id;
	uint64_t version;
	uint32_t n;

	memset(out, 0, sizeof(*out));
	id = cursor_varint(c);
	version = cursor_varint(c);
	cursor_str(c, out->name, sizeof(out->name));
	out->route_columns = cursor_u8(c);
	out->key_columns = cursor_u8(c);
	n = cursor_count(c, COLUMN_MIN_SIZE);
	if (id > UINT32_MAX || version > UINT32_MAX || n > DORIS_MAX_COLUMNS)
		c->bad = true;
	if (!c->bad && n > 0)
	{
		out->columns = calloc(n, sizeof(NsColumn));
		if (out->columns == NULL)
			return doris_error(err, DORIS_NO_MEMORY, "out of memory for a namespace of %u columns",
							   n);
		for (uint32_t i = 0; i < n && !c->bad; i++)
			decode_column(c, &out->columns[i]);
	}
	if (c->bad)
	{
		nsdef_free(out);
		return doris_error(err, DORIS_BAD_MESSAGE, "malformed namespace definition");
	}
	out->id = (uint32_t) id;
	out->version = (uint32_t) version;
	out->ncolumns = (uint16_t) n;
	return DORIS_OK;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp((*(const NsColumn *const *) a)->name, (*(const NsColumn *const *) b)->name);
}

/* No two live columns of the same name. */
static DorisStatus check_names_differ(const NsDef *d, DorisError *err)
{
	const NsColumn **sorted = malloc((d->ncolumns + 1u) * sizeof(*sorted));
	int n = 0;
	DorisStatus status = DORIS_OK;

	if (sorted == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory");
	for (int i = 0; i < d->ncolumns; i++)
		if (!d->columns[i].dropped)
			sorted[n++] = &d->columns[i];
	qsort(sorted, (size_t) n, sizeof(*sorted), compare_names);
	for (int i = 1; i < n && status == DORIS_OK; i++)
		if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
			status =
				doris_error(err, DORIS_BAD_ARGUMENT, "namespace \"%s\" has column \"%s\" twice",
							d->name, sorted[i]->name);
	free(sorted);
	return status;
}

/* Key positions are 1..key_columns, each once. */
static DorisStatus check_key(const NsDef *d, DorisError *err)
{
	uint8_t seen[DORIS_MAX_KEY_COLUMNS + 1] = {0};

	if (d->key_columns < 1 || d->key_columns > DORIS_MAX_KEY_COLUMNS)
		return doris_error(err, DORIS_BAD_ARGUMENT,
						   "namespace \"%s\" has %d key columns, not 1 to %d", d->name,
						   d->key_columns, DORIS_MAX_KEY_COLUMNS);
	if (d->route_columns > d->key_columns)
		return doris_error(err, DORIS_BAD_ARGUMENT,
						   "namespace \"%s\" routes by %d columns of a key of %d", d->name,
						   d->route_columns, d->key_columns);
	for (int i = 0; i < d->ncolumns; i++)
	{
		const NsColumn *col = &d->columns[i];

		if (col->key_position == 0)
			continue;
		if (col->dropped || col->key_position > d->key_columns || seen[col->key_position]++ > 0)
			return doris_error(err, DORIS_BAD_ARGUMENT,
							   "namespace \"%s\": column \"%s\" has impossible key position %d",
							   d->name, col->name, col->key_position);
	}
	for (int i = 1; i <= d->key_columns; i++)
		if (seen[i] == 0)
			return doris_error(err, DORIS_BAD_ARGUMENT,
							   "namespace \"%s\" has no column at key position %d", d->name, i);
	return DORIS_OK;
}

DorisStatus nsdef_check(const NsDef *d, bool draft, DorisError *err)
{
	DorisStatus status;
	uint16_t last = 0;

	if (d->name[0] == '\0')
		return doris_error(err, DORIS_BAD_ARGUMENT, "a namespace has no name");
	if (d->ncolumns > DORIS_MAX_COLUMNS)
		return doris_error(err, DORIS_BAD_ARGUMENT, "namespace \"%s\" has %d columns, more than %d",
						   d->name, d->ncolumns, DORIS_MAX_COLUMNS);
	if (!draft && (d->id == 0 || d->version == 0))
		return doris_error(err, DORIS_BAD_ARGUMENT, "namespace \"%s\" has no id or version",
						   d->name);
	for (int i = 0; i < d->ncolumns; i++)
	{
		const NsColumn *col = &d->columns[i];

		if (col->name[0] == '\0' || col->type[0] == '\0')
			return doris_error(err, DORIS_BAD_ARGUMENT,
							   "namespace \"%s\": column %d has no name or type", d->name, i + 1);
		if (!draft && col->id <= last)
			return doris_error(err, DORIS_BAD_ARGUMENT,
							   "namespace \"%s\": column ids do not rise at \"%s\"", d->name,
							   col->name);
		last = col->id;
	}
	status = check_names_differ(d, err);
	if (status != DORIS_OK)
		return status;
	return check_key(d, err);
}

DorisStatus nsdef_decode(DorisCursor *c, NsDef *out, DorisError *err)
{
	DorisStatus status = nsdef_decode_draft(c, out, err);

	if (status != DORIS_OK)
		return status;
	status = nsdef_check(out, false, err);
	if (status != DORIS_OK)
	{
		nsdef_free(out);
		if (status == DORIS_BAD_ARGUMENT)
			status = err->code = DORIS_BAD_MESSAGE;
	}
	return status;
}

DorisStatus nsdef_copy(const NsDef *from, NsDef *to, DorisError *err)
{
	*to = *from;
	to->columns = NULL;
	if (from->ncolumns == 0)
		return DORIS_OK;
	to->columns = malloc(from->ncolumns * sizeof(NsColumn));
	if (to->columns == NULL)
	{
		memset(to, 0, sizeof(*to));
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for namespace \"%s\"", from->name);
	}
	memcpy(to->columns, from->columns, from->ncolumns * sizeof(NsColumn));
	return DORIS_OK;
}

void nsdef_free(NsDef *d)
{
	free(d->columns);
	memset(d, 0, sizeof(*d));
}

const NsColumn *nsdef_column(const NsDef *d, uint16_t id)
{
	int low = 0;
	int high = d->ncolumns;

	while (low < high)
	{
		int mid = (low + high) / 2;

		if (d->columns[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low < d->ncolumns && d->columns[low].id == id ? &d->columns[low] : NULL;
}

const NsColumn *nsdef_column_by_name(const NsDef *d, const char *name)
{
	for (int i = 0; i < d->ncolumns; i++)
		if (!d->columns[i].dropped && strcmp(d->columns[i].name, name) == 0)
			return &d->columns[i];
	return NULL;
}

const NsColumn *nsdef_key_column(const NsDef *d, int position)
{
	for (int i = 0; position > 0 && i < d->ncolumns; i++)
		if (d->columns[i].key_position == position)
			return &d->columns[i];
	return NULL;
}

static int next_live_column(const NsDef *d, int i)
{
	while (i < d->ncolumns && d->columns[i].dropped)
		i++;
	return i;
}

bool nsdef_same_shape(const NsDef *a, const NsDef *b)
{
	int i = 0;
	int j = 0;

	if (a->route_columns != b->route_columns || a->key_columns != b->key_columns)
		return false;
	for (;;)
	{
		const NsColumn *x;
		const NsColumn *y;

		i = next_live_column(a, i);
		j = next_live_column(b, j);
		if (i == a->ncolumns || j == b->ncolumns)
			return i == a->ncolumns && j == b->ncolumns;
		x = &a->columns[i++];
		y = &b->columns[j++];
		if (strcmp(x->name, y->name) != 0 || strcmp(x->type, y->type) != 0 ||
			strcmp(x->collation, y->collation) != 0 || x->key_position != y->key_position ||
			x->key_width != y->key_width || x->in_value != y->in_value ||
			x->not_null != y->not_null)
			return false;
	}
}

bool nsdef_skip_segment(DorisCursor *c, uint8_t key_width)
{
	if (key_width != DORIS_KEY_ESCAPED)
		return cursor_raw(c, key_width) != NULL;
	while (c->p < c->end)
	{
		const uint8_t *zero = memchr(c->p, 0, cursor_left(c));

		if (zero == NULL || zero + 1 == c->end)
			break;
		c->p = zero + 2;
		if (zero[1] == 0x01)
			return true;
		if (zero[1] != 0xFF)
			break;
	}
	c->bad = true;
	return false;
}

bool nsdef_key_segment(const NsDef *d, DorisBytes key, int position, DorisBytes *segment)
{
	DorisCursor c = cursor_of(key.data, key.len);

	for (int i = 1; i <= position; i++)
	{
		const NsColumn *col = nsdef_key_column(d, i);

		segment->data = c.p;
		if (col == NULL || !nsdef_skip_segment(&c, col->key_width))
			return false;
		segment->len = (size_t) (c.p - segment->data);
	}
	return position > 0;
}

bool nsdef_route_key(const NsDef *d, DorisBytes key, DorisBytes *route_key)
{
	DorisCursor c = cursor_of(key.data, key.len);
	int routing = d->route_columns > 0 ? d->route_columns : d->key_columns;

	for (int i = 1; i <= d->key_columns; i++)
	{
		const NsColumn *col = nsdef_key_column(d, i);

		if (col == NULL || !nsdef_skip_segment(&c, col->key_width))
			return false;
		if (i == routing)
		{
			route_key->data = key.data;
			route_key->len = (size_t) (c.p - key.data);
		}
	}
	return cursor_at_end(&c) && routing > 0;
}
