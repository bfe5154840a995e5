/*
 * store_memory.c: a storage driver in memory, for unit tests (store.h).
 *
 * Each table is a sorted array; a transaction is a list of what to undo. One session at a time: no
 * isolation between sessions. Everything is lost at close.
 */
#include "store.h"

#include <stdlib.h>
#include <string.h>

typedef struct Entry
{
	DorisBytes key;	  /* malloc'ed */
	DorisBytes value; /* malloc'ed */
} Entry;

typedef struct Table
{
	StoreTable number;
	Entry *entries; /* rising keys */
	size_t n;
	size_t cap;
	struct Table *next;
} Table;

/* What one put or del replaced. */
typedef struct Undo
{
	StoreTable table;
	DorisBytes key;	  /* malloc'ed */
	DorisBytes value; /* malloc'ed, when was_there */
	bool was_there;
} Undo;

struct Store
{
	Table *tables;
};

struct StoreSession
{
	Store *store;
	bool in_transaction;
	Undo *undo;
	size_t nundo;
	size_t undo_cap;
};

struct StoreScan
{
	StoreSession *ss;
	StoreTable table;
	bool back;
	DorisBytes at;	 /* malloc'ed: go on from this key; backwards, data NULL: from the end */
	bool after;		 /* ... exclusive; always so backwards */
	DorisBytes stop; /* malloc'ed: high, backwards low; data NULL: nowhere */
	uint8_t *last_value;
};

static DorisStatus no_memory(DorisError *err)
{
	return doris_error(err, DORIS_NO_MEMORY, "memory store: out of memory");
}

static bool bytes_copy(DorisBytes from, DorisBytes *to)
{
	uint8_t *p = malloc(from.len + 1);

	if (p == NULL)
		return false;
	if (from.len > 0)
		memcpy(p, from.data, from.len);
	to->data = p;
	to->len = from.len;
	return true;
}

static void bytes_free(DorisBytes *b)
{
	free((void *) b->data);
	b->data = NULL;
	b->len = 0;
}

static Table *table_find(Store *s, StoreTable number)
{
	Table *t = s->tables;

	while (t != NULL && t->number != number)
		t = t->next;
	return t;
}

