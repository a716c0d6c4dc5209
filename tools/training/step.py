"""One training step: images through the encoder once, prompts and corrective clicks through the decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor
from torch.nn import functional

from demo import model as demo_model
from tools.training import prompts as demo_prompts
from tools.training.curriculum import Stage
from tools.training.losses import mask_loss
from tools.training.pool import Pool
from tools.training.team import Team

IMAGES = 8
NOISE = 8.0
KEEP_MASK = 0.85
# the image features may not outgrow the position encoding that is added to them (mean square 0.5), or the
# decoder loses sight of where a click was: unchecked they were 20 times larger after 400 steps, and every
# click got the same answer
CALM, CALM_ENERGY = 0.025, 0.5


@dataclass
class Report:
    """What a step measured: the loss, and mean IoU of the self-chosen candidate for single clicks, for the
    other prompts, and after the first corrective click (None where there was none)."""

    loss: float
    click: float
    other: float
    corrected: float | None


def train_step(model: SAM2Base, pool: Pool, stage: Stage, seed: Sequence[int], team: Team | None = None) -> Report:
    """Add the gradients of one step: single clicks and other prompts on a few images, perhaps corrections.

    Args:
        model: the model.
        pool: where the images come from.
        stage: what is practised.
        seed: of this step. What kind of step it is follows from it for the whole team, images and prompts for
            each process.
        team: the processes that share the step's ``IMAGES``.
    """
    team = team or Team()
    shared, rng = np.random.default_rng(seed), np.random.default_rng((*seed, team.rank))
    other_points = int(shared.choice(5, p=stage.points))
    first, second = shared.random(2) < stage.rounds
    corrections = (2 if second else 1) if first else 0
    torch_rng = torch.Generator().manual_seed(int(rng.integers(2**62)))
    images, owners = pool.batch(rng, IMAGES // team.size, noise=NOISE)
    features = demo_model.encode(model, demo_model.normalised(images, stage.size))
    energy = features.image_embed.square().mean()
    total = CALM * torch.relu(energy - CALM_ENERGY)
    measured: list[list[float]] = []
    covers = _covers(owners, stage.size // 4)
    for points, each in ((1, stage.clicks), (other_points, stage.others)):
        drawn = [_draw(rng, owner, points, stage.basic) for owner in owners for _ in range(each)]
        batch = _Batch(features.repeated(each), covers.repeat_interleave(each, 0), drawn, stage)
        batch.scale_points(stage.size / owners.shape[-1])
        batch.masks = _brushes(rng, drawn, stage.size // 4)
        rounds = []
        for turn in range(corrections + 1):
            if turn == 1:
                batch.mean([_narrowed(rng, item) for item in drawn])
            if turn:
                batch.correct(torch_rng)
            loss, iou = batch.answer(model)
            total = total + loss / 2
            rounds.append(iou)
        measured.append(rounds)
    torch.autograd.backward(total)
    fixed = float(np.mean([rounds[1] for rounds in measured])) if corrections else None
    return Report(float(total.detach()), measured[0][0], measured[1][0], fixed)


class _Batch:
    """The prompts of one step with the same number of points, and what was answered last."""

    def __init__(
        self, rows: demo_model.Features, covers: Tensor, drawn: list[demo_prompts.Prompt], stage: Stage
    ) -> None:
        self.rows, self.covers, self.stage = rows, covers, stage
        self.objects = covers[:, 1:].sum(1)
        count = len(drawn)
        places = [[point[:2] for point in item.points] for item in drawn]
        kinds = [[point[2] for point in item.points] for item in drawn]
        self.points = torch.tensor(places, dtype=torch.float32).view(count, -1, 2)
        self.labels = torch.tensor(kinds, dtype=torch.int32).view(count, -1)
        self.masks: Tensor | None = None
        self.turn = 0
        self.mean(drawn)

    def mean(self, drawn: list[demo_prompts.Prompt]) -> None:
        """Set what the prompts mean: ``(N, s, s)`` float, the share of each cell of the low-resolution
        grid."""
        row = torch.arange(len(drawn))
        first = torch.tensor([item.target for item in drawn])
        second = torch.tensor([item.partner or 0 for item in drawn])
        self.meant = self.covers[row, first] + self.covers[row, second] * (second > 0).view(-1, 1, 1)

    def scale_points(self, scale: float) -> None:
        """From pixels of the drawn scenes to pixels of the model input."""
        self.points = self.points * scale

    def answer(self, model: SAM2Base) -> tuple[Tensor, float]:
        """The model's loss, and the mean IoU of the candidate that it would choose."""
        stage = self.stage
        logits, quality = demo_model.decode(model, self.rows, self.points, self.labels, self.masks)
        rivals = self.objects - self.meant
        loss, iou = mask_loss(logits, quality, self.meant, rivals, foreground=stage.foreground, rival=stage.rival)
        best = quality[:, 1:].argmax(1) + 1
        row = torch.arange(len(best))
        # as in use: the first answer is the best of three, later ones are the single mask
        self.last = logits.detach()[row, best if self.turn == 0 else torch.zeros_like(best)]
        self.turn += 1
        return loss, float(iou[row, best].mean())

    def correct(self, rng: torch.Generator) -> None:
        """Add a corrective click to each prompt, and mostly the last answer as its mask prompt."""
        points, labels = demo_prompts.correction(rng, self.last, self.meant, self.stage.size)
        self.points, self.labels = torch.cat([self.points, points], 1), torch.cat([self.labels, labels], 1)
        keep = torch.rand(len(self.last), 1, 1, 1, generator=rng) < KEEP_MASK
        self.masks = torch.where(keep, demo_prompts.as_mask_prompt(self.last), torch.nan)


def _draw(rng: np.random.Generator, owner: NDArray[np.uint8], points: int, basic: bool) -> demo_prompts.Prompt:
    kinds = (demo_prompts.BASIC_KINDS if basic else demo_prompts.KINDS_BY_POINTS)[points]
    kind = str(rng.choice(list(kinds), p=list(kinds.values())))
    return demo_prompts.first_prompt(rng, owner, kind, points)


def _narrowed(rng: np.random.Generator, item: demo_prompts.Prompt) -> demo_prompts.Prompt:
    """Most pairs are cut down to their first object: the correction then is a negative click on the
    other."""
    if item.partner is None or rng.random() < 0.3:
        return item
    return demo_prompts.Prompt(item.points, item.target)


def _covers(owners: NDArray[np.uint8], size: int) -> Tensor:
    """The share of each cell that belongs to the ground and to each object, ``(B, 1 + objects, size, size)``."""
    numbers = torch.arange(int(owners.max()) + 1, dtype=torch.uint8).view(1, -1, 1, 1)
    return functional.adaptive_avg_pool2d((torch.from_numpy(owners)[:, None] == numbers).float(), size)


def _brushes(rng: np.random.Generator, drawn: list[demo_prompts.Prompt], size: int) -> Tensor | None:
    if all(item.brush is None for item in drawn):
        return None
    rows = np.full((len(drawn), 1, size, size), np.nan, dtype=np.float32)
    for row, item in zip(rows, drawn, strict=True):
        if item.brush is not None:
            row[0] = demo_prompts.stroke_logits(item.brush, size, float(rng.uniform(5, 20)))
    return torch.from_numpy(rows)
