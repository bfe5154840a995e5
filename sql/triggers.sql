-- Triggers on foreign tables: of rows and statements, before and after, that change, skip, refuse or write more rows.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'trig\_%';
CREATE FOREIGN TABLE trig_t (id int, a int, b int GENERATED ALWAYS AS (a * 2) STORED, note text DEFAULT 'default') SERVER doris OPTIONS (key 'id');
CREATE FOREIGN TABLE trig_log (op text, id int, old_a int, new_a int) SERVER doris OPTIONS (key 'op,id');
CREATE TEMP TABLE trig_calls (n serial, line text);

CREATE FUNCTION pg_temp.trig_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO trig_calls (line) SELECT format('%s %s %s %s: %s -> %s', TG_NAME, TG_WHEN, TG_OP, TG_LEVEL, to_jsonb(OLD), to_jsonb(NEW));
	RETURN CASE WHEN TG_LEVEL = 'STATEMENT' THEN NULL WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE FUNCTION pg_temp.trig_calls() RETURNS SETOF text LANGUAGE sql AS
	$$ WITH gone AS (DELETE FROM trig_calls RETURNING *) SELECT line FROM gone ORDER BY n $$;

-- all kinds, in their order
CREATE TRIGGER bs BEFORE INSERT OR UPDATE OR DELETE ON trig_t FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.trig_note();
CREATE TRIGGER br BEFORE INSERT OR UPDATE OR DELETE ON trig_t FOR EACH ROW EXECUTE FUNCTION pg_temp.trig_note();
CREATE TRIGGER ar AFTER INSERT OR UPDATE OR DELETE ON trig_t FOR EACH ROW EXECUTE FUNCTION pg_temp.trig_note();
CREATE TRIGGER ast AFTER INSERT OR UPDATE OR DELETE ON trig_t FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.trig_note();
INSERT INTO trig_t (id, a) VALUES (1, 1), (2, 2);
SELECT pg_temp.trig_calls();
UPDATE trig_t SET a = a + 10 WHERE id = 1 RETURNING id, a, b;
SELECT pg_temp.trig_calls();
-- by a filter that a node can judge, and without a row
UPDATE trig_t SET a = 0 WHERE a > 100;
SELECT pg_temp.trig_calls();
-- the key
UPDATE trig_t SET id = 3 WHERE id = 2;
SELECT pg_temp.trig_calls();
DELETE FROM trig_t WHERE a = 2;
SELECT pg_temp.trig_calls();
COPY trig_t (id, a) FROM stdin;
4	4
\.
SELECT pg_temp.trig_calls();
INSERT INTO trig_t (id, a) VALUES (4, 5) ON CONFLICT DO NOTHING;
SELECT pg_temp.trig_calls();
-- what is refused leaves nothing of its triggers
INSERT INTO trig_t (id, a) VALUES (4, 5);
SELECT pg_temp.trig_calls();
DROP TRIGGER bs ON trig_t;
DROP TRIGGER br ON trig_t;
DROP TRIGGER ar ON trig_t;
DROP TRIGGER ast ON trig_t;

-- a condition, columns, an argument
CREATE TRIGGER cond AFTER UPDATE ON trig_t FOR EACH ROW WHEN (OLD.a IS DISTINCT FROM NEW.a AND NEW.id < 100) EXECUTE FUNCTION pg_temp.trig_note('x');
CREATE TRIGGER cols BEFORE UPDATE OF note ON trig_t FOR EACH ROW EXECUTE FUNCTION pg_temp.trig_note();
UPDATE trig_t SET a = a WHERE id = 1;
UPDATE trig_t SET a = a + 1 WHERE id = 1;
UPDATE trig_t SET note = 'other' WHERE id = 4;
SELECT pg_temp.trig_calls();
ALTER FOREIGN TABLE trig_t DISABLE TRIGGER ALL;
UPDATE trig_t SET a = 4, note = 'unseen';
SELECT pg_temp.trig_calls();
ALTER FOREIGN TABLE trig_t ENABLE TRIGGER ALL;
DROP TRIGGER cond ON trig_t;
DROP TRIGGER cols ON trig_t;

