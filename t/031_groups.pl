# Groups under load: a cluster of two gets a third, whose nodes are killed meanwhile; gives it up, and the second, and gets that
# again. The leading admin dies in the middle of each plan. No statement fails, nothing acknowledged is lost, nothing deleted comes
# back, the groups are equal, and each is the first to be read for its part of the vnodes. DORIS_SEED=n replays the choices.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin, "$FindBin::Bin/chaos";
use Chaos;
use Growth;
use Test::More;
use Time::HiRes qw(time);

plan skip_all => 'the load is not built: make chaos-programs' if !eval { Chaos->programs };

my $seed = $ENV{DORIS_SEED} // int(rand(1 << 30));
diag("DORIS_SEED=$seed");
srand($seed);
my $chaos = Chaos->new(seed => $seed, groups => 2, nodes => 1, log_nodes => 1, vnodes => 66, writers => 3, readers => 3, pace => 5000, row_bytes => 200);
my $cluster = $chaos->{cluster};
my $growth = Growth->new(cluster => $cluster, pause => sub { $chaos->wait($_[0]) });
my @spares = map { $growth->add_node } 1, 2;
my $rows = 20000;

sub sql { return $cluster->sql($_[0]) }
sub rate { sql("SELECT doris_set('move_rate', '$_[0]')"); $chaos->wait(1.2); return }
sub until_true
{
	my ($what, $seconds, $is) = @_;
	my $from = time;
	until ($is->())
	{
		return fail("$what: not within $seconds s") if time - $from > $seconds;
		$chaos->wait(0.1);
	}
	return pass($what);
}
# The leader is killed, and comes back as a standby.
sub kill_leader
{
	my $leader = $chaos->leader;
	$cluster->kill($leader);
	$chaos->wait(0.3);
	$cluster->start($leader);
	return;
}
sub plan_ends
{
	my ($plan, $what) = @_;
	my $state = sub { sql("SELECT state || coalesce(', ' || error, '') FROM doris_plans WHERE plan_id = $plan") };
	until_true("$what: plan $plan ends", 40, sub { $state->() eq 'done' }) or diag($state->());
	return;
}
sub well
{
	my ($what, $groups, %owns) = @_;
	is(sql("SELECT count(*), count(DISTINCT group_id), bool_and(complete), count(incoming), (SELECT groups FROM doris.cluster) FROM doris_vnodes"),
		66 * $groups . "|$groups|t|0|$groups", "$what: $groups complete copies of every vnode");
	is(sql("SELECT string_agg(format('%s %s %s', name, state, vnodes), ', ' ORDER BY name) FROM doris_nodes WHERE role <> 'log'"),
		join(', ', map { "$_ $owns{$_}" } sort keys %owns), "$what: the nodes");
	is($growth->differ, '', "$what: all copies are equal, by doris_verify");
	is(sql("SET doris_fdw.read_group = $_; SELECT count(*), count(DISTINCT id) FROM groups_t"), "$rows|$rows", "$what: group $_ has every row") for 1 .. $groups;
	return;
}
# Rows read by key at each node
sub reads_of { my %n = map { $_ => $chaos->counter($_, 'rows_read') } @_; return \%n }

