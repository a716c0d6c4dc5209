"""Files as people bring them, of masks that a test draws."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masks.rle import encode_rle

Mask = NDArray[np.bool_]
WIDTH, HEIGHT = 60, 40
SERVED = "/data/local-files/?d="


def box(left: int, top: int, right: int, bottom: int, size_wh: tuple[int, int] = (WIDTH, HEIGHT)) -> Mask:
    mask = np.zeros((size_wh[1], size_wh[0]), bool)
    mask[top:bottom, left:right] = True
    return mask


def brush(label: str, mask: Mask, number: int = 1, to_name: str = "image") -> dict[str, Any]:
    return {
        "id": f"region{number}",
        "type": "brushlabels",
        "from_name": "brush",
        "to_name": to_name,
        "original_width": mask.shape[1],
        "original_height": mask.shape[0],
        "value": {"format": "rle", "rle": encode_rle(mask), "brushlabels": [label] if label else []},
    }


def annotation(
    *drawn: tuple[str, Mask], by: object = 1, at: str = "2026-03-01T10:00:00Z", **more: Any
) -> dict[str, Any]:
    results = [brush(label, mask, number) for number, (label, mask) in enumerate(drawn, 1)]
    return {"result": results, "completed_by": by, "updated_at": at, **more}


def task(image: str, *annotations: Mapping[str, Any]) -> dict[str, Any]:
    return {"data": {"image": f"{SERVED}{image}"}, "annotations": list(annotations)}


def tasks_file(path: Path, *tasks: Mapping[str, Any]) -> Path:
    path.write_text(json.dumps(tasks))
    return path


def class_maps(folder: Path, maps: Mapping[str, NDArray[Any]], names: Mapping[str, str] | None = None) -> Path:
    folder.mkdir(parents=True)
    for name, pixels in maps.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
    if names is not None:
        (folder / "classes.json").write_text(json.dumps(names))
    return folder


def coco_file(path: Path, images: Sequence[str], *rows: Mapping[str, Any]) -> Path:
    names = sorted({str(one["label"]) for one in rows})
    content = {
        "images": [
            {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT} for number, name in enumerate(images)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, 1)],
        "annotations": [
            {"id": number, "category_id": names.index(one["label"]) + 1, **one} for number, one in enumerate(rows, 1)
        ],
    }
    path.write_text(json.dumps(content))
    return path
