"""COCO's run-length code, by pycocotools: column by column, runs of 0 and 1 in turn, beginning with 0.

Not to be mixed up with Label Studio's (`masks.rle`), which goes row by row through RGBA bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from masks.arrays import Mask, Points

LONGEST_NUMBER = 12  # characters, 60 bits
FARTHEST = 100  # sizes of the image; pycocotools takes memory by the length of the edges, also outside the image


def compressed(mask: Mask) -> dict[str, Any]:
    """`{"size": [h, w], "counts": "..."}` with pycocotools' string."""
    made = coco.encode(np.asfortranarray(mask.view(np.uint8)))
    return {"size": [int(one) for one in made["size"]], "counts": _text(made["counts"])}


def uncompressed(mask: Mask) -> dict[str, Any]:
    """`{"size": [h, w], "counts": [...]}` with plain numbers, which need no library to be read."""
    flat = np.asarray(mask).T.reshape(-1)
    bounds = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], bounds, [flat.size]])).tolist()
    return {"size": [mask.shape[0], mask.shape[1]], "counts": [0, *runs] if flat[0] else runs}


def decoded(rle: Mapping[str, Any], size_wh: tuple[int, int]) -> Mask:
    """The mask of either form.

    Raises:
        ValueError: another size than the image's, or the counts do not fill it.
    """
    width, height = size_wh
    numbers = runs(rle, size_wh)
    values = np.arange(numbers.size) % 2 == 1
    return np.ascontiguousarray(np.repeat(values, numbers).reshape(width, height).T)


def runs(rle: Mapping[str, Any], size_wh: tuple[int, int]) -> NDArray[np.int64]:
    """The run lengths of either form, checked: quick, so that a file can be looked through before it is used.

    Raises:
        ValueError: see `decoded`.
    """
    width, height = size_wh
    size, counts = rle.get("size"), rle.get("counts")
    if size != [height, width]:
        raise ValueError(f"the RLE is of size {size}, its image [{height}, {width}]")
    if not isinstance(counts, str | list) or not counts:
        raise ValueError("the RLE has no counts")
    numbers = _numbers(counts) if isinstance(counts, str) else _whole_numbers(counts)
    if ((numbers < 0) | (numbers > width * height)).any() or int(numbers.sum()) != width * height:
        raise ValueError(f"the RLE's counts do not add up to {width * height} pixels")
    return numbers


def is_far(corners_xy: Points, size_wh: tuple[int, int]) -> bool:
    """Whether a polygon, ``(N, 2)`` in pixels, reaches too far outside its image for `from_polygons`."""
    return bool(np.abs(corners_xy).max() > FARTHEST * max(size_wh))


def from_polygons(polygons: Sequence[Sequence[float]], size_wh: tuple[int, int]) -> Mask:
    """The union of polygons as pycocotools draws them. Each is a flat list `x, y, x, y, ...` in pixels."""
    width, height = size_wh
    corners = [list(map(float, one)) for one in polygons]
    made = coco.merge(coco.frPyObjects(corners, height, width))  # type: ignore[arg-type]  # its stubs know whole numbers
    return decoded({"size": [height, width], "counts": _text(made["counts"])}, size_wh)


def _text(counts: str | bytes) -> str:
    return counts.decode("ascii") if isinstance(counts, bytes) else counts


def _whole_numbers(counts: list[object]) -> NDArray[np.int64]:
    try:
        numbers = np.asarray(counts)
    except ValueError:  # lists of several lengths
        numbers = np.empty((0, 0))
    if numbers.ndim != 1 or numbers.dtype.kind not in "if" or not (numbers == np.trunc(numbers)).all():
        raise ValueError("the RLE's counts are not whole numbers")
    return numbers.astype(np.int64)


def _numbers(counts: str) -> NDArray[np.int64]:
    """The runs of a compressed string: five bits a character, the sixth says that more follow.

    Not pycocotools' `decode`: it reads past the end of a string that is cut off, gives whatever lies in memory where
    the runs do not fill the image, and warns with today's numpy.

    Raises:
        ValueError: it is not such a string.
    """
    codes = np.frombuffer(counts.encode("ascii", errors="replace"), dtype=np.uint8).astype(np.int64) - 48
    if ((codes < 0) | (codes > 63)).any():
        raise ValueError("the RLE's counts are not a compressed string")
    ends = np.flatnonzero(codes < 32)
    if not ends.size or ends[-1] != codes.size - 1:
        raise ValueError("the RLE's counts are cut off")
    lengths = np.diff(ends, prepend=-1)
    if lengths.max() > LONGEST_NUMBER:
        raise ValueError("the RLE's counts are not a compressed string")
    starts = ends - lengths + 1
    shifts = 5 * (np.arange(codes.size) - np.repeat(starts, lengths))
    numbers = np.add.reduceat((codes & 31) << shifts, starts)
    numbers -= np.where(codes[ends] & 16, np.int64(1) << 5 * lengths, 0)
    # From the fourth on, a run is written as the difference to the one before the last.
    numbers[1::2], numbers[2::2] = np.cumsum(numbers[1::2]), np.cumsum(numbers[2::2])
    return np.asarray(numbers)
