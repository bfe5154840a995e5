/*
 * buffer.c: a transaction's writes, kept in the backend until it commits.
 *
 * Each row that the transaction touches has a chain of states, newest first; a hash table finds the newest by key.
 * A state knows the command and the subtransaction that made it: a statement reads the newest state
 * older than itself, as it does in a local table, and ROLLBACK TO drops the states at the end of the array, which is in
 * the order of writing. Keys and values are in spill.c's log; a state is 32 bytes and a hash slot.
 *
 * TRUNCATE lays a new, empty buffer over the old one, so that ROLLBACK TO finds the old one again.
 *
 * Everything lives in one context below TopTransactionContext, and nothing here outlives the transaction.
 */
#include "executor.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "common/hashfn.h"
#include "utils/memutils.h"

/* 4 kB: a transaction of one row takes nothing from the system that it would give back. */
#define STATES_PER_CHUNK 128
#define BIG_TRANSACTION 100000 /* rows from which on its memory is given back to the system */
#define SLOT_EMPTY 0
#define SLOT_GONE UINT32_MAX

typedef struct Slot
{
	uint32 state; /* the newest state of a key: index + 1; SLOT_EMPTY, SLOT_GONE */
	uint32 tag;	  /* upper half of the hash: most misses end here, without a look at the state */
} Slot;

typedef struct WriteState
{
	uint64 hash;
	SpillPlace place;
	uint32 prev; /* the state before it: index + 1; 0: none */
	CommandId cid;
	SubTransactionId subid;
	bool superseded; /* a newer state of the same row exists */
} WriteState;

/* What precedes the key and value in the log. */
typedef struct RecordHead
{
	DorisVersion base;
	uint32 key_len;
	uint32 route_len;
	uint32 value_len;
	bool deleted;
	bool was_absent;
} RecordHead;

struct WriteBuffer
{
	WriteBuffer *below; /* truncated: what this one covers */
	SubTransactionId
		truncated;		 /* the subtransaction that truncated; InvalidSubTransactionId: none */
	WriteState **states; /* chunks of STATES_PER_CHUNK */
	uint32 nstates;
	uint32 nchunks;
	uint32 chunks_cap;
	Slot *slots;
	uint32 nslots; /* a power of two */
	uint32 used;   /* slots that are not SLOT_EMPTY */
};

/* One namespace that this transaction writes. */
typedef struct WriteTarget
{
	struct WriteTarget *next;
	DorisTable *table; /* of the first statement; lives as long as the transaction */
	uint32 ns;		   /* as the table was read; the id that rows are committed under */
	uint32 commit_ns;
	WriteBuffer *top;
	bool skips; /* a statement skipped rows that are there: buffer_skips */
} WriteTarget;

/* Of the current transaction; context NULL: nothing written yet. */
static struct
{
	MemoryContext context;
	Oid serverid;
	DorisClient *client;
	SpillLog *log;
	WriteTarget *targets;
} writes;

bool buffer_any(void)
{
	for (WriteTarget *t = writes.context ? writes.targets : NULL; t != NULL; t = t->next)
		if (t->top->nstates > 0 || t->top->truncated != InvalidSubTransactionId)
			return true;
	return false;
}

static inline WriteState *state_at(const WriteBuffer *b, uint32 i)
{
	return &b->states[i / STATES_PER_CHUNK][i % STATES_PER_CHUNK];
}

static WriteTarget *target_find(Oid serverid, uint32 ns)
{
	if (writes.context == NULL || writes.serverid != serverid)
		return NULL;
	for (WriteTarget *t = writes.targets; t != NULL; t = t->next)
		if (t->ns == ns)
			return t;
	return NULL;
}

WriteBuffer *buffer_find(DorisTable *t)
{
	WriteTarget *target = target_find(t->serverid, t->ns->id);

	return target ? target->top : NULL;
}

bool buffer_follow(DorisTable *t, uint32 to)
{
	WriteTarget *target = target_find(t->serverid, t->ns->id);

	if (target == NULL)
		return true;
	if (target->top->nstates > 0 || target->top->below != NULL || target_find(t->serverid, to))
		return false;
	target->ns = target->commit_ns = to;
	return true;
}

