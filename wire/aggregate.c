/*
 * aggregate.c: aggregate programs, and tables of groups and their states.
 *
 * A table is an array of groups in the order they were met and a hash index over their keys. A group's key is its columns
 * as encoded (u8 present, length, bytes), so that comparing groups is one memcmp and encoding one copy. All columns that a program wants
 * of a row's value are found in one pass over it.
 */
#include "aggregate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "row.h"

#define FIRST_GROUPS 16
#define NO_COLUMN UINT32_MAX

/* A column that a program looks at, once for all uses. */
typedef struct Wanted
{
	uint16_t column;
	uint8_t key_position; /* 0: in the value */
	/* of the row at hand */
	bool present;
	DorisBytes data;
} Wanted;

struct AggregateProgram
{
	char namespace[DORIS_NAME_MAX];
	uint32_t nwanted;
	Wanted wanted
		[2 *
		 DORIS_AGGREGATE_MAX_COLUMNS]; /* those in the value first, by rising id; then those in the key */
	uint32_t nvalue;				   /* of them */
	uint8_t max_position;			   /* of those in the key */
	uint8_t key_widths[DORIS_MAX_KEY_COLUMNS + 1];
	uint32_t ngroups;
	uint32_t groups[DORIS_AGGREGATE_MAX_COLUMNS]; /* index in wanted */
	uint32_t nsteps;
	AggregateOp ops[DORIS_AGGREGATE_MAX_COLUMNS];
	uint32_t steps[DORIS_AGGREGATE_MAX_COLUMNS]; /* index in wanted; NO_COLUMN */
};

typedef struct Group
{
	uint8_t *key; /* malloc'ed; NULL without group columns */
	size_t key_len;
	uint64_t hash;
} Group;

struct AggregateTable
{
	const AggregateProgram *p;
	Wanted wanted[2 * DORIS_AGGREGATE_MAX_COLUMNS]; /* the program's, with the row at hand */
	uint32_t n;
	uint32_t cap;
	Group *groups;
	AggregateState *states; /* nsteps for each group */
	uint32_t *index;		/* open addressing: 0, or 1 + group */
	uint32_t index_size;	/* a power of two, at least twice n */
	size_t bytes;			/* of keys, and of the least and greatest values */
	DorisBuf key;			/* of the row at hand */
	uint32_t
		last; /* group of the last row: rows come in key order, so it is often the next one's too */
};

/* ---- programs ---- */

void aggregate_put_program(DorisBuf *out, const uint16_t *groups, uint32_t ngroups,
						   const AggregateStep *steps, uint32_t nsteps)
{
	buf_put_varint(out, ngroups);
	for (uint32_t i = 0; i < ngroups; i++)
		buf_put_varint(out, groups[i]);
	buf_put_varint(out, nsteps);
	for (uint32_t i = 0; i < nsteps; i++)
	{
		buf_put_u8(out, (uint8_t) steps[i].op);
		if (steps[i].op != AGGREGATE_COUNT_ROWS)
			buf_put_varint(out, steps[i].column);
	}
}

static int compare_wanted(const void *a, const void *b)
{
	const Wanted *x = a;
	const Wanted *y = b;

	if ((x->key_position > 0) != (y->key_position > 0))
		return x->key_position > 0 ? 1 : -1;
	return (x->column > y->column) - (x->column < y->column);
}

/* A column id; its place in wanted is known only when all are there, so the id stands in for it. */
static uint32_t read_column(AggregateProgram *p, DorisCursor *c, const NsDef *def)
{
	uint64_t id = cursor_varint(c);
	const NsColumn *col = id <= UINT16_MAX ? nsdef_column(def, (uint16_t) id) : NULL;
	Wanted w = {0};

	if (col == NULL || col->key_position > DORIS_MAX_KEY_COLUMNS)
	{
		c->bad = true;
		return 0;
	}
	for (uint32_t i = 0; i < p->nwanted; i++)
		if (p->wanted[i].column == col->id)
			return col->id;
	w.column = col->id;
	w.key_position = col->in_value ? 0 : col->key_position;
	p->wanted[p->nwanted++] = w;
	return col->id;
}

