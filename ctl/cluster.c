/*
 * cluster.c: dorisctl's verbs that look at the cluster.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "transport.h"

#define BATCH_VNODES 32 /* compared in one call, with one deadline */
#define ADMIN_MS 2000	/* an admin that is asked for its status */
#define SHOWN_VNODES 10 /* that are not equal */

static const char *role_name(const TopoNode *n)
{
	return n->role == NODE_DATA ? "data" : n->role == NODE_LOG ? "log" : "spare";
}

static const char *condition_name(const TopoNode *n)
{
	return n->condition == NODE_UP ? "up" : n->condition == NODE_DOWN ? "down" : "dead";
}

static DorisStatus wait_fd(int fd, uint64_t until, DorisError *err)
{
	uint64_t now = clock_mono_ms();
	struct pollfd p = {.fd = fd, .events = POLLIN};

	if (now >= until)
		return doris_error(err, DORIS_TIMEOUT, "no answer");
	(void) poll(&p, 1, until - now < 100 ? (int) (until - now) : 100);
	return DORIS_OK;
}

/* Asks the process at an address, which need not be in the topology (an admin). */
static DorisStatus stats_at(const Ctl *ctl, const char *host, int deadline_ms, StatsReply *out,
							DorisError *err)
{
	Envelope e = {
		.format = DORIS_FORMAT_SENT, .type = MSG_STATS, .request = 1, .deadline_ms = 2000};
	uint64_t until = clock_mono_ms() + (uint64_t) deadline_ms;
	char address[DORIS_ADDRESS_MAX];
	DorisBytes reply = {NULL, 0};
	DorisKeys keys;
	Channel *ch = NULL;
	DorisBuf message;
	DorisBuf scratch;
	DorisBytes body;
	DorisStatus st;

	buf_init(&message);
	buf_init(&scratch);
	memset(out, 0, sizeof(*out));
	snprintf(address, sizeof(address), "tcp://%s", host);
	st = keys_load(ctl->key_file, &keys, err);
	if (st == DORIS_OK)
		st = channel_open(address, &ch, err);
	if (st == DORIS_OK)
		st = envelope_write(&keys, &e, (DorisBytes){NULL, 0}, &message, err);
	while (st == DORIS_OK && channel_state(ch) == 0)
		st = wait_fd(channel_send_fd(ch), until, err);
	if (st == DORIS_OK)
		st = channel_send(ch, (DorisBytes){message.data, message.len}, err);
	while (st == DORIS_OK && (st = channel_receive(ch, &reply, err)) == DORIS_TIMEOUT)
		st = wait_fd(channel_receive_fd(ch), until, err);
	if (st == DORIS_OK)
		st = envelope_read(&keys, reply.data, reply.len, &e, &body, &scratch, err);
	if (st == DORIS_OK)
	{
		DorisCursor c = cursor_of(body.data, body.len);

		st = reply_read_status(&c, err);
		if (st == DORIS_OK)
			st = stats_reply_decode(&c, out, err);
	}
	if (reply.data != NULL)
		channel_free_reply(&reply);
	channel_close(ch);
	keys_wipe(&keys);
	buf_free(&message);
	buf_free(&scratch);
	return st;
}

/* False: there is no such counter, *value is 0. */
static bool stat_find(const StatsReply *s, const char *name, uint64_t *value)
{
	*value = 0;
	for (uint32_t i = 0; i < s->n; i++)
	{
		if (strcmp(s->items[i].name, name) == 0)
		{
			*value = s->items[i].value;
			return true;
		}
	}
	return false;
}

/*
 * The hosts that are no nodes: admins. *answering, *leading: how many of them. A node by another spelling of its address is known
 * by its counters; while it does not answer it counts as an admin that does not.
 */
static bool look_at_admins(const Ctl *ctl, const Topology *t, int *known, int *answering,
						   int *leading)
{
	char *copy = strdup(ctl->hosts);
	char *rest = copy;
	char *host;

	*known = *answering = *leading = 0;
	if (copy == NULL)
		return false;
	while ((host = strsep(&rest, ", ")) != NULL)
	{
		StatsReply stats;
		DorisError err;
		uint64_t leader;
		bool is_node = *host == '\0';

		for (uint32_t i = 0; i < t->nnodes && !is_node; i++)
			is_node = strcmp(t->nodes[i].address + strlen("tcp://"), host) == 0;
		if (is_node)
			continue;
		if (stats_at(ctl, host, ADMIN_MS, &stats, &err) != DORIS_OK)
		{
			(*known)++;
			continue;
		}
		if (stat_find(&stats, "leader", &leader))
		{
			(*known)++;
			(*answering)++;
			*leading += leader != 0;
		}
		stats_reply_free(&stats);
	}
	free(copy);
	return true;
}

