"""What the parts that start a backend share: where one runs, and what a bench of it measures."""

from __future__ import annotations

from pathlib import Path

from tools.bench.plan import Counts, Plan
from tools.bench.run import Runner


def engine_name(dry_run: bool) -> str:
    """As `tools.bench.plan.ENGINES` calls it."""
    return "torch" if dry_run else "cuda"


def runner(
    folder: Path, models: tuple[str, ...], sizes: tuple[str, ...], dry_run: bool, counts: Counts | None = None
) -> Runner:
    """`./inv bench` of these models in an empty folder."""
    plan = Plan(models, (engine_name(dry_run),), sizes, folder, quick=True, docs=False, machine=None, chosen=counts)
    return Runner(plan, folder)
