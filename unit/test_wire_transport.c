/* links: wire */
/*
 * test_wire_transport.c: channels and listeners over loopback: round trips, sizes, and what a
 * channel tells when its peer is not there, dies, or comes back.
 *
 * Called with an address, the program is an echoing peer of its own, to be killed.
 */
#include "test_wire.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "envelope.h"
#include "transport.h"
#include "version.h"

#define PATIENCE_MS 10000
#define NWORKERS 4

static char address[64];

static void choose_address(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int s = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(s >= 0);
	assert_int_equal(bind(s, (struct sockaddr *) &a, sizeof(a)), 0);
	assert_int_equal(getsockname(s, (struct sockaddr *) &a, &len), 0);
	close(s);
	snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", ntohs(a.sin_port));
}

static int setup(void **state)
{
	(void) state;
	choose_address();
	return 0;
}

/* ---- peers ---- */

static void *echo(void *arg)
{
	Listener *l = arg;
	Incoming in;
	DorisError err;

	while (listener_receive(l, -1, &in, &err) == DORIS_OK)
		listener_reply(l, &in, in.message);
	return (void *) (intptr_t) err.code;
}

static int serve(const char *where)
{
	pthread_t workers[NWORKERS];
	Listener *l;
	DorisError err;

	if (listener_open(where, &l, &err) != DORIS_OK)
	{
		fprintf(stderr, "%s\n", err.message);
		return 1;
	}
	for (int i = 0; i < NWORKERS; i++)
		pthread_create(&workers[i], NULL, echo, l);
	pause();
	return 0;
}

static pid_t start_peer(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nothing running */
		execl("/proc/self/exe", "peer", address, NULL);
		_exit(127);
	}
	return pid;
}

static void kill_peer(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Returns when all its threads stand still: until then they may still answer. */
static void stop_peer(pid_t pid)
{
	int status;

	kill(pid, SIGSTOP);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
}

/* ---- channels ---- */

static Channel *open_channel(void)
{
	Channel *ch;
	DorisError err;

	assert_int_equal(channel_open(address, &ch, &err), DORIS_OK);
	return ch;
}

/* Milliseconds until the channel's state is that. */
static uint64_t await_state(Channel *ch, int wanted)
{
	uint64_t start = clock_mono_ms();

	while (channel_state(ch) != wanted)
	{
		if (clock_mono_ms() - start > PATIENCE_MS)
			fail_msg("the channel is in state %d, not %d", channel_state(ch), wanted);
		usleep(200);
	}
	return clock_mono_ms() - start;
}

static Channel *open_connected(void)
{
	Channel *ch = open_channel();

	await_state(ch, 1);
	return ch;
}

static void receive(Channel *ch, DorisBytes *reply)
{
	uint64_t start = clock_mono_ms();
	DorisError err;

	for (;;)
	{
		struct pollfd fd = {channel_receive_fd(ch), POLLIN, 0};
		DorisStatus status = channel_receive(ch, reply, &err);

		if (status == DORIS_OK)
			return;
		if (status != DORIS_TIMEOUT || clock_mono_ms() - start > PATIENCE_MS)
			fail_msg("no reply: %s", err.message);
		poll(&fd, 1, 100);
	}
}

static void round_trip(Channel *ch, size_t len)
{
	uint8_t *data = malloc(len + 1);
	DorisBytes reply;
	DorisError err;

	assert_non_null(data);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t) (i * 7 + len);
	assert_int_equal(channel_send(ch, (DorisBytes){data, len}, &err), DORIS_OK);
	receive(ch, &reply);
	assert_int_equal(reply.len, len);
	assert_int_equal(memcmp(reply.data, data, len), 0);
	channel_free_reply(&reply);
	assert_null(reply.data);
	free(data);
}

/* ---- tests ---- */

static void all_sizes_pass(void **state)
{
	DorisBytes over = {calloc(1, DORIS_MAX_MESSAGE + 1), DORIS_MAX_MESSAGE + 1};
	pid_t peer = start_peer();
	Channel *ch = open_connected();
	DorisError err;

	(void) state;
	round_trip(ch, 0);
	for (int i = 0; i < 1000; i++)
		round_trip(ch, 100);
	round_trip(ch, 1 << 20);
	round_trip(ch, 40 << 20);
	round_trip(ch, DORIS_MAX_MESSAGE);
	assert_int_equal(channel_send(ch, over, &err), DORIS_TOO_BIG);
	round_trip(ch, 100);
	channel_close(ch);
	kill_peer(peer);
	free((void *) over.data);
}

static void a_refused_connection_shows(void **state)
{
	Channel *ch = open_channel();
	DorisError err;

	(void) state;
	assert_in_range(await_state(ch, -1), 0, 1000);
	assert_int_equal(channel_send(ch, BYTES("x"), &err), DORIS_UNREACHABLE);
	channel_close(ch);
	channel_close(NULL);
}

