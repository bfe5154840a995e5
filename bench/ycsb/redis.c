/*
 * redis.c: YCSB's operations on a Redis server, over its own protocol (RESP 2): a hash for each row; with ranges a sorted set for each
 * part, as YCSB's own binding keeps an index; modifications by WATCH, MULTI and EXEC.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "buf.h"
#include "ycsb.h"

#define REDIS_DEADLINE_S 20
#define INPUT_BYTES (1u << 20)

typedef struct Redis
{
	int fd;
	DorisBuf out;
	size_t start; /* of what is not yet parsed in `in` */
	size_t end;
	char in[INPUT_BYTES];
} Redis;

/* One element of a reply: +, -, :, $ or *; an array's elements follow as replies of their own. */
typedef struct Reply
{
	char type;
	long long number; /* value or length; -1: nil */
	const char *text; /* $: valid until the next one is read */
} Reply;

static YcsbResult broken(YcsbTarget *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(t->error, sizeof(t->error), fmt, args);
	va_end(args);
	return YCSB_FAILED;
}

static void redis_close(YcsbTarget *t)
{
	Redis *r = t->own;

	if (r == NULL)
		return;
	if (r->fd >= 0)
		close(r->fd);
	buf_free(&r->out);
	free(r);
	t->own = NULL;
}

/* ---- requests ---- */
static void put_count(DorisBuf *b, char type, size_t n)
{
	char text[32];

	buf_put_raw(b, text, (size_t) snprintf(text, sizeof(text), "%c%zu\r\n", type, n));
}

static void put_word(DorisBuf *b, const char *word, size_t len)
{
	put_count(b, '$', len);
	buf_put_raw(b, word, len);
	buf_put_raw(b, "\r\n", 2);
}

/* A command of words, NULL at the end. */
static void put_command(Redis *r, ...)
{
	const char *word;
	size_t n = 0;
	va_list args;

	va_start(args, r);
	while (va_arg(args, const char *) != NULL)
		n++;
	va_end(args);
	put_count(&r->out, '*', n);
	va_start(args, r);
	while ((word = va_arg(args, const char *)) != NULL)
		put_word(&r->out, word, strlen(word));
	va_end(args);
}

static void put_row(YcsbTarget *t, const char *key)
{
	Redis *r = t->own;

	put_count(&r->out, '*', 2 + 2 * YCSB_FIELDS);
	put_word(&r->out, "HSET", 4);
	put_word(&r->out, key, strlen(key));
	for (int i = 0; i < YCSB_FIELDS; i++)
	{
		char name[16];

		put_word(&r->out, name, (size_t) snprintf(name, sizeof(name), "field%d", i));
		put_word(&r->out, ycsb_field(&t->seed), YCSB_FIELD_BYTES);
	}
}

static YcsbResult flush(YcsbTarget *t)
{
	Redis *r = t->own;
	size_t sent = 0;

	if (r->out.failed)
		return broken(t, "out of memory");
	while (sent < r->out.len)
	{
		ssize_t n = send(r->fd, r->out.data + sent, r->out.len - sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return broken(t, "cannot send to redis: %s", strerror(errno));
		sent += (size_t) n;
	}
	buf_reset(&r->out);
	return YCSB_OK;
}

/* ---- replies ---- */
static YcsbResult more_input(YcsbTarget *t)
{
	Redis *r = t->own;
	ssize_t n;

	if (r->start > 0)
	{
		memmove(r->in, r->in + r->start, r->end - r->start);
		r->end -= r->start;
		r->start = 0;
	}
	if (r->end == INPUT_BYTES)
		return broken(t, "redis sent too long a reply");
	do
		n = recv(r->fd, r->in + r->end, INPUT_BYTES - r->end, 0);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return broken(t, "no reply from redis: %s",
					  n == 0 ? "it has closed the connection" : strerror(errno));
	r->end += (size_t) n;
	return YCSB_OK;
}

static YcsbResult read_reply(YcsbTarget *t, Reply *out)
{
	Redis *r = t->own;
	char *line_end;
	size_t needed;

	while ((line_end = memchr(r->in + r->start, '\n', r->end - r->start)) == NULL)
		if (more_input(t) != YCSB_OK)
			return YCSB_FAILED;
	out->type = r->in[r->start];
	out->number = strtoll(r->in + r->start + 1, NULL, 10);
	out->text = NULL;
	if (out->type == '-')
		return broken(t, "redis: %.*s", (int) (line_end - r->in - (long) r->start),
					  r->in + r->start);
	needed = (size_t) (line_end - r->in) + 1 - r->start;
	if (out->type == '$' && out->number >= 0)
	{
		needed += (size_t) out->number + 2;
		while (r->end - r->start < needed)
			if (more_input(t) != YCSB_OK)
				return YCSB_FAILED;
		out->text = r->in + r->start + needed - 2 - (size_t) out->number;
	}
	r->start += needed;
	return YCSB_OK;
}

/* Replies that only have to be no errors; with the elements of arrays. */
static YcsbResult skip_replies(YcsbTarget *t, long long n)
{
	for (; n > 0; n--)
	{
		Reply reply;

		if (read_reply(t, &reply) != YCSB_OK)
			return YCSB_FAILED;
		if (reply.type == '*' && reply.number > 0)
			n += reply.number;
	}
	return YCSB_OK;
}

/* HGETALL's reply. */
static YcsbResult read_row(YcsbTarget *t)
{
	Reply reply;
	long long n;

	if (read_reply(t, &reply) != YCSB_OK)
		return YCSB_FAILED;
	n = reply.number;
	for (long long i = 0; i < n; i++)
	{
		if (read_reply(t, &reply) != YCSB_OK)
			return YCSB_FAILED;
		if (i % 2 == 1 && reply.number != YCSB_FIELD_BYTES)
			return broken(t, "a field has %lld bytes", reply.number);
	}
	if (n == 0)
		return YCSB_MISSING;
	return n == 2 * YCSB_FIELDS ? YCSB_OK : broken(t, "a row has %lld fields", n / 2);
}

/* ---- operations ---- */
static YcsbResult redis_open(YcsbTarget *t)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
								  .sin_port = htons((uint16_t) t->config->port),
								  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval deadline = {.tv_sec = REDIS_DEADLINE_S};
	int on = 1;
	Redis *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return broken(t, "out of memory");
	t->own = r;
	r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (r->fd < 0 || connect(r->fd, (struct sockaddr *) &address, sizeof(address)) != 0 ||
		setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
		setsockopt(r->fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)) != 0 ||
		setsockopt(r->fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof(deadline)) != 0)
		return broken(t, "no connection to redis: %s", strerror(errno));
	if (!t->config->ranges)
		return YCSB_OK;
	put_command(r, "SELECT", "1", NULL); /* the same keys are in the other database */
	return flush(t) == YCSB_OK ? skip_replies(t, 1) : YCSB_FAILED;
}

