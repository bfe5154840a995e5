/*
 * doris_fdw--1.0.sql: the extension: the cluster's tables (schema doris), the wrapper, the views and functions.
 *
 * The tables belong to the admins: the leading one writes them, under its term (see docs/architecture.md). Users see
 * the views, which run with their owner's rights, and nothing of schema doris. What changes the cluster is for
 * superusers and members of the role doris_admin.
 */
\echo Use "CREATE EXTENSION doris_fdw" to load this file. \quit

DO $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'doris_admin') THEN
		CREATE ROLE doris_admin NOLOGIN;
	END IF;
EXCEPTION
	WHEN duplicate_object OR unique_violation THEN
		NULL; -- another database's CREATE EXTENSION was quicker
END
$$;

/* ---- the cluster's tables ---- */

CREATE SCHEMA doris;
COMMENT ON SCHEMA doris IS 'tables of the doris cluster; written by its leading admin';

CREATE TABLE doris.cluster
(
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	id uuid NOT NULL DEFAULT gen_random_uuid(),
	vnodes int NOT NULL CHECK (vnodes BETWEEN 1 AND 65536),
	groups int NOT NULL CHECK (groups BETWEEN 1 AND 4),
	sync text NOT NULL DEFAULT 'commit' CHECK (sync IN ('commit', 'interval')),
	created timestamptz NOT NULL DEFAULT now(),
	-- settings: doris_set()
	permanent_after interval NOT NULL DEFAULT '2 hours' CHECK (permanent_after > '0'),
	auto_replace boolean NOT NULL DEFAULT false,
	degraded_writes boolean NOT NULL DEFAULT false,
	move_rate_mb int NOT NULL DEFAULT 0 CHECK (move_rate_mb BETWEEN 0 AND 100000)
);
COMMENT ON TABLE doris.cluster IS 'what the cluster is: one row, of which the settings change, and the number of groups';

CREATE TABLE doris.nodes
(
	node_id serial PRIMARY KEY,
	name text NOT NULL UNIQUE CHECK (name ~ '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$'),
	address text NOT NULL CHECK (octet_length(address) < 128),
	role text NOT NULL CHECK (role IN ('data', 'log', 'spare')),
	group_id int CHECK (group_id BETWEEN 1 AND 4),
	weight int NOT NULL DEFAULT 100 CHECK (weight > 0),
	-- registered: added by the operator; greeted: has started and shown its home; member: in the topology
	state text NOT NULL DEFAULT 'registered' CHECK (state IN ('registered', 'greeted', 'member')),
	condition text NOT NULL DEFAULT 'up' CHECK (condition IN ('up', 'down', 'dead')),
	home uuid,
	incarnation bigint NOT NULL DEFAULT 0,
	registered timestamptz NOT NULL DEFAULT now(),
	last_heartbeat timestamptz,
	build text,
	rows bigint NOT NULL DEFAULT 0,
	bytes bigint NOT NULL DEFAULT 0,
	vnodes int NOT NULL DEFAULT 0,
	hints bigint NOT NULL DEFAULT 0,
	epoch bigint NOT NULL DEFAULT 0,
	disk_free bigint,
	detail text,
	-- what is durable there, as it said last; a start with less is not let in as it is
	mark bigint NOT NULL DEFAULT 0,
	-- an operator, or a replacement, holds it down; its next start is let in whatever it lacks
	held boolean NOT NULL DEFAULT false,
	accept_loss boolean NOT NULL DEFAULT false,
	down_since timestamptz,
	recovering_since timestamptz,
	CHECK ((role = 'data') = (group_id IS NOT NULL))
);
COMMENT ON TABLE doris.nodes IS 'the nodes by their registration, and what their last heartbeat said';

