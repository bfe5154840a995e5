/*
 * main.c: dorisctl's command line: options anywhere, one verb.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

typedef struct Verb
{
	const char *name;
	int (*run)(Ctl *ctl);
	int min_args;
	int max_args;
	bool connects; /* wants ctl->client */
	const char *arguments;
	const char *help;
} Verb;

static const Verb verbs[] = {
	{"get", verb_get, 2, 1000, true, "NAMESPACE KEY...",
	 "Shows rows by key; exit code 3 when one is not there."},
	{"put", verb_put, 2, 100000, true, "NAMESPACE KEY [COLUMN=VALUE...] [-- KEY ...]",
	 "Writes rows, whether they are there or not; several, separated by --, in one transaction."},
	{"del", verb_del, 2, 100000, true, "NAMESPACE KEY...",
	 "Deletes rows in one transaction; exit code 3 when none of them is there."},
	{"scan", verb_scan, 1, 1, true, "NAMESPACE [--limit N] [--count]",
	 "Shows all rows of a namespace, in no order, or counts them."},
	{"create", verb_create, 2, 1000, true, "NAMESPACE KEY [COLUMN...]",
	 "Defines a namespace whose key and columns are of type text."},
	{"drop", verb_drop, 1, 1, true, "NAMESPACE", "Drops a namespace with all its rows."},
	{"status", verb_status, 0, 0, true, "",
	 "The cluster in a few lines; exit code 1 when something is not as it should be."},
	{"nodes", verb_nodes, 0, 0, true, "", "A line for each node."},
	{"stats", verb_stats, 1, 1, false, "NODE | HOST:PORT",
	 "A process's counters; admins by their address."},
	{"digest", verb_digest, 0, 1, true, "[NAMESPACE] [--repair]",
	 "Compares the copies of all groups, vnode by vnode and row by row, while writes go on; with "
	 "--repair brings them together. Exit code 1 unless all are equal, or repaired."},
	{"plan", verb_plan, 0, 1 + DORIS_MAX_NODES, false,
	 "[list | show ID | expand GROUP NODE... | shrink NODE... | rebalance GROUP | replace OLD NEW "
	 "|\n"
	 "       add-group NODE... | drop-group GROUP | pause ID | resume ID | cancel ID | wait ID] "
	 "[--dry-run] [--no-wait]",
	 "Shows or starts plans that move vnodes between nodes, or add or drop a group. One that is "
	 "started, or `wait`, is "
	 "watched until it ends (exit code 1: it was cancelled); --no-wait only starts it, --dry-run "
	 "only shows what would move."},
	{"bench", verb_bench, 0, 0, false, "[--clients N] [--seconds S] [--mix read|write|mixed]",
	 "Measures operations on single rows of namespace dorisctl_bench, which it makes and drops."},
};

#define NVERBS (sizeof(verbs) / sizeof(verbs[0]))

static void print_help(void)
{
	size_t i;

	puts("dorisctl works on a doris cluster without PostgreSQL.\n"
		 "\n"
		 "Usage: dorisctl [OPTIONS] VERB ...\n"
		 "\n"
		 "Verbs:");
	for (i = 0; i < NVERBS; i++)
		printf("  %-7s %s\n", verbs[i].name, verbs[i].help);
	puts("\n"
		 "Options:\n"
		 "  --hosts LIST      host:port,host:port: admins and nodes alike (or DORIS_HOSTS)\n"
		 "  --key-file FILE   the cluster's key (or DORIS_KEY_FILE); none: plain, loopback only\n"
		 "  --deadline MS     of each call (default 30000)\n"
		 "  --hex             keys and values as hexadecimal bytes, as they are stored\n"
		 "  --help, --version\n"
		 "\n"
		 "`dorisctl VERB --help` says how a verb is used. Without --hex, keys and values are text, "
		 "and the\n"
		 "namespace's key must be one column of a text type. Exit codes: 0 done, 1 failed, 2 "
		 "misused,\n"
		 "3 not found.");
}

int ctl_fail(const DorisError *err)
{
	fprintf(stderr, "dorisctl: %s\n", err->message);
	if (err->hint[0] != '\0')
		fprintf(stderr, "hint: %s\n", err->hint);
	return err->code == DORIS_NOT_FOUND ? CTL_NOT_FOUND : CTL_FAILED;
}

