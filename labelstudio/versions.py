"""`labeling_configs/versions.lock`: the checksums of published configurations, which are never changed again.

In the form of `sha256sum`, so that `sha256sum -c versions.lock` checks it without us. A version is published when it is
applied to a project for the first time.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from core.errors import SettingsError

FOLDER = "labeling_configs"
LOCK = "versions.lock"
LINE = re.compile(r"([0-9a-f]{64})  ([a-z0-9][a-z0-9-]*/v[0-9]+\.xml)")


def read_versions(path: Path) -> dict[str, str]:
    """The checksum of each published file, by its name below `labeling_configs`; nothing where there is no lock file.

    Raises:
        SettingsError: a line of it is broken, or a file stands in it twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        match = LINE.fullmatch(line)
        if match is None or match[2] in found:
            raise SettingsError(f"{path}:{number}: is no line of sha256sum, or repeats a file; take it back from git")
        found[match[2]] = match[1]
    return found


def publish(folder: Path, config: str, version: int) -> bool:
    """Write a version down as published; return whether it was new.

    Args:
        folder: `labeling_configs`.
        config, version: which file.

    Raises:
        SettingsError: it is published with another content.
    """
    if check_published(folder, config, version):
        return False
    name = f"{config}/v{version}.xml"
    published = read_versions(folder / LOCK)
    published[name] = sha256_of(folder / name)
    text = "".join(f"{published[one]}  {one}\n" for one in sorted(published, key=_order))
    beside = folder / f".{LOCK}.{os.getpid()}"
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(folder / LOCK)
    finally:
        beside.unlink(missing_ok=True)
    return True


def check_published(folder: Path, config: str, version: int) -> bool:
    """Whether a version is published.

    Raises:
        SettingsError: it is published with another content.
    """
    name = f"{config}/v{version}.xml"
    published = read_versions(folder / LOCK)
    if name not in published:
        return False
    if published[name] != sha256_of(folder / name):
        raise SettingsError(
            f"{folder.name}/{name} was changed after it was published; take it back from git, and put the change "
            f"into v{version + 1}.xml"
        )
    return True


def sha256_of(file: Path) -> str:
    """The checksum of a file.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from None


def _order(name: str) -> tuple[str, int]:
    config, _, version = name.partition("/v")
    return config, int(version.removesuffix(".xml"))
