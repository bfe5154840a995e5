/*
 * proxy.c: a network in the path between a client and some nodes, which can be made to fail.
 *
 * proxy LISTEN:TARGET ... (ports on 127.0.0.1). Commands, one a line; I counts the arguments from 0:
 *
 *	pass I		as if it were not there
 *	refuse I	connections are reset and no new ones taken: as when the machine is switched off
 *	hole I		nothing passes, in neither direction, and nobody is told: as when a cable is cut
 *	half I		what the client sends passes, what the node answers does not
 *	delay I MS	each piece takes MS longer, in each direction
 *
 * After hole and half what was held back goes on, as TCP would send it again. One thread, poll(2).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_WAYS 32
#define MAX_LINKS 1000
#define PIECE 65536
#define QUEUE_LIMIT (4 << 20) /* bytes under way in one direction; then the sender has to wait */

typedef enum Mode
{
	PASS,
	REFUSE,
	HOLE,
	HALF
} Mode;

/* A way from a port that clients connect to, to a node's port. */
typedef struct Way
{
	uint16_t listen;
	uint16_t target;
	int fd; /* -1 while refusing */
	Mode mode;
	int delay_ms;
} Way;

typedef struct Piece
{
	struct Piece *next;
	long long due_ms;
	size_t size;
	size_t sent;
	char data[];
} Piece;

/* One direction of a connection. */
typedef struct Flow
{
	Piece *first;
	Piece *last;
	size_t queued;
} Flow;

typedef struct Link
{
	bool used;
	int way;
	nfds_t at;	  /* its place among those polled, 0: none yet */
	int fd[2];	  /* 0: the client's, 1: the node's */
	Flow flow[2]; /* flow[i]: what came from fd[i] and goes to the other */
} Link;

static Way ways[MAX_WAYS];
static int nways;
static Link links[MAX_LINKS];

static void fail(const char *what)
{
	perror(what);
	exit(2);
}

static long long now_ms(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) != 0)
		fail("clock");
	return (long long) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static struct sockaddr_in loopback(uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return in;
}

