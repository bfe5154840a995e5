-- codec_test.sql: round trips and orders of 10,000 random and hard values of each type, against PostgreSQL's own.
-- Needs :lib, the shared library of codec_test.c, and a UTF-8 database. Any difference is an error.
\set ON_ERROR_STOP 1
\set QUIET 1
SET client_min_messages = warning;

CREATE SCHEMA codec_test;
SET search_path = codec_test, public;
CREATE FUNCTION key(anyelement, int DEFAULT -1) RETURNS bytea AS :'lib', 'doris_test_key' LANGUAGE C STRICT IMMUTABLE;
CREATE FUNCTION value(anyelement, int DEFAULT -1) RETURNS bytea AS :'lib', 'doris_test_value' LANGUAGE C STRICT IMMUTABLE;
CREATE FUNCTION bounds(anyelement, int DEFAULT -1) RETURNS bytea[] AS :'lib', 'doris_test_bounds' LANGUAGE C STRICT IMMUTABLE;
CREATE FUNCTION key_back(bytea, anyelement, int DEFAULT -1) RETURNS anyelement
	AS :'lib', 'doris_test_key_back' LANGUAGE C IMMUTABLE;
CREATE FUNCTION value_back(bytea, anyelement, int DEFAULT -1) RETURNS anyelement
	AS :'lib', 'doris_test_value_back' LANGUAGE C IMMUTABLE;
CREATE FUNCTION flags(anyelement, int DEFAULT -1) RETURNS text[] AS :'lib', 'doris_test_flags' LANGUAGE C IMMUTABLE;

-- A random string over a small alphabet, so that prefixes and doubles are many.
CREATE FUNCTION random_text(max_length int) RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT coalesce(string_agg((ARRAY['a', 'b', 'B', ' ', '~', E'\x01', 'é', '漢', '😀', '0', 'zz'])[1 + floor(random() * 11)], ''), '')
	FROM generate_series(1, floor(random() * (max_length + 1))::int)
$$;
CREATE FUNCTION random_bytea(max_length int) RETURNS bytea LANGUAGE sql VOLATILE AS $$
	SELECT decode(coalesce(string_agg((ARRAY['00', '01', 'ff', '7f', '80', '61'])[1 + floor(random() * 6)], ''), ''), 'hex')
	FROM generate_series(1, floor(random() * (max_length + 1))::int)
$$;
-- numbers of all magnitudes and scales
CREATE FUNCTION random_numeric() RETURNS numeric LANGUAGE sql VOLATILE AS $$
	SELECT (CASE WHEN random() < 0.5 THEN -1 ELSE 1 END)
		* round(random()::numeric * (10::numeric ^ (floor(random() * 24) - 8)::int), floor(random() * 12)::int)
$$;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy', 'é');
CREATE TYPE pair AS (a int, b text, c mood);
CREATE DOMAIN positive AS numeric(12, 3) CHECK (VALUE > 0);

-- say(what): one line for each type
CREATE PROCEDURE check_type(type text, make text, hard text[], typmod int DEFAULT -1, collation_name text DEFAULT NULL,
	n int DEFAULT 10000)
LANGUAGE plpgsql AS $$
DECLARE
	collate_clause text := coalesce(' COLLATE ' || collation_name, '');
	has text[];
	bad bigint;
	example text;
