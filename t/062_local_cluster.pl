# tools/local-cluster down and up again: a node that is registered and was never started does not keep the cluster down,
# nor does a dead one.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use Test::More;

my $cluster = DorisCluster->new(nodes => 1, admins => 1, vnodes => 8);

sub up_again
{
	my ($what) = @_;
	my ($rc, $out) = $cluster->local('down');
	is($rc, 0, "$what: down") or diag($out);
	($rc, $out) = $cluster->local('up');
	is($rc, 0, "$what: up") or diag($out);
	is($cluster->sql('SELECT count(*) FROM local_t'), 100, "$what: every row is there");
	return $out;
}

$cluster->sql("CREATE FOREIGN TABLE local_t (id int) SERVER doris OPTIONS (key 'id'); INSERT INTO local_t SELECT generate_series(1, 100)");
unlike(up_again('as it was'), qr/warning/, '... without a warning');

my ($rc, $out) = $cluster->local('add-node');
is($out, "spare1\n", 'a spare') or diag($out);
$cluster->sql("SET client_min_messages = warning; SELECT doris_replace('g1n1', 'spare1')");
is($cluster->sql("SELECT state FROM doris_nodes WHERE name = 'g1n1'"), 'dead', 'a node is dead');
unlike(up_again('with a dead node'), qr/warning/, '... without a warning');
like(($cluster->local('status'))[1], qr/^g1n1 +- +down/m, '... which is not started');

my $name = $cluster->sql("SELECT doris_add_node('127.0.0.1:9')");
like(up_again('a mistyped node'), qr/warning: .*not waited for: $name \(joining\)$/m, '... with a warning that names it');
$cluster->sql("SELECT doris_remove_node('$name')");
unlike(up_again('when it was removed'), qr/warning/, '... without a warning');
$cluster->down;
done_testing;
