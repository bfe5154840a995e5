/* work.c: what the sessions of the load do: writers with keys of their own, counters and accounts they share; readers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pthread.h>

#include "load.h"

#define NAP_NS_PER_US 1000L

static pthread_mutex_t counters_lock = PTHREAD_MUTEX_INITIALIZER;

static bool stopped(void)
{
	return __atomic_load_n(&load.stop, __ATOMIC_ACQUIRE);
}

static void pace(Session *s)
{
	uint32_t us = load.pace_us > 0 ? session_random(s, 2 * (uint32_t) load.pace_us) : 0;
	struct timespec t = {us / 1000000, (long) (us % 1000000) * NAP_NS_PER_US};

	if (us > 0)
		nanosleep(&t, NULL);
}

static bool is_state(const Answer *a, const char *state)
{
	return strcmp(a->state, state) == 0;
}

/* A failure that nobody but the suite itself has caused is a finding. */
static void note_failure(const Answer *a, const char *what, bool expected)
{
	if (!answer_ok(a))
		figures_failure(what, a->state,
						expected || is_state(a, "57P01") || is_state(a, "lost") ||
							is_state(a, "hang"),
						a->message);
}

void filler(char *to, size_t size, uint32_t key, uint32_t number)
{
	size_t n = 0;
	size_t want = (size_t) load.row_bytes < size ? (size_t) load.row_bytes : size - 1;

	while (n < want)
	{
		int more = snprintf(to + n, size - n, "%u.%u ", key, number);

		n += (size_t) more;
	}
	to[want] = '\0';
}

/* ---- rows ---- */

/* Judges a row found. Whoever calls has taken the floor before reading. */
static void judge_row(History *h, const char *table, uint32_t key, uint32_t floor, uint32_t number,
					  const char *w, const char *how)
{
	char why[160];
	char expect[2000];

	if (!history_judge(h, key, floor, number, why, sizeof(why)))
		violation("%s key %u by %s: %s", table, key, how, why);
	if (number == 0)
		return;
	filler(expect, sizeof(expect), key, number);
	if (strcmp(expect, w) != 0)
		violation("%s key %u by %s: number %u with another write's content: %.60s", table, key, how,
				  number, w);
}

/* Is there a row? */
bool read_row(Session *s, History *h, const char *table, uint32_t key)
{
	uint32_t floor = history_floor(h, key);
	Answer a;
	bool found = false;

	session_run(s, &a, false, "SELECT v, w FROM %s WHERE id = %u", table, key);
	if (answer_ok(&a))
	{
		char how[60];

		snprintf(how, sizeof(how), "point read of group %d", s->read_group);
		found = PQntuples(a.result) > 0;
		if (PQntuples(a.result) > 1)
			violation("%s key %u: %d rows", table, key, PQntuples(a.result));
		judge_row(h, table, key, floor, found ? (uint32_t) atoi(PQgetvalue(a.result, 0, 0)) : 0,
				  found ? PQgetvalue(a.result, 0, 1) : "", how);
	}
	else
		note_failure(&a, "SELECT of a row", false);
	answer_free(&a);
	return found;
}

static void judge_keys(Session *s, History *h, const char *table, const PGresult *r,
					   const uint32_t *floors, uint32_t low, uint32_t high)
{
	uint8_t *seen = calloc(high - low, 1);
	char how[60];
	uint32_t key;
	int i;

	if (seen == NULL)
		abort();
	snprintf(how, sizeof(how), "scan of group %d", s->read_group);
	for (i = 0; i < PQntuples(r); i++)
	{
		key = (uint32_t) strtoul(PQgetvalue(r, i, 0), NULL, 10);
		if (key < low || key >= high)
		{
			violation("%s: key %u, which was not asked for", table, key);
			continue;
		}
		if (seen[key - low]++)
			violation("%s key %u by %s: twice", table, key, how);
		judge_row(h, table, key, floors[key - low], (uint32_t) atoi(PQgetvalue(r, i, 1)),
				  PQgetvalue(r, i, 2), how);
	}
	for (key = low; key < high; key++)
	{
		if (!seen[key - low])
			judge_row(h, table, key, floors[key - low], 0, "", how);
	}
	free(seen);
}

