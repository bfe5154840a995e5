-- ORDER BY the key from the nodes' own order, in both directions, and LIMIT told to the scan; and where neither is done.
SET client_min_messages = warning;
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'order\_%';
CREATE TYPE order_enum AS ENUM ('z', 'm', 'a');
CREATE FOREIGN TABLE order_t (id int, grp int, v text) SERVER doris OPTIONS (key 'id');
CREATE FOREIGN TABLE order_c (tenant int, day date, seq int, v text) SERVER doris
	OPTIONS (key 'tenant,day,seq', distribute_by 'tenant');
CREATE FOREIGN TABLE order_s (c text COLLATE "C", l text COLLATE "en-x-icu", n numeric, v int) SERVER doris OPTIONS (key 'c,l,n');
INSERT INTO order_t SELECT g, g % 10, 'v' || g FROM generate_series(-1000, 1000) g;
INSERT INTO order_c SELECT t, date '2024-01-01' + d, s, t || ' ' || d || ' ' || s
	FROM generate_series(1, 5) t, generate_series(0, 9) d, generate_series(1, 10) s;
INSERT INTO order_s SELECT chr(60 + g % 70), chr(130 - g % 70), g * 1.50, g FROM generate_series(1, 500) g;
ANALYZE order_t, order_c, order_s;

-- what a query gives, compared with the same sorted here; without a sort, where there is another way
CREATE FUNCTION pg_temp.same(q text) RETURNS text LANGUAGE plpgsql SET enable_sort = off AS $$
DECLARE
	given text;
	sorted text;
	line text;
	ordered text := 'sorted here';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || q LOOP
		IF line ~ '^ *Order: ' THEN
			ordered := trim(line);
		END IF;
	END LOOP;
	EXECUTE 'SELECT string_agg(s::text, '';'') FROM (' || q || ') s' INTO given;
	/* a materialized copy has no order to use */
	EXECUTE 'WITH order_t AS MATERIALIZED (SELECT * FROM order_t), order_c AS MATERIALIZED (SELECT * FROM order_c), '
		'order_s AS MATERIALIZED (SELECT * FROM order_s) SELECT string_agg(s::text, '';'') FROM (' || q || ') s' INTO sorted;
	RETURN ordered || CASE WHEN given IS NOT DISTINCT FROM sorted THEN ', the same' ELSE ', NOT THE SAME: ' || given END;
END $$;

-- the whole key, both ways
EXPLAIN (COSTS OFF) SELECT * FROM order_t ORDER BY id;
EXPLAIN (COSTS OFF) SELECT * FROM order_t ORDER BY id DESC;
SELECT pg_temp.same('SELECT * FROM order_t ORDER BY id');
SELECT pg_temp.same('SELECT * FROM order_t ORDER BY id DESC');
-- keys are never NULL
SELECT pg_temp.same('SELECT id FROM order_t ORDER BY id NULLS FIRST');
SELECT pg_temp.same('SELECT id FROM order_t ORDER BY id DESC NULLS LAST');
-- what stands behind the whole key changes nothing
SELECT pg_temp.same('SELECT * FROM order_t ORDER BY id, v DESC, grp');
SELECT pg_temp.same('SELECT tenant, day, seq FROM order_c ORDER BY tenant, day, seq');
SELECT pg_temp.same('SELECT tenant, day, seq FROM order_c ORDER BY tenant DESC, day DESC, seq DESC, v');
-- a leading part of it; what is left to sort is sorted here, part by part
SELECT pg_temp.same('SELECT day FROM order_c WHERE tenant = 3 ORDER BY day');
EXPLAIN (COSTS OFF) SELECT * FROM order_c ORDER BY tenant, v LIMIT 5;
SELECT pg_temp.same('SELECT * FROM order_c ORDER BY tenant, v LIMIT 5');
-- behind columns that are bound; a bound one in the middle
EXPLAIN (COSTS OFF) SELECT v FROM order_c WHERE tenant = 3 ORDER BY day DESC, seq DESC;
SELECT pg_temp.same('SELECT * FROM order_c WHERE tenant = 3 ORDER BY day, seq');
SELECT pg_temp.same('SELECT * FROM order_c WHERE tenant = 3 ORDER BY day DESC, seq DESC');
SELECT pg_temp.same('SELECT * FROM order_c WHERE tenant = 3 AND day = ''2024-01-04'' ORDER BY seq DESC');
SELECT pg_temp.same('SELECT * FROM order_c WHERE day = ''2024-01-04'' ORDER BY tenant, seq');
SELECT pg_temp.same('SELECT * FROM order_c WHERE day = ''2024-01-04'' AND seq > 5 ORDER BY tenant DESC, seq DESC');
SELECT pg_temp.same('SELECT * FROM order_c WHERE tenant = 3 AND day > ''2024-01-04'' ORDER BY day, seq');
-- filters here and there do no harm
SELECT pg_temp.same('SELECT * FROM order_t WHERE grp = 3 ORDER BY id DESC');
SELECT pg_temp.same('SELECT * FROM order_t WHERE length(v) = 4 AND grp <> 3 ORDER BY id');
-- a list of keys comes in their order
EXPLAIN (COSTS OFF) SELECT v FROM order_t WHERE id IN (5, -3, 9, 5) ORDER BY id DESC;
SELECT v FROM order_t WHERE id IN (5, -3, 9, 5) ORDER BY id DESC;
SELECT v FROM order_t WHERE id IN (5, -3, 9, 5) ORDER BY id;
SELECT pg_temp.same('SELECT * FROM order_c WHERE tenant IN (1, 4) AND day = ''2024-01-02'' AND seq IN (3, 1, 2) ORDER BY tenant DESC, seq DESC');
-- strings: the collation of the order counts, not that of the column
SELECT pg_temp.same('SELECT * FROM order_s ORDER BY c, l COLLATE "C", n');
SELECT pg_temp.same('SELECT * FROM order_s ORDER BY c DESC, l COLLATE "C" DESC, n DESC');
EXPLAIN (COSTS OFF) SELECT * FROM order_s ORDER BY c, l;
EXPLAIN (COSTS OFF) SELECT * FROM order_s ORDER BY c COLLATE "en-x-icu";

