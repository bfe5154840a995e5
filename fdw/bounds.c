/*
 * bounds.c: conditions that bound the key column behind those that are bound by equality: from which key to which one a range
 * goes.
 *
 * A comparison, a row-wise one over several columns as they stand in the key, or a prefix of a string. There may be several:
 * the range is what all of them leave. Key segments delimit themselves, so all keys that begin with certain columns lie
 * between these columns' bytes and what comes after them (bytes_after).
 */
#include "executor.h"

#include "access/stratnum.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"

/* ---- planning ---- */

static bool match_compare(PlannerInfo *root, DorisTable *t, Index varno, Expr *clause, int next,
						  KeyBound *out)
{
	ShipCompare cmp;

	if (!ship_compare(root, t, varno, clause, &cmp) || cmp.array ||
		cmp.attnum != t->key_attnums[next] || cmp.strategy == BTEqualStrategyNumber ||
		cmp.strategy == SHIP_NOT_EQUAL || !t->columns[cmp.attnum - 1].codec.key_ordered)
		return false;
	out->kind = BOUND_COMPARE;
	out->strategy = cmp.strategy;
	out->n = 1;
	out->others[0] = cmp.other;
	out->types[0] = cmp.other_type;
	out->exact = true;
	return true;
}

static bool match_pattern(PlannerInfo *root, DorisTable *t, Index varno, Expr *clause, int next,
						  KeyBound *out)
{
	ShipPattern p;

	if (!pattern_match(root, t, varno, clause, &p) || p.attnum != t->key_attnums[next])
		return false;
	out->kind = p.like ? BOUND_LIKE : BOUND_PREFIX;
	out->strategy = 0;
	out->n = 1;
	out->others[0] = p.other;
	out->types[0] = InvalidOid;
	out->exact = p.exact;
	return true;
}

/* (a, b, ...) < (x, y, ...): as many columns as stand in the key in this order; the others are judged here. */
static bool match_row(PlannerInfo *root, DorisTable *t, Index varno, RowCompareExpr *row, int next,
					  KeyBound *out)
{
	ListCell *op;
	ListCell *left;
	ListCell *right;
	ListCell *collation;
	int strategy = 0;

	out->n = 0;
	forfour(op, row->opnos, left, row->largs, right, row->rargs, collation, row->inputcollids)
	{
		Expr *e = make_opclause(lfirst_oid(op), BOOLOID, false, lfirst(left), lfirst(right),
								InvalidOid, lfirst_oid(collation));
		KeyBound one;

		if (next + out->n == t->nkey || !match_compare(root, t, varno, e, next + out->n, &one) ||
			(out->n > 0 && one.strategy != strategy))
			break;
		strategy = one.strategy;
		out->others[out->n] = one.others[0];
		out->types[out->n++] = one.types[0];
	}
	if (out->n == 0)
		return false;
	out->kind = BOUND_COMPARE;
	out->exact = out->n == list_length(row->opnos);
	if (!out->exact)
		strategy = strategy == BTLessStrategyNumber		 ? BTLessEqualStrategyNumber
				   : strategy == BTGreaterStrategyNumber ? BTGreaterEqualStrategyNumber
														 : strategy;
	out->strategy = strategy;
	return true;
}

bool bound_match(PlannerInfo *root, DorisTable *t, Index varno, Expr *clause, int next,
				 KeyBound *out)
{
	if (IsA(clause, RowCompareExpr))
		return match_row(root, t, varno, (RowCompareExpr *) clause, next, out);
	return match_compare(root, t, varno, clause, next, out) ||
		   match_pattern(root, t, varno, clause, next, out);
}

List *bound_private(const KeyBound *b, List **exprs)
{
	List *l = list_make3_int((int) b->kind, b->strategy, b->n);

	for (int i = 0; i < b->n; i++)
	{
		l = lappend_int(l, list_length(*exprs));
		l = lappend_int(l, (int) b->types[i]);
		*exprs = lappend(*exprs, b->others[i]);
	}
	return l;
}

/* ---- running ---- */

DorisBytes bytes_after(DorisBytes prefix)
{
	uint8 *b = palloc(Max(prefix.len, 1));
	size_t n = prefix.len;

	if (n > 0)
		memcpy(b, prefix.data, n);
	while (n > 0 && b[n - 1] == 0xFF)
		n--;
	if (n > 0)
		b[n - 1]++;
	return (DorisBytes){b, n};
}

