-- Ranges of keys: comparisons, row-wise ones, BETWEEN, how a string begins; with constants and parameters; and what is judged here.
SET client_min_messages = warning;
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'ranges\_%';
CREATE FOREIGN TABLE ranges_i (id int, v text) SERVER doris OPTIONS (key 'id');
CREATE FOREIGN TABLE ranges_c (a int, b smallint, c text COLLATE "C", v int) SERVER doris OPTIONS (key 'a,b,c', distribute_by 'a');
CREATE FOREIGN TABLE ranges_s (k text COLLATE "C", v text COLLATE "C", w text COLLATE "en-x-icu") SERVER doris OPTIONS (key 'k');
CREATE FOREIGN TABLE ranges_u (k text COLLATE "en-x-icu", p char(6)) SERVER doris OPTIONS (key 'k');
CREATE FOREIGN TABLE ranges_p (k char(6), v int) SERVER doris OPTIONS (key 'k');
CREATE FOREIGN TABLE ranges_b (k bytea, v int) SERVER doris OPTIONS (key 'k');
INSERT INTO ranges_i SELECT g, 'v' || g FROM generate_series(-500, 500) g;
INSERT INTO ranges_i VALUES (2147483647, 'max'), (-2147483648, 'min');
INSERT INTO ranges_c SELECT a, b, chr(96 + c) || c, a * 100 + b * 10 + c FROM generate_series(1, 6) a, generate_series(1, 6) b, generate_series(1, 6) c;
INSERT INTO ranges_s SELECT k, k, k FROM (SELECT unnest(ARRAY['', 'a', 'ab', 'abc', 'aBc', 'ab%', 'ab%d', 'ab_', 'a\b', 'b', 'ba', 'Ab', 'é', 'éa', E'ab\tc', 'ab c', chr(1114111), chr(1114111) || 'x'])
	UNION SELECT 'k' || g FROM generate_series(1, 300) g) s(k);
INSERT INTO ranges_u SELECT k, left(v, 6) FROM ranges_s;
INSERT INTO ranges_p SELECT DISTINCT left(k, 6)::char(6), 1 FROM ranges_s;
INSERT INTO ranges_b SELECT k, 1 FROM unnest(ARRAY['\x', '\x00', '\x0001', '\x0000', '\x00ff', '\xff', '\xffff', '\xff00', '\xfe', '\x61', '\x6162', '\x615f']::bytea[]) k;
ANALYZE ranges_i, ranges_c, ranges_s, ranges_u, ranges_p, ranges_b;

