# What backends count: retries and failovers when a node dies, totals of all backends with the library preloaded,
# and what is left of doris_fdw_stats without.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use Test::More;
use Time::HiRes qw(sleep);

my $cluster = DorisCluster->new(log_nodes => 1);
$cluster->sql("CREATE FOREIGN TABLE stats_t (id int, v text) SERVER doris OPTIONS (key 'id');
	INSERT INTO stats_t SELECT g, repeat('x', 50) FROM generate_series(1, 2000) g;
	ANALYZE stats_t");

# totals are the sums of what backends did, whether they have gone or not
$cluster->sql('SELECT doris_fdw_stats_reset()');
my $reader = $cluster->session;
my $other = $cluster->session;
$_->query('SELECT count(*) FROM stats_t WHERE id IN (1, 2, 3)') for ($reader, $other);
$other->query(q{SELECT count(v || '') FROM stats_t});
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
like($plan, qr/^\s*Node g1n1:.*failovers=[1-9]/m, 'EXPLAIN shows a read that went on at another copy') or diag($plan);
like($plan, qr/^\s*Node g2n\d: requests=[1-9]/m, '... and where');
my $epoch = $scan->query('SELECT epoch FROM doris_fdw_connections()');
$plan = $scan->query('EXPLAIN (ANALYZE, VERBOSE, COSTS OFF) SELECT count(v) FROM stats_t');
SKIP:
{
	skip 'the admins have judged the node meanwhile: nothing is its any more', 1 if $scan->query('SELECT epoch FROM doris_fdw_connections()') ne $epoch;
	like($plan, qr/^\s*Node g1n1:.*failovers=1\b/m, 'the same when the node is passed over because it was silent a moment ago') or diag($plan);
}
$cluster->continue('g1n1');
is($scan->query("SELECT failovers > 0 FROM doris_fdw_stats WHERE node = 'g1n1'"), 't', 'so does the view');
is($cluster->sql("SELECT total_failovers > 0 FROM doris_fdw_stats WHERE node = 'g1n1'"), 't', '... for all backends');

# what the exit of a backend finds uncounted is counted, too: its transaction never ended
{
	my $before = $cluster->sql('SELECT sum(total_rows) FROM doris_fdw_stats');
	my $s = $cluster->session;
	my $pid = $s->backend;
	$s->query('BEGIN');
	$s->query(q{SELECT count(v || '') FROM stats_t});
	$cluster->sql("SELECT pg_terminate_backend($pid, 5000)");
	cmp_ok($cluster->sql('SELECT sum(total_rows) FROM doris_fdw_stats'), '>=', $before + 2000, 'a backend that was terminated has counted');
	eval { $s->finish(5) };
}

# an answer that is late once is no slower network: the planner's cost of a round trip hardly moves
{
	my $s = $cluster->session;
	my $cost = sub { $s->query('EXPLAIN SELECT v FROM stats_t WHERE id = 1') =~ /cost=(\d+\.\d+)\.\./ ? $1 : die 'no cost' };
	$s->query("SELECT v FROM stats_t WHERE id = $_") for 1 .. 60;
	my $before = $cost->();
	$cluster->pause('g1n1', 'g2n1');
	$s->send('SELECT count(v) FROM stats_t WHERE id = ANY (ARRAY(SELECT generate_series(1, 40)))');
	sleep 0.4;
	$cluster->continue('g1n1', 'g2n1');
	is($s->finish(20), 40, 'an answer comes late');
	cmp_ok($cost->(), '<=', 2 * $before, '... and the cost of a round trip takes one step at most');
	my ($new) = $cluster->sql('EXPLAIN SELECT v FROM stats_t WHERE id = 1') =~ /cost=(\d+\.\d+)\.\./;
	cmp_ok($new, '>=', $before / 4, 'a new backend takes what others have measured');
	cmp_ok($new, '<=', $before * 4, '... not much more');
}

# ANALYZE while a node does not answer: it tells how far it is, can be cancelled, and goes on at another copy
{
	my $s = $cluster->session;
	my $pid = $s->backend;
	my $progress = "SELECT phase, sample_blks_total > 0, sample_blks_scanned <= sample_blks_total FROM pg_stat_progress_analyze WHERE pid = $pid";
	$s->query('SELECT count(*) FROM stats_t WHERE id = 1');
	$cluster->pause('g1n1', 'g2n1', 'g2n2');
	$s->send('ANALYZE stats_t');
	is($cluster->wait_for('ANALYZE to be under way', 10, sub { my $p = $cluster->sql($progress); $p =~ /t$/ ? $p : undef }), 'acquiring sample rows|t|t',
		'pg_stat_progress_analyze shows it');
	$cluster->sql("SELECT pg_cancel_backend($pid)");
	is($s->state_of($s->finish(5)), '57014', 'it can be cancelled');
	$cluster->continue('g2n1', 'g2n2');
	is($s->state_of($s->query('ANALYZE stats_t', 30)), '', 'and made with a node that is silent');
	$cluster->continue('g1n1');
	is($cluster->sql("SELECT reltuples FROM pg_class WHERE relname = 'stats_t'"), 2000, '... with every row');
	is($cluster->sql("SELECT n_distinct FROM pg_stats WHERE tablename = 'stats_t' AND attname = 'id'"), -1, '... once');
	$cluster->wait_healthy;
}

# without preload
eval { $_->finish(5) } for ($reader, $other, $scan);
open(my $conf, '>>', "$cluster->{dir}/pg/postgresql.conf") or die "postgresql.conf: $!";
print $conf "shared_preload_libraries = ''\n";
close $conf;
$cluster->stop('pg');
$cluster->start('pg');
$cluster->wait_for('the database', 20, sub { eval { $cluster->sql('SELECT 1') } // '' eq '1' });
is($cluster->sql('SELECT count(*) FROM stats_t WHERE id = 1; SELECT count(*) > 0, count(*) = count(requests), count(total_requests), count(since) FROM doris_fdw_stats'),
	"1\nt|t|0|0", 'without shared_preload_libraries: the backend\'s own numbers, totals unknown');
is($cluster->sql('SELECT count(*) FROM doris_fdw_stats'), 0, '... nothing of others');
is($cluster->sql('SELECT doris_fdw_stats_reset() IS NOT NULL'), 't', 'a reset does no harm');

done_testing();
