/*
 * explore.h: looking for a schedule that breaks a property of the scene with the rules that are on.
 */
#ifndef MODEL_EXPLORE_H
#define MODEL_EXPLORE_H

#include "model.h"

typedef struct Trace
{
	int n;
	Step *step;
	const char *violation;
	uint64_t rest_seed; /* the way to rest that breaks it; 0: broken before */
} Trace;

typedef void (*StepHook)(const State *before, const State *after, Step x);

typedef struct Found
{
	bool broken;
	bool complete; /* breadth first came to its end */
	uint64_t states;
	uint64_t steps;
	uint64_t walks;
	uint64_t seed; /* of the walk that broke it */
	int depth;
	Trace trace;
} Found;

extern void breadth_first(uint64_t max_states, Found *out);
extern void random_walks(uint64_t seed, uint64_t max_steps, Found *out);
extern void random_walk(uint64_t seed, Found *out); /* the one walk of this seed */
extern bool run_to_rest(State *s, uint64_t seed, StepHook hook, uint64_t *steps);
extern void trace_shrink(Trace *t);
extern void trace_free(Trace *t);

#endif
