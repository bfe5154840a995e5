/*
 * scenario.c: the small clusters and workloads that are explored.
 *
 * Two groups: A (and B) are group 1, C is group 2; L is the log node. Vnode 1 is used by the scenarios over two vnodes only.
 */
#include <string.h>

#include "model.h"

#define OK PLACE_COMPLETE
#define NO PLACE_NONE
#define ONE_VNODE      \
	{                  \
		{OK, NO, OK},  \
		{              \
			NO, NO, NO \
		}              \
	}
#define TWO_VNODES     \
	{                  \
		{OK, NO, OK},  \
		{              \
			NO, OK, OK \
		}              \
	}

#define WRITE(base)           \
	{                         \
		TXN_WRITE, 1, base, 0 \
	}
#define DELETE(base)           \
	{                          \
		TXN_DELETE, 1, base, 0 \
	}
#define PLAIN(again)           \
	{                          \
		TXN_PLAIN, 1, 0, again \
	}
#define AGAIN(of)             \
	{                         \
		TXN_RESTAMP, 1, 0, of \
	}
/* transaction 1 over both vnodes, with the decision rows that may be written for it */
#define BOTH_VNODES                                  \
	{TXN_WRITE, 3, 0, 2}, {TXN_COMMIT_ROW, 4, 0, 1}, \
	{                                                \
		TXN_ABORT_ROW, 4, 0, 1                       \
	}
/* the same, naming both vnodes in its staged rows */
#define NAMING_VNODES                                \
	{TXN_NAMED, 3, 0, 2}, {TXN_COMMIT_ROW, 4, 0, 1}, \
	{                                                \
		TXN_ABORT_ROW, 4, 0, 1                       \
	}
#define HELPING                                            \
	{TXN_SPARE_ABORT, 4, 0, 1}, {TXN_SPARE_HELP, 4, 0, 1}, \
	{                                                      \
		TXN_HELP_ROW, 4, 0, 1                              \
	}
#define CLOSING                  \
	{                            \
		TXN_SPARE_ABORT, 4, 0, 1 \
	}

const Scenario *scene;

