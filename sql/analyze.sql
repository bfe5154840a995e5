-- ANALYZE by sampling on the nodes, held against ANALYZE of a local table with the same rows; sizes and conditions as the
-- nodes count them; the cost of a round trip.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'analyze\_%';
CREATE FOREIGN TABLE analyze_t (id int, uniq int, few int, skew int, v text, nil int) SERVER doris OPTIONS (key 'id', write_mode 'direct');
CREATE FOREIGN TABLE analyze_c (tenant int, seq int, v text) SERVER doris OPTIONS (key 'tenant,seq', distribute_by 'tenant', write_mode 'direct');
CREATE TEMP TABLE analyze_l AS SELECT g AS id, (g * 7919::bigint % 1000003)::int AS uniq, g % 50 AS few,
	floor(1000 * (g % 1000 / 1000.0) ^ 4)::int AS skew, 'row ' || g % 3000 AS v, CASE WHEN g % 4 = 0 THEN g END AS nil
	FROM generate_series(1, 200000) g;
INSERT INTO analyze_t SELECT * FROM analyze_l;
INSERT INTO analyze_c SELECT g / 10, g % 10, 'v' || g % 7 FROM generate_series(0, 49999) g;

-- live rows, and the size as the nodes count it
ANALYZE analyze_t, analyze_l, analyze_c;
SELECT relname, CASE WHEN reltuples = 200000 THEN 'exact' ELSE reltuples::text END AS rows, relpages > 500 AS pages FROM pg_class WHERE oid = 'analyze_t'::regclass;

-- as good as the local table's, within the tolerances of two samples of 30000 rows
SELECT f.attname, abs(f.null_frac - l.null_frac) < 0.02 AS nulls, abs(f.avg_width - l.avg_width) <= 1 AS width,
	-- distinct values, as a number of rows
	abs(ln(abs(CASE WHEN f.n_distinct < 0 THEN f.n_distinct * 200000 ELSE f.n_distinct END) / abs(CASE WHEN l.n_distinct < 0 THEN l.n_distinct * 200000 ELSE l.n_distinct END))) < 0.1 AS n_distinct,
	(f.most_common_vals IS NULL) = (l.most_common_vals IS NULL) OR f.attname = 'v' AS mcv, (f.histogram_bounds IS NULL) = (l.histogram_bounds IS NULL) AS histogram
	FROM pg_stats f JOIN pg_stats l USING (attname) WHERE f.tablename = 'analyze_t' AND l.tablename = 'analyze_l' ORDER BY 1;
-- the most common value and its frequency
SELECT f.attname, (f.most_common_vals::text::text[])[1] = (l.most_common_vals::text::text[])[1] AS value, abs(f.most_common_freqs[1] - l.most_common_freqs[1]) < 0.02 AS frequency
	FROM pg_stats f JOIN pg_stats l USING (attname) WHERE f.tablename = 'analyze_t' AND l.tablename = 'analyze_l' AND f.attname = 'skew';
