"""`python -m tools.quality`: measure the masks on drawn scenes and write the tables of docs/quality.md."""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import torch

from core.text import between_markers
from tools.quality import everything, prompt_kinds, small_objects
from tools.training import evaluate

logger = logging.getLogger("quality")
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "quality.md"
R = TypeVar("R")


def main(argv: list[str] | None = None) -> int:
    """Measure; the tables go to stdout, and into the document with `--update`."""
    parser = argparse.ArgumentParser(prog="python -m tools.quality", description=(__doc__ or "").strip())
    parser.add_argument("--scenes", type=int, default=200, help="scenes of 1920x1080 for the kinds of prompts")
    parser.add_argument("--everything-scenes", type=int, default=50, help="scenes of 1920x1080 for all objects at once")
    parser.add_argument("--large-scenes", type=int, default=20, help="scenes of 6000x4000 for small objects")
    parser.add_argument("--only", choices=tuple(TABLES), help="measure one table")
    parser.add_argument("--processes", type=int, default=2, help="one core and 2 GB of memory each")
    parser.add_argument("--json", type=Path, help="file for every figure as JSON")
    parser.add_argument("--update", action="store_true", help="put the tables into docs/quality.md")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    # Spawned, not forked: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        measured = {name: measure(pool, options) for name, measure in TABLES.items() if options.only in (None, name)}
    blocks = {name: text for name, (text, _) in measured.items()}
    if options.json:
        content = {name: figures for name, (_, figures) in measured.items()}
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    if options.update:
        document = DOCUMENT.read_text()
        for name, text in blocks.items():
            document = between_markers(document, f"<!-- {name} -->", f"<!-- end {name} -->", f"\n{text}")
        DOCUMENT.write_text(document)
    sys.stdout.write("\n".join(blocks.values()))
    return 0


def _prompts(pool: ProcessPoolExecutor, options: argparse.Namespace) -> tuple[str, object]:
    scenes = _measured(pool, prompt_kinds.measure, options.scenes, "scenes")
    figures = evaluate.means(scenes, prompt_kinds.ROWS)
    return f"{options.scenes} scenes:\n\n{evaluate.markdown('prompt, mean IoU', prompt_kinds.ROWS, figures)}", figures


def _everything(pool: ProcessPoolExecutor, options: argparse.Namespace) -> tuple[str, object]:
    scenes = _measured(pool, everything.measure, options.everything_scenes, "scenes for everything")
    figures = evaluate.means(scenes, everything.ROWS)
    return (
        f"{options.everything_scenes} scenes:\n\n{evaluate.markdown('everything', everything.ROWS, figures)}",
        figures,
    )


def _crops(pool: ProcessPoolExecutor, options: argparse.Namespace) -> tuple[str, object]:
    scenes = _measured(pool, small_objects.measure, options.large_scenes, "large scenes")
    found = [one for scene in scenes for one in scene]
    return f"{options.large_scenes} scenes:\n\n{small_objects.crops_table(found)}", [asdict(one) for one in found]


TABLES = {"prompts": _prompts, "everything": _everything, "crops": _crops}


def _measured(pool: ProcessPoolExecutor, measure: Callable[[int], R], count: int, what: str) -> list[R]:
    began, done = time.monotonic(), []
    for result in pool.map(measure, range(count)):
        done.append(result)
        if len(done) % 20 == 0 or len(done) == count:
            logger.info("%d of %d %s, %.0f s", len(done), count, what, time.monotonic() - began)
    return done


if __name__ == "__main__":
    sys.exit(main())
