# Bytes of all kinds on the ports of nodes and admins: noise, truncated and oversized frames, genuine frames tampered
# with, replayed elsewhere or from another cluster. Processes live on, count them, and go on serving.
# DORIS_SEED=n replays.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep);

my $seed = $ENV{DORIS_SEED} // int(rand(1 << 31));
diag("DORIS_SEED=$seed");
my $cluster = DorisCluster->new(nodes => 1, log_nodes => 0);
my $other = DorisCluster->new(nodes => 1, log_nodes => 0, groups => 1, admins => 1);
srand($seed);
$cluster->sql("CREATE FOREIGN TABLE garbage_t (id int, v text) SERVER doris OPTIONS (key 'id');
	INSERT INTO garbage_t SELECT g, 'v' || g FROM generate_series(1, 200) g");
my @admins = map { $cluster->address($_) } qw(admin1 admin2);
my @nodes = map { $cluster->address($_) } qw(g1n1 g2n1);

# ---- the scalability protocols' framing ----
my $hello = pack('a4 n n', "\0SP\0", 0x30, 0);    # we are a REQ
sub frame { my ($payload, $id) = @_; return pack('Q> N', 4 + length $payload, 0x80000000 | ($id // int(rand(1 << 30)))) . $payload }

sub dial
{
	my $address = shift;
	my $s = IO::Socket::INET->new(PeerAddr => $address, Timeout => 5) or return;
	$s->autoflush(1);
	return $s;
}

# Sends raw bytes; what came back within a moment (after the peer's own greeting).
sub raw
{
	my ($address, $bytes, $wait) = @_;
	local $SIG{PIPE} = 'IGNORE';
	my $s = dial($address) or return '';
	syswrite($s, $bytes);
	my $back = '';
	my $select = IO::Select->new($s);
	while ($select->can_read($wait // 0.05))
	{
		sysread($s, $back, 65536, length $back) or last;
	}
	close $s;
	return $back;
}

# Stands between dorisctl and an admin; what dorisctl sent, as frames.
sub capture
{
	my ($admin, @ctl) = @_;
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die;
	my $log = File::Temp->new;
	my $pid = fork // die;
	if ($pid == 0)
	{
		while (my $client = $listen->accept)
		{
			my $server = dial($admin) or next;
			my $select = IO::Select->new($client, $server);
			OPEN: while (my @ready = $select->can_read(10))
			{
				for my $from (@ready)
				{
					sysread($from, my $data, 65536) or last OPEN;
					syswrite($from == $client ? $server : $client, $data);
					syswrite($log, $data) if $from == $client;
				}
			}
			close $_ for $client, $server;
		}
		require POSIX;
		POSIX::_exit(0);
	}
	my $hosts = $cluster->{hosts};
	$cluster->{hosts} = '127.0.0.1:' . $listen->sockport;
	my ($rc, $out) = $cluster->ctl(@ctl);
	$cluster->{hosts} = $hosts;
	kill 'KILL', $pid;
	waitpid $pid, 0;
	my $bytes = DorisCluster::slurp($log->filename);
	$bytes =~ s/^\Q$hello\E// or return;
	my @frames;
	while (length $bytes >= 12)
	{
		my $length = unpack 'Q>', $bytes;
		push @frames, substr $bytes, 12, $length - 4;
		substr($bytes, 0, 8 + $length) = '';
	}
	return @frames;
}

sub counters
{
	my $sum = 0;
	for my $name (qw(g1n1 g2n1))
	{
		my ($rc, $out) = $cluster->ctl('stats', $name);
		$sum += $1 while $out =~ /bad_messages\D+(\d+)/g;
	}
	return $sum;
}

my $before = counters();
my %pid = map { $_ => $cluster->pid($_) } qw(g1n1 g2n1 admin1 admin2);
my @targets = (@nodes, @admins);
cmp_ok(scalar(@targets), '>=', 3, 'targets: ' . join(' ', @targets));
sub noise { return join '', map { chr int rand 256 } 1 .. shift }

# 1. noise, with and without the greeting, with a plausible frame around it
for my $to (@targets)
{
	raw($to, noise(1 + int rand 500), 0.01) for 1 .. 20;
	raw($to, $hello . noise(1 + int rand 500), 0.01) for 1 .. 20;
	raw($to, $hello . join('', map { frame(noise(int rand 300)) } 1 .. 50), 0.02);
	raw($to, $hello . frame('DRIS' . noise(int rand 200)), 0.01) for 1 .. 20;
	raw($to, $hello . frame(''), 0.01);
}
# 2. lengths that lie
for my $to (@targets)
{
	raw($to, $hello . pack('Q>', $_) . 'x' x 100, 0.02)
	  for 0, 1, 3, 1 << 20, (48 << 20) + 1, 1 << 32, 1 << 62, ~0;
}
# 3. connections that stay open and say nothing, or stop in the middle
my @idle = map { my $s = dial($_); syswrite($s, $hello) if rand() < 0.5; $s } map { (@targets) } 1 .. 20;
syswrite($_, pack('Q>', 5000) . 'half') for grep { defined && rand() < 0.5 } @idle;

# 4. genuine frames, changed in one place, cut short, repeated
my @frames = capture($admins[0], 'nodes');
cmp_ok(scalar(@frames), '>', 0, scalar(@frames) . ' genuine frames captured');
for my $frame (@frames)
{
	for my $to (@targets)
	{
		for (1 .. 60)
		{
			my $bad = $frame;
			substr($bad, int(rand(length $bad)), 1) = chr int rand 256;
			raw($to, $hello . frame($bad), 0.005);
		}
		raw($to, $hello . frame(substr $frame, 0, $_), 0.005) for map { int rand length $frame } 1 .. 20;
		raw($to, $hello . frame($frame . noise(10)), 0.005);
		raw($to, $hello . frame($frame) x 20, 0.05);
	}
}
# a tampered clock is not authentic: no answer that says OK (a reply is sealed; an error may be told, rows never)
my $old = $frames[0];
substr($old, 32, 8) = pack 'Q<', (time - 3600) * 1000;
my $back = raw($admins[0], $hello . frame($old), 0.5);
cmp_ok(length($back), '<', 2000, 'a frame stamped an hour ago brings no topology');

# 5. another cluster's genuine frames
is_deeply([ $cluster->sqlstate('SELECT 1') ], [''], 'PostgreSQL lives');
my ($h, $k) = @{$cluster}{qw(hosts key_file)};
$cluster->{hosts} = $other->{hosts};
my ($rc, $out) = $cluster->ctl('nodes');
isnt($rc, 0, "another cluster refuses our key");
like($out, qr/key|denied|cluster|refused/i, '... and it is said') or diag($out);
$cluster->{hosts} = $h;

# ---- all alive, all counted, all served ----
close $_ for grep { defined } @idle;
for (sort keys %pid)
{
	ok(kill(0, $pid{$_}) && $cluster->pid($_) == $pid{$_}, "$_ lives");
}
is($cluster->sql("SELECT count(*) FROM garbage_t"), 200, 'reads go on');
is($cluster->sqlstate("UPDATE garbage_t SET v = 'after'"), '', 'writes go on');
is($cluster->sqlstate("CREATE FOREIGN TABLE garbage_new (id int) SERVER doris OPTIONS (key 'id')"), '', 'the admins go on');
my $after = counters();
cmp_ok($after, '>=', $before + 100, "bad messages are counted: $before -> $after");
is($cluster->sql("SELECT count(*) FROM doris_nodes WHERE state <> 'ok'"), 0, 'no node was called failed for it');
ok($cluster->digests_equal, 'both groups hold the same');
done_testing();
