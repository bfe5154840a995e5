-- Batched joins: every kind gives what the same query gives over local tables.
SET client_min_messages = warning;
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'joins\_%';
CREATE FOREIGN TABLE joins_f (id int, grp int, v text, n numeric) SERVER doris OPTIONS (key 'id');
CREATE FOREIGN TABLE joins_c (tenant int, seq bigint, v text) SERVER doris OPTIONS (key 'tenant,seq', distribute_by 'tenant');
CREATE FOREIGN TABLE joins_n (k numeric, w text) SERVER doris OPTIONS (key 'k');
CREATE FOREIGN TABLE joins_s (name text, size int) SERVER doris OPTIONS (key 'name');
INSERT INTO joins_f SELECT g, g % 10, CASE WHEN g % 5 > 0 THEN 'v' || g END, g * 1.5 FROM generate_series(-50, 1500) g WHERE g % 3 > 0;
INSERT INTO joins_c SELECT g / 20, g % 20, 'v' || g FROM generate_series(0, 399) g;
INSERT INTO joins_n SELECT g / 4.0, 'n' || g FROM generate_series(0, 100) g;
INSERT INTO joins_s SELECT 'l' || g, g FROM generate_series(0, 300) g;
-- the same in local tables
CREATE TABLE joins_f_local AS SELECT * FROM joins_f;
CREATE TABLE joins_c_local AS SELECT * FROM joins_c;
CREATE TABLE joins_n_local AS SELECT * FROM joins_n;
CREATE TABLE joins_s_local AS SELECT * FROM joins_s;
-- outer rows: partners, none, the same one twice, NULLs, what no int can be
CREATE TABLE joins_l (n int PRIMARY KEY, ref int, big bigint, tenant int, seq int, num numeric, label text);
INSERT INTO joins_l SELECT g, (g * 7) % 900, (g * 11) % 1000, g % 22, g % 23, (g % 50) / 2.0, 'l' || g % 400 FROM generate_series(1, 1000) g;
INSERT INTO joins_l VALUES (2001, NULL, NULL, NULL, NULL, NULL, NULL), (2002, 5, 5000000000, 3, NULL, 1.50, 'x'),
	(2003, NULL, -5000000000, NULL, 3, 'NaN', 'l1'), (2004, 5, 5, 3, 3, 0.250, 'l1');
ANALYZE joins_l, joins_f, joins_c, joins_n, joins_s, joins_f_local, joins_c_local;
-- the planner has no other choice where it may batch
SET enable_hashjoin = off;
SET enable_mergejoin = off;

-- Rows of the query over the foreign and over the local tables: how many, the same ones? Is a join batched?
CREATE FUNCTION joins_same(what text, q text) RETURNS TABLE (query text, joins bigint, n bigint, same boolean) LANGUAGE plpgsql AS $$
DECLARE
	local text := regexp_replace(q, 'joins_([fcns])\y', 'joins_\1_local', 'g');
	line text;
BEGIN
	query := what;
	joins := 0;
	FOR line IN EXECUTE 'EXPLAIN ' || q LOOP
		joins := joins + (line ~ 'Doris Batched Join')::int;
	END LOOP;
	EXECUTE format('CREATE TEMP TABLE here ON COMMIT DROP AS SELECT x::text AS r FROM (%s) x', local);
	EXECUTE format('CREATE TEMP TABLE there ON COMMIT DROP AS SELECT x::text AS r FROM (%s) x', q);
	SELECT count(*) INTO n FROM here;
	SELECT NOT EXISTS (SELECT r FROM here EXCEPT ALL SELECT r FROM there) AND NOT EXISTS (SELECT r FROM there EXCEPT ALL SELECT r FROM here) INTO same;
	DROP TABLE here, there;
	RETURN NEXT;
END $$;
CREATE TABLE joins_q (i serial, what text, q text);

