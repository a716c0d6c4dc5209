"""Two things on a picture and where a known transform puts them on its twin: what is carried over must lie there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from masks.rle import encode_rle
from tests.unit.dataset.registration.scenes import similarity

Mask = NDArray[np.bool_]
Matrix = NDArray[np.float64]

RGB_WH, THERMAL_WH = (160, 120), (128, 96)
HALF = np.array([[0.8, 0, -0.1], [0, 0.8, -0.1], [0, 0, 1]])
KNOWN = HALF @ similarity(4.0, 1.05, (7.0, -5.0), RGB_WH)
# By label: centre, axes and turn of an ellipse in the RGB picture; the last one reaches over the twin's border.
THINGS = {"car": ((70, 60), (30, 18), 20), "person": ((120, 70), (8, 20), 0), "curve": ((152, 20), (24, 10), 0)}


def drawn(label: str, matrix: Matrix | None = None, size_wh: tuple[int, int] = RGB_WH) -> Mask:
    """The ellipse, eight times finer and then counted by pixel: ``(H, W)`` bool."""
    centre, axes, turn = THINGS[label]
    finer = np.array([[8.0, 0, 3.5], [0, 8, 3.5], [0, 0, 1]])
    rim = np.array(cv2.ellipse2Poly((0, 0), (8 * axes[0], 8 * axes[1]), turn, 0, 360, 1)) / 8 + centre
    places = finer @ (np.eye(3) if matrix is None else matrix) @ np.vstack([rim.T, np.ones(len(rim))])
    canvas = np.zeros((8 * size_wh[1], 8 * size_wh[0]), np.uint8)
    cv2.fillPoly(canvas, [np.round((places[:2] / places[2]).T).astype(np.int32)], 255)
    return np.asarray(cv2.resize(canvas, size_wh, interpolation=cv2.INTER_AREA) >= 128)


def thermal_picture(*labels: str) -> NDArray[np.uint16]:
    """The things as a thermal camera of another size sees them."""
    pixels = np.full(THERMAL_WH[::-1], 29000.0)
    for label in labels:
        pixels[drawn(label, KNOWN, THERMAL_WH)] = 29800
    noise = np.random.default_rng(5).normal(0, 20, pixels.shape)
    return np.asarray(np.clip(cv2.GaussianBlur(pixels, (0, 0), 1) + noise, 0, 65535), dtype=np.uint16)


def alignment(path: Path, **more: Any) -> Path:
    """The file of the known transform; `more` are other values of its keys."""
    content = {
        "format": 1,
        "model": "similarity",
        "matrix": KNOWN.tolist(),
        "rgb": {"width": RGB_WH[0], "height": RGB_WH[1]},
        "thermal": {"width": THERMAL_WH[0], "height": THERMAL_WH[1]},
        "own": {},
        "refused": [],
    }
    path.write_text(yaml.safe_dump({**content, **more}), encoding="utf-8")
    return path


def task_of(name: str, *labels: str) -> dict[str, Any]:
    """A task of Label Studio's JSON with a brush for each label."""
    results = [
        {
            "original_width": RGB_WH[0],
            "original_height": RGB_WH[1],
            "value": {"format": "rle", "rle": encode_rle(drawn(label)), "brushlabels": [label]},
            "id": f"{name}-{label}",
            "from_name": "brush",
            "to_name": "image",
            "type": "brushlabels",
        }
        for label in labels
    ]
    return {"data": {"image": f"/data/local-files/?d=set/RGB/{name}.png"}, "annotations": [{"result": results}]}


def write_pairs(folder: Path, **things: tuple[str, ...]) -> Path:
    """`masks.json` with a task for each name, and its twin in `thermal`; returns the file."""
    (folder / "thermal").mkdir()
    for name, labels in things.items():
        Image.fromarray(thermal_picture(*labels)).save(folder / "thermal" / f"{name}.tiff")
    file = folder / "masks.json"
    file.write_text(json.dumps([task_of(name, *labels) for name, labels in things.items()]), encoding="utf-8")
    return file
