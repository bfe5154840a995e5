#!/usr/bin/perl
# libdoris as its users have it: the program of docs/libdoris.md, compiled by plain C11 with what pkg-config says of an
# installed library, against a cluster with a key; also many at once, of which none may lose a line. C++ can read the header too.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::Bin;
use File::Temp;
use POSIX ();
use Test::More;
use DorisCluster;

my $root = $DorisCluster::root;
my $text = DorisCluster::slurp("$root/docs/libdoris.md");
my ($program) = $text =~ /^```c\n(.*?)^```$/ms or BAIL_OUT('docs/libdoris.md has no program');
my ($table) = $text =~ /^```sql\n(.*?)^```$/ms or BAIL_OUT('docs/libdoris.md has no table');

# ---- installed where only pkg-config finds it ----
my $dir = File::Temp::tempdir('doris-test-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my @variables = map { defined $ENV{$_} ? "$_=$ENV{$_}" : () } qw(BUILD PG_CONFIG SANITIZE);
my ($rc, $out) = DorisCluster::run(600, 'make', '-s', '--no-print-directory', '-C', $root, 'install-programs', @variables, "DESTDIR=$dir", 'PREFIX=/opt/doris');
is($rc, 0, 'it is installed') or BAIL_OUT($out);
$ENV{PKG_CONFIG_SYSROOT_DIR} = $dir;
$ENV{PKG_CONFIG_LIBDIR} = "$dir/opt/doris/lib/pkgconfig";
$ENV{LD_LIBRARY_PATH} = "$dir/opt/doris/lib";
open(my $fh, '>', "$dir/append.c") or die "$dir/append.c: $!";
print $fh $program;
close $fh;
my @sanitize = split ' ', $ENV{SANITIZE} // '';
($rc, $out) = DorisCluster::run(60, 'sh', '-c',
	'dir=$1; shift; cc -std=c11 -Wall -Wextra -Werror "$@" -o "$dir/append" "$dir/append.c" $(pkg-config --cflags --libs doris)', 'sh', $dir, @sanitize);
is($rc, 0, 'the program of docs/libdoris.md compiles by plain C11 without a warning') or BAIL_OUT($out);
open($fh, '>', "$dir/open.cc") or die "$dir/open.cc: $!";
print $fh <<'CC';
#include <cstdio>
#include <doris.h>

int main(int argc, char **argv)
{
	DorisOptions options = {};
	DorisError err = {};
	DorisClient *client;

	options.hosts = argc > 1 ? argv[1] : "";
	options.key_file = argc > 2 ? argv[2] : "";
	if (doris_connect(&options, &client, &err) != DORIS_OK)
		return std::fprintf(stderr, "%s\n", err.message), 1;
	doris_disconnect(client);
	return 0;
}
CC
close $fh;
($rc, $out) = DorisCluster::run(60, 'sh', '-c',
	'dir=$1; shift; g++ -std=c++11 -Wall -Wextra -Werror "$@" -o "$dir/open" "$dir/open.cc" $(pkg-config --cflags --libs doris)', 'sh', $dir, @sanitize);
is($rc, 0, 'and a small one by plain C++11') or diag($out);

# ---- run ----
my $cluster = DorisCluster->new;
my @append = ("$dir/append", $cluster->{hosts}, $cluster->{key_file} // '');
$cluster->sql($table);
is((DorisCluster::run(20, @append))[0], 2, 'misused: 2');
is_deeply([ DorisCluster::run(20, "$dir/open", @append[ 1, 2 ]) ], [ 0, '' ], 'the one in C++ opens a client');
is_deeply([ DorisCluster::run(20, @append, 'today', $_) ], [ 0, '' ], "\"$_\" is added") for 'one', 'two';
is($cluster->sql("SELECT body FROM notes WHERE page = 'today'"), "one\ntwo\n", 'SQL reads both lines');

my ($writers, $each) = (4, 25);
my @children;
for my $w (1 .. $writers)
{
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		for (1 .. $each) { (DorisCluster::run(60, @append, 'shared', "$w-$_"))[0] == 0 or POSIX::_exit(1) }
		POSIX::_exit(0);
	}
	push @children, $pid;
}
my $failed = 0;
for (@children) { waitpid($_, 0); $failed++ if $? != 0 }
is($failed, 0, "$writers writers of the same page end");
my @lines = split /\n/, $cluster->sql("SELECT body FROM notes WHERE page = 'shared'");
is(scalar(@lines), $writers * $each, 'no line is lost');
is_deeply([ sort @lines ], [ sort map { my $w = $_; map { "$w-$_" } 1 .. $each } 1 .. $writers ], 'each is there once');

($rc, $out) = DorisCluster::run(20, $append[0], '127.0.0.1:1', '', 'today', 'x');
is($rc, 1, 'nobody listens: 1');
like($out, qr/^append: .*127\.0\.0\.1:1/, 'and it says where');
done_testing;
