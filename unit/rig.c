/*
 * rig.c: a small cluster of real doris_node processes for tests; see rig.h.
 */
#include "rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "envelope.h"
#include "transport.h"

#define READY_MS 30000
#define BEAT_MS 100
#define LEASE_MS 60000

static void die(const char *what, const char *detail)
{
	fprintf(stderr, "rig: %s: %s\n", what, detail);
	exit(1);
}

/* Below the range from which the kernel takes ports for outgoing connections. */
static int free_port(void)
{
	int tries;

	for (tries = 0; tries < 1000; tries++)
	{
		struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		int s = socket(AF_INET, SOCK_STREAM, 0);
		uint16_t random;
		bool free;

		if (s < 0 || getrandom(&random, sizeof(random), 0) != sizeof(random))
			die("no port", strerror(errno));
		random = (uint16_t) (12000 + random % 20000);
		a.sin_port = htons(random);
		free = bind(s, (struct sockaddr *) &a, sizeof(a)) == 0;
		(void) close(s);
		if (free)
			return random;
	}
	die("no port", "none is free");
	return -1;
}

static void nap(int ms)
{
	(void) poll(NULL, 0, ms);
}

/* ---- the admin ---- */

/* What the admin's process and the test's both know; written by one of them at a time. */
struct RigShared
{
	uint64_t epoch; /* the newest */
	uint8_t hash[DORIS_HASH_SIZE];
	uint64_t incarnations[RIG_MAX_NODES];
};

static void share(Rig *r)
{
	r->shared->epoch = r->topo->epoch;
	memcpy(r->shared->hash, r->topo->hash, DORIS_HASH_SIZE);
}

/* What the admin's process has entered since, into the test's topology. */
static void refresh(Rig *r)
{
	r->topo->epoch = r->shared->epoch;
	memcpy(r->topo->hash, r->shared->hash, DORIS_HASH_SIZE);
	for (int i = 0; i < r->nodes; i++)
		r->topo->nodes[i].incarnation = r->shared->incarnations[i];
}

/* r->topo as the next epoch, with the starts that are known. */
static void next_epoch(Rig *r)
{
	DorisError err;
	Topology *next;

	refresh(r);
	next = topology_clone(r->topo);
	if (next == NULL)
		die("publish", "out of memory");
	memcpy(next->previous, r->topo->hash, DORIS_HASH_SIZE);
	next->epoch = r->topo->epoch + 1;
	if (topology_seal(next, NULL, &err) != DORIS_OK)
		die("publish", err.message);
	topology_unref(r->topo);
	r->topo = next;
	share(r);
}

static DorisBytes bytes_of(const DorisBuf *b)
{
	return (DorisBytes){b->data, b->len};
}

static void admin_hello(Rig *r, DorisBytes body, DorisBuf *out)
{
	Hello h;
	DorisError err;
	const TopoNode *n;
	Welcome w = {0};

	if (hello_decode(body, &h, &err) != DORIS_OK)
	{
		reply_put_error(out, &err);
		return;
	}
	n = topology_node_by_name(r->topo, h.name);
	if (n == NULL)
	{
		doris_error(&err, DORIS_NOT_FOUND, "no node %s", h.name);
		reply_put_error(out, &err);
		return;
	}
	w.node = n->id;
	/* rule start: every start is let in */
	if (r->shared->incarnations[w.node - 1] != h.incarnation)
	{
		r->shared->incarnations[w.node - 1] = h.incarnation;
		next_epoch(r);
	}
	memcpy(w.cluster, r->topo->cluster, DORIS_UUID_SIZE);
	w.topology = (DorisBytes){r->topo->encoded, r->topo->encoded_len};
	reply_put_ok(out);
	welcome_encode(out, &w);
}