static uint32_t find_wanted(const AggregateProgram *p, uint32_t column)
{
	uint32_t i;

	for (i = 0; p->wanted[i].column != column; i++)
		;
	return i;
}

static void read_program(AggregateProgram *p, DorisCursor *c, const NsDef *def)
{
	p->ngroups = cursor_count(c, 1);
	if (p->ngroups > DORIS_AGGREGATE_MAX_COLUMNS)
		c->bad = true;
	for (uint32_t i = 0; i < p->ngroups && !c->bad; i++)
		p->groups[i] = read_column(p, c, def);
	p->nsteps = cursor_count(c, 1);
	if (p->nsteps > DORIS_AGGREGATE_MAX_COLUMNS)
		c->bad = true;
	if (p->ngroups + p->nsteps == 0)
		c->bad = true;
	for (uint32_t i = 0; i < p->nsteps && !c->bad; i++)
	{
		p->ops[i] = (AggregateOp) cursor_u8(c);
		p->steps[i] = NO_COLUMN;
		if (p->ops[i] < AGGREGATE_COUNT_ROWS || p->ops[i] > AGGREGATE_SUM_FLOAT8)
			c->bad = true;
		else if (p->ops[i] != AGGREGATE_COUNT_ROWS)
			p->steps[i] = read_column(p, c, def);
	}
}

