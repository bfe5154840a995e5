# Admins and their database go away: reads and writes go on; a second admin takes over.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use Test::More;
use Time::HiRes qw(time);

my $cluster = DorisCluster->new;
$cluster->sql("CREATE FOREIGN TABLE admins_t (id int, v text) SERVER doris OPTIONS (key 'id');
	INSERT INTO admins_t SELECT g, 'v' || g FROM generate_series(1, 500) g");
my $open = $cluster->session;
$open->query('SELECT count(*) FROM admins_t');

# the leader is killed: the other takes over within seconds, and the cluster can be changed
my $leader = $cluster->sql('SELECT name FROM doris.leader');
like($leader, qr/^admin[12]$/, "$leader leads");
my $start = time;
$cluster->kill($leader);
is($open->query("UPDATE admins_t SET v = 'x' WHERE id = 1"), 'UPDATE 1', 'writes go on without the leader');
$cluster->wait_for('the other admin leads', 20, sub { $cluster->sql('SELECT name FROM doris.leader') ne $leader });
diag(sprintf 'the other admin led after %.1f s', time - $start);
$cluster->wait_for('a namespace can be created', 20, sub {
	$cluster->sqlstate("CREATE FOREIGN TABLE admins_new (id int, v text) SERVER doris OPTIONS (key 'id')", 40) eq '';
});
$cluster->sql('INSERT INTO admins_new VALUES (1)');
is($cluster->sql('SELECT count(*) FROM admins_new'), 1, 'the new leader creates namespaces');

# the old one comes back, and waits its turn
$cluster->start($leader);
isnt($cluster->sql('SELECT name FROM doris.leader'), $leader, 'the old leader does not take it back');

# a hung leader loses the lead, too, and does no harm when it wakes
my $second = $cluster->sql('SELECT name FROM doris.leader');
$cluster->pause($second);
is($open->query("UPDATE admins_t SET v = 'y' WHERE id = 1"), 'UPDATE 1', 'writes go on with a hung leader');
is($open->query("SELECT v FROM admins_t WHERE id = 1"), 'y', 'reads too');
$cluster->continue($second);

# both killed: new connections too work, by the nodes that hosts names or those remembered
$cluster->kill(qw(admin1 admin2));
is($open->query("INSERT INTO admins_t VALUES (501, 'without admins')"), 'INSERT 0 1', 'both admins down: writes go on');
is($open->query('SELECT count(*) FROM admins_t'), 501, 'both admins down: scans go on');
is($cluster->session->query("UPDATE admins_t SET v = 'z' WHERE id = 2"), 'UPDATE 1', 'both admins down: a new connection works');
is($cluster->session->query("SELECT v FROM admins_t WHERE id = 2"), 'z', 'both admins down: and reads');
$start = time;
like($cluster->sqlstate("SET doris_fdw.statement_deadline = 5000; CREATE FOREIGN TABLE admins_none (id int) SERVER doris OPTIONS (key 'id')"),
	qr/^08|^57014/, 'both admins down: no new namespace, an error');
cmp_ok(time - $start, '<', 15, '... within its deadline');
is($cluster->sql("SELECT count(*) FROM pg_class WHERE relname = 'admins_none'"), 0, '... and no table');
$cluster->start(qw(admin1 admin2));
$cluster->wait_for('a namespace can be created', 30, sub {
	$cluster->sqlstate("CREATE FOREIGN TABLE admins_again (id int) SERVER doris OPTIONS (key 'id')", 40) eq '';
});
pass('both are back: namespaces can be created');

# the database away: dorisctl, which needs no PostgreSQL, reads and writes; the admins serve what they have
is(($cluster->ctl('create', 'admins_plain', 'k', 'v'))[0], 0, 'dorisctl creates a namespace');
is(($cluster->ctl('put', 'admins_plain', 'k1', 'v=one'))[0], 0, 'dorisctl puts');
$cluster->stop('pg');
my ($rc, $out) = $cluster->ctl('put', 'admins_plain', 'k2', 'v=two');
is($rc, 0, 'database down: dorisctl puts') or diag($out);
($rc, $out) = $cluster->ctl('get', 'admins_plain', 'k2');
is($rc, 0, 'database down: dorisctl gets') or diag($out);
like($out, qr/two/, '... what was put');
($rc, $out) = $cluster->ctl('scan', 'admins_plain');
is($rc, 0, 'database down: dorisctl scans') or diag($out);
kill 0, $cluster->pid($_) or fail("$_ died of it") for qw(admin1 admin2);
$cluster->start('pg');
$cluster->wait_for('an admin leads again', 30, sub {
	$cluster->sqlstate("CREATE FOREIGN TABLE admins_last (id int) SERVER doris OPTIONS (key 'id')", 40) eq '';
});
is($cluster->sql('SELECT count(*) FROM admins_t'), 501, 'database back: everything is there');
ok($cluster->digests_equal, 'both groups hold the same');
done_testing();