static void admin_answer(Rig *r, const Envelope *e, DorisBytes body, DorisBuf *out)
{
	DorisError err;
	TopologyGet get;

	switch (e->type)
	{
		case MSG_HELLO:
			admin_hello(r, body, out);
			return;
		case MSG_TOPOLOGY_GET:
			if (topology_get_decode(body, &get, &err) != DORIS_OK)
				break;
			reply_put_ok(out);
			if (get.have_epoch < r->topo->epoch)
				buf_put_bytes(out, r->topo->encoded, r->topo->encoded_len);
			else
				buf_put_bytes(out, NULL, 0);
			return;
		case MSG_REPORT:
			reply_put_ok(out);
			buf_put_u8(out, (uint8_t) r->verdict);
			buf_put_str(out, "the rig says so");
			return;
		default:
			doris_error(&err, DORIS_BAD_MESSAGE, "the rig does not do that");
			break;
	}
	reply_put_error(out, &err);
}

static void admin_push(Rig *r)
{
	int i;

	for (i = 0; i < r->nodes; i++)
	{
		Envelope e = {
			.format = DORIS_FORMAT, .type = MSG_TOPOLOGY_PUT, .request = 1, .deadline_ms = 2000};
		DorisKeys keys = {.present = false};
		DorisBuf body;
		DorisBuf message;
		DorisError err;
		Channel *ch = NULL;
		DorisBytes reply;
		uint64_t until = clock_mono_ms() + 2000;
		bool sent = false;

		if (r->pids[i] == 0)
			continue;
		buf_init(&body);
		buf_init(&message);
		buf_put_bytes(&body, r->topo->encoded, r->topo->encoded_len);
		e.epoch = r->topo->epoch;
		if (envelope_write(&keys, &e, bytes_of(&body), &message, &err) != DORIS_OK ||
			channel_open(r->topo->nodes[i].address, &ch, &err) != DORIS_OK)
			die("push", err.message);
		while (clock_mono_ms() < until)
		{
			if (!sent)
				sent = channel_send(ch, bytes_of(&message), &err) == DORIS_OK;
			else if (channel_receive(ch, &reply, &err) == DORIS_OK)
			{
				channel_free_reply(&reply);
				break;
			}
			nap(1);
		}
		channel_close(ch);
		buf_free(&body);
		buf_free(&message);
	}
}

/*
 * One heartbeat and its answer; echo: what the node said last, to be given back to it (rule lease). Old epochs are no
 * business of this heart: it names none.
 */
static void beat(Rig *r, const uint8_t *cluster, int node, uint64_t *incarnation, uint64_t *echo)
{
	Envelope e = {
		.format = DORIS_FORMAT, .type = MSG_HEARTBEAT, .request = 1, .deadline_ms = BEAT_MS};
	Heartbeat m = {.term = 1,
				   .node = (uint32_t) node + 1,
				   .incarnation = *incarnation,
				   .echo_ms = *echo,
				   .lease_ms = LEASE_MS};
	DorisKeys keys = {.present = false};
	char address[64];
	DorisBuf body;
	DorisBuf message;
	DorisError err;
	Channel *ch = NULL;
	uint64_t until = clock_mono_ms() + BEAT_MS;
	bool sent = false;
	bool done = false;

	memcpy(m.cluster, cluster, DORIS_UUID_SIZE);
	snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", r->ports[node]);
	buf_init(&body);
	buf_init(&message);
	heartbeat_encode(&body, &m);
	if (envelope_write(&keys, &e, bytes_of(&body), &message, &err) != DORIS_OK ||
		channel_open(address, &ch, &err) != DORIS_OK)
		die("heartbeat", err.message);
	while (!done && clock_mono_ms() < until && channel_state(ch) >= 0)
	{
		DorisBytes reply;

		if (!sent)
			sent = channel_send(ch, bytes_of(&message), &err) == DORIS_OK;
		else if (channel_receive(ch, &reply, &err) == DORIS_OK)
		{
			DorisBuf scratch;
			DorisBytes answer;
			DorisCursor c;
			NodeReport report;

			buf_init(&scratch);
			if (envelope_read(&keys, reply.data, reply.len, &e, &answer, &scratch, &err) ==
				DORIS_OK)
			{
				c = cursor_of(answer.data, answer.len);
				if (reply_read_status(&c, &err) == DORIS_OK &&
					node_report_decode(&c, &report, &err) == DORIS_OK)
				{
					*incarnation = report.incarnation;
					*echo = report.clock_ms;
					node_report_free(&report);
				}
			}
			buf_free(&scratch);
			channel_free_reply(&reply);
			done = true;
		}
		nap(1);
	}
	channel_close(ch);
	buf_free(&body);
	buf_free(&message);
}