-- the access of a query, and whether it gives what a copy of the table gives
CREATE FUNCTION pg_temp.check(t text, cond text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	given text;
	wanted text;
	line text;
	plan text := '';
BEGIN
	FOR line IN EXECUTE format('EXPLAIN (COSTS OFF) SELECT * FROM %s WHERE %s', t, cond) LOOP
		IF line ~ '^ *(Access|Key Cond|Node Filter|Filter): ' THEN
			plan := plan || '; ' || trim(line);
		END IF;
	END LOOP;
	EXECUTE format('SELECT count(*) || '' '' || md5(string_agg(s::text, '';'' ORDER BY s::text COLLATE "C")) FROM %s s WHERE %s', t, cond) INTO given;
	EXECUTE format('WITH %1$s AS MATERIALIZED (SELECT * FROM %1$s) SELECT count(*) || '' '' || md5(string_agg(s::text, '';'' ORDER BY s::text COLLATE "C")) FROM %1$s s WHERE %2$s',
		t, cond) INTO wanted;
	RETURN coalesce(split_part(given, ' ', 1), '0') || ' rows' || CASE WHEN given IS DISTINCT FROM wanted THEN ', BUT ' || split_part(wanted, ' ', 1) ELSE '' END || plan;
END $$;

-- one column: several bounds, all of them hold
SELECT pg_temp.check('ranges_i', 'id BETWEEN 10 AND 20');
SELECT pg_temp.check('ranges_i', 'id > 10 AND id >= 15 AND id < 30 AND id <= 20 AND 18 > id');
SELECT pg_temp.check('ranges_i', 'id > 20 AND id < 10');
SELECT pg_temp.check('ranges_i', 'id BETWEEN SYMMETRIC 20 AND 10');
SELECT pg_temp.check('ranges_i', 'id > NULL::int');
-- at the ends of the type, and beyond them
SELECT pg_temp.check('ranges_i', 'id > 2147483647');
SELECT pg_temp.check('ranges_i', 'id >= 2147483647');
SELECT pg_temp.check('ranges_i', 'id <= 2147483647');
SELECT pg_temp.check('ranges_i', 'id < -2147483648');
SELECT pg_temp.check('ranges_i', 'id <= -2147483648');
SELECT pg_temp.check('ranges_i', 'id > 3000000000');
SELECT pg_temp.check('ranges_i', 'id < 3000000000');
SELECT pg_temp.check('ranges_i', 'id < -3000000000 OR id > 400');

-- a key of several columns
SELECT pg_temp.check('ranges_c', '(a, b, c) = (2, 3, ''a1'')');
SELECT pg_temp.check('ranges_c', '(a, b) = (2, 3)');
SELECT pg_temp.check('ranges_c', '(a, b, c) IN ((2, 3, ''a1''), (5, 1, ''f6''))');
SELECT pg_temp.check('ranges_c', 'a = 2 AND b = 3 AND c IN (''a1'', ''c3'', ''x'')');
SELECT pg_temp.check('ranges_c', 'a = 2 AND b IN (3, 5) AND c > ''b''');
SELECT pg_temp.check('ranges_c', 'a = 2 AND b BETWEEN 2 AND 4 AND c > ''c''');
SELECT pg_temp.check('ranges_c', 'a = 2 AND b = 4 AND c > ''c'' AND c < ''e''');
-- row by row: in the key's order
SELECT pg_temp.check('ranges_c', '(a, b, c) > (3, 2, ''c3'')');
SELECT pg_temp.check('ranges_c', '(a, b, c) >= (3, 2, ''c3'')');
SELECT pg_temp.check('ranges_c', '(a, b, c) < (3, 2, ''c3'')');
SELECT pg_temp.check('ranges_c', '(a, b, c) <= (3, 2, ''c3'')');
SELECT pg_temp.check('ranges_c', '(3, 2, ''c3'') > (a, b, c)');
SELECT pg_temp.check('ranges_c', '(a, b) > (3, 2)');
SELECT pg_temp.check('ranges_c', '(a, b) <= (3, 2)');
SELECT pg_temp.check('ranges_c', 'a = 4 AND (b, c) > (3, ''c'') AND (b, c) < (5, ''d'')');
SELECT pg_temp.check('ranges_c', 'a = 4 AND (b, c) >= (3, ''c3'') AND b < 5');
-- values outside of a column's type, and NULL behind columns that decide
SELECT pg_temp.check('ranges_c', '(a, b) > (3, 100000)');
SELECT pg_temp.check('ranges_c', '(a, b) < (3, 100000)');
SELECT pg_temp.check('ranges_c', '(a, b) >= (3, -100000)');
SELECT pg_temp.check('ranges_c', '(a, b) < (3, -100000)');
SELECT pg_temp.check('ranges_c', '(a, b) > (3, NULL::smallint)');
SELECT pg_temp.check('ranges_c', '(a, b) <= (3, NULL::smallint)');
SELECT pg_temp.check('ranges_c', '(a, b) > (NULL::int, 3)');
SELECT pg_temp.check('ranges_c', '(a, b) > (5000000000, 3)');
-- only the first ones are in the key's order: these bound, all are judged here
SELECT pg_temp.check('ranges_c', '(a, b, v) > (3, 2, 325)');
SELECT pg_temp.check('ranges_c', '(a, c) < (3, ''c3'')');
SELECT pg_temp.check('ranges_c', '(b, a) > (3, 2)');
SELECT pg_temp.check('ranges_c', '(a, b) > (3, v)');

-- how a string begins, in the key
SELECT pg_temp.check('ranges_s', 'k LIKE ''ab%''');
SELECT pg_temp.check('ranges_s', 'k LIKE ''ab''');
SELECT pg_temp.check('ranges_s', 'k LIKE ''ab\%%''');
SELECT pg_temp.check('ranges_s', 'k LIKE ''ab\%''');
SELECT pg_temp.check('ranges_s', 'k LIKE ''a\\b%''');
SELECT pg_temp.check('ranges_s', 'k LIKE ''ab_''');
SELECT pg_temp.check('ranges_s', 'k LIKE ''ab%c''');
SELECT pg_temp.check('ranges_s', 'k LIKE ''k1%'' AND k LIKE ''k12%'' AND k > ''k120''');
SELECT pg_temp.check('ranges_s', 'k LIKE ''%''');
SELECT pg_temp.check('ranges_s', 'k LIKE ''''');
SELECT pg_temp.check('ranges_s', 'k LIKE ''%b''');
SELECT pg_temp.check('ranges_s', 'k LIKE ''é%''');
SELECT pg_temp.check('ranges_s', 'k LIKE chr(1114111) || ''%''');
SELECT pg_temp.check('ranges_s', 'k ^@ ''ab''');
SELECT pg_temp.check('ranges_s', 'k ^@ ''ab%''');
SELECT pg_temp.check('ranges_s', 'starts_with(k, ''k29'')');
SELECT pg_temp.check('ranges_s', 'k LIKE NULL');
SELECT pg_temp.check('ranges_s', 'k NOT LIKE ''a%''');
SELECT pg_temp.check('ranges_s', 'k ILIKE ''AB%''');
SELECT pg_temp.check('ranges_s', '''ab'' LIKE k');
SELECT pg_temp.check('ranges_s', 'k LIKE v');
SELECT pg_temp.check('ranges_s', 'k LIKE ''ab\''');
SELECT pg_temp.check('ranges_c', 'a = 2 AND b = 2 AND c LIKE ''b%''');
-- on another column, also under OR; whatever the collation
SELECT pg_temp.check('ranges_s', 'v LIKE ''ab%''');
SELECT pg_temp.check('ranges_s', 'v LIKE ''ab%c'' OR v ^@ ''k1''');
SELECT pg_temp.check('ranges_s', 'v LIKE ''ab%'' OR v ^@ ''k1''');
SELECT pg_temp.check('ranges_s', 'v LIKE ''ab%c'' AND w LIKE ''a%''');
SELECT pg_temp.check('ranges_s', 'w LIKE ''é%''');
SELECT pg_temp.check('ranges_s', 'NOT (w LIKE ''k%'')');
SELECT pg_temp.check('ranges_u', 'k LIKE ''k1%''');
SELECT pg_temp.check('ranges_u', 'k > ''k1''');
-- blanks at the end of a char(n) are not stored
SELECT pg_temp.check('ranges_u', 'p LIKE ''ab  %''');
SELECT pg_temp.check('ranges_u', 'p LIKE ''ab%''');
SELECT pg_temp.check('ranges_u', 'p LIKE ''ab''');
SELECT pg_temp.check('ranges_p', 'k LIKE ''ab  %''');
SELECT pg_temp.check('ranges_p', 'k LIKE ''ab%''');
SELECT pg_temp.check('ranges_b', 'k LIKE ''\x00''::bytea || ''%''');
SELECT pg_temp.check('ranges_b', 'k LIKE ''\xff''::bytea || ''%''');
SELECT pg_temp.check('ranges_b', 'k LIKE ''a%''');

-- run-time parameters, in a plan made once
SET plan_cache_mode = force_generic_plan;
PREPARE ranges_like(text) AS SELECT count(*), min(k), max(k) FROM ranges_s WHERE k LIKE $1;
EXPLAIN (COSTS OFF) EXECUTE ranges_like('k1%');
EXECUTE ranges_like('k1%');
EXECUTE ranges_like('k_5');
EXECUTE ranges_like('ab');
EXECUTE ranges_like('%5');
EXECUTE ranges_like('');
EXECUTE ranges_like(NULL);
EXECUTE ranges_like('ab\');
PREPARE ranges_begins(text, int) AS SELECT k FROM ranges_s WHERE k ^@ $1 ORDER BY k DESC LIMIT $2;
EXPLAIN (COSTS OFF) EXECUTE ranges_begins('k1', 2);
EXECUTE ranges_begins('k1', 2);
PREPARE ranges_value(text) AS SELECT count(*) FROM ranges_s WHERE v LIKE $1 || '%';
EXPLAIN (COSTS OFF) EXECUTE ranges_value('k2');
EXECUTE ranges_value('k2');
-- the next page behind the last key
PREPARE ranges_page(int, int, text) AS SELECT b, c FROM ranges_c WHERE a = $1 AND (b, c) > ($2, $3) ORDER BY b, c LIMIT 3;
EXPLAIN (COSTS OFF) EXECUTE ranges_page(3, 2, 'e5');
EXECUTE ranges_page(3, 2, 'e5');
EXECUTE ranges_page(3, 6, 'e5');
EXECUTE ranges_page(3, 6, NULL);
EXECUTE ranges_page(3, 100000, 'a');
PREPARE ranges_between(int, bigint) AS SELECT count(*) FROM ranges_i WHERE id BETWEEN $1 AND $2 AND id > $1;
EXPLAIN (COSTS OFF) EXECUTE ranges_between(1, 10);
EXECUTE ranges_between(1, 10);
EXECUTE ranges_between(490, 10000000000);
RESET plan_cache_mode;
SET plan_cache_mode = force_custom_plan;
EXECUTE ranges_like('k1%');
EXECUTE ranges_page(3, 2, 'e5');
EXECUTE ranges_between(490, 10000000000);
RESET plan_cache_mode;

-- one vnode when the columns of distribute_by are known, all of them else
SET plan_cache_mode = force_generic_plan;
PREPARE ranges_tenant(int) AS SELECT v FROM ranges_c WHERE a = $1 AND b < 2 ORDER BY b DESC, c DESC;
EXPLAIN (COSTS OFF, VERBOSE) EXECUTE ranges_tenant(2);
EXECUTE ranges_tenant(2);
RESET plan_cache_mode;
EXPLAIN (COSTS OFF, VERBOSE) SELECT v FROM ranges_c WHERE a < 2;

-- as the inner side of a join
CREATE TEMP TABLE ranges_l (n int PRIMARY KEY, low int, high int, p text);
INSERT INTO ranges_l VALUES (1, 10, 12, 'k29'), (2, 499, 999999, 'a_%'), (3, NULL, 4, 'zz'), (4, 7, 3, NULL);
ANALYZE ranges_l;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_material = off;
EXPLAIN (COSTS OFF) SELECT n, id FROM ranges_l JOIN ranges_i ON id BETWEEN low AND high ORDER BY 1, 2;
SELECT n, id FROM ranges_l JOIN ranges_i ON id BETWEEN low AND high ORDER BY 1, 2;
EXPLAIN (COSTS OFF) SELECT n, count(k) FROM ranges_l LEFT JOIN ranges_s ON k LIKE p || '%' GROUP BY n ORDER BY n;
SELECT n, count(k) FROM ranges_l LEFT JOIN ranges_s ON k LIKE p || '%' GROUP BY n ORDER BY n;
EXPLAIN (COSTS OFF) SELECT n, count(*), min(v) FROM ranges_l JOIN ranges_c ON a = n AND (b, c) > (low - 8, 'c') GROUP BY n ORDER BY n;
SELECT n, count(*), min(v) FROM ranges_l JOIN ranges_c ON a = n AND (b, c) > (low - 8, 'c') GROUP BY n ORDER BY n;
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET enable_material;

-- a transaction's own rows are judged by the same bounds
BEGIN;
INSERT INTO ranges_c VALUES (3, 2, 'e55', -1), (3, 2, 'e4', -2), (2, 7, 'z', -3);
INSERT INTO ranges_s VALUES ('k1new', 'k2new', ''), ('k2new', 'ab', '');
DELETE FROM ranges_s WHERE k LIKE 'k10%';
SELECT pg_temp.check('ranges_c', 'a = 3 AND (b, c) > (2, ''e5'') AND (b, c) < (2, ''f'')');
SELECT pg_temp.check('ranges_c', '(a, b) > (2, 6) AND (a, b) < (3, 2)');
SELECT pg_temp.check('ranges_s', 'k LIKE ''k1%''');
SELECT pg_temp.check('ranges_s', 'k LIKE ''k%w''');
SELECT pg_temp.check('ranges_s', 'v ^@ ''k2''');
ROLLBACK;

DROP FOREIGN TABLE ranges_i, ranges_c, ranges_s, ranges_u, ranges_p, ranges_b;
SELECT count(doris_drop_namespace(name)) FROM doris_namespaces WHERE name LIKE 'ranges\_%';
