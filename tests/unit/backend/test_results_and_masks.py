from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from backend.geometry import masks
from backend.labelstudio.labeling_check import check
from backend.labelstudio.labeling_config import output_for, parse
from backend.labelstudio.options import ProjectOptions, read_options
from backend.labelstudio.prompts import Click, read_click
from backend.labelstudio.protocol import ContextRegion, RegionResult
from backend.labelstudio.results import to_results
from backend.segmenter import Candidates
from tests.unit.backend.fakes import V1, V2, region

GOLDEN = Path(__file__).parent / "golden"
REPLIES = json.loads((GOLDEN / "reply_shapes.json").read_text(encoding="utf-8"))
POLYGON = V2.replace("Brush", "Polygon")


def drawn(rows: list[str]) -> NDArray[np.bool_]:
    return np.asarray([[letter == "#" for letter in row] for row in rows])


def click_of(*entries: dict[str, Any]) -> Click:
    return read_click([ContextRegion.model_validate(entry) for entry in entries])


def answered(xml: str, click: Click, mask: NDArray[np.bool_], **options: Any) -> list[RegionResult]:
    output = output_for(parse(xml), click.to_name, click.label, click.kind)
    return to_results(mask, 0.5, click, output, ProjectOptions(**options))


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: reply["name"])
def test_golden_reply(reply: dict[str, Any]) -> None:
    """The whole of the results for every kind of output tag."""
    config, options = parse(reply["label_config"]), read_options(reply["extra_params"])
    check(config, options.output)
    click = click_of(*reply["context"])
    output = output_for(config, click.to_name, click.label, click.kind, options.output)

    results = to_results(drawn(reply["mask"]), 0.875, click, output, options)

    written = [json.loads(result.model_dump_json(exclude_none=True, by_alias=True)) for result in results]
    names: dict[str, str] = {}
    for result in written:
        assert len(result["id"]) == 32
        result["id"] = names.setdefault(result["id"], f"new {len(names) + 1}")
    assert written == reply["results"]


TWO_PARTS = np.zeros((48, 64), dtype=bool)
TWO_PARTS[5:20, 5:20] = True
TWO_PARTS[30:45, 30:60] = True


def test_a_stroke_is_replaced_by_the_first_region_only() -> None:
    click = replace(click_of(region("keypoint", 50, 50, label="Boat")), replaces="stroke-1")
    first, first_labels, second, second_labels = answered(POLYGON, click, TWO_PARTS)
    assert first.id == first_labels.id == "stroke-1"
    assert second.id == second_labels.id != "stroke-1"
    (whole,) = answered(V1, replace(click, drawn=click_of(region("keypointlabels", 5, 5)).drawn), TWO_PARTS)
    assert whole.id == "stroke-1"


@pytest.mark.parametrize(("xml", "kind"), [(V1, "keypointlabels"), (POLYGON, "keypoint")])
def test_ids_are_long_and_never_the_same(xml: str, kind: str) -> None:
    click = click_of(region(kind, 50, 50, label="Boat"))
    ids = [result.id for _ in range(200) for result in answered(xml, click, TWO_PARTS) if result.type != "labels"]
    assert len(set(ids)) == len(ids) >= 200
    assert {len(one) for one in ids} == {32}


def test_an_empty_mask_has_no_results() -> None:
    assert answered(V2, click_of(region("keypoint", 50, 50)), np.zeros((48, 64), dtype=bool)) == []


def test_a_mask_of_another_size_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"^mask: expected shape \(48, 64\), got \(64, 48\)$"):
        answered(V1, click_of(region("keypointlabels", 50, 50)), TWO_PARTS.T)


def test_a_reply_holds_the_integers_once() -> None:
    mask = np.random.default_rng(1).random((1080, 1920)) < 0.08
    click = click_of(region("keypoint", 50, 50, size_wh=(1920, 1080)))
    tracemalloc.start()
    try:
        shape, _ = answered(V2, click, mask)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    rle = shape.model_dump()["value"]["rle"]
    assert len(rle) > 400_000
    assert held < 8 * len(rle) * 1.2  # one list of references to small integers


def test_best_is_the_one_the_model_trusts() -> None:
    logits = np.stack([np.full((4, 4), value, dtype=np.float32) for value in (1, 2, 3)])
    chosen, score = masks.best(Candidates(logits, np.asarray([0.1, 0.9, 0.5], dtype=np.float32)))
    assert (chosen == 2).all()
    assert score == pytest.approx(0.9)


@pytest.mark.parametrize(("rank", "expected"), [(0, 2), (1, 3), (2, 1), (3, 2)])
def test_other_candidates_follow_their_scores(rank: int, expected: float) -> None:
    logits = np.stack([np.full((4, 4), value, dtype=np.float32) for value in (1, 2, 3)])
    chosen, _ = masks.best(Candidates(logits, np.asarray([0.1, 0.9, 0.5], dtype=np.float32)), rank)
    assert (chosen == expected).all()


@pytest.mark.parametrize("size_wh", [(640, 480), (1920, 1080), (64, 64), (50, 3), (1, 1)])
def test_full_size_has_the_shape_of_the_image(size_wh: tuple[int, int]) -> None:
    mask = masks.full_size(np.ones((64, 64), dtype=np.float32), size_wh)
    assert mask.shape == (size_wh[1], size_wh[0])
    assert mask.dtype == np.bool_
    assert mask.all()


def test_full_size_keeps_edges_in_place() -> None:
    logits = np.full((32, 32), -1, dtype=np.float32)
    logits[:, 16:] = 1
    mask = masks.full_size(logits, (320, 160))
    assert not mask[:, :160].any()
    assert mask[:, 160:].all()


def test_full_size_checks_its_input() -> None:
    with pytest.raises(ValueError, match=r"^logits: expected shape \(h, w\), got \(1, 4, 4\)$"):
        masks.full_size(np.zeros((1, 4, 4), dtype=np.float32), (8, 8))


@settings(max_examples=200)
@given(
    cells=st.tuples(st.integers(1, 64), st.integers(1, 64)),
    size_wh=st.tuples(st.integers(1, 400), st.integers(1, 400)),
    seed=st.integers(0, 2**32 - 1),
    share=st.floats(0, 1),
)
def test_crop_is_enlarged_as_the_whole(
    cells: tuple[int, int], size_wh: tuple[int, int], seed: int, share: float
) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(-3, 1, cells).astype(np.float32)
    rows, columns = (slice(random.integers(0, n), random.integers(0, n) + 1) for n in cells)
    part = logits[rows, columns]
    part[random.random(part.shape) < share] = 2.5
    whole = cv2.resize(logits, size_wh, interpolation=cv2.INTER_LINEAR)
    sure = np.abs(whole) > 1e-3  # on the edge itself rounding decides
    np.testing.assert_array_equal(masks.full_size(logits, size_wh)[sure], (whole > 0)[sure])
    with pytest.MonkeyPatch.context() as patch:  # as a mask of many megapixels
        patch.setattr(masks, "LARGE_PIXELS", 0)
        patch.setattr(masks, "BAND_PIXELS", 1000)
        np.testing.assert_array_equal(masks.full_size(logits, size_wh)[sure], (whole > 0)[sure])