static void a_killed_peer_shows_and_comes_back(void **state)
{
	pid_t peer = start_peer();
	Channel *ch = open_connected();
	DorisError err;

	(void) state;
	round_trip(ch, 10);
	kill_peer(peer);
	assert_in_range(await_state(ch, -1), 0, 500);
	assert_int_equal(channel_send(ch, BYTES("x"), &err), DORIS_UNREACHABLE);
	peer = start_peer();
	await_state(ch, 1);
	round_trip(ch, 10); /* and what was refused above was not sent after all */
	channel_close(ch);
	kill_peer(peer);
}

/* A new connection must not hide that the one with the request in flight is gone. */
static void a_lost_request_shows(void **state)
{
	pid_t peer = start_peer();
	Channel *ch = open_connected();
	Channel *other;
	DorisBytes reply;
	DorisError err;

	(void) state;
	round_trip(ch, 10);
	stop_peer(peer);
	assert_int_equal(channel_send(ch, BYTES("lost"), &err), DORIS_OK);
	assert_int_equal(channel_state(ch), 1); /* nobody can know yet */
	kill_peer(peer);
	await_state(ch, -1);
	peer = start_peer();
	other = open_connected();
	usleep(700000); /* longer than the longest pause before connecting again */
	assert_int_equal(channel_state(ch), -1);
	assert_int_equal(channel_receive(ch, &reply, &err), DORIS_TIMEOUT);
	round_trip(ch, 10);
	assert_int_equal(channel_state(ch), 1);
	channel_close(ch);
	channel_close(other);
	kill_peer(peer);
}

/* The reply to a request that was given up is never taken for that of the next. */
static void a_late_reply_is_not_the_next_ones(void **state)
{
	pid_t peer = start_peer();
	Channel *ch = open_connected();
	DorisError err;

	(void) state;
	stop_peer(peer);
	assert_int_equal(channel_send(ch, BYTES("given up"), &err), DORIS_OK);
	assert_int_equal(channel_send(ch, BYTES("the next"), &err), DORIS_UNREACHABLE);
	kill(peer, SIGCONT);
	await_state(ch, 1);
	for (int i = 1; i < 100; i++)
		round_trip(ch, (size_t) i);
	channel_close(ch);
	kill_peer(peer);
}

static void shutdown_wakes_every_thread(void **state)
{
	pthread_t workers[NWORKERS];
	Listener *l;
	Incoming in;
	DorisError err;
	uint64_t start;

	(void) state;
	assert_int_equal(listener_open(address, &l, &err), DORIS_OK);
	for (int i = 0; i < NWORKERS; i++)
		assert_int_equal(pthread_create(&workers[i], NULL, echo, l), 0);
	usleep(50000);
	start = clock_mono_ms();
	listener_shutdown(l);
	for (int i = 0; i < NWORKERS; i++)
	{
		void *ended;

		pthread_join(workers[i], &ended);
		assert_int_equal((intptr_t) ended, DORIS_CANCELLED);
	}
	assert_in_range(clock_mono_ms() - start, 0, 1000);
	assert_int_equal(listener_receive(l, -1, &in, &err), DORIS_CANCELLED);
	assert_int_equal(listener_receive(l, 0, &in, &err), DORIS_CANCELLED);
	listener_close(l);
}

/* Threads of this one answer "away" after AWAY_MS, with or without passing the lead on before, and all else at once. */
#define AWAY_MS 600

static void *sometimes_away(void *arg)
{
	Listener *l = arg;
	Incoming in;
	DorisError err;

	while (listener_receive(l, -1, &in, &err) == DORIS_OK)
	{
		if (in.message.data[0] == 'p')
			listener_pass(l);
		if (in.message.data[0] != 'q')
			usleep(AWAY_MS * 1000);
		listener_reply(l, &in, in.message);
	}
	return (void *) (intptr_t) err.code;
}

/*
 * While all threads but one are away, whether they passed the lead on or not, the last one serves; when all are, it is served
 * as soon as one comes back; and no thread that is away when the end comes holds up the others.
 */
