# Counterexample schedules of the model (`make model`; docs/model.md), replayed against real processes: what happens there when
# a rule is switched off is driven step by step with fault points (programs of `make faults`), and must not happen.
# A is g1n1 (group 1), C is g2n1 (group 2), L is log1, B is spare1; T1, T2 are transactions.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use File::Temp ();
use POSIX ();
use Test::More;
use Time::HiRes qw(time sleep);

my $bin = "$DorisCluster::root/build/fault";
plan skip_all => "no programs with fault points in $bin: make faults" if grep { !-x "$bin/$_" } qw(doris_node doris_admin dorisctl);
my %only = map { $_ => 1 } split /,/, $ENV{SCHEDULES} // '';    # to run some of them

# ---- steering: each process reads its own file of fault points at each hit ----
my $steer = File::Temp::tempdir('doris-steer-XXXXXX', TMPDIR => 1, CLEANUP => 1);
open(my $wrap, '>', "$steer/wrap") or die;
print $wrap qq{was=; for a; do [ "\$was" != --name ] || export DORIS_FAULT="\@$steer/\$a"; was=\$a; done; exec "\$@"\n};
close $wrap;
$ENV{DORIS_WRAPPER} = "sh $steer/wrap";
$ENV{DORIS_BIN} = $bin;
my $cluster = DorisCluster->new(nodes => 1, vnodes => 8, admins => 1);
my @secret = ('--hosts', $cluster->{hosts}, '--key-file', $cluster->{key_file});
my (%armed, %mark);
my $gates = 0;

