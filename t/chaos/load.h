/*
 * load.h: the parts of the fault suite's load: sessions (session.c), what they do (work.c), figures (figures.c), the
 * checks at the end (check.c). load.c takes the commands.
 */
#ifndef CHAOS_LOAD_H
#define CHAOS_LOAD_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "history.h"

#define KEYS_PER_WRITER 100000
#define MAX_WRITERS 16
#define MAX_SESSIONS 64
#define COUNTERS 40
#define ACCOUNTS 200
#define OPENING 1000 /* each account's sum at the start */
#define TRANSFERS_PER_WRITER 100000

typedef struct Transfer
{
	uint8_t state; /* WriteState */
	uint16_t from;
	uint16_t to;
	uint8_t amount;
} Transfer;

/* A counter only grows, by one with each acknowledged increment. */
typedef struct Counter
{
	uint32_t done;
	uint32_t begun; /* not yet answered, or unknown */
	uint32_t floor; /* the highest value acknowledged or read */
} Counter;

typedef struct Load
{
	const char *conninfo;
	unsigned seed;
	int writers;
	int readers;
	int pace_us;   /* pause between two statements of a session, on average */
	int row_bytes; /* of each row's filler */
	int keys;	   /* of each writer and table, at most */
	bool stop;	   /* sessions end; read and written atomically */

	History *rows;	 /* chaos_k, written by transactions: key = writer * KEYS_PER_WRITER + i */
	History *direct; /* chaos_d, plain writes */
	uint32_t nrows[MAX_WRITERS];
	uint32_t ndirect[MAX_WRITERS];
	Counter counters[COUNTERS];
	Transfer *transfers[MAX_WRITERS];
	uint32_t ntransfers[MAX_WRITERS];
} Load;

extern Load load;

/* ---- figures.c: all thread-safe ---- */
extern double now_s(void);
extern void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Something that must never happen; counted. */
extern void violation(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern int violations(void);
extern void figures_statement(bool writes, double seconds, const char *what);
extern void figures_failure(const char *what, const char *state, bool expected,
							const char *message);
/* Ends the present window with a line of its figures, begins another. */
extern void figures_window(const char *next);

/* ---- session.c ---- */
typedef struct Session
{
	PGconn *conn;
	int id;
	int read_group;
	uint64_t random;
} Session;

typedef struct Answer
{
	PGresult *result; /* NULL when the connection was lost */
	char state[8];	  /* SQLSTATE, "" when it worked, "lost", "hang" */
	char message[400];
	int affected; /* rows, by the command's tag */
} Answer;

extern void session_open(Session *s, int id, int read_group);
extern void session_close(Session *s);
extern uint32_t session_random(Session *s, uint32_t below);
/* Runs a statement and measures it. Free with answer_free. A lost connection is opened again (what was set is set). */
extern void session_run(Session *s, Answer *a, bool writes, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
extern void answer_free(Answer *a);
extern bool answer_ok(const Answer *a);
/* What a failed statement that could have committed leaves: WRITE_UNKNOWN or WRITE_REFUSED. */
extern WriteState answer_outcome(const Answer *a);
/* Waits until every statement under way now has ended. */
extern void sessions_settle(void);
/* Terminates the backend of a session chosen at random. */
extern void session_terminate_one(unsigned random);

/* ---- work.c ---- */
extern void *writer_main(void *arg); /* arg: the number of the writer, intptr_t */
extern void *reader_main(void *arg);
/* What a row of number n holds beside it: tells torn and foreign rows. */
extern void filler(char *to, size_t size, uint32_t key, uint32_t number);
/* Reads all rows of a table and judges them against the floors that stood before. False: could not be read. */
extern bool scan_rows(Session *s, History *h, const char *table, bool must_work);
extern void write_row(Session *s, History *h, const char *table, uint32_t key);
extern bool read_row(Session *s, History *h, const char *table, uint32_t key);

/* ---- check.c ---- */
extern void check_all(int groups);

#endif
