/*
 * fault.h: named places where a test can stop, delay or kill a process at an exact step.
 *
 * Only in builds with -DDORIS_FAULT_POINTS (make faults); nothing is left of them in others.
 * Environment DORIS_FAULT: "name=kill" (SIGKILL to oneself), "name=sleep:MS", "name=stop" (SIGSTOP, once); several with commas.
 * Who is killed or stopped says so on stderr before.
 */
#ifndef DORIS_FAULT_H
#define DORIS_FAULT_H

#ifdef DORIS_FAULT_POINTS
extern void fault_hit(const char *name);
#define FAULT_POINT(name) fault_hit(name)
#else
#define FAULT_POINT(name) ((void) 0)
#endif

#endif
