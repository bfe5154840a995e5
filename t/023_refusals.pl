# What must be refused: another key, a home of another cluster or node, a wiped home, two nodes on one home, a plain client.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use File::Copy ();
use Test::More;

my $other = DorisCluster->new(groups => 1, nodes => 1, log_nodes => 0, admins => 1);
my $cluster = DorisCluster->new(log_nodes => 0);
$cluster->sql("CREATE FOREIGN TABLE refusals_t (id int, v text) SERVER doris OPTIONS (key 'id');
	INSERT INTO refusals_t SELECT g, 'v' FROM generate_series(1, 300) g");
my $home = "$cluster->{dir}/node";

# ---- clients ----
chmod 0644, "$other->{dir}/key/cluster.key";    # only for this test: a key that can be read, but is another one
for my $options ("hosts '$cluster->{hosts}', key_file '$other->{key_file}'", "hosts '$cluster->{hosts}'")
{
	my $what = $options =~ /key_file/ ? 'with the key of another cluster' : 'without a key';
	$cluster->sql("CREATE SERVER refusals FOREIGN DATA WRAPPER doris_fdw OPTIONS ($options); CREATE USER MAPPING FOR PUBLIC SERVER refusals");
	my $state = $cluster->sqlstate("SET doris_fdw.statement_deadline = 3000; CREATE FOREIGN TABLE refusals_x (id int, v text) SERVER refusals OPTIONS (key 'id', namespace 'refusals_t')", 20);
	like($state, qr/^(28000|08)/, "$what: refused ($state)") or diag($cluster->{last});
	$cluster->sql('DROP SERVER refusals CASCADE');
}
is($cluster->sqlstate("CREATE SERVER refusals FOREIGN DATA WRAPPER doris_fdw OPTIONS (hosts '127.0.0.1:1', key_file '/nonexistent/key');
	CREATE USER MAPPING FOR PUBLIC SERVER refusals; CREATE FOREIGN TABLE refusals_x (id int) SERVER refusals OPTIONS (key 'id')") ne '', 1, 'a key file that is not there: refused');
like($cluster->{last}, qr{/nonexistent/key}, '... and named');
{
	local $cluster->{key_file} = undef;
	my ($rc, $out) = $cluster->ctl('get', 'refusals_t', '1');
	isnt($rc, 0, 'dorisctl without a key: refused');
	unlike($out, qr/\bv\b=v/, '... sees no rows');
}

# ---- nodes ----

# Runs g1n1's command by hand, with arguments changed; exit code (124: still runs) and output.
sub run_node
{
	my ($seconds, $name, %change) = @_;
	my (undef, @command) = split /\n/, DorisCluster::slurp("$cluster->{dir}/proc/$name");
	for my $i (0 .. $#command)
	{
		$command[ $i + 1 ] = $change{ $command[$i] } if exists $change{ $command[$i] };
	}
	return DorisCluster::run($seconds, @command);
}

my ($rc, $out) = run_node(10, 'g1n1', '--listen' => 'tcp://127.0.0.1:' . DorisCluster::free_port());
ok($rc != 0 && $rc != 124, 'a second node on the same home: refused') or diag("$rc $out");
like($out, qr/home|lock|in use|running/i, '... and it is said');
like($out, qr/\Q$home\/g1n1\E/, '... with the home');

# a copy of a home, elsewhere, while the node runs
$cluster->stop('g2n1');
system('cp', '-a', "$home/g2n1", "$home/g2n1.copy");
$cluster->start('g2n1');
$cluster->wait_healthy;
($rc, $out) = run_node(15, 'g2n1', '--home' => "$home/g2n1.copy", '--listen' => 'tcp://127.0.0.1:' . DorisCluster::free_port());
ok($rc != 0 && $rc != 124, 'a copy of a home, elsewhere: refused') or diag("$rc $out");
like($out, qr/running already/, '... and it is said') or diag($out);
is($cluster->sql("SELECT state, address LIKE '%' || '" . $cluster->address('g2n1') . "' FROM doris_nodes WHERE name = 'g2n1'"), 'ok|t', '... and the node itself goes on');

$cluster->stop('g1n1', 'g1n2');
($rc, $out) = run_node(10, 'g1n1', '--home' => "$home/g1n2");
ok($rc != 0 && $rc != 124, 'a home of another node: refused') or diag("$rc $out");
like($out, qr/g1n2|home|node/, '... and it is said');

$other->stop('g1n1');
($rc, $out) = run_node(10, 'g1n1', '--home' => "$other->{dir}/node/g1n1");
ok($rc != 0 && $rc != 124, 'a home of another cluster: refused') or diag("$rc $out");
like($out, qr/cluster/, '... and it is said');

($rc, $out) = run_node(6, 'g1n1', '--key-file' => $other->{key_file});
my $alive = $rc == 124;    # it may wait for an admin that accepts it, as long as it serves nobody
ok($rc != 0, 'a node with another key: not taken in') or diag($out);
like($out, qr/key|denied|refuse/i, '... and it is said');

# a wiped disk: an empty home under the old name; elsewhere it is a stranger, at its own address it is filled again
rename("$home/g1n1", "$home/g1n1.kept") or die;
mkdir "$home/g1n1" or die;
($rc, $out) = run_node(6, 'g1n1', '--listen' => 'tcp://127.0.0.1:' . DorisCluster::free_port());
ok($rc != 0 && $rc != 124, 'an empty home at another address: refused');
like($out, qr/another home/, '... and it is said') or diag($out);
is($cluster->sql("SELECT state FROM doris_nodes WHERE name = 'g1n1'"), 'failed', '... the node stays failed');
$cluster->start('g1n1');
$cluster->wait_for('it is filled', 20, sub { $cluster->sql("SELECT state FROM doris_nodes WHERE name = 'g1n1'") eq 'ok' });
is($cluster->sql("SELECT count(*) FROM doris_events WHERE node = 'g1n1' AND kind = 'node_new_home'"), 1, 'an empty home at its own address: recognised and filled');
# and the old disk is put back in its place
$cluster->stop('g1n1');
system('rm', '-rf', "$home/g1n1");
rename("$home/g1n1.kept", "$home/g1n1") or die;

# an unknown name
($rc, $out) = run_node(4, 'g1n1', '--name' => 'stranger', '--home' => "$cluster->{dir}/stranger", '--listen' => 'tcp://127.0.0.1:' . DorisCluster::free_port());
is($cluster->sql("SELECT count(*) FROM doris_nodes WHERE name = 'stranger'"), 0, 'a node that nobody registered is not taken in');

# plain nodes stay on loopback
($rc, $out) = DorisCluster::run(5, $cluster->program('doris_node'), '--name', 'x', '--listen', 'tcp://0.0.0.0:' . DorisCluster::free_port(), '--home', "$cluster->{dir}/plain", '--admins', 'tcp://127.0.0.1:1');
ok($rc != 0 && $rc != 124, 'a plain node on all addresses: refused');
like($out, qr/loopback/, '... and it is said');

# the right ones come back, and nothing is lost
$cluster->start('g1n1', 'g1n2');
$cluster->wait_healthy;
is($cluster->sql('SELECT count(*) FROM refusals_t'), 300, 'with their own homes they are back');
is($cluster->sqlstate("UPDATE refusals_t SET v = 'w'"), '', 'and writes go on');
ok($cluster->digests_equal, 'both groups hold the same');
done_testing();