-- not from the nodes: other columns, another order of columns, mixed directions, expressions, other operators
EXPLAIN (COSTS OFF) SELECT * FROM order_t ORDER BY grp;
EXPLAIN (COSTS OFF) SELECT * FROM order_c ORDER BY seq, tenant;
EXPLAIN (COSTS OFF) SELECT * FROM order_t ORDER BY -id;
EXPLAIN (COSTS OFF) SELECT * FROM order_s ORDER BY c USING ~<~;
SELECT pg_temp.same('SELECT * FROM order_c WHERE tenant = 2 ORDER BY day, seq DESC');
SELECT pg_temp.same('SELECT * FROM order_c WHERE tenant = 2 ORDER BY seq, day');

-- what else uses an order
EXPLAIN (COSTS OFF) SELECT DISTINCT ON (tenant) * FROM order_c ORDER BY tenant, day DESC;
EXPLAIN (COSTS OFF) SELECT max(id) FROM order_t WHERE length(v) > 1;
SELECT max(id), min(id) FROM order_t WHERE length(v) > 1;
SET enable_hashjoin = off;
SET enable_nestloop = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM order_t a JOIN order_t b USING (id);
SELECT count(*), sum(id) FROM order_t a JOIN order_t b USING (id);
RESET enable_hashjoin;
RESET enable_nestloop;
EXPLAIN (COSTS OFF) SELECT id, row_number() OVER (ORDER BY id) FROM order_t LIMIT 3;
SELECT id, row_number() OVER (ORDER BY id) FROM order_t LIMIT 3;
-- for each outer row the newest of its tenant
EXPLAIN (COSTS OFF) SELECT o.t, s.v FROM (VALUES (1), (2)) o(t), LATERAL (SELECT v FROM order_c c WHERE c.tenant = o.t ORDER BY day DESC, seq DESC LIMIT 2) s;
SELECT o.t, s.v FROM (VALUES (1), (2), (9)) o(t), LATERAL (SELECT v FROM order_c c WHERE c.tenant = o.t ORDER BY day DESC, seq DESC LIMIT 2) s;

