/*
 * doris_fdw.h: what the files of the extension share.
 *
 * error.c and connection.c bring libdoris into a backend; codec.c turns datums into bytes and back; table.c joins a
 * foreign table with its namespace; namespace.c is the data definition, functions.c and operate.c are SQL functions, stats.c what was asked of the nodes; buffer.c holds a transaction's writes, xact.c
 * commits them; plan.c, estimate.c, shippable.c, scan.c, modify.c and explain.c are the executor's side.
 */
#ifndef DORIS_FDW_H
#define DORIS_FDW_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "nodes/bitmapset.h"
#include "nodes/parsenodes.h"
#include "utils/array.h"
#include "utils/rel.h"

#include "compat.h"
/* some of PostgreSQL's headers (libpq/pqcomm.h) have a type of this name */
#define MsgType DorisMsgType
#include "doris.h"
#undef MsgType
#include "filter.h"
#include "row.h"

/* ---- settings (connection.c defines, _PG_init in fdw.c calls settings_init) ---- */
extern int doris_read_group;		   /* doris_fdw.read_group */
extern int doris_statement_deadline;   /* doris_fdw.statement_deadline, ms */
extern int doris_write_buffer;		   /* doris_fdw.write_buffer, kB */
extern bool doris_enable_batched_join; /* doris_fdw.enable_batched_join */
extern void settings_init(void);

/* ---- error.c: a DorisError becomes an ereport ---- */
extern int doris_sqlstate(DorisStatus code);
/*
 * Does not return. namespace and key (encoded, shown escaped) may be NULL/empty; they go to the detail. CANCELLED runs
 * CHECK_FOR_INTERRUPTS first, so that the user sees PostgreSQL's own words for a cancel or timeout.
 */
extern void doris_ereport(const DorisError *err, const char *ns, DorisBytes key)
	pg_attribute_noreturn();

/* ---- connection.c: one DorisClient per server and backend ---- */
/*
 * The user must have a user mapping (or PUBLIC one) for the server; users of a backend share the server's client, so that
 * a transaction that changes roles stays one transaction. Connects when needed; sets deadline and read group from the settings. Dropped and made anew when the
 * server's or mapping's options changed (syscache callbacks), but never within a transaction that used it.
 */
extern DorisClient *connection_get(Oid serverid, Oid userid);
/* After a transaction: delivers FINISH messages, drops what is invalid. From xact.c. */
extern void connection_end_transaction(void);
/* Raises what went wrong inside the wait callback, which itself must not; else returns. From error.c. */
extern void connection_rethrow(void);
/* The only server of this wrapper in the database or, when there are several, the one named doris. */
extern Oid connection_default_server(void);

/* What the clients have counted goes to stats.c. */
extern void connection_note_all(void);

/* ---- stats.c: doris_fdw_stats ---- */
extern void stats_init(void);	 /* from _PG_init: shared memory, when preloaded */
extern void stats_prepare(void); /* before any other but stats_init */
/* Books what the client has counted since the last time; *activity: kept for it, 0 at first. Raises nothing. */
extern void stats_note(Oid serverid, DorisClient *client, uint64 *activity);
#define ROUND_TRIPS_ENOUGH 4 /* that many tell more than what others have measured */
/* What other backends have measured, the mean over the nodes; 0: nothing, or not preloaded. */
extern double stats_round_trip_us(Oid serverid);
/* The server's client, noted before, goes: the next one counts from 0. */
extern void stats_disconnected(Oid serverid);

/* ---- options.c ---- */
typedef struct DorisServerOptions
{
	const char *hosts;
	const char *key_file; /* NULL: plain */
	int fetch_size;		  /* rows per scan reply; 0: the nodes' own limit */
	bool remote_estimate;
	double round_trip_cost;
} DorisServerOptions;

typedef struct DorisTableOptions
{
	const char *ns;		 /* option namespace; default: the table's name */
	List *key;			 /* of char *: column names; from option key */
	List *distribute_by; /* a prefix of key; NIL: the whole key */
	bool direct;		 /* write_mode 'direct' */
	int fetch_size;
	int batch_size;			/* rows per batch insert */
	bool remote_estimate;	/* use_remote_estimate */
	double round_trip_cost; /* the server's; 0: measured */
} DorisTableOptions;

