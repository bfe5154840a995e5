# Plans that move vnodes, as users see them: shown first, started, waited for with notices, paused, resumed, cancelled; groups that
# grow and shrink while rows are written; weights; a healthy node replaced; dorisctl plan.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use Test::More;
use Time::HiRes qw(time sleep);

my $cluster = DorisCluster->new(nodes => 1, vnodes => 320);
my $session = $cluster->session(verbosity => 'default');
my $writer = $cluster->session;

sub state_of { return $cluster->sql("SELECT state FROM doris_nodes WHERE name = '$_[0]'") }
sub owned { return $cluster->sql("SELECT vnodes FROM doris_nodes WHERE name = '$_[0]'") }
# Without the notices
sub quiet { my ($sql) = @_; return $cluster->sql("SET client_min_messages = warning; $sql", 90) }
sub plan_state { return $cluster->sql("SELECT state FROM doris_plans WHERE plan_id = $_[0]") }
sub newest { return $cluster->sql('SELECT coalesce(max(plan_id), 0) FROM doris_plans') }
sub rate { $cluster->sql("SELECT doris_set('move_rate', '$_[0]')"); sleep 1.5; return }
sub ctl
{
	my ($code, @args) = @_;
	my ($rc, $out) = $cluster->ctl('plan', @args);
	is($rc, $code, "dorisctl plan @args: exit code $code") or diag($out);
	return $out;
}

my $written = 0;
sub write_rows
{
	my ($what, $n) = @_;
	is($writer->query("INSERT INTO plans_t SELECT g, repeat('x', 500) FROM generate_series($written + 1, $written + $n) g"), "INSERT 0 $n", "$what: writes go on");
	$written += $n;
}
sub all_well
{
	my ($what) = @_;
	is($cluster->sql("SELECT count(*) FROM doris_vnodes WHERE NOT complete OR incoming IS NOT NULL"), '0', "$what: nothing is under way");
	for my $group (1, 2)
	{
		is($cluster->sql("SET doris_fdw.read_group = $group; SELECT count(*), count(DISTINCT id) FROM plans_t"), "$written|$written", "$what: group $group has every row");
	}
	ok($cluster->digests_equal, "$what: both groups hold the same");
}

$cluster->sql("CREATE FOREIGN TABLE plans_t (id int, v text) SERVER doris OPTIONS (key 'id')");
write_rows('at first', 30000);
for (1 .. 3)
{
	my ($rc, $out) = $cluster->local('add-node');
	is($out, "spare$_\n", "spare$_") or diag($out);
	is($cluster->sql("SELECT DISTINCT disk_free IS NULL OR disk_free > 0 FROM doris_plan_expand(1, '{spare$_}')"), 't', '... until it has told what room it has, that is not known: never 0');
}
$cluster->wait_for('the nodes have told what they hold', 90, sub {
	$writer->query('SELECT FROM plans_t WHERE id = 1');    # gives it occasion to send what finishes its transactions
	$cluster->sql("SELECT count(*) FROM doris_nodes WHERE role = 'data' AND rows >= $written AND bytes > 0") eq '2'
		&& $cluster->sql("SELECT count(*) FROM doris.nodes WHERE role = 'spare' AND disk_free > 0") eq '3';
});

# ---- shown first ----
my $before = $cluster->sql('SELECT (SELECT max(epoch) FROM doris.topologies), (SELECT count(*) FROM doris_plans), (SELECT string_agg(n::text, $$,$$) FROM (SELECT name, role, group_id, state, vnodes FROM doris_nodes) n)');
is($cluster->sql("SELECT group_id, source, target, vnodes, minimum, rows BETWEEN 1 AND 30000, bytes > 1000000, disk_needed > bytes, disk_free > disk_needed FROM doris_plan_expand(1, '{spare1}')"),
	'1|g1n1|spare1|160|160|t|t|t|t', 'doris_plan_expand: half of the vnodes');
is($cluster->sql("SELECT count(*), sum(vnodes), max(minimum) FROM doris_plan_expand(1, '{spare1,spare2}')"), '2|213|213', '... two thirds of them to two new nodes');
is($cluster->sql("SELECT source, target, vnodes FROM doris_plan_replace('g2n1', 'spare1')"), 'g2n1|spare1|320', 'doris_plan_replace: all');
is($cluster->sql('SELECT count(*) FROM doris_plan_rebalance(1)'), '0', 'doris_plan_rebalance: nothing');
is($cluster->sqlstate("SELECT * FROM doris_plan_shrink('{g1n1}')"), '55000', 'doris_plan_shrink: not the only node');
is($cluster->sql('SELECT (SELECT max(epoch) FROM doris.topologies), (SELECT count(*) FROM doris_plans), (SELECT string_agg(n::text, $$,$$) FROM (SELECT name, role, group_id, state, vnodes FROM doris_nodes) n)'),
	$before, 'nothing has changed');

