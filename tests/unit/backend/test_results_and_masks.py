from __future__ import annotations

import numpy as np
import pytest
from label_studio_sdk.converter.brush import decode_rle
from numpy.typing import NDArray

from backend import labeling_config, masks
from backend.labeling_config import Output
from backend.prompts import Click, Drawn
from backend.protocol import BrushValue, LabelsValue, RegionValue
from backend.results import encode_rle, to_results
from backend.segmenter import Candidates
from tests.unit.backend.fakes import V1, V2


def some_click(kind: str, label: str | None) -> Click:
    return Click((Drawn(kind, RegionValue(), True, label),), "image", (8, 6), None)


def output(xml: str, label: str | None, kind: str) -> Output:
    return labeling_config.parse(xml).output_for("image", label, kind)


def shapes() -> dict[str, NDArray[np.bool_]]:
    rng = np.random.default_rng(2)
    ring = np.zeros((40, 60), dtype=bool)
    ring[5:35, 5:55] = True
    ring[15:25, 20:40] = False
    one = np.zeros((7, 5), dtype=bool)
    one[3, 2] = True
    return {
        "noise": rng.random((33, 47)) > 0.5,
        "ring": ring,
        "one pixel": one,
        "empty": np.zeros((5, 9), dtype=bool),
        "full": np.ones((300, 400), dtype=bool),
        "one row": rng.random((1, 50)) > 0.3,
    }


@pytest.mark.parametrize("name", sorted(shapes()))
def test_rle_comes_back_as_the_same_mask(name: str) -> None:
    mask = shapes()[name]
    rle = encode_rle(mask)
    assert all(type(byte) is int for byte in rle)
    alpha = decode_rle(rle).reshape(*mask.shape, 4)[..., 3]
    np.testing.assert_array_equal(alpha, np.where(mask, 255, 0))


def test_brush_labels_take_one_result() -> None:
    (result,) = to_results([1], 0.5, some_click("keypointlabels", "Boat"), output(V1, "Boat", "keypointlabels"))
    assert (result.type, result.from_name, result.to_name) == ("brushlabels", "brush", "image")
    assert result.value == BrushValue(rle=[1], brushlabels=["Boat"])
    assert (result.original_width, result.original_height) == (8, 6)


def test_brush_beside_labels_takes_two_results_of_one_region() -> None:
    shape, labels = to_results([1], 0.5, some_click("keypoint", "Boat"), output(V2, "Boat", "keypoint"))
    assert (shape.type, shape.from_name, shape.value) == ("brush", "brush", BrushValue(rle=[1]))
    assert (labels.type, labels.from_name, labels.value) == ("labels", "label", LabelsValue(labels=["Boat"]))
    assert shape.id == labels.id


def test_brush_without_a_label_takes_one_result() -> None:
    (shape,) = to_results([1], 0.5, some_click("keypoint", None), output(V2, None, "keypoint"))
    assert shape.type == "brush"


def test_ids_are_long_and_never_the_same() -> None:
    where = output(V1, "Boat", "keypointlabels")
    ids = {to_results([1], 0.5, some_click("keypointlabels", "Boat"), where)[0].id for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(one) for one in ids} == {32}


def test_best_is_the_one_the_model_trusts() -> None:
    logits = np.stack([np.full((4, 4), value, dtype=np.float32) for value in (1, 2, 3)])
    chosen, score = masks.best(Candidates(logits, np.asarray([0.1, 0.9, 0.5], dtype=np.float32)))
    assert (chosen == 2).all()
    assert score == pytest.approx(0.9)


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
