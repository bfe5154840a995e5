/*
 * fault.c: named fault points, only in builds with -DDORIS_FAULT_POINTS.
 *
 * The environment variable DORIS_FAULT is read at each hit, so that it costs nothing to set it late.
 */
#include "fault.h"

#ifdef DORIS_FAULT_POINTS

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The line in the process's log is what proves that it came to the place. */
static void fault_signal(const char *name, int signal)
{
	fprintf(stderr, "fault point %s: %s\n", name, signal == SIGKILL ? "killed" : "stopped");
	(void) kill(getpid(), signal);
}

static void fault_act(const char *name, const char *action, size_t len)
{
	static atomic_flag stopped = ATOMIC_FLAG_INIT;

	if (len == 4 && memcmp(action, "kill", 4) == 0)
		fault_signal(name, SIGKILL);
	else if (len == 4 && memcmp(action, "stop", 4) == 0)
	{
		/* Once: whoever is continued goes on. */
		if (!atomic_flag_test_and_set(&stopped))
			fault_signal(name, SIGSTOP);
	}
	else if (len > 6 && memcmp(action, "sleep:", 6) == 0)
	{
		long ms = strtol(action + 6, NULL, 10);
		struct timespec pause = {ms / 1000, ms % 1000 * 1000000};

		while (nanosleep(&pause, &pause) != 0)
			;
	}
	else
		fprintf(stderr, "DORIS_FAULT: unknown action \"%.*s\"\n", (int) len, action);
}

void fault_hit(const char *name)
{
	const char *p = getenv("DORIS_FAULT");
	size_t name_len = strlen(name);

	while (p != NULL && *p != '\0')
	{
		size_t len = strcspn(p, ",");

		if (len > name_len && strncmp(p, name, name_len) == 0 && p[name_len] == '=')
			fault_act(name, p + name_len + 1, len - name_len - 1);
		p += len;
		if (*p == ',')
			p++;
	}
}

#else

typedef int FaultPointsAreCompiledOut; /* ISO C wants a declaration in every file */

#endif
