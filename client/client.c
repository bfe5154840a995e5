/*
 * client.c: connecting, the topology a client goes by, and what every public call begins with.
 *
 * The topology is replaced by a newer one whenever one is met: on the timer, when a reply shows a newer epoch, and when
 * a node says that a request was out of date. It is immutable and reference counted: a call in progress keeps
 * the one it began with.
 */
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define CONNECT_SLICE_MS 1000 /* hosts that answered nothing useful are asked again after this */
#define CONNECT_OTHERS_MS 10  /* after the first host's answer, for the others' */
#define REFRESH_SLICE_MS 400
#define MOVED_PAUSE_MS 20

bool status_is_moved(DorisStatus st)
{
	return st == DORIS_STALE_EPOCH || st == DORIS_NOT_OWNER || st == DORIS_NO_NAMESPACE ||
		   st == DORIS_BEHIND;
}

uint64_t client_share(uint64_t until, int n)
{
	uint64_t now = clock_mono_ms();

	return until > now ? now + (until - now) / (uint64_t) n : until;
}

int client_left_ms(const DorisClient *c, uint64_t until)
{
	uint64_t now = clock_mono_ms();

	(void) c;
	return until > now ? (int) (until - now) : 0;
}

DorisVersion client_version(DorisClient *c)
{
	return (DorisVersion){.clock = clock_next(&c->clock), .origin = c->origin};
}

DorisTxnId client_txnid(DorisClient *c)
{
	/* the high bit of the nonce marks the transactions of decision rows */
	return (DorisTxnId){.clock = clock_next(&c->clock),
						.origin = c->origin,
						.nonce = randombytes_random() & 0x7fffffffu};
}

const char *key_text(DorisBytes key)
{
	static _Thread_local char text[4][80];
	static _Thread_local int turn;
	char *out = text[turn++ & 3];
	size_t at = 0;
	size_t i;

	at += (size_t) snprintf(out, 80, "\\x");
	for (i = 0; i < key.len && i < 32; i++)
		at += (size_t) snprintf(out + at, 80 - at, "%02x", key.data[i]);
	if (i < key.len)
		snprintf(out + at, 80 - at, "…");
	return out;
}

const char *txn_text(DorisTxnId id)
{
	static _Thread_local char text[4][48];
	static _Thread_local int turn;
	char *out = text[turn++ & 3];

	snprintf(out, 48, "%016llx.%08x.%08x", (unsigned long long) id.clock, id.origin, id.nonce);
	return out;
}

/* ---- topology ---- */
const TopoNode *client_node_at(const DorisClient *c, const char *address)
{
	uint32_t i;

	for (i = 0; c->topo != NULL && i < c->topo->nnodes; i++)
		if (strcmp(c->topo->nodes[i].address, address) == 0)
			return &c->topo->nodes[i];
	return NULL;
}

void client_note_epoch(DorisClient *c, Peer *p, uint64_t epoch)
{
	if (epoch > c->epoch_seen)
	{
		c->epoch_seen = epoch;
		c->epoch_peer = p;
	}
}

DorisStatus client_take_topology(DorisClient *c, DorisBytes encoded, DorisError *err)
{
	Topology *t;
	DorisStatus st;

	if (encoded.len == 0)
		return DORIS_OK;
	st = topology_decode(encoded.data, encoded.len, c->keys.present ? c->keys.public_key : NULL, &t,
						 err);
	if (st != DORIS_OK)
		return st;
	if (c->topo != NULL && memcmp(c->topo->cluster, t->cluster, DORIS_UUID_SIZE) != 0)
	{
		topology_unref(t);
		doris_error(err, DORIS_DENIED, "the hosts belong to different clusters");
		return doris_hint(err, "Check the hosts option: all addresses must be of one cluster.");
	}
	if (c->topo != NULL && t->epoch == c->topo->epoch &&
		memcmp(c->topo->hash, t->hash, DORIS_HASH_SIZE) != 0)
	{
		/* rule *publish*: two topologies of one epoch must never be; nobody may guess which is right */
		doris_error(err, DORIS_INTERNAL, "two different topologies of epoch %llu are about",
					(unsigned long long) t->epoch);
		topology_unref(t);
		return doris_hint(err, "Stop writing and look at the events of the admins.");
	}
	if (c->topo != NULL && t->epoch <= c->topo->epoch)
	{
		topology_unref(t); /* never back (I3) */
		return DORIS_OK;
	}
	topology_unref(c->topo);
	c->topo = t;
	if (t->epoch > c->epoch_seen)
		c->epoch_seen = t->epoch;
	return DORIS_OK;
}