int verb_status(Ctl *ctl)
{
	Topology *t = doris_topology(ctl->client);
	uint32_t members = 0;
	uint32_t up = 0;
	uint32_t complete = 0;
	uint32_t readable = 0;
	int admins;
	int answering;
	int leading;

	if (!look_at_admins(ctl, t, &admins, &answering, &leading))
	{
		DorisError err;

		topology_unref(t);
		(void) doris_error(&err, DORIS_NO_MEMORY, "out of memory");
		return ctl_fail(&err);
	}
	for (uint32_t i = 0; i < t->nnodes; i++)
	{
		members += t->nodes[i].condition != NODE_DEAD; /* replaced or removed for good */
		up += t->nodes[i].condition == NODE_UP;
	}
	for (uint32_t v = 0; v < t->vnodes; v++)
	{
		const TopoNode *readers[DORIS_MAX_GROUPS];

		/* who is down comes last */
		readable += topology_readers(t, v, 0, readers) > 0 && readers[0]->condition == NODE_UP;
		for (uint32_t g = 1; g <= t->groups; g++)
			complete += topology_copy(t, g, v)->complete;
	}
	printf("epoch       %llu\n", (unsigned long long) t->epoch);
	printf("groups      %u\n", t->groups);
	printf("vnodes      %u, readable %u\n", t->vnodes, readable);
	printf("copies      %u, complete %u\n", t->groups * t->vnodes, complete);
	printf("nodes       %u, up %u\n", members, up);
	printf("namespaces  %u\n", t->nnamespaces);
	if (admins > 0)
		printf("admins      %d, answering %d, leading %d\n", admins, answering, leading);
	else
		printf("admins      unknown: --hosts names none\n");
	bool good = up == members && complete == t->groups * t->vnodes && readable == t->vnodes &&
				answering == admins && (admins == 0 || leading > 0);
	topology_unref(t);
	return good ? CTL_OK : CTL_FAILED;
}

/* The sum of all counters of a kind: rows_ns_1, rows_ns_2, ... */
static uint64_t stat_sum(const StatsReply *s, const char *prefix)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < s->n; i++)
	{
		if (strncmp(s->items[i].name, prefix, strlen(prefix)) == 0)
			sum += s->items[i].value;
	}
	return sum;
}

int verb_nodes(Ctl *ctl)
{
	Topology *t = doris_topology(ctl->client);

	printf("%-16s %-28s %-6s %5s %-5s %12s %14s %8s\n", "name", "address", "role", "group", "state",
		   "rows", "bytes", "staged");
	doris_set_deadline(ctl->client, 2000); /* one that hangs must not hide the others */
	for (uint32_t i = 0; i < t->nnodes; i++)
	{
		const TopoNode *n = &t->nodes[i];
		StatsReply stats;
		uint64_t staged;
		DorisError err;

		printf("%-16s %-28s %-6s %5u %-5s ", n->name, n->address, role_name(n), n->group,
			   condition_name(n));
		if (n->condition != NODE_UP ||
			doris_node_stats(ctl->client, n->id, &stats, &err) != DORIS_OK)
		{
			printf("%12s %14s %8s\n", "?", "?", "?");
			continue;
		}
		(void) stat_find(&stats, "staged", &staged);
		printf("%12llu %14llu %8llu\n", (unsigned long long) stat_sum(&stats, "rows_ns_"),
			   (unsigned long long) stat_sum(&stats, "bytes_ns_"), (unsigned long long) staged);
		stats_reply_free(&stats);
	}
	topology_unref(t);
	return CTL_OK;
}

