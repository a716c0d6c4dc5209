"""A port and a network for a drill: free on the machine, so that nothing that serves there notices it."""

from __future__ import annotations

from core.errors import LabelrigError
from hosts.base import Host, read_text
from infra.roles.preflight import checks

FIRST_PORT, LAST_PORT = 18080, 18180
SUBNETS = tuple(f"172.{second}.{third}.0/24" for second in (30, 29, 28) for third in (240, 241, 242, 243))


def free_port(host: Host) -> int:
    """A port that nothing listens on.

    Raises:
        LabelrigError: all of them are taken.
    """
    tcp, tcp6 = (read_text(host, path) or "" for path in ("/proc/net/tcp", "/proc/net/tcp6"))
    taken = checks.listening_ports(tcp, tcp6, "127.0.0.1")
    for port in range(FIRST_PORT, LAST_PORT + 1):
        if port not in taken:
            return port
    raise LabelrigError(f"{host.name}: every port from {FIRST_PORT} to {LAST_PORT} is taken")


def free_subnet(host: Host) -> str:
    """A network that overlaps none that the machine has a route to.

    Raises:
        LabelrigError: there is none among those that are tried.
    """
    routes = read_text(host, "/proc/net/route") or ""
    for subnet in SUBNETS:
        if not checks.subnet_problems(subnet, routes, False):
            return subnet
    raise LabelrigError(f"{host.name}: no private network is free for a drill ({SUBNETS[0]} and others were tried)")
