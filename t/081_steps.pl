# The short form of `tools/chaos --faults step`: a data node that recovers, a log node that replays, the leading admin at a
# verdict and at a replacement, and a client each die by themselves at a named step under load (programs of `make faults`);
# everything heals, nothing acknowledged is lost. DORIS_SEED=n replays the choices, DORIS_STEPS=n for more of them.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin, "$FindBin::Bin/chaos";
use DorisCluster;
use Steps;
use Test::More;

my ($load) = grep { -x $_ } map { m{^/} ? "$_/chaos/load" : "$DorisCluster::root/$_/chaos/load" } grep { defined } $ENV{DORIS_BIN}, $ENV{BUILD}, 'build';
plan skip_all => 'the load is not built: make chaos-programs' if !$load;
plan skip_all => 'no programs with fault points in ' . Steps::programs() . ': make faults' if !Steps::built();

my @nobody = grep { !defined Steps::class_of($_) } Steps::names();
is("@nobody", '', 'the suite knows how to come to every step in the sources');

my $seed = $ENV{DORIS_SEED} // int(rand(1 << 30));
my $steps = $ENV{DORIS_STEPS} // 5;
diag("DORIS_SEED=$seed DORIS_STEPS=$steps");
my ($rc, $out) = DorisCluster::run(300 + 20 * $steps, "$DorisCluster::root/tools/chaos", '--seed', $seed, '--faults', 'step', '--steps', $steps,
	'--step-names', join ',', grep { Steps::class_of($_) =~ /^(recover|replay|verdict|plan|client)$/ } Steps::names());
my @told = grep { / (?:violation|failed|note|fault|reached:) / } split /\n/, $out;
my ($tried, $reached) = $out =~ /^figure steps \d+, tried (\d+), reached (\d+)$/m;
my ($violations, $failed, $between) = $out =~ /^figure faults \d+, violations (\d+), failed without reason (\d+), failed between faults (\d+)/m;

is($tried, $steps, 'so many steps were tried');
is($reached, $steps, '... and each was reached: the process died of it');
is($violations, 0, 'nothing was lost, doubled, torn, read older or came back; it healed by itself');
# A recovering copy can still name a rival that is settled a moment later: 40001, surely not done, to be tried again. Rare.
my %code = map { $_ => 1 } $out =~ /[(,]([0-9A-Z]{5}):\d+/g;
ok(($failed // 9) + ($between // 9) <= 1 && !grep({ $_ ne '40001' } keys %code), 'no statement failed, but for one that is told to try again');
diag(join "\n", @told > 120 ? @told[-120 .. -1] : @told, $out =~ /\n\n(.*)/s) if !Test::More->builder->is_passing;
is($rc, 0, 'the suite is content') if !$failed && !$between;
done_testing();
