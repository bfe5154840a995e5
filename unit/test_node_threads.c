/* links: wire node */
/*
 * test_node_threads.c: workers side by side on WiredTiger: one winner for each version read, while topologies come in.
 */
#include "test_node_fixture.h"

#include <unistd.h>

#define THREADS 4
#define ROUNDS 300

static char home[FIXTURE_HOME_SIZE];
static pthread_barrier_t together;
static atomic_int winners;
static DorisVersion base; /* of the row everybody updates; written by the winner */
static atomic_bool done;

static int setup(void **state)
{
	(void) state;
	if (!fixture_home_make(home))
		return 1;
	fixture_open_on(&fix, &store_wiredtiger, home, true);
	return 0;
}

static int teardown(void **state)
{
	(void) state;
	fixture_close(&fix);
	return fixture_home_remove(home);
}

/* One request as a worker executes it; its body after the status in *c. Asked again while the epoch moves. */
static DorisStatus request(Worker *w, uint16_t type, const DorisBuf *body, DorisBuf *reply,
						   DorisBuf *scratch, DorisCursor *c, DorisError *err)
{
	for (;;)
	{
		Envelope e = {.format = DORIS_FORMAT,
					  .type = type,
					  .request = 1,
					  .epoch = atomic_load(&w->node->epoch)};
		DorisBytes bytes = {body->data, body->len};
		DorisBuf message;
		DorisStatus st;
		bool answered;

		buf_init(&message);
		if (envelope_write(&w->node->keys, &e, bytes, &message, err) != DORIS_OK)
			return err->code;
		bytes.data = message.data;
		bytes.len = message.len;
		answered = dispatch_message(w, bytes, reply);
		buf_free(&message);
		if (!answered)
			return DORIS_INTERNAL;
		st = commit_flush(w, w->need, err);
		if (st == DORIS_OK)
			st = envelope_read(&w->node->keys, reply->data, reply->len, &e, &bytes, scratch, err);
		if (st != DORIS_OK)
			return st;
		*c = cursor_of(bytes.data, bytes.len);
		st = reply_read_status(c, err);
		if (st != DORIS_STALE_EPOCH)
			return st;
	}
}

static void *updater(void *arg)
{
	Worker w;
	DorisError err = {0};
	DorisBuf body;
	DorisBuf reply;
	DorisBuf scratch;
	uint32_t nonce = (uint32_t) (uintptr_t) arg;

	buf_init(&body);
	buf_init(&reply);
	buf_init(&scratch);
	if (worker_init(&w, fix.node, &err) != DORIS_OK)
		abort();
	for (int round = 0; round < ROUNDS; round++)
	{
		uint64_t clock = clock_next(&fix.node->clock);
		StageRow rows[2];
		StageRequest m = {.txn = txn_of(clock, nonce),
						  .version = {clock, nonce},
						  .mode = TXN_DECISION,
						  .expires_ms = clock_wall_ms() + 1000,
						  .nrows = 2,
						  .rows = rows};
		StageReply staged;
		DorisCursor c;
		char key[32];
		uint32_t vnodes[2] = {1, 2};
		FinishItem item = {m.txn, true, 2, vnodes};
		FinishRequest finish_request = {1, &item};

		/* a row of its own and the row everybody wants */
		(void) snprintf(key, sizeof(key), "own-%u-%d", nonce, round);
		rows[0] = stage_row_of(2, key, WRITE_INSERT, no_version, "x");
		rows[1] = stage_row_of(1, "shared", round == 0 ? WRITE_INSERT : WRITE_UPDATE, base, "y");
		(void) pthread_barrier_wait(&together);
		buf_reset(&body);
		stage_request_encode(&body, &m);
		if (request(&w, MSG_STAGE, &body, &reply, &scratch, &c, &err) != DORIS_OK ||
			stage_reply_decode(&c, &staged, &err) != DORIS_OK)
		{
			fprintf(stderr, "stage: %s\n", err.message);
			abort();
		}
		if (staged.held)
			atomic_fetch_add(&winners, 1);
		item.commit = staged.held;
		(void) pthread_barrier_wait(&together);
		if (staged.held)
			base = m.version;
		stage_reply_free(&staged);
		buf_reset(&body);
		finish_request_encode(&body, &finish_request);
		if (request(&w, MSG_FINISH, &body, &reply, &scratch, &c, &err) != DORIS_OK)
		{
			fprintf(stderr, "finish: %s\n", err.message);
			abort();
		}
		(void) pthread_barrier_wait(&together);
	}
	worker_free(&w);
	buf_free(&body);
	buf_free(&reply);
	buf_free(&scratch);
	return NULL;
}

/* New epochs all the while, each changing a vnode: I3 keeps them apart from the requests. */
static void *publisher(void *arg)
{
	Worker w;
	DorisError err = {0};
	Topology *now = topology_ref(fix.topo);

	(void) arg;
	if (worker_init(&w, fix.node, &err) != DORIS_OK)
		abort();
	while (!atomic_load(&done))
	{
		Topology *next = topology_clone(now);
		DorisBytes encoded;

		if (next == NULL)
			abort();
		memcpy(next->previous, now->hash, DORIS_HASH_SIZE);
		next->epoch = now->epoch + 1;
		topology_copy(next, 2, (uint32_t) (next->epoch % 3))->changed = next->epoch;
		if (topology_seal(next, NULL, &err) != DORIS_OK)
			abort();
		encoded.data = next->encoded;
		encoded.len = next->encoded_len;
		if (epoch_take(&w, encoded, &err) != DORIS_OK)
		{
			fprintf(stderr, "topology: %s\n", err.message);
			abort();
		}
		topology_unref(now);
		now = next;
		(void) usleep(2000);
	}
	topology_unref(now);
	worker_free(&w);
	return NULL;
}

static void test_one_winner(void **state)
{
	pthread_t threads[THREADS];
	pthread_t publishing;
	Seen s;

	(void) state;
	memset(&base, 0, sizeof(base));
	assert_int_equal(pthread_barrier_init(&together, NULL, THREADS), 0);
	assert_int_equal(pthread_create(&publishing, NULL, publisher, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, updater, (void *) (uintptr_t) (i + 1)),
						 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	atomic_store(&done, true);
	assert_int_equal(pthread_join(publishing, NULL), 0);
	(void) pthread_barrier_destroy(&together);
	/* exactly one for each version read (I1, rule stage); the losers' own rows are gone with them */
	assert_int_equal(atomic_load(&winners), ROUNDS);
	topology_unref(fix.topo);
	fix.topo = topology_ref(fix.node->placement->topo);
	s = get(&fix, 1, "shared");
	assert_true(s.row.present);
	assert_int_equal(s.row.nstaged, 0);
	assert_int_equal(version_compare(s.row.version, base), 0);
	assert_int_equal(rows_counted(&fix), ROUNDS + 1);
	assert_int_equal(atomic_load(&fix.node->staged), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_winner, setup, teardown),
	};

	return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