-- histograms: no bound is further from where it belongs than 2 % of the rows (Kolmogorov's distance of the sample would be below 1 %)
SELECT f.attname, array_length(b.bounds, 1) AS bounds, max(abs(h.n::float8 / (array_length(b.bounds, 1) - 1) - (h.bound / 200000.0))) < 0.02 AS even
	FROM pg_stats f, LATERAL (SELECT f.histogram_bounds::text::int[] AS bounds) b, LATERAL (SELECT bound, n - 1 AS n FROM unnest(b.bounds) WITH ORDINALITY u(bound, n)) h
	WHERE f.tablename = 'analyze_t' AND f.attname = 'id' GROUP BY 1, 2;
-- rows that live together are all looked at, and the number of groups is found
SELECT attname, CASE WHEN n_distinct < 0 THEN n_distinct * -50000 ELSE n_distinct END BETWEEN 4700 AND 5300 AS groups FROM pg_stats WHERE tablename = 'analyze_c' AND attname = 'tenant';

-- targets: fewer rows in the sample, from fewer vnodes; the number of rows stays about right
SET default_statistics_target = 2;
SET client_min_messages = info;
\set VERBOSITY terse
DO $$
DECLARE
	n float8;
BEGIN
	FOR i IN 1..20 LOOP
		ANALYZE analyze_t;
		SELECT reltuples INTO n FROM pg_class WHERE oid = 'analyze_t'::regclass;
		IF n NOT BETWEEN 180000 AND 220000 THEN
			RAISE INFO 'estimated % rows', n;
		END IF;
	END LOOP;
END $$;
SET client_min_messages = warning;
SELECT array_length(histogram_bounds, 1) AS bounds FROM pg_stats WHERE tablename = 'analyze_t' AND attname = 'id';
RESET default_statistics_target;
ALTER FOREIGN TABLE analyze_t ALTER id SET STATISTICS 20, ALTER uniq SET STATISTICS 0;
ANALYZE analyze_t;
SELECT attname, array_length(histogram_bounds, 1) AS bounds FROM pg_stats WHERE tablename = 'analyze_t' AND attname IN ('id', 'v') ORDER BY 1;
ANALYZE analyze_t (few);
SELECT n_distinct FROM pg_stats WHERE tablename = 'analyze_t' AND attname = 'few';

-- little travels: about the sample, of 200000 rows
CREATE TEMP TABLE before AS SELECT sum(rows) AS rows FROM doris_fdw_stats;
SET default_statistics_target = 10;
ALTER FOREIGN TABLE analyze_t ALTER id SET STATISTICS -1;
ANALYZE analyze_t;
RESET default_statistics_target;
SELECT sum(s.rows) - b.rows BETWEEN 3000 AND 4500 AS sample FROM doris_fdw_stats s, before b GROUP BY b.rows;
-- an empty table, and one that was emptied: the counters of another namespace do not matter
CREATE FOREIGN TABLE analyze_e (id int, v text) SERVER doris OPTIONS (key 'id');
ANALYZE analyze_e;
SELECT reltuples FROM pg_class WHERE oid = 'analyze_e'::regclass;
INSERT INTO analyze_e VALUES (1, 'one');
ANALYZE analyze_e;
SELECT reltuples FROM pg_class WHERE oid = 'analyze_e'::regclass;
SELECT most_common_vals, n_distinct FROM pg_stats WHERE tablename = 'analyze_e' ORDER BY attname;
-- a partition
CREATE TABLE analyze_p (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE analyze_p1 PARTITION OF analyze_p FOR VALUES FROM (100) TO (200);
ALTER TABLE analyze_p ATTACH PARTITION analyze_e FOR VALUES FROM (0) TO (100);
INSERT INTO analyze_p1 SELECT g, 'p' FROM generate_series(100, 120) g;
ANALYZE analyze_p;
SELECT tablename, inherited, count(*) FROM pg_stats WHERE tablename LIKE 'analyze\_p' GROUP BY 1, 2 ORDER BY 1, 2;

-- how many rows the planner expects: from a plan
CREATE FUNCTION pg_temp.expected(q text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || q INTO plan;
	RETURN (plan->0->'Plan'->>'Plan Rows')::float8;
END $$;
-- without ANALYZE: the size as the nodes count it
CREATE FOREIGN TABLE analyze_n (id int, uniq int, few int, skew int, v text, nil int) SERVER doris OPTIONS (key 'id', namespace 'analyze_t');
SELECT pg_temp.expected('SELECT * FROM analyze_n') BETWEEN 180000 AND 220000 AS size;
-- conditions: a guess, but where the nodes are asked
SELECT pg_temp.expected('SELECT * FROM analyze_n WHERE skew = 0') < 2000 AS guess;
ALTER FOREIGN TABLE analyze_n OPTIONS (ADD use_remote_estimate 'true');
SELECT q, expected BETWEEN actual * 0.7 AND actual * 1.4 AS right FROM (VALUES
	('skew = 0', (SELECT count(*) FROM analyze_l WHERE skew = 0)),
	('skew > 500 AND few < 25', (SELECT count(*) FROM analyze_l WHERE skew > 500 AND few < 25)),
	('nil IS NULL', (SELECT count(*) FROM analyze_l WHERE nil IS NULL)),
	('id BETWEEN 1000 AND 20000', 19001),
	('id BETWEEN 1000 AND 20000 AND few = 7', 380)) v(q, actual), pg_temp.expected('SELECT * FROM analyze_n WHERE ' || q) expected;
SELECT pg_temp.expected('SELECT * FROM analyze_n WHERE few = 51') <= 1 AS none;
-- what PostgreSQL judges itself is guessed on top
SELECT pg_temp.expected('SELECT * FROM analyze_n WHERE skew = 0 AND length(v) = 3') < pg_temp.expected('SELECT * FROM analyze_n WHERE skew = 0') AS local;
-- a parameter that is known, and one that is not
PREPARE analyze_skew(int) AS SELECT * FROM analyze_n WHERE skew = $1;
SET plan_cache_mode = force_custom_plan;
SELECT pg_temp.expected('EXECUTE analyze_skew(0)') > 10000 AS known;
SET plan_cache_mode = force_generic_plan;
SELECT pg_temp.expected('EXECUTE analyze_skew(0)') < 2000 AS unknown;
RESET plan_cache_mode;
-- one tenant's vnode is asked, and nobody else
ALTER FOREIGN TABLE analyze_c OPTIONS (ADD use_remote_estimate 'on');
SELECT pg_temp.expected('SELECT * FROM analyze_c WHERE tenant = 77') AS rows, pg_temp.expected('SELECT * FROM analyze_c WHERE tenant = 77 AND seq < 4') AS some,
	pg_temp.expected('SELECT * FROM analyze_c WHERE tenant = -1') AS none;
ALTER FOREIGN TABLE analyze_c OPTIONS (SET use_remote_estimate 'perhaps');

-- a round trip: measured, or as one says
CREATE FUNCTION pg_temp.cost(q text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || q INTO plan;
	RETURN (plan->0->'Plan'->>'Startup Cost')::float8;
END $$;
\set ECHO none
SELECT 'CREATE SERVER analyze_s FOREIGN DATA WRAPPER doris_fdw OPTIONS (' ||
	(SELECT string_agg(option_name || ' ' || quote_literal(option_value), ', ') FROM pg_foreign_server, pg_options_to_table(srvoptions)
	WHERE srvname = 'doris' AND option_name IN ('hosts', 'key_file')) || ')' \gexec
\set ECHO all
CREATE USER MAPPING FOR PUBLIC SERVER analyze_s;
CREATE FOREIGN TABLE analyze_r (id int, v text) SERVER analyze_s OPTIONS (key 'id', namespace 'analyze_t');
SELECT count(pg_temp.cost('SELECT * FROM analyze_r WHERE id = ' || g)) FROM generate_series(1, 10) g;
DO $$
DECLARE
	v text;
BEGIN
	FOR i IN 1..80 LOOP
		EXECUTE 'SELECT v FROM analyze_r WHERE id = ' || i INTO v;
	END LOOP;
END $$;
-- a power of two, and near what doris_fdw_stats shows
SELECT log(2, (c / 10)::numeric) = round(log(2, (c / 10)::numeric)) AS step, c BETWEEN 10 * t / 0.1 / 2.1 AND 10 * t / 0.1 * 2.1 AS near
	FROM pg_temp.cost('SELECT * FROM analyze_r WHERE id = 1') c, (SELECT avg(round_trip_ms) AS t FROM doris_fdw_stats WHERE server = 'analyze_s' AND round_trip_ms IS NOT NULL) s;
-- in local tuples
CREATE TEMP TABLE costs AS SELECT pg_temp.cost('SELECT * FROM analyze_r WHERE id = 1') AS c;
SET cpu_tuple_cost = 0.02;
SELECT round(pg_temp.cost('SELECT * FROM analyze_r WHERE id = 1') / c) AS twice FROM costs;
RESET cpu_tuple_cost;
ALTER SERVER analyze_s OPTIONS (ADD round_trip_cost '7.5');
SELECT pg_temp.cost('SELECT * FROM analyze_r WHERE id = 1');
ALTER SERVER analyze_s OPTIONS (SET round_trip_cost '-1');
ALTER SERVER analyze_s OPTIONS (SET round_trip_cost 'cheap');
DROP FOREIGN TABLE analyze_r;
DROP USER MAPPING FOR PUBLIC SERVER analyze_s;
DROP SERVER analyze_s;

DROP TABLE analyze_p;
DROP FOREIGN TABLE analyze_t, analyze_c, analyze_n;
SELECT count(doris_drop_namespace(name)) FROM doris_namespaces WHERE name LIKE 'analyze\_%';
