-- Definitions: what is wrong is said at once, by name; what fits is attached; columns come and go.
SET client_min_messages = warning;
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'ddl\_%';
DROP SCHEMA IF EXISTS ddl_import CASCADE;
DROP SERVER IF EXISTS ddl_server CASCADE;

-- options
CREATE SERVER ddl_server FOREIGN DATA WRAPPER doris_fdw OPTIONS (host 'localhost:1');
CREATE SERVER ddl_server FOREIGN DATA WRAPPER doris_fdw;
CREATE SERVER ddl_server FOREIGN DATA WRAPPER doris_fdw OPTIONS (hosts 'nonsense');
CREATE SERVER ddl_server FOREIGN DATA WRAPPER doris_fdw OPTIONS (hosts 'localhost:0');
CREATE SERVER ddl_server FOREIGN DATA WRAPPER doris_fdw OPTIONS (hosts '127.0.0.1:1', fetch_size 'many');
CREATE SERVER ddl_server FOREIGN DATA WRAPPER doris_fdw OPTIONS (hosts '127.0.0.1:1', fetch_size '-1');
CREATE FOREIGN TABLE ddl_bad (id int) SERVER doris OPTIONS (keys 'id');
CREATE FOREIGN TABLE ddl_bad (id int) SERVER doris OPTIONS (key 'id', distributed_by 'id');
CREATE FOREIGN TABLE ddl_bad (id int) SERVER doris OPTIONS (key 'id', nonsense_without_likeness 'id');
CREATE FOREIGN TABLE ddl_bad (id int) SERVER doris OPTIONS (key 'id', write_mode 'fast');
CREATE FOREIGN TABLE ddl_bad (id int) SERVER doris OPTIONS (key 'id', batch_size '0');
CREATE FOREIGN TABLE ddl_bad (id int) SERVER doris OPTIONS (key 'id', namespace '');
CREATE FOREIGN TABLE ddl_bad (id int OPTIONS (colum_name 'x')) SERVER doris OPTIONS (key 'id');
CREATE USER MAPPING FOR CURRENT_USER SERVER doris OPTIONS (password 'x');

