/*
 * balance.c: which vnodes of a group go where.
 *
 * In four steps: how many vnodes each node is to have; how many lead vnodes each is to have, as far as the moves can change
 * that; which vnodes leave each source; which destination gets each of them. Whole numbers only, O((V + n) log V).
 *
 * Assumptions: weights are 32 bits and V at most 65536, so that every product here fits 64 bits.
 */
#include "balance.h"

#include <stdlib.h>
#include <string.h>

#include "topology.h" /* the limits */

/* A vnode is a lead vnode when this group's copy is the one that is read (rule *lead*), or not. */
enum
{
	OTHER = 0,
	LEAD = 1,
	KINDS = 2
};

typedef struct Party
{
	uint32_t id;
	uint32_t weight;
	uint32_t listed;	 /* its place in the caller's list */
	uint32_t has[KINDS]; /* vnodes now */
	uint32_t keeps;		 /* of them, however they are chosen: min(has, want) */
	uint32_t floor;		 /* of V × weight / sum */
	uint64_t rest;		 /* of that division; 0: the floor is the ideal */
	uint32_t want;		 /* vnodes afterwards */
	uint32_t leads;		 /* of them lead vnodes */
	uint32_t first;		 /* its vnodes in Work.vnodes: the others, then the lead ones */
} Party;

typedef struct Work
{
	const BalanceMap *map;
	Party *parties; /* in id order */
	uint32_t n;
	uint64_t weights;		 /* their sum */
	uint32_t all[KINDS];	 /* vnodes of the group */
	uint32_t orphans[KINDS]; /* of them, those whose owner is not listed */
	bool *leaves;			 /* [vnodes] */
} Work;

static int kind_of(const BalanceMap *map, uint32_t v)
{
	return v % map->groups == map->group - 1 ? LEAD : OTHER;
}

static uint32_t total(const uint32_t of[KINDS])
{
	return of[OTHER] + of[LEAD];
}

