"""SAM 2 as OpenVINO graphs: the encoder of images, of points and of masks, and the decoder.

Each graph is made from sam2's own modules, so the arithmetic is theirs, and each has fixed shapes but for the
number of points.
"""

from __future__ import annotations

import warnings
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import nn

from backend.engines.openvino_decoder import FewTokensGraph, both_answers
from backend.engines.openvino_encoder import ImageGraph
from backend.engines.openvino_runtime import load_openvino
from backend.engines.torch_model import feature_shapes
from backend.errors import ModelError

# Goes into the name of what is cached: a change of the graphs below needs a new one.
EXPORT_VERSION = 4
GRAPHS = ("image", "points", "mask", "few-tokens", "decoder")


class PointsGraph(nn.Module):
    """``(1, N, 2)`` coordinates and ``(1, N)`` labels to ``(1, N + 1, C)``, and ``(1, C, 1, 1)`` for "no mask"."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder = model.sam_prompt_encoder

    def forward(self, coordinates: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sparse, _ = self.encoder(points=(coordinates, labels), boxes=None, masks=None)
        return sparse, self.encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)


class MaskGraph(nn.Module):
    """``(1, 1, h, w)`` logits to ``(1, C, h / 4, w / 4)``."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.downscaling = model.sam_prompt_encoder.mask_downscaling

    def forward(self, mask: torch.Tensor) -> torch.Tensor:
        embedded: torch.Tensor = self.downscaling(mask)
        return embedded


class DecoderGraph(nn.Module):
    """`MaskDecoder.forward` (sam2/modeling/sam/mask_decoder.py) for one image and any prompts, with both its answers.

    Features are ``(1, h, w, C)``, finest first. Returns ``(1, 3, h, w)`` logits and ``(1, 3)`` scores for a lone point,
    then ``(1, 1, h, w)`` and ``(1, 1)`` for everything else.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.decoder = model.sam_mask_decoder
        self.register_buffer("positions", model.sam_prompt_encoder.get_dense_pe().detach().clone())

    def forward(self, sparse: torch.Tensor, dense: torch.Tensor, *features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        *details, image = (one.permute(0, 3, 1, 2) for one in features)
        logits, iou, _, _ = self.decoder.predict_masks(
            image_embeddings=image,
            image_pe=self.positions,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            repeat_image=False,
            high_res_features=details,
        )
        return both_answers(self.decoder, logits, iou)


class Traced(NamedTuple):
    """A graph to convert: the module, an example, and its input shapes (-1: any)."""

    module: nn.Module
    example: tuple[torch.Tensor, ...]
    shapes: list[list[int]]


def convert(model: Any) -> dict[str, Any]:
    """The graphs of a `SAM2Base` on the CPU, by the names in `GRAPHS`, as `openvino.Model`.

    Raises:
        ModelError: OpenVINO is missing, or does not know an operation of this model.
    """
    openvino = load_openvino()
    graphs = {}
    with torch.no_grad(), warnings.catch_warnings():
        # Tracing warns of shapes that become constants, which is what fixed shapes mean, and of its own age.
        warnings.simplefilter("ignore")
        for name, traced in _modules(model).items():
            try:
                graphs[name] = _converted(openvino, name, traced)
            except RuntimeError as error:  # also the base of OpenVINO's own
                reason = next(iter(str(error).splitlines()), type(error).__name__)
                raise ModelError(
                    f"OpenVINO cannot convert the {name} part of this model ({reason}); set SAM2_ENGINE=torch"
                ) from error
    return graphs


def _converted(openvino: ModuleType, name: str, traced: Traced) -> Any:
    module = traced.module.eval()
    if name == "image":
        # All shapes are fixed. The exported graph takes longer to convert, once, than a traced one; but every start
        # compiles it, which takes a tenth of the time (measured with the tiny encoder: 1.4 s against 19.6 s).
        graph = openvino.convert_model(torch.export.export(module, traced.example))
        graph.reshape(traced.shapes[0])
        return graph
    script = torch.jit.trace(module, traced.example, check_trace=False)  # type: ignore[no-untyped-call]
    return openvino.convert_model(script, example_input=traced.example, input=traced.shapes)


def _modules(model: Any) -> dict[str, Traced]:
    side = int(model.image_size)
    shapes = feature_shapes(model)
    channels = shapes[-1][1]
    mask_hw = [int(length) for length in model.sam_prompt_encoder.mask_input_size]
    last = [[1, height, width, count] for _, count, height, width in shapes]  # channels last
    prompted = (torch.zeros(1, 3, channels), torch.zeros(1, channels, 1, 1), *(torch.zeros(shape) for shape in last))
    any_prompts = [[1, -1, channels], [1, channels, -1, -1], *last]
    return {
        "image": Traced(ImageGraph(model), (torch.zeros(1, 3, side, side),), [[1, 3, side, side]]),
        "points": Traced(
            PointsGraph(model), (torch.ones(1, 2, 2), torch.ones(1, 2, dtype=torch.int32)), [[1, -1, 2], [1, -1]]
        ),
        "mask": Traced(MaskGraph(model), (torch.zeros(1, 1, *mask_hw),), [[1, 1, *mask_hw]]),
        "few-tokens": Traced(FewTokensGraph(model), prompted, any_prompts),
        "decoder": Traced(DecoderGraph(model), prompted, any_prompts),
    }
