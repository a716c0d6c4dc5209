"""The part `engines`: masks of each way to compute against float32 on the CPU."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from backend.engines import self_check
from backend.engines.cuda_graphs import Capture, capture_on
from backend.engines.torch_engine import TorchSegmenter
from backend.engines.torch_model import build_model
from backend.segmenter import Candidates, Embedding, Image, Prompts
from backend.weights.catalog import load_catalog
from tools.bench.weights import make
from tools.gpu_check.outcome import Kept
from tools.gpu_check.run import REPOSITORY

CPU = torch.device("cpu")
# Random weights are told apart by how their masks look: one disc, or thousands of specks around the zero of the logits,
# which show every rounding; for these only float32 is held to the limit.
CASES = (
    ("demo", "trained"), ("tiny", "clean"), ("tiny", "ragged"), ("large", "clean"), ("large", "ragged"),
)  # fmt: skip
DRY_CASES = (("demo", "trained"),)
TESTS, TESTS_SHARE = "tests/integration/backend/test_cuda_engine.py", 0.5  # of the part's seconds
WAYS = ("float32", "bfloat16", "bfloat16, recorded", "bfloat16, recorded, batches")


class EncodedOnce:
    """The reference, which encodes the one picture of the comparison once."""

    def __init__(self, segmenter: TorchSegmenter) -> None:
        self._segmenter = segmenter
        self._known: dict[bytes, Embedding] = {}

    def encode(self, pixels: NDArray[np.uint8]) -> Embedding:
        """As the segmenter does."""
        key = pixels.tobytes()
        if key not in self._known:
            self._known[key] = self._segmenter.encode(pixels)
        return self._known[key]

    def decode(self, embedding: Embedding, prompts: Prompts) -> Candidates:
        """As the segmenter does."""
        return self._segmenter.decode(embedding, prompts)


class InBatches:
    """Asks for everything in a batch: the picture between others, the prompts between those of another picture."""

    def __init__(self, segmenter: TorchSegmenter) -> None:
        self._segmenter = segmenter
        self._other: Embedding | None = None

    def encode(self, pixels: NDArray[np.uint8]) -> Embedding:
        """The second of three."""
        batch: list[Image] = [pixels[::-1].copy(), pixels, pixels[:, ::-1].copy()]
        self._other, found, _ = self._segmenter.encode_batch(batch)
        return found

    def decode(self, embedding: Embedding, prompts: Prompts) -> Candidates:
        """The third of four."""
        other = self._other or embedding
        asked = [(other, prompts), (other, prompts), (embedding, prompts), (other, prompts)]
        return self._segmenter.decode_batch(asked)[2]


def check(kept: Kept, dry_run: bool) -> None:
    """The tests marked `gpu`, then every model and kind of weights, every way to compute."""
    if dry_run:
        kept.skip("tiny and large, and CUDA's own graphs: a dry run compares the demo model on the CPU with itself")
    run_tests(kept, dry_run)
    for name, weights in DRY_CASES if dry_run else CASES:
        try:
            compare(kept, name, weights, CPU if dry_run else torch.device("cuda:0"))
        except Exception as error:  # noqa: BLE001 - the other models are still to be compared
            kept.row(f"{name}, {weights} weights", f"failed: {type(error).__name__}: {error}", "computes", False)
        if not dry_run:
            torch.cuda.empty_cache()


def compare(kept: Kept, name: str, weights: str, device: torch.device) -> None:
    """One row for each of `WAYS`: the masks on the device against those of float32 on the CPU."""
    model = _model(name, weights)
    reference: Any = EncodedOnce(TorchSegmenter(model, None))
    for way, segmenter in segmenters(model, device, runs_again if device == CPU else capture_on(device)):
        overlap = self_check.mean_iou(reference, segmenter)
        held = way == "float32" or weights != "ragged"
        kept.row(
            f"{name}, {weights} weights, {way}", f"mean IoU {overlap:.4f}",
            f">= {self_check.MIN_MEAN_IOU}" if held else "", overlap >= self_check.MIN_MEAN_IOU if held else None,
        )  # fmt: skip


def run_tests(kept: Kept, dry_run: bool) -> None:
    """What every engine must hold, by pytest; a machine without CUDA only collects it."""
    if find_spec("pytest") is None:
        kept.skip("the tests marked gpu: pytest is missing")
        return
    # The machine's own versions of libraries may warn of what ours do not.
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default", "-m", "gpu", TESTS)
    seconds = TESTS_SHARE * kept.budget_seconds
    try:
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as late:
        sys.stdout.buffer.write(late.stdout or b"")
        kept.row("tests marked gpu", f"ended after {seconds:.0f} s", "pass", False)
        return
    last = next(iter(done.stdout.strip().splitlines()[-1:]), done.stderr[-300:])
    sys.stdout.write(done.stdout + done.stderr)
    kept.row("tests marked gpu", last, "pass", done.returncode == 0)
    if dry_run:
        kept.skip("the tests marked gpu, but for their collection: there is no CUDA device")


def segmenters(reference: Any, device: torch.device, capture: Capture) -> Iterator[tuple[str, Any]]:
    """The ways to compute, by the names in `WAYS`, on copies of a model on the CPU."""
    model = copy.deepcopy(reference).to(device)
    yield WAYS[0], TorchSegmenter(model, None)
    segmenter = TorchSegmenter(model, torch.bfloat16)
    yield WAYS[1], segmenter
    segmenter.record_graphs(capture)
    yield WAYS[2], segmenter
    yield WAYS[3], InBatches(segmenter)


def runs_again(
    run: Callable[[], tuple[torch.Tensor, ...]],
) -> tuple[Callable[[], None], tuple[torch.Tensor, ...]]:
    """What a CPU has instead of a recorded graph: each replay runs the function again, into the same memory."""
    outputs = run()

    def replay() -> None:
        for kept, new in zip(outputs, run(), strict=True):
            kept.copy_(new)

    return replay, outputs


def _model(name: str, weights: str) -> Any:
    entry = load_catalog().models[name]
    config = entry.config_file()
    if config is None:
        raise FileNotFoundError(f"the configuration of {name} is missing: carry the sam2 package")
    if weights == "trained":
        return build_model(config, entry.checkpoint(Path()), CPU)
    model = build_model(config, None, CPU)
    model.load_state_dict(make(config, clean=weights == "clean"))
    return model
