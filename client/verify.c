/*
 * verify.c: compares the copies of vnodes while writes go on.
 *
 * All copies tell their digests, values included; equal ones end it. Digests that differ are asked for once more a little later, as
 * a write that was acknowledged is finished within some ms; what differs then is compared row by row (compare.c). A copy that
 * cannot be asked, or is not complete, makes its vnode unknown, never equal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define VERIFY_ROUNDS 6		/* placements that changed under it included */
#define VERIFY_SETTLE_MS 80 /* before the digests are asked for again */
#define VERIFY_LOOK_MS 500	/* of silence: then the newest topology is looked at */

/* A vnode under comparison. */
typedef struct Look
{
	DorisVnodeCheck *check;
	bool open;	   /* no verdict yet */
	bool differed; /* its digests did, once, or were not final */
	bool moved;	   /* in this round: the placement is another one */
	/* of this round, by group */
	ComparedCopy copies[DORIS_MAX_GROUPS];
	VnodeDigest digests[DORIS_MAX_GROUPS];
} Look;

/* What one node is asked. */
typedef struct Ask
{
	const TopoNode *node;
	Peer *peer;
	uint32_t *looks; /* indexes of looks, and of the group whose copy is meant */
	uint8_t *groups;
	uint32_t *vnodes;
	uint32_t n;
	uint32_t cap;
	uint32_t at; /* answered so far */
	bool started;
	Call call;
} Ask;

typedef struct Round
{
	DorisClient *c;
	Topology *topo;
	uint32_t ns;
	Look *looks;
	uint32_t nlooks;
	Ask *asks;
	Call **waiting;
	uint32_t nasks;
	uint32_t cap;
} Round;

const char *doris_verdict_name(DorisVerdict v)
{
	switch (v)
	{
		case DORIS_COPIES_EQUAL:
			return "equal";
		case DORIS_COPIES_DIFFERENT:
			return "different";
		case DORIS_COPIES_UNSETTLED:
			return "unsettled";
		case DORIS_COPIES_UNKNOWN:
			break;
	}
	return "unknown";
}

static void give_up(Look *l, const char *why)
{
	l->open = false;
	l->check->verdict = DORIS_COPIES_UNKNOWN;
	(void) snprintf(l->check->why, sizeof(l->check->why), "%.250s", why);
}

/* ---- asking ---- */

static bool ask_add(Round *r, const TopoNode *node, uint32_t look, uint8_t group)
{
	Ask *a;
	uint32_t k = 0;

	while (k < r->nasks && r->asks[k].node->id != node->id)
		k++;
	if (k == r->cap)
	{
		uint32_t cap = r->cap > 0 ? r->cap * 2 : 4;
		Ask *asks = realloc(r->asks, cap * sizeof(*asks));

		if (asks == NULL)
			return false;
		r->asks = asks;
		r->cap = cap;
	}
	a = &r->asks[k];
	if (k == r->nasks)
	{
		memset(a, 0, sizeof(*a));
		a->node = node;
		r->nasks++;
	}
	if (a->n == a->cap)
	{
		/* at most one for each copy */
		uint32_t cap = r->nlooks * DORIS_MAX_GROUPS;

		a->looks = malloc(cap * sizeof(*a->looks));
		a->groups = malloc(cap * sizeof(*a->groups));
		a->vnodes = malloc(cap * sizeof(*a->vnodes));
		if (a->looks == NULL || a->groups == NULL || a->vnodes == NULL)
			return false;
		a->cap = cap;
	}
	a->looks[a->n] = look;
	a->groups[a->n] = group;
	a->vnodes[a->n++] = r->looks[look].check->vnode;
	return true;
}

/* Whom to ask. Vnodes with a copy that cannot be compared are given up here. */
static DorisStatus round_plan(Round *r, DorisError *err)
{
	const Topology *t = r->topo;
	bool good = true;

	for (uint32_t i = 0; i < r->nlooks; i++)
	{
		Look *l = &r->looks[i];

		l->moved = false;
		for (uint32_t g = 1; g <= t->groups && l->open; g++)
		{
			const TopoCopy *copy = topology_copy(t, g, l->check->vnode);
			const TopoNode *node = topology_node(t, copy->owner);
			char why[200];

			if (node == NULL || !copy->complete || node->condition != NODE_UP)
			{
				(void) snprintf(why, sizeof(why), "the copy of group %u on node %s is %s", g,
								node == NULL ? "?" : node->name,
								node != NULL && node->condition != NODE_UP ? "down"
																		   : "not complete");
				give_up(l, why);
			}
			else
				l->copies[g - 1] = (ComparedCopy){.node = node};
		}
		for (uint32_t g = 1; g <= t->groups && l->open; g++)
			good = good && ask_add(r, l->copies[g - 1].node, i, (uint8_t) (g - 1));
	}
	r->waiting = calloc(r->nasks + 1, sizeof(*r->waiting));
	if (!good || r->waiting == NULL)
		return client_no_memory(err);
	for (uint32_t i = 0; i < r->nasks; i++)
	{
		Ask *a = &r->asks[i];

		a->peer = peer_of_node(r->c, a->node);
		if (a->peer == NULL)
			return client_no_memory(err);
		call_init(&a->call);
		a->started = true;
	}
	return DORIS_OK;
}

