# What the documents say holds: their SQL runs, their links lead somewhere, the options they name are those that
# --help names, the make targets exist.
use strict;
use warnings;
use Test::More;
use DorisCluster;

my $root = $DorisCluster::root;
my $build = $ENV{BUILD} // "$root/build";
$build = "$root/$build" if $build !~ m{^/};
my @documents = map { (my $d = $_) =~ s{^\Q$root\E/}{}; $d } ('README.md', glob("$root/docs/*.md $root/docs/decisions/*.md"));

# ---- SQL: all ```sql blocks of a document in one psql, in order ----
my $cluster = DorisCluster->new;
for my $document (@documents)
{
	my @blocks = DorisCluster::slurp("$root/$document") =~ /^```sql\n(.*?)^```$/msg;
	next if !@blocks;
	my $script = "$cluster->{dir}.docs.sql";
	open(my $fh, '>', $script) or die "$script: $!";
	print $fh "\\echo == block $_\n$blocks[$_ - 1]\n" for 1 .. @blocks;
	close $fh;
	my ($rc, $out) = DorisCluster::run(120, 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-f', $script);
	is($rc, 0, "$document: its SQL runs (" . @blocks . ' blocks)') or diag($out);
}
$cluster->down;

# ---- links ----
for my $document (@documents)
{
	(my $folder = "$root/$document") =~ s{/[^/]*$}{};
	my @dead;
	for my $link (DorisCluster::slurp("$root/$document") =~ /\]\(([^)]+)\)/g)
	{
		next if $link =~ m{^[a-z]+://|^#};
		(my $file = $link) =~ s/#.*//;
		push @dead, $link if !-e "$folder/$file";
	}
	is("@dead", '', "$document: links lead somewhere");
}

# ---- options: a section "### `program`" of operations.md against the program's own --help ----
my %program = (
	doris_node => "$build/doris_node",
	doris_admin => "$build/doris_admin",
	dorisctl => "$build/dorisctl",
	'tools/local-cluster' => "$root/tools/local-cluster",
	'bench/fdw' => "$root/bench/fdw",
	'bench/kv' => "$root/bench/kv",
);
my $operations = DorisCluster::slurp("$root/docs/operations.md");
my $tested = 0;
while ($operations =~ /^### `([^`]+)`\n(.*?)(?=^##|\z)/msg)
{
	my ($name, $section) = ($1, $2);
	my $path = $program{$name} or next;
	my ($rc, $help) = DorisCluster::run(20, $path, '--help');
	is($rc, 0, "$name --help works");
	# verbs that have options of their own
	$help .= (DorisCluster::run(20, $path, $_, '--help'))[1] for $name eq 'dorisctl' ? qw(scan plan bench) : ();
	my %in_help = map { $_ => 1 } $help =~ /(?<![\w-])(--[a-z][a-z-]*)/g;
	my %in_section = map { $_ => 1 } $section =~ /(?<![\w-])(--[a-z][a-z-]*)/g;
	delete @$_{ '--help', '--version' } for \%in_help, \%in_section;
	is(join(' ', grep { !$in_help{$_} } sort keys %in_section), '', "$name --help names every documented option");
	is(join(' ', grep { !$in_section{$_} } sort keys %in_help), '', "operations.md names every option of $name");
	$tested++;
}
is($tested, scalar keys %program, 'all programs are documented');

# ---- make targets ----
my %target = map { $_ => 1 } DorisCluster::slurp("$root/Makefile") =~ /^([a-z-]+):/mg;
for my $document (@documents)
{
	my %named = map { $_ => 1 } DorisCluster::slurp("$root/$document") =~ /(?:^|`)make ([a-z-]+)/mg;
	is(join(' ', grep { !$target{$_} } sort keys %named), '', "$document: make targets exist");
}

done_testing();
