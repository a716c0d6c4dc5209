"""A machine that is reached over SSH."""

from __future__ import annotations

import contextlib
import itertools
import shlex
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import IO

from core.errors import (
    CommandTimedOut,
    ConnectionLost,
    FileAccessError,
    HostError,
    LoginRefused,
    SudoRefused,
)
from hosts.base import COMMAND_MARK, DEFAULT_TIMEOUT, RUN_MARK, Host, Result, check_exit_code
from hosts.forwarding import ForwardedSocket, Forwarder, OtherEnd, listen_on_port
from hosts.ssh_channel import (
    BROKEN,
    DeadlinePassed,
    Ended,
    Execution,
    InputUnreadable,
    new_token,
    shell_line,
)
from hosts.ssh_connect import SshTarget
from hosts.ssh_files import ABSENT, read_command, reason, write_command
from hosts.ssh_links import Links
from hosts.ssh_ways import ClosedAtOnce, Ports, dial_program
from hosts.sudo import AS_USER, Elevation, find_elevation

RUN_VARIABLE = RUN_MARK
COMMAND_VARIABLE = COMMAND_MARK
KILL_AFTER = 5
LATE_SECONDS = 10.0
FILE_TIMEOUT = 120.0
ENDING_TIMEOUT = 10.0
TIMED_OUT = (124, 137)
# $1 is the mark of one command; `timeout`, which carries it, passes the signal on to all of its group.
END_MARKED = r"""
for file in /proc/[0-9]*/environ; do
    tr '\0' '\n' <"$file" 2>/dev/null | grep -qxF -- "$1" && { pid=${file#/proc/}; kill -TERM "${pid%/environ}"; }
done
true
"""
# A run has so many at once: a command, the lock's beat, the engine's connections, a port.
SESSIONS_AT_ONCE = 6
SESSIONS_WAIT = 5.0


