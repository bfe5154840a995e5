# Copies are compared, by an operator and in the background; what differs is found, told and repaired. Old tombstones go,
# and the rows do not come back, not even with a node whose disk is an older one.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(time sleep);

my $cluster = DorisCluster->new(nodes => 1, vnodes => 16, no_key => 1, node_opts => '--memory 1',
	admin_opts => '--scrub-lap 2');
my ($leader) = map { $cluster->address($_) } 'admin1';

# ---- one copy alone gets a write: the APPLY of a repair, sent to one node ----
sub varint { my $n = shift; my $out = ''; while ($n >= 0x80) { $out .= chr(($n & 0x7f) | 0x80); $n >>= 7 } return $out . chr $n }
sub bytes { my $b = shift; return varint(length $b) . $b }

sub corrupt
{
	my ($node, $table, $id, $value, $clock) = @_;
	my $ns = $cluster->sql("SELECT ns_id FROM doris.namespaces WHERE name = '$table'");
	my $vnode = $cluster->sql("SELECT DISTINCT vnode FROM doris_route('$table', '$id')");
	my $epoch = $cluster->sql('SELECT max(epoch) FROM doris.topologies');
	my $body = "\0" . varint(1) . "\x01" . varint($ns) . varint($vnode) . bytes(pack 'N', 0x80000000 | $id)
		. (defined $value ? "\0" : "\x01") . pack('Q< L<', $clock // (int(time * 1000) << 16), 7)
		. bytes(defined $value ? pack('C', 2) . bytes($value) : '');
	my $message = pack('L< S< S< Q< L< Q< L< Q< C L<', 0x53495244, 1, 16, 1, 0, $epoch, 1000, int(time * 1000), 0, length $body)
		. $body;
	my $s = IO::Socket::INET->new(PeerAddr => $cluster->address($node), Timeout => 5) or die "cannot reach $node";
	my $back = '';

	syswrite($s, pack('a4 n n', "\0SP\0", 0x30, 0) . pack('Q> N', 4 + length $message, 0x80000001) . $message);
	# its greeting (8), length and id (12), envelope (45), status
	while (length $back < 66 && IO::Select->new($s)->can_read(5))
	{
		sysread($s, $back, 65536, length $back) or last;
	}
	close $s;
	is(length $back >= 66 ? ord substr($back, 65, 1) : 'no answer', 0, "a write at $node only");
}

sub verdicts
{
	my ($arguments) = @_;
	return $cluster->sql("SELECT string_agg(state || ' ' || n || ' ' || d || ' ' || r, ', ' ORDER BY state) FROM
		(SELECT state, count(*) AS n, coalesce(sum(different), 0) AS d, coalesce(sum(repaired), 0) AS r
		FROM doris_verify($arguments) GROUP BY state) s");
}

sub stat_of
{
	my ($who, $name) = @_;
	my ($rc, $out) = $cluster->ctl('stats', $who);
	return $out =~ /^$name\s+(\d+)/m ? $1 : undef;
}

sub leader { return (grep { stat_of($_, 'leader') } map { $cluster->address($_) } qw(admin1 admin2))[0] }

$cluster->sql("CREATE FOREIGN TABLE verify_t (id int, v text) SERVER doris OPTIONS (key 'id');
	CREATE FOREIGN TABLE verify_d (id int, v text) SERVER doris OPTIONS (key 'id', write_mode 'direct');
	INSERT INTO verify_t SELECT g, 'v' || g FROM generate_series(1, 1000) g;
	INSERT INTO verify_d SELECT g, 'v' || g FROM generate_series(1, 100) g");

# ---- a disk that will be put back much later ----
$cluster->stop('g2n1');
system('cp', '-a', "$cluster->{dir}/node/g2n1", "$cluster->{dir}/g2n1.old") == 0 or die;
$cluster->start('g2n1');
$cluster->wait_healthy;
$cluster->sql('DELETE FROM verify_t WHERE id % 5 = 0');
my $deleted = time;

# ---- finding and repairing ----
is(verdicts(''), 'equal 16 0 0', 'all copies are equal');
is(verdicts("'verify_t'"), 'equal 16 0 0', '... of one table');
is($cluster->sql("SELECT sum(rows) FROM doris_verify('verify_t')"), '800', 'the rows are counted');
corrupt('g2n1', 'verify_t', 1, 'newer');
corrupt('g1n1', 'verify_t', 2, undef);
corrupt('g1n1', 'verify_t', 3, 'older', 1 << 16);
is(verdicts("'verify_d'"), 'equal 16 0 0', 'nothing of another table');
like(verdicts("'verify_t'"), qr/^different \d+ 2 0, equal \d+ 0 0$/, 'two rows differ; the older write changed nothing');
$cluster->wait_for('an event that tells of it', 60, sub {
	$cluster->sql("SELECT count(*) FROM doris_events WHERE kind = 'difference_found'") > 0;
});
like($cluster->sql("SELECT detail FROM doris_events WHERE kind = 'difference_found' LIMIT 1"), qr/rows of vnode \d+ differ/,
	'the background found it by itself');
like(verdicts("'verify_t', true"), qr/^different \d+ 2 2, equal \d+ 0 0$/, 'they are repaired');
is(verdicts(''), 'equal 16 0 0', 'all copies are equal again');
for my $group (1, 2)
{
	is($cluster->sql("SET doris_fdw.read_group = $group; SELECT string_agg(id || v, ' ' ORDER BY id) FROM verify_t WHERE id < 5"),
		'1newer 3v3 4v4', "the higher version stays, in group $group");
}
$cluster->wait_for('an event that it is gone', 60, sub {
	$cluster->sql("SELECT count(*) FROM doris_events WHERE kind = 'difference_gone'") > 0;
});
is($cluster->sqlstate("SELECT * FROM doris_verify('no_such')"), '42704', 'no such namespace');
is($cluster->sqlstate('BEGIN READ ONLY; SELECT * FROM doris_verify(NULL, true)'), '25006', 'no repairs in a read-only transaction');
is($cluster->sqlstate("SET ROLE pg_monitor; SELECT * FROM doris_verify()"), '42501', 'not for everybody');

# ---- under load ----
{
	my @writers = map { $cluster->session } 1 .. 4;
	my $end = time + 8;
	my ($laps, $bad) = (0, 0);
	my $work = 'DO $$ BEGIN FOR i IN 1..40 LOOP %s; COMMIT; END LOOP; END $$';
	my @work = (
		'UPDATE verify_t SET v = v || 1 WHERE id = (random() * 3)::int * 4 + 1',
		'UPDATE verify_d SET v = random()::text WHERE id <= 3',
		'DELETE FROM verify_t WHERE id = 777; INSERT INTO verify_t VALUES (777, random()::text)',
		'UPDATE verify_t SET v = random()::text WHERE id BETWEEN 800 AND 820',
	);
	while (time < $end)
	{
		$writers[$_]->send(sprintf $work, $work[$_]) for 0 .. 3;
		for (1 .. 2)
		{
			my $out = verdicts('');
			$bad++, diag($out) if $out !~ /^equal 16 0 0$/;
			$laps++;
		}
		$_->finish for @writers;
	}
	is($bad, 0, "writes in flight are no differences ($laps times compared)");
}
ok($cluster->digests_equal, 'both groups hold the same');

# ---- unknown ----
$cluster->pause('g2n1');
my $began = time;
like(verdicts(''), qr/^unknown 16 0 0$/, 'a node that hangs: unknown, not equal');
cmp_ok(time - $began, '<', 15, '... soon');
$cluster->continue('g2n1');
$cluster->wait_healthy;
$cluster->kill('g2n1');
is(verdicts(''), 'unknown 16 0 0', 'a node that is down: unknown');
like($cluster->sql('SELECT DISTINCT detail FROM doris_verify() LIMIT 1'), qr/g2n1/, '... and which one');
my ($rc, $out) = $cluster->ctl('digest');
is($rc, 1, 'dorisctl says so too');
like($out, qr/unknown 16 vnodes/, '... of all vnodes');
$cluster->start('g2n1');
$cluster->wait_healthy;
is(verdicts(''), 'equal 16 0 0', 'equal again when it is back');

# ---- tombstones ----
# (as the next lap over all vnodes finds: the one before met a node that was down)
$cluster->wait_for('tombstones to wait for their age', 10, sub { (stat_of(leader(), 'tombstones_wait_age') // 0) > 0 }) if time - $deleted < 40;
# they can go when both nodes have forgotten the transactions of that minute
$cluster->wait_for('the tombstones to go', 120, sub {
	(stat_of('g1n1', 'tombstones_purged') // 0) >= 200 && stat_of('g2n1', 'tombstones_purged') >= 200;
});
cmp_ok(time - $deleted, '>', 55, 'not before');
is(verdicts(''), 'equal 16 0 0', 'the copies are equal');
$cluster->sql("INSERT INTO verify_t VALUES (5, 'anew')");

# ---- the older disk: it still has the rows ----
$cluster->kill('g2n1');
system('rm', '-rf', "$cluster->{dir}/node/g2n1") == 0 && rename("$cluster->{dir}/g2n1.old", "$cluster->{dir}/node/g2n1") or die;
$cluster->start('g2n1');
$cluster->wait_for('the node to have taken over what it lacks', 60, sub {
	$cluster->sql("SELECT count(*) FROM doris_nodes WHERE role = 'data' AND state <> 'ok'") eq '0'
		&& stat_of('g2n1', 'records_outdated') > 0;
});
cmp_ok(stat_of('g2n1', 'records_outdated'), '>=', 199, 'it has dropped the rows that had been deleted meanwhile');
for my $group (1, 2)
{
	is($cluster->sql("SET doris_fdw.read_group = $group; SELECT string_agg(id || v, ' ') FROM verify_t WHERE id % 5 = 0"), '5anew',
		"no deleted row is back in group $group");
	is($cluster->sql("SET doris_fdw.read_group = $group; SELECT count(*) FROM verify_t"), '800', "... and none is missing");
}
is(verdicts(''), 'equal 16 0 0', 'the copies are equal');
done_testing;
