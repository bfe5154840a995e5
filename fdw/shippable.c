/*
 * shippable.c: which conditions a node can judge, and the filter programs (filter.h) that say them.
 *
 * A node compares bytes. So a condition goes there only when bytes tell what its operator would: the operator
 * belongs to the default btree family of the column's type, both sides are of that type (integers of other widths are
 * brought to it), and the codec says that the column's bytes tell equality or order. Everything else, and
 * everything volatile, is judged here.
 *
 * Constants are expressions evaluated when the scan starts, so run-time parameters are sent like constants. A
 * comparison with NULL is unknown; the programs say false instead, which is the same as long as no NOT is above it. With a
 * NOT and a NULL nothing is sent.
 */
#include "executor.h"

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#define SHIP_MAX_STEPS 1000			/* in a plan; arrays may add steps when it runs */
#define SHIP_MAX_NESTING 30			/* of AND and OR: well below DORIS_FILTER_MAX_DEPTH */
#define SHIP_MAX_BYTES (256 * 1024) /* of a program: it travels with every request of the scan */

/* Operations of a plan's steps beside those of FilterOp. */
enum
{
	SHIP_NOT_IN = 100,
	SHIP_IS_TRUE, /* a boolean column by itself */
	SHIP_LIKE,
	SHIP_PREFIX,
	SHIP_NOT /* above comparisons */
};

static bool is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

Var *ship_column(DorisTable *t, Index varno, Expr *e)
{
	Var *v;

	while (IsA(e, RelabelType))
		e = ((RelabelType *) e)->arg;
	v = (Var *) e;
	if (!IsA(e, Var) || v->varno != (int) varno || v->varlevelsup != 0 || v->varattno <= 0 ||
		v->varattno > t->natts || t->columns[v->varattno - 1].id == 0)
		return NULL;
	return v;
}

bool ship_other(PlannerInfo *root, Index varno, Node *e)
{
	return !bms_is_member((int) varno, pull_varnos(root, e)) && !contain_volatile_functions(e) &&
		   !contain_subplans(e);
}

bool ship_compare(PlannerInfo *root, DorisTable *t, Index varno, Expr *clause, ShipCompare *out)
{
	Oid opno;
	Oid collation;
	Expr *left;
	Expr *right;
	Var *v;
	ColumnCodec *codec;
	TypeCacheEntry *type;
	Oid left_type;
	Oid right_type;
	Oid given;
	bool negated;

	if (IsA(clause, OpExpr) && list_length(((OpExpr *) clause)->args) == 2)
	{
		OpExpr *op = (OpExpr *) clause;

		opno = op->opno;
		collation = op->inputcollid;
		left = linitial(op->args);
		right = lsecond(op->args);
		out->array = false;
		negated = false;
		v = ship_column(t, varno, left);
		if (v == NULL)
		{
			v = ship_column(t, varno, right);
			right = left;
			opno = get_commutator(opno);
		}
	}
	else if (IsA(clause, ScalarArrayOpExpr))
	{
		ScalarArrayOpExpr *op = (ScalarArrayOpExpr *) clause;

		opno = op->opno;
		collation = op->inputcollid;
		left = linitial(op->args);
		right = lsecond(op->args);
		out->array = true;
		negated = !op->useOr;
		v = ship_column(t, varno, left);
	}
	else
		return false;
	if (v == NULL || !OidIsValid(opno))
		return false;

	codec = &t->columns[v->varattno - 1].codec;
	type = lookup_type_cache(codec->type, TYPECACHE_BTREE_OPFAMILY);
	if (!OidIsValid(type->btree_opf))
		return false;
	out->strategy = get_op_opfamily_strategy(opno, type->btree_opf);
	if (out->strategy == 0)
	{
		Oid negator = get_negator(opno);

		if (!OidIsValid(negator) ||
			get_op_opfamily_strategy(negator, type->btree_opf) != BTEqualStrategyNumber)
			return false;
		out->strategy = SHIP_NOT_EQUAL;
	}
	if (out->array && out->strategy != (negated ? SHIP_NOT_EQUAL : BTEqualStrategyNumber))
		return false;

	/* both sides of the column's type, or integers */
	op_input_types(opno, &left_type, &right_type);
	given = exprType((Node *) right);
	if (out->array)
		given = get_base_element_type(given);
	given = getBaseType(given);
	out->other_type = InvalidOid;
	if (left_type == type->btree_opintype && right_type == left_type)
	{
		if (IsPolymorphicType(right_type) && given != codec->type)
			return false;
	}
	else if (is_integer(codec->type) && left_type == codec->type && is_integer(right_type) &&
			 given == right_type)
		out->other_type = right_type;
	else
		return false;

	if (OidIsValid(collation))
	{
		if (!compat_collation_is_deterministic(collation))
			return false;
		if (out->strategy != BTEqualStrategyNumber && out->strategy != SHIP_NOT_EQUAL &&
			collation != codec->collation)
			return false;
	}
	if (!ship_other(root, varno, (Node *) right))
		return false;
	out->attnum = v->varattno;
	out->other = right;
	return true;
}

