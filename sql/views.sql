-- Views over foreign tables: CHECK OPTION, security barriers, rules; constraints and generated columns of the tables under them.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'views\_%';
DROP ROLE IF EXISTS regress_doris_reader;
CREATE FOREIGN TABLE views_t (
	id int NOT NULL, owner text DEFAULT 'nobody', a int CONSTRAINT a_small CHECK (a < 1000), b int GENERATED ALWAYS AS (coalesce(a, 0) + id) STORED,
	CONSTRAINT a_above_id CHECK (a > -id)) SERVER doris OPTIONS (key 'id');

-- constraints are checked here, for every way in
INSERT INTO views_t (id, a) VALUES (1, 1), (2, NULL), (3, 30);
INSERT INTO views_t (id, a) VALUES (4, 1000);
INSERT INTO views_t (id, a) VALUES (4, 4), (5, -5);
UPDATE views_t SET a = 1001 WHERE id = 1;
UPDATE views_t SET a = a - 100 WHERE a > 10;
COPY views_t (id, a) FROM stdin;
4	4
5	5000
\.
INSERT INTO views_t (id, a) SELECT g, g * 100 FROM generate_series(6, 12) g ON CONFLICT DO NOTHING;
INSERT INTO views_t (id, b) VALUES (4, 4);
UPDATE views_t SET b = 4;
SELECT * FROM views_t ORDER BY id;
-- what is generated follows what is changed, the key too
UPDATE views_t SET a = 5 WHERE id = 3 RETURNING *;
UPDATE views_t SET id = 33 WHERE id = 3 RETURNING *;
SELECT * FROM views_t WHERE b = 38;
SELECT * FROM views_t WHERE b > 30 AND a = 5;
ALTER FOREIGN TABLE views_t ADD CONSTRAINT late CHECK (a <> 7) NOT VALID;
INSERT INTO views_t (id, a) VALUES (7, 7);
ALTER FOREIGN TABLE views_t DROP CONSTRAINT late;
ALTER FOREIGN TABLE views_t ADD UNIQUE (a);
ALTER FOREIGN TABLE views_t ADD FOREIGN KEY (a) REFERENCES pg_class (oid);
CREATE TABLE views_bad (id int REFERENCES views_t);
ALTER FOREIGN TABLE views_t ADD EXCLUDE (a WITH =);

-- CHECK OPTION, of one view and of a view upon it
CREATE VIEW views_low AS SELECT id, owner, a FROM views_t WHERE a < 100 WITH LOCAL CHECK OPTION;
CREATE VIEW views_even AS SELECT id, a FROM views_low WHERE id % 2 = 0 WITH CASCADED CHECK OPTION;
INSERT INTO views_low VALUES (10, 'x', 10), (11, 'x', 11) RETURNING *;
INSERT INTO views_low VALUES (12, 'x', 12), (13, 'x', 113);
SELECT count(*) FROM views_t WHERE id IN (12, 13);
INSERT INTO views_even VALUES (20, 20);
INSERT INTO views_even VALUES (21, 20);
INSERT INTO views_even VALUES (22, 220);
UPDATE views_low SET a = a + 100 WHERE id = 10;
UPDATE views_low SET a = a + 1 WHERE id = 10 RETURNING *;
UPDATE views_even SET id = 23 WHERE id = 20;
UPDATE views_even SET id = 24, a = 99 WHERE id = 20 RETURNING *;
UPDATE views_even SET a = a + 1 WHERE id = 24;
COPY views_low FROM stdin;
30	copied	30
\.
INSERT INTO views_low VALUES (10, 'x', 10), (31, 'x', 31) ON CONFLICT DO NOTHING;
INSERT INTO views_low VALUES (32, 'x', 320) ON CONFLICT DO NOTHING;
BEGIN;
INSERT INTO views_low VALUES (40, 'x', 40);
SAVEPOINT s;
UPDATE views_low SET a = 400 WHERE id = 40;
ROLLBACK TO s;
SELECT * FROM views_low WHERE id = 40;
COMMIT;
DELETE FROM views_even WHERE id > 10 RETURNING *;
SELECT id, a FROM views_t ORDER BY id;
-- many rows at once
INSERT INTO views_low SELECT g, 'many', g % 100 FROM generate_series(1000, 1999) g;
INSERT INTO views_low SELECT g, 'many', g - 2000 FROM generate_series(2000, 2999) g;
SELECT count(*), sum(a) FROM views_low WHERE owner = 'many';
DELETE FROM views_low WHERE owner = 'many';
SELECT count(*) FROM views_t WHERE id >= 1000;

