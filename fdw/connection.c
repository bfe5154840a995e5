/*
 * connection.c: a backend's libdoris clients, one for each foreign server.
 *
 * Clients are made when first needed (nanomsg starts a thread and does not survive a fork, so never
 * in _PG_init) and closed at the backend's exit. User mappings have no options: they say who may use the server, and are checked
 * on each use; all users of a backend share its client, so that a transaction that changes roles stays one.
 *
 * Every wait of libdoris comes to connection_wait, which waits on the latch too: a cancel, statement_timeout or
 * termination ends it at once. It runs inside libdoris calls, so nothing may be raised from it: it says
 * stop, the call returns DORIS_CANCELLED (or UNKNOWN), and doris_ereport raises.
 */
#include "doris_fdw.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/procsignal.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/wait_event.h"

int doris_read_group = 0;
int doris_statement_deadline = DORIS_DEFAULT_DEADLINE_MS;
bool doris_enable_batched_join;
int doris_write_buffer = 64 * 1024;

typedef struct Connection
{
	Oid serverid;		 /* hash key */
	DorisClient *client; /* NULL: not connected */
	uint32 server_hash;	 /* of the syscache entry that it was made from */
	bool valid;			 /* false: the server's options have changed since */
	bool used;			 /* in this transaction: then it stays, valid or not */
	Oid userid;			 /* who connected */
	TimestampTz since;	 /* when */
	uint64 activity;	 /* for stats_note */
	int deadline;		 /* as last set, so that setting is cheap */
	int read_group;
} Connection;

static HTAB *connections = NULL; /* by server oid; in CacheMemoryContext */
static ErrorData *wait_error = NULL;

/* ---- settings ---- */