# arm(who, entries): from now on these; none: nothing. What who's log said before is not looked at by reached().
sub arm
{
	my ($who, @entries) = @_;
	$mark{$who} = length $cluster->slurp_log($who);
	open(my $f, '>', "$steer/$who.new") or die;
	print $f map { "$_\n" } @entries;
	close $f;
	rename "$steer/$who.new", "$steer/$who" or die;
	$armed{$who} = \@entries;
}
sub arm_more { my ($who, @entries) = @_; my $mark = $mark{$who}; arm($who, @{ $armed{$who} // [] }, @entries); $mark{$who} = $mark if defined $mark }
sub disarm { arm($_) for @_ ? @_ : grep { @{ $armed{$_} } } keys %armed }
sub gate { return "$steer/gate." . ++$gates }
sub open_gate { for (@_) { open(my $f, '>', $_) or die; close $f } }

sub reached
{
	my ($who, $place, $did) = @_;
	return substr($cluster->slurp_log($who), $mark{$who} // 0) =~ /^fault point \Q$place\E: $did/m ? 1 : 0;
}
sub await
{
	my ($who, $place, $did, $seconds) = @_;
	$cluster->wait_for("$who at $place: $did", $seconds // 15, sub { reached($who, $place, $did) });
}

# ---- the cluster as the admin knows it ----
sub state_of { return $cluster->sql("SELECT state FROM doris_nodes WHERE name = '$_[0]'") }
sub await_state { my ($who, $state) = @_; $cluster->wait_for("$who $state", 30, sub { state_of($who) eq $state }) }
sub newest { return $cluster->sql('SELECT max(epoch) FROM doris.topologies') }
sub epoch_of { return $cluster->sql("SELECT epoch FROM doris_nodes WHERE name = '$_[0]'") }
# cut off from the admin, not from clients: judged failed while it works
sub cut { my $who = shift; arm_more($who, 'node_receiving@heartbeat=drop', @_); await_state($who, 'failed') }
sub missed { my ($rc, $out) = $cluster->ctl('stats', $_[0]); return $out =~ /records_missed\s+(\d+)/ ? $1 : "no records_missed: $out" }

# ---- clients ----
# dorisctl of the build with fault points, in the background
sub client
{
	my ($faults, @args) = @_;
	my $out = File::Temp->new;
	my $pid = fork // die;
	if ($pid == 0)
	{
		$ENV{DORIS_FAULT} = $faults;
		open(STDOUT, '>&', $out);
		open(STDERR, '>&', $out);
		exec("$bin/dorisctl", @secret, @args) or POSIX::_exit(127);
	}
	return { pid => $pid, out => $out };
}
sub said { return DorisCluster::slurp($_[0]{out}->filename) }
sub await_client { my ($client, $text) = @_; $cluster->wait_for("a client at $text", 15, sub { said($client) =~ /\Q$text\E/ }) }
# its exit code, 137 when it was killed
sub told { my $client = shift; waitpid $client->{pid}, 0; return $? & 127 ? 128 + ($? & 127) : $? >> 8 }
sub put { my ($key, $value) = @_; my ($rc, $out) = $cluster->ctl('put', 'sch', $key, "v=$value"); is($rc, 0, "$key = $value") or diag($out) }
sub in_group { my ($group, $key) = @_; return $cluster->sql("SET doris_fdw.read_group = $group; SELECT coalesce((SELECT v FROM sch WHERE k = '$key'), '-')") }

is(($cluster->ctl(qw(create sch k v)))[0], 0, 'a namespace');
$cluster->sql("CREATE FOREIGN TABLE sch (k text, v text) SERVER doris OPTIONS (key 'k')");
my @keys = map { [split /\|/] } split /\n/, $cluster->sql("SELECT DISTINCT k, vnode FROM (SELECT 'k' || i AS k FROM generate_series(1, 400) i) x, doris_route('sch', k) ORDER BY 2, 1");
# a key not used before; of a vnode, or of one whose lead copy is group 1's
sub key { my $vnode = shift; my ($i) = grep { defined $vnode ? $keys[$_][1] == $vnode : $keys[$_][1] % 2 == 0 } 0 .. $#keys; return (splice(@keys, $i, 1))->[0] }

sub schedule
{
	my ($name, $code) = @_;
	return if %only && !$only{$name};
	my $start = time;
	my $done = eval { $code->("$name:"); 1 };
	ok($done, "$name: went through") or diag($@);
	open_gate(map { "$steer/gate.$_" } 1 .. $gates);
	disarm();
	$cluster->wait_healthy;
	ok($cluster->digests_equal, sprintf('%s: both groups hold the same, %.1f s', $name, time - $start));
}

# one-section (and refusals-lapse), model scenario move-simply: T1 is held by A; C admits it and is slow. T1's client is slow as well, and
# T2 closes T1: C refuses it, A drops it. C fails and returns, and its refusals lapse. Were it to take the new epoch before the
# admitted request is done, T1 would now be held at C, and T1 acknowledged beside T2: two winners.
schedule('one-section', sub {
	my $name = shift;
	my ($key, $at_c, $at_client) = (key(), gate(), gate());
	arm('g2n1', "node_admitted\@stage#1=hold:$at_c");
	my $t1 = client("client-staged-one#1=hold:$at_client", '--deadline', 2000, 'put', 'sch', $key, 'v=T1');
	await('g2n1', 'node_admitted@stage', 'held');
	await_client($t1, 'held');
	is($cluster->sqlstate("INSERT INTO sch VALUES ('$key', 'T2')"), '', "$name T2 closes T1 and is done");
	cut('g2n1');
	arm('g2n1', "node_admitted\@stage#1=hold:$at_c");
	sleep 2.5;
	cmp_ok(epoch_of('g2n1'), '<', newest(), "$name C does not take the new epoch while a request that the old one admitted is not done");
	is(state_of('g2n1'), 'failed', "$name nor is it taken back");
	open_gate($at_c);
	await_state('g2n1', 'ok');
	open_gate($at_client);
	isnt(told($t1), 0, "$name T1 is not acknowledged") or diag(said($t1));
	is(in_group($_, $key), 'T2', "$name group $_ has T2") for 1, 2;
});

# drop-fence, model scenario failover: T1 is held by A, and did not reach C. Its client gives up: C refuses it, and A is told to drop it:
# that message is late. C fails; now A is the only judge, and holds it: T1 is committed, and read. Were the late
# message carried out, an old epoch's evidence would undo what was read.
schedule('drop-fence', sub {
	my $name = shift;
	my ($key, $late) = (key(), gate());
	put($key, 'old');
	arm('g2n1', 'node_receiving@stage=drop');
	# A's settler would close it as well: what it sends is lost
	arm('g1n1', "node_receiving\@finish#1=hold:$late", map { "node_receiving\@finish#$_=drop" } 2 .. 20);
	my $t1 = client('', '--deadline', 1500, 'put', 'sch', $key, 'v=T1');
	await('g2n1', 'node_receiving@stage', 'dropped');
	await('g1n1', 'node_receiving@finish', 'held');
	cut('g2n1');
	is(in_group(0, $key), 'T1', "$name the only judge holds T1: it is read as committed");
	open_gate($late);
	my $rc = told($t1);
	sleep 0.3;
	is(in_group(0, $key), 'T1', "$name and stays");
	ok($rc == 0 || said($t1) =~ /unknown/, "$name its client was not told that it is not done") or diag($rc, said($t1));
});

# lease: A is cut off from the admins and judged failed; T1 is written to C alone. A reader that knows only A, and has its map from there,
# asks A: it has no lease, so the reader has to confirm at C that the placement still stands. Else: a read older than what was acknowledged.
schedule('lease', sub {
	my $name = shift;
	my $key = key();
	put($key, 'old');
	arm('g1n1', 'node_receiving@topology_put=drop');
	cut('g1n1');
	put($key, 'T1');
	my ($rc, $out) = DorisCluster::run(20, "$bin/dorisctl", '--hosts', $cluster->address('g1n1'), '--key-file', $cluster->{key_file}, '--deadline', 3000, 'get', 'sch', $key);
	ok($rc == 0 ? $out =~ /T1/ : $rc == 1, "$name who asks A alone reads T1, or gets an error") or diag("$rc: $out");
	unlike($out, qr/old/, "$name and not the old value");
});

# act-all, model scenario failover-chain: C recovers; its pass has been through the rows. T1 is staged at A, does not reach C, and its
# client dies. A is the only judge and holds it; but were it acted on now (by a reader, or by A's settler), A would finish it,
# C would be told by A's memory that T1 is committed, and miss its row.
schedule('act-all', sub {
	my $name = shift;
	my ($key, $passed) = (key(), gate());
	put($key, 'old');
	cut('g2n1');
	put($key, 'newer');
	arm('g2n1', 'node_receiving@stage=drop', "recover_passed=hold:$passed");
	await('g2n1', 'recover_passed', 'held');
	my $t1 = client('client-staged-one=kill', '--deadline', 1000, 'put', 'sch', $key, 'v=T1');
	is(told($t1), 137, "$name T1's client is gone");
	for (1 .. 8)
	{
		my ($rc, $out) = $cluster->ctl('--deadline', 1000, 'get', 'sch', $key);
		unlike($out, qr/T1/, "$name not read as committed while C lacks it");
		sleep 0.5;
	}
	open_gate($passed);
	arm('g2n1');
	await_state('g2n1', 'ok');
	is(missed('g2n1'), 0, "$name what the steps of recovery brought is all there is");
	is(in_group(1, $key), in_group(2, $key), "$name both groups read the same");
});

# pass-staged, memory-last, judge-settle, settle-publish: at each step of C's recovery a transaction commits whose end does not reach C, one does not
# reach C and is left by its client, and a row is deleted. What C publishes as complete must have all of it, by these steps and
# not by the comparison at the end (records_missed).
schedule('recovery-steps', sub {
	my $name = shift;
	my (%key, %gate);
	my @steps = qw(recover_passed recover_memory recover_judging recover_settled);
	for my $step (@steps)
	{
		$key{$step} = [map { key() } 1 .. 3];
		put($_, 'old') for @{ $key{$step} };
		$gate{$step} = gate();
	}
	my $before = missed('g2n1');
	cut('g2n1');
	put($key{$_}[0], 'newer') for @steps;
	arm('g2n1', map { "$_#1=hold:$gate{$_}" } @steps);
	for my $step (@steps)
	{
		my ($committed, $left, $deleted) = @{ $key{$step} };
		await('g2n1', $step, 'held');
		arm_more('g2n1', 'node_receiving@finish=drop');
		put($committed, 'T1');
		is(($cluster->ctl('del', 'sch', $deleted))[0], 0, "$name $step: a row is deleted");
		arm_more('g2n1', 'node_receiving@stage=drop');
		is(told(client('client-staged-one=kill', '--deadline', 1000, 'put', 'sch', $left, 'v=T2')), 137, "$name $step: T2's client is gone");
		arm_more('g2n1');
		my $mark = $mark{g2n1};
		arm('g2n1', map { "$_#1=hold:$gate{$_}" } @steps);
		$mark{g2n1} = $mark;
		open_gate($gate{$step});
	}
	await_state('g2n1', 'ok');
	is(missed('g2n1'), $before, "$name nothing was missed by the steps");
	for my $step (@steps)
	{
		my ($committed, $left, $deleted) = @{ $key{$step} };
		is(in_group($_, $committed), 'T1', "$name $step: what was acknowledged is in group $_") for 1, 2;
		is(in_group($_, $deleted), '-', "$name $step: what was deleted is not in group $_") for 1, 2;
		like(in_group(1, $left), qr/^(old|T2)$/, "$name $step: what was left is there or not");
		is(in_group(2, $left), in_group(1, $left), "$name $step: the same in both groups");
	}
});

# hint-failed-only, model scenario declare: C has failed, and T1's hint for it is late. C returns and is complete. Were the hint
# still kept, and counted, T1 would be acknowledged with A's copy alone.
schedule('hint-failed-only', sub {
	my $name = shift;
	my ($key, $late) = (key(), gate());
	cut('g2n1');
	arm('log1', "node_receiving\@hint#1=hold:$late");
	my $t1 = client('', '--deadline', 30000, 'put', 'sch', $key, 'v=T1');
	await('log1', 'node_receiving@hint', 'held');
	arm('g2n1');
	await_state('g2n1', 'ok');
	open_gate($late);
	is(told($t1), 0, "$name T1 is acknowledged") or diag(said($t1));
	is(in_group($_, $key), 'T1', "$name and in group $_") for 1, 2;
});

# decision-kept, abort-row, model scenario two-vnodes: T1 over more vnodes than may be named is committed, and C is not told. A fails: C has only
# the staged rows and the decision row, which must still be there. T2's client dies before its decision: its rows can only go together,
# once "abort" stands.
schedule('decision', sub {
	my $name = shift;
	my @t1 = map { key($_) } 0 .. 7;
	my @t2 = map { key($_) } 0 .. 7;
	my $all = sub { return join ' ', ($_[0]) x 8 };
	put($_, 'old') for @t1, @t2;
	arm('g2n1', 'node_receiving@finish=drop');
	my ($rc) = $cluster->ctl('put', 'sch', split / /, join ' -- ', map { "$_ v=T1" } @t1);
	is($rc, 0, "$name T1 is acknowledged");
	is(told(client('client-staged=kill', '--deadline', 1000, 'put', 'sch', split / /, join ' -- ', map { "$_ v=T2" } @t2)), 137, "$name T2's client is gone");
	cut('g1n1');
	is(join(' ', map { in_group(0, $_) } @t1), $all->('T1'), "$name T1 is read from the copy that was told nothing");
	is(join(' ', map { in_group(0, $_) } @t2), $all->('old'), "$name nothing of T2 is read");
	disarm();
	await_state('g1n1', 'ok');
	for my $group (1, 2)
	{
		is(join(' ', map { in_group($group, $_) } @t1), $all->('T1'), "$name group $group: all of T1");
		is(join(' ', map { in_group($group, $_) } @t2), $all->('old'), "$name group $group: nothing of T2");
	}
});

# named-all, named-close, decided-first, model scenarios named: T1 names its two vnodes and is held by all; its client dies before it has written the
# decision row. It is committed: read at once, by whomever, and never closed with "abort". T2 does not reach C: nothing of it is read. A fails:
# C alone, which nobody has told, says the same of T1, and closes T2.
schedule('named', sub {
	my $name = shift;
	my @t1 = (key(0), key(1));
	my @t2 = (key(0), key(1));
	put($_, 'old') for @t1, @t2;
	is(told(client('client-named=kill', '--deadline', 1000, 'put', 'sch', $t1[0], 'v=T1', '--', $t1[1], 'v=T1')), 137, "$name T1's client is gone, with all held");
	is(join(' ', map { in_group(0, $_) } @t1), 'T1 T1', "$name T1 is read at once");
	arm('g2n1', 'node_receiving@stage=drop');
	is(told(client('client-staged-one=kill', '--deadline', 1000, 'put', 'sch', $t2[0], 'v=T2', '--', $t2[1], 'v=T2')), 137, "$name T2's client is gone, with A's copies held");
	is(join(' ', map { in_group(0, $_) } @t2), 'old old', "$name nothing of T2 is read");
	arm('g2n1', 'node_receiving@finish=drop');
	cut('g1n1');
	is(join(' ', map { in_group(0, $_) } @t1), 'T1 T1', "$name T1 is read from C alone");
	disarm();
	await_state('g1n1', 'ok');
	is($cluster->sqlstate("UPDATE sch SET v = v || '+' WHERE k = '$t1[1]'"), '', "$name a writer goes on from T1");
	for my $group (1, 2)
	{
		is(join(' ', map { in_group($group, $_) } @t1), 'T1 T1+', "$name group $group: all of T1, and what came after");
		is(join(' ', map { in_group($group, $_) } @t2), 'old old', "$name group $group: nothing of T2");
	}
});

# ---- moves: some vnodes of group 1 go from A to B, and back ----
my ($rc, $out) = $cluster->local('add-node');
is($out =~ /(spare1)/ ? $1 : $out, 'spare1', 'a node to move to');
sub moving { my ($column, $node) = @_; return split /\n/, $cluster->sql("SELECT vnode FROM doris.copies JOIN doris.nodes ON node_id = $column WHERE name = '$node' ORDER BY vnode") }
sub plan_over { return $cluster->sql('SELECT state FROM doris_plans ORDER BY plan_id DESC LIMIT 1') !~ /^(running|paused|waiting|planned|cancelling)/ }

# retire, retire-writes, retire-ack, model scenario move: the map says that B is the owner now, and A, retiring, has not heard of it. A write is
# acknowledged only when A has it as well, or has taken the new map; until then A may answer readers.
schedule('retire', sub {
	my $name = shift;
	my $ready = gate();
	arm('spare1', "recover_ready=hold:$ready");
	$cluster->sql("SELECT doris_expand(1, '{spare1}', wait => false)");
	await('spare1', 'recover_ready', 'held');
	my ($vnode) = moving('incoming', 'spare1');
	my $key = key($vnode);
	put($key, 'old');
	arm('admin1', 'admin_push@g1n1=drop');
	arm('g1n1', 'node_receiving@topology_put=drop');
	arm('spare1');
	open_gate($ready);
	$cluster->wait_for('A is retiring', 20, sub { grep { $_ == $vnode } moving('retiring', 'g1n1') });
	my $t1 = client('', '--deadline', 3000, 'put', 'sch', $key, 'v=T1');
	my $rc = told($t1);
	ok($rc != 0, "$name T1 is not acknowledged while A knows nothing of the new map") or diag(said($t1));
	ok(scalar(grep { $_ == $vnode } moving('retiring', 'g1n1')), "$name A is not out before it has acknowledged");
	my ($got, $out) = DorisCluster::run(20, "$bin/dorisctl", '--hosts', $cluster->address('g1n1'), '--key-file', $cluster->{key_file}, '--deadline', 3000, 'get', 'sch', $key);
	my $reader = $out =~ /T1/ ? 'T1' : $out =~ /old/ ? 'old' : "an error";
	disarm();
	$cluster->wait_for('the plan ends', 30, \&plan_over);
	my $now = in_group(0, $key);
	like($now, qr/^(old|T1)$/, "$name T1 is there or not (who asked A read: $reader)");
	is($now, 'T1', "$name what was read stays") if $reader eq 'T1';
	put($key, 'T2');
	is(in_group($_, $key), 'T2', "$name group $_ goes on") for 1, 2;
});

# wait-acks, model scenario move-chain: B and C have admitted T1 by the map in which its vnode does not move yet, and are slow. It begins to
# move to A. A's pass must not begin before B, which it reads, and A have acknowledged the map that says so: T1 would be acknowledged,
# and A would not have it.
# epoch-fence, model scenario move: T2 goes by that map as well, and arrives when A has passed all rows: held, it would be acknowledged, and A would not have it.
schedule('wait-acks', sub {
	my $name = shift;
	my ($vnode) = moving('owner', 'spare1');
	my ($key, $key2, $slow, $late, $ready) = (key($vnode), key($vnode), gate(), gate(), gate());
	put($key, 'old');
	put($key2, 'old');
	my $before = missed('g1n1');
	arm($_, "node_receiving\@stage#1=hold:$late", "node_admitted\@stage#1=hold:$slow") for 'spare1', 'g2n1';
	my $t2 = client('', '--deadline', 20000, 'put', 'sch', $key2, 'v=T2');
	await($_, 'node_receiving@stage', 'held') for 'spare1', 'g2n1';
	kill 'STOP', $t2->{pid};
	my $t1 = client('', '--deadline', 20000, 'put', 'sch', $key, 'v=T1');
	await($_, 'node_admitted@stage', 'held') for 'spare1', 'g2n1';
	arm('g1n1', "recover_ready=hold:$ready", "recover_passed=sleep:1");
	$cluster->sql("SELECT doris_shrink('{spare1}', wait => false)");
	$cluster->wait_for('A is incoming', 20, sub { grep { $_ == $vnode } moving('incoming', 'g1n1') });
	sleep 1.5;
	cmp_ok(epoch_of('spare1'), '<', newest(), "$name B does not take the map while T1 is not done");
	ok(!reached('g1n1', 'recover_ready', 'held'), "$name A has not passed what moves to it");
	open_gate($slow);
	is(told($t1), 0, "$name T1 is acknowledged") or diag(said($t1));
	await('g1n1', 'recover_ready', 'held', 30);
	open_gate($late);
	kill 'CONT', $t2->{pid};
	is(told($t2), 0, "$name T2 is acknowledged") or diag(said($t2));
	is(missed('g1n1'), $before, "$name A missed nothing");
	open_gate($ready);
	$cluster->wait_for('the plan ends', 30, \&plan_over);
	is(in_group($_, $key), 'T1', "$name T1 is in group $_") for 1, 2;
	is(in_group($_, $key2), 'T2', "$name T2 is in group $_") for 1, 2;
});
done_testing();
