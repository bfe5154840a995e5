/*
 * meta.c: the node's own small facts in table META: identity, topology, clock ceiling, leader term, marks.
 *
 * Each call is part of the caller's store transaction, or one of its own when there is none.
 */
#include "node.h"

#include <stdio.h>
#include <string.h>

#define IDENTITY_FORMAT 1

static DorisBytes name_bytes(const char *name)
{
	DorisBytes b = {(const uint8_t *) name, strlen(name)};

	return b;
}

DorisStatus meta_get(Worker *w, const char *name, DorisBuf *out, DorisError *err)
{
	DorisBytes value;
	DorisStatus st = w->node->driver->get(w->ss, STORE_TABLE_META, name_bytes(name), &value, err);

	buf_reset(out);
	if (st != DORIS_OK)
		return st;
	buf_put_raw(out, value.data, value.len);
	if (out->failed)
		return doris_error(err, DORIS_NO_MEMORY, "reading %s: out of memory", name);
	return DORIS_OK;
}

DorisStatus meta_put(Worker *w, const char *name, DorisBytes value, DorisError *err)
{
	return w->node->driver->put(w->ss, STORE_TABLE_META, name_bytes(name), value, err);
}

DorisStatus meta_del(Worker *w, const char *name, DorisError *err)
{
	return w->node->driver->del(w->ss, STORE_TABLE_META, name_bytes(name), err);
}

static bool u64_of(DorisBytes value, uint64_t *out)
{
	DorisCursor c = cursor_of(value.data, value.len);

	*out = cursor_u64(&c);
	return cursor_at_end(&c);
}

DorisStatus meta_get_u64(Worker *w, const char *name, uint64_t *out, DorisError *err)
{
	DorisBytes value;
	DorisStatus st = w->node->driver->get(w->ss, STORE_TABLE_META, name_bytes(name), &value, err);

	*out = 0;
	if (st == DORIS_OK && !u64_of(value, out))
		st = doris_error(err, DORIS_IO, "the store's entry %s is damaged", name);
	return st;
}

DorisStatus meta_put_u64(Worker *w, const char *name, uint64_t value, DorisError *err)
{
	uint8_t data[8];
	DorisBytes b = {data, sizeof(data)};

	store_little_endian(data, value, 8);
	return meta_put(w, name, b, err);
}

/* The key of a numbered entry: prefix and the number, big-endian. */
static DorisBytes numbered_key(const char *prefix, uint32_t number, uint8_t out[32])
{
	size_t n = strlen(prefix);
	DorisBytes key = {out, n + 4};

	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t) prefix[i];
	out[n] = (uint8_t) (number >> 24);
	out[n + 1] = (uint8_t) (number >> 16);
	out[n + 2] = (uint8_t) (number >> 8);
	out[n + 3] = (uint8_t) number;
	return key;
}

DorisStatus meta_put_numbered(Worker *w, const char *prefix, uint32_t number, uint64_t value,
							  DorisError *err)
{
	uint8_t key[32];
	uint8_t data[8];
	DorisBytes b = {data, sizeof(data)};

	store_little_endian(data, value, 8);
	return w->node->driver->put(w->ss, STORE_TABLE_META, numbered_key(prefix, number, key), b, err);
}

DorisStatus meta_del_numbered(Worker *w, const char *prefix, uint32_t number, DorisError *err)
{
	uint8_t key[32];

	return w->node->driver->del(w->ss, STORE_TABLE_META, numbered_key(prefix, number, key), err);
}

DorisStatus meta_each_numbered(Worker *w, const char *prefix, MetaNumberedFn fn, void *arg,
							   DorisError *err)
{
	const StoreDriver *d = w->node->driver;
	size_t n = strlen(prefix);
	uint8_t low[32];
	uint8_t high[32];
	DorisBytes from = numbered_key(prefix, 0, low);
	DorisBytes to = numbered_key(prefix, NODE_ALL_VNODES, high);
	DorisBytes key;
	DorisBytes value;
	StoreScan *sc;
	DorisStatus st = d->scan(w->ss, STORE_TABLE_META, from, to, &sc, err);

	if (st != DORIS_OK)
		return st;
	while ((st = d->next(sc, &key, &value, err)) == DORIS_OK)
	{
		const uint8_t *p = key.data + n;
		uint64_t v;

		if (key.len != n + 4 || !u64_of(value, &v))
		{
			st = doris_error(err, DORIS_IO, "an entry %s of the store is damaged", prefix);
			break;
		}
		st = fn(arg, (uint32_t) load_big_endian(p, 4), v, err);
		if (st != DORIS_OK)
			break;
	}
	d->scan_close(sc);
	return st == DORIS_NOT_FOUND ? DORIS_OK : st;
}

DorisStatus meta_save_identity(Worker *w, const Identity *id, DorisError *err)
{
	DorisBuf b;
	DorisStatus st;

	buf_init(&b);
	buf_put_u8(&b, IDENTITY_FORMAT);
	buf_put_raw(&b, id->home, sizeof(id->home));
	buf_put_raw(&b, id->cluster, sizeof(id->cluster));
	buf_put_u32(&b, id->node);
	buf_put_str(&b, id->name);
	if (b.failed)
		st = doris_error(err, DORIS_NO_MEMORY, "saving the identity: out of memory");
	else
	{
		DorisBytes value = {b.data, b.len};

		st = meta_put(w, "identity", value, err);
	}
	buf_free(&b);
	return st;
}

DorisStatus meta_load_identity(Worker *w, Identity *id, DorisError *err)
{
	DorisBytes value;
	DorisCursor c;
	const uint8_t *home;
	const uint8_t *cluster;
	DorisStatus st =
		w->node->driver->get(w->ss, STORE_TABLE_META, name_bytes("identity"), &value, err);

	memset(id, 0, sizeof(*id));
	if (st != DORIS_OK)
		return st;
	c = cursor_of(value.data, value.len);
	if (cursor_u8(&c) != IDENTITY_FORMAT)
		return doris_error(err, DORIS_IO, "the home %s was made by another release",
						   w->node->config.home);
	home = cursor_raw(&c, sizeof(id->home));
	cluster = cursor_raw(&c, sizeof(id->cluster));
	id->node = cursor_u32(&c);
	cursor_str(&c, id->name, sizeof(id->name));
	if (!cursor_at_end(&c) || home == NULL || cluster == NULL)
		return doris_error(err, DORIS_IO, "the identity in %s is damaged", w->node->config.home);
	memcpy(id->home, home, sizeof(id->home));
	memcpy(id->cluster, cluster, sizeof(id->cluster));
	return DORIS_OK;
}

DorisStatus meta_raise_ceiling(Worker *w, uint64_t stamp, DorisError *err)
{
	Node *n = w->node;
	uint64_t raised = stamp + ((uint64_t) NODE_CEILING_AHEAD_MS << 16);
	DorisStatus st = DORIS_OK;

	if (stamp <= atomic_load(&n->ceiling))
		return DORIS_OK;
	(void) pthread_mutex_lock(&n->term_lock);
	if (stamp > atomic_load(&n->ceiling))
	{
		st = meta_put_u64(w, "ceiling", raised, err);
		if (st == DORIS_OK)
			atomic_store(&n->ceiling, raised);
	}
	(void) pthread_mutex_unlock(&n->term_lock);
	return st;
}
