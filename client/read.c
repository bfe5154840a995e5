/*
 * read.c: keys to rows.
 *
 * Rule *lead*: every row is read from the first complete copy in the order that all clients share. When that node
 * refuses, is lost, or is silent for a slice of time, the next complete copy is asked at once (I2: only
 * complete ones). A row with a staged write is settled by meet.c. What cannot be answered from any copy is tried again
 * until the deadline and then an error, never a guess.
 */
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define READ_SLICE_MAX_MS 8000
#define READ_PAUSE_MAX_MS 200

struct DorisRows
{
	Arena arena;
	DorisRow *rows;
	uint32_t n;
};

static bool is_bad(const GetKey *k, uint32_t node)
{
	uint32_t i;

	for (i = 0; i < k->nbad; i++)
		if (k->bad[i] == node)
			return true;
	return false;
}

/* The copy to ask now; NULL: there is no complete one. *exhausted: all have failed, the round starts anew. */
static const TopoNode *key_reader(DorisClient *c, Topology *t, GetKey *k, bool *exhausted)
{
	const TopoNode *readers[DORIS_MAX_GROUPS];
	const TopoNode *suspect = NULL;
	int n = topology_readers(t, k->at.vnode, c->read_group, readers);
	uint64_t now = 0;
	int i;

	if (n == 0)
		return NULL;
	for (i = 0; i < n; i++)
	{
		Peer *p;

		if (is_bad(k, readers[i]->id))
			continue;
		p = peer_of_node(c, readers[i]);
		if (p != NULL && p->suspect_until != 0)
		{
			if (now == 0)
				now = clock_mono_ms();
			if (p->suspect_until > now)
			{
				if (suspect == NULL)
					suspect = readers[i];
				continue;
			}
			p->suspect_until = 0;
		}
		if (k->nbad > 0 || i > 0)
		{
			Peer *first = peer_of_node(c, readers[0]);

			if (first != NULL)
				count_failover(c, first);
		}
		return readers[i];
	}
	if (suspect != NULL)
		return suspect;
	*exhausted = true;
	k->nbad = 0;
	return readers[0];
}

/* A failure of this kind is about the request, not about the copy that was asked. */
static bool is_final(DorisStatus st)
{
	return st == DORIS_BAD_ARGUMENT || st == DORIS_TOO_BIG || st == DORIS_DENIED;
}

typedef struct ReadRound
{
	DorisClient *c;
	Topology *topo;
	GetKey *keys;
	uint32_t n;
	const Projection *projection;
	Arena *arena;
	uint64_t until;
	RawGet *gets;	 /* room for n */
	uint32_t *which; /* get → key */
	uint32_t ngets;
	uint32_t left; /* keys without an answer after the round */
	bool moved;
	bool exhausted;	 /* every copy of some key has failed */
	bool open;		 /* some staged write could not be settled */
	DorisError last; /* the latest reason */
} ReadRound;

static DorisStatus round_plan(ReadRound *r, DorisError *err)
{
	uint32_t i;

	r->ngets = 0;
	for (i = 0; i < r->n; i++)
	{
		GetKey *k = &r->keys[i];
		const TopoNode *node;

		if (k->done)
			continue;
		if (k->at.space == DORIS_SPACE_ROWS)
			k->at.vnode = route_vnode(k->route, r->topo->vnodes);
		node = key_reader(r->c, r->topo, k, &r->exhausted);
		if (node == NULL)
		{
			doris_error(err, DORIS_UNAVAILABLE, "vnode %u of key %s has no complete copy",
						k->at.vnode, key_text(k->at.key));
			return doris_hint(err, "Look at doris_vnodes.");
		}
		r->gets[r->ngets] = (RawGet){.at = k->at, .node = node};
		r->which[r->ngets++] = i;
	}
	return DORIS_OK;
}

/* What a row with a staged write is by its outcome; of a filter it has not been judged, and is whole. */
static DorisStatus answer_met(ReadRound *r, GetKey *k, const MeetRow *m, DorisError *err)
{
	const Projection *p = r->projection;

	k->done = true;
	k->found = m->found;
	k->version = m->version;
	k->value = m->value;
	if (p->judge == NULL || !k->found)
		return DORIS_OK;
	k->found = filter_pass(p->judge, p->ns, k->at.key, m->value);
	if (p->no_values || !k->found)
		k->value = (DorisBytes){NULL, 0};
	else if (!p->all_columns)
		return value_project(r->arena, k->at.key, m->value, p->columns, p->ncolumns, &k->value,
							 err);
	return DORIS_OK;
}

