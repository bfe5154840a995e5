-- Transactions: own writes are seen by every kind of scan, savepoints and rollbacks undo them.
SET client_min_messages = warning;
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'txn\_%';
CREATE FOREIGN TABLE txn_t (id int, grp int, v text) SERVER doris OPTIONS (key 'id');
CREATE FOREIGN TABLE txn_u (id int, v text) SERVER doris OPTIONS (key 'id');
INSERT INTO txn_t SELECT g, g % 3, 'v' || g FROM generate_series(1, 10) g;
CREATE TEMP TABLE txn_l (id int PRIMARY KEY);
INSERT INTO txn_l SELECT generate_series(1, 20);

-- own writes, by point get, list, filter, scan, aggregate, order, join, subselect
BEGIN;
INSERT INTO txn_t VALUES (11, 2, 'new');
UPDATE txn_t SET grp = 7, v = 'changed' WHERE id = 1;
DELETE FROM txn_t WHERE id = 2;
SELECT * FROM txn_t WHERE id = 1;
SELECT * FROM txn_t WHERE id = 2;
SELECT * FROM txn_t WHERE id = 11;
SELECT id FROM txn_t WHERE id IN (1, 2, 3, 11, 12) ORDER BY id;
SELECT id FROM txn_t WHERE grp = 7;
SELECT id FROM txn_t WHERE grp = 1 ORDER BY id;
SELECT id FROM txn_t WHERE grp = 2 ORDER BY id;
SELECT id FROM txn_t WHERE id > 8 ORDER BY id;
SELECT count(*), sum(grp) FROM txn_t;
SELECT id, v FROM txn_t ORDER BY id DESC LIMIT 3;
SELECT l.id, t.v FROM txn_l l JOIN txn_t t USING (id) WHERE l.id IN (1, 2, 11) ORDER BY 1;
SELECT count(*) FROM txn_l l WHERE EXISTS (SELECT FROM txn_t t WHERE t.id = l.id);
-- writes over own writes
WITH x AS (UPDATE txn_t SET v = v || '!' WHERE id IN (1, 11) RETURNING id, v) SELECT * FROM x ORDER BY 1;
DELETE FROM txn_t WHERE id = 11;
INSERT INTO txn_t VALUES (11, 2, 'newer'), (2, 2, 'reborn');
UPDATE txn_t SET id = 12 WHERE id = 11;
SELECT * FROM txn_t WHERE id IN (2, 11, 12) ORDER BY id;
COMMIT;
SELECT * FROM txn_t ORDER BY id;

-- rollback
BEGIN;
INSERT INTO txn_t VALUES (20, 0, 'never');
UPDATE txn_t SET v = 'never';
DELETE FROM txn_t WHERE id < 5;
SELECT count(*), count(*) FILTER (WHERE v = 'never') FROM txn_t;
ROLLBACK;
SELECT count(*), count(*) FILTER (WHERE v = 'never') FROM txn_t;
BEGIN;
INSERT INTO txn_t VALUES (20, 0, 'never');
SELECT 1 / 0;
COMMIT;
SELECT * FROM txn_t WHERE id = 20;
-- a statement that fails half way leaves nothing
INSERT INTO txn_t SELECT g, 1 / (25 - g), 'partly' FROM generate_series(21, 30) g;
SELECT count(*) FROM txn_t WHERE id > 20;

-- savepoints
BEGIN;
INSERT INTO txn_t VALUES (30, 0, 'kept');
SAVEPOINT a;
INSERT INTO txn_t VALUES (31, 0, 'undone');
UPDATE txn_t SET v = 'undone' WHERE id IN (30, 3);
DELETE FROM txn_t WHERE id = 4;
SAVEPOINT b;
INSERT INTO txn_t VALUES (4, 4, 'undone');
UPDATE txn_t SET v = v || ' twice' WHERE id = 31;
SELECT id, v FROM txn_t WHERE id IN (3, 4, 30, 31) ORDER BY id;
ROLLBACK TO b;
SELECT id, v FROM txn_t WHERE id IN (3, 4, 30, 31) ORDER BY id;
RELEASE b;
ROLLBACK TO a;
SELECT id, v FROM txn_t WHERE id IN (3, 4, 30, 31) ORDER BY id;
INSERT INTO txn_t VALUES (31, 0, 'second try');
SAVEPOINT c;
UPDATE txn_t SET v = 'released' WHERE id = 31;
RELEASE c;
COMMIT;
SELECT id, v FROM txn_t WHERE id IN (3, 4, 30, 31) ORDER BY id;

-- an error inside a savepoint or a block with an exception handler
BEGIN;
INSERT INTO txn_t VALUES (40, 0, 'kept');
SAVEPOINT a;
INSERT INTO txn_t VALUES (41, 0, 'undone'), (1, 0, 'duplicate');
ROLLBACK TO a;
INSERT INTO txn_t VALUES (40, 0, 'duplicate of an own write');
ROLLBACK TO a;
COMMIT;
DO $$
BEGIN
	INSERT INTO txn_t VALUES (42, 0, 'kept');
	BEGIN
		INSERT INTO txn_t VALUES (43, 0, 'undone');
		INSERT INTO txn_t VALUES (1, 0, 'duplicate');
	EXCEPTION WHEN unique_violation THEN
		INSERT INTO txn_t VALUES (44, 0, 'from the handler');
	END;