static void topology_question(DorisClient *c, Call *call)
{
	TopologyGet q = {.have_epoch = c->topo != NULL ? c->topo->epoch : 0};

	buf_reset(&call->body);
	topology_get_encode(&call->body, &q);
}

static DorisStatus topology_answer(DorisClient *c, Call *call, DorisError *err)
{
	DorisBytes encoded;

	if (call->status != DORIS_OK)
	{
		*err = call->err;
		return call->status;
	}
	encoded = cursor_bytes(&call->reply);
	if (call->reply.bad)
		return doris_error(err, DORIS_BAD_MESSAGE, "%s sent a malformed topology",
						   peer_name(c, call->peer));
	return client_take_topology(c, encoded, err);
}

/* Asks one process. */
static DorisStatus refresh_from(DorisClient *c, Peer *p, uint64_t until, DorisError *err)
{
	Call call;
	DorisStatus st;

	call_init(&call);
	topology_question(c, &call);
	st = call_run(c, &call, p, MSG_TOPOLOGY_GET, c->topo, until, err);
	if (st == DORIS_OK)
		st = topology_answer(c, &call, err);
	call_free(c, &call);
	return st;
}

/* In which order processes are asked. */
typedef enum RefreshRank
{
	REFRESH_SHOWN = 0,
	REFRESH_ADMINS,
	REFRESH_NODES,
	REFRESH_OTHERS
} RefreshRank;

static int refresh_rank(const DorisClient *c, const Peer *p)
{
	const TopoNode *n;

	if (p->suspect_until > clock_mono_ms())
		return REFRESH_OTHERS;
	n = client_node_at(c, p->address);
	if (n == NULL)
		return p->host ? REFRESH_ADMINS : REFRESH_OTHERS;
	return n->condition == NODE_UP ? REFRESH_NODES : REFRESH_OTHERS;
}

DorisStatus client_refresh(DorisClient *c, uint64_t min_epoch, uint64_t until, DorisError *err)
{
	DorisError last = {.code = DORIS_OK};
	int pause = 10;

	c->asked_ms = clock_mono_ms();
	for (;;)
	{
		Peer *p;
		int round;
		bool asked = false;

		/* who showed the newest epoch, when that is wanted; then admins; then nodes, those in trouble last */
		for (round = min_epoch == 0 ? REFRESH_ADMINS : REFRESH_SHOWN; round <= REFRESH_OTHERS;
			 round++)
		{
			for (p = round == REFRESH_SHOWN ? c->epoch_peer : c->peers; p != NULL; p = p->next)
			{
				uint64_t slice = clock_mono_ms() + REFRESH_SLICE_MS;
				DorisStatus st;

				if (round != REFRESH_SHOWN && refresh_rank(c, p) != round)
					continue;
				st = refresh_from(c, p, slice < until ? slice : until, err);
				if (st == DORIS_OK)
				{
					asked = true;
					/* for the newest there is all admins are asked: a standby may be behind the leader */
					if (c->topo != NULL && c->topo->epoch >= min_epoch &&
						(min_epoch > 0 || round != REFRESH_ADMINS))
						return DORIS_OK;
				}
				else if (st == DORIS_CANCELLED || st == DORIS_NO_MEMORY || st == DORIS_INTERNAL)
					return st;
				else
				{
					last = *err;
					if (st == DORIS_UNREACHABLE || st == DORIS_TIMEOUT)
						peer_suspect(p, st);
				}
				if (round == REFRESH_SHOWN || clock_mono_ms() >= until)
					break;
			}
			if (asked && c->topo != NULL && c->topo->epoch >= min_epoch)
				return DORIS_OK;
		}
		if (clock_mono_ms() >= until || (asked && c->topo != NULL && min_epoch == 0))
			break;
		DorisStatus st = client_pause(c, pause, err);

		if (st != DORIS_OK)
			return st;
		pause = pause < 200 ? pause * 2 : 200;
	}
	if (c->topo == NULL || c->topo->epoch < min_epoch)
	{
		if (last.code != DORIS_OK)
			doris_error(err, DORIS_UNAVAILABLE,
						"no topology of epoch %llu or newer is to be had: %.300s",
						(unsigned long long) min_epoch, last.message);
		else
			doris_error(err, DORIS_UNAVAILABLE,
						"nobody asked has a topology of epoch %llu or newer",
						(unsigned long long) min_epoch);
		return doris_hint(err, "Is an admin of the cluster running?");
	}
	return DORIS_OK;
}