/* ---- planning ---- */

typedef struct AddContext
{
	PlannerInfo *root;
	DorisTable *table;
	Index varno;
	ShipFilter *filter;
	int nested;
} AddContext;

static void add_step(AddContext *c, int op, AttrNumber attnum, Expr *e, Oid other_type)
{
	int index = -1;

	if (e != NULL)
	{
		index = list_length(c->filter->exprs);
		c->filter->exprs = lappend(c->filter->exprs, e);
	}
	c->filter->steps = lappend_int(c->filter->steps, op);
	c->filter->steps = lappend_int(c->filter->steps, attnum);
	c->filter->steps = lappend_int(c->filter->steps, index);
	c->filter->steps = lappend_int(c->filter->steps, (int) other_type);
}

static bool add_compare(AddContext *c, const ShipCompare *cmp)
{
	DorisColumn *col = &c->table->columns[cmp->attnum - 1];
	bool equality = cmp->strategy == BTEqualStrategyNumber || cmp->strategy == SHIP_NOT_EQUAL;
	int op;

	if (col->key_position > 0)
	{
		if (!equality && !col->codec.key_ordered)
			return false;
	}
	else if (!(equality && col->codec.value_equal) && !col->codec.value_bounded &&
			 !col->codec.value_ordered)
		return false;
	if (IsA(cmp->other, Const) && ((Const *) cmp->other)->constisnull)
		return false;

	switch (cmp->strategy)
	{
		case BTEqualStrategyNumber:
			op = cmp->array ? FILTER_IN : FILTER_EQ;
			break;
		case SHIP_NOT_EQUAL:
			op = cmp->array ? SHIP_NOT_IN : FILTER_NE;
			break;
		case BTLessStrategyNumber:
			op = FILTER_LT;
			break;
		case BTLessEqualStrategyNumber:
			op = FILTER_LE;
			break;
		case BTGreaterStrategyNumber:
			op = FILTER_GT;
			break;
		case BTGreaterEqualStrategyNumber:
			op = FILTER_GE;
			break;
		default:
			return false;
	}
	add_step(c, op, cmp->attnum, cmp->other, cmp->other_type);
	return true;
}

/* exact: only when bytes tell all of it */
static bool add_pattern(AddContext *c, Expr *e, bool exact)
{
	ShipPattern p;

	if (!pattern_match(c->root, c->table, c->varno, e, &p) || (exact && !p.exact))
		return false;
	add_step(c, p.like ? SHIP_LIKE : SHIP_PREFIX, p.attnum, p.other, InvalidOid);
	return true;
}

