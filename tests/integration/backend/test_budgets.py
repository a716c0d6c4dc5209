"""The real process under what one account may send: its memory, `/health`, its disk, and the next click."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from tests.integration.backend.image_server import Handler, Route, serving
from tests.integration.backend.sources_bench import wait_for
from tests.integration.backend.test_process import Backend, running
from tests.unit.backend.fakes import click, region

logger = logging.getLogger(__name__)
pytestmark = pytest.mark.timeout(300)
MEGABYTE = 1 << 20
PATIENCE_SECONDS = 120
COLOURS = ("red", "green", "blue", "cyan", "magenta", "yellow", "white")


def status_mb(backend: Backend, what: str) -> int:
    status = Path(f"/proc/{backend.process.pid}/status").read_text("ascii")
    (line,) = [one for one in status.splitlines() if one.startswith(what)]
    return int(line.split()[1]) // 1024


def resident_mb(backend: Backend) -> int:
    """Memory of the process's own: the pages of its programs come and go as the machine has room."""
    return status_mb(backend, "RssAnon")


def peak_mb(backend: Backend) -> int:
    """At most since `forget_peak`; the kernel keeps that of all pages together only."""
    return status_mb(backend, "VmHWM") - status_mb(backend, "RssFile")


def forget_peak(backend: Backend) -> None:
    Path(f"/proc/{backend.process.pid}/clear_refs").write_text("5", "ascii")


def waited_seconds(process: int) -> float:
    """How long the threads of a process have been ready to work while the machine worked for others, all together."""
    waited = 0
    for one in Path(f"/proc/{process}/task").iterdir():
        with suppress(OSError):  # it has ended
            waited += int((one / "schedstat").read_text("ascii").split()[1])
    return waited / 1e9


@dataclass
class Health:
    """How long each `/health` took, in seconds, without what others on the machine took from it."""

    seconds: list[float] = field(default_factory=list)

    @property
    def p99(self) -> float:
        return self.percentile(99)

    def percentile(self, percent: int) -> float:
        return sorted(self.seconds)[len(self.seconds) * percent // 100]


@contextmanager
def watched(url: str, process: int) -> Iterator[Health]:
    """Ask for `/health` again and again, each time over a new connection, as Label Studio does.

    Args:
        url: of the backend.
        process: its number on this machine.
    """
    health, done = Health(), threading.Event()

    def waited() -> float:
        return waited_seconds(process) + waited_seconds(os.getpid())

    def ask() -> None:
        while not done.wait(0.05):
            before, began = waited(), time.monotonic()
            with closing(HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_SECONDS)) as connection:
                connection.request("GET", "/health")
                assert connection.getresponse().status == 200
            took = time.monotonic() - began
            health.seconds.append(max(0.0, took - max(0.0, waited() - before)))

    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(ask)
        try:
            yield health
        finally:
            done.set()
        asking.result(PATIENCE_SECONDS)
    assert len(health.seconds) >= 5


@contextmanager
def started(folder: Path, root: Path, **environment: str) -> Iterator[tuple[Backend, httpx.Client]]:
    settings = {"SAM2_MODEL": "demo", "SAM2_ENGINE": "torch", "LOCAL_FILES_DOCUMENT_ROOT": str(root), **environment}
    with running(folder, **settings) as backend:
        url = backend.until(r"Uvicorn running on (http://\S+)").group(1)
        backend.until("model ready on")
        with httpx.Client(base_url=url, timeout=PATIENCE_SECONDS, trust_env=False) as client:
            yield backend, client
            assert backend.process.poll() is None, "the process ended"


def draw(root: Path, side: int) -> None:
    for number, colour in enumerate(COLOURS):
        Image.new("RGB", (side, side), colour).save(root / f"{number}.png", compress_level=1)
    Image.new("RGB", (64, 48), "grey").save(root / "small.png")


def ask(client: httpx.Client, image: str, side: int) -> httpx.Response:
    size = (side, side) if image != "small.png" else (64, 48)
    point = region("keypointlabels", 50, 50, size_wh=size, id=f"{image}{time.monotonic()}")
    return client.post("/predict", json=click(point, image=image))


def six_clicks(tmp_path: Path, side: int, work_mb: int, more_mb: int) -> None:
    """Six at once on six large pictures are answered or refused, and a seventh is answered, within the memory."""
    root = tmp_path / "files"
    root.mkdir()
    draw(root, side)
    with started(tmp_path, root, WORK_MEMORY_MB=str(work_mb), IMAGE_MEMORY_MB="0") as (backend, client):
        assert ask(client, "small.png", side).status_code == 200
        resting = resident_mb(backend)
        forget_peak(backend)
        with watched(str(client.base_url), backend.process.pid) as health, ThreadPoolExecutor(6) as threads:
            answers = list(threads.map(lambda number: ask(client, f"{number}.png", side), range(6)))
        assert {one.status_code for one in answers} <= {200, 503}, [one.text[:300] for one in answers]
        assert any(one.status_code == 200 for one in answers)
        seventh = ask(client, "6.png", side)
        assert seventh.status_code == 200, seventh.text
        peak = peak_mb(backend)
        logger.info("%d: resting %d MB, peak %d MB, /health p99 %.3f s", side, resting, peak, health.p99)
        assert peak - resting < more_mb
        assert health.p99 < 1


@pytest.mark.slow
def test_six_clicks_on_six_pictures_of_100_megapixels(tmp_path: Path) -> None:
    """They took more than 6 GB, and the container was killed."""
    six_clicks(tmp_path, 10_000, 512, 512)


