-- EXPLAIN (ANALYZE, VERBOSE): the access, what is judged where, the work of each node; in every format.
SET client_min_messages = warning;
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'explain\_%';
CREATE FOREIGN TABLE explain_t (id int, grp int, v text) SERVER doris OPTIONS (key 'id');
CREATE FOREIGN TABLE explain_d (id int, v text) SERVER doris OPTIONS (key 'id', write_mode 'direct');
INSERT INTO explain_t SELECT g, g % 10, 'v' || g FROM generate_series(1, 1000) g;

CREATE FUNCTION pg_temp.plan_of(q text, OUT plan json) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, VERBOSE, FORMAT JSON) ' || q INTO plan;
END $$;
-- the foreign scan of a plan, wherever it stands; and the sums over its nodes
CREATE FUNCTION pg_temp.scan_of(q text) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_path_query_first(pg_temp.plan_of(q)::jsonb, '$.** ? (@."Node Type" == "Foreign Scan" || @."Node Type" == "ModifyTable")') $$;
CREATE FUNCTION pg_temp.work_of(q text, OUT nodes bigint, OUT requests bigint, OUT rows bigint, OUT bytes_per_row bigint, OUT troubles bigint, OUT timed boolean)
LANGUAGE sql AS $$
	SELECT count(*), sum((n->>'Requests')::bigint), sum((n->>'Rows')::bigint),
		sum((n->>'Bytes')::bigint) / greatest(sum((n->>'Rows')::bigint), 1), sum((n->>'Retries')::bigint + (n->>'Failovers')::bigint),
		bool_and((n->>'Time')::float8 > 0)
	FROM jsonb_array_elements(pg_temp.scan_of(q)->'Nodes') n $$;

-- what is judged where
SELECT s->>'Access' AS access, s->>'Key Cond' AS key_cond, s->>'Node Filter' AS node_filter, s->>'Filter' AS filter,
	s->>'Namespace' AS namespace, s->>'Columns' AS columns
FROM unnest(ARRAY[
	'SELECT v FROM explain_t WHERE id = 5',
	'SELECT v FROM explain_t WHERE id IN (1, 2, 3) AND length(v) > 1',
	'SELECT v FROM explain_t WHERE id BETWEEN 10 AND 20 AND grp <> 3',
	'SELECT grp FROM explain_t WHERE grp = 3 AND length(v) = 3']) q, pg_temp.scan_of(q) s;
-- what it cost
SELECT nodes >= 1 AS nodes, requests BETWEEN 1 AND 2 AS requests, rows BETWEEN 1 AND 2 AS rows, bytes_per_row < 1000 AS bytes, timed
	FROM pg_temp.work_of('SELECT v FROM explain_t WHERE id = 5');
SELECT nodes >= 2 AS nodes, requests >= nodes AS requests, rows >= 1000 AS rows, bytes_per_row BETWEEN 20 AND 200 AS bytes, timed
	FROM pg_temp.work_of('SELECT * FROM explain_t');
-- what the nodes filter out does not travel, once they have finished with the writes
DO $$
BEGIN
	FOR i IN 1..100 LOOP
		EXIT WHEN (SELECT rows FROM pg_temp.work_of('SELECT v FROM explain_t WHERE grp = 3')) <= 110;
		PERFORM pg_sleep(0.05);
	END LOOP;
END $$;
SELECT rows BETWEEN 100 AND 110 AS rows FROM pg_temp.work_of('SELECT v FROM explain_t WHERE grp = 3');
-- direct writes go to every copy at once
SELECT rows >= 100 AS rows FROM pg_temp.work_of('INSERT INTO explain_d SELECT g, ''x'' FROM generate_series(1, 50) g');
-- without ANALYZE nothing is asked and nothing told of nodes
EXPLAIN (VERBOSE, COSTS OFF) SELECT v FROM explain_t WHERE grp = 3;

-- all formats are what they say: of scans, joins, modifications
CREATE TEMP TABLE queries AS SELECT unnest(ARRAY[
	'SELECT v FROM explain_t WHERE id = 5',
	'SELECT * FROM explain_t a JOIN explain_t b USING (id) WHERE a.grp = 3 AND b.v <> ''<&"''''>''',
	'SELECT count(*) FROM explain_t WHERE v > ''"a: {[b''',
	'UPDATE explain_t SET v = ''y'' WHERE id = 7',
	'DELETE FROM explain_t WHERE grp = 8 AND id < 20',
	'INSERT INTO explain_d VALUES (1000, ''z'') ON CONFLICT DO NOTHING']) AS q;
CREATE FUNCTION pg_temp.valid(q text, format text, OUT valid boolean) LANGUAGE plpgsql AS $$
DECLARE
	x xml;
	line text;
	n int := 0;
	options text;
BEGIN
	FOREACH options IN ARRAY ARRAY['ANALYZE, VERBOSE', 'ANALYZE, TIMING OFF', 'VERBOSE', 'COSTS OFF'] LOOP
		options := 'EXPLAIN (' || options || ', FORMAT ' || format || ') ' || q;
		IF format = 'xml' THEN
			EXECUTE options INTO x;
			valid := xml_is_well_formed_document(x::text) AND x::text ~ 'Access|Operation';
		ELSIF format = 'json' THEN
			EXECUTE options INTO line;
			valid := jsonb_array_length(line::jsonb) = 1 AND line ~ 'Access|Operation';
		ELSE
			EXECUTE options INTO line;
			-- a list's items and mappings, of names and of numbers, words and quoted strings
			SELECT bool_and(l ~ '^ *(- )?("[^"]*"|[A-Za-z][A-Za-z -]*): ?("([^"\\]|\\.)*"|-?[0-9.e+-]+|true|false|)\s*$' OR l ~ '^ *- ("([^"\\]|\\.)*"|$)\s*$')
				INTO valid FROM unnest(string_to_array(line, E'\n')) l;
		END IF;
		IF NOT valid THEN
			RAISE NOTICE '%: %', options, coalesce(line, x::text);
			RETURN;
		END IF;
	END LOOP;
END $$;
SELECT format, count(*) FILTER (WHERE v.valid) AS valid, count(*) AS of
	FROM queries, unnest(ARRAY['json', 'xml', 'yaml']) WITH ORDINALITY f(format, n), pg_temp.valid(q, format) v GROUP BY f.n, format ORDER BY f.n;
-- each with the same work in it
CREATE FUNCTION pg_temp.work_in(format text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	plan text;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, VERBOSE, COSTS OFF, SUMMARY OFF, FORMAT ' || format || ') SELECT v FROM explain_t WHERE id = 6' INTO plan;
	RETURN QUERY SELECT DISTINCT trim(regexp_replace(l, '[0-9.]+', 'N', 'g')) FROM unnest(string_to_array(plan, E'\n')) l WHERE l ~ 'Name"|Name: "g|Name>g|Requests|Bytes|Retries|Failovers|Time[">:]';
END $$;
SELECT format, w FROM unnest(ARRAY['json', 'xml', 'yaml']) format, pg_temp.work_in(format) w ORDER BY format, w COLLATE "C";

DROP FOREIGN TABLE explain_t, explain_d;
SELECT count(doris_drop_namespace(name)) FROM doris_namespaces WHERE name LIKE 'explain\_%';
