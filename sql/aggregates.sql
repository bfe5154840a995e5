-- Aggregates computed on the nodes: what is sent there, and the same answers as local tables give.
SET client_min_messages = warning;
SET TIME ZONE 'UTC';
SET extra_float_digits = 0;
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'agg\_%';
CREATE DOMAIN agg_positive AS int CHECK (VALUE > 0);
CREATE TYPE agg_mood AS ENUM ('sad', 'ok', 'happy');
CREATE FOREIGN TABLE agg_t (id int, s2 smallint, i int, b bigint, f4 real, f8 float8, n numeric(10,2), nn numeric, t text COLLATE "C",
	v varchar(20) COLLATE "C", d date, flag boolean, dom agg_positive, mood agg_mood, arr int[], u text COLLATE "und-x-icu") SERVER doris OPTIONS (key 'id');
CREATE TABLE agg_l (LIKE agg_t);
INSERT INTO agg_l SELECT g, g % 7, CASE WHEN g % 5 > 0 THEN g * 1000000 END, CASE WHEN g % 3 > 0 THEN 9223372036854775807 - g END,
	CASE WHEN g % 4 > 0 THEN g / 4.0 END, CASE WHEN g % 6 > 0 THEN g * 0.5 - 100 END, g / 7.0, g * 1.5, 't' || g % 11, 'v' || g % 13,
	DATE '2024-01-01' + g % 9, g % 2 = 0, 1 + g % 3, (ARRAY['sad', 'ok', 'happy'])[1 + g % 3]::agg_mood, ARRAY[g % 2, NULL], 'u' || g % 4
FROM generate_series(1, 500) g;
INSERT INTO agg_l (id) VALUES (1001), (1002);
INSERT INTO agg_t SELECT * FROM agg_l;
CREATE FOREIGN TABLE agg_k (tenant int, name text COLLATE "C", at float8, v int) SERVER doris OPTIONS (key 'tenant,name,at', distribute_by 'tenant');
CREATE TABLE agg_kl (LIKE agg_k);
INSERT INTO agg_kl SELECT g % 4, 'n' || g % 5, g / 2.0 - 20, g FROM generate_series(0, 199) g;
INSERT INTO agg_k SELECT * FROM agg_kl;
ANALYZE agg_t, agg_k;

