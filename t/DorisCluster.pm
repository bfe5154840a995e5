# DorisCluster: a private cluster of real processes for one test, made by tools/local-cluster in a
# temporary directory and taken down with it; and Session, a psql kept open behind pipes.
#
# Every wait has a deadline; when it passes, the test dies with what it waited for.
package DorisCluster;

use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp ();
use Time::HiRes qw(time sleep);
use Test::More ();

our $root = abs_path(dirname(__FILE__) . '/..');
our $tool = "$root/tools/local-cluster";
my @open;    # clusters to take down at the end
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

# new(nodes => 2, groups => 2, log_nodes => 1, admins => 2, vnodes => 64, no_key => 0, node_opts => "", admin_opts => "",
# sync => "commit", cache => 128)
sub new
{
	my ($class, %o) = @_;
	my $self = bless {
		dir => File::Temp::tempdir('doris-test-XXXXXX', TMPDIR => 1, CLEANUP => 1),
		pid_of_test => $$,
	}, $class;

	chmod 0755, $self->{dir};
	$self->{dir} .= '/cluster';
	chomp(my $port = `perl $root/tools/free-port 40`);
	my @up = ('--port', $port, '--vnodes', $o{vnodes} // 64);
	for my $k (qw(nodes groups log_nodes admins cache node_opts admin_opts sync))
	{
		(my $option = $k) =~ tr/_/-/;
		push @up, "--$option", $o{$k} if defined $o{$k};
	}
	push @up, '--no-key' if $o{no_key};
	push @open, $self;
	my ($rc, $out) = $self->local('up', @up);
	die "local-cluster up failed ($rc):\n$out" if $rc != 0;
	$self->{env} = { map { /^export (PG\w+)=['"]?(.*?)['"]?;?$/ ? ($1 => $2) : () } split /\n/, ($self->local('env'))[1] };
	my $server = $self->sql("SELECT array_to_string(srvoptions, ' ') FROM pg_foreign_server WHERE srvname = 'doris'");
	($self->{hosts}) = $server =~ /hosts=(\S+)/;
	($self->{key_file}) = $server =~ /key_file=(\S+)/;
	return $self;
}

# Runs a command with a deadline; (exit code, stdout and stderr together). 124: the deadline passed.
sub run
{
	my ($seconds, @command) = @_;
	my $pid = open(my $fh, '-|') // die "fork: $!";
	if ($pid == 0)
	{
		open(STDERR, '>&', \*STDOUT);
		open(STDIN, '<', '/dev/null');
		exec('timeout', '-k', '5', $seconds, @command) or exit 127;
	}
	local $/;
	my $out = <$fh> // '';
	close $fh;
	return ($? & 127 ? 128 + ($? & 127) : $? >> 8, $out);
}

# tools/local-cluster VERB ... on this cluster
sub local
{
	my ($self, $verb, @args) = @_;
	my $log = "$self->{dir}.out";    # not a pipe: the processes it starts may keep its output open
	my ($rc) = run(180, 'sh', '-c', 'log=$1; shift; exec "$@" >"$log" 2>&1', 'sh', $log, $tool, $verb,
		'--dir', $self->{dir}, @args);
	return ($rc, slurp($log));
}

sub slurp
{
	open(my $fh, '<', shift) or return '';
	local $/;
	return <$fh> // '';
}

sub verb
{
	my ($self, $verb, $name) = @_;
	my ($rc, $out) = $self->local($verb, $name);
	die "local-cluster $verb $name failed ($rc):\n$out" if $rc != 0;
}
sub kill     { my $self = shift; $self->verb('kill',     $_) for @_ }
sub stop     { my $self = shift; $self->verb('stop',     $_) for @_ }
sub start    { my $self = shift; $self->verb('start',    $_) for @_ }
sub pause    { my $self = shift; $self->verb('pause',    $_) for @_ }
sub continue { my $self = shift; $self->verb('continue', $_) for @_ }

# psql speaks to this cluster (when there are several).
sub use_psql
{
	my $self = shift;
	$ENV{$_} = $self->{env}{$_} for keys %{ $self->{env} };
}

# One statement or script in a psql of its own; its output. Dies on an error.
sub sql
{
	my ($self, $sql, $seconds) = @_;
	$self->use_psql;
	my ($rc, $out) = run($seconds // 60, 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', $sql);
	die "psql failed ($rc) for: $sql\n$out" if $rc != 0;
	chomp $out;
	return $out;
}

# The same, but tells instead of dying: the SQLSTATE, '' when it worked, 'hang' when the deadline passed.
sub sqlstate
{
	my ($self, $sql, $seconds) = @_;
	$self->use_psql;
	my ($rc, $out) = run($seconds // 60, 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose', '-c', $sql);
	$self->{last} = $out;
	return $rc == 0 ? '' : $rc == 124 ? 'hang' : $out =~ /(?:ERROR|FATAL|PANIC):\s+(\w{5}):/ ? $1 : "rc $rc: $out";
}

sub session { my ($self, @o) = @_; $self->use_psql; return DorisCluster::Session->new(@o) }

# One of the programs that local-cluster runs
sub program
{
	my ($self, $name) = @_;
	return slurp("$self->{dir}/config") =~ /^bindir=(.*)$/m ? "$1/$name" : die "no bindir in $self->{dir}/config";
}

# dorisctl ARGS on this cluster; (exit code, output)
sub ctl
{
	my ($self, @args) = @_;
	my @key = defined $self->{key_file} ? ('--key-file', $self->{key_file}) : ();
	return run(60, $self->program('dorisctl'), '--hosts', $self->{hosts}, @key, @args);
}

sub address { my ($self, $name) = @_; return (split /\n/, slurp("$self->{dir}/proc/$name"))[0] }

sub free_port { chomp(my $port = `perl $root/tools/free-port 1`); return $port }

sub slurp_log { my ($self, $name) = @_; return slurp("$self->{dir}/log/$name.log") }

# The process number of pg, admin1, g1n1, ...
sub pid
{
	my ($self, $name) = @_;
	return slurp("$self->{dir}/run/$name.pid") =~ /^(\d+)/ ? $1 : die "no process $name";
}

sub rss_kb
{
	my ($self, $pid) = @_;
	return slurp("/proc/$pid/status") =~ /VmRSS:\s+(\d+)/ ? $1 : 0;
}

sub wait_for
{
	my ($self, $what, $seconds, $code) = @_;
	my $start = time;
	my $found;
	while (!($found = eval { $code->() }))
	{
		die "waited $seconds s in vain for: $what" . ($@ ? " ($@)" : '') . "\n" if time - $start > $seconds;
		sleep 0.05;
	}
	return $found;
}

# Until the admins call every data node ok and SQL can write to all vnodes again.
sub wait_healthy
{
	my $self = shift;
	$self->wait_for('all nodes ok', 30, sub {
		$self->sql("SELECT count(*) FROM doris_nodes WHERE role = 'data' AND state <> 'ok'") eq '0';
	});
}

# Do all groups hold the same? Waits, because a commit's FINISH messages arrive after its acknowledgement.
sub digests_equal
{
	my ($self, $seconds) = @_;
	my $out = '';
	my $equal = eval {
		$self->wait_for('equal digests', $seconds // 20, sub {
			(my $rc, $out) = $self->ctl('digest');
			$rc == 0;
		});
	};
	Test::More::diag($out) if !$equal;
	return $equal ? 1 : 0;
}

sub down
{
	my $self = shift;
	return if $self->{is_down}++;
	my ($rc, $out) = $self->local('down', '--purge');
	Test::More::diag("local-cluster down failed ($rc): $out") if $rc != 0;
}

# The logs of a test that failed are kept in build/tap-logs.
sub keep_logs
{
	my $self = shift;
	my ($name) = $0 =~ m{([^/]+?)(\.pl)?$};
	my $to = "$root/build/tap-logs/$name";
	system('sh', '-c', 'rm -rf "$2" && mkdir -p "$2" && cp -r "$1/log/." "$2"', 'sh', $self->{dir}, $to);
	Test::More::diag("the logs are in build/tap-logs/$name");
}

END
{
	my $status = $?;
	my $failed = $status != 0 || !Test::More->builder->is_passing;
	for (@open)
	{
		next if $_->{pid_of_test} != $$;
		$_->keep_logs if $failed;
		$_->down;
	}
	$? = $status;
}

package DorisCluster::Session;

use strict;
use warnings;
use IPC::Open3 ();
use IO::Select;
use Time::HiRes qw(time);

# new(verbosity => 'sqlstate'): errors come back as "ERROR:  23505"
sub new
{
	my ($class, %o) = @_;
	local $SIG{PIPE} = 'IGNORE';
	my $self = bless { buffer => '', count => 0 }, $class;
	$self->{pid} = IPC::Open3::open3($self->{in}, $self->{out}, undef, 'psql', '-XAt', '-v',
		'VERBOSITY=' . ($o{verbosity} // 'sqlstate'));
	$self->{in}->autoflush(1);
	return $self;
}

# Sends; finish() collects. False when psql is gone.
sub send
{
	my ($self, $sql) = @_;
	local $SIG{PIPE} = 'IGNORE';
	$sql .= ';' unless $sql =~ /;\s*$/ || $sql =~ /^\\/;
	$self->{mark} = '=== ' . ++$self->{count} . ' ===';
	return print { $self->{in} } "$sql\n\\echo '$self->{mark}'\n";
}

# What came since send(). Dies when the deadline passes; a lost connection ends the wait.
sub finish
{
	my ($self, $seconds) = @_;
	my $until = time + ($seconds // 60);
	my $select = IO::Select->new($self->{out});
	my $at;
	while (($at = index $self->{buffer}, "$self->{mark}\n") < 0)
	{
		die "no answer in " . ($seconds // 60) . " s\n" if !$select->can_read($until - time);
		if (!sysread($self->{out}, $self->{buffer}, 65536, length $self->{buffer}))
		{
			$self->{lost} = 1;
			my $rest = $self->{buffer};
			$self->{buffer} = '';
			chomp $rest;
			return $rest;
		}
	}
	my $out = substr $self->{buffer}, 0, $at;
	substr($self->{buffer}, 0, $at + 1 + length $self->{mark}) = '';
	chomp $out;
	return $out;
}

sub query { my ($self, $sql, $seconds) = @_; $self->send($sql); return $self->finish($seconds) }
sub backend { my $self = shift; return $self->{backend} //= $self->query('SELECT pg_backend_pid()') }

# The SQLSTATE in an answer, or ''
sub state_of { return $_[-1] =~ /(?:ERROR|FATAL):\s+(\w{5})/ ? $1 : '' }

sub close
{
	my $self = shift;
	return if $self->{closed}++;
	close $self->{in};
	close $self->{out};
	waitpid $self->{pid}, 0;
}

sub DESTROY { local ($?, $!, $@); $_[0]->close }

1;
