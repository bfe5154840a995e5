/*
 * agree.c: bringing what is staged here into agreement with a complete copy (rules complete, meet).
 *
 * A copy that judges keeps at most one staged write for each row, and only one that the source holds too: else two
 * rivals could both be "held by all judges" once this copy is the only one. So what is taken from the source
 * comes first, and then every staged write here is asked for with "refuse if not held": the source has decided between rivals.
 */
#include "recover.h"

#include <string.h>

#define PAGE_BYTES (1u << 20)
#define MAX_LAPS 8

/* Transactions with something staged in this node's copy. *crowded: a row has more than one. */
static DorisStatus list_staged(Worker *w, uint32_t vnode, TxnList *out, bool *crowded,
							   DorisError *err)
{
	const StoreDriver *d = w->node->driver;
	DorisBytes none = {NULL, 0};
	DorisBytes key;
	DorisBytes value;
	KeptSum sum;
	StoreScan *sc;
	DorisStatus st = kept_read(w, vnode, &sum, err);

	out->n = 0;
	*crowded = false;
	if (st != DORIS_OK || sum.staged == 0)
		return st;
	locks_clear(w);
	st = commit_begin(w, err);
	if (st == DORIS_OK)
		st = d->scan_once(w->ss, vnode, none, none, &sc, err);
	if (st == DORIS_OK)
	{
		while ((st = d->next(sc, &key, &value, err)) == DORIS_OK)
		{
			if (!record_decode(value, &w->row))
			{
				st = doris_error(err, DORIS_IO, "%s: a record of vnode %u is damaged",
								 node_name(w->node), vnode);
				break;
			}
			*crowded = *crowded || w->row.nstaged > 1;
			for (int k = 0; k < w->row.nstaged && st == DORIS_OK; k++)
			{
				if (!txn_list_add(out, w->row.staged[k].txn))
					st = doris_error(err, DORIS_NO_MEMORY, "%s: out of memory", node_name(w->node));
			}
			if (st != DORIS_OK)
				break;
		}
		d->scan_close(sc);
	}
	commit_abandon(w);
	txn_list_sort(out);
	return st == DORIS_NOT_FOUND ? DORIS_OK : st;
}

/* Takes what is staged at the source; rivals that are in the way into *rivals. */
static DorisStatus take_staged(Recoverer *r, Source *s, uint32_t vnode, uint64_t changed,
							   bool judges, TxnList *rivals, DorisError *err)
{
	PullRequest m = {.what = PULL_STAGED, .vnode = vnode, .max_bytes = PAGE_BYTES};
	DorisBuf low;
	Merge merge;
	bool done = false;
	DorisStatus st = DORIS_OK;

	merge_init(&merge, &r->w, vnode, changed);
	merge.strict = judges;
	buf_init(&low);
	while (st == DORIS_OK && !done)
	{
		SourcePage page;
		DorisBuf body;
		DorisCursor c;

		buf_init(&body);
		m.low.data = low.data;
		m.low.len = low.len;
		pull_request_encode(&body, &m);
		if (body.failed || low.failed)
			st = doris_error(err, DORIS_NO_MEMORY, "pulling: out of memory");
		else
		{
			DorisBytes bytes = {body.data, body.len};

			st = source_quick(s, MSG_PULL, bytes, &c, err);
		}
		buf_free(&body);
		if (st == DORIS_OK)
			st = source_read_page(s, &m, c, &page, err);
		if (st != DORIS_OK)
			break;
		done = page.done;
		buf_reset(&low);
		buf_put_raw(&low, page.next.data, page.next.len);
		st = merge_page(&merge, page.items, page.n, err);
		if (st == DORIS_OK)
			st = merge_finish(&merge, err);
	}
	if (rivals != NULL && st == DORIS_OK)
	{
		*rivals = merge.rivals;
		memset(&merge.rivals, 0, sizeof(merge.rivals));
		txn_list_sort(rivals);
	}
	merge_free(&merge);
	buf_free(&low);
	return st;
}

/*
 * Older than the memory, and the source does not hold it: committed only if the source's rows say so. What its rows
 * do not have can never be committed any more, as the source would not take it now.
 */
static DorisStatus take_rows_of(Recoverer *r, Source *s, uint32_t vnode, uint64_t changed,
								DorisTxnId txn, DorisError *err)
{
	DorisBuf index;
	DorisCursor c;
	Merge merge;
	uint32_t entries;
	DorisStatus st;

	buf_init(&index);
	merge_init(&merge, &r->w, vnode, changed);
	st = index_gather(&r->w, txn, &index, &entries, err);
	c = cursor_of(index.data, index.len);
	while (st == DORIS_OK && cursor_left(&c) > 0 && !c.bad)
	{
		PullRequest m = {.what = PULL_RECORDS, .max_bytes = PAGE_BYTES};
		DorisBuf high;
		DorisBuf body;
		SourcePage page;
		DorisCursor answer;

		m.vnode = cursor_u32(&c);
		m.low = cursor_bytes(&c);
		if (c.bad || m.vnode != vnode)
			continue;
		buf_init(&high);
		buf_init(&body);
		buf_put_raw(&high, m.low.data, m.low.len);
		buf_put_u8(&high, 0);
		m.high.data = high.data;
		m.high.len = high.len;
		pull_request_encode(&body, &m);
		if (high.failed || body.failed)
			st = doris_error(err, DORIS_NO_MEMORY, "pulling: out of memory");
		else
		{
			DorisBytes bytes = {body.data, body.len};

			st = source_quick(s, MSG_PULL, bytes, &answer, err);
		}
		if (st == DORIS_OK)
			st = source_read_page(s, &m, answer, &page, err);
		if (st == DORIS_OK)
			st = merge_page(&merge, page.items, page.n, err);
		buf_free(&high);
		buf_free(&body);
	}
	if (st == DORIS_OK)
		st = merge_finish(&merge, err);
	merge_free(&merge);
	buf_free(&index);
	return st;
}

