"""Failures for want of memory, whatever library meets them, as one error."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from backend.errors import OutOfMemory

# torch's CPU allocator, cuBLAS and C++ have no exception class of their own in Python: their marks in a RuntimeError.
MARKS = ("DefaultCPUAllocator", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "std::bad_alloc")


@contextmanager
def translated(device: str, what: str) -> Iterator[None]:
    """Turn a failed allocation inside into `OutOfMemory`, and let go of what the failed call had allocated."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_about_memory(error):
            raise
        # The traceback keeps the variables of the frames that failed: the very tensors that filled the memory.
        traceback.clear_frames(error.__traceback__)
        raise OutOfMemory(
            f"{what} needs more memory than {device} has free; close what else uses it, or serve a smaller model"
        ) from None


def _is_about_memory(error: MemoryError | RuntimeError) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    message = str(error)
    return any(mark in message for mark in MARKS)
