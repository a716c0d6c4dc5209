"""Encode an image once: embeddings in memory, on the disk, in a folder that hosts share; else one encoder run for all.

An embedding is found by what it was computed from and by: the image's digest, the model's version, the engine with
its precision, and the rectangle where only a part of the image was encoded. Another model is another key.
"""

from __future__ import annotations

import json
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from queue import Empty, SimpleQueue
from typing import Literal, TypeVar

from backend.caching.byte_lru import ByteLru
from backend.caching.single_flight import SingleFlight
from backend.embedding.disk_store import DiskStats, DiskStore
from backend.embedding.shared_store import SharedStats, SharedStore
from backend.errors import DeadlinePassed, OutOfMemory
from backend.images.image_store import ImageInfo
from backend.picture import Picture
from backend.queue.scheduling import ModelQueue, Priority, Ticket
from backend.segmenter import Embedding, Image, Prepared, Segmenter

T = TypeVar("T")
Crop = tuple[int, int, int, int]
# Images that wait for the encoder, prepared. It takes one at a time; more would only take memory (12 MB each).
PREPARED_AT_ONCE = 8
SHARE_SECONDS = 10.0  # that a batch waits for a place among what is written to the shared folder


@dataclass(frozen=True)
class EmbeddingStats:
    """What happened since the start; `held_*` are of now.

    Attributes:
        joined: requests that waited for an encoder run that another request had started.
        encoded: encoder runs that ended well, those of batches not counted.
        emptied: times that the memory was given up because the device's did not suffice.
        disk: None without a store.
        shared: None without one.
    """

    held_bytes: int
    held_images: int
    limit_bytes: int
    evicted: int
    memory_hits: int = 0
    disk_hits: int = 0
    shared_hits: int = 0
    joined: int = 0
    encoded: int = 0
    emptied: int = 0
    disk: DiskStats | None = None
    shared: SharedStats | None = None


@dataclass
class _Encoding:
    """An encoder run that is queued or under way, and how many wait for it."""

    ticket: Ticket[Embedding]
    waiters: int = 0


