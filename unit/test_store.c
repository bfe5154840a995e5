/* links: wire node */
/*
 * test_store.c: what both storage drivers promise (node/store.h), and what only WiredTiger does: sessions
 * side by side, surviving a crash of the process, backup.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wiredtiger.h>

#include "log.h"
#include "store.h"

typedef struct Bench
{
	const StoreDriver *d;
	char home[64];
	Store *s;
	StoreSession *ss;
	DorisError err;
	uint64_t checkpoint_ms;
} Bench;

static Bench bench;

static DorisBytes b(const char *s)
{
	DorisBytes v = {(const uint8_t *) s, strlen(s)};

	return v;
}

static void remove_home(const char *home)
{
	char command[1024];

	(void) snprintf(command, sizeof(command), "rm -rf '%s'", home);
	assert_int_equal(system(command), 0);
}

static void reopen(Bench *x)
{
	StoreOptions o = {x->home, 64u << 20, x->checkpoint_ms};

	assert_int_equal(x->d->open(&o, &x->s, &x->err), DORIS_OK);
	assert_int_equal(x->d->session(x->s, &x->ss, &x->err), DORIS_OK);
}

static void open_bench(const StoreDriver *d)
{
	memset(&bench, 0, sizeof(bench));
	bench.d = d;
	log_set_level(LOG_ERROR);
	strcpy(bench.home, "/tmp/test_store_XXXXXX");
	assert_non_null(mkdtemp(bench.home));
	reopen(&bench);
	assert_int_equal(d->create(bench.ss, 1, &bench.err), DORIS_OK);
	assert_int_equal(d->create(bench.ss, STORE_TABLE_META, &bench.err), DORIS_OK);
}

static int setup_memory(void **state)
{
	(void) state;
	open_bench(&store_memory);
	return 0;
}

static int setup_wiredtiger(void **state)
{
	(void) state;
	open_bench(&store_wiredtiger);
	return 0;
}

static int teardown(void **state)
{
	(void) state;
	bench.d->session_close(bench.ss);
	bench.d->close(bench.s);
	remove_home(bench.home);
	return 0;
}

static void put(Bench *x, StoreTable t, const char *k, const char *v)
{
	assert_int_equal(x->d->put(x->ss, t, b(k), b(v), &x->err), DORIS_OK);
}

static void check(Bench *x, StoreTable t, const char *k, const char *v)
{
	DorisBytes got;
	DorisStatus st = x->d->get(x->ss, t, b(k), &got, &x->err);

	if (v == NULL)
	{
		assert_int_equal(st, DORIS_NOT_FOUND);
		return;
	}
	assert_int_equal(st, DORIS_OK);
	assert_int_equal(got.len, strlen(v));
	assert_memory_equal(got.data, v, got.len);
}

/* The keys of a range, with commas; backwards they must be the same ones. */
static const char *keys(Bench *x, StoreTable t, const char *low, const char *high)
{
	static char out[512];
	char back[512] = "";
	StoreScan *sc;
	DorisBytes k;
	DorisBytes v;
	DorisStatus st;

	out[0] = '\0';
	assert_int_equal(x->d->scan(x->ss, t, b(low), b(high), &sc, &x->err), DORIS_OK);
	while ((st = x->d->next(sc, &k, &v, &x->err)) == DORIS_OK)
	{
		strncat(out, (const char *) k.data, k.len);
		strcat(out, ",");
	}
	assert_int_equal(st, DORIS_NOT_FOUND);
	assert_int_equal(x->d->next(sc, &k, &v, &x->err), DORIS_NOT_FOUND);
	x->d->scan_close(sc);
	assert_int_equal(x->d->scan_back(x->ss, t, b(low), b(high), &sc, &x->err), DORIS_OK);
	while ((st = x->d->next(sc, &k, &v, &x->err)) == DORIS_OK)
	{
		memmove(back + k.len + 1, back, strlen(back) + 1);
		memcpy(back, k.data, k.len);
		back[k.len] = ',';
	}
	assert_int_equal(st, DORIS_NOT_FOUND);
	assert_int_equal(x->d->next(sc, &k, &v, &x->err), DORIS_NOT_FOUND);
	x->d->scan_close(sc);
	assert_string_equal(back, out);
	return out;
}

