"""How this machine's apt reaches its Debian mirror, written for the apt of a build; it stays in no image.

All suites of our images: the release, its updates, its security fixes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from core.errors import CommandFailed
from hosts.base import Host
from infra.roles.docker.apt import AptSource, read_sources
from infra.roles.images.mirror import Mirror, find_mirror, read_proxies, with_login
from infra.roles.images.packages import SUITE

SECRETS = PurePosixPath("/run/secrets")
# The files of a build as they are named in `SECRETS`; in the folder of a build they are the keys of `AptFiles`.
MOUNTED = {"apt.conf": "apt_conf", "sources.list": "apt_sources", "auth.conf": "apt_auth"}
DEBOOTSTRAP_SCRIPT = f"/usr/share/debootstrap/scripts/{SUITE}"
DEFAULT_MIRROR = re.compile(r"^default_mirror (\S+)$", re.MULTILINE)
SECURITY_SUFFIX = "-security"  # of the same server's other archive
REACHABLE = ("http", "https")  # a mirror in a folder of the machine is not in the build


def read_apt_settings(
    host: Host,
    ca_bundle: str | None,
    *,
    folder: PurePosixPath = SECRETS,
    otherwise: str | None = None,
    suite: str = SUITE,
) -> dict[str, str]:
    """Read the machine's mirror, login, proxies: the files of a build by name, `apt.conf` first of all.

    Where the machine has no Debian mirror of its own it is debootstrap's, from which our base image came; and where
    there is no debootstrap, the sources that the published image brings. The proxies of the environment come to a
    build anyway.

    Args:
        ca_bundle: where the machine's CA bundle lies in the build.
        folder: where the files will lie, under the names of `MOUNTED`.
        otherwise: the mirror of a machine that has none and no debootstrap.
        suite: the release.
    """
    try:
        sources = read_sources(host)
    except CommandFailed:
        sources = []
    own = find_mirror(sources)
    usual = None if _reachable(own.url) else _default_mirror(host) or otherwise
    if not _reachable(own.url) and usual is None:
        return _files([], [], read_proxies(host, own) if sources else {}, ca_bundle, folder)
    mirror = Mirror(usual) if usual is not None else with_login(host, own)
    security = next((source.uri for source in sources if source.label == "Debian-Security"), None)
    lines = [f"deb {mirror.url} {one} main" for one in _suites(sources, usual, suite)]
    mirrors = [mirror]
    if security is not None and _reachable(security):
        mirrors.append(with_login(host, _without_login(security)))
    elif usual is not None:
        mirrors.append(Mirror(usual + SECURITY_SUFFIX))
    lines += [f"deb {one.url} {suite}-security main" for one in mirrors[1:]]
    return _files(lines, mirrors, read_proxies(host, mirror) if sources else {}, ca_bundle, folder)


def read_ubuntu_settings(
    host: Host, ca_bundle: str | None, *, folder: PurePosixPath, otherwise: str, suite: str
) -> dict[str, str]:
    """The same for packages of Ubuntu, whose mirrors carry its updates and security fixes too.

    Args:
        otherwise: the mirror of a machine that is no Ubuntu.
        suite: the release.
    """
    try:
        sources = read_sources(host)
    except CommandFailed:
        sources = []
    own = find_mirror(sources, "Ubuntu")
    mirror = with_login(host, own) if _reachable(own.url) else Mirror(otherwise)
    lines = [f"deb {mirror.url} {one} main universe" for one in (suite, f"{suite}-updates", f"{suite}-security")]
    return _files(lines, [mirror], read_proxies(host, mirror) if sources else {}, ca_bundle, folder)


def apt_conf(
    proxies: Mapping[str, str],
    ca_bundle: str | None,
    *,
    own_sources: bool = True,
    folder: PurePosixPath = SECRETS,
) -> str:
    """Write the `apt.conf` of a build.

    Args:
        own_sources: the machine's sources count; the image's own otherwise.
        folder: see `read_apt_settings`.
    """
    options = {"Dir::Etc::SourceList": f"{folder}/apt_sources", "Dir::Etc::SourceParts": "-"} if own_sources else {}
    options |= {
        "Dir::Etc::Netrc": f"{folder}/apt_auth",
        "Dir::Etc::NetrcParts": "-",
        "APT::Sandbox::User": "root",  # the files above are root's alone
        "APT::Install-Recommends": "false",
        "Acquire::Retries": "3",
        "Acquire::http::Timeout": "30",
        "Acquire::https::Timeout": "30",
        "Dpkg::Use-Pty": "0",
    }
    for scheme in REACHABLE:
        if address := proxies.get(f"{scheme}_proxy"):
            options[f"Acquire::{scheme}::Proxy"] = address
    for name in filter(None, proxies.get("no_proxy", "").split(",")):
        options |= {f"Acquire::{scheme}::Proxy::{name.strip()}": "DIRECT" for scheme in REACHABLE}
    if ca_bundle is not None:
        options["Acquire::https::CaInfo"] = ca_bundle
    return "".join(f'{name} "{value}";\n' for name, value in options.items())


def _files(
    lines: Sequence[str],
    mirrors: Sequence[Mirror],
    proxies: Mapping[str, str],
    ca_bundle: str | None,
    folder: PurePosixPath,
) -> dict[str, str]:
    # With its scheme: without one apt sends a login over https only.
    auth = [f"machine {one.url} login {one.user} password {one.password}\n" for one in mirrors if one.user]
    return {
        "apt.conf": apt_conf(proxies, ca_bundle, own_sources=bool(lines), folder=folder),
        "sources.list": "\n".join([*lines, ""]),
        "auth.conf": "".join(auth),
    }


def _default_mirror(host: Host) -> str | None:
    found = DEFAULT_MIRROR.search((host.read(DEBOOTSTRAP_SCRIPT) or b"").decode("utf-8", "replace"))
    return found[1].rstrip("/") if found else None


def _suites(sources: Sequence[AptSource], usual: str | None, suite: str) -> list[str]:
    """The release, and its updates where the mirror is known to carry them: a mirror that does so does for all."""
    carried = usual is not None or any(source.codename.endswith("-updates") for source in sources)
    return [suite, *([f"{suite}-updates"] if carried else [])]


def _reachable(url: str | None) -> bool:
    return url is not None and urlsplit(url).scheme in REACHABLE


def _without_login(uri: str) -> Mirror:
    return find_mirror([AptSource(uri, "", "main", "Debian")])
