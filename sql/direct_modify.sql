-- UPDATE and DELETE made by the scan itself: what goes that way, what does not, and that both do what a local table does.
SET client_min_messages = warning;
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'dm\_%';
CREATE TABLE dm_l (id int PRIMARY KEY, grp int, n int, v text, w numeric CHECK (w < 1000), x text NOT NULL);
CREATE FOREIGN TABLE dm_f (id int, grp int, n int, v text, w numeric CHECK (w < 1000), x text NOT NULL) SERVER doris OPTIONS (key 'id');
CREATE FOREIGN TABLE dm_d (id int, grp int, n int, v text, w numeric CHECK (w < 1000), x text NOT NULL)
	SERVER doris OPTIONS (key 'id', write_mode 'direct');
INSERT INTO dm_l SELECT g, g % 5, g, repeat('v', g % 7), g / 4.0, 'x' || g FROM generate_series(1, 200) g;
INSERT INTO dm_f SELECT * FROM dm_l;
INSERT INTO dm_d SELECT * FROM dm_l;
-- shows all columns but two: these are carried over
CREATE FOREIGN TABLE dm_part (id int, grp int, n int, v text) SERVER doris OPTIONS (key 'id', namespace 'dm_f');

-- what goes that way
EXPLAIN (COSTS OFF, VERBOSE) UPDATE dm_f SET v = upper(v), n = n + 1 WHERE id = 7;
EXPLAIN (COSTS OFF, VERBOSE) UPDATE dm_f SET n = 0 WHERE id IN (1, 2, 3) RETURNING id, v;
EXPLAIN (COSTS OFF) UPDATE dm_f SET n = n * 2 WHERE id > 10 AND id <= 20 AND grp = 2;
EXPLAIN (COSTS OFF, VERBOSE) DELETE FROM dm_f WHERE grp = 3;
EXPLAIN (COSTS OFF, VERBOSE) DELETE FROM dm_f WHERE id = 5 RETURNING v;
EXPLAIN (COSTS OFF, VERBOSE) DELETE FROM dm_f;
EXPLAIN (COSTS OFF, VERBOSE) UPDATE dm_d SET v = NULL WHERE id = 7;
EXPLAIN (COSTS OFF, VERBOSE) UPDATE dm_part SET v = 'p' WHERE id = 7;
PREPARE dm_update(int, text) AS UPDATE dm_f SET v = $2 WHERE id = $1;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE dm_update(1, 'one');
EXECUTE dm_update(1, 'one');
EXECUTE dm_update(1000, 'none');
RESET plan_cache_mode;
SELECT v FROM dm_f WHERE id = 1;
UPDATE dm_l SET v = 'one' WHERE id = 1;
-- an uncorrelated subquery is a parameter
EXPLAIN (COSTS OFF) UPDATE dm_f SET n = (SELECT max(id) FROM dm_l) WHERE id = (SELECT min(id) FROM dm_l);

-- what does not
EXPLAIN (COSTS OFF) UPDATE dm_f SET id = id + 1000 WHERE id = 7;
EXPLAIN (COSTS OFF) UPDATE dm_f SET v = 'x' WHERE v LIKE '%v%' AND length(v) > 3;
EXPLAIN (COSTS OFF) UPDATE dm_f SET v = l.v FROM dm_l l WHERE dm_f.id = l.id AND l.id < 0;
EXPLAIN (COSTS OFF) DELETE FROM dm_f WHERE id IN (SELECT id FROM dm_l WHERE grp < 0);
EXPLAIN (COSTS OFF) UPDATE dm_f SET n = (SELECT l.n FROM dm_l l WHERE l.id = dm_f.id) WHERE id = 3;
EXPLAIN (COSTS OFF) UPDATE dm_f SET (n, v) = (SELECT l.n, l.v FROM dm_l l WHERE l.id = dm_f.id) WHERE id = 3;
EXPLAIN (COSTS OFF) DELETE FROM dm_f WHERE id = 3 RETURNING xmin;
CREATE VIEW dm_view AS SELECT * FROM dm_f WHERE grp < 3 WITH CHECK OPTION;
EXPLAIN (COSTS OFF) UPDATE dm_view SET grp = grp + 1 WHERE id = 7;
EXPLAIN (COSTS OFF) DELETE FROM dm_view WHERE id = 7;

-- the same as in a local table: contents, rows returned, row counts and errors
CREATE FUNCTION dm_both(statement text, other text DEFAULT 'dm_f') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text[] := '{}';
	one text;
	n bigint;
	tab text;
