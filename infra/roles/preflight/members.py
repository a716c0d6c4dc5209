"""What the hosts of a group with `serve` must have in common, looked at before anything is changed.

The ports are tried for real: for some seconds one host listens on them and the others connect. Perl does it, as it is
on every Debian and Ubuntu, and Python is not.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from core.errors import LabelrigError
from core.text import some
from hosts.base import Host
from hosts.looking import looks_as_root
from infra.config.serving import Serving

CLOCKS_MAY_DIFFER = 10.0
SAMPLE = 20
FOLDER_TIMEOUT = 300.0
CONNECT_SECONDS = 3
TRIED = 6  # ports at most
ABSENT = 127  # exit code of the shell: there is no such program
# Listens on the ports until each was connected to so many times, or the time is over.
LISTEN = """
use IO::Socket::INET; use IO::Select; $| = 1;
my ($address, $clients, $seconds, @ports) = @ARGV;
my (%left, $select); $select = IO::Select->new;
for my $port (@ports) {
    my %at = (LocalAddr => $address, LocalPort => $port, Proto => "tcp", Listen => 32, ReuseAddr => 1);
    my $socket = IO::Socket::INET->new(%at);
    if ($socket) { $select->add($socket); $left{$socket} = $clients } else { print "not ", $port, " ", $! + 0, "\\n" }
}
print "listening\\n";
my $until = time + $seconds;
while ((my $wait = $until - time) > 0 && $select->count) {
    for my $socket ($select->can_read($wait)) {
        my $one = $socket->accept; close $one if $one;
        $select->remove($socket) unless --$left{$socket};
    }
}
"""
# Prints the ports that cannot be connected to.
CONNECT = """
use IO::Socket::INET;
my ($address, $seconds, @ports) = @ARGV;
for my $port (@ports) {
    my $socket = IO::Socket::INET->new(PeerAddr => $address, PeerPort => $port, Proto => "tcp", Timeout => $seconds);
    print $port, "\\n" unless $socket;
}
"""
# A sample of the files below $1, evenly over their names, each ended by a NUL.
NAMES = """cd -- "$1" && find . -type f -print0 | LC_ALL=C sort -z | perl -0 -ne '
push @all, $_;
END { my $many = $ENV{SAMPLE}; $many = @all if @all < $many; print $all[$_ * @all / $many] for 0 .. $many - 1 }'"""
SUMS = 'cd -- "$1" && xargs -0 -r sha256sum -- 2>/dev/null; true'


def member_problems(
    hosts: Mapping[str, Host], serving: Serving, folder: str | None, show: Callable[[str], None]
) -> dict[str, list[str]]:
    """Host -> what is wrong between it and the others.

    Args:
        hosts: all members by name.
        folder: the image folder, which must hold the same files on all; None for the demo images.
        show: gets what is being looked at.
    """
    problems: dict[str, list[str]] = {name: [] for name in serving.members}
    show("comparing the clocks")
    for name, text in _clock_problems(hosts, serving).items():
        problems[name].append(text)
    for name in serving.members:
        show(f"trying the ports of {name}")
        problems[name] += _port_problems(hosts, serving, name)
    if folder is not None:
        show("comparing the image folders")
        for name, text in _folder_problems(hosts, serving, folder).items():
            problems[name].append(text)
    return {name: found for name, found in problems.items() if found}


def _clock_problems(hosts: Mapping[str, Host], serving: Serving) -> dict[str, str]:
    offsets = {name: _offset(hosts[name]) for name in serving.members}
    head, unsure = offsets[serving.head]
    found = {}
    for name in serving.workers:
        offset, more = offsets[name]
        apart = abs(offset - head)
        if apart - unsure - more > CLOCKS_MAY_DIFFER:
            found[name] = (
                f"its clock and that of {serving.head} are {apart:.0f} s apart, {CLOCKS_MAY_DIFFER:.0f} may be; set "
                "the time on both (NTP)"
            )
    return found


def _offset(host: Host) -> tuple[float, float]:
    """How far a clock is ahead of this machine's, and how sure that is; seconds."""
    before = time.time()
    there = float(host.run("date", "+%s.%N").stdout)
    after = time.time()
    return there - (before + after) / 2, (after - before) / 2