static void test_single_keys(void **state)
{
	Bench *x = &bench;
	static const uint8_t odd[] = {0, 0, 255, 0};
	DorisBytes key = {odd, sizeof(odd)};
	DorisBytes got;

	(void) state;
	check(x, 1, "a", NULL);
	put(x, 1, "a", "one");
	check(x, 1, "a", "one");
	put(x, 1, "a", "two");
	check(x, 1, "a", "two");
	put(x, 1, "a", "");
	check(x, 1, "a", "");
	assert_int_equal(x->d->put(x->ss, 1, key, key, &x->err), DORIS_OK);
	assert_int_equal(x->d->get(x->ss, 1, key, &got, &x->err), DORIS_OK);
	assert_int_equal(got.len, sizeof(odd));
	assert_int_equal(x->d->del(x->ss, 1, b("a"), &x->err), DORIS_OK);
	assert_int_equal(x->d->del(x->ss, 1, b("a"), &x->err), DORIS_OK);
	check(x, 1, "a", NULL);
}

static void test_add(void **state)
{
	Bench *x = &bench;

	(void) state;
	assert_int_equal(x->d->add(x->ss, 1, b("a"), b("outside"), &x->err), DORIS_INTERNAL);
	for (int turn = 0; turn < 3; turn++)
	{
		assert_int_equal(x->d->begin(x->ss, &x->err), DORIS_OK);
		assert_int_equal(x->d->add(x->ss, 1, b("a"), b("one"), &x->err), DORIS_OK);
		check(x, 1, "a", "one");
		assert_int_equal(x->d->add(x->ss, 1, b("a"), b("two"), &x->err), DORIS_DUPLICATE);
		check(x, 1, "a", "one");
		/* and the transaction goes on */
		put(x, 1, "a", "three");
		check(x, 1, "a", "three");
		assert_int_equal(x->d->del(x->ss, 1, b("a"), &x->err), DORIS_OK);
		assert_int_equal(x->d->add(x->ss, 1, b("a"), b("four"), &x->err), DORIS_OK);
		check(x, 1, "a", "four");
		if (turn == 0)
		{
			x->d->rollback(x->ss);
			check(x, 1, "a", NULL);
			continue;
		}
		assert_int_equal(x->d->commit(x->ss, &x->err), DORIS_OK);
		check(x, 1, "a", "four");
		assert_int_equal(x->d->begin(x->ss, &x->err), DORIS_OK);
		assert_int_equal(x->d->add(x->ss, 1, b("a"), b("five"), &x->err), DORIS_DUPLICATE);
		assert_int_equal(x->d->commit(x->ss, &x->err), DORIS_OK);
		check(x, 1, "a", "four");
		assert_int_equal(x->d->del(x->ss, 1, b("a"), &x->err), DORIS_OK);
	}
}

/* A scan goes on where it stood, whatever its session writes beside it, within a transaction or without. */
static void test_scan_beside_writes(void **state)
{
	Bench *x = &bench;

	(void) state;
	for (int within = 0; within < 2; within++)
	{
		StoreScan *sc;
		DorisBytes k;
		DorisBytes v;
		int n = 0;

		for (int i = 0; i < 10; i++)
		{
			char key[16];

			(void) snprintf(key, sizeof(key), "k%d", i);
			put(x, 1, key, "value");
		}
		put(x, STORE_TABLE_META, "other", "value");
		if (within)
			assert_int_equal(x->d->begin(x->ss, &x->err), DORIS_OK);
		assert_int_equal(x->d->scan(x->ss, 1, b(""), b(""), &sc, &x->err), DORIS_OK);
		while (x->d->next(sc, &k, &v, &x->err) == DORIS_OK && n < 100)
		{
			n++;
			put(x, STORE_TABLE_META, "other", "again");
			assert_int_equal(x->d->del(x->ss, STORE_TABLE_META, b("absent"), &x->err), DORIS_OK);
			if (within)
				assert_int_equal(x->d->add(x->ss, STORE_TABLE_META, b("other"), b("no"), &x->err),
								 DORIS_DUPLICATE);
		}
		x->d->scan_close(sc);
		assert_int_equal(n, 10);
		if (within)
			assert_int_equal(x->d->commit(x->ss, &x->err), DORIS_OK);
		check(x, STORE_TABLE_META, "other", "again");
	}
}

