-- Scans that several processes share: what they give is what one process gives, whatever only the leader knows.
SET client_min_messages = warning;
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'parallel\_%';
CREATE FOREIGN TABLE parallel_t (k int, a int, n numeric, s text) SERVER doris OPTIONS (key 'k');
CREATE FOREIGN TABLE parallel_c (tenant int, id int, n numeric) SERVER doris OPTIONS (key 'tenant,id', distribute_by 'tenant');
CREATE TABLE parallel_l (k int, a int, n numeric, s text);
INSERT INTO parallel_t SELECT g, g % 10, g * 1.5, repeat('x', g % 50) FROM generate_series(1, 5000) g;
INSERT INTO parallel_c SELECT g % 7, g, g FROM generate_series(1, 2000) g;
INSERT INTO parallel_l SELECT * FROM parallel_t;
ANALYZE parallel_t, parallel_c, parallel_l;
CREATE FUNCTION parallel_here(numeric) RETURNS boolean LANGUAGE plpgsql PARALLEL SAFE COST 1000 AS 'BEGIN RETURN $1::int % 3 = 0; END';
CREATE FUNCTION parallel_bad(int) RETURNS int LANGUAGE plpgsql PARALLEL SAFE COST 1000 AS $$
BEGIN
	IF $1 = 4321 THEN
		RAISE EXCEPTION 'a row of the last thousand';
	END IF;
	RETURN $1;
END $$;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;

-- plans
EXPLAIN (COSTS OFF) SELECT sum(n) FROM parallel_t;
EXPLAIN (COSTS OFF) SELECT count(*) FROM parallel_t WHERE a > 3 AND parallel_here(n);
EXPLAIN (COSTS OFF) SELECT sum(n) FROM parallel_t WHERE k BETWEEN 100 AND 4000;
EXPLAIN (COSTS OFF) SELECT count(*) FROM parallel_t;
-- one vnode, one key: nothing to share
EXPLAIN (COSTS OFF) SELECT sum(n) FROM parallel_c WHERE tenant = 3;
EXPLAIN (COSTS OFF) SELECT n FROM parallel_t WHERE k = 3;
-- a scan that is not shared must not run in a worker
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET doris_fdw.enable_batched_join = off;
EXPLAIN (COSTS OFF) SELECT sum(t.n) FROM parallel_l l JOIN parallel_t t USING (k) WHERE parallel_here(l.n);
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET doris_fdw.enable_batched_join;

-- the same rows
SELECT sum(n), count(s), min(s), max(length(s)) FROM parallel_t;
SELECT count(*), sum(k) FROM parallel_t WHERE a > 3 AND parallel_here(n);
SELECT count(*), sum(k) FROM parallel_l WHERE a > 3 AND parallel_here(n);
SELECT sum(n), count(DISTINCT k) FROM parallel_t WHERE k BETWEEN 100 AND 4000;
SELECT count(*) FROM (SELECT * FROM parallel_t WHERE parallel_here(n) EXCEPT SELECT * FROM parallel_l) d;
SELECT count(*) FROM (SELECT * FROM parallel_l WHERE parallel_here(n) EXCEPT SELECT * FROM parallel_t) d;
SELECT t.a, count(*), sum(l.n) FROM parallel_t t JOIN parallel_l l USING (k) WHERE parallel_here(t.n) GROUP BY t.a ORDER BY t.a;
SELECT k FROM parallel_t WHERE parallel_here(n) ORDER BY n DESC LIMIT 3;
SELECT EXISTS (SELECT FROM parallel_t WHERE parallel_here(n));
SET parallel_leader_participation = off;
SELECT sum(n), count(s) FROM parallel_t;
RESET parallel_leader_participation;
-- again and again
SELECT g, (SELECT sum(n) FROM parallel_t WHERE a = g AND parallel_here(n)) FROM generate_series(0, 2) g;
PREPARE again(int) AS SELECT count(*), sum(n) FROM parallel_t WHERE a < $1 AND parallel_here(n);
SET plan_cache_mode = force_generic_plan;
EXECUTE again(5);
EXECUTE again(2);
EXPLAIN (COSTS OFF) EXECUTE again(5);
RESET plan_cache_mode;

-- by whom ever it was read, it is told
CREATE FUNCTION pg_temp.work(q text, OUT rows_read bigint, OUT launched bigint) LANGUAGE plpgsql AS $$
DECLARE
	plan text;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON) ' || q INTO plan;
	SELECT sum(m[1]::bigint) INTO rows_read FROM regexp_matches(plan, '"Rows": (\d+)', 'g') m;
	SELECT sum(m[1]::bigint) INTO launched FROM regexp_matches(plan, '"Workers Launched": (\d+)', 'g') m;
END $$;
SELECT rows_read >= 5000 AS read, launched > 0 AS launched FROM pg_temp.work('SELECT sum(n) FROM parallel_t');

-- the transaction's own writes: only the leader has them, and no worker is started
BEGIN;
UPDATE parallel_t SET n = 0 WHERE k <= 100;
DELETE FROM parallel_t WHERE k > 4990;
SAVEPOINT one;
INSERT INTO parallel_t VALUES (-1, 0, 1000000, 'new');
SELECT sum(n), count(s), min(k) FROM parallel_t;
SELECT launched FROM pg_temp.work('SELECT sum(n) FROM parallel_t');
SET parallel_leader_participation = off;
SELECT sum(n), count(s), min(k) FROM parallel_t;
RESET parallel_leader_participation;
-- the nodes' groups do not count: the rows are read, and not by workers
SELECT count(*), sum(k) FROM parallel_t;
ROLLBACK TO one;
SELECT sum(n), count(s), min(k) FROM parallel_t;
-- another table is not concerned
SELECT launched > 0 AS launched FROM pg_temp.work('SELECT sum(n) FROM parallel_c WHERE parallel_here(n)');
ROLLBACK;
SELECT sum(n), count(s), min(k) FROM parallel_t;
BEGIN;
TRUNCATE parallel_c;
SELECT sum(n), count(n) FROM parallel_c;
ROLLBACK;
SELECT sum(n), count(n) FROM parallel_c;

-- rows that a direct table holds back are sent before workers read
ALTER FOREIGN TABLE parallel_c OPTIONS (ADD write_mode 'direct');
BEGIN;
INSERT INTO parallel_c SELECT 8, g, 1 FROM generate_series(1, 50) g;
SELECT sum(n), count(n) FROM parallel_c;
COMMIT;

-- errors come from workers as they are
SELECT sum(parallel_bad(k)) FROM parallel_t;
SELECT sum(n) FROM parallel_t;
-- whoever may not read, may not by workers
CREATE ROLE parallel_nobody;
GRANT SELECT ON parallel_t TO parallel_nobody;
SET ROLE parallel_nobody;
SELECT sum(n) FROM parallel_t;
RESET ROLE;
DROP OWNED BY parallel_nobody;
DROP ROLE parallel_nobody;

DROP FOREIGN TABLE parallel_t, parallel_c;
DROP TABLE parallel_l;
DROP FUNCTION parallel_here, parallel_bad;
SELECT count(doris_drop_namespace(name)) FROM doris_namespaces WHERE name LIKE 'parallel\_%';
