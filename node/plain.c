/*
 * plain.c: APPLY: writes that are applied at once, the higher version stays (I4; rule plain).
 *
 * The caller holds the epoch lock for reading (I3).
 */
#include "node.h"

#include <stdlib.h>
#include <string.h>

#include "fault.h"

static DorisStatus check_request(Worker *w, uint64_t epoch, const ApplyRequest *m, DorisError *err)
{
	Node *n = w->node;
	DorisStatus st = epoch_admit(n, epoch, err);
	uint64_t now_ms = clock_ms_of(clock_next(&n->clock));
	uint64_t highest = 0;
	uint32_t known_ns = 0;
	const NsDef *def;

	locks_clear(w);
	for (uint32_t i = 0; st == DORIS_OK && i < m->nrows; i++)
	{
		const ApplyRow *r = &m->rows[i];

		st = rows_check(n, &r->at, r->value.len, err);
		if (st == DORIS_OK)
			st = epoch_check(n, epoch, r->at.vnode, PLACE_TARGET, err);
		if (st == DORIS_OK && r->at.space == DORIS_SPACE_ROWS && r->at.ns != known_ns)
		{
			st = epoch_namespace(n, r->at.ns, &def, err);
			known_ns = r->at.ns;
		}
		if (st == DORIS_OK && version_is_none(r->version))
			st = doris_error(err, DORIS_BAD_MESSAGE, "apply: a row without a version");
		if (st == DORIS_OK && m->from_client &&
			clock_ms_of(r->version.clock) > now_ms + DORIS_CLOCK_AHEAD_MS)
			st = doris_error(err, DORIS_CLOCK_AHEAD,
							 "%s: the stamp is %llu ms ahead of the node's clock", node_name(n),
							 (unsigned long long) (clock_ms_of(r->version.clock) - now_ms));
		if (st == DORIS_OK)
			st = tables_need(w, r->at.vnode, err);
		if (r->version.clock > highest)
			highest = r->version.clock;
		locks_add(w, r->at.vnode);
	}
	if (st == DORIS_OK && m->nrows > 0)
	{
		clock_observe(&n->clock, highest);
		st = meta_raise_ceiling(w, highest, err);
	}
	return st;
}

static DorisStatus note_higher(const ApplyRequest *m, uint32_t i, DorisVersion version,
							   ApplyReply *out, DorisError *err)
{
	if (out->rows == NULL)
	{
		out->rows = malloc(m->nrows * sizeof(*out->rows));
		out->versions = malloc(m->nrows * sizeof(*out->versions));
	}
	if (out->rows == NULL || out->versions == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "apply: out of memory");
	out->rows[out->nhigher] = i;
	out->versions[out->nhigher] = version;
	out->nhigher++;
	return DORIS_OK;
}

/*
 * Loads bring rows that are not there yet, and WiredTiger finds that out by the search that inserting takes: what apply_row would
 * do with an empty record, without looking for one first. DUPLICATE: there is one.
 */
static DorisStatus apply_new_row(Worker *w, const ApplyRow *row, DorisBytes key, DorisError *err)
{
	Record *r = &w->row;

	record_clear(r);
	(void) record_apply(r, row->version, false, row->value);
	return rows_add(w, row->at.vnode, key, r, err);
}

static DorisStatus apply_row(Worker *w, const ApplyRequest *m, uint32_t i, ApplyReply *out,
							 uint32_t *applied, DorisError *err)
{
	const ApplyRow *row = &m->rows[i];
	const Node *n = w->node;
	Record *r = &w->row;
	DorisBytes key;
	DorisVersion highest;
	DorisTxnId proved;
	bool any_proved = false;
	DorisStatus st;

	buf_reset(&w->key);
	record_key(&w->key, row->at.space, row->at.ns, row->at.key);
	if (w->key.failed)
		return doris_error(err, DORIS_NO_MEMORY, "apply: out of memory");
	key.data = w->key.data;
	key.len = w->key.len;
	if (w->guess_new && !row->deleted &&
		!purge_refuses(n, row->at.vnode, row->at.space, row->version))
	{
		st = apply_new_row(w, row, key, err);
		*applied += st == DORIS_OK;
		if (st != DORIS_DUPLICATE)
			return st;
	}
	st = rows_load(w, row->at.vnode, key, r, err);
	if (st != DORIS_OK)
		return st;
	w->guess_new = record_is_empty(r);
	highest = r->version;
	for (int k = 0; k < r->nstaged; k++)
	{
		int c = version_compare(r->staged[k].version, row->version);

		if (c == 0)
		{
			/* another copy has it as committed */
			proved = r->staged[k].txn;
			any_proved = true;
			record_remove_staged(r, k);
			k--;
		}
		else if (version_compare(r->staged[k].version, highest) > 0)
			highest = r->staged[k].version;
	}
	/* rule purge: a repair may bring what is behind the fence if nothing was purged since it looked */
	if (!any_proved && purge_refuses(n, row->at.vnode, row->at.space, row->version) &&
		!(m->has_purged && m->purged == atomic_load(&n->floors[row->at.vnode].purged)))
	{
		DorisVersion fence = {.clock = atomic_load(&n->floors[row->at.vnode].fence)};

		return note_higher(m, i, version_compare(fence, highest) > 0 ? fence : highest, out, err);
	}
	if (row->deleted && purge_is_behind(n, row->at.vnode, row->at.space, row->version))
		return DORIS_OK; /* as good as purged */
	if (m->from_client && version_compare(highest, row->version) > 0)
		return note_higher(m, i, highest, out, err);
	if (!record_apply(r, row->version, row->deleted, row->value) && !any_proved)
		return DORIS_OK;
	(*applied)++;
	st = rows_save(w, row->at.vnode, key, r, err);
	if (st == DORIS_OK && any_proved)
		st = memory_put_committed(w, proved, err);
	return st;
}

DorisStatus plain_execute(Worker *w, uint64_t epoch, const ApplyRequest *m, ApplyReply *out,
						  DorisError *err)
{
	Node *n = w->node;
	uint32_t applied = 0;
	uint64_t number;
	uint64_t bytes = 0;
	DorisStatus st;

	memset(out, 0, sizeof(*out));
	st = check_request(w, epoch, m, err);
	if (st != DORIS_OK)
		return st;
	for (uint32_t i = 0; i < m->nrows; i++)
		bytes += m->rows[i].at.key.len + m->rows[i].value.len;
	st = disk_take(n, bytes, err);
	if (st != DORIS_OK)
		return st;
	FAULT_HOLD("node_admitted", "apply");
	locks_take(w);
	st = commit_begin(w, err);
	for (uint32_t i = 0; st == DORIS_OK && i < m->nrows; i++)
		st = apply_row(w, m, i, out, &applied, err);
	if (st == DORIS_OK && applied > 0)
	{
		st = commit_end(w, true, &number, err);
		if (st == DORIS_OK)
			commit_need(w, number);
		node_count(n, COUNT_ROWS_APPLIED, applied);
	}
	else
		commit_abandon(w);
	if (st == DORIS_OK)
	{
		/* what was there already may not be on disk yet */
		for (uint32_t i = 0; i < m->nrows; i++)
			commit_need_vnode(w, m->rows[i].at.vnode);
	}
	else
		apply_reply_free(out);
	return st;
}
