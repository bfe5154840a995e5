/*
 * finish.c: FINISH messages in the background.
 *
 * Rule *finish*: when the outcome of a transaction is known, its targets are told, many transactions in one message, and nobody
 * waits for it: whoever meets a staged write finds the outcome without us. So an item that
 * cannot be delivered is given up after a few tries; but one that says abort is kept for as long as others would wait for that
 * transaction, unless a pass does its work: the only complete copy of a vnode is up by the map though nobody reaches it. A client that commits in quick succession sends them together: each
 * message costs a node as much as staging a row. Only one thing depends on the answers: a decision row is
 * finished (and later forgotten by the nodes) only after every target has acknowledged. The others ride on the next STAGE to
 * the same node, when there is one soon.
 *
 * Items that say abort are only ever queued for transactions that can never commit, in any epoch.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define FINISH_ITEMS 1024 /* of one message */
#define FINISH_PATIENCE_MS \
	30000 /* a node that does not answer in this is cut off; it may have millions of rows to end */
#define FINISH_LAZY_MS 50	 /* one message to a node in this time, unless */
#define FINISH_LAZY_ITEMS 64 /* so many items wait for it */
#define FINISH_REST_MS 100	 /* after a failure, growing */
#define FINISH_REST_MAX_MS 1600
#define FINISH_MAX_IDS (1u << 18) /* vnode numbers in one message: 1 MiB */

struct FinishWork
{
	FinishWork *next;
	DorisTxnId txn;
	bool commit;
	uint32_t target; /* not 0: a hint for this node, the peer is a log node */
	int tries;
	uint64_t until;		/* an abort: it is not given up before, while the node is up by the map */
	FinishGroup *group; /* or NULL */
	uint32_t n;
	uint32_t vnodes[];
};

struct FinishGroup
{
	uint32_t waiting;	 /* items not answered yet */
	bool sealed;		 /* no more will be added */
	bool failed;		 /* an item was given up: the decision row has to stay */
	DorisTxnId decision; /* the transaction that staged the decision row */
	uint32_t vnode;		 /* of the decision row */
	Topology *topo;		 /* NULL: there is no decision row to finish */
};

FinishGroup *finish_group_new(DorisTxnId decision, uint32_t vnode, Topology *t)
{
	FinishGroup *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return NULL;
	g->decision = decision;
	g->vnode = vnode;
	g->topo = t != NULL ? topology_ref(t) : NULL;
	return g;
}

static void group_check(DorisClient *c, FinishGroup *g)
{
	TopoTarget targets[DORIS_MAX_TARGETS];
	int n;
	int i;

	if (!g->sealed || g->waiting > 0)
		return;
	if (!g->failed && g->topo != NULL)
	{
		FAULT_POINT("client-finish-decision");
		n = topology_targets(g->topo, g->vnode, targets);
		for (i = 0; i < n; i++)
		{
			Peer *p = targets[i].failed ? NULL : peer_of_node(c, targets[i].node);

			if (p != NULL)
				finish_queue(c, p, g->decision, true, &g->vnode, 1, NULL);
		}
	}
	topology_unref(g->topo);
	free(g);
}

void finish_group_failed(FinishGroup *group)
{
	if (group != NULL)
		group->failed = true;
}

void finish_group_sealed(DorisClient *c, FinishGroup *group)
{
	if (group == NULL)
		return;
	group->sealed = true;
	group_check(c, group);
}

static void queue_work(DorisClient *c, Peer *p, uint32_t target, DorisTxnId txn, bool commit,
					   const uint32_t *vnodes, uint32_t n, FinishGroup *group)
{
	FinishWork *w = malloc(sizeof(*w) + n * sizeof(uint32_t));

	if (w == NULL)
	{
		if (group != NULL)
			group->failed = true;
		return;
	}
	*w = (FinishWork){.txn = txn,
					  .commit = commit,
					  .target = target,
					  .until = clock_mono_ms() + CLIENT_EXPIRES_MAX_MS,
					  .group = group,
					  .n = n};
	if (n > 0)
		memcpy(w->vnodes, vnodes, n * sizeof(uint32_t));
	if (group != NULL)
		group->waiting++;
	if (p->work == NULL)
		p->work = w;
	else
		p->work_last->next = w;
	p->work_last = w;
	p->nwork++;
	c->nwork++;
	p->urgent |= !commit; /* somebody waits for it, or will meet it */
}

void finish_queue(DorisClient *c, Peer *p, DorisTxnId txn, bool commit, const uint32_t *vnodes,
				  uint32_t n, FinishGroup *group)
{
	queue_work(c, p, 0, txn, commit, vnodes, n, group);
}

void finish_queue_hint(DorisClient *c, Peer *p, uint32_t target, DorisTxnId txn)
{
	queue_work(c, p, target, txn, true, NULL, 0, NULL);
}

/* Takes the first item off; done: acknowledged. */
static void work_drop(DorisClient *c, Peer *p, bool done)
{
	FinishWork *w = p->work;
	FinishGroup *g = w->group;

	p->work = w->next;
	if (p->work == NULL)
		p->work_last = NULL;
	p->nwork--;
	c->nwork--;
	free(w);
	if (g != NULL)
	{
		g->waiting--;
		if (!done)
			g->failed = true;
		group_check(c, g);
	}
}

/* Puts the first item at the end, for another try. */
static void work_again(DorisClient *c, Peer *p)
{
	FinishWork *w = p->work;
	const TopoNode *node = client_node_at(c, p->address);
	bool owed;

	assert(w != NULL);
	owed = !w->commit && clock_mono_ms() < w->until && c->nwork <= CLIENT_MAX_FINISH &&
		   node != NULL && node->condition == NODE_UP;
	if (++w->tries >= CLIENT_TRIES && !owed)
	{
		work_drop(c, p, false);
		return;
	}
	if (w->next == NULL)
		return;
	p->work = w->next;
	w->next = NULL;
	p->work_last->next = w;
	p->work_last = w;
}

