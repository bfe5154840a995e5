-- Foreign tables as partitions and as children: routing, pruning, rows that move, what PostgreSQL does not allow.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SELECT count(doris_drop_namespace(name)) >= 0 AS clean FROM doris_namespaces WHERE name LIKE 'part\_%';

-- two foreign partitions, a local one, a foreign default
CREATE TABLE part_t (id int, region text, v text) PARTITION BY LIST (region);
CREATE TABLE part_local PARTITION OF part_t FOR VALUES IN ('local');
CREATE FOREIGN TABLE part_eu PARTITION OF part_t FOR VALUES IN ('eu') SERVER doris OPTIONS (key 'region,id');
CREATE FOREIGN TABLE part_us PARTITION OF part_t FOR VALUES IN ('us') SERVER doris OPTIONS (key 'id');
CREATE FOREIGN TABLE part_rest PARTITION OF part_t DEFAULT SERVER doris OPTIONS (key 'region,id', distribute_by 'region');
INSERT INTO part_t SELECT g, (ARRAY['local', 'eu', 'us', 'asia', NULL])[g % 5 + 1], 'v' || g FROM generate_series(0, 19) g WHERE g % 5 < 4;
SELECT tableoid::regclass, count(*), min(id) FROM part_t GROUP BY 1 ORDER BY 1;
-- a NULL goes to the default partition, whose key takes none
INSERT INTO part_t VALUES (100, NULL, 'x');
-- RETURNING, ON CONFLICT, COPY: through the parent
WITH x AS (INSERT INTO part_t VALUES (30, 'eu', 'a'), (31, 'local', 'b'), (32, 'us', 'c') RETURNING tableoid::regclass AS rel, id, v) SELECT * FROM x ORDER BY id;
INSERT INTO part_t VALUES (30, 'eu', 'again');
INSERT INTO part_t VALUES (30, 'eu', 'again'), (33, 'eu', 'new') ON CONFLICT DO NOTHING;
INSERT INTO part_t VALUES (30, 'eu', 'again') ON CONFLICT (id, region) DO NOTHING;
INSERT INTO part_t VALUES (30, 'eu', 'again') ON CONFLICT (id) DO UPDATE SET v = 'x';
COPY part_t FROM stdin;
40	eu	copied
41	local	copied
42	us	copied
43	asia	copied
\.
COPY part_t FROM stdin;
45	us	copied
42	us	duplicate
46	local	copied
\.
SELECT tableoid::regclass, id, v FROM part_t WHERE id >= 30 ORDER BY id;
-- directly, what does not belong there
INSERT INTO part_eu VALUES (50, 'us', 'x');
INSERT INTO part_rest VALUES (50, 'us', 'x');
UPDATE part_eu SET region = 'us' WHERE id = 30;
COPY part_eu FROM stdin;
50	us	x
\.

-- pruning: when planned, when started, when run
EXPLAIN (COSTS OFF) SELECT * FROM part_t WHERE region = 'eu';
EXPLAIN (COSTS OFF) SELECT * FROM part_t WHERE region IN ('us', 'local') AND id = 7;
PREPARE part_get(text, int) AS SELECT tableoid::regclass, * FROM part_t WHERE region = $1 AND id = $2;
SET plan_cache_mode = force_generic_plan;
EXECUTE part_get('eu', 1);
EXECUTE part_get('local', 5);
EXECUTE part_get('asia', 3);
EXECUTE part_get(NULL, 3);
RESET plan_cache_mode;
SELECT l.r, t.id FROM (VALUES ('eu'), ('asia')) l(r) JOIN LATERAL (SELECT id FROM part_t t WHERE t.region = l.r AND t.id < 10) t ON true ORDER BY 1, 2;
SELECT count(*) FROM part_t WHERE region = (SELECT max(r) FROM (VALUES ('eu'), ('asia')) l(r));