static void test_read_then_write(void **state)
{
	Bench *x = &bench;

	(void) state;
	/* the way every staged row goes: read, then write the same key */
	assert_int_equal(x->d->begin(x->ss, &x->err), DORIS_OK);
	for (int i = 0; i < 300; i++)
	{
		char key[16];

		(void) snprintf(key, sizeof(key), "k%05d", i);
		check(x, 1, key, NULL);
		put(x, 1, key, "first");
		check(x, 1, key, "first");
		put(x, 1, key, "second");
	}
	assert_int_equal(x->d->commit(x->ss, &x->err), DORIS_OK);
	for (int i = 0; i < 300; i++)
	{
		char key[16];

		(void) snprintf(key, sizeof(key), "k%05d", i);
		check(x, 1, key, "second");
		put(x, 1, key, "third");
		check(x, 1, key, "third");
	}
}

static void test_transactions(void **state)
{
	Bench *x = &bench;

	(void) state;
	put(x, 1, "a", "one");
	assert_int_equal(x->d->begin(x->ss, &x->err), DORIS_OK);
	put(x, 1, "a", "two");
	put(x, 1, "b", "new");
	put(x, STORE_TABLE_META, "m", "meta");
	assert_int_equal(x->d->del(x->ss, 1, b("a"), &x->err), DORIS_OK);
	check(x, 1, "a", NULL);
	assert_string_equal(keys(x, 1, "", ""), "b,");
	x->d->rollback(x->ss);
	check(x, 1, "a", "one");
	check(x, 1, "b", NULL);
	check(x, STORE_TABLE_META, "m", NULL);
	assert_int_equal(x->d->begin(x->ss, &x->err), DORIS_OK);
	put(x, 1, "b", "kept");
	put(x, STORE_TABLE_META, "m", "kept");
	assert_int_equal(x->d->commit(x->ss, &x->err), DORIS_OK);
	assert_int_equal(x->d->flush(x->ss, &x->err), DORIS_OK);
	check(x, 1, "b", "kept");
	check(x, STORE_TABLE_META, "m", "kept");
	x->d->rollback(x->ss); /* without a transaction: nothing */
	check(x, 1, "b", "kept");
}

static void test_ranges(void **state)
{
	Bench *x = &bench;

	(void) state;
	assert_string_equal(keys(x, 1, "", ""), "");
	assert_string_equal(keys(x, 1, "a", "z"), "");
	put(x, 1, "c", "");
	put(x, 1, "a", "");
	put(x, 1, "bb", "");
	put(x, 1, "b", "");
	assert_string_equal(keys(x, 1, "", ""), "a,b,bb,c,");
	assert_string_equal(keys(x, 1, "b", ""), "b,bb,c,");
	assert_string_equal(keys(x, 1, "aa", "c"), "b,bb,");
	assert_string_equal(keys(x, 1, "", "b"), "a,");
	assert_string_equal(keys(x, 1, "d", ""), "");
	assert_string_equal(keys(x, 1, "b", "b"), "");
}

static void test_tables(void **state)
{
	Bench *x = &bench;
	bool there;
	DorisBytes got;

	(void) state;
	assert_int_equal(x->d->exists(x->ss, 9, &there, &x->err), DORIS_OK);
	assert_false(there);
	assert_int_equal(x->d->get(x->ss, 9, b("a"), &got, &x->err), DORIS_IO);
	assert_int_equal(x->d->create(x->ss, 9, &x->err), DORIS_OK);
	assert_int_equal(x->d->create(x->ss, 9, &x->err), DORIS_OK);
	assert_int_equal(x->d->exists(x->ss, 9, &there, &x->err), DORIS_OK);
	assert_true(there);
	put(x, 9, "a", "one");
	check(x, 1, "a", NULL);
	assert_int_equal(x->d->drop(x->ss, 9, &x->err), DORIS_OK);
	assert_int_equal(x->d->drop(x->ss, 9, &x->err), DORIS_OK);
	assert_int_equal(x->d->exists(x->ss, 9, &there, &x->err), DORIS_OK);
	assert_false(there);
	assert_int_equal(x->d->create(x->ss, 9, &x->err), DORIS_OK);
	check(x, 9, "a", NULL);
}

