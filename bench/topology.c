/*
 * topology.c: what the largest topology costs: 2 groups of 300 nodes, V = 65536.
 *
 * Placing vnodes, encoding and signing, decoding and verifying, routing a key, and fetching it through the real transport
 * with sealed messages. Two forms: at rest, and with every copy between three nodes and changed in an epoch of its own, the
 * longest there is. Best of several runs. Exit code 1: something failed, is over a limit, or takes a second.
 */
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sodium.h>
#include <time.h>

#include "envelope.h"
#include "large_topology.h"
#include "msg.h"
#include "transport.h"

#define TOO_SLOW_US 1000000
#define PATIENCE_MS 10000
#define KEYS 1000000

static int runs = 10;
static DorisKeys keys;
static bool failed;

static void fail(const char *what, const DorisError *err)
{
	fprintf(stderr, "bench/topology: %s: %s\n", what, err->message);
	exit(1);
}

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

static void tell(const char *what, double us)
{
	printf("  %-48s %10.0f us%s\n", what, us, us >= TOO_SLOW_US ? "  TOO SLOW" : "");
	failed = failed || us >= TOO_SLOW_US;
}

static double least(double a, double b)
{
	return a < b ? a : b;
}

/* ---- placing ---- */

typedef struct Question
{
	const char *what;
	uint32_t before; /* nodes that own everything now; 0: nobody does */
	uint32_t nodes;
	uint32_t emptied; /* the last of them */
} Question;

static void measure_placing(void)
{
	static const Question questions[] = {{"the first placement, 300 nodes", 0, 300, 0},
										 {"299 nodes + 1", 299, 300, 0},
										 {"150 nodes + 150", 150, 300, 0},
										 {"300 nodes - 100", 300, 300, 100}};
	static uint32_t owner[LARGE_VNODES];
	BalanceMap map = {owner, LARGE_VNODES, LARGE_GROUPS, 1};
	BalanceNode nodes[LARGE_NODES];

	printf("placement of one group, V = %d\n", LARGE_VNODES);
	for (size_t q = 0; q < sizeof(questions) / sizeof(*questions); q++)
	{
		const Question *is = &questions[q];
		BalanceMove *moves;
		uint32_t n = 0;
		uint32_t minimum;
		double best = 1e12;
		char line[128];
		DorisError err;

		for (uint32_t v = 0; v < LARGE_VNODES; v++)
			owner[v] = is->before == 0 ? 0 : 1 + (v + v / is->before) % is->before;
		for (uint32_t i = 0; i < is->nodes; i++)
			nodes[i] = (BalanceNode){i + 1, i < is->nodes - is->emptied};
		for (int run = 0; run < runs; run++)
		{
			double from = now_us();

			if (balance_moves(&map, nodes, is->nodes, &moves, &n, &err) != DORIS_OK)
				fail(is->what, &err);
			best = least(best, now_us() - from);
			free(moves);
		}
		if (balance_minimum(&map, nodes, is->nodes, &minimum, &err) != DORIS_OK)
			fail(is->what, &err);
		snprintf(line, sizeof(line), "%s: %u moves, minimum %u", is->what, n, minimum);
		tell(line, best);
		failed = failed || n != minimum;
	}
}

/* ---- through the transport ---- */

typedef struct Server
{
	Listener *listener;
	const Topology *t;
} Server;

/* Answers every request as an admin or node answers TOPOLOGY_GET. */
static void *serve(void *arg)
{
	Server *s = arg;
	DorisBuf body;
	DorisBuf frame;
	DorisBuf scratch;
	Incoming in;
	DorisError err;

	buf_init(&body);
	buf_init(&frame);
	buf_init(&scratch);
	while (listener_receive(s->listener, -1, &in, &err) == DORIS_OK)
	{
		Envelope e;
		DorisBytes asked;

		if (envelope_read(&keys, in.message.data, in.message.len, &e, &asked, &scratch, &err) !=
			DORIS_OK)
			fail("request", &err);
		buf_reset(&body);
		reply_put_ok(&body);
		buf_put_bytes(&body, s->t->encoded, s->t->encoded_len);
		e.type |= DORIS_REPLY;
		e.deadline_ms = 0;
		if (envelope_write(&keys, &e, (DorisBytes){body.data, body.len}, &frame, &err) != DORIS_OK)
			fail("reply", &err);
		listener_reply(s->listener, &in, (DorisBytes){frame.data, frame.len});
	}
	buf_free(&body);
	buf_free(&frame);
	buf_free(&scratch);
	return NULL;
}

