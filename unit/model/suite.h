/*
 * suite.h: what a whole run explores, and running its jobs side by side.
 */
#ifndef MODEL_SUITE_H
#define MODEL_SUITE_H

#include <stdbool.h>
#include <stdint.h>

#include "explore.h"

#define DEFAULT_SEED 1

typedef struct Options
{
	uint64_t seed;
	uint64_t steps; /* of random walks, for each scenario; 0: the suite's own */
	uint64_t
		states; /* breadth first, at most; 0: random walks unless the scenario says otherwise */
	uint64_t replay; /* the one walk of this seed */
	int jobs;
	bool quiet; /* no schedules of counterexamples that were expected */
} Options;

/* One scenario with the rules that are on. True: went as expected. */
extern bool explore(const Options *o, bool expect_broken, uint64_t steps);
extern bool suite_run(const Options *o);

#endif
