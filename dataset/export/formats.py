"""The names of the export formats, as `--format` takes them. Light: the help of the task reads it."""

from __future__ import annotations

from typing import Literal, get_args

Format = Literal["coco", "yolo-seg", "png", "rle-json", "csv", "label-studio"]
FORMATS: tuple[Format, ...] = get_args(Format)
