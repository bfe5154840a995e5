/*
 * greet.c: the greeter: says HELLO to the admins until one says welcome, and makes the node ready.
 *
 * A new home gets its node id and cluster that way. A home that has them, and a topology, serves what it has when
 * no admin answers within a second, and goes on greeting.
 */
#include "node.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define GREET_PAUSE_MS 500
#define ALONE_MS 1000 /* without an answer for so long: serve what is there */
#define CONNECT_MS 300
#define ANSWER_MS 1500

static void sleep_ms(const Node *n, int ms)
{
	while (ms > 0 && !atomic_load(&n->stopping))
	{
		struct timespec pause = {0, 50 * 1000000L};

		(void) nanosleep(&pause, NULL);
		ms -= 50;
	}
}

static DorisStatus wait_connected(Channel *ch, const char *address, DorisError *err)
{
	uint64_t until = clock_mono_ms() + CONNECT_MS;
	int state;

	while ((state = channel_state(ch)) == 0 && clock_mono_ms() < until)
	{
		struct pollfd p = {channel_send_fd(ch), POLLIN, 0};

		(void) poll(&p, 1, 10);
	}
	if (state != 1)
		return doris_error(err, DORIS_UNREACHABLE, "cannot reach the admin at %s", address);
	return DORIS_OK;
}

/* One request to one admin. The reply's body is in *body, which points into *reply or scratch. */
static DorisStatus ask(Worker *w, const char *address, uint16_t type, const DorisBuf *request,
					   DorisBytes *reply, DorisBytes *body, DorisError *err)
{
	Node *n = w->node;
	Envelope e;
	DorisBytes request_body = {request->data, request->len};
	DorisBytes message;
	Channel *ch = NULL;
	uint64_t until;
	DorisStatus st;

	memset(&e, 0, sizeof(e));
	e.format = DORIS_FORMAT;
	e.type = type;
	e.request = clock_next(&n->clock);
	e.sender = atomic_load(&n->node_id);
	e.epoch = atomic_load(&n->epoch);
	e.deadline_ms = ANSWER_MS;
	st = envelope_write(&n->keys, &e, request_body, &w->out, err);
	if (st == DORIS_OK)
		st = channel_open(address, &ch, err);
	if (st == DORIS_OK)
		st = wait_connected(ch, address, err);
	message.data = w->out.data;
	message.len = w->out.len;
	if (st == DORIS_OK)
		st = channel_send(ch, message, err);
	until = clock_mono_ms() + ANSWER_MS;
	while (st == DORIS_OK)
	{
		struct pollfd p = {channel_receive_fd(ch), POLLIN, 0};
		Envelope answer;

		(void) poll(&p, 1, 50);
		st = channel_receive(ch, reply, err);
		if (st == DORIS_TIMEOUT)
		{
			if (channel_state(ch) != 1)
				st = doris_error(err, DORIS_UNREACHABLE, "the admin at %s went away", address);
			else if (clock_mono_ms() > until || atomic_load(&n->stopping))
				st = doris_error(err, DORIS_TIMEOUT, "the admin at %s does not answer", address);
			else
				st = DORIS_OK;
			continue;
		}
		if (st != DORIS_OK)
			break;
		st = envelope_read(&n->keys, reply->data, reply->len, &answer, body, &w->scratch, err);
		if (st == DORIS_OK && (answer.type != (type | DORIS_REPLY) || answer.request != e.request))
			st = doris_error(err, DORIS_BAD_MESSAGE, "the admin at %s answers something else",
							 address);
		break;
	}
	channel_close(ch);
	return st;
}

/* Keeps who it is now: before anything is done under that name. */
static DorisStatus become(Worker *w, const Welcome *m, DorisError *err)
{
	Node *n = w->node;
	Identity id = n->identity;
	DorisStatus st = DORIS_OK;

	if (id.node != 0)
	{
		if (id.node != m->node || memcmp(id.cluster, m->cluster, DORIS_UUID_SIZE) != 0)
			return doris_error(err, DORIS_DENIED,
							   "the home %s is node %u of one cluster, the admin takes it for node "
							   "%u%s",
							   n->config.home, id.node, m->node,
							   id.node == m->node ? " of another cluster" : "");
		return DORIS_OK;
	}
	if (m->node == 0)
		return doris_error(err, DORIS_BAD_MESSAGE, "the admin gave no node id");
	id.node = m->node;
	memcpy(id.cluster, m->cluster, DORIS_UUID_SIZE);
	st = meta_save_identity(w, &id, err);
	if (st == DORIS_OK)
		st = commit_flush_all(w, err);
	if (st != DORIS_OK)
		return st;
	(void) pthread_mutex_lock(&n->identity_lock);
	/* the rest of it is read without the lock: written once, at the start */
	n->identity.node = id.node;
	memcpy(n->identity.cluster, id.cluster, DORIS_UUID_SIZE);
	(void) pthread_mutex_unlock(&n->identity_lock);
	atomic_store(&n->node_id, id.node);
	return DORIS_OK;
}

