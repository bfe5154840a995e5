/*
 * main.c: doris_admin's command line, threads and signals.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "admin.h"
#include "scrub.h"
#include "version.h"

enum
{
	OPT_DATABASE = 1000,
	OPT_LISTEN,
	OPT_NAME,
	OPT_KEY_FILE,
	OPT_HEARTBEAT,
	OPT_MISSES,
	OPT_SCRUB_RATE,
	OPT_SCRUB_LAP,
	OPT_PLAN_STALL,
	OPT_MAKE_KEYS,
	OPT_LOG_LEVEL,
	OPT_HELP,
	OPT_VERSION
};

static const struct option long_options[] = {
	{"database", required_argument, NULL, OPT_DATABASE},
	{"listen", required_argument, NULL, OPT_LISTEN},
	{"name", required_argument, NULL, OPT_NAME},
	{"key-file", required_argument, NULL, OPT_KEY_FILE},
	{"heartbeat-ms", required_argument, NULL, OPT_HEARTBEAT},
	{"misses", required_argument, NULL, OPT_MISSES},
	{"scrub-rate", required_argument, NULL, OPT_SCRUB_RATE},
	{"scrub-lap", required_argument, NULL, OPT_SCRUB_LAP},
	{"plan-stall", required_argument, NULL, OPT_PLAN_STALL},
	{"make-keys", required_argument, NULL, OPT_MAKE_KEYS},
	{"log-level", required_argument, NULL, OPT_LOG_LEVEL},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{NULL, 0, NULL, 0}};

static void print_help(void)
{
	puts(
		"doris_admin keeps the map of a doris cluster, watches its nodes, and carries out "
		"failover.\n"
		"\n"
		"Usage:\n"
		"  doris_admin --database CONNINFO --listen tcp://HOST:PORT --name NAME [--key-file FILE]\n"
		"  doris_admin --make-keys DIR\n"
		"\n"
		"Options:\n"
		"  --database CONNINFO  libpq connection string of the database with extension doris_fdw;\n"
		"                       several hosts may be named\n"
		"  --listen ADDRESS     where nodes and clients reach it: tcp://host:port\n"
		"  --name NAME          its name in logs and events\n"
		"  --key-file FILE      an admin's key file (with the secret key); without one everything "
		"is\n"
		"                       plain and only loopback addresses are used\n"
		"  --heartbeat-ms MS    between heartbeats to every node, 50 to 60000 (default 500)\n"
		"  --misses N           unanswered heartbeats before a node is probed, 1 to 100 (default "
		"3)\n"
		"  --scrub-rate MB      of each copy compared with the others per second, in the "
		"background;\n"
		"                       0: none, and no tombstones go either (default 1)\n"
		"  --scrub-lap SECONDS  all vnodes are not compared more often than that (default 600)\n"
		"  --plan-stall SECONDS a plan that moves nothing for so long is an event (default 60)\n"
		"  --log-level LEVEL    debug, info, warning or error (default info)\n"
		"  --make-keys DIR      write DIR/cluster.key (nodes, clients) and DIR/admin.key (admins), "
		"exit\n"
		"  --help, --version");
}

/* A number within bounds, or exit with what is wrong. */
static int parse_number(const char *option, const char *text, int low, int high)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno != 0 || *text == '\0' || *end != '\0' || value < low || value > high)
	{
		fprintf(stderr, "doris_admin: %s must be a number from %d to %d, not \"%s\"\n", option, low,
				high, text);
		exit(2);
	}
	return (int) value;
}

static int fail(const DorisError *err)
{
	fprintf(stderr, "doris_admin: %s\n", err->message);
	if (err->hint[0] != '\0')
		fprintf(stderr, "hint: %s\n", err->hint);
	return 1;
}

static int make_keys(const char *dir)
{
	DorisError err;

	if (keys_make(dir, &err) != DORIS_OK)
		return fail(&err);
	printf("wrote %s/cluster.key and %s/admin.key\n", dir, dir);
	return 0;
}

static void require(const char *option, const char *value)
{
	if (value != NULL && value[0] != '\0')
		return;
	fprintf(stderr, "doris_admin: option %s is missing (see --help)\n", option);
	exit(2);
}

