"""This machine."""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import shlex
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

from core.errors import CommandTimedOut, FileAccessError
from hosts.base import DEFAULT_TIMEOUT, Host, Result, check_exit_code

COMMAND_NOT_FOUND = 127
KILL_GRACE_SECONDS = 5.0
PIPE_CHUNK = 1 << 20


class LocalHost(Host):
    """The machine this process runs on."""

    name = "this machine"
    is_local = True

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
        full = ("sudo", "-n", *argv) if as_root and os.geteuid() != 0 else argv
        try:
            process = subprocess.Popen(
                full,
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # so that a time-out reaches the children too
            )
        except OSError as error:  # not there, not a program, a file named in PATH
            result = Result(full, COMMAND_NOT_FOUND, "", f"{full[0]}: {error.strerror}")
            return check_exit_code(self.name, result, ok)
        result = self._collect(process, full, timeout, stdin, on_line, tail)
        return check_exit_code(self.name, result, ok)

    def _collect(
        self,
        process: subprocess.Popen[bytes],
        argv: tuple[str, ...],
        timeout: float,
        stdin: bytes | IO[bytes] | None,
        on_line: Callable[[str], None] | None,
        tail: int | None,
    ) -> Result:
        lines = {"stdout": deque[str](maxlen=tail), "stderr": deque[str](maxlen=tail)}
        try:
            readers = [
                threading.Thread(target=_read_lines, args=(stream, lines[kind], on_line), daemon=True)
                for kind, stream in (("stdout", process.stdout), ("stderr", process.stderr))
            ]
            for reader in readers:
                reader.start()
            feeder = _Feeder(process, stdin)
            feeder.start()
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            raise CommandTimedOut(
                f"{self.name}: `{shlex.join(argv)}` did not end in {timeout:g} s and was stopped; "
                f"its last line: {(lines['stderr'] or lines['stdout'] or ['(none)'])[-1].strip()}"
            ) from None
        except BaseException:
            _kill_group(process)
            raise
        # The feeder too: a command may end before it has read everything, and the caller closes what was being read.
        for thread in (feeder, *readers):
            # A daemon that the command started may keep the pipe open: what it says is not ours to wait for.
            thread.join(KILL_GRACE_SECONDS)
        if feeder.problem is not None:
            raise FileAccessError(f"{self.name}: cannot read the input of `{argv[0]}`: {feeder.problem.strerror}")
        return Result(argv, process.returncode, "".join(lines["stdout"]), "".join(lines["stderr"]))

    def read(self, path: str, *, as_root: bool = False) -> bytes | None:
        try:
            return Path(path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError:
            if as_root and os.geteuid() != 0:
                return self._read_as_root(path)
            raise FileAccessError(f"{self.name}: cannot read {path}: {os.strerror(errno.EACCES)}") from None
        except OSError as error:
            raise FileAccessError(f"{self.name}: cannot read {path}: {error.strerror}") from None

    def write(self, path: str, content: bytes, mode: int = 0o644, *, as_root: bool = False) -> None:
        if as_root and os.geteuid() != 0:
            self._write_as_root(path, content, mode)
            return
        target = Path(path)
        temporary: str | None = None
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # mkstemp makes the file 0600, so a secret is never readable by others, not even for a moment.
            descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, mode)
            os.replace(temporary, target)
        except OSError as error:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
            raise FileAccessError(f"{self.name}: cannot write {path}: {error.strerror}") from None

    def forwarded(self, port: int, address: str = "127.0.0.1") -> AbstractContextManager[str]:
        return contextlib.nullcontext(f"http://{address}:{port}")

    def check_ways(self, port: int, address: str = "127.0.0.1") -> None:
        pass

    def lost(self) -> str | None:
        return None

    def docker_socket(self) -> str | None:
        return None

    def reconnect(self) -> bool:
        return False

    def close(self) -> None:
        """See `hosts.base.Host.close`."""

    def _read_as_root(self, path: str) -> bytes | None:
        if not self.run("test", "-e", path, ok=(0, 1), as_root=True).ok:
            return None
        encoded = self.run("base64", "-w0", path, as_root=True).stdout  # `run` decodes text, and this may be none
        return base64.b64decode(encoded)

    def _write_as_root(self, path: str, content: bytes, mode: int) -> None:
        folder = str(Path(path).parent)
        temporary = f"{path}.labelrig-{os.getpid()}"
        self.run("mkdir", "-p", folder, as_root=True)
        self.run("install", "-m", "600", "/dev/stdin", temporary, stdin=content, as_root=True)
        self.run("chmod", f"{mode:o}", temporary, as_root=True)
        self.run("mv", "-f", temporary, path, as_root=True)


def _read_lines(stream: IO[bytes] | None, into: deque[str], on_line: Callable[[str], None] | None) -> None:
    if stream is None:
        return
    with stream:
        for raw in stream:
            line = raw.decode("utf-8", "replace")
            into.append(line)
            if on_line is not None:
                on_line(line.rstrip("\r\n"))


class _Feeder(threading.Thread):
    """Writes a command's standard input. `problem` is why the content could not be read; the command is killed then."""

    def __init__(self, process: subprocess.Popen[bytes], content: bytes | IO[bytes] | None) -> None:
        super().__init__(daemon=True)
        self._process = process
        self._content = content
        self.problem: OSError | None = None

    def run(self) -> None:
        """Write it all, then the end of the stream; a command that ends early needs no more."""
        if self._process.stdin is None or self._content is None:
            return
        with contextlib.suppress(BrokenPipeError), self._process.stdin as stream:
            if isinstance(self._content, bytes):
                stream.write(self._content)
                return
            while piece := self._read(self._content):
                stream.write(piece)

    def _read(self, file: IO[bytes]) -> bytes:
        try:
            return file.read(PIPE_CHUNK)
        except OSError as error:
            # Half of the input must not look like all of it.
            self.problem = error
            _kill_group(self._process)
            return b""


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        try:
            process.wait(KILL_GRACE_SECONDS)
            return
        except subprocess.TimeoutExpired:
            continue
