# A rolling restart under load: every data node restarted in turn, no statement fails, nothing is lost.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use Test::More;

my $cluster = DorisCluster->new;
my $root = "$FindBin::Bin/..";
my $clients = 4;

$cluster->sql("CREATE FOREIGN TABLE roll_t (id bigint, who int, v text) SERVER doris OPTIONS (key 'id')");
$cluster->sql('CREATE SEQUENCE roll_seq CACHE 100');
$cluster->use_psql;
open my $script, '>', "$cluster->{dir}/roll.sql" or die;
print $script "INSERT INTO roll_t VALUES (nextval('roll_seq'), :client_id, 'x') RETURNING id \\gset\n"
	. "UPDATE roll_t SET v = 'y' WHERE id = :id;\nSELECT v FROM roll_t WHERE id = :id;\n";
close $script;

my $log = "$cluster->{dir}/roll.log";
my $pid = fork // die;
if ($pid == 0)
{
	open STDOUT, '>', $log or die;
	open STDERR, '>&', \*STDOUT or die;
	exec 'pgbench', '-n', '-M', 'prepared', '-c', $clients, '-j', 1, '-T', 60, '-f', "$cluster->{dir}/roll.sql";
	die;
}
sleep 2;
# data nodes that hold nothing: one that runs, one that was never started
my ($rc, $out) = $cluster->local('add-node', '--role', 'data');
is($out, "g1n3\n", 'a data node without vnodes') or diag($out);
is($cluster->sql("SELECT doris_add_node('127.0.0.1:9', 'data')"), 'g2n3', 'one that is not there');
($rc, $out) = DorisCluster::run(100, "$root/tools/rolling-restart", '--dir', $cluster->{dir}, '--timeout', 60);
is($rc, 0, 'tools/rolling-restart') or diag($out);
like($out, qr/^g1n3: left out, it is spare and holds nothing\ng2n3: left out, it is joining and holds nothing$/m, 'nodes that hold nothing are left out');
like($out, qr/^4 nodes restarted$/m, '... all four');
kill 'INT', $pid;
waitpid $pid, 0;
my $said = DorisCluster::slurp($log);
unlike($said, qr/ERROR|aborted/, 'no statement failed') or diag($said);
is($cluster->sql("SELECT count(*) FROM roll_t WHERE v NOT IN ('x', 'y')"), '0', 'no row is damaged');
cmp_ok($cluster->sql("SELECT count(*) FROM roll_t WHERE v = 'x'"), '<=', $clients, 'every acknowledged update is there');
cmp_ok($cluster->sql('SELECT count(*) FROM roll_t'), '>', 100, 'there was a load');
ok($cluster->digests_equal, 'both groups hold the same');

($rc, $out) = DorisCluster::run(30, "$root/tools/rolling-restart", '--dir', $cluster->{dir}, 'nobody');
is($rc, 1, 'a node that is not there: exit code 1');
like($out, qr/node nobody is unknown/, '... and it is named');
($rc, $out) = DorisCluster::run(30, "$root/tools/rolling-restart", '--help');
is($rc, 0, '--help');

$cluster->down;
done_testing;
