/*
 * history.h: what the load of the fault suite was told about each key, and what may therefore be read.
 *
 * A key belongs to one writer, which writes the numbers 1, 2, 3 ... into it, one statement after the other; some of them
 * delete the row. So the numbers order the writes of a key, and a read can be judged by the number it finds:
 *
 *	- not below the *floor*: the highest number acknowledged, or (seen_stands) read by anybody, before the read began;
 *	- a number that was begun, and not told as surely not done;
 *	- no row: when a delete (or "never written") would be allowed there.
 *
 * A write whose outcome is unknown may show up at any time until a later one is acknowledged, and not afterwards.
 * Assumption: all sessions are threads of this process, so that "before" is the order in which they take the lock.
 */
#ifndef CHAOS_HISTORY_H
#define CHAOS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum WriteState
{
	WRITE_BEGUN,
	WRITE_DONE,
	WRITE_REFUSED, /* told as surely not done */
	WRITE_UNKNOWN
} WriteState;

typedef struct History History;

/*
 * Room for keys 0 .. keys - 1. seen_stands: what was read stands, even if it was not acknowledged; so it is with
 * transactions, but a plain write with an unknown outcome may be in one copy and not in another. Ends the process when
 * there is no memory, as all here.
 */
extern History *history_create(uint32_t keys, bool seen_stands);
extern uint32_t history_keys(const History *h);

/* The owner begins its next write of the key; its number. */
extern uint32_t history_begin(History *h, uint32_t key, bool deletes);
extern void history_end(History *h, uint32_t key, uint32_t number, WriteState state);

/* What the owner knows: is there a row, and is that certain (no unknown outcome since the last certain one)? */
extern bool history_present(History *h, uint32_t key, bool *certain);

/* To be asked before a read begins. */
extern uint32_t history_floor(History *h, uint32_t key);
/* The same for all keys at once, for scans: floors[0 .. keys - 1]. */
extern void history_floors(History *h, uint32_t *floors);
/*
 * Judges what a read found (number 0: no row), raises the floor by it. False: a violation, described in why.
 */
extern bool history_judge(History *h, uint32_t key, uint32_t floor, uint32_t number, char *why,
						  size_t why_size);

#endif