def _port_problems(hosts: Mapping[str, Host], serving: Serving, name: str) -> list[str]:
    """Let one host listen and the others connect."""
    ports = _tried(serving, name)
    address, host = serving.addresses[name], hosts[name]
    listening, said = threading.Event(), []
    seconds = 5 + CONNECT_SECONDS * TRIED * (len(serving.members) - 1)  # where no one gets through

    def on_line(line: str) -> None:
        said.append(line.strip())
        if line.strip() == "listening":
            listening.set()

    def listen() -> None:
        try:
            others = len(serving.members) - 1
            arguments = (address, str(others), str(seconds), *map(str, ports))
            ended = host.run("perl", "-e", LISTEN, *arguments, ok=(0, ABSENT), timeout=seconds + 30.0, on_line=on_line)
            if ended.exit_code == ABSENT:
                said.append("no perl")
        except LabelrigError as error:
            said.append(f"failed {str(error).splitlines()[0]}")
        finally:
            listening.set()

    thread = threading.Thread(target=listen, daemon=True, name=f"listen on {name}")
    thread.start()
    listening.wait(seconds)
    if failed := [line for line in said if line.startswith("failed ")]:
        return [f"its ports cannot be tried: {failed[0].removeprefix('failed ')}"]
    if "no perl" in said:
        return ["its ports cannot be tried: there is no Perl; install it"]
    refused = {int(line.split()[1]): int(line.split()[2]) for line in said if line.startswith("not ")}
    if errno.EADDRNOTAVAIL in refused.values():
        return [f"{address} is not an address of it; `addresses` of groups.{serving.group}.serve names the right one"]
    problems = [
        f"port {port} cannot be listened on: {errno.errorcode.get(number, number)}"
        for port, number in refused.items()
        if number != errno.EADDRINUSE  # Ray's own, or one that is named with the other problems of the host
    ]
    for other in serving.members:
        if other != name:
            problems += _unreached(hosts[other], other, address, ports)
    thread.join(seconds + 30.0)
    return problems


def _unreached(host: Host, other: str, address: str, ports: Sequence[int]) -> list[str]:
    ended = host.run(
        "perl", "-e", CONNECT, address, str(CONNECT_SECONDS), *map(str, ports),
        ok=(0, ABSENT), timeout=30.0 + CONNECT_SECONDS * len(ports),
    )  # fmt: skip
    if ended.exit_code == ABSENT:
        return [f"{other} cannot try its ports: there is no Perl; install it"]
    closed = ended.stdout.split()
    return [f"{other} does not reach {address} port {', '.join(closed)}; open it between the hosts"] if closed else []


def _tried(serving: Serving, name: str) -> tuple[int, ...]:
    """Ports that stand for all of a host: those that others ask for by name, and the ends of its processes' range."""
    own = (serving.port,) if name == serving.head else ()
    return (*own, serving.port + 1, serving.port + 2, *serving.worker_ports)


def _folder_problems(hosts: Mapping[str, Host], serving: Serving, folder: str) -> dict[str, str]:
    head = hosts[serving.head]
    names = head.run(
        "env", f"SAMPLE={SAMPLE}", "sh", "-c", NAMES, "sh", folder, timeout=FOLDER_TIMEOUT, as_root=looks_as_root(head)
    ).stdout
    sums = {name: _sums(hosts[name], folder, names.encode()) for name in serving.members}
    wanted = sums[serving.head]
    found = {}
    for name in serving.workers:
        differing = [path for path in wanted if sums[name].get(path) != wanted[path]]
        if differing:
            found[name] = (
                f"{len(differing)} of {len(wanted)} files that were compared in {folder} are missing or others than on "
                f"{serving.head} ({some(differing)}); the hosts of a group have the same images, as from one NAS"
            )
    return found


def _sums(host: Host, folder: str, names: bytes) -> dict[str, str]:
    """Path -> SHA-256, of the files that are there."""
    listed = host.run("sh", "-c", SUMS, "sh", folder, stdin=names, timeout=FOLDER_TIMEOUT, as_root=looks_as_root(host))
    pairs = (line.lstrip("\\").split("  ", 1) for line in listed.stdout.splitlines())
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2}
