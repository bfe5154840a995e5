/*
 * heart.c: the thread that owns all traffic to the nodes.
 *
 * While this admin leads it keeps a Pulse for every node of the topology, holds answers back until the nodes have their
 * topology, and tells when a new leader may go on (rule *publish*: first learn every node's epoch). While it does not,
 * and the database is away, it asks others for a newer topology, so that clients may ask this admin.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pulse.h"
#include "version.h"

#define MAX_REPORTED 1024
#define ASK_MS 1000

DorisStatus heart_new(Admin *a, Heart **out, DorisError *err)
{
	Heart *h = calloc(1, sizeof(*h));

	*out = NULL;
	if (h == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory");
	h->admin = a;
	h->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (h->kick_fd < 0)
	{
		free(h);
		return doris_error(err, DORIS_IO, "cannot create an eventfd: %m");
	}
	pthread_mutex_init(&h->lock, NULL);
	buf_init(&h->put_body);
	buf_init(&h->beat_head);
	talk_init(&h->ask);
	*out = h;
	return DORIS_OK;
}

void heart_free(Admin *a, Heart *h)
{
	if (h == NULL)
		return;
	for (int i = 0; i < h->npulses; i++)
		pulse_free(a, h->pulses[i]);
	free(h->pulses);
	talk_free(&h->ask);
	for (int pass = 0; pass < 2; pass++)
		for (Awaited *w = pass == 0 ? h->awaited : h->handed_in, *next; w != NULL; w = next)
		{
			next = w->next;
			listener_drop(a->listener, &w->request.in);
			buf_free(&w->body);
			free(w);
		}
	for (Reported *r = h->reported, *next; r != NULL; r = next)
	{
		next = r->next;
		if (r->has_request)
			listener_drop(a->listener, &r->request.in);
		free(r);
	}
	topology_unref(h->topology);
	buf_free(&h->put_body);
	buf_free(&h->beat_head);
	heart_reports_free(h->reports, h->nreports);
	free(h->silent);
	close(h->kick_fd);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

void heart_kick(Admin *a)
{
	uint64_t one = 1;

	if (write(a->heart->kick_fd, &one, sizeof(one)) < 0)
		log_write(LOG_DEBUG, "the heart thread is awake already");
}

void heart_report(Admin *a, Request *r, const Report *report)
{
	Heart *h = a->heart;
	Reported *item = calloc(1, sizeof(*item));
	bool full;

	if (item == NULL)
	{
		listener_drop(a->listener, &r->in);
		return;
	}
	item->request = *r;
	item->has_request = true;
	item->report = *report;
	pthread_mutex_lock(&h->lock);
	full = h->nreported >= MAX_REPORTED;
	if (!full)
	{
		item->next = h->reported;
		h->reported = item;
		h->nreported++;
	}
	pthread_mutex_unlock(&h->lock);
	if (full)
	{
		request_verdict(a, &item->request, VERDICT_UNSURE, "too many reports are waiting");
		free(item);
		return;
	}
	heart_kick(a);
}

void heart_fail(Admin *a, uint32_t node, Request *r)
{
	Heart *h = a->heart;
	Reported *item = calloc(1, sizeof(*item));

	if (item == NULL)
	{
		if (r != NULL)
			listener_drop(a->listener, &r->in);
		return;
	}
	item->fail = true;
	item->report.node = node;
	item->has_request = r != NULL;
	if (r != NULL)
		item->request = *r;
	pthread_mutex_lock(&h->lock);
	item->next = h->reported;
	h->reported = item;
	h->nreported++;
	pthread_mutex_unlock(&h->lock);
	heart_kick(a);
}

void heart_acquit(Admin *a, uint32_t node)
{
	Heart *h = a->heart;

	pthread_mutex_lock(&h->lock);
	/* What does not fit is forgotten: that node gets no leases until the next topology or leader. */
	if (h->nacquitted < (int) (sizeof(h->acquitted) / sizeof(h->acquitted[0])))
		h->acquitted[h->nacquitted++] = node;
	pthread_mutex_unlock(&h->lock);
	heart_kick(a);
}

