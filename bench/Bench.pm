# Bench: what the benchmarks beside others share: the cluster and a second server, processor time by process, medians,
# the table that is printed, and the file two runs are compared by.
package Bench;

use strict;
use warnings;
use DorisCluster;
use File::Basename qw(dirname);
use IO::Socket::INET;
use JSON::PP ();
use List::Util qw(sum0);
use POSIX ();
use Test::More ();
use Time::HiRes qw(sleep);

Test::More->builder->no_ending(1);
my @open;

# new(name => "fdw", keep => 0|1, vnodes => N, node_opts => "...", sealed => 0|1): with a cluster of 2 groups of 2 nodes
sub new
{
	my ($class, %o) = @_;
	my $self = bless { name => $o{name}, keep => $o{keep}, owner => $$, servers => [], results => [] }, $class;
	STDOUT->autoflush(1);
	$File::Temp::KEEP_ALL = 1 if $o{keep};
	$self->{cluster} = DorisCluster->new(vnodes => $o{vnodes} // 1024, no_key => !$o{sealed}, map { defined $o{$_} ? ($_ => $o{$_}) : () } qw(nodes cache node_opts));
	$self->{base} = dirname($self->{cluster}{dir});
	push @open, $self;
	return $self;
}

# Builds what a benchmark needs beside the programs; where it is. Always the plain build: a variant's is no measure.
sub build
{
	my $build = "$DorisCluster::root/build";
	my ($rc, $out) = DorisCluster::run(600, 'make', '-s', '--no-print-directory', '-C', $DorisCluster::root, "BUILD=$build", 'SANITIZE=', map { "$build/$_" } @_);
	die "cannot build @_:\n$out" if $rc != 0;
	return $build;
}

sub fail { my ($self, $why) = @_; die "bench/$self->{name}: $why\n" }

# A server of the other side in the foreground of a child: new directory, port, until the port answers.
sub start_server
{
	my ($self, $name, $port, %o) = @_;
	my $log = "$self->{base}/$name.log";
	my $pid = fork // $self->fail("fork: $!");
	if ($pid == 0)
	{
		POSIX::setsid();
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>>', $log);
		open(STDERR, '>&', \*STDOUT);
		chdir($o{dir}) or POSIX::_exit(126);
		exec { $o{command}[0] } @{ $o{command} } or POSIX::_exit(127);
	}
	push @{ $self->{servers} }, { name => $name, pid => $pid, signal => $o{signal} // 'TERM' };
	$self->{pid}{$name} = $pid;
	for (my $tries = 0; ; $tries++)
	{
		$self->fail("$name has ended by itself:\n" . DorisCluster::slurp($log)) if waitpid($pid, POSIX::WNOHANG()) == $pid;
		return $pid if IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 1);
		$self->fail("$name does not listen after 30 s:\n" . DorisCluster::slurp($log)) if $tries > 300;
		sleep 0.1;
	}
}

sub stop_servers
{
	my $self = shift;
	while (my $s = pop @{ $self->{servers} })
	{
		kill $s->{signal}, $s->{pid};
		for (my $tries = 0; waitpid($s->{pid}, POSIX::WNOHANG()) == 0; $tries++)
		{
			kill 'KILL', $s->{pid} if $tries == 200;
			sleep 0.05;
		}
	}
}

# Runs a command that has to work; what it wrote.
sub command
{
	my ($self, $seconds, @command) = @_;
	my ($rc, $out) = DorisCluster::run($seconds, @command);
	$self->fail(($rc == 124 ? "gave up after $seconds s: " : "exit code $rc: ") . join(' ', @command) . "\n$out") if $rc != 0;
	return $out;
}

sub sql { my ($self, $sql) = @_; return $self->{cluster}->sql($sql, 600) }

# ---- processor time, in seconds ----
my $tick = POSIX::sysconf(POSIX::_SC_CLK_TCK());

sub stat_of
{
	my $text = DorisCluster::slurp("/proc/$_[0]/stat") or return (0) x 4;
	return (split ' ', $text =~ s/^.*\) //sr)[11 .. 14];    # utime, stime, those of children that ended
}

# A PostgreSQL server's: its own, that of its children, and that of those that have ended. Once more when one ends meanwhile.
sub server_seconds
{
	my $pid = shift;
	for (1 .. 100)
	{
		my @before = stat_of($pid);
		my $sum = sum0(@before);
		$sum += sum0((stat_of($_))[ 0, 1 ]) for split ' ', DorisCluster::slurp("/proc/$pid/task/$pid/children");
		my @after = stat_of($pid);
		return $sum / $tick if $after[2] == $before[2] && $after[3] == $before[3];
		sleep 0.005;
	}
	return 0;
}

# So far: of the server users are connected to, the nodes, the admins, and each server of the other side.
sub cpu
{
	my $self = shift;
	my $cluster = $self->{cluster};
	my %sum = (front => server_seconds($cluster->pid('pg')), nodes => 0, admins => 0);
	for my $file (glob "$cluster->{dir}/run/*.pid")
	{
		my ($name) = $file =~ m{([^/]+)\.pid$};
		next if $name eq 'pg';
		my ($user, $system) = stat_of($cluster->pid($name));
		$sum{ $name =~ /^admin/ ? 'admins' : 'nodes' } += ($user + $system) / $tick;
	}
	$sum{$_} = server_seconds($self->{pid}{$_}) for keys %{ $self->{pid} };
	return \%sum;
}

# ---- figures ----
sub median { my @v = sort { $a <=> $b } @_; return $v[$#v / 2] // 0 }

# What a run compares: { work, clients, unit, doris, other, goal (undef: none) ... }; ratio and met are added.
sub result
{
	my ($self, %r) = @_;
	$r{ratio} = $r{other} > 0 ? $r{doris} / $r{other} : 0;
	$r{ratio} = 0 + sprintf '%.4f', $r{ratio};
	$r{met} = $r{ratio} >= $r{goal} ? JSON::PP::true : JSON::PP::false if defined $r{goal};
	push @{ $self->{results} }, \%r;
	return \%r;
}

sub number { my $n = shift; return sprintf($n < 100 ? '%.2f' : '%.0f', $n) }

# One line of the table; before: the same of an earlier run, or undef.
sub line
{
	my ($r, $before) = @_;
	my $text = sprintf '%-34s %3d %12s %12s %-7s %7.2fx', $r->{work}, $r->{clients}, number($r->{doris}), number($r->{other}), $r->{unit}, $r->{ratio};
	$text .= defined $r->{goal} ? sprintf('  %6.2fx  %-7s', $r->{goal}, $r->{met} ? 'met' : 'NOT MET') : ' ' x 18;
	$text .= sprintf '  %+6.1f %%', 100 * ($r->{doris} / $before->{doris} - 1) if $before && $before->{doris} > 0;
	return $text =~ s/\s+$//r;
}

sub header { my $other = shift; return sprintf '%-34s %3s %12s %12s %-7s %8s  %7s  %s', 'work', 'cl.', 'doris', $other, 'unit', 'ratio', 'goal', '' }

# The results of a file that --json wrote, by work and clients.
sub read_results
{
	my ($self, $file) = @_;
	my $old = eval { JSON::PP->new->decode(DorisCluster::slurp($file)) } or $self->fail("$file is no file that --json wrote");
	return { map { ("$_->{work}/$_->{clients}" => $_) } @{ $old->{results} } };
}

sub write_results
{
	my ($self, $file, %about) = @_;
	open(my $fh, '>', $file) or $self->fail("$file: $!");
	chomp(my $build = (DorisCluster::run(10, $self->{cluster}->program('doris_node'), '--version'))[1]);
	print $fh JSON::PP->new->canonical->pretty->encode({ %about, bench => $self->{name}, build => $build, cores => processors(), results => $self->{results} });
	close($fh) or $self->fail("$file: $!");
}

sub processors { return scalar(() = DorisCluster::slurp('/proc/cpuinfo') =~ /^processor\s*:/mg) || 1 }

# Before DorisCluster's own END.
END
{
	my $status = $?;
	for my $self (@open)
	{
		next if $self->{owner} != $$;
		if ($self->{keep})
		{
			$self->{cluster}{is_down} = 1;
			print "left running: eval \"\$(tools/local-cluster env --dir $self->{cluster}{dir})\"; psql\n",
				"to stop: tools/local-cluster down --dir $self->{cluster}{dir}; ",
				join('; ', (map { "kill -$_->{signal} $_->{pid}" } @{ $self->{servers} }), "rm -rf $self->{base}"), "\n";
			next;
		}
		$self->stop_servers;
	}
	$? = $status;
}

1;