CREATE TABLE doris.topologies
(
	epoch bigint PRIMARY KEY,
	hash bytea NOT NULL,
	term bigint NOT NULL,
	data bytea NOT NULL,
	made timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE doris.topologies IS 'the published topologies, signed; the last 100 are kept';

CREATE TABLE doris.copies
(
	group_id int,
	vnode int,
	owner int NOT NULL,
	incoming int,
	retiring int,
	complete boolean NOT NULL,
	changed bigint NOT NULL,
	PRIMARY KEY (group_id, vnode)
);
COMMENT ON TABLE doris.copies IS 'the newest topology''s copies, for the views';

CREATE TABLE doris.namespaces
(
	ns_id bigint PRIMARY KEY,
	name text NOT NULL UNIQUE,
	version bigint NOT NULL,
	key text NOT NULL,
	columns text NOT NULL,
	options text NOT NULL
);
COMMENT ON TABLE doris.namespaces IS 'the newest topology''s namespaces, for the views';

CREATE TABLE doris.leader
(
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	term bigint NOT NULL,
	name text NOT NULL,
	address text NOT NULL,
	since timestamptz NOT NULL DEFAULT now(),
	seen timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE doris.leader IS 'the leading admin; every write here is made under its term';

CREATE TABLE doris.events
(
	id bigserial PRIMARY KEY,
	at timestamptz NOT NULL DEFAULT clock_timestamp(),
	kind text NOT NULL,
	node text,
	detail text
);
COMMENT ON TABLE doris.events IS 'what happened to the cluster; the last 100,000 are kept';

CREATE TABLE doris.plans
(
	plan_id serial PRIMARY KEY,
	kind text NOT NULL,
	state text NOT NULL,
	group_id int,
	node_id int,
	by_id int,
	-- the fewest vnodes that any plan to this end could move
	minimum int NOT NULL DEFAULT 0,
	vnodes_total int NOT NULL DEFAULT 0,
	vnodes_done int NOT NULL DEFAULT 0,
	bytes_total bigint NOT NULL DEFAULT 0,
	bytes_done bigint NOT NULL DEFAULT 0,
	bytes_per_s bigint,
	started timestamptz,
	eta timestamptz,
	error text
);
COMMENT ON TABLE doris.plans IS 'plans that move copies between nodes';

CREATE TABLE doris.moves
(
	plan_id int,
	group_id int,
	vnode int,
	from_id int NOT NULL,
	to_id int NOT NULL,
	rows bigint NOT NULL DEFAULT 0,
	bytes bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (plan_id, group_id, vnode)
);
COMMENT ON TABLE doris.moves IS 'the copies that a plan moves, with their size when it was made';

CREATE TABLE doris.backlogs
(
	log_node int,
	target int,
	hints bigint NOT NULL,
	bytes bigint NOT NULL,
	oldest timestamptz,
	PRIMARY KEY (log_node, target)
);
COMMENT ON TABLE doris.backlogs IS 'the writes that log nodes keep for nodes that are down, as they said last';

-- One statement for each: the catalogue row that lists them changes every time.
DO $$
DECLARE
	relation regclass;
BEGIN
	FOR relation IN
		SELECT c.oid FROM pg_catalog.pg_class c
		WHERE c.relnamespace = 'doris'::regnamespace AND c.relkind IN ('r', 'S')
	LOOP
		PERFORM pg_catalog.pg_extension_config_dump(relation, '');
	END LOOP;
END
$$;

/* ---- the wrapper ---- */

CREATE FUNCTION doris_fdw_handler() RETURNS fdw_handler
AS 'MODULE_PATHNAME' LANGUAGE C STRICT;

CREATE FUNCTION doris_fdw_validator(text[], oid) RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C STRICT;

CREATE FOREIGN DATA WRAPPER doris_fdw HANDLER doris_fdw_handler VALIDATOR doris_fdw_validator;

CREATE FUNCTION doris_ddl_end() RETURNS event_trigger
AS 'MODULE_PATHNAME' LANGUAGE C;

CREATE EVENT TRIGGER doris_ddl_end ON ddl_command_end
	WHEN TAG IN ('CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE', 'ALTER TABLE', 'IMPORT FOREIGN SCHEMA')
	EXECUTE FUNCTION doris_ddl_end();

/* ---- what this backend, and all of them, have asked of the nodes ---- */

CREATE FUNCTION doris_fdw_stats(OUT server name, OUT node text, OUT requests bigint, OUT rows bigint, OUT bytes bigint,
	OUT retries bigint, OUT failovers bigint, OUT time_ms double precision, OUT round_trip_ms double precision,
	OUT total_requests bigint, OUT total_rows bigint, OUT total_bytes bigint, OUT total_retries bigint,
	OUT total_failovers bigint, OUT total_time_ms double precision, OUT since timestamptz) RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED;

CREATE VIEW doris_fdw_stats AS SELECT * FROM doris_fdw_stats() ORDER BY server, node;

CREATE FUNCTION doris_fdw_stats_reset() RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED;

CREATE FUNCTION doris_fdw_connections(OUT server name, OUT user_name name, OUT state text, OUT epoch bigint,
	OUT since timestamptz, OUT in_transaction boolean) RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED;

CREATE FUNCTION doris_fdw_disconnect(server name DEFAULT NULL) RETURNS boolean
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED;

/* ---- views ---- */

CREATE VIEW doris_nodes AS
SELECT n.name,
	n.address,
	n.role,
	n.group_id,
	CASE
		WHEN n.condition = 'dead' THEN 'dead'
		WHEN n.state <> 'member' THEN 'joining'
		WHEN n.condition = 'down' THEN 'failed'
		WHEN p.joins OR c.owned IS NULL AND c.incoming > 0 THEN 'joining'
		WHEN p.leaves OR c.owned IS NULL AND c.retiring > 0 THEN 'leaving'
		WHEN c.incomplete > 0 THEN 'recovering'
		WHEN n.role = 'spare' OR (n.role = 'data' AND c.owned IS NULL) THEN 'spare'
		ELSE 'ok'
	END AS state,
	coalesce(c.owned, 0)::int AS vnodes,
	n.rows,
	n.bytes,
	CASE n.role WHEN 'log' THEN n.hints ELSE coalesce(b.hints, 0) END AS hints,
	n.epoch,
	n.last_heartbeat,
	n.build
FROM doris.nodes n
	LEFT JOIN
	(
		SELECT s.node_id, nullif(sum(s.owned), 0) AS owned, sum(s.incomplete) AS incomplete,
			sum(s.incoming) AS incoming, sum(s.retiring) AS retiring
		FROM
		(
			SELECT owner AS node_id, count(*) AS owned, count(*) FILTER (WHERE NOT complete) AS incomplete,
				0 AS incoming, 0 AS retiring
			FROM doris.copies GROUP BY owner
			UNION ALL
			SELECT incoming, 0, 0, count(*), 0 FROM doris.copies WHERE incoming IS NOT NULL GROUP BY incoming
			UNION ALL
			SELECT retiring, 0, 0, 0, count(*) FROM doris.copies WHERE retiring IS NOT NULL GROUP BY retiring
		) s
		GROUP BY s.node_id
	) c USING (node_id)
	LEFT JOIN
	(
		-- whom plans that are not over bring in, and send away
		SELECT s.node_id, bool_or(s.joins) AS joins, bool_or(NOT s.joins) AS leaves
		FROM
		(
			SELECT m.to_id AS node_id, true AS joins
			FROM doris.moves m JOIN doris.plans p USING (plan_id)
			WHERE p.state IN ('running', 'waiting', 'paused') AND p.kind IN ('expand', 'replace', 'add_group')
			UNION ALL
			SELECT p.by_id, true
			FROM doris.plans p
			WHERE p.state IN ('running', 'waiting', 'paused') AND p.kind = 'replace' AND p.by_id IS NOT NULL
			UNION ALL
			SELECT m.from_id, false
			FROM doris.moves m JOIN doris.plans p USING (plan_id)
			WHERE p.state IN ('running', 'waiting', 'paused') AND p.kind IN ('shrink', 'replace', 'drop_group')
		) s
		GROUP BY s.node_id
	) p USING (node_id)
	LEFT JOIN (SELECT target AS node_id, sum(hints)::bigint AS hints FROM doris.backlogs GROUP BY target) b USING (node_id)
ORDER BY n.node_id;
COMMENT ON VIEW doris_nodes IS 'the nodes of the doris cluster';

CREATE VIEW doris_vnodes AS
SELECT c.vnode, c.group_id, o.name AS owner, i.name AS incoming, c.complete
FROM doris.copies c
	LEFT JOIN doris.nodes o ON o.node_id = c.owner
	LEFT JOIN doris.nodes i ON i.node_id = c.incoming;
COMMENT ON VIEW doris_vnodes IS 'each group''s copy of each vnode: where it is, where it is going, is it complete';

CREATE VIEW doris_namespaces AS
SELECT name, key, columns, options FROM doris.namespaces;
COMMENT ON VIEW doris_namespaces IS 'the namespaces of the doris cluster';

CREATE VIEW doris_plans AS
SELECT plan_id, kind, state, vnodes_total, vnodes_done, bytes_total, bytes_done, bytes_per_s, started, eta, error
FROM doris.plans;
COMMENT ON VIEW doris_plans IS 'plans that move vnodes between nodes, and how far they are';

CREATE VIEW doris_events AS
SELECT at, kind, node, detail FROM doris.events ORDER BY id;
COMMENT ON VIEW doris_events IS 'what happened to the doris cluster, oldest first';

/* ---- functions for the operator ---- */

CREATE FUNCTION doris_create_cluster(vnodes int DEFAULT 1024, groups int DEFAULT 2) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	new_id uuid;
BEGIN
	IF vnodes IS NULL OR vnodes NOT BETWEEN 1 AND 65536 THEN
		RAISE EXCEPTION 'vnodes must be between 1 and 65536, not %', coalesce(vnodes::text, 'NULL')
			USING ERRCODE = 'invalid_parameter_value',
			HINT = 'The number of vnodes is chosen once; the default, 1024, suits up to a hundred nodes.';
	END IF;
	IF groups IS NULL OR groups NOT BETWEEN 1 AND 4 THEN
		RAISE EXCEPTION 'groups must be between 1 and 4, not %', coalesce(groups::text, 'NULL')
			USING ERRCODE = 'invalid_parameter_value',
			HINT = 'Each group holds one copy of every row; 2 is usual.';
	END IF;
	INSERT INTO doris.cluster AS c (vnodes, groups)
		VALUES (doris_create_cluster.vnodes, doris_create_cluster.groups)
		ON CONFLICT DO NOTHING
		RETURNING c.id INTO new_id;
	IF new_id IS NULL THEN
		RAISE EXCEPTION 'this database already holds a doris cluster'
			USING ERRCODE = 'duplicate_object',
			HINT = 'One database holds one cluster; see the view doris_nodes.';
	END IF;
	PERFORM pg_notify('doris', 'cluster');
	RETURN new_id;
END
$$;
COMMENT ON FUNCTION doris_create_cluster(int, int) IS 'defines the doris cluster of this database';

CREATE FUNCTION doris_add_node(address text, role text DEFAULT 'spare', name text DEFAULT NULL,
	group_id int DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	new_address text := doris_add_node.address;
	new_role text := lower(doris_add_node.role);
	new_name text := doris_add_node.name;
	new_group int := doris_add_node.group_id;
	stem text;
	other text;
	cluster_groups int;
BEGIN
	SELECT c.groups INTO cluster_groups FROM doris.cluster c;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'this database holds no doris cluster'
			USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = 'This is done in the cluster''s admin database. Only for a new cluster, call doris_create_cluster() first.';
	END IF;
	IF new_address IS NULL OR new_address = '' THEN
		RAISE EXCEPTION 'the address of a node must not be empty'
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give it as tcp://host:port.';
	END IF;
	IF new_address !~ '^[a-z]+://' THEN
		new_address := 'tcp://' || new_address;
	END IF;
	IF new_address !~ '^tcp://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$' OR octet_length(new_address) > 127
		OR substring(new_address from '[0-9]+$')::int NOT BETWEEN 1 AND 65535 THEN
		RAISE EXCEPTION 'invalid address of a node: "%"', doris_add_node.address
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give it as tcp://host:port, with a port from 1 to 65535.';
	END IF;
	IF new_role IS NULL OR new_role NOT IN ('data', 'log', 'spare') THEN
		RAISE EXCEPTION 'invalid role of a node: "%"', coalesce(doris_add_node.role, 'NULL')
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Roles are data, log and spare.';
	END IF;
	IF new_role <> 'data' AND new_group IS NOT NULL THEN
		RAISE EXCEPTION 'a node with role % belongs to no group', new_role
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave group_id out, or give role data.';
	END IF;
	IF new_group IS NOT NULL AND new_group NOT BETWEEN 1 AND cluster_groups THEN
		RAISE EXCEPTION 'there is no group %', new_group
			USING ERRCODE = 'invalid_parameter_value',
			HINT = format('The groups of this cluster are numbered 1 to %s.', cluster_groups);
	END IF;
	IF new_name IS NOT NULL AND new_name !~ '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$' THEN
		RAISE EXCEPTION 'invalid name of a node: "%"', new_name
			USING ERRCODE = 'invalid_parameter_value',
			HINT = 'A name has 1 to 63 letters, digits, underscores, dots and hyphens.';
	END IF;

	-- One at a time, so that names and the smallest group are chosen on firm ground.
	PERFORM pg_advisory_xact_lock(x'646f72697302'::bigint);

	SELECT n.name INTO other FROM doris.nodes n WHERE n.address = new_address AND n.condition <> 'dead';
	IF FOUND THEN
		RAISE EXCEPTION 'node "%" already has the address %', other, new_address
			USING ERRCODE = 'duplicate_object', HINT = 'Every node listens on an address of its own.';
	END IF;
	IF new_role = 'data' AND new_group IS NULL THEN
		SELECT g INTO new_group
			FROM generate_series(1, cluster_groups) g
				LEFT JOIN doris.nodes n ON n.group_id = g AND n.condition <> 'dead'
			GROUP BY g
			ORDER BY count(n.node_id), g
			LIMIT 1;
	END IF;
	IF new_name IS NULL THEN
		stem := CASE new_role WHEN 'data' THEN format('g%sn', new_group) ELSE new_role END;
		SELECT stem || i INTO new_name
			FROM generate_series(1, 10000) i
			WHERE NOT EXISTS (SELECT FROM doris.nodes n WHERE n.name = stem || i)
			ORDER BY i
			LIMIT 1;
	ELSIF EXISTS (SELECT FROM doris.nodes n WHERE n.name = new_name) THEN
		RAISE EXCEPTION 'there is already a node named "%"', new_name
			USING ERRCODE = 'duplicate_object',
			HINT = 'Names of nodes are never used again; leave the name out to have one chosen.';
	END IF;
	IF (SELECT count(*) FROM doris.nodes) >= 4096 THEN
		RAISE EXCEPTION 'a doris cluster has at most 4096 nodes' USING ERRCODE = 'program_limit_exceeded';
	END IF;

	INSERT INTO doris.nodes (name, address, role, group_id) VALUES (new_name, new_address, new_role, new_group);
	PERFORM pg_notify('doris', 'node ' || new_name);
	RETURN new_name;
END
$$;
COMMENT ON FUNCTION doris_add_node(text, text, text, int) IS
	'registers a node with the doris cluster and returns its name; start doris_node with that name';

CREATE FUNCTION doris_create_namespace(name text, key text[], columns text[] DEFAULT '{}',
	distribute_by text[] DEFAULT NULL, server name DEFAULT NULL) RETURNS void
AS 'MODULE_PATHNAME', 'doris_create_namespace' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION doris_create_namespace(text, text[], text[], text[], name) IS
	'creates a namespace; key and columns are given as "name type"';

CREATE FUNCTION doris_drop_namespace(name text, server name DEFAULT NULL) RETURNS void
AS 'MODULE_PATHNAME', 'doris_drop_namespace' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION doris_drop_namespace(text, name) IS 'drops a namespace with all its rows';

CREATE FUNCTION doris_failover(node text, server name DEFAULT NULL) RETURNS void
AS 'MODULE_PATHNAME', 'doris_failover' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION doris_failover(text, name) IS 'takes a node out, as if it had failed, until doris_recover()';

CREATE FUNCTION doris_recover(node text, accept_loss boolean DEFAULT false, server name DEFAULT NULL) RETURNS void
AS 'MODULE_PATHNAME', 'doris_recover' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION doris_recover(text, boolean, name) IS
	'lets a node in that an operator took out; accept_loss: though it lacks what nobody else has';

CREATE FUNCTION doris_remove_node(node text, server name DEFAULT NULL) RETURNS void
AS 'MODULE_PATHNAME', 'doris_remove_node' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION doris_remove_node(text, name) IS 'removes a node that holds nothing, for good';

/* ---- plans that move vnodes ---- */

CREATE FUNCTION doris_plan_expand(group_id int, nodes text[], server name DEFAULT NULL,
	OUT group_id int, OUT source text, OUT target text, OUT vnodes int, OUT rows bigint, OUT bytes bigint,
	OUT minimum int, OUT disk_needed bigint, OUT disk_free bigint) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'doris_plan_expand' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION doris_plan_expand(int, text[], name) IS
	'what doris_expand() would move, and how much disk that takes; changes nothing';

CREATE FUNCTION doris_plan_shrink(nodes text[], server name DEFAULT NULL,
	OUT group_id int, OUT source text, OUT target text, OUT vnodes int, OUT rows bigint, OUT bytes bigint,
	OUT minimum int, OUT disk_needed bigint, OUT disk_free bigint) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'doris_plan_shrink' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION doris_plan_shrink(text[], name) IS 'what doris_shrink() would move; changes nothing';

CREATE FUNCTION doris_plan_replace(old text, new text, server name DEFAULT NULL,
	OUT group_id int, OUT source text, OUT target text, OUT vnodes int, OUT rows bigint, OUT bytes bigint,
	OUT minimum int, OUT disk_needed bigint, OUT disk_free bigint) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'doris_plan_replace' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION doris_plan_replace(text, text, name) IS 'what doris_replace() would move; changes nothing';

CREATE FUNCTION doris_plan_rebalance(group_id int, server name DEFAULT NULL,
	OUT group_id int, OUT source text, OUT target text, OUT vnodes int, OUT rows bigint, OUT bytes bigint,
	OUT minimum int, OUT disk_needed bigint, OUT disk_free bigint) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'doris_plan_rebalance' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION doris_plan_rebalance(int, name) IS 'what doris_rebalance() would move; changes nothing';

CREATE FUNCTION doris_plan_add_group(nodes text[], server name DEFAULT NULL,
	OUT group_id int, OUT source text, OUT target text, OUT vnodes int, OUT rows bigint, OUT bytes bigint,
	OUT minimum int, OUT disk_needed bigint, OUT disk_free bigint) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'doris_plan_add_group' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION doris_plan_add_group(text[], name) IS 'what doris_add_group() would copy; changes nothing';

CREATE FUNCTION doris_plan_drop_group(group_id int, server name DEFAULT NULL,
	OUT group_id int, OUT source text, OUT target text, OUT vnodes int, OUT rows bigint, OUT bytes bigint,
	OUT minimum int, OUT disk_needed bigint, OUT disk_free bigint) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'doris_plan_drop_group' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION doris_plan_drop_group(int, name) IS 'what doris_drop_group() would give up; changes nothing';

CREATE FUNCTION doris_expand(group_id int, nodes text[], wait boolean DEFAULT true, server name DEFAULT NULL) RETURNS int
AS 'MODULE_PATHNAME', 'doris_expand' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION doris_expand(int, text[], boolean, name) IS
	'has nodes join a group and take their share of its vnodes; returns the plan''s number';

CREATE FUNCTION doris_shrink(nodes text[], wait boolean DEFAULT true, server name DEFAULT NULL) RETURNS int
AS 'MODULE_PATHNAME', 'doris_shrink' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION doris_shrink(text[], boolean, name) IS
	'has nodes give their vnodes to the others of their group; returns the plan''s number';

CREATE FUNCTION doris_replace(old text, new text, wait boolean DEFAULT true, server name DEFAULT NULL) RETURNS int
AS 'MODULE_PATHNAME', 'doris_replace' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION doris_replace(text, text, boolean, name) IS
	'has a spare take the place of a node for good; returns the plan''s number';

CREATE FUNCTION doris_rebalance(group_id int, wait boolean DEFAULT true, server name DEFAULT NULL) RETURNS int
AS 'MODULE_PATHNAME', 'doris_rebalance' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION doris_rebalance(int, boolean, name) IS
	'gives each node of a group its share of the vnodes, by their weights; returns the plan''s number';

CREATE FUNCTION doris_add_group(nodes text[], wait boolean DEFAULT true, server name DEFAULT NULL) RETURNS int
AS 'MODULE_PATHNAME', 'doris_add_group' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION doris_add_group(text[], boolean, name) IS
	'has nodes become one more group: another copy of every row; returns the plan''s number';

CREATE FUNCTION doris_drop_group(group_id int, wait boolean DEFAULT true, server name DEFAULT NULL) RETURNS int
AS 'MODULE_PATHNAME', 'doris_drop_group' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION doris_drop_group(int, boolean, name) IS
	'gives up the last group: one copy less of every row; returns the plan''s number';

CREATE FUNCTION doris_pause(plan_id int, server name DEFAULT NULL) RETURNS void
AS 'MODULE_PATHNAME', 'doris_pause' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION doris_pause(int, name) IS 'has a plan begin nothing new until doris_resume()';

CREATE FUNCTION doris_resume(plan_id int, server name DEFAULT NULL) RETURNS void
AS 'MODULE_PATHNAME', 'doris_resume' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION doris_resume(int, name) IS 'has a paused plan go on';

CREATE FUNCTION doris_cancel(plan_id int, server name DEFAULT NULL) RETURNS void
AS 'MODULE_PATHNAME', 'doris_cancel' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION doris_cancel(int, name) IS
	'ends a plan: what has moved stays where it is, what is under way is dropped';

CREATE FUNCTION doris_wait(plan_id int, timeout interval DEFAULT NULL, server name DEFAULT NULL) RETURNS boolean
AS 'MODULE_PATHNAME', 'doris_wait' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION doris_wait(int, interval, name) IS
	'waits for a plan: true when it is done, false when the timeout has passed';

CREATE FUNCTION doris_set_weight(node text, weight int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF doris_set_weight.node IS NULL THEN
		RAISE EXCEPTION 'the name of a node must not be NULL' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	IF doris_set_weight.weight IS NULL OR doris_set_weight.weight NOT BETWEEN 1 AND 10000 THEN
		RAISE EXCEPTION 'a weight must be between 1 and 10000, not %', coalesce(doris_set_weight.weight::text, 'NULL')
			USING ERRCODE = 'invalid_parameter_value',
			HINT = 'A node''s share of its group''s vnodes is its part of all weights; 100 is usual. doris_shrink() empties a node.';
	END IF;
	UPDATE doris.nodes n SET weight = doris_set_weight.weight WHERE n.name = doris_set_weight.node AND n.condition <> 'dead';
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no node "%"', doris_set_weight.node
			USING ERRCODE = 'undefined_object', HINT = 'See the view doris_nodes.';
	END IF;
	PERFORM pg_notify('doris', 'weight ' || doris_set_weight.node);
END
$$;
COMMENT ON FUNCTION doris_set_weight(text, int) IS
	'sets a node''s weight: its share of the vnodes at the next plan, or doris_rebalance()';

CREATE FUNCTION doris_set(name text, value text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF value IS NULL THEN
		RAISE EXCEPTION 'the value of a setting must not be NULL' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	CASE name
		WHEN 'permanent_after' THEN
			IF value::interval <= '0' THEN
				RAISE EXCEPTION 'permanent_after must be longer than nothing' USING ERRCODE = 'invalid_parameter_value';
			END IF;
			UPDATE doris.cluster SET permanent_after = value::interval;
		WHEN 'auto_replace' THEN
			UPDATE doris.cluster SET auto_replace = value::boolean;
		WHEN 'degraded_writes' THEN
			UPDATE doris.cluster SET degraded_writes = value::boolean;
		WHEN 'move_rate' THEN
			IF value::int NOT BETWEEN 0 AND 100000 THEN
				RAISE EXCEPTION 'move_rate must be 0 (no limit) to 100000 MB per second'
					USING ERRCODE = 'invalid_parameter_value';
			END IF;
			UPDATE doris.cluster SET move_rate_mb = value::int;
		ELSE
			RAISE EXCEPTION 'there is no setting "%"', coalesce(name, 'NULL')
				USING ERRCODE = 'undefined_object',
				HINT = 'Settings of the cluster are permanent_after, auto_replace, degraded_writes and move_rate.';
	END CASE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'this database holds no doris cluster'
			USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = 'This is done in the cluster''s admin database. Only for a new cluster, call doris_create_cluster() first.';
	END IF;
	PERFORM pg_notify('doris', 'setting');
END
$$;
COMMENT ON FUNCTION doris_set(text, text) IS 'changes a setting of the cluster';

CREATE FUNCTION doris_route(namespace text, VARIADIC key text[],
	OUT vnode int, OUT group_id int, OUT owner text) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'doris_route' LANGUAGE C VOLATILE ROWS 2;
COMMENT ON FUNCTION doris_route(text, text[]) IS 'where the row with this key lives: its vnode and each group''s owner';

CREATE FUNCTION doris_verify(namespace text DEFAULT NULL, repair boolean DEFAULT false, server name DEFAULT NULL,
	OUT vnode int, OUT state text, OUT rows bigint, OUT different bigint, OUT repaired bigint, OUT detail text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'doris_verify_copies' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION doris_verify(text, boolean, name) IS
	'compares the copies of each vnode while writes go on: equal, different, unsettled, unknown; repair: brings them together';

/* ---- privileges ---- */

REVOKE ALL ON SCHEMA doris FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA doris FROM PUBLIC;

GRANT SELECT ON doris_nodes, doris_vnodes, doris_namespaces, doris_plans, doris_events, doris_fdw_stats TO PUBLIC;

REVOKE ALL ON FUNCTION doris_create_cluster(int, int) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_add_node(text, text, text, int) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_create_namespace(text, text[], text[], text[], name) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_drop_namespace(text, name) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_failover(text, name) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_recover(text, boolean, name) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_remove_node(text, name) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_plan_expand(int, text[], name) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_plan_shrink(text[], name) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_plan_replace(text, text, name) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_plan_rebalance(int, name) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_plan_add_group(text[], name) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_plan_drop_group(int, name) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_expand(int, text[], boolean, name) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_shrink(text[], boolean, name) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_replace(text, text, boolean, name) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_rebalance(int, boolean, name) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_add_group(text[], boolean, name) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_drop_group(int, boolean, name) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_pause(int, name) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_resume(int, name) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_cancel(int, name) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_wait(int, interval, name) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_set_weight(text, int) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_set(text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_verify(text, boolean, name) FROM PUBLIC;
REVOKE ALL ON FUNCTION doris_fdw_stats_reset() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION doris_create_cluster(int, int) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_add_node(text, text, text, int) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_create_namespace(text, text[], text[], text[], name) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_drop_namespace(text, name) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_failover(text, name) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_recover(text, boolean, name) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_remove_node(text, name) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_plan_expand(int, text[], name) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_plan_shrink(text[], name) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_plan_replace(text, text, name) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_plan_rebalance(int, name) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_plan_add_group(text[], name) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_plan_drop_group(int, name) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_expand(int, text[], boolean, name) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_shrink(text[], boolean, name) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_replace(text, text, boolean, name) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_rebalance(int, boolean, name) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_add_group(text[], boolean, name) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_drop_group(int, boolean, name) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_pause(int, name) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_resume(int, name) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_cancel(int, name) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_wait(int, interval, name) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_set_weight(text, int) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_set(text, text) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_verify(text, boolean, name) TO doris_admin;
GRANT EXECUTE ON FUNCTION doris_fdw_stats_reset() TO doris_admin;

GRANT USAGE ON SCHEMA doris TO doris_admin;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA doris TO doris_admin;
GRANT SELECT, USAGE ON ALL SEQUENCES IN SCHEMA doris TO doris_admin;