static void others_serve_while_one_is_away(void **state)
{
	for (int passes = 0; passes < 2; passes++)
	{
		pthread_t workers[NWORKERS];
		Channel *away[NWORKERS];
		Channel *quick;
		const uint8_t slow = passes ? 'p' : 'a';
		const uint8_t fast = 'q';
		Listener *l;
		DorisBytes reply;
		DorisError err;
		uint64_t start;

		(void) state;
		choose_address();
		assert_int_equal(listener_open(address, &l, &err), DORIS_OK);
		for (int i = 0; i < NWORKERS; i++)
			assert_int_equal(pthread_create(&workers[i], NULL, sometimes_away, l), 0);
		quick = open_connected();
		for (int i = 0; i < NWORKERS; i++)
			away[i] = open_connected();
		for (int i = 0; i < NWORKERS; i++)
		{
			start = clock_mono_ms();
			assert_int_equal(channel_send(quick, (DorisBytes){&fast, 1}, &err), DORIS_OK);
			receive(quick, &reply);
			channel_free_reply(&reply);
			assert_in_range(clock_mono_ms() - start, 0, AWAY_MS / 3);
			assert_int_equal(channel_send(away[i], (DorisBytes){&slow, 1}, &err), DORIS_OK);
		}
		start = clock_mono_ms();
		assert_int_equal(channel_send(quick, (DorisBytes){&fast, 1}, &err), DORIS_OK);
		receive(quick, &reply);
		channel_free_reply(&reply);
		assert_in_range(clock_mono_ms() - start, 0, AWAY_MS + AWAY_MS / 3);
		for (int i = 0; i < NWORKERS; i++)
		{
			receive(away[i], &reply);
			channel_free_reply(&reply);
		}

		assert_int_equal(channel_send(away[0], (DorisBytes){&slow, 1}, &err), DORIS_OK);
		usleep(50000);
		start = clock_mono_ms();
		listener_shutdown(l);
		for (int i = 0; i < NWORKERS; i++)
			pthread_join(workers[i], NULL);
		assert_in_range(clock_mono_ms() - start, 0, AWAY_MS + AWAY_MS / 3);
		channel_close(quick);
		for (int i = 0; i < NWORKERS; i++)
			channel_close(away[i]);
		listener_close(l);
	}
}

static void a_listener_waits_as_long_as_told(void **state)
{
	Listener *l;
	Listener *second;
	Incoming in;
	DorisError err;
	uint64_t start;

	(void) state;
	assert_int_equal(listener_open(address, &l, &err), DORIS_OK);
	start = clock_mono_ms();
	assert_int_equal(listener_receive(l, 0, &in, &err), DORIS_TIMEOUT);
	assert_in_range(clock_mono_ms() - start, 0, 40);
	assert_int_equal(listener_receive(l, 50, &in, &err), DORIS_TIMEOUT);
	assert_in_range(clock_mono_ms() - start, 49, 2000);
	assert_int_equal(listener_open(address, &second, &err), DORIS_BAD_ARGUMENT);
	assert_non_null(strstr(err.message, address));
	assert_null(second);
	listener_close(l);
	listener_close(NULL);
}

typedef struct Caller
{
	pthread_t thread;
	int calls;
} Caller;

static void *call_often(void *arg)
{
	Caller *caller = arg;
	Channel *ch = open_connected();

	for (int i = 0; i < 500; i++, caller->calls++)
		round_trip(ch, (size_t) (i * 37 % 20000));
	channel_close(ch);
	return NULL;
}

/* Every reply finds its own asker, whichever thread sends it. */
static void many_askers_at_once(void **state)
{
	pid_t peer = start_peer();
	Caller callers[8];

	(void) state;
	for (int i = 0; i < 8; i++)
	{
		callers[i].calls = 0;
		assert_int_equal(pthread_create(&callers[i].thread, NULL, call_often, &callers[i]), 0);
	}
	for (int i = 0; i < 8; i++)
	{
		pthread_join(callers[i].thread, NULL);
		assert_int_equal(callers[i].calls, 500);
	}
	kill_peer(peer);
}

/* Requests kept while others are answered, dropped ones, askers that went away. */
static void replies_in_any_order(void **state)
{
	Listener *l;
	Channel *ch[3];
	Incoming in[3];
	DorisBytes reply;
	DorisError err;

	(void) state;
	assert_int_equal(listener_open(address, &l, &err), DORIS_OK);
	for (int i = 0; i < 3; i++)
	{
		uint8_t name = (uint8_t) ('0' + i);

		ch[i] = open_connected();
		assert_int_equal(channel_send(ch[i], (DorisBytes){&name, 1}, &err), DORIS_OK);
		assert_int_equal(listener_receive(l, PATIENCE_MS, &in[i], &err), DORIS_OK);
		assert_int_equal(in[i].message.data[0], name);
	}
	channel_close(ch[1]);
	usleep(50000);
	for (int i = 2; i >= 1; i--)
		listener_reply(l, &in[i], in[i].message);
	listener_drop(l, &in[0]);
	receive(ch[2], &reply);
	assert_int_equal(reply.data[0], '2');
	channel_free_reply(&reply);
	assert_int_equal(channel_receive(ch[0], &reply, &err), DORIS_TIMEOUT);
	channel_close(ch[0]);
	channel_close(ch[2]);
	listener_close(l);
}

