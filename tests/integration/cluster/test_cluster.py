"""Three Ray nodes in processes, the ingress, replicas with the demo model: answers, and where clicks go.

LABELRIG_CLUSTER_CLICKS=10000 LABELRIG_CLUSTER_REPLICAS=4 LABELRIG_CLUSTER_IMAGES=60 makes it the long run.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.integration.backend import test_process
from tests.integration.backend.annotators import Ask, chains_of, digest_of
from tests.integration.cluster.load import CLICKS, IMAGES, REPLICAS, annotate, annotator, body_of, lone_clicks, places
from tests.integration.cluster.nodes import Cluster


@pytest.fixture(scope="module")
def plain(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with test_process.running(
        tmp_path_factory.mktemp("plain"), SAM2_MODEL="demo", SAM2_ENGINE="torch", LOCAL_FILES_DOCUMENT_ROOT=str(scenes),
        PREWARM_NEIGHBOURS="0",
        EMBEDDING_CACHE_DIR=str(tmp_path_factory.mktemp("plain-cache")), OMP_NUM_THREADS="1",
    ) as backend:  # fmt: skip
        url = backend.until(r"Uvicorn running on (http://\S+)").group(1)
        backend.until("model ready on")
        with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
            yield client


def test_answers_are_those_of_the_plain_backend(scenes: Path, cluster: Cluster, plain: httpx.Client) -> None:
    """To the byte: prompts have ids, and answers repeat those or make new ones of 32 digits."""
    chains = list(chains_of(scenes))[: 4 * IMAGES]
    person = annotator(scenes)
    with cluster.client() as client:
        for number, chain in enumerate(chains):
            ids = [f"prompt{number}x{one}" for one in range(max(len(ask.prompts) for ask in chain))]
            for step, ask in enumerate(chain):
                own = [f"{step if ask.label == 'Both' else 0}{id}" for id in ids[: len(ask.prompts)]]
                answers = [one.post("/predict", json=person.body(ask, own)) for one in (plain, client)]
                assert [one.status_code for one in answers] == [200, 200]
                assert digest_of(answers[0].json())[0] == digest_of(answers[1].json())[0], ask
                assert len(answers[0].content) == len(answers[1].content)
        broken: dict[str, Any] = person.body(chains[0][0], ["a"])
        broken["label_config"] = "<View>"
        answers = [one.post("/predict", json=broken) for one in (plain, client)]
        said = [(one.status_code, one.reason_phrase, one.json()["detail"]) for one in answers]
        assert said[0] == said[1]


def test_clicks_of_an_image_go_to_one_replica(scenes: Path, cluster: Cluster) -> None:
    found = places(scenes, cluster, 3)
    assert all(len(replicas) == 1 for replicas in found.values()), found
    assert len(set.union(*found.values())) == REPLICAS


def test_clicks_are_spread_and_find_their_embedding(scenes: Path, cluster: Cluster, expected: dict[Ask, str]) -> None:
    """16 clients, each image as busy as another: at least 95 of 100 in memory, replicas within 2x of each other."""
    before = hits_and_misses(cluster)
    found = annotate(scenes, cluster, expected, CLICKS)
    hits, misses = (after - early for after, early in zip(hits_and_misses(cluster), before, strict=True))
    figures = {
        "clicks": sum(found.by_replica.values()), "in_memory": hits / (hits + misses), "by_replica": found.by_replica,
        "per_second": sum(found.by_replica.values()) / found.seconds, "p50_ms": statistics.median(found.took_ms),
        "p95_ms": float(np.percentile(found.took_ms, 95)), "load": os.getloadavg(),
    }  # fmt: skip
    print(json.dumps(figures))  # noqa: T201 - it is the result
    assert hits + misses >= CLICKS
    assert hits >= 0.95 * (hits + misses)
    assert len(found.by_replica) == REPLICAS
    assert max(found.by_replica.values()) <= 2 * min(found.by_replica.values())


def hits_and_misses(cluster: Cluster) -> tuple[float, float]:
    """Look-ups of embeddings in memory, of all replicas."""
    with cluster.client() as client:
        lines = client.get("/metrics").text.splitlines()
    counts: Counter[str] = Counter()
    for line in lines:
        for kind in ("hits", "misses"):
            if line.startswith(f'labelrig_cache_{kind}_total{{cache="memory"'):
                counts[kind] += float(line.rpartition(" ")[2])  # type: ignore[assignment]  # whole numbers
    return counts["hits"], counts["misses"]


@pytest.mark.slow
def test_overhead(scenes: Path, cluster: Cluster, plain: httpx.Client) -> None:
    """What the ingress adds to a warm click, one client: written to the reports; the load of the machine beside it."""
    person = annotator(scenes)
    ask = next(iter(lone_clicks(scenes).values()))[0]
    seconds: dict[str, list[float]] = {"plain": [], "cluster": []}
    with cluster.client() as client:
        for number in range(420):
            for name, one in (("plain", plain), ("cluster", client)):
                started = time.perf_counter()
                answer = one.post("/predict", json=body_of(person, ask, f"overhead{number}"))
                assert answer.status_code == 200
                if number >= 20:
                    seconds[name].append(1000 * (time.perf_counter() - started))
    figures = {
        name: {"p50_ms": statistics.median(of), "p95_ms": float(np.percentile(of, 95))} for name, of in seconds.items()
    }
    print(json.dumps({**figures, "load": os.getloadavg(), "cores": os.cpu_count()}))  # noqa: T201 - it is the result
    assert figures["cluster"]["p50_ms"] >= figures["plain"]["p50_ms"] * 0.5
