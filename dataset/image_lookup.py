"""From the name of an image in another file (COCO, YOLO, an export) to the task that shows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from dataset.export.image_name import file_name_of


@dataclass(frozen=True)
class Place:
    """An image of a task. `item_index` is which one of a list of several; None where the tag shows one."""

    task: int
    to_name: str
    item_index: int | None = None


class Ambiguous(LookupError):
    """A name fits several images; `names` are theirs."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        super().__init__(", ".join(self.names))


class ImageLookup:
    """Finds images by their whole path, else by the end of it; a name without a suffix (YOLO) fits every suffix.

    Of several tasks that show the same file the first counts.
    """

    def __init__(self) -> None:
        self._places: dict[str, list[Place]] = {}
        self._by_end: dict[str, list[str]] = {}

    def add(self, url: str, place: Place, below: str | None = None) -> None:
        """Take an image in. `below` is its path below the image folder, if it lies there; it is a whole path too."""
        name = file_name_of(url) if below is None else below
        if name not in self._places:
            for end in dict.fromkeys([*_ends(name), *_without_suffix(name)]):
                self._by_end.setdefault(end, []).append(name)
        self._places.setdefault(name, []).append(place)

    def find(
        self, name: str, to_name: str = "", item_index: int | None = None, *, any_suffix: bool = False
    ) -> Place | None:
        """The image of this name; where several tags of a task show the file, the one of `to_name`.

        Args:
            any_suffix: `a.jpg` may mean `a.png`, where nothing is called `a.jpg`.

        Raises:
            Ambiguous: the end of the name fits several files.
        """
        if name in self._places:
            whole = [name]
        else:
            ends = [*_ends(name), *(_without_suffix(name) if any_suffix else ())]
            whole = next((self._by_end[end] for end in ends if end in self._by_end), [])
        if len(whole) > 1:
            raise Ambiguous(whole)
        places = self._places[whole[0]] if whole else []
        wanted = (one for one in places if (one.to_name, one.item_index or 0) == (to_name, item_index or 0))
        return next(wanted, None) or next(iter(places), None)


def _ends(path: str) -> list[str]:
    """`a/b/c.png` -> itself, `b/c.png`, `c.png`."""
    parts = [part for part in PurePosixPath(path).parts if part != "/"]
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _without_suffix(path: str) -> list[str]:
    return [str(PurePosixPath(end).with_suffix("")) for end in _ends(path)]