# ---- refused ----
for (
	['42704', "SELECT doris_expand(1, '{nobody}')"],
	['42704', "SELECT doris_shrink('{nobody}')"],
	['42704', "SELECT doris_replace('g1n1', 'nobody')"],
	['42704', 'SELECT doris_pause(4711)'],
	['42704', 'SELECT doris_resume(4711)'],
	['42704', 'SELECT doris_cancel(4711)'],
	['42704', 'SELECT doris_wait(4711)'],
	['22023', "SELECT doris_expand(4, '{spare1}')"],
	['22023', 'SELECT doris_rebalance(3)'],
	['55000', "SELECT doris_expand(1, '{log1}')"],
	['55000', "SELECT doris_expand(2, '{g1n1}')"],
	['55000', "SELECT doris_expand(1, '{g1n1}')"],
	['55000', "SELECT doris_shrink('{spare1}')"],
	['25006', "BEGIN READ ONLY; SELECT doris_expand(1, '{spare1}')"])
{
	is($cluster->sqlstate($_->[1]), $_->[0], "$_->[1]: $_->[0]") or diag($cluster->{last});
}
is(newest(), 0, 'no plan was made');

# ---- a group grows, waited for ----
rate(3);
$session->send("SELECT doris_expand(1, '{spare1}')");
$cluster->wait_for('the plan runs', 10, sub { newest() eq '1' });
is(state_of('spare1'), 'joining', 'the new node is joining');
is($cluster->sqlstate("SELECT doris_expand(1, '{spare2}')"), '55000', 'a second plan in this group: refused');
like($cluster->{last}, qr/plan 1 .*group 1.*doris_wait\(1\)/s, '... and the message says why, and what to do');
is($cluster->sql("SELECT doris_expand(1, '{spare1}', wait => false)"), '1', 'asked for once more: the same plan');
write_rows('growing', 2000);
my $out = $session->finish(60);
like($out, qr/^1$/m, 'doris_expand returns the number of the plan') or diag($out);
my @notices = $out =~ /NOTICE:  (plan 1: .*)/g;
cmp_ok(scalar @notices, '>=', 2, 'notices tell how far it is');
like($notices[-1], qr/^plan 1: \d+ %(, \d+(\.\d)? MB\/s)?(, \d+ s left)?$/, '... in percent, MB/s, time left');
is($cluster->sql('SELECT kind, state, vnodes_total, vnodes_done, bytes_total > 0, bytes_done = bytes_total, error IS NULL FROM doris_plans WHERE plan_id = 1'),
	'expand|done|160|160|t|t|t', 'doris_plans shows it');
is(state_of('spare1') . owned('spare1') . owned('g1n1'), 'ok160160', 'each node has its half');
is(quiet('SELECT doris_wait(1)'), 't', 'doris_wait of a plan that is done returns at once');
write_rows('grown', 500);
all_well('grown');

# ---- both groups at once; a wait that is cancelled; one that times out ----
my $plan = $cluster->sql("SELECT doris_shrink('{spare1}', wait => false)");
is($plan, 2, 'doris_shrink does not wait when told so');
is(state_of('spare1'), 'leaving', 'the node is leaving');
$session->send("SELECT doris_expand(2, '{spare2}')");
$cluster->wait_for('the other group has a plan, too', 10, sub { newest() eq '3' });
is(plan_state(2), 'running', '... at the same time');
sleep 1.2;
$cluster->sql('SELECT pg_cancel_backend(' . $cluster->sql("SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT doris_expand(2,%' AND state = 'active'") . ')');
$out = $session->finish(10);
like($out, qr/ERROR:  canceling statement due to user request\nHINT:  Plan 3 goes on\. .*doris_cancel\(3\)/, 'a wait that is cancelled says that the plan goes on');
is($cluster->sqlstate("SET statement_timeout = '300 ms'; SELECT doris_wait(3)"), '57014', 'so does statement_timeout');
like(plan_state(3), qr/running|done/, 'it does go on');
is(quiet("SELECT doris_wait(2, '100 ms')"), 'f', 'doris_wait: the timeout has passed');
rate(0);
is(quiet('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) > 0 FROM doris_plans; SELECT doris_wait(2); SELECT doris_wait(3); COMMIT'), "t\nt\nt", 'doris_wait: done, whatever the isolation level');
is(state_of('spare1') . owned('spare1'), 'spare0', 'what was shrunk away is a spare again');
is(owned('spare2'), 160, 'the other group has grown');
write_rows('shrunk', 500);
all_well('shrunk');

