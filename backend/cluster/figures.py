"""`/metrics` of all replicas and of the ingress in one text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from backend.cluster.messages import Report
from backend.cluster.placing import host_of
from backend.serving.metrics import BUCKETS_SECONDS


class Figures:
    """The ingress's own figures. Those of replicas get a label with their name."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self.requests = Counter(
            "labelrig_ingress_requests", "HTTP requests that the ingress answered.", ("route", "status"),
            registry=registry,
        )  # fmt: skip
        self.answered = Counter(
            "labelrig_ingress_answered", "Requests that a replica answered.", ("replica",), registry=registry
        )
        self.repeated = Counter(
            "labelrig_ingress_repeated", "Requests sent once more because their replica died, or fell silent.",
            registry=registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "labelrig_ingress_seconds", "Time from a click's arrival to its answer.", buckets=BUCKETS_SECONDS,
            registry=registry,
        )  # fmt: skip
        self.wanted = Gauge("labelrig_replicas_wanted", "Replicas that there are to be.", registry=registry)
        self.ready = Gauge("labelrig_replicas_ready", "Replicas that answer, and have their model.", registry=registry)

    def text(self, reports: Sequence[Report], drained: Collection[str] = ()) -> bytes:
        """The body of `GET /metrics`.

        Args:
            drained: hosts that get no requests.
        """
        joined = CollectorRegistry()
        joined.register(_Joined(reports))
        joined.register(_Replicas(reports, drained))
        return generate_latest(self._registry) + generate_latest(joined)


class _Joined(Collector):
    def __init__(self, reports: Sequence[Report]) -> None:
        self._reports = reports

    def collect(self) -> Iterable[Metric]:
        """See `prometheus_client.registry.Collector`."""
        families: dict[str, Metric] = {}
        for report in self._reports:
            for family in text_string_to_metric_families(report.metrics.decode()):
                joined = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                joined.samples += list(_named(family, report.replica))
        return families.values()


class _Replicas(Collector):
    """What reports say of replicas beside their own metrics."""

    def __init__(self, reports: Sequence[Report], drained: Collection[str]) -> None:
        self._reports = reports
        self._drained = drained

    def collect(self) -> Iterable[Metric]:
        """See `prometheus_client.registry.Collector`."""
        up = GaugeMetricFamily("labelrig_replica_up", "1 where it answers clicks.", labels=("host", "replica"))
        requests = GaugeMetricFamily(
            "labelrig_replica_requests", "Requests that it works on.", labels=("host", "replica")
        )
        for one in self._reports:
            labels = (host_of(one.replica), one.replica)
            up.add_metric(labels, one.state in ("ready", "degraded"))
            requests.add_metric(labels, one.requests)
        drained = GaugeMetricFamily("labelrig_host_drained", "1 where a host gets no requests.", labels=("host",))
        for host in sorted({host_of(one.replica) for one in self._reports} | set(self._drained)):
            drained.add_metric((host,), host in self._drained)
        return up, requests, drained


def _named(family: Metric, replica: str) -> Iterator[Sample]:
    for sample in family.samples:
        yield sample._replace(labels={**sample.labels, "replica": replica})