END $$;
SELECT id, v FROM txn_t WHERE id BETWEEN 40 AND 49 ORDER BY id;

-- many savepoints
DO $$
BEGIN
	FOR i IN 1 .. 200 LOOP
		BEGIN
			INSERT INTO txn_u VALUES (i, 'row');
			UPDATE txn_u SET v = v || '.' WHERE id = i;
			IF i % 2 = 0 THEN
				RAISE EXCEPTION 'undo';
			END IF;
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
	END LOOP;
END $$;
SELECT count(*), count(*) FILTER (WHERE v = 'row.'), sum(id) FROM txn_u;

-- several tables commit together
BEGIN;
DELETE FROM txn_u WHERE id > 2;
INSERT INTO txn_u VALUES (500, 'with txn_t');
INSERT INTO txn_t VALUES (500, 0, 'with txn_u');
COMMIT;
SELECT t.v, u.v FROM txn_t t JOIN txn_u u USING (id) WHERE id = 500;

-- a transaction that changes nothing in the end
BEGIN;
INSERT INTO txn_t VALUES (600, 0, 'short-lived');
DELETE FROM txn_t WHERE id = 600;
COMMIT;
SELECT count(*) FROM txn_t WHERE id = 600;
BEGIN;
DELETE FROM txn_t WHERE id = 500;
INSERT INTO txn_t VALUES (500, 5, 'replaced');
COMMIT;
SELECT * FROM txn_t WHERE id = 500;

-- cursors; the rows of one statement are not found again by it
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM txn_u ORDER BY id;
FETCH 1 FROM c;
INSERT INTO txn_u VALUES (2, 'behind the cursor');
FETCH 1 FROM c;
CLOSE c;
SELECT count(*) FROM txn_u;
INSERT INTO txn_u SELECT id + 1000, v FROM txn_u;
SELECT count(*) FROM txn_u;
COMMIT;
DECLARE h CURSOR WITH HOLD FOR SELECT id FROM txn_u ORDER BY id;
FETCH ALL FROM h;
CLOSE h;

-- read only
BEGIN READ ONLY;
SELECT count(*) FROM txn_u;
INSERT INTO txn_u VALUES (9, 'no');
ROLLBACK;

-- two phase commit
BEGIN;
INSERT INTO txn_t VALUES (700, 0, 'prepared');
PREPARE TRANSACTION 'txn_prepared';
SELECT count(*) FROM txn_t WHERE id = 700;
SELECT count(*) FROM pg_prepared_xacts WHERE gid = 'txn_prepared';

-- truncate
BEGIN;
TRUNCATE txn_u;
SELECT count(*) FROM txn_u;
INSERT INTO txn_u VALUES (1, 'after');
SELECT * FROM txn_u;
ROLLBACK;
SELECT count(*) FROM txn_u;
BEGIN;
INSERT INTO txn_u VALUES (900, 'before');
SAVEPOINT a;
TRUNCATE txn_u;
ROLLBACK TO a;
SELECT count(*) FROM txn_u;
COMMIT;
TRUNCATE txn_u, txn_t;
SELECT count(*) FROM txn_u;
SELECT count(*) FROM txn_t;

-- a transaction larger than the write buffer
SET doris_fdw.write_buffer = '1MB';
BEGIN;
INSERT INTO txn_t SELECT g, g % 10, repeat('x', 200) FROM generate_series(1, 20000) g;
UPDATE txn_t SET v = 'short' WHERE grp = 3;
SAVEPOINT a;
DELETE FROM txn_t WHERE grp = 4;
SELECT count(*), sum(length(v)) FROM txn_t;
ROLLBACK TO a;
DELETE FROM txn_t WHERE grp = 5;
SELECT v FROM txn_t WHERE id = 13;
COMMIT;
SELECT count(*), sum(length(v)) FROM txn_t;
RESET doris_fdw.write_buffer;

-- write_mode 'direct': at once, not undone
CREATE FOREIGN TABLE txn_direct (id int, v text) SERVER doris OPTIONS (key 'id', namespace 'txn_u', write_mode 'direct');
BEGIN;
INSERT INTO txn_direct VALUES (1, 'stays'), (2, 'stays');
ROLLBACK;
SELECT * FROM txn_direct ORDER BY id;
SELECT * FROM txn_u ORDER BY id;
UPDATE txn_direct SET v = 'direct update' WHERE id = 1;
DELETE FROM txn_direct WHERE id = 2;
SELECT * FROM txn_u ORDER BY id;
ALTER FOREIGN TABLE txn_direct OPTIONS (SET write_mode 'transactional');

DROP FOREIGN TABLE txn_t, txn_u, txn_direct;
SELECT count(doris_drop_namespace(name)) FROM doris_namespaces WHERE name LIKE 'txn\_%';