INSERT INTO joins_q (what, q) VALUES
('inner', 'SELECT l.n, f.* FROM joins_l l JOIN joins_f f ON f.id = l.ref'),
('inner, filters on both', 'SELECT l.n, f.v FROM joins_l l JOIN joins_f f ON f.id = l.ref WHERE f.grp > 3 AND l.n % 2 = 0 AND f.v || l.label <> ''x'''),
('inner, an own filter no node can judge', 'SELECT l.n, f.n FROM joins_l l JOIN joins_f f ON f.id = l.ref WHERE length(f.v) = 4'),
('inner, key computed', 'SELECT l.n, f.v FROM joins_l l JOIN joins_f f ON f.id = l.ref / 2 + 1'),
('inner, bigint looks for int', 'SELECT l.n, f.v FROM joins_l l JOIN joins_f f ON f.id = l.big'),
('inner, numeric by value', 'SELECT l.n, c.* FROM joins_l l JOIN joins_n c ON c.k = l.num'),
('inner, text', 'SELECT l.n, s.size FROM joins_l l JOIN joins_s s ON s.name = l.label'),
('inner, nothing found', 'SELECT l.n, f.v FROM joins_l l JOIN joins_f f ON f.id = l.ref + 100000'),
('inner, no outer rows', 'SELECT l.n, f.v FROM joins_l l JOIN joins_f f ON f.id = l.ref WHERE l.n < 0'),
('inner, nothing but NULL keys', 'SELECT l.n, f.v FROM joins_l l JOIN joins_f f ON f.id = l.ref WHERE l.n IN (2001, 2003)'),
('left', 'SELECT l.n, f.* FROM joins_l l LEFT JOIN joins_f f ON f.id = l.ref'),
('left, filters in ON', 'SELECT l.n, f.v FROM joins_l l LEFT JOIN joins_f f ON f.id = l.ref AND f.grp > 3 AND l.n % 2 = 0 AND length(f.v) < length(l.label)'),
('left, filters in WHERE', 'SELECT l.n, f.v FROM joins_l l LEFT JOIN joins_f f ON f.id = l.ref WHERE f.v IS NULL AND l.n < 500 OR f.grp = 5'),
('left, only unmatched', 'SELECT l.n FROM joins_l l LEFT JOIN joins_f f ON f.id = l.ref WHERE f.id IS NULL'),
('right', 'SELECT l.n, f.v FROM joins_f f RIGHT JOIN joins_l l ON f.id = l.ref'),
('right, the other way: not by key', 'SELECT l.n, f.v FROM joins_l l RIGHT JOIN joins_f f ON f.id = l.n AND l.n < 5'),
('semi', 'SELECT l.n FROM joins_l l WHERE EXISTS (SELECT 1 FROM joins_f f WHERE f.id = l.ref)'),
('semi, a filter across', 'SELECT l.n FROM joins_l l WHERE EXISTS (SELECT 1 FROM joins_f f WHERE f.id = l.ref AND f.grp <> l.n % 10)'),
('IN', 'SELECT l.n FROM joins_l l WHERE l.ref IN (SELECT id FROM joins_f WHERE grp < 5)'),
('IN, the other way round', 'SELECT f.* FROM joins_f f WHERE f.id IN (SELECT ref FROM joins_l WHERE n < 100)'),
('anti', 'SELECT l.n FROM joins_l l WHERE NOT EXISTS (SELECT 1 FROM joins_f f WHERE f.id = l.ref)'),
('anti, a filter across', 'SELECT l.n FROM joins_l l WHERE NOT EXISTS (SELECT 1 FROM joins_f f WHERE f.id = l.ref AND f.grp > l.n % 10)'),
('NOT IN', 'SELECT l.n FROM joins_l l WHERE l.ref NOT IN (SELECT id FROM joins_f)'),
('key of two columns', 'SELECT l.n, c.v FROM joins_l l JOIN joins_c c ON c.tenant = l.tenant AND c.seq = l.seq'),
('key of two columns, left', 'SELECT l.n, c.v FROM joins_l l LEFT JOIN joins_c c ON c.tenant = l.tenant AND c.seq = l.seq AND c.v <> l.label'),
('key of two columns, one a constant', 'SELECT l.n, c.v FROM joins_l l JOIN joins_c c ON c.tenant = 3 AND c.seq = l.seq WHERE l.n < 10'),
('key of two columns, one a constant, left', 'SELECT l.n, c.v FROM joins_l l LEFT JOIN joins_c c ON c.tenant = 3 AND c.seq = l.seq WHERE l.n < 10'),
('key of two columns, one from a subquery', 'SELECT l.n, c.v FROM joins_l l JOIN joins_c c ON c.tenant = (SELECT min(n) FROM joins_l) AND c.seq = l.seq WHERE l.n < 10'),
('key of two columns, of two tables', 'SELECT a.n, c.v FROM joins_l a JOIN joins_l b ON a.n = b.n + 1 JOIN joins_c c ON c.tenant = a.tenant AND c.seq = b.seq'),
('key of two columns from one value', 'SELECT l.n, c.v FROM joins_l l JOIN joins_c c ON c.tenant = l.tenant AND c.seq = l.tenant'),
('a part of the key: no batches', 'SELECT l.n, c.v FROM joins_l l JOIN joins_c c ON c.tenant = l.tenant WHERE l.n < 20'),
('an inequality: no batches', 'SELECT l.n, f.v FROM joins_l l JOIN joins_f f ON f.id < l.ref WHERE l.n < 20'),
('OR: no batches', 'SELECT l.n, f.v FROM joins_l l JOIN joins_f f ON f.id = l.ref OR f.id = l.n WHERE l.n < 20'),
('a random key: no batches', 'SELECT l.n, f.v FROM joins_l l JOIN joins_f f ON f.id = l.ref + (random() * 0)::int WHERE l.n < 20'),
('a random condition beside the key', 'SELECT l.n, f.v FROM joins_l l JOIN joins_f f ON f.id = l.ref AND random() + f.grp + l.n > -1'),
('two foreign tables', 'SELECT f.id, s.size FROM joins_f f JOIN joins_s s ON s.name = ''l'' || f.id'),
('with itself', 'SELECT a.id, b.v FROM joins_f a JOIN joins_f b ON b.id = a.grp'),
('a batched join over a batched join', 'SELECT l.n, f.v, g.v AS w FROM joins_l l JOIN joins_f f ON f.id = l.ref JOIN joins_f g ON g.id = f.grp + l.seq WHERE l.n < 200'),
('three, left', 'SELECT l.n, f.v, s.size, c.v AS w FROM joins_l l LEFT JOIN joins_f f ON f.id = l.ref LEFT JOIN joins_s s ON s.name = ''l'' || f.grp LEFT JOIN joins_c c ON c.tenant = f.grp AND c.seq = s.size'),
('left over inner in brackets', 'SELECT l.n, x.v, x.size FROM joins_l l LEFT JOIN (joins_f f JOIN joins_s s ON s.name = ''l'' || f.grp) x ON x.id = l.ref WHERE l.n < 30'),
('computed below an outer join', 'SELECT l.n, f.c, f.d FROM joins_l l LEFT JOIN (SELECT id, coalesce(v, ''none'') AS c, 1 AS d FROM joins_f) f ON f.id = l.ref'),
('computed from both below an outer join', 'SELECT a.n, x.c FROM joins_l a LEFT JOIN (SELECT l.n, coalesce(f.v, l.label, ''none'') AS c FROM joins_l l LEFT JOIN joins_f f ON f.id = l.ref) x ON x.n = a.n + 990'),
('whole rows', 'SELECT l.n, (f).v, f IS NULL AS missing, (l).label FROM joins_l l LEFT JOIN joins_f f ON f.id = l.ref'),
('no columns', 'SELECT 1 AS one FROM joins_l l JOIN joins_f f ON f.id = l.ref'),
('aggregate', 'SELECT f.grp, count(*), sum(l.n), max(f.v) FROM joins_l l JOIN joins_f f ON f.id = l.ref GROUP BY f.grp HAVING count(*) > 3'),
('limit', 'SELECT l.n, f.v FROM joins_l l JOIN joins_f f ON f.id = l.ref ORDER BY l.n LIMIT 7 OFFSET 60'),
('distinct, union', 'SELECT f.grp FROM joins_l l JOIN joins_f f ON f.id = l.ref UNION SELECT f.grp FROM joins_l l LEFT JOIN joins_f f ON f.id = l.big'),
('lateral', 'SELECT l.n, x.* FROM joins_l l, LATERAL (SELECT f.v, l.label AS w FROM joins_f f WHERE f.id = l.ref AND f.grp <> l.n % 10) x'),
('lateral, limited', 'SELECT l.n, x.* FROM joins_l l, LATERAL (SELECT b.n AS m, f.v FROM joins_l b JOIN joins_f f ON f.id = b.ref WHERE b.n > l.n ORDER BY b.n LIMIT 2) x WHERE l.n % 100 = 0'),
('lateral, left, limited', 'SELECT l.n, x.* FROM joins_l l LEFT JOIN LATERAL (SELECT b.n AS m, f.v FROM joins_l b LEFT JOIN joins_f f ON f.id = b.ref AND f.grp <> l.n % 10 WHERE b.n > l.n ORDER BY b.n LIMIT 2) x ON true WHERE l.n % 100 = 0'),
('correlated subquery', 'SELECT l.n, (SELECT string_agg(f.v, '','' ORDER BY b.n) FROM joins_l b JOIN joins_f f ON f.id = b.ref WHERE b.n BETWEEN l.n AND l.n + 70) FROM joins_l l WHERE l.n % 50 = 0'),
('correlated subquery, in a filter of the inner side', 'SELECT l.n, (SELECT count(*) FROM joins_l b JOIN joins_f f ON f.id = b.ref AND f.grp = l.n % 10 WHERE b.n < 100) FROM joins_l l WHERE l.n % 50 = 0'),
('correlated subquery, in a condition across', 'SELECT l.n, (SELECT count(*) FROM joins_l b JOIN joins_f f ON f.id = b.ref AND f.grp + l.n > b.n % 10 + 500 WHERE b.n < 100) FROM joins_l l WHERE l.n % 50 = 0'),
('correlated subquery, in the key', 'SELECT l.n, (SELECT count(c.v) FROM joins_l b JOIN joins_c c ON c.tenant = l.tenant AND c.seq = b.seq WHERE b.n < 10) FROM joins_l l WHERE l.n % 50 = 0'),
('correlated subquery, semi', 'SELECT l.n FROM joins_l l WHERE EXISTS (SELECT 1 FROM joins_l b JOIN joins_f f ON f.id = b.ref WHERE b.n > l.n + 3 AND b.n < l.n + 6 AND f.grp = l.n % 10 OFFSET 0)'),
('a subquery in a condition', 'SELECT l.n, f.v FROM joins_l l LEFT JOIN joins_f f ON f.id = l.ref AND f.grp > (SELECT count(*) FROM joins_l b WHERE b.n < l.n % 10)'),
('a subquery of both in a condition', 'SELECT l.n, f.v FROM joins_l l LEFT JOIN joins_f f ON f.id = l.ref AND EXISTS (SELECT 1 FROM joins_l b WHERE b.n = f.grp + l.n OFFSET 0)'),
('nested in a CTE', 'WITH x AS MATERIALIZED (SELECT l.n, f.v, f.grp FROM joins_l l JOIN joins_f f ON f.id = l.ref) SELECT x.n, f.v FROM x LEFT JOIN joins_f f ON f.id = x.grp'),
('a function''s rows', 'SELECT g, f.v FROM generate_series(1, 200) g LEFT JOIN joins_f f ON f.id = g'),
('VALUES', 'SELECT x, f.v FROM (VALUES (1), (2), (2), (NULL), (4)) x (x) LEFT JOIN joins_f f ON f.id = x'),
('union all below', 'SELECT x.r, f.v FROM (SELECT ref AS r FROM joins_l WHERE n < 50 UNION ALL SELECT n + 1 FROM joins_l WHERE n < 70) x JOIN joins_f f ON f.id = x.r');
SELECT r.* FROM joins_q q, joins_same(q.what, q.q) r ORDER BY q.i;