BEGIN
	FOREACH tab IN ARRAY ARRAY['dm_l', other] LOOP
		BEGIN
			IF statement ~ 'RETURNING' THEN
				EXECUTE format('WITH changed AS (%s) SELECT string_agg(changed::text, '' '' ORDER BY changed::text) FROM changed',
					regexp_replace(statement, '\mT\M', tab, 'g')) INTO one;
			ELSE
				EXECUTE regexp_replace(statement, '\mT\M', tab, 'g');
				GET DIAGNOSTICS n = ROW_COUNT;
				one := n || ' rows';
			END IF;
		EXCEPTION WHEN OTHERS THEN
			one := SQLSTATE || ' ' || regexp_replace(SQLERRM, tab, 'T', 'g');
		END;
		result := result || coalesce(one, 'nothing');
	END LOOP;
	EXECUTE format('SELECT count(*) FROM ((SELECT * FROM dm_l EXCEPT ALL SELECT * FROM %I) UNION ALL (SELECT * FROM %I EXCEPT ALL SELECT * FROM dm_l)) d', other, other) INTO n;
	RETURN CASE WHEN n > 0 THEN format('%s ROWS DIFFER ', n) ELSE '' END ||
		CASE WHEN result[1] = result[2] THEN left(result[1], 100) ELSE format('%s BUT %s', result[1], result[2]) END;
