-- Values of every common type come back as they went in.
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'types\_%';
DROP TYPE IF EXISTS types_mood, types_pair CASCADE;
DROP DOMAIN IF EXISTS types_positive, types_word CASCADE;

CREATE TYPE types_mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE types_pair AS (a int, b text);
CREATE DOMAIN types_positive AS int CHECK (VALUE > 0);
CREATE DOMAIN types_word AS text CHECK (VALUE ~ '^\w*$');

CREATE TEMP TABLE types_l (
	id int PRIMARY KEY,
	c_bool bool, c_int2 int2, c_int4 int4, c_int8 int8, c_float4 float4, c_float8 float8,
	c_numeric numeric, c_numeric_p numeric(10,2), c_text text, c_varchar varchar(20), c_char char(5), c_onechar "char", c_name name,
	c_bytea bytea, c_date date, c_time time, c_timetz timetz, c_ts timestamp, c_tstz timestamptz, c_interval interval,
	c_uuid uuid, c_inet inet, c_cidr cidr, c_mac macaddr, c_json json, c_jsonb jsonb, c_xml_like text,
	c_ints int[], c_texts text[], c_dates date[], c_mood types_mood, c_moods types_mood[], c_pair types_pair,
	c_positive types_positive, c_word types_word, c_range int4range, c_multi int4multirange, c_bit bit(5), c_varbit varbit,
	c_point point, c_box box, c_ts_vector tsvector, c_query tsquery, c_money money, c_oid oid, c_lsn pg_lsn, c_regclass regclass);
CREATE FOREIGN TABLE types_f (
	id int,
	c_bool bool, c_int2 int2, c_int4 int4, c_int8 int8, c_float4 float4, c_float8 float8,
	c_numeric numeric, c_numeric_p numeric(10,2), c_text text, c_varchar varchar(20), c_char char(5), c_onechar "char", c_name name,
	c_bytea bytea, c_date date, c_time time, c_timetz timetz, c_ts timestamp, c_tstz timestamptz, c_interval interval,
	c_uuid uuid, c_inet inet, c_cidr cidr, c_mac macaddr, c_json json, c_jsonb jsonb, c_xml_like text,
	c_ints int[], c_texts text[], c_dates date[], c_mood types_mood, c_moods types_mood[], c_pair types_pair,
	c_positive types_positive, c_word types_word, c_range int4range, c_multi int4multirange, c_bit bit(5), c_varbit varbit,
	c_point point, c_box box, c_ts_vector tsvector, c_query tsquery, c_money money, c_oid oid, c_lsn pg_lsn, c_regclass regclass)
	SERVER doris OPTIONS (key 'id');

INSERT INTO types_l (id) VALUES (1);
INSERT INTO types_l VALUES (2,
	true, 1, 2, 3, 1.5, 2.5,
	123.456, 7.10, 'text', 'varchar', 'ch', 'c', 'name',
	'\x00ff00', '2024-02-29', '12:34:56.789', '12:34:56+02', '2024-02-29 12:34:56.123456', '2024-02-29 12:34:56+02', '1 year 2 mons 3 days 04:05:06',
	'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '192.168.0.1/24', '10.0.0.0/8', '08:00:2b:01:02:03', '{"b": 1,  "a": 2}', '{"b": 1, "a": [1, 2, {"c": null}]}', '<a/>',
	'{1,NULL,3}', '{a,"b c",NULL,""}', '{2024-01-01,infinity}', 'ok', '{happy,sad}', '(1,"x y")',
	5, 'word', '[1,10)', '{[1,3),[5,8)}', '10101', '1',
	'(1,2)', '(1,2),(3,4)', 'a fat cat', 'fat & cat', '12.34', 42, '16/B374D848', 'pg_class');
INSERT INTO types_l VALUES (3,
	false, -32768, -2147483648, -9223372036854775808, '-Infinity', 'NaN',
	'NaN', -99999999.99, '', '', '', '', '',
	'', '-infinity', '00:00', '00:00-15:59', '-infinity', 'infinity', '-178000000 years',
	'00000000-0000-0000-0000-000000000000', '::1', '::/0', 'ff:ff:ff:ff:ff:ff', 'null', 'null', '',
	'{}', '{}', '{}', 'sad', '{}', '(,)',
	1, '', 'empty', '{}', '00000', '',
	'(-0,Infinity)', '(0,0),(0,0)', '', '', '-92233720368547758.08', 4294967295, '0/0', NULL);
INSERT INTO types_l VALUES (4,
	NULL, 32767, 2147483647, 9223372036854775807, '-0', '-0',
	'-Infinity', 99999999.99, E'tab\there, "quotes" \\ and Ωμέγα 🎉', 'ÄÖÜ', 'é', '~', repeat('n', 63),
	decode(repeat('00', 300), 'hex'), '4713-01-01 BC', '24:00', '23:59:59.999999+15:59', '294276-12-31 23:59:59.999999', '4713-01-01 00:00:00+00 BC', '-1 days +00:00:00.000001',
	'ffffffff-ffff-ffff-ffff-ffffffffffff', '255.255.255.255', '2001:db8::/32', '00:00:00:00:00:00', '[1,2]', '{"k": 12345678901234567890.123456789}', NULL,
	'[0:2]={1,2,3}', ARRAY[['a','b'],['c','d']], NULL, 'happy', '{NULL}', '(7,)',
	2147483647, 'x_1', '(,5]', '{(,3)}', '11111', '1010101010101',
	'(1e300,1e-300)', NULL, $$'it''s' 'x:y':5A$$, '!a | b:*', '92233720368547758.07', 0, 'FFFFFFFF/FFFFFFFF', 'pg_proc');

