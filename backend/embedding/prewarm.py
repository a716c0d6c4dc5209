"""Encode before the click: the image of a task that was just opened, and those that will likely be opened next.

Reading and decoding happen in one thread of its own; only the encoder run goes to the model's queue, one at a time,
below every click. So a click waits for at most the one run that has already begun.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from backend.embedding.embeddings import Embeddings
from backend.errors import RequestError, Superseded
from backend.images.image_store import ImageInfo, ImageStore, TaskImage
from backend.queue.scheduling import Priority, Ticket
from backend.segmenter import Embedding
from backend.sources.source_file import SourceFile

logger = logging.getLogger(__name__)
PATIENCE_SECONDS = 120.0  # for reading one image and its encoder run
OPENED_LIMIT = 16
GROUPS_LIMIT = 64


@dataclass(frozen=True)
class _Opened:
    """An open task; `neighbours` is None once a newer one of the same group was opened."""

    group: Hashable
    image: TaskImage
    neighbours: Callable[[], Sequence[TaskImage]] | None


@dataclass(frozen=True)
class _Neighbour:
    """An image that will likely be opened next."""

    group: Hashable
    image: TaskImage


class Prewarmer:
    """One background thread. `opened` returns at once and may be called from any thread."""

    def __init__(
        self,
        store: ImageStore,
        embeddings: Embeddings,
        open_source: Callable[[str, str | None, float], SourceFile],
        neighbour_limit: int = 3,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            open_source: `ImageSources.open`.
            neighbour_limit: how many of the next images are encoded; 0 encodes only what was opened.
            clock: seconds, monotonic.
        """
        self._store = store
        self._embeddings = embeddings
        self._open_source = open_source
        self._neighbour_limit = neighbour_limit
        self._clock = clock
        self._changed = threading.Condition()
        self._opened: list[_Opened] = []
        self._neighbours: OrderedDict[Hashable, deque[TaskImage]] = OrderedDict()
        self._running: _Opened | _Neighbour | None = None
        self._ticket: Ticket[Embedding] | None = None
        self._failures: OrderedDict[TaskImage, tuple[str, ImageInfo | None]] = OrderedDict()
        self._described: ImageInfo | None = None  # the thread's own: what it works on, once that is known
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="prewarm", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self, patience_seconds: float = 5.0) -> None:
        """Forget what waits, leave what is queued at the model, and end the thread."""
        with self._changed:
            self._closed = True
            self._opened.clear()
            self._neighbours.clear()
            self._cancel_running()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(patience_seconds)

    def opened(self, group: Hashable, image: TaskImage, neighbours: Callable[[], Sequence[TaskImage]]) -> None:
        """A task was opened.

        Args:
            group: whose images are opened one after the other: an annotator of a project, or the project. What it has
                left of earlier neighbours is forgotten.
            image: of the opened task.
            neighbours: called later, in the thread; gives the images that will likely be opened next, nearest first.
        """
        with self._changed:
            if self._closed:
                return
            self._neighbours.pop(group, None)
            running = self._running
            if isinstance(running, _Neighbour):
                if running.group != group:  # another's neighbour only gives way, to come next
                    self._neighbours.setdefault(running.group, deque()).appendleft(running.image)
                self._cancel_running()
            older = [replace(one, neighbours=None) if one.group == group else one for one in self._opened]
            self._opened = [*older, _Opened(group, image, neighbours)][-OPENED_LIMIT:]
            self._changed.notify()

    def ahead(self, group: Hashable, images: Sequence[TaskImage]) -> None:
        """Images that will likely be opened next, where the opened one is another process's.

        Args:
            group: as of `opened`. What it has left of earlier neighbours is forgotten.
            images: nearest first; none only forgets.
        """
        with self._changed:
            if self._closed:
                return
            running = self._running
            if isinstance(running, _Neighbour) and running.group == group and running.image not in images:
                self._cancel_running()
            self._set_neighbours(group, [one for one in images if self._running != _Neighbour(group, one)])
            self._changed.notify()

    @property
    def waiting(self) -> int:
        """How many images wait or are worked on."""
        with self._changed:
            queued = len(self._opened) + sum(map(len, self._neighbours.values()))
            return queued + (self._running is not None)

    def failure_of(self, image: TaskImage, info: ImageInfo) -> str | None:
        """Why an opened image could not be encoded when it was tried last, in one sentence.

        Args:
            info: what lies there now: of other content nothing is known, it may have been mended.
        """
        with self._changed:
            failure, seen = self._failures.get(image, (None, None))
            return failure if seen == info else None

    def _cancel_running(self) -> None:
        """Under the lock. An encoder run that has begun goes on, and its outcome is kept."""
        if self._ticket is not None:
            self._ticket.cancel("a newer task was opened")
        self._running = None

    def _run(self) -> None:
        while (job := self._next()) is not None:
            failure = self._described = None
            try:
                self._warm(job)
            except RequestError as error:
                logger.debug("pre-warming: %s", error)
                failure = None if isinstance(error, Superseded) else str(error)
            except Exception:  # a defect: it may cost this image, not all that come after it
                logger.exception("pre-warming failed unexpectedly")
            if isinstance(job, _Opened):
                self._ask_for_neighbours(job)
            with self._changed:
                self._note(job.image, failure)
                self._running = self._ticket = None

    def _note(self, image: TaskImage, failure: str | None) -> None:
        """Under the lock."""
        self._failures.pop(image, None)
        if failure is not None:
            self._failures[image] = failure, self._described
            while len(self._failures) > OPENED_LIMIT:
                self._failures.popitem(last=False)

    def _next(self) -> _Opened | _Neighbour | None:
        """Wait for work; what was opened last comes first. None when closed."""
        with self._changed:
            while not (self._opened or self._neighbours or self._closed):
                self._changed.wait()
            if self._closed:
                return None
            if self._opened:
                self._running = self._opened.pop()
            else:
                group, images = next(reversed(self._neighbours.items()))
                self._running = _Neighbour(group, images.popleft())
                if not images:
                    del self._neighbours[group]
            return self._running

    def _warm(self, job: _Opened | _Neighbour) -> None:
        deadline = self._clock() + PATIENCE_SECONDS
        file = self._open_source(*job.image, deadline)
        info = self._described = self._store.describe(file, deadline)
        where = self._embeddings.where(info)
        is_opened = isinstance(job, _Opened)
        # A neighbour on the disk is near enough; an opened image comes into the memory from there.
        if where == "memory" or (where == "disk" and not is_opened):
            return
        priority = Priority.OPEN if is_opened else Priority.BATCH
        self._embeddings.get(
            info,
            lambda: self._store.use(file, info, self._embeddings.prepare, deadline),
            priority,
            deadline,
            claim=self._claim,
        )

    def _claim(self, ticket: Ticket[Embedding]) -> None:
        with self._changed:
            if self._running is not None:
                self._ticket = ticket
                return
        ticket.cancel()  # a newer task was opened while the image was read

    def _ask_for_neighbours(self, opened: _Opened) -> None:
        """After the opened image, so that a slow answer costs it nothing."""
        with self._changed:
            neighbours = opened.neighbours if not self._is_outdated(opened) else None
        if neighbours is None or not self._neighbour_limit:
            return
        try:
            images = list(islice(neighbours(), self._neighbour_limit))
        except RequestError as error:
            logger.debug("pre-warming: the next images are not known: %s", error)
            return
        except Exception:  # as above
            logger.exception("pre-warming: asking for the next images failed unexpectedly")
            return
        with self._changed:
            if images and not self._is_outdated(opened):
                self._set_neighbours(opened.group, images)

    def _set_neighbours(self, group: Hashable, images: Sequence[TaskImage]) -> None:
        """Under the lock."""
        self._neighbours.pop(group, None)
        if images:
            self._neighbours[group] = deque(images)
        while len(self._neighbours) > GROUPS_LIMIT:
            self._neighbours.popitem(last=False)

    def _is_outdated(self, opened: _Opened) -> bool:
        """Under the lock: closed, or the same group has opened another task since."""
        newer = (one for one in self._opened if one.neighbours is not None)  # the older ones have lost theirs
        return self._closed or any(one.group == opened.group for one in newer)
