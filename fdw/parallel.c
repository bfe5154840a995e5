/*
 * parallel.c: one scan of a foreign table by several processes.
 *
 * The vnodes are the shares. They are handed out in runs, large ones first, so that all participants end at about the same time;
 * each reads its runs over its own connections. No row can be read twice or passed over: a row lives in one vnode, and a vnode
 * is in one run.
 *
 * Two things only the leader has. Its transaction's own writes: when there are any to the table, no worker is started, and it reads
 * alone. And what it knows of the namespace: it asks for the newest topology before it shares the scan, and a worker that
 * knows the table's namespace by another number (truncated or made anew meanwhile) raises an error, for rows of both must not
 * be mixed.
 */
#include "executor.h"

#include "storage/spin.h"

#define PARALLEL_RUNS 2	  /* a run is what is left, divided by so many times the participants */
#define PARALLEL_LEAST 64 /* nor less than all vnodes divided by this */

struct ParallelScan
{
	uint32 ns;			 /* namespace id */
	uint32 participants; /* that were planned */
	uint32 vnodes;		 /* in all */
	slock_t lock;		 /* of what follows */
	uint32 next;		 /* vnode */
	uint32 nwork;
	uint32 work_cap;
	DorisNodeCounters work[FLEXIBLE_ARRAY_MEMBER]; /* of the workers that have ended */
};

Size parallel_size(uint32 nodes)
{
	return offsetof(ParallelScan, work) + nodes * sizeof(DorisNodeCounters);
}

void parallel_init(ParallelScan *p, uint32 ns, uint32 vnodes, int participants, uint32 nodes)
{
	memset(p, 0, parallel_size(nodes));
	p->ns = ns;
	p->participants = (uint32) participants;
	p->vnodes = vnodes;
	p->work_cap = nodes;
	SpinLockInit(&p->lock);
}

void parallel_restart(ParallelScan *p)
{
	p->next = 0;
	p->nwork = 0;
}

void parallel_changed(const DorisTable *t)
{
	ereport(ERROR, errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			errmsg("namespace \"%s\" was truncated or created anew while it was being scanned",
				   t->ns->name),
			errhint("Repeat the statement."));
}

void parallel_check(const ParallelScan *p, const DorisTable *t)
{
	if (p->ns != t->ns->id)
		parallel_changed(t);
}

uint32 parallel_claim(ParallelScan *p, uint32 *first)
{
	uint32 n;

	SpinLockAcquire(&p->lock);
	n = (p->vnodes - p->next) / (PARALLEL_RUNS * p->participants);
	n = Max(n, p->vnodes / PARALLEL_LEAST);
	n = Min(Max(n, 1), p->vnodes - p->next);
	*first = p->next;
	p->next += n;
	SpinLockRelease(&p->lock);
	return n;
}

void parallel_put_work(ParallelScan *p, const DorisWork *w)
{
	SpinLockAcquire(&p->lock);
	for (uint32 i = 0; i < w->n; i++)
	{
		uint32 j = 0;

		while (j < p->nwork && p->work[j].node != w->sum[i].node)
			j++;
		if (j == p->work_cap)
			continue;
		if (j == p->nwork)
			p->work[p->nwork++] = (DorisNodeCounters){.node = w->sum[i].node};
		work_add_counters(&p->work[j], &w->sum[i]);
	}
	SpinLockRelease(&p->lock);
}

void parallel_take_work(ParallelScan *p, DorisWork *w)
{
	uint32 n;

	/* one by one, because nothing may be allocated under a spin lock */
	SpinLockAcquire(&p->lock);
	n = p->nwork;
	SpinLockRelease(&p->lock);
	for (uint32 i = 0; i < n; i++)
	{
		DorisNodeCounters c;

		SpinLockAcquire(&p->lock);
		c = p->work[i];
		p->work[i] = (DorisNodeCounters){.node = c.node};
		SpinLockRelease(&p->lock);
		work_add(w, &c);
	}
}
