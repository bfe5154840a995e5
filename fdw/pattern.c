/*
 * pattern.c: conditions on how a string begins: LIKE, ^@, starts_with().
 *
 * What a string begins with is seen in its bytes, whatever its collation: LIKE compares characters one by one, and all
 * collations that may be in a namespace are deterministic. So a prefix is a range of encoded keys and of stored values, also
 * where the collation has another order. Text that is converted before it is stored is left out.
 *
 * Trailing blanks of a bpchar are not stored, so they are not asked for, and its patterns are judged again here.
 */
#include "executor.h"

#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

/* ---- planning ---- */

/*
 * The literal bytes that a pattern begins with, into out (as long as the pattern); *whole: nothing else matches; *exact:
 * all that begins so matches (or, with whole, what is equal).
 */
static int literal_prefix(const char *pattern, int len, char *out, bool *whole, bool *exact)
{
	int n = 0;
	int i = 0;

	*whole = *exact = false;
	while (i < len && pattern[i] != '%' && pattern[i] != '_')
	{
		if (pattern[i] == '\\' && ++i == len)
			return n; /* an error, when somebody compares */
		out[n++] = pattern[i++];
	}
	*whole = *exact = i == len;
	while (i < len && pattern[i] == '%')
		*exact = ++i == len;
	return n;
}

static bool pattern_of(Oid function, bool *like)
{
	*like = function != F_STARTS_WITH;
	return function == F_STARTS_WITH || function == F_TEXTLIKE || function == F_BPCHARLIKE ||
		   function == F_NAMELIKE || function == F_BYTEALIKE;
}

bool pattern_match(PlannerInfo *root, DorisTable *t, Index varno, Expr *clause, ShipPattern *out)
{
	List *args;
	Oid function;
	Oid collation;
	Var *v;

	if (IsA(clause, OpExpr))
	{
		args = ((OpExpr *) clause)->args;
		function = get_opcode(((OpExpr *) clause)->opno);
		collation = ((OpExpr *) clause)->inputcollid;
	}
	else if (IsA(clause, FuncExpr))
	{
		args = ((FuncExpr *) clause)->args;
		function = ((FuncExpr *) clause)->funcid;
		collation = ((FuncExpr *) clause)->inputcollid;
	}
	else
		return false;
	if (!pattern_of(function, &out->like))
		return false;
	v = ship_column(t, varno, linitial(args));
	out->other = lsecond(args);
	if (v == NULL || !codec_has_prefixes(&t->columns[v->varattno - 1].codec) ||
		!compat_collation_is_deterministic(collation) ||
		!ship_other(root, varno, (Node *) out->other))
		return false;
	out->attnum = v->varattno;
	out->exact = !out->like;
	if (IsA(out->other, Const))
	{
		Const *c = (Const *) out->other;
		bool whole;
		text *pattern;
		int n;

		if (c->constisnull)
			return false;
		if (out->like)
		{
			pattern = DatumGetTextPP(c->constvalue);
			n = literal_prefix(VARDATA_ANY(pattern), (int) VARSIZE_ANY_EXHDR(pattern),
							   palloc(VARSIZE_ANY_EXHDR(pattern) + 1), &whole, &out->exact);
			if (n == 0 && !out->exact)
				return false; /* it says nothing about how the string begins */
		}
	}
	if (codec_pads(&t->columns[v->varattno - 1].codec))
		out->exact = false;
	return true;
}

/* ---- running ---- */

DorisBytes pattern_prefix(const ColumnCodec *codec, bool like, Datum d, bool *whole)
{
	text *pattern = DatumGetTextPP(d);
	int len = (int) VARSIZE_ANY_EXHDR(pattern);
	char *out = palloc(Max(len, 1));
	bool exact;

	*whole = false;
	if (like)
		len = literal_prefix(VARDATA_ANY(pattern), len, out, whole, &exact);
	else
		memcpy(out, VARDATA_ANY(pattern), len);
	if (codec_pads(codec))
	{
		*whole = false;
		while (len > 0 && out[len - 1] == ' ')
			len--;
	}
	return (DorisBytes){(const uint8 *) out, (size_t) len};
}
