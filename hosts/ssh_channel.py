"""One command on an SSH connection: a channel of its own, three binary streams, the exit code.

Fabric's `run` is not used: it decodes what goes in, keeps everything in memory twice and has no time limit.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any

import paramiko  # type: ignore[import-untyped]

from core.errors import HostError

CHUNK = 1 << 15
FILE_CHUNK = 1 << 20
# paramiko cuts what is longer to the packet size, at the price of a copy.
PACKET = CHUNK - 64
SILENCE_SECONDS = 5.0
SESSION_WAIT = 30.0
# What paramiko raises on a connection that does not work; the first is also its word for a refusal.
BROKEN = (paramiko.SSHException, EOFError, OSError)
Stdin = bytes | IO[bytes] | None
WORD = 512  # bytes
DECODED = 'eval "$(printf %s "$@" | base64 -d)"'


@dataclass(frozen=True)
class Ended:
    """How a command ended. `exit_code` is None where the server sent none; `began`: our command was reached at all."""

    exit_code: int | None
    stdout: bytes
    stderr: bytes
    began: bool


class DeadlinePassed(Exception):
    """The command did not end in time; `last_line` is what it said last."""

    def __init__(self, last_line: str) -> None:
        self.last_line = last_line


class InputUnreadable(Exception):
    """The file that was to be the command's standard input cannot be read."""


class NotOpened(Exception):
    """The connection turned out to be dead before anything was begun on it."""


def new_token() -> bytes:
    """Something that no login script prints."""
    return f"<{secrets.token_hex(8)}>".encode()


def shell_line(command: str, token: bytes = b"") -> str:
    """What the login shell gets: words that every shell reads alike, csh and fish too, for `sh` to run.

    The token comes before anything that the command says: what stands in front of it was printed by a ~/.bashrc,
    which bash reads under sshd too. With `|| exit` the shell stays and turns a signal into an exit code.

    csh takes `>&2` for a file named 2, ends a quoted word at a line break, and has words of 1024 bytes at most.
    """
    greeting = f"printf %s '{token.decode()}'; printf %s '{token.decode()}' >&2; " if token else ""
    script = f"{greeting}{command} || exit".encode("utf-8", "surrogateescape")
    script += b" " * (-len(script) % 3)  # no `=` at the end, which some shells expand
    coded = base64.b64encode(script).decode()
    words = [coded[at : at + WORD] for at in range(0, len(coded), WORD)]
    return " ".join((f"sh -c '{DECODED}' sh", *words))


def begin(channel: Any, line: str, host_name: str, answers: Callable[[], bool]) -> None:
    """Begin a command on a session.

    Args:
        channel: a session that was just opened; closed where this fails.
        line: what the login shell gets.
        host_name: for messages.
        answers: whether the machine at the other end still answers.

    Raises:
        HostError: the server refuses the command.
        paramiko.SSHException, EOFError, OSError: the connection does not work any more.
    """
    # exec_command itself waits for ever; closing the channel ends it.
    watchdog = threading.Timer(SESSION_WAIT, channel.close)
    watchdog.daemon = True
    watchdog.start()
    try:
        channel.exec_command(line.encode("utf-8", "surrogateescape"))
    except paramiko.SSHException:
        channel.close()
        if answers():
            raise HostError(
                f"{host_name}: the SSH server began no command within {SESSION_WAIT:.0f} s or refuses to run any "
                "for this user; try `ssh` with the command `true` by hand"
            ) from None
        raise
    finally:
        watchdog.cancel()
        watchdog.join()


