"""A container as a machine: the Host interface over `docker exec`, for what needs a root folder of its own."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from typing import IO

from hosts.base import DEFAULT_TIMEOUT, Result, check_exit_code
from hosts.local import LocalHost

WRITE = 'umask 077 && mkdir -p "$(dirname "$1")" && cat >"$1.new" && chmod "$2" "$1.new" && mv -f "$1.new" "$1"'


class ContainerHost:
    """One running container; everybody in it is root."""

    is_local = False

    def __init__(self, container: str, name: str = "the lab") -> None:
        self.name = name
        self._container = container
        self._local = LocalHost()

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
        exec_ = ("docker", "exec", *(("-i",) if stdin is not None else ()), self._container)
        # env says 127 for a program that is not there; `docker exec` itself says 126 in some versions.
        answer = self._local.run(
            *exec_, "env", *argv, ok=range(256), timeout=timeout, stdin=stdin, on_line=on_line, tail=tail
        )
        return check_exit_code(self.name, Result(argv, answer.exit_code, answer.stdout, answer.stderr), ok)

    def read(self, path: str, *, as_root: bool = False) -> bytes | None:
        if not self.run("test", "-e", path, ok=(0, 1)).ok:
            return None
        return base64.b64decode(self.run("base64", "-w0", path).stdout)

    def write(self, path: str, content: bytes, mode: int = 0o644, *, as_root: bool = False) -> None:
        self.run("sh", "-c", WRITE, "sh", path, f"{mode:o}", stdin=content)

    def forwarded(self, port: int, address: str = "127.0.0.1") -> AbstractContextManager[str]:
        return nullcontext(f"http://{address}:{port}")

    def check_ways(self, port: int, address: str = "127.0.0.1") -> None:
        pass

    def lost(self) -> str | None:
        return None

    def docker_socket(self) -> str | None:
        return None

    def reconnect(self) -> bool:
        return False

    def close(self) -> None:
        pass
