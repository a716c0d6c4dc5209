"""`python -m tools.gpu_check.hog`: takes all memory that a GPU has free, says so, and holds it until it is killed."""

from __future__ import annotations

import signal
import sys

import torch

LARGEST, SMALLEST = 1 << 30, 1 << 20


def take() -> list[torch.Tensor]:
    """Everything that is free, in plain allocations, down to a megabyte."""
    held: list[torch.Tensor] = []
    size = LARGEST
    while size >= SMALLEST:
        try:
            held.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
        except torch.OutOfMemoryError:
            size //= 2
    return held


if __name__ == "__main__":
    taken = take()
    sys.stdout.write(f"taken {sum(one.numel() for one in taken) / 1e6:.0f} MB\n")
    sys.stdout.flush()
    signal.pause()
