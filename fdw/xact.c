/*
 * xact.c: what happens to a transaction's writes when it ends.
 *
 * The writes are committed in the cluster before PostgreSQL's own commit: an error there aborts the local
 * transaction too. In between a crash can part the two when local tables were written as well.
 */
#include "executor.h"

static void xact_end(void)
{
	handle_free_since(InvalidSubTransactionId);
	buffer_discard();
	connection_end_transaction();
}

static void xact_event(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
			modify_flush_all();
			buffer_commit();
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
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PREPARE:
			xact_end();
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
