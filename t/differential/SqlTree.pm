# SqlTree: a statement as a tree that can be printed, and made smaller part by part while something still holds of it.
package SqlTree;

use strict;
use warnings;
use Time::HiRes qw(time);

# A sequence of strings and trees
sub new { my ($class, @parts) = @_; return bless { parts => [@parts] }, $class }

# Items with a separator, after `head`; nothing at all when there are none. At least `min` are kept.
sub list
{
	my ($class, $head, $separator, $min, @items) = @_;
	return bless { head => $head, separator => $separator, min => $min, items => [@items] }, $class;
}

# A literal, which may become a parameter of its type
sub value { my ($class, $text, $type) = @_; return bless { text => $text, type => $type }, $class }

# What the whole may be replaced by, simplest first
sub or_else { my ($self, @simpler) = @_; push @{ $self->{simpler} }, @simpler; return $self }

# As text. With an array, each value marked `param` is printed as $n and put there.
sub text
{
	my ($node, $params) = @_;
	return $node if !ref $node;
	if (exists $node->{text})
	{
		return $node->{text} if !$params || !$node->{param};
		push @$params, $node;
		return '$' . @$params;
	}
	return join '', map { text($_, $params) } @{ $node->{parts} } if $node->{parts};
	return '' if !@{ $node->{items} };
	return $node->{head} . join $node->{separator}, map { text($_, $params) } @{ $node->{items} };
}

# All nodes, the outer ones first
sub nodes
{
	my $node = shift;
	return () if !ref $node;
	return ($node, map { nodes($_) } @{ $node->{parts} // $node->{items} // [] });
}

# Makes the tree as small as it gets while holds() is true of it, for at most so many seconds.
sub shrink
{
	my ($root, $holds, $seconds) = @_;
	my $until = time + $seconds;
	my $smaller = 1;
	while ($smaller)
	{
		$smaller = 0;
		for (my $i = 0; $i < (my @nodes = nodes($root)); $i++)
		{
			my $node = $nodes[$i];
			for my $other (@{ $node->{simpler} // [] })
			{
				return if time > $until;
				next if text($other) eq text($node);
				my %was = %$node;
				%$node = ref $other ? %$other : (parts => [$other]);
				if ($holds->())
				{
					$smaller = 1;
					last;
				}
				%$node = %was;
			}
			next if !$node->{items};
			for (my $j = $#{ $node->{items} }; $j >= 0 && @{ $node->{items} } > $node->{min}; $j--)
			{
				return if time > $until;
				my ($item) = splice @{ $node->{items} }, $j, 1;
				if ($holds->()) { $smaller = 1 }
				else { splice @{ $node->{items} }, $j, 0, $item }
			}
		}
	}
}

1;
