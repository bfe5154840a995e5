/* links: admin client wire */
/*
 * test_admin_serve.c: topologies that others hand to an admin: newer, older, forged, of another cluster (rule *publish*).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "admin.h"
#include "talk.h"
#include "version.h"

typedef struct Fixture
{
	char dir[64];
	Admin admin; /* serves */
	Admin client;
	pthread_t thread;
	Talk call;
} Fixture;

static Topology *make_topology(const Fixture *f, uint64_t epoch, uint8_t cluster,
							   const uint8_t *secret)
{
	ClusterRow c = {.vnodes = 4, .groups = 1};
	NodeRow row = {.id = 1, .role = NODE_DATA, .group = 1, .incarnation = 1};
	Topology *t;
	DorisError err;

	snprintf(row.name, sizeof(row.name), "g1n1");
	snprintf(row.address, sizeof(row.address), "tcp://127.0.0.1:1");
	memset(row.home, 1, sizeof(row.home));
	memset(c.id, cluster, sizeof(c.id));
	t = place_first(&c, &row, 1);
	assert_non_null(t);
	t->epoch = epoch;
	assert_int_equal(topology_seal(t, secret != NULL ? secret : f->admin.keys.secret, &err),
					 DORIS_OK);
	return t;
}

static int set_up(void **state)
{
	Fixture *f = calloc(1, sizeof(*f));
	char path[96];
	char address[DORIS_ADDRESS_MAX];
	DorisError err;

	assert_non_null(f);
	snprintf(f->dir, sizeof(f->dir), "/tmp/doris-serve-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(keys_make(f->dir, &err), DORIS_OK);
	snprintf(path, sizeof(path), "%s/admin.key", f->dir);
	assert_int_equal(keys_load(path, &f->admin.keys, &err), DORIS_OK);
	snprintf(path, sizeof(path), "%s/cluster.key", f->dir);
	assert_int_equal(keys_load(path, &f->client.keys, &err), DORIS_OK);
	snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", 12000 + (int) (getpid() * 41 % 15000));
	f->admin.jobs_fd = -1;
	f->admin.options = (AdminOptions){.name = "admin1", .listen = strdup(address)};
	assert_int_equal(admin_init(&f->admin, &err), DORIS_OK);
	assert_int_equal(listener_open(address, &f->admin.listener, &err), DORIS_OK);
	pthread_mutex_init(&f->client.lock, NULL);
	talk_init(&f->call);
	assert_int_equal(pthread_create(&f->thread, NULL, serve_thread, &f->admin), 0);
	assert_true(admin_set_topology(&f->admin, make_topology(f, 5, 0xCC, NULL)));
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	Fixture *f = *state;
	char command[128];

	talk_free(&f->call);
	listener_shutdown(f->admin.listener);
	pthread_join(f->thread, NULL);
	admin_free(&f->admin);
	listener_close(f->admin.listener);
	free((char *) f->admin.options.listen);
	pthread_mutex_destroy(&f->client.lock);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

/* Hands it on, as any client may; the admin's answer, and what it sent back. */
static DorisStatus put(Fixture *f, DorisBytes encoded, Topology **back, DorisError *err)
{
	DorisBuf body;
	Envelope e;
	DorisBytes reply;
	DorisCursor c;
	DorisBytes sent;
	DorisStatus st;

	*back = NULL;
	buf_init(&body);
	buf_put_view(&body, encoded);
	st = talk_wait(&f->client, &f->call, f->admin.options.listen, MSG_TOPOLOGY_PUT, &body, 3000, &e,
				   &reply, err);
	buf_free(&body);
	assert_int_equal(st, DORIS_OK);
	c = cursor_of(reply.data, reply.len);
	st = reply_read_status(&c, err);
	if (st != DORIS_OK)
		return st;
	sent = cursor_bytes(&c);
	if (sent.len > 0)
		assert_int_equal(topology_decode(sent.data, sent.len, f->client.keys.public_key, back, err),
						 DORIS_OK);
	return DORIS_OK;
}

static DorisBytes encoded(const Topology *t)
{
	return (DorisBytes){t->encoded, t->encoded_len};
}

static void newer_one_is_handed_to_lead(void **state)
{
	Fixture *f = *state;
	Topology *t = make_topology(f, 7, 0xCC, NULL);
	Topology *back;
	DorisError err;
	Job *job;

	assert_int_equal(put(f, encoded(t), &back, &err), DORIS_OK);
	assert_null(back);
	job = job_take(&f->admin);
	assert_non_null(job);
	assert_int_equal(job->kind, JOB_TOPOLOGY);
	assert_int_equal(job->topology->epoch, 7);
	assert_memory_equal(job->topology->hash, t->hash, DORIS_HASH_SIZE);
	/* only lead may take it: it may have to go into the schema first */
	assert_int_equal(admin_epoch(&f->admin), 5);
	job_free(&f->admin, job);
	topology_unref(t);
}

static void older_one_is_answered_with_ours(void **state)
{
	Fixture *f = *state;
	Topology *t = make_topology(f, 4, 0xCC, NULL);
	Topology *back;
	DorisError err;

	assert_int_equal(put(f, encoded(t), &back, &err), DORIS_OK);
	assert_non_null(back);
	assert_int_equal(back->epoch, 5);
	assert_null(job_take(&f->admin));
	topology_unref(back);
	topology_unref(t);
}

static void forged_ones_are_refused(void **state)
{
	Fixture *f = *state;
	uint8_t public_key[32];
	uint8_t secret[64];
	Topology *t;
	Topology *back;
	DorisError err;
	DorisBuf bent;

	/* signed by somebody else */
	crypto_sign_keypair(public_key, secret);
	t = make_topology(f, 9, 0xCC, secret);
	assert_int_equal(put(f, encoded(t), &back, &err), DORIS_DENIED);
	topology_unref(t);
	/* ours, with a higher epoch written into it; cut short; empty */
	t = make_topology(f, 9, 0xCC, NULL);
	for (size_t at = 0; at < t->encoded_len; at += 7)
	{
		buf_init(&bent);
		buf_put_raw(&bent, t->encoded, t->encoded_len);
		bent.data[at] ^= 0x40;
		assert_int_not_equal(put(f, (DorisBytes){bent.data, bent.len}, &back, &err), DORIS_OK);
		buf_free(&bent);
	}
	assert_int_not_equal(put(f, (DorisBytes){t->encoded, t->encoded_len - 1}, &back, &err),
						 DORIS_OK);
	assert_int_not_equal(put(f, (DorisBytes){t->encoded, 0}, &back, &err), DORIS_OK);
	assert_null(job_take(&f->admin));
	assert_int_equal(admin_epoch(&f->admin), 5);
	topology_unref(t);
}

static void other_clusters_are_refused(void **state)
{
	Fixture *f = *state;
	Topology *t = make_topology(f, 9, 0xDD, NULL);
	Topology *back;
	DorisError err;

	assert_int_equal(put(f, encoded(t), &back, &err), DORIS_DENIED);
	assert_null(job_take(&f->admin));
	topology_unref(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(newer_one_is_handed_to_lead, set_up, tear_down),
		cmocka_unit_test_setup_teardown(older_one_is_answered_with_ours, set_up, tear_down),
		cmocka_unit_test_setup_teardown(forged_ones_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(other_clusters_are_refused, set_up, tear_down)};

	if (sodium_init() < 0)
		return 1;
	log_level = LOG_ERROR;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
