# Aggregates on the nodes while nodes fail: every row counts once, whoever was killed or stopped in the middle.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use Test::More;
use Time::HiRes qw(time sleep);

my $rows = $ENV{DORIS_ROWS} // 400_000;
my $cluster = DorisCluster->new;
$cluster->sql("CREATE FOREIGN TABLE agg_t (id int, grp int, amount bigint, note text) SERVER doris OPTIONS (key 'id', write_mode 'direct')");
$cluster->sql("INSERT INTO agg_t SELECT g, g % 5, g * 10000000000, repeat('x', 60) FROM generate_series(1, $rows) g");

my $query = 'SELECT count(*), sum(amount), min(id), max(id), (SELECT string_agg(grp || \':\' || c, \',\' ORDER BY grp) FROM'
	. ' (SELECT grp, count(*) AS c FROM agg_t GROUP BY grp) x) FROM agg_t';
my %groups;
$groups{ $_ % 5 }++ for 1 .. $rows;
my $half = $rows / 2 * ($rows + 1);
my $expected = join '|', $rows, "${half}0000000000", 1, $rows, join(',', map { "$_:$groups{$_}" } sort keys %groups);

like($cluster->sql("EXPLAIN $query"), qr/Node Aggregates: count\(\*\), sum.*Node Aggregates: count\(\*\)/s, 'the nodes aggregate');
is($cluster->sql($query), $expected, 'all nodes are up');

# How long it takes undisturbed, so that nodes fail at different moments of it.
my $start = time;
$cluster->sql($query);
my $takes = time - $start;

my $s = $cluster->session;
$s->query('SELECT 1');
for my $strike ([ 'killed', 'g1n1', 0.2 ], [ 'killed', 'g2n2', 0.5 ], [ 'paused', 'g1n2', 0.4 ], [ 'killed', 'g2n1', 0.8 ])
{
	my ($how, $node, $part) = @$strike;
	$s->send($query);
	sleep($takes * $part);
	$how eq 'killed' ? $cluster->kill($node) : $cluster->pause($node);
	is($s->finish(60), $expected, "$node $how after " . int(100 * $part) . ' % of the time');
	is($s->query($query, 60), $expected, '... and once more without it');
	$how eq 'killed' ? $cluster->start($node) : $cluster->continue($node);
	$cluster->wait_healthy;
}

# Rows that were committed a moment ago are staged still on the nodes: they are met and settled.
$cluster->sql("CREATE FOREIGN TABLE agg_s (id int, v int) SERVER doris OPTIONS (key 'id')");
is($s->query('INSERT INTO agg_s SELECT g, g FROM generate_series(1, 5000) g; SELECT count(*), sum(v) FROM agg_s'),
	"INSERT 0 5000\n5000|12502500", 'rows committed a moment ago');
is($s->query('UPDATE agg_s SET v = v + 1; SELECT count(*), sum(v) FROM agg_s'), "UPDATE 5000\n5000|12507500", 'rows changed a moment ago');
is($cluster->sql('SELECT count(*), sum(v) FROM agg_s WHERE v > 2501'), '2500|9378750', 'another session: the same, filtered');
ok($cluster->digests_equal, 'the copies are equal');
$s->close;
done_testing;
