"""A strict stand-in for a machine: whatever was not scripted raises."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from typing import IO

from core.errors import CommandTimedOut
from hosts.base import DEFAULT_TIMEOUT, Result, check_exit_code

Answer = tuple[int, str, str]


class FakeHost:
    """Answers scripted commands and keeps files in memory."""

    name = "fake host"
    is_local = True

    def __init__(self) -> None:
        self.answers: dict[tuple[str, ...], Answer | CommandTimedOut] = {}
        self.files: dict[str, bytes] = {}
        self.modes: dict[str, int] = {}
        self.commands: list[tuple[str, ...]] = []
        self.why_lost: str | None = None

    def script(self, *argv: str, exit_code: int = 0, stdout: str = "", stderr: str = "") -> None:
        self.answers[argv] = (exit_code, stdout, stderr)

    def run(
        self,
        *argv: str,
        ok: Collection[int] = (0,),
        timeout: float = DEFAULT_TIMEOUT,
        stdin: bytes | IO[bytes] | None = None,
        on_line: Callable[[str], None] | None = None,
        tail: int | None = None,
        as_root: bool = False,
    ) -> Result:
        self.commands.append(argv)
        if argv not in self.answers:
            raise AssertionError(f"not scripted: {argv}")
        answer = self.answers[argv]
        if isinstance(answer, CommandTimedOut):
            raise answer
        exit_code, stdout, stderr = answer
        if on_line is not None:
            for line in (stdout + stderr).splitlines():
                on_line(line)
        if tail is not None:
            stdout, stderr = ("".join(text.splitlines(keepends=True)[-tail:]) for text in (stdout, stderr))
        return check_exit_code(self.name, Result(argv, exit_code, stdout, stderr), ok)

    def read(self, path: str, *, as_root: bool = False) -> bytes | None:
        return self.files.get(path)

    def write(self, path: str, content: bytes, mode: int = 0o644, *, as_root: bool = False) -> None:
        self.files[path] = content
        self.modes[path] = mode

    def forwarded(self, port: int, address: str = "127.0.0.1") -> AbstractContextManager[str]:
        return nullcontext(f"http://{address}:{port}")

    def check_ways(self, port: int, address: str = "127.0.0.1") -> None:
        pass

    def lost(self) -> str | None:
        return self.why_lost

    def docker_socket(self) -> str | None:
        return None

    def reconnect(self) -> bool:
        return False

    def close(self) -> None:
        pass
