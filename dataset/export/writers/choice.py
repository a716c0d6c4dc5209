"""Which writer, and how it writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never

from dataset.export.formats import Format
from dataset.export.writers.base import Writer


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
    coco: Literal["compressed", "uncompressed", "polygons"] = "compressed"
    instances: bool = False
    split: bool = False
    tolerance: float = 0.0
    force: bool = False


def open_writer(folder: Path, options: ExportOptions, colours: Mapping[str, str]) -> Writer:
    """The writer of a format. `colours` are those of the labels, as the labeling configuration has them."""
    # Here and not above: an export to Label Studio's JSON needs neither OpenCV nor pycocotools.
    if options.format == "coco":
        from dataset.export.writers.coco import CocoWriter

        return CocoWriter(folder, options.coco)
    if options.format == "yolo-seg":
        from dataset.export.writers.yolo import YoloWriter

        return YoloWriter(folder, split=options.split, tolerance=options.tolerance)
    if options.format == "png":
        from dataset.export.writers.png import PngWriter

        return PngWriter(folder, colours, instances=options.instances)
    if options.format == "rle-json":
        from dataset.export.writers.rle_json import RleJsonWriter

        return RleJsonWriter(folder)
    if options.format == "csv":
        from dataset.export.writers.csv_table import CsvWriter

        return CsvWriter(folder)
    if options.format == "label-studio":
        from dataset.export.writers.label_studio import LabelStudioWriter

        return LabelStudioWriter(folder)
    assert_never(options.format)
