-- The main job: rows in and out of a foreign table.
SET client_min_messages = warning;
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'basics\_%';

CREATE FOREIGN TABLE basics_t (id int, name text, qty int, note text)
	SERVER doris OPTIONS (key 'id');

SELECT * FROM basics_t;
SELECT count(*), sum(qty) FROM basics_t;

INSERT INTO basics_t VALUES (1, 'one', 10, NULL);
INSERT INTO basics_t VALUES (2, 'two', 20, 'second'), (3, 'three', 30, NULL) RETURNING id, name, qty * 2 AS twice;
INSERT INTO basics_t (id) SELECT g FROM generate_series(4, 8) g;
SELECT * FROM basics_t ORDER BY id;
SELECT * FROM basics_t WHERE id = 2;
SELECT * FROM basics_t WHERE id = 99;
SELECT name FROM basics_t WHERE id IN (1, 3, 99) ORDER BY id;
SELECT id FROM basics_t WHERE name IS NULL ORDER BY id;
SELECT id FROM basics_t WHERE qty > 10 AND note IS NULL;
SELECT count(*), sum(qty), min(id), max(id) FROM basics_t;
SELECT id FROM basics_t ORDER BY id DESC LIMIT 2 OFFSET 1;
SELECT tableoid::regclass, id FROM basics_t WHERE id = 1;
SELECT t FROM basics_t t WHERE id = 1;

-- update
UPDATE basics_t SET qty = qty + 1 WHERE id = 1;
WITH x AS (UPDATE basics_t SET qty = 0, note = 'all of them' WHERE id > 4 RETURNING id, qty, note) SELECT * FROM x ORDER BY 1;
UPDATE basics_t SET name = NULL WHERE id = 99;
UPDATE basics_t SET (name, qty) = (SELECT 'from a subselect', 7) WHERE id = 4 RETURNING *;
WITH x AS (UPDATE basics_t t SET note = v.n FROM (VALUES (1, 'uno'), (2, 'dos'), (50, 'none')) v(i, n) WHERE t.id = v.i RETURNING t.id, t.note, v.n) SELECT * FROM x ORDER BY 1;
-- of the key: the row moves
UPDATE basics_t SET id = 100 WHERE id = 8 RETURNING *;
UPDATE basics_t SET id = 1 WHERE id = 100;
SELECT id FROM basics_t WHERE id IN (1, 8, 100) ORDER BY id;

-- delete
DELETE FROM basics_t WHERE id = 100 RETURNING *;
DELETE FROM basics_t WHERE id = 100;
WITH x AS (DELETE FROM basics_t t USING (VALUES (5), (6)) v(i) WHERE t.id = v.i RETURNING t.id) SELECT * FROM x ORDER BY 1;
WITH x AS (DELETE FROM basics_t WHERE note = 'all of them' RETURNING id) SELECT * FROM x ORDER BY 1;
SELECT * FROM basics_t ORDER BY id;

-- what is deleted may come again
INSERT INTO basics_t VALUES (5, 'again');
SELECT * FROM basics_t WHERE id = 5;

-- duplicates
INSERT INTO basics_t VALUES (1, 'duplicate');
INSERT INTO basics_t VALUES (20, 'a'), (20, 'b');
INSERT INTO basics_t VALUES (21, 'new'), (1, 'duplicate');
SELECT id FROM basics_t WHERE id > 10;
INSERT INTO basics_t VALUES (1, 'skipped'), (22, 'new'), (22, 'skipped') ON CONFLICT DO NOTHING;
INSERT INTO basics_t VALUES (1, 'skipped'), (23, 'new') ON CONFLICT DO NOTHING RETURNING id, name;
INSERT INTO basics_t VALUES (1, 'x') ON CONFLICT (id) DO NOTHING;
INSERT INTO basics_t VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = 'x';
SELECT * FROM basics_t WHERE id IN (1, 22, 23) ORDER BY id;

