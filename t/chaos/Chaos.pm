# Chaos: a cluster under load: DorisCluster, a PostgreSQL server in front of it (so that the admins' database can fail
# without the users' sessions), the load (load.c), and, when asked for, a network in the path that can fail (proxy.c).
package Chaos;

use strict;
use warnings;
use DorisCluster;
use File::Basename qw(dirname);
use IO::Select;
use IO::Handle;
use IPC::Open2;
use POSIX ();
use Time::HiRes qw(time sleep);
use Test::More ();

Test::More->builder->no_ending(1);
my @open;

# new(seed, nodes, groups, log_nodes, vnodes, node_opts, admin_opts, writers, readers, pace, row_bytes, network => 0|1, quiet => 0|1)
sub new
{
	my ($class, %o) = @_;
	my $self = bless { %o, windows => [], violations => 0, pid_of_suite => $$ }, $class;

	$self->{bin} = $self->programs;
	$File::Temp::KEEP_ALL = 1 if $o{keep};
	push @open, $self;
	$self->{cluster} = DorisCluster->new(map { $_ => $o{$_} } grep { defined $o{$_} } qw(nodes groups log_nodes admins vnodes node_opts admin_opts));
	$self->{base} = dirname($self->{cluster}{dir});
	my $listed = $self->{cluster}->sql("SELECT name, address, role FROM doris_nodes ORDER BY name");
	for (split /\n/, $listed)
	{
		my ($name, $port, $role) = /^(\w+)\|.*:(\d+)\|(\w+)$/ or die "what is $_";
		$self->{port}{$name} = $port;
		push @{ $self->{ $role eq 'log' ? 'logs' : 'data' } }, $name;
	}
	$self->start_proxy if $o{network};
	$self->start_front;
	$self->start_load;
	return $self;
}

# Where make put load, proxy and shim.so
sub programs
{
	for ($ENV{DORIS_BIN}, $ENV{BUILD}, 'build')
	{
		next if !defined;
		my $dir = m{^/} ? "$_/chaos" : "$DorisCluster::root/$_/chaos";
		return $dir if -x "$dir/load";
	}
	die "chaos: the load is not built; run: make chaos-programs\n";
}

sub stamp
{
	my $t = time;
	my @t = gmtime $t;
	return sprintf '%02d:%02d:%02d.%03d', @t[2, 1, 0], 1000 * ($t - int $t);
}

sub say
{
	my ($self, $text) = @_;
	printf "%s %s\n", stamp(), $text;
	STDOUT->flush;
}

# Whoever sees something that must not be says so here; the exit code counts them.
sub violation
{
	my ($self, $text) = @_;
	$self->{violations}++;
	$self->say("violation $text");
}

# ---- the server in front ----
sub start_front
{
	my $self = shift;
	my $dir = "$self->{base}/front";
	my @as = $> == 0 ? qw(setpriv --reuid=postgres --regid=postgres --init-groups --) : ();
	chomp(my $bin = `@{[ $ENV{PG_CONFIG} || 'pg_config' ]} --bindir`);
	$self->{front_port} = $self->{cluster}{env}{PGPORT} + 39;

	mkdir $dir or die "$dir: $!";
	chown scalar(getpwnam('postgres')), -1, $dir if $> == 0;
	my ($rc, $out) = DorisCluster::run(60, 'env', '-C', $dir, @as, "$bin/initdb", '-D', "$dir/data", qw(-U postgres -A trust --no-sync -E UTF8 --locale=C.UTF-8));
	die "initdb failed: $out" if $rc != 0;
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		chdir $dir;
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>', "$dir/log") or POSIX::_exit(1);
		open(STDERR, '>&', \*STDOUT);
		POSIX::setsid();
		if ($self->{network})
		{
			$ENV{LD_PRELOAD} = "$self->{bin}/shim.so";
			$ENV{DORIS_CHAOS_CONNECT} = join ',', map { "$self->{port}{$_}:" . $self->proxy_port($_) } $self->proxied;
		}
		# nothing of worth is in it
		exec(@as, "$bin/postgres", '-D', "$dir/data", '-c', 'listen_addresses=', '-c', "unix_socket_directories=$dir",
			'-c', "port=$self->{front_port}", '-c', 'fsync=off', '-c', 'max_connections=60') or POSIX::_exit(127);
	}
	$self->{front_pid} = $pid;
	$self->{conninfo} = "host=$dir port=$self->{front_port} user=postgres dbname=postgres";
	$self->{cluster}->wait_for('the server in front', 30, sub { (DorisCluster::run(5, 'psql', '-XAtc', 'SELECT 1', $self->{conninfo}))[0] == 0 });
	my $key = $self->{cluster}{key_file} ? ", key_file '$self->{cluster}{key_file}'" : '';
	$self->front_sql("CREATE EXTENSION doris_fdw; CREATE SERVER doris FOREIGN DATA WRAPPER doris_fdw OPTIONS (hosts '$self->{cluster}{hosts}'$key);
		CREATE USER MAPPING FOR PUBLIC SERVER doris");
}

