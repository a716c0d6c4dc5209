"""`/boxes`: many boxes of one image at once, after every click."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.settings import Settings
from tests.unit.backend.caching import WAIT, eventually
from tests.unit.backend.fakes import V1, V2, click, region
from tests.unit.backend.held_segmenter import House, draw, open_house, refused, said

URL = "/data/local-files/?d=set/"
LEFT = {"label": "Person", "x": 10, "y": 20, "width": 30, "height": 40}
RIGHT = {"label": "Boat", "x": 60, "y": 10, "width": 30, "height": 50, "rotation": 0}


@pytest.fixture
def house(settings: Settings, root: Path) -> Iterator[House]:
    draw(root, "set/b.png", "set/c.png", "set/d.png")
    with open_house(settings) as house:
        yield house


def body(*boxes: dict[str, object], name: str = "a", config: str = V2, **more: object) -> dict[str, object]:
    data = {"image": f"{URL}{name}.png"}
    return {"label_config": config, "task": "7", "data": data, "boxes": list(boxes), **more}


def answered(house: House, asked: dict[str, object]) -> Any:
    answer = house.client.post("/boxes", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_each_box_becomes_a_region_with_its_label(house: House) -> None:
    found = answered(house, body(LEFT, RIGHT))
    labels = [one["value"]["labels"] for one in found["result"] if one["type"] == "labels"]
    masks = [one for one in found["result"] if one["type"] == "brush"]
    assert labels == [["Person"], ["Boat"]]
    assert len(masks) == len({one["id"] for one in masks}) == 2
    assert {(one["original_width"], one["original_height"]) for one in masks} == {(64, 48)}
    assert found["model_version"]
    assert 0 < found["score"] <= 1
    assert len(house.segmenter.encoded) == 1


def test_boxes_of_a_picture_that_lies_otherwise_are_refused(house: House) -> None:
    """A file that has width and height as they are before EXIF would put every box in the wrong place."""
    for size_wh, shown in (([48, 64], "48x64"), ([64, 64], "64x64")):
        answer = house.client.post("/boxes", json=body(LEFT, size_wh=size_wh))
        assert answer.status_code == 422
        assert f"its boxes are of an image of {shown} pixels, and it is shown with 64x48" in answer.text
    assert "EXIF" in house.client.post("/boxes", json=body(LEFT, size_wh=[48, 64])).text


def test_boxes_of_a_smaller_copy_are_the_same(house: House) -> None:
    found = [answered(house, body(LEFT, size_wh=size_wh))["result"][0]["value"] for size_wh in ([64, 48], [33, 25])]
    assert found[0] == found[1]


def test_a_palette_of_the_brushes_own_takes_the_label(house: House) -> None:
    found = answered(house, body(LEFT, config=V1))
    assert [(one["type"], one["value"]["brushlabels"]) for one in found["result"]] == [("brushlabels", ["Person"])]


def test_a_click_knows_nothing_of_the_boxes(house: House) -> None:
    answered(house, body(LEFT))
    before = len(house.segmenter.decoded)
    assert said(house.ask(click(region("keypointlabels", 25, 40))))
    asked = house.segmenter.decoded[before]
    assert asked.box_xyxy is None  # a person's box is remembered for the points after it; these are nobody's


def test_a_click_goes_before_boxes_that_wait(house: House) -> None:
    busy = house.send_and_hold(click(region("keypointlabels", 25, 40), image="set/b.png"))
    with ThreadPoolExecutor(1) as operator:
        boxes = operator.submit(answered, house, body(LEFT, name="c"))
        eventually(lambda: 'labelrig_queue_depth{priority="batch"} 1.0' in house.client.get("/metrics").text)
        person = house.send(click(region("keypointlabels", 60, 40, id="r2"), image="set/d.png"))
        eventually(lambda: 'labelrig_queue_depth{priority="click"} 1.0' in house.client.get("/metrics").text)
        house.segmenter.let_go()
        assert said(busy.result(WAIT))
        assert said(person.result(WAIT))
        assert boxes.result(WAIT)["result"]
    # What waited together is begun in the order of its worth: the click's image, and only then the boxes'.
    images = [np.random.default_rng((2, number)).integers(0, 256, (48, 64, 3), dtype=np.uint8) for number in range(3)]
    order = [[np.array_equal(one, image) for image in images].index(True) for one in house.segmenter.encoded]
    assert [("b", "c", "d")[number] for number in order] == ["b", "d", "c"]


@pytest.mark.parametrize(
    ("asked", "status", "sentence"),
    [
        (body(), 400, "boxes: List should have at least 1 item"),
        (body({**LEFT, "label": "Nothing"}), 400, "takes the label 'Nothing'"),
        (body(LEFT, name="none"), 422, "is not in "),
        (body({**LEFT, "x": 120}), 400, "the box lies outside the image"),
        (body(LEFT, to_name="other"), 400, "has no <Image> named 'other'"),
        (body(LEFT, config="<View/>"), 400, "has no <Image>"),
        (body({**LEFT, "color": "red"}), 400, "boxes.0.color: Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(
    house: House, asked: dict[str, object], status: int, sentence: str
) -> None:
    seen, said_ = refused(house.client.post("/boxes", json=asked))
    assert seen == status, said_
    assert sentence in said_