-- rows that move: from a local partition to any; from a foreign one to none
UPDATE part_t SET region = 'eu' WHERE id = 41 RETURNING tableoid::regclass, *;
UPDATE part_t SET region = 'local' WHERE id = 5 RETURNING tableoid::regclass, *;
UPDATE part_t SET region = 'local' WHERE id = 40;
UPDATE part_t SET region = 'us' WHERE id = 40;
UPDATE part_t SET region = 'africa' WHERE id = 43 RETURNING tableoid::regclass, *;
UPDATE part_t SET region = region || '' WHERE id IN (40, 42) RETURNING tableoid::regclass, *;
-- to a key that is there
INSERT INTO part_t VALUES (42, 'local', 'in the way');
UPDATE part_t SET region = 'us' WHERE id = 42 AND region = 'local';
-- into a partition that the same command scans
DELETE FROM part_t WHERE v = 'in the way';
UPDATE part_t SET region = 'us', id = id + 500 WHERE region = 'local' OR region = 'us' AND id > 30;
SELECT id, v FROM part_us ORDER BY id;
SELECT tableoid::regclass, count(*), min(id), max(id) FROM part_t GROUP BY 1 ORDER BY 1;

-- UPDATE and DELETE over all kinds, with a join, in a transaction, with savepoints
BEGIN;
INSERT INTO part_t VALUES (60, 'eu', 'new'), (60, 'local', 'new'), (60, 'asia', 'new');
WITH x AS (UPDATE part_t SET v = 'changed' WHERE id = 60 RETURNING tableoid::regclass::text AS rel, region, v) SELECT * FROM x ORDER BY 1;
SAVEPOINT s;
WITH x AS (DELETE FROM part_t t USING (VALUES (60, 'eu'), (60, 'local')) d(i, r) WHERE t.id = d.i AND t.region = d.r RETURNING t.tableoid::regclass::text AS rel, t.region, d.r) SELECT * FROM x ORDER BY 1;
SELECT region FROM part_t WHERE id = 60 ORDER BY 1;
ROLLBACK TO s;
SELECT region FROM part_t WHERE id = 60 ORDER BY 1;
COMMIT;
SELECT count(*) FROM part_t WHERE v = 'changed';
SELECT t.region, count(*), count(u.id) FROM part_t t LEFT JOIN part_t u ON u.region = t.region AND u.id = t.id + 1 GROUP BY 1 ORDER BY 1;
SET enable_partitionwise_join = on;
SET enable_partitionwise_aggregate = on;
SELECT t.region, count(*), count(u.id) FROM part_t t LEFT JOIN part_t u ON u.region = t.region AND u.id = t.id + 1 GROUP BY 1 ORDER BY 1;
RESET enable_partitionwise_join;
RESET enable_partitionwise_aggregate;
SELECT id, region FROM part_t ORDER BY region, id LIMIT 5;
SELECT id, region FROM part_t ORDER BY region DESC, id DESC LIMIT 3 OFFSET 1;

-- coming and going
ALTER TABLE part_t DETACH PARTITION part_eu;
SELECT count(*) FROM part_t WHERE region = 'eu';
SELECT count(*) > 0 AS kept FROM part_eu;
INSERT INTO part_eu VALUES (70, 'mars', 'does not belong');
ALTER TABLE part_t ATTACH PARTITION part_eu FOR VALUES IN ('eu');
-- PostgreSQL does not look whether the rows of a foreign table fit
SELECT tableoid::regclass, region FROM part_t WHERE id = 70;
SELECT count(*) FROM part_t WHERE region = 'mars';
DELETE FROM part_eu WHERE id = 70;
-- indexes and unique constraints of the parent cannot be on foreign partitions
CREATE INDEX part_index ON part_t (v);
CREATE UNIQUE INDEX part_unique ON part_t (region, id);
-- columns come to all; the namespaces get them
ALTER TABLE part_t ADD COLUMN extra int DEFAULT 7;
SELECT extra, count(*) > 0 AS some FROM part_t GROUP BY 1 ORDER BY 1;
INSERT INTO part_t VALUES (80, 'eu', 'with extra') RETURNING extra;
TRUNCATE part_t;
SELECT count(*) FROM part_t;

