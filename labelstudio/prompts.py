"""What the editor sends for a click: smart regions as Label Studio 1.23.2 serialises them.

Source: the editor's own code (`KeyPointRegion.serialize`, `RectRegion.serialize`, `Result.serialize`) and requests
recorded in a browser. A region that gets its label from a shared `Labels` palette travels as two results with one id:
the tool's, then the label's. A dynamic key point carries `is_positive` and `labels` in each of them.
"""

from __future__ import annotations

import secrets
import string

from labeling.config import ControlTag, LabelingConfig

REGION_ID_LENGTH = 10
POINT_WIDTH_PERCENT = 0.2
ID_CHARACTERS = string.ascii_letters + string.digits + "_-"

Region = dict[str, object]


def click_regions(
    labeling: LabelingConfig,
    label: str,
    xy: tuple[float, float],
    size_wh: tuple[int, int],
    *,
    positive: bool = True,
) -> list[Region]:
    """One smart key point.

    Args:
        labeling: the project's configuration.
        label: one of its labels.
        xy: the point in image pixels, origin top left.
        size_wh: the image's width and height in pixels, upright.
        positive: False for Alt+click, "not this".

    Raises:
        ValueError: the configuration has no smart key point.
    """
    if labeling.point is None:
        raise ValueError("the labeling configuration has no smart key point")
    value: Region = {
        "x": 100.0 * xy[0] / size_wh[0],
        "y": 100.0 * xy[1] / size_wh[1],
        "width": POINT_WIDTH_PERCENT,
        "labels": [label],
    }
    return _results(labeling, labeling.point, label, value, size_wh, {"is_positive": positive})


def box_regions(
    labeling: LabelingConfig, label: str, xyxy: tuple[float, float, float, float], size_wh: tuple[int, int]
) -> list[Region]:
    """One smart rectangle. `xyxy` are the left, top, right and bottom edge in image pixels.

    Raises:
        ValueError: the configuration has no smart rectangle.
    """
    if labeling.box is None:
        raise ValueError("the labeling configuration has no smart rectangle")
    left, top, right, bottom = xyxy
    value: Region = {
        "x": 100.0 * left / size_wh[0],
        "y": 100.0 * top / size_wh[1],
        "width": 100.0 * (right - left) / size_wh[0],
        "height": 100.0 * (bottom - top) / size_wh[1],
        "rotation": 0,
    }
    return _results(labeling, labeling.box, label, value, size_wh, {})


def _results(
    labeling: LabelingConfig,
    tool: ControlTag,
    label: str,
    value: Region,
    size_wh: tuple[int, int],
    extra: Region,
) -> list[Region]:
    region_id = "".join(secrets.choice(ID_CHARACTERS) for _ in range(REGION_ID_LENGTH))

    def result(control: ControlTag) -> Region:
        own = {control.kind: [label]} if control.has_labels else {}
        return {
            "original_width": size_wh[0],
            "original_height": size_wh[1],
            "image_rotation": 0,
            "value": {**value, **own},
            **extra,
            "id": region_id,
            "from_name": control.name,
            "to_name": labeling.images[0].name,
            "type": control.kind,
            "origin": "manual",
        }

    shared = labeling.palette
    return [result(tool)] if tool.offers(label) or shared is None else [result(tool), result(shared)]
