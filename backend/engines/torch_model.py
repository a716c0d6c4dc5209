"""Build a SAM 2 model with the package's own code, and choose where and how exactly it computes."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from sam2.build_sam import build_sam2

from backend.device import DeviceChoice
from backend.engines.memory_attention import narrow
from backend.errors import ModelError

# As `sam2.build_sam.build_sam2_video_predictor` has it: the memory of a given mask holds the mask itself. It changes
# nothing for single images.
OVERRIDES = ("++model.binarize_mask_from_pts_for_mem_enc=true",)


def pick_device(choice: DeviceChoice) -> torch.device:
    """`auto` takes CUDA where torch sees it.

    Raises:
        ModelError: `cuda` is set and torch sees none.
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


def build_model(config: Path, checkpoint: Path | None, device: torch.device) -> Any:
    """A `SAM2Base` (the package has no types) in evaluation mode, from any YAML file.

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
            weights = str(checkpoint) if checkpoint else None
            model = build_sam2(config.name, weights, device=str(device), hydra_overrides_extra=list(OVERRIDES))
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
    if device.type == "cpu":
        narrow(model)
    return model


def without_encoder(model: Any) -> Any:
    """A `SAM2Base` that only reads features, without the weights of its image encoder: most of what it holds."""
    model.image_encoder.trunk = None
    model.image_encoder.neck.convs = None
    return model


def feature_shapes(model: Any) -> tuple[tuple[int, ...], ...]:
    """Shapes of an image's features, ``(1, C, h, w)``, finest first; the last is the image embedding."""
    height, width = model.sam_prompt_encoder.image_embedding_size
    coarsest = (1, int(model.hidden_dim), int(height), int(width))
    if not model.use_high_res_features_in_sam:
        return (coarsest,)
    decoder = model.sam_mask_decoder
    return (
        (1, int(decoder.conv_s0.out_channels), 4 * height, 4 * width),
        (1, int(decoder.conv_s1.out_channels), 2 * height, 2 * width),
        coarsest,
    )


def image_features(model: Any, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What the decoder needs of ``(B, 3, S, S)`` images: `feature_shapes` with B in front.

    As `SAM2ImagePredictor.set_image`, without its detour over flattened maps; the projections of the fine maps
    (`conv_s0`, `conv_s1`) are applied here, once an image.
    """
    *details, coarsest = model.forward_image(batch)["backbone_fpn"][-model.num_feature_levels :]
    if model.directly_add_no_mem_embed:
        coarsest = coarsest + model.no_mem_embed.view(1, -1, 1, 1)
    return (*details, coarsest)


@contextmanager
def computing(device: torch.device, autocast_dtype: torch.dtype | None) -> Iterator[None]:
    """Inference mode and autocast. Both belong to the thread, so each call that computes enters them itself.

    Args:
        autocast_dtype: None computes in the weights' own precision.
    """
    # Without autocast's cache of weights: a cached one would lie in memory that a recorded graph reuses.
    cached = device.type != "cuda"
    with (
        torch.inference_mode(),
        torch.autocast(device.type, dtype=autocast_dtype, enabled=autocast_dtype is not None, cache_enabled=cached),
    ):
        yield
