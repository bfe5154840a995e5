/*
 * db.c: libpq with a limit on every wait. See db.h.
 *
 * A statement gets ADMIN_DB_LIMIT_MS; then the connection is closed, because nobody knows what became of it. The server is
 * told the same limits, and ends a connection that says nothing for ADMIN_DB_IDLE_MS: the lock of a leader whose
 * process hangs is free again after that, and the next leader does not wait for an operator.
 */
#include "db.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin.h"
#include "version.h"

void params_init(DbParams *p)
{
	memset(p, 0, sizeof(*p));
}

void params_free(DbParams *p)
{
	for (int i = 0; i < p->n; i++)
		free(p->values[i]);
	memset(p, 0, sizeof(*p));
}

static void params_add(DbParams *p, char *value, size_t len, int format)
{
	if (p->n == DB_MAX_PARAMS || value == NULL)
	{
		free(value);
		p->failed = true;
		return;
	}
	p->values[p->n] = value;
	p->lengths[p->n] = (int) len;
	p->formats[p->n] = format;
	p->n++;
}

/* Length of the UTF-8 character at s, or 0: malformed. */
static int utf8_length(const unsigned char *s)
{
	int len = s[0] < 0x80	? 1
			  : s[0] < 0xC2 ? 0
			  : s[0] < 0xE0 ? 2
			  : s[0] < 0xF0 ? 3
			  : s[0] < 0xF5 ? 4
							: 0;

	for (int i = 1; i < len; i++)
		if ((s[i] & 0xC0) != 0x80)
			return 0;
	if (len == 3 && ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F)))
		return 0;
	if (len == 4 && ((s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F)))
		return 0;
	return len;
}

/*
 * Malformed bytes become question marks: a peer's name or build text must not make the database refuse all the others'.
 */
static void clean_utf8(char *text)
{
	while (*text != '\0')
	{
		int len = utf8_length((const unsigned char *) text);

		if (len == 0)
			*text = '?';
		text += len > 0 ? len : 1;
	}
}

void params_text(DbParams *p, const char *text)
{
	char *copy;

	if (text == NULL && p->n < DB_MAX_PARAMS)
	{
		p->values[p->n++] = NULL;
		return;
	}
	copy = text != NULL ? strdup(text) : NULL;
	if (copy != NULL)
		clean_utf8(copy);
	params_add(p, copy, 0, 0);
}

void params_int(DbParams *p, int64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long) value);
	params_text(p, text);
}

void params_bytes(DbParams *p, const void *data, size_t len)
{
	char *copy = malloc(len + 1);

	if (copy != NULL)
		memcpy(copy, data, len);
	params_add(p, copy, len, 1);
}

static void array_start(DorisBuf *b)
{
	buf_put_u8(b, b->len == 0 ? '{' : ',');
}

void array_text(DorisBuf *b, const char *text)
{
	array_start(b);
	if (text == NULL)
	{
		buf_put_raw(b, "NULL", 4);
		return;
	}
	buf_put_u8(b, '"');
	for (; *text != '\0'; text++)
	{
		if (*text == '"' || *text == '\\')
			buf_put_u8(b, '\\');
		buf_put_u8(b, (uint8_t) *text);
	}
	buf_put_u8(b, '"');
}

void array_int(DorisBuf *b, int64_t value)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%lld", (long long) value);

	array_start(b);
	buf_put_raw(b, text, (size_t) len);
}

void params_array(DbParams *p, DorisBuf *array)
{
	if (array->len == 0)
		buf_put_u8(array, '{');
	buf_put_u8(array, '}');
	buf_put_u8(array, '\0');
	if (array->failed)
	{
		buf_free(array);
		p->failed = true;
		return;
	}
	clean_utf8((char *) array->data);
	params_add(p, (char *) array->data, 0, 0);
	buf_init(array);
}

/* libpq's messages end with a newline and may have several lines: the first is the one that says it. */
static DorisStatus pq_error(DorisError *err, DorisStatus code, const char *what, const char *text)
{
	size_t len;

	while (*text == '\n')
		text++;
	len = strcspn(text, "\n");
	return doris_error(err, code, "%s: %.*s", what, (int) len, text);
}

/* Closes the connection, saying why. */
static DorisStatus lost(Db *db, DorisError *err, const char *why)
{
	(void) pq_error(err, DORIS_UNREACHABLE, "lost the admin database", why);
	db_close(db);
	return err->code;
}

/* What the server says without being asked goes to our log. */
static void take_notice(void *arg, const char *message)
{
	(void) arg;
	log_write(LOG_DEBUG, "database: %.*s", (int) strcspn(message, "\n"), message);
}

