# A node is killed, or hangs: reads go on from the other group, writes to its vnodes get an honest error at once and
# never hang; when it answers again nothing is lost and writes go on.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use Test::More;
use Time::HiRes qw(time);

my $cluster = DorisCluster->new;
$cluster->sql("CREATE FOREIGN TABLE nodes_t (id int, v text) SERVER doris OPTIONS (key 'id');
	INSERT INTO nodes_t SELECT g, 'v' || g FROM generate_series(1, 2000) g");
# keys that do and do not live on g1n1
my $hit = join ',', map { (split /\n/, $cluster->sql("SELECT g FROM generate_series(1, 200) g, doris_route('nodes_t', g::text) r WHERE r.owner " . ($_ ? '=' : '<>')
	. " 'g1n1' AND r.group_id = 1 ORDER BY g LIMIT 1"))[0] } 1, 0;
my ($on, $off) = split /,/, $hit;
my $session = $cluster->session;
$session->query('SELECT count(*) FROM nodes_t');

# How long, and what came of it.
sub timed
{
	my ($who, $sql, $deadline) = @_;
	my $start = time;
	my $out = eval { $who->query($sql, $deadline // 30) } // "hang: $@";
	return ($out, time - $start);
}

sub reads_and_writes
{
	my ($what, $break, $mend, $read_limit, $write_limit) = @_;
	$break->();
	my ($out, $took) = timed($session, "SELECT v FROM nodes_t WHERE id = $on");
	is($out, "v$on", "$what: a key of that node is read at once");
	cmp_ok($took, '<', $read_limit, sprintf('... in %.2f s', $took));
	($out, $took) = timed($session, 'SELECT count(*), sum(id) FROM nodes_t');
	is($out, '2000|2001000', "$what: a scan finds every row once");
	cmp_ok($took, '<', $read_limit + 2, sprintf('... in %.2f s', $took));
	($out, $took) = timed($session, "UPDATE nodes_t SET v = v || '!' WHERE id = $on", 60);
	like($session->state_of($out), qr/^(08006|08007|08001)$/, "$what: a write to its vnodes gets an honest error") or diag($out);
	cmp_ok($took, '<', $write_limit, sprintf('... in %.2f s', $took));
	my $told_unknown = $session->state_of($out) eq '08007';
	($out, $took) = timed($session, "UPDATE nodes_t SET v = v WHERE id = $off");
	is($out, 'UPDATE 1', "$what: writes to other vnodes go on");
	$out = $cluster->session->query("SELECT v FROM nodes_t WHERE id = $on");
	is($out, "v$on", "$what: a new connection reads it too");
	$cluster->wait_for('g1n1 is called failed', 15, sub {
		$cluster->sql("SELECT state FROM doris_nodes WHERE name = 'g1n1'") eq 'failed';
	});
	pass("$what: doris_nodes calls it failed");
	# judged failed, the refusal is quick and says whom it concerns
	($out, $took) = timed($cluster->session(verbosity => 'default'), "UPDATE nodes_t SET v = v || '!' WHERE id = $on");
	like($out, qr/ERROR:.*g1n1/s, "$what: the error names the node");
	cmp_ok($took, '<', 3, sprintf('... in %.2f s', $took));
	$mend->();
	$cluster->wait_healthy;
	$cluster->wait_for('writes go on', 15, sub {
		$session->query("UPDATE nodes_t SET v = v WHERE id = $on") eq 'UPDATE 1';
	});
	pass("$what: writes go on after it is back");
	$out = $session->query("SELECT v FROM nodes_t WHERE id = $on");
	$told_unknown ? like($out, qr/^v$on!?$/, "$what: done or not done") : is($out, "v$on", "$what: what was told as not done is not done");
	is($session->query("SELECT count(*), sum(id) FROM nodes_t"), '2000|2001000', "$what: every row is there");
	$cluster->sql("UPDATE nodes_t SET v = 'v' || id WHERE v LIKE '%!'");
	ok($cluster->digests_equal, "$what: both groups hold the same");
}

reads_and_writes('killed', sub { $cluster->kill('g1n1') }, sub { $cluster->start('g1n1') }, 2, 35);
reads_and_writes('stopped', sub { $cluster->pause('g1n1') }, sub { $cluster->continue('g1n1') }, 6, 35);

# killed in the middle of writes: each acknowledged row is there afterwards
my $writer = $cluster->session;
my (@done, %unknown);
my $next = 10000;
for my $round (1 .. 3)
{
	my $victim = ('g1n1', 'g2n2', 'g1n2')[$round - 1];
	for my $i (1 .. 60)
	{
		$cluster->kill($victim) if $i == 20;
		my $id = $next++;
		my $out = $writer->query("INSERT INTO nodes_t VALUES ($id, 'w')");
		push @done, $id if $out eq 'INSERT 0 1';
		$unknown{$id} = 1 if $writer->state_of($out) eq '08007';
	}
	$cluster->start($victim);
	$cluster->wait_healthy;
}
my %there = map { $_ => 1 } split /\n/, $cluster->sql('SELECT id FROM nodes_t WHERE id >= 10000');
is(scalar(grep { !$there{$_} } @done), 0, scalar(@done) . ' acknowledged rows are all there');
delete @there{@done};
is(scalar(grep { !$unknown{$_} } keys %there), 0, 'no row is there that was told as not done (' . keys(%unknown) . ' unknown)');
ok($cluster->digests_equal, 'both groups hold the same');

# both owners of some vnodes: an error, never a guess
$cluster->kill('g1n1', 'g2n1');
like($cluster->sqlstate('SET doris_fdw.statement_deadline = 3000; SELECT count(*) FROM nodes_t'), qr/^08/, 'both owners down: a scan is an error');
$cluster->start('g1n1', 'g2n1');
$cluster->wait_healthy;
is($cluster->sql("SELECT count(*) FROM nodes_t WHERE id <= 2000"), 2000, 'both are back: every row is there');

# the whole cluster ends and starts again
$cluster->stop(qw(g1n1 g1n2 g2n1 g2n2));
$cluster->start(qw(g1n1 g1n2 g2n1 g2n2));
$cluster->wait_healthy;
is($cluster->sql("SELECT count(*) FROM nodes_t WHERE id <= 2000"), 2000, 'all nodes stopped and started: every row is there');
ok($cluster->digests_equal, 'both groups hold the same');
done_testing();
