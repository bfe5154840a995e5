/*
 * say.c: a step in words, as one line of a printed schedule.
 */
#include <stdio.h>

#include "model.h"

const char *txn_name(int t)
{
	static char names[MAX_TXN + 1][40];
	const TxnDef *d = &scene->txn[t];
	char *out = names[t];

	switch (d->kind)
	{
		case TXN_PLAIN:
		case TXN_RESTAMP:
			snprintf(out, sizeof(names[t]), "W%d", t);
			break;
		case TXN_DELETE:
			snprintf(out, sizeof(names[t]), "T%d(delete)", t);
			break;
		case TXN_COMMIT_ROW:
		case TXN_HELP_ROW:
		case TXN_SPARE_HELP:
			snprintf(out, sizeof(names[t]), "row \"commit T%d\"", d->of);
			break;
		case TXN_ABORT_ROW:
		case TXN_SPARE_ABORT:
			snprintf(out, sizeof(names[t]), "row \"abort T%d\"", d->of);
			break;
		default:
			snprintf(out, sizeof(names[t]), t == 0 ? "nothing" : "T%d", t);
			break;
	}
	return out;
}

const char *node_name(int n)
{
	static const char *const name[] = {"A", "B", "C", "L"};

	return name[n];
}

static const char *target_name(int i)
{
	static const char *const name[] = {"A", "B", "C", "L for A", "L for B", "L for C"};

	return name[i];
}

static const char *places_text(const State *s, char *out, size_t size)
{
	static const char *const place[] = {"-",		  "complete", "failed",
										"recovering", "incoming", "retiring"};
	size_t used = 0;
	int v;
	int n;

	out[0] = '\0';
	for (v = 0; v < NVNODES; v++)
		for (n = 0; n < NDATA; n++)
			if (place_now(s, v, n) != PLACE_NONE && (v == 0 || txns_on(1) != 0) && used < size)
				used +=
					(size_t) snprintf(out + used, size - used, "%s%s%s %s", used > 0 ? ", " : "",
									  v == 1 ? "v1 " : "", node_name(n), place[place_now(s, v, n)]);
	return out;
}

static const char *recovery_text(const State *before, int v, int who)
{
	const Recovery *r = &before->recovery[v][who];
	static char out[80];
	const char *from = node_name(r->source);

	switch ((RecoveryStep) r->step)
	{
		case RECOVERY_PASS:
			snprintf(out, sizeof(out), "reads row %d from %s", r->row, from);
			break;
		case RECOVERY_PAGE:
			snprintf(out, sizeof(out), "merges row %d", r->row);
			break;
		case RECOVERY_MEMORY:
			snprintf(out, sizeof(out), "takes what %s remembers as committed", from);
			break;
		case RECOVERY_JUDGE:
			return "judges from here on";
		case RECOVERY_LIST:
			snprintf(out, sizeof(out), "reads the list of staged writes of %s", from);
			break;
		case RECOVERY_LISTED:
			return "takes those of the list that it lacks";
		case RECOVERY_SETTLE:
			return "has settled";
		case RECOVERY_ANSWER:
			snprintf(out, sizeof(out), "settles %s: %s", txn_name(r->txn),
					 reply_text((Reply) r->answer));
			break;
		default:
			return "";
	}
	return out;
}

