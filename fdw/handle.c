/*
 * handle.c: what a statement holds outside of PostgreSQL's memory, so that its end always frees it.
 *
 * libdoris allocates scans and results with malloc. The executor's own end does not come when a statement fails; the
 * end of its (sub)transaction does.
 */
#include "executor.h"

#include "utils/memutils.h"

dlist_head handles = DLIST_STATIC_INIT(handles);

DorisHandle *handle_create(void)
{
	DorisHandle *h = MemoryContextAllocZero(TopMemoryContext, sizeof(DorisHandle));

	h->subid = GetCurrentSubTransactionId();
	dlist_push_head(&handles, &h->node);
	return h;
}

void handle_clear(DorisHandle *h)
{
	DorisScan *scan = h->scan;
	DorisRows *rows = h->rows;

	h->scan = NULL;
	h->rows = NULL;
	doris_scan_close(scan);
	doris_rows_free(rows);
}

void handle_free(DorisHandle *h)
{
	DorisApply *apply = h->apply;

	handle_clear(h);
	h->apply = NULL;
	if (apply != NULL)
		doris_apply_abandon(apply);
	if (h->sent != NULL)
		MemoryContextDelete(h->sent);
	dlist_delete(&h->node);
	pfree(h);
}

void handle_free_since(SubTransactionId subid)
{
	dlist_mutable_iter it;

	dlist_foreach_modify(it, &handles)
	{
		DorisHandle *h = dlist_container(DorisHandle, node, it.cur);

		if (h->subid >= subid)
			handle_free(h);
	}
}
