-- Every type as key and as value, hard values, against a local table: rows, order, lookups, conditions.
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'codec\_%';
DROP TYPE IF EXISTS codec_mood, codec_pair CASCADE;
DROP DOMAIN IF EXISTS codec_word CASCADE;
CREATE TYPE codec_mood AS ENUM ('sad', 'ok', 'happy', 'é');
CREATE TYPE codec_pair AS (a int, b text, c codec_mood);
CREATE DOMAIN codec_word AS varchar(20) CHECK (VALUE <> 'forbidden');

-- "ok", or what is different. as_key: the type may be in a key.
CREATE FUNCTION pg_temp.try(type text, vals text[], as_key boolean DEFAULT true) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	key_type text := CASE WHEN as_key THEN type ELSE 'int' END;
	op text;
	val text;
	bad int;
BEGIN
	EXECUTE format('CREATE TEMP TABLE codec_local (k %s, part int, v %s)', key_type, type);
	EXECUTE format('CREATE FOREIGN TABLE codec_remote (k %s, part int, v %s) SERVER doris OPTIONS (key ''k,part'', namespace %L, distribute_by ''k'')', key_type, type, 'codec_' || type);
	IF as_key THEN
		-- of keys that are equal only the first is taken
		EXECUTE format('INSERT INTO codec_local SELECT DISTINCT ON (x::%1$s) x::%1$s, 1, x::%1$s FROM unnest($1) WITH ORDINALITY u(x, i)
			ORDER BY x::%1$s, i', type) USING vals;
		EXECUTE format('INSERT INTO codec_local SELECT x::%1$s, i + 1, NULL FROM unnest($1[1:2]) WITH ORDINALITY u(x, i)', type) USING vals;
	ELSE
		EXECUTE format('INSERT INTO codec_local SELECT i, 1, x::%1$s FROM unnest($1 || NULL::text) WITH ORDINALITY u(x, i)', type) USING vals;
	END IF;
	INSERT INTO codec_remote SELECT * FROM codec_local;

	SELECT count(*) INTO bad FROM (SELECT k::text, part, v::text FROM codec_local EXCEPT ALL SELECT k::text, part, v::text FROM codec_remote) d;
	IF bad > 0 THEN RETURN format('%s: %s rows differ', type, bad); END IF;
	SELECT count(*) INTO bad FROM codec_remote;
	IF bad <> (SELECT count(*) FROM codec_local) THEN RETURN format('%s: %s rows', type, bad); END IF;
	IF as_key AND (SELECT array_agg(r::text ORDER BY k, part) FROM codec_local r)
		<> (SELECT array_agg(r::text ORDER BY k, part) FROM codec_remote r) THEN
		RETURN format('%s: the order differs', type);
	END IF;

	-- conditions: each value in turn, as a constant and as a parameter
	FOREACH val IN ARRAY vals LOOP
		FOREACH op IN ARRAY ARRAY['=', '<>', '<', '<=', '>', '>='] LOOP
			EXECUTE format('SELECT (SELECT count(*) FROM codec_local WHERE v %1$s %2$L::%3$s) - (SELECT count(*) FROM codec_remote WHERE v %1$s %2$L::%3$s)',
				op, val, type) INTO bad;
			IF bad <> 0 THEN RETURN format('%s: v %s %s differs', type, op, val); END IF;
			CONTINUE WHEN NOT as_key;
			EXECUTE format('SELECT (SELECT count(*) FROM codec_local WHERE k %1$s %2$L::%3$s) - (SELECT count(*) FROM codec_remote WHERE k %1$s %2$L::%3$s)',
				op, val, type) INTO bad;
			IF bad <> 0 THEN RETURN format('%s: k %s %s differs', type, op, val); END IF;
			EXECUTE format('SELECT (SELECT count(*) FROM codec_local WHERE k %1$s $1::%3$s AND part = 1)
				- (SELECT count(*) FROM codec_remote WHERE k %1$s $1::%3$s AND part = 1)', op, val, type) INTO bad USING val;
			IF bad <> 0 THEN RETURN format('%s: k %s parameter %s differs', type, op, val); END IF;
		END LOOP;
	END LOOP;
	IF as_key THEN
		EXECUTE format('SELECT (SELECT count(*) FROM codec_local WHERE k = ANY ($1::%1$s[])) - (SELECT count(*) FROM codec_remote WHERE k = ANY ($1::%1$s[]))',
			type) INTO bad USING vals;
		IF bad <> 0 THEN RETURN format('%s: = ANY differs by %s', type, bad); END IF;
		-- every key is found again to be changed
		UPDATE codec_remote SET v = v WHERE part = 1;
		GET DIAGNOSTICS bad = ROW_COUNT;
		IF bad <> (SELECT count(*) FROM codec_local WHERE part = 1) THEN RETURN format('%s: %s rows updated', type, bad); END IF;
	END IF;
	DELETE FROM codec_remote;
	IF EXISTS (SELECT FROM codec_remote) THEN RETURN format('%s: rows are left', type); END IF;
	DROP FOREIGN TABLE codec_remote;
	DROP TABLE codec_local;
	PERFORM doris_drop_namespace('codec_' || type);
	RETURN format('%s: ok', type);
END $$;

SELECT pg_temp.try('boolean', '{t,f}');
SELECT pg_temp.try('"char"', ARRAY['', 'a', 'Z', '~', E'\x01']);
SELECT pg_temp.try('smallint', '{-32768,-1,0,1,255,256,32767}');
SELECT pg_temp.try('int', '{-2147483648,-256,-255,-1,0,1,255,256,2147483647}');
SELECT pg_temp.try('bigint', '{-9223372036854775808,-1,0,1,4294967296,9223372036854775807}');
SELECT pg_temp.try('oid', '{0,1,2147483647,2147483648,4294967295}');
SELECT pg_temp.try('money', '{-92233720368547758.08,-0.01,0,0.01,92233720368547758.07}');
SELECT pg_temp.try('real', '{-0,0,1,-1,NaN,Infinity,-Infinity,1e-45,-1e-45,3.4e38,-3.4e38}');
SELECT pg_temp.try('double precision', '{0,-0,1,-1,NaN,Infinity,-Infinity,5e-324,-5e-324,1.7e308,-1.7e308}');
SELECT pg_temp.try('numeric', '{1.0,1.00,1,0,0.000,-0.0,-1,-1.0,NaN,Infinity,-Infinity,9999,10000,10000.0,0.0001,0.00010,1e300,-1e300,1e-300,123456789012345678901234567890.5}');
SELECT pg_temp.try('numeric(20,4)', '{1.0,1.00,0,-1,NaN,9999999999999999.9999,-9999999999999999.9999,0.0001}');
SELECT pg_temp.try('date', '{-infinity,4713-01-01 BC,1999-12-31,2000-01-01,5874897-12-31,infinity}');
SELECT pg_temp.try('time', '{00:00:00,12:00:00.000001,24:00:00}');
SELECT pg_temp.try('timetz', '{00:00+00,24:00-15:59,00:00+15:59,12:00+01,11:00+00}');
SELECT pg_temp.try('timestamp', '{-infinity,4713-01-01 00:00:00 BC,2000-01-01,294276-12-31 23:59:59.999999,infinity}');
SELECT pg_temp.try('timestamptz', '{-infinity,4713-01-01 00:00:00+00 BC,2000-01-01,294276-12-31 23:59:59.999999+00,infinity}');
SELECT pg_temp.try('interval', '{0,1 month,30 days,720:00:00,1 day,24:00:00,-1 month,178000000 years,-178000000 years}');
SELECT pg_temp.try('uuid', '{00000000-0000-0000-0000-000000000000,a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,ffffffff-ffff-ffff-ffff-ffffffffffff}');
SELECT pg_temp.try('macaddr', '{00:00:00:00:00:00,80:00:00:00:00:00,ff:ff:ff:ff:ff:ff}');
SELECT pg_temp.try('macaddr8', '{00:00:00:00:00:00:00:00,ff:ff:ff:ff:ff:ff:ff:ff}');
SELECT pg_temp.try('inet', '{0.0.0.0/0,10.0.0.0/8,10.0.0.0/16,10.0.0.1/8,10.1.0.0/16,255.255.255.255,::/0,::1,fe80::/10,fe80::1/64}');
SELECT pg_temp.try('cidr', '{0.0.0.0/0,10.0.0.0/8,10.0.0.0/16,::/0,fe80::/64}');
SELECT pg_temp.try('text', ARRAY['', ' ', 'a', 'a ', 'A', 'é', '漢', '😀', E'\x01', repeat('x', 10240), repeat('x', 10239) || 'y']);
SELECT pg_temp.try('varchar(30)', ARRAY['', ' ', 'a', 'a ', 'é']);
SELECT pg_temp.try('char(6)', ARRAY['', 'a', 'a  ', 'é', '漢漢', ' a']);
SELECT pg_temp.try('bpchar', ARRAY['a  ', 'a', '', '   ', 'é', ' a']);
SELECT pg_temp.try('name', ARRAY['', 'a', repeat('x', 63)]);
SELECT pg_temp.try('codec_word', ARRAY['', 'a', 'é']);
SELECT pg_temp.try('bytea', ARRAY['', '\x00', '\x0000', '\x0001', '\x00ff', '\x01', '\xff', '\xffff', '\x00ff00', '\x' || repeat('00', 10000)]);
SELECT pg_temp.try('codec_mood', '{sad,ok,happy,é}');

-- values only
SELECT pg_temp.try('int[]', ARRAY['{}', '{NULL}', '{1,2,3}', '{{1,2},{3,4}}', '[5:6]={1,2}'], false);
SELECT pg_temp.try('text[]', ARRAY['{}', '{""}', '{a,NULL}', '{{a},{"b,c"}}'], false);
SELECT pg_temp.try('numeric[]', ARRAY['{}', '{1.0,1.00}', '{NaN}'], false);
SELECT pg_temp.try('codec_mood[]', ARRAY['{}', '{sad,NULL,é}'], false);
SELECT pg_temp.try('codec_pair', ARRAY['(,,)', '(1,"",sad)', '(-1,"a b",)'], false);
SELECT pg_temp.try('codec_pair[]', ARRAY['{}', '{"(1,a,sad)",NULL}'], false);
SELECT pg_temp.try('jsonb', ARRAY['{}', 'null', '{"a": [1, 1.00, "é"]}'], false);
SELECT pg_temp.try('int4range', ARRAY['empty', '(,)', '[1,5)', '(,3]'], false);
SELECT pg_temp.try('bit(5)', ARRAY['00000', '10101'], false);
SELECT pg_temp.try('varbit', ARRAY['', '0', '00', '1'], false);
SELECT pg_temp.try('tsvector', ARRAY['', 'a:1A b:2'], false);

DROP TYPE codec_mood, codec_pair CASCADE;
DROP DOMAIN codec_word;
SELECT count(doris_drop_namespace(name)) FROM doris_namespaces WHERE name LIKE 'codec\_%';
