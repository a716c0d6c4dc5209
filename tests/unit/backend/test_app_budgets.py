"""What one account may ask for: beyond it a sentence, and the next click works."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from backend.labelstudio.protocol import MAX_ENTRIES
from backend.picture import Picture
from backend.segmenter import Embedding, Prepared
from backend.segmenter import Image as Encodable
from backend.settings import Settings
from backend.web.bodies import memory_of
from tests.unit.backend.caching import WAIT, together
from tests.unit.backend.fakes import V1, FakeSegmenter, click, region
from tests.unit.backend.held_segmenter import open_house, refused, said

MEGABYTE = 1 << 20


def point(number: int = 0) -> dict[str, object]:
    return region("keypointlabels", 25, 75, id=f"r{number}")


def large(kind: str) -> bytes:
    """A body of the review's attacks, or of the same kind in a list of its own."""
    body: Any = click(point())
    entry = body["params"]["context"]["result"][0]
    task = body["tasks"][0]
    match kind:
        case "10 000 000 points":
            entry["type"], entry["value"]["points"] = "polygonlabels", "LIST"
            text = "[" + "[0,0]," * 10_000_000 + "[0,0]]"
        case "200 000 key points":
            body["params"]["context"]["result"] = "LIST"
            text = "[" + ",".join([json.dumps(point())] * 100_000) + "]"
        case "20 000 key points":
            body["params"]["context"]["result"] = "LIST"
            text = "[" + ",".join([json.dumps(point())] * 20_000) + "]"
        case "values":
            body["more"], text = "LIST", "[" + "0," * 3_000_000 + "0]"
        case "points":
            entry["type"], entry["value"]["points"], text = "polygonlabels", "LIST", "[" + "[0,0]," * 20_000 + "[0,0]]"
        case "code":
            entry["type"], entry["value"]["rle"], text = "brushlabels", "LIST", "[" + "0," * 2_000_000 + "0]"
        case "labels":
            entry["value"]["labels"], text = "LIST", "[" + '"a",' * 500_000 + '"a"]'
        case "drafts":
            task["drafts"], text = "LIST", "[" + "[]," * 100_000 + "[]]"
        case "brackets":
            task["data"]["more"], text = "LIST", "[" + "[]," * 1_000_000 + "[]]"
        case _:
            body["tasks"], text = "LIST", "[" + "{}," * 20_000 + "{}]"
    return json.dumps(body).replace('"LIST"', text).encode()


@pytest.mark.parametrize(
    ("kind", "said_of"),
    [
        ("10 000 000 points", "the request's body has more than 8 MB (REQUEST_LIMIT_MB): "),
        ("200 000 key points", "the request's body has more than 8 MB (REQUEST_LIMIT_MB): "),
        ("20 000 key points", f"params.context.result has more than {MAX_ENTRIES} entries"),
        ("points", "params.context.result.0.value.points has more than 10000 entries"),
        ("code", "params.context.result.0.value.rle has more than 1000000 entries"),
        ("labels", "params.context.result.0.value.labels has more than 1000 entries"),
        ("drafts", "tasks.0.drafts has more than 100 entries"),
        ("tasks", "tasks has more than 10000 entries"),
        ("values", "the request holds far more lists, objects or values than any task has"),
        ("brackets", "the request holds far more lists, objects or values than any task has"),
    ],
)
def test_large_bodies_are_refused_in_a_sentence(client: TestClient, kind: str, said_of: str) -> None:
    text = large(kind)
    began = time.monotonic()
    status, sentence = refused(client.post("/predict", content=text))
    assert (status, said_of in sentence) == (413, True), sentence
    assert time.monotonic() - began < WAIT
    assert said(client.post("/predict", json=click(point())))


def test_a_body_that_does_not_tell_its_length_is_refused(client: TestClient) -> None:
    """All of it is taken, so that the sender reads the sentence and no broken connection."""
    taken = 0

    def pieces() -> Any:
        nonlocal taken
        for _ in range(12):
            taken += 1
            yield b" " * MEGABYTE

    status, sentence = refused(client.post("/setup", content=pieces()))
    assert (status, taken) == (413, 12)
    assert "more than 8 MB (REQUEST_LIMIT_MB)" in sentence


