/*
 * compare.c: finds the rows of one vnode in which its copies differ, while writes go on; repairs them when asked to.
 *
 * First every copy lists what tells its records apart (PULL HASHES), key by key. These lists are of different moments, so a row
 * they differ in is only suspected. Then the suspects are read from all copies, several times: what one copy has committed when it is read
 * every other one must have soon, committed or staged. So a copy that still lacks what another one showed in the look before
 * differs; one that only is behind what came since is in motion. A transaction's write is on all copies before any of them shows it
 * as committed; the time between the looks is for plain writes, which are applied at one copy before the other. What was written
 * long ago is not on its way any more.
 */
#include <string.h>

#include "client.h"

#define COMPARE_BATCH 1000 /* suspects looked at together */
#define COMPARE_LOOKS 4
#define COMPARE_SLICE_MS 5000
#define COMPARE_MEET 64		   /* staged writes that are in the way, settled for each batch */
#define COMPARE_MEET_MS 1000   /* all of them */
#define COMPARE_FRESH_MS 60000 /* a write may be under way for so long */

static const int pauses_ms[COMPARE_LOOKS] = {0, 50, 250, 700};

/* A copy's list, a page at a time. */
typedef struct Walk
{
	const ComparedCopy *copy;
	Call call; /* its reply: the page */
	DorisCursor items;
	uint32_t left; /* on the page */
	bool last;	   /* it is the last page */
	DorisBuf next; /* where the next one begins */
	/* where it stands */
	bool there; /* else at its end */
	DorisBytes key;
	DorisVersion version;
	bool deleted;
	uint64_t digest;
} Walk;

typedef struct Suspect
{
	KeyRef at;
	DorisVersion top; /* the highest version in the look before */
	bool top_deleted;
	int lagging; /* looks in a row in which a copy lacked that */
	bool in_way; /* ... because of a staged write */
	bool fresh;	 /* its newest version is not old */
	bool done;	 /* it does not differ */
} Suspect;

typedef struct Comparison
{
	DorisClient *c;
	Topology *topo;
	const ComparedCopy *copies;
	int n;
	uint64_t ignore; /* rule purge: tombstones below it are as good as none */
	bool repair;
	uint64_t until;
	DorisVnodeCheck *out;
	Walk walks[DORIS_MAX_GROUPS];
	DorisBuf high;
	Suspect *suspects;
	uint32_t nsuspects;
	RawGet *gets; /* n for each suspect */
	Arena keys;
} Comparison;

/* ---- lists ---- */

static DorisStatus bad_list(const Comparison *x, const Walk *w, DorisError *err)
{
	return doris_error(err, DORIS_BAD_MESSAGE, "node %s sent an odd list of vnode %u",
					   w->copy->node->name, x->out->vnode);
}

static DorisStatus fetch_page(Comparison *x, Walk *w, DorisError *err)
{
	PullRequest m = {.what = PULL_HASHES,
					 .vnode = x->out->vnode,
					 .low = {w->next.data, w->next.len},
					 .high = {x->high.data, x->high.len}};
	Peer *p = peer_of_node(x->c, w->copy->node);
	DorisCursor rest;
	DorisBytes next;
	DorisStatus st;

	if (p == NULL)
		return client_no_memory(err);
	call_abandon(x->c, &w->call);
	buf_reset(&w->call.body);
	pull_request_encode(&w->call.body, &m);
	st = call_run(x->c, &w->call, p, MSG_PULL, x->topo, x->until, err);
	if (st != DORIS_OK)
		return st;
	w->left = cursor_u32(&w->call.reply);
	w->items = w->call.reply;
	rest = w->items;
	for (uint32_t i = 0; i < w->left && !rest.bad; i++)
	{
		(void) cursor_bytes(&rest);
		(void) cursor_version(&rest);
		(void) cursor_u8(&rest);
		(void) cursor_u64(&rest);
	}
	w->last = cursor_u8(&rest) != 0;
	next = cursor_bytes(&rest);
	if (!cursor_at_end(&rest) || (!w->last && bytes_compare(next, m.low) <= 0))
		return bad_list(x, w, err);
	buf_reset(&w->next);
	buf_put_raw(&w->next, next.data, next.len);
	return w->next.failed ? client_no_memory(err) : DORIS_OK;
}

