# RandomQuery: random queries, as trees, over the tables of the differential tests: joins, aggregates, subqueries, set operations,
# ORDER BY and LIMIT. Each has one result only: what depends on the order of rows has a total order, floats are summed
# only where sums are exact, nothing that is computed can fail.
package RandomQuery;

use strict;
use warnings;
use SqlTree;

# ---- the tables ----
# Columns that every table but ref has, by what they can be compared with: ctx is text in collation "C", ext a float that is not
# summed, because that would not be exact.
our %columns = (
	a => 'int', n => 'int', p => 'int', q => 'num', f => 'flt', e => 'ext', s => 'txt', w => 'txt', c => 'chr', d => 'day', z => 'tsz',
	b => 'bool', arr => 'arr', j => 'jsn', u => 'uid', m => 'enm', y => 'byt'
);
our $definitions = 'a int2, n int8, p natural_number, q numeric(9,3), f float8, e float4, s text, w varchar(12), c char(4), d date, z timestamptz,
	b bool, arr int[], j jsonb, u uuid, m mood, y bytea';
# name => [ [ key column, its definition, its kind ], ... ], how many of them say the node, rows at the beginning
our %tables = (
	one => [ [ [ 'id', 'int', 'int' ] ], 1, 150 ],
	two => [ [ [ 't', 'text COLLATE "C"', 'ctx' ], [ 'id', 'int', 'int' ] ], 1, 150 ],
	thr => [ [ [ 'tenant', 'int2', 'int' ], [ 'seq', 'int8', 'int' ], [ 'sub', 'int', 'int' ] ], 2, 250 ],
	num => [ [ [ 'k', 'float8', 'ext' ], [ 'kd', 'date', 'day' ] ], 2, 70 ],
	txt => [ [ [ 't', 'text', 'txt' ], [ 'kq', 'numeric(9,3)', 'num' ] ], 1, 70 ],
	prt => [ [ [ 'region', 'text', 'txt' ], [ 'id', 'int', 'int' ] ], 2, 90 ],
);
our %ref = (id => 'int', a => 'int', label => 'txt', k => 'txt', kc => 'ctx');
my @joinable = qw(id a p tenant seq sub k t kc kd kq d label w u);

sub pick { return $_[ rand @_ ] }
sub n { my ($from, $to) = @_; return $from + int(rand($to - $from + 1)) }
sub chance { return rand() < shift }
sub sql { return SqlTree->new(@_) }