static WriteTarget *target_open(Relation rel, DorisClient *client, DorisTable *t)
{
	WriteTarget *target = target_find(t->serverid, t->ns->id);
	MemoryContext old;

	if (target != NULL)
		return target;
	if (writes.context == NULL)
	{
		writes.context =
			AllocSetContextCreate(TopTransactionContext, "doris writes", ALLOCSET_DEFAULT_SIZES);
		writes.serverid = t->serverid;
		writes.client = client;
		writes.log = spill_create(writes.context, (Size) doris_write_buffer * 1024);
	}
	if (writes.serverid != t->serverid)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("a transaction can write to one doris server only"),
						errdetail("This transaction has already written to server \"%s\".",
								  GetForeignServer(writes.serverid)->servername),
						errhint("Commit first, or set write_mode 'direct' on the table.")));
	old = MemoryContextSwitchTo(writes.context);
	target = palloc0(sizeof(WriteTarget));
	target->table = doris_table_open(rel, client);
	target->ns = target->commit_ns = t->ns->id;
	target->top = palloc0(sizeof(WriteBuffer));
	target->next = writes.targets;
	writes.targets = target;
	MemoryContextSwitchTo(old);
	return target;
}

WriteBuffer *buffer_open(Relation rel, DorisClient *client, DorisTable *t)
{
	return target_open(rel, client, t)->top;
}

void buffer_skips(DorisTable *t)
{
	target_find(t->serverid, t->ns->id)->skips = true;
}

bool buffer_truncated(const WriteBuffer *b)
{
	return b->truncated != InvalidSubTransactionId;
}

void buffer_truncate(Relation rel, DorisClient *client, DorisTable *t)
{
	WriteTarget *target = target_open(rel, client, t);
	WriteBuffer *b = MemoryContextAllocZero(writes.context, sizeof(WriteBuffer));

	b->below = target->top;
	b->truncated = GetCurrentSubTransactionId();
	target->top = b;
}

/* ---- states ---- */

static void view_of(WriteBuffer *b, const WriteState *s, BufferedRow *out)
{
	const uint8 *p = spill_read(writes.log, s->place);
	RecordHead head;

	memcpy(&head, p, sizeof(head));
	p += sizeof(head);
	out->deleted = head.deleted;
	out->was_absent = head.was_absent;
	out->base = head.base;
	out->key = (DorisBytes){p, head.key_len};
	out->route_len = head.route_len;
	out->value = (DorisBytes){p + head.key_len, head.value_len};
	out->cid = s->cid;
}

static uint64 key_hash(DorisBytes key)
{
	return hash_bytes_extended(key.data, (int) key.len, 0);
}

/* The slot of the key's newest state, or NULL. */
static Slot *slot_find(WriteBuffer *b, DorisBytes key, uint64 hash)
{
	if (b->nslots == 0)
		return NULL;
	for (uint32 i = (uint32) hash & (b->nslots - 1);; i = (i + 1) & (b->nslots - 1))
	{
		Slot *slot = &b->slots[i];
		const WriteState *s;
		BufferedRow row;

		if (slot->state == SLOT_EMPTY)
			return NULL;
		if (slot->tag != (uint32) (hash >> 32) || slot->state == SLOT_GONE)
			continue;
		s = state_at(b, slot->state - 1);
		if (s->hash != hash)
			continue;
		view_of(b, s, &row);
		if (row.key.len == key.len && memcmp(row.key.data, key.data, key.len) == 0)
			return slot;
	}
}

/* The slot that leads to state i, whose key is not read for it. */
static Slot *slot_of(WriteBuffer *b, uint32 state)
{
	uint64 hash = state_at(b, state)->hash;

	for (uint32 i = (uint32) hash & (b->nslots - 1);; i = (i + 1) & (b->nslots - 1))
	{
		Slot *slot = &b->slots[i];

		if (slot->state == SLOT_EMPTY)
			elog(ERROR, "row %u of a write buffer is not in its hash table", state);
		if (slot->tag != (uint32) (hash >> 32) || slot->state == SLOT_GONE)
			continue;
		for (uint32 s = slot->state; s != 0; s = state_at(b, s - 1)->prev)
			if (s - 1 == state)
				return slot;
	}
}

