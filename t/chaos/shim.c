/*
 * shim.c: preloaded into a process under test, so that it sees another network or another time, without privileges.
 *
 *	DORIS_CHAOS_CONNECT=from:to,...	connections to 127.0.0.1:from go to 127.0.0.1:to (a proxy in the path)
 *	DORIS_CHAOS_CLOCK_MS=ms			the wall clock is that much ahead (negative: behind); the monotonic one stays
 */
#include <dlfcn.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

typedef int (*ConnectFn)(int, const struct sockaddr *, socklen_t);

static ConnectFn real_connect;
static const char *connect_map;
static long long clock_ms;

__attribute__((constructor)) static void shim_start(void)
{
	const char *ms = getenv("DORIS_CHAOS_CLOCK_MS");
	const char *map = getenv("DORIS_CHAOS_CONNECT");

	*(void **) &real_connect = dlsym(RTLD_NEXT, "connect");
	/* a copy: PostgreSQL writes its process titles over the environment */
	connect_map = map != NULL ? strdup(map) : NULL;
	clock_ms = ms != NULL ? strtoll(ms, NULL, 10) : 0;
}

/* Where connections to that port go. */
static unsigned mapped_port(unsigned port)
{
	const char *p = connect_map;

	while (p != NULL && *p != '\0')
	{
		char *end;
		unsigned long from = strtoul(p, &end, 10);
		unsigned long to = *end == ':' ? strtoul(end + 1, &end, 10) : 0;

		if (from == port && to > 0)
			return (unsigned) to;
		p = strchr(end, ',');
		if (p != NULL)
			p++;
	}
	return port;
}

int connect(int fd, const struct sockaddr *address, socklen_t size);
int connect(int fd, const struct sockaddr *address, socklen_t size)
{
	struct sockaddr_in in;

	if (address == NULL || address->sa_family != AF_INET || size < sizeof(in))
		return real_connect(fd, address, size);
	memcpy(&in, address, sizeof(in));
	if (in.sin_addr.s_addr == htonl(INADDR_LOOPBACK))
		in.sin_port = htons((uint16_t) mapped_port(ntohs(in.sin_port)));
	return real_connect(fd, (const struct sockaddr *) &in, sizeof(in));
}

/* By the system call: allocators ask for the time before anything here, dlsym too, can be called. */
int clock_gettime(clockid_t id, struct timespec *ts)
{
	int rc = (int) syscall(SYS_clock_gettime, id, ts);

	if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) && clock_ms != 0)
	{
		long long ms = (long long) ts->tv_sec * 1000 + ts->tv_nsec / 1000000 + clock_ms;

		ts->tv_sec = (time_t) (ms / 1000);
		ts->tv_nsec = (long) (ms % 1000) * 1000000 + ts->tv_nsec % 1000000;
	}
	return rc;
}