DorisStatus db_connect(Db *db, const char *conninfo, DorisError *err)
{
	static const char *const names[] = {
		"connect_timeout",		"tcp_user_timeout", "keepalives_idle",
		"keepalives_interval",	"keepalives_count", "fallback_application_name",
		"target_session_attrs", "dbname",			NULL};
	const char *const values[] = {"2",			 "5000",	   "2",		 "1", "3",
								  "doris_admin", "read-write", conninfo, NULL};
	char sql[320];
	DorisStatus status;

	db_close(db);
	/* What stands before the connection string are defaults, which it may override. */
	db->conn = PQconnectdbParams(names, values, 1);
	if (db->conn == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for a database connection");
	if (PQstatus(db->conn) != CONNECTION_OK)
	{
		(void) pq_error(err, DORIS_UNREACHABLE, "cannot connect to the admin database",
						PQerrorMessage(db->conn));
		db_close(db);
		return err->code;
	}
	snprintf(sql, sizeof(sql),
			 "SELECT pg_catalog.set_config(n, v, false) FROM (VALUES ('statement_timeout', '%d'), "
			 "('lock_timeout', '%d'), ('idle_session_timeout', '%d'), "
			 "('idle_in_transaction_session_timeout', '%d')) s(n, v)",
			 ADMIN_DB_LIMIT_MS, ADMIN_DB_LIMIT_MS, ADMIN_DB_IDLE_MS, ADMIN_DB_IDLE_MS);
	(void) PQsetNoticeProcessor(db->conn, take_notice, NULL);
	if (PQsetClientEncoding(db->conn, "UTF8") != 0)
	{
		(void) pq_error(err, DORIS_UNREACHABLE, "cannot use UTF-8 with the admin database",
						PQerrorMessage(db->conn));
		db_close(db);
		return err->code;
	}
	if (PQsetnonblocking(db->conn, 1) != 0)
		return lost(db, err, PQerrorMessage(db->conn));
	status = db_query(db, sql, NULL, false, NULL, err);
	if (status == DORIS_OK)
		status = db_query(db, "SET search_path = pg_catalog, pg_temp", NULL, false, NULL, err);
	if (status == DORIS_OK)
		status = db_query(db, "LISTEN doris", NULL, false, NULL, err);
	if (status != DORIS_OK)
		db_close(db);
	return status;
}

void db_close(Db *db)
{
	if (db->conn != NULL)
		PQfinish(db->conn);
	db->conn = NULL;
}

bool db_up(const Db *db)
{
	return db->conn != NULL;
}

int db_fd(const Db *db)
{
	return db->conn != NULL ? PQsocket(db->conn) : -1;
}

/* Waits until the connection has something for us; flushes on the way. */
static DorisStatus wait_ready(Db *db, uint64_t deadline, DorisError *err)
{
	for (;;)
	{
		struct pollfd p = {.fd = PQsocket(db->conn), .events = POLLIN};
		int flush = PQflush(db->conn);
		uint64_t now = clock_mono_ms();

		if (flush < 0)
			return lost(db, err, PQerrorMessage(db->conn));
		if (flush == 0 && !PQisBusy(db->conn))
			return DORIS_OK;
		if (now >= deadline)
			return lost(db, err, "a statement took too long");
		if (flush == 1)
			p.events |= POLLOUT;
		if (poll(&p, 1, (int) (deadline - now)) > 0 && (p.revents & (POLLIN | POLLERR | POLLHUP)) &&
			!PQconsumeInput(db->conn))
			return lost(db, err, PQerrorMessage(db->conn));
	}
}

DorisStatus db_query(Db *db, const char *sql, DbParams *p, bool binary, PGresult **out,
					 DorisError *err)
{
	uint64_t deadline = clock_mono_ms() + ADMIN_DB_LIMIT_MS;
	PGresult *last = NULL;
	DorisStatus status;

	if (out != NULL)
		*out = NULL;
	if (db->conn == NULL)
		return doris_error(err, DORIS_UNREACHABLE, "the admin database is away");
	if (p != NULL && p->failed)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for a statement");
	if (!PQsendQueryParams(db->conn, sql, p != NULL ? p->n : 0, NULL,
						   p != NULL ? (const char *const *) p->values : NULL,
						   p != NULL ? p->lengths : NULL, p != NULL ? p->formats : NULL,
						   binary ? 1 : 0))
		return lost(db, err, PQerrorMessage(db->conn));
	for (;;)
	{
		PGresult *result;

		status = wait_ready(db, deadline, err);
		if (status != DORIS_OK)
		{
			PQclear(last);
			return status;
		}
		result = PQgetResult(db->conn);
		if (result == NULL)
			break;
		PQclear(last);
		last = result;
	}
	if (PQstatus(db->conn) != CONNECTION_OK)
	{
		PQclear(last);
		return lost(db, err, PQerrorMessage(db->conn));
	}
	if (PQresultStatus(last) != PGRES_TUPLES_OK && PQresultStatus(last) != PGRES_COMMAND_OK)
	{
		const char *sqlstate = PQresultErrorField(last, PG_DIAG_SQLSTATE);

		/* 57P: the server is shutting down or has ended this session; its connection is about to break. */
		if (sqlstate != NULL && strncmp(sqlstate, "57P", 3) == 0)
			status = lost(db, err, PQresultErrorMessage(last));
		else
			status = pq_error(err, DORIS_UNAVAILABLE, "the admin database refused",
							  PQresultErrorMessage(last));
		PQclear(last);
		if (strcmp(sql, "ROLLBACK") != 0)
			db_rollback(db);
		return status;
	}
	if (out != NULL)
		*out = last;
	else
		PQclear(last);
	return DORIS_OK;
}

void db_rollback(Db *db)
{
	DorisError err;

	if (db->conn == NULL)
		return;
	if (PQtransactionStatus(db->conn) != PQTRANS_INTRANS &&
		PQtransactionStatus(db->conn) != PQTRANS_INERROR)
		return;
	if (db_query(db, "ROLLBACK", NULL, false, NULL, &err) != DORIS_OK)
		db_close(db);
}

bool db_notified(Db *db)
{
	PGnotify *n;
	bool any = false;

	if (db->conn == NULL)
		return false;
	if (!PQconsumeInput(db->conn))
	{
		log_write(LOG_WARNING, "lost the admin database");
		db_close(db);
		return false;
	}
	while ((n = PQnotifies(db->conn)) != NULL)
	{
		if (n->be_pid != PQbackendPID(db->conn))
			any = true;
		PQfreemem(n);
	}
	return any;
}
