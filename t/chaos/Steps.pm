# Steps: a process dies, or stands still, by itself at a named step (FAULT_POINT, programs of `make faults`), at a moment
# when that step really happens; it is started again without the fault, and the cluster has to heal.
#
# The names are read from the sources, so that a new one cannot be forgotten: a step that was tried and not reached is a
# violation. That it was reached is proved by the process's end and by the line that it wrote before.
package Steps;

use strict;
use warnings;
use DorisCluster;
use List::Util qw(max shuffle);
use Time::HiRes qw(time sleep);

my $DEADLINE = 30;           # s until a step must be reached
my $PURGE_DEADLINE = 200;    # nothing is purged before nodes have forgotten the transactions of that minute (--memory 1)
my $STUCK = 30;              # s to heal: longer is a violation

# What a cluster needs so that tombstones are purged within minutes
our %options = (node_opts => '--memory 1', admin_opts => '--scrub-lap 10 --scrub-rate 100');

sub programs { return $ENV{DORIS_FAULT_BIN} // "$DorisCluster::root/build/fault" }

sub built
{
	my $bin = programs();
	return !grep { !-x "$bin/$_" } qw(doris_node doris_admin dorisctl);
}

# What a step's process is: recover (a data node that is back), replay (a log node), verdict, plan (the leading admin, when a
# node that is down is replaced), move (when vnodes move), purge (it, too), client (dorisctl). undef: nobody knows how to get there.
sub class_of
{
	my $name = shift;
	return 'recover' if $name =~ /^(recover_|node_rehold$)/;
	return 'replay' if $name =~ /^node_replay_/;
	return 'purge' if $name =~ /^client-purge-/;
	return 'client' if $name =~ /^client-/;
	return 'move' if $name =~ /^admin-moves-/;
	return 'plan' if $name =~ /^admin-(plan-|hand|bur)/;
	return 'verdict' if $name =~ /^admin-/;
	return undef;
}

# All names in the sources: step(r, "x") is how node/recover.c says it.
sub names
{
	my %names;
	for my $file (map { glob "$DorisCluster::root/$_/*.c" } qw(wire client node admin ctl))
	{
		my $text = DorisCluster::slurp($file);
		$names{$1} = 1 while $text =~ /\b(?:FAULT_POINT\(|step\(\w+, )"([\w-]+)"\)/g;
	}
	return sort keys %names;
}

# In seeded order, each kind in turn, so that the first few are of all kinds; the purge last: it has to wait for its time.
sub deck
{
	my ($self) = @_;
	my %of;
	push @{ $of{ class_of($_) // 'unknown' } }, $_ for shuffle(@{ $self->{names} });
	my $purge = delete $of{purge};
	my @kinds = shuffle(sort keys %of);
	my @deck;
	while (grep { @{ $of{$_} } } @kinds)
	{
		push @deck, grep { defined } map { shift @{ $of{$_} } } @kinds;
	}
	return (@deck, @{ $purge // [] });
}

# new(chaos => Chaos, data => \@names, logs => \@names, only => 'name,name', plans => 0|1, stops => 0|1): data changes when
# a node is replaced; stops: half of the processes stand still at the step, wake up later and go on
sub new
{
	my ($class, %o) = @_;
	my $self = bless { %o, cluster => $o{chaos}{cluster}, hits => {}, tries => {}, well => {}, who => {}, cases => 0 }, $class;
	my @names = names();

	my %only = map { $_ => 1 } split /,/, $o{only} // '';
	for my $name (keys %only)
	{
		die "chaos: no step is named \"$name\"; there are: @names\n" if !grep { $_ eq $name } @names;
	}
	@names = grep { $only{$_} } @names if %only;
	@names = grep { (class_of($_) // '') !~ /^(plan|move)$/ } @names if !$o{plans};
	$self->{names} = \@names;
	$self->{deck} = [$self->deck];
	$self->{cluster}->ctl(qw(create steps k v));
	$self->{cluster}->sql("CREATE FOREIGN TABLE steps (k text, v text) SERVER doris OPTIONS (key 'k')");
	return $self;
}

sub count { return scalar @{ $_[0]{names} } }
sub note { my ($self, $text) = @_; $self->{chaos}->say("fault $text") }
sub one_of { return $_[rand @_] }
sub between { my ($low, $high) = @_; return $low + rand($high - $low) }

# ---- processes with a fault ----

# Starts it with the programs that have fault points. That it ends at once is no error: it may come to the step.
sub start_armed
{
	my ($self, $name, $step, $how) = @_;
	my $file = "$self->{cluster}{dir}/proc/$name";
	my $bin = programs();
	my $was = DorisCluster::slurp($file);
	(my $armed = $was) =~ s{^(.*\n).*/(doris_\w+\n)}{$1$bin/$2} or die "what is in $file?\n";

	write_file($file, $armed);
	{
		local $ENV{DORIS_FAULT} = "$step=$how";
		$self->{log_from}{$name} = -s "$self->{cluster}{dir}/log/$name.log";
		eval { $self->{cluster}->start($name); 1 } or $self->reached($name, $step) or do { write_file($file, $was); die $@ };
	}
	write_file($file, $was);
	$self->{armed_pid}{$name} = $self->{cluster}->pid($name);
}

sub write_file
{
	my ($file, $text) = @_;
	open(my $fh, '>', $file) or die "$file: $!";
	print {$fh} $text;
	close $fh or die "$file: $!";
}

# The process's state in the kernel's letters; '' when it has ended.
sub process_state
{
	my $pid = shift;
	return DorisCluster::slurp("/proc/$pid/stat") =~ /^.*\) ([^ZX])/s ? $1 : '';
}

# Has it come to the step, by its own word and by what it is now?
sub reached
{
	my ($self, $name, $step) = @_;
	my $log = substr($self->{cluster}->slurp_log($name), $self->{log_from}{$name});
	return '' if $log !~ /^fault point \Q$step\E: (killed|stopped)$/m;
	my $state = process_state($self->{cluster}->pid($name));
	return $1 eq 'killed' ? $state eq '' : $state eq 'T';
}

# The first of them that comes to the step within the time.
sub await
{
	my ($self, $step, $seconds, @names) = @_;
	my $until = time + $seconds;
	while (time < $until)
	{
		for my $name (@names)
		{
			return $name if $self->reached($name, $step);
		}
		$self->{chaos}->wait(0.05);
	}
	return undef;
}

# It is started again as it was; one that was stopped goes on for a while before.
sub mend
{
	my ($self, $name) = @_;
	my $pid = $self->{cluster}->pid($name);
	if (process_state($pid) eq 'T')
	{
		$self->{chaos}->wait(between(0.5, 6));
		kill 'CONT', $pid;
		$self->{chaos}->wait(between(0.5, 3));
	}
	$self->{cluster}->kill($name) if process_state($pid) ne '';
	$self->{cluster}->start($name);
}

sub await_failed
{
	my ($self, $n) = @_;
	my $until = time + 15;
	while ($self->{cluster}->sql("SELECT state FROM doris_nodes WHERE name = '$n'") ne 'failed')
	{
		die "chaos: $n is not judged failed\n" if time > $until;
		$self->{chaos}->wait(0.1);
	}
}

sub hit
{
	my ($self, $step, $name) = @_;
	$self->{hits}{$step}++;
	$self->{hit_at} = time;
	$self->{who}{$step}{ $name =~ s/\d+$//r =~ s/^g\d+n?$/node/r =~ s/^spare$/node/r }++;
	$self->{chaos}->say("  reached: $name at $step");
	return $name;
}

# ---- recovery ----

# A data node is back with something to recover.
sub do_recover
{
	my ($self, $step, $how) = @_;
	my $chaos = $self->{chaos};
	my $n = one_of(@{ $self->{data} });
	my $wiped = rand() < 0.2;
	return $self->recover_spare($step, $how, $n) if $self->{plans} && $step ne 'node_rehold' && rand() < 0.25;

	$self->note("$how $n at $step of its recovery" . ($wiped ? ', with an empty disk' : ''));
	$self->{cluster}->kill($n);
	$self->await_failed($n);
	$chaos->wait(between(1, 3));
	system('sh', '-c', 'rm -rf "$1"/*', 'sh', "$self->{cluster}{dir}/node/$n") if $wiped && $step ne 'node_rehold';
	$self->start_armed($n, $step, $how);
	my $who = $self->await($step, $DEADLINE, $n);
	$self->hit($step, $who) if $who;
	$chaos->wait(rand(2));
	$self->mend($n);
}

# A spare that takes its place.
sub recover_spare
{
	my ($self, $step, $how, $old) = @_;
	my $cluster = $self->{cluster};
	my $spare = $self->add_spare;

	$self->note("$how $spare at $step, when it takes the place of $old");
	$cluster->stop($spare);
	$self->start_armed($spare, $step, $how);
	$cluster->kill($old);
	$self->await_failed($old);
	# the spare's start is known
	$cluster->wait_for("$spare", $DEADLINE, sub { $cluster->sql("SELECT state FROM doris_nodes WHERE name = '$spare'") eq 'spare' });
	my ($who) = $self->ask_plan($step, $spare, "SELECT doris_replace('$old', '$spare', wait => false)");
	$who //= $self->await($step, $DEADLINE, $spare);
	$self->hit($step, $who) if $who;
	$self->{chaos}->wait(rand(3));
	$self->mend($spare);
	my $state = $self->end_plan;
	$self->{chaos}->violation("the replacement of $old by $spare after $step: $state") if $state !~ /^done/;
	@{ $self->{data} } = map { $_ eq $old ? $spare : $_ } @{ $self->{data} };
}

# Log nodes replay what they kept.
sub do_replay
{
	my ($self, $step, $how) = @_;
	my $chaos = $self->{chaos};
	my $cluster = $self->{cluster};
	my @logs = @{ $self->{logs} };
	my $n = one_of(@{ $self->{data} });

	$self->note("$how a log node at $step, when $n is back");
	for my $log (@logs)
	{
		$cluster->stop($log);
		$self->start_armed($log, $step, $how);
		$chaos->heal;
	}
	$cluster->kill($n);
	$self->await_failed($n);
	$chaos->wait(between(1, 3));
	$cluster->start($n);
	my $who = $self->await($step, $DEADLINE, @logs);
	$self->hit($step, $who) if $who;
	$chaos->wait(rand(2));
	$self->mend($_) for @logs;
}

# ---- the leading admin ----

# An admin with a fault leads; its name. It may have come to the step by this already.
sub lead_armed
{
	my ($self, $step, $how) = @_;
	my $chaos = $self->{chaos};
	my $cluster = $self->{cluster};
	my $leader = $chaos->leader;
	my ($standby) = grep { $_ ne $leader } map { /^(admin\d+)$/ ? $1 : () } map { s{.*/}{}r } glob "$cluster->{dir}/proc/admin*";

	$cluster->stop($standby);
	$self->start_armed($standby, $step, $how);
	$chaos->wait(0.5);
	$cluster->stop($leader);
	my $until = time + $DEADLINE;
	while (!$self->reached($standby, $step) && $chaos->leader ne $standby)
	{
		die "chaos: $standby does not lead\n" if time > $until;
		$chaos->wait(0.1);
	}
	$cluster->start($leader);
	# leases given by the one before are over: it judges
	$chaos->wait(between(2, 3));
	return $standby;
}

sub do_verdict
{
	my ($self, $step, $how) = @_;
	my $chaos = $self->{chaos};
	my $admin = $self->lead_armed($step, $how);
	my $n = one_of(@{ $self->{data} });

	$self->note("$how the leading $admin at $step, when $n fails and returns");
	$self->{cluster}->kill($n);
	my $who = $self->await($step, between(1, 3), $admin);
	$self->await_failed($n);
	$who //= $self->await($step, between(0.1, 3), $admin);
	$self->{cluster}->start($n);
	$who //= $self->await($step, $DEADLINE, $admin);
	$self->hit($step, $who) if $who;
	$chaos->wait(rand(2)) if $how eq 'kill';
	$self->mend($admin);
}

# Tombstones of the load go by and by.
sub do_purge
{
	my ($self, $step, $how) = @_;
	my $admin = $self->lead_armed($step, $how);
	$self->note("$how the leading $admin at $step");
	my $who = $self->await($step, $PURGE_DEADLINE, $admin);
	$self->hit($step, $who) if $who;
	$self->mend($admin);
}

sub add_spare
{
	my $self = shift;
	my ($rc, $spare) = $self->{cluster}->local('add-node');
	chomp $spare;
	die "chaos: no spare: $spare\n" if $rc != 0;
	return $spare;
}

# Asks for a plan, again if need be, as an operator would who got no answer. The step may be reached meanwhile: who came there.
sub ask_plan
{
	my ($self, $step, $admin, $sql) = @_;
	my $cluster = $self->{cluster};
	my $last = $self->{last_plan} = $cluster->sql('SELECT coalesce(max(plan_id), 0) FROM doris_plans');
	my $from = time;
	my $who;
	while (time - $from < $DEADLINE)
	{
		$cluster->sqlstate($sql, 20);
		$who //= $self->await($step, 0.05, $admin);
		return ($who, 1) if $cluster->sql("SELECT count(*) FROM doris_plans WHERE state <> 'cancelled' AND plan_id > $last") > 0;
	}
	$self->{chaos}->violation("no plan after $DEADLINE s: $sql: $cluster->{last}");
	return ($who, 0);
}

# Until the newest plan has ended; its state, and why.
sub end_plan
{
	my $self = shift;
	my $last = $self->{last_plan} // 0;
	my $from = time;
	my $state;
	while (($state = $self->{cluster}->sql("SELECT state || ' ' || coalesce(error, '') FROM doris_plans WHERE plan_id > $last ORDER BY plan_id DESC LIMIT 1")) !~ /^(done|cancelled)/)
	{
		last if time - $from > 2 * $STUCK;
		$self->{chaos}->wait(0.2);
	}
	$self->{last_plan} = $self->{cluster}->sql('SELECT coalesce(max(plan_id), 0) FROM doris_plans');
	return $state;
}

# A spare takes the place of a node that is down: killed, or taken out by an operator.
sub do_plan
{
	my ($self, $step, $how) = @_;
	my $chaos = $self->{chaos};
	my $cluster = $self->{cluster};
	my ($old) = shuffle(@{ $self->{data} });
	my $alive = rand() < 0.5;
	my $spare = $self->add_spare;
	my $admin = $self->lead_armed($step, $how);

	$self->note("$how the leading $admin at $step, when $spare takes the place of $old, which is " . ($alive ? 'taken out' : 'dead'));
	$alive ? $cluster->sql("SELECT doris_failover('$old')") : $cluster->kill($old);
	$self->await_failed($old);
	my ($who) = $self->ask_plan($step, $admin, "SELECT doris_replace('$old', '$spare', wait => false)");
	$who //= $self->await($step, $DEADLINE, $admin);
	$self->hit($step, $who) if $who;
	$chaos->wait(rand(3)) if $how eq 'kill';
	$self->mend($admin);
	my $state = $self->end_plan;
	$chaos->violation("the replacement of $old by $spare after $step: $state") if $state !~ /^done/;
	$cluster->stop($old) if process_state($cluster->pid($old)) ne '';
	@{ $self->{data} } = map { $_ eq $old ? $spare : $_ } @{ $self->{data} };
}

# A group gets a node more and gives it back, while the leader dies in one of the two; or one is cancelled.
sub do_move
{
	my ($self, $step, $how) = @_;
	my $chaos = $self->{chaos};
	my $cluster = $self->{cluster};
	my $group = 1 + int rand($chaos->{groups} // 2);
	my $spare = $self->add_spare;
	my $cancel = $step =~ /cancel/;
	my $grow = "SELECT doris_expand($group, ARRAY['$spare'], wait => false)";
	my $shrink = "SELECT doris_shrink(ARRAY['$spare'], wait => false)";
	my $first = $cancel || rand() < 0.5;

	# it must not be over before it is cancelled; nodes hear of the rate by and by
	$chaos->ballast(12000) if $cancel;
	$cluster->sql("SELECT doris_set('move_rate', '@{[ $cancel ? 1 : 0 ]}')");
	$chaos->wait(1.5) if $cancel;
	if (!$first)
	{
		$self->ask_plan($step, 'admin1', $grow);
		my $state = $self->end_plan;
		$chaos->violation("$spare, which is to grow group $group: $state") if $state !~ /^done/;
	}
	my $admin = $self->lead_armed($step, $how);
	$self->note("$how the leading $admin at $step, when group $group " . ($first ? 'grows by' : 'gives back') . " $spare" . ($cancel ? ', which is cancelled' : ''));
	my ($who, $planned) = $self->ask_plan($step, $admin, $first ? $grow : $shrink);
	if ($cancel && $planned)
	{
		$chaos->wait(rand(0.7));
		$cluster->sqlstate('SELECT doris_cancel(max(plan_id)) FROM doris_plans', 20);
	}
	$who //= $self->await($step, $DEADLINE, $admin);
	$self->hit($step, $who) if $who;
	$chaos->wait(rand(3)) if $how eq 'kill';
	$self->mend($admin);
	return if !$planned;
	# a leader that dies before the journal says so leaves a plan that goes on
	my $state = $self->end_plan;
	$chaos->violation("the plan about $spare after $step: $state") if $state !~ ($cancel ? qr/^(done|cancelled)/ : qr/^done/);
	if ($first && $state =~ /^done/)
	{
		($who, $planned) = $self->ask_plan($step, $admin, $shrink);
		$state = $self->end_plan;
		$chaos->violation("$spare, which group $group gives back: $state") if $state !~ /^done/;
	}
	return if $cluster->sql("SELECT coalesce(sum(vnodes), 0) FROM doris_nodes WHERE name = '$spare'") != 0;
	# one that is stopped sooner keeps the files that it had no time to drop, until it is started again
	my $until = time + $STUCK;
	sleep 0.2 while time < $until && (() = glob "$cluster->{dir}/node/$spare/store/v*.wt");
	$cluster->stop($spare);
}

# ---- clients ----

sub put
{
	my ($self, $value, @keys) = @_;
	return $self->{cluster}->ctl('--deadline', 10000, 'put', 'steps', split / /, join ' -- ', map { "$_ v=$value" } @keys);
}

# With a fault; true when it died of it.
sub put_armed
{
	my ($self, $step, $value, @keys) = @_;
	my $cluster = $self->{cluster};
	local $ENV{DORIS_FAULT} = "$step=kill";
	my ($rc, $out) = DorisCluster::run(20, programs() . '/dorisctl', '--hosts', $cluster->{hosts}, '--key-file', $cluster->{key_file}, '--deadline', 2000,
		'put', 'steps', split / /, join ' -- ', map { "$_ v=$value" } @keys);
	return $rc != 0 && $out =~ /^fault point \Q$step\E: killed$/m;
}

# The values of keys, in order, - for none, as a group has them; undef when they cannot be read.
sub values_of
{
	my ($self, $group, @keys) = @_;
	my $list = join ',', map { "'$_'" } @keys;
	return eval { $self->{cluster}->sql("SET doris_fdw.read_group = $group; SELECT string_agg(coalesce(v, '-'), ' ' ORDER BY i)
		FROM unnest(ARRAY[$list]) WITH ORDINALITY u(x, i) LEFT JOIN steps ON k = x") };
}

# dorisctl dies while a node is down and log nodes keep hints, or while all are up and a node dies after it; what it leaves has to
# come to an end, all or none. Hints are only kept for who is down, and only where all are up do staged rows name their vnodes.
sub do_client
{
	my ($self, $step) = @_;
	my $chaos = $self->{chaos};
	my $cluster = $self->{cluster};
	my ($n) = shuffle(@{ $self->{data} });
	my $down = $step eq 'client-hinted' || $step !~ /^client-(named|deciding)$/ && rand() < 0.5;
	my @left;
	my $kill = sub { $cluster->kill($n); $self->await_failed($n) };

	$self->note("kill dorisctl at $step " . ($down ? "while $n is down" : "and then $n"));
	$kill->() if $down;
	for my $several (1, 2, 6)
	{
		for my $before ('-', 'old')
		{
			$self->{cases}++;
			my @keys = map { "$self->{cases}.$_" } 1 .. $several;
			$self->put('old', @keys) if $before eq 'old';
			# only who ends another's comes there
			if ($step eq 'client-refused')
			{
				$self->put_armed('client-staged-one', 'half', @keys) or next;
				$chaos->wait(2.2);
			}
			$self->put_armed($step, 'new', @keys) or next;
			$self->hit($step, 'dorisctl');
			# what it sent last may still be under way
			$chaos->wait(0.1);
			push @left, { keys => \@keys, before => $before, seen => $self->values_of(0, @keys) };
		}
	}
	$chaos->wait(rand(3));
	if (!$down)
	{
		$kill->();
		$chaos->wait(rand(3));
	}
	$cluster->start($n);
	$self->healed($step);
	for my $case (@left)
	{
		my @keys = @{ $case->{keys} };
		my %good = map { join(' ', ($_) x @keys) => 1 } $case->{before}, 'new', $step eq 'client-refused' ? 'half' : ();
		for my $group (0 .. 2)
		{
			my $now = $self->values_of($group, @keys) // 'nothing can be read';
			$chaos->violation("$step, keys @keys: torn in group $group: $now") if !$good{$now};
			$chaos->violation("$step, keys @keys: $case->{seen} was read, then in group $group: $now") if defined $case->{seen} && $now ne $case->{seen};
		}
		my ($rc, $out) = (1, '');
		for (my $from = time; $rc != 0 && time - $from < $STUCK;)
		{
			($rc, $out) = $self->put('next', @keys);
		}
		$chaos->violation("$step, keys @keys: the next writer does not get through: $out") if $rc != 0;
		for my $group (0 .. 2)
		{
			my $now = $self->values_of($group, @keys) // 'nothing can be read';
			$chaos->violation("$step, keys @keys: written again, in group $group: $now") if $rc == 0 && $now ne join(' ', ('next') x @keys);
		}
	}
}

# ---- one after another ----

# The next step; after the last the deck is shuffled anew.
sub next
{
	my $self = shift;
	my $chaos = $self->{chaos};
	$self->{deck} = [$self->deck] if !@{ $self->{deck} };
	my $step = shift @{ $self->{deck} };
	my $class = class_of($step);
	my $how = $self->{stops} && rand() < 0.5 ? 'stop' : 'kill';
	my $before = $self->{hits}{$step} // 0;

	$self->{tries}{$step}++;
	delete $self->{hit_at};
	if (!$class)
	{
		$chaos->violation("nobody knows how to come to the step $step");
		return;
	}
	my $do = "do_$class";
	$self->$do($step, $how);
	$chaos->violation("not reached: $step") if ($self->{hits}{$step} // 0) == $before;
	$self->healed($step);
	return;
}

# Until all is well; how long that took since the step was reached, the time until the process was started again included.
sub healed
{
	my ($self, $step) = @_;
	my $healed = $self->{chaos}->heal;
	$self->{well}{$step} = max($self->{well}{$step} // 0, time - ($self->{hit_at} // time));
	$self->{chaos}->violation(sprintf 'after %s it took %.1f s to heal', $step, $healed) if $healed > $STUCK;
	return;
}

# Every step that was tried, and how often it was reached.
sub report
{
	my $self = shift;
	my @tried = grep { $self->{tries}{$_} } @{ $self->{names} };
	printf "\n%-26s %5s %8s %8s  %s\n", 'step', 'tries', 'reached', 'all well', 'who';
	for my $step (@tried)
	{
		my $who = $self->{who}{$step} // {};
		printf "%-26s %5d %8d %6.1f s  %s\n", $step, $self->{tries}{$step}, $self->{hits}{$step} // 0, $self->{well}{$step} // 0,
			join(' ', map { "$_:$who->{$_}" } sort keys %$who);
	}
	printf "figure steps %d, tried %d, reached %d\n", scalar @{ $self->{names} }, scalar @tried, scalar grep { $self->{hits}{$_} } @tried;
	return;
}

1;
