"""What a writer is given, and what it must do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

from dataset.export.classes import Classes
from dataset.export.regions import Region
from masks.arrays import Mask


@dataclass(frozen=True)
class Object:
    """A region whose mask was decoded and is not empty: ``(H, W)`` bool in the image's pixels."""

    region: Region
    mask: Mask


@dataclass(frozen=True)
class ExportImage:
    """One image of one task. `objects` are in the order of drawing: later ones lie above.

    Attributes:
        number: counts images from 1, in the order of their names.
        file_name: the image's path (see `image_name`).
        url: as the task has it.
        to_name, item_index: which image of the task.
        is_annotated: without a submitted annotation, no regions does not mean that nothing is there.
        size_wh: as Label Studio shows it, so after its EXIF orientation; (0, 0) where no writer needs it.
    """

    number: int
    task_id: int
    file_name: str
    url: str
    to_name: str
    item_index: int | None
    size_wh: tuple[int, int]
    objects: tuple[Object, ...]
    is_annotated: bool


def image_row(image: ExportImage) -> dict[str, Any]:
    """What the JSON formats say of an image."""
    row: dict[str, Any] = {
        "file_name": image.file_name,
        "width": image.size_wh[0],
        "height": image.size_wh[1],
        "to_name": image.to_name,
    }
    if image.item_index is not None:
        row["item_index"] = image.item_index
    if not image.is_annotated:
        row["annotated"] = False
    return row


@dataclass(frozen=True)
class ExportTask:
    """One task. `images` have sizes and objects where the writer needs masks; `annotations` are results, cleaned."""

    id: int
    data: Mapping[str, Any]
    images: tuple[ExportImage, ...]
    annotations: tuple[Mapping[str, Any], ...]


class Writer(Protocol):
    """Writes one format into a folder.

    `needs_masks` is whether it wants decoded masks, `needs_sizes` whether it wants the size of images without any.
    """

    needs_masks: bool
    needs_sizes: bool

    def add(self, task: ExportTask, classes: Classes) -> None:
        """Write one task. `classes` knows every label in it."""

    def finish(self, classes: Classes) -> None:
        """Write what comes last, and close."""
        self.close()

    def close(self) -> None:
        """Close files, also after an error."""


class Lines:
    """A file that grows by one JSON value at a time: one a line, or the elements of an array.

    A value is written at once, so a million of them take no memory.
    """

    def __init__(self, path: Path, *, array: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._array = array
        self._count = 0
        self._file: TextIO = path.open("w", encoding="utf-8")
        if array:
            self._file.write("[")

    def write(self, value: object) -> None:
        """Append one value."""
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        separator = ("," if self._count else "") + "\n" if self._array else ""
        self._file.write(f"{separator}{text}" if self._array else f"{text}\n")
        self._count += 1

    def close(self) -> None:
        """Finish the file; a second time does nothing."""
        if not self._file.closed:
            if self._array:
                self._file.write("\n]")
            self._file.close()
