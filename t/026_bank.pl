# Transfers between accounts go on while nodes and admins are killed, hung and started again, and backends cancelled and
# terminated, all at random. At the end: no money is made or lost, each transfer told as done is there whole, none told
# as not done is, and both groups hold the same. DORIS_SEED=n replays the choices, DORIS_SECONDS=n for longer.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use POSIX ();
use Test::More;
use Time::HiRes qw(time sleep);

my $seed = $ENV{DORIS_SEED} // int(rand(1 << 31));
my $seconds = $ENV{DORIS_SECONDS} // 30;
diag("DORIS_SEED=$seed DORIS_SECONDS=$seconds");
my $cluster = DorisCluster->new;
srand($seed);

my $accounts = 150;
my $writers = 4;
$cluster->sql("CREATE FOREIGN TABLE bank_a (id int, n int) SERVER doris OPTIONS (key 'id');
	CREATE FOREIGN TABLE bank_l (id int, a int, b int, n int) SERVER doris OPTIONS (key 'id');
	INSERT INTO bank_a SELECT g, 1000 FROM generate_series(1, $accounts) g");

# A writer: one transfer after the other, what came of each into a file.
sub write_transfers
{
	my ($w, $file) = @_;
	srand($seed + $w);
	open(my $log, '>', $file) or POSIX::_exit(1);
	my $s;
	my $until = time + $seconds;
	for (my $i = 0; time < $until; $i++)
	{
		my $id = $w * 1_000_000 + $i;
		my ($a, $b, $n) = (1 + int(rand $accounts), 1 + int(rand $accounts), 1 + int(rand 9));
		next if $a == $b;
		$s = $cluster->session if !$s || $s->{lost};
		# a deadline, so that one hung node does not take all the time there is
		my $out = eval { $s->query("SET doris_fdw.statement_deadline = 4000; BEGIN;
			UPDATE bank_a SET n = n - $n WHERE id = $a; UPDATE bank_a SET n = n + $n WHERE id = $b;
			INSERT INTO bank_l VALUES ($id, $a, $b, $n); COMMIT;", 60) } // 'hang';
		my $state = $out eq 'hang' ? 'hang' : $out =~ /(?:ERROR|FATAL):\s+(\w{5})/ ? $1 : $s->{lost} ? 'lost' : $out =~ /COMMIT$/ ? 'done' : 'odd';
		print $log "$id $state\n";
		undef $s if $state eq 'hang';
		# after an error the COMMIT has rolled back; after a lost connection nobody knows
	}
	close $log;
	POSIX::_exit(0);
}

my $dir = File::Temp::tempdir(CLEANUP => 1);
my @pids;
for my $w (1 .. $writers)
{
	my $pid = fork // die;
	write_transfers($w, "$dir/$w") if $pid == 0;
	push @pids, $pid;
}

# ---- trouble ----
my %did;
my $until = time + $seconds - 5;
while (time < $until)
{
	# backends are quickly hit; commits are where it hurts
	for (1 .. 4)
	{
		sleep(rand(0.3));
		my $how = (qw(cancel terminate))[ rand 2 ];
		$did{$how} += $cluster->sql("SELECT count(pg_${how}_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
			WHERE query ~ 'bank_|COMMIT' AND state = 'active' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1) x");
	}
	my $node = (qw(g1n1 g1n2 g2n1 g2n2))[ rand 4 ];
	my $what = (qw(kill kill stop pause pause admin))[ rand 6 ];
	$did{$what}++;
	if ($what eq 'pause')
	{
		my $pid = $cluster->pid($node);
		kill 'STOP', $pid;
		sleep(rand(3));
		kill 'CONT', $pid;
		next;
	}
	$node = (qw(admin1 admin2))[ rand 2 ] if $what eq 'admin';
	$cluster->verb($what eq 'stop' ? 'stop' : 'kill', $node);
	sleep(rand(1.5));
	$cluster->start($node);
}
waitpid $_, 0 for @pids;
diag(join ', ', map { "$_ $did{$_}" } sort keys %did);
$cluster->wait_healthy;

# ---- what came of it ----
my (%told, %count);
for my $w (1 .. $writers)
{
	for (split /\n/, DorisCluster::slurp("$dir/$w"))
	{
		my ($id, $state) = split / /;
		$told{$id} = $state;
		$count{$state}++;
	}
}
diag(join ', ', map { "$_ $count{$_}" } sort keys %count);
cmp_ok($count{done} // 0, '>', 50, 'transfers were done');
is($count{hang} // 0, 0, 'none hung');
is($count{odd} // 0, 0, 'each came to a plain end');
my $ledger;
$cluster->wait_for('the ledger can be read', 60, sub { defined($ledger = $cluster->sql('SELECT id FROM bank_l')) });
my %there = map { $_ => 1 } split /\n/, $ledger;
my @missing = grep { $told{$_} eq 'done' && !$there{$_} } keys %told;
is("@missing", '', 'each transfer told as done is there');
my @unwanted = map { "$_ ($told{$_})" } grep { $told{$_} !~ /^(done|08007|57P01|lost|hang)$/ } grep { exists $told{$_} } keys %there;
is("@unwanted", '', 'none that was told as not done is there');

is($cluster->sql('SELECT sum(n) FROM bank_a'), $accounts * 1000, 'no money was made or lost');
is($cluster->sql("SELECT count(*) FROM bank_a JOIN (SELECT id, sum(n) AS n FROM (SELECT a AS id, -n AS n FROM bank_l UNION ALL SELECT b, n FROM bank_l) x GROUP BY id) l USING (id)
	WHERE bank_a.n <> 1000 + l.n"), 0, 'each account has what the ledger says: transfers are whole');

# what the dead left is closed by whoever writes the same keys
my $lost = join ',', grep { !$there{$_} } keys %told;
$cluster->wait_for('every row can be written', 90, sub {
	$cluster->sqlstate("UPDATE bank_a SET n = n; INSERT INTO bank_l SELECT unnest('{$lost}'::int[]); UPDATE bank_l SET n = n", 60) eq '';
});
is($cluster->sql('SELECT sum(n) FROM bank_a'), $accounts * 1000, 'and all is as it was');
ok($cluster->digests_equal(30), 'both groups hold the same');
done_testing();