const Scenario scenarios[] = {
	{
		.name = "conflict",
		.about = "two writers from one base, no faults of nodes",
		.txn = {{0}, WRITE(0), WRITE(0)},
		.place = ONE_VNODE,
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 60,
		.exhaust = true,
	},
	{
		.name = "chain",
		.about = "the second writer from the first one's version, no faults of nodes",
		.txn = {{0}, WRITE(0), WRITE(1)},
		.place = ONE_VNODE,
		.budget = {.deaths = 1},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 60,
		.exhaust = true,
	},
	{
		.name = "one-write",
		.about = "one writer, A fails and recovers",
		.txn = {{0}, WRITE(0)},
		.place = ONE_VNODE,
		.budget = {.fails = {1, 0, 0}},
		.closer = true,
		.length = 60,
		.exhaust = true,
	},
	{
		.name = "failover",
		.about = "two writers from one base; A fails and recovers, flaps, then C",
		.txn = {{0}, WRITE(0), WRITE(0)},
		.place = ONE_VNODE,
		.budget = {.fails = {2, 0, 1}, .deaths = 1, .log_losses = 1},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 90,
	},
	{
		.name = "failover-chain",
		.about = "a chain of three writers; A fails and recovers, flaps, then C",
		.txn = {{0}, WRITE(0), WRITE(1), WRITE(2)},
		.place = ONE_VNODE,
		.budget = {.fails = {2, 0, 1}, .deaths = 1, .log_losses = 1},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 100,
	},
	{
		.name = "hints",
		.about = "the hint budget runs out while A is failed",
		.txn = {{0}, WRITE(0), WRITE(0)},
		.place = ONE_VNODE,
		.budget = {.fails = {1, 0, 0}, .log_full = 1},
		.reader = true,
		.closer = true,
		.length = 60,
	},
	{
		.name = "declare",
		.about = "C is lost for good while A recovers: hints alone complete it",
		.txn = {{0}, WRITE(0), WRITE(1)},
		.place = ONE_VNODE,
		.budget = {.fails = {1, 0, 0}, .losses = 1},
		.duplicates = true,
		.length = 60,
	},
	{
		.name = "move",
		.about = "A's copy moves to B, perhaps cancelled; any node fails",
		.txn = {{0}, WRITE(0), WRITE(0)},
		.place = ONE_VNODE,
		.budget = {.fails = {1, 1, 1}, .moves = 1, .cancels = 1, .deaths = 1},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 100,
	},
	{
		.name = "move-chain",
		.about = "a chain of two writers; A's copy moves to B; A and C fail, hints are lost",
		.txn = {{0}, WRITE(0), WRITE(1)},
		.place = ONE_VNODE,
		.budget = {.fails = {1, 0, 1}, .moves = 1, .deaths = 1, .log_losses = 1},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 100,
	},
	{
		.name = "move-again",
		.about =
			"a row is written, deleted, written again and purged; A's copy moves to B and back, "
			"or is cancelled and begun again",
		.txn = {{0}, WRITE(0), DELETE(1), WRITE(2)},
		.place = ONE_VNODE,
		.budget = {.fails = {1, 1, 0}, .moves = 2, .cancels = 1, .purges = 2},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 110,
	},
	{
		.name = "move-restart",
		.about = "A's copy moves to B; A and B restart, perhaps with older disks; C fails",
		.txn = {{0}, WRITE(0), WRITE(1)},
		.place = ONE_VNODE,
		.budget = {.fails = {0, 0, 1}, .restarts = {1, 2, 0}, .moves = 2, .deaths = 1},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 100,
	},
	{
		.name = "move-leader",
		.about =
			"A's copy moves to B; the leader changes, the last topology rolled back; A and C fail",
		.txn = {{0}, WRITE(0), WRITE(1)},
		.place = ONE_VNODE,
		.budget = {.fails = {1, 0, 1}, .moves = 2, .leader_changes = 1, .deaths = 1},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 100,
	},
	{
		.name = "move-read",
		.about = "a chain of two writers and a reader; A's copy moves to B",
		.txn = {{0}, WRITE(0), WRITE(1)},
		.place = ONE_VNODE,
		.budget = {.moves = 1},
		.reader = true,
		.length = 60,
	},
	{
		.name = "move-lost",
		.about =
			"one writer; A's copy moves to B, which restarts, perhaps with an older disk; C fails",
		.txn = {{0}, WRITE(0)},
		.place = ONE_VNODE,
		.budget = {.fails = {0, 0, 1}, .restarts = {0, 1, 0}, .moves = 1},
		.length = 50,
	},
	{
		.name = "move-simply",
		.about = "one writer, A's copy moves to B, then C fails",
		.txn = {{0}, WRITE(0)},
		.place = ONE_VNODE,
		.budget = {.fails = {0, 0, 1}, .moves = 1},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 50,
	},
	{
		.name = "move-abort",
		.about = "the same without a reader and without duplicates",
		.txn = {{0}, WRITE(0)},
		.place = ONE_VNODE,
		.budget = {.fails = {0, 0, 1}, .moves = 1},
		.closer = true,
		.length = 40,
	},
	{
		.name = "carry",
		.about = "a chain of two writers; A fails and recovers, then C fails",
		.txn = {{0}, WRITE(0), WRITE(1)},
		.place = ONE_VNODE,
		.budget = {.fails = {1, 0, 1}},
		.closer = true,
		.length = 60,
	},
	{
		.name = "carry-simply",
		.about = "a chain of two writers; A fails and recovers",
		.txn = {{0}, WRITE(0), WRITE(1)},
		.place = ONE_VNODE,
		.budget = {.fails = {1, 0, 0}},
		.closer = true,
		.length = 70,
	},
	{
		.name = "carry-read",
		.about = "a chain of two writers and a reader; A fails and recovers",
		.txn = {{0}, WRITE(0), WRITE(1)},
		.place = ONE_VNODE,
		.budget = {.fails = {1, 0, 0}},
		.reader = true,
		.length = 60,
	},
	{
		.name = "replace",
		.about = "A fails for good, B takes its place; C fails",
		.txn = {{0}, WRITE(0), WRITE(1)},
		.place = ONE_VNODE,
		.budget = {.fails = {1, 1, 1}, .replaces = 1, .cancels = 1, .deaths = 1, .log_losses = 1},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 90,
	},
	{
		.name = "restart",
		.about = "A restarts with all it had, without its last epoch, or with an older disk",
		.txn = {{0}, WRITE(0), WRITE(1)},
		.place = ONE_VNODE,
		.budget = {.fails = {1, 0, 1}, .restarts = {2, 0, 0}, .deaths = 1},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 80,
	},
	{
		.name = "leader",
		.about = "A fails; the leader changes and its successor's database lacks the last topology",
		.txn = {{0}, WRITE(0), WRITE(1)},
		.place = ONE_VNODE,
		.budget = {.fails = {1, 0, 1}, .leader_changes = 1, .deaths = 1},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 80,
	},
	{
		.name = "plain",
		.about = "a plain write beside two transactions; A and C fail",
		.txn = {{0}, WRITE(0), PLAIN(5), WRITE(0), {0}, AGAIN(2)},
		.place = ONE_VNODE,
		.budget = {.fails = {1, 0, 1}, .deaths = 1},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 80,
	},
	{
		.name = "delete",
		.about =
			"a row is written, deleted, written again; tombstones are purged; A fails, restarts",
		.txn = {{0}, WRITE(0), DELETE(1), WRITE(2)},
		.place = ONE_VNODE,
		.budget = {.fails = {1, 0, 1}, .restarts = {1, 0, 0}, .purges = 2},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 100,
	},
	{
		.name = "older-disk",
		.about = "a row is written, deleted and purged; A comes back with an older disk",
		.txn = {{0}, WRITE(0), DELETE(1)},
		.place = ONE_VNODE,
		.budget = {.restarts = {1, 0, 0}, .purges = 1},
		.length = 45,
	},
	{
		.name = "plain-delete",
		.about = "a plain write is deleted by a transaction and purged",
		.txn = {{0}, PLAIN(4), DELETE(1), {0}, AGAIN(1)},
		.place = ONE_VNODE,
		.budget = {.fails = {1, 0, 0}, .purges = 2},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 80,
	},
	{
		.name = "memory",
		.about = "nodes forget transactions; A fails",
		.txn = {{0}, WRITE(0), WRITE(0), WRITE(1)},
		.place = ONE_VNODE,
		.budget = {.fails = {1, 0, 0}, .expiries = 3, .deaths = 1},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 80,
	},
	{
		.name = "two-vnodes",
		.about = "a transaction over two vnodes, a rival for one of its rows, no faults of nodes",
		.txn = {{0}, BOTH_VNODES, {TXN_WRITE, 2, 0, 0}, CLOSING},
		.place = TWO_VNODES,
		.budget = {.deaths = 1},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 80,
	},
	{
		.name = "two-vnodes-failover",
		.about = "a transaction over two vnodes, a rival; A, B and C fail",
		.txn = {{0}, BOTH_VNODES, {TXN_WRITE, 2, 0, 0}, CLOSING},
		.place = TWO_VNODES,
		.budget = {.fails = {1, 1, 1}, .deaths = 1},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 110,
	},
	{
		.name = "two-vnodes-move",
		.about = "a transaction over two vnodes while vnode 0 moves from A to B",
		.txn = {{0}, BOTH_VNODES, {0}, CLOSING},
		.place = {{OK, NO, OK}, {OK, NO, OK}},
		.budget = {.fails = {0, 0, 1}, .moves = 1, .deaths = 1},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 110,
	},
	{
		.name = "move-decision",
		.about = "the same, simply: nobody gives up, nobody closes",
		.txn = {{0}, {TXN_WRITE, 3, 0, 2}, {TXN_COMMIT_ROW, 4, 0, 1}, {0}, {0}, CLOSING},
		.place = {{OK, NO, OK}, {OK, NO, OK}},
		.budget = {.moves = 1},
		.reader = true,
		.length = 70,
	},
	{
		.name = "named",
		.about =
			"a transaction names its two vnodes, a rival for one of its rows, no faults of nodes",
		.txn = {{0}, NAMING_VNODES, {TXN_WRITE, 2, 0, 0}, HELPING},
		.place = TWO_VNODES,
		.budget = {.deaths = 1},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 80,
	},
	{
		.name = "named-failover",
		.about = "a transaction names its two vnodes, a rival; A, B and C fail",
		.txn = {{0}, NAMING_VNODES, {TXN_WRITE, 2, 0, 0}, HELPING},
		.place = TWO_VNODES,
		.budget = {.fails = {1, 1, 1}, .deaths = 1},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 110,
	},
	{
		.name = "named-chain",
		.about =
			"a transaction names its two vnodes, the next goes on from its version; nodes forget",
		.txn = {{0}, NAMING_VNODES, {TXN_WRITE, 2, 1, 0}, HELPING},
		.place = TWO_VNODES,
		.budget = {.expiries = 3, .deaths = 1},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 90,
	},
	{
		.name = "named-chain-failover",
		.about = "the same while A, B and C fail",
		.txn = {{0}, NAMING_VNODES, {TXN_WRITE, 2, 1, 0}, HELPING},
		.place = TWO_VNODES,
		.budget = {.fails = {1, 1, 1}, .expiries = 2, .deaths = 1},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 110,
	},
	{
		.name = "named-move",
		.about = "a transaction names its two vnodes while vnode 0 moves from A to B",
		.txn = {{0}, NAMING_VNODES, {TXN_WRITE, 2, 1, 0}, HELPING},
		.place = {{OK, NO, OK}, {OK, NO, OK}},
		.budget = {.fails = {0, 0, 1}, .moves = 1, .deaths = 1},
		.reader = true,
		.closer = true,
		.duplicates = true,
		.length = 110,
	},
};

const int nscenarios = sizeof(scenarios) / sizeof(scenarios[0]);

int scenario_find(const char *name)
{
	int i;

	for (i = 0; i < nscenarios; i++)
		if (strcmp(scenarios[i].name, name) == 0)
			return i;
	return -1;
}