static void read_range(Session *s, History *h, const char *table, uint32_t low, uint32_t high)
{
	uint32_t *floors = calloc(high - low, sizeof(*floors));
	uint32_t key;
	Answer a;

	if (floors == NULL)
		abort();
	for (key = low; key < high; key++)
		floors[key - low] = history_floor(h, key);
	session_run(s, &a, false, "SELECT id, v, w FROM %s WHERE id >= %u AND id < %u", table, low,
				high);
	if (answer_ok(&a))
		judge_keys(s, h, table, a.result, floors, low, high);
	else
		note_failure(&a, "SELECT of a range", false);
	answer_free(&a);
	free(floors);
}

bool scan_rows(Session *s, History *h, const char *table, bool must_work)
{
	uint32_t *floors = calloc(history_keys(h), sizeof(*floors));
	bool good;
	Answer a;

	if (floors == NULL)
		abort();
	history_floors(h, floors);
	session_run(s, &a, false, "SELECT id, v, w FROM %s", table);
	good = answer_ok(&a);
	if (good)
		judge_keys(s, h, table, a.result, floors, 0, history_keys(h));
	else
	{
		note_failure(&a, "SELECT of all", false);
		if (must_work)
			violation("%s cannot be read: %s %s", table, a.state, a.message);
	}
	answer_free(&a);
	free(floors);
	return good;
}

/* One write of a key of one's own: INSERT, UPDATE or DELETE as its row stands. */
void write_row(Session *s, History *h, const char *table, uint32_t key)
{
	bool certain;
	bool present = history_present(h, key, &certain);
	bool deletes;
	uint32_t number;
	char w[2000];
	char what[60];
	WriteState state;
	Answer a;

	if (!certain)
		present = read_row(s, h, table, key);
	deletes = present && session_random(s, 4) == 0;
	number = history_begin(h, key, deletes);
	filler(w, sizeof(w), key, number);
	if (deletes)
		session_run(s, &a, true, "DELETE FROM %s WHERE id = %u", table, key);
	else if (present)
		session_run(s, &a, true, "UPDATE %s SET v = %u, w = '%s' WHERE id = %u", table, number, w,
					key);
	else
		session_run(s, &a, true, "INSERT INTO %s (id, v, w) VALUES (%u, %u, '%s')", table, key,
					number, w);
	state = answer_outcome(&a);
	snprintf(what, sizeof(what), "%s %s key %u number %u",
			 deletes   ? "DELETE"
			 : present ? "UPDATE"
					   : "INSERT",
			 table, key, number);
	if (state == WRITE_DONE && a.affected == 0)
	{
		state = WRITE_REFUSED;
		if (certain)
			violation("lost: %s finds no row", what);
	}
	if (certain && is_state(&a, "23505"))
		violation("%s: there is a row, although there should be none: %s", what, a.message);
	history_end(h, key, number, state);
	/* an earlier write with unknown outcome may be in the way */
	note_failure(&a, what, !certain && (is_state(&a, "40001") || is_state(&a, "23505")));
	answer_free(&a);
}

static void write_some_row(Session *s, int writer, History *h, const char *table, uint32_t *nkeys)
{
	uint32_t first = (uint32_t) writer * KEYS_PER_WRITER;
	uint32_t n = *nkeys;

	if (n < (uint32_t) load.keys && (n < 10 || session_random(s, 3) == 0))
	{
		__atomic_store_n(nkeys, n + 1, __ATOMIC_RELEASE);
		write_row(s, h, table, first + n);
	}
	else
		write_row(s, h, table, first + session_random(s, n));
}

/* ---- counters ---- */

static void counter_end(int id, WriteState state)
{
	Counter *c = &load.counters[id];

	pthread_mutex_lock(&counters_lock);
	if (state != WRITE_UNKNOWN)
		c->begun--;
	if (state == WRITE_DONE)
	{
		c->done++;
		if (c->floor < c->done)
			c->floor = c->done;
	}
	pthread_mutex_unlock(&counters_lock);
}

