"""The files of a release: packed for the way to the host, and compared with those that are there."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence

from core.diff import masked_diff
from infra.releases.manifest import MANIFEST, FileFacts, file_name
from infra.roles.stack.render import RenderedFile

OTHERS = 0o077
ENV_SUFFIX = ".env"


def by_name(files: Sequence[RenderedFile]) -> dict[str, RenderedFile]:
    """Return the files by their name in a release.

    Raises:
        ValueError: two have the same name.
    """
    named = {file_name(file): file for file in files}
    if len(named) != len(files):
        raise ValueError("two files of a release have the same name")
    return named


def packed(files: Sequence[RenderedFile], manifest: bytes) -> bytes:
    """Return a tar archive with the manifest last: where that one is whole, so is everything in front of it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, file in by_name(files).items():
            _add(archive, name, file.content, file.mode)
        _add(archive, MANIFEST, manifest, 0o644)
    return buffer.getvalue()


def file_diff(name: str, old: RenderedFile | None, new: RenderedFile | None) -> str:
    """Return what changes from one version of a file to another, without any secret."""
    before, after = (file.content if file is not None else b"" for file in (old, new))
    secret = any(file is not None and not file.mode & OTHERS for file in (old, new)) and not name.endswith(ENV_SUFFIX)
    text = "" if secret else masked_diff(name, before, after)
    notes = []
    if old is not None and new is not None and old.mode != new.mode:
        notes.append(f"{name}: mode {old.mode:o} -> {new.mode:o}")
    if not text and before != after:
        notes.append(f"{name}: (secret content differs)")
    return "\n".join([*([text] if text else []), *notes])


def changed_names(present: Mapping[str, FileFacts], files: Sequence[RenderedFile]) -> list[str]:
    """The files that are new, gone, or differ in content or mode."""
    wanted = {name: FileFacts.of(file) for name, file in by_name(files).items()}
    return sorted(name for name in {*present, *wanted} if present.get(name) != wanted.get(name))


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))
