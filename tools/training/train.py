"""Train the demo model on drawn scenes, from easy to hard. Two CPU cores, no GPU, no data.

    python -m tools.training.train --work DIR              # all stages of ``CURRICULUM``; goes on where it stopped
    python -m tools.training.train --work DIR --until easy --out FILE

Everything random comes from ``--seed``, the stage and the step, so that a run that was stopped goes on as if
it had not been.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from demo import model as demo_model
from tools.training.curriculum import CURRICULUM, Stage, learning_rate
from tools.training.pool import load_or_draw
from tools.training.step import Report, train_step
from tools.training.team import Team, run_team

log = logging.getLogger("tools.training.train")

SAVE_EVERY = 50
GRADIENT_LIMIT = 2.0


def main(argv: list[str] | None = None) -> int:
    """Run the curriculum; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.training.train", description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and drawn pools")
    parser.add_argument("--out", type=Path, default=demo_model.WEIGHTS, help="where the half-precision weights go")
    parser.add_argument("--until", choices=[stage.name for stage in CURRICULUM], default=CURRICULUM[-1].name)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--processes", type=int, choices=(1, 2, 4, 8), default=2, help="one core each")
    options = parser.parse_args(argv)
    options.work.mkdir(parents=True, exist_ok=True)
    return run_team(partial(work, options), options.processes)


def work(options: argparse.Namespace, rank: int, meeting: Path | None) -> None:
    """What one process does: all stages, and rank 0 writes the weights."""
    level = logging.INFO if rank == 0 else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", stream=sys.stderr)
    torch.set_num_threads(1)
    team = Team(rank, options.processes, meeting)
    previous: Path | None = None
    for number, stage in enumerate(CURRICULUM):
        previous = run_stage(stage, (options.seed, number), options.work, previous, team)
        if stage.name == options.until:
            break
    if rank == 0 and previous is not None:
        model = demo_model.build_model()
        model.load_state_dict(torch.load(previous, weights_only=True)["model"])
        demo_model.save_weights(model, options.out)
        log.info("weights written: %s, %d bytes", options.out, options.out.stat().st_size)
    team.leave()


def run_stage(stage: Stage, seed: tuple[int, int], folder: Path, previous: Path | None, team: Team) -> Path:
    """Train one stage and return its checkpoint.

    Args:
        stage: what to train.
        seed: the run's seed and the number of the stage.
        folder: for the checkpoint and the pool of scenes. A checkpoint that lies there is gone on from.
        previous: checkpoint of the stage before, for a stage that has none of its own yet.
        team: the processes of this run.
    """
    checkpoint = folder / f"{stage.name}.ckpt"
    torch.manual_seed(seed[0])
    model = demo_model.build_model(image_size=stage.size)
    demo_model.start_looking(model)
    used = [
        value for name, value in model.named_parameters() if not name.startswith(("memory_", "obj_ptr", "mask_down"))
    ]
    optimiser = torch.optim.AdamW(used, lr=stage.rate, weight_decay=0.01)
    start = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        start = state["step"]
    elif previous is not None:
        model.load_state_dict(torch.load(previous, weights_only=True)["model"])
    if start >= stage.steps:
        return checkpoint
    if team.rank > 0:
        team.wait()  # for the first process, which draws the scenes
    pool = load_or_draw(folder / f"{stage.name}.npz", sum(seed), stage.styles, stage.scenes, stage.drawn)
    if team.rank == 0:
        team.wait()
    log.info("stage %s: from step %d to %d", stage.name, start, stage.steps)
    model.image_encoder.neck.position_encoding = _SizeOnly()
    model.train()
    began, reports = time.monotonic(), list[Report]()
    for step in range(start, stage.steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(stage, step)
        optimiser.zero_grad()
        reports.append(train_step(model, pool, stage, (*seed, step), team))
        team.average_gradients(used)
        torch.nn.utils.clip_grad_norm_(used, GRADIENT_LIMIT)
        optimiser.step()
        if team.rank == 0 and ((step + 1) % SAVE_EVERY == 0 or step + 1 == stage.steps):
            done = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}
            part = checkpoint.with_name(checkpoint.name + ".part")
            torch.save(done, part)
            part.replace(checkpoint)
            log.info(
                "stage %s step %d, %.0f s: %s",
                stage.name,
                step + 1,
                time.monotonic() - began,
                _summary(reports),
            )
            reports.clear()
    team.wait()
    return checkpoint


class _SizeOnly(torch.nn.Module):
    """Stands in for the neck's position encoding, of which single images need the size alone: saves 5 % of the time."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """One channel of the features."""
        return features[:, :1].detach()


def _summary(reports: list[Report]) -> str:
    loss, click, other = (float(np.mean(v)) for v in zip(*((r.loss, r.click, r.other) for r in reports), strict=True))
    corrected = [report.corrected for report in reports if report.corrected is not None]
    text = f"loss {loss:.3f}, IoU click {click:.3f}, other prompts {other:.3f}"
    return f"{text}, corrected {np.mean(corrected):.3f}" if corrected else text


if __name__ == "__main__":
    sys.exit(main())
