"""Figures for Prometheus: counters and histograms of clicks, and what caches and queue say when they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.registry import Collector

from backend.queue.scheduling import QueueState

__all__ = ["CONTENT_TYPE", "CacheUse", "Metrics"]

BUCKETS_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip


@dataclass(frozen=True)
class CacheUse:
    """A cache at one moment.

    Attributes:
        hits: look-ups that found something, since the start.
        misses: look-ups that did not.
        entries: how many it holds now; None when they are not counted.
        used_bytes: how much that is; None when other processes fill it too.
        limit_bytes: how much it may be; None when it has no bound in bytes.
        emptied: times that it was given up because the device's memory did not suffice.
        errors: calls that failed or took too long; None when they are not counted.
    """

    hits: int
    misses: int
    entries: int | None
    used_bytes: int | None
    limit_bytes: int | None = None
    emptied: int = 0
    errors: int | None = None

    @property
    def hit_ratio(self) -> float | None:
        """Share of look-ups that found something, 0 to 1; None before the first."""
        total = self.hits + self.misses
        return self.hits / total if total else None


class Metrics:
    """All figures of one process, on a registry of their own. Safe to use from many threads."""

    def __init__(
        self,
        registry: CollectorRegistry,
        caches: Mapping[str, Callable[[], CacheUse]],
        queue: Callable[[], QueueState],
    ) -> None:
        """
        Args:
            registry: an empty one; never the library's global one.
            caches: by name (`memory`, `disk`, `shared`); read at each scrape.
            queue: the queue at this moment; read at each scrape.
        """
        self._registry = registry
        self._requests = Counter("labelrig_requests", "HTTP requests answered.", ("route", "status"), registry=registry)
        self._clicks = Counter("labelrig_clicks", "Clicks answered with a mask.", ("prompt",), registry=registry)
        self._errors = Counter("labelrig_errors", "Errors shown to clients.", ("kind",), registry=registry)
        self._stages = Histogram(
            "labelrig_stage_seconds", "Time of a click by stage.", ("stage",), buckets=BUCKETS_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._model = Info("labelrig_model", "The model that answers.", registry=registry)
        registry.register(_AtScrape(caches, queue))
        ProcessCollector(registry=registry)

    def count_request(self, route: str, status: int) -> None:
        """One HTTP answer. `route` is the path of a known route, else `other`: a client must not choose names."""
        self._requests.labels(route, str(status)).inc()

    def count_click(self, prompt: str, seconds: Mapping[str, float]) -> None:
        """One click answered with a mask: its kind of prompt (`point`, `box`, ...) and `Stages.seconds`."""
        self._clicks.labels(prompt).inc()
        for stage, value in seconds.items():
            self._stages.labels(stage).observe(value)

    def count_error(self, error: Exception) -> None:
        """One error that a client received, by the name of its class."""
        self._errors.labels(type(error).__name__).inc()

    def set_model(self, *, model: str, version: str, device: str, engine: str) -> None:
        """Called once the model is loaded."""
        self._model.info({"model": model, "version": version, "device": device, "engine": engine})

    def text(self) -> bytes:
        """The body of `GET /metrics`; its content type is `CONTENT_TYPE`."""
        return generate_latest(self._registry)


class _AtScrape(Collector):
    """Reads caches and queue at each scrape, so nothing has to be kept in step."""

    def __init__(self, caches: Mapping[str, Callable[[], CacheUse]], queue: Callable[[], QueueState]) -> None:
        self._caches = dict(caches)
        self._queue = queue

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        hits = CounterMetricFamily("labelrig_cache_hits", "Look-ups that found something.", labels=("cache",))
        misses = CounterMetricFamily("labelrig_cache_misses", "Look-ups that found nothing.", labels=("cache",))
        entries = GaugeMetricFamily("labelrig_cache_entries", "What a cache holds.", labels=("cache",))
        used = GaugeMetricFamily("labelrig_cache_bytes", "How much a cache holds.", labels=("cache",))
        limit = GaugeMetricFamily("labelrig_cache_limit_bytes", "How much a cache may hold.", labels=("cache",))
        emptied = CounterMetricFamily(
            "labelrig_cache_emptied", "Times a cache was given up for want of the device's memory.", labels=("cache",)
        )
        errors = CounterMetricFamily("labelrig_cache_errors", "Calls that failed or took too long.", labels=("cache",))
        for name, read in self._caches.items():
            use = read()
            hits.add_metric((name,), use.hits)
            misses.add_metric((name,), use.misses)
            if use.entries is not None:
                entries.add_metric((name,), use.entries)
            if use.used_bytes is not None:
                used.add_metric((name,), use.used_bytes)
            emptied.add_metric((name,), use.emptied)
            if use.limit_bytes is not None:
                limit.add_metric((name,), use.limit_bytes)
            if use.errors is not None:
                errors.add_metric((name,), use.errors)
        yield from (hits, misses, entries, used, limit, emptied, errors)
        state = self._queue()
        depth = GaugeMetricFamily("labelrig_queue_depth", "Jobs that wait for the model.", labels=("priority",))
        for priority, count in state.waiting.items():
            depth.add_metric((priority.name.lower(),), count)
        yield depth
        running = 0.0 if state.running is None else state.running.seconds
        yield GaugeMetricFamily("labelrig_model_busy_seconds", "How long the model's job has been running.", running)
        yield GaugeMetricFamily(
            "labelrig_queue_longest_wait_seconds", "How long the oldest waiting job waits.", state.longest_wait_seconds
        )
