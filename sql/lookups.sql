-- Lookups by key with conditions beside it: the nodes judge what they can, of the transaction's own rows PostgreSQL does.
SET client_min_messages = warning;
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'lookups\_%';
CREATE FOREIGN TABLE lookups_t (id int, grp int, v text, n numeric, note text) SERVER doris OPTIONS (key 'id');
CREATE FOREIGN TABLE lookups_c (tenant int, seq int, v text) SERVER doris OPTIONS (key 'tenant,seq', distribute_by 'tenant');
INSERT INTO lookups_t SELECT g, nullif(g % 10, 7), 'v' || g, g * 1.5, repeat('x', g % 50) FROM generate_series(1, 1000) g;
INSERT INTO lookups_c SELECT g / 20, g % 20, nullif('v' || g % 7, 'v3') FROM generate_series(0, 399) g;
CREATE TABLE lookups_t_local AS SELECT * FROM lookups_t;
CREATE TABLE lookups_c_local AS SELECT * FROM lookups_c;
ANALYZE lookups_t, lookups_c, lookups_t_local, lookups_c_local;

-- one row is judged here, many on the nodes, by columns that are not sent
EXPLAIN (COSTS OFF, VERBOSE) SELECT v FROM lookups_t WHERE id = 5 AND grp = 5;
EXPLAIN (COSTS OFF, VERBOSE) SELECT v FROM lookups_t WHERE id IN (5, 6, 7) AND grp = 5;
EXPLAIN (COSTS OFF, VERBOSE) SELECT id FROM lookups_t WHERE id IN (5, 6, 7) AND grp = 5 AND n > 1;
EXPLAIN (COSTS OFF) SELECT v FROM lookups_t WHERE id IN (5, 6, 7) AND (grp = 5 OR v IS NULL) AND length(note) > 3;
EXPLAIN (COSTS OFF) SELECT v FROM lookups_t WHERE (id = 5 AND grp = 5) OR (id = 6 AND grp = 7);
EXPLAIN (COSTS OFF) SELECT v FROM lookups_c WHERE tenant = 3 AND seq IN (1, 2, 3) AND v <> 'v1';
EXPLAIN (COSTS OFF) UPDATE lookups_t SET v = 'w' WHERE id IN (5, 6, 7) AND grp > 5;
EXPLAIN (COSTS OFF) DELETE FROM lookups_t WHERE id IN (5, 6, 7) AND grp > 5 RETURNING id;

-- the same rows as of local tables?
CREATE FUNCTION lookups_same(q text) RETURNS TABLE (n bigint, same boolean) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TEMP TABLE here ON COMMIT DROP AS SELECT x::text AS r FROM (%s) x', regexp_replace(q, 'lookups_([tc])\y', 'lookups_\1_local', 'g'));
	EXECUTE format('CREATE TEMP TABLE there ON COMMIT DROP AS SELECT x::text AS r FROM (%s) x', q);
	SELECT count(*) INTO n FROM here;
	SELECT NOT EXISTS (SELECT r FROM here EXCEPT ALL SELECT r FROM there) AND NOT EXISTS (SELECT r FROM there EXCEPT ALL SELECT r FROM here) INTO same;
	DROP TABLE here, there;
	RETURN NEXT;
