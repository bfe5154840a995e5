/*
 * echo.c: a SQL function that sends one message to one peer and waits for one back, and does nothing else: the ceiling for what
 * a point select can reach over this transport.
 *
 * The channel is the one libdoris uses (wire/transport.h). It waits as the extension does (docs/decisions/0004): on one kept set with
 * latch, postmaster and socket. As the socket never changes here, it is in the set itself. With `spin` it
 * first looks for the reply for as long as libdoris does (client/wait.c) before it goes to sleep.
 *
 * Built and loaded by bench/fdw; not installed.
 */
#include "postgres.h"

#include <time.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/builtins.h"

#include "compat.h"
#include "transport.h"

#define ECHO_DEADLINE_MS 10000
#define ECHO_SPIN_US 130 /* SPIN_US of client/wait.c */

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(bench_echo);

/* Of this backend; its address is that of the first call. */
static Channel *channel = NULL;
static WaitEventSet *set = NULL;

static void echo_fail(const DorisError *err)
{
	ereport(ERROR, errcode(ERRCODE_CONNECTION_FAILURE), errmsg("%s", err->message));
}

static uint64 now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64) t.tv_sec * 1000000 + (uint64) t.tv_nsec / 1000;
}

static void echo_connect(const char *address)
{
	DorisError err;

	if (channel == NULL && channel_open(address, &channel, &err) != DORIS_OK)
		echo_fail(&err);
	for (int tries = 0; channel_state(channel) != 1; tries++)
	{
		if (tries == ECHO_DEADLINE_MS)
			ereport(ERROR, errcode(ERRCODE_CONNECTION_FAILURE),
					errmsg("no connection to %s", address));
		CHECK_FOR_INTERRUPTS();
		pg_usleep(1000);
	}
	set = compat_create_wait_event_set(3);
	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(set, WL_SOCKET_READABLE, channel_receive_fd(channel), NULL, NULL);
}

/* True: the reply is there. */
static bool echo_receive(DorisBytes *reply)
{
	DorisError err;
	DorisStatus st = channel_receive(channel, reply, &err);

	if (st != DORIS_OK && st != DORIS_TIMEOUT)
		echo_fail(&err);
	return st == DORIS_OK;
}

static bool echo_spin(DorisBytes *reply)
{
	uint64 end = now_us() + ECHO_SPIN_US;

	do
	{
		if (echo_receive(reply))
			return true;
	} while (now_us() < end);
	return false;
}

static void echo_wait(DorisBytes *reply)
{
	uint64 until = now_us() + ECHO_DEADLINE_MS * UINT64CONST(1000);

	while (!echo_receive(reply))
	{
		WaitEvent event;

		if (now_us() > until)
			ereport(ERROR, errcode(ERRCODE_CONNECTION_FAILURE), errmsg("no echo in time"));
		if (WaitEventSetWait(set, ECHO_DEADLINE_MS, &event, 1, PG_WAIT_EXTENSION) == 1 &&
			(event.events & WL_LATCH_SET))
		{
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
	}
}

/* bench_echo(address text, request_bytes int, reply_bytes int, spin boolean) returns int: the reply's length */
Datum bench_echo(PG_FUNCTION_ARGS)
{
	static uint8 message[8192];
	int32 request = PG_GETARG_INT32(1);
	uint32 wanted = (uint32) PG_GETARG_INT32(2);
	DorisBytes reply = {0};
	DorisError err;
	int32 len;

	if (request < (int32) sizeof(wanted) || request > (int32) sizeof(message))
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a request has 4 to %zu bytes", sizeof(message)));
	if (set == NULL)
		echo_connect(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	memcpy(message, &wanted, sizeof(wanted));
	if (channel_send(channel, (DorisBytes){message, (size_t) request}, &err) != DORIS_OK)
		echo_fail(&err);
	if (!PG_GETARG_BOOL(3) || !echo_spin(&reply))
		echo_wait(&reply);
	len = (int32) reply.len;
	channel_free_reply(&reply);
	PG_RETURN_INT32(len);
}
