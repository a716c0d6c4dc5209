"""A bundle is written from a folder with its parts, under another name until it is whole."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from core.errors import FileAccessError
from infra.bundle.manifest import MANIFEST, PARTS, SUMS, TOP, Manifest
from infra.bundle.sums import sha256, sums_text

WRITTEN = ".part"  # behind the name of a bundle that is not whole yet


def parts_of(folder: Path) -> dict[str, Path]:
    """The files of the parts in a folder, in the order of the bundle: path in the bundle -> file."""
    return {
        path.relative_to(folder).as_posix(): path
        for part in PARTS
        for path in sorted((folder / part).rglob("*"))
        if path.is_file()
    }


def write_bundle(out: Path, folder: Path, manifest: Manifest, show: Callable[[str], None]) -> int:
    """Write a bundle; the file has its name when every byte is on the disk.

    Args:
        out: the file; one that is there is replaced.
        folder: see `parts_of`.
        show: gets a line of progress.

    Returns:
        Its size in bytes.

    Raises:
        FileAccessError: it cannot be written; what was there before stays.
    """
    files = parts_of(folder)
    total = 2 * sum(path.stat().st_size for path in files.values())
    done = 0

    def tell(count: int) -> None:
        nonlocal done
        done += count
        show(f"writing {out.name}: {100 * done // max(total, 1)} %")

    partial = out.with_name(out.name + WRITTEN)
    try:
        head = {MANIFEST: manifest.model_dump_json(indent=1).encode() + b"\n"}
        sums = {MANIFEST: sha256(io.BytesIO(head[MANIFEST]))}
        for name, path in files.items():
            with path.open("rb") as file:
                sums[name] = sha256(file, tell)
        head[SUMS] = sums_text(sums).encode()
        with partial.open("wb") as into:
            with tarfile.open(fileobj=into, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for name, content in head.items():
                    tar.addfile(_entry(name, len(content)), io.BytesIO(content))
                for name, path in files.items():
                    with path.open("rb") as file:
                        tar.addfile(_entry(name, path.stat().st_size), Told(file, tell))
            into.flush()
            os.fsync(into.fileno())
        partial.replace(out)
        return out.stat().st_size
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise FileAccessError(
            f"{out} cannot be written: {error.strerror or error}; free space there (a stick with FAT32 takes no file "
            "of 4 GiB: exFAT or ext4 does), then repeat the command: what was collected is kept"
        ) from error


class Told(io.RawIOBase):
    """A file that tells how much of it was read."""

    def __init__(self, file: IO[bytes], tell: Callable[[int], None]) -> None:
        self._file = file
        self._tell = tell

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self._tell(len(piece))
        return piece


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(f"{TOP}/{name}")
    entry.size, entry.mode = size, 0o644
    return entry
