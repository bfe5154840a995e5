/*
 * conflict.c: a judge refused a message of a transaction: what that means, and whether to send it again.
 *
 * Another's staged write in the way is met (rule *meet*): when it turns out committed or gone the way is clear
 * or the conflict certain. While it is undecided, age decides who waits: an older transaction waits, holding what it
 * has; a younger one ends itself first and waits holding nothing. So two transactions never wait for each
 * other, and of several that want the same row the oldest wins.
 *
 * A refusal because of the base is a conflict, unless the copies of the row differ: then they are brought together first
 * (rule *repair what you read*).
 */
#include <string.h>

#include "txn.h"

#define WAIT_FIRST_MS 2
#define WAIT_MAX_MS 50
#define BEYOND_EXPIRY_MS 1000 /* how much longer than the other's deadline we wait */
#define LAST_ASK_MS 200		  /* a question asked at the deadline may still take so long */
#define MAX_REPAIRS 3		  /* of one message */

/* How long one question about a rival may take. */
static uint64_t ask_until(const Txn *x)
{
	uint64_t now = clock_mono_ms();
	uint64_t until = x->until > now + LAST_ASK_MS ? x->until : now + LAST_ASK_MS;

	return until < now + CLIENT_READ_SLICE_MS ? until : now + CLIENT_READ_SLICE_MS;
}

static const char *ns_name(Txn *x, uint32_t ns)
{
	const NsDef *def = topology_namespace_by_id(x->topo, ns);

	return def != NULL ? def->name : "?";
}

StageVerdict txn_refuse(Txn *x, DorisStatus st, uint32_t ns, DorisBytes key, const char *why,
						DorisError *err)
{
	doris_error(err, st, "key %s of namespace \"%s\" %s", key_text(key), ns_name(x, ns), why);
	if (x->result != NULL)
	{
		x->result->ns = ns;
		x->result->key_len = key.len < sizeof(x->result->key) ? key.len : sizeof(x->result->key);
		memcpy(x->result->key, key.data, x->result->key_len);
	}
	return STAGE_FAIL;
}

/*
 * The rival committed: what that makes of our row. GO: nothing against it, or the judge is to say once it is finished:
 * a copy that has just been made complete may still hold what was committed, and overwritten, long before.
 */
static StageVerdict rival_committed(Txn *x, const StageRow *row, const StagedInfo *s,
									DorisError *err)
{
	if (row->kind == WRITE_INSERT || version_compare(row->base, s->version) >= 0)
		return STAGE_GO;
	return txn_refuse(x, DORIS_CONFLICT, row->at.ns, row->at.key,
					  "was changed by another transaction", err);
}

static StageVerdict staged_in_way(Txn *x, StageTarget *t, const StageRow *row, const StagedInfo *s,
								  DorisError *err)
{
	DorisClient *c = x->c;
	DorisError why;
	Outcome o;
	StageVerdict v;

	why.code = DORIS_OK;
	clock_observe(&c->clock, s->version.clock);
	o = meet_writer(c, s, &row->at, t->node, ask_until(x), &why);
	if (c->cancelled)
	{
		*err = why;
		return STAGE_FAIL;
	}
	if (o == TXN_COMMITTED)
	{
		v = rival_committed(x, row, s, err);
		if (v == STAGE_GO)
			(void) finish_vnode(c, x->topo, s->txn, true, row->at.vnode, NULL, x->until, &why);
		return v;
	}
	if (o == TXN_ABORTED)
	{
		/* one over several vnodes, aborted by its decision row, still has its rows */
		if (s->mode != TXN_SINGLE)
			(void) finish_vnode(c, x->topo, s->txn, false, row->at.vnode, NULL, x->until, &why);
		return STAGE_GO;
	}
	if (txnid_compare(s->txn, x->id) < 0)
	{
		/* the older one goes first: out of its way, holding nothing */
		x->rival = *s;
		x->rival_at = row->at;
		x->rival_whole_key = row->at.key.len <= sizeof(x->rival_key);
		x->rival_at.key.len = x->rival_whole_key ? row->at.key.len : sizeof(x->rival_key);
		memcpy(x->rival_key, row->at.key.data, x->rival_at.key.len);
		x->rival_at.key.data = x->rival_key;
		x->rival_node = t->node;
		x->rival_kind = row->kind;
		x->rival_base = row->base;
		return STAGE_YIELD;
	}
	/* it has to give way, or has lost its client: then it is closed when it expires */
	if (clock_mono_ms() + WAIT_MAX_MS >= x->until || s->now_ms > s->expires_ms + BEYOND_EXPIRY_MS)
	{
		if (o == TXN_OPEN)
		{
			txn_refuse(x, DORIS_UNAVAILABLE, row->at.ns, row->at.key,
					   "has a write of another transaction whose outcome cannot be found out", err);
			doris_hint(err, "%.250s", why.message);
			return STAGE_FAIL;
		}
		return txn_refuse(x, DORIS_CONFLICT, row->at.ns, row->at.key,
						  "is being changed by another transaction", err);
	}
	t->pause = t->pause == 0 ? WAIT_FIRST_MS : t->pause * 2;
	if (t->pause > WAIT_MAX_MS)
		t->pause = WAIT_MAX_MS;
	return client_pause(c, t->pause, err) == DORIS_OK ? STAGE_GO : STAGE_FAIL;
}