static void counter_begin(int id)
{
	pthread_mutex_lock(&counters_lock);
	load.counters[id].begun++;
	pthread_mutex_unlock(&counters_lock);
}

static uint32_t counter_floor(int id)
{
	uint32_t floor;

	pthread_mutex_lock(&counters_lock);
	floor = load.counters[id].floor;
	pthread_mutex_unlock(&counters_lock);
	return floor;
}

static void counter_judge(int id, uint32_t floor, uint32_t n)
{
	Counter *c = &load.counters[id];
	uint32_t most;

	pthread_mutex_lock(&counters_lock);
	most = c->done + c->begun;
	if (n > c->floor)
		c->floor = n;
	pthread_mutex_unlock(&counters_lock);
	if (n < floor)
		violation("counter %d: %u, although %u stood before", id, n, floor);
	if (n > most)
		violation("counter %d: %u, although at most %u increments were begun", id, n, most);
}

static bool read_counter(Session *s, int id, uint32_t *n)
{
	uint32_t floor = counter_floor(id);
	Answer a;
	bool good = false;

	session_run(s, &a, false, "SELECT n FROM chaos_c WHERE id = %d", id);
	if (!answer_ok(&a))
		note_failure(&a, "SELECT of a counter", false);
	else if (PQntuples(a.result) != 1)
		violation("counter %d: %d rows", id, PQntuples(a.result));
	else
	{
		*n = (uint32_t) strtoul(PQgetvalue(a.result, 0, 0), NULL, 10);
		counter_judge(id, floor, *n);
		good = true;
	}
	answer_free(&a);
	return good;
}

/* What an error inside a transaction block leaves; the block is ended. */
static void end_block(Session *s)
{
	Answer a;

	session_run(s, &a, false, "ROLLBACK");
	answer_free(&a);
}

static void increment(Session *s)
{
	int id = (int) session_random(s, COUNTERS);
	WriteState state;
	Answer a;

	counter_begin(id);
	session_run(s, &a, true, "UPDATE chaos_c SET n = n + 1 WHERE id = %d", id);
	state = answer_outcome(&a);
	if (state == WRITE_DONE && a.affected != 1)
	{
		state = WRITE_REFUSED;
		violation("counter %d: UPDATE finds %d rows", id, a.affected);
	}
	counter_end(id, state);
	note_failure(&a, "UPDATE of a counter", is_state(&a, "40001"));
	answer_free(&a);
}

/* Reads, computes, writes if it is still so: in a transaction block. */
static void read_modify_write(Session *s)
{
	int id = (int) session_random(s, COUNTERS);
	WriteState state = WRITE_REFUSED;
	uint32_t n = 0;
	Answer a;

	session_run(s, &a, false, "BEGIN");
	answer_free(&a);
	if (!read_counter(s, id, &n))
	{
		end_block(s);
		return;
	}
	counter_begin(id);
	session_run(s, &a, true, "UPDATE chaos_c SET n = %u WHERE id = %d AND n = %u", n + 1, id, n);
	note_failure(&a, "UPDATE of a counter just read", is_state(&a, "40001"));
	if (answer_ok(&a) && a.affected == 1)
	{
		answer_free(&a);
		session_run(s, &a, true, "COMMIT");
		state = answer_outcome(&a);
		note_failure(&a, "COMMIT of a counter", is_state(&a, "40001"));
		/* of a block that has failed, or was lost: a rollback */
		if (state == WRITE_DONE && strcmp(PQcmdStatus(a.result), "COMMIT") != 0)
			state = WRITE_REFUSED;
	}
	else
		end_block(s);
	counter_end(id, state);
	answer_free(&a);
}

/* ---- transfers: three rows, as a rule in three vnodes ---- */

