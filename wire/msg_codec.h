/*
 * msg_codec.h: what the message decoders (msg_*.c) share: reads that also check ranges, and one way to end.
 */
#ifndef DORIS_MSG_CODEC_H
#define DORIS_MSG_CODEC_H

#include "msg.h"

extern uint32_t msg_read_u32(DorisCursor *c);				/* a varint of at most 32 bits */
extern uint32_t msg_read_vnode(DorisCursor *c);				/* below DORIS_MAX_VNODES */
extern bool msg_read_bool(DorisCursor *c);					/* 0 or 1 */
extern uint8_t msg_read_enum(DorisCursor *c, uint8_t last); /* 1..last */
extern void msg_read_fixed(DorisCursor *c, void *out, size_t len);
extern DorisBytes msg_read_key(DorisCursor *c);	  /* at most DORIS_MAX_KEY */
extern DorisBytes msg_read_value(DorisCursor *c); /* at most DORIS_MAX_VALUE */

extern void msg_put_keyref(DorisBuf *b, const KeyRef *k);
extern void msg_read_keyref(DorisCursor *c,
							KeyRef *out); /* decision rows: namespace 0, a 16-byte key */
extern void msg_put_mode(DorisBuf *b, TxnMode mode, uint32_t decision_vnode,
						 const OtherVnodes *others);
extern void msg_read_mode(DorisCursor *c, TxnMode *mode, uint32_t *decision_vnode,
						  OtherVnodes *others);
extern void msg_put_staged(DorisBuf *b, const StagedInfo *s);
extern void msg_read_staged(DorisCursor *c, StagedInfo *out);
extern void msg_read_row_state(DorisCursor *c, RowState *out);

extern void msg_put_vnodes(DorisBuf *b, const uint32_t *vnodes, uint32_t n);
extern void msg_put_columns(DorisBuf *b, const uint16_t *columns, uint32_t n);
/*
 * Arrays: NULL and *n 0 when empty, malformed (c->bad) or out of memory (*no_memory).
 * Columns must rise, and vnodes too when `rising`.
 */
extern uint32_t *msg_read_vnodes(DorisCursor *c, bool rising, uint32_t *n, bool *no_memory);
extern uint16_t *msg_read_columns(DorisCursor *c, uint32_t *n, bool *no_memory);
/* A count up to max of things of min_size bytes each, and zeroed memory for them. */
extern void *msg_read_array(DorisCursor *c, size_t min_size, uint32_t max, size_t item_size,
							uint32_t *n, bool *no_memory);

/* OK when the input was good and used up; else BAD_MESSAGE, or NO_MEMORY, naming `what`. */
extern DORIS_MUST_CHECK DorisStatus msg_end(const DorisCursor *c, bool no_memory, const char *what,
											DorisError *err);

#endif