class SshHost(Host):
    """A machine behind an SSH connection, which is opened when it is first needed. Threads may share it."""

    is_local = False

    def __init__(self, target: SshTarget, *, run_id: str, notice: Callable[[str], None] = lambda _text: None) -> None:
        """Set up; nothing is sent yet.

        Args:
            target: where it is and how to log in.
            run_id: marks every process that we start there, in its environment.
            notice: gets what a person must not miss.
        """
        self.name = target.name
        self._target = target
        self._run_id = run_id
        self._lock = threading.RLock()
        self._token = new_token()
        self._numbers = itertools.count(1)
        self._links = Links(target, notice)
        self._ports = Ports(self._links, self._token, self._environment)
        self._elevation: Elevation | None = None
        self._engine_access: Elevation | None = None
        self._socket: ForwardedSocket | None = None

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
        ended = self._execute(argv, timeout, stdin, on_line, as_root, tail)
        stdout, stderr = (stream.decode("utf-8", "replace") for stream in (ended.stdout, ended.stderr))
        code = -1 if ended.exit_code is None else ended.exit_code
        return check_exit_code(self.name, Result(argv, code, stdout, stderr), ok)

    def read(self, path: str, *, as_root: bool = False) -> bytes | None:
        ended = self._execute(read_command(path), FILE_TIMEOUT, None, None, as_root)
        if ended.exit_code == 0:
            return ended.stdout
        if ended.exit_code == ABSENT:
            return None
        raise FileAccessError(f"{self.name}: cannot read {path}: {reason(ended)}")

    def write(self, path: str, content: bytes, mode: int = 0o644, *, as_root: bool = False) -> None:
        ended = self._execute(write_command(path, mode, len(content)), FILE_TIMEOUT, content, None, as_root)
        if ended.exit_code != 0:
            raise FileAccessError(f"{self.name}: cannot write {path}: {reason(ended)}")

    @contextlib.contextmanager
    def forwarded(self, port: int, address: str = "127.0.0.1") -> Iterator[str]:
        with self.forwarded_from(0, port, address) as local_port:
            yield f"http://127.0.0.1:{local_port}"

    @contextlib.contextmanager
    def forwarded_from(self, local_port: int, port: int, address: str = "127.0.0.1") -> Iterator[int]:
        """Serve `port` of one of the machine's addresses at a port of this machine's while the context lasts.

        Args:
            local_port: the port here; 0 takes a free one.
            address: the machine's own.

        Raises:
            HostError: the local port is taken, or there is no way to the other.
        """
        self._ports.check(port, address)
        listener = listen_on_port(local_port)
        number: int = listener.getsockname()[1]
        forwarder = Forwarder(listener, lambda: self._ports.dial(port, address))
        try:
            yield number
        finally:
            forwarder.close()

    def check_ways(self, port: int, address: str = "127.0.0.1") -> None:
        self._ports.check(port, address)
        line = shell_line("cat", self._token)
        with contextlib.ExitStack() as stack:
            for _ in range(SESSIONS_AT_ONCE):
                stack.callback(self._links.open_session(line, SESSIONS_WAIT).close)

    def lost(self) -> str | None:
        return self._links.lost()

    def docker_socket(self) -> str | None:
        """See `hosts.base.Host.docker_socket`. While no engine answers there, connections are closed at once.

        Raises:
            ConnectFailed, ConnectionLost: said here, where it can be; whoever connects would see a closed socket.
        """
        with self._lock:
            self._to_engine()
            if self._socket is None:
                self._socket = ForwardedSocket(self._dial_engine)
            return self._socket.path

    def reconnect(self) -> bool:
        with self._lock:
            self._hang_up()
            self._links.first()
        return True

    def close(self) -> None:
        with self._lock:
            forwarded, self._socket = self._socket, None
        # Not under the lock, for which its threads may wait; before the link, which they would open again.
        if forwarded is not None:
            forwarded.close()
        with self._lock:
            self._hang_up()

    def _hang_up(self) -> None:
        self._links.close()
        self._elevation = self._engine_access = None

    def _root(self) -> Elevation:
        with self._lock:
            link = self._links.first()
            if self._elevation is None:
                self._elevation = find_elevation(
                    self.name,
                    link.user,
                    lambda argv, stdin: self._execute(argv, DEFAULT_TIMEOUT, stdin, None, False),
                    self._target.sudo_password,
                )
            return self._elevation

    def _execute(
        self,
        argv: Sequence[str],
        timeout: float,
        stdin: bytes | IO[bytes] | None,
        on_line: Callable[[str], None] | None,
        as_root: bool,
        tail: int | None = None,
    ) -> Ended:
        elevation = self._root() if as_root else AS_USER
        return self._execute_with(elevation, argv, timeout, stdin, on_line, tail)

    def _execute_with(
        self,
        elevation: Elevation,
        argv: Sequence[str],
        timeout: float,
        stdin: bytes | IO[bytes] | None = None,
        on_line: Callable[[str], None] | None = None,
        tail: int | None = None,
        *,
        ends_another: bool = False,
    ) -> Ended:
        mark = self._new_mark()
        limited = ("timeout", "-k", str(KILL_AFTER), f"{max(timeout, 0.001):.3f}", *argv)
        command = shlex.join((*elevation.prefix, *self._environment(mark), *limited))
        began = time.monotonic()
        execution: Execution | None = None
        try:
            channel = self._links.open_session(shell_line(command, self._token))
            execution = Execution(channel, (elevation.first_bytes, stdin), on_line, self._token, tail)
            ended = execution.result(timeout + KILL_AFTER + LATE_SECONDS)
        except DeadlinePassed as error:
            if (why := self._links.lost()) is not None:
                raise self._lost(argv, why) from None
            if not ends_another:
                self._end_marked(elevation, mark)
            raise self._timed_out(argv, timeout, error.last_line) from None
        except InputUnreadable as error:
            raise FileAccessError(f"this machine: cannot read the input of `{argv[0]}`: {error}") from None
        except BROKEN as error:
            raise self._lost(argv, self._links.lost() or str(error)) from None
        except (KeyboardInterrupt, SystemExit):
            self._end_marked(elevation, mark)
            raise
        finally:
            if execution is not None:
                execution.close()
        if ended.exit_code is None:
            transport = channel.get_transport()
            transport.join(1.0)  # it says that it is dead only after it has closed its channels
            if not transport.is_active():
                raise self._lost(argv, self._links.lost() or "")
        if ended.exit_code in TIMED_OUT and time.monotonic() - began >= timeout:
            raise self._timed_out(argv, timeout, _last_line(ended))
        if not ended.began:
            raise LoginRefused(
                f"{self.name}: {self._links.first().user} may log in, but the login shell there runs no commands "
                f"(it says: {_last_line(ended)}); give the user /bin/bash with `chsh`, or log in as another"
            )
        return ended

    def _new_mark(self) -> str:
        return f"{self._run_id}.{next(self._numbers)}"

    def _environment(self, mark: str = "") -> tuple[str, ...]:
        mark = mark or self._new_mark()
        return ("env", "LC_ALL=C.UTF-8", f"{RUN_VARIABLE}={self._run_id}", f"{COMMAND_VARIABLE}={mark}")

    def _end_marked(self, elevation: Elevation, mark: str) -> None:
        """End a command that we stop waiting for. Without a terminal, closing its channel would leave it running."""
        with contextlib.suppress(HostError, *BROKEN):
            ending = ("sh", "-c", END_MARKED, "sh", f"{COMMAND_VARIABLE}={mark}")
            self._execute_with(elevation, ending, ENDING_TIMEOUT, ends_another=True)

    def _timed_out(self, argv: Sequence[str], timeout: float, last_line: str) -> CommandTimedOut:
        return CommandTimedOut(
            f"{self.name}: `{shlex.join(argv)}` did not end in {timeout:g} s and was stopped; "
            f"its last line: {last_line}"
        )

    def _lost(self, argv: Sequence[str], why: str) -> ConnectionLost:
        detail = f" ({why})" if why else ""
        return ConnectionLost(
            f"{self.name}: the connection was lost while `{shlex.join(argv)}` ran{detail}; "
            "run the same command again: it goes on from where it was"
        )

    def _dial_engine(self) -> OtherEnd:
        if (elevation := self._to_engine()) is None:
            raise HostError(f"{self.name}: no docker engine answers there")
        try:
            argv = (*elevation.prefix, *self._environment(), "docker", "system", "dial-stdio")
            return dial_program(self._links, argv, self._token, elevation.first_bytes)
        except ClosedAtOnce as error:
            raise HostError(f"{self.name}: the way to the docker engine closed at once ({error})") from None

    def _to_engine(self) -> Elevation | None:
        """Elevation that the Docker engine needs: none, root, or no access at all. Only a success is cached."""
        with self._lock:
            self._links.first()
            if self._engine_access is None:
                self._engine_access = next(filter(self._engine_answers, self._elevations()), None)
            return self._engine_access

    def _elevations(self) -> Iterator[Elevation]:
        yield AS_USER
        with contextlib.suppress(SudoRefused):
            if (root := self._root()) != AS_USER:
                yield root

    def _engine_answers(self, elevation: Elevation) -> bool:
        ask = ("docker", "version", "--format", "{{.Server.Version}}")
        return self._execute_with(elevation, ask, DEFAULT_TIMEOUT).exit_code == 0


def _last_line(ended: Ended) -> str:
    text = (ended.stderr or ended.stdout).decode("utf-8", "replace").strip()
    return (text.splitlines() or ["(none)"])[-1].strip()
