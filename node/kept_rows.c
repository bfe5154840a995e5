/*
 * kept_rows.c: of each vnode, the exact number of live rows of each namespace, so that whole tables are counted without being
 * read (scan.c).
 *
 * Part of what kept.c keeps, and changed with it: under the vnode's lock, together with the commit. A vnode has a short array,
 * sorted by namespace, of those that have rows there; what is not in it has none. A change makes its place in the array when it
 * is noted, where an error can still be told, so that booking it cannot fail; places that are empty in the end are taken away.
 *
 * The arrays have locks of their own besides, taken last and for a moment: tables that come and go are cleared without the
 * vnode's lock.
 */
#include "node.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_ROWS 2 /* places */

typedef struct NsRows
{
	uint32_t ns;
	int64_t rows; /* while the vnode is being counted less than 0, perhaps */
} NsRows;

struct KeptRows
{
	uint32_t n;
	uint32_t cap;
	NsRows at[];
};

static pthread_mutex_t *lock_of(Node *n, uint32_t vnode)
{
	return &n->rows_locks[vnode % NODE_ROWS_LOCKS];
}

/* Where the namespace is or would be. */
static uint32_t place_of(const KeptRows *r, uint32_t ns, bool *found)
{
	uint32_t low = 0;
	uint32_t high = r == NULL ? 0 : r->n;

	while (low < high)
	{
		uint32_t mid = low + (high - low) / 2;

		if (r->at[mid].ns < ns)
			low = mid + 1;
		else
			high = mid;
	}
	*found = r != NULL && low < r->n && r->at[low].ns == ns;
	return low;
}

/* With its lock. NULL: the namespace has no place there. */
static NsRows *find(Node *n, uint32_t vnode, uint32_t ns)
{
	KeptRows *r = n->kept[vnode].rows;
	bool found;
	uint32_t i = place_of(r, ns, &found);

	return found ? &r->at[i] : NULL;
}

/* With its lock. False: no memory. */
static bool make_place(KeptRows **of, uint32_t ns)
{
	KeptRows *r = *of;
	bool found;
	uint32_t i = place_of(r, ns, &found);

	if (found)
		return true;
	if (r == NULL || r->n == r->cap)
	{
		uint32_t cap = r == NULL ? FIRST_ROWS : r->cap * 2;

		r = realloc(r, sizeof(*r) + cap * sizeof(NsRows));
		if (r == NULL)
			return false;
		if (*of == NULL)
			r->n = 0;
		r->cap = cap;
		*of = r;
	}
	memmove(&r->at[i + 1], &r->at[i], (r->n - i) * sizeof(NsRows));
	r->at[i] = (NsRows){ns, 0};
	r->n++;
	return true;
}

DorisStatus kept_rows_reserve(Node *n, uint32_t vnode, uint32_t ns, DorisError *err)
{
	bool made;

	(void) pthread_mutex_lock(lock_of(n, vnode));
	made = make_place(&n->kept[vnode].rows, ns);
	(void) pthread_mutex_unlock(lock_of(n, vnode));
	return made
			   ? DORIS_OK
			   : doris_error(err, DORIS_NO_MEMORY, "%s: out of memory counting rows", node_name(n));
}

void kept_rows_add(Node *n, uint32_t vnode, uint32_t ns, int64_t rows)
{
	NsRows *place;

	(void) pthread_mutex_lock(lock_of(n, vnode));
	place = find(n, vnode, ns);
	/* no place: the table is on its way out, and nobody counts its rows */
	if (place != NULL)
		place->rows += rows;
	(void) pthread_mutex_unlock(lock_of(n, vnode));
}

void kept_rows_tidy(Node *n, uint32_t vnode, uint32_t ns)
{
	KeptRows *r;
	NsRows *place;

	(void) pthread_mutex_lock(lock_of(n, vnode));
	r = n->kept[vnode].rows;
	place = find(n, vnode, ns);
	if (place != NULL && place->rows == 0)
	{
		r->n--;
		memmove(place, place + 1, (size_t) (&r->at[r->n] - place) * sizeof(*place));
	}
	(void) pthread_mutex_unlock(lock_of(n, vnode));
}

void kept_rows_clear(Node *n, uint32_t vnode)
{
	(void) pthread_mutex_lock(lock_of(n, vnode));
	free(n->kept[vnode].rows);
	n->kept[vnode].rows = NULL;
	(void) pthread_mutex_unlock(lock_of(n, vnode));
}

static int64_t rows_of(Node *n, uint32_t vnode, uint32_t ns)
{
	const NsRows *place;
	int64_t rows;

	(void) pthread_mutex_lock(lock_of(n, vnode));
	place = find(n, vnode, ns);
	rows = place != NULL ? place->rows : 0;
	(void) pthread_mutex_unlock(lock_of(n, vnode));
	return rows;
}

/* Only under the vnode's lock does the answer last. */
static bool is_told(const Node *n, uint32_t vnode)
{
	return atomic_load(&n->counted[vnode]) == TALLY_KNOWN &&
		   atomic_load(&n->kept[vnode].staged) == 0;
}

bool kept_rows_read(Worker *w, uint32_t vnode, uint32_t ns, uint64_t *rows)
{
	Node *n = w->node;
	int64_t found = -1;

	/*
	 * Not waiting for the lock: the page's snapshot may keep in the cache what its holder's commit waits to have
	 * evicted. The vnode is read then.
	 */
	if (!is_told(n, vnode) || !locks_try_one(n, vnode))
		return false;
	if (is_told(n, vnode))
	{
		found = rows_of(n, vnode, ns);
		commit_need_vnode(w, vnode);
	}
	locks_release_one(n, vnode);
	*rows = (uint64_t) found;
	return found >= 0;
}

/* ---- over a clean stop ---- */

void kept_rows_save(Node *n, uint32_t vnode, DorisBuf *b)
{
	const KeptRows *r;

	(void) pthread_mutex_lock(lock_of(n, vnode));
	r = n->kept[vnode].rows;
	for (uint32_t i = 0; r != NULL && i < r->n; i++)
	{
		if (r->at[i].rows == 0)
			continue;
		buf_put_u32(b, DORIS_MAX_VNODES + vnode);
		buf_put_u64(b, r->at[i].ns);
		buf_put_u64(b, (uint64_t) r->at[i].rows);
		buf_put_u64(b, 0);
	}
	(void) pthread_mutex_unlock(lock_of(n, vnode));
}
