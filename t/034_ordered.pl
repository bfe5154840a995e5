# A node is killed, hangs or is taken out in the middle of scans in key order, in both directions: they go on from the last key
# given, without a row lost or doubled or out of its place, the transaction's own rows among them.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use Test::More;

my $rows = 6000;
my $cluster = DorisCluster->new;
# small pages, so that most of the scan is still to be asked for when something happens
$cluster->sql("CREATE FOREIGN TABLE ordered_t (id int, v text) SERVER doris OPTIONS (key 'id', fetch_size '50');
	CREATE FOREIGN TABLE ordered_c (tenant int, seq int, v text) SERVER doris OPTIONS (key 'tenant,seq', distribute_by 'tenant', fetch_size '50');
	INSERT INTO ordered_t SELECT g, 'v' || g FROM generate_series(1, $rows) g;
	INSERT INTO ordered_c SELECT 7, g, 'v' || g FROM generate_series(1, $rows) g");
my $session = $cluster->session;

# What the scans are to give, in the order of their keys: own writes are even keys, changed or gone, and keys beyond both ends.
my %own = map { $_ => $_ % 4 == 0 ? undef : 'changed' } grep { $_ % 500 == 0 || $_ % 502 == 0 } 1 .. $rows;
@own{ -1, 0, $rows + 1, $rows + 2 } = ('new') x 4;
my %all = ((map { $_ => "v$_" } 1 .. $rows), %own);
my @rising = map { "$_|$all{$_}" } grep { defined $all{$_} } sort { $a <=> $b } keys %all;
my $write = join ';', map {
	my ($table, $key) = @$_;
	map {
		my $where = $key ? "tenant = $key AND seq = $_" : "id = $_";
		my $column = $key ? "$key, $_" : $_;
		!defined $own{$_} ? "DELETE FROM $table WHERE $where"
			: $own{$_} eq 'new' ? "INSERT INTO $table VALUES ($column, 'new')" : "UPDATE $table SET v = 'changed' WHERE $where"
	} sort keys %own
} [ 'ordered_t', '' ], [ 'ordered_c', 7 ];

# Begins four scans at once, reads some of each, lets something happen, and reads the rest.
sub scans
{
	my ($what, $break, $mend, $after) = @_;
	my %scan = (
		'rising' => 'SELECT id, v FROM ordered_t ORDER BY id',
		'falling' => 'SELECT id, v FROM ordered_t ORDER BY id DESC',
		'rising, one vnode' => 'SELECT seq, v FROM ordered_c WHERE tenant = 7 ORDER BY seq',
		'falling, one vnode' => 'SELECT seq, v FROM ordered_c WHERE tenant = 7 ORDER BY seq DESC');
	my %got;
	my $fetch = sub {
		my ($name, $n) = @_;
		(my $cursor = $name) =~ s/\W+/_/g;
		push @{ $got{$name} }, grep { /\|/ } split /\n/, $session->query("FETCH $n FROM $cursor", 60);
	};

	$session->query('BEGIN');
	$session->query("$_") for split /;/, $write;
	for my $name (sort keys %scan)
	{
		(my $cursor = $name) =~ s/\W+/_/g;
		like($session->query("EXPLAIN $scan{$name}"), qr/Order: (id|seq)( DESC)?/, "$what: $name: the nodes' order is used") ;
		$session->query("DECLARE $cursor CURSOR FOR $scan{$name}");
		$fetch->($name, 777);
	}
	$break->();
	$fetch->($_, 1000) for sort keys %scan;
	$mend->() if $mend;
	$fetch->($_, 'ALL') for sort keys %scan;
	$session->query('ROLLBACK');
	for my $name (sort keys %scan)
	{
		my @wanted = $name =~ /rising/ ? @rising : reverse @rising;
		my $first = 0;
		$first++ while $first < @wanted && $first < @{ $got{$name} } && $wanted[$first] eq $got{$name}[$first];
		is(scalar @{ $got{$name} }, scalar @wanted, "$what: $name: every row once");
		is($first, scalar @wanted, "$what: $name: each in its place")
			or diag("row $first is " . ($got{$name}[$first] // 'missing') . ', not ' . ($wanted[$first] // 'the end'));
	}
	$after->() if $after;
	$cluster->wait_healthy;
}

scans('nothing happens', sub { });
for my $node (qw(g1n1 g2n2))
{
	scans("$node killed", sub { $cluster->kill($node) }, sub { $cluster->start($node) });
}
# the owner of the one vnode, whoever that is
my $lead = $cluster->sql("SELECT owner FROM doris_route('ordered_c', '7') ORDER BY (group_id - 1 - vnode) % 2 LIMIT 1");
scans("$lead killed, gone until the end", sub { $cluster->kill($lead) }, undef, sub { $cluster->start($lead) });
scans("$lead hangs", sub { $cluster->pause($lead) }, sub { $cluster->continue($lead) });
# the map changes: nodes answer that they do not own the vnodes any more
scans('taken out and back', sub { $cluster->sql("SELECT doris_failover('g1n2')") }, sub { $cluster->sql("SELECT doris_recover('g1n2')") });

# both owners of some vnodes: an error, never an end before the last row
$cluster->sql("DELETE FROM ordered_t WHERE id > 2000");
$session->query('BEGIN');
$session->query("SET LOCAL doris_fdw.statement_deadline = 3000");
$session->query('DECLARE broken CURSOR FOR SELECT id, v FROM ordered_t ORDER BY id');
$session->query('FETCH 300 FROM broken');
$cluster->kill('g1n1', 'g2n1');
like($session->query('FETCH ALL FROM broken', 60), qr/ERROR/, 'both owners down: an ordered scan is an error');
$session->query('ROLLBACK');
$cluster->start('g1n1', 'g2n1');
$cluster->wait_healthy;
is(scalar(grep { /\|/ } split /\n/, $session->query('SELECT id, v FROM ordered_t ORDER BY id DESC')), 2000, 'both are back: every row');
done_testing();