static void ask_fail(Round *r, Ask *a, DorisStatus st, const DorisError *why)
{
	for (; a->at < a->n; a->at++)
	{
		Look *l = &r->looks[a->looks[a->at]];

		if (status_is_moved(st))
			l->moved = true;
		else if (l->open)
			give_up(l, why->message);
	}
}

static void ask_send(Round *r, Ask *a)
{
	DigestRequest req = {.ns = r->ns, .nvnodes = a->n - a->at, .vnodes = a->vnodes + a->at};

	buf_reset(&a->call.body);
	digest_request_encode(&a->call.body, &req);
	call_start(r->c, &a->call, a->peer, MSG_DIGEST, r->topo, r->c->until);
}

static DorisStatus ask_take(Round *r, Ask *a, DorisError *err)
{
	DigestReply reply = {0};
	DorisError why = a->call.err;
	DorisStatus st = a->call.status;

	if (st == DORIS_OK)
		st = digest_reply_decode(&a->call.reply, &reply, &why);
	if (st == DORIS_OK && (reply.n == 0 || reply.n > a->n - a->at))
		st = doris_error(&why, DORIS_BAD_MESSAGE, "%s answered for %u vnodes of %u",
						 peer_name(r->c, a->peer), reply.n, a->n - a->at);
	/* rule lease: one that may have been judged failed without knowing it tells what was */
	if (st == DORIS_OK && !a->call.leased)
		st = lease_confirm(r->c, r->topo, a->node->id, a->vnodes + a->at, reply.n, r->c->until,
						   &why);
	if (st == DORIS_CANCELLED || st == DORIS_NO_MEMORY)
		*err = why;
	else if (st != DORIS_OK)
	{
		ask_fail(r, a, st, &why);
		st = DORIS_OK;
	}
	else
		for (uint32_t i = 0; i < reply.n; i++, a->at++)
		{
			Look *l = &r->looks[a->looks[a->at]];

			l->digests[a->groups[a->at]] = reply.vnodes[i];
			l->copies[a->groups[a->at]].purged = reply.vnodes[i].purged;
		}
	digest_reply_free(&reply);
	call_abandon(r->c, &a->call);
	return st;
}

/* Nobody has answered for a while: is one of those we wait for called down meanwhile? */
static void drop_failed(Round *r)
{
	DorisClient *c = r->c;
	uint64_t slice = clock_mono_ms() + VERIFY_LOOK_MS;
	DorisError why;

	if (client_refresh(c, 0, slice < c->until ? slice : c->until, &why) != DORIS_OK)
		return;
	for (uint32_t i = 0; i < r->nasks; i++)
	{
		Ask *a = &r->asks[i];
		const TopoNode *node = topology_node(c->topo, a->node->id);

		if (a->at == a->n || (node != NULL && node->condition == NODE_UP))
			continue;
		(void) doris_error(&why, DORIS_UNREACHABLE, "node %s is down", a->node->name);
		call_cut(c, &a->call);
		ask_fail(r, a, DORIS_UNREACHABLE, &why);
	}
}

static DorisStatus round_ask(Round *r, DorisError *err)
{
	DorisClient *c = r->c;

	for (;;)
	{
		uint64_t slice = clock_mono_ms() + VERIFY_LOOK_MS;
		uint32_t open = 0;
		DorisError why;
		DorisStatus st;

		for (uint32_t i = 0; i < r->nasks; i++)
		{
			Ask *a = &r->asks[i];

			r->waiting[i] = NULL;
			if (a->call.state == CALL_DONE)
			{
				st = ask_take(r, a, err);
				if (st != DORIS_OK)
					return st;
			}
			if (a->at == a->n)
				continue;
			if (clock_mono_ms() >= c->until)
			{
				(void) doris_error(&why, DORIS_TIMEOUT, "%s did not answer in time",
								   peer_name(c, a->peer));
				call_cut(c, &a->call);
				ask_fail(r, a, DORIS_TIMEOUT, &why);
				continue;
			}
			if (a->call.state == CALL_IDLE)
				ask_send(r, a);
			r->waiting[i] = &a->call;
			open++;
		}
		if (open == 0)
			return DORIS_OK;
		st = calls_wait(c, r->waiting, (int) r->nasks, false, slice < c->until ? slice : c->until,
						&why);
		if (st == DORIS_TIMEOUT)
			drop_failed(r);
		else if (st != DORIS_OK)
		{
			*err = why;
			return st;
		}
	}
}

static void round_free(Round *r)
{
	for (uint32_t i = 0; i < r->nasks; i++)
	{
		Ask *a = &r->asks[i];

		if (a->started)
			call_free(r->c, &a->call);
		free(a->looks);
		free(a->groups);
		free(a->vnodes);
	}
	free(r->asks);
	free(r->waiting);
}

/* ---- judging ---- */