END $$;
CREATE TABLE lookups_q (i serial, q text);
INSERT INTO lookups_q (q) VALUES
('SELECT * FROM lookups_t WHERE id IN (5, 6, 7, 17, 27, 5000) AND grp > 5'),
('SELECT id FROM lookups_t WHERE id IN (5, 6, 7, 17, 27) AND grp IS NULL'),
('SELECT v FROM lookups_t WHERE id = ANY (ARRAY(SELECT generate_series(1, 1500))) AND NOT (grp = 3 OR v < ''v5'')'),
('SELECT v FROM lookups_t WHERE id = ANY (ARRAY(SELECT generate_series(1, 1500))) AND grp <> 3 AND length(note) % 2 = 0'),
('SELECT count(*), sum(n) FROM lookups_t WHERE id = ANY (ARRAY(SELECT generate_series(-5, 600))) AND grp IN (1, 2, NULL)'),
('SELECT grp FROM lookups_t WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8, 9) AND grp = (SELECT 2)'),
('SELECT grp FROM lookups_t WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8, 9) AND grp = (SELECT NULL::int)'),
('SELECT grp FROM lookups_t WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8, 9) AND NOT grp = (SELECT NULL::int)'),
('SELECT * FROM lookups_t WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8, 9) AND v LIKE ''v_'''),
('SELECT * FROM lookups_t WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8, 9) AND v = ANY (ARRAY(SELECT repeat(''z'', 70000) UNION ALL SELECT ''v2''))'),
('SELECT * FROM lookups_t WHERE (id = 5 AND grp = 5) OR (id = 6 AND grp = 7) OR (id = 8 AND length(v) = 2)'),
('SELECT v FROM lookups_c WHERE tenant = 3 AND seq IN (1, 2, 3, 4, 5) AND v <> ''v1'''),
('SELECT v FROM lookups_c WHERE (tenant, seq) IN ((3, 1), (4, 2), (5, 3)) AND v IS NOT NULL'),
('SELECT g, t.v FROM generate_series(-10, 1100) g LEFT JOIN lookups_t t ON t.id = g AND t.grp BETWEEN 2 AND 4'),
('SELECT g FROM generate_series(-10, 1100) g WHERE NOT EXISTS (SELECT FROM lookups_t t WHERE t.id = g AND t.grp > 2)'),
('SELECT g FROM generate_series(-10, 1100) g WHERE EXISTS (SELECT FROM lookups_t t WHERE t.id = g AND t.grp IS NULL)'),
('SELECT g, c.v FROM generate_series(-10, 30) g JOIN lookups_c c ON c.tenant = g AND c.seq = 4 AND c.v < ''v5''');
SELECT i, s.* FROM lookups_q, lookups_same(q) s ORDER BY i;

-- with own writes: rows that begin to pass, that no longer do, new and deleted ones
BEGIN;
UPDATE lookups_t SET grp = CASE WHEN grp IS NULL THEN 3 WHEN grp > 5 THEN NULL ELSE 7 END WHERE id % 3 = 0;
DELETE FROM lookups_t WHERE id % 11 = 0;
INSERT INTO lookups_t SELECT g, g % 10, 'v' || g FROM generate_series(1001, 1100) g;
UPDATE lookups_c SET v = 'v4' WHERE seq = 4 AND tenant > 5;
UPDATE lookups_t_local SET grp = CASE WHEN grp IS NULL THEN 3 WHEN grp > 5 THEN NULL ELSE 7 END WHERE id % 3 = 0;
DELETE FROM lookups_t_local WHERE id % 11 = 0;
INSERT INTO lookups_t_local SELECT g, g % 10, 'v' || g FROM generate_series(1001, 1100) g;
UPDATE lookups_c_local SET v = 'v4' WHERE seq = 4 AND tenant > 5;
SELECT i, s.* FROM lookups_q, lookups_same(q) s ORDER BY i;
ROLLBACK;

-- a plan made once; a NULL among its parameters
SET plan_cache_mode = force_generic_plan;
PREPARE lookups_p(int[], int) AS SELECT id, grp FROM lookups_t WHERE id = ANY ($1) AND grp >= $2 ORDER BY id;
EXPLAIN (COSTS OFF) EXECUTE lookups_p('{1,2,3,4}', 3);
EXECUTE lookups_p('{1,2,3,4}', 3);
EXECUTE lookups_p('{1,2,3,4}', NULL);
EXECUTE lookups_p('{1,2,3,4,5,6,7,8,9}', NULL);
EXECUTE lookups_p('{1,2,3,4,5,6,7,8,9}', 8);
EXECUTE lookups_p('{17,18,19}', 8);
RESET plan_cache_mode;

