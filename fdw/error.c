/*
 * error.c: a DorisError becomes an ereport.
 *
 * The words come from where the failure was known (message, hint); here they get their SQLSTATE and, as a detail, the
 * namespace and the key.
 */
#include "doris_fdw.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/pmsignal.h"

#define KEY_SHOWN 100 /* bytes of an encoded key in a message */

int doris_sqlstate(DorisStatus code)
{
	switch (code)
	{
		case DORIS_OK:
			return ERRCODE_SUCCESSFUL_COMPLETION;
		case DORIS_NOT_FOUND:
			return ERRCODE_UNDEFINED_OBJECT;
		case DORIS_NO_NAMESPACE:
			return ERRCODE_UNDEFINED_TABLE;
		case DORIS_CONFLICT:
			return ERRCODE_T_R_SERIALIZATION_FAILURE;
		case DORIS_DUPLICATE:
			return ERRCODE_UNIQUE_VIOLATION;
		case DORIS_UNKNOWN:
			return ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN;
		case DORIS_STALE_EPOCH:
		case DORIS_BEHIND:
		case DORIS_NOT_OWNER:
		case DORIS_NOT_LEADER:
		case DORIS_UNREACHABLE:
		case DORIS_TIMEOUT:
		case DORIS_UNAVAILABLE:
			return ERRCODE_CONNECTION_FAILURE;
		case DORIS_CANCELLED:
			return ERRCODE_QUERY_CANCELED;
		case DORIS_DISK_FULL:
			return ERRCODE_DISK_FULL;
		case DORIS_TOO_BIG:
			return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		case DORIS_LIMIT:
			return ERRCODE_INSUFFICIENT_RESOURCES;
		case DORIS_BAD_MESSAGE:
			return ERRCODE_PROTOCOL_VIOLATION;
		case DORIS_BAD_ARGUMENT:
			return ERRCODE_INVALID_PARAMETER_VALUE;
		case DORIS_DENIED:
			return ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION;
		case DORIS_EXISTS:
			return ERRCODE_DUPLICATE_OBJECT;
		case DORIS_NO_MEMORY:
			return ERRCODE_OUT_OF_MEMORY;
		case DORIS_IO:
			return ERRCODE_IO_ERROR;
		case DORIS_CLOCK_AHEAD:
			return ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
		case DORIS_INTERNAL:
			break;
	}
	return ERRCODE_INTERNAL_ERROR;
}

/* A peer's words are UTF-8, if all is well; nothing else than text of the database's encoding may get into a message. */
static const char *printable(const char *text)
{
	char *copy;

	if (GetDatabaseEncoding() == PG_UTF8 &&
		pg_verify_mbstr(PG_UTF8, text, (int) strlen(text), true))
		return text;
	copy = pstrdup(text);
	for (char *p = copy; *p != '\0'; p++)
	{
		if (IS_HIGHBIT_SET(*p))
			*p = '?';
	}
	return copy;
}

/* Namespace and key in words; NULL when there is neither, or nothing that the message does not say. */
static char *error_detail(const char *message, const char *ns, DorisBytes key)
{
	StringInfoData buf;

	if (ns != NULL && strstr(message, psprintf("\"%s\"", ns)) != NULL)
		ns = NULL;
	if ((ns == NULL || ns[0] == '\0') && key.len == 0)
		return NULL;
	initStringInfo(&buf);
	if (ns != NULL && ns[0] != '\0')
		appendStringInfo(&buf, "Namespace \"%s\"", ns);
	if (key.len > 0)
	{
		appendStringInfoString(&buf, buf.len > 0 ? ", key \"" : "Key \"");
		for (size_t i = 0; i < key.len && i < KEY_SHOWN; i++)
		{
			if (key.data[i] >= 0x20 && key.data[i] < 0x7F && key.data[i] != '\\')
				appendStringInfoChar(&buf, (char) key.data[i]);
			else
				appendStringInfo(&buf, "\\%03o", key.data[i]);
		}
		appendStringInfoString(&buf, key.len > KEY_SHOWN ? "...\"" : "\"");
	}
	appendStringInfoChar(&buf, '.');
	return buf.data;
}

void doris_ereport(const DorisError *err, const char *ns, DorisBytes key)
{
	char *detail = error_detail(err->message, ns, key);

	if (err->code == DORIS_CANCELLED)
	{
		connection_rethrow();
		if (!PostmasterIsAlive())
			proc_exit(1);
		CHECK_FOR_INTERRUPTS();
	}
	ereport(ERROR, errcode(doris_sqlstate(err->code)), errmsg("%s", printable(err->message)),
			detail ? errdetail("%s", detail) : 0,
			err->hint[0] ? errhint("%s", printable(err->hint)) : 0);
	pg_unreachable();
}
