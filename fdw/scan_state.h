/*
 * scan_state.h: the state of a foreign scan: scan.c, which reads, and scan_shared.c, which shares it with workers.
 */
#ifndef DORIS_SCAN_STATE_H
#define DORIS_SCAN_STATE_H

#include "executor.h"

typedef struct DorisScanState
{
	/* for the whole scan */
	DorisTable *table;
	DorisClient *client;
	DorisHandle *handle;
	DorisAccess access;
	List *keys; /* SCAN_KEYS, SCAN_ARMS, SCAN_BOUNDS, SCAN_FILTER */
	List *arms;
	List *bounds;
	List *steps;
	DorisOrder order;
	bool whole;
	List *limit;	   /* SCAN_LIMIT */
	List *exprs;	   /* ExprStates of fdw_exprs */
	Bitmapset *wanted; /* NULL with wanted_all: every column */
	bool wanted_all;
	Bitmapset *wanted_recheck; /* and what the recheck quals look at */
	ExprState *filter_quals;   /* of lookups: of these, what is beside the key */
	bool with_version;
	uint16 *columns;
	uint32 ncolumns;
	uint16 *columns_recheck;
	uint32 ncolumns_recheck;
	DorisWork *work;	  /* EXPLAIN ANALYZE only */
	ParallelScan *shared; /* with other participants; NULL: it reads alone */
	uint32 shared_nodes;  /* it has room for */
	uint32 shared_vnodes;

	/* from one start or rescan to the next; in context */
	MemoryContext context;
	bool started;
	bool done;		  /* no rows, or no more */
	bool recheck_all; /* the filter was not sent: judge every row here */
	WriteBuffer *buffer;
	CommandId before; /* sees states older than this */
	Datum *values;
	bool *nulls;
	DorisRow row;		/* what the slot was filled from; views until the next row */
	StringInfoData own; /* its key and value, when it is the transaction's own */

	/* lookups */
	bool filter_made;
	bool filter_here; /* it cannot be sent */
	DorisBytes filter;
	KeyList key_list;
	MemoryContext batch; /* the keys of one get */
	DorisLookup lookup;
	uint32 at; /* of the lookup's keys, the next one */

	/* ACCESS_JOINED: keys given, not in context */
	const DorisBytes *given;
	uint32 ngiven;
	bool asked;	 /* for the given keys */
	bool chosen; /* the row at `at` is to be returned next */

	/* scans: first the cluster's rows, then the buffer's; in order: merged */
	DorisScanSpec spec;
	bool held; /* the cluster's next row */
	DorisRow next;
	Overlay *overlay;	/* in order, when there is something in the buffer */
	DorisBytes program; /* the nodes are to aggregate the rows, not to send them; empty: they are */
	bool gave_groups;	/* and they have */
	uint32 *vnodes;		/* shared: room for those that are read at a time */
	bool cluster_done;
	bool any; /* the cluster has sent a row */
	uint32 buffer_pos;
} DorisScanState;

#endif
