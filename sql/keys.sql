-- Keys: of several columns, of every type, with hard values; routing by a prefix.
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'keys\_%';
DROP TYPE IF EXISTS keys_mood CASCADE;

-- several columns, in an order of their own
CREATE FOREIGN TABLE keys_two (qty int, seq int, tenant text, note text)
	SERVER doris OPTIONS (key 'tenant,seq');
INSERT INTO keys_two VALUES (1, 1, 'a', 'a1'), (2, 2, 'a', 'a2'), (3, 1, 'b', 'b1'), (4, -1, 'a', 'a-1'), (5, 1, '', 'empty'), (6, 1, 'a ', 'blank');
INSERT INTO keys_two VALUES (9, 1, 'a', 'duplicate');
INSERT INTO keys_two VALUES (9, NULL, 'a', 'null');
INSERT INTO keys_two VALUES (9, 1, NULL, 'null');
SELECT * FROM keys_two WHERE tenant = 'a' AND seq = 1;
SELECT * FROM keys_two WHERE seq = 1 ORDER BY tenant COLLATE "C";
SELECT * FROM keys_two WHERE tenant = 'a' ORDER BY seq;
SELECT note FROM keys_two WHERE (tenant, seq) IN (('a', 2), ('b', 1), ('b', 2)) ORDER BY note;
SELECT note FROM keys_two WHERE tenant = 'a' AND seq = ANY ('{-1,2,5}') ORDER BY note;
UPDATE keys_two SET qty = 100 WHERE tenant = 'a' AND seq = 1;
WITH x AS (UPDATE keys_two SET seq = seq + 10 WHERE tenant = 'a' RETURNING note, seq) SELECT * FROM x ORDER BY 1;
DELETE FROM keys_two WHERE tenant = 'b';
SELECT * FROM keys_two ORDER BY tenant COLLATE "C", seq;

-- segments must not run into each other
CREATE FOREIGN TABLE keys_split (a text, b text, c bytea, v int) SERVER doris OPTIONS (key 'a,b,c');
INSERT INTO keys_split VALUES ('ab', 'c', '', 1), ('a', 'bc', '', 2), ('abc', '', '', 3), ('', 'abc', '', 4), ('', '', '\x616263', 5), ('', '', '', 6),
	('', '', '\x00', 7), ('', '', '\x0001', 8), ('', '', '\x00ff', 9), ('', '', '\xff', 10), ('', '', '\x0000', 11);
SELECT v FROM keys_split ORDER BY a COLLATE "C", b COLLATE "C", c;
SELECT v FROM keys_split WHERE a = '' AND b = '' AND c = '\x00';
SELECT v FROM keys_split WHERE a = '' AND b = '' AND c = '\x';
SELECT v FROM keys_split WHERE c = '\x00ff';