static void slots_grow(WriteBuffer *b)
{
	uint32 live = 0;
	uint32 n = 1024;
	Slot *slots;

	for (uint32 i = 0; i < b->nslots; i++)
		live += b->slots[i].state != SLOT_EMPTY && b->slots[i].state != SLOT_GONE;
	while (n / 2 < live + 1)
		n *= 2;
	slots = MemoryContextAllocExtended(writes.context, (Size) n * sizeof(Slot),
									   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (uint32 i = 0; i < b->nslots; i++)
	{
		uint32 at;

		if (b->slots[i].state == SLOT_EMPTY || b->slots[i].state == SLOT_GONE)
			continue;
		at = (uint32) state_at(b, b->slots[i].state - 1)->hash & (n - 1);
		while (slots[at].state != SLOT_EMPTY)
			at = (at + 1) & (n - 1);
		slots[at] = b->slots[i];
	}
	if (b->slots != NULL)
		pfree(b->slots);
	b->slots = slots;
	b->nslots = n;
	b->used = live;
}

static uint32 state_add(WriteBuffer *b)
{
	if (b->nstates == b->nchunks * STATES_PER_CHUNK)
	{
		if (b->nstates >= SLOT_GONE - STATES_PER_CHUNK - 1)
			ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
							errmsg("too many rows written in one transaction")));
		if (b->nchunks == b->chunks_cap)
		{
			uint32 cap = b->chunks_cap ? b->chunks_cap * 2 : 16;

			if (b->states == NULL)
				b->states = MemoryContextAlloc(writes.context, cap * sizeof(*b->states));
			else
				b->states = repalloc_huge(b->states, cap * sizeof(*b->states));
			b->chunks_cap = cap;
		}
		b->states[b->nchunks] =
			MemoryContextAlloc(writes.context, STATES_PER_CHUNK * sizeof(WriteState));
		b->nchunks++;
	}
	return b->nstates++;
}

bool buffer_lookup(WriteBuffer *b, DorisBytes key, CommandId before, BufferedRow *out)
{
	Slot *slot = slot_find(b, key, key_hash(key));

	for (uint32 s = slot ? slot->state : 0; s != 0; s = state_at(b, s - 1)->prev)
	{
		const WriteState *state = state_at(b, s - 1);

		if (state->cid < before)
		{
			view_of(b, state, out);
			return true;
		}
	}
	return false;
}

bool buffer_next(WriteBuffer *b, uint32 *pos, CommandId before, BufferedRow *out)
{
	while (*pos < b->nstates)
	{
		uint32 i = (*pos)++;
		const WriteState *state = state_at(b, i);

		if (state->cid >= before)
			continue;
		if (state->superseded)
		{
			uint32 s = slot_of(b, i)->state;

			while (state_at(b, s - 1)->cid >= before)
				s = state_at(b, s - 1)->prev;
			if (s - 1 != i)
				continue;
		}
		view_of(b, state, out);
		return true;
	}
	return false;
}

