"""Wheels that lie on this machine's disk and that a build may use: only those that a requirement pins."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

LINKS_PAGE = "index.html"
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
INTERPRETERS = ("py3", "py2.py3", "py311", "cp311")


@dataclass(frozen=True)
class Pin:
    """One line of a requirements file. `hashes` are SHA-256 in hex; empty: any file of the version will do."""

    requirement: Requirement
    hashes: frozenset[str]


def read_pins(text: str) -> list[Pin]:
    """Read the pinned requirements from a requirements or lock file."""
    pins: list[Pin] = []
    for block in text.replace("\\\n", " ").splitlines():
        hashes = frozenset(HASH.findall(block))
        plain = block.partition(" --hash")[0].partition(" #")[0].strip()
        if not plain or plain.startswith(("#", "-")):
            continue
        try:
            pins.append(Pin(Requirement(plain), hashes))
        except InvalidRequirement as error:
            raise ValueError(f"not a requirement: {plain!r}") from error
    return pins


def matching_wheels(folders: Iterable[str], pins: Sequence[Pin]) -> list[Path]:
    """Find the wheels in `folders` that satisfy one of `pins` on the Python of our images (3.11, Linux)."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(Path(folder).glob("*.whl")):
            if path.name not in found and any(_satisfies(path, pin) for pin in pins):
                found[path.name] = path
    return list(found.values())


def fitting_names(names: Iterable[str], pins: Sequence[Pin]) -> list[str]:
    """Those of the wheels' file names that satisfy a pin, by name, version and platform."""
    return sorted(name for name in names if any(_fits_name(name, pin) for pin in pins))


def links_page(digests: Mapping[str, str]) -> str:
    """An HTML page for pip's `find-links` that names the SHA-256 of each wheel.

    From a bare folder pip takes a wheel only where no index offers one with an allowed hash: a CPU build of torch that
    lies on the disk would lose against the gigabytes with CUDA.

    Args:
        digests: address of a wheel, quoted, from the page -> SHA-256 in hex.
    """
    links = [f'<a href="{address}#sha256={digest}">wheel</a>' for address, digest in sorted(digests.items())]
    return "\n".join(["<!DOCTYPE html>", *links, ""])


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def allowed(name: str, digest: str, pins: Sequence[Pin]) -> bool:
    """Whether a wheel of this name and SHA-256 satisfies a pin.

    pip would take another one of the name and then refuse it for its hash, where the index has the right one.
    """
    return any(_fits_name(name, pin) and (not pin.hashes or digest in pin.hashes) for pin in pins)


def _satisfies(path: Path, pin: Pin) -> bool:
    return _fits_name(path.name, pin) and allowed(path.name, sha256_of(path) if pin.hashes else "", [pin])


def _fits_name(file_name: str, pin: Pin) -> bool:
    try:
        name, version, _, tags = parse_wheel_filename(file_name)
    except InvalidWheelFilename:
        return False
    if name != canonicalize_name(pin.requirement.name) or not any(map(_fits, tags)):
        return False
    return pin.requirement.specifier.contains(version, prereleases=True)


def _fits(tag: Tag) -> bool:
    platform_fits = tag.platform == "any" or tag.platform.endswith(f"linux_{platform.machine()}")
    manylinux = tag.platform.startswith("manylinux") and tag.platform.endswith(f"_{platform.machine()}")
    return (platform_fits or manylinux) and (tag.interpreter in INTERPRETERS or tag.abi == "abi3")