static void transfer(Session *s, int writer)
{
	uint32_t i = load.ntransfers[writer];
	Transfer *t = &load.transfers[writer][i];
	WriteState state = WRITE_REFUSED;
	const char *what = "UPDATE of an account";
	Answer a;

	if (i >= TRANSFERS_PER_WRITER)
		return;
	t->from = (uint16_t) session_random(s, ACCOUNTS);
	t->to = (uint16_t) ((t->from + 1 + session_random(s, ACCOUNTS - 1)) % ACCOUNTS);
	t->amount = (uint8_t) (1 + session_random(s, 9));
	t->state = WRITE_BEGUN;
	load.ntransfers[writer]++;
	session_run(s, &a, false, "BEGIN");
	answer_free(&a);
	session_run(s, &a, true, "UPDATE chaos_a SET n = n - %u WHERE id = %u", t->amount, t->from);
	if (answer_ok(&a) && a.affected == 1)
	{
		answer_free(&a);
		session_run(s, &a, true, "UPDATE chaos_a SET n = n + %u WHERE id = %u", t->amount, t->to);
	}
	if (answer_ok(&a) && a.affected != 1)
		violation("an account finds %d rows", a.affected);
	if (answer_ok(&a) && a.affected == 1)
	{
		answer_free(&a);
		what = "INSERT of a transfer";
		session_run(s, &a, true, "INSERT INTO chaos_l (id, a, b, n) VALUES (%u, %u, %u, %u)",
					(uint32_t) writer * TRANSFERS_PER_WRITER + i, t->from, t->to, t->amount);
	}
	if (answer_ok(&a) && a.affected == 1)
	{
		answer_free(&a);
		what = "COMMIT of a transfer";
		session_run(s, &a, true, "COMMIT");
		state = answer_outcome(&a);
		if (state == WRITE_DONE && strcmp(PQcmdStatus(a.result), "COMMIT") != 0)
			state = WRITE_REFUSED;
		note_failure(&a, what, is_state(&a, "40001"));
	}
	else
	{
		note_failure(&a, what, is_state(&a, "40001"));
		end_block(s);
	}
	t->state = (uint8_t) state;
	answer_free(&a);
}

void *writer_main(void *arg)
{
	int writer = (int) (intptr_t) arg;
	Session s;

	session_open(&s, writer, 0);
	while (!stopped())
	{
		uint32_t dice = session_random(&s, 100);

		if (dice < 50)
			write_some_row(&s, writer, load.rows, "chaos_k", &load.nrows[writer]);
		else if (dice < 65)
			write_some_row(&s, writer, load.direct, "chaos_d", &load.ndirect[writer]);
		else if (dice < 75)
			increment(&s);
		else if (dice < 82)
			read_modify_write(&s);
		else
			transfer(&s, writer);
		pace(&s);
	}
	session_close(&s);
	return NULL;
}

/* ---- readers ---- */

static uint32_t some_key(Session *s, const uint32_t *nkeys)
{
	uint32_t writer = session_random(s, (uint32_t) load.writers);
	uint32_t n = __atomic_load_n(&nkeys[writer], __ATOMIC_ACQUIRE);

	/* new and much written keys more often: there it is that something happens */
	return writer * KEYS_PER_WRITER + (n > 0 ? session_random(s, n) : 0);
}

static void read_several(Session *s, History *h, const char *table, const uint32_t *nkeys)
{
	uint32_t low = some_key(s, nkeys);

	low -= low % 50;
	read_range(s, h, table, low, low + 50);
}

void *reader_main(void *arg)
{
	int reader = (int) (intptr_t) arg;
	Session s;

	/* most read the lead copy, as users do; some one group's copies, which promise as much */
	session_open(&s, load.writers + reader, reader % 4 == 3 ? 1 + reader / 4 % 2 : 0);
	while (!stopped())
	{
		uint32_t dice = session_random(&s, 100);
		uint32_t n;

		if (dice < 60)
			(void) read_row(&s, load.rows, "chaos_k", some_key(&s, load.nrows));
		else if (dice < 75)
			(void) read_row(&s, load.direct, "chaos_d", some_key(&s, load.ndirect));
		else if (dice < 92)
			(void) read_counter(&s, (int) session_random(&s, COUNTERS), &n);
		else if (dice < 97)
			read_several(&s, load.rows, "chaos_k", load.nrows);
		else
			read_several(&s, load.direct, "chaos_d", load.ndirect);
		pace(&s);
	}
	session_close(&s);
	return NULL;
}
