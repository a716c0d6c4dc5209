"""What Prometheus reads."""

from __future__ import annotations

import sys

import pytest
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from backend.errors import ImageError
from backend.queue.scheduling import DEFAULT_LIMITS, Priority, QueueState, Running
from backend.serving.metrics import BUCKETS_SECONDS, CONTENT_TYPE, CacheUse, Metrics

IDLE = QueueState(dict.fromkeys(Priority, 0), DEFAULT_LIMITS)


class Source:
    """What is asked at each scrape."""

    def __init__(self) -> None:
        self.memory = CacheUse(0, 0, 0, 0, 1000)
        self.disk = CacheUse(5, 1, None, 800)
        self.queue = IDLE
        self.metrics = Metrics(
            CollectorRegistry(), {"memory": lambda: self.memory, "disk": lambda: self.disk}, lambda: self.queue
        )

    def sample(self, name: str, **labels: str) -> float | None:
        """The value of one sample as Prometheus would read it; None when it is not there."""
        for family in text_string_to_metric_families(self.metrics.text().decode()):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        return None


@pytest.fixture
def source() -> Source:
    return Source()


def test_requests_clicks_and_errors_are_counted(source: Source) -> None:
    for _ in range(2):
        source.metrics.count_request("/predict", 200)
    source.metrics.count_request("/predict", 422)
    source.metrics.count_error(ImageError("torn"))
    source.metrics.count_click("box", {"decode": 0.017, "total": 0.03})
    assert source.sample("labelrig_requests_total", route="/predict", status="200") == 2
    assert source.sample("labelrig_requests_total", route="/predict", status="422") == 1
    assert source.sample("labelrig_errors_total", kind="ImageError") == 1
    assert source.sample("labelrig_clicks_total", prompt="box") == 1


def test_stages_fall_into_buckets(source: Source) -> None:
    for seconds in (0.0005, 0.017, 0.017, 61.0):
        source.metrics.count_click("point", {"decode": seconds})
    buckets = {
        bound: source.sample("labelrig_stage_seconds_bucket", stage="decode", le=bound)
        for bound in ("0.001", "0.01", "0.025", "60.0", "+Inf")
    }
    assert buckets == {"0.001": 1, "0.01": 1, "0.025": 3, "60.0": 3, "+Inf": 4}
    assert source.sample("labelrig_stage_seconds_sum", stage="decode") == pytest.approx(61.0345)
    assert (BUCKETS_SECONDS[0], BUCKETS_SECONDS[-1]) == (0.001, 60.0)


def test_caches_are_asked_at_each_scrape(source: Source) -> None:
    assert source.sample("labelrig_cache_hits_total", cache="memory") == 0
    source.memory = CacheUse(hits=9, misses=3, entries=4, used_bytes=700, limit_bytes=1000, emptied=2)
    assert source.sample("labelrig_cache_hits_total", cache="memory") == 9
    assert source.sample("labelrig_cache_misses_total", cache="memory") == 3
    assert source.sample("labelrig_cache_entries", cache="memory") == 4
    assert source.sample("labelrig_cache_bytes", cache="memory") == 700
    assert source.sample("labelrig_cache_limit_bytes", cache="memory") == 1000
    assert source.sample("labelrig_cache_emptied_total", cache="memory") == 2


def test_what_a_cache_does_not_know_is_left_out(source: Source) -> None:
    assert source.sample("labelrig_cache_hits_total", cache="disk") == 5
    assert source.sample("labelrig_cache_entries", cache="disk") is None
    assert source.sample("labelrig_cache_limit_bytes", cache="disk") is None
    assert source.sample("labelrig_cache_errors_total", cache="disk") is None


def test_cache_that_others_fill_too(source: Source) -> None:
    """Its size is no figure of this process; its errors are."""
    source.disk = CacheUse(5, 1, None, None, 800, errors=3)
    assert source.sample("labelrig_cache_errors_total", cache="disk") == 3
    assert source.sample("labelrig_cache_bytes", cache="disk") is None
    assert source.sample("labelrig_cache_limit_bytes", cache="disk") == 800


def test_queue_is_asked_at_each_scrape(source: Source) -> None:
    assert source.sample("labelrig_model_busy_seconds") == 0
    source.queue = QueueState(
        {Priority.CLICK: 2, Priority.OPEN: 0, Priority.BATCH: 1}, DEFAULT_LIMITS,
        Running("encode", Priority.CLICK, 1.5), 0.75,
    )  # fmt: skip
    depths = [source.sample("labelrig_queue_depth", priority=name) for name in ("click", "open", "batch")]
    assert depths == [2, 0, 1]
    assert source.sample("labelrig_model_busy_seconds") == 1.5
    assert source.sample("labelrig_queue_longest_wait_seconds") == 0.75


def test_model_is_named_once_it_is_known(source: Source) -> None:
    about = {"model": "tiny", "version": "tiny@01234567+0.1.0", "device": "cpu", "engine": "torch-float32"}
    assert source.sample("labelrig_model_info", **about) is None
    source.metrics.set_model(**about)
    assert source.sample("labelrig_model_info", **about) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the process collector reads /proc")
def test_memory_of_the_process_is_told(source: Source) -> None:
    resident = source.sample("process_resident_memory_bytes")
    assert resident is not None
    assert resident > 1_000_000


def test_nothing_is_global(source: Source) -> None:
    source.metrics.count_request("/health", 200)
    assert not [name for name in REGISTRY._names_to_collectors if name.startswith("labelrig")]
    assert Source().sample("labelrig_requests_total", route="/health", status="200") is None


def test_hostile_label_does_not_break_the_text(source: Source) -> None:
    source.metrics.count_click('box"}\n# HELP x\\', {})
    assert source.sample("labelrig_clicks_total", prompt='box"}\n# HELP x\\') == 1


def test_content_type_is_the_text_format() -> None:
    assert CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize(("hits", "misses", "ratio"), [(0, 0, None), (0, 4, 0.0), (3, 1, 0.75)])
def test_hit_ratio(hits: int, misses: int, ratio: float | None) -> None:
    assert CacheUse(hits, misses, 0, 0).hit_ratio == ratio
