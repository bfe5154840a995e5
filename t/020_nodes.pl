# A node is killed, or hangs: reads go on from the other group; writes to its vnodes wait for the verdict and go on
# with the other copy; when it answers again it gets what it missed, and both groups hold the same.
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
	is($out, 'UPDATE 1', "$what: a write to its vnodes goes on");
	cmp_ok($took, '<', $write_limit, sprintf('... after %.2f s', $took));
	is(state(), 'failed', "$what: doris_nodes calls it failed");
	($out, $took) = timed($session, "UPDATE nodes_t SET v = v WHERE id = $off");
	is($out, 'UPDATE 1', "$what: writes to other vnodes go on");
	$out = $cluster->session->query("SELECT v FROM nodes_t WHERE id = $on");
	is($out, "v$on!", "$what: a new connection reads what was written");
	# judged failed, nobody waits for it any more
	($out, $took) = timed($cluster->session, "UPDATE nodes_t SET v = v || '!' WHERE id = $on");
	is($out, 'UPDATE 1', "$what: a new connection writes");
	cmp_ok($took, '<', 3, sprintf('... in %.2f s', $took));
	is($session->query("INSERT INTO nodes_t SELECT g, 'new' FROM generate_series(3001, 3300) g"), 'INSERT 0 300', "$what: a transaction over all vnodes");
	is($session->query("DELETE FROM nodes_t WHERE id BETWEEN 3101 AND 3300"), 'DELETE 200', "$what: deletes");
	$cluster->wait_for('hints are counted', 10, sub { $cluster->sql("SELECT hints > 0 FROM doris_nodes WHERE name = 'g1n1'") eq 't' });
	pass("$what: doris_nodes counts the writes that are kept for it");
	$mend->();
	$cluster->wait_healthy;
	is($session->query("SELECT v FROM nodes_t WHERE id = $on"), "v$on!!", "$what: back, nothing is lost");
	is($session->query('SELECT count(*), sum(id) FROM nodes_t WHERE id <= 2000'), '2000|2001000', "$what: every row is there");
	is($session->query('SELECT count(*) FROM nodes_t WHERE id > 3000'), 100, "$what: what was deleted meanwhile stays away");
	is($cluster->sql("SELECT count(*) FROM doris_vnodes WHERE NOT complete"), 0, "$what: all copies are complete");
	for my $group (1, 2)
	{
		is($session->query("SET doris_fdw.read_group = $group; SELECT v FROM nodes_t WHERE id = $on; RESET doris_fdw.read_group"),
			"SET\nv$on!!\nRESET", "$what: group $group has it");
	}
	my $kinds = $cluster->sql("SELECT string_agg(kind, ' ' ORDER BY at) FROM doris_events WHERE node = 'g1n1'");
	like($kinds, qr/node_failed.*node_recovering.*node_ok$/, "$what: the events tell the story");
	$cluster->sql("UPDATE nodes_t SET v = 'v' || id WHERE v LIKE '%!'; DELETE FROM nodes_t WHERE id > 3000");
	ok($cluster->digests_equal, "$what: both groups hold the same");
}
sub state { $cluster->sql("SELECT state FROM doris_nodes WHERE name = 'g1n1'") }

reads_and_writes('killed', sub { $cluster->kill('g1n1') }, sub { $cluster->start('g1n1') }, 2, 4);
reads_and_writes('stopped', sub { $cluster->pause('g1n1') }, sub { $cluster->continue('g1n1') }, 6, 6);

# killed in the middle of writes: none fails, and each row is there afterwards
my $writer = $cluster->session;
my (@done, @failed);
my $next = 10000;
my $longest = 0;
for my $round (1 .. 3)
{
	my $victim = ('g1n1', 'g2n2', 'g1n2')[$round - 1];
	for my $i (1 .. 60)
	{
		$cluster->kill($victim) if $i == 20;
		my $id = $next++;
		my ($out, $took) = timed($writer, "INSERT INTO nodes_t VALUES ($id, 'w')");
		$longest = $took if $took > $longest;
		if ($out eq 'INSERT 0 1') { push @done, $id } else { push @failed, $out }
	}
	$cluster->start($victim);
	$cluster->wait_healthy;
}
is(scalar(@failed), 0, 'no statement failed') or diag(@failed);
diag(sprintf 'longest stall %.2f s', $longest);
my %there = map { $_ => 1 } split /\n/, $cluster->sql('SELECT id FROM nodes_t WHERE id >= 10000');
is(scalar(grep { !$there{$_} } @done), 0, scalar(@done) . ' acknowledged rows are all there');
is(scalar(keys %there), scalar(@done), 'and no others');
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
