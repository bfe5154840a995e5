# Grow: plans move vnodes back and forth, and something strikes meanwhile: the fault `grow` of tools/chaos.
#
# Groups grow, shrink, are balanced by weights, and nodes are replaced while they are up. Each plan has to end by itself, or to
# say what it waits for; what it moved is the fewest vnodes possible; and no node keeps a file that the map does not give it.
package Grow;

use strict;
use warnings;
use List::Util qw(max shuffle);
use Time::HiRes qw(time);

my $STUCK = 60;         # s without progress, and without a word why
my $DEADLINE = 150;     # s that a plan may take once everything is mended
my $SAID = 25;          # s until a plan says what it waits for
my $TIDY = 30;          # s until files that are left over are gone
my $MEMBERS = 4;        # a group does not grow beyond
my $BALLAST = 12000;    # rows of 1 kB that nobody touches: so that a move takes a while

# What strikes: in what way, and whether the plan may end cancelled.
my %strikes = (
	none => { do => sub { } },
	dest_kill => { do => \&kill_dest },
	dest_stop => { do => \&stop_dest },
	dest_wipe => { do => sub { $_[0]->kill_dest($_[1], 1) } },
	dest_step => { do => \&step_dest, spare => 1 },
	dest_lost => { do => \&lose_dest, cancels => 1 },
	source_kill => { do => \&kill_source },
	source_flip => { do => sub { $_[0]->await_flip($_[1]) and $_[0]->kill_source($_[1]) } },
	source_stop => { do => \&stop_source },
	peer_kill => { do => \&kill_peer },
	log_kill => { do => \&kill_log },
	database => { do => \&break_database },
	admins => { do => \&kill_admins },
	cancel => { do => \&cancel, cancels => 1 },
	pause => { do => \&pause },
	other => { do => \&another_fault },
);

# new(chaos => Chaos, data => \@names, logs => \@names, steps => Steps or undef, faults => { name => sub }, only => 'name,name',
# spares => N): data is kept as it is after each plan; spares: at most so many more nodes, 0: as many as are needed
sub new
{
	my ($class, %o) = @_;
	my $self = bless { %o, cluster => $o{chaos}{cluster}, deck => [], times => {}, ended => {}, longest => {}, added => 0 }, $class;
	my @names = grep { $_ ne 'dest_step' || $self->{steps} } sort keys %strikes;
	@names = grep { $_ ne 'other' || keys %{ $o{faults} } } @names;
	if ($o{only})
	{
		my %only = map { $_ => 1 } split /,/, $o{only};
		for my $name (keys %only)
		{
			die "chaos: no strike is named \"$name\"; there are: @{[ sort keys %strikes ]}\n" if !$strikes{$name};
		}
		@names = grep { $only{$_} } @names;
	}
	$self->{names} = \@names;
	$o{chaos}->ballast($BALLAST);
	return $self;
}

sub note { my ($self, $text) = @_; $self->{chaos}->say("  grow: $text") }
sub wrong { my ($self, $p, $text) = @_; $self->{chaos}->violation("plan $p->{id} ($p->{sql}), struck by $p->{strike}: $text") }
sub one_of { return $_[rand @_] }
sub between { my ($low, $high) = @_; return $low + rand($high - $low) }
sub rows { my ($self, $sql) = @_; return split /\n/, $self->{cluster}->sql($sql) }
sub running { my ($self, $n) = @_; return Steps::process_state($self->{cluster}->pid($n)) ne '' }

# ---- what is to move ----

sub spare
{
	my $self = shift;
	my @spares = grep { $self->running($_) } $self->rows("SELECT name FROM doris_nodes WHERE state = 'spare' ORDER BY name");
	return one_of(@spares) if @spares;
	return undef if $self->{spares} && $self->{added} >= $self->{spares};
	my ($rc, $name) = $self->{cluster}->local('add-node');
	chomp $name;
	die "chaos: no spare: $name\n" if $rc != 0;
	$self->{added}++;
	return $name;
}

