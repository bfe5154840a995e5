/*
 * status.h: what a call can come to, as a value.
 *
 * Every function outside fdw/ that can fail returns a DorisStatus, which must be checked, and
 * explains itself in the DorisError it was handed (never NULL), where the knowledge is.
 */
#ifndef DORIS_STATUS_H
#define DORIS_STATUS_H

typedef enum DorisStatus
{
	DORIS_OK = 0,
	DORIS_NOT_FOUND = 1,   /* no such row, namespace, node */
	DORIS_STALE_EPOCH = 2, /* request older than changed(v); fetch the topology, start again (I3) */
	DORIS_BEHIND = 3,	   /* the receiver's topology is older than the request's: hand it on */
	DORIS_NOT_OWNER = 4,   /* the receiver has no copy of this vnode in this placement */
	DORIS_NO_NAMESPACE = 5,	 /* namespace id unknown or dropped */
	DORIS_CONFLICT = 6,		 /* another transaction was first: SQLSTATE 40001 */
	DORIS_DUPLICATE = 7,	 /* the key exists: SQLSTATE 23505 */
	DORIS_UNKNOWN = 8,		 /* outcome unknown: SQLSTATE 08007 (I7) */
	DORIS_UNREACHABLE = 9,	 /* the peer cannot be reached; nothing was sent or it was harmless */
	DORIS_TIMEOUT = 10,		 /* the deadline passed */
	DORIS_CANCELLED = 11,	 /* the wait callback said stop */
	DORIS_DISK_FULL = 12,	 /* the node refuses writes until there is space: SQLSTATE 53100 */
	DORIS_TOO_BIG = 13,		 /* a row or message over its limit: SQLSTATE 54000 */
	DORIS_LIMIT = 14,		 /* some queue or budget is full (I6): SQLSTATE 53000 */
	DORIS_BAD_MESSAGE = 15,	 /* bytes that do not decode: SQLSTATE 08P01 */
	DORIS_BAD_ARGUMENT = 16, /* the caller's mistake: SQLSTATE 22023 */
	DORIS_DENIED = 17,		 /* wrong key, wrong cluster, clock too far off: SQLSTATE 28000 */
	DORIS_NOT_LEADER = 18,	 /* ask another admin */
	DORIS_UNAVAILABLE = 19,	 /* a needed copy, node or database is down: SQLSTATE 08006 */
	DORIS_EXISTS = 20,		 /* a namespace of this name has another definition: SQLSTATE 42710 */
	DORIS_NO_MEMORY = 21,	 /* SQLSTATE 53200 */
	DORIS_IO = 22,			 /* the disk or the storage engine failed: SQLSTATE 58030 */
	DORIS_CLOCK_AHEAD = 23,	 /* a client's stamp more than 10 s ahead of the node */
	DORIS_INTERNAL = 24		 /* a defect */
} DorisStatus;

#define DORIS_STATUS_LAST DORIS_INTERNAL

typedef struct DorisError
{
	DorisStatus code;
	char message[512]; /* lower case, no full stop; names the node, namespace, key */
	char hint[256];	   /* a sentence, or empty */
} DorisError;

#define DORIS_MUST_CHECK __attribute__((warn_unused_result))

/* Fills err and returns code, so that a caller can `return doris_error(err, ...)`. */
extern DorisStatus doris_error(DorisError *err, DorisStatus code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Adds the hint to an error already filled; returns err->code. */
extern DorisStatus doris_hint(DorisError *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* "stale epoch", "conflict", ...: for logs and tests. Never NULL. */
extern const char *doris_status_name(DorisStatus code);

#ifdef __clang_analyzer__
/* The analyzer sees one file at a time: let it know that these never return DORIS_OK. */
#define doris_error(err, code, ...) ((void) (doris_error) (err, code, __VA_ARGS__), (code))
#define doris_hint(err, ...) ((void) (doris_hint) (err, __VA_ARGS__), DORIS_INTERNAL)
#endif

#endif
