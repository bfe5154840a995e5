/*
 * filter.c: building, checking and running filter programs.
 *
 * Everything that can be wrong with a program is found when it is decoded (columns, depth of the
 * stack, order of IN's constants), so that running one cannot fail and costs no checks.
 */
#include "filter.h"

#include "row.h"

#include <stdlib.h>
#include <string.h>

/* SQL's three truth values. A byte each: a stack of ints took longer to clear, for each row, than most filters take to run. */
enum
{
	IS_FALSE,
	IS_TRUE,
	IS_UNKNOWN
};
typedef uint8_t Truth;

typedef struct FilterStep
{
	FilterOp op;
	uint16_t column;
	uint8_t key_position;  /* 0: a value column */
	uint32_t n;			   /* comparisons: 1; IN: how many; else 0 */
	DorisBytes *constants; /* into Filter.constants */
} FilterStep;

struct Filter
{
	uint32_t nsteps;
	FilterStep *steps;
	DorisBytes *constants;						   /* of all steps */
	uint8_t key_widths[DORIS_MAX_KEY_COLUMNS + 1]; /* by position, so that rows need no lookups */
};

void filter_put_compare(DorisBuf *steps, FilterOp op, uint16_t column, const void *data, size_t len)
{
	buf_put_u8(steps, (uint8_t) op);
	buf_put_varint(steps, column);
	buf_put_bytes(steps, data, len);
}

void filter_put_op(DorisBuf *steps, FilterOp op)
{
	buf_put_u8(steps, (uint8_t) op);
}

void filter_put_is_null(DorisBuf *steps, uint16_t column)
{
	buf_put_u8(steps, FILTER_IS_NULL);
	buf_put_varint(steps, column);
}

void filter_put_in(DorisBuf *steps, uint16_t column, const DorisBytes *constants, size_t n)
{
	buf_put_u8(steps, FILTER_IN);
	buf_put_varint(steps, column);
	buf_put_varint(steps, n);
	for (size_t i = 0; i < n; i++)
		buf_put_view(steps, constants[i]);
}

void filter_finish(DorisBuf *out, uint32_t nsteps, const DorisBuf *steps)
{
	if (steps->failed)
		out->failed = true;
	buf_put_varint(out, nsteps);
	buf_put_raw(out, steps->data, steps->len);
}

/* ---- decoding ---- */

typedef struct FilterReader
{
	DorisCursor c;
	const NsDef *def;
	uint32_t nconstants;
	uint32_t cap;
	int depth; /* of the stack after the steps read so far */
	bool no_memory;
} FilterReader;

static void read_column(FilterReader *r, FilterStep *step)
{
	uint64_t id = cursor_varint(&r->c);
	const NsColumn *col = id <= UINT16_MAX ? nsdef_column(r->def, (uint16_t) id) : NULL;

	if (col == NULL || col->key_position > DORIS_MAX_KEY_COLUMNS)
	{
		r->c.bad = true;
		return;
	}
	step->column = col->id;
	step->key_position = col->key_position;
}

/* Appends a constant; the array moves as it grows, so steps learn their pointers at the end. */
static DorisBytes read_constant(FilterReader *r, Filter *f)
{
	DorisBytes v = cursor_bytes(&r->c);

	if (r->nconstants >= DORIS_FILTER_MAX_CONSTANTS)
		r->c.bad = true;
	if (r->c.bad)
		return v;
	if (f->constants == NULL || r->nconstants == r->cap)
	{
		uint32_t cap = r->cap > 0 ? r->cap * 2 : 16;
		DorisBytes *grown = realloc(f->constants, cap * sizeof(DorisBytes));

		if (grown == NULL)
		{
			r->no_memory = r->c.bad = true;
			return v;
		}
		f->constants = grown;
		r->cap = cap;
	}
	f->constants[r->nconstants++] = v;
	return v;
}

static void read_in(FilterReader *r, Filter *f, FilterStep *step)
{
	DorisBytes last = {0};
	uint32_t n;

	read_column(r, step);
	n = cursor_count(&r->c, 1);
	for (uint32_t i = 0; i < n && !r->c.bad; i++)
	{
		DorisBytes v = read_constant(r, f);

		if (i > 0 && bytes_compare(last, v) >= 0)
			r->c.bad = true;
		last = v;
	}
	step->n = n;
}