void settings_init(void)
{
	DefineCustomIntVariable(
		"doris_fdw.read_group", "Group whose copies are read first; 0 reads each row's lead copy.",
		NULL, &doris_read_group, 0, 0, DORIS_MAX_GROUPS, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"doris_fdw.statement_deadline", "Time after which a request to the cluster is given up.",
		"statement_timeout holds as well.", &doris_statement_deadline, DORIS_DEFAULT_DEADLINE_MS,
		10, 600000, PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("doris_fdw.write_buffer",
							"Memory for a transaction's rows before they go to a temporary file.",
							NULL, &doris_write_buffer, 64 * 1024, 64, MAX_KILOBYTES, PGC_USERSET,
							GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomBoolVariable("doris_fdw.enable_batched_join",
							 "Lets the planner join with a foreign table by gathering keys.", NULL,
							 &doris_enable_batched_join, true, PGC_USERSET, GUC_EXPLAIN, NULL, NULL,
							 NULL);
	MarkGUCPrefixReserved("doris_fdw");
}

/* ---- waiting ---- */

/*
 * One wait event set for the backend holds the latch, the postmaster and an epoll of ours, in which
 * libdoris's fds are armed afresh for each wait. Armed once only, so one that is not asked for now wakes us at
 * most once; and by MOD first, so that a descriptor closed and opened again under its number, which the kernel
 * has dropped from the set, is noticed (ENOENT) and added.
 */
static WaitEventSet *wait_set = NULL;
static int wait_epoll = -1;

static bool wait_arm(int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = fd};

	if (epoll_ctl(wait_epoll, EPOLL_CTL_MOD, fd, &event) == 0)
		return true;
	return errno == ENOENT && epoll_ctl(wait_epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void wait_prepare(void)
{
	if (wait_epoll < 0)
	{
		if (!AcquireExternalFD())
			ereport(ERROR, errcode_for_file_access(),
					errmsg("too many open files to wait on a cluster"));
		wait_epoll = epoll_create1(EPOLL_CLOEXEC);
		if (wait_epoll < 0)
		{
			ReleaseExternalFD();
			ereport(ERROR, errcode_for_file_access(), errmsg("epoll_create1 failed: %m"));
		}
	}
	if (wait_set == NULL)
	{
		WaitEventSet *set = compat_create_wait_event_set(3);

		AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
		AddWaitEventToSet(set, WL_POSTMASTER_DEATH, PGINVALID_SOCKET, NULL, NULL);
		AddWaitEventToSet(set, WL_SOCKET_READABLE, wait_epoll, NULL, NULL);
		wait_set = set;
	}
}

static int wait_once(const int *fds, int nfds, int timeout_ms)
{
	WaitEvent event;
	struct epoll_event ready;

	wait_prepare();
	for (int i = 0; i < nfds; i++)
	{
		if (!wait_arm(fds[i]))
			ereport(ERROR, errcode_for_socket_access(),
					errmsg("could not wait on a connection to the cluster: %m"));
	}
	if (WaitEventSetWait(wait_set, timeout_ms, &event, 1, PG_WAIT_EXTENSION) == 0)
		return 0;
	if (event.events & WL_POSTMASTER_DEATH)
		return -1;
	if (event.events & WL_LATCH_SET)
	{
		ResetLatch(MyLatch);
		/* others must not wait for this backend while it waits for the cluster */
		if (ProcSignalBarrierPending)
			ProcessProcSignalBarrier();
		return 0;
	}
	/* takes the event off; one of an fd that is no longer asked for is an early return, which is allowed */
	(void) epoll_wait(wait_epoll, &ready, 1, 0);
	return 1;
}

/* DorisWaitFn */
static int connection_wait(void *arg, const int *fds, int nfds, int timeout_ms)
{
	MemoryContext context = CurrentMemoryContext;
	volatile int result = -1;

	(void) arg;
	if (QueryCancelPending || ProcDiePending)
		return -1;
	PG_TRY();
	{
		result = wait_once(fds, nfds, timeout_ms);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(TopMemoryContext);
		if (wait_error == NULL)
			wait_error = CopyErrorData();
		FlushErrorState();
		MemoryContextSwitchTo(context);
		result = -1;
	}
	PG_END_TRY();
	if (QueryCancelPending || ProcDiePending)
		return -1;
	return result;
}

void connection_rethrow(void)
{
	ErrorData *error = wait_error;

	wait_error = NULL;
	if (error != NULL)
		ReThrowError(error);
}

/* ---- the clients ---- */

static void connection_close(Connection *conn)
{
	DorisClient *client = conn->client;

	conn->client = NULL;
	conn->used = false;
	if (client == NULL)
		return;
	stats_note(conn->serverid, client, &conn->activity);
	stats_disconnected(conn->serverid);
	doris_disconnect(client);
}

/* Before shared memory goes: the wait callback needs the latch. */
static void connections_at_exit(int code, Datum arg)
{
	HASH_SEQ_STATUS seq;
	Connection *conn;

	(void) code;
	(void) arg;
	/* what a transaction in progress still has open belongs to the clients: it goes before them */
	AbortOutOfAnyTransaction();
	hash_seq_init(&seq, connections);
	while ((conn = hash_seq_search(&seq)) != NULL)
		connection_close(conn);
}

static void server_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	HASH_SEQ_STATUS seq;
	Connection *conn;

	(void) arg;
	(void) cacheid;
	hash_seq_init(&seq, connections);
	while ((conn = hash_seq_search(&seq)) != NULL)
	{
		/* zero: the whole cache was reset */
		if (hashvalue == 0 || conn->server_hash == hashvalue)
			conn->valid = false;
	}
	table_forget();
}

static void connections_init(void)
{
	HASHCTL ctl = {
		.keysize = sizeof(Oid), .entrysize = sizeof(Connection), .hcxt = CacheMemoryContext};

	connections =
		hash_create("doris_fdw connections", 8, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	stats_prepare();
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, server_changed, (Datum) 0);
	before_shmem_exit(connections_at_exit, (Datum) 0);
}

static void check_user_mapping(Oid serverid, Oid userid)
{
	ForeignServer *server;

	if (SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(userid),
							  ObjectIdGetDatum(serverid)) ||
		SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(InvalidOid),
							  ObjectIdGetDatum(serverid)))
		return;
	server = GetForeignServer(serverid);
	ereport(ERROR, errcode(ERRCODE_UNDEFINED_OBJECT),
			errmsg("user mapping not found for user \"%s\", server \"%s\"",
				   GetUserNameFromId(userid, false), server->servername),
			errhint("CREATE USER MAPPING FOR PUBLIC SERVER %s lets everybody use it.",
					quote_identifier(server->servername)));
}