-- what does not pass is not sent
CREATE FUNCTION lookups_bytes(q text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	before bigint;
BEGIN
	SELECT sum(bytes) INTO before FROM doris_fdw_stats;
	EXECUTE 'SELECT count(x) FROM (' || q || ') x';
	RETURN (SELECT sum(bytes) - before FROM doris_fdw_stats);
END $$;
SELECT lookups_bytes('SELECT * FROM lookups_t WHERE id = ANY (ARRAY(SELECT generate_series(1, 1000))) AND v = ''v500''') * 2 <
	lookups_bytes('SELECT * FROM lookups_t WHERE id = ANY (ARRAY(SELECT generate_series(1, 1000))) AND length(v) = 500') AS less;

-- nobody has analyzed the table: with many keys the nodes are asked how large it is
CREATE FOREIGN TABLE lookups_new (id int, v text) SERVER doris OPTIONS (key 'id');
INSERT INTO lookups_new SELECT g, 'v' || g FROM generate_series(1, 20000) g;
CREATE FUNCTION lookups_access(keys int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE format('EXPLAIN SELECT * FROM lookups_new WHERE id = ANY (%L::int[])', ARRAY(SELECT generate_series(1, keys))) LOOP
		IF line ~ 'Access:' THEN
			RETURN trim(line);
		END IF;
	END LOOP;
END $$;
-- (what a transaction's client finishes behind it is counted then)
SELECT pg_sleep(3);
\c -
SET client_min_messages = warning;
SELECT keys, lookups_access(keys) FROM unnest(ARRAY[1, 10, 500, 19000]) keys;

-- writes
WITH x AS (UPDATE lookups_t SET v = v || '!' WHERE id IN (1, 2, 3, 4, 17) AND grp >= 3 RETURNING id, v) SELECT * FROM x ORDER BY id;
WITH x AS (DELETE FROM lookups_t WHERE id IN (1, 2, 3, 4, 17) AND (grp IS NULL OR v LIKE '%!') RETURNING id) SELECT * FROM x ORDER BY id;
SELECT id, v FROM lookups_t WHERE id < 6 ORDER BY id;
-- conditions of a policy come first, and what they hide is not told of
CREATE VIEW lookups_secret WITH (security_barrier) AS SELECT * FROM lookups_t WHERE grp <> 5;
EXPLAIN (COSTS OFF) SELECT id FROM lookups_secret WHERE id IN (5, 6, 8) AND length(v) / (grp - 5) > -10;
SELECT id FROM lookups_secret WHERE id IN (5, 6, 8) AND length(v) / (grp - 5) > -10 ORDER BY id;

-- own rows that have spilled to disk, while a condition's function reads others of them
CREATE FOREIGN TABLE lookups_spill (id int, grp int, v text, pad text) SERVER doris OPTIONS (key 'id');
INSERT INTO lookups_spill SELECT g, 100 + g % 10, 'v' || g, repeat(chr(97 + g % 26), 400) FROM generate_series(10000, 14000) g;
ANALYZE lookups_spill;
CREATE FUNCTION lookups_reads(int) RETURNS int STABLE LANGUAGE plpgsql AS $$
BEGIN
	PERFORM max(length(pad)) FROM lookups_spill WHERE id = ANY (ARRAY[10001, 11900, 12950]);
	RETURN $1;
END $$;
CREATE VIEW lookups_damaged AS SELECT * FROM lookups_spill WHERE grp <> 100 + id % 10 OR pad <> repeat(chr(97 + id % 26), 400);
SET doris_fdw.write_buffer = 64;
BEGIN;
UPDATE lookups_spill SET v = v || '!' WHERE id <= 13000;
UPDATE lookups_spill SET v = 'new' WHERE id = ANY (ARRAY(SELECT generate_series(11500, 11700))) AND grp <> lookups_reads(100000);
SELECT count(*), min(id), max(id) FROM lookups_spill WHERE v = 'new';
UPDATE lookups_spill SET v = 'newer' WHERE id BETWEEN 11600 AND 11800 AND grp <> lookups_reads(100000);
SELECT count(*), min(id), max(id) FROM lookups_spill WHERE v = 'newer';
WITH x AS (DELETE FROM lookups_spill WHERE id BETWEEN 11790 AND 11800 AND grp <> lookups_reads(100000) RETURNING id, v, pad)
SELECT count(*), min(id), max(id), min(v) AS v, bool_and(pad = repeat(chr(97 + id % 26), 400)) AS same FROM x;
SELECT count(*) AS damaged FROM lookups_damaged;
COMMIT;
SELECT count(*), count(*) FILTER (WHERE v LIKE 'new%') AS new FROM lookups_spill;
SELECT count(*) AS damaged FROM lookups_damaged;
RESET doris_fdw.write_buffer;
DROP VIEW lookups_damaged;

DROP VIEW lookups_secret;
DROP TABLE lookups_q, lookups_t_local, lookups_c_local;
DROP FUNCTION lookups_same, lookups_bytes, lookups_access, lookups_reads;
DROP FOREIGN TABLE lookups_t, lookups_c, lookups_new, lookups_spill;
SELECT count(doris_drop_namespace(name)) FROM doris_namespaces WHERE name LIKE 'lookups\_%';