DorisStatus aggregate_decode(DorisBytes program, const NsDef *def, AggregateProgram **out,
							 DorisError *err)
{
	DorisCursor c = cursor_of(program.data, program.len);
	AggregateProgram *p = calloc(1, sizeof(*p));

	*out = NULL;
	if (p == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for aggregates");
	memcpy(p->namespace, def->name, sizeof(p->namespace));
	read_program(p, &c, def);
	if (!cursor_at_end(&c))
	{
		free(p);
		return doris_error(err, DORIS_BAD_MESSAGE, "malformed aggregates on namespace \"%s\"",
						   def->name);
	}
	qsort(p->wanted, p->nwanted, sizeof(Wanted), compare_wanted);
	for (uint32_t i = 0; i < p->nwanted; i++)
	{
		if (p->wanted[i].key_position == 0)
			p->nvalue++;
		else if (p->wanted[i].key_position > p->max_position)
			p->max_position = p->wanted[i].key_position;
	}
	for (uint32_t i = 0; i < p->ngroups; i++)
		p->groups[i] = find_wanted(p, p->groups[i]);
	for (uint32_t i = 0; i < p->nsteps; i++)
		if (p->steps[i] != NO_COLUMN)
			p->steps[i] = find_wanted(p, p->steps[i]);
	for (int i = 0; i < def->ncolumns; i++)
		if (def->columns[i].key_position <= DORIS_MAX_KEY_COLUMNS)
			p->key_widths[def->columns[i].key_position] = def->columns[i].key_width;
	*out = p;
	return DORIS_OK;
}

void aggregate_free(AggregateProgram *p)
{
	free(p);
}

bool aggregate_only_counts(const AggregateProgram *p)
{
	bool counts = p->ngroups == 0;

	for (uint32_t i = 0; i < p->nsteps; i++)
		counts = counts && p->ops[i] == AGGREGATE_COUNT_ROWS;
	return counts;
}

/* ---- tables ---- */

static bool table_grow(AggregateTable *t)
{
	uint32_t cap = t->cap > 0 ? t->cap * 2 : t->p->ngroups > 0 ? FIRST_GROUPS : 1;
	uint32_t nsteps = t->p->nsteps > 0 ? t->p->nsteps : 1;
	Group *groups = realloc(t->groups, cap * sizeof(Group));
	AggregateState *states;
	uint32_t *index;

	if (groups == NULL)
		return false;
	t->groups = groups;
	states = realloc(t->states, (size_t) cap * nsteps * sizeof(AggregateState));
	if (states == NULL)
		return false;
	t->states = states;
	index = calloc((size_t) cap * 2, sizeof(uint32_t));
	if (index == NULL)
		return false;
	free(t->index);
	t->index = index;
	t->index_size = cap * 2;
	t->cap = cap;
	for (uint32_t g = 0; g < t->n; g++)
	{
		uint32_t at = (uint32_t) t->groups[g].hash & (t->index_size - 1);

		while (t->index[at] != 0)
			at = (at + 1) & (t->index_size - 1);
		t->index[at] = g + 1;
	}
	return true;
}

/* At `at` of the index, which is free. */
static bool table_add(AggregateTable *t, DorisBytes key, uint64_t hash, uint32_t at)
{
	Group g = {.key_len = key.len, .hash = hash};

	if (t->n == t->cap)
	{
		if (!table_grow(t))
			return false;
		at = (uint32_t) hash & (t->index_size - 1);
		while (t->index[at] != 0)
			at = (at + 1) & (t->index_size - 1);
	}
	if (key.len > 0)
	{
		g.key = malloc(key.len);
		if (g.key == NULL)
			return false;
		memcpy(g.key, key.data, key.len);
	}
	t->groups[t->n] = g;
	if (t->p->nsteps > 0)
		memset(&t->states[(size_t) t->n * t->p->nsteps], 0, t->p->nsteps * sizeof(AggregateState));
	t->bytes += key.len;
	t->last = t->n++;
	t->index[at] = t->n;
	return true;
}

AggregateTable *aggregate_table_create(const AggregateProgram *p)
{
	AggregateTable *t = calloc(1, sizeof(*t));
	DorisBytes none = {NULL, 0};

	if (t == NULL)
		return NULL;
	t->p = p;
	memcpy(t->wanted, p->wanted, sizeof(t->wanted));
	buf_init(&t->key);
	if (!table_grow(t) || (p->ngroups == 0 && !table_add(t, none, 0, 0)))
	{
		aggregate_table_free(t);
		return NULL;
	}
	return t;
}

void aggregate_table_free(AggregateTable *t)
{
	if (t == NULL)
		return;
	for (uint32_t g = 0; g < t->n; g++)
		free(t->groups[g].key);
	for (size_t i = 0; i < (size_t) t->n * t->p->nsteps; i++)
		free((uint8_t *) (uintptr_t) t->states[i].best.data);
	free(t->groups);
	free(t->states);
	free(t->index);
	buf_free(&t->key);
	free(t);
}

/* FNV-1a, folded: keys are short, and the number of groups is limited, so that no choice of keys makes it slow. */
static uint64_t hash_of(DorisBytes key)
{
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < key.len; i++)
		h = (h ^ key.data[i]) * 1099511628211u;
	return h ^ h >> 32;
}

static bool same_key(const Group *g, DorisBytes key)
{
	return g->key_len == key.len && (key.len == 0 || memcmp(g->key, key.data, key.len) == 0);
}

/* The states of the group with this key; NULL: no memory. */
static AggregateState *table_find_key(AggregateTable *t, DorisBytes key)
{
	uint64_t hash;
	uint32_t at;

	if (t->n > 0 && same_key(&t->groups[t->last], key))
		return &t->states[(size_t) t->last * t->p->nsteps];
	hash = hash_of(key);
	for (at = (uint32_t) hash & (t->index_size - 1); t->index[at] != 0;
		 at = (at + 1) & (t->index_size - 1))
	{
		uint32_t g = t->index[at] - 1;

		if (t->groups[g].hash == hash && same_key(&t->groups[g], key))
		{
			t->last = g;
			return &t->states[(size_t) g * t->p->nsteps];
		}
	}
	if (!table_add(t, key, hash, at))
		return NULL;
	return &t->states[(size_t) t->last * t->p->nsteps];
}

bool aggregate_exceeds(const AggregateTable *t, uint32_t groups, size_t bytes)
{
	return t->n > groups || t->bytes > bytes;
}

