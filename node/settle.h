/*
 * settle.h: the settler's thread.
 */
#ifndef DORIS_SETTLE_H
#define DORIS_SETTLE_H

#include "node.h"

extern DORIS_MUST_CHECK DorisStatus settle_start(Node *n, pthread_t *thread, DorisError *err);

#endif
