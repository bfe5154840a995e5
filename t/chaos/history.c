/* history.c: see history.h. */
#include "history.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define DELETES 4 /* beside the WriteState in a byte */

typedef struct Key
{
	uint8_t *writes; /* of number n: writes[n - 1] */
	uint32_t n;		 /* numbers begun */
	uint32_t room;
	uint32_t floor;
} Key;

struct History
{
	pthread_mutex_t lock;
	bool seen_stands;
	uint32_t nkeys;
	Key *keys;
};

static void *must(void *p)
{
	if (p == NULL)
	{
		fprintf(stderr, "chaos load: out of memory\n");
		exit(2);
	}
	return p;
}

History *history_create(uint32_t keys, bool seen_stands)
{
	History *h = must(calloc(1, sizeof(*h)));

	pthread_mutex_init(&h->lock, NULL);
	h->seen_stands = seen_stands;
	h->nkeys = keys;
	h->keys = must(calloc(keys, sizeof(*h->keys)));
	return h;
}

uint32_t history_keys(const History *h)
{
	return h->nkeys;
}

uint32_t history_begin(History *h, uint32_t key, bool deletes)
{
	Key *k = &h->keys[key];
	uint32_t number;

	pthread_mutex_lock(&h->lock);
	if (k->n == k->room)
	{
		k->room = k->room > 0 ? 2 * k->room : 8;
		k->writes = must(realloc(k->writes, k->room));
	}
	k->writes[k->n++] = WRITE_BEGUN | (deletes ? DELETES : 0);
	number = k->n;
	pthread_mutex_unlock(&h->lock);
	return number;
}

void history_end(History *h, uint32_t key, uint32_t number, WriteState state)
{
	Key *k = &h->keys[key];

	pthread_mutex_lock(&h->lock);
	k->writes[number - 1] = (uint8_t) (state | (k->writes[number - 1] & DELETES));
	if (state == WRITE_DONE && number > k->floor)
		k->floor = number;
	pthread_mutex_unlock(&h->lock);
}

bool history_present(History *h, uint32_t key, bool *certain)
{
	Key *k = &h->keys[key];
	bool present;
	uint32_t i;

	pthread_mutex_lock(&h->lock);
	present = k->floor > 0 && (k->writes[k->floor - 1] & DELETES) == 0;
	*certain = true;
	for (i = k->floor; i < k->n; i++)
	{
		if ((k->writes[i] & ~DELETES) != WRITE_REFUSED)
			*certain = false;
	}
	pthread_mutex_unlock(&h->lock);
	return present;
}

uint32_t history_floor(History *h, uint32_t key)
{
	uint32_t floor;

	pthread_mutex_lock(&h->lock);
	floor = h->keys[key].floor;
	pthread_mutex_unlock(&h->lock);
	return floor;
}

void history_floors(History *h, uint32_t *floors)
{
	uint32_t i;

	pthread_mutex_lock(&h->lock);
	for (i = 0; i < h->nkeys; i++)
		floors[i] = h->keys[i].floor;
	pthread_mutex_unlock(&h->lock);
}

/* May a read that began at this floor find no row? When it can only be one delete, that one stands from now on. */
static bool judge_absence(Key *k, uint32_t floor, bool seen_stands)
{
	bool deleted = floor == 0 || (k->writes[floor - 1] & DELETES);
	uint32_t candidates = 0;
	uint32_t last = 0;
	uint32_t i;

	for (i = floor; i < k->n; i++)
	{
		if ((k->writes[i] & DELETES) && (k->writes[i] & ~DELETES) != WRITE_REFUSED)
		{
			candidates++;
			last = i + 1;
		}
	}
	if (seen_stands && !deleted && candidates == 1 && last > k->floor)
		k->floor = last;
	return deleted || candidates > 0;
}

bool history_judge(History *h, uint32_t key, uint32_t floor, uint32_t number, char *why,
				   size_t why_size)
{
	Key *k = &h->keys[key];
	bool good = true;

	pthread_mutex_lock(&h->lock);
	if (number == 0)
	{
		good = judge_absence(k, floor, h->seen_stands);
		if (!good)
			snprintf(why, why_size, "lost: no row, although number %u stands", floor);
	}
	else if (number > k->n)
	{
		good = false;
		snprintf(why, why_size, "number %u, which was never written (%u were)", number, k->n);
	}
	else if (k->writes[number - 1] & DELETES)
	{
		good = false;
		snprintf(why, why_size, "a row with number %u, which is a delete", number);
	}
	else if ((k->writes[number - 1] & ~DELETES) == WRITE_REFUSED)
	{
		good = false;
		snprintf(why, why_size, "number %u, which was told as not done", number);
	}
	else if (number < floor)
	{
		good = false;
		snprintf(why, why_size, "older: number %u, although %u%s stood before", number, floor,
				 (k->writes[floor - 1] & DELETES) ? " (a delete)" : "");
	}
	else if (h->seen_stands && number > k->floor)
		k->floor = number;
	pthread_mutex_unlock(&h->lock);
	return good;
}
