# Growth under load: each group grows from one node to two and shrinks again; no statement fails, nothing acknowledged is lost,
# nothing deleted comes back, both groups end equal, and no vnode moves that need not. DORIS_SEED=n replays the choices.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin, "$FindBin::Bin/chaos";
use Chaos;
use Growth;
use Test::More;

plan skip_all => 'the load is not built: make chaos-programs' if !eval { Chaos->programs };

my $seed = $ENV{DORIS_SEED} // int(rand(1 << 30));
diag("DORIS_SEED=$seed");
srand($seed);
my $chaos = Chaos->new(seed => $seed, groups => 2, nodes => 1, log_nodes => 1, vnodes => 64, writers => 3, readers => 3, pace => 6000, row_bytes => 300);
my $cluster = $chaos->{cluster};
my $growth = Growth->new(cluster => $cluster, pause => sub { $chaos->wait($_[0]) });
my %one = (1 => ['g1n1'], 2 => ['g2n1']);
my %two = map { $_ => [ @{ $one{$_} }, $growth->add_node ] } 1, 2;

$cluster->sql("CREATE FOREIGN TABLE grow_t (id int, v text) SERVER doris OPTIONS (key 'id', write_mode 'direct');
	INSERT INTO grow_t SELECT g, repeat(md5(g::text), 31) FROM generate_series(1, 20000) g");
$chaos->wait(3);
for my $step ([ 'from one node to two', \%two ], [ 'back to one', \%one ])
{
	my ($what, $to) = @$step;
	my $f = eval { $growth->run($to, 60) } or diag($@);
	ok($f, "$what: the plans end");
	is(Growth::wrong($f), '', "$what: $f->{moved} vnodes have moved, as few as can be, the map is even") if $f;
	$chaos->wait(1);
}
is($cluster->sql("SELECT string_agg(state, ' ') FROM doris_nodes WHERE name LIKE 'spare%'"), 'spare spare', 'who gave all away is a spare');

my $good = $chaos->check;
ok($good, 'nothing was lost, doubled, torn, read older or came back');
my ($failed, $statements) = $chaos->statements;
is($failed, 0, "no statement failed of $statements");
cmp_ok($statements, '>', 1000, 'there was a load');
is($growth->differ, '', 'all copies are equal, by doris_verify');
for my $group (1, 2)
{
	is($cluster->sql("SET doris_fdw.read_group = $group; SELECT count(*) FROM grow_t"), 20000, "group $group has every row");
}
$chaos->down;
$cluster->down;
done_testing();