uint32_t *heart_silent(Admin *a, int *n)
{
	Heart *h = a->heart;
	uint32_t *list;

	pthread_mutex_lock(&h->lock);
	list = malloc(((size_t) h->nsilent + 1) * sizeof(*list));
	*n = list != NULL ? h->nsilent : 0;
	if (*n > 0)
		memcpy(list, h->silent, (size_t) *n * sizeof(*list));
	pthread_mutex_unlock(&h->lock);
	return list;
}

void heart_await(Admin *a, Request *r, DorisBuf *body, uint64_t epoch)
{
	Heart *h = a->heart;
	Awaited *item = calloc(1, sizeof(*item));
	bool full = item == NULL;

	if (item != NULL)
	{
		item->request = *r;
		item->body = *body;
		item->epoch = epoch;
		item->deadline = clock_mono_ms() + ADMIN_PUSH_WAIT_MS;
		pthread_mutex_lock(&h->lock);
		full = h->nawaited >= ADMIN_MAX_AWAITED;
		if (!full)
		{
			item->next = h->handed_in;
			h->handed_in = item;
			h->nawaited++;
		}
		pthread_mutex_unlock(&h->lock);
	}
	if (full)
	{
		/* It stands in the schema: the answer is true, only not everywhere known yet. */
		request_answer(a, r, body);
		buf_free(body);
		free(item);
		return;
	}
	buf_init(body);
	heart_kick(a);
}

void heart_keep_report(Heart *h, uint32_t node, NodeReport *report)
{
	HeartReport *slot = NULL;
	bool ready = report->nready > 0;

	pthread_mutex_lock(&h->lock);
	for (int i = 0; i < h->nreports && slot == NULL; i++)
		if (h->reports[i].node == node)
			slot = &h->reports[i];
	if (slot == NULL && h->nreports == h->reports_cap)
	{
		int cap = h->reports_cap > 0 ? 2 * h->reports_cap : 16;
		HeartReport *list = realloc(h->reports, (size_t) cap * sizeof(*list));

		if (list != NULL)
		{
			h->reports = list;
			h->reports_cap = cap;
		}
	}
	if (slot == NULL && h->nreports < h->reports_cap)
	{
		slot = &h->reports[h->nreports++];
		memset(slot, 0, sizeof(*slot));
	}
	if (slot != NULL)
	{
		node_report_free(&slot->report);
		slot->node = node;
		slot->at = clock_wall_ms();
		slot->at_mono = clock_mono_ms();
		slot->report = *report;
	}
	else
		node_report_free(report);
	pthread_mutex_unlock(&h->lock);
	if (ready)
	{
		uint64_t one = 1;

		if (write(h->admin->jobs_fd, &one, sizeof(one)) < 0)
			log_write(LOG_DEBUG, "lead is awake already");
	}
}

void heart_reports_free(HeartReport *list, int n)
{
	for (int i = 0; i < n; i++)
		node_report_free(&list[i].report);
	free(list);
}

HeartReport *heart_collect(Admin *a, int *n)
{
	Heart *h = a->heart;
	HeartReport *list;

	pthread_mutex_lock(&h->lock);
	list = h->reports;
	*n = h->nreports;
	h->reports = NULL;
	h->nreports = h->reports_cap = 0;
	pthread_mutex_unlock(&h->lock);
	return list;
}

static Pulse *find_pulse(Heart *h, uint32_t node)
{
	for (int i = 0; i < h->npulses; i++)
		if (h->pulses[i]->node.id == node)
			return h->pulses[i];
	return NULL;
}