-- a security barrier: a function that tells what it sees is not asked about rows that the view hides
CREATE FUNCTION views_tell(text, int) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE WARNING 'told % of %', $2, $1; RETURN true; END $$;
CREATE ROLE regress_doris_reader;
INSERT INTO views_t (id, owner, a) VALUES (50, 'regress_doris_reader', 1), (51, 'somebody', 2);
CREATE VIEW views_open AS SELECT id, owner, a FROM views_t WHERE owner = CURRENT_USER;
CREATE VIEW views_barrier WITH (security_barrier) AS SELECT id, owner, a FROM views_t WHERE owner = CURRENT_USER;
CREATE VIEW views_invoker WITH (security_invoker) AS SELECT id, owner, a FROM views_t;
GRANT SELECT, INSERT, UPDATE, DELETE ON views_barrier, views_invoker TO regress_doris_reader;
GRANT CREATE, USAGE ON SCHEMA public TO regress_doris_reader;
SET ROLE regress_doris_reader;
SELECT * FROM views_barrier WHERE views_tell(owner, a);
SELECT * FROM views_barrier WHERE views_tell(owner, a) AND id = 51;
UPDATE views_barrier SET a = a + 1 WHERE views_tell(owner, a) RETURNING *;
DELETE FROM views_barrier WHERE views_tell(owner, a) AND id = 51;
SELECT count(*) FROM views_invoker;
SELECT count(*) FROM views_t;
RESET ROLE;
EXPLAIN (COSTS OFF) SELECT * FROM views_barrier WHERE a > 0 AND views_tell(owner, a) AND id > 3;
GRANT SELECT (id, a) ON views_t TO regress_doris_reader;
SET ROLE regress_doris_reader;
SELECT id, a FROM views_t WHERE id = 50;
SELECT id FROM views_t WHERE owner = 'somebody';
SELECT views_t FROM views_t WHERE id = 50;
RESET ROLE;
-- row level security is not for foreign tables
ALTER TABLE views_t ENABLE ROW LEVEL SECURITY;
CREATE POLICY views_policy ON views_t USING (owner = CURRENT_USER);
SELECT relrowsecurity FROM pg_class WHERE relname = 'views_t';

-- rules: not on a foreign table, but on views of it
CREATE FOREIGN TABLE views_log (n int, what text) SERVER doris OPTIONS (key 'n');
CREATE RULE views_none AS ON UPDATE TO views_t DO ALSO INSERT INTO views_log VALUES (OLD.id, 'changed');
CREATE VIEW views_all AS SELECT * FROM views_t;
CREATE RULE views_also AS ON UPDATE TO views_all DO ALSO INSERT INTO views_log SELECT OLD.id, 'now ' || coalesce(NEW.a::text, '-');
UPDATE views_all SET a = a + 10 WHERE id IN (50, 51);
SELECT * FROM views_log ORDER BY n;
SELECT id, a FROM views_t WHERE id IN (50, 51) ORDER BY id;
DROP RULE views_also ON views_all;
CREATE RULE views_keep AS ON DELETE TO views_all WHERE OLD.owner = 'somebody' DO INSTEAD NOTHING;
DELETE FROM views_all WHERE id IN (50, 51);
SELECT id FROM views_t WHERE id IN (50, 51);
DROP RULE views_keep ON views_all;
CREATE RULE views_soft AS ON DELETE TO views_all DO INSTEAD UPDATE views_t SET owner = 'deleted' WHERE id = OLD.id RETURNING OLD.*;
DELETE FROM views_all WHERE id = 51 RETURNING id, owner;
SELECT id, owner FROM views_t WHERE id = 51;
CREATE VIEW views_joined AS SELECT t.id, t.a, l.what FROM views_t t LEFT JOIN views_log l ON l.n = t.id;
INSERT INTO views_joined VALUES (60, 1, 'x');
CREATE RULE views_both AS ON INSERT TO views_joined DO INSTEAD (INSERT INTO views_t (id, a) VALUES (NEW.id, NEW.a); INSERT INTO views_log VALUES (NEW.id, NEW.what));
INSERT INTO views_joined VALUES (60, 1, 'by rule');
SELECT * FROM views_joined WHERE id = 60;

-- MERGE does not take foreign tables as its target, but as its source
CREATE TEMP TABLE views_local (id int PRIMARY KEY, a int);
INSERT INTO views_local VALUES (51, 0), (60, 0), (61, 0);
MERGE INTO views_t t USING views_local l ON t.id = l.id WHEN MATCHED THEN UPDATE SET a = l.a;
MERGE INTO views_low t USING views_local l ON t.id = l.id WHEN NOT MATCHED THEN INSERT VALUES (l.id, 'x', l.a);
MERGE INTO views_local l USING (SELECT id, a FROM views_t WHERE id >= 51) t ON t.id = l.id
	WHEN MATCHED AND t.a < 2 THEN DELETE WHEN MATCHED THEN UPDATE SET a = t.a WHEN NOT MATCHED THEN INSERT VALUES (t.id, t.a);
SELECT * FROM views_local ORDER BY id;

DROP FOREIGN TABLE views_t, views_log CASCADE;
DROP FUNCTION views_tell;
REVOKE ALL ON SCHEMA public FROM regress_doris_reader;
DROP ROLE regress_doris_reader;
SELECT count(doris_drop_namespace(name)) FROM doris_namespaces WHERE name LIKE 'views\_%';
