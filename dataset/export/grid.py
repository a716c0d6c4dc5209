"""Both pictures of a pair, and their masks, on the pixels of one of them: what a network with four channels reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from dataset.export.formats import Side
from dataset.export.pixels import Pixels
from dataset.export.writers.base import ExportImage, NotWritable, Object
from dataset.registration.alignment import Alignment, NotAligned, Refused
from dataset.registration.transforms import Matrix, Size
from masks.warp import carried, drawn_on


@dataclass(frozen=True)
class Grid:
    """The pixels that both sides lie on.

    Attributes:
        alignment: from RGB pictures to thermal ones.
        onto: whose pixels they are.
    """

    alignment: Alignment
    onto: Side

    @property
    def size_wh(self) -> Size:
        """Width and height of what is written."""
        return self.alignment.source_wh if self.onto == "rgb" else self.alignment.target_wh

    @cached_property
    def _backwards(self) -> Alignment:
        return self.alignment.backwards()

    def matrix(self, side: Side, rgb: str, size_wh: Size, digest: Callable[[], str]) -> Matrix | None:
        """From the pixels of a picture to those of the grid; None of one whose pixels they are.

        Args:
            side: of the picture.
            rgb: URL of the RGB picture of its pair.
            size_wh: of the picture.
            digest: its SHA-256 in hex, see `Alignment.of`.

        Raises:
            Refused: the registration refused the pair.
            NotWritable: its size is not that of the registration, or the name of its pair is not clear.
        """
        registered = self.alignment.source_wh if side == "rgb" else self.alignment.target_wh
        if size_wh != registered:
            seen, expected = ("x".join(map(str, one)) for one in (size_wh, registered))
            raise NotWritable(f"it has {seen} pixels, and the registration is of {side} pictures of {expected}")
        try:
            found = (self.alignment if side == "rgb" else self._backwards).of(rgb, digest)
        except Refused:
            raise
        except NotAligned as reason:
            raise NotWritable(f"its pair {reason}") from None
        return None if side == self.onto else found

    def masks(self, image: ExportImage, matrix: Matrix | None) -> ExportImage:
        """The image with its masks on the grid; those that lie beside it are gone."""
        if matrix is None:
            return image
        moved = ((one.region, carried(one.mask, matrix, self.size_wh)) for one in image.objects)
        objects = tuple(Object(region, mask) for region, mask in moved if mask.any())
        return replace(image, size_wh=self.size_wh, objects=objects)

    def pixels(self, pixels: Pixels, matrix: Matrix | None) -> Pixels:
        """The picture on the grid, in its own depth; 0 beside it."""
        if matrix is None:
            return pixels
        drawn = drawn_on(pixels.astype(np.float32), matrix, self.size_wh)
        if pixels.dtype.kind == "f":
            return drawn
        return np.rint(drawn).astype(pixels.dtype)
