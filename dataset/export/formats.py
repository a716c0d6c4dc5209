"""The export formats, as `--format` takes them, and how they are written. Light: the help of the task reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Format = Literal["coco", "yolo-seg", "png", "rle-json", "csv", "label-studio"]
FORMATS: tuple[Format, ...] = get_args(Format)
Coco = Literal["compressed", "uncompressed", "polygons"]
COCO: tuple[Coco, ...] = get_args(Coco)


@dataclass(frozen=True)
class ExportOptions:
    """How to write. Parts that a format does not know are not looked at.

    Attributes:
        coco: RLE as pycocotools' string, RLE as plain numbers, or polygons where a mask has no hole.
        instances: png: also write which pixel belongs to which object.
        split: yolo-seg: a line for each part instead of a bridge between them.
        tolerance: yolo-seg: leave out corners this many pixels from the line between others.
        force: replace an existing export.
    """

    format: Format
    coco: Coco = "compressed"
    instances: bool = False
    split: bool = False
    tolerance: float = 0.0
    force: bool = False