/* Makes the pulses those of the newest topology. */
static void follow_topology(Heart *h)
{
	Topology *t = admin_topology(h->admin);
	int kept = 0;

	if (t == h->topology)
	{
		topology_unref(t);
		return;
	}
	topology_unref(h->topology);
	h->topology = t;
	buf_reset(&h->put_body);
	buf_put_bytes(&h->put_body, t->encoded, t->encoded_len);
	for (int i = 0; i < h->npulses; i++)
		h->pulses[i]->present = false;
	for (uint32_t i = 0; i < t->nnodes; i++)
	{
		Pulse *p = find_pulse(h, t->nodes[i].id);

		if (p == NULL)
		{
			Pulse **list = realloc(h->pulses, ((size_t) h->npulses + 1) * sizeof(*list));

			if (list != NULL)
				h->pulses = list;
			p = list != NULL ? pulse_new(&t->nodes[i]) : NULL;
			if (p == NULL)
			{
				log_write(LOG_ERROR, "out of memory: node \"%s\" is not watched", t->nodes[i].name);
				continue;
			}
			h->pulses[h->npulses++] = p;
		}
		pulse_follow(p, &t->nodes[i]);
		p->present = true;
	}
	for (int i = 0; i < h->npulses; i++)
		if (h->pulses[i]->present)
			h->pulses[kept++] = h->pulses[i];
		else
			pulse_free(h->admin, h->pulses[i]);
	h->npulses = kept;
}

/* An operator's word. */
static void take_fail(Heart *h, Pulse *p, Reported *item)
{
	DorisError err;

	if (h->term != 0 && p != NULL)
		pulse_fail(h, p, item->has_request ? &item->request : NULL);
	else if (item->has_request)
	{
		(void) doris_error(&err, DORIS_NOT_LEADER, "admin \"%s\" does not lead any more",
						   h->admin->options.name);
		request_refuse(h->admin, &item->request, &err);
	}
}

static void take_reported(Heart *h, uint64_t now)
{
	uint32_t acquitted[sizeof(h->acquitted) / sizeof(h->acquitted[0])];
	int nacquitted;
	Reported *list;

	pthread_mutex_lock(&h->lock);
	list = h->reported;
	h->reported = NULL;
	h->nreported = 0;
	nacquitted = h->nacquitted;
	memcpy(acquitted, h->acquitted, sizeof(acquitted));
	h->nacquitted = 0;
	pthread_mutex_unlock(&h->lock);
	for (int i = 0; i < nacquitted; i++)
	{
		Pulse *p = find_pulse(h, acquitted[i]);

		if (p != NULL)
			pulse_acquit(p, now);
	}
	for (Reported *next; list != NULL; list = next)
	{
		Pulse *p = find_pulse(h, list->report.node);

		next = list->next;
		if (list->fail)
			take_fail(h, p, list);
		else if (h->term == 0)
			request_verdict(h->admin, &list->request, VERDICT_UNSURE, "this admin does not lead");
		else if (p == NULL)
			request_verdict(h->admin, &list->request, VERDICT_FAILED,
							"there is no such node in the topology");
		else
		{
			log_write(LOG_DEBUG, "a client reports node \"%s\": %s", p->node.name,
					  list->report.what);
			pulse_report(h, p, &list->report, &list->request);
		}
		free(list);
	}
}

static bool all_have(const Heart *h, uint64_t epoch)
{
	for (int i = 0; i < h->npulses; i++)
	{
		const Pulse *p = h->pulses[i];

		if (p->node.condition == NODE_UP && !uuid_is_zero(p->node.home) && p->epoch < epoch)
			return false;
	}
	return true;
}