extern DorisServerOptions *options_server(Oid serverid);
extern DorisTableOptions *options_table(Oid relid);
/* column option column_name, else the attribute's name */
extern const char *options_column_name(Oid relid, AttrNumber attnum);
/*
 * The namespace's name of the column that the option key or distribute_by calls `name`: its name there, else
 * that in the table. NULL: the table has no such column.
 */
extern const char *options_resolve_column(Relation rel, const char *name);

/* ---- codec.c: one column's datums as bytes ---- */
typedef struct ColumnCodec
{
	Oid type; /* domains resolved to their base type */
	int32 typmod;
	Oid collation;
	int kind; /* enum CodecKind, private to codec.c */
	/* value bytes: memcmp of two of them says equal / orders as the type does (under the column's collation) */
	bool value_equal;
	bool value_ordered;
	/*
	 * The type calls equal what its bytes tell apart (-0 and 0, 1.0 and 1.00), so neither of the above holds; but
	 * values order as codec_put_bounds says. Set for value_ordered types too.
	 */
	bool value_bounded;
	/* key segments: supported at all; equal datums always give equal segments */
	bool key_supported;
	bool key_ordered; /* memcmp orders as the type does */
	bool key_exact;	  /* the segment gives the datum back; else the column is also in the value */
	uint8 key_width;  /* DORIS_KEY_ESCAPED or the bytes of a segment */
	FmgrInfo send;	  /* for kinds stored in their binary send/receive form */
	FmgrInfo receive;
	Oid receive_ioparam;
	struct CodecParts
		*parts; /* arrays and composites: their elements' codecs; private to codec_nested.c */
} ColumnCodec;

extern void codec_init(ColumnCodec *c, Oid type, int32 typmod, Oid collation,
					   MemoryContext context);
/* Do key segments order as the type does under this collation, which need not be the column's? */
extern bool codec_key_orders(const ColumnCodec *c, Oid collation);
extern void codec_put_value(ColumnCodec *c, Datum d,
							StringInfo out); /* appends the bytes alone, no length */
extern Datum codec_get_value(ColumnCodec *c, const uint8 *data,
							 size_t len); /* palloc'ed in the current context */
/*
 * value_bounded: the values of all datums equal to d lie in [low, high]; those of smaller ones are
 * below low, of greater ones above high (memcmp). So x = d is low <= x <= high, x < d is x < low, x > d is x > high.
 */
extern void codec_put_bounds(ColumnCodec *c, Datum d, StringInfo low, StringInfo high);
extern void codec_put_key(ColumnCodec *c, Datum d, StringInfo out); /* appends a segment */
extern DorisBytes codec_segment(ColumnCodec *c, Datum d);			/* one by itself, palloc'ed */
/* A string, whose stored bytes begin as it does. */
extern bool codec_has_prefixes(const ColumnCodec *c);
extern bool
codec_pads(const ColumnCodec *c); /* a string whose trailing blanks are not all stored */
/* What the segments of all strings begin with that begin with these stored bytes; whole: the segment of just these. */
extern DorisBytes codec_prefix_segment(DorisBytes prefix, bool whole);
/* The datum; when not key_exact, one that is equal to it (good for messages, not for rows). */
extern Datum codec_get_key(ColumnCodec *c, const uint8 *segment, size_t len);

/* ---- table.c: a foreign table and its namespace ---- */
typedef struct DorisColumn
{
	uint16 id;		  /* in the namespace; 0: dropped attribute, or generated and not stored */
	int key_position; /* 1..; 0: not in the key */
	bool in_value;
	ColumnCodec codec;
} DorisColumn;

/* Is its datum read from the key? Else it is in the value. */
static inline bool column_is_in_key(const DorisColumn *col)
{
	return col->key_position > 0 && !col->in_value;
}

