/*
 * test_wire.h: samples that several tests of wire/ share.
 */
#ifndef TEST_WIRE_H
#define TEST_WIRE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"
#include "nsdef.h"

/* A view of a string literal, embedded zero bytes included. */
#define BYTES(literal)                                   \
	(DorisBytes)                                         \
	{                                                    \
		(const uint8_t *) (literal), sizeof(literal) - 1 \
	}

/*
 * Decoders get their input in a block of its own size, so that the address sanitizer sees a read
 * past the end. Free it.
 */
static inline uint8_t *exact_copy(const void *data, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);

	assert_non_null(copy);
	if (len > 0)
		memcpy(copy, data, len);
	return copy;
}

static inline void sample_column(NsColumn *col, uint16_t id, const char *name, const char *type)
{
	memset(col, 0, sizeof(*col));
	col->id = id;
	snprintf(col->name, sizeof(col->name), "%s", name);
	snprintf(col->type, sizeof(col->type), "%s", type);
}

/*
 * orders(tenant int4, name text, seq int8, note text, amount int4), key (tenant, name, seq), routed by tenant. Column
 * ids 1, 2, 3, 5, 7. Free with nsdef_free.
 */
static inline NsDef sample_nsdef(uint32_t id, const char *name)
{
	NsDef d = {.id = id, .version = 3, .route_columns = 1, .key_columns = 3, .ncolumns = 5};

	snprintf(d.name, sizeof(d.name), "%s", name);
	d.columns = calloc(5, sizeof(NsColumn));
	assert_non_null(d.columns);
	sample_column(&d.columns[0], 1, "tenant", "integer");
	d.columns[0].key_position = 1;
	d.columns[0].key_width = 4;
	d.columns[0].not_null = true;
	sample_column(&d.columns[1], 2, "name", "text");
	snprintf(d.columns[1].collation, sizeof(d.columns[1].collation), "pg_catalog.\"C\"");
	d.columns[1].key_position = 2;
	d.columns[1].key_width = DORIS_KEY_ESCAPED;
	d.columns[1].in_value = true;
	sample_column(&d.columns[2], 3, "seq", "bigint");
	d.columns[2].key_position = 3;
	d.columns[2].key_width = 8;
	sample_column(&d.columns[3], 5, "note", "text");
	sample_column(&d.columns[4], 7, "amount", "integer");
	return d;
}

#endif
