/*
 * merge.h: taking what another copy of a vnode holds into this one (rule complete).
 */
#ifndef DORIS_NODE_MERGE_H
#define DORIS_NODE_MERGE_H

#include "node.h"

typedef struct TxnList
{
	DorisTxnId *txns; /* owned; may hold one twice */
	uint32_t n;
	uint32_t cap;
} TxnList;

extern bool txn_list_add(TxnList *l, DorisTxnId txn); /* false: no memory */
extern void txn_list_sort(TxnList *l);				  /* and drops doubles */
extern void txn_list_free(TxnList *l);

/* One copy's merging; any number of pages, one thread. */
typedef struct Merge
{
	Worker *w;
	uint32_t vnode;
	uint64_t changed; /* all is void once changed(v) is another */
	bool strict;	  /* the copy judges: a row that has a staged write takes no other */
	/* what came of it; emptied by the caller */
	TxnList proved;	  /* staged here and known as committed: to be finished (merge_finish) */
	TxnList rivals;	  /* in the way of staged writes that were not taken */
	uint64_t records; /* committed ones that were newer than here */
	uint64_t missed;  /* ... and not even staged here */
	bool unwanted;	  /* rows of namespaces that are gone were left out */
	Record in;		  /* of the page */
} Merge;

extern void merge_init(Merge *m, Worker *w, uint32_t vnode, uint64_t changed);
extern void merge_free(Merge *m);
/*
 * Takes a page of PULL RECORDS or STAGED: `n` pairs of store key and record at *c. The higher committed version stays (I4); staged
 * writes are added, unless refused here in the present epoch; those of transactions known as committed are applied.
 * STALE_EPOCH: changed(v) has moved on, or the copy is not to be recovered any more. No locks, no transaction.
 */
extern DORIS_MUST_CHECK DorisStatus merge_page(Merge *m, DorisCursor c, uint32_t n,
											   DorisError *err);
/* Ends what is proved to be committed. */
extern DORIS_MUST_CHECK DorisStatus merge_finish(Merge *m, DorisError *err);
/*
 * Takes ids of transactions that another node remembers as committed, rising: 16 bytes each, as in PULL MEMORY.
 */
extern DORIS_MUST_CHECK DorisStatus merge_memory(Worker *w, DorisCursor c, uint32_t n,
												 DorisError *err);

/* finish_execute, tried again when the store asks for it. commit: in all vnodes; else refused in one. */
extern DORIS_MUST_CHECK DorisStatus merge_end(Worker *w, uint64_t epoch, DorisTxnId txn,
											  bool commit, uint32_t vnode, FinishResult *out,
											  DorisError *err);

#endif
