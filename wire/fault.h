/*
 * fault.h: named places where a test can stop, hold, delay or kill a process at an exact step, or drop a message.
 *
 * Only in builds with -DDORIS_FAULT_POINTS (make faults); nothing is left of them in others. Environment DORIS_FAULT:
 * "PLACE=ACTION", several with commas; or "@FILE": the same, a line each, read anew at each hit, so that a test can change
 * it while the process runs. PLACE is a name, or name@which, and may end in "#n": only at its nth hit.
 *
 *   kill        SIGKILL to oneself
 *   stop        SIGSTOP to oneself, once
 *   sleep:MS
 *   hold:FILE   until that file is there, at most 60 s
 *   drop        a place that can leave something out (FAULT_DROPS) does
 *
 * What is done is told on stderr.
 */
#ifndef DORIS_FAULT_H
#define DORIS_FAULT_H

#include <stdbool.h>

#ifdef DORIS_FAULT_POINTS
/* `which` tells apart what passes the place: a type of message, a node; or NULL. True: drop it. Any thread. */
extern bool fault_hit(const char *name, const char *which);
#define FAULT_POINT(name) ((void) fault_hit(name, NULL))
#define FAULT_HOLD(name, which) ((void) fault_hit(name, which))
#define FAULT_DROPS(name, which) fault_hit(name, which)
#else
#define FAULT_POINT(name) ((void) 0)
#define FAULT_HOLD(name, which) ((void) 0)
#define FAULT_DROPS(name, which) false
#endif

#endif
