-- Cursors over foreign tables: forwards, backwards, held, and what a transaction writes and undoes under them. COPY, too.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'curs\_%';
CREATE FOREIGN TABLE curs_t (id int, v text) SERVER doris OPTIONS (key 'id', fetch_size '3');
CREATE FOREIGN TABLE curs_u (tenant int, seq int, v text) SERVER doris OPTIONS (key 'tenant,seq', distribute_by 'tenant');
INSERT INTO curs_t SELECT g, 'v' || g FROM generate_series(1, 10) g;
INSERT INTO curs_u SELECT 1, g, 'v' || g FROM generate_series(1, 10) g;

-- forwards and backwards
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT * FROM curs_t ORDER BY id;
FETCH 3 FROM c;
FETCH BACKWARD 2 FROM c;
FETCH LAST FROM c;
FETCH NEXT FROM c;
FETCH PRIOR FROM c;
FETCH FIRST FROM c;
FETCH ABSOLUTE 4 FROM c;
FETCH RELATIVE -2 FROM c;
MOVE FORWARD ALL FROM c;
FETCH BACKWARD ALL FROM c;
CLOSE c;
-- without a sort in between
DECLARE c SCROLL CURSOR FOR SELECT id FROM curs_t;
MOVE FORWARD ALL FROM c;
MOVE BACKWARD ALL FROM c;
MOVE FORWARD 4 FROM c;
MOVE BACKWARD ALL FROM c;
CLOSE c;
DECLARE c SCROLL CURSOR FOR SELECT seq FROM curs_u WHERE tenant = 1 AND seq > 3 ORDER BY seq DESC LIMIT 4;
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
FETCH ALL FROM c;
FETCH ABSOLUTE 1 FROM c;
CLOSE c;
DECLARE c NO SCROLL CURSOR FOR SELECT id FROM curs_t ORDER BY id;
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
ROLLBACK;

-- held over the commit, with what the transaction has written
BEGIN;
INSERT INTO curs_t VALUES (11, 'new');
DELETE FROM curs_t WHERE id = 1;
DECLARE h SCROLL CURSOR WITH HOLD FOR SELECT * FROM curs_t WHERE id < 3 OR id > 9 ORDER BY id;
FETCH 1 FROM h;
UPDATE curs_t SET v = 'later' WHERE id = 10;
COMMIT;
FETCH ALL FROM h;
FETCH FIRST FROM h;
CLOSE h;
-- one of a transaction that ends badly
BEGIN;
DECLARE h CURSOR WITH HOLD FOR SELECT * FROM curs_t ORDER BY id;
FETCH 1 FROM h;
ROLLBACK;
FETCH 1 FROM h;

-- a cursor sees what was there when it was opened; savepoints that are undone do not move it
BEGIN;
UPDATE curs_t SET v = 'before' WHERE id IN (2, 3);
DECLARE c CURSOR FOR SELECT * FROM curs_t WHERE id < 6 ORDER BY id;
DECLARE s CURSOR FOR SELECT id, v FROM curs_t WHERE id IN (2, 3, 4, 11);
DECLARE u CURSOR FOR SELECT seq, v FROM curs_u WHERE tenant = 1 AND seq BETWEEN 2 AND 5;
FETCH 1 FROM c;
FETCH 1 FROM s;
FETCH 1 FROM u;
UPDATE curs_t SET v = 'after' WHERE id IN (3, 4);
DELETE FROM curs_t WHERE id = 5;
DELETE FROM curs_u WHERE seq = 3;
UPDATE curs_u SET v = 'after' WHERE seq = 4;
FETCH 1 FROM c;
SAVEPOINT p;
INSERT INTO curs_t VALUES (1, 'in the savepoint');
DELETE FROM curs_t WHERE id > 1;
DECLARE gone CURSOR FOR SELECT * FROM curs_t;
FETCH 1 FROM gone;
ROLLBACK TO p;
FETCH ALL FROM c;
FETCH ALL FROM s;
FETCH ALL FROM u;
FETCH ALL FROM gone;
ROLLBACK TO p;
SELECT count(*), count(*) FILTER (WHERE v IN ('before', 'after')) FROM curs_t;
ROLLBACK;
-- many batches, the last of them after a savepoint is undone, under a buffer that has spilled
BEGIN;
SET LOCAL doris_fdw.write_buffer = '64kB';
INSERT INTO curs_t SELECT g, repeat('x', 100) FROM generate_series(1001, 3000) g;
DECLARE c CURSOR FOR SELECT id FROM curs_t WHERE id > 1000;
MOVE 10 FROM c;
SAVEPOINT p;
DELETE FROM curs_t WHERE id > 1000;
INSERT INTO curs_t SELECT g, 'undone' FROM generate_series(3001, 4000) g;
SELECT count(*) FROM curs_t WHERE id > 1000;
ROLLBACK TO p;
MOVE ALL FROM c;
SELECT count(*) FROM curs_t WHERE id > 1000;
ROLLBACK;