static YcsbResult redis_read(YcsbTarget *t, uint64_t row)
{
	char key[24];

	ycsb_key(row, key);
	put_command(t->own, "HGETALL", key, NULL);
	return flush(t) == YCSB_OK ? read_row(t) : YCSB_FAILED;
}

static YcsbResult redis_put(YcsbTarget *t, uint64_t first, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
	{
		char key[24];
		char part[24];
		char score[24];

		ycsb_key(first + i, key);
		put_row(t, key);
		if (!t->config->ranges)
			continue;
		ycsb_part(first + i, part);
		snprintf(score, sizeof(score), "%llu", (unsigned long long) (first + i));
		put_command(t->own, "ZADD", part, score, key, NULL);
	}
	if (flush(t) != YCSB_OK)
		return YCSB_FAILED;
	return skip_replies(t, t->config->ranges ? 2 * (long long) n : n);
}

static YcsbResult redis_scan(YcsbTarget *t, uint64_t row, uint32_t n)
{
	char part[24];
	char score[24];
	char limit[24];
	Reply reply;
	long long found;

	ycsb_part(row, part);
	snprintf(score, sizeof(score), "%llu", (unsigned long long) row);
	snprintf(limit, sizeof(limit), "%u", n);
	put_command(t->own, "ZRANGEBYSCORE", part, score, "+inf", "LIMIT", "0", limit, NULL);
	if (flush(t) != YCSB_OK || read_reply(t, &reply) != YCSB_OK)
		return YCSB_FAILED;
	found = reply.number;
	for (long long i = 0; i < found; i++)
	{
		char key[24];

		if (read_reply(t, &reply) != YCSB_OK)
			return YCSB_FAILED;
		if (reply.text == NULL || reply.number >= (long long) sizeof(key))
			return broken(t, "redis names a strange row");
		memcpy(key, reply.text, (size_t) reply.number);
		key[reply.number] = '\0';
		put_command(t->own, "HGETALL", key, NULL);
	}
	if (found == 0)
		return YCSB_MISSING;
	if (flush(t) != YCSB_OK)
		return YCSB_FAILED;
	for (long long i = 0; i < found; i++)
	{
		YcsbResult result = read_row(t);

		if (result != YCSB_OK)
			return result;
	}
	return YCSB_OK;
}

static YcsbResult redis_modify(YcsbTarget *t, uint64_t row)
{
	char key[24];

	ycsb_key(row, key);
	for (;;)
	{
		YcsbResult result;
		Reply reply;

		put_command(t->own, "WATCH", key, NULL);
		put_command(t->own, "HGETALL", key, NULL);
		if (flush(t) != YCSB_OK || skip_replies(t, 1) != YCSB_OK)
			return YCSB_FAILED;
		result = read_row(t);
		if (result != YCSB_OK)
			return result;
		put_command(t->own, "MULTI", NULL);
		put_row(t, key);
		put_command(t->own, "EXEC", NULL);
		if (flush(t) != YCSB_OK || skip_replies(t, 2) != YCSB_OK ||
			read_reply(t, &reply) != YCSB_OK)
			return YCSB_FAILED;
		if (reply.number >= 0)
			return skip_replies(t, reply.number);
		t->conflicts++;
	}
}

const YcsbDriver ycsb_redis = {"redis",	  redis_open, redis_close, redis_read,
							   redis_put, redis_scan, redis_modify};