static void answer_awaited(Heart *h, uint64_t now)
{
	Awaited **link;

	pthread_mutex_lock(&h->lock);
	for (Awaited *w = h->handed_in, *next; w != NULL; w = next)
	{
		next = w->next;
		w->next = h->awaited;
		h->awaited = w;
	}
	h->handed_in = NULL;
	pthread_mutex_unlock(&h->lock);

	for (link = &h->awaited; *link != NULL;)
	{
		Awaited *w = *link;

		if (now < w->deadline && h->term != 0 && !all_have(h, w->epoch))
		{
			link = &w->next;
			continue;
		}
		*link = w->next;
		request_answer(h->admin, &w->request, &w->body);
		buf_free(&w->body);
		free(w);
		pthread_mutex_lock(&h->lock);
		h->nawaited--;
		pthread_mutex_unlock(&h->lock);
	}
}

/* Rule *publish*: a new leader makes no topology before it has asked every node for the highest. */
static void settle(Heart *h, uint64_t now)
{
	Admin *a = h->admin;
	bool all = true;

	if (atomic_load(&a->settled) == h->term)
		return;
	for (int i = 0; i < h->npulses; i++)
	{
		const Pulse *p = h->pulses[i];

		/* one that refuses connections cannot be asked, however long we wait */
		if (p->node.condition == NODE_UP && !uuid_is_zero(p->node.home) && !p->heard &&
			p->misses < a->options.misses)
			all = false;
	}
	/* What a node knows beyond us is fetched first. */
	if (h->ask_next[0] != '\0' || h->ask.state != CALL_IDLE)
		all = false;
	if (all || now >= h->since + ADMIN_SETTLE_MS)
	{
		uint64_t one = 1;

		atomic_store(&a->settled, h->term);
		if (write(a->jobs_fd, &one, sizeof(one)) < 0)
			log_write(LOG_DEBUG, "lead is awake already");
	}
}

/* Whom to ask for a newer topology next; false: nobody. */
static bool choose_source(Heart *h, char out[DORIS_ADDRESS_MAX])
{
	Admin *a = h->admin;
	const Topology *t = h->topology;
	uint32_t turn = h->ask_turn++;

	if (h->ask_next[0] != '\0')
	{
		snprintf(out, DORIS_ADDRESS_MAX, "%s", h->ask_next);
		h->ask_next[0] = '\0';
		return true;
	}
	pthread_mutex_lock(&a->lock);
	snprintf(out, DORIS_ADDRESS_MAX, "%s", a->leader_address);
	pthread_mutex_unlock(&a->lock);
	if (strcmp(out, a->options.listen) == 0)
		out[0] = '\0';
	if (out[0] != '\0' && (turn % 2 == 0 || t == NULL || t->nnodes == 0))
		return true;
	if (t == NULL || t->nnodes == 0)
		return false;
	snprintf(out, DORIS_ADDRESS_MAX, "%s", t->nodes[(turn / 2) % t->nnodes].address);
	return true;
}

/* Asks a peer for a topology newer than ours: a node that said so, or anybody while the database is away. */
static void step_ask(Heart *h, uint64_t now)
{
	Admin *a = h->admin;
	DorisError err;
	DorisStatus status;
	Envelope e;
	DorisBytes body;

	if (h->ask.state == CALL_IDLE)
	{
		char address[DORIS_ADDRESS_MAX];
		TopologyGet get = {.have_epoch = h->topology != NULL ? h->topology->epoch : 0};
		DorisBuf request;
		bool blind = h->term == 0 && !atomic_load(&a->database_up) && now >= h->next_ask;

		if ((h->ask_next[0] == '\0' && !blind) || !choose_source(h, address))
			return;
		h->next_ask = now + ASK_MS;
		buf_init(&request);
		topology_get_encode(&request, &get);
		status = talk_start(a, &h->ask, address, MSG_TOPOLOGY_GET, &request, ASK_MS, &err);
		buf_free(&request);
		if (status != DORIS_OK)
			return;
	}
	status = talk_step(a, &h->ask, &e, &body, &err);
	if (status == DORIS_OK)
	{
		DorisCursor c = cursor_of(body.data, body.len);
		DorisBytes encoded = {0};
		Topology *t = NULL;
		Job *job;

		status = reply_read_status(&c, &err);
		if (status == DORIS_OK)
			encoded = cursor_bytes(&c);
		if (encoded.len > 0 && !c.bad &&
			topology_decode(encoded.data, encoded.len, a->keys.present ? a->keys.public_key : NULL,
							&t, &err) == DORIS_OK)
		{
			job = job_new(JOB_TOPOLOGY);
			if (job != NULL)
			{
				job->topology = t;
				job_post(a, job);
			}
			else
				topology_unref(t);
		}
	}
	if (h->ask.state == CALL_IDLE)
		talk_drop(&h->ask);
}

