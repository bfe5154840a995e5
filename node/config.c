/*
 * config.c: reading and checking the node's options. The file's names are the long options' names.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport.h"

static const char usage_text[] =
	"doris_node: a storage node of a doris cluster\n"
	"\n"
	"usage: doris_node --home DIR --name NAME --listen tcp://HOST:PORT --admins HOST:PORT,... "
	"[options]\n"
	"\n"
	"  --config FILE     read options from lines `name = value` (the command line wins)\n"
	"  --home DIR        directory of the data; made when absent\n"
	"  --name NAME       the name under which the node is registered (doris_add_node)\n"
	"  --listen ADDRESS  tcp://HOST:PORT to serve at, as others reach it\n"
	"  --admins LIST     HOST:PORT of each admin, separated by commas\n"
	"  --key-file FILE   the cluster's key; without one only loopback addresses are allowed\n"
	"  --cache MB        memory of the storage engine's cache (256)\n"
	"  --workers N       threads that take requests (4)\n"
	"  --memory MINUTES  how long outcomes of transactions are remembered (15)\n"
	"  --reserve MB      disk space to keep; below it writes are refused (64)\n"
	"  --hint-budget MB  log nodes: what is kept for nodes that are down, at most (1024)\n"
	"  --replay-rate MB  log nodes: what is sent to them per second when they are back, at most "
	"(64)\n"
	"  --recover-rate MB what is pulled per second to make copies complete, at most (0: no limit)\n"
	"  --log-level L     error, warning, info or debug (info)\n"
	"  --help, --version\n"
	"\n"
	"Exit status: 0 stopped cleanly, 1 failed, 2 wrong options.\n";

static const struct option options[] = {
	{"config", required_argument, NULL, 'c'},
	{"home", required_argument, NULL, 0},
	{"name", required_argument, NULL, 0},
	{"listen", required_argument, NULL, 0},
	{"admins", required_argument, NULL, 0},
	{"key-file", required_argument, NULL, 0},
	{"cache", required_argument, NULL, 0},
	{"workers", required_argument, NULL, 0},
	{"memory", required_argument, NULL, 0},
	{"reserve", required_argument, NULL, 0},
	{"hint-budget", required_argument, NULL, 0},
	{"replay-rate", required_argument, NULL, 0},
	{"recover-rate", required_argument, NULL, 0},
	{"log-level", required_argument, NULL, 0},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'v'},
	{NULL, 0, NULL, 0},
};

static bool set_text(const char *name, const char *value, char *out, size_t size)
{
	if (value[0] == '\0' || strlen(value) >= size)
	{
		fprintf(stderr, "doris_node: --%s must have 1 to %zu characters\n", name, size - 1);
		return false;
	}
	(void) snprintf(out, size, "%s", value);
	return true;
}

static bool set_number(const char *name, const char *value, long low, long high, long *out)
{
	char *end;

	errno = 0;
	*out = strtol(value, &end, 10);
	if (errno != 0 || end == value || *end != '\0' || *out < low || *out > high)
	{
		fprintf(stderr, "doris_node: --%s must be a number from %ld to %ld, not \"%s\"\n", name,
				low, high, value);
		return false;
	}
	return true;
}

static bool set_address(const char *name, const char *value, char out[DORIS_ADDRESS_MAX])
{
	int n = snprintf(out, DORIS_ADDRESS_MAX, "%s%s",
					 strncmp(value, "tcp://", 6) == 0 ? "" : "tcp://", value);

	if (n >= DORIS_ADDRESS_MAX || !transport_address_valid(out))
	{
		fprintf(stderr, "doris_node: --%s: \"%s\" is not an address of the form host:port\n", name,
				value);
		return false;
	}
	return true;
}

static bool set_admins(const char *value, Config *c)
{
	char list[CONFIG_MAX_ADMINS * DORIS_ADDRESS_MAX];
	char *save = NULL;

	if (!set_text("admins", value, list, sizeof(list)))
		return false;
	c->nadmins = 0;
	for (char *one = strtok_r(list, ", ", &save); one != NULL; one = strtok_r(NULL, ", ", &save))
	{
		if (c->nadmins == CONFIG_MAX_ADMINS)
		{
			fprintf(stderr, "doris_node: --admins takes at most %d addresses\n", CONFIG_MAX_ADMINS);
			return false;
		}
		if (!set_address("admins", one, c->admins[c->nadmins]))
			return false;
		c->nadmins++;
	}
	return true;
}

/* One option, from either source. False: the reason was printed. */
static bool set_option(const char *name, const char *value, Config *c)
{
	long v;

	if (strcmp(name, "home") == 0)
		return set_text(name, value, c->home, sizeof(c->home));
	if (strcmp(name, "name") == 0)
		return set_text(name, value, c->name, sizeof(c->name));
	if (strcmp(name, "listen") == 0)
		return set_address(name, value, c->listen);
	if (strcmp(name, "admins") == 0)
		return set_admins(value, c);
	if (strcmp(name, "key-file") == 0)
		return set_text(name, value, c->key_file, sizeof(c->key_file));
	if (strcmp(name, "cache") == 0)
	{
		if (!set_number(name, value, 16, 10 << 20, &v))
			return false;
		c->cache_mb = (uint64_t) v;
		return true;
	}
	if (strcmp(name, "workers") == 0)
	{
		if (!set_number(name, value, 1, 256, &v))
			return false;
		c->workers = (int) v;
		return true;
	}
	if (strcmp(name, "memory") == 0)
	{
		if (!set_number(name, value, 1, 100000, &v))
			return false;
		c->memory_minutes = (int) v;
		return true;
	}
	if (strcmp(name, "reserve") == 0)
	{
		if (!set_number(name, value, 0, 1 << 30, &v))
			return false;
		c->reserve_mb = (uint64_t) v;
		return true;
	}
	if (strcmp(name, "recover-rate") == 0)
	{
		if (!set_number(name, value, 0, 1 << 20, &v))
			return false;
		c->recover_rate_mb = (uint64_t) v;
		return true;
	}
	if (strcmp(name, "hint-budget") == 0)
	{
		if (!set_number(name, value, 0, 1 << 30, &v))
			return false;
		c->hint_budget_mb = (uint64_t) v;
		return true;
	}
	if (strcmp(name, "replay-rate") == 0)
	{
		if (!set_number(name, value, 1, 1 << 20, &v))
			return false;
		c->replay_rate_mb = (uint64_t) v;
		return true;
	}
	if (strcmp(name, "log-level") == 0)
	{
		int level = log_level_of(value);

		if (level < 0)
		{
			fprintf(stderr, "doris_node: --log-level must be error, warning, info or debug\n");
			return false;
		}
		c->log_level = (LogLevel) level;
		return true;
	}
	fprintf(stderr, "doris_node: there is no option \"%s\"\n", name);
	return false;
}

