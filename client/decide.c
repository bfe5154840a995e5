/*
 * decide.c: the decision rows of named transactions, written after their commit was told (rules *named*, *decided first*).
 *
 * A named transaction is committed once all judges hold it, and its client is told so. But nodes remember what is
 * committed only up to their horizon: one that holds it staged beyond that, with everybody else having forgotten it, could
 * not find out. So nothing of it is applied and nobody is told before its decision row "C" is there: it is sent when the
 * commit is told, nobody waits for it, and FINISH follows when all its targets hold it. Should it not get there (the client
 * dies, a node fails), whoever meets the rows finds them held by all and writes the decision row (close.c).
 */
#include <stdlib.h>
#include <string.h>

#include "txn.h"

#define DECIDE_SLICE_MS 2000 /* for the answers to one try */
#define DECIDE_REST_MS 100	 /* before another */

/* A target of the transaction's rows, to be told when the decision row is there. */
typedef struct Told
{
	uint32_t node;
	uint32_t n;
	uint32_t vnodes[1 + DORIS_MAX_OTHERS];
} Told;

struct Deciding
{
	Deciding *next;
	DorisTxnId txn;
	DorisVersion version;
	uint64_t expires_ms;
	uint32_t vnode; /* of the decision row */
	Topology *topo; /* of this try */
	int tries;
	uint64_t rest_until; /* not 0: no call is under way */
	uint64_t slice;
	bool awaited; /* decide_await looks at its calls: they must not go */
	int ncalls;
	Call *calls;
	uint32_t ntold;
	Told told[];
};

/* ---- named transactions whose decision row is known to be there ---- */
void told_add(DorisClient *c, DorisTxnId txn, DorisVersion version)
{
	if (!told_known(c, txn))
		c->told[c->ntold++ % CLIENT_TOLD] = (ToldTxn){.txn = txn, .version = version};
}

bool told_known(const DorisClient *c, DorisTxnId txn)
{
	uint32_t n = c->ntold < CLIENT_TOLD ? c->ntold : CLIENT_TOLD;

	for (uint32_t i = 0; i < n; i++)
		if (txnid_compare(c->told[i].txn, txn) == 0)
			return true;
	return false;
}

bool told_by_version(const DorisClient *c, DorisVersion version, DorisTxnId *out)
{
	uint32_t n = c->ntold < CLIENT_TOLD ? c->ntold : CLIENT_TOLD;

	for (uint32_t i = 0; i < n; i++)
		if (version_compare(c->told[i].version, version) == 0)
		{
			*out = c->told[i].txn;
			return true;
		}
	return false;
}

/* ---- one of them ---- */

/* Sends "C" to its targets under the newest topology. False: somebody else has to. */
static bool deciding_send(DorisClient *c, Deciding *d)
{
	TopoTarget targets[DORIS_MAX_TARGETS];
	uint8_t id[DORIS_TXNID_SIZE];
	StageRow row = {
		.at = {.space = DORIS_SPACE_DECISIONS, .vnode = d->vnode, .key = {id, sizeof(id)}},
		.kind = WRITE_INSERT,
		.value = {(const uint8_t *) "C", 1}};
	StageRequest req = {.txn = decision_txn(d->txn),
						.version = d->version,
						.mode = TXN_SINGLE,
						.decision_vnode = d->vnode,
						.expires_ms = d->expires_ms,
						.nrows = 1,
						.rows = &row};

	txnid_to_key(d->txn, id);
	topology_unref(d->topo);
	d->topo = topology_ref(c->topo);
	d->ncalls = topology_targets(d->topo, d->vnode, targets);
	d->rest_until = 0;
	d->slice = clock_mono_ms() + DECIDE_SLICE_MS;
	d->tries++;
	d->calls = calloc((size_t) d->ncalls + 1, sizeof(*d->calls));
	if (d->calls == NULL)
		d->ncalls = 0;
	for (int i = 0; i < d->ncalls; i++)
		call_init(&d->calls[i]);
	for (int i = 0; i < d->ncalls; i++)
	{
		Peer *p = peer_of_node(c, targets[i].node);

		/* a hint would have to be waited for */
		if (targets[i].failed || p == NULL)
			return false;
		stage_request_encode(&d->calls[i].body, &req);
		d->calls[i].line = &p->background;
		call_start(c, &d->calls[i], p, MSG_STAGE, d->topo, d->slice);
		FAULT_POINT("client-deciding");
	}
	return d->calls != NULL;
}

static void deciding_calls_free(DorisClient *c, Deciding *d)
{
	for (int i = 0; i < d->ncalls; i++)
		call_free(c, &d->calls[i]);
	free(d->calls);
	d->calls = NULL;
	d->ncalls = 0;
}

static void deciding_end(DorisClient *c, Deciding *d)
{
	Deciding **at = &c->deciding;

	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	c->nwork--;
	deciding_calls_free(c, d);
	topology_unref(d->topo);
	free(d);
}

