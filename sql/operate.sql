-- What operators ask of nodes and plans: arguments are checked before anything is done; who may.
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_operate_user, regress_operate_admin;
RESET client_min_messages;
SELECT count(*) AS plans FROM doris_plans \gset

-- lists of nodes
SELECT doris_expand(1, NULL);
SELECT doris_expand(1, '{}');
SELECT doris_expand(1, ARRAY['a', NULL]);
SELECT doris_expand(1, ARRAY['a', 'b', 'a']);
SELECT doris_expand(1, ARRAY['']);
SELECT doris_expand(1, ARRAY[repeat('x', 100)]);
SELECT doris_shrink(NULL);
SELECT doris_shrink('{}');
SELECT doris_shrink('{a,a}', wait => false);
SELECT * FROM doris_plan_expand(1, NULL);
SELECT * FROM doris_plan_expand(1, '{}');
SELECT * FROM doris_plan_shrink('{a,a}');
SELECT doris_add_group(NULL);
SELECT doris_add_group('{}');
SELECT * FROM doris_plan_add_group('{a,a}');

-- groups and plans by number
SELECT doris_expand(NULL, '{a}');
SELECT doris_expand(0, '{a}');
SELECT doris_rebalance(NULL);
SELECT doris_rebalance(-1, wait => false);
SELECT * FROM doris_plan_rebalance(NULL);
SELECT doris_drop_group(NULL);
SELECT doris_drop_group(0, wait => false);
SELECT * FROM doris_plan_drop_group(NULL);
SELECT doris_pause(NULL);
SELECT doris_resume(0);
SELECT doris_cancel(-1);
SELECT doris_wait(NULL);
SELECT doris_wait(1, '-1 second');

-- nodes by name
SELECT doris_replace(NULL, 'b');
SELECT doris_replace('a', NULL);
SELECT doris_replace('a', 'a');
SELECT doris_replace('a', '');
SELECT * FROM doris_plan_replace('a', 'a');
SELECT doris_failover(NULL);
SELECT doris_recover('');
SELECT doris_remove_node(NULL);
SELECT doris_remove_node('');
SELECT doris_set_weight(NULL, 100);
SELECT doris_set_weight('operate_none', 100);
SELECT doris_set_weight('operate_none', NULL);
SELECT doris_set_weight('operate_none', 0);
SELECT doris_set_weight('operate_none', 10001);

-- waiting, servers, transactions that only read
SELECT doris_shrink('{a}', wait => NULL);
SELECT doris_shrink('{a}', server => 'operate_none');
BEGIN READ ONLY;
SELECT doris_expand(1, '{a}');
ROLLBACK;
BEGIN READ ONLY;
SELECT doris_drop_group(2);
ROLLBACK;
BEGIN READ ONLY;
SELECT doris_cancel(1);
ROLLBACK;

-- what the cluster knows better
SELECT doris_expand(1, '{operate_none}');
SELECT doris_shrink('{operate_none}');
SELECT * FROM doris_plan_shrink('{operate_none}');
SELECT doris_replace('operate_none', 'operate_none2');
SELECT doris_add_group('{operate_none}');
SELECT * FROM doris_plan_add_group('{operate_none}');
SELECT doris_drop_group(5);
SELECT doris_drop_group(1);
SELECT * FROM doris_plan_drop_group(1);
SELECT doris_failover('operate_none');
SELECT doris_remove_node('operate_none');
SELECT doris_pause(1000000000);
SELECT doris_wait(1000000000);

-- nothing was done
SELECT count(*) = :plans AS same FROM doris_plans;

-- who may
CREATE ROLE regress_operate_user;
CREATE ROLE regress_operate_admin IN ROLE doris_admin;
SELECT p.proname FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
	JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'doris_fdw'
	WHERE has_function_privilege('regress_operate_user', p.oid, 'EXECUTE') ORDER BY 1;
SELECT p.proname FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
	JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'doris_fdw'
	WHERE NOT has_function_privilege('regress_operate_admin', p.oid, 'EXECUTE') ORDER BY 1;
SET ROLE regress_operate_user;
SELECT doris_expand(1, '{a}');
SELECT doris_wait(1);
SELECT doris_set_weight('a', 1);
SELECT doris_remove_node('a');
SELECT count(*) = :plans AS shown FROM doris_plans;
SELECT count(*) FROM doris.moves;
RESET ROLE;
SET ROLE regress_operate_admin;
SELECT doris_set_weight('operate_none', 1);
SELECT doris_shrink('{operate_none}');
RESET ROLE;
DROP ROLE regress_operate_user, regress_operate_admin;
