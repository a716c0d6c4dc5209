"""Our arithmetic against the stock `SAM2ImagePredictor`.

The predictor needs torchvision, which nothing else here does, so the test environment installs it without its
dependencies, and the two compiled operators that its import asks for are declared, not run. The predictor's feature
sizes are fixed to those of a 1024-pixel input, hence the `tiny` structure, with random weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from backend import masks
from backend.catalog import load_catalog
from backend.engines import torch_engine
from backend.engines.torch_engine import TorchSegmenter
from backend.segmenter import Embedding, Prompts

OPERATORS = ("nms", "qnms")
WIDTH, HEIGHT = 300, 200
pytestmark = [
    pytest.mark.reference,
    pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def operators() -> Iterator[None]:
    """Make torchvision importable where its compiled part does not fit this torch (CUDA build, CPU torch)."""
    package = find_spec("torchvision")
    assert package is not None, "install torchvision==0.28.0 without dependencies, or leave out `-m reference`"
    library = torch.library.Library("torchvision", "FRAGMENT")
    try:
        for folder in package.submodule_search_locations or ():
            torch.ops.load_library(Path(folder) / "_C.so")
    except OSError:
        for name in OPERATORS:
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    yield
    library._destroy()


@pytest.fixture(scope="module")
def segmenter() -> TorchSegmenter:
    torch.manual_seed(1)
    config = load_catalog().models["tiny"].config_file()
    assert config is not None
    segmenter = torch_engine.build(config, None, torch.device("cpu"), None)
    # Random weights give masks without an inside; a larger output makes the comparison say more.
    with torch.no_grad():
        for parameter in segmenter._model.sam_mask_decoder.output_hypernetworks_mlps.parameters():
            parameter.mul_(3)
    return segmenter


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def embedding(segmenter: TorchSegmenter, pixels: NDArray[np.uint8]) -> Embedding:
    return segmenter.encode(pixels)


@pytest.fixture(scope="module")
def predictor(operators: None, segmenter: TorchSegmenter, pixels: NDArray[np.uint8]) -> Any:
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    predictor = SAM2ImagePredictor(segmenter._model)
    predictor.set_image(pixels)
    return predictor


def prompts(points: list[tuple[float, float, bool]], box: tuple[float, ...] | None) -> Prompts:
    return Prompts(
        np.asarray([point[:2] for point in points], dtype=np.float32).reshape(-1, 2),
        np.asarray([point[2] for point in points], dtype=np.bool_),
        None if box is None else np.asarray(box, dtype=np.float32),
    )


CASES = {
    "lone point": prompts([(70.5, 120.25, True)], None),
    "points": prompts([(70, 120, True), (200, 30, True), (10, 10, False)], None),
    "box": prompts([], (40, 50, 180, 160)),
    "box and points": prompts([(100, 100, True), (60, 60, False)], (40, 50, 180, 160)),
    "corners": prompts([(0, 0, True), (WIDTH, HEIGHT, True)], None),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_same_logits_scores_and_masks(
    predictor: Any, segmenter: TorchSegmenter, embedding: Embedding, name: str
) -> None:
    asked = CASES[name]
    ours = segmenter.decode(embedding, asked)
    points = (asked.points_xy, asked.is_positive.astype(np.int32)) if len(asked.points_xy) else (None, None)
    full, iou, low = predictor.predict(
        point_coords=points[0],
        point_labels=points[1],
        box=asked.box_xyxy,
        multimask_output=asked.is_lone_point,
        return_logits=True,
    )
    np.testing.assert_allclose(np.clip(ours.logits, -32, 32), low, atol=2e-4, rtol=1e-3)
    np.testing.assert_allclose(ours.iou, iou, atol=1e-5)
    best, score = masks.best(ours)
    assert score == pytest.approx(float(iou.max()), abs=1e-5)
    mask = masks.full_size(best, (WIDTH, HEIGHT))
    stock = full[int(np.argmax(iou))]
    assert mask.shape == stock.shape
    sure = np.abs(stock) > 1e-3  # on the edge itself rounding decides
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(mask[sure], stock[sure] > 0)


def test_same_picture_for_the_model(predictor: Any, segmenter: TorchSegmenter, pixels: NDArray[np.uint8]) -> None:
    with torch.no_grad():
        stock = predictor._transforms(pixels)[None]
    torch.testing.assert_close(segmenter._preprocess(pixels), stock, atol=1e-5, rtol=1e-5)