static DorisStatus walk_on(Comparison *x, Walk *w, DorisError *err)
{
	while (w->left == 0 && !w->last)
	{
		DorisStatus st = fetch_page(x, w, err);

		if (st != DORIS_OK)
			return st;
	}
	w->there = w->left > 0;
	if (!w->there)
		return DORIS_OK;
	w->left--;
	w->key = cursor_bytes(&w->items);
	w->version = cursor_version(&w->items);
	w->deleted = cursor_u8(&w->items) != 0;
	w->digest = cursor_u64(&w->items);
	/* u8 space, u32 namespace */
	return w->key.len < 5 || w->key.data[0] != DORIS_SPACE_ROWS ? bad_list(x, w, err) : DORIS_OK;
}

static uint32_t ns_of(DorisBytes key)
{
	return (uint32_t) key.data[1] << 24 | (uint32_t) key.data[2] << 16 |
		   (uint32_t) key.data[3] << 8 | key.data[4];
}

/* What the lists say of the lowest key: do they differ? */
static bool lists_differ(const Comparison *x, DorisBytes key)
{
	const Walk *first = NULL;
	bool missing = false;

	for (int i = 0; i < x->n; i++)
	{
		const Walk *w = &x->walks[i];

		if (!w->there || bytes_compare(w->key, key) != 0 ||
			(w->deleted && w->version.clock < x->ignore))
			missing = true;
		else if (first == NULL)
			first = w;
		else if (first->digest != w->digest)
			return true;
	}
	return first != NULL && missing;
}

static DorisStatus suspect(Comparison *x, DorisBytes key, DorisError *err)
{
	Suspect *s = &x->suspects[x->nsuspects];
	DorisBytes row = {key.data + 5, key.len - 5};

	/* rows of a namespace that was dropped are deleted by each node in its own time */
	if (topology_namespace_by_id(x->topo, ns_of(key)) == NULL)
		return DORIS_OK;
	memset(s, 0, sizeof(*s));
	s->at = (KeyRef){.space = DORIS_SPACE_ROWS, .ns = ns_of(key), .vnode = x->out->vnode};
	if (!arena_copy(&x->keys, row, &s->at.key))
		return client_no_memory(err);
	x->nsuspects++;
	return DORIS_OK;
}

/* ---- looks ---- */

static bool same_content(const RowState *a, const RowState *b)
{
	return version_compare(a->version, b->version) == 0 && a->present == b->present &&
		   (!a->present || bytes_compare(a->value, b->value) == 0);
}

/* Does the copy have this version or a later one, committed or staged? */
static bool has_version(const Comparison *x, const RowState *r, DorisVersion v, bool deleted)
{
	if (version_compare(r->version, v) >= 0)
		return true;
	if (r->nstaged > 0 && version_compare(r->staged.version, v) == 0)
		return true;
	return deleted && v.clock < x->ignore && version_is_none(r->version);
}

static void weigh(const Comparison *x, Suspect *s, const RawGet *gets)
{
	const RowState *newest = repair_newest(gets, x->n);
	bool equal = true;
	bool lags = false;

	s->in_way = false;
	for (int i = 0; i < x->n; i++)
	{
		const RowState *r = &gets[i].row;
		bool older = version_compare(r->version, newest->version) < 0;

		if (older ? !has_version(x, r, newest->version, !newest->present)
				  : !same_content(r, newest))
			equal = false;
		if (!version_is_none(s->top) && !has_version(x, r, s->top, s->top_deleted) &&
			!has_version(x, r, newest->version, !newest->present))
		{
			lags = true;
			s->in_way = s->in_way || r->nstaged > 0;
		}
		if (!version_is_none(s->top) && !older && !same_content(r, newest))
			lags = true;
	}
	s->done = equal;
	s->fresh = clock_ms_of(newest->version.clock) + COMPARE_FRESH_MS > clock_wall_ms();
	s->lagging = lags ? s->lagging + 1 : 0;
	s->top = newest->version;
	s->top_deleted = !newest->present;
}

