"""The key T: a mask of one image of a pair on the other, by the alignment that the project was given."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from backend.settings import Settings
from backend.web.app import create_app
from masks.measure import intersection_over_union as iou
from masks.rle import decode_rle, encode_rle
from tests.unit.backend.fakes import MODEL, FakeSegmenter
from tests.unit.backend.held_segmenter import refused

PROJECT = "3.1700000000"
RGB, THERMAL = (64, 48), (32, 24)
HALF = [[0.5, 0.0, -0.25], [0.0, 0.5, -0.25], [0.0, 0.0, 1.0]]
BESIDE = [[0.5, 0.0, 4.75], [0.0, 0.5, -0.25], [0.0, 0.0, 1.0]]
CONFIG = """<View>
  <Image name="rgb" value="$rgb"/>
  <BrushLabels name="brush_rgb" toName="rgb"><Label value="Car"/><Label value="Ship"/></BrushLabels>
  <PolygonLabels name="poly_rgb" toName="rgb"><Label value="Car"/></PolygonLabels>
  <Image name="thermal" value="$thermal"/>
  <Labels name="label_thermal" toName="thermal"><Label value="Car"/></Labels>
  <Brush name="brush_thermal" toName="thermal"/><Polygon name="poly_thermal" toName="thermal"/>
