"""Pages of a TIFF file: which one is the picture, and how many there are.

The picture is the first page that the file does not mark as a smaller copy or as a mask (TIFF 6.0, tags 254 and 255):
some programs put a thumbnail before it. Further pages are those without such a mark that are not smaller in both
directions, as the levels of a pyramid are that carry none. Bands in planes of one page are one page.

Standard library only: this also runs where nothing of ours is installed. Pillow would read all of each directory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# Per directory: how many entries it has, an entry (tag, type, count, value), where the next one is.
CLASSIC, BIG = ("H", "HHI4s", "I"), ("Q", "HHQ8s", "Q")
FORMS = {b"II*\x00": ("<", CLASSIC), b"MM\x00*": (">", CLASSIC), b"II+\x00": ("<", BIG), b"MM\x00+": (">", BIG)}
FIRST = {CLASSIC: 4, BIG: 8}  # where the file says where its first directory is
# Tags, and what they say of a page.
NEW_SUBFILE_TYPE, SUBFILE_TYPE, WIDTH, LENGTH = 254, 255, 256, 257
SMALLER_OR_MASK, SMALLER = 0b101, 2
WHOLE = {1: "B", 3: "H", 4: "I", 16: "Q"}  # types of a value that is one whole number
# What is read at most, of files that people did not make.
PAGES, ENTRIES, LEADING = 10_000, 1_000_000, 16


@dataclass(frozen=True)
class Pages:
    """What is where in a file.

    Attributes:
        place: of the picture among all the pages of the file, from 0.
        count: pages, the picture among them, without smaller copies and masks.
    """

    place: int = 0
    count: int = 1


def pages_of(path: Path) -> Pages:
    """The pages of a file; one where it is not a TIFF, or cannot be read."""
    try:
        with path.open("rb") as file:
            return pages_in(file)
    except OSError:
        return Pages()


def pages_in(file: IO[bytes]) -> Pages:
    """The same of an open file, whose position stays. A damaged one has the pages before the damage."""
    position = file.tell()
    try:
        directories = list(_directories(file))
    finally:
        file.seek(position)
    own = [place for place, one in enumerate(directories) if not _is_marked(one)]
    if not own or own[0] >= LEADING:
        return Pages()
    width, length = _size(directories[own[0]])
    sizes = [_size(directories[place]) for place in own[1:]]
    return Pages(own[0], 1 + sum(wide >= width or high >= length for wide, high in sizes))


def _is_marked(page: dict[int, int]) -> bool:
    return bool(page.get(NEW_SUBFILE_TYPE, 0) & SMALLER_OR_MASK) or page.get(SUBFILE_TYPE) == SMALLER


def _size(page: dict[int, int]) -> tuple[int, int]:
    return page.get(WIDTH, 0), page.get(LENGTH, 0)


def _directories(file: IO[bytes]) -> Iterator[dict[int, int]]:
    """The tags above, a directory after the other."""
    file.seek(0)
    order, form = FORMS.get(file.read(4), ("", CLASSIC))
    if not order:
        return
    count_of, entry_of, offset_of = (struct.Struct(order + one) for one in form)
    file.seek(FIRST[form])
    seen: set[int] = set()
    left = ENTRIES
    try:
        (offset,) = offset_of.unpack(file.read(offset_of.size))
        while offset and offset not in seen and len(seen) < PAGES:
            seen.add(offset)
            file.seek(offset)
            (count,) = count_of.unpack(file.read(count_of.size))
            left -= count
            if left < 0:
                return
            entries = file.read(count * entry_of.size)
            page = {}
            for tag, kind, values, value in entry_of.iter_unpack(entries):
                if NEW_SUBFILE_TYPE <= tag <= LENGTH and values == 1 and kind in WHOLE:
                    (page[tag],) = struct.unpack_from(order + WHOLE[kind], value)
            yield page
            (offset,) = offset_of.unpack(file.read(offset_of.size))
    except (struct.error, OverflowError, ValueError, OSError):
        return
