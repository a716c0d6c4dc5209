"""What the page's script asks for: the backend's state, and clicks under an id of its own."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from backend.errors import ModelError
from backend.settings import Settings
from backend.web.app import create_app
from tests.unit.backend.caching import eventually
from tests.unit.backend.fakes import MODEL, FakeSegmenter, click, region

WITHOUT_PROMPTS = '<View><Image name="image" value="$image"/></View>'


@pytest.fixture
def client(client: TestClient) -> TestClient:
    """With its model loaded: until then there is no image to tell of."""
    eventually(lambda: client.get("/ready").status_code == 200)
    return client


def asking(**also: Any) -> dict[str, Any]:
    """A click's body with the question instead of prompts."""
    body: dict[str, Any] = dict(click(**also))
    return body | {"params": {"context": {"result": [], "ask": "state"}}}


def state(client: TestClient, **also: Any) -> dict[str, Any]:
    answer = client.post("/predict", json=asking(**also))
    assert answer.status_code == 200
    (prediction,) = answer.json()["results"]
    assert prediction["result"] == []
    told: dict[str, Any] = prediction["state"]
    return told


def test_an_image_is_encoding_and_then_ready(client: TestClient, segmenter: FakeSegmenter) -> None:
    segmenter.gate = threading.Event()
    asked = state(client)
    assert asked == {"backend": "ready", "model": "demo", "device": "fake", "image": "encoding"}
    segmenter.gate.set()
    eventually(lambda: state(client)["image"] == "ready")
    assert len(segmenter.encoded) == 1


def test_asking_again_does_not_encode_again(client: TestClient, segmenter: FakeSegmenter) -> None:
    eventually(lambda: state(client)["image"] == "ready")
    for _ in range(5):
        assert state(client)["image"] == "ready"
    assert len(segmenter.encoded) == 1


@pytest.mark.parametrize(
    ("also", "reason"),
    [
        ({"image": "set/none.png"}, "'set/none.png' is not in"),
        ({"config": WITHOUT_PROMPTS}, "no smart prompt tag"),
    ],
)
def test_what_will_fail_is_said_before_the_click(client: TestClient, also: dict[str, Any], reason: str) -> None:
    told = state(client, **also)
    assert told["image"] == "failed"
    assert reason in told["reason"]


def test_further_pages_of_a_file_are_told_with_its_image(client: TestClient, root: Path) -> None:
    """Nobody annotates a recording believing that it is one picture."""
    frames = [Image.new("L", (40, 30), value) for value in (10, 20, 30)]
    frames[0].save(root / "set" / "film.tif", save_all=True, append_images=frames[1:])
    frames[0].save(root / "set" / "one.tif")
    assert state(client, image="set/film.tif")["pages"] == {"image": 3}
    eventually(lambda: state(client, image="set/film.tif")["image"] == "ready")
    assert state(client, image="set/film.tif")["pages"] == {"image": 3}
    assert "pages" not in state(client, image="set/one.tif")


def test_an_image_that_is_cut_off_is_told_and_not_tried_for_ever(
    client: TestClient, root: Path, segmenter: FakeSegmenter
) -> None:
    whole = (root / "set" / "a.png").read_bytes()
    (root / "set" / "cut.png").write_bytes(whole[: len(whole) // 2])
    eventually(lambda: state(client, image="set/cut.png")["image"] == "failed")
    assert "cut.png" in state(client, image="set/cut.png")["reason"]
    assert segmenter.encoded == []


def test_an_image_that_was_mended_is_tried_again(client: TestClient, root: Path) -> None:
    """It stayed failed until its task was opened anew."""
    whole = (root / "set" / "a.png").read_bytes()
    (root / "set" / "cut.png").write_bytes(whole[: len(whole) // 2])
    eventually(lambda: state(client, image="set/cut.png")["image"] == "failed")
    (root / "set" / "cut.png").write_bytes(whole)
    eventually(lambda: state(client, image="set/cut.png")["image"] == "ready")


def test_a_model_that_loads_is_told_and_one_that_cannot(settings: Settings) -> None:
    gate = threading.Event()

    def load() -> FakeSegmenter:
        assert gate.wait(30)
        raise ModelError("the file is cut off")

    with TestClient(create_app(load, settings, MODEL)) as client:
        assert state(client) == {"backend": "loading", "model": "demo"}
        gate.set()
        eventually(lambda: state(client)["backend"] == "failed")
        assert "the file is cut off" in state(client)["reason"]


def test_a_click_keeps_the_id_that_the_page_chose(client: TestClient, root: Path) -> None:
    body: dict[str, Any] = dict(click(region("keypointlabels", 25, 75), image="set/none.png"))
    body["params"]["context"]["request_id"] = "page-1"
    answer = client.post("/predict", json=body)
    assert answer.status_code == 422
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"] == "page-1"
    assert "page-1" in client.get("/status").text


@pytest.mark.parametrize("bad", ["", "a b", "x" * 65])
def test_an_id_that_could_forge_a_log_line_is_refused(client: TestClient, bad: str) -> None:
    body: dict[str, Any] = dict(click(region("keypointlabels", 25, 75)))
    body["params"]["context"]["request_id"] = bad
    assert client.post("/predict", json=body).status_code == 400
