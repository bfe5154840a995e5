/* links: admin client wire */
/*
 * test_admin_heart.c: heartbeats, leases and the time of a verdict, against a node that this test plays.
 *
 * What rule *lease* asks for is checked on every verdict: the latest lease that the node was given, by the node's own
 * clock, is over.
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

#include "verdict.h"
#include "version.h"

#define BEAT_MS 100
#define LEASE_MS (ADMIN_LEASE_BEATS * BEAT_MS)
#define INCARNATION 77
#define TERM 3

/* A node of the test: answers heartbeats on a thread of its own. */
typedef struct Fake
{
	char address[DORIS_ADDRESS_MAX];
	Listener *listener;
	pthread_t thread;
	atomic_bool silent;
	atomic_bool foreign; /* another topology of the same epoch */
	_Atomic uint64_t incarnation;
	_Atomic uint64_t epoch;
	_Atomic uint64_t lease_until; /* as the node understands it */
	_Atomic uint32_t beats;
	_Atomic uint32_t leases;
	const Topology *topology;
} Fake;

typedef struct Fixture
{
	Admin admin;
	pthread_t thread;
	Topology *topology;
	Fake fake;
} Fixture;

static int next_port = 0;

static void fake_address(char out[DORIS_ADDRESS_MAX])
{
	if (next_port == 0)
		next_port = 12000 + (int) (getpid() * 37 % 15000);
	snprintf(out, DORIS_ADDRESS_MAX, "tcp://127.0.0.1:%d", next_port++);
}

static void fake_report(Fake *f, NodeReport *r)
{
	memset(r, 0, sizeof(*r));
	r->epoch = atomic_load(&f->epoch);
	memcpy(r->hash, f->topology->hash, DORIS_HASH_SIZE);
	if (atomic_load(&f->foreign))
		r->hash[0] ^= 1;
	r->incarnation = atomic_load(&f->incarnation);
	memset(r->home, 1, sizeof(r->home));
	r->clock_ms = clock_mono_ms();
	r->mark = 5;
}

static void *fake_main(void *arg)
{
	Fake *f = arg;
	DorisKeys keys = {0};
	DorisBuf scratch;
	DorisBuf out;
	DorisBuf body;

	buf_init(&scratch);
	buf_init(&out);
	buf_init(&body);
	for (;;)
	{
		Incoming in;
		Envelope e;
		DorisBytes request;
		DorisError err;
		Heartbeat m;
		NodeReport report;
		DorisStatus st = listener_receive(f->listener, -1, &in, &err);

		if (st == DORIS_CANCELLED)
			break;
		if (st != DORIS_OK)
			continue;
		if (atomic_load(&f->silent) || envelope_read(&keys, in.message.data, in.message.len, &e,
													 &request, &scratch, &err) != DORIS_OK)
		{
			listener_drop(f->listener, &in);
			continue;
		}
		buf_reset(&body);
		if (e.type == MSG_HEARTBEAT && heartbeat_decode(request, &m, &err) == DORIS_OK)
		{
			uint64_t until = m.echo_ms + m.lease_ms;

			atomic_fetch_add(&f->beats, 1);
			if (m.echo_ms != 0 && m.incarnation == atomic_load(&f->incarnation))
			{
				atomic_fetch_add(&f->leases, 1);
				if (until > atomic_load(&f->lease_until))
					atomic_store(&f->lease_until, until);
			}
			fake_report(f, &report);
			reply_put_ok(&body);
			node_report_encode(&body, &report);
		}
		else
			reply_put_ok(&body);
		e.type |= DORIS_REPLY;
		e.sender = 1;
		e.epoch = atomic_load(&f->epoch);
		if (envelope_write(&keys, &e, (DorisBytes){body.data, body.len}, &out, &err) == DORIS_OK)
			listener_reply(f->listener, &in, (DorisBytes){out.data, out.len});
		else
			listener_drop(f->listener, &in);
	}
	buf_free(&scratch);
	buf_free(&out);
	buf_free(&body);
	return NULL;
}