static void start_listening(Way *w)
{
	struct sockaddr_in in = loopback(w->listen);
	int on = 1;

	w->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (w->fd < 0 || setsockopt(w->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
		bind(w->fd, (struct sockaddr *) &in, sizeof(in)) != 0 || listen(w->fd, 100) != 0)
		fail("listen");
}

static void link_close(Link *l, bool reset)
{
	struct linger none = {.l_onoff = 1, .l_linger = 0};
	int i;

	for (i = 0; i < 2; i++)
	{
		if (reset)
			(void) setsockopt(l->fd[i], SOL_SOCKET, SO_LINGER, &none, sizeof(none));
		close(l->fd[i]);
		while (l->flow[i].first != NULL)
		{
			Piece *p = l->flow[i].first;

			l->flow[i].first = p->next;
			free(p);
		}
	}
	l->used = false;
}

static void link_open(int way, int client)
{
	struct sockaddr_in in = loopback(ways[way].target);
	int node = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;
	int i;

	for (i = 0; i < MAX_LINKS && links[i].used; i++)
		;
	/* on loopback connecting does not wait; a node that is not there refuses at once */
	if (node < 0 || i == MAX_LINKS || connect(node, (struct sockaddr *) &in, sizeof(in)) != 0)
	{
		if (node >= 0)
			close(node);
		close(client);
		return;
	}
	(void) fcntl(node, F_SETFL, O_NONBLOCK);
	(void) setsockopt(node, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void) setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	memset(&links[i], 0, sizeof(links[i]));
	links[i].used = true;
	links[i].way = way;
	links[i].fd[0] = client;
	links[i].fd[1] = node;
}

/* False: the connection is over. */
static bool take(Link *l, int side)
{
	static char data[PIECE];
	Flow *f = &l->flow[side];
	ssize_t n = read(l->fd[side], data, sizeof(data));
	Piece *p;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	p = malloc(sizeof(*p) + (size_t) n);
	if (p == NULL)
		fail("memory");
	p->next = NULL;
	p->due_ms = now_ms() + ways[l->way].delay_ms;
	p->size = (size_t) n;
	p->sent = 0;
	memcpy(p->data, data, (size_t) n);
	if (f->first == NULL)
		f->first = p;
	else
		f->last->next = p;
	f->last = p;
	f->queued += p->size;
	return true;
}

static bool passes(const Link *l, int side)
{
	Mode mode = ways[l->way].mode;

	return mode == PASS || (mode == HALF && side == 0);
}

/* Sends what is due; *wait_ms: until the next is. False: the connection is over. */
static bool give(Link *l, int side, int *wait_ms)
{
	Flow *f = &l->flow[side];

	while (f->first != NULL && passes(l, side))
	{
		Piece *p = f->first;
		long long left = p->due_ms - now_ms();
		ssize_t n;

		if (left > 0)
		{
			if (left < *wait_ms)
				*wait_ms = (int) left;
			return true;
		}
		n = send(l->fd[!side], p->data + p->sent, p->size - p->sent, MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (n < 0)
			return false;
		p->sent += (size_t) n;
		if (p->sent < p->size)
			return true;
		f->queued -= p->size;
		f->first = p->next;
		free(p);
	}
	return true;
}

static void command(const char *line)
{
	static const char *const names[] = {"pass", "refuse", "hole", "half", "delay"};
	char name[20];
	int way = 0;
	int ms = 0;
	int mode;
	int i;

	if (sscanf(line, "%19s %d %d", name, &way, &ms) < 2 || way < 0 || way >= nways)
	{
		fprintf(stderr, "proxy: what is \"%s\"?\n", line);
		return;
	}
	for (mode = 0; mode < 5 && strcmp(name, names[mode]) != 0; mode++)
		;
	if (mode == 5)
	{
		fprintf(stderr, "proxy: what is \"%s\"?\n", line);
		return;
	}
	ways[way].delay_ms = mode == 4 ? ms : 0;
	ways[way].mode = mode == 4 ? PASS : (Mode) mode;
	if (ways[way].mode == REFUSE && ways[way].fd >= 0)
	{
		close(ways[way].fd);
		ways[way].fd = -1;
		for (i = 0; i < MAX_LINKS; i++)
		{
			if (links[i].used && links[i].way == way)
				link_close(&links[i], true);
		}
	}
	else if (ways[way].mode != REFUSE && ways[way].fd < 0)
		start_listening(&ways[way]);
}

/* False: end of file. */
static bool take_commands(void)
{
	static char buffer[1000];
	static size_t have;
	ssize_t n = read(STDIN_FILENO, buffer + have, sizeof(buffer) - 1 - have);
	char *end;

	if (n <= 0)
		return n < 0 && errno == EINTR;
	have += (size_t) n;
	buffer[have] = '\0';
	while ((end = strchr(buffer, '\n')) != NULL)
	{
		*end = '\0';
		command(buffer);
		have -= (size_t) (end + 1 - buffer);
		memmove(buffer, end + 1, have + 1);
	}
	return have < sizeof(buffer) - 1;
}

static void serve(void)
{
	static struct pollfd fds[1 + MAX_WAYS + 2 * MAX_LINKS];
	int i;
	int side;

	for (;;)
	{
		int wait_ms = 1000;
		nfds_t n = 0;

		fds[n++] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
		for (i = 0; i < nways; i++)
			fds[n++] = (struct pollfd){.fd = ways[i].fd, .events = POLLIN};
		for (i = 0; i < MAX_LINKS; i++)
		{
			for (side = 0; side < 2 && links[i].used; side++)
			{
				if (!give(&links[i], side, &wait_ms))
				{
					link_close(&links[i], false);
					break;
				}
			}
			for (side = 0; side < 2 && links[i].used; side++)
			{
				const Flow *in = &links[i].flow[side];
				const Flow *out = &links[i].flow[!side];
				short events = 0;

				if (passes(&links[i], side) && in->queued < QUEUE_LIMIT)
					events |= POLLIN;
				if (out->first != NULL && passes(&links[i], !side) &&
					out->first->due_ms <= now_ms())
					events |= POLLOUT;
				/* a hole tells nobody that the other end has closed, either */
				fds[n + (nfds_t) side] =
					(struct pollfd){.fd = events != 0 ? links[i].fd[side] : -1, .events = events};
			}
			links[i].at = n;
			if (links[i].used)
				n += 2;
		}
		if (poll(fds, n, wait_ms) < 0 && errno != EINTR)
			fail("poll");
		if (fds[0].revents != 0 && !take_commands())
			return;
		for (i = 0; i < MAX_LINKS; i++)
		{
			for (side = 0; side < 2 && links[i].used && links[i].at > 0; side++)
			{
				const struct pollfd *p = &fds[links[i].at + (nfds_t) side];

				if (p->fd == links[i].fd[side] && (p->revents & (POLLIN | POLLHUP | POLLERR)) &&
					!take(&links[i], side))
					link_close(&links[i], false);
			}
		}
		for (i = 0; i < nways; i++)
		{
			int fd = ways[i].fd >= 0 && fds[1 + i].fd == ways[i].fd && (fds[1 + i].revents & POLLIN)
						 ? accept4(ways[i].fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)
						 : -1;

			if (fd >= 0)
				link_open(i, fd);
		}
	}
}

int main(int argc, char **argv)
{
	int i;

	if (argc < 2 || argc > MAX_WAYS + 1)
	{
		fprintf(stderr, "usage: proxy LISTEN:TARGET ...\n");
		return 2;
	}
	(void) signal(SIGPIPE, SIG_IGN);
	for (i = 1; i < argc; i++)
	{
		unsigned from, to;

		if (sscanf(argv[i], "%u:%u", &from, &to) != 2 || from > 65535 || to > 65535)
		{
			fprintf(stderr, "proxy: not two ports: %s\n", argv[i]);
			return 2;
		}
		ways[nways] = (Way){.listen = (uint16_t) from, .target = (uint16_t) to, .fd = -1};
		start_listening(&ways[nways++]);
	}
	serve();
	return 0;
}
