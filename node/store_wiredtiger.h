/*
 * store_wiredtiger.h: what store_wiredtiger.c, store_scan.c, store_files.c and store_checkpoint.c share.
 */
#ifndef DORIS_STORE_WIREDTIGER_H
#define DORIS_STORE_WIREDTIGER_H

#include <wiredtiger.h>

#include "store.h"

/* WiredTiger's error code as a status; WT_PANIC ends the process. */
extern DorisStatus wt_error(int rc, const char *what, DorisError *err);
extern void table_uri(StoreTable t, char out[32]); /* "file:v00042.wt" */

/*
 * At opening: removes the vnodes' files that the engine's catalogue does not know. A process that is killed leaves them: the file is made or
 * deleted at once, the catalogue's entry is in a log that nobody had to sync. Nothing that was ever committed can be in them,
 * because the log has the entry first.
 */
extern DORIS_MUST_CHECK DorisStatus files_remove_unknown(WT_CONNECTION *conn, const char *home,
														 DorisError *err);
/* A consistent copy in another, empty directory; one at a time. */
extern DORIS_MUST_CHECK DorisStatus files_copy(WT_SESSION *wt, const char *home,
											   const char *directory, DorisError *err);
/* What they take on the disk. */
extern DORIS_MUST_CHECK DorisStatus files_usage(const char *home, uint64_t *bytes, DorisError *err);

/* ---- store_scan.c: see StoreDriver; nothing is positioned when a scan is opened ---- */
/* config: of the cursor; back: from high down to low. */
extern DORIS_MUST_CHECK DorisStatus scan_open(WT_SESSION *wt, const char *config, bool back,
											  StoreTable t, DorisBytes low, DorisBytes high,
											  StoreScan **out, DorisError *err);
extern DORIS_MUST_CHECK DorisStatus scan_next(StoreScan *sc, DorisBytes *key, DorisBytes *value,
											  DorisError *err);
extern void scan_close(StoreScan *sc);
extern DORIS_MUST_CHECK DorisStatus bulk_open(WT_SESSION *wt, StoreTable t, StoreScan **out,
											  DorisError *err);
extern DORIS_MUST_CHECK DorisStatus bulk_put(StoreScan *sc, DorisBytes key, DorisBytes value,
											 DorisError *err);
extern DORIS_MUST_CHECK DorisStatus bulk_end(StoreScan *sc, DorisError *err);

/* ---- store_checkpoint.c ---- */
#define STORE_DIRTY_TARGET "eviction_dirty_target=15" /* outside of checkpoints */

typedef struct Checkpoints Checkpoints;

/* Starts the thread that makes them. */
extern DORIS_MUST_CHECK DorisStatus checkpoints_start(WT_CONNECTION *conn, const StoreOptions *o,
													  Checkpoints **out, DorisError *err);
extern void checkpoints_stop(Checkpoints *c); /* NULL is fine; waits for the one under way */
/* So many bytes have gone into the log. From any thread. */
extern void checkpoints_wrote(Checkpoints *c, uint64_t bytes);
/* One now; changed pages are made compact before. */
extern DORIS_MUST_CHECK DorisStatus checkpoints_make(Checkpoints *c, WT_SESSION *wt,
													 DorisError *err);

#endif