-- a NULL key
INSERT INTO basics_t VALUES (NULL, 'no key');
UPDATE basics_t SET id = NULL WHERE id = 1;
SELECT count(*) FROM basics_t WHERE id IS NULL;
SELECT count(*) FROM basics_t WHERE id = NULL;

-- copy
COPY basics_t FROM stdin;
30	thirty	300	\N
31	thirty-one	310	a note
32	\N	\N	\N
\.
COPY basics_t (id, note) FROM stdin WITH (FORMAT csv);
33,"quoted, with a comma"
34,
\.
COPY basics_t FROM stdin;
35	never	1	\N
30	duplicate	1	\N
\.
COPY (SELECT * FROM basics_t WHERE id >= 30 ORDER BY id) TO stdout;

-- joins
CREATE TEMP TABLE basics_local (id int PRIMARY KEY, label text);
INSERT INTO basics_local SELECT g, 'label ' || g FROM generate_series(1, 40) g;
ANALYZE basics_local;
SELECT l.label, t.name FROM basics_local l JOIN basics_t t USING (id) WHERE l.id < 10 ORDER BY l.id;
SELECT l.id, t.name FROM basics_local l LEFT JOIN basics_t t USING (id) WHERE l.id BETWEEN 2 AND 6 ORDER BY l.id;
SELECT count(*) FROM basics_t a JOIN basics_t b ON a.id = b.id;
SELECT id FROM basics_t t WHERE NOT EXISTS (SELECT FROM basics_local l WHERE l.id = t.id);
SELECT id, (SELECT label FROM basics_local l WHERE l.id = t.id) FROM basics_t t WHERE id < 4 ORDER BY id;
WITH gone AS (DELETE FROM basics_t WHERE id >= 33 RETURNING id), kept AS (INSERT INTO basics_local SELECT id + 1000, 'gone' FROM gone RETURNING id)
	SELECT * FROM kept ORDER BY id;

-- prepared
PREPARE basics_get(int) AS SELECT name FROM basics_t WHERE id = $1;
PREPARE basics_many(int[]) AS SELECT id FROM basics_t WHERE id = ANY ($1) ORDER BY id;
PREPARE basics_put(int, text) AS INSERT INTO basics_t (id, name) VALUES ($1, $2);
SET plan_cache_mode = force_generic_plan;
EXECUTE basics_get(2);
EXECUTE basics_get(NULL);
EXECUTE basics_many('{1,2,77}');
EXECUTE basics_many('{}');
EXECUTE basics_many(NULL);
EXECUTE basics_put(40, 'prepared');
EXECUTE basics_get(40);
RESET plan_cache_mode;
DEALLOCATE ALL;

-- truncate
TRUNCATE basics_t;
SELECT count(*) FROM basics_t;
INSERT INTO basics_t VALUES (1, 'after');
SELECT * FROM basics_t;

-- many rows, each once
INSERT INTO basics_t SELECT g, 'row ' || g, g % 100, NULL FROM generate_series(2, 5000) g;
SELECT count(*), count(DISTINCT id), sum(id), sum(qty) FROM basics_t;
UPDATE basics_t SET qty = -1 WHERE id % 2 = 0;
DELETE FROM basics_t WHERE id % 5 = 0;
SELECT count(*), count(*) FILTER (WHERE qty = -1), sum(id) FROM basics_t;
SELECT id, name FROM basics_t ORDER BY name LIMIT 3;
ANALYZE basics_t;

-- a large value
INSERT INTO basics_t VALUES (6001, repeat('x', 3000000));
SELECT length(name), md5(name) = md5(repeat('x', 3000000)) AS same FROM basics_t WHERE id = 6001;
INSERT INTO basics_t VALUES (6002, repeat('x', 17000000));

DROP FOREIGN TABLE basics_t;
SELECT count(doris_drop_namespace(name)) FROM doris_namespaces WHERE name LIKE 'basics\_%';
