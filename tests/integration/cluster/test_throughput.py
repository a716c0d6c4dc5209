"""Throughput of 1, 2 and 4 replicas, each of which waits for a click as long as a GPU would compute."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from demo.images import draw_demo_images
from tests.integration.backend.annotators import Annotator, Ask, Drawn
from tests.integration.cluster.load import CLIENTS, REPLICA, SIZE_WH, body_of
from tests.integration.cluster.nodes import Cluster, running

pytestmark = pytest.mark.slow
PROGRAM = Path(__file__).with_name("sleeping.py")
HOSTS = ("a", "b", "c", "d")
COUNTS = (4, 2, 1)
SLEEP_SECONDS = 0.2
SECONDS = 20.0
SCALING_SECONDS = 300.0


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    draw_demo_images(folder, count=CLIENTS * len(COUNTS), size_wh=SIZE_WH)
    return folder


@pytest.fixture(scope="module")
def four(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("four")
    shutil.copy(PROGRAM, folder)
    with running(
        folder, hosts=dict.fromkeys(HOSTS, 1), ingress=(PROGRAM.name,), LOCAL_FILES_DOCUMENT_ROOT=str(images),
        LABELRIG_TEST_SLEEP_SECONDS=str(SLEEP_SECONDS),
    ) as cluster:  # fmt: skip
        yield cluster


def test_throughput_grows_with_the_replicas(images: Path, four: Cluster) -> None:
    """16 people, each at an image of their own, who click as soon as they have an answer."""
    names = sorted(path.name for path in (images / "images").glob("*.png"))
    person = Annotator("annotator@lab.org", 0, {f"images/{name}": SIZE_WH for name in names})
    rates: dict[int, float] = {}
    for phase, count in enumerate(COUNTS):
        with four.client() as client:
            for host in HOSTS[:count]:
                client.delete(f"/hosts/{host}/drain")
            for host in HOSTS[count:]:
                assert client.post(f"/hosts/{host}/drain").status_code == 200
        own = names[phase * CLIENTS : (phase + 1) * CLIENTS]
        click(four, person, own, 1.0)  # encodes them
        answered, seconds = click(four, person, own, SECONDS)
        assert len(answered) == count
        rates[count] = sum(answered.values()) / seconds
    figures = {"per_second": rates, "sleep_seconds": SLEEP_SECONDS, "load": os.getloadavg(), "cores": os.cpu_count()}
    print(json.dumps(figures))  # noqa: T201 - it is the result
    for count in (2, 4):
        assert rates[count] >= 0.9 * count * rates[1], figures


def test_replicas_are_added_while_requests_wait(images: Path, tmp_path: Path) -> None:
    """Auto-scaling, which is off by default."""
    names = sorted(path.name for path in (images / "images").glob("*.png"))
    person = Annotator("annotator@lab.org", 0, {f"images/{name}": SIZE_WH for name in names})
    shutil.copy(PROGRAM, tmp_path)
    with running(
        tmp_path, hosts={"a": 1, "b": 1}, replicas=1, ingress=(PROGRAM.name,), CLUSTER_REPLICAS_MAX="2",
        LOCAL_FILES_DOCUMENT_ROOT=str(images), LABELRIG_TEST_SLEEP_SECONDS=str(SLEEP_SECONDS),
    ) as cluster:  # fmt: skip
        deadline = time.monotonic() + SCALING_SECONDS
        while cluster.until(lambda found: found["ready"] > 0)["ready"] < 2:
            assert time.monotonic() < deadline, cluster.logs()
            click(cluster, person, names[:CLIENTS], 5.0)
        answered, _ = click(cluster, person, names[CLIENTS : 2 * CLIENTS], 5.0)
        assert len(answered) == 2


def click(cluster: Cluster, person: Annotator, names: list[str], seconds: float) -> tuple[Counter[str], float]:
    """Clicks of so many seconds by replica, and how long they took."""
    answered: Counter[str] = Counter()
    lock, began = threading.Lock(), time.monotonic()

    def work(name: str) -> None:
        ask, number = Ask(f"images/{name}", "Point", (Drawn((200.0, 130.0)),)), 0
        with cluster.client() as client:
            while number == 0 or time.monotonic() - began < seconds:
                answer = client.post("/predict", json=body_of(person, ask, f"{began}{name}{number}"))
                assert answer.status_code == 200, answer.text
                number += 1
                with lock:
                    answered[answer.headers[REPLICA]] += 1

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(work, names))
    return answered, time.monotonic() - began