static void wait_readable(int fd, const char *what)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	if (poll(&p, 1, PATIENCE_MS) == 1)
		return;
	fprintf(stderr, "bench/topology: %s: nothing for %d s\n", what, PATIENCE_MS / 1000);
	exit(1);
}

/* Asks, opens the reply, decodes and verifies what it brought, as a client does. Returns the frame's length. */
static size_t fetch(Channel *ch, DorisBuf *frame, DorisBuf *scratch)
{
	Envelope e = {.format = DORIS_FORMAT, .type = MSG_TOPOLOGY_GET, .request = 1};
	TopologyGet get = {0};
	DorisBuf body;
	DorisBytes reply;
	DorisBytes in;
	DorisCursor c;
	Topology *t;
	size_t len;
	DorisError err;

	buf_init(&body);
	topology_get_encode(&body, &get);
	if (envelope_write(&keys, &e, (DorisBytes){body.data, body.len}, frame, &err) != DORIS_OK ||
		channel_send(ch, (DorisBytes){frame->data, frame->len}, &err) != DORIS_OK)
		fail("asking", &err);
	buf_free(&body);
	wait_readable(channel_receive_fd(ch), "the reply");
	if (channel_receive(ch, &reply, &err) != DORIS_OK ||
		envelope_read(&keys, reply.data, reply.len, &e, &in, scratch, &err) != DORIS_OK)
		fail("the reply", &err);
	len = reply.len;
	c = cursor_of(in.data, in.len);
	if (reply_read_status(&c, &err) != DORIS_OK)
		fail("the reply", &err);
	in = cursor_bytes(&c);
	if (topology_decode(in.data, in.len, keys.public_key, &t, &err) != DORIS_OK)
		fail("the topology in the reply", &err);
	topology_unref(t);
	channel_free_reply(&reply);
	return len;
}

static Listener *listen_somewhere(char *address, size_t size)
{
	Listener *l;
	DorisError err;

	for (unsigned i = 0; i < 100; i++)
	{
		snprintf(address, size, "tcp://127.0.0.1:%u", 20000 + randombytes_uniform(10000));
		if (listener_open(address, &l, &err) == DORIS_OK)
			return l;
	}
	fail("no port", &err);
	return NULL;
}

static void measure_fetching(const Topology *t)
{
	char address[64];
	Server s = {listen_somewhere(address, sizeof(address)), t};
	pthread_t thread;
	Channel *ch;
	DorisBuf frame;
	DorisBuf scratch;
	double best = 1e12;
	size_t len = 0;
	DorisError err;

	buf_init(&frame);
	buf_init(&scratch);
	if (pthread_create(&thread, NULL, serve, &s) != 0)
	{
		fputs("bench/topology: no thread\n", stderr);
		exit(1);
	}
	if (channel_open(address, &ch, &err) != DORIS_OK)
		fail(address, &err);
	wait_readable(channel_send_fd(ch), "connecting");
	for (int run = 0; run < runs; run++)
	{
		double from = now_us();

		len = fetch(ch, &frame, &scratch);
		best = least(best, now_us() - from);
	}
	tell("fetch over loopback, sealed, decode, verify", best);
	printf("  %-48s %10zu bytes, limit %u (%.1f %%)\n", "message", len, DORIS_MAX_MESSAGE,
		   100.0 * (double) len / DORIS_MAX_MESSAGE);
	channel_close(ch);
	listener_shutdown(s.listener);
	pthread_join(thread, NULL);
	listener_close(s.listener);
	buf_free(&frame);
	buf_free(&scratch);
}

/* ---- the topology itself ---- */

