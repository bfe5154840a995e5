/*
 * check.c: when all is quiet and healthy again: is everything acknowledged there, once, and nothing else, in every group?
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

#define TRIES 5 /* of a statement that must work now */

/* Keys with an unknown outcome are written once more, as a user told 08007 would. */
static void resolve(Session *s, History *h, const char *table, const uint32_t *nkeys)
{
	uint32_t unsettled = 0;
	int writer;
	uint32_t i;

	for (writer = 0; writer < load.writers; writer++)
	{
		for (i = 0; i < nkeys[writer]; i++)
		{
			uint32_t key = (uint32_t) writer * KEYS_PER_WRITER + i;
			bool certain;
			int tries;

			(void) history_present(h, key, &certain);
			unsettled += !certain;
			for (tries = 0; !certain && tries < TRIES; tries++)
			{
				write_row(s, h, table, key);
				(void) history_present(h, key, &certain);
			}
			if (!certain)
				violation("%s key %u cannot be written any more", table, key);
		}
	}
	if (unsettled > 0)
		say("note %u keys of %s had an unknown outcome and were written again", unsettled, table);
}

/* A result that must come; NULL after a violation. */
static PGresult *must_read(Session *s, Answer *a, const char *statement)
{
	session_run(s, a, false, "%s", statement);
	if (answer_ok(a))
		return a->result;
	violation("%s: %s %s", statement, a->state, a->message);
	return NULL;
}

static void check_counters(Session *s, uint32_t *values)
{
	Answer a;
	PGresult *r = must_read(s, &a, "SELECT id, n FROM chaos_c");
	int i;

	memset(values, 0, COUNTERS * sizeof(*values));
	for (i = 0; r != NULL && i < PQntuples(r); i++)
	{
		int id = atoi(PQgetvalue(r, i, 0));
		uint32_t n = (uint32_t) strtoul(PQgetvalue(r, i, 1), NULL, 10);
		const Counter *c = &load.counters[id];

		values[id] = n;
		if (n < c->done || n < c->floor || n > c->done + c->begun)
			violation("counter %d of group %d: %u; acknowledged %u, read %u, unknown %u", id,
					  s->read_group, n, c->done, c->floor, c->begun);
	}
	if (r != NULL && PQntuples(r) != COUNTERS)
		violation("%d counters instead of %d in group %d", PQntuples(r), COUNTERS, s->read_group);
	answer_free(&a);
}

static void check_transfers(Session *s)
{
	static const char *const states[] = {"begun", "done", "refused", "unknown"};
	uint8_t *seen = calloc((size_t) load.writers, TRANSFERS_PER_WRITER);
	long expect[ACCOUNTS];
	Answer a;
	PGresult *r;
	int writer;
	int i;

	if (seen == NULL)
		abort();
	for (i = 0; i < ACCOUNTS; i++)
		expect[i] = OPENING;
	r = must_read(s, &a, "SELECT id, a, b, n FROM chaos_l");
	for (i = 0; r != NULL && i < PQntuples(r); i++)
	{
		uint32_t id = (uint32_t) strtoul(PQgetvalue(r, i, 0), NULL, 10);
		const Transfer *t = &load.transfers[id / TRANSFERS_PER_WRITER][id % TRANSFERS_PER_WRITER];

		if (seen[id]++)
			violation("transfer %u: twice", id);
		if (t->state == WRITE_REFUSED)
			violation("transfer %u of group %d is there, although told as not done", id,
					  s->read_group);
		expect[t->from] -= t->amount;
		expect[t->to] += t->amount;
	}
	for (writer = 0; r != NULL && writer < load.writers; writer++)
	{
		uint32_t n;

		for (n = 0; n < load.ntransfers[writer]; n++)
		{
			uint8_t state = load.transfers[writer][n].state;

			if (state == WRITE_DONE && !seen[(uint32_t) writer * TRANSFERS_PER_WRITER + n])
				violation("transfer %u of group %d is lost (%s)",
						  (uint32_t) writer * TRANSFERS_PER_WRITER + n, s->read_group,
						  states[state]);
		}
	}
	answer_free(&a);
	r = must_read(s, &a, "SELECT id, n FROM chaos_a");
	for (i = 0; r != NULL && i < PQntuples(r); i++)
	{
		int id = atoi(PQgetvalue(r, i, 0));
		long n = atol(PQgetvalue(r, i, 1));

		if (n != expect[id])
			violation("account %d of group %d: %ld, by its transfers %ld", id, s->read_group, n,
					  expect[id]);
	}
	if (r != NULL && PQntuples(r) != ACCOUNTS)
		violation("%d accounts instead of %d in group %d", PQntuples(r), ACCOUNTS, s->read_group);
	answer_free(&a);
	free(seen);
}

/* Every row can be written: nothing is stuck on a staged write that nobody closes. */
static void check_writable(Session *s)
{
	static const char *const statements[] = {
		"UPDATE chaos_k SET v = v",
		"UPDATE chaos_c SET n = n",
		"UPDATE chaos_a SET n = n",
		"UPDATE chaos_l SET n = n",
	};
	size_t i;

	for (i = 0; i < sizeof(statements) / sizeof(statements[0]); i++)
	{
		Answer a;
		int tries;

		for (tries = 0; tries < TRIES; tries++)
		{
			session_run(s, &a, true, "%s", statements[i]);
			if (answer_ok(&a))
				break;
			say("note %s: %s %s", statements[i], a.state, a.message);
			if (tries + 1 < TRIES)
				answer_free(&a);
		}
		if (!answer_ok(&a))
			violation("%s: %s %s", statements[i], a.state, a.message);
		answer_free(&a);
	}
}

static void check_group(int group, uint32_t *counters)
{
	Session s;

	session_open(&s, -1, group);
	(void) scan_rows(&s, load.rows, "chaos_k", true);
	(void) scan_rows(&s, load.direct, "chaos_d", true);
	check_counters(&s, counters);
	check_transfers(&s);
	session_close(&s);
}

void check_all(int groups)
{
	uint32_t counters[COUNTERS];
	uint32_t other[COUNTERS];
	Session s;
	int group;
	int i;

	session_open(&s, -1, 0);
	resolve(&s, load.rows, "chaos_k", load.nrows);
	resolve(&s, load.direct, "chaos_d", load.ndirect);
	for (group = 0; group <= groups; group++)
	{
		check_group(group, group == 0 ? counters : other);
		for (i = 0; group > 0 && i < COUNTERS; i++)
		{
			if (counters[i] != other[i])
				violation("counter %d: %u, in group %d %u", i, counters[i], group, other[i]);
		}
	}
	check_writable(&s);
	for (group = 1; group <= groups; group++)
		check_group(group, other);
	session_close(&s);
}
