"""`python -m tools.gpu_check.part NAME FILE SECONDS [--dry-run]`: one part, in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tools.gpu_check.outcome import Kept, Outcome

DRY_RUN = "--dry-run"


def part_named(name: str) -> Callable[[Kept, bool], None]:
    """What runs a part: it gets where to keep its figures, and whether this is a dry run on the CPU."""
    if name == "machine":
        from tools.gpu_check.machine import check
    elif name == "engines":
        from tools.gpu_check.engines import check
    elif name == "memory":
        from tools.gpu_check.memory import check
    elif name == "clicks":
        from tools.gpu_check.clicks import check
    elif name == "propagate":
        from tools.gpu_check.propagate import check
    else:
        raise SystemExit(f"there is no part {name!r}")
    return check


if __name__ == "__main__":
    kept = Kept(Path(sys.argv[2]), Outcome(sys.argv[1]), float(sys.argv[3]))
    part_named(sys.argv[1])(kept, DRY_RUN in sys.argv[4:])
    kept.save()
