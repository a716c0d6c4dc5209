"""Measuring processes of their own, each with one model: `tools.bench.engine.Engine`, `tools.bench.stock.Stock`."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Literal

from tools.bench.results import EngineFailed

LAST_LINES = 5
Kind = Literal["engine", "stock"]
Call = Callable[..., Any]


@contextlib.contextmanager
def worker(kind: Kind, environment: Mapping[str, str], log: Path) -> Iterator[Call]:
    """Load a model in a new process: `call(method, *arguments)` calls its methods there.

    Raises:
        EngineFailed: loading or a call failed; the end of the process's log is in the message.
    """

    def call(method: str, *arguments: object) -> Any:
        try:
            return pool.submit(_call, kind, method, arguments).result()
        except Exception as error:
            raise EngineFailed(f"the {kind} process failed: {error}: {last_words(log)}") from error

    context, variables = multiprocessing.get_context("spawn"), dict(environment)
    with ProcessPoolExecutor(1, context, initializer=_load, initargs=(kind, variables, log)) as pool:
        call("__repr__")  # waits until it is loaded
        yield call


def last_words(log: Path) -> str:
    """The last lines of a process's log, for an error message."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return " | ".join(lines[-LAST_LINES:]) or "it wrote nothing"


def _load(kind: Kind, environment: Mapping[str, str], log: Path) -> None:
    with log.open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.environ.update(environment)
    _loaded(kind)


@cache
def _loaded(kind: Kind) -> object:
    if kind == "engine":
        from tools.bench.engine import Engine as Model
    else:
        from tools.bench.stock import Stock as Model  # type: ignore[assignment]
    return Model()


def _call(kind: Kind, method: str, arguments: tuple[object, ...]) -> Any:
    return getattr(_loaded(kind), method)(*arguments)
