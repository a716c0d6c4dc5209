"""Bodies that no editor would send: no defect shows, nothing hangs, nothing grows, and every answer is documented.

LABELRIG_FUZZ_BODIES=10000 makes it the long run.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, seed, settings
from PIL import Image
from schemathesis import Case, GenerationMode

from backend.segmenter import Candidates, Embedding, Prompts
from backend.serving.status_page import resident_bytes
from backend.settings import Settings
from backend.web.app import create_app
from tests.integration.backend.mutations import IMAGE_URL, SIZE_WH, Mutator, Sent
from tests.integration.backend.test_budgets import HEAVY, resident_mb, watched
from tests.integration.backend.test_process import running
from tests.unit.backend.fakes import MODEL, FakeSegmenter, click, region

logger = logging.getLogger(__name__)
pytestmark = pytest.mark.slow
BODIES = int(os.environ.get("LABELRIG_FUZZ_BODIES", "1200"))
SCHEMA_SHARE = 0.1
REAL_BODIES = BODIES if BODIES >= 10_000 else max(200, BODIES // 20)
HEAVY_EVERY = 100  # so many requests, one of those that take most
WARM_UP = 0.3
PATIENCE_SECONDS = 30.0
GROWTH_OBJECTS = 5_000
GROWTH_BYTES = 128 << 20  # of the test's own process, which holds the bodies too
LONGEST_SENTENCE = 2000
OPERATIONS = (
    ("/predict", "POST"), ("/setup", "POST"), ("/embed", "POST"), ("/embed/{job}", "GET"), ("/embed/{job}", "DELETE"),
)  # fmt: skip
ALLOWED_5XX = {502, 503, 504}


class Forgetful(FakeSegmenter):
    """Keeps nothing of what it was asked."""

    def decode(self, embedding: Embedding, prompts: Prompts) -> Candidates:
        answer = super().decode(embedding, prompts)
        self.decoded.clear()
        self.encoded.clear()
        return answer


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A document root with a photo, and a file that is none."""
    folder = tmp_path_factory.mktemp("root")
    (folder / "set").mkdir()
    pixels = np.random.default_rng(1).integers(0, 256, (SIZE_WH[1], SIZE_WH[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "set" / "photo.png")
    (folder / "set" / "text.png").write_text("not an image")
    return folder


@pytest.fixture
def client(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    kept = Settings(
        local_files_document_root=root, image_pixel_limit=1_000_000, embedding_cache_dir=tmp_path, mask_memory_mb=1
    )
    with TestClient(create_app(Forgetful, kept, MODEL), raise_server_exceptions=False) as client:
        yield client


def normal_click(client: TestClient | httpx.Client) -> Any:
    """The answer to a plain click, without the region's id; it must never change."""
    body: Any = click(region("keypointlabels", 25, 75, size_wh=SIZE_WH, id=f"{time.monotonic()}"))
    body["tasks"][0]["data"]["image"] = IMAGE_URL
    body["project"] = "the normal one"
    body["tasks"][0]["id"] = "the normal one"
    answer = client.post("/predict", json=body)
    assert answer.status_code == 200, answer.text
    ((prediction,),) = (answer.json()["results"],)
    assert prediction["result"].pop()["value"]["rle"]
    return {**prediction, "rle": answer.json()["results"][0]["result"][0]["value"]["rle"]}


class Judge:
    """Says what is wrong with an answer, by what the schema promises."""

    def __init__(self, spec: Any) -> None:
        self.seen: Counter[tuple[str, int]] = Counter()
        self.slowest = (0.0, "")
        self._paths = spec["paths"]

    def check(self, sent: Sent, answer: Any, seconds: float) -> None:
        status, path = answer.status_code, sent.path.partition("?")[0]
        operation = self._operation(sent.method, path)
        self.seen[path if path in self._paths else "other", status] += 1
        self.slowest = max(self.slowest, (seconds, str(sent)[:200]))
        assert status < 500 or status in ALLOWED_5XX, f"{status} {answer.text} for {sent}"
        if operation is not None:
            assert str(status) in operation["responses"], f"{status} is not documented for {sent}: {answer.text}"
        else:
            assert status in (200, 307, 404, 405), f"{status} for {sent}"
        if status >= 400 and sent.method != "HEAD":
            body = answer.json()
            assert body.keys() == {"detail", "request_id"}, f"{body} for {sent}"
            assert body["request_id"] == answer.headers["X-Request-ID"]
            assert 0 < len(body["detail"]) <= LONGEST_SENTENCE, f"{len(body['detail'])} characters for {sent}"
            assert "Traceback" not in body["detail"]

    def _operation(self, method: str, path: str) -> Any:
        path = path.rstrip("/") or "/"  # a redirect leads there
        found = self._paths.get(path, {}).get(method.lower())
        is_job = path.startswith("/embed/") and path.count("/") == 2
        return self._paths["/embed/{job}"].get(method.lower()) if found is None and is_job else found


def send(client: TestClient | httpx.Client, sent: Sent, judge: Judge) -> None:
    started = time.monotonic()
    headers = {"Content-Type": sent.content_type}
    answer = client.request(sent.method, sent.path, content=sent.body, headers=headers)
    judge.check(sent, answer, time.monotonic() - started)


def send_all(client: TestClient | httpx.Client, requests: list[Sent], judge: Judge) -> None:
    """Four at a time; one that hangs fails."""
    pool = ThreadPoolExecutor(4)
    try:
        for sent, done in [(one, pool.submit(send, client, one, judge)) for one in requests]:
            try:
                done.result(PATIENCE_SECONDS)
            except TimeoutError:
                pytest.fail(f"no answer after {PATIENCE_SECONDS:g} s: {sent}")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def test_mutated_requests(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    for talkative in ("backend", "httpx2"):  # whose lines pytest would keep
        caplog.set_level(logging.CRITICAL, talkative)
    judge = Judge(client.get("/openapi.json").json())
    mutator = Mutator(seed=1)
    count = round(BODIES * (1 - SCHEMA_SHARE))
    expected = normal_click(client)
    requests = (mutator.request() for _ in range(count))
    started = time.monotonic()

    send_all(client, list(islice(requests, round(count * WARM_UP))), judge)
    gc.collect()
    objects, held = len(gc.get_objects()), resident_bytes() or 0
    while batch := list(islice(requests, 200)):
        send_all(client, batch, judge)
    gc.collect()
    grown, more = len(gc.get_objects()) - objects, (resident_bytes() or 0) - held

    logger.info(
        "%d mutated requests in %.1f s, %d objects and %.1f MiB more than after the first; slowest %.2f s: %s; %s",
        count, time.monotonic() - started, grown, more / (1 << 20), *judge.slowest, dict(sorted(judge.seen.items())),
    )  # fmt: skip
    assert normal_click(client) == expected
    assert client.get("/health").json()["state"] == "ready"
    assert judge.seen["/predict", 200] > 0.1 * count
    assert judge.seen["/predict", 400] > 0.1 * count
    assert grown < GROWTH_OBJECTS
    assert more < GROWTH_BYTES


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_bodies_made_from_our_own_schema(client: TestClient, mode: GenerationMode) -> None:
    spec = client.get("/openapi.json").json()
    schema, judge = schemathesis.openapi.from_dict(spec), Judge(spec)
    expected = normal_click(client)
    weights = {"/predict": 4, "/setup": 2, "/embed": 2}
    share = BODIES * SCHEMA_SHARE / 2 / sum(weights.get(path, 1) for path, _ in OPERATIONS)
    for path, method in OPERATIONS:
        if (mode is GenerationMode.NEGATIVE and "{" in path) or path == "/webhook":
            continue  # every text is an id, and every body is taken

        @seed(1)
        @settings(
            max_examples=max(10, round(share * weights.get(path, 1))), deadline=None, database=None,
            suppress_health_check=list(HealthCheck), phases=[Phase.generate],
        )  # fmt: skip
        @given(schema[path][method].as_strategy(generation_mode=mode))
        def probe(case: Case[Any]) -> None:
            given = case.as_transport_kwargs(base_url="http://testserver")
            body = given.get("data") if given.get("json") is None else json.dumps(given["json"])
            content = body.encode() if isinstance(body, str) else body or b""
            sent = Sent(given["method"], given["url"].removeprefix("http://testserver"), content)
            started = time.monotonic()
            answer = client.request(sent.method, sent.path, content=sent.body)
            judge.check(sent, answer, time.monotonic() - started)
            case.operation.validate_response(answer)

        probe()
    logger.info("%s: %d bodies: %s", mode.value, judge.seen.total(), dict(sorted(judge.seen.items())))
    assert normal_click(client) == expected


def test_mutated_requests_at_the_real_process(root: Path, tmp_path: Path) -> None:
    environment = {"SAM2_MODEL": "demo", "SAM2_ENGINE": "torch", "IMAGE_PIXEL_LIMIT": "1000000"}
    mutator = Mutator(seed=2)
    with (
        running(tmp_path, LOCAL_FILES_DOCUMENT_ROOT=str(root), **environment) as backend,
        httpx.Client(
            base_url=backend.until(r"Uvicorn running on (http://\S+)").group(1),
            timeout=PATIENCE_SECONDS,
            trust_env=False,
            follow_redirects=True,  # as the test client does: `/predict/` leads to `/predict`
        ) as client,
    ):
        backend.until("model ready on")
        judge = Judge(client.get("/openapi.json").json())
        expected = normal_click(client)
        heavy = cycle(Sent("POST", "/predict", text) for text in HEAVY.values())
        with watched(str(client.base_url), backend.process.pid) as health:
            for start in range(0, REAL_BODIES, HEAVY_EVERY):
                count = min(HEAVY_EVERY, REAL_BODIES - start)
                send_all(client, [*(mutator.request() for _ in range(count)), next(heavy)], judge)
                if start == REAL_BODIES // 2 // HEAVY_EVERY * HEAVY_EVERY:
                    held = resident_mb(backend)
        assert normal_click(client) == expected
        grown = resident_mb(backend) - held
        logger.info(
            "%d mutated requests at the real process: %s; /health p99 %.3f s of %d; %d MB more than at half",
            REAL_BODIES, dict(sorted(judge.seen.items())), health.p99, len(health.seconds), grown,
        )  # fmt: skip
        assert health.p99 < 1
        assert grown < GROWTH_BYTES >> 20
        assert client.get("/health").json()["state"] == "ready"
        assert backend.process.poll() is None
        assert backend.stop() == 0
    backend.seen += list(iter(backend.lines.get, None))
    assert not [line for line in backend.seen if "Traceback" in line or "failed unexpectedly" in line]
