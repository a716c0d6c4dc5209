"""A fake model that a test can hold in its tracks, or let run out of memory; and requests in threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

from backend.segmenter import Candidates, Embedding, Prompts
from backend.segmenter import Image as Encodable
from backend.settings import Settings
from backend.web.app import create_app
from tests.unit.backend.caching import WAIT
from tests.unit.backend.fakes import MODEL, FakeSegmenter


class HeldSegmenter(FakeSegmenter):
    """`began` and `ended` count encoder runs; `errors` are raised by the next decodings."""

    def __init__(self) -> None:
        super().__init__()
        self.began = threading.Semaphore(0)
        self.ended = threading.Semaphore(0)
        self.errors: list[Exception] = []

    def encode(self, image: Encodable) -> Embedding:
        self.began.release()
        embedding = super().encode(image)
        self.ended.release()
        return embedding

    def decode(self, embedding: Embedding, prompts: Prompts) -> Candidates:
        if self.errors:
            raise self.errors.pop(0)
        return super().decode(embedding, prompts)

    def hold(self) -> None:
        """Encoder runs begin, but do not end before `let_go`."""
        self.began = threading.Semaphore(0)
        self.gate = threading.Event()

    def let_go(self) -> None:
        assert self.gate is not None
        self.gate.set()

    def wait_until_begun(self) -> None:
        assert self.began.acquire(timeout=WAIT)

    def wait_until_ended(self) -> None:
        assert self.ended.acquire(timeout=WAIT)


class House:
    """The application with a held model, and annotators in threads."""

    def __init__(self, client: TestClient, segmenter: HeldSegmenter, threads: ThreadPoolExecutor) -> None:
        self.client = client
        self.segmenter = segmenter
        self._threads = threads

    def ask(self, body: dict[str, object]) -> httpx2.Response:
        """Send a click and wait for the answer."""
        return self.client.post("/predict", json=body)

    def send(self, body: dict[str, object]) -> Future[httpx2.Response]:
        """Send a click in a thread."""
        return self._threads.submit(self.ask, body)

    def send_and_hold(self, body: dict[str, object]) -> Future[httpx2.Response]:
        """Send a click on an image that is new, and come back when its encoder run has begun."""
        if self.segmenter.gate is None or self.segmenter.gate.is_set():
            self.segmenter.hold()
        sent = self.send(body)
        self.segmenter.wait_until_begun()
        return sent


@contextmanager
def open_house(settings: Settings, **changes: Any) -> Iterator[House]:
    """Start the application with some settings changed."""
    segmenter = HeldSegmenter()
    app = create_app(lambda: segmenter, settings.model_copy(update=changes), MODEL)
    with ThreadPoolExecutor(32) as threads, TestClient(app) as client:
        try:
            yield House(client, segmenter, threads)
        finally:
            if segmenter.gate is not None:
                segmenter.gate.set()


def draw(root: Path, *names: str) -> None:
    """More images beside set/a.png, each of its own content."""
    for number, name in enumerate(names):
        pixels = np.random.default_rng((2, number)).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / name)


def said(answer: httpx2.Response) -> Any:
    """The results of a click that was answered."""
    assert answer.status_code == 200, answer.text
    return answer.json()["results"][0]["result"]


def refused(answer: httpx2.Response) -> tuple[int, str]:
    """Status and sentence of an error, which has the one shape."""
    body = answer.json()
    assert body.keys() == {"detail", "request_id"}, body
    assert body["request_id"] == answer.headers["X-Request-ID"]
    return answer.status_code, body["detail"]
