"""The part `propagate`: how many frames a second masks are followed through a sequence."""

from __future__ import annotations

import base64
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from masks.rle import encode_rle
from tools.bench.clicks import checked, exchange
from tools.bench.pictures import SIZES, Picture
from tools.bench.server import Backend, started
from tools.gpu_check.backends import engine_name, runner
from tools.gpu_check.outcome import Kept

ROUTE, SIZE = "/propagate", "2 MP"
FRAMES, FRAMES_DRY = 100, 3


def check(kept: Kept, dry_run: bool) -> None:
    """One object through images that were never seen, and again through the same; skipped without the route."""
    for model in ("demo",) if dry_run else ("tiny", "large"):
        weights = "trained" if model == "demo" else "clean"
        with tempfile.TemporaryDirectory(prefix="labelrig-gpu-") as name:
            folder = Path(name)
            bench = runner(folder, (model,), (SIZE,), dry_run)
            with started(bench.environment(model, engine_name(dry_run), weights), folder / "backend.log") as backend:
                if ROUTE not in backend.get("/openapi.json")["paths"]:
                    kept.outcome.state, kept.outcome.reason = "skipped", f"the backend has no {ROUTE}"
                    kept.save()
                    return
                pictures = [bench.album.new(SIZE) for _ in range(1 + (FRAMES_DRY if dry_run else FRAMES))]
                for which in ("images never seen", "the same images again"):
                    began = time.monotonic()
                    last = follow(backend, pictures)
                    speed = (len(pictures) - 1) / (time.monotonic() - began)
                    kept.row(f"{model}, {SIZE}, {which}", f"{speed:.1f} frames/s, {last}", "done", last == "done")


def follow(backend: Backend, pictures: Sequence[Picture]) -> str:
    """Follow a disc from the first picture through the others: `done`, or what the backend says."""
    width, height = SIZES[SIZE]
    rows, columns = np.mgrid[:height, :width]
    disc = (columns - width / 2) ** 2 + (rows - height / 2) ** 2 < (height / 4) ** 2
    frames = [{"number": number, "url": one.url, "task": str(one.task)} for number, one in enumerate(pictures)]
    code = base64.b64encode(bytes(encode_rle(disc))).decode()
    anchor = {**frames[0], "size_wh": [width, height], "masks": {"disc": code}}
    asked = {
        "key": "check",
        "length": len(frames),
        "anchors": [anchor],
        "frames": frames[1:],
        "lost_after": len(frames),
    }
    status, _, answer = exchange(backend.port, "POST", ROUTE, json.dumps(asked).encode())
    lines = [json.loads(line) for line in checked(ROUTE, status, answer).splitlines() if line]
    problems = [str(line.get("problem", line.get("error"))) for line in lines if {"problem", "error"} & line.keys()]
    return problems[0] if problems else "done" if lines[-1].get("done") else "cut off"
