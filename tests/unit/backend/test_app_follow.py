"""Masks through a sequence for a page, a question a step: those of `/propagate`, as results of a prediction."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.settings import Settings
from labeling.tracks import mask_digest, note_of, note_text, run_digest
from masks.rle import decode_rle, encode_rle
from tests.unit.backend.caching import eventually
from tests.unit.backend.fakes import V1, V2, VERSION, click
from tests.unit.backend.held_segmenter import House, draw, open_house, refused

SIZE = (64, 48)
RUN = "5f0c0f6e-0000-4000-8000-000000000001"
Mask = NDArray[np.bool_]


@pytest.fixture
def house(settings: Settings, root: Path) -> Iterator[House]:
    draw(root, *(f"set/{number}.png" for number in range(8)))
    with open_house(settings) as house:
        yield house


def box(left: int, top: int, right: int, bottom: int) -> Mask:
    mask = np.zeros(SIZE[::-1], dtype=np.bool_)
    mask[top:bottom, left:right] = True
    return mask


ONE, TWO = box(8, 6, 40, 30), box(42, 20, 62, 44)


def brush(mask: Mask, id: str, *labels: str, note: str | None = None) -> list[dict[str, Any]]:
    """A brush and its labels, as the editor writes them with a palette: the shape stands in both."""
    shape = {"format": "rle", "rle": encode_rle(mask)}
    rest: dict[str, Any] = {"id": id, "to_name": "image", "original_width": SIZE[0], "original_height": SIZE[1]}
    if note is not None:
        rest["meta"] = {"text": [note]}
    return [
        {**rest, "type": "brush", "from_name": "brush", "value": shape},
        {**rest, "type": "labels", "from_name": "label", "value": {**shape, "labels": list(labels)}},
    ]


def body(
    step: str, place: int, *entries: dict[str, Any], run: str = RUN, config: str = V2, project: str = "3.1", **more: Any
) -> dict[str, Any]:
    asked: dict[str, Any] = click(config=config, image=f"set/{place}.png")
    asked["tasks"][0]["id"] = 100 + place
    follow = {"run": run, "step": step, "place": place, "length": 8, "name": f"{place}.png", **more}
    asked["project"] = project
    asked["params"]["context"] = {"ask": "follow", "result": list(entries), "follow": follow}
    return asked


def answered(house: House, *given: Any, **more: Any) -> dict[str, Any]:
    """The answer to a step, asked for until it is done."""
    found: dict[str, Any] = {}

    def done() -> bool:
        answer = house.ask(body(*given, **more))
        assert answer.status_code == 200, answer.text
        (one,) = answer.json()["results"]
        found.update(one)
        return bool(one["follow"]["done"])

    eventually(done)
    return found


def notes(found: dict[str, Any]) -> set[str]:
    return {note.track for one in found["result"] if (note := note_of(one)) is not None}


def test_masks_are_those_of_propagate(house: House) -> None:
    """With the labels of the region, the score, and the note that the command writes."""
    given = answered(house, "anchor", 0, *brush(ONE, "one", "Boat"), *brush(TWO, "two", "Person", "Boat"))
    assert given["follow"]["tracks"] == {"100.one": "one", "100.two": "two"}
    found = answered(house, "into", 1)
    assert found["follow"] == {
        "done": True, "tracks": ["100.one", "100.two"], "scores": {"100.one": 0.75, "100.two": 0.75}, "ended": [],
        "problem": None, "doubted": [],
    }  # fmt: skip
    assert found["score"] == 0.75
    shape, labels, _, both = found["result"]
    assert [(one["id"], one["type"], one["from_name"]) for one in (shape, labels)] == [
        ("100.one", "brush", "brush"), ("100.one", "labels", "label")
    ]  # fmt: skip
    assert (labels["value"], both["value"]) == ({"labels": ["Boat"]}, {"labels": ["Person", "Boat"]})
    codes = {name: base64.b64encode(bytes(encode_rle(mask))).decode() for name, mask in (("a", ONE), ("b", TWO))}
    command = house.client.post(
        "/propagate",
        json={
            "key": "p", "length": 8, "frames": [{"number": 1, "url": "/data/local-files/?d=set/1.png"}],
            "anchors": [{"number": 0, "url": "/data/local-files/?d=set/0.png", "size_wh": SIZE, "masks": codes}],
        },
    )  # fmt: skip
    line = json.loads(command.text.splitlines()[1])
    same = decode_rle(base64.b64decode(line["masks"]["a"]["rle"]), SIZE)
    assert np.array_equal(decode_rle(shape["value"]["rle"], SIZE), same)
    assert same.any()
    note = note_of(shape)
    assert note is not None
    assert note.run == run_digest(VERSION, [(0, mask_digest(bytes(encode_rle(ONE))))], backward=False)
    assert note.origin == "0.png"
    assert shape["meta"] == {"text": [note_text(note, 0.875)]}


def test_label_of_the_shape_itself_is_kept(house: House) -> None:
    entry = brush(ONE, "one")[0]
    value = {**entry["value"], "brushlabels": ["Boat"]}
    answered(house, "anchor", 0, {**entry, "type": "brushlabels", "value": value}, config=V1)
    (one,) = answered(house, "into", 1, config=V1)["result"]
    assert (one["type"], one["value"]["brushlabels"]) == ("brushlabels", ["Boat"])


def test_accepted_region_keeps_its_track(house: House) -> None:
    """Also one that was drawn anew over a propagated mask of its label; a copy begins a track of its own."""
    note = "track 55.first: out of 9.png, score 0.91, presence 0.99, run 3f2a1c9d07be"
    other = note.replace("first", "other")
    entries = [*brush(ONE, "a", "Boat", note=note), *brush(ONE, "b", "Boat", note=note), *brush(TWO, "c", "Person")]
    nearly = TWO & ~box(42, 20, 48, 44)
    predicted = brush(nearly, "p", "Person", note=other)
    given = answered(house, "anchor", 2, *entries, predicted=predicted)
    assert given["follow"]["tracks"] == {"102.b": "b", "55.first": "a", "55.other": "c"}
    assert notes(answered(house, "into", 3)) == {"102.b", "55.first", "55.other"}
    wrong_label = brush(nearly, "p", "Boat", note=other)
    given = answered(house, "anchor", 2, *brush(TWO, "c", "Person"), predicted=wrong_label, run=RUN + "2")
    assert given["follow"]["tracks"] == {"102.c": "c"}


def test_older_anchors_add_to_the_objects_of_the_nearest(house: House) -> None:
    answered(house, "anchor", 4, *brush(ONE, "one", "Boat", note=_note("100.one")))
    older = answered(house, "anchor", 0, *brush(TWO, "one", "Boat"), *brush(ONE, "gone", "Boat"))
    assert older["follow"]["tracks"] == {"100.gone": "gone", "100.one": "one"}
    found = answered(house, "into", 5)
    assert notes(found) == {"100.one"}
    digests = [(0, mask_digest(bytes(encode_rle(ONE)))), (-4, mask_digest(bytes(encode_rle(TWO))))]
    note = note_of(found["result"][0])
    assert note is not None
    assert note.run == run_digest(VERSION, digests, backward=False)


def _note(track: str) -> str:
    return f"track {track}: out of 0.png, score 0.91, presence 0.99, run 3f2a1c9d07be"


def test_absent_object_has_no_mask(house: House) -> None:
    house.segmenter.absent = frozenset({1})
    answered(house, "anchor", 0, *brush(ONE, "one", "Boat"))
    found = answered(house, "into", 1)
    assert (found["result"], found["score"], found["follow"]["scores"]) == ([], 0.0, {})
    assert found["follow"]["doubted"] == []
    assert notes(answered(house, "into", 2)) == {"100.one"}


def test_object_whose_mask_is_not_believed_is_named(house: House) -> None:
    """One that is not there is not: `test_absent_object_has_no_mask`."""
    house.segmenter.unsure = frozenset({1})
    answered(house, "anchor", 0, *brush(ONE, "one", "Boat"))
    found = answered(house, "into", 1)
    assert (found["result"], found["follow"]["doubted"]) == ([], ["100.one"])
    assert answered(house, "into", 2)["follow"]["doubted"] == []


def test_image_that_cannot_be_read_is_passed_over(house: House, root: Path) -> None:
    (root / "set" / "1.png").write_bytes(b"no picture")
    answered(house, "anchor", 0, *brush(ONE, "one", "Boat"))
    found = answered(house, "into", 1)
    assert found["result"] == []
    assert "1.png" in found["follow"]["problem"]
    assert notes(answered(house, "into", 2)) == {"100.one"}


def test_run_ends_when_the_page_says_so(house: House) -> None:
    """Not with the last answer, which may be lost on its way: it can be asked for again."""
    answered(house, "anchor", 0, *brush(ONE, "one", "Boat"))
    assert [notes(answered(house, "into", 7)) for _ in range(2)] == [{"100.one"}] * 2
    answered(house, "end", 0)
    status, why = refused(house.ask(body("into", 7)))
    assert (status, why) == (404, "the masks before this image are not remembered any more; begin again")


def test_run_of_another_project_is_another_one(house: House) -> None:
    answered(house, "anchor", 0, *brush(ONE, "one", "Boat"))
    assert refused(house.ask(body("into", 1, project="4.1")))[0] == 404


@pytest.mark.parametrize(
    ("entries", "more", "sentence"),
    [
        ([], {}, "there is no mask to continue"),
        (brush(box(0, 0, 0, 0), "one", "Boat"), {}, "the masks that are to be continued are empty"),
        ([{**brush(ONE, "one", "Boat")[0], "original_width": 32}], {}, "the mask cannot be read"),
        ([*brush(ONE, "a", "Boat"), {**brush(ONE, "b")[0], "item_index": 1}], {}, "the masks are of several images"),
        (brush(ONE, "one", "Boat"), {"place": 8}, "the last place is 7"),
    ],
)
def test_what_cannot_be_continued_is_said(
    house: House, entries: list[dict[str, Any]], more: dict[str, Any], sentence: str
) -> None:
    asked = body("anchor", 0, *entries)
    asked["params"]["context"]["follow"].update(more)
    status, why = refused(house.ask(asked))
    assert status in (400, 422)
    assert sentence in why


def test_next_images_are_encoded_meanwhile(house: House) -> None:
    answered(house, "anchor", 0, *brush(ONE, "one", "Boat"))
    answered(house, "into", 1)
    eventually(lambda: len(house.segmenter.encoded) >= 3)