/* Lets others know who does not answer. */
static void note_silent(Heart *h)
{
	pthread_mutex_lock(&h->lock);
	if (h->silent_cap < h->npulses)
	{
		uint32_t *list = realloc(h->silent, (size_t) h->npulses * sizeof(*list));

		if (list != NULL)
		{
			h->silent = list;
			h->silent_cap = h->npulses;
		}
	}
	h->nsilent = 0;
	for (int i = 0; i < h->npulses && h->nsilent < h->silent_cap; i++)
	{
		const Pulse *p = h->pulses[i];

		if (p->node.condition == NODE_UP && (p->misses > 0 || p->condemned))
			h->silent[h->nsilent++] = p->node.id;
	}
	pthread_mutex_unlock(&h->lock);
}

/* Sleeps until a reply, a kick, or the next thing that may be due. */
static void rest(Heart *h)
{
	int max = 3 * h->npulses + 2;
	struct pollfd *fds = calloc((size_t) max, sizeof(*fds));
	int n = 0;
	int timeout = PULSE_TICK_MS;
	uint64_t drain;

	if (fds == NULL)
	{
		(void) poll(NULL, 0, PULSE_TICK_MS);
		return;
	}
	fds[n++].fd = h->kick_fd;
	for (int i = 0; i < h->npulses; i++)
	{
		const Pulse *p = h->pulses[i];
		const Talk *calls[] = {&p->beat, &p->probe, &p->put};

		for (int j = 0; j < 3; j++)
			if (talk_fd(calls[j]) >= 0)
				fds[n++].fd = talk_fd(calls[j]);
		if (pulse_busy(p))
			timeout = PULSE_BUSY_TICK_MS;
	}
	if (talk_fd(&h->ask) >= 0)
		fds[n++].fd = talk_fd(&h->ask);
	for (int i = 0; i < n; i++)
		fds[i].events = POLLIN;
	(void) poll(fds, (nfds_t) n, timeout);
	if (fds[0].revents != 0 && read(h->kick_fd, &drain, sizeof(drain)) < 0)
		log_write(LOG_DEBUG, "spurious kick");
	free(fds);
}

void *heart_thread(void *arg)
{
	Admin *a = arg;
	Heart *h = a->heart;

	while (!atomic_load(&a->stopping))
	{
		uint64_t term = atomic_load(&a->leader) ? atomic_load(&a->term) : 0;
		uint64_t now = clock_mono_ms();

		follow_topology(h);
		if (term != h->term)
		{
			h->term = term;
			h->since = now;
			/*
			 * Rule *lease*: the leader before us gave leases until it last saw that it leads and a little longer; one
			 * after that they are all over.
			 */
			h->judge_after = now + admin_confirm_ms(a) + admin_lease_ms(a) + PULSE_CLOCK_MS;
			for (int i = 0; i < h->npulses; i++)
				pulse_reset(a, h->pulses[i]);
		}
		take_reported(h, now);
		if (h->term != 0)
		{
			for (int i = 0; i < h->npulses; i++)
				pulse_step(h, h->pulses[i], now);
			settle(h, now);
			note_silent(h);
		}
		step_ask(h, now);
		answer_awaited(h, now);
		rest(h);
	}
	return NULL;
}
