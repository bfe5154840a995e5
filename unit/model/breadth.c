/*
 * breadth.c: explores all states of a scenario, breadth first: the first violation is reached by the fewest steps.
 *
 * Kept of each state: its 64-bit fingerprint (two states with one fingerprint would be taken for the same), its
 * parent and the step from there. Whole states are kept for the two levels at hand only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explore.h"

typedef struct Edge
{
	uint32_t parent;
	Step step;
} Edge;

typedef struct Level
{
	State *state;
	uint32_t *number;
	size_t n, room;
} Level;

typedef struct Seen
{
	uint64_t *slot; /* 0: free */
	size_t size, used;
} Seen;

static void *must(void *p)
{
	if (p == NULL)
	{
		fprintf(stderr, "model: out of memory\n");
		exit(2);
	}
	return p;
}

static uint64_t fingerprint(const State *s)
{
	const unsigned char *p = (const unsigned char *) s;
	size_t left = sizeof(*s);
	uint64_t h = 0x9e3779b97f4a7c15u;

	while (left > 0)
	{
		uint64_t word = 0;
		size_t k = left < 8 ? left : 8;

		memcpy(&word, p, k);
		h = (h ^ word) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
		p += k;
		left -= k;
	}
	h *= 0xc4ceb9fe1a85ec53u;
	h ^= h >> 29;
	return h != 0 ? h : 1;
}

static bool seen_add(Seen *seen, uint64_t h);

static void seen_grow(Seen *seen)
{
	Seen old = *seen;
	size_t i;

	seen->size = old.size == 0 ? 1u << 16 : old.size * 2;
	seen->slot = must(calloc(seen->size, sizeof(uint64_t)));
	seen->used = 0;
	for (i = 0; i < old.size; i++)
		if (old.slot[i] != 0)
			(void) seen_add(seen, old.slot[i]);
	free(old.slot);
}

/* False: it was there. */
static bool seen_add(Seen *seen, uint64_t h)
{
	size_t i;

	if (seen->used * 2 >= seen->size)
		seen_grow(seen);
	for (i = h & (seen->size - 1); seen->slot[i] != 0; i = (i + 1) & (seen->size - 1))
		if (seen->slot[i] == h)
			return false;
	seen->slot[i] = h;
	seen->used++;
	return true;
}

static void level_add(Level *l, const State *s, uint32_t number)
{
	if (l->n == l->room)
	{
		l->room = l->room == 0 ? 1024 : l->room * 2;
		l->state = must(realloc(l->state, l->room * sizeof(State)));
		l->number = must(realloc(l->number, l->room * sizeof(uint32_t)));
	}
	memcpy(&l->state[l->n], s, sizeof(*s));
	l->number[l->n++] = number;
}

static void trace_from(const Edge *edges, uint32_t at, Trace *out)
{
	uint32_t i;
	int n = 0;

	for (i = at; i != 0; i = edges[i].parent)
		n++;
	out->step = must(calloc((size_t) n + 1, sizeof(Step)));
	out->n = n;
	for (i = at; i != 0; i = edges[i].parent)
		out->step[--n] = edges[i].step;
}

void breadth_first(uint64_t max_states, Found *out)
{
	Level now = {0};
	Level next = {0};
	Seen seen = {0};
	Edge *edges = must(malloc((max_states + 1024) * sizeof(Edge)));
	uint32_t nedges = 1;
	StepList l;
	State s;

	memset(out, 0, sizeof(*out));
	edges[0] = (Edge){0};
	state_init(&s);
	(void) seen_add(&seen, fingerprint(&s));
	level_add(&now, &s, 0);
	while (now.n > 0 && !out->broken && nedges < max_states)
	{
		size_t i;

		for (i = 0; i < now.n && !out->broken && nedges < max_states; i++)
		{
			int k;

			model_steps(&now.state[i], &l, false);
			for (k = 0; k < l.n && !out->broken; k++)
			{
				memcpy(&s, &now.state[i], sizeof(s));
				violation = NULL;
				model_do(&s, l.step[k]);
				out->steps++;
				if (!seen_add(&seen, fingerprint(&s)) && violation == NULL)
					continue;
				edges[nedges] = (Edge){now.number[i], l.step[k]};
				if (violation != NULL)
				{
					out->broken = true;
					trace_from(edges, nedges, &out->trace);
					out->trace.violation = violation;
				}
				level_add(&next, &s, nedges++);
			}
		}
		out->depth++;
		free(now.state);
		free(now.number);
		now = next;
		memset(&next, 0, sizeof(next));
	}
	out->complete = now.n == 0 && !out->broken;
	out->states = nedges;
	free(now.state);
	free(now.number);
	free(seen.slot);
	free(edges);
}
