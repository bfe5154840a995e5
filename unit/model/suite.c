/*
 * suite.c: every scenario with all rules, where nothing may be found, and each rule switched off, where
 * something must be found. Each is a job in a process of its own.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "suite.h"

#define MILLION 1000000u
#define HOLD_STEPS (8 * MILLION)   /* of random walks in each scenario with all rules */
#define FIND_STEPS (150 * MILLION) /* at most, until a rule is missed */
#define MAX_STATES (6 * MILLION)   /* breadth first */
#define MAX_JOBS 16
#define MAX_REST_LINES 60

/* Where it shows that a rule is off. */
typedef struct Missing
{
	Rule rule;
	const char *scenario;
	bool rest; /* it shows in that the cluster does not come to rest */
} Missing;

static const Missing missing[] = {
	{RULE_JUDGE, "conflict", false},
	{RULE_EPOCH_FENCE, "move", false},
	{RULE_ONE_SECTION, "move-simply", false},
	{RULE_VOID_COLLECTED, "failover", false},
	{RULE_ACT_ALL, "failover-chain", false},
	{RULE_ACK_ALL, "failover", false},
	{RULE_HINT_FIRST, "hints", false},
	{RULE_HINT_FAILED_ONLY, "declare", false},
	{RULE_HINT_DISCARD, "failover", false},
	{RULE_REFUSE_FIRST, "conflict", false},
	{RULE_DROP_FENCE, "failover", false},
	{RULE_NOT_DONE, "failover", false},
	{RULE_NEVER_SENT, "failover", false},
	{RULE_TELL_ALL, "move-abort", false},
	{RULE_REFUSALS_LAPSE, "failover", false},
	{RULE_KNOWN_APPLIES, "failover-chain", false},
	{RULE_VALUE_PROVES, "carry-simply", false},
	{RULE_BASE_PROVES, "carry-read", false},
	{RULE_MEMORY_HORIZON, "memory", false},
	{RULE_ABORT_ROW, "two-vnodes", false},
	{RULE_DECISION_KEPT, "two-vnodes", false},
	{RULE_DECISION_HORIZON, "two-vnodes", false},
	{RULE_FINISH_ANY, "two-vnodes-failover", true},
	{RULE_FINISH_NEWEST, "move-decision", false},
	{RULE_WAIT_ACKS, "failover", false},
	{RULE_VOID_PASS, "failover", false},
	{RULE_PASS_STAGED, "failover", false},
	{RULE_PASS_MEMORY, "carry", false},
	{RULE_MEMORY_LAST, "carry", false},
	{RULE_PASS_REFUSED, "move-abort", false},
	{RULE_JUDGE_SETTLE, "failover", false},
	{RULE_SETTLE_PUBLISH, "failover", false},
	{RULE_SETTLE_REFUSES, "failover", false},
	{RULE_FETCH_RIVALS, "failover", false},
	{RULE_RESTAMP, "plain", false},
	{RULE_TOMBSTONES, "delete", false},
	{RULE_PURGE_COMPLETE, "delete", false},
	{RULE_PURGE_HORIZON, "plain-delete", false},
	{RULE_PURGE_FLOOR, "plain-delete", false},
	{RULE_PASS_FLOOR, "older-disk", false},
	{RULE_LAST_COPY, "failover", false},
	{RULE_WAIT_ACKS, "move-chain", false},
	{RULE_INCOMING_WRITES, "move-simply", false},
	{RULE_RETIRE, "move-read", false},
	{RULE_RETIRE_WRITES, "move-read", false},
	{RULE_RETIRE_ACK, "move-read", false},
	{RULE_FLIP_CHANGED, "move-again", false},
	{RULE_MOVE_START, "move-lost", false},
	{RULE_START, "restart", false},
	{RULE_LEASE, "failover", false},
	{RULE_LEADER_ASKS, "leader", false},
	{RULE_TERM, "leader", false},
	{RULE_NAMED_ALL, "named", false},
	{RULE_NAMED_ONCE, "named-failover", false},
	{RULE_NAMED_PENDING, "named-failover", false},
	{RULE_NAMED_CLOSE, "named", false},
	{RULE_DECIDED_FIRST, "named-chain", false},
};
#define NMISSING ((int) (sizeof(missing) / sizeof(missing[0])))

/*
 * A second line: off alone, the other rules hold (docs/model.md says why). Off, each holds in this scenario; should that
 * change, the rule belongs above.
 */
static const Missing spare[] = {
	{RULE_FRESH_TARGET, "move-again", true},
	{RULE_FLIP_START, "move-lost", true},
};
#define NSPARE ((int) (sizeof(spare) / sizeof(spare[0])))

