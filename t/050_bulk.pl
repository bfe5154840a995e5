# A million rows of 100 bytes load and count correctly, within bounds of memory. DORIS_ROWS=n for another number.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DorisCluster;
use Test::More;
use Time::HiRes qw(time sleep);

my $rows = $ENV{DORIS_ROWS} // 1_000_000;
my $cache_mb = 128;    # of each node, as local-cluster starts them
my $cluster = DorisCluster->new;
$cluster->sql("CREATE FOREIGN TABLE bulk_t (id int, v text) SERVER doris OPTIONS (key 'id');
	CREATE FOREIGN TABLE bulk_d (id int, v text) SERVER doris OPTIONS (key 'id', write_mode 'direct')");
my @nodes = qw(g1n1 g1n2 g2n1 g2n2);
my (%peak, $backend_peak);
my $half = int($rows / 2);

# Runs a statement and watches the memory of the nodes and of the backend: what it has beyond shared memory.
sub watched
{
	my ($what, $sql) = @_;
	my $s = $cluster->session;
	my $backend = $s->backend;
	$backend_peak = 0;
	my $start = time;
	$s->send($sql);
	my $out;
	while (!defined($out))
	{
		for (@nodes)
		{
			my $rss = $cluster->rss_kb($cluster->pid($_));
			$peak{$_} = $rss if $rss > ($peak{$_} // 0);
		}
		my $own = DorisCluster::slurp("/proc/$backend/status") =~ /RssAnon:\s+(\d+)/ ? $1 : 0;
		$backend_peak = $own if $own > $backend_peak;
		$out = eval { $s->finish(0.2) };
		die "$what took too long" if time - $start > 600;
	}
	my $took = time - $start;
	diag(sprintf "%s: %.2f s, %.0f rows/s, backend %.0f MiB", $what, $took, $half / $took, $backend_peak / 1024);
	return $out;
}

# The sanitizers' own memory is no measure of anything.
sub within { my ($used, $limit, $what) = @_; return $ENV{SANITIZE} ? pass("$what (not looked at: sanitizers)") : cmp_ok($used, '<=', $limit, $what) }

my $buffer_mb = $cluster->sql("LOAD 'doris_fdw'; SELECT pg_size_bytes(current_setting('doris_fdw.write_buffer')) >> 20");
is(watched('insert in a transaction', "INSERT INTO bulk_t SELECT g, repeat(chr(97 + g % 26), 88) || lpad(g::text, 12, '0') FROM generate_series(1, $half) g"),
	"INSERT 0 $half", "$half rows inserted in one transaction");
within($backend_peak / 1024, 64 + $buffer_mb, "the backend stayed within 64 MiB + write buffer ($buffer_mb MiB)");
my $rest = $rows - $half;
is(watched('insert directly', "INSERT INTO bulk_d SELECT g, repeat(chr(97 + g % 26), 88) || lpad(g::text, 12, '0') FROM generate_series(1, $rest) g"),
	"INSERT 0 $rest", "$rest rows inserted directly");
within($backend_peak / 1024, 64 + $buffer_mb, 'the backend stayed within bounds');
is(watched('count', 'SELECT count(*) FROM bulk_t'), $half, 'count is right');
is(watched('full scan', 'SELECT count(v), sum(id::bigint), sum(length(v)), count(DISTINCT id) FROM bulk_t'),
	join('|', $half, $half * ($half + 1) / 2, $half * 100, $half), 'a full scan finds every row once');
within($backend_peak / 1024, 64 + $buffer_mb, 'the backend stayed within bounds in a full scan');
is(watched('scan of the other', 'SELECT count(v), sum(id::bigint) FROM bulk_d'), join('|', $rest, $rest * ($rest + 1) / 2), 'direct rows are all there');
like($cluster->sql("SELECT v FROM bulk_t WHERE id = 4242"), qr/^(\w)\1{87}000000004242$/, 'one of them') if $half >= 4242;
for (@nodes)
{
	within($peak{$_} / 1024, $cache_mb + 256, sprintf('%s: %.0f MiB at most', $_, $peak{$_} / 1024));
}
ok($cluster->digests_equal(60), 'both groups hold the same');
done_testing();