# ---- values ----
my %literals = (
	int => sub { chance(0.8) ? [ n(0, 40), 'int' ] : pick([ n(-5, 140), 'bigint' ], [ n(-3, 12), 'smallint' ], [ '32767', 'smallint' ], [ '9223372036854775807', 'bigint' ],
		[ "'-9223372036854775808'::bigint", 'bigint' ], [ n(0, 40) . '.5', 'numeric' ], [ n(-2147483648, 2147483647), 'int' ]) },
	num => sub { [ pick('0', '1.5', '-1.500', n(-60, 60) / 4, q{'NaN'::numeric}, n(-8, 20)), 'numeric' ] },
	flt => sub { [ pick('0', q{'-0'::float8}, n(-60, 60) / 4, q{'NaN'::float8}, q{'Infinity'::float8}, q{'-Infinity'::float8}), 'float8' ] },
	ext => sub { [ pick('0', q{'-0'::float8}, n(-8, 8) / 4, q{'NaN'::float8}, q{'-Infinity'::float8}, q{'1e30'::float8}, q{'1e-40'::float8}, '3.3'), 'float8' ] },
	txt => sub { [ pick(q{''}, q{'a'}, q{'a '}, q{'b'}, q{'Ω'}, q{'B'}, q{'abc'}, q{'eu'}, q{'us'}, q{'é'}, "'s" . n(0, 30) . "'", "'label " . n(1, 60) . "'"), 'text' ] },
	chr => sub { [ "'" . pick('', 'a', 'b', 'ab  ', 'Ab', 'é') . q{'::char(4)}, 'char(4)' ] },
	day => sub { [ pick(q{date 'infinity'}, q{date '-infinity'}, "date '2024-01-01' + " . n(-20, 20)), 'date' ] },
	tsz => sub { [ pick(q{timestamptz '-infinity'}, "timestamptz '2024-01-01 00:00Z' + interval '6 hours' * " . n(-20, 20)), 'timestamptz' ] },
	bool => sub { [ pick('true', 'false'), 'bool' ] },
	arr => sub { [ pick(q{'{}'::int[]}, 'ARRAY[' . n(0, 3) . ',NULL,' . n(0, 3) . ']', 'ARRAY[' . n(0, 3) . ']'), 'int[]' ] },
	jsn => sub { [ pick(q{'null'::jsonb}, q['{"k": ] . n(0, 5) . q<, "l": [1, "x"]}'::jsonb>, q{'[]'::jsonb}), 'jsonb' ] },
	uid => sub { [ q{'00000000-0000-0000-0000-00000000000} . n(0, 9) . q{'::uuid}, 'uuid' ] },
	enm => sub { [ "'" . pick('sad', 'ok', 'happy', 'é') . "'::mood", 'mood' ] },
	byt => sub { [ "'\\x" . pick('', '00', '0001', 'ff', 'ff00', '0' . n(0, 9)) . "'::bytea", 'bytea' ] },
);
$literals{ctx} = $literals{txt};
my @kinds = sort keys %literals;

sub literal
{
	my ($kind) = @_;
	my ($text, $type) = @{ $literals{$kind}->() };
	my $value = SqlTree->value($text, $type);
	my $other = $literals{$kind}->();    # for a second execution
	$value->{other} = $other->[0] if $other->[1] eq $type;
	return $value;
}

# A value for a column, as text: what the column's type holds, sometimes NULL.
sub column_value
{
	my ($column, $kind) = @_;
	return 'NULL' if chance(0.12) && $columns{$column};
	return n(1, 80) if $column eq 'id';
	return n(0, 6) if $column eq 'tenant';
	return chance(0.9) ? n(0, 12) : pick('9223372036854775807', "'-9223372036854775808'", '-1') if $column eq 'seq';
	return n(0, 3) if $column eq 'sub';
	return pick(0, -1, 32767, n(0, 25), n(0, 25), n(-20, 20)) if $column eq 'a';
	return pick(0, 9223372036854775807, "'-9223372036854775808'", n(0, 40), n(0, 40), n(-1000, 1000)) if $column eq 'n';
	return n(1, 30) if $column eq 'p';
	return pick(q{'eu'}, q{'us'}, q{'local'}) if $column eq 'region';
	return pick(q{''}, q{'a'}, q{'a '}, q{'b'}, q{'B'}, q{'Ω'}, q{'é'}, q{'s1'}) if $column eq 't';
	return pick("'s" . n(0, 30) . "'", "repeat('x', " . n(0, 300) . ')', literal($kind)->text) if $column eq 's';
	return literal($kind)->text;
}

# ---- the state of one query ----
# names: for aliases; ctes: [ name, columns ] that may be named in FROM
our ($names, @ctes);

sub alias { return 'x' . ++$names }

# Columns of a kind in scope: "x1.a". A scope is a list of relations { alias, columns => { name => kind }, key => [ names ] }.
sub of_kind
{
	my ($scope, $kind) = @_;
	return map { my $r = $_; map { "$r->{alias}.$_" } grep { $r->{columns}{$_} eq $kind } sort keys %{ $r->{columns} } } @$scope;
}

# A column: (kind, text)
sub any_column
{
	my ($scope) = @_;
	my $r = pick(@$scope);
	my $name = chance(0.3) && @{ $r->{key} } ? pick(@{ $r->{key} }) : pick(sort keys %{ $r->{columns} });
	return ($r->{columns}{$name}, "$r->{alias}.$name");
}

# Columns whose kind tells equal values apart when printed are given such that it does not.
sub plain
{
	my ($kind, $text) = @_;
	return $kind eq 'flt' || $kind eq 'ext' ? sql('(', $text, ') + 0') : $kind eq 'num' ? sql('round(', $text, ', 3)') : $text;
}

# One type for a kind, for set operations
my %casts = (int => '::numeric', txt => '::text', ctx => '::text COLLATE "C"', flt => '::float8', ext => '::float8', chr => '::char(4)');
sub cast { my ($kind, $text) = @_; return sql('(', plain($kind, $text), ')', $casts{$kind} // '') }

# ---- expressions ----
sub expression
{
	my ($scope, $outer, $kind, $depth) = @_;
	my @c = (of_kind($scope, $kind), chance(0.2) ? of_kind($outer, $kind) : ());
	my $simple = @c && chance(0.9) ? pick(@c) : literal($kind);
	return $simple if $depth > 2 || chance(0.75);
	my $deeper = sub { expression($scope, $outer, shift // $kind, $depth + 1) };
	my $made = pick(
		sub { sql('coalesce(', $deeper->(), ', ', literal($kind), ')') },
		sub { sql('CASE WHEN ', condition($scope, $outer, $depth + 1), ' THEN ', $deeper->(), ' ELSE ', $deeper->(), ' END') },
		sub { sql('nullif(', $deeper->(), ', ', literal($kind), ')') },
		sub {
			return sql('(', $deeper->(), ')', ' % 7') if $kind eq 'int';
			return sql('(', $deeper->(), ' * 2 + ', literal('num'), ')') if $kind eq 'num';
			return sql('(', $deeper->(), ' / 2)') if $kind eq 'flt';
			return sql(pick('upper(', 'lower(', 'reverse(', 'trim('), $deeper->(), ')') if $kind eq 'txt';
			return sql('(', $deeper->(), ' + 3)') if $kind eq 'day';
			return sql('(', condition($scope, $outer, $depth + 1), ')') if $kind eq 'bool';
			return $deeper->();
		},
		sub {
			return sql('length(', $deeper->('txt'), ')') if $kind eq 'int';
			return sql('(', $deeper->(), ' || ', $deeper->(), ')') if $kind eq 'txt';
			return $deeper->() if $depth > 0 || $kind =~ /^(arr|jsn|bool|uid)$/;
			# one row: an aggregate without GROUP BY
			my ($from, @in) = from_one();
			my @of = of_kind(\@in, $kind);
			return literal($kind) if !@of;
			return sql('(SELECT ', plain($kind, sql(pick('min(', 'max('), pick(@of), ')')), ' FROM ', $from,
				SqlTree->list(' WHERE ', ' AND ', 0, condition(\@in, [ @$scope, @$outer ], 2, 1)), ')') if $kind ne 'byt';
			return literal($kind);
		})->();
	return sql($made)->or_else('NULL', $simple);
}

# ---- conditions ----
sub comparison { return pick('=', '=', '=', '<>', '<', '<=', '>', '>=') }

# A condition that a node can judge, most often
sub simple_condition
{
	my ($scope) = @_;
	my ($kind, $c) = any_column($scope);
	return sql("$c IS ", pick('NULL', 'NOT NULL')) if chance(0.1);
	return sql(pick('', 'NOT '), $c) if $kind eq 'bool' && chance(0.5);
	return sql("$c IN ", SqlTree->list('(', ', ', 1, map { literal($kind) } 1 .. n(1, 5)), ')') if chance(0.15);
	return sql("$c = ANY (", SqlTree->value('ARRAY[' . join(', ', map { $literals{$kind}->()[0] } 1 .. n(1, 5)) . ']', $literals{$kind}->()[1] . '[]'), ')')
	  if chance(0.1) && $kind !~ /^(arr|int|chr)$/;
	return sql("$c = ANY (", SqlTree->value("'{" . join(',', map { chance(0.1) ? 'NULL' : n(0, 120) } 1 .. n(0, 8)) . "}'::int[]", 'int[]'), ')') if $kind eq 'int' && chance(0.15);
	return sql("$c BETWEEN ", literal($kind), ' AND ', literal($kind)) if chance(0.15);
	return sql("$c ", pick('LIKE', 'LIKE', 'NOT LIKE', 'ILIKE', '^@', '~'), ' ', SqlTree->value("'" . pick('s%', '%1', 's_', 'a', 's1%', 'label 1%', '', 's1', 'label') . "'", 'text'))
	  if $kind =~ /^(ctx|txt)$/ && chance(0.3);
	return sql("$c COLLATE \"C\" ", comparison(), ' ', literal($kind)) if $kind eq 'txt' && chance(0.3);
	return sql(literal($kind), ' ', comparison(), " $c") if chance(0.1);
	return sql("$c ", comparison(), ' ', literal($kind));
}

# The key of a relation, or a beginning of it, bound by values
sub key_condition
{
	my ($r, $how) = @_;
	my @key = @{ $r->{key} };
	my @conditions;
	for my $i (0 .. $#key)
	{
		my ($c, $kind) = ("$r->{alias}.$key[$i]", $r->{columns}{ $key[$i] });
		my $v = sub { SqlTree->value(column_value($key[$i], $kind), $key[$i] =~ /^(id|sub)$/ ? 'int' : $key[$i] eq 'seq' ? 'bigint' : $key[$i] eq 'tenant' ? 'smallint' : $literals{$kind}->()[1]) };
		my $last = $i == $#key && chance(0.5);
		push @conditions, $last && chance(0.5) ? sql("$c ", pick('<', '>', '<=', '>='), ' ', $v->())
		  : $last ? sql("$c BETWEEN ", $v->(), ' AND ', $v->())
		  : chance(0.2) ? sql("$c IN ", SqlTree->list('(', ', ', 1, map { $v->() } 1 .. n(1, 6)), ')')
		  : sql("$c = ", $v->());
		last if chance(0.3);
	}
	return sql(SqlTree->list('(', ' AND ', 1, @conditions), ')');
}

sub row_condition
{
	my ($scope) = @_;
	my ($r) = pick(@$scope);
	my @names = chance(0.6) && @{ $r->{key} } > 1 ? @{ $r->{key} } : map { pick(sort keys %{ $r->{columns} }) } 1 .. 2;
	my @kinds_here = map { $r->{columns}{$_} } @names;
	my $row = '(' . join(', ', map { "$r->{alias}.$_" } @names) . ')';
	my $values = sub { my $i = 0; return '(' . join(', ', map { column_value($_, $kinds_here[ $i++ ]) } @names) . ')' };
	return undef if grep { $_ !~ /^(id|tenant|seq|sub|a|p|t|region|d|kd|kq|k)$/ } @names;
	return sql("$row IN (", join(', ', map { $values->() } 1 .. n(1, 4)), ')') if chance(0.4);
	return sql("$row ", comparison(), ' ', $values->());
}

sub subquery_condition
{
	my ($scope, $outer, $depth) = @_;
	my ($kind, $c) = any_column($scope);
	my @around = (@$scope, @$outer);
	if (chance(0.5))
	{
		my ($from, @in) = from_one();
		my $link = equality(\@in, $scope, 0.7);
		return sql(pick('', '', 'NOT '), 'EXISTS (SELECT FROM ', $from, SqlTree->list(' WHERE ', ' AND ', 0, $link ? $link : (), map { condition(\@in, \@around, $depth + 1) } 1 .. n(0, 1)), ')');
	}
	my ($from, @in) = from_one();
	my @of = of_kind(\@in, $kind);
	return simple_condition($scope) if !@of;
	my $sub = sql('(SELECT ', pick(@of), ' FROM ', $from, SqlTree->list(' WHERE ', ' AND ', 0, map { condition(\@in, \@around, $depth + 1) } 1 .. n(0, 2)), ')');
	return sql("$c ", pick('IN ', 'IN ', 'IN ', 'NOT IN ', '= ANY ', '>= ALL ', '< ANY '), $sub) if $kind !~ /^(jsn|arr)$/;
	return sql("$c IN ", $sub);
}

sub condition
{
	my ($scope, $outer, $depth, $correlated) = @_;
	if ($correlated || (@$outer && chance(0.4)))
	{
		my $link = equality($scope, $outer, chance(0.7) ? 1 : 0);
		return sql($link)->or_else('true') if $link;
	}
	my $r = rand();
	my $c = $r < 0.40 ? simple_condition($scope)
	  : $r < 0.55 ? key_condition(pick(grep { @{ $_->{key} } } @$scope) // return sql('true'))
	  : $r < 0.60 ? row_condition($scope) // simple_condition($scope)
	  : $r < 0.66 && $depth < 2 ? subquery_condition($scope, $outer, $depth)
	  : $r < 0.80 && $depth < 2 ? compound($scope, $outer, $depth)
	  : $r < 0.90 ? two_columns($scope, $outer, $depth)
	  : odd($scope, $outer, $depth);
	return sql($c)->or_else('true', 'false');
}

sub compound
{
	my ($scope, $outer, $depth) = @_;
	my ($one, $two) = map { condition($scope, $outer, $depth + 1) } 1 .. 2;
	return sql(pick('', '', 'NOT '), '(', $one, pick(' AND ', ' OR '), $two, ')')->or_else($one, $two);
}

sub two_columns
{
	my ($scope, $outer, $depth) = @_;
	my ($kind, $c) = any_column($scope);
	return sql("$c ", pick(comparison(), 'IS DISTINCT FROM'), ' ', expression($scope, $outer, $kind, $depth + 1));
}

sub odd
{
	my ($scope, $outer, $depth) = @_;
	my ($kind, $c) = any_column($scope);
	return sql(pick("$c \@> ARRAY[" . n(0, 3) . ']', n(0, 3) . " = ANY ($c)", "cardinality($c) > 1")) if $kind eq 'arr';
	return sql(pick("$c \@> '{\"k\": " . n(0, 5) . "}'", "$c->>'k' = '" . n(0, 5) . "'")) if $kind eq 'jsn';
	return sql("$c IS ", pick('TRUE', 'NOT TRUE', 'FALSE', 'UNKNOWN', 'NOT UNKNOWN')) if $kind eq 'bool';
	return sql('coalesce(', simple_condition($scope), ', ', pick('true', 'false'), ')') if chance(0.5);
	return sql('(', simple_condition($scope), ') IS ', pick('TRUE', 'NOT TRUE', 'NOT FALSE', 'UNKNOWN'));
}

# Columns of two scopes are equal: of keys most often, so that joins stay small; undef when no kind is in both.
sub equality
{
	my ($left, $right, $whole_key) = @_;
	my @conditions;
	my ($r) = grep { @{ $_->{key} } } pick(@$left), @$left;
	for my $key ($r ? @{ $r->{key} } : ())
	{
		my $kind = $r->{columns}{$key};
		my @of = grep { my ($c) = /\.(\w+)/; my $ok = $c =~ /^c\d/ || grep { $c eq $_ } @joinable; $ok } of_kind($right, $kind);
		push @conditions, sql("$r->{alias}.$key = ", @of ? pick(@of) : last);
		last if !chance($whole_key);
	}
	return undef if !@conditions;
	return SqlTree->list('', ' AND ', 1, @conditions);
}

# ---- FROM ----
sub relation
{
	my ($table) = @_;
	my $alias = alias();
	return ("$table $alias", { alias => $alias, columns => \%ref, key => ['id'] }) if $table eq 'ref';
	my @key = @{ $tables{$table}[0] };
	return ("$table $alias", { alias => $alias, columns => { %columns, map { $_->[0] => $_->[2] } @key }, key => [ map { $_->[0] } @key ] });
}

sub a_table { return pick(sort(keys %tables), 'one', 'two', 'thr') }

sub from_one { return relation(chance(0.2) ? 'ref' : a_table()) }

# One item of FROM and what it brings into scope
sub from_item
{
	my ($outer, $depth) = @_;
	if (@ctes && chance(0.6))
	{
		my ($alias, $cte) = (alias(), pick(@ctes));
		return ("$cte->[0] $alias", { alias => $alias, columns => $cte->[1], key => [] });
	}
	if ($depth < 2 && chance(0.12))
	{
		my ($query, $columns) = query($outer, $depth + 1);
		my $alias = alias();
		return (sql('(', $query, ") $alias"), { alias => $alias, columns => $columns, key => [] });
	}
	if (chance(0.06))
	{
		my $alias = alias();
		return (sql('(VALUES ', join(', ', map { '(' . n(0, 40) . ", 's" . n(0, 9) . "')" } 1 .. n(1, 12)), ") $alias (c1, c2)"),
			{ alias => $alias, columns => { c1 => 'int', c2 => 'txt' }, key => [] });
	}
	return from_one();
}

# FROM and WHERE: (tree after FROM, scope, conditions that belong to it)
sub from
{
	my ($outer, $depth) = @_;
	my ($tree, $first) = from_item([], $depth);
	my @scope = ($first);
	my @conditions;
	for (1 .. ($depth > 1 ? 0 : pick(0, 0, 0, 1, 1, 1, 2)))
	{
		if ($depth < 2 && chance(0.1))
		{
			my ($query, $columns) = query([@scope], $depth + 1, 1);
			my $alias = alias();
			$tree = sql($tree, pick(' CROSS JOIN LATERAL (', ' LEFT JOIN LATERAL ('), $query, ") $alias")->or_else($tree);
			$tree->{parts}[3] .= ' ON true' if $tree->{parts}[1] =~ /LEFT/;
			push @scope, { alias => $alias, columns => $columns, key => [] };
			next;
		}
		my ($item, $r) = from_item([], $depth);
		my $on;
		$on = equality(\@scope, [$r], 0.7) if chance(0.3);
		$on //= equality([$r], \@scope, 0.8);
		if (!$on)
		{
			# no key in common: few rows on one side
			$tree = sql($tree, ' CROSS JOIN ', $item)->or_else($tree);
			push @conditions, map { key_condition($_) } grep { @{ $_->{key} } } @scope, $r;
		}
		elsif (chance(0.15)) { $tree = sql($tree, ' CROSS JOIN ', $item)->or_else($tree); push @conditions, $on }
		else
		{
			my $join = pick('JOIN', 'JOIN', 'JOIN', 'LEFT JOIN', 'LEFT JOIN', 'RIGHT JOIN', 'FULL JOIN');
			$on = SqlTree->list('', ' AND ', 1, $on, condition([ @scope, $r ], [], 1)) if $join ne 'FULL JOIN' && chance(0.3);
			$tree = sql($tree, sql(" $join ")->or_else(' JOIN '), $item, ' ON ', $on)->or_else($tree);
		}
		push @scope, $r;
	}
	return ($tree, \@scope, @conditions);
}

# ---- ORDER BY, LIMIT ----
# A total order of the rows of the scope: something at random, then all keys.
sub total_order
{
	my ($scope) = @_;
	my @items;
	my ($direction, $nulls) = (pick('', '', ' DESC'), '');
	if (!(@$scope == 1 && chance(0.6)))
	{
		push @items, map { my ($kind, $c) = any_column($scope); $c . ($kind eq 'txt' && chance(0.3) ? ' COLLATE "C"' : '') . pick('', ' DESC', ' NULLS FIRST', ' DESC NULLS LAST') } 1 .. n(0, 2);
		$nulls = pick('', '', ' NULLS FIRST', ' NULLS LAST');
	}
	for my $r (@$scope)
	{
		push @items, map { "$r->{alias}.$_$direction$nulls" } @{ $r->{key} } ? @{ $r->{key} } : sort keys %{ $r->{columns} };
	}
	return SqlTree->list(' ORDER BY ', ', ', 0, @items);
}

sub limit
{
	return sql(' LIMIT ', SqlTree->value(pick(0, 1, 1, 2, 5, 10, 30, 100), 'bigint'), chance(0.4) ? sql(' OFFSET ', SqlTree->value(n(0, 15), 'bigint'))->or_else('') : '')->or_else('');
}

# ---- SELECT ----
my %summed = (int => 1, num => 1, flt => 1);

sub aggregate
{
	my ($scope) = @_;
	my ($kind, $c) = any_column($scope);
	my $filter = chance(0.12) ? sql(' FILTER (WHERE ', simple_condition($scope), ')')->or_else('') : '';
	my $r = rand();
	return ('int', sql('count(*)', $filter)) if $r < 0.2;
	return ('int', sql("count($c)", $filter)) if $r < 0.32;
	return ('int', sql("count(DISTINCT $c)", $filter)) if $r < 0.4;
	return ($kind eq 'int' ? 'num' : $kind, plain($kind, sql(pick('sum', 'avg'), "($c)", $filter))) if $summed{$kind} && $r < 0.75;
	return ('bool', sql(pick('bool_and', 'bool_or'), "($c)", $filter)) if $kind eq 'bool';
	return ('txt', sql("string_agg($c, '|' ORDER BY $c)", $filter)) if $kind eq 'txt' && $r < 0.5;
	return ('txt', sql("(array_agg($c ORDER BY $c)", $filter, ')::text')) if $kind =~ /^(int|day|enm)$/ && $r < 0.78;
	return ('int', sql('count(*)', $filter)) if $kind =~ /^(jsn|uid|byt|bool)$/;    # these have no min
	return ($kind, plain($kind, sql(pick('min', 'max'), "($c)", $filter)));
}

# Targets c1, c2, ... as a list, and the kinds of these columns
sub targets
{
	my ($min, @targets) = @_;
	my ($i, %columns_of) = (0);
	my @items;
	for (@targets)
	{
		my $name = 'c' . ++$i;
		$columns_of{$name} = $_->[0];
		push @items, sql($_->[1], " AS $name");
	}
	return (SqlTree->list('', ', ', $min, @items), \%columns_of);
}

# One SELECT; kinds: of its columns, when they have to be those. Returns (tree, columns, ordered).
sub select_
{
	my ($outer, $depth, $correlated, @wanted) = @_;
	my ($from, $scope, @conditions) = from($outer, $depth);
	push @conditions, equality($scope, $outer, 0.5) // () if $correlated;
	push @conditions, condition($scope, $outer, $depth) for 1 .. pick(0, 0, 1, 1, 2, 3);
	my $where = SqlTree->list(' WHERE ', ' AND ', 0, map { sql('(', $_, ')') } @conditions);
	my $r = rand();
	my $finish = sub {
		my ($head, $list, $tail, $order) = @_;
		my $ordered = $order && ($depth == 0 || chance(0.5)) && chance(0.5);
		return sql($head, $list, ' FROM ', $from, $where, $tail, $ordered ? ($order, chance(0.6) ? limit() : '') : ());
	};
	if (@wanted)
	{
		my ($list, $columns_of) = targets(scalar @wanted, map { [ $_, cast($_, expression($scope, $outer, $_, $depth + 1)) ] } @wanted);
		return ($finish->('SELECT ', $list, '', undef), $columns_of);
	}
	if ($r < 0.22)    # an aggregate without groups
	{
		my ($list, $columns_of) = targets(1, map { [ aggregate($scope) ] } 1 .. n(1, 5));
		return (sql('SELECT ', $list, ' FROM ', $from, $where, chance(0.1) ? sql(' HAVING count(*) > ', n(0, 5))->or_else('') : ''), $columns_of);
	}
	if ($r < 0.42)    # groups
	{
		my @by = map { [ any_column($scope) ] } 1 .. pick(1, 1, 2);
		my @set = map { $_->[1] } @by;
		my $by = chance(0.1) ? 'ROLLUP (' . join(', ', @set) . ')' : chance(0.05) ? 'GROUPING SETS ((' . join(', ', @set) . "), ($set[0]), ())" : join(', ', @set);
		my ($list, $columns_of) = targets(1, (map { [ $_->[0], plain(@$_) ] } @by), map { [ aggregate($scope) ] } 1 .. n(1, 4));
		my @having = ((chance(0.2) ? sql((aggregate($scope))[1], ' ', pick('IS NOT NULL', 'IS NULL')) : ()), (chance(0.2) ? sql('count(*) > ', n(0, 3)) : ()));
		return (sql('SELECT ', $list, ' FROM ', $from, $where, " GROUP BY $by", SqlTree->list(' HAVING ', ' AND ', 0, @having)), $columns_of);
	}
	if ($r < 0.52)    # DISTINCT
	{
		my @columns = map { [ any_column($scope) ] } 1 .. n(1, 3);
		my ($list, $columns_of) = targets(1, map { [ $_->[0], plain(@$_) ] } @columns);
		return ($finish->('SELECT DISTINCT ', $list, '', SqlTree->list(' ORDER BY ', ', ', 0, map { "$_" . pick('', ' DESC') } 1 .. @columns)), $columns_of);
	}
	if ($r < 0.58)    # window functions
	{
		my $over = total_order($scope);
		my ($kind, $c) = any_column($scope);
		my ($list, $columns_of) = targets(1, [ 'int', sql(pick("row_number() OVER (", "count(*) OVER (PARTITION BY $c", "lag(1, 2) OVER (PARTITION BY $c", "count($c) OVER ("), $over, ')') ],
			map { my ($k, $t) = any_column($scope); [ $k, plain($k, $t) ] } 1 .. 2);
		return ($finish->('SELECT ', $list, '', total_order($scope)), $columns_of);
	}
	return ($finish->('SELECT ', '*', '', total_order($scope)), {}) if $depth == 0 && @$scope == 1 && chance(0.2);
	return ($finish->('SELECT ', pick(map { $_->{alias} } @$scope), '', total_order($scope)), {}) if $depth == 0 && chance(0.05);
	my ($list, $columns_of) = targets(1, map {
		my ($kind, $c) = any_column($scope);
		chance(0.8) ? [ $kind, $depth ? plain($kind, $c) : $c ] : ($kind = pick(@kinds), [ $kind, plain($kind, expression($scope, $outer, $kind, $depth + 1)) ])[1]
	} 1 .. n(1, 5));
	return (sql($finish->('SELECT ', $list, '', total_order($scope)), sql(pick(' FOR UPDATE', ' FOR SHARE'))->or_else('')), $columns_of)
	  if $depth == 0 && @$scope == 1 && @{ $scope->[0]{key} } && chance(0.05);
	return ($finish->('SELECT ', $list, '', total_order($scope)), $columns_of);
}

sub query
{
	my ($outer, $depth, $correlated) = @_;
	my @here;
	if ($depth == 0 && chance(0.1))
	{
		my ($inner, $columns_of) = query([], 1);
		my $name = 'w' . ++$names;
		local @ctes = ([ $name, $columns_of ]);
		my ($tree, $result) = select_($outer, $depth);
		return (sql("WITH $name AS ", pick('', 'MATERIALIZED ', 'NOT MATERIALIZED '), '(', $inner, ') ', $tree), $result);
	}
	if (!$correlated && chance(0.08))
	{
		my @wanted = map { pick(@kinds) } 1 .. n(1, 3);
		my ($one, $columns_of) = select_($outer, $depth + 1, 0, @wanted);
		my ($two) = select_($outer, $depth + 1, 0, @wanted);
		return (sql(sql($one, pick(' UNION ', ' UNION ALL ', ' EXCEPT ', ' EXCEPT ALL ', ' INTERSECT '), $two)->or_else($one, $two),
			chance(0.5) ? sql(' ORDER BY ', join(', ', 1 .. @wanted), chance(0.6) ? limit() : '')->or_else('') : ''), $columns_of);
	}
	return select_($outer, $depth, $correlated);
}

# ---- what the planner can do something special with ----
# Few clauses, in the shape that nodes work on: ranges in the key's order, lookups in joins, aggregates.
sub aimed
{
	my $kind = rand();
	if ($kind < 0.35)    # by the key's order
	{
		my ($from, $r) = relation(a_table());
		my $direction = pick('', '', ' DESC', ' DESC NULLS LAST', ' NULLS FIRST');
		my @conditions = ((chance(0.6) ? key_condition($r) : ()), (chance(0.3) ? simple_condition([$r]) : ()));
		my @order = @{ $r->{key} };
		my @columns = map { "$r->{alias}.$_" } @order, map { pick(sort keys %columns) } 1 .. n(0, 3);
		return sql('SELECT ', SqlTree->list('', ', ', 1, @columns), " FROM $from", SqlTree->list(' WHERE ', ' AND ', 0, @conditions),
			' ORDER BY ' . join(', ', map { "$r->{alias}.$_$direction" } @order), limit());
	}
	if ($kind < 0.43)    # by a beginning of the key: only what is ordered is shown
	{
		my ($from, $r) = relation(pick(grep { $tables{$_}[0][0][2] ne 'ext' } sort keys %tables));
		my $n = n(1, scalar @{ $r->{key} });
		my @order = map { "$r->{alias}.$_" } @{ $r->{key} }[ 0 .. $n - 1 ];
		my $direction = pick('', ' DESC');
		my $where = SqlTree->list(' WHERE ', ' AND ', 0, (chance(0.4) ? key_condition($r) : ()), (chance(0.3) ? simple_condition([$r]) : ()));
		my $grouped = chance(0.4);
		my ($on, @by) = ('', '');
		$on = 'DISTINCT ON (' . join(', ', @order) . ') ' if !$grouped && chance(0.3);
		@by = (' GROUP BY ' . join ', ', @order) if $grouped;
		return sql("SELECT $on", SqlTree->list('', ', ', 1, @order, $grouped ? map { (aggregate([$r]))[1] } 1 .. n(1, 3) : ()), " FROM $from", $where, @by,
			' ORDER BY ' . join(', ', map { "$_$direction" } @order), chance(0.6) ? limit() : '');
	}
	if ($kind < 0.68)    # lookups
	{
		my ($outer_item, $o) = chance(0.5) ? relation('ref') : relation(a_table());
		my ($inner_item, $i) = relation(a_table());
		my $on = equality([$i], [$o], 0.9) // return aimed();
		my $extra = chance(0.25) ? sql(' AND ', condition([ $o, $i ], [], 2))->or_else('') : '';
		my @conditions = map { simple_condition([$o]) } 1 .. n(0, 1);
		my @columns = map { (any_column([ $o, $i ]))[1] } 1 .. 4;
		my $how = rand();
		my $order = chance(0.5) ? sql(total_order([ $o, $how < 0.6 ? $i : () ]), limit())->or_else('') : '';
		return sql('SELECT ', SqlTree->list('', ', ', 1, @columns), " FROM $outer_item", sql(pick(' JOIN ', ' LEFT JOIN '))->or_else(' JOIN '), $inner_item, ' ON ', $on, $extra,
			SqlTree->list(' WHERE ', ' AND ', 0, @conditions), $order) if $how < 0.6;
		@columns = map { (any_column([$o]))[1] } 1 .. 4;
		return sql('SELECT ', SqlTree->list('', ', ', 1, @columns), " FROM $outer_item WHERE ", sql(pick('', 'NOT '), "EXISTS (SELECT FROM $inner_item WHERE ", $on, $extra, ')')->or_else('true'),
			SqlTree->list(' AND ', ' AND ', 0, @conditions), $order);
	}
	my ($from, $r) = relation(a_table());
	my @by = map { [ any_column([$r]) ] } 1 .. pick(0, 1, 1, 2);
	my ($list) = targets(1, (map { [ $_->[0], plain(@$_) ] } @by), map { [ aggregate([$r]) ] } 1 .. n(1, 5));
	my @conditions = ((chance(0.3) ? key_condition($r) : ()), map { simple_condition([$r]) } 1 .. pick(0, 0, 1, 2));
	return sql('SELECT ', $list, " FROM $from", SqlTree->list(' WHERE ', ' AND ', 0, @conditions), @by ? ' GROUP BY ' . join(', ', map { $_->[1] } @by) : (),
		chance(0.2) ? sql(' HAVING ', (aggregate([$r]))[1], ' IS NOT NULL')->or_else('') : ());
}

# A random query as a tree
sub random_query
{
	$names = 0;
	@ctes = ();
	return aimed() if chance(0.4);
	my ($tree) = query([], 0);
	return $tree;
}

# Most of its values become parameters.
sub parametrize { my ($tree) = @_; $_->{param} = chance(0.8) for grep { exists $_->{text} } $tree->nodes }

# ---- writes ----
# silent: without RETURNING
sub random_write
{
	my ($silent) = @_;
	$names = 0;
	@ctes = ();
	my $table = pick(sort keys %tables);
	my ($from, $r) = relation($table);
	my @key = @{ $r->{key} };
	if (chance(0.35))
	{
		my @c = (@key, grep { chance(0.7) } sort keys %columns);
		my @rows = map { '(' . join(', ', map { column_value($_, $r->{columns}{$_}) } @c) . ')' } 1 .. n(1, 12);
		return sql("INSERT INTO $table (" . join(', ', @c) . ')', SqlTree->list(' VALUES ', ', ', 1, @rows), ' ON CONFLICT DO NOTHING');
	}
	my $where = SqlTree->list(' WHERE ', ' AND ', 0, chance(0.5) ? key_condition($r) : (), condition([$r], [], 0));
	my $returning = !$silent && chance(0.4) ? sql(' RETURNING ', join(', ', map { "$r->{alias}.$_" } @key, map { pick(sort keys %columns) } 1 .. 3))->or_else('') : '';
	my $whole = $returning && chance(0.3) ? sub { sql('WITH w AS (', @_, ') SELECT count(*) FROM w') } : \&sql;
	my $with = '';
	if (chance(0.2))
	{
		# another table, of which at most one row belongs to each
		my $other = 'x' . ++$names;
		$with = "ref $other";
		unshift @{ $where->{items} }, "$other.id = $r->{alias}." . pick(grep { $r->{columns}{$_} eq 'int' } sort keys %{ $r->{columns} });
		push @{ $where->{items} }, simple_condition([ { alias => $other, columns => \%ref, key => ['id'] } ]) if chance(0.5);
	}
	return $whole->("DELETE FROM $from", $with && " USING $with", $where, $returning) if chance(0.45);
	my @set = map { my $c = pick(sort keys %columns); [ $c, column_value($c, $columns{$c}) ] } 1 .. n(1, 3);
	my %seen;
	@set = grep { !$seen{ $_->[0] }++ } @set;
	if (!$seen{n} && chance(0.15))
	{
		my ($counted, $in) = from_one();
		push @set, [ 'n', sql('(SELECT count(*) FROM ', $counted, SqlTree->list(' WHERE ', ' AND ', 0, condition([$in], [$r], 1)), ')')->text ];
	}
	push @set, [ 's', "coalesce($r->{alias}.s, '') || 'z'" ] if !$seen{s} && chance(0.3);
	return $whole->("UPDATE $from", SqlTree->list(' SET ', ', ', 1, map { "$_->[0] = $_->[1]" } @set), $with && " FROM $with", $where, $returning);
}

1;
