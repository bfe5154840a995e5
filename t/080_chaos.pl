# The short form of the fault suite (tools/chaos, make chaos): processes are killed and stopped under load, two owners of
# a vnode together, the leading admin; no statement fails, nothing acknowledged is lost, doubled or read older, nothing
# deleted comes back, both groups end equal. DORIS_SEED=n replays the choices, DORIS_SECONDS=n for longer.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use Test::More;

my ($load) = grep { -x $_ } map { m{^/} ? "$_/chaos/load" : "$DorisCluster::root/$_/chaos/load" } grep { defined } $ENV{DORIS_BIN}, $ENV{BUILD}, 'build';
plan skip_all => 'the load is not built: make chaos-programs' if !$load;

my $seed = $ENV{DORIS_SEED} // int(rand(1 << 30));
my $seconds = $ENV{DORIS_SECONDS} // 45;
diag("DORIS_SEED=$seed DORIS_SECONDS=$seconds");
my ($rc, $out) = DorisCluster::run($seconds + 400, "$DorisCluster::root/tools/chaos", '--seed', $seed, '--seconds', $seconds, '--faults', 'short', '--hang', 6);
my %figure = $out =~ /^figure faults (?=(\d))/m ? $out =~ /(faults|violations|without reason|between faults|max) ([\d.]+)/g : ();
my @told = grep { / (?:violation|failed|note|fault) | failed: / } split /\n/, $out;

cmp_ok($figure{faults} // 0, '>=', 4, 'each kind of fault was there');
is($figure{violations}, 0, 'nothing was lost, doubled, torn, read older or came back; it healed by itself');
is($figure{'without reason'}, 0, 'no statement failed because of a fault');
is($figure{'between faults'}, 0, 'none between them');
cmp_ok($figure{max} // 1000, '<', 20, 'longest stall: ' . ($figure{max} // '?') . ' s');
is($rc, 0, 'the suite is content') or diag(join "\n", @told > 120 ? @told[-120 .. -1] : @told, $out =~ /\n\n(.*)/s);
done_testing();
