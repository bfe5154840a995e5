/*
 * plan.c: dorisctl's verb for plans that move vnodes: show, start, watch, pause, end them.
 *
 * The leading admin carries plans out: whatever ends the watching, the plan goes on, and we say so.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"

#define POLL_MS 200
#define LINE_MS 1000	/* between lines of progress, where there is no terminal */
#define REPEAT_MS 10000 /* after which the same line is shown again */
#define BAR_WIDTH 30
#define EXIT_INTERRUPTED 130

/* ---- asking ---- */

/* An exit code; CTL_OK: the caller frees *reply. */
static int ask(Ctl *ctl, const Operate *op, OperateReply *reply)
{
	DorisError err;

	return doris_operate(ctl->client, op, reply, &err) == DORIS_OK ? CTL_OK : ctl_fail(&err);
}

/* One plan, with its moves or only its state; *reply holds it. */
static int ask_plan(Ctl *ctl, uint32_t plan, bool state_only, OperateReply *reply)
{
	Operate op = {.verb = OPERATE_PLANS, .plan = plan, .dry = state_only};
	int code = ask(ctl, &op, reply);

	if (code != CTL_OK)
		return code;
	if (reply->nplans > 0 && reply->plans[0].id == plan)
		return CTL_OK;
	operate_reply_free(reply);
	fprintf(stderr, "dorisctl: there is no plan %u\nhint: See dorisctl plan list.\n", plan);
	return CTL_NOT_FOUND;
}

/* ---- showing ---- */

static void put_time(const char *name, uint64_t ms)
{
	time_t seconds = (time_t) (ms / 1000);
	struct tm tm;
	char text[64] = "-";

	if (ms > 0 && localtime_r(&seconds, &tm) != NULL)
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z", &tm);
	printf("%-12s%s\n", name, text);
}

/* running: how far each is can be told */
static void show_moves(const OperateReply *r, bool running)
{
	if (r->nmoves == 0)
	{
		puts("nothing moves");
		return;
	}
	printf("%5s  %-16s %-16s %7s %7s %12s %14s %14s %14s\n", "group", "from", "to", "vnodes",
		   running ? "done" : "", "rows", "bytes", "disk needed", "disk free");
	for (uint32_t i = 0; i < r->nmoves; i++)
	{
		const PlanMove *m = &r->moves[i];
		char done[16] = "";
		char room[24] = "-";

		if (running)
			snprintf(done, sizeof(done), "%u", m->done);
		if (m->free != PLAN_FREE_UNKNOWN)
			snprintf(room, sizeof(room), "%llu", (unsigned long long) m->free);
		printf("%5u  %-16s %-16s %7u %7s %12llu %14llu %14llu %14s\n", m->group,
			   m->from[0] != '\0' ? m->from : "-", m->to[0] != '\0' ? m->to : "-", m->vnodes, done,
			   (unsigned long long) m->rows, (unsigned long long) m->bytes,
			   (unsigned long long) m->needed, room);
	}
}

static void show_planned(const OperateReply *r)
{
	unsigned long long vnodes = 0;
	unsigned long long rows = 0;
	unsigned long long bytes = 0;

	for (uint32_t i = 0; i < r->nmoves; i++)
	{
		vnodes += r->moves[i].vnodes;
		rows += r->moves[i].rows;
		bytes += r->moves[i].bytes;
	}
	show_moves(r, false);
	printf("would move %llu vnodes (the minimum is %u), about %llu rows, %llu bytes\n", vnodes,
		   r->minimum, rows, bytes);
}