BEGIN
	PERFORM setseed(0.42);
	DROP TABLE IF EXISTS t;
	EXECUTE format('CREATE TEMP TABLE t (x %s%s)', type, collate_clause);
	EXECUTE format('INSERT INTO t SELECT (%s)::%s FROM generate_series(1, %s)', make, type, n);
	EXECUTE format('INSERT INTO t SELECT h::%s FROM unnest($1) h, generate_series(1, 2)', type) USING hard;
	ANALYZE t;
	EXECUTE format('SELECT flags(x, %s) FROM t LIMIT 1', typmod) INTO has;

	-- what is written is what is read
	EXECUTE format('SELECT count(*), min(x::text) FROM t WHERE value_back(value(x, %1$s), x, %1$s)::text IS DISTINCT FROM x::text',
		typmod) INTO bad, example;
	IF bad > 0 THEN RAISE EXCEPTION '%: % values come back changed, for example %', type, bad, example; END IF;

	IF 'value_equal' = ANY (has) THEN
		EXECUTE format('SELECT count(DISTINCT x) - count(DISTINCT value(x, %s)) FROM t', typmod) INTO bad;
		IF bad <> 0 THEN RAISE EXCEPTION '%: equality of values differs by %', type, bad; END IF;
		EXECUTE format('SELECT count(*) FROM (SELECT x FROM t GROUP BY x HAVING count(DISTINCT value(x, %s)) > 1) q', typmod) INTO bad;
		IF bad <> 0 THEN RAISE EXCEPTION '%: % equal values have several encodings', type, bad; END IF;
	END IF;
	IF 'value_ordered' = ANY (has) THEN
		EXECUTE format('SELECT count(*), min(x::text) FROM (SELECT x, rank() OVER (ORDER BY x) a,
			rank() OVER (ORDER BY value(x, %s)) b FROM t) q WHERE a <> b', typmod) INTO bad, example;
		IF bad > 0 THEN RAISE EXCEPTION '%: % values are out of order, for example %', type, bad, example; END IF;
	END IF;
	IF 'value_bounded' = ANY (has) THEN
		EXECUTE format('SELECT count(*), min(format(''%%s and %%s'', v.x, w.x)) FROM
			(SELECT x, value(x, %1$s) b FROM t ORDER BY random() LIMIT 600) v,
			(SELECT x, (bounds(x, %1$s))[1] low, (bounds(x, %1$s))[2] high FROM t ORDER BY random() LIMIT 600) w
			WHERE (v.x < w.x) <> (v.b < w.low) OR (v.x > w.x) <> (v.b > w.high)', typmod) INTO bad, example;
		IF bad > 0 THEN RAISE EXCEPTION '%: % pairs are out of bounds, for example %', type, bad, example; END IF;
	END IF;
	IF 'key_supported' = ANY (has) THEN
		EXECUTE format('SELECT count(DISTINCT x) - count(DISTINCT key(x, %s)) FROM t', typmod) INTO bad;
		IF bad <> 0 THEN RAISE EXCEPTION '%: equality of keys differs by %', type, bad; END IF;
		EXECUTE format('SELECT count(*) FROM (SELECT x FROM t GROUP BY x HAVING count(DISTINCT key(x, %s)) > 1) q', typmod) INTO bad;
		IF bad <> 0 THEN RAISE EXCEPTION '%: % equal values have several keys', type, bad; END IF;
		EXECUTE format('SELECT count(*), min(x::text) FROM t WHERE key_back(key(x, %1$s), x, %1$s) <> x', typmod) INTO bad, example;
		-- intervals of over 292,000 years are approximate
		IF bad > 0 AND type <> 'interval' THEN
			RAISE EXCEPTION '%: % keys come back unequal, for example %', type, bad, example;
		END IF;
	END IF;
	IF 'key_ordered' = ANY (has) THEN
		EXECUTE format('SELECT count(*), min(x::text) FROM (SELECT x, rank() OVER (ORDER BY x) a,
			rank() OVER (ORDER BY key(x, %s)) b FROM t) q WHERE a <> b', typmod) INTO bad, example;
		IF bad > 0 THEN RAISE EXCEPTION '%: % keys are out of order, for example %', type, bad, example; END IF;
		-- as the first of two segments
		EXECUTE format('SELECT count(*), min(x::text) FROM (SELECT x, rank() OVER (ORDER BY x, y) a,
			rank() OVER (ORDER BY key(x, %s) || key(y)) b FROM (SELECT x, floor(random() * 4)::int y FROM t) r) q WHERE a <> b', typmod)
			INTO bad, example;
		IF bad > 0 THEN RAISE EXCEPTION '%: % keys are out of order in pairs, for example %', type, bad, example; END IF;
	END IF;
	IF 'key_exact' = ANY (has) THEN
		EXECUTE format('SELECT count(*), min(x::text) FROM t WHERE key_back(key(x, %1$s), x, %1$s)::text <> x::text', typmod)
			INTO bad, example;
		IF bad > 0 THEN RAISE EXCEPTION '%: % keys come back changed, for example %', type, bad, example; END IF;
	END IF;
	RAISE WARNING 'ok: %', rpad(type || collate_clause || ':', 24) || ' ' || array_to_string(has, ' ');
END
$$;

CALL check_type('boolean', 'random() < 0.5', '{t,f}');
CALL check_type('"char"', 'chr(1 + floor(random() * 126)::int)', ARRAY['', 'a']);
CALL check_type('smallint', 'floor(random() * 65536) - 32768', '{-32768,32767,0,-1,1}');
CALL check_type('int', 'floor(random() * 4294967296) - 2147483648', '{-2147483648,2147483647,0,-1,1,255,256}');
CALL check_type('bigint', 'floor(random() * 2e9) * floor(random() * 8e9) - 8e18',
	'{-9223372036854775808,9223372036854775807,0,-1,1}');
CALL check_type('oid', 'floor(random() * 4294967296)::bigint', '{0,1,4294967295,2147483648}');
CALL check_type('money', '((random() - 0.5) * 1e9)::numeric', '{-92233720368547758.08,92233720368547758.07,0}');
CALL check_type('real', 'case when random() < 0.5 then -1 else 1 end * exp(random() * 160 - 80)',
	'{0,-0,NaN,Infinity,-Infinity,1e-45,-1e-45,3.4e38,-3.4e38,1}');
CALL check_type('double precision', 'case when random() < 0.5 then -1 else 1 end * exp(random() * 1400 - 700)',
	'{0,-0,NaN,Infinity,-Infinity,5e-324,-5e-324,1.7e308,-1.7e308,1}');
CALL check_type('numeric', 'random_numeric()',
	'{0,0.0,0.000,-0.00,1,1.0,1.00,1.0000000,-1,-1.0,-1.00,NaN,Infinity,-Infinity,10000,9999,10000.0,0.0001,0.00010,0.00001,99999999,100000000,1e300,-1e300,1e-300,-1e-300,1.0000000000000001,123456789012345678901234567890.123456789,10,100,1000,0.1,0.01,0.001}');
CALL check_type('numeric(20,4)', 'random_numeric()', '{0,0.0000,1,1.0,-1,NaN,9999999999999999.9999,-9999999999999999.9999,0.0001}',
	(20 << 16 | 4) + 4);
CALL check_type('numeric(6,-2)', 'round(random_numeric() / 1e14, -2)', '{0,100,-100,NaN,99999900}', (6 << 16 | (2048 - 2)) + 4);
CALL check_type('positive', 'abs(random_numeric()) / 1e10 + 0.001', '{0.001,999999999.999}');
CALL check_type('date', 'date ''2000-01-01'' + floor(random() * 4000000 - 2000000)::int',
	'{infinity,-infinity,4713-01-01 BC,5874897-12-31,2000-01-01,1999-12-31}');
CALL check_type('time', 'time ''00:00'' + random() * interval ''24 hours''', '{00:00:00,24:00:00,23:59:59.999999}');
CALL check_type('timetz', '(time ''00:00'' + floor(random() * 20) * interval ''1 hour'')::text || (array[''+00'',''+01'',''-01'',''+05:30'',''-15:59:59''])[1 + floor(random() * 5)]',
	'{00:00:00+00,24:00:00-15:59:59,00:00:00+15:59:59,12:00+01,11:00+00,13:00+02}');
CALL check_type('timestamp', 'timestamp ''2000-01-01'' + (random() - 0.5) * interval ''12000 years''',
	'{infinity,-infinity,4713-01-01 00:00:00 BC,294276-12-31 23:59:59.999999,2000-01-01}');
CALL check_type('timestamptz', 'timestamptz ''2000-01-01'' + (random() - 0.5) * interval ''8000 years''',
	'{infinity,-infinity,4713-01-02 00:00:00+00 BC,294276-12-31 23:59:59.999999+00,2000-01-01}');
CALL check_type('interval', '(random() - 0.5) * interval ''400 years'' + floor(random() * 5) * interval ''1 month''',
	'{0,1 month,30 days,720 hours,1 day,24 hours,-1 month,-30 days,178000000 years,-178000000 years,2 mons -60 days,1 us,-1 us}');
CALL check_type('uuid', 'md5(random()::text)',
	'{00000000-0000-0000-0000-000000000000,ffffffff-ffff-ffff-ffff-ffffffffffff}');
CALL check_type('macaddr', 'substr(md5(random()::text), 1, 12)', '{00:00:00:00:00:00,ff:ff:ff:ff:ff:ff,80:00:00:00:00:00}');
CALL check_type('macaddr8', 'substr(md5(random()::text), 1, 16)', '{00:00:00:00:00:00:00:00,ff:ff:ff:ff:ff:ff:ff:ff}');
CALL check_type('inet', 'format(''%s.%s.%s.%s/%s'', 10 + floor(random() * 2), floor(random() * 256), floor(random() * 2), floor(random() * 256), floor(random() * 33))',
	'{0.0.0.0/0,255.255.255.255,10.0.0.0/8,10.0.0.0/16,10.1.0.0/16,10.0.0.1/8,::/0,::1,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,fe80::1/64,fe80::/64,fe80::/10,fe80::/63}');
CALL check_type('cidr', 'format(''%s.%s.0.0/%s'', floor(random() * 256), floor(random() * 256), 16 + floor(random() * 17))',
	'{0.0.0.0/0,10.0.0.0/8,10.0.0.0/16,::/0,fe80::/64,fe80::/10}');
CALL check_type('text', 'random_text(8)', ARRAY['', ' ', 'a', 'a ', E'\x01', repeat('x', 10240), repeat('漢', 4000), repeat('x', 10239) || 'y'],
	-1, '"C"');
CALL check_type('text', 'random_text(8)', ARRAY['', ' ', 'a', 'a ', repeat('x', 10240)], -1, '"default"');
CALL check_type('varchar(40)', 'random_text(8)', ARRAY['', ' ', 'a', 'a '], 44, '"C"');
CALL check_type('name', 'random_text(8)', ARRAY['', 'a', repeat('x', 63)]);
CALL check_type('char(12)', 'random_text(6)', ARRAY['', ' ', 'a', 'a   ', '漢漢', ' a'], 16, '"C"');
CALL check_type('bpchar', 'random_text(6)', ARRAY['', ' ', 'a', 'a   ', '漢漢', ' a'], -1, '"C"');
CALL check_type('bpchar', 'random_text(6)', ARRAY['', ' ', 'a', 'a   ', '漢漢', ' a'], -1, '"default"');
CALL check_type('bytea', 'random_bytea(8)',
	ARRAY['', '\x00', '\x0000', '\x0001', '\x00ff', '\x01', '\xff', '\xffff', '\x00ff00', '\x' || repeat('00', 10000)]);
CALL check_type('mood', '(enum_range(null::mood))[1 + floor(random() * 4)]', '{sad,ok,happy,é}');
CALL check_type('int[]', 'ARRAY[floor(random() * 3)::int, NULL, floor(random() * 3)::int]',
	ARRAY['{}', '{NULL}', '{1}', '{1,2,3}', '{{1,2},{3,4}}', '[5:6]={1,2}', '[-2:-1][0:0]={{1},{2}}']);
CALL check_type('text[]', 'ARRAY[random_text(4), NULL, random_text(300)]', ARRAY['{}', '{""}', '{a,NULL}', '{{a},{"b,c"}}']);
CALL check_type('mood[]', 'ARRAY[(enum_range(null::mood))[1 + floor(random() * 4)]]', ARRAY['{}', '{sad,NULL,happy}']);
CALL check_type('numeric[]', 'ARRAY[random_numeric(), random_numeric()]', ARRAY['{}', '{1.0,1.00,NaN}']);
CALL check_type('positive[]', 'ARRAY[abs(random_numeric()) / 1e10 + 0.001]', ARRAY['{}', '{1,2.5}']);
CALL check_type('pair', 'row(floor(random() * 9)::int, random_text(5), ''ok'')', ARRAY['(,,)', '(1,"",sad)', '(-1,"a b",)']);
CALL check_type('pair[]', 'ARRAY[row(floor(random() * 9)::int, random_text(5), ''ok'')::pair, NULL]', ARRAY['{}', '{"(1,a,sad)"}']);
CALL check_type('jsonb', 'jsonb_build_object(random_text(3), random(), ''b'', ARRAY[1, 2])', ARRAY['{}', '[]', 'null', '"é"', '1.00']);
CALL check_type('int4range', 'int4range(floor(random() * 10)::int, 10 + floor(random() * 10)::int)', ARRAY['empty', '(,)', '[1,5)', '(,3]']);
CALL check_type('int4multirange', 'int4multirange(int4range(1, 2 + floor(random() * 10)::int))', ARRAY['{}', '{[1,5),[7,9)}']);
CALL check_type('tsvector', '(''a'' || floor(random() * 100))::tsvector', ARRAY['', 'a:1A b:2']);
CALL check_type('varbit', 'floor(random() * 1000)::int::bit(10)', ARRAY['', '0', '1', '00', '01010101010']);
CALL check_type('bit(10)', 'floor(random() * 1000)::int::bit(10)', ARRAY['0000000000'], 10);
CALL check_type('point', 'point(random(), random())::text::point', ARRAY['(0,-0)', '(NaN,Infinity)']);
CALL check_type('int2vector', 'floor(random() * 100)::text', ARRAY['', '1 2 3']);
CALL check_type('pg_lsn', '''0/'' || to_hex(floor(random() * 1e9)::bigint)', ARRAY['0/0', 'FFFFFFFF/FFFFFFFF']);

-- A nondeterministic collation makes no key; ICU is optional in a build of PostgreSQL.
DO $$
BEGIN
	CREATE COLLATION codec_test.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
	IF flags('a'::text COLLATE codec_test.loose, -1) <> '{key_exact}' THEN
		RAISE EXCEPTION 'nondeterministic collation: %', flags('a'::text COLLATE codec_test.loose, -1);
	END IF;
EXCEPTION
	WHEN feature_not_supported THEN NULL;
END
$$;

-- Bytes that are no value are an error, never a datum.
CREATE FUNCTION must_fail(sql text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	t text;
BEGIN
	BEGIN
		EXECUTE sql INTO t;
	EXCEPTION
		WHEN data_corrupted OR invalid_text_representation OR character_not_in_repertoire OR protocol_violation
			OR invalid_binary_representation OR program_limit_exceeded OR array_subscript_error THEN
			RETURN;
	END;
	RAISE EXCEPTION 'no error: % gives %', sql, t;
END
$$;
SELECT must_fail(format('SELECT value_back(%L::bytea, NULL::%s)', b, t)) FROM (VALUES
	('\x', 'int'), ('\x0000', 'int'), ('\x0000000000', 'int'), ('\xff', 'text'), ('\xc0', 'text'), ('\x00', 'text'),
	('\x', 'numeric'), ('\x400000', 'numeric'), ('\x70', 'numeric'), ('\x40800000000000', 'numeric'),
	('\x408000ffff00000000', 'numeric'), ('\x706f', 'mood'), ('\x', 'uuid'), ('\x', 'int[]'), ('\x07', 'int[]'),
	('\x01ffffffff00000001', 'int[]'), ('\x017fffffff00000001', 'int[]'), ('\x01000000010000000103', 'int[]'),
	('\x0100000001000000010300', 'int[]'), ('\x04000000', 'pair'), ('\x', 'pair'), ('\x0105', 'pair'), ('\x', 'jsonb'),
	('\x00', 'interval'), ('\xffff', 'int4range')) v (b, t);
SELECT must_fail(format('SELECT key_back(%L::bytea, NULL::%s)', b, t)) FROM (VALUES
	('\x', 'int'), ('\x', 'text'), ('\x61', 'text'), ('\x610001ff', 'text'), ('\x61000200', 'text'), ('\x61000000001', 'bytea'),
	('\x0001', 'numeric'), ('\x3000ff0001', 'numeric')) v (b, t)
WHERE b <> '\x61000000001';

-- Random bytes never crash a decoder.
DO $$
DECLARE
	t text;
	b bytea;
	made int := 0;
BEGIN
	PERFORM setseed(0.1);
	FOR i IN 1..20000 LOOP
		t := (ARRAY['int', 'text', 'bpchar', 'name', 'numeric', 'numeric(9,2)', 'mood', 'int[]', 'text[]', 'pair', 'pair[]', 'inet', 'cidr', 'jsonb',
			'interval', 'timetz', 'int4range', 'date', 'timestamp', 'bytea', 'numeric[]'])[1 + floor(random() * 21)];
		b := random_bytea(24);
		BEGIN
			EXECUTE format('SELECT value_back(%L::bytea, NULL::%s)::text IS NOT NULL', b, t);
			EXECUTE format('SELECT key_back(%L::bytea, NULL::%s)::text IS NOT NULL', b, t);
			made := made + 1;
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
	END LOOP;
	RAISE WARNING 'ok: 20000 random strings of bytes, % of them values', made;
END
$$;
