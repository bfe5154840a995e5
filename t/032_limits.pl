# Where the cluster says no: a log node whose budget for hints is full, no log node at all (degraded_writes), and, where
# sync is 'interval', a start after a kill that nobody else could make complete. Clear errors, nothing half done, and it
# goes on when the reason is gone.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use Test::More;
use Time::HiRes qw(time sleep);

my ($cluster, $session);

sub state_of { return $cluster->sql("SELECT state FROM doris_nodes WHERE name = '$_[0]'") }
sub wait_state
{
	my ($name, $state) = @_;
	$cluster->wait_for("$name is $state", 30, sub { state_of($name) eq $state });
}
sub events { my ($kind, $node) = @_; return $cluster->sql("SELECT count(*) FROM doris_events WHERE kind = '$kind' AND coalesce(node, '') = '$node'") }
sub detail { my ($kind, $node) = @_; return $cluster->sql("SELECT detail FROM doris_events WHERE kind = '$kind' AND node = '$node' ORDER BY at DESC LIMIT 1") }
sub stat_of
{
	my ($name, $what) = @_;
	my ($rc, $out) = $cluster->ctl('stats', $name);
	return $out =~ /^\Q$what\E\s+(\d+)/m ? $1 : die "no $what of $name: $out";
}

# Keys that live on g1n1, and keys that do not, from this one on
sub keys_of
{
	my ($from, $n) = @_;
	return map { [split /\n/, $cluster->sql("SELECT g FROM generate_series($from, $from + 1999) g, doris_route('limits_t', g::text) r
		WHERE r.group_id = 1 AND r.owner $_ 'g1n1' ORDER BY g LIMIT $n")] } '=', '<>';
}
sub row { my ($id, $size) = @_; return "INSERT INTO limits_t VALUES ($id, repeat('x', $size))" }
sub count_of { my ($where) = @_; return $session->query("SELECT count(*) FROM limits_t WHERE $where") }
my $rows;
sub all_well
{
	my ($what) = @_;
	$cluster->wait_for("$what: all copies complete", 30, sub { $cluster->sql('SELECT count(*) FROM doris_vnodes WHERE NOT complete') eq '0' });
	is(count_of('true'), $rows, "$what: every row is there, and no other");
	ok($cluster->digests_equal, "$what: both groups hold the same");
	is($cluster->sql("SELECT string_agg(DISTINCT state, ' ') FROM doris_verify('limits_t')"), 'equal', "$what: doris_verify finds them equal");
}
sub table
{
	$session = $cluster->session(verbosity => 'verbose');
	$session->query("CREATE FOREIGN TABLE limits_t (id int, v text) SERVER doris OPTIONS (key 'id')");
	is($session->query("INSERT INTO limits_t SELECT g, 'v' FROM generate_series(1, 500) g"), 'INSERT 0 500', 'rows');
	$rows = 500;
}

# ---- the budget for hints ----
$cluster = DorisCluster->new(admins => 1, vnodes => 32, node_opts => '--hint-budget 1');
table();
my ($on, $off) = keys_of(10001, 400);
my $size = 8000;
my $first = $on->[0];
is(stat_of('log1', 'hint_budget'), 1 << 20, 'log1 has a budget of 1 MB');
$cluster->kill('g1n1');
my $full = '';    # what a write is told then
my $budget = 1 << 20;
while (stat_of('log1', 'hint_bytes') < $budget * 0.72)
{
	for (1 .. 5)
	{
		my $out = $session->query(row(shift @$on, $size));
		$out eq 'INSERT 0 1' or die "a write with room for hints: $out";
		$rows++;
	}
}
sleep 1;    # two reports
is(events('hints_high', 'log1'), 0, sprintf('no alarm at %d %%', stat_of('log1', 'hint_bytes') * 100 / $budget));
while (stat_of('log1', 'hint_bytes') < $budget * 0.82)
{
	is($session->query(row(shift @$on, $size)), 'INSERT 0 1', 'writes go on');
	$rows++;
}
$cluster->wait_for('the alarm', 10, sub { events('hints_high', 'log1') eq '1' });
like(detail('hints_high', 'log1'), qr/\(8\d %\); at the limit writes for nodes that are down are refused/, 'an alarm at 80 %');
is(stat_of('log1', 'hints_refused'), 0, '... before anything is refused');
while ($full eq '' && @$on > 50)
{
	my $out = $session->query(row($on->[0], $size));
	if ($out eq 'INSERT 0 1') { shift @$on; $rows++ } else { $full = $out }
}
my $start = time;
is($cluster->sqlstate(row($on->[0], $size)), '53000', 'the budget is full: writes to vnodes of that node are refused, with 53000');
cmp_ok(time - $start, '<', 3, '... at once');
like($full, qr/^ERROR:  53000: .*log1.*the budget for hints is full \(\d of 1 MB, \d+ hints\)/m, '... and a message that names the log node');
like($full, qr/^HINT:  Start the nodes that are down, or replace them \(doris_replace\); or give the log node more with --hint-budget\./m,
	'... and a hint');
is(count_of("id = $on->[0]"), 0, '... and the row is not there');
cmp_ok(stat_of('log1', 'hint_bytes'), '<=', $budget, '... and the log node keeps no more than its budget');
is($session->query(row($off->[0], $size)), 'INSERT 0 1', 'writes to other vnodes go on');
is($session->query("UPDATE limits_t SET v = 'w' WHERE id = $off->[0]"), 'UPDATE 1', '... updates, too');
$rows++;

# both kinds in one transaction: all of it or nothing
my $both = join ',', (map { "($on->[$_], repeat('x', $size))" } 0 .. 9), map { "($off->[$_], 'y')" } 1 .. 50;
like($session->query("INSERT INTO limits_t VALUES $both"), qr/^ERROR:  53000: /m, 'a transaction over both kinds of vnodes is refused');
$session->query('BEGIN');
is($session->query(row($off->[60], 10)), 'INSERT 0 1', 'in a block: a row elsewhere');
$session->query(row($on->[0], $size));
my $end = $session->query('COMMIT');
like($end, qr/^ERROR:  53000: |^ROLLBACK/m, '... and one of that node: no commit');
is(count_of('true'), $rows, 'nothing of a refused transaction is there');
is($cluster->session->query('SELECT count(*) FROM limits_t'), $rows, 'a new connection reads everything');
is($session->query("SELECT length(v) FROM limits_t WHERE id = $first"), $size, 'a key of that node is read');
is($session->query(row($off->[60], 10)), 'INSERT 0 1', 'the keys of a refused transaction are free');
$rows++;
is(state_of('g1n1'), 'failed', 'the node is down all the while');

$cluster->start('g1n1');
$cluster->wait_healthy;
is($session->query(row($on->[0], $size)), 'INSERT 0 1', 'the node is back: writes go on');
$rows++;
$cluster->wait_for('hints_gone', 20, sub { events('hints_gone', 'log1') eq '1' });
$cluster->wait_for('hints_ok', 20, sub { events('hints_ok', 'log1') eq '1' });
$cluster->wait_for('no hints in doris_nodes', 10, sub { $cluster->sql('SELECT sum(hints) FROM doris_nodes') eq '0' });
is(stat_of('log1', 'hint_bytes'), 0, 'nothing is kept any more: the whole budget is free');
all_well('hints');
$cluster->kill('g1n1');
is($session->query(row($on->[1], $size)), 'INSERT 0 1', 'the next time it dies writes go on, too');
$rows++;
$cluster->start('g1n1');
$cluster->wait_healthy;
all_well('hints again');
$cluster->down;

# ---- no log node ----
$cluster = DorisCluster->new(admins => 1, vnodes => 32, log_nodes => 0);
table();
($on, $off) = keys_of(10001, 20);
sub refused
{
	my ($what) = @_;
	my $took = time;
	my $out = $session->query("INSERT INTO limits_t VALUES ($on->[0], 'x'), ($off->[0], 'x')");
	$took = time - $took;
	like($out, qr/^ERROR:  08006: .*node g1n1 is down and the cluster has no log node to keep writes for it/m,
		"$what: writes to its vnodes are refused, with 08006");
	like($out, qr/^HINT:  Add a log node, or set degraded_writes\./m, "$what: ... and a hint");
	cmp_ok($took, '<', 5, sprintf("$what: ... after %.1f s", $took));
	is($session->query("UPDATE limits_t SET v = 'w' WHERE id = $off->[1]") =~ /^UPDATE/, 1, "$what: writes to other vnodes go on");
	is(count_of('true'), $rows, "$what: reads go on, and find nothing of what was refused");
}
$cluster->kill('g1n1');
refused('degraded_writes is off');
wait_state('g1n1', 'failed');
is($cluster->sqlstate("SELECT doris_set('degraded_writes', 'perhaps')"), '22P02', 'doris_set checks the value');
$cluster->sql("SELECT doris_set('degraded_writes', 'on')");
$cluster->wait_for('the event', 10, sub { events('setting', '') eq '1' });
is($cluster->sql("SELECT detail FROM doris_events WHERE kind = 'setting'"), 'degraded_writes is on', 'an event tells that it is on');
is($session->query("INSERT INTO limits_t VALUES ($on->[0], 'x'), ($off->[0], 'x')"), 'INSERT 0 2', 'a session that was refused writes at once');
$rows += 2;
is($session->query('UPDATE limits_t SET v = v || \'!\''), "UPDATE $rows", 'degraded_writes is on: writes go on with one copy');
is($session->query('DELETE FROM limits_t WHERE id <= 100'), 'DELETE 100', '... deletes, too');
$rows -= 100;
is(state_of('g1n1'), 'failed', '... and doris_nodes shows why');
cmp_ok($cluster->sql('SELECT count(*) FROM doris_vnodes WHERE NOT complete'), '>', 0, '... and doris_vnodes which copies lack them');
$cluster->start('g1n1');
$cluster->wait_healthy;
all_well('degraded');
is(count_of("v LIKE '%!'"), $rows, 'degraded: all rows are the new ones');
for my $group (1, 2)
{
	like($session->query("SET doris_fdw.read_group = $group; SELECT count(*) FROM limits_t WHERE v LIKE '%!'; RESET doris_fdw.read_group"), qr/^$rows$/m,
		"degraded: in group $group, too");
}
$cluster->sql("SELECT doris_set('degraded_writes', 'off')");
$cluster->wait_for('the event', 10, sub { events('setting', '') eq '2' });
$cluster->kill('g1n1');
($on, $off) = ([$on->[2]], [@$off[2, 3]]);
refused('off again');
$cluster->start('g1n1');
$cluster->wait_healthy;
is($session->query("INSERT INTO limits_t VALUES ($on->[0], 'x'), ($off->[0], 'x')"), 'INSERT 0 2', 'off again: the node is back, and a session that was refused writes at once');
$rows += 2;
all_well('off again');
$cluster->down;

# ---- sync = 'interval' ----
$cluster = DorisCluster->new(nodes => 1, admins => 1, vnodes => 8, sync => 'interval');
table();
sub held_back
{
	my ($node, $times) = @_;
	$cluster->local('start', $node);
	$cluster->wait_for("$node is recognised", 20, sub { events('node_behind', $node) >= $times });
	like(detail('node_behind', $node), qr/^it was not stopped cleanly, and sync is 'interval', and it holds the last complete copy of 8 vnodes/,
		"$node was killed and has the last copies: an event says why it is not let in");
	like(detail('node_behind', $node), qr/it stays down\. Restore its disk, or accept the loss: doris_recover\('$node', accept_loss => true\)$/, '... and what to do');
	is(state_of($node), 'failed', '... and it stays down');
	is($cluster->sqlstate('SET doris_fdw.statement_deadline = 500; SELECT count(*) FROM limits_t'), '08006', '... reads are an error, not a guess');
	$cluster->sql("SELECT doris_recover('$node')");
	sleep 1;
	is(state_of($node), 'failed', '... a plain doris_recover does not let it in');
	$cluster->sql("SELECT doris_recover('$node', accept_loss => true)");
	wait_state($node, 'ok');
	pass('... with accept_loss it is let in');
}

# another complete copy is there: nothing is lost, nobody is asked
$cluster->kill('g1n1');
wait_state('g1n1', 'failed');
$session->query("INSERT INTO limits_t SELECT g, 'v' FROM generate_series(501, 600) g");
$rows += 100;
$cluster->start('g1n1');
$cluster->wait_healthy;
is(events('node_recovering', 'g1n1') > 0, 1, 'killed, and the other copy is complete: it comes back by itself, and recovers');
all_well('interval');

# stopped cleanly, one after the other
$cluster->stop('g1n1');
wait_state('g1n1', 'failed');
$session->query("INSERT INTO limits_t SELECT g, 'v' FROM generate_series(601, 700) g");
$rows += 100;
$cluster->stop('g2n1');
wait_state('g2n1', 'failed');
$cluster->start('g2n1', 'g1n1');
$cluster->wait_healthy;
is(events('node_behind', 'g2n1'), 0, 'the last complete copy, stopped cleanly: it comes back by itself');
all_well('stopped cleanly');

# the last complete copy is killed
$cluster->kill('g1n1');
wait_state('g1n1', 'failed');
$session->query("INSERT INTO limits_t SELECT g, 'v' FROM generate_series(701, 800) g");
$rows += 100;
sleep 2;    # it flushes each second
$cluster->kill('g2n1');
wait_state('g2n1', 'failed');
held_back('g2n1', 1);
is($cluster->session->query('SELECT count(*) FROM limits_t'), $rows, '... and serves what it has: all that it had flushed');
$cluster->start('g1n1');
$cluster->wait_healthy;
all_well('accepted');
$cluster->down;

# one group: it holds for every kill, not only for the first, and goes by what nodes do, not by what the table says later
$cluster = DorisCluster->new(groups => 1, nodes => 1, log_nodes => 0, admins => 1, vnodes => 8, sync => 'interval');
table();
$cluster->stop('g1n1');
wait_state('g1n1', 'failed');
$cluster->start('g1n1');
wait_state('g1n1', 'ok');
is($cluster->session->query('SELECT count(*) FROM limits_t'), $rows, 'one group, stopped cleanly: it is back by itself with all it had');
for my $time (1, 2)
{
	if ($time == 2)
	{
		my $term = $cluster->sql("UPDATE doris.cluster SET sync = 'commit' RETURNING (SELECT term FROM doris.leader)");
		$cluster->stop('admin1');
		$cluster->start('admin1');
		$cluster->wait_for('another term', 20, sub { $cluster->sql('SELECT term FROM doris.leader') > $term });
	}
	$cluster->kill('g1n1');
	held_back('g1n1', $time);
	is($cluster->session->query('SELECT count(*) FROM limits_t'), $rows, "one group, killed, time $time: it serves what it has");
}
is($cluster->session->query("INSERT INTO limits_t VALUES (501, 'v')"), 'INSERT 0 1', '... and takes writes');
done_testing();