static int plan_list(Ctl *ctl)
{
	Operate op = {.verb = OPERATE_PLANS};
	OperateReply reply;
	int code = ask(ctl, &op, &reply);

	if (code != CTL_OK)
		return code;
	printf("%6s  %-10s %-10s %5s  %-13s %s\n", "plan", "kind", "state", "group", "vnodes",
		   "progress");
	for (uint32_t i = 0; i < reply.nplans; i++)
	{
		const PlanInfo *p = &reply.plans[i];
		char vnodes[32];
		char progress[512];

		snprintf(vnodes, sizeof(vnodes), "%u/%u", p->vnodes_done, p->vnodes_total);
		doris_plan_progress(p, clock_wall_ms(), progress, sizeof(progress));
		printf("%6u  %-10s %-10s %5u  %-13s %s\n", p->id, p->kind, p->state, p->group, vnodes,
			   progress);
	}
	operate_reply_free(&reply);
	return CTL_OK;
}

static int plan_show(Ctl *ctl, uint32_t plan)
{
	OperateReply reply;
	int code = ask_plan(ctl, plan, false, &reply);
	const PlanInfo *p;
	char progress[512];

	if (code != CTL_OK)
		return code;
	p = &reply.plans[0];
	doris_plan_progress(p, clock_wall_ms(), progress, sizeof(progress));
	printf("plan        %u\n", p->id);
	printf("kind        %s\n", p->kind);
	printf("state       %s\n", p->state);
	if (p->group > 0)
		printf("group       %u\n", p->group);
	printf("progress    %s\n", progress);
	printf("vnodes      %u of %u\n", p->vnodes_done, p->vnodes_total);
	printf("bytes       %llu of %llu\n", (unsigned long long) p->bytes_done,
		   (unsigned long long) p->bytes_total);
	put_time("started", p->started_ms);
	put_time(doris_plan_ended(p) ? "ended" : "ends about", p->eta_ms);
	if (p->error[0] != '\0')
		printf("error       %s\n", p->error);
	putchar('\n');
	show_moves(&reply, !doris_plan_ended(p));
	operate_reply_free(&reply);
	return CTL_OK;
}

/* ---- watching ---- */

static char farewell[160]; /* for who interrupts the watching */

static void on_interrupt(int sig)
{
	ssize_t written = write(STDERR_FILENO, farewell, strlen(farewell));

	(void) sig;
	(void) written;
	_exit(EXIT_INTERRUPTED);
}

typedef struct Watch
{
	uint32_t plan;
	bool bar;		   /* on a terminal: one line that changes */
	uint64_t shown_at; /* monotonic; 0: not yet */
	char shown[512];
} Watch;

static void watch_show(Watch *w, const PlanInfo *p)
{
	uint64_t now = clock_mono_ms();
	char words[sizeof(w->shown)];

	doris_plan_progress(p, clock_wall_ms(), words, sizeof(words));
	if (w->bar)
	{
		char bar[BAR_WIDTH + 1];
		size_t full = (size_t) doris_plan_percent(p) * BAR_WIDTH / 100;

		memset(bar, '.', BAR_WIDTH);
		memset(bar, '#', full);
		bar[BAR_WIDTH] = '\0';
		/* the rest of an earlier, longer line is erased */
		printf("\rplan %u [%s] %s\033[K", w->plan, bar, words);
		fflush(stdout);
		return;
	}
	if (w->shown_at != 0 && now - w->shown_at < LINE_MS && !doris_plan_ended(p))
		return;
	if (strcmp(words, w->shown) == 0 && now - w->shown_at < REPEAT_MS)
		return;
	printf("plan %u: %s\n", w->plan, words);
	fflush(stdout);
	memcpy(w->shown, words, sizeof(words));
	w->shown_at = now;
}

