/*
 * fuzz_aggregate.c: aggregate programs, run over keys and values that are as odd, and tables that come from elsewhere.
 *
 * Input: three lengths (a byte each) for the key, the value and the program, these, then an encoded table. What a program makes of
 * a row must survive being encoded and merged.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "aggregate.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static NsColumn columns[6];
static NsDef def = {.id = 1,
					.version = 1,
					.name = "fuzzed",
					.route_columns = 2,
					.key_columns = 3,
					.ncolumns = 6,
					.columns = columns};

static void fill_definition(void)
{
	static const uint8_t widths[3] = {4, DORIS_KEY_ESCAPED, 8};

	for (int i = 0; i < 6; i++)
	{
		columns[i].id = (uint16_t) (i < 5 ? i + 1 : 300);
		columns[i].name[0] = columns[i].type[0] = (char) ('a' + i);
		columns[i].key_position = (uint8_t) (i < 3 ? i + 1 : 0);
		columns[i].key_width = i < 3 ? widths[i] : 0;
		columns[i].in_value = i == 1;
	}
}

static void round_trip(const AggregateProgram *p, const AggregateTable *t)
{
	AggregateTable *copy = aggregate_table_create(p);
	DorisBuf first;
	DorisBuf second;
	DorisError err;

	buf_init(&first);
	buf_init(&second);
	aggregate_encode(t, &first);
	if (copy == NULL ||
		aggregate_merge(copy, (DorisBytes){first.data, first.len}, &err) != DORIS_OK)
		abort();
	aggregate_encode(copy, &second);
	if (first.len != second.len || memcmp(first.data, second.data, first.len) != 0)
		abort();
	buf_free(&first);
	buf_free(&second);
	aggregate_table_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DorisCursor c = cursor_of(data, size);
	DorisBytes key;
	DorisBytes value;
	DorisBytes program;
	DorisError err;
	AggregateProgram *p;
	AggregateTable *t;

	fill_definition();
	key.len = cursor_u8(&c);
	value.len = cursor_u8(&c);
	program.len = cursor_u8(&c);
	key.data = cursor_raw(&c, key.len);
	value.data = cursor_raw(&c, value.len);
	program.data = cursor_raw(&c, program.len);
	if (c.bad || aggregate_decode(program, &def, &p, &err) != DORIS_OK)
		return 0;
	t = aggregate_table_create(p);
	if (aggregate_row(t, key, value, &err) == DORIS_OK &&
		aggregate_row(t, key, (DorisBytes){0}, &err) == DORIS_OK &&
		aggregate_row(t, key, value, &err) == DORIS_OK)
		round_trip(p, t);
	(void) aggregate_merge(t, (DorisBytes){c.p, cursor_left(&c)}, &err);
	aggregate_table_free(t);
	aggregate_free(p);
	return 0;
}
