/*
 * fault.c: named fault points, only in builds with -DDORIS_FAULT_POINTS.
 *
 * DORIS_FAULT, and the file that it may name, are read at each hit. These builds are for tests: what is wrong with an
 * entry is told on stderr, and the process goes on.
 */
#include "fault.h"

#ifdef DORIS_FAULT_POINTS

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HOLD_MAX_MS 60000
#define HOLD_LOOK_MS 5
#define MAX_ENTRY 256
#define MAX_COUNTED 128
#define MAX_ACTIONS 4

static void tell(const char *place, const char *what)
{
	fprintf(stderr, "fault point %s: %s\n", place, what);
}

/* The line in the process's log is what proves that it came to the place. */
static void fault_signal(const char *place, int signal)
{
	tell(place, signal == SIGKILL ? "killed" : "stopped");
	(void) kill(getpid(), signal);
}

static void fault_sleep(long ms)
{
	struct timespec pause = {ms / 1000, ms % 1000 * 1000000};

	while (nanosleep(&pause, &pause) != 0)
		;
}

static void fault_hold(const char *place, const char *path)
{
	long waited = 0;

	tell(place, "held");
	while (access(path, F_OK) != 0 && waited < HOLD_MAX_MS)
	{
		fault_sleep(HOLD_LOOK_MS);
		waited += HOLD_LOOK_MS;
	}
	tell(place, waited < HOLD_MAX_MS ? "released" : "held for too long, going on");
}

/* True: drop. */
static bool fault_act(const char *place, const char *action)
{
	static atomic_flag stopped = ATOMIC_FLAG_INIT;

	if (strcmp(action, "kill") == 0)
		fault_signal(place, SIGKILL);
	else if (strcmp(action, "stop") == 0)
	{
		/* Once: whoever is continued goes on. */
		if (!atomic_flag_test_and_set(&stopped))
			fault_signal(place, SIGSTOP);
	}
	else if (strncmp(action, "sleep:", 6) == 0)
		fault_sleep(strtol(action + 6, NULL, 10));
	else if (strncmp(action, "hold:", 5) == 0)
		fault_hold(place, action + 5);
	else if (strcmp(action, "drop") == 0)
	{
		tell(place, "dropped");
		return true;
	}
	else
		fprintf(stderr, "DORIS_FAULT: unknown action \"%s\"\n", action);
	return false;
}

/* How often a place was hit since this entry was first seen, this time included. */
static unsigned long count_hit(const char *entry)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct
	{
		char entry[MAX_ENTRY];
		unsigned long hits;
	} counted[MAX_COUNTED];
	unsigned long hits = 0;

	(void) pthread_mutex_lock(&lock);
	for (int i = 0; hits == 0 && i < MAX_COUNTED; i++)
	{
		if (counted[i].hits == 0)
			snprintf(counted[i].entry, sizeof(counted[i].entry), "%s", entry);
		if (strcmp(counted[i].entry, entry) == 0)
			hits = ++counted[i].hits;
	}
	(void) pthread_mutex_unlock(&lock);
	return hits;
}

/* The action of "PLACE=ACTION" or "PLACE#n=ACTION", if it is this place, and its turn; or NULL. */
static const char *entry_action(const char *entry, const char *place)
{
	size_t len = strlen(place);
	const char *action = strchr(entry, '=');

	if (action == NULL || strncmp(entry, place, len) != 0)
		return NULL;
	if (entry[len] == '#')
		return count_hit(entry) == strtoul(entry + len + 1, NULL, 10) ? action + 1 : NULL;
	return entry + len == action ? action + 1 : NULL;
}

static size_t read_file(const char *path, char *out, size_t size)
{
	FILE *f = fopen(path, "r");
	size_t n = f != NULL ? fread(out, 1, size - 1, f) : 0;

	if (f != NULL)
		(void) fclose(f);
	out[n] = '\0';
	return n;
}

bool fault_hit(const char *name, const char *which)
{
	const char *p = getenv("DORIS_FAULT");
	char place[128];
	char text[4096];
	char todo[MAX_ACTIONS][MAX_ENTRY];
	int ntodo = 0;
	bool drop = false;

	if (p == NULL)
		return false;
	snprintf(place, sizeof(place), "%s%s%s", name, which != NULL ? "@" : "",
			 which != NULL ? which : "");
	if (*p == '@')
	{
		if (read_file(p + 1, text, sizeof(text)) == 0)
			return false;
		p = text;
	}
	/* all are counted before one is held */
	while (*p != '\0')
	{
		size_t len = strcspn(p, ",\n");
		char entry[MAX_ENTRY];
		const char *action;

		if (len < sizeof(entry))
		{
			memcpy(entry, p, len);
			entry[len] = '\0';
			action = entry_action(entry, place);
			if (action != NULL && ntodo < MAX_ACTIONS)
				snprintf(todo[ntodo++], MAX_ENTRY, "%s", action);
		}
		p += len;
		if (*p != '\0')
			p++;
	}
	for (int i = 0; i < ntodo; i++)
		drop |= fault_act(place, todo[i]);
	return drop;
}

#else

typedef int FaultPointsAreCompiledOut; /* ISO C wants a declaration in every file */

#endif