END $$;
SELECT dm_both('UPDATE T SET n = n + 1 WHERE id = 7');
SELECT dm_both('UPDATE T SET n = n + 1 WHERE id = 7 RETURNING id, n, v');
SELECT dm_both('UPDATE T SET n = grp, grp = n WHERE id = ANY (ARRAY[3, 5, NULL, 5, 4000]) RETURNING *');
SELECT dm_both('UPDATE T SET v = repeat(v, 2), n = NULL WHERE grp = 2');
SELECT dm_both('UPDATE T SET v = NULL, w = w + 1 WHERE id BETWEEN 50 AND 60 AND grp <> 1');
SELECT dm_both('UPDATE T SET n = 100 / n WHERE id > 100 RETURNING id');
SELECT dm_both('UPDATE T SET n = 0 WHERE id = 150');
SELECT dm_both('UPDATE T SET n = 100 / n WHERE id > 100');
SELECT dm_both('UPDATE T SET n = 1 / (n - 1) WHERE id = 2 RETURNING n');
SELECT dm_both('UPDATE T SET w = 5000 WHERE id = 9');
SELECT dm_both('UPDATE T SET x = NULL WHERE id = 9');
SELECT dm_both('UPDATE T SET x = x || x, w = -w WHERE w > 40');
SELECT dm_both('DELETE FROM T WHERE id = 11');
SELECT dm_both('DELETE FROM T WHERE id = 11 RETURNING id');
SELECT dm_both('DELETE FROM T WHERE id IN (12, 13, 4000) RETURNING v, w, T');
SELECT dm_both('DELETE FROM T WHERE grp = 4 AND n IS NULL');
SELECT dm_both('DELETE FROM T WHERE id > 180 RETURNING id + n, tableoid::regclass IS NOT NULL');
SELECT dm_both('DELETE FROM T WHERE false');
SELECT dm_both('UPDATE T SET n = n + (SELECT max(n) FROM T) WHERE id < 10 RETURNING n');
SELECT dm_both('UPDATE T SET id = id + 500 WHERE id = 20 RETURNING id');
-- rows that the same command, and earlier ones of the transaction, have written
BEGIN;
SELECT dm_both('INSERT INTO T VALUES (300, 1, 1, ''new'', 1, ''x''), (301, 2, 1, ''new'', 1, ''x'')');
SELECT dm_both('UPDATE T SET n = n + 1, grp = grp + 1 WHERE id >= 300');
SELECT dm_both('UPDATE T SET n = n + 1 WHERE grp = 2 RETURNING id, n');
SELECT dm_both('DELETE FROM T WHERE id = 300 RETURNING *');
SAVEPOINT a;
SELECT dm_both('UPDATE T SET v = ''undone'' WHERE id < 50');
SELECT dm_both('DELETE FROM T WHERE id < 40');
ROLLBACK TO a;
SELECT dm_both('UPDATE T SET n = -1 WHERE id = 30 OR id = 300');
SELECT dm_both('INSERT INTO T VALUES (300, 1, 1, ''again'', 1, ''x'')');
SELECT dm_both('UPDATE T SET v = v || ''!'' WHERE id IN (30, 300, 301) RETURNING id, v');
COMMIT;
SELECT dm_both('UPDATE T SET v = v || ''?'' WHERE id IN (30, 300, 301) RETURNING id, v');
BEGIN;
SELECT dm_both('DELETE FROM T');
SELECT dm_both('UPDATE T SET n = 1');
ROLLBACK;
SELECT dm_both('UPDATE T SET n = n WHERE id = 1');
-- a function that changes the row which is being changed
CREATE FUNCTION dm_meddle(tab text, i int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('UPDATE %I SET v = ''meddled'' WHERE id = $1', tab) USING i;
	RETURN i;
END $$;
UPDATE dm_f SET n = dm_meddle('dm_f', 21) WHERE id = 21;
UPDATE dm_f SET n = dm_meddle('dm_f', 22) WHERE id = 21 RETURNING id, n;
UPDATE dm_l SET n = dm_meddle('dm_l', 22) WHERE id = 21 RETURNING id, n;
SELECT dm_both('UPDATE T SET n = n WHERE id IN (21, 22) RETURNING *');
-- a statement that works beyond the rows of one request
BEGIN;
SELECT dm_both('INSERT INTO T SELECT g, g % 9, g, ''v'', 1, ''x'' FROM generate_series(1001, 6000) g');
SELECT dm_both('UPDATE T SET v = v || n WHERE id > 500 AND grp < 4');
COMMIT;
SELECT dm_both('UPDATE T SET n = n + 1 WHERE id > 500 AND grp > 2');
SELECT dm_both('DELETE FROM T WHERE id = ANY ((SELECT array_agg(g) FROM generate_series(1000, 3500) g)::int[])');
-- rows count, also for EXPLAIN ANALYZE
CREATE FUNCTION dm_explain(q text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || q LOOP
		IF line ~ 'actual' THEN
			RETURN NEXT line;
		END IF;
	END LOOP;
END $$;
SELECT dm_explain('DELETE FROM dm_part WHERE id = 3501');
DELETE FROM dm_l WHERE id = 3501;
-- columns that the table does not have are carried over, also in rows that were just written
BEGIN;
UPDATE dm_part SET v = 'part', n = n + 1 WHERE id < 4;
WITH x AS (UPDATE dm_part SET v = v || '!' WHERE id < 4 RETURNING *) SELECT * FROM x ORDER BY id;
COMMIT;
UPDATE dm_l SET v = 'part!', n = n + 1 WHERE id < 4;
SELECT dm_both('UPDATE T SET n = n WHERE id < 4 RETURNING *');
-- keys that do not give their columns back (1.0 and 1.00), two columns, a column added later
CREATE FOREIGN TABLE dm_keys (a numeric, b text, v int) SERVER doris OPTIONS (key 'a,b', distribute_by 'a');
INSERT INTO dm_keys VALUES (1.0, 'x', 1), (1.00, 'y', 2), (2, 'x', 3);
ALTER FOREIGN TABLE dm_keys ADD COLUMN w text;
UPDATE dm_keys SET v = v * 10 WHERE a = 1.000;
UPDATE dm_keys SET w = 'w' || v, v = NULL WHERE a = 1 AND b = 'y' RETURNING *;
DELETE FROM dm_keys WHERE a = 2.0 RETURNING a, b;
SELECT * FROM dm_keys ORDER BY a, b;
-- domains, arrays, sub-columns
CREATE DOMAIN dm_positive AS int CHECK (VALUE > 0);
CREATE FOREIGN TABLE dm_types (id int, p dm_positive, arr int[], j jsonb) SERVER doris OPTIONS (key 'id');
INSERT INTO dm_types VALUES (1, 1, '{1,2}', '{"a": 1}');
UPDATE dm_types SET p = p - 1 WHERE id = 1;
UPDATE dm_types SET p = p + 1, arr[2] = arr[1] + 10, j['b'] = '2' WHERE id = 1 RETURNING *;
-- write_mode 'direct'
SELECT dm_both('DELETE FROM T', 'dm_f');
INSERT INTO dm_l SELECT * FROM dm_d;
SELECT dm_both('UPDATE T SET n = n + 1, v = v || ''d'' WHERE grp = 1', 'dm_d');
SELECT dm_both('UPDATE T SET n = n + 1 WHERE id IN (1, 2, 3) RETURNING *', 'dm_d');
SELECT dm_both('DELETE FROM T WHERE grp = 2 RETURNING id', 'dm_d');
SELECT dm_both('DELETE FROM T WHERE id > 150', 'dm_d');
SELECT dm_both('UPDATE T SET n = 0', 'dm_d');
UPDATE dm_d SET id = id + 1000 WHERE id = 1;
-- partitions: some local, some foreign; a row that moves into a foreign one is not changed twice
CREATE TABLE dm_parted (id int, n int) PARTITION BY RANGE (id);
CREATE TABLE dm_p1 PARTITION OF dm_parted FOR VALUES FROM (0) TO (100);
CREATE FOREIGN TABLE dm_p2 PARTITION OF dm_parted FOR VALUES FROM (100) TO (200) SERVER doris OPTIONS (key 'id');
CREATE FOREIGN TABLE dm_p3 PARTITION OF dm_parted FOR VALUES FROM (200) TO (300) SERVER doris OPTIONS (key 'id');
INSERT INTO dm_parted SELECT g, g FROM generate_series(0, 290, 10) g;
EXPLAIN (COSTS OFF) UPDATE dm_parted SET n = n + 1 WHERE id > 50;
UPDATE dm_parted SET n = n + 1 WHERE id > 50;
WITH x AS (UPDATE dm_parted SET n = n + 1 WHERE n % 3 = 0 AND id >= 90 RETURNING tableoid::regclass::text AS tab, id, n) SELECT * FROM x ORDER BY id;
WITH x AS (DELETE FROM dm_parted WHERE id IN (0, 110, 210) RETURNING tableoid::regclass::text AS tab, *) SELECT * FROM x ORDER BY id;
UPDATE dm_parted SET id = id + 105, n = n + 1000 WHERE id = 20;
SELECT tableoid::regclass, count(*), sum(id), sum(n) FROM dm_parted GROUP BY 1 ORDER BY 1;
CREATE TABLE dm_sides (id int, side int) PARTITION BY RANGE (side);
CREATE TABLE dm_s1 PARTITION OF dm_sides FOR VALUES FROM (0) TO (10);
CREATE FOREIGN TABLE dm_s2 PARTITION OF dm_sides FOR VALUES FROM (10) TO (20) SERVER doris OPTIONS (key 'id');
INSERT INTO dm_sides SELECT g, g FROM generate_series(1, 14) g;
UPDATE dm_sides SET side = side + 5 WHERE side BETWEEN 7 AND 14;
UPDATE dm_sides SET side = side + 3 WHERE side BETWEEN 7 AND 14;
SELECT tableoid::regclass, * FROM dm_sides ORDER BY id;
UPDATE dm_sides SET side = side - 10 WHERE id = 14;
-- a transition table above
CREATE FUNCTION dm_collect() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER dm_collected AFTER DELETE ON dm_sides REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION dm_collect();
EXPLAIN (COSTS OFF) UPDATE dm_sides SET side = side + 1 WHERE id = 14;
EXPLAIN (COSTS OFF) DELETE FROM dm_sides WHERE id = 14;
CREATE FUNCTION dm_seen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '% % %', TG_OP, TG_LEVEL, TG_WHEN; RETURN NULL; END $$;
CREATE TRIGGER dm_statement AFTER UPDATE ON dm_f FOR EACH STATEMENT EXECUTE FUNCTION dm_seen();
SET client_min_messages = notice;
INSERT INTO dm_f VALUES (1, 1, 1, '', 1, '');
EXPLAIN (COSTS OFF) UPDATE dm_f SET n = 2 WHERE id = 1;
UPDATE dm_f SET n = 2 WHERE id = 1;
CREATE TRIGGER dm_row AFTER UPDATE ON dm_f FOR EACH ROW EXECUTE FUNCTION dm_seen();
EXPLAIN (COSTS OFF) UPDATE dm_f SET n = 3 WHERE id = 1;
UPDATE dm_f SET n = 3 WHERE id = 1;
SELECT n FROM dm_f WHERE id = 1;
SET client_min_messages = warning;
DROP TABLE dm_parted, dm_sides, dm_l CASCADE;
DROP FOREIGN TABLE dm_f, dm_d, dm_part, dm_keys, dm_types CASCADE;
DROP FUNCTION dm_both, dm_explain, dm_meddle, dm_seen, dm_collect;
DROP DOMAIN dm_positive;
SELECT count(doris_drop_namespace(name)) FROM doris_namespaces WHERE name LIKE 'dm\_%';