static StageVerdict base_in_way(Txn *x, StageTarget *t, const StageRow *row,
								const StageConflict *conflict, DorisError *err)
{
	DorisVersion newest;
	bool present = conflict->present;
	bool repaired = false;
	DorisError why;
	DorisStatus st = DORIS_OK;

	clock_observe(&x->c->clock, conflict->stored.clock);
	newest = conflict->stored;
	if (t->repairs++ < MAX_REPAIRS)
		st = repair_row(x->c, x->topo, row->at, &newest, &present, &repaired, ask_until(x), &why);
	if (st == DORIS_CANCELLED)
	{
		*err = why;
		return STAGE_FAIL;
	}
	/* copies that cannot be compared change nothing: this judge has refused */
	if (st == DORIS_OK && repaired)
	{
		bool fits = row->kind == WRITE_INSERT ? !present : version_compare(newest, row->base) == 0;

		if (fits)
			return STAGE_GO;
	}
	if (row->kind == WRITE_INSERT && present)
		return txn_refuse(x, DORIS_DUPLICATE, row->at.ns, row->at.key, "already exists", err);
	return txn_refuse(x, DORIS_CONFLICT, row->at.ns, row->at.key,
					  "was changed by another transaction", err);
}

StageVerdict txn_conflict(Txn *x, StageTarget *t, const StageReply *reply, DorisError *err)
{
	StageRequest req;
	StageVerdict v = STAGE_GO;
	uint32_t i;

	if (stage_request_decode((DorisBytes){t->call.body.data, t->call.body.len}, &req, err) !=
		DORIS_OK)
		return STAGE_FAIL;
	for (i = 0; i < reply->nconflicts && v == STAGE_GO; i++)
	{
		const StageConflict *conflict = &reply->conflicts[i];
		const StageRow *row;

		if (conflict->row >= req.nrows)
		{
			doris_error(err, DORIS_BAD_MESSAGE, "%s refused a row it was not sent",
						peer_name(x->c, t->peer));
			v = STAGE_FAIL;
			break;
		}
		row = &req.rows[conflict->row];
		switch (conflict->why)
		{
			case REFUSAL_STAGED:
				v = staged_in_way(x, t, row, &conflict->staged, err);
				break;
			case REFUSAL_BASE:
				v = base_in_way(x, t, row, conflict, err);
				break;
			case REFUSAL_LOW:
				/* our clock is behind: on, and again with a higher version */
				clock_observe(&x->c->clock, conflict->stored.clock);
				v = STAGE_ANEW;
				break;
			case REFUSAL_REFUSED:
				/*
				 * Somebody has closed it: who met it after it expired, or a copy that was being made complete and
				 * settled what it held before our message came here. Our rows are as they were: again, as another.
				 */
				v = STAGE_ANEW;
				break;
			case REFUSAL_HORIZON:
				t->doubt = true;
				t->clean = false;
				v = txn_refuse(x, DORIS_UNKNOWN, row->at.ns, row->at.key,
							   "was staged too late: the node does not remember so far back", err);
				break;
		}
	}
	stage_request_free(&req);
	return v;
}

StageVerdict txn_await_rival(Txn *x, DorisError *err)
{
	DorisClient *c = x->c;
	StageRow row = {.at = x->rival_at, .kind = x->rival_kind, .base = x->rival_base};
	uint64_t began = clock_mono_ms();
	uint64_t met_ms = x->rival.now_ms;
	int pause = WAIT_FIRST_MS;

	for (;;)
	{
		DorisError why;
		Outcome o;
		StageVerdict v;

		why.code = DORIS_OK;
		/* the node's clock goes on as ours does */
		x->rival.now_ms = met_ms + (clock_mono_ms() - began);
		o = meet_writer(c, &x->rival, &x->rival_at, x->rival_node, ask_until(x), &why);
		if (c->cancelled)
		{
			*err = why;
			return STAGE_FAIL;
		}
		if (o == TXN_COMMITTED)
		{
			v = rival_committed(x, &row, &x->rival, err);
			return v == STAGE_GO ? STAGE_ANEW : v;
		}
		if (o == TXN_ABORTED)
			return STAGE_ANEW;
		if (clock_mono_ms() + WAIT_MAX_MS >= x->until ||
			x->rival.now_ms > x->rival.expires_ms + BEYOND_EXPIRY_MS)
		{
			if (o != TXN_OPEN)
				return txn_refuse(x, DORIS_CONFLICT, row.at.ns, row.at.key,
								  "is being changed by another transaction", err);
			txn_refuse(x, DORIS_UNAVAILABLE, row.at.ns, row.at.key,
					   "has a write of another transaction whose outcome cannot be found out", err);
			doris_hint(err, "%.250s", why.message);
			return STAGE_FAIL;
		}
		if (client_pause(c, pause, err) != DORIS_OK)
			return STAGE_FAIL;
		pause = pause * 2 > WAIT_MAX_MS ? WAIT_MAX_MS : pause * 2;
	}
}
