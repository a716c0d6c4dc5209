"""The Debian release and packages of our images: which there are, and the versions of them that the suites offer.

Both go into the names of images, so that a fix that is out makes a new name, and `up` and `deploy` build again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import SettingsError

SUITE = "bookworm"
LISTS = Path("infra/roles/images/dockerfiles/packages")  # a file of names for each image that has packages of its own
PACKAGES_LABEL = "org.labelrig.packages"  # what the suites offered when an image was built
BASE = "base"
UNKNOWN = "unknown"  # in a name, where nothing is known of the versions
DIGEST_LENGTH = 8
SHOWN = 5


@dataclass(frozen=True)
class Offered:
    """What the suites offer.

    Attributes:
        versions: package -> version; empty where it was never read.
        checked: when it was read, in seconds since 1970; None: never.
        problem: why it could not be read anew; empty: it could.
        security: the security archive is among the suites.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    checked: float | None = None
    problem: str = ""
    security: bool = True

    @property
    def known(self) -> bool:
        """Whether anything is known."""
        return bool(self.versions)

    def of(self, names: Collection[str]) -> dict[str, str]:
        """The versions of some packages; what the suites do not have is left out."""
        return {name: self.versions[name] for name in sorted(names) if name in self.versions}

    def digest(self, names: Collection[str]) -> str:
        """The part of an image's name that changes when one of its packages does."""
        if not self.known:
            return UNKNOWN
        return hashlib.sha256(as_text(self.of(names)).encode()).hexdigest()[:DIGEST_LENGTH]


def package_names(repository: Path, *images: str) -> frozenset[str]:
    """The packages of some images, and of the base that all have.

    Raises:
        SettingsError: a list cannot be read.
    """
    names: set[str] = set()
    for image in (BASE, *images):
        path = repository / LISTS / f"{image}.txt"
        if image != BASE and not path.exists():
            continue
        try:
            lines = path.read_text("utf-8").splitlines()
        except OSError as error:
            raise SettingsError(f"{path} cannot be read: {error.strerror}; restore it with git") from error
        names |= {line.strip() for line in lines if line.strip() and not line.startswith("#")}
    return frozenset(names)


def recipe_of(tag: str) -> str:
    """An image's name without the digest of its packages: the same for every build of the same files."""
    return tag.rpartition("-")[0]


def as_text(versions: Mapping[str, str]) -> str:
    """Versions as the label of an image has them: `name=version name=version`."""
    return " ".join(f"{name}={version}" for name, version in sorted(versions.items()))


def from_text(text: str) -> dict[str, str]:
    """The versions of a label."""
    return {name: version for word in text.split() for name, _, version in [word.partition("=")]}


def moved(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The packages of both whose version is another one: `openssl 3.0.20 -> 3.0.22`."""
    return [f"{name} {before[name]} -> {now[name]}" for name in sorted(now) if before.get(name, now[name]) != now[name]]


def few(lines: Sequence[str]) -> str:
    """Some of many, in one line."""
    more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return ", ".join(lines[:SHOWN]) + more