static DorisStatus ask_outcome(Source *s, uint32_t vnode, DorisTxnId txn, OutcomeResult *out,
							   DorisError *err)
{
	OutcomeRequest m = {.txn = txn, .vnode = vnode, .refuse = true};
	DorisBuf body;
	DorisCursor c;
	DorisStatus st;

	buf_init(&body);
	outcome_request_encode(&body, &m);
	if (body.failed)
		st = doris_error(err, DORIS_NO_MEMORY, "asking for an outcome: out of memory");
	else
	{
		DorisBytes bytes = {body.data, body.len};

		st = source_quick(s, MSG_OUTCOME, bytes, &c, err);
	}
	if (st == DORIS_OK)
	{
		*out = (OutcomeResult) cursor_u8(&c);
		if (!cursor_at_end(&c))
			st =
				doris_error(err, DORIS_BAD_MESSAGE, "%s answers with an odd outcome", s->quick.who);
	}
	buf_free(&body);
	return st;
}

/* One transaction that is staged here: kept if the source holds it, applied if it is committed, else dropped. */
static DorisStatus agree_txn(Recoverer *r, Source *s, uint32_t vnode, uint64_t changed,
							 DorisTxnId txn, DorisError *err)
{
	Worker *w = &r->w;
	Remembered known;
	FinishResult result = FINISHED;
	OutcomeResult outcome = OUTCOME_COMMITTED;
	uint64_t epoch;
	DorisStatus st = memory_load(w, txn, &known, err);

	if (st != DORIS_OK)
		return st;
	if (!recover_still(w->node, vnode, changed, &epoch))
		return doris_error(err, DORIS_STALE_EPOCH, "the placement of vnode %u has changed", vnode);
	if (!known.committed)
		st = ask_outcome(s, vnode, txn, &outcome, err);
	if (st == DORIS_OK && outcome == OUTCOME_HORIZON)
		st = take_rows_of(r, s, vnode, changed, txn, err);
	if (st != DORIS_OK || outcome == OUTCOME_HELD)
		return st;
	node_count(w->node, COUNT_SETTLED, 1);
	/* a drop is fenced by the epoch in which the source refused it (rule close) */
	if (outcome != OUTCOME_COMMITTED)
		st = merge_end(w, epoch, txn, false, vnode, &result, err);
	if (st == DORIS_OK && result == FINISH_STALE)
		st = doris_error(err, DORIS_STALE_EPOCH, "the placement of vnode %u has changed", vnode);
	if (st == DORIS_OK && (outcome == OUTCOME_COMMITTED || result == FINISH_COMMITTED))
		st = merge_end(w, 0, txn, true, vnode, &result, err);
	return st;
}

static DorisStatus agree_txns(Recoverer *r, Source *s, uint32_t vnode, uint64_t changed,
							  const TxnList *l, DorisError *err)
{
	DorisStatus st = DORIS_OK;

	for (uint32_t i = 0; st == DORIS_OK && i < l->n; i++)
	{
		st = agree_txn(r, s, vnode, changed, l->txns[i], err);
		if (st == DORIS_OK)
			st = recover_between(r, 0, err);
	}
	return st;
}

DorisStatus agree_vnode(Recoverer *r, Source *s, const Todo *t, DorisError *err)
{
	TxnList staged = {0};
	bool crowded = true;
	DorisStatus st = DORIS_OK;

	if (t->theirs.kept.staged > 0)
		st = take_staged(r, s, t->vnode, t->changed, false, NULL, err);
	/* once is enough, unless the source changed its mind about rivals while it was asked */
	for (int lap = 0; st == DORIS_OK && crowded; lap++)
	{
		st = list_staged(&r->w, t->vnode, &staged, &crowded, err);
		if (st == DORIS_OK && lap > 0 && !crowded)
			break;
		if (st == DORIS_OK && lap == MAX_LAPS)
			st = doris_error(err, DORIS_LIMIT, "vnode %u does not come to rest", t->vnode);
		if (st == DORIS_OK)
			st = agree_txns(r, s, t->vnode, t->changed, &staged, err);
	}
	txn_list_free(&staged);
	return st;
}

DorisStatus agree_want(Recoverer *r, Source *s, uint32_t vnode, uint64_t changed, bool judges,
					   DorisError *err)
{
	TxnList rivals = {0};
	bool more = true;
	DorisStatus st = DORIS_OK;

	for (int lap = 0; st == DORIS_OK && more; lap++)
	{
		st = take_staged(r, s, vnode, changed, judges, &rivals, err);
		more = rivals.n > 0;
		if (st == DORIS_OK && more && lap == MAX_LAPS)
			st = doris_error(err, DORIS_LIMIT, "vnode %u does not come to rest", vnode);
		/* the source decides between rivals; then there is room for what it holds */
		if (st == DORIS_OK && more)
			st = agree_txns(r, s, vnode, changed, &rivals, err);
		txn_list_free(&rivals);
	}
	return st;
}
