/*
 * transport_nanomsg.c: the transport over nanomsg 1.1.
 *
 * Channels are *raw* REQ sockets, because a cooked one never says "nothing was sent": it keeps a request that finds no
 * connection and sends it later, and sends one again by itself when the connection breaks. A raw one answers EAGAIN.
 * The request id that the protocol wants in front of every message is given here, and replies to other
 * requests are thrown away.
 *
 * Listeners are raw REP sockets, so that many threads may have requests in hand; the route back travels as control
 * data. A raw REP drops a reply when the connection is busy sending another: channels have one request
 * in flight, so that never happens to a well-behaved asker.
 *
 * nanomsg's calls are thread-safe, except nn_close of a socket in use: listener_close comes last.
 */
#include "transport.h"

#include <errno.h>
#include <nanomsg/nn.h>
#include <nanomsg/reqrep.h>
#include <nanomsg/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "envelope.h"
#include "topology.h"
#include "version.h"

#define SOCKET_BUFFER (512 * 1024)
#define RECONNECT_MS 20
#define RECONNECT_MAX_MS 500
#define MANY_PROCESSORS 4		/* nanomsg's thread has one, and more than one of ours */
#define LEAD_AWAY_MS 5			/* away for longer while messages lie there: it leads no more */
#define LEAD_IDLE_MS 20			/* while it is not away its deputy looks seldom */
#define REQUEST_BIT 0x80000000u /* marks the last word of the protocol's header */

/* Room for one SP header: our word and those of at most 8 hops, with nanomsg's own framing. */
typedef union Control
{
	struct nn_cmsghdr header; /* for its alignment */
	char bytes[128];
} Control;

struct Channel
{
	char address[DORIS_ADDRESS_MAX];
	int socket;
	int receive_fd;
	uint32_t request;		/* id of the one in flight, or the last */
	bool in_flight;			/* sent, no reply yet */
	bool was_connected;		/* seen at least once on this socket */
	uint64_t broken_before; /* connections broken when the request in flight was sent */
};

struct Listener
{
	char address[DORIS_ADDRESS_MAX];
	int socket;
	int receive_fd;
	int stop_fd; /* eventfd, readable for ever once shut down */

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t turn;  /* the lead is free, nobody looks after the leader, or it is shut down */
	bool stopping;
	bool spreads; /* there are processors for several threads at once */
	bool led;
	pthread_t leader;
	uint64_t away_since; /* when the leader left to work, in ms; 0: it waits for a message */
	int waiting;		 /* threads that wait for a turn */
	bool deputy;		 /* one of them looks after the leader */
};

/* ---- addresses ---- */

