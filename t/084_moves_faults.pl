# Plans that move vnodes, when something fails: one that does not get on says so (--plan-stall), one whose new node is gone waits
# and goes on, or is cancelled without a trace; and the short form of `tools/chaos --faults grow,step`: under load, something
# strikes while vnodes move, the leading admin dies at a named step of a plan. DORIS_SEED=n replays the choices.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin, "$FindBin::Bin/chaos";
use Chaos;
use DorisCluster;
use Steps;
use Test::More;

plan skip_all => 'the load is not built: make chaos-programs' if !eval { Chaos->programs };
plan skip_all => 'no programs with fault points in ' . Steps::programs() . ': make faults' if !Steps::built();

# ---- the watchdog, and a new node that is gone ----
my $cluster = DorisCluster->new(nodes => 1, vnodes => 64, log_nodes => 1, admin_opts => '--plan-stall 2');
my $home = "$cluster->{dir}/node";

sub plan_is { return $cluster->sql("SELECT state || coalesce(': ' || error, '') FROM doris_plans ORDER BY plan_id DESC LIMIT 1") }
sub stalled { return $cluster->sql("SELECT coalesce(max(detail), '') FROM doris_events WHERE kind = 'plan_stalled' AND detail LIKE 'plan $_[0]:%'") }
sub files { my ($name) = @_; return scalar map { /\bv\d+\.wt$/ ? 1 : () } glob "$home/$name/*.wt $home/$name/*/*.wt" }

$cluster->sql("CREATE FOREIGN TABLE stall_t (id int, v text) SERVER doris OPTIONS (key 'id', write_mode 'direct');
	INSERT INTO stall_t SELECT g, repeat(md5(g::text), 31) FROM generate_series(1, 4000) g");
my ($rc, $out) = $cluster->local('add-node');
is($out, "spare1\n", 'a spare') or diag($out);
$cluster->stop('spare1');
(bless { cluster => $cluster }, 'Steps')->start_armed('spare1', 'recover_passed', 'sleep:5000');
my $id = $cluster->wait_for('a plan', 20, sub { $cluster->sql("SELECT doris_expand(1, '{spare1}', wait => false)") });
ok($cluster->wait_for('the watchdog', 20, sub { stalled($id) }), 'a plan in which nothing moves for --plan-stall is told');
is(stalled($id), "plan $id: nothing has moved for 2 s: the new nodes do not get ready", '... and why, as far as that is known');
$cluster->wait_for('the plan goes on', 40, sub { plan_is() eq 'done' });
pass('it goes on when it can');
is($cluster->sql("SELECT vnodes FROM doris_nodes WHERE name = 'spare1'"), 32, '... to its end');

$cluster->sql("SELECT doris_set('move_rate', '1')");
$id = $cluster->sql("SELECT doris_shrink('{spare1}', wait => false)");
$cluster->wait_for('vnodes are under way', 10, sub { $cluster->sql("SELECT count(*) FROM doris_vnodes WHERE incoming = 'g1n1'") > 0 });
$cluster->kill('g1n1');
$cluster->wait_for('the plan waits', 20, sub { plan_is() =~ /^waiting/ });
is(plan_is(), 'waiting: node "g1n1" is down', 'a plan whose target is down waits, and says for what');
ok($cluster->wait_for('the watchdog', 20, sub { stalled($id) }), '... the watchdog, too');
is(stalled($id), "plan $id: nothing has moved for 2 s: node \"g1n1\" is down", '... and it knows why');
is($cluster->sqlstate("SELECT doris_cancel($id)"), '', 'it can be cancelled');
is(plan_is(), 'cancelled', '... and is');
$cluster->start('g1n1');
$cluster->wait_healthy;
my $owned = $cluster->sql("SELECT vnodes FROM doris_nodes WHERE name = 'g1n1'");
$cluster->wait_for('no file is left over', 30, sub { files('g1n1') == $owned });
is(files('g1n1') . '/' . files('spare1') . '/' . files('g2n1'), "$owned/" . (64 - $owned) . '/64', 'each node has the files of its own vnodes and no others');
ok($cluster->digests_equal, 'both groups hold the same');
is($cluster->sql('SELECT count(*) FROM stall_t'), 4000, '... and every row is there');
$cluster->down;

# ---- under load ----
my $seed = $ENV{DORIS_SEED} // int(rand(1 << 30));
diag("DORIS_SEED=$seed");
($rc, $out) = DorisCluster::run(280, "$DorisCluster::root/tools/chaos", '--seed', $seed, '--cycles', $ENV{DORIS_CYCLES} // 3, '--faults', 'grow,step',
	'--strikes', 'dest_kill,dest_wipe,dest_step,dest_lost,source_flip,cancel', '--step-names', join ',', grep { Steps::class_of($_) eq 'move' } Steps::names());
my @told = grep { / (?:violation|failed|note|fault|grow:|reached:) / } split /\n/, $out;
my ($violations, $failed, $between) = $out =~ /^figure faults \d+, violations (\d+), failed without reason (\d+), failed between faults (\d+)/m;
is($violations, 0, 'nothing was lost, doubled or came back; plans ended by themselves, moved no more than they must, and left no files');
is(($failed // 9) + ($between // 9), 0, 'no statement failed');
is($rc, 0, 'the suite is content') or diag(join "\n", @told, $out =~ /\n\n(.*)/s);
done_testing();
