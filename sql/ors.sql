-- Keys by OR and row-wise IN, and what a NOT makes of conditions that the nodes judge.
SET client_min_messages = warning;
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'ors\_%';
CREATE FOREIGN TABLE ors_two (a int, b bigint, v text) SERVER doris OPTIONS (key 'a,b');
CREATE FOREIGN TABLE ors_one (k int, v text, n int) SERVER doris OPTIONS (key 'k');
CREATE TABLE ors_local (k int, v text, n int);
INSERT INTO ors_two SELECT g % 10, g, 'v' || g FROM generate_series(1, 1000) g;
INSERT INTO ors_one SELECT g, CASE WHEN g % 11 > 0 THEN 'v' || g END, nullif(g % 7, 0) FROM generate_series(1, 1000) g;
INSERT INTO ors_local SELECT * FROM ors_one;

-- each arm gives a key; doubles and NULLs are no harm
EXPLAIN (COSTS OFF) SELECT * FROM ors_two WHERE (a, b) IN ((1, 11), (2, 12), (2, 12), (3, NULL), (5, 5), (5, 6));
SELECT * FROM ors_two WHERE (a, b) IN ((1, 11), (2, 12), (2, 12), (3, NULL), (5, 5), (5, 6)) ORDER BY a DESC, b DESC;
EXPLAIN (COSTS OFF) SELECT * FROM ors_two WHERE (a, b) IN ((1, 11), (2, 12)) ORDER BY a DESC, b DESC;
EXPLAIN (COSTS OFF) SELECT * FROM ors_one WHERE k = 5 OR k = 900 OR k = 99999999999;
SELECT * FROM ors_one WHERE k = 5 OR k = 900 OR k = 99999999999 ORDER BY k;
-- what all arms share may stand beside them; what they say beyond the key is judged
EXPLAIN (COSTS OFF) SELECT * FROM ors_two WHERE a = 1 AND (b = 11 OR b = 21 OR (b = 31 AND v LIKE '%9%'));
SELECT * FROM ors_two WHERE a = 1 AND (b = 11 OR b = 21 OR (b = 31 AND v LIKE '%9%')) ORDER BY b;
SELECT * FROM ors_two WHERE (a = 1 AND b = 11 AND b = 21) OR (a = 2 AND b = 12) OR (a = 3 AND b = 3 AND a = 3);
-- one arm without a key: a scan
EXPLAIN (COSTS OFF) SELECT * FROM ors_one WHERE k = 5 OR n = 3;
EXPLAIN (COSTS OFF) SELECT * FROM ors_two WHERE (a = 1 AND b = 11) OR a = 2;
EXPLAIN (COSTS OFF) SELECT * FROM ors_two WHERE (a = 1 AND b = 11) OR (a = 2 AND b = a);
-- parameters
PREPARE ors_in(int, int, bigint) AS SELECT * FROM ors_two WHERE (a, b) IN (($1, $3), ($2, $3 + 1)) ORDER BY a;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE ors_in(1, 2, 11);
EXECUTE ors_in(1, 2, 11);
EXECUTE ors_in(NULL, 2, 11);
EXECUTE ors_in(NULL, NULL, 11);
RESET plan_cache_mode;
-- many, all orders, and own writes
DO $$
DECLARE
	arms text;
	n bigint;
BEGIN
	SELECT string_agg(format('(%s, %s)', g % 10, g), ', ') INTO arms FROM generate_series(1, 1500) g;
	EXECUTE 'SELECT count(*) FROM ors_two WHERE (a, b) IN (' || arms || ')' INTO n;
	RAISE WARNING '% of 1500', n;
END $$;
BEGIN;
INSERT INTO ors_two VALUES (7, 7000, 'new');
EXPLAIN (COSTS OFF) UPDATE ors_two SET v = 'x' WHERE (a, b) IN ((1, 11), (2, 12), (7, 7000));
UPDATE ors_two SET v = v || 'x' WHERE (a, b) IN ((1, 11), (2, 12), (7, 7000));
DELETE FROM ors_two WHERE (a = 1 AND b = 11) OR (a = 3 AND b = 3);
SELECT * FROM ors_two WHERE (a, b) IN ((1, 11), (2, 12), (7, 7000), (3, 3)) ORDER BY a;
ROLLBACK;

-- NOT: three truth values on the nodes as here
CREATE FUNCTION pg_temp.same(condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	here bigint;
	there bigint;
	line text;
	judged text := 'here';
BEGIN
	EXECUTE 'SELECT count(*) FROM ors_local WHERE ' || condition INTO here;
	EXECUTE 'SELECT count(*) FROM ors_one WHERE ' || condition INTO there;
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) SELECT count(*) FROM ors_one WHERE ' || condition LOOP
		IF line ~ 'Node Filter' THEN
			judged := trim(line);
		END IF;
	END LOOP;
	RETURN format('%s = %s; %s', here, there, judged);
END $$;
SELECT pg_temp.same('v NOT LIKE ''v1%''');
SELECT pg_temp.same('NOT (v ^@ ''v1'')');
SELECT pg_temp.same('NOT (v ^@ ''v1'' AND n = 3)');
SELECT pg_temp.same('NOT (v ^@ ''v1'' OR n = 3 OR n IS NULL)');
SELECT pg_temp.same('NOT (v ^@ ''v1'' AND n IN (1, 2, NULL))');
SELECT pg_temp.same('NOT (v ^@ ''v1'' AND n = ANY (''{}''))');
SELECT pg_temp.same('v NOT LIKE ''v1%'' AND n = ANY (''{}'')');
SELECT pg_temp.same('v NOT LIKE ''v1%'' OR n <> ALL (''{}'')');
SELECT pg_temp.same('NOT (v ^@ ''v1'' AND n = 99999999999)');
SELECT pg_temp.same('NOT (v ^@ ''v1'' AND n <> 99999999999)');
SELECT pg_temp.same('v NOT LIKE ''%1%''');
SELECT pg_temp.same('k IS NULL');
SELECT pg_temp.same('k IS NOT NULL AND v IS NULL');
SELECT pg_temp.same('k IS NULL OR n = 2');
-- a NULL that is known only when it runs
PREPARE ors_not(text, int[]) AS SELECT count(*) FROM ors_one WHERE NOT (v ^@ $1 AND n = ANY ($2));
PREPARE ors_not_here(text, int[]) AS SELECT count(*) FROM ors_local WHERE NOT (v ^@ $1 AND n = ANY ($2));
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE ors_not('v1', '{1}');
EXECUTE ors_not('v1', '{1,2}');
EXECUTE ors_not_here('v1', '{1,2}');
EXECUTE ors_not(NULL, '{1,2}');
EXECUTE ors_not_here(NULL, '{1,2}');
EXECUTE ors_not('v1', '{1,NULL}');
EXECUTE ors_not_here('v1', '{1,NULL}');
EXECUTE ors_not('v1', NULL);
EXECUTE ors_not_here('v1', NULL);
EXECUTE ors_not('v1', '{}');
EXECUTE ors_not_here('v1', '{}');

DROP FOREIGN TABLE ors_two, ors_one;
DROP TABLE ors_local;
SELECT count(doris_drop_namespace(name)) FROM doris_namespaces WHERE name LIKE 'ors\_%';
