"""The part `memory`: the device's memory is taken away while people click, twice, and the next click is right."""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from masks.measure import intersection_over_union
from masks.rle import decode_rle
from tools.bench.clicks import checked, click, exchange
from tools.bench.pictures import SIZES, Album, Picture
from tools.bench.server import Backend, started
from tools.gpu_check.backends import engine_name, runner
from tools.gpu_check.outcome import Kept

MODEL, SIZE = "tiny", "2 MP"
EMPTIED = 'labelrig_cache_emptied_total{cache="memory"}'
ENOUGH_MB = 100_000  # for embeddings: only the device itself may be too small
IMAGES_ON_GPU, IMAGES_DRY = 300, 8  # until the memory must have been too small
SAME = 0.99  # IoU of a mask and the one before: a GPU may round otherwise with other memory
ROOM_BYTES = 32_000_000  # of address space that a dry run leaves: for threads, not for the encoder
OUT_OF_MEMORY = "needs more memory than"


def check(kept: Kept, dry_run: bool) -> None:
    """Twice: until the backend runs out of memory; then the click that was answered first, and one on a new image."""
    if dry_run:
        kept.skip("the GPU's memory: a dry run takes the backend's address space away")
    with tempfile.TemporaryDirectory(prefix="labelrig-gpu-") as name:
        folder = Path(name)
        bench = runner(folder, (MODEL,), (SIZE,), dry_run)
        environment = bench.environment(MODEL, engine_name(dry_run), "clean")
        environment |= {"EMBEDDING_CACHE_DISK_MB": "0", "EMBEDDING_CACHE_MEMORY_MB": str(ENOUGH_MB)}
        with started(environment, folder / "backend.log") as backend:
            picture = bench.album.new(SIZE)
            wanted = _mask(backend, picture)
            for time in ("first", "second"):
                with memory_taken(backend, dry_run):
                    seen = until_out_of_memory(backend, bench.album, IMAGES_DRY if dry_run else IMAGES_ON_GPU)
                kept.row(f"the {time} time: out of memory", seen or "never", "happens", seen is not None)
                for which, one in (("the same click", picture), ("a click on a new image", bench.album.new(SIZE))):
                    overlap = intersection_over_union(wanted, _mask(backend, one))
                    kept.row(
                        f"the {time} time: {which} afterwards", f"IoU {overlap:.4f}", f">= {SAME}", overlap >= SAME
                    )
            health = backend.get("/health")["state"]
            kept.row("health afterwards", str(health), "ready", health == "ready")


@contextlib.contextmanager
def memory_taken(backend: Backend, dry_run: bool) -> Iterator[None]:
    """Leave the backend no more of the device's memory than it holds."""
    if dry_run:
        held = int(backend.memory_mb("VmSize") * 1e6)
        before = resource.prlimit(backend.pid, resource.RLIMIT_AS, (held + ROOM_BYTES, resource.RLIM_INFINITY))
        try:
            yield
        finally:
            resource.prlimit(backend.pid, resource.RLIMIT_AS, before)
        return
    command = (sys.executable, "-m", "tools.gpu_check.hog")
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as hog:
        try:
            # No deadline of its own: the part has one.
            if hog.stdout is None or not hog.stdout.readline().startswith("taken"):
                raise RuntimeError("the GPU's memory could not be taken: see memory.log")
            yield
        finally:
            hog.kill()


def until_out_of_memory(backend: Backend, album: Album, images: int) -> str | None:
    """Click new images until the backend says so, or has given up its cache for want of memory; None if never.

    Raises:
        EngineFailed: another answer than a mask or that refusal.
    """
    before = backend.figure(EMPTIED)
    for number in range(1, images + 1):
        status, _, answer = exchange(backend.port, "POST", "/predict", click(album.new(SIZE), number))
        if status == 503 and OUT_OF_MEMORY in answer.decode():
            return f"the {number}. image is refused: {json.loads(answer)['detail']}"
        checked("/predict", status, answer)
        if backend.figure(EMPTIED) > before:
            return f"the {number}. image is answered, after the cache was given up"
    return None


def _mask(backend: Backend, picture: Picture) -> NDArray[np.bool_]:
    """The mask of the picture's first point; all pictures of an album show the same."""
    status, _, answer = exchange(backend.port, "POST", "/predict", click(picture, 0))
    results = json.loads(checked("/predict", status, answer))["results"][0]["result"]
    codes = [one["value"]["rle"] for one in results if "rle" in one["value"]]  # beside the one of its label
    return decode_rle(codes[0], SIZES[SIZE])