static int compare_u32(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

/* A fixed scatter: neighbours, and the same vnode in two groups, come out unrelated. */
static uint32_t scatter(uint32_t group, uint32_t v)
{
	uint64_t x = ((uint64_t) group << 32 | v) + 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return (uint32_t) (x >> 32);
}

/* ---- what there is ---- */

static DorisStatus check_map(const BalanceMap *map, DorisError *err)
{
	if (map->vnodes < 1 || map->vnodes > DORIS_MAX_VNODES || map->groups < 1 ||
		map->groups > DORIS_MAX_GROUPS || map->group < 1 || map->group > map->groups)
		return doris_error(err, DORIS_BAD_ARGUMENT,
						   "no placement for %u vnodes in group %u of %u groups", map->vnodes,
						   map->group, map->groups);
	return DORIS_OK;
}

static int compare_parties(const void *a, const void *b)
{
	return compare_u32(((const Party *) a)->id, ((const Party *) b)->id);
}

static Party *find_party(const Work *w, uint32_t id)
{
	const Party key = {.id = id};

	return bsearch(&key, w->parties, w->n, sizeof(key), compare_parties);
}

static DorisStatus check_parties(Work *w, DorisError *err)
{
	for (uint32_t i = 0; i < w->n; i++)
	{
		const Party *p = &w->parties[i];

		if (p->id == 0)
			return doris_error(err, DORIS_BAD_ARGUMENT, "a node of group %u has no number",
							   w->map->group);
		if (i > 0 && w->parties[i - 1].id == p->id)
			return doris_error(err, DORIS_BAD_ARGUMENT,
							   "node number %u is listed twice for group %u", p->id, w->map->group);
		w->weights += p->weight;
	}
	if (w->weights > 0)
		return DORIS_OK;
	(void) doris_error(err, DORIS_BAD_ARGUMENT, "group %u has no node left that may own vnodes",
					   w->map->group);
	return doris_hint(err, "At least one node of the group must stay, with a weight above 0.");
}

static void count_vnodes(Work *w)
{
	for (uint32_t v = 0; v < w->map->vnodes; v++)
	{
		int kind = kind_of(w->map, v);
		Party *p = find_party(w, w->map->owner[v]);

		w->all[kind]++;
		if (p != NULL)
			p->has[kind]++;
		else
			w->orphans[kind]++;
	}
}

static void close_work(Work *w)
{
	free(w->parties);
	free(w->leaves);
}

/* Counts what each node has and finds its floor. On success the caller closes it. */
static DorisStatus open_work(Work *w, const BalanceMap *map, const BalanceNode *nodes, uint32_t n,
							 DorisError *err)
{
	DorisStatus status = check_map(map, err);

	memset(w, 0, sizeof(*w));
	if (status != DORIS_OK)
		return status;
	if (n > DORIS_MAX_NODES)
		return doris_error(err, DORIS_LIMIT, "%u nodes for group %u, the most are %d", n,
						   map->group, DORIS_MAX_NODES);
	w->map = map;
	w->n = n;
	w->parties = calloc(n + 1u, sizeof(*w->parties));
	if (w->parties == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for %u nodes", n);
	for (uint32_t i = 0; i < n; i++)
		w->parties[i] = (Party){.id = nodes[i].id, .weight = nodes[i].weight, .listed = i};
	qsort(w->parties, n, sizeof(*w->parties), compare_parties);
	status = check_parties(w, err);
	if (status != DORIS_OK)
	{
		close_work(w);
		return status;
	}
	count_vnodes(w);
	for (uint32_t i = 0; i < n; i++)
	{
		Party *p = &w->parties[i];
		uint64_t share = (uint64_t) map->vnodes * p->weight;

		p->floor = (uint32_t) (share / w->weights);
		p->rest = share % w->weights;
	}
	return DORIS_OK;
}

/* How many nodes get one more than their floor: fewer than there are nodes with a rest, whose rests sum up to it. */
static uint32_t ceilings(const Work *w)
{
	uint32_t left = w->map->vnodes;

	for (uint32_t i = 0; i < w->n; i++)
		left -= w->parties[i].floor;
	return left;
}

/* ---- 1: how many vnodes each node is to have ---- */

/* Vnodes of a node above its floor, when a ceiling would let it keep one more. */
static uint32_t surplus(const Party *p)
{
	uint32_t has = total(p->has);

	return p->rest > 0 && has > p->floor ? has - p->floor : 0;
}

/* Who gets a ceiling first: where it saves a move, to who gives most; then by the larger rest. */
static int compare_claims(const void *a, const void *b)
{
	const Party *x = *(Party *const *) a;
	const Party *y = *(Party *const *) b;

	if (surplus(x) != surplus(y))
		return surplus(x) > surplus(y) ? -1 : 1;
	if (x->rest != y->rest)
		return x->rest > y->rest ? -1 : 1;
	return compare_u32(x->id, y->id);
}

static DorisStatus find_wants(Work *w, DorisError *err)
{
	Party **claims = malloc((w->n + 1u) * sizeof(*claims));
	uint32_t more = ceilings(w);

	if (claims == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for %u nodes", w->n);
	for (uint32_t i = 0; i < w->n; i++)
		claims[i] = &w->parties[i];
	qsort(claims, w->n, sizeof(Party *), compare_claims);
	for (uint32_t i = 0; i < w->n; i++)
	{
		Party *p = claims[i];
		uint32_t has = total(p->has);

		p->want = p->floor + (i < more ? 1 : 0);
		p->keeps = has < p->want ? has : p->want;
	}
	free(claims);
	return DORIS_OK;
}

/* ---- 2: how many lead vnodes each node is to have ---- */

/* One more lead vnode for a node: what it would have then is still `lacks` (scaled by V) short of its even part. */
typedef struct Step
{
	int64_t lacks;
	uint32_t turn; /* among those that lack the same: not by id, or the lowest would have all */
	uint32_t party;
} Step;

static int compare_steps(const void *a, const void *b)
{
	const Step *x = a;
	const Step *y = b;

	if (x->lacks != y->lacks)
		return x->lacks > y->lacks ? -1 : 1;
	if (x->turn != y->turn)
		return compare_u32(x->turn, y->turn);
	return compare_u32(x->party, y->party);
}

/*
 * The fewest and the most lead vnodes that a node can end with: a source chooses which of its vnodes leave, a destination
 * what it gets.
 */
static void lead_range(const Party *p, uint32_t *low, uint32_t *high)
{
	uint32_t gives = total(p->has) - p->keeps;
	uint32_t takes = p->want - p->keeps;

	*low = p->has[LEAD] - (gives < p->has[LEAD] ? gives : p->has[LEAD]);
	*high = p->has[LEAD] - (gives > p->has[OTHER] ? gives - p->has[OTHER] : 0) + takes;
}

/*
 * Everybody begins with the fewest; what is left goes one by one to who is furthest below his even part. That is the best
 * there is for every convex measure of unevenness at once, the largest deviation and the sum of squares among them.
 */
static DorisStatus find_leads(Work *w, DorisError *err)
{
	uint32_t left = w->all[LEAD];
	size_t nsteps = 0;
	Step *steps;

	for (uint32_t i = 0; i < w->n; i++)
	{
		uint32_t low;
		uint32_t high;

		lead_range(&w->parties[i], &low, &high);
		w->parties[i].leads = low;
		left -= low;
		nsteps += high - low;
	}
	steps = malloc((nsteps + 1) * sizeof(*steps));
	if (steps == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for %u vnodes", w->map->vnodes);
	nsteps = 0;
	for (uint32_t i = 0; i < w->n; i++)
	{
		const Party *p = &w->parties[i];
		int64_t even = (int64_t) p->want * w->all[LEAD];
		uint32_t low;
		uint32_t high;

		lead_range(p, &low, &high);
		for (uint32_t f = low; f < high; f++)
			steps[nsteps++] = (Step){even - (int64_t) f * w->map->vnodes, scatter(0, p->id), i};
	}
	qsort(steps, nsteps, sizeof(*steps), compare_steps);
	/* There are enough: any choice of moves is a way to hand out all of them within the ranges. */
	for (size_t i = 0; i < nsteps && left > 0; i++, left--)
		w->parties[steps[i].party].leads++;
	free(steps);
	return DORIS_OK;
}

/* ---- 3: which vnodes leave ---- */

/* Marks `count` of these `n` vnodes: one, by the scatter, in each of as many equal stretches. */
static void mark_spread(Work *w, const uint32_t *vnodes, uint32_t n, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
	{
		uint32_t from = (uint32_t) ((uint64_t) n * i / count);
		uint32_t to = (uint32_t) ((uint64_t) n * (i + 1) / count);

		w->leaves[vnodes[from + scatter(w->map->group, vnodes[from]) % (to - from)]] = true;
	}
}

/* The vnodes of each party: the others, then the lead ones, both rising. */
static void list_vnodes(Work *w, uint32_t *vnodes)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < w->n; i++)
	{
		w->parties[i].first = at;
		at += total(w->parties[i].has);
	}
	for (int kind = OTHER; kind < KINDS; kind++)
		for (uint32_t v = 0; v < w->map->vnodes; v++)
		{
			Party *p = kind_of(w->map, v) == kind ? find_party(w, w->map->owner[v]) : NULL;

			if (p != NULL)
				vnodes[p->first++] = v;
		}
	for (uint32_t i = 0; i < w->n; i++)
		w->parties[i].first -= total(w->parties[i].has);
}

static DorisStatus find_leaving(Work *w, DorisError *err)
{
	uint32_t *vnodes = malloc(w->map->vnodes * sizeof(*vnodes));

	w->leaves = calloc(w->map->vnodes, sizeof(*w->leaves));
	if (vnodes == NULL || w->leaves == NULL)
	{
		free(vnodes);
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for %u vnodes", w->map->vnodes);
	}
	list_vnodes(w, vnodes);
	for (uint32_t i = 0; i < w->n; i++)
	{
		const Party *p = &w->parties[i];
		uint32_t gives = total(p->has) - p->keeps;
		uint32_t leads = gives > 0 ? p->has[LEAD] - p->leads : 0;

		mark_spread(w, vnodes + p->first, p->has[OTHER], gives - leads);
		mark_spread(w, vnodes + p->first + p->has[OTHER], p->has[LEAD], leads);
	}
	free(vnodes);
	for (uint32_t v = 0; v < w->map->vnodes; v++)
		if (find_party(w, w->map->owner[v]) == NULL)
			w->leaves[v] = true;
	return DORIS_OK;
}

/* ---- 4: who gets them ---- */

typedef struct Leaver
{
	uint32_t from;
	uint32_t scatter;
	uint32_t vnode;
} Leaver;

/* Source by source, the vnodes of each out of order. */
static int compare_leavers(const void *a, const void *b)
{
	const Leaver *x = a;
	const Leaver *y = b;

	if (x->from != y->from)
		return compare_u32(x->from, y->from);
	if (x->scatter != y->scatter)
		return compare_u32(x->scatter, y->scatter);
	return compare_u32(x->vnode, y->vnode);
}

/* The i-th of the `of` vnodes that a destination takes. */
typedef struct Seat
{
	uint32_t i;
	uint32_t of;
	uint32_t to;
} Seat;

/* By (2 i + 1) / (2 of): each destination's seats lie evenly in the row, so every source serves all of them in turn. */
static int compare_seats(const void *a, const void *b)
{
	const Seat *x = a;
	const Seat *y = b;
	uint64_t left = (2 * (uint64_t) x->i + 1) * y->of;
	uint64_t right = (2 * (uint64_t) y->i + 1) * x->of;

	if (left != right)
		return left < right ? -1 : 1;
	return compare_u32(x->to, y->to);
}

/*
 * Appends the moves of one kind. The seats of the others are taken from the end, so that what a source gives of both kinds
 * goes to different nodes.
 */
static uint32_t deal(const Work *w, int kind, Leaver *leavers, Seat *seats, BalanceMove *moves)
{
	uint32_t nleavers = 0;
	uint32_t nseats = 0;

	for (uint32_t v = 0; v < w->map->vnodes; v++)
		if (w->leaves[v] && kind_of(w->map, v) == kind)
			leavers[nleavers++] = (Leaver){w->map->owner[v], scatter(w->map->group, v), v};
	for (uint32_t i = 0; i < w->n; i++)
	{
		const Party *p = &w->parties[i];
		uint32_t takes = p->want - p->keeps;
		uint32_t leads = takes > 0 ? p->leads - p->has[LEAD] : 0;
		uint32_t of = kind == LEAD ? leads : takes - leads;

		for (uint32_t s = 0; s < of; s++)
			seats[nseats++] = (Seat){s, of, p->id};
	}
	qsort(leavers, nleavers, sizeof(*leavers), compare_leavers);
	qsort(seats, nseats, sizeof(*seats), compare_seats);
	for (uint32_t i = 0; i < nleavers; i++)
	{
		const Seat *seat = &seats[kind == LEAD ? i : nseats - 1 - i];

		moves[i] = (BalanceMove){leavers[i].vnode, leavers[i].from, seat->to};
	}
	return nleavers;
}

static int compare_moves(const void *a, const void *b)
{
	return compare_u32(((const BalanceMove *) a)->vnode, ((const BalanceMove *) b)->vnode);
}

static uint32_t count_moves(const Work *w)
{
	uint32_t n = w->map->vnodes;

	for (uint32_t i = 0; i < w->n; i++)
		n -= w->parties[i].keeps;
	return n;
}

static DorisStatus find_moves(const Work *w, BalanceMove **moves, uint32_t *nmoves, DorisError *err)
{
	uint32_t n = count_moves(w);
	Leaver *leavers = malloc((n + 1u) * sizeof(*leavers));
	Seat *seats = malloc((n + 1u) * sizeof(*seats));
	BalanceMove *list = malloc((n + 1u) * sizeof(*list));
	uint32_t dealt;

	if (leavers == NULL || seats == NULL || list == NULL)
	{
		free(leavers);
		free(seats);
		free(list);
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for %u moves", n);
	}
	dealt = deal(w, LEAD, leavers, seats, list);
	dealt += deal(w, OTHER, leavers, seats, list + dealt);
	free(leavers);
	free(seats);
	qsort(list, dealt, sizeof(*list), compare_moves);
	*moves = list;
	*nmoves = dealt;
	return DORIS_OK;
}

/* ---- for others ---- */

DorisStatus balance_shares(const BalanceMap *map, const BalanceNode *nodes, uint32_t n,
						   BalanceShare *shares, DorisError *err)
{
	Work w;
	DorisStatus status = open_work(&w, map, nodes, n, err);

	if (status != DORIS_OK)
		return status;
	status = find_wants(&w, err);
	for (uint32_t i = 0; status == DORIS_OK && i < n; i++)
		shares[w.parties[i].listed] = (BalanceShare){total(w.parties[i].has), w.parties[i].want};
	close_work(&w);
	return status;
}

DorisStatus balance_moves(const BalanceMap *map, const BalanceNode *nodes, uint32_t n,
						  BalanceMove **moves, uint32_t *nmoves, DorisError *err)
{
	Work w;
	DorisStatus status;

	*moves = NULL;
	*nmoves = 0;
	status = open_work(&w, map, nodes, n, err);
	if (status != DORIS_OK)
		return status;
	status = find_wants(&w, err);
	if (status == DORIS_OK && count_moves(&w) > 0)
	{
		status = find_leads(&w, err);
		if (status == DORIS_OK)
			status = find_leaving(&w, err);
		if (status == DORIS_OK)
			status = find_moves(&w, moves, nmoves, err);
	}
	close_work(&w);
	return status;
}

DorisStatus balance_minimum(const BalanceMap *map, const BalanceNode *nodes, uint32_t n,
							uint32_t *minimum, DorisError *err)
{
	Work w;
	uint32_t kept = 0;
	uint32_t saving = 0;
	uint32_t more;
	DorisStatus status;

	*minimum = 0;
	status = open_work(&w, map, nodes, n, err);
	if (status != DORIS_OK)
		return status;
	more = ceilings(&w);
	for (uint32_t i = 0; i < n; i++)
	{
		const Party *p = &w.parties[i];
		uint32_t has = total(p->has);

		kept += has < p->floor ? has : p->floor;
		if (surplus(p) > 0)
			saving++;
	}
	kept += saving < more ? saving : more;
	*minimum = map->vnodes - kept;
	close_work(&w);
	return DORIS_OK;
}

DorisStatus balance_replace(const BalanceMap *map, uint32_t old, uint32_t by, BalanceMove **moves,
							uint32_t *nmoves, DorisError *err)
{
	DorisStatus status = check_map(map, err);
	uint32_t n = 0;

	*moves = NULL;
	*nmoves = 0;
	if (status != DORIS_OK)
		return status;
	if (old == 0 || by == 0 || old == by)
		return doris_error(err, DORIS_BAD_ARGUMENT, "node number %u cannot take the place of %u",
						   by, old);
	for (uint32_t v = 0; v < map->vnodes; v++)
		if (map->owner[v] == old)
			n++;
	if (n == 0)
		return DORIS_OK;
	*moves = malloc(n * sizeof(**moves));
	if (*moves == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for %u moves", n);
	for (uint32_t v = 0; v < map->vnodes; v++)
		if (map->owner[v] == old)
			(*moves)[(*nmoves)++] = (BalanceMove){v, old, by};
	return DORIS_OK;
}
