# sqlsmith's random statements against foreign tables: no crash of the server, and no internal error (XX000) of ours or by what
# we gave to the planner. DORIS_SEED=n replays, DORIS_QUERIES=n asks for more.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use Test::More;

my $seed = $ENV{DORIS_SEED} // int(rand(1 << 30));
my $queries = $ENV{DORIS_QUERIES} // 600;
diag("DORIS_SEED=$seed DORIS_QUERIES=$queries");
die "sqlsmith is not installed; run 'make setup'\n" if system('sh', '-c', 'command -v sqlsmith >/dev/null') != 0;

my $cluster = DorisCluster->new;
my $options = "hosts '$cluster->{hosts}'" . (defined $cluster->{key_file} ? ", key_file '$cluster->{key_file}'" : '');

# ---- a database in which there is nothing to see but these tables ----
$cluster->sql("CREATE ROLE smith LOGIN");
$cluster->sql('CREATE DATABASE smith');
$cluster->{env}{PGDATABASE} = 'smith';
$cluster->sql("CREATE EXTENSION doris_fdw; CREATE SERVER doris FOREIGN DATA WRAPPER doris_fdw OPTIONS ($options);
	CREATE USER MAPPING FOR PUBLIC SERVER doris; CREATE SCHEMA smith; SET search_path = smith;
	CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); CREATE DOMAIN small AS int CHECK (VALUE < 1000);
	CREATE FOREIGN TABLE one (id int NOT NULL, a int2, n int8, q numeric(9,3), f float8, s text, d date, z timestamptz, b bool, arr int[], j jsonb, u uuid, m mood, p small)
		SERVER doris OPTIONS (key 'id');
