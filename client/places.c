/*
 * places.c: many rows for one node in the order of the files that they lie in: by vnode, then by key.
 *
 * A vnode is one file of the node's store, so rows that come in this order find its cursor, its pages and the neighbours of
 * their place still at hand. Order among the rows of a message means nothing else: no key is twice in it.
 */
#include <stdlib.h>

#include "client.h"

static int compare(const void *a, const void *b)
{
	const RowPlace *x = a;
	const RowPlace *y = b;

	if (x->vnode != y->vnode)
		return x->vnode < y->vnode ? -1 : 1;
	return bytes_compare(x->key, y->key);
}

void places_sort(RowPlace *places, uint32_t n)
{
	uint32_t i;

	for (i = 1; i < n; i++)
		if (compare(&places[i - 1], &places[i]) > 0)
		{
			qsort(places, n, sizeof(*places), compare);
			return;
		}
}
