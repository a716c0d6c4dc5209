"""Whether a machine can resolve the names that it must reach to install something."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from core.errors import CommandFailed, CommandTimedOut
from hosts.base import Host
from infra.roles.docker.apt import read_sources
from infra.roles.images.mirror import Mirror, read_proxies

RESOLVE_TIMEOUT = 20.0
ANSWERS = (0, 1, 2)  # getent(1): 2 is "not found"


def package_server(host: Host) -> str | None:
    """The name that a machine must resolve to reach its packages: the mirror's, or the proxy's in front of it.

    None where none is needed: packages come from a disk, addresses are numbers, or apt is not used there.
    """
    try:
        sources = read_sources(host)
    except CommandFailed:
        return None
    for source in sources:
        parts = urlsplit(source.uri)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            continue
        proxy = read_proxies(host, Mirror(source.uri)).get(f"{parts.scheme}_proxy")
        name = urlsplit(proxy if proxy and "://" in proxy else f"//{proxy}").hostname if proxy else parts.hostname
        return None if name is None or _is_number(name) else name
    return None


def outbound_problems(host: Host) -> list[str]:
    """Check that the server of the packages can be found by its name."""
    name = package_server(host)
    if name is None:
        return []
    try:
        found = host.run("getent", "ahosts", name, ok=ANSWERS, timeout=RESOLVE_TIMEOUT).ok
    except CommandTimedOut:
        found = False
    if found:
        return []
    return [
        f"the name {name} cannot be resolved, and packages must come from there; check DNS there "
        "(/etc/resolv.conf, `getent ahosts NAME`), or set a proxy for apt"
    ]


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
