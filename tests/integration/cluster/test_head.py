"""The head's processes killed and started again: what is lost, and how it comes back."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.cluster.load import HOSTS, REPLICAS, annotator, body_of, lone_clicks, names, places
from tests.integration.cluster.nodes import Cluster, running, start_nodes

pytestmark = pytest.mark.slow
END_SECONDS = 300.0


@pytest.fixture(scope="module")
def apart(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("apart")
    with running(folder, hosts=HOSTS, apart=True, LOCAL_FILES_DOCUMENT_ROOT=str(scenes)) as cluster:
        yield cluster


def test_killed_head_comes_back_with_all_processes(scenes: Path, apart: Cluster) -> None:
    """Replicas answer for a while without it; then all processes end, and are started again by who started them."""
    before = places(scenes, apart)
    killed = time.monotonic()
    assert apart.kill("head") > 1
    person, (ask, *_) = annotator(scenes), next(iter(lone_clicks(scenes).values()))
    answered: list[tuple[float, int | str]] = []
    while apart.processes["ingress"].poll() is None:
        assert time.monotonic() - killed < END_SECONDS, apart.logs()
        try:
            with httpx.Client(base_url=apart.url, timeout=5, trust_env=False) as client:
                answer = client.post("/predict", json=body_of(person, ask, f"{time.monotonic()}"))
            answered.append((time.monotonic() - killed, answer.status_code))
        except httpx.HTTPError as error:
            answered.append((time.monotonic() - killed, type(error).__name__))
        time.sleep(0.5)
    ended = time.monotonic() - killed
    apart.end("head")
    apart.end("nodes")
    for host in HOSTS:
        apart.kill(host)
    apart.end("ingress")
    began = time.monotonic()
    start_nodes(apart, HOSTS, apart=True)
    apart.start_ingress()
    apart.until_ready(REPLICAS)
    figures = {
        "last_good_click_after_s": max((at for at, status in answered if status == 200), default=None),
        "statuses": sorted({str(status) for _, status in answered}), "ingress_ended_after_s": ended,
        "back_after_s": time.monotonic() - began, "load": os.getloadavg(),
    }  # fmt: skip
    print(json.dumps(figures))  # noqa: T201 - it is the result
    after = places(scenes, apart)
    assert {one for of in after.values() for one in names(of)} == {one for of in before.values() for one in names(of)}
