/*
 * arena.c: memory that is freed together: the rows of a result, the keys of a request.
 */
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define ARENA_CHUNK 8192

struct ArenaChunk
{
	ArenaChunk *next;
	size_t used;
	size_t size;
	uint64_t data[];
};

void *arena_alloc(Arena *a, size_t n)
{
	size_t need = (n + 7) & ~(size_t) 7;
	ArenaChunk *ch = a->chunks;

	if (need < n)
		return NULL;
	if (ch == NULL || ch->size - ch->used < need)
	{
		size_t size = need > ARENA_CHUNK ? need : ARENA_CHUNK;

		/* grow with what is there, so that a large result is a few large chunks */
		if (ch != NULL && need <= ARENA_CHUNK && ch->size < (1u << 20))
			size = ch->size * 2 > size ? ch->size * 2 : size;
		ch = malloc(sizeof(*ch) + size);
		if (ch == NULL)
			return NULL;
		ch->used = 0;
		ch->size = size;
		ch->next = a->chunks;
		a->chunks = ch;
	}
	void *p = (uint8_t *) ch->data + ch->used;

	ch->used += need;
	memset(p, 0, need);
	return p;
}

bool arena_copy(Arena *a, DorisBytes from, DorisBytes *to)
{
	uint8_t *p = arena_alloc(a, from.len + 1);

	if (p == NULL)
		return false;
	if (from.len > 0)
		memcpy(p, from.data, from.len);
	to->data = p;
	to->len = from.len;
	return true;
}

void arena_free(Arena *a)
{
	while (a->chunks != NULL)
	{
		ArenaChunk *ch = a->chunks;

		a->chunks = ch->next;
		free(ch);
	}
}
