-- What was asked of the nodes, by this backend and by all; the connections of a backend.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'stats\_%';
DROP ROLE IF EXISTS regress_doris_reader, regress_doris_watcher;
CREATE ROLE regress_doris_reader;
CREATE ROLE regress_doris_watcher IN ROLE pg_read_all_stats;
CREATE FOREIGN TABLE stats_t (id int, v text) SERVER doris OPTIONS (key 'id');
GRANT SELECT ON stats_t TO regress_doris_reader;
INSERT INTO stats_t SELECT g, repeat('x', 100) FROM generate_series(1, 500) g;

-- each node was sent rows, and counted what it did
\x on
SELECT count(DISTINCT node) > 1 AS nodes, bool_and(server = 'doris') AS server, sum(requests) > 0 AS requests,
	sum(rows) >= 1000 AS rows, sum(bytes) > 100000 AS bytes, sum(time_ms) > 0 AS time,
	bool_and(retries >= 0 AND failovers >= 0) AS troubles FROM doris_fdw_stats;
\x off
-- exactly what a statement does
CREATE TEMP TABLE before AS SELECT * FROM doris_fdw_stats;
SELECT count(*) FROM stats_t WHERE id = 7;
SELECT sum(n.rows - b.rows) >= 1 AS read_one, sum(n.requests - b.requests) BETWEEN 1 AND 20 AS requests,
	sum(n.bytes - b.bytes) BETWEEN 50 AND 3000 AS bytes, sum(n.time_ms - b.time_ms) > 0 AS time
	FROM doris_fdw_stats n JOIN before b USING (node);
DROP TABLE before;
-- a short question tells the way to the node and back
SELECT count(*) FROM stats_t WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8);
SELECT max(round_trip_ms) > 0.01 AS measured, max(round_trip_ms) < 1000 AS sane FROM doris_fdw_stats;
-- and what all backends did: this one's part is in it
SELECT bool_and(total_requests >= requests AND total_bytes >= bytes AND total_time_ms >= time_ms AND since <= now()) AS totals FROM doris_fdw_stats;

-- others' work is for members of pg_read_all_stats
SET ROLE regress_doris_reader;
SELECT count(*) > 0 AS own, count(total_requests) + count(total_rows) + count(total_bytes) + count(total_retries) + count(total_failovers)
	+ count(total_time_ms) + count(since) AS others FROM doris_fdw_stats;
SELECT doris_fdw_stats_reset();
RESET ROLE;
SET ROLE regress_doris_watcher;
SELECT count(*) = count(total_requests) AS others FROM doris_fdw_stats;
RESET ROLE;

-- another backend: has asked nothing, and sees all the same what was asked
\c
SET client_min_messages = warning;
SELECT sum(requests) AS own, sum(total_requests) > 0 AS all FROM doris_fdw_stats;
SET ROLE regress_doris_reader;
SELECT count(*) AS own FROM doris_fdw_stats;
RESET ROLE;
-- it counts from its reset
SELECT count(*) FROM stats_t WHERE id = 1;
SELECT doris_fdw_stats_reset();
SELECT coalesce(sum(requests), 0) AS own, coalesce(sum(total_requests), 0) < 1000 AS all FROM doris_fdw_stats;
SELECT count(*) FROM stats_t WHERE id = 1;
SELECT sum(requests) > 0 AS own, bool_and(since > now() - interval '1 minute') AS since FROM doris_fdw_stats;

-- connections
\c
SET client_min_messages = warning;
SELECT * FROM doris_fdw_connections();
SELECT doris_fdw_disconnect();
SELECT doris_fdw_disconnect('doris');
SELECT count(*) FROM stats_t WHERE id = 1;
SELECT server, user_name = current_user AS mine, state, epoch > 0 AS epoch, since <= clock_timestamp() AS since, in_transaction FROM doris_fdw_connections();
BEGIN;
SELECT in_transaction FROM doris_fdw_connections();
SELECT count(*) FROM stats_t WHERE id = 1;
SELECT in_transaction FROM doris_fdw_connections();
SELECT doris_fdw_disconnect();
ROLLBACK;
BEGIN;
INSERT INTO stats_t VALUES (1000, 'x');
SAVEPOINT s;
SELECT doris_fdw_disconnect('doris');
ROLLBACK TO s;
COMMIT;
SELECT count(*) FROM stats_t WHERE id = 1000;
SELECT doris_fdw_disconnect('doris');
SELECT count(*) FROM doris_fdw_connections();
SELECT doris_fdw_disconnect('nobody');
-- the counts of a connection outlive it
SELECT sum(requests) > 3 AS kept FROM doris_fdw_stats;
SELECT count(*) FROM stats_t WHERE id = 1;
-- who connected: the backend's connection is everybody's
SELECT doris_fdw_disconnect();
SET ROLE regress_doris_reader;
SELECT count(*) FROM stats_t WHERE id = 1;
RESET ROLE;
SELECT user_name FROM doris_fdw_connections();

-- two servers; one that has changed is connected to anew with the next transaction
\set ECHO none
SELECT 'CREATE SERVER stats_s FOREIGN DATA WRAPPER doris_fdw OPTIONS (' ||
	(SELECT string_agg(option_name || ' ' || quote_literal(option_value), ', ') FROM pg_foreign_server, pg_options_to_table(srvoptions) WHERE srvname = 'doris') || ')' \gexec
\set ECHO all
CREATE USER MAPPING FOR PUBLIC SERVER stats_s;
CREATE FOREIGN TABLE stats_other (id int, v text) SERVER stats_s OPTIONS (key 'id', namespace 'stats_t');
SELECT count(*) FROM stats_other WHERE id = 1;
SELECT server, state, in_transaction FROM doris_fdw_connections() ORDER BY 1;
BEGIN;
SELECT count(*) FROM stats_other WHERE id = 1;
-- the other one may go
SELECT doris_fdw_disconnect('doris');
-- not all: none goes then
SELECT doris_fdw_disconnect();
ROLLBACK;
ALTER SERVER stats_s OPTIONS (ADD fetch_size '100');
SELECT server, state FROM doris_fdw_connections() ORDER BY 1;
SELECT count(*) FROM stats_other WHERE id = 1;
SELECT server, state FROM doris_fdw_connections() ORDER BY 1;
SELECT count(DISTINCT server) FROM doris_fdw_stats WHERE requests > 0;
DROP FOREIGN TABLE stats_other;
DROP USER MAPPING FOR PUBLIC SERVER stats_s;
DROP SERVER stats_s;
SELECT server, state FROM doris_fdw_connections() ORDER BY 1;
SELECT count(*) FROM stats_t WHERE id = 1;
SELECT doris_fdw_disconnect();

DROP FOREIGN TABLE stats_t;
SELECT count(doris_drop_namespace(name)) FROM doris_namespaces WHERE name LIKE 'stats\_%';
DROP ROLE regress_doris_reader, regress_doris_watcher;