DorisStatus client_moved(DorisClient *c, uint64_t used_epoch, uint64_t until, DorisError *err)
{
	DorisStatus st;

	if (c->topo->epoch > used_epoch)
		return DORIS_OK; /* another call has fetched it meanwhile */
	if (c->epoch_seen > used_epoch)
		return client_refresh(c, used_epoch + 1, until, err);
	st = client_refresh(c, 0, until, err);
	if (st == DORIS_OK && c->topo->epoch <= used_epoch)
		st = client_pause(c, MOVED_PAUSE_MS, err);
	return st;
}

/* The timer: a client that hears from nobody, or only from nodes cut off, still learns of new epochs. */
static void timer_turn(DorisClient *c)
{
	Call *call = &c->timer_call;
	uint64_t now = clock_mono_ms();
	DorisError err;
	Peer *p;
	uint32_t i;

	if (call->state != CALL_IDLE && call->state != CALL_DONE)
		peers_pump(c);
	if (call->state == CALL_DONE)
	{
		/* a failure here is told when a call needs what could not be had */
		(void) !topology_answer(c, call, &err);
		call_abandon(c, call);
	}
	else if (call->state != CALL_IDLE)
	{
		if (now >= call->until)
			call_cut(c, call);
		return;
	}
	if (now - c->asked_ms < CLIENT_IDLE_REFRESH_MS || c->nhosts == 0)
		return;
	c->asked_ms = now;
	/* a different host each time */
	i = c->timer_host++ % c->nhosts;
	for (p = c->peers; p != NULL; p = p->next)
		if (p->host && i-- == 0)
			break;
	if (p == NULL)
		return;
	topology_question(c, call);
	call_start(c, call, p, MSG_TOPOLOGY_GET, c->topo, now + CLIENT_CONNECT_MS);
}

void client_begin(DorisClient *c)
{
	DorisError err;

	c->until = clock_mono_ms() + (uint64_t) c->deadline_ms;
	c->cancelled = false;
	c->no_cancel = false;
	if (c->nwork > 0)
		finish_pump(c);
	timer_turn(c);
	/* a reply showed a newer epoch: better one question now than a refusal later. Failing is no harm. */
	if (c->topo != NULL && c->epoch_seen > c->topo->epoch && c->epoch_peer != NULL)
	{
		uint64_t slice = clock_mono_ms() + REFRESH_SLICE_MS;

		if (refresh_from(c, c->epoch_peer, slice < c->until ? slice : c->until, &err) != DORIS_OK)
			c->epoch_seen = c->topo->epoch;
	}
}

/* ---- connecting ---- */
static DorisStatus hosts_take(DorisClient *c, const char *hosts, DorisError *err)
{
	char *copy;
	char *item;
	char *rest;
	DorisStatus st = DORIS_OK;

	if (hosts == NULL || hosts[0] == '\0')
	{
		doris_error(err, DORIS_BAD_ARGUMENT, "no hosts given");
		return doris_hint(err, "Set hosts to addresses of admins or nodes: host:port,host:port.");
	}
	copy = strdup(hosts);
	if (copy == NULL)
		return client_no_memory(err);
	for (item = strtok_r(copy, ",", &rest); item != NULL && st == DORIS_OK;
		 item = strtok_r(NULL, ",", &rest))
	{
		char address[DORIS_ADDRESS_MAX];
		size_t len;
		Peer *p;

		while (*item == ' ')
			item++;
		for (len = strlen(item); len > 0 && item[len - 1] == ' '; len--)
			item[len - 1] = '\0';
		if (len == 0)
			continue;
		int n = snprintf(address, sizeof(address), "%s%s",
						 strncmp(item, "tcp://", 6) == 0 ? "" : "tcp://", item);

		if (n < 0 || (size_t) n >= sizeof(address) || !transport_address_valid(address))
		{
			doris_error(err, DORIS_BAD_ARGUMENT, "\"%.200s\" in hosts is not host:port", item);
			st = doris_hint(err, "Write a port from 1 to 65535 after every host.");
			break;
		}
		if (!c->keys.present && !transport_is_loopback(address))
		{
			doris_error(err, DORIS_BAD_ARGUMENT,
						"without a key file only loopback addresses are allowed, not \"%.200s\"",
						item);
			st = doris_hint(err, "Give the cluster's key file.");
			break;
		}
		p = peer_of_address(c, address);
		if (p == NULL)
		{
			st = client_no_memory(err);
			break;
		}
		if (!p->host)
			c->nhosts++;
		p->host = true;
	}
	free(copy);
	if (st == DORIS_OK && c->nhosts == 0)
		st = doris_error(err, DORIS_BAD_ARGUMENT, "no hosts given");
	return st;
}

