"""The level behind a process's own disk cache: embeddings in a folder that processes on several hosts share.

It makes an image cheap that moves to another replica, and may fail as a network share does, at which no click fails:

- A read has a deadline. Where the server does not answer by then, the level is left out until that read has come back,
  and for a while after it.
- Writes wait in a queue for a thread of their own, and for no click. Where one hangs, those behind it are dropped.
- An error is one line in the log for each new reason, and shows in `/health` until a call of its kind works again.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Literal

from backend.embedding.shared_folder import DamagedEntry, SharedFolder

logger = logging.getLogger(__name__)
READ_SECONDS = 2.0  # for one embedding of 4 to 16 MB; the encoder takes less on a GPU, and on a CPU as much
OFF_SECONDS = 60.0  # that nothing is read after a read that took longer
WRITE_SECONDS = 60.0  # a write that takes longer hangs
RETRY_SECONDS = 600.0  # that nothing is written after an error
READERS = 8
WAITING_WRITES = 8
Kind = Literal["read", "write"]


@dataclass(frozen=True)
class SharedStats:
    """What this process did at the folder since its start.

    Attributes:
        problem: what fails now, as a sentence for people; None when all is well.
        hits: look-ups that found a sound entry.
        misses: look-ups that did not, failed ones among them; none where the level was left out.
        errors: reads that failed or took too long, and writes that failed.
        dropped: entries that were not written because too many waited.
        damaged: entries that were found damaged, and removed.
        removed: entries that made room.
    """

    limit_bytes: int = 0
    problem: str | None = None
    hits: int = 0
    misses: int = 0
    errors: int = 0
    written: int = 0
    dropped: int = 0
    damaged: int = 0
    removed: int = 0


class SharedStore:
    """Bytes by key. Safe to call from threads; never raises for what the folder does, and never waits for it long."""

    def __init__(
        self,
        folder: SharedFolder,
        *,
        read_seconds: float = READ_SECONDS,
        write_seconds: float = WRITE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            read_seconds: that a look-up may take.
            write_seconds: after which a write counts as hanging.
            clock: seconds, monotonic.
        """
        self._folder = folder
        self._read_seconds = read_seconds
        self._write_seconds = write_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._problems: dict[Kind, str] = {}
        self._late = 0  # reads that were given up and have not come back
        self._off_until: dict[Kind, float] = {"read": clock(), "write": clock()}
        self._readers = threading.BoundedSemaphore(READERS)
        self._jobs: queue.Queue[Callable[[], object]] = queue.Queue(WAITING_WRITES)
        self._began: float | None = None  # when the write that runs began

    def start(self) -> None:
        """Begin to write what waits. Its threads are daemons: a dead server does not keep the process from ending."""
        threading.Thread(target=self._work, name="shared-writer", daemon=True).start()

    @property
    def stats(self) -> SharedStats:
        """What happened so far."""
        with self._lock:
            problem = next(iter(self._problems.values()), None)
            return SharedStats(self._folder.limit_bytes, problem, removed=self._folder.removed, **self._counts)

    def read(self, key: str, deadline: float) -> bytes | None:
        """The bytes of an entry; None when there is none that is sound, or it does not come in time.

        Args:
            deadline: `time.monotonic` value of who waits.
        """
        if self._is_off("read"):
            return None
        began = self._clock()
        seconds = min(self._read_seconds, max(0.0, deadline - began))
        outcome: Future[bytes | None] = Future()
        if is_read := self._readers.acquire(timeout=seconds):
            threading.Thread(target=self._look_up, args=(key, outcome), name="shared-reader", daemon=True).start()
            wait((outcome,), max(0.0, began + seconds - self._clock()))
        if outcome.done():
            return self._found(outcome)
        with self._lock:
            self._counts["misses"] += 1
            if seconds < self._read_seconds:  # it is the click whose time is over
                return None
            self._late += is_read
            self._note("read", f"its server did not answer in {self._read_seconds:g} s", OFF_SECONDS)
        if is_read:
            outcome.add_done_callback(self._came_back)
        return None

    def discard(self, key: str) -> None:
        """Remove an entry that proved useless, in the writer's thread."""
        self._count("damaged")
        self._submit(lambda: self._folder.discard(key), 0.0)

    def write_later(self, key: str, pack: Callable[[], bytes], wait_seconds: float = 0.0) -> bool:
        """Write an entry in the store's own thread; False when it will not be written.

        Args:
            pack: makes the bytes, in that thread.
            wait_seconds: how long to wait for a place, where too many wait.
        """
        if self._is_off("write"):
            return False
        if self._submit(lambda: self._write(key, pack), wait_seconds):
            return True
        self._count("dropped")
        return False

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until everything that waits now is written; False when that took too long."""
        done = threading.Event()
        return self._submit(done.set, timeout_seconds) and done.wait(timeout_seconds)

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Write what waits, as far as time allows."""
        if not self._is_off("write"):
            self.flush(timeout_seconds)

    def _is_off(self, kind: Kind) -> bool:
        with self._lock:
            return self._clock() < self._off_until[kind] or (kind == "read" and self._late > 0)

    def _look_up(self, key: str, outcome: Future[bytes | None]) -> None:
        try:
            found = self._folder.read(key)
        except (OSError, DamagedEntry, MemoryError) as error:
            self._readers.release()
            outcome.set_exception(error)
        else:
            self._readers.release()
            outcome.set_result(found)

    def _came_back(self, _outcome: Future[bytes | None]) -> None:
        with self._lock:
            self._late -= 1
            self._off_until["read"] = self._clock() + OFF_SECONDS

    def _found(self, outcome: Future[bytes | None]) -> bytes | None:
        error = outcome.exception()
        if error is None:
            payload = outcome.result()
            self._works("read", "misses" if payload is None else "hits")
            return payload
        with self._lock:
            self._counts["misses"] += 1
            if isinstance(error, DamagedEntry):
                self._counts["damaged"] += 1
                logger.warning("the shared embedding %s; it is removed and computed anew", error)
            else:
                self._note("read", getattr(error, "strerror", None) or type(error).__name__)
        return None

    def _submit(self, job: Callable[[], object], wait_seconds: float) -> bool:
        if self._dropped_behind_hanging():
            return False
        try:
            self._jobs.put(job, block=wait_seconds > 0, timeout=wait_seconds or None)
        except queue.Full:
            return False
        return True

    def _dropped_behind_hanging(self) -> bool:
        """What waits holds embeddings, also where the model runs."""
        with self._lock:
            if self._began is None or self._clock() - self._began < self._write_seconds:
                return False
            with contextlib.suppress(queue.Empty):
                while True:
                    self._jobs.get_nowait()
                    self._counts["dropped"] += 1
            self._note("write", f"its server did not take an entry in {self._write_seconds:g} s", self._write_seconds)
            return True

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            self._began = self._clock()
            try:
                job()
            except OSError as error:
                with self._lock:
                    self._note("write", error.strerror or type(error).__name__, RETRY_SECONDS)
            except Exception:  # a defect: it may cost this entry, not all that come after it
                logger.exception("an embedding could not be packed for EMBEDDING_CACHE_SHARED_DIR")
            finally:
                self._began = None
                del job  # and with it the embedding

    def _write(self, key: str, pack: Callable[[], bytes]) -> None:
        if not self._is_off("write") and self._folder.write(key, pack()):
            self._works("write", "written")

    def _note(self, kind: Kind, reason: str, off_seconds: float = 0.0) -> None:
        """Under the lock: an error; one line in the log for each new reason."""
        self._counts["errors"] += 1
        self._off_until[kind] = max(self._off_until[kind], self._clock() + off_seconds)
        sentence = f"embeddings are not {'found' if kind == 'read' else 'kept'} in EMBEDDING_CACHE_SHARED_DIR: {reason}"
        if self._problems.get(kind) != sentence:
            self._problems[kind] = sentence
            logger.warning("%s; check its server, mount, free space and rights. Clicks go on", sentence)

    def _works(self, kind: Kind, count: str) -> None:
        with self._lock:
            self._counts[count] += 1
            was_off = self._problems.pop(kind, None) is not None
        if was_off:
            logger.info("EMBEDDING_CACHE_SHARED_DIR works again (%s)", kind)

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1