/* A copy has not finished yet what the others have; or some other write stands there, whose outcome may show more. */
static void settle(Comparison *x, const Suspect *s, RawGet *gets, int *meets, uint64_t until)
{
	const RowState *newest = repair_newest(gets, x->n);
	DorisError err;

	for (int i = 0; i < x->n; i++)
	{
		const RowState *r = &gets[i].row;
		Outcome o;

		if (r->nstaged == 0 || version_compare(r->version, newest->version) >= 0 || (*meets)-- <= 0)
			continue;
		if (version_compare(r->staged.version, newest->version) == 0)
			o = TXN_COMMITTED;
		else
			o = meet_writer(x->c, &r->staged, &s->at, gets[i].node->id, until, &err);
		if (o == TXN_COMMITTED || (o == TXN_ABORTED && r->staged.mode != TXN_SINGLE))
			(void) finish_vnode(x->c, x->topo, r->staged.txn, o == TXN_COMMITTED, s->at.vnode, NULL,
								until, &err);
	}
}

/* One look at all suspects that are not done. */
static DorisStatus look(Comparison *x, bool may_settle, DorisError *err)
{
	static const Projection whole = {.all_columns = true};
	uint64_t meet_until = clock_mono_ms() + COMPARE_MEET_MS;
	int meets = may_settle ? COMPARE_MEET : 0;
	bool unleased[DORIS_MAX_GROUPS] = {false};
	Arena a = {NULL};
	uint32_t n = 0;
	DorisStatus st;

	for (uint32_t i = 0; i < x->nsuspects; i++)
		for (int k = 0; k < x->n && !x->suspects[i].done; k++)
			x->gets[n++] = (RawGet){.at = x->suspects[i].at, .node = x->copies[k].node};
	if (n == 0)
		return DORIS_OK;
	st = raw_get(x->c, x->topo, x->gets, n, &whole, &a, COMPARE_SLICE_MS, x->until, err);
	for (uint32_t i = 0; i < n && st == DORIS_OK; i++)
	{
		st = x->gets[i].status;
		unleased[i % (uint32_t) x->n] |= !x->gets[i].leased;
	}
	/* one that may have been judged failed without knowing it shows what was */
	for (int k = 0; k < x->n && st == DORIS_OK; k++)
		if (unleased[k])
			st = lease_confirm(x->c, x->topo, x->copies[k].node->id, &x->out->vnode, 1, x->until,
							   err);
	n = 0;
	for (uint32_t i = 0; i < x->nsuspects && st == DORIS_OK; i++)
	{
		Suspect *s = &x->suspects[i];

		if (s->done)
			continue;
		weigh(x, s, &x->gets[n]);
		if (meet_until > x->until)
			meet_until = x->until;
		if (may_settle && !s->done)
			settle(x, s, &x->gets[n], &meets, meet_until);
		n += (uint32_t) x->n;
	}
	arena_free(&a);
	return st;
}

static DorisStatus repair_suspect(Comparison *x, const Suspect *s, DorisError *err)
{
	DorisVersion version;
	bool present;
	bool repaired;
	DorisStatus st = repair_copies(x->c, x->topo, s->at, x->copies, x->n, &version, &present,
								   &repaired, x->until, err);

	if (st == DORIS_OK && repaired)
		x->out->repaired++;
	return st;
}

/* Tells which of the suspects differ; they are gone then. */
static DorisStatus judge_suspects(Comparison *x, DorisError *err)
{
	DorisStatus st = DORIS_OK;

	for (int i = 0; i < COMPARE_LOOKS && st == DORIS_OK; i++)
	{
		uint32_t left = 0;
		bool fresh = false;

		for (uint32_t k = 0; k < x->nsuspects; k++)
		{
			left += !x->suspects[k].done;
			fresh = fresh || (!x->suspects[k].done && x->suspects[k].fresh);
		}
		if (left == 0)
			break;
		if (fresh)
			st = client_pause(x->c, pauses_ms[i], err);
		if (st == DORIS_OK)
			st = look(x, i == COMPARE_LOOKS - 2, err);
	}
	for (uint32_t i = 0; i < x->nsuspects && st == DORIS_OK; i++)
	{
		const Suspect *s = &x->suspects[i];

		if (s->done || s->lagging == 0)
			continue;
		if (s->in_way)
		{
			x->out->unsettled++;
			continue;
		}
		x->out->different++;
		if (x->repair)
			st = repair_suspect(x, s, err);
	}
	x->nsuspects = 0;
	arena_free(&x->keys);
	x->keys.chunks = NULL;
	return st;
}

