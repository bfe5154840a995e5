/*
 * log.c: lines to standard error: local time, level, text. Any thread.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "admin.h"

static const char *const level_names[] = {"debug", "info", "warning", "error"};

LogLevel log_level = LOG_INFO;

bool log_parse_level(const char *text, LogLevel *out)
{
	for (int i = 0; i < 4; i++)
		if (strcmp(text, level_names[i]) == 0)
		{
			*out = (LogLevel) i;
			return true;
		}
	return false;
}

void log_write(LogLevel level, const char *fmt, ...)
{
	char text[1024];
	char when[32];
	struct timespec now;
	struct tm tm;
	va_list args;

	if (level < log_level)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	/* One call, one line: threads do not mix their words. */
	fprintf(stderr, "%s.%03ld %s: %s\n", when, now.tv_nsec / 1000000, level_names[level], text);
}