static void connection_open(Connection *conn, Oid userid)
{
	DorisServerOptions *server;
	DorisOptions options = {0};
	DorisError err = {0};

	/* first, so that a change seen while the options are read counts */
	conn->server_hash = GetSysCacheHashValue1(FOREIGNSERVEROID, ObjectIdGetDatum(conn->serverid));
	conn->valid = true;
	server = options_server(conn->serverid);
	options.hosts = server->hosts;
	options.key_file = server->key_file;
	options.deadline_ms = doris_statement_deadline;
	options.read_group = (uint32) doris_read_group;
	options.wait = connection_wait;
	conn->deadline = doris_statement_deadline;
	conn->read_group = doris_read_group;
	if (doris_connect(&options, &conn->client, &err) != DORIS_OK)
	{
		conn->client = NULL;
		doris_ereport(&err, NULL, (DorisBytes){0});
	}
	conn->userid = userid;
	conn->since = GetCurrentTimestamp();
	conn->activity = 0;
}

DorisClient *connection_get(Oid serverid, Oid userid)
{
	Connection *conn;
	bool found;

	if (connections == NULL)
		connections_init();
	check_user_mapping(serverid, userid);
	conn = hash_search(connections, &serverid, HASH_ENTER, &found);
	if (!found)
	{
		conn->client = NULL;
		conn->used = false;
		conn->valid = false;
		conn->server_hash = 0;
	}
	if (conn->client != NULL && !conn->valid && !conn->used)
		connection_close(conn);
	if (conn->client == NULL)
		connection_open(conn, userid);
	if (conn->deadline != doris_statement_deadline)
	{
		doris_set_deadline(conn->client, doris_statement_deadline);
		conn->deadline = doris_statement_deadline;
	}
	if (conn->read_group != doris_read_group)
	{
		doris_set_read_group(conn->client, (uint32) doris_read_group);
		conn->read_group = doris_read_group;
	}
	conn->used = true;
	return conn->client;
}

void connection_end_transaction(void)
{
	HASH_SEQ_STATUS seq;
	Connection *conn;

	if (connections == NULL)
		return;
	hash_seq_init(&seq, connections);
	while ((conn = hash_seq_search(&seq)) != NULL)
	{
		if (conn->client == NULL || !conn->used)
			continue;
		conn->used = false;
		stats_note(conn->serverid, conn->client, &conn->activity);
		if (conn->valid)
			doris_pump(conn->client);
		else
			connection_close(conn);
	}
}

void connection_note_all(void)
{
	HASH_SEQ_STATUS seq;
	Connection *conn;

	if (connections == NULL)
		return;
	hash_seq_init(&seq, connections);
	while ((conn = hash_seq_search(&seq)) != NULL)
		if (conn->client != NULL)
			stats_note(conn->serverid, conn->client, &conn->activity);
}

/* ---- SQL functions ---- */

PG_FUNCTION_INFO_V1(doris_fdw_connections);