/* Asks all hosts at once; the newest topology of those that answer soon. */
static DorisStatus hosts_ask(DorisClient *c, uint64_t until, DorisError *last)
{
	Call *calls = calloc(c->nhosts, sizeof(*calls));
	Call **waiting = calloc(c->nhosts, sizeof(*waiting));
	uint32_t n = 0;
	uint32_t i;
	Peer *p;
	DorisStatus st = DORIS_OK;

	if (calls == NULL || waiting == NULL)
	{
		free(calls);
		free(waiting);
		return client_no_memory(last);
	}
	for (p = c->peers; p != NULL; p = p->next)
		if (p->host && n < c->nhosts)
		{
			waiting[n] = &calls[n];
			call_init(&calls[n]);
			topology_question(c, &calls[n]);
			call_start(c, &calls[n], p, MSG_TOPOLOGY_GET, NULL, until);
			n++;
		}
	for (;;)
	{
		uint32_t open = 0;
		DorisError err;

		for (i = 0; i < n; i++)
			open += waiting[i] != NULL;
		if (open == 0)
			break;
		/* with one topology at hand, the others have a moment to show a newer one */
		if (c->topo != NULL && until > clock_mono_ms() + CONNECT_OTHERS_MS)
			until = clock_mono_ms() + CONNECT_OTHERS_MS;
		st = calls_wait(c, waiting, (int) n, false, until, &err);
		if (st == DORIS_TIMEOUT && (last->code != DORIS_OK || c->topo != NULL))
			break;
		if (st != DORIS_OK)
		{
			*last = err;
			break;
		}
		for (i = 0; i < n; i++)
		{
			if (waiting[i] == NULL || waiting[i]->state != CALL_DONE)
				continue;
			st = topology_answer(c, waiting[i], &err);
			if (st == DORIS_OK && c->topo == NULL)
			{
				st = doris_error(&err, DORIS_UNAVAILABLE, "%s has no topology yet",
								 peer_name(c, waiting[i]->peer));
				doris_hint(&err, "The cluster is complete once every group has a node.");
			}
			/* of several failures the one that says most */
			if (st != DORIS_OK && (last->code == DORIS_OK || st != DORIS_UNREACHABLE))
				*last = err;
			waiting[i] = NULL;
		}
	}
	for (i = 0; i < n; i++)
		call_free(c, &calls[i]);
	free(calls);
	free(waiting);
	if (c->topo != NULL)
		return DORIS_OK;
	return last->code;
}

static DorisStatus connect_wait(DorisClient *c, DorisError *err)
{
	uint64_t until =
		clock_mono_ms() +
		(uint64_t) (c->deadline_ms < CLIENT_CONNECT_MS ? c->deadline_ms : CLIENT_CONNECT_MS);
	int pause = 20;

	for (;;)
	{
		uint64_t slice = clock_mono_ms() + CONNECT_SLICE_MS;
		DorisError last = {.code = DORIS_OK};
		DorisStatus st = hosts_ask(c, slice < until ? slice : until, &last);

		if (st == DORIS_OK)
			return DORIS_OK;
		*err = last;
		/* a wrong key or format does not get better by waiting */
		if (st == DORIS_CANCELLED || st == DORIS_DENIED || st == DORIS_BAD_MESSAGE ||
			st == DORIS_NO_MEMORY || st == DORIS_INTERNAL)
			return st;
		if (clock_mono_ms() + (uint64_t) pause >= until)
		{
			if (st == DORIS_UNREACHABLE || st == DORIS_TIMEOUT)
			{
				doris_error(err, DORIS_UNAVAILABLE, "no host of the cluster answers: %.300s",
							last.message);
				/* who cannot open a message does not answer it */
				doris_hint(
					err, "%s",
					st == DORIS_TIMEOUT
						? "Something listens there, but does not answer: check the "
						  "key_file option, and that clocks agree within two minutes."
						: "Check the hosts option, and that an admin or node listens there.");
			}
			return err->code;
		}
		st = client_pause(c, pause, err);
		if (st != DORIS_OK)
			return st;
		pause = pause < 200 ? pause * 2 : 200;
	}
}

