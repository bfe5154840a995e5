/*
 * store_scan.c: cursors of a WiredTiger store that pass over a range of keys, and those that fill a new table.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store_wiredtiger.h"

struct StoreScan
{
	WT_CURSOR *cursor;
	uint8_t *stop; /* a copy of where it ends: high, backwards low; NULL: nowhere */
	size_t stop_len;
	uint64_t stop_head; /* its first eight bytes, big-endian, zeros behind a shorter one */
	bool back;
	bool skip_first; /* positioned by open: the first next must not move */
	bool at_end;
};

/* ---- ranges ---- */

DorisStatus scan_open(WT_SESSION *wt, const char *config, bool back, StoreTable t, DorisBytes low,
					  DorisBytes high, StoreScan **out, DorisError *err)
{
	StoreScan *sc = calloc(1, sizeof(*sc));
	DorisBytes first = back ? high : low;
	DorisBytes stop = back ? low : high;
	char uri[32];
	int rc;
	int exact;

	*out = NULL;
	if (sc != NULL && stop.len > 0)
		sc->stop = malloc(stop.len);
	if (sc == NULL || (stop.len > 0 && sc->stop == NULL))
	{
		free(sc);
		return doris_error(err, DORIS_NO_MEMORY, "opening a scan: out of memory");
	}
	if (stop.len > 0)
	{
		memcpy(sc->stop, stop.data, stop.len);
		sc->stop_len = stop.len;
		sc->stop_head = load_big_endian(stop.data, stop.len < 8 ? stop.len : 8)
						<< (stop.len < 8 ? 8 * (8 - stop.len) : 0);
	}
	sc->back = back;
	table_uri(t, uri);
	rc = wt->open_cursor(wt, uri, NULL, config, &sc->cursor);
	if (rc == 0 && first.len > 0)
	{
		WT_ITEM item = {0};

		item.data = first.data;
		item.size = first.len;
		sc->cursor->set_key(sc->cursor, &item);
		rc = sc->cursor->search_near(sc->cursor, &exact);
		if (rc == WT_NOTFOUND)
		{
			sc->at_end = true;
			rc = 0;
		}
		else if (rc == 0) /* it stands on a neighbour; is that one of the range? */
			sc->skip_first = back ? exact < 0 : exact >= 0;
	}
	if (rc != 0)
	{
		if (sc->cursor != NULL)
			(void) sc->cursor->close(sc->cursor);
		free(sc->stop);
		free(sc);
		return wt_error(rc, uri, err);
	}
	*out = sc;
	return DORIS_OK;
}

/*
 * Nearly always the first eight bytes decide: they hold the namespace. Where they differ from a shorter stop's, filled up
 * with zeros, either a byte of the stop is greater, or the key's is greater than it or goes on behind it.
 */
static int compare_with_stop(const StoreScan *sc, DorisBytes key)
{
	DorisBytes stop = {sc->stop, sc->stop_len};

	if (key.len >= 8)
	{
		uint64_t head = load_big_endian(key.data, 8);

		if (head != sc->stop_head)
			return head < sc->stop_head ? -1 : 1;
	}
	return bytes_compare(key, stop);
}

/*
 * The key and the value of the row that the cursor stands on are taken from its fields, which is what get_key and get_value do
 * for tables of raw bytes. As calls, with variable arguments and the session entered and left each time, they were a sixth of
 * what a scanned row cost. The header calls the fields protected: another release of the engine has to pass test_store.
 */
DorisStatus scan_next(StoreScan *sc, DorisBytes *key, DorisBytes *value, DorisError *err)
{
	WT_CURSOR *c = sc->cursor;
	DorisBytes at = {NULL, 0};
	int rc = 0;

	if (!sc->at_end)
	{
		if (sc->skip_first)
			sc->skip_first = false;
		else
			rc = sc->back ? c->prev(c) : c->next(c);
		if (rc == WT_NOTFOUND)
			sc->at_end = true;
		else if (rc != 0)
			return wt_error(rc, "scanning the store", err);
		else
			at = (DorisBytes){c->key.data, c->key.size};
	}
	if (!sc->at_end && sc->stop != NULL)
	{
		int order = compare_with_stop(sc, at);

		sc->at_end = sc->back ? order < 0 : order >= 0;
	}
	if (sc->at_end)
	{
		err->code = DORIS_NOT_FOUND;
		return DORIS_NOT_FOUND;
	}
	*key = at;
	*value = (DorisBytes){c->value.data, c->value.size};
	return DORIS_OK;
}

void scan_close(StoreScan *sc)
{
	if (sc == NULL)
		return;
	(void) sc->cursor->close(sc->cursor);
	free(sc->stop);
	free(sc);
}

/* ---- bulk loads ---- */

DorisStatus bulk_open(WT_SESSION *wt, StoreTable t, StoreScan **out, DorisError *err)
{
	StoreScan *sc = calloc(1, sizeof(*sc));
	char uri[32];
	int rc;

	*out = NULL;
	if (sc == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "opening a bulk load: out of memory");
	table_uri(t, uri);
	rc = wt->open_cursor(wt, uri, NULL, "bulk", &sc->cursor);
	if (rc != 0)
	{
		free(sc);
		return wt_error(rc, uri, err);
	}
	*out = sc;
	return DORIS_OK;
}

DorisStatus bulk_put(StoreScan *sc, DorisBytes key, DorisBytes value, DorisError *err)
{
	WT_ITEM k = {0};
	WT_ITEM v = {0};
	int rc;

	k.data = key.data;
	k.size = key.len;
	v.data = value.data;
	v.size = value.len;
	sc->cursor->set_key(sc->cursor, &k);
	sc->cursor->set_value(sc->cursor, &v);
	rc = sc->cursor->insert(sc->cursor);
	if (rc == EINVAL)
		return doris_error(err, DORIS_BAD_ARGUMENT, "bulk load: the keys do not rise");
	return rc == 0 ? DORIS_OK : wt_error(rc, "bulk load", err);
}

DorisStatus bulk_end(StoreScan *sc, DorisError *err)
{
	int rc = sc->cursor->close(sc->cursor);

	free(sc);
	return rc == 0 ? DORIS_OK : wt_error(rc, "ending a bulk load", err);
}