/* doris_fdw_connections() */
Datum doris_fdw_connections(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	HASH_SEQ_STATUS seq;
	Connection *conn;
	List *open = NIL;
	ListCell *lc;

	InitMaterializedSRF(fcinfo, 0);
	if (connections == NULL)
		return (Datum) 0;
	/* first, because looking into catalogues may raise an error */
	hash_seq_init(&seq, connections);
	while ((conn = hash_seq_search(&seq)) != NULL)
		if (conn->client != NULL)
			open = lappend(open, conn);
	foreach (lc, open)
	{
		ForeignServer *server;
		Topology *topology;
		char *user;
		NameData name = {0};
		Datum values[6] = {0};
		bool nulls[6] = {0};

		conn = lfirst(lc);
		server = GetForeignServerExtended(conn->serverid, FSV_MISSING_OK);
		user = GetUserNameFromId(conn->userid, true);
		topology = doris_topology(conn->client);
		values[3] = Int64GetDatum((int64) topology->epoch);
		topology_unref(topology);
		nulls[0] = server == NULL;
		if (server != NULL)
			namestrcpy(&name, server->servername);
		values[0] = NameGetDatum(&name);
		nulls[1] = user == NULL;
		if (user != NULL)
			values[1] = DirectFunctionCall1(namein, CStringGetDatum(user));
		values[2] = CStringGetTextDatum(server == NULL ? "dropped"
										: conn->valid  ? "ready"
													   : "changed");
		values[4] = TimestampTzGetDatum(conn->since);
		values[5] = BoolGetDatum(conn->used);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

static void check_unused(const Connection *conn)
{
	ForeignServer *server;

	if (conn->client == NULL || !conn->used)
		return;
	server = GetForeignServerExtended(conn->serverid, FSV_MISSING_OK);
	ereport(ERROR, errcode(ERRCODE_OBJECT_IN_USE),
			errmsg("cannot disconnect from server \"%s\": this transaction has used it",
				   server != NULL ? server->servername : "(dropped)"),
			errhint("Disconnect after COMMIT or ROLLBACK."));
}

PG_FUNCTION_INFO_V1(doris_fdw_disconnect);

/* doris_fdw_disconnect(server name): was there a connection? NULL: all servers. */
Datum doris_fdw_disconnect(PG_FUNCTION_ARGS)
{
	Oid only = PG_ARGISNULL(0) ? InvalidOid : argument_server(fcinfo, 0);
	HASH_SEQ_STATUS seq;
	Connection *conn;
	List *open = NIL;
	ListCell *lc;

	if (connections == NULL)
		PG_RETURN_BOOL(false);
	hash_seq_init(&seq, connections);
	while ((conn = hash_seq_search(&seq)) != NULL)
		if (conn->client != NULL && (!OidIsValid(only) || conn->serverid == only))
			open = lappend(open, conn);
	/* all or none of them */
	foreach (lc, open)
		check_unused(lfirst(lc));
	foreach (lc, open)
		connection_close(lfirst(lc));
	PG_RETURN_BOOL(open != NIL);
}

Oid connection_default_server(void)
{
	Oid wrapper = get_foreign_data_wrapper_oid("doris_fdw", false);
	Relation rel = table_open(ForeignServerRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple tuple;
	Oid result = InvalidOid;
	int n = 0;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_foreign_server server = (Form_pg_foreign_server) GETSTRUCT(tuple);

		if (server->srvfdw != wrapper)
			continue;
		if (n++ == 0 || strcmp(NameStr(server->srvname), "doris") == 0)
			result = server->oid;
		if (strcmp(NameStr(server->srvname), "doris") == 0)
		{
			n = 1;
			break;
		}
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (n == 0)
		ereport(
			ERROR, errcode(ERRCODE_UNDEFINED_OBJECT),
			errmsg("this database has no foreign server of doris_fdw"),
			errhint(
				"CREATE SERVER doris FOREIGN DATA WRAPPER doris_fdw OPTIONS (hosts 'host:port')."));
	if (n > 1)
		ereport(
			ERROR, errcode(ERRCODE_AMBIGUOUS_PARAMETER),
			errmsg(
				"this database has several foreign servers of doris_fdw, none of them named doris"),
			errhint("Say which one is meant."));
	return result;
}
