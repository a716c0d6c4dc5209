"""The stock path of a click, as Label Studio's own SAM2 example computes it.

`SAM2ImagePredictor.set_image` for every click, `predict` with three candidates enlarged to the image, then the SDK's
`mask2rle`; float32, because its autocast is entered in a thread that serves no request (on an Ampere GPU or later:
TF32, which it switches on). Reading the image is left out, to its advantage. The model: SAM2_CHECKPOINT, SAM2_CONFIG
and SAM2_DEVICE of the environment.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from numpy.typing import NDArray
from sam2.build_sam import build_sam2

from tools.bench.pictures import Point, read_rgb

# What torchvision's import asks for and nothing here calls.
OPERATORS = ("nms", "qnms")
AMPERE = (8, 0)


class Stock:
    """For `tools.bench.worker`; points are x, y in pixels of the image."""

    def __init__(self) -> None:
        self._library = _declare_operators()  # declared for as long as it is held
        self._mask2rle = _mask2rle()
        from sam2.sam2_image_predictor import SAM2ImagePredictor

        device, config = os.environ["SAM2_DEVICE"], Path(os.environ["SAM2_CONFIG"])
        if device == "cuda" and torch.cuda.get_device_capability() >= AMPERE:
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        GlobalHydra.instance().clear()
        with initialize_config_dir(config_dir=str(config.resolve().parent), version_base="1.2"):
            model = build_sam2(config.name, os.environ["SAM2_CHECKPOINT"], device=device)
        self._predictor: Any = SAM2ImagePredictor(model)
        # The predictor has the sizes of a 1024-pixel input written in; the demo model's is smaller.
        self._predictor._bb_feat_sizes = [(model.image_size // part,) * 2 for part in (4, 8, 16)]

    def click(self, path: Path, point: Point) -> dict[str, float]:
        """One whole click: milliseconds of each stage."""
        pixels = read_rgb(path)
        began = time.perf_counter()
        self._predictor.set_image(pixels)
        encoded = time.perf_counter()
        masks, scores, _ = self._predict(point)
        predicted = time.perf_counter()
        best = masks[int(np.argmax(scores))].astype(np.uint8)
        self._mask2rle(best * 255)
        seconds = {"set_image": encoded - began, "predict": predicted - encoded, "rle": time.perf_counter() - predicted}
        return {name: value * 1000 for name, value in seconds.items()}

    def masks(self, path: Path, points: Sequence[Point]) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """The candidates of each prompt: ``(C, h, w)`` logits and ``(C,)`` predicted IoU."""
        self._predictor.set_image(read_rgb(path))
        return [(low, scores) for _, scores, low in map(self._predict, points)]

    def _predict(self, point: Point) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]:
        xy, positive = np.asarray([point], dtype=np.float32), np.asarray([1], dtype=np.int32)
        masks, scores, low = self._predictor.predict(point_coords=xy, point_labels=positive, multimask_output=True)
        return masks, scores, low


def _mask2rle() -> Callable[[NDArray[np.uint8]], list[int]]:
    """The SDK's, out of its file: its package imports a hundred others, which a bare machine lacks."""
    package = find_spec("label_studio_sdk")
    folders = (package.submodule_search_locations if package else None) or ()
    for folder in folders:
        spec = spec_from_file_location("sdk_brush", Path(folder) / "converter" / "brush.py")
        if spec is not None and spec.loader is not None:
            module = module_from_spec(spec)
            spec.loader.exec_module(module)
            found: Callable[[NDArray[np.uint8]], list[int]] = module.mask2rle
            return found
    raise SystemExit("label-studio-sdk is missing: ./inv bench installs it")


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
