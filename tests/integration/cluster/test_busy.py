"""A replica that works on as much as it takes answers how it is all the same, and clicks besides."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from backend.cluster.probing import SILENT_ROUNDS
from backend.cluster.watching import PERIOD_SECONDS
from tests.integration.cluster.load import REPLICA, annotator, body_of, lone_clicks
from tests.integration.cluster.nodes import Cluster, running
from tests.integration.cluster.test_propagate import begun

pytestmark = pytest.mark.slow
RUNS = 4  # as many as a replica takes, and as clicks
LONG_SECONDS = 2 * SILENT_ROUNDS * PERIOD_SECONDS  # a replica that answers nothing is silent by then


@pytest.fixture(scope="module")
def cluster(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("busy")
    hosts, limit = {"a": 1, "b": 1}, str(RUNS)
    with running(folder, hosts=hosts, LOCAL_FILES_DOCUMENT_ROOT=str(scenes), CLICK_LIMIT=limit) as cluster:
        yield cluster


def test_replica_full_of_runs_is_not_silent(scenes: Path, cluster: Cluster) -> None:
    """Its runs go on, and it answers a click."""
    with cluster.client() as client, ExitStack() as open_runs:
        assert client.post("/hosts/b/drain").status_code == 200  # so that all begin at the same one
        runs = [open_runs.enter_context(begun(client, f"busy {number}")) for number in range(RUNS)]
        client.delete("/hosts/b/drain")
        assert {answer.headers[REPLICA].partition(" ")[0] for answer, _ in runs} == {"a/0"}
        until = time.monotonic() + LONG_SECONDS
        while time.monotonic() < until:
            hosts = client.get("/hosts").json()["hosts"]
            assert [one["silent"] for one in hosts] == [[], []]
            time.sleep(PERIOD_SECONDS)
        ask = next(iter(lone_clicks(scenes).values()))[0]
        answer = client.post("/predict", json=body_of(annotator(scenes), ask, "busy"), headers={REPLICA: "a/0"})
        assert (answer.status_code, answer.headers[REPLICA].partition(" ")[0]) == (200, "a/0"), answer.text
        assert [json.loads(next(lines)).get("frame") for _, lines in runs] == [2] * RUNS
