/*
 * rules.c: the rules of the protocol, each of which can be switched off.
 */
#include <string.h>

#include "model.h"

uint64_t rules_off;

const RuleText rule_texts[NRULES] = {
	[RULE_JUDGE] = {"judge", "stage: a judge checks the base, and that no other write is staged"},
	[RULE_EPOCH_FENCE] = {"epoch-fence", "I3: a STAGE older than changed(v) is refused"},
	[RULE_ONE_SECTION] =
		{"one-section",
		 "I3: epoch check and apply are one critical section; an epoch is acknowledged "
		 "when requests admitted before are finished"},
	[RULE_VOID_COLLECTED] = {"void-collected",
							 "I1: STALE_EPOCH voids what the client has collected"},
	[RULE_ACK_ALL] = {"ack-all", "I1: acknowledged when judges, other up copies and hints have it"},
	[RULE_HINT_FIRST] = {"hint-first", "stage: the hint is stored before the judges are asked"},
	[RULE_HINT_FAILED_ONLY] =
		{"hint-failed-only",
		 "hints: kept only for a copy that the log node's topology calls failed"},
	[RULE_HINT_DISCARD] = {"hint-discard",
						   "hints: staged ones are taken only by a copy that does not judge yet"},
	[RULE_REFUSE_FIRST] = {"refuse-first",
						   "close: judges are asked to refuse first; dropped only after a refusal"},
	[RULE_DROP_FENCE] = {"drop-fence", "close: drops and FINISH(abort) are epoch-fenced"},
	[RULE_NOT_DONE] = {"not-done", "not done: told when all judges and other up copies dropped it"},
	[RULE_NEVER_SENT] =
		{"never-sent",
		 "close: \"never sent there\" counts as refused under the first placement only"},
	[RULE_TELL_ALL] =
		{"tell-all",
		 "not done: up copies that do not judge drop it though it was never sent to them"},
	[RULE_REFUSALS_LAPSE] = {"refusals-lapse", "refusals end when the copy becomes incomplete"},
	[RULE_ACT_ALL] = {"act-all",
					  "outcome: acted on as committed when the other up copies hold it as well"},
	[RULE_KNOWN_APPLIES] = {"known-applies",
							"finish: what is known as committed is applied when it comes"},
	[RULE_VALUE_PROVES] =
		{"value-proves",
		 "finish: a row with its version proves a transaction committed: remembered"},
	[RULE_BASE_PROVES] =
		{"base-proves", "meet: a base proves a staged write committed where nobody judges as well"},
	[RULE_MEMORY_HORIZON] = {"memory-horizon",
							 "finish: a STAGE from before the memory's horizon is not taken"},
	[RULE_ABORT_ROW] = {"abort-row",
						"decision row: rows are dropped only once \"abort\" is committed"},
	[RULE_DECISION_KEPT] = {"decision-kept",
							"decision row: kept until every target acknowledged finishing"},
	[RULE_DECISION_HORIZON] =
		{"decision-horizon", "decision row: kept until the memory's horizon, beyond any deadline"},
	[RULE_FINISH_ANY] = {"finish-any", "finish: FINISH(commit) is good in any epoch"},
	[RULE_FINISH_NEWEST] = {"finish-newest",
							"decision row: every target of the newest placement acknowledged"},
	[RULE_WAIT_ACKS] = {"wait-acks", "I2: the pass begins when both have acknowledged its epoch"},
	[RULE_VOID_PASS] = {"void-pass", "I2: a change of v voids the pass"},
	[RULE_PASS_STAGED] = {"pass-staged", "complete: a pass carries staged writes"},
	[RULE_PASS_MEMORY] = {"pass-memory", "complete: a pass carries the memory of commits"},
	[RULE_MEMORY_LAST] = {"memory-last", "complete: the memory is read after the last row"},
	[RULE_PASS_REFUSED] = {"pass-refused",
						   "refusals end: a pass does not bring back what was refused here"},
	[RULE_JUDGE_SETTLE] = {"judge-settle", "complete: the copy judges before it settles"},
	[RULE_SETTLE_PUBLISH] = {"settle-publish", "complete: it settles before it is published"},
	[RULE_SETTLE_REFUSES] = {"settle-refuses",
							 "complete: the source refuses what it does not hold"},
	[RULE_FETCH_RIVALS] = {"fetch-rivals",
						   "complete: a rival of what the source holds is refused there first"},
	[RULE_RESTAMP] = {"restamp", "plain: one that meets a higher version is stamped anew"},
	[RULE_TOMBSTONES] = {"tombstones", "a delete leaves a tombstone"},
	[RULE_PURGE_COMPLETE] = {"purge-complete",
							 "purge: only when all copies are complete and were found equal"},
	[RULE_PURGE_HORIZON] = {"purge-horizon", "purge: only what is older than any reader at work"},
	[RULE_PURGE_FLOOR] = {"purge-floor", "purge: writes up to h(v) are refused and ignored"},
	[RULE_PASS_FLOOR] = {"pass-floor", "purge: a pass drops what the source has purged"},
	[RULE_LAST_COPY] = {"last-copy", "the last complete copy is never failed"},
	[RULE_INCOMING_WRITES] = {"incoming-writes", "move: the node it goes to is a write target"},
	[RULE_RETIRE] = {"retire", "a move ends in two epochs"},
	[RULE_RETIRE_WRITES] = {"retire-writes", "retire: the old owner stays a write target"},
	[RULE_RETIRE_ACK] = {"retire-ack",
						 "retire: the old owner is removed after it has acknowledged"},
	[RULE_FLIP_CHANGED] = {"flip-changed",
						   "I2: a copy that is ready is published if v has not changed since"},
	[RULE_FLIP_START] = {"flip-start",
						 "I2: a copy that is ready is published if its node has not restarted"},
	[RULE_FRESH_TARGET] = {"fresh-target",
						   "move: to a node that has acknowledged that it is no target of v"},
	[RULE_MOVE_START] = {"move-start",
						 "start: a node's start voids what it did for an incomplete copy"},
	[RULE_START] = {"start", "a started node answers nothing until the leader has matched it"},
	[RULE_LEASE] = {"lease", "an answer without a lease is confirmed at another complete copy"},
	[RULE_LEADER_ASKS] = {"leader-asks",
						  "publish: a new leader goes on from the highest epoch known to a node"},
	[RULE_NAMED_ALL] = {"named-all",
						"named: committed when all judges of every named vnode hold it"},
	[RULE_NAMED_ONCE] = {"named-once",
						 "named: sent under one epoch, unless it is known as committed"},
	[RULE_NAMED_PENDING] =
		{"named-pending", "named: read as not committed when all judges of a vnode have answered"},
	[RULE_NAMED_CLOSE] = {"named-close",
						  "named: \"abort\" only once a named vnode has refused and dropped it"},
	[RULE_DECIDED_FIRST] =
		{"decided-first",
		 "named: nothing is applied and nobody is told before \"commit\" is there"},
	[RULE_TERM] = {"term", "publish: nodes asked by a new leader take no older leader's topology"},
};

int rule_find(const char *name)
{
	int i;

	for (i = 0; i < NRULES; i++)
		if (strcmp(rule_texts[i].name, name) == 0)
			return i;
	return -1;
}