-- LIMIT and OFFSET are told to the scan
EXPLAIN (COSTS OFF) SELECT * FROM order_t ORDER BY id LIMIT 3;
EXPLAIN (COSTS OFF) SELECT * FROM order_t WHERE grp = 3 LIMIT 3 OFFSET 2;
EXPLAIN (COSTS OFF) SELECT id + 1 FROM order_t ORDER BY id DESC LIMIT (SELECT 2);
SELECT id + 1 FROM order_t ORDER BY id DESC LIMIT (SELECT 2);
SELECT * FROM order_t WHERE grp = 3 ORDER BY id LIMIT 3 OFFSET 2;
SELECT id FROM order_t ORDER BY id LIMIT NULL OFFSET 1999;
SELECT id FROM order_t ORDER BY id OFFSET 1999;
SELECT id FROM order_t ORDER BY id LIMIT 0;
SELECT id FROM order_t ORDER BY id LIMIT -1;
PREPARE order_page(int, int) AS SELECT id FROM order_t WHERE grp = 7 ORDER BY id LIMIT $1 OFFSET $2;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE order_page(2, 3);
EXECUTE order_page(2, 3);
EXECUTE order_page(NULL, 199);
EXECUTE order_page(1, NULL);
RESET plan_cache_mode;
-- where a row may be dropped in between, it is not
EXPLAIN (COSTS OFF) SELECT * FROM order_t WHERE length(v) = 3 ORDER BY id LIMIT 3;
EXPLAIN (COSTS OFF) SELECT * FROM order_c ORDER BY tenant FETCH FIRST 3 ROWS WITH TIES;
EXPLAIN (COSTS OFF) SELECT * FROM order_t ORDER BY id LIMIT 3 FOR UPDATE;
EXPLAIN (COSTS OFF) SELECT * FROM order_t ORDER BY grp LIMIT 3;
EXPLAIN (COSTS OFF) SELECT count(*) FROM order_t WHERE length(v) > 3 LIMIT 1;
EXPLAIN (COSTS OFF) SELECT id FROM order_t ORDER BY id LIMIT random() * 3;
EXPLAIN (COSTS OFF) SELECT DISTINCT tenant FROM order_c ORDER BY tenant LIMIT 2;
SELECT DISTINCT tenant FROM order_c ORDER BY tenant LIMIT 2;

