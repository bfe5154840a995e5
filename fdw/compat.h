/*
 * compat.h: the differences between PostgreSQL versions (14 to 18), in one place.
 */
#ifndef DORIS_COMPAT_H
#define DORIS_COMPAT_H

#endif