-- keys
CREATE FOREIGN TABLE ddl_bad (id int, v text) SERVER doris;
CREATE FOREIGN TABLE ddl_bad (id int, v text) SERVER doris OPTIONS (key '');
CREATE FOREIGN TABLE ddl_bad (id int, v text) SERVER doris OPTIONS (key 'idd');
CREATE FOREIGN TABLE ddl_bad (id int, v text) SERVER doris OPTIONS (key 'id,v,id');
CREATE FOREIGN TABLE ddl_bad (id int, v text) SERVER doris OPTIONS (key 'id,v', distribute_by 'v');
CREATE FOREIGN TABLE ddl_bad (id int, v text) SERVER doris OPTIONS (key 'id', distribute_by 'id,v');
CREATE FOREIGN TABLE ddl_bad (id point, v text) SERVER doris OPTIONS (key 'id');
CREATE FOREIGN TABLE ddl_bad (id jsonb, v text) SERVER doris OPTIONS (key 'id');
CREATE COLLATION ddl_nondeterministic (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE FOREIGN TABLE ddl_bad (id text COLLATE ddl_nondeterministic, v text) SERVER doris OPTIONS (key 'id');
DROP COLLATION ddl_nondeterministic;
SELECT count(*) FROM doris_namespaces WHERE name LIKE 'ddl\_%';
SELECT count(*) FROM pg_class WHERE relname = 'ddl_bad';

-- what is rolled back leaves a namespace that may be attached again, or none
BEGIN;
CREATE FOREIGN TABLE ddl_rolled (id int, v text) SERVER doris OPTIONS (key 'id');
ROLLBACK;
CREATE FOREIGN TABLE ddl_rolled (id int, v text) SERVER doris OPTIONS (key 'id');
DROP FOREIGN TABLE ddl_rolled;

-- a second table on the same namespace
CREATE FOREIGN TABLE ddl_first (id int, v text, n numeric(8,2)) SERVER doris OPTIONS (key 'id', namespace 'ddl_shared');
CREATE FOREIGN TABLE ddl_second (id int, v text, n numeric(8,2)) SERVER doris OPTIONS (key 'id', namespace 'ddl_shared');
INSERT INTO ddl_first VALUES (1, 'shared', 1.5);
SELECT * FROM ddl_second;
-- one that renames and reorders
CREATE FOREIGN TABLE ddl_third (amount numeric(8,2) OPTIONS (column_name 'n'), ident int OPTIONS (column_name 'id'))
	SERVER doris OPTIONS (key 'ident', namespace 'ddl_shared');
SELECT * FROM ddl_third;
SELECT name, key FROM doris_namespaces WHERE name LIKE 'ddl\_s%';
-- ones that do not fit
CREATE FOREIGN TABLE ddl_bad (id bigint, v text) SERVER doris OPTIONS (key 'id', namespace 'ddl_shared');
CREATE FOREIGN TABLE ddl_bad (id int, v int) SERVER doris OPTIONS (key 'id', namespace 'ddl_shared');
CREATE FOREIGN TABLE ddl_bad (id int, v text) SERVER doris OPTIONS (key 'id,v', namespace 'ddl_shared');
CREATE FOREIGN TABLE ddl_bad (id int, v text) SERVER doris OPTIONS (key 'v', namespace 'ddl_shared');

-- columns come and go
ALTER FOREIGN TABLE ddl_first ADD COLUMN added text;
SELECT * FROM ddl_first;
UPDATE ddl_first SET added = 'now there' WHERE id = 1;
INSERT INTO ddl_first VALUES (2, 'two', 2, 'added');
SELECT * FROM ddl_first ORDER BY id;
SELECT id FROM ddl_first WHERE added IS NULL;
SELECT * FROM ddl_second ORDER BY id;
UPDATE ddl_second SET v = 'by the other table' WHERE id = 2;
SELECT * FROM ddl_first WHERE id = 2;
ALTER FOREIGN TABLE ddl_first DROP COLUMN v;
SELECT * FROM ddl_first ORDER BY id;
UPDATE ddl_first SET n = 9 WHERE id = 1 RETURNING *;
INSERT INTO ddl_first VALUES (3, 3, 'three');
SELECT * FROM ddl_first ORDER BY id;
ALTER FOREIGN TABLE ddl_first RENAME TO ddl_renamed;
SELECT count(*) FROM ddl_renamed;

-- import
CREATE SCHEMA ddl_import;
IMPORT FOREIGN SCHEMA public LIMIT TO (ddl_shared) FROM SERVER doris INTO ddl_import;
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'ddl_import.ddl_shared'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum;
SELECT id, n FROM ddl_import.ddl_shared ORDER BY id;
INSERT INTO ddl_import.ddl_shared (id, n) VALUES (4, 4);
SELECT id, n FROM ddl_renamed WHERE id = 4;

-- the namespace ends: its tables say so; dropping a table alone keeps the rows
DROP FOREIGN TABLE ddl_second;
CREATE FOREIGN TABLE ddl_second (id int, v text, n numeric(8,2)) SERVER doris OPTIONS (key 'id', namespace 'ddl_shared');
SELECT count(*) FROM ddl_second;
SELECT doris_drop_namespace('ddl_shared') IS NOT NULL AS dropped;
SELECT count(*) FROM ddl_second;
INSERT INTO ddl_second VALUES (1);
SELECT doris_drop_namespace('ddl_shared');
-- the same name again is a new, empty namespace
CREATE FOREIGN TABLE ddl_again (id int, v text, n numeric(8,2)) SERVER doris OPTIONS (key 'id', namespace 'ddl_shared');
SELECT count(*) FROM ddl_again;

-- a server that is not there
CREATE SERVER ddl_server FOREIGN DATA WRAPPER doris_fdw OPTIONS (hosts '127.0.0.1:1');
CREATE USER MAPPING FOR PUBLIC SERVER ddl_server;
SET doris_fdw.statement_deadline = '500ms';
\set VERBOSITY sqlstate
CREATE FOREIGN TABLE ddl_bad (id int) SERVER ddl_server OPTIONS (key 'id');
\set VERBOSITY default
RESET doris_fdw.statement_deadline;
DROP SERVER ddl_server CASCADE;

DROP FOREIGN TABLE ddl_renamed, ddl_second, ddl_third, ddl_again;
DROP SCHEMA ddl_import CASCADE;
SELECT count(doris_drop_namespace(name)) FROM doris_namespaces WHERE name LIKE 'ddl\_%';
