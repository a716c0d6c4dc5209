"""Figures of the whole stack for Prometheus, for whoever has the token: `GET /labelrig/metrics`.

What Label Studio's database holds and how much room there is; how the last backup and drill went; whether the backend
answers, and its own figures behind it. Read when they are asked for, in the process that answers.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import importlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.registry import Collector

PATH = "/labelrig/metrics"
DIGEST = "LABELRIG_METRICS_SHA256"  # of the token; empty where none was set
BACKEND = ("sam2", 9090, "/metrics")
PROGRAMS = "@labelrig.invalid"  # as labelrig_middleware has it
BACKEND_SECONDS = 5.0
BACKEND_BYTES = 4 << 20
CGROUP = Path("/sys/fs/cgroup")
RUNS = Path("/tmp")  # noqa: S108 - a volume; where backup.sh copies how its runs went
NO_LIMIT = 1 << 60  # what a cgroup without one says, in bytes, at least


class StackMetrics:
    """The middleware that answers `PATH`, and leaves everything else alone."""

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self._get_response = get_response

    def __call__(self, request: Any) -> Any:
        if request.path_info.rstrip("/") != PATH:
            return self._get_response(request)
        answer = importlib.import_module("django.http")
        refused = refusal(os.environ.get(DIGEST, ""), request.headers.get("Authorization", ""))
        if refused is not None:
            status, detail = refused
            response = answer.JsonResponse({"status_code": status, "detail": detail}, status=status)
            if status == http.client.UNAUTHORIZED:
                response["WWW-Authenticate"] = 'Bearer realm="labelrig"'
            return response
        return answer.HttpResponse(page(), content_type=CONTENT_TYPE)


def refusal(digest: str, authorization: str) -> tuple[int, str] | None:
    """Status and sentence for whoever may not read the figures; None for whoever has the token (RFC 6750).

    Args:
        digest: the SHA-256 of the token in hex; empty where there is none.
        authorization: the header.
    """
    if not digest:
        return http.client.NOT_FOUND, "there are no figures without a LABELRIG_METRICS_TOKEN"
    scheme, _, token = authorization.partition(" ")
    given = hashlib.sha256(token.strip().encode("utf-8", "replace")).hexdigest()
    if scheme.lower() != "bearer" or not hmac.compare_digest(given, digest):
        return http.client.UNAUTHORIZED, "the figures are for whoever has the LABELRIG_METRICS_TOKEN"
    return None


def page() -> bytes:
    """Everything, in Prometheus' text format; the backend's own figures come last."""
    answers, figures = backend_figures(*login_of_backend())
    registry = CollectorRegistry()
    registry.register(_Figures(answers))
    return generate_latest(registry) + figures


def login_of_backend() -> tuple[str, str]:
    """The user and password with which Label Studio opens the backend; empty before it is connected."""
    found = importlib.import_module("ml.models").MLBackend.objects.filter(url=f"http://{BACKEND[0]}:{BACKEND[1]}")
    row = found.values_list("basic_auth_user", "basic_auth_pass").first()
    return tuple(str(one or "") for one in row) if row else ("", "")  # type: ignore[return-value]


def backend_figures(user: str, password: str) -> tuple[bool, bytes]:
    """Whether the backend answers, and what it says of itself: nothing before it is connected."""
    host, port, path = BACKEND
    login = base64.b64encode(f"{user}:{password}".encode()).decode()
    connection = http.client.HTTPConnection(host, port, timeout=BACKEND_SECONDS)
    try:
        connection.request("GET", path, headers={"Authorization": f"Basic {login}"})
        response = connection.getresponse()
        body = response.read(BACKEND_BYTES + 1)
        return True, body if response.status == http.client.OK and len(body) <= BACKEND_BYTES else b""
    except (OSError, http.client.HTTPException):
        return False, b""
    finally:
        connection.close()


class _Figures(Collector):
    """Read once, for one answer."""

    def __init__(self, backend_answers: bool) -> None:
        self._backend_answers = backend_answers

    def collect(self) -> Iterator[Any]:
        yield from database_figures()
        settings = importlib.import_module("django.conf").settings
        yield from room(Path(settings.BASE_DATA_DIR))
        yield from memory(CGROUP)
        yield from runs(RUNS)
        up = GaugeMetricFamily("labelrig_service_up", "1 where the service answers Label Studio.", labels=["service"])
        up.add_metric(["label-studio"], 1)
        up.add_metric(["sam2"], float(self._backend_answers))
        yield up


def database_figures() -> Iterator[Any]:
    """How much work there is, who does it, and how large the database is."""
    tasks, users = importlib.import_module("tasks.models"), importlib.import_module("users.models")
    projects = importlib.import_module("projects.models")
    yesterday = importlib.import_module("django.utils.timezone").now() - timedelta(days=1)
    people = users.User.objects.filter(is_active=True).exclude(email__endswith=PROGRAMS)
    submitted = tasks.Annotation.objects.filter(was_cancelled=False)
    counts = {
        "projects": ("Projects.", projects.Project.objects),
        "tasks": ("Tasks.", tasks.Task.objects),
        "annotations": ("Submitted annotations, skipped tasks apart.", submitted),
        "drafts": ("Drafts that are kept.", tasks.AnnotationDraft.objects),
        "predictions": ("Predictions.", tasks.Prediction.objects),
        "people": ("People who may sign in.", people),
        "people_active": ("Those who did something in the last day.", people.filter(last_activity__gte=yesterday)),
    }
    for name, (text, rows) in counts.items():
        yield GaugeMetricFamily(f"labelrig_{name}", text, value=rows.count())
    connection = importlib.import_module("django.db").connection
    began = time.monotonic()
    size = database_bytes(connection)
    yield GaugeMetricFamily("labelrig_database_bytes", "Size of the database.", value=size)
    yield GaugeMetricFamily(
        "labelrig_database_answer_seconds", "How long the database took to say so.", value=time.monotonic() - began
    )


def database_bytes(connection: Any) -> int:
    """The size of the database that Label Studio works on, its indexes included."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_database_size(current_database())")
        else:
            cursor.execute("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
        return int(cursor.fetchone()[0])


def room(folder: Path) -> Iterator[Any]:
    """The disk that the work is on. Not the image folders: one on a dead share would never answer."""
    usage = shutil.disk_usage(folder)
    yield GaugeMetricFamily("labelrig_disk_free_bytes", "Room on the disk of Label Studio's data.", value=usage.free)
    yield GaugeMetricFamily("labelrig_disk_size_bytes", "Size of that disk.", value=usage.total)


def memory(cgroup: Path) -> Iterator[Any]:
    """The memory of Label Studio's container, of either version of control groups; nothing where neither is there."""
    for used, limit in (
        ("memory.current", "memory.max"),
        ("memory/memory.usage_in_bytes", "memory/memory.limit_in_bytes"),
    ):
        with suppress(OSError, ValueError):
            value = int((cgroup / used).read_text())
            yield GaugeMetricFamily(
                "labelrig_container_memory_bytes", "Memory of Label Studio's container.", value=value
            )
            most = int((cgroup / limit).read_text())
            if most < NO_LIMIT:
                yield GaugeMetricFamily("labelrig_container_memory_limit_bytes", "Its limit.", value=most)
            return


def runs(folder: Path) -> Iterator[Any]:
    """How the last backup, verification and drill went, and when the last good one ended; nothing of what never was."""
    ok = GaugeMetricFamily("labelrig_run_ok", "1 where the last one went well.", labels=["run"])
    ended = GaugeMetricFamily(
        "labelrig_run_good_timestamp_seconds", "When the last good one ended, since 1970.", labels=["run"]
    )
    for run in ("backup", "verify", "drill"):
        for name, family, key in (("last", ok, "ok"), ("good", ended, "ended")):
            with suppress(OSError, ValueError, KeyError, TypeError):
                found = json.loads((folder / f"labelrig-{name}-{run}.json").read_text())
                family.add_metric([run], float(found[key]))
    yield from (ok, ended)
