"""The child's end of a measuring process: reads a JSON request a line, answers a JSON object a line."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Answer = dict[str, Any]
Point = tuple[float, float]


def serve(actions: Mapping[str, Callable[..., Answer]], about: Answer) -> int:
    """Say that the model is there, then answer until the input ends.

    Args:
        actions: by the name under `do`; the request's other fields are the arguments.
        about: the first line.
    """
    # Whatever a library prints must not come between the answers.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _say(out, about)
    for line in sys.stdin:
        request = json.loads(line)
        _say(out, actions[request.pop("do")](**request))
    return 0


def read_rgb(path: str) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8 RGB of an image file."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def milliseconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def save_candidates(out: str, logits: list[NDArray[np.float32]], iou: list[NDArray[np.float32]]) -> None:
    """Write ``(P, C, h, w)`` logits and ``(P, C)`` predicted IoU of P prompts as an NPZ file."""
    np.savez(Path(out), logits=np.stack(logits), iou=np.stack(iou))


def _say(out: Any, answer: Answer) -> None:
    out.write(json.dumps(answer) + "\n")
    out.flush()
