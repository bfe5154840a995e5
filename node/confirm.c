/*
 * confirm.c: a last look before a copy is called ready: has it what its source has?
 *
 * That it has is what the steps before promise (rule complete); this is the net that tells when they do not. While rows are
 * written the sums of two copies differ for a moment, so they are looked at a few times. What differs still is passed again, and
 * records that this brings though they were not even staged here are counted: there must be none, but for plain writes on
 * their way. Then the copy is called ready, whatever its sums: else rows that are written all the time would hold it up for
 * ever (I6). Only sums that stand still and differ are worth a warning.
 */
#include "recover.h"

#include <string.h>
#include <time.h>

#define LOOKS 4
#define PAUSE_MS 5 /* after the first look; doubled with each */
#define ROUNDS 2   /* of passing again */
#define MAX_COPIES 64

/* What was seen of a copy at the last look. */
typedef struct Seen
{
	KeptSum mine;
	KeptSum theirs;
	bool still; /* both as at the look before, and nothing staged */
} Seen;

static bool is_same(const KeptSum *a, const KeptSum *b)
{
	return a->digest == b->digest && a->records == b->records;
}

static void swap(Todo *todo, Seen *seen, uint32_t a, uint32_t b)
{
	Todo t = todo[a];
	Seen s = seen[a];

	todo[a] = todo[b];
	seen[a] = seen[b];
	todo[b] = t;
	seen[b] = s;
}

/* Those that are equal, or have failed, go behind the first *left. False: the source is down. */
static bool look(Recoverer *r, Source *s, Todo *todo, Seen *seen, uint32_t *left)
{
	KeptSum before[MAX_COPIES];
	DorisError err = {0};

	for (uint32_t i = 0; i < *left; i++)
	{
		DorisStatus st = kept_read(&r->w, todo[i].vnode, &before[i], &err);

		if (st != DORIS_OK && !recover_may_go_on(s, &todo[i], st, &err))
			return false;
	}
	if (!recover_digests(r, s, todo, *left))
		return false;
	for (uint32_t i = *left; i-- > 0;)
	{
		const KeptSum *theirs = &todo[i].theirs.kept;
		KeptSum after = before[i];
		DorisStatus st = DORIS_OK;

		if (!todo[i].failed)
			st = kept_read(&r->w, todo[i].vnode, &after, &err);
		if (st != DORIS_OK && !recover_may_go_on(s, &todo[i], st, &err))
			return false;
		seen[i].still = is_same(&before[i], &after) && is_same(&seen[i].mine, &after) &&
						is_same(&seen[i].theirs, theirs) && after.staged == 0 &&
						theirs->staged == 0;
		seen[i].mine = after;
		seen[i].theirs = *theirs;
		if (todo[i].failed || is_same(theirs, &before[i]) || is_same(theirs, &after))
			swap(todo, seen, i, --*left);
	}
	return true;
}

static DorisStatus rest(Recoverer *r, int ms, DorisError *err)
{
	struct timespec pause = {0, ms * 1000000L};

	(void) nanosleep(&pause, NULL);
	return recover_between(r, 0, err);
}

static bool look_some(Recoverer *r, Source *s, Todo *todo, Seen *seen, uint32_t *left)
{
	DorisError err = {0};

	for (int i = 0; i<LOOKS && * left> 0; i++)
	{
		if (i > 0 && rest(r, PAUSE_MS << (i - 1), &err) != DORIS_OK)
			return false;
		if (!look(r, s, todo, seen, left))
			return false;
	}
	return true;
}

static bool again(Recoverer *r, Source *s, Todo *t)
{
	Node *n = r->w.node;
	DorisError err = {0};
	DorisStatus st;

	r->moving = t->moving;
	st = pass_again(r, s, t, &err);
	r->moving = false;
	if (st != DORIS_OK)
		return recover_may_go_on(s, t, st, &err);
	node_count(n, COUNT_UNEQUAL, 1);
	node_count(n, COUNT_MISSED, t->missed);
	log_line(t->missed > 0 ? LOG_INFO : LOG_DEBUG,
			 "vnode %u differed from %s: passed again, which brought %llu records", t->vnode,
			 s->quick.who, (unsigned long long) t->missed);
	return true;
}

static void tell_different(Recoverer *r, const Source *s, const Todo *t, const Seen *seen)
{
	bool strange = seen->still && !t->unwanted;

	node_count(r->w.node, COUNT_DIFFERENT, 1);
	log_line(strange ? LOG_WARNING : LOG_INFO,
			 "vnode %u is ready; %s: %llu records here, %llu at %s", t->vnode,
			 seen->still ? "it differs from its source" : "it is written to all the time",
			 (unsigned long long) seen->mine.records, (unsigned long long) seen->theirs.records,
			 s->quick.who);
}

bool confirm_copies(Recoverer *r, Source *s, Todo *todo, uint32_t n)
{
	Seen seen[MAX_COPIES];
	uint32_t left = n < MAX_COPIES ? n : MAX_COPIES;

	memset(seen, 0, sizeof(seen));
	for (uint32_t i = left; i-- > 0;)
	{
		if (todo[i].failed)
			swap(todo, seen, i, --left);
	}
	if (!look_some(r, s, todo, seen, &left))
		return false;
	for (int round = 0; round < ROUNDS && left > 0; round++)
	{
		/* one that is written to all the time is passed again once, which is as good as twice */
		for (uint32_t i = 0; i < left; i++)
		{
			if ((round == 0 || seen[i].still) && !again(r, s, &todo[i]))
				return false;
		}
		if (!look_some(r, s, todo, seen, &left))
			return false;
	}
	for (uint32_t i = 0; i < left; i++)
		tell_different(r, s, &todo[i], &seen[i]);
	return true;
}