typedef struct DorisTable
{
	Oid relid;
	Oid serverid;
	NsDef *ns;	  /* in the table's memory context */
	uint64 epoch; /* of the topology it was taken from */
	int natts;
	DorisColumn *columns; /* by attnum - 1 */
	int nkey;
	AttrNumber *key_attnums; /* by key position - 1 */
	int nroute;				 /* leading key columns that route */
	int nvalue;
	AttrNumber *value_attnums; /* columns in the value, in rising id order */
	uint32 nids;
	AttrNumber *attnum_of; /* by column id (< nids); 0: not in this table */
	/*
	 * The namespace has columns that this table does not: an UPDATE must carry them over, so it needs the
	 * whole old value (a get without projection) and table_put_value_over.
	 */
	bool partial;
	DorisTableOptions *options;
} DorisTable;

/*
 * Looks the namespace up through the client (error 42P01 with a hint when it is missing, 42809 when it no
 * longer fits the table) and prepares the codecs. The result is shared and read-only, and lives as long
 * as the current memory context.
 */
extern DorisTable *
doris_table_open(Relation rel, DorisClient *client); /* not table_open: the backend exports that */
/* What is kept of all tables is looked up anew at their next doris_table_open. From connection.c. */
extern void table_forget(void);
/* Encodes the key from datums by attnum - 1; error 23502 for a NULL key column. route_len: bytes of the route prefix. */
extern void table_put_key(DorisTable *t, const Datum *values, const bool *nulls, StringInfo out,
						  size_t *route_len);
/* Encodes a prefix of nsegments key columns given in key order. */
extern void table_put_key_prefix(DorisTable *t, const Datum *key_values, int nsegments,
								 StringInfo out);
/* Encodes the value (row.h). Error 54000 when it is over DORIS_MAX_VALUE. */
extern void table_put_value(DorisTable *t, const Datum *values, const bool *nulls, StringInfo out);
/*
 * The same, but columns that the table does not have are copied from the row's old value, and so are those that are not
 * changed (by attnum - 1; NULL: all are).
 */
extern void table_put_value_over(DorisTable *t, const Datum *values, const bool *nulls,
								 const bool *changed, DorisBytes old, StringInfo out);
/* Bytes of the route prefix of an encoded key. */
extern size_t table_route_len(DorisTable *t, DorisBytes key);
/*
 * Decodes a row into values/nulls (natts each). wanted: attnums to decode (NULL: all); others become NULL. Columns
 * of the table that the row does not have read as NULL.
 */
extern void table_get_row(DorisTable *t, DorisBytes key, DorisBytes value, const Bitmapset *wanted,
						  Datum *values, bool *nulls);
/* The column ids (rising) that a projection to the wanted attnums must fetch. */
extern uint16 *table_projection(DorisTable *t, const Bitmapset *wanted, uint32 *ncolumns);
/* "(id, part)=(7, x)" for messages, from the encoded key. */
extern char *table_key_text(DorisTable *t, DorisBytes key);

/* ---- buffer.c: a transaction's writes, before they are staged: see executor.h ---- */
extern bool buffer_any(void); /* has this transaction written to any foreign table? */

/* ---- namespace.c, functions.c: see doris_fdw--1.0.sql ---- */
/* Is the foreign server one of this wrapper? */
extern bool namespace_is_ours(Oid serverid);
/*
 * The namespace's columns as they would be defined: type and collation texts do not depend on the search_path.
 * Fills name, type, collation, not_null; error 0A000 for a type that cannot be stored.
 */
extern void namespace_describe(NsColumn *col, const char *name, Oid type, int32 typmod,
							   Oid collation, bool not_null);
/* Makes the column part of the key: checks that its type can be, fills key_position, key_width, in_value. */
extern void namespace_describe_key(NsColumn *col, Oid type, int32 typmod, Oid collation,
								   int position);

/* ---- argument.c: arguments of SQL functions; errors name them as `what` ---- */
/* Error 22004 when it is NULL. */
extern char *argument_text(FunctionCallInfo fcinfo, int arg, const char *what);
/* Elements of a text[] argument, none of them NULL. */
extern List *argument_text_list(ArrayType *array, const char *what);
/* The number of a group or plan: not NULL, at least 1. */
extern uint32 argument_id(FunctionCallInfo fcinfo, int arg, const char *what);
/* A server of this wrapper; NULL: the default one. */
extern Oid argument_server(FunctionCallInfo fcinfo, int arg);

/* ---- import.c ---- */
extern List *doris_import_foreign_schema(ImportForeignSchemaStmt *stmt, Oid serverOid);
#endif
