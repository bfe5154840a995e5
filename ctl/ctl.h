/*
 * ctl.h: what the files of dorisctl share. Exit codes: 0 done, 1 failed, 2 misused, 3 not found; 130
 * interrupted while a plan is watched.
 */
#ifndef DORIS_CTL_H
#define DORIS_CTL_H

#include "doris.h"

enum
{
	CTL_OK = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_NOT_FOUND = 3
};

/* The command line, options taken out. */
typedef struct Ctl
{
	const char *hosts;
	const char *key_file; /* NULL: plain */
	int deadline_ms;
	bool hex;	 /* keys and values are given and shown as hexadecimal bytes */
	bool count;	 /* scan: only how many */
	long limit;	 /* scan: at most so many rows; -1: all */
	bool repair; /* digest: and bring together what differs */
	int clients; /* bench */
	int seconds;
	const char *mix; /* bench: read, write, mixed */
	bool dry_run;	 /* plan: only show what would move */
	bool no_wait;	 /* plan: do not watch it */
	int nargs;		 /* behind the verb */
	char **args;
	DorisClient *client; /* connected, but for verbs that do that themselves */
} Ctl;

/* Says the error with its hint on standard error; returns the exit code for it. */
extern int ctl_fail(const DorisError *err);
/* Says how a verb is used wrongly; returns CTL_USAGE. */
extern int ctl_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
extern DORIS_MUST_CHECK DorisStatus ctl_connect(const Ctl *ctl, DorisClient **out, DorisError *err);

/* text.c: keys and values as people write them. All append to out; false: said why. */
extern bool text_key(const Ctl *ctl, const NsDef *ns, const char *text, DorisBuf *out);
/* Columns from words `name=value`, up to the end or a word "--"; *used: how many words. */
extern bool text_value(const Ctl *ctl, const NsDef *ns, char **words, int n, DorisBuf *out,
					   int *used);
extern void text_show_row(const Ctl *ctl, const NsDef *ns, const DorisRow *row);

/* rows.c, cluster.c, plan.c, bench.c: the verbs. Each returns an exit code. */
extern int verb_get(Ctl *ctl);
extern int verb_put(Ctl *ctl);
extern int verb_del(Ctl *ctl);
extern int verb_scan(Ctl *ctl);
extern int verb_create(Ctl *ctl);
extern int verb_drop(Ctl *ctl);
extern int verb_status(Ctl *ctl);
extern int verb_nodes(Ctl *ctl);
extern int verb_stats(Ctl *ctl);
extern int verb_digest(Ctl *ctl);
extern int verb_plan(Ctl *ctl);
extern int verb_bench(Ctl *ctl);

#endif