static int plan_watch(Ctl *ctl, uint32_t plan)
{
	Watch w = {.plan = plan, .bar = isatty(STDOUT_FILENO) == 1};
	struct sigaction action = {.sa_handler = on_interrupt};
	struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};

	snprintf(farewell, sizeof(farewell),
			 "%sdorisctl: plan %u goes on\nhint: dorisctl plan wait %u watches it again, "
			 "dorisctl plan cancel %u ends it.\n",
			 w.bar ? "\n" : "", plan, plan, plan);
	sigemptyset(&action.sa_mask);
	if (sigaction(SIGINT, &action, NULL) != 0 || sigaction(SIGTERM, &action, NULL) != 0)
	{
		perror("dorisctl: sigaction");
		return CTL_FAILED;
	}
	for (;;)
	{
		OperateReply reply;
		PlanInfo info;
		int code = ask_plan(ctl, plan, true, &reply);

		if (code != CTL_OK)
		{
			if (code == CTL_FAILED)
				fputs(farewell, stderr);
			return code;
		}
		info = reply.plans[0];
		operate_reply_free(&reply);
		watch_show(&w, &info);
		if (doris_plan_ended(&info))
		{
			if (w.bar)
				putchar('\n');
			return strcmp(info.state, "done") == 0 ? CTL_OK : CTL_FAILED;
		}
		(void) nanosleep(&pause, NULL);
	}
}

/* ---- starting ---- */

static bool set_name(char out[DORIS_NAME_MAX], const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len >= DORIS_NAME_MAX)
	{
		(void) ctl_usage("invalid name of a node: \"%s\"", name);
		return false;
	}
	memcpy(out, name, len + 1);
	return true;
}

/* Shows what would move, or starts the plan and watches it. */
static int plan_run(Ctl *ctl, Operate *op)
{
	OperateReply reply;
	uint32_t plan;
	int code;

	op->dry = ctl->dry_run;
	code = ask(ctl, op, &reply);
	if (code != CTL_OK)
		return code;
	plan = reply.plan;
	if (ctl->dry_run)
		show_planned(&reply);
	else if (plan == 0)
		puts("there is nothing to move");
	else
		printf("plan %u\n", plan);
	fflush(stdout);
	operate_reply_free(&reply);
	return ctl->dry_run || ctl->no_wait || plan == 0 ? CTL_OK : plan_watch(ctl, plan);
}

static int plan_nodes(Ctl *ctl, Operate *op, char **names, int n)
{
	int code = CTL_USAGE;

	op->names = calloc((size_t) n, sizeof(*op->names));
	if (op->names == NULL)
	{
		fputs("dorisctl: out of memory\n", stderr);
		return CTL_FAILED;
	}
	for (; op->nnames < (uint32_t) n; op->nnames++)
	{
		if (!set_name(op->names[op->nnames], names[op->nnames]))
			break;
	}
	if (op->nnames == (uint32_t) n)
		code = plan_run(ctl, op);
	operate_free(op);
	return code;
}

static int plan_tell(Ctl *ctl, OperateVerb verb, uint32_t plan, const char *done)
{
	Operate op = {.verb = verb, .plan = plan};
	OperateReply reply;
	int code = ask(ctl, &op, &reply);

	if (code != CTL_OK)
		return code;
	operate_reply_free(&reply);
	printf("plan %u %s\n", plan, done);
	return CTL_OK;
}

typedef enum Action
{
	ACTION_LIST,
	ACTION_SHOW,
	ACTION_EXPAND,
	ACTION_SHRINK,
	ACTION_REBALANCE,
	ACTION_REPLACE,
	ACTION_ADD_GROUP,
	ACTION_DROP_GROUP,
	ACTION_PAUSE,
	ACTION_RESUME,
	ACTION_CANCEL,
	ACTION_WAIT
} Action;

