"""Files with the content they should have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from core.diff import masked_diff
from core.operation import Change
from hosts.base import Host
from infra.roles.stack.render import RenderedFile


class FilesWritten:
    """The rendered files lie on the host with the content they should have, and those that are not meant do not."""

    name = "stack files written"

    def __init__(self, host: Host, files: Sequence[RenderedFile], absent: Sequence[str] = ()) -> None:
        self._host = host
        self._files = files
        self._absent = tuple(absent)

    def plan(self) -> list[Change]:
        """One change for each file that is missing, differs, or should not be there."""
        changes = [change for file in self._files if (change := self._change(file)) is not None]
        there = [path for path in self._absent if self._read(path) is not None]
        return [*changes, *(self._removal(path) for path in there)]

    def _removal(self, path: str) -> Change:
        as_root = not self._host.is_local

        def remove() -> None:
            self._host.run("rm", path, as_root=as_root)

        return Change(f"remove {PurePosixPath(path).name}", remove)

    def _read(self, path: str) -> bytes | None:
        return self._host.read(path, as_root=not self._host.is_local)

    def _change(self, file: RenderedFile) -> Change | None:
        present = self._read(file.path)
        if present == file.content:
            return None
        name = PurePosixPath(file.path).name
        return Change(
            f"{'write' if present is None else 'update'} {name}",
            lambda: self._host.write(file.path, file.content, file.mode, as_root=not self._host.is_local),
            masked_diff(file.path, present or b"", file.content),
        )
