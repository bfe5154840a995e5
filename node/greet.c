/*
 * greet.c: the greeter: says HELLO to the admins until one says welcome, and makes the node ready.
 *
 * A new home gets its node id and cluster that way. Requests are let in when the topology in force names this start:
 * the leading admin enters it there after comparing what HELLO says with what it knows (rule start).
 */
#include "node.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ask.h"

#define GREET_PAUSE_MS 500
#define ALONE_MS 1000 /* without an answer for so long: the log says so */
#define ANSWER_MS 1500

/* Until the next greeting, or until the topology names this start. */
static void wait_named(Node *n)
{
	bool was_named = epoch_is_named(n);

	for (int ms = 0; ms < GREET_PAUSE_MS && !atomic_load(&n->stopping); ms += 20)
	{
		struct timespec pause = {0, 20 * 1000000L};

		(void) nanosleep(&pause, NULL);
		if (!was_named && epoch_is_named(n))
			break;
	}
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
	DorisCursor c;
	Ask ask;
	DorisStatus st;

	memset(&h, 0, sizeof(h));
	(void) snprintf(h.name, sizeof(h.name), "%s", n->identity.name);
	(void) snprintf(h.address, sizeof(h.address), "%s", n->config.listen);
	memcpy(h.home, n->identity.home, DORIS_UUID_SIZE);
	memcpy(h.cluster, n->identity.cluster, DORIS_UUID_SIZE);
	h.node = n->identity.node;
	h.incarnation = n->incarnation;
	h.epoch = atomic_load(&n->epoch);
	h.mark = n->mark_found;
	h.clean = n->was_clean;
	(void) snprintf(h.build, sizeof(h.build), "%s", DORIS_BUILD);
	buf_init(&request);
	hello_encode(&request, &h);
	ask_init(&ask, n, "admin", address);
	if (request.failed)
		st = doris_error(err, DORIS_NO_MEMORY, "saying hello: out of memory");
	else
	{
		DorisBytes body = {request.data, request.len};

		st = ask_wait(&ask, MSG_HELLO, body, ANSWER_MS, &c, err);
	}
	if (st == DORIS_OK)
		st = welcome_decode(&c, &welcome, err);
	if (st == DORIS_OK)
		st = become(w, &welcome, err);
	if (st == DORIS_OK && welcome.topology.len > 0)
		st = epoch_take(w, welcome.topology, err);
	ask_free(&ask);
	buf_free(&request);
	return st;
}

typedef struct Greeting
{
	bool told_welcome; /* the log has said so */
	bool told_unknown; /* the log has said that no admin knows this node */
	bool told_silent;  /* ... that no admin answers */
	uint64_t began_ms;
} Greeting;

static void greet_round(Worker *w, Greeting *g)
{
	Node *n = w->node;
	DorisError err = {0};

	for (int i = 0; i < n->config.nadmins && !atomic_load(&n->stopping) && !epoch_is_named(n); i++)
	{
		const char *address = n->config.admins[i];

		switch (hello(w, address, &err))
		{
			case DORIS_OK:
				/* a standby may have said so: the others are asked too, one of them leads */
				if (!g->told_welcome)
					log_line(LOG_INFO, "the admin at %s welcomes %s as node %u", address,
							 n->identity.name, n->identity.node);
				g->told_welcome = true;
				break;
			case DORIS_DENIED:
				log_line(LOG_ERROR, "the admin at %s refuses this node: %s%s%s", address,
						 err.message, err.hint[0] != '\0' ? ". " : "", err.hint);
				node_stop(n, 1);
				return;
			case DORIS_NOT_FOUND:
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

static uint32_t targets(Node *n)
{
	uint32_t count;

	(void) pthread_rwlock_rdlock(&n->epoch_lock);
	count = n->placement->targets;
	(void) pthread_rwlock_unlock(&n->epoch_lock);
	return count;
}

/* Makes the tables, then lets requests in. */
static void become_ready(Worker *w)
{
	Node *n = w->node;
	DorisError err = {0};
	DorisStatus st = tables_settle(w, 0, &err);

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
	log_line(LOG_INFO, "ready: %s serves %u vnodes at %s, epoch %llu", n->identity.name, targets(n),
			 n->config.listen, (unsigned long long) atomic_load(&n->epoch));
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
	while (!atomic_load(&n->stopping) && !atomic_load(&n->serving))
	{
		if (!epoch_is_named(n))
			greet_round(&w, &g);
		if (epoch_is_named(n))
			become_ready(&w);
		if (!atomic_load(&n->serving))
			wait_named(n);
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