# ---- from another database, which is not the admins' ----
my $options = $cluster->sql("SELECT string_agg(format('%s %L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ') FROM pg_foreign_server, unnest(srvoptions) o WHERE srvname = 'doris'");
$cluster->sql('CREATE DATABASE elsewhere');
{
	local $cluster->{env}{PGDATABASE} = 'elsewhere';
	$cluster->sql("CREATE EXTENSION doris_fdw; CREATE SERVER doris FOREIGN DATA WRAPPER doris_fdw OPTIONS ($options); CREATE USER MAPPING FOR PUBLIC SERVER doris");
	for my $call ("doris_add_node('127.0.0.1:9')", "doris_set('move_rate', '1')")
	{
		is($cluster->sqlstate("SELECT $call"), '55000', "another database: $call is refused");
		like($cluster->{last}, qr/^HINT:  This is done in the cluster's admin database\./m, '... and the hint says where it is done');
	}
	is(quiet("SELECT doris_shrink('{spare2}')"), 4, 'another database can start a plan and wait for it');
	is(quiet('SELECT doris_wait(4)'), 't', '... and knows when it is done');
}
is(plan_state(4), 'done', '... and it is');

# ---- paused, resumed ----
rate(2);
is($cluster->sql("SELECT doris_expand(1, '{spare1}', wait => false)"), 5, 'a plan to be paused');
$cluster->sql('SELECT doris_pause(5)');
is(plan_state(5), 'paused', 'doris_pause');
$cluster->sql('SELECT doris_pause(5)');
rate(0);
$out = $session->query("SELECT doris_wait(5, '4 s')");
like($out, qr/NOTICE:  plan 5: \d+ %, paused\nf$/, 'it is waited for in vain, and the notice says why');
is($cluster->sql("SELECT state, vnodes_done < vnodes_total FROM doris_plans WHERE plan_id = 5"), 'paused|t', 'it begins nothing new');
write_rows('paused', 500);
$cluster->sql('SELECT doris_resume(5)');
is(quiet('SELECT doris_wait(5)'), 't', 'doris_resume: it is done');
is($cluster->sqlstate('SELECT doris_pause(5)'), '55000', 'nothing to pause any more');
all_well('resumed');

# ---- cancelled ----
rate(2);
$session->send("SELECT doris_shrink('{spare1}')");
$cluster->wait_for('a plan to be cancelled', 10, sub { newest() eq '6' });
$cluster->sql('SELECT doris_cancel(6)');
like($session->finish(10), qr/ERROR:  plan 6 was cancelled/, 'who waits is told that it was cancelled');
is(plan_state(6), 'cancelled', 'doris_cancel');
is($cluster->sqlstate('SELECT doris_wait(6)'), '55000', 'doris_wait of a cancelled plan');
is($cluster->sqlstate('SELECT doris_cancel(6)'), '55000', 'it cannot be cancelled twice');
rate(0);
$cluster->wait_for('nothing of it is left', 20, sub { $cluster->sql('SELECT count(*) FROM doris.copies WHERE incoming IS NOT NULL OR retiring IS NOT NULL') eq '0' });
cmp_ok(owned('spare1') + owned('g1n1'), '==', 320, 'every vnode has its owner');
write_rows('cancelled', 500);
all_well('cancelled');

# ---- weights ----
is($cluster->sqlstate("SELECT doris_set_weight('nobody', 100)"), '42704', 'doris_set_weight: no such node');
is($cluster->sqlstate("SELECT doris_set_weight('spare1', 0)"), '22023', 'doris_set_weight: at least 1');
$cluster->sql("SELECT doris_set_weight('spare1', 300)");
is($cluster->sql('SELECT source, target, vnodes = minimum FROM doris_plan_rebalance(1)'), 'g1n1|spare1|t', 'a node of three times the weight is to get more');
like(quiet('SELECT doris_rebalance(1)'), qr/^\d+$/, 'doris_rebalance');
is(owned('spare1') . '|' . owned('g1n1'), '240|80', 'three times as many vnodes');
$out = $session->query('SELECT doris_rebalance(1) IS NULL');
like($out, qr/NOTICE:  there is nothing to move\nt/, 'once more: nothing to move');

# ---- a healthy node is replaced ----
like(quiet("SELECT doris_replace('g2n1', 'spare3')"), qr/^\d+$/, 'a node that is up is replaced');
is(state_of('g2n1') . '|' . state_of('spare3') . owned('spare3'), 'dead|ok320', 'the new one has all, the old one is dead');
$cluster->stop('g2n1');
write_rows('replaced', 500);
all_well('replaced');

# ---- the new node fails: the plan waits, and goes on ----
rate(2);
$plan = $cluster->sql("SELECT doris_expand(2, '{spare2}', wait => false)");
$cluster->kill('spare2');
$cluster->wait_for('the plan waits', 30, sub { plan_state($plan) eq 'waiting' });
like($cluster->sql("SELECT error FROM doris_plans WHERE plan_id = $plan"), qr/spare2/, 'a plan whose node fails says what it waits for');
$out = $session->query("SELECT doris_wait($plan, '2.5 s')");
like($out, qr/NOTICE:  plan $plan: \d+ %, waiting: .*spare2/, '... and so does the notice');
rate(0);
$cluster->start('spare2');
is(quiet("SELECT doris_wait($plan, '60 s')"), 't', 'the node is back: it goes on by itself');
all_well('waited');

# ---- dorisctl plan ----
like(ctl(0, 'list'), qr/^\s+1\s+expand\s+done\s+1\s+160\/160\s+100 %, done$/m, 'list');
is(ctl(0), ctl(0, 'list'), 'list is what it does by itself');
like(ctl(0, 'show', '1'), qr/^state +done\n.*^vnodes +160 of 160\n.*^\s+1\s+g1n1\s+spare1\s+160\s/ms, 'show');
ctl(3, 'show', '4711');
ctl(3, 'wait', '4711');
ctl(2, 'show', 'x');
ctl(2, 'frobnicate');
ctl(2, 'expand', '1');
ctl(3, 'shrink', 'nobody');
ctl(1, 'expand', '1', 'log1');
my $plans = newest();
like(ctl(0, 'shrink', 'spare2', '--dry-run'), qr/^would move \d+ vnodes \(the minimum is \d+\), about \d+ rows, \d+ bytes$/m, '--dry-run');
is(newest(), $plans, '... changes nothing');
rate(2);
$plan = $plans + 1;
is(ctl(0, 'shrink', 'spare2', '--no-wait'), "plan $plan\n", '--no-wait');
like(ctl(0, 'pause', $plan), qr/^plan $plan /, 'pause');
is(plan_state($plan), 'paused', '... it is');
like(ctl(0, 'show', $plan), qr/^state +paused$/m, '... and shown so');
ctl(0, 'resume', $plan);
my ($rc, $watch) = DorisCluster::run(3, 'timeout', '-s', 'INT', '1.5', $cluster->program('dorisctl'), '--hosts', $cluster->{hosts},
	defined $cluster->{key_file} ? ('--key-file', $cluster->{key_file}) : (), 'plan', 'wait', $plan);
like($watch, qr/^plan $plan: \d+ %.*^dorisctl: plan $plan goes on\n/ms, 'interrupted: it says that the plan goes on');
rate(0);
like(ctl(0, 'wait', $plan), qr/^plan $plan: 100 %, done$/m, 'wait');
is(state_of('spare2'), 'spare', '... it is done');
$plan++;
my $line = join ' ', map { "'$_'" } $cluster->program('dorisctl'), '--hosts', $cluster->{hosts},
	defined $cluster->{key_file} ? ('--key-file', $cluster->{key_file}) : (), 'plan', 'expand', '2', 'spare2';
($rc, $watch) = DorisCluster::run(60, 'script', '-qec', $line, '/dev/null');
is($rc, 0, 'on a terminal');
like($watch, qr/\rplan $plan \[[#.]{30}\] .*\rplan $plan \[#{30}\] 100 %, done/s, '... a bar');
ctl(1, 'cancel', $plan);
ctl(1, 'wait', 6);
all_well('at the end');

$cluster->down;
done_testing();
