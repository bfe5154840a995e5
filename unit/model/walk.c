/*
 * walk.c: random walks, each from its own seed, and the shortening of a schedule that breaks a property.
 *
 * Each walk draws how much it likes each kind of step, some not at all: so that walks differ more than fair ones
 * would. Every few walks, when no more faults come, the cluster has to come to rest.
 */
#include <stdlib.h>
#include <string.h>

#include "explore.h"

#define REST_EVERY 4 /* walks */
#define REST_STEPS 4000
#define REST_TRIES 6

bool rest_checked = true;

static uint64_t next_random(uint64_t *x)
{
	uint64_t z = (*x += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static void draw_weights(uint64_t *x, uint8_t weight[NSTEPS])
{
	static const uint8_t choice[] = {0, 1, 1, 2, 4, 8, 16, 16};
	int i;

	for (i = 0; i < NSTEPS; i++)
		weight[i] = choice[next_random(x) % sizeof(choice)];
}

/* -1: none that this walk likes. */
static int pick(uint64_t *x, const StepList *l, const uint8_t weight[NSTEPS])
{
	uint32_t sum = 0;
	uint32_t at;
	int i;

	for (i = 0; i < l->n; i++)
		sum += weight[l->step[i].kind];
	if (sum == 0)
		return -1;
	at = (uint32_t) (next_random(x) % sum);
	for (i = 0; i < l->n; i++)
	{
		if (at < weight[l->step[i].kind])
			return i;
		at -= weight[l->step[i].kind];
	}
	return -1;
}

static bool is_at_rest(const State *s)
{
	int n;
	int v;

	if (s->leader.changing)
		return false;
	for (n = 0; n < NDATA; n++)
	{
		if (s->node[n].cold || s->node[n].epoch != s->newest || s->node[n].admitted != 0)
			return false;
		for (v = 0; v < NVNODES; v++)
		{
			Place p = place_now(s, v, n);

			if ((p != PLACE_NONE && p != PLACE_COMPLETE) || node_staged(s, n, v) != 0)
				return false;
		}
	}
	return true;
}

/* No more faults, no new work: it has to come to rest, with equal copies. False: a property is broken. */
bool run_to_rest(State *s, uint64_t seed, StepHook hook, uint64_t *steps)
{
	StepList l;
	State before;
	int i;

	violation = NULL;
	memset(&s->reader, 0, sizeof(s->reader));
	memset(&s->closer, 0, sizeof(s->closer));
	for (i = 0; i < REST_STEPS && violation == NULL && !is_at_rest(s); i++)
	{
		Step x;

		model_steps(s, &l, true);
		if (l.n == 0)
			break;
		x = l.step[next_random(&seed) % (uint64_t) l.n];
		if (hook != NULL)
			memcpy(&before, s, sizeof(before));
		model_do(s, x);
		if (hook != NULL)
			hook(&before, s, x);
	}
	*steps += (uint64_t) i;
	if (violation == NULL && rest_checked)
		check_rest(s);
	return violation == NULL;
}

static void trace_keep(Trace *t, const Step *step, int n)
{
	t->step = malloc(((size_t) n + 1) * sizeof(Step));
	if (t->step == NULL)
		abort();
	memcpy(t->step, step, (size_t) n * sizeof(Step));
	t->n = n;
	t->violation = violation;
}

void random_walk(uint64_t seed, Found *out)
{
	uint64_t x = seed;
	uint8_t weight[NSTEPS];
	Step done[256];
	StepList l;
	State s;
	int n = 0;

	violation = NULL;
	state_init(&s);
	draw_weights(&x, weight);
	while (n < scene->length && n < 256 && violation == NULL)
	{
		int k;

		model_steps(&s, &l, false);
		k = pick(&x, &l, weight);
		if (k < 0)
			break;
		done[n++] = l.step[k];
		model_do(&s, l.step[k]);
	}
	out->steps += (uint64_t) n;
	if (violation == NULL && seed % REST_EVERY == 0 && !run_to_rest(&s, seed, NULL, &out->steps))
		out->trace.rest_seed = seed;
	if (violation != NULL)
	{
		out->broken = true;
		out->seed = seed;
		trace_keep(&out->trace, done, n);
	}
}

void random_walks(uint64_t seed, uint64_t max_steps, Found *out)
{
	uint64_t x = seed;

	memset(out, 0, sizeof(*out));
	while (out->steps < max_steps && !out->broken)
	{
		random_walk(next_random(&x), out);
		out->walks++;
	}
}

/* ---- shortening ---- */
static bool is_possible(const State *s, Step x)
{
	StepList l;
	int i;

	model_steps(s, &l, false);
	for (i = 0; i < l.n; i++)
		if (memcmp(&l.step[i], &x, sizeof(x)) == 0)
			return true;
	return false;
}

/* Some way to rest, of a few, on which a property breaks? */
static bool rest_breaks(const State *s, uint64_t seed, Trace *out)
{
	uint64_t tries[REST_TRIES];
	uint64_t ignored = 0;
	int i;

	for (i = 0; i < REST_TRIES; i++)
	{
		State rest;

		tries[i] = i == 0 ? seed : (uint64_t) i;
		memcpy(&rest, s, sizeof(rest));
		out->rest_seed = tries[i];
		if (!run_to_rest(&rest, tries[i], NULL, &ignored))
			return true;
	}
	return false;
}

/* Does the schedule without steps from..to-1 break a property still? What is not possible any more is left out too. */
static bool breaks(const Trace *t, int from, int to, Trace *out)
{
	State s;
	int i;

	state_init(&s);
	violation = NULL;
	out->n = 0;
	out->rest_seed = 0;
	for (i = 0; i < t->n && violation == NULL; i++)
	{
		if ((i >= from && i < to) || !is_possible(&s, t->step[i]))
			continue;
		out->step[out->n++] = t->step[i];
		model_do(&s, t->step[i]);
	}
	if (violation == NULL && (t->rest_seed == 0 || !rest_breaks(&s, t->rest_seed, out)))
		return false;
	out->violation = violation;
	return true;
}

void trace_shrink(Trace *t)
{
	Trace less = {.step = malloc(((size_t) t->n + 1) * sizeof(Step))};
	bool again = true;
	int size;
	int i;

	if (less.step == NULL)
		abort();
	while (again)
	{
		again = false;
		for (size = t->n / 2; size >= 1; size = size > 1 ? size / 2 : 0)
			for (i = 0; i < t->n; i++)
				while (i < t->n && breaks(t, i, i + size, &less))
				{
					memcpy(t->step, less.step, (size_t) less.n * sizeof(Step));
					t->n = less.n;
					t->violation = less.violation;
					t->rest_seed = less.rest_seed;
					again = true;
				}
	}
	free(less.step);
}

void trace_free(Trace *t)
{
	free(t->step);
	t->step = NULL;
}
