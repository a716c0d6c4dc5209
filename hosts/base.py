"""What labelrig asks of a machine: run a command, read a file, write a file."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO, Protocol, TypedDict, Unpack

from core.errors import CommandFailed
from core.text import indented

DEFAULT_TIMEOUT = 60.0
ANY_EXIT_CODE = range(256)
# In the environment of what we start on another machine: the run, and the one command.
RUN_MARK = "LABELRIG_RUN"
COMMAND_MARK = "LABELRIG_COMMAND"


@dataclass(frozen=True)
class Result:
    """How a command ended. `stdout` and `stderr` are decoded text with undecodable bytes replaced."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether the exit code is 0."""
        return self.exit_code == 0


class Host(Protocol):
    """One machine. `name` is what people call it in messages."""

    name: str

    @property
    def is_local(self) -> bool:
        """Whether it is the machine this process runs on."""

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
        """Run a command (no shell: each argument arrives as it is).

        Args:
            argv: the program and its arguments. Never a secret: arguments show in the process list.
            ok: the exit codes that are answers; any other raises.
            timeout: seconds, after which the command and its children are killed.
            stdin: bytes for its standard input, or a file that is read to its end; none means an empty one.
            on_line: called with each line of output (both streams) as it comes.
            tail: how many lines of each stream, the last ones, the result has; None: all. For output without an end.
            as_root: run with root's rights (through sudo where the user is not root).

        Raises:
            SudoRefused: root's rights were asked for and cannot be had.
            ConnectionLost: the machine went away.
            CommandFailed: the exit code is not in `ok`, or the program is not there (exit code 127).
            CommandTimedOut: it did not end in time.
        """

    def read(self, path: str, *, as_root: bool = False) -> bytes | None:
        """Return a file's content, or None where there is no such file.

        Raises:
            FileAccessError: it is there and cannot be read.
        """

    def write(self, path: str, content: bytes, mode: int = 0o644, *, as_root: bool = False) -> None:
        """Replace a file atomically; it has `mode` from birth. Missing folders are made.

        Raises:
            FileAccessError: it cannot be written; the old content stays.
        """

    def forwarded(self, port: int, address: str = "127.0.0.1") -> AbstractContextManager[str]:
        """Reach `port` of one of the machine's own addresses from here, while the context lasts.

        Returns:
            A context that yields the base URL, `http://127.0.0.1:<a port here>`.
        """

    def check_ways(self, port: int, address: str = "127.0.0.1") -> None:
        """Try what a run needs at the same time: several commands, and `port` of one of the machine's own addresses.

        Raises:
            HostError: it cannot be had; the text says what to change there.
        """

    def lost(self) -> str | None:
        """Why the connection to the machine is gone, where it is or was a moment ago; None where it stands.

        Asks the machine, so where it does not answer this takes as long as the keep-alive.
        """

    def docker_socket(self) -> str | None:
        """The path of a unix socket on *this* machine behind which the other machine's Docker engine answers.

        None where the engine is this machine's own: then the docker command line's rules say where it is.
        """

    def reconnect(self) -> bool:
        """Begin a new login session, so that a new group membership counts. False where that cannot be done."""

    def close(self) -> None:
        """End connections; the next call opens new ones."""


class RunArguments(TypedDict, total=False):
    """What `Host.run` takes, for what passes it on; that knows itself whether root is needed."""

    ok: Collection[int]
    timeout: float
    stdin: bytes | None
    on_line: Callable[[str], None] | None
    tail: int | None


class Exec(Protocol):
    """Runs a command in one running container; see `Host.run`."""

    def __call__(self, *argv: str, **arguments: Unpack[RunArguments]) -> Result:
        """See `Host.run`."""


def check_exit_code(host_name: str, result: Result, ok: Collection[int]) -> Result:
    """Return `result`, or raise CommandFailed when its exit code is not an answer."""
    if result.exit_code in ok:
        return result
    shown = indented(result.stdout.rstrip() + "\n" + result.stderr)
    command = shlex.join(result.argv)
    raise CommandFailed(f"{host_name}: `{command}` ended with exit code {result.exit_code}; its last lines:\n{shown}")


def read_text(host: Host, path: str) -> str | None:
    """A text file's content, undecodable bytes replaced; None where there is no such file."""
    content = host.read(path)
    return None if content is None else content.decode("utf-8", "replace")


def environment_of(host: Host) -> Mapping[str, str]:
    """The variables that say how `host` reaches the network: ours say nothing about another machine."""
    return os.environ if host.is_local else {}