-- one key type after the other: insert hard values, find each one by itself, refuse each again
CREATE FUNCTION pg_temp.try_key(type text, vals text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found int := 0;
	refused int := 0;
	n int;
	v text;
	tab text := 'keys_' || regexp_replace(lower(type), '\W+', '_', 'g');
BEGIN
	EXECUTE format('CREATE FOREIGN TABLE %I (v int, k %s) SERVER doris OPTIONS (key ''k'')', tab, type);
	FOR i IN 1 .. cardinality(vals) LOOP
		EXECUTE format('INSERT INTO %I VALUES (%s, %L)', tab, i, vals[i]);
	END LOOP;
	FOR i IN 1 .. cardinality(vals) LOOP
		EXECUTE format('SELECT v FROM %I WHERE k = %L', tab, vals[i]) INTO n;
		found := found + (n IS NOT DISTINCT FROM i)::int;
		BEGIN
			EXECUTE format('INSERT INTO %I VALUES (0, %L)', tab, vals[i]);
		EXCEPTION WHEN unique_violation THEN
			refused := refused + 1;
		END;
	END LOOP;
	-- the order of the type, and the text of the values, after a trip to the nodes
	EXECUTE format('SELECT string_agg(v::text, '','' ORDER BY k) FROM %I', tab) INTO v;
	EXECUTE format('SELECT count(*) FROM %I t JOIN unnest(%L::text[]) WITH ORDINALITY u(x, i) ON t.v = u.i WHERE t.k::text = (u.x::%s)::text', tab, vals, type) INTO n;
	EXECUTE format('DROP FOREIGN TABLE %I', tab);
	RETURN format('%s keys, %s found, %s refused again, %s same text, order %s', cardinality(vals), found, refused, n, v);
END $$;

SELECT pg_temp.try_key('bool', '{f,t}');
SELECT pg_temp.try_key('int2', '{-32768,-1,0,1,32767}');
SELECT pg_temp.try_key('int4', '{-2147483648,-1,0,1,2147483647}');
SELECT pg_temp.try_key('int8', '{-9223372036854775808,-1,0,1,9223372036854775807}');
SELECT pg_temp.try_key('float4', '{-Infinity,-1.5,0,1e-30,1.5,Infinity,NaN}');
SELECT pg_temp.try_key('float8', '{-Infinity,-1e300,-1.5,0,1e-300,1.5,1e300,Infinity,NaN}');
SELECT pg_temp.try_key('numeric', '{-Infinity,-1e50,-10,-1.5,-1,-0.001,0,0.0001,0.001,1,1.5,9.99,10,100,1000,12345.678,1e50,Infinity,NaN}');
SELECT pg_temp.try_key('numeric(10,2)', '{-10.00,-1.50,0.00,0.01,1.50,99999999.99}');
SELECT pg_temp.try_key('text', ARRAY['', ' ', 'a', 'a ', 'aa', 'Ä', 'Ω', '日本語', '🎉', repeat('x', 5000), E'tab\tand\nnewline', '''quote''', '\backslash', '%_']);
SELECT pg_temp.try_key('varchar(10)', ARRAY['', 'a', 'abc']);
SELECT pg_temp.try_key('char(5)', ARRAY['', 'a', 'abcde']);
SELECT pg_temp.try_key('name', ARRAY['', 'a', 'abcde']);
SELECT pg_temp.try_key('bytea', ARRAY['\x', '\x00', '\x0000', '\x0001', '\x00ff', '\x01', '\xff', '\xff00', '\xffff']);
SELECT pg_temp.try_key('date', '{-infinity,0001-01-01,1999-12-31,2000-01-01,2024-02-29,infinity}');
SELECT pg_temp.try_key('time', '{00:00:00,12:34:56.789,24:00:00}');
SELECT pg_temp.try_key('timestamp', '{-infinity,1900-01-01 00:00:00,2000-01-01 00:00:00,2024-01-01 00:00:00.000001,infinity}');
SELECT pg_temp.try_key('timestamptz', '{-infinity,1900-01-01 00:00:00+00,2000-01-01 00:00:00+00,infinity}');
SELECT pg_temp.try_key('uuid', '{00000000-0000-0000-0000-000000000000,a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,ffffffff-ffff-ffff-ffff-ffffffffffff}');
SELECT pg_temp.try_key('oid', '{0,1,2147483648,4294967295}');
CREATE TYPE keys_mood AS ENUM ('sad', 'ok', 'happy');
SELECT pg_temp.try_key('keys_mood', '{sad,ok,happy}');

-- equal keys are one key
CREATE FOREIGN TABLE keys_equal_n (k numeric, v int) SERVER doris OPTIONS (key 'k');
INSERT INTO keys_equal_n VALUES (1.50, 1);
INSERT INTO keys_equal_n VALUES (1.5, 2);
INSERT INTO keys_equal_n VALUES (1.500000, 2) ON CONFLICT DO NOTHING;
SELECT * FROM keys_equal_n WHERE k = 1.500;
UPDATE keys_equal_n SET k = 1.5000 WHERE k = 1.5 RETURNING *;
SELECT * FROM keys_equal_n;
CREATE FOREIGN TABLE keys_equal_f (k float8, v int) SERVER doris OPTIONS (key 'k');
INSERT INTO keys_equal_f VALUES ('-0', 1);
INSERT INTO keys_equal_f VALUES ('0', 2);
INSERT INTO keys_equal_f VALUES ('NaN', 3);
INSERT INTO keys_equal_f VALUES ('NaN', 4);
SELECT * FROM keys_equal_f WHERE k = 0;
SELECT * FROM keys_equal_f WHERE k = 'NaN';
CREATE FOREIGN TABLE keys_equal_c (k char(5), v int) SERVER doris OPTIONS (key 'k');
INSERT INTO keys_equal_c VALUES ('ab', 1);
INSERT INTO keys_equal_c VALUES ('ab   ', 2);
SELECT k || '|', v FROM keys_equal_c WHERE k = 'ab ';
-- other types than the key's in the condition
SELECT v FROM keys_equal_n WHERE k = 1.5::float8;
CREATE FOREIGN TABLE keys_cross (k int, v int) SERVER doris OPTIONS (key 'k');
INSERT INTO keys_cross SELECT g, g FROM generate_series(1, 5) g;
SELECT v FROM keys_cross WHERE k = 3::bigint;
SELECT v FROM keys_cross WHERE k = 3::smallint;
SELECT v FROM keys_cross WHERE k = 3.0;
SELECT v FROM keys_cross WHERE k = 3.5;
SELECT v FROM keys_cross WHERE k = 9999999999;
SELECT v FROM keys_cross WHERE k > 2::bigint AND k <= 4::smallint ORDER BY v;

-- beyond the greatest value that a key can have, and up to it
CREATE FOREIGN TABLE keys_edge (f float8, d date, i int, v int) SERVER doris OPTIONS (key 'f,d,i');
CREATE FOREIGN TABLE keys_edge_int (i int, v int) SERVER doris OPTIONS (key 'i');
INSERT INTO keys_edge VALUES ('NaN', 'infinity', 2147483647, 1), ('NaN', 'infinity', 0, 2), ('NaN', '2024-01-01', 0, 3), ('-Infinity', '-infinity', -2147483648, 4), (1, '2024-01-01', 0, 5);
INSERT INTO keys_edge_int VALUES (2147483647, 1), (0, 2), (-2147483648, 3);
SELECT v FROM keys_edge WHERE f > 'NaN';
SELECT v FROM keys_edge WHERE f >= 'NaN' ORDER BY v;
SELECT v FROM keys_edge WHERE f = 'NaN' AND d > 'infinity';
SELECT v FROM keys_edge WHERE f = 'NaN' AND d >= 'infinity' ORDER BY v;
SELECT v FROM keys_edge WHERE f = 'NaN' AND d = 'infinity' AND i > 2147483647;
SELECT v FROM keys_edge WHERE f = 'NaN' AND d = 'infinity' AND i <= 2147483647 ORDER BY v;
SELECT v FROM keys_edge WHERE f < '-Infinity';
SELECT v FROM keys_edge WHERE f = '-Infinity' AND d < '-infinity';
SELECT v FROM keys_edge_int WHERE i > 2147483647;
SELECT v FROM keys_edge_int WHERE i >= 2147483647;
SELECT v FROM keys_edge_int WHERE i <= 2147483647 ORDER BY v;
SELECT v FROM keys_edge_int WHERE i < -2147483648;
SELECT v FROM keys_edge_int WHERE i <= -2147483648;

-- too long
INSERT INTO keys_split VALUES (repeat('k', 70000), '', '', 1);
-- no row has such a key: nothing is found, and nobody is asked again and again
SELECT count(*) FROM keys_split WHERE a = repeat('k', 70000) AND b = '' AND c = '';
SELECT count(*) FROM keys_split WHERE a = repeat('k', 70000);
SELECT count(*) FROM keys_split WHERE a LIKE repeat('k', 70000) || '%';
SELECT count(*) FROM keys_split WHERE a COLLATE "C" > repeat('k', 70000);
UPDATE keys_split SET v = 0 WHERE a = repeat('k', 70000) AND b = '' AND c = '';
DELETE FROM keys_split WHERE a = repeat('k', 70000);
CREATE FOREIGN TABLE keys_long (k text COLLATE "C", v int) SERVER doris OPTIONS (key 'k');
INSERT INTO keys_long VALUES ('a', 1), (repeat('k', 65000), 2), (repeat('k', 65533), 3), ('l', 4), (repeat('k', 100), 5);
SELECT v FROM keys_long WHERE k >= repeat('k', 70000) ORDER BY v;
SELECT v FROM keys_long WHERE k < repeat('k', 70000) ORDER BY v;
SELECT v FROM keys_long WHERE k BETWEEN repeat('k', 65533) AND repeat('k', 70000) ORDER BY v;
SELECT v FROM keys_long WHERE k LIKE repeat('k', 70000) || '%';
SELECT v FROM keys_long WHERE k IN ('a', repeat('k', 70000)) ORDER BY v;
SELECT count(*) FROM keys_long WHERE k = (SELECT repeat('k', 70000));
DROP FOREIGN TABLE keys_long;

-- routing by a prefix of the key: a tenant's rows live together
CREATE FOREIGN TABLE keys_tenant (tenant int, seq int, v text) SERVER doris OPTIONS (key 'tenant,seq', distribute_by 'tenant');
INSERT INTO keys_tenant SELECT t, s, t || '/' || s FROM generate_series(1, 5) t, generate_series(1, 20) s;
SELECT count(*) FROM keys_tenant;
SELECT v FROM keys_tenant WHERE tenant = 3 AND seq = 7;
SELECT v FROM keys_tenant WHERE tenant = 3 AND seq BETWEEN 7 AND 9 ORDER BY seq;
SELECT count(*) FROM keys_tenant WHERE tenant = 3;
SELECT count(*) FROM keys_tenant WHERE tenant IN (1, 2) AND seq < 4;
WITH x AS (UPDATE keys_tenant SET v = 'changed' WHERE tenant = 2 AND seq > 18 RETURNING seq) SELECT * FROM x ORDER BY 1;
DELETE FROM keys_tenant WHERE tenant = 1;
SELECT tenant, count(*) FROM keys_tenant GROUP BY tenant ORDER BY tenant;
SELECT count(DISTINCT r.vnode) = 1 AS together FROM doris_route('keys_tenant', '3', '1') r;
SELECT count(*) = 2 AS in_both_groups, count(DISTINCT vnode) = 1 AS one_vnode FROM doris_route('keys_tenant', '3');
SELECT (SELECT min(vnode) FROM doris_route('keys_two', 'a', '1')) = (SELECT max(vnode) FROM doris_route('keys_two', 'a', '1')) AS same;
SELECT * FROM doris_route('keys_none', '1');
SELECT * FROM doris_route('keys_cross', 'abc');

DROP FOREIGN TABLE keys_two, keys_split, keys_equal_n, keys_equal_f, keys_equal_c, keys_cross, keys_tenant, keys_edge, keys_edge_int;
DROP TYPE keys_mood;
SELECT count(doris_drop_namespace(name)) FROM doris_namespaces WHERE name LIKE 'keys\_%';
