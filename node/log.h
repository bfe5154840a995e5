/*
 * log.h: the node's log: one line on stderr with time, level and text. Any thread.
 */
#ifndef DORIS_NODE_LOG_H
#define DORIS_NODE_LOG_H

typedef enum LogLevel
{
	LOG_ERROR = 0,
	LOG_WARNING = 1,
	LOG_INFO = 2,
	LOG_DEBUG = 3
} LogLevel;

extern void log_set_level(LogLevel level);
/* error, warning, info, debug; -1 when it is none of these */
extern int log_level_of(const char *name);
extern void log_line(LogLevel level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