def test_six_clicks_on_six_pictures_of_16_megapixels(tmp_path: Path) -> None:
    """As the slow test with 100 megapixels; each needs 96 MB, and there are 128."""
    six_clicks(tmp_path, 4000, 128, 256)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Backend, httpx.Client, Path]]:
    """A process with a small cache for fetched images, of which the loopback may be a source."""
    folder = tmp_path_factory.mktemp("small")
    root, cache = folder / "files", folder / "cache"
    root.mkdir()
    Image.new("RGB", (64, 48), "grey").save(root / "small.png")
    limits = {"IMAGE_CACHE_DIR": str(cache), "IMAGE_CACHE_DISK_MB": "16", "CLICK_LIMIT": "16"}
    limits["IMAGE_DOWNLOAD_LIMIT_MB"] = "8"
    with started(folder, root, IMAGE_HOSTS_ALLOWED="127.0.0.1", **limits) as (backend, client):
        yield backend, client, cache


KEY_POINT = '{"type":"keypointlabels","original_width":9,"original_height":9,"value":{"x":1,"y":1}},'
HEAVY_TEXTS = {
    "key points": '{"tasks":[],"params":{"context":{"result":[' + KEY_POINT * 24_000 + "{}]}}}",
    "brackets": '{"tasks":[{"data":{"x":[' + "[]," * 2_500_000 + "[]]}}]}",
    "lists": '{"tasks":[{"data":{"x":[' + "[]," * 249_000 + "[]]}}]}",
    "objects": '{"tasks":[{"data":{"x":[' + '{"a":1},' * 49_000 + "{}]}}]}",
    "numbers": '{"tasks":[],"x":[' + "0," * 2_490_000 + "0]}",
    "codes": '{"tasks":[],"params":{"context":{"result":['
    + ",".join(
        '{"type":"brushlabels","original_width":9,"original_height":9,"value":{"rle":[' + "0," * 800_000 + "0]}}"
        for _ in range(3)
    )
    + "]}}}",
}
HEAVY = {name: text.encode() for name, text in HEAVY_TEXTS.items()}


def test_health_answers_whatever_is_parsed(small: tuple[Backend, httpx.Client, Path]) -> None:
    """`/health` after 29 s while 26 MB of key points were parsed, and gigabytes for one request."""
    backend, client, _ = small
    assert ask(client, "small.png", 0).status_code == 200
    resting = resident_mb(backend)
    forget_peak(backend)
    with watched(str(client.base_url), backend.process.pid) as health, ThreadPoolExecutor(3) as threads:
        bodies = [text for text in HEAVY.values() for _ in range(3)]
        answers = list(threads.map(lambda text: client.post("/predict", content=text), bodies))
    assert {one.status_code for one in answers} <= {200, 400, 413, 503}, [one.text[:200] for one in answers]
    assert ask(client, "small.png", 0).status_code == 200
    peak = peak_mb(backend)
    logger.info("bodies: resting %d MB, peak %d MB, /health p99 %.3f s", resting, peak, health.p99)
    assert health.percentile(90) < 1  # the 99th: test_fuzz.py, which asks more often
    assert peak - resting < 700


def endless(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not handler.served.closing.is_set():
        handler.wfile.write(b"x" * 65_536)


def test_downloads_stay_within_the_cache(small: tuple[Backend, httpx.Client, Path]) -> None:
    """What was still arriving was counted by nobody: 512 MB for each of 64 clicks."""
    _, client, cache = small
    largest, done = 0, threading.Event()

    def there() -> int:
        total = 0
        for path in list(cache.iterdir()):
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def look() -> None:
        """A file may go, and another grow, between two looks: what is really there is there three times running."""
        nonlocal largest
        while not done.wait(0.01):
            largest = max(largest, min(there(), there(), there()))

    routes: dict[str, Route] = {f"/{number}.png": endless for number in range(4)}
    with serving(routes) as server, ThreadPoolExecutor(5) as threads:
        looking = threads.submit(look)
        try:
            bodies = []
            for path in routes:
                body = click(region("keypointlabels", 50, 50, id=path))
                body["tasks"][0]["data"]["image"] = f"{server.url}{path}"  # type: ignore[index]
                bodies.append(body)
            answers = list(threads.map(lambda body: client.post("/predict", json=body), bodies))
        finally:
            done.set()
        looking.result(PATIENCE_SECONDS)
    assert {one.status_code for one in answers} <= {422, 502, 503}, [one.text for one in answers]
    assert 0 < largest <= 16 * MEGABYTE
    assert ask(client, "small.png", 0).status_code == 200


def test_a_stalled_server_leaves_the_others_alone(small: tuple[Backend, httpx.Client, Path]) -> None:
    """As many clicks as may be worked on waited for it, and everybody was refused for 20 s."""
    _, client, _ = small
    arrived: list[str] = []

    def stall(handler: Handler) -> None:
        arrived.append(handler.path)
        handler.served.closing.wait(PATIENCE_SECONDS)

    def clicked(number: int) -> httpx.Response:
        body = click(region("keypointlabels", 50, 50, id=f"{number}"))
        body["tasks"][0]["data"]["image"] = f"{server.url}/{number}.png"  # type: ignore[index]
        return client.post("/predict", json=body)

    with ThreadPoolExecutor(20) as threads, serving({f"/{number}.png": stall for number in range(20)}) as server:
        waiting = []
        for number in range(20):
            waiting.append(threads.submit(clicked, number))
            wait_for(lambda: len(arrived) + sum(one.done() for one in waiting) == len(waiting))
        assert ask(client, "small.png", 0).status_code == 200
        answers = [(one.result().status_code, one.result().json()["detail"]) for one in waiting if one.done()]
        assert len(arrived) == 4
        assert set(answers) == {(503, "4 others wait for images from 127.0.0.1 already; try again in a moment")}