static void note_sums(const Topology *t, Look *l)
{
	DorisVnodeCheck *k = l->check;

	k->copies = t->groups;
	k->rows = l->digests[0].rows;
	k->bytes = l->digests[0].bytes;
	k->tombstones = l->digests[0].tombstones;
	k->oldest = k->purged = 0;
	for (uint32_t g = 0; g < t->groups; g++)
	{
		const VnodeDigest *d = &l->digests[g];

		if (d->oldest != 0 && (k->oldest == 0 || d->oldest < k->oldest))
			k->oldest = d->oldest;
		if (d->purged > k->purged)
			k->purged = d->purged;
	}
}

static bool digests_equal(const Topology *t, const Look *l)
{
	for (uint32_t g = 1; g < t->groups; g++)
	{
		const VnodeDigest *a = &l->digests[0];
		const VnodeDigest *b = &l->digests[g];

		if (a->digest != b->digest || a->rows != b->rows || a->tombstones != b->tombstones)
			return false;
	}
	return true;
}

/* A write that was acknowledged just now may still be staged everywhere: counted once it is finished. */
static bool any_staged(const Topology *t, const Look *l)
{
	bool any = false;

	for (uint32_t g = 0; g < t->groups; g++)
		any = any || l->digests[g].staged > 0;
	return any;
}

static DorisStatus look_at_rows(Round *r, Look *l, bool repair, DorisError *err)
{
	DorisVnodeCheck *k = l->check;
	DorisError why;
	DorisStatus st = compare_rows(r->c, r->topo, r->ns, l->copies, (int) r->topo->groups, repair, k,
								  r->c->until, &why);

	if (st == DORIS_CANCELLED || st == DORIS_NO_MEMORY)
	{
		*err = why;
		return st;
	}
	if (status_is_moved(st))
		l->moved = true;
	else if (st != DORIS_OK)
		give_up(l, why.message);
	else
	{
		l->open = false;
		k->verdict = k->different > 0	? DORIS_COPIES_DIFFERENT
					 : k->unsettled > 0 ? DORIS_COPIES_UNSETTLED
										: DORIS_COPIES_EQUAL;
	}
	return DORIS_OK;
}

/* Under one topology. *moved: some vnodes are not where it says. */
static DorisStatus verify_round(Round *r, bool repair, bool *moved, DorisError *err)
{
	DorisStatus st = round_plan(r, err);

	if (st == DORIS_OK)
		st = round_ask(r, err);
	for (uint32_t i = 0; i < r->nlooks && st == DORIS_OK; i++)
	{
		Look *l = &r->looks[i];

		if (!l->open || l->moved)
			continue;
		note_sums(r->topo, l);
		if (digests_equal(r->topo, l) && (l->differed || !any_staged(r->topo, l)))
		{
			l->open = false;
			l->check->verdict = DORIS_COPIES_EQUAL;
		}
		else if (!l->differed)
			l->differed = true;
		else
			st = look_at_rows(r, l, repair, err);
	}
	*moved = false;
	for (uint32_t i = 0; i < r->nlooks; i++)
		*moved = *moved || (r->looks[i].open && r->looks[i].moved);
	round_free(r);
	return st;
}

DorisStatus doris_verify(DorisClient *c, uint32_t ns, const uint32_t *vnodes, uint32_t n,
						 bool repair, DorisVnodeCheck *out, DorisError *err)
{
	Look *looks = calloc(n + 1, sizeof(*looks));
	uint32_t open = n;
	DorisStatus st = DORIS_OK;

	if (looks == NULL)
		return client_no_memory(err);
	client_begin(c);
	for (uint32_t i = 0; i < n; i++)
	{
		out[i] = (DorisVnodeCheck){.vnode = vnodes[i], .verdict = DORIS_COPIES_UNKNOWN};
		looks[i] = (Look){.check = &out[i], .open = true};
		if (vnodes[i] >= c->topo->vnodes)
			give_up(&looks[i], "there is no such vnode");
	}
	for (int round = 0; round < VERIFY_ROUNDS && open > 0 && st == DORIS_OK; round++)
	{
		Round r = {.c = c, .topo = topology_ref(c->topo), .ns = ns, .looks = looks, .nlooks = n};
		bool moved;
		DorisError ignored;

		if (round > 0)
			st = client_pause(c, VERIFY_SETTLE_MS, err);
		if (st == DORIS_OK)
			st = verify_round(&r, repair, &moved, err);
		/* that no newer topology is to be had shows in the next round */
		if (st == DORIS_OK && moved &&
			client_moved(c, r.topo->epoch, c->until, &ignored) == DORIS_CANCELLED)
		{
			*err = ignored;
			st = DORIS_CANCELLED;
		}
		topology_unref(r.topo);
		open = 0;
		for (uint32_t i = 0; i < n; i++)
			open += looks[i].open;
	}
	for (uint32_t i = 0; i < n && st == DORIS_OK; i++)
		if (looks[i].open)
			give_up(&looks[i], "the placement keeps changing");
	free(looks);
	return st;
}