static void test_bulk(void **state)
{
	Bench *x = &bench;
	StoreScan *load;

	(void) state;
	assert_int_equal(x->d->create(x->ss, 3, &x->err), DORIS_OK);
	assert_int_equal(x->d->bulk(x->ss, 3, &load, &x->err), DORIS_OK);
	for (int i = 0; i < 500; i++)
	{
		char key[16];

		(void) snprintf(key, sizeof(key), "k%05d", i);
		assert_int_equal(x->d->bulk_put(load, b(key), b("value"), &x->err), DORIS_OK);
	}
	assert_int_equal(x->d->bulk_put(load, b("k00001"), b("v"), &x->err), DORIS_BAD_ARGUMENT);
	assert_int_equal(x->d->bulk_end(load, &x->err), DORIS_OK);
	check(x, 3, "k00499", "value");
	assert_string_equal(keys(x, 3, "k00498", ""), "k00498,k00499,");
	put(x, 3, "k00100a", "more");
	check(x, 3, "k00100a", "more");
}

static void test_big_values(void **state)
{
	Bench *x = &bench;
	size_t len = 16u << 20;
	uint8_t *data = malloc(len);
	DorisBytes value = {data, len};
	DorisBytes got;

	(void) state;
	assert_non_null(data);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t) (i * 2654435761u >> 24);
	assert_int_equal(x->d->put(x->ss, 1, b("big"), value, &x->err), DORIS_OK);
	assert_int_equal(x->d->checkpoint(x->ss, &x->err), DORIS_OK);
	assert_int_equal(x->d->get(x->ss, 1, b("big"), &got, &x->err), DORIS_OK);
	assert_int_equal(got.len, len);
	assert_memory_equal(got.data, data, len);
	free(data);
}

/* ---- WiredTiger alone ---- */

/* The engine writes this file anew with each checkpoint. */
static ino_t turtle(const Bench *x)
{
	char path[256];
	struct stat st;

	(void) snprintf(path, sizeof(path), "%s/WiredTiger.turtle", x->home);
	assert_int_equal(stat(path, &st), 0);
	return st.st_ino;
}

/* It makes checkpoints by itself, with a writer at work; of what is not in one, nothing is lost. */
static void test_checkpoints(void **state)
{
	Bench *x = &bench;
	char value[1000];
	char key[16];
	DorisBytes got;
	int n = 0;

	(void) state;
	x->d->session_close(x->ss);
	x->d->close(x->s);
	x->checkpoint_ms = 100;
	reopen(x);
	memset(value, 'v', sizeof(value));
	/* enough for the changed pages to be made compact before, and then too little for that */
	for (int rows = 3000; rows > 0; rows -= 2990)
	{
		ino_t before = turtle(x);
		int tries;

		for (tries = 0; tries < 200 && turtle(x) == before; tries++)
		{
			for (int i = 0; i < rows; i++)
			{
				(void) snprintf(key, sizeof(key), "%08d", n++);
				assert_int_equal(x->d->put(x->ss, 1, b(key),
										   (DorisBytes){(uint8_t *) value, sizeof(value)}, &x->err),
								 DORIS_OK);
			}
			(void) usleep(50000);
		}
		assert_true(tries < 200);
	}
	/* closing ends the one that may be under way */
	x->d->session_close(x->ss);
	x->d->close(x->s);
	reopen(x);
	for (int i = 0; i < n; i++)
	{
		(void) snprintf(key, sizeof(key), "%08d", i);
		assert_int_equal(x->d->get(x->ss, 1, b(key), &got, &x->err), DORIS_OK);
		assert_int_equal(got.len, sizeof(value));
	}
	/* nothing is written: there is none */
	{
		ino_t before = turtle(x);

		(void) usleep(500000);
		assert_true(turtle(x) == before);
	}
}