/* Gives all nodes leases that outlast any test, so that only tests of leases see reads without one. */
static void *heart_main(void *arg)
{
	Rig *r = arg;
	uint64_t incarnations[RIG_MAX_NODES] = {0};
	uint64_t echoes[RIG_MAX_NODES] = {0};
	uint8_t cluster[DORIS_UUID_SIZE];

	/* the topology is replaced by the other thread, with the same cluster in it */
	memcpy(cluster, r->topo->cluster, sizeof(cluster));

	for (;;)
	{
		for (int i = 0; i < r->nodes; i++)
			beat(r, cluster, i, &incarnations[i], &echoes[i]);
		nap(BEAT_MS);
	}
	return NULL;
}

static void admin_main(Rig *r, bool push, int ready_fd)
{
	Listener *l;
	DorisError err;
	DorisKeys keys = {.present = false};
	char address[64];
	uint64_t until = clock_mono_ms() + 5000;
	DorisBuf body;
	DorisBuf message;
	DorisBuf scratch;
	pthread_t heart;

	(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", r->admin_port);
	/* the admin before us may just be closing */
	while (listener_open(address, &l, &err) != DORIS_OK)
	{
		if (clock_mono_ms() > until)
			die("admin", err.message);
		nap(10);
	}
	if (push)
		admin_push(r);
	if (write(ready_fd, "r", 1) != 1)
		_exit(1);
	(void) close(ready_fd);
	if (pthread_create(&heart, NULL, heart_main, r) != 0)
		die("admin", "no thread");
	buf_init(&body);
	buf_init(&message);
	buf_init(&scratch);
	for (;;)
	{
		Incoming in;
		Envelope e;
		DorisBytes asked;

		if (listener_receive(l, -1, &in, &err) != DORIS_OK)
			continue;
		if (envelope_read(&keys, in.message.data, in.message.len, &e, &asked, &scratch, &err) !=
			DORIS_OK)
		{
			listener_drop(l, &in);
			continue;
		}
		buf_reset(&body);
		admin_answer(r, &e, asked, &body);
		e.type |= DORIS_REPLY;
		e.epoch = r->topo->epoch;
		e.sender = 0;
		if (envelope_write(&keys, &e, bytes_of(&body), &message, &err) != DORIS_OK)
			die("admin", err.message);
		listener_reply(l, &in, bytes_of(&message));
	}
}

static void admin_start(Rig *r, bool push)
{
	int fds[2];
	char byte;

	if (pipe(fds) != 0)
		die("pipe", strerror(errno));
	fflush(NULL);
	r->admin = fork();
	if (r->admin < 0)
		die("fork", strerror(errno));
	if (r->admin == 0)
	{
		(void) close(fds[0]);
		admin_main(r, push, fds[1]);
	}
	(void) close(fds[1]);
	if (read(fds[0], &byte, 1) != 1)
		die("admin", "did not start");
	(void) close(fds[0]);
}

static void admin_stop(Rig *r)
{
	if (r->admin == 0)
		return;
	(void) kill(r->admin, SIGKILL);
	(void) waitpid(r->admin, NULL, 0);
	r->admin = 0;
}

/* ---- topology ---- */
static void first_topology(Rig *r, uint32_t vnodes)
{
	Topology *t = topology_new(vnodes, (uint32_t) r->groups);
	DorisError err;
	uint32_t g;
	uint32_t v;
	int i;
	NsDef *ns;

	if (t == NULL)
		die("topology", "out of memory");
	(void) !getrandom(t->cluster, DORIS_UUID_SIZE, 0);
	t->epoch = 1;
	t->term = 1;
	t->nnodes = (uint32_t) r->nodes;
	t->nodes = calloc((size_t) r->nodes, sizeof(TopoNode));
	for (i = 0; i < r->nodes; i++)
	{
		TopoNode *n = &t->nodes[i];

		n->id = (uint32_t) i + 1;
		n->role = NODE_DATA;
		n->condition = NODE_UP;
		n->group = (uint8_t) (i % r->groups + 1);
		snprintf(n->name, sizeof(n->name), "g%dn%d", n->group, i / r->groups + 1);
		snprintf(n->address, sizeof(n->address), "tcp://127.0.0.1:%d", r->ports[i]);
	}
	for (g = 1; g <= t->groups; g++)
		for (v = 0; v < vnodes; v++)
		{
			int per_group = r->nodes / r->groups;
			int index = (int) (v % (uint32_t) per_group) * r->groups + (int) g - 1;

			*topology_copy(t, g, v) =
				(TopoCopy){.owner = t->nodes[index].id, .complete = true, .changed = 1};
		}
	t->nnamespaces = 1;
	t->next_namespace_id = RIG_NS + 1;
	t->namespaces = calloc(1, sizeof(NsDef));
	ns = &t->namespaces[0];
	ns->id = RIG_NS;
	ns->version = 1;
	snprintf(ns->name, sizeof(ns->name), "t");
	ns->key_columns = 1;
	ns->ncolumns = 2;
	ns->columns = calloc(2, sizeof(NsColumn));
	ns->columns[0] = (NsColumn){.id = 1,
								.name = "k",
								.type = "text",
								.key_position = 1,
								.key_width = DORIS_KEY_ESCAPED,
								.not_null = true};
	ns->columns[1] = (NsColumn){.id = RIG_COLUMN, .name = "v", .type = "text", .in_value = true};
	if (topology_seal(t, NULL, &err) != DORIS_OK)
		die("topology", err.message);
	r->topo = t;
	share(r);
}

void rig_publish(Rig *r, bool push)
{
	admin_stop(r);
	next_epoch(r);
	admin_start(r, push);
}

void rig_set_down(Rig *r, int node, bool down)
{
	r->topo->nodes[node].condition = down ? NODE_DOWN : NODE_UP;
}

/* ---- nodes ---- */
static bool log_says_ready(const char *path)
{
	char line[1024];
	bool ready = false;
	FILE *f = fopen(path, "r");

	if (f == NULL)
		return false;
	while (!ready && fgets(line, sizeof(line), f) != NULL)
		ready = strstr(line, "ready: ") != NULL;
	fclose(f);
	return ready;
}

static void node_spawn(Rig *r, int i)
{
	const char *name = r->topo->nodes[i].name;
	char home[400];
	char log[400];
	char admins[64];
	pid_t pid;

	snprintf(home, sizeof(home), "%s/%s", r->dir, name);
	snprintf(log, sizeof(log), "%s/%s.%d.log", r->dir, name, ++r->starts[i]);
	snprintf(admins, sizeof(admins), "127.0.0.1:%d", r->admin_port);
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		die("fork", strerror(errno));
	if (pid == 0)
	{
		int fd = open(log, O_CREAT | O_WRONLY | O_TRUNC, 0600);

		(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
			_exit(1);
		execl(r->node_program, "doris_node", "--home", home, "--name", name, "--listen",
			  r->topo->nodes[i].address, "--admins", admins, "--cache", "64", "--reserve", "16",
			  "--workers", "3", (char *) NULL);
		fprintf(stderr, "cannot run %s: %s\n", r->node_program, strerror(errno));
		_exit(127);
	}
	r->pids[i] = pid;
}

/* What a node said last: its log goes with the rig. */
static void show_end(const char *log)
{
	char line[400];
	FILE *f = fopen(log, "r");

	if (f == NULL)
		return;
	while (fgets(line, sizeof(line), f) != NULL)
		fprintf(stderr, "rig: %s", line);
	(void) fclose(f);
}

static void node_await(Rig *r, int i)
{
	char log[400];
	uint64_t until = clock_mono_ms() + READY_MS;

	snprintf(log, sizeof(log), "%s/%s.%d.log", r->dir, r->topo->nodes[i].name, r->starts[i]);
	for (; !log_says_ready(log); nap(10))
	{
		int status;

		if (waitpid(r->pids[i], &status, WNOHANG) == r->pids[i])
		{
			r->pids[i] = 0;
			show_end(log);
			die("a node ended; see", log);
		}
		if (clock_mono_ms() > until)
			die("a node did not become ready; see", log);
	}
	refresh(r);
}

void rig_start(Rig *r, int node)
{
	node_spawn(r, node);
	node_await(r, node);
}

void rig_signal(Rig *r, int node, int sig)
{
	if (r->pids[node] == 0)
		return;
	(void) kill(r->pids[node], sig);
	if (sig != SIGKILL && sig != SIGTERM)
		return;
	(void) waitpid(r->pids[node], NULL, 0);
	r->pids[node] = 0;
}

static void find_program(Rig *r)
{
	const char *given = getenv("DORIS_NODE");
	char self[400];
	ssize_t n;
	char *slash;

	if (given != NULL)
	{
		snprintf(r->node_program, sizeof(r->node_program), "%s", given);
		return;
	}
	/* build/unit/test_x: the program is build/doris_node */
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		die("cannot find doris_node", strerror(errno));
	self[n] = '\0';
	slash = strrchr(self, '/');
	*slash = '\0';
	slash = strrchr(self, '/');
	*slash = '\0';
	snprintf(r->node_program, sizeof(r->node_program), "%s/doris_node", self);
	if (access(r->node_program, X_OK) != 0)
		die("no such program (build it, or set DORIS_NODE)", r->node_program);
}

Rig *rig_up(int groups, int nodes_per_group, uint32_t vnodes)
{
	Rig *r = calloc(1, sizeof(*r));
	const char *tmp = getenv("TMPDIR");
	int i;

	if (r == NULL)
		die("rig", "out of memory");
	r->shared =
		mmap(NULL, sizeof(*r->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r->shared == MAP_FAILED)
		die("rig", strerror(errno));
	find_program(r);
	r->groups = groups;
	r->nodes = groups * nodes_per_group;
	r->verdict = VERDICT_UNSURE;
	snprintf(r->dir, sizeof(r->dir), "%s/doris-rig-XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(r->dir) == NULL)
		die(r->dir, strerror(errno));
	r->admin_port = free_port();
	snprintf(r->hosts, sizeof(r->hosts), "127.0.0.1:%d", r->admin_port);
	for (i = 0; i < r->nodes; i++)
	{
		size_t at = strlen(r->hosts);

		r->ports[i] = free_port();
		snprintf(r->hosts + at, sizeof(r->hosts) - at, ",127.0.0.1:%d", r->ports[i]);
	}
	snprintf(r->node_hosts, sizeof(r->node_hosts), "%s", strchr(r->hosts, ',') + 1);
	first_topology(r, vnodes);
	admin_start(r, false);
	for (i = 0; i < r->nodes; i++)
		node_spawn(r, i);
	for (i = 0; i < r->nodes; i++)
		node_await(r, i);
	return r;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void) st;
	(void) kind;
	(void) ftw;
	return remove(path);
}

void rig_down(Rig *r)
{
	int i;

	if (r == NULL)
		return;
	for (i = 0; i < r->nodes; i++)
	{
		rig_signal(r, i, SIGCONT);
		rig_signal(r, i, SIGKILL);
	}
	admin_stop(r);
	if (getenv("DORIS_RIG_KEEP") == NULL)
		(void) nftw(r->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	topology_unref(r->topo);
	(void) munmap(r->shared, sizeof(*r->shared));
	free(r);
}

/* ---- children ---- */
pid_t rig_child(Rig *r, RigFn fn, void *arg)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		die("fork", strerror(errno));
	if (pid == 0)
	{
		int rc;

		(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
		rc = fn(r, arg);
		fflush(NULL);
		exit(rc); /* not _exit: the leak checker of a sanitized build runs here */
	}
	return pid;
}

int rig_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -2;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int rig_run(Rig *r, RigFn fn, void *arg)
{
	return rig_wait(rig_child(r, fn, arg));
}
