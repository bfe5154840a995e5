# What backends count: retries and failovers when a node dies, totals of all backends with the library preloaded,
# and what is left of doris_fdw_stats without.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use Test::More;

my $cluster = DorisCluster->new(log_nodes => 1);
$cluster->sql("CREATE FOREIGN TABLE stats_t (id int, v text) SERVER doris OPTIONS (key 'id');
	INSERT INTO stats_t SELECT g, repeat('x', 50) FROM generate_series(1, 2000) g");

# totals are the sums of what backends did, whether they have gone or not
$cluster->sql('SELECT doris_fdw_stats_reset()');
my $reader = $cluster->session;
my $other = $cluster->session;
$_->query('SELECT count(*) FROM stats_t WHERE id IN (1, 2, 3)') for ($reader, $other);
$other->query('SELECT count(v) FROM stats_t');
my $own = 'SELECT coalesce(sum(requests), 0), coalesce(sum(rows), 0), coalesce(sum(bytes), 0) FROM doris_fdw_stats';
my @a = split /\|/, $reader->query($own);
my @b = split /\|/, $other->query($own);
my @all = split /\|/, $cluster->sql('SELECT sum(total_requests), sum(total_rows), sum(total_bytes) FROM doris_fdw_stats');
is($all[1], $a[1] + $b[1], 'rows of all backends together');
# a connection asks for a newer map now and then
cmp_ok($all[$_], '>=', $a[$_] + $b[$_], '... and what that took') for 0, 2;
cmp_ok($all[0], '<', $a[0] + $b[0] + 20, '... once only');
cmp_ok($b[1], '>=', 2000, 'the scan\'s rows were counted');

# a node dies under a reader: EXPLAIN and the view say who was asked instead
my $scan = $cluster->session;
$scan->query('SELECT count(*) FROM stats_t WHERE id = 1');
$cluster->pause('g1n1');
my $plan = $scan->query('EXPLAIN (ANALYZE, VERBOSE, COSTS OFF) SELECT count(v) FROM stats_t');
$cluster->continue('g1n1');
like($plan, qr/^\s*Node g1n1:.*failovers=[1-9]/m, 'EXPLAIN shows a read that went on at another copy') or diag($plan);
like($plan, qr/^\s*Node g2n\d: requests=[1-9]/m, '... and where');
is($scan->query("SELECT failovers > 0 FROM doris_fdw_stats WHERE node = 'g1n1'"), 't', 'so does the view');
is($cluster->sql("SELECT total_failovers > 0 FROM doris_fdw_stats WHERE node = 'g1n1'"), 't', '... for all backends');

# what the exit of a backend finds uncounted is counted, too: its transaction never ended
{
	my $before = $cluster->sql('SELECT sum(total_rows) FROM doris_fdw_stats');
	my $s = $cluster->session;
	my $pid = $s->backend;
	$s->query('BEGIN');
	$s->query('SELECT count(v) FROM stats_t');
	$cluster->sql("SELECT pg_terminate_backend($pid, 5000)");
	cmp_ok($cluster->sql('SELECT sum(total_rows) FROM doris_fdw_stats'), '>=', $before + 2000, 'a backend that was terminated has counted');
	eval { $s->finish(5) };
}

# without preload
eval { $_->finish(5) } for ($reader, $other, $scan);
$cluster->sql("ALTER SYSTEM SET shared_preload_libraries = ''");
$cluster->stop('pg');
$cluster->start('pg');
$cluster->wait_for('the database', 20, sub { eval { $cluster->sql('SELECT 1') } // '' eq '1' });
is($cluster->sql('SELECT count(*) FROM stats_t WHERE id = 1; SELECT count(*) > 0, count(*) = count(requests), count(total_requests), count(since) FROM doris_fdw_stats'),
	"1\nt|t|0|0", 'without shared_preload_libraries: the backend\'s own numbers, totals unknown');
is($cluster->sql('SELECT count(*) FROM doris_fdw_stats'), 0, '... nothing of others');
is($cluster->sql('SELECT doris_fdw_stats_reset() IS NOT NULL'), 't', 'a reset does no harm');

done_testing();