/* A home made with a thread of the engine's own for checkpoints: that is not started any more. */
static void test_old_configuration(void **state)
{
	Bench *x = &bench;
	WT_CONNECTION *old;
	ino_t before;

	(void) state;
	x->d->session_close(x->ss);
	x->d->close(x->s);
	remove_home(x->home);
	assert_int_equal(mkdir(x->home, 0700), 0);
	assert_int_equal(
		wiredtiger_open(x->home, NULL, "create,log=(enabled=true),checkpoint=(wait=1)", &old), 0);
	assert_int_equal(old->close(old, NULL), 0);
	x->checkpoint_ms = 600000;
	reopen(x);
	assert_int_equal(x->d->create(x->ss, 1, &x->err), DORIS_OK);
	before = turtle(x);
	for (int i = 0; i < 25; i++)
	{
		put(x, 1, "a", "one");
		(void) usleep(100000);
	}
	assert_true(turtle(x) == before);
}

static void test_two_sessions(void **state)
{
	Bench *x = &bench;
	StoreSession *other;
	DorisBytes got;

	(void) state;
	put(x, 1, "a", "one");
	assert_int_equal(x->d->session(x->s, &other, &x->err), DORIS_OK);
	assert_int_equal(x->d->begin(x->ss, &x->err), DORIS_OK);
	assert_int_equal(x->d->begin(other, &x->err), DORIS_OK);
	put(x, 1, "a", "mine");
	/* a snapshot: not seen, and writing it is a conflict */
	assert_int_equal(x->d->get(other, 1, b("a"), &got, &x->err), DORIS_OK);
	assert_memory_equal(got.data, "one", 3);
	assert_int_equal(x->d->put(other, 1, b("a"), b("theirs"), &x->err), DORIS_CONFLICT);
	x->d->rollback(other);
	assert_int_equal(x->d->commit(x->ss, &x->err), DORIS_OK);
	assert_int_equal(x->d->get(other, 1, b("a"), &got, &x->err), DORIS_OK);
	assert_memory_equal(got.data, "mine", 4);
	x->d->session_close(other);
}

/*
 * A session that has read and does nothing since (it waits for a lock, say) pins nothing: another one may write many times
 * what the cache holds, to the same keys and in no more than the usual time.
 */
static void test_idle_reader(void **state)
{
	enum
	{
		BIG = 8 << 20,
		ROUNDS = 40
	};
	Bench *x = &bench;
	StoreSession *reader;
	uint8_t *big = malloc(BIG);
	DorisBytes value = {big, BIG};
	DorisBytes seen;

	(void) state;
	assert_non_null(big);
	memset(big, 'x', BIG);
	assert_int_equal(x->d->put(x->ss, 1, b("k0"), value, &x->err), DORIS_OK);
	assert_int_equal(x->d->session(x->s, &reader, &x->err), DORIS_OK);
	assert_int_equal(x->d->get(reader, 1, b("k0"), &seen, &x->err), DORIS_OK);
	(void) alarm(60); /* a commit that waits for the reader waits for ever */
	for (int i = 0; i < ROUNDS; i++)
	{
		char key[8];

		(void) snprintf(key, sizeof(key), "k%d", i % 4);
		big[0] = (uint8_t) i;
		assert_int_equal(x->d->begin(x->ss, &x->err), DORIS_OK);
		assert_int_equal(x->d->put(x->ss, 1, b(key), value, &x->err), DORIS_OK);
		assert_int_equal(x->d->commit(x->ss, &x->err), DORIS_OK);
	}
	(void) alarm(0);
	assert_int_equal(seen.len, BIG);
	assert_int_equal(seen.data[0], 'x');
	x->d->session_close(reader);
	free(big);
}

static void test_drop_while_open(void **state)
{
	Bench *x = &bench;
	StoreSession *other;
	DorisBytes got;
	bool there;

	(void) state;
	put(x, 1, "a", "one");
	assert_int_equal(x->d->session(x->s, &other, &x->err), DORIS_OK);
	assert_int_equal(x->d->get(other, 1, b("a"), &got, &x->err), DORIS_OK);
	/* the other session has it open: not now */
	assert_int_equal(x->d->drop(x->ss, 1, &x->err), DORIS_LIMIT);
	x->d->idle(other);
	assert_int_equal(x->d->drop(x->ss, 1, &x->err), DORIS_OK);
	assert_int_equal(x->d->exists(x->ss, 1, &there, &x->err), DORIS_OK);
	assert_false(there);
	x->d->session_close(other);
}