sql("CREATE FOREIGN TABLE groups_t (id int, v text) SERVER doris OPTIONS (key 'id', write_mode 'direct');
	INSERT INTO groups_t SELECT g, repeat(md5(g::text), 16) FROM generate_series(1, $rows) g");
$chaos->wait(2);

# ---- shown first, and refused ----
my $list = "'{" . join(',', @spares) . "}'";
is(sql("SELECT group_id, source, target, vnodes, minimum, disk_needed > bytes, disk_free > disk_needed FROM doris_plan_add_group($list) ORDER BY target"),
	"3||$spares[0]|33|66|t|t\n3||$spares[1]|33|66|t|t", 'doris_plan_add_group: a third copy, half of it at each node');
is(sql('SELECT group_id, source, target, vnodes, disk_needed, disk_free FROM doris_plan_drop_group(2)'), '2|g2n1||66|0|', 'doris_plan_drop_group');
is($cluster->sqlstate('SELECT doris_drop_group(1)'), '55000', 'only the last group can be dropped');
is($cluster->sqlstate('SELECT doris_drop_group(3)'), '22023', 'there is no third one yet');
is($cluster->sqlstate("SELECT doris_add_group('{g1n1}')"), '55000', 'a node is in one group only');
is($cluster->sqlstate("SELECT doris_add_group('{log1}')"), '55000', 'a log node is in none');

# ---- two to three, with a node and the leader killed ----
rate(2);
my $plan = sql("SELECT doris_add_group($list, wait => false)");
my $done = "SELECT vnodes_done FROM doris_plans WHERE plan_id = $plan";
is(sql("SELECT doris_add_group($list, wait => false)"), $plan, 'asked for once more: the same plan');
is($cluster->sqlstate('SELECT doris_drop_group(3)'), '55000', 'no other plan beside it');
is(sql("SELECT state FROM doris_nodes WHERE name = '$spares[0]'"), 'joining', 'its nodes are joining');
until_true('some of the copies are there', 30, sub { sql($done) > 0 });
cmp_ok(sql($done), '<', 66, '... and some are not');
$cluster->kill($spares[1]);
kill_leader();
$chaos->wait(3);
is(sql("SELECT state FROM doris_nodes WHERE name = '$spares[1]'"), 'failed', 'one of its nodes has failed meanwhile');
$cluster->start($spares[1]);
rate(0);
plan_ends($plan, 'three groups');
until_true('... and everything heals', 20, sub { ($chaos->ailing // '?') eq '' });
well('three groups', 3, g1n1 => 'ok 66', g2n1 => 'ok 66', map { $_ => 'ok 33' } @spares);
is(sql("SELECT string_agg(n::text, ' ') FROM (SELECT count(*) AS n FROM doris_vnodes WHERE complete AND group_id = 1 + vnode % 3 GROUP BY group_id) x"), '22 22 22',
	'each group is the first to be read for a third of the vnodes');
my $before = reads_of('g1n1', 'g2n1', @spares);
sql('DO $$ DECLARE w text; BEGIN FOR i IN 1 .. 3000 LOOP SELECT v INTO w FROM groups_t WHERE id = i; END LOOP; END $$');
my $after = reads_of('g1n1', 'g2n1', @spares);
my %got = map { $_ => $after->{$_} - $before->{$_} } keys %$after;
my $third = $got{ $spares[0] } + $got{ $spares[1] };
my $all = $got{g1n1} + $got{g2n1} + $third;
for ([ 'the first', $got{g1n1} ], [ 'the second', $got{g2n1} ], [ 'the third', $third ])
{
	cmp_ok($_->[1], '>', $all / 4, "... and $_->[0] is read: $_->[1] of $all rows");
}

# ---- back to two, to one, and two again ----
for my $step ([ 3, 'the third one is dropped', 2, g1n1 => 'ok 66', g2n1 => 'ok 66', map { $_ => 'spare 0' } @spares ],
	[ 2, 'the second one is dropped', 1, g1n1 => 'ok 66', g2n1 => 'spare 0', map { $_ => 'spare 0' } @spares ])
{
	my ($group, $what, $left, @owns) = @$step;
	$plan = sql("SELECT doris_drop_group($group, wait => false)");
	kill_leader();
	plan_ends($plan, $what);
	well($what, $left, @owns);
}
is($cluster->sqlstate('SELECT doris_drop_group(1)'), '55000', 'the only group cannot be dropped');
is(sql('SET doris_fdw.read_group = 3; SELECT count(*) FROM groups_t'), $rows, 'doris_fdw.read_group may name a group that is gone');
rate(4);
my ($rc, $out) = $cluster->ctl('plan', 'add-group', 'g2n1', $spares[0], '--no-wait');
like($out, qr/^plan \d+$/m, 'dorisctl plan add-group') or diag($out);
($plan) = $out =~ /^plan (\d+)$/m;
until_true('some of the second group is there', 30, sub { sql("SELECT vnodes_done FROM doris_plans WHERE plan_id = $plan") > 0 });
kill_leader();
rate(0);
plan_ends($plan, 'two groups again');
well('two groups again', 2, g1n1 => 'ok 66', g2n1 => 'ok 33', $spares[0] => 'ok 33', $spares[1] => 'spare 0');

# ---- groups of different size, and weights ----
sql("SELECT doris_set_weight('$spares[1]', 200)");
is(sql("SET client_min_messages = warning; SELECT doris_expand(1, '{$spares[1]}') IS NOT NULL"), 't', 'a node of twice the weight joins the first group');
sql('SELECT doris_set_weight($$g2n1$$, 50)');
is(sql("SET client_min_messages = warning; SELECT doris_rebalance(2) IS NOT NULL"), 't', 'the second one is balanced by other weights');
well('groups of different size', 2, g1n1 => 'ok 22', $spares[1] => 'ok 44', g2n1 => 'ok 22', $spares[0] => 'ok 44');

my $good = $chaos->check;
ok($good, 'nothing was lost, doubled, torn, read older or came back');
my ($failed, $statements) = $chaos->statements;
is($failed, 0, "no statement failed of $statements");
cmp_ok($statements, '>', 1000, 'there was a load');
$chaos->down;
$cluster->down;
done_testing();
