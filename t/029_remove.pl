# doris_remove_node: a node that holds nothing goes for good, whether it never started, runs or has failed; one that holds
# something, or may soon, is refused.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use POSIX ();
use Test::More;

my $cluster = DorisCluster->new(vnodes => 16);

sub node { return $cluster->sql("SELECT state || ' ' || vnodes FROM doris_nodes WHERE name = '$_[0]'") }
sub events { my ($node, $kind) = @_; return $cluster->sql("SELECT count(*) FROM doris_events WHERE node = '$node' AND kind = '$kind'") }
sub refused
{
	my ($name, $state, $message, $what) = @_;
	is($cluster->sqlstate("SELECT doris_remove_node('$name')"), $state, "$what: refused");
	like($cluster->{last}, $message, '... and told why');
}
sub removed
{
	my ($name, $what) = @_;
	is($cluster->sqlstate("SELECT doris_remove_node('$name')"), '', "$what: removed") or diag($cluster->{last});
	is(node($name), 'dead 0', '... it is dead');
	is(events($name, 'node_removed'), 1, '... and an event tells');
}
sub add_node
{
	my ($rc, $out) = $cluster->local('add-node');
	chomp $out;
	return $out;
}

# ---- refused ----
refused('nobody', '42704', qr/there is no node "nobody"/, 'no such node');
refused('g1n1', '55000', qr/has copies of 8 vnodes.*doris_shrink\(\) or doris_replace\(\) first/s, 'one with copies');
refused('log1', '55000', qr/log node that has been in use/, 'a log node');

# ---- never started ----
my $name = $cluster->sql("SELECT doris_add_node('127.0.0.1:9')");
is($cluster->sqlstate("SELECT doris_shrink('{$name}')"), '42704', 'a node that was never started is not in the cluster');
like($cluster->{last}, qr/HINT: .*doris_remove_node/, '... the hint tells how to remove it');
removed($name, 'a node that was never started');
is($cluster->sqlstate("SELECT doris_remove_node('$name')"), '', 'removed twice: nothing happens');
is(events($name, 'node_removed'), 1, '... nor is it told again');
is($cluster->sqlstate("SELECT doris_add_node('127.0.0.1:10', name => '$name')"), '42710', 'its name is not used again');
my $again = $cluster->sql("SELECT doris_add_node('127.0.0.1:9', 'log')");
isnt($again, $name, 'its address may be');
removed($again, 'a log node that was never started');

# ---- a spare that runs, named by a plan at first ----
my $spare = add_node();
is(node($spare), 'spare 0', 'a spare');
$cluster->sql("SELECT doris_set('move_rate', '1'); CREATE FOREIGN TABLE remove_t (id int, v text) SERVER doris OPTIONS (key 'id')");
$cluster->sql("INSERT INTO remove_t SELECT g, repeat(md5(g::text), 300) FROM generate_series(1, 2000) g");
my $plan = $cluster->sql("SELECT doris_expand(1, '{$spare}', wait => false)");
$cluster->sql("SELECT doris_pause($plan)");
refused($spare, '55000', qr/plan $plan has to do with node "$spare".*doris_wait\($plan\)/s, 'one that a paused plan names');
$cluster->sql("SELECT doris_set('move_rate', '0'); SELECT doris_cancel($plan)");
$cluster->sql("SET client_min_messages = warning; SELECT doris_shrink('{$spare}')") if node($spare) !~ / 0$/;
$cluster->wait_for('nothing comes there', 20, sub { $cluster->sql("SELECT count(*) FROM doris.copies c, doris.nodes n WHERE n.name = '$spare' AND node_id IN (owner, incoming, retiring)") eq '0' });
removed($spare, 'a node that runs');
$cluster->kill($spare);
$cluster->local('start', $spare);
$cluster->wait_for('it is refused', 20, sub { events($spare, 'node_refused') > 0 });
like($cluster->slurp_log($spare), qr/refuses this node: .* is dead: it was replaced or removed/, '... its log says why');
$cluster->wait_for('it has ended', 20, sub { ($cluster->local('status'))[1] =~ /^\Q$spare\E +- +down/m });
is(node($spare), 'dead 0', '... and it stays dead');

# ---- one that has failed ----
$spare = add_node();
$cluster->kill($spare);
$cluster->wait_for('it has failed', 20, sub { node($spare) eq 'failed 0' });
removed($spare, 'a spare that has failed');