int ctl_usage(const char *fmt, ...)
{
	va_list args;

	fputs("dorisctl: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputs("\nhint: See dorisctl --help.\n", stderr);
	return CTL_USAGE;
}

DorisStatus ctl_connect(const Ctl *ctl, DorisClient **out, DorisError *err)
{
	DorisOptions options = {
		.hosts = ctl->hosts, .key_file = ctl->key_file, .deadline_ms = ctl->deadline_ms};

	return doris_connect(&options, out, err);
}

/* A number within bounds; false: said why. */
static bool parse_number(const char *option, const char *text, long low, long high, long *out)
{
	char *end;

	*out = strtol(text, &end, 10);
	if (*text != '\0' && *end == '\0' && *out >= low && *out <= high)
		return true;
	(void) ctl_usage("--%s must be a number from %ld to %ld, not \"%s\"", option, low, high, text);
	return false;
}

/* words: room for all of argv and one more */
static int run(int argc, char **argv, char **words)
{
	static const struct option options[] = {{"hosts", required_argument, NULL, 'h'},
											{"key-file", required_argument, NULL, 'k'},
											{"deadline", required_argument, NULL, 'd'},
											{"hex", no_argument, NULL, 'x'},
											{"count", no_argument, NULL, 'c'},
											{"limit", required_argument, NULL, 'l'},
											{"clients", required_argument, NULL, 'C'},
											{"seconds", required_argument, NULL, 's'},
											{"mix", required_argument, NULL, 'm'},
											{"repair", no_argument, NULL, 'r'},
											{"dry-run", no_argument, NULL, 'n'},
											{"no-wait", no_argument, NULL, 'w'},
											{"help", no_argument, NULL, 'H'},
											{"version", no_argument, NULL, 'V'},
											{NULL, 0, NULL, 0}};
	Ctl ctl = {.hosts = getenv("DORIS_HOSTS"),
			   .key_file = getenv("DORIS_KEY_FILE"),
			   .deadline_ms = DORIS_DEFAULT_DEADLINE_MS,
			   .limit = -1,
			   .clients = 1,
			   .seconds = 5,
			   .mix = "mixed"};
	const Verb *verb = NULL;
	bool help = false;
	DorisError err;
	int nwords = 0;
	long number;
	int option;
	int code;
	size_t i;

	/* "-": words come in order, so that what stands behind a lone -- can be told from options */
	while ((option = getopt_long(argc, argv, "-", options, NULL)) != -1)
	{
		switch (option)
		{
			case 1:
				words[nwords++] = optarg;
				break;
			case 'h':
				ctl.hosts = optarg;
				break;
			case 'k':
				ctl.key_file = optarg;
				break;
			case 'd':
				if (!parse_number("deadline", optarg, 1, 3600000, &number))
					return CTL_USAGE;
				ctl.deadline_ms = (int) number;
				break;
			case 'x':
				ctl.hex = true;
				break;
			case 'c':
				ctl.count = true;
				break;
			case 'r':
				ctl.repair = true;
				break;
			case 'n':
				ctl.dry_run = true;
				break;
			case 'w':
				ctl.no_wait = true;
				break;
			case 'l':
				if (!parse_number("limit", optarg, 0, 1000000000, &ctl.limit))
					return CTL_USAGE;
				break;
			case 'C':
				if (!parse_number("clients", optarg, 1, 256, &number))
					return CTL_USAGE;
				ctl.clients = (int) number;
				break;
			case 's':
				if (!parse_number("seconds", optarg, 1, 3600, &number))
					return CTL_USAGE;
				ctl.seconds = (int) number;
				break;
			case 'm':
				ctl.mix = optarg;
				break;
			case 'H':
				help = true;
				break;
			case 'V':
				puts("dorisctl " DORIS_BUILD);
				return CTL_OK;
			default:
				fputs("hint: See dorisctl --help.\n", stderr);
				return CTL_USAGE;
		}
	}
	if (optind < argc && nwords > 0)
		words[nwords++] = argv[optind - 1]; /* the "--" itself: it separates the rows of a put */
	while (optind < argc)
		words[nwords++] = argv[optind++];
	for (i = 0; nwords > 0 && i < NVERBS; i++)
	{
		if (strcmp(words[0], verbs[i].name) == 0)
			verb = &verbs[i];
	}
	if (help && verb != NULL)
	{
		printf("Usage: dorisctl [OPTIONS] %s %s\n\n%s\n", verb->name, verb->arguments, verb->help);
		return CTL_OK;
	}
	if (help)
	{
		print_help();
		return CTL_OK;
	}
	if (nwords == 0)
		return ctl_usage("a verb is missing");
	if (verb == NULL)
		return ctl_usage("there is no verb \"%s\"", words[0]);
	ctl.args = words + 1;
	ctl.nargs = nwords - 1;
	if (ctl.nargs < verb->min_args || ctl.nargs > verb->max_args)
		return ctl_usage("usage: dorisctl %s %s", verb->name, verb->arguments);
	if (ctl.hosts == NULL || ctl.hosts[0] == '\0')
		return ctl_usage("where is the cluster? --hosts or DORIS_HOSTS must say");
	if (verb->connects && ctl_connect(&ctl, &ctl.client, &err) != DORIS_OK)
		return ctl_fail(&err);
	code = verb->run(&ctl);
	doris_disconnect(ctl.client);
	return code;
}

int main(int argc, char **argv)
{
	char **words = calloc((size_t) argc + 1, sizeof(char *));
	int code;

	if (words == NULL)
		return CTL_FAILED;
	code = run(argc, argv, words);
	free(words);
	return code;
}