-- memory for a few rows only: many batches
SET work_mem = 64;
SELECT joins_same('little memory', 'SELECT l.n, m, f.v FROM joins_l l CROSS JOIN generate_series(1, 20) m LEFT JOIN joins_f f ON f.id = l.ref + m');
CREATE FOREIGN TABLE joins_w (id int, v text) SERVER doris OPTIONS (key 'id');
INSERT INTO joins_w SELECT g, repeat(chr(65 + g % 26), 20000) FROM generate_series(1, 200) g;
SELECT count(*), sum(length(w.v)) FROM generate_series(1, 300) g LEFT JOIN joins_w w ON w.id = g;
RESET work_mem;

-- EXPLAIN
EXPLAIN (COSTS OFF) SELECT l.n, f.v FROM joins_l l JOIN joins_f f ON f.id = l.ref AND f.grp > l.n WHERE f.v <> 'x';
EXPLAIN (COSTS OFF, VERBOSE) SELECT l.n, c.v FROM joins_l l LEFT JOIN joins_c c ON c.tenant = l.tenant AND c.seq = l.seq + 1 WHERE c.v IS NULL OR l.n > 3;
EXPLAIN (COSTS OFF) SELECT l.n FROM joins_l l WHERE l.n < 10 AND EXISTS (SELECT 1 FROM joins_c c WHERE c.tenant = 3 AND c.seq = l.seq AND c.v <> l.label);
EXPLAIN (COSTS OFF) SELECT l.n FROM joins_l l WHERE NOT EXISTS (SELECT 1 FROM joins_f f WHERE f.id = l.ref);
EXPLAIN (COSTS OFF) SELECT f.v FROM joins_f f WHERE id IN (SELECT ref FROM joins_l WHERE n < 50);
-- in the outer side's order
EXPLAIN (COSTS OFF) SELECT l.n, f.v FROM joins_l l JOIN joins_f f ON f.id = l.ref ORDER BY l.n LIMIT 3;
SELECT bool_and(n > before) AS in_order FROM (SELECT n, lag(n, 1, -1) OVER () AS before FROM (SELECT l.n FROM joins_l l JOIN joins_f f ON f.id = l.ref ORDER BY l.n OFFSET 0) x) y;
-- a LIMIT does not have the outer side read to its end
CREATE FUNCTION joins_lines(q text, pattern text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || q LOOP
		IF line ~ pattern THEN
			RETURN NEXT trim(line);
		END IF;
	END LOOP;
END $$;
SELECT joins_lines('SELECT l.n, f.v FROM joins_l l LEFT JOIN joins_f f ON f.id = l.ref LIMIT 10', 'actual|Batch|Keys');
SELECT joins_lines('SELECT l.n, f.v FROM joins_l l LEFT JOIN joins_f f ON f.id = l.ref', 'Batch|Keys|Foreign');
SELECT joins_lines('SELECT l.n, f.v FROM joins_l l LEFT JOIN joins_f f ON f.id = l.ref AND f.grp > l.n % 10', 'Removed');
SELECT count(*) > 0 AS work_shown FROM joins_lines('SELECT l.n, f.v FROM joins_l l LEFT JOIN joins_f f ON f.id = l.ref', 'Node .*requests=');
SET doris_fdw.enable_batched_join = off;
EXPLAIN (COSTS OFF) SELECT l.n, f.v FROM joins_l l JOIN joins_f f ON f.id = l.ref;
RESET doris_fdw.enable_batched_join;
-- and where a scan is cheaper, costs say so
SET enable_hashjoin = on;
EXPLAIN (COSTS OFF) SELECT count(*) FROM joins_s s CROSS JOIN generate_series(1, 1000) g JOIN joins_f f ON f.id = s.size + g;
SET enable_hashjoin = off;

-- parameters, in a plan made once
SET plan_cache_mode = force_generic_plan;
PREPARE joins_p (int, int) AS SELECT l.n, c.v FROM joins_l l JOIN joins_c c ON c.tenant = $1 AND c.seq = l.seq WHERE l.n < $2 ORDER BY l.n;
EXPLAIN (COSTS OFF) EXECUTE joins_p (3, 5);
EXECUTE joins_p (3, 5);
EXECUTE joins_p (4, 3);
EXECUTE joins_p (NULL, 3);
RESET plan_cache_mode;

-- a transaction's own writes are seen, not those of the statement itself
BEGIN;
UPDATE joins_f SET v = 'mine' WHERE id = 7;
DELETE FROM joins_f WHERE id = 14;
INSERT INTO joins_f VALUES (21, 1, 'new', 0), (100000, 1, 'far', 0);
SELECT l.n, f.v FROM joins_l l LEFT JOIN joins_f f ON f.id = l.ref WHERE l.n <= 4 ORDER BY l.n;
SELECT f.v FROM (VALUES (100000), (7), (14)) x (x) JOIN joins_f f ON f.id = x;
SAVEPOINT s;
DELETE FROM joins_f f USING joins_l l WHERE f.id = l.ref AND l.n < 100;
SELECT count(f.v) FROM joins_l l LEFT JOIN joins_f f ON f.id = l.ref WHERE l.n < 100;
ROLLBACK TO s;
TRUNCATE joins_f;
INSERT INTO joins_f SELECT g, 0, 'refilled' FROM generate_series(1, 10) g;
SELECT count(*), min(f.v) FROM joins_l l JOIN joins_f f ON f.id = l.ref;
ROLLBACK;
-- rows of a table that the same statement fills
BEGIN;
INSERT INTO joins_f SELECT 100000 + l.n, f.grp, f.v FROM joins_l l JOIN joins_f f ON f.id = l.ref;
SELECT count(*) FROM joins_f WHERE id > 100000;
ROLLBACK;

-- UPDATE ... FROM, DELETE ... USING, of either side, with the rows that come back
CREATE FUNCTION joins_both(q text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	n bigint;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || q LOOP
		IF line ~ 'Doris' THEN
			RETURN NEXT trim(line);
		END IF;
	END LOOP;
	EXECUTE q;
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN NEXT n || ' foreign';
	EXECUTE regexp_replace(q, 'joins_([fcns])\y', 'joins_\1_local', 'g');
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN NEXT n || ' local';
END $$;
SELECT joins_both('UPDATE joins_f f SET v = l.label, n = f.n + 1 FROM joins_l l WHERE f.id = l.ref AND l.n BETWEEN 10 AND 50');
SELECT joins_both('DELETE FROM joins_f f USING joins_l l WHERE f.id = l.ref AND f.grp < l.n AND l.n BETWEEN 60 AND 90');
SELECT joins_both('UPDATE joins_c c SET v = ''none'' FROM joins_l l WHERE c.tenant = l.tenant AND c.seq = l.seq AND l.n < 20');
SELECT joins_same('after writing', 'SELECT * FROM joins_f');
SELECT joins_same('after writing', 'SELECT * FROM joins_c');
CREATE TABLE joins_l2 AS SELECT * FROM joins_l;
UPDATE joins_l SET label = f.v FROM joins_f f WHERE f.id = joins_l.ref AND joins_l.n < 10 RETURNING joins_l.n, label, f.grp;
WITH gone AS (DELETE FROM joins_l USING joins_f f WHERE f.id = ref AND joins_l.n < 100 RETURNING joins_l.n) SELECT count(*), sum(n) FROM gone;
-- rows locked; what is found when they have changed meanwhile is in specs/
SELECT l.n, f.v FROM joins_l l JOIN joins_f f ON f.id = l.ref WHERE l.n BETWEEN 100 AND 110 ORDER BY l.n FOR UPDATE OF l;
SELECT l.n, f.v FROM joins_l l LEFT JOIN joins_f f ON f.id = l.ref WHERE l.n BETWEEN 100 AND 105 ORDER BY l.n FOR UPDATE OF l;

-- cursors: both ways, held, through an aborted subtransaction
BEGIN;
DECLARE joins_cur SCROLL CURSOR FOR SELECT l.n, f.v FROM joins_l l LEFT JOIN joins_f f ON f.id = l.ref ORDER BY l.n;
FETCH 3 FROM joins_cur;
FETCH BACKWARD 2 FROM joins_cur;
MOVE 200 FROM joins_cur;
FETCH 1 FROM joins_cur;
DECLARE joins_held CURSOR WITH HOLD FOR SELECT l.n, f.v FROM joins_l l JOIN joins_f f ON f.id = l.ref ORDER BY l.n;
FETCH 1 FROM joins_held;
SAVEPOINT s;
SELECT 1 / (f.grp - f.grp) FROM joins_l l JOIN joins_f f ON f.id = l.ref;
ROLLBACK TO s;
FETCH 1 FROM joins_cur;
COMMIT;
FETCH 2 FROM joins_held;
CLOSE joins_held;

-- foreign tables as partitions
CREATE TABLE joins_part (id int, v text) PARTITION BY RANGE (id);
CREATE FOREIGN TABLE joins_p1 PARTITION OF joins_part FOR VALUES FROM (0) TO (100) SERVER doris OPTIONS (key 'id');
CREATE FOREIGN TABLE joins_p2 PARTITION OF joins_part FOR VALUES FROM (100) TO (200) SERVER doris OPTIONS (key 'id');
CREATE TABLE joins_pl (id int, w text) PARTITION BY RANGE (id);
CREATE TABLE joins_pl1 PARTITION OF joins_pl FOR VALUES FROM (0) TO (100);
CREATE TABLE joins_pl2 PARTITION OF joins_pl FOR VALUES FROM (100) TO (200);
INSERT INTO joins_part SELECT g, 'p' || g FROM generate_series(0, 199, 2) g;
INSERT INTO joins_pl SELECT g, 'w' || g FROM generate_series(0, 199, 3) g;
ANALYZE joins_pl;
SET enable_partitionwise_join = on;
EXPLAIN (COSTS OFF) SELECT count(*), count(p.v), max(p.v || l.w) FROM joins_pl l LEFT JOIN joins_part p ON p.id = l.id;
SELECT count(*), count(p.v), max(p.v || l.w) FROM joins_pl l LEFT JOIN joins_part p ON p.id = l.id;
SELECT a.n, p.v FROM joins_l a, LATERAL (SELECT p.v FROM joins_pl l JOIN joins_part p ON p.id = l.id WHERE l.id = a.seq * 6 AND l.w <> a.label LIMIT 1) p WHERE a.n BETWEEN 200 AND 210 ORDER BY a.n;
-- a batched join for one parameter after the other, the parameter's table partitioned, too
CREATE TABLE joins_pa (id int) PARTITION BY RANGE (id);
CREATE TABLE joins_pa1 PARTITION OF joins_pa FOR VALUES FROM (0) TO (100);
CREATE TABLE joins_pa2 PARTITION OF joins_pa FOR VALUES FROM (100) TO (200);
CREATE INDEX ON joins_pl (id);
INSERT INTO joins_pa VALUES (6), (102);
INSERT INTO joins_pl SELECT g % 200, 'more' FROM generate_series(1, 20000) g;
ANALYZE joins_pa, joins_pl, joins_part;
SELECT count(*) > 0 AS batched FROM joins_lines('SELECT a.id, l.w, p.v FROM joins_pa a LEFT JOIN (joins_pl l JOIN joins_part p ON p.id = l.id AND p.v <> l.w) ON l.id = a.id', 'Batched Join');
SELECT a.id, count(*), count(p.v), max(p.v) FROM joins_pa a LEFT JOIN (joins_pl l JOIN joins_part p ON p.id = l.id AND p.v <> l.w) ON l.id = a.id GROUP BY 1 ORDER BY 1;
RESET enable_partitionwise_join;

-- who may see which rows: no condition sees a row of the inner table before those that hide rows have
CREATE FUNCTION joins_leak(text) RETURNS text LANGUAGE plpgsql COST 1 AS 'BEGIN RAISE WARNING ''seeing %'', $1; RETURN $1; END';
CREATE ROLE joins_reader;
GRANT SELECT ON joins_l, joins_f TO joins_reader;
ALTER TABLE joins_l ENABLE ROW LEVEL SECURITY;
CREATE POLICY joins_some ON joins_l FOR SELECT TO joins_reader USING (n BETWEEN 200 AND 203 AND label <> 'hidden');
SET ROLE joins_reader;
EXPLAIN (COSTS OFF) SELECT l.n, f.v FROM joins_l l JOIN joins_f f ON f.id = l.ref;
SELECT l.n, f.v FROM joins_l l JOIN joins_f f ON f.id = l.ref WHERE joins_leak(l.label || '+' || f.v) <> '' ORDER BY 1;
RESET ROLE;
ALTER TABLE joins_l DISABLE ROW LEVEL SECURITY;

DROP FUNCTION joins_same, joins_lines, joins_both;
DROP TABLE joins_l, joins_l2, joins_q, joins_pl, joins_pa, joins_part, joins_f_local, joins_c_local, joins_n_local, joins_s_local;
DROP FOREIGN TABLE joins_f, joins_c, joins_n, joins_s, joins_w;
DROP ROLE joins_reader;
DROP FUNCTION joins_leak;
SELECT count(doris_drop_namespace(name)) FROM doris_namespaces WHERE name LIKE 'joins\_%';
