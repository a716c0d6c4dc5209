"""The parent's end of a measuring process, `tools.bench.stock` or `.engine`: requests and answers, a JSON line each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from tools.bench.errors import WorkerFailed

STOP_SECONDS = 10.0


class Worker:
    """The parent's end of such a process; use it in a `with`."""

    def __init__(self, kind: Literal["stock", "engine"], environment: Mapping[str, str], log: Path) -> None:
        self._kind = kind
        self._environment = {**os.environ, **environment}
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self.about: dict[str, Any] = {}

    def __enter__(self) -> Worker:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                (sys.executable, "-m", f"tools.bench.{self._kind}"),
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            self.about = self._read()  # it speaks first, when the model is there
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()  # the end of its input ends it
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Send one request and wait for its answer.

        Raises:
            WorkerFailed: the process ended; its last words are in the message.
        """
        if self._process is None or self._process.stdin is None:
            raise WorkerFailed("the measuring process was not started")
        try:
            self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        return self._read()

    def _read(self) -> dict[str, Any]:
        if self._process is None or self._process.stdout is None:
            raise WorkerFailed("the measuring process was not started")
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        return dict(json.loads(line))

    def _ended(self) -> WorkerFailed:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return WorkerFailed(f"the {self._kind} process ended: {' | '.join(lines[-3:]) or 'it wrote nothing'}")