static double seconds(void)
{
	struct timespec t;

	(void) clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static int line_number;
static int last_line; /* no more are printed */

static void print_step(const State *before, const State *after, Step x)
{
	char line[300];

	if (line_number++ >= last_line)
		return;
	step_say(before, after, x, line, sizeof(line));
	printf("    %3d. %s\n", line_number, line);
}

static void print_schedule(const Trace *t)
{
	uint64_t ignored = 0;
	State s;
	int i;

	line_number = 0;
	last_line = t->n + MAX_REST_LINES;
	state_init(&s);
	for (i = 0; i < t->n; i++)
	{
		State before = s;

		model_do(&s, t->step[i]);
		print_step(&before, &s, t->step[i]);
	}
	if (t->rest_seed != 0)
	{
		printf("         no more faults come, no new work:\n");
		(void) run_to_rest(&s, t->rest_seed, print_step, &ignored);
		if (line_number > last_line)
			printf("         and %d steps more\n", line_number - last_line);
	}
	printf("         %s\n", t->violation);
}

static void print_rules_off(void)
{
	const char *before = "without ";
	int i;

	for (i = 0; i < NRULES; i++)
		if (!rule((Rule) i))
		{
			printf("%s%s", before, rule_texts[i].name);
			before = ", ";
		}
	printf("%s in %s", rules_off != 0 ? "" : "all rules", scene->name);
}

bool explore(const Options *o, bool expect_broken, uint64_t steps)
{
	double began = seconds();
	uint64_t states = o->states != 0 ? o->states : scene->exhaust ? MAX_STATES : 0;
	Found f = {0};
	int length;

	if (o->replay != 0)
	{
		states = 0;
		random_walk(o->replay, &f);
	}
	else if (states != 0)
		breadth_first(states, &f);
	else
		random_walks(o->seed, o->steps != 0 ? o->steps : steps, &f);
	length = f.trace.n;
	printf("%s  ", f.broken == expect_broken ? "ok    " : "FAILED");
	print_rules_off();
	printf(": %s; ", f.broken ? (expect_broken ? "caught" : "BROKEN")
							  : (expect_broken ? "NOT CAUGHT" : "holds"));
	if (states != 0)
		printf("%s, %" PRIu64 " states, depth %d", f.complete ? "all states" : "breadth first",
			   f.states, f.depth);
	else if (o->replay != 0)
		printf("the walk of seed %" PRIu64, o->replay);
	else
		printf("%" PRIu64 " steps in %" PRIu64 " walks from seed %" PRIu64, f.steps, f.walks,
			   o->seed);
	if (f.broken && states == 0)
		printf(", the last one (--replay %" PRIu64 ") %d steps", f.seed, length);
	printf("; %.1f s\n", seconds() - began);
	if (f.broken)
	{
		if (states == 0)
			trace_shrink(&f.trace);
		if (expect_broken && o->quiet)
			printf("        %s (%d steps)\n", f.trace.violation, f.trace.n);
		else
			print_schedule(&f.trace);
		trace_free(&f.trace);
	}
	return f.broken == expect_broken;
}

/* ---- jobs ---- */
typedef struct Job
{
	pid_t pid;
	FILE *out;
} Job;

static bool run_job(const Options *o, int i)
{
	const Missing *m;

	if (i < nscenarios)
	{
		rules_off = 0;
		scene = &scenarios[i];
		return explore(o, false, HOLD_STEPS);
	}
	i -= nscenarios;
	m = i < NMISSING ? &missing[i] : &spare[i - NMISSING];
	rules_off = UINT64_C(1) << m->rule;
	scene = &scenarios[scenario_find(m->scenario)];
	rest_checked = m->rest;
	return explore(o, i < NMISSING, i < NMISSING ? FIND_STEPS : HOLD_STEPS);
}

static bool start_job(Job *job, const Options *o, int i)
{
	job->out = tmpfile();
	if (job->out == NULL)
		return false;
	(void) fflush(stdout);
	job->pid = fork();
	if (job->pid == 0)
	{
		bool good = dup2(fileno(job->out), STDOUT_FILENO) >= 0 && run_job(o, i);

		(void) fflush(stdout);
		_exit(good ? 0 : 1);
	}
	return job->pid > 0;
}

/* Waits for one of the jobs and prints what it said. */
static bool end_job(Job *jobs, int n, int *freed)
{
	char text[4096];
	int status;
	pid_t pid = wait(&status);
	size_t k;
	int i;

	for (i = 0; i < n && (jobs[i].out == NULL || jobs[i].pid != pid); i++)
		;
	if (i == n)
		return false;
	rewind(jobs[i].out);
	while ((k = fread(text, 1, sizeof(text), jobs[i].out)) > 0)
		(void) fwrite(text, 1, k, stdout);
	(void) fclose(jobs[i].out);
	jobs[i].out = NULL;
	*freed = i;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* A rule that no run switches off would be a rule that nobody has checked. */
static int unchecked_rules(void)
{
	uint64_t seen = 0;
	int n = 0;
	int i;

	for (i = 0; i < NMISSING; i++)
		seen |= UINT64_C(1) << missing[i].rule;
	for (i = 0; i < NSPARE; i++)
		seen |= UINT64_C(1) << spare[i].rule;
	for (i = 0; i < NRULES; i++)
		if ((seen >> i & 1) == 0)
		{
			printf("FAILED  rule %s is never switched off\n", rule_texts[i].name);
			n++;
		}
	return n;
}

bool suite_run(const Options *o)
{
	Job jobs[MAX_JOBS] = {{0, NULL}};
	int njobs = o->jobs < 1 ? 1 : o->jobs > MAX_JOBS ? MAX_JOBS : o->jobs;
	int total = nscenarios + NMISSING + NSPARE;
	double began = seconds();
	int failed = unchecked_rules();
	int running = 0;
	int next = 0;

	while (next < total || running > 0)
	{
		int slot = 0;

		if (next < total && running < njobs)
		{
			while (jobs[slot].out != NULL)
				slot++;
			if (!start_job(&jobs[slot], o, next))
			{
				perror("model: cannot start a process");
				return false;
			}
			next++;
			running++;
			continue;
		}
		if (!end_job(jobs, njobs, &slot))
			failed++;
		running--;
		(void) fflush(stdout);
	}
	printf("model: %d scenarios hold with all rules, %d runs miss a rule that is off, %d need "
		   "theirs only as a second line: %d of %d failed; %.0f s\n",
		   nscenarios, NMISSING, NSPARE, failed, total, seconds() - began);
	return failed == 0;
}