-- Runs a query on the foreign tables and on the local ones; what is aggregated on the nodes, and whether the answers are the same.
CREATE FUNCTION agg_same(q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	nodes boolean := false;
	ours text;
	theirs text;
	other text := regexp_replace(regexp_replace(regexp_replace(q, '\magg_t\M', 'agg_l', 'g'), '\magg_k\M', 'agg_kl', 'g'), '\magg_f\M', 'agg_fl', 'g');
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || q LOOP
		nodes := nodes OR line ~ '^ *Node (Aggregates|Group Key):';
	END LOOP;
	BEGIN
		EXECUTE format('SELECT string_agg(x::text, E''\n'' ORDER BY x::text COLLATE "C") FROM (%s) x', q) INTO ours;
	EXCEPTION WHEN OTHERS THEN
		ours := SQLSTATE || ' ' || SQLERRM;
	END;
	BEGIN
		EXECUTE format('SELECT string_agg(x::text, E''\n'' ORDER BY x::text COLLATE "C") FROM (%s) x', other) INTO theirs;
	EXCEPTION WHEN OTHERS THEN
		theirs := SQLSTATE || ' ' || SQLERRM;
	END;
	RETURN CASE WHEN nodes THEN 'nodes' ELSE 'here' END || CASE WHEN ours IS NOT DISTINCT FROM theirs THEN ', the same'
		ELSE E', DIFFERENT:\n' || coalesce(ours, 'NULL') || E'\nnot\n' || coalesce(theirs, 'NULL') END;
END $$;

-- plans
EXPLAIN (COSTS OFF) SELECT count(*) FROM agg_t;
EXPLAIN (COSTS OFF, VERBOSE) SELECT s2, sum(i), avg(i) + 1 FROM agg_t WHERE f8 > 0 GROUP BY s2 HAVING count(*) > 3 ORDER BY s2 LIMIT 2;
EXPLAIN (COSTS OFF) SELECT min(v) FROM agg_k WHERE tenant = 3;

-- every aggregate, with NULLs
SELECT agg_same('SELECT count(*), count(i), count(1), count(b), count(arr), count(id) FROM agg_t');
SELECT agg_same('SELECT sum(s2), sum(i), sum(b), sum(f4), sum(f8) FROM agg_t');
SELECT agg_same('SELECT avg(s2), avg(i), avg(b), avg(f4), avg(f8), avg(id), sum(id) FROM agg_t');
SELECT agg_same('SELECT min(s2), max(s2), min(i), max(i), min(b), max(b), min(f4), max(f4), min(f8), max(f8), min(id), max(id) FROM agg_t');
SELECT agg_same('SELECT min(n), max(n), min(t), max(t), min(v), max(v), min(d), max(d), bool_and(flag), bool_or(flag), every(flag) FROM agg_t');
SELECT agg_same('SELECT sum(dom), min(dom), max(dom), avg(dom), count(dom) FROM agg_t');
SELECT agg_same('SELECT sum(i) + count(*), -min(id), coalesce(max(t), ''x'') || min(v) FROM agg_t');
-- that nodes cannot
SELECT agg_same('SELECT sum(n) FROM agg_t');
SELECT agg_same('SELECT min(mood), max(mood) FROM agg_t');
SELECT agg_same('SELECT min(u) FROM agg_t');
SELECT agg_same('SELECT min(t COLLATE "und-x-icu") FROM agg_t');
SELECT agg_same('SELECT count(DISTINCT i) FROM agg_t');
SELECT agg_same('SELECT count(*) FILTER (WHERE i > 5) FROM agg_t');
SELECT agg_same('SELECT array_agg(id ORDER BY id) FROM agg_t WHERE id < 10');
SELECT agg_same('SELECT string_agg(t, '','' ORDER BY id) FROM agg_t');
SELECT agg_same('SELECT sum(i + 1) FROM agg_t');
SELECT agg_same('SELECT sum(i::bigint) FROM agg_t');
SELECT agg_same('SELECT stddev(i) FROM agg_t');
SELECT agg_same('SELECT s2, t, count(*) FROM agg_t GROUP BY ROLLUP (s2, t)');
SELECT agg_same('SELECT count(*) FROM agg_t WHERE length(t) = 3');
SELECT agg_same('SELECT count(*) FROM agg_t WHERE random() < 2');
SELECT agg_same('SELECT count(*) FROM agg_t WHERE id = 7');
SELECT agg_same('SELECT count(*) FROM agg_t JOIN agg_k ON agg_k.v = agg_t.id');

-- conditions
SELECT agg_same('SELECT count(*), sum(i) FROM agg_t WHERE i > 100000000');
SELECT agg_same('SELECT count(*), sum(i) FROM agg_t WHERE i IS NULL');
SELECT agg_same('SELECT count(*), sum(i) FROM agg_t WHERE i IS NOT NULL AND NOT flag');
SELECT agg_same('SELECT count(*), sum(i) FROM agg_t WHERE NOT (i > 100000000)');
SELECT agg_same('SELECT count(*), sum(i) FROM agg_t WHERE i <> 5000000');
SELECT agg_same('SELECT count(*), sum(i) FROM agg_t WHERE NOT (i = 1000000 OR s2 IN (1, 2, NULL))');
SELECT agg_same('SELECT count(*), sum(i) FROM agg_t WHERE s2 NOT IN (1, 2)');
SELECT agg_same('SELECT count(*), sum(i) FROM agg_t WHERE s2 NOT IN (1, NULL)');
SELECT agg_same('SELECT count(*), sum(i) FROM agg_t WHERE (s2 = 1 AND flag) OR t IN (''t1'', ''t2'')');
SELECT agg_same('SELECT count(*), max(i) FROM agg_t WHERE id BETWEEN 10 AND 100');
SELECT agg_same('SELECT count(*), max(i) FROM agg_t WHERE id > 100 AND id < 10');
SELECT agg_same('SELECT s2, count(*) FROM agg_t WHERE id > 100 AND id < 10 GROUP BY s2');
SELECT agg_same('SELECT count(*), sum(i) FROM agg_t WHERE id > 9999');
SELECT agg_same('SELECT count(*) FROM agg_t WHERE false');
SELECT agg_same('SELECT count(*), sum(v) FROM agg_k WHERE tenant = 2');
SELECT agg_same('SELECT count(*), sum(v) FROM agg_k WHERE tenant = 2 AND name >= ''n3''');
SELECT agg_same('SELECT count(*), sum(v) FROM agg_k WHERE tenant = 2 AND name = ''n3'' AND at > 0');
SELECT agg_same('SELECT count(*) FROM agg_t WHERE s2 = (SELECT 3)');
SELECT agg_same('SELECT (SELECT count(*) FROM agg_t WHERE s2 = g.g) FROM generate_series(0, 3) g');
SELECT agg_same('SELECT g, c FROM generate_series(0, 3) g, LATERAL (SELECT s2, count(*) + g AS c FROM agg_t WHERE s2 >= g GROUP BY s2) x');
PREPARE agg_p(int, int[]) AS SELECT count(*), sum(id) FROM agg_t WHERE s2 < $1 AND NOT (dom = ANY ($2));
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE agg_p(3, '{1}');
EXECUTE agg_p(3, '{1}');
EXECUTE agg_p(3, '{}');
EXECUTE agg_p(3, NULL);
EXECUTE agg_p(NULL, '{1}');
EXECUTE agg_p(3, '{1,NULL}');
SELECT count(*), sum(id) FROM agg_l WHERE s2 < 3 AND NOT (dom = ANY ('{1}'));
SELECT count(*), sum(id) FROM agg_l WHERE s2 < 3;
RESET plan_cache_mode;

-- groups
SELECT agg_same('SELECT s2, count(*), sum(i), min(t) FROM agg_t GROUP BY s2');
SELECT agg_same('SELECT t, v, flag, count(*) FROM agg_t GROUP BY flag, v, t');
SELECT agg_same('SELECT dom, mood, count(*), avg(f8) FROM agg_t GROUP BY dom, mood');
SELECT agg_same('SELECT d, arr, n, max(id) FROM agg_t WHERE id < 20 GROUP BY d, arr, n');
SELECT agg_same('SELECT u, count(*) FROM agg_t GROUP BY u');
SELECT agg_same('SELECT s2 FROM agg_t GROUP BY s2');
SELECT agg_same('SELECT count(*) FROM agg_t GROUP BY s2');
SELECT agg_same('SELECT s2 + 1, count(*) FROM agg_t GROUP BY s2');
SELECT agg_same('SELECT s2, count(*) FROM agg_t GROUP BY s2 HAVING sum(i) > 30000000000 OR s2 IS NULL');
SELECT agg_same('SELECT s2, s2, count(*) FROM agg_t GROUP BY s2, 2 HAVING max(length(t)) > 1');
SELECT agg_same('SELECT count(*) FROM agg_t HAVING count(*) > 1000');
SELECT agg_same('SELECT s2, rank() OVER (ORDER BY count(*), s2) FROM agg_t GROUP BY s2');
SELECT agg_same('SELECT DISTINCT count(*) FROM agg_t GROUP BY s2');
SELECT agg_same('SELECT tenant, name, count(*), sum(v) FROM agg_k GROUP BY tenant, name');
SELECT agg_same('SELECT name, min(at), max(at), sum(at) FROM agg_k WHERE tenant > 0 GROUP BY name');
-- that nodes cannot: bytes do not tell what is equal
SELECT agg_same('SELECT f8, count(*) FROM agg_t GROUP BY f8');
SELECT agg_same('SELECT nn, count(*) FROM agg_t GROUP BY nn');
SELECT agg_same('SELECT at, count(*) FROM agg_k GROUP BY at');
SELECT agg_same('SELECT id % 3, count(*) FROM agg_t GROUP BY id % 3');
SELECT s2, count(*), sum(i) FROM agg_t GROUP BY s2 ORDER BY s2 NULLS FIRST LIMIT 3;

-- nothing there
CREATE FOREIGN TABLE agg_e (id int, v int) SERVER doris OPTIONS (key 'id');
SELECT count(*), count(v), sum(v), avg(v), min(v), max(v) FROM agg_e;
SELECT v, count(*) FROM agg_e GROUP BY v;
SELECT count(*) FROM agg_e HAVING count(*) > 0;

-- NaN, infinities, -0, overflow
CREATE TABLE agg_fl (id int, g int, f4 real, f8 float8, i int, b bigint);
CREATE FOREIGN TABLE agg_f (id int, g int, f4 real, f8 float8, i int, b bigint) SERVER doris OPTIONS (key 'id');
INSERT INTO agg_f VALUES (1, 1, 'NaN', 'NaN'), (2, 1, 1, 1), (3, 2, 'inf', 'inf'), (4, 2, 1, 1), (5, 3, 'inf', 'inf'), (6, 3, '-inf', '-inf'),
	(7, 4, '-0', '-0'), (8, 4, NULL, NULL), (9, 5, 3e38, 1e308), (10, 5, 3e38, 1e308), (11, 6, -3e38, -1e308), (12, 6, -3e38, -1e308),
	(13, 7, NULL, NULL), (14, 8, 'NaN', 'NaN'), (15, 8, '-inf', '-inf');
INSERT INTO agg_fl SELECT * FROM agg_f;
ANALYZE agg_f;
SELECT g, sum(f4), sum(f8), avg(f4), avg(f8), min(f4), max(f4), min(f8), max(f8), count(f8) FROM agg_f WHERE g NOT IN (5, 6) GROUP BY g ORDER BY g;
SELECT agg_same('SELECT g, sum(f4), sum(f8), avg(f4), avg(f8), min(f4), max(f4), min(f8), max(f8), count(f8) FROM agg_f WHERE g NOT IN (5, 6) GROUP BY g');
SELECT agg_same('SELECT sum(f4), sum(f8), avg(f4), avg(f8), min(f4), max(f4), min(f8), max(f8), count(f8) FROM agg_f WHERE g < 5');
SELECT agg_same('SELECT sum(f4) FROM agg_f WHERE g = 5');
SELECT agg_same('SELECT avg(f4) FROM agg_f WHERE g = 5');
SELECT agg_same('SELECT sum(f8) FROM agg_f WHERE g = 5');
SELECT agg_same('SELECT avg(f8) FROM agg_f WHERE g = 6');
SELECT agg_same('SELECT count(*), count(f8) FROM agg_f WHERE f8 = ''NaN''');
SELECT agg_same('SELECT count(*), count(f8) FROM agg_f WHERE f8 = 0 OR f4 = ''-inf''');
SELECT agg_same('SELECT count(*), count(f8) FROM agg_f WHERE f8 > ''inf'' AND NOT f4 < 0');
UPDATE agg_f SET b = CASE WHEN id < 8 THEN 9223372036854775807 ELSE -9223372036854775808 END, i = CASE WHEN id < 8 THEN 2147483647 ELSE -2147483648 END;
UPDATE agg_fl SET b = CASE WHEN id < 8 THEN 9223372036854775807 ELSE -9223372036854775808 END, i = CASE WHEN id < 8 THEN 2147483647 ELSE -2147483648 END;
SELECT agg_same('SELECT sum(b), avg(b), sum(i), avg(i) FROM agg_f WHERE id < 8');
SELECT agg_same('SELECT sum(b), avg(b), sum(i), avg(i) FROM agg_f WHERE id >= 8');
SELECT agg_same('SELECT sum(b), avg(b), sum(i), avg(i) FROM agg_f');

-- one's own writes: the rows are read
BEGIN;
INSERT INTO agg_t (id, s2, i) VALUES (2000, 100, 7);
UPDATE agg_t SET i = 0 WHERE id = 1;
DELETE FROM agg_t WHERE id = 2;
INSERT INTO agg_l (id, s2, i) VALUES (2000, 100, 7);
UPDATE agg_l SET i = 0 WHERE id = 1;
DELETE FROM agg_l WHERE id = 2;
SELECT agg_same('SELECT count(*), sum(i), max(id) FROM agg_t');
SELECT agg_same('SELECT s2, count(*), sum(i) FROM agg_t WHERE id < 100 OR s2 = 100 GROUP BY s2');
SAVEPOINT one;
DELETE FROM agg_t WHERE s2 = 3;
DELETE FROM agg_l WHERE s2 = 3;
SELECT agg_same('SELECT s2, count(*), sum(i) FROM agg_t GROUP BY s2');
ROLLBACK TO one;
TRUNCATE agg_l;
TRUNCATE agg_t;
INSERT INTO agg_t (id, s2) VALUES (1, 2), (2, 2);
INSERT INTO agg_l (id, s2) VALUES (1, 2), (2, 2);
SELECT agg_same('SELECT s2, count(*), sum(i) FROM agg_t GROUP BY s2');
ROLLBACK;
SELECT agg_same('SELECT s2, count(*), sum(i) FROM agg_t GROUP BY s2');
-- a statement does not see what it writes itself
INSERT INTO agg_e SELECT count(*), sum(id) FROM agg_e;
INSERT INTO agg_e SELECT count(*), sum(id) FROM agg_e;
SELECT * FROM agg_e ORDER BY id;
-- rows that are held back go first
ALTER FOREIGN TABLE agg_e OPTIONS (ADD write_mode 'direct');
BEGIN;
INSERT INTO agg_e SELECT g, g FROM generate_series(10, 19) g;
SELECT count(*), sum(v) FROM agg_e;
COMMIT;

-- a cursor, a function, a view, a set operation, a partition
BEGIN;
DECLARE agg_c CURSOR FOR SELECT s2, count(*) FROM agg_t GROUP BY s2 ORDER BY s2;
FETCH 2 FROM agg_c;
COMMIT;
CREATE VIEW agg_v AS SELECT s2, sum(i) AS total FROM agg_t GROUP BY s2;
SELECT agg_same('SELECT total FROM agg_v WHERE s2 = 1');
SELECT agg_same('SELECT count(*) FROM agg_t UNION ALL SELECT count(*) FROM agg_k');
CREATE TABLE agg_p (tenant int, v int) PARTITION BY LIST (tenant);
CREATE FOREIGN TABLE agg_p1 PARTITION OF agg_p FOR VALUES IN (1) SERVER doris OPTIONS (key 'tenant,v');
CREATE FOREIGN TABLE agg_p2 PARTITION OF agg_p FOR VALUES IN (2) SERVER doris OPTIONS (key 'tenant,v');
INSERT INTO agg_p SELECT 1 + g % 2, g FROM generate_series(1, 100) g;
ANALYZE agg_p1, agg_p2;
SELECT tenant, count(*), sum(v) FROM agg_p GROUP BY tenant ORDER BY tenant;
SET enable_partitionwise_aggregate = on;
EXPLAIN (COSTS OFF) SELECT tenant, count(*), sum(v) FROM agg_p GROUP BY tenant;
SELECT tenant, count(*), sum(v) FROM agg_p GROUP BY tenant ORDER BY tenant;
SELECT count(*), sum(v), avg(v) FROM agg_p;
RESET enable_partitionwise_aggregate;

-- what was done is told; more groups than are kept are made here
CREATE FUNCTION pg_temp.agg_explain(q text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || q LOOP
		IF line !~ 'Node g\dn\d|Sort Method|Memory|Batches|Buckets' THEN
			RETURN NEXT line;
		END IF;
	END LOOP;
END $$;
SELECT * FROM pg_temp.agg_explain('SELECT count(*) FROM agg_t');
BEGIN;
DELETE FROM agg_t WHERE id = 1;
SELECT * FROM pg_temp.agg_explain('SELECT count(*) FROM agg_t');
ROLLBACK;
CREATE FOREIGN TABLE agg_many (id int, v int) SERVER doris OPTIONS (key 'id', write_mode 'direct');
INSERT INTO agg_many SELECT g, g % 70000 FROM generate_series(1, 140000) g;
-- without statistics they are taken for few
SELECT count(*), sum(c), min(c), max(c) FROM (SELECT v, count(*) AS c FROM agg_many GROUP BY v) x;
SELECT * FROM pg_temp.agg_explain('SELECT v, count(*) FROM agg_many GROUP BY v');
SELECT count(*), sum(v) FROM agg_many;

-- the nodes know how many rows there are, and it is right at any moment
SELECT count(*) FROM agg_many;
DELETE FROM agg_many WHERE id > 130000;
SELECT count(*), count(*) FROM agg_many;
ALTER FOREIGN TABLE agg_many OPTIONS (DROP write_mode);
BEGIN;
DELETE FROM agg_many WHERE id <= 10;
INSERT INTO agg_many VALUES (200001, 1), (200002, 2);
SELECT count(*) FROM agg_many;
ROLLBACK;
SELECT count(*) FROM agg_many;
BEGIN;
DELETE FROM agg_many WHERE id <= 10;
INSERT INTO agg_many VALUES (200001, 1);
COMMIT;
SELECT count(*) FROM agg_many;
UPDATE agg_many SET v = 0 WHERE id <= 100;
SELECT count(*) FROM agg_many;
TRUNCATE agg_many;
SELECT count(*) FROM agg_many;
INSERT INTO agg_many VALUES (1, 1), (2, 2);
SELECT count(*) FROM agg_many;
DROP FOREIGN TABLE agg_many;
SELECT doris_drop_namespace(name) IS NOT NULL AS dropped FROM doris_namespaces WHERE name = 'agg_many';
CREATE FOREIGN TABLE agg_many (id int, v int) SERVER doris OPTIONS (key 'id');
SELECT count(*) FROM agg_many;

DROP VIEW agg_v;
DROP TABLE agg_p, agg_l, agg_kl, agg_fl;
DROP FOREIGN TABLE agg_t, agg_k, agg_e, agg_f, agg_many;
DROP DOMAIN agg_positive;
DROP TYPE agg_mood;
DROP FUNCTION agg_same;
