# A node's disk fills up: writes are refused with 53100, reads go on, and it recovers by itself once there is space.
# The home of g1n1 lies on a small tmpfs, for which the test has to be root.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use Test::More;
use Time::HiRes qw(time);

my $probe = File::Temp::tempdir(CLEANUP => 1);
if ($> != 0 || system("mount -t tmpfs -o size=1m none $probe 2>/dev/null") != 0)
{
	plan skip_all => 'mounting a tmpfs needs root and the permission to mount';
}
system('umount', $probe);

my $cluster = DorisCluster->new(nodes => 1, log_nodes => 0, vnodes => 16);
my $home = "$cluster->{dir}/node/g1n1";
my $mounted;

END
{
	my $status = $?;
	system('umount', '-l', $home) if $mounted;
	$? = $status;
}

# What is in the home moves onto the tmpfs.
$cluster->stop('g1n1');
rename($home, "$home.disk") or die;
mkdir $home;
system("mount -t tmpfs -o size=400m none $home && cp -a $home.disk/. $home/ && rm -rf $home.disk") == 0 or die 'cannot move the home';
$mounted = 1;
my $filler = "$home/filler";
system('fallocate', '-l', '150M', $filler) == 0 or die 'fallocate';
$cluster->start('g1n1');
$cluster->wait_healthy;
my $g1n1 = $cluster->pid('g1n1');

$cluster->sql("CREATE FOREIGN TABLE full_t (id int, v text) SERVER doris OPTIONS (key 'id');
	INSERT INTO full_t SELECT g, 'small' FROM generate_series(1, 100) g");
my $done = 0;
my $state = '';
my $deadline = time + 180;
while ($state eq '' && $done < 1500 && time < $deadline)
{
	my $next = $done + 1;
	# random text, which does not compress
	$state = $cluster->sqlstate("INSERT INTO full_t SELECT 1000 + $next * 100 + g,
		(SELECT string_agg(md5(random()::text || g || i), '') FROM generate_series(1, 300) i) FROM generate_series(1, 50) g");
	$done++ if $state eq '';
}
is($state, '53100', "after $done inserts of half a megabyte the disk is full") or diag($cluster->{last});
like($cluster->{last}, qr/g1n1/, 'the error names the node');
for my $write ("INSERT INTO full_t VALUES (-1, 'x')", "UPDATE full_t SET v = repeat('y', 100000) WHERE id = 1")
{
	# somewhat later it may have written a checkpoint and accept small writes; big ones it must refuse
	my $again = $cluster->sqlstate($write);
	like($again, qr/^(53100|)$/, "still: $write (" . ($again || 'done') . ')');
}
is($cluster->sql('SELECT count(*) FROM full_t WHERE id BETWEEN 1 AND 100'), 100, 'reads go on');
is($cluster->sql('SELECT count(*) FROM full_t WHERE id > 1000'), 50 * $done, 'every acknowledged row is there, no refused one');
is($cluster->sql("SET doris_fdw.read_group = 1; SELECT count(*) FROM full_t WHERE id BETWEEN 1 AND 100"), 100, 'reads of the full node, too');
like(($cluster->ctl('stats', 'g1n1'))[1], qr/^disk_full\s+1$/m, 'its statistics say so');
is($cluster->pid('g1n1'), $g1n1, 'the node lives');
ok(kill(0, $g1n1), '... really');

# somebody makes room
unlink $filler or die;
my $start = time;
$cluster->wait_for('writes go on', 30, sub { $cluster->sqlstate("INSERT INTO full_t VALUES (-2, repeat('z', 100000))") eq '' });
diag(sprintf 'writes went on after %.1f s', time - $start);
is($cluster->pid('g1n1'), $g1n1, 'without a restart');
ok(kill(0, $g1n1), '... really');
is($cluster->sqlstate("UPDATE full_t SET v = 'after' WHERE id <= 100"), '', 'updates too');
ok($cluster->digests_equal, 'both groups hold the same');

# and it starts again with what it has
$cluster->kill('g1n1');
$cluster->start('g1n1');
$cluster->wait_healthy;
is($cluster->sql("SELECT count(*) FROM full_t WHERE id > 1000"), 50 * $done, 'after a crash every row is there');
ok($cluster->digests_equal, 'both groups hold the same');
done_testing();
