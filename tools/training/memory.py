"""Train the demo model's memory on drawn moving scenes, on top of weights that segment single images.

    python -m tools.training.memory --work DIR [--steps 4000] [--further] [--processes 2]  # goes on where it stopped

Only what single images do not use is trained: memory encoder, memory attention, pointers, and the head that says
whether an object is there. All else is frozen, to the bit, so single images cannot get worse. Everything random comes
from the seed, the step and the number of the process; each process has scenes of its own.

A step is some objects through some frames: the first frame's truth is the anchor, as when a person gives it, and what
the model itself says of each frame, "gone" included (or, some of the time, the truth), is what is remembered of it, as
in `SAM2Base._track_step`.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sam2.modeling.sam2_base import NO_OBJ_SCORE, SAM2Base
from torch import Tensor
from torch.nn import functional

from demo import model as demo_model
from tools.training.clips import SIZE, Clip, drawn_clip
from tools.training.losses import mask_loss
from tools.training.team import Team, run_team

log = logging.getLogger("tools.training.memory")
# Parts of the state's names; nothing of a single image's way through the model is among them.
TRAINED = (
    "memory_attention.", "memory_encoder.", "maskmem_tpos_enc", "no_obj_ptr", "no_obj_embed_spatial", "obj_ptr_proj.",
    "obj_ptr_tpos_proj.", "mask_downsample.", "sam_mask_decoder.pred_obj_score_head.",
)  # fmt: skip
TRUTH_SHARE = 0.25  # of what is remembered that is the truth instead of the answer
SEQUENCE = 30  # frames, as long as those that are followed: SAM 2 counts a pointer's age in shares of 15 frames or less
RATE, WARM = 4e-4, 100
PRESENCE_WEIGHT = 1.0
ABSENT_WEIGHT = 2.0  # of a frame without the object, beside one with it
GRADIENT_LIMIT = 1.0
SAVE_EVERY, KEEP_EVERY = 25, 250
BEGIN_PRESENT = 2.0  # the presence head's first answer: objects are there


def main(argv: list[str] | None = None) -> int:
    """Train; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.training.memory", description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--steps", type=int, default=4000, help="over which the learning rate falls")
    parser.add_argument("--rate", type=float, default=RATE, help="the highest learning rate")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--weights", type=Path, default=demo_model.WEIGHTS, help="what to begin with")
    parser.add_argument("--further", action="store_true", help="train the memory of these weights on, not a new one")
    parser.add_argument("--out", type=Path, help="where the half-precision weights go at the end")
    parser.add_argument("--processes", type=int, default=2, help="one core each")
    options = parser.parse_args(argv)
    options.work.mkdir(parents=True, exist_ok=True)
    return run_team(partial(_work, options), options.processes)


def _work(options: argparse.Namespace, rank: int, meeting: Path | None) -> None:
    level = logging.INFO if rank == 0 else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", stream=sys.stderr)
    torch.set_num_threads(1)
    team = Team(rank, options.processes, meeting)
    checkpoint = options.work / "memory.pt"
    model = trained(
        options.weights, checkpoint, options.steps, options.seed, options.rate, further=options.further, team=team
    )
    if rank == 0 and options.out is not None:
        demo_model.save_weights(model, options.out)
    team.leave()


