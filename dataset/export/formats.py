"""The export formats, as `--format` takes them, and how they are written. Light: the help of the task reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Format = Literal["coco", "yolo-seg", "png", "rle-json", "csv", "label-studio", "dataset"]
FORMATS: tuple[Format, ...] = get_args(Format)
Coco = Literal["compressed", "uncompressed", "polygons"]
COCO: tuple[Coco, ...] = get_args(Coco)
Overlap = Literal["drawn", "refuse"]
OVERLAPS: tuple[Overlap, ...] = get_args(Overlap)
PictureDepth = Literal["original", "8-bit", "16-bit", "rgbt"]
PICTURE_DEPTHS: tuple[PictureDepth, ...] = get_args(PictureDepth)
Side = Literal["rgb", "thermal"]
SIDES: tuple[Side, ...] = get_args(Side)
IGNORE = 255
SHARES = "80,10,10"


@dataclass(frozen=True)
class ExportOptions:
    """How to write. Parts that a format does not know are not looked at.

    Attributes:
        coco: RLE as pycocotools' string, RLE as plain numbers, or polygons where a mask has no hole.
        instances: png: also write which pixel belongs to which object.
        mots: png: also class and track of each pixel, as MOTS has them.
        split: yolo-seg: a line for each part instead of a bridge between them.
        tolerance: yolo-seg: leave out corners this many pixels from the line between others.
        ignore: dataset: the value of pixels that nobody labelled.
        overlap: dataset: what is drawn later lies above, or images where two classes overlap are left out.
        priority: dataset: labels that lie above all others, the highest first.
        shares: dataset: of train, val and test, in percent.
        seed: dataset: of the split.
        group: dataset: expressions; samples whose paths have the same match of one of them stay together.
        link: dataset: the folder that file names count from, to link pictures instead of copying them.
        pictures: dataset: as they are, grey of 8 or 16 bits, or one PNG of four channels a pair.
        alignment: dataset: what `pairs.register` wrote, to put both pictures of a pair on one grid.
        grid: dataset: whose pixels that grid has.
        image, to_image: dataset: the image tags of the RGB and the thermal picture.
        force: replace an existing export.
    """

    format: Format
    coco: Coco = "compressed"
    instances: bool = False
    mots: bool = False
    split: bool = False
    tolerance: float = 0.0
    ignore: int = IGNORE
    overlap: Overlap = "drawn"
    priority: tuple[str, ...] = ()
    shares: str = SHARES
    seed: int = 0
    group: tuple[str, ...] = ()
    link: Path | None = None
    pictures: PictureDepth = "original"
    alignment: Path | None = None
    grid: Side = "rgb"
    image: str | None = None
    to_image: str | None = None
    force: bool = False