uint32_t aggregate_groups(const AggregateTable *t)
{
	return t->n;
}

bool aggregate_group_column(const AggregateTable *t, uint32_t group, uint32_t column,
							DorisBytes *data)
{
	DorisCursor c = cursor_of(t->groups[group].key, t->groups[group].key_len);
	bool present = false;

	for (uint32_t i = 0; i <= column; i++)
	{
		present = cursor_u8(&c) != 0;
		*data = present ? cursor_bytes(&c) : (DorisBytes){NULL, 0};
	}
	return present;
}

const AggregateState *aggregate_state(const AggregateTable *t, uint32_t group, uint32_t step)
{
	return &t->states[(size_t) group * t->p->nsteps + step];
}

/* ---- states ---- */

/* What one addition makes of a sum of floats, as PostgreSQL does it: finite numbers with an infinite sum are an error. */
static void add_float(AggregateState *s, AggregateOp op, double v)
{
	/* the first value is the sum itself: 0 + -0 would be 0 */
	double sum = s->count == 0 ? v : s->number + v;

	if (op == AGGREGATE_SUM_FLOAT4)
		sum = (float) sum;
	if (isinf(sum) && !isinf(s->number) && !isinf(v))
		s->overflowed = true;
	s->number = sum;
}

/* Keeps v when there is none yet or it is better. False: no memory. */
static bool keep_best(AggregateTable *t, AggregateState *s, AggregateOp op, DorisBytes v)
{
	if (s->count > 0)
	{
		int order = bytes_compare(v, s->best);

		if (op == AGGREGATE_MIN ? order >= 0 : order <= 0)
			return true;
	}
	if (v.len > s->cap || s->cap == 0)
	{
		size_t cap = v.len > 16 ? v.len : 16;
		uint8_t *grown = realloc((uint8_t *) (uintptr_t) s->best.data, cap);

		if (grown == NULL)
			return false;
		t->bytes += cap - s->cap;
		s->best.data = grown;
		s->cap = cap;
	}
	if (v.len > 0)
		memcpy((uint8_t *) (uintptr_t) s->best.data, v.data, v.len);
	s->best.len = v.len;
	s->count = 1;
	return true;
}

static bool integer_of(DorisBytes v, int64_t *out)
{
	switch (v.len)
	{
		case 2:
			*out = (int64_t) load_big_endian(v.data, 2) - (INT64_C(1) << 15);
			return true;
		case 4:
			*out = (int64_t) load_big_endian(v.data, 4) - (INT64_C(1) << 31);
			return true;
		case 8:
			*out = (int64_t) (load_big_endian(v.data, 8) ^ UINT64_C(1) << 63);
			return true;
		default:
			return false;
	}
}

/* Floats are stored with the sign flipped, negative ones with all bits; all ones is the one NaN. */
static bool float_of(DorisBytes v, AggregateOp op, double *out)
{
	if (v.len == 4)
	{
		uint32_t bits = (uint32_t) load_big_endian(v.data, 4);
		float f;

		bits = bits == UINT32_MAX ? 0x7fc00000u : bits >> 31 ? bits & 0x7fffffffu : ~bits;
		memcpy(&f, &bits, sizeof(f));
		*out = f;
		return true;
	}
	if (v.len == 8 && op == AGGREGATE_SUM_FLOAT8)
	{
		uint64_t bits = load_big_endian(v.data, 8);

		bits = bits == UINT64_MAX ? UINT64_C(0x7ff8) << 48
			   : bits >> 63		  ? bits & (UINT64_MAX >> 1)
								  : ~bits;
		memcpy(out, &bits, sizeof(*out));
		return true;
	}
	return false;
}

/* ---- rows ---- */

