"""The propagations that pages step through: each is held between two steps, and one step runs at a time.

A page asks again after a step until it is done, as a browser and Label Studio wait for no answer that takes minutes.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from backend.errors import Busy, NotFound

AT_ONCE = 8
PATIENCE_SECONDS = 180.0  # a page asks again at once; one in a tab that nobody sees may be slowed down
LOOK_SECONDS = 30.0
WAIT_SECONDS = 5.0  # of one question, for its step: it holds a thread of Label Studio's too
A = TypeVar("A")
StepName = tuple[str, int]


class Closing(Protocol):
    """What a run holds."""

    def close(self) -> None:
        """Let go of it; what is in work ends soon."""


R = TypeVar("R", bound=Closing)


@dataclass
class _Held(Generic[R, A]):
    run: R
    used: float
    name: StepName | None = None
    step: Future[A] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_busy(self) -> bool:
        return self.step is not None and not self.step.done()


class PageRuns(Generic[R, A]):
    """Runs by the names that pages gave them. Safe to call from many threads."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wait_seconds: float = WAIT_SECONDS,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """
        Args:
            clock: in seconds.
            wait_seconds: how long a question waits for its step.
            look_seconds: how often it is looked for runs that no page asks after, while there are any runs.
        """
        self._clock = clock
        self._wait = wait_seconds
        self._look_seconds = look_seconds
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()
        self._held: dict[str, _Held[R, A]] = {}
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="follow")

    def __len__(self) -> int:
        """How many runs are held."""
        with self._lock:
            return len(self._held)

    def step(self, key: str, name: StepName, work: Callable[[R], A], make: Callable[[], R] | None = None) -> A | None:
        """Take a step, or look whether it is done. The last step that was taken may be asked for again.

        Args:
            key: of the run.
            name: of the step, among those of its run.
            work: the step; called once, in a thread.
            make: makes the run where there is none; without it the run must be there.

        Returns:
            What `work` returned; None while it works.

        Raises:
            Busy: another step of the run is in work, or too many runs are held.
            NotFound: there is no such run.
            Exception: what `work` raised; the run is ended then.
        """
        held = self._of(key, make)
        with held.lock:
            if held.name != name or held.step is None:
                if held.is_busy:
                    raise Busy("the step before this one is in work still; try again in a moment")
                held.name = name
                held.step = self._threads.submit(contextvars.copy_context().run, work, held.run)
            step = held.step
        if not wait([step], self._wait).done:
            return None
        try:
            found = step.result()
        except BaseException:
            self.end(key)
            raise
        held.used = self._clock()
        return found

    def end(self, key: str) -> None:
        """End a run, if it is there."""
        with self._lock:
            held = self._held.pop(key, None)
        if held is not None:
            held.run.close()

    def close(self) -> None:
        """End all runs."""
        with self._lock:
            keys = list(self._held)
            if self._timer is not None:
                self._timer.cancel()
        for key in keys:
            self.end(key)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _of(self, key: str, make: Callable[[], R] | None) -> _Held[R, A]:
        with self._lock:
            left = self._forget()
            try:
                held = self._held.get(key)
                if held is None:
                    if make is None:
                        raise NotFound("the masks before this image are not remembered any more; begin again")
                    if len(self._held) >= AT_ONCE:
                        raise Busy(f"{len(self._held)} people continue masks already; try again when one is done")
                    held = self._held[key] = _Held(make(), self._clock())
                held.used = self._clock()
                self._look_later()
                return held
            finally:
                for one in left:
                    one.run.close()

    def _look_later(self) -> None:
        """Under the lock."""
        if self._held and self._timer is None:
            self._timer = threading.Timer(self._look_seconds, self._look)
            self._timer.daemon = True
            self._timer.start()

    def _look(self) -> None:
        """No page may come again that would make room: what a run holds of the device's memory goes all the same."""
        with self._lock:
            left = self._forget()
            self._timer = None
            self._look_later()
        for one in left:
            one.run.close()

    def _forget(self) -> list[_Held[R, A]]:
        """Take out the runs that no page asks after; under the lock."""
        now = self._clock()
        old = [key for key, one in self._held.items() if now - one.used > PATIENCE_SECONDS and not one.is_busy]
        return [self._held.pop(key) for key in old]