-- a trigger that changes the row, its key too; generated columns follow
CREATE FUNCTION pg_temp.trig_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.a := coalesce(NEW.a, 0) + 100;
	IF NEW.note = 'move' THEN
		NEW.id := NEW.id + 1000;
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER change BEFORE INSERT OR UPDATE ON trig_t FOR EACH ROW EXECUTE FUNCTION pg_temp.trig_change();
INSERT INTO trig_t (id, note) VALUES (10, 'stay'), (11, 'move') RETURNING *;
UPDATE trig_t SET note = 'move' WHERE id = 10 RETURNING *;
UPDATE trig_t SET note = 'again' WHERE a > 150 RETURNING id, a, b, note;
SELECT * FROM trig_t ORDER BY id;
-- to a key that is there
INSERT INTO trig_t (id, note) VALUES (10, 'move');
SELECT id FROM trig_t WHERE id IN (10, 1010) ORDER BY id;
DROP TRIGGER change ON trig_t;

-- a trigger that skips
CREATE FUNCTION pg_temp.trig_skip() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF coalesce(NEW.id, OLD.id) % 2 = 0 THEN RETURN NULL; END IF;
	RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER skip BEFORE INSERT OR UPDATE OR DELETE ON trig_t FOR EACH ROW EXECUTE FUNCTION pg_temp.trig_skip();
INSERT INTO trig_t (id, a) VALUES (20, 20), (21, 21), (22, 22) RETURNING id;
WITH x AS (UPDATE trig_t SET note = 'odd' RETURNING id) SELECT id FROM x ORDER BY id;
WITH x AS (DELETE FROM trig_t WHERE id > 10 RETURNING id) SELECT id FROM x ORDER BY id;
SELECT id, note FROM trig_t ORDER BY id;
DROP TRIGGER skip ON trig_t;

-- a trigger that refuses
CREATE FUNCTION pg_temp.trig_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'row % of % refused', coalesce(NEW.id, OLD.id), TG_OP; END $$;
CREATE TRIGGER refuse AFTER INSERT OR DELETE ON trig_t FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION pg_temp.trig_refuse();
INSERT INTO trig_t (id) VALUES (30);
BEGIN;
SAVEPOINT s;
DELETE FROM trig_t WHERE id = 4;
ROLLBACK TO s;
UPDATE trig_t SET note = 'kept' WHERE id = 4;
COMMIT;
SELECT id, note FROM trig_t WHERE id IN (4, 30);
DROP TRIGGER refuse ON trig_t;

-- triggers that write: another foreign table, the same one
CREATE FUNCTION pg_temp.trig_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO trig_log VALUES (TG_OP, coalesce(NEW.id, OLD.id), OLD.a, NEW.a);
	RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON trig_t FOR EACH ROW EXECUTE FUNCTION pg_temp.trig_audit();
INSERT INTO trig_t (id, a) SELECT g, g FROM generate_series(40, 44) g;
UPDATE trig_t SET a = a * 2 WHERE id BETWEEN 41 AND 42;
DELETE FROM trig_t WHERE id = 44;
BEGIN;
DELETE FROM trig_t WHERE id BETWEEN 40 AND 43;
SELECT count(*) FROM trig_log;
ROLLBACK;
SELECT * FROM trig_log ORDER BY op, id;
DROP TRIGGER audit ON trig_t;
CREATE FUNCTION pg_temp.trig_twin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.id < 1000 THEN
		INSERT INTO trig_t (id, a) VALUES (NEW.id + 1000, NEW.a);
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER twin AFTER INSERT ON trig_t FOR EACH ROW EXECUTE FUNCTION pg_temp.trig_twin();
INSERT INTO trig_t (id, a) SELECT g, g FROM generate_series(50, 53) g;
SELECT id FROM trig_t WHERE id IN (50, 53, 1050, 1053) ORDER BY id;
DROP TRIGGER twin ON trig_t;
-- one that changes the row that its command is about to change
CREATE FUNCTION pg_temp.trig_meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE trig_t SET note = 'meddled' WHERE id = NEW.id + TG_ARGV[0]::int;
	RETURN NEW;