/* NOT LIKE and its kind */
static bool add_negated_pattern(AddContext *c, Expr *e)
{
	OpExpr op;

	if (!IsA(e, OpExpr))
		return false;
	op = *(OpExpr *) e;
	op.opno = get_negator(op.opno);
	if (!OidIsValid(op.opno) || !add_pattern(c, (Expr *) &op, true))
		return false;
	add_step(c, SHIP_NOT, 0, NULL, InvalidOid);
	return true;
}

static bool add_expr(AddContext *c, Expr *e)
{
	ShipCompare cmp;
	Var *v;

	check_stack_depth();
	if (list_length(c->filter->steps) >= SHIP_MAX_STEPS * SHIP_STEP_INTS)
		return false;
	if (IsA(e, BoolExpr))
	{
		BoolExpr *b = (BoolExpr *) e;
		ListCell *lc;
		bool first = true;

		if (c->nested >= SHIP_MAX_NESTING)
			return false;
		c->nested++;
		if (b->boolop == NOT_EXPR)
		{
			if (!add_expr(c, linitial(b->args)))
				return false;
			add_step(c, SHIP_NOT, 0, NULL, InvalidOid);
		}
		else
			foreach (lc, b->args)
			{
				if (!add_expr(c, lfirst(lc)))
					return false;
				if (!first)
					add_step(c, b->boolop == AND_EXPR ? FILTER_AND : FILTER_OR, 0, NULL,
							 InvalidOid);
				first = false;
			}
		c->nested--;
		return true;
	}
	if (IsA(e, NullTest))
	{
		NullTest *n = (NullTest *) e;

		bool in_key;

		v = ship_column(c->table, c->varno, n->arg);
		if (v == NULL || n->argisrow)
			return false;
		/* a key has no NULLs */
		in_key = column_is_in_key(&c->table->columns[v->varattno - 1]);
		if (in_key)
			add_step(c, FILTER_TRUE, 0, NULL, InvalidOid);
		else
			add_step(c, FILTER_IS_NULL, v->varattno, NULL, InvalidOid);
		if (in_key == (n->nulltesttype == IS_NULL))
			add_step(c, FILTER_NOT, 0, NULL, InvalidOid);
		return true;
	}
	v = ship_column(c->table, c->varno, e);
	if (v != NULL && v->vartype == BOOLOID &&
		c->table->columns[v->varattno - 1].codec.type == BOOLOID)
	{
		add_step(c, SHIP_IS_TRUE, v->varattno, NULL, InvalidOid);
		return true;
	}
	if (add_pattern(c, e, true) || add_negated_pattern(c, e))
		return true;
	return ship_compare(c->root, c->table, c->varno, e, &cmp) && add_compare(c, &cmp);
}

bool ship_filter_add(PlannerInfo *root, DorisTable *t, Index varno, Expr *clause, ShipFilter *f)
{
	int nsteps = list_length(f->steps);
	int nexprs = list_length(f->exprs);
	AddContext c = {.root = root, .table = t, .varno = varno, .filter = f};

	if (!add_expr(&c, clause))
	{
		f->steps = list_truncate(f->steps, nsteps);
		f->exprs = list_truncate(f->exprs, nexprs);
		return false;
	}
	if (nsteps > 0)
		add_step(&c, FILTER_AND, 0, NULL, InvalidOid);
	return true;
}

bool ship_filter_narrow(PlannerInfo *root, DorisTable *t, Index varno, Expr *clause, ShipFilter *f)
{
	int nsteps = list_length(f->steps);
	AddContext c = {.root = root, .table = t, .varno = varno, .filter = f};

	if (nsteps >= SHIP_MAX_STEPS * SHIP_STEP_INTS || !add_pattern(&c, clause, false))
		return false;
	if (nsteps > 0)
		add_step(&c, FILTER_AND, 0, NULL, InvalidOid);
	return true;
}

/* ---- running ---- */

