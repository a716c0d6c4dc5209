"""Which writer, and how it writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import assert_never

from dataset.export.formats import ExportOptions
from dataset.export.writers.base import Writer


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
