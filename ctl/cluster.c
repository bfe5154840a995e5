/*
 * cluster.c: dorisctl's verbs that look at the cluster.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "transport.h"

static const char *role_name(const TopoNode *n)
{
	return n->role == NODE_DATA ? "data" : n->role == NODE_LOG ? "log" : "spare";
}

static const char *condition_name(const TopoNode *n)
{
	return n->condition == NODE_UP ? "up" : n->condition == NODE_DOWN ? "down" : "dead";
}

int verb_status(Ctl *ctl)
{
	Topology *t = doris_topology(ctl->client);
	uint32_t up = 0;
	uint32_t complete = 0;
	uint32_t readable = 0;

	for (uint32_t i = 0; i < t->nnodes; i++)
		up += t->nodes[i].condition == NODE_UP;
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
	printf("nodes       %u, up %u\n", t->nnodes, up);
	printf("namespaces  %u\n", t->nnamespaces);
	bool good = up == t->nnodes && complete == t->groups * t->vnodes && readable == t->vnodes;
	topology_unref(t);
	return good ? CTL_OK : CTL_FAILED;
}

static uint64_t stat_of(const StatsReply *s, const char *name)
{
	for (uint32_t i = 0; i < s->n; i++)
	{
		if (strcmp(s->items[i].name, name) == 0)
			return s->items[i].value;
	}
	return 0;
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
		DorisError err;

		printf("%-16s %-28s %-6s %5u %-5s ", n->name, n->address, role_name(n), n->group,
			   condition_name(n));
		if (n->condition != NODE_UP ||
			doris_node_stats(ctl->client, n->id, &stats, &err) != DORIS_OK)
		{
			printf("%12s %14s %8s\n", "?", "?", "?");
			continue;
		}
		printf("%12llu %14llu %8llu\n", (unsigned long long) stat_sum(&stats, "rows_ns_"),
			   (unsigned long long) stat_sum(&stats, "bytes_ns_"),
			   (unsigned long long) stat_of(&stats, "staged"));
		stats_reply_free(&stats);
	}
	topology_unref(t);
	return CTL_OK;
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
static DorisStatus stats_at(const Ctl *ctl, const char *host, StatsReply *out, DorisError *err)
{
	Envelope e = {.format = DORIS_FORMAT_SENT, .type = MSG_STATS, .request = 1, .deadline_ms = 2000};
	uint64_t until = clock_mono_ms() + (uint64_t) ctl->deadline_ms;
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

int verb_stats(Ctl *ctl)
{
	const char *name = ctl->args[0];
	StatsReply stats;
	DorisError err;
	DorisStatus st;

	if (strchr(name, ':') != NULL)
		st = stats_at(ctl, name, &stats, &err);
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

/* What became of the comparison. */
typedef struct Comparison
{
	VnodeDigest *digests; /* by group, vnode; owned */
	bool *known;		  /* likewise: could be asked; owned */
	uint32_t equal;
	uint32_t different;
	uint32_t unsettled; /* the copies differ, but one still has a staged write */
	uint32_t unknown;	/* a copy that cannot be asked means "unknown", not "equal" */
	uint64_t rows;
} Comparison;

/* All vnodes of a group, each as its owner has it. */
static void digest_group(Ctl *ctl, const Topology *t, uint32_t group, uint32_t ns, Comparison *c)
{
	VnodeDigest *out = c->digests + (size_t) (group - 1) * t->vnodes;
	bool *known = c->known + (size_t) (group - 1) * t->vnodes;
	uint32_t *mine = calloc(t->vnodes, sizeof(*mine));

	memset(known, 0, t->vnodes * sizeof(*known));
	for (uint32_t i = 0; mine != NULL && i < t->nnodes; i++)
	{
		uint32_t n = 0;
		DigestReply reply;
		DorisError err;

		for (uint32_t v = 0; v < t->vnodes; v++)
		{
			const TopoCopy *copy = topology_copy(t, group, v);

			if (copy->complete && copy->owner == t->nodes[i].id)
				mine[n++] = v;
		}
		if (n == 0)
			continue;
		if (doris_digest(ctl->client, t->nodes[i].id, ns, mine, n, &reply, &err) != DORIS_OK)
		{
			fprintf(stderr, "dorisctl: %s: %s\n", t->nodes[i].name, err.message);
			continue;
		}
		for (uint32_t k = 0; k < reply.n; k++)
		{
			if (reply.vnodes[k].vnode >= t->vnodes)
				continue;
			out[reply.vnodes[k].vnode] = reply.vnodes[k];
			known[reply.vnodes[k].vnode] = true;
		}
		digest_reply_free(&reply);
	}
	free(mine);
}

