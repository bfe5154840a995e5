/*
 * log.c: the node's log. A line is written with one write(2), so that lines of threads do not mix.
 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

static LogLevel log_level = LOG_INFO;

static const char *const level_names[] = {"error", "warning", "info", "debug"};

void log_set_level(LogLevel level)
{
	log_level = level;
}

int log_level_of(const char *name)
{
	for (int i = 0; i < 4; i++)
	{
		if (strcasecmp(name, level_names[i]) == 0)
			return i;
	}
	return -1;
}

void log_line(LogLevel level, const char *fmt, ...)
{
	char line[1400];
	struct timespec now;
	struct tm tm;
	int n;
	int m;
	va_list ap;

	if (level > log_level)
		return;
	(void) clock_gettime(CLOCK_REALTIME, &now);
	(void) localtime_r(&now.tv_sec, &tm);
	n = (int) strftime(line, sizeof(line), "%Y-%m-%d %H:%M:%S", &tm);
	n += snprintf(line + n, sizeof(line) - (size_t) n, ".%03d %-7s ", (int) (now.tv_nsec / 1000000),
				  level_names[level]);
	va_start(ap, fmt);
	m = vsnprintf(line + n, sizeof(line) - (size_t) n - 1, fmt, ap);
	va_end(ap);
	if (m < 0)
		return;
	n += m;
	if (n > (int) sizeof(line) - 2)
		n = (int) sizeof(line) - 2;
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t) n) < 0)
		return; /* nowhere left to say so */
}
