/*
 * main.c: doris_node: starts the threads, waits for a signal, stops cleanly.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "hints.h"
#include "settle.h"

#define EXIT_CLEAN 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2

static Node node; /* 1 MB of locks and states: not on the stack */

/* One file for each vnode, and a descriptor for each that is open. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max)
	{
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			log_line(LOG_WARNING, "the limit of open files cannot be raised");
	}
}

static int fail(const DorisError *err)
{
	log_line(LOG_ERROR, "%s%s%s", err->message, err->hint[0] != '\0' ? ". " : "", err->hint);
	return EXIT_FAILED;
}

/* Blocked here and so in all threads; taken by sigwait. */
static void block_signals(sigset_t *set)
{
	(void) sigemptyset(set);
	(void) sigaddset(set, SIGTERM);
	(void) sigaddset(set, SIGINT);
	(void) pthread_sigmask(SIG_BLOCK, set, NULL);
	(void) signal(SIGPIPE, SIG_IGN);
}

static int run(const sigset_t *signals)
{
	Worker *workers = NULL;
	pthread_t greeter;
	pthread_t background;
	pthread_t replayer;
	bool greeting = false;
	bool housekeeping = false;
	pthread_t recoverer;
	pthread_t settler;
	bool settling = false;
	bool replaying = false;
	bool recovering = false;
	int signal_number = 0;
	DorisError err = {0};
	DorisStatus st = listener_open(node.config.listen, &node.listener, &err);

	if (st == DORIS_OK)
		st = serve_start(&node, &workers, &err);
	if (st == DORIS_OK)
	{
		st = background_start(&node, &background, &err);
		housekeeping = st == DORIS_OK;
	}
	if (st == DORIS_OK)
	{
		st = replay_start(&node, &replayer, &err);
		replaying = st == DORIS_OK;
	}
	if (st == DORIS_OK)
	{
		st = recover_start(&node, &recoverer, &err);
		recovering = st == DORIS_OK;
	}
	if (st == DORIS_OK)
	{
		st = settle_start(&node, &settler, &err);
		settling = st == DORIS_OK;
	}
	if (st == DORIS_OK)
	{
		st = greet_start(&node, &greeter, &err);
		greeting = st == DORIS_OK;
	}
	if (st == DORIS_OK)
	{
		log_line(LOG_INFO, "%s %s listens at %s, home %s%s", node.identity.name, DORIS_BUILD,
				 node.config.listen, node.config.home,
				 node.keys.present ? "" : ", without a key: loopback only");
		(void) sigwait(signals, &signal_number);
		log_line(LOG_INFO, "stopping");
	}
	else
		(void) fail(&err);
	atomic_store(&node.stopping, true);
	serve_join(&node, workers);
	if (housekeeping)
		(void) pthread_join(background, NULL);
	if (replaying)
		(void) pthread_join(replayer, NULL);
	if (recovering)
		(void) pthread_join(recoverer, NULL);
	if (settling)
		(void) pthread_join(settler, NULL);
	if (greeting)
		(void) pthread_join(greeter, NULL);
	listener_close(node.listener);
	node.listener = NULL;
	node_close(&node, true);
	if (st != DORIS_OK)
		return EXIT_FAILED;
	log_line(LOG_INFO, "stopped");
	return atomic_load(&node.exit_code) > 0 ? EXIT_FAILED : EXIT_CLEAN;
}

int main(int argc, char **argv)
{
	static Config config;
	sigset_t signals;
	DorisError err = {0};

	switch (config_read(argc, argv, &config))
	{
		case CONFIG_EXIT:
			return EXIT_CLEAN;
		case CONFIG_USAGE:
			return EXIT_USAGE;
		case CONFIG_RUN:
			break;
	}
	log_set_level(config.log_level);
	block_signals(&signals);
	raise_file_limit();
	if (node_open(&node, &config, &store_wiredtiger, &err) != DORIS_OK)
	{
		int code = fail(&err);

		node_close(&node, false);
		return code;
	}
	return run(&signals);
}
