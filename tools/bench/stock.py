"""A measuring process: the stock path of a click, as Label Studio's own SAM2 example computes it.

`SAM2ImagePredictor.set_image` for every click, `predict` with three candidates enlarged to the image, then the SDK's
`mask2rle`; float32, because its autocast is entered in a thread that serves no request (on an Ampere GPU or later:
TF32, which it switches on). Reading the image is left out, to its advantage. The model: SAM2_CHECKPOINT, SAM2_CONFIG
and SAM2_DEVICE of the environment.
"""

from __future__ import annotations

import os
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from label_studio_sdk.converter.brush import mask2rle
from numpy.typing import NDArray
from sam2.build_sam import build_sam2

from tools.bench import loop

# What torchvision's import asks for and nothing here calls.
OPERATORS = ("nms", "qnms")
AMPERE = (8, 0)


class Stock:
    """The predictor and its one image."""

    def __init__(self, config: Path, checkpoint: str, device: str) -> None:
        from sam2.sam2_image_predictor import SAM2ImagePredictor

        GlobalHydra.instance().clear()
        with initialize_config_dir(config_dir=str(config.resolve().parent), version_base="1.2"):
            model = build_sam2(config.name, checkpoint, device=device)
        self._predictor: Any = SAM2ImagePredictor(model)
        # The predictor has the sizes of a 1024-pixel input written in; the demo model's is smaller.
        self._predictor._bb_feat_sizes = [(model.image_size // part,) * 2 for part in (4, 8, 16)]

    def click(self, path: str, xy: loop.Point) -> loop.Answer:
        """One whole click: milliseconds of each stage."""
        pixels = loop.read_rgb(path)
        began = time.perf_counter()
        self._predictor.set_image(pixels)
        encoded = time.perf_counter()
        masks, scores, _ = self._predict(xy)
        predicted = time.perf_counter()
        best = masks[int(np.argmax(scores))].astype(np.uint8)
        rle = mask2rle(best * 255)  # type: ignore[no-untyped-call]
        done = time.perf_counter()
        return {
            "set_image": (encoded - began) * 1000,
            "predict": (predicted - encoded) * 1000,
            "rle": (done - predicted) * 1000,
            "total": (done - began) * 1000,
            "rle_bytes": len(rle),
        }

    def set(self, path: str) -> loop.Answer:
        """Encode the image that later prompts are about."""
        self._predictor.set_image(loop.read_rgb(path))
        return {}

    def masks(self, xy: list[loop.Point], out: str) -> loop.Answer:
        """Write the candidates of each prompt to a file."""
        answers = [self._predict(one) for one in xy]
        loop.save_candidates(out, [low for _, _, low in answers], [scores for _, scores, _ in answers])
        return {}

    def _predict(self, xy: loop.Point) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]:
        point = np.asarray([xy], dtype=np.float32)
        masks, scores, low = self._predictor.predict(
            point_coords=point, point_labels=np.asarray([1], dtype=np.int32), multimask_output=True
        )
        return masks, scores, low


def _declare_operators() -> Any:
    """Make torchvision importable where its compiled part does not fit this torch (built for CUDA, for the CPU)."""
    package = find_spec("torchvision")
    if package is None:
        raise SystemExit("torchvision is missing: ./inv bench installs it, without its dependencies")
    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    try:
        for folder in package.submodule_search_locations or ():
            torch.ops.load_library(Path(folder) / "_C.so")  # type: ignore[no-untyped-call]
    except OSError:
        for name in OPERATORS:
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def main() -> int:
    """Load, then answer requests until the input ends."""
    library = _declare_operators()
    device = os.environ["SAM2_DEVICE"]
    if device == "cuda" and torch.cuda.get_device_capability() >= AMPERE:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    stock = Stock(Path(os.environ["SAM2_CONFIG"]), os.environ["SAM2_CHECKPOINT"], device)
    about = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    if device == "cuda":
        about["gpu"] = torch.cuda.get_device_name()
    try:
        return loop.serve({"click": stock.click, "set": stock.set, "masks": stock.masks}, about)
    finally:
        library._destroy()


if __name__ == "__main__":
    sys.exit(main())