def test_brackets_count_for_more_than_numbers() -> None:
    assert memory_of(b"[" * 1000) > 100 * 1000
    assert memory_of(b"[0" + b",0" * 1000 + b"]") < 100 * 1000


@pytest.mark.parametrize("path", ["/predict", "/setup", "/boxes", "/refine", "/propagate", "/embed", "/webhook"])
def test_a_client_that_is_gone_is_no_error(client: TestClient, path: str, caplog: pytest.LogCaptureFixture) -> None:
    """750 tracebacks in the log after 750 requests that were broken off."""
    messages = [{"type": "http.request", "body": b'{"tasks": [', "more_body": True}, {"type": "http.disconnect"}]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": [],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 9090),
    }  # fmt: skip

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        """To nobody."""

    caplog.set_level(logging.DEBUG, "backend")
    assert client.portal is not None
    client.portal.call(client.app, scope, receive, send)
    (line,) = [one for one in caplog.records if "broke the request off" in one.message]
    assert (line.levelno, line.message) == (logging.DEBUG, f"POST {path}: the client broke the request off")
    assert not [one for one in caplog.records if one.levelno > logging.INFO]
    assert "labelrig_errors_total{" not in client.get("/metrics").text


NESTED = (
    '<View><Image name="image" value="$image"/>'
    + "".join(f'<Labels name="l{depth}" toName="image">' for depth in range(95))
    + "".join(f'<Label value="{number}"/>' for number in range(9000))
    + "</Labels>" * 95
    + '<KeyPoint name="k" toName="image"/><Brush name="b" toName="image"/></View>'
)
MANY_PROMPTS = (
    '<View><Image name="image" value="$image"/>'
    + "".join(f'<KeyPointLabels name="k{n}" toName="image"><Label value="{n}"/></KeyPointLabels>' for n in range(3000))
    + "".join(f'<BrushLabels name="b{n}" toName="image"><Label value="{n}"/></BrushLabels>' for n in range(3000))
    + "</View>"
)
MANY_PALETTES = (
    '<View><Image name="image" value="$image"/><Brush name="b" toName="image"/>'
    + "".join(f'<KeyPoint name="k{n}" toName="image"/>' for n in range(4000))
    + "".join(f'<Labels name="l{n}" toName="image"><Label value="{n}"/></Labels>' for n in range(4000))
    + "</View>"
)


@pytest.mark.parametrize("config", [NESTED, MANY_PROMPTS, MANY_PALETTES], ids=["nested", "prompts", "palettes"])
def test_a_large_configuration_is_read_in_linear_time(client: TestClient, config: str) -> None:
    """162 KB of nested tags took 18 s, on the event loop."""
    for path, body in (
        ("/setup", {"project": "1", "schema": config}),
        ("/predict", {**click(point()), "label_config": f"{config} "}),
    ):
        began = time.monotonic()
        answer = client.post(path, json=body)
        assert answer.status_code in (200, 400), answer.text
        assert time.monotonic() - began < WAIT  # it took minutes


REPEATED = '<View><Repeater on="$pages"><View{attribute}/></Repeater><Image name="image" value="$image"/></View>'


@pytest.mark.parametrize(
    ("attribute", "entries"), [("", 1_000_000), (f' x="{{{{idx}}}}{"a" * 100_000}"', 2000)], ids=["tags", "characters"]
)
def test_a_list_cannot_repeat_tags_without_end(client: TestClient, attribute: str, entries: int) -> None:
    """Each entry makes a tag, and each tag a copy of its attributes."""
    body: Any = click(point(), config=REPEATED.format(attribute=attribute))
    body["tasks"][0]["data"]["pages"] = [0] * entries
    began = time.monotonic()
    status, sentence = refused(client.post("/predict", json=body))
    assert status == 400
    assert "the task's data repeat these tags to more than" in sentence
    assert time.monotonic() - began < WAIT


