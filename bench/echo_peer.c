/*
 * echo_peer.c: the other end of bench/echo.c: answers each request with as many bytes as its first four say.
 *
 * It listens as doris_node does, with as many threads (4), until it is told to end by SIGTERM.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "transport.h"

#define THREADS 4
#define MOST 8192

static Listener *listener;

static void *answer(void *arg)
{
	uint8_t reply[MOST] = {0};
	DorisError err;
	Incoming in;
	DorisStatus st;

	(void) arg;
	while ((st = listener_receive(listener, -1, &in, &err)) == DORIS_OK || st == DORIS_TIMEOUT)
	{
		uint32_t wanted = 0;

		if (st == DORIS_TIMEOUT)
			continue;
		if (in.message.len >= sizeof(wanted))
			memcpy(&wanted, in.message.data, sizeof(wanted));
		listener_reply(listener, &in, (DorisBytes){reply, wanted > MOST ? MOST : wanted});
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	DorisError err;
	sigset_t signals;
	int started = 0;
	int got;

	if (argc != 2)
	{
		fputs("usage: echo_peer tcp://127.0.0.1:PORT\n", stderr);
		return 2;
	}
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	if (listener_open(argv[1], &listener, &err) != DORIS_OK)
	{
		fprintf(stderr, "echo_peer: %s\n", err.message);
		return 1;
	}
	while (started < THREADS && pthread_create(&threads[started], NULL, answer, NULL) == 0)
		started++;
	if (started == THREADS)
		(void) sigwait(&signals, &got);
	listener_shutdown(listener);
	for (int i = 0; i < started; i++)
		(void) pthread_join(threads[i], NULL);
	listener_close(listener);
	return started == THREADS ? 0 : 1;
}
