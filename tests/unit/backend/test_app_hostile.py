"""Values that once brought a defect to light, or might: each is answered in a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.unit.backend.fakes import click, region
from tests.unit.backend.held_segmenter import refused

CONFIG = """<View><Image name="image" {image}/>
<BrushLabels name="brush" toName="image"><Label value="Person"/></BrushLabels></View>"""
URL = "/data/local-files/?d=set/a.png"


def point(**changes: object) -> dict[str, object]:
    return {**region("keypointlabels", 25, 75), **changes}


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("http://xn--a/a.png", 422),  # not what IDNA decodes
        ("http://[::1/a.png", 422),
        ("http://127.0.0.1:99999/a.png", 422),
        ("http://user:secret@127.0.0.1/a.png", 422),
        ("http://\0/a.png", 422),
        ("http://127.0.0.1/" + "x" * 70_000, 422),
        ("/data/local-files/?d=" + "a" * 5000, 422),
        ("/data/local-files/?d=" + "a/" * 5000, 422),
        ("/data/local-files/?d=%ff", 422),
        ("s3://bucket/\U0001f600", 422),
        ("file:///etc/passwd", 422),
        ("\U0001f600", 422),
    ],
)
def test_urls(client: TestClient, url: str, status: int) -> None:
    body: Any = click(point())
    body["tasks"][0]["data"]["image"] = url
    seen, sentence = refused(client.post("/predict", json=body))
    assert seen == status
    assert len(sentence) <= 1000
    assert "secret" not in sentence


@pytest.mark.parametrize("index", ["9" * 5000, "9" * 12, "1", "²"])
def test_a_place_in_a_list_that_is_not_there(client: TestClient, index: str) -> None:
    body: Any = click(point(), config=CONFIG.format(image=f'value="$image[{index}]"'))
    body["tasks"][0]["data"]["image"] = [URL]
    status, sentence = refused(client.post("/predict", json=body))
    assert status == 422
    assert sentence.startswith("the task's data holds no image URL under ")


@pytest.mark.parametrize("index", [-1, 1, 10**300])
def test_an_index_that_is_not_there(client: TestClient, index: int) -> None:
    body: Any = click(point(item_index=index), config=CONFIG.format(image='valueList="$image"'))
    body["tasks"][0]["data"]["image"] = [URL]
    status, sentence = refused(client.post("/predict", json=body))
    assert status == 422
    assert sentence.endswith("was requested, but 'image' of the task's data holds 1")


@pytest.mark.parametrize("field", ["id", "type", "to_name", "from_name"])
def test_names_without_end(client: TestClient, field: str) -> None:
    status, sentence = refused(client.post("/predict", json=click(point(**{field: "x" * 100_000}))))
    assert status == 400
    assert f"params.context.result.0.{field}: String should have at most 1000 characters" in sentence


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 5000, '"\\ud800"', "[" * 1000])
def test_tokens_that_are_no_coordinates(client: TestClient, token: str) -> None:
    text = json.dumps(click(point())).replace('"x": 25', f'"x": {token}')
    assert token in text
    status, sentence = refused(client.post("/predict", content=text))
    assert status == 400
    assert sentence.startswith("the request does not follow Label Studio's format: ")


@pytest.mark.parametrize(
    "extra",
    ['{"\\ud83d": 1}', '{"fill_holes_pixels": ' + "1" * 5000 + "}", "[" * 60_000, "x" * 100_000, [1], True, 1e308],
)
def test_options_that_are_none(client: TestClient, extra: object) -> None:
    config = CONFIG.format(image='value="$image"')
    status, sentence = refused(client.post("/setup", json={"schema": config, "extra_params": extra}))
    assert status == 400
    assert "extra_params" in sentence


def test_a_body_of_many_megabytes_is_read(client: TestClient) -> None:
    body: Any = click(point())
    mask = [{"value": {"rle": list(range(256)) * 6_000}}]
    body["tasks"][0]["annotations"] = [{"result": mask}]
    text = json.dumps(body)
    assert len(text) > 7_000_000
    assert client.post("/predict", content=text).status_code == 200
