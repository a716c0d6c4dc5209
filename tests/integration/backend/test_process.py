"""The real process, alone in a folder, with the shipped demo model: clicks over HTTP come back as the right masks."""

from __future__ import annotations

import base64
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import requests
from label_studio_sdk.converter.brush import decode_rle
from numpy.typing import NDArray
from PIL import Image

from backend.serving.propagating import RUNS_AT_ONCE
from demo.images import draw_demo_images
from infra.roles.images.tags import BACKEND
from masks.rle import encode_rle
from tests.unit.backend.fakes import V1, V2, click, region

# The process imports torch and may convert a model first.
pytestmark = pytest.mark.timeout(300)

REPOSITORY = Path(__file__).parents[3]
DEADLINE_SECONDS = 120
SIZE_WH = (960, 540)
SCENES = 4


@dataclass
class Backend:
    """A running process and what it logged."""

    process: subprocess.Popen[str]
    lines: queue.Queue[str | None] = field(default_factory=queue.Queue)
    seen: list[str] = field(default_factory=list)

    def until(self, pattern: str) -> re.Match[str]:
        """The first line of the log that matches; fail when the process ends or takes too long without it."""
        for earlier in self.seen:
            if match := re.search(pattern, earlier):
                return match
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            line = self.lines.get(timeout=max(0.01, deadline - time.monotonic()))
            assert line is not None, f"the process ended; its log:\n{''.join(self.seen)}"
            self.seen.append(line)
            if match := re.search(pattern, line):
                return match

    def stop(self) -> int:
        """SIGTERM, as Docker sends it; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=DEADLINE_SECONDS)


@contextmanager
def running(folder: Path, **environment: str) -> Iterator[Backend]:
    """`python -m backend` in a folder that holds what the image holds, and nothing else of the repository."""
    for name in BACKEND:
        shutil.copytree(REPOSITORY / name, folder / "alone" / name, dirs_exist_ok=True)
    process = subprocess.Popen(
        (sys.executable, "-m", "backend"),
        cwd=folder / "alone",
        env={"PATH": os.environ["PATH"], "HOST": "127.0.0.1", "PORT": "0", **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    backend = Backend(process)

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            backend.lines.put(line)
        backend.lines.put(None)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield backend
    finally:
        process.kill()
        process.wait()
        reader.join()
        assert process.stderr is not None
        process.stderr.close()


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    draw_demo_images(folder, count=SCENES, size_wh=SIZE_WH)
    return folder


@pytest.fixture(scope="module")
def client(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with running(
        tmp_path_factory.mktemp("process"),
        SAM2_MODEL="demo",
        SAM2_ENGINE="torch",  # the containers of tests/e2e choose for themselves
        LOCAL_FILES_DOCUMENT_ROOT=str(scenes),
    ) as backend:
        url = backend.until(r"Uvicorn running on (http://\S+)").group(1)
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            assert client.get("/health").status_code == 200
            backend.until("model ready on cpu after")
            assert client.get("/ready").status_code == 200
            yield client
        assert backend.stop() == 0


@dataclass(frozen=True)
class Object:
    """One drawn object: where to click it, and its true mask, ``(H, W)`` bool."""

    image: str
    click_xy: tuple[float, float]
    box_xyxy: tuple[float, float, float, float]
    negative_xy: tuple[float, float] | None
    mask: NDArray[np.bool_]


@pytest.fixture(scope="module")
def objects(scenes: Path) -> list[Object]:
    found = []
    for path in sorted((scenes / "truth").glob("scene-*.json")):
        truth: Any = json.loads(path.read_text(encoding="utf-8"))
        for one in truth["objects"] if isinstance(truth, dict) else truth:
            mask = np.asarray(Image.open(path.parent / one["mask"])) > 127
            negative = tuple(one["negative_xy"]) if one["negative_xy"] else None
            image = f"images/{path.stem}.png"
            found.append(Object(image, tuple(one["click_xy"]), tuple(one["box_xyxy"]), negative, mask))
    assert len(found) >= SCENES
    return found


def percent(xy: tuple[float, float]) -> tuple[float, float]:
    """Of the middle of a pixel."""
    return (xy[0] + 0.5) / SIZE_WH[0] * 100, (xy[1] + 0.5) / SIZE_WH[1] * 100


def point(xy: tuple[float, float], *, id: str = "a", positive: bool = True) -> dict[str, object]:
    return region("keypointlabels", *percent(xy), size_wh=SIZE_WH, id=id, positive=positive)


def ask(client: httpx.Client, image: str, *regions: dict[str, object], config: str = V1) -> NDArray[np.bool_]:
    """The mask that comes back, ``(H, W)`` bool; all False for an empty result."""
    answer = client.post("/predict", json=click(*regions, image=image, config=config))
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"][0]["result"]
    if not results:
        return np.zeros((SIZE_WH[1], SIZE_WH[0]), dtype=bool)
    alpha = decode_rle(results[0]["value"]["rle"]).reshape(SIZE_WH[1], SIZE_WH[0], 4)[..., 3]
    return np.asarray(alpha == 255)


def iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / max((one | other).sum(), 1))


def test_a_click_on_each_object_returns_its_mask(client: httpx.Client, objects: list[Object]) -> None:
    ious = [iou(ask(client, one.image, point(one.click_xy)), one.mask) for one in objects]
    assert np.mean(ious) >= 0.75, ious


def test_a_box_around_each_object_returns_its_mask(client: httpx.Client, objects: list[Object]) -> None:
    ious = []
    for one in objects:
        x0, y0, x1, y1 = one.box_xyxy
        x, y, width, height = (value / SIZE_WH[axis % 2] * 100 for axis, value in enumerate((x0, y0, x1 - x0, y1 - y0)))
        box = region("rectangle", x, y, width=width, height=height, size_wh=SIZE_WH)
        ious.append(iou(ask(client, one.image, box, config=V2), one.mask))
    assert np.mean(ious) >= 0.75, ious


def test_a_negative_click_stays_outside(client: httpx.Client, objects: list[Object]) -> None:
    outside = []
    for one in (one for one in objects if one.negative_xy is not None):
        assert one.negative_xy is not None
        mask = ask(client, one.image, point(one.click_xy), point(one.negative_xy, id="b", positive=False))
        outside.append(not mask[int(one.negative_xy[1]), int(one.negative_xy[0])])
    assert outside
    assert np.mean(outside) >= 0.9


def test_interleaved_clicks_get_their_own_masks(client: httpx.Client, objects: list[Object]) -> None:
    """Interleaved clicks of eight annotators get their own masks."""
    images = sorted({one.image for one in objects})[:2]
    asked = [one for one in objects if one.image in images] * 3
    alone = [ask(client, one.image, point(one.click_xy)) for one in asked]

    def annotate(number: int) -> NDArray[np.bool_]:
        one = asked[number]
        return ask(client, one.image, point(one.click_xy, id=f"of annotator {number}"))

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(annotate, range(len(asked))))
    for number, (one, other) in enumerate(zip(alone, together, strict=True)):
        assert iou(one, other) > 0.99, number


def test_health_check_command(client: httpx.Client) -> None:
    def check(port: str) -> int:
        command = (sys.executable, "-m", "backend.ask", "GET", "/ready")
        return subprocess.run(
            command, cwd=REPOSITORY, env={"PORT": port, "http_proxy": "http://127.0.0.1:1"}, timeout=30, check=False,
            capture_output=True,
        ).returncode  # fmt: skip

    assert check(str(client.base_url.port)) == 0
    assert check("1") == 2
    assert check("nonsense") == 2


def test_requests_line_by_line(client: httpx.Client) -> None:
    """Each line has its own answer, in order, also where one is refused or nothing listens."""
    bodies = [json.dumps({"key": "k", "urls": []}), "not JSON", json.dumps({"folder": "nowhere"})]

    def ask(port: int) -> list[dict[str, Any]]:
        done = subprocess.run(
            (sys.executable, "-m", "backend.ask", "--lines", "POST", "/embed"),
            cwd=REPOSITORY, env={"PORT": str(port)}, timeout=60, check=True, capture_output=True,
            input="\n".join(bodies).encode(),
        )  # fmt: skip
        return [json.loads(line) for line in done.stdout.splitlines()]

    refused = ask(client.base_url.port or 0)
    alone = [client.post("/embed", content=body) for body in bodies]
    assert [one["status"] for one in refused] == [one.status_code for one in alone]
    assert [one["body"]["detail"] for one in refused] == [one.json()["detail"] for one in alone]
    assert len({one["body"]["detail"] for one in refused}) == len(bodies)
    assert [one["status"] for one in ask(1)] == [0, 0, 0]


def propagation(key: str, frames: int) -> dict[str, object]:
    """A square on the first frame, to be followed through frames that show the scenes in turn."""
    square = np.zeros(SIZE_WH[::-1], dtype=np.bool_)
    square[100:200, 100:200] = True
    shown = [
        {"number": number, "url": f"/data/local-files/?d=images/scene-{number % SCENES + 1:02}.png"}
        for number in range(frames + 1)
    ]
    code = base64.b64encode(bytes(encode_rle(square))).decode()
    first = {**shown[0], "size_wh": SIZE_WH, "masks": {"one": code}}
    return {"key": key, "length": frames + 1, "anchors": [first], "frames": shown[1:], "lost_after": frames + 1}


def test_propagation_line_by_line(client: httpx.Client) -> None:
    """As `./inv propagate` reads it: each line when it comes, and a refusal as what it is."""

    def ask(body: dict[str, object]) -> tuple[int, list[dict[str, Any]]]:
        done = subprocess.run(
            (sys.executable, "-m", "backend.ask", "--stream", "POST", "/propagate"),
            cwd=REPOSITORY, env={"PORT": str(client.base_url.port)}, timeout=120, check=False, capture_output=True,
            input=json.dumps(body).encode(),
        )  # fmt: skip
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines() if line]

    code, lines = ask(propagation("lines", 3))
    assert code == 0
    assert [one.get("frame") for one in lines] == [None, 1, 2, 3, None]
    assert lines[-1] == {"done": True}
    assert all(0 <= one["masks"]["one"]["presence"] <= 1 for one in lines[1:-1])
    code, (refusal,) = ask({**propagation("lines", 3), "length": 2})
    assert code == 1
    assert "`length` is 2" in refusal["detail"]


def test_propagation_ends_with_its_client(client: httpx.Client) -> None:
    """At the end of the frame that was in work: as many as may run at once are left, and another one finds room."""
    for number in range(RUNS_AT_ONCE):
        with client.stream("POST", "/propagate", json=propagation(f"gone {number}", 50_000)) as answer:
            lines = filter(None, answer.iter_lines())
            assert [json.loads(next(lines)).get("frame") for _ in range(2)] == [None, 1]
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (answer := client.post("/propagate", json=propagation("next", 1))).status_code == 503:
        assert time.monotonic() < deadline
    assert answer.text.endswith('{"done":true}\n')


def test_stop_while_loading(tmp_path: Path) -> None:
    with running(tmp_path, SAM2_MODEL="demo", LOCAL_FILES_DOCUMENT_ROOT=str(tmp_path)) as backend:
        backend.until("Uvicorn running on")
        assert backend.stop() == 0


def test_broken_settings_end_the_process(tmp_path: Path) -> None:
    environment = {"SAM2_MODEL": "tiny", "SAM2_MODEL_DIR": str(tmp_path), "LOCAL_FILES_DOCUMENT_ROOT": str(tmp_path)}
    with running(tmp_path, **environment) as backend:
        assert backend.process.wait(timeout=DEADLINE_SECONDS) == 2
        backend.until(
            r"^SAM2_MODEL: the weights of tiny are not at .*; run: python -m backend.weights.checkpoints fetch tiny"
        )


def test_weights_that_are_not_what_they_should_be(tmp_path: Path) -> None:
    (tmp_path / "sam2.1_hiera_tiny.pt").write_bytes(b"torn")
    environment = {"SAM2_MODEL": "auto", "SAM2_MODEL_DIR": str(tmp_path), "LOCAL_FILES_DOCUMENT_ROOT": str(tmp_path)}
    with running(tmp_path, **environment) as backend:
        url = backend.until(r"Uvicorn running on (http://\S+)").group(1)
        backend.until("the model could not be loaded: .* is not the file that tiny should be")
        health = httpx.get(f"{url}/health", trust_env=False)
        assert health.status_code == 503
        assert health.json()["state"] == "failed"
        assert backend.stop() == 0


def test_the_port_does_not_wait_for_torch() -> None:
    """Importing the process's code must not import torch, which takes seconds."""
    program = (
        "import sys, backend.__main__, backend.weights.checkpoints; sys.exit(len({'torch', 'sam2'} & set(sys.modules)))"
    )
    assert subprocess.run((sys.executable, "-c", program), cwd=REPOSITORY, timeout=60, check=False).returncode == 0


def test_an_error_stands_in_the_status_line_too(client: httpx.Client) -> None:
    """The only part of an error that Label Studio shows to people."""
    answer = client.post("/setup", json={"schema": "<View/>"})
    assert answer.status_code == 400
    assert answer.reason_phrase == answer.json()["detail"]
    assert answer.reason_phrase.startswith("the labeling configuration has no <Image> tag")
    assert "x-error-detail" not in answer.headers
    label = "señal\r\nX-Injected: 1 漢"
    body = click(region("keypointlabels", 1, 1, label=label), image="images/scene-01.png")
    # As Label Studio asks, whose message this becomes.
    shown = requests.post(f"{client.base_url}/predict", json=body, timeout=60)
    assert (shown.status_code, "x-injected" in shown.headers) == (400, False)
    assert shown.reason == shown.json()["detail"].replace("漢", "?")
    with pytest.raises(requests.HTTPError, match=r"400 Client Error: no output tag .* takes the label 'señal"):
        shown.raise_for_status()