/* The host part of tcp://host:port without the brackets of IPv6; false when the address is malformed. */
static bool split_address(const char *address, char *host, size_t size, int *port)
{
	const char *start = address + 6;
	const char *colon;
	size_t len;
	long number;
	char *end;

	if (strncmp(address, "tcp://", 6) != 0 || strlen(address) >= DORIS_ADDRESS_MAX)
		return false;
	colon = strrchr(start, ':');
	if (colon == NULL || colon == start || colon[1] < '0' || colon[1] > '9')
		return false;
	number = strtol(colon + 1, &end, 10);
	if (*end != '\0' || end - colon > 6 || number < 1 || number > 65535)
		return false;
	len = (size_t) (colon - start);
	if (*start == '[')
	{
		if (len < 3 || start[len - 1] != ']')
			return false;
		start++;
		len -= 2;
	}
	else if (memchr(start, ':', len) != NULL)
		return false;
	if (len >= size)
		return false;
	memcpy(host, start, len);
	host[len] = '\0';
	if (strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%*") != len)
		return false;
	*port = (int) number;
	return true;
}

bool transport_address_valid(const char *address)
{
	char host[DORIS_ADDRESS_MAX];
	int port;

	return split_address(address, host, sizeof(host), &port);
}

bool transport_is_loopback(const char *address)
{
	char host[DORIS_ADDRESS_MAX];
	int port;
	int a, b, c, d;
	char more;

	if (!split_address(address, host, sizeof(host), &port))
		return false;
	if (strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0)
		return true;
	return sscanf(host, "%3d.%3d.%3d.%3d%c", &a, &b, &c, &d, &more) == 4 && a == 127;
}

/* ---- sockets ---- */

static DorisStatus socket_error(DorisError *err, const char *doing, const char *address)
{
	int e = nn_errno();
	DorisStatus code = e == EMFILE || e == ENOMEM ? DORIS_LIMIT : DORIS_IO;

	if (e == EADDRINUSE || e == ENODEV || e == EADDRNOTAVAIL || e == EINVAL)
		code = DORIS_BAD_ARGUMENT;
	doris_error(err, code, "cannot %s %s: %s", doing, address, nn_strerror(e));
	if (e == EMFILE)
		doris_hint(err, "A process may have 512 sockets.");
	else if (e == EADDRINUSE)
		doris_hint(err, "Another process listens there.");
	return code;
}

static bool set_int(int s, int level, int option, int value)
{
	return nn_setsockopt(s, level, option, &value, sizeof(value)) == 0;
}

/*
 * nanomsg's thread comes with the first socket and inherits how the caller is scheduled. It is woken by threads that still hold
 * the lock which it wants next; as a batch thread it lets them go on instead of taking their processor, only to wait for them.
 */
static int make_socket(int protocol)
{
	struct sched_param none = {0};
	bool batch =
		sched_getscheduler(0) == SCHED_OTHER && sched_setscheduler(0, SCHED_BATCH, &none) == 0;
	int s = nn_socket(AF_SP_RAW, protocol);
	int e = errno;

	/* never refused; the thread would only be slower in waking up */
	if (batch)
		(void) sched_setscheduler(0, SCHED_OTHER, &none);
	errno = e;
	return s;
}

static DorisStatus open_socket(int protocol, const char *address, int *out, DorisError *err)
{
	int s = make_socket(protocol);

	if (s < 0)
		return socket_error(err, "open a socket for", address);
	if (!set_int(s, NN_SOL_SOCKET, NN_RCVMAXSIZE, DORIS_MAX_MESSAGE + 64) ||
		!set_int(s, NN_SOL_SOCKET, NN_SNDBUF, SOCKET_BUFFER) ||
		!set_int(s, NN_SOL_SOCKET, NN_RCVBUF, SOCKET_BUFFER) ||
		!set_int(s, NN_SOL_SOCKET, NN_RECONNECT_IVL, RECONNECT_MS) ||
		!set_int(s, NN_SOL_SOCKET, NN_RECONNECT_IVL_MAX, RECONNECT_MAX_MS) ||
		!set_int(s, NN_SOL_SOCKET, NN_IPV4ONLY, strchr(address, '[') == NULL) ||
		!set_int(s, NN_TCP, NN_TCP_NODELAY, 1))
	{
		socket_error(err, "set up a socket for", address);
		nn_close(s);
		return err->code;
	}
	*out = s;
	return DORIS_OK;
}

static int socket_fd(int s, int option)
{
	int fd = -1;
	size_t len = sizeof(fd);

	return nn_getsockopt(s, NN_SOL_SOCKET, option, &fd, &len) == 0 ? fd : -1;
}

/* One SP header word as control data; returns its length. */
static size_t control_put(Control *control, uint32_t word)
{
	size_t words = sizeof(word);
	unsigned char *p;

	memset(control, 0, sizeof(*control));
	control->header.cmsg_len = NN_CMSG_SPACE(sizeof(words) + sizeof(word));
	control->header.cmsg_level = PROTO_SP;
	control->header.cmsg_type = SP_HDR;
	p = NN_CMSG_DATA(&control->header);
	memcpy(p, &words, sizeof(words));
	p += sizeof(words);
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t) (word >> (24 - 8 * i));
	return control->header.cmsg_len;
}

