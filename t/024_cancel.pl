# Every wait ends within a moment: statement_timeout, cancel and termination while a node does not answer.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use Test::More;
use Time::HiRes qw(time sleep);

# One group: with no other copy to turn to, reads and writes have to wait for the node.
my $cluster = DorisCluster->new(groups => 1, nodes => 1);
$cluster->sql("CREATE FOREIGN TABLE cancel_t (id int, v text) SERVER doris OPTIONS (key 'id');
	CREATE FOREIGN TABLE cancel_d (id int, v text) SERVER doris OPTIONS (key 'id', write_mode 'direct');
	INSERT INTO cancel_t SELECT g, repeat('x', 100) FROM generate_series(1, 20000) g");
$cluster->sql('ANALYZE cancel_t');
like($cluster->sql('EXPLAIN SELECT count(*) FROM generate_series(1, 100) g JOIN cancel_t t ON t.id = g'), qr/Batched Join/, 'the join below is a batched one');

my %waits = (
	'a point get' => 'SELECT * FROM cancel_t WHERE id = 1',
	'a list' => 'SELECT count(*) FROM cancel_t WHERE id = ANY (ARRAY(SELECT generate_series(1, 100)))',
	'a batched join' => 'SELECT count(*) FROM generate_series(1, 100) g JOIN cancel_t t ON t.id = g',
	'a scan' => 'SELECT count(v) FROM cancel_t',
	'an insert' => "INSERT INTO cancel_t VALUES (-1, 'new')",
	'an update' => "UPDATE cancel_t SET v = 'new' WHERE id = 1",
	'a direct write' => "INSERT INTO cancel_d VALUES (1, 'x')",
	'the definition of a table' => "CREATE FOREIGN TABLE cancel_new (id int) SERVER doris OPTIONS (key 'id')",
	'analyze' => 'ANALYZE cancel_t',
);
for my $what (sort keys %waits)
{
	for my $how ('timeout', 'cancel', 'terminate')
	{
		my $s = $cluster->session;
		my $pid = $s->backend;
		$s->query('SELECT count(*) FROM cancel_t WHERE id = 1');
		$s->query($how eq 'timeout' ? "SET statement_timeout = '500ms'" : 'SET statement_timeout = 0');
		# a CREATE waits for the admins
		my @paused = $what =~ /definition/ ? qw(admin1 admin2) : ('g1n1');
		$cluster->pause(@paused);
		my $start = time;
		$s->send($waits{$what});
		if ($how ne 'timeout')
		{
			sleep 0.5;
			$cluster->sql("SELECT pg_${how}_backend($pid)");
		}
		my $out = eval { $s->finish(20) } // "hang: $@";
		my $took = time - $start;
		$cluster->continue(@paused);
		# what was under way in the cluster may have to say that its outcome is unknown
		my $expect = $how eq 'terminate' ? qr/^(57P01|08007|)$/ : $what =~ /insert|update|write|definition/ ? qr/^(57014|08007)$/ : qr/^57014$/;
		like($s->state_of($out), $expect, "$what ends by $how") or diag($out);
		if ($how eq 'terminate')
		{
			$cluster->wait_for("backend $pid is gone", 2, sub { !$cluster->sql("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid") });
		}
		cmp_ok($took, '<', 1.8, sprintf('... within %.2f s of the start, 0.5 of them waited', $took));
		$cluster->wait_for('the node answers', 20, sub { $cluster->sqlstate('SELECT FROM cancel_t WHERE id = 1', 10) eq '' });
	}
}
# the transaction's end: COMMIT is where the writes are sent
{
	my $s = $cluster->session;
	$s->query($_) for "BEGIN", "INSERT INTO cancel_t SELECT g FROM generate_series(30000, 30010) g", "SET statement_timeout = '500ms'";
	$cluster->pause('g1n1');
	my $start = time;
	my $out = eval { $s->query('COMMIT', 20) } // "hang: $@";
	my $took = time - $start;
	$cluster->continue('g1n1');
	like($s->state_of($out), qr/^(57014|08007)$/, 'a commit ends by timeout') or diag($out);
	cmp_ok($took, '<', 1.8, sprintf('... within %.2f s', $took));
}
# the deadline of one's own
{
	my $s = $cluster->session;
	$s->query("SET doris_fdw.statement_deadline = '700ms'");
	$cluster->pause('g1n1');
	my $start = time;
	my $out = eval { $s->query('SELECT count(v) FROM cancel_t', 20) } // "hang: $@";
	my $took = time - $start;
	$cluster->continue('g1n1');
	like($s->state_of($out), qr/^08|^57014/, 'doris_fdw.statement_deadline is kept') or diag($out);
	cmp_ok($took, '<', 3, sprintf('... within %.2f s', $took));
}
$cluster->wait_for('all is settled', 60, sub { $cluster->sqlstate("UPDATE cancel_t SET v = 'end'", 60) eq '' });
pass('after all of it every row can be written');
done_testing();
