/*
 * truncate.c: TRUNCATE of foreign tables.
 *
 * The statement only marks the table's write buffer: from then on the transaction sees no rows but those it writes
 * itself, and ROLLBACK forgets it all. At commit the namespace gets a new id, which is never used again (rule
 * *leftovers*), and then the rows written since. Sequences (RESTART IDENTITY) are PostgreSQL's own.
 */
#include "executor.h"

#include "miscadmin.h"

void truncate_tables(List *rels, DropBehavior behavior, bool restart_seqs)
{
	ListCell *lc;

	/* makes the statement a command of its own, so that the next ones see what it did */
	(void) GetCurrentCommandId(true);
	modify_flush_all();
	foreach (lc, rels)
	{
		Relation rel = lfirst(lc);
		DorisClient *client =
			connection_get(GetForeignTable(RelationGetRelid(rel))->serverid, GetUserId());
		DorisError err = {0};

		/* as it is now: a namespace that another session has truncated has another id */
		if (doris_refresh(client, 0, &err) != DORIS_OK)
			doris_ereport(&err, options_table(RelationGetRelid(rel))->ns, EMPTY_BYTES);
		buffer_truncate(rel, client, doris_table_open(rel, client));
	}
}