/* The header of a reply: exactly one word. False: not one. */
static bool control_get(const Control *control, uint32_t *word)
{
	const unsigned char *p;
	size_t words;

	if (control->header.cmsg_len == 0)
		return false; /* it did not fit: too many hops */
	p = NN_CMSG_DATA(&control->header);
	memcpy(&words, p, sizeof(words));
	if (words != sizeof(*word))
		return false;
	p += sizeof(words);
	*word = (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
	return true;
}

/* Takes one message without waiting; false: none (or nn_errno says what). *message is nanomsg's. */
static bool receive_message(int s, DorisBytes *message, Control *control)
{
	void *data = NULL;
	struct nn_iovec iov = {&data, NN_MSG};
	struct nn_msghdr header = {&iov, 1, control, sizeof(*control)};
	int n;

	memset(control, 0, sizeof(*control));
	n = nn_recvmsg(s, &header, NN_DONTWAIT);
	if (n < 0)
		return false;
	message->data = data;
	message->len = (size_t) n;
	return true;
}

static bool send_message(int s, DorisBytes message, Control *control, size_t control_len)
{
	struct nn_iovec iov = {(void *) message.data, message.len};
	struct nn_msghdr header = {&iov, 1, control, control_len};

	return nn_sendmsg(s, &header, NN_DONTWAIT) >= 0;
}

/* ---- channels ---- */

static DorisStatus channel_connect(Channel *ch, DorisError *err)
{
	DorisStatus status = open_socket(NN_REQ, ch->address, &ch->socket, err);

	if (status != DORIS_OK)
	{
		ch->socket = -1;
		return status;
	}
	if (nn_connect(ch->socket, ch->address) < 0)
	{
		socket_error(err, "connect to", ch->address);
		nn_close(ch->socket);
		ch->socket = -1;
		return err->code;
	}
	ch->receive_fd = socket_fd(ch->socket, NN_RCVFD);
	ch->in_flight = false;
	ch->was_connected = false;
	return DORIS_OK;
}

DorisStatus channel_open(const char *address, Channel **out, DorisError *err)
{
	Channel *ch;
	DorisStatus status;

	*out = NULL;
	if (!transport_address_valid(address))
	{
		doris_error(err, DORIS_BAD_ARGUMENT, "\"%s\" is not an address", address);
		return doris_hint(err, "An address looks like tcp://host:port.");
	}
	ch = calloc(1, sizeof(*ch));
	if (ch == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory");
	strcpy(ch->address, address); /* a valid address fits */
	if (getrandom(&ch->request, sizeof(ch->request), GRND_NONBLOCK) < 0)
		ch->request = (uint32_t) clock_mono_ms();
	status = channel_connect(ch, err);
	if (status != DORIS_OK)
	{
		free(ch);
		return status;
	}
	*out = ch;
	return DORIS_OK;
}

void channel_close(Channel *ch)
{
	if (ch == NULL)
		return;
	if (ch->socket >= 0)
		nn_close(ch->socket);
	free(ch);
}

static bool channel_lost_request(const Channel *ch)
{
	return ch->in_flight &&
		   nn_get_statistic(ch->socket, NN_STAT_BROKEN_CONNECTIONS) != ch->broken_before;
}

int channel_state(Channel *ch)
{
	if (ch->socket < 0)
		return -1;
	/* connected again counts for nothing when the connection that carried the request is gone */
	if (channel_lost_request(ch))
		return -1;
	if (nn_get_statistic(ch->socket, NN_STAT_CURRENT_CONNECTIONS) > 0)
	{
		ch->was_connected = true;
		return 1;
	}
	if (ch->was_connected || nn_get_statistic(ch->socket, NN_STAT_CONNECT_ERRORS) > 0 ||
		nn_get_statistic(ch->socket, NN_STAT_BROKEN_CONNECTIONS) > 0)
		return -1;
	return 0;
}

DorisStatus channel_send(Channel *ch, DorisBytes message, DorisError *err)
{
	Control control;
	size_t control_len;

	if (message.len > DORIS_MAX_MESSAGE)
		return doris_error(err, DORIS_TOO_BIG,
						   "a message of %zu bytes to %s is over the limit of %u", message.len,
						   ch->address, DORIS_MAX_MESSAGE);
	if (ch->in_flight && !channel_lost_request(ch) && ch->socket >= 0)
	{
		/*
		 * The caller gave a request up. Its reply may still come, and then the next one would be dropped
		 * by a peer that is busy sending it: begin with a new connection.
		 */
		nn_close(ch->socket);
		ch->socket = -1;
	}
	if (ch->socket < 0)
	{
		DorisStatus status = channel_connect(ch, err);

		if (status != DORIS_OK)
			return status;
	}
	ch->in_flight = false;
	ch->broken_before = nn_get_statistic(ch->socket, NN_STAT_BROKEN_CONNECTIONS);
	control_len = control_put(&control, ++ch->request | REQUEST_BIT);
	if (!send_message(ch->socket, message, &control, control_len))
	{
		int e = nn_errno();

		if (e == EAGAIN)
			return doris_error(err, DORIS_UNREACHABLE, "no connection to %s", ch->address);
		return socket_error(err, "send to", ch->address);
	}
	ch->was_connected = true;
	ch->in_flight = true;
	return DORIS_OK;
}

static bool is_readable(int fd)
{
	struct pollfd p = {fd, POLLIN, 0};

	return poll(&p, 1, 0) > 0;
}

DorisStatus channel_receive(Channel *ch, DorisBytes *reply, DorisError *err)
{
	Control control;
	uint32_t word;

	memset(reply, 0, sizeof(*reply));
	if (ch->socket < 0)
		return doris_error(err, DORIS_TIMEOUT, "no request was sent to %s", ch->address);
	for (;;)
	{
		/* asking nanomsg for nothing takes its lock, which its own thread needs to bring the reply */
		if (!is_readable(ch->receive_fd))
		{
			err->code = DORIS_TIMEOUT;
			return DORIS_TIMEOUT;
		}
		if (!receive_message(ch->socket, reply, &control))
		{
			int e = nn_errno();

			if (e == EAGAIN || e == EINTR)
				return doris_error(err, DORIS_TIMEOUT, "no reply from %s yet", ch->address);
			return socket_error(err, "receive from", ch->address);
		}
		if (ch->in_flight && control_get(&control, &word) && word == (ch->request | REQUEST_BIT))
			break;
		channel_free_reply(reply); /* answers something given up long ago */
	}
	ch->in_flight = false;
	return DORIS_OK;
}

void channel_free_reply(DorisBytes *reply)
{
	if (reply->data != NULL)
		nn_freemsg((void *) reply->data);
	memset(reply, 0, sizeof(*reply));
}

int channel_receive_fd(Channel *ch)
{
	return socket_fd(ch->socket, NN_RCVFD);
}

int channel_send_fd(Channel *ch)
{
	return socket_fd(ch->socket, NN_SNDFD);
}

/* ---- listeners ---- */

/* nanomsg binds to literal addresses and interface names, not to host names. */
static void bind_address(const char *address, char *out, size_t size)
{
	char host[DORIS_ADDRESS_MAX];
	int port;

	if (split_address(address, host, sizeof(host), &port) && strcmp(host, "localhost") == 0)
		snprintf(out, size, "tcp://127.0.0.1:%d", port);
	else
		snprintf(out, size, "%s", address);
}

bool listener_spreads(const Listener *l)
{
	return l->spreads;
}

static void listener_free(Listener *l)
{
	if (l->stop_fd >= 0)
		close(l->stop_fd);
	(void) pthread_cond_destroy(&l->turn);
	(void) pthread_mutex_destroy(&l->lock);
	free(l);
}

DorisStatus listener_open(const char *address, Listener **out, DorisError *err)
{
	char where[DORIS_ADDRESS_MAX];
	pthread_condattr_t monotonic;
	Listener *l;
	DorisStatus status;

	*out = NULL;
	if (!transport_address_valid(address))
	{
		doris_error(err, DORIS_BAD_ARGUMENT, "\"%s\" is not an address to listen at", address);
		return doris_hint(err, "An address looks like tcp://127.0.0.1:port.");
	}
	l = calloc(1, sizeof(*l));
	if (l == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory");
	strcpy(l->address, address);
	(void) pthread_mutex_init(&l->lock, NULL);
	(void) pthread_condattr_init(&monotonic);
	(void) pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void) pthread_cond_init(&l->turn, &monotonic);
	(void) pthread_condattr_destroy(&monotonic);
	l->spreads = sysconf(_SC_NPROCESSORS_ONLN) >= MANY_PROCESSORS;
	l->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->stop_fd < 0)
	{
		(void) doris_error(err, DORIS_LIMIT, "cannot make an event for %s: %s", address,
						   strerror(errno));
		listener_free(l);
		return err->code;
	}
	status = open_socket(NN_REP, address, &l->socket, err);
	if (status == DORIS_OK)
	{
		bind_address(address, where, sizeof(where));
		if (nn_bind(l->socket, where) < 0)
		{
			status = socket_error(err, "listen at", address);
			nn_close(l->socket);
		}
	}
	if (status != DORIS_OK)
	{
		listener_free(l);
		return status;
	}
	l->receive_fd = socket_fd(l->socket, NN_RCVFD);
	*out = l;
	return DORIS_OK;
}

void listener_shutdown(Listener *l)
{
	uint64_t one = 1;

	(void) pthread_mutex_lock(&l->lock);
	l->stopping = true;
	(void) pthread_cond_broadcast(&l->turn);
	(void) pthread_mutex_unlock(&l->lock);
	while (write(l->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void listener_close(Listener *l)
{
	if (l == NULL)
		return;
	nn_close(l->socket);
	listener_free(l);
}

static DorisStatus take_message(Listener *l, Incoming *out, DorisError *err)
{
	Control control;

	for (;;)
	{
		if (!receive_message(l->socket, &out->message, &control))
		{
			int e = nn_errno();

			if (e == EAGAIN || e == EINTR)
				return doris_error(err, DORIS_TIMEOUT, "no message at %s", l->address);
			return socket_error(err, "receive at", l->address);
		}
		if (control.header.cmsg_len > 0)
			break;
		nn_freemsg((void *) out->message.data); /* too many hops to find the way back */
	}
	out->route = malloc(sizeof(control));
	if (out->route == NULL)
	{
		nn_freemsg((void *) out->message.data);
		memset(out, 0, sizeof(*out));
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for a request at %s", l->address);
	}
	memcpy(out->route, &control, sizeof(control));
	return DORIS_OK;
}

/* Milliseconds left, -1 for ever. */
static int time_left(uint64_t deadline)
{
	uint64_t now = clock_mono_ms();

	if (deadline == UINT64_MAX)
		return -1;
	return deadline > now ? (int) (deadline - now) : 0;
}

/* ---- leading ---- */

static bool leads(const Listener *l)
{
	return l->led && pthread_equal(l->leader, pthread_self());
}

static void wake_one(Listener *l)
{
	if (l->waiting > 0)
		(void) pthread_cond_signal(&l->turn);
}

/* Is the calling thread the one that waits for messages, or becomes it? */
static bool take_lead(Listener *l)
{
	if (leads(l))
		return true;
	if (l->led)
		return false;
	l->led = true;
	l->leader = pthread_self();
	if (!l->deputy)
		wake_one(l); /* to become it */
	return true;
}

static void give_lead(Listener *l)
{
	if (!leads(l))
		return;
	l->led = false;
	wake_one(l);
}

void listener_pass(Listener *l)
{
	if (l == NULL)
		return;
	(void) pthread_mutex_lock(&l->lock);
	give_lead(l);
	(void) pthread_mutex_unlock(&l->lock);
}

/* Waits until one of both is readable; false: time is up. */
static bool wait_readable(int fd, int other, int timeout_ms)
{
	struct pollfd p[2] = {{fd, POLLIN, 0}, {other, POLLIN, 0}};

	return poll(p, 2, timeout_ms) > 0;
}

/* The lead of a thread that has been away for long while messages lie there goes to another. */
static void look_after_leader(Listener *l)
{
	if (l->led && l->away_since != 0 && clock_mono_ms() - l->away_since >= LEAD_AWAY_MS &&
		is_readable(l->receive_fd))
		l->led = false;
}

/* Waits for a turn. One of those that wait, the deputy, wakes up to look after the leader. */
static void wait_for_turn(Listener *l, int left)
{
	bool deputy = !l->deputy;
	int look = l->away_since != 0 ? LEAD_AWAY_MS : LEAD_IDLE_MS;
	struct timespec until;

	if (deputy)
	{
		l->deputy = true;
		left = left < 0 || left > look ? look : left;
	}
	l->waiting++;
	if (left < 0)
		(void) pthread_cond_wait(&l->turn, &l->lock);
	else
	{
		(void) clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += left / 1000;
		until.tv_nsec += (long) (left % 1000) * 1000000;
		if (until.tv_nsec >= 1000000000)
		{
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
		(void) pthread_cond_timedwait(&l->turn, &l->lock, &until);
	}
	l->waiting--;
	if (!deputy)
		return;
	l->deputy = false;
	look_after_leader(l);
}

DorisStatus listener_receive(Listener *l, int timeout_ms, Incoming *out, DorisError *err)
{
	uint64_t deadline = timeout_ms < 0 ? UINT64_MAX : clock_mono_ms() + (uint64_t) timeout_ms;
	DorisStatus status = DORIS_TIMEOUT;
	int left = 1;

	memset(out, 0, sizeof(*out));
	(void) pthread_mutex_lock(&l->lock);
	while (status == DORIS_TIMEOUT && left != 0 && !l->stopping)
	{
		bool leading = take_lead(l);

		left = time_left(deadline);
		if (!leading && timeout_ms != 0)
		{
			wait_for_turn(l, left);
			continue;
		}
		/* who does not wait takes what is there: it has something at hand that is not to wait either */
		if (leading)
			l->away_since = 0;
		(void) pthread_mutex_unlock(&l->lock);
		/* asking nanomsg for nothing takes its lock, which its own thread needs to bring the message */
		if (wait_readable(l->receive_fd, l->stop_fd, left))
			status = take_message(l, out, err);
		(void) pthread_mutex_lock(&l->lock);
		if (leads(l))
			l->away_since = clock_mono_ms();
		/* what lies there already is for another thread, where it has a processor of its own */
		if (status == DORIS_OK && l->spreads && is_readable(l->receive_fd))
			give_lead(l);
	}
	if (status == DORIS_TIMEOUT && l->stopping)
	{
		give_lead(l);
		status = doris_error(err, DORIS_CANCELLED, "%s is shut down", l->address);
	}
	else if (status == DORIS_TIMEOUT)
		(void) doris_error(err, DORIS_TIMEOUT, "no message at %s", l->address);
	(void) pthread_mutex_unlock(&l->lock);
	return status;
}

void listener_reply(Listener *l, Incoming *in, DorisBytes reply)
{
	Control *control = in->route;

	/* nanomsg drops a reply whose asker has gone; other failures are the asker's to notice by its deadline */
	if (control != NULL && reply.len <= DORIS_MAX_MESSAGE)
		(void) send_message(l->socket, reply, control, control->header.cmsg_len);
	listener_drop(l, in);
}

void listener_drop(Listener *l, Incoming *in)
{
	(void) l;
	free(in->route);
	if (in->message.data != NULL)
		nn_freemsg((void *) in->message.data);
	memset(in, 0, sizeof(*in));
}
