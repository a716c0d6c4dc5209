"""What is in an image: its Debian packages and its Python packages, as the image itself says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.parser import HeaderParser

from core.errors import HostError
from hosts.base import Host
from infra.roles.docker.compose import run_docker

READ_TIMEOUT = 120.0
PART, TITLE = "\x1d", "\x1e"
# Every image has a shell and these programs, also those without Python. Only the headers of Python's metadata: its body
# is a README.
SCRIPT = r"""
set -eu
printf 'os-release\036'; cat /usr/lib/os-release
printf '\035status\036'; cat /var/lib/dpkg/status 2>/dev/null || :
printf '\035licenses\036'; grep -H '^License:' /usr/share/doc/*/copyright 2>/dev/null || :
find / -xdev \( -path '*.dist-info/METADATA' -o -path '*.egg-info/PKG-INFO' \) -type f 2>/dev/null | sort |
    while read -r file; do printf '\035python\036'; sed '/^$/q' "$file"; done
"""
LICENSE_LINE = re.compile(r"^/usr/share/doc/([^/]+)/copyright:License:\s*(\S.*?)\s*$", re.MULTILINE)
FIELD = re.compile(r"^(Package|Version|Architecture|Status|Source): (.+)$", re.MULTILINE)
RELEASE_FIELD = re.compile(r"^(ID|VERSION_ID|VERSION_CODENAME)=[\"']?([^\"'\n]*)", re.MULTILINE)
OSI = "License :: OSI Approved :: "


@dataclass(frozen=True)
class DebianPackage:
    """A package that dpkg installed. `licenses` are the short names in its copyright file."""

    name: str
    version: str
    architecture: str
    source: str
    licenses: tuple[str, ...] = ()


@dataclass(frozen=True)
class PythonPackage:
    """A Python package. `expression`: its licence as an SPDX expression; `licenses`: in its own words."""

    name: str
    version: str
    expression: str = ""
    licenses: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageContents:
    """What an image says of itself. `release`: fields of its `os-release`."""

    release: Mapping[str, str]
    debian: tuple[DebianPackage, ...]
    python: tuple[PythonPackage, ...]


def read_contents(host: Host, image: str) -> ImageContents:
    """Read what is in an image, in a container of it without a network that is gone afterwards.

    Raises:
        HostError: the image is not there, or has no shell.
    """
    result = run_docker(
        host, "docker", "run", "--rm", "--network", "none", "--read-only", "--user", "65534:65534",
        "--entrypoint", "sh", image, "-c", SCRIPT, timeout=READ_TIMEOUT,
    )  # fmt: skip
    found = parse_contents(result.stdout)
    if not found.release:
        raise HostError(f"{host.name}: {image} does not say what it is made of")
    return found


def parse_contents(text: str) -> ImageContents:
    """Read the output of the script."""
    parts = [(title, body) for title, mark, body in (part.partition(TITLE) for part in text.split(PART)) if mark]
    one = dict(parts)
    licenses = debian_licenses(one.get("licenses", ""))
    listed = [found for title, body in parts if title == "python" for found in _python(body)]
    python = {(found.name, found.version): found for found in listed}
    return ImageContents(
        dict(RELEASE_FIELD.findall(one.get("os-release", ""))),
        tuple(_debian(one.get("status", ""), licenses)),
        tuple(python[key] for key in sorted(python)),
    )


def debian_licenses(text: str) -> dict[str, tuple[str, ...]]:
    """The licences by package, from the lines that machine-readable copyright files have."""
    found: dict[str, dict[str, None]] = {}
    for package, name in LICENSE_LINE.findall(text):
        found.setdefault(package, {})[name] = None
    return {package: tuple(sorted(names)) for package, names in found.items()}


def _debian(status: str, licenses: Mapping[str, tuple[str, ...]]) -> Iterator[DebianPackage]:
    for stanza in sorted(status.split("\n\n")):
        fields: dict[str, str] = dict(FIELD.findall(stanza))
        if fields.get("Status", "").endswith(" installed"):
            name = fields["Package"]
            source = fields.get("Source", name).split()[0]
            yield DebianPackage(name, fields["Version"], fields["Architecture"], source, licenses.get(name, ()))


def _python(headers: str) -> Iterator[PythonPackage]:
    fields = HeaderParser().parsestr(headers)
    name, version = fields.get("Name"), fields.get("Version")
    if name and version:
        classified = [one.removeprefix(OSI) for one in fields.get_all("Classifier", []) if one.startswith(OSI)]
        stated = (fields.get("License") or "").strip()
        # Some packages have the whole text of the licence in that field.
        words = classified or ([stated] if stated and "\n" not in stated and len(stated) < 80 else [])
        yield PythonPackage(name, version, (fields.get("License-Expression") or "").strip(), tuple(sorted(words)))