END $$;
CREATE TRIGGER meddle BEFORE UPDATE ON trig_t FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION pg_temp.trig_meddle(0);
UPDATE trig_t SET a = 1 WHERE id = 50;
DROP TRIGGER meddle ON trig_t;
CREATE TRIGGER meddle AFTER UPDATE ON trig_t FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION pg_temp.trig_meddle(0);
UPDATE trig_t SET a = 1 WHERE id = 50;
SELECT id, a, note FROM trig_t WHERE id = 50;
DROP TRIGGER meddle ON trig_t;

-- triggers on a view
CREATE TEMP VIEW trig_view AS SELECT id, a FROM trig_t WHERE id BETWEEN 50 AND 59;
CREATE FUNCTION pg_temp.trig_instead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'DELETE' THEN
		DELETE FROM trig_t WHERE id = OLD.id;
		RETURN OLD;
	END IF;
	UPDATE trig_t SET a = -NEW.a WHERE id = NEW.id;
	RETURN NEW;
END $$;
CREATE TRIGGER instead INSTEAD OF UPDATE OR DELETE ON trig_view FOR EACH ROW EXECUTE FUNCTION pg_temp.trig_instead();
UPDATE trig_view SET a = 7 WHERE id IN (51, 52);
DELETE FROM trig_view WHERE id = 53;
SELECT * FROM trig_view ORDER BY id;

-- what PostgreSQL does not have for foreign tables
CREATE TRIGGER no_transition AFTER INSERT ON trig_t REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.trig_note();
CREATE CONSTRAINT TRIGGER no_constraint AFTER INSERT ON trig_t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp.trig_note();
CREATE TRIGGER no_instead INSTEAD OF INSERT ON trig_t FOR EACH ROW EXECUTE FUNCTION pg_temp.trig_note();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON trig_t FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.trig_note();
-- transition tables of a partitioned table or a parent would need the foreign rows
CREATE TABLE trig_p (id int, a int) PARTITION BY RANGE (id);
CREATE TABLE trig_p_local PARTITION OF trig_p FOR VALUES FROM (0) TO (100);
CREATE FOREIGN TABLE trig_p_foreign PARTITION OF trig_p FOR VALUES FROM (100) TO (200) SERVER doris OPTIONS (key 'id');
CREATE FUNCTION pg_temp.trig_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO trig_calls (line) SELECT TG_OP || ' ' || count(*) FROM touched;
	RETURN NULL;
END $$;
CREATE TRIGGER p_added AFTER INSERT ON trig_p REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.trig_count();
CREATE TRIGGER p_gone AFTER DELETE ON trig_p REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.trig_count();
CREATE TRIGGER p_changed AFTER UPDATE ON trig_p REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.trig_count();
INSERT INTO trig_p VALUES (1, 1), (2, 2);
INSERT INTO trig_p VALUES (101, 1);
INSERT INTO trig_p_foreign VALUES (101, 1);
UPDATE trig_p SET a = 0 WHERE id = 1;
UPDATE trig_p SET a = 0 WHERE id = 101;
DELETE FROM trig_p WHERE id = 2;
DELETE FROM trig_p WHERE id = 101;
SELECT pg_temp.trig_calls();
SELECT * FROM trig_p ORDER BY id;
DROP TABLE trig_p;

DROP FOREIGN TABLE trig_t, trig_log CASCADE;
SELECT count(doris_drop_namespace(name)) FROM doris_namespaces WHERE name LIKE 'trig\_%';
