"""Pairs of pictures by file name, and a picture as registration sees it: grey, of a size that it works in."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from numpy.typing import NDArray

from core.errors import LabelStudioError, SettingsError
from core.text import some
from dataset.export.image_name import IMAGE_SUFFIXES
from dataset.registration.features import Grey, Mask, blank_frame
from dataset.registration.transforms import Matrix, scaling
from masks.pictures import PictureError, opened, upright

WIDEST = 640  # both pictures are worked on in this width, or in that of the RGB picture where that is smaller
PERCENT = (0.5, 99.5)  # of the values are stretched to 0 and 1; what lies beyond is cut off


class FetchedPicture:
    """A picture that lies elsewhere, fetched each time it is read.

    Args:
        fetch: returns its bytes; raises LabelStudioError where it cannot be had.
    """

    def __init__(self, fetch: Callable[[], bytes]) -> None:
        self._fetch = fetch
        self._digest: bytes | None = None

    def read(self) -> IO[bytes]:
        """Its content.

        Raises:
            PictureError: it cannot be had.
        """
        try:
            content = self._fetch()
        except LabelStudioError as error:
            raise PictureError(str(error)) from None
        self._digest = hashlib.sha256(content).digest()
        return io.BytesIO(content)

    def digest(self) -> bytes:
        """SHA-256 of what was read last."""
        if self._digest is None:
            self.read()
        return self._digest or b""


@dataclass(frozen=True)
class PicturePair:
    """Two pictures of one scene. `name` is the path of the RGB one, without its suffix."""

    name: str
    rgb: Path | FetchedPicture
    thermal: Path | FetchedPicture


@dataclass(frozen=True)
class Picture:
    """A picture made grey and small: `to_work` takes its own pixels to those of `grey`; see `blank_frame`."""

    grey: Grey
    size_wh: tuple[int, int]
    blank: Mask

    @property
    def to_work(self) -> Matrix:
        """The centre of a pixel is a whole number."""
        return scaling(self.size_wh, (self.grey.shape[1], self.grey.shape[0]))


def pairs_in(rgb: Path, thermal: Path) -> list[PicturePair]:
    """The pairs of two folders, with their subfolders: by path without suffix, in the order of the names.

    Raises:
        SettingsError: a folder is not there, or no names are the same.
    """
    sides = [pictures_in("--rgb", rgb), pictures_in("--thermal", thermal)]
    names = [name for name in sides[0] if name in sides[1]]
    if not names:
        ours, theirs = (some(sorted(side)) or "no images" for side in sides)
        raise SettingsError(f"no picture of {rgb} has the name of one of {thermal}: {ours}; {theirs}")
    return [PicturePair(name, sides[0][name], sides[1][name]) for name in names]


def pictures_in(option: str, folder: Path) -> dict[str, Path]:
    """The pictures of a folder and its subfolders, by path without suffix, in the order of the names.

    Raises:
        SettingsError: the folder is not there, or two pictures differ in their suffix alone; `option` named it.
    """
    if not folder.is_dir():
        raise SettingsError(f"{option} {folder}: there is no such folder")
    paths = sorted(one for one in folder.rglob("*") if one.suffix[1:].lower() in IMAGE_SUFFIXES and one.is_file())
    found: dict[str, Path] = {}
    for path in paths:
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise SettingsError(f"{option} {folder}: {found[name].name} and {path.name} have one name; take one away")
        found[name] = path
    return found


def read_pair(pair: PicturePair) -> tuple[Picture, Picture]:
    """Both pictures, of one width.

    Raises:
        PictureError: one of them cannot be read.
    """
    rgb = grey_values(pair.rgb)
    width = min(WIDEST, rgb.shape[1])
    return _picture(rgb, width), _picture(grey_values(pair.thermal), width)


def grey_values(source: Path | FetchedPicture | IO[bytes]) -> Grey:
    """A picture as a browser turns it, ``(H, W)``; of 16-bit and float ones the whole range, stretched to ``[0, 1]``.

    Values that are not finite, as radiometric files have where a camera measured nothing, are 0.

    Raises:
        PictureError: it cannot be read, or shows nothing.
    """
    with opened(source.read() if isinstance(source, FetchedPicture) else source) as stored:
        shown = upright(stored)
        if shown.mode not in ("L", "I", "F", "I;16", "I;16B", "I;16L"):
            shown = shown.convert("L")
        values = np.asarray(shown, dtype=np.float32)
    known = np.isfinite(values)
    if not known.any():
        raise PictureError("none of its values is finite")
    low, high = np.percentile(values if known.all() else values[known], PERCENT)
    if not high > low:
        raise PictureError("all its pixels are alike")
    stretched = np.clip((np.where(known, values, low) - low) / (high - low), 0, 1)
    return np.asarray(stretched, dtype=np.float32)


def _picture(values: Grey, work_width: int) -> Picture:
    height, width = values.shape
    blank = blank_frame(values)
    if width == work_width:
        return Picture(values, (width, height), blank)
    size = (work_width, max(1, round(height * work_width / width)))
    way = cv2.INTER_AREA if width > work_width else cv2.INTER_LINEAR
    small = cv2.resize(blank.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
    return Picture(np.asarray(cv2.resize(values, size, interpolation=way), dtype=np.float32), (width, height), small)


def digest_of(pairs: Sequence[PicturePair]) -> str:
    """SHA-256 over the names and contents of all pictures: other inputs have another one."""
    whole = hashlib.sha256()
    for pair in pairs:
        whole.update(pair.name.encode("utf-8", "surrogateescape"))
        for picture in (pair.rgb, pair.thermal):
            whole.update(_digest(picture))
    return whole.hexdigest()


def digests_of(pair: PicturePair) -> dict[str, str]:
    """SHA-256 of the two pictures in hex, as `rgb` and `thermal`; without one that cannot be had."""
    found = {"rgb": _digest(pair.rgb).hex(), "thermal": _digest(pair.thermal).hex()}
    return {side: digest for side, digest in found.items() if digest}


def digest_of_file(path: Path) -> str:
    """SHA-256 of a picture in hex."""
    return _digest(path).hex()


def _digest(picture: Path | FetchedPicture) -> bytes:
    if isinstance(picture, FetchedPicture):
        try:
            return picture.digest()
        except PictureError:  # a refused pair
            return b""
    with picture.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def spread(pairs: Sequence[PicturePair], most: int) -> list[PicturePair]:
    """At most so many pairs, evenly from all."""
    if len(pairs) <= most:
        return list(pairs)
    return [pairs[round(number)] for number in np.linspace(0, len(pairs) - 1, most)]


def eight_bit(grey: Grey) -> NDArray[np.uint8]:
    """For people to look at."""
    return np.asarray(np.round(grey * 255), dtype=np.uint8)
