# Growth: has the groups of a cluster grow and shrink by plans, and measures what that did: time, vnodes that changed their owner
# against the fewest that any plan could move, bytes. For bench/expand and t/083_grow.pl.
package Growth;

use strict;
use warnings;
use Time::HiRes qw(time sleep);

# new(cluster => DorisCluster, pause => sub { lets so many seconds pass })
sub new
{
	my ($class, %o) = @_;
	return bless { pause => sub { sleep $_[0] }, %o }, $class;
}

# One more process that may join a group: its name.
sub add_node
{
	my $self = shift;
	my ($rc, $out) = $self->{cluster}->local('add-node', '--role', 'spare');
	die "local-cluster add-node failed ($rc):\n$out" if $rc != 0;
	return (split /\n/, $out)[-1];
}

# The map as it stands: "group vnode" => owner
sub map_of
{
	my $self = shift;
	my %map = map { /^(\d+)\|(\d+)\|(\w+)$/ ? ("$1 $2" => $3) : () }
		split /\n/, $self->{cluster}->sql('SELECT group_id, vnode, owner FROM doris_vnodes');
	return \%map;
}

# The fewest vnodes that must move so that each of the nodes named holds an even share, to within one, of a group's: whoever
# stays keeps as many as his share allows, and the larger shares go to those who have more.
sub minimum
{
	my ($map, $group, @nodes) = @_;
	my %has = map { $_ => 0 } @nodes;
	my $vnodes = 0;
	for (grep { /^$group / } keys %$map)
	{
		$vnodes++;
		$has{ $map->{$_} }++ if exists $has{ $map->{$_} };
	}
	my $share = int($vnodes / @nodes);
	my $larger = $vnodes % @nodes;
	my $kept = 0;
	for (sort { $b <=> $a } values %has)
	{
		my $may = $share + ($larger-- > 0 ? 1 : 0);
		$kept += $_ < $may ? $_ : $may;
	}
	return $vnodes - $kept;
}

# Grows or shrinks groups, all at once, to the nodes named: run({ 1 => [names], 2 => [names] }); waits at most so many seconds.
# Figures: seconds, moved, minimum, told (the plans' own minimum), between (moves that are neither to a new node nor from
# one that leaves), uneven (the largest distance from an even share, above one), bytes, plans. Dies when a plan does not end.
sub run
{
	my ($self, $to, $limit) = @_;
	my $cluster = $self->{cluster};
	my $before = $self->map_of;
	my %f = (moved => 0, minimum => 0, between => 0, uneven => 0);
	my (%new, %gone, @plans);
	my $from = time;

	for my $group (sort keys %$to)
	{
		my @nodes = @{ $to->{$group} };
		my %had = map { $before->{$_} => 1 } grep { /^$group / } keys %$before;
		my @join = grep { !$had{$_} } @nodes;
		my @leave = grep { my $name = $_; !grep { $_ eq $name } @nodes } sort keys %had;
		$f{minimum} += minimum($before, $group, @nodes);
		$new{$_} = 1 for @join;
		$gone{$_} = 1 for @leave;
		my $list = sub { "ARRAY['" . join("', '", @_) . "']" };
		push @plans, $cluster->sql("SELECT doris_expand($group, @{[ $list->(@join) ]}, false)") if @join;
		push @plans, $cluster->sql("SELECT doris_shrink(@{[ $list->(@leave) ]}, false)") if @leave;
	}
	$f{plans} = join ',', @plans;
	my $states = "SELECT plan_id || ' ' || kind || ' ' || state || ' ' || vnodes_done || '/' || vnodes_total || coalesce(' ' || error, '') FROM doris.plans WHERE plan_id IN ($f{plans}) ORDER BY 1";
	my $watch = $cluster->session;
	while ($watch->query("SELECT count(*) FROM doris.plans WHERE plan_id IN ($f{plans}) AND state <> 'done'", 30) ne '0')
	{
		die "plans do not end within $limit s: " . $cluster->sql($states) . "\n" if time - $from > $limit;
		$self->{pause}->(0.05);
	}
	$f{seconds} = time - $from;
	my $after = $self->map_of;
	for (grep { $before->{$_} ne $after->{$_} } keys %$before)
	{
		$f{moved}++;
		$f{between}++ if !$new{ $after->{$_} } && !$gone{ $before->{$_} };
	}
	$f{uneven} = uneven($after, $to);
	($f{told}, $f{vnodes}, $f{bytes}) = split /\|/, $cluster->sql("SELECT sum(minimum), sum(vnodes_total), sum(bytes_total) FROM doris.plans WHERE plan_id IN ($f{plans})");
	return \%f;
}

# How far the worst of the nodes is from the even share of its group, above the one vnode that cannot be split; -1 when
# somebody holds vnodes who should not.
sub uneven
{
	my ($map, $to) = @_;
	my $worst = 0;
	for my $group (keys %$to)
	{
		my @nodes = @{ $to->{$group} };
		my %has = map { $_ => 0 } @nodes;
		my @all = grep { /^$group / } keys %$map;
		for (@all)
		{
			return -1 if !exists $has{ $map->{$_} };
			$has{ $map->{$_} }++;
		}
		my $share = @all / @nodes;
		for (values %has)
		{
			my $off = abs($_ - $share);
			$worst = $off if $off >= 1 && $off > $worst;
		}
	}
	return $worst;
}

# What is wrong with figures of run(); '' when nothing is.
sub wrong
{
	my ($f) = @_;
	my @wrong;
	push @wrong, "$f->{moved} vnodes have moved, the fewest are $f->{minimum}" if $f->{moved} != $f->{minimum};
	push @wrong, "the plans say that the fewest are $f->{told}" if $f->{told} != $f->{minimum};
	push @wrong, "$f->{between} have moved between nodes that were there and stay" if $f->{between};
	push @wrong, "the map is not even: $f->{uneven}" if $f->{uneven};
	return join '; ', @wrong;
}

# Do all copies of every vnode hold the same? By doris_verify; '' or what it says.
sub differ
{
	my $self = shift;
	my $out = $self->{cluster}->sql("SELECT state || ': ' || count(*) || coalesce(', ' || min(detail), '') FROM doris_verify() WHERE state <> 'equal' GROUP BY state", 300);
	return $out;
}

1;
