/*
 * route.h: from a key to its vnode. md5 (RFC 1321) of the route key, its 16 bytes read as one
 * big-endian number, modulo V. Both sides of the wire must agree for ever: see unit/test_wire_route.c
 * for the vectors.
 */
#ifndef DORIS_ROUTE_H
#define DORIS_ROUTE_H

#include "buf.h"

#define DORIS_MAX_VNODES 65536

extern void route_md5(const void *data, size_t len, uint8_t out[16]);
extern uint32_t route_vnode(DorisBytes route_key, uint32_t vnodes);

#endif