static void read_step(FilterReader *r, Filter *f, FilterStep *step)
{
	int takes = 0;

	step->op = cursor_u8(&r->c);
	switch (step->op)
	{
		case FILTER_EQ:
		case FILTER_NE:
		case FILTER_LT:
		case FILTER_LE:
		case FILTER_GT:
		case FILTER_GE:
			read_column(r, step);
			(void) read_constant(r, f);
			step->n = 1;
			break;
		case FILTER_IN:
			read_in(r, f, step);
			break;
		case FILTER_IS_NULL:
			read_column(r, step);
			break;
		case FILTER_AND:
		case FILTER_OR:
			takes = 2;
			break;
		case FILTER_NOT:
			takes = 1;
			break;
		case FILTER_TRUE:
			break;
		default:
			r->c.bad = true;
	}
	if (takes > r->depth)
		r->c.bad = true;
	r->depth += 1 - takes;
	if (r->depth > DORIS_FILTER_MAX_DEPTH)
		r->c.bad = true;
}

DorisStatus filter_decode(DorisBytes program, const NsDef *def, Filter **out, DorisError *err)
{
	FilterReader r = {cursor_of(program.data, program.len), def, 0, 0, 0, false};
	DorisBytes *constant;
	Filter *f;
	uint32_t n;

	*out = NULL;
	if (program.len == 0)
		return DORIS_OK;
	n = cursor_count(&r.c, 1);
	if (r.c.bad || n == 0 || n > DORIS_FILTER_MAX_OPS)
		return doris_error(err, DORIS_BAD_MESSAGE, "malformed filter on namespace \"%s\"",
						   def->name);
	f = calloc(1, sizeof(*f));
	if (f != NULL)
		f->steps = calloc(n, sizeof(FilterStep));
	if (f == NULL || f->steps == NULL)
	{
		filter_free(f);
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for a filter of %u steps", n);
	}
	f->nsteps = n;
	for (int i = 0; i < def->ncolumns; i++)
		if (def->columns[i].key_position <= DORIS_MAX_KEY_COLUMNS)
			f->key_widths[def->columns[i].key_position] = def->columns[i].key_width;
	for (uint32_t i = 0; i < n && !r.c.bad; i++)
		read_step(&r, f, &f->steps[i]);
	if (r.no_memory || !cursor_at_end(&r.c) || r.depth != 1)
	{
		filter_free(f);
		if (r.no_memory)
			return doris_error(err, DORIS_NO_MEMORY, "out of memory for a filter's constants");
		return doris_error(err, DORIS_BAD_MESSAGE, "malformed filter on namespace \"%s\"",
						   def->name);
	}
	constant = f->constants;
	for (uint32_t i = 0; i < n && constant != NULL; i++)
	{
		f->steps[i].constants = constant;
		constant += f->steps[i].n;
	}
	*out = f;
	return DORIS_OK;
}

void filter_free(Filter *f)
{
	if (f == NULL)
		return;
	free(f->steps);
	free(f->constants);
	free(f);
}

/* ---- running ---- */

typedef enum Found
{
	FOUND,
	FOUND_NULL,
	FOUND_MALFORMED
} Found;

static Found find_in_value(DorisBytes value, uint16_t column, DorisBytes *data)
{
	RowReader r = row_reader(value);
	uint16_t id;

	while (row_next(&r, &id, data))
	{
		if (id == column)
			return FOUND;
		if (id > column)
			return FOUND_NULL;
	}
	return r.c.bad ? FOUND_MALFORMED : FOUND_NULL;
}

static Found find_in_key(const Filter *f, DorisBytes key, uint8_t position, DorisBytes *data)
{
	DorisCursor c = cursor_of(key.data, key.len);

	for (int i = 1; i <= position; i++)
	{
		data->data = c.p;
		if (!nsdef_skip_segment(&c, f->key_widths[i]))
			return FOUND_MALFORMED;
		data->len = (size_t) (c.p - data->data);
	}
	return FOUND;
}