-- the current row of a cursor has no address
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM curs_t WHERE id = 2 FOR UPDATE;
FETCH 1 FROM c;
UPDATE curs_t SET v = 'current' WHERE CURRENT OF c;
ROLLBACK;
DO $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT * FROM curs_t WHERE id < 5 ORDER BY id LOOP
		UPDATE curs_t SET v = v || ' looped' WHERE id = r.id;
		DELETE FROM curs_t WHERE id = r.id + 1 AND r.id = 2;
	END LOOP;
END $$;
SELECT * FROM curs_t WHERE id < 6 ORDER BY id;
-- commits within a loop over a foreign table
CREATE PROCEDURE pg_temp.curs_commit() LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT * FROM curs_t ORDER BY id LOOP
		UPDATE curs_u SET v = r.v WHERE tenant = 1 AND seq = r.id;
		IF r.id % 3 = 0 THEN ROLLBACK; ELSE COMMIT; END IF;
	END LOOP;
END $$;
CALL pg_temp.curs_commit();
SELECT seq, v FROM curs_u ORDER BY seq;

-- COPY: what PostgreSQL takes
COPY curs_u FROM stdin WHERE seq > 20;
1	20	no
1	21	yes
1	22	yes
\.
COPY curs_u (seq, tenant) FROM stdin WITH (FORMAT csv, HEADER, FREEZE false);
seq,tenant
31,2
32,2
\.
COPY curs_u FROM stdin WITH (FREEZE);
3	1	x
\.
COPY curs_u TO stdout;
COPY (SELECT * FROM curs_u WHERE tenant = 2 ORDER BY seq) TO stdout WITH (FORMAT csv, HEADER);
BEGIN;
COPY curs_u FROM stdin;
4	1	copied
4	2	copied
\.
SELECT * FROM curs_u WHERE tenant = 4 ORDER BY seq;
SAVEPOINT p;
COPY curs_u FROM stdin;
4	3	copied
4	1	duplicate
\.
ROLLBACK TO p;
COPY curs_u FROM stdin;
4	3	copied
4	x	no number
\.
ROLLBACK TO p;
UPDATE curs_u SET v = v || '!' WHERE tenant = 4;
COMMIT;
SELECT * FROM curs_u WHERE tenant = 4 ORDER BY seq;

-- two-phase commit: refused where something was written, harmless where nothing was
BEGIN;
SELECT count(*) FROM curs_u WHERE tenant = 4;
PREPARE TRANSACTION 'curs_read';
COMMIT PREPARED 'curs_read';
BEGIN;
SAVEPOINT p;
DELETE FROM curs_u;
ROLLBACK TO p;
PREPARE TRANSACTION 'curs_undone';
ROLLBACK PREPARED 'curs_undone';
BEGIN;
DELETE FROM curs_u WHERE tenant = 4;
PREPARE TRANSACTION 'curs_written';
SELECT count(*) FROM curs_u WHERE tenant = 4;
BEGIN;
TRUNCATE curs_u;
PREPARE TRANSACTION 'curs_truncated';
SELECT count(*) FROM curs_u WHERE tenant = 4;
SELECT gid FROM pg_prepared_xacts WHERE gid LIKE 'curs%';

DROP FOREIGN TABLE curs_t, curs_u;
SELECT count(doris_drop_namespace(name)) FROM doris_namespaces WHERE name LIKE 'curs\_%';
