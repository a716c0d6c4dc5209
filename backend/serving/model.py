"""The model at work: the segmenter, the queue in front of it, and what keeps its embeddings.

Made when the weights are loaded; everything here uses the model through the one queue.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backend.embedding.disk_store import DiskStore
from backend.embedding.embed_jobs import EmbedJobs
from backend.embedding.embeddings import Embeddings
from backend.embedding.prewarm import Prewarmer
from backend.embedding.shared_folder import SharedFolder
from backend.embedding.shared_store import SharedStore
from backend.images.image_store import ImageStore
from backend.queue.scheduling import ModelQueue
from backend.segmenter import Segmenter
from backend.settings import Settings
from backend.sources import ImageSources

MEGABYTE = 1 << 20
BATCH_ON_CUDA = 8


@dataclass(frozen=True)
class Model:
    """A loaded model and all that works with it."""

    segmenter: Segmenter
    queue: ModelQueue
    embeddings: Embeddings
    disk: DiskStore | None
    shared: SharedStore | None
    prewarmer: Prewarmer
    jobs: EmbedJobs

    @property
    def device(self) -> str:
        """Where it runs."""
        return self.segmenter.device

    def close(self) -> None:
        """End the threads: first who asks, then who computes, and write what is still to be written."""
        self.prewarmer.close()
        self.jobs.close()
        self.queue.close()
        if self.disk is not None:
            self.disk.close()
        if self.shared is not None:
            self.shared.close()


def put_to_work(
    segmenter: Segmenter,
    queue: ModelQueue,
    images: ImageStore,
    sources: ImageSources,
    settings: Settings,
    model_version: str,
) -> Model:
    """Build everything around a loaded model, and start it."""
    disk = _disk_store(settings.embedding_cache_dir, settings.embedding_cache_disk_mb)
    shared = _shared_store(settings.embedding_cache_shared_dir, settings.embedding_cache_shared_mb)
    memory_bytes = settings.embedding_cache_memory_mb * MEGABYTE
    embeddings = Embeddings(segmenter, queue, memory_bytes, disk, model_version, shared)
    batch = settings.embed_batch or (BATCH_ON_CUDA if segmenter.device.startswith("cuda") else 1)
    prewarmer = Prewarmer(images, embeddings, sources.open, settings.prewarm_neighbours)
    jobs = EmbedJobs(images, embeddings, sources.open, batch)
    prewarmer.start()
    jobs.start()
    return Model(segmenter, queue, embeddings, disk, shared, prewarmer, jobs)


def _disk_store(folder: Path | None, megabytes: int) -> DiskStore | None:
    if folder is None or not megabytes:
        return None
    store = DiskStore(folder, megabytes * MEGABYTE)
    store.start()
    return store


def _shared_store(folder: Path | None, megabytes: int) -> SharedStore | None:
    if folder is None:
        return None
    store = SharedStore(SharedFolder(folder, megabytes * MEGABYTE))
    store.start()
    return store
