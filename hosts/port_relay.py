"""A port of another machine carried over a session, for servers that forward no ports (`AllowTcpForwarding no`)."""

from __future__ import annotations

REFUSED = b"-"  # what it says first where nothing listens; else a plus
# perl is in every Debian and Ubuntu (perl-base is essential), and can half-close a socket, which bash cannot.
# The child carries what comes in, the parent what goes out. After the end of what comes in, which may be the end of
# everything, the other side may be silent for a minute.
RELAY = r"""
use strict; use IO::Socket::IP;
my ($host, $port) = @ARGV;
my $far = IO::Socket::IP->new(PeerHost => $host, PeerPort => $port, Type => SOCK_STREAM, Timeout => 10);
$| = 1;
if (!$far) { print "-"; exit 0 }
print "+";
sub carry {
    my ($from, $to, $each) = @_;
    while (1) {
        my $count = sysread($from, my $data, 65536);
        next if !defined $count && $!{EINTR};
        return if !$count;
        $each->();
        for (my $sent = 0; $sent < $count;) {
            my $more = syswrite($to, $data, $count - $sent, $sent);
            next if !defined $more && $!{EINTR};
            return if !defined $more;
            $sent += $more;
        }
    }
}
my $ended = 0;
$SIG{CHLD} = sub { $ended = 1; alarm 60 };
my $child = fork;
if (!$child) {
    close STDOUT; close STDERR;
    carry(\*STDIN, $far, sub {});
    shutdown $far, 1;
    exit 0;
}
close STDIN;
carry($far, \*STDOUT, sub { alarm 60 if $ended });
shutdown STDOUT, 1; close STDOUT; close STDERR;
waitpid $child, 0;
"""


def relay_command(address: str, port: int) -> tuple[str, ...]:
    """Join standard input and output to a port; `address` is one of the machine's own."""
    return ("perl", "-e", " ".join(RELAY.split()), address, str(port))
