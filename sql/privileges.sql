-- Who may do what: everybody looks, members of doris_admin change the cluster, nobody else reads secrets.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'privileges\_%';
DROP ROLE IF EXISTS regress_doris_user, regress_doris_operator;
CREATE ROLE regress_doris_user;
CREATE ROLE regress_doris_operator IN ROLE doris_admin;
CREATE FOREIGN TABLE privileges_t (id int, v text) SERVER doris OPTIONS (key 'id');
INSERT INTO privileges_t VALUES (1, 'one');

-- the public
SET ROLE regress_doris_user;
SELECT count(*) > 0 AS nodes FROM doris_nodes;
SELECT count(*) > 0 AS vnodes FROM doris_vnodes;
SELECT count(*) > 0 AS namespaces FROM doris_namespaces;
SELECT count(*) >= 0 AS events FROM doris_events;
SELECT count(*) AS plans FROM doris_plans;
SELECT * FROM privileges_t;
INSERT INTO privileges_t VALUES (2, 'two');
CREATE FOREIGN TABLE privileges_x (id int) SERVER doris OPTIONS (key 'id');
SELECT doris_create_cluster(8, 2);
SELECT doris_add_node('tcp://127.0.0.1:1', 'spare', 'intruder');
SELECT doris_drop_namespace('privileges_t');
RESET ROLE;

-- no table of schema doris can be written or, where there are secrets, read by the public
SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'doris'::regnamespace AND c.relkind IN ('r', 'v', 'p')
	AND (has_table_privilege('regress_doris_user', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
	OR (c.relname IN ('topologies', 'leader') AND has_table_privilege('regress_doris_user', c.oid, 'SELECT')));
-- and no column anywhere shows a key
SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
	WHERE c.relnamespace = 'doris'::regnamespace AND a.attname ~ 'secret|private|sign.*key'
	AND has_column_privilege('regress_doris_user', c.oid, a.attnum, 'SELECT');
-- functions that change the cluster belong to doris_admin
SELECT p.proname FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
	JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'doris_fdw'
	WHERE p.proname ~ '(create|add|drop|expand|shrink|replace|rebalance|pause|resume|cancel|failover|recover|remove)' AND p.proname !~ '_plan_'
	AND has_function_privilege('regress_doris_user', p.oid, 'EXECUTE') ORDER BY 1;

-- an operator
GRANT USAGE ON FOREIGN SERVER doris TO regress_doris_operator;
SET ROLE regress_doris_operator;
SELECT count(*) > 0 AS nodes FROM doris_nodes;
SELECT doris_create_cluster(8, 2);
SELECT doris_drop_namespace('privileges_none');
SELECT doris_drop_namespace('privileges_t') IS NOT NULL AS dropped;
RESET ROLE;
SELECT count(*) FROM privileges_t;

-- a key file is named by superusers only: it would let others read files of the server
GRANT USAGE ON FOREIGN DATA WRAPPER doris_fdw TO regress_doris_user;
SET ROLE regress_doris_user;
CREATE SERVER privileges_s FOREIGN DATA WRAPPER doris_fdw OPTIONS (hosts '127.0.0.1:1', key_file '/etc/passwd');
RESET ROLE;

DROP FOREIGN TABLE privileges_t;
REVOKE ALL ON FOREIGN DATA WRAPPER doris_fdw FROM regress_doris_user;
REVOKE ALL ON FOREIGN SERVER doris FROM regress_doris_operator;
DROP ROLE regress_doris_user, regress_doris_operator;