int ship_coerce(Oid from, Oid to, Datum *d)
{
	int64 v;
	int64 low;
	int64 high;

	v = from == INT2OID	  ? DatumGetInt16(*d)
		: from == INT4OID ? DatumGetInt32(*d)
						  : DatumGetInt64(*d);
	low = to == INT2OID ? PG_INT16_MIN : to == INT4OID ? PG_INT32_MIN : PG_INT64_MIN;
	high = to == INT2OID ? PG_INT16_MAX : to == INT4OID ? PG_INT32_MAX : PG_INT64_MAX;
	if (v < low)
		return -1;
	if (v > high)
		return 1;
	*d = to == INT2OID	 ? Int16GetDatum((int16) v)
		 : to == INT4OID ? Int32GetDatum((int32) v)
						 : Int64GetDatum(v);
	return 0;
}

/* A step of the program to send, its constants encoded. Gathered first, because DorisBuf is not palloc'ed. */
typedef struct FinalStep
{
	int op; /* FilterOp */
	uint16 column;
	DorisBytes data;
	DorisBytes *in;
	size_t nin;
} FinalStep;

typedef struct BuildContext
{
	DorisTable *table;
	FinalStep *steps;
	uint32 n;
	uint32 cap;
	size_t bytes;
	bool negated; /* there is a NOT */
	bool unsaid;  /* and something unknown below it, perhaps */
} BuildContext;

static FinalStep *emit(BuildContext *c, int op, uint16 column, DorisBytes data)
{
	FinalStep *s;

	if (c->n == c->cap)
	{
		c->cap = c->cap ? c->cap * 2 : 16;
		c->steps = c->steps ? repalloc(c->steps, c->cap * sizeof(FinalStep))
							: palloc(c->cap * sizeof(FinalStep));
	}
	s = &c->steps[c->n++];
	*s = (FinalStep){.op = op, .column = column, .data = data};
	c->bytes += 8 + data.len;
	return s;
}

/* True (or false) for every row in which the column is not NULL: all bytes are at least the empty string. */
static void emit_always(BuildContext *c, DorisColumn *col, bool value)
{
	emit(c, value ? FILTER_GE : FILTER_LT, col->id, EMPTY_BYTES);
}

/* NULL has been compared with. */
static void emit_unknown(BuildContext *c, DorisColumn *col)
{
	c->unsaid |= c->negated;
	emit_always(c, col, false);
}

static DorisBytes bytes_of(StringInfo s)
{
	return (DorisBytes){(const uint8 *) s->data, (size_t) s->len};
}

static bool compares_directly(DorisColumn *col, int op)
{
	if (col->key_position > 0)
		return op == FILTER_EQ || op == FILTER_NE || op == FILTER_IN || col->codec.key_ordered;
	if (op == FILTER_EQ || op == FILTER_NE || op == FILTER_IN)
		return col->codec.value_equal;
	return col->codec.value_ordered;
}

static DorisBytes encode(DorisColumn *col, Datum d)
{
	StringInfoData s;

	initStringInfo(&s);
	if (col->key_position > 0)
		codec_put_key(&col->codec, d, &s);
	else
		codec_put_value(&col->codec, d, &s);
	return bytes_of(&s);
}

static void emit_compare(BuildContext *c, DorisColumn *col, int op, Datum d)
{
	StringInfoData low;
	StringInfoData high;

	if (compares_directly(col, op))
	{
		emit(c, op, col->id, encode(col, d));
		return;
	}
	/* value_bounded: the datums equal to d lie in [low, high] */
	initStringInfo(&low);
	initStringInfo(&high);
	codec_put_bounds(&col->codec, d, &low, &high);
	switch (op)
	{
		case FILTER_LT:
		case FILTER_GE:
			emit(c, op, col->id, bytes_of(&low));
			break;
		case FILTER_LE:
		case FILTER_GT:
			emit(c, op, col->id, bytes_of(&high));
			break;
		case FILTER_EQ:
			emit(c, FILTER_GE, col->id, bytes_of(&low));
			emit(c, FILTER_LE, col->id, bytes_of(&high));
			emit(c, FILTER_AND, 0, EMPTY_BYTES);
			break;
		case FILTER_NE:
			emit(c, FILTER_LT, col->id, bytes_of(&low));
			emit(c, FILTER_GT, col->id, bytes_of(&high));
			emit(c, FILTER_OR, 0, EMPTY_BYTES);
			break;
	}
}