/* All targets of the decision row hold it: the targets of the rows are told. */
static void deciding_done(DorisClient *c, const Deciding *d)
{
	FinishGroup *group = finish_group_new(decision_txn(d->txn), d->vnode, d->topo);

	FAULT_POINT("client-decided");
	told_add(c, d->txn, d->version);
	recent_add(c, decision_txn(d->txn));
	for (uint32_t i = 0; i < d->ntold; i++)
	{
		const Told *t = &d->told[i];
		const TopoNode *node = topology_node(c->topo, t->node);
		Peer *p = node != NULL ? peer_of_node(c, node) : NULL;

		if (p != NULL)
			finish_queue(c, p, d->txn, true, t->vnodes, t->n, group);
		else
			finish_group_failed(group);
		FAULT_POINT("client-finishing");
	}
	finish_group_sealed(c, group);
}

typedef enum Answers
{
	ANSWERS_OPEN,
	ANSWERS_HELD,
	ANSWERS_AGAIN,
	ANSWERS_REFUSED
} Answers;

static Answers deciding_look(DorisClient *c, Deciding *d)
{
	Answers a = ANSWERS_HELD;

	for (int i = 0; i < d->ncalls; i++)
	{
		Call *call = &d->calls[i];
		DorisCursor at;
		StageReply reply;
		DorisError ignored;

		if (call->state != CALL_DONE)
			call_pump(c, call, true);
		if (call->state != CALL_DONE)
		{
			a = a == ANSWERS_HELD ? ANSWERS_OPEN : a;
			continue;
		}
		at = call->reply;
		if (call->status != DORIS_OK || stage_reply_decode(&at, &reply, &ignored) != DORIS_OK)
		{
			a = a == ANSWERS_REFUSED ? a : ANSWERS_AGAIN;
			continue;
		}
		if (!reply.held)
			a = ANSWERS_REFUSED;
		stage_reply_free(&reply);
	}
	return a;
}

/* False: it is not to be gone on with. */
static bool deciding_turn(DorisClient *c, Deciding *d)
{
	uint64_t now = clock_mono_ms();
	Answers a;

	if (d->rest_until != 0)
		return now < d->rest_until || deciding_send(c, d);
	a = deciding_look(c, d);
	if (a == ANSWERS_OPEN && now >= d->slice)
	{
		for (int i = 0; i < d->ncalls; i++)
			if (d->calls[i].state != CALL_DONE)
				call_cut(c, &d->calls[i]);
		a = ANSWERS_AGAIN;
	}
	if (a == ANSWERS_OPEN)
		return true;
	if (a == ANSWERS_HELD)
		deciding_done(c, d);
	if (a != ANSWERS_AGAIN || d->tries >= CLIENT_TRIES)
		return false;
	deciding_calls_free(c, d);
	d->rest_until = now + DECIDE_REST_MS;
	return true;
}

/* ---- all of them ---- */
void decide_start(Txn *x)
{
	DorisClient *c = x->c;
	Deciding *d = calloc(1, sizeof(*d) + x->ntargets * sizeof(Told));

	recent_add(c, x->id);
	FAULT_POINT("client-named");
	if (d == NULL)
		return; /* whoever meets the rows does it */
	d->txn = x->id;
	d->version = x->version;
	d->expires_ms = x->expires_ms;
	d->vnode = x->vnode;
	for (uint32_t i = 0; i < x->nplaces; i++)
		for (int k = 0; k < x->places[i].n; k++)
		{
			uint32_t node = x->places[i].targets[k]->node;
			uint32_t t = 0;

			if (x->places[i].targets[k]->failed)
				continue; /* its copies are made complete by a pass, which brings the outcome */
			while (t < d->ntold && d->told[t].node != node)
				t++;
			if (t == d->ntold)
				d->told[d->ntold++].node = node;
			d->told[t].vnodes[d->told[t].n++] = x->places[i].vnode;
		}
	d->next = c->deciding;
	c->deciding = d;
	c->nwork++;
	if (!deciding_send(c, d))
		deciding_end(c, d);
}

void decide_pump(DorisClient *c)
{
	Deciding *next;

	for (Deciding *d = c->deciding; d != NULL; d = next)
	{
		next = d->next;
		if (!d->awaited && !deciding_turn(c, d))
			deciding_end(c, d);
	}
}

DorisStatus decide_await(DorisClient *c, DorisVersion version, uint64_t until, DorisError *err)
{
	for (;;)
	{
		Deciding *d = c->deciding;
		Call *calls[DORIS_MAX_TARGETS];
		uint64_t slice = clock_mono_ms() + DECIDE_REST_MS;
		DorisStatus st;

		while (d != NULL && version_compare(d->version, version) != 0)
			d = d->next;
		if (d == NULL || clock_mono_ms() >= until)
			return DORIS_OK;
		for (int i = 0; i < d->ncalls; i++)
			calls[i] = &d->calls[i];
		if (d->ncalls == 0)
			st = client_pause(c, DECIDE_REST_MS / 10, err);
		else
		{
			d->awaited = true;
			st = calls_wait(c, calls, d->ncalls, true, slice < until ? slice : until, err);
			d->awaited = false;
		}
		if (st != DORIS_OK && st != DORIS_TIMEOUT)
			return st;
		decide_pump(c);
	}
}

void decide_forget(DorisClient *c)
{
	while (c->deciding != NULL)
		deciding_end(c, c->deciding);
}
