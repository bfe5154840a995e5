/*
 * ordered.h: the records of several vnodes merged in the order of their keys.
 */
#ifndef DORIS_ORDERED_H
#define DORIS_ORDERED_H

#include "node.h"

typedef struct Ordered Ordered;

/*
 * Begins at the first key of [low, high) (stored keys), or at the last one and goes down. Within the worker's transaction: a
 * cursor stays open in each vnode that has such a key.
 */
extern DORIS_MUST_CHECK DorisStatus ordered_open(Worker *w, const uint32_t *vnodes, uint32_t n,
												 DorisBytes low, DorisBytes high, bool reverse,
												 Ordered **out, DorisError *err);
/* The next record; views live until the next call. NOT_FOUND at the end. */
extern DORIS_MUST_CHECK DorisStatus ordered_next(Ordered *o, uint32_t *vnode, DorisBytes *key,
												 DorisBytes *value, DorisError *err);
extern void ordered_close(Ordered *o);

#endif