/* Steps of writers. last_reply is the answer. */
static bool say_client(const State *before, Step x, char *out, size_t k)
{
	const Client *c = &before->client[x.a];
	const char *t = txn_name(x.a);
	const char *re = reply_text(last_reply);

	switch ((StepKind) x.kind)
	{
		case STEP_BEGIN:
			snprintf(out, k, "%s begins in epoch %d", t, x.b);
			break;
		case STEP_NEWER:
			snprintf(out, k, "client of %s learns epoch %d", t, before->newest);
			break;
		case STEP_SEND:
			snprintf(out, k, "%s %s at %s, epoch %d: %s", txn_is_plain(x.a) ? "write" : "STAGE", t,
					 target_name(x.b), c->epoch, re);
			break;
		case STEP_ACK:
			snprintf(out, k,
					 txn_is_multi(x.a) && !txn_is_named(x.a)
						 ? "%s is held by all, epoch %d: its decision row next"
						 : "%s ACKNOWLEDGED, epoch %d",
					 t, c->epoch);
			break;
		case STEP_GIVE_UP:
			snprintf(out, k, "client of %s gives up: closes it", t);
			break;
		case STEP_REFUSE:
			snprintf(out, k, "client of %s: OUTCOME(refuse) at %s, epoch %d: %s", t, node_name(x.b),
					 c->epoch, re);
			break;
		case STEP_DROP:
			snprintf(out, k, "client of %s: FINISH(abort) at %s, epoch %d: %s", t, node_name(x.b),
					 c->epoch, re);
			break;
		case STEP_TELL_NOT_DONE:
			snprintf(out, k, "%s told NOT DONE, epoch %d", t, c->epoch);
			break;
		case STEP_DIE:
			snprintf(out, k, "client of %s dies", t);
			break;
		case STEP_LATE_SEND:
			snprintf(out, k, "late %s %s of epoch %d at %s: %s",
					 txn_is_plain(x.a) ? "write" : "STAGE", t, x.c, target_name(x.b & 15), re);
			break;
		case STEP_LATE_DROP:
			snprintf(out, k, "late FINISH(abort, %s) of epoch %d at %s: %s", t, x.c,
					 node_name(x.b & 15), re);
			break;
		case STEP_FINISH:
			snprintf(out, k, "FINISH(commit, %s) at %s: %s", t, node_name(x.b), re);
			break;
		case STEP_ABORT:
			snprintf(out, k, "FINISH(abort, %s) is sent in epoch %d", t, before->newest);
			break;
		default:
			return false;
	}
	return true;
}

static bool say_reader(const State *before, Step x, char *out, size_t k)
{
	const Reader *r = &before->reader;
	const char *n = node_name(x.a);
	const char *re = reply_text(last_reply);

	switch ((StepKind) x.kind)
	{
		case STEP_READ:
			snprintf(out, k, "a READ of row %d begins in epoch %d", x.a, x.b);
			break;
		case STEP_READ_ASK:
			snprintf(out, k, "the reader asks %s: %s, version %d, staged %s", n, re,
					 before->node[x.a].value[r->row],
					 before->node[x.a].staged[r->row] != 0 ? "yes" : "no");
			break;
		case STEP_READ_CONFIRM:
			snprintf(out, k, "the reader asks %s whether the placement stands: %s", n, re);
			break;
		case STEP_READ_JUDGE:
			snprintf(out, k, "the reader asks %s about %s: %s", n, txn_name(r->met), re);
			break;
		case STEP_READ_OTHER:
			snprintf(out, k, "the reader asks %s, which does not judge, about %s: %s", n,
					 txn_name(r->met), re);
			break;
		case STEP_READ_DECISION:
			snprintf(out, k, "the reader asks %s for the decision row of %s: %s", n,
					 txn_name(r->first), re);
			break;
		case STEP_READ_NAMED:
			snprintf(out, k, "the reader asks %s about %s in v%d: %s", n, txn_name(r->met),
					 r->vnode, re);
			break;
		case STEP_READ_END:
			snprintf(out, k, "the reader gives up");
			break;
		default:
			return false;
	}
	return true;
}

static bool say_closer(const State *before, Step x, char *out, size_t k)
{
	const Closer *z = &before->closer;
	const char *n = node_name(x.a);
	const char *re = reply_text(last_reply);

	switch ((StepKind) x.kind)
	{
		case STEP_CLOSE:
			snprintf(out, k, "a closer takes on %s in v%d, epoch %d", txn_name(x.a), x.b,
					 before->newest);
			break;
		case STEP_CLOSE_REFUSE:
			snprintf(out, k, "the closer: OUTCOME(refuse, %s) at %s, epoch %d: %s",
					 txn_name(z->txn), n, z->epoch, re);
			break;
		case STEP_CLOSE_OTHER:
			snprintf(out, k, "the closer asks %s, which does not judge, about %s: %s", n,
					 txn_name(z->txn), re);
			break;
		case STEP_CLOSE_DROP:
			snprintf(out, k, "the closer: FINISH(abort, %s) at %s, epoch %d: %s", txn_name(z->txn),
					 n, z->epoch, re);
			break;
		case STEP_CLOSE_END:
			snprintf(out, k, "the closer stops");
			break;
		default:
			return false;
	}
	return true;
}

