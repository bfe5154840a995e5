/*
 * store.h: what the node asks of a storage engine.
 *
 * A Store is a set of ordered tables of byte strings: one table per vnode, a few for the node itself.
 * Everything written in one transaction becomes visible together and, after store_flush, survives a crash together.
 * Sessions belong to one thread each. Two sessions that write the same key at once: the later gets DORIS_CONFLICT
 * from put, del or commit, rolls back and tries again; callers lock by vnode so that this is rare.
 *
 * Drivers: store_wiredtiger.c, store_memory.c (unit tests; loses everything at close).
 */
#ifndef DORIS_STORE_H
#define DORIS_STORE_H

#include "buf.h"
#include "status.h"

typedef struct Store Store;
typedef struct StoreSession StoreSession;
typedef struct StoreScan StoreScan;

/* Vnode tables are numbered 0..65535; above them the node's own. */
typedef uint32_t StoreTable;
#define STORE_TABLE_META 0x10000u	/* identity, topology, clock ceiling, counters */
#define STORE_TABLE_STAGED 0x10001u /* index of staged writes by transaction */
#define STORE_TABLE_MEMORY 0x10002u /* outcomes: finished and refused transactions */
#define STORE_TABLE_HINTS 0x10003u	/* log nodes */

typedef struct StoreOptions
{
	const char *home;	  /* directory, exists */
	uint64_t cache_bytes; /* the engine's cache */
	uint64_t
		checkpoint_ms; /* from one checkpoint to the next, when something was written; 0: the driver's choice */
} StoreOptions;

typedef struct StoreUsage
{
	uint64_t cache_bytes; /* the engine's cache as configured */
	uint64_t disk_bytes;  /* of the home */
} StoreUsage;

typedef struct StoreDriver
{
	const char *name;
	DorisStatus (*open)(const StoreOptions *o, Store **out, DorisError *err);
	void (*close)(Store *s); /* checkpoints; no sessions may be open */
	DorisStatus (*session)(Store *s, StoreSession **out, DorisError *err);
	void (*session_close)(StoreSession *ss);
	/* Between requests: lets go of what would keep another session from dropping a table. */
	void (*idle)(StoreSession *ss);

	/*
	 * Creating an existing table is a success. Dropping an absent one too; LIMIT: another session still
	 * has it open, try again later. Not within a transaction.
	 */
	DorisStatus (*create)(StoreSession *ss, StoreTable t, DorisError *err);
	DorisStatus (*drop)(StoreSession *ss, StoreTable t, DorisError *err);
	DorisStatus (*exists)(StoreSession *ss, StoreTable t, bool *out, DorisError *err);

	DorisStatus (*begin)(StoreSession *ss, DorisError *err);  /* snapshot isolation */
	DorisStatus (*commit)(StoreSession *ss, DorisError *err); /* visible; durable after flush */
	void (*rollback)(StoreSession *ss);

	/* Within or without a transaction (then each is its own). The view lives until the session's next call. */
	DorisStatus (*get)(StoreSession *ss, StoreTable t, DorisBytes key, DorisBytes *value,
					   DorisError *err);
	DorisStatus (*put)(StoreSession *ss, StoreTable t, DorisBytes key, DorisBytes value,
					   DorisError *err);
	/*
	 * Only within a transaction. DUPLICATE: the key is there already, nothing was written. Cheaper than get and put for who
	 * guesses that it is not.
	 */
	DorisStatus (*add)(StoreSession *ss, StoreTable t, DorisBytes key, DorisBytes value,
					   DorisError *err);
	DorisStatus (*del)(StoreSession *ss, StoreTable t, DorisBytes key,
					   DorisError *err); /* absent: fine */

	/*
	 * From low (inclusive; empty: start) to high (exclusive; empty: end). NOT_FOUND at the end. Views live until the scan's
	 * next call; in a transaction several scans may be open side by side.
	 */
	DorisStatus (*scan)(StoreSession *ss, StoreTable t, DorisBytes low, DorisBytes high,
						StoreScan **out, DorisError *err);
	/* The same keys from the last one down. */
	DorisStatus (*scan_back)(StoreSession *ss, StoreTable t, DorisBytes low, DorisBytes high,
							 StoreScan **out, DorisError *err);
	/* The same as scan for who passes by once: what it reads is the first to leave the engine's cache. */
	DorisStatus (*scan_once)(StoreSession *ss, StoreTable t, DorisBytes low, DorisBytes high,
							 StoreScan **out, DorisError *err);
	DorisStatus (*next)(StoreScan *sc, DorisBytes *key, DorisBytes *value, DorisError *err);
	void (*scan_close)(StoreScan *sc);

	/* A new table from rising keys, nobody else using it: bulk load. */
	DorisStatus (*bulk)(StoreSession *ss, StoreTable t, StoreScan **out, DorisError *err);
	DorisStatus (*bulk_put)(StoreScan *sc, DorisBytes key, DorisBytes value, DorisError *err);
	DorisStatus (*bulk_end)(StoreScan *sc, DorisError *err);

	DorisStatus (*flush)(StoreSession *ss,
						 DorisError *err); /* all commits so far, of all sessions, are on disk */
	DorisStatus (*checkpoint)(StoreSession *ss, DorisError *err);
	/* A consistent copy of the whole store in another, empty directory, while writes go on. */
	DorisStatus (*backup)(StoreSession *ss, const char *directory, DorisError *err);
	DorisStatus (*usage)(StoreSession *ss, StoreUsage *out, DorisError *err);
} StoreDriver;

extern const StoreDriver store_wiredtiger;
extern const StoreDriver store_memory;

#endif