static void parse_options(int argc, char **argv, AdminOptions *o)
{
	int c;

	o->heartbeat_ms = 500;
	o->misses = 3;
	o->scrub_rate_mb = 1;
	o->scrub_lap_s = 600;
	o->plan_stall_s = 60;
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		switch (c)
		{
			case OPT_DATABASE:
				o->database = optarg;
				break;
			case OPT_LISTEN:
				o->listen = optarg;
				break;
			case OPT_NAME:
				o->name = optarg;
				break;
			case OPT_KEY_FILE:
				o->key_file = optarg;
				break;
			case OPT_HEARTBEAT:
				o->heartbeat_ms = parse_number("--heartbeat-ms", optarg, 50, 60000);
				break;
			case OPT_MISSES:
				o->misses = parse_number("--misses", optarg, 1, 100);
				break;
			case OPT_SCRUB_RATE:
				o->scrub_rate_mb = parse_number("--scrub-rate", optarg, 0, 100000);
				break;
			case OPT_SCRUB_LAP:
				o->scrub_lap_s = parse_number("--scrub-lap", optarg, 0, 100000000);
				break;
			case OPT_PLAN_STALL:
				o->plan_stall_s = parse_number("--plan-stall", optarg, 1, 1000000);
				break;
			case OPT_MAKE_KEYS:
				exit(make_keys(optarg));
			case OPT_LOG_LEVEL:
				if (!log_parse_level(optarg, &log_level))
				{
					fprintf(stderr,
							"doris_admin: --log-level must be debug, info, warning or error, not "
							"\"%s\"\n",
							optarg);
					exit(2);
				}
				break;
			case OPT_HELP:
				print_help();
				exit(0);
			case OPT_VERSION:
				printf("doris_admin %s\n", DORIS_BUILD);
				exit(0);
			default:
				fprintf(stderr, "See doris_admin --help.\n");
				exit(2);
		}
	if (optind < argc)
	{
		fprintf(stderr, "doris_admin: unexpected argument \"%s\" (see --help)\n", argv[optind]);
		exit(2);
	}
	require("--database", o->database);
	require("--listen", o->listen);
	require("--name", o->name);
	if (strlen(o->name) >= DORIS_NAME_MAX)
	{
		fprintf(stderr, "doris_admin: --name is longer than %d bytes\n", DORIS_NAME_MAX - 1);
		exit(2);
	}
}

/* What must hold before anything is started. */
static DorisStatus prepare(Admin *a, DorisError *err)
{
	const AdminOptions *o = &a->options;
	DorisStatus status;

	if (!transport_address_valid(o->listen))
		return doris_error(
			err, DORIS_BAD_ARGUMENT,
			"--listen must be tcp://host:port with a port from 1 to 65535, not \"%s\"", o->listen);
	status = keys_load(o->key_file, &a->keys, err);
	if (status != DORIS_OK)
		return status;
	if (a->keys.present && !a->keys.has_secret)
	{
		(void) doris_error(err, DORIS_BAD_ARGUMENT, "key file \"%s\" has no secret key",
						   o->key_file);
		return doris_hint(err,
						  "Admins need the file admin.key that doris_admin --make-keys wrote.");
	}
	if (!a->keys.present && !transport_is_loopback(o->listen))
	{
		(void) doris_error(err, DORIS_DENIED,
						   "%s is not a loopback address, and there is no key file", o->listen);
		return doris_hint(err, "Give --key-file, or listen on tcp://127.0.0.1:port.");
	}
	if (!a->keys.present)
		log_write(LOG_WARNING,
				  "no key file: messages are plain, and only loopback addresses are used");
	status = admin_init(a, err);
	if (status != DORIS_OK)
		return status;
	return listener_open(o->listen, &a->listener, err);
}

static void start(pthread_t *thread, void *(*main)(void *), Admin *a)
{
	if (pthread_create(thread, NULL, main, a) != 0)
	{
		log_write(LOG_ERROR, "cannot start a thread: %m");
		exit(1);
	}
}

int main(int argc, char **argv)
{
	static Admin a;
	pthread_t serve[ADMIN_SERVE_THREADS];
	pthread_t lead;
	pthread_t heart;
	pthread_t scrub;
	sigset_t signals;
	DorisError err;
	int caught = 0;

	a.jobs_fd = -1;
	parse_options(argc, argv, &a.options);
	setvbuf(stderr, NULL, _IOLBF, 0);
	if (sodium_init() < 0)
	{
		fprintf(stderr, "doris_admin: libsodium does not start\n");
		return 1;
	}
	/* Before any thread, so that all of them leave the signals to this one. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (prepare(&a, &err) != DORIS_OK)
		return fail(&err);

	log_write(LOG_INFO, "doris_admin %s \"%s\" listens on %s", DORIS_BUILD, a.options.name,
			  a.options.listen);
	for (int i = 0; i < ADMIN_SERVE_THREADS; i++)
		start(&serve[i], serve_thread, &a);
	start(&lead, lead_thread, &a);
	start(&heart, heart_thread, &a);
	start(&scrub, scrub_thread, &a);

	(void) sigwait(&signals, &caught);
	log_write(LOG_INFO, "stops on signal %d", caught);
	atomic_store(&a.stopping, true);
	listener_shutdown(a.listener);
	heart_kick(&a);
	for (int i = 0; i < ADMIN_SERVE_THREADS; i++)
		pthread_join(serve[i], NULL);
	pthread_join(scrub, NULL);
	pthread_join(heart, NULL);
	pthread_join(lead, NULL);
	admin_free(&a);
	listener_close(a.listener);
	return 0;
}
