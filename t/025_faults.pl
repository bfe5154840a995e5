# A client is killed at each named step of a commit (build/fault, made by `make faults`): its rows are there all or
# none, what was once read as committed stays, the next writer gets through, and both groups end equal.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use Test::More;

my $faulty = "$DorisCluster::root/build/fault/dorisctl";
plan skip_all => "$faulty is not there: make faults" if !-x $faulty;
my %points;
for (glob "$DorisCluster::root/client/*.c")
{
	my $text = DorisCluster::slurp($_);
	$points{$1} = 1 while $text =~ /FAULT_POINT\("(client-[^"]+)"\)/g;
}
cmp_ok(scalar(keys %points), '>', 0, 'steps: ' . join(' ', sort keys %points));

my $cluster = DorisCluster->new;
my @secret = ('--hosts', $cluster->{hosts}, '--key-file', $cluster->{key_file});
is(($cluster->ctl(qw(create faults k v)))[0], 0, 'a namespace');
$cluster->sql("CREATE FOREIGN TABLE faults (k text, v text) SERVER doris OPTIONS (key 'k')");

# The values of keys, in order; - for none. As each group has them.
sub values_of
{
	my ($group, @keys) = @_;
	my $list = join ',', map { "'$_'" } @keys;
	return $cluster->sql("SET doris_fdw.read_group = $group; SELECT string_agg(coalesce(v, '-'), ' ' ORDER BY i)
		FROM unnest(ARRAY[$list]) WITH ORDINALITY u(x, i) LEFT JOIN faults ON k = x");
}

my $case = 0;
my $hit = 0;
for my $point (sort keys %points)
{
	for my $n (1, 2, 6)
	{
		for my $before ('-', 'old')
		{
			$case++;
			my @keys = map { "$case.$_" } 1 .. $n;
			my $what = "killed at $point, $n keys, before: $before";
			$cluster->ctl('put', 'faults', split / /, join ' -- ', map { "$_ v=old" } @keys) if $before eq 'old';
			local $ENV{DORIS_FAULT} = "$point=kill";
			my ($rc) = DorisCluster::run(20, $faulty, @secret, '--deadline', 2000, 'put', 'faults', split / /, join ' -- ', map { "$_ v=new" } @keys);
			delete $ENV{DORIS_FAULT};
			# a step that this case does not come to is no failure of it
			next if $rc == 0;
			$hit++;
			my $none = join ' ', ($before) x $n;
			my $all = join ' ', ('new') x $n;
			my $seen = values_of(0, @keys);
			ok($seen eq $none || $seen eq $all, "$what: all or none") or diag($seen);
			is(values_of($_, @keys), $seen, "$what: group $_ says the same") for 1, 2;
			my ($got, $out);
			$cluster->wait_for('the next writer gets through', 60, sub {
				($got, $out) = $cluster->ctl('--deadline', 10000, 'put', 'faults', split / /, join ' -- ', map { "$_ v=next" } @keys);
				$got == 0;
			});
			is(values_of(0, @keys), join(' ', ('next') x $n), "$what: the next writer got through");
		}
	}
}
cmp_ok($hit, '>', 6, "$hit cases were killed");
ok($cluster->digests_equal, 'both groups hold the same');
done_testing();