</View>"""
Mask = NDArray[np.bool_]


@pytest.fixture
def client(settings: Settings) -> Any:
    with TestClient(create_app(FakeSegmenter, settings, MODEL)) as one:
        yield one


def alignment(**more: Any) -> dict[str, Any]:
    images = [{"to_name": name, "width": w, "height": h} for name, (w, h) in (("rgb", RGB), ("thermal", THERMAL))]
    return {"project": PROJECT, "first": images[0], "second": images[1], "matrix": HALF, **more}


def rectangle(left: int, top: int, right: int, bottom: int, size_wh: tuple[int, int] = RGB) -> Mask:
    mask = np.zeros(size_wh[::-1], dtype=np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def entry(kind: str, value: dict[str, Any], to_name: str = "rgb", size_wh: tuple[int, int] = RGB) -> dict[str, Any]:
    sizes = {"original_width": size_wh[0], "original_height": size_wh[1]}
    return {"id": "r1", "type": kind, "to_name": to_name, "from_name": "x", "value": value, **sizes}


def brush(mask: Mask, label: str = "Car", to_name: str = "rgb") -> dict[str, Any]:
    value = {"format": "rle", "rle": encode_rle(mask), "brushlabels": [label]}
    return entry("brushlabels", value, to_name, (mask.shape[1], mask.shape[0]))


def ask(client: TestClient, *entries: dict[str, Any], task: int = 7, project: str = PROJECT) -> Any:
    data = {"rgb": "/data/rgb.png", "thermal": "/data/thermal.png"}
    body = {"tasks": [{"id": task, "data": data}], "project": project, "label_config": CONFIG}
    return client.post("/predict", json={**body, "params": {"context": {"ask": "twin", "result": list(entries)}}})


def answered(client: TestClient, *entries: dict[str, Any], task: int = 7) -> list[dict[str, Any]]:
    answer = ask(client, *entries, task=task)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"][0]["result"]
    return found


def mask_of(results: list[dict[str, Any]], size_wh: tuple[int, int]) -> Mask:
    return decode_rle(results[0]["value"]["rle"], size_wh)


def test_a_mask_gets_the_tags_and_place_of_the_other_image(client: TestClient) -> None:
    assert client.put("/alignment", json=alignment()).json() == {"own": 0, "refused": 0}
    found = answered(client, brush(rectangle(20, 10, 40, 30)))
    assert [(one["from_name"], one["type"], one["to_name"]) for one in found] == [
        ("brush_thermal", "brush", "thermal"),
        ("label_thermal", "labels", "thermal"),
    ]
    assert found[1]["value"] == {"labels": ["Car"]}
    assert {one["id"] for one in found} != {"r1"}
    assert found[0]["meta"] == {"text": ["from rgb r1"]}
    assert np.array_equal(mask_of(found, THERMAL), rectangle(10, 5, 20, 15, THERMAL))


def test_and_back(client: TestClient) -> None:
    client.put("/alignment", json=alignment())
    found = answered(client, brush(rectangle(10, 5, 20, 15, THERMAL), to_name="thermal"))
    assert [(one["from_name"], one["to_name"]) for one in found] == [("brush_rgb", "rgb")]
    assert iou(mask_of(found, RGB), rectangle(20, 10, 40, 30)) > 0.9


def test_a_pair_has_its_own_transform_or_none(client: TestClient) -> None:
    client.put("/alignment", json=alignment(own={"8/0": BESIDE}, refused=["9/0"]))
    found = answered(client, brush(rectangle(20, 10, 40, 30)), task=8)
    assert np.array_equal(mask_of(found, THERMAL), rectangle(15, 5, 25, 15, THERMAL))
    status, sentence = refused(ask(client, brush(rectangle(20, 10, 40, 30)), task=9))
    assert (status, "the registration refused this pair" in sentence) == (400, True)


def test_every_shape_is_taken_over(client: TestClient) -> None:
    """A polygon stays one; a box, an ellipse and a bitmask become what the other image has tags for."""
    client.put("/alignment", json=alignment())
    corners = [[31.25, 20.8333], [62.5, 20.8333], [62.5, 62.5], [31.25, 62.5]]
    (polygon, _) = answered(client, entry("polygonlabels", {"points": corners, "polygonlabels": ["Car"]}))
    assert polygon["type"] == "polygon"
    percent = np.asarray(polygon["value"]["points"])
    assert [percent.min(0).tolist(), percent.max(0).tolist()] == [
        [31.25, pytest.approx(20.8333, abs=0.1)],
        [62.5, 62.5],
    ]
    content = io.BytesIO()
    pixels = np.zeros((*RGB[::-1], 4), np.uint8)
    pixels[10:30, 20:40, 3] = 255
    Image.fromarray(pixels).save(content, "PNG")
    url = "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
    box = {"x": 31.25, "y": 20.8333, "width": 31.25, "height": 41.6667, "labels": ["Car"]}
    round_ = {"x": 46.875, "y": 41.6667, "radiusX": 15.625, "radiusY": 20.8333, "labels": ["Car"]}
    wanted = rectangle(10, 5, 20, 15, THERMAL)
    for kind, value, least in (
        ("bitmask", {"imageDataURL": url, "labels": ["Car"]}, 0.99),
        ("rectangle", box, 0.99),
        ("ellipse", round_, 0.7),
    ):
        assert iou(mask_of(answered(client, entry(kind, value)), THERMAL), wanted) > least, kind


def test_what_was_given_survives_a_restart(settings: Settings, tmp_path: Path) -> None:
    kept = settings.model_copy(update={"embedding_cache_dir": tmp_path})
    with TestClient(create_app(FakeSegmenter, kept, MODEL)) as client:
        client.put("/alignment", json=alignment(matrix=BESIDE))
        client.put("/alignment", json=alignment())
    with TestClient(create_app(FakeSegmenter, kept, MODEL)) as client:
        found = answered(client, brush(rectangle(20, 10, 40, 30)))
        assert np.array_equal(mask_of(found, THERMAL), rectangle(10, 5, 20, 15, THERMAL))
    (file,) = (tmp_path / "alignments").iterdir()
    file.write_text("{")
    with TestClient(create_app(FakeSegmenter, kept, MODEL)) as client:
        assert "`./inv pairs.apply` gives it one" in refused(ask(client, brush(rectangle(1, 1, 9, 9))))[1]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([brush(rectangle(1, 1, 9, 9, (64, 64)))], "of an image of 64x64 pixels, and the pairs were registered with"),
        ([brush(rectangle(20, 10, 40, 30), "Ship")], "takes the label 'Ship' on image 'thermal'"),
        ([brush(rectangle(1, 1, 9, 9), to_name="depth")], "pairs are 'rgb' and 'thermal', not 'depth'"),
        ([brush(rectangle(0, 0, 1, 1))], "the image 'thermal' does not show the place of this mask"),
        ([entry("brushlabels", {"rle": [1, 2], "brushlabels": ["Car"]})], "the mask cannot be read: rle: expected"),
        ([entry("bitmask", {"imageDataURL": "data:,%", "labels": ["Car"]})], "its picture is no PNG"),
        ([entry("rectangle", {"x": 1, "y": 1, "labels": ["Car"]})], "the mask cannot be read: it has no size"),
        ([entry("keypointlabels", {"x": 1, "y": 1})], "expected one region of one task"),
        ([], "expected one region of one task"),
    ],
)
def test_what_cannot_be_taken_over_is_one_sentence(client: TestClient, given: list[Any], sentence: str) -> None:
    client.put("/alignment", json=alignment())
    status, said = refused(ask(client, *given))
    assert (status, sentence in said) == (400, True), said


def test_a_project_without_an_alignment_says_what_to_do(client: TestClient) -> None:
    status, said = refused(ask(client, brush(rectangle(1, 1, 9, 9)), project="4.1"))
    assert (status, said) == (400, "this project has no alignment of its pairs: `./inv pairs.apply` gives it one")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"matrix": [[0, 0, 0], [0, 1, 0], [0, 0, 1]]}, "matrix: Value error, a matrix cannot be inverted"),
        ({"own": {"1/0": [[1, 0], [0, 1]]}}, "own.1/0"),
        ({"project": ""}, "project: String should have at least 1 character"),
    ],
)
def test_a_broken_alignment_is_refused(client: TestClient, more: dict[str, Any], sentence: str) -> None:
    status, said = refused(client.put("/alignment", json=alignment(**more)))
    assert (status, sentence in said) == (400, True), said
