/*
 * session.c: a database session of the load: runs statements with a limit of its own, measures them, opens a lost
 * connection again.
 *
 * Assumption: the server in front stays up; what fails is behind it.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "load.h"

#define HANG_S \
	100 /* longer than several deadlines of the foreign data wrapper: nothing may take that long */
#define CONNECT_S 60

static pthread_mutex_t backends_lock = PTHREAD_MUTEX_INITIALIZER;
static int backends[MAX_SESSIONS];
static double began_at[MAX_SESSIONS]; /* of the statement under way, 0: none */

static void note_backend(const Session *s, int pid)
{
	pthread_mutex_lock(&backends_lock);
	if (s->id >= 0 && s->id < MAX_SESSIONS)
		backends[s->id] = pid;
	pthread_mutex_unlock(&backends_lock);
}

static void note_statement(const Session *s, double began)
{
	pthread_mutex_lock(&backends_lock);
	if (s->id >= 0 && s->id < MAX_SESSIONS)
		began_at[s->id] = began;
	pthread_mutex_unlock(&backends_lock);
}

void sessions_settle(void)
{
	double now = now_s();
	struct timespec pause = {0, 2 * 1000 * 1000};
	bool open = true;

	while (open)
	{
		int i;

		open = false;
		pthread_mutex_lock(&backends_lock);
		for (i = 0; i < MAX_SESSIONS; i++)
			open |= began_at[i] > 0 && began_at[i] < now;
		pthread_mutex_unlock(&backends_lock);
		if (open)
			nanosleep(&pause, NULL);
	}
}

void session_terminate_one(unsigned random)
{
	int i;

	pthread_mutex_lock(&backends_lock);
	for (i = 0; i < MAX_SESSIONS; i++)
	{
		int pid = backends[(random + (unsigned) i) % MAX_SESSIONS];

		if (pid > 0)
		{
			if (kill(pid, SIGTERM) != 0 && errno != ESRCH)
				say("cannot terminate backend %d: %s", pid, strerror(errno));
			break;
		}
	}
	pthread_mutex_unlock(&backends_lock);
}

static void no_notice(void *arg, const char *message)
{
	(void) arg;
	(void) message;
}

static void connect_session(Session *s)
{
	double until = now_s() + CONNECT_S;

	for (;;)
	{
		struct timespec pause = {0, 50 * 1000 * 1000};

		s->conn = PQconnectdb(load.conninfo);
		if (PQstatus(s->conn) == CONNECTION_OK)
		{
			char set[100];
			PGresult *r;
			bool good;

			snprintf(set, sizeof(set), "SET doris_fdw.read_group = %d", s->read_group);
			r = PQexec(s->conn, set);
			good = PQresultStatus(r) == PGRES_COMMAND_OK;
			(void) PQsetNoticeProcessor(s->conn, no_notice, NULL);
			PQclear(r);
			if (good)
			{
				note_backend(s, PQbackendPID(s->conn));
				return;
			}
		}
		if (now_s() > until)
		{
			fprintf(stderr, "chaos load: cannot connect: %s\n", PQerrorMessage(s->conn));
			exit(2);
		}
		PQfinish(s->conn);
		nanosleep(&pause, NULL);
	}
}

void session_open(Session *s, int id, int read_group)
{
	memset(s, 0, sizeof(*s));
	s->id = id;
	s->read_group = read_group;
	s->random = ((uint64_t) load.seed << 20) + (uint64_t) id * 7919 + 12345;
	connect_session(s);
}

void session_close(Session *s)
{
	note_backend(s, 0);
	PQfinish(s->conn);
	s->conn = NULL;
}

uint32_t session_random(Session *s, uint32_t below)
{
	uint64_t z = s->random += 0x9E3779B97F4A7C15ULL;

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
	return (uint32_t) ((z ^ (z >> 31)) % below);
}

/* The last result of the statement sent; NULL: the connection is lost, or (*hung) it takes too long. */
static PGresult *collect(Session *s, double until, bool *hung)
{
	PGresult *last = NULL;

	*hung = false;
	for (;;)
	{
		PGresult *r;

		while (PQisBusy(s->conn))
		{
			struct pollfd fd = {.fd = PQsocket(s->conn), .events = POLLIN};
			int left = (int) ((until - now_s()) * 1000);

			if (left <= 0)
				*hung = true;
			else if (poll(&fd, 1, left) == 0)
				continue;
			if (*hung || !PQconsumeInput(s->conn))
			{
				PQclear(last);
				return NULL;
			}
		}
		r = PQgetResult(s->conn);
		if (r == NULL)
			return last;
		if (last != NULL && PQresultStatus(last) == PGRES_FATAL_ERROR)
			PQclear(r); /* the first error tells */
		else
		{
			PQclear(last);
			last = r;
		}
	}
}

/* The statement without its long values, for messages. */
static void shorten(char *to, size_t size, const char *statement)
{
	snprintf(to, size, "%.70s", statement);
	to[strcspn(to, "\n")] = '\0';
}

void session_run(Session *s, Answer *a, bool writes, const char *format, ...)
{
	char statement[4000];
	char what[80];
	va_list args;
	double began;
	bool hung = false;

	va_start(args, format);
	vsnprintf(statement, sizeof(statement), format, args);
	va_end(args);
	shorten(what, sizeof(what), statement);
	memset(a, 0, sizeof(*a));
	began = now_s();
	note_statement(s, began);
	if (PQsendQuery(s->conn, statement))
		a->result = collect(s, began + HANG_S, &hung);
	figures_statement(writes, now_s() - began, what);
	note_statement(s, 0);
	if (a->result != NULL)
	{
		ExecStatusType status = PQresultStatus(a->result);
		const char *tag = PQcmdTuples(a->result);

		a->affected = tag[0] != '\0' ? atoi(tag) : 0;
		if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		{
			const char *state = PQresultErrorField(a->result, PG_DIAG_SQLSTATE);
			const char *message = PQresultErrorField(a->result, PG_DIAG_MESSAGE_PRIMARY);
			const char *hint = PQresultErrorField(a->result, PG_DIAG_MESSAGE_HINT);

			snprintf(a->state, sizeof(a->state), "%s", state != NULL ? state : "lost");
			snprintf(a->message, sizeof(a->message), "%s%s%s",
					 message != NULL ? message : PQerrorMessage(s->conn), hint != NULL ? " | " : "",
					 hint != NULL ? hint : "");
		}
	}
	else
	{
		snprintf(a->state, sizeof(a->state), "%s", hung ? "hang" : "lost");
		snprintf(a->message, sizeof(a->message), "%s",
				 hung ? "no answer" : PQerrorMessage(s->conn));
		if (hung)
			violation("hang: no answer after %d s: %s", HANG_S, what);
	}
	a->message[strcspn(a->message, "\n")] = '\0';
	if (a->result == NULL || PQstatus(s->conn) != CONNECTION_OK)
	{
		note_backend(s, 0);
		PQfinish(s->conn);
		connect_session(s);
	}
}

void answer_free(Answer *a)
{
	PQclear(a->result);
	a->result = NULL;
}

bool answer_ok(const Answer *a)
{
	return a->state[0] == '\0';
}

WriteState answer_outcome(const Answer *a)
{
	static const char *const unknown[] = {"08007", "57P01", "lost", "hang"};
	size_t i;

	if (answer_ok(a))
		return WRITE_DONE;
	for (i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
	{
		if (strcmp(a->state, unknown[i]) == 0)
			return WRITE_UNKNOWN;
	}
	return WRITE_REFUSED;
}
