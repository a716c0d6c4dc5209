"""The mask before the click: what the page asks while the mouse rests on an image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from backend.errors import OutOfMemory
from backend.serving import preview
from backend.settings import Settings
from masks.raster import filled
from masks.rle import decode_rle
from tests.unit.backend.caching import WAIT, eventually
from tests.unit.backend.fakes import click, region
from tests.unit.backend.held_segmenter import House, draw, open_house, refused, said

SIZE = (64, 48)


@pytest.fixture
def house(settings: Settings) -> Iterator[House]:
    with open_house(settings) as house:
        yield house


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A preview waits as long as a test may take."""
    monkeypatch.setattr(preview, "LIMIT_SECONDS", WAIT)


def body(x: float = 25, y: float = 75, *, id: str = "preview", **also: Any) -> dict[str, Any]:
    asked: Any = click(region("keypointlabels", x, y, id=id, positive=True), **also)
    asked["params"]["context"] |= {"ask": "preview", "candidate": 0}
    return dict(asked)


def outline(house: House, asked: dict[str, Any]) -> Any:
    answer = house.ask(asked)
    assert answer.status_code == 200, answer.text
    (prediction,) = answer.json()["results"]
    assert prediction["result"] == []
    return prediction["preview"]["outline"]


def test_the_outline_is_that_of_the_clicks_mask(house: House) -> None:
    clicked = said(house.ask(click(region("keypointlabels", 25, 75, positive=True))))
    mask = decode_rle(clicked[0]["value"]["rle"], SIZE)
    (ring,) = outline(house, body())
    corners = np.asarray(ring).reshape(-1, 2) / 100 * SIZE
    assert mask.any()
    assert np.array_equal(filled(corners, SIZE), mask)


def test_a_preview_encodes_nothing(house: House) -> None:
    assert outline(house, body()) == []
    assert (house.segmenter.encoded, house.segmenter.decoded) == ([], [])


def test_a_preview_remembers_nothing(house: House) -> None:
    """A later click starts from no mask that was only looked at, and no figure counts it as a click."""
    said(house.ask(click(region("keypointlabels", 80, 20, id="other", positive=True))))
    assert outline(house, body(25, 75))
    points = [region("keypointlabels", x, 75, id=f"p{x}", positive=True) for x in (25, 30)]
    said(house.ask(click(*points)))
    assert house.segmenter.decoded[-1].mask_logits is None
    assert 'labelrig_clicks_total{prompt="point"} 1.0' in house.client.get("/metrics").text


@pytest.mark.usefixtures("patient")
def test_a_click_goes_before_a_preview(house: House, settings: Settings) -> None:
    assert settings.local_files_document_root is not None
    draw(settings.local_files_document_root, "set/b.png")
    said(house.ask(click(region("keypointlabels", 50, 50, positive=True))))
    held = house.send_and_hold(click(region("keypointlabels", 50, 50, id="held", positive=True), image="set/b.png"))
    waiting = house.send(body(25, 75))
    eventually(lambda: 'labelrig_queue_depth{priority="preview"} 1.0' in house.client.get("/metrics").text)
    later = house.send(click(region("keypointlabels", 80, 20, id="later", positive=True)))
    eventually(lambda: 'labelrig_queue_depth{priority="click"} 1.0' in house.client.get("/metrics").text)
    house.segmenter.let_go()
    assert said(held.result(30))
    assert said(later.result(30))
    assert waiting.result(30).status_code == 200
    order = [round(float(prompts.points_xy[0, 0])) for prompts in house.segmenter.decoded]
    assert order.index(51) < order.index(16)


def test_a_preview_is_given_up_where_the_model_is_busy(house: House, settings: Settings) -> None:
    assert settings.local_files_document_root is not None
    draw(settings.local_files_document_root, "set/b.png")
    said(house.ask(click(region("keypointlabels", 50, 50, positive=True))))
    held = house.send_and_hold(click(region("keypointlabels", 50, 50, id="held", positive=True), image="set/b.png"))
    assert outline(house, body()) == []
    house.segmenter.let_go()
    assert said(held.result(30))
    assert len(house.segmenter.decoded) == 2
    assert outline(house, body())


@pytest.mark.usefixtures("patient")
def test_a_newer_preview_replaces_the_older(house: House, settings: Settings) -> None:
    assert settings.local_files_document_root is not None
    draw(settings.local_files_document_root, "set/b.png")
    said(house.ask(click(region("keypointlabels", 50, 50, positive=True))))
    held = house.send_and_hold(click(region("keypointlabels", 50, 50, id="held", positive=True), image="set/b.png"))
    older = house.send(body(10, 10))
    eventually(lambda: 'labelrig_queue_depth{priority="preview"} 1.0' in house.client.get("/metrics").text)
    newer = house.send(body(90, 90))
    assert older.result(30).json()["results"][0]["preview"]["outline"] == []
    house.segmenter.let_go()
    assert newer.result(30).status_code == 200
    assert said(held.result(30))
    assert all(float(prompts.points_xy[0, 0]) > 10 for prompts in house.segmenter.decoded)


def test_memory_that_does_not_suffice_is_the_clicks_to_tell(house: House) -> None:
    said(house.ask(click(region("keypointlabels", 50, 50, positive=True))))
    house.segmenter.errors = [OutOfMemory("no memory"), OutOfMemory("no memory")]
    assert outline(house, body()) == []
    assert "OutOfMemory" not in house.client.get("/metrics").text.split("labelrig_errors_total")[-1]


def test_a_preview_of_nothing_is_refused(house: House) -> None:
    eventually(lambda: house.client.get("/ready").status_code == 200)
    asked = body()
    asked["params"]["context"]["result"] = []
    assert refused(house.ask(asked)) == (400, "a preview is of one task and one prompt")


def test_beyond_the_limit_nothing_is_shown_and_clicks_go_on(settings: Settings) -> None:
    with open_house(settings, click_limit=1) as house:
        said(house.ask(click(region("keypointlabels", 50, 50, positive=True))))
        asked = [house.send(body(10 * number, 50, id=f"person {number}")) for number in range(1, 9)]
        assert said(house.ask(click(region("keypointlabels", 20, 20, id="click", positive=True))))
        assert {one.result(30).status_code for one in asked} == {200}