-- rows that a limit does not need are not sent, told or not
CREATE FUNCTION pg_temp.rows_sent(q text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	line text;
	n int := 0;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || q LOOP
		IF line ~ 'Node .*rows=' THEN
			n := n + substring(line FROM 'Node .* rows=(\d+)')::int;
		END IF;
	END LOOP;
	RETURN n;
END $$;
SELECT pg_temp.rows_sent('SELECT v FROM order_c WHERE tenant = 1 ORDER BY day DESC, seq DESC LIMIT 7') AS seven,
	pg_temp.rows_sent('SELECT v FROM order_c WHERE tenant = 1 AND seq > 4 LIMIT 5 OFFSET 2') AS seven_too,
	pg_temp.rows_sent('SELECT * FROM order_t ORDER BY id LIMIT 10') BETWEEN 10 AND 40 AS few,
	pg_temp.rows_sent('SELECT * FROM order_t WHERE v LIKE ''%1'' ORDER BY id LIMIT 3') BETWEEN 3 AND 500 AS some,
	pg_temp.rows_sent('SELECT * FROM order_t') AS all_rows;

-- a transaction's own rows come in their places
BEGIN;
INSERT INTO order_t SELECT g, -1, 'new' FROM generate_series(1001, 1003) g;
INSERT INTO order_t SELECT g, -1, 'new' FROM generate_series(-1003, -1001) g;
UPDATE order_t SET v = 'changed' WHERE id IN (-1000, 0, 5, 1000);
DELETE FROM order_t WHERE id IN (-999, 1, 999);
SELECT pg_temp.same('SELECT * FROM order_t ORDER BY id');
SELECT pg_temp.same('SELECT * FROM order_t ORDER BY id DESC');
SELECT pg_temp.same('SELECT * FROM order_t WHERE id BETWEEN -5 AND 5 ORDER BY id DESC');
SELECT pg_temp.same('SELECT * FROM order_t WHERE v <> ''changed'' AND id < 1002 ORDER BY id DESC');
SELECT id, v FROM order_t ORDER BY id LIMIT 6;
SELECT id, v FROM order_t ORDER BY id DESC LIMIT 6 OFFSET 1;
SELECT id, v FROM order_t WHERE id IN (1, 0, 1003, 999, 6) ORDER BY id DESC;
-- a scan does not see what its own command writes, and one that is open stays as it was
DECLARE order_cursor CURSOR FOR SELECT id, v FROM order_t ORDER BY id DESC;
FETCH 2 FROM order_cursor;
INSERT INTO order_t VALUES (995000, 0, 'later'), (500, 0, 'never') ON CONFLICT DO NOTHING;
UPDATE order_t SET v = 'later' WHERE id = 1001;
FETCH 3 FROM order_cursor;
CLOSE order_cursor;
SAVEPOINT s;
TRUNCATE order_t;
INSERT INTO order_t SELECT g, 0, 'only' FROM generate_series(5, 1, -1) g;
SELECT id, v FROM order_t ORDER BY id;
SELECT id, v FROM order_t ORDER BY id DESC LIMIT 2;
ROLLBACK TO s;
SELECT id, v FROM order_t ORDER BY id DESC LIMIT 3;
ROLLBACK;
-- many of them, so that their keys are sorted on disk
BEGIN;
SET LOCAL work_mem = '64kB';
INSERT INTO order_t SELECT g * 7, 1, 'many' FROM generate_series(20000, 200, -1) g;
SELECT count(*), bool_and(id > before) AS rising FROM (SELECT id, lag(id, 1, -100000) OVER (ORDER BY id) AS before FROM order_t) s;
SELECT id, v FROM order_t ORDER BY id DESC OFFSET 100 LIMIT 2;
ROLLBACK;

-- every type that a key may have: as its own operators sort it, or not from the nodes
DO $$
DECLARE
	r record;
	line text;
	plan text;
	given text;
	sorted text;
	direction text;
BEGIN
	FOR r IN SELECT * FROM (VALUES
		('boolean', 'g % 2 = 0'), ('"char"', 'chr(1 + g % 127)'), ('smallint', 'g * 300 - 30000'), ('integer', '(g - 100) * 12345678 % 2147483647'),
		('bigint', '(g - 100) * 91234567890123456'), ('oid', 'g::bigint * 21474836'), ('money', '(g - 100) * 1234.56'),
		('real', 'CASE g % 7 WHEN 0 THEN ''NaN'' WHEN 1 THEN ''-Infinity'' WHEN 2 THEN ''-0'' ELSE ((g - 100) ^ 5)::text END'),
		('double precision', 'CASE g % 7 WHEN 0 THEN ''NaN'' WHEN 1 THEN ''Infinity'' ELSE ((g - 100) / 7.0)::text END'),
		('numeric', 'CASE g % 9 WHEN 0 THEN ''NaN'' WHEN 1 THEN ''-Infinity'' WHEN 2 THEN ''1e-30'' ELSE ((g - 100) * 10.0 ^ (g % 40 - 20))::text END'),
		('numeric(9,3)', '(g - 100) * 1234.567'),
		('text COLLATE "C"', 'chr(g) || repeat(chr(1 + g % 3), g % 4)'), ('varchar(9) COLLATE "C"', 'chr(330 - g) || g'),
		('char(4) COLLATE "C"', 'chr(33 + g % 60) || CASE WHEN g % 2 = 0 THEN chr(9) ELSE '''' END'), ('name', 'chr(300 - g) || g'),
		('text COLLATE "en-x-icu"', 'chr(60 + g % 60)'),
		('bytea', 'decode(lpad(to_hex(g * 77), (g % 3) * 2 + 4, ''0''), ''hex'')'),
		('uuid', 'md5(g::text)::uuid'), ('macaddr', 'left(md5(g::text), 12)'), ('macaddr8', 'left(md5(g::text), 16)'),
		('date', 'CASE g % 50 WHEN 0 THEN ''infinity'' WHEN 1 THEN ''-infinity'' ELSE (date ''2000-01-01'' + (g - 100) * 999)::text END'),
		('time', 'time ''00:00'' + g * interval ''7 min 3 s'''), ('timetz', '(time ''00:00'' + g * interval ''71 min'')::text || CASE g % 3 WHEN 0 THEN ''+05'' WHEN 1 THEN ''-08:30'' ELSE ''+00'' END'),
		('timestamp', 'timestamp ''2000-01-01'' + (g - 100) * interval ''1 year 3 h'''), ('timestamptz', 'CASE g % 50 WHEN 0 THEN ''-infinity'' ELSE (timestamptz ''2000-01-01'' + (g - 100) * interval ''33 days'')::text END'),
		('interval', '(g - 100) * interval ''1 day 7 h'' + (g % 3) * interval ''1 mon'''),
		('inet', 'CASE WHEN g % 3 = 0 THEN ''::'' || to_hex(g) ELSE ''10.'' || g % 256 || ''.0.1/'' || 8 + g % 25 END'),
		('cidr', 'CASE WHEN g % 3 = 0 THEN ''2001:'' || to_hex(g) || ''::/32'' ELSE ''10.'' || g % 256 || ''.0.0/16'' END'),
		('order_enum', '(ARRAY[''z'', ''a'', ''m''])[1 + g % 3]::order_enum')) v(type, expr)
	LOOP
		EXECUTE format('CREATE FOREIGN TABLE order_k (k %s, g int) SERVER doris OPTIONS (key ''k'')', r.type);
		EXECUTE format('INSERT INTO order_k SELECT DISTINCT ON (k) k, g FROM (SELECT (%s)::%s AS k, g FROM generate_series(1, 200) g) s',
			r.expr, split_part(r.type, ' COLLATE', 1));
		COMMIT;
		SET LOCAL enable_sort = off;
		FOREACH direction IN ARRAY ARRAY['ASC', 'DESC'] LOOP
			plan := 'sorted here';
			FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) SELECT k FROM order_k ORDER BY k ' || direction LOOP
				IF line ~ '^ *Order: ' THEN
					plan := trim(line);
				END IF;
			END LOOP;
			EXECUTE format('SELECT count(*) || '': '' || string_agg(k::text, '';'') FROM (SELECT k FROM order_k ORDER BY k %s) s', direction) INTO given;
			EXECUTE format('WITH c AS MATERIALIZED (SELECT k FROM order_k) SELECT count(*) || '': '' || string_agg(k::text, '';'') FROM (SELECT k FROM c ORDER BY k %s) s', direction) INTO sorted;
			RAISE INFO '%: %, %', r.type, plan, CASE WHEN given = sorted THEN split_part(given, ':', 1) || ' keys' ELSE 'WRONG: ' || given || ' NOT ' || sorted END;
		END LOOP;
		DROP FOREIGN TABLE order_k;
		PERFORM doris_drop_namespace('order_k');
		COMMIT;
	END LOOP;
