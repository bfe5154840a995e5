# PostgreSQL backends are killed (SIGKILL) in the middle of commits: afterwards each transaction is there whole or not at
# all, an acknowledged one is there, and both groups hold the same. DORIS_SEED=n replays, DORIS_ROUNDS=n asks for more.
#
# A SIGKILLed backend makes PostgreSQL restart all of them: each round ends like a crash of the whole server.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use Test::More;
use Time::HiRes qw(sleep);

my $seed = $ENV{DORIS_SEED} // int(rand(1 << 31));
my $rounds = $ENV{DORIS_ROUNDS} // 10;
diag("DORIS_SEED=$seed DORIS_ROUNDS=$rounds");
my $cluster = DorisCluster->new;
srand($seed);

my $writers = 3;
my $rows = 20;    # of a transaction, over as many vnodes
$cluster->sql("CREATE FOREIGN TABLE backends_t (id int, txn int, v text) SERVER doris OPTIONS (key 'id');
	CREATE FOREIGN TABLE backends_u (txn int, v text) SERVER doris OPTIONS (key 'txn');
	CREATE FOREIGN TABLE backends_n (round int, id int, n int) SERVER doris OPTIONS (key 'round,id');
	INSERT INTO backends_n SELECT r, g, 0 FROM generate_series(1, $rounds) r, generate_series(1, $rows) g");

my $txn = 0;
my (%acknowledged, %sent);
my @added;    # acknowledged increments of a round's rows of backends_n
for my $round (1 .. $rounds)
{
	my @s = map { $cluster->session } 1 .. $writers + 1;
	my @pids = map { $_->backend } @s;
	my (@now, $victim);
	# one transaction after the other in each session, until one of the backends is killed at a random moment
	for my $i (0 .. $writers - 1)
	{
		my @batch = map { ++$txn } 1 .. 30;
		$sent{$_} = 1 for @batch;
		$s[$i]->send(join "\n", map {
			"BEGIN; INSERT INTO backends_t SELECT $_ * 1000 + g, $_, 'row' FROM generate_series(1, $rows) g; INSERT INTO backends_u VALUES ($_, 'mark'); COMMIT; \\echo done $_"
		} @batch);
	}
	$s[$writers]->send(join "\n", map { "UPDATE backends_n SET n = n + 1 WHERE round = $round;" } 1 .. 60);
	sleep(0.02 + rand(0.4));
	kill 'KILL', $pids[ rand @pids ];
	for my $i (0 .. $writers)
	{
		my $out = $s[$i]->finish(60);
		# psql goes on after an error and would say done: only a COMMIT just before counts
		$acknowledged{$1} = 1 while $out =~ /^COMMIT\ndone (\d+)$/mg;
		next if $i < $writers;
		$added[$round] = () = $out =~ /^UPDATE $rows$/mg;
	}
	$_->close for @s;
	$cluster->wait_for('PostgreSQL is back', 30, sub { $cluster->sql('SELECT 1') });
}
diag(keys(%acknowledged) . ' of ' . keys(%sent) . " transactions acknowledged in $rounds rounds");

# What the dead left staged is settled by whoever meets it; a scan must not need luck for it.
my $state = $cluster->sqlstate('SELECT count(*) FROM backends_t', 90);
is($state, '', 'a scan settles what the dead left') or diag($cluster->{last});
my %found;
for (split /\n/, $cluster->sql("SELECT coalesce(a.txn, b.txn), a.n, b.txn IS NOT NULL
	FROM (SELECT txn, count(*) AS n FROM backends_t GROUP BY txn) a FULL JOIN backends_u b ON a.txn = b.txn"))
{
	my ($id, $n, $mark) = split /\|/;
	$found{$id} = 1;
	fail("transaction $id has $n rows of $rows, mark $mark") if ($n || 0) != $rows || $mark ne 't';
}
ok(keys(%found) > 0, keys(%found) . ' transactions found, each whole');
is(scalar(grep { !$found{$_} } keys %acknowledged), 0, 'every acknowledged transaction is there');
my $total = 0;
for (split /\n/, $cluster->sql('SELECT round, min(n), max(n) FROM backends_n GROUP BY round'))
{
	my ($round, $least, $most) = split /\|/;
	# the last one may have been done without having been told
	fail("round $round: between $least and $most updates are on its rows, $added[$round] were acknowledged")
	  if $least != $most || $least < $added[$round] || $least > $added[$round] + 1;
	$total += $added[$round];
}
cmp_ok($total, '>', 0, "$total updates of $rows rows were done on all or none");

# writers go on over what the dead left: they wait for its expiry and close it; also where nothing came of it
my @lost = grep { !$found{$_} } sort { $a <=> $b } keys %sent;
my $lost = join ',', @lost;
$cluster->wait_for('every row can be written', 90, sub {
	$cluster->sqlstate("UPDATE backends_n SET n = -1; UPDATE backends_t SET v = 'touched'; UPDATE backends_u SET v = 'touched'", 60) eq '';
});
is($cluster->sql("SELECT count(*) FROM backends_t WHERE v <> 'touched'"), 0, 'every row can be written again');
$cluster->wait_for('the keys of lost transactions are free', 90, sub {
	$cluster->sqlstate("INSERT INTO backends_t SELECT t * 1000 + g, t, 'new' FROM unnest('{$lost}'::int[]) t, generate_series(1, $rows) g;
		INSERT INTO backends_u SELECT unnest('{$lost}'::int[]), 'new'", 60) eq '';
});
is($cluster->sql("SELECT count(*) FROM backends_t WHERE v = 'new'"), @lost * $rows, 'the keys of ' . @lost . ' lost transactions are free');
ok($cluster->digests_equal(30), 'both groups hold the same');
done_testing();
