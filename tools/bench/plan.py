"""What a run measures, from its command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from backend.device import cuda_devices
from tools.bench.pictures import SIZES

ENGINES = {
    "torch": {"SAM2_ENGINE": "torch", "SAM2_DEVICE": "cpu"},
    "openvino": {"SAM2_ENGINE": "openvino", "SAM2_DEVICE": "cpu"},
    "cuda": {"SAM2_ENGINE": "torch", "SAM2_DEVICE": "cuda"},
}
MODELS = ("demo", "tiny", "small", "base-plus", "large")


@dataclass(frozen=True)
class Counts:
    """How often each thing is measured."""

    cold: int = 4  # images never seen, per size
    stock: int = 3  # stock clicks, per size
    rounds: int = 6  # of warm clicks and bare decodes in turn
    per_round: int = 10
    annotators: tuple[int, ...] = (1, 2, 4, 8)  # who click at once
    load: int = 80  # clicks per number of annotators, all together
    opened: int = 5  # tasks
    revisits: int = 6  # images clicked after a restart
    embed: int = 6  # images of the embed job on a CPU; a GPU takes `GPU_FACTOR` times as many
    fidelity: int = 3  # images on which masks are compared
    prompts: int = 8  # clicks on each of them
    memory_seconds: float = 25.0  # how long images are clicked for the memory figure; 0 leaves it out
    memory_images: int = 500  # at most

    def for_ragged(self) -> Counts:
        """Of a side row: no cold clicks, two of stock, half of the rounds."""
        return replace(self, cold=0, stock=min(2, self.stock), rounds=max(1, self.rounds // 2))


QUICK = Counts(
    cold=3, stock=2, rounds=3, per_round=6, load=32, opened=3, revisits=3, embed=4, fidelity=2, prompts=4,
    memory_seconds=0.0,
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """The options of one run."""

    models: tuple[str, ...]
    engines: tuple[str, ...]
    sizes: tuple[str, ...]
    out: Path
    quick: bool
    docs: bool
    machine: str | None
    chosen: Counts | None = None

    @property
    def counts(self) -> Counts:
        """How often each thing is measured."""
        return self.chosen or (QUICK if self.quick else Counts())

    def has_ragged(self, model: str, engine: str) -> bool:
        """Once per model with random weights, on the last engine: what it shows does not depend on the engine."""
        return not self.quick and model != "demo" and engine == self.engines[-1]

    def has_memory(self, model: str) -> bool:
        """Not of the demo model unless it is the only one: its embeddings are too small to fill a cache."""
        return self.counts.memory_seconds > 0 and (model != "demo" or self.models == ("demo",))


def parse(arguments: Sequence[str] | None, default_out: Path) -> Plan:
    """Read the command line; `SystemExit` where it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description="Measure clicks; one run, one table.")
    models, engines = ({name: name for name in known} for known in (MODELS, ENGINES))
    sizes = {size.removesuffix(" MP"): size for size in SIZES}
    parser.add_argument("--models", type=_several(models), help="of demo, tiny, small, base-plus, large")
    parser.add_argument("--engines", type=_several(engines), help="of torch, openvino, cuda")
    parser.add_argument("--sizes", type=_several(sizes), default=tuple(SIZES), help="megapixels: 2,12")
    parser.add_argument("--out", type=Path, default=default_out, help="folder for bench.md and bench.json")
    parser.add_argument("--quick", action="store_true", help="a minute: the demo model, few repetitions")
    parser.add_argument("--docs", action="store_true", help="also write the tables into docs/performance.md")
    parser.add_argument("--machine", help="the machine in plain words, for the table")
    options = parser.parse_args(arguments)
    on_cuda = ("cuda",) if cuda_devices() else ()
    options.engines = options.engines or ("torch", "openvino", *on_cuda)
    default = ("demo",) if options.quick else ("demo", "tiny", *(("large",) if on_cuda else ()))
    options.models = options.models or default
    return Plan(**vars(options))


def _several(known: Mapping[str, str]) -> Callable[[str], tuple[str, ...]]:
    def read(text: str) -> tuple[str, ...]:
        names = dict.fromkeys(name.strip() for name in text.split(","))
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return tuple(known[name] for name in names)

    return read