static const struct
{
	const char *name;
	Action action;
	int min_args;
	int max_args;
	const char *number; /* what the first argument is the number of; NULL: of nothing */
	const char *usage;
} actions[] = {
	{"list", ACTION_LIST, 0, 0, NULL, "list"},
	{"show", ACTION_SHOW, 1, 1, "plan", "show ID"},
	{"expand", ACTION_EXPAND, 2, DORIS_MAX_NODES, "group", "expand GROUP NODE..."},
	{"shrink", ACTION_SHRINK, 1, DORIS_MAX_NODES, NULL, "shrink NODE..."},
	{"rebalance", ACTION_REBALANCE, 1, 1, "group", "rebalance GROUP"},
	{"replace", ACTION_REPLACE, 2, 2, NULL, "replace OLD NEW"},
	{"add-group", ACTION_ADD_GROUP, 1, DORIS_MAX_NODES, NULL, "add-group NODE..."},
	{"drop-group", ACTION_DROP_GROUP, 1, 1, "group", "drop-group GROUP"},
	{"pause", ACTION_PAUSE, 1, 1, "plan", "pause ID"},
	{"resume", ACTION_RESUME, 1, 1, "plan", "resume ID"},
	{"cancel", ACTION_CANCEL, 1, 1, "plan", "cancel ID"},
	{"wait", ACTION_WAIT, 1, 1, "plan", "wait ID"},
};

#define NACTIONS (sizeof(actions) / sizeof(actions[0]))

static int plan_act(Ctl *ctl, Action action, uint32_t number)
{
	char **args = ctl->args + 1;
	int nargs = ctl->nargs - 1;
	Operate op = {.group = number};

	switch (action)
	{
		case ACTION_LIST:
			return plan_list(ctl);
		case ACTION_SHOW:
			return plan_show(ctl, number);
		case ACTION_EXPAND:
			op.verb = OPERATE_EXPAND;
			return plan_nodes(ctl, &op, args + 1, nargs - 1);
		case ACTION_SHRINK:
			op.verb = OPERATE_SHRINK;
			return plan_nodes(ctl, &op, args, nargs);
		case ACTION_REBALANCE:
			op.verb = OPERATE_REBALANCE;
			return plan_run(ctl, &op);
		case ACTION_REPLACE:
			op.verb = OPERATE_REPLACE;
			if (!set_name(op.node, args[0]) || !set_name(op.by, args[1]))
				return CTL_USAGE;
			return plan_run(ctl, &op);
		case ACTION_ADD_GROUP:
			op.verb = OPERATE_ADD_GROUP;
			return plan_nodes(ctl, &op, args, nargs);
		case ACTION_DROP_GROUP:
			op.verb = OPERATE_DROP_GROUP;
			return plan_run(ctl, &op);
		case ACTION_PAUSE:
			return plan_tell(ctl, OPERATE_PAUSE, number, "begins nothing new until it is resumed");
		case ACTION_RESUME:
			return plan_tell(ctl, OPERATE_RESUME, number, "goes on");
		case ACTION_CANCEL:
			return plan_tell(ctl, OPERATE_CANCEL, number, "is cancelled");
		case ACTION_WAIT:
			return plan_watch(ctl, number);
	}
	return CTL_USAGE;
}

int verb_plan(Ctl *ctl)
{
	static char *list[] = {"list"};
	long number = 0;
	size_t i = 0;
	DorisError err;

	if (ctl->nargs == 0)
	{
		ctl->args = list;
		ctl->nargs = 1;
	}
	while (i < NACTIONS && strcmp(ctl->args[0], actions[i].name) != 0)
		i++;
	if (i == NACTIONS)
		return ctl_usage("plans cannot \"%s\"; dorisctl plan --help says what they can",
						 ctl->args[0]);
	if (ctl->nargs - 1 < actions[i].min_args || ctl->nargs - 1 > actions[i].max_args)
		return ctl_usage("usage: dorisctl plan %s", actions[i].usage);
	if (actions[i].number != NULL)
	{
		char *end;

		number = strtol(ctl->args[1], &end, 10);
		if (ctl->args[1][0] == '\0' || *end != '\0' || number < 1 || number > INT32_MAX)
			return ctl_usage("\"%s\" is not the number of a %s", ctl->args[1], actions[i].number);
	}
	if (ctl_connect(ctl, &ctl->client, &err) != DORIS_OK)
		return ctl_fail(&err);
	return plan_act(ctl, actions[i].action, (uint32_t) number);
}
