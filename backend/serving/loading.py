"""Load the model beside the event loop, so that the port answers from the first second."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Literal

from backend.errors import ModelError, ModelNotReady
from backend.serving.model import Model

logger = logging.getLogger(__name__)
State = Literal["loading", "ready", "failed"]


class ModelLoader:
    """One load, in one thread. Its outcome never changes afterwards."""

    def __init__(self, load: Callable[[], Model]) -> None:
        self._load = load
        # A message instead of an exception: asking for the outcome is never an error.
        self._outcome: Future[Model | str] = Future()

    def start(self) -> None:
        """Begin to load. The thread is a daemon: a stop does not wait for a large checkpoint."""
        threading.Thread(target=self._run, name="load-model", daemon=True).start()

    @property
    def state(self) -> tuple[State, str | None]:
        """Where the load is, and why it failed."""
        if not self._outcome.done():
            return "loading", None
        outcome = self._outcome.result()
        return ("failed", outcome) if isinstance(outcome, str) else ("ready", None)

    @property
    def loaded(self) -> Model | None:
        """The model, once it is there."""
        outcome = self._outcome.result() if self._outcome.done() else None
        return None if isinstance(outcome, str) else outcome

    async def model(self, wait_seconds: float) -> Model:
        """The model; waits for it when it is still loading.

        Raises:
            ModelNotReady: it did not come in time, or never will.
        """
        if not self._outcome.done():
            await asyncio.wait({asyncio.wrap_future(self._outcome)}, timeout=wait_seconds)
        if not self._outcome.done():
            raise ModelNotReady(f"the model is still loading after {wait_seconds:g} s; try again in a moment")
        outcome = self._outcome.result()
        if isinstance(outcome, str):
            raise ModelNotReady(f"the model could not be loaded: {outcome}")
        return outcome

    def _run(self) -> None:
        started = time.monotonic()
        try:
            model = self._load()
        except ModelError as error:
            logger.error("the model could not be loaded: %s", error)
            self._outcome.set_result(str(error))
        except Exception as error:
            # A defect: say so to those who ask, and let the traceback reach the log.
            self._outcome.set_result(f"unexpected {type(error).__name__}; the log has the details")
            raise
        else:
            self._outcome.set_result(model)
            logger.info("model ready on %s after %.1f s", model.device, time.monotonic() - started)