/* The column's string begins as the pattern does. */
static void emit_pattern(BuildContext *c, DorisColumn *col, bool like, Datum d)
{
	bool whole;
	DorisBytes prefix = pattern_prefix(&col->codec, like, d, &whole);
	DorisBytes after;

	if (col->key_position > 0)
		prefix = codec_prefix_segment(prefix, whole);
	if (whole)
	{
		emit(c, FILTER_EQ, col->id, prefix);
		return;
	}
	emit(c, FILTER_GE, col->id, prefix);
	after = bytes_after(prefix);
	if (after.len > 0)
	{
		emit(c, FILTER_LT, col->id, after);
		emit(c, FILTER_AND, 0, EMPTY_BYTES);
	}
}

/* column = ANY (array): NULL elements can only make it unknown, so they are left out; with negate they make it so. */
static void emit_in(BuildContext *c, DorisColumn *col, Datum array, Oid other_type, bool negate)
{
	ArrayType *a = DatumGetArrayTypeP(array);
	int16 typlen;
	bool typbyval;
	char typalign;
	Datum *elements;
	bool *nulls;
	int n;
	DorisBytes *constants;
	size_t nconstants = 0;
	bool direct = compares_directly(col, FILTER_IN);
	uint32 nemitted = 0;
	FinalStep *s;

	get_typlenbyvalalign(ARR_ELEMTYPE(a), &typlen, &typbyval, &typalign);
	deconstruct_array(a, ARR_ELEMTYPE(a), typlen, typbyval, typalign, &elements, &nulls, &n);
	constants = palloc(Max(n, 1) * sizeof(DorisBytes));
	for (int i = 0; (negate || c->negated) && i < n; i++)
		if (nulls[i])
		{
			emit_unknown(c, col);
			return;
		}
	for (int i = 0; i < n && c->bytes <= SHIP_MAX_BYTES; i++)
	{
		if (nulls[i])
			continue;
		if (OidIsValid(other_type) && ship_coerce(other_type, col->codec.type, &elements[i]) != 0)
			continue;
		if (direct)
		{
			constants[nconstants] = encode(col, elements[i]);
			c->bytes += constants[nconstants++].len + 4;
		}
		else
		{
			emit_compare(c, col, FILTER_EQ, elements[i]);
			if (nemitted++ > 0)
				emit(c, FILTER_OR, 0, EMPTY_BYTES);
		}
	}
	if (direct && nconstants > 0)
	{
		size_t unique = 0;

		qsort(constants, nconstants, sizeof(DorisBytes), bytes_compare_items);
		for (size_t i = 0; i < nconstants; i++)
			if (unique == 0 || bytes_compare(constants[unique - 1], constants[i]) != 0)
				constants[unique++] = constants[i];
		s = emit(c, FILTER_IN, col->id, EMPTY_BYTES);
		s->in = constants;
		s->nin = unique;
	}
	else if (nemitted == 0)
	{
		/* nothing is equal to any of none, not even NULL; <> ALL of none is true even for it */
		if (n == 0 && (negate || c->negated))
		{
			emit(c, FILTER_TRUE, 0, EMPTY_BYTES);
			if (!negate)
				emit(c, FILTER_NOT, 0, EMPTY_BYTES);
		}
		else
			emit_always(c, col, negate);
		return;
	}
	if (negate)
		emit(c, FILTER_NOT, 0, EMPTY_BYTES);
}