static void fake_start(Fake *f)
{
	DorisError err;

	assert_int_equal(listener_open(f->address, &f->listener, &err), DORIS_OK);
	assert_int_equal(pthread_create(&f->thread, NULL, fake_main, f), 0);
}

/* As a killed process: its port refuses connections from now on. */
static void fake_kill(Fake *f)
{
	if (f->listener == NULL)
		return;
	listener_shutdown(f->listener);
	pthread_join(f->thread, NULL);
	listener_close(f->listener);
	f->listener = NULL;
}

static Topology *make_topology(const char *address)
{
	ClusterRow c = {.vnodes = 4, .groups = 1};
	NodeRow row = {.id = 1, .role = NODE_DATA, .group = 1, .incarnation = INCARNATION};
	Topology *t;
	DorisError err;

	snprintf(row.name, sizeof(row.name), "g1n1");
	snprintf(row.address, sizeof(row.address), "%s", address);
	memset(row.home, 1, sizeof(row.home));
	memset(c.id, 0xCC, sizeof(c.id));
	t = place_first(&c, &row, 1);
	assert_non_null(t);
	assert_int_equal(topology_seal(t, NULL, &err), DORIS_OK);
	return t;
}

/* Keeps the leadership confirmed, as lead does each half second. */
static void confirm(Fixture *f)
{
	atomic_store(&f->admin.confirmed, clock_mono_ms());
}