/* A key to its vnode, and from there to who is read and who is written to. */
static void measure_routing(const Topology *t)
{
	uint64_t sum = 0;
	double best[3] = {1e12, 1e12, 1e12};

	for (int run = 0; run < (runs > 3 ? 3 : runs); run++)
	{
		double at[4];

		at[0] = now_us();
		for (uint64_t k = 0; k < KEYS; k++)
			sum += route_vnode((DorisBytes){(const uint8_t *) &k, sizeof(k)}, t->vnodes);
		at[1] = now_us();
		for (uint32_t k = 0; k < KEYS; k++)
		{
			const TopoNode *readers[DORIS_MAX_GROUPS];

			sum += (uint64_t) topology_readers(t, k * 40503u % t->vnodes, 0, readers);
		}
		at[2] = now_us();
		for (uint32_t k = 0; k < KEYS; k++)
		{
			TopoTarget targets[DORIS_MAX_TARGETS];

			sum += (uint64_t) topology_targets(t, k * 40503u % t->vnodes, targets);
		}
		at[3] = now_us();
		for (int i = 0; i < 3; i++)
			best[i] = least(best[i], (at[i + 1] - at[i]) * 1000 / KEYS);
	}
	printf("  %-48s %10.0f ns  (md5 %.0f, readers %.0f)\n", "route a key to whom to read",
		   best[0] + best[1], best[0], best[1]);
	printf("  %-48s %10.0f ns  (md5 %.0f, targets %.0f)\n", "route a key to whom to write",
		   best[0] + best[2], best[0], best[2]);
	if (sum == 0)
		failed = true; /* and the loops stay */
}

static void measure_topology(bool moving)
{
	double seal = 1e12;
	double decode = 1e12;
	double clone = 1e12;
	DorisError err;
	Topology *t = large_topology(moving, &err);

	if (t == NULL)
		fail("the topology", &err);
	printf("topology of %d groups x %d nodes, V = %d, %s\n", LARGE_GROUPS, LARGE_NODES,
		   LARGE_VNODES, moving ? "every copy moving" : "at rest");
	for (int run = 0; run < runs; run++)
	{
		double from = now_us();
		Topology *other = topology_clone(t);

		clone = least(clone, now_us() - from);
		if (other == NULL)
		{
			fputs("bench/topology: out of memory\n", stderr);
			exit(1);
		}
		topology_unref(other);
		from = now_us();
		if (topology_seal(t, keys.secret, &err) != DORIS_OK)
			fail("sealing", &err);
		seal = least(seal, now_us() - from);
		from = now_us();
		if (topology_decode(t->encoded, t->encoded_len, keys.public_key, &other, &err) != DORIS_OK)
			fail("decoding", &err);
		decode = least(decode, now_us() - from);
		topology_unref(other);
	}
	printf("  %-48s %10zu bytes\n", "encoded", t->encoded_len);
	tell("clone, for the next epoch", clone);
	tell("encode, hash, sign", seal);
	tell("decode, hash, verify", decode);
	measure_fetching(t);
	measure_routing(t);
	topology_unref(t);
}

static void usage(FILE *to)
{
	fputs("usage: bench/topology [options]\n"
		  "  --runs N  of each measurement; the best counts (10)\n"
		  "Prints what the largest topology costs: bytes and microseconds.\n",
		  to);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"runs", required_argument, NULL, 'r'},
											{"help", no_argument, NULL, 'h'},
											{NULL, 0, NULL, 0}};
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		if (o == 'h')
		{
			usage(stdout);
			return 0;
		}
		if (o == 'r')
			runs = atoi(optarg);
		if (o != 'r' || runs < 1)
		{
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc)
	{
		usage(stderr);
		return 2;
	}
	if (sodium_init() < 0)
		return 1;
	keys.present = keys.has_secret = true;
	randombytes_buf(keys.cluster, sizeof(keys.cluster));
	crypto_sign_keypair(keys.public_key, keys.secret);
	measure_placing();
	measure_topology(false);
	measure_topology(true);
	keys_wipe(&keys);
	return failed ? 1 : 0;
}
