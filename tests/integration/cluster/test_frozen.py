"""A host whose processes all stop at once, and close no connection: as one that froze, or lost its power or network."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from backend.cluster.node import RAY_ENVIRONMENT
from tests.integration.backend.annotators import Ask
from tests.integration.cluster.load import CLICKS, REPLICA, annotate, names, places
from tests.integration.cluster.nodes import Cluster, running
from tests.integration.cluster.test_propagate import begun

pytestmark = pytest.mark.slow
HOSTS = {"a": 2, "b": 2}
VICTIMS = ["b/0", "b/1"]
HEALTH_CHECKS = {name: value for name, value in RAY_ENVIRONMENT.items() if name.startswith("RAY_health_check_")}
CLICK_SECONDS = 45.0  # the longest: until its replica is silent, and another has encoded its image; 90 s are its limit
DEAD_SECONDS = 40.0  # Ray's health checks take 22 to 24 s; with its own values they would take more than a minute
END_SECONDS = 120.0


@pytest.fixture(scope="module")
def cluster(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two hosts of two replicas, with Ray's health checks as `backend.cluster.node` has them."""
    folder = tmp_path_factory.mktemp("frozen")
    settings: dict[str, Any] = {"LOCAL_FILES_DOCUMENT_ROOT": str(scenes), **HEALTH_CHECKS}
    with running(folder, hosts=HOSTS, **settings) as cluster:
        yield cluster


def freeze(cluster: Cluster) -> float:
    """SIGSTOP, and wait until the ingress gives b nothing more; how long that took, seconds."""
    assert cluster.kill("b", signal.SIGSTOP) > HOSTS["b"]
    began = time.monotonic()
    cluster.until(lambda found: [one["silent"] for one in found["hosts"] if one["host"] == "b"] == [VICTIMS])
    return time.monotonic() - began


def until_ended(cluster: Cluster) -> None:
    """Let the processes of b run again, until Ray's own have heard of the verdict and ended; then the replicas end.

    Those end with their container, which ends with Ray's process.
    """
    deadline = time.monotonic() + END_SECONDS
    while cluster.kill("b", signal.SIGCONT) > HOSTS["b"]:
        assert time.monotonic() < deadline, cluster.logs()
        time.sleep(0.2)
    cluster.kill("b")


def test_frozen_host_fails_no_click(scenes: Path, cluster: Cluster, expected: dict[Ask, str]) -> None:
    """SIGSTOP while 16 clients click, and SIGCONT before Ray takes it for dead: it has its images back."""
    before = places(scenes, cluster)
    seconds: dict[str, float] = {}

    def freeze_and_thaw() -> None:
        seconds["silent_after"] = freeze(cluster)
        assert cluster.kill("b", signal.SIGCONT) > HOSTS["b"]
        cluster.until_ready(sum(HOSTS.values()))

    with ExitStack() as thawed:
        thawed.callback(cluster.kill, "b", signal.SIGCONT)
        found = annotate(scenes, cluster, expected, CLICKS, freeze_and_thaw)
    figures = {
        **seconds, "clicks": sum(found.by_replica.values()), "longest_s": max(found.took_ms) / 1000,
        "repeated": repeated(cluster), "load": os.getloadavg(),
    }  # fmt: skip
    print(json.dumps(figures))  # noqa: T201 - it is the result
    assert max(found.took_ms) < 1000 * CLICK_SECONDS
    moved = {image for image, owners in before.items() if found.of_image[image] - owners}
    assert moved
    assert moved <= {image for image, owners in before.items() if names(owners) <= set(VICTIMS)}
    assert places(scenes, cluster) == before


def repeated(cluster: Cluster) -> float:
    with cluster.client() as client:
        lines = client.get("/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("labelrig_ingress_repeated_total "))


def test_propagation_at_a_frozen_host_ends_with_a_line(cluster: Cluster) -> None:
    """And one that is cancelled there is cancelled at once."""
    with cluster.client() as client, ExitStack() as thawed:
        runs = (
            (key, *thawed.enter_context(begun(client, key))) for key in (f"frozen {number}" for number in range(40))
        )
        at_b = ((key, lines) for key, answer, lines in runs if answer.headers[REPLICA].startswith("b/"))
        (_, lines), (key, lines_of_cancelled) = next(at_b), next(at_b)
        thawed.callback(cluster.kill, "b", signal.SIGCONT)
        cluster.kill("b", signal.SIGSTOP)
        answer = client.delete(f"/propagate/{key}")
        assert (answer.status_code, answer.json()) == (200, {"cancelled": True})
        assert json.loads([*lines_of_cancelled][-1])["status"] == 409
        assert json.loads([*lines][-1]) == {
            "error": "the replica that worked on this ended or failed; try again", "status": 503
        }  # fmt: skip
    cluster.until_ready(sum(HOSTS.values()))


def test_host_that_stays_frozen_is_dead_to_ray(scenes: Path, cluster: Cluster, expected: dict[Ask, str]) -> None:
    """Ray ends there when it runs again and hears of it; started anew, the host has its images back."""
    before = places(scenes, cluster)
    seconds: dict[str, float] = {}

    def lose() -> None:
        began = time.monotonic()
        seconds["silent_after"] = freeze(cluster)
        cluster.until(lambda found: [one["host"] for one in found["hosts"]] == ["a"])
        seconds["dead_after"] = time.monotonic() - began

    with ExitStack() as thawed:
        thawed.callback(cluster.kill, "b", signal.SIGKILL)
        found = annotate(scenes, cluster, expected, CLICKS, lose)
        until_ended(cluster)
    print(json.dumps({**seconds, "longest_s": max(found.took_ms) / 1000, "load": os.getloadavg()}))  # noqa: T201
    assert max(found.took_ms) < 1000 * CLICK_SECONDS
    assert seconds["dead_after"] < DEAD_SECONDS
    cluster.start_host("b", HOSTS["b"])
    cluster.until_ready(sum(HOSTS.values()))
    after = places(scenes, cluster)
    assert {image: names(of) for image, of in after.items()} == {image: names(of) for image, of in before.items()}
