"""Our arithmetic against the stock `SAM2ImagePredictor`, for every structure in the catalog and for the demo weights.

The predictor needs torchvision, which nothing else here does, so the test environment installs it without its
dependencies, and the two compiled operators that its import asks for are declared, not run. Both sides share one
model. The four real structures get fixed random weights; each image is encoded once a side.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from backend.engines import torch_engine
from backend.engines.torch_engine import TorchSegmenter
from backend.geometry import masks
from backend.segmenter import Candidates, Embedding, Prompts
from backend.weights.catalog import load_catalog
from demo.scenes import draw_scene

OPERATORS = ("nms", "qnms")
MODELS = ("demo", "tiny", "small", "base-plus", "large")
WIDTH, HEIGHT = 300, 200
TOLERANCE = 1e-4  # of a logit, absolute
SPREAD = 5.0  # standard deviation of the logits: as trained weights give them
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning"),
]


@dataclass(frozen=True)
class Pair:
    """One model behind both interfaces, with the same image encoded."""

    segmenter: TorchSegmenter
    embedding: Embedding
    predictor: Any

    def ours(self, asked: Prompts) -> Candidates:
        """The answer of the backend's engine."""
        return self.segmenter.decode(self.embedding, asked)

    def stock(self, asked: Prompts) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """The predictor's full-size logits ``(C, H, W)``, predicted IoU ``(C,)`` and low-resolution logits."""
        points = (asked.points_xy, asked.is_positive.astype(np.int32)) if len(asked.points_xy) else (None, None)
        full, iou, low = self.predictor.predict(
            point_coords=points[0],
            point_labels=points[1],
            box=asked.box_xyxy,
            mask_input=None if asked.mask_logits is None else asked.mask_logits[None],
            multimask_output=asked.is_lone_point,
            return_logits=True,
        )
        return full, iou, low

    def check(self, asked: Prompts, stock_asked: Prompts) -> Candidates:
        """Ours, after every figure of it was compared."""
        ours = self.ours(asked)
        full, iou, low = self.stock(stock_asked)
        np.testing.assert_allclose(np.clip(ours.logits, -32, 32), low, atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(ours.iou, iou, atol=1e-5)
        best, score = masks.best(ours)
        assert score == pytest.approx(float(iou.max()), abs=1e-5)
        mask = masks.full_size(best, (WIDTH, HEIGHT))
        stock = full[int(np.argmax(iou))]
        assert mask.shape == stock.shape
        sure = np.abs(stock) > 1e-3  # on the edge itself rounding decides
        assert sure.mean() > 0.99
        np.testing.assert_array_equal(mask[sure], stock[sure] > 0)
        return ours


def prompts(
    points: list[tuple[float, float, bool]],
    box: tuple[float, ...] | None = None,
    mask_logits: NDArray[np.float32] | None = None,
) -> Prompts:
    return Prompts(
        np.asarray([point[:2] for point in points], dtype=np.float32).reshape(-1, 2),
        np.asarray([point[2] for point in points], dtype=np.bool_),
        None if box is None else np.asarray(box, dtype=np.float32),
        mask_logits,
    )


LONE_POINT = prompts([(70.5, 120.25, True)])
CASES = {
    "lone point": LONE_POINT,
    "points": prompts([(70, 120, True), (200, 30, True), (10, 10, False)]),
    "box": prompts([], (40, 50, 180, 160)),
    "box and points": prompts([(100, 100, True), (60, 60, False)], (40, 50, 180, 160)),
    "corners": prompts([(0, 0, True), (WIDTH, HEIGHT, True)]),
}


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
def pixels() -> NDArray[np.uint8]:
    return draw_scene(np.random.default_rng(5), (WIDTH, HEIGHT), "textured").image


@pytest.fixture(scope="module", params=MODELS)
def pair(request: pytest.FixtureRequest, operators: None, pixels: NDArray[np.uint8]) -> Iterator[Pair]:
    """One structure at a time: `large` alone takes 3 GB while it encodes."""
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    torch.manual_seed(1)
    catalog = load_catalog()
    spec = catalog.models[request.param]
    config = spec.config_file()
    assert config is not None
    checkpoint = spec.checkpoint(Path("unused")) if spec.shipped else None
    segmenter = torch_engine.build(config, checkpoint, torch.device("cpu"), None)
    embedding = segmenter.encode(pixels)
    if checkpoint is None:
        _spread(segmenter, embedding)
    predictor = SAM2ImagePredictor(segmenter._model)
    # The predictor knows the map sizes of 1024-pixel inputs only.
    quarter = segmenter._model.image_size // 4
    predictor._bb_feat_sizes = [(side, side) for side in (quarter, quarter // 2, quarter // 4)]
    predictor.set_image(pixels)
    yield Pair(segmenter, embedding, predictor)
    predictor.reset_predictor()
    del segmenter, embedding, predictor
    gc.collect()


def _spread(segmenter: TorchSegmenter, embedding: Embedding) -> None:
    """Random weights give logits near 0, where an absolute tolerance says nothing: enlarge them to `SPREAD`.

    The logits are linear in the last layer of the networks that make the mask head.
    """
    factor = SPREAD / float(segmenter.decode(embedding, LONE_POINT).logits.std())
    with torch.no_grad():
        for network in segmenter._model.sam_mask_decoder.output_hypernetworks_mlps:
            for parameter in network.layers[-1].parameters():
                parameter.mul_(factor)


@pytest.mark.parametrize("name", sorted(CASES))
def test_same_logits_scores_and_masks(pair: Pair, name: str) -> None:
    logits = pair.check(CASES[name], CASES[name]).logits
    assert logits.std() > 1  # the tolerance means something


@pytest.fixture(scope="module")
def before(pair: Pair) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Our answer to one point and the predictor's, ``(h, w)`` logits each, as the next prompt's mask."""
    _, iou, low = pair.stock(LONE_POINT)
    return masks.best(pair.ours(LONE_POINT))[0], low[int(np.argmax(iou))]


@pytest.mark.parametrize("name", sorted(CASES))
def test_same_with_the_answer_so_far_as_mask(
    pair: Pair, before: tuple[NDArray[np.float32], NDArray[np.float32]], name: str
) -> None:
    """As in refinement: each side's own answer goes into its next prompt.

    The predictor limits the logits that it hands out, we those that we take; the answers must not differ.
    """
    ours, stock = (replace(CASES[name], mask_logits=mask) for mask in before)
    pair.check(ours, stock)


def test_a_mask_changes_the_answer(pair: Pair, before: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
    with_mask, without = (pair.ours(replace(CASES["box"], mask_logits=mask)).logits for mask in (before[0], None))
    assert np.abs(with_mask - without).max() > 0.01


@pytest.mark.parametrize("size_wh", [(WIDTH, HEIGHT), (2100, 1300), (97, 1500), (1, 1)])
def test_same_picture_for_the_model(pair: Pair, size_wh: tuple[int, int]) -> None:
    shape = (size_wh[1], size_wh[0], 3)
    noise = np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8)
    with torch.no_grad():
        stock = pair.predictor._transforms(noise)[None]
    torch.testing.assert_close(pair.segmenter._preprocess(noise), stock, atol=1e-5, rtol=1e-5)