# ---- at the same time as it is given vnodes: one of the two ----
for my $round (1 .. 3)
{
	$spare = add_node();
	my $expand = $cluster->session;
	my $remove = $cluster->session;
	my @calls = ([ $expand, "SELECT doris_expand(1, '{$spare}', wait => false)" ], [ $remove, "SELECT doris_remove_node('$spare')" ]);
	$_->[0]->query('SELECT 1 FROM doris_nodes LIMIT 1') for @calls;
	@calls = reverse @calls if $round % 2;
	$_->[0]->send($_->[1]) for @calls;
	my $expanded = $expand->finish(30) =~ /ERROR/ ? 0 : 1;
	my $gone = $remove->finish(30) =~ /ERROR/ ? 0 : 1;
	is($expanded + $gone, 1, "round $round: it is " . ($gone ? 'removed' : 'given vnodes') . ', not both');
	$cluster->sql("SET client_min_messages = warning; SELECT doris_wait(max(plan_id)) FROM doris_plans") if $expanded;
	like(node($spare), $gone ? qr/^dead 0$/ : qr/^ok [1-9]/, '... and the view agrees');
	$cluster->sql("SET client_min_messages = warning; SELECT doris_shrink('{$spare}')") if $expanded;
}

# ---- the next leader knows ----
my $leader = $cluster->sql('SELECT name FROM doris.leader');
$cluster->kill($leader);
$cluster->wait_for('another leader', 20, sub { $cluster->sql('SELECT name FROM doris.leader') ne $leader });
$cluster->start($leader);
is(node($name), 'dead 0', 'it is dead under the next leader, too');
is($cluster->sql('SELECT count(*) FROM remove_t'), 2000, 'every row is there');
ok($cluster->digests_equal, 'both groups hold the same');
ok($cluster->wait_for('dorisctl status', 20, sub { ($cluster->ctl('status'))[0] == 0 }), 'the dead are nobody that dorisctl status misses');
$cluster->down;

# ---- never started, and registered with the first nodes: the map was laid out without it ----
my $plain = DorisCluster->new(no_key => 1, groups => 1, nodes => 1, log_nodes => 0, admins => 1, vnodes => 8);
my $dir = $plain->{dir};
chomp(my $port = `perl $DorisCluster::root/tools/free-port 2`);
my ($admin, $home) = ('tcp://127.0.0.1:' . $port, 'tcp://127.0.0.1:' . ($port + 1));
$plain->sql('CREATE DATABASE second');
$plain->{env}{PGDATABASE} = 'second';
$plain->sql("CREATE EXTENSION doris_fdw; CREATE SERVER doris FOREIGN DATA WRAPPER doris_fdw OPTIONS (hosts '127.0.0.1:$port');
	CREATE USER MAPPING FOR PUBLIC SERVER doris");
$plain->sql("BEGIN; SELECT doris_create_cluster(8, 1); SELECT doris_add_node('$home', 'data', 'one'), doris_add_node('127.0.0.1:9', 'log', 'mistyped'); COMMIT");
mkdir "$dir/one" or die;
my @pids;
for my $command ([ 'doris_admin', '--name', 'second1', '--listen', $admin, '--database', "host=$dir/run port=$plain->{env}{PGPORT} user=postgres dbname=second" ],
	[ 'doris_node', '--name', 'one', '--listen', $home, '--home', "$dir/one", '--admins', $admin, '--cache', 32 ])
{
	my ($program, @args) = @$command;
	my $pid = fork // die;
	if ($pid == 0)
	{
		open STDERR, '>', "$dir/log/second-$program.log";
		open STDOUT, '>&', \*STDERR;
		exec $plain->program($program), @args or POSIX::_exit(127);
	}
	push @pids, $pid;
}
my $state = sub { return $plain->sql("SELECT state FROM doris_nodes WHERE name = '$_[0]'") };
eval {
	$plain->wait_for('the second cluster', 30, sub { $state->('one') eq 'ok' });
	is($state->('mistyped'), 'joining', 'it is in the map and never started');
	is($plain->sqlstate("SELECT doris_remove_node('mistyped')"), '', '... removed') or diag($plain->{last});
	is($state->('mistyped'), 'dead', '... it is dead');
};
diag($@) if $@;
is($@, '', 'the second cluster works');
kill 'TERM', @pids;
waitpid $_, 0 for @pids;
$plain->down;
done_testing;