def test_setup_keeps_no_one_waiting(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read in a thread: the event loop answers `/health` meanwhile."""
    begun, answered = threading.Event(), threading.Event()

    def held(*_: object) -> None:
        begun.set()
        assert answered.wait(WAIT)

    monkeypatch.setattr("backend.web.app.set_up", held)
    with open_house(settings) as house, ThreadPoolExecutor(1) as threads:
        setup = threads.submit(house.client.post, "/setup", json={"project": "1", "schema": V1})
        assert begun.wait(WAIT)
        assert house.client.get("/health").status_code == 200
        answered.set()
        assert setup.result(WAIT).status_code == 200


def test_clicks_on_large_images_take_their_turns(settings: Settings, root: Path) -> None:
    """Six clicks at once on six images, of which the memory holds one: all are answered, and a seventh."""
    for number in range(7):
        pixels = np.full((2600, 3000, 3), number, dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number}.png")
    size = (3000, 2600)
    with open_house(settings, work_memory_mb=64, image_memory_mb=0, image_pixel_limit=8_000_000) as house:
        answers = together(
            6,
            lambda number: house.ask(
                click(region("keypointlabels", 50, 50, size_wh=size, id=f"{number}"), image=f"{number}.png")
            ),
        )
        assert all(said(one) for one in answers)
        assert said(house.ask(click(region("keypointlabels", 50, 50, size_wh=size), image="6.png")))


def test_an_image_above_the_memory_is_refused(settings: Settings, root: Path) -> None:
    Image.new("RGB", (3000, 2800)).save(root / "a.jpg", progressive=True)
    with open_house(settings, work_memory_mb=64, image_pixel_limit=10_000_000) as house:
        status, sentence = refused(
            house.ask(click(region("keypointlabels", 50, 50, size_wh=(3000, 2800)), image="a.jpg"))
        )
        assert status == 422
        assert sentence == (
            "the image 'a.jpg' of 3000x2800 pixels (JPEG) takes some 112 MB while it is read, more than "
            "WORK_MEMORY_MB=64"
        )
        assert said(house.ask(click(point())))


def test_a_url_made_of_many_parts_has_an_end(client: TestClient) -> None:
    """Each reference to the task's data is a copy of it."""
    body: Any = click(point(), config=V1.replace("$image", "$a/" * 100_000))
    body["tasks"][0]["data"]["a"] = "x" * 100_000
    status, sentence = refused(client.post("/predict", json=body))
    assert (status, "would have more than 10000000 characters" in sentence) == (422, True)


@pytest.mark.parametrize("config", [V1])
def test_many_strokes_are_refused(client: TestClient, config: str) -> None:
    """Each is a mask as large as the image."""
    strokes = [
        {**region("brushlabels", 1, 1, id=f"{n}"), "value": {"rle": [0] * 50, "format": "rle"}} for n in range(17)
    ]
    status, sentence = refused(client.post("/predict", json=click(*strokes, config=config)))
    assert (status, sentence) == (400, "17 brush strokes for one object, more than 16: accept it first")


def test_no_cache_folder_is_no_reason_not_to_start(settings: Settings, root: Path, tmp_path: Path) -> None:
    """With a cache that cannot be written to the process ended with exit code 2."""
    (tmp_path / "file").write_text("")
    with open_house(settings, embedding_cache_dir=tmp_path / "file" / "cache") as house:
        assert said(house.ask(click(point())))
        health = house.client.get("/health").json()
        assert health["state"] == "degraded"
        assert "fetched images are not kept in IMAGE_CACHE_DIR: Not a directory" in health["reason"]
        picture = base64.b64encode((root / "set" / "a.png").read_bytes()).decode("ascii")
        body: Any = click(point())
        body["tasks"][0]["data"]["image"] = f"data:image/png;base64,{picture}"
        assert said(house.ask(body))


def test_images_are_made_ready_before_the_models_turn(
    client: TestClient, segmenter: FakeSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model's one thread made its input of the whole picture, ten seconds for a strip."""
    prepare, encode, seen = segmenter.prepare, segmenter.encode, []

    def prepared(picture: Picture) -> Prepared:
        seen.append(("prepare", threading.current_thread().name == "model"))
        return prepare(picture)

    def encoded(image: Encodable) -> Embedding:
        seen.append(("encode", threading.current_thread().name == "model"))
        assert isinstance(image, Prepared)
        return encode(image)

    monkeypatch.setattr(segmenter, "prepare", prepared)
    monkeypatch.setattr(segmenter, "encode", encoded)
    assert said(client.post("/predict", json=click(point())))
    assert seen == [("prepare", False), ("encode", True)]