static DorisStatus round_meet(ReadRound *r, uint32_t nstaged, DorisError *err)
{
	static const Projection whole = {.all_columns = true};
	MeetRow *rows = calloc(nstaged, sizeof(*rows));
	uint32_t *which = calloc(nstaged, sizeof(*which));
	uint32_t n = 0;
	uint32_t i;
	DorisStatus st;
	DorisError why = {.code = DORIS_OK};

	if (rows == NULL || which == NULL)
	{
		free(rows);
		free(which);
		return client_no_memory(err);
	}
	for (i = 0; i < r->ngets; i++)
	{
		RawGet *g = &r->gets[i];

		if (g->status != DORIS_OK || g->row.nstaged == 0)
			continue;
		rows[n] = (MeetRow){.at = g->at, .node = g->node->id, .row = g->row};
		which[n++] = r->which[i];
	}
	st = meet_rows(r->c, r->topo, rows, n, r->projection->judge != NULL ? &whole : r->projection,
				   r->arena, r->until, &why);
	for (i = 0; i < n && st == DORIS_OK; i++)
	{
		if (rows[i].outcome == TXN_OPEN)
		{
			r->open = true;
			r->left++;
		}
		else
			st = answer_met(r, &r->keys[which[i]], &rows[i], &why);
	}
	if (r->open)
		r->last = why;
	if (st != DORIS_OK)
		*err = why;
	free(rows);
	free(which);
	return st;
}

/*
 * What came without a lease has to be confirmed, rows with a staged write as well: the outcome of that says nothing about
 * the row's own placement. What is not confirmed counts as not answered.
 */
static DorisStatus round_confirm(ReadRound *r, DorisError *err)
{
	for (uint32_t i = 0; i < r->ngets; i++)
	{
		RawGet *g = &r->gets[i];
		DorisStatus st;

		if (g->status != DORIS_OK || g->leased)
			continue;
		st = lease_confirm(r->c, r->topo, g->node->id, &g->at.vnode, 1, r->until, err);
		if (st == DORIS_CANCELLED || st == DORIS_NO_MEMORY)
			return st;
		g->status = st;
		/* the rest of this node's, too, at the price of one question for each vnode */
		for (uint32_t k = i + 1; k < r->ngets; k++)
			if (!r->gets[k].leased && r->gets[k].node == g->node &&
				r->gets[k].at.vnode == g->at.vnode && r->gets[k].status == DORIS_OK)
			{
				r->gets[k].leased = true;
				r->gets[k].status = st;
			}
	}
	return DORIS_OK;
}

static DorisStatus round_run(ReadRound *r, int slice_ms, DorisError *err)
{
	DorisStatus st = round_plan(r, err);
	uint32_t nstaged = 0;
	uint32_t i;
	DorisError why = {.code = DORIS_OK};

	r->left = 0;
	if (st == DORIS_OK)
	{
		st = raw_get(r->c, r->topo, r->gets, r->ngets, r->projection, r->arena, slice_ms, r->until,
					 &why);
		if (st != DORIS_OK)
			*err = why;
	}
	if (st != DORIS_OK)
		return st;
	if (why.code != DORIS_OK)
		r->last = why;
	st = round_confirm(r, &why);
	if (st != DORIS_OK)
	{
		*err = why;
		return st;
	}
	if (why.code != DORIS_OK)
		r->last = why;
	for (i = 0; i < r->ngets; i++)
	{
		RawGet *g = &r->gets[i];
		GetKey *k = &r->keys[r->which[i]];

		if (g->status == DORIS_OK && g->row.nstaged > 0)
			nstaged++;
		else if (g->status == DORIS_OK)
		{
			k->done = true;
			k->found = g->row.present;
			k->version = g->row.version;
			k->value = g->row.value;
		}
		else if (is_final(g->status))
		{
			*err = why;
			return why.code;
		}
		else
		{
			r->left++;
			if (status_is_moved(g->status))
				r->moved = true;
			else if (k->nbad < DORIS_MAX_GROUPS)
				k->bad[k->nbad++] = g->node->id;
		}
	}
	if (nstaged > 0)
		st = round_meet(r, nstaged, err);
	return st;
}

