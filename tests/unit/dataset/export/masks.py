"""The readers of each format as its own field has them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import yaml

from masks.arrays import Mask

READ_BY_ULTRALYTICS = ("bmp", "dng", "jpeg", "jpg", "mpo", "png", "tif", "tiff", "webp", "pfm", "heic")


def ultralytics_files(folder: Path) -> dict[Path, Path]:
    """The images that ultralytics trains on, and where it looks for the labels of each.

    Its own rule (8.3: `data/utils.py` check_det_dataset and img2label_paths, `data/base.py` get_img_files): a `path` of
    `data.yaml` counts from the working directory, without one the file's folder is taken; in a line that begins with
    `./` every `./` is the folder of the list; and labels are found by the last `/images/` and the last dot.
    """
    data = yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))
    listed = (Path(data.get("path") or folder) / data["train"]).resolve()
    lines = listed.read_text(encoding="utf-8").strip().splitlines()
    paths = [line.replace("./", f"{listed.parent}/") if line[:2] == "./" else line for line in lines]
    found: dict[Path, Path] = {}
    for path in paths:
        if path.rpartition(".")[2].lower() in READ_BY_ULTRALYTICS:
            assert Path(path) not in found
            found[Path(path)] = Path("/labels/".join(path.rsplit("/images/", 1)).rsplit(".", 1)[0] + ".txt")
    return found


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
