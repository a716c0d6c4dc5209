"""All parts of one process, put together from the settings, and what they tell of themselves."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry

from backend import __version__
from backend.budget import MemoryBudget
from backend.embedding.shared_store import SharedStats
from backend.errors import SettingsError, Superseded
from backend.images.image_store import ImageStore
from backend.labelstudio.options import ProjectOptions, ProjectOptionsRegistry
from backend.queue.scheduling import ModelQueue
from backend.segmenter import Segmenter
from backend.serving.alignments import AlignmentStore
from backend.serving.clicks import ClickAnswerer
from backend.serving.in_flight import InFlight
from backend.serving.loading import ModelLoader
from backend.serving.memory import BoxMemory, MaskMemory
from backend.serving.metrics import CacheUse, Metrics
from backend.serving.model import MEGABYTE, Model, put_to_work
from backend.serving.page_run import PageRun, Step
from backend.serving.page_runs import PageRuns
from backend.serving.pictures import PictureStore
from backend.serving.proposal_jobs import ProposalJobs
from backend.serving.recent import Recent
from backend.serving.segmenting import MaskPredictor
from backend.serving.status_page import StatusSnapshot, resident_bytes
from backend.serving.watch import Watch
from backend.settings import Settings
from backend.sources import ImageSources, open_sources
from backend.sources.fetch import FetchLimits
from backend.weights.catalog import ModelFiles

logger = logging.getLogger(__name__)
OPTIONS_FILE = "projects.json"
ALIGNMENTS = "alignments"
PREVIEWS = 8  # at once; they take no click's place
PROPOSALS_BYTES = 64 * MEGABYTE  # of the images whose objects pages look at; a real model's take 5 to 30 MB each


@dataclass(frozen=True)
class Service:
    """What the routes use."""

    settings: Settings
    files: ModelFiles
    sources: ImageSources
    images: ImageStore
    pictures: PictureStore
    defaults: ProjectOptions
    options: ProjectOptionsRegistry
    alignments: AlignmentStore
    proposals: ProposalJobs
    page_runs: PageRuns[PageRun, Step]
    answerer: ClickAnswerer
    in_flight: InFlight
    previews: InFlight
    queue: ModelQueue
    loader: ModelLoader
    watch: Watch
    metrics: Metrics
    recent: Recent
    started: float
    temporary: tempfile.TemporaryDirectory[str] | None

    def start(self) -> None:
        """Begin to load the model."""
        self.queue.start()
        self.loader.start()

    def close(self) -> None:
        """Fail what waits and end the threads."""
        self.proposals.close()
        self.page_runs.close()
        model = self.loader.loaded
        if model is not None:
            model.close()
        else:
            self.queue.close()
        if self.temporary is not None:
            self.temporary.cleanup()

    def failed(self, error: Exception, request_id: str) -> None:
        """Record an error that a client received; a superseded click is normal work, whose answer is not shown."""
        if isinstance(error, Superseded):
            return
        self.metrics.count_error(error)
        self.recent.add_error(error, request_id)

    def snapshot(self) -> StatusSnapshot:
        """All that the status page shows."""
        health, reason = self.watch.state()
        model = self.loader.loaded
        segmenter = model.segmenter if model is not None else None
        return StatusSnapshot(
            at=datetime.now(UTC),
            version=__version__,
            model=self.files.name,
            model_version=self.files.version,
            is_demo=self.files.name == "demo",
            health=health,
            reason=reason,
            uptime_seconds=time.monotonic() - self.started,
            queue=self.queue.state(),
            active_clicks=len(self.in_flight),
            device=segmenter.device if segmenter else None,
            engine=segmenter.engine if segmenter else None,
            engine_reason=(segmenter.engine_note or None) if segmenter else None,
            memory_bytes=resident_bytes(),
            caches={name: read() for name, read in cache_uses(lambda: model, self.settings).items()},
            percentiles=self.recent.percentiles(),
            clicks=self.recent.clicks(),
            errors=self.recent.errors(),
        )


def build_service(load: Callable[[], Segmenter], settings: Settings, files: ModelFiles) -> Service:
    """Put the parts together; nothing is loaded and no thread runs yet.

    Raises:
        SettingsError: IMAGE_HOSTS_ALLOWED is not a list of hosts.
    """
    # Without a folder of their own, fetched images and pictures for browsers live as long as the process.
    temporary = None if settings.embedding_cache_dir else tempfile.TemporaryDirectory(prefix="labelrig-images-")
    kept = settings.embedding_cache_dir or Path(temporary.name if temporary else "")
    try:
        sources = _sources(settings, settings.image_cache_dir or kept / "images")
    except ValueError as error:
        raise SettingsError([f"IMAGE_HOSTS_ALLOWED: {error}"]) from None
    work = MemoryBudget(
        settings.work_memory_mb * MEGABYTE,
        f"the memory for pictures and masks (WORK_MEMORY_MB={settings.work_memory_mb})",
    )
    images = ImageStore(settings.image_pixel_limit, settings.image_memory_mb * MEGABYTE, work=work)
    pictures = PictureStore(images, kept / "pictures", settings.picture_cache_disk_mb * MEGABYTE)
    defaults = project_defaults(settings)
    options = ProjectOptionsRegistry(defaults, in_cache(settings, OPTIONS_FILE))
    in_flight = InFlight(settings.click_limit)
    masks = MaskMemory(settings.mask_memory_mb * MEGABYTE)
    answerer = ClickAnswerer(
        sources,
        images,
        MaskPredictor(masks, settings.mask_feedback),
        BoxMemory(settings.box_memory_seconds),
        options,
        in_flight,
        work,
        settings.image_pixel_limit,
        files.version,
    )
    parts: dict[str, Watch] = {}
    queue = ModelQueue(on_finished=lambda name, error: parts["watch"].report_finished(name, error))

    def load_and_build() -> Model:
        model = put_to_work(load(), queue, images, sources, settings, files.version)
        segmenter = model.segmenter
        metrics.set_model(model=files.name, version=files.version, device=segmenter.device, engine=segmenter.engine)
        return model

    loader = ModelLoader(load_and_build)
    metrics = Metrics(CollectorRegistry(), cache_uses(lambda: loader.loaded, settings), queue.state)
    parts["watch"] = watch = Watch(
        lambda: loader.state, queue.state, lambda: _problems(loader.loaded, sources, pictures)
    )
    return Service(
        settings, files, sources, images, pictures, defaults, options, AlignmentStore(kept / ALIGNMENTS),
        ProposalJobs(PROPOSALS_BYTES), PageRuns(), answerer, in_flight, InFlight(PREVIEWS), queue, loader, watch,
        metrics, Recent(), time.monotonic(), temporary,
    )  # fmt: skip


def cache_uses(model: Callable[[], Model | None], settings: Settings) -> Mapping[str, Callable[[], CacheUse]]:
    """How the caches are used, by name; each is read when the page is."""

    def memory() -> CacheUse:
        loaded = model()
        if loaded is None:
            return CacheUse(0, 0, 0, 0)
        stats = loaded.embeddings.stats
        missed = stats.disk_hits + stats.shared_hits + stats.joined + stats.encoded
        return CacheUse(
            stats.memory_hits, missed, stats.held_images, stats.held_bytes, stats.limit_bytes, stats.emptied
        )

    def disk() -> CacheUse:
        loaded = model()
        stats = loaded.embeddings.disk_stats if loaded is not None else None
        if stats is None:
            return CacheUse(0, 0, None, 0)
        return CacheUse(stats.hits, stats.misses, None, stats.held_bytes, stats.limit_bytes)

    def shared() -> CacheUse:
        loaded = model()
        stats = loaded.shared.stats if loaded is not None and loaded.shared is not None else SharedStats()
        return CacheUse(stats.hits, stats.misses, None, None, stats.limit_bytes or None, errors=stats.errors)

    caches = {"memory": memory, "disk": disk}
    return caches if settings.embedding_cache_shared_dir is None else {**caches, "shared": shared}


def _problems(model: Model | None, sources: ImageSources, pictures: PictureStore) -> Iterable[str]:
    stats = model.embeddings.disk_stats if model is not None else None
    if stats is not None and stats.problem:
        yield stats.problem
    if model is not None and model.shared is not None and (problem := model.shared.stats.problem) is not None:
        yield problem
    if sources.problem is not None:
        yield sources.problem
    if pictures.problem is not None:
        yield pictures.problem


def project_defaults(settings: Settings) -> ProjectOptions:
    """The options of a project that chose none."""
    return ProjectOptions(
        polygon_tolerance_pixels=settings.polygon_tolerance_pixels,
        fill_holes_pixels=settings.mask_fill_holes_pixels,
        remove_specks_pixels=settings.mask_remove_specks_pixels,
        keep=settings.mask_keep,
        crop_small_objects=settings.crop_small_objects,
    )


def _sources(settings: Settings, fetched: Path) -> ImageSources:
    key = settings.label_studio_api_key
    return open_sources(
        settings.local_files_document_root,
        fetched,
        settings.image_cache_disk_mb * MEGABYTE,
        label_studio_url=settings.label_studio_url,
        label_studio_public_url=settings.label_studio_public_url,
        api_key=key.get_secret_value() if key is not None else None,
        api_key_file=settings.label_studio_api_key_file,
        hosts_allowed=settings.image_hosts_allowed,
        limits=FetchLimits(download_bytes=settings.image_download_limit_mb * MEGABYTE),
        places=settings.click_limit,
    )


def in_cache(settings: Settings, name: str) -> Path | None:
    """A place that outlives the process, where there is one."""
    return None if settings.embedding_cache_dir is None else settings.embedding_cache_dir / name
