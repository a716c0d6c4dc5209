"""Proposals of images, made for as long as a page asks after them, and kept for later questions."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from backend.caching.byte_lru import ByteLru
from backend.errors import Busy
from backend.geometry.proposals import Proposal
from backend.serving.everything import Told

AT_ONCE = 2
MOST_WAITING = 32
PATIENCE_SECONDS = 20.0  # a page asks twice a second, over a server that may be busy; one that was left asks no longer
ENTRY_BYTES = 1024

Proposals = tuple[Proposal, ...]


class Abandoned(Exception):
    """No page asks any more."""


@dataclass
class _Job:
    asked: float
    share: float = 0.0
    error: Exception | None = None


@dataclass(frozen=True)
class Progress:
    """How far it is: `share` from 0 to 1, and the proposals once all are there, the best first."""

    share: float
    proposals: Proposals | None = None


class ProposalJobs:
    """One job an image, whoever asks. Safe to call from many threads."""

    def __init__(self, limit_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            limit_bytes: for the proposals that are kept; those that were not used for longest go first.
        """
        self._done: ByteLru[str, Proposals] = ByteLru(limit_bytes)
        self._clock = clock
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="everything")

    def ask(self, key: str, make: Callable[[Told], Proposals]) -> Progress:
        """Begin to make the proposals of an image, or look how far they are.

        Args:
            key: names the image and the model.
            make: makes them in a thread; calls what it is given with the share that is done.

        Raises:
            Busy: too many images wait already.
            Exception: what `make` raised, once; who asks again begins anew.
        """
        known = self._done.get(key)
        if known is not None:
            return Progress(1.0, known)
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and job.error is not None:
                del self._jobs[key]
                raise job.error
            now = self._clock()
            if job is None:
                self._forget(now)
                if len(self._jobs) >= AT_ONCE + MOST_WAITING:
                    raise Busy("too many images wait for their proposals; try again in a moment")
                job = self._jobs[key] = _Job(now)
                self._threads.submit(contextvars.copy_context().run, self._run, key, job, make)
            job.asked = now
            return Progress(job.share)

    def known(self, key: str) -> Proposals | None:
        """The proposals of an image, if they are there still."""
        return self._done.get(key)

    def close(self) -> None:
        """Begin nothing any more; what runs ends at its next step."""
        with self._lock:
            for job in self._jobs.values():
                job.asked = float("-inf")
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _run(self, key: str, job: _Job, make: Callable[[Told], Proposals]) -> None:
        def told(share: float) -> None:
            if self._clock() - job.asked > PATIENCE_SECONDS:
                raise Abandoned
            job.share = share

        try:
            told(0.0)
            made = make(told)
            self._done.put(key, made, ENTRY_BYTES + sum(one.nbytes for one in made))
        except Abandoned:
            pass
        except Exception as error:  # noqa: BLE001 - it is raised where a page asks after the job
            job.error = error
            return
        with self._lock:
            self._jobs.pop(key, None)

    def _forget(self, now: float) -> None:
        """Drop the failures that no page asked after."""
        for key, job in list(self._jobs.items()):
            if job.error is not None and now - job.asked > PATIENCE_SECONDS:
                del self._jobs[key]
