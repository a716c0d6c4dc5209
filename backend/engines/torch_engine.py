"""SAM 2 in PyTorch, built on `sam2.build_sam` and the model's own parts.

`SAM2ImagePredictor` is not used: it needs torchvision, keeps the image as state between calls, and enlarges
every candidate. This does the same arithmetic without state; the tests compare the two.
"""

from __future__ import annotations

import pickle
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from numpy.typing import NDArray
from omegaconf.errors import OmegaConfBaseException
from sam2.build_sam import build_sam2
from torch.nn import functional

from backend.device import DeviceChoice
from backend.errors import ModelError
from backend.segmenter import Candidates, Embedding, Prompts

# The normalisation of SAM 2's training (sam2/utils/transforms.py), RGB in [0, 1].
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
# Labels of the prompt encoder (sam2/modeling/sam/prompt_encoder.py).
NEGATIVE, POSITIVE, BOX_TOP_LEFT, BOX_BOTTOM_RIGHT = 0, 1, 2, 3


class TorchSegmenter:
    """A SAM 2 model behind one lock."""

    def __init__(self, model: Any, autocast_dtype: torch.dtype | None) -> None:
        """
        Args:
            model: a `SAM2Base` (the package has no types) in evaluation mode, on its device.
            autocast_dtype: None computes in the weights' own precision.
        """
        self._model = model
        self._device: torch.device = next(model.parameters()).device
        self._autocast_dtype = autocast_dtype
        self._lock = threading.Lock()
        self._mean = torch.tensor(MEAN, device=self._device).view(1, 3, 1, 1)
        self._std = torch.tensor(STD, device=self._device).view(1, 3, 1, 1)

    @property
    def device(self) -> str:
        """Where it runs: `cpu`, `cuda:0`."""
        return str(self._device)

    def encode(self, pixels: NDArray[np.uint8]) -> Embedding:
        """Encode an image.

        Args:
            pixels: ``(H, W, 3)`` uint8, RGB, upright.
        """
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise ValueError(f"pixels: expected (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}")
        height, width = pixels.shape[:2]
        model = self._model
        with self._lock, ExitStack() as stack:
            self._enter_modes(stack)
            backbone_out = model.forward_image(self._preprocess(pixels))
            _, flat, _, sizes_hw = model._prepare_backbone_features(backbone_out)
            if model.directly_add_no_mem_embed:
                flat[-1] = flat[-1] + model.no_mem_embed
            # (HW, 1, C) back to (1, C, H, W); the last level is the image embedding, the others add detail.
            levels = tuple(level.permute(1, 2, 0).view(1, -1, *hw) for level, hw in zip(flat, sizes_hw, strict=True))
        return Embedding((width, height), levels)

    def decode(self, embedding: Embedding, prompts: Prompts) -> Candidates:
        """Answer the prompts: three candidates for a lone point, else one.

        Raises:
            ValueError: the prompts name no object.
        """
        if not prompts.names_an_object:
            raise ValueError("prompts: expected a box or a positive point, got none")
        model = self._model
        with self._lock, ExitStack() as stack:
            self._enter_modes(stack)
            sparse, dense = model.sam_prompt_encoder(
                points=self._encoder_points(embedding.size_wh, prompts), boxes=None, masks=None
            )
            *details, image = embedding.features
            logits, iou, _, _ = model.sam_mask_decoder(
                image_embeddings=image,
                image_pe=model.sam_prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=prompts.is_lone_point,
                repeat_image=False,
                high_res_features=details,
            )
            return Candidates(logits[0].float().cpu().numpy(), iou[0].float().cpu().numpy())

    def _enter_modes(self, stack: ExitStack) -> None:
        """Both modes belong to the thread, so each call enters them itself."""
        stack.enter_context(torch.inference_mode())
        if self._autocast_dtype is not None:
            stack.enter_context(torch.autocast(self._device.type, dtype=self._autocast_dtype))

    def _preprocess(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """To ``(1, 3, S, S)`` float32, as `SAM2Transforms` does: the aspect ratio is not kept."""
        side: int = self._model.image_size
        batch = torch.from_numpy(np.require(pixels, requirements=("C", "W"))).to(self._device)
        batch = functional.interpolate(
            batch.permute(2, 0, 1)[None].float().div_(255),
            (side, side),
            mode="bilinear",
            antialias=True,
            align_corners=False,
        )
        return (batch - self._mean) / self._std

    def _encoder_points(self, size_wh: tuple[int, int], prompts: Prompts) -> tuple[torch.Tensor, torch.Tensor]:
        """``(1, N, 2)`` coordinates in the model's input, ``(1, N)`` labels; a box is two points, first."""
        coordinates = prompts.points_xy
        labels = np.where(prompts.is_positive, POSITIVE, NEGATIVE)
        if prompts.box_xyxy is not None:
            coordinates = np.concatenate([prompts.box_xyxy.reshape(2, 2), coordinates])
            labels = np.concatenate([[BOX_TOP_LEFT, BOX_BOTTOM_RIGHT], labels])
        scaled = coordinates / np.asarray(size_wh, dtype=np.float32) * self._model.image_size
        return (
            torch.as_tensor(scaled[None], dtype=torch.float32, device=self._device),
            torch.as_tensor(labels[None], dtype=torch.int32, device=self._device),
        )


def pick_device(choice: DeviceChoice) -> torch.device:
    """`auto` takes CUDA where torch sees it.

    Raises:
        ModelError: `cuda` was asked for and torch sees none.
    """
    if choice == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if choice == "cuda" and not torch.cuda.is_available():
        raise ModelError(
            f"SAM2_DEVICE=cuda, but torch {torch.__version__} sees no CUDA device; "
            "give the container a GPU, or set SAM2_DEVICE=cpu"
        )
    return torch.device(choice)


def pick_autocast(device: torch.device) -> torch.dtype | None:
    """bfloat16 where the hardware computes in it, else None (full precision): emulation would be slower."""
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has = torch.cpu.get_capabilities()
        fast = bool(has.get("avx512_bf16") or has.get("amx_bf16"))
    return torch.bfloat16 if fast else None


def build(
    config: Path, checkpoint: Path | None, device: torch.device, autocast_dtype: torch.dtype | None
) -> TorchSegmenter:
    """Build the model with the package's own `build_sam2`, from any YAML file.

    Args:
        config: a YAML of the sam2 package or one of ours.
        checkpoint: None leaves the weights random (tests).

    Raises:
        ModelError: the YAML or the weights cannot be used.
    """
    # Hydra looks primary configurations up in one place per process: point it at the YAML's folder.
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(config_dir=str(config.resolve().parent), version_base="1.2"):
            model = build_sam2(config.name, str(checkpoint) if checkpoint else None, device=str(device))
    except (
        OSError, RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError,
        HydraException, OmegaConfBaseException,
    ) as error:  # fmt: skip
        # sam2 raises a bare RuntimeError, and logs the names, when weights and YAML do not fit.
        reason = next(iter(str(error).splitlines()), "the weights do not fit")
        raise ModelError(
            f"the model {config.name} with the weights {checkpoint} cannot be built ({type(error).__name__}: "
            f"{reason}); use the YAML that belongs to the weights"
        ) from error
    return TorchSegmenter(model, autocast_dtype)
