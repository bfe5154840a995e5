/*
 * db.h: the admin's connection to its database: libpq with a limit on every wait.
 *
 * Belongs to the lead thread. When a call returns UNREACHABLE the connection is gone (db_up is false); with any
 * other error it stands, and a transaction that was open is rolled back.
 */
#ifndef DORIS_ADMIN_DB_H
#define DORIS_ADMIN_DB_H

#include <libpq-fe.h>

#include "buf.h"
#include "status.h"

typedef struct Db
{
	PGconn *conn; /* NULL: not connected */
} Db;

#define DB_MAX_PARAMS 24

/* Parameters of one statement, as text or bytes; they own copies. */
typedef struct DbParams
{
	int n;
	char *values[DB_MAX_PARAMS];
	int lengths[DB_MAX_PARAMS];
	int formats[DB_MAX_PARAMS];
	bool failed; /* out of memory */
} DbParams;

extern void params_init(DbParams *p);
extern void params_free(DbParams *p);
extern void params_text(DbParams *p, const char *text); /* NULL: SQL's NULL */
extern void params_int(DbParams *p, int64_t value);
extern void params_bytes(DbParams *p, const void *data, size_t len);
/* An array literal that array_* built; takes the buffer over. */
extern void params_array(DbParams *p, DorisBuf *array);

extern void array_text(DorisBuf *b, const char *text); /* NULL: SQL's NULL */
extern void array_int(DorisBuf *b, int64_t value);

extern DORIS_MUST_CHECK DorisStatus db_connect(Db *db, const char *conninfo, DorisError *err);
extern void db_close(Db *db);
extern bool db_up(const Db *db);
/* p may be NULL. binary: results as bytes. *out (may be NULL when no rows matter) is the caller's to PQclear. */
extern DORIS_MUST_CHECK DorisStatus db_query(Db *db, const char *sql, DbParams *p, bool binary,
											 PGresult **out, DorisError *err);
/* ROLLBACK of whatever is open; closes the connection if that fails. */
extern void db_rollback(Db *db);
/* Takes in what the server sent by itself. True: a notification from another process came. False: none, or lost. */
extern bool db_notified(Db *db);
extern int db_fd(const Db *db); /* -1: not connected */

#endif
