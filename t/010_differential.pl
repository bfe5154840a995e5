# The same SQL on a plain local table and on a foreign table, in one PostgreSQL: results, row counts and SQLSTATEs
# must be the same. Statements are random by a seed: DORIS_SEED=n replays, DORIS_STATEMENTS=n asks for more.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin, "$FindBin::Bin/differential";
use DorisCluster;
use TablePair;
use Test::More;

my $seed = $ENV{DORIS_SEED} // int(rand(1 << 31));
my $statements = $ENV{DORIS_STATEMENTS} // 2500;
diag("DORIS_SEED=$seed DORIS_STATEMENTS=$statements");

my $cluster = DorisCluster->new;
srand($seed);    # after the cluster, which draws ports

# A key of one column and one of two
my $columns = 'a int2, n int8, q numeric(9,3), f float8, s text, w varchar(12), d date, z timestamptz, b bool, arr int[], j jsonb, u uuid';
$cluster->sql("CREATE TABLE public.ref (id int PRIMARY KEY, label text, k text);
	INSERT INTO public.ref SELECT g, 'label ' || g, chr(97 + g % 5) FROM generate_series(1, 60) g; ANALYZE public.ref");
my $pair = TablePair->new(
	$cluster,
	l => "CREATE TABLE one (id int NOT NULL, $columns, PRIMARY KEY (id)); CREATE TABLE two (t text NOT NULL, id int NOT NULL, $columns, PRIMARY KEY (t, id))",
	f => "CREATE FOREIGN TABLE one (id int NOT NULL, $columns) SERVER doris OPTIONS (namespace 'diff_one', key 'id');
		CREATE FOREIGN TABLE two (t text NOT NULL, id int NOT NULL, $columns) SERVER doris OPTIONS (namespace 'diff_two', key 't,id')"
);

# ---- random parts of statements ----
sub pick { return $_[ rand @_ ] }
sub n { my ($from, $to) = @_; return $from + int(rand($to - $from + 1)) }
sub id { return n(1, 120) }
sub tenant { return pick(q{'a'}, q{'b'}, q{'c'}, q{''}, q{'a '}, q{'Ω'}, q{'d'}) }

my %values = (
	a => sub { pick('NULL', '0', '-1', '32767', n(-20, 20)) },
	n => sub { pick('NULL', '0', '-9223372036854775808', n(-1000, 1000)) },
	q => sub { pick('NULL', '0', '1.500', '-1.5', n(-500, 500) / 4, q{'NaN'}) },
	f => sub { pick('NULL', '0', q{'-0'::float8}, q{'NaN'::float8}, q{'Infinity'::float8}, n(-100, 100) / 4) },
	s => sub { pick('NULL', q{''}, q{'abc'}, q{E'a\tb'}, q{'ÄΩ🎉'}, "'s" . n(0, 30) . "'", "repeat('x', " . n(0, 3000) . ')') },
	w => sub { pick('NULL', q{''}, q{'abc'}, "'w" . n(0, 20) . "'") },
	d => sub { pick('NULL', q{'infinity'::date}, "date '2024-01-01' + " . n(-40, 40)) },
	z => sub { pick('NULL', q{'-infinity'::timestamptz}, "timestamptz '2024-01-01 00:00Z' + interval '1 hour' * " . n(-40, 40)) },
	b => sub { pick('NULL', 'true', 'false') },
	arr => sub { pick('NULL', q{'{}'::int[]}, 'ARRAY[' . n(0, 5) . ',NULL,' . n(0, 5) . ']') },
	j => sub { pick('NULL', q{'null'::jsonb}, q['{"k": ] . n(0, 5) . q<, "l": [1, "x"]}'::jsonb>) },
	u => sub { pick('NULL', q{'00000000-0000-0000-0000-00000000000} . n(0, 9) . q{'::uuid}) },
);
my @cols = sort keys %values;

sub literal { my $c = shift; my $v; do { $v = $values{$c}->() } while ($v eq 'NULL'); return $v }

sub key_condition
{
	my $two = shift;
	my $id = pick('id = ' . id(), 'id = ' . id(), 'id IN (' . join(', ', map { id() } 1 .. n(1, 8)) . ')',
		'id BETWEEN ' . n(0, 60) . ' AND ' . n(50, 120), 'id > ' . n(0, 120), "id = ANY ('{" . join(',', map { id() } 1 .. n(0, 5)) . "}')",
		'id = ' . id() . '::bigint', 'id < ' . n(0, 100) . '.5', 'id = (SELECT max(id) FROM ref WHERE id < ' . n(2, 60) . ')');
	return $id if !$two;
	my $t = pick('t = ' . tenant(), 't = ' . tenant(), 't IN (' . tenant() . ', ' . tenant() . ')', 't <> ' . tenant());
	return pick("$t AND $id", "$t AND $id", $t, $id, '(t, id) IN ((' . tenant() . ', ' . id() . '), (' . tenant() . ', ' . id() . '))');
}

sub condition
{
	my ($two, $depth) = (@_, 0);
	return key_condition($two) if rand() < 0.35;
	return pick('', 'NOT ') . '(' . condition($two, $depth + 1) . pick(' AND ', ' OR ') . condition($two, $depth + 1) . ')' if $depth < 2 && rand() < 0.35;
	my $c = pick(@cols);
	return "$c IS " . pick('NULL', 'NOT NULL') if rand() < 0.15;
	return "coalesce($c = " . literal($c) . ', ' . pick('true', 'false') . ')' if rand() < 0.1;
	return pick('b', 'NOT b', 'b IS NOT TRUE') if $c eq 'b' && rand() < 0.6;
	return pick("arr \@> ARRAY[" . n(0, 5) . ']', n(0, 5) . ' = ANY (arr)', "arr = '{}'") if $c eq 'arr';
	return pick("j \@> '{\"k\": " . n(0, 5) . "}'", "j->>'k' = '" . n(0, 5) . "'", "j = 'null'") if $c eq 'j';
	return "s LIKE '" . pick('s%', '%1', '%b%', 's_') . "'" if $c eq 's' && rand() < 0.3;
	return "$c IN (" . join(', ', map { literal($c) } 1 .. n(1, 4)) . ')' if rand() < 0.25;
	return "$c BETWEEN " . literal($c) . ' AND ' . literal($c) if rand() < 0.2;
	return "$c = ANY (ARRAY[" . literal($c) . ', ' . literal($c) . '])' if rand() < 0.1;
	return "$c " . pick('=', '<>', '<', '<=', '>', '>=', 'IS DISTINCT FROM') . ' ' . literal($c);
}

sub table { return rand() < 0.6 ? ('one', 0) : ('two', 1) }

sub insert
{
	my ($table, $two) = table();
	my @c = grep { rand() < 0.5 } @cols;
	my $key = $two ? 't, id' : 'id';
	my $head = "INSERT INTO $table (" . join(', ', $key, @c) . ')';
	my $tail = (rand() < 0.35 ? ' ON CONFLICT DO NOTHING' : '') . (rand() < 0.4 ? ' RETURNING *' : '');
	if (rand() < 0.15)    # from a select
	{
		my $from = $two ? "k, id + " . n(0, 60) : 'id + ' . n(0, 110);
		return "INSERT INTO $table ($key, a, s) SELECT $from, id, label FROM ref WHERE id <= " . n(1, 40) . $tail;
	}
	my @rows = map {
		'(' . join(', ', ($two ? tenant() : ()), id(), map { $values{$_}->() } @c) . ')'
	} 1 .. (rand() < 0.6 ? 1 : n(2, 6));
	return "$head VALUES " . join(', ', @rows) . $tail;
}

sub update
{
	my ($table, $two) = table();
	my $returning = rand() < 0.4 ? ' RETURNING *' : '';
	if (rand() < 0.1)    # of the key
	{
		return "UPDATE $table SET id = " . id() . ' WHERE id = ' . id() . ($two ? ' AND t = ' . tenant() : '') . $returning;
	}
	if (rand() < 0.15)    # from another table
	{
		return "UPDATE $table x SET s = r.label, a = r.id FROM ref r WHERE r.id = x.id AND r.id < " . n(1, 60)
		  . ' AND x.' . pick('a > 0', 'b', 's IS NULL', 'id > 20') . ($returning && ' RETURNING x.*, r.k');
	}
	my @set = map { "$_ = " . $values{$_}->() } grep { rand() < 0.25 } @cols;
	push @set, pick('n = n + 1', 'a = a + 1', 's = s || id', 'f = f / 2', "arr = arr || " . n(0, 9), "q = q * 1000", 'w = w || w', 'n = 100 / a') if !@set;
	return "UPDATE $table SET " . join(', ', @set) . ' WHERE ' . condition($two) . $returning;
}

sub delete_
{
	my ($table, $two) = table();
	return "DELETE FROM $table x USING ref r WHERE r.id = x.id AND r.k = '" . pick('a' .. 'e') . "' AND x.id > " . n(30, 60) if rand() < 0.1;
	return "DELETE FROM $table WHERE " . (rand() < 0.7 ? key_condition($two) . ' AND ' : '') . condition($two) . (rand() < 0.4 ? ' RETURNING *' : '');
}

sub select_
{
	my ($table, $two) = table();
	my $where = rand() < 0.9 ? ' WHERE ' . condition($two) : '';
	my $key = $two ? 't COLLATE "C", id' : 'id';
	my $kind = rand();
	return 'SELECT ' . pick('*', '*', join(', ', ('id', grep { rand() < 0.3 } @cols)), 'count(*)', 's', 'x', '1') . " FROM $table x$where" if $kind < 0.45;
	return "SELECT $key, " . pick(@cols) . " FROM $table$where ORDER BY $key" . pick('', ' LIMIT ' . n(0, 9), ' LIMIT 5 OFFSET ' . n(0, 9)) if $kind < 0.6;
	return "SELECT count(*), count(a), sum(a), sum(n::numeric), min(q), max(q), min(f + 0), max(f + 0), min(s COLLATE \"C\"), max(d), min(z), bool_or(b), count(DISTINCT w) FROM $table$where" if $kind < 0.7;
	return 'SELECT ' . ($_ = pick('b', 'a', 'w', 'u', 'd')) . ", count(*), sum(id) FROM $table$where GROUP BY $_ HAVING count(*) > " . n(0, 2) if $kind < 0.78;
	return "SELECT r.label, x.* FROM ref r " . pick('JOIN', 'LEFT JOIN') . " $table x ON x.id = r.id WHERE r.id " . pick('< 15', '= ' . n(1, 60), 'IN (1, 5, 9, 200)') if $kind < 0.86;
	return "SELECT o.id, p.t, p.s FROM one o JOIN two p ON p.id = o.id WHERE o." . pick('b', 'a < 5', 'id < 40') if $kind < 0.9;
	return "SELECT id FROM $table x WHERE " . pick('', 'NOT ') . 'EXISTS (SELECT FROM ref r WHERE r.id = x.id AND r.label LIKE ' . "'%" . n(0, 9) . "')" if $kind < 0.94;
	return "SELECT x.id, (SELECT label FROM ref r WHERE r.id = x.id), 10 / (id - " . n(1, 400) . ") FROM $table x$where" if $kind < 0.97;
	return "WITH w AS (SELECT id, a FROM $table$where) SELECT id, a FROM w UNION ALL SELECT id, a::int FROM one WHERE id < 5" if rand() < 0.5;
	return "SELECT id, row_number() OVER (ORDER BY $key) FROM $table$where";
}

# Prepared statements live in both sessions; each with a maker of arguments.
my @prepared = (
	[ 'p_get(int)', 'SELECT * FROM one WHERE id = $1', sub { pick('NULL', id(), id(), id()) } ],
	[ 'p_two(text, int)', 'SELECT * FROM two WHERE t = $1 AND id = $2', sub { tenant() . ', ' . id() } ],
	[ 'p_any(int[])', 'SELECT id, s FROM one WHERE id = ANY ($1)', sub { "'{" . join(',', map { pick('NULL', id(), id()) } 1 .. n(0, 6)) . "}'" } ],
	[ 'p_filter(bool, text)', 'SELECT id FROM one WHERE b = $1 OR s = $2', sub { literal('b') . ', ' . $values{s}->() } ],
	[ 'p_range(int, int)', 'SELECT count(*), sum(id) FROM two WHERE id >= $1 AND id < $2', sub { n(0, 60) . ', ' . n(40, 120) } ],
	[ 'p_put(int, text)', 'INSERT INTO one (id, s) VALUES ($1, $2)', sub { id() . ', ' . $values{s}->() } ],
	[ 'p_set(int, int8)', 'UPDATE one SET n = $2 WHERE id = $1 RETURNING id, n', sub { id() . ', ' . $values{n}->() } ],
	[ 'p_del(int)', 'DELETE FROM one WHERE id = $1', sub { id() } ],
);
sub prepared
{
	my $p = pick(@prepared);
	return 'EXECUTE ' . ($p->[0] =~ /^(\w+)/)[0] . '(' . $p->[2]->() . ')';
}

# ---- running and comparing ----
my ($done, %kinds) = (0);
my @history;

sub both
{
	my $sql = shift;
	push @history, $sql;
	# order does not count, unless the statement asks for it
	return 1 if $pair->same($sql, $sql =~ /ORDER BY/ && $sql !~ /OVER/);
	splice @history, 0, @history - 25 if @history > 25;
	$pair->report("DORIS_SEED=$seed: statement $done differs; the last ones:\n  " . join("\n  ", @history));
	return 0;
}

both("PREPARE $_->[0] AS " . $_->[1]) or BAIL_OUT('prepare') for @prepared;
my @savepoints;
my $in_transaction = 0;
my $same = 1;
while ($same && $done < $statements)
{
	my $r = rand();
	my $sql;
	if ($in_transaction && ($r < 0.20 || $pair->{failed} && $r < 0.80))
	{
		my $s = @savepoints ? pick(@savepoints) : undef;
		my $what = rand();
		if ($what < 0.35 && @savepoints < 5) { push @savepoints, 'sp' . n(1, 99); $sql = "SAVEPOINT $savepoints[-1]" }
		elsif ($what < 0.60 && $s) { $sql = "ROLLBACK TO $s"; }
		elsif ($what < 0.70 && $s) { $sql = "RELEASE $s"; @savepoints = () }
		else { $sql = pick('COMMIT', 'COMMIT', 'ROLLBACK'); @savepoints = (); $in_transaction = 0 }
	}
	elsif (!$in_transaction && $r < 0.12) { $sql = 'BEGIN'; $in_transaction = 1 }
	elsif ($r < 0.14) { $sql = 'SET plan_cache_mode = ' . pick('auto', 'force_generic_plan', 'force_custom_plan') }
	elsif ($r < 0.15) { $sql = 'SET enable_' . pick('hashjoin', 'mergejoin', 'nestloop') . ' = ' . pick('on', 'off') }
	elsif ($r < 0.155) { $sql = 'TRUNCATE ' . pick('one', 'two', 'one, two') }
	elsif ($r < 0.25) { $sql = prepared() }
	elsif ($r < 0.45) { $sql = insert() }
	elsif ($r < 0.62) { $sql = update() }
	elsif ($r < 0.69) { $sql = delete_() }
	else { $sql = select_() }
	$kinds{ ($sql =~ /^(\w+)/)[0] }++;
	$done++;
	$same = both($sql);
	# now and then everything
	$same = both('SELECT * FROM one ORDER BY id') && both('SELECT * FROM two ORDER BY t COLLATE "C", id') if $same && $done % 100 == 0;
}
ok($same, "$done random statements gave the same results");
diag("with rows $pair->{with_rows}; " . join(', ', map { "$_ $kinds{$_}" } sort keys %kinds));
diag('errors: ' . join(', ', map { "$_ $pair->{errors}{$_}" } sort keys %{ $pair->{errors} }));
cmp_ok($pair->{with_rows}, '>', $statements / 5, 'a good part of them found rows');

done_testing(), exit 1 if $pair->lost;
both('ROLLBACK');
ok(both('SELECT * FROM one ORDER BY id'), 'the same contents at the end: one');
ok(both('SELECT * FROM two ORDER BY t COLLATE "C", id'), 'the same contents at the end: two');
cmp_ok($pair->foreign->query('SELECT count(*) FROM one'), '>', 0, 'not empty');
$pair->foreign->close;
ok($cluster->digests_equal, 'both groups hold the same');
done_testing();
