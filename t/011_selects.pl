# Random queries and writes on plain local tables and on foreign tables with the same rows give the same results: joins, aggregates, subqueries,
# set operations, ORDER BY and LIMIT, under random settings of the planner, prepared, by cursors, within transactions that have
# written. DORIS_SEED=n replays, DORIS_STATEMENTS=n asks for more; what differs is made as small as it gets.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin, "$FindBin::Bin/differential";
use DorisCluster;
use RandomQuery;
use SqlTree;
use TablePair;
use Test::More;

my $seed = $ENV{DORIS_SEED} // int(rand(1 << 31));
my $statements = $ENV{DORIS_STATEMENTS} // 1500;
diag("DORIS_SEED=$seed DORIS_STATEMENTS=$statements");

my $cluster = DorisCluster->new;
srand($seed);    # after the cluster, which draws ports
sub pick { return RandomQuery::pick(@_) }
sub chance { return rand() < shift }

# ---- the tables ----
$cluster->sql("CREATE DOMAIN natural_number AS int CHECK (VALUE >= 0); CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy', 'é');
	CREATE TABLE ref (id int PRIMARY KEY, a int, label text, k text, kc text COLLATE \"C\");
	INSERT INTO ref SELECT g, nullif(g % 7, 3), 'label ' || g, chr(97 + g % 5), chr(96 + g % 5) FROM generate_series(1, 60) g; ANALYZE ref");

sub definition
{
	my ($schema) = @_;
	my $foreign = $schema eq 'f';
	my @out;
	for my $t (sort keys %RandomQuery::tables)
	{
		my ($key, $route) = @{ $RandomQuery::tables{$t} };
		my $names = join ',', map { $_->[0] } @$key;
		my $where = join ',', map { $_->[0] } @$key[ 0 .. $route - 1 ];
		my $columns = join(', ', map { "$_->[0] $_->[1]" . ' NOT NULL' } @$key) . ", $RandomQuery::definitions";
		my $options = sub { "SERVER doris OPTIONS (key '$names', distribute_by '$where', namespace 'random_$_[0]', fetch_size '" . pick(0, 0, 3, 20) . "')" };
		if ($t eq 'prt')
		{
			push @out, "CREATE TABLE prt ($columns) PARTITION BY LIST (region)", "CREATE TABLE prt_local PARTITION OF prt (PRIMARY KEY ($names)) FOR VALUES IN ('local')";
			push @out, map { $foreign ? "CREATE FOREIGN TABLE prt_$_ PARTITION OF prt FOR VALUES IN ('$_') " . $options->("prt_$_")
				  : "CREATE TABLE prt_$_ PARTITION OF prt (PRIMARY KEY ($names)) FOR VALUES IN ('$_')" } qw(eu us);
		}
		else { push @out, $foreign ? "CREATE FOREIGN TABLE $t ($columns) " . $options->($t) : "CREATE TABLE $t ($columns, PRIMARY KEY ($names))" }
	}
	return join '; ', @out;
}
my $pair = TablePair->new($cluster, map { $_ => definition($_) } qw(l f));
$pair->set("SET statement_timeout = '5s'");
my @tables = sort keys %RandomQuery::tables;
for my $t (@tables)
{
	my ($key, undef, $rows) = @{ $RandomQuery::tables{$t} };
	my @c = ((map { $_->[0] } @$key), sort keys %RandomQuery::columns);
	my %kind = (%RandomQuery::columns, map { $_->[0] => $_->[2] } @$key);
	my $values = join ",\n", map { '(' . join(', ', map { RandomQuery::column_value($_, $kind{$_}) } @c) . ')' } 1 .. $rows;
	$pair->same("INSERT INTO $t (" . join(', ', @c) . ") VALUES $values ON CONFLICT DO NOTHING") && !$pair->{failed} or BAIL_OUT("rows of $t: $pair->{was_l} / $pair->{was_f}");
}
# statistics of some
$pair->foreign->query("ANALYZE $_") for grep { chance(0.5) } @tables;
$cluster->sql("ANALYZE l.$_") for @tables;

# ---- settings ----
my %choices = (
	(map { ("enable_$_" => [qw(on off)]) } qw(hashjoin mergejoin nestloop memoize material sort incremental_sort hashagg bitmapscan partitionwise_join partitionwise_aggregate
		partition_pruning parallel_append gathermerge)),
	plan_cache_mode => [qw(auto force_generic_plan force_custom_plan)], work_mem => [qw(64kB 4MB)], join_collapse_limit => [ 1, 8 ], from_collapse_limit => [ 1, 8 ],
	parallel_setup_cost => [ 0, 1000 ], parallel_tuple_cost => [ 0, 0.1 ], min_parallel_table_scan_size => [qw(0 8MB)], force_parallel_mode => [qw(off off on regress)],
	cursor_tuple_fraction => [ 0.01, 1 ], 'doris_fdw.write_buffer' => [qw(64kB 64MB)], 'doris_fdw.read_group' => [ 0, 1, 2 ],
	(map { ($_ => [qw(on off)]) } split /\n/, $pair->foreign->query("LOAD 'doris_fdw'; SELECT name FROM pg_settings WHERE name LIKE 'doris_fdw.%' AND vartype = 'bool' ORDER BY 1")),
);
delete $choices{LOAD};
my %set;

sub some_setting
{
	return map { my $name = $_; delete $set{$name}; "RESET $name" } sort keys %set if chance(0.2);
	my $name = pick(sort keys %choices);
	$set{$name} = pick(@{ $choices{$name} });
	return "SET $name = '$set{$name}'";
}

# ---- the run ----
my (@transaction, @savepoints, $in_transaction, %nodes, $slow, $failures);
my $ordered = sub { my ($tree) = @_; return $tree->text =~ /\bORDER BY [^()]*$/ };    # of the whole, not of a part
my $same = 1;

# How a query is run: alone, prepared and executed twice, or by a cursor.
sub way
{
	my ($tree, $write) = @_;
	my $r = rand();
	if ($r < 0.25)
	{
		RandomQuery::parametrize($tree);
		return sub {
			my $text = $_[0]->text(my $params = []);
			my ($types, $first, $second) = map { my $what = $_; join ', ', map { $_->{$what} // $_->{text} } @$params } qw(type text other);
			return "PREPARE q" . ($types && " ($types)") . " AS $text;\nEXECUTE q" . ($first ne '' && " ($first)") . ";\nEXECUTE q" . ($second ne '' && " ($second)") . ";\nDEALLOCATE q";
		};
	}
	return sub { $_[0]->text } if $write;
	if ($r < 0.33 && $in_transaction)
	{
		my $write = RandomQuery::random_write(1)->text;
		return sub { "DECLARE c CURSOR FOR " . $_[0]->text . ";\nFETCH 3 FROM c;\n$write;\nFETCH ALL FROM c;\nCLOSE c" };
	}
	if ($r < 0.36 && $in_transaction && $ordered->($tree))
	{
		return sub { "DECLARE c SCROLL CURSOR FOR " . $_[0]->text . ";\nFETCH 5 FROM c;\nFETCH BACKWARD 3 FROM c;\nFETCH ABSOLUTE 2 FROM c;\nFETCH LAST FROM c;\nFETCH BACKWARD ALL FROM c;\nCLOSE c" };
	}
	return sub { $_[0]->text };
}

sub differs
{
	my ($tree, $text) = @_;
	my $whole = $text->($tree);
	$pair->report("DORIS_SEED=$seed: statement $pair->{done} differs:\n$whole");
	my @before = @transaction;
	my $again = $pair->smallest($tree, \@before, $text, $ordered, 60);
	my @settings = map { "SET $_ = '$set{$_}'" } sort keys %set;
	if (!$again)
	{
		diag("and does not when it is run again; the statements of its transaction:\n  " . join("\n  ", @transaction) . "\nwith: @settings");
		return;
	}
	$pair->report("the smallest that was found:\n" . join(";\n", @settings, @before, $text->($tree)));
	for my $schema (qw(l f))
	{
		$pair->{$schema}->query($_) for 'BEGIN', @before;
		my $plan = $pair->{$schema}->query('EXPLAIN (VERBOSE, COSTS OFF) ' . $tree->text);
		diag(($schema eq 'l' ? 'local' : 'foreign') . " plan:\n$plan");
	}
}

# After an error: no transaction, nothing prepared.
sub end_all
{
	@transaction = @savepoints = ();
	$in_transaction = 0;
	return $pair->same('ROLLBACK') && $pair->same('DEALLOCATE ALL');
}

my $run = 0;
while ($same && $run < $statements)
{
	my $r = rand();
	if ($r < 0.05)
	{
		if ($in_transaction)
		{
			my $end = pick('COMMIT', 'ROLLBACK');
			$same = $pair->same($end);
			$in_transaction = 0;
			@transaction = @savepoints = ();
			$pair->report("DORIS_SEED=$seed: $end") if !$same;
		}
		else { $same = $pair->same('BEGIN'); $in_transaction = 1 }
		next;
	}
	if ($r < 0.13)
	{
		$pair->same($_) && !$pair->{failed} or die "$_: $pair->{was_l} / $pair->{was_f}" for some_setting();
		next;
	}
	if ($in_transaction && $r < 0.16)
	{
		my $sql = "SAVEPOINT s$run";
		if (@savepoints && chance(0.6))
		{
			my $i = int(rand(@savepoints));
			$sql = "ROLLBACK TO $savepoints[$i]";
			splice @savepoints, $i + 1;
		}
		else { push @savepoints, "s$run" }
		push @transaction, $sql;
		$same = $pair->same($sql);
		next;
	}
	my $write = $r < ($in_transaction ? 0.32 : 0.19);
	my $tree = $write ? RandomQuery::random_write() : RandomQuery::random_query();
	my $text = way($tree, $write);
	my $sql = $text->($tree);
	$run++;
	if (!$write && chance(0.1))
	{
		my $plan = $pair->foreign->query('EXPLAIN (COSTS OFF) ' . $tree->text);
		$nodes{$1}++ while $plan =~ /^\s*(?:->)?\s*([A-Z][a-z]+(?: [A-Za-z()]+)*?)(?= on | using |$)/mg;
	}
	$same = $pair->same($sql, $ordered->($tree));
	if (!$same && "$pair->{was_l}$pair->{was_f}" =~ /ERROR:\s+57014/ && !$pair->lost)
	{
		# one was too slow: then nothing is known
		$slow++;
		diag("slow: $sql\n" . ($in_transaction ? '' : $pair->foreign->query('EXPLAIN (COSTS OFF) ' . $tree->text))) if $pair->{was_f} =~ /57014/;
		$same = end_all();
	}
	elsif (!$same) { differs($tree, $text); last }
	elsif ($pair->{failed})
	{
		diag("fails in both: $sql\n$pair->{was_l}") if $failures++ < 3;
		$same = end_all();
	}
	elsif ($in_transaction && ($write || $sql =~ /^DECLARE/)) { push @transaction, $sql }
	if ($same && !$in_transaction && $run % 100 == 0)
	{
		$same &&= $pair->same("SELECT * FROM $_") for @tables;
		$pair->report("DORIS_SEED=$seed: the tables differ after statement $run") if !$same;
	}
}
ok($same, "$run random queries and writes gave the same results");
diag("with rows $pair->{with_rows}; errors: " . join(', ', map { "$_ $pair->{errors}{$_}" } sort keys %{ $pair->{errors} }));
diag('plan nodes in a tenth: ' . join(', ', map { "$_ $nodes{$_}" } sort keys %nodes));
cmp_ok($pair->{with_rows}, '>', $run / 3, 'a good part of them found rows');
cmp_ok($slow // 0, '<=', $run / 200, 'few were too slow to tell');
cmp_ok($failures // 0, '<=', $run / 200, 'few failed');
done_testing(), exit 1 if !$same;

$pair->same('ROLLBACK');
ok($pair->same("SELECT * FROM $_"), "the same contents at the end: $_") for @tables;
$pair->foreign->close;
ok($cluster->digests_equal, 'both groups hold the same');
done_testing();