DorisBytes bytes_join(DorisBytes a, DorisBytes b)
{
	uint8 *p = palloc(Max(a.len + b.len, 1));

	if (a.len > 0)
		memcpy(p, a.data, a.len);
	if (b.len > 0)
		memcpy(p + a.len, b.data, b.len);
	return (DorisBytes){p, a.len + b.len};
}

/* No key below this one. False: then there is none at all. */
static bool raise_low(KeyRange *r, DorisBytes at, bool after)
{
	if (after)
	{
		at = bytes_after(at);
		if (at.len == 0)
			return false; /* nothing comes after bytes that are all 0xFF */
	}
	if (bytes_compare(at, r->low) > 0)
		r->low = at;
	return true;
}

/* All keys are below this one, or with `after` below all that begin with it. */
static bool lower_high(KeyRange *r, DorisBytes at, bool after)
{
	if (after)
	{
		at = bytes_after(at);
		if (at.len == 0)
			return true;
	}
	else if (at.len == 0)
		return false;
	if (r->high.len == 0 || bytes_compare(at, r->high) < 0)
		r->high = at;
	return true;
}

static bool apply_compare(DorisTable *t, int next, List *bound, const Datum *values,
						  const bool *nulls, DorisBytes at, KeyRange *r)
{
	int strategy = lsecond_int(bound);
	int n = lthird_int(bound);
	bool lower = strategy == BTGreaterStrategyNumber || strategy == BTGreaterEqualStrategyNumber;
	bool after = strategy == BTGreaterStrategyNumber || strategy == BTLessEqualStrategyNumber;

	for (int i = 0; i < n; i++)
	{
		DorisColumn *col = &t->columns[t->key_attnums[next + i] - 1];
		int index = list_nth_int(bound, 3 + 2 * i);
		Oid other_type = (Oid) list_nth_int(bound, 4 + 2 * i);
		Datum d = values[index];
		int fit = 0;

		/* with NULL it is unknown: but where the columns before it have decided already */
		if (nulls[index])
		{
			if (i == 0)
				return false;
			after = lower;
			break;
		}
		if (OidIsValid(other_type))
			fit = ship_coerce(other_type, col->codec.type, &d);
		if (fit != 0)
		{
			/* below or above all values of the column: all keys that begin with what is there are on one side */
			after = fit > 0;
			break;
		}
		at = bytes_join(at, codec_segment(&col->codec, d));
	}
	return lower ? raise_low(r, at, after) : lower_high(r, at, after);
}

static bool apply_pattern(DorisTable *t, int next, List *bound, const Datum *values,
						  const bool *nulls, DorisBytes at, KeyRange *r)
{
	DorisColumn *col = &t->columns[t->key_attnums[next] - 1];
	int index = list_nth_int(bound, 3);
	DorisBytes prefix;
	bool whole;

	if (nulls[index])
		return false;
	prefix = pattern_prefix(&col->codec, linitial_int(bound) == BOUND_LIKE, values[index], &whole);
	if (prefix.len == 0 && !whole)
		return true;
	at = bytes_join(at, codec_prefix_segment(prefix, whole));
	return raise_low(r, at, false) && lower_high(r, at, true);
}

/* A bound longer than any key lies between the keys that it begins with and those after them. False: they all are below it. */
static bool clip(DorisBytes *bound)
{
	if (bound->len <= DORIS_MAX_KEY)
		return true;
	*bound = bytes_after((DorisBytes){bound->data, DORIS_MAX_KEY});
	return bound->len > 0;
}

bool bounds_apply(DorisTable *t, int next, List *bounds, const Datum *values, const bool *nulls,
				  DorisBytes prefix, KeyRange *r)
{
	ListCell *lc;

	r->low = prefix;
	r->high = bytes_after(prefix);
	foreach (lc, bounds)
	{
		List *bound = lfirst(lc);

		if (linitial_int(bound) == BOUND_COMPARE
				? !apply_compare(t, next, bound, values, nulls, prefix, r)
				: !apply_pattern(t, next, bound, values, nulls, prefix, r))
			return false;
	}
	if (!clip(&r->low))
		return false;
	(void) clip(&r->high); /* empty: to the end */
	return r->high.len == 0 || bytes_compare(r->low, r->high) < 0;
}