static bool say_recovery(const State *before, Step x, char *out, size_t k)
{
	const char *re = reply_text(last_reply);

	switch ((StepKind) x.kind)
	{
		case STEP_RECOVER:
			snprintf(out, k, "%s begins to make its copy of v%d complete from %s, epoch %d",
					 node_name(x.b), x.a, node_name(x.c), before->changed[before->newest][x.a]);
			break;
		case STEP_RECOVER_NEXT:
			snprintf(out, k, "%s (v%d) %s", node_name(x.b), x.a, recovery_text(before, x.a, x.b));
			break;
		case STEP_RECOVER_ASK:
			snprintf(out, k, "%s asks %s about %s: %s", node_name(x.b),
					 node_name(before->recovery[x.a][x.b].source), txn_name(x.c), re);
			break;
		case STEP_FETCH:
			snprintf(out, k, "%s fetches what %s holds staged: %s", node_name(x.b), node_name(x.c),
					 re);
			break;
		case STEP_FETCHED:
			snprintf(out, k, "%s takes what it has fetched", node_name(x.b));
			break;
		case STEP_REPLAY:
			snprintf(out, k, "L replays %s to %s: %s", txn_name(x.c), node_name(x.b), re);
			break;
		default:
			return false;
	}
	return true;
}

static bool say_admin(const State *before, Step x, char *out, size_t k)
{
	const char *n = node_name(x.a);
	const char *re = reply_text(last_reply);

	switch ((StepKind) x.kind)
	{
		case STEP_DROP_DECISION:
			snprintf(out, k, "%s forgets the %s", n, txn_name(x.b));
			break;
		case STEP_LEARN:
			snprintf(out, k, "%s takes epoch %d", n, before->newest);
			break;
		case STEP_BACKUP:
			snprintf(out, k, "a backup of %s's disk is taken", n);
			break;
		case STEP_RESTART:
			snprintf(out, k, "%s restarts %s", n,
					 x.b == 0	? "with all it had"
					 : x.b == 1 ? "without its last epoch"
					 : x.b == 2 ? "with an empty disk"
								: "with the disk from the backup");
			break;
		case STEP_LEADER_DIES:
			snprintf(out, k, "the leader dies; its successor's database lacks epoch %d",
					 before->newest);
			break;
		case STEP_LEADER_ASKS:
			snprintf(out, k, "the new leader asks %s: epoch %d", n, node_epoch(before, x.a));
			break;
		case STEP_PURGE_APPROVE:
			snprintf(out, k, "v%d may be purged up to version %d", x.a, x.b);
			break;
		case STEP_PURGE:
			snprintf(out, k, "%s purges v%d", n, x.b);
			break;
		case STEP_EXPIRE:
			snprintf(out, k, "the memory of %s of %s expires", n, txn_name(x.b));
			break;
		case STEP_LOG_LOST:
			snprintf(out, k, "L loses its hints");
			break;
		case STEP_LOG_FULL:
			snprintf(out, k, "L's hint budget is used up");
			break;
		case STEP_APPLY_ADMITTED:
			snprintf(out, k, "%s carries out STAGE %s that it admitted before: %s", n,
					 txn_name(x.b), re);
			break;
		default:
			return false;
	}
	return true;
}

void step_say(const State *before, const State *after, Step x, char *out, int size)
{
	size_t k = (size_t) size;
	char places[200];

	if (say_client(before, x, out, k) || say_reader(before, x, out, k) ||
		say_closer(before, x, out, k) || say_recovery(before, x, out, k) ||
		say_admin(before, x, out, k))
		return;
	if (after->newest == before->newest)
		snprintf(out, k, "the new leader goes on from epoch %d", after->newest);
	else
		snprintf(out, k, "EPOCH %d: %s", after->newest, places_text(after, places, sizeof(places)));
}