ShipResult ship_filter_build(DorisTable *t, List *steps, const Datum *values, const bool *nulls,
							 DorisBytes *out)
{
	BuildContext c = {.table = t};
	DorisBuf program;
	DorisBuf body;
	uint8 *copy;

	*out = EMPTY_BYTES;
	if (steps == NIL)
		return SHIP_FILTER;
	for (int i = 0; i < list_length(steps); i += SHIP_STEP_INTS)
		c.negated |= list_nth_int(steps, i) == SHIP_NOT;
	for (int i = 0; i < list_length(steps); i += SHIP_STEP_INTS)
	{
		int op = list_nth_int(steps, i);
		AttrNumber attnum = (AttrNumber) list_nth_int(steps, i + 1);
		int index = list_nth_int(steps, i + 2);
		Oid other_type = (Oid) list_nth_int(steps, i + 3);
		DorisColumn *col = attnum > 0 ? &t->columns[attnum - 1] : NULL;
		Datum d = index >= 0 ? values[index] : (Datum) 0;
		int fit = 0;

		if (col == NULL)
		{
			emit(&c, op == SHIP_NOT ? FILTER_NOT : op, 0, EMPTY_BYTES); /* AND, OR, TRUE */
			continue;
		}
		if (index >= 0 && nulls[index])
		{
			emit_unknown(&c, col);
			continue;
		}
		if (index >= 0 && OidIsValid(other_type) && op != FILTER_IN && op != SHIP_NOT_IN)
			fit = ship_coerce(other_type, col->codec.type, &d);
		switch (op)
		{
			case FILTER_EQ:
			case FILTER_NE:
				if (fit != 0)
					emit_always(&c, col, op == FILTER_NE);
				else
					emit_compare(&c, col, op, d);
				break;
			case FILTER_LT:
			case FILTER_LE:
			case FILTER_GT:
			case FILTER_GE:
				if (fit != 0)
					emit_always(&c, col, (fit > 0) == (op == FILTER_LT || op == FILTER_LE));
				else
					emit_compare(&c, col, op, d);
				break;
			case FILTER_IN:
			case SHIP_NOT_IN:
				emit_in(&c, col, d, other_type, op == SHIP_NOT_IN);
				break;
			case SHIP_IS_TRUE:
				emit_compare(&c, col, FILTER_EQ, BoolGetDatum(true));
				break;
			case SHIP_LIKE:
			case SHIP_PREFIX:
				emit_pattern(&c, col, op == SHIP_LIKE, d);
				break;
			case FILTER_IS_NULL:
				emit(&c, op, col->id, EMPTY_BYTES);
				break;
		}
		if (c.bytes > SHIP_MAX_BYTES || c.n > DORIS_FILTER_MAX_OPS || c.unsaid)
			return SHIP_HERE;
	}
	if ((c.n == 1 && c.steps[0].op == FILTER_LT && c.steps[0].data.len == 0) ||
		(c.n == 2 && c.steps[0].op == FILTER_TRUE && c.steps[1].op == FILTER_NOT))
		return SHIP_NO_ROWS;

	/* no error may be raised until the buffers are freed */
	buf_init(&body);
	buf_init(&program);
	for (uint32 i = 0; i < c.n; i++)
	{
		FinalStep *s = &c.steps[i];

		if (s->op == FILTER_IN)
			filter_put_in(&body, s->column, s->in, s->nin);
		else if (s->op == FILTER_IS_NULL)
			filter_put_is_null(&body, s->column);
		else if (s->op == FILTER_AND || s->op == FILTER_OR || s->op == FILTER_NOT ||
				 s->op == FILTER_TRUE)
			filter_put_op(&body, (FilterOp) s->op);
		else
			filter_put_compare(&body, (FilterOp) s->op, s->column, s->data.data, s->data.len);
	}
	filter_finish(&program, c.n, &body);
	copy = program.failed || body.failed ? NULL : palloc_extended(program.len, MCXT_ALLOC_NO_OOM);
	if (copy != NULL)
	{
		memcpy(copy, program.data, program.len);
		*out = (DorisBytes){copy, program.len};
	}
	buf_free(&body);
	buf_free(&program);
	if (copy == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return SHIP_FILTER;
}
