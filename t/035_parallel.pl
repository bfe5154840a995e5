# Scans shared with workers: a node is killed, hangs or is taken out in the middle, the statement is cancelled, another session
# truncates the table before and during the scan. Each row comes once, or there is an error.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use Test::More;
use Time::HiRes qw(sleep time);

my $rows = 20000;
my $cluster = DorisCluster->new;
$cluster->sql("CREATE FOREIGN TABLE parallel_t (k int, n numeric) SERVER doris OPTIONS (key 'k', fetch_size '100');
	INSERT INTO parallel_t SELECT g, g FROM generate_series(1, $rows) g;
	CREATE FUNCTION slow(k int) RETURNS int LANGUAGE plpgsql PARALLEL SAFE COST 1000 AS
		'BEGIN IF k % 500 = 0 THEN PERFORM pg_sleep(0.1); END IF; RETURN k; END'");
$cluster->sql('ANALYZE parallel_t');
my $settings = 'SET parallel_setup_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2';
my $session = $cluster->session;
$session->query($settings);
my $whole = $rows * ($rows + 1) / 2;
my $query = 'SELECT count(*), count(DISTINCT k), sum(n) FROM (SELECT k, n FROM parallel_t WHERE slow(k) > 0) t';

my $plan = $session->query("EXPLAIN (ANALYZE) $query");
like($plan, qr/Workers Launched: 2.*Parallel Foreign Scan on parallel_t/s, 'two workers take part');

sub scan
{
	my ($what, $break, $mend) = @_;

	$session->send($query);
	sleep 0.4;
	$break->();
	is($session->finish(60), "$rows|$rows|$whole", "$what: every row once");
	$mend->() if $mend;
	$cluster->wait_healthy;
}

scan('nothing happens', sub { });
for my $node (qw(g1n1 g2n2))
{
	scan("$node killed", sub { $cluster->kill($node) }, sub { $cluster->start($node) });
	scan("$node hangs", sub { $cluster->pause($node) }, sub { $cluster->continue($node) });
}
scan('a node taken out', sub { $cluster->sql("SELECT doris_failover('g1n2')") }, sub { $cluster->sql("SELECT doris_recover('g1n2')") });

# ---- the statement's end ----
my $workers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'";
$session->query("SET statement_timeout = '700ms'");
my $began = time;
my $said = $session->query($query);
is(DorisCluster::Session->state_of($said), '57014', 'statement_timeout') or diag($said);
cmp_ok(time - $began, '<', 3, '... ends it in time');
$cluster->wait_for('the workers to end', 5, sub { $cluster->sql($workers) == 0 });
$session->query('RESET statement_timeout');
is($session->query($query), "$rows|$rows|$whole", 'the session goes on');

# ---- another session truncates ----
$cluster->sql("TRUNCATE parallel_t; INSERT INTO parallel_t SELECT g, 1 FROM generate_series(1, 3000) g");
is($session->query($query), '3000|3000|3000', 'rows of the namespace as it is now, though the session knew the old one');
$session->send($query);
sleep 0.15;
$cluster->sql("TRUNCATE parallel_t; INSERT INTO parallel_t SELECT -g, 1 FROM generate_series(1, 10) g");
$said = $session->finish(60);
like($said, qr/^3000\|3000\|3000$|ERROR:  (42P01|40001)/, 'truncated in the middle: all rows that were there, or an error');
is($session->query('SELECT count(*), sum(n) FROM parallel_t WHERE slow(k) < 0'), '10|10', 'the session goes on');

$session->close;
$cluster->down;
done_testing;
