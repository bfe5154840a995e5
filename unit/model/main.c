/*
 * main.c: options of the model explorer.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "suite.h"

static void usage(FILE *out)
{
	fprintf(
		out,
		"model: explores schedules of the replication protocol for one that breaks a property.\n"
		"\n"
		"usage: model [--seed N] [--jobs N] [--quiet]\n"
		"       model --scenario NAME [--without RULE[,RULE...]] [--seed N] [--steps N] [--states "
		"N]\n"
		"       model --scenario NAME [--without RULE[,RULE...]] --replay SEED\n"
		"       model --rules | --scenarios | --help\n"
		"\n"
		"Without --scenario: every scenario with all rules, in which nothing may be found; then "
		"each rule\n"
		"switched off, where a counterexample must be found. Exit code 0: all as it should be.\n"
		"\n"
		"  --scenario NAME  this one only; with --without it must be broken, else it must hold\n"
		"  --without RULES  switch these rules off\n"
		"  --seed N         of the random walks (1)\n"
		"  --steps N        of the random walks, at most\n"
		"  --states N       breadth first instead, up to so many states\n"
		"  --replay SEED    the one walk with this seed, as printed\n"
		"  --jobs N         processes side by side (the number of processors)\n"
		"  --quiet          no schedules of counterexamples that were expected\n"
		"  --rules          list the rules\n"
		"  --scenarios      list the scenarios\n");
}

static bool number(const char *text, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	if (errno == 0 && *text >= '0' && *text <= '9' && *end == '\0')
		return true;
	fprintf(stderr, "model: \"%s\" is not a number\n", text);
	return false;
}

static bool switch_off(char *list)
{
	char *save = NULL;
	char *name;

	for (name = strtok_r(list, ",", &save); name != NULL; name = strtok_r(NULL, ",", &save))
	{
		int r = rule_find(name);

		if (r < 0)
		{
			fprintf(stderr, "model: there is no rule \"%s\"; see --rules\n", name);
			return false;
		}
		rules_off |= UINT64_C(1) << r;
	}
	return true;
}

static bool choose(const char *name)
{
	int i = scenario_find(name);

	if (i < 0)
	{
		fprintf(stderr, "model: there is no scenario \"%s\"; see --scenarios\n", name);
		return false;
	}
	scene = &scenarios[i];
	return true;
}

static void list_rules(void)
{
	int i;

	for (i = 0; i < NRULES; i++)
		printf("%-18s %s\n", rule_texts[i].name, rule_texts[i].says);
}

static void list_scenarios(void)
{
	int i;

	for (i = 0; i < nscenarios; i++)
		printf("%-20s %s\n", scenarios[i].name, scenarios[i].about);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"scenario", required_argument, NULL, 's'}, {"without", required_argument, NULL, 'w'},
		{"seed", required_argument, NULL, 'S'},		{"steps", required_argument, NULL, 'n'},
		{"states", required_argument, NULL, 'b'},	{"replay", required_argument, NULL, 'r'},
		{"jobs", required_argument, NULL, 'j'},		{"quiet", no_argument, NULL, 'q'},
		{"rules", no_argument, NULL, 'R'},			{"scenarios", no_argument, NULL, 'C'},
		{"help", no_argument, NULL, 'h'},			{NULL, 0, NULL, 0},
	};
	Options o = {.seed = DEFAULT_SEED, .jobs = (int) sysconf(_SC_NPROCESSORS_ONLN)};
	uint64_t jobs;
	bool good = true;
	int c;

	while (good && (c = getopt_long(argc, argv, "h", options, NULL)) != -1)
	{
		switch (c)
		{
			case 's':
				good = choose(optarg);
				break;
			case 'w':
				good = switch_off(optarg);
				break;
			case 'S':
				good = number(optarg, &o.seed);
				break;
			case 'n':
				good = number(optarg, &o.steps);
				break;
			case 'b':
				good = number(optarg, &o.states);
				break;
			case 'r':
				good = number(optarg, &o.replay);
				break;
			case 'j':
				good = number(optarg, &jobs);
				o.jobs = (int) jobs;
				break;
			case 'q':
				o.quiet = true;
				break;
			case 'R':
				list_rules();
				return 0;
			case 'C':
				list_scenarios();
				return 0;
			case 'h':
				usage(stdout);
				return 0;
			default:
				good = false;
				break;
		}
	}
	if (good && (optind != argc || (scene == NULL && (rules_off != 0 || o.replay != 0 ||
													  o.states != 0 || o.steps != 0))))
	{
		usage(stderr);
		return 2;
	}
	if (!good)
		return 2;
	if (scene == NULL)
		return suite_run(&o) ? 0 : 1;
	return explore(&o, rules_off != 0, o.steps != 0 ? o.steps : 50000000) ? 0 : 1;
}
