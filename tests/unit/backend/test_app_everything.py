"""Everything: proposals for a page, how far they are, one that is taken; and all of them for a command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.serving.everything import MOST_PROPOSALS
from backend.settings import Settings
from masks.rle import decode_rle
from tests.unit.backend.caching import WAIT, eventually
from tests.unit.backend.fakes import V1, V2, click, region
from tests.unit.backend.held_segmenter import House, draw, open_house, refused, said

SIZE = (64, 48)
POINTS = 21 * 21  # of a model of 64 cells


@pytest.fixture
def house(settings: Settings, root: Path) -> Iterator[House]:
    draw(root, "set/b.png", "set/c.png")
    with open_house(settings) as house:
        yield house


def asked(label: str | None = None, config: str = V2, name: str = "a", **context: Any) -> dict[str, Any]:
    entry = {
        "type": "labels" if config == V2 else "keypointlabels",
        "to_name": "image",
        "original_width": SIZE[0],
        "original_height": SIZE[1],
        "value": {} if label is None else {"labels": [label]},
    }
    body: dict[str, Any] = click(config=config, image=f"set/{name}.png")
    body["params"]["context"] = {"ask": "everything", "result": [entry], **context}
    return body


def progress(house: House, **more: Any) -> dict[str, Any]:
    answer = house.ask(asked(**more))
    assert answer.status_code == 200, answer.text
    (one,) = answer.json()["results"]
    assert one["result"] == []
    found: dict[str, Any] = one["everything"]
    return found


def proposals(house: House, **more: Any) -> list[dict[str, Any]]:
    eventually(lambda: "proposals" in progress(house, **more))
    found: list[dict[str, Any]] = progress(house, **more)["proposals"]
    return found


def test_all_points_of_the_grid_are_asked_about_once(house: House) -> None:
    """The fake model gives each point a square around it, and all of those overlap by less than duplicates do."""
    found = proposals(house)
    assert sum(house.segmenter.batches) == POINTS
    assert len(house.segmenter.encoded) == 1
    assert len(found) == MOST_PROPOSALS
    for one in found:
        (ring,) = one["rings"]
        assert len(ring) >= 8
        assert all(0 <= value <= 100 for value in ring)
        assert 0 < one["area"] <= 1 / 16


@pytest.mark.parametrize(
    ("config", "tags"), [(V2, [("brush", "brush"), ("label", "labels")]), (V1, [("brush", "brushlabels")])]
)
def test_one_is_taken_with_a_label(house: House, config: str, tags: list[tuple[str, str]]) -> None:
    found = proposals(house, config=config)
    number = len(found) // 2
    results = said(house.ask(asked("Boat", config, proposal=number)))
    assert [(one["from_name"], one["type"]) for one in results] == tags
    assert (results[-1]["value"].get("labels") or results[-1]["value"]["brushlabels"]) == ["Boat"]
    mask = decode_rle(results[0]["value"]["rle"], SIZE)
    assert float(mask.mean()) == pytest.approx(found[number]["area"], abs=0.02)
    left = min(found[number]["rings"][0][::2])
    assert mask.any(axis=0).argmax() == pytest.approx(left / 100 * SIZE[0], abs=1.5)


def test_a_click_waits_for_one_batch_at_most(house: House) -> None:
    """While proposals are made, a click on another image is begun before the next batch."""
    busy = house.send_and_hold(click(region("keypointlabels", 25, 40), image="set/b.png"))
    assert progress(house)["share"] == 0.0  # its image waits for the encoder
    person = house.send(click(region("keypointlabels", 60, 40, id="r2"), image="set/c.png"))
    eventually(lambda: 'labelrig_queue_depth{priority="click"} 1.0' in house.client.get("/metrics").text)
    house.segmenter.let_go()
    assert said(busy.result(WAIT))
    assert said(person.result(WAIT))
    before = sum(house.segmenter.batches)
    assert before < POINTS
    assert proposals(house)


def test_what_is_not_there_is_one_sentence(house: House) -> None:
    for body, status, sentence in (
        (asked("Boat", proposal=3), 404, "are not there any more; ask for them again"),
        (asked(name="none"), 422, "is not in "),
        (
            click(region("keypointlabels", 1, 1)) | {"params": {"context": {"ask": "everything", "result": []}}},
            400,
            "one entry",
        ),
    ):
        seen, text = refused(house.ask(body))
        assert (seen, sentence in text) == (status, True), text
    proposals(house)
    seen, text = refused(house.ask(asked("Nothing", proposal=0)))
    assert (seen, "takes the label 'Nothing'" in text) == (400, True)
    seen, text = refused(house.ask(asked("Boat", proposal=9_999)))
    assert (seen, "are not there any more" in text) == (404, True)


def command(**more: Any) -> dict[str, Any]:
    return {"label_config": V2, "task": "7", "data": {"image": "/data/local-files/?d=set/a.png"}, **more}


def test_the_command_gets_a_region_for_each(house: House) -> None:
    count = len(proposals(house))
    answer = house.client.post("/everything", json=command(label="Person"))
    assert answer.status_code == 200, answer.text
    found = answer.json()["result"]
    assert len({one["id"] for one in found}) == count
    assert {one["value"]["labels"][0] for one in found if one["type"] == "labels"} == {"Person"}
    assert answer.json()["score"] == pytest.approx(0.875)


def test_without_a_label_where_the_configuration_allows_it(house: House) -> None:
    found = house.client.post("/everything", json=command()).json()["result"]
    assert {one["type"] for one in found} == {"brush"}
    batches = list(house.segmenter.batches)
    status, text = refused(house.client.post("/everything", json=command(label_config=V1)))
    assert (status, 'to <BrushLabels> the attribute allowEmpty="true"' in text) == (400, True), text
    assert house.segmenter.batches == batches  # before any work