static int set_up(void **state)
{
	Fixture *f = calloc(1, sizeof(*f));
	char address[DORIS_ADDRESS_MAX];
	DorisError err;

	assert_non_null(f);
	f->admin.jobs_fd = -1;
	f->admin.options = (AdminOptions){.name = "admin1", .heartbeat_ms = BEAT_MS, .misses = 3};
	fake_address(address);
	f->admin.options.listen = strdup(address);
	assert_int_equal(admin_init(&f->admin, &err), DORIS_OK);
	assert_int_equal(listener_open(address, &f->admin.listener, &err), DORIS_OK);
	fake_address(f->fake.address);
	f->topology = make_topology(f->fake.address);
	f->fake.topology = f->topology;
	atomic_store(&f->fake.incarnation, INCARNATION);
	atomic_store(&f->fake.epoch, 1);
	fake_start(&f->fake);
	assert_true(admin_set_topology(&f->admin, topology_ref(f->topology)));
	atomic_store(&f->admin.term, TERM);
	atomic_store(&f->admin.database_up, true);
	atomic_store(&f->admin.leader, true);
	confirm(f);
	assert_int_equal(pthread_create(&f->thread, NULL, heart_thread, &f->admin), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	Fixture *f = *state;

	atomic_store(&f->admin.stopping, true);
	heart_kick(&f->admin);
	pthread_join(f->thread, NULL);
	fake_kill(&f->fake);
	listener_shutdown(f->admin.listener);
	admin_free(&f->admin);
	listener_close(f->admin.listener);
	free((char *) f->admin.options.listen);
	topology_unref(f->topology);
	free(f);
	return 0;
}

/* The next job of a kind within so many ms; others are dropped. Confirms the leadership meanwhile, if wanted. */
static Job *wait_job(Fixture *f, JobKind kind, int ms, bool confirmed)
{
	uint64_t until = clock_mono_ms() + (uint64_t) ms;

	while (clock_mono_ms() < until)
	{
		Job *job = job_take(&f->admin);

		if (confirmed)
			confirm(f);
		if (job == NULL)
			(void) poll(NULL, 0, 2);
		else if (job->kind == kind)
			return job;
		else
			job_free(&f->admin, job);
	}
	return NULL;
}

static void run_for(Fixture *f, int ms)
{
	Job *job = wait_job(f, 0, ms, true);

	assert_null(job);
}

/* A node that answers has a lease all the time, as long as the leader knows that it leads. */
static void leases_are_given(void **state)
{
	Fixture *f = *state;
	uint64_t now;

	run_for(f, 10 * BEAT_MS);
	assert_true(atomic_load(&f->fake.leases) >= 5);
	now = clock_mono_ms();
	assert_true(atomic_load(&f->fake.lease_until) > now);
	assert_true(atomic_load(&f->fake.lease_until) <= now + LEASE_MS);
}

/* Another admin may lead when the database was not asked for a while: no leases. */
static void no_leases_without_the_database(void **state)
{
	Fixture *f = *state;
	uint32_t before;

	run_for(f, 5 * BEAT_MS);
	assert_null(wait_job(f, 0, ADMIN_CONFIRM_MS + BEAT_MS, false));
	before = atomic_load(&f->fake.leases);
	assert_null(wait_job(f, 0, 5 * BEAT_MS, false));
	assert_int_equal(atomic_load(&f->fake.leases), before);
	assert_true(atomic_load(&f->fake.lease_until) <
				atomic_load(&f->admin.confirmed) + ADMIN_CONFIRM_MS + LEASE_MS + BEAT_MS);
	/* heartbeats go on */
	assert_true(atomic_load(&f->fake.beats) > before);
	run_for(f, 5 * BEAT_MS);
	assert_true(atomic_load(&f->fake.leases) > before);
}

/* What a leader before this one gave is over before this one judges. */
static void wait_out_predecessor(Fixture *f)
{
	run_for(f, ADMIN_CONFIRM_MS + LEASE_MS + 4 * BEAT_MS);
}

static Job *expect_verdict(Fixture *f, int limit_ms)
{
	uint64_t began = clock_mono_ms();
	Job *job = wait_job(f, JOB_DOWN, 5000, true);
	uint64_t now = clock_mono_ms();

	assert_non_null(job);
	assert_true(now > atomic_load(&f->fake.lease_until));
	print_message("judged after %d ms\n", (int) (now - began));
	assert_true(now - began <= (uint64_t) limit_ms);
	return job;
}

static void killed_node_is_judged(void **state)
{
	Fixture *f = *state;
	Job *job;

	wait_out_predecessor(f);
	fake_kill(&f->fake);
	job = expect_verdict(f, LEASE_MS - BEAT_MS + 70);
	assert_int_equal(job->node, 1);
	assert_false(job->by_operator);
	job_free(&f->admin, job);
}

static void hung_node_is_judged(void **state)
{
	Fixture *f = *state;
	Job *job;

	wait_out_predecessor(f);
	atomic_store(&f->fake.silent, true);
	/* three missed ones and a probe */
	job = expect_verdict(f, 6 * BEAT_MS + 100);
	/* no lease for it any more, though it wakes before the verdict is published... */
	atomic_store(&f->fake.silent, false);
	{
		uint32_t before = atomic_load(&f->fake.leases);

		run_for(f, 5 * BEAT_MS);
		assert_int_equal(atomic_load(&f->fake.leases), before);
		/* ...until it is certain that it was not */
		heart_acquit(&f->admin, 1);
		run_for(f, 5 * BEAT_MS);
		assert_true(atomic_load(&f->fake.leases) > before);
	}
	job_free(&f->admin, job);
}

/* Slow is not dead. */
static void short_silence_is_forgiven(void **state)
{
	Fixture *f = *state;

	wait_out_predecessor(f);
	atomic_store(&f->fake.silent, true);
	assert_null(wait_job(f, JOB_DOWN, 2 * BEAT_MS, true));
	atomic_store(&f->fake.silent, false);
	assert_null(wait_job(f, JOB_DOWN, 10 * BEAT_MS, true));
}

static void new_leader_waits(void **state)
{
	Fixture *f = *state;
	uint64_t began;
	Job *job;

	fake_kill(&f->fake);
	began = clock_mono_ms();
	job = wait_job(f, JOB_DOWN, 5000, true);
	assert_non_null(job);
	/* the fixture began to lead a few ms before */
	assert_true(clock_mono_ms() - began > ADMIN_CONFIRM_MS + LEASE_MS - 2 * BEAT_MS);
	job_free(&f->admin, job);
}

static void unknown_start_gets_no_lease(void **state)
{
	Fixture *f = *state;
	uint32_t before;
	Job *job;

	run_for(f, 5 * BEAT_MS);
	atomic_store(&f->fake.incarnation, INCARNATION + 1);
	run_for(f, 2 * BEAT_MS);
	before = atomic_load(&f->fake.leases);
	job = wait_job(f, JOB_SEEN, 6000, true);
	assert_non_null(job);
	assert_int_equal(job->incarnation, INCARNATION + 1);
	assert_int_equal(atomic_load(&f->fake.leases), before);
	job_free(&f->admin, job);
}

static void operators_wait_for_the_lease(void **state)
{
	Fixture *f = *state;
	Job *job;

	wait_out_predecessor(f);
	heart_fail(&f->admin, 1, NULL);
	job = expect_verdict(f, LEASE_MS + 2 * BEAT_MS);
	assert_true(job->by_operator);
	job_free(&f->admin, job);
}

/* Down, it gets no leases; answering again, lead is told, for the start that the topology names only. */
static void nodes_return(void **state)
{
	Fixture *f = *state;
	VerdictCount n;
	Topology *t = topology_clone(f->topology);
	uint32_t before;
	DorisError err;
	Job *job;

	assert_non_null(t);
	verdict_down(t, 1, 2, NULL, &n);
	t->epoch = 2;
	memcpy(t->previous, f->topology->hash, DORIS_HASH_SIZE);
	assert_int_equal(topology_seal(t, NULL, &err), DORIS_OK);
	assert_true(admin_set_topology(&f->admin, topology_ref(t)));
	f->fake.topology = t;
	atomic_store(&f->fake.epoch, 2);
	job = wait_job(f, JOB_UP, 2000, true);
	assert_non_null(job);
	assert_int_equal(job->incarnation, INCARNATION);
	job_free(&f->admin, job);
	before = atomic_load(&f->fake.leases);
	run_for(f, 5 * BEAT_MS);
	assert_int_equal(atomic_load(&f->fake.leases), before);
	atomic_store(&f->fake.incarnation, INCARNATION + 1);
	run_for(f, 3 * BEAT_MS);
	assert_null(wait_job(f, JOB_UP, 1500, true));
	fake_kill(&f->fake);
	topology_unref(t);
}

/* Rule *publish*: an equal epoch with another hash. */
static void two_histories_are_told(void **state)
{
	Fixture *f = *state;
	Job *job;

	run_for(f, 3 * BEAT_MS);
	atomic_store(&f->fake.foreign, true);
	job = wait_job(f, JOB_ALARM, 2000, true);
	assert_non_null(job);
	assert_non_null(strstr(job->what, "g1n1"));
	job_free(&f->admin, job);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(leases_are_given, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_leases_without_the_database, set_up, tear_down),
		cmocka_unit_test_setup_teardown(killed_node_is_judged, set_up, tear_down),
		cmocka_unit_test_setup_teardown(hung_node_is_judged, set_up, tear_down),
		cmocka_unit_test_setup_teardown(short_silence_is_forgiven, set_up, tear_down),
		cmocka_unit_test_setup_teardown(new_leader_waits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(unknown_start_gets_no_lease, set_up, tear_down),
		cmocka_unit_test_setup_teardown(operators_wait_for_the_lease, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nodes_return, set_up, tear_down),
		cmocka_unit_test_setup_teardown(two_histories_are_told, set_up, tear_down)};

	log_level = LOG_ERROR;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
