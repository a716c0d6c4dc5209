"""The demo model as an annotator meets it: one picture, prompts in its pixels, masks at its size.

The same answers as ``SAM2ImagePredictor`` gives, without torchvision and for several prompts at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import OmegaConf
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from demo import model as demo_model

Mask = NDArray[np.bool_]

# what sam2.build_sam.build_sam2 adds to every configuration for use
POSTPROCESSING = {
    "dynamic_multimask_via_stability": True,
    "dynamic_multimask_stability_delta": 0.05,
    "dynamic_multimask_stability_thresh": 0.98,
}


def load_model() -> SAM2Base:
    """The shipped model, built as ``build_sam2`` builds it, ready for use."""
    settings = OmegaConf.load(demo_model.CONFIG)
    settings.model.sam_mask_decoder_extra_args = POSTPROCESSING
    return demo_model.load_weights(instantiate(settings.model, _recursive_=True))


@dataclass(frozen=True)
class Answer:
    """Masks for ``N`` prompts.

    Attributes:
        masks: ``(N, H, W)`` bool.
        logits: ``(N, R/4, R/4)`` float32, the low-resolution logits behind them: the next prompt's
            ``mask_logits``.
        quality: ``(N,)`` float32, the model's own estimate of the IoU.
    """

    masks: Mask
    logits: Tensor
    quality: Tensor


class Picture:
    """An image that was encoded once and answers many prompts."""

    def __init__(self, model: SAM2Base, image: NDArray[np.uint8]) -> None:
        """Encode ``image``, ``(H, W, 3)`` uint8 RGB."""
        self.model = model
        self.size_wh = (image.shape[1], image.shape[0])
        with torch.inference_mode():
            self.features = demo_model.encode(model, demo_model.normalised(image[None], model.image_size))

    @torch.inference_mode()
    def predict(
        self,
        points: NDArray[np.float64],
        labels: NDArray[np.int64],
        mask_logits: Tensor | None = None,
        *,
        candidates: bool,
    ) -> Answer:
        """Masks for ``N`` prompts of the same form.

        Args:
            points: ``(N, K, 2)``, columns ``x, y`` in pixels of the picture; a box is two points; ``K`` may
                be 0.
            labels: ``(N, K)``: 1 positive, 0 negative, 2 and 3 the corners of a box.
            mask_logits: ``(N, R/4, R/4)`` logits of an earlier answer or of a brush stroke.
            candidates: take the best of three candidates by the model's own estimate
                (``multimask_output=True``), else the single-mask output.
        """
        model, count = self.model, len(points)
        scaled = torch.as_tensor(points, dtype=torch.float32) / torch.tensor(self.size_wh) * model.image_size
        prompt = (scaled, torch.as_tensor(labels, dtype=torch.int32)) if points.shape[1] else None
        dense = (
            None if mask_logits is None else mask_logits[:, None].clamp(-demo_model.LOGIT_LIMIT, demo_model.LOGIT_LIMIT)
        )
        sparse_embedding, dense_embedding = model.sam_prompt_encoder(points=prompt, boxes=None, masks=dense)
        rows = self.features.repeated(count)
        logits, quality, _, _ = model.sam_mask_decoder(
            image_embeddings=rows.image_embed,
            image_pe=model.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse_embedding,
            dense_prompt_embeddings=dense_embedding.expand(count, -1, -1, -1),
            multimask_output=candidates,
            repeat_image=False,
            high_res_features=list(rows.high_res),
        )
        best = quality.argmax(1)
        chosen = logits[torch.arange(count), best]
        large = torch.nn.functional.interpolate(
            chosen[:, None], (self.size_wh[1], self.size_wh[0]), mode="bilinear", align_corners=False
        )
        return Answer((large[:, 0] > 0).numpy(), chosen, quality[torch.arange(count), best])
