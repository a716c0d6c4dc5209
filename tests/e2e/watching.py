"""What a stack shows meanwhile, again and again: each whole view of it, and what was neither whole nor a refusal."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import httpx

from core.errors import LabelrigError
from tests.e2e.own_stack import OwnStack

# What the proxy answers while Label Studio is down or starts.
DOWN = (502, 503, 504)
PAUSE_SECONDS = 0.5


class Watcher:
    """Looks at a stack while the context lasts.

    Attributes:
        views: what it showed, the same one after the other once.
        faults: answers of a Label Studio that serves and lacks something, such as an uploaded file.
    """

    def __init__(self, stack: OwnStack) -> None:
        self._stack = stack
        self._stop = threading.Event()
        self.views: list[dict[str, Any]] = []
        self.faults: list[str] = []

    def __enter__(self) -> Watcher:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join(120)

    def _run(self) -> None:
        while not self._stop.wait(PAUSE_SECONDS):
            with suppress(httpx.TransportError, LabelrigError):  # no proxy; settings that are being written
                self._look()

    def _look(self) -> None:
        try:
            seen = self._stack.view()
        except httpx.HTTPStatusError as error:
            if error.response.status_code not in DOWN:
                self.faults.append(f"{error.request.url}: {error.response.status_code} {error.response.text[:200]}")
            return
        if self.views[-1:] != [seen]:
            self.views.append(seen)
