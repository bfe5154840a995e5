/*
 * scan_shared.c: a scan that the leader of a parallel plan shares with its workers; what they share is parallel.c's.
 */
#include "scan_state.h"

#define REFRESH_MS 20 /* that a shared scan spends on the newest topology */

/* Before anything is shared: the namespace as it is now. */
Size scan_estimate_dsm(ForeignScanState *node, ParallelContext *pcxt)
{
	DorisScanState *s = node->fdw_state;
	DorisError err = {0};
	DorisStatus status;
	Topology *topology;

	(void) pcxt;
	/* reads do without admins that hang: an older topology costs a 40001 at worst */
	doris_set_deadline(s->client, REFRESH_MS);
	status = doris_refresh(s->client, 0, &err);
	doris_set_deadline(s->client, doris_statement_deadline);
	if (status != DORIS_OK)
		doris_ereport(&err, s->table->ns->name, EMPTY_BYTES);
	(void) table_follow(s->table, s->client, s->handle);
	topology = doris_topology(s->client);
	s->shared_nodes = topology->nnodes + PARALLEL_NEW_NODES;
	s->shared_vnodes = topology->vnodes;
	topology_unref(topology);
	return parallel_size(s->shared_nodes);
}

/* What only the leader can see, it has to read by itself. */
static void keep_own_writes(DorisScanState *s, ParallelContext *pcxt)
{
	modify_flush_all();
	if (buffer_find(s->table) != NULL)
		pcxt->nworkers_to_launch = 0;
}

void scan_init_dsm(ForeignScanState *node, ParallelContext *pcxt, void *coordinate)
{
	DorisScanState *s = node->fdw_state;

	keep_own_writes(s, pcxt);
	parallel_init(coordinate, s->table->ns->id, s->shared_vnodes, pcxt->nworkers + 1,
				  s->shared_nodes);
	s->shared = coordinate;
}

void scan_reinit_dsm(ForeignScanState *node, ParallelContext *pcxt, void *coordinate)
{
	DorisScanState *s = node->fdw_state;

	keep_own_writes(s, pcxt);
	parallel_take_work(coordinate, s->work);
	parallel_restart(coordinate);
}

void scan_init_worker(ForeignScanState *node, shm_toc *toc, void *coordinate)
{
	DorisScanState *s = node->fdw_state;

	(void) toc;
	parallel_check(coordinate, s->table);
	s->shared = coordinate;
}

/* The shared memory goes after this. */
void scan_shutdown(ForeignScanState *node)
{
	DorisScanState *s = node->fdw_state;

	if (s == NULL || s->shared == NULL)
		return;
	if (s->work != NULL && IsParallelWorker())
		parallel_put_work(s->shared, s->work);
	else if (s->work != NULL)
		parallel_take_work(s->shared, s->work);
	s->shared = NULL;
}