-- two levels, by range and hash; columns in another order
CREATE TABLE part_r (k int, at date, v text) PARTITION BY RANGE (at);
CREATE TABLE part_old PARTITION OF part_r FOR VALUES FROM (MINVALUE) TO ('2024-01-01') PARTITION BY HASH (k);
CREATE FOREIGN TABLE part_old0 PARTITION OF part_old FOR VALUES WITH (MODULUS 2, REMAINDER 0) SERVER doris OPTIONS (key 'at,k');
CREATE TABLE part_old1 PARTITION OF part_old FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE FOREIGN TABLE part_new (v text, dropped int, at date, k int) SERVER doris OPTIONS (key 'k,at');
ALTER FOREIGN TABLE part_new DROP COLUMN dropped;
ALTER TABLE part_r ATTACH PARTITION part_new FOR VALUES FROM ('2024-01-01') TO (MAXVALUE);
INSERT INTO part_r SELECT g, date '2023-12-25' + g, 'v' || g FROM generate_series(1, 20) g;
SELECT count(*) FILTER (WHERE tableoid = 'part_new'::regclass) AS new, count(*) FROM part_r;
WITH x AS (UPDATE part_r SET v = v || '+' WHERE at BETWEEN '2023-12-30' AND '2024-01-02' RETURNING k, at, v) SELECT * FROM x ORDER BY k;
UPDATE part_r SET at = '2024-06-01' WHERE k = 1 AND tableoid = 'part_old1'::regclass;
SELECT k, at, v FROM part_r WHERE at < '2024-01-01' ORDER BY at DESC, k LIMIT 3;
SELECT sum(k), max(at) FROM part_r WHERE v LIKE '%+';
DELETE FROM part_r WHERE k % 2 = 0;
SELECT count(*), sum(k) FROM part_r;
DROP TABLE part_r, part_t;

-- children: a local parent, two foreign children with columns of their own, a local grandchild of none
CREATE TABLE part_parent (id int, v text, CHECK (id > 0));
CREATE FOREIGN TABLE part_a (a int) INHERITS (part_parent) SERVER doris OPTIONS (key 'id');
CREATE FOREIGN TABLE part_b (b text, CONSTRAINT b_range CHECK (id >= 100)) INHERITS (part_parent) SERVER doris OPTIONS (key 'id');
INSERT INTO part_parent VALUES (1, 'parent');
INSERT INTO part_a VALUES (1, 'a', 10), (2, 'a', 20);
INSERT INTO part_b VALUES (100, 'b', 'text');
INSERT INTO part_b VALUES (99, 'b', 'refused');
INSERT INTO part_a VALUES (-1, 'a', 10);
SELECT tableoid::regclass, * FROM part_parent ORDER BY 1, 2;
SELECT tableoid::regclass, * FROM ONLY part_parent;
SET constraint_exclusion = on;
EXPLAIN (COSTS OFF) SELECT * FROM part_parent WHERE id = 5;
EXPLAIN (COSTS OFF) SELECT * FROM part_parent WHERE id = 500;
RESET constraint_exclusion;
WITH x AS (UPDATE part_parent SET v = v || '.' WHERE id IN (1, 100) RETURNING tableoid::regclass::text AS rel, id, v) SELECT * FROM x ORDER BY 1;
UPDATE part_parent SET id = -5 WHERE id = 100;
SELECT p FROM part_parent p ORDER BY tableoid::regclass::text, id;
SELECT * FROM part_a ORDER BY id;
WITH x AS (DELETE FROM part_parent WHERE v LIKE '%.' RETURNING tableoid::regclass::text AS rel, id) SELECT * FROM x ORDER BY 1, 2;
SELECT tableoid::regclass, * FROM part_parent ORDER BY 1, 2;
-- the parent is foreign
CREATE TABLE part_c (c int) INHERITS (part_a);
INSERT INTO part_c VALUES (3, 'local child', 30, 300);
SELECT tableoid::regclass, * FROM part_a ORDER BY id;
UPDATE part_a SET a = a + 1;
SELECT tableoid::regclass, id, a FROM part_a ORDER BY id;
DELETE FROM part_a WHERE id = 3;
SELECT count(*) FROM part_c;
ALTER TABLE part_parent ADD COLUMN added int;
UPDATE part_parent SET added = 1;
SELECT tableoid::regclass, * FROM part_parent ORDER BY id;
TRUNCATE part_parent;
SELECT count(*) FROM part_parent;
DROP TABLE part_parent CASCADE;
SELECT count(doris_drop_namespace(name)) FROM doris_namespaces WHERE name LIKE 'part\_%';