static char *trim(char *s)
{
	char *end;

	while (isspace((unsigned char) *s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char) end[-1]))
		*--end = '\0';
	return s;
}

static bool read_file(const char *path, Config *c)
{
	FILE *f = fopen(path, "r");
	char line[4096];
	int number = 0;
	bool ok = true;

	if (f == NULL)
	{
		fprintf(stderr, "doris_node: cannot open %s: %s\n", path, strerror(errno));
		return false;
	}
	while (ok && fgets(line, sizeof(line), f) != NULL)
	{
		char *name = trim(line);
		char *equals = strchr(name, '=');

		number++;
		if (name[0] == '\0' || name[0] == '#')
			continue;
		if (equals == NULL)
		{
			fprintf(stderr, "doris_node: a line without `=`\n");
			ok = false;
		}
		else
		{
			*equals = '\0';
			ok = set_option(trim(name), trim(equals + 1), c);
		}
		if (!ok)
			fprintf(stderr, "doris_node: in %s, line %d\n", path, number);
	}
	if (ferror(f) != 0)
	{
		fprintf(stderr, "doris_node: cannot read %s\n", path);
		ok = false;
	}
	(void) fclose(f);
	return ok;
}

static bool complete(const Config *c)
{
	const char *missing = NULL;

	if (c->home[0] == '\0')
		missing = "home";
	else if (c->name[0] == '\0')
		missing = "name";
	else if (c->listen[0] == '\0')
		missing = "listen";
	else if (c->nadmins == 0)
		missing = "admins";
	if (missing != NULL)
	{
		fprintf(stderr, "doris_node: --%s is required\n", missing);
		return false;
	}
	if (c->key_file[0] != '\0')
		return true;
	if (!transport_is_loopback(c->listen))
	{
		fprintf(stderr,
				"doris_node: without --key-file it listens on loopback addresses only, not on %s\n",
				c->listen);
		return false;
	}
	for (int i = 0; i < c->nadmins; i++)
	{
		if (!transport_is_loopback(c->admins[i]))
		{
			fprintf(
				stderr,
				"doris_node: without --key-file it talks to loopback addresses only, not to the "
				"admin at %s\n",
				c->admins[i]);
			return false;
		}
	}
	return true;
}

static void defaults(Config *c)
{
	memset(c, 0, sizeof(*c));
	c->cache_mb = 256;
	c->workers = 4;
	c->memory_minutes = 15;
	c->reserve_mb = 64;
	c->hint_budget_mb = 1024;
	c->replay_rate_mb = 64;
	c->log_level = LOG_INFO;
}

/* First pass: --config, --help, --version and wrong options; second: the options themselves. */
static ConfigResult read_options(int argc, char **argv, bool apply, Config *c)
{
	int index = 0;
	int got;

	optind = 1;
	opterr = apply ? 0 : 1;
	while ((got = getopt_long(argc, argv, "", options, &index)) != -1)
	{
		switch (got)
		{
			case 'h':
				fputs(usage_text, stdout);
				return CONFIG_EXIT;
			case 'v':
				printf("doris_node %s\n", DORIS_BUILD);
				return CONFIG_EXIT;
			case 'c':
				if (!apply && !read_file(optarg, c))
					return CONFIG_USAGE;
				break;
			case 0:
				if (apply && !set_option(options[index].name, optarg, c))
					return CONFIG_USAGE;
				break;
			default:
				fputs("Try `doris_node --help`.\n", stderr);
				return CONFIG_USAGE;
		}
	}
	if (optind < argc)
	{
		fprintf(stderr, "doris_node: \"%s\" is not an option\n", argv[optind]);
		return CONFIG_USAGE;
	}
	return CONFIG_RUN;
}

ConfigResult config_read(int argc, char **argv, Config *out)
{
	ConfigResult r;

	defaults(out);
	r = read_options(argc, argv, false, out);
	if (r == CONFIG_RUN)
		r = read_options(argc, argv, true, out);
	if (r == CONFIG_RUN && !complete(out))
		r = CONFIG_USAGE;
	return r;
}
