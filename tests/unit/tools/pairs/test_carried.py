"""Drawn pairs: their masks are exact, and SAM2's masks by the rule beat the transform's, which beat the copy."""

from __future__ import annotations

import numpy as np
import pytest

from masks.measure import intersection_over_union
from masks.warp import carried
from tools.pairs.carried import FIRST, Measured, means, measure, table
from tools.pairs.drawn import SIZE_WH, draw_pair

PAIRS = range(FIRST, FIRST + 6)


@pytest.fixture(scope="module")
def found() -> list[Measured]:
    return [one for index in PAIRS for parallax_px in (0.0, 8.0, 16.0) for one in measure(index, parallax_px)]


def at(found: list[Measured], parallax_px: float) -> dict[str, float]:
    return means(one for one in found if one.parallax_px == parallax_px)


def test_sam2_by_the_rule_beats_the_transform(found: list[Measured]) -> None:
    """Both beat the copy; the farther things lie beside the ground, the more SAM2's masks gain."""
    for parallax_px, gain in ((8.0, 0.08), (16.0, 0.15)):
        seen = at(found, parallax_px)
        assert seen["taken"] > seen["carried"] + gain
        assert seen["taken"] > seen["sam2"] + 0.03
        assert seen["taken"] > seen["copy"] + 0.15
    assert means(found)["carried"] > means(found)["copy"] + 0.15


def test_the_rule_keeps_masks_that_lie_right(found: list[Measured]) -> None:
    """Also of things that the thermal picture does not show, where SAM2 finds something else."""
    assert at(found, 0.0)["taken"] > at(found, 0.0)["carried"] - 0.005
    assert at(found, 0.0)["sam2"] < 0.95
    unseen = [one for one in found if not one.is_seen]
    assert unseen
    assert means(unseen)["sam2"] < 0.3
    assert means(unseen)["taken"] > means(unseen)["carried"] - 0.01


def test_a_pair_is_drawn_by_its_transform() -> None:
    pair = draw_pair(0, 0.0)
    for one in pair.things:
        assert intersection_over_union(carried(one.rgb, pair.matrix, SIZE_WH), one.thermal) > 0.99
    again, moved = draw_pair(0, 0.0), draw_pair(0, 8.0)
    assert np.array_equal(pair.thermal, again.thermal)
    assert np.array_equal(pair.rgb, moved.rgb)
    assert np.array_equal(pair.matrix, moved.matrix)
    shifts = [
        np.hypot(*(np.argwhere(one.thermal).mean(0) - np.argwhere(other.thermal).mean(0)))
        for one, other in zip(pair.things, moved.things, strict=True)
    ]
    assert min(shifts) > 3.5
    assert max(shifts) < 8.5


def test_the_table_has_a_row_a_way(found: list[Measured]) -> None:
    text = table([*found, *[Measured(4.0, True, one.iou, one.is_sam2) for one in found]])
    rows = [line.split(" | ") for line in text.splitlines()]
    assert len({len(row) for row in rows}) == 1
    assert [row[0] for row in rows[2:]] == [
        "| the RGB mask as it is",
        "| by the transform (`--refine none`)",
        "| SAM2's in any case",
        "| the better by the rule (`--refine sam2`)",
        "| masks that are SAM2's",
        "| masks",
    ]