sub front_sql
{
	my ($self, $sql) = @_;
	my ($rc, $out) = DorisCluster::run(100, 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', $sql, $self->{conninfo});
	die "psql failed: $out" if $rc != 0;
	chomp $out;
	return $out;
}

# ---- the network in the path ----
sub proxied { my $self = shift; return @{ $self->{data} }, @{ $self->{logs} // [] } }
sub proxy_port { my ($self, $name) = @_; return $self->{port}{$name} + 20 }

sub start_proxy
{
	my $self = shift;
	$self->{proxy_pid} = open2(my $out, $self->{proxy}, "$self->{bin}/proxy", map { $self->proxy_port($_) . ":$self->{port}{$_}" } $self->proxied);
	$self->{proxy}->autoflush(1);
}

# network('hole', 'g1n1'), network('delay', 'g1n1', 50), network('pass', 'g1n1')
sub network
{
	my ($self, $how, $name, @more) = @_;
	my @all = $self->proxied;
	my ($i) = grep { $all[$_] eq $name } 0 .. $#all;
	print { $self->{proxy} } "$how $i @more\n";
}

# ---- the load ----
sub start_load
{
	my $self = shift;
	$self->{load_pid} = open2($self->{from}, $self->{to}, "$self->{bin}/load", '--conninfo', $self->{conninfo}, '--seed', $self->{seed},
		map { defined $self->{$_} ? ('--' . ($_ =~ tr/_/-/r), $self->{$_}) : () } qw(writers readers pace row_bytes keys));
	$self->{to}->autoflush(1);
	$self->{buffer} = '';
	$self->expect(qr/ running$/, 100);
}

# One line of the load's, or undef when the time is over.
sub line
{
	my ($self, $until) = @_;
	my $select = IO::Select->new($self->{from});
	while ($self->{buffer} !~ /\n/)
	{
		my $left = $until - time;
		return undef if $left <= 0 || !$select->can_read($left);
		sysread($self->{from}, $self->{buffer}, 65536, length $self->{buffer}) or die "chaos: the load has ended\n";
	}
	$self->{buffer} =~ s/^(.*)\n//;
	my $line = $1;
	$self->{violations}++ if $line =~ / violation /;
	print "$line\n" if $line !~ / window name=/;
	STDOUT->flush;
	return $line;
}

# Lets the load work for so long.
sub wait
{
	my ($self, $seconds) = @_;
	my $until = time + $seconds;
	1 while defined $self->line($until);
}

sub expect
{
	my ($self, $what, $seconds) = @_;
	my $until = time + $seconds;
	while (defined(my $line = $self->line($until)))
	{
		return $line if $line =~ $what;
	}
	die "chaos: the load does not answer within $seconds s\n";
}

sub tell { my ($self, $command) = @_; print { $self->{to} } "$command\n" }

# Ends the present window; its figures as a hash.
sub window
{
	my ($self, $next) = @_;
	$self->tell("window $next");
	my $line = $self->expect(qr/ window name=/, 110);
	my %w = $line =~ /(\w+)=(\S*)/g;
	push @{ $self->{windows} }, \%w;
	return \%w;
}

# ---- the state of the cluster ----

# What is not as it should be, '' when all is well, undef when the admins' database does not answer.
sub ailing
{
	my $self = shift;
	my $s = $self->{watch};
	$s = $self->{watch} = $self->{cluster}->session if !$s || $s->{lost};
	my $out = eval { $s->query("SELECT 'ail:' || coalesce((SELECT string_agg(name || ' ' || state, ', ' ORDER BY name) FROM doris_nodes WHERE role <> 'spare' AND state NOT IN ('ok', 'dead', 'joining', 'leaving', 'spare')), '')
		|| coalesce((SELECT ', ' || count(*) || ' copies incomplete' FROM doris_vnodes WHERE NOT complete HAVING count(*) > 0), '')
		|| CASE WHEN (SELECT seen < now() - interval '5 seconds' FROM doris.leader) THEN ', nobody leads' ELSE '' END", 10) };
	if (!defined $out || $out !~ /^ail:(.*)$/m)
	{
		delete $self->{watch};
		return undef;
	}
	return $1;
}

# Until all nodes are ok and all copies complete; seconds it took. What stays ailing is a violation: it must heal by itself.
sub heal
{
	my ($self, $limit) = @_;
	$limit //= 120;
	my $from = time;
	my $ailing;
	while (!defined($ailing = $self->ailing) || $ailing ne '')
	{
		if (time - $from > $limit)
		{
			$self->violation("stuck after $limit s: " . ($ailing // 'the admin database does not answer'));
			die "chaos: the cluster does not heal\n";
		}
		$self->wait(0.15);
	}
	return time - $from;
}

sub leader { my $self = shift; return $self->{cluster}->sql('SELECT name FROM doris.leader') }

# Rows of 1 kB that the load does not touch, so that moving vnodes takes a while; once.
sub ballast
{
	my ($self, $rows) = @_;
	return if $self->{ballast}++;
	$self->{cluster}->sql("CREATE FOREIGN TABLE ballast (id int, v text) SERVER doris OPTIONS (key 'id', write_mode 'direct');
		INSERT INTO ballast SELECT g, repeat(md5(g::text), 31) FROM generate_series(1, $rows) g", 100);
	$self->{ballast_rows} = $rows;
}

# Files of vnodes at nodes that the map does not give them; '' when there are none. Nodes drop what is left over soon, not at once.
sub orphan_files
{
	my $self = shift;
	my (%of, @orphans);
	for (split /\n/, $self->{cluster}->sql("SELECT n.name || ' ' || c.vnode FROM doris.copies c JOIN doris.nodes n ON n.node_id IN (c.owner, c.incoming, c.retiring)"))
	{
		my ($name, $vnode) = split / /;
		$of{$name}{$vnode} = 1;
	}
	for my $name (split /\n/, $self->{cluster}->sql("SELECT name FROM doris_nodes WHERE role <> 'log' AND state <> 'dead'"))
	{
		my @files = map { /\bv(\d+)\.wt$/ ? $1 + 0 : () } glob "$self->{cluster}{dir}/node/$name/*.wt $self->{cluster}{dir}/node/$name/*/*.wt";
		my @wrong = grep { !$of{$name}{$_} } @files;
		push @orphans, "$name has files of " . @wrong . " vnodes that are not its own: @wrong[0 .. ($#wrong > 9 ? 9 : $#wrong)]" if @wrong;
	}
	return join '; ', @orphans;
}

# The sessions' processes
sub backends
{
	my $self = shift;
	return map { /^\s*(\d+) postgres: postgres postgres / ? $1 : () } `ps -o pid=,args= --ppid $self->{front_pid}`;
}

# A counter of a node or admin
sub counter
{
	my ($self, $name, $counter) = @_;
	my ($rc, $out) = $self->{cluster}->ctl('--deadline', 2000, 'stats', $name);
	return $out =~ /^$counter\s+(\d+)$/m ? $1 : undef;
}

# (failed, all) statements of the load so far
sub statements
{
	my $self = shift;
	my ($failed, $all) = (0, 0);
	for my $w (@{ $self->{windows} })
	{
		$failed += $w->{failed_reads} + $w->{failed_writes};
		$all += $w->{read_n} + $w->{write_n};
	}
	return ($failed, $all);
}

# The whole check at the end; true when nothing is wrong.
sub check
{
	my $self = shift;
	my $last = $self->window('end');
	$self->tell('stop');
	$self->expect(qr/ stopped$/, 150);
	eval { $self->heal; 1 } or $self->say("note $@");
	my $from = time;
	$self->tell("check " . ($self->{groups} // 2));
	$self->expect(qr/ checked violations=/, 900);
	$self->violation('the groups differ (dorisctl digest)') if !$self->{cluster}->digests_equal(60);
	for my $group ($self->{ballast_rows} ? 1 .. $self->{groups} // 2 : ())
	{
		my $rows = $self->{cluster}->sql("SET doris_fdw.read_group = $group; SELECT count(*) FROM ballast");
		$self->violation("group $group has $rows rows of ballast, not $self->{ballast_rows}") if $rows != $self->{ballast_rows};
	}
	my $log = DorisCluster::slurp("$self->{base}/front/log");
	$self->violation("the server in front: $1") if $log =~ /(.*was terminated by signal.*)/;
	$self->look_at_logs;
	$self->say(sprintf 'note checked in %.1f s', time - $from);
	return $self->{violations} == 0;
}

# A process of the cluster may be killed, but not break.
sub look_at_logs
{
	my $self = shift;
	for my $name ($self->proxied, 'admin1', 'admin2')
	{
		my $log = $self->{cluster}->slurp_log($name);
		for my $bad ($log =~ /^(.*(?:[Aa]ssertion|SIGSEGV|Sanitizer|WT_PANIC|panic).*)$/mg)
		{
			$self->violation("log of $name: $bad");
		}
	}
}

sub down
{
	my $self = shift;
	return if $self->{is_down}++;
	for (qw(load_pid proxy_pid front_pid))
	{
		my $pid = $self->{$_} or next;
		kill $_ eq 'front_pid' ? 'INT' : 'TERM', $pid;
		my $until = time + 10;
		while (waitpid($pid, POSIX::WNOHANG()) == 0)
		{
			kill 'KILL', $pid if time > $until;
			sleep 0.02;
		}
	}
}

END
{
	my $status = $?;
	for (@open)
	{
		next if $_->{pid_of_suite} != $$;
		if ($_->{keep})
		{
			print "left running: $_->{cluster}{dir} (tools/local-cluster status --dir $_->{cluster}{dir}), psql \"$_->{conninfo}\"\n";
			kill 'TERM', $_->{load_pid} if $_->{load_pid};
			$_->{cluster}{is_down} = 1;
			next;
		}
		$_->{cluster}->keep_logs if $_->{cluster} && ($status != 0 || $_->{violations});
		$_->down;
	}
	$? = $status;
}

1;
