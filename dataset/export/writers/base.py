"""What a writer is given, and what it must do."""

from __future__ import annotations

import contextlib
import errno
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

from dataset.export.classes import Classes
from dataset.export.regions import Region
from masks.arrays import Mask


@dataclass(frozen=True)
class Object:
    """A region whose mask was decoded and is not empty: ``(H, W)`` bool in the image's pixels.

    `track` is the name of its track through a sequence; empty where the project has none.
    """

    region: Region
    mask: Mask
    track: str = ""


class TrackNumbers:
    """Tracks counted from 1, in the order in which they come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def row(self, one: Object) -> dict[str, int]:
        """What a JSON format says of an object's track; nothing where the project has none."""
        return {"track_id": self.of(one.track)} if one.track else {}

    def of(self, track: str) -> int:
        """The number of a track."""
        return self._numbers.setdefault(track, len(self._numbers) + 1)


@dataclass(frozen=True)
class ExportImage:
    """One image, once, with what all tasks that show it hold. `objects` are in the order of drawing: later ones above.

    Attributes:
        number: counts images from 1, in the order of their names.
        tasks: the tasks that show it, in the order of their ids.
        file_name: the image's path (see `image_name`).
        to_name, item_index: which image of the first of these tasks.
        labels: of each region that was exported, its first.
        is_annotated: without a submitted annotation, no regions does not mean that nothing is there.
        url: as the first of these tasks has it.
        size_wh: as Label Studio shows it, so after its EXIF orientation; (0, 0) where no writer needs it.
    """

    number: int
    tasks: tuple[int, ...]
    file_name: str
    to_name: str
    item_index: int | None
    size_wh: tuple[int, int]
    labels: tuple[str, ...]
    objects: tuple[Object, ...]
    is_annotated: bool
    url: str = ""


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
    """One task as Label Studio has it; `annotations` are results, cleaned."""

    id: int
    data: Mapping[str, Any]
    annotations: tuple[Mapping[str, Any], ...]


class NotWritable(Exception):
    """The format cannot hold an image. The message, a clause, says why; the export goes on without the image."""


class LeftOut(Exception):
    """A writer leaves an image out on purpose. The message is the reason that is counted, one of `manifest.REASONS`."""


class Writer(Protocol):
    """Writes one format into a folder: images (`add`), or tasks (`add_task`).

    `needs_masks` is whether it wants decoded masks, `needs_sizes` whether it wants the size of images without any, and
    `keeps_all_labels` whether it writes all labels of a region and not its first alone. `wants_tracks` is whether it
    writes `Object.track`.
    """

    needs_masks: bool
    needs_sizes: bool
    keeps_all_labels: bool = True
    wants_tracks: bool = False

    def add(self, image: ExportImage, classes: Classes) -> None:
        """Write one image. `classes` knows every label in it.

        Raises:
            NotWritable: a reader of the format could not find it, or would take it for another.
            LeftOut: it does not belong there; nothing was written of it.
        """
        return

    def add_task(self, task: ExportTask) -> None:
        """Write one task."""
        return

    def finish(self, classes: Classes) -> None:
        """Write what comes last, and close."""
        self.close()

    def notes(self) -> list[str]:
        """What a reader of the export must know, a sentence each; after `finish`."""
        return []

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


TAKEN = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
# What a file system says of a name: the last two are of network shares, which do not know every character.
BAD_NAME = (*TAKEN, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)


@contextlib.contextmanager
def file_beside(folder: Path, name: str) -> Iterator[Path]:
    """The place of an image's own file below an export's folder; its folders are made.

    Open it with mode `x`: where the file system knows no capital letters, `A.txt` would overwrite `a.txt`.

    Raises:
        NotWritable: the file system refuses the name.
    """
    path = folder / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path
    except OSError as error:
        if error.errno in TAKEN:
            raise NotWritable("the file of another image has its place, or that of its folder") from None
        if error.errno in BAD_NAME:
            raise NotWritable(f"the file system does not take its name ({error.strerror})") from None
        raise
