/*
 * status.c: filling errors, and names of statuses.
 */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#ifdef __clang_analyzer__
#undef doris_error
#undef doris_hint
#endif

DorisStatus doris_error(DorisError *err, DorisStatus code, const char *fmt, ...)
{
	char text[sizeof(err->message)]; /* an argument may be err's own message */
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	err->code = code;
	memcpy(err->message, text, sizeof(text));
	err->hint[0] = '\0';
	return code;
}

DorisStatus doris_hint(DorisError *err, const char *fmt, ...)
{
	char text[sizeof(err->hint)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	memcpy(err->hint, text, sizeof(text));
	return err->code;
}

const char *doris_status_name(DorisStatus code)
{
	switch (code)
	{
		case DORIS_OK:
			return "ok";
		case DORIS_NOT_FOUND:
			return "not found";
		case DORIS_STALE_EPOCH:
			return "stale epoch";
		case DORIS_BEHIND:
			return "behind";
		case DORIS_NOT_OWNER:
			return "not owner";
		case DORIS_NO_NAMESPACE:
			return "no namespace";
		case DORIS_CONFLICT:
			return "conflict";
		case DORIS_DUPLICATE:
			return "duplicate";
		case DORIS_UNKNOWN:
			return "outcome unknown";
		case DORIS_UNREACHABLE:
			return "unreachable";
		case DORIS_TIMEOUT:
			return "timeout";
		case DORIS_CANCELLED:
			return "cancelled";
		case DORIS_DISK_FULL:
			return "disk full";
		case DORIS_TOO_BIG:
			return "too big";
		case DORIS_LIMIT:
			return "limit reached";
		case DORIS_BAD_MESSAGE:
			return "bad message";
		case DORIS_BAD_ARGUMENT:
			return "bad argument";
		case DORIS_DENIED:
			return "denied";
		case DORIS_NOT_LEADER:
			return "not leader";
		case DORIS_UNAVAILABLE:
			return "unavailable";
		case DORIS_EXISTS:
			return "exists";
		case DORIS_NO_MEMORY:
			return "no memory";
		case DORIS_IO:
			return "i/o error";
		case DORIS_CLOCK_AHEAD:
			return "clock ahead";
		case DORIS_INTERNAL:
			return "internal error";
	}
	return "unrecognized status";
}
