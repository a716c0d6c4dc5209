"""Which writer, and how it writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from dataset.export.formats import ExportOptions
from dataset.export.writers.base import Writer

if TYPE_CHECKING:
    from dataset.export.pictures import Pictures


def open_writer(
    folder: Path, options: ExportOptions, colours: Mapping[str, str], pictures: Pictures | None = None
) -> Writer:
    """The writer of a format.

    Args:
        colours: those of the labels, as the labeling configuration has them.
        pictures: of the images, for formats that hold them.

    Raises:
        ValueError: the format needs pictures, and there are none.
    """
    # Here and not above: an export to Label Studio's JSON needs neither OpenCV nor pycocotools.
    if options.format == "coco":
        from dataset.export.writers.coco import CocoWriter

        return CocoWriter(folder, options.coco)
    if options.format == "yolo-seg":
        from dataset.export.writers.yolo import YoloWriter

        return YoloWriter(folder, split=options.split, tolerance=options.tolerance)
    if options.format == "png":
        from dataset.export.writers.png import PngWriter

        return PngWriter(folder, colours, instances=options.instances, mots=options.mots)
    if options.format == "rle-json":
        from dataset.export.writers.rle_json import RleJsonWriter

        return RleJsonWriter(folder)
    if options.format == "csv":
        from dataset.export.writers.csv_table import CsvWriter

        return CsvWriter(folder)
    if options.format == "label-studio":
        from dataset.export.writers.label_studio import LabelStudioWriter

        return LabelStudioWriter(folder)
    if options.format == "dataset":
        from dataset.export.writers.dataset import DatasetWriter

        if pictures is None:
            raise ValueError("a dataset holds pictures")
        return DatasetWriter(folder, options, colours, pictures)
    assert_never(options.format)