DorisStatus doris_connect(const DorisOptions *options, DorisClient **out, DorisError *err)
{
	DorisClient *c;
	DorisStatus st;

	*out = NULL;
	if (sodium_init() < 0)
		return doris_error(err, DORIS_INTERNAL, "libsodium cannot be initialized");
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return client_no_memory(err);
	buf_init(&c->out);
	call_init(&c->timer_call);
	c->wait = options->wait;
	c->wait_arg = options->wait_arg;
	c->read_group = options->read_group;
	do
		c->origin = randombytes_random();
	while (c->origin == 0);
	clock_init(&c->clock, 0);
	doris_set_deadline(c, options->deadline_ms);
	c->until = clock_mono_ms() + (uint64_t) c->deadline_ms;
	st = keys_load(options->key_file, &c->keys, err);
	if (st == DORIS_OK)
		st = hosts_take(c, options->hosts, err);
	if (st == DORIS_OK)
		st = connect_wait(c, err);
	if (st != DORIS_OK)
	{
		doris_disconnect(c);
		return st;
	}
	c->asked_ms = clock_mono_ms();
	*out = c;
	return DORIS_OK;
}

void doris_disconnect(DorisClient *c)
{
	if (c == NULL)
		return;
	if (c->nwork > 0)
	{
		c->no_cancel = true;
		finish_flush(c, NULL, 0, 200);
	}
	decide_forget(c);
	call_free(c, &c->timer_call);
	while (c->peers != NULL)
	{
		Peer *p = c->peers;

		c->peers = p->next;
		peer_free(c, p);
	}
	topology_unref(c->topo);
	keys_wipe(&c->keys);
	buf_free(&c->out);
	free(c->counters);
	free(c->pollfds);
	free(c->fds);
	free(c);
}

void doris_set_deadline(DorisClient *c, int deadline_ms)
{
	c->deadline_ms = deadline_ms > 0 ? deadline_ms : DORIS_DEFAULT_DEADLINE_MS;
}

void doris_set_read_group(DorisClient *c, uint32_t group)
{
	c->read_group = group;
}

void doris_pump(DorisClient *c)
{
	peers_pump(c);
	timer_turn(c);
}

Topology *doris_topology(DorisClient *c)
{
	return topology_ref(c->topo);
}

DorisStatus doris_refresh(DorisClient *c, uint64_t min_epoch, DorisError *err)
{
	client_begin(c);
	return client_refresh(c, min_epoch, c->until, err);
}

DorisStatus doris_namespace(DorisClient *c, const char *name, NsDef *out, DorisError *err)
{
	const NsDef *def;
	DorisStatus st;

	client_begin(c);
	def = topology_namespace(c->topo, name);
	if (def == NULL)
	{
		/* an admin knows of it first; without one the topology at hand has to do */
		st = client_refresh(c, 0, c->until, err);
		if (st != DORIS_OK)
			return st;
		def = topology_namespace(c->topo, name);
	}
	if (def == NULL)
		return doris_error(err, DORIS_NOT_FOUND, "namespace \"%s\" does not exist", name);
	return nsdef_copy(def, out, err);
}

/* Newer peers come first: their round trip holds. */
static void counters_add(DorisNodeCounters *sum, const DorisNodeCounters *older)
{
	sum->requests += older->requests;
	sum->rows += older->rows;
	sum->bytes += older->bytes;
	sum->retries += older->retries;
	sum->failovers += older->failovers;
	sum->time_us += older->time_us;
	if (sum->round_trips == 0)
		sum->round_trip_ns = older->round_trip_ns;
	sum->round_trips += older->round_trips;
}

const DorisNodeCounters *doris_counters(const DorisClient *c, uint32_t *n)
{
	DorisClient *mine = (DorisClient *) (uintptr_t) c; /* only the cache of the answer changes */
	DorisNodeCounters *counters;
	const Peer *p;
	uint32_t count = 0;

	for (p = c->peers; p != NULL; p = p->next)
		count += p->node != 0;
	*n = 0;
	counters = realloc(mine->counters, (count + 1) * sizeof(*counters));
	if (counters == NULL)
		return mine->counters;
	mine->counters = counters;
	for (p = c->peers; p != NULL; p = p->next)
	{
		uint32_t i = c->readdressed ? 0 : *n;

		if (p->node == 0)
			continue;
		while (i < *n && counters[i].node != p->node)
			i++;
		if (i == *n)
			counters[(*n)++] = p->count;
		else
			counters_add(&counters[i], &p->count);
	}
	return counters;
}

uint64_t doris_activity(const DorisClient *c)
{
	return c->activity;
}