INSERT INTO types_f SELECT * FROM types_l;

-- all of it comes back: no differences, by text, whole row by whole row
SELECT count(*) FROM types_f;
SELECT l.id, to_jsonb(l)::text = to_jsonb(f)::text AS same_json, l::text = f::text AS same_text
	FROM types_l l JOIN types_f f ON f.id = l.id ORDER BY 1;
\x on
SELECT * FROM types_f WHERE id = 2;
SELECT * FROM types_f WHERE id = 3;
SELECT * FROM types_f WHERE id = 4;
\x off
SELECT count(*) FROM types_f f WHERE id = 1 AND num_nulls(f.c_bool, f.c_int2, f.c_text, f.c_ints, f.c_pair, f.c_jsonb) = 6;

-- through an update and its returning
UPDATE types_f SET c_ints = c_ints || 9, c_jsonb = c_jsonb || '{"new": true}', c_texts[1] = 'changed', c_mood = 'happy' WHERE id = 2
	RETURNING c_ints, c_jsonb, c_texts, c_mood;
UPDATE types_f SET c_pair.a = 3 WHERE id = 2 RETURNING c_pair;

-- domains and enums are checked
INSERT INTO types_f (id, c_positive) VALUES (10, -1);
INSERT INTO types_f (id, c_word) VALUES (10, 'two words');
INSERT INTO types_f (id, c_mood) VALUES (10, 'angry');
INSERT INTO types_f (id, c_varchar) VALUES (10, repeat('x', 21));
INSERT INTO types_f (id, c_numeric_p) VALUES (10, 123456789.00);

-- conditions on every kind of value
SELECT id FROM types_f WHERE c_bool;
SELECT id FROM types_f WHERE NOT c_bool;
SELECT id FROM types_f WHERE c_bool IS NULL ORDER BY id;
SELECT id FROM types_f WHERE c_int8 < 0;
SELECT id FROM types_f WHERE c_float8 = 'NaN';
SELECT id FROM types_f WHERE c_float8 = 0;
SELECT id FROM types_f WHERE c_float4 < 0;
SELECT id FROM types_f WHERE c_numeric = 123.4560;
SELECT id FROM types_f WHERE c_numeric > 0 ORDER BY id;
SELECT id FROM types_f WHERE c_numeric_p BETWEEN 7.1 AND 8;
SELECT id FROM types_f WHERE c_text = '';
SELECT id FROM types_f WHERE c_text >= 'text';
SELECT id FROM types_f WHERE c_text LIKE '%Ωμέγα%';
SELECT id FROM types_f WHERE c_char = 'ch';
SELECT id FROM types_f WHERE c_char = 'ch        ';
SELECT id FROM types_f WHERE c_bytea = '\x00ff00';
SELECT id FROM types_f WHERE c_date < '1000-01-01' ORDER BY id;
SELECT id FROM types_f WHERE c_ts = '-infinity';
SELECT id FROM types_f WHERE c_tstz > '2024-01-01' ORDER BY id;
SELECT id FROM types_f WHERE c_timetz = '10:34:56+00';
SELECT id FROM types_f WHERE c_timetz = '12:34:56+02';
SELECT id FROM types_f WHERE c_interval = '14 mons 3 days 04:05:06';
SELECT id FROM types_f WHERE c_uuid = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11';
SELECT id FROM types_f WHERE c_inet <<= '192.168.0.0/16';
SELECT id FROM types_f WHERE c_jsonb @> '{"b": 1}';
SELECT id FROM types_f WHERE c_jsonb = 'null';
SELECT id FROM types_f WHERE 3 = ANY (c_ints) ORDER BY id;
SELECT id FROM types_f WHERE c_mood > 'sad' ORDER BY id;
SELECT id FROM types_f WHERE c_mood IN ('sad', 'happy') ORDER BY id;
SELECT id FROM types_f WHERE c_positive = 5;
SELECT id FROM types_f WHERE c_word <> '' ORDER BY id;
SELECT id FROM types_f WHERE c_range @> 2 ORDER BY id;
SELECT id FROM types_f WHERE c_ts_vector @@ 'cat'::tsquery;
SELECT id FROM types_f WHERE c_oid = 4294967295;

DROP FOREIGN TABLE types_f;
DROP TABLE types_l;
DROP TYPE types_mood, types_pair CASCADE;
DROP DOMAIN types_positive, types_word;
SELECT count(doris_drop_namespace(name)) FROM doris_namespaces WHERE name LIKE 'types\_%';
