"""How this machine's apt reaches its Debian mirror: for debootstrap, which does not ask apt."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from urllib.parse import urlsplit, urlunsplit

from hosts.base import ANY_EXIT_CODE, Host
from infra.roles.docker.apt import AptSource

SCHEMES = ("http", "https", "file")
AUTH_FILES = "cat /etc/apt/auth.conf /etc/apt/auth.conf.d/*.conf 2>/dev/null"


@dataclass(frozen=True)
class Mirror:
    """A Debian mirror. `url` has no credentials; None: debootstrap's own default."""

    url: str | None
    user: str = ""
    password: str = field(default="", repr=False)


def find_mirror(sources: Sequence[AptSource], label: str = "Debian") -> Mirror:
    """Take the mirror of the machine's own Debian; another system (Ubuntu, which has a `label` of its own) has none."""
    for source in sources:
        parts = urlsplit(source.uri)
        if source.label == label and source.component == "main" and parts.scheme in SCHEMES:
            bare = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
            return Mirror(bare, parts.username or "", parts.password or "")
    return Mirror(None)


def with_login(host: Host, mirror: Mirror) -> Mirror:
    """Add the login that apt's auth files have for the mirror's address."""
    if mirror.url is None or mirror.user:
        return mirror
    text = host.run("sh", "-c", AUTH_FILES, ok=ANY_EXIT_CODE, as_root=True).stdout
    user, password = login_for(text, mirror.url)
    return Mirror(mirror.url, user, password)


def login_for(auth_text: str, url: str) -> tuple[str, str]:
    """Find the login for an address in the text of apt's auth files (see apt_auth.conf(5)); empty if none."""
    address = url.partition("://")[2]
    words = " ".join(line for line in auth_text.splitlines() if not line.lstrip().startswith("#")).split()
    machine, found = "", {"login": "", "password": ""}
    for key, value in pairwise(words):
        if key == "machine":
            machine = value.partition("://")[2] or value
        elif key in found and machine and _covers(machine, address):
            found[key] = found[key] or value
    return found["login"], found["password"]


def read_proxies(host: Host, mirror: Mirror, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The proxies on the way to the mirror: apt's own, else the environment's.

    Returns:
        Some of `http_proxy`, `https_proxy`, `no_proxy`; a value may hold credentials.
    """
    if environment is None:
        environment = os.environ if host.is_local else {}
    name = urlsplit(mirror.url or "").hostname or ""
    found: dict[str, str] = {}
    for scheme in ("http", "https"):
        asked = host.run(
            "apt-config",
            "shell",
            "special",
            f"Acquire::{scheme}::Proxy::{name or 'none'}",
            "general",
            f"Acquire::{scheme}::Proxy",
        ).stdout
        values = dict(line.split("=", 1) for line in asked.splitlines() if "=" in line)
        of_apt = (values.get("special") or values.get("general") or "").strip("'")
        variable = f"{scheme}_proxy"
        chosen = of_apt or environment.get(variable) or environment.get(variable.upper()) or ""
        if chosen and chosen.upper() != "DIRECT":
            found[variable] = chosen
        if chosen.upper() == "DIRECT" and name:
            found["no_proxy"] = name
    exceptions = environment.get("no_proxy") or environment.get("NO_PROXY")
    if exceptions:
        found["no_proxy"] = ",".join(filter(None, [found.get("no_proxy"), exceptions]))
    return found


def wgetrc(mirror: Mirror, proxies: Mapping[str, str], ca_bundle: str | None) -> str:
    """Write wget's settings for debootstrap: as a file, since arguments show in the process list."""
    lines = ["tries = 3", "timeout = 30"]
    lines += [f"{name} = {value}" for name, value in sorted(proxies.items())]
    if mirror.user:
        lines += [f"http_user = {mirror.user}", f"http_password = {mirror.password}", "auth_no_challenge = on"]
    if ca_bundle is not None:
        lines.append(f"ca_certificate = {ca_bundle}")
    return "\n".join([*lines, ""])


def _covers(machine: str, address: str) -> bool:
    host, slash, path = machine.partition("/")
    there, _, rest = address.partition("/")
    same = host == there or (":" not in host and host == there.partition(":")[0])
    return same and (not slash or rest.startswith(path))
