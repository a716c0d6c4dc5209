"""Which servers requests may go to, by the address that is really connected to.

A task's URL is written by whoever may import tasks. It must not make the backend send requests to the machines around
it: a name may mean a public address now and `169.254.169.254` in a second (DNS rebinding), so a name is looked up once,
all its addresses are checked, and the connection goes to one of those.
"""

from __future__ import annotations

import ipaddress
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Sequence

import httpx

from backend.errors import ImageError, SourceUnavailable
from backend.sources.locations import Origin, origin_of

Resolver = Callable[[str, int], Sequence[str]]
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
ALLOWED = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Not public, whatever Python's registry says: the protocol assignments, among which one cloud has its metadata
# service, and the wire server of Azure's virtual machines.
NOT_PUBLIC = (ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv4Network("168.63.129.16/32"))


def parse_hosts(text: str) -> frozenset[tuple[str, int | None]]:
    """Read `host[:port], ...`; without a port, all ports.

    Raises:
        ValueError: an entry is something else.
    """
    hosts = set()
    for entry in filter(None, (one.strip() for one in text.split(","))):
        match = ALLOWED.fullmatch(entry)
        if match is None or (match[2] is not None and not 1 <= int(match[2]) <= 65535):
            raise ValueError(f"{entry!r} is not a host or host:port")
        hosts.add((match[1].strip("[]").lower().rstrip("."), int(match[2]) if match[2] else None))
    return frozenset(hosts)


def system_resolver(host: str, port: int) -> list[str]:
    """All addresses of a name, as text, in the order in which to try them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class HostRefused(ImageError):
    """A server's address is inside this network, and none of those that may be asked."""


class HostPolicy:
    """Decides whom the backend may connect to."""

    def __init__(
        self,
        label_studio_url: str | None = None,
        allowed: frozenset[tuple[str, int | None]] = frozenset(),
        resolver: Resolver = system_resolver,
    ) -> None:
        """
        Args:
            label_studio_url: may have any address: who runs the backend has named it.
            allowed: so may these, see `parse_hosts`: an object store in the lab's own network, say.
            resolver: gives the addresses of a name and port, or raises OSError.
        """
        self._label_studio = origin_of(httpx.URL(label_studio_url)) if label_studio_url else None
        self._allowed = allowed
        self._resolver = resolver

    def is_label_studio(self, origin: Origin) -> bool:
        """The one server that gets the token."""
        return origin == self._label_studio

    def addresses(self, origin: Origin, deadline: float) -> list[str]:
        """Addresses of the server, looked up now; each of them may be connected to.

        Raises:
            HostRefused: it has an address that is not public.
            SourceUnavailable: the name is unknown, or no name server answers.
        """
        _, host, port = origin
        found = self._look_up(host, port, deadline)
        trusted = self.is_label_studio(origin) or not self._allowed.isdisjoint({(host, port), (host, None)})
        if not trusted and not all(is_public(address) for address in found):
            raise HostRefused(
                f"the image's server {host} has an address inside this network, which is not asked; if it is meant, "
                "add it to IMAGE_HOSTS_ALLOWED"
            )
        return found

    def _look_up(self, host: str, port: int, deadline: float) -> list[str]:
        """In a thread of its own, because the system's resolver knows no time-out."""
        answers: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(list(self._resolver(host, port)))
            except (OSError, UnicodeError) as error:
                answers.put(error)

        threading.Thread(target=ask, name="look up a host", daemon=True).start()
        try:
            answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise SourceUnavailable(f"the name of the image's server {host} could not be looked up in time") from None
        if isinstance(answer, Exception) or not answer:
            raise SourceUnavailable(f"the image's server {host} is unknown: its name has no address")
        return answer


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, also when it wraps an IPv4 address."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return all(_is_public(one) for one in (ip, *_wrapped(ip)))


def _is_public(ip: IPAddress) -> bool:
    special = ip.is_multicast or ip.is_reserved or ip.is_unspecified or any(ip in network for network in NOT_PUBLIC)
    site_local = isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local
    if isinstance(ip, ipaddress.IPv6Address) and (ip.ipv4_mapped or ip in NAT64):
        return True  # what it wraps decides
    return ip.is_global and not special and not site_local


def _wrapped(ip: IPAddress) -> list[IPAddress]:
    """IPv4 addresses that a packet to this IPv6 address may end at."""
    if isinstance(ip, ipaddress.IPv4Address):
        return []
    found: list[ipaddress.IPv4Address | None] = [ip.ipv4_mapped, ip.sixtofour, ip.teredo[1] if ip.teredo else None]
    if ip in NAT64:
        found.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    return [one for one in found if one is not None]