int verb_stats(Ctl *ctl)
{
	const char *name = ctl->args[0];
	StatsReply stats;
	DorisError err;
	DorisStatus st;

	if (strchr(name, ':') != NULL)
		st = stats_at(ctl, name, ctl->deadline_ms, &stats, &err);
	else
	{
		Topology *t;
		const TopoNode *n;

		st = ctl_connect(ctl, &ctl->client, &err);
		if (st != DORIS_OK)
			return ctl_fail(&err);
		t = doris_topology(ctl->client);
		n = topology_node_by_name(t, name);
		if (n == NULL)
		{
			st = doris_error(&err, DORIS_NOT_FOUND, "the cluster has no node %s", name);
			(void) doris_hint(&err, "An admin is asked by its address: host:port.");
		}
		else
			st = doris_node_stats(ctl->client, n->id, &stats, &err);
		topology_unref(t);
	}
	if (st != DORIS_OK)
		return ctl_fail(&err);
	for (uint32_t i = 0; i < stats.n; i++)
		printf("%-32s %llu\n", stats.items[i].name, (unsigned long long) stats.items[i].value);
	stats_reply_free(&stats);
	return CTL_OK;
}

/* How many vnodes came out how. */
typedef struct Tally
{
	uint32_t vnodes[DORIS_COPIES_UNKNOWN + 1];
	uint64_t rows;
	uint64_t different; /* rows */
	uint64_t repaired;
	uint32_t shown;
} Tally;

static void show_check(const DorisVnodeCheck *k, Tally *t)
{
	t->vnodes[k->verdict]++;
	t->rows += k->rows;
	t->different += k->different;
	t->repaired += k->repaired;
	if (k->verdict == DORIS_COPIES_EQUAL || t->shown++ >= SHOWN_VNODES)
		return;
	if (k->verdict == DORIS_COPIES_UNKNOWN)
		printf("vnode %u: unknown: %s\n", k->vnode, k->why);
	else
		printf("vnode %u: %llu rows differ, %llu of them repaired; %llu are unsettled\n", k->vnode,
			   (unsigned long long) k->different, (unsigned long long) k->repaired,
			   (unsigned long long) k->unsettled);
}

static DorisStatus check_all(Ctl *ctl, uint32_t vnodes, uint32_t ns, Tally *t, DorisError *err)
{
	DorisVnodeCheck checks[BATCH_VNODES];
	uint32_t list[BATCH_VNODES];
	DorisStatus st = DORIS_OK;

	for (uint32_t v = 0; v < vnodes && st == DORIS_OK;)
	{
		uint32_t n = 0;

		while (n < BATCH_VNODES && v < vnodes)
			list[n++] = v++;
		st = doris_verify(ctl->client, ns, list, n, ctl->repair, checks, err);
		for (uint32_t i = 0; i < n && st == DORIS_OK; i++)
			show_check(&checks[i], t);
	}
	return st;
}

int verb_digest(Ctl *ctl)
{
	Topology *topo = doris_topology(ctl->client);
	uint32_t vnodes = topo->vnodes;
	Tally t = {.rows = 0};
	uint32_t ns = 0;
	DorisError err;
	DorisStatus st = DORIS_OK;

	topology_unref(topo);
	if (ctl->nargs > 0)
	{
		NsDef def;

		st = doris_namespace(ctl->client, ctl->args[0], &def, &err);
		if (st == DORIS_OK)
		{
			ns = def.id;
			nsdef_free(&def);
		}
	}
	if (st == DORIS_OK)
		st = check_all(ctl, vnodes, ns, &t, &err);
	if (st != DORIS_OK)
		return ctl_fail(&err);
	printf("equal %u, different %u, unsettled %u, unknown %u vnodes; %llu rows\n",
		   t.vnodes[DORIS_COPIES_EQUAL], t.vnodes[DORIS_COPIES_DIFFERENT],
		   t.vnodes[DORIS_COPIES_UNSETTLED], t.vnodes[DORIS_COPIES_UNKNOWN],
		   (unsigned long long) t.rows);
	if (ctl->repair)
		printf("%llu of %llu rows that differed are repaired\n", (unsigned long long) t.repaired,
			   (unsigned long long) t.different);
	return t.vnodes[DORIS_COPIES_EQUAL] == vnodes ||
				   (t.repaired == t.different &&
					t.vnodes[DORIS_COPIES_EQUAL] + t.vnodes[DORIS_COPIES_DIFFERENT] == vnodes)
			   ? CTL_OK
			   : CTL_FAILED;
}
