/*
 * learned.c: which transactions this process has lately noted as committed, in the order in which it did; in memory only.
 *
 * A copy that is made complete takes its source's memory last (rule complete). One that comes again and again, as a node does to which
 * vnodes move, needs only what was noted since: it says up to where it has been told by this start of the source. An id is
 * added before the transaction that writes it to MEMORY commits, so that whoever sees its effect in a record finds it
 * here; should that transaction not commit, the id is true all the same: an outcome never turns.
 */
#include "node.h"

#include <stdlib.h>
#include <string.h>

#define LEARNED_KEPT 65536 /* ids, 1 MiB */

DorisStatus learned_open(Node *n, DorisError *err)
{
	Learned *l = &n->learned;

	(void) pthread_mutex_init(&l->lock, NULL);
	l->head = 1; /* 0: never told anything */
	l->ids = malloc(LEARNED_KEPT * sizeof(*l->ids));
	if (l->ids == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory");
	return DORIS_OK;
}

void learned_close(Node *n)
{
	free(n->learned.ids);
	n->learned.ids = NULL;
}

void learned_add(Node *n, DorisTxnId txn)
{
	Learned *l = &n->learned;

	if (l->ids == NULL)
		return;
	(void) pthread_mutex_lock(&l->lock);
	l->ids[l->head++ % LEARNED_KEPT] = txn;
	(void) pthread_mutex_unlock(&l->lock);
}

static int by_id(const void *a, const void *b)
{
	return txnid_compare(*(const DorisTxnId *) a, *(const DorisTxnId *) b);
}

uint64_t learned_head(Node *n)
{
	uint64_t head;

	(void) pthread_mutex_lock(&n->learned.lock);
	head = n->learned.head;
	(void) pthread_mutex_unlock(&n->learned.lock);
	return head;
}

DorisTxnId *learned_since(Node *n, uint64_t since, uint32_t max, uint32_t *count, uint64_t *head)
{
	Learned *l = &n->learned;
	DorisTxnId *out = NULL;

	*count = 0;
	(void) pthread_mutex_lock(&l->lock);
	*head = l->head;
	if (l->ids != NULL && since > 0 && since <= l->head && l->head - since <= LEARNED_KEPT)
	{
		uint64_t end = l->head - since > max ? since + max : l->head;

		out = malloc((size_t) (end - since + 1) * sizeof(*out));
		for (uint64_t i = since; out != NULL && i < end; i++)
			out[(*count)++] = l->ids[i % LEARNED_KEPT];
		*head = end;
	}
	(void) pthread_mutex_unlock(&l->lock);
	if (*count > 1)
		qsort(out, *count, sizeof(*out), by_id);
	return out;
}
