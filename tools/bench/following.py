"""Masks through a sequence: seconds of the processor a frame, beside `SAM2VideoPredictor`, in one run.

`python -m tools.bench.following [--model tiny] [--frames 6] [--objects 1 2]`: both have the same random weights and
frames, the embeddings that clicks and the pre-warm leave are at hand, and the masks must be the same. Processor time,
since a machine that others use too gives no other figure twice. Prints JSON; exit code 1: the masks differ.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from numpy.typing import NDArray

from backend.engines import torch_engine
from backend.engines.torch_engine import TorchSegmenter
from backend.segmenter import Embedding
from backend.weights.catalog import load_catalog
from masks.measure import intersection_over_union

WIDTH, HEIGHT = 160, 120
RADIUS = 18
SAME = 0.99  # mean IoU
Mask = NDArray[np.bool_]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.following", description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--frames", type=int, default=6, help="after the first one")
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args(arguments)
    config = load_catalog().models[options.model].config_file()
    if config is None:
        parser.error(f"{options.model} has no configuration")
    torch.manual_seed(4)
    segmenter = torch_engine.build(config, None, torch.device("cpu"), None)
    with torch.no_grad():  # as they begin, weights say that no object is there
        segmenter._model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(1.0)
    pictures = [picture(number) for number in range(options.frames + 1)]
    began = time.process_time()
    embeddings = [segmenter.encode(one) for one in pictures]
    encoder = (time.process_time() - began) / len(pictures)
    rows = [run(segmenter, config, pictures, embeddings, count) for count in options.objects]
    found = {"model": options.model, "frames": options.frames, "encoder_s": round(encoder, 2), "runs": rows}
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0 if all(one["mean_iou"] >= SAME for one in rows) else 1


def run(
    segmenter: TorchSegmenter, config: Path, pictures: list[NDArray[np.uint8]], embeddings: list[Embedding], count: int
) -> dict[str, Any]:
    """Both ways for some objects."""
    things = [f"object {number}" for number in range(count)]
    predictor = stock(segmenter, config)
    inputs = [segmenter._preprocess(one)[0] for one in pictures]
    with patch("sam2.sam2_video_predictor.load_video_frames", lambda **_: (torch.stack(inputs), HEIGHT, WIDTH)):
        state = predictor.init_state("frames")
    for number, thing in enumerate(things):
        predictor.add_new_mask(state, 0, thing, disc(number, 0))
    passed, theirs = predictor.propagate_in_video(state, start_frame_idx=0), dict[tuple[str, int], Mask]()
    next(passed)  # the first frame, whose masks are given
    began = time.process_time()
    for frame, named, logits in passed:
        theirs |= {(thing, frame): (logits[at, 0] > 0).numpy() for at, thing in enumerate(named)}
    stock_s = (time.process_time() - began) / (len(pictures) - 1)
    tracker, ours = segmenter.track(len(pictures)), dict[tuple[str, int], Mask]()
    for number, thing in enumerate(things):
        tracker.anchor(thing, 0, embeddings[0], disc(number, 0))
    began = time.process_time()
    for frame in range(1, len(pictures)):
        for thing in things:
            logits = torch.from_numpy(tracker.step(thing, frame, embeddings[frame]).logits)[None, None]
            full = torch.nn.functional.interpolate(logits, (HEIGHT, WIDTH), mode="bilinear", align_corners=False)
            ours[thing, frame] = (full[0, 0] > 0).numpy()
    ours_s = (time.process_time() - began) / (len(pictures) - 1)
    overlaps = [intersection_over_union(ours[key], theirs[key]) for key in theirs]
    return {
        "objects": count,
        "stock_s_a_frame": round(stock_s, 2),
        "ours_s_a_frame": round(ours_s, 2),
        "times_as_fast": round(stock_s / ours_s, 2),
        "mean_iou": round(float(np.mean(overlaps)), 4),
    }


def stock(segmenter: TorchSegmenter, config: Path) -> Any:
    """The package's predictor, with the segmenter's weights; its filling of holes needs an extension for CUDA."""
    from sam2.build_sam import build_sam2_video_predictor

    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=str(config.resolve().parent), version_base="1.2"):
        predictor = build_sam2_video_predictor(config.name, device="cpu")
    predictor.load_state_dict(segmenter._model.state_dict())
    predictor.fill_hole_area = 0
    return predictor


def disc(number: int, frame: int) -> Mask:
    """``(H, W)`` bool, where an object is."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    x, y = 30 + 4 * frame, 25 + 40 * number
    return np.asarray((columns - x) ** 2 + (rows - y) ** 2 < RADIUS**2)


def picture(frame: int) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8 RGB: discs of one colour that go right, on patches."""
    patches = np.random.default_rng(3).integers(60, 200, (6, 8, 3), dtype=np.uint8)
    drawn = np.repeat(np.repeat(patches, HEIGHT // 6, axis=0), WIDTH // 8, axis=1)
    for number in range(2):
        drawn[disc(number, frame)] = (230, 40, 40)
    return drawn


if __name__ == "__main__":
    sys.exit(main())