void buffer_put(WriteBuffer *b, const BufferedRow *row, SubTransactionId subid)
{
	uint64 hash = key_hash(row->key);
	Slot *slot;
	RecordHead head = {.base = row->base,
					   .key_len = (uint32) row->key.len,
					   .route_len = (uint32) row->route_len,
					   .value_len = (uint32) row->value.len,
					   .deleted = row->deleted,
					   .was_absent = row->was_absent};
	SpillPlace place;
	WriteState *state = NULL;
	uint8 *p;

	if (b->used + 1 > b->nslots / 4 * 3)
		slots_grow(b);
	slot = slot_find(b, row->key, hash);
	if (slot != NULL)
	{
		BufferedRow first;

		state = state_at(b, slot->state - 1);
		view_of(b, state, &first);
		head.base = first.base;
		head.was_absent = first.was_absent;
	}
	p = spill_append(writes.log, sizeof(head) + row->key.len + row->value.len, &place);
	memcpy(p, &head, sizeof(head));
	memcpy(p + sizeof(head), row->key.data, row->key.len);
	if (row->value.len > 0)
		memcpy(p + sizeof(head) + row->key.len, row->value.data, row->value.len);

	/* no other command can have seen the state of this one: replace it */
	if (state == NULL || state->cid != row->cid || state->subid < subid)
	{
		uint32 i = state_add(b);
		WriteState *fresh = state_at(b, i);

		fresh->hash = hash;
		fresh->prev = 0;
		fresh->superseded = false;
		if (slot != NULL)
		{
			fresh->prev = slot->state;
			state->superseded = true;
		}
		else
		{
			uint32 at = (uint32) hash & (b->nslots - 1);

			while (b->slots[at].state != SLOT_EMPTY)
				at = (at + 1) & (b->nslots - 1);
			slot = &b->slots[at];
			slot->tag = (uint32) (hash >> 32);
			b->used++;
		}
		slot->state = i + 1;
		state = fresh;
		state->cid = row->cid;
		state->subid = subid;
	}
	state->place = place;
}

/*
 * Drops what the subtransaction and its children wrote. Subtransactions get rising ids, so everything since
 * it began carries its id or a higher one, and is at the end of the array.
 */
void buffer_undo(SubTransactionId subid)
{
	for (WriteTarget *t = writes.context ? writes.targets : NULL; t != NULL; t = t->next)
	{
		WriteBuffer *b;

		while (t->top->truncated != InvalidSubTransactionId && t->top->truncated >= subid)
			t->top = t->top->below;
		b = t->top;
		while (b->nstates > 0 && state_at(b, b->nstates - 1)->subid >= subid)
		{
			WriteState *state = state_at(b, b->nstates - 1);
			Slot *slot = slot_of(b, b->nstates - 1);

			Assert(slot->state == b->nstates);
			slot->state = state->prev ? state->prev : SLOT_GONE;
			if (state->prev)
				state_at(b, state->prev - 1)->superseded = false;
			b->nstates--;
		}
	}
}

void buffer_discard(void)
{
	bool big = false;

	if (writes.context == NULL)
		return;
	for (WriteTarget *t = writes.targets; t != NULL; t = t->next)
		big = big || t->top->nstates > BIG_TRANSACTION;
	spill_close(writes.log);
	MemoryContextDelete(writes.context);
	memset(&writes, 0, sizeof(writes));
#ifdef __GLIBC__
	/* an idle backend must not keep what one bulk load needed (I6) */
	if (big)
		(void) malloc_trim(0);
#endif
}

/* ---- the commit ---- */

typedef struct CommitSource
{
	WriteTarget *target;
	uint32 pos;
} CommitSource;

static DorisStatus source_rewind(void *arg, DorisError *err)
{
	CommitSource *s = arg;

	(void) err;
	s->target = writes.targets;
	s->pos = 0;
	return DORIS_OK;
}

/* The next row that the commit has to write; false at the end. May raise an error. */
static bool source_row(CommitSource *s, DorisWrite *out)
{
	for (; s->target != NULL; s->target = s->target->next, s->pos = 0)
	{
		BufferedRow row;

		while (buffer_next(s->target->top, &s->pos, BUFFER_NEWEST, &row))
		{
			if (row.was_absent && row.deleted)
				continue; /* came and went within the transaction */
			out->ns = s->target->commit_ns;
			out->kind = row.deleted ? WRITE_DELETE : row.was_absent ? WRITE_INSERT : WRITE_UPDATE;
			out->key = row.key;
			out->route = (DorisBytes){row.key.data, row.route_len};
			out->base = row.base;
			out->value = row.value;
			return true;
		}
	}
	return false;
}

/* Called from within libdoris, which an error must not jump out of. */
static DorisStatus source_next(void *arg, DorisWrite *out, DorisError *err)
{
	MemoryContext old = CurrentMemoryContext;
	volatile DorisStatus status = DORIS_NOT_FOUND;

	PG_TRY();
	{
		if (source_row(arg, out))
			status = DORIS_OK;
	}
	PG_CATCH();
	{
		ErrorData *e;

		MemoryContextSwitchTo(old);
		e = CopyErrorData();
		FlushErrorState();
		status = doris_error(err, DORIS_IO, "%s", e->message);
		FreeErrorData(e);
	}
	PG_END_TRY();
	return status;
}

