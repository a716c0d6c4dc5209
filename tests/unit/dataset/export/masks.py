"""The readers of each format as its own field has them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from masks.arrays import Mask


def iou(first: Mask, second: Mask) -> float:
    return float((first & second).sum() / (first | second).sum())


def read_yolo(path: Path, size_wh: tuple[int, int]) -> list[tuple[int, Mask]]:
    """As ultralytics reads and rasterises: `polygon2mask` cuts to whole pixels, then fillPoly."""
    width, height = size_wh
    found: list[tuple[int, Mask]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        numbers = line.split()
        points = np.asarray(numbers[1:], dtype=np.float32).reshape(-1, 2)
        assert len(points) >= 3
        assert (points >= 0).all()
        assert (points <= 1).all()
        pixels = points * np.asarray([width, height], dtype=np.float32)
        mask = np.zeros((height, width), dtype=np.uint8)
        cv2.fillPoly(mask, np.asarray([pixels], dtype=np.int32), color=(1,))  # type: ignore[call-overload]
        found.append((int(numbers[0]), mask.astype(bool)))
    return found