class Execution:
    """A running command. `close` always; it ends the threads."""

    def __init__(
        self,
        channel: Any,
        stdin: Sequence[Stdin] = (),
        on_line: Callable[[str], None] | None = None,
        token: bytes = b"",
        tail: int | None = None,
    ) -> None:
        self._channel = channel
        self._out = _Reader(channel.recv, on_line, token, tail)
        self._err = _Reader(channel.recv_stderr, on_line, token, tail)
        self._feeder = _Feeder(channel, stdin)
        for thread in (self._out, self._err, self._feeder):
            thread.start()

    def result(self, seconds: float) -> Ended:
        """Wait for the end.

        Raises:
            DeadlinePassed: it does not end in so many seconds.
            InputUnreadable: only part of its standard input could be sent.
        """
        if not self._channel.status_event.wait(seconds):
            raise DeadlinePassed(self.last_line())
        self._drain()
        self.close()
        if self._feeder.problem is not None:
            raise InputUnreadable(str(self._feeder.problem))
        code = int(self._channel.exit_status)
        return Ended(code if code >= 0 else None, self._out.content(), self._err.content(), self._out.began)

    def last_line(self) -> str:
        """The last line so far, for messages."""
        text = (self._err.content() or self._out.content()).decode("utf-8", "replace")
        return (text.strip().splitlines() or ["(none)"])[-1].strip()

    def close(self) -> None:
        """Close the channel and wait for the threads; the command there is not ended by this."""
        self._channel.close()
        for thread in (self._out, self._err, self._feeder):
            thread.join(SILENCE_SECONDS)

    def _drain(self) -> None:
        """Read what was said before the end. A daemon that the command started may keep the pipe open for ever."""
        seen, since = 0, time.monotonic()
        while any(reader.is_alive() for reader in (self._out, self._err)):
            for reader in (self._out, self._err):
                reader.join(0.1)
            if self._out.count + self._err.count != seen:
                seen, since = self._out.count + self._err.count, time.monotonic()
            elif time.monotonic() - since > SILENCE_SECONDS:
                return


class _Reader(threading.Thread):
    """Collects one stream, or its last lines; shows its lines as they come."""

    def __init__(
        self, receive: Callable[[int], bytes], on_line: Callable[[str], None] | None, token: bytes, tail: int | None
    ) -> None:
        super().__init__(daemon=True, name="ssh output")
        self._receive = receive
        self._on_line = on_line
        self._token = token
        self._tail = tail
        self._chunks = deque[bytes](maxlen=tail)  # as they came, or the last lines
        self._line = b""
        self._greeting = b""
        self.began = not token
        self.count = 0

    def run(self) -> None:
        """Read until the stream ends."""
        while chunk := self._next():
            self.count += len(chunk)
            if self.began:
                self._take(chunk)
                continue
            self._greeting += chunk
            _, found, rest = self._greeting.partition(self._token)
            if found:
                self.began = True
                self._take(rest)
        if self._line:
            self._end_line(self._line)

    def _next(self) -> bytes:
        try:
            return self._receive(CHUNK)
        except BROKEN:
            return b""  # whether the connection was lost is found out by who waits for the end

    def content(self) -> bytes:
        """What the command said; where it was not reached, what came in its place."""
        return b"".join(self._chunks) if self.began else self._greeting

    def _take(self, chunk: bytes) -> None:
        if self._tail is None:
            self._chunks.append(chunk)
        if self._on_line is not None or self._tail is not None:
            *lines, self._line = (self._line + chunk).split(b"\n")
            for line in lines:
                self._end_line(line, b"\n")

    def _end_line(self, line: bytes, end: bytes = b"") -> None:
        if self._tail is not None:
            self._chunks.append(line + end)
        if self._on_line is not None:
            self._on_line(line.decode("utf-8", "replace").rstrip("\r"))


class _Feeder(threading.Thread):
    """Sends standard input piece by piece, no faster than it is read there."""

    def __init__(self, channel: Any, parts: Sequence[Stdin]) -> None:
        super().__init__(daemon=True, name="ssh input")
        self._channel = channel
        self._parts = parts
        self.problem: OSError | None = None

    def run(self) -> None:
        """Send all parts, then the end of the stream; a command that ends early needs no more."""
        with contextlib.suppress(*BROKEN):
            for part in self._parts:
                if isinstance(part, bytes):
                    send_all(self._channel, part)
                elif part is not None:
                    while piece := self._read(part):
                        send_all(self._channel, piece)
            if self.problem is None:
                self._channel.shutdown_write()

    def _read(self, file: IO[bytes]) -> bytes:
        try:
            return file.read(FILE_CHUNK)
        except OSError as error:
            # Half of the input must not look like all of it.
            self.problem = error
            self._channel.close()
            return b""


def send_all(channel: Any, content: bytes) -> None:
    """Send bytes; paramiko's `sendall` turns in a circle on a channel that was closed.

    Raises:
        OSError: the channel is closed.
    """
    view = memoryview(content)
    while view:
        sent = channel.send(bytes(view[:PACKET]))
        if not sent:
            raise BrokenPipeError("the channel is closed")
        view = view[sent:]
