# TablePair: two sessions of one PostgreSQL, in which the same names mean plain local tables and foreign tables. The same SQL in both
# must give the same results, row counts and SQLSTATEs.
package TablePair;

use strict;
use warnings;
use DorisCluster;
use SqlTree;
use Test::More ();

# Schemas l and f, made by the statements given for each
sub new
{
	my ($class, $cluster, %make) = @_;
	my $self = bless { cluster => $cluster, settings => [ "SET timezone = 'UTC'" ], errors => {}, with_rows => 0, done => 0 }, $class;
	for my $schema (qw(l f))
	{
		$cluster->sql("SET client_min_messages = warning; CREATE SCHEMA $schema; SET search_path = $schema, public; $make{$schema}");
	}
	$self->connect;
	return $self;
}

sub connect
{
	my $self = shift;
	for my $schema (qw(l f))
	{
		$self->{$schema}->close if $self->{$schema};
		my $s = $self->{$schema} = $self->{cluster}->session;
		$s->query("SET client_min_messages = error; SET search_path = $schema, public");
		$s->query($_) for @{ $self->{settings} };
	}
}

sub foreign { return $_[0]{f} }
sub lost { my $self = shift; return $self->{l}{lost} || $self->{f}{lost} }

# A setting of both sessions, kept over a new connection
sub set { my ($self, $sql) = @_; push @{ $self->{settings} }, $sql; $_->query($sql) for @{$self}{qw(l f)} }

# Without an order of its own a result is a set of lines.
sub normal { my ($ordered, $out) = @_; return $ordered ? $out : join "\n", sort split /\n/, $out, -1 }

# Runs it in both: (result of the local tables, of the foreign ones).
sub results
{
	my ($self, $sql, $ordered) = @_;
	$_->send($sql) for @{$self}{qw(l f)};
	return map { normal($ordered, $_->finish(60)) } @{$self}{qw(l f)};
}

# Is the result the same? What was found is kept for report().
sub same
{
	my ($self, $sql, $ordered) = @_;
	my ($l, $f) = $self->results($sql, $ordered);
	$self->{done}++;
	$l =~ /ERROR:\s+(\w+)/ ? $self->{errors}{$1}++ : $l =~ /^(?![A-Z ]+[\d ]*$)./m && $self->{with_rows}++;
	$self->{failed} = $l =~ /ERROR/;
	@{$self}{qw(was_l was_f)} = ($l, $f);
	return $l eq $f && !$self->lost;
}

sub report
{
	my ($self, @lines) = @_;
	Test::More::diag(@lines);
	Test::More::diag("local tables:\n" . substr($self->{was_l}, 0, 3000) . "\nforeign tables:\n" . substr($self->{was_f}, 0, 3000));
	Test::More::diag("a connection was lost: $1") if $self->lost && $self->{cluster}->slurp_log('pg') =~ /^(.*was terminated by.*(?:\n.*DETAIL.*)?)/m;
}

# Makes a tree smaller as long as its results differ. before: statements of a transaction that it is run in, made fewer too.
# text: how the tree becomes a statement; ordered: whether the order of its result counts.
sub smallest
{
	my ($self, $tree, $before, $text, $ordered, $seconds) = @_;
	my $differs = sub {
		$self->connect if $self->lost;
		my $sql = $text->($tree);
		$self->results($_, 0) for 'BEGIN', @$before;
		my ($l, $f) = $self->results($sql, $ordered->($tree));
		my $differ = ($l ne $f || $self->lost) && "$l$f" !~ /ERROR:\s+57014/;
		@{$self}{qw(was_l was_f)} = ($l, $f) if $differ;
		$self->connect if $self->lost;
		$self->results('ROLLBACK; DEALLOCATE ALL', 0);
		return $differ;
	};
	$self->connect if $self->lost;
	$self->results('ROLLBACK; DEALLOCATE ALL', 0);
	return 0 if !$differs->();
	$tree->shrink($differs, $seconds);
	for (my $i = $#$before; $i >= 0; $i--)
	{
		my ($one) = splice @$before, $i, 1;
		splice @$before, $i, 0, $one if !$differs->();
	}
	$differs->();
	return 1;
}

1;
