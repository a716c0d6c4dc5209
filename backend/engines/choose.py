"""Which engine serves, and the segmenter that it makes."""

from __future__ import annotations

import logging
import time
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from backend.device import DeviceChoice
from backend.engines import openvino_export, self_check, torch_engine
from backend.engines.cuda_graphs import capture_on
from backend.engines.openvino_engine import OpenVinoSegmenter
from backend.engines.openvino_store import ConvertedModel
from backend.engines.torch_engine import TorchSegmenter
from backend.engines.torch_model import build_model, pick_autocast, pick_device
from backend.errors import ModelError, OutOfMemory
from backend.weights.catalog import ModelFiles

logger = logging.getLogger(__name__)
EngineChoice = Literal["auto", "torch", "openvino"]
CPU = torch.device("cpu")
IN_BFLOAT16 = "openvino-bfloat16"


def load_segmenter(
    files: ModelFiles, device: DeviceChoice, engine: EngineChoice, folder: Path | None
) -> TorchSegmenter | OpenVinoSegmenter:
    """Build the model in the engine that fits the hardware: torch on CUDA, OpenVINO on the CPU.

    `auto` takes OpenVINO only when its masks are those of torch, and says in `engine_note` why it did not.

    Args:
        files: the model; its weights are verified already.
        device: as SAM2_DEVICE says.
        engine: as SAM2_ENGINE says.
        folder: where converted models are kept; None converts at every start.

    Raises:
        ModelError: the files cannot be used, the device is not there, or the chosen engine does not work.
    """
    if engine == "openvino" and device == "cuda":
        raise ModelError(
            "SAM2_ENGINE=openvino computes on the CPU, but SAM2_DEVICE=cuda; set SAM2_ENGINE=torch, or SAM2_DEVICE=cpu"
        )
    place = CPU if engine == "openvino" else pick_device(device)
    if engine == "torch" or place.type == "cuda":
        return _torch(files, place)
    try:
        return _openvino(files, folder)
    except ModelError as error:
        if engine == "openvino":
            raise
        logger.warning("SAM2_ENGINE=auto: torch serves instead of OpenVINO: %s", error)
        note = f"torch instead of OpenVINO: {error}"
        return _torch(files, place, note)


def _torch(files: ModelFiles, place: torch.device, note: str = "") -> TorchSegmenter:
    segmenter = torch_engine.build(files.config, files.checkpoint, place, pick_autocast(place), note)
    if place.type == "cuda":
        try:
            segmenter.record_graphs(capture_on(place))
        except OutOfMemory as error:
            # Recorded graphs are speed only.
            segmenter.free_memory()
            segmenter.engine_note = f"without recorded CUDA graphs: {error}"
            logger.warning("%s", segmenter.engine_note)
    return segmenter


def _openvino(files: ModelFiles, folder: Path | None) -> OpenVinoSegmenter:
    """Convert, or read what was converted before, and compare with torch once for each conversion."""
    kept = None if folder is None else ConvertedModel(folder, files.sha256, files.config)
    graphs = None if kept is None else kept.load()
    model: Any = None
    if graphs is None:
        started = time.monotonic()
        logger.info("converting %s for OpenVINO: once for each checkpoint, up to minutes", files.name)
        model = build_model(files.config, files.checkpoint, CPU)
        graphs = openvino_export.convert(model)
        logger.info("%s converted after %.1f s", files.name, time.monotonic() - started)
        if kept is not None:
            kept.save(graphs)
    build = partial(build_model, files.config, files.checkpoint, CPU)
    segmenter, agreement = _checked(OpenVinoSegmenter(graphs, build_model=build), kept, files, model)
    if agreement < self_check.MIN_MEAN_IOU and segmenter.engine == IN_BFLOAT16:
        # This processor's short numbers round the masks of this model too much: the same graphs in full precision.
        logger.info("%s agrees by %.4f only; trying float32", segmenter.engine, agreement)
        segmenter, agreement = _checked(
            OpenVinoSegmenter(graphs, bfloat16=False, build_model=build), kept, files, model
        )
    if agreement < self_check.MIN_MEAN_IOU:
        raise ModelError(
            f"the masks of {segmenter.engine} agree with torch's by a mean IoU of {agreement:.4f} only, "
            f"{self_check.MIN_MEAN_IOU} is needed; set SAM2_ENGINE=torch"
        )
    return segmenter


def _checked(
    segmenter: OpenVinoSegmenter, kept: ConvertedModel | None, files: ModelFiles, model: Any
) -> tuple[OpenVinoSegmenter, float]:
    """Compare with torch, or read how it compared before. `model` may be None: it is built where it is needed."""
    agreement = None if kept is None else kept.agreement(segmenter.engine)
    if agreement is None:
        model = model or build_model(files.config, files.checkpoint, CPU)
        agreement = self_check.mean_iou(TorchSegmenter(model, None), segmenter)
        logger.info("self-check of %s: mean mask IoU %.4f against torch", segmenter.engine, agreement)
        if kept is not None:
            kept.remember(segmenter.engine, agreement)
    return segmenter, agreement
