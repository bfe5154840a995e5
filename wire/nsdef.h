/*
 * nsdef.h: the data definition of a namespace, as it travels in the topology.
 *
 * A row of a namespace is a row key (bytes in memcomparable order) and a value (columns by id, see
 * row.h). The key is the concatenation of its columns' segments. So that a node can take one apart
 * without knowing types, the definition says how long each segment is: a fixed number of bytes, or
 * escaped: zero bytes written as 00 FF, the end as 00 01.
 */
#ifndef DORIS_NSDEF_H
#define DORIS_NSDEF_H

#include "buf.h"
#include "status.h"

#define DORIS_NAME_MAX 64  /* bytes with the terminator, as PostgreSQL's NAMEDATALEN */
#define DORIS_TYPE_MAX 128 /* a type name with its modifier, qualified */
#define DORIS_MAX_COLUMNS 1600
#define DORIS_MAX_KEY_COLUMNS 32
#define DORIS_KEY_ESCAPED 0			/* key_width of a variable-length segment */
#define DORIS_MAX_KEY 65536			/* bytes of an encoded row key */
#define DORIS_MAX_VALUE (16u << 20) /* bytes of an encoded value */

typedef struct NsColumn
{
	uint16_t id; /* never used again within the namespace; from 1 */
	char name[DORIS_NAME_MAX];
	char type[DORIS_TYPE_MAX];		/* format_type's text, for IMPORT and for checks */
	char collation[DORIS_TYPE_MAX]; /* qualified name, empty when not collatable or default */
	uint8_t key_position;			/* 1.. within the key; 0: not a key column */
	uint8_t key_width;				/* key columns: bytes of the segment, or DORIS_KEY_ESCAPED */
	bool in_value; /* also stored in the value (the segment does not give the datum back) */
	bool not_null;
	bool dropped;
} NsColumn;

typedef struct NsDef
{
	uint32_t id;	  /* changes on TRUNCATE; never used again */
	uint32_t version; /* of the definition; from 1 */
	char name[DORIS_NAME_MAX];
	uint8_t route_columns; /* how many leading key columns make the route key; 0: all of them */
	uint8_t key_columns;
	uint16_t ncolumns;
	NsColumn *columns; /* owned; in column id order */
} NsDef;

extern void nsdef_encode(DorisBuf *b, const NsDef *d);
/* On success the caller frees with nsdef_free. Checks names, ids, key positions 1..n without holes. */
extern DORIS_MUST_CHECK DorisStatus nsdef_decode(DorisCursor *c, NsDef *out, DorisError *err);
/* The same for a definition that an admin has yet to give ids to: shape only, run nsdef_check after it. */
extern DORIS_MUST_CHECK DorisStatus nsdef_decode_draft(DorisCursor *c, NsDef *out, DorisError *err);
/* BAD_ARGUMENT, saying what is wrong. draft: ids and versions may still be zero, columns in any order. */
extern DORIS_MUST_CHECK DorisStatus nsdef_check(const NsDef *d, bool draft, DorisError *err);
extern DORIS_MUST_CHECK DorisStatus nsdef_copy(const NsDef *from, NsDef *to, DorisError *err);
extern void nsdef_free(NsDef *d);
extern const NsColumn *nsdef_column(const NsDef *d, uint16_t id); /* NULL when there is none */
extern const NsColumn *nsdef_column_by_name(const NsDef *d,
											const char *name);		   /* not dropped ones */
extern const NsColumn *nsdef_key_column(const NsDef *d, int position); /* 1.. */
/* The same columns, key and routing (ids, versions and names of the namespace aside)? */
extern bool nsdef_same_shape(const NsDef *a, const NsDef *b);

/* Moves past one key segment of that width (NsColumn.key_width); false and bad when it does not decode. */
extern bool nsdef_skip_segment(DorisCursor *c, uint8_t key_width);
/*
 * Finds the segment of key column `position` (1..) in an encoded key; the view holds the segment as
 * encoded, terminator included. False when the key does not decode.
 */
extern bool nsdef_key_segment(const NsDef *d, DorisBytes key, int position, DorisBytes *segment);
/* The prefix of the key that routes it. False when the key does not decode. */
extern bool nsdef_route_key(const NsDef *d, DorisBytes key, DorisBytes *route_key);

#endif