/* Writes in a child that is killed: what was flushed is there, whole transactions only. */
static void test_crash(void **state)
{
	Bench *x = &bench;
	char home[64];
	int ready[2];
	char c;
	pid_t pid;
	int status;

	(void) state;
	strcpy(home, "/tmp/test_store_XXXXXX");
	assert_non_null(mkdtemp(home));
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
	{
		Bench y = {.d = x->d};

		strcpy(y.home, home);
		reopen(&y);
		if (y.d->create(y.ss, 1, &y.err) != DORIS_OK || y.d->create(y.ss, 2, &y.err) != DORIS_OK)
			_exit(1);
		for (int i = 0;; i++)
		{
			char key[16];

			(void) snprintf(key, sizeof(key), "k%06d", i);
			if (y.d->begin(y.ss, &y.err) != DORIS_OK ||
				y.d->put(y.ss, 1, b(key), b("v"), &y.err) != DORIS_OK ||
				y.d->put(y.ss, 2, b(key), b("v"), &y.err) != DORIS_OK ||
				y.d->commit(y.ss, &y.err) != DORIS_OK || y.d->flush(y.ss, &y.err) != DORIS_OK ||
				write(ready[1], "x", 1) != 1)
				_exit(1);
		}
	}
	for (int i = 0; i < 200; i++)
		assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	{
		Bench y = {.d = x->d};
		int n = 200;

		strcpy(y.home, home);
		reopen(&y);
		check(&y, 1, "k000199", "v");
		for (int i = 0; i < 1000000; i++, n++)
		{
			char key[16];
			DorisBytes v;
			DorisStatus one;
			DorisStatus two;

			(void) snprintf(key, sizeof(key), "k%06d", i);
			one = y.d->get(y.ss, 1, b(key), &v, &y.err);
			two = y.d->get(y.ss, 2, b(key), &v, &y.err);
			assert_int_equal(one, two);
			if (one != DORIS_OK)
			{
				assert_true(i >= 200);
				break;
			}
		}
		y.d->session_close(y.ss);
		y.d->close(y.s);
	}
	(void) close(ready[0]);
	(void) close(ready[1]);
	remove_home(home);
}

/* The file of a table whose entry in the catalogue a kill took away goes at the next opening; nothing else does. */
static void test_unknown_file(void **state)
{
	Bench *x = &bench;
	char path[1024];
	char other[1024];
	FILE *f;

	(void) state;
	put(x, 1, "a", "one");
	x->d->session_close(x->ss);
	x->d->close(x->s);
	(void) snprintf(path, sizeof(path), "%s/v00077.wt", x->home);
	(void) snprintf(other, sizeof(other), "%s/v00077.wt.copy", x->home);
	for (int i = 0; i < 2; i++)
	{
		f = fopen(i == 0 ? path : other, "w");
		assert_non_null(f);
		assert_int_equal(fclose(f), 0);
	}
	reopen(x);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(access(other, F_OK), 0);
	check(x, 1, "a", "one");
	assert_int_equal(x->d->create(x->ss, 77, &x->err), DORIS_OK);
	put(x, 77, "a", "two");
	check(x, 77, "a", "two");
}

static void test_backup(void **state)
{
	Bench *x = &bench;
	Bench y = {.d = x->d};

	(void) state;
	for (int i = 0; i < 100; i++)
	{
		char key[16];

		(void) snprintf(key, sizeof(key), "k%03d", i);
		put(x, 1, key, "v");
	}
	strcpy(y.home, "/tmp/test_store_XXXXXX");
	assert_non_null(mkdtemp(y.home));
	assert_int_equal(x->d->backup(x->ss, y.home, &x->err), DORIS_OK);
	put(x, 1, "later", "v");
	reopen(&y);
	check(&y, 1, "k099", "v");
	check(&y, 1, "later", NULL);
	y.d->session_close(y.ss);
	y.d->close(y.s);
	remove_home(y.home);
}

#define ODD_KEYS 300
#define ODD_RANGES 3000
#define ODD_LENGTH 11

static size_t odd_key(unsigned *seed, uint8_t out[ODD_LENGTH])
{
	static const uint8_t letters[] = {0, 1, 'a', 255};
	size_t len = 1 + (size_t) rand_r(seed) % ODD_LENGTH;

	/* long common beginnings, too */
	for (size_t i = 0; i < len; i++)
		out[i] = rand_r(seed) % 4 > 0 ? 'a' : letters[rand_r(seed) % 4];
	return len;
}

