# The admin database is put back to an older state: the nodes know a newer map. The next leader goes on above it; one that
# went on below it, because it heard from no node, stops with an alarm and nothing is mixed up.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use Test::More;

my $cluster = DorisCluster->new(admins => 2, vnodes => 16);
my $pg = "$cluster->{dir}/pg";
my @nodes = qw(g1n1 g1n2 g2n1 g2n2 log1);

sub shell { my ($rc, $out) = DorisCluster::run(60, 'sh', '-c', $_[0]); die "$_[0]: $out" if $rc }
sub control_down { $cluster->stop('admin1', 'admin2', 'pg') }
sub control_up { $cluster->start('pg', 'admin1', 'admin2') }
sub put_back { shell("rm -rf $pg.lost && mv $pg $pg.lost && cp -a $pg.old $pg && rm -f $pg/postmaster.pid") }

sub ctl_ok
{
	my ($what, @ctl) = @_;
	my ($rc, $out) = $cluster->ctl(@ctl);
	is($rc, 0, $what) or diag($out);
	return $out;
}
sub epoch { $cluster->sql('SELECT max(epoch) FROM doris.topologies') }
sub stat_of
{
	my ($name, $counter) = @_;
	my ($rc, $out) = $cluster->ctl('stats', $cluster->address($name));
	return $out =~ /^$counter\s+(\d+)/m ? $1 : -1;
}

ctl_ok('a namespace before', 'create', 'before', 'k', 'v');
control_down();
shell("cp -a $pg $pg.old");
control_up();
$cluster->wait_for('a namespace can be created', 30, sub { ($cluster->ctl('create', 'after1', 'k', 'v'))[0] == 0 });
ctl_ok('another namespace after', 'create', 'after2', 'k', 'v');
ctl_ok('a row in it', 'put', 'after2', 'k1', 'v=one');
my $epoch = epoch();

# ---- put back under running nodes ----
control_down();
put_back();
control_up();
$cluster->wait_for('the nodes\' map is taken back', 30, sub { epoch() >= $epoch });
is($cluster->sql("SELECT count(*) > 0 FROM doris_events WHERE kind = 'topology_recovered'"), 't', 'an event tells of it');
ctl_ok('the cluster can be changed', 'create', 'after3', 'k', 'v');
cmp_ok(epoch(), '>', $epoch, 'in an epoch above all that any node knows');
like(ctl_ok('what was created in the lost part is there', 'get', 'after2', 'k1'), qr/one/, '... with its row');
is($cluster->sql("SELECT string_agg(name, ' ' ORDER BY name) FROM doris_namespaces"), 'after1 after2 after3 before', 'the views show it');
is($cluster->sql("SELECT count(*) FROM doris_events WHERE kind = 'alarm'"), 0, 'no alarm');
is($cluster->sql("SELECT count(*) FROM doris_vnodes WHERE NOT complete"), 0, 'all copies are complete');

# ---- put back while no node can be asked: the new leader's history is another one ----
$epoch = epoch();
$cluster->pause(@nodes);
control_down();
put_back();
control_up();
$cluster->wait_for('the new leader makes maps of its own', 30, sub { $cluster->sql("SELECT count(*) > 0 FROM doris_events WHERE kind = 'node_failed'") eq 't' });
$cluster->continue(@nodes);
$cluster->wait_for('an alarm', 30, sub { $cluster->sql("SELECT count(*) > 0 FROM doris_events WHERE kind = 'alarm'") eq 't' });
my ($leader) = $cluster->sql('SELECT name FROM doris.leader');
is(stat_of($leader, 'halted'), 1, 'the leader has halted');
my ($rc, $out) = $cluster->ctl('--deadline', '2000', 'create', 'mixed', 'k', 'v');
isnt($rc, 0, 'nothing is changed any more');
like($out, qr/two different|could not be changed/, '... and it says why');
like(ctl_ok('rows can be read by the nodes\' map', '--hosts', $cluster->address('g1n1'), 'get', 'after2', 'k1'), qr/one/, '... as they were');

# ---- as the manual says ----
$cluster->stop('admin1', 'admin2');
$cluster->sql('DELETE FROM doris.topologies WHERE term = (SELECT max(term) FROM doris.topologies)');
$cluster->start('admin1', 'admin2');
$cluster->wait_for('the nodes\' map is taken back', 30, sub { epoch() >= $epoch });
$cluster->wait_for('the cluster can be changed', 30, sub { ($cluster->ctl('create', 'after4', 'k', 'v'))[0] == 0 });
is($cluster->sql("SELECT string_agg(name, ' ' ORDER BY name) FROM doris_namespaces"), 'after1 after2 after3 after4 before', 'everything is there');
like(ctl_ok('rows can be read', 'get', 'after2', 'k1'), qr/one/, '... as they were');
ctl_ok('and written', 'put', 'after4', 'k1', 'v=two');
done_testing();
