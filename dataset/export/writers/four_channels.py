"""One PNG a pair, red, green, blue and thermal, from its two 8-bit pictures on one grid: what MFNet and FEANet read."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from dataset.export.formats import ExportOptions
from dataset.export.pictures import Pictures
from dataset.export.pixels import COMPRESS_LEVEL, as_grey, as_rgb
from dataset.export.writers.base import file_beside


class FourChannels:
    """Joins the pictures of a pair as soon as both lie in their folders below `PARTS`.

    Args:
        folder: of the data set.
        rgb, thermal: what the folders of both sides are called.
    """

    NAME = "rgbt"
    PARTS = "parts"

    def __init__(self, folder: Path, rgb: str, thermal: str) -> None:
        self._folder = folder
        self._sides = rgb, thermal

    @classmethod
    def of(cls, folder: Path, options: ExportOptions, pictures: Pictures) -> FourChannels | None:
        """The one of a data set; None where pictures are written for themselves.

        Raises:
            ValueError: pictures are not looked at as pairs on one grid.
        """
        if options.pictures != cls.NAME:
            return None
        pairing = pictures.samples.pairing
        if pairing is None or pictures.grid is None:
            raise ValueError("pictures of four channels are made of pairs on one grid")
        return cls(folder, pairing.folder("rgb"), pairing.folder("thermal"))

    def join(self, name: str, there: Iterable[str]) -> None:
        """Put the two pictures of a sample together, where both folders are `there`.

        Raises:
            NotWritable: the file system refuses the name.
        """
        if not set(self._sides) <= set(there):
            return
        rgb, thermal = (self._folder / self.PARTS / side / f"{name}.png" for side in self._sides)
        with Image.open(rgb) as first, Image.open(thermal) as second:
            pixels = np.dstack([as_rgb(np.asarray(first)), as_grey(np.asarray(second))])
        with file_beside(self._folder, f"images/{self.NAME}/{name}.png") as path, path.open("xb") as file:
            Image.fromarray(pixels).save(file, "PNG", compress_level=COMPRESS_LEVEL)
        rgb.unlink()
        thermal.unlink()

    def finish(self) -> None:
        """Remove the folders, with the pictures whose twin never came."""
        shutil.rmtree(self._folder / self.PARTS, ignore_errors=True)
