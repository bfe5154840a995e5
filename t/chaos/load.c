/*
 * load.c: the load of the fault suite: concurrent writers and readers over SQL, the history of what they were told, and the
 * checker. tools/chaos starts it and gives it commands, one a line; it answers in lines that begin with the time.
 *
 *	window NAME		ends the present window (a line with its figures), begins another
 *	terminate N		terminates a backend of a session, by the random number N
 *	stop			ends all sessions, when each has finished what it does: "stopped"
 *	check GROUPS	after stop, in a healthy cluster: "checked violations=N"
 *	quit			(or end of file)
 */
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

Load load = {.writers = 4, .readers = 4, .pace_us = 4000, .row_bytes = 100, .keys = 3000};

static pthread_t threads[2 * MAX_WRITERS];
static bool running;

static void must_run(Session *s, const char *statement)
{
	Answer a;

	session_run(s, &a, true, "%s", statement);
	if (!answer_ok(&a))
	{
		fprintf(stderr, "chaos load: %s: %s %s\n", statement, a.state, a.message);
		exit(2);
	}
	answer_free(&a);
}

static void make_tables(void)
{
	char text[300];
	Session s;

	session_open(&s, -1, 0);
	must_run(&s, "CREATE FOREIGN TABLE chaos_k (id bigint, v int, w text) SERVER doris "
				 "OPTIONS (key 'id')");
	must_run(&s, "CREATE FOREIGN TABLE chaos_d (id bigint, v int, w text) SERVER doris "
				 "OPTIONS (key 'id', write_mode 'direct')");
	must_run(&s, "CREATE FOREIGN TABLE chaos_c (id int, n bigint) SERVER doris OPTIONS (key 'id')");
	must_run(&s, "CREATE FOREIGN TABLE chaos_a (id int, n bigint) SERVER doris OPTIONS (key 'id')");
	must_run(&s, "CREATE FOREIGN TABLE chaos_l (id bigint, a int, b int, n int) SERVER doris "
				 "OPTIONS (key 'id')");
	snprintf(text, sizeof(text), "INSERT INTO chaos_c SELECT g, 0 FROM generate_series(0, %d) g",
			 COUNTERS - 1);
	must_run(&s, text);
	snprintf(text, sizeof(text), "INSERT INTO chaos_a SELECT g, %d FROM generate_series(0, %d) g",
			 OPENING, ACCOUNTS - 1);
	must_run(&s, text);
	session_close(&s);
}

static void start_sessions(void)
{
	int i;

	for (i = 0; i < load.writers + load.readers; i++)
	{
		bool writes = i < load.writers;
		int number = writes ? i : i - load.writers;

		if (pthread_create(&threads[i], NULL, writes ? writer_main : reader_main,
						   (void *) (intptr_t) number) != 0)
		{
			fprintf(stderr, "chaos load: cannot start a thread\n");
			exit(2);
		}
	}
	running = true;
}

static void stop_sessions(void)
{
	int i;

	if (!running)
		return;
	__atomic_store_n(&load.stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < load.writers + load.readers; i++)
		pthread_join(threads[i], NULL);
	running = false;
}

static void say_totals(void)
{
	unsigned long counts[4] = {0};
	unsigned long increments = 0;
	unsigned long rows = 0;
	int writer;
	int i;

	for (writer = 0; writer < load.writers; writer++)
	{
		uint32_t n;

		rows += load.nrows[writer] + load.ndirect[writer];
		for (n = 0; n < load.ntransfers[writer]; n++)
			counts[load.transfers[writer][n].state]++;
	}
	for (i = 0; i < COUNTERS; i++)
		increments += load.counters[i].done;
	say("note keys=%lu increments=%lu transfers: done=%lu refused=%lu unknown=%lu", rows,
		increments, counts[WRITE_DONE], counts[WRITE_REFUSED], counts[WRITE_UNKNOWN]);
}

static void take_commands(void)
{
	char line[200];

	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "window ", 7) == 0)
		{
			/* a statement that a fault has made wait counts for it, not for what comes after */
			sessions_settle();
			figures_window(line + 7);
		}
		else if (strncmp(line, "terminate ", 10) == 0)
			session_terminate_one((unsigned) strtoul(line + 10, NULL, 10));
		else if (strcmp(line, "stop") == 0)
		{
			stop_sessions();
			say_totals();
			say("stopped");
		}
		else if (strncmp(line, "check ", 6) == 0)
		{
			check_all(atoi(line + 6));
			say("checked violations=%d", violations());
		}
		else if (strcmp(line, "quit") == 0)
			return;
		else
			say("unknown command: %s", line);
	}
}

static int number_of(const char *option, const char *value, int low, int high)
{
	char *end;
	long n = strtol(value, &end, 10);

	if (*value == '\0' || *end != '\0' || n < low || n > high)
	{
		fprintf(stderr, "chaos load: --%s must be a number from %d to %d\n", option, low, high);
		exit(2);
	}
	return (int) n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"conninfo", required_argument, NULL, 'd'}, {"seed", required_argument, NULL, 's'},
		{"writers", required_argument, NULL, 'w'},	{"readers", required_argument, NULL, 'r'},
		{"pace", required_argument, NULL, 'p'},		{"row-bytes", required_argument, NULL, 'b'},
		{"keys", required_argument, NULL, 'k'},		{NULL, 0, NULL, 0},
	};
	int c;
	int i;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		switch (c)
		{
			case 'd':
				load.conninfo = optarg;
				break;
			case 's':
				load.seed = (unsigned) strtoul(optarg, NULL, 10);
				break;
			case 'w':
				load.writers = number_of("writers", optarg, 1, MAX_WRITERS);
				break;
			case 'r':
				load.readers = number_of("readers", optarg, 0, MAX_WRITERS);
				break;
			case 'p':
				load.pace_us = number_of("pace", optarg, 0, 10000000);
				break;
			case 'b':
				load.row_bytes = number_of("row-bytes", optarg, 1, 1900);
				break;
			case 'k':
				load.keys = number_of("keys", optarg, 100, KEYS_PER_WRITER);
				break;
			default:
				return 2;
		}
	}
	if (load.conninfo == NULL || optind < argc)
	{
		fprintf(stderr, "usage: load --conninfo STRING [--seed N] [--writers N] [--readers N] "
						"[--pace MICROSECONDS] [--row-bytes N] [--keys N]\n");
		return 2;
	}
	load.rows = history_create((uint32_t) load.writers * KEYS_PER_WRITER, true);
	load.direct = history_create((uint32_t) load.writers * KEYS_PER_WRITER, false);
	for (i = 0; i < load.writers; i++)
	{
		load.transfers[i] = calloc(TRANSFERS_PER_WRITER, sizeof(Transfer));
		if (load.transfers[i] == NULL)
		{
			fprintf(stderr, "chaos load: out of memory\n");
			return 2;
		}
	}
	make_tables();
	figures_window("start");
	start_sessions();
	say("running");
	take_commands();
	stop_sessions();
	return violations() > 0;
}
