"""Eight annotators at once on ten images: every mask belongs to its own click, nothing fails, nothing grows.

LABELRIG_LOAD_CLICKS=10000 makes it the long run.
"""

from __future__ import annotations

import logging
import os
import re
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from label_studio_sdk.converter.brush import decode_rle
from PIL import Image

from demo.images import draw_demo_images
from tests.integration.backend.annotators import Annotator, Ask, chains_of
from tests.integration.backend.test_process import running

pytestmark = pytest.mark.slow
logger = logging.getLogger(__name__)
CLICKS = int(os.environ.get("LABELRIG_LOAD_CLICKS", "1000"))
CLIENTS = 8
IMAGES = 10
SIZE_WH = (480, 270)
MEMORY_MB = 1  # three of the ten embeddings: the others come from the disk
WARM_UP = 0.2  # of all clicks
GROWTH_BYTES = 32 << 20
Chain = tuple[Ask, ...]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    draw_demo_images(folder, count=IMAGES, size_wh=SIZE_WH)
    return folder


def resident_bytes(pid: int) -> int:
    """Memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Watcher:
    """Asks for `/health` and looks at the process's memory while others click."""

    def __init__(self, client: httpx.Client, pid: int) -> None:
        self.resident: list[tuple[int, int]] = []  # (clicks so far, bytes)
        self.health_seconds: list[float] = []
        self.clicks = 0
        self._client = client
        self._pid = pid
        self._over = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        with ThreadPoolExecutor(1) as pool:
            watched = pool.submit(self._watch)
            try:
                yield
            finally:
                self._over.set()
            watched.result()

    def _watch(self) -> None:
        while True:
            over = self._over.wait(0.05)
            started = time.monotonic()
            health = self._client.get("/health")
            self.health_seconds.append(time.monotonic() - started)
            assert health.json()["state"] == "ready", health.text
            self.resident.append((self.clicks, resident_bytes(self._pid)))
            if over:
                return

    def growth(self, total: int) -> int:
        """Bytes from the end of the warm-up to the end, each the median of a fifth of the clicks."""
        warm = [held for at, held in self.resident if WARM_UP <= at / total <= WARM_UP + 0.2]
        last = [held for at, held in self.resident if at / total >= 0.8]
        return round(statistics.median(last) - statistics.median(warm))


def iou(results: list[dict[str, dict[str, list[int]]]], truth: Path) -> float:
    want = np.asarray(Image.open(truth)) > 127
    got = np.zeros_like(want)
    if results:
        got = decode_rle(results[0]["value"]["rle"]).reshape(*want.shape, 4)[..., 3] > 0
    return float((want & got).sum() / (want | got).sum())


def test_every_mask_belongs_to_its_own_click(scenes: Path, tmp_path: Path) -> None:
    sizes = {f"images/{path.name}": SIZE_WH for path in sorted((scenes / "images").glob("*.png"))}
    assert len(sizes) == IMAGES
    chains = chains_of(scenes)
    with (
        running(
            tmp_path, SAM2_MODEL="demo", LOCAL_FILES_DOCUMENT_ROOT=str(scenes), EMBEDDING_CACHE_DIR=str(tmp_path),
            EMBEDDING_CACHE_MEMORY_MB=str(MEMORY_MB),
        ) as backend,
        httpx.Client(
            base_url=backend.until(r"Uvicorn running on (http://\S+)").group(1), timeout=60, trust_env=False
        ) as client,
    ):  # fmt: skip
        backend.until("model ready on")
        alone = Annotator("alone@lab.org", 99, sizes)
        expected: dict[Chain, list[str]] = {}
        ious = []
        for chain, truth in chains.items():
            answers = alone.draw(client, chain)
            expected[chain] = [digest for digest, _ in answers]
            ious.append(iou(answers[-1][1], truth))
        assert np.mean(ious) > 0.75
        lone_points = [expected[chain][0] for chain in chains if chain[0].label == "Point" and len(chain) == 1]
        assert len(set(lone_points)) == len(lone_points)  # one taken for another would be seen

        watcher = Watcher(client, backend.process.pid)
        lock = threading.Lock()
        ids: Counter[str] = Counter()
        choices = list(chains)

        def annotate(number: int) -> int:
            # The first half work on the same tasks, the others each on a copy of their own.
            annotator = Annotator(f"annotator{number}@lab.org", 0 if number < CLIENTS // 2 else number, sizes)
            rng = np.random.default_rng((7, number))
            while True:
                chain = choices[rng.integers(len(choices))]
                with lock:
                    if watcher.clicks >= CLICKS:
                        return number
                    watcher.clicks += len(chain)
                answers = annotator.draw(client, chain)
                assert [digest for digest, _ in answers] == expected[chain], (annotator.name, chain)
                with lock:
                    ids.update(result["id"] for _, results in answers for result in results)

        started = time.monotonic()
        with watcher.watching(), ThreadPoolExecutor(CLIENTS) as pool:
            assert sorted(pool.map(annotate, range(CLIENTS))) == list(range(CLIENTS))
        seconds = time.monotonic() - started

        assert set(ids.values()) == {1}
        figures = client.get("/metrics").text
        assert "labelrig_errors_total{" not in figures
        read_from_disk = re.search(r'^labelrig_cache_hits_total\{cache="disk"\} (\S+)$', figures, re.MULTILINE)
        assert read_from_disk is not None
        assert float(read_from_disk[1]) > IMAGES
        curve = watcher.resident[:: max(1, len(watcher.resident) // 20)]
        logger.info(
            "%d clicks in %.1f s, %.1f a second; mean IoU alone %.3f; /health median %.3f s, worst %.3f s; memory %s",
            watcher.clicks, seconds, watcher.clicks / seconds, np.mean(ious), statistics.median(watcher.health_seconds),
            max(watcher.health_seconds), ", ".join(f"{at}: {held >> 20} MiB" for at, held in curve),
        )  # fmt: skip
        assert statistics.median(watcher.health_seconds) < 1
        assert watcher.growth(watcher.clicks) < GROWTH_BYTES
        assert backend.stop() == 0