static void show_difference(const Topology *t, uint32_t v, const Comparison *c)
{
	printf("vnode %u differs:", v);
	for (uint32_t g = 0; g < t->groups; g++)
	{
		const VnodeDigest *d = &c->digests[(size_t) g * t->vnodes + v];

		printf(" group %u has %llu rows, %llu staged%s", g + 1, (unsigned long long) d->rows,
			   (unsigned long long) d->staged, g + 1 < t->groups ? ";" : "\n");
	}
}

static void compare_copies(Ctl *ctl, const Topology *t, uint32_t ns, bool show, Comparison *c)
{
	c->equal = c->different = c->unsettled = c->unknown = 0;
	c->rows = 0;
	for (uint32_t g = 1; g <= t->groups; g++)
		digest_group(ctl, t, g, ns, c);
	for (uint32_t v = 0; v < t->vnodes; v++)
	{
		bool same = true;
		bool all = true;
		bool staged = false;

		for (uint32_t g = 0; g < t->groups; g++)
		{
			const VnodeDigest *d = &c->digests[(size_t) g * t->vnodes + v];

			all = all && c->known[(size_t) g * t->vnodes + v];
			same = same && d->digest == c->digests[v].digest && d->rows == c->digests[v].rows;
			staged = staged || d->staged > 0;
		}
		c->rows += c->known[v] ? c->digests[v].rows : 0;
		if (!all)
			c->unknown++;
		else if (same)
			c->equal++;
		else
		{
			if (staged)
				c->unsettled++;
			else
				c->different++;
			if (show && c->unsettled + c->different <= 10)
				show_difference(t, v, c);
		}
	}
}

/*
 * Reads everything from every group: whoever meets a staged write that is committed finishes it (rule
 * meet), which its own client may not have lived to do.
 */
static void settle(Ctl *ctl, const Topology *t)
{
	for (uint32_t g = 1; g <= t->groups; g++)
	{
		doris_set_read_group(ctl->client, g);
		for (uint32_t i = 0; i < t->nnamespaces; i++)
		{
			DorisScanSpec spec = {.ns = &t->namespaces[i], .count_only = true};
			DorisScan *scan;
			DorisError err;
			uint64_t count;

			if (doris_scan_open(ctl->client, &spec, &scan, &err) != DORIS_OK)
				continue; /* what stays unsettled is said */
			if (doris_scan_count(scan, &count, &err) != DORIS_OK)
				fprintf(stderr, "dorisctl: %s\n", err.message);
			doris_scan_close(scan);
		}
	}
	doris_set_read_group(ctl->client, 0);
	/* FINISH messages go in the background of other calls */
	for (int i = 0; i < 20; i++)
	{
		doris_pump(ctl->client);
		(void) poll(NULL, 0, 10);
	}
}

int verb_digest(Ctl *ctl)
{
	Topology *t = doris_topology(ctl->client);
	size_t n = (size_t) t->vnodes * t->groups;
	Comparison c = {.digests = calloc(n, sizeof(VnodeDigest)), .known = calloc(n, sizeof(bool))};
	uint32_t ns = 0;
	int code = CTL_OK;

	if (c.digests == NULL || c.known == NULL)
	{
		fputs("dorisctl: out of memory\n", stderr);
		code = CTL_FAILED;
	}
	if (code == CTL_OK && ctl->nargs > 0)
	{
		NsDef def;
		DorisError err;

		if (doris_namespace(ctl->client, ctl->args[0], &def, &err) != DORIS_OK)
			code = ctl_fail(&err);
		else
		{
			ns = def.id;
			nsdef_free(&def);
		}
	}
	if (code == CTL_OK)
	{
		compare_copies(ctl, t, ns, false, &c);
		if (c.unsettled > 0)
			settle(ctl, t);
		if (c.unsettled + c.different > 0)
			compare_copies(ctl, t, ns, true, &c);
		printf("equal %u, different %u, unsettled %u, unknown %u vnodes; %llu rows\n", c.equal,
			   c.different, c.unsettled, c.unknown, (unsigned long long) c.rows);
		code = c.equal == t->vnodes ? CTL_OK : CTL_FAILED;
	}
	free(c.digests);
	free(c.known);
	topology_unref(t);
	return code;
}