/* memcmp's order, shorter first: written here once more, without what it is compared with */
static bool is_less(const uint8_t *a, size_t na, const uint8_t *c, size_t nc)
{
	int order = memcmp(a, c, na < nc ? na : nc);

	return order < 0 || (order == 0 && na < nc);
}

/* The ends of ranges, whatever the lengths of keys and ends: exactly the keys from low on that are below high. */
static void test_range_ends(void **state)
{
	Bench *x = &bench;
	const char *given = getenv("STORE_SEED");
	unsigned seed = given != NULL ? (unsigned) strtoul(given, NULL, 10) : (unsigned) time(NULL);
	static uint8_t stored[ODD_KEYS][ODD_LENGTH];
	size_t lengths[ODD_KEYS];

	(void) state;
	print_message("seed %u (STORE_SEED)\n", seed);
	for (int i = 0; i < ODD_KEYS; i++)
	{
		DorisBytes key = {stored[i], lengths[i] = odd_key(&seed, stored[i])};

		for (int j = 0; j < i; j++)
			if (lengths[j] == key.len && memcmp(stored[j], key.data, key.len) == 0)
				lengths[j] = 0; /* the same: counted once */
		assert_int_equal(x->d->put(x->ss, 1, key, key, &x->err), DORIS_OK);
	}
	for (int r = 0; r < ODD_RANGES; r++)
	{
		uint8_t ends[2][ODD_LENGTH];
		size_t n[2] = {odd_key(&seed, ends[0]), odd_key(&seed, ends[1])};
		int lower = is_less(ends[0], n[0], ends[1], n[1]) ? 0 : 1;
		const uint8_t *low = ends[lower];
		const uint8_t *high = ends[1 - lower];
		DorisBytes from = {low, n[lower]};
		DorisBytes to = {high, n[1 - lower]};
		int expected = 0;

		for (int i = 0; i < ODD_KEYS; i++)
			expected += lengths[i] > 0 && !is_less(stored[i], lengths[i], low, from.len) &&
						is_less(stored[i], lengths[i], high, to.len);
		for (int back = 0; back < 2; back++)
		{
			StoreScan *sc;
			DorisBytes k;
			DorisBytes v;
			int got = 0;

			assert_int_equal(
				(back ? x->d->scan_back : x->d->scan)(x->ss, 1, from, to, &sc, &x->err), DORIS_OK);
			while (x->d->next(sc, &k, &v, &x->err) == DORIS_OK)
			{
				assert_false(is_less(k.data, k.len, low, from.len));
				assert_true(is_less(k.data, k.len, high, to.len));
				got++;
			}
			x->d->scan_close(sc);
			assert_int_equal(got, expected);
		}
	}
}

#define BOTH(test)                                                 \
	cmocka_unit_test_setup_teardown(test, setup_memory, teardown), \
		cmocka_unit_test_setup_teardown(test, setup_wiredtiger, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_single_keys),
		BOTH(test_add),
		BOTH(test_scan_beside_writes),
		BOTH(test_read_then_write),
		BOTH(test_transactions),
		BOTH(test_ranges),
		BOTH(test_range_ends),
		BOTH(test_tables),
		BOTH(test_bulk),
		BOTH(test_big_values),
		cmocka_unit_test_setup_teardown(test_checkpoints, setup_wiredtiger, teardown),
		cmocka_unit_test_setup_teardown(test_old_configuration, setup_wiredtiger, teardown),
		cmocka_unit_test_setup_teardown(test_two_sessions, setup_wiredtiger, teardown),
		cmocka_unit_test_setup_teardown(test_idle_reader, setup_wiredtiger, teardown),
		cmocka_unit_test_setup_teardown(test_drop_while_open, setup_wiredtiger, teardown),
		cmocka_unit_test_setup_teardown(test_crash, setup_wiredtiger, teardown),
		cmocka_unit_test_setup_teardown(test_unknown_file, setup_wiredtiger, teardown),
		cmocka_unit_test_setup_teardown(test_backup, setup_wiredtiger, teardown),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