/* OK: welcome. NOT_FOUND: an admin answered, but does not know this node yet. DENIED: never. */
static DorisStatus hello(Worker *w, const char *address, DorisError *err)
{
	Node *n = w->node;
	Hello h;
	Welcome welcome;
	DorisBuf request;
	DorisBytes reply = {NULL, 0};
	DorisBytes body = {NULL, 0};
	DorisStatus st;

	memset(&h, 0, sizeof(h));
	(void) snprintf(h.name, sizeof(h.name), "%s", n->identity.name);
	(void) snprintf(h.address, sizeof(h.address), "%s", n->config.listen);
	memcpy(h.home, n->identity.home, DORIS_UUID_SIZE);
	memcpy(h.cluster, n->identity.cluster, DORIS_UUID_SIZE);
	h.node = n->identity.node;
	h.incarnation = n->incarnation;
	h.epoch = atomic_load(&n->epoch);
	(void) snprintf(h.build, sizeof(h.build), "%s", DORIS_BUILD);
	buf_init(&request);
	hello_encode(&request, &h);
	if (request.failed)
		st = doris_error(err, DORIS_NO_MEMORY, "saying hello: out of memory");
	else
		st = ask(w, address, MSG_HELLO, &request, &reply, &body, err);
	if (st == DORIS_OK)
	{
		DorisCursor c = cursor_of(body.data, body.len);

		st = reply_read_status(&c, err);
		if (st == DORIS_OK)
			st = welcome_decode(&c, &welcome, err);
		if (st == DORIS_OK)
			st = become(w, &welcome, err);
		if (st == DORIS_OK && welcome.topology.len > 0)
			st = epoch_take(w, welcome.topology, err);
	}
	channel_free_reply(&reply);
	buf_free(&request);
	return st;
}

typedef struct Greeting
{
	bool welcome;
	bool answered;	   /* some admin answered in the last round */
	bool told_unknown; /* the log has said that no admin knows this node */
	bool told_silent;  /* ... that no admin answers */
	uint64_t began_ms;
} Greeting;

static void greet_round(Worker *w, Greeting *g)
{
	Node *n = w->node;
	DorisError err = {0};

	g->answered = false;
	for (int i = 0; i < n->config.nadmins && !g->welcome && !atomic_load(&n->stopping); i++)
	{
		const char *address = n->config.admins[i];

		switch (hello(w, address, &err))
		{
			case DORIS_OK:
				g->welcome = true;
				g->answered = true;
				log_line(LOG_INFO, "the admin at %s welcomes %s as node %u", address,
						 n->identity.name, n->identity.node);
				break;
			case DORIS_DENIED:
				log_line(LOG_ERROR, "the admin at %s refuses this node: %s%s%s", address,
						 err.message, err.hint[0] != '\0' ? ". " : "", err.hint);
				node_stop(n, 1);
				return;
			case DORIS_NOT_FOUND:
				g->answered = true;
				if (!g->told_unknown)
					log_line(LOG_INFO, "the admin at %s does not know %s yet: %s; asking on",
							 address, n->identity.name, err.message);
				g->told_unknown = true;
				break;
			default:
				log_line(LOG_DEBUG, "hello to %s: %s", address, err.message);
				if (!g->told_silent && clock_mono_ms() - g->began_ms > ALONE_MS)
				{
					log_line(LOG_WARNING, "no admin has answered yet (%s); asking on", err.message);
					g->told_silent = true;
				}
				break;
		}
	}
}

/* Makes the tables, then lets requests in. */
static void become_ready(Worker *w, const char *why)
{
	Node *n = w->node;
	DorisError err = {0};
	DorisStatus st = tables_settle(w, &err);

	if (st != DORIS_OK && st != DORIS_LIMIT)
	{
		log_line(LOG_ERROR, "cannot make the tables of the vnodes: %s", err.message);
		if (st != DORIS_DISK_FULL)
			node_stop(n, 1);
		return;
	}
	if (atomic_load(&n->stopping))
		return;
	atomic_store(&n->serving, true);
	log_line(LOG_INFO, "ready: %s serves %u vnodes at %s, epoch %llu%s", n->identity.name,
			 n->placement == NULL ? 0 : n->placement->targets, n->config.listen,
			 (unsigned long long) atomic_load(&n->epoch), why);
}

static void *greet_main(void *arg)
{
	Node *n = arg;
	Worker w;
	Greeting g = {.began_ms = clock_mono_ms()};
	DorisError err = {0};

	if (worker_init(&w, n, &err) != DORIS_OK)
	{
		log_line(LOG_ERROR, "%s", err.message);
		node_stop(n, 1);
		return NULL;
	}
	while (!atomic_load(&n->stopping))
	{
		greet_round(&w, &g);
		if (!atomic_load(&n->serving))
		{
			if (g.welcome)
				become_ready(&w, "");
			else if (n->identity.node != 0 && atomic_load(&n->epoch) > 0 &&
					 clock_mono_ms() - g.began_ms >= ALONE_MS)
				become_ready(&w, g.answered ? "; no admin knows it"
											: "; no admin answers, going by what is kept");
		}
		if (g.welcome && atomic_load(&n->serving))
			break;
		sleep_ms(n, GREET_PAUSE_MS);
	}
	worker_free(&w);
	return NULL;
}

DorisStatus greet_start(Node *n, pthread_t *thread, DorisError *err)
{
	int rc = pthread_create(thread, NULL, greet_main, n);

	if (rc != 0)
		return doris_error(err, DORIS_NO_MEMORY, "starting the greeter: %s", strerror(rc));
	return DORIS_OK;
}
