/*
 * xact.c: what happens to a transaction's writes when it ends.
 *
 * The writes are committed in the cluster before PostgreSQL's own commit: an error there aborts the local
 * transaction too. In between a crash can part the two when local tables were written as well.
 */
#include "executor.h"

#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/timeout.h"

static bool held = false; /* interrupts wait until PostgreSQL has committed, too */

/*
 * PostgreSQL ends statement_timeout before it commits; here a commit waits for nodes, so it goes on meanwhile. A cancel
 * that comes when the cluster has committed is too late to be told as one (I7): it waits for PostgreSQL's own commit.
 */
static void commit_writes(bool blind)
{
	volatile bool done = false;
	bool timed = StatementTimeout > 0 && !get_timeout_active(STATEMENT_TIMEOUT);

	if (!buffer_any())
		return;
	if (timed)
		enable_timeout_after(STATEMENT_TIMEOUT, StatementTimeout);
	buffer_commit(blind);
	HOLD_INTERRUPTS();
	held = true;
	if (timed)
	{
		disable_timeout(STATEMENT_TIMEOUT, !done); /* the error asks whether it fired */
		if (get_timeout_indicator(STATEMENT_TIMEOUT, true))
			QueryCancelPending = false;
	}
}

static void xact_end(bool committed)
{
	/* an error has already let go of them */
	if (held && committed)
		RESUME_INTERRUPTS();
	held = false;
	(void) pending_forget();
	handle_free_since(InvalidSubTransactionId);
	buffer_discard();
	connection_end_transaction();
}

static void xact_event(XactEvent event, void *arg)
{
	bool blind;

	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
			blind = pending_forget();
			modify_flush_all();
			commit_writes(blind);
			/* here, because a commit complains about temporary files that are still open */
			buffer_discard();
			break;
		case XACT_EVENT_PRE_PREPARE:
			modify_flush_all();
			if (buffer_any())
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has written to doris tables")));
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PREPARE:
			xact_end(true);
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
			xact_end(false);
			break;
	}
}

static void xact_subevent(SubXactEvent event, SubTransactionId subid, SubTransactionId parent,
						  void *arg)
{
	switch (event)
	{
		case SUBXACT_EVENT_ABORT_SUB:
			handle_free_since(subid);
			buffer_undo(subid);
			break;
		case SUBXACT_EVENT_START_SUB:
			/* rows held back belong to the parent: the new one must not take them down with it */
			modify_flush_all();
			break;
		case SUBXACT_EVENT_PRE_COMMIT_SUB:
		case SUBXACT_EVENT_COMMIT_SUB:
			break;
	}
}

void xact_init(void)
{
	RegisterXactCallback(xact_event, NULL);
	RegisterSubXactCallback(xact_subevent, NULL);
}
