"""Three Ray nodes in processes, the ingress, replicas with the demo model: clicks over HTTP, replicas killed meanwhile.

LABELRIG_CLUSTER_CLICKS=10000 LABELRIG_CLUSTER_REPLICAS=4 LABELRIG_CLUSTER_IMAGES=60 makes it the long run.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from demo.images import draw_demo_images
from infra.dev.environment import cluster_folder
from tests.integration.backend import test_process
from tests.integration.backend.annotators import Annotator, Ask, chains_of, digest_of
from tests.integration.cluster.nodes import Cluster, environment_of, running

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not (cluster_folder() / "ray").is_dir(), reason="Ray is not installed; `./inv test` installs it"
    ),
]
CLICKS = int(os.environ.get("LABELRIG_CLUSTER_CLICKS", "200"))
REPLICAS = int(os.environ.get("LABELRIG_CLUSTER_REPLICAS", "2"))
IMAGES = int(os.environ.get("LABELRIG_CLUSTER_IMAGES", "12"))
CLIENTS = 16
NODES = 3
SIZE_WH = (480, 270)
REPLICA = "x-labelrig-replica"
Chain = tuple[Ask, ...]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    draw_demo_images(folder, count=IMAGES, size_wh=SIZE_WH)
    return folder


@pytest.fixture(scope="module")
def cluster(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    kept = tmp_path_factory.mktemp("cache")
    with running(
        tmp_path_factory.mktemp("alone"), nodes=NODES, replicas=REPLICAS, LOCAL_FILES_DOCUMENT_ROOT=str(scenes),
        EMBEDDING_CACHE_DIR=str(kept),
    ) as cluster:  # fmt: skip
        yield cluster


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


def annotator(scenes: Path, number: int = 0) -> Annotator:
    sizes = {f"images/{path.name}": SIZE_WH for path in sorted((scenes / "images").glob("*.png"))}
    assert len(sizes) == IMAGES
    return Annotator(f"annotator{number}@lab.org", number, sizes)


def body_of(person: Annotator, ask: Ask, click: int) -> dict[str, object]:
    """With ids of its own for each click."""
    return person.body(ask, [f"{click}x{number}" for number in range(len(ask.prompts))])


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
    found = places(scenes, cluster, range(3))
    assert all(len(replicas) == 1 for replicas in found.values()), found
    assert len(set.union(*found.values())) > 1


def places(scenes: Path, cluster: Cluster, rounds: Sequence[int]) -> dict[str, set[str]]:
    """The replicas that answer for each image."""
    person = annotator(scenes)
    firsts = {chain[0].image: chain[0] for chain in chains_of(scenes)}
    found: defaultdict[str, set[str]] = defaultdict(set)
    with cluster.client() as client:
        for number in rounds:
            for image, ask in firsts.items():
                answer = client.post("/predict", json=body_of(person, ask, number))
                assert answer.status_code == 200, answer.text
                found[image].add(answer.headers[REPLICA])
    return dict(found)


def test_killed_replica_fails_no_click(scenes: Path, cluster: Cluster) -> None:
    """16 clients; a replica gets SIGKILL after a third of the clicks. All are answered, and only its keys move."""
    before = {image: owner for image, (owner,) in places(scenes, cluster, range(1)).items()}
    victim = Counter(before.values()).most_common(1)[0][0]
    chains = [chain for chain in chains_of(scenes) if len(chain) == 1]
    expected: dict[Chain, str] = {}
    with cluster.client() as client:
        for chain in chains:
            expected[chain] = annotator(scenes, 99).draw(client, chain)[0][0]
    lock, done = threading.Lock(), 0
    answered: Counter[str] = Counter()
    seen: defaultdict[str, set[str]] = defaultdict(set)

    def annotate(number: int) -> None:
        nonlocal done
        person, rng = annotator(scenes, number), np.random.default_rng((3, number))
        with cluster.client() as client:
            while True:
                with lock:
                    done += 1
                    if done == CLICKS // 3:
                        os.kill(int(victim.rpartition(" ")[2]), signal.SIGKILL)
                    if done > CLICKS:
                        return
                    click = done
                (ask,) = chain = chains[rng.integers(len(chains))]
                answer = client.post("/predict", json=body_of(person, ask, click))
                assert answer.status_code == 200, f"{answer.text}\n{cluster.logs()}"
                assert digest_of(answer.json())[0] == expected[chain], (number, ask)
                with lock:
                    answered[answer.headers[REPLICA]] += 1
                    seen[ask.image].add(answer.headers[REPLICA])

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(annotate, range(CLIENTS)))
    assert sum(answered.values()) == CLICKS
    assert len(answered) > 1
    old = set(before.values())
    for image, owner in before.items():
        if owner != victim:  # the one that came in the victim's place is new on the ring, and takes keys of all
            assert seen[image] & old <= {owner}, (image, seen[image])
    moved = [image for image, owner in before.items() if owner == victim and seen[image] - {victim}]
    assert moved
    cluster.until_ready(REPLICAS)
    assert victim not in {one for of in places(scenes, cluster, range(1)).values() for one in of}


def test_wrong_token_is_refused(cluster: Cluster) -> None:
    port = int(cluster.address.rpartition(":")[2])
    environment = environment_of(cluster.folder, port, "f" * 64, LOCAL_FILES_DOCUMENT_ROOT=str(cluster.folder))
    ended = subprocess.run(
        (sys.executable, "-m", "backend.cluster"), cwd=cluster.folder, env=environment, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert f"no Ray cluster takes us at CLUSTER_ADDRESS={cluster.address}" in ended.stderr


@pytest.mark.slow
def test_overhead(scenes: Path, cluster: Cluster, plain: httpx.Client) -> None:
    """What the ingress adds to a warm click, one client: written to the reports; the load of the machine beside it."""
    person = annotator(scenes)
    ask = next(chain[0] for chain in chains_of(scenes) if len(chain) == 1)
    seconds: dict[str, list[float]] = {"plain": [], "cluster": []}
    with cluster.client() as client:
        for number in range(220):
            for name, one in (("plain", plain), ("cluster", client)):
                started = time.perf_counter()
                answer = one.post("/predict", json=body_of(person, ask, number))
                assert answer.status_code == 200
                if number >= 20:
                    seconds[name].append(1000 * (time.perf_counter() - started))
    figures = {
        name: {"p50_ms": statistics.median(of), "p95_ms": float(np.percentile(of, 95))} for name, of in seconds.items()
    }
    print(json.dumps({**figures, "load": os.getloadavg(), "cores": os.cpu_count()}))  # noqa: T201 - it is the result
    assert figures["cluster"]["p50_ms"] >= figures["plain"]["p50_ms"] * 0.5
