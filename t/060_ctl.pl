#!/usr/bin/perl
# dorisctl: its verbs, help and exit codes; and what a transaction leaves behind: nothing.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use DorisCluster;

my $cluster = DorisCluster->new;

# Runs dorisctl; checks the exit code; returns what it printed.
sub ctl
{
	my ($code, @args) = @_;
	my ($rc, $out) = $cluster->ctl(@args);
	is($rc, $code, "dorisctl @args: exit code $code") or diag($out);
	return $out;
}

my $help = ctl(0, '--help');
for my $verb (qw(get put del scan create drop status nodes stats digest plan bench))
{
	like($help, qr/^\s+$verb\s/m, "--help names $verb");
	like(ctl(0, $verb, '--help'), qr/^Usage: dorisctl \[OPTIONS\] $verb/m, "$verb --help says how it is used");
}
ctl(2, 'frobnicate');
ctl(2, 'get', 'ctl_kv');
ctl(2, '--deadline', 'soon', 'nodes');
ctl(3, 'get', 'ctl_none', 'x');

ctl(0, 'create', 'ctl_kv', 'k', 'v', 'w');
ctl(0, 'put', 'ctl_kv', 'a', 'v=one', 'w=two words');
like(ctl(0, 'get', 'ctl_kv', 'a'), qr/^a\tv=one\tw=two words$/m, 'a row comes back');
ctl(3, 'get', 'ctl_kv', 'b');
ctl(2, 'put', 'ctl_kv', 'a', 'x=1');
ctl(0, 'put', 'ctl_kv', 'a', 'v=1', '--', 'b', 'v=2', '--', 'c', 'v=3', '--', 'd', '--', 'e', 'v=5');
is(ctl(0, 'scan', 'ctl_kv', '--count'), "5\n", 'five rows of one transaction');
is(() = ctl(0, 'scan', 'ctl_kv', '--limit', '2') =~ /\n/g, 2, 'scan --limit');
like(ctl(0, '--hex', 'get', 'ctl_kv', '610001'), qr/^610001\tv=31$/m, 'bytes as they are stored');

# SQL and dorisctl see the same
$cluster->sql(q(CREATE FOREIGN TABLE ctl_kv (k text, v text, w text) SERVER doris OPTIONS (key 'k')));
is($cluster->sql(q(SELECT v FROM ctl_kv WHERE k = 'b')), '2', 'SQL reads what dorisctl wrote');
$cluster->sql(q(INSERT INTO ctl_kv SELECT 'many' || i, i FROM generate_series(1, 500) i));
is(ctl(0, 'scan', 'ctl_kv', '--count'), "505\n", 'dorisctl counts what SQL wrote');

ctl(0, 'put', 'ctl_kv', '', 'v=empty key', '--', 'ключ', 'v=значение');
like(ctl(0, 'get', 'ctl_kv', 'ключ', ''), qr/^ключ\tv=значение\n\tv=empty key$/m, 'hard keys');
ctl(0, 'del', 'ctl_kv', 'ключ', '');
ctl(0, 'create', 'ctl_kv', 'k', 'v', 'w');
ctl(1, 'create', 'ctl_kv', 'k', 'other');

# any one process will do to find the others
for my $name (qw(g1n1 g2n2 log1 admin2))
{
	local $cluster->{hosts} = $cluster->address($name);
	like(ctl(0, 'get', 'ctl_kv', 'b'), qr/v=2/, "--hosts with $name alone");
}
{
	local $cluster->{hosts} = '127.0.0.1:1';
	like(ctl(1, '--deadline', '1000', 'nodes'), qr/127\.0\.0\.1:1\b/, 'no cluster there: the address is named');
}

ctl(0, 'del', 'ctl_kv', 'a', 'b', 'absent');
ctl(3, 'del', 'ctl_kv', 'a');
like(ctl(0, 'status'), qr/^epoch .*^admins +(\d+), answering \1, leading 1$/ms, 'status');
like(ctl(0, 'nodes'), qr/^g1n1\s+tcp:\S+\s+data\s+1\s+up/m, 'nodes');
like(ctl(0, 'stats', 'g1n1'), qr/^requests_stage\s+[1-9]/m, 'stats of a node');
ctl(3, 'stats', 'nobody');
like(ctl(0, 'digest', 'ctl_kv'), qr/different 0, unsettled 0, unknown 0 vnodes; 503 rows/, 'digest');
like(ctl(0, 'bench', '--seconds', '1', '--clients', '2'), qr/operations in 1 s/, 'bench');

# Every transaction above has been finished, its decision row too, though the clients are gone (rule finish).
$cluster->wait_for('nothing staged', 20, sub {
	my @staged = map { /^staged\s+(\d+)/m } map { ($cluster->ctl('stats', $_))[1] } qw(g1n1 g1n2 g2n1 g2n2);
	@staged == 4 && !grep { $_ > 0 } @staged;
});
pass('no node holds a staged write');

$cluster->kill('g1n1');
$cluster->wait_for('the verdict', 20, sub { ($cluster->ctl('status'))[0] == 1 });
like((($cluster->ctl('digest'))[1]), qr/unknown [1-9]/, 'a copy that cannot be asked is unknown, not equal');
ctl(1, 'digest');
like(ctl(0, 'get', 'ctl_kv', 'c'), qr/v=3/, 'reads go on');
$cluster->start('g1n1');
$cluster->wait_for('the node is up again', 30, sub { ($cluster->ctl('status'))[0] == 0 });
ctl(0, 'drop', 'ctl_kv');

# Who has no key, or another one, gets no answer: the hint has to say why
{
	(my $other = DorisCluster::slurp($cluster->{key_file})) =~ s/^(cluster\s*=\s*)\w+/$1 . 'ab' x 32/me or die;
	open(my $fh, '>', "$cluster->{dir}/other.key") or die;
	print {$fh} $other;
	close $fh;
	chmod 0600, "$cluster->{dir}/other.key";
	local $cluster->{key_file} = "$cluster->{dir}/other.key";
	like(ctl(1, '--deadline', '1000', 'status'), qr/does not answer: check the key_file option/, 'another key: the hint names it');
}

$cluster->kill($_) for qw(admin1 admin2);
like(ctl(1, 'status'), qr/^admins +2, answering 0, leading 0$/m, 'without admins not all is well');
$cluster->down;
done_testing();
