"""Folders on a host: one that is there with its owner and mode, and one with the same files as a folder here."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from pathlib import Path

from core.operation import Change, Operation
from hosts.base import Host

SEND_TIMEOUT = 600.0
LOOK_TIMEOUT = 120.0
# A line a file: its SHA-256 and its path, in the order of the paths.
DIGESTS = 'cd -- "$1" 2>/dev/null || exit 3; find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum'
NO_FOLDER = 3


class FolderThere(Operation):
    """A folder of root's is there with a mode, so that Docker never has to make it."""

    def __init__(self, host: Host, path: str, mode: int) -> None:
        self._host = host
        self._path = path
        self._mode = mode

    @property
    def name(self) -> str:
        return f"folder {self._path}"

    def plan(self) -> list[Change]:
        """One change where it is missing, or owned by another user, or open to others than it should be."""
        # Exit code 1: it is not there.
        shown = self._host.run("stat", "-L", "-c", "%F %u:%g %a", "--", self._path, ok=(0, 1), as_root=True)
        if shown.ok and shown.stdout.strip() == f"directory 0:0 {self._mode:o}":
            return []
        verb = "make" if not shown.ok else "correct owner and mode of"
        return [Change(f"{verb} the folder {self._path}", self._make)]

    def _make(self) -> None:
        # Five digits also take away the bit by which a folder hands on its group: new folders inherit it.
        mode = f"{self._mode:05o}"
        self._host.run("install", "-d", "-o", "root", "-g", "root", "-m", mode, self._path, as_root=True)


class FolderSent(Operation):
    """A folder on a host holds the same files as one here, readable to all."""

    def __init__(self, host: Host, source: Path, target: str) -> None:
        self._host = host
        self._source = source
        self._target = target

    @property
    def name(self) -> str:
        return f"files in {self._target}"

    def plan(self) -> list[Change]:
        """One change where a file is missing or differs, or the source was not made yet.

        What else lies there is left alone.
        """
        if not self._source.is_dir():
            return [self._change()]
        listed = self._host.run(
            "sh", "-c", DIGESTS, "sh", self._target, ok=(0, NO_FOLDER), timeout=LOOK_TIMEOUT, as_root=True
        )
        there = set(listed.stdout.splitlines())
        return [] if self._wanted() <= there else [self._change()]

    def _change(self) -> Change:
        return Change(f"send {self._source.name} to {self._target}", self._send)

    def _wanted(self) -> set[str]:
        files = sorted(path for path in self._source.rglob("*") if path.is_file())
        return {
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  ./{path.relative_to(self._source).as_posix()}"
            for path in files
        }

    def _send(self) -> None:
        self._host.run("install", "-d", "-m", "755", self._target, as_root=True)
        with tempfile.TemporaryFile() as archive:
            with tarfile.open(fileobj=archive, mode="w") as tar:
                tar.add(self._source, arcname=".", filter=_open_to_all)
            archive.seek(0)
            self._host.run(
                *("tar", "--numeric-owner", "--no-same-owner", "-xpf", "-", "-C", self._target),
                stdin=archive,
                as_root=True,
                timeout=SEND_TIMEOUT,
            )


def _open_to_all(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o755 if entry.isdir() else 0o644
    return entry
