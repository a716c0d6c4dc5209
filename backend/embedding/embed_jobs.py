"""Encode many images ahead of the clicks, onto the disk, while clicks go first.

What the disk or the shared folder holds already is skipped, so a job that is started again goes on where it was. A job
reads and decodes the next batch while the model works on the last one. The memory's cache is left to open images.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from backend.embedding.embed_progress import EmbedJob, EmbedProgress, JobState
from backend.embedding.embeddings import Embeddings
from backend.errors import BadRequest, Busy, OutOfMemory, RequestError, Superseded
from backend.images.image_store import ImageInfo, ImageStore, TaskImage
from backend.queue.scheduling import Ticket
from backend.segmenter import Embedding, Prepared
from backend.sources.source_file import SourceFile
from labeling.data_urls import is_data_url, shown_data_url

logger = logging.getLogger(__name__)
READ_SECONDS = 120.0  # for one image
ENCODE_SECONDS = 3600.0  # for one batch: clicks go before it
WAITING_LIMIT = 16
REMEMBERED_JOBS = 50


@dataclass(frozen=True)
class _Loaded:
    """An image that must be encoded."""

    name: str
    info: ImageInfo
    image: Prepared


class _StoreIsOff(Exception):
    """Nothing can be kept: going on would only heat the room."""


class _NotKept(RequestError):
    """One embedding found no place on the disk."""


class EmbedJobs:
    """One job runs at a time, the others wait. Safe to call from threads."""

    def __init__(
        self,
        store: ImageStore,
        embeddings: Embeddings,
        open_source: Callable[[str, str | None, float], SourceFile],
        batch_size: int = 1,
        readers: int = 2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            open_source: `ImageSources.open`.
            batch_size: images in one run of the encoder, and so the longest that a click waits for; 1 on a CPU.
            readers: threads that read and decode.
            clock: seconds, monotonic.
        """
        if batch_size < 1 or readers < 1:
            raise ValueError(f"expected batch_size and readers of 1 or more, got {batch_size} and {readers}")
        self._store = store
        self._embeddings = embeddings
        self._open_source = open_source
        self._batch_size = batch_size
        self._readers = readers
        self._clock = clock
        self._changed = threading.Condition()
        self._jobs: dict[str, EmbedJob] = {}
        self._waiting: deque[EmbedJob] = deque()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="embed-jobs", daemon=True)

    def start(self) -> None:
        """Begin to work on jobs."""
        self._thread.start()

    def close(self, patience_seconds: float = 5.0) -> None:
        """Cancel all jobs and end the thread."""
        with self._changed:
            self._closed = True
            for job in self._jobs.values():
                self._cancel(job)
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(patience_seconds)

    def submit(self, key: str, images: Sequence[TaskImage]) -> str:
        """Queue a job; returns its id.

        Args:
            key: what is embedded, a project for instance. While a job of the same key waits or runs, its id is the
                answer and nothing new begins.

        Raises:
            BadRequest: there is nowhere to keep the embeddings.
            Busy: too many jobs wait.
        """
        if self._embeddings.disk_stats is None:
            raise BadRequest("embeddings are not kept on the disk: set EMBEDDING_CACHE_DIR and start the backend again")
        with self._changed:
            for job in self._jobs.values():
                if job.key == key and job.ended is None and not job.cancelled:
                    return job.id
            if self._closed or len(self._waiting) >= WAITING_LIMIT:
                raise Busy(f"{len(self._waiting)} embed jobs wait already; try again when one is done")
            job = EmbedJob(secrets.token_hex(8), key, tuple(images), len(images), self._batch_size)
            self._jobs[job.id] = job
            over = [one.id for one in self._jobs.values() if one.ended is not None]
            for old in over[: max(0, len(self._jobs) - REMEMBERED_JOBS)]:
                del self._jobs[old]
            self._waiting.append(job)
            self._changed.notify()
        return job.id

    def progress(self, job_id: str) -> EmbedProgress | None:
        """Where a job is; None for an id that is not known, or no longer."""
        with self._changed:
            job = self._jobs.get(job_id)
            return None if job is None else job.progress(self._clock())

    def all(self) -> list[EmbedProgress]:
        """All jobs that are remembered, the newest last."""
        with self._changed:
            return [job.progress(self._clock()) for job in self._jobs.values()]

    def cancel(self, job_id: str) -> bool:
        """End a job; what is on the disk stays there. False when it has ended already or is not known."""
        with self._changed:
            job = self._jobs.get(job_id)
            return job is not None and self._cancel(job)

    def _cancel(self, job: EmbedJob) -> bool:
        """Under the lock."""
        if job.ended is not None or job.cancelled:
            return False
        job.cancelled = True
        if job in self._waiting:
            self._waiting.remove(job)
            job.state, job.ended, job.images = "cancelled", self._clock(), ()
        job.cancel_tickets()
        return True

    def _run(self) -> None:
        while (job := self._next()) is not None:
            state: JobState = "done"
            problem = None
            try:
                self._embed(job)
            except _StoreIsOff as error:
                state, problem = "failed", str(error)
            except Exception as error:  # a defect: it may cost this job, not all that come after it
                logger.exception("embed job %s failed unexpectedly", job.id)
                state, problem = "failed", f"unexpected {type(error).__name__}; the log has the details"
            with self._changed:
                job.state = "cancelled" if job.cancelled else state
                job.problem = problem or job.problem
                job.ended, job.images = self._clock(), ()
                job.cancel_tickets()
            logger.info(
                "embed job %s %s: %d encoded, %d there already, %d failed",
                job.id, job.state, job.encoded, job.skipped, job.failed,
            )  # fmt: skip

    def _next(self) -> EmbedJob | None:
        with self._changed:
            while not (self._waiting or self._closed):
                self._changed.wait()
            if self._closed:
                return None
            job = self._waiting.popleft()
            job.state, job.began = "running", self._clock()
            return job

    def _embed(self, job: EmbedJob) -> None:
        """Read a batch while the model works on the one before."""
        images = job.images
        under_way: tuple[list[_Loaded], Ticket[list[Embedding]]] | None = None
        with ThreadPoolExecutor(self._readers, thread_name_prefix="embed-reader") as readers:
            start = 0
            while start < len(images) and not job.cancelled:
                batch = images[start : start + job.batch_size]
                start += len(batch)
                read = readers.map(lambda image: self._load(job, image), batch)
                loaded = [one for one in read if one is not None]
                ticket = self._submit(job, loaded) if loaded else None
                if under_way is not None:
                    self._finish(job, *under_way)
                under_way = None if ticket is None else (loaded, ticket)
        if under_way is not None:
            self._finish(job, *under_way)

    def _load(self, job: EmbedJob, image: TaskImage) -> _Loaded | None:
        """The image for the encoder; None when it is not needed, or cannot be had."""
        deadline = self._clock() + READ_SECONDS
        try:
            file = self._open_source(*image, deadline)
            info = self._store.describe(file, deadline)
            if self._embeddings.is_on_disk(info) or self._embeddings.bring_to_disk(info, deadline):
                self._count(job, "skipped")
                return None
            return _Loaded(file.name, info, self._store.use(file, info, self._embeddings.prepare, deadline, keep=False))
        except RequestError as error:
            self._fail(job, _shown(image), error)
            return None

    def _submit(self, job: EmbedJob, loaded: Sequence[_Loaded]) -> Ticket[list[Embedding]] | None:
        """A ticket for one run of the encoder; None when the queue refuses, or the job was cancelled."""
        try:
            ticket = self._embeddings.submit_batch([one.image for one in loaded], self._clock() + ENCODE_SECONDS)
        except RequestError as error:
            for one in loaded:
                self._fail(job, one.name, error)
            return None
        with self._changed:
            if not job.cancelled:
                job.tickets = [*(one for one in job.tickets if not one.done), ticket]
                return ticket
        ticket.cancel()
        return None

    def _finish(self, job: EmbedJob, loaded: Sequence[_Loaded], ticket: Ticket[list[Embedding]]) -> None:
        """Wait for a batch and write it. A batch that fails is tried again image by image."""
        try:
            embeddings = ticket.result()
        except Superseded:  # the job was cancelled
            return
        except RequestError as error:
            if len(loaded) == 1:
                self._fail(job, loaded[0].name, error)
                return
            if isinstance(error, OutOfMemory):  # each such failure empties the memory's cache: not again
                job.batch_size = max(1, len(loaded) // 2)
                logger.warning("embed job %s: no memory for %d images at a time", job.id, len(loaded))
            for one in loaded:
                if (again := self._submit(job, [one])) is not None:
                    self._finish(job, [one], again)
            return
        for one, embedding in zip(loaded, embeddings, strict=True):
            self._keep(job, one, embedding)

    def _keep(self, job: EmbedJob, one: _Loaded, embedding: Embedding) -> None:
        size = self._embeddings.keep(one.info, embedding)
        disk = self._embeddings.disk_stats
        if not size:
            if disk is not None and disk.problem is not None:
                raise _StoreIsOff(disk.problem)
            self._fail(job, one.name, _NotKept(f"the embedding of {one.name!r} does not fit EMBEDDING_CACHE_DISK_MB"))
            return
        self._count(job, "encoded")
        if disk is not None and size * job.total > disk.limit_bytes:
            fits = disk.limit_bytes // size
            job.problem = f"the disk cache holds only about {fits} of {job.total} images: raise EMBEDDING_CACHE_DISK_MB"

    def _count(self, job: EmbedJob, what: Literal["encoded", "skipped", "failed"]) -> None:
        with self._changed:
            setattr(job, what, getattr(job, what) + 1)

    def _fail(self, job: EmbedJob, name: str, error: RequestError) -> None:
        with self._changed:
            job.fail(name, str(error))


def _shown(image: TaskImage) -> str:
    """A URL without its query's secrets; the one of a local file has its path there, and no secrets."""
    if is_data_url(image.url):
        return shown_data_url(image.url)
    try:
        parts = urlsplit(image.url)
    except ValueError:
        return "a URL that cannot be read"
    return image.url if not parts.netloc else f"{parts.scheme}://{parts.hostname}{parts.path}"
