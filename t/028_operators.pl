# What operators ask for, and what starts are compared with: failover and recover, disks that are lost or put back, the
# last complete copy, replacements by hand and by themselves, through changes of the leading admin.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use Test::More;

my $cluster = DorisCluster->new;
my $home = "$cluster->{dir}/node";
my $session = $cluster->session(verbosity => 'default');

sub shell { my ($rc, $out) = DorisCluster::run(60, 'sh', '-c', $_[0]); die "$_[0]: $out" if $rc }
sub state_of { my ($name, $on) = @_; return ($on // $cluster)->sql("SELECT state FROM doris_nodes WHERE name = '$name'") }
sub wait_state
{
	my ($name, $state, $on) = @_;
	($on // $cluster)->wait_for("$name is $state", 30, sub { state_of($name, $on) =~ /^($state)$/ });
}
sub events { my ($node, $kind, $on) = @_; return ($on // $cluster)->sql("SELECT count(*) FROM doris_events WHERE node = '$node' AND kind = '$kind'") }
my $written = 0;
sub write_rows
{
	my ($what) = @_;
	is($session->query("INSERT INTO oper_t SELECT g, 'w' FROM generate_series($written + 1, $written + 200) g"), 'INSERT 0 200', "$what: writes go on");
	$written += 200;
}
sub all_well
{
	my ($what) = @_;
	$cluster->wait_for("$what: all copies complete", 30, sub { $cluster->sql('SELECT count(*) FROM doris_vnodes WHERE NOT complete') eq '0' });
	is($session->query('SELECT count(*) FROM oper_t'), $written, "$what: every row is there");
	for my $group (1, 2)
	{
		like($session->query("SET doris_fdw.read_group = $group; SELECT count(*) FROM oper_t; RESET doris_fdw.read_group"), qr/^$written$/m, "$what: group $group has every row");
	}
	ok($cluster->digests_equal, "$what: both groups hold the same");
}
sub restart_leader
{
	my $leader = $cluster->sql('SELECT name FROM doris.leader');
	my $term = $cluster->sql('SELECT term FROM doris.leader');
	$cluster->kill($leader);
	$cluster->wait_for('another term', 20, sub { $cluster->sql('SELECT term FROM doris.leader') > $term });
	$cluster->start($leader);
}

$session->query("CREATE FOREIGN TABLE oper_t (id int, v text) SERVER doris OPTIONS (key 'id')");
write_rows('at first');

# ---- failover and recover ----
is($session->query("SELECT doris_failover('g1n1')"), '', 'doris_failover');
is(state_of('g1n1'), 'failed', 'the node is out when it returns');
write_rows('failed over');
$cluster->wait_for('hints are shown', 10, sub { $cluster->sql("SELECT hints > 0 FROM doris_nodes WHERE name = 'g1n1'") eq 't' });
like($session->query("SELECT doris_failover('g2n1')"), qr/ERROR:.*last complete copy/s, 'a second one that would leave nothing: refused');
is($cluster->sqlstate("SELECT doris_failover('g2n1')"), '55000', '... with 55000');
restart_leader();
$cluster->wait_for('the new leader watches', 20, sub { $cluster->sql('SELECT clock_timestamp() - seen < interval \'1 s\' AND clock_timestamp() - since > interval \'3 s\' FROM doris.leader') eq 't' });
is(state_of('g1n1'), 'failed', 'it stays out under the next leader, though it answers');
is($session->query("SELECT doris_recover('g1n1')"), '', 'doris_recover');
wait_state('g1n1', 'ok');
is(events('g1n1', 'node_taken_out'), 1, 'events: taken out');
is(events('g1n1', 'node_ok') > 0, 1, 'events: ok again');
all_well('recovered');
is($cluster->sqlstate("SELECT doris_failover('nobody')"), '42704', 'no such node');

# ---- a lost disk, an older one, a node that restarts faster than anyone notices ----
$cluster->kill('g1n1');
shell("rm -rf $home/g1n1 && mkdir $home/g1n1");
write_rows('disk lost');
$cluster->start('g1n1');
wait_state('g1n1', 'ok');
is(events('g1n1', 'node_new_home'), 1, 'an event tells of the new home');
all_well('disk lost');

$cluster->stop('g2n2');
shell("cp -a $home/g2n2 $home/g2n2.old");
$cluster->start('g2n2');
$cluster->wait_healthy;
write_rows('before the old disk');
sleep 2;    # the mark that covers these rows is in a report, and in the schema
$cluster->kill('g2n2');
shell("rm -rf $home/g2n2 && mv $home/g2n2.old $home/g2n2");
$cluster->start('g2n2');
$cluster->wait_for('it is recognised', 20, sub { events('g2n2', 'node_behind') eq '1' });
wait_state('g2n2', 'ok');
all_well('an older disk');

for (1 .. 3)
{
	$cluster->kill('g1n2');
	$cluster->start('g1n2');
	write_rows('quick restart');
}
$cluster->wait_healthy;
all_well('quick restarts');

# ---- replaced: a node that is gone, with the leader killed on the way ----
my ($rc, $out) = $cluster->local('add-node');
is($out, "spare1\n", 'a spare') or diag($out);
is($cluster->sqlstate("SELECT doris_replace('g1n1', 'g1n2')"), '55000', 'not by a node that has vnodes');
is($cluster->sqlstate("SELECT doris_replace('g1n1', 'log1')"), '55000', 'not by a log node');
$cluster->kill('g1n1');
wait_state('g1n1', 'failed');
my $plan = $cluster->sql("SELECT doris_replace('g1n1', 'spare1', wait => false)");
like($plan, qr/^\d+$/, 'doris_replace returns the plan');
restart_leader();
is($cluster->sql("SELECT kind, vnodes_total FROM doris_plans WHERE plan_id = $plan"), 'replace|32', 'doris_plans shows it');
write_rows('replaced');
$cluster->wait_for('the plan is done', 30, sub { $cluster->sql("SELECT state FROM doris_plans WHERE plan_id = $plan") eq 'done' });
is(state_of('g1n1'), 'dead', 'the old node is dead');
is($cluster->sql("SELECT role, group_id, state, vnodes FROM doris_nodes WHERE name = 'spare1'"), 'data|1|ok|32', 'the new one has its place');
is($cluster->sql("SELECT vnodes_done, error IS NULL FROM doris_plans WHERE plan_id = $plan"), '32|t', 'the plan is done to the last vnode');
all_well('replaced');
$cluster->local('start', 'g1n1');
$cluster->wait_for('the dead node is refused', 20, sub { events('g1n1', 'node_refused') > 0 });
is(state_of('g1n1'), 'dead', 'a dead node that returns stays dead');
like($cluster->slurp_log('g1n1'), qr/dead/, '... and its log says why');

# ---- replaced: a node that is up, waiting for it ----
$cluster->local('add-node');
like($cluster->sql("SET client_min_messages = warning; SELECT doris_replace('g2n1', 'spare2')", 60), qr/^\d+$/, 'a node that is up is replaced');
is(state_of('g2n1'), 'dead', '... and dead at once, whether it runs or not');
is(state_of('spare2'), 'ok', '... when the new one has all');
write_rows('replaced while up');
all_well('replaced while up');
$cluster->stop('g2n1');

# ---- by itself ----
is($cluster->sqlstate("SELECT doris_set('permanent_after', '-1 s')"), '22023', 'doris_set checks values');
is($cluster->sqlstate("SELECT doris_set('no_such', 'x')"), '42704', 'doris_set knows its settings');
$cluster->sql("SELECT doris_set('permanent_after', '1 s')");
$cluster->kill('g2n2');
$cluster->wait_for('an event says that it is lost', 20, sub { events('g2n2', 'node_lost') eq '1' });
is(state_of('g2n2'), 'failed', 'nothing else happens by itself');
$cluster->sql("SELECT doris_set('auto_replace', 'on')");
$cluster->local('add-node');
$cluster->wait_for('the spare takes its place', 30, sub { state_of('g2n2') eq 'dead' });
is(state_of('spare3'), 'ok', 'with auto_replace a spare takes the place of a lost node');
write_rows('replaced by itself');
all_well('replaced by itself');

# ---- a node that flaps waits ----
$cluster->sql("SELECT doris_set('auto_replace', 'off')");
for (1 .. 5)
{
	$cluster->kill('g1n2');
	wait_state('g1n2', 'failed');
	$cluster->start('g1n2');
	wait_state('g1n2', 'recovering|ok');
}
cmp_ok(events('g1n2', 'node_waits'), '>', 0, 'a node that fails again and again is let in later');
wait_state('g1n2', 'ok');
all_well('flapping');
$cluster->down;

# ---- one group: a restart is waited for; what the last copy lacks is for an operator to accept ----
my $single = DorisCluster->new(groups => 1, nodes => 1, log_nodes => 0, admins => 1, vnodes => 8);
$home = "$single->{dir}/node";
$single->sql("CREATE FOREIGN TABLE oper_t (id int, v text) SERVER doris OPTIONS (key 'id'); INSERT INTO oper_t SELECT g, 'v' FROM generate_series(1, 100) g");
$single->kill('g1n1');
wait_state('g1n1', 'failed', $single);
$single->start('g1n1');
wait_state('g1n1', 'ok', $single);
is($single->sql('SELECT count(*) FROM oper_t'), 100, 'one group: a node that was killed is back with all it had');
is(events('g1n1', 'node_recovering', $single), 0, '... and has nothing to recover from');
$single->stop('g1n1');
shell("cp -a $home/g1n1 $home/g1n1.old");
$single->start('g1n1');
wait_state('g1n1', 'ok', $single);
$single->sql("INSERT INTO oper_t SELECT g, 'v' FROM generate_series(101, 200) g");
sleep 2;
$single->kill('g1n1');
shell("rm -rf $home/g1n1 && mv $home/g1n1.old $home/g1n1");
$single->local('start', 'g1n1');
$single->wait_for('it is recognised', 20, sub { events('g1n1', 'node_behind', $single) > 0 });
sleep 1;
is(state_of('g1n1', $single), 'failed', 'an older disk of the last copy: it stays down');
like($single->sql("SELECT detail FROM doris_events WHERE kind = 'node_behind' LIMIT 1"), qr/accept_loss/, '... and the event tells what to do');
is($single->sqlstate('SET doris_fdw.statement_deadline = 1000; SELECT count(*) FROM oper_t'), '08006', '... reads are an error, not a guess');
$single->sql("SELECT doris_recover('g1n1')");
sleep 1;
is(state_of('g1n1', $single), 'failed', '... a plain doris_recover does not let it in');
$single->sql("SELECT doris_recover('g1n1', accept_loss => true)");
wait_state('g1n1', 'ok', $single);
is($single->sql('SELECT count(*) FROM oper_t'), 100, '... accept_loss does: what it has is all there is');
done_testing();
