"""`python -m tools.pairs`: measure what carries masks over, and write the table of docs/pairs.md."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

import torch

from core.text import between_markers
from tools.pairs import carried

logger = logging.getLogger("pairs")
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "pairs.md"


def main(argv: list[str] | None = None) -> int:
    """Measure on drawn pairs; the table goes to stdout, and into the document with `--update`."""
    parser = argparse.ArgumentParser(prog="python -m tools.pairs", description=(__doc__ or "").strip())
    parser.add_argument("--pairs", type=int, default=60, help="drawn pairs, each with every parallax")
    parser.add_argument("--update", action="store_true", help="put the table into docs/pairs.md")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    torch.set_num_threads(1)
    began, found = time.monotonic(), list[carried.Measured]()
    for count in range(options.pairs):
        for parallax_px in carried.PARALLAX_PX:
            found += carried.measure(carried.FIRST + count, parallax_px)
        logger.info("%d of %d pairs, %.0f s", count + 1, options.pairs, time.monotonic() - began)
    text = f"{options.pairs} pairs:\n\n{carried.table(found)}"
    if options.update:
        document = between_markers(DOCUMENT.read_text(), "<!-- carried -->", "<!-- end carried -->", f"\n{text}")
        DOCUMENT.write_text(document)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