static DorisStatus compare_lists(Comparison *x, DorisError *err)
{
	DorisStatus st = DORIS_OK;

	for (int i = 0; i < x->n && st == DORIS_OK; i++)
		st = walk_on(x, &x->walks[i], err);
	while (st == DORIS_OK)
	{
		DorisBytes key = {NULL, 0};
		bool any = false;

		for (int i = 0; i < x->n; i++)
		{
			const Walk *w = &x->walks[i];

			if (w->there && (!any || bytes_compare(w->key, key) < 0))
			{
				key = w->key;
				any = true;
			}
		}
		if (!any)
			break;
		if (lists_differ(x, key))
			st = suspect(x, key, err);
		if (st == DORIS_OK && x->nsuspects == COMPARE_BATCH)
			st = judge_suspects(x, err);
		/* the key's memory goes with the page it came on: that walk moves on last */
		for (int pass = 0; pass < 2; pass++)
			for (int i = 0; i < x->n && st == DORIS_OK; i++)
			{
				Walk *w = &x->walks[i];
				bool owns = w->there && w->key.data == key.data;

				if (owns == (pass == 1) && w->there && bytes_compare(w->key, key) == 0)
					st = walk_on(x, w, err);
			}
	}
	return st == DORIS_OK ? judge_suspects(x, err) : st;
}

/* The store keys of a namespace, or of all. */
static void set_range(Comparison *x, uint32_t ns, DorisBuf *low)
{
	buf_put_u8(low, DORIS_SPACE_ROWS);
	buf_put_u8(&x->high, ns == 0 || ns == UINT32_MAX ? DORIS_SPACE_ROWS + 1 : DORIS_SPACE_ROWS);
	for (int shift = 24; ns != 0 && shift >= 0; shift -= 8)
	{
		buf_put_u8(low, (uint8_t) (ns >> shift));
		if (ns != UINT32_MAX)
			buf_put_u8(&x->high, (uint8_t) ((ns + 1) >> shift));
	}
}

DorisStatus compare_rows(DorisClient *c, Topology *t, uint32_t ns, const ComparedCopy *copies,
						 int n, bool repair, DorisVnodeCheck *out, uint64_t until, DorisError *err)
{
	Comparison x = {.c = c,
					.topo = t,
					.copies = copies,
					.n = n,
					.repair = repair,
					.until = until,
					.out = out,
					.keys = {NULL}};
	Arena a = {NULL};
	DorisStatus st = DORIS_OK;

	out->different = out->unsettled = out->repaired = 0;
	buf_init(&x.high);
	x.suspects = arena_alloc(&a, COMPARE_BATCH * sizeof(Suspect));
	x.gets = arena_alloc(&a, (size_t) COMPARE_BATCH * (size_t) n * sizeof(RawGet));
	for (int i = 0; i < n; i++)
	{
		Walk *w = &x.walks[i];

		w->copy = &copies[i];
		call_init(&w->call);
		buf_init(&w->next);
		if (i > 0)
			buf_put_raw(&w->next, x.walks[0].next.data, x.walks[0].next.len);
		else
			set_range(&x, ns, &w->next);
		if (w->next.failed)
			st = client_no_memory(err);
		if (copies[i].purged > x.ignore)
			x.ignore = copies[i].purged;
	}
	if (x.suspects == NULL || x.gets == NULL || x.high.failed)
		st = client_no_memory(err);
	if (st == DORIS_OK)
		st = compare_lists(&x, err);
	for (int i = 0; i < n; i++)
	{
		call_free(c, &x.walks[i].call);
		buf_free(&x.walks[i].next);
	}
	buf_free(&x.high);
	arena_free(&x.keys);
	arena_free(&a);
	return st;
}
