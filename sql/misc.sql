-- Foreign tables under PostgreSQL's other features.
SET client_min_messages = warning;
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'misc\_%';

-- defaults, generated columns, triggers
CREATE FOREIGN TABLE misc_t (id int, a int DEFAULT 5, b int GENERATED ALWAYS AS (a * 2) STORED, note text)
	SERVER doris OPTIONS (key 'id');
CREATE FUNCTION pg_temp.misc_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_WHEN = 'BEFORE' AND TG_OP <> 'DELETE' THEN
		NEW.note := coalesce(NEW.note, '') || ' by trigger';
		RETURN NEW;
	END IF;
	RAISE WARNING '% % %: % -> %', TG_WHEN, TG_OP, TG_LEVEL, to_jsonb(OLD), to_jsonb(NEW);
	RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER misc_before BEFORE INSERT OR UPDATE OR DELETE ON misc_t FOR EACH ROW EXECUTE FUNCTION pg_temp.misc_trigger();
CREATE TRIGGER misc_after AFTER INSERT OR UPDATE OR DELETE ON misc_t FOR EACH ROW EXECUTE FUNCTION pg_temp.misc_trigger();
CREATE TRIGGER misc_statement AFTER INSERT ON misc_t FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.misc_trigger();
INSERT INTO misc_t (id) VALUES (1);
INSERT INTO misc_t (id, a) VALUES (2, 7), (3, 8);
UPDATE misc_t SET a = a + 1 WHERE id = 2;
DELETE FROM misc_t WHERE id = 3;
SELECT * FROM misc_t ORDER BY id;
SELECT id FROM misc_t WHERE b = 16;
COPY misc_t (id, a) FROM stdin;
4	40
\.
DROP TRIGGER misc_before ON misc_t;
DROP TRIGGER misc_after ON misc_t;
DROP TRIGGER misc_statement ON misc_t;
UPDATE misc_t SET a = 100 WHERE id = 4 RETURNING b;

-- views
CREATE TEMP VIEW misc_view AS SELECT id, a FROM misc_t WHERE a > 50 WITH CHECK OPTION;
INSERT INTO misc_view VALUES (10, 60);
INSERT INTO misc_view VALUES (11, 40);
UPDATE misc_view SET a = 1 WHERE id = 10;
UPDATE misc_view SET a = 61 WHERE id = 10 RETURNING *;
DELETE FROM misc_view WHERE id = 1;
SELECT * FROM misc_view ORDER BY id;
SELECT id FROM misc_t ORDER BY id;

-- NOT NULL
CREATE FOREIGN TABLE misc_notnull (id int NOT NULL, v text NOT NULL) SERVER doris OPTIONS (key 'id');
INSERT INTO misc_notnull VALUES (1, 'fine');
INSERT INTO misc_notnull VALUES (NULL, 'x');

-- partitions: one local, two foreign
CREATE TABLE misc_p (id int, region text, v text) PARTITION BY LIST (region);
CREATE TABLE misc_p_local PARTITION OF misc_p FOR VALUES IN ('local');
CREATE FOREIGN TABLE misc_p_eu PARTITION OF misc_p FOR VALUES IN ('eu') SERVER doris OPTIONS (key 'region,id');
CREATE FOREIGN TABLE misc_p_us PARTITION OF misc_p FOR VALUES IN ('us') SERVER doris OPTIONS (key 'region,id');
INSERT INTO misc_p SELECT g, (ARRAY['local', 'eu', 'us'])[g % 3 + 1], 'v' || g FROM generate_series(1, 12) g;
SELECT tableoid::regclass, count(*) FROM misc_p GROUP BY 1 ORDER BY 1;
COPY misc_p FROM stdin;
20	eu	copied
21	local	copied
22	us	copied
\.
SELECT tableoid::regclass, * FROM misc_p WHERE v = 'copied' ORDER BY id;
SELECT * FROM misc_p WHERE region = 'eu' AND id = 4;
WITH x AS (UPDATE misc_p SET v = 'updated' WHERE id IN (1, 2, 3) RETURNING tableoid::regclass, id) SELECT * FROM x ORDER BY id;
-- from a local partition to a foreign one
UPDATE misc_p SET region = 'us' WHERE id = 21;
DELETE FROM misc_p WHERE region = 'eu' AND id > 15;
SELECT count(*), count(*) FILTER (WHERE v = 'updated') FROM misc_p;
SELECT tableoid::regclass, * FROM misc_p WHERE id > 15 ORDER BY id;
TRUNCATE misc_p;
SELECT count(*) FROM misc_p;
DROP TABLE misc_p;

-- inheritance
CREATE TABLE misc_parent (id int, v text);
CREATE FOREIGN TABLE misc_child () INHERITS (misc_parent) SERVER doris OPTIONS (key 'id');
INSERT INTO misc_parent VALUES (1, 'parent');
INSERT INTO misc_child VALUES (1, 'child'), (2, 'child');
SELECT tableoid::regclass, * FROM misc_parent ORDER BY 1, 2;
UPDATE misc_parent SET v = v || ' updated' WHERE id = 1;
DELETE FROM misc_parent WHERE id = 2;
SELECT tableoid::regclass, * FROM misc_parent ORDER BY 1, 2;
DROP FOREIGN TABLE misc_child;
DROP TABLE misc_parent;

-- functions, rules of locking, odd statements
SELECT id FROM misc_t WHERE id = 1 FOR UPDATE;
LOCK TABLE misc_t;
BEGIN;
LOCK TABLE misc_t IN ACCESS EXCLUSIVE MODE;
ROLLBACK;
CREATE INDEX ON misc_t (a);
ALTER FOREIGN TABLE misc_t ADD PRIMARY KEY (id);
SELECT ctid IS NOT NULL AS has_ctid FROM misc_t WHERE id = 1;
SELECT * FROM misc_t TABLESAMPLE SYSTEM (10);
MERGE INTO misc_t t USING (VALUES (1, 5)) v(id, a) ON t.id = v.id WHEN MATCHED THEN UPDATE SET a = v.a;
CREATE TEMP TABLE misc_copy AS SELECT id, a FROM misc_t;
SELECT count(*) > 0 AS copied FROM misc_copy;
CREATE MATERIALIZED VIEW misc_mat AS SELECT count(*) AS n FROM misc_t;
SELECT n > 0 AS counted FROM misc_mat;
DROP MATERIALIZED VIEW misc_mat;
-- a table with nothing but its key; one with a quoted name
CREATE FOREIGN TABLE misc_only (id int) SERVER doris OPTIONS (key 'id');
INSERT INTO misc_only SELECT generate_series(1, 3);
SELECT * FROM misc_only ORDER BY id;
UPDATE misc_only SET id = id WHERE id = 1;
DELETE FROM misc_only WHERE id = 2 RETURNING *;
SELECT count(*) FROM misc_only;
CREATE FOREIGN TABLE "misc_Odd name" ("the Key" text, "a,b" int) SERVER doris OPTIONS (key '"the Key"');
INSERT INTO "misc_Odd name" VALUES ('x', 1);
SELECT "a,b" FROM "misc_Odd name" WHERE "the Key" = 'x';

DROP FOREIGN TABLE misc_t, misc_notnull, misc_only, "misc_Odd name" CASCADE;
SELECT count(doris_drop_namespace(name)) FROM doris_namespaces WHERE name LIKE 'misc\_%';