def trained(
    weights: Path,
    checkpoint: Path,
    steps: int,
    seed: int,
    rate: float = RATE,
    *,
    further: bool = False,
    team: Team | None = None,
) -> SAM2Base:
    """Train up to so many steps, from the checkpoint where there is one.

    Args:
        weights: of a model for single images.
        checkpoint: written every `SAVE_EVERY` steps, in one piece; beside it the weights of every `KEEP_EVERY` steps,
            to be measured.
        further: begin with the memory that the weights have; else with a new one.
        team: the processes of this run; the first writes the files.
    """
    team = team or Team()
    torch.manual_seed(seed)
    model = demo_model.build_model()
    fresh = {name: value.clone() for name, value in model.state_dict().items()}
    demo_model.load_weights(model, weights)
    parameters = unfrozen(model)
    if not further:
        with torch.no_grad():
            for name, value in parameters.items():
                value.copy_(fresh[name])
            model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(BEGIN_PRESENT)
    optimiser = torch.optim.AdamW(list(parameters.values()), weight_decay=0.01)
    began = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        began = int(state["step"])
    team.wait()  # before the first process writes another
    reports: list[dict[str, float]] = []
    clock = time.monotonic()
    for step in range(began, steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / WARM) * (1 - 0.95 * step / steps)
        optimiser.zero_grad()
        rng = np.random.default_rng((seed, step, team.rank))
        loss, report = clip_loss(model, drawn_clip(model, rng), rng)
        torch.autograd.backward(loss)
        team.average_gradients(list(parameters.values()))
        torch.nn.utils.clip_grad_norm_(list(parameters.values()), GRADIENT_LIMIT)
        optimiser.step()
        reports.append(report)
        if team.rank == 0 and ((step + 1) % SAVE_EVERY == 0 or step + 1 == steps):
            part = checkpoint.with_name(checkpoint.name + ".part")
            torch.save({"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}, part)
            part.replace(checkpoint)
            if (step + 1) % KEEP_EVERY == 0:
                demo_model.save_weights(model, checkpoint.with_name(f"{checkpoint.stem}-{step + 1:05}.pt"))
            means = {
                name: float(np.mean([one[name] for one in reports if name in one]))
                for name in ("loss", "IoU", "presence", "absent")
                if any(name in one for one in reports)
            }
            shown = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
            log.info("step %d, %.0f s: %s", step + 1, time.monotonic() - clock, shown)
            reports.clear()
    return model


def unfrozen(model: SAM2Base) -> dict[str, torch.nn.Parameter]:
    """What is trained; everything else is frozen from now on."""
    found = {}
    for name, value in model.named_parameters():
        value.requires_grad_(any(part in name for part in TRAINED))
        if value.requires_grad:
            found[name] = value
    return found


def clip_loss(model: SAM2Base, clip: Clip, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
    """The loss over all frames after the first, and what was measured on the way."""
    bank: dict[str, dict[int, dict[str, Any]]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    given = functional.interpolate(clip.truth[0][:, None], size=(SIZE, SIZE), mode="bilinear")
    features, positions, sizes = _levels(model, clip, 0)
    details = [_map(level, size) for level, size in zip(features[:-1], sizes[:-1], strict=True)]
    outputs = model._use_mask_as_output(_map(features[-1], sizes[-1]), details, (given >= 0.5).float())
    bank["cond_frame_outputs"][0] = _memory(model, features, sizes, outputs[4], outputs[6], outputs[5], given=True)
    total = torch.zeros(())
    overlaps, right, absent = [], [], []
    for frame in range(1, len(clip.features)):
        features, positions, sizes = _levels(model, clip, frame)
        conditioned = model._prepare_memory_conditioned_features(
            frame_idx=frame,
            is_init_cond_frame=False,
            current_vision_feats=features[-1:],
            current_vision_pos_embeds=positions[-1:],
            feat_sizes=sizes[-1:],
            output_dict=bank,
            num_frames=SEQUENCE,
        )
        details = [_map(level, size) for level, size in zip(features[:-1], sizes[:-1], strict=True)]
        logits, quality, tokens, present = _decoded(model, conditioned, details)
        truth, rivals = clip.truth[frame], clip.rivals[frame]
        there = truth.flatten(1).sum(1) > 1
        if there.any():
            loss, iou = mask_loss(
                logits[there], quality[there], truth[there], rivals[there], foreground=1.0, rival=4.0
            )  # fmt: skip
            total = total + loss
            chosen = quality[there][:, 1:].argmax(1, keepdim=True) + 1
            overlaps.append(float(iou.gather(1, chosen).mean()))
        weights = torch.where(there, 1.0, ABSENT_WEIGHT)
        total = total + PRESENCE_WEIGHT * functional.binary_cross_entropy_with_logits(
            present[:, 0], there.float(), weight=weights
        )  # fmt: skip
        right.append(float(((present[:, 0] > 0) == there).float().mean()))
        if not there.all():
            absent.append(float((present[~there, 0] <= 0).float().mean()))
        best = quality[:, 1:].argmax(1) + 1
        rows = torch.arange(len(best))
        # What is remembered is the model's own answer, wrong ones included, as when it follows objects by itself.
        taught = torch.from_numpy(rng.random(len(best)) < TRUTH_SHARE)
        shown = torch.where(taught, there, present[:, 0] > 0)
        answer = torch.where(taught[:, None, None], (truth * 2 - 1) * 10, logits[rows, best])
        answer = torch.where(shown[:, None, None], answer, NO_OBJ_SCORE)
        full = functional.interpolate(answer[:, None], size=(SIZE, SIZE), mode="bilinear", align_corners=False)
        pointer = model.obj_ptr_proj(tokens[rows, best - 1])
        seen = shown.float()[:, None]
        pointer = seen * pointer + (1 - seen) * model.no_obj_ptr
        bank["non_cond_frame_outputs"][frame] = _memory(
            model, features, sizes, full, (seen * 2 - 1) * 10, pointer, given=False
        )  # fmt: skip
    report = {"loss": float(total.detach()), "presence": float(np.mean(right))}
    report["IoU"] = float(np.mean(overlaps)) if overlaps else 0.0
    return total, report | ({"absent": float(np.mean(absent))} if absent else {})


def _decoded(model: SAM2Base, image: Tensor, details: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits ``(N, 4, s, s)``, scores ``(N, 4)``, tokens of the three candidates and presence ``(N, 1)``, as
    `SAM2Base._forward_sam_heads` without a prompt."""
    count = len(image)
    sparse, dense = model.sam_prompt_encoder(
        points=(torch.zeros(count, 1, 2), -torch.ones(count, 1, dtype=torch.int32)), boxes=None, masks=None
    )
    logits, quality, tokens, present = model.sam_mask_decoder.predict_masks(
        image_embeddings=image,
        image_pe=model.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        repeat_image=False,
        high_res_features=details,
    )
    return logits, quality, tokens[:, 1:], present


def _memory(
    model: SAM2Base,
    features: list[Tensor],
    sizes: list[tuple[int, int]],
    full: Tensor,
    present: Tensor,
    pointer: Tensor,
    *,
    given: bool,
) -> dict[str, Any]:
    spatial, positions = model._encode_new_memory(features, sizes, full, present, is_mask_from_pts=given)
    return {"maskmem_features": spatial, "maskmem_pos_enc": positions, "obj_ptr": pointer}


def _levels(model: SAM2Base, clip: Clip, frame: int) -> tuple[list[Tensor], list[Tensor], list[tuple[int, int]]]:
    """Features and positions ``(h * w, N, C)`` of each level, a row an object."""
    maps = [level[clip.scene_of] for level in clip.features[frame]]
    encode = model.image_encoder.neck.position_encoding
    flat = [level.flatten(2).permute(2, 0, 1) for level in maps]
    positions = [encode(level).flatten(2).permute(2, 0, 1) for level in maps[-1:]]
    return flat, positions, [(int(level.shape[-2]), int(level.shape[-1])) for level in maps]


def _map(level: Tensor, size: tuple[int, int]) -> Tensor:
    return level.permute(1, 2, 0).reshape(level.shape[1], level.shape[2], *size)


if __name__ == "__main__":
    sys.exit(main())