END $$;

-- partitions that are foreign tables are merged
CREATE TABLE order_p (id int, v text) PARTITION BY RANGE (id);
CREATE FOREIGN TABLE order_p1 PARTITION OF order_p FOR VALUES FROM (0) TO (500) SERVER doris OPTIONS (key 'id');
CREATE TABLE order_p2 (id int, v text);
ALTER TABLE order_p ATTACH PARTITION order_p2 FOR VALUES FROM (500) TO (1000);
INSERT INTO order_p SELECT g, 'v' || g FROM generate_series(0, 999) g;
SELECT id FROM order_p WHERE id BETWEEN 498 AND 501 ORDER BY id DESC;
SELECT count(*), bool_and(id = n - 1) AS in_order FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM order_p) s;
DROP TABLE order_p;

-- children of which each is in order: each is told the limit
CREATE TABLE order_q (id int, v text) PARTITION BY LIST (v);
CREATE FOREIGN TABLE order_q1 PARTITION OF order_q FOR VALUES IN ('a') SERVER doris OPTIONS (key 'id');
CREATE FOREIGN TABLE order_q2 PARTITION OF order_q FOR VALUES IN ('b') SERVER doris OPTIONS (key 'id');
INSERT INTO order_q SELECT g, chr(97 + g % 2) FROM generate_series(0, 199) g;
EXPLAIN (COSTS OFF) SELECT id FROM order_q ORDER BY id LIMIT 3 OFFSET 98;
SELECT id FROM order_q ORDER BY id LIMIT 3 OFFSET 98;
EXPLAIN (COSTS OFF) SELECT id FROM (SELECT id, v FROM order_q1 UNION ALL SELECT id, v FROM order_t) u ORDER BY id LIMIT 3;
SELECT id FROM (SELECT id, v FROM order_q1 UNION ALL SELECT id, v FROM order_t WHERE id > 0) u ORDER BY id LIMIT 4;
EXPLAIN (COSTS OFF) SELECT id FROM order_q WHERE length(v) > 2 ORDER BY id LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM order_q LIMIT 150;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM order_q LIMIT 150) l;
BEGIN;
DELETE FROM order_q WHERE id < 150 AND id > 5;
SELECT id FROM order_q ORDER BY id LIMIT 4 OFFSET 4;
ROLLBACK;
DROP TABLE order_q;

DROP FOREIGN TABLE order_t, order_c, order_s;
DROP TYPE order_enum;
SELECT count(doris_drop_namespace(name)) FROM doris_namespaces WHERE name LIKE 'order\_%';