DorisStatus get_keys(DorisClient *c, GetKey *keys, uint32_t n, const Projection *p, Arena *a,
					 uint64_t until, DorisError *err)
{
	RawGet one_get;
	uint32_t one_which;
	ReadRound r = {.c = c, .keys = keys, .n = n, .projection = p, .arena = a, .until = until};
	int slice_ms = CLIENT_READ_SLICE_MS;
	int pause_ms = 5;
	DorisStatus st;

	r.gets = n == 1 ? &one_get : malloc((size_t) n * sizeof(*r.gets));
	r.which = n == 1 ? &one_which : malloc((size_t) n * sizeof(*r.which));
	if (r.gets == NULL || r.which == NULL)
		st = client_no_memory(err);
	else
		for (;;)
		{
			DorisError ignored;

			r.moved = r.exhausted = r.open = false;
			r.topo = topology_ref(c->topo);
			st = round_run(&r, slice_ms, err);
			uint64_t used = r.topo->epoch;

			topology_unref(r.topo);
			if (st != DORIS_OK || r.left == 0)
				break;
			if (clock_mono_ms() >= until)
			{
				st = doris_error(err, DORIS_UNAVAILABLE,
								 "could not read from any complete copy in time: %.350s",
								 r.last.message);
				doris_hint(err, "%s",
						   r.open ? "A transaction met is neither known as committed nor as "
									"aborted until that node answers."
								  : "Look at doris_nodes.");
				break;
			}
			if (r.moved)
			{
				st = client_moved(c, used, until, err);
				if (st != DORIS_OK)
					break;
				if (r.last.code == DORIS_NO_NAMESPACE && keys[0].at.space == DORIS_SPACE_ROWS &&
					topology_namespace_by_id(c->topo, keys[0].at.ns) == NULL)
				{
					*err = r.last;
					st = err->code;
					break;
				}
			}
			else if (r.exhausted || r.open)
			{
				/* nobody to ask: perhaps the cluster has moved on; then wait a little */
				uint64_t slice = clock_mono_ms() + CLIENT_READ_SLICE_MS;

				st = client_refresh(c, 0, slice < until ? slice : until, &ignored);
				if (st == DORIS_CANCELLED)
					*err = ignored;
				else
					st = client_pause(c, pause_ms, err);
				if (st != DORIS_OK)
					break;
				pause_ms = pause_ms * 2 > READ_PAUSE_MAX_MS ? READ_PAUSE_MAX_MS : pause_ms * 2;
				slice_ms = slice_ms * 2 > READ_SLICE_MAX_MS ? READ_SLICE_MAX_MS : slice_ms * 2;
			}
		}
	if (n != 1)
	{
		free(r.gets);
		free(r.which);
	}
	return st;
}

/* ---- the public face ---- */
DorisStatus doris_get(DorisClient *c, const NsDef *ns, const DorisBytes *keys, uint32_t nkeys,
					  const DorisGetSpec *spec, DorisRows **out, DorisError *err)
{
	static const DorisGetSpec whole = {0};
	const DorisGetSpec *what = spec != NULL ? spec : &whole;
	Projection p = {.all_columns = what->columns == NULL,
					.no_values = what->no_values,
					.ncolumns = what->columns == NULL ? 0 : what->ncolumns,
					.columns = what->columns,
					.filter = what->filter,
					.ns = ns};
	Filter *judge = NULL;
	DorisRows *r = calloc(1, sizeof(*r));
	GetKey *gets = calloc(nkeys > 0 ? nkeys : 1, sizeof(*gets));
	DorisStatus st = DORIS_OK;
	uint32_t i;

	*out = NULL;
	client_begin(c);
	if (r == NULL || gets == NULL)
		st = client_no_memory(err);
	else
		st = filter_decode(p.filter, ns, &judge, err);
	p.judge = judge;
	for (i = 0; i < nkeys && st == DORIS_OK; i++)
	{
		gets[i].at = (KeyRef){.space = DORIS_SPACE_ROWS, .ns = ns->id, .key = keys[i]};
		if (keys[i].len > DORIS_MAX_KEY)
			gets[i].done = true; /* no row has it, and no node would be asked */
		else if (!nsdef_route_key(ns, keys[i], &gets[i].route))
			st = doris_error(err, DORIS_BAD_ARGUMENT, "key %s does not fit namespace \"%s\"",
							 key_text(keys[i]), ns->name);
	}
	if (st == DORIS_OK && nkeys > 0)
		st = get_keys(c, gets, nkeys, &p, &r->arena, c->until, err);
	if (st == DORIS_OK)
	{
		r->rows = arena_alloc(&r->arena, (size_t) nkeys * sizeof(DorisRow));
		if (r->rows == NULL)
			st = client_no_memory(err);
	}
	for (i = 0; i < nkeys && st == DORIS_OK; i++)
	{
		r->rows[i] = (DorisRow){.found = gets[i].found, .version = gets[i].version};
		if (gets[i].found)
			r->rows[i].value = gets[i].value;
		if (!arena_copy(&r->arena, keys[i], &r->rows[i].key))
			st = client_no_memory(err);
	}
	free(gets);
	filter_free(judge);
	if (st != DORIS_OK)
	{
		doris_rows_free(r);
		return st;
	}
	r->n = nkeys;
	*out = r;
	return DORIS_OK;
}

const DorisRow *doris_rows(const DorisRows *r, uint32_t *n)
{
	*n = r->n;
	return r->rows;
}

void doris_rows_free(DorisRows *r)
{
	if (r == NULL)
		return;
	arena_free(&r->arena);
	free(r);
}
