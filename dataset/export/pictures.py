"""The pictures of an export that holds them: fetched from Label Studio, linked to where they lie, or made anew."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from core.errors import LabelStudioError
from dataset.export.formats import PictureDepth
from dataset.export.grid import Grid
from dataset.export.pixels import at_depth, check_size, read_pixels, save_pixels, unreadable
from dataset.export.samples import Samples
from dataset.export.writers.base import ExportImage, NotWritable
from dataset.registration.transforms import Matrix
from masks.pictures import PictureError, opened, upright


@dataclass(frozen=True)
class Pictures:
    """Where pictures come from, and what becomes of them.

    Attributes:
        fetch: the bytes of an image of a task, by URL and task; raises LabelStudioError.
        samples: what they are called.
        root: the folder that file names count from, where pictures are linked and not copied.
        depth: in which depth they are written.
        grid: where both pictures of a pair lie on the pixels of one.
    """

    fetch: Callable[[str, int], bytes]
    samples: Samples
    root: Path | None = None
    depth: PictureDepth = "original"
    grid: Grid | None = None

    def content(self, image: ExportImage) -> bytes:
        """The bytes of an image.

        Raises:
            NotWritable: it cannot be had.
        """
        try:
            if self.root is not None:
                return (self.root / image.file_name).read_bytes()
            return self.fetch(image.url, image.tasks[0])
        except (LabelStudioError, OSError) as error:
            raise NotWritable(f"its picture cannot be had: {error}") from None

    def put(self, path: Path, content: bytes, image: ExportImage, matrix: Matrix | None) -> Path:
        """Write a picture, `path` without its suffix; returns the file.

        Args:
            matrix: to the pixels of the grid; None where it stays on its own.

        Raises:
            NotWritable: it cannot be read, has another size than its masks, or its values do not fit the depth.
        """
        if self.depth == "original" and matrix is None:
            return put_picture(path, content, image, self.root)
        pixels = at_depth(read_pixels(content, image.size_wh), self.depth)
        return save_pixels(path, pixels if self.grid is None else self.grid.pixels(pixels, matrix))


def put_picture(path: Path, content: bytes, image: ExportImage, root: Path | None) -> Path:
    """Write a picture as it is, `path` without its suffix; returns the file.

    It is copied byte by byte, or linked. One that browsers turn is written upright as PNG, since few readers turn it;
    a page that is not its file's first (`masks.pages`) by itself, since readers take the first.

    Raises:
        NotWritable: it cannot be read, or has another size than its masks.
    """
    try:
        with opened(io.BytesIO(content)) as stored:
            kind = (stored.format or "png").lower()
            shown = upright(stored)
            check_size(shown.size, image.size_wh)
            if kind == "tiff" and stored.tell():
                return save_pixels(path, read_pixels(content, image.size_wh))
            if shown is not stored:
                target = path.with_name(f"{path.name}.png")
                with target.open("xb") as file:
                    shown.save(file, "PNG")
                return target
    except PictureError as error:
        raise unreadable(error) from None
    suffix = PurePosixPath(image.file_name).suffix.lower() or f".{kind}"
    target = path.with_name(f"{path.name}{suffix}")
    if root is not None:
        target.symlink_to((root / image.file_name).absolute())
    else:
        with target.open("xb") as file:
            file.write(content)
    return target
