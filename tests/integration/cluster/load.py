"""Clients that click through the ingress, each answer compared with what one client alone was given."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.integration.backend.annotators import Annotator, Ask, chains_of, digest_of
from tests.integration.cluster.nodes import Cluster

CLICKS = int(os.environ.get("LABELRIG_CLUSTER_CLICKS", "200"))
REPLICAS = int(os.environ.get("LABELRIG_CLUSTER_REPLICAS", "2"))
IMAGES = int(os.environ.get("LABELRIG_CLUSTER_IMAGES", "12"))
HOSTS = {"a": REPLICAS // 2, "b": REPLICAS - REPLICAS // 2}
CLIENTS = 16
SIZE_WH = (480, 270)
REPLICA = "x-labelrig-replica"
Chain = tuple[Ask, ...]


@dataclass
class Answered:
    """What came back."""

    seconds: float = 0.0
    by_replica: Counter[str] = field(default_factory=Counter)
    of_image: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    took_ms: list[float] = field(default_factory=list)


def annotator(scenes: Path, number: int = 0) -> Annotator:
    """One of the clients."""
    sizes = {f"images/{path.name}": SIZE_WH for path in sorted((scenes / "images").glob("*.png"))}
    assert len(sizes) == IMAGES
    return Annotator(f"annotator{number}@lab.org", number, sizes)


def body_of(person: Annotator, ask: Ask, click: str) -> dict[str, object]:
    """With ids of its own for each click."""
    return person.body(ask, [f"{click}x{number}" for number in range(len(ask.prompts))])


def lone_clicks(scenes: Path) -> dict[str, list[Ask]]:
    """By image, what is asked in one click."""
    found: defaultdict[str, list[Ask]] = defaultdict(list)
    for chain in chains_of(scenes):
        if len(chain) == 1:
            found[chain[0].image].append(chain[0])
    return dict(found)


def masks_of(scenes: Path, cluster: Cluster) -> dict[Ask, str]:
    """The digests of all answers, as one client alone is given them."""
    with cluster.client() as client:
        person = annotator(scenes, 99)
        asks = [ask for of in lone_clicks(scenes).values() for ask in of]
        return {ask: person.draw(client, (ask,))[0][0] for ask in asks}


def places(scenes: Path, cluster: Cluster, rounds: int = 1) -> dict[str, set[str]]:
    """The replicas that answer for each image."""
    person = annotator(scenes)
    found: defaultdict[str, set[str]] = defaultdict(set)
    with cluster.client() as client:
        for number in range(rounds):
            for image, (ask, *_) in lone_clicks(scenes).items():
                answer = client.post("/predict", json=body_of(person, ask, f"place{number}"))
                assert answer.status_code == 200, answer.text
                found[image].add(answer.headers[REPLICA])
    return dict(found)


def annotate(
    scenes: Path, cluster: Cluster, expected: dict[Ask, str], clicks: int, meanwhile: Callable[[], None] = lambda: None
) -> Answered:
    """16 clients, each image as often as another; no answer may fail or be another than `expected`.

    Args:
        clicks: at least so many, and as many as there are until `meanwhile` is done.
        meanwhile: begins after a third of them.
    """
    images, lock, began = lone_clicks(scenes), threading.Lock(), threading.Event()
    done, is_over = 0, threading.Event()
    found = Answered()

    def work(number: int) -> None:
        nonlocal done
        person, rng = annotator(scenes, number), np.random.default_rng((3, number))
        with cluster.client() as client:
            while True:
                with lock:
                    done += 1
                    click = done
                if click > clicks // 3:
                    began.set()
                if click > clicks and is_over.is_set():
                    return
                asks = images[sorted(images)[click % len(images)]]
                ask, started = asks[rng.integers(len(asks))], time.perf_counter()
                answer = client.post("/predict", json=body_of(person, ask, f"{number}c{click}"))
                took = 1000 * (time.perf_counter() - started)
                assert answer.status_code == 200, f"{answer.text}\n{cluster.logs()}"
                assert digest_of(answer.json())[0] == expected[ask], (number, ask)
                with lock:
                    found.took_ms.append(took)
                    found.by_replica[answer.headers[REPLICA]] += 1
                    found.of_image[ask.image].add(answer.headers[REPLICA])

    def disturb() -> None:
        try:
            assert began.wait(600)
            meanwhile()
        finally:
            is_over.set()

    started = time.monotonic()
    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        disturbing = pool.submit(disturb)
        clients = [pool.submit(work, number) for number in range(CLIENTS)]
        for one in (*clients, disturbing):
            one.result()
    found.seconds = time.monotonic() - started
    return found


def names(replicas: set[str]) -> set[str]:
    """Without the numbers of their processes, which are new after a restart."""
    return {one.partition(" ")[0] for one in replicas}