");
$cluster->sql("SET search_path = smith;
	CREATE FOREIGN TABLE two (tenant int NOT NULL, seq int8 NOT NULL, v text, w varchar(10), y bytea, i inet, iv interval) SERVER doris OPTIONS (key 'tenant,seq', distribute_by 'tenant', fetch_size '5');
	CREATE FOREIGN TABLE words (w text NOT NULL, c \"char\", x float4, g int GENERATED ALWAYS AS (length(w)) STORED) SERVER doris OPTIONS (key 'w');
	CREATE TABLE parts (id int NOT NULL, region text, v int) PARTITION BY LIST (region);
	CREATE FOREIGN TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu') SERVER doris OPTIONS (key 'id');
	CREATE TABLE parts_local PARTITION OF parts DEFAULT;
	CREATE TABLE parent (id int, v text); CREATE FOREIGN TABLE child (more int) INHERITS (parent) SERVER doris OPTIONS (key 'id');
	CREATE TABLE local (id int PRIMARY KEY, a int, s text);
	CREATE VIEW low AS SELECT id, a, s FROM one WHERE a < 10 WITH CHECK OPTION;
	INSERT INTO one SELECT g, g % 7, g * 1000000007::int8, g / 3.0, g / 4.0, 's' || g % 5, date '2024-01-01' + g, now(), g % 2 = 0, ARRAY[g, NULL], '{\"k\": 1}', gen_random_uuid(), 'ok', g FROM generate_series(1, 60) g;
	INSERT INTO two SELECT g % 6, g, 'v' || g, 'w', '\\x00ff', '10.0.0.1', interval '1 day' * g FROM generate_series(1, 60) g;
	INSERT INTO words SELECT 'word ' || g, 'c', g / 8.0 FROM generate_series(1, 30) g;
	INSERT INTO parts SELECT g, CASE WHEN g % 2 = 0 THEN 'eu' ELSE 'us' END, g FROM generate_series(1, 30) g;
	INSERT INTO parent VALUES (1, 'p'); INSERT INTO child SELECT g, 'c', g FROM generate_series(1, 20) g;
	INSERT INTO local SELECT g, g % 7, 's' || g % 5 FROM generate_series(1, 60) g; ANALYZE");

# What sqlsmith gets to see: foreign tables as tables that it may write to; no relation of the system; of the functions those
# that do not act on the server and whose types it can fill in. Its own catalog queries are caught by these views.
$cluster->sql("CREATE OR REPLACE VIEW information_schema.tables AS
		SELECT current_database()::information_schema.sql_identifier AS table_catalog, n.nspname::information_schema.sql_identifier AS table_schema,
			c.relname::information_schema.sql_identifier AS table_name, (CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'BASE TABLE' END)::information_schema.character_data AS table_type,
			NULL::information_schema.sql_identifier AS self_referencing_column_name, NULL::information_schema.character_data AS reference_generation,
			NULL::information_schema.sql_identifier AS user_defined_type_catalog, NULL::information_schema.sql_identifier AS user_defined_type_schema,
			NULL::information_schema.sql_identifier AS user_defined_type_name, 'YES'::information_schema.yes_or_no AS is_insertable_into,
			'NO'::information_schema.yes_or_no AS is_typed, NULL::information_schema.character_data AS commit_action
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'smith' AND c.relkind IN ('r', 'f', 'p', 'v');
	CREATE SCHEMA seen;
	CREATE VIEW seen.pg_proc AS SELECT p.* FROM pg_catalog.pg_proc p JOIN pg_type r ON r.oid = p.prorettype
		WHERE r.typtype <> 'p' AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) a JOIN pg_type t ON t.oid = a WHERE t.typtype = 'p') AND has_function_privilege('smith', p.oid, 'EXECUTE')
			AND (p.provolatile <> 'v' AND p.proname !~ '^(pg_|has_|txid_|currtid|query_to|table_to|schema_to|cursor_to|database_to|col_description|obj_description|shobj|ts_|row_security|lo_|inet_(client|server))'
				OR p.proname IN ('random', 'clock_timestamp', 'gen_random_uuid') OR p.proname LIKE 'doris%' AND p.proname <> 'doris_wait');
	GRANT USAGE ON SCHEMA smith, seen TO smith; GRANT ALL ON ALL TABLES IN SCHEMA smith TO smith; GRANT SELECT ON seen.pg_proc TO smith;
	GRANT USAGE ON FOREIGN SERVER doris TO smith;
	ALTER ROLE smith SET search_path = seen, pg_catalog, smith");
my $before = $cluster->sql('SELECT (SELECT sum(id) FROM smith.one) + (SELECT sum(seq) FROM smith.two) + (SELECT count(*) FROM smith.words) + (SELECT sum(id) FROM smith.parts)');
$cluster->sql("ALTER SYSTEM SET $_") for "log_error_verbosity = 'verbose'", "log_min_error_statement = 'error'", "log_min_messages = 'error'";
$cluster->sql('SELECT pg_reload_conf()');
my $start = length $cluster->slurp_log('pg');

# ---- the runs ----
my @runs = (
	'', 'SET enable_hashjoin = off; ALTER ROLE smith SET enable_mergejoin = off; ALTER ROLE smith SET enable_memoize = off',
	'SET enable_nestloop = off; ALTER ROLE smith SET parallel_setup_cost = 0; ALTER ROLE smith SET parallel_tuple_cost = 0; ALTER ROLE smith SET min_parallel_table_scan_size = 0; ALTER ROLE smith SET enable_partitionwise_join = on',
);
my $executed = 0;
for my $i (0 .. $#runs)
{
	$cluster->sql("ALTER ROLE smith $runs[$i]") if $runs[$i];
	my $n = int($queries / @runs);
	my $target = "host=$cluster->{env}{PGHOST} port=$cluster->{env}{PGPORT} user=smith dbname=smith";
	my ($rc, $out) = DorisCluster::run(600, 'sqlsmith', "--target=$target", '--exclude-catalog', '--verbose', '--seed=' . ($seed + $i), "--max-queries=$n");
	is($rc, 0, "run $i: $n statements") or diag(substr($out, -3000));
	my ($failed) = $out =~ /^error rate: ([\d.e-]+)/m;
	diag("run $i: share of statements that failed: " . ($failed // 'none told'));
	$executed += $n * (1 - ($failed // 1));
	$cluster->sql('ALTER ROLE smith RESET ALL; ALTER ROLE smith SET search_path = seen, pg_catalog, smith');
}
cmp_ok($executed, '>', $queries / 10, 'some of the statements ran to their end');    # most name types or samples that do not exist

# ---- what the server's log says ----
my $log = substr $cluster->slurp_log('pg'), $start;
my ($crash) = $log =~ /^(.*(?:terminated by signal|PANIC:|TRAP:).*(?:\n.*DETAIL.*)?)/m;
ok(!defined $crash, 'no process of the server died') or diag($crash);

# Internal errors that statements get from local tables, too: some by their words, and those from the functions of PostgreSQL's own types
my $of_types = qr/^(?:acl|array\w*|bool|cash|char|date|datetime|domains|encode|enum|float|format_type|formatting|geo_\w+|inet_\w+|int8?|json\w*|like\w*|mac8?|misc|multirange\w*|name|network\w*|numeric|oid|oracle_compat|orderedsetaggs|pg_lsn|pseudotypes|quote|range\w*|reg\w+|ruleutils|tid|timestamp|ts\w+|uuid|varbit|varchar|varlena|windowfuncs|xid\w*|xml)\.c$/;
my @of_postgres = (qr/^cache lookup failed for/, qr/^unrecognized (?:privilege|configuration)/, qr/^invalid memory alloc request size/);
my $file_of = sub { my ($function, $file) = @_; return -e "$DorisCluster::root/fdw/$file" && DorisCluster::slurp("$DorisCluster::root/fdw/$file") =~ /\b\Q$function\E\(/ };
my (%internal, %states);
while ($log =~ /^(?:\S+ ){3}\[(\d+)\] ERROR:  (\w{5}): (.*)\n((?:\S+ \S+ \S+ \[\1\] (?!ERROR).*\n(?:\t.*\n)*)*)/mg)
{
	my ($state, $message, $more) = ($2, $3, $4);
	$states{$state}++;
	my ($function, $file) = $more =~ /LOCATION:  (\w+), (\S+?):\d+/;
	next if $state !~ /^XX/;
	my $ours = defined $file && $file_of->($function, $file);
	next if !$ours && (grep { $message =~ $_ } @of_postgres or ($file // '') =~ $of_types);
	my ($statement) = $more =~ /STATEMENT:  (.*(?:\n\t.*)*)/;
	$internal{ "$state: $message (" . ($function // '?') . ', ' . ($file // '?') . ')' } //= $statement;
}
is(keys %internal, 0, 'no internal error') or diag(map { "$_\n$internal{$_}\n\n" } sort keys %internal);
diag('errors: ' . join(', ', map { "$_ $states{$_}" } sort keys %states));
is($cluster->sql('SELECT (SELECT sum(id) FROM smith.one) + (SELECT sum(seq) FROM smith.two) + (SELECT count(*) FROM smith.words) + (SELECT sum(id) FROM smith.parts)'), $before, 'sqlsmith rolls back all it does');
ok($cluster->digests_equal, 'both groups hold the same');
done_testing();