/* The first entry not below key. */
static size_t table_lower(const Table *t, DorisBytes key, bool *found)
{
	size_t low = 0;
	size_t high = t->n;

	*found = false;
	while (low < high)
	{
		size_t mid = low + (high - low) / 2;
		int c = bytes_compare(t->entries[mid].key, key);

		if (c == 0)
		{
			*found = true;
			return mid;
		}
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void table_free(Table *t)
{
	for (size_t i = 0; i < t->n; i++)
	{
		bytes_free(&t->entries[i].key);
		bytes_free(&t->entries[i].value);
	}
	free(t->entries);
	free(t);
}

static DorisStatus mem_open(const StoreOptions *o, Store **out, DorisError *err)
{
	(void) o;
	*out = calloc(1, sizeof(**out));
	return *out == NULL ? no_memory(err) : DORIS_OK;
}

static void mem_close(Store *s)
{
	if (s == NULL)
		return;
	while (s->tables != NULL)
	{
		Table *t = s->tables;

		s->tables = t->next;
		table_free(t);
	}
	free(s);
}

static DorisStatus mem_session(Store *s, StoreSession **out, DorisError *err)
{
	*out = calloc(1, sizeof(**out));
	if (*out == NULL)
		return no_memory(err);
	(*out)->store = s;
	return DORIS_OK;
}

static void undo_clear(StoreSession *ss)
{
	for (size_t i = 0; i < ss->nundo; i++)
	{
		bytes_free(&ss->undo[i].key);
		bytes_free(&ss->undo[i].value);
	}
	ss->nundo = 0;
}

static void mem_session_close(StoreSession *ss)
{
	if (ss == NULL)
		return;
	undo_clear(ss);
	free(ss->undo);
	free(ss);
}

static void mem_idle(StoreSession *ss)
{
	(void) ss;
}

static DorisStatus mem_create(StoreSession *ss, StoreTable number, DorisError *err)
{
	Table *t;

	if (table_find(ss->store, number) != NULL)
		return DORIS_OK;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return no_memory(err);
	t->number = number;
	t->next = ss->store->tables;
	ss->store->tables = t;
	return DORIS_OK;
}

static DorisStatus mem_drop(StoreSession *ss, StoreTable number, DorisError *err)
{
	(void) err;
	for (Table **p = &ss->store->tables; *p != NULL; p = &(*p)->next)
	{
		Table *t = *p;

		if (t->number == number)
		{
			*p = t->next;
			table_free(t);
			break;
		}
	}
	return DORIS_OK;
}

static DorisStatus mem_exists(StoreSession *ss, StoreTable number, bool *out, DorisError *err)
{
	(void) err;
	*out = table_find(ss->store, number) != NULL;
	return DORIS_OK;
}

static DorisStatus mem_table(StoreSession *ss, StoreTable number, Table **out, DorisError *err)
{
	*out = table_find(ss->store, number);
	if (*out == NULL)
		return doris_error(err, DORIS_IO, "memory store: table %u does not exist", number);
	return DORIS_OK;
}

static DorisStatus mem_begin(StoreSession *ss, DorisError *err)
{
	if (ss->in_transaction)
		return doris_error(err, DORIS_INTERNAL, "memory store: a transaction is open already");
	ss->in_transaction = true;
	return DORIS_OK;
}

static DorisStatus mem_commit(StoreSession *ss, DorisError *err)
{
	(void) err;
	undo_clear(ss);
	ss->in_transaction = false;
	return DORIS_OK;
}

/* Takes over nothing; removes when value.data is NULL. */
static DorisStatus table_set(Table *t, DorisBytes key, DorisBytes value, DorisError *err)
{
	bool found;
	size_t at = table_lower(t, key, &found);

	if (value.data == NULL)
	{
		if (!found)
			return DORIS_OK;
		bytes_free(&t->entries[at].key);
		bytes_free(&t->entries[at].value);
		memmove(&t->entries[at], &t->entries[at + 1], (t->n - at - 1) * sizeof(Entry));
		t->n--;
		return DORIS_OK;
	}
	if (found)
	{
		DorisBytes copy;

		if (!bytes_copy(value, &copy))
			return no_memory(err);
		bytes_free(&t->entries[at].value);
		t->entries[at].value = copy;
		return DORIS_OK;
	}
	if (t->n == t->cap)
	{
		size_t cap = t->cap == 0 ? 16 : t->cap * 2;
		Entry *p = realloc(t->entries, cap * sizeof(Entry));

		if (p == NULL)
			return no_memory(err);
		t->entries = p;
		t->cap = cap;
	}
	{
		Entry e = {{NULL, 0}, {NULL, 0}};

		if (!bytes_copy(key, &e.key) || !bytes_copy(value, &e.value))
		{
			bytes_free(&e.key);
			return no_memory(err);
		}
		memmove(&t->entries[at + 1], &t->entries[at], (t->n - at) * sizeof(Entry));
		t->entries[at] = e;
		t->n++;
	}
	return DORIS_OK;
}

static void mem_rollback(StoreSession *ss)
{
	DorisError err;

	while (ss->nundo > 0)
	{
		Undo *u = &ss->undo[--ss->nundo];
		Table *t = table_find(ss->store, u->table);
		DorisBytes none = {NULL, 0};

		if (t != NULL)
			(void) table_set(t, u->key, u->was_there ? u->value : none, &err);
		bytes_free(&u->key);
		bytes_free(&u->value);
	}
	ss->in_transaction = false;
}

static DorisStatus undo_add(StoreSession *ss, Table *t, DorisBytes key, DorisError *err)
{
	bool found;
	size_t at = table_lower(t, key, &found);
	Undo u = {.table = t->number, .was_there = found};

	if (!ss->in_transaction)
		return DORIS_OK;
	if (ss->nundo == ss->undo_cap)
	{
		size_t cap = ss->undo_cap == 0 ? 16 : ss->undo_cap * 2;
		Undo *p = realloc(ss->undo, cap * sizeof(Undo));

		if (p == NULL)
			return no_memory(err);
		ss->undo = p;
		ss->undo_cap = cap;
	}
	if (!bytes_copy(key, &u.key) || (found && !bytes_copy(t->entries[at].value, &u.value)))
	{
		bytes_free(&u.key);
		return no_memory(err);
	}
	ss->undo[ss->nundo++] = u;
	return DORIS_OK;
}

static DorisStatus mem_get(StoreSession *ss, StoreTable number, DorisBytes key, DorisBytes *value,
						   DorisError *err)
{
	Table *t;
	bool found;
	size_t at;
	DorisStatus st = mem_table(ss, number, &t, err);

	if (st != DORIS_OK)
		return st;
	at = table_lower(t, key, &found);
	if (!found)
	{
		err->code = DORIS_NOT_FOUND;
		return DORIS_NOT_FOUND;
	}
	*value = t->entries[at].value;
	return DORIS_OK;
}

static DorisStatus mem_write(StoreSession *ss, StoreTable number, DorisBytes key, DorisBytes value,
							 DorisError *err)
{
	Table *t;
	DorisStatus st = mem_table(ss, number, &t, err);

	if (st == DORIS_OK)
		st = undo_add(ss, t, key, err);
	if (st == DORIS_OK)
		st = table_set(t, key, value, err);
	return st;
}

static DorisStatus mem_put(StoreSession *ss, StoreTable number, DorisBytes key, DorisBytes value,
						   DorisError *err)
{
	static const uint8_t nothing = 0;

	if (value.data == NULL)
		value.data = &nothing;
	return mem_write(ss, number, key, value, err);
}

static DorisStatus mem_add(StoreSession *ss, StoreTable number, DorisBytes key, DorisBytes value,
						   DorisError *err)
{
	DorisBytes there;
	DorisStatus st;

	if (!ss->in_transaction)
		return doris_error(err, DORIS_INTERNAL, "memory store: adding without a transaction");
	st = mem_get(ss, number, key, &there, err);
	if (st == DORIS_NOT_FOUND)
		return mem_put(ss, number, key, value, err);
	if (st == DORIS_OK)
		err->code = st = DORIS_DUPLICATE;
	return st;
}

static DorisStatus mem_del(StoreSession *ss, StoreTable number, DorisBytes key, DorisError *err)
{
	DorisBytes none = {NULL, 0};

	return mem_write(ss, number, key, none, err);
}

static void mem_scan_close(StoreScan *sc)
{
	if (sc == NULL)
		return;
	bytes_free(&sc->at);
	bytes_free(&sc->stop);
	free(sc->last_value);
	free(sc);
}

static DorisStatus scan_open(StoreSession *ss, StoreTable number, bool back, DorisBytes first,
							 DorisBytes stop, StoreScan **out, DorisError *err)
{
	StoreScan *sc;
	Table *t;
	DorisStatus st = mem_table(ss, number, &t, err);

	*out = NULL;
	if (st != DORIS_OK)
		return st;
	sc = calloc(1, sizeof(*sc));
	if (sc == NULL || ((!back || first.len > 0) && !bytes_copy(first, &sc->at)) ||
		(stop.len > 0 && !bytes_copy(stop, &sc->stop)))
	{
		mem_scan_close(sc);
		return no_memory(err);
	}
	sc->ss = ss;
	sc->table = number;
	sc->back = back;
	*out = sc;
	return DORIS_OK;
}

static DorisStatus mem_scan(StoreSession *ss, StoreTable number, DorisBytes low, DorisBytes high,
							StoreScan **out, DorisError *err)
{
	return scan_open(ss, number, false, low, high, out, err);
}

static DorisStatus mem_scan_back(StoreSession *ss, StoreTable number, DorisBytes low,
								 DorisBytes high, StoreScan **out, DorisError *err)
{
	return scan_open(ss, number, true, high, low, out, err);
}

/*
 * Which entry comes next; t->n: none. Searched anew each time: what the scan's owner writes meanwhile does no harm.
 */
static size_t scan_at(const StoreScan *sc, const Table *t)
{
	bool found = false;
	size_t at;

	if (sc->back)
	{
		at = sc->at.data != NULL ? table_lower(t, sc->at, &found) : t->n;
		if (at == 0 ||
			(sc->stop.data != NULL && bytes_compare(t->entries[at - 1].key, sc->stop) < 0))
			return t->n;
		return at - 1;
	}
	at = table_lower(t, sc->at, &found);
	if (found && sc->after)
		at++;
	if (at < t->n && sc->stop.data != NULL && bytes_compare(t->entries[at].key, sc->stop) >= 0)
		return t->n;
	return at;
}

static DorisStatus mem_next(StoreScan *sc, DorisBytes *key, DorisBytes *value, DorisError *err)
{
	Table *t;
	size_t at;
	DorisBytes copy;
	DorisStatus st = mem_table(sc->ss, sc->table, &t, err);

	if (st != DORIS_OK)
		return st;
	at = scan_at(sc, t);
	if (at == t->n)
	{
		err->code = DORIS_NOT_FOUND;
		return DORIS_NOT_FOUND;
	}
	if (!bytes_copy(t->entries[at].key, &copy))
		return no_memory(err);
	bytes_free(&sc->at);
	sc->at = copy;
	sc->after = true;
	if (!bytes_copy(t->entries[at].value, &copy))
		return no_memory(err);
	free(sc->last_value);
	sc->last_value = (uint8_t *) copy.data;
	*key = sc->at;
	*value = copy;
	return DORIS_OK;
}

static DorisStatus mem_bulk(StoreSession *ss, StoreTable number, StoreScan **out, DorisError *err)
{
	DorisBytes none = {NULL, 0};

	return mem_scan(ss, number, none, none, out, err);
}

static DorisStatus mem_bulk_put(StoreScan *sc, DorisBytes key, DorisBytes value, DorisError *err)
{
	Table *t;
	DorisStatus st = mem_table(sc->ss, sc->table, &t, err);

	if (st != DORIS_OK)
		return st;
	if (t->n > 0 && bytes_compare(t->entries[t->n - 1].key, key) >= 0)
		return doris_error(err, DORIS_BAD_ARGUMENT, "bulk load: the keys do not rise");
	return mem_put(sc->ss, sc->table, key, value, err);
}

static DorisStatus mem_bulk_end(StoreScan *sc, DorisError *err)
{
	(void) err;
	mem_scan_close(sc);
	return DORIS_OK;
}

static DorisStatus mem_nothing(StoreSession *ss, DorisError *err)
{
	(void) ss;
	(void) err;
	return DORIS_OK;
}

static DorisStatus mem_backup(StoreSession *ss, const char *directory, DorisError *err)
{
	(void) ss;
	return doris_error(err, DORIS_BAD_ARGUMENT,
					   "the memory store has nothing on disk to copy to %s", directory);
}

static DorisStatus mem_usage(StoreSession *ss, StoreUsage *out, DorisError *err)
{
	(void) err;
	memset(out, 0, sizeof(*out));
	for (Table *t = ss->store->tables; t != NULL; t = t->next)
	{
		for (size_t i = 0; i < t->n; i++)
			out->cache_bytes += t->entries[i].key.len + t->entries[i].value.len;
	}
	return DORIS_OK;
}

const StoreDriver store_memory = {
	.name = "memory",
	.open = mem_open,
	.close = mem_close,
	.session = mem_session,
	.session_close = mem_session_close,
	.idle = mem_idle,
	.create = mem_create,
	.drop = mem_drop,
	.exists = mem_exists,
	.begin = mem_begin,
	.commit = mem_commit,
	.rollback = mem_rollback,
	.get = mem_get,
	.put = mem_put,
	.add = mem_add,
	.del = mem_del,
	.scan = mem_scan,
	.scan_back = mem_scan_back,
	.scan_once = mem_scan,
	.next = mem_next,
	.scan_close = mem_scan_close,
	.bulk = mem_bulk,
	.bulk_put = mem_bulk_put,
	.bulk_end = mem_bulk_end,
	.flush = mem_nothing,
	.checkpoint = mem_nothing,
	.backup = mem_backup,
	.usage = mem_usage,
};
