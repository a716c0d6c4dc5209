"""A bundle is opened, verified, and handed out in parts. Nothing is unpacked on this machine's disk."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from core.errors import SettingsError
from core.text import some
from infra.bundle.manifest import MANIFEST, SUMS, TOP, Manifest, read_manifest
from infra.bundle.sums import CHUNK, read_sums, sha256

AGAIN = "copy it again from where it was made, or make it again with `./inv bundle.create`"
MIB = 1024**2
LARGEST_LIST = 16 * MIB


@dataclass(frozen=True)
class Bundle:
    """A bundle whose list of files is in order. What the files hold is known after `verify`.

    Attributes:
        path: the file.
        manifest: what it says of itself.
        sums: path in the bundle -> SHA-256 in hex.
        sizes: path in the bundle -> bytes.
    """

    path: Path
    manifest: Manifest
    sums: Mapping[str, str] = field(repr=False)
    sizes: Mapping[str, int] = field(repr=False)
    entries: Mapping[str, tarfile.TarInfo] = field(repr=False)

    def size(self, part: str) -> int:
        """The bytes of all files of a part."""
        return sum(size for name, size in self.sizes.items() if name.startswith(f"{part}/"))

    def names(self, part: str) -> list[str]:
        """The paths of the files of a part."""
        return [name for name in self.sizes if name.startswith(f"{part}/")]

    def verify(self, show: Callable[[str], None]) -> None:
        """Compare every byte with the checksum list.

        Raises:
            SettingsError: a file is not what the list says, or the bundle cannot be read.
        """
        total, done = sum(self.sizes.values()), 0

        def tell(count: int) -> None:
            nonlocal done
            done += count
            show(f"verifying {self.path.name}: {done // MIB} of {total // MIB} MiB")

        for name, expected in self.sums.items():
            with self.opened(name) as file:
                if sha256(file, tell) != expected:
                    raise SettingsError(f"{self.path} is damaged: {name} is not what its checksum says; {AGAIN}")

    @contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        """One file of the bundle, to read and seek in while the context lasts.

        Raises:
            SettingsError: the bundle cannot be read.
        """
        with _readable(self.path), tarfile.open(self.path, "r:") as tar:
            file = tar.extractfile(self.entries[name])
            assert file is not None, name  # noqa: S101 - `open_bundle` took regular files only
            with file:
                yield file

    def copy_part(self, part: str, into: IO[bytes], tell: Callable[[int], None]) -> None:
        """Write the files of a part as a tar stream, without the bundle's top folder.

        Args:
            tell: called with the number of bytes written so far.
        """
        done = 0
        with tarfile.open(fileobj=into, mode="w|", bufsize=CHUNK, format=tarfile.PAX_FORMAT) as target:
            for name in self.names(part):
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = self.sizes[name], 0o644
                with self.opened(name) as file:
                    target.addfile(entry, file)
                done += entry.size
                tell(done)


def open_bundle(path: Path) -> Bundle:
    """Read what a bundle holds, and that nothing is missing from it.

    Raises:
        SettingsError: there is no such file, it is not a bundle, it is cut off, or of another format.
    """
    with _readable(path), tarfile.open(path, "r:") as tar:
        entries = _entries(tar, path)
        if MANIFEST not in entries or SUMS not in entries:
            raise SettingsError(f"{path} is not a bundle of labelrig: it has no {TOP}/{MANIFEST} or no {TOP}/{SUMS}")
        manifest = read_manifest(_content(tar, entries[MANIFEST]), path)
        try:
            sums = read_sums(_content(tar, entries[SUMS]).decode())
        except ValueError:
            raise SettingsError(f"{path} is damaged: its {SUMS} is no list of checksums; {AGAIN}") from None
    named = {one.file for one in manifest.images.values()} | set(manifest.models.values()) | {MANIFEST}
    missing = sorted((set(sums) | named) - set(entries))
    unknown = sorted(set(entries) - set(sums) - {SUMS}) + sorted(named - set(sums))
    if missing:
        raise SettingsError(f"{path} is not whole: {some(missing)} missing; {AGAIN}")
    if unknown:
        raise SettingsError(f"{path} is damaged: {some(unknown)} without a checksum in {SUMS}; {AGAIN}")
    sizes = {name: entry.size for name, entry in entries.items()}
    return Bundle(path, manifest, sums, sizes, entries)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # of what the content is written to: no file that is read has one
        raise
    except tarfile.TarError as error:
        raise SettingsError(f"{path} is not a bundle of labelrig, or it is cut off ({error}); {AGAIN}") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from None


def _entries(tar: tarfile.TarFile, path: Path) -> dict[str, tarfile.TarInfo]:
    found: dict[str, tarfile.TarInfo] = {}
    for entry in tar:
        top, _, name = entry.name.partition("/")
        if top != TOP:
            raise SettingsError(f"{path} is not a bundle of labelrig: it holds {some([entry.name])}")
        if entry.isdir():
            continue
        if not entry.isreg() or not name or name in found or ".." in name.split("/"):
            raise SettingsError(f"{path} is damaged: {some([entry.name])} does not belong in a bundle; {AGAIN}")
        found[name] = entry
    return found


def _content(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(entry)
    if file is None or entry.size > LARGEST_LIST:
        return b""
    return file.read()