/* Finds the columns that the program wants; false: a malformed row. */
static bool find_columns(AggregateTable *t, DorisBytes key, DorisBytes value)
{
	const AggregateProgram *p = t->p;

	if (p->nvalue > 0)
	{
		RowReader r = row_reader(value);
		DorisBytes data;
		uint16_t id = 0;
		bool more = row_next(&r, &id, &data);

		for (uint32_t i = 0; i < p->nvalue; i++)
		{
			Wanted *w = &t->wanted[i];

			while (more && id < w->column)
				more = row_next(&r, &id, &data);
			w->present = more && id == w->column;
			if (w->present)
				w->data = data;
		}
		if (r.c.bad)
			return false;
	}
	if (p->max_position > 0)
	{
		DorisCursor c = cursor_of(key.data, key.len);

		for (uint8_t position = 1; position <= p->max_position; position++)
		{
			DorisBytes segment = {c.p, 0};

			if (!nsdef_skip_segment(&c, p->key_widths[position]))
				return false;
			segment.len = (size_t) (c.p - segment.data);
			for (uint32_t i = p->nvalue; i < p->nwanted; i++)
				if (t->wanted[i].key_position == position)
				{
					t->wanted[i].present = true;
					t->wanted[i].data = segment;
				}
		}
	}
	return true;
}

static DorisStatus malformed_row(const AggregateTable *t, DorisError *err)
{
	return doris_error(err, DORIS_IO, "a row of namespace \"%s\" does not decode for an aggregate",
					   t->p->namespace);
}

static DorisStatus no_memory(DorisError *err)
{
	return doris_error(err, DORIS_NO_MEMORY, "out of memory for aggregates");
}

/* The states of the group of the row at hand; NULL: no memory. */
static AggregateState *table_find(AggregateTable *t)
{
	const AggregateProgram *p = t->p;

	if (p->ngroups == 0)
		return t->states;
	buf_reset(&t->key);
	for (uint32_t i = 0; i < p->ngroups; i++)
	{
		const Wanted *w = &t->wanted[p->groups[i]];

		buf_put_u8(&t->key, w->present);
		if (w->present)
			buf_put_view(&t->key, w->data);
	}
	return t->key.failed ? NULL : table_find_key(t, (DorisBytes){t->key.data, t->key.len});
}

DorisStatus aggregate_row(AggregateTable *t, DorisBytes key, DorisBytes value, DorisError *err)
{
	const AggregateProgram *p = t->p;
	AggregateState *s;

	if (!find_columns(t, key, value))
		return malformed_row(t, err);
	s = table_find(t);
	if (s == NULL)
		return no_memory(err);
	for (uint32_t i = 0; i < p->nsteps; i++, s++)
	{
		static const Wanted no_column = {.present = true};
		const Wanted *w = p->steps[i] != NO_COLUMN ? &t->wanted[p->steps[i]] : &no_column;
		int64_t integer;
		double number;

		if (!w->present)
			continue;
		switch (p->ops[i])
		{
			case AGGREGATE_COUNT_ROWS:
			case AGGREGATE_COUNT:
				s->count++;
				break;
			case AGGREGATE_MIN:
			case AGGREGATE_MAX:
				if (!keep_best(t, s, p->ops[i], w->data))
					return no_memory(err);
				break;
			case AGGREGATE_SUM_INT:
				if (!integer_of(w->data, &integer))
					return malformed_row(t, err);
				s->sum += integer;
				s->count++;
				break;
			case AGGREGATE_SUM_FLOAT4:
			case AGGREGATE_SUM_FLOAT8:
				if (!float_of(w->data, p->ops[i], &number))
					return malformed_row(t, err);
				add_float(s, p->ops[i], number);
				s->count++;
				break;
		}
	}
	return DORIS_OK;
}

void aggregate_add_rows(AggregateTable *t, uint64_t rows)
{
	/* without group columns there is one group from the start */
	for (uint32_t i = 0; i < t->p->nsteps; i++)
		t->states[i].count += rows;
}

/* ---- encoded tables ---- */

