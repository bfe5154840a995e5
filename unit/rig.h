/*
 * rig.h: a small cluster of real doris_node processes for tests, without PostgreSQL.
 *
 * The rig plays the admin: a process of its own answers HELLO and enters the start in the next epoch, hands out the topology,
 * and gives the verdict on reports that the test sets. The test process itself must not open channels (nanomsg does not survive
 * a fork): everything a client does happens in children, see rig_child.
 */
#ifndef DORIS_RIG_H
#define DORIS_RIG_H

#include <sys/types.h>
#include <unistd.h>

#include "doris.h"

#define RIG_MAX_NODES 8
#define RIG_NS 1 /* id of namespace "t": k text (key), v text */
#define RIG_COLUMN 2

typedef struct Rig
{
	char dir[256];
	char node_program[512];
	int groups;
	int nodes;				   /* in all; node i is in group i % groups + 1 */
	pid_t pids[RIG_MAX_NODES]; /* 0: not running */
	int ports[RIG_MAX_NODES];
	int starts[RIG_MAX_NODES];
	pid_t admin;
	int admin_port;
	Topology *topo; /* the newest published */
	struct RigShared *shared;
	int verdict;		  /* ReportVerdict given to reports; set before rig_publish */
	char hosts[512];	  /* admin and nodes */
	char node_hosts[512]; /* nodes only */
} Rig;

/* Starts everything and waits until all nodes serve. Ends the process with a message when that fails. */
extern Rig *rig_up(int groups, int nodes_per_group, uint32_t vnodes);
extern void rig_down(Rig *r);
extern void rig_signal(Rig *r, int node, int sig); /* SIGKILL, SIGTERM also wait for its end */
extern void rig_start(Rig *r, int node);		   /* and waits until it serves */
/*
 * Publishes r->topo changed by the test as the next epoch: a new admin process serves it and, when push is set, hands it to
 * all running nodes.
 */
extern void rig_publish(Rig *r, bool push);
extern void rig_set_down(Rig *r, int node, bool down); /* in r->topo; publish it then */

/* Runs fn in a child. Returns at once; rig_wait gives its exit status (-1: killed by a signal). */
typedef int (*RigFn)(Rig *r, void *arg);
extern pid_t rig_child(Rig *r, RigFn fn, void *arg);
extern int rig_wait(pid_t pid);
extern int rig_run(Rig *r, RigFn fn, void *arg); /* both */

/* ---- for the children ---- */
extern DorisClient *rig_connect(Rig *r, int deadline_ms); /* or exits with a message */
extern const NsDef *rig_ns(DorisClient *c);
extern DorisBytes rig_key(const char *text);   /* encoded; 16 buffers in turn */
extern DorisBytes rig_value(const char *text); /* encoded row with column v; 16 buffers in turn */
/* The text of column v in a row's value; a static buffer. */
extern const char *rig_text(DorisBytes value);
/* Commits an array of writes. */
extern DorisStatus rig_commit(DorisClient *c, const DorisWrite *writes, uint32_t n,
							  DorisCommitResult *result, DorisError *err);
extern DorisWrite rig_write(WriteKind kind, const char *key, const char *value, DorisVersion base);
/* Reads one row: its text into out (empty when absent) and its version. */
extern DorisStatus rig_read(DorisClient *c, const char *key, char *out, size_t size,
							DorisVersion *version, DorisError *err);
/* Compares all copies of all vnodes by digest; true when equal and nothing is staged (when nothing_staged). */
extern bool rig_copies_equal(DorisClient *c, bool nothing_staged);
extern uint64_t rig_count(DorisClient *c);

/* Ends a child with what failed. */
#define RIG_CHECK(cond, ...)                                           \
	do                                                                 \
	{                                                                  \
		if (!(cond))                                                   \
		{                                                              \
			fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #cond); \
			fprintf(stderr, __VA_ARGS__);                              \
			fprintf(stderr, "\n");                                     \
			_exit(1);                                                  \
		}                                                              \
	} while (0)

#endif
