/*
 * fuzz_filter.c: filter programs, run over keys and values that are as odd.
 *
 * Input: two lengths (a byte each) for the key and the value, these, then the program. The definition has
 * a key of a fixed, an escaped and a fixed segment, and three value columns.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "filter.h"
#include "row.h"

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
	}
}

/* Keys and values are taken apart everywhere in the node, not only by filters. */
static void take_apart(DorisBytes key, DorisBytes value)
{
	static const uint16_t some[] = {1, 4, 300};
	DorisBytes part;
	DorisBuf out;

	for (int i = 1; i <= 3; i++)
		if (nsdef_key_segment(&def, key, i, &part) &&
			(part.data < key.data || part.data + part.len > key.data + key.len))
			abort();
	if (nsdef_route_key(&def, key, &part) && (part.data != key.data || part.len > key.len))
		abort();
	(void) row_column(value, 5, &part);
	buf_init(&out);
	(void) row_project(value, some, 3, &out);
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DorisCursor c = cursor_of(data, size);
	DorisBytes key;
	DorisBytes value;
	DorisBytes program;
	DorisError err;
	Filter *f;

	fill_definition();
	key.len = cursor_u8(&c);
	value.len = cursor_u8(&c);
	key.data = cursor_raw(&c, key.len);
	value.data = cursor_raw(&c, value.len);
	if (c.bad)
		return 0;
	program = (DorisBytes){c.p, cursor_left(&c)};
	take_apart(key, value);
	if (filter_decode(program, &def, &f, &err) == DORIS_OK)
	{
		(void) filter_pass(f, &def, key, value);
		(void) filter_pass(f, &def, (DorisBytes){0}, (DorisBytes){0});
		filter_free(f);
	}
	return 0;
}
