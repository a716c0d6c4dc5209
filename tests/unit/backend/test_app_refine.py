"""`/refine`: SAM2's masks of things whose masks are known roughly."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from backend.geometry.mask_prompts import prompts_of
from backend.geometry.masks import SURE, as_logits, full_size
from backend.settings import Settings
from masks.measure import intersection_over_union
from masks.rle import decode_rle, encode_rle
from tests.unit.backend.fakes import SIDE, click, region
from tests.unit.backend.held_segmenter import House, draw, open_house, refused, said

SIZE_WH = (64, 48)
Mask = NDArray[np.bool_]


@pytest.fixture
def house(settings: Settings, root: Path) -> Iterator[House]:
    draw(root, "set/b.png")
    with open_house(settings) as house:
        yield house


def rectangle(left: int, top: int, right: int, bottom: int, size_wh: tuple[int, int] = SIZE_WH) -> Mask:
    mask = np.zeros(size_wh[::-1], dtype=np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def code(mask: Mask) -> str:
    return base64.b64encode(bytes(encode_rle(mask))).decode()


def body(*masks: str, name: str = "a", **more: object) -> dict[str, object]:
    return {"url": f"/data/local-files/?d=set/{name}.png", "task": "7", "size_wh": SIZE_WH, "masks": masks, **more}


def answered(house: House, asked: dict[str, object]) -> Any:
    answer = house.client.post("/refine", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_each_mask_is_prompt_as_mask_box_and_point(house: House) -> None:
    given = [rectangle(8, 6, 40, 30), rectangle(42, 20, 62, 44)]
    found = answered(house, body(*map(code, given)))
    for one, mask in zip(found["masks"], given, strict=True):
        got = decode_rle(base64.b64decode(one["rle"]), SIZE_WH)
        assert intersection_over_union(got, mask) > 0.9
        assert one["score"] == 0.75
    assert found["model_version"]
    for asked in house.segmenter.decoded:
        assert asked.mask_logits is not None
        assert asked.box_xyxy is not None
        assert asked.is_positive.tolist() == [True]
    first = house.segmenter.decoded[0]
    assert first.mask_logits is not None
    assert intersection_over_union(full_size(first.mask_logits, SIZE_WH), given[0]) > 0.95


def test_a_small_thing_is_looked_at_closer(house: House, root: Path) -> None:
    """The start is then the same piece of the mask."""
    size_wh = (640, 480)
    noise = np.random.default_rng(3).integers(0, 256, (*size_wh[::-1], 3), dtype=np.uint8)
    Image.fromarray(noise).save(root / "set" / "large.png")
    mask = rectangle(300, 200, 330, 240, size_wh)
    answered(house, body(code(mask), name="large", size_wh=size_wh))
    (asked,) = house.segmenter.decoded
    piece = house.segmenter.encoded[-1].shape
    assert max(piece[:2]) < 200
    assert asked.mask_logits is not None
    assert asked.box_xyxy is not None
    left, top, right, bottom = (asked.box_xyxy * SIDE / np.tile(piece[1::-1], 2)).tolist()
    share = float((asked.mask_logits > 0).mean()) * SIDE * SIDE
    assert share == pytest.approx((right - left) * (bottom - top), rel=0.1)


def test_what_is_refined_is_no_start_of_a_click(house: House) -> None:
    """A click is answered as if nothing had been refined before, with the same prompts among its own."""
    answered(house, body(code(rectangle(8, 6, 40, 30))))
    assert said(house.ask(click(region("keypointlabels", 37, 37))))
    assert house.segmenter.decoded[-1].mask_logits is None


@pytest.mark.parametrize(
    ("asked", "status", "sentence"),
    [
        (body(), 400, "masks: Tuple should have at least 1 item|masks: List should have at least 1 item"),
        (body(code(rectangle(1, 1, 1, 1))), 400, "masks.0 is empty"),
        (body("AAAA"), 400, "masks.0 cannot be read: rle: expected at least 7 bytes, got 3"),
        (body(code(rectangle(1, 1, 9, 9, (64, 64)))), 400, "masks.0 cannot be read: rle: expected 12288 values"),
        (body(code(rectangle(1, 1, 9, 9)), size_wh=(64, 64)), 422, "of an image of 64x64 pixels, and it has 64x48"),
        (body(code(rectangle(1, 1, 9, 9)), name="none"), 422, "is not in "),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(
    house: House, asked: dict[str, object], status: int, sentence: str
) -> None:
    seen, said_ = refused(house.client.post("/refine", json=asked))
    assert seen == status, said_
    assert any(one in said_ for one in sentence.split("|")), said_


def test_prompts_of_a_mask_lie_deep_inside_it() -> None:
    """A ring has its point in its band, a second large part its own, and a speck none."""
    mask = rectangle(4, 4, 24, 24) & ~rectangle(10, 10, 24, 18)
    mask |= rectangle(40, 30, 52, 44) | rectangle(60, 2, 61, 3)
    found = prompts_of(mask)
    assert found.box_xyxy is not None
    assert found.box_xyxy.tolist() == [4, 2, 61, 44]
    cells = np.floor(found.points_xy).astype(int)
    assert mask[cells[:, 1], cells[:, 0]].all()
    assert sorted(x > 30 for x in found.points_xy[:, 0]) == [False, True]
    with pytest.raises(ValueError, match="got an empty one"):
        prompts_of(np.zeros((4, 4), dtype=np.bool_))


@pytest.mark.parametrize("size_wh", [(640, 480), (33, 70), (20, 9)])
def test_logits_of_a_mask_lead_back_to_it(size_wh: tuple[int, int]) -> None:
    width, height = size_wh
    mask = rectangle(width // 4, height // 3, width - 4, height - 2, size_wh)
    logits = as_logits(mask, SIDE)
    assert logits.shape == (SIDE, SIDE)
    assert float(np.abs(logits).max()) == pytest.approx(SURE)
    assert intersection_over_union(full_size(logits, size_wh), mask) > 0.95
