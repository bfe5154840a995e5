# The benchmarks beside others run, in a tiny form: every work gives figures for both sides, the results can be compared with, and
# misuse is told.
use strict;
use warnings;
use Test::More;
use DorisCluster;
use JSON::PP;

my $root = $DorisCluster::root;
my $base = File::Temp::tempdir('doris-bench-XXXXXX', TMPDIR => 1, CLEANUP => 1);

sub results { return eval { decode_json(DorisCluster::slurp($_[0])) } // {} }

# ---- bench/fdw ----
my ($rc, $out) = DorisCluster::run(300, "$root/bench/fdw", qw(--rows 3000 --seconds 1 --rounds 1 --clients 8 --json), "$base/fdw.json");
is($rc, 0, 'bench/fdw runs') or diag($out);
my @results = @{ results("$base/fdw.json")->{results} // [] };
my %key = map { $_->{key} => 1 } @results;
is(join(' ', sort keys %key), 'any bigjoin bulk copy count direct filter group insert join pair point range scan sum update', 'all works');
is(join(' ', map { $_->{work} } grep { !($_->{doris} > 0 && $_->{other} > 0) } @results), '', 'both sides have figures');
is(scalar(grep { $_->{other_is} =~ /^echo/ } @results), 2, 'point selects are compared with echoes');
ok((grep { $_->{cpu}{doris}{nodes} > 0 } @results) > 3, 'the nodes took processor time');
like($out, qr/^\d+ of 15 goals are met/m, 'goals are counted');
($rc, $out) = DorisCluster::run(120, "$root/bench/fdw", qw(--rows 3000 --seconds 1 --rounds 1 --only count --against), "$base/fdw.json");
is($rc, 0, 'bench/fdw --against') or diag($out);
like($out, qr/^count\(\*\) .* [-+]\d+\.\d %$/m, 'says how far it is from before');
for my $wrong ([qw(--only nothing)], [qw(--rows 0)], [qw(--clients 3)], ['more'], ['--no-such'])
{
	($rc, $out) = DorisCluster::run(20, "$root/bench/fdw", @$wrong);
	is($rc, 2, "bench/fdw @$wrong is misuse") or diag($out);
}

# ---- bench/kv ----
my $has_redis = grep { -x "$_/redis-server" } split /:/, $ENV{PATH};
my @redis = $has_redis ? () : ('--no-redis');
note('redis-server is not there: doris alone') if !$has_redis;
($rc, $out) = DorisCluster::run(200, "$root/bench/kv", @redis, qw(--rows 1500 --seconds 1 --rounds 1 --threads 4 --json), "$base/kv.json");
is($rc, 0, 'bench/kv runs') or diag($out);
@results = @{ results("$base/kv.json")->{results} // [] };
is(join(' ', map { $_->{key} } @results), 'A B C D E F', 'all mixes');
is(join(' ', map { $_->{key} } grep { !($_->{doris} > 0 && ($_->{other} > 0 || !$has_redis)) } @results), '', 'all have figures');
my %kinds = map { $_->{key} => join(' ', sort keys %{ $_->{latency}{doris} }) } @results;
is_deeply(\%kinds, { A => 'read update', B => 'read update', C => 'read', D => 'insert read', E => 'insert scan', F => 'modify read' }, 'what each mix does');
is(join(' ', grep { !($_->{p50} > 0 && $_->{p50} <= $_->{p99} && $_->{p99} <= $_->{p999}) } map { values %{ $_->{latency}{doris} } } @results), '', 'latencies rise');
for my $wrong ([qw(--mixes G)], [qw(--threads 0)], [qw(--rows 0)], ['more'])
{
	($rc, $out) = DorisCluster::run(20, "$root/bench/kv", @$wrong);
	is($rc, 2, "bench/kv @$wrong is misuse") or diag($out);
}

done_testing();