static void finish_take(DorisClient *c, Peer *p)
{
	Call *call = p->finishing;
	uint32_t sent = p->nsent;
	uint32_t i;

	p->nsent = 0;
	if (call->state == CALL_DONE && call->status == DORIS_OK && call->type == MSG_HINT)
		for (i = 0; i < sent; i++)
			work_drop(c, p, true);
	else if (call->state == CALL_DONE && call->status == DORIS_OK &&
			 cursor_u32(&call->reply) == sent && cursor_left(&call->reply) == sent)
	{
		p->rest_until = 0;
		for (i = 0; i < sent; i++)
		{
			uint8_t r = cursor_u8(&call->reply);

			/* stale: the topology at hand is older than the node's; the next try goes by a newer one */
			if (r == FINISHED || r == FINISH_COMMITTED)
				work_drop(c, p, true);
			else
				work_again(c, p);
		}
	}
	else
	{
		int tries = p->work != NULL ? p->work->tries : 0;

		p->rest_until = clock_mono_ms() +
						(uint64_t) (tries < 2 ? FINISH_REST_MS << (2 * tries) : FINISH_REST_MAX_MS);
		for (i = 0; i < sent; i++)
			work_again(c, p);
	}
	call_abandon(c, call);
}

static void finish_send(DorisClient *c, Peer *p)
{
	FinishItem items[FINISH_ITEMS];
	FinishRequest req = {.items = items};
	FinishWork *w;
	uint32_t ids = 0;

	if (p->work == NULL)
		return;
	if (p->finishing == NULL)
	{
		p->finishing = malloc(sizeof(Call));
		if (p->finishing == NULL)
			return;
		call_init(p->finishing);
	}
	for (w = p->work; w != NULL && req.nitems < FINISH_ITEMS; w = w->next)
	{
		if (req.nitems > 0 && (ids + w->n > FINISH_MAX_IDS || w->target != p->work->target))
			break;
		ids += w->n;
		items[req.nitems++] =
			(FinishItem){.txn = w->txn, .commit = w->commit, .nvnodes = w->n, .vnodes = w->vnodes};
	}
	buf_reset(&p->finishing->body);
	if (p->work->target == 0)
		finish_request_encode(&p->finishing->body, &req);
	else
	{
		DorisBuf body;

		buf_init(&body);
		finish_request_encode(&body, &req);
		hint_wrap(&p->finishing->body, p->work->target, MSG_FINISH, &body);
		buf_free(&body);
	}
	p->nsent = req.nitems;
	p->finishing->line = &p->background;
	p->finish_sent_ms = clock_mono_ms();
	p->urgent = false;
	call_start(c, p->finishing, p, p->work->target == 0 ? MSG_FINISH : MSG_HINT, c->topo,
			   clock_mono_ms() + FINISH_PATIENCE_MS);
}

uint32_t finish_ride(DorisClient *c, Peer *p, DorisTxnId *out, uint32_t max)
{
	FinishWork **at = &p->work;
	FinishWork *last = NULL;
	uint32_t n = 0;
	uint32_t i = 0;

	while (*at != NULL)
	{
		FinishWork *w = *at;

		/* the first nsent are under way in a message of their own */
		if (i++ < p->nsent || !w->commit || w->target != 0 || w->group != NULL || n == max)
		{
			last = w;
			at = &w->next;
			continue;
		}
		out[n++] = w->txn;
		*at = w->next;
		p->nwork--;
		c->nwork--;
		free(w);
	}
	p->work_last = last;
	return n;
}

void finish_pump(DorisClient *c)
{
	Peer *p;

	decide_pump(c);
	for (p = c->peers; p != NULL; p = p->next)
	{
		Call *call = p->finishing;

		if (call != NULL && call->state != CALL_IDLE)
		{
			call_pump(c, call, true);
			if (call->state != CALL_DONE)
			{
				if (clock_mono_ms() < call->until)
					continue;
				call_cut(c, call);
			}
			finish_take(c, p);
		}
		if (p->nwork > 0 && (p->rest_until == 0 || clock_mono_ms() >= p->rest_until) &&
			(p->urgent || c->flushing || p->nwork >= FINISH_LAZY_ITEMS ||
			 clock_mono_ms() - p->finish_sent_ms >= FINISH_LAZY_MS))
			finish_send(c, p);
	}
}

void finish_flush(DorisClient *c, const FinishGroup *group, uint32_t left, int ms)
{
	uint64_t until = clock_mono_ms() + (uint64_t) ms;
	DorisError err;

	c->flushing = true;
	finish_pump(c);
	while ((group != NULL ? group->waiting : c->nwork) > left && clock_mono_ms() < until)
	{
		Peer *p;
		Call *any = NULL;
		uint64_t step = clock_mono_ms() + 2;

		for (p = c->peers; p != NULL && any == NULL; p = p->next)
			if (p->nsent > 0)
				any = p->finishing;
		if (any == NULL)
		{
			if (client_pause(c, 5, &err) != DORIS_OK)
				break;
		}
		else if (calls_wait(c, &any, 1, true, step, &err) == DORIS_CANCELLED)
			break;
		finish_pump(c);
	}
	c->flushing = false;
}

void finish_forget(DorisClient *c, Peer *p)
{
	while (p->work != NULL)
	{
		/* nothing new is to be queued now */
		if (p->work->group != NULL)
			p->work->group->failed = true;
		work_drop(c, p, false);
	}
	if (p->finishing != NULL)
	{
		call_free(c, p->finishing);
		free(p->finishing);
		p->finishing = NULL;
	}
}