class Embeddings:
    """The cache in front of the encoder. Safe to call from threads, but not from the model's own."""

    def __init__(
        self,
        segmenter: Segmenter,
        queue: ModelQueue,
        memory_bytes: int,
        disk: DiskStore | None,
        model_version: str,
        shared: SharedStore | None = None,
    ) -> None:
        """
        Args:
            segmenter: encodes; used in the queue's thread, except for `prepare`, `size_of`, `pack`
                and `unpack`.
            queue: where encoder runs wait their turn.
            memory_bytes: for embeddings, where the engine keeps them (GPU or host); 0 keeps none.
            disk: started and closed by who made it; None keeps nothing over a restart.
            model_version: names the weights.
            shared: what other processes have encoded too, looked up after the disk; started and closed by who made it.
        """
        self._segmenter = segmenter
        self._queue = queue
        self._memory: ByteLru[str, Embedding] = ByteLru(memory_bytes)
        self._disk = disk
        self._model_version = model_version
        self._shared = shared
        self._lock = threading.Lock()
        self._encodings: dict[str, _Encoding] = {}
        self._counts: Counter[str] = Counter()
        self._preparing: SingleFlight[str, Embedding | Image] = SingleFlight()
        # A queue of tokens: a semaphore may not be released from within itself, as the garbage collector could.
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(PREPARED_AT_ONCE):
            self._room.put(None)

    @property
    def disk_stats(self) -> DiskStats | None:
        """Of what outlives the process; None when nothing does."""
        return None if self._disk is None else self._disk.stats

    @property
    def stats(self) -> EmbeddingStats:
        """For `/metrics` and the status page."""
        memory = self._memory
        with self._lock:
            counts = dict(self._counts)
        shared = None if self._shared is None else self._shared.stats
        return EmbeddingStats(
            memory.held, len(memory), memory.limit, memory.evicted, **counts, disk=self.disk_stats, shared=shared
        )

    def key(self, info: ImageInfo, crop_xyxy: Crop | None = None) -> str:
        """What the embedding is found by; a JSON list, so that no two combinations read alike."""
        parts = [info.digest, self._model_version, self._segmenter.engine]
        return json.dumps(parts if crop_xyxy is None else [*parts, list(crop_xyxy)])

    def where(self, info: ImageInfo, crop_xyxy: Crop | None = None) -> Literal["memory", "disk"] | None:
        """Where it lies now, without reading it."""
        key = self.key(info, crop_xyxy)
        if key in self._memory:
            return "memory"
        return "disk" if self._disk is not None and key in self._disk else None

    def is_on_disk(self, info: ImageInfo) -> bool:
        """Whether the whole image's embedding would outlive the process."""
        return self._disk is not None and self.key(info) in self._disk

    def bring_to_disk(self, info: ImageInfo, deadline: float) -> bool:
        """Take the whole image's embedding from the shared folder; False when it is not on the disk afterwards.

        Args:
            deadline: `time.monotonic` value.
        """
        if self._disk is None or self._shared is None:
            return False
        key = self.key(info)
        packed = self._shared.read(key, deadline)
        return packed is not None and self._disk.write(key, packed)

    def get(
        self,
        info: ImageInfo,
        load: Callable[[], Image],
        priority: Priority,
        deadline: float,
        *,
        crop_xyxy: Crop | None = None,
        claim: Callable[[Ticket[Embedding]], object] | None = None,
    ) -> Embedding:
        """The embedding of an image: from memory, from the disk, from the shared folder, or from the encoder.

        Args:
            info: names the content.
            load: called only when the image must be encoded, in this thread or in that of another request for the
                same image; gives it prepared, or as ``(H, W, 3)`` uint8, RGB, upright; the crop where there is one.
            priority: of an encoder run; one that waits at a lower priority moves up.
            deadline: `time.monotonic` value until which this call waits. The encoder run goes on for the others.
            crop_xyxy: left, top, right, bottom in pixels of the image, where only a part is encoded.
            claim: gets this call's ticket before it waits, to cancel it from elsewhere.

        Raises:
            DeadlinePassed: it did not come in time.
            Superseded: the claimed ticket was cancelled.
            Busy: too many wait for the model.
            OutOfMemory: the device's memory does not suffice, not even with the cache emptied.
            ImageError: from `load`.
        """
        key = self.key(info, crop_xyxy)
        known = self._memory.get(key)
        if known is not None:
            self._count("memory_hits")
            return known
        found = self._join(key, priority, deadline)
        if found is None:
            prepared = self._preparing.run(
                key, lambda: self._prepare(key, load, deadline), deadline, "the image's embedding"
            )
            if isinstance(prepared, Embedding):
                return prepared
            found = self._join_or_submit(key, priority, deadline, prepared)
            del prepared  # the queue has it for as long as it is needed
        if isinstance(found, Embedding):
            self._count("memory_hits")
            return found
        try:
            if claim is not None:
                claim(found)
            return found.result()
        finally:
            found.cancel()  # changes nothing, unless the claim itself failed
            self._leave(key)

    def prepare(self, picture: Picture) -> Prepared:
        """A picture made ready for the encoder, for `load`."""
        return self._segmenter.prepare(picture)

    def submit_batch(self, batch: Sequence[Image], deadline: float) -> Ticket[list[Embedding]]:
        """Queue one run of the encoder for several images, below clicks and opened tasks.

        The outcome is not put into the memory: see `keep`.

        Args:
            batch: each prepared, or ``(H, W, 3)`` uint8, RGB, upright.
            deadline: `time.monotonic` value after which it is not begun.

        Raises:
            Busy: too many batches wait already.
        """
        images = list(batch)
        return self._queue.submit(
            lambda: self.with_memory(lambda: self._segmenter.encode_batch(images)),
            Priority.BATCH,
            deadline=deadline,
            name="encode batch",
        )

    def get_in_batch(
        self,
        info: ImageInfo,
        load: Callable[[], Image],
        deadline: float,
        claim: Callable[[Ticket[list[Embedding]]], object],
    ) -> Embedding:
        """The embedding of one of many images that are passed over once; see `get`.

        The memory is left to the images that are open; what must be encoded goes onto the disk.

        Raises:
            RequestError: as `get`.
        """
        key = self.key(info)
        known = self._memory.get(key) or self._from_disk(key) or self._from_shared(key, deadline)
        if known is not None:
            return known
        ticket = self.submit_batch([self._loaded(load, deadline)], deadline)
        claim(ticket)
        (embedding,) = ticket.result()
        self._write_later(key, embedding)
        return embedding

    def keep(self, info: ImageInfo, embedding: Embedding) -> int:
        """Put an embedding on the disk now; returns its bytes there, 0 when it is not there afterwards.

        The shared folder gets it too, in the background.
        """
        if self._disk is None:
            return 0
        packed = self._segmenter.pack(embedding)
        if self._shared is not None:
            self._shared.write_later(self.key(info), lambda: packed, SHARE_SECONDS)
        return len(packed) if self._disk.write(self.key(info), packed) else 0

    def with_memory(self, compute: Callable[[], T]) -> T:
        """Run something on the device; when its memory does not suffice, give up the cache and try once more.

        Raises:
            OutOfMemory: it does not suffice even so.
        """
        try:
            return compute()
        except OutOfMemory:
            pass  # the failed attempt's frames must be gone before the memory is given back
        self._memory.clear()
        self._count("emptied")
        self._segmenter.free_memory()
        return compute()

    def _prepare(self, key: str, load: Callable[[], Image], deadline: float) -> Embedding | Image:
        """What can be had without the encoder: the embedding that was kept, else the image for the encoder."""
        known = self._memory.get(key)  # it may have come between our lookup and our turn
        if known is not None:
            self._count("memory_hits")
            return known
        embedding = self._from_disk(key) or self._from_shared(key, deadline)
        if embedding is None:
            return self._loaded(load, deadline)
        self._memory.put(key, embedding, self._segmenter.size_of(embedding))
        return embedding

    def _from_disk(self, key: str) -> Embedding | None:
        packed = self._disk.read(key) if self._disk is not None else None
        if packed is None or self._disk is None:
            return None
        try:
            embedding = self.with_memory(lambda: self._segmenter.unpack(packed))
        except ValueError:
            self._disk.discard(key)
            return None
        self._count("disk_hits")
        return embedding

    def _from_shared(self, key: str, deadline: float) -> Embedding | None:
        packed = self._shared.read(key, deadline) if self._shared is not None else None
        if packed is None or self._shared is None:
            return None
        try:
            embedding = self.with_memory(lambda: self._segmenter.unpack(packed))
        except ValueError:
            self._shared.discard(key)
            return None
        self._count("shared_hits")
        if self._disk is not None:
            self._disk.write_later(key, lambda: packed)
        return embedding

    def _write_later(self, key: str, embedding: Embedding) -> None:
        pack = cache(lambda: self._segmenter.pack(embedding))  # once for both
        if self._disk is not None:
            self._disk.write_later(key, pack)
        if self._shared is not None:
            self._shared.write_later(key, pack)

    def _loaded(self, load: Callable[[], Image], deadline: float) -> Image:
        """The image, once there is room for it; the room is free again when nothing refers to the image any more."""
        try:
            self._room.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            raise DeadlinePassed("encode did not begin in time, other images were before it; try again") from None
        try:
            image = load()
        except BaseException:
            self._room.put(None)
            raise
        weakref.finalize(image, self._room.put, None)
        return image

    def _join(self, key: str, priority: Priority, deadline: float) -> Ticket[Embedding] | Embedding | None:
        """A ticket of the run that is under way, or what the one that has just ended left; None without any."""
        with self._lock:
            return self._joined(key, priority, deadline)

    def _join_or_submit(
        self, key: str, priority: Priority, deadline: float, image: Image
    ) -> Ticket[Embedding] | Embedding:
        with self._lock:
            found = self._joined(key, priority, deadline)
            if found is not None:
                return found
            ticket = self._queue.submit(lambda: self._encode(key, image), priority, deadline=deadline, name="encode")
            dropped = self._encodings.get(key)  # the queue gave it up; those who waited are about to leave
            self._encodings[key] = _Encoding(ticket, 1 + (dropped.waiters if dropped else 0))
            return ticket

    def _joined(self, key: str, priority: Priority, deadline: float) -> Ticket[Embedding] | Embedding | None:
        encoding = self._encodings.get(key)
        ticket = encoding.ticket.share(priority, deadline) if encoding is not None else None
        if encoding is None or ticket is None:
            # A run puts its outcome into the memory before it counts as over.
            return self._memory.get(key)
        encoding.waiters += 1
        self._counts["joined"] += 1
        return ticket

    def _leave(self, key: str) -> None:
        """The last who waits takes the entry away, and with it the image."""
        with self._lock:
            encoding = self._encodings[key]
            encoding.waiters -= 1
            if not encoding.waiters:
                del self._encodings[key]

    def _encode(self, key: str, image: Image) -> Embedding:
        """In the model's thread."""
        known = self._memory.get(key)  # of a run whose waiters had all left
        if known is not None:
            return known
        embedding = self.with_memory(lambda: self._segmenter.encode(image))
        self._count("encoded")
        self._memory.put(key, embedding, self._segmenter.size_of(embedding))
        self._write_later(key, embedding)
        return embedding

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1