/*
 * A truncated namespace gets its new id before the rows are written under it. This step is not part of the
 * commit's atomicity: when the commit fails afterwards, the namespace stays empty, and the error says so.
 */
static bool commit_truncates(void)
{
	bool any = false;

	for (WriteTarget *t = writes.targets; t != NULL; t = t->next)
	{
		NamespaceChange change = {.verb = NAMESPACE_TRUNCATE};
		DorisError err = {0};
		NsDef def;

		if (t->top->truncated == InvalidSubTransactionId)
			continue;
		strlcpy(change.def.name, t->table->ns->name, sizeof(change.def.name));
		change.def.id = t->ns;
		if (doris_namespace_change(writes.client, &change, &err) != DORIS_OK ||
			doris_namespace(writes.client, change.def.name, &def, &err) != DORIS_OK)
			doris_ereport(&err, change.def.name, EMPTY_BYTES);
		t->commit_ns = def.id;
		nsdef_free(&def);
		any = true;
	}
	return any;
}

static void commit_failed(const DorisError *err, const DorisCommitResult *result, bool truncated)
{
	DorisBytes key = {result->key, result->key_len};
	const char *name = NULL;
	DorisTable *table = NULL;
	bool skips = false;

	for (WriteTarget *t = writes.targets; t != NULL; t = t->next)
		if (t->commit_ns == result->ns)
		{
			table = t->table;
			name = table->ns->name;
			skips = t->skips;
		}
	if (truncated)
		ereport(
			WARNING,
			(errmsg(
				"the TRUNCATE of this transaction was carried out, its other writes were not")));
	if (err->code == DORIS_DUPLICATE && table != NULL && !skips)
		modify_duplicate(table, key);
	if ((err->code == DORIS_CONFLICT || err->code == DORIS_DUPLICATE) && table != NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not commit: another transaction wrote the same row of namespace "
					"\"%s\" first",
					name),
			 err->code == DORIS_CONFLICT
				 ? errdetail("Key %s was changed since it was read.", table_key_text(table, key))
				 : errdetail("Key %s was not there when the statement looked.",
							 table_key_text(table, key)),
			 errdetail_log("%s", err->message),
			 errhint("The transaction might succeed if retried.")));
	doris_ereport(err, name, key);
}

/* The only namespace written was truncated after its definition was read: its rows go into what it is now. */
static bool commit_follow(void)
{
	WriteTarget *target = writes.targets;
	Topology *topology = doris_topology(writes.client);
	const NsDef *now = topology_namespace(topology, target->table->ns->name);
	bool follow = target->next == NULL && target->top->below == NULL && now != NULL &&
				  now->id != target->commit_ns && nsdef_same_shape(now, target->table->ns);

	if (follow)
		target->commit_ns = now->id;
	topology_unref(topology);
	return follow;
}

void buffer_commit(bool blind)
{
	CommitSource state = {.target = writes.targets, .pos = 0};
	DorisWriteSource source = {.arg = &state, .next = source_next, .rewind = source_rewind};
	DorisCommitResult result = {0};
	DorisError err = {0};
	DorisWrite first;
	DorisStatus status;
	bool truncated;

	if (!buffer_any())
		return;
	truncated = commit_truncates();
	if (!source_row(&state, &first))
		return; /* nothing is left of what was written */
	(void) source_rewind(&state, &err);
	/* I7: done, not done, or 08007 */
	status = doris_commit(writes.client, &source, &result, &err);
	while (status == DORIS_NO_NAMESPACE && blind && commit_follow())
	{
		(void) source_rewind(&state, &err);
		status = doris_commit(writes.client, &source, &result, &err);
	}
	if (status != DORIS_OK)
		commit_failed(&err, &result, truncated);
	for (WriteTarget *t = writes.targets; t != NULL; t = t->next)
		estimate_changed(t->table->serverid, t->commit_ns, t->top->nstates);
}
