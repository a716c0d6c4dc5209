"""A measuring process of its own: `tools.bench.engine.Engine` or `tools.bench.stock.Stock`, called over a pipe."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from tools.bench.results import EngineFailed

STOP_SECONDS = 10.0
LAST_LINES = 5
Kind = Literal["engine", "stock"]


class Worker:
    """The caller's end of such a process."""

    def __init__(self, kind: Kind, pipe: Connection, log: Path) -> None:
        self._kind, self._pipe, self._log = kind, pipe, log

    def call(self, method: str, *arguments: object) -> Any:
        """Call a method over there and return what it returns.

        Raises:
            EngineFailed: the process ended; the end of its log is in the message.
        """
        with contextlib.suppress(BrokenPipeError):
            self._pipe.send((method, arguments))
        return self.receive()

    def receive(self) -> Any:
        """The next message of the process."""
        try:
            return self._pipe.recv()
        except (EOFError, ConnectionResetError):
            raise EngineFailed(f"the {self._kind} process ended: {last_words(self._log)}") from None


@contextlib.contextmanager
def worker(kind: Kind, environment: Mapping[str, str], log: Path) -> Iterator[Worker]:
    """Start such a process and wait until its model is loaded."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(kind, theirs, dict(environment), log), daemon=True)
    process.start()
    theirs.close()
    try:
        found = Worker(kind, ours, log)
        found.receive()
        yield found
    finally:
        ours.close()  # the end of its input ends it
        process.join(STOP_SECONDS)
        process.kill()
        process.join()


def last_words(log: Path) -> str:
    """The last lines of a process's log, for an error message."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return " | ".join(lines[-LAST_LINES:]) or "it wrote nothing"


def _serve(kind: Kind, pipe: Connection, environment: dict[str, str], log: Path) -> None:
    with log.open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.environ.update(environment)
    subject: Any
    if kind == "engine":
        from tools.bench.engine import Engine

        subject = Engine()
    else:
        from tools.bench.stock import Stock

        subject = Stock()
    pipe.send(None)
    with contextlib.suppress(EOFError):
        while True:
            method, arguments = pipe.recv()
            pipe.send(getattr(subject, method)(*arguments))