/* Bytes that are not even nanomsg's, on the port of a listener that goes on serving. */
static void garbage_does_no_harm(void **state)
{
	pid_t peer = start_peer();
	Channel *ch = open_connected();

	(void) state;
	for (int i = 0; i < 20; i++)
	{
		struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		/* a good greeting of a REQ, then frames: too long, too short for a header, endless hops */
		static const uint8_t greeting[] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
		static const uint8_t too_long[] = {0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1};
		static const uint8_t too_short[] = {0, 0, 0, 0, 0, 0, 0, 2, 1, 2};
		uint8_t hops[8 + 64] = {0, 0, 0, 0, 0, 0, 0, 64};
		int s = socket(AF_INET, SOCK_STREAM, 0);

		a.sin_port = htons((uint16_t) atoi(strrchr(address, ':') + 1));
		assert_int_equal(connect(s, (struct sockaddr *) &a, sizeof(a)), 0);
		if (i % 4 == 0)
			(void) !write(s, "GET / HTTP/1.1\r\n\r\n", 18);
		else
			(void) !write(s, greeting, sizeof(greeting));
		if (i % 4 == 1)
			(void) !send(s, too_long, sizeof(too_long), MSG_NOSIGNAL);
		if (i % 4 == 2)
			(void) !send(s, too_short, sizeof(too_short), MSG_NOSIGNAL);
		if (i % 4 == 3)
			(void) !send(s, hops, sizeof(hops), MSG_NOSIGNAL);
		usleep(2000);
		close(s);
		round_trip(ch, 50);
	}
	channel_close(ch);
	assert_int_equal(waitpid(peer, NULL, WNOHANG), 0);
	kill_peer(peer);
}

static void addresses_are_checked(void **state)
{
	static const char *const good[] = {"tcp://127.0.0.1:1", "tcp://node-3.example.org:65535",
									   "tcp://[::1]:5000", "tcp://localhost:80", "tcp://*:5000"};
	static const char *const bad[] = {"",
									  "tcp://",
									  "127.0.0.1:5000",
									  "ipc:///tmp/x",
									  "tcp://127.0.0.1",
									  "tcp://127.0.0.1:",
									  "tcp://127.0.0.1:0",
									  "tcp://127.0.0.1:65536",
									  "tcp://127.0.0.1:-1",
									  "tcp://127.0.0.1:5000x",
									  "tcp://127.0.0.1:00000000080",
									  "tcp://:5000",
									  "tcp://a b:5000",
									  "tcp://::1:5000",
									  "tcp://[::1:5000",
									  "tcp://a;b:5000"};
	char too_long[300] = "tcp://";
	Channel *ch;
	Listener *l;
	DorisError err;

	(void) state;
	memset(too_long + 6, 'a', 200);
	strcat(too_long, ":1");
	assert_false(transport_address_valid(too_long));
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(transport_address_valid(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		assert_false(transport_address_valid(bad[i]));
		assert_false(transport_is_loopback(bad[i]));
		assert_int_equal(channel_open(bad[i], &ch, &err), DORIS_BAD_ARGUMENT);
		assert_int_equal(listener_open(bad[i], &l, &err), DORIS_BAD_ARGUMENT);
	}
	assert_true(transport_is_loopback("tcp://127.0.0.1:1"));
	assert_true(transport_is_loopback("tcp://127.8.9.10:1"));
	assert_true(transport_is_loopback("tcp://localhost:1"));
	assert_true(transport_is_loopback("tcp://[::1]:1"));
	assert_false(transport_is_loopback("tcp://128.0.0.1:1"));
	assert_false(transport_is_loopback("tcp://127.0.0.1.example.org:1"));
	assert_false(transport_is_loopback("tcp://*:1"));
	assert_false(transport_is_loopback("tcp://0.0.0.0:1"));
	assert_false(transport_is_loopback("tcp://example.org:1"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(all_sizes_pass, setup),
		cmocka_unit_test_setup(a_refused_connection_shows, setup),
		cmocka_unit_test_setup(a_killed_peer_shows_and_comes_back, setup),
		cmocka_unit_test_setup(a_lost_request_shows, setup),
		cmocka_unit_test_setup(a_late_reply_is_not_the_next_ones, setup),
		cmocka_unit_test_setup(shutdown_wakes_every_thread, setup),
		cmocka_unit_test_setup(others_serve_while_one_is_away, setup),
		cmocka_unit_test_setup(a_listener_waits_as_long_as_told, setup),
		cmocka_unit_test_setup(many_askers_at_once, setup),
		cmocka_unit_test_setup(replies_in_any_order, setup),
		cmocka_unit_test_setup(garbage_does_no_harm, setup),
		cmocka_unit_test(addresses_are_checked),
	};

	if (argc > 1)
		return serve(argv[1]);
	return cmocka_run_group_tests_name("wire: transport", tests, NULL, NULL);
}
