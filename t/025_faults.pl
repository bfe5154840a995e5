# A client is killed at each named step of a commit (build/fault, made by `make faults`): its rows are there all or
# none, what was once read as committed stays, the next writer gets through, and both groups end equal.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use POSIX ();
use Test::More;
use Time::HiRes ();

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
	for my $n (1, 2, 6, 12)
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

# A client that is not dead, only slow: it sleeps at a step past its deadline while another writes the same keys, and
# wakes up to find its transaction closed. What the other was told as done stays; the sleeper does not undo it.
my %sleeper;
for my $point (sort keys %points)
{
	for my $n (1, 6, 12)
	{
		$case++;
		my @keys = map { "$case.$_" } 1 .. $n;
		$cluster->ctl('put', 'faults', split / /, join ' -- ', map { "$_ v=old" } @keys);
		my $out = File::Temp->new;
		my $pid = fork // die;
		if ($pid == 0)
		{
			$ENV{DORIS_FAULT} = "$point=sleep:5000";
			open(STDOUT, '>&', $out);
			open(STDERR, '>&', $out);
			exec($faulty, @secret, '--deadline', 2000, 'put', 'faults', split / /, join ' -- ', map { "$_ v=sleeper" } @keys) or POSIX::_exit(127);
		}
		$sleeper{$case} = { pid => $pid, keys => \@keys, what => "asleep at $point, $n keys", out => $out };
	}
}
Time::HiRes::sleep(1.5);    # all are at their step
for (map { $sleeper{$_} } sort { $a <=> $b } keys %sleeper)
{
	my @keys = @{ $_->{keys} };
	my ($rc) = $cluster->ctl('--deadline', 20000, 'put', 'faults', split / /, join ' -- ', map { "$_ v=other" } @keys);
	is($rc, 0, "$_->{what}: another writer gets through");
	$_->{before} = values_of(0, @keys);
}
for (map { $sleeper{$_} } sort { $a <=> $b } keys %sleeper)
{
	waitpid $_->{pid}, 0;
	my ($rc, $said) = ($? >> 8, DorisCluster::slurp($_->{out}->filename));
	chomp $said;
	is($_->{before}, join(' ', ('other') x @{ $_->{keys} }), "$_->{what}: what the other wrote is read");
	for my $group (1, 2)
	{
		is(values_of($group, @{ $_->{keys} }), $_->{before}, "$_->{what}: and stays in group $group (the sleeper said: $rc $said)");
	}
}
ok($cluster->digests_equal(30), 'both groups hold the same');
done_testing();
