-- What EXPLAIN says of the access: by key, by list of keys, by scan; what is judged where.
SET client_min_messages = warning;
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'plans\_%';
CREATE FOREIGN TABLE plans_t (id int, grp int, v text, n numeric) SERVER doris OPTIONS (key 'id');
CREATE FOREIGN TABLE plans_c (tenant int, seq int, v text) SERVER doris OPTIONS (key 'tenant,seq', distribute_by 'tenant');
CREATE TEMP TABLE plans_l (id int PRIMARY KEY, label text);
INSERT INTO plans_t SELECT g, g % 10, 'v' || g, g * 1.5 FROM generate_series(1, 1000) g;
INSERT INTO plans_c SELECT g / 20, g % 20, 'v' || g FROM generate_series(0, 399) g;
INSERT INTO plans_l SELECT g, 'l' || g FROM generate_series(1, 10) g;
ANALYZE plans_l;

-- one key
EXPLAIN (COSTS OFF) SELECT * FROM plans_t WHERE id = 5;
EXPLAIN (COSTS OFF) SELECT v FROM plans_t WHERE 5 = id AND grp > 2;
EXPLAIN (COSTS OFF) SELECT * FROM plans_t WHERE id = 5::bigint;
EXPLAIN (COSTS OFF) SELECT * FROM plans_t WHERE id = (SELECT 5);
EXPLAIN (COSTS OFF, VERBOSE) SELECT v FROM plans_t WHERE id = 5;

-- a parameter, in a plan made once
PREPARE plans_get(int) AS SELECT v FROM plans_t WHERE id = $1;
PREPARE plans_many(int[]) AS SELECT v FROM plans_t WHERE id = ANY ($1);
PREPARE plans_filter(int) AS SELECT count(*) FROM plans_t WHERE grp = $1;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE plans_get(5);
EXPLAIN (COSTS OFF) EXECUTE plans_many('{1,2,3}');
EXPLAIN (COSTS OFF) EXECUTE plans_filter(3);
EXECUTE plans_get(5);
EXECUTE plans_filter(3);
RESET plan_cache_mode;

-- lists of keys
EXPLAIN (COSTS OFF) SELECT * FROM plans_t WHERE id IN (1, 2, 3);
EXPLAIN (COSTS OFF) SELECT * FROM plans_t WHERE id = ANY (ARRAY(SELECT id FROM plans_l));
SELECT count(*) FROM plans_t WHERE id = ANY (ARRAY(SELECT id FROM plans_l));
-- doubles in a list give a row once
SELECT id FROM plans_t WHERE id IN (7, 7, 7);
SELECT id FROM plans_t WHERE id = ANY ('{7,NULL,8,7}') ORDER BY id;

-- a key of two columns
EXPLAIN (COSTS OFF) SELECT * FROM plans_c WHERE tenant = 3 AND seq = 4;
EXPLAIN (COSTS OFF) SELECT * FROM plans_c WHERE tenant = 3;
EXPLAIN (COSTS OFF) SELECT * FROM plans_c WHERE seq = 4;
SELECT count(*) FROM plans_c WHERE tenant = 3;

-- conditions judged by the nodes, and those that only PostgreSQL can judge
EXPLAIN (COSTS OFF) SELECT * FROM plans_t WHERE grp = 3 AND v = 'v13';
EXPLAIN (COSTS OFF) SELECT * FROM plans_t WHERE grp = 3 OR v IS NULL;
EXPLAIN (COSTS OFF) SELECT * FROM plans_t WHERE grp IN (1, 2) AND NOT (v = 'v11');
EXPLAIN (COSTS OFF) SELECT * FROM plans_t WHERE v LIKE '%3' AND grp = 3;
EXPLAIN (COSTS OFF) SELECT * FROM plans_t WHERE length(v) = 3;
EXPLAIN (COSTS OFF) SELECT * FROM plans_t WHERE random() < 2 AND id > 990;
SELECT count(*) FROM plans_t WHERE grp = 3 AND v = 'v13';
SELECT count(*) FROM plans_t WHERE grp = 3 OR v IS NULL;
SELECT count(*) FROM plans_t WHERE grp IN (1, 2) AND NOT (v = 'v11');
SELECT count(*) FROM plans_t WHERE v LIKE '%3' AND grp = 3;

-- limit and count
EXPLAIN (COSTS OFF) SELECT * FROM plans_t LIMIT 3;
EXPLAIN (COSTS OFF) SELECT count(*) FROM plans_t;
SELECT count(*) FROM (SELECT * FROM plans_t LIMIT 3) s;
SELECT count(*) FROM (SELECT * FROM plans_t WHERE v LIKE '%9' LIMIT 30) s;

-- joins
SELECT count(*), min(t.v), max(l.label) FROM plans_l l JOIN plans_t t ON t.id = l.id;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
EXPLAIN (COSTS OFF) SELECT * FROM plans_l l JOIN plans_t t ON t.id = l.id;
SELECT count(*), min(t.v), max(l.label) FROM plans_l l JOIN plans_t t ON t.id = l.id;
RESET enable_hashjoin;
RESET enable_mergejoin;

-- writes
EXPLAIN (COSTS OFF) INSERT INTO plans_t VALUES (1001);
EXPLAIN (COSTS OFF) UPDATE plans_t SET v = 'x' WHERE id = 5;
EXPLAIN (COSTS OFF) DELETE FROM plans_t WHERE grp = 3;
SELECT count(*) FROM plans_t;

-- the work done is shown
CREATE FUNCTION pg_temp.explain_lines(q text, pattern text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || q LOOP
		IF line ~* pattern THEN
			RETURN NEXT trim(regexp_replace(line, '\d+', 'N', 'g'));
		END IF;
	END LOOP;
END $$;
-- a node without a lease for a moment makes the reader ask another one, too: a second line like the first
SELECT DISTINCT * FROM pg_temp.explain_lines('SELECT v FROM plans_t WHERE id = 5', 'doris|request|rows|key') ORDER BY 1;
SELECT count(*) > 0 AS work_shown FROM pg_temp.explain_lines('SELECT * FROM plans_t', 'requests');

DROP FOREIGN TABLE plans_t, plans_c;
SELECT count(doris_drop_namespace(name)) FROM doris_namespaces WHERE name LIKE 'plans\_%';