static Truth truth_of(bool b)
{
	return b ? IS_TRUE : IS_FALSE;
}

static Truth compare(FilterOp op, DorisBytes data, DorisBytes constant)
{
	int order = bytes_compare(data, constant);

	switch (op)
	{
		case FILTER_EQ:
			return truth_of(order == 0);
		case FILTER_NE:
			return truth_of(order != 0);
		case FILTER_LT:
			return truth_of(order < 0);
		case FILTER_LE:
			return truth_of(order <= 0);
		case FILTER_GT:
			return truth_of(order > 0);
		default:
			return truth_of(order >= 0);
	}
}

static Truth is_in(const FilterStep *step, DorisBytes data)
{
	uint32_t low = 0;
	uint32_t high = step->n;

	while (low < high)
	{
		uint32_t mid = low + (high - low) / 2;
		int order = bytes_compare(step->constants[mid], data);

		if (order == 0)
			return IS_TRUE;
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return IS_FALSE;
}

static Truth truth_and(Truth a, Truth b)
{
	if (a == IS_FALSE || b == IS_FALSE)
		return IS_FALSE;
	return a == IS_TRUE && b == IS_TRUE ? IS_TRUE : IS_UNKNOWN;
}

static Truth truth_or(Truth a, Truth b)
{
	if (a == IS_TRUE || b == IS_TRUE)
		return IS_TRUE;
	return a == IS_FALSE && b == IS_FALSE ? IS_FALSE : IS_UNKNOWN;
}

static Truth truth_not(Truth a)
{
	return a == IS_UNKNOWN ? IS_UNKNOWN : truth_of(a == IS_FALSE);
}

/* The truth of a step that looks at a column; false: the row is malformed. */
static bool judge_column(const Filter *f, const FilterStep *step, DorisBytes key, DorisBytes value,
						 Truth *truth)
{
	DorisBytes data = {0};
	Found found = step->key_position > 0 ? find_in_key(f, key, step->key_position, &data)
										 : find_in_value(value, step->column, &data);

	if (found == FOUND_MALFORMED)
		return false;
	if (step->op == FILTER_IS_NULL)
		*truth = truth_of(found == FOUND_NULL);
	else if (step->op == FILTER_IN && step->n == 0)
		*truth = IS_FALSE; /* nothing is in an empty list, NULL neither */
	else if (found == FOUND_NULL)
		*truth = IS_UNKNOWN;
	else if (step->op == FILTER_IN)
		*truth = is_in(step, data);
	else
		*truth = compare(step->op, data, step->constants[0]);
	return true;
}

static bool run(const Filter *f, DorisBytes key, DorisBytes value)
{
	Truth stack[DORIS_FILTER_MAX_DEPTH + 1] = {IS_FALSE};
	int depth = 0;

	for (uint32_t i = 0; i < f->nsteps; i++)
	{
		const FilterStep *step = &f->steps[i];

		switch (step->op)
		{
			case FILTER_AND:
				depth--;
				stack[depth - 1] = truth_and(stack[depth - 1], stack[depth]);
				break;
			case FILTER_OR:
				depth--;
				stack[depth - 1] = truth_or(stack[depth - 1], stack[depth]);
				break;
			case FILTER_NOT:
				stack[depth - 1] = truth_not(stack[depth - 1]);
				break;
			case FILTER_TRUE:
				stack[depth++] = IS_TRUE;
				break;
			default:
				if (!judge_column(f, step, key, value, &stack[depth]))
					return false;
				depth++;
		}
	}
	return stack[0] == IS_TRUE;
}

bool filter_pass(const Filter *f, const NsDef *def, DorisBytes key, DorisBytes value)
{
	Truth truth;

	(void) def;
	if (f == NULL)
		return true;
	/* most are one condition, which needs no stack */
	if (f->nsteps == 1 && f->steps[0].op != FILTER_TRUE)
		return judge_column(f, &f->steps[0], key, value, &truth) && truth == IS_TRUE;
	return run(f, key, value);
}
