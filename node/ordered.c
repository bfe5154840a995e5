/*
 * ordered.c: the records of several vnodes merged in the order of their keys.
 *
 * A heap of cursors, one in each vnode, the one with the next key on top. A row's key is in one vnode only, so no two are
 * equal; if they were, each would come.
 */
#include "ordered.h"

#include <stdlib.h>

typedef struct Source
{
	uint32_t vnode;
	StoreScan *scan;
	DorisBytes key; /* where it stands */
	DorisBytes value;
} Source;

struct Ordered
{
	const StoreDriver *driver;
	bool reverse;
	bool given; /* the top one's record is with the caller: it has to move on */
	uint32_t n;
	Source heap[];
};

static bool comes_before(const Ordered *o, const Source *a, const Source *b)
{
	int c = bytes_compare(a->key, b->key);

	return o->reverse ? c > 0 : c < 0;
}

static void sift_down(Ordered *o, uint32_t at)
{
	for (;;)
	{
		uint32_t child = 2 * at + 1;
		Source moved;

		if (child >= o->n)
			return;
		if (child + 1 < o->n && comes_before(o, &o->heap[child + 1], &o->heap[child]))
			child++;
		if (!comes_before(o, &o->heap[child], &o->heap[at]))
			return;
		moved = o->heap[at];
		o->heap[at] = o->heap[child];
		o->heap[child] = moved;
		at = child;
	}
}

void ordered_close(Ordered *o)
{
	if (o == NULL)
		return;
	for (uint32_t i = 0; i < o->n; i++)
		o->driver->scan_close(o->heap[i].scan);
	free(o);
}

DorisStatus ordered_open(Worker *w, const uint32_t *vnodes, uint32_t n, DorisBytes low,
						 DorisBytes high, bool reverse, Ordered **out, DorisError *err)
{
	const StoreDriver *d = w->node->driver;
	Ordered *o = calloc(1, sizeof(*o) + n * sizeof(Source));

	*out = NULL;
	if (o == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "%s: out of memory scanning", node_name(w->node));
	o->driver = d;
	o->reverse = reverse;
	for (uint32_t i = 0; i < n; i++)
	{
		Source *s = &o->heap[o->n];
		DorisStatus st =
			(reverse ? d->scan_back : d->scan)(w->ss, vnodes[i], low, high, &s->scan, err);

		if (st == DORIS_OK)
		{
			o->n++;
			s->vnode = vnodes[i];
			st = d->next(s->scan, &s->key, &s->value, err);
		}
		if (st == DORIS_NOT_FOUND)
		{
			d->scan_close(s->scan);
			o->n--;
			continue;
		}
		if (st != DORIS_OK)
		{
			ordered_close(o);
			return st;
		}
	}
	for (uint32_t i = o->n / 2; i-- > 0;)
		sift_down(o, i);
	*out = o;
	return DORIS_OK;
}

DorisStatus ordered_next(Ordered *o, uint32_t *vnode, DorisBytes *key, DorisBytes *value,
						 DorisError *err)
{
	Source *top = &o->heap[0];

	if (o->given)
	{
		DorisStatus st = o->driver->next(top->scan, &top->key, &top->value, err);

		if (st == DORIS_NOT_FOUND)
		{
			o->driver->scan_close(top->scan);
			*top = o->heap[--o->n];
		}
		else if (st != DORIS_OK)
			return st;
		sift_down(o, 0);
	}
	o->given = o->n > 0;
	if (o->n == 0)
	{
		err->code = DORIS_NOT_FOUND;
		return DORIS_NOT_FOUND;
	}
	*vnode = top->vnode;
	*key = top->key;
	*value = top->value;
	return DORIS_OK;
}