static void encode_state(const AggregateState *s, AggregateOp op, DorisBuf *out)
{
	uint64_t bits;

	switch (op)
	{
		case AGGREGATE_COUNT_ROWS:
		case AGGREGATE_COUNT:
			buf_put_varint(out, s->count);
			break;
		case AGGREGATE_MIN:
		case AGGREGATE_MAX:
			buf_put_u8(out, s->count > 0);
			if (s->count > 0)
				buf_put_view(out, s->best);
			break;
		case AGGREGATE_SUM_INT:
			buf_put_varint(out, s->count);
			buf_put_u8(out, 0);
			buf_put_u64(out, (uint64_t) s->sum);
			buf_put_u64(out, (uint64_t) (s->sum >> 64));
			break;
		case AGGREGATE_SUM_FLOAT4:
		case AGGREGATE_SUM_FLOAT8:
			buf_put_varint(out, s->count);
			buf_put_u8(out, s->overflowed);
			memcpy(&bits, &s->number, sizeof(bits));
			buf_put_u64(out, bits);
			break;
	}
}

void aggregate_encode(const AggregateTable *t, DorisBuf *out)
{
	buf_put_varint(out, t->n);
	for (uint32_t g = 0; g < t->n; g++)
	{
		buf_put_raw(out, t->groups[g].key, t->groups[g].key_len);
		for (uint32_t i = 0; i < t->p->nsteps; i++)
			encode_state(aggregate_state(t, g, i), t->p->ops[i], out);
	}
}

static bool read_bool(DorisCursor *c)
{
	uint8_t b = cursor_u8(c);

	if (b > 1)
		c->bad = true;
	return b == 1;
}

/* Adds an encoded state. False: no memory. What is malformed shows in the cursor. */
static bool merge_state(AggregateTable *t, AggregateState *s, AggregateOp op, DorisCursor *c)
{
	uint64_t count;
	uint64_t bits;
	double number;

	if (op == AGGREGATE_MIN || op == AGGREGATE_MAX)
	{
		DorisBytes best;

		if (!read_bool(c))
			return true;
		best = cursor_bytes(c);
		return c->bad || keep_best(t, s, op, best);
	}
	count = cursor_varint(c);
	if (op == AGGREGATE_COUNT_ROWS || op == AGGREGATE_COUNT)
	{
		s->count += count;
		return true;
	}
	s->overflowed |= read_bool(c);
	bits = cursor_u64(c);
	if (op == AGGREGATE_SUM_INT)
	{
		/* unsigned, so that a peer's nonsense wraps instead of being undefined */
		unsigned __int128 sum = (unsigned __int128) cursor_u64(c) << 64 | bits;

		s->sum = (__int128) ((unsigned __int128) s->sum + sum);
	}
	else
	{
		memcpy(&number, &bits, sizeof(number));
		if (op == AGGREGATE_SUM_FLOAT4 && !isnan(number) && (double) (float) number != number)
			c->bad = true;
		if (count > 0)
			add_float(s, op, number);
	}
	s->count += count;
	return true;
}

DorisStatus aggregate_merge(AggregateTable *t, DorisBytes encoded, DorisError *err)
{
	const AggregateProgram *p = t->p;
	DorisCursor c = cursor_of(encoded.data, encoded.len);
	uint32_t n = cursor_count(&c, p->ngroups + p->nsteps);

	for (uint32_t g = 0; g < n && !c.bad; g++)
	{
		DorisBytes key = {c.p, 0};
		AggregateState *s;

		for (uint32_t i = 0; i < p->ngroups; i++)
			if (read_bool(&c))
				(void) cursor_bytes(&c);
		if (c.bad)
			break;
		key.len = (size_t) (c.p - key.data);
		s = table_find_key(t, key);
		if (s == NULL)
			return no_memory(err);
		for (uint32_t i = 0; i < p->nsteps && !c.bad; i++)
			if (!merge_state(t, &s[i], p->ops[i], &c))
				return no_memory(err);
	}
	if (!cursor_at_end(&c))
		return doris_error(err, DORIS_BAD_MESSAGE, "malformed aggregates of namespace \"%s\"",
						   p->namespace);
	return DORIS_OK;
}