# A plan that is possible: { kind, sql, group, dests, sources }
sub choose
{
	my ($self, $spare_only) = @_;
	my $chaos = $self->{chaos};
	my $group = 1 + int rand($chaos->{groups} // 2);
	my @members = $self->rows("SELECT name FROM doris_nodes WHERE role = 'data' AND group_id = $group AND vnodes > 0 ORDER BY name");
	my @kinds = ('expand') x (@members < $MEMBERS);
	push @kinds, 'replace' if !$self->{spares};
	push @kinds, 'shrink', 'rebalance' if @members > 1 && !$spare_only;
	push @kinds, 'shrink' if @members > 2 && !$spare_only;
	my $kind = one_of(@kinds) // 'shrink';
	my $n = one_of(@members);

	if ($kind eq 'expand' || $kind eq 'replace')
	{
		my $spare = $self->spare;
		return $self->choose(0) if !$spare && @members > 1;
		return undef if !$spare;
		return { kind => $kind, group => $group, dests => [$spare], sources => $kind eq 'replace' ? [$n] : \@members, old => $kind eq 'replace' ? $n : undef,
			sql => $kind eq 'replace' ? "doris_replace('$n', '$spare', wait => false)" : "doris_expand($group, '{$spare}', wait => false)" };
	}
	if ($kind eq 'rebalance')
	{
		my ($weight) = $self->rows("SELECT weight FROM doris.nodes WHERE name = '$n'");
		my $other = one_of(grep { $_ != $weight } 50, 100, 200, 400);
		$self->{cluster}->sql("SELECT doris_set_weight('$n', $other)");
		my $moves = $self->{cluster}->sql("SELECT coalesce(sum(vnodes), 0) FROM doris_plan_rebalance($group)");
		return $self->choose(0) if $moves == 0;
		my @targets = $self->rows("SELECT DISTINCT target FROM doris_plan_rebalance($group)");
		my @sources = $self->rows("SELECT DISTINCT source FROM doris_plan_rebalance($group)");
		return { kind => $kind, group => $group, dests => \@targets, sources => \@sources, sql => "doris_rebalance($group, wait => false)" };
	}
	return { kind => $kind, group => $group, dests => [ grep { $_ ne $n } @members ], sources => [$n], sql => "doris_shrink('{$n}', wait => false)" };
}

sub map_of
{
	my $self = shift;
	return { map { /^(\d+ \d+) (\w+)$/ ? ($1 => $2) : () } $self->rows("SELECT group_id || ' ' || vnode || ' ' || owner FROM doris_vnodes") };
}

# Begins it, asking again if need be, as an operator would.
sub begin
{
	my ($self, $p) = @_;
	my $from = time;
	my $out;
	while (time - $from < $SAID)
	{
		$out = eval { $self->{cluster}->sql("SELECT $p->{sql}") } // $@;
		return $p->{id} = $out if $out =~ /^\d+$/;
		last if $out =~ /ERROR/;
		$self->{chaos}->wait(0.3);
	}
	$p->{id} = 0;
	$self->wrong($p, "it does not begin: $out");
	return 0;
}

# state, vnodes done, error; 'unknown' while the database does not answer
sub state_of
{
	my ($self, $p) = @_;
	my $out = eval { $self->{cluster}->sql("SELECT state || '|' || vnodes_done || '|' || bytes_done || '|' || coalesce(error, '') FROM doris_plans WHERE plan_id = $p->{id}", 10) };
	return ('unknown', '', '') if !defined $out || $out !~ /^(\w+)\|(\d+\|\d+)\|(.*)$/;
	return ($1, $2, $3);
}

sub is_over { my ($self, $p) = @_; return ($self->state_of($p))[0] =~ /^(done|cancelled)$/ }

# Until something is on its way to one of the new owners: who that is; the first of them when the plan is over
sub filling
{
	my ($self, $p) = @_;
	for (1 .. 60)
	{
		my ($name) = $self->rows("SELECT incoming FROM doris_vnodes WHERE incoming IS NOT NULL ORDER BY random() LIMIT 1");
		return $name if $name;
		last if $self->is_over($p);
		$self->{chaos}->wait(0.1);
	}
	return one_of(@{ $p->{dests} });
}

# Until something has moved
sub await_flip
{
	my ($self, $p) = @_;
	my $dests = join ', ', map { "'$_'" } @{ $p->{dests} };
	my $count = "SELECT count(*) FROM doris_vnodes WHERE group_id = $p->{group} AND owner IN ($dests)";
	for (1 .. 200)
	{
		return 1 if $self->{cluster}->sql($count) != $p->{had};
		return 1 if $self->is_over($p);
		$self->{chaos}->wait(0.05);
	}
	return 1;
}

# ---- strikes ----

sub wipe
{
	my ($self, $n) = @_;
	system('sh', '-c', 'rm -rf "$1"/*', 'sh', "$self->{cluster}{dir}/node/$n");
}

sub kill_dest
{
	my ($self, $p, $wiped) = @_;
	my $n = $self->filling($p);
	$self->{chaos}->wait(rand(2));
	$self->note("kill $n, where vnodes come" . ($wiped ? ', and wipe its disk' : ''));
	$self->{cluster}->kill($n);
	$self->{chaos}->wait(rand(4));
	$self->wipe($n) if $wiped;
	$self->{cluster}->start($n);
}

sub freeze
{
	my ($self, $n) = @_;
	my $seconds = between(0.3, 7);
	my $pid = $self->{cluster}->pid($n);
	$self->note(sprintf 'SIGSTOP %s for %.1f s', $n, $seconds);
	kill 'STOP', $pid;
	$self->{chaos}->wait($seconds);
	kill 'CONT', $pid;
}

sub stop_dest { my ($self, $p) = @_; my $n = $self->filling($p); $self->{chaos}->wait(rand(2)); $self->freeze($n) }
sub stop_source { my ($self, $p) = @_; $self->filling($p); $self->{chaos}->wait(rand(2)); $self->freeze(one_of(@{ $p->{sources} })) }

# The new owner was started with a fault before the plan began.
sub arm
{
	my ($self, $p) = @_;
	my $n = $p->{dests}[0];
	my @steps = grep { /^recover_/ } Steps::names();
	$p->{step} = one_of(@steps);
	$p->{how} = rand() < 0.5 ? 'kill' : 'stop';
	$self->{cluster}->stop($n);
	$self->{steps}->start_armed($n, $p->{step}, $p->{how});
	$self->{cluster}->wait_for("$n is a spare again", 30, sub { $self->{cluster}->sql("SELECT state = 'spare' AND last_heartbeat > now() - interval '2 s' FROM doris_nodes WHERE name = '$n'") eq 't' });
	$self->{chaos}->wait(1);
}

sub step_dest
{
	my ($self, $p) = @_;
	my $n = $p->{dests}[0];
	my $who = $self->{steps}->await($p->{step}, 30, $n);
	$self->note("$n " . ($who ? $p->{how} eq 'kill' ? 'died' : 'stands still' : 'DID NOT COME') . " at $p->{step}");
	$self->wrong($p, "$p->{step} was not reached") if !$who;
	$self->{reached}{"$p->{step} $p->{how}"}++ if $who;
	$self->{chaos}->wait(rand(3));
	$self->wipe($n) if $p->{how} eq 'kill' && rand() < 0.3;
	$self->{steps}->mend($n);
}

sub lose_dest
{
	my ($self, $p) = @_;
	my $cluster = $self->{cluster};
	my $n = $self->filling($p);
	my ($state, $done, $why, $from);

	$self->note("kill $n, where vnodes come, for good");
	$cluster->kill($n);
	for ($from = time; time - $from < $SAID;)
	{
		($state, $done, $why) = $self->state_of($p);
		last if $why ne '' || $state eq 'done';
		$self->{chaos}->wait(0.2);
	}
	if ($state ne 'done')
	{
		$self->wrong($p, "$n is gone for $SAID s and the plan does not say so: $state") if $why eq '';
		$self->note("it is $state: $why");
		$self->cancel($p, 1);
	}
	$self->{chaos}->wait(rand(2));
	$self->wipe($n) if rand() < 0.5;
	$cluster->start($n);
}

sub kill_source
{
	my ($self, $p) = @_;
	my $n = one_of(@{ $p->{sources} });
	$self->filling($p) if $p->{strike} ne 'source_flip';
	$self->{chaos}->wait(rand(2)) if $p->{strike} ne 'source_flip';
	$self->note("kill $n, from where vnodes move");
	$self->{cluster}->kill($n);
	$self->{chaos}->wait(one_of(0, rand(5)));
	$self->{cluster}->start($n);
}

sub kill_peer
{
	my ($self, $p) = @_;
	my ($n) = shuffle($self->rows("SELECT name FROM doris_nodes WHERE role = 'data' AND group_id <> $p->{group} AND vnodes > 0"));
	$self->{chaos}->wait(rand(1.5));
	$self->note("kill $n of the other group");
	$self->{cluster}->kill($n);
	$self->{chaos}->wait(between(1, 7));
	$self->{cluster}->start($n);
}

sub kill_log
{
	my ($self, $p) = @_;
	my $log = one_of(@{ $self->{logs} });
	my $n = one_of(@{ $self->{data} });
	$self->note("kill $n, then $log");
	$self->{cluster}->kill($n);
	$self->{chaos}->wait(between(1.5, 4));
	$self->{cluster}->kill($log);
	$self->{chaos}->wait(rand(3));
	for my $name (shuffle($n, $log))
	{
		$self->{cluster}->start($name);
		$self->{chaos}->wait(rand(1));
	}
}

sub break_database
{
	my ($self, $p) = @_;
	my $how = one_of(qw(pause kill stop));
	my $seconds = between(1, 10);
	$self->{chaos}->wait(rand(2));
	$self->note(sprintf '%s the admin database for %.1f s', $how, $seconds);
	$self->{cluster}->verb($how, 'pg');
	$self->{chaos}->wait($seconds);
	$self->{cluster}->verb($how eq 'pause' ? 'continue' : 'start', 'pg');
}

sub kill_admins
{
	my ($self, $p) = @_;
	my @admins = shuffle('admin1', 'admin2');
	$self->{chaos}->wait(rand(2));
	$self->note('kill both admins');
	$self->{cluster}->kill($_) for @admins;
	$self->{chaos}->wait(rand(4));
	for (@admins)
	{
		$self->{cluster}->start($_);
		$self->{chaos}->wait(rand(2));
	}
}

sub cancel
{
	my ($self, $p, $now) = @_;
	$self->{chaos}->wait(rand(3)) if !$now;
	for (1 .. 5)
	{
		my $state = $self->{cluster}->sqlstate("SELECT doris_cancel($p->{id})", 30);
		my ($is) = $self->state_of($p);
		$self->note("cancelled: it is $is");
		return if $is =~ /^(done|cancelled)$/;
		$self->wrong($p, "doris_cancel: $self->{cluster}{last}") if $state ne '' && $state !~ /^(08|57)/;
		$self->wrong($p, "cancelled, it is $is") if $state eq '';
		$self->{chaos}->wait(1);
	}
	$self->wrong($p, "it cannot be cancelled: $self->{cluster}{last}");
}

sub pause
{
	my ($self, $p) = @_;
	$self->{chaos}->wait(rand(2));
	my $state = $self->{cluster}->sqlstate("SELECT doris_pause($p->{id})", 30);
	return if $self->is_over($p);
	$self->note("pause: $state, it is " . ($self->state_of($p))[0]);
	$self->{chaos}->wait(between(0.5, 3));
	if (rand() < 0.5)
	{
		my $leader = $self->{chaos}->leader;
		$self->note("kill $leader, which leads");
		$self->{cluster}->kill($leader);
		$self->{chaos}->wait(between(1, 5));
		$self->{cluster}->start($leader);
	}
	for (1 .. 20)
	{
		$state = $self->{cluster}->sqlstate("SELECT doris_resume($p->{id})", 30);
		return if $state eq '';
		$self->{chaos}->wait(0.5);
	}
	$self->wrong($p, "it cannot be resumed: $self->{cluster}{last}") if !$self->is_over($p);
}

sub another_fault
{
	my ($self, $p) = @_;
	my $name = one_of(sort keys %{ $self->{faults} });
	$self->{chaos}->wait(rand(1));
	$self->{faults}{$name}->();
}

# ---- one after another ----

sub next
{
	my $self = shift;
	my $chaos = $self->{chaos};
	my $cluster = $self->{cluster};
	$self->{deck} = [shuffle(@{ $self->{names} })] if !@{ $self->{deck} };
	my $strike = shift @{ $self->{deck} };
	my $p = $self->choose($strikes{$strike}{spare}) or return;
	my $rate = one_of(0, 1, 1, 2, 4);

	$p->{strike} = $strike;
	$self->{times}{$strike}++;
	$cluster->sql("SELECT doris_set('move_rate', '$rate')");
	$chaos->wait(1.3);    # until the nodes have heard of it
	$self->arm($p) if $strike eq 'dest_step' && $strikes{$strike}{spare} && $p->{kind} =~ /expand|replace/;
	return if $strike eq 'dest_step' && !$p->{step};
	$chaos->say("fault grow $p->{sql} at $rate MB/s, struck by $strike" . ($p->{step} ? " $p->{step}=$p->{how}" : ''));
	my $dests = join ', ', map { "'$_'" } @{ $p->{dests} };
	$p->{had} = $cluster->sql("SELECT count(*) FROM doris_vnodes WHERE group_id = $p->{group} AND owner IN ($dests)");
	$p->{before} = $self->map_of;
	$p->{from} = time;
	$self->begin($p) or return;
	$strikes{$strike}{do}->($self, $p);
	my $state = $self->end($p);
	$self->{ended}{$strike}{$state}++;
	$self->{longest}{$strike} = max($self->{longest}{$strike} // 0, time - $p->{from});
	$self->note(sprintf 'it is %s after %.1f s', $state, time - $p->{from});
	$self->wrong($p, "it has ended $state") if $state ne 'done' && !($state eq 'cancelled' && $strikes{$strike}{cancels});
	$chaos->heal;
	$self->tidy($p, $state);
	if ($p->{old} && $state eq 'done')
	{
		# started again when it had been replaced already, it was refused and ended by itself
		my ($rc, $out) = $cluster->local('stop', $p->{old});
		die "local-cluster stop $p->{old} failed ($rc):\n$out" if $rc != 0 && $out !~ /is not running/;
	}
	$self->refresh;
	return;
}

# Everything is mended: it must come to its end by itself.
sub end
{
	my ($self, $p) = @_;
	my ($from, $since, $last) = (time, time, '');
	while (1)
	{
		my ($state, $done, $why) = $self->state_of($p);
		return $state if $state =~ /^(done|cancelled)$/;
		($since, $last) = (time, $done) if $done ne $last || $why ne '' || $state eq 'unknown';
		if (time - $since > $STUCK || time - $from > $DEADLINE)
		{
			$self->wrong($p, sprintf 'stuck for %.0f s: %s, %s vnodes|bytes done: %s', time - $from, $state, $done, $why eq '' ? 'it does not say why' : $why);
			$self->cancel($p, 1);
			return 'stuck';
		}
		$self->{chaos}->wait(0.2);
	}
}

# What a plan must leave: the fewest moves, an even map, nothing under way, no files that are nobody's.
sub tidy
{
	my ($self, $p, $state) = @_;
	my $cluster = $self->{cluster};
	my $after = $self->map_of;
	my $moved = grep { $p->{before}{$_} ne $after->{$_} } keys %{ $p->{before} };
	my $minimum = $cluster->sql("SELECT minimum FROM doris.plans WHERE plan_id = $p->{id}");
	my $wrong = '';

	$self->wrong($p, "$moved vnodes have moved, the fewest are $minimum") if $state eq 'done' ? $moved != $minimum : $moved > $minimum;
	if ($state eq 'done' && $p->{kind} ne 'replace')
	{
		my $more = $cluster->sql("SELECT coalesce(sum(vnodes), 0) FROM doris_plan_rebalance($p->{group})");
		$self->wrong($p, "$more vnodes are still to be balanced") if $more;
	}
	for (my $from = time; time - $from < $TIDY; $self->{chaos}->wait(0.3))
	{
		$wrong = $self->under_way || $self->{chaos}->orphan_files;
		last if $wrong eq '';
	}
	$self->wrong($p, "$TIDY s after its end: $wrong") if $wrong ne '';
}

sub under_way
{
	my $self = shift;
	my $n = $self->{cluster}->sql("SELECT count(*) FROM doris.copies WHERE incoming IS NOT NULL OR retiring IS NOT NULL");
	my $nodes = $self->{cluster}->sql("SELECT coalesce(string_agg(name || ' ' || state, ', '), '') FROM doris_nodes WHERE state IN ('joining', 'leaving')");
	return $n ? "$n vnodes are moving" : $nodes;
}

# Who holds data now, and of which group
sub refresh
{
	my $self = shift;
	my @now;
	for ($self->rows("SELECT name || ' ' || group_id FROM doris_nodes WHERE role = 'data' AND state <> 'dead' AND vnodes > 0 ORDER BY name"))
	{
		my ($name, $group) = split / /;
		$self->{chaos}{group}{$name} = $group;
		push @now, $name;
	}
	@{ $self->{data} } = @now;
}

# What is left at the very end
sub check
{
	my $self = shift;
	my $wrong = $self->{chaos}->orphan_files;
	$self->{chaos}->violation("at the end: $wrong") if $wrong ne '';
}

sub report
{
	my $self = shift;
	printf "\n%-12s %5s %8s  %s\n", 'strike', 'times', 'longest', 'plans';
	for my $strike (sort keys %{ $self->{times} })
	{
		my $ended = $self->{ended}{$strike} // {};
		printf "%-12s %5d %6.1f s  %s\n", $strike, $self->{times}{$strike}, $self->{longest}{$strike} // 0, join(' ', map { "$_:$ended->{$_}" } sort keys %$ended);
	}
	printf "steps at new nodes: %s\n", join(', ', map { "$_:$self->{reached}{$_}" } sort keys %{ $self->{reached} }) if $self->{reached};
	return;
}

1;
